"""Indices out of range: always an error and never a crash, in compiled code that checks its own bounds; and threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xprep import rois

FUZZ = """
import numpy as np, xarray as xr, dask.array as da
from xprep import rois
from xprep.rois.images.features import centered, roi_features
from xprep.rois.images.traces import traces
from xprep.rois.images.masking import mask
from xprep.kernels import rois as kernels, rois_windows, labels_lists

rng = np.random.default_rng(0)
refused = worked = 0

def attempt(function, *args, **kwargs):
    global refused, worked
    try:
        function(*args, **kwargs)
        worked += 1
    except ValueError:
        refused += 1

def odd(size, high):
    values = rng.integers(0, high, size)
    if size and rng.random() < 0.3:
        values[rng.integers(0, size)] = rng.choice([-1, high, -high, 2**31, 2**40, -(2**62)])
    return values

for step in range(ROUNDS):
    height, width, depth = rng.integers(1, 12, 3)
    count = int(rng.integers(1, 5))
    sizes = rng.integers(0, 6, count)
    lam = [rng.normal(size=n) for n in sizes]
    y, x = [odd(n, height) for n in sizes], [odd(n, width) for n in sizes]
    z = [odd(n, depth) for n in sizes]
    planes = odd(count, depth)
    flat = {"lam_flat": np.concatenate(lam), "ypix_flat": np.concatenate(y), "xpix_flat": np.concatenate(x),
            "zpix_flat": np.concatenate(z), "roi_idx": odd(sizes.sum(), count)}
    centers = {"zc": odd(count, depth), "yc": odd(count, height), "xc": odd(count, width)}
    image = rng.normal(size=(depth, height, width))
    half = int(rng.integers(0, 4))
    attempt(rois.get_mask_volume, flat, count, (height, width))
    attempt(rois.get_mask_volume, flat, count, (depth, height, width), volumetric=True)
    attempt(rois.get_centered_masks, flat, centers, width=half)
    attempt(rois.get_centered_masks, flat, centers, width=half, num_planes=int(depth), volumetric=True)
    attempt(rois.get_centered_reference, image, centers, width=half)
    attempt(rois.get_centered_reference, da.from_array(image, chunks=2), centers, width=half)
    attempt(rois.dot_product, lam, y, x, planes, image)
    attempt(rois.dot_product, lam, y, x, z, image, volumetric=True)
    named = xr.DataArray(image, dims=("z", "y", "x"))
    for zpix in (planes, z):
        try:
            table = rois.RoiTable.from_pixels(lam, y, x, zpix)
        except ValueError:
            refused += 1
            continue
        for function in (traces, centered, roi_features, mask):
            options = {"width": half} if function in (centered, roi_features) else {}
            attempt(function, named, table, **options)
        attempt(lambda: table.masks((height, width), volumetric=False).values)
        attempt(lambda: table.centered_masks(half).values)
    attempt(kernels.fill_pixels, np.zeros(5), odd(4, 5), np.ones(4))
    starts = np.array([0, 2, odd(1, 5)[0]])
    attempt(kernels.sum_frames, image.reshape(depth, -1), odd(4, height * width), np.ones(4), starts)
    ones = np.ones(4)
    attempt(kernels.sum_frames_skipping_nan, image.reshape(depth, -1), odd(4, height * width), ones, ones, starts)
    attempt(kernels.weighted_means, np.ones(4), [np.arange(4)], starts)
    attempt(labels_lists.sort_runs, odd(4, 3), 3)
    attempt(labels_lists.expand_runs, odd(4, 4), np.arange(4), np.ones(4, int), None)
    cubes = rng.normal(size=(3, 1, 4, 4))
    attempt(rois_windows.correlate, cubes, cubes, odd(3, 3), odd(3, 3), None, False)
    attempt(rois_windows.sum_inside_and_around, cubes > 0, cubes > 0, cubes, odd(3, 3), odd(3, 3), False)
print(refused, worked)
"""


def test_indices_out_of_range(tmp_path):
    """Compiled with boundscheck on, an index that slipped through is an IndexError, which nothing here expects."""
    env = {
        **os.environ,
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    program = FUZZ.replace("ROUNDS", "40")
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    refused, worked = map(int, done.stdout.split())
    assert refused > 200
    assert worked > 200


def test_threads_give_one_answer():
    """Duplicates in every ROI, many threads: the last listed wins, every time."""
    rng = np.random.default_rng(0)
    y, x = rng.integers(0, 6, (2, 40, 200))
    lam = rng.random((40, 200))
    flat = rois.flatten_roi_data(list(lam), list(y), list(x))
    wanted = np.zeros((40, 6, 6), np.float32)
    for roi in range(40):
        for weight, row, column in zip(lam[roi], y[roi], x[roi], strict=True):
            wanted[roi, row, column] = weight
    table = rois.RoiTable.from_pixels(list(lam), list(y), list(x))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: rois.get_mask_volume(flat, 40, (6, 6)), range(20)):
            np.testing.assert_array_equal(found, wanted)
        for found in pool.map(lambda _: table.masks((6, 6)).values, range(10)):
            np.testing.assert_array_equal(found, wanted)
