"""A secret that is given never comes out again: in no store, journal, log, plan, report, error or pickle of these."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import zarr
from typer.testing import CliRunner
from zarr.storage import FsspecStore, MemoryStore

import xprep
from tests.servers import Server
from xprep.batch import Task
from xprep.cli.app import app
from xprep.io.advice import explain
from xprep.io.foreign import readable_of
from xprep.io.objects import name_store
from xprep.io.urls import parse

CANARY = "canary-9f8e7d6c5b4a"


@pytest.fixture
def options(s3: Server) -> dict[str, Any]:
    """Options with a secret in them. moto takes any credentials."""
    return {**s3.storage_options(key="someone", secret=CANARY), "token": CANARY}


@pytest.fixture
def in_environment(s3: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Options without credentials: these are in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, CANARY)
    return {name: value for name, value in s3.storage_options().items() if name not in ("key", "secret")}


@pytest.fixture
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that is logged, by whomever; botocore's own debug log, which shows requests, aside."""
    caplog.set_level(logging.INFO)
    yield caplog
    assert CANARY not in caplog.text


def run(url: str, options: dict[str, Any], **how: Any) -> Any:
    with xprep.set_options(tile_bytes=2**15):
        image = xprep.open_image(f"{url}/in.zarr", storage_options=options).prep.normalize(sigma=1)
        return image.prep.to_ome_zarr(f"{url}/out.zarr", storage_options=options, chunks={"y": 32, "x": 32}, **how)


@pytest.mark.parametrize("given", ["options", "in_environment"])
def test_nothing_that_is_kept_has_the_secret(s3: Server, given: str, request: pytest.FixtureRequest, logs: Any) -> None:
    bucket, options = s3.new_bucket(), request.getfixturevalue(given)
    image = xprep.datasets.blobs(channels=2, shape=(128, 128))
    image.prep.to_ome_zarr(f"{bucket}/in.zarr", chunks={"y": 64, "x": 64}, storage_options=options)

    class Peeking:
        """Looks into the store while it is written: journal, statistics, marks."""

        def __init__(self) -> None:
            self.seen: set[str] = set()

        def started(self, stage: str, total: int) -> None: ...

        def advanced(self, stage: str, steps: int, nbytes: int) -> None:
            if nbytes and not self.seen:
                self.seen = names_with_bytes(bucket, options)

        def finished(self, stage: str) -> None: ...

    peeking = Peeking()
    report = run(bucket, options, progress=peeking)
    assert any(".xprep/parts" in name for name in peeking.seen)
    names_with_bytes(bucket, options)
    lazy = xprep.open_image(f"{bucket}/out.zarr", storage_options=options).prep.gaussian_filter(1)
    plan = lazy.prep.plan()
    checked = xprep.verify(f"{bucket}/out.zarr", storage_options=options)
    for one in (report, plan, checked):
        assert CANARY not in repr(one) + str(one) + pickle.dumps(one).decode("latin-1")
    assert CANARY not in plan._repr_html_() + lazy._repr_html_() + repr(lazy) + str(lazy.attrs) + str(lazy.encoding)
    assert CANARY not in repr(lazy.prep)


def names_with_bytes(bucket: str, options: dict[str, Any]) -> set[str]:
    """Return the names of all objects in a bucket; none has the secret in it."""
    from xprep.io.stores import open_store

    place = open_store(bucket, options)
    found = {name: place.get(name) or b"" for name in place.list_names()}
    assert not [name for name, data in found.items() if CANARY.encode() in data or CANARY in name]
    return set(found)


def test_no_error_has_the_secret(s3: Server, options: dict[str, Any], logs: Any) -> None:
    bucket = s3.new_bucket()
    wrong = {**options, "client_kwargs": {"endpoint_url": f"http://ann:{CANARY}@127.0.0.1:9", "region_name": "x"}}
    image = xprep.datasets.blobs(channels=1, shape=(64, 64))
    image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options)
    attempts = [
        lambda: xprep.open_image(f"{bucket}/nothing.zarr", storage_options=options),
        lambda: xprep.open_image(f"s3://no-such-bucket-{os.getpid()}/x.zarr", storage_options=options),
        lambda: xprep.open_image(f"https://ann:{CANARY}@127.0.0.1:9/x.zarr"),
        lambda: xprep.open_image(f"https://127.0.0.1:9/x.zarr?sig={CANARY}"),
        lambda: xprep.open_image(f"s3://ann:{CANARY}@lab/x.zarr"),
        lambda: image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options),
        lambda: image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options, resume=True, fingerprint="other"),
        lambda: xprep.verify(f"{bucket}/none.zarr", storage_options=options),
        lambda: xprep.run({"inputs": f"{bucket}/*.none", "steps": ["normalize"], "output": bucket, "storage_options": options}),
        lambda: xprep.open_image(
            f"{bucket}/in.zarr", storage_options={**wrong, "config_kwargs": {"retries": {"max_attempts": 1}}}
        ),
    ]
    for attempt in attempts:
        with pytest.raises((OSError, ValueError)) as caught:
            attempt()
        error: BaseException | None = caught.value
        while error is not None:
            assert CANARY not in f"{error} {error!r} {getattr(error, '__notes__', '')} {error.args}"
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        assert CANARY not in pickle.dumps(str(caught.value)).decode("latin-1")


def test_no_command_prints_the_secret(s3: Server, options: dict[str, Any], tmp_path: Path, logs: Any) -> None:
    bucket = s3.new_bucket()
    image = xprep.datasets.blobs(channels=1, shape=(64, 64))
    image.prep.to_ome_zarr(f"{bucket}/in.zarr", storage_options=options)
    recipe = {
        "inputs": f"{bucket}/*.zarr", "steps": [{"gaussian_filter": {"sigma": 1}}], "output": f"{bucket}/out",
        "storage_options": options,
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    given = ["--storage-options", json.dumps(options)]
    path, report = str(tmp_path / "recipe.yaml"), str(tmp_path / "report.json")
    commands = [
        ["run", path, "--progress", "json", "--report", report], ["run", path, "--plan"], ["run", path], ["status", path],
        ["resume", path], ["info", f"{bucket}/in.zarr", *given], ["verify", f"{bucket}/in.zarr", f"{bucket}/none.zarr", *given],
        ["plan", f"{bucket}/in.zarr", f"{bucket}/p.zarr", *given],
        ["normalize", f"{bucket}/in.zarr", f"{bucket}/in.zarr", *given],
    ]  # fmt: skip
    for command in commands:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = CliRunner().invoke(app, command)
        assert CANARY not in result.output + result.stderr, command
    assert CANARY not in Path(report).read_text()
    names_with_bytes(bucket, options)


def test_secrets_in_urls_of_a_recipe(tmp_path: Path, logs: Any) -> None:
    """URLs with a password are refused, image by image; each command says of which, and none says the password."""
    secret = f"s3://ann:{CANARY}@lab"
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(tmp_path / "a.zarr")
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(tmp_path / "b.zarr")
    good = [str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")]
    recipes: list[dict[str, Any]] = [
        {"inputs": f"{secret}/a.zarr", "output": str(tmp_path / "out")},
        {"inputs": good, "output": f"{secret}/out"},
        {"inputs": [f"{secret}/a.zarr", good[1]], "output": f"{secret}/out", "statistics": "all"},
        {"inputs": good, "output": f"{secret}/one.zarr/{{parent}}"},
        {"inputs": f"{secret}/*.zarr", "output": str(tmp_path / "out")},
        {"inputs": f"memory://ann:{CANARY}@lab/*.zarr", "output": str(tmp_path / "out")},
        {"inputs": good[0], "output": f"{secret}/one.zarr?sig={CANARY}"},
    ]
    path, report = tmp_path / "recipe.yaml", tmp_path / "report.json"
    for recipe in recipes:
        path.write_text(json.dumps({**recipe, "steps": [{"gaussian_filter": {"sigma": 1}}]}))
        commands = [["run", path, "--report", report, "--progress", "json"], ["plan", path], ["status", path], ["resume", path]]
        for command in commands:
            result = CliRunner().invoke(app, [str(one) for one in command])
            assert "a.ome.zarr" in result.output or "lab" in result.output + result.stderr, (recipe, command)
            assert CANARY not in result.output + result.stderr, (recipe, command)
        for ask in (xprep.run, xprep.batch.status):
            try:
                said = repr(ask(path)) + str(ask(path))
            except ValueError as error:
                said = f"{error} {error!r}"
            assert CANARY not in said
        assert not report.exists() or CANARY not in report.read_text()


def test_secrets_in_what_others_say(tmp_path: Path, s3: Server, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that puts the credentials it was given into its own message."""
    from s3fs import S3FileSystem

    async def tell(*_: Any, **__: Any) -> Any:
        raise OSError(f"signature of {CANARY} does not match for https://ann:{CANARY}@lab/x?sig={CANARY}")

    for name in ("_cat_file", "_info", "_ls", "_find", "_exists", "_lsdir"):
        monkeypatch.setattr(S3FileSystem, name, tell)
    path = tmp_path / "recipe.yaml"
    recipe = {"inputs": "s3://lab/a.zarr", "steps": ["normalize"], "output": "s3://lab/out", "storage_options": options}
    path.write_text(json.dumps(recipe))
    for command in (["run", path], ["plan", path], ["status", path], ["resume", path]):
        result = CliRunner().invoke(app, [str(one) for one in command])
        assert "does not match" in result.output + result.stderr, command
        assert CANARY not in result.output + result.stderr, command
    for ask in (lambda: xprep.open_image("s3://lab/a.zarr", storage_options=options), lambda: xprep.run(path)):
        try:
            said = repr(ask())
        except OSError as error:
            said = f"{error} {error!r}"
        assert "does not match" in said
        assert CANARY not in said


def test_a_command_lets_no_secret_through(tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The last net, below all others: whatever an error or a warning says of what a command was given."""
    from rich.console import Console

    import xprep.batch.opening
    import xprep.batch.state
    import xprep.cli.batch
    from xprep.cli.failures import reported

    text = f"{CANARY} in https://ann:{CANARY}@lab/x?sig={CANARY}"
    stream = io.StringIO()

    def warn_and_fail() -> None:
        warnings.simplefilter("default")
        warnings.warn(text, UserWarning, stacklevel=1)
        raise ValueError(text)

    with pytest.raises(typer.Exit), reported(Console(file=stream, width=240), secrets=options):
        warn_and_fail()
    assert stream.getvalue().count("*** in https://lab/x") == 2
    assert CANARY not in stream.getvalue()

    def tell(*_: Any, **__: Any) -> Any:
        raise ValueError(text)

    monkeypatch.setattr(xprep.batch.opening, "open_image", tell)
    recipe = {"inputs": "s3://lab/a.zarr", "steps": ["normalize"], "output": "s3://lab/out", "storage_options": options}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    result = CliRunner().invoke(app, ["plan", str(tmp_path / "recipe.yaml")])
    assert "would fail: *** in https://lab/x" in result.output
    assert CANARY not in result.output + result.stderr
    (outcome,) = xprep.run(tmp_path / "recipe.yaml", progress=False).outcomes
    assert outcome.reason == "*** in https://lab/x"
    monkeypatch.setattr(xprep.batch.state, "open_store", tell)
    (found,) = xprep.batch.status(tmp_path / "recipe.yaml")
    assert found.about == "*** in https://lab/x"
    assert Task("a", f"s3://ann:{CANARY}@lab/x.zarr?sig={CANARY}", "").name == "x"


@pytest.mark.parametrize(
    "url",
    [
        f"reference::https://ann:{CANARY}@lab/x", f"simplecache::https://lab/x?sig={CANARY}", f"ftp://ann:{CANARY}@lab/x",
        f"https://lab/x?sig={CANARY}", f"s3://ann:{CANARY}@lab/x", f"gs://ann:{CANARY}@lab/x", f"https://ann:{CANARY}@lab/\0",
    ],
)  # fmt: skip
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="lab") as caught:
        parse(url)
    assert CANARY not in str(caught.value)


def test_names_of_stores() -> None:
    """What other libraries' stores call themselves is where they are: their credentials too."""

    class Named(MemoryStore):
        def __str__(self) -> str:
            return f"https://ann:{CANARY}@lab/x?sig={CANARY}"

    remote = FsspecStore.from_url(f"https://ann:{CANARY}@lab/x.zarr", read_only=True)
    array = zarr.create_array(Named(), shape=(4,), chunks=(2,), dtype="u1")
    place = readable_of(array)
    assert place is not None
    shown = [name_store(remote), name_store(Named()), str(place.place), repr(place), str(parse(f"https://ann:{CANARY}@lab/x"))]
    shown.append(str(explain(OSError(f"no https://ann:{CANARY}@lab/x, {CANARY}"), "lab", {"key": CANARY})))
    for name in shown:
        assert "lab/x" in name
        assert CANARY not in name
