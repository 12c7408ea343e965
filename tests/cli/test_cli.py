"""The command `xprep`, as its users run it: processes of its own where that matters, real images, a real S3 server."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner, Result

import xprep
from tests.helpers.crashes import begin_command, interrupt, wait_for
from tests.helpers.servers import KEY, SECRET, Server
from xprep.cli.app import app
from xprep.cli.request import _request
from xprep.engine.running import cluster as engine_cluster

COMMAND = [sys.executable, "-c", "from xprep.cli import main; main()"]
CANARY = "canary-7f3a9c1e"


def run(*arguments: Any) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def spawn(*arguments: Any, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False, **settings)


def written(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled real image as OME-Zarr, with small chunks."""
    url = tmp_path_factory.mktemp("real") / "cells.ome.zarr"
    xprep.datasets.cells().prep.to_ome_zarr(url, scale_factors=(2,), chunks={"c": 1, "y": 128, "x": 200})
    return url


@pytest.fixture(scope="module")
def halves(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two fields of view of different shapes."""
    folder, image = tmp_path_factory.mktemp("fields"), xprep.open_image(cells)
    parts = {"left": image.isel(x=slice(None, 300)), "right": image.isel(x=slice(300, None), y=slice(200))}
    for name, part in parts.items():
        part.prep.to_ome_zarr(folder / f"{name}.ome.zarr", scale_factors=())
    return [folder / f"{name}.ome.zarr" for name in parts]


def same(url: Any, expected: xr.DataArray, **options: Any) -> None:
    np.testing.assert_array_equal(xprep.open_image(url, **options).values, expected.values)


# normalize


def test_normalize_writes_what_the_function_gives(cells: Path, tmp_path: Path) -> None:
    written(result := run("normalize", cells, tmp_path / "out", "--scale-factors", "2,2"))
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())
    assert len(xprep.open_tree(tmp_path / "out").children) == 3
    for word in ("wrote", "read", "peak memory", " s;", "blosc zstd"):
        assert word in result.stdout
    assert result.stderr == ""


OPTIONS = {
    "percentiles": (["--p", "95.5", "--p-sum", "none", "--p-post", "none"], {"p": 95.5, "p_sum": None, "p_post": None}),
    "sigma in order": (["--sigma", "1,0,2.5"], {"sigma": [1, 0, 2.5]}),
    "sigma by name": (
        ["--sigma", "stain 1=1,stain 2=0,stain 3=2"],
        {"sigma": {"stain 1": 1, "stain 2": 0, "stain 3": 2}},
    ),
    "no blur": (["--sigma", "none"], {"sigma": None}),
    "channels": (["--channels", "stain 3,stain 1"], {"channels": ["stain 3", "stain 1"]}),
    "one channel": (["--channels", "stain 3", "--no-norm-sum"], {"channels": ["stain 3"], "norm_sum": False}),
    "channels as JSON": (["--channels", '["stain 2"]', "--cap-max", "0.8"], {"channels": ["stain 2"], "cap_max": 0.8}),
    "float64": (["--dtype", "float64", "--pool", "exact"], {"dtype": "float64", "pool": "exact"}),
    "dtype none": (["--dtype", "none", "--empty", "nan"], {"dtype": None, "empty": "nan"}),
    "spilled": (["--intermediates", "spill"], {"intermediates": "spill"}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_the_parameters(cells: Path, tmp_path: Path, name: str) -> None:
    arguments, parameters = OPTIONS[name]
    written(run("normalize", cells, tmp_path / "out", *arguments))
    expected = xprep.open_image(cells).prep.normalize(**parameters)
    same(tmp_path / "out", expected)
    assert xprep.open_image(tmp_path / "out").dtype == expected.dtype
    assert list(xprep.open_image(tmp_path / "out").c.values) == list(expected.c.values)


def test_every_parameter_has_an_option_with_the_same_default() -> None:
    """A parameter that is added to normalize or to_ome_zarr is missed here, not by a user."""
    options = inspect.signature(_request).parameters
    elsewhere = {"image", "url", "labels", "progress", "compute"}
    for function in (xprep.normalize, xprep.to_ome_zarr):
        for name, parameter in inspect.signature(function).parameters.items():
            if name not in elsewhere:
                assert options[name].default == parameter.default, name


def test_chunks_and_shards_are_stored(cells: Path, tmp_path: Path) -> None:
    written(run("normalize", cells, tmp_path / "out", "--chunks", "y=64,x=96", "--shards", "y=128,x=192"))
    array = zarr.open_array(tmp_path / "out" / "scale0" / "image", mode="r")
    assert (array.chunks, array.shards) == ((1, 64, 96), (1, 128, 192))
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_versions_of_the_format(cells: Path, tmp_path: Path, version: str) -> None:
    written(run("normalize", cells, tmp_path / "out", "--version", version, "--layout", "flat"))
    assert f"OME-Zarr {version}" in run("info", tmp_path / "out").stdout
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())


@pytest.mark.parametrize("pool", ["mean", "exact"])
def test_fields_of_view_share_statistics(halves: list[Path], tmp_path: Path, pool: str) -> None:
    written(run("normalize", *halves, tmp_path / "out", "--pool", pool))
    fields = {f"/{n}": xprep.open_image(url).to_dataset(name="image") for n, url in enumerate(halves)}
    expected = xr.DataTree.from_dict(fields).prep.normalize(pool=pool)
    for n, url in enumerate(halves):
        same(tmp_path / "out" / url.name, expected[f"/{n}"]["image"])
    alone = xprep.open_image(halves[0]).prep.normalize(pool=pool)
    assert not np.array_equal(alone.values, expected["/0"]["image"].values, equal_nan=True)


def test_what_was_noticed_is_said(tmp_path: Path) -> None:
    """An empty channel: one line, not a Python warning."""
    image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    image[1] = 0
    image.prep.to_ome_zarr(tmp_path / "in")
    result = spawn("normalize", tmp_path / "in", tmp_path / "out")
    assert result.returncode == 0
    assert "note: " in result.stdout
    assert "marker 2" in result.stdout
    assert result.stderr == ""


def test_quiet_is_quiet(cells: Path, tmp_path: Path) -> None:
    result = run("normalize", cells, tmp_path / "out", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_pipe_gets_no_bar(cells: Path, tmp_path: Path) -> None:
    result = spawn("normalize", cells, tmp_path / "out")
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout


def test_overwriting_is_asked_for(cells: Path, tmp_path: Path) -> None:
    written(run("normalize", cells, tmp_path / "out"))
    refused = run("normalize", cells, tmp_path / "out", "--p", "50")
    assert refused.exit_code == 2
    assert "--overwrite" in refused.stderr
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())
    written(run("normalize", cells, tmp_path / "out", "--p", "50", "--overwrite"))
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize(p=50))


# plan


def test_plan_says_what_would_run_and_writes_nothing(cells: Path, tmp_path: Path) -> None:
    result = run("plan", cells, tmp_path / "out", "--intermediates", "recompute")
    assert result.exit_code == 0
    for line in str(xprep.open_image(cells).prep.normalize(intermediates="recompute").prep.plan()).splitlines():
        assert line.strip() in result.stdout
    assert f"would write {tmp_path / 'out'}" in result.stdout
    assert not (tmp_path / "out").exists()


def test_plan_reads_no_chunk(cells: Path, tmp_path: Path) -> None:
    """A store whose pixels are gone can still be planned."""
    image = xprep.open_image(cells).compute()
    image.prep.to_ome_zarr(tmp_path / "in", scale_factors=())
    for chunk in (tmp_path / "in" / "scale0" / "image" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"not a chunk")
    assert run("plan", tmp_path / "in", tmp_path / "out").exit_code == 0
    assert run("normalize", tmp_path / "in", tmp_path / "out").exit_code == 1


# info


def test_info_of_an_image(cells: Path) -> None:
    shown = run("info", cells).stdout
    for text in ("OME-Zarr 0.5 image", "finished", "3×395×695", "3×198×348", "1×128×200", "uint16", "blosc", "stain 2"):
        assert text in shown


def test_info_of_labels_and_units(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=2, shape=(96, 64), pixel=0.325)
    nuclei = xr.DataArray(np.zeros((96, 64), "uint32"), dims=("y", "x"))
    image.prep.to_ome_zarr(
        tmp_path / "in", labels={"nuclei": nuclei}, shards={"y": 96, "x": 64}, chunks={"c": 1, "y": 32, "x": 32}
    )
    shown = run("info", tmp_path / "in").stdout
    for text in ("nuclei", "0.325 × 0.325 micrometer", "2×96×64", "1×32×32", "1×96×64"):
        assert text in shown


def test_info_of_a_plate_lists_its_images(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    wells = ["A/1", "B/12"]
    plate = {"wells": [{"path": w} for w in wells], "rows": [], "columns": [], "version": "0.5", "name": "screen"}
    zarr.open_group(tmp_path / "plate", mode="w", attributes={"ome": {"version": "0.5", "plate": plate}})
    for well in wells:
        fields = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
        zarr.open_group(tmp_path / "plate" / well, mode="w", attributes={"ome": fields})
        for n in range(2):
            image.prep.to_ome_zarr(tmp_path / "plate" / well / str(n))
    shown = run("info", tmp_path / "plate").stdout
    for text in ("4 images", "A/1/0", "B/12/1", "2×64×64"):
        assert text in shown


def test_info_of_other_zarr(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "bare", shape=(4, 6), chunks=(2, 3), dtype="uint8", dimension_names=("y", "x"))
    array[:] = 1
    assert "Zarr array" in run("info", tmp_path / "bare").stdout
    xr.Dataset({"dapi": (("y", "x"), np.ones((5, 7)))}).to_zarr(tmp_path / "group", consolidated=False)
    shown = run("info", tmp_path / "group").stdout
    assert "dapi" in shown
    assert "5×7" in shown


# errors


BAD = {
    "percentile": (["--p", "101"], "101"),
    "negative sigma": (["--sigma", "-1"], "-1"),
    "sigma is NaN": (["--sigma", "nan"], "nan"),
    "number of sigmas": (["--sigma", "1,2"], "3 channels"),
    "unknown channel": (["--channels", "CD3"], "'CD3'"),
    "dtype": (["--dtype", "int8"], "int8"),
    "pool": (["--pool", "median"], "median"),
    "intermediates": (["--intermediates", "cached"], "cached"),
    "scale factors": (["--scale-factors", "2,0"], "0"),
    "chunks": (["--chunks", "q=3"], "'q'"),
    "version": (["--version", "0.3"], "0.3"),
    "layout": (["--layout", "round"], "round"),
    "both engines": (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "not both"),
    "no workers": (["--workers", "0"], "0"),
    "memory": (["--memory", "much"], "much"),
    "storage options": (["--storage-options", f"{{{CANARY}"], "KEY=VALUE"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_said_before_anything_is_written(cells: Path, tmp_path: Path, name: str) -> None:
    arguments, expected = BAD[name]
    result = run("normalize", cells, tmp_path / "out", *arguments)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    assert expected in result.stderr
    assert CANARY not in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("url", "expected"),
    [("nothing/here.zarr", "here.zarr"), ("reference::s3://a/b", "chain"), ("ftp://a/b.zarr", "ftp"), (" ", "empty")],
)
def test_inputs_that_are_none(tmp_path: Path, url: str, expected: str) -> None:
    result = run("normalize", url, tmp_path / "out")
    assert result.exit_code == 2
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_output_inside_the_input_is_refused(cells: Path) -> None:
    before = sorted(cells.rglob("*"))
    for output in (cells, cells / "normalized", cells / "scale0", cells.parent):
        assert run("normalize", cells, output, "--overwrite").exit_code == 2
    assert sorted(cells.rglob("*")) == before


def test_two_inputs_of_one_name(cells: Path, tmp_path: Path) -> None:
    result = run("normalize", cells, f"{cells}/", tmp_path / "out")
    assert result.exit_code == 2
    assert "cells" in result.stderr


def test_an_unfinished_store_is_refused_and_described(cells: Path, tmp_path: Path) -> None:
    image = xprep.open_image(cells)
    image.prep.to_ome_zarr(tmp_path / "in", scale_factors=())
    metadata = json.loads((tmp_path / "in" / "zarr.json").read_text())
    metadata["attributes"] = {"xprep": {"status": "writing"}}
    (tmp_path / "in" / "zarr.json").write_text(json.dumps(metadata))
    refused = run("normalize", tmp_path / "in", tmp_path / "out")
    assert refused.exit_code == 2
    assert "not finished" in refused.stderr
    shown = run("info", tmp_path / "in").stdout
    assert "unfinished" in shown
    assert "scale0/image" in shown


def test_a_failure_is_one_line_and_debug_shows_where(cells: Path, tmp_path: Path) -> None:
    xprep.open_image(cells).prep.to_ome_zarr(tmp_path / "in", scale_factors=())
    (tmp_path / "in" / "scale0" / "image" / "c" / "0" / "0" / "0").write_bytes(b"not a chunk")
    result = spawn("normalize", tmp_path / "in", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "c/0/0/0" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert isinstance(run("normalize", tmp_path / "in", tmp_path / "out2", "--debug").exception, xprep.ChunkError)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]  # it failed before the first pixel


def test_usage_errors_exit_with_2() -> None:
    for arguments in (["normalize", "only-one"], ["nonsense"], ["normalize", "a", "b", "--nonsense"]):
        assert run(*arguments).exit_code == 2


def test_without_typer_the_command_says_what_to_install() -> None:
    """`find_spec` answers as it does where the extra is not installed."""
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, *a: None if n == 'typer' else f(n, *a)"
    result = subprocess.run(
        [sys.executable, "-c", f"{hide}; from xprep.cli import main; main()"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.strip() == "the command xprep needs typer: pip install 'xprep[cli]'"


def test_ctrl_c_says_what_is_left(tmp_path: Path) -> None:
    """The interrupt comes while pixels are being written; the store then refuses to open, and the run goes on."""
    image = xprep.datasets.blobs(channels=2, shape=(1024, 1024)).astype("float64")
    image.prep.to_ome_zarr(tmp_path / "in", scale_factors=(), chunks=128)
    command = ["normalize", tmp_path / "in", tmp_path / "out", "--sigma", "60", "--chunks", "128"]
    process = begin_command(tmp_path / "open", *command)
    wait_for(lambda: process.poll() is not None or (tmp_path / "out" / "scale0" / "image" / "c").exists())
    _, said = interrupt(process, tmp_path / "open")
    assert process.returncode == 130, said
    assert said.strip().startswith("interrupted: what is in flight is being finished")
    assert "--resume" in said
    assert len(said.strip().splitlines()) == 2
    with pytest.raises(xprep.UnfinishedStoreError):
        xprep.open_image(tmp_path / "out")
    assert "unfinished" in run("info", tmp_path / "out").stdout
    written(run(*command, "--resume"))
    same(tmp_path / "out", xprep.open_image(tmp_path / "in").prep.normalize(sigma=60))


# buckets and clusters


def options_of(server: Server) -> list[str]:
    return ["--storage-options", json.dumps(server.storage_options(secret=SECRET))]


def test_a_bucket_gives_the_same_bits(s3: Server, cells: Path, tmp_path: Path) -> None:
    """Converted, normalised, planned and looked at on an S3 server, with credentials of the environment only."""
    bucket = s3.new_bucket()
    xprep.open_image(cells).prep.to_ome_zarr(f"{bucket}/in.ome.zarr", storage_options=s3.storage_options())
    credentials = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": s3.endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    result = spawn("normalize", f"{bucket}/in.ome.zarr", f"{bucket}/out.ome.zarr", env={**os.environ, **credentials})
    assert result.returncode == 0, result.stderr
    same(f"{bucket}/out.ome.zarr", xprep.open_image(cells).prep.normalize(), storage_options=s3.storage_options())
    shown = run("info", f"{bucket}/out.ome.zarr", *options_of(s3))
    assert "finished" in shown.stdout
    assert SECRET not in result.stdout + result.stderr + shown.stdout


def test_wrong_credentials_say_so_and_keep_the_secret(rclone: Server, cells: Path) -> None:
    """rclone refuses them; what was given is in no message, with or without --debug."""
    bucket = rclone.new_bucket()
    options = json.dumps(rclone.storage_options(key="nobody-knows-me", secret=CANARY))
    for debug in ([], ["--debug"]):
        result = spawn("normalize", cells, f"{bucket}/out", "--storage-options", options, *debug)
        assert result.returncode == 1
        assert "credentials" in result.stderr
        assert CANARY not in result.stdout + result.stderr


def test_a_missing_bucket_is_named(s3: Server, cells: Path) -> None:
    result = run("normalize", "s3://no-such-bucket-here/in.zarr", cells.parent / "x", *options_of(s3))
    assert result.exit_code in (1, 2)
    assert "no-such-bucket-here" in result.stderr
    assert SECRET not in result.stderr


def test_secrets_in_urls_are_not_printed(tmp_path: Path) -> None:
    result = run("normalize", f"https://ann:{CANARY}@127.0.0.1:1/x.zarr", tmp_path / "out")
    assert result.exit_code != 0
    assert CANARY not in result.stdout + result.stderr


def test_a_scheduler_gives_the_same_bits(cluster: Any, cells: Path, tmp_path: Path) -> None:
    written(run("normalize", cells, tmp_path / "out", "--scheduler", cluster.scheduler_address))
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())


@pytest.mark.slow
def test_workers_give_the_same_bits(cells: Path, tmp_path: Path) -> None:
    result = spawn("normalize", cells, tmp_path / "out", "--workers", "2")
    assert (result.returncode, result.stderr) == (0, "")
    same(tmp_path / "out", xprep.open_image(cells).prep.normalize())


def test_the_environment_names_a_scheduler(cluster: Any, cells: Path, tmp_path: Path) -> None:
    """Nobody listens there: that it is asked shows in the error; a number of workers comes first."""
    environment = {**os.environ, "DASK_SCHEDULER_ADDRESS": cluster.scheduler_address}
    code = "from xprep.engine.running.cluster import connect\nwith connect() as client: print(client.scheduler.address)"
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == cluster.scheduler_address


def test_nobody_at_the_address(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_cluster, "CONNECT_SECONDS", 1)
    result = run("normalize", cells, tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert result.exit_code == 1
    assert "tcp://127.0.0.1:1" in result.stderr


# scratch, versions


def test_scratch_of_a_crashed_run_is_found_and_removed(tmp_path: Path) -> None:
    crash = (
        "import os, sys, numpy as np\nfrom xprep.io.commit.scratch import Scratch\n"
        "scratch = Scratch.create(sys.argv[1])\nscratch.array('a', (4,), 'u2', (4,))\nos._exit(9)"
    )
    subprocess.run([sys.executable, "-c", crash, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    assert f"found {left}: left behind" in run("scratch", tmp_path).stdout
    assert left.exists()
    assert f"removed {left}" in run("scratch", tmp_path, "--remove").stdout
    assert not left.exists()
    assert "no scratch space" in run("scratch", tmp_path).stdout


def test_scratch_in_use_stays(tmp_path: Path) -> None:
    from xprep.io.commit.scratch import Scratch

    scratch = Scratch.create(tmp_path)
    assert "in use" in run("scratch", tmp_path, "--remove").stdout
    assert scratch.exists
    scratch.remove()


def test_versions() -> None:
    assert run("versions").stdout.split() == xprep.show_versions().split()


def test_the_bar_draws_on_a_terminal() -> None:
    """With the steps that are done, and full at the end; a terminal is what rich takes for one."""
    from io import StringIO

    from rich.console import Console

    from xprep.cli.bar import Bar

    screen = StringIO()
    with Bar(Console(file=screen, force_terminal=True, width=100)) as bar:
        image = xprep.datasets.blobs(channels=2, shape=(64, 64))
        image.prep.to_ome_zarr("memory://bar/out.zarr", progress=bar)
    assert "writing" in screen.getvalue()
    assert "100%" in screen.getvalue()
