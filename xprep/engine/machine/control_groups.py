"""What Linux's control groups allow this process: a container, a job of a cluster's queue, a unit of systemd; both versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final


@dataclass(frozen=True)
class _Interface:
    """What the files of a version are called, and where its groups lie below the root."""

    below: str
    limit: str
    used: str
    reclaimable: str


_VERSIONS: Final[Mapping[str, _Interface]] = {
    "": _Interface("", "memory.max", "memory.current", "inactive_file"),
    "memory": _Interface("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def group_room(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return how many bytes this process may still take; None where nothing limits it.

    A group is held by its own limit and by those of all above it. In a container its own group may be mounted as the root.

    Parameters
    ----------
    root : Path
        Where control groups are mounted.
    groups : Path
        The file that says in which groups this process is.
    """
    rooms = [_room(folder, files) for files, folder in _folders(root, groups)]
    found = [room for room in rooms if room is not None]
    return min(found) if found else None


def _folders(root: Path, groups: Path) -> Iterator[tuple[_Interface, Path]]:
    """Yield the folders of this process's groups and of those above them, as far as they are there."""
    paths = dict.fromkeys(_VERSIONS, "/")
    with suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = (*line.split(":", 2), "", "")[:3]
            paths |= {name: path for name in controllers.split(",") if name in paths}
    for name, path in paths.items():
        top = root / _VERSIONS[name].below
        own = PurePosixPath(path)
        for group in (own, *own.parents):
            yield _VERSIONS[name], top / str(group).lstrip("/")


def _room(folder: Path, files: _Interface) -> int | None:
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        limit, used = (int((folder / name).read_text()) for name in (files.limit, files.used))
        # What was read of files counts as used until somebody needs the room.
        return max(0, limit - max(0, used - _reclaimable(folder, files.reclaimable)))
    return None


def _reclaimable(folder: Path, name: str) -> int:
    with suppress(OSError, ValueError, KeyError):
        counts = dict(line.split(maxsplit=1) for line in (folder / "memory.stat").read_text().splitlines())
        return int(counts[name])
    return 0
