"""Ragged columns of pixels: the part of a ROI table that checks, slices and travels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from xprep.rois.columns import (
    check_planar,
    check_starts,
    finite_weights,
    freeze,
    own,
    span_of,
    unique_ids,
    whole_coordinates,
)
from xprep.rois.pixels import Pixels, pixels_between, pixels_of, take_ranges
from xprep.rois.views import describe, describe_html
from xprep.switches import check_switch
from xprep.types import Array


@dataclass(frozen=True, eq=False, repr=False)
class RaggedPixels:
    """Voxels of ROIs in flat columns; see `RoiTable`."""

    lam: Array
    zpix: Array
    ypix: Array
    xpix: Array
    starts: NDArray[np.int64]
    ids: Array = field(default_factory=lambda: np.empty(0, np.int64))
    volumetric: bool = False

    def __post_init__(self) -> None:
        starts = own(whole_coordinates(self.starts, "starts").astype(np.int64, copy=False))
        columns: dict[str, Array] = {"lam": finite_weights(self.lam)}
        for name in ("zpix", "ypix", "xpix"):
            columns[name] = whole_coordinates(getattr(self, name), name).astype(np.int32, copy=False)
        check_starts(starts, {name: column.shape for name, column in columns.items()})
        ids = np.arange(starts.size - 1) if len(self.ids) == 0 else unique_ids(self.ids, starts.size - 1)
        for name, column in {**columns, "ids": ids}.items():
            object.__setattr__(self, name, own(column) if name == "ids" else freeze(own(column)))
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "volumetric", check_switch(self.volumetric, "volumetric"))
        if not self.volumetric:
            check_planar(self.zpix, starts)

    def __len__(self) -> int:
        return self.starts.size - 1

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, chosen: Any) -> Self:
        """Return a table of the chosen ROIs: a number, a slice, positions, or a boolean per ROI."""
        if isinstance(chosen, int | np.integer):
            positions = np.arange(len(self))[[int(chosen)]]
        else:
            positions = np.arange(len(self))[np.asarray(chosen) if isinstance(chosen, list) and chosen else chosen]
        where, starts = take_ranges(self.starts, positions)
        lam, zpix, ypix, xpix = (column[where] for column in self.columns)
        return type(self)(lam, zpix, ypix, xpix, starts, self.ids[positions], self.volumetric)

    def __reduce__(self) -> tuple[Any, ...]:
        columns = (self.lam, self.zpix, self.ypix, self.xpix, self.starts, self.ids, self.volumetric)
        return type(self), columns  # a pickle would lose the arrays' being read-only: they are checked and frozen again

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "xprep.RoiTable", self.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the contents: equal tables have equal ones, in any process."""
        digest = blake2b(repr((self.volumetric, self.ids.tolist())).encode(), digest_size=16)
        for column in (self.lam, self.zpix, self.ypix, self.xpix, self.starts):
            digest.update(f"{column.dtype}{column.shape}".encode())
            digest.update(np.ascontiguousarray(column[:1] if column.strides == (0,) else column).tobytes())
        return digest.hexdigest()

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """What the table holds, in a few numbers: what its ``repr`` shows."""
        spans = {name: span_of(column) for name, column in zip("zyx", (self.zpix, self.ypix, self.xpix), strict=True)}
        nbytes = sum(c[:1].nbytes if c.strides == (0,) else c.nbytes for c in (self.lam, self.zpix, self.ypix, self.xpix))
        return {"rois": len(self), "pixels": self.lam.size, "volumetric": self.volumetric, "bytes": nbytes, **spans}

    def check_inside(self, shape: Mapping[str, int], what: str = "the image") -> None:
        """Refuse an image that does not hold all ROIs.

        Parameters
        ----------
        shape
            Lengths of the axes in space: ``y``, ``x`` and, if there is one, ``z``.
        what
            How to call the image in the error.

        Raises
        ------
        ValueError
            A ROI reaches beyond the image, or lies in a plane that it does not have.
        """
        for name in "zyx":
            span, length = self.summary[name], shape.get(name, 1)
            if span is not None and span[1] >= length:
                where = f"has {length} pixels along {name}" if name in shape else "has no z, which is one plane"
                raise ValueError(
                    f"the ROIs reach {name} = {span[1]}, but {what} {where}. Is this another image's table, or another "
                    "order of the axes? RoiTable.split_planes() gives a table per plane."
                )

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        """The columns ``lam, zpix, ypix, xpix``."""
        return self.lam, self.zpix, self.ypix, self.xpix

    def pixels(self, first: int = 0, last: int | None = None) -> Pixels:
        """Return the pixels of ROIs ``first`` to ``last`` (exclusive), as loops want them."""
        return pixels_between(self.columns, self.starts, first, len(self) if last is None else last)

    def pixels_of(self, chosen: NDArray[np.int64]) -> Pixels:
        """Return the pixels of the ``chosen`` ROIs, as loops want them."""
        return pixels_of(self.columns, self.starts, chosen)

    @property
    def planes(self) -> NDArray[np.int64]:
        """The plane of every ROI, 0 for an empty one; volumetric ROIs have no plane, and give their first voxel's."""
        padded = np.append(self.zpix, 0)
        return np.where(np.diff(self.starts) > 0, padded[self.starts[:-1]], 0).astype(np.int64)

    def __repr__(self) -> str:
        return describe(self.summary)

    def _repr_html_(self) -> str:
        return describe_html(self.summary)

    def flat(self) -> dict[str, Array]:
        """Return the columns as `xprep.rois.flatten_roi_data` gives them."""
        lam, zpix, ypix, xpix = self.columns
        rois = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return {"lam_flat": lam, "ypix_flat": ypix, "xpix_flat": xpix, "roi_idx": rois, "zpix_flat": zpix}
