"""What a cluster's processes are: who works, and whether all have this package in this version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from xprep.version import version

WAY_OUT: Final = "Give workers more memory, or fewer threads, or smaller tiles (xprep.set_options(tile_bytes=…))"
SHOWN: Final = 3  # addresses; a cluster has hundreds
# A worker that cannot unpickle what it shall run answers with an Exception of the error's repr.
LACKING: Final = ("ModuleNotFoundError", "ImportError", "AttributeError")


def workers_of(client: Any) -> list[Any]:
    """Return what the scheduler knows of its workers."""
    return list(client.scheduler_info(n_workers=-1).get("workers", {}).values())


def differing(client: Any) -> str:
    """Return which processes of the cluster lack this package or have another version of it; an empty text if none does."""
    try:
        found = client.run(version, on_error="return")
    except Exception:  # noqa: BLE001  (a gateway may forbid to ask; what runs then says what it lacks)
        return ""
    try:
        found |= {f"the scheduler at {client.scheduler.address}": client.run_on_scheduler(version)}
    except ImportError as error:
        found |= {f"the scheduler at {client.scheduler.address}": error}
    except Exception:  # noqa: BLE001  (as above)
        pass
    return _said(found)


def _said(found: Mapping[str, Any]) -> str:
    places = defaultdict[str, list[str]](list)
    for address, answer in found.items():
        if isinstance(answer, Exception) and any(kind in repr(answer) for kind in LACKING):
            places[f"cannot import it ({answer})"].append(address)
        elif isinstance(answer, str) and answer != version():
            places[f"has xprep {answer}"].append(address)
    if not places:
        return ""
    lacks = "; ".join(f"{_some(addresses)} {what}" for what, addresses in places.items())
    return (
        f"the cluster needs xprep {version()}, as this process has it: {lacks}. Install the same version for the scheduler and "
        "all workers"
    )


def _some(addresses: list[str]) -> str:
    more = f" and {len(addresses) - SHOWN} more" if len(addresses) > SHOWN else ""
    return ", ".join(addresses[:SHOWN]) + more
