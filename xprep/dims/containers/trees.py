"""A DataTree whose images are replaced: its labels follow, its levels are made anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xprep.dims.axes import SPACE
from xprep.dims.containers.coarser import anew, level_attributes, level_method, may_be_labels
from xprep.dims.containers.contents import LABELS, ContainerContents, LocatedImage, Name, contents_of
from xprep.dims.containers.following import Beside, replace_images
from xprep.dims.containers.levels import Levels, join_path, nodes_of, steps_between
from xprep.dims.provenance import without_place

TRANSFORM = "transform"  # SpatialData's: where the pixels of an element, or of one of its levels, lie
Nodes = Mapping[str, xr.DataTree]
Results = Mapping[str, Mapping[Any, xr.DataArray]]


def rebuild_tree(tree: xr.DataTree, results: Mapping[Name, xr.DataArray], beside: Beside) -> xr.DataTree:
    """Return ``tree`` with ``results`` in place of its images, by node and name."""
    nodes, contents = nodes_of(tree), contents_of(tree)
    by_node: dict[str, dict[Any, xr.DataArray]] = {}
    for (path, name), result in results.items():
        by_node.setdefault(path, {})[name] = result
    coarser = {path for group in contents.groups for path in group.nodes[1:]}
    made = {path: _node(path, nodes, contents, by_node, beside) for path in nodes if path not in coarser}
    for group in contents.groups:
        tracks = [one for one in (*contents.images, *contents.labels) if one.group is group]
        made.update(_levels(group, tracks, nodes, made, by_node, beside))
    gone = _left_out(nodes, made)
    return xr.DataTree.from_dict({path: made[path] for path in nodes if path not in gone}, name=tree.name)


def _left_out(nodes: Nodes, made: Mapping[str, xr.Dataset]) -> set[str]:
    """Return the nodes all of whose variables, and of those below them, were left out."""
    found: set[str] = set()
    for path in reversed(list(nodes)):  # what is below a node comes first
        node, below = nodes[path], [join_path(path, name) for name in nodes[path].children]
        own = not made[path].data_vars if path in made and node.data_vars else path not in made or bool(below)
        if path != "/" and own and all(other in found for other in below):
            found.add(path)
    return found


def _node(path: str, nodes: Nodes, contents: ContainerContents, results: Results, beside: Beside) -> xr.Dataset:
    own = nodes[path].to_dataset(inherit=path == "/")
    if not own.variables:
        return own
    inherited = nodes[path].to_dataset()
    near = _image_of_labels(path, contents) if path in contents.below_labels else []
    prefix = join_path(path, "")
    others = results.items() if nodes[path].children else ()
    below = [image for other, images in others if other.startswith(prefix) for image in images.values()]
    return replace_images(own, results.get(path, {}), beside, inherited=_lying_on(inherited, near), near=near, below=below)


def _image_of_labels(path: str, contents: ContainerContents) -> list[xr.DataArray]:
    """Return the image that the labels in a node lie on, if it is there."""
    return [one.array for one in contents.images if path.startswith(join_path(one.parent, LABELS, ""))][:1]


def _lying_on(labels: xr.Dataset, images: Sequence[xr.DataArray]) -> xr.Dataset:
    """Return labels that say where they lie: those without coordinates along a dim of space lie on their image."""
    known = {dim: image.coords[dim] for image in images for dim in SPACE if dim in image.coords and dim not in labels.coords}
    return labels.assign_coords({dim: coord for dim, coord in known.items() if labels.sizes.get(dim) == coord.size})


def _levels(
    group: Levels, tracks: list[LocatedImage], nodes: Nodes, made: Mapping[str, xr.Dataset], results: Results, beside: Beside
) -> dict[str, xr.Dataset]:
    """Return the coarser nodes of levels: made anew of what became of level 0, and none where that has nothing to shrink."""
    finest, coarser = group.nodes[0], group.nodes[1:]
    if finest not in results and not any(beside.touches(one.array.dims) for one in tracks):
        return {path: nodes[path].to_dataset(inherit=False) for path in coarser}
    first = max(tracks, key=lambda one: len(one.levels))
    steps = steps_between([level.array for level in first.levels])
    base, name = made[finest], first.key[1]
    above = made[group.parent].attrs
    if name not in base or not any(dim in base[name].dims for step in steps for dim in step if dim in SPACE):
        return {group.parent: _with_attrs(made[group.parent], {k: v for k, v in without_place(above).items() if k != "method"})}
    is_image = name in results.get(finest, {})
    as_labels = not is_image or (not group.method and may_be_labels(first.array))
    method = level_method(group.method, base[name].dtype, as_labels)
    coarse = anew(base, set(results[finest]) if is_image else {name}, steps, method)
    found, same = {}, not beside.moved
    for level, dataset in zip(first.levels[1:], coarse, strict=True):
        stays = not beside.moved and dict(dataset[name].sizes) == dict(level.array.sizes)
        if stays and TRANSFORM in level.array.attrs:  # still true
            dataset[name].attrs[TRANSFORM] = level.array.attrs[TRANSFORM]
        found[level.node] = dataset.assign_attrs(nodes[level.node].attrs)
        same = same and stays
    return {**found, group.parent: _with_attrs(made[group.parent], level_attributes(above, method, same))}


def _with_attrs(dataset: xr.Dataset, attrs: Mapping[Any, Any]) -> xr.Dataset:
    changed = dataset.copy()
    changed.attrs = dict(attrs)
    return changed


def tree_of_results(images: Sequence[LocatedImage], results: Mapping[Name, xr.Dataset], variable: str, name: Any) -> xr.DataTree:
    """Return a DataTree with a Dataset for every image, and for each of its levels, made anew of the ``variable`` of level 0."""
    nodes: dict[str, xr.Dataset] = {}
    entries: dict[str, list[dict[str, Any]]] = {}
    for one in images:
        levels, method = [results[one.key]], ""
        if one.group is not None:
            steps = steps_between([level.array for level in one.levels])
            method = level_method(one.group.method, levels[0][variable].dtype)
            levels += anew(levels[0], {variable}, steps, method)
            paths = [join_path(level.node, level.name, variable)[len(join_path(one.parent, "")) :] for level in one.levels]
            entries.setdefault(one.parent, []).append({"datasets": [{"path": path} for path in paths], "type": method})
        nodes |= {join_path(level.node, level.name): dataset for level, dataset in zip(one.levels, levels, strict=True)}
    tree = xr.DataTree.from_dict(nodes, name=name)
    for parent, listed in entries.items():
        tree[parent].attrs["multiscales"] = listed
    return tree
