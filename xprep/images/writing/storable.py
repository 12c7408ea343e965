"""What can be stored is found out before anything is begun: attributes, coordinates, names, what viewers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from xprep.dims.containers.roles import says_labels
from xprep.images.appearance import pixel_attributes, wanted_label
from xprep.images.writing.ome_metadata import describe
from xprep.images.writing.pyramid_levels import Shape, placement
from xprep.images.writing.specification import WriteOptions
from xprep.io.arrays.specs import ArraySpec, LevelSpec
from xprep.io.codecs.compression import DEFAULT_CODEC, LABELS_CODEC
from xprep.io.commit.creating import Creation, declare_levels
from xprep.io.commit.image_store import level_path
from xprep.io.ome.writing import write_multiscale
from xprep.ops.shown_channels import wanted_channels

Levels = tuple[Sequence[Shape], Sequence[LevelSpec]]


def spec_of(image: xr.DataArray, options: WriteOptions) -> ArraySpec:
    """Return what the levels of an image have in common; labels may be an image of their own."""
    is_label = image.dtype.kind in "ui" and says_labels(image.attrs)
    codec = options.codec(LABELS_CODEC if is_label else DEFAULT_CODEC)
    return ArraySpec(tuple(map(str, image.dims)), image.dtype, codec, pixel_attributes(image.attrs))


def spec_of_label(label: xr.DataArray, options: WriteOptions) -> ArraySpec:
    """Return the same of a label image that is stored with an image, whose attributes are not stored."""
    return ArraySpec(tuple(map(str, label.dims)), label.dtype, options.codec(LABELS_CODEC))


def check_storable(
    image: xr.DataArray, levels: Levels, labels: Mapping[str, tuple[xr.DataArray, Levels]], options: WriteOptions
) -> None:
    """Refuse an image or labels with anything that has no form in a store.

    Raises
    ------
    ValueError, TypeError
        It names the attribute, coordinate or axis.
    """
    how = Creation(options.layout == "dual", options.zarr_format)
    pyramids = [("", image, levels, spec_of(image, options))]
    pyramids += [(f"labels/{name}", label, its, spec_of_label(label, options)) for name, (label, its) in labels.items()]
    for path, one, (shapes, specs), spec in pyramids:
        paths = [level_path(options.layout, n) for n in range(len(specs))]
        declare_levels(path, dict(zip(paths, specs, strict=True)), spec, how)
        placed = [placement(one, shape, at) for shape, at in zip(shapes, paths, strict=True)]
        write_multiscale(describe(one, placed, options.method, None), options.version)
    wanted_channels(image)
    for label, _ in labels.values():
        wanted_label(label)
