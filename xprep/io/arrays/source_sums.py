"""The stored objects that an image is read from, and a sum of what a listing says of them: another after every change.

The sum does not depend on the order of a listing, so listings need not be kept: of ten million chunks, it has 6 KiB.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from itertools import product
from math import prod
from pathlib import Path
from time import time
from typing import Any, Final
from zlib import crc32

import numpy as np
from zarr.storage import FsspecStore, ObjectStore, ZipStore

from xprep.io.arrays.reads import ZarrReadable
from xprep.io.store.backends import is_bucket, is_icechunk
from xprep.io.store.deadlines import WANTED
from xprep.io.store.files.stores import FileStore
from xprep.io.store.listing import Listed, ask_each, describe_file, list_objects, walk_files
from xprep.io.store.places import Place

# Objects are added up in so many groups, by their names: one that changed is looked for in its group.
GROUPS: Final = 256
# Objects that are listed by one prefix, at most: requests are of a thousand, and s3fs keeps a kilobyte of each until the last.
AT_ONCE: Final = 4000
# Objects that are asked for one by one, at most, where nothing can be listed.
ASKED: Final = 1000
_MASK: Final = 2**64 - 1


@dataclass(frozen=True)
class SourceContents:
    """The objects, shards or chunks, that are read of an array.

    Parameters
    ----------
    array : ZarrReadable
        The array.
    units : tuple of sequence of int
        Along each axis, the units that are read; planes that are appended meanwhile are not among them.
    """

    array: ZarrReadable = field(compare=False)
    units: tuple[Sequence[int], ...] = field(compare=False)

    @staticmethod
    def of(array: ZarrReadable, picks: Sequence[Sequence[int] | None]) -> SourceContents:
        """Return the units of which some position is picked along every axis; None is all."""
        lengths = zip(picks, array.unit, array.grid.lengths, strict=True)
        every = (range(n) if some is None else sorted({i // unit for i in some}) for some, unit, n in lengths)
        return SourceContents(array, tuple(every))

    @property
    def place(self) -> Place:
        """The array's folder."""
        return self.array.place

    @cached_property
    def key(self) -> str:
        """A text for the array and the units: what is listed once, however often it is read."""
        units = [f"{len(some)}:{some[0]}-{some[-1]}" if len(some) else "" for some in self.units]
        digest = blake2b("".join(map(str, (u for some in self.units if not isinstance(some, range) for u in some))).encode())
        return f"{self.place.url} {' '.join(units)} {digest.hexdigest()[:16]}"

    def holds(self, name: str) -> bool:
        """Whether an object, by its name in the array's folder, is one of them."""
        lead, separator = self._form
        parts = name.removeprefix(lead).split(separator)
        return name.startswith(lead) and len(parts) == len(self.units) and self._fit(parts)

    def may_hold(self, folder: str) -> bool:
        """Whether one of them can lie in ``folder``."""
        lead, separator = self._form
        if separator != "/" or not folder.startswith(lead.rstrip("/")):
            return False
        return self._fit(folder.removeprefix(lead).split("/") if folder != lead.rstrip("/") else [])

    def files(self, folder: Path) -> Iterator[Listed]:
        """Yield those that are files: of the names in one folder, the first tells of all but their last number."""
        known, last = "", self._texts[-1]
        for name, found in walk_files(folder, self.may_hold):
            here, _, number = name.rpartition("/")
            if here and here == known and number in last:
                yield describe_file(name, found)
            elif self.holds(name):
                known = here
                yield describe_file(name, found)

    def prefixes(self) -> Iterator[str]:
        """Yield beginnings of names: each of a few thousand objects, together of all."""
        lead, separator = self._form
        depth, lengths = 0, self.array.grid.lengths
        if separator == "/" or is_bucket(self.place.store):
            depth = next(depth for depth in range(len(lengths) + 1) if prod(lengths[depth:]) <= AT_ONCE)
        for at in product(*self.units[:depth]):
            yield lead + "".join(f"{index}{separator}" for index in at[: len(lengths) - 1])

    def names(self) -> Iterator[str]:
        """Yield the names of all, also of those that were never stored."""
        return (self.array.chunk_key(at) for at in product(*self.units))

    @cached_property
    def _form(self) -> tuple[str, str]:
        """What names begin with, and what stands between their numbers."""
        name = self.array.chunk_key((1,) * len(self.units))
        return ("c" + name[1] if name[0] == "c" else ""), ("." if name.endswith("1.1") else "/")

    @cached_property
    def _texts(self) -> list[frozenset[str]]:
        return [frozenset(map(str, some)) for some in self.units]

    def _fit(self, parts: Sequence[str]) -> bool:
        return all(part in wanted for part, wanted in zip(parts, self._texts, strict=False))


@dataclass(frozen=True, eq=False)
class SourceSums:
    """What a listing of objects adds up to, in groups.

    Parameters
    ----------
    count : int
        How many there were.
    names, lasting, passing : ndarray of uint64
        By group: of the names; of names, sizes and what tells contents apart for good; also of what does so during one run.
    newest : sequence
        By group: when one was changed last, and its name.
    """

    count: int
    names: np.ndarray[Any, Any]
    lasting: np.ndarray[Any, Any]
    passing: np.ndarray[Any, Any]
    newest: Sequence[tuple[float, str]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a later run can compare with."""
        return {"count": self.count, "names": _encode(self.names), "lasting": _encode(self.lasting)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> SourceSums:
        """Return what `to_json` gave."""
        names, lasting = _decode(value["names"]), _decode(value["lasting"])
        return SourceSums(int(value["count"]), names, lasting, lasting)

    @property
    def digest(self) -> str:
        """A short text for what lasts."""
        return blake2b(self.lasting.tobytes(), digest_size=16).hexdigest()


def _encode(values: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(values.astype("<u8").tobytes()).decode()


def _decode(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), "<u8")


def why_unwatched(contents: SourceContents) -> str:
    """Return why nobody can see whether objects are changed; empty where that can be seen."""
    place, store = contents.place, contents.place.store
    if place.folder is not None or isinstance(store, ZipStore | FileStore):
        return ""
    if is_icechunk(store):
        return "" if store.read_only else "a session of icechunk that is written to has no snapshot yet"
    if _is_http(place):
        count = prod(map(len, contents.units))
        return f"HTTP lists nothing, and {count:,} objects are too many to ask for each" if count > ASKED else ""
    return "" if isinstance(store, FsspecStore | ObjectStore) else f"{type(store).__name__} tells no times"


def _is_http(place: Place) -> bool:
    return place.shown.startswith(("http://", "https://"))


def add_up(contents: SourceContents) -> SourceSums | str:
    """List the objects and add them up; or return why that cannot be done."""
    if reason := why_unwatched(contents):
        return reason
    names, lasting, passing = ([0] * GROUPS for _ in range(3))
    newest, count, wanted = [(0.0, "")] * GROUPS, 0, WANTED.get()
    for name, size, _, state, fleeting, changed in _listed(contents):
        if state == "":
            return f"a listing of {contents.place} tells neither ETags nor times"
        if count % 1000 == 0 and not wanted():
            return "the run was given up"
        number = crc32(name.encode())
        group, count = number % GROUPS, count + 1
        # Numbers have the same hash in every process, texts have not.
        digest = hash((number, size, state if isinstance(state, int) else int.from_bytes(state.encode())))
        names[group] += number
        lasting[group] += digest
        passing[group] += hash((digest, fleeting))
        if changed > newest[group][0]:
            newest[group] = (changed, name)
    sums = (np.array([value & _MASK for value in values], "<u8") for values in (names, lasting, passing))
    return SourceSums(count, next(sums), next(sums), next(sums), newest)


def _listed(contents: SourceContents) -> Iterator[Listed]:
    place = contents.place
    if (folder := place.folder) is not None:
        with place.errors("list"):
            yield from contents.files(folder)
    elif isinstance(place.store, ZipStore):
        yield describe_file(str(place.store.path), os.stat(place.store.path))
    elif isinstance(place.store, FileStore):
        with place.errors("list"):
            yield from place.store.listed()
    elif _is_http(place):
        with place.errors("list"):
            yield from ask_each(place.store, [place.key(name) for name in contents.names()], place.deadline)
    elif is_icechunk(place.store):
        yield Listed("", 0, state=str(place.store.session.snapshot_id))  # type: ignore[attr-defined]
    else:
        for prefix in contents.prefixes():
            with place.errors("list"):
                found = list_objects(place.store, place.key(prefix), place.deadline)
            named = (one._replace(name=prefix + one.name) for one in found)
            yield from (one for one in named if contents.holds(one.name))


def find_change(contents: SourceContents, first: SourceSums, second: SourceSums, *, lasting: bool) -> str:
    """Return what was changed between two listings: an object that was, in words; empty if nothing was.

    ``lasting`` compares what two runs can: not which inode a file has, and when that was changed.
    """
    one, other = (first.lasting, second.lasting) if lasting else (first.passing, second.passing)
    groups = np.flatnonzero((one != other) | (first.names != second.names)).tolist()
    if not groups:
        return ""
    for gone in (first.names - second.names)[groups].tolist():
        # Names are added up as numbers of 32 bits: where one is gone, the difference is its.
        if first.count > second.count and 0 < gone < 2**32:
            names = (name for name in contents.names() if crc32(name.encode()) == gone)
            return f"{contents.place.url}/{next(names, '…')} is gone"
    changed, name = max(second.newest[group] for group in groups)
    return f"{contents.place.url}/{name} was written" if changed else f"objects of {contents.place} are gone"


def changed_since(contents: SourceContents, first: SourceSums, started: float) -> str:
    """Return what was changed after a run had ``started`` and before it was listed first, as `find_change` does.

    Only where the store's clock is this machine's, as far as can be seen: nothing may be of the future.
    """
    changed, name = max(first.newest, default=(0.0, ""))
    return f"{contents.place.url}/{name} was written" if started < changed <= time() else ""
