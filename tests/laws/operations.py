"""The table of operations. Every law (docs/design.md) is tested over every row: a new operation joins by adding one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import strategies as st

import xprep
from tests.laws import dense, dense_rois
from tests.laws import operations_of_rois as rois

Result = xr.DataArray | xr.Dataset


@dataclass(frozen=True)
class Operation:
    """One row.

    Attributes
    ----------
    name
        Of the operation; that of its line in ``history``.
    call
        ``call(image, **parameters)``: the operation.
    parameters
        ``parameters(image)``: a strategy for its keyword arguments.
    oracle
        ``oracle(image, **parameters)`` of an image in memory: plain numpy or scipy, in `tests.laws.dense`.
    example
        Keyword arguments for tests of one case, of any image with c, y and x.
    rtol
        Tolerance relative to the largest value of the result's channel: what the roundings of a window's sum may do.
    scale
        ``"result"``, or ``"input"`` where values cancel: then `rtol` is also relative to the input's largest value;
        ``"unit"`` where results are numbers up to 1: then it is relative to 0.1 at least.
    exact
        Whether the result is the same to the bit however the input is cut; otherwise to ``rtol``.
    images
        Arguments of `tests.laws.strategies.images`: what it is tried on.
    image_out
        Whether the result has the dims, shape and coordinates of the input.
    """

    name: str
    call: Callable[..., Any]
    parameters: Callable[[xr.DataArray], st.SearchStrategy[dict[str, Any]]]
    oracle: Callable[..., Any]
    example: Mapping[str, Any] = field(default_factory=dict)
    rtol: float = 0.0
    scale: str = "result"
    exact: bool = True
    images: Mapping[str, Any] = field(default_factory=dict)
    image_out: bool = True

    def __str__(self) -> str:
        return self.name


def _gaussian_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    sigma = st.sampled_from((0, 0.3, 1, 2, 3.5))
    space = [dim for dim in image.dims if dim != "c"]
    each = st.lists(sigma, min_size=image.sizes.get("c", 1), max_size=image.sizes.get("c", 1))
    by_dim = st.dictionaries(st.sampled_from(space), sigma, min_size=1)
    return st.fixed_dictionaries(
        {"sigma": st.one_of(sigma, each, by_dim)},
        optional={
            "truncate": st.sampled_from((1.0, 3.0)),
            "mode": st.sampled_from(("reflect", "nearest", "mirror", "wrap", "constant")),
            "nan": st.sampled_from(("propagate", "normalize")),
        },
    )


def _quantile_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    one = st.floats(0, 1, allow_subnormal=False)
    dims = st.lists(st.sampled_from(image.dims), min_size=1, unique=True)
    return st.fixed_dictionaries(
        {"q": st.one_of(one, st.lists(one, min_size=1, max_size=3))},
        optional={"dim": dims, "skip_zeros": st.booleans(), "skipna": st.booleans()},
    )


def _normalize_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    channels = image.sizes.get("c", 1)
    # Between 0 and 1, p and p_post are refused.
    percentile = st.one_of(st.none(), st.sampled_from((0, 5, 50, 99, 99.9, 100)), st.floats(1, 100))
    one = st.sampled_from((0, 0.5, 1, 2))
    return st.fixed_dictionaries(
        {},
        optional={
            "p": percentile,
            "p_sum": percentile,
            "p_post": percentile,
            "sigma": st.one_of(st.none(), one, st.lists(one, min_size=channels, max_size=channels)),
            "norm_sum": st.booleans(),
            "cap_max": st.one_of(st.none(), st.floats(0.1, 3)),
            "dtype": st.sampled_from(("float32", "float64", None)),
            "pool": st.sampled_from(("mean", "exact")),
            "empty": st.sampled_from(("skip", "nan")),
        },
    )


def _fitted_and_applied(image: Any, **parameters: Any) -> Any:
    """Return what `normalize` gives, with statistics that were fitted before."""
    return xprep.normalize(image, statistics=xprep.fit_normalize(image, **parameters))


def _pyramid_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    factor = st.integers(1, 4)
    step = st.one_of(factor, st.dictionaries(st.sampled_from(image.dims), factor, min_size=1))
    whole = ("mode",) if image.dtype.kind != "f" else ()
    methods = st.sampled_from(("mean", "max", "nearest", "gaussian", *whole))
    return st.fixed_dictionaries({"scale_factors": st.lists(step, max_size=3)}, optional={"method": methods})


def _coarsest(image: Any, **parameters: Any) -> Any:
    """Return the last level of a pyramid, in the container of the image; of a DataTree the pyramids."""
    levels = xprep.pyramid(image, **parameters)
    if isinstance(image, xr.DataTree):
        return levels
    last = list(levels.children.values())[-1].to_dataset()
    return last if isinstance(image, xr.Dataset) else last["image"].rename(image.name)


def _background_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    one = st.one_of(st.sampled_from((0.3, 0.6, 7.0)), st.floats(0.4, 12).map(lambda radius: round(radius, 2)))
    pair = st.tuples(one, one)
    channels = image.sizes.get("c", 1)
    each = st.lists(pair, min_size=channels, max_size=channels)
    return st.fixed_dictionaries(
        {"radius": st.one_of(one, pair, each)},
        optional={"dtype": st.sampled_from(("float32", "float64")), "nan": st.sampled_from(("propagate", "normalize"))},
    )


def _subtract_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(_background_parameters(image), st.booleans()).map(lambda drawn: drawn[0] | {"clip": drawn[1]})


def _local_mean(image: Any, **parameters: Any) -> Any:
    """Return the background itself, without the numbers about noise, which are known before anything is computed."""
    found = xprep.background(image, **parameters)
    if isinstance(image, xr.Dataset):
        return xr.Dataset({name: node["background"] for name, node in found.children.items()})
    return found if isinstance(image, xr.DataTree) else found["background"].rename(image.name)


_FACTOR = st.one_of(st.sampled_from((0.01, 1 / 3, 0.5, 1.0, 1.5, 2.0, 7.0)), st.floats(0.05, 4))
_RESCALING = {
    "order": st.sampled_from((0, 1)),
    "boundary": st.sampled_from(("nearest", "constant")),
    "cval": st.sampled_from((0, 1)),
    "size": st.sampled_from(("round", "ceil", "same")),
    "origin": st.sampled_from(("corner", "center")),
}


def _rescale_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    space = [dim for dim in image.dims if dim in ("z", "y", "x")]
    factors = st.dictionaries(st.sampled_from(space), _FACTOR, min_size=1)
    smooth = st.fixed_dictionaries({"factors": factors, "anti_alias": st.just(True)})
    return st.one_of(st.fixed_dictionaries({"factors": factors}, optional=_RESCALING), smooth)


def _isotropic_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    sizes = {dim: st.sampled_from((0.2, 0.5, 1.0)) for dim in image.dims if dim in ("z", "y", "x")}
    options = {name: one for name, one in _RESCALING.items() if name != "size"}
    if image.dtype.kind != "f":
        options["dtype"] = st.sampled_from(("uint16", "int8"))
    common = {"voxel_size": st.fixed_dictionaries(sizes)}
    by_zoom = st.fixed_dictionaries({**common, "zoom": st.sampled_from((1.0, 2.0, 4.5))}, optional=options)
    by_size = st.fixed_dictionaries(common, optional={"size": st.sampled_from((0.3, 1.0)), **options})
    return st.one_of(by_zoom, by_size)


def _project_parameters(image: xr.DataArray) -> st.SearchStrategy[dict[str, Any]]:
    dims = st.one_of(st.sampled_from(image.dims), st.lists(st.sampled_from(image.dims), min_size=1, unique=True))
    return st.fixed_dictionaries(
        {"dim": dims, "how": st.sampled_from(("max", "mean", "sum", "min", "std"))},
        optional={"skipna": st.sampled_from((None, True, False))},
    )


# 64-bit integers lose their last digits in float32 as they should, and float16 holds 65504 at most.
ORDINARY = ("bool", "uint8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64")

OPERATIONS: Sequence[Operation] = (
    Operation(
        "normalize",
        xprep.normalize,
        _normalize_parameters,
        dense.normalize_image,
        example={"p": 95, "p_sum": 10, "sigma": 1.5},
        rtol=2e-5,
        images={"dtypes": ("bool", "uint8", "uint16", "int16", "int32", "float16", "float32", "float64")},
    ),
    Operation(
        "normalize(statistics",
        _fitted_and_applied,
        _normalize_parameters,
        dense.normalize_image,
        example={"p": 95, "p_sum": 10, "sigma": 1.5},
        rtol=2e-5,
        images={"dtypes": ("bool", "uint8", "uint16", "int16", "int32", "float16", "float32", "float64")},
    ),
    Operation(
        "quantile",
        xprep.quantile,
        _quantile_parameters,
        dense.quantile,
        example={"q": [0.1, 0.99]},
        image_out=False,
    ),
    Operation(
        "gaussian_filter",
        xprep.gaussian_filter,
        _gaussian_parameters,
        dense.gaussian_filter,
        example={"sigma": 1.5},
        rtol=2e-6,
        scale="input",
        # float16 holds 65504 at most, and 64-bit integers lose their last digits in float32 as they should.
        images={"dtypes": ("bool", "uint8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64")},
    ),
    Operation(
        "pyramid",
        _coarsest,
        _pyramid_parameters,
        dense.pyramid,
        example={"scale_factors": (2, 3), "method": "gaussian"},
        rtol=1e-6,
        # Exactness of wide integers is `test_kernels_downsample`'s; here they would outgrow the oracle.
        images={"dtypes": ("bool", "uint8", "uint16", "int16", "int32", "float16", "float32", "float64")},
        image_out=False,
    ),
    Operation(
        "background",
        _local_mean,
        _background_parameters,
        dense.background,
        example={"radius": [(3, 5), (7, 7), (2, 2)]},
        rtol=2e-6,
        scale="input",
        images={"dtypes": ORDINARY},
        image_out=False,
    ),
    Operation(
        "subtract_background",
        xprep.subtract_background,
        _subtract_parameters,
        dense.subtract_background,
        example={"radius": 5},
        rtol=2e-6,
        scale="input",
        images={"dtypes": ORDINARY},
    ),
    Operation(
        "rescale",
        xprep.rescale,
        _rescale_parameters,
        dense.rescale,
        example={"factors": {"y": 1.7, "x": 0.4}, "anti_alias": True},
        rtol=1e-6,
        scale="input",
        images={"dtypes": ORDINARY},
        image_out=False,
    ),
    Operation(
        "to_isotropic",
        xprep.to_isotropic,
        _isotropic_parameters,
        dense.to_isotropic,
        example={"zoom": 8},
        rtol=1e-6,
        scale="input",
        images={"dtypes": ("uint16", "float32"), "coords": False},
        image_out=False,
    ),
    Operation(
        "project",
        xprep.project,
        _project_parameters,
        dense.project,
        example={"dim": "y", "how": "std"},
        rtol=2e-6,
        scale="input",
        exact=False,  # sums of blocks
        images={"dtypes": ("bool", "uint8", "uint16", "int32", "uint64", "float32", "float64")},
        image_out=False,
    ),
    Operation("mask", rois.mask_by, rois.MASK, rois.mask_oracle, example={"seed": 1, "outside": 0}),
    Operation(
        "traces",
        rois.with_table(xprep.traces),
        rois.TRACES,
        rois.with_lists(dense_rois.traces),
        example={"seed": 1},
        rtol=1e-12,
        scale="input",
        exact=False,  # sums of blocks
        images={"dtypes": ("bool", "uint8", "int16", "float16", "float32", "float64")},
        image_out=False,
    ),
    Operation(
        "centered",
        rois.with_table(xprep.centered),
        rois.CENTERED,
        rois.with_lists(dense_rois.centered),
        example={"seed": 1, "width": 4},
        images={"dtypes": ("bool", "uint16", "int16", "float32", "float64")},
        image_out=False,
    ),
    Operation(
        "roi_features",
        rois.with_table(xprep.roi_features),
        rois.FEATURES,
        rois.with_lists(dense_rois.roi_features),
        example={"seed": 1, "width": 4, "iterations": 2},
        rtol=2e-4,
        scale="unit",
        exact=False,  # sums of blocks
        images={"dtypes": ("uint8", "float32"), "nan": False},
        image_out=False,
    ),
)


def input_scale(operation: Operation, image: xr.DataArray) -> float:
    """Return what tolerances are relative to at least: the input's largest value, 0.1, or nothing."""
    if operation.scale != "input" or not image.size:
        return 0.1 if operation.scale == "unit" else 0.0
    values = np.abs(image.values.astype(np.float64))
    return float(np.nanmax(values, initial=0.0, where=np.isfinite(values)))


def variables(result: Any) -> dict[Any, xr.DataArray]:
    """Return the arrays of a DataArray or a Dataset by name."""
    return dict(result.data_vars) if isinstance(result, xr.Dataset) else {None: result}


def assert_matches(actual: Any, desired: Any, rtol: float, scale: float = 0.0) -> None:
    """Compare dims, shapes, dtypes and values; NaN and infinities must be the same. `scale` is a largest value."""
    found, wanted = variables(actual), variables(desired)
    assert set(found) >= set(wanted), f"{sorted(map(str, wanted))} expected, {sorted(map(str, found))} found"
    for name, want in wanted.items():
        have = found[name]
        assert have.dims == want.dims
        assert have.shape == want.shape
        assert have.dtype == want.dtype
        assert_close(have.values, want.values, rtol, have.dims.index("c") if "c" in have.dims else None, scale)


def assert_close(actual: np.ndarray, desired: np.ndarray, rtol: float, channel: int | None = None, scale: float = 0.0) -> None:
    """Compare within ``rtol`` of each channel's largest finite value; where it is 0, to the bit (signs of 0 aside)."""
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(desired), err_msg="NaN elsewhere")
    if rtol == 0:
        np.testing.assert_array_equal(actual, desired)
        return
    finite = np.isfinite(desired)
    np.testing.assert_array_equal(actual[~finite], desired[~finite])
    size = np.where(finite, np.abs(desired.astype(np.float64)), 0)
    axes = tuple(axis for axis in range(desired.ndim) if axis != channel)
    largest = np.broadcast_to(size.max(axis=axes, keepdims=True, initial=scale), desired.shape)
    wrong = np.abs(actual[finite].astype(np.float64) - desired[finite]) > rtol * largest[finite] + np.finfo(np.float32).tiny
    assert not wrong.any(), (
        f"{wrong.sum()} of {wrong.size} values differ; {actual[finite][wrong][:5]} for {desired[finite][wrong][:5]}"
    )


def assert_blind(operation: Operation, actual: Any, desired: Any, image: xr.DataArray) -> None:
    """Compare two results of one image that was cut otherwise."""
    if operation.exact:
        assert_same_bits(actual, desired)
    else:
        assert_matches(actual, desired, operation.rtol, input_scale(operation, image))


def assert_same_bits(actual: Any, desired: Any) -> None:
    """Compare to the bit; signs of zero and of NaN aside."""
    found, wanted = variables(actual), variables(desired)
    assert list(found) == list(wanted)
    for name, want in wanted.items():
        have, want = np.ascontiguousarray(found[name].values), np.ascontiguousarray(want.values)
        assert have.dtype == want.dtype
        assert have.shape == want.shape
        assert have.tobytes() == want.tobytes() or np.array_equal(have, want, equal_nan=True)
