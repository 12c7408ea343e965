"""Large campaigns, by hand."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import distributed

import tests.campaign
from tests.campaign.changes import Bench, change_trials
from tests.campaign.clusters import cluster_trials
from tests.campaign.damages import damage_trials
from tests.campaign.faults import LONG_FAULTS, fault_trials
from tests.campaign.kills import kill_trials
from tests.campaign.lab import THREADS, Lab, Outcome, be_quiet, expected_objects, make_source
from tests.campaign.plates import plate_kill_trials
from tests.helpers.servers import Server, moto

Campaign = Callable[[Callable[[str], None]], Outcome]


def main() -> int:
    """Run campaigns, and print what becomes of them: a line every 20 trials, one for whatever is wrong, one at the end."""
    parser = argparse.ArgumentParser(description=tests.campaign.__doc__)
    parser.add_argument("--kills", type=int, default=150, help="of processes, half of them writing to a bucket")
    parser.add_argument("--cluster-kills", type=int, default=60, help="of workers and nannies, half of them writing to a bucket")
    parser.add_argument("--plate-kills", type=int, default=20, help="of one run over a plate of 96 wells")
    parser.add_argument("--faults", type=int, default=1000, help="of HTTP, of runs on threads")
    parser.add_argument("--cluster-faults", type=int, default=60, help="of HTTP, of runs on a cluster")
    parser.add_argument("--changes", type=int, default=200, help="of a source, while it is read and before a run goes on")
    parser.add_argument("--damages", type=int, default=500, help="of a file of a half-done store")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    be_quiet()
    logging.disable(logging.ERROR)
    wrong = 0
    with tempfile.TemporaryDirectory() as name, moto() as server:
        for title, campaign in _campaigns(given, Path(name), server):
            start = time.monotonic()
            outcome = campaign(lambda text, title=title: _say(f"  {title}: {text}"))  # type: ignore[misc]
            wrong += len(outcome.wrong)
            _say(f"{title}, seed {given.seed}, {time.monotonic() - start:.0f} s: {outcome}")
    return 1 if wrong else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _campaigns(given: Any, folder: Path, server: Server) -> Iterator[tuple[str, Campaign]]:
    source, options, seed = str(folder / "source.zarr"), server.storage_options(), given.seed
    make_source(source)
    expected = expected_objects(folder, source)
    for title, trials, count in (
        ("kills of processes", kill_trials, given.kills),
        ("kills in a cluster", cluster_trials, given.cluster_kills),
    ):
        if count:
            here, there = Lab(source, folder / title, None, expected), Lab(source, server.new_bucket(), options, expected)
            yield f"{title}, local", lambda tell, do=trials, n=count - count // 2, lab=here: do(n, seed, lab, tell=tell)
            yield f"{title}, S3", lambda tell, do=trials, n=count // 2, lab=there: do(n, seed, lab, tell=tell)
    if given.plate_kills:
        yield "kills of a plate", lambda tell: plate_kill_trials(given.plate_kills, seed, folder / "plate", tell)
    if given.changes:
        benches = [
            Bench.at(f"{root}/{name}.zarr", how, name == "shards")
            for root, how in ((folder, None), (server.new_bucket(), options))
            for name in ("chunks", "shards")
        ]
        yield "changes of a source", lambda tell: change_trials(given.changes, seed, benches, folder / "changes", tell)
    if given.damages:
        lab = Lab(source, folder / "damages", None, expected)
        yield "damages of a file", lambda tell: damage_trials(given.damages, seed, lab, folder / "damages", tell)
    if given.faults:
        yield "faults", lambda tell: fault_trials(given.faults, seed, server, LONG_FAULTS, patient=True, tell=tell)
    if given.cluster_faults:
        yield "faults in a cluster", lambda tell: _on_cluster(given.cluster_faults, seed, server, tell)


def _on_cluster(count: int, seed: int, server: Server, tell: Callable[[str], None]) -> Outcome:
    with (
        distributed.LocalCluster(n_workers=THREADS, threads_per_worker=1, dashboard_address=None) as found,
        distributed.Client(found),
    ):
        return fault_trials(count, seed, server, LONG_FAULTS, patient=True, tell=tell)


if __name__ == "__main__":
    sys.exit(main())
