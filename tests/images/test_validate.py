"""`validate` finds what was broken on purpose; and what `open_image` and `to_ome_zarr` refuse."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

import xprep
from tests.images.test_pyramids import image_of, labels_of
from xprep.cli.app import app
from xprep.errors import StoreFormatError


def write(url: Path, **options: Any) -> Path:
    image = image_of("cyx")
    how = {"scale_factors": (2, 2), "chunks": {"y": 16, "x": 16}, "labels": {"cells": labels_of(image)}} | options
    image.prep.to_ome_zarr(url, **how)
    return url


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "a.zarr")


@pytest.fixture
def url(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy.zarr"))


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("layout", ["dual", "flat"])
@pytest.mark.parametrize("method", ["mean", "max", "nearest", "gaussian"])
def test_what_xprep_writes_is_valid(tmp_path: Path, version: str, layout: str, method: str) -> None:
    found = xprep.validate(write(tmp_path / "a.zarr", version=version, layout=layout, method=method))
    assert found.is_valid, str(found)
    assert {finding.state for finding in found.findings} <= {"ok", "skipped"}
    skipped = [finding for finding in found.findings if finding.state == "skipped"]
    assert all("is not installed" in finding.detail for finding in skipped)
    assert f"2 levels are the {method} of level 0 in 4 regions each, to the bit" in str(found)
    assert "2 levels are the mode of level 0" in str(found)
    assert len(found.arrays) == 6
    assert sum(array.missing for array in found.arrays) == 0
    assert all(array.checksum for array in found.arrays)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def root(url: Path, change: Callable[[Any], None]) -> None:
    edit(url / "zarr.json", lambda data: change(data["attributes"]))


def entry(attributes: Any) -> Any:
    return attributes["ome"]["multiscales"][0]


def lose_a_chunk(url: Path) -> None:
    (url / "scale1/image/c/1/1/0").unlink()


def swap_chunks(url: Path) -> None:
    shutil.copy(url / "scale2/image/c/0/0/0", url / "scale2/image/c/1/0/0")


def lose_an_array(url: Path) -> None:
    (url / "scale2/image/zarr.json").unlink()


def shift_a_level(url: Path) -> None:
    def change(attributes: Any) -> None:
        entry(attributes)["datasets"][1]["coordinateTransformations"][1]["translation"][2] += 0.25

    root(url, change)


def scale_a_level(url: Path) -> None:
    def change(attributes: Any) -> None:
        entry(attributes)["datasets"][2]["coordinateTransformations"][0]["scale"][2] *= 1.1

    root(url, change)


def drop_axes(url: Path) -> None:
    root(url, lambda attributes: entry(attributes).pop("axes"))


def lie_about_the_method(url: Path) -> None:
    root(url, lambda attributes: entry(attributes).update(type="max"))


def lie_about_the_version(url: Path) -> None:
    root(url, lambda attributes: attributes["ome"].update(version="0.9"))


def list_labels_that_are_not_there(url: Path) -> None:
    edit(url / "labels/zarr.json", lambda data: data["attributes"]["ome"]["labels"].append("nuclei"))


def list_labels_elsewhere(url: Path) -> None:
    edit(url / "labels/zarr.json", lambda data: data["attributes"]["ome"]["labels"].append("../../x"))


def move_a_coordinate(url: Path) -> None:
    shutil.copytree(url / "scale1/y", url / "scale1/x", dirs_exist_ok=True)


def cut_a_chunk(url: Path) -> None:
    chunk = url / "scale0/image/c/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-9])


def swap_axes_of_an_array(url: Path) -> None:
    edit(url / "scale0/image/zarr.json", lambda data: data.update(dimension_names=["c", "x", "y"]))


def begin_again(url: Path) -> None:
    root(url, lambda attributes: attributes.update(xprep={"status": "writing"}))


def blend_labels(url: Path) -> None:
    shutil.copytree(url / "labels/cells/scale2", url / "scale9")
    labels = xprep.open_image(url, label="cells").assign_coords(c="x")
    other = url.with_name("other.zarr")
    image_of("cyx").prep.to_ome_zarr(
        other, scale_factors=(2, 2), chunks={"y": 16, "x": 16}, labels={"cells": labels + 1 - labels.clip(0, 1)}
    )
    shutil.rmtree(url / "scale9")
    shutil.copytree(other / "labels/cells/scale2", url / "labels/cells/scale2", dirs_exist_ok=True)


def other_labels(url: Path) -> None:
    small = url.with_name("small.zarr")
    cut = image_of("cyx").isel(y=slice(0, 30))
    labels = labels_of(image_of("cyx")).isel(y=slice(0, 30))
    cut.prep.to_ome_zarr(small, scale_factors=(2, 2), chunks={"y": 16, "x": 16}, labels={"cells": labels})
    shutil.rmtree(url / "labels")
    shutil.copytree(small / "labels", url / "labels")


BREAKAGES = [
    (lose_a_chunk, r"1 of 12 objects are not there, the first is 'c/1/1/0'"),
    (swap_chunks, "level 2 is not the mean of level 0 at .*pixels differ"),
    (lose_an_array, "scale2/image"),
    (shift_a_level, "begin at"),
    (scale_a_level, "no whole numbers"),
    (drop_axes, "axes.*is missing"),
    (lie_about_the_method, "not the max of level 0"),
    (lie_about_the_version, "version '0.9'"),
    (list_labels_that_are_not_there, "labels/nuclei: it is listed, and not there"),
    (list_labels_elsewhere, r"\.\./\.\./x"),
    (move_a_coordinate, "scale1/x: "),
    (cut_a_chunk, "c/0/0/0"),
    (swap_axes_of_an_array, "its dimensions are"),
    (begin_again, "nobody knows who wrote it"),
    (blend_labels, "labels/cells: level 2 is not the mode of level 0"),
    (other_labels, "level 0 does not fit the image"),
]


@pytest.mark.parametrize(("breakage", "text"), BREAKAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_what_was_broken_is_found(url: Path, breakage: Callable[[Path], None], text: str) -> None:
    before = xprep.validate(url)
    breakage(url)
    found = xprep.validate(url, samples=6)
    assert not found.is_valid
    failed = [str(finding) for finding in found.findings if finding.state == "failed"]
    assert len(failed) <= 3, failed
    assert any(re.search(text, line) for line in failed), failed
    assert found.checksum != before.checksum


def test_stores_of_others_are_warned_about_and_not_failed(url: Path) -> None:
    def change(attributes: Any) -> None:
        attributes.pop("xprep")
        entry(attributes).pop("metadata")

    root(url, change)
    lose_a_chunk(url)
    (url / "scale1/image/.xprep/manifest.npy").unlink()
    found = xprep.validate(url)
    assert found.is_valid
    assert [finding.what for finding in found.findings if finding.state == "warning"] == ["chunks", "levels"]
    assert "fill value" in str(found)
    root(url, lambda attributes: entry(attributes).pop("type"))
    (skipped,) = [one for one in xprep.validate(url).findings if one.state == "skipped" and one.what == "levels"]
    assert "nobody wrote down" in skipped.detail


def test_the_report_has_a_checksum_that_anybody_can_compute(url: Path, whole: Path) -> None:
    report = json.loads(xprep.validate(url).to_json())
    content = {key: value for key, value in report.items() if key not in ("url", "checksum")}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert report["checksum"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert report["checksum"] == xprep.validate(whole).checksum, "equal stores have equal reports, wherever they lie"
    assert report["valid"] is True


def test_a_plate_is_checked_image_by_image(whole: Path, tmp_path: Path) -> None:
    plate = {
        "columns": [{"name": "1"}],
        "rows": [{"name": "A"}],
        "wells": [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}],
    }
    group: dict[str, Any] = {"zarr_format": 3, "node_type": "group"}
    for path, ome in [("", {"plate": plate}), ("A/1", {"well": {"images": [{"path": "0"}, {"path": "1"}]}})]:
        (tmp_path / "plate.zarr" / path).mkdir(parents=True, exist_ok=True)
        text = json.dumps({**group, "attributes": {"ome": {"version": "0.5", **ome}}})
        (tmp_path / "plate.zarr" / path / "zarr.json").write_text(text)
    for n in "01":
        shutil.copytree(whole, tmp_path / "plate.zarr/A/1" / n)
    found = xprep.validate(tmp_path / "plate.zarr")
    assert found.is_valid
    assert len(found.arrays) == 12
    lose_a_chunk(tmp_path / "plate.zarr/A/1/1")
    failed = [one for one in xprep.validate(tmp_path / "plate.zarr").findings if one.state == "failed"]
    assert {one.where for one in failed} == {"A/1/1", "A/1/1/scale1/image"}


def test_the_command(url: Path, tmp_path: Path) -> None:
    run = CliRunner()
    good = run.invoke(app, ["validate", str(url), "--output", str(tmp_path / "report.json")])
    assert good.exit_code == 0, good.output
    assert "valid" in good.stdout
    assert json.loads((tmp_path / "report.json").read_text())["valid"] is True
    lose_a_chunk(url)
    bad = run.invoke(app, ["validate", str(url), "--json"])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["valid"] is False
    (tmp_path / "nothing").mkdir()
    assert run.invoke(app, ["validate", str(tmp_path / "nothing")]).exit_code == 2
    assert run.invoke(app, ["validate", str(tmp_path / "gone")]).exit_code == 2
    assert run.invoke(app, ["validate", str(url), "--samples", "0"]).exit_code == 2


# What is refused when images are opened: see test_bad_stores too


def test_only_whole_numbers_of_levels_and_names_that_are_names(url: Path) -> None:
    with pytest.raises(KeyError, match="has no labels"):
        xprep.open_image(url, label="../x")
    with pytest.raises(StoreFormatError, match="levels 0 … 2"):
        xprep.open_image(url, level=3)


# What is refused when images are written: before anything is made


def refuse_writes() -> list[tuple[Callable[[xr.DataArray], dict[str, Any]], str]]:
    return [
        (lambda i: {"labels": {"../x": labels_of(i)}}, "x"),
        (lambda i: {"labels": {"a/b": labels_of(i)}}, "a/b"),
        (lambda i: {"labels": {"": labels_of(i)}}, "name"),
        (lambda i: {"labels": {"cells": labels_of(i)[:5].drop_vars("y", errors="ignore")}}, "do not fit the image"),
        (lambda i: {"labels": {"cells": labels_of(i).astype(float)}}, "whole numbers"),
        (lambda i: {"labels": {"cells": labels_of(i).assign_coords(x=i.x + 1)}}, "not lie on the image"),
        (lambda i: {"labels": {"cells": labels_of(i).assign_coords(x=i.x * 1.1)}}, "apart along 'x'"),
        (lambda i: {"method": "mode2"}, "method"),
        (lambda i: {"version": "0.3"}, "version"),
        (lambda i: {"layout": "deep"}, "layout"),
        (lambda i: {"chunks": {"y": 0}}, "positive whole numbers"),
        (lambda i: {"chunks": {"y": -7}}, "positive whole numbers"),
        (lambda i: {"chunks": {"q": 7}}, "the dim 'q'"),
        (lambda i: {"shards": {"y": 24}, "chunks": {"y": 16}}, "multiple"),
        (lambda i: {"shards": {"y": 32, "x": 32}, "chunks": {"y": 16, "x": 16}, "version": "0.4"}, "no shards"),
        (lambda i: {"scale_factors": (0,)}, "whole numbers"),
        (lambda i: {"scale_factors": 2}, "sequence"),
    ]


@pytest.mark.parametrize(("options", "text"), refuse_writes())
def test_wrong_arguments_leave_nothing_behind(
    tmp_path: Path, options: Callable[[xr.DataArray], dict[str, Any]], text: str
) -> None:
    image = image_of("cyx")
    with pytest.raises((ValueError, TypeError), match=text):
        image.prep.to_ome_zarr(tmp_path / "a.zarr", **options(image))
    assert not (tmp_path / "a.zarr").exists()


def test_coordinates_that_omezarr_cannot_say_are_refused(tmp_path: Path) -> None:
    image = image_of("yx")
    backwards = image.isel(y=slice(None, None, -1))
    uneven = image.assign_coords(y=np.arange(43.0) ** 2)
    still = image.assign_coords(y=np.zeros(43))
    unknown = image.assign_coords(y=np.where(np.arange(43) == 3, np.nan, np.arange(43.0)))
    for wrong, text in [
        (backwards, "runs backwards"),
        (uneven, "not evenly spaced"),
        (still, "all the same"),
        (unknown, "not finite"),
    ]:
        with pytest.raises(ValueError, match=text):
            wrong.prep.to_ome_zarr(tmp_path / "a.zarr")
        assert not (tmp_path / "a.zarr").exists()
