"""What one tile gives in each pass of `normalize`: itself, its sum, its result; and patches of it, for guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xprep.engine.blocks.gather import BlockPlace
from xprep.engine.blocks.halos import margins
from xprep.kernels.tiles import TileRecipe
from xprep.naming import named
from xprep.ops.statistics import Statistic
from xprep.types import Array


@named("normalize-raw")
@dataclass(frozen=True)
class Raw:
    """The image itself; wide types in the working type, so that percentiles take two passes and not four."""

    dtype: np.dtype[Any]

    def __call__(self, block: Array, place: BlockPlace) -> Array:
        """Return the tile."""
        return block.astype(self.dtype, copy=False)


@named("normalize-total")
@dataclass(frozen=True, eq=False)
class Total:
    """The unblurred sum over channels; its state is the divisors, if there are any."""

    recipe: TileRecipe

    def __call__(self, block: Array, place: BlockPlace, *divisors: Statistic) -> Array:
        """Return ``(1, pixels)``."""
        return self.recipe.total(block, divisors[0].values if divisors else np.ones(len(block)))


@named("normalize-finish")
@dataclass(frozen=True, eq=False)
class Finished:
    """The result, as far as the states go: ``has`` names those that there are, of p, p_sum and p_post."""

    by_plane: ClassVar = True
    whole_axes: ClassVar = (0,)  # a pixel's channels are divided by their sum
    recipe: TileRecipe
    has: tuple[str, ...]

    def __call__(self, block: Array, place: BlockPlace, *states: Statistic) -> Array:
        """Return the tile without its margins."""
        state = dict(zip(self.has, (one.values for one in states), strict=True))
        threshold = float(state["p_sum"][0]) if "p_sum" in state else None
        divisors = state.get("p", np.ones(len(block)))
        top, left = margins(place)[-2:]
        return self.recipe.finish(block, (top, left), divisors, threshold, state.get("p_post"))


@named("normalize-guess-total")
@dataclass(frozen=True, eq=False)
class GuessedTotal:
    """The unblurred sum over channels of patches."""

    recipe: TileRecipe

    def __call__(self, patches: Array, *divisors: Statistic) -> Array:
        """Return ``(1, patch, pixels)``."""
        total = self.recipe.total(patches, divisors[0].values if divisors else np.ones(len(patches)))
        return total.reshape(1, patches.shape[1], -1)


@named("normalize-guess-finished")
@dataclass(frozen=True, eq=False)
class GuessedFinished:
    """The inside of patches, as far normalised as the states go."""

    recipe: TileRecipe
    has: tuple[str, ...]

    def __call__(self, patches: Array, *states: Statistic) -> Array:
        """Return ``(channel, patch, pixels)``."""
        channels, count, height, width = patches.shape
        margin = max(len(half) - 1 for half, _ in self.recipe.halves)
        if min(height, width) <= 2 * margin:
            return self._finish(patches, 0, states).reshape(channels, count, -1)
        # One below the other, as one plane: a blur for each took 50 µs. Rows near the seams are not looked at.
        done = self._finish(patches.reshape(channels, count * height, width), margin, states)
        seams = np.full((channels, 2 * margin, width - 2 * margin), np.nan, done.dtype)
        inside = np.concatenate([done, seams], axis=1).reshape(channels, count, height, -1)
        return inside[:, :, : height - 2 * margin].reshape(channels, count, -1)

    def _finish(self, pixels: Array, rim: int, states: Sequence[Statistic]) -> Array:
        whole = tuple((0, n) for n in pixels.shape)
        inside = (*whole[:-2], *((rim, n - rim) for _, n in whole[-2:]))
        return Finished(self.recipe, self.has)(pixels, BlockPlace(whole, inside, pixels.shape), *states)
