"""Any sequence of writing, interrupting, resuming, overwriting and damaging: what opens is whole, and is what was asked for."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import xprep
from tests.crashes import kill_after, objects, start
from xprep.errors import StoreExistsError, UnfinishedStoreError

CHUNKS = {"y": 16, "x": 16}
PARAMETERS = (90, 99)


class Interrupt:
    """Ends a run after some steps, by an error or as Ctrl-C does."""

    def __init__(self, steps: int, error: type[BaseException]) -> None:
        self.left, self.error = steps, error

    def started(self, stage: str, total: int) -> None: ...

    def advanced(self, stage: str, steps: int, nbytes: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise self.error("interrupted")

    def finished(self, stage: str) -> None: ...


class Store(RuleBasedStateMachine):
    """One store, and what must be there: what is finished, what is not, and what was begun beside it to replace it."""

    folder: Path
    expected: dict[int, dict[str, bytes]]

    def __init__(self) -> None:
        super().__init__()
        self.finished: int | None = None
        self.unfinished: int | None = None
        self.beside: int | None = None
        self.damaged: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="xprep-machine-"))
        self.url = self.folder / "x.zarr"
        xprep.datasets.blobs(channels=1, shape=(96, 64), seed=1).prep.to_ome_zarr(
            self.folder / "source.zarr", chunks={"y": 16, "x": 32}, scale_factors=()
        )
        self.expected = {}
        for p in PARAMETERS:
            self._run(p, self.folder / f"whole-{p}.zarr")
            self.expected[p] = objects(self.folder / f"whole-{p}.zarr")

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _run(self, p: int, url: Path | None = None, **how: Any) -> Any:
        with xprep.set_options(tile_bytes=2**11, intermediates="recompute", progress="off"):
            image = xprep.open_image(self.folder / "source.zarr").prep.normalize(p=p, sigma=1)
            return image.prep.to_ome_zarr(url or self.url, scale_factors=(2,), chunks=CHUNKS, **how)

    @property
    def empty(self) -> bool:
        return self.finished is None and self.unfinished is None

    def _place(self, p: int, resume: bool, overwrite: bool) -> str:
        """Return where a run works: "here", "beside", or "nowhere" if it is done; "refused" if it is an error."""
        if resume and self.finished == p:
            return "nowhere"
        if resume and self.unfinished == p:
            return "here"
        if resume and self.beside == p:
            return "beside" if self.empty or overwrite else "refused"
        if self.empty:
            return "here"
        return "beside" if overwrite else "refused"

    def _finish(self, p: int, place: str) -> None:
        if place == "nowhere":
            return
        self.finished, self.unfinished, self.damaged = p, None, set()
        if place == "beside":
            self.beside = None

    @rule(p=st.sampled_from(PARAMETERS), resume=st.booleans(), overwrite=st.booleans())
    def run(self, p: int, resume: bool, overwrite: bool) -> None:
        place = self._place(p, resume, overwrite)
        if place == "refused":
            with pytest.raises(StoreExistsError):
                self._run(p, resume=resume, overwrite=overwrite)
            return
        report = self._run(p, resume=resume, overwrite=overwrite)
        assert (report.units == 0) == (place == "nowhere")
        self._finish(p, place)

    @rule(
        p=st.sampled_from(PARAMETERS),
        resume=st.booleans(),
        overwrite=st.booleans(),
        steps=st.integers(0, 120),
        error=st.sampled_from([OSError, KeyboardInterrupt]),
    )
    def interrupt(self, p: int, resume: bool, overwrite: bool, steps: int, error: type[BaseException]) -> None:
        place = self._place(p, resume, overwrite)
        if place == "refused":
            return
        try:
            self._run(p, progress=Interrupt(steps, error), resume=resume, overwrite=overwrite)
        except (OSError, KeyboardInterrupt):
            assert place != "nowhere"
            self.unfinished, self.beside = (p, self.beside) if place == "here" else (self.unfinished, p)
        else:
            self._finish(p, place)

    @precondition(lambda self: self.finished is not None)
    @rule(data=st.data(), kind=st.sampled_from(["missing", "size", "checksum"]))
    def damage(self, data: st.DataObject, kind: str) -> None:
        chunks = sorted(path for path in self.url.glob("scale*/image/c/*/*/*"))
        path = data.draw(st.sampled_from(chunks))
        name = path.relative_to(self.url).as_posix()
        if name in self.damaged:
            return
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.unlink()
        if kind != "missing":
            path.write_bytes(content if kind == "checksum" else content[:-1])
        self.damaged.add(name)

    @rule()
    def delete(self) -> None:
        shutil.rmtree(self.url, ignore_errors=True)
        self.finished, self.unfinished, self.damaged = None, None, set()

    @invariant()
    def what_opens_is_whole(self) -> None:
        if self.empty:
            assert not hasattr(self, "url") or not self.url.exists()
        elif self.finished is None:
            with pytest.raises(UnfinishedStoreError):
                xprep.open_image(self.url)
        else:
            assert {damage.key for damage in xprep.verify(self.url).damaged} == self.damaged
            if not self.damaged:
                assert objects(self.url) == self.expected[self.finished]


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=int(os.environ.get("XPREP_MACHINE_EXAMPLES", "50")), stateful_step_count=8, deadline=None
)


def test_killed_processes_between_other_things(tmp_path: Path) -> None:
    """A few sequences with processes that are really killed."""
    rng = np.random.default_rng(5)
    source, url, whole = tmp_path / "source.zarr", tmp_path / "x.zarr", tmp_path / "whole.zarr"
    xprep.datasets.blobs(channels=2, shape=(128, 128)).prep.to_ome_zarr(source, chunks={"y": 64, "x": 64})
    out, err = start(str(source), str(whole)).communicate()
    assert "finished" in out, err
    for how in ({"resume": True}, {"overwrite": True}, {"resume": True, "overwrite": True}):
        killed = kill_after(start(str(source), str(url), **how), float(rng.uniform(0, 0.3)))
        if url.exists() and killed and "overwrite" not in how:
            with pytest.raises(UnfinishedStoreError):
                xprep.open_image(url)
    out, err = start(str(source), str(url), resume=True, overwrite=True).communicate()
    assert "finished" in out, err
    assert objects(url) == objects(whole)
