"""One writer a store: who holds a folder, and what becomes of those that come second."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from xprep.errors import StoreExistsError
from xprep.io.commit.lock import hold, state_of
from xprep.io.store.places import open_store

HOLDER = """
import sys
from xprep.io.commit.lock import hold
from xprep.io.store.places import open_store
with hold(open_store(sys.argv[1], mode="r+")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: what is held is said at once."""
    monkeypatch.setattr(sys.modules[hold.__module__], "PATIENCE_SECONDS", -1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["a.zarr", "b.zarr"])
def test_a_folder_is_held_against_other_processes_until_they_die(tmp_path: Path, name: str) -> None:
    """The folder above is what is held, so another store beside it waits too."""
    place = open_store(tmp_path / name, mode="r+")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a.zarr")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(StoreExistsError, match=f"{name}.*another run has held this folder"), hold(place):
            pass
        other.kill()
        other.wait()
        with hold(place):
            pass


def test_who_comes_second_waits_until_the_first_lets_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first lets go of it while the second waits, whoever is the faster."""
    place = open_store(tmp_path / "a.zarr", mode="r+")
    waited: list[float] = []
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a.zarr")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other, ExitStack() as ended:
        ended.callback(other.kill)
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"

        def wait(seconds: float) -> None:
            waited.append(seconds)
            other.kill()
            other.wait()

        monkeypatch.setattr(sys.modules[hold.__module__], "sleep", wait)
        with hold(place):
            assert len(waited) == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_is_let_go_of_whatever_happens(tmp_path: Path, fails: bool) -> None:
    place = open_store(tmp_path / "new" / "a.zarr", mode="r+")
    try:
        with hold(place):
            with pytest.raises(StoreExistsError), hold(place):
                pass
            if fails:
                raise KeyError(fails)
    except KeyError:
        assert fails
    with hold(place):
        assert (tmp_path / "new").is_dir()


def test_a_store_that_was_replaced_is_another_though_its_metadata_are_the_same(tmp_path: Path) -> None:
    """Equal bytes may be another run's; a store that nobody touched is the same."""
    for name in ("a.zarr", "b.zarr"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "zarr.json").write_text("{}")
    place = open_store(tmp_path / "a.zarr", mode="r+")
    before = state_of(place)
    assert state_of(place) == before is not None
    (tmp_path / "a.zarr").rename(tmp_path / "old.zarr")
    assert state_of(place) is None
    (tmp_path / "b.zarr").rename(tmp_path / "a.zarr")
    assert state_of(place) not in (before, None)
