"""Values of a whole image that a resumed run must not compute anew: kept when they are made, put in place of their tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from xprep.engine.filling.identity import lasting
from xprep.engine.graph.tasks import NamedLayer
from xprep.engine.machine.attempts import attempt

Save = Callable[[Any], None]


def with_checkpoints(
    values: Sequence[Delayed], known: Mapping[str, Any], saves: Mapping[str, Sequence[Save]], partial: bool = False
) -> list[Delayed]:
    """Return lazy ``values`` whose lasting parts are ``known``, or are saved as soon as they are made.

    Parameters
    ----------
    values
        To be computed together.
    known
        Values by identity: nothing is computed for them.
    saves
        By identity, who keeps a value. Whoever uses it waits until it is kept.
    partial
        Whether steps on the way to a lasting value are kept as well.
    """
    graph = HighLevelGraph.merge(*(value.dask for value in values))
    layers, dependencies = dict(graph.layers), dict(graph.dependencies)
    for name, identity in lasting_of(values, partial).items():
        if identity in known:
            layers[name] = NamedLayer({name: (_Known(known[identity]),)}, identity=identity)
            dependencies[name] = set()
        elif saves.get(identity):
            made = f"{name}-made"
            layers[made] = NamedLayer({made: dict(layers[name])[name]})
            layers[name] = NamedLayer({name: (_Kept(tuple(saves[identity])), made)}, identity=identity)
            dependencies[made], dependencies[name] = dependencies[name], {made}
    changed = HighLevelGraph(layers, dependencies)
    return [Delayed(value.key, changed, layer=value.__dask_layers__()[0]) for value in values]


def lasting_of(values: Sequence[Delayed], partial: bool = False) -> dict[str, str]:
    """Return the names of the layers of ``values`` that are lasting, with their identities."""
    return {name: identity for value in values for name, identity in lasting(value, partial).items()}


@dataclass(frozen=True, eq=False)
class _Known:
    value: Any

    def __call__(self) -> Any:
        return self.value


@dataclass(frozen=True, eq=False)
class _Kept:
    saves: tuple[Save, ...]

    def __call__(self, value: Any) -> Any:
        for save in self.saves:
            attempt(save, value)
        return value
