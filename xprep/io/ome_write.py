"""From the model to the JSON of OME-Zarr 0.4, 0.5 and 0.6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from xprep.io.ome import VERSIONS, Axis, Channel, Element, ImageLabel, Level, Multiscale, Version

_ORDER: Final[Mapping[str, int]] = {"time": 0, "channel": 1, "": 1, "space": 2}
_SYSTEM: Final = "physical"


def write_multiscale(image: Multiscale, version: Version) -> dict[str, Any]:
    """Return the attributes of the group of ``image``: ``{"ome": {...}}`` from 0.5 on, flat in 0.4.

    Raises
    ------
    ValueError
        An unknown version, or axes that OME-Zarr does not take (`check_axes`).
    """
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {VERSIONS}; got {version!r}.")
    check_axes(image.axes)
    entry = _entry_06(image) if version == "0.6" else _entry(image)
    ome: dict[str, Any] = {"multiscales": [entry]}
    if image.channels and image.image_label is None:
        ome["omero"] = _omero(image)
    if image.image_label is not None:
        ome["image-label"] = write_image_label(image.image_label)
    return wrap(ome, version) if image.element is None else _as_element(wrap(ome, version), image.element)


def _as_element(attributes: dict[str, Any], element: Element) -> dict[str, Any]:
    (entry,) = attributes.get("ome", attributes)["multiscales"]
    entry["coordinateTransformations"] = [dict(one) for one in element.transformations]
    attributes.get("ome", entry)["version"] = element.version
    return {**element.attributes, **attributes}


def wrap(ome: dict[str, Any], version: Version) -> dict[str, Any]:
    """Return a group's OME attributes in the place, and with the version, that ``version`` wants."""
    if version != "0.4":
        return {"ome": {"version": version, **ome}}
    for multiscale in ome.get("multiscales", ()):
        multiscale["version"] = version
    for name in ("image-label", "omero"):
        if name in ome:
            ome[name] = {"version": version, **ome[name]}
    return ome


def write_labels(names: Sequence[str], version: Version) -> dict[str, Any]:
    """Return the attributes of the group ``labels``."""
    return wrap({"labels": list(names)}, version)


def check_axes(axes: Sequence[Axis]) -> None:
    """Refuse axes that OME-Zarr does not take: two to five, time before channel before two or three of space.

    Raises
    ------
    ValueError
        What is wrong, and the order that would do.
    """
    names = [axis.name for axis in axes]
    kinds = [axis.type if axis.type in _ORDER else "" for axis in axes]
    if not 2 <= len(axes) <= 5 or not 2 <= kinds.count("space") <= 3:
        raise ValueError(f"OME-Zarr takes 2 to 5 axes, 2 or 3 of them of space (z, y, x); got {names}.")
    if kinds.count("time") > 1 or kinds.count("channel") + kinds.count("") > 1:
        raise ValueError(f"OME-Zarr takes one axis of time and one more besides space; got {names}.")
    if (order := sorted(range(len(axes)), key=lambda i: _ORDER[kinds[i]])) != list(range(len(axes))):
        wanted = [names[i] for i in order]
        raise ValueError(f"OME-Zarr wants time, channel, space in this order; got {names}: transpose to {wanted}.")


def _entry(image: Multiscale) -> dict[str, Any]:
    datasets = [{"path": level.path, "coordinateTransformations": _steps(level)} for level in image.levels]
    return {"name": image.name, "axes": [_axis(axis) for axis in image.axes], "datasets": datasets, **_about(image)}


def _entry_06(image: Multiscale) -> dict[str, Any]:
    return {
        "name": image.name,
        "coordinateSystems": [{"name": _SYSTEM, "axes": [_axis(axis) for axis in image.axes]}],
        "datasets": [{"path": level.path, "coordinateTransformations": [_sequence(level)]} for level in image.levels],
        **_about(image),
    }


def _sequence(level: Level) -> dict[str, Any]:
    ends = {"input": {"path": level.path}, "output": {"name": _SYSTEM}}
    return {"type": "sequence", **ends, "transformations": _steps(level)}


def _steps(level: Level) -> list[dict[str, Any]]:
    return [
        {"type": "scale", "scale": list(level.scale)},
        {"type": "translation", "translation": list(level.translation)},
    ]


def _about(image: Multiscale) -> dict[str, Any]:
    about: dict[str, Any] = {"type": image.method} if image.method else {}
    return {**about, "metadata": dict(image.metadata)} if image.metadata else about


def _axis(axis: Axis) -> dict[str, str]:
    named = {"name": axis.name, "type": axis.type, "unit": axis.unit}
    return {key: value for key, value in named.items() if value}


def _omero(image: Multiscale) -> dict[str, Any]:
    return {
        "name": image.name,
        "channels": [write_channel(channel) for channel in image.channels],
        "rdefs": {"defaultT": 0, "defaultZ": 0, "model": "color"},
    }


def write_channel(channel: Channel) -> dict[str, Any]:
    """Return the JSON of a channel of ``omero``."""
    shown: dict[str, Any] = {"label": channel.label, "color": channel.color, "active": channel.active}
    shown |= {"coefficient": 1, "family": "linear", "inverted": False}
    if (window := channel.window) is not None:
        shown["window"] = {"min": window.min, "max": window.max, "start": window.start, "end": window.end}
    return shown


def write_image_label(label: ImageLabel) -> dict[str, Any]:
    """Return the JSON of ``image-label``."""
    written: dict[str, Any] = {"source": {"image": label.source}}
    if label.colors:
        written["colors"] = [{"label-value": value, "rgba": list(rgba)} for value, rgba in label.colors.items()]
    if label.properties:
        written["properties"] = [dict(row) for row in label.properties]
    return written
