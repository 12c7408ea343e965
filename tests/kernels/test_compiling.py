"""What is compiled is kept on disk: for its own types and its own sources, whoever compiles at the same time."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import paths
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
    monkeypatch.setenv("PYTHONPATH", str(paths.ROOT))
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
    hits = [process.communicate(timeout=600)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [int(text) for text in hits]


@pytest.mark.slow
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


KEY = (("uint8",), ("target",), ("code", "closure"))


def replaced(data: bytes) -> Callable[[Path], None]:
    """Return a damage: ``data`` in place of a file's content."""
    return lambda path: void(path.write_bytes(data))


def edited(edit: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a damage: a file's content is edited."""
    return lambda path: void(path.write_bytes(edit(path.read_bytes())))


def void(_: object) -> None:
    """Return nothing."""


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def link_to_itself(path: Path) -> None:
    """A file that nobody can read, not even root."""
    path.unlink()
    path.symlink_to(path)


def of_another_key(path: Path) -> None:
    """A file under another's name: of other types, or of another processor."""
    other = compiling._KeyedFiles(path.parent, "kernel")
    other.save((KEY[0], ("another target",), KEY[2]), "loops for another processor")
    (written,) = (one for one in path.parent.iterdir() if one != path)
    written.replace(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": replaced(b""),
    "half": edited(lambda data: data[: len(data) // 2]),
    "one byte short": edited(lambda data: data[:-1]),
    "one byte more": edited(lambda data: data + b"\0"),
    "digest alone": edited(lambda data: data[: compiling._DIGEST_BYTES]),
    "no digest": edited(lambda data: data[compiling._DIGEST_BYTES :]),
    "zeros": edited(lambda data: bytes(len(data))),
    "no pickle": replaced(b"\x80nonsense"),
    "pickle of a missing module": replaced(b"cnot_a_module\nx\n."),
    "pickle of a number": replaced(b"0."),
    "pickle of a missing attribute": replaced(b"\x80\x05\x8c\x01a\x8c\x01b\x93."),
    "pickle that sets nothing": replaced(b"}]s."),
    "pickle of a list": replaced(b"(lp0\nI1\nI2\nu."),
    "a whole pickle without a digest": replaced(pickle.dumps(("stamp", KEY, "loops"))),
    "a folder": folder_in_its_place,
    "unreadable": link_to_itself,
    "of another key": of_another_key,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_compiled_again(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    files.save(KEY, "loops")
    (path,) = tmp_path.iterdir()
    damage(path)
    assert files.load(KEY) is None
    with warnings.catch_warnings():  # once a process, where nothing can be kept: in a folder's place
        warnings.simplefilter("ignore" if path.is_dir() else "error")
        files.save(KEY, "loops")
    assert files.load(KEY) == (None if path.is_dir() else "loops")
    files.flush()


def test_no_flipped_bit_is_loaded(tmp_path: Path) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    files.save(KEY, ("loops", bytes(range(64))))
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert files.load(KEY) is None, f"bit {bit}"


@pytest.mark.slow
def test_kernels_run_whatever_lies_in_their_folder(folder: Path) -> None:
    """Through numba, in new processes: what is damaged is compiled, and (a folder aside) kept anew."""
    dtypes = ("int16", "int32", "float32", "float64")
    assert finish(start(folder, *dtypes)) == [0]
    names = ("a whole pickle without a digest", "pickle of a missing module", "half", "a folder")
    for path, name in zip(sorted((folder / "kept").rglob("*.nbc")), names, strict=True):
        DAMAGES[name](path)
    assert finish(start(folder, *dtypes)) == [0]
    assert finish(start(folder, *dtypes)) == [3]


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path) -> None:
    files = compiling._KeyedFiles(tmp_path / "not" / "there", "kernel")
    compiling._say_that_nothing_is_kept.cache_clear()
    with pytest.warns(UserWarning, match="compiled anew in every process.*NUMBA_CACHE_DIR") as said:
        assert [files.save(KEY, "loops") for _ in range(2)] == [None, None]
    assert len(said) == 1
    assert files.load(KEY) is None


OTHERS = {
    "python": (compiling.sys, "version"),
    "numba": (compiling.numba, "__version__"),
    "llvmlite": (compiling.llvmlite, "__version__"),
    "numpy": (compiling.np, "__version__"),
}


@pytest.mark.parametrize(("module", "attribute"), OTHERS.values(), ids=OTHERS)
def test_files_of_other_versions_are_compiled_again(
    module: Any, attribute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    files.save(KEY, "loops")
    monkeypatch.setattr(module, attribute, "another")
    monkeypatch.setattr(compiling, "_stamp", compiling._stamp.__wrapped__)
    assert files.load(KEY) is None


def test_other_sources_are_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = compiling._KeyedFiles(tmp_path, "kernel")
    files.save(KEY, "loops")
    monkeypatch.setattr(compiling, "_stamp", lambda: b"the digest of other sources")
    assert files.load(KEY) is None
    files.save(KEY, "newer loops")
    assert files.load(KEY) == "newer loops"
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
    compiling._say_that_nothing_is_kept.cache_clear()
    with pytest.warns(UserWarning, match="compiled anew in every process.*NUMBA_CACHE_DIR") as said:
        halves = [half(np.float64(3)), half(np.int64(3))]
    assert halves == [1.5, 1.5]
    assert len(said) == 1
