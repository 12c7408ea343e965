"""A real browser shows the image, and its labels lie on it: neuroglancer and a page of viv in headless Chromium.

At three zooms, each of which shows another level. Skipped where Chromium, its driver or a package is missing. Pictures
are kept in the folder XPREP_SCREENSHOTS, if it is set.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.clients.packages import HERE, find_modules
from tests.clients.server import serve
from tests.laws import dense

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
SHAPE = (301, 403)  # odd, and odd again in the second level
SPOTS = [(60, 80, 40), (200, 120, 55), (120, 300, 70), (250, 340, 30)]  # y, x, radius
VALUES = [11, 22, 33, 44]
WINDOW = (700, 560)
WAIT = 180  # seconds; a busy machine draws slowly
# Pixels of the first level a pixel of the screen, and where the middle of the screen is (y, x)
VIEWS = [(1.0, (150.0, 200.0)), (0.25, (100.0, 110.0)), (4.0, (150.0, 200.0))]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--window-size={WINDOW[0]},{WINDOW[1]}", "--hide-scrollbars",
    # WebGL without a graphics card
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
    # No services of its maker's
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip


def spots() -> np.ndarray:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    labels = np.zeros(SHAPE, np.uint32)
    for value, (y, x, radius) in zip(VALUES, SPOTS, strict=True):
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = value
    return labels


def write(url: Path, version: str, layout: str) -> None:
    """Write bright spots, and labels of exactly them, with an origin, in three levels and (if there are any) in shards."""
    labels = spots()
    coords = {
        "y": ("y", 10 + 0.5 * np.arange(SHAPE[0]), {"units": "micrometer"}),
        "x": ("x", 20 + 0.5 * np.arange(SHAPE[1]), {"units": "micrometer"}),
    }
    cells = xr.DataArray(labels, dims=("y", "x"), coords=coords)
    image = xr.DataArray(np.where(labels > 0, 3000, 60).astype("uint16"), dims=("y", "x"), coords=coords, name="spots")
    shards = None if version == "0.4" else {"y": 128, "x": 128}
    how: dict[str, Any] = {"scale_factors": (2, 2), "chunks": {"y": 64, "x": 64}, "shards": shards}
    image.prep.to_ome_zarr(url, labels={"cells": cells}, version=version, layout=layout, **how)


@pytest.fixture(scope="module", params=["0.5-dual", "0.5-flat", "0.4-dual"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served") / request.param
    folder.mkdir()
    write(folder / "image.ome.zarr", *request.param.split("-"))
    with serve(folder) as url:
        yield url, folder
    assert xprep.validate(folder / "image.ome.zarr").is_valid


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    running.set_script_timeout(WAIT)
    yield running
    running.quit()


def decode(data: bytes, name: str) -> np.ndarray:
    """Return the pixels of a picture, after keeping it where that is asked for."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    if folder := os.environ.get("XPREP_SCREENSHOTS"):
        (Path(folder) / f"{name}.png").write_bytes(data)
    return np.asarray(image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def expected(shape: tuple[int, int], scale: float, middle: tuple[float, float], level: int = 0) -> np.ndarray:
    """Return the label at every pixel of a screen that shows a level."""
    labels = dense.pyramid(xr.DataArray(spots(), dims=("y", "x")), (2,) * level, method="mode").values
    large = labels.repeat(2**level, axis=0).repeat(2**level, axis=1)
    at = [m + (np.arange(n) + 0.5 - n / 2) * scale for n, m in zip(shape, middle, strict=True)]
    rows, columns = (np.floor(positions).astype(int) for positions in at)
    shown = large[rows.clip(0, SHAPE[0] - 1)][:, columns.clip(0, SHAPE[1] - 1)]
    inside = ((rows >= 0) & (rows < SHAPE[0]))[:, None] & ((columns >= 0) & (columns < SHAPE[1]))
    return np.where(inside, shown, 0)


def assert_aligned(found: np.ndarray, wanted: np.ndarray, what: str, pixels: float = 1) -> None:
    """Every one of the wanted spots is where it is wanted, to ``pixels`` of the screen, and nothing else is there."""
    assert found.any(), f"{what}: nothing is shown"
    overlap = (found & (wanted > 0)).sum() / (found | (wanted > 0)).sum()
    assert overlap > 0.93, f"{what}: {overlap:.0%} of what is shown and of what should be is both"
    shift = np.argwhere(found).mean(axis=0) - np.argwhere(wanted > 0).mean(axis=0)
    assert np.abs(shift).max() < pixels, f"{what}: {shift} pixels of the screen off"


def check(take: Callable[[tuple[str, ...], float, tuple[float, float]], np.ndarray], colorful: Callable[..., np.ndarray]) -> None:
    """Look at image and labels, one by one and together, at every zoom."""
    for scale, middle in VIEWS:
        image, labels, both = (take(shown, scale, middle) for shown in (("image",), ("labels",), ("image", "labels")))
        wanted = expected(image.shape[:2], scale, middle)
        grey = image.max(axis=2) - image.min(axis=2) < 10
        bright, painted = grey & (image.min(axis=2) > 160), colorful(labels)
        assert_aligned(bright, wanted, f"the image at {scale}")
        assert_aligned(painted, wanted, f"the labels at {scale}")
        assert_aligned(painted, bright, f"the labels on the image at {scale}")
        assert_aligned(colorful(both), wanted, f"the overlay at {scale}")
        assert both[bright & painted].mean() > 60, "the image is seen through its labels"


def saturated(picture: np.ndarray) -> np.ndarray:
    return picture.max(axis=2) - picture.min(axis=2) > 60


class Neuroglancer:
    """The page of a viewer of one store, and its pictures."""

    def __init__(self, browser: Any, url: str, name: str) -> None:
        neuroglancer = pytest.importorskip("neuroglancer", reason="neuroglancer is not installed")
        neuroglancer.set_server_bind_address("127.0.0.1")
        self.name, self.viewer = name, neuroglancer.Viewer()
        with self.viewer.txn() as state:
            shader = "void main() { emitGrayscale(toNormalized(getDataValue()) * 20.0); }"
            source = f"{'zarr2' if name.startswith('0.4') else 'zarr3'}://{url}"
            state.layers["image"] = neuroglancer.ImageLayer(source=source, shader=shader)
            state.layers["labels"] = neuroglancer.SegmentationLayer(source=f"{source}/labels/cells", segments=VALUES)
            state.dimensions = neuroglancer.CoordinateSpace(names=["y", "x"], units="um", scales=[0.5, 0.5])
            state.display_dimensions = ["x", "y"]  # the first one to the right
            state.layout, state.show_axis_lines, state.show_scale_bar = "xy", False, False
            state.show_default_annotations = False
        with self.viewer.config_state.txn() as config:
            config.show_ui_controls = config.show_panel_borders = False  # the picture is the image, from edge to edge
        browser.get(self.viewer.get_viewer_url())

    def take(self, shown: tuple[str, ...], scale: float, middle: tuple[float, float], coarse: float = 1) -> np.ndarray:
        """Return a picture; ``coarse`` is how many pixels of the screen one of the level that is shown may cover."""
        with self.viewer.txn() as state:
            state.cross_section_scale = scale
            # In pixels of the first level from the origin of the units: the first pixel's centre is at 10 and 20 micrometers.
            state.position = [20 - 0.5 + middle[0], 40 - 0.5 + middle[1]]
            for layer in state.layers:
                layer.visible = layer.name in shown
                layer.layer.cross_section_render_scale = coarse
                if layer.name == "labels":
                    layer.layer.selected_alpha = 0.5 if len(shown) > 1 else 1.0
        until = time.monotonic() + WAIT
        while time.monotonic() < until:  # it waits for the pixels of the sources that it knows; the first time it knows none
            picture = self.screenshot(f"neuroglancer-{self.name}-{scale}-{'-'.join(shown)}{'-coarse' * (coarse > 1)}")
            if np.ptp(picture) > 0:
                break
        return picture

    def screenshot(self, name: str) -> np.ndarray:
        done, answers = threading.Event(), []
        self.viewer.async_screenshot(lambda answer: (answers.append(answer.screenshot.image), done.set()))
        assert done.wait(WAIT), "neuroglancer sent no picture"
        return decode(answers[0], name)


def test_neuroglancer(browser: Any, served: tuple[str, Path]) -> None:
    url, folder = served
    page = Neuroglancer(browser, f"{url}/image.ome.zarr", folder.name)
    check(page.take, saturated)
    # The coarsest level, four times too coarse for the screen: were it not moved by half of what its pixels are larger, it
    # would be 1.5 pixels off.
    middle = VIEWS[0][1]
    image, labels = (page.take((shown,), 1.0, middle, coarse=4.0) for shown in ("image", "labels"))
    wanted = expected(image.shape[:2], 1.0, middle, level=2)
    assert_aligned(saturated(labels), wanted, "the coarsest level of the labels", pixels=0.1)
    assert_aligned(image.min(axis=2) > 160, wanted, "the coarsest level of the image", pixels=0.6)


def bundle(folder: Path) -> None:
    """Make the page of viv, without a network."""
    modules = find_modules()
    work = folder / "page"
    work.mkdir()
    (work / "node_modules").symlink_to(modules)
    shutil.copy(HERE / "page.mjs", work)
    command = [modules / ".bin/esbuild", "page.mjs", "--bundle", "--format=iife", "--outfile=../page.js", "--log-level=error"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    style = "html, body { margin: 0; height: 100%; background: black; overflow: hidden }"
    page = f'<!doctype html><meta charset="utf-8"><style>{style}</style><body><script src="page.js"></script>'
    (folder / "page.html").write_text(page)


def test_viv(browser: Any, served: tuple[str, Path]) -> None:
    url, folder = served
    bundle(folder)
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{url}/page.html")
    WebDriverWait(browser, WAIT).until(lambda page: page.execute_script("return window.ready === true"))

    def take(shown: tuple[str, ...], scale: float, middle: tuple[float, float]) -> np.ndarray:
        view = {"url": f"{url}/image.ome.zarr", "layers": shown, "target": [middle[1], middle[0]], "scale": scale}
        browser.execute_script("show(arguments[0]).catch((error) => (window.failed = `${error.stack}`))", view)
        said = "return window.failed ?? (window.shown === arguments[0] ? 'shown' : '')"
        answer = WebDriverWait(browser, WAIT).until(lambda page: page.execute_script(said, ",".join(shown)))
        assert answer == "shown", answer
        return decode(browser.get_screenshot_as_png(), f"viv-{folder.name}-{scale}-{'-'.join(shown)}")

    check(take, saturated)
