"""What codecs make of the chunks of a result: the ratio of bytes, and how fast one core encodes and decodes them."""

from __future__ import annotations

import argparse
import time

import numcodecs.blosc
import numpy as np

import xprep
from xprep.io.codecs.compression import Codec


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--chunks", type=int, default=16)
    arguments.add_argument("codecs", nargs="+", help="as to_ome_zarr(compression=…) takes them")
    given = arguments.parse_args()
    numcodecs.blosc.use_threads = False
    image = xprep.open_image(given.source)
    blocks = image.data.blocks.ravel()
    step = max(1, len(blocks) // given.chunks)
    chunks = [np.ascontiguousarray(block.compute()) for block in blocks[::step]]
    nbytes = sum(chunk.nbytes for chunk in chunks)
    for name in given.codecs:
        codec = Codec.of(name).for_v2()["compressors"]
        if codec is None:
            arguments.error("'none' encodes nothing")
        start = time.process_time()
        encoded = [codec.encode(chunk) for chunk in chunks]
        between = time.process_time()
        for one in encoded:
            codec.decode(one)
        end = time.process_time()
        ratio = sum(map(len, encoded)) / nbytes
        print(f"{name:14} {ratio:.3f} {nbytes / 1e6 / (between - start):8.0f} {nbytes / 1e6 / (end - between):8.0f} MB/s")


if __name__ == "__main__":
    main()
