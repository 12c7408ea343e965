"""The store of an image to be written: groups, arrays and coordinates first, the OME metadata last.

Its life, and what a kill leaves at each step:

1. `claim`: the root says "writing", by this run. A kill leaves a store that does not open and cannot be resumed;
2. `create_levels`, `create_labels`: arrays and coordinates, without pixels. The same;
3. `mark_ready`: the root has the fingerprint, too. From here on, a run of the same fingerprint goes on with it;
4. the caller writes units and notes each in the journal;
5. `finish`: lists of checksums and metadata of all groups but the root; a listing shows that every unit is there; the root's OME
   metadata with "finished"; the journal's parts are deleted. Beside an older store, both are then exchanged. A kill before the
   root's metadata leaves a store that is resumed; after it, a finished one.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from xprep.errors import UnfinishedStoreError
from xprep.io.arrays.consolidated import below, group_objects, write_group, write_root
from xprep.io.arrays.coordinates import plain
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.arrays.writes import ZarrWritable
from xprep.io.commit.claimed import Claim, check_owned, claimed, putting_in_place
from xprep.io.commit.completeness import check_pyramids
from xprep.io.commit.creating import Creation, create_levels
from xprep.io.commit.journal import COPY, MANIFEST, PARTS, Journal, encode_manifest
from xprep.io.commit.lock import begin
from xprep.io.commit.mark import MARK, mark_finished, mark_writing, read_status
from xprep.io.commit.overwrite import delete_partial, delete_store
from xprep.io.commit.owner import Owner
from xprep.io.ome.groups import read_group
from xprep.io.ome.writing import write_labels, write_multiscale
from xprep.io.ome_model import Multiscale, Version
from xprep.io.store.places import Place
from xprep.io.store.urls import check_name
from xprep.types import Array, Listener

Layout = Literal["dual", "flat"]


def level_path(layout: Layout, n: int) -> str:
    """Return the path of level ``n``'s array below its image's group."""
    return f"scale{n}/image" if layout == "dual" else str(n)


@dataclass
class ImageStore:
    """A store that is being written.

    Parameters
    ----------
    place : Place
        Where it is being written; beside ``target`` when it will replace what is there.
    target : Place
        Where it will be.
    version : {"0.4", "0.5", "0.6"}
        Of OME-Zarr.
    layout : {"dual", "flat"}
        Whether levels are groups that xarray opens, or bare arrays.
    levels : tuple of ZarrWritable
        Of the image, finest first.
    labels : dict of str to tuple of ZarrWritable
        The same of every label image.
    fingerprint : str, optional
        Of what is being computed: a run of the same may go on with it.
    resumed : bool
        Whether an earlier run made the arrays.
    run : str
        Name of this run: another that took the store over has another.
    replaced : str, optional
        State of the store at ``target``, if this one will replace it: nobody else may have done so before.
    """

    place: Place
    target: Place
    version: Version
    layout: Layout
    levels: tuple[ZarrWritable, ...] = ()
    labels: dict[str, tuple[ZarrWritable, ...]] = field(default_factory=dict)
    fingerprint: str | None = None
    resumed: bool = False
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    replaced: str | None = None

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The format that the version of OME-Zarr wants."""
        return 2 if self.version == "0.4" else 3

    @property
    def url(self) -> str:
        """Where it will be, without secrets."""
        return self.target.url

    def level_path(self, n: int) -> str:
        """Return the path of level ``n``'s array below its image's group."""
        return level_path(self.layout, n)

    def create_labels(self, name: str, levels: Sequence[LevelSpec], spec: ArraySpec) -> tuple[ZarrWritable, ...]:
        """Create the arrays of a label image and return them to be filled.

        Raises
        ------
        ValueError
            A name that no group can have, or that is taken.
        TypeError
            A dtype that is not of whole numbers.
        """
        check_name(name)
        if name in self.labels:
            raise ValueError(f"there are labels {name!r} already.")
        if not self.resumed:
            self._mark("labels")
        self.labels[name] = self.create_levels(f"labels/{name}", levels, spec)
        return self.labels[name]

    def claim(self) -> None:
        """Begin: mark the store as this run's, or learn that another was first; a resumed one is taken over."""
        self.replaced = claimed(self.place, self.target, self.run).replaced
        if self.resumed:
            self._mark_ready()
            delete_partial(self.place)
        else:
            begin(self.place, mark_writing(Owner.here(), run=self.run), self.zarr_format, self.run)

    def mark_ready(self) -> None:
        """Say that all arrays are there: from now on, a run of the same fingerprint may go on with this one."""
        self.check_owned()
        self._mark_ready()

    def _mark_ready(self) -> None:
        mark = mark_writing(Owner.here(), run=self.run, ready=True, fingerprint=self.fingerprint)
        write_group(self.place, mark, self.zarr_format)
        Journal(self.place.child(self.level_path(0))).save(COPY, mark[MARK])

    def check_owned(self) -> None:
        """Refuse to go on with a store that is no longer this run's; see `xprep.io.commit.claimed.check_owned`."""
        check_owned(self.claimed)

    @property
    def claimed(self) -> Claim:
        """What this run claims."""
        return Claim(self.place, self.target, self.run, self.replaced)

    def finish(
        self,
        image: Multiscale,
        labels: Mapping[str, Multiscale] | None = None,
        about: Mapping[str, Any] | None = None,
        stored: Mapping[str, Sequence[Array]] | None = None,
        listener: Listener | None = None,
    ) -> None:
        """Check by key that every unit is there, then say so: the image's OME metadata are written last.

        Parameters
        ----------
        image : Multiscale
            With ``levels`` at `level_path`.
        labels : mapping of str to Multiscale
            One for every label image that was created.
        about : mapping
            Kept in the root's ``xprep`` attribute beside the status: provenance.
        stored : mapping of str to sequence of array
            What was written (`STORED`), by level, of the image (``""``) and of every label image: kept beside the pixels.
        listener : Listener, optional
            Hears of the objects that are copied, where the store replaces another in a bucket.

        Raises
        ------
        StoreExistsError
            Another run took the store over.
        UnfinishedStoreError
            Units that were never written, or that the store lost.
        """
        given = dict(labels or {})
        if set(given) != set(self.labels):
            raise ValueError(f"metadata are needed for the labels {sorted(self.labels)}; got {sorted(given)}.")
        known = {} if self.fingerprint is None else {"fingerprint": self.fingerprint}
        attributes = {**write_multiscale(image, self.version), **mark_finished({**plain(about or {}, "about"), **known})}
        self.place.set_many({**self._manifests(stored or {}), **self._finished_groups(given)}, lasting=True)
        self.check_complete(stored)
        with putting_in_place(self.claimed, listener):
            write_root(self.place, attributes, self.zarr_format, self._node_paths())
            self._check_marked()
            for levels in self.pyramids.values() if stored else ():
                levels[0].place.child(PARTS).delete()
        self.place = self.target

    def _manifests(self, stored: Mapping[str, Sequence[Array]]) -> dict[str, bytes]:
        """Return what is kept beside the pixels of what was written."""
        objects = {}
        for name, found in stored.items() if self.place.keeps_notes else ():
            for (path, array), one in zip(self._paths(name).items(), found, strict=True):
                objects[f"{path}/{MANIFEST}"] = encode_manifest(one, array.nunits)
        return objects

    def _finished_groups(self, labels: Mapping[str, Multiscale]) -> dict[str, bytes]:
        """Return the metadata of all groups but the root: they say no longer that they are being written."""
        groups: dict[str, Mapping[str, Any]] = {}
        for name, label in labels.items():
            groups[f"labels/{name}"] = write_multiscale(label, self.version)
        if labels:
            groups["labels"] = write_labels(list(labels), self.version)
        for name in self.pyramids if self.layout == "dual" else ():
            groups |= {path.rpartition("/")[0]: {} for path in self._paths(name)}
        return {
            key: data
            for path, attributes in groups.items()
            for key, data in below(path, group_objects(attributes, self.zarr_format)).items()
        }

    def _paths(self, name: str) -> dict[str, ZarrWritable]:
        """Return the levels of the image (``""``) or of a label image, by their paths below the root."""
        before = f"labels/{name}/" if name else ""
        return {f"{before}{self.level_path(n)}": array for n, array in enumerate(self.pyramids[name])}

    def discard(self) -> None:
        """Delete what was written so far; what it was to replace stays."""
        delete_store(self.place)

    @property
    def pyramids(self) -> dict[str, tuple[ZarrWritable, ...]]:
        """The levels of the image (``""``) and of every label image."""
        return {"": self.levels, **self.labels}

    def check_complete(self, stored: Mapping[str, Sequence[Array]] | None = None, *, pixels: bool = True) -> None:
        """Refuse a store that lacks anything that was written; lists it once.

        Raises
        ------
        UnfinishedStoreError
            Naming the first object that is not there.
        """
        named = {name: self._paths(name) for name in self.pyramids}
        check_pyramids(self.place, named, self.layout == "dual", self.zarr_format, stored if pixels else None, pixels)

    def _check_marked(self) -> None:
        group = read_group(self.place)
        if group is None or read_status(group) != "finished":
            raise UnfinishedStoreError(f"{self.place} lost its metadata, which were written; run again with resume=True.")

    def _node_paths(self) -> list[str]:
        images = [("", self.levels), *((f"labels/{name}/", levels) for name, levels in self.labels.items())]
        paths = ["labels"] if self.labels else []
        for prefix, levels in images:
            paths += [prefix.rstrip("/")] if prefix else []
            for n, level in enumerate(levels):
                paths += [f"{prefix}scale{n}"] if self.layout == "dual" else []
                paths += [f"{prefix}{self.level_path(n)}"]
                paths += [f"{prefix}scale{n}/{name}" for name in level.coords]
        return paths

    def _mark(self, path: str, **about: Any) -> None:
        place = self.place.child(path) if path else self.place
        write_group(place, mark_writing(Owner.here(), **about), self.zarr_format)

    def create_levels(self, prefix: str, levels: Sequence[LevelSpec], spec: ArraySpec) -> tuple[ZarrWritable, ...]:
        """Create the arrays of the image below ``prefix``; in a resumed store only those that are not there."""
        base = self.place.child(prefix)
        if prefix and not self.resumed:
            self._mark(prefix)
        how = Creation(self.layout == "dual", self.zarr_format, self.resumed)
        return create_levels(base, {self.level_path(n): level for n, level in enumerate(levels)}, spec, how)
