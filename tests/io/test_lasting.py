"""What is there after a power cut: mark, notes, and the folders that their names lie in, were given to the disk (fsync)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import xprep
from xprep.io.arrays.writes import STORED
from xprep.io.commit.journal import Journal, Record
from xprep.io.store.places import open_store

Synced = set[int]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    """Numbers (inodes) of the files and folders that were synced; a file keeps its own when it is renamed."""
    found: Synced = set()
    sync = os.fsync

    def recorded(file: int) -> None:
        sync(file)
        found.add(os.fstat(file).st_ino)

    monkeypatch.setattr(os, "fsync", recorded)
    return found


def lost(synced: Synced, *paths: Path) -> list[Path]:
    return [path for path in paths if path.stat().st_ino not in synced]


RECORD = Record(0, ((0, 4),), np.zeros(1, STORED))
NOTES: dict[str, tuple[Callable[[Journal], None], str, bool]] = {
    "a value": (lambda journal: journal.save("one.value", {"a": 1}), "one.value", True),
    "a tile, as the last seconds are": (lambda journal: journal.add(RECORD), "*.jsonl", False),
    "a tile, and all before": (lambda journal: journal.add(RECORD, lasting=True), "*.jsonl", True),
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("keep", "pattern", "lasts"), NOTES.values(), ids=NOTES)
def test_notes(tmp_path: Path, synced: Synced, keep: Callable[[Journal], None], pattern: str, lasts: bool, again: bool) -> None:
    """The folders are synced when they are made, and with every note that lasts."""
    journal = Journal(open_store(tmp_path / "a", mode="r+"))
    if again:
        journal.add(RECORD)
        synced.clear()
    keep(journal)
    parts = tmp_path / "a/.xprep/parts"
    (note,) = parts.glob(pattern)
    assert lost(synced, note) == ([] if lasts else [note])
    if not again:
        assert lost(synced, tmp_path, tmp_path / "a", tmp_path / "a/.xprep") == []
    if lasts:
        assert lost(synced, parts) == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_finished_store(tmp_path: Path, synced: Synced, version: str) -> None:
    """The mark that says it is finished, the list of checksums, and their folders; pixels are not, and are checked instead."""
    image = xprep.datasets.blobs(channels=1, shape=(32, 32))
    image.prep.to_ome_zarr(tmp_path / "a.zarr", scale_factors=(), version=version)
    level = tmp_path / "a.zarr/scale0/image"
    root = tmp_path / "a.zarr" / ("zarr.json" if version == "0.5" else ".zattrs")
    assert lost(synced, tmp_path, root.parent, root, level / ".xprep", level / ".xprep/manifest.npy") == []
    chunks = [path for path in level.rglob("*") if path.is_file() and path.stat().st_size >= 500 and ".xprep" not in path.parts]
    assert lost(synced, *chunks) == chunks != []
