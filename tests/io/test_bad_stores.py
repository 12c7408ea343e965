"""Stores whose metadata are wrong or hostile: opening says what is wrong, where, and what to do, and follows nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import xprep
from tests.images.test_pyramids import image_of, labels_of

Change = Callable[[Any], Any]
PICKLE = {"name": "numcodecs.pickle", "configuration": {}}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, image = tmp_path_factory.mktemp("whole"), image_of("cyx")
    how: dict[str, Any] = {"scale_factors": (2,), "chunks": {"y": 32, "x": 32}, "labels": {"cells": labels_of(image)}}
    for version in ("0.4", "0.5", "0.6"):
        image.prep.to_ome_zarr(folder / version, version=version, **how)
    return folder


def edit(path: Path, change: Change) -> None:
    metadata = json.loads(path.read_text())
    change(metadata)
    path.write_text(json.dumps(metadata))


def image(version: str, change: Change) -> Callable[[Path], None]:
    """Change what the metadata of OME-Zarr say of the image."""
    if version == "0.4":
        return lambda url: edit(url / ".zattrs", lambda data: change(data["multiscales"][0]))
    return lambda url: edit(url / "zarr.json", lambda data: change(data["attributes"]["ome"]["multiscales"][0]))


def array(version: str, change: Change) -> Callable[[Path], None]:
    """Change the metadata of the first level's array."""
    return lambda url: edit(url / "scale0/image" / (".zarray" if version == "0.4" else "zarr.json"), change)


def scale(values: Any) -> Change:
    return lambda entry: entry["datasets"][0]["coordinateTransformations"][0].update(scale=values)


def shape(*lengths: int) -> Change:
    return lambda metadata: metadata.update(shape=list(lengths))


def chunks(*lengths: int) -> Change:
    return lambda metadata: metadata["chunk_grid"]["configuration"].update(chunk_shape=list(lengths))


def shard_of_pickles(metadata: Any) -> None:
    inside = {"chunk_shape": [1, 16, 16], "codecs": [{"name": "bytes"}, PICKLE], "index_codecs": [{"name": "bytes"}]}
    metadata["codecs"] = [{"name": "sharding_indexed", "configuration": inside}]


def path(value: str) -> Change:
    return lambda entry: entry["datasets"][0].update(path=value)


def of_ome(**changes: Any) -> Callable[[Path], None]:
    return lambda url: edit(url / "zarr.json", lambda data: data["attributes"]["ome"].update(changes))


WAYS = {
    "no axes": ("0.4", image("0.4", lambda one: one.pop("axes")), r"multiscales\[0\]\.axes: is missing: without axes nobody"),
    "no axes, 0.5": ("0.5", image("0.5", lambda one: one.pop("axes")), r"multiscales\[0\]\.axes: is missing"),
    "an axis less": ("0.5", image("0.5", lambda one: one["axes"].pop()), "list of 2 numbers, one per axis"),
    "no systems": ("0.6", image("0.6", lambda one: one.pop("coordinateSystems")), "coordinateSystems: must be a list; got None"),
    "a short scale": ("0.5", image("0.5", scale([1, 1])), r"scale: must be a list of 3 numbers, one per axis; got \[1, 1\]"),
    "a scale of 0": ("0.5", image("0.5", scale([1, 0, 1])), "scale: .*must be positive"),
    "a path outside": ("0.5", image("0.5", path("../x")), r"'\.\./x' is not a path inside"),
    "a path from the root": ("0.5", image("0.5", path("/etc")), "2 levels by its metadata, but that at 'etc' is not there"),
    "a version": ("0.4", image("0.4", lambda one: one.update(version="0.9")), r"version '0\.9' .* is not known here; 0\.4"),
    "a version, 0.5": ("0.5", of_ome(version="0.9"), r"version '0\.9' of OME-Zarr is not known here; 0\.4, 0\.5 and 0\.6 are"),
    "no list": ("0.5", of_ome(multiscales={}), "must be a list"),
    "a level is missing": ("0.5", lambda url: shutil.rmtree(url / "scale0"), "that at 'scale0/image' is not there.*level=-1"),
    "no JSON": ("0.5", lambda url: (url / "scale0/image/zarr.json").write_text("{"), "is not JSON"),
    "negative chunks": ("0.5", array("0.5", chunks(1, -32, 32)), r"at least 1; got \[1, -32, 32\]"),
    "chunks of 0": ("0.4", array("0.4", lambda data: data.update(chunks=[1, 0, 32])), r"at least 1; got \[1, 0, 32\]"),
    "a negative shape": ("0.5", array("0.5", shape(3, -43, 53)), r"at least 0; got \[3, -43, 53\]"),
    "a huge shape": (
        "0.5",
        array("0.5", shape(3, 2**40, 2**40)),
        "is more than 268435456 chunks. If the shape is right, .*larger",
    ),
    "a huge shape, 0.4": ("0.4", array("0.4", shape(3, 2**40, 2**40)), "is more than 268435456 chunks"),
    "a huge chunk": ("0.5", array("0.5", chunks(1, 2**20, 2**20)), r"a chunk \[1, 1048576, 1048576\] has more than"),
    "fewer dims": ("0.4", array("0.4", lambda data: data.update(shape=[43, 53], chunks=[32, 32])), "has 2 dim.* name 3 axes"),
    "fewer lengths": ("0.5", array("0.5", shape(3, 43)), r"has 2 axes, but chunks \[1, 32, 32\]"),
    "pickle": ("0.5", array("0.5", lambda data: data["codecs"].append(PICKLE)), r"codec 'numcodecs\.pickle' runs whatever code"),
    "pickle in shards": ("0.5", array("0.5", shard_of_pickles), r"codec 'numcodecs\.pickle' runs whatever code"),
    "pickle, 0.4": ("0.4", array("0.4", lambda data: data.update(filters=[{"id": "pickle"}])), "codec 'pickle' runs whatever"),
    "objects": ("0.4", array("0.4", lambda data: data.update(dtype="|O", compressor={"id": "pickle"})), "codec 'pickle' runs"),
    "an unknown codec": ("0.5", array("0.5", lambda data: data["codecs"].append({"name": "magic"})), "can be opened.*magic"),
}


@pytest.mark.parametrize(("version", "breaking", "text"), WAYS.values(), ids=WAYS)
def test_metadata_that_are_wrong(
    whole: Path, tmp_path: Path, version: str, breaking: Callable[[Path], None], text: str, nothing_computes: None
) -> None:
    url = Path(shutil.copytree(whole / version, tmp_path / "a.zarr"))
    breaking(url)
    for opening in (xprep.open_image, xprep.open_tree):
        with pytest.raises(xprep.StoreFormatError, match=text) as caught:
            opening(url)
        assert "a.zarr" in str(caught.value), "it says which store"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc", ""])
def test_labels_with_names_that_lead_elsewhere(whole: Path, tmp_path: Path, name: str) -> None:
    url = Path(shutil.copytree(whole / "0.5", tmp_path / "a.zarr"))
    shutil.copytree(url / "labels/cells", tmp_path / "x")
    edit(url / "labels/zarr.json", lambda data: data["attributes"]["ome"].update(labels=[name]))
    with pytest.raises((xprep.StoreFormatError, KeyError), match=r"is not a path inside|no labels"):
        xprep.open_image(url, label=name)
    with pytest.raises((xprep.StoreFormatError, KeyError), match=r"no labels '\.\./cells'; it has \['cells'\]"):
        xprep.open_image(whole / "0.5", label="../cells")
