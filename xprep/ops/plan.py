"""What would run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xprep.engine.running.plan import Pass, estimate
from xprep.engine.sources.lazy import check_known, is_lazy
from xprep.engine.sources.origins import origins_of
from xprep.ops.planned_images import planned_images
from xprep.sizes import format_bytes
from xprep.texts import html_table


@dataclass(frozen=True)
class Plan:
    """What computing an image would cost.

    Attributes
    ----------
    passes : tuple of Pass
        Readings of sources: what for, bytes, and whether only a wrong guess needs it (``maybe``).
    bytes_read : int
        Bytes that are read for sure, uncompressed.
    bytes_made : int
        Bytes of the result, uncompressed.
    persisted : int
        Bytes kept in memory between passes.
    scratch_bytes : int
        Bytes written to scratch, once, and read from there: spilled intermediates, and what is written in chunks that are too
        much at odds with the source's.
    tasks : int
        Tasks of the graph, before dask fuses them.
    chunks : int
        Blocks of the result.
    peak_memory : int
        Estimate of the process's largest resident size, writing the result block by block; in bytes.
    source : str
        Whether a run would notice that its source is changed meanwhile: ``"watched"``, ``"in memory"``, or
        ``"not watched: "`` and why.
    """

    passes: tuple[Pass, ...]
    bytes_read: int
    bytes_made: int
    persisted: int
    tasks: int
    chunks: int
    peak_memory: int
    source: str = ""
    scratch_bytes: int = 0

    def rows(self) -> list[tuple[str, str]]:
        """Return what there is to say, in pairs of text."""
        reads = [(f"pass {i}: {one.label}", format_bytes(one.nbytes)) for i, one in enumerate(self._sure(), 1)]
        if maybe := [one for one in self.passes if one.maybe]:
            reads.append((f"up to {len(maybe)} more, where a guess is wrong", format_bytes(sum(one.nbytes for one in maybe))))
        return [
            *reads,
            ("read in all", format_bytes(self.bytes_read)),
            ("result", f"{format_bytes(self.bytes_made)} in {self.chunks:,} blocks"),
            ("kept in memory between passes", format_bytes(self.persisted)),
            ("written to scratch", format_bytes(self.scratch_bytes)),
            ("tasks", f"{self.tasks:,} ({self.tasks / max(1, self.chunks):.2g} a block)"),
            ("peak memory, about", format_bytes(self.peak_memory)),
            ("source", self.source),
        ]

    def _sure(self) -> list[Pass]:
        return [one for one in self.passes if not one.maybe]

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {value}" for name, value in rows)

    def _repr_html_(self) -> str:
        return html_table("xprep: plan", self.rows())

    __repr__ = __str__


def plan(image: Any, *, chunks: Any = None, shards: Any = None) -> Plan:
    """Return what computing a lazy image would cost: passes, bytes, tasks, peak memory, scratch. Nothing is computed.

    Parameters
    ----------
    image : DataArray, Dataset or DataTree
        Lazy; what is in memory already costs nothing. Of a Dataset or DataTree its images count, with their labels and levels,
        or, where there is no image (features, traces, statistics), all that is in it. Memory is that of writing it: of an image
        without levels, with those that `to_ome_zarr` makes of it by default. Of graphs that somebody else made, what they read
        is an upper bound, and memory is that of single blocks: what they keep between tasks is not known.
    chunks, shards : mapping, int or tuple, optional
        Those that `to_ome_zarr` will be given; by default its own. Where they are too much at odds with the source's, the
        image goes through scratch.

    Returns
    -------
    Plan
        With a table for terminals and one for notebooks.

    Raises
    ------
    ValueError
        There is nothing in it.
    TypeError
        It is not a DataArray, Dataset or DataTree.

    Examples
    --------
    >>> import xprep
    >>> image = xprep.datasets.blobs(channels=2, shape=(64, 64)).chunk({"y": 32})
    >>> image.prep.gaussian_filter(1).prep.plan().chunks
    2
    """
    planned = planned_images(image)
    results = [array for one in planned for array in one.results]
    for array in results:
        check_known(array, "plan")
    tiles = [one.tiles(chunks, shards) for one in planned]
    levels = [one.levels(cut, chunks, shards) for one, cut in zip(planned, tiles, strict=True)]
    found = estimate(tiles).beside([cost for costs, _ in levels for cost in costs], sum(tasks for _, tasks in levels))
    return Plan(
        passes=found.passes,
        bytes_read=sum(one.nbytes for one in found.passes if not one.maybe),
        bytes_made=sum(int(np.prod(array.shape, dtype=float)) * array.dtype.itemsize for array in results),
        persisted=found.persisted,
        tasks=found.tasks,
        chunks=sum(array.npartitions for array in results if is_lazy(array)),
        peak_memory=found.peak_memory,
        scratch_bytes=found.scratch,
        source=str(origins_of([one.image.data for one in planned])),
    )
