"""One operation for a DataArray, a Dataset and a DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import xarray as xr

from xprep.dims.channels import channel_names, selected_positions
from xprep.dims.names import CHANNEL, PLANE, other_names, spell_rename

Container = TypeVar("Container", xr.DataArray, xr.Dataset, xr.DataTree)
Name = tuple[str, Any]


def is_image(variable: xr.DataArray, dataset: xr.Dataset) -> bool:
    """Whether a variable of a Dataset is an image: it has y and x, and c if any variable has it."""
    channels = any(CHANNEL in other.dims and set(PLANE) <= set(other.dims) for other in dataset.data_vars.values())
    return set(PLANE) <= set(variable.dims) and (CHANNEL in variable.dims or not channels)


def spell_name(name: Name) -> str:
    """Return node and name of an image as people read them; "" where it has neither.

    >>> spell_name(("/site 1", "image")), spell_name(("", None))
    ('/site 1 image', '')
    """
    return " ".join(str(part) for part in name if part not in (None, ""))


def images_of(container: Any) -> dict[Name, xr.DataArray]:
    """Return the images of a container, by node and name.

    Raises
    ------
    TypeError
        ``container`` is none of xarray's three.
    ValueError
        There is no image in it.
    """
    if isinstance(container, xr.DataArray):
        return {("", container.name): container}
    if isinstance(container, xr.Dataset):
        found = {("", name): array for name, array in container.data_vars.items() if is_image(array, container)}
    elif isinstance(container, xr.DataTree):
        found = {(node.path, name): image for node in container.subtree for (_, name), image in _node_images(node)}
    else:
        raise TypeError(f"an image is a DataArray, a Dataset or a DataTree; got {type(container).__name__}.")
    if not found:
        rule = "an image is a variable with the dims y and x (and c, if any variable has c)"
        raise ValueError(f"there is no image here: {rule}.{_hint(container)}")
    return found


def _hint(container: xr.Dataset | xr.DataTree) -> str:
    """Return how to rename dims with another tool's names, where there would be an image then."""
    nodes = container.subtree if isinstance(container, xr.DataTree) else [container]
    arrays = [array for node in nodes for array in node.data_vars.values()]
    named = ((array, other_names(array.dims)) for array in arrays if array.ndim > 1)
    array, names = next(((a, n) for a, n in named if set(PLANE) <= {n.get(d, d) for d in a.dims}), (None, {}))
    return "" if array is None else f" {str(array.name)!r} has {tuple(array.dims)}; rename: {spell_rename(array, names)}."


def _node_images(node: xr.DataTree) -> list[tuple[Name, xr.DataArray]]:
    dataset = node.to_dataset(inherit=False)
    inherited = node.to_dataset()
    return [(("", name), inherited[name]) for name, array in dataset.data_vars.items() if is_image(array, dataset)]


def rebuild(container: Any, results: Mapping[Name, xr.DataArray]) -> Any:
    """Return ``container`` with its images replaced; what is no image passes through, other coordinates aside.

    A coordinate whose dim changed its length (channels were selected) follows the images.
    """
    if isinstance(container, xr.DataArray):
        (result,) = results.values()
        return result
    if isinstance(container, xr.Dataset):
        return _replace(container, {name: image for (_, name), image in results.items()}, list(results.values()))
    nodes = {}
    for node in container.subtree:
        mine = {name: image for (path, name), image in results.items() if path == node.path}
        below = [image for (path, _), image in results.items() if f"{path}/".startswith(f"{node.path.rstrip('/')}/")]
        nodes[node.path] = _replace(node.to_dataset(inherit=False), mine, below)
    return xr.DataTree.from_dict(nodes, name=container.name)


def _replace(dataset: xr.Dataset, images: Mapping[Any, xr.DataArray], below: Sequence[xr.DataArray]) -> xr.Dataset:
    """Return ``dataset`` with ``images``; its coordinates follow the images ``below``, which inherit them."""
    kept = dataset.drop_vars(list(images))
    for image in below:
        kept = _follow(kept, image)
    # What is there already is the same; xarray would take levels of names (a MultiIndex) apart where it replaces them.
    out = kept.assign({name: image.drop_vars(set(image.coords) & set(kept.coords)) for name, image in images.items()})
    return out[[name for name in dataset.data_vars if name in out.data_vars]].assign_attrs(dataset.attrs)


def _follow(dataset: xr.Dataset, image: xr.DataArray) -> xr.Dataset:
    """Return ``dataset`` without what does not fit ``image`` any more; of channels, with those that the image has.

    xarray aligns what is assigned with the coordinates that are there: unless these go, it would undo a selection and
    fill a moved grid with NaN. What lies along channels goes too where names do not tell which are left (one of two of a name).
    """
    for dim in image.dims:
        if dim not in dataset.dims or _fits(dataset, image, dim):
            continue
        named = dim == CHANNEL and dim in dataset.indexes and dim in image.indexes
        chosen = selected_positions(channel_names(dataset), channel_names(image)) if named else None
        dataset = dataset.drop_dims([dim]) if chosen is None else dataset.isel({dim: chosen})
    return dataset


def _fits(dataset: xr.Dataset, image: xr.DataArray, dim: Any) -> bool:
    if dataset.sizes[dim] != image.sizes[dim]:
        return False
    return dim not in dataset.indexes or dim not in image.indexes or dataset.indexes[dim].equals(image.indexes[dim])


def map_images(operation: Callable[[xr.DataArray], xr.DataArray], container: Container) -> Container:
    """Apply ``operation`` to every image of ``container``."""
    if isinstance(container, xr.DataArray):
        return operation(container)
    return rebuild(container, {name: operation(image) for name, image in images_of(container).items()})  # type: ignore[no-any-return]


def collect(container: Any, results: Mapping[Name, xr.DataArray]) -> Any:
    """Return results that are no images any more, in the same kind of container: by name, and by node of a tree."""
    nodes: dict[str, dict[Any, xr.DataArray]] = {}
    for (path, name), result in results.items():
        nodes.setdefault(path or "/", {})[name] = result
    datasets = {path: xr.Dataset(images) for path, images in nodes.items()}
    return datasets["/"] if isinstance(container, xr.Dataset) else xr.DataTree.from_dict(datasets)
