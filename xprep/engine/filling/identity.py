"""Which pixels a lazy image has: a text that is equal in another process, on another machine, with other memory.

Keys of a graph are not that text: they change with the tiles, and with what is kept in memory between passes, and pixels
do not. So it is made of what layers remember: the sources, the functions with their parameters, the statistics.
"""

from __future__ import annotations

import re
from typing import Any, Final

import dask.array as da
import numpy as np
from dask.delayed import Delayed

from xprep.engine.blocks.deliver import Made
from xprep.engine.blocks.gather import Gathered
from xprep.engine.graph.tasks import NamedLayer, Valued, origin_of
from xprep.engine.graph.tokens import token
from xprep.engine.sources.lazy import Memory
from xprep.engine.sources.readable import Origin
from xprep.io.codecs.chains import checksum_of
from xprep.types import Array

BLOCK_BYTES: Final = 2**22

# What `uuid` gives: a name of these is another in every process.
_RANDOM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def identity_of(data: Any) -> str | None:
    """Return the identity of an array or of a lazy value; None where nobody can know it.

    What other libraries made has the name that dask gave it: made of its inputs and parameters, or, of what dask cannot
    name, a random one. What is in memory has its contents'.
    """
    if isinstance(data, Delayed):
        return _of_value(data)
    if not isinstance(data, da.Array):
        return _of_contents(np.asarray(data))
    origin = origin_of(data)
    if isinstance(origin, Origin):
        if origin.copied is not None:
            return identity_of(origin.copied)
        if isinstance(origin.view.source, Memory):
            return None  # its contents would have to be read to be named
        return token(origin.view.token, origin.view.axes, origin.view.picks)
    if isinstance(origin, Valued):
        return origin.identity
    if isinstance(origin, Made):
        return _join(origin.axes, origin.tiles)
    if isinstance(origin, Gathered):
        how = (origin.function, origin.needs, origin.wrap, data.shape, str(data.dtype))
        return _join(how, origin.array, *origin.states)
    return _named(data.name, data.dask)


def lasting(value: Delayed, partial: bool = False) -> dict[str, str]:
    """Return the names of the layers below a lazy value that have an identity: what is kept for a resumed run.

    Steps on the way to such a value are among them if ``partial``.
    """
    layers = value.dask.layers.items()
    found = {name: layer for name, layer in layers if isinstance(layer, NamedLayer) and layer.identity}
    return {name: str(layer.identity) for name, layer in found.items() if partial or not layer.partial}


def _of_contents(array: Array) -> str:
    """Return the identity of what is in memory, at the speed of memory: dask's own hash would double a run's time."""
    rows = max(1, BLOCK_BYTES // max(1, array.nbytes // max(1, len(array)))) if array.ndim else 1
    parts = [array[at : at + rows] for at in range(0, len(array), rows)] if array.ndim else [array]
    return token(array.shape, str(array.dtype), [checksum_of(np.ascontiguousarray(part).tobytes()) for part in parts])


def _of_value(value: Delayed) -> str | None:
    layer = value.dask.layers.get(value.key)
    if isinstance(layer, NamedLayer) and layer.identity:
        return layer.identity
    return _named(str(value.key), value.dask)


def _join(how: Any, *values: Any) -> str | None:
    found = [identity_of(value) for value in values]
    return None if None in found else token(how, found)


def _named(name: str, graph: Any) -> str | None:
    foreign = (key for key, layer in graph.layers.items() if not isinstance(layer, NamedLayer))
    return None if any(_RANDOM.search(str(key)) for key in foreign) else name
