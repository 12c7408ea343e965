"""Small Datasets in files, here or in a bucket: Zarr, netCDF, or JSON as ``Dataset.to_dict`` makes it."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.errors import StoreExistsError, StoreFormatError
from xprep.io.arrays.coordinates import plain
from xprep.io.json_documents import parse_json
from xprep.io.ome.groups import read_group
from xprep.io.store.places import Place, open_store
from xprep.redaction import redact

ENDINGS: Final = (".zarr", ".nc", ".json")
_KINDS: Final = "iufb"
_NETCDF: Final = (b"CDF", b"\x89HDF")


def read_dataset(url: str | Path, storage_options: Mapping[str, Any] | None = None) -> xr.Dataset:
    """Return the Dataset in a file, in memory.

    Raises
    ------
    FileNotFoundError
        There is none.
    StoreFormatError
        It is no Dataset in any of the three.
    """
    text = str(url).rstrip("/")
    place, name = _file(text, storage_options)
    is_folder = place.folder is not None and (place.folder / name).is_dir()
    data = None if is_folder else place.get(name)
    if data is None:
        store = open_store(text, storage_options if "://" in text else None)
        if read_group(store) is None and not is_folder:
            raise FileNotFoundError(f"there is no file {redact(text)} of statistics.")
        return _opened(lambda: xr.open_zarr(store.store, group=store.path or None, chunks=None, consolidated=False), text)
    if data.startswith(_NETCDF):
        return _opened(lambda: xr.open_dataset(io.BytesIO(data)), text)
    return dataset_from_json(parse_json(data, redact(text)), redact(text))


def write_dataset(
    dataset: xr.Dataset, url: str | Path, storage_options: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> None:
    """Write a Dataset that is in memory; a file is replaced whole.

    Raises
    ------
    StoreExistsError
        Something is there, and ``overwrite`` is off.
    ValueError
        The name ends otherwise than in `ENDINGS`.
    """
    ending, text = _ending(url), str(url).rstrip("/")
    check_free(url, storage_options, overwrite=overwrite)
    if ending == ".zarr":
        place = open_store(url, storage_options if "://" in str(url) else None, "r+")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zarr, about strings and about the metadata that xarray consolidates
            dataset.to_zarr(place.store, group=place.path or None, mode="w")
        return
    place, name = _file(text, storage_options, "r+")
    if ending == ".json":
        place.set(name, json.dumps(json_of_dataset(dataset), indent=1, allow_nan=False).encode())
    else:
        place.set(name, bytes(dataset.to_netcdf()))


def check_free(url: str | Path, storage_options: Mapping[str, Any] | None = None, *, overwrite: bool = False) -> None:
    """Refuse to write where something is, unless it may be replaced; and what is no place for a Dataset.

    Raises
    ------
    StoreExistsError
        Something is there.
    ValueError
        The name ends otherwise than in `ENDINGS`.
    """
    if _ending(url) == ".zarr":
        place = open_store(url, storage_options if "://" in str(url) else None, "r+")
        there = bool(place.list_folder())
        ours = not there or place.missing(["zarr.json"]) == []
    else:
        place, name = _file(str(url).rstrip("/"), storage_options, "r+")
        there, ours = place.get(name) is not None, True
    if there and not (overwrite and ours):
        raise StoreExistsError(f"{redact(url)} is there already; overwrite=True replaces it, if it is what its name says.")


def _ending(url: str | Path) -> str:
    ending = next((one for one in ENDINGS if str(url).rstrip("/").endswith(one)), None)
    if ending is None:
        raise ValueError(f"a file of statistics ends in .zarr, .nc or .json; got {redact(url)!r}.")
    return ending


def _file(text: str, storage_options: Mapping[str, Any] | None, mode: Any = "r") -> tuple[Place, str]:
    """Return the folder of a file, and its name there."""
    where = text if "://" in text else Path(os.path.abspath(os.path.expanduser(text))).as_posix()
    folder, _, name = where.rpartition("/")
    return open_store(f"{folder}/", storage_options if "://" in text else None, mode), name


def _opened(open_it: Any, url: str | Path) -> xr.Dataset:
    try:
        with open_it() as found:
            return found.load()  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {redact(url)} of statistics.") from None
    except (ValueError, TypeError, KeyError) as error:
        raise StoreFormatError(f"{redact(url)} cannot be read as a Dataset: {error}") from None


def json_of_dataset(dataset: xr.Dataset) -> dict[str, Any]:
    """Return a Dataset as JSON: ``Dataset.to_dict``, with null for NaN, texts for infinities, and the dtypes beside.

    Examples
    --------
    >>> json_of_dataset(xr.Dataset({"p": ("c", np.array([0.1, np.nan], "float32"))}))["data_vars"]["p"]["data"]
    [0.10000000149011612, None]
    """
    found = dataset.to_dict()
    for kind in ("coords", "data_vars"):
        for name, one in found[kind].items():
            one["dtype"] = str(dataset[name].dtype)
            one["data"] = _without_nan(one["data"])
    return dict(plain(found))


def _without_nan(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and value != value else value


def dataset_from_json(value: Mapping[str, Any], where: str) -> xr.Dataset:
    """Return the Dataset that `json_of_dataset` or ``Dataset.to_dict`` made.

    Raises
    ------
    StoreFormatError
        It is none.
    """
    try:
        found = xr.Dataset(attrs=dict(value["attrs"]))
        for kind in ("coords", "data_vars"):
            for name, one in value[kind].items():
                found[name] = xr.Variable(one["dims"], _array(one), one.get("attrs"))
        return found.set_coords(list(value["coords"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreFormatError(f"{where} is no Dataset in JSON, as Dataset.to_dict makes it: {error!r}.") from None


def _array(one: Mapping[str, Any]) -> Any:
    dtype = one.get("dtype")
    if dtype is not None and np.dtype(dtype).kind in _KINDS:
        return np.array(one["data"], dtype)
    array = np.array(one["data"])
    if array.dtype.kind in _KINDS:
        return array
    has_text = any(isinstance(value, str) for value in np.array(one["data"], object).ravel())
    return np.array(one["data"], object if has_text else float)
