"""Numbers that stand for others, as xarray packs variables: scaled, offset, "missing", unsigned in signed, bool in int8.

Decoded by xarray itself, block by block, so that dtypes and values are those of `xarray.open_zarr`. Dates are not: an image of
numbers with the unit "days since …" stays one.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import xarray as xr

from xprep.errors import StoreFormatError
from xprep.types import Array

PACKING: Final = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
# CF gives them in stored numbers, where those are whole.
VALID: Final = ("valid_range", "valid_min", "valid_max")

# Whether Zarr's fill value is "missing": as xarray has it in a v2 group; but 0, zarr-python's default, which is a pixel's value
# where xarray did not write; never, as OME-Zarr and Zarr v3 have it.
Fill = Literal["missing", "missing but 0", "value"]


@dataclass(frozen=True, eq=False)
class Decoding:
    """From stored numbers to those they stand for.

    Parameters
    ----------
    attributes : mapping
        What xarray decodes by.
    stored : dtype
        Of the numbers before.
    """

    attributes: Mapping[str, Any]
    stored: np.dtype[Any]

    def __post_init__(self) -> None:
        _ = self.dtype  # what xarray does not decode by is refused now

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers after."""
        return self(np.zeros(1, self.stored)).dtype

    def __call__(self, block: Array) -> Array:
        """Return the numbers that ``block`` stands for."""
        flat = xr.Dataset({"v": ("i", block.reshape(-1), dict(self.attributes))})
        return np.asarray(xr.decode_cf(flat, decode_times=False, decode_coords=False)["v"].values).reshape(block.shape)

    def ranges(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what ``attributes`` say of valid numbers, in the numbers that these stand for."""
        scaling = {name: self.attributes[name] for name in ("scale_factor", "add_offset") if name in self.attributes}
        found = {name: np.asarray(attributes[name]) for name in VALID if name in attributes}
        stored = {name: value for name, value in found.items() if value.dtype.kind in "iu"}
        if not scaling or self.stored.kind not in "iu":
            return {}
        return {name: Decoding(scaling, value.dtype)(value).tolist() for name, value in stored.items()}


def find_decoding(metadata: Mapping[str, Any], dtype: np.dtype[Any], fill: Fill, where: str) -> Decoding | None:
    """Return how the numbers of an array are decoded, by its attributes; None where they stand for themselves.

    Parameters
    ----------
    metadata : mapping
        Of the array, with its attributes.
    dtype : dtype
        As stored.
    fill : {"missing", "missing but 0", "value"}
        What the fill value of a Zarr v2 array means.
    where : str
        Its URL, for errors.

    Raises
    ------
    StoreFormatError
        Attributes that xarray does not decode by.
    """
    attributes = metadata.get("attributes") or {}
    found = {name: attributes[name] for name in PACKING if name in attributes}
    if attributes.get("dtype") == "bool":
        found["dtype"] = "bool"
    try:
        found |= missing_value(metadata, dtype, fill)
        if not found or (dtype.kind == "f" and set(found) == {"_FillValue"} and np.isnan(found["_FillValue"])):
            return None
        if np.asarray(found.get("missing_value") or 0).dtype.kind not in "biufc":  # some versions of xarray look past it
            raise ValueError("missing_value is no number")
        decoding = Decoding(found, dtype)
    except (ValueError, TypeError, KeyError, OverflowError, struct.error) as error:
        raise StoreFormatError(
            f"{where} is packed by {found}, which xarray cannot decode: {error}. Correct these attributes, or delete them to "
            "read the stored numbers."
        ) from None
    if decoding.dtype.kind not in "biufc":
        raise StoreFormatError(f"{where} is packed by {found}, which gives {decoding.dtype} and no numbers.")
    return decoding


def missing_value(metadata: Mapping[str, Any], dtype: np.dtype[Any], fill: Fill) -> dict[str, Any]:
    """Return the attribute ``_FillValue`` of an array: Zarr's own value in v2; in v3 what xarray writes, floats as text."""
    given = (metadata.get("attributes") or {}).get("_FillValue")
    if metadata.get("zarr_format") == 2:
        value = metadata.get("fill_value")
        if value is None or fill == "value" or (fill == "missing but 0" and value == 0) or dtype.kind not in "iuf":
            return {}
        return {"_FillValue": dtype.type(float(value) if dtype.kind == "f" else value)}
    if isinstance(given, str) and dtype.kind == "f":
        return {"_FillValue": dtype.type(struct.unpack("<d", base64.standard_b64decode(given))[0])}
    return {}
