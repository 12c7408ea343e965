"""A pyramid of means, four levels in all, from Zarr to OME-Zarr: xprep and what people would use instead."""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path
from typing import Any

LEVELS = 4
CHUNK = (1, 1024, 1024)


def with_xprep(source: str, out: str, codec: str) -> None:
    import xprep

    image = xprep.open_image(source)
    if codec == "default":
        image.prep.to_ome_zarr(out, scale_factors=(2,) * (LEVELS - 1), chunks=CHUNK, progress=False)
        return
    from xprep.engine.run import run
    from xprep.engine.write import Target, write
    from xprep.io.layout import create_image
    from xprep.io.specs import ArraySpec, LevelSpec
    from xprep.io.writes import Codec
    from xprep.kernels.downsample import shrink

    shapes = [tuple(-(-n // f) for n, f in zip(image.shape, (1, 2**k, 2**k), strict=True)) for k in range(LEVELS)]
    spec = ArraySpec(("c", "y", "x"), image.dtype, Codec("zstd", level=3, checksum=False))
    levels = [LevelSpec(shape, tuple(map(min, zip(CHUNK, shape, strict=True)))) for shape in shapes]
    store = create_image(out, levels, spec)
    targets = [Target(array, (1, 2, 2) if n else (1, 1, 1)) for n, array in enumerate(store.levels)]
    run([write(image.data, targets, partial(shrink, method="mean"), 0)], "writing")


def with_tensorstore(source: str, out: str, codec: str) -> None:
    """Its own downsampling driver, each level read from the one before."""
    import tensorstore as ts

    level = ts.open({"driver": "zarr3", "kvstore": f"file://{source}"}, open=True).result()
    for n in range(LEVELS):
        codecs = [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3}}]
        chunk = [min(c, s) for c, s in zip(CHUNK, level.shape, strict=True)]
        spec: dict[str, Any] = {
            "driver": "zarr3",
            "kvstore": f"file://{Path(out).absolute()}/{n}",
            "metadata": {
                "shape": level.shape,
                "data_type": "uint16",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
                "codecs": codecs,
            },
        }
        stored = ts.open(spec, create=True, delete_existing=True).result()
        stored.write(level).result()
        level = ts.downsample(stored, [1, 2, 2], "mean")


def with_ngff_zarr(source: str, out: str, codec: str) -> None:
    import dask.array as da
    import ngff_zarr

    data = da.from_zarr(source)
    image = ngff_zarr.to_ngff_image(data, dims=("c", "y", "x"))
    method = ngff_zarr.Methods.DASK_IMAGE_GAUSSIAN if codec == "default" else ngff_zarr.Methods.ITKWASM_BIN_SHRINK
    steps = [{"y": 2**k, "x": 2**k} for k in range(1, LEVELS)]
    options = {} if codec == "default" else {"method": method}
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=steps, chunks={"c": 1, "y": 1024, "x": 1024}, **options)
    ngff_zarr.to_ngff_zarr(out, multiscales, version="0.5")


def with_ome_zarr(source: str, out: str, codec: str) -> None:
    import dask.array as da
    import zarr
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    group = zarr.open_group(out, mode="w", zarr_format=3)
    options = [{"chunks": CHUNK}] * LEVELS
    steps = [{"y": 2**k, "x": 2**k} for k in range(1, LEVELS)]
    write_image(da.from_zarr(source), group, axes="cyx", scale_factors=steps, method=Methods.LOCAL_MEAN, storage_options=options)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--how", choices=("xprep", "tensorstore", "ngff-zarr", "ome-zarr"), default="xprep")
    arguments.add_argument("--codec", choices=("default", "zstd3"), default="default")
    given = arguments.parse_args()
    shutil.rmtree(given.out, ignore_errors=True)
    ways = {"xprep": with_xprep, "tensorstore": with_tensorstore, "ngff-zarr": with_ngff_zarr, "ome-zarr": with_ome_zarr}
    ways[given.how](given.source, given.out, given.codec)


if __name__ == "__main__":
    main()
