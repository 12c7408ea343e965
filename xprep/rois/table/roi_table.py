"""The table of ROIs: ragged, immutable, checked at the door."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.arguments import check_shape
from xprep.rois.table.as_dataset import columns_from_dataset, dataset_of
from xprep.rois.table.checked_columns import check_lengths, join_lists, starts_of
from xprep.rois.table.from_labels import columns_from_labels
from xprep.rois.table.from_suite2p import columns_from_suite2p
from xprep.rois.table.joining import joined_columns
from xprep.rois.table.masks import build_centered_masks, build_masks
from xprep.rois.table.pixel_lists import Method, is_volumetric, join_planes, locate
from xprep.rois.table.ragged_columns import RaggedPixels


@dataclass(frozen=True, eq=False, repr=False)
class RoiTable(RaggedPixels):
    """Regions of interest: for every ROI the voxels that it holds, and their weights.

    ROI i is ``[starts[i]:starts[i + 1]]`` of every column. ROIs may overlap, be empty, and list a voxel twice: sums
    count it twice, masks take the last entry. Most tables are made by one of the constructors: `from_pixels`,
    `from_labels`, `from_suite2p`, `from_dataset`.

    Parameters
    ----------
    lam : array of float, (pixel,)
        Weights; finite, of any sign.
    zpix, ypix, xpix : array of int, (pixel,)
        Voxel positions, from 0.
    starts : array of int, (roi + 1,)
        Where each ROI starts, and where the last one ends.
    ids : array, (roi,), optional
        Names of the ROIs, all different; by default 0, 1, 2 …
    volumetric : bool
        Whether ROIs are volumes. If not, each lies in one plane (z).
    placement : mapping of str to PixelAxis, optional
        Where pixels lie along ``z``, ``y`` and ``x``: centre of pixel 0, pixel size, unit. `from_labels` takes it from the
        label image's coordinates, and it is kept by slicing, `concat`, `split_planes`, `to_dataset` and pickles. An image
        with coordinates is then measured where the ROIs lie, be it a crop of theirs or flipped; without either, positions
        count from its first pixel (`placed` adds a placement, or drops it).

    Raises
    ------
    ValueError
        Columns that do not match, positions that are not whole numbers or negative, weights that are not finite, a
        planar ROI in several planes, ids that occur twice.

    Examples
    --------
    >>> table = RoiTable.from_pixels([[1.0, 3.0], [2.0]], ypix=[[4, 8], [5]], xpix=[[0, 0], [9]])
    >>> table
    <xprep.RoiTable 2 ROIs, 3 pixels, planar: z 0…0, y 4…8, x 0…9>
    >>> table.centroids().y.values
    array([7, 5])
    """

    @classmethod
    def from_pixels(
        cls,
        lam: Sequence[Any],
        ypix: Sequence[Any],
        xpix: Sequence[Any],
        zpix: Sequence[Any] | None = None,
        *,
        ids: Sequence[Any] | None = None,
    ) -> RoiTable:
        """Make a table from lists of arrays, one per ROI.

        Parameters
        ----------
        lam, ypix, xpix
            Weights and positions, an array per ROI.
        zpix
            One plane per ROI makes the table planar, an array per ROI volumetric; None is plane 0.
        ids
            Names of the ROIs; by default 0, 1, 2 …

        Examples
        --------
        >>> RoiTable.from_pixels([[1.0], [1.0]], [[2], [3]], [[2], [3]], zpix=[0, 4])
        <xprep.RoiTable 2 ROIs, 2 pixels, planar: z 0…4, y 2…3, x 2…3>
        """
        check_lengths(lam=lam, ypix=ypix, xpix=xpix)
        columns: dict[str, Any] = {name: join_lists(lists) for name, lists in (("lam", lam), ("ypix", ypix), ("xpix", xpix))}
        for column in columns.values():
            column.flags.writeable = False  # made here: the table need not copy them
        planes: Sequence[Any] = [0] * len(lam) if zpix is None else zpix
        names = np.arange(len(lam)) if ids is None else np.asarray(ids)
        return cls(**columns, zpix=join_planes(planes, lam), starts=starts_of(lam), ids=names, volumetric=is_volumetric(planes))

    @classmethod
    def from_labels(cls, labels: Any) -> RoiTable:
        """Make a table from a label image, which is read now, once, chunk by chunk.

        Parameters
        ----------
        labels : DataArray, dask or numpy array of int, (y, x) or (z, y, x)
            0 is background, any other value a ROI: they come in ascending order, and ``ids`` are the labels. All
            weights are 1. A DataArray's dims may come in any order; pixels of a ROI are listed in raster order. Three
            axes make the table volumetric. Its coordinates become the table's ``placement``, also that of a plane of z
            which was selected. Memory: the table, and 20 bytes per run of equal labels along x.

        Raises
        ------
        ValueError
            Labels that are not integers, negative ones, or other dims; coordinates along z, y or x that are not even.

        Examples
        --------
        >>> import numpy as np
        >>> table = RoiTable.from_labels(np.array([[0, 7, 7], [3, 0, 7]]))
        >>> table.ids, np.diff(table.starts)
        (array([3, 7]), array([1, 3]))
        """
        return cls(**columns_from_labels(labels))

    @classmethod
    def from_suite2p(cls, stat: Any, *, plane: int | None = None, exclude_overlap: bool = False) -> RoiTable:
        """Make a table from suite2p's ``stat``: a list (or array) of dicts with ``ypix``, ``xpix`` and ``lam``.

        Parameters
        ----------
        stat
            What ``np.load("stat.npy", allow_pickle=True)`` gives, or several of them joined; one ROI's dict. No path: to
            read a pickle runs what is in it, which is left to you.
        plane
            The plane that all ROIs lie in; by default each ROI's ``iplane``, 0 where there is none.
        exclude_overlap
            Leave out the pixels that a ROI's ``overlap`` marks.

        Raises
        ------
        ValueError
            No ROIs, or what `RoiTable` refuses.
        KeyError
            A ROI lacks one of the entries.
        TypeError
            A path, or something else that is no list of dicts.

        Examples
        --------
        >>> import numpy as np
        >>> cell = {"ypix": np.array([3, 4]), "xpix": np.array([5, 5]), "lam": np.array([0.2, 0.8]), "iplane": 2}
        >>> RoiTable.from_suite2p([cell])
        <xprep.RoiTable 1 ROI, 2 pixels, planar: z 2…2, y 3…4, x 5…5>
        """
        return cls.from_pixels(**columns_from_suite2p(stat, plane, exclude_overlap))

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> RoiTable:
        """Make a table from what `to_dataset` gave; a lazy Dataset is computed.

        Examples
        --------
        >>> table = RoiTable.from_pixels([[1.0, 3.0], [2.0]], ypix=[[4, 8], [5]], xpix=[[0, 0], [9]])
        >>> RoiTable.from_dataset(table.to_dataset()).fingerprint == table.fingerprint
        True
        """
        return cls(**columns_from_dataset(dataset))

    def to_dataset(self) -> xr.Dataset:
        """Return the table as a Dataset that saves to Zarr or netCDF: a contiguous ragged array, as in CF.

        Returns
        -------
        Dataset
            ``lam, zpix, ypix, xpix`` over ``pixel``, ``pixel_count`` and the coordinate ``roi`` (the ids) over ``roi``.

        Examples
        --------
        >>> table = RoiTable.from_pixels([[1.0, 3.0], [2.0]], ypix=[[4, 8], [5]], xpix=[[0, 0], [9]])
        >>> dict(table.to_dataset().sizes)
        {'pixel': 3, 'roi': 2}
        """
        columns = {"lam": self.lam, "zpix": self.zpix, "ypix": self.ypix, "xpix": self.xpix}
        return dataset_of(columns, np.diff(self.starts), self.names, self.volumetric, self.placement)

    @classmethod
    def concat(cls, tables: Sequence[RoiTable]) -> RoiTable:
        """Join tables, of planes for example, one after another.

        Parameters
        ----------
        tables
            At least one. Ids are kept if they stay unique over all tables; otherwise ROIs are numbered anew. Tables of
            crops of one image are joined on its grid: positions count from the least of their origins.

        Raises
        ------
        ValueError
            No tables, or planar and volumetric ones; pixels that do not lie on one grid.

        Examples
        --------
        >>> table = RoiTable.from_pixels([[1.0], [1.0]], [[2], [3]], [[2], [3]], zpix=[1, 0])
        >>> RoiTable.concat(table.split_planes()).ids
        array([1, 0])
        """
        return cls(**joined_columns(tables))

    def centroids(self, method: Method = "weightedmean", asint: bool = True) -> xr.Dataset:
        """Return where every ROI lies.

        Parameters
        ----------
        method : {"weightedmean", "median"}
            Σ lam·q / Σ lam; or the median, truncated.
        asint
            Truncate towards zero, to int64 (the median always is).

        Returns
        -------
        Dataset
            ``z, y, x`` over ``roi``. Of a planar table, z is the plane.

        Raises
        ------
        ValueError
            A ROI without centroid (no pixels, or weights that sum to 0) with ``asint=True``; NaN otherwise.

        Examples
        --------
        >>> RoiTable.from_pixels([[1.0, 3.0]], ypix=[[4, 8]], xpix=[[2, 2]]).centroids(asint=False).y.values
        array([7.])
        """
        columns = (self.zpix, self.ypix, self.xpix) if self.volumetric else (self.ypix, self.xpix)
        found = locate(self.lam, columns, self.starts, method, asint)
        z = found[0] if self.volumetric else self.planes
        axes = {"z": z, "y": found[-2], "x": found[-1]}
        return xr.Dataset({name: ("roi", values) for name, values in axes.items()}, {"roi": self.names})

    def masks(self, shape: Sequence[int], volumetric: bool | None = None) -> xr.DataArray:
        """Return every ROI's weights in a plane (or volume) of its own, lazy, in chunks over ROIs.

        Parameters
        ----------
        shape
            ``(y, x)``, or ``(z, y, x)`` where ``volumetric``.
        volumetric
            Whether masks are volumes; None takes the table's own.

        Returns
        -------
        DataArray of float32, (roi, [z], y, x)
            Zero outside; of a voxel listed twice, the last entry wins. 20 000 ROIs on 1024² are 80 GB: blocks are made
            when they are used, and hold about ``tile_bytes`` (`xprep.set_options`).

        Raises
        ------
        ValueError
            A ROI outside ``shape``, or another number of axes.

        Examples
        --------
        >>> RoiTable.from_pixels([[0.5, 2.0]], [[0, 1]], [[1, 1]]).masks((2, 2)).values
        array([[[0. , 0.5],
                [0. , 2. ]]], dtype=float32)
        """
        return build_masks(self, check_shape(shape), self.volumetric if volumetric is None else volumetric)

    def centered_masks(
        self, width: int = 15, fill_value: float = 0.0, volumetric: bool | None = None, num_planes: int | None = None
    ) -> xr.DataArray:
        """Return every ROI's weights in a window about its centroid, lazy, in chunks over ROIs.

        Parameters
        ----------
        width
            Half-width: a window has 2·width + 1 pixels each way; what lies beyond is cut off.
        fill_value
            Value of what is not in the ROI.
        volumetric
            Whether windows hold all planes; None takes the table's own.
        num_planes
            Planes of volumetric windows; by default the highest that has a voxel, and those before it.

        Returns
        -------
        DataArray of float32, (roi, [z], dy, dx)
            A ROI without centroid (no pixels, or weights that sum to 0) has ``fill_value`` only.

        Raises
        ------
        ValueError
            A negative width, or a voxel beyond ``num_planes``.
        """
        flag = self.volumetric if volumetric is None else volumetric
        return build_centered_masks(self, width, fill_value, flag, num_planes)
