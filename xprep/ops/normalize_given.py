"""`normalize` with statistics that were fitted before: one pass."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import xarray as xr

from xprep.dims.axes import CHANNEL
from xprep.dims.channel_titles import channel_titles, spell_channel
from xprep.dims.channels import channel_names, channel_positions, matching_positions
from xprep.dims.containers.apply import images_of, spell_name
from xprep.dims.containers.contents import Name
from xprep.dims.lengths import metres, parse_length, units_apart
from xprep.dims.parameters import check_choice
from xprep.dims.provenance import spell
from xprep.engine.filling.identity import identity_of
from xprep.engine.graph.tasks import Noted, call
from xprep.engine.graph.tokens import token
from xprep.engine.sources.lazy import is_lazy
from xprep.errors import PercentileWarning
from xprep.io.dataset_files import read_dataset
from xprep.naming import named
from xprep.ops.fitted import STATISTICS, About, sigma_as_given, voxel_sizes
from xprep.ops.fitted_checks import check_fitted, check_numbers
from xprep.ops.normalize_fields import check_fields, fields_of, parameters_of, picked, results_of
from xprep.ops.normalize_passes import normalized
from xprep.ops.statistics import Statistic
from xprep.redaction import redact
from xprep.types import INTERMEDIATES, Array, WrittenName

F = TypeVar("F", bound=Callable[..., Any])
FREE: Final = ("chunks", "intermediates", "statistics")  # of the arguments, what decides on no value
TOLERANCE: Final = 1e-3  # by which two voxel sizes may differ and are the same


def with_statistics(operation: F) -> F:
    """Return ``operation``, which takes what was given with ``statistics`` from these instead of its own defaults."""
    signature = inspect.signature(operation)

    @wraps(operation)
    def applied(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        if given.get("statistics") is None:
            return operation(*args, **kwargs)
        return _apply(given.pop(next(iter(signature.parameters))), given)

    return applied  # type: ignore[return-value]


def _apply(container: Any, given: Mapping[str, Any]) -> Any:
    """Return ``container`` normalised by the statistics that are ``given``, beside which equal parameters may stand."""
    fit = _Fit.of(given["statistics"])
    images = images_of(container, "normalize")
    check_fields(images, "normalize")
    chosen = {name: fit.pick(name, image, given.get("channels")) for name, image in images.items()}
    first = next(iter(chosen.values()))
    for parameter, value in given.items():
        if parameter not in (*FREE, "channels"):
            fit.check_equal(parameter, value, first)
    check_choice(given.get("intermediates"), (None, *INTERMEDIATES), "intermediates")
    for name, image in chosen.items():
        fit.check_voxels(name, image)
    parameters = parameters_of(first, {**fit.parameters, "channels": None})
    fields = fields_of(chosen, fit.parameters["sigma"])
    about = fit.about()
    arrays = normalized(fields, parameters, given.get("chunks"), given.get("intermediates"), fit.statistics(about), about)
    return results_of(container, chosen, arrays, spell("normalize", {"statistics": fit.shown, **fit.told}), parameters)


def fitted_dataset(statistics: Any) -> xr.Dataset:
    """Return the fitted Dataset that was given, or that in the file that was given, checked."""
    return _Fit.of(statistics).dataset


@dataclass(frozen=True, eq=False)
class _Fit:
    """A fitted Dataset, checked."""

    dataset: xr.Dataset
    parameters: Mapping[str, Any]
    shown: str

    @classmethod
    def of(cls, statistics: Any) -> _Fit:
        """Return a fitted Dataset, or that in a file."""
        is_file = isinstance(statistics, str | Path)
        shown = redact(statistics) if is_file else "fitted"
        dataset = read_dataset(statistics) if is_file else statistics
        parameters = check_fitted(dataset, f"{shown!r}" if is_file else "statistics")
        return cls(dataset, parameters, shown)

    @property
    def told(self) -> dict[str, Any]:
        """What the history says of the parameters."""
        return {name: value for name, value in self.parameters.items() if name != "channels"}

    @property
    def names(self) -> tuple[Any, ...] | None:
        """Names of the channels, None where they have none."""
        return channel_names(self.dataset) if CHANNEL in self.dataset.coords else None

    @property
    def count(self) -> int | None:
        """Number of the channels, None where nothing tells."""
        return self.dataset.sizes.get(CHANNEL)

    def about(self) -> About:
        """Return what a store keeps of it."""
        dataset, count = self.dataset, self.count or 1
        images = tuple(map(str, dataset["image"].values.tolist())) if "image" in dataset.coords else ()
        images = images or tuple(map(str, range(dataset.sizes["image"])))
        pixels = tuple(map(float, np.asarray(dataset["pixels"].values, np.float64)))
        attrs = {str(name): str(value) for name, value in dataset.attrs.items()}
        return About(images, self.names, count, pixels, {"approximate": "", **attrs}, self.parameters["dtype"], is_given=True)

    def pick(self, name: Name, image: xr.DataArray, channels: Any) -> xr.DataArray:
        """Return ``image`` with the channels of the fit, in its order.

        Raises
        ------
        KeyError
            A channel that either lacks: it is named.
        ValueError
            Other numbers of channels, where either has no names.
        """
        where = f" of {title}" if (title := spell_name(name)) else ""
        chosen = _as_written(self.parameters["channels"]) if channels is None else channels
        own = image if chosen is None else picked(image, channel_positions(image, chosen))
        if self.names is None or CHANNEL not in own.coords:
            return self._counted(own, where)
        mine, theirs = list(self.names), list(channel_names(own))
        if all(isinstance(one, str) for one in mine):
            theirs = list(map(spell_channel, theirs))
        try:
            positions = matching_positions(theirs, mine, range(len(mine)), whole=False)
        except KeyError as error:
            raise KeyError(f"the image{where} {error.args[0]} The statistics are of {mine}.") from None
        if more := [one for one in theirs if one not in mine]:
            raise KeyError(
                f"the image{where} has the channel {more[0]!r}, which the statistics lack: they are of {mine}. Fit with it, or "
                "leave it out: image.sel(c=[…])."
            )
        if channels is not None and positions != list(range(len(mine))):
            raise ValueError(f"channels={channels!r} is given beside statistics, whose channels are {mine}. Leave it out.")
        return picked(own, positions)

    def _counted(self, image: xr.DataArray, where: str) -> xr.DataArray:
        count = image.sizes.get(CHANNEL, 1)
        if self.count not in (None, count):
            raise ValueError(
                f"the statistics are of {self.count} channels and the image{where} has {count}: without names on both sides they "
                "go by position, and the numbers must agree."
            )
        return image

    def check_equal(self, name: str, value: Any, image: xr.DataArray) -> None:
        """Refuse a parameter beside the statistics that is not theirs."""
        fitted = self.parameters[name]
        mine, theirs = (_comparable(name, one, image) for one in (value, fitted))
        if mine != theirs:
            raise ValueError(
                f"{name}={value!r} is given beside statistics that are of {name}={fitted!r}; leave it out, or fit again."
            )

    def check_voxels(self, name: Name, image: xr.DataArray) -> None:
        """Refuse a sigma in pixels where these are of another size than those of the fit."""
        sigma = self.parameters["sigma"]
        in_pixels = [one for one in (sigma if isinstance(sigma, list) else [sigma]) if one and not isinstance(one, str)]
        fitted, own = json.loads(self.dataset.attrs["voxel_size"]), voxel_sizes(image)
        for dim in set(fitted) & set(own) if in_pixels else ():
            (size, unit), (mine, my_unit) = fitted[dim], own[dim]
            apart = units_apart(my_unit, unit)
            if apart is None or abs(mine * apart - size) > TOLERANCE * size:
                where = f" of {title}" if (title := spell_name(name)) else ""
                raise ValueError(
                    f"sigma={sigma!r} is in pixels, and those of the statistics are {size:g} {unit or ''} along {dim}, those of "
                    f"the image{where} {mine:g} {my_unit or ''}: it would be another blur. Fit with a length, e.g. sigma='1 um'."
                )

    def statistics(self, about: About) -> dict[str, Any]:
        """Return the statistics, lazily, by the name of their parameter; stores of whatever is made with them keep ``about``."""
        found = {}
        titles = channel_titles(self.names if self.names is not None else range(self.count or 1))
        for name in (name for name in STATISTICS if self.parameters[name] is not None):
            parts = [self.dataset[name], self.dataset[f"image_{name}"].transpose("image", ...), self.dataset["left_out"]]
            if f"{name}_interval" in self.dataset:
                parts.append(self.dataset[f"{name}_interval"].transpose(..., "bound"))
            made = _Given(name, np.dtype(self.parameters["dtype"]), self.parameters["empty"] == "nan", titles)
            if any(is_lazy(part.data) for part in parts):
                found[name] = _lazily(made, parts, Noted(name, about))
            else:
                found[name] = call(_GivenStatistics(made(*(part.values for part in parts))), label=name, note=Noted(name, about))
        return found


@named("normalize-known")
@dataclass(frozen=True, eq=False)
class _GivenStatistics:
    value: Any

    def __call__(self) -> Any:
        return self.value


@named("normalize-given")
@dataclass(frozen=True)
class _Given:
    """Makes a statistic of the variables of a fitted Dataset."""

    name: str
    dtype: np.dtype[Any]
    empty_is_nan: bool
    titles: tuple[str, ...]

    def __call__(self, values: Array, each: Array, left_out: Array, interval: Array | None = None) -> Statistic:
        mine = np.atleast_1d(np.asarray(values, self.dtype))
        notes = check_numbers(self.name, mine, self.empty_is_nan, self.titles)
        for note in notes:
            warnings.warn(note, PercentileWarning, stacklevel=2)
        rows = np.asarray(each, self.dtype).reshape(len(each), -1)
        lost = np.asarray(left_out, np.float64) if self.name == "p_post" else None
        return Statistic(mine, rows, notes, lost, None if interval is None else np.asarray(interval, self.dtype))


def _lazily(made: _Given, parts: list[xr.DataArray], note: Noted) -> Any:
    arrays = [part.data.rechunk(part.shape) if is_lazy(part.data) else call(_GivenStatistics(part.values)) for part in parts]
    identities = [identity_of(part.data) for part in parts]
    known = None if None in identities else token("given", made, identities)
    return call(made, *arrays, label=made.name, identity=known, note=note)


def _as_written(names: list[str] | None) -> list[str] | None:
    """Return the names of chosen channels, each once: one takes all that are called so, numbers too."""
    return None if names is None else [WrittenName(name) for name in dict.fromkeys(names)]


def _comparable(name: str, value: Any, image: xr.DataArray) -> Any:
    """Return a parameter in the one form in which equal ones are equal."""
    if name == "sigma":
        found = sigma_as_given(value, image)
        each = found if isinstance(found, list) else [found] * len(channel_names(image))
        return [_metres(one) if isinstance(one, str) else float(one or 0) for one in each]
    neutral = {"p": None, "p_sum": None, "p_post": None, "sigma": None, "norm_sum": True, "cap_max": None}
    others = {"dtype": "float32", "pool": "mean", "empty": "skip"}
    found = parameters_of(image, {**neutral, **others, name: value})
    return {"cap_max": found.cap, "pool": found.pooled, "empty": found.skip_empty}.get(name, getattr(found, name, None))


def _metres(length: str) -> str:
    number, unit = parse_length(length, "sigma")
    return f"{number * (metres(unit) or 1.0):.9g} m"
