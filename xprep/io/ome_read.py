"""From the JSON of OME-Zarr 0.4, 0.5 and 0.6 to the model; whatever is wrong is said with its place in the JSON."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from xprep.io.node import Node, brief, is_number
from xprep.io.ome import VERSIONS, Axis, Channel, ImageLabel, Level, Multiscale, Version, Window
from xprep.io.urls import check_key

MAX_AXES: Final = 5
MAX_LEVELS: Final = 64


def is_image(attributes: Mapping[str, Any]) -> bool:
    """Whether a group's attributes say that it is an OME-Zarr image."""
    return "multiscales" in find_ome(attributes)


def find_ome(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a group's attributes that is OME's: ``ome`` from 0.5 on, all of them before."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def read_multiscale(attributes: Mapping[str, Any], where: str, index: int = 0) -> Multiscale:
    """Return the image that a group's attributes describe.

    Parameters
    ----------
    attributes : mapping
        Of the group.
    where : str
        Its redacted URL, for errors.
    index : int
        Which of its ``multiscales``.

    Raises
    ------
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
    axes, levels = _read_space_06(entry) if version == "0.6" else _read_space(entry)
    channels, image_label = read_appearance(root.value)
    return Multiscale(
        axes=axes,
        levels=levels,
        name=entry.at("name").text(""),
        channels=channels,
        version=version,
        method=str(entry.value.get("type") or ""),
        metadata=dict(metadata) if isinstance(metadata := entry.value.get("metadata"), Mapping) else {},
        image_label=image_label,
    )


def _read_version(root: Node, entry: Node) -> Version:
    said = root.value.get("version") or entry.at("version").value
    # 0.4 only recommends to say it; 0.3 and before have no transformations on their datasets.
    version = "0.4" if said is None and isinstance(entry.value.get("axes"), list) else said
    for known in VERSIONS:
        if isinstance(version, str) and (version == known or (known != "0.4" and _is_draft(version, known))):
            return known
    return root.refuse(f"version {brief(said)} of OME-Zarr is not known here; 0.4, 0.5 and 0.6 are.")


def _is_draft(version: str, of: str) -> bool:
    return version.removeprefix(of).startswith((".dev", "-dev", "rc", ".rc", "-rc")) and version.startswith(of)


def _read_space(entry: Node) -> tuple[tuple[Axis, ...], tuple[Level, ...]]:
    axes = _read_axes(entry.at("axes"))
    above = entry.at("coordinateTransformations")
    levels = []
    for dataset in entry.at("datasets").items(1, MAX_LEVELS):
        place = _compose(dataset.at("coordinateTransformations"), _still(len(axes)))
        levels.append(_level(dataset, _compose(above, place) if above.value else place))
    return axes, _check_levels(entry, levels)


def _read_space_06(entry: Node) -> tuple[tuple[Axis, ...], tuple[Level, ...]]:
    """Read coordinate systems (RFC-5): all levels map to one system, from which a transformation may lead to the first.

    The first system is the one that is shown. Where a rotation or a warp leads to it, coordinates along axes cannot say
    so: then the levels' own system is taken.
    """
    systems = {system.at("name").text(): system for system in entry.at("coordinateSystems").items(1, 100)}
    datasets = entry.at("datasets").items(1, MAX_LEVELS)
    outputs = {_system(dataset.at("coordinateTransformations").items(1, 1)[0].at("output")) for dataset in datasets}
    if len(outputs) != 1 or not outputs <= set(systems):
        entry.refuse(f"every level must map to one of the coordinate systems {list(systems)}; got {sorted(outputs)}.")
    own = outputs.pop()
    onward = _onward(entry.at("coordinateTransformations"), own, next(iter(systems)))
    axes = _read_axes(systems[own if onward is None else next(iter(systems))].at("axes"))
    if onward is not None and len(axes) != len(systems[own].at("axes").items(1, MAX_AXES)):
        onward.refuse("leads to a system with another number of axes.")
    levels = []
    for dataset in datasets:
        place = _compose(dataset.at("coordinateTransformations"), _still(len(axes)))
        levels.append(_level(dataset, place if onward is None else _apply(onward, place)))
    return axes, _check_levels(entry, levels)


def _system(node: Node) -> str:
    return node.text() if isinstance(node.value, str) else node.at("name").text()


def _onward(steps: Node, own: str, shown: str) -> Node | None:
    if shown == own or steps.value is None:
        return None
    for step in steps.items(0, 100):
        ends = (_system(step.at("input")), _system(step.at("output")))
        if ends == (own, shown) and _is_along_axes(step):
            return step
    return None


def _is_along_axes(step: Node) -> bool:
    kind = step.at("type").value
    if kind == "sequence":
        return all(_is_along_axes(part) for part in step.at("transformations").items(1, 100))
    return kind in ("identity", "scale", "translation")


Placement = tuple[tuple[float, ...], tuple[float, ...]]


def _still(count: int) -> Placement:
    return (1.0,) * count, (0.0,) * count


def _compose(steps: Node, place: Placement) -> Placement:
    for step in steps.items(1, 100):
        place = _apply(step, place)
    return place


def _apply(step: Node, place: Placement, depth: int = 0) -> Placement:
    scale, translation = place
    kind = step.at("type").text()
    if kind == "identity":
        return place
    if kind == "translation":
        by = step.at("translation").numbers(len(scale))
        return scale, tuple(a + b for a, b in zip(translation, by, strict=True))
    if kind == "scale":
        by = step.at("scale").numbers(len(scale))
        if min(by) <= 0:
            step.at("scale").refuse(f"must be positive; got {list(by)}.")
        return tuple(a * b for a, b in zip(scale, by, strict=True)), tuple(a * b for a, b in zip(translation, by, strict=True))
    if kind == "sequence" and depth < 8:
        for part in step.at("transformations").items(1, 100):
            place = _apply(part, place, depth + 1)
        return place
    return step.refuse(f"a transformation {brief(kind)} of a level is not known here; scale and translation are.")


def _read_axes(node: Node) -> tuple[Axis, ...]:
    if node.value is None:
        node.refuse("is missing: without axes nobody knows which dimension is which.")
    axes = []
    for item in node.items(1, MAX_AXES):
        name = item.at("name").text()
        if not name or "/" in name or "\0" in name:
            item.at("name").refuse(f"cannot be an axis: {name!r}.")
        axes.append(Axis(name, item.at("type").text(""), item.at("unit").text("")))
    names = [axis.name for axis in axes]
    if len(set(names)) != len(names):
        node.refuse(f"two axes have one name: {names}.")
    return tuple(axes)


def _level(dataset: Node, place: Placement) -> Level:
    path = dataset.at("path").text()
    if not all(map(isfinite, (*place[0], *place[1]))) or min(place[0]) <= 0:
        dataset.refuse("its transformations together go beyond floating-point numbers.")
    try:
        return Level(check_key(path), *place)
    except ValueError as error:
        dataset.at("path").refuse(str(error))


def _check_levels(entry: Node, levels: list[Level]) -> tuple[Level, ...]:
    paths = [level.path for level in levels]
    if len(set(paths)) != len(paths):
        entry.at("datasets").refuse(f"two levels have one path: {paths}.")
    return tuple(levels)


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


def _read_window(window: Any) -> Window | None:
    names = ("min", "max", "start", "end")
    if not isinstance(window, Mapping) or not all(is_number(window.get(name)) for name in names):
        return None
    return Window(*(float(window[name]) for name in names))


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
