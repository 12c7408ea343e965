"""The store of an image that a run has claimed, as a value: where it is, and the arrays that are to be filled.

A straight line, of which every step gives the next value. What a kill leaves at each:

1. `xprep.io.commit.begin` claims it: the root says "writing", by this run. It does not open and cannot be resumed;
2. `with_levels`, `with_labels`: arrays and coordinates, without pixels. The same;
3. `mark_ready`: the root has the fingerprint, too. From here on, a run of the same fingerprint goes on with it;
4. the caller writes units and notes each in the journal;
5. `xprep.io.commit.finishing`: lists of checksums and metadata of all groups but the root; a listing shows that every unit is
   there; the root's OME metadata with "finished"; the journal's parts are deleted. Beside an older store, both are then
   exchanged. A kill before the root's metadata leaves a store that is resumed; after it, a finished one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from xprep.io.arrays.consolidated import write_group
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.arrays.writes import ZarrWritable
from xprep.io.commit.claimed import Claim, check_owned
from xprep.io.commit.completeness import check_pyramids
from xprep.io.commit.creating import Creation, create_levels
from xprep.io.commit.journal import COPY, Journal
from xprep.io.commit.mark import MARK, mark_writing
from xprep.io.commit.owner import Owner
from xprep.io.ome_model import Version
from xprep.io.store.places import Place
from xprep.io.store.urls import check_name
from xprep.types import Array

Layout = Literal["dual", "flat"]


def level_path(layout: Layout, n: int) -> str:
    """Return the path of level ``n``'s array below its image's group."""
    return f"scale{n}/image" if layout == "dual" else str(n)


@dataclass(frozen=True, eq=False)
class ImageStore:
    """A store that is being written.

    Parameters
    ----------
    claim : Claim
        Whose it is, where it is being written, and where it will be.
    version : {"0.4", "0.5", "0.6"}
        Of OME-Zarr.
    layout : {"dual", "flat"}
        Whether levels are groups that xarray opens, or bare arrays.
    fingerprint : str, optional
        Of what is being computed: a run of the same may go on with it.
    resumed : bool
        Whether an earlier run made the arrays.
    pyramids : mapping of str to tuple of ZarrWritable
        The levels of the image (``""``) and of every label image, finest first.
    """

    claim: Claim
    version: Version
    layout: Layout
    fingerprint: str | None = None
    resumed: bool = False
    pyramids: Mapping[str, tuple[ZarrWritable, ...]] = field(default_factory=dict)

    @property
    def place(self) -> Place:
        """Where it is being written; beside where it will be, when it will replace what is there."""
        return self.claim.place

    @property
    def url(self) -> str:
        """Where it will be, without secrets."""
        return self.claim.target.url

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The format that the version of OME-Zarr wants."""
        return 2 if self.version == "0.4" else 3

    @property
    def levels(self) -> tuple[ZarrWritable, ...]:
        """The arrays of the image, finest first."""
        return self.pyramids[""]

    @property
    def labels(self) -> list[str]:
        """The names of its label images."""
        return [name for name in self.pyramids if name]

    def level_path(self, n: int) -> str:
        """Return the path of level ``n``'s array below its image's group."""
        return level_path(self.layout, n)

    def paths(self, name: str) -> dict[str, ZarrWritable]:
        """Return the levels of the image (``""``) or of a label image, by their paths below the root."""
        before = f"labels/{name}/" if name else ""
        return {f"{before}{self.level_path(n)}": array for n, array in enumerate(self.pyramids[name])}

    def node_paths(self) -> list[str]:
        """Return the paths of all groups and arrays below the root."""
        paths = ["labels"] if self.labels else []
        for name in self.pyramids:
            paths += [f"labels/{name}"] if name else []
            for path, level in self.paths(name).items():
                above = path.rpartition("/")[0]
                paths += [above, path] if self.layout == "dual" else [path]
                paths += [f"{above}/{coord}" for coord in level.coords]
        return paths

    def with_levels(self, levels: Sequence[LevelSpec], spec: ArraySpec) -> ImageStore:
        """Return the store with the arrays of the image, created; in a resumed one only those that are not there."""
        return self._with("", levels, spec)

    def with_labels(self, name: str, levels: Sequence[LevelSpec], spec: ArraySpec) -> ImageStore:
        """Return the store with the arrays of a label image, created.

        Raises
        ------
        ValueError
            A name that no group can have, or that is taken.
        TypeError
            A dtype that is not of whole numbers.
        """
        check_name(name)
        if name in self.pyramids:
            raise ValueError(f"there are labels {name!r} already.")
        for path in ("labels", f"labels/{name}") if not self.resumed else ():
            write_group(self.place.child(path), mark_writing(Owner.here()), self.zarr_format)
        return self._with(name, levels, spec)

    def _with(self, name: str, levels: Sequence[LevelSpec], spec: ArraySpec) -> ImageStore:
        base = self.place.child(f"labels/{name}" if name else "")
        how = Creation(self.layout == "dual", self.zarr_format, self.resumed)
        made = create_levels(base, {self.level_path(n): level for n, level in enumerate(levels)}, spec, how)
        return replace(self, pyramids={**self.pyramids, name: made})

    def mark_ready(self) -> None:
        """Say that all arrays are there: from now on, a run of the same fingerprint may go on with this one."""
        check_owned(self.claim)
        self.write_mark()

    def write_mark(self) -> None:
        """Write whose store it is, and a copy beside the pixels of the first level."""
        mark = mark_writing(Owner.here(), run=self.claim.run, ready=True, fingerprint=self.fingerprint)
        write_group(self.place, mark, self.zarr_format)
        Journal(self.place.child(self.level_path(0))).save(COPY, mark[MARK])

    def check_complete(self, stored: Mapping[str, Sequence[Array]] | None = None, *, pixels: bool = True) -> None:
        """Refuse a store that lacks anything that was written; lists it once.

        Raises
        ------
        UnfinishedStoreError
            Naming the first object that is not there.
        """
        named: dict[str, Any] = {name: self.paths(name) for name in self.pyramids}
        check_pyramids(self.place, named, self.layout == "dual", self.zarr_format, stored if pixels else None, pixels)
