"""Marks of other machines: clocks that are ahead, times that are none, names that are no names."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import xprep
from xprep.cli.app import app
from xprep.io.commit.owner import Owner
from xprep.io.commit.scratch import find_scratch, remove_stale
from xprep.io.store.places import open_store

FAR = Owner("far-away", 12, 34, "2020-01-01T00:00:00+00:00")


def later(**much: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=25, **much)).isoformat(timespec="seconds")


CREATED: dict[str, tuple[str | dict[str, float], str]] = {
    "long ago": ("2020-01-01T00:00:00+00:00", r"since 2020-01-01T00:00:00\+00:00\. "),
    "another zone": ("2020-01-01T00:00:00+09:00", r"since 2020-01-01T00:00:00\+09:00\. "),
    "no zone": ("2020-01-01T00:00:00", "since 2020-01-01T00:00:00"),
    "a little ahead": ({}, "since 20"),
    "minutes ahead": ({"minutes": 20}, "by a clock that is 20 minutes ahead of this machine's, or was"),
    "days ahead": ({"days": 40}, "by a clock that is 40 days ahead of this machine's, or was"),
    "the end of time": ("9999-12-31T23:59:59+00:00", r"by a clock that is \d+ days ahead"),
    "beyond it": ("9999-12-31T23:59:59-23:59", "since"),
    "no time": ("yesterday", r"since a time that cannot be read \('yesterday'\)"),
    "nothing": ("", r"since a time that cannot be read \(''\)"),
    "pages": ("9" * 100_000, r"since a time that cannot be read \('9{80}…'\)"),
    "all that is shown": ("9" * 80, r"since a time that cannot be read \('9{80}'\)"),
    "a letter more": ("9" * 81, r"since a time that cannot be read \('9{80}…'\)"),
    "an escape": ("\x1b[31mred", r"since a time that cannot be read \('\?\[31mred'\)"),
}


@pytest.mark.parametrize(("created", "says"), CREATED.values(), ids=CREATED)
def test_times_of_others(created: str | dict[str, float], says: str, tmp_path: Path) -> None:
    """Every command says something sane of a store that such a mark is in; and a run goes on with it, or replaces it."""
    image = xprep.datasets.blobs(channels=1, shape=(32, 32))
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), fingerprint="one")
    created = created if isinstance(created, str) else later(**created)
    whole = xprep.open_image(tmp_path / "a.zarr").values
    root = tmp_path / "a.zarr/zarr.json"
    metadata = json.loads(root.read_text())
    metadata["attributes"]["xprep"] |= {"status": "writing", "ready": True, "owner": replace(FAR, created=created).to_json()}
    for how in ({"resume": True, "fingerprint": "one"}, {"overwrite": True}):
        root.write_text(json.dumps(metadata))
        with pytest.raises(xprep.UnfinishedStoreError, match=rf"it was begun by process 12 on far-away, .*{says}") as caught:
            xprep.open_image(tmp_path / "a.zarr")
        assert len(str(caught.value)) < 600 + len(str(tmp_path))
        assert "-" not in str(caught.value).partition("ahead")[0].rpartition("is ")[2], "no negative age"
        with pytest.raises(xprep.StoreExistsError, match="resume=True goes on with it"):
            image.prep.to_ome_zarr(tmp_path / "a.zarr")
        image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), **how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, whole)
    root.write_text(json.dumps(metadata))
    recipe = {"inputs": str(tmp_path / "in.zarr"), "steps": ["normalize"], "output": str(tmp_path / "a.zarr")}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    for command in (["status", "recipe.yaml"], ["info", "a.zarr"], ["validate", "a.zarr"]):
        result = CliRunner().invoke(app, [command[0], str(tmp_path / command[1])])
        assert "far-away" in result.output
        assert "\x1b" not in result.output


def test_ages_are_never_negative(tmp_path: Path) -> None:
    for created, age in ((later(days=1), 0.0), ("yesterday", 0.0), ("2020-01-01T00:00:00", 6e7)):
        assert replace(FAR, created=created).age_seconds >= age
        open_store(tmp_path / "xprep-scratch-far", mode="r+").write_json("lease.json", replace(FAR, created=created).to_json())
        (left,) = find_scratch(tmp_path)
        assert left.age_seconds is not None
        assert left.age_seconds >= age
        assert remove_stale(tmp_path) == [], "whether it runs cannot be known from here"


@pytest.mark.parametrize("value", [{"pid": 2**70}, {"process_start": 2**70}, {"host": "[red]\n\x1b[2J" * 99}], ids=str)
def test_marks_that_nobody_writes(value: dict[str, Any]) -> None:
    owner = replace(Owner.here(), **value)
    assert owner.is_alive in (False, None)
    assert Owner.from_json(owner.to_json()) == owner
    assert str(owner).isprintable()
    assert len(str(owner)) < 250


def test_a_source_whose_time_is_in_the_future(tmp_path: Path) -> None:
    """The fingerprint takes the time of its metadata as it is: another is another source, whichever is later."""
    source = tmp_path / "in.zarr"
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(source)
    ahead = datetime.now(UTC).timestamp() + 4e7
    os.utime(source / "zarr.json", (ahead, ahead))
    job = xprep.open_image(source).prep.normalize(sigma=1)
    job.prep.to_ome_zarr(tmp_path / "a.zarr")
    again = xprep.open_image(source).prep.normalize(sigma=1).prep.to_ome_zarr(tmp_path / "a.zarr", resume=True)
    assert again.units == 0
