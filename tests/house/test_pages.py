"""The pages hang together: every page is in a table of contents, every link leads somewhere, generated tables are true."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

import xprep
from tests import paths
from tests.helpers.sources import counted, refuse

DOCS = paths.ROOT / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md"))
READ_ALONE = [*PAGES, *(paths.ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/README.md"))]
GENERATED = ("_notebooks/", "_api/", "_gallery/")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def generator(name: str) -> Any:
    """Return a module of docs/, which is no package."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))


COSTS = generator("cost_table")


def contents(page: Path) -> list[str]:
    """Return what a page lists in its tables of contents."""
    found = re.findall(r"^```\{toctree\}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines() if line and not line.startswith(":")]


def test_every_page_is_in_one_table_of_contents() -> None:
    listed = [entry for page in PAGES for entry in contents(page)]
    notebooks = [f"_notebooks/{path.stem}" for path in (paths.ROOT / "notebooks").glob("*.ipynb")]
    wanted = [page.stem for page in PAGES if page.stem != "index"] + notebooks + ["_api/commands"]
    assert sorted(listed) == sorted(wanted)


def test_no_section_is_longer_than_a_side_bar_and_none_is_empty() -> None:
    """The header shows six entries before it folds them away; every one has pages of its own beside it."""
    sections = contents(DOCS / "index.md")
    assert 3 <= len(sections) <= 6
    for section in sections:
        assert contents(DOCS / f"{section}.md")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.replace("`", "").lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", READ_ALONE, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        if "://" in link or target.startswith(GENERATED):
            continue
        found = [page.parent / target, page.parent / f"{target}.md"] if target else [page]
        there = [path for path in found if path.is_file()]
        assert there, f"{page.name}: {link}"
        assert not anchor or anchor in anchors(there[0]), f"{page.name}: {link}"


def test_every_notebook_has_one_picture_for_the_first_page() -> None:
    import nbformat

    page = (DOCS / "index.md").read_text(encoding="utf-8")
    for path in (paths.ROOT / "notebooks").glob("*.ipynb"):
        tags = [tag for cell in nbformat.read(path, as_version=4).cells for tag in cell.metadata.get("tags", ())]
        assert tags == ["gallery"]
        assert f"_gallery/{path.stem}.png" in page


def test_the_table_of_costs_has_every_operation() -> None:
    """But those that compute at once, which stand below it."""
    named = {row.call.partition("(")[0] for row in COSTS.ROWS}
    page = (DOCS / "costs.md").read_text(encoding="utf-8")
    below = {name for name in dir(xprep.ImagePrep) if f"`{name}`" in page}
    assert {name for name in dir(xprep.ImagePrep) if name[0] != "_"} == named | below


@pytest.mark.parametrize("row", COSTS.ROWS, ids=lambda row: row.call)
def test_reads_of_the_table_are_those_that_are_counted(row: Any) -> None:
    """Of an image that is cut into whole tiles; what a plan calls possible may be read besides."""
    pixels = np.random.default_rng(0).integers(1, 200, (4, 128, 128)).astype("uint8")
    image, source = counted(xr.DataArray(pixels, dims=("c", "y", "x"), name="image"), {"c": 1, "y": 64, "x": 64})
    with dask.config.set(scheduler=refuse):
        lazy, planned = COSTS.cost(row, image)
    assert lazy
    assert source.total == 0
    result = row.run(image)
    (result[row.variable] if row.variable else result).compute(scheduler="synchronous")
    sure, all_of_them = (sum(one.nbytes for one in planned.passes if not one.maybe or maybe) for maybe in (False, True))
    assert sure / image.nbytes - 0.01 <= source.reads_per_chunk <= all_of_them / image.nbytes + 0.01


def test_a_line_of_the_table_has_what_was_found(tmp_path: Path) -> None:
    (row,) = [row for row in COSTS.ROWS if row.call == "gaussian_filter(2)"]
    line = COSTS.line(row, COSTS.stored(str(tmp_path / "image.zarr"))).split(" | ")
    assert (line[0], line[1:5]) == ("| `gaussian_filter(2)`", ["yes", "8 pixels", "1", "1.0"])


def test_every_command_is_on_its_page() -> None:
    examples = pytest.importorskip("xprep.cli.examples", reason="the extra 'cli' is not installed").EXAMPLES
    page = generator("command_pages").page()
    assert re.findall(r"^## xprep (\w+)$", page, re.MULTILINE) == list(examples)
    for option in ("--p-sum 0-100", "--resume", "--storage-options KEY=VALUE", "IN… OUT"):
        assert f"| `{option}" in page
