"""What a container holds: its images, each with its levels, and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import xarray as xr

from xprep.dims.containers.levels import Levels, find_levels, first_image, nodes_of
from xprep.dims.containers.roles import roles_of, says_labels
from xprep.dims.names import PLANE, other_names, spell_rename

Name = tuple[str, Any]
LABELS = "labels"  # the node that holds an image's labels, in stores too


@dataclass(frozen=True, eq=False)
class Resolution:
    """An image at one resolution: the path of its node, its name there, its pixels."""

    node: str
    name: Any
    array: xr.DataArray


@dataclass(frozen=True, eq=False)
class LocatedImage:
    """One image of a container: its resolutions, finest first, and the nodes that are its levels, if it has levels."""

    levels: tuple[Resolution, ...]
    group: Levels | None = None

    @property
    def key(self) -> Name:
        """Node and name of its level 0."""
        return self.levels[0].node, self.levels[0].name

    @property
    def array(self) -> xr.DataArray:
        """Its level 0."""
        return self.levels[0].array

    @property
    def parent(self) -> str:
        """The node that it belongs to: that above its levels, or its own."""
        return self.levels[0].node if self.group is None else self.group.parent


@dataclass(frozen=True, eq=False)
class ContainerContents:
    """What a container holds.

    Attributes
    ----------
    images, labels
        In the container's order. Where all are labels, they are the images too.
    doubtful
        Images, by node and name, that may be labels and do not say it.
    groups
        Nodes that are levels, of images and of labels.
    below_labels
        Paths of nodes that hold labels.
    """

    images: list[LocatedImage]
    labels: list[LocatedImage] = field(default_factory=list)
    doubtful: list[Name] = field(default_factory=list)
    groups: list[Levels] = field(default_factory=list)
    below_labels: frozenset[str] = frozenset()

    @property
    def only_labels(self) -> bool:
        """Whether there is no image besides labels."""
        return bool(self.labels) and self.images == self.labels


def contents_of(container: Any) -> ContainerContents:
    """Return what a DataArray, Dataset or DataTree holds.

    Raises
    ------
    ValueError
        There is no image in it.
    TypeError
        It is not a DataArray, Dataset or DataTree.
    """
    if isinstance(container, xr.DataArray):
        return ContainerContents([LocatedImage((Resolution("", container.name, container),))])
    if isinstance(container, xr.Dataset):
        found = _of_dataset(container)
    elif isinstance(container, xr.DataTree):
        found = _of_tree(container)
    else:
        raise TypeError(f"an image is a DataArray, a Dataset or a DataTree; got {type(container).__name__}.")
    if not found.images and not found.labels:
        rule = "an image is a variable with the dims y and x (and c, if any variable has c)"
        raise ValueError(f"there is no image here: {rule}.{_hint(container)}")
    return found if found.images else replace(found, images=found.labels)


def _hint(container: xr.Dataset | xr.DataTree) -> str:
    """Return how to rename dims with another tool's names, where there would be an image then."""
    nodes = container.subtree if isinstance(container, xr.DataTree) else [container]
    arrays = [array for node in nodes for array in node.data_vars.values()]
    named = ((array, other_names(array.dims)) for array in arrays if array.ndim > 1)
    array, names = next(((a, n) for a, n in named if set(PLANE) <= {n.get(d, d) for d in a.dims}), (None, {}))
    return "" if array is None else f" {str(array.name)!r} has {tuple(array.dims)}; rename: {spell_rename(array, names)}."


def _of_dataset(dataset: xr.Dataset) -> ContainerContents:
    roles = roles_of(dataset)

    def located(names: Sequence[Any]) -> list[LocatedImage]:
        return [LocatedImage((Resolution("", name, dataset[name]),)) for name in names]

    return ContainerContents(located(roles.images), located(roles.labels), [("", name) for name in roles.doubtful])


def _of_tree(tree: xr.DataTree) -> ContainerContents:
    nodes, groups = nodes_of(tree), find_levels(tree)
    finest = {group.nodes[0]: group for group in groups}
    coarser = {path for group in groups for path in group.nodes[1:]}
    found = ContainerContents([], [], [], groups, frozenset(_label_nodes(nodes, groups)))
    for path, node in nodes.items():
        if path in coarser or not node.data_vars:
            continue
        roles = roles_of(node.to_dataset(inherit=False), path in found.below_labels)
        found.images.extend(_located(path, name, finest.get(path), nodes) for name in roles.images)
        found.labels.extend(_located(path, name, finest.get(path), nodes) for name in roles.labels)
        found.doubtful.extend((path, name) for name in roles.doubtful)
    return found


def _label_nodes(nodes: Mapping[str, xr.DataTree], groups: Sequence[Levels]) -> set[str]:
    """Return the paths of nodes that hold labels: ``labels`` beside an image or its levels, those that say so, all below."""
    holders = {group.parent for group in groups}
    found: set[str] = set()
    for path, node in nodes.items():
        above, _, name = path.rpartition("/")
        beside = name == LABELS and ((above or "/") in holders or first_image(nodes[above or "/"]) is not None)
        if above in found or beside or says_labels(node.attrs):
            found.add(path)
    return found


def _located(path: str, name: Any, group: Levels | None, nodes: Mapping[str, xr.DataTree]) -> LocatedImage:
    """Return an image with those of its coarser levels that are there: by its name, or as the only image of a level."""
    finest = Resolution(path, name, nodes[path].to_dataset()[name])
    if group is None:
        return LocatedImage((finest,))
    levels = [finest]
    for other in group.nodes[1:]:
        own = _name_in(nodes[other], name)
        if own is not None:
            levels.append(Resolution(other, own, nodes[other].to_dataset()[own]))
    return LocatedImage(tuple(levels), group)


def _name_in(node: xr.DataTree, name: Any) -> Any:
    if name in node.data_vars:
        return name
    roles = roles_of(node.to_dataset(inherit=False))
    names = (*roles.images, *roles.labels)
    return names[0] if len(names) == 1 else None
