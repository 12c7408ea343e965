"""Optional packages: imported when they are needed, and named with the extra that brings them where they are missing."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def load(module: str, extra: str, what: str, package: str = "") -> Any:
    """Return an optional module.

    Parameters
    ----------
    module : str
        Its name.
    extra : str
        Of xprep, which brings it.
    what : str
        What needs it: how the sentence begins.
    package : str
        What it is called there, if that is not the name of its package.

    Raises
    ------
    ImportError
        It is not installed; it names the extra.

    Examples
    --------
    >>> load("json", "none", "this").loads("[1]")
    [1]
    """
    top = module.partition(".")[0]
    if find_spec(top) is None:
        raise missing(package or top, extra, what, top)
    return import_module(module)


def loaded(name: str) -> Any:
    """Return a module that somebody imported, None if nobody did; while another thread imports it, wait.

    In `sys.modules` a module stands from its first line on: of ten threads that looked there, eight found one without contents.
    """
    return import_module(name) if name in sys.modules else None


def missing(package: str, extra: str, what: str, module: str = "") -> ImportError:
    """Return the error that says what is not installed, and which extra brings it.

    >>> missing("matplotlib", "plot", "a picture")
    ImportError("a picture needs matplotlib, which is not installed: pip install 'xprep[plot]'.")
    """
    return ImportError(f"{what} needs {package}, which is not installed: pip install 'xprep[{extra}]'.", name=module or package)
