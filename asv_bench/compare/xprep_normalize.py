"""The same with xprep."""

from __future__ import annotations

import argparse
from contextlib import nullcontext

import xprep
from xprep.engine.running.cluster import connect


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--intermediates", default="auto", choices=("auto", "recompute", "persist", "spill"))
    arguments.add_argument("--workers", type=int, help="processes instead of threads")
    arguments.add_argument("--compression", help="of the result, as to_ome_zarr takes it")
    given = arguments.parse_args()
    with connect(workers=given.workers) if given.workers else nullcontext():
        result = xprep.open_image(given.source).prep.normalize(99, 5, 99.9, 2, intermediates=given.intermediates)
        print(result.prep.to_ome_zarr(given.out, scale_factors=(), overwrite=True, progress=False, compression=given.compression))


if __name__ == "__main__":
    main()
