"""What is imported is declared, and what is optional and missing is named with its extra."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

import xprep
from tests import paths
from xprep import extras
from xprep.batch.yaml import read_yaml
from xprep.engine.running.cluster import connect
from xprep.io.store import backends
from xprep.plot import label_colors, plot_before_after

ROOT = paths.ROOT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# Imported only where somebody is who brings them: a notebook, a store object of theirs, a client of theirs.
BROUGHT = {"IPython": "a notebook", "obstore": "an ObjectStore that was given", "icechunk": "a store of it that was given"}


def imported(module: Path) -> Iterator[str]:
    """Yield the packages that a module imports, anywhere in it, also by a name in a text."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name.partition(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "find_spec", "load") and isinstance(node.args[0].value, str):
                yield node.args[0].value.partition(".")[0]


def declared(*lists: list[str]) -> set[str]:
    return {Requirement(one).name.replace("_", "-").lower() for names in lists for one in names}


def test_every_import_is_declared() -> None:
    """Not by what brings it today: zarr 3.1.3 and older bring no google-crc32c, and nothing could be imported beside them."""
    own = {"xprep", "__future__", *sys.stdlib_module_names}
    names = declared(PROJECT["dependencies"], *(EXTRAS[extra] for extra in set(EXTRAS) - {"test", "bench", "docs", "all"}))
    found = {name for module in (ROOT / "xprep").rglob("*.py") for name in imported(module)} - own - set(BROUGHT)
    distributions = packages_distributions()
    brings = {one: distributions.get(one, [one.replace("_", "-")]) for one in found}
    assert {one: some for one, some in brings.items() if names.isdisjoint(declared(some))} == {}
    assert {"google_crc32c", "numcodecs", "psutil", "filelock", "matplotlib", "typer", "yaml"} <= found


def test_every_requirement_has_a_floor() -> None:
    optional = [one for extra in ("s3", "gcs", "azure", "distributed", "cli", "plot", "tiff", "bioio") for one in EXTRAS[extra]]
    for one in map(Requirement, [*PROJECT["dependencies"], *optional]):
        assert [part.operator for part in one.specifier] == [">="], one


def test_the_readme_names_every_extra() -> None:
    readme = (ROOT / "README.md").read_text()
    for extra in set(EXTRAS) - {"test", "bench", "docs"}:
        assert f"`{extra}`" in readme


IMAGE = xprep.datasets.blobs(channels=1, shape=(16, 16)).compute()
VOLUME = IMAGE.expand_dims(z=2).transpose("c", "z", "y", "x")
TABLE = xprep.RoiTable.from_pixels([[1.0, 1.0]], [[5, 6]], [[8, 8]])
# Package, extra, and what needs it.
OPTIONAL: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "plot_channels": ("matplotlib", "plot", lambda: xprep.plot_channels(IMAGE)),
    "plot_projections": ("matplotlib", "plot", lambda: xprep.plot_projections(VOLUME)),
    "plot_rois": ("matplotlib", "plot", lambda: xprep.plot_rois(IMAGE, TABLE)),
    ".prep.plot_channels": ("matplotlib", "plot", lambda: IMAGE.prep.plot_channels()),
    ".prep.plot_projections": ("matplotlib", "plot", lambda: VOLUME.prep.plot_projections()),
    ".prep.plot_rois": ("matplotlib", "plot", lambda: IMAGE.prep.plot_rois(TABLE)),
    "plot_before_after": ("matplotlib", "plot", lambda: plot_before_after(IMAGE, IMAGE)),
    "label_colors": ("matplotlib", "plot", lambda: label_colors(np.arange(3))),
    "a cluster": ("distributed", "distributed", lambda: connect(workers=1).__enter__()),
    "a recipe": ("yaml", "cli", lambda: read_yaml("a: 1", "recipe.yaml")),
}


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Packages that are not installed."""
    names: set[str] = set()
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in names else object())
    return names


@pytest.mark.usefixtures("nothing_computes")
@pytest.mark.parametrize(("package", "extra", "use"), OPTIONAL.values(), ids=OPTIONAL)
def test_what_is_missing_is_named_with_its_extra(package: str, extra: str, use: Callable[[], Any], missing: set[str]) -> None:
    missing.add(package)
    with pytest.raises(ImportError, match=rf"needs .*which is not installed: pip install 'xprep\[{extra}\]'") as caught:
        use()
    assert caught.value.name == package
    assert any(re.split(r"[\[>=]", one)[0].lower() in (package, f"py{package}") for one in EXTRAS[extra])


def test_the_command_names_what_is_missing(missing: set[str], tmp_path: Path) -> None:
    from xprep.cli.app import app

    missing.add("yaml")
    (tmp_path / "recipe.yaml").write_text("inputs: a.zarr\n")
    result = CliRunner().invoke(app, ["run", str(tmp_path / "recipe.yaml")])
    assert result.exit_code
    assert "xprep[cli]" in " ".join(result.output.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("version", "refused"), [("1.1.14", True), ("2.0.0", False), ("2.1.0a1", False), ("", False)])
def test_an_icechunk_that_is_too_old_is_named(version: str, refused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python 3.11 gets: every write ended in its "bad key prefix"."""
    store: Any = type("IcechunkStore", (), {"__module__": "icechunk.store", "read_only": False})()
    monkeypatch.setattr(backends, "version_of", lambda _: version)
    if not refused:
        backends.check_rewritable(store, "icechunk://main")
        return
    with pytest.raises(ValueError, match=r"icechunk://main is of icechunk 1\.1\.14, .* needs icechunk 2\.0 or newer"):
        backends.check_rewritable(store, "icechunk://main")
