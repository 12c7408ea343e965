"""`normalize` against the reference: harpy-analysis 0.5.2 with exact percentiles (tests/data/golden/harpy).

Deviations, each by name:

- ``u16_no_cast``: with ``dtype=None`` the reference truncates the percentiles of an integer image to integers; xprep
  never does. It is compared with the oracle, and shown to differ from the reference by that alone.
- ``zero_channel``, ``multi_zero_channel_in_one``: the reference makes everything NaN. ``empty="nan"`` equals it; the
  default ``empty="skip"`` leaves empty channels out, and is compared with the oracle.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xprep
from tests import paths
from tests.helpers.sources import counted
from tests.laws import dense

FOLDER = paths.GOLDEN
CASES = {case["case"]: case for case in json.loads((FOLDER / "harpy" / "index.json").read_text())}
TRUNCATED = ("u16_no_cast",)
EMPTY = ("zero_channel", "multi_zero_channel_in_one")
RTOL, MARGIN = 2e-5, 1e-5

pytestmark = pytest.mark.filterwarnings("ignore::xprep.EmptyChannelWarning", "ignore::xprep.PercentileWarning")
every_case = pytest.mark.parametrize("case", [name for name in CASES if name not in TRUNCATED])
# Chunks of c, others, y, x: whole; ragged and coprime with everything; narrower than the halo of 8.
CHUNKINGS: dict[str, Any] = {"whole": None, "ragged": (2, 3, 17, 23), "narrow": (1, 1, 72, 5)}


def load(case: str) -> tuple[list[xr.DataArray], list[np.ndarray], dict[str, Any]]:
    """Return the images of a case, what the reference made of them, and the parameters in our words."""
    entry = CASES[case]
    stored = np.load(FOLDER / entry["file"])
    parameters = {name: value for name, value in entry["args"].items() if name not in ("store", "chunks", "c_coords")}
    if "cast_dtype" in parameters:
        parameters["dtype"] = parameters.pop("cast_dtype")
    names = entry["args"].get("c_coords")
    images = []
    for i in range(sum(key.startswith("in_") for key in stored)):
        dims = entry["arrays"][f"in_{i}"]["dims"].split()
        images.append(xr.DataArray(stored[f"in_{i}"], dims=dims, coords={"c": names} if names else {}))
    return images, [stored[f"out_exact_{i}"] for i in range(len(images))], parameters


def chunked(image: xr.DataArray, chunks: tuple[int, ...] | None) -> xr.DataArray:
    if chunks is None:
        return image.chunk()
    c, other, y, x = chunks
    return image.chunk({"c": c, "z": other, "y": y, "x": x} if "z" in image.dims else {"c": c, "y": y, "x": x})


def as_tree(images: list[xr.DataArray]) -> xr.DataTree:
    return xr.DataTree.from_dict({f"field {i}": image.to_dataset(name="image") for i, image in enumerate(images)})


def check(case: str, results: list[xr.DataArray]) -> None:
    images, desired, _ = load(case)
    for image, result, want in zip(images, results, desired, strict=True):
        assert result.dims == image.dims
        have = result.values
        assert have.dtype == want.dtype
        doubtful = threshold_is_close(case, images)
        differs = np.isnan(have) != np.isnan(want)
        assert not (differs & ~doubtful[id(image)]).any(), f"NaN differ at {differs.sum()} values"
        both = ~np.isnan(have) & ~np.isnan(want)
        np.testing.assert_allclose(have[both], want[both], rtol=RTOL, atol=0)


def threshold_is_close(case: str, images: list[xr.DataArray]) -> dict[int, Any]:
    """Return for every image where the blurred sum is within 1e-5 of the threshold: only there may NaN differ."""
    stored = np.load(FOLDER / CASES[case]["file"])
    _, _, given = load(case)
    if given.get("p_sum", 5) is None or "exact_percentile_p_sum" not in stored:
        return {id(image): np.False_ for image in images}
    threshold = stored["exact_percentile_p_sum"].mean()
    positions = [list(image.coords["c"].values).index(c) for image in images[:1] for c in given.get("channels", [])] or slice(
        None
    )
    found = {}
    for image in images:
        x = image.values.astype(np.float64)[positions]
        if given.get("p", 99) is not None:
            x = x / stored["exact_percentile_p"].mean(axis=0).reshape(-1, *(1,) * (x.ndim - 1))
        sigma = given.get("sigma", 2)
        blurred = dense._blur_planes(x, np.broadcast_to(0.0 if sigma is None else np.asarray(sigma, float), len(x)))
        with np.errstate(invalid="ignore"):
            found[id(image)] = np.abs(blurred.sum(axis=0) - threshold) <= MARGIN * abs(threshold)
    return found


def of_tree(tree: xr.DataTree) -> list[xr.DataArray]:
    return [tree[f"field {i}/image"] for i in range(len(tree.children))]


def run(case: str, chunks: tuple[int, ...] | None, **more: Any) -> list[xr.DataArray]:
    images, _, parameters = load(case)
    tree = as_tree([chunked(image, chunks) for image in images])
    return of_tree(xprep.normalize(tree, **parameters, **{"empty": "nan"} | more))


@every_case
@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
def test_equal_to_the_reference(case: str, chunks: tuple[int, ...] | None) -> None:
    check(case, run(case, chunks))


@every_case
def test_equal_to_the_reference_with_every_intermediate(case: str, intermediates: str) -> None:
    check(case, run(case, (1, 2, 19, 31), intermediates=intermediates))


@every_case
def test_equal_to_the_reference_from_a_source(case: str) -> None:
    """Read from stores' chunks, in tiles that hold one chunk each, with every pass reading anew."""
    images, _, parameters = load(case)
    read = [counted(image, {"c": 1, "z": 1, "y": 20, "x": 24})[0] for image in images]
    with xprep.set_options(tile_bytes=1, intermediates="recompute"):
        result = xprep.normalize(as_tree(read), **parameters, empty="nan")
    check(case, of_tree(result))


def test_equal_to_the_reference_under_distributed(on_cluster: Any) -> None:
    for case in CASES:
        if case in TRUNCATED:
            continue
        lazy = run(case, (1, 2, 40, 40))
        check(
            case,
            [
                xr.DataArray(found, dims=one.dims)
                for found, one in zip(on_cluster.gather(on_cluster.compute([one.data for one in lazy])), lazy, strict=True)
            ],
        )


@pytest.mark.parametrize(
    "case",
    [name for name, entry in CASES.items() if entry["args"].get("c_coords") is None and "in_1" not in entry["arrays"]],
)
def test_images_alone_are_the_same_as_in_a_tree(case: str) -> None:
    images, _, parameters = load(case)
    alone = xprep.normalize(images[0], **parameters, empty="nan")
    np.testing.assert_array_equal(alone.values, run(case, None)[0].values)


# The deliberate deviations


@pytest.mark.parametrize("case", TRUNCATED)
def test_percentiles_are_never_truncated_to_integers(case: str) -> None:
    images, reference, parameters = load(case)
    (desired,) = dense.normalize([image.values for image in images], **parameters)
    (result,) = run(case, (1, 1, 17, 23))
    assert result.dtype == np.float64
    np.testing.assert_allclose(result.values, desired, rtol=1e-12)
    exact = np.load(FOLDER / CASES[case]["file"])["exact_percentile_p"]
    assert (exact == np.trunc(exact)).all(), "the reference's percentiles are whole numbers"
    np.testing.assert_allclose(result.values, reference[0], rtol=2e-3)
    assert not np.allclose(result.values, reference[0], rtol=RTOL, equal_nan=True)


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("chunks", CHUNKINGS.values(), ids=CHUNKINGS)
def test_empty_channels_are_left_out(case: str, chunks: tuple[int, ...] | None) -> None:
    images, reference, parameters = load(case)
    assert all(np.isnan(one).all() for one in reference), "the reference makes everything NaN"
    desired = dense.normalize([image.values for image in images], **parameters, empty="skip")
    for result, want in zip(run(case, chunks, empty="skip"), desired, strict=True):
        np.testing.assert_array_equal(np.isnan(result.values), np.isnan(want))
        np.testing.assert_allclose(result.values, want, rtol=RTOL)
        assert not np.isnan(result.values).all()
