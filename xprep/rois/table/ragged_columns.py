"""Ragged columns of pixels: the part of a ROI table that checks, slices and travels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.arguments import check_listed, check_text, check_whole
from xprep.dims.alignment import SPACE
from xprep.rois.table.checked_columns import (
    check_planar,
    check_starts,
    finite_weights,
    freeze,
    own,
    span_of,
    unique_ids,
    whole_coordinates,
)
from xprep.rois.table.flat_pixels import RoiPixels, pixels_between, pixels_of, take_ranges
from xprep.rois.table.placement import OUTSIDE, PixelAxis, check_placement, columns_on, placement_of, refuse_outside
from xprep.rois.table.planes import count_planes
from xprep.rois.table.text import describe, describe_html
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
    placement: Mapping[str, PixelAxis] = field(default_factory=dict)

    def __post_init__(self) -> None:
        starts = own(whole_coordinates(self.starts, "starts").astype(np.int64, copy=False))
        columns: dict[str, Array] = {"lam": finite_weights(self.lam)}
        for name in ("zpix", "ypix", "xpix"):
            columns[name] = whole_coordinates(getattr(self, name), name).astype(np.int32, copy=False)
        check_starts(starts, {name: column.shape for name, column in columns.items()})
        names = check_listed(self.ids, "ids", "a list with a name a ROI")
        ids = np.arange(starts.size - 1) if len(names) == 0 else unique_ids(self.ids, starts.size - 1)
        for name, column in {**columns, "ids": ids}.items():
            object.__setattr__(self, name, own(column) if name == "ids" else freeze(own(column)))
        object.__setattr__(self, "starts", starts)
        object.__setattr__(self, "volumetric", check_switch(self.volumetric, "volumetric"))
        object.__setattr__(self, "placement", MappingProxyType(check_placement(self.placement)))
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
        return type(self)(lam, zpix, ypix, xpix, starts, self.ids[positions], self.volumetric, self.placement)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle would lose the arrays' being read-only: they are checked and frozen again.
        return type(self), (*self.columns, self.starts, self.ids, self.volumetric, dict(self.placement))

    def __dask_tokenize__(self) -> tuple[str, str]:
        return "xprep.RoiTable", self.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the contents: equal tables have equal ones, in any process."""
        digest = blake2b(repr((self.volumetric, self.ids.tolist(), dict(self.placement))).encode(), digest_size=16)
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
        if not isinstance(shape, Mapping):
            raise TypeError(f"shape must be a mapping such as {{'y': 512, 'x': 512}}; got {shape!r}.")
        lengths = {dim: check_whole(length, f"shape[{dim!r}]") for dim, length in shape.items()}
        what = check_text(what, "what")
        for name in "zyx":
            span, length = self.summary[name], lengths.get(name, 1)
            if span is not None and span[1] >= length:
                where = f"has {length} pixels along {name}" if name in shape else "has no z, which is one plane"
                raise ValueError(
                    f"the ROIs reach {name} = {span[1]}, but {what} {where}. Is this another image's table, or another "
                    "order of the axes? RoiTable.split_planes() gives a table per plane."
                )

    def on(self, image: xr.DataArray, dims: Sequence[str] = SPACE) -> Self:
        """Return the table whose positions are pixels of ``image``, which may be a crop, or flipped.

        Parameters
        ----------
        image : DataArray
            What is to be measured. Along a dim where the table or the image has no coordinate, positions stay.
        dims
            Which dims are looked at.

        Raises
        ------
        ValueError
            A ROI reaches beyond the image; its pixels are of another size, or lie between the image's.
        """
        found = columns_on(self._places, self.placement, image, dims)
        if not found:
            return self
        refuse_outside(self._whole(found), self.ids)
        z, y, x = ({**self._places, **found}[dim] for dim in SPACE)
        moved = {dim: axis for dim, axis in self.placement.items() if dim not in found}
        return type(self)(self.lam, z, y, x, self.starts, self.ids, self.volumetric, moved)

    def inside(self, image: xr.DataArray) -> NDArray[np.bool_]:
        """Return which ROIs lie in ``image`` with all their pixels: ``table[table.inside(crop)]``.

        Parameters
        ----------
        image : DataArray
            Its coordinates say which part it is, where the table has a placement (see `RoiTable`); otherwise its shape.

        Returns
        -------
        array of bool, (roi,)

        Examples
        --------
        >>> import numpy as np, xarray as xr
        >>> from xprep import RoiTable
        >>> table = RoiTable.from_pixels([[1.0], [1.0]], ypix=[[2], [7]], xpix=[[5], [5]])
        >>> table.inside(xr.DataArray(np.zeros((4, 6)), dims=("y", "x")))
        array([ True, False])
        """
        found = {**self._places, **columns_on(self._places, self.placement, image, SPACE)}
        shown = {dim: np.where(found[dim] < image.sizes.get(dim, 1), found[dim], OUTSIDE) for dim in SPACE}
        return self._whole(shown)

    def placed(self, image: xr.DataArray | None) -> Self:
        """Return the table with positions that are pixels of ``image``, wherever it lies; of None, of any image.

        Parameters
        ----------
        image : DataArray or None
            Of its coordinates along z, y and x the table keeps origin, pixel size and unit.

        Examples
        --------
        >>> import numpy as np, xarray as xr
        >>> from xprep import RoiTable
        >>> image = xr.DataArray(np.zeros((4, 6)), {"y": [0, 1, 2, 3], "x": np.arange(6) * 0.5}, ("y", "x"))
        >>> table = RoiTable.from_pixels([[1.0]], ypix=[[2]], xpix=[[5]]).placed(image)
        >>> table.placement["x"]
        PixelAxis(origin=0.0, pixel_size=0.5, unit=None)
        >>> table.on(image.isel(x=slice(3, 6))).xpix
        array([2], dtype=int32)
        """
        placement = {} if image is None else placement_of(image)
        return type(self)(*self.columns, self.starts, self.ids, self.volumetric, placement)

    def split_planes(self, num_planes: int | None = None) -> list[Self]:
        """Return a table per plane, empty where a plane has no ROIs; positions and ids are kept.

        Parameters
        ----------
        num_planes
            By default the highest plane that has a ROI, and those before it.

        Raises
        ------
        ValueError
            A volumetric table, or a ROI beyond ``num_planes``.

        Examples
        --------
        >>> from xprep import RoiTable
        >>> [len(one) for one in RoiTable.from_pixels([[1.0], [1.0]], [[2], [3]], [[2], [3]], zpix=[2, 0]).split_planes()]
        [1, 0, 1]
        """
        if self.volumetric:
            raise ValueError("volumetric ROIs do not lie in one plane; only a planar table can be split by planes.")
        planes = self.planes
        return [self[np.flatnonzero(planes == plane)] for plane in range(count_planes(planes, num_planes))]

    def _whole(self, columns: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Return which ROIs have no pixel that is outside."""
        lost = np.zeros(len(self), bool)
        owners = np.repeat(np.arange(len(self)), np.diff(self.starts))
        for column in columns.values():
            lost[owners[column == OUTSIDE]] = True
        return ~lost

    @property
    def names(self) -> Array:
        """The ids as a coordinate: text as objects, which Zarr writes as text of any length (of fixed length it warns)."""
        return self.ids.astype(object) if self.ids.dtype.kind in "US" else self.ids

    @property
    def _places(self) -> dict[str, Array]:
        return {"z": self.zpix, "y": self.ypix, "x": self.xpix}

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        """The columns ``lam, zpix, ypix, xpix``."""
        return self.lam, self.zpix, self.ypix, self.xpix

    def pixels(self, first: int = 0, last: int | None = None) -> RoiPixels:
        """Return the pixels of ROIs ``first`` to ``last`` (exclusive), as loops want them."""
        count = len(self)
        first = check_whole(first, "first", 0, count)
        last = count if last is None else check_whole(last, "last", first, count, ", or None")
        return pixels_between(self.columns, self.starts, first, last)

    def pixels_of(self, chosen: NDArray[np.int64]) -> RoiPixels:
        """Return the pixels of the ``chosen`` ROIs, as loops want them."""
        rois = np.asarray(chosen)
        whole = rois.ndim == 1 and (rois.dtype.kind in "iu" or not rois.size)
        if not whole or (rois.size and not 0 <= rois.min() <= rois.max() < len(self)):
            raise ValueError(f"chosen must be numbers of ROIs, a list of them from 0 to {len(self) - 1}; got {chosen!r}.")
        return pixels_of(self.columns, self.starts, rois.astype(np.int64, copy=False))

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
        """Return the columns as `xprep.rois.flatten_roi_data` gives them.

        Returns
        -------
        dict
            ``lam_flat, ypix_flat, xpix_flat, zpix_flat`` and ``roi_idx``, the number (not the id) of each pixel's ROI.

        Examples
        --------
        >>> from xprep import RoiTable
        >>> RoiTable.from_pixels([[1.0, 3.0], [2.0]], ypix=[[4, 8], [5]], xpix=[[0, 0], [9]]).flat()["roi_idx"]
        array([0, 0, 1])
        """
        lam, zpix, ypix, xpix = self.columns
        rois = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return {"lam_flat": lam, "ypix_flat": ypix, "xpix_flat": xpix, "roi_idx": rois, "zpix_flat": zpix}
