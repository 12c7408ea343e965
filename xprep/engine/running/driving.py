"""Work of many tiles, done before anything else of a run: from the calling thread, each pass under its own name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from xprep.engine.computing.locally import Advance, compute_locally
from xprep.engine.computing.waiting import compute_on_cluster
from xprep.engine.filling.summaries import Seen
from xprep.engine.graph.driven import KnownValue, PortionedWork, driven_task, values_in
from xprep.engine.graph.tasks import Key, NamedLayer, Tasks
from xprep.engine.machine.clients import working_client
from xprep.engine.running.optimizing import optimized
from xprep.types import Listener


@dataclass(eq=False)
class Told:
    """Who hears of a run, and of how many bytes it has heard."""

    announce: Listener
    nbytes: int = 0

    def advance(self, stage: str, steps: int, nbytes: int) -> None:
        """Tell of so many steps and bytes more."""
        self.nbytes += nbytes
        self.announce.advanced(stage, steps, nbytes)


def compute(values: Sequence[Delayed], advance: Advance) -> tuple[Any, ...]:
    """Compute ``values`` on the active client's cluster, else by dask's own choice of scheduler."""
    return compute_locally(values, advance) if working_client() is None else compute_on_cluster(values, advance)


def drive_all(values: Sequence[Delayed], told: Told) -> tuple[list[Delayed], int]:
    """Do all work of many tiles below ``values``; return these with its results in place of it, and how many tiles it had.

    Where something is kept in memory between passes, nothing is done yet: what made it would be made once more.
    """
    if not all(isinstance(value.dask, HighLevelGraph) for value in values):
        return list(values), 0
    graph = HighLevelGraph.merge(*(value.dask for value in values))
    steps = _Steps(dict(graph.layers), dict(graph.dependencies), told)
    needed = steps.needed([value.__dask_layers__()[0] for value in values])
    driven = [name for name in needed if driven_task(steps.layers[name])]
    if not driven or any(getattr(getattr(steps.layers[name], "cost", None), "held", 0) for name in needed):
        return list(values), 0
    tiles = sum(steps.drive(name) for name in driven)
    return [Delayed(value.key, steps.graph, layer=value.__dask_layers__()[0]) for value in values], tiles


def known_value(value: Delayed) -> tuple[Any] | None:
    """Return the value of a lazy one that is known already, alone in a tuple."""
    layer = value.dask.layers.get(value.__dask_layers__()[0], {}) if isinstance(value.dask, HighLevelGraph) else {}
    task = layer.get(value.key)
    return (task[0].value,) if isinstance(task, tuple) and isinstance(task[0], KnownValue) else None


@dataclass(eq=False)
class _Steps:
    """The layers of a graph, of which more and more are known."""

    layers: dict[str, Any]
    below: dict[str, set[str]]
    told: Told

    @property
    def graph(self) -> HighLevelGraph:
        """The graph as it is now."""
        return HighLevelGraph(self.layers, self.below)

    def needed(self, names: Sequence[str]) -> list[str]:
        """Return the layers that ``names`` are made of, each behind those that it is made of itself."""
        found: dict[str, None] = {}
        left = [(name, False) for name in reversed(names)]
        while left:
            name, is_last = left.pop()
            if is_last:
                found[name] = None
            elif name not in found:
                left += [(name, True), *((one, False) for one in sorted(self.below[name]))]
        return list(found)

    def know(self, key: Key, value: Any) -> None:
        """Put a value in place of the layer that makes it."""
        name = key if isinstance(key, str) else key[0]
        self.layers[name], self.below[name] = NamedLayer({key: (KnownValue(value),)}), set()

    def drive(self, name: str) -> int:
        """Do the work of a layer, after what it depends on; return how many tiles it had."""
        found = driven_task(self.layers[name])
        assert found is not None
        work, inputs = found
        self._compute_below(name, inputs)
        known, stage = self._known(inputs), _Stage(self.told, work)
        result = work.drive([known[key] for key in inputs], stage.compute)
        self.know(name, result)
        stage.finish(result)
        return work.ntiles

    def _known(self, keys: Sequence[Key]) -> dict[Key, Any]:
        tasks = ((key, self.layers[key if isinstance(key, str) else key[0]].get(key)) for key in keys)
        return {key: task[0].value for key, task in tasks if isinstance(task, tuple) and isinstance(task[0], KnownValue)}

    def _compute_below(self, name: str, inputs: Sequence[Key]) -> None:
        """Compute what a layer depends on, with all single values on the way: they may be kept in a store, which is done once."""
        above = [next(iter(self.layers[one])) for one in self.needed([name])[:-1] if len(self.layers[one]) == 1]
        wanted = [key for key in dict.fromkeys([*inputs, *above])]
        known = self._known(wanted)
        left = [key for key in wanted if key not in known]
        graph = self.graph
        lazy = [Delayed(key, graph, layer=key if isinstance(key, str) else key[0]) for key in left]
        for key, value in zip(left, compute(optimized(lazy), _ignore), strict=True):
            self.know(key, value)


@dataclass(eq=False)
class _Stage:
    """What is told of one work: nothing of one that turns out to be needless."""

    told: Told
    work: PortionedWork
    begun: bool = False

    def compute(self, tasks: Tasks, keys: Sequence[Key], tiles: int) -> tuple[Any, ...]:
        """Compute a portion."""
        if not self.begun:
            self.told.announce.started(self.work.label, self.work.ntiles)
            self.begun = True
        done = _TilesDone(self.told, self.work.label, tiles, len(tasks))
        found = compute(values_in(tasks, keys), done.advance)
        done.finish()
        return found

    def finish(self, result: Any) -> None:
        """Tell the end, and what workers did not tell since their last heartbeats."""
        if self.begun:
            left = result.nbytes - result.before - self.told.nbytes if isinstance(result, Seen) else 0
            self.told.advance(self.work.label, 0, max(0, left))
            self.told.announce.finished(self.work.label)


@dataclass(eq=False)
class _TilesDone:
    """Tells of the tiles of a portion while its tasks, of which there are more, are done."""

    told: Told
    stage: str
    tiles: int
    tasks: int
    done: int = 0
    said: int = 0

    def advance(self, steps: int, nbytes: int) -> None:
        self.done += steps
        now = min(self.tiles, self.done * self.tiles // max(1, self.tasks))
        self.told.advance(self.stage, now - self.said, nbytes)
        self.said = now

    def finish(self) -> None:
        self.told.advance(self.stage, self.tiles - self.said, 0)
        self.said = self.tiles


def _ignore(_steps: int, _nbytes: int) -> None:
    """Tell nobody: these are single values."""
