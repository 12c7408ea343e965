"""Files of microscopes through bioio and the reader of their format that the user has installed; no format is known here."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import numpy as np

from xprep.errors import StoreFormatError
from xprep.extras import load
from xprep.io.ome_model import Channel
from xprep.io.store.files.images import ORDER, FileImage, FileLevel, Opened, show_as_store
from xprep.types import Array

_NAMES: Final = {"T": "t", "C": "c", "Z": "z", "Y": "y", "X": "x"}


def open_with_bioio(path: str, shown: str, dims: str = "") -> Opened:
    """Return the scenes of a file as a store; nothing but metadata is read.

    Raises
    ------
    ImportError
        bioio is not installed.
    StoreFormatError
        None of the readers that are installed knows the file; an axis is none of ours.
    ValueError
        ``dims`` are given: bioio's readers say what axes are.
    """
    bioio = load("bioio", "bioio", f"{shown} is read by bioio, and that")
    if dims:
        raise ValueError(f"dims={dims!r}: {shown} is read by bioio, whose readers say what its axes are.")
    try:
        image = _image(bioio, path)
        scenes = tuple(image.scenes)
    except Exception as error:  # noqa: BLE001  (each reader has its own)
        reason = " ".join(str(error).split())[:600]
        raise StoreFormatError(
            f"{shown} cannot be read by bioio with the readers that are installed: {reason} Install that of its format, e.g. "
            "pip install bioio-czi (bioio-lif, bioio-nd2, bioio-bioformats, …)."
        ) from None
    lock = threading.Lock()
    return show_as_store([_scene(image, scene, lock, shown) for scene in scenes])


def _image(bioio: Any, path: str) -> Any:
    """Return bioio's image, in blocks of a plane where its reader can cut so: by default they are whole stacks."""
    try:
        image = bioio.BioImage(path, chunk_dims=["Y", "X", "S"])
        image.scenes  # noqa: B018  (the reader is made here, and may not know of chunk_dims)
    except TypeError:
        return bioio.BioImage(path)
    return image


def _scene(image: Any, scene: str, lock: threading.Lock, shown: str) -> FileImage:
    image.set_scene(scene)
    pixels = image.xarray_dask_data
    axes = tuple(map(str, pixels.dims))
    if unknown := [axis for axis in axes if axis not in (*_NAMES, "S")]:
        raise StoreFormatError(f"{shown}: bioio calls an axis of it {unknown[0]!r}, which is none of T, C, Z, Y, X, S.")
    named = _channel_names(image)
    sizes = dict(zip(axes, pixels.shape, strict=True))
    dims = "".join(dim for dim in ORDER if dim in "yx" or sizes.get(dim.upper(), 1) > 1 or (dim == "c" and _count(sizes) > 1))
    dims = f"c{dims}" if "c" not in dims and len(named) == 1 and sizes.get("T", 1) == 1 else dims
    dims = "".join(dim for dim in ORDER if dim in dims)
    read = SceneChunks(pixels.data, axes, dims, lock)
    count = _count(sizes)
    channels = tuple(Channel(name) for name in named) if len(named) == count and "c" in dims else ()
    spacing, units = _spacing(image, dims)
    codec = f"as {type(image.reader).__module__.partition('.')[0]} reads it"
    level = FileLevel(read.lengths(pixels.shape), read.lengths(read.chunks), np.dtype(pixels.dtype), read, codec)
    return FileImage(dims, (level,), scene, spacing, units, channels)


def _count(sizes: dict[str, int]) -> int:
    return sizes.get("C", 1) * sizes.get("S", 1)


def _channel_names(image: Any) -> list[str]:
    names = image.channel_names or []
    usual = all(str(name).startswith("Channel:") for name in names)  # bioio's own, where the file has none
    return [] if usual else [str(name) for name in names]


def _spacing(image: Any, dims: str) -> tuple[dict[str, float], dict[str, str]]:
    spacing, units = {}, {}
    scale, properties = image.scale, getattr(image, "dimension_properties", None)
    for dim in dims.replace("c", ""):
        found = getattr(scale, dim.upper(), None)
        step = float(found.total_seconds() if isinstance(found, timedelta) else found or 0)
        if step > 0:
            unit = getattr(getattr(properties, dim.upper(), None), "unit", None)
            spacing[dim], units[dim] = step, str(unit) if unit else ("s" if dim == "t" else "µm")
    return spacing, units


@dataclass(frozen=True, eq=False)
class SceneChunks:
    """Blocks of a scene, as bioio's reader cuts them; one is read at a time, as readers share an open file."""

    data: Any = field(repr=False)
    axes: tuple[str, ...]
    dims: str
    lock: threading.Lock = field(repr=False)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of a block."""
        return tuple(lengths[0] for lengths in self.data.chunks)

    def lengths(self, of: tuple[int, ...]) -> tuple[int, ...]:
        """Return lengths along our dims; samples times channels are the channels."""
        sizes = dict(zip(self.axes, of, strict=True))
        found = {dim: sizes.get(dim.upper(), 1) for dim in ORDER} | {"c": _count(sizes)}
        return tuple(found[dim] for dim in self.dims)

    def __call__(self, index: tuple[int, ...]) -> Array:
        """Return the block at a position of the grid."""
        at = dict(zip(self.dims, index, strict=True))
        parts = []
        for axis, n, chunk in zip(self.axes, self.data.shape, self.chunks, strict=True):
            i = 0 if axis == "S" else at.get(_NAMES[axis], 0)
            parts.append(slice(0, n) if axis == "S" else slice(i * chunk, min((i + 1) * chunk, n)))
        with self.lock:
            block = np.asarray(self.data[tuple(parts)].compute(scheduler="synchronous"))
        order = [self.axes.index(axis) for axis in "TCSZYX" if axis in self.axes]
        return block.transpose(order).reshape(self.lengths(block.shape))
