"""A Dataset whose images are replaced: what passes through, what follows them, and what does not fit any more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr

from xprep.dims.channels import channel_names, selected_positions
from xprep.dims.names import CHANNEL


def _leave_out(_array: xr.DataArray, _images: Sequence[xr.DataArray]) -> None:
    return None


@dataclass(frozen=True)
class Beside:
    """What becomes of that which is no image: what lies along no ``moved`` dim passes through.

    Of the rest ``become(array, images)`` says what becomes of it beside ``images``, or None where it is left out.
    """

    moved: Collection[Any] = ()
    become: Callable[[xr.DataArray, Sequence[xr.DataArray]], xr.DataArray | None] = _leave_out

    def touches(self, dims: Iterable[Any]) -> bool:
        """Whether something with these ``dims`` does not pass through."""
        return not set(self.moved).isdisjoint(dims)


def replace_images(
    own: xr.Dataset,
    images: Mapping[Any, xr.DataArray],
    beside: Beside,
    *,
    inherited: xr.Dataset,
    near: Sequence[xr.DataArray] = (),
    below: Sequence[xr.DataArray] = (),
) -> xr.Dataset:
    """Return a Dataset with ``images`` in place of its own, and what became of all ``beside`` them.

    ``inherited`` has the coordinates of the nodes above too; its own follow the images ``below``, which inherit them.
    ``near`` are images of another node that its variables lie on.
    """
    before = [inherited[name] for name in images] or list(near)
    moved = [name for name, variable in own.variables.items() if name not in images and beside.touches(variable.dims)]
    became = {name: beside.become(inherited[name], before or [inherited[name]]) for name in moved if name in own.data_vars}
    arrays = {**images, **{name: array for name, array in became.items() if array is not None}}
    kept = own.drop_vars([*images, *moved])
    for array in (*arrays.values(), *below):
        kept = _follow(kept, array)
    # What is there already is the same; xarray would take levels of names (a MultiIndex) apart where it replaces them.
    parts = [array.drop_vars(set(array.coords) & set(kept.coords)).to_dataset(name=name) for name, array in arrays.items()]
    merged = xr.merge([kept, *parts], join="exact", compat="override", combine_attrs="override")
    out = merged[[name for name in own.data_vars if name in merged.data_vars]]
    out.attrs = dict(own.attrs)
    return out


def _follow(dataset: xr.Dataset, image: xr.DataArray) -> xr.Dataset:
    """Return ``dataset`` without what does not fit ``image`` any more; of channels, with those that the image has.

    xarray aligns what is put together with the coordinates that are there: unless these go, it would undo a selection and fill a
    moved grid with NaN. What lies along channels goes too where names do not tell which are left (one of two of a name).
    """
    for dim in image.dims:
        if dim not in dataset.dims or _fits(dataset, image, dim):
            continue
        named = dim == CHANNEL and dim in dataset.indexes and dim in image.indexes
        chosen = selected_positions(channel_names(dataset), channel_names(image)) if named else None
        dataset = dataset.drop_dims([dim]) if chosen is None else dataset.isel({dim: chosen})
    return dataset


def _fits(dataset: xr.Dataset, image: xr.DataArray, dim: Any) -> bool:
    if dataset.sizes[dim] != image.sizes[dim]:
        return False
    return dim not in dataset.indexes or dim not in image.indexes or dataset.indexes[dim].equals(image.indexes[dim])
