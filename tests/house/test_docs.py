"""The code on the pages runs as it stands there: of the README, in Python and on the command line, and of docs/."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from numpy.typing import NDArray

import xprep
import xprep.plot
from tests import paths
from tests.helpers.servers import KEY, SECRET, Server
from xprep.options import Options

ROOT = paths.ROOT
README, PAGE = ROOT / "README.md", ROOT / "docs" / "ome_zarr.md"
RECIPE = 'inputs: "fov*.zarr"\noutput: recipes/{name}.ome.zarr\nsteps:\n  - gaussian_filter: {sigma: 1}\n'


def blocks(page: Path = PAGE, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what needs spatialdata: see tests/clients."""
    monkeypatch.chdir(tmp_path)
    (mine,) = [block for block in blocks() if "spatialdata" not in block]
    exec(compile(mine, str(PAGE), "exec"), {})
    assert (tmp_path / "copy.ome.zarr" / ".zgroup").exists()


def test_the_code_about_containers_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "containers.md"):
        exec(compile(block, "containers.md", "exec"), names)
    assert xprep.open_image(tmp_path / "both.ome.zarr", label="cells").dtype == np.int64


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed").use("agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "tutorial.md"):
        exec(compile(block, "tutorial.md", "exec"), names)
    assert {path.name for path in tmp_path.glob("*.png")} == {"compare.png", "channels.png", "histograms.png"}
    before = xprep.open_image("cells_norm.ome.zarr")[:, :100].compute()
    np.testing.assert_allclose(xprep.open_image("next_norm.ome.zarr")[:, :100], before, rtol=2e-5)


def test_the_code_about_the_noise_gain_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(ROOT / "docs" / "noise_gain.md")
    exec(compile(block, "noise_gain.md", "exec"), {})
    assert capsys.readouterr().out == "0.9902 0.8527\n"


def test_the_code_about_fits_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = pytest.importorskip("typer.testing", reason="the extra 'cli' is not installed").CliRunner()
    from xprep.cli.app import app

    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs" / "fitted.md"
    names: dict[str, Any] = {}
    for block in blocks(page):
        exec(compile(block, "fitted.md", "exec"), names)
    assert np.isfinite(names["sampled"].p_interval).all()
    for line in blocks(page, "bash")[0].splitlines():
        done = runner.invoke(app, shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0, done.stderr
    assert xprep.open_image("test_fit.ome.zarr").equals(xprep.open_image("test_norm.ome.zarr"))


def image_of(dims: str, *sides: int) -> xr.DataArray:
    """Return an image with physical coordinates; in z they are three times as far apart."""
    pixels = np.random.default_rng(3).lognormal(4, 1, sides).astype("uint16")
    steps = {"z": 1.5, "y": 0.5, "x": 0.5}
    coords: dict[str, Any] = {
        dim: (dim, steps[dim] * np.arange(n), {"units": "micrometer"}) for dim, n in zip(dims, sides, strict=True) if dim in steps
    }
    if "c" in dims:
        coords["c"] = ["CD3", "DAPI", "CD8"][: pixels.shape[dims.index("c")]]
    return xr.DataArray(pixels, coords, dims=tuple(dims), name="image")


@pytest.fixture
def lab(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the images of the README, and s3://lab, its credentials in the environment."""
    pytest.importorskip("s3fs", reason="the extra 's3' is not installed").S3FileSystem.clear_instance_cache()
    where = {"AWS_ENDPOINT_URL": s3.endpoint, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "MPLBACKEND": "Agg"}
    for name, value in where.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    s3.make_bucket("lab")
    slide = image_of("cyx", 3, 48, 64)
    for url in ("s3://lab/slide.ome.zarr", "slide.ome.zarr", "slide.zarr", "fov1.zarr", "fov2.zarr", "fov3.zarr"):
        slide.prep.to_ome_zarr(url, scale_factors=(2,), resume=True)  # in the bucket it may be there
    for name, image in {"embryo": image_of("zyx", 5, 20, 24), "movie": image_of("tyx", 6, 32, 40)}.items():
        image.prep.to_ome_zarr(f"{name}.zarr", scale_factors=())
    image_of("tyx", 6, 32, 40).prep.to_ome_zarr("frames.zarr", scale_factors=())
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    tifffile.imwrite("slide.ome.tif", slide.values, photometric="minisblack", metadata={"axes": "CYX"})
    return tmp_path


def suite2p_stat() -> NDArray[np.object_]:
    pixels = np.arange(4)
    return np.array([{"ypix": pixels + 3, "xpix": pixels + k, "lam": np.ones(4, "float32")} for k in (2, 9)], dtype=object)


def test_the_python_of_the_readme_runs(lab: Path) -> None:
    slide = image_of("cyx", 2, 300, 280)
    tifffile.imwrite("slide.tif", slide.values, tile=(128, 128), photometric="minisblack", metadata={"axes": "CYX"})
    np.save("stat.npy", suite2p_stat())
    names: dict[str, Any] = {}
    for block in blocks(README):
        exec(compile(block, str(README), "exec"), names)
    assert xprep.open_image("normalized.ome.zarr").dtype == np.float32
    assert names["embryo"].sizes == {"y": 20, "x": 24}
    assert names["traces"].compute().sizes == {"t": 6, "roi": 2}
    assert names["spots"].compute().sizes == names["frames"].sizes
    assert 0 < float(names["gain"]) < 2
    np.testing.assert_array_equal(xprep.open_image("tiff.ome.zarr").values, slide.values)


def test_the_commands_of_the_page_run(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But the demo, which has tests of its own."""
    runner = pytest.importorskip("typer.testing", reason="the extra 'cli' is not installed").CliRunner()
    from xprep.cli.app import app

    (block,) = [block for block in blocks(ROOT / "docs" / "command_line.md", "bash") if "xprep info" in block]
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    names = "demo info convert plan normalize normalize fit normalize run validate scratch"
    assert [words[1] for words in commands] == names.split()
    for words in commands[1:]:
        done = runner.invoke(app, words[1:])
        assert done.exit_code == 0, (words, done.output)
    for name in ("slide_copy.ome.zarr", "slide_norm.ome.zarr", "out/fov3.ome.zarr", "recipes/fov1.ome.zarr"):
        assert xprep.open_image(lab / name).shape == (3, 48, 64)
    (code,) = blocks(ROOT / "docs" / "command_line.md")
    exec(compile(code, "command_line.md", "exec"), {})
    assert xprep.open_image(lab / "crop.ome.zarr").shape == (3, 20, 30)


def test_the_code_about_calcium_runs(lab: Path) -> None:
    """On a movie of two cells: the neuropil that both share is taken off."""
    np.save("stat.npy", suite2p_stat())
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / "calcium.md"):
        exec(compile(block, "calcium.md", "exec"), names)
    movie = names["movie"].compute()
    dff = xr.open_dataarray("dff.nc")
    assert dff.sizes == {"t": 6, "roi": 2}
    labels = np.zeros((32, 40), bool)
    for one in suite2p_stat():
        labels[one["ypix"], one["xpix"]] = True
    rings = names["rings"]
    for number, one in enumerate(suite2p_stat()):
        ring = rings[number]
        assert not labels[ring.ypix, ring.xpix].any()
        raw = movie.values[:, one["ypix"], one["xpix"]].mean(1)
        signal = raw - 0.7 * movie.values[:, ring.ypix, ring.xpix].mean(1)
        baseline = np.quantile(signal, 0.1)
        np.testing.assert_allclose(dff[:, number], (signal - baseline) / baseline, rtol=1e-6)


PUBLIC = {
    "xprep": [name for name in xprep.__all__ if name not in ("__version__", "ImagePrep", "DatasetPrep", "TreePrep")],
    "xprep.plot": xprep.plot.__all__,
    "xprep.rois": list(xprep.rois.__all__),
    "RoiTable": [f"RoiTable.{name}" for name, _ in inspect.getmembers(xprep.RoiTable, callable) if name[0] != "_"],
    ".prep": [f"DataArray.prep.{name}" for name in dir(xprep.ImagePrep) if name[0] != "_"],
    "options": [one.name for one in fields(Options)],
    "datasets": ["cells", "blobs"],
}
INNER = {"RoiTable.pixels", "RoiTable.pixels_of"}  # for loops


@pytest.mark.parametrize("place", PUBLIC)
def test_every_public_name_is_in_the_reference(place: str) -> None:
    page = (ROOT / "docs" / ("options.md" if place == "options" else "api.md")).read_text(encoding="utf-8")
    assert [name for name in PUBLIC[place] if name not in INNER and not re.search(rf"\b{re.escape(name)}\b", page)] == []


@pytest.mark.parametrize("name", [name.partition(".")[2] for name in PUBLIC["RoiTable"] if name not in INNER])
def test_methods_of_the_table_have_an_example_or_their_parameters(name: str) -> None:
    text = inspect.getdoc(getattr(xprep.RoiTable, name)) or ""
    assert "Examples\n----" in text or "Parameters\n----" in text
