"""One operation for a DataArray, a Dataset and a DataTree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import xarray as xr

from xprep.dims.containers.contents import ContainerContents, LocatedImage, Name, contents_of
from xprep.dims.containers.following import Beside, replace_images
from xprep.dims.containers.roles import IMAGE_LABEL
from xprep.dims.containers.trees import rebuild_tree

Container = TypeVar("Container", xr.DataArray, xr.Dataset, xr.DataTree)


def spell_name(name: Name) -> str:
    """Return node and name of an image as people read them; "" where it has neither.

    >>> spell_name(("/site 1", "image")), spell_name(("", None))
    ('/site 1 image', '')
    """
    return " ".join(str(part) for part in name if part not in (None, ""))


def find_images(container: Any, makes: str | None = None) -> list[LocatedImage]:
    """Return the images of a container, each with its levels.

    Parameters
    ----------
    container : DataArray, Dataset or DataTree
    makes
        The operation, if it makes new values of pixels: it may not be given labels, nor what may be labels.

    Raises
    ------
    ValueError
        There is no image in it, or ``makes`` and there is doubt whether one is.
    TypeError
        It is not a DataArray, Dataset or DataTree.
    """
    found = contents_of(container)
    if makes is not None:
        _refuse_labels(found, makes)
        refuse_doubtful(found, makes)
    return found.images


def images_of(container: Any, makes: str | None = None) -> dict[Name, xr.DataArray]:
    """Return the images of a container by node and name, of those in levels the finest; as `find_images`."""
    return {one.key: one.array for one in find_images(container, makes)}


def _refuse_labels(found: ContainerContents, operation: str) -> None:
    if found.only_labels:
        raise ValueError(
            f"there is no image here: {', '.join(_quoted(one.key) for one in found.labels)} are labels, by what they say "
            f"({IMAGE_LABEL}), and {operation} makes new values. Give the labels as a DataArray if you mean them."
        )


def refuse_doubtful(found: ContainerContents, operation: str) -> None:
    """Refuse images that may be labels, in what would make labels of them that never were.

    Raises
    ------
    ValueError
        There are such.
    """
    if found.doubtful:
        names = ", ".join(map(_quoted, found.doubtful))
        raise ValueError(
            f"{operation} makes new values, and whole numbers without channels beside another image may be labels: {names}. "
            f"Say what they are: labels by their attribute, data[{found.doubtful[-1][1]!r}].attrs[{IMAGE_LABEL!r}] = {{}}; "
            "channels of one image by data.to_dataarray('c'); fields of view by a DataTree with a node for each. Or give the "
            "image alone."
        )


def _quoted(name: Name) -> str:
    return f"{name[1]!r}" + (f" of {name[0]}" if name[0] not in ("", "/") else "")


def map_images(
    operation: Callable[[xr.DataArray], Any], container: Container, makes: str | None = None, beside: Beside | None = None
) -> Container:
    """Apply ``operation`` to every image of ``container``; to level 0 of one in levels, which are made anew of its result."""
    if isinstance(container, xr.DataArray):
        return operation(container)  # type: ignore[no-any-return]
    results = {name: operation(image) for name, image in images_of(container, makes).items()}
    return rebuild(container, results, beside)  # type: ignore[no-any-return]


def rebuild(container: Any, results: Mapping[Name, xr.DataArray], beside: Beside | None = None) -> Any:
    """Return ``container`` with its images replaced; what is no image passes through, other coordinates aside.

    A coordinate whose dim changed its length (channels were selected) follows the images. Levels are made anew of the results,
    by the factors that they had; a result without the dims that shrink stands where level 0 stood.
    """
    if isinstance(container, xr.DataArray):
        (result,) = results.values()
        return result
    if isinstance(container, xr.DataTree):
        return rebuild_tree(container, results, beside or Beside())
    images = {name: image for (_, name), image in results.items()}
    return replace_images(container, images, beside or Beside(), inherited=container)


def collect(container: Any, results: Mapping[Name, xr.DataArray]) -> Any:
    """Return results that are no images any more, in the same kind of container: by name, and by node of a tree."""
    nodes: dict[str, dict[Any, xr.DataArray]] = {}
    for (path, name), result in results.items():
        nodes.setdefault(path or "/", {})[name] = result
    datasets = {path: xr.Dataset(images) for path, images in nodes.items()}
    return datasets["/"] if isinstance(container, xr.Dataset) else xr.DataTree.from_dict(datasets)
