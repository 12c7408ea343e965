"""Lengths with units, and voxel sizes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xprep.dims.lengths import metres, parse_length
from xprep.dims.spacing import spacing
from xprep.dims.voxel_sizes import in_pixels, unit_of, voxel_size
from xprep.ops.gaussian import gaussian_filter
from xprep.ops.normalize import normalize

# The units of length of OME-NGFF 0.5, in metres.
OME = {
    "angstrom": 1e-10, "attometer": 1e-18, "centimeter": 1e-2, "decimeter": 0.1, "exameter": 1e18, "femtometer": 1e-15,
    "foot": 0.3048, "gigameter": 1e9, "hectometer": 100, "inch": 0.0254, "kilometer": 1e3, "megameter": 1e6, "meter": 1,
    "micrometer": 1e-6, "mile": 1609.344, "millimeter": 1e-3, "nanometer": 1e-9, "parsec": 3.0856775814913673e16,
    "petameter": 1e15,
    "picometer": 1e-12, "terameter": 1e12, "yard": 0.9144, "yoctometer": 1e-24, "yottameter": 1e24, "zeptometer": 1e-21,
    "zettameter": 1e21,
}  # fmt: skip


@pytest.mark.parametrize("name", OME)
def test_every_length_of_ome(name):
    assert metres(name) == pytest.approx(OME[name], rel=1e-12)


@pytest.mark.parametrize("text", ["um", "µm", "μm", "micron", "microns", "Micrometre", "micrometers", " um "])
def test_spellings_of_a_micrometre(text):
    assert metres(text) == 1e-6


def test_case_counts_in_symbols():
    assert (metres("mm"), metres("Mm"), metres("nm"), metres("Å"), metres("m")) == (1e-3, 1e6, 1e-9, 1e-10, 1)
    assert metres("second") is None
    assert metres("pixel") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("0.5 um", (0.5, "um")), ("500nm", (500, "nm")), (" 1e-3 mm ", (1e-3, "mm")), (".5 Å", (0.5, "Å"))],
)
def test_parsing(text, wanted):
    assert parse_length(text, "sigma") == wanted


@pytest.mark.parametrize("text", ["", "5", "um", "5 px", "1,5 um", "five um", "5 um um"])
def test_what_is_no_length(text):
    with pytest.raises(ValueError, match=r"sigma got .* which is no length"):
        parse_length(text, "sigma")


def image(x, **attrs):
    return xr.DataArray(np.zeros(len(x)), dims="x", coords={"x": ("x", x, attrs)})


def test_pixels():
    placed = image(5 + np.arange(6) * 0.1, units="micrometer")
    assert in_pixels(3, placed, "x", "sigma") == 3
    assert in_pixels("0.5 um", placed, "x", "sigma") == 5
    assert in_pixels("500 nm", placed, "x", "sigma") == 5
    assert in_pixels("5e-4 mm", image(-np.arange(6) * 100.0, unit="nm"), "x", "sigma") == 5


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match=r"no unit\. Say it, e.g. image\['x'\]"):
        in_pixels("1 um", image(np.arange(3.0)), "x", "sigma")
    with pytest.raises(ValueError, match="'second', which is no length"):
        in_pixels("1 um", image(np.arange(3.0), units="second"), "x", "sigma")
    with pytest.raises(ValueError, match="sigma needs the voxel size along 'x'"):
        in_pixels("1 um", xr.DataArray(np.zeros(3), dims="x"), "x", "sigma")


def test_spacing_of_coordinates():
    assert spacing(image(np.arange(400) * 0.202), "x") == 0.202
    assert spacing(image((1e4 + np.arange(400) * 0.202).astype("f4")), "x") == pytest.approx(0.202, rel=1e-4)
    assert spacing(image([3.0]), "x") is None
    assert spacing(image(list("abc")), "x") is None
    assert voxel_size(image(-np.arange(4) * 0.5), "x", "sigma") == 0.5
    for uneven in ([0, 1, 3.0], [0, 0, 0.0], [0, np.nan, 2]):
        with pytest.raises(ValueError, match="not evenly spaced"):
            spacing(image(uneven), "x")


@pytest.mark.parametrize("nested", [True, False])
def test_ome_metadata(nested):
    axes = [{"name": "c", "type": "channel"}, {"name": "x", "type": "space", "unit": "nanometer"}]
    level = {
        "coordinateTransformations": [
            {"type": "scale", "scale": [1, 50]},
            {"type": "translation", "translation": [0, 3]},
        ]
    }
    whole = [{"type": "scale", "scale": [1, 2]}]
    metadata = {"multiscales": [{"axes": axes, "datasets": [level], "coordinateTransformations": whole}]}
    bare = xr.DataArray(np.zeros((2, 4)), dims=("c", "x"), attrs={"ome": metadata} if nested else metadata)
    assert (voxel_size(bare, "x", "sigma"), unit_of(bare, "x")) == (100, "nanometer")
    assert in_pixels("1 um", bare, "x", "sigma") == 10
    assert in_pixels("1 um", bare.isel(x=[0]), "x", "sigma") == 10
    assert unit_of(bare, "c") is None


def slide(step_y=0.5):
    random = np.random.default_rng(0)
    coords = {"y": ("y", np.arange(20) * step_y, {"units": "um"}), "x": ("x", np.arange(22) * 0.5, {"units": "um"})}
    return xr.DataArray(random.random((2, 20, 22)), dims=("c", "y", "x"), coords={"c": ["a", "b"], **coords})


@pytest.mark.parametrize(
    ("given", "pixels"),
    [
        ("1 um", 2),
        (["500 nm", "1 um"], [1, 2]),
        ({"y": "1 um", "x": 3}, {"y": 2, "x": 3}),
    ],
)
def test_sigma_of_a_blur_in_micrometres(given, pixels):
    blurred = gaussian_filter(slide(), given)
    np.testing.assert_array_equal(blurred, gaussian_filter(slide(), pixels))


def test_sigma_of_voxels_that_are_not_square():
    blurred = gaussian_filter(slide(0.25), "1 um")
    np.testing.assert_array_equal(blurred, gaussian_filter(slide(0.25), {"y": 4, "x": 2}))
    with pytest.raises(ValueError, match="4 pixels along y and 2 along x: the voxels are not square"):
        normalize(slide(0.25), sigma="1 um")
    with pytest.raises(ValueError, match="no length"):
        gaussian_filter(slide(), "wide")


@pytest.mark.parametrize(("given", "pixels"), [("1 um", 2), ({"a": "1 um", "b": 1}, [2, 1]), (["1 um", 0], [2, 0])])
def test_sigma_of_normalize_in_micrometres(given, pixels):
    np.testing.assert_array_equal(normalize(slide(), sigma=given), normalize(slide(), sigma=pixels))
