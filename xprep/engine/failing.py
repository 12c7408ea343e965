"""What happened to a cluster, in words."""

from __future__ import annotations

from typing import Any, Final, Protocol

SMALLER: Final = "smaller tiles (xprep.set_options(tile_bytes=…))"


class NobodyWorksError(RuntimeError):
    """No worker is left, or all are paused, die again and again, or cannot do this work; or the cluster was closed."""


class Watched(Protocol):
    """What is known of a run when it fails."""

    workers: list[Any]  # as they were last seen


def nobody(workers: int, patience: float) -> str:
    """Return what to say where nobody has worked for ``patience`` seconds."""
    if not workers:
        return (
            f"no worker has been left for {patience:.0f} s. Were they killed for their memory, or by their batch system? Start "
            f"workers again, with more memory or {SMALLER}."
        )
    return (
        f"all {workers} workers have been paused for {patience:.0f} s: their memory is full, and so may be the disk that they "
        f"spill to. Give them more memory or a larger disk, or {SMALLER}."
    )


def explained(error: Exception, client: Any, watch: Any) -> str | None:
    """Return what happened to the cluster, None where the error is not the cluster's."""
    return None
