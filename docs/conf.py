"""The documentation: ``pip install -e ".[docs]"``, then ``sphinx-build -W docs docs/_build``."""

from __future__ import annotations

import shutil
from pathlib import Path

import sphinx_autosummary_accessors

import xprep

HERE = Path(__file__).parent
# Sphinx reads below its own folder only.
shutil.copytree(HERE.parent / "notebooks", HERE / "_notebooks", dirs_exist_ok=True)

project = "xprep"
author = copyright = "The xprep developers"  # Sphinx's name
version = release = xprep.__version__
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_autosummary_accessors",
]
templates_path = [sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "jupyter_execute"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
# The README is read on its own too: its links to files that are no pages stay as they are.
suppress_warnings = ["myst.xref_missing"]
html_theme = "pydata_sphinx_theme"
