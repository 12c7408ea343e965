"""Order-preserving unsigned keys: sorting keys sorts values, whatever their type.

A key is as wide as its value. Unsigned integers and bool are their own key, signed ones have the sign bit turned; of
floats, negative ones have every bit turned and the others the sign bit. −0.0 has the key of +0.0, and every NaN, of
whatever sign and payload, has all bits set, which is no other float's key.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xprep.kernels.compiling import compiled

UNSIGNED, SIGNED, FLOAT = 0, 1, 2
# Bits of the exponent of a float, by its width.
_EXPONENT = {16: 0x7C00, 32: 0x7F80_0000, 64: 0x7FF0_0000_0000_0000}


def key_width(dtype: Any) -> int:
    """Return the bits of a key of ``dtype``: 8, 16, 32 or 64.

    Raises
    ------
    TypeError
        ``dtype`` is not bool, an integer, or a float of at most 64 bits.

    Examples
    --------
    >>> key_width("uint16"), key_width(bool), key_width("float32")
    (16, 8, 32)
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise TypeError(f"keys are made of bool, integers and floats of at most 64 bits; got {dtype}.")
    return 8 * int(dtype.itemsize)


def key_kind(dtype: Any) -> int:
    """Return how keys of ``dtype`` are made: ``UNSIGNED``, ``SIGNED`` or ``FLOAT``."""
    key_width(dtype)
    return {"b": UNSIGNED, "u": UNSIGNED, "i": SIGNED, "f": FLOAT}[np.dtype(dtype).kind]


def nan_key(dtype: Any) -> int | None:
    """Return the key of NaN, or None where ``dtype`` has none."""
    return 2 ** key_width(dtype) - 1 if key_kind(dtype) == FLOAT else None


def zero_key(dtype: Any) -> int:
    """Return the key of zero (of both zeros)."""
    return 0 if key_kind(dtype) == UNSIGNED else 2 ** (key_width(dtype) - 1)


def bits_of(values: np.ndarray) -> np.ndarray:
    """View ``values`` as unsigned integers of their width, native and read-only (one compiled kernel for all)."""
    width = key_width(values.dtype)
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    bits = native.view(f"uint{width}").view()
    bits.flags.writeable = False
    return bits


def to_keys(values: np.ndarray) -> np.ndarray:
    """Return the keys of ``values``, in their shape: of a few, in numpy; kernels make those of images (`fill_keys`).

    Raises
    ------
    TypeError
        Values of a type that has no keys.

    Examples
    --------
    >>> to_keys(np.array([-1, 0, 1], np.int8)).tolist()
    [127, 128, 129]
    >>> keys = to_keys(np.array([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf, np.nan], np.float32))
    >>> bool((np.diff(keys.astype(np.int64)) >= 0).all()), bool(keys[2] == keys[3])
    (True, True)
    """
    values = np.asarray(values)
    bits = bits_of(values)
    kind, sign, exponent, nan_key = key_constants(values.dtype)
    if kind == UNSIGNED:
        return bits.copy()
    if kind == SIGNED:
        return np.asarray(bits ^ sign)
    return np.where((bits & ~sign) > exponent, nan_key, np.where(bits > sign, ~bits, bits | sign))


def from_keys(keys: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the values of ``dtype`` whose keys these are; the inverse of `to_keys` (a NaN comes back as one NaN).

    Examples
    --------
    >>> from_keys(to_keys(np.array([-1.5, 0.0, np.nan])), "float64").tolist()
    [-1.5, 0.0, nan]
    """
    dtype = np.dtype(dtype).newbyteorder("=")
    unsigned = np.dtype(f"uint{key_width(dtype)}")
    bits = np.asarray(keys).astype(unsigned)
    kind, sign, _, nan = key_constants(dtype)
    if kind == SIGNED:
        bits ^= sign
    elif kind == FLOAT:
        unknown = bits == nan
        bits = np.where(bits & sign, bits ^ sign, ~bits)
        bits[unknown] = np.array(np.nan, dtype).view(unsigned)
    return bits.view(dtype)


def key_constants(dtype: Any) -> tuple[int, np.unsignedinteger, np.unsignedinteger, np.unsignedinteger]:
    """Return what `fill_keys` must know of ``dtype``: kind, sign bit, bits of the exponent (or 0), all bits.

    They come in the type of the keys, because numba mixes uint64 with any signed number to float64.
    """
    width, kind = key_width(dtype), key_kind(dtype)
    unsigned = np.dtype(f"uint{width}").type
    return kind, unsigned(2 ** (width - 1)), unsigned(_EXPONENT[width] if kind == FLOAT else 0), unsigned(2**width - 1)


@compiled()
def fill_keys(bits, kind, sign, exponent, nan_key, keys):
    """Write the keys of a row of ``bits`` to ``keys``; arguments as `bits_of` and `key_constants` give them."""
    n = bits.size
    if kind == UNSIGNED:
        for i in range(n):
            keys[i] = bits[i]
    elif kind == SIGNED:
        for i in range(n):
            keys[i] = bits[i] ^ sign
    else:
        for i in range(n):
            b = bits[i]
            keys[i] = nan_key if (b & ~sign) > exponent else (~b if b > sign else b | sign)
