"""A chain that fails is made smaller: steps and parameters are left out while it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.chains.model import Chain, Step
from tests.chains.running import DifferentError


def _smaller(chain: Chain) -> Iterator[Chain]:
    """Yield chains with less in them, the most promising first."""
    for i in range(len(chain.steps)):
        yield replace(chain, steps=chain.steps[:i])
    for i in range(len(chain.steps)):
        yield replace(chain, steps=chain.steps[:i] + chain.steps[i + 1 :])
    simple = (Step("numpy"), Step("dask", {"chunks": {}}))
    for source in simple[: simple.index(chain.source) if chain.source in simple else None]:
        yield replace(chain, source=source)
    for i, step in enumerate((chain.source, *chain.steps)):
        for name in step.given:
            less = Step(step.name, {key: value for key, value in step.given.items() if key != name})
            yield replace(chain, source=less) if i == 0 else replace(
                chain, steps=(*chain.steps[: i - 1], less, *chain.steps[i:])
            )
    for name in chain.options:
        yield replace(chain, options={key: value for key, value in chain.options.items() if key != name})
    for name, values in (("gaps", (0.0,)), ("places", ("none", "even")), ("dtype", ("uint8", "float32"))):
        now = getattr(chain.image, name)
        for value in values[: values.index(now) if now in values else None]:
            yield replace(chain, image=replace(chain.image, **{name: value}))


def _kind(error: DifferentError) -> tuple[str, str, str]:
    return error.at.name, type(error.why).__name__, str(error.why)[:25]


def shrunk(error: DifferentError, check: Callable[[Chain], object], tries: int = 60) -> DifferentError:
    """Return the smallest chain that fails like `error`, after a number of tries."""
    best = error
    while True:
        for chain in _smaller(best.chain):
            if tries <= 0:
                return best
            tries -= 1
            try:
                check(chain)
            except DifferentError as found:
                if _kind(found) == _kind(error):
                    best = found
                    break
            except Exception:  # noqa: BLE001  a chain that cannot be run is no smaller one
                continue
        else:
            return best
