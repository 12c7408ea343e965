"""Any sequence of writing, interrupting, resuming, overwriting and damaging: what opens is whole, and is what was asked for."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import xprep
from tests.helpers.crashes import objects
from tests.helpers.listeners import Interrupt
from xprep.errors import StoreExistsError, UnfinishedStoreError
from xprep.io.commit import journal
from xprep.io.store import keys

CHUNKS = {"y": 16, "x": 16}
PARAMETERS = (90, 99)


class Dying:
    """After some more writes, none succeeds any more: what a killed process leaves, without the time that one takes."""

    def __init__(self, writes: int) -> None:
        self.left, self.patch = writes, pytest.MonkeyPatch()

    def __enter__(self) -> None:
        for where, name in ((keys, "write_file"), (keys, "create_file"), (journal, "_append"), (os, "rename")):
            self.patch.setattr(where, name, self._counted(getattr(where, name)))

    def __exit__(self, *error: object) -> None:
        self.patch.undo()

    def _counted(self, write: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise OSError("killed")
            return write(*arguments, **options)

        return counted


@cache
def lab() -> tuple[Path, dict[int, dict[str, bytes]]]:
    """Return a folder with a source, and what unbroken runs make of it, by parameter."""
    folder = Path(tempfile.mkdtemp(prefix="xprep-machine-"))
    atexit.register(shutil.rmtree, folder)
    source = xprep.datasets.blobs(channels=1, shape=(64, 48), seed=1)
    source.prep.to_ome_zarr(folder / "source.zarr", chunks={"y": 16, "x": 32}, scale_factors=())
    for p in PARAMETERS:
        compute(p, folder / f"{p}.zarr")
    return folder, {p: objects(folder / f"{p}.zarr") for p in PARAMETERS}


def compute(p: int, url: Path, **how: Any) -> Any:
    """Do what every run of the machine does."""
    with xprep.set_options(tile_bytes=2**11, intermediates="recompute", progress="off"):
        image = xprep.open_image(url.parent / "source.zarr").prep.normalize(p=p, sigma=1)
        return image.prep.to_ome_zarr(url, scale_factors=(2,), chunks=CHUNKS, **how)


class Store(RuleBasedStateMachine):
    """One store, and what must be there: what is finished, what is not, and what was begun beside it to replace it."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: int | None = None
        self.unfinished: int | None = None
        self.beside: int | None = None
        self.damaged: dict[str, str] = {}

        folder, self.expected = lab()
        self.url = folder / "x.zarr"
        self._clear()

    def teardown(self) -> None:
        self._clear()

    def _clear(self) -> None:
        for left in (self.url, *self.url.parent.glob(".x.zarr.*")):
            shutil.rmtree(left, ignore_errors=True)

    def _run(self, p: int, **how: Any) -> Any:
        return compute(p, self.url, **how)

    @property
    def empty(self) -> bool:
        return self.finished is None and self.unfinished is None

    def _place(self, p: int, resume: bool, overwrite: bool) -> str:
        """Return where a run works ("here", "beside"), that it is "mending" what was lost, or done ("nowhere"), or "refused"."""
        if resume and self.finished == p:
            return "mending" if set(self.damaged.values()) - {"checksum"} else "nowhere"
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
        self.finished, self.unfinished, self.damaged = p, None, {}
        if place == "beside":
            self.beside = None

    def _stop(self, p: int, place: str) -> None:
        """A run ended early: what it began is left unfinished, or taken back where it wrote no pixel and found nothing."""
        if place == "beside":
            self.beside = p if any(self.url.parent.glob(".x.zarr.*")) else None
        elif self.url.exists():
            self.finished, self.unfinished, self.damaged = None, p, {}
        else:
            assert self.empty

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
        steps=st.integers(0, 40),
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
            self._stop(p, place)
        else:
            self._finish(p, place)

    @rule(p=st.sampled_from(PARAMETERS), overwrite=st.booleans(), writes=st.integers(0, 60))
    def kill(self, p: int, overwrite: bool, writes: int) -> None:
        """A process is killed at any of its writes, and another goes on."""
        place = self._place(p, True, overwrite)
        if place == "refused":
            return
        old = None if self.damaged or self.finished is None else self.finished
        try:
            with Dying(writes):
                self._run(p, resume=True, overwrite=overwrite)
        except OSError:
            self._look_at_ruin(p, old)
        self._run(p, resume=True, overwrite=overwrite)
        self._finish(p, place)

    def _look_at_ruin(self, p: int, old: int | None) -> None:
        """There is nothing, or what was there, or the whole result, or it does not open."""
        there = objects(self.url)
        if there and there not in (self.expected[p], self.expected.get(old or 0)) and not self.damaged:
            with pytest.raises(UnfinishedStoreError):
                xprep.open_image(self.url)
        if old is not None and there:
            assert there in (self.expected[p], self.expected[old]), "the old store was touched before the new one was whole"

    @precondition(lambda self: self.finished is not None)
    @rule(data=st.data(), kind=st.sampled_from(["missing", "size", "checksum"]))
    def damage(self, data: st.DataObject, kind: str) -> None:
        chunks = sorted(path for path in self.url.glob("scale*/image/c/*/*/*"))
        path = data.draw(st.sampled_from(chunks))
        name = path.relative_to(self.url).as_posix()
        if name in self.damaged or (kind == "checksum") != (set(self.damaged.values()) <= {"checksum"}):
            return  # what is lost is made again from its neighbours, which must be whole
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.unlink()
        if kind != "missing":
            path.write_bytes(content if kind == "checksum" else content[:-1])
        self.damaged[name] = kind

    @rule()
    def delete(self) -> None:
        shutil.rmtree(self.url, ignore_errors=True)
        self.finished, self.unfinished, self.damaged = None, None, {}

    @invariant()
    def what_opens_is_whole(self) -> None:
        if self.empty:
            assert not self.url.exists()
        elif self.finished is None:
            with pytest.raises(UnfinishedStoreError):
                xprep.open_image(self.url)
        else:
            assert {damage.key for damage in xprep.verify(self.url).damaged} == set(self.damaged)
            if not self.damaged:
                assert objects(self.url) == self.expected[self.finished]


TestStore = Store.TestCase
TestStore.settings = settings(
    max_examples=int(os.environ.get("XPREP_MACHINE_EXAMPLES", "50")), stateful_step_count=6, deadline=None
)
