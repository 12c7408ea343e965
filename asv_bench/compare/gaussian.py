"""A Gaussian blur of sigma 2, from Zarr to Zarr: xprep and three other ways."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import zarr
from zarr.codecs import BloscCodec

SIGMA = 2
RADIUS = int(4 * SIGMA + 0.5)


def blur_plane(plane: np.ndarray) -> np.ndarray:
    size = (2 * RADIUS + 1,) * 2
    return cv2.GaussianBlur(plane.astype(np.float32), size, SIGMA, borderType=cv2.BORDER_REFLECT)


def blur_block(block: np.ndarray) -> np.ndarray:
    return np.stack([blur_plane(plane) for plane in block])


def planes(source: zarr.Array, target: zarr.Array) -> None:
    """OpenCV, a whole plane at a time."""
    for c in range(source.shape[0]):
        target[c] = blur_plane(source[c])


def overlap(source: zarr.Array, target: zarr.Array) -> None:
    """OpenCV on dask's chunks with their neighbours' edges."""
    import dask.array as da

    blurred = da.map_overlap(blur_block, da.from_zarr(source), depth=(0, RADIUS, RADIUS), boundary="reflect", dtype="float32")
    da.store(blurred, target, lock=False)


def dask_image(source: zarr.Array, target: zarr.Array) -> None:
    """dask-image, which is scipy on such chunks."""
    import dask.array as da
    from dask_image.ndfilters import gaussian_filter

    image = da.from_zarr(source).astype("float32")
    da.store(gaussian_filter(image, (0, SIGMA, SIGMA), mode="reflect"), target, lock=False)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--how", choices=("planes", "overlap", "dask-image", "xprep"), default="xprep")
    given = arguments.parse_args()
    if given.how == "xprep":
        import xprep

        blurred = xprep.open_image(given.source).prep.gaussian_filter(SIGMA)
        print(blurred.prep.to_ome_zarr(given.out, scale_factors=(), overwrite=True, progress=False))
        return
    source = zarr.open_array(given.source, mode="r")
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=4)
    target = zarr.create_array(
        given.out,
        shape=source.shape,
        chunks=source.chunks,
        dtype="float32",
        compressors=[codec],
        dimension_names=("c", "y", "x"),
        overwrite=True,
    )
    {"planes": planes, "overlap": overlap, "dask-image": dask_image}[given.how](source, target)


if __name__ == "__main__":
    main()
