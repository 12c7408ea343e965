"""Exact quantiles, streamed."""

from __future__ import annotations

from itertools import count
from typing import Any, cast

import numpy as np
import xarray as xr

from xprep.arguments import check_dim_names
from xprep.dims.axes import CHANNEL, check_dims, check_image
from xprep.dims.containers.apply import Container, collect, images_of
from xprep.dims.parameters import check_choice, check_quantiles
from xprep.dims.provenance import attributes, kept_coords, spell
from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.tiling import tile_of
from xprep.engine.graph.tasks import as_array
from xprep.engine.passes.keep import Stream, keep
from xprep.engine.passes.quantiles import Question, quantiles
from xprep.engine.passes.sorting import block_quantiles
from xprep.engine.sources.lazy import as_lazy, like
from xprep.engine.sources.readable import arrange
from xprep.switches import check_switch
from xprep.types import Array

# Groups that are counted apart, 65536 counts each: 64 groups are 16 MiB a block in uint32. More are sorted block by block.
MAX_GROUPS = 64


def quantile(
    image: Container,
    q: Any,
    dim: Any = None,
    *,
    method: str = "exact",
    skip_zeros: bool = False,
    skipna: bool = True,
) -> Container:
    """Return exact quantiles, as `numpy.nanquantile` of the whole image in float64 with linear interpolation would.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order; integers, floats or booleans. Of an image in levels, level 0 counts.
    q : float or sequence of float
        Quantiles, 0–1.
    dim : str or sequence of str, optional
        Dims to reduce; by default all but the channel ``c``. ``...`` is all dims.
    method : {"exact"}
        The only one: there is no approximation to choose.
    skip_zeros : bool
        Leave out zeros (0.0 and −0.0).
    skipna : bool
        Leave out NaN; otherwise one NaN makes its quantiles NaN.

    Returns
    -------
    same kind as ``image``
        float64, with the dims that were not reduced, behind ``quantile`` if ``q`` is a sequence, as xarray's own. Lazy if the
        input is. NaN where nothing is left.

    Raises
    ------
    ValueError
        q outside 0–1, an unknown dim, an image without pixels.
    TypeError
        The image's values are not real numbers.

    Notes
    -----
    Values become integers of the same order, and ranks are found by counting 16 bits a pass: integers of up to 16 bits are
    read once, 32 bits twice, 64 bits four times; memory does not depend on the number of pixels. Where more than 64 groups
    remain (a quantile over time for every pixel), blocks are sorted instead, each with its reduced dims whole: read once.

    Where infinities make numpy's interpolation NaN, the result is the infinity it runs into; NaN only between −inf and +inf.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> image = xr.DataArray(np.arange(8, dtype="uint16").reshape(2, 2, 2), dims=("c", "y", "x"))
    >>> image.prep.quantile(0.5).values
    array([1.5, 5.5])
    """
    skip_zeros, skipna = check_switch(skip_zeros, "skip_zeros"), check_switch(skipna, "skipna")
    check_choice(method, ("exact",), "method")
    values = check_quantiles(q)
    step = spell(
        "quantile",
        {"q": q, "dim": dim, "skip_zeros": skip_zeros, "skipna": skipna},
        {"dim": None, "skip_zeros": False, "skipna": True},
    )
    scalar = np.ndim(q) == 0

    def one(array: xr.DataArray) -> xr.DataArray:
        return _quantile(array, values, scalar, dim, skip_zeros, skipna, step)

    if isinstance(image, xr.DataArray):
        return one(image)
    results = {name: one(array) for name, array in images_of(image, "quantile").items()}
    return cast("Container", collect(image, results))


def _reduced(image: xr.DataArray, dim: Any) -> tuple[Any, ...]:
    if dim is None:
        return tuple(name for name in image.dims if name != CHANNEL)
    names = tuple(image.dims) if dim is ... else check_dim_names(dim, "dim")
    check_dims(names, image, "dim")
    return names


def _quantile(
    image: xr.DataArray, q: tuple[float, ...], scalar: bool, dim: Any, skip_zeros: bool, skipna: bool, step: str
) -> xr.DataArray:
    check_image(image, "quantile", needed=())
    reduced = _reduced(image, dim)
    kept = tuple(name for name in image.dims if name not in reduced)
    if not reduced:
        raise ValueError("quantile has no dim to reduce: dim is empty. Leave it out for all dims but 'c'.")
    order = [image.get_axis_num(name) for name in (*kept, *reduced)]
    data = arrange(as_lazy(image.data), order)
    groups = [int(image.sizes[name]) for name in kept]
    question = Question(q, data.dtype, skip_zeros, skipna)
    if np.prod(groups, dtype=int) <= MAX_GROUPS:
        found = _counted(data, len(kept), question)
    else:
        found = block_quantiles(data, len(kept), q, skip_zeros, skipna)
    result = _named(image, found, kept, q, step)
    return result.isel(quantile=0) if scalar else result


def _counted(data: Any, nkept: int, question: Question) -> Any:
    groups = data.shape[:nkept]
    ngroups = int(np.prod(groups, dtype=int))
    kept = keep(data, question.rounds, tile_of(data, whole=range(nkept)))
    stream = Stream(kept, _Rows(nkept), (), data.dtype)
    found, _ = quantiles([stream], question, ngroups, count(), label="quantile")
    flat = as_array(found, (len(question.q), ngroups), np.float64)
    return flat.reshape(len(question.q), *groups)


class _Rows:
    """A block with one row a group."""

    def __init__(self, nkept: int) -> None:
        self.nkept = nkept

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        return block.reshape(int(np.prod(block.shape[: self.nkept], dtype=int)), -1)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return "rows", self.nkept


def _named(image: xr.DataArray, found: Any, kept: tuple[Any, ...], q: tuple[float, ...], step: str) -> xr.DataArray:
    result = xr.DataArray(like(image.data, found), dims=("quantile", *kept)).rename(image.name)
    result = result.assign_coords(kept_coords(image, kept, quantile=list(q)))
    result.attrs = attributes(image, step, is_image=False)
    return result
