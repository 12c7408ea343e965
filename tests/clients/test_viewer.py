"""The viewer's page in a real browser: what is stored and what is lazy, in the colours it should have, and what fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.clients.test_browser import WAIT, browser, decode

__all__ = ["browser"]  # a fixture
pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]


def halves(url: Path) -> xr.DataArray:
    """Write an image that is red on its left and blue on its right, and return it."""
    values = np.zeros((2, 600, 800), "uint16")
    values[0, :, :400], values[1, :, 400:] = 1000, 1000
    window = {"min": 0, "max": 1000, "start": 0, "end": 1000}
    told = [{"label": name, "color": color, "window": window} for name, color in (("left", "FF0000"), ("right", "0000FF"))]
    places = {dim: (dim, 0.5 * np.arange(n), {"units": "micrometer"}) for dim, n in (("y", 600), ("x", 800))}
    coords: dict[str, Any] = {"c": ["left", "right"], **places}
    image = xr.DataArray(values, coords, ("c", "y", "x"), attrs={"omero": {"channels": told}})
    image.prep.to_ome_zarr(url, chunks={"y": 256, "x": 256}, scale_factors=(2,))
    return xprep.open_image(url)


def picture(browser: Any, name: str, is_there: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Return a picture of the window, once what is waited for is there."""
    until = time.monotonic() + WAIT
    while True:
        found = decode(browser.get_screenshot_as_png(), name)
        if is_there(found) or time.monotonic() > until:
            assert is_there(found), f"{name}: not on the page after {WAIT} s"
            return found
        time.sleep(0.5)


def colored(found: np.ndarray, color: tuple[bool, bool, bool]) -> np.ndarray:
    """Return where a picture has a saturated colour."""
    return np.logical_and.reduce([(found[..., n] > 180) if on else (found[..., n] < 60) for n, on in enumerate(color)])


RED, BLUE = (True, False, False), (False, False, True)


def has_both(found: np.ndarray) -> bool:
    return all(colored(found, color).sum() > 20_000 for color in (RED, BLUE))


def test_channels_have_their_colors_where_they_are(browser: Any, tmp_path: Path) -> None:
    image = halves(tmp_path / "halves.ome.zarr")
    for name, shown in (("stored", tmp_path / "halves.ome.zarr"), ("lazy", image.prep.gaussian_filter(0.5))):
        with xprep.view(shown, browser=False) as page:
            browser.get(page.url)
            found = picture(browser, f"viewer-{name}", has_both)
            red, blue = (np.argwhere(colored(found, color)) for color in (RED, BLUE))
            assert red[:, 1].max() <= blue[:, 1].min() + 3
            assert abs(red[:, 0].mean() - blue[:, 0].mean()) < 3
            assert page._server.failures.listed() == []


def test_a_torn_chunk_stands_in_the_strip(browser: Any, tmp_path: Path) -> None:
    url = tmp_path / "torn.ome.zarr"
    halves(url)
    for chunk in url.glob("scale*/image/c/0/*/*"):
        chunk.write_bytes(chunk.read_bytes()[:-9])
    from selenium.webdriver.support.ui import WebDriverWait

    with xprep.view(url, browser=False) as page:
        browser.get(page.url)
        said = "return document.getElementById('strip').textContent"
        WebDriverWait(browser, WAIT).until(lambda one: "torn, level" in one.execute_script(said))
