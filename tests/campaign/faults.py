"""Requests that a network or a server spoils, at random; of runs on threads or on a cluster."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tests.campaign.lab import Lab, Outcome, finish, job, look_at_error, look_at_ruin, make_source
from tests.helpers.crashes import objects
from tests.helpers.faulty import FaultProxy, Rule
from tests.helpers.servers import Server

# What a server or network can do to one request; the rest of the pattern says to which.
FAULTS = (
    "503",
    "500",
    "reset",
    "reset_after",
    "reset_mid",
    "truncate",
    "lie",
    "404",
    "flip",
    "drop_put",
    "hang:2",
    "latency:0.3",
)
# By hand as well: a server that is silent for longer than a client waits, and than a whole run may take.
LONG_FAULTS = (*FAULTS, "hang:100")
READS, WRITES, ANY = r"^GET .*/c/", r"^PUT .*/(c/|\.xprep/)", r"^(GET|PUT|HEAD) "
FITTING = {
    "404": (READS,), "flip": (READS,), "lie": (READS,), "truncate": (READS, ANY), "reset_mid": (READS, ANY),
    "drop_put": (WRITES, r"^PUT "), "reset_after": (WRITES, r"^PUT "),
}  # fmt: skip


def fault_trials(
    count: int,
    seed: int,
    server: Server,
    faults: Sequence[str] = FAULTS,
    patient: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Outcome:
    """Disturb requests until ``count`` faults were injected; ``patient``: half of the clients have botocore's own retries.

    Where a distributed client is active, its workers do the requests.
    """
    chance, outcome = random.Random(seed), Outcome(tell)
    port = int(server.endpoint.rpartition(":")[2])
    with FaultProxy(port, seed) as proxy:
        bucket = server.new_bucket()
        source, direct = f"{bucket}/source.zarr", server.storage_options()
        make_source(source, direct)
        job(source, f"{bucket}/unbroken.zarr", direct)
        expected = objects(f"{bucket}/unbroken.zarr", direct)
        while sum(proxy.injected.values()) < count:
            through = behind_proxy(direct, proxy, quick=not patient or chance.random() < 0.5)
            proxy.set(*(_rule(chance, faults) for _ in range(chance.choice((1, 1, 2, 3)))))
            _disturb(proxy, outcome, Lab(source, bucket, through, expected))
            outcome.injected = Counter(proxy.injected)
            outcome.end_trial()
    return outcome


def behind_proxy(direct: dict[str, Any], proxy: FaultProxy, quick: bool = True) -> dict[str, Any]:
    """Return options that lead through the proxy; ``quick``: s3fs tries five times, and not botocore five times each."""
    found = {**direct, "client_kwargs": {**direct["client_kwargs"], "endpoint_url": proxy.endpoint}}
    if quick:
        found["config_kwargs"] = {**direct.get("config_kwargs", {}), "retries": {"max_attempts": 1}}
    return found


def _disturb(proxy: FaultProxy, outcome: Outcome, lab: Lab) -> None:
    url, before = lab.url(outcome.trials + 1), sum(proxy.injected.values())
    start, error, outcome.about = time.monotonic(), None, f"after {proxy.rules}"
    try:
        job(lab.source, url, lab.options, resume=True)
    except Exception as caught:  # noqa: BLE001  (whatever it is, it is looked at)
        error = caught
    outcome.note_time(url, time.monotonic() - start)
    proxy.set()
    outcome.disturbed += sum(proxy.injected.values()) > before
    if error is not None:
        outcome.errors[type(error).__name__] += 1
        outcome.about += f"; {type(error).__name__}: {error}"
        look_at_error(error, url, outcome)
        look_at_ruin(url, lab.options, outcome)
        finish(lab, url, outcome)
    else:
        outcome.succeeded += 1
        if objects(url, lab.options) != lab.expected:
            outcome.complain(url, "it succeeded and differs from the unbroken store")


def _rule(chance: random.Random, faults: Sequence[str]) -> Rule:
    fault = chance.choice(faults)
    match = chance.choice(FITTING.get(fault.partition(":")[0], (READS, WRITES, ANY)))
    if chance.random() < 0.5:
        return Rule(match, fault, times=chance.choice((1, 2, 5)), skip=chance.randrange(40))
    # Of the slow ones only a few: the trials would take hours.
    times = {"hang:100": 1}.get(fault, 5 if ":" in fault else 40)
    return Rule(match, fault, p=chance.choice((0.02, 0.1, 0.3)), times=times)
