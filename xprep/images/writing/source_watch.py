"""Whether the stored objects that a run reads stay what they are: listed as it begins, at its end, and when it is resumed.

1. `begin` lists the objects in a thread, beside the first reads;
2. `keep` notes the sums in the journal, once they are known, so that a later run can compare;
3. `resume` compares that note with a new listing, before an earlier run's tiles are counted;
4. `check` lists again when all is written; a difference is `SourceChangedError`, which is noted too, so that no run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from hashlib import blake2b
from threading import Event
from time import time
from typing import Any, Final
from uuid import uuid4

from xprep.engine.sources.origins import Origins
from xprep.errors import SourceChangedError
from xprep.io.arrays.source_sums import SourceContents, SourceSums, add_up, changed_since, find_change
from xprep.io.commit.journal import Journal
from xprep.io.store.deadlines import WANTED

# Name of the note that keeps what the source was when the run began.
NOTE: Final = "source.note"


class SourceWatch:
    """Lists what the images of one run are read from: beside its first reads, which do not wait, and at its end.

    It begins when it is made. What is read of several images, and by several passes, is listed once. Where it travels (a lazy
    writing that runs on a cluster), it does so with what was listed.
    """

    def __init__(self) -> None:
        self._started = time()
        self._stopped = Event()
        self._pool: ThreadPoolExecutor | None = None
        self._first: dict[str, Future[SourceSums | str]] = {}
        self._notes: list[Future[None]] = []
        self._token = uuid4().hex

    def begin(self, origins: Iterable[Origins]) -> None:
        """Begin to list, in a thread."""
        for contents in (contents for one in origins for contents in one.contents):
            if contents.key not in self._first:
                self._first[contents.key] = self._submit(add_up, contents)

    def keep(self, origins: Origins, journal: Journal) -> None:
        """Keep what the source is, once it is listed, for a run that goes on with this one's work."""
        if origins.contents:
            self._notes.append(self._submit(self._save, origins, journal))
        else:
            self._save(origins, journal)

    def _save(self, origins: Origins, journal: Journal, changed: str = "") -> None:
        sums = {key: one for key, one in self._sums(origins).items() if isinstance(one, SourceSums)}
        for contents in origins.contents:
            if contents.key in sums:
                changed = changed or changed_since(contents, sums[contents.key], self._started)
        journal.save(NOTE, {"sources": {key: one.to_json() for key, one in sums.items()}, "changed": changed})

    def _submit(self, work: Any, *arguments: Any) -> Future[Any]:
        if self._pool is None:
            # One thread: two listings at once would take from the reads what they gain.
            self._pool = ThreadPoolExecutor(1, "xprep-watch", WANTED.set, (lambda: not self._stopped.is_set(),))
        return self._pool.submit(work, *arguments)

    def _sums(self, origins: Origins) -> dict[str, SourceSums | str]:
        return {one.key: self._first[one.key].result() for one in origins.contents}

    def resume(self, origins: Origins, kept: Mapping[str, Any], url: str) -> None:
        """Refuse to go on if the source is not what it was when the first part of the run began.

        Raises
        ------
        SourceChangedError
            It names an object.
        """
        changed = str(kept["changed"])
        found = self._sums(origins)
        for contents in origins.contents if not changed else ():
            before, now = kept["sources"].get(contents.key), found[contents.key]
            if before is not None and isinstance(now, SourceSums):
                changed = changed or find_change(contents, SourceSums.from_json(before), now, lasting=True)
            elif before is not None:
                changed = changed or f"{contents.place} cannot be listed any more ({now})"
        if changed:
            raise SourceChangedError(
                f"{changed} after the run that left {url} began to read it: what is there was made of the source as it was. "
                f"{_way_out(url)}"
            )

    def check_finished(self, origins: Origins, mark: Mapping[str, Any], url: str) -> None:
        """Refuse to call it done if the source is not what it was when the store at ``url``, with this ``mark``, was made.

        Raises
        ------
        SourceChangedError
            It names the source.
        """
        before, now = mark.get("source_sum"), self.describe(origins).get("source_sum")
        if before != now and before is not None:
            where = ", ".join(sorted({one.place.url for one in origins.contents}))
            raise SourceChangedError(
                f"{url} is finished, and was made of {where}, which has been changed since: overwrite=True makes it anew."
            )

    def check(self, jobs: Sequence[tuple[Origins, str, Journal | None]]) -> None:
        """Refuse to call stores finished whose source changed; each comes with its URL and, where a run may go on, its journal.

        Raises
        ------
        SourceChangedError
            It names an object.
        """
        wait(self._notes)  # who finishes a store deletes the folder that they are written to
        found: dict[str, str] = {}
        for origins, url, journal in jobs:
            for contents in origins.contents:
                if contents.key not in found:
                    found[contents.key] = self._changed(contents)
                if changed := found[contents.key]:
                    if journal is not None:
                        self._save(origins, journal, changed)
                    raise SourceChangedError(
                        f"{changed} while it was read: {url} would be made of two states of its source. It stays unfinished. "
                        f"{_way_out(url)}"
                    )

    def _changed(self, contents: SourceContents) -> str:
        first = self._first[contents.key].result()
        if isinstance(first, str):
            return ""
        if changed := changed_since(contents, first, self._started):
            return changed
        second = add_up(contents)
        if isinstance(second, str):
            return f"{contents.place}, which could be listed before and cannot any more ({second}), may have been changed"
        return find_change(contents, first, second, lasting=False)

    def describe(self, origins: Origins) -> dict[str, str]:
        """Return what a store, and its report, say of the source: whether it was watched, and what it was."""
        sums = self._sums(origins)
        reasons = [*origins.unwatched, *(one for one in sums.values() if isinstance(one, str))]
        if reasons:
            return {"source": f"not watched: {reasons[0]}"}
        if not sums:
            return {"source": "in memory"}
        digests = sorted(f"{key} {one.digest}" for key, one in sums.items() if isinstance(one, SourceSums))
        return {"source": "watched", "source_sum": blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()}

    def close(self) -> None:
        """Stop listing."""
        self._stopped.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __dask_tokenize__(self) -> str:
        return self._token

    def __getstate__(self) -> dict[str, Any]:
        first = {key: _Done(one.result()) for key, one in self._first.items()}
        return {"_started": self._started, "_first": first, "_notes": [], "_token": self._token}


class _Done:
    """A future whose result is there."""

    def __init__(self, value: SourceSums | str) -> None:
        self._value = value

    def result(self) -> SourceSums | str:
        """Return it."""
        return self._value


def _way_out(url: str) -> str:
    return f"Write it anew from the source as it is now: with overwrite=True alone, or delete {url} first."
