"""Options: one immutable value, read while a graph is built and never inside a task."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import or_
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xprep.redaction import redact
from xprep.sizes import parse_bytes
from xprep.switches import check_switch
from xprep.types import Intermediates


@dataclass(frozen=True, repr=False)
class Options:
    """What can be set, with the defaults.

    Parameters
    ----------
    intermediates : {"auto", "recompute", "persist", "spill"}
        What becomes of images that are read more than once.
    memory_limit : int, str or None
        Bytes that intermediates may occupy, also as a text (``"16 GiB"``); None takes half of what is free when a graph is built
        (of the cluster's workers, where there is one).
    scratch_url : str or None
        Where intermediates are spilled: a folder or any fsspec URL; None is the system's temporary folder.
    scratch_options : mapping or None
        For fsspec, to reach ``scratch_url``: credentials, endpoint. Never stored or shown.
    tile_bytes : int or str
        Size that a unit of work aims at, all channels together, in bytes of the source; also as a text (``"32 MiB"``).
    history : bool
        Whether results gain a line in their ``history`` attribute.
    timestamps : bool
        Whether provenance carries the time; without, two equal runs write equal bytes.
    progress : {"auto", "on", "off"}
        Progress bars: ``"auto"`` shows one where somebody looks (a terminal, a notebook).
    chained_urls : bool
        Whether fsspec's chains (``zip::s3://…``, ``simplecache::…``) are opened. Some can read any file of this machine, so
        only URLs that you wrote yourself should be.
    outside_links : bool
        Whether symbolic links in a store on this machine may lead out of it (git-annex and DataLad keep chunks so). The
        pixels of a store from elsewhere could otherwise be those of any file.
    unbounded_codecs : bool
        Whether images are opened whose codecs may inflate a small chunk to any size: zfpy, pcodec, and those that other packages
        register (imagecodecs). Of all others xprep refuses what is more than the chunk that the metadata declare.
    deadline : float
        Seconds that one request to a bucket may take, with all that its client tries; writing has one more for every MiB.
    patience : float
        Seconds that a run on a cluster waits where no worker works, before it says so and ends: spot machines may come back.
    """

    intermediates: Intermediates = "auto"
    memory_limit: int | None = None
    scratch_url: str | None = None
    scratch_options: Mapping[str, Any] | None = field(default=None, repr=False)
    tile_bytes: int = 16 * 2**20
    history: bool = True
    timestamps: bool = True
    progress: Literal["auto", "on", "off"] = "auto"
    chained_urls: bool = False
    outside_links: bool = False
    unbounded_codecs: bool = False
    deadline: float = 50.0
    patience: float = 45.0

    def __post_init__(self) -> None:
        if np.ndim(self.intermediates) or self.intermediates not in get_args(Intermediates):
            raise ValueError(f"intermediates must be one of {get_args(Intermediates)}; got {self.intermediates!r}.")
        if self.memory_limit is not None and self.memory_limit <= 0:
            raise ValueError(f"memory_limit must be a positive number of bytes or None; got {self.memory_limit!r}.")
        if self.tile_bytes <= 0:
            raise ValueError(f"tile_bytes must be positive; got {self.tile_bytes!r}.")
        for name in ("deadline", "patience"):
            _check_seconds(name, getattr(self, name))
        if isinstance(self.scratch_url, str) and not self.scratch_url.strip():
            raise ValueError(f"scratch_url must be a folder, a URL or None; got {self.scratch_url!r}.")
        if not isinstance(self.scratch_url, str | Path | None):
            raise TypeError(f"scratch_url must be a folder, a URL or None; got {self.scratch_url!r}.")
        if not isinstance(self.scratch_options, Mapping | None):
            raise TypeError(f"scratch_options must be a mapping or None; got a {type(self.scratch_options).__name__}.")
        if np.ndim(self.progress) or self.progress not in ("auto", "on", "off"):
            raise ValueError(f"progress must be 'auto', 'on' or 'off'; got {self.progress!r}.")

    @staticmethod
    def checked(changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields as they are kept: sizes in bytes as numbers, switches as bool.

        Raises
        ------
        ValueError, TypeError
            A value that its field does not take.
        """
        kept = dict(changes)
        for name in kept.keys() & {"memory_limit", "tile_bytes"}:
            kept[name] = None if name == "memory_limit" and kept[name] is None else _bytes(name, kept[name])
        for name in kept.keys() & {"history", "timestamps", "chained_urls", "outside_links", "unbounded_codecs"}:
            kept[name] = check_switch(kept[name], name)
        replace(Options(), **kept)
        return kept

    def __repr__(self) -> str:
        shown = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}
        if self.scratch_url is not None:
            shown["scratch_url"] = redact(self.scratch_url)
        return f"Options({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _bytes(name: str, given: Any) -> int:
    try:
        return parse_bytes(given)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{name}: {error}") from None


def _check_seconds(name: str, given: Any) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float | np.number):
        raise TypeError(f"{name} must be a number of seconds; got {given!r}.")
    if not 0 < float(given) < float("inf"):
        raise ValueError(f"{name} must be a positive number of seconds; got {given!r}.")


@dataclass(frozen=True, eq=False)
class _Change:
    """What one `set_options` sets: for the process, and first of all for the context that began a block with it."""

    values: dict[str, Any]
    block: _Change | None  # the block that a plain call stands in, with which it ends
    setter: weakref.ref[set_options]  # once it is gone, nobody can make a block of a plain call


class _Holder:
    """The options of the process, and what changes them at present, oldest first.

    Every step is one operation of a dict, so that threads need no lock, which a forked process might find locked for good.
    """

    base = Options()
    changes: ClassVar[dict[_Change, None]] = {}  # an ordered set
    folding = threading.Lock()


# Blocks that this thread, task or coroutine began, and plain calls in them; those that have ended are passed over.
_MINE: ContextVar[tuple[_Change, ...]] = ContextVar("xprep_options", default=())


def options() -> Options:
    """Return the current options."""
    base, changes = _Holder.base, tuple(_Holder.changes)
    mine = [one for one in _MINE.get() if one in changes]
    values = [one.values for one in (*changes, *mine)]
    return replace(base, **reduce(or_, values)) if values else base


def _fold() -> None:
    """Make the oldest changes that nothing can end any more part of the base: plain calls in a loop do not add up."""
    if not _Holder.folding.acquire(blocking=False):
        return  # the next call does it
    try:
        for one in tuple(_Holder.changes):
            if one.block is not None or one.setter() is not None:
                return
            _Holder.base = replace(_Holder.base, **one.values)
            del _Holder.changes[one]
    finally:
        _Holder.folding.release()


class set_options:
    """Set options, for good or for a ``with`` block.

    Without ``with``, they are set for all threads of this process until they are set again; inside of a block, until it ends.

    What a ``with`` block sets holds in the thread, or the asyncio task, that began it, whatever others set meanwhile. Threads
    that do not set the same option themselves see it too, as with xarray's and dask's options, so that a pool of threads works
    with the options of the block that it is used in. When the block ends it is undone, in whatever order blocks of several
    threads end. Other processes start with the defaults, and forked ones with what their parent had: set options there, too.

    Parameters
    ----------
    **changes
        Fields of `Options`: ``intermediates``, ``memory_limit``, ``scratch_url``, ``scratch_options``,
        ``tile_bytes``, ``history``, ``timestamps``, ``progress``, ``chained_urls``,
        ``outside_links``, ``unbounded_codecs``, ``deadline``, ``patience``.

    Raises
    ------
    ValueError
        An unknown option, or a value that it does not take.
    TypeError
        A value of a type that it does not take, such as a switch that is not True or False.

    Examples
    --------
    >>> import xprep
    >>> with xprep.set_options(intermediates="spill", memory_limit="16 GiB"):
    ...     pass
    """

    def __init__(self, **changes: Any) -> None:
        known = [one.name for one in fields(Options)]
        if unknown := [name for name in changes if name not in known]:
            raise ValueError(f"unknown option {unknown[0]!r}; the options are {known}.")
        changes = Options.checked(changes)
        _fold()
        blocks = [one for one in _MINE.get() if one.block is None and one in _Holder.changes]
        self._add(_Change(changes, blocks[-1] if blocks else None, weakref.ref(self)), bool(blocks))

    def _add(self, change: _Change, mine: bool) -> None:
        self._change = change
        _Holder.changes[change] = None
        if mine:
            _MINE.set((*(one for one in _MINE.get() if one in _Holder.changes), change))

    def __enter__(self) -> Options:
        _Holder.changes.pop(self._change, None)
        self._add(replace(self._change, block=None), mine=True)
        return options()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in tuple(_Holder.changes):
            if one is self._change or one.block is self._change:
                _Holder.changes.pop(one, None)
