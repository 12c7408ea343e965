"""What lies where a store was looked for and is a file: named by its first bytes, with the way in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from xprep.errors import StoreFormatError

_TIFF: Final = "a TIFF file", "read it with tifffile (lazily: imread(path, aszarr=True)) and name the dims: xarray.DataArray(…)"
_HDF5: Final = "an HDF5 (or NetCDF 4) file", "read it with h5py, or xarray.open_dataset(path, chunks={}), and name the dims"
_ZIP: Final = "a zip file", "if a Zarr store is zipped in it: xprep.open_image(zarr.storage.ZipStore(path, mode='r'))"
_BIOIO: Final = "read it with bioio (bioio.BioImage(path).xarray_dask_data is lazy)"
_PLAIN: Final = "read it with imageio or tifffile, and name the dims: xarray.DataArray(…)"
_STARTS: Final[Mapping[bytes, tuple[str, str]]] = {
    b"II*\0": _TIFF,
    b"MM\0*": _TIFF,
    b"II+\0": _TIFF,
    b"MM\0+": _TIFF,
    b"\x89HDF\r\n\x1a\n": _HDF5,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,
    b"CDF": ("a NetCDF 3 file", "read it with xarray.open_dataset(path, chunks={})"),
    b"ZISRAWFILE": ("a CZI file", _BIOIO),
    b"\xda\xce\xbe\x0a": ("an ND2 file", _BIOIO),
    b"\x70\0\0\0": ("a LIF file", _BIOIO),
    b"\x1f\x8b": ("a gzip file", "unpack it"),
    b"\x89PNG": ("a PNG file", _PLAIN),
    b"\xff\xd8\xff": ("a JPEG file", _PLAIN),
    b"\x93NUMPY": ("a file of numpy", "read it with numpy.load(path, mmap_mode='r'), and name the dims: xarray.DataArray(…)"),
}
# Where the bytes do not tell.
_ENDINGS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys((".tif", ".tiff", ".btf", ".svs", ".scn", ".qptiff"), _TIFF),
    **dict.fromkeys((".h5", ".hdf5", ".nc", ".ims"), _HDF5),
    **dict.fromkeys((".zip", ".ozx"), _ZIP),
    **dict.fromkeys((".oib", ".oif", ".lsm", ".vsi", ".mrxs", ".dv", ".lif", ".czi", ".nd2"), ("a file of a microscope", _BIOIO)),
}
METADATA: Final = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


def check_no_file(path: Path) -> None:
    """Refuse a path to a file: a store is a folder.

    Raises
    ------
    StoreFormatError
        It says what the file is, and how to open it.
    """
    if not path.is_file():
        return
    if path.name in METADATA:
        raise StoreFormatError(f"{path} is the metadata of a Zarr array or group: give the folder, {path.parent}.")
    kind, way = describe_file(path)
    raise StoreFormatError(f"{path} is {kind}, no Zarr store: {way}.")


def describe_file(path: Path) -> tuple[str, str]:
    """Return what kind of file ``path`` is, and the way to its pixels."""
    with path.open("rb") as file:
        start = file.read(16)
    known = next((found for begin, found in _STARTS.items() if start.startswith(begin)), None)
    if known is None and (named := _ENDINGS.get(path.suffix.lower())) is not None:
        return f"a file called like {named[0]}", named[1]
    return known or ("a file of an unknown kind", "a store is a folder; read other files with the library of their format")
