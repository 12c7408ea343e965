"""Counting and gathering of keys, for exact quantiles of streams.

A quantile is found digit by digit, 16 bits of the key a round: count the digits of all values, take the digit in which
the wanted rank falls (`xprep.engine.passes.quantiles`), then count the next digit of the values that share it. Values of 16
bits need one round, of 32 two, of 64 four, and the counts of blocks are simply added. Where a good guess is at hand,
`collect_keys` does it in one.

Rows are turned into keys a piece at a time, in loops that vectorise; only the count itself goes pixel by pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xprep.kernels.compiling import compiled
from xprep.kernels.keys import FLOAT, bits_of, fill_keys, key_constants, key_kind, key_width, zero_key
from xprep.kernels.layout import contiguous

# Keys that are made at once; 32 KiB of 64-bit keys stay in the first cache.
PIECE = 4096
DIGITS = 65536


class Digits(NamedTuple):
    """What `count_digits` found: counts per group, slot and digit, and NaN per group."""

    counts: np.ndarray
    nan: np.ndarray


class Bracket(NamedTuple):
    """What `collect_keys` found: the sorted keys inside, and how many values are below, inside, above and NaN."""

    keys: np.ndarray
    below: int
    inside: int
    above: int
    nan: int


def first_shift(dtype: np.typing.DTypeLike) -> int:
    """Return the shift of the first round; rounds follow at 16 less, the last at 0.

    Examples
    --------
    >>> first_shift("uint8"), first_shift("uint16"), first_shift("float32"), first_shift("float64")
    (0, 0, 16, 48)
    """
    return max(key_width(dtype) - 16, 0)


def count_digits(values: np.ndarray, prefixes: np.ndarray, shift: int, *, skip_zeros: bool = False) -> Digits:
    """Count the digits of the keys that begin with one of ``prefixes``.

    A pixel whose ``key >> (shift + 16)`` is ``prefixes[g, m]`` is counted in ``counts[g, m, (key >> shift) & 0xFFFF]``.
    Of equal prefixes in a group, the first slot counts and the others stay 0.

    Parameters
    ----------
    values : (g, n)
        Pixels of each group; bool, integers or floats.
    prefixes : (g, m) uint64
        Sorted in each group. In the first round (``shift=first_shift(dtype)``) they are all 0.
    shift : int
        Bits below the digit: 48, 32, 16 or 0.
    skip_zeros : bool
        Leave zeros out, −0.0 too.

    Returns
    -------
    Digits
        ``counts`` (g, m, 65536) uint32, with 256 digits for types of 8 bits (int64 from 2**32 pixels on), and ``nan``
        (g,) int64: NaN is never counted but reported, in every round.

    Raises
    ------
    ValueError
        Shapes do not fit, prefixes are not sorted, or ``shift`` is no round of this type.
    TypeError
        Values of a type that has no keys.

    Examples
    --------
    >>> counts, nan = count_digits(np.array([[7, 7, 9]], np.uint16), np.zeros((1, 1), np.uint64), 0)
    >>> counts[0, 0, 7:10].tolist()
    [2, 0, 1]
    """
    width = _check(values, prefixes, shift)
    groups, pixels = values.shape
    counts = np.zeros((groups, prefixes.shape[1], min(DIGITS, 2**width)), np.uint32 if pixels < 2**32 else np.int64)
    nan, bits = np.zeros(groups, np.int64), bits_of(values)
    constants = *key_constants(values.dtype), bits.dtype.type(zero_key(values.dtype))
    first, keys = shift == first_shift(values.dtype), np.empty(PIECE, bits.dtype)
    for group in range(groups if prefixes.shape[1] else 0):
        row = bits[group], *constants, shift, skip_zeros, keys
        if first:
            nan[group] = _count_all(*row, counts[group, np.searchsorted(prefixes[group], 0)])
        else:
            nan[group] = _count_matching(*row, prefixes[group].astype(np.uint64), counts[group])
    return Digits(counts, nan)


def collect_keys(values: np.ndarray, low: int, high: int, capacity: int, *, skip_zeros: bool = False) -> Bracket:
    """Gather the keys of a row from ``low`` to ``high``, both included, unless there are more than ``capacity``.

    Parameters
    ----------
    values : (n,)
        Pixels of one group.
    low, high : int
        Keys (`xprep.kernels.keys.to_keys`).
    capacity : int
        Most keys that are wanted.
    skip_zeros : bool
        Leave zeros out, −0.0 too.

    Returns
    -------
    Bracket
        ``keys`` sorted; empty where ``inside`` exceeds ``capacity``. NaN is in none of the counts but ``nan``.

    Raises
    ------
    ValueError
        ``values`` is not one row, ``capacity`` is negative, or ``low`` and ``high`` are no keys in order.
    TypeError
        Values of a type that has no keys.

    Examples
    --------
    >>> collect_keys(np.array([5, 1, 9, 6, 5], np.uint8), 5, 6, capacity=3)
    Bracket(keys=array([5, 5, 6], dtype=uint8), below=1, inside=3, above=1, nan=0)
    """
    if values.ndim != 1 or capacity < 0:
        raise ValueError(f"expected one row and a capacity of at least 0; got {values.ndim} axes and {capacity}.")
    bits, top = bits_of(values), 2 ** key_width(values.dtype) - 1
    if not 0 <= low <= high <= top:
        raise ValueError(f"keys of {values.dtype} are from 0 to {top}, low first; got {low} and {high}.")
    if key_kind(values.dtype) == FLOAT:
        low, high = min(low, top - 1), min(high, top - 1)
    room, found = np.empty(PIECE, bits.dtype), np.empty(min(capacity, bits.size), bits.dtype)
    unsigned = bits.dtype.type
    constants = *key_constants(values.dtype), unsigned(zero_key(values.dtype))
    below, inside, above, nan = _collect(bits, *constants, unsigned(low), unsigned(high), skip_zeros, room, found)
    keys = np.sort(found[:inside]) if inside <= capacity else found[:0]
    return Bracket(keys, below, inside, above, nan)


def _check(values: np.ndarray, prefixes: np.ndarray, shift: int) -> int:
    width = key_width(values.dtype)
    if values.ndim != 2 or prefixes.ndim != 2 or len(values) != len(prefixes):
        raise ValueError(f"expected values (g, n) and prefixes (g, m); got {values.shape} and {prefixes.shape}.")
    if shift not in range(0, max(width - 15, 1), 16):
        raise ValueError(f"shift must be a multiple of 16 from 0 to {first_shift(values.dtype)}; got {shift}.")
    if shift == first_shift(values.dtype) and prefixes.any():
        raise ValueError("prefixes of the first round must be 0.")
    if shift != first_shift(values.dtype) and (prefixes >= 2 ** (width - shift - 16)).any():
        raise ValueError(f"prefixes of {values.dtype} at shift {shift} have {width - shift - 16} bits; got more.")
    if (prefixes[:, 1:] < prefixes[:, :-1]).any():
        raise ValueError("prefixes must be sorted in each group.")
    return width


@compiled()
def _count_all(bits, kind, sign, exponent, nan_key, zero, shift, skip_zeros, keys, counts):
    """Count the first digit of a row; return how many are NaN. ``keys`` is room for those of a piece."""
    zeros = 0
    for start in range(0, bits.size, PIECE):
        piece = contiguous(bits[start : start + PIECE])
        fill_keys(piece, kind, sign, exponent, nan_key, keys)
        for i in range(piece.size):
            zeros += keys[i] == zero
        for i in range(piece.size):
            counts[keys[i] >> shift] += 1
    if skip_zeros:
        counts[zero >> shift] -= zeros
    nan = 0
    if kind == FLOAT:
        # Infinity's digit is below the last one, which therefore holds nothing but NaN.
        nan = counts[counts.size - 1]
        counts[counts.size - 1] = 0
    return nan


@compiled()
def _count_matching(bits, kind, sign, exponent, nan_key, zero, shift, skip_zeros, keys, prefixes, counts):
    """Count a later digit of the values of a row that begin with a prefix; return how many are NaN."""
    # Where the slots of a leading digit begin: one load tells most values that they belong to none. A binary search
    # alone, with branches nobody can predict, took 7.5 ns a pixel for six prefixes where this takes 1.
    width = 8 * keys.itemsize
    slots = np.full(DIGITS, -1, np.int32)
    for slot in range(prefixes.size - 1, -1, -1):
        slots[prefixes[slot] >> (width - shift - 32)] = slot
    nan = 0
    for start in range(0, bits.size, PIECE):
        piece = contiguous(bits[start : start + PIECE])
        fill_keys(piece, kind, sign, exponent, nan_key, keys)
        if kind == FLOAT:
            for i in range(piece.size):
                nan += keys[i] == nan_key
        for i in range(piece.size):
            slot = slots[keys[i] >> (width - 16)]
            if slot < 0 or (skip_zeros and keys[i] == zero):
                continue
            prefix = keys[i] >> (shift + 16)
            if prefixes[slot] != prefix:
                slot = _first_slot(prefixes, prefix)
            if prefixes[slot] == prefix:
                counts[slot, (keys[i] >> shift) & 0xFFFF] += 1
    return nan


@compiled()
def _first_slot(prefixes, prefix):
    """Return the first slot whose prefix is not below ``prefix``, or the last slot."""
    low, high = 0, prefixes.size - 1
    while low < high:
        middle = (low + high) // 2
        if prefixes[middle] < prefix:
            low = middle + 1
        else:
            high = middle
    return low


@compiled()
def _collect(bits, kind, sign, exponent, nan_key, zero, low, high, skip_zeros, keys, found):
    below, nan, zeros = 0, 0, 0
    inside = np.int64(0)  # as a literal it would be a type of its own, and `_gather` compiled twice
    for start in range(0, bits.size, PIECE):
        piece = contiguous(bits[start : start + PIECE])
        fill_keys(piece, kind, sign, exponent, nan_key, keys)
        under, within = 0, 0
        for i in range(piece.size):
            under += keys[i] < low
            within += (keys[i] >= low) & (keys[i] <= high)
        if kind == FLOAT:
            for i in range(piece.size):
                nan += keys[i] == nan_key
        if skip_zeros:
            for i in range(piece.size):
                zeros += keys[i] == zero
        below += under
        if within:
            inside = _gather(keys, piece.size, low, high, skip_zeros, zero, inside, found)
    if skip_zeros and zero < low:
        below -= zeros
    above = bits.size - below - inside - nan
    if skip_zeros:
        above -= zeros
    return below, inside, above, nan


@compiled()
def _gather(keys, size, low, high, skip_zeros, zero, inside, found):
    for i in range(size):
        key = keys[i]
        if low <= key <= high and not (skip_zeros and key == zero):
            if inside < found.size:
                found[inside] = key
            inside += 1
    return inside
