"""Pyramids: the same image at coarser and coarser resolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xprep.dims.axes import check_image
from xprep.dims.containers.apply import refuse_doubtful
from xprep.dims.containers.coarser import KEEPING, make_levels, shrink_dataset
from xprep.dims.containers.contents import ContainerContents, contents_of
from xprep.dims.containers.levels import join_path, nodes_of
from xprep.dims.containers.shrinking import check_steps, factors_of
from xprep.dims.parameters import check_choice
from xprep.dims.provenance import spell
from xprep.types import METHODS

IMAGE = "image"  # the variable of a DataArray in its pyramid, as in stores


def pyramid(image: Any, scale_factors: Sequence[Any] = (2, 2), *, method: str = "mean") -> xr.DataTree:
    """Make coarser and coarser versions of an image, each from the one before.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Dims in any order, with y and x; integers, floats or booleans. In a Dataset or DataTree every image is shrunk,
        and with it every other variable along the same dims: labels and masks (integers and booleans that are no image)
        by their commonest value. Of an image in levels, new ones are made of level 0.
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
        A factor is no whole number of at least 1, a dim is unknown, an unknown method, or an image without pixels; whole
        numbers that may be labels would be blended.
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
    check_choice(method, METHODS, "method")
    step = spell("pyramid", {"scale_factors": tuple(steps), "method": method})
    if isinstance(image, xr.DataArray):
        check_image(image, "pyramid")
        levels = [level.to_dataset(name=IMAGE) for level in make_levels(image, steps, method, step)]
        return _tree({"/": levels}, image.name, {"/": method})
    contents = contents_of(image)
    if method not in KEEPING:
        refuse_doubtful(contents, f"pyramid(method={method!r})")
    tree = {} if isinstance(image, xr.Dataset) else {path: node.to_dataset() for path, node in nodes_of(image).items()}
    nodes = tree or {"": image}
    made: dict[str, list[xr.Dataset]] = {}
    methods: dict[str, str] = {}
    for parent, (path, images) in _holders(contents).items():
        _check([nodes[path][name] for name in images], steps)
        made[parent] = shrink_dataset(nodes[path], images, steps, method, step)
        methods[parent] = method if images else "mode"
    return _tree(made, image.name if isinstance(image, xr.DataTree) else None, methods)


def _check(images: Sequence[xr.DataArray], steps: Sequence[Any]) -> None:
    for array in images:
        check_image(array, "pyramid")
    for one in steps if images else ():
        factors_of(one, images[0])


def _holders(contents: ContainerContents) -> dict[str, tuple[str, list[Any]]]:
    """Return the nodes whose images are to be shrunk, and their names, by the node that the new levels belong to.

    Labels have nodes of their own, or lie beside the images of one.

    Raises
    ------
    ValueError
        A node holds an image and is at the same time above the levels of another.
    """
    found: dict[str, tuple[str, list[Any]]] = {}
    for one in (*contents.images, *contents.labels):
        parent, node = one.parent or "/", one.key[0]
        names = found.setdefault(parent, (node, []))[1]
        if found[parent][0] != node:
            raise ValueError(
                f"the node {parent!r} holds an image and is above the levels of another; both would become levels of it. "
                "Give one of them a node of its own."
            )
        if one not in contents.labels:
            names.append(one.key[1])
    return found


def _tree(nodes: Mapping[str, list[xr.Dataset]], name: Any, methods: Mapping[str, str]) -> xr.DataTree:
    below = {join_path(path, f"scale{n}"): level for path, levels in nodes.items() for n, level in enumerate(levels)}
    tree = xr.DataTree.from_dict(below, name=None if name is None else str(name))
    for path, method in methods.items():
        tree[path].attrs["method"] = method
    return tree
