"""What a container has to be computed and written: its images and labels, each with its levels, and what these take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import xarray as xr

from xprep.dims.axes import PLANE
from xprep.dims.containers.coarser import made_steps
from xprep.dims.containers.contents import contents_of
from xprep.dims.containers.shrinking import Shrinking, shrunk_shape
from xprep.engine.blocks.cutting import cut_for
from xprep.engine.graph.tasks import Cost
from xprep.engine.running.plan import BLOCKS_PER_THREAD
from xprep.engine.sources.lazy import as_lazy, is_lazy
from xprep.ops.chunking import stored_chunk
from xprep.options import options

SUM_BYTES = 8  # of a voxel while it is weighted: float64


@dataclass(frozen=True, eq=False)
class PlannedImage:
    """An image to be written, and how levels are made of it (None: as usual), which it may have already (``coarser``)."""

    image: xr.DataArray
    steps: Sequence[Shrinking] | None = None
    coarser: Sequence[xr.DataArray] = ()

    @property
    def results(self) -> list[Any]:
        """The pixels of all levels that it has."""
        return [self.image.data, *(level.data for level in self.coarser)]

    def tiles(self, chunks: Any, shards: Any) -> Any:
        """Return the tiles that `to_ome_zarr` would write; of what it would not write, or what is in memory, the pixels."""
        if not is_lazy(self.image.data) or not set(PLANE) <= set(self.image.dims) or 0 in self.image.shape:
            return self.image.data
        return cut_for(as_lazy(self.image.data), _unit(self.image, chunks, shards)).made()

    def levels(self, tiles: Any, chunks: Any, shards: Any) -> tuple[list[Cost], int]:
        """Return what making levels takes while ``tiles`` are written, and in how many tasks of its own.

        Where they are made of these tiles, the parts of a tile of each wait until all are there, and are then put together.
        Where they read the level before back, a thread holds what it read, and the sums along each axis.
        """
        if not is_lazy(tiles) or not set(PLANE) <= set(self.image.dims):
            return [], 0
        itemsize, unit = int(self.image.dtype.itemsize), _unit(self.image, chunks, shards)
        tile = prod(map(max, tiles.chunks)) * itemsize
        costs, tasks, shape = [], 0, self.image.shape
        for step in _usual_steps(self.image, unit) if self.steps is None else self.steps:
            shape = shrunk_shape(shape, step.factors)
            if step.method == "gaussian":
                voxels = _voxels_at_once(shape, step, unit, itemsize)
                costs.append(Cost("level", block=_reread_bytes(voxels, step.factors, itemsize) // BLOCKS_PER_THREAD))
                tasks += -(-prod(shape) // voxels)
            else:
                costs.append(Cost("level", front=min(tile, prod(shape) * itemsize) * (1 if costs else 2)))
        return costs, tasks


def planned_images(container: Any) -> list[PlannedImage]:
    """Return the images and labels of a container; where there is no image, all that it holds.

    Raises
    ------
    ValueError
        There is nothing in it.
    TypeError
        It is none of xarray's three.
    """
    try:
        found = contents_of(container)
    except ValueError:
        nodes = container.subtree if isinstance(container, xr.DataTree) else [container]
        every = [PlannedImage(array, ()) for node in nodes for array in node.data_vars.values()]
        if not every:
            raise
        return every
    beside = [] if found.only_labels else found.labels
    return [one for located in (*found.images, *beside) for one in _with_levels([level.array for level in located.levels])]


def _with_levels(levels: Sequence[xr.DataArray]) -> list[PlannedImage]:
    if len(levels) == 1:
        return [PlannedImage(levels[0])]
    steps = made_steps(levels)
    return [PlannedImage(level, ()) for level in levels] if steps is None else [PlannedImage(levels[0], steps, levels[1:])]


def _unit(image: xr.DataArray, chunks: Any, shards: Any) -> tuple[int, ...]:
    chunk = stored_chunk(image, chunks)
    return chunk if shards is None else stored_chunk(image, shards, chunk, "shards")


def _usual_steps(image: xr.DataArray, unit: Sequence[int]) -> list[Shrinking]:
    """Return how levels are made where nobody says: y and x are halved until a level fits one chunk."""
    lengths = [(n, u) for dim, n, u in zip(image.dims, image.shape, unit, strict=True) if dim in PLANE]
    number = 0
    while any(-(-n // 2**number) > u for n, u in lengths):
        number += 1
    return [Shrinking(tuple(2 if dim in PLANE else 1 for dim in image.dims), "mean")] * number


def _voxels_at_once(shape: Sequence[int], step: Shrinking, unit: Sequence[int], itemsize: int) -> int:
    """Return how many voxels of a level one task makes: a whole unit, or what a tile of the level before becomes."""
    least = prod(min(n, u) for n, u in zip(shape, unit, strict=True))
    return max(1, min(prod(shape), max(least, options().tile_bytes // prod(step.factors) // itemsize)))


def _reread_bytes(voxels: int, factors: Sequence[int], itemsize: int) -> int:
    """Return how many bytes a thread takes to make so many voxels of the level before."""
    left = voxels * prod(factors)
    taken = (left + voxels) * itemsize
    for factor in factors:
        left //= factor
        taken += left * SUM_BYTES if factor > 1 else 0
    return taken
