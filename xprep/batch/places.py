"""No result of a batch may cost an input or another result: where everything lies, compared before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from xprep.batch.recipe import Recipe
from xprep.io.locations import Location, describe_overlap, locate, overlaps
from xprep.options import options, set_options


def check_places(recipe: Recipe, outputs: Iterable[str], inputs: Iterable[str]) -> None:
    """Refuse outputs that are, hold or lie in an input or another output, and a scratch folder that lies in one of these.

    Two inputs that are one place by two names are refused as well: their images would be made, and count, twice.

    Raises
    ------
    RecipeError
        It names both, with the line and the key.
    """
    made, read = _located(outputs, recipe.storage_options), _located(inputs, recipe.storage_options)
    for one, other in overlaps(made, made):
        recipe.refuse("output", f"the outputs {one.shown} and {other.shown} {describe_overlap(one, other)}.")
    for one, other in overlaps(made, read):
        recipe.refuse(
            "output",
            f"the output {one.shown} and the input {other.shown} {describe_overlap(one, other)}: the input would be lost. Give "
            "another output.",
        )
    for one, other in overlaps(read, read):
        if one.lies_in(other) and other.lies_in(one):
            recipe.refuse("inputs", f"{one.shown} and {other.shown} are one place; give it once.")
    with set_options(**recipe.settings):
        scratch = _located(filter(None, [options().scratch_url]), options().scratch_options or {})
    for one, other in overlaps(scratch, [*made, *read]):
        if one.lies_in(other):
            recipe.refuse("settings", f"the scratch folder {one.shown} lies in {other.shown}; give one outside of all images.")


def check_report(report: str | Path, recipe: Recipe, others: Iterable[str | Path]) -> None:
    """Refuse a report that would be written over or into one of ``others``: inputs, outputs, the recipe itself.

    Raises
    ------
    ValueError
        It names both.
    """
    here, there = (_located(map(str, urls), recipe.storage_options) for urls in ([report], others))
    for one, other in overlaps(here, there):
        raise ValueError(f"the report {one.shown} and {other.shown} {describe_overlap(one, other)}. Give another file.")


def _located(urls: Iterable[str], storage_options: Mapping[str, Any]) -> list[Location]:
    """Return where places are; those that cannot be opened are images that fail, with a reason, when it is their turn."""
    found = []
    for url in dict.fromkeys(urls):
        try:
            found.append(locate(url, storage_options))
        except (ValueError, OSError, ImportError):
            continue
    return found
