"""The same with harpy-analysis 0.5.2, in an environment of its own: pip install harpy-analysis==0.5.2."""

from __future__ import annotations

import argparse
import shutil

import dask.array as da
import harpy
import spatialdata
import zarr
from spatialdata.models import Image2DModel
from zarr.codecs import BloscCodec


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    image = da.from_zarr(given.source)
    names = [f"channel {c}" for c in range(image.shape[0])]
    sdata = spatialdata.SpatialData(images={"raw": Image2DModel.parse(image, dims=("c", "y", "x"), c_coords=names)})
    # Everything in memory: backed by a store, its low-memory path returned zeros.
    sdata = harpy.im.pixel_clustering_preprocess(
        sdata, image_name="raw", output_image_name="normalized", p=99, p_sum=5, p_post=99.9, sigma=2, norm_sum=True
    )
    result = sdata.images["normalized"].data
    shutil.rmtree(given.out, ignore_errors=True)
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=4)
    target = zarr.create_array(
        given.out,
        shape=result.shape,
        chunks=(1, 1024, 1024),
        dtype="float32",
        compressors=[codec],
        dimension_names=("c", "y", "x"),
    )
    da.store(result.rechunk((1, 1024, 1024)), target, lock=False)


if __name__ == "__main__":
    main()
