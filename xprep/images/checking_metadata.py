"""Whether a group's metadata keep the rules of OME-Zarr, whether others' models take them, and whether the image opens."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any, Final

from xprep.errors import StoreFormatError
from xprep.images.models import check_model
from xprep.images.ome_images import open_level, read_placed
from xprep.images.validation import Collected, State
from xprep.io.groups import Group, list_members, read_group
from xprep.io.node import brief
from xprep.io.ome import Multiscale, Version
from xprep.io.ome_rules import find_faults, find_version
from xprep.io.rules import Doubt

# Of one document; a list of a million wrong wells is said by its first ones.
MOST_FAULTS: Final = 20


def check_document(report: Collected, group: Group, where: str, above: str = "") -> str:
    """Check what a group says against the rules of its version, and against a model; return the version.

    ``above`` is the version of the root of the hierarchy.
    """
    if (found := find_version(group.attributes)) is None:
        said = group.attributes.get("ome", {}).get("version") if isinstance(group.attributes.get("ome"), dict) else None
        report.add("rules", where, "failed", f"version {brief(said)} of OME-Zarr is not known here; 0.4, 0.5 and 0.6 are.")
        return above
    said, version = found
    # Formats derived from a released version ("0.5-dev-spatialdata") have transformations of their own.
    wrong: State = "failed" if said == version or version == "0.6" else "warning"
    faults = list(islice(find_faults(group.attributes, group.zarr_format, version), MOST_FAULTS + 1))
    if above and version != above:
        faults.insert(0, f"its version is {brief(said)}, that of the store {brief(above)}; a hierarchy has one.")
    for fault in faults[:MOST_FAULTS]:
        report.add("rules", where, "warning" if isinstance(fault, Doubt) else wrong, f"OME-Zarr {version}: {fault}")
    if len(faults) > MOST_FAULTS:
        report.add("rules", where, wrong, f"and more: only the first {MOST_FAULTS} are told.")
    if not faults:
        report.add("rules", where, "ok", f"those of OME-Zarr {version} are kept.")
    broken = any(not isinstance(fault, Doubt) for fault in faults)
    excuse = "By the rules of the specification it is right." if not broken else f"{said} is derived from OME-Zarr {version}."
    _ask_model(report, group, version, where, "" if broken and wrong == "failed" else excuse)
    return version


def _ask_model(report: Collected, group: Group, version: Version, where: str, excuse: str) -> None:
    """Add what a model of others says; where there is an ``excuse`` (the rules, a derived format), it is a warning only."""
    found = check_model(group.attributes, version, where)
    if found.state == "failed" and excuse:
        report.add(found.what, where, "warning", f"{found.detail} {excuse}")
    else:
        report.findings.append(found)


def check_opening(report: Collected, group: Group, image: Multiscale, where: str) -> None:
    """Open every level, as `open_image` does: what it refuses is no valid image, what it warns of is told."""
    said: dict[str, None] = {}
    for n in range(len(image.levels)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                opened: Any = open_level(group, read_placed(group, None), n, None)
                del opened
            except (ValueError, TypeError, KeyError, OSError) as error:
                report.add("opening", where, "failed", f"level {n}: {error.args[0] if isinstance(error, KeyError) else error}")
                return
        said |= dict.fromkeys(str(one.message) for one in caught)
    for text in said:
        report.add("opening", where, "warning", text)
    if not said:
        report.add("opening", where, "ok", f"levels that open: {len(image.levels)}.")


def check_between(report: Collected, labels: Group, name: str, where: str) -> None:
    """Check that the groups between ``labels`` and the label image ``name`` say nothing: they are folders, and no more."""
    *parents, _ = name.split("/")
    for depth in range(1, len(parents) + 1):
        path = "/".join(parents[:depth])
        try:
            between = read_group(labels.place.child(path))
        except StoreFormatError as error:
            report.add("metadata", f"{where}/{path}", "failed", str(error))
            continue
        if between is not None and between.attributes:
            text = f"a group between 'labels' and a label image has no metadata; got {brief(sorted(between.attributes))}."
            report.add("rules", f"{where}/{path}", "failed", text)


def check_numbers(report: Collected, group: Group) -> None:
    """Check that the images of bioformats2raw, where no group OME lists them, are numbered from 0 without a gap."""
    try:
        names = [name for name in list_members(group) if name.isdecimal()]
    except OSError:
        return  # what is not there cannot be told where nothing is listed
    if read_group(group.place.child("OME")) is None and set(names) != set(map(str, range(len(names)))):
        text = f"images must be numbered from 0 without a gap, where no group OME lists them; there are {sorted(names)[:20]}."
        report.add("rules", "", "failed", text)
