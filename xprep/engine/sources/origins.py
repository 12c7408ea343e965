"""Which stored objects lazy images are read from, as far as their graphs tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dask.array as da
import numpy as np

from xprep.engine.graph.tasks import Cloned, Cost, NamedLayer
from xprep.engine.machine.private_dask import Sliced, sliced
from xprep.engine.sources.lazy import Memory
from xprep.engine.sources.readable import ReadBlock, View
from xprep.io.arrays.opened_elsewhere import readable_of
from xprep.io.arrays.reads import ZarrReadable
from xprep.io.arrays.source_sums import SourceContents, why_unwatched

FOREIGN: Final = "part of it is a graph that another library made"
MANY: Final = 1_000_000  # blocks: to follow what is used of more takes longer than to list all


@dataclass(frozen=True)
class Origins:
    """What images are read from: stored objects; and why others cannot be watched."""

    contents: tuple[SourceContents, ...] = ()
    unwatched: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.unwatched:
            return f"not watched: {self.unwatched[0]}"
        return "watched" if self.contents else "in memory"


def origins_of(arrays: Sequence[Any]) -> Origins:
    """Return what ``arrays``, lazy or not, are read from; nothing is asked of a store."""
    contents: dict[str, SourceContents] = {}
    unwatched: dict[str, None] = {}
    for array in arrays:
        for found in _found(array) if isinstance(array, da.Array) else ():
            if isinstance(found, str):
                unwatched[found] = None
            elif reason := why_unwatched(found):
                unwatched[reason] = None
            else:
                contents[found.key] = found
    return Origins(tuple(contents.values()), tuple(unwatched))


def _found(array: da.Array) -> Iterator[SourceContents | str]:
    """Yield what is read by every layer below ``array``, or why that cannot be told."""
    layers, below = array.dask.layers, array.dask.dependencies
    cuts = {name: cut for name in layers if (cut := sliced(layers, name)) is not None}
    holders = {holder for name in cuts for holder in below[name]}
    for name, layer in layers.items():
        if name in cuts:
            yield from _of_sliced(cuts[name])
        elif isinstance(getattr(layer, "origin", None), Cloned):
            yield from _found(layer.origin.array)
        elif isinstance(layer, NamedLayer):
            yield from _of_ours(name, layer.cost, array)
        elif not below[name] and name not in holders and not _is_in_memory(layer):
            yield FOREIGN


def _is_in_memory(layer: Any) -> bool:
    """Whether a layer is an array in memory, that dask cut in blocks."""
    first = next(iter(layer.values()), None)
    return isinstance(getattr(first, "value", first), np.ndarray)


def _of_sliced(cut: Sliced) -> Iterator[SourceContents | str]:
    source = readable_of(cut.source)
    if source is not None:
        yield SourceContents.of(source, (None,) * len(source.shape))
    elif not isinstance(cut.source, np.ndarray):
        yield FOREIGN


def _of_ours(name: str, cost: Cost, array: da.Array) -> Iterator[SourceContents | str]:
    view: View | None = cost.view
    if view is None or isinstance(view.source, Memory):
        return
    source = view.source
    if not isinstance(source, ZarrReadable):
        yield "it is read from what is no Zarr array"
    elif source.keeper is None:  # otherwise it is what this run spills
        yield SourceContents.of(source, _picks(name, view, array))


def _picks(name: str, view: View, array: da.Array) -> Sequence[Sequence[int] | None]:
    """Return which positions of the source are read; where another library's layers cut a part out, only those in it."""
    layers, dependents = array.dask.layers, array.dask.dependents
    foreign = [above for above in dependents[name] if not isinstance(layers[above], NamedLayer)]
    if not foreign or len(layers[name]) > MANY:
        return view.picks
    reads = [layers[name][key][0] for key in _used(array, layers, name)]
    if not all(isinstance(read, ReadBlock) for read in reads):
        return view.picks
    found: list[Sequence[int] | None] = list(view.picks)
    for i, axis in enumerate(view.axes):
        if axis is not None:
            spans = {(read.region[i].start, read.region[i].stop) for read in reads}
            positions = sorted({at for span in spans for at in range(*span)})
            before = view.picks[axis]
            found[axis] = positions if before is None else [before[at] for at in positions]
    return found


def _used(array: da.Array, layers: Mapping[str, Any], name: str) -> list[Any]:
    culled = array.dask.cull(set(da.core.flatten(array.__dask_keys__())))
    kept = (layer for called, layer in culled.layers.items() if called.startswith(name))  # culled layers have longer names
    return [key for layer in kept for key in layer if key in layers[name]]
