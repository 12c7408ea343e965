"""Which nodes of a DataTree are the levels of one image, and how many times coarser each is than the one before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import SPACE
from xprep.dims.containers.roles import roles_of
from xprep.dims.spacing import Line, line_of
from xprep.types import METHODS

NUMBERED = re.compile(r"scale(0|[1-9]\d*)")
# What others write for how levels were made: ngff-zarr, ome-zarr-py.
METHODS_OF_OTHERS = {
    "itkwasm_gaussian": "gaussian", "itk_gaussian": "gaussian", "dask_image_gaussian": "gaussian",
    "itkwasm_bin_shrink": "mean", "itk_bin_shrink": "mean", "local_mean": "mean",
    "itkwasm_label_image": "mode", "dask_image_mode": "mode", "dask_image_nearest": "nearest",
}  # fmt: skip
KEEPING = ("mode", "nearest", "max")  # methods that make no new values
SLACK = 1.5  # coarse voxels: some writers drop a last block that is not full (1), and some say no translation (0.5)


@dataclass(frozen=True)
class Levels:
    """Nodes that are levels: paths, finest first, below the node at ``parent``; how they were made, if anybody says."""

    parent: str
    nodes: tuple[str, ...]
    method: str = ""


def nodes_of(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """Return the nodes of a tree by their paths below it; its own is "/"."""
    above = len(tree.path.rstrip("/"))
    return {node.path[above:] or "/": node for node in tree.subtree}


def join_path(parent: str, *names: Any) -> str:
    """Return the path of a node below another.

    >>> join_path("/", "scale0"), join_path("/a", "b", "c")
    ('/scale0', '/a/b/c')
    """
    return "/".join([parent.rstrip("/"), *map(str, names)])


def find_levels(tree: xr.DataTree) -> list[Levels]:
    """Return all levels in a tree.

    Nodes are the levels of an image if they are the datasets of one ``multiscales`` in the attributes of a node above them; if
    they are ``scale0``, ``scale1`` … below a node whose attribute ``method`` says how they were made; or if they are siblings
    of these names that show one extent, with growing voxels.
    """
    nodes = nodes_of(tree)
    found: list[Levels] = []
    taken: set[str] = set()  # levels, and all below them: there are none in a level
    for path, node in nodes.items():
        if path in taken or (path.rpartition("/")[0] or "/") in taken:
            taken.add(path)
            continue
        for one in _levels_below(path, node, nodes):
            if taken.isdisjoint(one.nodes):
                found.append(one)
                taken.update(one.nodes)
    return found


def _levels_below(path: str, node: xr.DataTree, nodes: Mapping[str, xr.DataTree]) -> Iterator[Levels]:
    """Yield what metadata name as levels, and then children that are called so."""
    yield from (Levels(path, names, method) for names, method in _listed(path, node, nodes))
    numbered = tuple(join_path(path, name) for name in numbered_children(node))
    if numbered and (_says_method(node) or _are_levels([nodes[name] for name in numbered])):
        yield Levels(path, numbered, method_of(node.attrs.get("method")))


def numbered_children(node: xr.DataTree) -> list[str]:
    """Return the names ``scale0``, ``scale1`` … of children that hold images, in their order."""
    names = [name for name in node.children if NUMBERED.fullmatch(name) and first_image(node.children[name]) is not None]
    return sorted(names, key=lambda name: int(name.removeprefix("scale")))


def first_image(node: xr.DataTree) -> xr.DataArray | None:
    """Return the first image (or label image) of a node."""
    roles = roles_of(node.to_dataset(inherit=False))
    name = next(iter((*roles.images, *roles.labels)), None)
    return None if name is None else node.to_dataset()[name]


def method_of(said: Any) -> str:
    """Return a method of xprep from what metadata say, "" where they say none that is known."""
    return said if said in METHODS else METHODS_OF_OTHERS.get(str(said), "")


def _says_method(node: xr.DataTree) -> bool:
    return bool(method_of(node.attrs.get("method")))


def multiscales_of(attributes: Mapping[Any, Any]) -> list[Mapping[str, Any]]:
    """Return the entries of ``multiscales`` in the attributes of a group, in the words of OME-Zarr 0.4 or later."""
    ome = attributes.get("ome")
    entries = (ome if isinstance(ome, Mapping) else attributes).get("multiscales")
    return [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, Sequence) else []


def _listed(path: str, node: xr.DataTree, nodes: Mapping[str, xr.DataTree]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the nodes that metadata name as levels, and their method."""
    seen = set()
    for entry in multiscales_of(node.attrs):
        datasets = entry.get("datasets")
        paths = [str(one.get("path")) for one in datasets if isinstance(one, Mapping)] if isinstance(datasets, Sequence) else []
        found = (_level_node(join_path(path, name), nodes) for name in paths)
        names = tuple(dict.fromkeys(name for name in found if name is not None and name != path))
        if names and names not in seen:
            seen.add(names)
            yield names, method_of(node.attrs.get("method")) or _method_of_entry(entry)


def _method_of_entry(entry: Mapping[str, Any]) -> str:
    metadata = entry.get("metadata")
    return method_of(entry.get("type")) or method_of(metadata.get("method") if isinstance(metadata, Mapping) else None)


def _level_node(path: str, nodes: Mapping[str, xr.DataTree]) -> str | None:
    """Return the node that a level lies in: that of its path, or the one above whose variable the path's last part is."""
    for one in (path, path.rpartition("/")[0]):
        if one in nodes and first_image(nodes[one]) is not None:
            return one
    return None


def _are_levels(nodes: Sequence[xr.DataTree]) -> bool:
    """Whether nodes show one extent, with growing voxels."""
    images = [image for node in nodes if (image := first_image(node)) is not None]
    return all(_is_coarser(before, level) for before, level in pairwise(images))


def _is_coarser(before: xr.DataArray, level: xr.DataArray) -> bool:
    """Whether ``level`` shows all that ``before`` does, within a voxel of its own and a half, in larger voxels."""
    ratios = [_ratio(before, level, dim) for dim in SPACE if dim in before.dims and dim in level.dims]
    return None not in ratios and max((ratio for ratio in ratios if ratio), default=0.0) > 1


def _ratio(before: xr.DataArray, level: xr.DataArray, dim: str) -> float | None:
    """Return how many times larger voxels are along a dim; None where they are smaller, or do not lie in the same place."""
    fine, coarse = _span(before, dim), _span(level, dim)
    if fine is None or coarse is None:
        long, short = before.sizes[dim], level.sizes[dim]
        factor = factor_between(before, level, dim)
        return float(factor) if short <= long and abs(long - factor * short) <= factor else None
    apart = max(abs(a - b) for a, b in zip(fine[:2], coarse[:2], strict=True))
    return coarse[2] / fine[2] if apart <= SLACK * coarse[2] and coarse[2] > 0.999 * fine[2] > 0 else None


def _span(image: xr.DataArray, dim: str) -> tuple[float, float, float] | None:
    """Return where an image begins and ends along a dim, and how large its voxels are; None where nobody says, evenly."""
    if dim not in image.coords or image.coords[dim].chunks is not None:
        return None
    coord = image.coords[dim]
    line, given = line_of(coord.values), coord.attrs.get("spacing")
    if line is None and coord.size == 1 and isinstance(given, int | float | np.number) and coord.dtype.kind in "iuf":
        line = Line(float(coord.values[0]), float(given))
    if line is None:
        return None
    step, ends = abs(line.step), (line.first, line.first + line.step * (coord.size - 1))
    return min(ends) - step / 2, max(ends) + step / 2, step


def factor_between(before: xr.DataArray, level: xr.DataArray, dim: str) -> int:
    """Return how many voxels became one along a dim: by their sizes, or by their number where nobody says those."""
    fine, coarse = _span(before, dim), _span(level, dim)
    long, short = before.sizes[dim], level.sizes[dim]
    if fine is not None and coarse is not None and fine[2] > 0:
        return max(1, round(coarse[2] / fine[2]))
    near = round(long / short) if short else long  # a crop leaves coarse levels without pixels: 1 is what it has
    return max(1, next((f for f in (near, near + 1, near - 1) if f > 0 and -(-long // f) == short), near))


def steps_between(levels: Sequence[xr.DataArray]) -> list[dict[str, int]]:
    """Return the factors of every level but the first, by dim, relative to the level before.

    Raises
    ------
    ValueError
        A level has other dims or channels than the one before, is larger, or no whole number of times coarser.
    """
    return [_step(before, level, n) for n, (before, level) in enumerate(pairwise(levels), 1)]


def _step(before: xr.DataArray, level: xr.DataArray, n: int) -> dict[str, int]:
    if set(before.dims) != set(level.dims):
        raise ValueError(
            f"level {n} has the dims {level.dims}, the level before {before.dims}: they are no levels of one image. {_WAY_OUT}"
        )
    factors = {str(dim): _checked_factor(before, level, str(dim), n) for dim in before.dims}
    return {dim: factor for dim, factor in factors.items() if factor > 1}


_WAY_OUT = "Take one of them, e.g. tree['scale0/image']; or, if they are fields of view, give the nodes other names."


def _checked_factor(before: xr.DataArray, level: xr.DataArray, dim: str, n: int) -> int:
    long, short = before.sizes[dim], level.sizes[dim]
    if dim not in (*SPACE, "t") and long != short:
        raise ValueError(
            f"level {n} has {short} positions along {dim!r}, and the level before {long}; levels have the same. {_WAY_OUT}"
        )
    factor = 1 if dim not in (*SPACE, "t") else factor_between(before, level, dim)
    if abs(long - factor * short) > factor:
        raise ValueError(
            f"level {n} has {short} voxels along {dim!r}, the level before {long}: that is no whole number of times fewer, and "
            f"levels are made anew by whole factors only. {_WAY_OUT}"
        )
    return factor
