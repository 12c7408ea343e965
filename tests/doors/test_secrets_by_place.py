"""Secrets of every spelling × every place that what xprep makes, says or leaves can be read in: one table."""

from __future__ import annotations

import json
import logging
import pickle
import re
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import dask
import pytest
from typer.testing import CliRunner

import xprep
from tests.helpers.servers import Server
from xprep.cli.app import app
from xprep.images import describe_store
from xprep.io.store.places import open_store

# Each holds `canary` twice, so that a part of it is found as well. More spellings are in `test_redaction`.
SECRETS: Final = {"slashes": "7/canary99/canary+FEMI=", "a comma, quotes, a space": "canary, canary's \"canäry\" 1"}


@pytest.fixture
def options(s3: Server, secret: str) -> dict[str, Any]:
    return {**s3.storage_options(key="someone", secret=secret), "token": secret.encode("ascii", "replace").decode()}


@pytest.fixture
def bucket(s3: Server, options: dict[str, Any]) -> str:
    """A bucket with an image of two channels."""
    bucket = s3.new_bucket()
    image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    image.prep.to_ome_zarr(f"{bucket}/in.zarr", scale_factors=(), chunks={"y": 32, "x": 32}, storage_options=options)
    return bucket


def told(error: BaseException) -> str:
    """Return all that an error shows: its chain, with notes and arguments; and what is kept behind ``from None``.

    That is shown by nothing of Python's own, but by tools that collect errors.
    """
    found, open_ones, seen = [], [error], set[int]()
    while open_ones:
        one = open_ones.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        found.append(f"{one} {one!r} {one.args} {getattr(one, '__notes__', '')}")
        open_ones += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "".join([*found, *traceback.format_exception(error)])


Place = Callable[[str, dict[str, Any], Path], Any]


def reprs(bucket: str, options: dict[str, Any], _: Path) -> list[Any]:
    url = f"{bucket}/in.zarr"
    image = xprep.open_image(url, storage_options=options)
    tree = xprep.open_tree(url, storage_options=options)
    lazy = image.prep.normalize(sigma=1)
    report = lazy.prep.to_ome_zarr(f"{bucket}/out.zarr", scale_factors=(), storage_options=options)
    plan = lazy.prep.plan()
    checked = [xprep.validate(url, storage_options=options), xprep.verify(url, storage_options=options), describe_store(url,
        options)]
    shown = [image, tree, lazy, image.prep, report, plan, *checked]
    kept = [one.__dict__ for one in (image.attrs, image.encoding, lazy.attrs) if hasattr(one, "__dict__")]
    html = [one._repr_html_() for one in (image, tree, lazy, plan)]
    pickled = [pickle.dumps(one).decode("latin-1") for one in (report, plan, *checked)]
    return [*map(repr, shown), *map(str, shown), *kept, *html, *pickled, image.attrs, lazy.attrs, image.encoding,
        checked[0].to_json()]


def graphs(bucket: str, options: dict[str, Any], _: Path) -> list[Any]:
    """Keys, tokens and layers as dask's dashboard and its errors show them."""
    lazy = xprep.open_image(f"{bucket}/in.zarr", storage_options=options).prep.gaussian_filter(1)
    graph = lazy.__dask_graph__()
    tasks = dict(graph)
    return [repr(graph), str(graph), *map(str, tasks), *map(repr, tasks.values()), *map(str, tasks.values()),
        dask.base.tokenize(lazy)]


def stores(bucket: str, options: dict[str, Any], folder: Path) -> list[Any]:
    """What is stored, at the end and while a run goes on: notes, marks, journals, statistics, scratch."""
    found: list[bytes | str] = []

    class Looking:
        def started(self, stage: str, total: int) -> None:
            found.append(stage)

        def advanced(self, stage: str, steps: int, nbytes: int) -> None:
            look()

        def finished(self, stage: str) -> None:
            look()

    def look() -> None:
        place = open_store(bucket, options)
        for name in place.list_names():
            found.extend([name, place.get(name) or b""])
        for file in folder.rglob("*"):
            found.extend([str(file.relative_to(folder)), file.read_bytes() if file.is_file() else b""])

    with xprep.set_options(intermediates="spill", scratch_url=str(folder / "scratch"), tile_bytes=2**14):
        image = xprep.open_image(f"{bucket}/in.zarr", storage_options=options).prep.normalize(sigma=1)
        image.prep.to_ome_zarr(f"{bucket}/out.zarr", scale_factors=(), storage_options=options, progress=Looking())
    look()
    return [one.decode("latin-1") if isinstance(one, bytes) else one for one in found]


def batches(bucket: str, options: dict[str, Any], folder: Path) -> list[Any]:
    """Recipes, their reports on disk and in memory, and what they say of what fails."""
    given = {
        "inputs": [f"{bucket}/in.zarr", f"{bucket}/none.zarr", f"s3://ann:{quoted(options)}@lab/x.zarr"],
        "steps": [{"gaussian_filter": {"sigma": 1}}], "output": f"{bucket}/made", "storage_options": options,
        "settings": {"scratch_options": options},
    }  # fmt: skip
    report = xprep.run(given, progress=False, report=folder / "report.json")
    shown = [report, xprep.batch.load_recipe(given), *xprep.status(given), *report.outcomes]
    return [*map(repr, shown), *map(str, shown), report.to_json(), (folder / "report.json").read_text()]


def quoted(options: dict[str, Any]) -> str:
    return str(options["secret"]).replace(" ", "%20").replace('"', "%22")


def errors(bucket: str, options: dict[str, Any], folder: Path) -> list[Any]:
    """What every entry point says of what is not there, of a URL that is refused, of a server that does not answer."""
    image = xprep.datasets.blobs(channels=1, shape=(16, 16))
    away = {
        **options, "client_kwargs": {"endpoint_url": f"http://ann:{quoted(options)}@127.0.0.1:9", "region_name": "x"},
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1},
    }  # fmt: skip
    recipe = {"steps": ["to_isotropic"], "output": f"{bucket}/o", "storage_options": options}
    attempts: list[Callable[[], Any]] = []
    for url, how in (
        (f"{bucket}/none.zarr", options), (f"s3://ann:{quoted(options)}@lab/x.zarr", options),
        (f"https://127.0.0.1:9/x.zarr?sig={quoted(options)}", {}), (f"{bucket}/in.zarr", away),
    ):  # fmt: skip
        # Of a server that does not answer one is asked: each tries for seconds.
        openers = (xprep.open_image, xprep.open_tree, xprep.validate, xprep.verify)[: 1 if how is away else None]
        attempts += [lambda opener=opener, url=url, how=how: opener(url, storage_options=how) for opener in openers]
        attempts.append(lambda url=url: xprep.run({**recipe, "inputs": f"{url}/*.none"}, progress=False))
    attempts += [
        lambda: image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options),
        lambda: image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options, resume=True, fingerprint="other"),
        lambda: image.prep.to_ome_zarr(f"s3://ann:{quoted(options)}@lab/x.zarr"),
        lambda: xprep.open_image(f"{bucket}/in.zarr", storage_options=str(options)),
        lambda: xprep.open_image([options]),
        lambda: xprep.set_options(scratch_options=str(options)),
        lambda: xprep.batch.load_recipe({**recipe, "inputs": "a", "storage_options": str(options)}),
        lambda: xprep.batch.load_recipe({**recipe, "inputs": "a", "settings": {"scratch_options": [options]}}),
        lambda: xprep.run({**recipe, "inputs": "a", "steps": ["none"]}, progress=False),
    ]
    found = []
    for attempt in attempts:
        with pytest.raises((ValueError, TypeError, OSError, KeyError)) as caught:
            attempt()
        found.append(told(caught.value))
    return found


def commands(bucket: str, options: dict[str, Any], folder: Path) -> list[Any]:
    """The terminal of every command: what is there and what is not, with tracebacks and without."""
    given = ["--storage-options", json.dumps(options)]
    recipe = {"inputs": [f"{bucket}/*.zarr"], "steps": ["to_isotropic"], "output": f"{bucket}/o", "storage_options": options}
    (folder / "r.yaml").write_text(json.dumps(recipe))
    rows = [[name, url, *given] for name in ("info", "validate", "verify") for url in (f"{bucket}/in.zarr",
        f"{bucket}/none.zarr")]
    rows += [["plan", f"{bucket}/in.zarr", f"{bucket}/p.zarr", *given], ["normalize", f"{bucket}/in.zarr", f"{bucket}/in.zarr",
        *given]]
    rows += [[name, f"s3://ann:{quoted(options)}@lab/x.zarr"] for name in ("info", "validate", "verify", "scratch")]
    rows += [["run", str(folder / "r.yaml"), "--scheduler", f"nope://ann:{quoted(options)}@lab:1"]]
    rows += [["scratch", bucket, *given], ["plan", str(folder / "r.yaml")]]
    rows += [[name, str(folder / "r.yaml")] for name in ("run", "resume", "status")]
    rows += [[*row, "--debug"] for row in rows[::2]] + [["versions"], ["--help"], ["normalize", "--help"], ["info", *given]]
    found = []
    for row in rows:
        ran = CliRunner().invoke(app, row)
        error = ran.exception if isinstance(ran.exception, Exception) else None
        found.append(ran.output + ran.stderr + (told(error) if error is not None else ""))
    return found


def workers(bucket: str, options: dict[str, Any], _: Path) -> list[Any]:
    """What workers of a cluster log of runs that succeed, of a source that is gone and of credentials in an address."""
    from distributed import Client, LocalCluster  # as long to import as all of xprep

    found: list[Any] = []
    image = xprep.open_image(f"{bucket}/in.zarr", storage_options=options)
    lost = xprep.open_image(f"{bucket}/in.zarr", storage_options=options).prep.gaussian_filter(1)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        image.prep.normalize(sigma=1).prep.to_ome_zarr(f"{bucket}/out.zarr", storage_options=options)
        open_store(f"{bucket}/in.zarr", options, "r+").child("scale0/image/c").delete()
        with pytest.raises(OSError, match=r"in\.zarr") as caught:
            lost.prep.to_ome_zarr(f"{bucket}/lost.zarr", storage_options=options)
        found += [told(caught.value), client.get_worker_logs(), client.get_scheduler_logs(), cluster.get_logs()]
        found += [client.run(lambda dask_worker: repr(dask_worker.state.log)), repr(client.futures)]
    return [*map(str, found), *(f"line {n} {line}" for n, line in enumerate(str(found[1]).splitlines()))] * 3


PLACES: Final[dict[str, Place]] = {
    "reprs and pickles": reprs, "graphs and tokens": graphs, "stores and scratch": stores, "batches and reports": batches,
    "errors": errors, "commands": commands, "workers": workers,
}  # fmt: skip


# What is said is looked at with both; what is made and left with one.
ROWS: Final = [(place, name) for place in PLACES for name in SECRETS if place in ("errors", "commands") or name == "slashes"]


@pytest.mark.parametrize(("place", "secret"), [(place, SECRETS[name]) for place, name in ROWS], ids=map(", ".join, ROWS))
def test_no_secret_is_there(
    place: str, bucket: str, options: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor in a log (botocore's own for debugging aside) or a warning meanwhile."""
    caplog.set_level(logging.INFO)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = PLACES[place](bucket, options, tmp_path)
    texts = [*map(str, found), caplog.text, *(str(one.message) for one in caught)]
    assert len(texts) > 10
    assert [text for text in texts if re.search("can(a|ä|%C3%A4|\\\\xe4)ry", text)] == []
