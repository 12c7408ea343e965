"""What the tests of the viewer share: pages that end, and how their virtual stores are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import zarr

import xprep

Show = Callable[..., Any]


@pytest.fixture
def show() -> Iterator[Show]:
    """Return `xprep.view`, without a browser; its pages end with the test."""
    if find_spec("neuroglancer") is None:
        pytest.skip("the client is not installed (the extra view, which .[test] brings)")
    shown = []

    def view(*images: Any, **how: Any) -> Any:
        shown.append(xprep.view(*images, browser=False, **how))
        return shown[-1]

    yield view
    for one in shown:
        one.close()


@pytest.fixture
def read() -> Callable[..., np.ndarray]:
    """Return what reads a level of an image of a page as any client does: over HTTP, with zarr."""

    def pixels(page: Any, number: int = 0, level: int = 0) -> np.ndarray:
        return np.asarray(zarr.open_group(f"{page.url}images/{number}", mode="r")[str(level)][...])

    return pixels
