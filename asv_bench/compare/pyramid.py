"""Pyramids from Zarr to OME-Zarr: xprep, and what people would use instead.

Four levels of means of an image (c, y, x), or, with ``--labels``, three levels of labels (y, x) by their mode. With
``--codec zstd3`` all write zstd level 3, which is what ngff-zarr, ome-zarr and spatialdata do anyway, through zarr;
``default`` is what each does unasked.
"""

from __future__ import annotations

import argparse
import shutil
from functools import partial
from pathlib import Path
from typing import Any

TILE = 1024


def with_xprep(source: str, out: str, codec: str, labels: bool) -> None:
    import xprep

    image, method, steps = xprep.open_image(source), "mode" if labels else "mean", 2 if labels else 3
    chunk = (1,) * (image.ndim - 2) + (TILE, TILE)
    if codec == "default":
        image.prep.to_ome_zarr(out, scale_factors=(2,) * steps, method=method, chunks=chunk, progress=False)
        return
    # The codec is no option of to_ome_zarr: the same writing, one layer below.
    from xprep.engine.filling.write import Target, write
    from xprep.engine.running.run import run
    from xprep.io.arrays.specs import ArraySpec, LevelSpec
    from xprep.io.codecs.compression import Codec
    from xprep.io.commit.begin import create_image
    from xprep.kernels.downsample import shrink

    shapes = [(*image.shape[:-2], *(-(-n // 2**k) for n in image.shape[-2:])) for k in range(steps + 1)]
    spec = ArraySpec(tuple(map(str, image.dims)), image.dtype, Codec.of("zstd:3", checksum=False))
    levels = [LevelSpec(shape, tuple(map(min, zip(chunk, shape, strict=True)))) for shape in shapes]
    ones = (1,) * (image.ndim - 2)
    targets = [
        Target(array, (*ones, 2, 2) if n else (*ones, 1, 1)) for n, array in enumerate(create_image(out, levels, spec).levels)
    ]
    run([write(image.data, targets, partial(shrink, method=method), None if labels else 0)], "writing")


def with_tensorstore(source: str, out: str, codec: str, labels: bool) -> None:
    """Its own downsampling driver, each level read from the one before; unasked it does not compress."""
    import tensorstore as ts

    level = ts.open({"driver": "zarr3", "kvstore": f"file://{Path(source).absolute()}"}, open=True).result()
    for n in range(3 if labels else 4):
        compressor = [{"name": "zstd", "configuration": {"level": 3}}] if codec == "zstd3" else []
        chunk = [min(c, s) for c, s in zip((1,) * (level.rank - 2) + (TILE, TILE), level.shape, strict=True)]
        spec: dict[str, Any] = {
            "driver": "zarr3",
            "kvstore": f"file://{Path(out).absolute()}/{n}",
            "metadata": {
                "shape": level.shape,
                "data_type": level.dtype.name,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
                "codecs": [{"name": "bytes"}, *compressor],
            },
        }
        stored = ts.open(spec, create=True, delete_existing=True).result()
        stored.write(level).result()
        level = ts.downsample(stored, [1] * (level.rank - 2) + [2, 2], "mode" if labels else "mean")


def with_ngff_zarr(source: str, out: str, codec: str, labels: bool) -> None:
    import dask.array as da
    import ngff_zarr

    dims = ("y", "x") if labels else ("c", "y", "x")
    image = ngff_zarr.to_ngff_image(da.from_zarr(source), dims=dims)
    means = ngff_zarr.Methods.ITKWASM_BIN_SHRINK if codec == "zstd3" else None
    method = ngff_zarr.Methods.DASK_IMAGE_MODE if labels else means
    steps = [{"y": 2**k, "x": 2**k} for k in range(1, 3 if labels else 4)]
    options = {} if method is None else {"method": method}
    chunks = {dim: TILE if dim in "yx" else 1 for dim in dims}
    ngff_zarr.to_ngff_zarr(out, ngff_zarr.to_multiscales(image, scale_factors=steps, chunks=chunks, **options), version="0.5")


def with_ome_zarr(source: str, out: str, codec: str, labels: bool) -> None:
    import dask.array as da
    import zarr
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    group = zarr.open_group(out, mode="w", zarr_format=3)
    steps = [{"y": 2**k, "x": 2**k} for k in range(1, 4)]
    options = [{"chunks": (1, TILE, TILE)}] * 4
    write_image(da.from_zarr(source), group, axes="cyx", scale_factors=steps, method=Methods.LOCAL_MEAN, storage_options=options)


def with_spatialdata(source: str, out: str, codec: str, labels: bool) -> None:
    import dask.array as da
    from spatialdata import SpatialData
    from spatialdata.models import Image2DModel

    element = Image2DModel.parse(
        da.from_zarr(source), dims=("c", "y", "x"), scale_factors=[2, 2, 2], chunks={"c": 1, "y": TILE, "x": TILE}
    )
    SpatialData(images={"image": element}).write(out)


WAYS = {
    "xprep": with_xprep,
    "tensorstore": with_tensorstore,
    "ngff-zarr": with_ngff_zarr,
    "ome-zarr": with_ome_zarr,
    "spatialdata": with_spatialdata,
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--how", choices=list(WAYS), default="xprep")
    arguments.add_argument("--codec", choices=("default", "zstd3"), default="default")
    arguments.add_argument("--labels", action="store_true")
    given = arguments.parse_args()
    if given.labels and given.how in ("ome-zarr", "spatialdata"):
        arguments.error(f"{given.how} has no mode of labels")
    shutil.rmtree(given.out, ignore_errors=True)
    WAYS[given.how](given.source, given.out, given.codec, given.labels)


if __name__ == "__main__":
    main()
