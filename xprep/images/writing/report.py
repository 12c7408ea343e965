"""What a writer says when it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xprep.io.codecs.descriptions import name_codecs
from xprep.sizes import format_bytes
from xprep.texts import html_table


@dataclass(frozen=True)
class Report:
    """What was written, and how it went.

    Attributes
    ----------
    url : str
        Where, without secrets.
    shapes : tuple of tuple of int
        Of the levels, finest first.
    nbytes : int
        Bytes of pixels that this run wrote, before compression, all levels.
    units : int
        Tiles of the store, those that an earlier run wrote among them; 0 if it was finished before.
    seconds : float
        Of the whole run; images that were written together share it.
    peak_memory : int
        Largest resident size of this process so far, in bytes.
    codec : str
        How chunks are stored; those of labels too, where they differ.
    notes : tuple of str
        What was noticed on the way: empty channels, percentiles that are not positive.
    statistics : dict
        Of the operations that were run: ``p``, ``p_sum``, ``p_post`` of `normalize`.
    nbytes_before : int
        Bytes of pixels, before compression, that an earlier run wrote and this one kept: with ``nbytes``, all of the store.
    source : str
        Whether a change of the source during the run would have been noticed: ``"watched"``, ``"in memory"`` (nothing is stored),
        or ``"not watched: "`` and why.
    left_out : int, optional
        Pixels of the image that `normalize` left out, NaN in every channel (before steps that followed it), where a pass for
        ``p_post`` counted them.
    capped : dict of str to int, optional
        Pixels of each channel that have the value ``cap_max`` of `normalize`, if that was the last step; None without a cap.
    methods : str
        How the image was normalised, as a paragraph for the methods of a paper: parameters, version, citation.
    objects_checked, nbytes_checked : int
        Objects of an earlier run that were compared with what it noted before they were counted; and how many bytes were read for
        that: in a bucket, the store's own MD5 is used for most.
    """

    url: str
    shapes: tuple[tuple[int, ...], ...]
    nbytes: int
    units: int
    seconds: float
    peak_memory: int
    codec: str
    notes: tuple[str, ...] = ()
    statistics: dict[str, Any] = field(default_factory=dict)
    nbytes_before: int = 0
    source: str = ""
    left_out: int | None = None
    capped: dict[str, int] | None = None
    methods: str = ""
    objects_checked: int = 0
    nbytes_checked: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.url}: {self._levels()}",
            f"{self._written()}, {self.codec}; peak memory {format_bytes(self.peak_memory)}",
            *self._checked(),
            *([f"source: {self.source}"] if self.source.startswith("not watched") else []),
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            ("levels", self._levels()),
            ("written", self._written()),
            ("chunks", self.codec),
            ("peak memory", format_bytes(self.peak_memory)),
            *(("compared", one) for one in self._checked()),
            ("source", self.source),
            *(("note", note) for note in self.notes),
        ]
        return html_table(self.url, [row for row in rows if row[1]])

    def _levels(self) -> str:
        sizes = ", ".join("×".join(map(str, shape)) for shape in self.shapes)
        return f"{len(self.shapes)} level{'s' * (len(self.shapes) > 1)} ({sizes})"

    def _written(self) -> str:
        kept = f" ({format_bytes(self.nbytes_before)} were there)" if self.nbytes_before else ""
        return f"{format_bytes(self.nbytes)}{kept} in {self.seconds:.1f} s"

    def _checked(self) -> list[str]:
        if not self.objects_checked:
            return []
        return [f"{self.objects_checked} objects that were there were compared, {format_bytes(self.nbytes_checked)} of them read"]


def name_stored(stored: Sequence[Mapping[str, Any]]) -> str:
    """Return how the pyramids of an image and its labels are stored, in words."""
    image, *labels = map(name_codecs, stored)
    others = ", ".join(dict.fromkeys(name for name in labels if name != image))
    return f"{image} (labels: {others})" if others else image
