"""Plates that xprep made of plates, read by clients that nobody here wrote: their wells, fields and labels, and nothing else.

Each is skipped where it is not installed; ``tests/clients/requirements.txt`` installs them all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import xprep
from tests.clients.test_python import client
from tests.plates import fields_of, write_plate, write_series

pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]
WELLS = [f"{row}/{column}" for row in "AB" for column in (1, 2, 10)]
ABSENT = ("A/2/1", "B/10/0")
FIELDS = [f"{well}/{n}" for well in WELLS for n in range(2) if f"{well}/{n}" not in ABSENT]


@pytest.fixture(scope="module", params=["0.5 flat", "0.5 dual", "0.4 dual"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A plate of six wells of two small fields, two of them absent; with labels where ome-zarr-models finds their levels."""
    version, layout = request.param.split()
    folder = tmp_path_factory.mktemp("screen")
    # ome-zarr-py, and napari by it, take all fields of a plate for as large as the first.
    source = write_plate(folder / "p.zarr", WELLS, 2, absent=ABSENT, labels=layout == "flat", alike=True)
    recipe = {"inputs": [str(source)], "steps": [{"gaussian_filter": {"sigma": 1}}], "output": f"{folder}/o.ome.zarr"}
    found = xprep.run({**recipe, "store": {"version": version, "layout": layout}}, progress=False)
    assert [one.state for one in found.outcomes].count("failed") == 2
    return folder / "o.ome.zarr", version


def test_listed_are_those_that_are_there(made: tuple[Path, str]) -> None:
    assert fields_of(made[0]) == FIELDS
    assert xprep.validate(made[0]).is_valid


def test_ome_zarr_models(made: tuple[Path, str]) -> None:
    models = client("ome_zarr_models")
    plate = models.open_ome_zarr(zarr.open_group(made[0], mode="r"))
    assert plate.ome_zarr_version == made[1]
    assert type(plate).__name__ == "HCS"
    assert len(list(plate.well_groups)) == len(WELLS)


def test_yaozarrs(made: tuple[Path, str]) -> None:
    yaozarrs = client("yaozarrs")
    yaozarrs.validate_zarr_store(str(made[0]))


def test_ome_zarr_py(made: tuple[Path, str]) -> None:
    reader, io = client("ome_zarr.reader"), client("ome_zarr.io")
    nodes = list(reader.Reader(io.parse_url(str(made[0]), mode="r"))())
    assert nodes
    whole = np.asarray(nodes[0].data[0])
    assert whole.shape[0] == 2
    assert whole.any()


def test_napari_ome_zarr(made: tuple[Path, str]) -> None:
    read = client("napari_ome_zarr").napari_get_reader(str(made[0]))
    assert read is not None
    layers = read(str(made[0]))
    assert layers
    data: Any = layers[0][0]
    first = data[0] if isinstance(data, list | tuple) else data
    assert np.asarray(first).any()


def test_series(tmp_path: Path) -> None:
    yaozarrs = client("yaozarrs")
    source = write_series(tmp_path / "f.zarr")
    recipe = {"inputs": [str(source)], "steps": [{"gaussian_filter": {"sigma": 1}}], "output": f"{tmp_path}/o.ome.zarr"}
    assert xprep.run(recipe, progress=False).ok
    yaozarrs.validate_zarr_store(str(tmp_path / "o.ome.zarr"))
