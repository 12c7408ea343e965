"""Plates, wells and stores of several series as microscopes leave them: fields of several shapes, labels, some not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import xprep

ACQUISITIONS = [{"id": 0, "name": "first day", "maximumfieldcount": 2}, {"id": 7, "name": "second day"}]


def field_image(seed: int, size: int = 16) -> xr.DataArray:
    """Return a field of view; every third is wider."""
    values = np.random.default_rng(seed).gamma(2, 300, (2, size, size + 8 * (seed % 3 == 1))).astype("uint16")
    places = {dim: (dim, 0.5 * np.arange(n), {"units": "micrometer"}) for dim, n in zip("yx", values.shape[1:], strict=True)}
    coords: dict[str, Any] = {"c": ["DAPI", "CD3"], **places}
    return xr.DataArray(values, coords, ("c", "y", "x"), f"field {seed}")


def cells_of(image: xr.DataArray) -> xr.DataArray:
    """Return labels that lie on a field."""
    return (image[0] > image[0].mean()).astype("uint16").drop_vars("c").rename("cells")


def write_group(path: Path, attributes: Mapping[str, Any], version: str) -> None:
    """Write the metadata of a group, by hand: what it holds may be there already."""
    path.mkdir(parents=True, exist_ok=True)
    if version == "0.4":
        (path / ".zgroup").write_text('{"zarr_format": 2}')
        (path / ".zattrs").write_text(json.dumps({key: versioned(key, one, version) for key, one in attributes.items()}))
        return
    ome = {"version": version, **attributes} if attributes else {}
    root = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome, "note": path.name} if ome else {}}
    (path / "zarr.json").write_text(json.dumps(root))


def versioned(key: str, value: Any, version: str) -> Any:
    return {**value, "version": version} if key in ("plate", "well") else value


def write_plate(
    root: Path,
    paths: Sequence[str] = ("A/1", "A/2", "B/1"),
    fields: int = 2,
    absent: Collection[str] = (),
    version: str = "0.5",
    labels: bool = False,
    alike: bool = False,
    **plate: Any,
) -> Path:
    """Write a plate; ``absent`` are paths of fields that are listed and not there, and of wells of which nothing is there.

    Every third field is wider, unless they are ``alike``.
    """
    rows, columns = (sorted({well.split("/")[n] for well in paths}) for n in (0, 1))
    for row in rows:
        write_group(root / row, {}, version)
    for n, well in enumerate(paths):
        if well in absent:
            continue
        images = [{"path": str(one), "acquisition": (0, 7)[one % 2]} for one in range(fields)]
        write_group(root / well, {"well": {"images": images}}, version)
        for one in range(fields):
            if f"{well}/{one}" not in absent:
                image = field_image((n * fields + one) * (3 if alike else 1))
                cells = {"cells": cells_of(image)} if labels else None
                image.prep.to_ome_zarr(root / well / str(one), scale_factors=(), labels=cells, version=version)
    places = [{"path": w, "rowIndex": rows.index(w[0]), "columnIndex": columns.index(w.split("/")[1])} for w in paths]
    said = {
        "name": "screen 3", "field_count": fields, "acquisitions": ACQUISITIONS, "wells": places,
        "rows": [{"name": row} for row in rows], "columns": [{"name": column} for column in columns],
    }  # fmt: skip
    write_group(root, {"plate": {key: one for key, one in {**said, **plate}.items() if one is not None}}, version)
    return root


def write_series(root: Path, names: Sequence[str] = ("0", "1", "2"), absent: Collection[str] = (), listed: bool = True) -> Path:
    """Write several series of one file, as bioformats2raw does."""
    for n, name in enumerate(names):
        if name not in absent:
            field_image(n).prep.to_ome_zarr(root / name, scale_factors=())
    write_group(root / "OME", {"series": list(names)} if listed else {}, "0.5")
    (root / "OME/METADATA.ome.xml").write_text("<OME/>")
    write_group(root, {"bioformats2raw.layout": 3}, "0.5")
    return root


def write_object(root: Path, names: Sequence[str] = ("flat", "turned")) -> Path:
    """Write a SpatialData object of images as that library stores them, with labels and points beside."""

    def to(system: str, **step: Any) -> dict[str, Any]:
        axes = [{"name": dim, "type": "channel" if dim == "c" else "space"} for dim in "cyx"]
        return {**step, "input": {"name": "cyx", "axes": axes}, "output": {"name": system, "axes": axes}}

    for n, name in enumerate(names):
        image = field_image(n).drop_vars(["y", "x"])
        image.prep.to_ome_zarr(root / "images" / name, scale_factors=(), layout="flat")
        place = root / "images" / name / "zarr.json"
        found = json.loads(place.read_text())
        attributes = found["attributes"]
        steps = [to("global", type="scale", scale=[1.0, 0.5, 0.5]), *([to("stage", type="identity")] if n else [])]
        attributes["ome"]["version"] = "0.5-dev-spatialdata"
        attributes["ome"]["multiscales"][0]["coordinateTransformations"] = steps
        del attributes["xprep"]
        attributes["spatialdata_attrs"] = {"version": "0.3"}
        place.write_text(json.dumps(found))
        for other in root.glob(f"images/{name}/0/.xprep"):
            shutil.rmtree(other)
    cells_of(field_image(0)).drop_vars(["y", "x"]).prep.to_ome_zarr(root / "labels/cells", scale_factors=(), layout="flat")
    for path, said in (("images", {}), ("labels", {"ome": {"labels": ["cells"]}}), ("points", {}), ("points/spots", {})):
        group = {"zarr_format": 3, "node_type": "group", "attributes": said}
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "zarr.json").write_text(json.dumps(group))
    attributes = {"spatialdata_attrs": {"version": "0.2", "spatialdata_software_version": "0.8.0"}}
    (root / "zarr.json").write_text(json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}))
    return root


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the OME-Zarr part of a group's attributes, and what stands beside it."""
    if (path / "zarr.json").exists():
        found = json.loads((path / "zarr.json").read_text())["attributes"]
        return {**{key: one for key, one in found.items() if key != "ome"}, **found.get("ome", {})}
    found = json.loads((path / ".zattrs").read_text())
    return dict(found)


def fields_of(root: Path) -> list[str]:
    """Return the fields that a plate lists, by path; every well that it lists must be there."""
    plate = attributes_of(root).get("plate", {"wells": []})
    wells = [well["path"] for well in plate["wells"]]
    return [f"{well}/{one['path']}" for well in wells for one in attributes_of(root / well)["well"]["images"]]


def assert_listed_are_whole(root: Path) -> list[str]:
    """Every field that a plate lists opens and holds what was written; return them."""
    listed = fields_of(root) if root.exists() and any((root / name).exists() for name in ("zarr.json", ".zattrs")) else []
    for path in listed:
        assert xprep.verify(root / path).is_whole
    return listed


# How a plate is damaged.


def absent_field(root: Path) -> None:
    shutil.rmtree(root / "A/2/1")


def absent_well(root: Path) -> None:
    shutil.rmtree(root / "A/2")


def torn_chunk(root: Path) -> None:
    chunk = root / "A/2/1/scale0/image/c/1/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-9])


def torn_metadata(root: Path) -> None:
    (root / "A/2/1/zarr.json").write_text("{")
