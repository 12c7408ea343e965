"""What is to be written where: the images of a container, each with its levels and its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from xprep.dims.containers.apply import refuse_doubtful
from xprep.dims.containers.coarser import KEEPING
from xprep.dims.containers.contents import LABELS, ContainerContents, LocatedImage, contents_of
from xprep.dims.containers.levels import first_image, join_path, nodes_of, numbered_children
from xprep.images.writing.given_levels import Given, given_shapes, plan_given
from xprep.images.writing.specification import WriteOptions
from xprep.io.store.locations import check_apart
from xprep.io.store.urls import check_name, check_output, join


@dataclass(frozen=True, eq=False)
class Output:
    """An image, where it is to be written, how, and the labels with it."""

    image: xr.DataArray
    url: Any
    options: WriteOptions
    labels: Mapping[str, xr.DataArray]

    @property
    def arrays(self) -> list[xr.DataArray]:
        """All whose pixels are read: the image, its levels if they are written as they are, its labels."""
        coarser = self.options.given.levels[1:] if self.options.given else ()
        return [self.image, *coarser, *self.labels.values()]


def outputs_of(container: Any, url: Any, options: WriteOptions, labels: Mapping[str, xr.DataArray]) -> list[Output]:
    """Return what is to be written of a DataArray, Dataset or DataTree: one image at ``url``, several below it.

    Raises
    ------
    ValueError
        There is no image; it is not clear which variable is the image, and levels would be blended; nodes that
        are named as levels and are not; ``labels`` of several images; two images of one URL.
    """
    if isinstance(container, xr.DataArray):
        return [Output(container, url, options, labels)]
    found = contents_of(container)
    if options.method not in KEEPING and not _no_levels(options):
        refuse_doubtful(found, f"to_ome_zarr(method={options.method!r})")
    if isinstance(container, xr.DataTree):
        _refuse_false_levels(container, found)
    if labels and len(found.images) > 1:
        raise ValueError("labels belong to one image; write the images one by one to give each its own.")
    name = container.name if isinstance(container, xr.DataTree) else None
    single = len(found.images) == 1
    outputs = [_output(one, url if single else _below(url, one), found, options, name, labels) for one in found.images]
    if not single:
        check_apart([output.url.removeprefix(str(url)).strip("/") for output in outputs], url, "images")
    urls = [output.url for output in outputs]
    if twice := [url for n, url in enumerate(urls) if url in urls[:n]]:
        raise ValueError(
            f"two images would be written to {twice[0]}: one in levels, and one of its name in the node above them. Rename one."
        )
    return outputs


def _output(
    one: LocatedImage, url: Any, found: ContainerContents, options: WriteOptions, name: Any, labels: Mapping[str, xr.DataArray]
) -> Output:
    image, given = one.array, None
    factors, method = options.scale_factors, options.method
    if found.only_labels and method not in KEEPING:
        method = "mode"
    if one.group is not None:
        image = one.array.rename((name if one.parent == "/" else None) or one.array.name)
        levels = (image, *(level.array for level in one.levels[1:]))
        factors, method, given = plan_given(Given(levels, one.group.method), factors, method)
    own = {} if found.only_labels else _labels_of(one, found)
    return Output(image, url, replace(options, scale_factors=factors, method=method, given=given), own | dict(labels))


def _no_levels(options: WriteOptions) -> bool:
    return not isinstance(options.scale_factors, str) and len(options.scale_factors) == 0


def _labels_of(one: LocatedImage, found: ContainerContents) -> dict[str, xr.DataArray]:
    """Return the labels of an image, the finest of each: those beside it that say so, and those below ``labels``."""
    below = join_path(one.parent, LABELS)
    labels: dict[str, xr.DataArray] = {}
    for label in found.labels:
        if label.key[0] == one.key[0]:
            labels[str(label.key[1])] = label.array
        elif label.parent == below or label.parent.startswith(f"{below}/"):
            name = label.parent.removeprefix(below).strip("/") or str(label.key[1])
            labels[str(label.key[1]) if name in labels else name] = label.array
    return labels


def _refuse_false_levels(tree: xr.DataTree, found: ContainerContents) -> None:
    """Refuse nodes that are named as levels and are not: their stores would look like the levels of one image."""
    true = {group.parent for group in found.groups}
    for path, node in nodes_of(tree).items():
        names = numbered_children(node)
        if path in true or len(names) < 2:
            continue
        given_shapes([image for name in names if (image := first_image(node.children[name])) is not None])
        raise ValueError(
            f"{', '.join(map(repr, names))} of {path!r} are no levels of one image (one extent, with growing voxels), and "
            "written under these names they would look like that. If they are fields of view, give the nodes other names."
        )


def _below(url: Any, one: LocatedImage) -> str:
    if not isinstance(url, str | Path):
        raise ValueError("several images are written below a URL or a path, not into a store object.")
    check_output(url)
    nodes = one.parent.strip("/").split("/") if one.parent.strip("/") else []
    return join(url, *map(check_name, [*nodes, str(one.key[1])]))
