"""Keys sort as values do; counting by digits finds what sorting finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal

from xprep.kernels import counting
from xprep.kernels.counting import collect_keys, count_digits, first_shift
from xprep.kernels.keys import from_keys, key_width, nan_key, to_keys, zero_key

INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "float32", "float64"]
DTYPES = INTEGERS + FLOATS


def special(dtype):
    """Return values of ``dtype`` that deserve a test."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return [False, True]
    if dtype.kind in "ui":
        info = np.iinfo(dtype)
        return [info.min, info.min + 1, 0, 1, 2, info.max - 1, info.max]
    info = np.finfo(dtype)
    tiny, large = float(info.smallest_subnormal), float(info.max)
    return [0.0, -0.0, tiny, -tiny, float(info.tiny), 1.0, -1.0, 1.5, large, -large, np.inf, -np.inf, np.nan]


def values_of(dtype, shape, *, allow_nan=True):
    """Arrays of ``dtype``: special values (so ties), and any others."""
    kind = np.dtype(dtype).kind
    anything = st.booleans() if kind == "b" else None
    if kind in "ui":
        info = np.iinfo(dtype)
        anything = st.integers(int(info.min), int(info.max))
    elif kind == "f":
        anything = st.floats(width=8 * np.dtype(dtype).itemsize, allow_nan=allow_nan)
    chosen = [value for value in special(dtype) if allow_nan or value == value]
    return arrays(dtype, shape, elements=st.one_of(st.sampled_from(chosen), anything))


def counted(row, skip_zeros):
    """Return the sorted values that count, plainly."""
    row = row[~np.isnan(row)]
    return np.sort(row[row != 0] if skip_zeros else row)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_keys_sort_as_values(dtype, data):
    values = data.draw(values_of(dtype, st.integers(0, 30)))
    keys = to_keys(values)
    assert keys.dtype == np.dtype(f"uint{key_width(dtype)}")
    back = from_keys(keys, dtype)
    assert back.dtype == values.dtype
    assert_array_equal(back, values)
    known = values[~np.isnan(values)]
    known_keys = to_keys(known)
    assert_array_equal(known_keys[:, None] < known_keys, known[:, None] < known)
    assert_array_equal(known_keys == zero_key(dtype), known == 0)
    if np.dtype(dtype).kind == "f":
        assert_array_equal(keys == nan_key(dtype), np.isnan(values))
    else:
        assert nan_key(dtype) is None


@pytest.mark.parametrize(("dtype", "bits"), [("float16", "uint16"), ("float32", "uint32"), ("float64", "uint64")])
def test_every_nan_and_both_zeros(dtype, bits):
    sign = 2 ** (np.dtype(bits).itemsize * 8 - 1)
    infinity = int(np.array(np.inf, dtype).view(bits))
    raw = np.array([infinity + 1, infinity + sign + 1, sign - 1, 2 * sign - 1], bits)
    assert (to_keys(raw.view(dtype)) == nan_key(dtype)).all()
    assert from_keys(to_keys(np.array([-0.0], dtype)), dtype).view(bits)[0] == 0


def test_keys_of_any_layout():
    values = np.arange(-30, 30, dtype=">i4").reshape(6, 10)
    for variant in (values, values.T.copy().T, values[:, ::2], values[::-1]):
        assert_array_equal(to_keys(variant), variant.astype(np.int64) + 2**31)


@pytest.mark.parametrize("dtype", ["complex64", "U3", "O", "longdouble", "M8[s]"])
def test_types_without_keys(dtype):
    with pytest.raises(TypeError, match="keys are made of"):
        to_keys(np.zeros(3, dtype))


def narrowed(counts, prefixes, ranks):
    """Return the next prefixes of one group, and the ranks among the values that share them: one rank after the other."""
    found = []
    for prefix, rank in zip(prefixes, ranks, strict=True):
        reached = np.cumsum(counts[np.searchsorted(prefixes, prefix)])
        digit = int(np.searchsorted(reached, rank, side="right"))
        found.append((int(prefix) * counts.shape[1] + digit, rank - (reached[digit - 1] if digit else 0)))
    return np.array([one for one, _ in found], np.uint64), np.array([left for _, left in found], np.int64)


def select(values, ranks, skip_zeros, blocks):
    """Find the values of ``ranks`` of every group, round by round, the pixels in blocks."""
    groups = len(values)
    prefixes, left = np.zeros(ranks.shape, np.uint64), ranks.copy()
    for shift in range(first_shift(values.dtype), -1, -16):
        parts = [count_digits(part, prefixes, shift, skip_zeros=skip_zeros) for part in np.array_split(values, blocks, axis=1)]
        counts = sum(part.counts.astype(np.int64) for part in parts)
        assert_array_equal(sum(part.nan for part in parts), np.isnan(values).sum(axis=1))
        pairs = [narrowed(counts[group], prefixes[group], left[group]) for group in range(groups)]
        prefixes, left = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
    return from_keys(prefixes, values.dtype)


@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_rounds_find_what_sorting_finds(dtype, skip_zeros, data):
    values = data.draw(values_of(dtype, st.tuples(st.integers(1, 3), st.integers(1, 40))))
    expected = [counted(row, skip_zeros) for row in values]
    values = values[[bool(row.size) for row in expected]]
    expected = [row for row in expected if row.size]
    if not expected:
        return
    ranks = np.array([np.sort(data.draw(st.lists(st.integers(0, row.size - 1), min_size=5, max_size=5))) for row in expected])
    found = select(values, ranks, skip_zeros, data.draw(st.integers(1, 4)))
    for row, rank, value in zip(expected, ranks, found, strict=True):
        assert_array_equal(value, row[rank])


@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_long_rows_cross_pieces(dtype, skip_zeros):
    rng = np.random.default_rng(0)
    values = (rng.lognormal(3, 1, (2, 3 * counting.PIECE + 5)) - 20).clip(-120, 120).astype(dtype)
    values[rng.random(values.shape) < 0.1] = 0
    if np.dtype(dtype).kind == "f":
        values[rng.random(values.shape) < 0.1] = np.nan
    expected = [counted(row, skip_zeros) for row in values]
    ranks = np.array([np.linspace(0, row.size - 1, 9).astype(int) for row in expected])
    found = select(values, ranks, skip_zeros, 3)
    assert_array_equal(found, [row[rank] for row, rank in zip(expected, ranks, strict=True)])


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_equal_prefixes_count_once(dtype):
    values = np.array([[3, 3, 5, 0]], dtype)
    shift = first_shift(dtype)
    counts, nan = count_digits(values, np.zeros((1, 3), np.uint64), shift)
    assert counts.dtype == np.uint32
    assert counts[0, 0].sum() == 4
    assert counts[0, 1:].sum() == 0
    assert nan.tolist() == [0]
    if shift:
        prefix = np.full((1, 3), int(to_keys(values)[0, 0]) >> 16, np.uint64)
        counts, _ = count_digits(values, prefix, 0)
        assert counts[0].sum(axis=1).tolist() == [2, 0, 0]


def test_prefixes_that_share_a_leading_digit():
    """64-bit keys: prefixes of 32 and 48 bits whose first 16 are the same, some that match nothing."""
    values = np.array([[0x0001_0002_0003_0004, 0x0001_0002_0009_0004, 0x0001_0005_0003_0001, 0x0001_0007_0000_0000]], np.uint64)
    prefixes = np.array([[0x0001_0002, 0x0001_0003, 0x0001_0005]], np.uint64)
    counts, _ = count_digits(values, prefixes, 16)
    assert [dict(enumerate(row.nonzero()[0].tolist())) for row in counts[0]] == [{0: 3, 1: 9}, {}, {0: 3}]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (2, 0)])
def test_nothing_to_count(shape):
    counts, nan = count_digits(np.zeros(shape, np.float32), np.zeros((shape[0], 1), np.uint64), 16)
    assert counts.shape == (shape[0], 1, 65536)
    assert not counts.any()
    assert nan.tolist() == [0] * shape[0]
    assert count_digits(np.zeros((2, 3)), np.zeros((2, 0), np.uint64), 48).counts.shape == (2, 0, 65536)


@pytest.mark.parametrize(
    ("values", "prefixes", "shift", "message"),
    [
        (np.zeros(3), np.zeros((1, 1), np.uint64), 48, "expected values"),
        (np.zeros((2, 3)), np.zeros((1, 1), np.uint64), 48, "expected values"),
        (np.zeros((1, 3)), np.zeros((1, 1), np.uint64), 64, "multiple of 16"),
        (np.zeros((1, 3)), np.zeros((1, 1), np.uint64), 8, "multiple of 16"),
        (np.zeros((1, 3), np.uint8), np.zeros((1, 1), np.uint64), -8, "multiple of 16"),
        (np.zeros((1, 3)), np.ones((1, 1), np.uint64), 48, "must be 0"),
        (np.zeros((1, 3)), np.full((1, 1), 2**16, np.uint64), 32, "have 16 bits"),
        (np.zeros((1, 3)), np.array([[2, 1]], np.uint64), 32, "sorted"),
    ],
)
def test_arguments_are_checked_before_compiled_code(values, prefixes, shift, message):
    with pytest.raises(ValueError, match=message):
        count_digits(values, prefixes, shift)


@pytest.mark.parametrize("skip_zeros", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_collect_equals_sorting(dtype, skip_zeros, data):
    values = data.draw(values_of(dtype, st.integers(0, 40)))
    top = 2 ** key_width(dtype) - 1
    edges = [int(key) for key in to_keys(np.array(special(dtype), dtype))] + [0, top]
    low, high = sorted(data.draw(st.lists(st.one_of(st.sampled_from(edges), st.integers(0, top)), min_size=2, max_size=2)))
    capacity = data.draw(st.integers(0, 40))
    result = collect_keys(values, low, high, capacity, skip_zeros=skip_zeros)
    keys = to_keys(counted(values, skip_zeros)).astype(object)
    inside = keys[(keys >= low) & (keys <= high)]
    assert (result.below, result.inside, result.above) == ((keys < low).sum(), inside.size, (keys > high).sum())
    assert result.nan == np.isnan(values).sum()
    assert_array_equal(result.keys, inside if inside.size <= capacity else [])


@pytest.mark.parametrize("skip_zeros", [False, True])
def test_collect_crosses_pieces(skip_zeros):
    values = np.random.default_rng(1).integers(-9, 10, 3 * counting.PIECE + 7).astype(np.float32)
    values[::13] = np.nan
    low, high = (int(key) for key in to_keys(np.array([-3, 2], np.float32)))
    result = collect_keys(values, low, high, values.size, skip_zeros=skip_zeros)
    keys = counted(values, skip_zeros)
    assert_array_equal(from_keys(result.keys, "float32"), keys[(keys >= -3) & (keys <= 2)])
    assert (result.below, result.above) == ((keys < -3).sum(), (keys > 2).sum())


@pytest.mark.parametrize(("low", "high", "capacity"), [(5, 4, 1), (-1, 4, 1), (0, 256, 1), (0, 1, -1)])
def test_collect_checks_its_arguments(low, high, capacity):
    with pytest.raises(ValueError, match="got"):
        collect_keys(np.zeros(3, np.uint8), low, high, capacity)
    with pytest.raises(ValueError, match="one row"):
        collect_keys(np.zeros((1, 3), np.uint8), 0, 1, 1)
