"""Every notebook runs from the first cell to the last, draws something, and is stored without what it gave."""

from __future__ import annotations

import base64
import os
import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests import paths

NOTEBOOKS = sorted((paths.ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 10_000  # bytes: one question, no outputs


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_stripped(path: Path) -> None:
    assert path.stat().st_size <= LARGEST
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = execute(path, tmp_path, monkeypatch)
    pictures = [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert pictures
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert [output for output in outputs(notebook) if output.get("name") == "stderr"] == []


def execute(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a notebook in ``folder`` with this environment's kernel; it imports the xprep under test."""
    root = str(paths.ROOT)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    with warnings.catch_warnings():
        # Of jupyter's client and its sockets, not of ours: the kernel has its own filters.
        warnings.simplefilter("ignore")
        from nbclient import NotebookClient

        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
        return client.execute()


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


WORK = """
import xprep
from zarr.storage import MemoryStore
xprep.set_options(tile_bytes=2**15)
image = xprep.datasets.blobs(channels=2, shape=(256, 256)).prep.normalize(sigma=1)
"""
CELLS = {
    "one image": "report = image.prep.to_ome_zarr('one.zarr')",
    "a batch": """
for n in range(6):
    xprep.datasets.blobs(channels=1, shape=(64, 64)).prep.to_ome_zarr(f"in/{n}.zarr", progress=False)
report = xprep.run({"inputs": "in/*.zarr", "steps": ["normalize"], "output": "out"})
""",
    "a failure": "image.prep.to_ome_zarr('one.zarr')",
    "quiet": "with xprep.set_options(progress='off'): image.prep.to_ome_zarr('two.zarr');",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a real kernel gave for cells that show progress, by the cell's name."""
    pytest.importorskip("ipykernel", reason="notebooks need a kernel")
    folder = tmp_path_factory.mktemp("progress")
    cells = [nbformat.v4.new_code_cell(text, metadata={"tags": ["raises-exception"]}) for text in (WORK, *CELLS.values())]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "progress.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(paths.ROOT))
        notebook = execute(folder / "progress.ipynb", folder, patch)
    nbformat.write(notebook, folder / "executed.ipynb")
    return dict(zip(CELLS, (cell.outputs for cell in notebook.cells[1:]), strict=True))


def lines(outputs: list[Any]) -> list[str]:
    """Return the text of the one output that there is; as HTML it is the same."""
    (output,) = outputs
    assert output.output_type == "display_data"
    text = str(output.data["text/plain"])
    assert all(line in output.data["text/html"] for line in text.splitlines())
    return text.splitlines()


def test_progress_is_one_output_that_is_replaced(shown: Any) -> None:
    """Through the stream, each of its drawings stayed in the notebook's file."""
    (line,) = lines(shown["one image"])
    assert re.fullmatch(r"writing: done, 100% \d+ s, 512\.0 KiB written", line)
    assert "<progress" not in shown["one image"][0].data["text/html"]


def test_progress_of_a_batch_shows_the_last_images(shown: Any) -> None:
    assert [line.partition(":")[0] for line in lines(shown["a batch"])] == [
        "3 before that", "[4/6] 3 writing", "[5/6] 4 writing", "[6/6] 5 writing",
    ]  # fmt: skip
    assert lines(shown["a batch"])[-1].startswith("[6/6] 5 writing: done, 100%")


def test_no_progress_where_nothing_was_begun_or_none_was_wanted(shown: Any) -> None:
    (error,) = shown["a failure"]
    assert (error.output_type, error.ename) == ("error", "StoreExistsError")
    assert shown["quiet"] == []
