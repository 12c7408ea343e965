"""What the client shows at first: its state, as JSON. A channel is a layer, which is added to the others in its colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from typing import Any, Final

from xprep.io.ome_model import Channel
from xprep.viewer.shown_images import ShownImage
from xprep.viewer.units import in_si

BASE: Final = "xprep-base:"  # stands for the page's own address, which only the browser knows
_VALUE: Final = "float value = normalized();\n  emitRGB(color * value);"
_NUMBER: Final = f"if (isnan(float(getDataValue()))) {{ emitTransparent(); return; }}\n  {_VALUE}"
_SHADER: Final = """#uicontrol invlerp normalized
#uicontrol vec3 color color
void main() {{
  {body}
}}
"""


def client_state(images: Sequence[ShownImage], *, side_by_side: bool = False) -> dict[str, Any]:
    """Return the state that shows ``images`` over each other, or each with the labels in a panel of its own.

    Over each other, only the first is on: before and after would add up to neither.
    """
    layers = [(n, layer) for n, image in enumerate(images) for layer in _layers(image, n)]
    _name_apart([layer for _, layer in layers])
    first = images[0]
    for n, layer in layers:
        if n and not side_by_side and not images[n].is_label:
            layer["visible"] = False
    state: dict[str, Any] = {
        "dimensions": _dimensions(images),
        "position": _middle(first),
        "displayDimensions": [dim for dim in ("x", "y", "z") if dim in first.dims],
        "layers": [layer for _, layer in layers],
        "layout": "xy",
        "showAxisLines": False,
        "showDefaultAnnotations": False,
        "showSlices": False,
        "gpuMemoryLimit": 1_000_000_000,
        "systemMemoryLimit": 1_000_000_000,
        "crossSectionBackgroundColor": "#000000",
    }
    shown = [n for n, image in enumerate(images) if not image.is_label]
    if side_by_side and len(shown) > 1:
        over = [layer["name"] for n, layer in layers if images[n].is_label]
        panels = [[layer["name"] for n, layer in layers if n == number] + over for number in shown]
        state["layout"] = {"type": "row", "children": [{"type": "viewer", "layers": names, "layout": "xy"} for names in panels]}
    return state


def extent(image: ShownImage) -> list[float]:
    """Return how many pixels an image has along x and y."""
    shape = dict(zip(image.dims, image.levels[0].shape, strict=True))
    return [float(shape["x"]), float(shape["y"])]


def _layers(image: ShownImage, number: int) -> list[dict[str, Any]]:
    source = {"url": f"zarr3://{BASE}images/{number}"}
    if image.is_label:
        return [{"type": "segmentation", "name": image.name, "source": source, "selectedAlpha": 0.35, "notSelectedAlpha": 0.35,
                 "hideSegmentZero": True, "tab": "rendering"}]  # fmt: skip
    channels, is_float = image.description.channels, image.levels[0].dtype.kind == "f"
    found = []
    for n, channel in enumerate(channels):
        layer = {"type": "image", "name": _title(image, channel, len(channels)), "source": source, **_shown(channel, is_float)}
        if "c" in image.dims:
            layer |= {"localDimensions": {"c'": [1, ""]}, "localPosition": [n]}
        found.append(layer)
    return found


def _shown(channel: Channel, is_float: bool) -> dict[str, Any]:
    window = channel.window
    controls: dict[str, Any] = {"color": f"#{channel.color.lower()}"}
    if window is not None:
        limits = [min(window.min, window.start), max(window.max, window.end)]
        controls["normalized"] = {"range": [window.start, window.end], "window": limits}
    return {
        "shader": _SHADER.format(body=_NUMBER if is_float else _VALUE),
        "shaderControls": controls,
        "blend": "additive",
        "opacity": 1,
        "visible": channel.active,
        "tab": "rendering",
    }


def _title(image: ShownImage, channel: Channel, channels: int) -> str:
    return f"{image.name} {channel.label}" if channels > 1 else image.name


def _name_apart(layers: Sequence[dict[str, Any]]) -> None:
    """Give layers of one name numbers."""
    taken: set[str] = set()
    for layer in layers:
        name = layer["name"]
        layer["name"] = next(one for one in chain([name], (f"{name} ({n})" for n in count(2))) if one not in taken)
        taken.add(layer["name"])


def _dimensions(images: Sequence[ShownImage]) -> dict[str, list[Any]]:
    """Return the axes of the page, x first: the pixels of the first image that has them."""
    found: dict[str, list[Any]] = {}
    for image in images:
        for axis, scale in zip(image.description.axes, image.description.levels[0].scale, strict=True):
            if axis.name != "c" and axis.name not in found:
                one, unit = in_si(axis.unit)
                found[axis.name] = [scale * one, unit]
    return {dim: found[dim] for dim in ("x", "y", "z", "t") if dim in found}


def _middle(image: ShownImage) -> list[float]:
    """Return the middle of an image along the axes of the page, in pixels: of z and t the middle and the first plane."""
    level, shape = image.description.levels[0], image.levels[0].shape
    found = {}
    for dim, length, scale, first in zip(image.dims, shape, level.scale, level.translation, strict=True):
        along = 0.5 if dim == "t" else length // 2 + 0.5 if dim == "z" else length / 2
        found[dim] = first / scale - 0.5 + along
    return [found[dim] for dim in ("x", "y", "z", "t") if dim in found]
