"""What lies where a store was looked for and is a file: known by its first bytes, with who reads it or the way in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

from xprep.errors import StoreFormatError


@dataclass(frozen=True)
class FileKind:
    """A kind of file: what it is called, what reads it here (nothing where that is empty), and the way to its pixels."""

    name: str
    reader: Literal["tiff", "zip", "bioio", ""] = ""
    way: str = ""


_TIFF: Final = FileKind("a TIFF file", "tiff")
_ZIP: Final = FileKind("a zip file", "zip")
_HDF5: Final = FileKind(
    "an HDF5 (or NetCDF 4) file", way="read it with h5py, or xarray.open_dataset(path, chunks={}), and name the dims"
)
_MICROSCOPE: Final = FileKind("a file of a microscope", "bioio")
_PLAIN: Final = "read it with imageio or tifffile, and name the dims: xarray.DataArray(…)"
_NUMPY: Final = "read it with numpy.load(path, mmap_mode='r'), and name the dims: xarray.DataArray(…)"
_STARTS: Final[Mapping[bytes, FileKind]] = {
    b"II*\0": _TIFF,
    b"MM\0*": _TIFF,
    b"II+\0": _TIFF,
    b"MM\0+": _TIFF,
    b"\x89HDF\r\n\x1a\n": _HDF5,
    b"PK\x03\x04": _ZIP,
    b"PK\x05\x06": _ZIP,
    b"CDF": FileKind("a NetCDF 3 file", way="read it with xarray.open_dataset(path, chunks={})"),
    b"ZISRAWFILE": FileKind("a CZI file", "bioio"),
    b"\xda\xce\xbe\x0a": FileKind("an ND2 file", "bioio"),
    b"\x70\0\0\0": FileKind("a LIF file", "bioio"),
    b"\x1f\x8b": FileKind("a gzip file", way="unpack it"),
    b"\x89PNG": FileKind("a PNG file", way=_PLAIN),
    b"\xff\xd8\xff": FileKind("a JPEG file", way=_PLAIN),
    b"\x93NUMPY": FileKind("a file of numpy", way=_NUMPY),
}
_TIFFS: Final = (".tif", ".tiff", ".btf", ".tf8", ".tf2", ".svs", ".scn", ".qptiff", ".ndpi", ".bif")
_OF_MICROSCOPES: Final = (".oib", ".oif", ".vsi", ".mrxs", ".dv", ".lif", ".czi", ".nd2", ".ims", ".sldy")
# Where the bytes do not tell, and where asking for them costs a request.
_ENDINGS: Final[Mapping[str, FileKind]] = {
    **dict.fromkeys((*_TIFFS, ".lsm", ".stk"), _TIFF),
    **dict.fromkeys((".h5", ".hdf5", ".nc"), _HDF5),
    **dict.fromkeys((".zip", ".ozx"), _ZIP),
    **dict.fromkeys(_OF_MICROSCOPES, _MICROSCOPE),
}
METADATA: Final = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


def kind_of_file(path: Path) -> FileKind:
    """Return what kind of file ``path`` is: by its first bytes, and where these do not tell, by its name."""
    with path.open("rb") as file:
        start = file.read(16)
    known = next((found for begin, found in _STARTS.items() if start.startswith(begin)), None)
    if known is not None and not (known is _HDF5 and path.suffix.lower() == ".ims"):
        return known
    named = kind_by_name(str(path))
    if named is None:
        return FileKind("a file of an unknown kind", way="a store is a folder; read other files with the library of their format")
    if named.reader != "bioio":
        return FileKind(f"a file called like {named.name}", way="it does not begin as one: it is damaged, or something else")
    return named


def kind_by_name(path: str) -> FileKind | None:
    """Return what a file is called like, None if the name says nothing."""
    return _ENDINGS.get(Path(path).suffix.lower())


def refuse_file(path: Any, kind: FileKind) -> NoReturn:
    """Refuse a file that is not read here: a store is a folder.

    Raises
    ------
    StoreFormatError
        It says what the file is, and how to open it.
    """
    raise StoreFormatError(f"{path} is {kind.name}, no Zarr store: {kind.way}.")


def check_no_metadata(path: Path) -> None:
    """Refuse a path to the metadata of a store: a store is a folder.

    Raises
    ------
    StoreFormatError
        It names the folder.
    """
    if path.name in METADATA:
        raise StoreFormatError(f"{path} is the metadata of a Zarr array or group: give the folder, {path.parent}.")
