"""Who writes here: host, process and its start, so that what a dead process left behind can be told and removed."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import psutil

from xprep.platforms import machine_id

# Clocks of machines that are kept by NTP differ by less; and it is what `_rough` begins with.
_TOLERATED: Final = 60.0
_LONGEST: Final = 80
# Where a process's start is a time of the clock, it is moved with it when that is set right.
_START_MOVES: Final = 2000


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
        On Linux, ticks from the machine's start to the process's, which no setting of the clock moves; elsewhere milliseconds
        since 1970; 0 where the system does not say.
    created : str
        When it began to write: ISO 8601, UTC.
    machine : str
        `xprep.platforms.machine_id`: what tells the machine where its name may change while the process runs; else ``""``.
    """

    host: str
    pid: int
    process_start: int
    created: str
    machine: str = ""

    @staticmethod
    def here() -> Owner:
        """Return this process."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Owner(socket.gethostname(), os.getpid(), _start_of(os.getpid()), now, machine_id())

    @staticmethod
    def from_json(value: Any) -> Owner | None:
        """Return what `to_json` gave, None if it is anything else."""
        if not isinstance(value, Mapping):
            return None
        host, pid, start, created = (value.get(name) for name in ("host", "pid", "process_start", "created"))
        machine = value.get("machine", "")
        right = all(isinstance(one, str) for one in (host, created, machine)) and type(pid) is int and type(start) is int
        return Owner(host, pid, start, created, machine) if right else None  # type: ignore[arg-type]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {name: value for name, value in asdict(self).items() if name != "machine" or value}

    @property
    def is_alive(self) -> bool | None:
        """Whether the process still runs; None where that cannot be known, on another host."""
        if not self._on_this_machine:
            return None
        if not _runs(self.pid):
            return False
        start = _start_of(self.pid)
        return start == 0 or abs(start - self.process_start) <= (0 if _counts_ticks() else _START_MOVES)

    @property
    def is_here(self) -> bool:
        """Whether it is this process."""
        return self.pid == os.getpid() and self.is_alive is True

    @property
    def _on_this_machine(self) -> bool:
        if self.machine and (here := machine_id()):
            return self.machine == here
        return self.host == socket.gethostname()

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
            return f"since a time that cannot be read ({_shown(self.created)!r})"
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
    # Not os.kill(pid, 0), which on Windows sends the process Ctrl-C.
    with suppress(OverflowError, psutil.Error):
        return pid > 0 and psutil.pid_exists(pid)
    return False


def _counts_ticks() -> bool:
    return sys.platform == "linux"


def _start_of(pid: int) -> int:
    """Return when a process began, in the unit of `Owner.process_start`."""
    with suppress(OSError, ValueError, IndexError, OverflowError, psutil.Error):
        return _ticks_of(pid) if _counts_ticks() else round(1000 * psutil.Process(pid).create_time())
    return 0


def _ticks_of(pid: int) -> int:
    # psutil turns them into a time, by a clock that may be set meanwhile: a live writer would be taken for another.
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The second field, the command, may hold spaces and brackets; what follows its last ')' is numbers.
        return int(file.read().rpartition(b")")[2].split()[19])
