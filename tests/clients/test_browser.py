"""A real browser shows the image, and its labels lie on it: neuroglancer in headless Chromium, at three zooms.

Skipped where Chromium, its driver, selenium or neuroglancer is missing. Pictures are kept in XPREP_SCREENSHOTS if it is
set.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests.clients.server import serve

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
SPOTS = [(60, 80, 40), (200, 120, 55), (120, 300, 70), (250, 340, 30)]  # y, x, radius
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=700,560", "--hide-scrollbars",
    # WebGL without a graphics card
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist",
)  # fmt: skip


def write(url: Path, layout: str) -> None:
    """Write bright spots, and labels of exactly them: odd sizes, an origin, and three levels."""
    rows, columns = np.mgrid[:301, :403]
    labels = np.zeros((301, 403), np.uint32)
    for number, (y, x, radius) in enumerate(SPOTS, 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = 11 * number
    coords = {
        "y": ("y", 10 + 0.5 * np.arange(301), {"units": "micrometer"}),
        "x": ("x", 20 + 0.5 * np.arange(403), {"units": "micrometer"}),
    }
    cells = xr.DataArray(labels, dims=("y", "x"), coords=coords)
    image = xr.DataArray(np.where(labels > 0, 3000, 60).astype("uint16"), dims=("y", "x"), coords=coords, name="spots")
    image.prep.to_ome_zarr(url, labels={"cells": cells}, scale_factors=(2, 2), chunks={"y": 64, "x": 64}, layout=layout)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    pytest.importorskip("neuroglancer", reason="neuroglancer is not installed")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium or chromedriver is not installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield running
    running.quit()


def picture(browser: Any, name: str) -> np.ndarray:
    """Return what the browser shows once it has stopped changing, without the bars around it."""
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    before = None
    for _ in range(60):
        time.sleep(1)
        data = browser.get_screenshot_as_png()
        now = np.asarray(image.open(io.BytesIO(data)).convert("RGB")).astype(int)[60:, :640]
        if before is not None and np.array_equal(before, now) and now[120:300, 100:-50].max() > 100:
            break
        before = now
    if folder := os.environ.get("XPREP_SCREENSHOTS"):
        (Path(folder) / f"{name}.png").write_bytes(data)
    return now[:, 30:]


@pytest.mark.parametrize("layout", ["dual", "flat"])
def test_labels_lie_on_the_image_at_every_zoom(browser: Any, tmp_path: Path, layout: str) -> None:
    import neuroglancer

    write(tmp_path / "image.ome.zarr", layout)
    neuroglancer.set_server_bind_address("127.0.0.1")
    with serve(tmp_path) as url:
        viewer = neuroglancer.Viewer()
        with viewer.txn() as state:
            source = f"zarr3://{url}/image.ome.zarr"
            shader = "void main() { emitGrayscale(toNormalized(getDataValue()) * 20.0); }"
            state.layers["image"] = neuroglancer.ImageLayer(source=source, shader=shader)
            state.layers["cells"] = neuroglancer.SegmentationLayer(
                source=f"{source}/labels/cells", segments=[11, 22, 33, 44], selected_alpha=1.0
            )
            state.layout, state.show_axis_lines, state.show_scale_bar = "xy", False, False
            state.show_default_annotations = False
            state.position = [20 + 150, 40 + 200]  # in pixels from the origin of the units
        browser.get(viewer.get_viewer_url())
        for zoom in (1.0, 4.0, 0.25):  # voxels a pixel of the screen: 4 shows the coarsest level
            masks = []
            for shown in ("image", "cells"):
                with viewer.txn() as state:
                    state.cross_section_scale = zoom
                    state.position = [20 + 200, 40 + 120] if zoom < 1 else [20 + 150, 40 + 200]
                    for layer in state.layers:
                        layer.visible = layer.name == shown
                seen = picture(browser, f"{layout}-{zoom}-{shown}")
                grey = (seen.max(axis=2) - seen.min(axis=2)) < 10
                masks.append(grey & (seen.min(axis=2) > 200) if shown == "image" else ~grey & (seen.max(axis=2) > 60))
            image, cells = masks
            assert cells.any()
            overlap = (image & cells).sum() / (image | cells).sum()
            assert overlap > 0.95, f"at zoom {zoom} labels cover {overlap:.0%} of the image's spots"
            shift = np.subtract(np.argwhere(image).mean(axis=0), np.argwhere(cells).mean(axis=0))
            assert np.abs(shift).max() < 0.5, f"at zoom {zoom} labels are {shift} pixels of the screen off"
    assert xprep.validate(tmp_path / "image.ome.zarr").is_valid
