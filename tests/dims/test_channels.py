"""Channel identity: channels are positions, names may be shared, and what is said of a name holds for all that have it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import xprep
from tests.laws.operations import OPERATIONS, Operation, assert_blind, assert_same_bits, variables
from xprep.batch.recipe import load_recipe
from xprep.cli.app import app
from xprep.cli.values import parse_names, parse_value
from xprep.dims.channel_titles import channel_titles

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")

CYCLES = pd.MultiIndex.from_tuples([(1, "DAPI"), (1, "CD3"), (2, "DAPI")], names=["cycle", "marker"])
NAMES: dict[str, Any] = {
    "unique": {"c": ["DAPI", "CD3", "CD8"]},
    "two of one name": {"c": ["DAPI", "CD3", "DAPI"]},
    "all of one name": {"c": ["", "", ""]},
    "levels": xr.Coordinates.from_pandas_multiindex(CYCLES, "c"),
    "numbers": {"c": [488, 561, 488]},
    "texts that are numbers": {"c": ["1", "0", "1"]},
    "none": {},
}
every_naming = pytest.mark.parametrize("coords", NAMES.values(), ids=NAMES)


def cells(coords: Any = None, shape: tuple[int, int] = (20, 24), seed: int = 3) -> xr.DataArray:
    random = np.random.default_rng(seed)
    pixels = (random.lognormal(4, 1, (3, *shape)) * [[[1]], [[3]], [[9]]]).astype("float32")
    places = {dim: (dim, 0.25 * np.arange(n), {"units": "micrometer"}) for dim, n in zip("yx", shape, strict=True)}
    return xr.DataArray(pixels, places, ("c", "y", "x"), "slide").assign_coords(coords if coords is not None else {})


def containers(image: xr.DataArray) -> dict[str, Any]:
    dataset = image.to_dataset(name="slide").assign(laser=("c", np.array([405.0, 488.0, 406.0])))
    return {"DataArray": image, "Dataset": dataset, "DataTree": xr.DataTree.from_dict({"/site": dataset})}


def image_of(result: Any) -> Any:
    """Return the one result in a container of results: of a pyramid the coarsest, of a background the image."""
    if isinstance(result, xr.DataTree):
        return image_of([node for node in result.subtree if node.data_vars][-1].to_dataset())
    names = [name for name in ("slide", "background") if isinstance(result, xr.Dataset) and name in result]
    return result[names[0]] if names else result


@every_operation
@every_naming
def test_names_do_not_show_in_the_pixels(operation: Operation, coords: Any) -> None:
    """Whatever channels are called: pixels are those of an image of unique names, and channels keep their names."""
    desired = operation.call(cells({"c": list("abc")}), **operation.example)
    for lazy in (False, True):
        for container in containers(cells(coords)).values():
            found = operation.call(container.chunk({"y": 7}) if lazy else container, **operation.example)
            one = image_of(found)
            for name, want in variables(desired).items():
                have = variables(one)[name]
                assert_blind(operation, have.drop_vars(have.coords), want.drop_vars(want.coords), cells())
                if "c" in have.dims and coords:
                    assert have.indexes["c"].equals(cells(coords).indexes["c"])
                    assert set(cells(coords).coords) - {"y", "x"} <= set(have.coords)


def plain(image: Any, **parameters: Any) -> xr.DataArray:
    """Divide by nothing: what is left of `normalize` is the selection, and the blur."""
    return xprep.normalize(image, **{"p": None, "p_sum": None, "p_post": None, "norm_sum": False, "sigma": None, **parameters})


# Selection: (names, channels, positions)
SELECTIONS: dict[str, tuple[Any, Any, list[int]]] = {
    "a name of two": ("two of one name", ["DAPI"], [0, 2]),
    "one text": ("two of one name", "DAPI", [0, 2]),
    "in the order asked for": ("two of one name", ["CD3", "DAPI"], [1, 0, 2]),
    "numpy's texts": ("two of one name", np.array(["CD3", "DAPI"]), [1, 0, 2]),
    "a coordinate": ("two of one name", xr.DataArray(["DAPI"], dims="c"), [0, 2]),
    "an index": ("two of one name", pd.Index(["DAPI"]), [0, 2]),
    "a column": ("two of one name", pd.Series(["CD3"], index=[7]), [1]),
    "positions where names are texts": ("two of one name", [2, 1], [2, 1]),
    "one position": ("two of one name", np.int64(2), [2]),
    "a name twice": ("unique", ["CD3", "CD3"], [1, 1]),
    "a tuple of names": ("unique", ("CD8", "DAPI"), [2, 0]),
    "levels": ("levels", [(2, "DAPI"), (1, "CD3")], [2, 1]),
    "levels, one": ("levels", (2, "DAPI"), [2]),
    "levels of a selection": ("levels", CYCLES[[2, 0]], [2, 0]),
    "numbers that are names": ("numbers", [488], [0, 2]),
    "floats that are names": ("numbers", [561.0], [1]),
    "texts, not positions": ("texts that are numbers", ["0"], [1]),
    "positions, not texts": ("texts that are numbers", [0], [0]),
    "positions without names": ("none", [2, 0], [2, 0]),
}


@pytest.mark.parametrize(("naming", "channels", "positions"), SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_channels_that_are_selected(naming: str, channels: Any, positions: list[int], lazy: bool) -> None:
    image = cells(NAMES[naming])
    for kind, container in containers(image.chunk({"c": 1}) if lazy else image).items():
        found = plain(container, channels=channels)
        np.testing.assert_array_equal(image_of(found), image.values[positions])
        if "c" in image.indexes:
            assert image_of(found).indexes["c"].equals(image.indexes["c"][positions])
        if kind == "Dataset":
            names = image.indexes["c"].tolist() if "c" in image.indexes else []
            chosen = [names[position] for position in positions] if names else [None]
            known = names and not any(chosen.count(name) % names.count(name) for name in chosen)
            assert ("laser" in found) == bool(known), "what lies along channels follows them, where it is known how"
            if known:
                assert found["laser"].values.tolist() == np.array([405.0, 488.0, 406.0])[positions].tolist()


UNKNOWN: dict[str, tuple[str, Any, type[Exception], str]] = {
    "a name": ("two of one name", ["CD4"], KeyError, r"channels names 'CD4'; the image has \['DAPI', 'CD3', 'DAPI'\]"),
    "a position beyond": ("unique", [3], KeyError, r"names 3; the image has"),
    "a position before": ("unique", [-1], KeyError, r"names -1"),
    "a position where names are numbers": ("numbers", [0], KeyError, r"names 0; the image has \[488"),
    "a mask": ("none", [True, False, True], KeyError, r"names True; .*numpy\.flatnonzero\(mask\)"),
    "a mask of numpy": ("unique", np.array([True, False, True]), KeyError, r"names True"),
    "a set": ("unique", {"CD3"}, ValueError, r"channels is a set, which has no order"),
    "a level": ("levels", ["DAPI"], KeyError, r"names 'DAPI'; the image has \[\(1, 'DAPI'\)"),
    "nested": ("unique", [["CD3"]], KeyError, r"names \['CD3'\]"),
}


@pytest.mark.parametrize(("naming", "channels", "kind", "text"), UNKNOWN.values(), ids=UNKNOWN)
def test_channels_that_are_unknown(naming: str, channels: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        plain(cells(NAMES[naming]), channels=channels)


# Several images


def experiment(*names: Any) -> xr.DataTree:
    return xr.DataTree.from_dict(
        {f"/fov{i}": cells({"c": own}, (20, 24 + 4 * i), seed=i).isel(c=slice(0, len(own))).to_dataset(name="i") if len(own) == 3
         else cells(None, (20, 24 + 4 * i), seed=i).isel(c=slice(0, len(own))).assign_coords(c=list(own)).to_dataset(name="i")
         for i, own in enumerate(names)}
    )  # fmt: skip


def test_of_two_images_the_kth_channel_of_a_name_is_the_kth() -> None:
    tree = experiment(["DAPI", "CD3", "DAPI"], ["CD3", "DAPI", "DAPI"])
    found = plain(tree)
    assert found["fov1"].c.values.tolist() == ["DAPI", "CD3", "DAPI"]
    np.testing.assert_array_equal(found["fov1/i"], tree["fov1/i"].values[[1, 0, 2]])
    chosen = plain(tree, channels=[2, "CD3"])
    np.testing.assert_array_equal(chosen["fov1/i"], tree["fov1/i"].values[[2, 0]])
    unique = experiment(["a", "b", "c"], ["b", "a", "c"])
    wanted = xprep.normalize(unique, sigma={"b": 2})
    found = xprep.normalize(tree, sigma={"CD3": 2})
    for name in ("fov0/i", "fov1/i"):
        np.testing.assert_array_equal(found[name], wanted[name])


LACKING: dict[str, tuple[list[list[Any]], Any, str]] = {
    "a channel": ([["A", "B", "C"], ["A", "B", "C"], ["A", "B"]], None, r"'/fov2 i' has no channel 'C'; it has \['A', 'B'\]"),
    "one of two": ([["A", "B", "A"], ["A", "B"]], None, r"'/fov1 i' has 1 channels 'A' and not 2; it has \['A', 'B'\]"),
    "two of one": ([["A", "B"], ["A", "B", "A"]], None, r"'/fov1 i' has 2 channels 'A' and not 1"),
    "two of one, chosen": ([["A", "B"], ["A", "B", "A"]], ["A"], r"'/fov1 i' has 2 channels 'A' and not 1"),
    "in the first": ([["A", "B"], ["A", "B", "C"]], None, r"'/fov1 i' has the channel 'C', which the first has not"),
    "in the first, chosen": ([["A", "B"], ["A", "B", "C"]], ["C"], r"of '/fov0 i': channels names 'C'; the image has"),
    "chosen": ([["A", "B", "C"], ["A", "B"]], ["C"], r"'/fov1 i' has no channel 'C'"),
    "all names": ([["A", "B"], [0, 1]], None, r"'/fov1 i' has no channel 'A'; it has \[0, 1\]"),
}


@pytest.mark.parametrize(("names", "channels", "text"), LACKING.values(), ids=LACKING)
def test_a_field_that_lacks_a_channel_is_named(names: list[list[Any]], channels: Any, text: str) -> None:
    with pytest.raises(KeyError, match=text):
        plain(experiment(*names), channels=channels)


def test_channels_that_all_have_are_chosen_of_fields_with_others() -> None:
    found = plain(experiment(["A", "B", "C"], ["B", "D", "A"]), channels=["A", "B"])
    np.testing.assert_array_equal(found["fov1/i"], experiment(["A", "B", "C"], ["B", "D", "A"])["fov1/i"].values[[2, 0]])


# Parameters by name: of σ and radius, what is given, and the values of the three channels

TABLE = pd.Series({"C": 4.0, "B": 2.0, "A": 1.0})  # in the order of the table, not of the channels
ABC, ABA = {"c": list("ABC")}, {"c": list("ABA")}
BY_NAME: dict[str, tuple[Any, Any, list[float]]] = {
    "a mapping": (ABC, {"C": 4, "A": 1, "B": 2}, [1, 2, 4]),
    "a Series": (ABC, TABLE, [1, 2, 4]),
    "a Series of integers": (ABC, TABLE.astype(int), [1, 2, 4]),
    "a Series of objects": (ABC, TABLE.astype(object), [1, 2, 4]),
    "a column of a table": (ABC, TABLE.rename("px").to_frame().px, [1, 2, 4]),
    "a DataArray": (ABC, xr.DataArray([4.0, 2, 1], {"c": list("CBA")}, "c"), [1, 2, 4]),
    "a DataArray over another dim": (ABC, xr.DataArray([4.0, 2, 1], {"marker": list("CBA")}, "marker"), [1, 2, 4]),
    "a DataArray without names": (ABC, xr.DataArray([1.0, 2, 4], dims="c"), [1, 2, 4]),
    "a Variable": (ABC, xr.Variable("c", [1.0, 2, 4]), [1, 2, 4]),
    "a Dataset": (ABC, xr.Dataset({"C": 4.0, "A": 1.0, "B": 2.0}), [1, 2, 4]),
    "a list": (ABC, [1, 2, 4], [1, 2, 4]),
    "a list of numbers in arrays": (ABC, [np.array(1.0), xr.DataArray(2.0), np.float32(4)], [1, 2, 4]),
    "an array": (ABC, np.array([1, 2, 4]), [1, 2, 4]),
    "a number in an array": (ABC, np.array(2.0), [2, 2, 2]),
    "a number in a DataArray": (ABC, xr.DataArray(2.0), [2, 2, 2]),
    "positions": (ABC, {2: 4, 0: 1, 1: 2}, [1, 2, 4]),
    "a Series without an index of its own": (ABC, pd.Series([1.0, 2, 4]), [1, 2, 4]),
    "a name of two channels": (ABA, {"A": 1, "B": 2}, [1, 2, 1]),
    "a name of two channels, in a Series": (ABA, pd.Series({"B": 2.0, "A": 1.0}), [1, 2, 1]),
    "a value for each of two": (ABA, pd.Series([2.0, 1.0, 4.0], index=["B", "A", "A"]), [1, 2, 4]),
    "levels": (NAMES["levels"], {(2, "DAPI"): 4, (1, "DAPI"): 1, (1, "CD3"): 2}, [1, 2, 4]),
    "a Series of levels": (NAMES["levels"], pd.Series([1.0, 2, 4], index=CYCLES)[::-1], [1, 2, 4]),
    "numbers": ({"c": [488, 561, 640]}, {640: 4, 561: 2, 488: 1}, [1, 2, 4]),
    "without names": ({}, {2: 4, 1: 2, 0: 1}, [1, 2, 4]),
}
PER_CHANNEL: dict[str, Callable[[xr.DataArray, Any], Any]] = {
    "normalize": lambda image, sigma: plain(image, sigma=sigma),
    "gaussian_filter": lambda image, sigma: xprep.gaussian_filter(image, sigma),
    "background": lambda image, radius: xprep.background(image, radius).background,
    "subtract_background": lambda image, radius: xprep.subtract_background(image, radius),
}


@pytest.mark.parametrize(("coords", "given", "values"), BY_NAME.values(), ids=BY_NAME)
@pytest.mark.parametrize("name", PER_CHANNEL)
def test_parameters_go_by_name(name: str, coords: Any, given: Any, values: list[float]) -> None:
    image = cells(coords)
    found, wanted = PER_CHANNEL[name](image, given), PER_CHANNEL[name](cells(), values)
    np.testing.assert_array_equal(found, wanted)
    assert len({wanted.values[i].tobytes() for i in range(3)}) == 3


PAIRS: dict[str, Any] = {
    "a mapping of pairs": {"C": (4, 5), "B": 2, "A": (1, 3)},
    "a Series of pairs": pd.Series({"C": (4, 5), "B": (2, 2), "A": [1, 3]}),
    "a table": pd.DataFrame({"x": [5.0, 2, 3], "y": [4.0, 2, 1]}, index=list("CBA")),
    "a mapping of mappings": {"C": {"x": 5, "y": 4}, "A": {"y": 1, "x": 3}, "B": {"y": 2, "x": 2}},
    "a mapping of Series": {"C": pd.Series({"x": 5, "y": 4}), "A": (1, 3), "B": 2},
    "a DataArray": xr.DataArray([[5.0, 4], [2, 2], [3, 1]], {"c": list("CBA"), "axis": ["x", "y"]}, ("c", "axis")),
    "a DataArray, turned": xr.DataArray([[5.0, 4], [2, 2], [3, 1]], {"c": list("CBA"), "axis": ["x", "y"]}, ("c", "axis")).T,
    "a list": [(1, 3), 2, (4, 5)],
    "a list of DataArrays": [xr.DataArray([3.0, 1], {"axis": ["x", "y"]}, "axis"), 2, (4, 5)],
}


@pytest.mark.parametrize("radius", PAIRS.values(), ids=PAIRS)
def test_pairs_go_by_name(radius: Any) -> None:
    image = cells(ABC)
    assert_same_bits(xprep.background(image, radius), xprep.background(image, [(1, 3), (2, 2), (4, 5)]))


def test_what_background_says_of_itself_can_be_given_to_it() -> None:
    image = cells(ABC)
    sigma = xprep.background(image, [(1, 3), (2, 2), (4, 5)]).sigma.assign_coords(c=list("ABC"))
    turned = image.isel(c=[2, 0, 1])
    assert_same_bits(xprep.subtract_background(turned, 2 * sigma), xprep.subtract_background(turned, [(4, 5), (1, 3), (2, 2)]))


def test_channels_that_sigma_does_not_name_are_left_as_they_are() -> None:
    image = cells({"c": ["CD3", "DNA", "CD8"]})
    for call in (PER_CHANNEL["normalize"], PER_CHANNEL["gaussian_filter"]):
        found = call(image, {"CD3": 2, "CD8": 1})
        np.testing.assert_array_equal(found, call(image, [2, 0, 1]))
        np.testing.assert_array_equal(found[1], image[1])


REFUSED: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "an unknown channel": (ABC, {"A": 1, "D": 1}, KeyError, r"names 'D'; the image has \['A', 'B', 'C'\]"),
    "an unknown channel of a Series": (ABC, pd.Series({"A": 1.0, "B": 1, "C": 1, "D": 1}), KeyError, r"names 'D'"),
    "a missing value": (ABC, pd.Series({"A": 1.0, "B": np.nan, "C": 1}), ValueError, r"must be .*nan"),
    "two values for a channel": (ABC, pd.Series([1.0, 2, 3, 4], index=list("AABC")), ValueError, r"2 values for 'A', and .* 1"),
    "name and position": (ABC, {"A": 1, 0: 2, "B": 1, "C": 1}, ValueError, r"two values for the channel at position 0, 'A'"),
    "a lazy DataArray": (ABC, TABLE.rename_axis("c").to_xarray().chunk(), ValueError, r"is lazy.*\.compute\(\)"),
    "a DataArray of nothing": (ABC, xr.DataArray([1.0, 2, 4], dims="q"), ValueError, r"DataArray over \('q',\), whose"),
    "a set": (ABC, {1, 2, 4}, ValueError, r"is a set, which has no order"),
    "too few": (ABC, [1.0, [2.0]], ValueError, r"2 values|must be"),
}


@pytest.mark.parametrize(("coords", "given", "kind", "text"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("name", PER_CHANNEL)
def test_parameters_that_cannot_be_understood(
    name: str, coords: Any, given: Any, kind: type[Exception], text: str, nothing_computes: None
) -> None:
    with pytest.raises(kind, match=text):
        PER_CHANNEL[name](cells(coords), given)


def test_every_channel_needs_a_radius() -> None:
    with pytest.raises(ValueError, match=r"radius names \['A'\], but not the channel 'B'; give every channel its radius"):
        xprep.background(cells(ABC), {"A": 3})


def test_labels_that_are_dims_are_dims() -> None:
    image = cells(ABC)
    column = pd.Series({"x": 3.0, "y": 1.0})
    assert_same_bits(xprep.gaussian_filter(image, column), xprep.gaussian_filter(image, {"y": 1, "x": 3}))
    assert_same_bits(xprep.background(image, column), xprep.background(image, (1, 3)))
    with pytest.raises(ValueError, match=r"sigma names the dim 'A', but the image has"):
        xprep.gaussian_filter(image, {"y": 1, "A": 2})


def test_chunks_go_by_name() -> None:
    image = cells(ABC).chunk()
    chunks = pd.Series({"x": 6, "y": 5, "c": 1})
    assert xprep.normalize(image, chunks=chunks).chunks == xprep.normalize(image, chunks={"y": 5, "x": 6, "c": 1}).chunks


# What is told of channels


def test_titles_tell_channels_of_one_name_apart() -> None:
    assert channel_titles(["DAPI", "CD3", "DAPI"]) == ("DAPI (position 0)", "CD3", "DAPI (position 2)")
    assert channel_titles([(1, "DAPI"), (2, "DAPI")]) == ("1 DAPI", "2 DAPI")


@pytest.mark.filterwarnings("default")
def test_warnings_tell_which_of_two_channels() -> None:
    image = cells(NAMES["two of one name"])
    image[2] = 0
    with pytest.warns(xprep.EmptyChannelWarning, match=re.escape("in channel DAPI (position 2) of slide:")):
        xprep.normalize(image)
    image[2] = -1
    with pytest.warns(xprep.PercentileWarning, match=re.escape("p of channel DAPI (position 2) of slide is not positive")):
        xprep.normalize(image)
    image = cells(NAMES["unique"])
    image[2] = 0
    with pytest.warns(xprep.EmptyChannelWarning, match="in channel 'CD8' of slide:"):
        xprep.normalize(image)


def test_pictures_tell_which_of_two_channels() -> None:
    panels = xprep.plot_channels(cells(NAMES["two of one name"])).axes
    titles = [panel.get_title() for panel in panels if panel.get_title()]
    assert titles == ["DAPI (position 0)", "CD3", "DAPI (position 2)"]


COLORS = ["0000FF", "00FF00", "FF00FF"]


@pytest.mark.parametrize("layout", ["dual", "flat"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_equal_names_are_written_and_read_again(tmp_path: Path, layout: str, version: str) -> None:
    names = ["DAPI", "CD3", "DAPI"]
    shown = [{"label": name, "color": color, "active": True} for name, color in zip(names, COLORS, strict=True)]
    image = cells({"c": names}).assign_attrs(omero={"channels": shown})
    image.prep.to_ome_zarr(tmp_path / "a.zarr", layout=layout, version=version)
    again = xprep.open_image(tmp_path / "a.zarr")
    assert again.c.values.tolist() == names
    assert [one["color"] for one in again.attrs["omero"]["channels"]] == COLORS
    np.testing.assert_array_equal(plain(again, channels=["DAPI"]), image.values[[0, 2]])
    assert [one["color"] for one in plain(again, channels=[2, 1]).attrs["omero"]["channels"]] == [COLORS[2], COLORS[1]]
    again.isel(c=[2]).prep.to_ome_zarr(tmp_path / "one.zarr", layout=layout, version=version)
    (one,) = xprep.open_image(tmp_path / "one.zarr").attrs["omero"]["channels"]
    assert one["color"] != COLORS[0], "the second of a name looks like the first"
    again.isel(c=[2, 1, 0]).prep.to_ome_zarr(tmp_path / "b.zarr", layout=layout, version=version)
    assert xprep.open_image(tmp_path / "b.zarr").c.values.tolist() == names[::-1]


def test_levels_of_names_are_stored_beside_each_other(tmp_path: Path) -> None:
    image = cells(NAMES["levels"]).chunk({"y": 10})
    xprep.normalize(image, sigma={(1, "CD3"): 1}).prep.to_ome_zarr(tmp_path / "a.zarr")
    again = xprep.open_image(tmp_path / "a.zarr")
    assert again.c.values.tolist() == ["1 DAPI", "1 CD3", "2 DAPI"]
    assert again.drop_vars("c").set_index(c=["cycle", "marker"]).indexes["c"].equals(CYCLES)
    frames = image.isel(y=0, drop=True).expand_dims(y=[0.0, 1.0], axis=1).rename(c="t")
    with pytest.raises(ValueError, match=r"the coordinate 't' has several levels.*image\.reset_index\('t'\)"):
        frames.prep.to_ome_zarr(tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    xprep.to_ome_zarr(frames.reset_index("t"), tmp_path / "b.zarr")
    assert xprep.open_image(tmp_path / "b.zarr").marker.values.tolist() == ["DAPI", "CD3", "DAPI"]


# Where all is text: recipes and the command line. (names of the channels, what is written, positions)

WRITTEN: dict[str, tuple[list[str] | None, str, list[int], list[int]]] = {
    "numbers": (["488", "561", "640"], "640, 488", [2, 0], [2]),
    "numbers with zeros before": (["007", "7", "0x1F"], "0x1F, 007", [2, 0], [2]),
    "words that YAML 1.1 takes for others": (["NO", "Y", "on"], "on, NO, Y", [2, 0, 1], [2]),
    "null and true": (["null", "true", "~"], "~, null, true", [2, 0, 1], [2]),
    "fractions": (["1.50", "1e3", "1.5"], "1.50, 1e3", [0, 1], [0]),
    "names that are other positions": (["1", "2", "0"], "0, 1", [2, 0], [2]),
    "a name of two": (["DAPI", "CD3", "DAPI"], "DAPI, CD3", [0, 2, 1], [0, 2]),
    "positions": (["DAPI", "CD3", "DAPI"], "2, CD3", [2, 1], [2]),
    "positions without names": (None, "2, 0", [2, 0], [2]),
}
READ: dict[str, Callable[[Path, str], Any]] = {
    "recipe": lambda folder, text: _of_recipe(folder, f"channels: [{text}]")["channels"],
    "command": lambda _, text: parse_names(text),
}
READ_QUOTED: dict[str, Callable[[Path, str], Any]] = {
    "recipe, quoted": lambda folder, text: _of_recipe(folder, f"channels: {json.dumps(text.split(', '))}")["channels"],
    "command, JSON": lambda _, text: parse_names(json.dumps(text.split(", "))),
}
CALLED = {f"{how}: {row}": (read, *WRITTEN[row][:3]) for how, read in READ.items() for row in WRITTEN}
# What stands in quotes is a name, and no position.
CALLED |= {
    f"{how}: {row}": (read, *WRITTEN[row][:3])
    for how, read in READ_QUOTED.items()
    for row in WRITTEN
    if not row.startswith("positions")
}


def _of_recipe(folder: Path, parameters: str) -> Any:
    text = f"inputs: a.zarr\noutput: b.zarr\nsteps:\n  - normalize: {{{parameters}}}\n"
    (folder / "recipe.yaml").write_text(text)
    return load_recipe(folder / "recipe.yaml").steps[0].parameters


@pytest.mark.parametrize(("read", "names", "text", "positions"), CALLED.values(), ids=CALLED)
def test_channels_are_called_as_they_are_written(
    read: Callable[[Path, str], Any], names: list[str] | None, text: str, positions: list[int], tmp_path: Path
) -> None:
    image = cells({} if names is None else {"c": names})
    np.testing.assert_array_equal(plain(image, channels=read(tmp_path, text)), image.values[positions])


def test_a_number_in_quotes_is_no_position(tmp_path: Path) -> None:
    for read in READ_QUOTED.values():
        with pytest.raises(KeyError, match="names '2'"):
            plain(cells(NAMES["two of one name"]), channels=read(tmp_path, "2"))


@pytest.mark.parametrize(("names", "text", "positions", "first"), WRITTEN.values(), ids=WRITTEN)
def test_values_by_names_that_are_written(
    names: list[str] | None, text: str, positions: list[int], first: list[int], tmp_path: Path
) -> None:
    image = cells({} if names is None else {"c": names})
    one, *_ = text.split(", ")
    wanted = plain(image, sigma=[3 if i in first else 0 for i in range(3)])
    for sigma in (parse_value(f"{one}=3"), _of_recipe(tmp_path, f"sigma: {{{one}: 3}}")["sigma"]):
        np.testing.assert_array_equal(plain(image, sigma=sigma), wanted)
        np.testing.assert_array_equal(xprep.gaussian_filter(image, sigma), wanted)


def test_a_recipe_and_a_command_over_a_store_whose_channels_are_numbers(tmp_path: Path) -> None:
    image = cells({"c": ["488", "561", "488"]})
    image.prep.to_ome_zarr(tmp_path / "in.zarr", scale_factors=())
    wanted = xprep.normalize(image, channels=["561", "488"], sigma={"488": 2})
    step = "normalize: {channels: [561, 488], sigma: {488: 2}}"
    (tmp_path / "recipe.yaml").write_text(f"inputs: {tmp_path}/in.zarr\noutput: {tmp_path}/a.zarr\nsteps:\n  - {step}\n")
    assert xprep.run(tmp_path / "recipe.yaml", progress=False).ok
    arguments = ["normalize", f"{tmp_path}/in.zarr", f"{tmp_path}/b.zarr", "--channels", "561,488", "--sigma", "488=2"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    for name in "ab":
        found = xprep.open_image(tmp_path / f"{name}.zarr")
        assert found.c.values.tolist() == ["561", "488", "488"]
        np.testing.assert_array_equal(found, wanted)
    shown = CliRunner().invoke(app, ["info", f"{tmp_path}/a.zarr"])
    assert all(title in shown.output for title in ("561", "488 (position 1)", "488 (position 2)"))
