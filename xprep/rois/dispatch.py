"""One function of numpy windows, for windows as numpy, dask or xarray."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.dims.alignment import aligned, bare
from xprep.dims.values import check_real
from xprep.engine.lazy import check_known, is_lazy
from xprep.engine.roi_blocks import map_windows
from xprep.types import Array

WINDOW_DIMS = ("z", "dy", "dx")


def over_windows(
    function: Callable[..., Any],
    windows: Sequence[Any],
    volumetric: bool,
    dtypes: Callable[..., Sequence[Any]],
    *,
    keeps: bool,
) -> tuple[Any, ...]:
    """Apply ``function`` to stacks of windows; the last two axes are the window (three where ``volumetric``).

    Parameters
    ----------
    function
        ``function(*arrays)`` with numpy arrays whose last axes are the window; gives one array, or a tuple.
    windows
        numpy, dask, or xarray: of a DataArray, the window is ``dy, dx`` (and ``z``), or else its last dims.
    volumetric
        Whether windows hold planes.
    dtypes
        ``dtypes(*input dtypes)`` gives the results' dtypes.
    keeps
        Whether results keep the axes of the window.

    Raises
    ------
    ValueError
        Windows of different sizes, or too few axes.
    TypeError
        Values that are not real numbers of at most 64 bits.
    """
    core = 3 if volumetric else 2
    for window in windows:
        check_known(window, "xprep.rois", "windows")
    windows = [window if is_lazy(window) or isinstance(window, xr.DataArray) else np.asarray(window) for window in windows]
    for window in windows:
        check_real(window.dtype, "xprep.rois", "a window")
    if any(isinstance(window, xr.DataArray) for window in windows):
        return _over_labelled(function, windows, core, dtypes, keeps)
    _check_windows([window.shape for window in windows], core)
    made = dtypes(*(window.dtype for window in windows))
    if any(map(is_lazy, windows)):
        return map_windows(function, windows, core, keeps, made)
    return _tuple(function(*windows))


def _over_labelled(
    function: Callable[..., Any], windows: Sequence[Any], core: int, dtypes: Callable[..., Sequence[Any]], keeps: bool
) -> tuple[Any, ...]:
    lead = next(window for window in windows if isinstance(window, xr.DataArray))
    labelled = [w if isinstance(w, xr.DataArray) else xr.DataArray(w, dims=lead.dims[-np.ndim(w) :]) for w in windows]
    dims = [_window_dims(window, core) for window in labelled]
    first = labelled[0]
    for n, other in enumerate(labelled[1:], 1):
        labelled[n] = bare(aligned(other, first, "the second stack of windows", dims[n]), first.dims)
    count = len(dtypes(*(window.dtype for window in labelled)))

    def run(*arrays: Any) -> Any:
        results = over_windows(function, arrays, core == 3, dtypes, keeps=keeps)
        return results if count > 1 else results[0]

    return _tuple(
        xr.apply_ufunc(
            run,
            *labelled,
            input_core_dims=dims,
            output_core_dims=[dims[0] if keeps else []] * count,
            dask="allowed",
            keep_attrs=True,
            join="exact",
        )
    )


def _window_dims(window: xr.DataArray, core: int) -> list[Any]:
    named = [dim for dim in WINDOW_DIMS[3 - core :] if dim in window.dims]
    if len(named) == core:
        return named
    if window.ndim < core:
        raise ValueError(f"windows need {core} axes or more, got the dims {window.dims}.")
    return list(window.dims[-core:])


def _check_windows(shapes: Sequence[tuple[int, ...]], core: int) -> None:
    if any(len(shape) < core for shape in shapes):
        raise ValueError(
            f"windows need {core} axes or more, the last ones {'z, y, x' if core == 3 else 'y, x'}; got {list(shapes)}."
        )
    if len({shape[-core:] for shape in shapes}) > 1:
        raise ValueError(f"windows must be of one size; got {[shape[-core:] for shape in shapes]}.")
    np.broadcast_shapes(*(shape[:-core] for shape in shapes))


def _tuple(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


class Pairs:
    """Masks and references, (window, z, y, x), and for every pair which of them it takes: nothing is copied."""

    def __init__(self, masks: Array, references: Array, core: int) -> None:
        leading = [windows.shape[: windows.ndim - core] for windows in (masks, references)]
        self.shape = np.broadcast_shapes(*leading)
        self.masks, self.references = cubes(masks, core), cubes(references, core)
        self.mask_of, self.reference_of = (_picks(shape, self.shape) for shape in leading)

    def result(self, values: Array) -> Any:
        """Return one value a pair in the shape that the windows' other axes have together."""
        return values.reshape(self.shape)[()]


def cubes(windows: Array, core: int) -> Array:
    """Return windows as (window, z, y, x), contiguous."""
    leading = windows.shape[: windows.ndim - core]
    shape = (*(1,) * (3 - core), *windows.shape[windows.ndim - core :])
    return np.ascontiguousarray(windows).reshape(int(np.prod(leading)), *shape)


def _picks(shape: tuple[int, ...], together: tuple[int, ...]) -> NDArray[np.int64]:
    numbers = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    return np.ascontiguousarray(np.broadcast_to(numbers, together)).reshape(-1)


def as_floats(array: Array) -> Array:
    """Return floats that loops are compiled for: float32 stays, anything else is float64."""
    return array if array.dtype == np.float32 else array.astype(np.float64, copy=False)


def float_type(*dtypes: Any) -> type[np.floating[Any]]:
    """Return float32 if all ``dtypes`` are, else float64."""
    return np.float32 if all(dtype == np.float32 for dtype in dtypes) else np.float64
