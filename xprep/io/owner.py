"""Who writes here: host, process and its start, so that what a dead process left behind can be told and removed."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

# Clocks of machines that are kept by NTP differ by less; and it is what `_rough` begins with.
_TOLERATED: Final = 60.0
_LONGEST: Final = 80


@dataclass(frozen=True)
class Owner:
    """A process, on a host, since a time; a process number alone is given out again.

    Parameters
    ----------
    host : str
        Name of the machine.
    pid : int
        Number of the process.
    process_start : int
        Ticks from the machine's start to the process's; 0 where the system does not say.
    created : str
        When it began to write: ISO 8601, UTC.
    """

    host: str
    pid: int
    process_start: int
    created: str

    @staticmethod
    def here() -> Owner:
        """Return this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Owner(socket.gethostname(), os.getpid(), _start_of(os.getpid()), now)

    @staticmethod
    def from_json(value: Any) -> Owner | None:
        """Return what `to_json` gave, None if it is anything else."""
        if not isinstance(value, Mapping):
            return None
        host, pid, start, created = (value.get(name) for name in ("host", "pid", "process_start", "created"))
        right = isinstance(host, str) and type(pid) is int and type(start) is int and isinstance(created, str)
        return Owner(host, pid, start, created) if right else None  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)

    @property
    def is_alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be known, on another host."""
        if self.host != socket.gethostname():
            return None
        return _runs(self.pid) and _start_of(self.pid) in (self.process_start, 0)

    @property
    def is_here(self) -> bool:
        """Whether it is this process."""
        return self.host == socket.gethostname() and self.pid == os.getpid() and self.is_alive is True

    @property
    def age_seconds(self) -> float:
        """Seconds since it began to write, by this machine's clock; 0 if that is in the future, or no time at all."""
        return max(0.0, self._elapsed or 0.0)

    @property
    def _elapsed(self) -> float | None:
        try:
            created = datetime.fromisoformat(self.created)
            return (datetime.now(UTC) - created.replace(tzinfo=created.tzinfo or UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        return f"process {self.pid} on {_shown(self.host)}, {self._since}"

    @property
    def _since(self) -> str:
        if (elapsed := self._elapsed) is None:
            return f"since a time that is none ({_shown(self.created)!r})"
        if elapsed < -_TOLERATED:
            return f"since {self.created} by a clock that is {_rough(-elapsed)} ahead of this machine's, or was"
        return f"since {self.created}"


def _shown(text: str) -> str:
    """Return a text from elsewhere as it may be printed: no control characters, no pages of it."""
    kept = "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])
    return f"{kept}…" if len(text) > _LONGEST else kept


def _rough(seconds: float) -> str:
    """Return a duration in its largest unit.

    >>> _rough(90), _rough(86400 * 40)
    ('2 minutes', '40 days')
    """
    unit, name = next((unit, name) for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")) if seconds >= unit)
    count = round(seconds / unit)
    return f"{count} {name}{'s' * (count != 1)}"


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _start_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field, the command, may hold spaces and brackets; what follows its last ')' is numbers.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
