"""`set_options` in threads, tasks and coroutines: each sees what it set, and what has ended leaves nothing."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import combinations
from typing import Any

import pytest

from xprep import set_options
from xprep.options import Options, _Holder, options

OWN = {"a": 1001, "b": 1002}
STEPS = ("begin", "look", "end")
# Every order in which two blocks can begin, be looked at and end: which of the six steps are those of "a".
ORDERS = ["".join("a" if i in places else "b" for i in range(6)) for places in combinations(range(6), 3)]
Run = Callable[..., Any]


def tile() -> int:
    return options().tile_bytes


def in_threads(pools: ExitStack) -> tuple[Run, Run]:
    one, other = (pools.enter_context(ThreadPoolExecutor(1)) for _ in "ab")
    return lambda *what: one.submit(*what).result(), lambda *what: other.submit(*what).result()


def in_contexts(_: ExitStack) -> tuple[Run, Run]:
    """As tasks of asyncio are: in one thread, each with a copy of the context."""
    return contextvars.copy_context().run, contextvars.copy_context().run


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("where", [in_threads, in_contexts], ids=lambda where: where.__name__)
def test_each_sees_its_own_block_and_both_leave_nothing(where: Callable[[ExitStack], tuple[Run, Run]], order: str) -> None:
    before = options()
    with ExitStack() as pools:
        runs = dict(zip("ab", where(pools), strict=True))
        blocks: dict[str, Any] = {}
        steps = {name: iter(STEPS) for name in runs}
        for name in order:
            match next(steps[name]):
                case "begin":
                    blocks[name] = runs[name](lambda name=name: set_options(tile_bytes=OWN[name]))
                    runs[name](blocks[name].__enter__)
                case "look":
                    assert runs[name](tile) == OWN[name]
                case "end":
                    runs[name](blocks.pop(name).__exit__, None, None, None)
            # Who set nothing sees what was set last and holds still.
            assert tile() == (OWN[list(blocks)[-1]] if blocks else before.tile_bytes)
        assert [run(tile) for run in runs.values()] == [before.tile_bytes] * 2
    assert options() == before


def test_tasks_that_run_by_turns() -> None:
    async def work(size: int) -> list[int]:
        with set_options(tile_bytes=size):
            seen = []
            for _ in range(size % 7):
                await asyncio.sleep(0)
                seen += [tile(), await asyncio.to_thread(tile)]
        return seen

    async def main() -> list[list[int]]:
        return await asyncio.gather(*map(work, range(1, 30)))

    before = options()
    for size, seen in zip(range(1, 30), asyncio.run(main()), strict=True):
        assert seen == [size] * 2 * (size % 7)
    assert options() == before


def _generator(size: int) -> Iterator[int]:
    with set_options(tile_bytes=size):
        yield size


@pytest.mark.parametrize("first", [0, 1])
def test_generators_that_end_in_another_order(first: int) -> None:
    """They share the context of who calls them; the one that is left still holds."""
    before = options()
    made = [_generator(1001), _generator(1002)]
    assert [next(one) for one in made] == [1001, 1002]
    made.pop(first).close()
    assert tile() == (1002, 1001)[first]
    made.pop().close()
    assert options() == before


def test_a_block_that_ends_in_another_context_than_it_began_in() -> None:
    before = options()
    one, other = contextvars.copy_context(), contextvars.copy_context()
    block = one.run(lambda: set_options(tile_bytes=1001))
    one.run(block.__enter__)
    other.run(block.__exit__, None, None, None)
    assert [one.run(options), other.run(options), options()] == [before] * 3


def test_a_pool_in_a_block_works_with_its_options() -> None:
    with set_options(tile_bytes=1001, history=False), ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda _: options(), range(8)))
        assert seen == [options()] * 8
        assert seen[0].tile_bytes == 1001


def test_plain_calls_hold_for_all_threads_and_end_with_their_block() -> None:
    before = options()
    with ThreadPoolExecutor(1) as thread, set_options(tile_bytes=1001):
        set_options(tile_bytes=1002, deadline=7)
        with set_options(tile_bytes=1003):
            assert (tile(), options().deadline) == (1003, 7)
        assert tile() == thread.submit(tile).result() == 1002
        thread.submit(lambda: set_options(tile_bytes=1004)).result()
        assert (tile(), thread.submit(tile).result()) == (1002, 1004)
        thread.submit(lambda: set_options(tile_bytes=before.tile_bytes)).result()
    assert options() == before


def test_many_plain_calls_do_not_add_up() -> None:
    def work() -> int:
        most = 0
        for size in range(1, 300):
            set_options(tile_bytes=size)
            most = max(most, len(_Holder.changes))
        set_options(tile_bytes=Options().tile_bytes)
        return most

    started = len(_Holder.changes)
    holder, found = _Holder.changes.copy(), _Holder.base
    _Holder.changes.clear()  # a block that is begun keeps its place before what is set after it
    try:
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(work).result() <= 2
    finally:
        _Holder.changes.clear()
        _Holder.changes.update(holder)
        _Holder.base = found
    assert len(_Holder.changes) == started


def test_what_is_refused_changes_nothing() -> None:
    before = options()
    for wrong, error in (({"tile_bytes": -1}, ValueError), ({"history": "maybe"}, TypeError), ({"colour": 1}, ValueError)):
        with pytest.raises(error):
            set_options(deadline=3, **wrong)
    assert options() == before
