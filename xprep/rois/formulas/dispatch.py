"""One function of numpy windows, for windows as numpy, dask or xarray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from xprep.dims.alignment import aligned, bare
from xprep.dims.values import check_real
from xprep.engine.running.roi_blocks import map_windows
from xprep.engine.sources.lazy import check_known, is_lazy
from xprep.types import Array

WINDOW_DIMS = ("z", "dy", "dx")


def over_windows(
    function: Callable[..., Any],
    windows: Mapping[str, Any],
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
        By the names of the arguments that they were given as; numpy, dask, or xarray: of a DataArray, the window is ``dy, dx``
        (and ``z``), or else its last dims.
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
    arrays = [_checked(window, name) for name, window in windows.items()]
    if any(isinstance(window, xr.DataArray) for window in arrays):
        return _over_labelled(function, tuple(windows), arrays, core, dtypes, keeps)
    _check_windows(dict(zip(windows, (window.shape for window in arrays), strict=True)), core)
    made = dtypes(*(window.dtype for window in arrays))
    if any(map(is_lazy, arrays)):
        return map_windows(function, arrays, core, keeps, made)
    return _tuple(function(*arrays))


def _checked(window: Any, name: str) -> Any:
    """Return windows as an array of real numbers, lazy or labelled if they are."""
    check_known(window, "xprep.rois", name)
    array = window if is_lazy(window) or isinstance(window, xr.DataArray) else np.asarray(window)
    check_real(array.dtype, "xprep.rois", name)
    return array


def _over_labelled(
    function: Callable[..., Any],
    names: Sequence[str],
    windows: Sequence[Any],
    core: int,
    dtypes: Callable[..., Sequence[Any]],
    keeps: bool,
) -> tuple[Any, ...]:
    lead = next(window for window in windows if isinstance(window, xr.DataArray))
    labelled = [w if isinstance(w, xr.DataArray) else xr.DataArray(w, dims=lead.dims[-np.ndim(w) :]) for w in windows]
    dims = [_window_dims(window, name, core) for name, window in zip(names, labelled, strict=True)]
    first = labelled[0]
    for n, other in enumerate(labelled[1:], 1):
        labelled[n] = bare(aligned(other, first, "the second stack of windows", dims[n]), first.dims)
    count = len(dtypes(*(window.dtype for window in labelled)))

    def run(*arrays: Any) -> Any:
        results = over_windows(function, dict(zip(names, arrays, strict=True)), core == 3, dtypes, keeps=keeps)
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


def _window_dims(window: xr.DataArray, name: str, core: int) -> list[Any]:
    named = [dim for dim in WINDOW_DIMS[3 - core :] if dim in window.dims]
    if len(named) == core:
        return named
    if window.ndim < core:
        raise ValueError(f"{name} needs {core} axes or more, those of windows last; got the dims {window.dims}.")
    return list(window.dims[-core:])


def _check_windows(shapes: Mapping[str, tuple[int, ...]], core: int) -> None:
    for name, shape in shapes.items():
        if len(shape) < core:
            axes = "z, y, x" if core == 3 else "y, x"
            raise ValueError(f"{name} needs {core} axes or more, the last ones {axes} of windows; got the shape {shape}.")
    told = " and ".join(f"{name} of {shape}" for name, shape in shapes.items())
    if len({shape[-core:] for shape in shapes.values()}) > 1:
        raise ValueError(f"windows must be of one size; got {told}.")
    try:
        np.broadcast_shapes(*(shape[:-core] for shape in shapes.values()))
    except ValueError:
        raise ValueError(f"the axes before those of windows cannot be broadcast by numpy's rules; got {told}.") from None


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
