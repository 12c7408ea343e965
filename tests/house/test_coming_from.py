"""The page for those who come from other tools: every row of it runs, and every function of cellector has one."""

import re

import numpy as np
import pytest
import xarray as xr

from tests import paths

PAGE = paths.ROOT / "docs" / "coming_from.md"
ROW = re.compile(r"^\| (?P<there>.+?) \| `(?P<here>[^`]+)` \| (?P<differs>.*?) ?\|$")


def rows():
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("|---") and "what differs" not in line:
            match = ROW.match(line)
            assert match, f"a row needs one call in its second column: {line}"
            found.append(pytest.param(match["here"], id=match["here"][:60]))
    return found


@pytest.fixture(scope="module")
def names():
    """What the page calls image, stack, movie, table …"""
    import xprep

    rng = np.random.default_rng(0)
    micrometers = {dim: (dim, np.arange(n) * step, {"units": "micrometer"}) for dim, n, step in (("y", 40, 0.5), ("x", 44, 0.5))}
    image = xr.DataArray(rng.gamma(2, 100, (3, 40, 44)).astype("u2") + 1, dims=("c", "y", "x"), coords=micrometers)
    stack = xr.DataArray(
        rng.gamma(2, 100, (4, 40, 44)),
        dims=("z", "y", "x"),
        coords={**micrometers, "z": ("z", np.arange(4) * 2.0, {"units": "micrometer"})},
    )
    centers = rng.integers(10, 30, (6, 2))
    y, x = (list(centers[:, axis, None] + rng.integers(-3, 4, (6, 9))) for axis in range(2))
    lam, plane = list(rng.random((6, 9)).astype("f4") + 0.1), np.zeros(6, int)
    table = xprep.RoiTable.from_pixels(lam, y, x, plane)
    flat = xprep.rois.flatten_roi_data(lam, y, x)
    centroids = dict(zip(("zc", "yc", "xc"), xprep.rois.get_roi_centroids(lam=lam, zpix=plane, ypix=y, xpix=x), strict=True))
    planes = stack.values
    cells = [{"ypix": a, "xpix": b, "lam": w, "overlap": a > 20, "iplane": 0} for a, b, w in zip(y, x, lam, strict=True)]
    labels = xr.DataArray(np.kron(np.arange(20).reshape(4, 5), np.ones((10, 9), int))[:, :44], dims=("y", "x"))
    return {
        "xprep": xprep,
        "rois": xprep.rois,
        "image": image.chunk(y=17),
        "stack": stack.chunk(z=3),
        "fields": xr.DataTree.from_dict({name: one.to_dataset(name="image") for name, one in (("a", image), ("b", image + 3))}),
        "movie": xr.DataArray(rng.random((5, 40, 44)), dims=("t", "y", "x")).chunk(t=2, y=16),
        "reference": stack.isel(z=0, drop=True).chunk(x=20),
        "planes": planes,
        "labels": labels,
        "table": table,
        "lam": lam,
        "ypix": y,
        "xpix": x,
        "plane": plane,
        "stat": np.array(cells, object),
        "masks": xprep.rois.get_centered_masks(flat, centroids, width=7),
        "windows": xprep.rois.get_centered_reference(planes, centroids, width=7),
        "flat": flat,
        "centroids": centroids,
    }


@pytest.mark.parametrize("call", rows())
def test_a_row_runs(call, names, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    result = eval(call, dict(names))
    assert result is not None
    if hasattr(result, "compute"):
        values = result.compute()
        nodes = values.subtree if isinstance(values, xr.DataTree) else [values]
        arrays = [values] if isinstance(values, xr.DataArray) else [one for node in nodes for one in node.data_vars.values()]
        assert all(np.isfinite(array.values).any() for array in arrays)
    if "plot" in call:
        from matplotlib import pyplot

        result.canvas.draw()
        pyplot.close("all")


def test_every_function_of_cellector_has_a_row(names):
    from xprep import rois

    calls = " ".join(parameter.values[0] for parameter in rows())
    functions = [name for name in rois.__all__ if name != "RoiTable"]
    assert len(functions) == 19
    assert [name for name in functions if f"rois.{name}(" not in calls] == []
