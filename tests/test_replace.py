"""A store in a bucket is replaced by one made beside it; killed at any request, one of the two is whole."""

from __future__ import annotations

import json
import multiprocessing
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partialmethod
from typing import Any, ClassVar

import numpy as np
import pytest
import s3fs.core
import zarr
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import FsspecStore

import xprep
from tests import faulty
from tests.crashes import objects, wait_for
from tests.faulty import FaultProxy, Rule, impatient
from tests.servers import SECRET, Server
from xprep.errors import StoreExistsError, UnfinishedStoreError
from xprep.io import copying, owner
from xprep.io.copying import copy, split
from xprep.io.groups import read_group
from xprep.io.moving import Move, read_note
from xprep.io.notes import encode_note
from xprep.io.replacing import announced, find_move
from xprep.io.status import read_status
from xprep.io.stores import open_store

CHUNKS, FOR_EVER = {"y": 32, "x": 64}, 10**9


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = tmp_path_factory.mktemp("replace") / "in.zarr"
    xprep.datasets.blobs(channels=1, shape=(64, 64)).prep.to_ome_zarr(url, scale_factors=(), chunks=CHUNKS)
    return str(url)


def write(source: str, target: Any, sigma: float | None = None, **options: Any) -> Any:
    """Write what no one would confuse: the image, or another that is as large."""
    image = xprep.open_image(source)
    image = image if sigma is None else image.prep.gaussian_filter(sigma)
    with xprep.set_options(progress="off"):
        return image.prep.to_ome_zarr(target, scale_factors=(), chunks=CHUNKS, **options)


def folder_of(url: str, options: Any = None) -> list[str]:
    above, name = url.rpartition("/")[::2]
    return [found for found in open_store(above, options).list_folder() if name in found]


def siblings(url: str, options: Any = None) -> list[str]:
    return [f"{url.rpartition('/')[0]}/{name}" for name in folder_of(url, options) if name.endswith(".xprep-new")]


def is_whole(url: str, options: Any = None) -> bool:
    group = read_group(open_store(url, options))
    return group is not None and read_status(group) == "finished"


# Every request at which a run can be killed


class Killed(OSError):
    """What everything that a dead process would still do ends with."""


class Mortal(MemoryFileSystem):
    """A bucket in memory whose client dies before, or after, its ``lives``-th change."""

    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    lives = FOR_EVER
    changes: ClassVar[list[str]] = []

    @staticmethod
    def restore(objects: dict[str, Any], lives: int = FOR_EVER) -> None:
        Mortal.store.clear()
        Mortal.store.update(objects)
        Mortal.lives = lives

    def _live(self, path: str, done: Callable[[], Any]) -> Any:
        Mortal.changes.append(path)
        Mortal.lives -= 1
        if Mortal.lives < 0:
            raise Killed("killed")
        return done()

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **how: Any) -> None:
        self._live(path, lambda: super(Mortal, self).pipe_file(path, value, mode, **how))

    def cp_file(self, path1: str, path2: str, **how: Any) -> None:
        self._live(path2, lambda: super(Mortal, self).cp_file(path1, path2, **how))

    def _rm(self, path: str) -> None:
        self._live(path, lambda: super(Mortal, self)._rm(path))

    @staticmethod
    def left() -> dict[str, bytes]:
        return {name: file.getvalue() for name, file in Mortal.store.items()}


def mortal(name: str) -> FsspecStore:
    return FsspecStore(AsyncFileSystemWrapper(Mortal(), asynchronous=True), path=f"/lab/{name}")


@pytest.fixture
def memory() -> Iterator[None]:
    Mortal.restore({})
    yield
    Mortal.restore({})


NEXT = ({"overwrite": True, "resume": True}, {"overwrite": True})
VERSIONS = [("0.5", "0.5"), ("0.4", "0.5"), ("0.5", "0.4")]


@pytest.mark.parametrize("versions", VERSIONS)
def test_killed_at_every_request(source: str, memory: None, versions: tuple[str, str]) -> None:
    before, after = versions
    write(source, mortal("a.zarr"), version=before)
    old, began = objects(mortal("a.zarr")), dict(Mortal.store)
    write(source, mortal("new.zarr"), sigma=1, version=after)
    new = objects(mortal("new.zarr"))
    stages = set()
    for lives in kills(source, began, after, 1 if before == after else 9):
        Mortal.restore(began, lives)
        assert killed(source, after)
        Mortal.lives = FOR_EVER
        stages.add(found := look(old, new))
        emptied, there = '"emptied": true' in text_of("a.zarr/zarr.json") + text_of("a.zarr/.zattrs"), set(Mortal.store)
        Mortal.changes.clear()
        report = write(source, mortal("a.zarr"), sigma=1, version=after, **NEXT[lives % 2])
        assert objects(mortal("a.zarr")) == new, f"after a kill at change {lives}"
        assert "beside" not in found or report.units == 0, "what was made is moved and not made again"
        again = [name for name in Mortal.changes if name in there and name.startswith("/lab/a.zarr/scale")]
        assert not emptied or not again, "what was copied is not copied again"
        assert not [name for name in Mortal.changes if name.startswith("/lab/a.zarr/scale") and "/parts/" in name]
        assert not [name for name in Mortal.store if "/.a.zarr" in name], f"after a kill at change {lives}"
    assert stages == {"old", "old, and new whole beside", "new whole beside", "new"}


def text_of(name: str) -> str:
    return Mortal.store[f"/lab/{name}"].getvalue().decode() if f"/lab/{name}" in Mortal.store else ""


def kills(source: str, began: dict[str, Any], version: str, step: int) -> list[int]:
    """Return when to kill: some of the changes before the store is announced, which are tested elsewhere, and those after."""
    Mortal.restore(began)
    Mortal.changes.clear()
    write(source, mortal("a.zarr"), sigma=1, version=version, overwrite=True)
    note = Mortal.changes.index("/lab/.a.zarr.xprep-move")
    assert len(Mortal.changes) > note + 40
    return [
        *range(1, note, 4 if step > 1 else 12),
        *range(note, note + 4),
        *range(note + 4, len(Mortal.changes), step),
        len(Mortal.changes) - 1,
    ]


def killed(source: str, version: str) -> bool:
    """Replace the store until death; return whether that came."""
    try:
        write(source, mortal("a.zarr"), sigma=1, version=version, overwrite=True)
    except OSError:
        return Mortal.lives < 0
    return False


def look(old: dict[str, bytes], new: dict[str, bytes]) -> str:
    """Return what is whole; something must be, and what opens as whole must be."""
    there = objects(mortal("a.zarr")) if is_whole_here("a.zarr") else None
    assert there in (None, old, new), "a mixture opens"
    names = {name.split("/")[2] for name in Mortal.store if name.startswith("/lab/.a.zarr") and ".xprep-new/" in name}
    beside = [objects(mortal(name)) for name in names if is_whole_here(name)]
    # Journal entries are left where the kill came between the last of the metadata and their deletion.
    kept = [{name: data for name, data in one.items() if "/parts/" not in name} for one in beside]
    assert all(one == new for one in kept), "what is whole beside it is not"
    if there == new:
        return "new"
    found = [*(["old"] if there else []), *(["new whole beside"] if kept else [])]
    assert found, "both are lost"
    return ", and ".join(found)


def is_whole_here(name: str) -> bool:
    group = read_group(open_store(mortal(name)))
    return group is not None and read_status(group) == "finished"


def test_leftovers_that_a_killed_run_was_cleaning(source: str, memory: None) -> None:
    write(source, mortal("a.zarr"))
    Mortal.lives = 14
    assert killed(source, "0.5")
    left = dict(Mortal.store)
    count = sum("xprep-new/" in name for name in left)
    assert count > 8
    for lives in range(count):
        Mortal.restore(left, lives)
        assert killed(source, "0.5")
        Mortal.lives = FOR_EVER
        write(source, mortal("a.zarr"), sigma=1, overwrite=True)
        assert not [name for name in Mortal.store if "/.a.zarr" in name], f"after a kill at deletion {lives}"


@pytest.mark.parametrize("after_note", [-5, 3, 8, 20])
def test_other_commands_after_a_kill(source: str, memory: None, after_note: int) -> None:
    """They finish what is whole, and then replace it; without overwrite they leave all as it is, or what is begun goes on."""
    write(source, mortal("a.zarr"))
    began = dict(Mortal.store)
    lives = kills(source, began, "0.5", 1)[-1]
    lives = Mortal.changes.index("/lab/.a.zarr.xprep-move") + after_note
    Mortal.restore(began, lives)
    assert killed(source, "0.5")
    Mortal.lives, left = FOR_EVER, Mortal.left()
    with pytest.raises(StoreExistsError, match="overwrite=True"):
        write(source, mortal("a.zarr"), sigma=2, resume=True)
    assert Mortal.left() == left
    if after_note < 8:
        with pytest.raises(StoreExistsError, match="give overwrite=True as well"):
            write(source, mortal("a.zarr"), sigma=1, resume=True)
        assert Mortal.left() == left
    else:
        with pytest.raises(
            UnfinishedStoreError, match=r"is not finished: .*replaced by '\.a.*xprep-new', which lies whole beside"
        ):
            xprep.open_image(mortal("a.zarr"))
        assert write(source, mortal("a.zarr"), sigma=1, resume=True).units == 0
        Mortal.restore({name: Mortal.store[name] for name in left if name in Mortal.store})
    write(source, mortal("b.zarr"), sigma=2)
    write(source, mortal("a.zarr"), sigma=2, overwrite=True)
    assert objects(mortal("a.zarr")) == objects(mortal("b.zarr"))
    assert not [name for name in Mortal.store if "/.a.zarr" in name]


@pytest.mark.parametrize("times", [1, 99])
@pytest.mark.parametrize("lost", ["scale0/image/c/0/0/0", "zarr.json"])
def test_copies_that_a_server_loses(source: str, memory: None, lost: str, times: int, monkeypatch: Any) -> None:
    """It says that it has copied; an old chunk of the same size in that place would hide it."""
    write(source, mortal("a.zarr"))
    write(source, mortal("b.zarr"), sigma=1)
    left, real = [times], Mortal.cp_file

    def lossy(self: Mortal, path1: str, path2: str, **how: Any) -> None:
        if path2 == f"/lab/a.zarr/{lost}" and left[0]:
            left[0] -= 1
            return
        real(self, path1, path2, **how)

    monkeypatch.setattr(Mortal, "cp_file", lossy)
    if times > 1:
        with pytest.raises(UnfinishedStoreError, match=f"lacks 1 objects, .*{lost}" if "/" in lost else "lost its metadata"):
            write(source, mortal("a.zarr"), sigma=1, overwrite=True)
        monkeypatch.undo()
    assert (write(source, mortal("a.zarr"), sigma=1, overwrite=True).units == 0) == (times > 1)
    assert objects(mortal("a.zarr")) == objects(mortal("b.zarr"))
    assert left[0] == 0 or times > 1


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Where this process says to run: it sees no processes of other machines."""
    return lambda name: monkeypatch.setattr(owner.socket, "gethostname", lambda: name)


class Meanwhile:
    """Does something in the middle of a run, once."""

    def __init__(self, what: Callable[[], Any]) -> None:
        self.what = [what]

    def started(self, stage: str, total: int) -> None:
        if self.what:
            thread = threading.Thread(target=self.what.pop())
            thread.start()
            thread.join()

    def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    def finished(self, stage: str) -> None: ...


class Hearing:
    """Counts the steps of every stage: how many there will be, and were."""

    def __init__(self) -> None:
        self.stages: dict[str, list[int]] = {}

    def started(self, stage: str, total: int) -> None:
        self.stages[stage] = [total, 0]

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.stages[stage][1] += steps

    def finished(self, stage: str) -> None: ...


def run(source: str, target: Any, sigma: float, **options: Any) -> Any:
    """Write with a listener."""
    image = xprep.open_image(source).prep.gaussian_filter(sigma)
    return image.prep.to_ome_zarr(target, scale_factors=(), chunks=CHUNKS, **options)


@pytest.mark.parametrize("at_the_end", [False, True])
def test_of_two_machines_that_replace_one_store_one_wins(
    source: str, memory: None, host: Any, monkeypatch: pytest.MonkeyPatch, at_the_end: bool
) -> None:
    write(source, mortal("a.zarr"))
    write(source, mortal("b.zarr"), sigma=2)

    def elsewhere() -> None:
        host("elsewhere")
        write(source, mortal("a.zarr"), sigma=2, overwrite=True)
        host("here")

    host("here")
    again = Meanwhile(elsewhere)
    if at_the_end:  # between its last look and its note

        def late(*which: Any) -> Any:
            again.started("", 0)
            return announced(*which)

        monkeypatch.setattr("xprep.io.claimed.announced", late)
    with pytest.raises(StoreExistsError, match=r"a\.zarr was written by another run while this one"):
        run(source, mortal("a.zarr"), 1, overwrite=True, progress=Meanwhile(lambda: None) if at_the_end else again)
    monkeypatch.undo()
    host("here")
    assert objects(mortal("a.zarr")) == objects(mortal("b.zarr"))
    assert run(source, mortal("a.zarr"), 1, overwrite=True, resume=True, progress=False).units
    write(source, mortal("c.zarr"), sigma=1)
    assert objects(mortal("a.zarr")) == objects(mortal("c.zarr"))
    assert not [name for name in Mortal.store if "/.a.zarr" in name]


def test_what_took_the_place_of_a_move_stays(source: str, memory: None) -> None:
    """Somebody deleted the old store, and wrote there: what was to replace the old one does not replace that."""
    write(source, mortal("a.zarr"))
    began = dict(Mortal.store)
    kills(source, began, "0.5", 1)
    Mortal.restore(began, Mortal.changes.index("/lab/.a.zarr.xprep-move") + 3)
    assert killed(source, "0.5")
    Mortal.restore({name: file for name, file in Mortal.store.items() if name.startswith("/lab/.a.zarr")})
    write(source, mortal("a.zarr"), sigma=2)
    theirs, looks = objects(mortal("a.zarr")), []
    look_again = Meanwhile(lambda: looks.append(objects(mortal("a.zarr")) == theirs))
    run(source, mortal("a.zarr"), 1, overwrite=True, progress=look_again)
    assert looks == [True]
    assert not [name for name in Mortal.store if "/.a.zarr" in name]


def made_beside(source: str, *names: str) -> list[Any]:
    """Return unfinished stores beside ``a.zarr``, which is there."""
    write(source, mortal("a.zarr"))
    places = [open_store(mortal(f".a.zarr.{name}.xprep-new"), mode="r+") for name in names]
    for place in places:
        place.write_json("zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"xprep": {"status": "writing"}}})
    return places


def test_of_two_that_come_to_the_end_one_announces(source: str, memory: None, host: Any, monkeypatch: Any) -> None:
    one, other = made_beside(source, "1", "2")
    target = open_store(mortal("a.zarr"), mode="r+")
    host("there")
    with announced(one, target, "run1") as move:
        host("here")
        with (
            pytest.raises(StoreExistsError, match=r"is being replaced by .*xprep-new .process"),
            announced(other, target, "run2"),
        ):
            pass
        move.check_mine()
        # Both found no note: what the server has is what counts.
        monkeypatch.setattr("xprep.io.replacing.find_move", lambda target: None)
        with pytest.raises(StoreExistsError, match=r"by another run .process"), announced(other, target, "run2"):
            pass
        move.check_mine()
        monkeypatch.undo()
        host("here")
        # Of a machine that nobody sees it is taken over after ten minutes.
        note = read_note(move.above, move.name)
        note["owner"]["created"] = "2026-01-01T00:00:00+00:00"
        move.above.set(move.note, encode_note(note))
        with announced(other, target, "run2"):
            with pytest.raises(StoreExistsError, match="being replaced by another run"):
                move.check_mine()
            with pytest.raises(StoreExistsError, match="being replaced by another run"):
                move.carry_out()
        assert is_whole_here("a.zarr")


def test_an_error_before_it_is_whole_takes_the_note_back(source: str, memory: None) -> None:
    (one,) = made_beside(source, "1")
    target = open_store(mortal("a.zarr"), mode="r+")
    with pytest.raises(RuntimeError), announced(one, target, "run1"):
        raise RuntimeError
    assert find_move(target) is None


def test_a_whole_store_is_moved_before_another_is_announced(source: str, memory: None) -> None:
    one, other = made_beside(source, "1", "2")
    target = open_store(mortal("a.zarr"), mode="r+")

    def finish_and_die() -> None:
        with announced(one, target, "run1"):
            one.set("zarr.json", one.get("zarr.json").replace(b"writing", b"finished"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        finish_and_die()
    with pytest.raises(StoreExistsError, match="overwrite=True and resume=True"), announced(other, target, "run2"):
        pass
    assert is_whole_here(".a.zarr.1.xprep-new")


def test_who_was_taken_over_deletes_nothing(source: str, memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept while another moved its store, and replaced it: it wakes up before each of its deletions."""
    write(source, mortal("a.zarr"))
    write(source, mortal("b.zarr"), sigma=2)
    taken = list[Any]()

    def wake(move: Any, names: set[str], real: Any = Move._delete_all) -> None:
        if not taken:
            taken.append(move)
            write(source, mortal("a.zarr"), sigma=2, overwrite=True)
        real(move, names)

    monkeypatch.setattr(Move, "_delete_all", wake)
    with pytest.raises(StoreExistsError, match=r"being replaced by another run .which has finished"):
        write(source, mortal("a.zarr"), sigma=1, overwrite=True)
    assert objects(mortal("a.zarr")) == objects(mortal("b.zarr"))
    assert not [name for name in Mortal.store if "/.a.zarr" in name]


# Real servers


@pytest.fixture(scope="module")
def lab(s3: Server) -> Iterator[tuple[FaultProxy, str, dict[str, Any]]]:
    """A bucket behind a proxy."""
    with FaultProxy(int(s3.endpoint.rpartition(":")[2])) as proxy:
        direct = s3.storage_options()
        client = {**direct["client_kwargs"], "endpoint_url": proxy.endpoint}
        yield proxy, s3.new_bucket(), {**direct, "client_kwargs": client}


@pytest.fixture
def behind(lab: tuple[FaultProxy, str, dict[str, Any]], source: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The same without faults, with a URL of the test's own, and what is to be there in the end."""
    proxy, bucket, options = lab
    proxy.set()
    url = f"{bucket}/{abs(hash(request.node.name))}/a.zarr"
    write(source, url, storage_options=options)
    yield proxy, url, options
    proxy.set()


@pytest.fixture(scope="module")
def wanted(source: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What the old and the new store hold."""
    folder = tmp_path_factory.mktemp("wanted")
    write(source, folder / "old.zarr")
    write(source, folder / "new.zarr", sigma=1)
    return contents(folder / "old.zarr"), contents(folder / "new.zarr")


def contents(url: Any, options: Any = None) -> dict[str, Any]:
    """Return all objects of a store; of its root what it says, without when it was written, and how it knows itself."""
    found = objects(url, options)
    root = json.loads(found["zarr.json"])["attributes"]
    return {name: data for name, data in found.items() if "/parts/" not in name} | {"zarr.json": root["xprep"].keys()}


COPY = r"^PUT .*/a\.zarr/scale0"


def test_the_old_store_stays_and_no_pixel_passes_this_machine(behind: Any, source: str, wanted: Any) -> None:
    proxy, url, options = behind
    looks, heard = [], Hearing()

    def look_at_old() -> None:
        looks.append(contents(url, options) == wanted[0] and xprep.verify(url, storage_options=options).is_whole)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run(source, url, 1, overwrite=True, storage_options=options, progress=Meanwhile(look_at_old))
    assert looks == [True]
    assert contents(url, options) == wanted[1]
    assert xprep.verify(url, storage_options=options).is_whole
    assert folder_of(url, options) == ["a.zarr"]
    proxy.log.clear()
    xprep.open_image(source).prep.to_ome_zarr(
        url, scale_factors=(), chunks=CHUNKS, storage_options=options, overwrite=True, progress=heard
    )
    assert heard.stages["moving"] == [len(wanted[0]) - 1] * 2
    assert not [key for key in proxy.log if key.startswith("GET") and re.search(r"/c/\d", key)], "a chunk was read"
    assert len([key for key in proxy.log if re.search(COPY, key)]) == len(wanted[0]) - 1, "every object is copied once"


def test_replaced_at_the_root_of_a_bucket_and_of_others_making(s3: Server, source: str, wanted: Any) -> None:
    bucket, options = s3.new_bucket(), s3.storage_options()
    group = zarr.open_group(f"{bucket}/a.zarr", mode="w", zarr_format=2, storage_options=options)
    group.create_array("old/deep", data=np.arange(6.0), chunks=(2,))
    zarr.consolidate_metadata(group.store, zarr_format=2)
    for array in (f"{bucket}/a.zarr", f"{bucket}/v2.zarr", f"{bucket}/v3.zarr"):
        if "v" in array.rpartition("/")[2][:1]:
            zarr.create_array(array, data=np.arange(6.0), zarr_format=int(array[-6]), storage_options=options)
        write(source, array, sigma=1, storage_options=options, overwrite=True)
        assert contents(array, options) == wanted[1]
    assert open_store(bucket, options).list_folder() == ["a.zarr", "v2.zarr", "v3.zarr"]


@pytest.mark.parametrize("fault", ["503", "500", "reset", "reset_after", "late_error"])
def test_faults_of_copies_that_pass(behind: Any, source: str, wanted: Any, fault: str, monkeypatch: Any) -> None:
    monkeypatch.setitem(faulty.ANSWERS, "late_error", (200, "InternalError"))  # as S3 does, when it had begun to answer
    proxy, url, options = behind
    proxy.set(Rule(COPY, fault, times=3, skip=2))
    write(source, url, sigma=1, storage_options=options, overwrite=True)
    assert proxy.injected[fault] >= 3
    assert contents(url, options) == wanted[1]


@pytest.mark.parametrize(
    ("match", "fault", "says"),
    [
        (COPY + "/image/c/0/1/0", "403", "PermissionError.*cannot copy in s3://"),
        (COPY + "/image/c/0/1/0", "hang:1000", "TimeoutError.*a.zarr/scale0/image/c/0/1/0.*no answer within"),
        (COPY + "/image/c/0/1/0", "drop_put", "lacks 1 objects, the first is 'scale0/image/c/0/1/0'"),
        (r"^PUT .*/a\.zarr/zarr\.json", "drop_put", "lost its mark"),
        (r"^POST .*delete", "403", "PermissionError.*cannot delete"),
    ],
)
def test_faults_that_stay(behind: Any, source: str, wanted: Any, match: str, fault: str, says: str) -> None:
    proxy, url, options = behind
    proxy.set(Rule(match, fault, skip="POST" in match and 2))
    quick = impatient(match[-7:], 98) if "hang" in fault else nullcontext()
    with xprep.set_options(deadline=100), quick, pytest.raises((OSError, UnfinishedStoreError)) as caught:
        write(source, url, sigma=1, storage_options=options, overwrite=True)
    assert re.search(says, f"{type(caught.value).__name__}: {caught.value}"), caught.value
    assert SECRET not in repr(caught.getrepr(style="long", showlocals=False))
    proxy.set()
    assert contents(siblings(url, options)[0], options) == wanted[1], "the new one is whole beside it"
    if is_whole(url, options):
        assert contents(url, options) == wanted[0]
    report = write(source, url, sigma=1, storage_options=options, **NEXT[fault == "drop_put"])
    assert report.units == 0
    assert contents(url, options) == wanted[1]
    assert folder_of(url, options) == ["a.zarr"]


def test_a_server_that_does_not_copy(behind: Any, source: str, wanted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faulty.ANSWERS, "501", (501, "NotImplemented"))
    proxy, url, options = behind
    for match, fault in ((r"xprep-try\.2", "501"), (r"xprep-try\.1", "403")):
        proxy.set(Rule(f"^PUT .*{match}", fault))
        with pytest.warns(UserWarning, match=r"is deleted now, before.*(makes no copies|not allowed).*there is neither"):
            write(source, url, sigma=1, storage_options=options, overwrite=True)
        assert contents(url, options) == wanted[1]
        assert folder_of(url, options) == ["a.zarr"]
    monkeypatch.setitem(faulty.ANSWERS, "400", (400, "InvalidRequest"))
    proxy.set(Rule(r"^PUT .*xprep-try\.2", "400"))
    with pytest.raises(OSError, match="cannot copy in"):
        write(source, url, storage_options=options, overwrite=True)
    proxy.set()
    assert contents(url, options) == wanted[1], "what nobody knows is no reason to delete"


def test_large_objects_are_copied_in_parts(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 copies 5 GiB at once; here the limit is lower."""
    for module, name in ((copying, "_SMALL"), (s3fs.core, "MANAGED_COPY_THRESHOLD")):
        monkeypatch.setattr(module, name, 2**20)
    above, _ = split(open_store(f"{s3.new_bucket()}/a.zarr", s3.storage_options(), "r+"))  # type: ignore[misc]
    managed = s3fs.core.S3FileSystem._copy_managed
    monkeypatch.setattr(s3fs.core.S3FileSystem, "_copy_managed", partialmethod(managed, block=5 * 2**20))
    data = np.random.default_rng(1).bytes(11 * 2**20)
    above.set("a/+ %&1", data)
    copy(above, {"a/+ %&1": "b/+ %&2"}, {"a/+ %&1": len(data)})
    assert above.get("b/+ %&2") == data


def _child(ready: Any, source: str, url: str, options: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    write(source, open_store("memory://warm/a.zarr", mode="r+"), sigma=1)  # loads the kernels
    ready.set()
    write(source, url, sigma=1, storage_options=options, overwrite=True)


@pytest.fixture(scope="module")
def processes() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.test_replace"])
    return context


KILLS = [
    r"^PUT .*\.xprep-move", r"^PUT .*/a\.zarr/zarr\.json", r"^POST .*delete", COPY + "/image/c/0/1/0",
]  # fmt: skip


@pytest.mark.parametrize("match", KILLS)
def test_processes_that_are_killed(behind: Any, source: str, wanted: Any, processes: Any, match: str) -> None:
    proxy, url, options = behind
    injected = proxy.injected["hang"]
    ready = processes.Event()
    process = processes.Process(target=_child, args=(ready, source, url, options))
    process.start()
    ready.wait(300)
    proxy.set(Rule(match, "hang:1000", skip="POST" in match and 2))
    try:
        wait_for(lambda: proxy.injected["hang"] > injected or not process.is_alive())
    finally:
        process.kill()
        process.join(60)
    proxy.set()
    assert proxy.injected["hang"] > injected
    beside = [one for one in siblings(url, options) if is_whole(one, options)]
    assert all(contents(one, options) == wanted[1] for one in beside)
    assert beside or contents(url, options) == wanted[0], "both are lost"
    report = write(source, url, sigma=1, storage_options=options, overwrite=True, resume=True)
    assert bool(report.units) != bool(beside)
    assert contents(url, options) == wanted[1]
    assert folder_of(url, options) == ["a.zarr"]


def test_a_process_that_is_at_it_is_left_alone(behind: Any, source: str, wanted: Any, processes: Any) -> None:
    proxy, url, options = behind
    injected = proxy.injected["hold"]
    ready = processes.Event()
    proxy.set(Rule(COPY, "hold", times=1))
    process = processes.Process(target=_child, args=(ready, source, url, options))
    process.start()
    try:
        wait_for(lambda: proxy.injected["hold"] > injected or not process.is_alive())
        for how in ({"overwrite": True}, {"overwrite": True, "resume": True}, {"resume": True}, {}):
            with pytest.raises(StoreExistsError, match=r"being (replaced|written) by"):
                write(source, url, sigma=1, storage_options=options, **how)
    finally:
        proxy.set()
        process.join(300)
        process.kill()
    assert process.exitcode == 0
    assert contents(url, options) == wanted[1]
    assert folder_of(url, options) == ["a.zarr"]
