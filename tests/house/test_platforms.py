"""Windows and macOS, as far as they can be told here: their paths, locks, renames, processes and file systems."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import psutil
import pytest
import xarray as xr
from zarr.storage import LocalStore

import xprep
from xprep import platforms
from xprep.batch import inputs, reports
from xprep.cli.request import output_urls
from xprep.engine.machine import memory
from xprep.engine.machine.control_groups import group_room
from xprep.errors import StoreExistsError
from xprep.io.commit import lock, owner
from xprep.io.commit.owner import Owner
from xprep.io.commit.scratch import find_scratch
from xprep.io.store import local_paths, locations
from xprep.io.store.places import open_store

IMAGE = xprep.datasets.blobs(channels=1, shape=(16, 16))
LABELS = (IMAGE.isel(c=0, drop=True) > 1).astype("uint8")
MIB = 2**20


class WindowsPath(PureWindowsPath):
    """What `pathlib.Path` is on Windows, without the disk."""

    def absolute(self) -> WindowsPath:
        return WindowsPath("C:\\home", self)


@pytest.fixture
def on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platforms, "ON_WINDOWS", True)
    monkeypatch.setattr(platforms, "sleep", lambda _: None)
    monkeypatch.setattr(local_paths, "Path", WindowsPath)


URLS = {
    "/C:/lab/a.zarr": "C:\\lab\\a.zarr",
    "C:/lab/a.zarr": "C:\\lab\\a.zarr",
    "/C:": "C:",
    "server/share/a.zarr": "\\\\server\\share\\a.zarr",
    "/lab/a.zarr": "\\lab\\a.zarr",
}


@pytest.mark.usefixtures("on_windows")
@pytest.mark.parametrize(("rest", "path"), URLS.items())
def test_urls_of_files_on_windows(rest: str, path: str) -> None:
    assert str(local_paths.path_of(rest)) == path


def test_urls_of_files_elsewhere() -> None:
    assert [str(local_paths.path_of(rest)) for rest in ("/C:/lab/a.zarr", "lab/a.zarr")] == ["/C:/lab/a.zarr", "lab/a.zarr"]


NAMES = {
    "C:\\plates\\E34.ome.zarr": ("C:/plates", "E34"),
    "plates\\E34.zarr\\": ("C:/home/plates", "E34"),
    "\\\\server\\share\\E34": ("//server/share", "E34"),
    "s3://lab/plates/a\\b.zarr": ("s3://lab/plates", "a\\b"),
    "file:///C:/plates/E34.zarr": ("file:///C:/plates", "E34"),
}


@pytest.mark.usefixtures("on_windows")
@pytest.mark.parametrize(("url", "parts"), NAMES.items())
def test_names_of_outputs_on_windows(url: str, parts: tuple[str, str]) -> None:
    """Of the command's outputs, and of a recipe's."""
    assert (local_paths.take_apart(url)[0], local_paths.stem(url)) == parts
    assert output_urls([url, "D:\\other.zarr"], "out") == (f"out/{parts[1]}.ome.zarr", "out/other.ome.zarr")
    assert inputs.Task("in", url, "").name == parts[1]


def test_a_backslash_is_a_letter_elsewhere() -> None:
    assert local_paths.stem("/plates/a\\b.zarr") == "a\\b"


@pytest.mark.parametrize("move", [platforms.replace, platforms.rename])
@pytest.mark.parametrize("kind", ["windows", "elsewhere"])
def test_renames_over_open_files(
    move: Callable[..., None], kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses them as long as a scanner has the file open; elsewhere a refusal is one."""
    if kind == "windows":
        request.getfixturevalue("on_windows")
    (tmp_path / "a").touch()
    real, tries = getattr(os, move.__name__), []

    def busy(*names: Any) -> None:
        tries.append(names)
        if len(tries) < 4:
            raise PermissionError(13, "used by another process")
        real(*names)

    monkeypatch.setattr(os, move.__name__, busy)
    if kind == "elsewhere":
        with pytest.raises(PermissionError):
            move(tmp_path / "a", tmp_path / "b")
        return
    move(tmp_path / "a", tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    monkeypatch.setattr(os, move.__name__, lambda *_: (_ for _ in ()).throw(PermissionError(13, "for good")))
    with pytest.raises(PermissionError, match="for good"):
        move(tmp_path / "b", tmp_path / "a")


@pytest.mark.usefixtures("on_windows")
def test_a_store_is_written_whose_files_are_open_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_paths, "Path", Path)
    real, refused = os.replace, set()

    def busy(source: Any, target: Any) -> None:
        if target not in refused:
            refused.add(target)
            raise PermissionError(13, "used by another process", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", busy)
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr")
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr", overwrite=True)
    assert len(refused) > 5
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "a.zarr").values, IMAGE.values)


def test_one_holds_a_folder_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.2)
    place, said, held = open_store(tmp_path / "a.zarr", mode="r+"), [], threading.Event()

    def second() -> None:
        try:
            with lock.hold(place):
                said.append("held")
        except StoreExistsError as error:
            said.append(str(error))

    for expected in ("another run has held this folder", "held"):
        thread = threading.Thread(target=second)
        if expected == "held":
            thread.start()
            thread.join()
        else:
            with lock.hold(place):
                held.set()
                thread.start()
                thread.join()
        assert expected in said[-1]
    IMAGE.prep.to_ome_zarr(tmp_path / "a.zarr")
    assert xprep.open_image(tmp_path / "a.zarr").shape == IMAGE.shape


def test_no_signal_is_sent_to_ask_whether_a_process_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`os.kill(pid, 0)` is CTRL_C_EVENT on Windows."""
    sent: list[Any] = []
    monkeypatch.setattr(owner.psutil, "pid_exists", lambda pid: sent.append(pid) or pid == os.getpid())
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("a signal was sent"))
    assert Owner.here().is_alive is True
    assert replace(Owner.here(), pid=os.getppid()).is_alive is False
    assert sent == [os.getpid(), os.getppid()]


@pytest.fixture
def without_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no /proc: a process's start is what psutil says."""
    monkeypatch.setattr(owner, "_counts_ticks", lambda: False)


MINE = psutil.Process().create_time()
STARTS = {
    "its own": (0, True),
    "the clock was set right": (1500, True),
    "another's": (-60_000, False),
    "a later one's": (9000, False),
}


@pytest.mark.usefixtures("without_ticks")
@pytest.mark.parametrize(("moved", "alive"), STARTS.values(), ids=STARTS)
def test_a_process_number_that_was_given_out_again(moved: int, alive: bool) -> None:
    here = Owner.here()
    assert abs(here.process_start - 1000 * MINE) < 2
    assert replace(here, process_start=here.process_start + moved).is_alive is alive


@pytest.mark.usefixtures("without_ticks")
def test_a_process_that_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = replace(Owner.here(), pid=child.pid, process_start=round(1000 * psutil.Process(child.pid).create_time()))
    assert mark.is_alive is True
    child.communicate(b"\n")
    assert mark.is_alive is False


MACHINES = {
    "renamed": ("0123", "0123", "new-name.lan", True),
    "another": ("0123", "4567", None, None),
    "another of the same name": ("0123", "4567", "same", None),
    "not known then": ("", "0123", "same", True),
    "not known now": ("0123", "", "new-name.lan", None),
}


@pytest.mark.parametrize(("then", "now", "name", "alive"), MACHINES.values(), ids=MACHINES)
def test_a_host_name_that_changes(
    then: str, now: str, name: str | None, alive: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS takes its name from the network that it is in."""
    monkeypatch.setattr(owner, "machine_id", lambda: then)
    mark = Owner.from_json(Owner.here().to_json())
    assert mark is not None
    monkeypatch.setattr(owner, "machine_id", lambda: now)
    if name not in ("same", None):
        monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert mark.is_alive is alive
    assert mark.is_here is (alive is True)


def test_what_tells_a_machine_is_no_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    said = '  | {\n  |   "IOPlatformUUID" = "6D2C7A9E-0000-1111-2222-333344445555"\n'
    monkeypatch.setattr(platforms, "ON_MACOS", True)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, said, ""))
    found = platforms.machine_id.__wrapped__()
    assert len(found) == 16
    assert found.lower() not in said.lower()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError))
    assert platforms.machine_id.__wrapped__() == ""


def several(*names: str) -> xr.Dataset:
    return xr.Dataset({name: IMAGE.rename(name) for name in names})


CASES: dict[str, Callable[[Path, str, str], Any]] = {
    "labels": lambda url, one, two: IMAGE.prep.to_ome_zarr(url, labels={one: LABELS, two: LABELS}),
    "images": lambda url, one, two: several(one, two).prep.to_ome_zarr(url),
    "coordinates": lambda url, one, two: IMAGE.assign_coords({one: 1.0, two: 2.0}).prep.to_ome_zarr(url),
}


@pytest.mark.parametrize("what", CASES)
@pytest.mark.parametrize("folds", [True, False])
def test_names_that_differ_in_case(what: str, folds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would share a folder where the file system takes them for one; elsewhere both are written."""
    monkeypatch.setattr(locations, "_folds_case", lambda _: folds)
    if not folds:
        CASES[what](tmp_path / "out", "Nuclei", "nuclei")
        assert {path.name for path in tmp_path.rglob("[Nn]uclei")} == {"Nuclei", "nuclei"}
        return
    with pytest.raises(ValueError, match=f"the {what} 'Nuclei' and 'nuclei' would be one folder at .*do not differ by case"):
        CASES[what](tmp_path / "out", "Nuclei", "nuclei")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", CASES)
def test_names_of_two_unicode_forms(what: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"the {what} .* would be one folder at .*do not differ by their Unicode form"):
        CASES[what](tmp_path / "out", "caf\u00e9", "cafe\u0301")
    assert list(tmp_path.iterdir()) == []


def raised(report: Any) -> None:
    (outcome,) = report.outcomes
    raise ValueError(outcome.reason)


DOORS: dict[str, Callable[[str], Any]] = {
    "to_ome_zarr": lambda path: IMAGE.prep.to_ome_zarr(path),
    "open_image": xprep.open_image,
    "open_tree": xprep.open_tree,
    "validate": xprep.validate,
    "a Path": lambda path: xprep.open_image(Path(path)),
    "a store object": lambda path: xprep.open_image(LocalStore(path)),
    "to a store object": lambda path: IMAGE.prep.to_ome_zarr(LocalStore(path)),
    "a recipe": lambda path: raised(xprep.run({"inputs": path, "steps": ["normalize"], "output": "x.zarr"})),
    "a report": lambda path: reports.ReportFile.at(f"{path}/report.json", {}),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_folders_whose_names_are_no_text(door: Callable[[str], Any], tmp_path: Path) -> None:
    """Bytes that are no UTF-8: neither metadata nor a report could name the store; said before anything is written."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.zarr")
    with pytest.raises(ValueError, match=r"is not UTF-8.*Rename the folder"):
        door(path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("build", ["spill", "find"])
def test_no_temporary_folder(build: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose root is read-only."""

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(local_paths.tempfile, "gettempdir", none)
    call = find_scratch if build == "find" else lambda: IMAGE.chunk().prep.normalize(sigma=1, intermediates="spill")
    with pytest.raises(xprep.ScratchFullError, match=r"no scratch space: No usable temporary.*scratch_url.*'recompute'"):
        call()
    assert IMAGE.chunk().prep.normalize(sigma=1, intermediates="recompute").compute().shape == IMAGE.shape


def group(folder: Path, **files: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def version_2(root: Path) -> str:
    group(root, memory__max=100 * MIB, memory__current=30 * MIB)
    return "0::/\n"


def version_2_with_cache(root: Path) -> str:
    group(root, memory__max=100 * MIB, memory__current=95 * MIB, memory__stat=f"anon 5\ninactive_file {65 * MIB}\nslab 3")
    return "0::/\n"


def version_2_below(root: Path) -> str:
    group(root, memory__max="max", memory__current=900 * MIB)
    group(root / "slurm/job_7", memory__max=100 * MIB, memory__current=30 * MIB)
    group(root / "slurm/job_7/step_0", memory__max="max", memory__current=20 * MIB)
    return "0::/slurm/job_7/step_0\n"


def version_1(root: Path) -> str:
    group(root / "memory", memory__limit_in_bytes=100 * MIB, memory__usage_in_bytes=30 * MIB)
    return "4:memory:/docker/0123\n3:cpu,cpuacct:/docker/0123\n"


def version_1_below(root: Path) -> str:
    group(root / "memory", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=900 * MIB)
    stat = f"cache 9\ntotal_inactive_file {10 * MIB}"
    group(root / "memory/job", memory__limit_in_bytes=100 * MIB, memory__usage_in_bytes=40 * MIB, memory__stat=stat)
    return "9:hugetlb,memory:/job\n0::/user.slice\n"


def over_the_limit(root: Path) -> str:
    group(root, memory__max=10 * MIB, memory__current=11 * MIB)
    return "0::/\n"


def unlimited(root: Path) -> str:
    group(root, memory__max="max", memory__current=30 * MIB)
    return "0::/\n"


def nonsense(root: Path) -> str:
    group(root, memory__max="", memory__current="?")
    return "garbage\n\n::::\n"


GROUPS: dict[Callable[[Path], str], int | None] = {
    version_2: 70, version_2_with_cache: 70, version_2_below: 70, version_1: 70, version_1_below: 70, over_the_limit: 0,
    unlimited: None, nonsense: None,
}  # fmt: skip


@pytest.mark.parametrize(("make", "room"), GROUPS.items(), ids=[make.__name__ for make in GROUPS])
def test_control_groups(make: Callable[[Path], str], room: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container allows is the machine's size, for the plan too; pages of files that can be dropped are free."""
    (tmp_path / "groups").write_text(make(tmp_path / "root"))
    found = group_room(tmp_path / "root", tmp_path / "groups")
    assert found == (None if room is None else room * MIB)
    monkeypatch.setattr(memory, "group_room", lambda: found)
    monkeypatch.setattr(memory, "_available", lambda: 8 * 2**30)
    assert memory.memory_limit() == (4 * 2**30 if room is None else room * MIB // 2)


def test_no_control_groups(tmp_path: Path) -> None:
    assert group_room(tmp_path / "none", tmp_path / "nothing") is None


def test_memory_that_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "group_room", lambda: None)
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total

    def hidden() -> Any:
        raise PermissionError("/proc is hidden")

    monkeypatch.setattr(memory.psutil, "virtual_memory", hidden)
    assert memory.free_memory() == 4 * 2**30


def test_workers_share_the_processors_that_a_container_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from xprep.engine.running import cluster

    asked: dict[str, Any] = {}

    class Asked:
        @staticmethod
        def LocalCluster(**how: Any) -> Any:
            asked.update(how)
            raise ConnectionError

    monkeypatch.setattr(cluster, "CPU_COUNT", 6)
    monkeypatch.setattr(os, "cpu_count", lambda: 96)
    with pytest.raises(ConnectionError), cluster._local(Asked, 2):
        pass
    assert asked["threads_per_worker"] == 3
