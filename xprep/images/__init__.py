"""The doors: images come in from stores, and go out to them."""

from __future__ import annotations

from xprep.images.checking.findings import Finding, Validation
from xprep.images.checking.info import ArrayInfo, StoreInfo, describe_store
from xprep.images.checking.validate import validate
from xprep.images.checking.verify import Damage, Verification, verify
from xprep.images.opening.fields import open_fields
from xprep.images.opening.reading import open_image, open_labels, open_tree
from xprep.images.writing.fit_saving import save_fit
from xprep.images.writing.fitting import statistics_of
from xprep.images.writing.report import Report
from xprep.images.writing.specification import WriteOptions
from xprep.images.writing.to_ome_zarr import check_writing, to_ome_zarr, write_images

__all__ = [
    "ArrayInfo", "Damage", "Finding", "Report", "StoreInfo", "Validation", "Verification", "WriteOptions",
    "check_writing", "describe_store", "open_fields", "open_image", "open_labels", "open_tree", "save_fit", "statistics_of",
    "to_ome_zarr", "validate", "verify", "write_images",
]  # fmt: skip
