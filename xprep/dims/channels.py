"""Which channel is meant: by its name, which another may have too, or by its position.

Names are those of the coordinate ``c``. Two channels may have one name (a nuclear stain in every cycle of staining): inside,
channels are positions, and a name means all that have it, in order. Between two images, the k-th channel of a name in one is the
k-th of that name in the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xprep.dims.channel_titles import spell_channel
from xprep.dims.labelled import ByLabel
from xprep.dims.names import CHANNEL
from xprep.engine.sources.lazy import as_lazy, is_lazy
from xprep.engine.sources.readable import pick
from xprep.types import WrittenName

SHOWN = 12  # names that an error lists


def channel_names(image: xr.DataArray | xr.Dataset) -> tuple[Any, ...]:
    """Return the names of the channels: the coordinate's, and positions where there is none.

    An image without the dim has one channel: the one that was selected, or 0. Of several levels of names (a MultiIndex), each
    name is a tuple.
    """
    if CHANNEL in image.coords and set(image.coords[CHANNEL].dims) <= {CHANNEL}:
        return tuple(np.atleast_1d(image.coords[CHANNEL].values).tolist())
    return tuple(range(image.sizes.get(CHANNEL, 1)))


def channel_positions(image: xr.DataArray, channels: Any, argument: str = "channels") -> tuple[int, ...]:
    """Return the positions of ``channels``, one or several: of a name, of all that have it, in order.

    Raises
    ------
    ValueError
        The image has no channel dim.
    KeyError
        There is no such channel.
    """
    names = channel_names(image)
    if channels is None:
        return tuple(range(len(names)))
    if CHANNEL not in image.dims:
        raise ValueError(f"{argument}={channels!r} was given, but the image has no dim 'c': {tuple(image.dims)}.")
    wanted = _listed(channels, names, argument)
    if not wanted:
        raise KeyError(f"{argument} names no channel; the image has {_listing(names)}.")
    return tuple(position for one in wanted for position in positions_of(one, names, argument))


def _listed(channels: Any, names: Sequence[Any], argument: str) -> list[Any]:
    """Return one or several names as a list; a tuple that is a name is one."""
    if isinstance(channels, str) or not np.iterable(channels) or (isinstance(channels, tuple) and channels in names):
        return [channels.item() if isinstance(channels, np.ndarray) else channels]
    if isinstance(channels, set | frozenset):
        raise ValueError(f"{argument} is a set, which has no order: {channels!r}. Give a list.")
    arrays = (np.ndarray, pd.Series, pd.Index, xr.DataArray)
    return np.asarray(channels).tolist() if isinstance(channels, arrays) else list(channels)


def positions_of(one: Any, names: Sequence[Any], argument: str) -> list[int]:
    """Return the positions of the channels called ``one``; a whole number is a position where the names are texts.

    Raises
    ------
    KeyError
        There is none.
    """
    found = _called(one, names)
    if not found and isinstance(one, WrittenName):
        found = [i for i, name in enumerate(names) if spell_channel(name) == one]
        one = int(one) if one.isdecimal() else one
    if not found and _is_whole(one) and all(isinstance(name, str) for name in names):
        found = [int(one)] if 0 <= one < len(names) else []
    if not found:
        hint = " Positions of a mask are numpy.flatnonzero(mask)." if isinstance(one, bool | np.bool_) else ""
        raise KeyError(f"{argument} names {_spelled(one)}; the image has {_listing(names)}.{hint}")
    return found


def is_channel(label: Any, names: Sequence[Any]) -> bool:
    """Whether a channel is called so, or is at that position."""
    try:
        return bool(positions_of(label, names, ""))
    except KeyError:
        return False


def _called(one: Any, names: Sequence[Any]) -> list[int]:
    if isinstance(one, list | dict | np.ndarray):
        return []
    truth = isinstance(one, bool | np.bool_)  # which Python takes for 0 and 1
    return [i for i, name in enumerate(names) if isinstance(name, bool) == truth and bool(name == one)]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _spelled(name: Any) -> str:
    return repr(name.item() if isinstance(name, np.generic) else name)


def _listing(names: Sequence[Any]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{list(names[:SHOWN])}{more}"


def matching_positions(names: Sequence[Any], own: Sequence[Any], positions: Sequence[int], *, whole: bool) -> list[int]:
    """Return where the channels at ``positions`` of ``own`` are among the ``names`` of another image.

    Raises
    ------
    KeyError
        A channel is not there, or there are other numbers of one name, or (``whole``: all are wanted) there are others
        besides; the text says what the other image has.
    """
    if tuple(names) == tuple(own):
        return list(positions)
    found = []
    for position in positions:
        name = own[position]
        mine, there = _called(name, own), _called(name, names)
        if not there:
            raise KeyError(f"has no channel {_spelled(name)}; it has {_listing(names)}.")
        if len(there) != len(mine):
            raise KeyError(f"has {len(there)} channels {_spelled(name)} and not {len(mine)}; it has {_listing(names)}.")
        found.append(there[mine.index(position)])
    if whole and (more := [name for name in names if not _called(name, own)]):
        raise KeyError(f"has the channel {_spelled(more[0])}, which the first has not; it has {_listing(names)}.")
    return found


def selected_positions(before: Sequence[Any], after: Sequence[Any]) -> list[int] | None:
    """Return positions by which names ``before`` a selection became those ``after`` it; None where that cannot be known.

    >>> selected_positions(["DAPI", "CD3", "DAPI"], ["CD3", "DAPI", "DAPI"]), selected_positions(["DAPI", "DAPI"], ["DAPI"])
    ([1, 0, 2], None)
    """
    seen, found = Counter[Any](), []
    for name in after:
        there = _called(name, before)
        if not there or after.count(name) % len(there):
            return None
        found.append(there[seen[name] % len(there)])
        seen[name] += 1
    return found


def values_by_position(given: ByLabel, names: Sequence[Any], argument: str) -> dict[int, Any]:
    """Return which value belongs to which position: that of a name to all that have it, several of a name to one each.

    Raises
    ------
    KeyError
        An unknown channel.
    ValueError
        A channel that has two values, or other numbers of values than channels of a name.
    """
    found: dict[int, Any] = {}
    for label, values in given.groups():
        positions = positions_of(label, names, argument)
        if len(values) not in (1, len(positions)):
            raise ValueError(
                f"{argument} has {len(values)} values for {_spelled(label)}, and the image {len(positions)} such channels; "
                f"give one value for all of them, or one each."
            )
        for i, position in enumerate(positions):
            if position in found:
                raise ValueError(f"{argument} has two values for the channel at position {position}, {names[position]!r}.")
            found[position] = values[i % len(values)]
    return found


def one_level_of_names(image: xr.DataArray) -> xr.DataArray:
    """Return ``image`` with plain names for channels that have several (a MultiIndex): these stay as coordinates beside.

    ``image.drop_vars("c").set_index(c=["cycle", "marker"])`` makes them levels again.

    Raises
    ------
    ValueError
        Another dim has several levels, of which a store knows nothing.
    """
    for dim in image.dims:
        if dim != CHANNEL and isinstance(image.indexes.get(dim), pd.MultiIndex):
            raise ValueError(f"the coordinate {dim!r} has several levels; keep them beside the dim: image.reset_index({dim!r}).")
    if not isinstance(image.indexes.get(CHANNEL), pd.MultiIndex):
        return image
    return image.reset_index(CHANNEL).assign_coords({CHANNEL: list(map(spell_channel, channel_names(image)))})


def pick_channels(image: xr.DataArray, positions: Sequence[int]) -> xr.DataArray:
    """Return some channels of ``image``, in this order; an image that can be read again still can."""
    axis = int(image.get_axis_num(CHANNEL))
    coords = image.coords.to_dataset().isel({CHANNEL: list(positions)}, missing_dims="ignore").coords
    data = pick(as_lazy(image.data), axis, positions) if is_lazy(image.data) else np.take(image.data, list(positions), axis=axis)
    attrs = {**image.attrs, **_picked_appearance(image, positions)}
    return xr.DataArray(data, coords=coords, dims=image.dims, attrs=attrs).rename(image.name)


def _picked_appearance(image: xr.DataArray, positions: Sequence[int]) -> dict[str, Any]:
    """Return how the channels at ``positions`` are shown, if its attributes say it of all, in order."""
    omero = image.attrs.get("omero")
    shown = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(omero, Mapping) or not isinstance(shown, list) or not all(isinstance(one, Mapping) for one in shown):
        return {}
    if [str(one.get("label")) for one in shown] != list(map(spell_channel, channel_names(image))):
        return {}
    return {"omero": {**omero, "channels": [shown[position] for position in positions]}}
