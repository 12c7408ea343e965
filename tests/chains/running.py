"""A chain is run on a lazy image and, beside it, on one in memory, of which every operation is compared with its oracle."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

import xprep
from tests.chains.model import Chain, Step
from tests.chains.places import PLACES, Lab, lab, same_pixels
from tests.chains.steps import NAMED, SELECTIONS, do, operate
from tests.laws.dense import DoubtfulError
from tests.laws.operations import assert_matches, assert_same_bits, input_scale

REFUSALS = (ValueError, TypeError, KeyError, NotImplementedError)


class Refused(Exception):
    """Both images were refused alike: there is nothing to compare."""


class DifferentError(AssertionError):
    """A chain whose result is wrong."""

    def __init__(self, chain: Chain, at: Step, why: BaseException) -> None:
        super().__init__(f"{at}: {type(why).__name__}: {str(why)[:800]}\n{chain}")
        self.chain, self.at, self.why = chain, at, why


def check(chain: Chain, here: Lab | None = None) -> str:
    """Run a chain; raise `DifferentError` where it goes wrong. Returns "same", or why it was refused."""
    if here is None:
        with lab() as made:
            return check(chain, made)
    with warnings.catch_warnings(), xprep.set_options(progress="off", **chain.options), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return _run(chain, here)


def _run(chain: Chain, here: Lab) -> str:
    plain = chain.image.make()
    image, exact = plain, True
    for step in (chain.source, *chain.steps, Step("threads")):
        try:
            image, plain, exact = advance(step, image, plain, exact, here)
        except Refused as refused:
            return f"{step.name}: {refused}"
        except DoubtfulError:
            return "doubtful"
        except Exception as error:
            raise DifferentError(chain, step, error) from error
    return "same"


def advance(step: Step, image: Any, plain: xr.DataArray, exact: bool, here: Lab) -> tuple[Any, xr.DataArray, bool]:
    """Do a step with the lazy image and with the plain one; compare what is known of them so far."""
    if step.name in NAMED:
        wanted, failure = attempt(lambda: dense_step(step, plain))
        image = alike(lambda: do(step, image, here), failure)
        same_outside(image, wanted)
        return image, wanted, exact and NAMED[step.name].exact
    if step.name in SELECTIONS:
        wanted, failure = attempt(lambda: do(step, plain, here))
        image = alike(lambda: do(step, image, here), failure, words=False)
        same_outside(image, wanted)
        return image, wanted, exact
    if step.name in PLACES:
        try:
            image = do(step, image, here)
        except REFUSALS as error:
            if is_somebody_elses(error) and step.name != "to_zarr":  # which is xarray's, and refuses ragged chunks
                raise
            raise Refused(str(error)) from error
        plain = same_pixels(image, plain, bare=step.name == "bare")
        plain = plain.astype(image.dtype) if step.given.get("packed") else plain
    else:
        image = do(step, image, here)
    same_outside(image, plain)
    same_values(image.compute(), plain, exact)
    return image, plain, exact


def is_somebody_elses(error: BaseException) -> bool:
    """Whether it was not xprep that refused."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is None or "/xprep/" not in trace.tb_frame.f_code.co_filename


def attempt(call: Any) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except REFUSALS as error:
        return None, error


def alike(call: Any, failure: BaseException | None, words: bool = True) -> Any:
    """Return the lazy result; where the plain image was refused, the lazy one must be too. `words`: by xprep, not by others."""
    found, refused = attempt(call)
    if failure is None and refused is None:
        return found
    if failure is None:
        raise AssertionError(f"only the lazy image was refused: {refused!r}") from refused
    if refused is None:
        raise AssertionError(f"only the image in memory was refused: {failure!r}") from failure
    if type(refused) is not type(failure):
        raise AssertionError(f"{refused!r} of the lazy image, {failure!r} of that in memory")
    if words and is_somebody_elses(failure):
        raise failure
    raise Refused(str(failure)) from failure


def dense_step(step: Step, plain: xr.DataArray) -> xr.DataArray:
    """Do an operation on an image in memory, and compare it with its oracle."""
    operation = NAMED[step.name]
    found = operate(plain, step.name, **step.given)
    options = {name: value for name, value in step.given.items() if name != "within"}
    kinds, holes = operation.images.get("dtypes", (plain.dtype.name,)), operation.images.get("nan", True)
    if plain.dtype.name in kinds and (holes or not plain.isnull().any()):
        assert_matches(found, operation.oracle(plain, **options), operation.rtol, input_scale(operation, plain))
    return found


def same_outside(image: Any, plain: Any) -> None:
    """Compare dims, dtype, coordinates, name and attributes, computing nothing."""
    if isinstance(plain, xr.Dataset):
        assert set(image.data_vars) == set(plain.data_vars)
        for name in plain.data_vars:
            same_outside(image[name], plain[name])
        return
    assert image.dims == plain.dims, f"dims {image.dims} for {plain.dims}"
    assert image.shape == plain.shape, f"shape {image.shape} for {plain.shape}"
    assert image.dtype == plain.dtype, f"dtype {image.dtype} for {plain.dtype}"
    assert image.name == plain.name, f"name {image.name!r} for {plain.name!r}"
    have, want = ({k: v for k, v in one.attrs.items() if k != "history"} for one in (image, plain))
    assert have.keys() == want.keys(), f"attributes {have} for {want}"
    different = [name for name in have if isinstance(want[name], str | int) and have[name] != want[name]]
    assert not different, f"attributes {have} for {want}"
    xr.testing.assert_allclose(image.coords.to_dataset(), plain.coords.to_dataset(), rtol=1e-9)


def same_values(have: Any, want: Any, exact: bool) -> None:
    if exact:
        assert_same_bits(have, want)
    else:
        assert_matches(have, want, 1e-4, 0.1)
