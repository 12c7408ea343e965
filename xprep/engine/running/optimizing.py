"""What dask does with the graphs of arrays before they run."""

from __future__ import annotations

from collections.abc import Sequence

from dask.array.optimization import optimize
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph


def optimized(values: Sequence[Delayed]) -> list[Delayed]:
    """Return ``values`` over one culled and fused graph: what dask does for arrays, and not for delayed values."""
    if not values:
        return []
    keys = [value.key for value in values]
    # A dict: with dask's fusing switched off, `optimize` returns layers, and none has the name of a value.
    graph = dict(optimize(HighLevelGraph.merge(*(value.dask for value in values)), keys))
    return [Delayed(key, graph) for key in keys]
