"""Random chains from a source to a result (tests/chains): those of fixed seeds, and of one that nobody has tried."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.chains import Chain, Image, Step, check, steps
from tests.chains.drawing import drawn
from tests.chains.places import Lab
from tests.chains.running import DifferentError
from tests.chains.shrinking import shrunk
from tests.helpers.servers import Server

COUNT = 10  # chains of a seed
FRESH = random.SystemRandom()


@pytest.fixture
def here(tmp_path: Path, s3: Server, cluster: Any) -> Iterator[Lab]:
    """A folder, a bucket's server and a cluster."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        yield Lab(tmp_path, s3, client)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_chains_of_a_seed(number: int, here: Lab) -> None:
    said = [check(chain, here) for chain in drawn(number, COUNT, server=True, cluster=True)]
    assert said.count("same") >= COUNT / 2, said


@pytest.mark.slow
def test_chains_that_nobody_has_tried(here: Lab) -> None:
    """The seed is printed: ``python -m tests.chains --s3 --cluster --seed`` draws the same."""
    number = FRESH.randrange(1_000_000)
    sys.stdout.write(f"seed {number}\n")
    for chain in drawn(number, COUNT, server=True, cluster=True):
        check(chain, here)


# Chains that once ended otherwise than they should.
FOUND = {
    "a mask minus its background": Chain(
        Image(("c", "y", "x"), (2, 19, 18), "bool", 1589, "even"), Step("numpy"), (Step("subtract_background"),)
    ),
}


@pytest.mark.parametrize("chain", FOUND.values(), ids=FOUND)
def test_what_chains_found(chain: Chain, tmp_path: Path) -> None:
    assert check(chain, Lab(tmp_path)) == "same"


LONG = Chain(
    Image(("c", "y", "x"), (2, 9, 12), "float32", 3, "even"),
    Step("xarray group", {"chunks": {"c": 1, "y": 4, "x": 5}, "zarr_format": 2}),
    (
        Step("isel", {"c": 0}),
        Step("gaussian_filter", {"sigma": 1, "mode": "wrap"}),
        Step("threads"),
        Step("transpose", {"dims": ("x", "y")}),
    ),
)


def test_a_chain_that_fails_is_made_smaller_and_printed_as_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert check(LONG, Lab(tmp_path)) == "same"
    operation = steps.NAMED["gaussian_filter"]

    def wrong(image: Any, **options: Any) -> Any:
        found = operation.call(image, **options)
        return found if found.chunks is None else found + 1

    monkeypatch.setitem(steps.NAMED, "gaussian_filter", replace(operation, call=wrong))
    with pytest.raises(DifferentError) as caught:
        check(LONG, Lab(tmp_path))
    small = shrunk(caught.value, lambda chain: check(chain, Lab(tmp_path)))
    assert [step.name for step in small.chain.steps] == ["gaussian_filter"]
    assert small.chain.steps[0].given == {"sigma": 1}
    with pytest.raises(DifferentError):
        exec(str(small.chain), {})


KINDS_OF_MISTAKES = {
    "coordinates": lambda image: image.assign_coords(y=image.y + 1),
    "dtype": lambda image: image.astype("float64"),
    "attributes": lambda image: image.assign_attrs(lens="20x"),
    "name": lambda image: image.rename("other"),
    "dims": lambda image: image.transpose("x", "y", "c"),
    "values": lambda image: image.where(image.y > image.y[0], 0),
}


@pytest.mark.parametrize("mistake", KINDS_OF_MISTAKES.values(), ids=KINDS_OF_MISTAKES)
def test_every_kind_of_difference_is_seen(mistake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(steps.WAYS, "persist", lambda image: mistake(image.persist()))
    with pytest.raises(DifferentError):
        check(replace(LONG, steps=(Step("persist"),)), Lab(tmp_path))


def test_a_refusal_of_the_lazy_image_alone_is_a_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    operation = steps.NAMED["gaussian_filter"]

    def picky(image: Any, **options: Any) -> Any:
        if image.chunks is not None:
            raise ValueError("not of dask")
        return operation.call(image, **options)

    monkeypatch.setitem(steps.NAMED, "gaussian_filter", replace(operation, call=picky))
    with pytest.raises(DifferentError, match="only the lazy image was refused"):
        check(LONG, Lab(tmp_path))



