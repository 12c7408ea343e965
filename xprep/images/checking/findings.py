"""What `validate` says: single findings, and all of them with a checksum, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from xprep.texts import encode_safe_json, html_table, make_safe
from xprep.version import version

State = Literal["ok", "warning", "failed", "skipped"]
MARKS: Final[Mapping[State, str]] = {"ok": "ok      ", "warning": "warning ", "failed": "FAILED  ", "skipped": "skipped "}


@dataclass(frozen=True)
class Finding:
    """What was looked at, and what came out.

    Attributes
    ----------
    what : str
        Such as "metadata", "model", "chunks", "levels".
    where : str
        Path below the store's root.
    state : {"ok", "warning", "failed", "skipped"}
        ``"warning"`` is what OME-Zarr allows and readers stumble over.
    detail : str
        In a sentence.
    """

    what: str
    where: str
    state: State
    detail: str

    def __str__(self) -> str:
        return make_safe(f"{MARKS[self.state]}{self.what:9} {self.where or '.'}: {self.detail}")

    __repr__ = __str__


@dataclass(frozen=True)
class ArrayDigest:
    """An array as it was found.

    Attributes
    ----------
    path : str
        Below the store's root.
    shape : tuple of int
        In pixels.
    dtype : str
        Of the pixels.
    objects, missing : int
        Shards (or chunks, where there are none) that there should be, and that are not there.
    nbytes : int
        What the objects take.
    checksum : str
        sha256 of the objects' sizes and crc32c, as they were kept when they were written; "" where nobody kept them.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    objects: int
    missing: int
    nbytes: int
    checksum: str = ""


@dataclass(frozen=True)
class Validation:
    """What `validate` found.

    Attributes
    ----------
    url : str
        Without secrets.
    findings : tuple of Finding
        Everything that was looked at.
    arrays : tuple of ArrayDigest
        Every array.
    """

    url: str
    findings: tuple[Finding, ...]
    arrays: tuple[ArrayDigest, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether nothing failed."""
        return all(finding.state != "failed" for finding in self.findings)

    @property
    def checksum(self) -> str:
        """Of the report: equal for equal stores, wherever they lie, and for this version of xprep."""
        text = json.dumps(self._content(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return f"sha256:{sha256(text.encode()).hexdigest()}"

    def _content(self) -> dict[str, Any]:
        return {
            "xprep": version(),
            "valid": self.is_valid,
            "findings": [asdict(finding) for finding in self.findings],
            "arrays": [asdict(array) for array in self.arrays],
        }

    def to_json(self) -> str:
        """Return it as JSON. ``checksum`` is that of the other entries but ``url``, with sorted keys and no spaces."""
        return encode_safe_json({"url": self.url, **self._content(), "checksum": self.checksum}, indent=2)

    def __str__(self) -> str:
        return "\n".join([self._verdict(), *map(str, self.findings), f"{self._objects()}; report {self.checksum}"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(one.state, one.what, make_safe(one.where or "."), make_safe(one.detail)) for one in self.findings]
        return html_table(f"{self._verdict()}; {self._objects()}", rows)

    def _verdict(self) -> str:
        return f"{make_safe(self.url)}: {'valid' if self.is_valid else 'NOT VALID'} ({_count(self.findings)})"

    def _objects(self) -> str:
        objects, missing = sum(one.objects for one in self.arrays), sum(one.missing for one in self.arrays)
        return f"arrays: {len(self.arrays)}; objects: {objects - missing} of {objects}"


def _count(findings: Sequence[Finding]) -> str:
    states = [finding.state for finding in findings]
    return ", ".join(f"{states.count(state)} {state}" for state in MARKS if states.count(state))


@dataclass
class Collected:
    """Where findings are collected while a store is looked at.

    Parameters
    ----------
    samples : int
        Regions of every level that are recomputed.
    """

    samples: int
    findings: list[Finding] = field(default_factory=list)
    arrays: list[ArrayDigest] = field(default_factory=list)

    def add(self, what: str, where: str, state: State, detail: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(what, where, state, detail))


def join(path: str, below: str) -> str:
    """Return the path of what is ``below`` a ``path``, which is empty for the root."""
    return f"{path}/{below}" if path else below
