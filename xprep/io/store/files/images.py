"""Images in files that are no Zarr, as the OME-Zarr 0.4 that they would be: what readers of formats find, and its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from xprep.io.json_documents import encode_json
from xprep.io.ome_model import AXIS_TYPES, Channel, spell_unit
from xprep.types import Array

# Our dims in the order of OME-Zarr; files are shown in it, whatever order they have.
ORDER: Final = "tczyx"
# Attribute of a file's image that names what else is there and is no image of the specimen: labels, macros, thumbnails.
ASIDE: Final = "xprep_aside"


@dataclass(frozen=True, eq=False)
class FileLevel:
    """One resolution of an image in a file.

    Parameters
    ----------
    shape, chunks : tuple of int
        In the order of the image's dims.
    dtype : numpy.dtype
        As it is given, byte order included.
    read : callable
        Returns the chunk at a position of the grid, of ``chunks`` or cut at the image's edge.
    codec : str
        How the file stores it, in words.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[tuple[int, ...]], Array] = field(repr=False)
    codec: str = ""

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along every axis."""
        return tuple(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))

    def chunk(self, index: tuple[int, ...]) -> memoryview:
        """Return the bytes of a whole chunk; what lies beyond the image's edge is zero."""
        block = self.read(index)
        if block.shape != self.chunks:
            whole = np.zeros(self.chunks, self.dtype)
            whole[tuple(map(slice, block.shape))] = block
            block = whole
        return np.ascontiguousarray(block, self.dtype).reshape(-1).view(np.uint8).data

    def document(self) -> bytes:
        """Return what ``.zarray`` would say."""
        about = {"zarr_format": 2, "shape": self.shape, "chunks": self.chunks, "dtype": self.dtype.str, "fill_value": None}
        return encode_json({**about, "compressor": None, "filters": None, "order": "C", "dimension_separator": "/"})


@dataclass(frozen=True, eq=False)
class FileImage:
    """An image in a file: a series, a scene.

    Parameters
    ----------
    dims : str
        Letters among ``tczyx``, in this order.
    levels : tuple of FileLevel
        Finest first.
    name : str
        As the file calls it.
    spacing, units : mapping
        Of dims that the file knows the spacing of.
    channels : tuple of Channel
        As many as there are, or none.
    is_aside : bool
        Whether it shows something else than the specimen: a slide's label, a macro, a thumbnail.
    """

    dims: str
    levels: tuple[FileLevel, ...]
    name: str = ""
    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channels: tuple[Channel, ...] = ()
    is_aside: bool = False

    def attributes(self) -> dict[str, Any]:
        """Return what ``.zattrs`` would say."""
        axes = [self._axis(dim) for dim in self.dims]
        levels = [{"path": str(n), "coordinateTransformations": self._place(level)} for n, level in enumerate(self.levels)]
        found: dict[str, Any] = {"multiscales": [{"version": "0.4", "name": self.name, "axes": axes, "datasets": levels}]}
        if self.channels:
            found["omero"] = {"channels": [{"label": one.label, "color": one.color, "active": True} for one in self.channels]}
        return found

    def _axis(self, dim: str) -> dict[str, str]:
        unit = spell_unit(self.units.get(dim, ""))
        return {"name": dim, "type": AXIS_TYPES[dim], **({"unit": unit} if unit else {})}

    def _place(self, level: FileLevel) -> list[dict[str, Any]]:
        """Return scale and translation: a pixel of a coarse level lies in the middle of those that it shows."""
        factors = [_factor(self.levels[0], level, axis) for axis in range(len(self.dims))]
        spacing = [self.spacing.get(dim, 1.0) for dim in self.dims]
        scale = [step * factor for step, factor in zip(spacing, factors, strict=True)]
        shift = [step * (factor - 1) / 2 for step, factor in zip(spacing, factors, strict=True)]
        return [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]


def _factor(first: FileLevel, level: FileLevel, axis: int) -> float:
    """Return how many pixels became one; writers round sizes up or down, so a whole number wherever that explains them."""
    long, short = first.shape[axis], level.shape[axis]
    whole = round(long / short)
    return float(whole) if abs(long / whole - short) <= 1 else long / short


@dataclass(frozen=True, eq=False)
class Opened:
    """A file as a store: its metadata, and its pixels by the path of their array."""

    documents: Mapping[str, bytes]
    levels: Mapping[str, FileLevel]
    files: tuple[str, ...] = ()

    def names(self) -> Iterator[str]:
        """Yield every key."""
        yield from self.documents
        for path, level in self.levels.items():
            yield from (f"{path}/{'/'.join(map(str, index))}" for index in np.ndindex(level.grid))

    def read(self, key: str) -> bytes | memoryview | None:
        """Return what is under a key, None if nothing is."""
        if (document := self.documents.get(key)) is not None:
            return document
        found = self._find_chunk(key)
        return None if found is None else found[0].chunk(found[1])

    def holds(self, key: str) -> bool:
        """Whether something is under a key; nothing is read."""
        return key in self.documents or self._find_chunk(key) is not None

    def _find_chunk(self, key: str) -> tuple[FileLevel, tuple[int, ...]] | None:
        for path, level in self.levels.items():
            if key.startswith(f"{path}/") and (index := _index(key.removeprefix(f"{path}/"), level.grid)):
                return level, index
        return None


def _index(text: str, grid: tuple[int, ...]) -> tuple[int, ...]:
    parts = text.split("/")
    if len(parts) != len(grid) or not all(part.isdecimal() for part in parts):
        return ()
    index = tuple(map(int, parts))
    return index if all(at < count for at, count in zip(index, grid, strict=True)) else ()


def show_as_store(images: Sequence[FileImage], files: Sequence[str] = ()) -> Opened:
    """Return the images of a file as a store: one is the store itself, several are its series; those aside lie below it."""
    documents: dict[str, bytes] = {".zgroup": encode_json({"zarr_format": 2})}
    levels: dict[str, FileLevel] = {}
    main = [image for image in images if not image.is_aside]
    single = len(main) == 1
    paths = {id(image): "" if single and image is main[0] else str(n) for n, image in enumerate([*main, *_asides(images)])}
    aside = {image.name: paths[id(image)] for image in _asides(images)}
    for image in images:
        before = f"{paths[id(image)]}/" if paths[id(image)] else ""
        attributes = image.attributes() | ({ASIDE: aside} if not before and aside else {})
        documents |= {f"{before}.zgroup": documents[".zgroup"], f"{before}.zattrs": encode_json(attributes)}
        for n, level in enumerate(image.levels):
            documents[f"{before}{n}/.zarray"] = level.document()
            levels[f"{before}{n}"] = level
    if not single:
        documents[".zattrs"] = encode_json({"bioformats2raw.layout": 3, ASIDE: aside})
        documents["OME/.zgroup"] = documents[".zgroup"]
        documents["OME/.zattrs"] = encode_json({"series": [paths[id(image)] for image in main]})
    return Opened(documents, levels, tuple(files))


def _asides(images: Sequence[FileImage]) -> list[FileImage]:
    return [image for image in images if image.is_aside]
