"""The house: sizes, layers, and what importing costs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import pkgutil
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xprep
from tests import paths
from xprep.cli.examples import EXAMPLES

ROOT = paths.ROOT
MODULES = sorted((ROOT / "xprep").rglob("*.py"))


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, without the docstring."""
    length = (function.end_lineno or 0) - function.body[0].lineno + 1
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return length - ((first.end_lineno or 0) - first.lineno + 1 if documented else 0)


def code_lines(text: str) -> int:
    """Lines of a module without blank ones, comments and docstrings: to say more about a function never splits its module."""
    documented = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and number not in documented for number, line in lines)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short_and_say_what_they_are_for(module: Path) -> None:
    text = module.read_text()
    assert code_lines(text) <= 250
    assert ast.get_docstring(ast.parse(text))
    assert module.stem not in ("utils", "helpers", "misc", "common", "lib")


def test_functions_are_short() -> None:
    lengths = [lines_of(function) for module in MODULES for function in functions(module)]
    assert statistics.median(lengths) <= 9
    assert sorted(lengths)[int(0.9 * len(lengths))] <= 25


def test_long_functions_have_docstrings() -> None:
    long = [
        f"{module.stem}.{one.name}"
        for module in MODULES
        for one in functions(module)
        if lines_of(one) > 40 and not ast.get_docstring(one)
    ]
    assert long == []


def test_the_accessor_is_a_table_of_contents() -> None:
    text = (ROOT / "xprep" / "accessor.py").read_text()
    assert len(text.splitlines()) <= 120
    assert not [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.If | ast.IfExp | ast.Match)]


def test_nothing_is_printed_or_left_undone() -> None:
    for module in MODULES:
        text = module.read_text()
        for node in ast.walk(ast.parse(text)):
            assert not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"), module
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {module}"
            assert not (isinstance(node, ast.Name) and node.id == "NotImplementedError"), module
        assert "TO" + "DO" not in text
        assert "FIX" + "ME" not in text


def test_compiled_loops_leave_the_cores_to_the_scheduler() -> None:
    """Never ``parallel=True`` in a task; without the GIL and kept on disk always, which is what ``compiled`` does."""
    found = 0
    for module in sorted((ROOT / "xprep" / "kernels").glob("*.py")):
        assert module.stem == "compiling" or "njit" not in module.read_text()
        for function in functions(module):
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "compiled":
                    options = {keyword.arg: getattr(keyword.value, "value", None) for keyword in decorator.keywords}
                    assert not options.get("parallel"), f"{module.stem}.{function.name}"
                    assert not options.get("fastmath"), f"{module.stem}.{function.name}"
                    found += 1
    assert found > 10


def test_layers() -> None:
    """The import contracts of pyproject.toml."""
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [program, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def run_program(program: str) -> str:
    """Run a program in a process of its own, with this xprep; return what it printed."""
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=where, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


IMPORTS = """
import json, sys, time
before = time.process_time()
import dask.array, numba, xarray, zarr
middle = time.process_time()
import xprep
after = time.process_time()
for name in xprep.__all__:  # all that is imported when it is used
    getattr(xprep, name)
from numba.core.registry import CPUDispatcher
import gc
loops = [one for one in gc.get_objects() if isinstance(one, CPUDispatcher) and one.__module__.startswith("xprep")]
compiled = sum(bool(one.overloads) for one in loops)
heavy = (
    "matplotlib", "distributed", "s3fs", "gcsfs", "adlfs", "botocore", "aiohttp", "typer", "rich", "scipy.signal", "tifffile",
    "imagecodecs", "bioio",
)
loaded = [name for name in heavy if name in sys.modules]
print(json.dumps({"others": middle - before, "own": after - middle, "loaded": loaded, "compiled": compiled}))
"""


def test_importing_is_cheap() -> None:
    """No plotting, no cluster, no client of a bucket; nothing compiled; a fraction of what the foundations take."""
    done = [json.loads(run_program(IMPORTS)) for _ in range(3)]
    assert done[0]["loaded"] == []
    assert done[0]["compiled"] == 0
    assert min(one["own"] / one["others"] for one in done) < 0.5


def test_importing_brings_nothing_but_xarray() -> None:
    """What the public names need is imported when one of them is used; documentation and completion see them before."""
    program = """
import sys
import xprep, xarray
heavy = {"dask", "dask.array", "numba", "zarr", "scipy", "fsspec", "distributed"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
assert "normalize" in dir(xprep) and "io" not in dir(xprep), dir(xprep)
assert xarray.DataArray.prep.normalize.__doc__ and "normalize" in dir(xarray.DataArray.prep)
assert "numba" in sys.modules
"""
    run_program(program)


HEAVY = ("numba", "dask", "scipy", "distributed", "matplotlib", "s3fs", "imagecodecs", "tifffile", "bioio")
OF_STORES = ("zarr", "numcodecs", "fsspec")
SMALL_COMMANDS = {
    "help": (["--help", "normalize", *(f"{command} --help" for command in EXAMPLES)], (*HEAVY, *OF_STORES)),
    "versions": (["--version", "versions"], (*HEAVY, *OF_STORES)),
    "refused": (["plan one.zarr", "normalize a b --memory much", "nothing"], (*HEAVY, *OF_STORES)),
    "stores": (["info FOLDER/a.zarr", "info FOLDER/missing.zarr", "scratch FOLDER"], HEAVY),
}


@pytest.mark.parametrize("kind", SMALL_COMMANDS)
def test_small_commands_import_what_they_need(kind: str, tmp_path: Path) -> None:
    """A command that computes nothing starts without what computes: importing that took two thirds of its time."""
    commands, heavy = SMALL_COMMANDS[kind]
    if kind == "stores":
        xprep.to_ome_zarr(xr.DataArray(np.zeros((2, 8, 8), "u2"), dims=("c", "y", "x")), f"{tmp_path}/a.zarr")
    program = f"""
import sys
from xprep.cli import main
for words in {[command.replace("FOLDER", str(tmp_path)).split() for command in commands]!r}:
    sys.argv = ["xprep", *words]
    try:
        main()
    except SystemExit as end:
        sys.stderr.write(f"{{words[0]}}: {{end.code}}\\n")
assert "typer" in sys.modules
print("\\nimported:", *sorted(name for name in sys.modules if name in {heavy!r}))
"""
    assert run_program(program).splitlines()[-1] == "imported:"


def test_completing_imports_as_little() -> None:
    where = {"_XPREP_COMPLETE": "complete_bash", "COMP_WORDS": "xprep no", "COMP_CWORD": "1"}
    program = f"""
import atexit, os, sys
os.environ.update({where!r})
atexit.register(lambda: print("imported:", *sorted(name for name in sys.modules if name in {(*HEAVY, *OF_STORES)!r})))
sys.argv = ["xprep"]
from xprep.cli import main
main()
"""
    assert run_program(program).splitlines() == ["normalize", "imported:"]


@pytest.mark.parametrize("package", ["xprep", "xprep.batch", "xprep.engine.running", "xprep.images"])
def test_lazy_names_are_what_they_say(package: str) -> None:
    """A module called as a name beside it would take its place once somebody has imported that module."""
    found = import_module(package)
    below = {one.name for one in pkgutil.iter_modules(found.__path__)}
    for name in set(found.__all__) - {"__version__"}:
        assert inspect.ismodule(getattr(found, name)) == (name in below), name


def test_classes_are_called_apart() -> None:
    """One meaning a word: no two classes of one name, private ones too."""
    found = [
        node.name for module in MODULES for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.ClassDef)
    ]
    assert sorted({name for name in found if found.count(name) > 1}) == []


# What others call, by these names: Python's logging and http.server, zarr of stores and codecs, numba of caches, dask of layers.
CALLED_BY_OTHERS = {
    "has_legacy_tasks",
    "emit", "handle_error", "log_message", "get_partial_values", "supports_deletes", "supports_listing", "supports_writes",
    "_decode_single", "save_overload", "from_function", "get_cache_path", "get_source_stamp", "get_disambiguator", "_repr_html_",
}  # fmt: skip


def test_nothing_stands_there_for_tests_only() -> None:
    """Every function and class is used by the package, decorated, public, or called by another library."""
    trees = [ast.parse(module.read_text()) for module in MODULES]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)} | {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    used |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    public = {*re.findall(r"\w+", (ROOT / "docs" / "api.md").read_text()), *CALLED_BY_OTHERS}
    made = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    kept = {"property", "cached_property", "staticmethod", "classmethod", "cache", "contextmanager", "dataclass", "uses"}
    plain = [node for node in made if {decorator_name(one) for one in node.decorator_list} <= kept]
    names = {node.name for node in plain if not node.name.startswith("__")}
    assert sorted(names - used - public) == []


def decorator_name(decorator: ast.expr) -> str:
    """Return the name of a decorator, without its module and its arguments."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def test_importing_leaves_the_process_as_it_was() -> None:
    """No environment variable, signal handler, warning filter, logger or random state is touched."""
    program = """
import dask.array, numba, xarray, zarr, numpy, scipy.ndimage
import logging, os, random, signal, warnings, threading
def state():
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    logs = logging.root.level, list(logging.root.handlers)
    dice = random.getstate(), numpy.random.get_state()[1].tolist()
    return dict(os.environ), handlers, list(warnings.filters), logs, dice, threading.active_count()
before = state()
import xprep
for name in xprep.__all__:  # all that is imported when it is used
    getattr(xprep, name)
assert state() == before
"""
    run_program(program)


def test_signatures_are_those_of_the_operations() -> None:
    for name in ("normalize", "quantile", "gaussian_filter", "to_ome_zarr", "plan"):
        function = inspect.signature(getattr(xprep, name))
        for accessor in (xprep.ImagePrep, xprep.DatasetPrep, xprep.TreePrep):
            method = inspect.signature(getattr(accessor, name))
            assert list(method.parameters.values())[1:] == list(function.parameters.values())[1:]
            assert getattr(accessor, name).__doc__ == getattr(xprep, name).__doc__


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_headings_of_docstrings_have_lines_of_their_own(module: Path) -> None:
    """A heading that was filled into its paragraph is no heading."""
    assert not re.search(r"\S -{4,}|-{4,} \S", module.read_text().replace("# ----", "")), module
