"""Pyramids: the same image at coarser and coarser resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import xarray as xr

from xprep.engine.gather import gather
from xprep.engine.grid import regular_chunks
from xprep.engine.lazy import as_lazy, like
from xprep.engine.tiling import base_chunk
from xprep.ops.containers import images_of
from xprep.ops.labels import attributes, spell
from xprep.ops.layout import PLANE, check_image
from xprep.ops.shrinking import Shrinking, check_method, check_steps, factors_of, shrunk_coords, shrunk_shape

IMAGE = "image"  # the variable of a DataArray in its pyramid, as in stores


def pyramid(image: Any, scale_factors: Sequence[Any] = (2, 2), *, method: str = "mean") -> xr.DataTree:
    """Make coarser and coarser versions of an image, each from the one before.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order, with y and x; integers, floats or booleans. In a Dataset or DataTree every image is shrunk,
        and with it every other variable along the same dims: labels and masks (integers and booleans that are no image)
        by their commonest value.
    scale_factors : sequence
        One entry a level, relative to the level before: a number shrinks y and x, a mapping names its dims
        (``{"z": 1, "y": 2, "x": 2}``). Whole numbers, 1 or more.
    method : {"mean", "max", "nearest", "mode", "gaussian"}
        What a block of pixels becomes: its mean, its largest value, the pixel at its centre (of two the first), its
        commonest value (of equally common ones the smallest; for labels), or the mean around its centre, weighted by a
        Gaussian of sigma ``sqrt((f² − 1) / (8 ln 2))`` pixels (0.74 for a factor of 2) that is cut off at 4 sigma.

    Returns
    -------
    DataTree
        ``scale0`` (the image) … ``scaleN``, each with the variable ``image``, as `open_tree` has it; of a Dataset with
        its variables, of a DataTree at every node that holds images; their group's attribute ``method`` says how. All
        levels have the image's dtype: means of integers round half to even. Sizes round up, and a block at the far edge
        is taken over the pixels it has. Coordinates are the new pixels' centres. Lazy if the input is.

    Raises
    ------
    ValueError
        A factor is no whole number of at least 1, a dim is unknown, an unknown method, or an image without pixels.
    TypeError
        The mode of floats, or values that are not real numbers.

    Notes
    -----
    Where NaN are among a block's pixels, its mean, maximum and weighted mean are NaN. The mean of means is not the mean
    of all where sizes are odd; that is the usual way, and every level is made from the one before.

    Source of sigma: Cardoso et al., "Scale factor point spread function matching", MICCAI 2015.

    Examples
    --------
    >>> import numpy as np, xarray as xr, xprep
    >>> image = xr.DataArray(np.arange(20, dtype="uint8").reshape(4, 5), dims=("y", "x"))
    >>> levels = image.prep.pyramid((2,))
    >>> levels["scale1/image"].values.tolist()
    [[3, 5, 6], [13, 15, 16]]
    >>> levels["scale1/image"].x.values.tolist()
    [0.5, 2.5, 4.5]
    """
    steps = check_steps(scale_factors)
    step = spell("pyramid", {"scale_factors": tuple(steps), "method": method})
    names = set(images_of(image))
    if isinstance(image, xr.DataArray):
        check_image(image, "pyramid")
        levels = [level.to_dataset(name=IMAGE) for level in make_levels(image, steps, method, step)]
        return _tree({"": levels}, image.name, method)
    if isinstance(image, xr.Dataset):
        return _tree({"": _shrink_dataset(image, {name for _, name in names}, steps, method, step)}, None, method)
    nodes = {}
    for node in image.subtree:
        if mine := {name for path, name in names if path == node.path}:
            nodes[node.path.rstrip("/")] = _shrink_dataset(node.to_dataset(), mine, steps, method, step)
    return _tree(nodes, image.name, method)


def make_levels(image: xr.DataArray, steps: Sequence[Any], method: str, step: str) -> list[xr.DataArray]:
    """Return the image and its coarser versions; all coordinates come from its own, so that no rounding adds up."""
    check_method(method, image.dtype)
    levels, total = [image], (1,) * image.ndim
    for one in steps:
        factors = factors_of(one, image)
        total = tuple(a * b for a, b in zip(total, factors, strict=True))
        data = _shrink(levels[-1].data, Shrinking(factors, method))
        coords = shrunk_coords(image, total, data.shape)
        level = xr.DataArray(data, coords=coords, dims=image.dims, name=image.name)
        level.attrs = attributes(image, step)
        levels.append(level)
    return levels


def _shrink(data: Any, shrinking: Shrinking) -> Any:
    before = as_lazy(data)
    shape = shrunk_shape(before.shape, shrinking.factors)
    chunks = regular_chunks(shape, base_chunk(before))
    made = gather(shrinking, before, dtype=before.dtype, chunks=chunks, needs=partial(_needs, shrinking), label=shrinking.method)
    return like(data, made)


def _needs(shrinking: Shrinking, axis: int, start: int, stop: int) -> tuple[int, int]:
    return shrinking.needs(axis, start, stop)


def _shrink_dataset(dataset: xr.Dataset, images: set[Any], steps: Sequence[Any], method: str, step: str) -> list[xr.Dataset]:
    """Return a Dataset and its coarser versions; what does not lie along a dim that shrinks is in each of them."""
    image = next(dataset[name] for name in dataset.data_vars if name in images)
    shrinking = {dim for one in steps for dim, f in zip(image.dims, factors_of(one, image), strict=True) if f > 1}
    moving = {name: dataset[name] for name in dataset.data_vars if shrinking & set(dataset[name].dims)}
    made = {}
    for name, array in moving.items():
        if name in images:
            check_image(array, "pyramid")
        own = [_own_part(one, array) for one in steps]
        made[name] = make_levels(array, own, method if name in images or array.dtype.kind == "f" else "mode", step)
    still = dataset.drop_dims(shrinking) if shrinking else dataset
    levels = [dataset]
    for n in range(1, len(steps) + 1):
        parts = [made[name][n].to_dataset(name=name) for name in made]
        level = xr.merge([still, *parts], join="exact", compat="override", combine_attrs="override")
        levels.append(level[[name for name in dataset.data_vars if name in level]].assign_attrs(dataset.attrs))
    return levels


def _own_part(step: Any, array: xr.DataArray) -> dict[Any, Any]:
    """Return the factors of those dims that ``array`` has: labels have no channels."""
    wanted = step if isinstance(step, Mapping) else dict.fromkeys(PLANE, step)
    return {dim: factor for dim, factor in wanted.items() if dim in array.dims}


def _tree(nodes: dict[str, list[xr.Dataset]], name: Any, method: str) -> xr.DataTree:
    below = {f"{path}/scale{n}": level for path, levels in nodes.items() for n, level in enumerate(levels)}
    tree = xr.DataTree.from_dict(below, name=None if name is None else str(name))
    for path in nodes:
        (tree[path] if path else tree).attrs["method"] = method
    return tree
