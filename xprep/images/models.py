"""Metadata against the models of libraries that others maintain; they come with the extra ``validate``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from xprep.images.validation import Finding
from xprep.io.ome import Version
from xprep.io.ome_read import find_ome


def check_model(attributes: Mapping[str, Any], version: Version, where: str) -> Finding:
    """Return what a maintained library says of a group's OME-Zarr metadata: yaozarrs, of 0.6 ome-zarr-models."""
    library = "ome_zarr_models" if version == "0.6" else "yaozarrs"
    name = library.replace("_", "-")
    if find_spec(library) is None or (version == "0.6" and find_spec("ome_zarr_models.v06") is None):
        return Finding(
            "model", where, "skipped", f"{name} is not installed (pip install 'xprep[validate]', for 0.6 Python 3.12)."
        )
    ome = dict(find_ome(attributes)) if version != "0.4" else _of_ome(attributes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _parse(library, ome, version)
        except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
            return Finding("model", where, "failed", f"{name} refuses it: {' '.join(str(error).split())[:300]}")
    return Finding("model", where, "ok", f"{name} takes it for OME-Zarr {version}.")


def _of_ome(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key in ("multiscales", "omero", "labels", "image-label")}


def _parse(library: str, ome: dict[str, Any], version: Version) -> None:
    if library == "yaozarrs":
        import_module(library).validate_ome_object(ome)
        return
    module = import_module("ome_zarr_models.v06")
    kind = "ImageLabel" if "image-label" in ome else "Labels" if "labels" in ome else "Image"
    attrs = {"Image": "image.ImageAttrs", "ImageLabel": "image_label.ImageLabelAttrs", "Labels": "labels.LabelsAttrs"}
    submodule, name = attrs[kind].split(".")
    getattr(getattr(module, submodule), name).model_validate({**ome, "version": version})
