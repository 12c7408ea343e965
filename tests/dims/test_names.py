"""What comes to the door of an operation: dims with other tools' names, other dims, arrays of unknown length."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr

import xprep
from tests.laws import operations_of_rois as rois
from tests.laws.operations import OPERATIONS, Operation, assert_same_bits, variables
from xprep.accessor import ImagePrep

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")

PIXELS = np.random.default_rng(5).lognormal(4, 1, (2, 3, 20, 24)).astype("float32")
IMAGE = xr.DataArray(PIXELS, {"y": 0.5 * np.arange(20), "x": 0.5 * np.arange(24)}, ("t", "c", "y", "x"), "slide")


def _call(operation: Operation) -> Callable[..., Any]:
    """Return the operation with its example; a table of ROIs is made once, of an image that is one."""
    options = dict(operation.example)
    if "seed" not in options:
        return partial(operation.call, **options)
    table = rois.make_table(rois.make_rois(IMAGE, options.pop("seed")))
    return lambda image: getattr(xprep, operation.name)(image, table, **options)


CALLS: dict[str, Callable[..., Any]] = {operation.name: _call(operation) for operation in OPERATIONS}
# What else takes an image, and gives none back.
DOORS: dict[str, Callable[..., Any]] = {
    "to_ome_zarr": lambda image: xprep.to_ome_zarr(image, "memory://never.zarr"),
    "plot_channels": xprep.plot_channels,
    "plot_rois": lambda image: xprep.plot_rois(image, rois.make_table(rois.make_rois(IMAGE, 1))),
}
ELSEWHERE = {"plan", "plot_projections", "fit_normalize", "compare", "plot_histograms", "view"}  # of no dims, of z, as others


def test_every_operation_is_in_the_table() -> None:
    """A new operation joins by a row in `tests.laws.operations`."""
    methods = {name for name in vars(ImagePrep.__base__) if not name.startswith("_")}
    rows = {name for name in CALLS if "(" not in name}
    assert methods == {*rows, *DOORS, *ELSEWHERE}


def containers(image: xr.DataArray) -> dict[str, Any]:
    dataset = image.to_dataset(name="slide")
    return {"DataArray": image, "Dataset": dataset, "DataTree": xr.DataTree.from_dict({"/site": dataset})}


def advice(error: BaseException) -> str:
    """Return the call that an error says to make."""
    found = re.search(r"image(?:\.(?:rename|swap_dims|drop_vars)\([^)]*\))+", str(error))
    assert found, error
    return found[0]


# Dims of other tools: what t, c, y, x are called, and coordinates that are in the way
Made = Callable[[xr.DataArray], xr.DataArray]
NEARLY: dict[str, Made] = {
    "channel": lambda image: image.rename(c="channel"),
    "channels, and their names": lambda image: image.assign_coords(c=list("abc")).rename(c="channels"),
    "capital letters": lambda image: image.rename(t="T", c="C", y="Y", x="X"),
    "a capital C": lambda image: image.rename(c="C"),
    "time": lambda image: image.rename(t="time"),
    "frames": lambda image: image.rename(t="frames"),
    "timepoint and Channel": lambda image: image.rename(t="timepoint", c="Channel"),
    "row and col": lambda image: image.drop_vars(["y", "x"]).rename(y="row", x="col"),
    "height and width": lambda image: image.rename(y="height", x="width"),
    "Y only": lambda image: image.rename(y="Y"),
    "depth": lambda image: image.rename(t="depth"),
    "a capital Z": lambda image: image.rename(t="Z"),
    "no names": lambda image: xr.DataArray(image.isel(t=0).data, name="slide"),
    "no names, a plane": lambda image: xr.DataArray(image.data[0, 0], name="slide"),
    "channel, beside a coordinate c along it": lambda image: image.rename(c="channel").assign_coords(c=("channel", list("abc"))),
    "channel, beside another coordinate c": lambda image: image.rename(c="channel").assign_coords(c=3),
    "lat and lon": lambda image: image.rename(y="lat", x="lon"),
}
NO_IMAGES = ("lat and lon",)  # in a Dataset nobody knows that this is an image


@pytest.mark.parametrize("make", NEARLY.values(), ids=NEARLY)
@pytest.mark.parametrize("name", [*CALLS, *DOORS])
def test_dims_of_other_tools_are_refused_with_the_rename(name: str, make: Made, nothing_computes: None) -> None:
    """The advice is taken: it gives the image with dims that the operation knows."""
    image = make(IMAGE)
    free = name in ("quantile", "project")  # they take tables too, whose dims are nobody's
    for kind, container in containers(image.chunk()).items():
        if "lat" in image.dims and (free or kind != "DataArray"):
            continue
        with pytest.raises(ValueError, match=r"[Rr]ename: image") as caught:
            {**CALLS, **DOORS}[name](container)
        renamed = eval(advice(caught.value), {"image": image})
        assert {"y", "x"} <= set(renamed.dims) <= set("tczyx")
        np.testing.assert_array_equal(renamed, image)
        if any(coord.dims == (image.dims[1],) for coord in image.coords.values()):
            assert renamed.c.values.tolist() == list("abc"), "names of channels are no price"


@pytest.mark.parametrize("name", CALLS)
def test_the_advice_gives_what_the_operation_gives_of_the_right_dims(name: str) -> None:
    image = IMAGE.assign_coords(c=list("abc")).rename(c="channel", y="Y", x="X")
    with pytest.raises(ValueError, match="rename") as caught:
        CALLS[name](image)
    found = CALLS[name](eval(advice(caught.value), {"image": image}))
    for one in variables(found).values():
        assert not {"channel", "Y", "X"} & set(one.dims)
    assert_same_bits(found, CALLS[name](IMAGE))


# Dims that are really others: planes of them are planes, and what takes pixels together cannot know
FOREIGN: dict[str, Made] = {
    "a round of staining": lambda image: image.rename(t="round"),
    "wells, of rows and columns": lambda image: image.expand_dims(row=2, col=1).isel(t=0),
    "two that could be y": lambda image: image.isel(t=0).expand_dims(row=2, height=1),
    "a channel beside c": lambda image: image.rename(t="channel"),
}


def test_of_two_dims_that_mean_one_none_is_taken() -> None:
    image = IMAGE.rename(t="frame").expand_dims(time=2)
    with pytest.raises(ValueError, match=r"it cannot know what 'time' is"):
        xprep.normalize(image)
    with pytest.raises(ValueError, match=r"rename\(\{'frame': 't'\}\)"):
        xprep.normalize(image.isel(time=0))


def test_a_picture_of_a_volume_needs_z() -> None:
    volume = IMAGE.isel(t=0).expand_dims(depth=2)
    with pytest.raises(ValueError, match=r"needs the dim 'z'.*Rename: image\.rename\(\{'depth': 'z'\}\)") as caught:
        xprep.plot_projections(volume)
    xprep.plot_projections(eval(advice(caught.value), {"image": volume}))
    with pytest.raises(ValueError, match=r"needs the dim 'z', but .* \('channel', 'y', 'x'\)\. Was a position"):
        xprep.plot_projections(IMAGE.isel(t=0).rename(c="channel"))
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        xprep.plot_projections(unknown("t").rename(t="z"))


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_other_dims_are_refused_where_pixels_are_taken_together(make: Made) -> None:
    image = make(IMAGE)
    dim = next(dim for dim in image.dims if dim not in tuple("tczyx"))
    for container in containers(image).values():
        with pytest.raises(ValueError, match=rf"it cannot know what '{dim}' is.*image\.isel\(\{{'{dim}': 0\}}\)") as caught:
            xprep.normalize(container)
    others = [name for name in image.dims if name not in (*"tczyx", dim)]
    single = image.isel(dict.fromkeys(others, 0))
    with pytest.raises(ValueError, match=r"DataTree\.from_dict") as caught:
        xprep.normalize(single)
    tree = eval(re.search(r"xarray\.DataTree\.from_dict\(\{.*\}\)", str(caught.value))[0], {"image": single, "xarray": xr})  # type: ignore[index]
    assert len(xprep.normalize(tree).children) == image.sizes[dim]
    xprep.normalize(single.isel({dim: 0}))


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("normalize", "normalize(statistics", "quantile")])
def test_other_dims_are_a_batch_where_planes_are_apart(name: str) -> None:
    found, wanted = CALLS[name](IMAGE.rename(t="round")), CALLS[name](IMAGE)
    for one, same in zip(variables(found).values(), variables(wanted).values(), strict=True):
        assert one.dims == tuple("round" if dim == "t" else dim for dim in same.dims)
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_other_dims_cannot_be_written(make: Made, tmp_path: Path) -> None:
    image = make(IMAGE)
    while foreign := [dim for dim in image.dims if dim not in tuple("tczyx")]:
        with pytest.raises(ValueError, match=rf"the image has '{foreign[0]}'") as caught:
            image.prep.to_ome_zarr(tmp_path / "out.zarr")
        assert not (tmp_path / "out.zarr").exists()
        way = re.search(r"image\.isel\(\{[^}]*\}\)", str(caught.value))
        assert way
        if found := re.search(r"image\.rename\(\{[^}]*\}\)", str(caught.value)):
            assert eval(found[0], {"image": image}).sizes
        image = eval(way[0], {"image": image})
    image.prep.to_ome_zarr(tmp_path / "out.zarr")


# Unknown lengths


def unknown(axis: str, image: xr.DataArray = IMAGE) -> xr.DataArray:
    """Return an image whose length along ``axis`` depends on its values."""
    data = da.from_array(image.values, chunks=tuple(max(1, n // 2) for n in image.shape))
    number = image.get_axis_num(axis)
    keep = data.mean(axis=tuple(i for i in range(image.ndim) if i != number)) > 0
    return xr.DataArray(data[(slice(None),) * number + (keep,)], dims=image.dims, name=image.name)


def known(image: xr.DataArray) -> xr.DataArray:
    image.data.compute_chunk_sizes()
    return image


BESIDE: dict[str, Callable[[xr.DataArray], Any]] = {
    "labels": lambda labels: xprep.to_ome_zarr(IMAGE, "memory://never.zarr", labels={"cells": labels}),
    "mask": lambda labels: xprep.mask(IMAGE, labels),
    "mask, an array": lambda labels: xprep.mask(IMAGE, labels.data),
    "from_labels": xprep.RoiTable.from_labels,
    "from_labels, an array": lambda labels: xprep.RoiTable.from_labels(labels.data),
    "windows": lambda labels: xprep.rois.phase_correlation(labels.data, labels.data),
    "windows with dims": lambda labels: xprep.rois.in_vs_out(labels.rename(y="dy", x="dx"), labels.rename(y="dy", x="dx")),
}


@pytest.mark.parametrize("axis", IMAGE.dims)
@pytest.mark.parametrize("name", [*CALLS, *DOORS, "plan"])
def test_unknown_lengths_are_refused_by_name(name: str, axis: str, nothing_computes: None) -> None:
    image = unknown(axis)
    for container in (image, image.to_dataset(name="slide"), xr.DataTree.from_dict({"/site": image.to_dataset(name="slide")})):
        with pytest.raises(ValueError, match=r"depends on values \(a boolean index\).*image\.data\.compute_chunk_sizes\(\)"):
            {**CALLS, **DOORS, "plan": xprep.plan}[name](container)


@pytest.mark.parametrize("name", CALLS)
def test_lengths_that_were_found_out(name: str) -> None:
    image = known(unknown("t")).assign_coords(y=IMAGE.y, x=IMAGE.x)
    assert_same_bits(CALLS[name](image), CALLS[name](IMAGE.chunk()))


@pytest.mark.parametrize("call", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("axis", ["y", "x"])
def test_unknown_lengths_of_what_comes_with_an_image(call: Callable[[xr.DataArray], Any], axis: str) -> None:
    with pytest.raises(ValueError, match=r"(labels|rois|image|windows|static|masks)(\.data)?\.compute_chunk_sizes\(\)"):
        call(unknown(axis, xr.DataArray(np.ones((6, 8), "u4"), dims=("y", "x"))))


# Chunks of length 0: what selections and concatenations leave


def with_empty_chunks(image: xr.DataArray) -> xr.DataArray:
    return image.chunk({dim: _cuts(n) for dim, n in image.sizes.items()})


def _cuts(length: int) -> Sequence[int]:
    return (0, length // 2, 0, 0, length - length // 2, 0)


@pytest.mark.parametrize("name", CALLS)
def test_chunks_of_length_0(name: str) -> None:
    image = with_empty_chunks(IMAGE)
    assert image.chunks[0] == (0, 1, 0, 0, 1, 0)
    whole = IMAGE.chunk({dim: (n // 2, n - n // 2) for dim, n in IMAGE.sizes.items()})
    assert_same_bits(CALLS[name](image), CALLS[name](whole))


def test_chunks_of_length_0_are_written_and_drawn(tmp_path: Path) -> None:
    image = with_empty_chunks(IMAGE)
    labels = (image[0, 0] > 50).astype("u4")
    image.prep.to_ome_zarr(tmp_path / "out.zarr", labels={"cells": labels}, scale_factors=(2,))
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "out.zarr"), IMAGE)
    np.testing.assert_array_equal(xprep.open_image(tmp_path / "out.zarr", label="cells"), labels)
    np.testing.assert_array_equal(xprep.mask(image, labels), xprep.mask(IMAGE, labels.compute()))
    table, same = (xprep.RoiTable.from_labels(one) for one in (labels, labels.compute()))
    assert table.fingerprint == same.fingerprint
    assert xprep.plan(image).bytes_made == IMAGE.nbytes
    assert len(xprep.plot_channels(image.isel(t=0)).axes) == 6
