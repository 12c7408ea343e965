"""Interrupted and resumed: what is done stays, what is missing is made, and nobody can tell afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.helpers.crashes import kill_after, objects, start, wait_for
from tests.helpers.listeners import Heard
from tests.helpers.servers import Server
from xprep.errors import ChunkError, StoreExistsError, UnfinishedStoreError
from xprep.images.writing.resuming import fingerprint_of
from xprep.images.writing.specification import WriteOptions
from xprep.io.commit.journal import Journal, Record
from xprep.io.commit.lock import begin, is_mine
from xprep.io.commit.mark import mark_writing
from xprep.io.commit.notes import decode_note, encode_note
from xprep.io.commit.owner import Owner
from xprep.io.store.places import open_store
from xprep.sizes import format_bytes

FACTORS, CHUNKS = (2, 2), {"y": 32, "x": 32}


@pytest.fixture(autouse=True)
def _small_tiles() -> Iterator[None]:
    with xprep.set_options(tile_bytes=2**15, intermediates="recompute"):
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    url = tmp_path / "source.zarr"
    xprep.datasets.blobs(channels=2, shape=(256, 192)).prep.to_ome_zarr(url, chunks={"y": 64, "x": 64})
    return url


def job(source: Any, **parameters: Any) -> xr.DataArray:
    return xprep.open_image(source).prep.normalize(sigma=1, **parameters)


def write(image: xr.DataArray, url: Any, **options: Any) -> Any:
    return image.prep.to_ome_zarr(url, scale_factors=FACTORS, chunks=CHUNKS, **options)


class Interrupting:
    """A Zarr chunk that cannot be read once the statistics are there: it is damaged while the result is written."""

    def __init__(self, source: Path, target: Path, chunk: str) -> None:
        self.chunk, self.parts = source / "scale0/image/c" / chunk, target / "scale0/image/.xprep/parts"

    def started(self, stage: str, total: int) -> None:
        self.good, self.stamp = self.chunk.read_bytes(), self.chunk.stat()

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        if self.parts.exists() and len(list(self.parts.glob("*.value"))) == 3 and self.good:
            self.chunk.write_bytes(self.good[:40])

    def finished(self, stage: str) -> None: ...

    def repair(self) -> None:
        """Restore the chunk as a later run sees it: its bytes, and when these were written."""
        self.chunk.write_bytes(self.good)
        os.utime(self.chunk, ns=(self.stamp.st_atime_ns, self.stamp.st_mtime_ns))


class InterruptingBeside(Interrupting):
    """The same where a store is made that shall replace another."""

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        beside, name = self.parts.parents[4], self.parts.parents[3].name
        self.parts = next(beside.glob(f".{name}.*/scale0/image/.xprep/parts"), self.parts)
        super().advanced(stage, steps, nbytes)


def interrupted(source: Path, url: Path, chunk: str = "1/3/2", image: xr.DataArray | None = None, **options: Any) -> None:
    """Write until a chunk of the source fails, in the pass that writes."""
    break_it = Interrupting(source, url, chunk)
    with pytest.raises(ChunkError, match=chunk) as caught:
        write(job(source) if image is None else image, url, progress=break_it, **options)
    break_it.repair()
    assert "resume=True goes on" in caught.value.__notes__[0]


class Counting:
    """Counts tasks."""

    tasks = 0

    def started(self, stage: str, total: int) -> None:
        self.tasks += total

    def advanced(self, stage: str, steps: int, nbytes: int) -> None: ...

    def finished(self, stage: str) -> None: ...


def records(url: Path) -> list[Record]:
    return Journal(open_store(url).child("scale0/image")).records()


def test_resumed_equals_unbroken_to_the_byte(source: Path, tmp_path: Path) -> None:
    write(job(source), tmp_path / "whole.zarr")
    interrupted(source, tmp_path / "broken.zarr")
    with pytest.raises(UnfinishedStoreError, match="resume=True"):
        xprep.open_image(tmp_path / "broken.zarr")
    done = records(tmp_path / "broken.zarr")
    assert done, "the run was to fail in the middle"
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "broken.zarr").rglob("c/*/*/*")}
    report = write(job(source), tmp_path / "broken.zarr", resume=True)
    assert objects(tmp_path / "whole.zarr") == objects(tmp_path / "broken.zarr")
    assert report.statistics == write(job(source), tmp_path / "third.zarr").statistics
    kept = [path for path, stamp in before.items() if path.stat().st_mtime_ns == stamp]
    assert len(kept) >= sum(len(record.stored) for record in done), "finished chunks were written again"


def test_what_is_told_as_written_is_what_this_run_wrote(source: Path, tmp_path: Path) -> None:
    """A resumed run told, at its end, of the earlier run's bytes as well; the report gives both, apart."""
    heard = {name: Heard() for name in ("whole", "resumed", "again")}
    whole = write(job(source), tmp_path / "whole.zarr", progress=heard["whole"])
    assert heard["whole"].nbytes == whole.nbytes > 0
    assert whole.nbytes_before == 0
    interrupted(source, tmp_path / "x.zarr")
    kept = records(tmp_path / "x.zarr")
    size = xprep.open_image(tmp_path / "whole.zarr").dtype.itemsize
    before = sum(int(np.prod([stop - start for start, stop in record.region])) * size for record in kept)
    resumed = write(job(source), tmp_path / "x.zarr", resume=True, progress=heard["resumed"])
    assert resumed.nbytes + resumed.nbytes_before == whole.nbytes
    assert resumed.nbytes_before >= before > 0
    assert heard["resumed"].nbytes == resumed.nbytes > 0
    assert f"({format_bytes(resumed.nbytes_before)} were there) in" in str(resumed)
    again = write(job(source), tmp_path / "x.zarr", resume=True, progress=heard["again"])
    assert (again.nbytes, again.nbytes_before, heard["again"].nbytes) == (0, whole.nbytes, 0)


def test_statistics_are_not_computed_again(source: Path, tmp_path: Path) -> None:
    interrupted(source, tmp_path / "x.zarr")
    fresh, resumed = Counting(), Counting()
    expected = write(job(source), tmp_path / "y.zarr", progress=fresh).statistics
    for kept in (tmp_path / "x.zarr/scale0/image/.xprep/parts").glob("*.value"):
        value = decode_note(kept.read_bytes(), str(kept))
        numbers = [(2 * float.fromhex(number)).hex() for number in value["values"]["values"]]
        kept.write_bytes(encode_note({**value, "values": {**value["values"], "values": numbers}}))
    report = write(job(source), tmp_path / "x.zarr", resume=True, progress=resumed)
    assert report.statistics == {name: [2 * number for number in numbers] for name, numbers in expected.items()}
    assert resumed.tasks < fresh.tasks / 2


def test_lost_and_cut_chunks_are_made_again(source: Path, tmp_path: Path) -> None:
    write(job(source), tmp_path / "whole.zarr")
    interrupted(source, tmp_path / "x.zarr")
    pixels = tmp_path / "x.zarr/scale0/image/c"
    (pixels / "0/0/0").unlink()
    (pixels / "1/1/1").write_bytes(b"cut")
    write(job(source), tmp_path / "x.zarr", resume=True)
    assert objects(tmp_path / "whole.zarr") == objects(tmp_path / "x.zarr")


@pytest.mark.parametrize("version", ["0.4", "0.6"])
def test_shards_labels_and_other_versions(source: Path, tmp_path: Path, version: str) -> None:
    labels = {"cells": (xprep.open_image(source).isel(c=0, drop=True) > 100).astype("uint16").compute()}
    how: dict[str, Any] = {"version": version, "labels": labels, "layout": "flat" if version == "0.4" else "dual"}
    if version != "0.4":
        how["shards"] = {"y": 64, "x": 64}
    level = "0" if version == "0.4" else "scale0/image"
    write(job(source), tmp_path / "whole.zarr", **how)
    break_it = Interrupting(source, tmp_path / "x.zarr", "1/3/2")
    break_it.parts = tmp_path / "x.zarr" / level / ".xprep/parts"
    with pytest.raises(ChunkError, match="1/3/2"):
        write(job(source), tmp_path / "x.zarr", progress=break_it, **how)
    break_it.repair()
    write(job(source), tmp_path / "x.zarr", resume=True, **how)
    assert objects(tmp_path / "whole.zarr") == objects(tmp_path / "x.zarr")


def test_resume_begins_and_ends(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"
    assert write(job(source), url, resume=True).units > 0
    stamps = {path: path.stat().st_mtime_ns for path in url.rglob("*")}
    again = write(job(source), url, resume=True)
    assert again.units == 0
    assert "finished before" in again.notes[0]
    assert stamps == {path: path.stat().st_mtime_ns for path in url.rglob("*")}


@pytest.mark.parametrize("finished", [True, False])
def test_another_run_is_refused(source: Path, tmp_path: Path, finished: bool) -> None:
    url = tmp_path / "x.zarr"
    if finished:
        write(job(source), url)
    else:
        interrupted(source, url)
    other = [
        lambda: write(job(source, p=98), url, resume=True),
        lambda: write(job(source) * 2, url, resume=True),
        lambda: write(job(source)[:, :, :64], url, resume=True),
        lambda: job(source).prep.to_ome_zarr(url, scale_factors=FACTORS, chunks={"y": 64, "x": 32}, resume=True),
    ]
    for run in other:
        with pytest.raises(StoreExistsError, match="another command"):
            run()
    # The source was written anew since.
    os.utime(source / "scale0/image/zarr.json", ns=(1, 1))
    with pytest.raises(StoreExistsError, match="another command"):
        write(job(source), url, resume=True)
    assert write(job(source), url, resume=True, overwrite=True).units > 0


def test_a_foreign_store_is_no_start(source: Path, tmp_path: Path) -> None:
    xr.Dataset({"v": ("x", [1, 2])}).to_zarr(tmp_path / "x.zarr", consolidated=False)
    with pytest.raises(StoreExistsError, match="no store of xprep"):
        write(job(source), tmp_path / "x.zarr", resume=True)


def test_arrays_in_memory_are_known_by_their_contents(tmp_path: Path) -> None:
    image = xprep.datasets.blobs(channels=2, shape=(64, 64))
    write(image, tmp_path / "x.zarr")
    assert write(image.copy(deep=True), tmp_path / "x.zarr", resume=True).units == 0
    changed = image.copy(deep=True)
    changed[1, 63, 63] += 1
    with pytest.raises(StoreExistsError, match="another command"):
        write(changed, tmp_path / "x.zarr", resume=True)


def test_unknown_origins_need_a_fingerprint(tmp_path: Path) -> None:
    array = da.from_array(np.ones((1, 64, 64), np.float32), name=False)
    image = xr.DataArray(array, dims=("c", "y", "x"))
    with pytest.raises(ValueError, match="fingerprint='…'"):
        write(image, tmp_path / "x.zarr", resume=True)
    write(image, tmp_path / "x.zarr", fingerprint="ones, first try")
    assert write(image, tmp_path / "x.zarr", fingerprint="ones, first try", resume=True).units == 0
    with pytest.raises(StoreExistsError, match="another command"):
        write(image, tmp_path / "x.zarr", fingerprint="twos", resume=True)


def test_fingerprints_do_not_depend_on_memory_or_chunks(source: Path, tmp_path: Path) -> None:
    write(job(source, intermediates="persist"), tmp_path / "x.zarr")
    for way in ("recompute", "spill"):
        assert write(job(source, intermediates=way), tmp_path / "x.zarr", resume=True).units == 0


def test_the_old_store_stays_until_a_resumed_one_replaces_it(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"
    write(job(source, p=90), url)
    old = objects(url)
    break_it = InterruptingBeside(source, url, "1/3/2")
    with pytest.raises(ChunkError):
        write(job(source), url, overwrite=True, progress=break_it)
    break_it.repair()
    assert objects(url) == old
    assert len(list(tmp_path.glob(".x.zarr.*"))) == 1
    with pytest.raises(StoreExistsError, match="begun beside it"):
        write(job(source), url, resume=True)
    write(job(source), url, resume=True, overwrite=True)
    write(job(source), tmp_path / "whole.zarr")
    assert objects(url) == objects(tmp_path / "whole.zarr")
    assert not list(tmp_path.glob(".x.zarr.*"))


def test_in_a_bucket(s3: Server, source: Path, tmp_path: Path) -> None:
    options, url = s3.storage_options(), s3.new_bucket() + "/x.zarr"
    write(job(source), tmp_path / "whole.zarr")
    assert kill_after(start(str(source), url, options, resume=True), 0.5)
    write(job(source), url, resume=True, storage_options=options)
    assert objects(url, options) == objects(tmp_path / "whole.zarr")


def test_ctrl_c_finishes_what_was_begun(source: Path, tmp_path: Path) -> None:
    process = start(str(source), str(tmp_path / "x.zarr"), gate=tmp_path / "open")
    parts = tmp_path / "x.zarr/scale0/image/.xprep/parts"
    wait_for(lambda: process.poll() is not None or (parts.exists() and any(parts.glob("*.jsonl"))))
    process.send_signal(signal.SIGINT)
    (tmp_path / "open").touch()
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "KeyboardInterrupt: not finished:" in err
    assert "resume=True goes on" in err
    listed = {int(unit) for record in records(tmp_path / "x.zarr") if record.level == 0 for unit in record.stored["unit"]}
    chunks = list((tmp_path / "x.zarr/scale0/image/c").glob("*/*/*"))
    assert len(listed) == len(chunks), "chunks were written after the run had ended"
    write(job(source), tmp_path / "x.zarr", resume=True)


def test_two_runs_on_one_output(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"
    process = start(str(source), str(url), gate=tmp_path / "open")
    wait_for(lambda: process.poll() is not None or (url / "scale0/image/zarr.json").exists())
    process.send_signal(signal.SIGSTOP)
    try:
        for how in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(StoreExistsError, match="being written by process"):
                write(job(source), url, **how)
    finally:
        (tmp_path / "open").touch()
        process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=300)
    assert "finished" in out, err
    assert xprep.open_image(url).sizes == {"c": 2, "y": 256, "x": 192}


def test_a_run_that_lost_its_store_is_told(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"

    class Taking(Counting):
        def started(self, stage: str, total: int) -> None:
            shutil.rmtree(url)  # another machine, whose processes cannot be seen, overwrites it
            thread = threading.Thread(target=write, args=(job(source, p=90), url))
            thread.start()
            thread.join()

    with pytest.raises(StoreExistsError, match="another run"):
        write(job(source), url, progress=Taking())
    assert xprep.open_image(url).attrs["history"].count("p=90") == 1


def test_two_runs_that_replace_one_store(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"
    write(job(source, p=90), url)
    old = objects(url)
    process = start(str(source), str(url), gate=tmp_path / "open", overwrite=True)
    wait_for(lambda: list(tmp_path.glob(".x.zarr.*/scale0/image/zarr.json")) or process.poll() is not None)
    process.send_signal(signal.SIGSTOP)
    try:
        for how in ({"overwrite": True}, {"overwrite": True, "resume": True}):
            with pytest.raises(StoreExistsError, match="to be replaced already: it is being written by process"):
                write(job(source, p=95), url, **how)
        assert objects(url) == old
    finally:
        (tmp_path / "open").touch()
        process.send_signal(signal.SIGCONT)
    out, err = process.communicate(timeout=300)
    assert "finished" in out, err
    assert not list(tmp_path.glob(".x.zarr.*"))


class Meanwhile(Counting):
    """Does something in the middle of a run."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def started(self, stage: str, total: int) -> None:
        thread = threading.Thread(target=self.what)
        thread.start()
        thread.join()


def test_a_store_that_another_machine_replaced_is_not_replaced_again(source: Path, tmp_path: Path) -> None:
    """Its processes cannot be seen: who finishes first wins, the other is told."""
    url = tmp_path / "x.zarr"
    write(job(source, p=90), url)

    def elsewhere() -> None:
        write(job(source, p=95), tmp_path / "elsewhere.zarr")
        shutil.rmtree(url)
        (tmp_path / "elsewhere.zarr").rename(url)

    with pytest.raises(StoreExistsError, match=r"x\.zarr was written by another run while this one"):
        write(job(source), url, overwrite=True, progress=Meanwhile(elsewhere))
    assert xprep.open_image(url).attrs["history"].count("p=95") == 1
    write(job(source), url, overwrite=True, resume=True)
    assert "p=95" not in xprep.open_image(url).attrs["history"]


def test_one_of_two_begins(tmp_path: Path, s3: Server) -> None:
    """Both found nothing there; the mark of one is the first."""
    for url, options in ((tmp_path / "x.zarr", None), (s3.new_bucket() + "/x.zarr", s3.storage_options())):
        for zarr_format in (3, 2):
            place = open_store(url, options, "r+").child(f"v{zarr_format}")
            begin(place, mark_writing(Owner.here(), run="first"), zarr_format, "first")
            with pytest.raises(StoreExistsError, match="at the same moment"):
                begin(place, mark_writing(Owner.here(), run="second"), zarr_format, "second")
            assert is_mine(place, "first")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_killed_processes_leave_is_in_nobodys_way(source: Path, tmp_path: Path, version: str) -> None:
    """Files that were being written have names of their own; of a mark they may be all that there is."""
    url, half = tmp_path / "x.zarr", "0123456789abcdef0123456789abcdef.partial"
    url.mkdir()
    (url / f"zarr.json.{half}").write_text("{")
    if version == "0.4":
        (url / ".zattrs").write_text('{"xprep": {"status": "writing"}}')
    interrupted(source, url, version=version)
    (url / f"scale0/image/{half}").touch()
    (url / f"scale0/image/0.{half}").touch()
    write(job(source), url, resume=True, version=version)
    write(job(source), tmp_path / "whole.zarr", version=version)
    assert objects(url).keys() - objects(tmp_path / "whole.zarr").keys() == {f"scale0/image/{half}"}
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/film.mp4.partial").touch()
    with pytest.raises(StoreExistsError, match="not a Zarr store"):
        write(job(source), tmp_path / "downloads", overwrite=True)


def test_a_coordinate_that_was_lost_is_an_error(source: Path) -> None:
    (source / "scale0/y/c/0").unlink()
    with pytest.raises(ChunkError, match=r"chunk 'c/0' of the coordinate .*scale0/y: not in the store"):
        xprep.open_image(source)


def test_how_numpy_prints_is_no_other_command() -> None:
    """Attributes that are arrays enter the fingerprint by their values, all of them, and not by numpy's text of some."""
    values = np.linspace(0, 1, 2000)
    image = xprep.datasets.blobs(channels=1, shape=(32, 32))
    options = WriteOptions((), "mean", "0.5", "dual", None, None, overwrite=False)

    def fingerprint(attribute: Any) -> str | None:
        return fingerprint_of(image.assign_attrs(table=attribute), [], {}, options, [])

    first = fingerprint(values)
    with np.printoptions(precision=2, threshold=5):
        assert fingerprint(values) == first
    changed = values.copy()
    changed[1000] += 1e-12
    assert fingerprint(changed) != first


@pytest.mark.parametrize("stop", [0, 1], ids=["before the first rename", "between the two"])
def test_a_kill_while_the_new_store_takes_its_place(tmp_path: Path, stop: int) -> None:
    """Until the second rename is done there is the old store or none; a resume puts the new one there."""
    source, target = tmp_path / "in.zarr", tmp_path / "out.zarr"
    xprep.datasets.blobs(channels=1, shape=(32, 32)).prep.to_ome_zarr(source, scale_factors=())
    begin = f"""
import os, xprep
from xprep import platforms

renames = []

def rename(source, target, move=platforms.rename):
    if len(renames) == {stop}:
        os._exit(9)
    renames.append(target)
    move(source, target)

image = xprep.open_image({str(source)!r})
image.prep.to_ome_zarr({str(target)!r}, scale_factors=())
platforms.rename = rename
image.prep.gaussian_filter(1).prep.to_ome_zarr({str(target)!r}, scale_factors=(), overwrite=True)
"""
    go_on = f"""
import xprep

image = xprep.open_image({str(source)!r}).prep.gaussian_filter(1)
image.prep.to_ome_zarr({str(target)!r}, scale_factors=(), resume=True, overwrite=True)
"""
    ended = subprocess.run([sys.executable, "-c", begin], check=False, capture_output=True, text=True)
    assert ended.returncode == 9, ended.stderr
    assert target.exists() == (stop == 0)
    resumed = subprocess.run([sys.executable, "-c", go_on], check=False, capture_output=True, text=True)
    assert resumed.returncode == 0, resumed.stderr
    np.testing.assert_array_equal(xprep.open_image(target), xprep.open_image(source).prep.gaussian_filter(1))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]
