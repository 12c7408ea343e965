"""What a chain is: data that can be printed, cut and run again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Image:
    """An image of a seed. `places` says which coordinates it has: none, even or uneven ones, or ones that fall."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    seed: int = 0
    places: str = "none"
    gaps: float = 0.0

    def make(self) -> xr.DataArray:
        random = np.random.default_rng(self.seed)
        dtype = np.dtype(self.dtype)
        pixels = random.lognormal(2.0, 1.0, self.shape).clip(0, 120)
        values = pixels > 7 if dtype.kind == "b" else pixels.astype(dtype)
        if dtype.kind == "f":
            values -= dtype.type(2)
            values[random.random(self.shape) < self.gaps] = np.nan
        coords = {} if self.places == "none" else {dim: self._along(dim, n) for dim, n in zip(self.dims, self.shape, strict=True)}
        return xr.DataArray(values, dims=self.dims, coords=coords, name="image", attrs={"lens": "40x"})

    def _along(self, dim: str, n: int) -> Any:
        if dim == "c":
            return np.array([f"marker {i}" for i in range(n)], dtype=object)
        at = {"even": np.arange(n), "falling": np.arange(n)[::-1]}[self.places]
        return (dim, 10 + 0.5 * at, {"units": "second" if dim == "t" else "micrometer"})


@dataclass(frozen=True)
class Step:
    """One step: how it is done is said by `tests.chains.steps` and `tests.chains.places`, under its name."""

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.given.items())})"


@dataclass(frozen=True)
class Chain:
    """An image, a source that it is stored in and opened from, steps, and what `xprep.set_options` is told."""

    image: Image
    source: Step
    steps: tuple[Step, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        said = "\n".join(f"#   {step}" for step in (self.source, *self.steps))
        lines = ",\n        ".join(map(repr, self.steps))
        steps = f"(\n        {lines},\n    )" if lines else "()"
        return (
            f"# {self.image}\n{said}\nfrom numpy import array, nan, inf\nfrom tests.chains import Chain, Image, Step, check\n\n"
            f"check(Chain(\n    {self.image!r},\n    {self.source!r},\n    {steps},\n    {dict(self.options)!r},\n))\n"
        )
