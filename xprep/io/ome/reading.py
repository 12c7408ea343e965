"""From the JSON of OME-Zarr 0.4, 0.5 and 0.6 to the model; whatever is wrong is said with its place in the JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import numpy as np

from xprep.io.json_nodes import Node, brief, is_number
from xprep.io.ome.coordinate_systems import Shown, Systems, choose_system, system_of
from xprep.io.ome.transformations import Matrix, NotAlongAxesError, along_axes, compose, product
from xprep.io.ome_model import VERSIONS, Axis, Channel, ContrastWindow, ImageLabel, Level, Multiscale, Version
from xprep.io.store.urls import check_key

MAX_AXES: Final = 5
MAX_LEVELS: Final = 64


def is_image(attributes: Mapping[str, Any]) -> bool:
    """Whether a group's attributes say that it is an OME-Zarr image."""
    return "multiscales" in find_ome(attributes)


def find_ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a group's attributes that is OME's: ``ome`` from 0.5 on, all of them before."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def read_multiscale(attributes: Mapping[str, Any], where: str, index: int = 0, system: str | None = None) -> Multiscale:
    """Return the image that a group's attributes describe.

    Parameters
    ----------
    attributes : mapping
        Of the group.
    where : str
        Its redacted URL, for errors.
    index : int
        Which of its ``multiscales``.
    system : str, optional
        Name of the coordinate system to place it in; see `choose_system`.

    Raises
    ------
    KeyError
        There is no such system.
    StoreFormatError
        What is wrong and where: a version other than 0.4, 0.5 and 0.6; missing or double axes; scales that are not
        positive; lists of a wrong length; a path that leads out of the group.
    """
    root = Node(find_ome(attributes), where)
    entries = root.at("multiscales").items(1, 1000)
    if not 0 <= index < len(entries):
        root.refuse(f"has {len(entries)} multiscales; there is no {index}.")
    entry = entries[index]
    version = _read_version(root, entry)
    shown, levels = _read_space_06(entry, system) if version == "0.6" else _read_space(entry, system)
    channels, image_label = read_appearance(root.value)
    return Multiscale(
        axes=shown.axes,
        levels=levels,
        name=entry.at("name").text(""),
        channels=channels,
        version=version,
        method=str(entry.value.get("type") or ""),
        metadata=dict(metadata) if isinstance(metadata := entry.value.get("metadata"), Mapping) else {},
        image_label=image_label,
        system=shown.name,
        systems=shown.names,
        is_moved=shown.is_moved,
        unsaid=shown.unsaid,
    )


def _read_version(root: Node, entry: Node) -> Version:
    said = root.value.get("version") or entry.at("version").value
    # 0.4 only recommends to say it; 0.3 and before have no transformations on their datasets.
    version = "0.4" if said is None and isinstance(entry.value.get("axes"), list) else said
    for known in VERSIONS:
        if isinstance(version, str) and (version == known or _is_draft(version, known)):
            return known
    return root.refuse(f"version {brief(said)} of OME-Zarr is not known here; 0.4, 0.5 and 0.6 are.")


def _is_draft(version: str, of: str) -> bool:
    return version.removeprefix(of).startswith((".dev", "-dev", "rc", ".rc", "-rc")) and version.startswith(of)


def _read_space(entry: Node, wanted: str | None) -> tuple[Shown, tuple[Level, ...]]:
    """Read axes and levels; what the image as a whole is transformed by leads to named systems, or adds to every level."""
    own = _read_axes(entry.at("axes"))
    above = entry.at("coordinateTransformations")
    steps = above.items(1, 100) if above.value else []
    named = [step for step in steps if system_of(step.at("output"))]
    if named and len(named) < len(steps):
        above.refuse("some name the coordinate system that they lead to, and some do not; nobody knows which of them add up.")
    axes = {system_of(step.at("output")): _axes_of(step.at("output"), own) for step in named}
    shown = choose_system(Systems("", axes, tuple(named), entry), own, wanted)
    added = _matrix([] if named else steps, own)
    return shown, _read_levels(entry.at("datasets").items(1, MAX_LEVELS), own, product(shown.onward, added))


def _axes_of(system: Node, own: tuple[Axis, ...]) -> tuple[Axis, ...]:
    return own if isinstance(system.value, str) or system.at("axes").value is None else _read_axes(system.at("axes"))


def _read_space_06(entry: Node, wanted: str | None) -> tuple[Shown, tuple[Level, ...]]:
    """Read coordinate systems (RFC-5): all levels map to one system, from which transformations lead to others."""
    systems = {system.at("name").text(): system for system in entry.at("coordinateSystems").items(1, 100)}
    datasets = entry.at("datasets").items(1, MAX_LEVELS)
    outputs = {system_of(dataset.at("coordinateTransformations").items(1, 1)[0].at("output")) for dataset in datasets}
    if len(outputs) != 1 or not outputs <= set(systems):
        entry.refuse(f"every level must map to one of the coordinate systems {list(systems)}; got {sorted(outputs)}.")
    above = entry.at("coordinateTransformations")
    steps = [step for step in above.items(0, 100) if system_of(step.at("output")) in systems] if above.value is not None else []
    axes = {name: _read_axes(system.at("axes")) for name, system in systems.items()}
    own = outputs.pop()
    shown = choose_system(Systems(own, axes, tuple(steps), entry), axes[own], wanted)
    return shown, _read_levels(datasets, axes[own], shown.onward)


def _read_levels(datasets: Sequence[Node], own: tuple[Axis, ...], onward: Matrix) -> tuple[Level, ...]:
    levels = [_level(one, product(onward, _matrix(one.at("coordinateTransformations").items(1, 100), own))) for one in datasets]
    paths = [level.path for level in levels]
    if len(set(paths)) != len(paths):
        datasets[0].refuse(f"two levels have one path: {paths}.")
    return tuple(levels)


def _matrix(steps: Sequence[Node], axes: tuple[Axis, ...]) -> Matrix:
    """Return what places levels: along axes, or it is refused."""
    matrix = np.eye(len(axes) + 1)
    names = [axis.name for axis in axes]
    for step in steps:
        try:
            made = compose([step], names, names)
            order, _, _ = along_axes(made)
        except NotAlongAxesError as error:
            step.refuse(f"a transformation {brief(step.at('type').value)} of a level ({error}) cannot be said by coordinates "
                        "along axes; identity, scale, translation and what amounts to them can.")
        if list(order) != sorted(order):
            step.refuse("the axes of a level change places.")
        matrix = product(made, matrix)
    return matrix


def _read_axes(node: Node) -> tuple[Axis, ...]:
    if node.value is None:
        node.refuse("is missing: without axes nobody knows which dimension is which.")
    axes = []
    for item in node.items(1, MAX_AXES):
        name = item.at("name").text()
        if not name or "/" in name or "\0" in name:
            item.at("name").refuse(f"cannot be an axis: {name!r}.")
        unit = item.at("unit").text("")
        axes.append(Axis(name, item.at("type").text(""), "" if unit == "unit" else unit))  # SpatialData's word for none
    names = [axis.name for axis in axes]
    if len(set(names)) != len(names):
        node.refuse(f"two axes have one name: {names}.")
    return tuple(axes)


def _level(dataset: Node, matrix: Matrix) -> Level:
    path = dataset.at("path").text()
    try:
        _, scale, shift = along_axes(matrix)
    except NotAlongAxesError:  # each transformation is along axes: together they became 0, infinite or NaN
        scale, shift = (), ()
    if not scale or not all(map(isfinite, (*scale, *shift))):
        dataset.refuse("its transformations together go beyond floating-point numbers.")
    try:
        return Level(check_key(path), scale, shift)
    except ValueError as error:
        dataset.at("path").refuse(str(error))


def read_appearance(attributes: Mapping[str, Any]) -> tuple[tuple[Channel, ...], ImageLabel | None]:
    """Return how an image is shown, from the ``omero`` and the ``image-label`` in ``attributes``."""
    return _read_channels(attributes.get("omero")), _read_image_label(attributes.get("image-label"))


def _read_channels(omero: Any) -> tuple[Channel, ...]:
    """Read what viewers need; what is malformed is left out, as no pixel depends on it."""
    entries = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        return ()
    return tuple(_read_channel(entry, i) for i, entry in enumerate(entries))


def _read_channel(entry: Mapping[str, Any], i: int) -> Channel:
    color = str(entry.get("color", "")).lstrip("#")
    valid = len(color) == 6 and all(letter in "0123456789abcdefABCDEF" for letter in color)
    label = entry.get("label")
    return Channel(
        str(i) if label is None else str(label),
        color.upper() if valid else "FFFFFF",
        _read_window(entry.get("window")),
        bool(entry.get("active", True)),
    )


def _read_window(window: Any) -> ContrastWindow | None:
    names = ("min", "max", "start", "end")
    if not isinstance(window, Mapping) or not all(is_number(window.get(name)) for name in names):
        return None
    return ContrastWindow(*(float(window[name]) for name in names))


def _read_image_label(value: Any) -> ImageLabel | None:
    if not isinstance(value, Mapping):
        return None
    source = value.get("source")
    image = source.get("image") if isinstance(source, Mapping) else None
    listed = value.get("properties")
    return ImageLabel(
        image if isinstance(image, str) else "../../",
        dict(_read_colors(value.get("colors"))),
        tuple(dict(row) for row in listed if isinstance(row, Mapping)) if isinstance(listed, list) else (),
    )


def _read_colors(colors: Any) -> list[tuple[int, tuple[int, int, int, int]]]:
    rows = [row for row in colors if isinstance(row, Mapping)] if isinstance(colors, list) else []
    found = []
    for row in rows:
        value, rgba = row.get("label-value"), row.get("rgba")
        if isinstance(value, int) and isinstance(rgba, list) and len(rgba) == 4 and all(type(n) is int for n in rgba):
            found.append((value, (rgba[0], rgba[1], rgba[2], rgba[3])))
    return found
