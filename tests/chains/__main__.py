"""Chains for as long as one likes, by hand."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections import Counter

import tests.chains
from tests.chains.drawing import drawn
from tests.chains.places import lab
from tests.chains.running import DifferentError, check
from tests.chains.shrinking import shrunk
from tests.helpers.servers import moto

BATCH = 10  # chains of one seed


def main() -> int:
    """Draw chains and run them; print each that differs, made smaller, as a program."""
    parser = argparse.ArgumentParser(description=tests.chains.__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of the first batch of 10; the next has the next number")
    parser.add_argument("--s3", action="store_true", help="stores in a bucket too")
    parser.add_argument("--cluster", action="store_true", help="a cluster of two workers too")
    parser.add_argument("--tries", type=int, default=60, help="to make a chain smaller")
    given = parser.parse_args()
    logging.disable(logging.ERROR)
    found: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(moto()) if given.s3 else None
        client = None
        if given.cluster:
            import distributed

            options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
            client = stack.enter_context(distributed.Client(**options, set_as_default=False))
        number, end = given.seed, time.monotonic() + 60 * given.minutes
        while time.monotonic() < end:
            for chain in drawn(number, BATCH, server=given.s3, cluster=given.cluster):
                with lab(server, client) as here:
                    try:
                        found[check(chain, here)] += 1
                    except DifferentError as error:
                        found["DIFFERENT"] += 1
                        _say(f"--- seed {number}\n{shrunk(error, lambda one: check(one, here), given.tries)}")
                if time.monotonic() > end:
                    break
            if number % 10 == 0:
                _say(f"{time.strftime('%H:%M:%S')} seed {number}: {sum(found.values())} chains, {found['DIFFERENT']} differ")
            number += 1
    for text, count in found.most_common():
        _say(f"{count:6d}  {text.splitlines()[0][:200]}")
    return 1 if found["DIFFERENT"] else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
