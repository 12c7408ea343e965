"""The code on the pages of docs/ runs, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "ome_zarr.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    return BLOCK.findall(PAGE.read_text(encoding="utf-8"))


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what needs spatialdata: see tests/clients."""
    monkeypatch.chdir(tmp_path)
    (mine,) = [block for block in blocks() if "spatialdata" not in block]
    exec(compile(mine, str(PAGE), "exec"), {})
    assert (tmp_path / "copy.ome.zarr" / ".zgroup").exists()
