"""Names of tasks and fingerprints of runs: they stay when modules and classes are moved and renamed."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import xprep
from tests.images.test_resume import interrupted, job, records, source, write  # noqa: F401  (the fixture of the store that is read)
from tests.laws.operations import OPERATIONS, Operation
from tests.laws.test_laws import example_image
from xprep.engine.graph.tokens import token
from xprep.images.writing.resuming import fingerprint_of
from xprep.naming import named

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")
PACKAGE = Path(xprep.__file__).parent


@pytest.fixture
def move_all() -> Iterator[Callable[[], int]]:
    """Gives every class and function of the package another module and another name, as a move of its modules would."""
    loaded = [module for name, module in list(sys.modules.items()) if name.startswith("xprep")]
    found = {id(one): one for module in loaded for one in vars(module).values() if isinstance(one, type | FunctionType)}
    ours = {one: (one.__module__, one.__qualname__) for one in found.values() if one.__module__.startswith("xprep")}

    def move() -> int:
        for one, (module, name) in ours.items():
            one.__module__, one.__qualname__ = f"xprep.upstairs.{module.rpartition('.')[2]}", f"Moved{name}"
        return len(ours)

    yield move
    for one, (module, name) in ours.items():
        one.__module__, one.__qualname__ = module, name


def layers(image: Any, operation: Operation) -> list[set[str]]:
    """Return the names of the layers of every lazy array that an operation makes of a stored image."""
    result = operation.call(image, **operation.example)
    nodes = result.subtree if hasattr(result, "subtree") else [result]
    variables = [one for node in nodes for one in (node.variables.values() if hasattr(node, "data_vars") else [node.variable])]
    return [set(one.data.dask.layers) for one in variables if hasattr(one.data, "dask")]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_layers_keep_their_names(operation: Operation, tmp_path: Path, move_all: Callable[[], int]) -> None:
    stored = example_image(operation).drop_vars("stage", errors="ignore")
    stored.prep.to_ome_zarr(tmp_path / "a.zarr", chunks=16, scale_factors=())
    image = xprep.open_image(tmp_path / "a.zarr").astype(operation.images.get("dtypes", ("uint16",))[-1])
    before = layers(image, operation)
    assert move_all() > 500
    assert layers(image, operation) == before


def test_a_run_is_resumed_after_a_move(source: Path, tmp_path: Path, move_all: Callable[[], int]) -> None:  # noqa: F811
    with xprep.set_options(tile_bytes=2**15, intermediates="recompute"):
        interrupted(source, tmp_path / "a.zarr")
        done = {record.region for record in records(tmp_path / "a.zarr")}
        stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "a.zarr/scale0/image/c").rglob("*") if path.is_file()}
        move_all()
        write(job(source), tmp_path / "a.zarr", resume=True)
    kept = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns == stamp]
    assert done
    assert len(kept) >= len(done)


@named("for this test")
@dataclass(frozen=True)
class Given:
    """Parameters of an operation."""

    sigma: float


def test_a_number_tells_results_of_two_versions_apart() -> None:
    @named("for this test", 2)
    @dataclass(frozen=True)
    class Later:
        sigma: float

    assert token(Given(1.0)) == token(Given(1.0)) != token(Given(2.0))
    assert token(Given(1.0)) != token(Later(1.0))


def test_what_has_no_name_is_told_of() -> None:
    with pytest.warns(RuntimeWarning, match=r"has no name that stays when it is moved"):
        token([{"step": fingerprint_of}])


def test_names_are_one_thing_each() -> None:
    found: Counter[Any] = Counter()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "named":
                found[ast.literal_eval(node.args[0])] += 1
    assert len(found) > 30
    assert not [name for name, times in found.items() if times > 1]
