"""Time whole programs in interleaved rounds: wall seconds, CPU seconds, peak resident memory; the median of each."""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import time


def run(command: str) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak MiB of a process (of its children, those it waited for)."""
    start = time.perf_counter()
    process = subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"failed: {command}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("commands", nargs="+")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--warm-up", action="store_true", help="one round more, first, which is not counted")
    given = arguments.parse_args()
    found: dict[str, list[tuple[float, float, float]]] = {command: [] for command in given.commands}
    for n in range(-int(given.warm_up), given.rounds):
        for command, runs in found.items():
            measured = run(command)
            print(
                f"round {n}: {measured[0]:6.2f} s {measured[1]:6.2f} CPU-s {measured[2]:6.0f} MiB  {command}",
                flush=True,
            )
            if n >= 0:
                runs.append(measured)
    for command, runs in found.items():
        wall, cpu, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"median : {wall:6.2f} s {cpu:6.2f} CPU-s {memory:6.0f} MiB  {command}")


if __name__ == "__main__":
    main()
