"""The documentation: ``pip install -e ".[docs]"``, then ``sphinx-build -W docs docs/_build``.

Notebooks are run first, each once; `docs/_notebooks` holds them with their outputs, and `docs/_gallery` one picture of each for
the first page. With ``-D nb_execution_mode=off`` those of the last build are taken.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import nbformat
import sphinx_autosummary_accessors
from nbclient import NotebookClient
from sphinx.util import logging

import xprep

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import command_pages  # noqa: E402
import cost_table  # noqa: E402

project = "xprep"
author = copyright = "The xprep developers"  # Sphinx's name
version = release = xprep.__version__
extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_autosummary_accessors",
    "sphinx_copybutton",
    "sphinx_design",
]
templates_path = [sphinx_autosummary_accessors.templates_path]
exclude_patterns = ["_build", "_api/cost_table.md", "jupyter_execute"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nitpicky = False
html_theme = "pydata_sphinx_theme"
html_title = "xprep"
html_static_path = ["_static"]
html_css_files = ["xprep.css"]
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
html_sidebars = {"index": []}
html_context = {"default_mode": "light"}
copybutton_exclude = ".linenos, .gp"


def run_notebooks(app: Any) -> None:
    """Run every notebook, and keep one picture of each: the one that the first page shows."""
    wanted = app.config.nb_execution_mode != "off"
    app.config.nb_execution_mode = "off"  # they are run here, so that the first page has their pictures
    executed, pictures = HERE / "_notebooks", HERE / "_gallery"
    executed.mkdir(exist_ok=True)
    pictures.mkdir(exist_ok=True)
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        if not wanted and (executed / path.name).exists():
            continue
        logging.getLogger("conf").info("running %s", path.name)
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(executed)}}).execute()
        nbformat.write(notebook, executed / path.name)
        (pictures / f"{path.stem}.png").write_bytes(picture_of(notebook))


def picture_of(notebook: Any) -> bytes:
    """Return the output of the cell that is tagged "gallery"."""
    (cell,) = [cell for cell in notebook.cells if "gallery" in cell.metadata.get("tags", ())]
    (data,) = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return base64.b64decode(data)


def write_generated_pages(_app: Any) -> None:
    """Write what is made of the package itself: costs, and the help of commands."""
    (HERE / "_api").mkdir(exist_ok=True)
    cost_table.write(HERE / "_api" / "cost_table.md")
    command_pages.write(HERE / "_api" / "commands.md")


def setup(app: Any) -> None:
    """Connect what runs before the pages are read."""
    app.connect("builder-inited", run_notebooks)
    app.connect("builder-inited", write_generated_pages)
