"""Scratch: made by the first write, removed with its last user, found after a crash, honest when the disk is full."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from xprep.errors import ChunkError, ScratchFullError
from xprep.io.commit import scratch as module
from xprep.io.commit.owner import Owner
from xprep.io.commit.scratch import Scratch, find_scratch, remove_stale

FULL = (slice(None), slice(None))
PIXELS = np.arange(35 * 20, dtype=np.float32).reshape(35, 20)

CHILD = """
import sys, time
import numpy as np
from xprep.io.commit.scratch import Scratch
scratch = Scratch.plan(sys.argv[1])
target, source = scratch.array("a", (8, 8), "uint8", (4, 4))
target.write((slice(0, 4), slice(0, 4)), np.ones((4, 4), "uint8"))
print("ready", flush=True)
if sys.argv[2] == "stay":
    time.sleep(900)
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


def spawn(folder: Path, then: str) -> subprocess.Popen[bytes]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), then], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def end(child: subprocess.Popen[bytes], by: int | None = None) -> None:
    if by is not None:
        child.send_signal(by)
    child.wait(300)
    assert child.stdout is not None
    child.stdout.close()


def test_there_and_back_and_gone(tmp_path: Path) -> None:
    scratch = Scratch.plan(tmp_path)
    target, source = scratch.array("a/<b>", PIXELS.shape, PIXELS.dtype, (10, 20))
    assert os.listdir(tmp_path) == []
    target.write((slice(0, 30), slice(0, 20)), PIXELS[:30])
    with pytest.raises(ChunkError, match="not in the store"):
        source.read(FULL)
    target.write((slice(30, 35), slice(0, 20)), PIXELS[30:])
    np.testing.assert_array_equal(source.read(FULL), PIXELS)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    del scratch, target
    gc.collect()
    assert folder.exists()  # the readable is a user too
    np.testing.assert_array_equal(source.read((slice(3, 33), slice(5, 6))), PIXELS[3:33, 5:6])
    del source
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_a_copy_on_a_worker_never_removes(tmp_path: Path) -> None:
    scratch = Scratch.create(tmp_path)
    target, source = scratch.array("a", PIXELS.shape, PIXELS.dtype, (10, 20))
    far_target, far_source, far_scratch = pickle.loads(pickle.dumps((target, source, scratch)))  # noqa: S301
    far_target.write(FULL, PIXELS)
    np.testing.assert_array_equal(far_source.read(FULL), PIXELS)
    far_scratch.remove()
    shallow = copy.copy(scratch)
    del far_target, far_source, far_scratch, shallow
    gc.collect()
    np.testing.assert_array_equal(source.read(FULL), PIXELS)
    scratch.remove()
    scratch.remove()
    assert not scratch.exists


def test_removed_when_python_ends_whatever_way_it_can_notice(tmp_path: Path) -> None:
    for then in ("end", "raise"):
        end(spawn(tmp_path, then))
        assert os.listdir(tmp_path) == []


def test_killed_and_found(tmp_path: Path) -> None:
    child = spawn(tmp_path, "stay")
    (left,) = find_scratch(tmp_path)
    assert left.is_alive is True
    assert left.owner is not None
    assert left.owner.pid == child.pid
    assert remove_stale(tmp_path) == []
    assert len(os.listdir(tmp_path)) == 1
    end(child, signal.SIGKILL)
    (left,) = find_scratch(tmp_path)
    assert left.is_alive is False
    assert left.age_seconds is not None
    assert 0 <= left.age_seconds < 60
    assert len(os.listdir(tmp_path)) == 1
    with_lease = Scratch.create(tmp_path)  # a new one tidies up
    assert [found.url for found in find_scratch(tmp_path)] == [with_lease.place.url]


def test_others_are_left_alone(tmp_path: Path) -> None:
    elsewhere = Owner("another-host", 1, 1, "2020-01-01T00:00:00+00:00")
    module.open_store(tmp_path / "xprep-scratch-far", mode="r+").write_json("lease.json", elsewhere.to_json())
    (tmp_path / "xprep-scratch-torn").mkdir()
    (tmp_path / "xprep-scratch-torn" / "lease.json").write_text("{")
    (tmp_path / "mine").mkdir()
    found = {Path(left.url).name: left for left in find_scratch(tmp_path)}
    assert sorted(found) == ["xprep-scratch-far", "xprep-scratch-torn"]
    assert {left.is_alive for left in found.values()} == {None}
    assert remove_stale(tmp_path) == []
    for left in found.values():
        left.remove()
    assert os.listdir(tmp_path) == ["mine"]


def test_a_number_that_is_given_out_again_is_not_its_owner() -> None:
    here = Owner.here()
    assert here.is_alive is True
    assert Owner.from_json(here.to_json()) == here
    if here.process_start:
        assert Owner(here.host, here.pid, here.process_start + 1, here.created).is_alive is False
    assert Owner(here.host, 2**22 + 1, 5, here.created).is_alive is False
    assert Owner(here.host, -1, 5, here.created).is_alive is False
    for broken in (None, 3, {}, {**here.to_json(), "pid": "1"}, {**here.to_json(), "created": None}):
        assert Owner.from_json(broken) is None


def test_no_space_is_said_before_it_is_used(tmp_path: Path) -> None:
    scratch = Scratch.plan(tmp_path)
    target, _ = scratch.array("a", (2**20, 2**24), "float32", (1, 2**24))
    says = rf"{tmp_path}.* needs 67,108,864 MiB and has .* MiB free.*set_options\(scratch_url"
    with pytest.raises(ScratchFullError, match=says):
        target.write((slice(0, 1), slice(0, 2**24)), np.zeros((1, 2**24), np.float32))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ScratchFullError, match="no scratch space at"):
        Scratch.create(tmp_path / "file")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one (root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = Scratch.plan(small_disk)
    target, source = scratch.array("a", (4, 2**20), "uint8", (1, 2**20))
    with pytest.raises(ScratchFullError, match=r"needs 4 MiB and has [12] MiB free"):
        target.write((slice(0, 1), slice(0, 2**20)), np.ones((1, 2**20), np.uint8))
    monkeypatch.setattr(Scratch, "check_space", lambda *_: None)  # others may fill it after we looked
    target.write((slice(0, 1), slice(0, 2**20)), np.ones((1, 2**20), np.uint8))
    with pytest.raises(ScratchFullError, match=r"needs 1 MiB and has .* MiB free.*set_options\(scratch_url"):
        target.write((slice(1, 2), slice(0, 2**20)), np.ones((1, 2**20), np.uint8))
    assert not list(small_disk.rglob("*.partial"))
    assert (source.read((slice(0, 1), slice(0, 9))) == 1).all()
    scratch.remove()
    assert os.listdir(small_disk) == []


def test_what_was_written_is_not_asked_for_again(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that comes later finds less room than the array needs, because most of the array is there already."""
    monkeypatch.setattr(module, "SPARE_BYTES", 0)
    scratch = Scratch.plan(small_disk)
    target, _ = scratch.array("a", (3, 2**19), "uint8", (1, 2**19))
    rows = [(slice(row, row + 1), slice(0, 2**19)) for row in range(3)]
    target.write(rows[0], np.ones((1, 2**19), np.uint8))
    target.write(rows[1], np.ones((1, 2**19), np.uint8))
    pickle.loads(pickle.dumps(target)).write(rows[2], np.ones((1, 2**19), np.uint8))  # noqa: S301
    scratch.remove()


def test_planning_touches_nothing(tmp_path: Path) -> None:
    Scratch.plan(tmp_path / "none").array("a", (10**6, 10**6), "float32", (10**3, 10**3))
    assert not (tmp_path / "none").exists()


FORKED = """
import os, sys
from xprep.io.commit.scratch import Scratch
scratch = Scratch.create(sys.argv[1])
if os.fork() == 0:
    if sys.argv[2] == "removes":
        scratch.remove()
    if sys.argv[2] == "drops":
        del scratch
    if sys.argv[2] == "ends":
        sys.exit()
    os._exit(0)
os.wait()
print(scratch.exists)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on Windows")
@pytest.mark.parametrize("way", ["removes", "drops", "ends"])
def test_a_forked_child_leaves_the_folder_of_its_parent(tmp_path: Path, way: str) -> None:
    """It inherits the finalizer, and what is called at exit; the folder is in use, and goes with the parent."""
    ran = subprocess.run([sys.executable, "-c", FORKED, str(tmp_path), way], capture_output=True, text=True, check=True)
    assert ran.stdout == "True\n"
    assert os.listdir(tmp_path) == []
