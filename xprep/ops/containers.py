"""One operation for a DataArray, a Dataset and a DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import xarray as xr

from xprep.ops.layout import CHANNEL, PLANE

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
        raise ValueError("there is no image here: an image is a variable with the dims y and x (and c, if any variable has c).")
    return found


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
    out = kept.assign(images)
    return out[[name for name in dataset.data_vars if name in out.data_vars]].assign_attrs(dataset.attrs)


def _follow(dataset: xr.Dataset, image: xr.DataArray) -> xr.Dataset:
    """Return ``dataset`` without what does not fit ``image`` any more; of channels, with those that the image has.

    xarray aligns what is assigned with the coordinates that are there: unless these go, it would undo a selection and
    fill a moved grid with NaN.
    """
    for dim in image.dims:
        if dim not in dataset.dims or _fits(dataset, image, dim):
            continue
        names = dataset.indexes.get(dim), image.indexes.get(dim)
        if dim == CHANNEL and names[0] is not None and names[1] is not None and names[0].is_unique:
            dataset = dataset.sel({dim: list(names[1])})
        else:
            dataset = dataset.drop_dims([dim])
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
