"""Trees in which partial results are joined: neighbours first, always the same ones, so that the bits are, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xprep.engine.graph.tasks import Key

FAN_IN = 4  # results joined by one task: at most 3 a level wait, and each may be MiBs of histogram


def join_until(keys: Sequence[Key], most: int, name: tuple[Any, ...]) -> tuple[dict[Key, list[Key]], list[Key]]:
    """Return what is joined to what until no more than ``most`` are left, as one task joins them; and those.

    A join has the key ``(*name, depth, position)``.

    Examples
    --------
    >>> join_until(["a", "b", "c"], 2, ("sum",))
    ({('sum', 0, 0): ['a', 'b'], ('sum', 0, 1): ['c']}, [('sum', 0, 0), ('sum', 0, 1)])
    """
    joins: dict[Key, list[Key]] = {}
    level, depth = list(keys), 0
    while len(level) > most:
        groups = [level[i : i + most] for i in range(0, len(level), most)]
        level = [(*name, depth, i) for i in range(len(groups))]
        joins |= zip(level, groups, strict=True)
        depth += 1
    return joins, level


def join_into(name: str, keys: Sequence[Key]) -> dict[Key, list[Key]]:
    """Return what is joined to what, up to the one called ``name``.

    Examples
    --------
    >>> join_into("all", ["a", "b", "c", "d", "e"])
    {('all-join', 0, 0): ['a', 'b', 'c', 'd'], ('all-join', 0, 1): ['e'], 'all': [('all-join', 0, 0), ('all-join', 0, 1)]}
    """
    joins, left = join_until(keys, FAN_IN, (f"{name}-join",))
    return {**joins, name: left}
