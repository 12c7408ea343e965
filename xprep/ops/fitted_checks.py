"""A fitted Dataset that comes from somewhere, checked: its attributes, its variables, its numbers."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL
from xprep.ops.fitted import FORMAT, STATISTICS
from xprep.types import Array

PARAMETERS: Final = ("p", "p_sum", "p_post", "sigma", "norm_sum", "cap_max", "channels", "dtype", "pool", "empty")


def check_fitted(fitted: Any, where: str = "statistics") -> dict[str, Any]:
    """Return the parameters of a fitted Dataset that is whole; ``where`` is what errors call it.

    Raises
    ------
    ValueError
        It is not the Dataset of `fit_normalize`, has another format, or lacks an attribute or a variable, which the error names.
    TypeError
        It is no Dataset, or a variable holds no numbers.
    """
    if not isinstance(fitted, xr.Dataset):
        raise TypeError(f"{where} must be the Dataset of fit_normalize, or its file (.zarr, .nc, .json); got {fitted!r}.")
    found = fitted.attrs.get("xprep_statistics")
    if found is None:
        raise ValueError(
            f"{where} is no fitted Dataset: it has no attribute 'xprep_statistics'. Make one with fit_normalize, or take that of "
            "a finished store: xprep.statistics_of(url)."
        )
    if str(found) != FORMAT:
        raise ValueError(f"{where} is of the format {str(found)!r}; this version of xprep reads {FORMAT!r}. Fit again.")
    parameters = _parameters(fitted, where)
    _check_variables(fitted, parameters, where)
    return parameters


def _parameters(fitted: xr.Dataset, where: str) -> dict[str, Any]:
    texts = {name: fitted.attrs.get(name) for name in ("version", "parameters", "sources", "voxel_size")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{where} lacks the attribute {name!r}, a text that fit_normalize writes; got {text!r}. Fit again.")
    try:
        parameters, size = json.loads(texts["parameters"] or ""), json.loads(texts["voxel_size"] or "")
        json.loads(texts["sources"] or "")
    except ValueError as error:
        raise ValueError(f"an attribute of {where} (parameters, sources, voxel_size) is no JSON: {error}. Fit again.") from None
    if not isinstance(parameters, dict) or not isinstance(size, dict) or set(parameters) != set(PARAMETERS):
        raise ValueError(f"{where} must say its parameters {', '.join(PARAMETERS)}; got {texts['parameters']!r}.")
    return parameters


def _check_variables(fitted: xr.Dataset, parameters: dict[str, Any], where: str) -> None:
    wanted: dict[str, tuple[str, ...]] = {"pixels": ("image",), "left_out": ("image",)}
    for name in STATISTICS:
        if parameters[name] is not None:
            over = () if name == "p_sum" else (CHANNEL,)
            wanted |= {name: over, f"image_{name}": ("image", *over)}
    for name, dims in wanted.items():
        if name not in fitted.data_vars:
            raise ValueError(f"{where} lacks the variable {name!r} over {dims}, which its parameters promise. Fit again.")
        if set(fitted[name].dims) != set(dims):
            raise ValueError(f"the variable {name!r} of {where} must lie over {dims}; got {fitted[name].dims}.")
        if fitted[name].dtype.kind not in "iuf":
            raise TypeError(f"the variable {name!r} of {where} must hold numbers; got {fitted[name].dtype}.")


def check_numbers(name: str, values: Array, empty_is_nan: bool, titles: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is odd about the numbers of a statistic, in words; refuse NaN that nobody asked for.

    Raises
    ------
    ValueError
        It names the channel.
    """
    if np.isnan(values).any() and not empty_is_nan:
        raise ValueError(
            f"the statistic {name!r}{_of(name, np.isnan(values), titles)} is NaN, which makes everything NaN: correct it, or fit "
            "with channels that have signal; empty='nan' at the fit allows it."
        )
    wrong = values <= 0
    if name == "p_sum" or not wrong.any():
        return ()
    return (f"the statistic {name!r}{_of(name, wrong, titles)} is not positive: dividing by it flips signs.",)


def _of(name: str, wrong: Array, titles: tuple[str, ...]) -> str:
    return "" if name == "p_sum" else f" of channel {', '.join(titles[i] for i in np.flatnonzero(wrong))}"
