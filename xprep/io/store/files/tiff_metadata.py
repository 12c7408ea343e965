"""What TIFF files say of their images beside the pixels: spacing, units and names and colours of channels, by kind of file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final
from xml.etree import ElementTree

from xprep.errors import StoreFormatError
from xprep.io.ome_model import Channel
from xprep.io.store.files.tiff_versions import all_axes

# Files of these programs say the size of a pixel by TIFF's own tags; in others these are a printer's, or nothing.
_SCANNERS: Final = ("is_qpi", "is_ndpi", "is_scn", "is_bif", "is_philips", "is_ventana")
# Micrometres in the units of resolutions: inch, centimetre, millimetre, micrometre.
_PER_UNIT: Final = {2: 25400.0, 3: 1e4, 4: 1e3, 5: 1.0}
_NO_UNIT: Final = ("", "pixel", "pixels", "reference frame", "inch", "inches", "none")


@dataclass(frozen=True)
class TiffAbout:
    """What a file says of a series: by dim the spacing and its unit, and the channels."""

    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()

    def named(self) -> bool:
        """Whether the channels have names."""
        return any(channel.label for channel in self.channels)


def about_series(tif: Any, series: Any, number: int, where: str) -> TiffAbout:
    """Return what the file ``tif`` says of ``series``, its ``number``-th of the kind.

    Parameters
    ----------
    tif : tifffile.TiffFile
        The file.
    series : tifffile.TiffPageSeries
        One of its series.
    number : int
        Of the series among those of the file.
    where : str
        The file's name, for errors.
    """
    if series.kind == "ome":
        return _of_ome(tif.ome_metadata, series, number, where)
    if series.kind == "imagej":
        return _of_imagej(tif.imagej_metadata or {}, series)
    if tif.is_svs:
        return _of_svs(series)
    if any(getattr(tif, kind, False) for kind in _SCANNERS):
        return _of_scanner(tif, series)
    return TiffAbout(channels=_page_names(series))


def check_xml(text: str, where: str) -> None:
    """Refuse OME-XML that defines entities of its own: they may grow without end, and OME has none."""
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise StoreFormatError(f"{where}: its OME-XML has a document type of its own, which OME's has not; it is not read.")


def _of_ome(text: str, series: Any, number: int, where: str) -> TiffAbout:
    images = [element for element in ElementTree.fromstring(text) if element.tag.endswith("}Image") or element.tag == "Image"]
    named = [element for element in images if element.get("Name") == series.name]
    image = named[0] if len(named) == 1 else images[number] if number < len(images) else None
    pixels = None if image is None else next((one for one in image if one.tag.endswith("Pixels")), None)
    if pixels is None:
        return TiffAbout()
    spacing, units = {}, {}
    for dim, name, usual in (("x", "PhysicalSizeX", "µm"), ("y", "PhysicalSizeY", "µm"), ("z", "PhysicalSizeZ", "µm"),
                             ("t", "TimeIncrement", "s")):  # fmt: skip
        if (step := _number(pixels.get(name))) > 0:
            unit = pixels.get(f"{name}Unit", usual)
            spacing[dim], units[dim] = step, "" if unit in _NO_UNIT else unit
    channels = [one for one in pixels if one.tag.endswith("Channel")]
    return TiffAbout(spacing, units, tuple(Channel(one.get("Name") or "", _ome_color(one.get("Color"))) for one in channels))


def _number(text: Any) -> float:
    with suppress(TypeError, ValueError):
        value = float(text)
        return value if isfinite(value) else 0.0
    return 0.0


def _ome_color(text: str | None) -> str:
    """Return RRGGBB of OME's colour, a signed number of RGBA; -1, which is white, where there is none."""
    try:
        return f"{int(text or -1) & 0xFFFFFFFF:08X}"[:6]
    except ValueError:
        return "FFFFFF"


def _of_imagej(about: Mapping[str, Any], series: Any) -> TiffAbout:
    unit = str(about.get("unit", "")).encode("latin-1", "backslashreplace").decode("unicode_escape", "replace").strip()
    unit = "" if unit.lower() in _NO_UNIT else unit
    spacing: dict[str, float] = {}
    if unit:
        per_pixel = {dim: _ratio(series.keyframe, tag) for dim, tag in (("x", 282), ("y", 283))}
        spacing = {dim: 1 / value for dim, value in per_pixel.items() if value > 0}
        if (depth := abs(_number(about.get("spacing")))) > 0:
            spacing["z"] = depth
    units = dict.fromkeys(spacing, unit)
    if (seconds := _number(about.get("finterval"))) > 0:
        spacing["t"], units["t"] = seconds, str(about.get("tunit") or "s")
    return TiffAbout(spacing, units, _imagej_channels(about, series))


def _ratio(page: Any, tag: int) -> float:
    value = page.tags.valueof(tag)
    return value[0] / value[1] if isinstance(value, tuple) and len(value) == 2 and value[1] else 0.0


def _imagej_channels(about: Mapping[str, Any], series: Any) -> tuple[Channel, ...]:
    """Return names where planes are labelled and differ by channel only; colours of the look-up tables."""
    sizes = dict(zip(*all_axes(series), strict=True))
    count = sizes.get("C", 1)
    labels = about.get("Labels") or []
    only = count == len(labels) and all(n == 1 for axis, n in sizes.items() if axis in "TZ")
    tables = about.get("LUTs") or []
    colors = ["".join(f"{int(value):02X}" for value in table[:, -1]) for table in tables] if len(tables) == count else []
    names = [str(label).splitlines()[0] if label else "" for label in labels] if only else [""] * count
    if not any(names) and not colors:
        return ()
    return tuple(Channel(name, color) for name, color in zip(names, colors or ["FFFFFF"] * count, strict=True))


def _of_svs(series: Any) -> TiffAbout:
    found = re.search(r"\bMPP\s*=\s*([0-9.]+)", series.keyframe.description or "")
    step = _number(found.group(1)) if found else 0.0
    return TiffAbout(dict.fromkeys("yx", step), dict.fromkeys("yx", "µm")) if step > 0 else TiffAbout()


def _of_scanner(tif: Any, series: Any) -> TiffAbout:
    page = series.keyframe
    factor = _PER_UNIT.get(int(page.tags.valueof(296, 1)), 0.0)
    per_unit = {"x": _ratio(page, 282), "y": _ratio(page, 283)}
    spacing = {dim: factor / value for dim, value in per_unit.items() if value > 0 and factor}
    channels = _qpi_channels(series) if tif.is_qpi else ()
    return TiffAbout(spacing, dict.fromkeys(spacing, "µm"), channels)


def _qpi_channels(series: Any) -> tuple[Channel, ...]:
    """Return names and colours from each page's own XML."""
    found = []
    for page in series.pages if "C" in all_axes(series)[0] else ():
        text = page.aspage().description or ""
        name, color = (re.search(rf"<{tag}>([^<]*)</{tag}>", text) for tag in ("Name", "Color"))
        rgb = re.fullmatch(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*", color.group(1)) if color else None
        shown = "".join(f"{min(int(value), 255):02X}" for value in rgb.groups()) if rgb else "FFFFFF"
        found.append(Channel(name.group(1).strip() if name else "", shown))
    return tuple(found)


def _page_names(series: Any) -> tuple[Channel, ...]:
    """Return the names of the pages (tag PageName) of a file that says nothing else, if each has one of its own."""
    pages: Sequence[Any] = series.pages if len(series.pages) < 1000 else ()
    names = [] if None in pages else [str(page.aspage().tags.valueof(285, "")).strip("\0 ") for page in pages]
    return tuple(map(Channel, names)) if all(names) and len(set(names)) == len(names) else ()
