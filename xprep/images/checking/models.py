"""Metadata against the models of libraries that others maintain; they come with the extra ``validate``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from xprep.images.checking.findings import Finding
from xprep.io.ome.group_rules import KEYS
from xprep.io.ome.reading import find_ome
from xprep.io.ome_model import Version

# Of ome-zarr-models, by the key that the metadata have.
_MODELS_06: Final[Mapping[str, tuple[str, str]]] = {
    "image-label": ("image_label", "ImageLabelAttrs"),
    "multiscales": ("image", "ImageAttrs"),
    "labels": ("labels", "LabelsAttrs"),
    "plate": ("hcs", "HCSAttrs"),
    "well": ("well", "WellAttrs"),
}
REASONS: Final = 5  # of a model, that are told


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
            return Finding("model", where, "failed", f"{name} refuses it: {_reasons(error)}.")
        except Exception as error:  # noqa: BLE001  (a library that cannot judge is no fault of the store)
            return Finding("model", where, "skipped", f"{name} cannot judge it: {type(error).__name__}: {error}")
    return Finding("model", where, "ok", f"{name} takes it for OME-Zarr {version}.")


def _reasons(error: Exception) -> str:
    """Return what pydantic says, fault by fault: the place and the reason, without the value."""
    listed: Any = getattr(error, "errors", None)
    if listed is None:
        return " ".join(str(error).split()).rstrip(".")
    faults = [" ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".split()) for one in listed()]
    return "; ".join(faults[:REASONS]) + (f"; and {len(faults) - REASONS} more" if len(faults) > REASONS else "")


def _of_ome(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if key in KEYS}


def _parse(library: str, ome: dict[str, Any], version: Version) -> None:
    if library == "yaozarrs":
        import_module(library).validate_ome_object(ome)
        return
    for key, (submodule, name) in _MODELS_06.items():
        if key in ome:
            model = getattr(import_module(f"ome_zarr_models.v06.{submodule}"), name)
            model.model_validate({**ome, "version": version})
            return
    raise LookupError(f"it has no model for {sorted(ome)}")
