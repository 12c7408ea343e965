"""Names of channels as people read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def spell_channel(name: Any) -> str:
    """Return a name as people read it.

    >>> spell_channel("CD3"), spell_channel((1, "DAPI"))
    ('CD3', '1 DAPI')
    """
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def channel_titles(names: Sequence[Any]) -> tuple[str, ...]:
    """Return names that tell channels apart: with the position, where several have one name.

    >>> channel_titles(["DAPI", "CD3", "DAPI"])
    ('DAPI (position 0)', 'CD3', 'DAPI (position 2)')
    """
    texts = list(map(spell_channel, names))
    count = Counter(texts)
    return tuple(f"{text} (position {i})" if count[text] > 1 else text for i, text in enumerate(texts))
