"""Where chains open images: stores of every kind, dask arrays of others, memory; and how results are written and read."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from zarr.storage import MemoryStore, ZipStore

import xprep
from tests.helpers.servers import Server
from tests.laws.dense import DoubtfulError, pyramid
from tests.laws.operations import assert_close


@dataclass(frozen=True)
class Lab:
    """What a chain may use: a folder, and where there are any, an S3 server and a client of a cluster."""

    folder: Path
    server: Server | None = None
    client: Any = None

    def path(self) -> Path:
        return self.folder / f"{uuid.uuid4().hex[:8]}.zarr"


@contextmanager
def lab(server: Server | None = None, client: Any = None) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="xprep-chain-"))
    try:
        yield Lab(folder, server, client)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def from_numpy(image: xr.DataArray, here: Lab) -> xr.DataArray:
    return image


def from_dask(image: xr.DataArray, here: Lab, chunks: Mapping[str, Any]) -> xr.DataArray:
    """A graph of somebody else's."""
    cut = image.chunk(chunks)
    return cut.copy(data=cut.data.map_blocks(np.array, dtype=image.dtype))


def from_zarr(image: xr.DataArray, here: Lab, chunks: Mapping[str, int]) -> xr.DataArray:
    """`dask.array.from_zarr`."""
    sizes = tuple(chunks.get(dim, n) for dim, n in image.sizes.items())
    zarr.create_array(url := here.path(), data=image.values, chunks=sizes)
    return image.copy(data=da.from_zarr(str(url)))


def from_bare(image: xr.DataArray, here: Lab, chunks: Mapping[str, int]) -> xr.DataArray:
    """A Zarr array with dimension names."""
    sizes = tuple(chunks.get(dim, n) for dim, n in image.sizes.items())
    zarr.create_array(url := here.path(), data=image.values, chunks=sizes, dimension_names=list(image.dims))
    return xprep.open_image(url)


def from_group(image: xr.DataArray, here: Lab, zarr_format: int, chunks: Mapping[str, int], packed: bool = False) -> xr.DataArray:
    """What xarray wrote; `packed` as climate data are (of small integers, exactly)."""
    url = here.path()
    sizes = tuple(chunks.get(dim, n) for dim, n in image.sizes.items())
    packing = {"dtype": "int16", "scale_factor": 0.25, "add_offset": 3.0, "_FillValue": -9999} if packed else {}
    written = image.astype("float32") if packed else image
    written.to_dataset(name="image").to_zarr(
        url, zarr_format=zarr_format, consolidated=False, encoding={"image": {"chunks": sizes, **packing}}
    )
    return xprep.open_image(url)


def through_ome(
    image: xr.DataArray, here: Lab, *, kind: str = "folder", tree: bool = False, label: bool = False, **how: Any
) -> xr.DataArray:
    """`to_ome_zarr` and `open_image`; on a disk, in memory, a zip file or a bucket."""
    url, options = _ome_place(kind, here)
    if label:
        xr.zeros_like(image, dtype="float32").prep.to_ome_zarr(url, labels={"cells": image}, storage_options=options, **how)
        return xprep.open_image(url, label="cells", storage_options=options)
    image.prep.to_ome_zarr(url, storage_options=options, **how)
    if kind == "zip":
        url = _zipped(url)
    check_levels(xprep.open_tree(url, storage_options=options), how.get("scale_factors", ()), how.get("method", "mean"))
    if tree:
        return xprep.open_tree(url, storage_options=options)["scale0/image"]
    return xprep.open_image(url, storage_options=options)


def check_levels(tree: xr.DataTree, factors: Sequence[int], method: str) -> None:
    """Compare every level with what it should be of the one before."""
    assert len(tree.children) == len(factors) + 1
    for n, factor in enumerate(factors):
        before, level = (tree[f"scale{k}/image"].compute() for k in (n, n + 1))
        with contextlib.suppress(DoubtfulError):
            desired = pyramid(before, (factor,), method=method).transpose(*level.dims)
            assert level.shape == desired.shape, f"level {n + 1} is of {level.shape}, not {desired.shape}"
            largest = float(np.abs(before.values.astype(float)).max(initial=0, where=np.isfinite(before.values)))
            assert_close(level.values, desired.values, 1e-6 if method == "gaussian" else 1e-7, scale=largest)


def _ome_place(kind: str, here: Lab) -> tuple[Any, dict[str, Any] | None]:
    if kind == "s3" and here.server is not None:
        return f"{here.server.new_bucket()}/a.zarr", here.server.storage_options()
    return (MemoryStore() if kind == "memory" else here.path()), None


def _zipped(folder: Path) -> ZipStore:
    with zipfile.ZipFile(f"{folder}.zip", "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and ".xprep" not in path.parts:
                packed.write(path, path.relative_to(folder))
    return ZipStore(f"{folder}.zip", mode="r")


def through_xarray(image: xr.DataArray, here: Lab, zarr_format: int = 3, reader: str = "xprep") -> xr.DataArray:
    """xarray's own `to_zarr`, and either reader."""
    url = here.path()
    image.to_dataset(name="image").to_zarr(url, zarr_format=zarr_format, consolidated=False)
    return xprep.open_image(url) if reader == "xprep" else xr.open_zarr(url, consolidated=False)["image"]


PLACES: Mapping[str, Callable[..., xr.DataArray]] = {
    "numpy": from_numpy,
    "dask": from_dask,
    "da.from_zarr": from_zarr,
    "bare": from_bare,
    "xarray group": from_group,
    "ome": through_ome,
    "to_zarr": through_xarray,
}


def same_pixels(back: xr.DataArray, image: xr.DataArray, bare: bool = False) -> xr.DataArray:
    """Return `image` as `back` should be: its dims in the stored order, with the coordinates that were added."""
    straight = image.transpose(*back.dims)
    for dim in set(image.dims) & set(image.coords) & set(back.coords):
        have, want = back.coords[dim].values, image.coords[dim].values
        if dim == "c":
            assert list(map(str, have)) == list(map(str, want)), f"channels {have} for {want}"
        else:
            said = f"places along {dim}"
            np.testing.assert_allclose(have.astype(float), want.astype(float), rtol=1e-6, atol=1e-9, err_msg=said)
    lost = set() if bare else (set(image.dims) & set(image.coords)) - set(back.coords)
    assert not lost, f"coordinates {sorted(lost)} are gone"
    return xr.DataArray(straight.values, back.coords, back.dims, back.name, back.attrs)
