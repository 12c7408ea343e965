"""What is compiled is kept on disk: for its own types and its own sources, whoever compiles at the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xprep.kernels import compiling

KERNEL = """
from xprep.kernels.compiling import compiled

@compiled()
def double(values):
    out = values.copy()
    for i in range(values.size):
        out[i] = values[i] + values[i]
    return out
"""
PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from kernel import double
print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[2:]:
    values = np.arange(1, 6).astype(name)
    assert (double(values) == values + values).all(), (name, double(values))
print(sum(double.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a kernel of its own, and an empty one for what is compiled."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    (tmp_path / "kernel.py").write_text(KERNEL)
    return tmp_path


def start(folder: Path, *dtypes: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), *dtypes]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(*processes: subprocess.Popen[str]) -> list[int]:
    """Let all go at once, wait, and return how often each found what it needed on disk."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    hits = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [int(text) for text in hits]


def test_processes_that_compile_at_once_keep_each_its_own(folder: Path) -> None:
    dtypes = ("float64", "int16", "complex128")
    assert finish(*(start(folder, dtype) for dtype in dtypes)) == [0, 0, 0]
    assert finish(start(folder, *dtypes)) == [3]


def test_a_name_never_stands_for_two_types(tmp_path: Path) -> None:
    """The order that numba's numbered files cannot bear: both look, both write, then both are read."""
    first, second = (compiling._KeyedFiles(tmp_path, "kernel") for _ in range(2))
    keys = [((name,), ("target",), ("code", "closure")) for name in ("uint8", "float64")]
    assert first.load(keys[0]) is None
    assert second.load(keys[1]) is None
    first.save(keys[0], "for uint8")
    second.save(keys[1], "for float64")
    assert [second.load(keys[0]), first.load(keys[1])] == ["for uint8", "for float64"]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x80nonsense"])
def test_a_file_cut_short_is_compiled_again(tmp_path: Path, spoil) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    key = (("uint8",), ("target",), ("code", "closure"))
    files.save(key, "loops")
    (path,) = tmp_path.iterdir()
    path.write_bytes(spoil(path.read_bytes()))
    assert files.load(key) is None
    files.save(key, "loops")
    assert files.load(key) == "loops"


def test_other_sources_are_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    key = (("uint8",), ("target",), ("code", "closure"))
    files.save(key, "loops")
    monkeypatch.setattr(compiling, "_stamp", lambda: "the digest of other sources")
    assert files.load(key) is None
    files.save(key, "newer loops")
    assert files.load(key) == "newer loops"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_digest_covers_every_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in Path(compiling.__file__).parent.glob("*.py"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    seen = {compiling._stamp.__wrapped__()}
    for name in ("bins.py", "layout.py", "pixels.py"):
        (tmp_path / name).write_text("# edited\n")
        seen.add(compiling._stamp.__wrapped__())
    assert len(seen) == 4


def test_without_a_place_to_keep_it_a_kernel_still_runs() -> None:
    """A function that no file holds has no folder either; numba's own decorator refuses it."""
    names: dict = {"compiled": compiling.compiled}
    exec(compile("def half(value):\n    return value / 2", "<nowhere>", "exec"), names)
    half = compiling.compiled()(names["half"])
    assert compiling.keep_compiled(names["half"]) is None
    assert half(np.float64(3)) == 1.5
