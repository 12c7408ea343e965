"""What one would write by hand: numpy and OpenCV, the whole image in memory."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import zarr
from zarr.codecs import BloscCodec


def percentile_of_counts(plane: np.ndarray, q: float) -> float:
    """Return an exact percentile of the non-zero values of 16-bit integers."""
    counts = np.bincount(plane.ravel(), minlength=65536)
    counts[0] = 0
    ranks = np.cumsum(counts)
    at = q / 100 * (ranks[-1] - 1)
    low, high = (np.searchsorted(ranks, r, side="right") for r in (np.floor(at), np.ceil(at)))
    return float(low + (high - low) * (at % 1))


def percentile(values: np.ndarray, q: float) -> float:
    """Return an exact percentile of what is neither zero nor NaN."""
    kept = values[(values != 0) & ~np.isnan(values)]
    at = q / 100 * (kept.size - 1)
    low, high = int(np.floor(at)), int(np.ceil(at))
    pair = np.partition(kept, (low, high))[[low, high]].astype(np.float64)
    return float(pair[0] + (pair[1] - pair[0]) * (at % 1))


def normalize(raw: np.ndarray, p: float, p_sum: float, p_post: float, sigma: float) -> np.ndarray:
    image = np.empty(raw.shape, np.float32)
    for c, plane in enumerate(raw):
        np.divide(plane, np.float32(percentile_of_counts(plane, p)), out=image[c])
    del raw  # the caller holds it no more: a quarter of the memory
    threshold = np.float32(percentile(image.sum(axis=0), p_sum))
    radius = int(4 * sigma + 0.5)
    for plane in image:
        cv2.GaussianBlur(plane, (2 * radius + 1,) * 2, sigma, dst=plane, borderType=cv2.BORDER_REFLECT)
    total = image.sum(axis=0)
    total[~(total > threshold)] = np.nan
    image /= total
    for plane in image:
        plane /= np.float32(percentile(plane.ravel(), p_post))
    return image


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--in", dest="source", required=True)
    arguments.add_argument("--out", required=True)
    given = arguments.parse_args()
    source = zarr.open_array(given.source, mode="r")
    result = normalize(source[:], 99, 5, 99.9, 2)
    codec = BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=4)
    target = zarr.create_array(
        given.out,
        shape=result.shape,
        chunks=source.chunks,
        dtype="float32",
        compressors=[codec],
        dimension_names=("c", "y", "x"),
        overwrite=True,
    )
    target[:] = result


if __name__ == "__main__":
    main()
