"""The stores that every client is shown: versions, layouts, shards, 2D to 5D, odd sizes, labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tests.images.test_pyramids import image_of, labels_of
from tests.laws import dense

FACTORS: dict[str, Sequence[Any]] = {"yx": (2, 2), "cyx": (2, 3), "zyx": ({"z": 2, "y": 2, "x": 2}, 2), "tczyx": (2, 2)}


@dataclass(frozen=True)
class Stored:
    """A store and what is in it."""

    url: Path
    version: str
    layout: str
    image: xr.DataArray
    levels: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]

    def path(self, n: int) -> str:
        return f"scale{n}/image" if self.layout == "dual" else str(n)

    @property
    def dims(self) -> str:
        return "".join(map(str, self.image.dims))


@dataclass(frozen=True)
class Road:
    """How a store is written."""

    version: str
    layout: str
    dims: str
    sharded: bool = False
    labels: bool = True
    compression: Any = None
    checksum: bool | None = None

    def __str__(self) -> str:
        extras = "-sharded" * self.sharded + "-no-labels" * (not self.labels)
        codec = f"-{self.compression}" * bool(self.compression) + "-unchecked" * (self.checksum is False)
        return f"{self.version}-{self.layout}-{self.dims}{extras}{codec}".replace(":", "-")

    def write(self, url: Path) -> Stored:
        image, cells, factors = image_of(self.dims), labels_of(image_of(self.dims)), FACTORS[self.dims]
        image.prep.to_ome_zarr(
            url,
            version=self.version,
            layout=self.layout,
            scale_factors=factors,
            chunks={"y": 16, "x": 16},
            shards={"y": 32, "x": 32} if self.sharded else None,
            labels={"cells": cells} if self.labels else None,
            compression=self.compression,
            checksum=self.checksum,
        )
        levels = tuple(dense.pyramid(image, factors[:n]).values for n in range(3))
        labels = tuple(dense.pyramid(cells, factors[:n], method="mode").values for n in range(3))
        return Stored(url, self.version, self.layout, image, levels, labels if self.labels else ())


ROADS = [
    *(Road("0.5", layout, dims) for layout in ("dual", "flat") for dims in FACTORS),
    *(Road(version, layout, "tczyx", sharded=True) for version in ("0.5", "0.6") for layout in ("dual", "flat")),
    *(Road(version, layout, "cyx") for version in ("0.4", "0.6") for layout in ("dual", "flat")),
    Road("0.5", "dual", "cyx", sharded=True, labels=False),
    Road("0.4", "dual", "tczyx", labels=False),
    Road("0.6", "dual", "zyx", labels=False),
    *(Road("0.5", "flat", "cyx", compression=codec) for codec in ("none", "zstd:3", "gzip:6", "blosc-zstd:5", "blosc-lz4")),
    *(Road("0.4", "flat", "cyx", compression=codec) for codec in ("none", "zstd:3", "gzip:6", "blosc-zstd:5", "blosc-lz4")),
    *(Road("0.5", "flat", "cyx", compression=codec, checksum=False) for codec in ("none", "zstd", "blosc-lz4hc:9", "blosc-zlib")),
    Road("0.5", "dual", "cyx", sharded=True, compression="zstd:3", checksum=False),
]
