"""What workers must be able to import: the modules of the functions and classes that a graph names.

A worker that cannot import one dies of every task that is sent to it (distributed 2026.8), and dask waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from io import BytesIO
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final

import cloudpickle

from xprep.engine.machine.private_distributed import name_of
from xprep.errors import NobodyWorksError

SCRIPT: Final = ("__main__", "__mp_main__")  # what is defined there travels by value


class _Modules(cloudpickle.Pickler):  # type: ignore[misc]  # has no types
    """A pickler whose output is thrown away: it notes the modules of what is pickled by name."""

    def __init__(self) -> None:
        super().__init__(BytesIO(), protocol=5, buffer_callback=lambda _: False)  # pixels are left out
        self.found: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        how = super().reducer_override(obj)
        if how is NotImplemented and isinstance(obj, type | FunctionType | BuiltinFunctionType):
            self.found.add(str(obj.__module__ or "builtins"))
        return how


def find_modules(tasks: Iterable[Any]) -> list[str]:
    """Return the modules that a worker has to import for ``tasks``."""
    pickler = _Modules()
    for task in tasks:
        try:
            pickler.dump(task)
        except Exception:  # noqa: BLE001  (what cannot be sent at all, dask says)
            continue
        pickler.clear_memo()
    return sorted(pickler.found.difference(SCRIPT))


def check_importable(client: Any, graph: Mapping[Any, Any]) -> None:
    """Refuse to compute ``graph`` on workers that cannot import what it needs.

    Raises
    ------
    NobodyWorksError
        It names the modules and a worker.
    """
    of_each_layer = {name_of(key): task for key, task in graph.items()}
    try:
        found = client.run(_find_lacking, find_modules(of_each_layer.values()), on_error="return")
    except Exception:  # noqa: BLE001  (a gateway may forbid to ask)
        return
    lacking = {address: names for address, names in found.items() if names and isinstance(names, list)}
    if lacking:
        address, names = next(iter(lacking.items()))
        raise NobodyWorksError(
            f"workers cannot import {', '.join(names)} ({address}; {len(lacking)} of {len(found)} workers), which the image is "
            "made by. Install it where they run, or send it: client.upload_file('….py')."
        )


def _find_lacking(modules: list[str]) -> list[str]:
    """Return which ``modules`` cannot be imported; runs on the worker."""
    lacking = []
    for name in modules:
        try:
            import_module(name)
        except ImportError:
            lacking.append(name)
    return lacking
