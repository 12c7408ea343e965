"""Variables that xarray packed: read as xarray reads them, block by block, and written back as what they mean."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr

import xprep
from xprep.engine.sources.readable import source_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:The data type:zarr.errors.UnstableSpecificationWarning"),
    pytest.mark.filterwarnings("ignore:.*has multiple fill values"),
    pytest.mark.filterwarnings("ignore:saving variable"),
]

RANDOM = np.random.default_rng(0)
REAL = RANDOM.random((2, 30, 40))
HOLES = np.where(RANDOM.random(REAL.shape) < 0.1, np.nan, REAL)
WHOLE = RANDOM.integers(0, 200, REAL.shape)


@dataclass(frozen=True)
class Packing:
    """How an image is packed: its pixels, xarray's encoding, or the attributes that somebody else wrote."""

    pixels: np.ndarray
    encoding: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


PACKINGS = {
    "scale, offset, missing": Packing(HOLES, {"dtype": "int16", "scale_factor": 0.001, "add_offset": 5.0, "_FillValue": -9999}),
    "scale": Packing(REAL, {"dtype": "uint8", "scale_factor": 0.01}),
    "offset": Packing(WHOLE, {"dtype": "int16", "add_offset": -100}),
    "scale in float32": Packing(REAL, {"dtype": "int16", "scale_factor": np.float32(0.001)}),
    "scaled floats": Packing(REAL, {"dtype": "float32", "scale_factor": 0.5}),
    "big-endian": Packing(REAL, {"dtype": ">i2", "scale_factor": 0.001, "_FillValue": -1}),
    "missing in integers": Packing(HOLES * 100 // 1, {"dtype": "uint16", "_FillValue": 65535}),
    "missing in int32": Packing(HOLES * 1e5 // 1, {"dtype": "int32", "_FillValue": -1}),
    "missing in floats": Packing(np.nan_to_num(HOLES, nan=-1.0), {"dtype": "float64", "_FillValue": -1.0}),
    "missing in float32": Packing(HOLES.astype("float32"), {"dtype": "float32", "_FillValue": -9.5}),
    "NaN is missing": Packing(HOLES, {"dtype": "float32", "_FillValue": np.nan}),
    "missing_value": Packing(HOLES * 100 // 1, {"dtype": "int16", "missing_value": -7, "_FillValue": -7}),
    "two values are missing": Packing(WHOLE.astype("int16"), {}, {"missing_value": 7, "scale_factor": 0.5}),
    "unsigned in signed": Packing(WHOLE.astype("uint8"), {"dtype": "int8", "_Unsigned": "true", "_FillValue": np.int8(-1)}),
    "bool in int8": Packing(WHOLE > 100, {"dtype": "int8"}, {}),
    "bool by its attribute": Packing((WHOLE > 100).astype("int8"), {}, {"dtype": "bool"}),
    "plain": Packing(WHOLE.astype("uint16")),
    "plain floats": Packing(HOLES),
}
COORDS = {
    "c": ["DAPI", "CD3"],
    "y": ("y", np.arange(30) * 0.5, {"units": "micrometer"}),
    "wavelength": ("c", [405.0, np.nan]),
    "used": ("c", [True, False]),
    "when": np.datetime64("2024-01-02T03:04:05", "ns"),
    "taken": ("c", np.array(["2024-01-02", "2024-03-04"], "datetime64[ns]")),
    "exposure": ("c", np.array([20, 30], "timedelta64[ms]").astype("timedelta64[ns]")),
    "bleached": ("c", np.array([20, "NaT"], "timedelta64[s]").astype("timedelta64[ns]")),
    "t": 7.5,
    "site": "A1",
    "flat": (("y", "x"), RANDOM.random((30, 40)).astype("float32")),
}
COORD_ENCODING = {
    "y": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1},
    "wavelength": {"dtype": "int32", "_FillValue": -1},
    "flat": {"dtype": "uint16", "scale_factor": 0.0001},
}


def stored(url: Path, packing: Packing, zarr_format: Any, consolidated: bool = False) -> xr.DataArray:
    """Write a group as xarray does, and return what xarray reads."""
    image = xr.DataArray(packing.pixels, COORDS, ("c", "y", "x"), attrs={"lens": "40x"})
    encoding = {"image": {**packing.encoding, "chunks": (1, 16, 16)}, **COORD_ENCODING}
    data = xr.Dataset({"image": image, "gain": 1.7, "table": ("row", [1, 2])})
    data.to_zarr(url, encoding=encoding, zarr_format=zarr_format, consolidated=consolidated)
    if packing.attributes:
        zarr.open_array(url / "image", mode="r+").attrs.update(packing.attributes)
    return xr.open_zarr(url, consolidated=False)["image"]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
def test_as_xarray_reads_it(packing: Packing, zarr_format: Any, tmp_path: Path) -> None:
    theirs = stored(tmp_path / "group.zarr", packing, zarr_format)
    ours = xprep.open_image(tmp_path / "group.zarr")
    assert ours.dtype == theirs.dtype
    assert set(ours.coords) == set(theirs.coords)
    xr.testing.assert_identical(ours.compute(), theirs.compute())
    part = {"c": 1, "y": slice(3, 21)}
    xr.testing.assert_identical(ours.isel(part).compute(), theirs.isel(part).compute())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_it_stays_a_source_that_is_read_once(zarr_format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = stored(tmp_path / "group.zarr", PACKINGS["scale, offset, missing"], zarr_format).compute()
    image = xprep.open_image(tmp_path / "group.zarr")
    assert source_of(image.data) is not None
    reads: list[str] = []
    fetch = xprep.io.arrays.reads.ZarrReadable._fetch  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "xprep.io.arrays.reads.ZarrReadable._fetch",
        lambda self, at: reads.extend(self.chunk_key(one) for one in at if self.place.path.endswith("image")) or fetch(self, at),
    )
    blurred = image.sel(c=["CD3"]).prep.gaussian_filter(1, nan="normalize").compute()
    assert sorted(reads) == sorted(set(reads))
    assert len(reads) == 6
    desired = theirs.sel(c=["CD3"]).prep.gaussian_filter(1, nan="normalize")
    np.testing.assert_allclose(blurred, desired, rtol=1e-6)


@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_what_is_written_back_means_the_same(packing: Packing, version: str, tmp_path: Path) -> None:
    theirs = stored(tmp_path / "group.zarr", packing, 3).drop_vars(["flat", "site"])
    image = xprep.open_image(tmp_path / "group.zarr").drop_vars(["flat", "site"])
    image.prep.to_ome_zarr(tmp_path / "new.ome.zarr", version=version, scale_factors=())
    back = xr.open_datatree(tmp_path / "new.ome.zarr", engine="zarr", consolidated=False)["scale0/image"]
    for found in (xprep.open_image(tmp_path / "new.ome.zarr"), back):
        assert found.dtype == theirs.dtype
        np.testing.assert_array_equal(found, theirs)
        for name, coord in theirs.coords.items():
            assert found[name].dtype.kind == coord.dtype.kind or coord.dtype.kind in "OTU", name
            np.testing.assert_array_equal(found[name], coord)
        assert not {"scale_factor", "add_offset", "_FillValue", "missing_value"} & set(found.attrs)


def test_the_array_of_a_group_by_its_own_url(tmp_path: Path) -> None:
    for zarr_format in (2, 3):
        theirs = stored(tmp_path / str(zarr_format), PACKINGS["scale, offset, missing"], zarr_format)
        np.testing.assert_array_equal(xprep.open_image(tmp_path / str(zarr_format) / "image"), theirs)
        assert float(xprep.open_image(tmp_path / str(zarr_format) / "gain")) == 1.7


def test_valid_ranges_are_given_in_the_numbers_that_are_meant(tmp_path: Path) -> None:
    valid = {"valid_range": [0, 20], "valid_max": 3.5}
    packing = Packing(REAL, {"dtype": "int16", "scale_factor": 0.5, "add_offset": 1.0}, valid)
    stored(tmp_path / "group.zarr", packing, 3)
    attributes = xprep.open_image(tmp_path / "group.zarr").attrs
    assert (attributes["valid_range"], attributes["valid_max"]) == ([1.0, 11.0], 3.5)


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"scale_factor": "a tenth"}, "scale_factor.*a tenth"),
        ({"scale_factor": [1, 2]}, r"scale_factor.*\[1, 2\]"),
        ({"add_offset": {"a": 1}}, "add_offset"),
        ({"missing_value": "none", "scale_factor": 2}, "missing_value"),
        ({"missing_value": ["none"]}, "missing_value"),
        ({"missing_value": [1, "none"], "add_offset": 2}, "missing_value"),
        ({"_FillValue": "no base64", "scale_factor": 2}, "_FillValue"),
    ],
)
def test_what_xarray_does_not_decode_is_refused_by_name(attributes: dict[str, Any], says: str, tmp_path: Path) -> None:
    stored(tmp_path / "group.zarr", PACKINGS["plain floats"], 3)
    zarr.open_array(tmp_path / "group.zarr/image", mode="r+").attrs.update(attributes)
    with pytest.raises(xprep.StoreFormatError, match=f"group.zarr/image is packed by .*{says}"):
        xprep.open_image(tmp_path / "group.zarr")


def test_a_date_that_cannot_be_read_names_the_coordinate(tmp_path: Path) -> None:
    stored(tmp_path / "group.zarr", PACKINGS["plain"], 3)
    zarr.open_array(tmp_path / "group.zarr/when", mode="r+").attrs["units"] = "days since yesterday"
    with pytest.raises(xprep.StoreFormatError, match=r"coordinate .*group.zarr/when .*days since yesterday"):
        xprep.open_image(tmp_path / "group.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_of_a_pyramid_that_xarray_packed(zarr_format: Any, tmp_path: Path) -> None:
    """The fill value of an OME-Zarr is a value, also where it is not null; what its attributes say counts."""
    image = xr.DataArray(REAL, COORDS, ("c", "y", "x"))
    image = image.drop_vars(["flat", "when"])  # of zeros, xarray writes no chunk
    version: Any = "0.4" if zarr_format == 2 else "0.5"
    image.prep.to_ome_zarr(tmp_path / "a.zarr", version=version, scale_factors=(2,), layout="dual")
    packed = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 5.0}
    for name in ("scale0", "scale1"):
        level = xr.open_zarr(tmp_path / "a.zarr" / name, consolidated=False).load()
        for array in level.variables.values():
            array.encoding = {}
        how = {"encoding": {"image": packed}, "zarr_format": zarr_format, "consolidated": False}
        level.to_zarr(tmp_path / "a.zarr" / name, mode="w", **how)
    if zarr_format == 2:
        metadata = tmp_path / "a.zarr/scale0/image/.zarray"
        metadata.write_text(json.dumps({**json.loads(metadata.read_text()), "fill_value": 0}))
    else:
        for file in (tmp_path / "a.zarr").glob("zarr.json"):  # what was consolidated is of before
            root = json.loads(file.read_text())
            root.pop("consolidated_metadata", None)
            file.write_text(json.dumps(root))
    tree = xprep.open_tree(tmp_path / "a.zarr")
    for n in (0, 1):
        array = zarr.open_array(tmp_path / f"a.zarr/scale{n}/image", mode="r")[...]
        found = tree[f"scale{n}/image"]
        np.testing.assert_array_equal(found, array * 0.001 + 5.0)
        xr.testing.assert_identical(found.compute(), xprep.open_image(tmp_path / "a.zarr", level=n).rename("image").compute())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zeros_of_zarr_itself_are_values(zarr_format: Any, tmp_path: Path) -> None:
    """A bare v2 array's fill value is mostly zarr-python's own 0; one that somebody chose is missing, as xarray has it."""
    for fill, dtype in ((0, "uint16"), (7, "float32" if zarr_format == 2 else "uint16")):
        url = tmp_path / f"{fill}.zarr"
        names = {"dimension_names": ["y", "x"]} if zarr_format == 3 else {}
        array = zarr.create_array(str(url), shape=(4, 5), dtype="uint16", zarr_format=zarr_format, fill_value=fill, **names)
        array[...] = np.arange(20).reshape(4, 5)
        if zarr_format == 2:
            array.attrs["_ARRAY_DIMENSIONS"] = ["y", "x"]
        found = xprep.open_image(url)
        assert found.dtype == dtype
        assert int(found.isnull().sum()) == (dtype == "float32")


@pytest.mark.parametrize(
    ("dims", "names"),
    [
        (("channel", "y", "x"), {"channel": "c"}),
        (("C", "Y", "X"), {"C": "c", "Y": "y", "X": "x"}),
        (("time", "lat", "lon"), {"time": "t", "lat": "y", "lon": "x"}),
        (("frame", "row", "col"), {"frame": "t", "row": "y", "col": "x"}),
        (("plane", "height", "width"), {"plane": "z", "height": "y", "width": "x"}),
    ],
)
def test_dims_of_others_are_refused_with_their_renaming(dims: tuple[str, ...], names: dict[str, str], tmp_path: Path) -> None:
    url = str(tmp_path / "group.zarr")
    xr.Dataset({"scan": (dims, REAL)}).to_zarr(url, consolidated=False)
    with pytest.raises(xprep.StoreFormatError) as caught:
        xprep.open_image(url)
    way = f"xarray.open_zarr({url!r})['scan'].rename({names})"
    assert way in str(caught.value)
    opened = xr.open_zarr(url, consolidated=False)["scan"].rename(names)
    assert opened.prep.gaussian_filter(1).dims == tuple(names.get(dim, dim) for dim in dims)


def test_no_guess_where_a_renaming_would_be_one(tmp_path: Path) -> None:
    for i, dims in enumerate([("row", "height", "x"), ("a", "b", "x")]):
        xr.Dataset({"scan": (dims, REAL)}).to_zarr(tmp_path / str(i), consolidated=False)
        with pytest.raises(xprep.StoreFormatError, match="no variables with the dims y and x"):
            xprep.open_image(tmp_path / str(i))
