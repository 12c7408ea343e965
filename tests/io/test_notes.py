"""Half-done stores with a damage: resumed, they equal an unbroken one, or are refused with a way out that works."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from zarr.core.sync import sync

import xprep
from tests.helpers.crashes import objects
from tests.helpers.servers import Server
from tests.images.test_source_watch import Interrupt, stop
from xprep.errors import StoreFormatError
from xprep.io.arrays.writes import STORED
from xprep.io.commit.journal import MANIFEST, Journal, encode_manifest, read_manifest
from xprep.io.commit.notes import decode_note, encode_note
from xprep.io.store.places import open_store

CHUNKS = {"y": 32, "x": 32}
LAYOUTS: dict[str, dict[str, Any]] = {"chunks": {}, "shards": {"shards": {"y": 64, "x": 64}}, "0.4": {"version": "0.4"}}


@pytest.fixture(autouse=True)
def _small_tiles() -> Iterator[None]:
    with xprep.set_options(tile_bytes=2**14, intermediates="recompute", progress="off", timestamps=False):
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("source") / "s.zarr"
    xprep.datasets.blobs(channels=2, shape=(128, 96)).prep.to_ome_zarr(url, chunks=CHUNKS, scale_factors=(), progress=False)
    return url


def write(source: Any, url: Any, **how: Any) -> Any:
    image = xprep.open_image(source)
    labels = {"cells": (image.isel(c=0, drop=True).compute() > 100).astype("uint8")}
    how = {"chunks": CHUNKS, "scale_factors": (2,), "labels": labels, **how}
    return image.prep.normalize(sigma=1).prep.to_ome_zarr(url, **how)


class AfterTiles:
    """Does something once, when some tiles of the image were written."""

    def __init__(self, url: Any, options: Any, what: Callable[[], Any], tiles: int = 5) -> None:
        self.journal, self.tiles = Journal(open_store(url, options).child("scale0/image")), tiles
        self.what: Callable[[], Any] | None = what

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        if self.what is not None and len(self.journal.records()) >= self.tiles:
            what, self.what = self.what, None
            what()

    def finished(self, stage: str) -> None: ...


def begin(source: Any, url: Any, **how: Any) -> None:
    with pytest.raises(Interrupt):
        write(source, url, progress=AfterTiles(url, how.get("storage_options"), stop), **how)


@pytest.fixture(scope="module", params=LAYOUTS)
def half(request: Any, source: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A store that was left half-done, what it must become, and how it is written."""
    folder, how = tmp_path_factory.mktemp("half"), LAYOUTS[request.param]
    with xprep.set_options(tile_bytes=2**14, intermediates="recompute", progress="off", timestamps=False):
        write(source, folder / "whole.zarr", **how)
        begin(source, folder / "half.zarr", **how)
    return folder / "half.zarr", objects(folder / "whole.zarr"), how


def emptied(data: bytes) -> bytes:
    return b""


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip(data: bytes) -> bytes:
    at = len(data) // 3
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


def braces(data: bytes) -> bytes:
    return b"{}"


FILES = {
    "chunk": "**/c/0/0/0", "chunk of 0.4": "scale0/image/0/0/0", "last level": "**/scale1/image/c/0/0/0",
    "label's chunk": "**/cells/**/c/0/0", "statistic": "**/*.value", "records": "**/*.jsonl",
    "what the source was": "**/source.note", "copy of the mark": "**/mark.note",
    "root": "zarr.json", "root of 0.4": ".zattrs",
    "level's metadata": "**/scale1/image/zarr.json", "0.4's metadata": "scale1/image/.zarray",
    "group": "scale0/zarr.json", "label's root": "labels/cells/zarr.json", "coordinate": "**/y/c/0", "names": "**/c/c/0",
    "coordinate's metadata": "scale0/y/zarr.json",
}  # fmt: skip


def test_every_damage_to_every_kind_of_file(half: Any, source: Path, tmp_path: Path) -> None:
    """One after the other; a store that was refused is made anew by what the refusal says."""
    store, whole, how = half
    done = set()
    for n, (kind, pattern) in enumerate(FILES.items()):
        every = (emptied, cut, flip, braces)
        for damage in every[n % 2 :: 2] if not how else every[n % 4 : n % 4 + 1]:
            url = tmp_path / f"{n}{damage.__name__}.zarr"
            shutil.copytree(store, url)
            for path in sorted(url.glob(pattern))[:1]:
                path.write_bytes(damage(path.read_bytes()))
                done.add(kind)
                resume(source, url, how, f"{kind}, {damage.__name__}")
                assert objects(url) == whole, (kind, damage.__name__)
            shutil.rmtree(url)
    assert len(done) > 6


def resume(source: Path, url: Path, how: dict[str, Any], about: str) -> None:
    try:
        write(source, url, resume=True, **how)
        return
    except (StoreFormatError, xprep.StoreExistsError) as error:
        said = f"{error}{error.__notes__}"
    assert "resume=True" not in said, about
    assert f"delete {url}, and run again" in said, about
    shutil.rmtree(url)
    write(source, url, **how)


def test_tiles_of_an_unknown_source_are_forgotten_for_good(source: Path, tmp_path: Path) -> None:
    """Also by the run after the next: it finds what the source is now, which is not what these tiles were made of."""
    url, changed = tmp_path / "x.zarr", tmp_path / "s.zarr"
    shutil.copytree(source, changed)
    begin(changed, url)
    before = Journal(open_store(url).child("scale0/image")).records()
    next(url.glob("**/source.note")).write_bytes(b"")
    for path in sorted((changed / "scale0/image/c/1").glob("*/*")):  # labels are made of the other channel
        path.write_bytes((changed / "scale0/image/c/0" / path.relative_to(changed / "scale0/image/c/1")).read_bytes())
    with pytest.raises(Interrupt):
        write(changed, url, resume=True, progress=AfterTiles(url, None, stop, tiles=1))
    assert len(Journal(open_store(url).child("scale0/image")).records()) < len(before)
    write(changed, url, resume=True)
    write(changed, tmp_path / "whole.zarr")
    assert objects(url) == objects(tmp_path / "whole.zarr")


def test_two_damages_of_what_says_whose_a_store_is(source: Path, tmp_path: Path) -> None:
    """The mark and its copy: nobody knows what was begun, and the way out says what to do."""
    url = tmp_path / "x.zarr"
    begin(source, url)
    for path in (url / "zarr.json", next(url.glob("**/mark.note"))):
        path.write_bytes(b"")
    with pytest.raises(StoreFormatError, match="and run again"):
        write(source, url, resume=True)
    resume(source, url, {}, "both")
    assert xprep.verify(url).is_whole


def test_what_was_damaged_is_told(source: Path, tmp_path: Path) -> None:
    url = tmp_path / "x.zarr"
    begin(source, url)
    records = next(url.glob("scale0/image/.xprep/parts/*.jsonl"))
    lines = records.read_bytes().split(b"\n")
    note = next(i for i, line in enumerate(lines) if b'"level":0' in line)
    lines[note] = flip(lines[note])
    records.write_bytes(b"\n".join(lines))
    chunk = max((url / "scale0/image/c").glob("*/*/*"))
    chunk.write_bytes(flip(chunk.read_bytes()))
    report = write(source, url, resume=True)
    assert report.objects_checked > 0
    assert report.nbytes_checked > 0
    assert f"{report.objects_checked} objects that were there were compared" in str(report)
    assert any("notes could not be used" in one and "incomplete or was changed" in one for one in report.notes)


def test_notes_of_another_version_count_for_nothing(source: Path, tmp_path: Path) -> None:
    begin(source, tmp_path / "x.zarr")
    write(source, tmp_path / "whole.zarr")
    for path in (tmp_path / "x.zarr").glob("**/.xprep/parts/*"):
        path.write_bytes(path.read_bytes().replace(b"xprep-note-1", b"xprep-note-0"))
    report = write(source, tmp_path / "x.zarr", resume=True)
    assert report.nbytes_before == 0
    assert any("another version" in one or "missing or incomplete" in one for one in report.notes)
    assert objects(tmp_path / "x.zarr") == objects(tmp_path / "whole.zarr")


@pytest.mark.parametrize("damage", [emptied, cut, flip, braces], ids=lambda one: one.__name__)
def test_a_note_is_whole_or_refused(damage: Callable[[bytes], bytes]) -> None:
    note = encode_note({"values": [1, 2, 3]})
    assert decode_note(note, "here") == {"values": [1, 2, 3]}
    for bit in range(8 * len(note)):
        flipped = bytearray(note)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StoreFormatError, match="here is incomplete"):
            decode_note(bytes(flipped), "here")
    with pytest.raises(StoreFormatError, match="here is incomplete"):
        decode_note(damage(note), "here")


def test_a_list_of_checksums_is_whole_or_refused(tmp_path: Path) -> None:
    import numpy as np

    place = open_store(tmp_path, mode="r+")
    good = encode_manifest(np.zeros(3, STORED), 4)
    place.set(MANIFEST, good)
    kept = read_manifest(place)
    assert kept is not None
    assert kept["size"].tolist() == [0, -1, -1, -1]
    for at in range(0, len(good), 7):
        for bad in (good[:at], good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :]):
            place.set(MANIFEST, bad)
            with pytest.raises(StoreFormatError, match="damaged"):
                read_manifest(place)


@pytest.mark.parametrize("layout", ["chunks", "shards"])
def test_in_a_bucket_the_etag_tells(s3: Server, source: Path, tmp_path: Path, layout: str) -> None:
    """What is whole by its MD5 is not read; what is not is made again."""
    url, options = s3.new_bucket() + "/x.zarr", s3.storage_options()
    how = {"storage_options": options, **LAYOUTS[layout]}
    write(source, tmp_path / "whole.zarr", **LAYOUTS[layout])
    begin(source, url, **how)
    place = open_store(url, options, "r+")
    written = sorted(name for name in place.list_names() if "/image/c/" in name and "labels" not in name)
    data = place.get(written[0])
    assert data is not None
    report = None
    place.set(written[0], flip(data))
    report = write(source, url, resume=True, **how)
    assert report.objects_checked > 0
    assert report.nbytes_checked <= len(data)
    assert objects(url, options) == objects(tmp_path / "whole.zarr")


def test_a_chunk_that_another_wrote_is_seen_before_a_store_in_a_bucket_is_finished(s3: Server, source: Path) -> None:
    url, options = s3.new_bucket() + "/x.zarr", s3.storage_options()

    def change() -> None:
        place = open_store(url, options, "r+")
        record = next(one for one in Journal(place.child("scale0/image")).records() if one.level == 0)
        name = "/".join(["scale0/image/c", str(record.region[0][0]), *(str(start // 32) for start, _ in record.region[1:])])
        place.set(name, flip(place.get(name) or b""))

    with pytest.raises(xprep.UnfinishedStoreError, match="are not those that were written"):
        write(source, url, progress=AfterTiles(url, options, change), storage_options=options)
    write(source, url, resume=True, storage_options=options)
    assert xprep.verify(url, storage_options=options).is_whole


LOST = {
    "chunk": "scale0/image/c/0/0/1", "further level": "scale1/image/c/1/0/0", "coordinate": "scale0/x/c/0",
    "list": "scale0/image/.xprep/manifest.npy", "metadata": "scale1/image/zarr.json",
    "label": "labels/cells/scale0/image/c/1/1", "group": "scale1/zarr.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    url = tmp_path_factory.mktemp("finished") / "x.zarr"
    with xprep.set_options(tile_bytes=2**14, intermediates="recompute", progress="off", timestamps=False):
        write(source, url)
    return url


@pytest.mark.parametrize("damage", ["removed", "emptied", "cut"])
@pytest.mark.parametrize("kind", LOST)
def test_what_a_finished_store_lost_is_made_again(finished: Path, source: Path, tmp_path: Path, kind: str, damage: str) -> None:
    url = tmp_path / "x.zarr"
    shutil.copytree(finished, url)
    path = url / LOST[kind]
    if kind == "group" and damage == "cut":
        return  # nothing reads it but xarray without consolidated metadata
    path.unlink() if damage == "removed" else path.write_bytes(emptied(b"") if damage == "emptied" else cut(path.read_bytes()))
    report = write(source, url, resume=True)
    assert any("were lost or cut" in note for note in report.notes)
    assert objects(url) == objects(finished)
    assert write(source, url, resume=True).units == 0


def test_a_flipped_chunk_is_made_again_once_it_is_deleted(finished: Path, source: Path, tmp_path: Path) -> None:
    """As `verify` says."""
    url = tmp_path / "x.zarr"
    shutil.copytree(finished, url)
    path = url / LOST["chunk"]
    path.write_bytes(flip(path.read_bytes()))
    found = xprep.verify(url)
    assert [damage.kind for damage in found.damaged] == ["checksum"]
    assert "delete what has other bytes" in str(found)
    (url / found.damaged[0].key).unlink()
    write(source, url, resume=True)
    assert xprep.verify(url).is_whole
    assert objects(url) == objects(finished)


def test_what_a_finished_store_in_a_bucket_lost_is_made_again(s3: Server, source: Path) -> None:
    url, options = s3.new_bucket() + "/x.zarr", s3.storage_options()
    write(source, url, storage_options=options)
    before, place = objects(url, options), open_store(url, options, "r+")
    sync(place.store.delete(place.key(LOST["further level"])))
    write(source, url, resume=True, storage_options=options)
    assert objects(url, options) == before
