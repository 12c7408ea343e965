"""Make the image of the comparison: a log-normal background with bright cells, uint16, in chunks of 1 x 1024 x 1024."""

from __future__ import annotations

import argparse

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

CODECS = {"zstd-3": ZstdCodec(level=3), "blosc": BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=2)}


def make_channel(random: np.random.Generator, side: int) -> np.ndarray:
    """Return one channel: noise, 375 cells a square of 1024 pixels, of which few are very bright, and 2 % zeros."""
    values = random.lognormal(4.0, 0.5, (side, side)).astype(np.float32)
    offsets = np.arange(-12, 13)
    for y, x in random.integers(12, side - 13, (375 * (side // 1024) ** 2, 2)):
        bell = np.exp(-(offsets**2) / (2 * random.uniform(2, 5) ** 2))
        cell = random.lognormal(7, 0.7) * np.outer(bell, bell)
        values[y - 12 : y + 13, x - 12 : x + 13] += cell.astype(np.float32)
    pixels = np.clip(values, 0, 65535).astype(np.uint16)
    pixels[random.random((side, side)) < 0.02] = 0
    return pixels


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--channels", type=int, default=8)
    arguments.add_argument("--side", type=int, default=4096)
    arguments.add_argument("--tile", type=int, default=1, help="repeat it so often along y and along x")
    arguments.add_argument("--codec", choices=CODECS, default="zstd-3")
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    random = np.random.default_rng(given.seed)
    side = given.side * given.tile
    chunk = min(1024, given.side)
    array = zarr.create_array(
        given.out,
        shape=(given.channels, side, side),
        chunks=(1, chunk, chunk),
        dtype="uint16",
        compressors=[CODECS[given.codec]],
        dimension_names=("c", "y", "x"),
        overwrite=True,
    )
    for c in range(given.channels):
        channel = make_channel(random, given.side)
        for y in range(0, side, given.side):
            for x in range(0, side, given.side):
                array[c, y : y + given.side, x : x + given.side] = channel


if __name__ == "__main__":
    main()
