"""No output is, holds or lies in an input or another output, by whatever names: nothing is written, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

import xprep
from tests.helpers.crashes import objects
from tests.helpers.servers import Server
from xprep.batch import RecipeError, find_tasks, load_recipe
from xprep.cli.app import app
from xprep.io.store import locations
from xprep.io.store.locations import Location, locate

HERE, DEFAULT_PORT = {"endpoint_url": "http://127.0.0.1:9000"}, {"endpoint_url": "https://store.invalid:443"}
AMAZON = "https://lab.s3.eu-west-1.amazonaws.com"


def blob(seed: int = 0, size: int = 32) -> xr.DataArray:
    return xprep.datasets.blobs(channels=1, shape=(size, size), seed=seed)


def located(place: str | tuple[str, Mapping[str, Any]]) -> Location:
    return locate(place) if isinstance(place, str) else locate(*place)


# Spellings of one place, of a place in another, and of places that have nothing to do with each other.
ONE = {
    "slash at the end": ("s3://lab/a.zarr", "s3://lab/a.zarr/"),
    "s3a": ("s3://lab/a.zarr", "s3a://lab/a.zarr"),
    "scheme in capitals": ("s3://lab/a.zarr", "S3://lab/a.zarr"),
    "two slashes": ("s3://lab/x/a.zarr", "s3://lab//x//a.zarr"),
    "dots": ("s3://lab/a.zarr", "s3://lab/x/./../a.zarr"),
    "percent": ("s3://lab/my a.zarr", "s3://lab/my%20a.zarr"),
    "unicode": ("s3://lab/\u00e9.zarr", "s3://lab/e\u0301.zarr"),
    "endpoint, otherwise given": (("s3://lab/a", HERE), ("s3://lab/a", {"client_kwargs": {"endpoint_url": "http://LOCALHOST:9000/"}})),
    "default port": (("s3://lab/a", DEFAULT_PORT), ("s3://lab/a", {"endpoint_url": "https://STORE.invalid/"})),
    "by http": (("s3://lab/a", HERE), "http://localhost:9000/lab/a"),
    "host and port of http": ("http://HOST.invalid:80/a.zarr", "http://host.invalid/a.zarr"),
    "percent of http": ("http://host.invalid/a%2Ezarr", "http://host.invalid/a.zarr"),
    "Amazon by http": ("s3://lab/a", f"{AMAZON}/a"),
    "Amazon by http, bucket in the path": ("s3://lab/a", "https://s3.amazonaws.com/lab/a"),
    "memory": ("memory://x/a.zarr", "memory:///x/a.zarr/"),
}
INSIDE = {
    "a label": ("s3://lab/a.zarr/labels/x", "s3://lab/a.zarr"),
    "the bucket": ("s3://lab/a.zarr", "s3://lab"),
    "by http": (f"{AMAZON}/a/b", "s3a://lab/a"),
}
APART = {
    "longer name": ("s3://lab/a.zarr2", "s3://lab/a.zarr"),
    "buckets": ("s3://lab/a", "s3://lab2/a"),
    "capitals in a bucket": ("s3://lab/A", "s3://lab/a"),
    "ports": (("s3://lab/a", HERE), ("s3://lab/a", {"endpoint_url": "http://127.0.0.1:9001"})),
    "servers": (("s3://lab/a", HERE), "s3://lab/a"),
    "protocols": ("memory://lab/a", "s3://lab/a"),
    "hosts": ("http://one.invalid/a", "http://other.invalid/a"),
}


@pytest.mark.parametrize("pair", ONE.values(), ids=ONE)
def test_one_place(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations.socket, "getaddrinfo", _no_network)
    one, other = map(located, pair)
    assert one.lies_in(other)
    assert other.lies_in(one)


@pytest.mark.parametrize("pair", INSIDE.values(), ids=INSIDE)
def test_inside(pair: Any) -> None:
    one, other = map(located, pair)
    assert one.lies_in(other)
    assert not other.lies_in(one)


@pytest.mark.parametrize("pair", APART.values(), ids=APART)
def test_apart(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locations.socket, "getaddrinfo", _no_network)
    one, other = map(located, pair)
    assert not one.lies_in(other)
    assert not other.lies_in(one)


def _no_network(*_: Any, **__: Any) -> list[Any]:
    raise OSError("no names are looked up")


def _link(raw: Path) -> Path:
    (raw.parent / "link").symlink_to(raw)
    return raw.parent / "link"


def _link_above(raw: Path) -> Path:
    (raw.parent.parent / "linked").symlink_to(raw.parent)
    return raw.parent.parent / "linked" / raw.name


# Names of the folder `raw`, or of one in or above it.
SPELLINGS: dict[str, Callable[[Path], Any]] = {
    "itself": lambda raw: raw,
    "slash": lambda raw: f"{raw}/",
    "dots": lambda raw: f"{raw.parent}/none/../{raw.name}",
    "file URL": lambda raw: f"file://{raw}",
    "relative": lambda raw: os.path.relpath(raw),
    "home": lambda raw: f"~/{raw.name}",
    "link": _link,
    "link above": _link_above,
    "decomposed": lambda raw: raw.with_name("e\u0301.zarr"),
    "a level of it": lambda raw: raw / "scale0",
    "a label of it": lambda raw: raw / "labels/x",
    "a link's label": lambda raw: _link(raw) / "labels/x",
    "its folder": lambda raw: raw.parent,
    "a store object": lambda raw: zarr.storage.LocalStore(raw),
    "a path in a store object": lambda raw: zarr.storage.StorePath(zarr.storage.LocalStore(raw.parent), raw.name),
}


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data" / "\u00e9.zarr"
    blob().prep.to_ome_zarr(path, scale_factors=())
    monkeypatch.setenv("HOME", str(path.parent))
    return path


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_an_output_is_no_source_of_the_image(raw: Path, spell: Callable[[Path], Any]) -> None:
    output, before = spell(raw), objects(raw)
    for image in (xprep.open_image(raw).prep.gaussian_filter(1), foreign(raw)):
        with pytest.raises(ValueError, match="lie in each other: the input would be lost"):
            image.prep.to_ome_zarr(output, overwrite=True)
    assert objects(raw) == before


def foreign(raw: Path) -> xr.DataArray:
    """Return the image as plain xarray opens it, not read yet, and no dask array."""
    return xr.open_zarr(raw, group="scale0", chunks=None, consolidated=False)["image"]


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_an_output_of_a_recipe_is_no_input(raw: Path, spell: Callable[[Path], Any]) -> None:
    output, before = spell(raw), objects(raw)
    if not isinstance(output, str | Path):
        pytest.skip("a recipe is text")
    given = {"inputs": str(raw), "steps": ["to_isotropic"], "output": str(output), "store": {"overwrite": True}}
    if not str(output).rstrip("/").endswith(".zarr"):
        given["output"] = f"{output}/{{name}}"  # otherwise a folder for results, which may hold the inputs
        if str(output) == str(raw.parent):
            given |= {"inputs": str(raw / "labels"), "output": str(raw)}
    with pytest.raises(RecipeError, match=r"recipe: output: the output .* and the input .*: the input would be lost"):
        xprep.run(given, progress=False)
    assert objects(raw) == before


def test_an_output_is_no_label_and_no_other_image_of_the_call(raw: Path, tmp_path: Path) -> None:
    labels = xprep.open_image(raw).isel(c=0, drop=True).astype("uint32")
    with pytest.raises(ValueError, match="the input would be lost"):
        blob().prep.to_ome_zarr(raw, labels={"x": labels}, overwrite=True)
    images = xr.Dataset({"data": blob(), "other": xprep.open_image(raw).prep.gaussian_filter(1)})
    with pytest.raises(ValueError, match="the input would be lost"):
        images.prep.to_ome_zarr(tmp_path, overwrite=True)  # `data` would be written to the folder that holds the other's source
    assert xprep.open_image(raw).equals(blob())


def test_outputs_that_are_one_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").symlink_to(tmp_path / "out/a")
    with pytest.raises(ValueError, match=r"the outputs .*out/a and .*out/b are one place"):
        xr.Dataset({"a": blob(), "b": blob(1)}).prep.to_ome_zarr(tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["b"]


def test_names_in_another_case_where_that_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = xr.Dataset({"a": blob(), "A": blob(1)})
    monkeypatch.setattr(locations, "_folds_case", lambda _: True)
    with pytest.raises(ValueError, match="would be one folder"):
        pair.prep.to_ome_zarr(tmp_path / "out")
    monkeypatch.undo()
    with xprep.set_options(progress="off"):
        assert len(pair.prep.to_ome_zarr(tmp_path / "out")) == 2


def test_a_recipe_whose_results_are_other_inputs(tmp_path: Path) -> None:
    """Numbers that are counted in the order of names: fov10 is 2, so input 2 would be replaced before it is read."""
    for n in range(11):
        blob(n, 16).prep.to_ome_zarr(tmp_path / f"fov{n}.zarr", scale_factors=())
    given = {"inputs": f"{tmp_path}/fov*.zarr", "steps": ["to_isotropic"], "output": f"{tmp_path}/fov{{index}}.zarr"}
    for asked in (lambda: xprep.run({**given, "store": {"overwrite": True}}), lambda: find_tasks(load_recipe(given))):
        with pytest.raises(RecipeError, match=r"fov\d+.zarr are one place: the input would be lost"):
            asked()
    path = tmp_path / "recipe.yaml"
    path.write_text(f"inputs: {tmp_path}/fov*.zarr\nsteps: [to_isotropic]\noutput: '{tmp_path}/fov{{index}}.zarr/x'\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml, line 3: output: .* lie in each other: the first in the second"):
        xprep.run(path)
    assert all(np.array_equal(xprep.open_image(tmp_path / f"fov{n}.zarr"), blob(n, 16)) for n in range(11))


def test_the_plate_that_holds_an_input_is_an_input(tmp_path: Path) -> None:
    for field in "01":
        blob(size=16).prep.to_ome_zarr(tmp_path / f"plate.zarr/A/1/{field}", scale_factors=())
    well = {"images": [{"path": "0"}, {"path": "1"}]}
    zarr.create_group(tmp_path / "plate.zarr", attributes={"ome": {"plate": {"wells": [{"path": "A/1"}]}}})
    zarr.create_group(tmp_path / "plate.zarr/A/1", attributes={"ome": {"well": well}})
    given = {"inputs": f"{tmp_path}/plate.zarr", "steps": ["to_isotropic"], "output": f"{tmp_path}/plate.zarr/{{name}}"}
    with pytest.raises(RecipeError, match="the first in the second: the input would be lost"):
        xprep.run(given)


def test_scratch_and_report_lie_outside_of_all_images(raw: Path, tmp_path: Path) -> None:
    given = {"inputs": str(raw), "steps": ["to_isotropic"], "output": str(tmp_path / "out.zarr")}
    for url in (raw, raw / "x", tmp_path / "out.zarr/tmp"):
        with pytest.raises(RecipeError, match=r"the scratch folder .* lies in"):
            xprep.run({**given, "settings": {"scratch_url": str(url)}})
        with pytest.raises(ValueError, match=r"the report .* and"):
            xprep.run(given, report=url)
    path = tmp_path / "recipe.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in given.items()).replace("['", "[").replace("']", "]"))
    with pytest.raises(ValueError, match=r"the report .*recipe\.yaml .* are one place"):
        xprep.run(path, report=path)
    assert not (tmp_path / "out.zarr").exists()


def test_a_file_is_a_place(tmp_path: Path) -> None:
    """An input of another format, a recipe: what is no store is not lost either."""
    (tmp_path / "slide.ome.tif").write_bytes(b"II*\0")
    for output in (tmp_path / "slide.ome.tif", tmp_path / "slide.ome.tif/x.zarr", tmp_path):
        given = {"inputs": str(tmp_path / "slide.ome.tif"), "steps": ["to_isotropic"], "output": f"{output}/{{name}}/.."}
        with pytest.raises(RecipeError, match="the input would be lost"):
            find_tasks(load_recipe(given))
    assert locate(tmp_path / "slide.ome.tif").lies_in(locate(tmp_path))


def test_the_command(raw: Path) -> None:
    before = objects(raw)
    found = CliRunner().invoke(app, ["normalize", str(raw), f"file://{raw}/labels/new", "--overwrite"])
    assert found.exit_code != 0
    assert objects(raw) == before


def test_a_bucket_by_its_http_url(s3: Server) -> None:
    """Input and output have no protocol in common."""
    url = f"{s3.new_bucket()}/raw.zarr"
    how = s3.storage_options()
    public = {**how, "s3_additional_kwargs": {"ACL": "public-read"}}
    blob().prep.to_ome_zarr(url, scale_factors=(), storage_options=public)
    image = xprep.open_image(f"{s3.endpoint}/{url.removeprefix('s3://')}")
    for output in (url, url.replace("s3:", "s3a:"), f"{url}/labels/x", url.replace("/raw", "//raw")):
        with pytest.raises(ValueError, match="the input would be lost"):
            image.prep.to_ome_zarr(output, overwrite=True, storage_options=how)
    assert xprep.open_image(url, storage_options=how).equals(blob())


def test_elements_of_a_spatialdata_object_are_apart(tmp_path: Path) -> None:
    blob().prep.to_ome_zarr(tmp_path / "s.zarr/images/raw", scale_factors=(), layout="flat")
    zarr.create_group(tmp_path / "s.zarr", attributes={"spatialdata_attrs": {"spatialdata_software_version": "0.5.0"}})
    whole = zarr.open_array(zarr.storage.LocalStore(tmp_path / "s.zarr"), path="images/raw/0")
    image = xr.DataArray(da.from_array(whole), dims=("c", "y", "x"))
    with pytest.raises(ValueError, match="the input would be lost"):
        image.prep.to_ome_zarr(tmp_path / "s.zarr/images/raw", overwrite=True)
    with pytest.raises(ValueError, match="the input would be lost"):
        image.prep.to_ome_zarr(tmp_path / "s.zarr", overwrite=True)
    image.prep.to_ome_zarr(tmp_path / "s.zarr/images/new", scale_factors=())
    assert np.array_equal(xprep.open_image(tmp_path / "s.zarr/images/new"), blob())
