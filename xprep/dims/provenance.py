"""What a result keeps of its input: name, coordinates, attributes, history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from xprep.options import options
from xprep.version import version

# Attributes that say how an image is shown and stored: what is no image any more has neither colours nor levels.
OF_IMAGES = (
    "omero", "ome", "multiscales", "image-label", "labels", "transform", "plate", "well", "bioformats2raw.layout", "xprep",
)  # fmt: skip
# Attributes that speak of the stored values, and are wrong once those are other values.
STALE = ("valid_min", "valid_max", "valid_range", "actual_range", "_FillValue", "missing_value", "scale_factor", "add_offset")


def relabel(image: xr.DataArray, data: Any, step: str, *, unitless: bool = False, is_image: bool = True) -> xr.DataArray:
    """Return ``data`` with everything that ``image`` has: dims, coordinates, name, attributes, and one line of history.

    ``image`` has the dims and the shape of the result. ``step`` is how the operation was called.
    """
    # xarray takes a dask array's own name where it is given none; hence the second step, here and elsewhere.
    result = xr.DataArray(data, coords=image.coords, dims=image.dims).rename(image.name)
    result.attrs = attributes(image, step, unitless=unitless, is_image=is_image)
    return result


def attributes(image: xr.DataArray, step: str, *, unitless: bool = False, is_image: bool = True) -> dict[str, Any]:
    """Return the attributes of a result: the input's without the stale ones, and the history.

    A result that is no image (traces, features, quantiles) has those only that netCDF holds: display settings are dropped,
    and what else has parts, or is true, false or nothing, becomes JSON.
    """
    kept = dict(image.attrs) if xr.get_options()["keep_attrs"] in (True, "default") else {}
    for name in STALE:
        kept.pop(name, None)
    if "omero" in kept:
        kept["omero"] = _without_windows(kept["omero"])
    if unitless and "units" in kept:
        kept["units"] = "1"
    if options().history:
        kept["history"] = "\n".join(filter(None, [image.attrs.get("history"), history_line(step)]))
    return kept if is_image else {name: _flat(value) for name, value in kept.items() if name not in OF_IMAGES}


def _flat(value: Any) -> Any:
    """Return an attribute that netCDF holds: text, a number, or a list of numbers."""
    if isinstance(value, str | np.number) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, np.ndarray | list | tuple) and np.ndim(found := np.asarray(value, object)) == 1 and found.size:
        numbers = np.asarray(value)
        if numbers.dtype.kind in "iuf":
            return numbers
    return json.dumps(value, default=lambda other: other.tolist() if isinstance(other, np.generic | np.ndarray) else str(other))


def _without_windows(omero: Any) -> Any:
    """Return how channels are shown without their contrast limits, which speak of other values."""
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, list):
        return omero
    bare = [
        {key: value for key, value in channel.items() if key != "window"} if isinstance(channel, Mapping) else channel
        for channel in channels
    ]
    return {**omero, "channels": bare}


def without_place(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes without those that say where the old pixels were; channels' names and colours stay."""
    kept = {name: value for name, value in attrs.items() if name not in ("multiscales", "transform")}
    if isinstance(kept.get("ome"), Mapping):
        kept["ome"] = {name: value for name, value in kept["ome"].items() if name != "multiscales"}
    return kept


def history_line(step: str) -> str:
    """Return a line for the CF attribute ``history``: when, with what, what."""
    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} " if options().timestamps else ""
    return f"{stamp}xprep {version()}: {step}"


def spell(operation: str, parameters: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> str:
    """Return how ``operation`` was called, short: arrays by their shape, never by their values.

    >>> spell("normalize", {"p": 99, "sigma": 2.0})
    'normalize(p=99, sigma=2.0)'
    """
    defaults = defaults or {}
    given = {name: value for name, value in parameters.items() if name not in defaults or not _equal(value, defaults[name])}
    return f"{operation}({', '.join(f'{name}={_spell(value)}' for name, value in given.items())})"


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and np.ndim(a) == 0 and a == b


def _spell(value: Any) -> str:
    if isinstance(value, xr.DataArray | np.ndarray):
        return f"<{'×'.join(map(str, value.shape))} {value.dtype}>"
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def kept_coords(image: xr.DataArray, dims: Sequence[Any], **more: Any) -> xr.Coordinates:
    """Return the coordinates of ``image`` that only need ``dims``, with their indexes, and ``more``."""
    others = [name for name, coord in image.coords.items() if not set(coord.dims) <= set(dims)]
    return image.coords.to_dataset().drop_vars(others).assign_coords(more).coords
