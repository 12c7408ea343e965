"""What is used of numba that is not documented: where a function's loops are kept on disk, and an array's type as a promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.extending import intrinsic, register_jitable

from xprep.private_api import part_of, uses

_FunctionCache = part_of("numba.core.caching", "FunctionCache", None)
_NullCache: Any = part_of("numba.core.caching", "NullCache", object)
_dumps = part_of("numba.core.serialize", "dumps", None)
_impl_ret_borrowed = part_of("numba.core.imputils", "impl_ret_borrowed", None)


@uses(
    "numba.core.caching.FunctionCache.cache_path, _impl.filename_base, _cache_file; numba.core.serialize.dumps",
    since="numba 0.54",
    loss="slower",
    without="loops are compiled anew in every process",
)
def kept_in(files: Callable[[Path, str, Callable[[Any], bytes]], Any], function: Callable[..., Any]) -> Any:
    """Return what keeps the loops of ``function`` in ``files(folder, base name, pickler)``.

    None without a folder to write, or with a numba of another design.
    """
    if _FunctionCache is None or _dumps is None:
        return None
    try:
        kept = _kernel_cache()(function)
    except RuntimeError:  # "no locator available": neither the package's folder nor the user's can be written
        return None
    if not hasattr(kept, "_cache_file") or not hasattr(getattr(kept, "_impl", None), "filename_base"):
        return None
    kept._cache_file = files(Path(kept.cache_path), kept._impl.filename_base, _dumps)
    return kept


@cache
def _kernel_cache() -> Any:
    """Return numba's cache of functions, which looks last in the package's own folder, though it cannot be written to."""
    implementation: Any = getattr(_FunctionCache, "_impl_class", object)
    locators = getattr(implementation, "_locator_classes", None)
    if locators is None:
        return _FunctionCache
    found = type("_Implementation", (implementation,), {"_locator_classes": [*locators, _PackageFolder]})
    return type("_KernelCache", (_FunctionCache,), {"_impl_class": found})


class _PackageFolder:
    """Says where the loops of a file were kept when it was installed, by ``xprep compile``; one of numba's locators."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)

    @classmethod
    def from_function(cls, _function: Any, file: str) -> _PackageFolder | None:
        return cls(file) if Path(file).is_file() else None

    def get_cache_path(self) -> str:
        return str(self._file.parent / "__pycache__")

    def get_source_stamp(self) -> Any:
        return None  # each file says itself what it was made of

    def get_disambiguator(self) -> None:
        return None


class Nowhere(_NullCache):  # type: ignore[misc]
    """Keeps nothing; ``say`` is called when something was compiled that the next process compiles again."""

    def __init__(self, say: Callable[[], None]) -> None:
        self._say = say

    def save_overload(self, sig: Any, data: Any) -> None:
        """Say so."""
        self._say()


@uses(
    "numba.core.registry.CPUDispatcher._cache; numba.core.caching.NullCache.save_overload",
    since="numba 0.54",
    loss="slower",
    without="loops are compiled anew in every process, without a word",
)
def let_keep(compiled: Any, kept: Any, say: Callable[[], None]) -> None:
    """Let a compiled function keep its loops in ``kept``; where that is None, ``say`` so."""
    if hasattr(compiled, "_cache") and _NullCache is not object:
        compiled._cache = kept or Nowhere(say)


@uses(
    "the key of numba's cache: types, target, hashes of the code and of what it closes over",
    since="numba 0.55",
    loss="untidy",
    without="loops of older sources stay on disk beside the new ones",
)
def name_key(key: Any) -> str:
    """Return a text for what is kept: equal for one function with the same types, whatever its code."""
    if len(key) == 3 and isinstance(key[2], tuple) and len(key[2]) == 2:
        types, target, (_, closure) = key
        return repr((types, target, closure))
    return repr(key)


@uses(
    "numba.core.imputils.impl_ret_borrowed; numba.types.Array.copy(layout=)",
    since="numba 0.54",
    loss="slower",
    without="loops over rows are not vectorised (0.7 to 2.8 ns a value in `normalize_pixels`)",
)
def contiguous_type() -> Any:
    """Return what gives, in compiled loops, a contiguous array the type that says so; the caller has checked its stride."""
    if _impl_ret_borrowed is None:
        return register_jitable(_as_it_is)

    @intrinsic
    def typed_contiguous(typing_context, row):
        def codegen(context, builder, signature, arguments):
            return _impl_ret_borrowed(context, builder, signature.return_type, arguments[0])

        return row.copy(layout="C", readonly=False)(row), codegen

    return typed_contiguous


def _as_it_is(row: Any) -> Any:
    return row
