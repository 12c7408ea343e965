"""From a label image to the pixel lists of its labels, by way of runs: neighbours along x with one label."""

import numpy as np
from numpy.typing import NDArray

from xprep.kernels.compiling import compiled
from xprep.kernels.rois import Ints, check_offsets, frozen
from xprep.types import Array


def find_runs(labels: Array) -> tuple[Array, NDArray[np.int32]]:
    """List the runs of a (z, y, x) block: label, z, y, first x and length, in raster order.

    Zero is background. Labels are int64 (or uint64) values; a negative one raises.
    """
    counts = np.zeros(2, np.int64)
    labels = frozen(labels)
    _count_runs(labels, counts)
    if counts[1]:
        raise ValueError(
            f"{counts[1]} pixels have a negative label; labels are 1 and up, 0 is background. "
            "If negative means background, set it to 0: labels.where(labels > 0, 0)."
        )
    values = np.empty(counts[0], labels.dtype)
    places = np.empty((4, counts[0]), np.int32)
    _list_runs(labels, values, places)
    return values, places


@compiled()
def _count_runs(labels, counts):
    runs = negative = 0
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            row = labels[z, y]
            before = row.dtype.type(0)
            for x in range(row.size):
                label = row[x]
                if label != before and label != 0:
                    runs += 1
                if label < 0:
                    negative += 1
                before = label
    counts[0] = runs
    counts[1] = negative


@compiled()
def _list_runs(labels, values, places):
    run = -1
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            row = labels[z, y]
            before = row.dtype.type(0)
            for x in range(row.size):
                label = row[x]
                if label != 0:
                    if label != before:
                        run += 1
                        values[run] = label
                        places[0, run] = z
                        places[1, run] = y
                        places[2, run] = x
                        places[3, run] = 0
                    places[3, run] += 1
                before = label


def sort_runs(ranks: Ints, count: int) -> tuple[Ints, Ints]:
    """Order runs by rank (a number in ``[0, count)``), stable, by counting; gives the order and each rank's start."""
    check_offsets(ranks, count)
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(ranks, minlength=count), out=starts[1:])
    order = np.empty(ranks.size, np.int64)
    _place(frozen(ranks), starts[:-1].copy(), order)
    return order, starts


@compiled()
def _place(ranks, cursor, order):
    for i in range(ranks.size):
        order[cursor[ranks[i]]] = i
        cursor[ranks[i]] += 1


def expand_runs(order: Ints, firsts: Array, lengths: Array, column: Array | None) -> NDArray[np.int32]:
    """Write the pixels of runs, in ``order``: steps from ``firsts``, or ``column`` repeated."""
    check_offsets(order, lengths.size)
    pixels = np.empty(int(lengths.sum()), np.int32)
    if column is None:
        _expand_steps(frozen(order), frozen(firsts), frozen(lengths), pixels)
    else:
        _expand_repeats(frozen(order), frozen(column), frozen(lengths), pixels)
    return pixels


@compiled()
def _expand_steps(order, firsts, lengths, pixels):
    pixel = 0
    for i in order:
        for step in range(lengths[i]):
            pixels[pixel] = firsts[i] + step
            pixel += 1


@compiled()
def _expand_repeats(order, column, lengths, pixels):
    pixel = 0
    for i in order:
        for _ in range(lengths[i]):
            pixels[pixel] = column[i]
            pixel += 1
