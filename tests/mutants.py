"""Whether the tests see it: small changes where a wrong number or a lost store begins, each tried by the tests of its line.

By hand, with coverage (``pip install coverage``); ``docs/design.md`` says when::

    python tests/mutants.py collect FOLDER [TESTS…]    which test runs which line, and how long it takes
    python tests/mutants.py run FOLDER [COUNT [SEED]]  COUNT changes, in copies of the tree; goes on where it was stopped

Modules are found by a name that they define, so they may move. What survives is a gap in the tests, or stands, with the
reason, in ``mutants_equivalent.txt``.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Claims, journals, what is whole when; chunks, halos; statistics. Each name stands for the module that defines it.
NAMES = (
    "hold", "Scratch", "Journal", "Owner", "state_of", "inflate", "read_chain", "Piece", "retile", "tile_of", "margins",
    "Rim", "Gathered", "Along", "Fold", "Question", "Sampler", "Statistic", "Recipe", "encode_note", "two_steps",
    "find_begun", "check_units",
)  # fmt: skip
# Imported before the fork, so that a change costs its tests and no imports.
HEAVY = ("dask.array", "numba", "pandas", "scipy.ndimage", "scipy.fft", "xarray", "zarr", "fsspec", "pytest")
JOBS, SECONDS, TESTS = 2, 25.0, 300  # at once; what the tests of one change may take; and their number
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
PYTEST = ("-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "-W", "ignore::pytest.PytestAssertRewriteWarning")
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Mutant(NamedTuple):
    """A change: where it is, what a line was and became, the lines of which one's tests see it, the new source."""

    path: str
    where: str
    before: str
    after: str
    lines: tuple[range, ...]
    source: str

    @property
    def name(self) -> str:
        return f"{Path(self.path).stem}.{self.where} | {self.before} | {self.after}"


def modules() -> list[Path]:
    """The modules that define `NAMES`."""
    found = {}
    for path in sorted((ROOT / "xprep").rglob("*.py")):
        defined = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef))
        found.update({node.name: path for node in defined})
    if gone := set(NAMES) - set(found):
        raise SystemExit(f"no module defines {sorted(gone)}: mend NAMES")
    return sorted({found[name] for name in NAMES})


def slots(node: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    """The changes of one node: what holds the thing to be changed, at which key, the new thing, and what runs it."""
    match node:
        case ast.Compare(ops=ops):
            yield from ((ops, i, SWAPS[type(op)](), node) for i, op in enumerate(ops))
        case (ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op)) if type(op) in SWAPS:
            yield vars(node), "op", SWAPS[type(op)](), node
        case ast.Constant(value=bool() | int() as value):
            yield vars(node), "value", not value if isinstance(value, bool) else value + 1, node
        case ast.If(test=test) | ast.IfExp(test=test):
            yield from ((vars(node), "test", ast.Constant(value), test) for value in (True, False))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield vars(node), "operand", ast.UnaryOp(ast.Not(), operand), node
    for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
        for i, one in enumerate(block if isinstance(block, list) else ()):
            if isinstance(one, ast.Raise | ast.AugAssign) or (isinstance(one, ast.Expr) and isinstance(one.value, ast.Call)):
                yield block, i, ast.Pass(), one


def nodes(node: ast.AST, around: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """All that does something, with the statements around it: no annotations, no decorators, nothing that words an error."""
    around = (*around, node) if isinstance(node, ast.stmt) else around
    yield node, around
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_said = isinstance(child, ast.JoinedStr | ast.Raise) or getattr(child, "name", "") == "__repr__"
            is_said = is_said or getattr(child, "arg", "") == "strict"  # of `zip`: says that the lengths are equal
            if isinstance(child, ast.AST) and not is_said and name not in ("annotation", "returns", "decorator_list"):
                yield from nodes(child, around)


def mutants(path: Path) -> list[Mutant]:
    """Every change of a module."""
    tree = ast.parse(path.read_text())
    found: dict[str, Mutant] = {}
    for node, around in nodes(tree):
        statement = around[-1] if around else tree
        before = ast.unparse(statement).splitlines()
        named = [one for one in around if isinstance(one, ast.FunctionDef | ast.ClassDef)]
        for holder, key, new, site in slots(node):
            old, holder[key] = holder[key], new
            after = ast.unparse(statement).splitlines()
            source, holder[key] = ast.unparse(tree), old
            lines = [range(site.lineno if isinstance(site, ast.stmt) else statement.lineno, site.end_lineno + 1)]
            lines += [range(one.body[0].lineno, one.end_lineno + 1) for one in reversed(named)]
            texts = next((a.strip(), b.strip()) for a, b in zip(before, after, strict=False) if a != b)
            inside = ".".join(one.name for one in named) or "module"
            one = Mutant(str(path.relative_to(ROOT)), inside, *texts, tuple(lines), source)
            found.setdefault(one.name, one)
    return list(found.values())


def collect(folder: Path, tests: list[str]) -> None:
    """Write to ``folder`` which test runs which line of `modules`; files of tests that are there already are not run again."""
    for path in tests or sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")):
        data = folder / path.replace("/", "-")
        if not data.with_suffix(".json").exists():
            status = _forked(lambda path=path, data=data: _recorded(path, data), ROOT, folder / "log", 1800)
            say(f"{path} {status}")


def _recorded(path: str, data: Path) -> int:
    import coverage
    import pytest

    found = coverage.Coverage(data_file=str(data.with_suffix(".coverage")), include=[str(one) for one in modules()])
    took: dict[str, float] = {}

    class Recorder:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Any:
            found.switch_context(item.nodeid)
            return (yield)

        def pytest_runtest_logreport(self, report: Any) -> None:
            took[report.nodeid] = took.get(report.nodeid, 0.0) + (report.duration if report.passed else float("inf"))

    found.start()
    status = pytest.main([*PYTEST, path], plugins=[Recorder()])
    found.stop()
    found.save()
    data.with_suffix(".json").write_text(json.dumps({name: seconds for name, seconds in took.items() if seconds < SECONDS}))
    return int(status)


def _forked(work: Any, tree: Path, log: Path, seconds: float) -> int | str:
    """Run ``work`` in a child that has imported what takes long, with ``tree`` as its own xprep; return its exit code."""
    if not (pid := os.fork()):
        os.setsid()
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1")
        sys.dont_write_bytecode = True
        status = 70
        try:
            status = work()
        except BaseException:  # noqa: BLE001  (nothing of the child may go on in the parent's place)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    end = time.monotonic() + seconds
    while not (done := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it left running, too
    return os.waitstatus_to_exitcode(done[1]) if done[0] else (os.waitpid(pid, 0), "too long")[1]


class Seen:
    """Which tests run a line, and how long they take."""

    def __init__(self, folder: Path) -> None:
        from coverage import CoverageData

        self.took: dict[str, float] = {}
        self.lines: dict[str, dict[int, set[str]]] = {}
        for file in sorted(folder.glob("*.json")):
            self.took.update(json.loads(file.read_text()))
            data = CoverageData(str(file.with_suffix(".coverage")))
            data.read()
            for path in data.measured_files():
                lines = self.lines.setdefault(str(Path(path).relative_to(ROOT)), {})
                for line, tests in data.contexts_by_lineno(path).items():
                    lines.setdefault(line, set()).update(tests)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The quickest tests of its line, else of its function, else of its module; as many as take `SECONDS`."""
        lines = self.lines.get(mutant.path, {})
        for wanted in (*mutant.lines, lines):
            if tests := {test for line in wanted for test in lines.get(line, ()) if test in self.took}:
                break
        chosen: list[str] = []
        for test in sorted(tests, key=lambda test: (self.took[test], test))[:TESTS]:
            if sum(map(self.took.__getitem__, chosen)) + self.took[test] <= SECONDS:
                chosen.append(test)
        return chosen


def run(folder: Path, number: int, seed: int) -> None:
    """Try ``number`` mutants in copies of the tree, `JOBS` at once; what became of each is a line of ``folder/results.jsonl``."""
    seen, results = Seen(folder), folder / "results.jsonl"
    every = [one for path in modules() for one in mutants(path)]
    random.Random(seed).shuffle(every)
    done = {json.loads(line)["name"] for line in results.read_text().splitlines()} if results.exists() else set()
    # A larger number goes on with the same ones, also when modules have changed since.
    chosen = sorted(every, key=lambda one: one.name not in done)[:number]
    say(f"{len(every)} mutants of {len(modules())} modules; {len(chosen)} chosen, {len(done)} tried before")
    for name in HEAVY:
        importlib.import_module(name)
    workers = [pid for job in range(JOBS) if (pid := os.fork()) or _work(folder, job, chosen[job::JOBS], done, seen, results)]
    for pid in workers:
        os.waitpid(pid, 0)
    report(folder)


def _work(folder: Path, job: int, share: list[Mutant], done: set[str], seen: Seen, results: Path) -> None:
    tree = folder / f"tree{job}"
    if not tree.exists():
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        for name in filter(None, files):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    killers: set[str] = set()
    for one in share:
        if one.name not in done:
            (tree / one.path).write_text(one.source)
            tests = seen.tests_of(one)
            became = _tried(tree, tests, folder / f"log{job}")
            shutil.copy(ROOT / one.path, tree / one.path)
            with results.open("a") as file:
                file.write(json.dumps({"name": one.name, "became": became, "tests": tests}) + "\n")
            if became == "killed":
                killers.update(re.findall(r"^(?:FAILED|ERROR) (\S+\.py::.*?)(?: - |$)", (folder / f"log{job}").read_text(), re.M))
    if killers and (status := _forked(lambda: _pytest(sorted(killers)), tree, folder / f"log{job}", 1800)) != 0:
        say(f"KILLS DO NOT COUNT: without a change, exit {status} of the tests that killed; see {folder / f'log{job}'}")
    sys.stdout.flush()
    os._exit(0)


def _pytest(arguments: list[str]) -> int:
    import pytest

    return int(pytest.main([*PYTEST, *arguments]))


def _tried(tree: Path, tests: list[str], log: Path) -> str:
    if not tests:
        return "no test"
    status = _forked(lambda: _pytest(["-x", *tests]), tree, log, 120 + 4 * SECONDS)
    # On a busy machine a test that would pass takes as long as one that hangs: who reads it decides.
    return {0: "survived", 1: "killed", 2: "killed", "too long": "too long"}.get(status, f"broken: exit {status}")


def report(folder: Path) -> None:
    """Print how many of each; then every survivor that is not known to be equivalent."""
    known = {line.rsplit(" | ", 1)[0] for line in EQUIVALENT.read_text().splitlines() if " | " in line}
    tried = {one["name"]: one for one in map(json.loads, (folder / "results.jsonl").read_text().splitlines())}
    became = {name: "equivalent" if name in known and one["became"] != "killed" else one["became"] for name, one in tried.items()}
    say(str({what: list(became.values()).count(what) for what in sorted(set(became.values()))}))
    for line in sorted(f"{what}: {name}" for name, what in became.items() if what in ("survived", "no test", "too long")):
        say(line)


if __name__ == "__main__":
    command, where, *rest = sys.argv[1:]
    place = Path(where).resolve()
    place.mkdir(parents=True, exist_ok=True)
    if command == "collect":
        collect(place, rest)
    elif command == "run":
        run(place, int(rest[0]) if rest else 300, int(rest[1]) if rest[1:] else 0)
    else:
        report(place)
