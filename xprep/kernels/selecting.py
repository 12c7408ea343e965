"""From counts of digits to the keys of wanted ranks."""

from __future__ import annotations

import numpy as np


def find_digits(counts: np.ndarray, prefixes: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the next prefixes and the ranks among the values that share them.

    Parameters
    ----------
    counts : (m, digits)
        Counts of one group, summed over all blocks.
    prefixes : (m,) uint64
        Those of the round that was counted, sorted.
    ranks : (m,) int64
        Ranks (from 0) among the values that share each prefix, ascending where prefixes are equal.

    Returns
    -------
    prefixes : (m,) uint64
        One digit longer, still sorted; after the last round they are the keys of the wanted values.
    ranks : (m,) int64
        For the next round.

    Raises
    ------
    ValueError
        A rank that is not below the number of counted values.

    Examples
    --------
    >>> counts = np.zeros((2, 65536), np.int64)  # pixels 7, 7, 9; equal prefixes share the first slot
    >>> counts[0, 7], counts[0, 9] = 2, 1
    >>> find_digits(counts, np.zeros(2, np.uint64), np.array([1, 2]))[0].tolist()
    [7, 9]
    """
    next_prefixes, next_ranks = np.empty(len(ranks), np.uint64), np.empty(len(ranks), np.int64)
    slots = np.searchsorted(prefixes, prefixes)
    for slot in np.unique(slots):
        mine = slots == slot
        reached = np.cumsum(counts[slot], dtype=np.int64)
        wanted = ranks[mine]
        if ((wanted < 0) | (wanted >= reached[-1])).any():
            raise ValueError(f"ranks must be from 0 to {reached[-1] - 1}; got {wanted.tolist()}.")
        digits = np.searchsorted(reached, wanted, side="right")
        next_prefixes[mine] = prefixes[mine] * np.uint64(counts.shape[1]) + digits.astype(np.uint64)
        next_ranks[mine] = wanted - np.where(digits > 0, reached[digits - 1], 0)
    return next_prefixes, next_ranks
