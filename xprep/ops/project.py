"""Projections along a dim: the volume seen from one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.arguments import check_dim_names
from xprep.dims.axes import PLANE, check_dims, check_image
from xprep.dims.containers.apply import Container, map_images
from xprep.dims.containers.following import Beside
from xprep.dims.parameters import check_choice
from xprep.dims.provenance import relabel, spell
from xprep.engine.blocks.reductions import Reduction, reduce_axes
from xprep.engine.blocks.tiling import merged
from xprep.engine.sources.lazy import as_lazy, like
from xprep.kernels.project import PROJECTIONS, Summary
from xprep.naming import named
from xprep.ops.recorded import recorded
from xprep.switches import check_switch
from xprep.types import Array


@recorded
def project(image: Container, dim: str | Sequence[str], how: str = "max", *, skipna: bool | None = None) -> Container:
    """Project along ``dim``: maximum, mean, sum, minimum or standard deviation of the voxels behind each other.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Any dims, in any order; integers, floats or booleans. In a Dataset or DataTree every image is projected; labels and
        other variables along ``dim`` are left out.
    dim : str or sequence of str
        The dim (or dims) to look along; the others keep their order, so ``"x"`` of (z, y, x) gives (z, y).
    how : {"max", "mean", "sum", "min", "std"}
        ``"std"`` divides by the number of voxels (ddof 0).
    skipna : bool, optional
        Leave NaNs out; by default where there can be any (floats), as xarray does. All NaN gives NaN, and 0 for
        ``"sum"``.

    Returns
    -------
    same kind as ``image``
        ``max`` and ``min`` keep the dtype; ``sum`` of integers is int64 or uint64, exact; ``mean`` and ``std`` of
        integers are float64; floats keep their type. Lazy if the input is. Coordinates along ``dim`` are dropped.

    Raises
    ------
    ValueError
        No such dim, an unknown ``how``, or an image without pixels.
    TypeError
        The image's values are not real numbers.

    Notes
    -----
    Sums are made in float64 whatever the type, and ``std`` from squared deviations joined block by block (Chan, Golub
    and LeVeque 1979), so float32 stays right over billions of voxels and on top of a large offset.

    The maximum is that of ``maximum_z_projection`` of pyclesperanto, with two differences: its NaNs count only when
    they come first, here `skipna` says; and ``"x"`` is (z, y), never transposed.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> stack = xr.DataArray(np.arange(12, dtype="uint8").reshape(3, 2, 2), dims=("z", "y", "x"))
    >>> stack.prep.project("z").values.tolist()
    [[8, 9], [10, 11]]
    """
    skipna = check_switch(skipna, "skipna", None)
    check_choice(how, tuple(PROJECTIONS), "how")
    gone = Beside(moved=list(check_dim_names(dim, "dim")))
    step = spell("project", {"dim": dim, "how": how, "skipna": skipna}, {"skipna": None})
    makes = None if how in ("max", "min") else f"project(how={how!r})"
    return map_images(lambda array: _project(array, dim, how, skipna, step), image, makes, gone)


def _project(image: xr.DataArray, dim: str | Sequence[str], how: str, skipna: bool | None, step: str) -> xr.DataArray:
    check_image(image, "project", needed=())
    dims = [dim] if isinstance(dim, str) else list(dim)
    check_dims(dims, image, "dim")
    if not dims or len(set(dims)) < len(dims):
        raise ValueError(f"dim must name at least one dim, and each once; got {dim!r}.")
    floats = image.dtype.kind == "f"
    skip = floats and (skipna is None or skipna)
    axes = tuple(sorted(image.get_axis_num(name) for name in dims))
    dtype = _result_dtype(image.dtype, how)
    made, joined, done = _SummarizeProjection(how, axes, skip), _JoinProjections(how, skip), _FinishProjection(how, dtype)
    steps = Reduction(made, joined, done, _summary_bytes(how, dtype))
    data = like(image.data, reduce_axes(steps, merged(as_lazy(image.data)), axes, dtype, label=f"project-{how}"))
    stale = [name for name, coordinate in image.coords.items() if set(dims) & set(coordinate.dims)]
    left = image.drop_vars(stale).isel(dict.fromkeys(dims, 0))
    return relabel(left, data, step, is_image=set(PLANE) <= set(left.dims))


def _summary_bytes(how: str, dtype: np.dtype[Any]) -> int:
    """Return what a voxel takes in a summary: its own type's bytes, or numbers in float64."""
    return {"mean": 2, "std": 3}.get(how, 1) * (dtype.itemsize if how in ("max", "min") else 8)


def _result_dtype(dtype: np.dtype[Any], how: str) -> np.dtype[Any]:
    """Return xarray's types: numpy's of the same reduction."""
    if how in ("max", "min"):
        return dtype.newbyteorder("=")
    return getattr(np.zeros(1, dtype), how)().dtype  # type: ignore[no-any-return]


@named("project-summarize")
@dataclass(frozen=True)
class _SummarizeProjection:
    how: str
    axes: tuple[int, ...]
    skipna: bool

    def __call__(self, block: Array) -> Summary:
        return PROJECTIONS[self.how].summarize(block, self.axes, self.skipna)


@named("project-join")
@dataclass(frozen=True)
class _JoinProjections:
    how: str
    skipna: bool

    def __call__(self, summaries: Sequence[Summary]) -> Summary:
        return PROJECTIONS[self.how].join(summaries, self.skipna)


@named("project-finish")
@dataclass(frozen=True)
class _FinishProjection:
    how: str
    dtype: np.dtype[Any]

    def __call__(self, summary: Summary) -> Array:
        return np.asarray(PROJECTIONS[self.how].finish(*summary), self.dtype)
