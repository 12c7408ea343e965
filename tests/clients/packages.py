"""Where the packages of Node are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).with_name("node")


def find_modules() -> Path:
    """Return the folder of the packages, or skip the test and say how to get them."""
    modules = Path(os.environ.get("XPREP_NODE_MODULES", HERE)) / "node_modules"
    if shutil.which("node") is None:
        pytest.skip("Node is not installed")
    if not (modules / "@vivjs").exists():
        pytest.skip("packages of Node are not installed: npm install --no-package-lock in tests/clients/node")
    return modules
