"""Parameters that say what each of their values is for: mappings, pandas Series and DataFrames, DataArrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xprep.engine.sources.lazy import is_lazy


@dataclass(frozen=True)
class ByLabel:
    """Values and the labels that they belong to; a label may stand there more than once."""

    labels: tuple[Any, ...]
    values: tuple[Any, ...]

    def groups(self) -> Iterator[tuple[Any, list[Any]]]:
        """Give every label once, with its values in their order."""
        found: dict[Any, list[Any]] = {}
        for label, value in zip(self.labels, self.values, strict=True):
            found.setdefault(label, []).append(value)
        yield from found.items()

    def mapping(self, argument: str) -> dict[Any, Any]:
        """Return one value a label.

        Raises
        ------
        ValueError
            A label has two.
        """
        if len(set(self.labels)) < len(self.labels):
            twice = next(label for label, values in self.groups() if len(values) > 1)
            raise ValueError(f"{argument} has two values for {twice!r}.")
        return dict(zip(self.labels, self.values, strict=True))


def labelled(value: Any, argument: str, dim: str) -> Any:
    """Return what has labels as `ByLabel`; an array of one number as that number; a list without labels as it is.

    Parameters
    ----------
    value
        A mapping, a Series (labels: its index), a DataFrame (a row a label, by column), a DataArray (labels: the coordinate
        along ``dim``, or along its only dim).
    argument
        Name of the argument, for errors.
    dim
        What values are given over. A DataArray over ``dim`` without a coordinate is a list.

    Raises
    ------
    ValueError
        A DataArray over other dims, or lazy; a set, which has no order.
    """
    if isinstance(value, Mapping):
        return ByLabel(tuple(value.keys()), tuple(value.values()))
    if isinstance(value, pd.Series):
        return ByLabel(tuple(value.index.tolist()), tuple(value.tolist()))
    if isinstance(value, pd.DataFrame):
        return ByLabel(tuple(value.index.tolist()), tuple(value.to_dict("records")))
    if isinstance(value, xr.DataArray | xr.Variable):
        return _labelled_array(value if isinstance(value, xr.DataArray) else xr.DataArray(value), argument, dim)
    if isinstance(value, set | frozenset):
        raise ValueError(f"{argument} is a set, which has no order: {value!r}. Give a list, or a mapping by name.")
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.ndim == 0 else value


def _labelled_array(array: xr.DataArray, argument: str, dim: str) -> Any:
    if is_lazy(array.data):
        raise ValueError(f"{argument} is lazy; its values are needed now: {argument}.compute().")
    if array.ndim == 0:
        return array.item()
    along = dim if dim in array.dims else (array.dims[0] if array.ndim == 1 and array.dims[0] in array.indexes else None)
    if along is None:
        raise ValueError(
            f"{argument} is a DataArray over {tuple(array.dims)}, whose values have no labels; give it over {dim!r}, with the "
            f"names in its coordinate, or give a mapping."
        )
    rows = tuple(array.isel({along: i}, drop=True) for i in range(array.sizes[along]))
    values = tuple(row.item() for row in rows) if array.ndim == 1 else rows
    return ByLabel(tuple(array.indexes[along].tolist()), values) if along in array.indexes else list(values)
