"""An operation is told wherever somebody looks for it: a line that is missing in one of these places is seen here."""

from __future__ import annotations

import re

import pytest

import xprep
from tests import paths
from tests.laws.operations import OPERATIONS
from xprep.accessor import _Prep
from xprep.batch.recipe import STEPS

METHODS = sorted(name for name in vars(_Prep) if not name.startswith("_"))
# Where, and how an operation looks there.
PLACES = {
    "reference of functions": ("docs/api.md", r"^   {0}$"),
    "reference of methods": ("docs/api.md", r"^   DataArray\.prep\.{0}$"),
    "every operation in a line": ("docs/operations.md", r"`{0}\("),
    "changes": ("CHANGELOG.md", r"\b{0}\b"),
}
# Without a row of the laws, which are about what is made of pixels: tests of their own hold them.
WITHOUT_A_ROW = {
    "fit_normalize": "tests/ops/test_fit.py; its statistics are the row normalize(statistics=…)",
    "plan": "tests/ops",
    "to_ome_zarr": "tests/images",
    "view": "tests/viewer",
    **dict.fromkeys(("compare", "plot_channels", "plot_histograms", "plot_projections", "plot_rois"), "tests/plot"),
}
# Of one field of an image with other results, or of several images: no step from an image to an image.
NO_STEP = {"background": "a Dataset of the background and numbers about noise", "pyramid": "a DataTree of levels"}


def rows() -> set[str]:
    return {row.name.partition("(")[0] for row in OPERATIONS}


@pytest.mark.parametrize(("page", "line"), PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("method", METHODS)
def test_an_operation_is_told(method: str, page: str, line: str) -> None:
    assert re.search(line.format(method), (paths.ROOT / page).read_text(), re.MULTILINE)


@pytest.mark.parametrize("method", METHODS)
def test_an_operation_is_a_function_too(method: str) -> None:
    assert method in xprep.__all__


def test_all_laws_run_over_every_operation() -> None:
    assert rows() == set(METHODS) - WITHOUT_A_ROW.keys()


def test_what_makes_an_image_of_an_image_is_a_step_of_recipes() -> None:
    same = {row.name.partition("(")[0] for row in OPERATIONS if row.image_out}
    assert same - NO_STEP.keys() <= STEPS.keys()
    assert STEPS.keys() <= set(METHODS)
