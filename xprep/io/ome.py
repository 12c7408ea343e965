"""OME-Zarr metadata as xprep sees them: a small frozen model, whatever version it came from or goes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Version = Literal["0.4", "0.5", "0.6"]
VERSIONS: Final[tuple[Version, ...]] = ("0.4", "0.5", "0.6")
# Dims of xprep to the axis types of OME; other dims have none.
AXIS_TYPES: Final[Mapping[str, str]] = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
# Usual spellings to the UDUNITS names that OME-Zarr recommends.
_UNITS: Final[Mapping[str, str]] = {
    "nm": "nanometer",
    "um": "micrometer",
    "µm": "micrometer",
    "μm": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "Å": "angstrom",
    "ns": "nanosecond",
    "us": "microsecond",
    "µs": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "min": "minute",
    "h": "hour",
}


@dataclass(frozen=True)
class Axis:
    """One axis: its name, type (``space``, ``time``, ``channel`` or another) and unit; ``""`` where there is none."""

    name: str
    type: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Level:
    """One resolution: where its array is, and where its pixels are.

    Parameters
    ----------
    path : str
        Of the array, below the image's group.
    scale, translation : tuple of float
        Per axis: the centre of pixel ``i`` lies at ``scale * i + translation``.
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class Window:
    """Contrast limits: what the pixels span, and what is shown."""

    min: float
    max: float
    start: float
    end: float


@dataclass(frozen=True)
class Channel:
    """How a channel is called and shown.

    Parameters
    ----------
    label : str
        Its name.
    color : str
        RRGGBB.
    window : Window, optional
        Contrast limits.
    active : bool
        Whether a viewer shows it at first.
    """

    label: str
    color: str = "FFFFFF"
    window: Window | None = None
    active: bool = True


@dataclass(frozen=True)
class ImageLabel:
    """What makes an image of whole numbers a label image.

    Parameters
    ----------
    source : str
        The image it belongs to, relative to the label's group.
    colors : mapping of int to tuple of int
        RGBA, 0–255, by label.
    properties : tuple of mapping
        Per label, each with its ``label-value``.
    """

    source: str = "../../"
    colors: Mapping[int, tuple[int, int, int, int]] = field(default_factory=dict)
    properties: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Element:
    """What an image says besides as part of a SpatialData object, in which it is never half at its place.

    Parameters
    ----------
    transformations : tuple of mapping
        Of the whole image to coordinate systems, as JSON.
    attributes : mapping
        Of its group.
    version : str
        How it calls its version of OME-Zarr.
    """

    transformations: tuple[Mapping[str, Any], ...]
    attributes: Mapping[str, Any]
    version: str


@dataclass(frozen=True)
class Multiscale:
    """An image of OME-Zarr.

    Parameters
    ----------
    axes : tuple of Axis
        In the order of the arrays' dimensions.
    levels : tuple of Level
        Finest first.
    name : str
        Of the image.
    channels : tuple of Channel
        As many as the image has, or none.
    version : {"0.4", "0.5", "0.6"}
        It was read from; `xprep.io.ome_write` takes its own.
    method : str
        How levels were made (``type`` in the metadata).
    metadata : mapping
        About that and about how the image came to be; JSON.
    image_label : ImageLabel, optional
        If it is a label image.
    system : str
        Name of the coordinate system that it is placed in, where there are named ones.
    systems : tuple of str
        All that it could be placed in.
    is_moved : bool
        Whether a transformation led there from the coordinates of the levels.
    unsaid : str
        A clause about a transformation that the coordinates do not hold; mostly empty.
    element : Element, optional
        What it says besides as part of a SpatialData object; only written.
    """

    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]
    name: str = ""
    channels: tuple[Channel, ...] = ()
    version: Version = "0.5"
    method: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    image_label: ImageLabel | None = None
    system: str = ""
    systems: tuple[str, ...] = ()
    is_moved: bool = False
    unsaid: str = ""
    element: Element | None = None

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)


def make_axes(dims: tuple[str, ...], units: Mapping[str, str] | None = None) -> tuple[Axis, ...]:
    """Return axes for ``dims``, with types and the units given, spelled as OME does.

    Examples
    --------
    >>> make_axes(("c", "x"), {"x": "µm"})
    (Axis(name='c', type='channel', unit=''), Axis(name='x', type='space', unit='micrometer'))
    """
    given = units or {}
    return tuple(Axis(dim, AXIS_TYPES.get(dim, ""), spell_unit(given.get(dim, ""))) for dim in dims)


def spell_unit(unit: str) -> str:
    """Return ``unit`` as OME spells it; what is not known stays as it is."""
    return _UNITS.get(unit, unit)
