"""How long requests are waited for: each up to a deadline, and hardly longer than anybody wants its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextvars import ContextVar
from time import monotonic
from typing import Any, Final, TypeVar

LOOK_SECONDS: Final = 0.5
# What is in flight when its run fails may still arrive, or a part of a chunk was sent in vain; but not for the whole deadline.
GRACE_SECONDS: Final = 5.0
T = TypeVar("T")


def _always() -> bool:
    return True


# Whether the run that a request belongs to goes on: set by the engine, in the thread of a task.
WANTED: Final[ContextVar[Callable[[], bool]]] = ContextVar("WANTED", default=_always)


async def in_time(doing: Awaitable[T], key: str, seconds: float) -> T:
    """Await what is done for ``key``, for so many seconds, and at most five seconds longer than it is wanted.

    Raises
    ------
    TimeoutError
        Naming the key; what was done is called off.
    """
    try:
        return await asyncio.wait_for(_while_wanted(doing), seconds)
    except TimeoutError as error:
        raise TimeoutError(f"{key!r}: {str(error) or f'no answer within {seconds:.0f} s, whatever was tried'}") from None


async def _while_wanted(doing: Awaitable[T]) -> T:
    task, wanted, end = asyncio.ensure_future(doing), WANTED.get(), float("inf")
    try:
        while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
            end = end if wanted() else min(end, monotonic() + GRACE_SECONDS)
            if monotonic() > end:
                raise TimeoutError("the run that it is for was given up")
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def every(doing: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; where one fails, the others are called off and waited for: no request arrives after its caller was told."""
    tasks = [asyncio.ensure_future(one) for one in doing]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
