"""The images of a batch, opened: those of a plate that stays one with their labels; what is not there is told apart."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from xprep.batch.inputs import Task
from xprep.dims.alignment import aligned
from xprep.dims.axes import SPACE
from xprep.dims.containers.roles import IMAGE_LABEL
from xprep.errors import StoreFormatError, StoreFormatWarning
from xprep.images import open_image
from xprep.io.ome.groups import list_labels, read_group
from xprep.io.store.places import open_store

IMAGE = "image"  # name of the variable in a DataTree of an image and its labels


def open_task(task: Task, storage_options: Mapping[str, Any]) -> xr.DataArray:
    """Return the image of a task."""
    return open_image(task.input, series=task.series, dims=task.dims, storage_options=storage_options)


def open_input(task: Task, storage_options: Mapping[str, Any], with_labels: bool = False) -> xr.DataArray | xr.DataTree:
    """Return the image of a task; with its labels, asked for or where a plate stays one, a DataTree of both."""
    image = open_task(task, storage_options)
    labels = _labels_of(task, image, storage_options) if task.made or with_labels else {}
    if not labels:
        return image
    nodes = {f"labels/{name}": label.to_dataset(name=IMAGE) for name, label in labels.items()}
    return xr.DataTree.from_dict({"/": image.to_dataset(name=IMAGE), **nodes}, name=str(image.name or IMAGE))


def _labels_of(task: Task, image: xr.DataArray, storage_options: Mapping[str, Any]) -> dict[str, xr.DataArray]:
    group = read_group(open_store(task.input, storage_options))
    found = {}
    for name in list_labels(group) if group is not None else ():
        try:
            label = open_image(task.input, label=name, storage_options=storage_options)
            found[name] = _lying_on(label, image, f"the label image {name!r}")
        except (StoreFormatError, ValueError, KeyError) as error:
            warnings.warn(f"{task.shown}: {error} The result is without these labels.", StoreFormatWarning, stacklevel=2)
    return found


def _lying_on(label: xr.DataArray, image: xr.DataArray, what: str) -> xr.DataArray:
    """Return labels that lie on their image, without coordinates: theirs are its, to a hundredth of a pixel."""
    label = label.squeeze([dim for dim in label.dims if dim not in SPACE and label.sizes[dim] == 1], drop=True)
    placed = aligned(label, image, what)
    return placed.drop_vars(list(placed.coords)).assign_attrs({IMAGE_LABEL: label.attrs.get(IMAGE_LABEL, {})})


def find_absent(tasks: Sequence[Task], storage_options: Mapping[str, Any]) -> list[Task]:
    """Return those that a plate lists where no image is: they fail alone, also where others share statistics."""
    return [task for task in tasks if task.plate and _is_absent(task.input, storage_options)]


def split_absent(tasks: Sequence[Task], storage_options: Mapping[str, Any]) -> list[list[Task]]:
    """Return an experiment as it will run: those that are there together, the others each by itself."""
    absent = find_absent(tasks, storage_options) if len(tasks) > 1 else []
    rest = [task for task in tasks if task not in absent]
    return [*([rest] if rest else []), *([task] for task in absent)]


def _is_absent(url: str, storage_options: Mapping[str, Any]) -> bool:
    try:
        group = read_group(open_store(url, storage_options))
    except (OSError, ValueError):  # there, and it cannot be read
        return False
    return group is None or not group.is_image
