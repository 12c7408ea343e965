"""How kernels are compiled and kept on disk, so that many processes may compile the same ones at the same time.

numba's own cache numbers its files through an index that every process reads and rewrites without a lock. Two processes
that compile different types at once give the same number to both; a third then runs machine code made for other types
(seen with numba 0.68: a crash in 1 of 10 first starts of two workers). Here a file is named by what it holds and says in
itself what that is, so no index is needed, and one that does not fit is compiled again. It also knows the sources of all
kernels: numba looks at one file and keeps code that was inlined from another after that one has changed. And it begins with
a digest: of 100 files with one bit flipped, 89 were loaded without it, and others ended the call with whatever pickle raised.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import llvmlite
import llvmlite.binding
import numba
import numpy as np

from xprep.kernels.private_numba import kept_in, let_keep, name_key

_DIGEST_BYTES = hashlib.sha256().digest_size
PACKAGED = Path(__file__).parent / "__pycache__"


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """``numba.njit`` without the GIL, its results kept on disk where a folder can be written."""

    def compile_later(function):
        dispatcher = numba.njit(nogil=True, **options)(function)
        let_keep(dispatcher, keep_compiled(function), _say_that_nothing_is_kept)
        return dispatcher

    return compile_later


def keep_compiled(function: Callable) -> Any:
    """Return where the loops of ``function`` are kept; None without a folder to write, or with a numba of another design."""
    return kept_in(_KeyedFiles, function)


def where_kept() -> str:
    """Return where loops are kept that are compiled now, and for which processor."""
    kept = keep_compiled(where_kept)
    folder = "nowhere" if kept is None else kept.cache_path
    return f"kept in {folder}, for {os.environ.get('NUMBA_CPU_NAME') or llvmlite.binding.get_host_cpu_name()}"


@cache
def _say_that_nothing_is_kept() -> None:
    warnings.warn(
        "the loops of xprep are compiled anew in every process, which takes seconds for each operation, as neither its folder "
        "nor the user's cache can be written to (NUMBA_CACHE_DIR=... names a folder that can), or this numba keeps them in a way "
        "that xprep does not know.",
        stacklevel=2,
    )


class _KeyedFiles:
    """One file for each key, written whole; the name is the key's, the content repeats it after a digest of all.

    A file that is damaged, of other versions, or cannot be read is none; where none can be written, nothing is kept.
    """

    def __init__(self, folder: Path, base: str, dumps: Callable[[Any], bytes] = pickle.dumps) -> None:
        self._folder, self._base, self._dumps = folder, base, dumps

    def save(self, key: tuple, data: Any) -> None:
        path, content = self._path(key), self._dumps((key, data))
        passing = path.with_name(f"{path.name}.{uuid4().hex[:12]}")
        try:
            passing.write_bytes(_digest(content) + content)
            os.replace(passing, path)
        except OSError:
            _say_that_nothing_is_kept()
        finally:
            with suppress(OSError):
                passing.unlink(missing_ok=True)

    def load(self, key: tuple) -> Any:
        # What an image of a container brings is in the package's folder, which its user may not be able to write to.
        name = self._path(key).name
        return next((data for folder in (self._folder, PACKAGED) if (data := self._read(folder / name, key)) is not None), None)

    def _read(self, path: Path, key: tuple) -> Any:
        try:
            found = path.read_bytes()
        except OSError:
            return None
        digest, content = found[:_DIGEST_BYTES], found[_DIGEST_BYTES:]
        if digest != _digest(content):
            return None
        kept, data = pickle.loads(content)  # noqa: S301  # numba reads the same folder in the same way
        return data if kept == key else None

    def flush(self) -> None:
        for path in self._folder.glob(f"{self._base}.*.nbc"):
            with suppress(OSError):
                path.unlink()

    def _path(self, key: tuple) -> Path:
        name = hashlib.sha256(name_key(key).encode()).hexdigest()[:16]
        return self._folder / f"{self._base}.{name}.nbc"


def _digest(content: bytes) -> bytes:
    """Return a digest of a file's content, of what made it, and of the sources of every kernel."""
    return hashlib.sha256(_stamp() + content).digest()


@cache
def _stamp() -> bytes:
    """Return a digest of Python, of the libraries that compile, and of the sources of every kernel."""
    digest = hashlib.sha256(repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__)).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()
