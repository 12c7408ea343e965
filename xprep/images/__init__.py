"""The doors: images come in from stores, and go out to them."""

from __future__ import annotations

from xprep.images.fields import open_fields
from xprep.images.fit_saving import save_fit
from xprep.images.fitting import statistics_of
from xprep.images.info import ArrayInfo, StoreInfo, describe_store
from xprep.images.reading import open_image, open_labels, open_tree
from xprep.images.report import Report
from xprep.images.specifying import WriteOptions
from xprep.images.validating import validate
from xprep.images.validation import Finding, Validation
from xprep.images.verify import Damage, Verification, verify
from xprep.images.writing import check_writing, to_ome_zarr, write_images

__all__ = [
    "ArrayInfo", "Damage", "Finding", "Report", "StoreInfo", "Validation", "Verification", "WriteOptions",
    "check_writing", "describe_store", "open_fields", "open_image", "open_labels", "open_tree", "save_fit", "statistics_of",
    "to_ome_zarr", "validate", "verify", "write_images",
]  # fmt: skip
