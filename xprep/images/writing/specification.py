"""What is to be stored: the levels of an image and of its labels, in OME-Zarr's order of dims."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal

import xarray as xr

from xprep.arguments import check_mapping
from xprep.dims.alignment import aligned
from xprep.dims.axes import SPACE, check_image
from xprep.dims.channels import one_level_of_names
from xprep.dims.names import spell_rename
from xprep.dims.parameters import check_choice
from xprep.images.writing.given_levels import Given, given_shapes
from xprep.images.writing.pyramid_levels import Shape, as_it_is, check_flat, coords_of, lost_in_flat, plan_levels, spacing_of
from xprep.io.arrays.specs import LevelSpec
from xprep.io.codecs.compression import DEFAULT_CODEC, Codec
from xprep.io.ome_model import Element
from xprep.io.store.urls import check_name
from xprep.ops.chunking import stored_chunk
from xprep.switches import check_switch
from xprep.types import METHODS

OME_ORDER = ("t", "c", "z", "y", "x")


@dataclass(frozen=True)
class WriteOptions:
    """How images are stored; what `to_ome_zarr` was asked for."""

    scale_factors: Any = "auto"
    method: str = "mean"
    version: Any = "0.5"
    layout: Any = "dual"
    chunks: Any = None
    shards: Any = None
    overwrite: bool = False
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False)
    resume: bool = False
    fingerprint: str | None = None
    given: Given | None = field(default=None, repr=False)
    element: Element | None = field(default=None, repr=False)
    compression: Any = None
    checksum: bool | None = None

    def __post_init__(self) -> None:
        check_choice(self.method, METHODS, "method")
        check_choice(self.version, ("0.4", "0.5", "0.6"), "version")
        check_choice(self.layout, ("dual", "flat"), "layout")
        if not isinstance(self.fingerprint, str | None):
            raise TypeError(f"fingerprint must be a text or None; got {self.fingerprint!r}.")
        if self.fingerprint == "":
            raise ValueError("fingerprint must tell this run from others; got ''.")
        for name in ("overwrite", "resume"):
            check_switch(getattr(self, name), name)
        self.codec(DEFAULT_CODEC).options(self.zarr_format)  # refused now, and not when an image is there
        if self.version == "0.4" and self.shards is not None:
            raise ValueError("OME-Zarr 0.4 is Zarr v2, which has no shards; leave shards out, or write version='0.5'.")
        if self.resume and self.given is not None:
            raise ValueError(
                "resume=True: levels that are given cannot be told from others. Give overwrite=True; or write the finest level, "
                "tree['scale0/image'], and let its levels be made."
            )

    @property
    def zarr_format(self) -> Literal[2, 3]:
        """The format that the version of OME-Zarr wants."""
        return 2 if self.version == "0.4" else 3

    def codec(self, default: Codec) -> Codec:
        """Return how chunks are compressed: as was asked for, or by the default of the kind."""
        found = default if self.compression is None else Codec.of(self.compression)
        return replace(found, checksum=check_switch(self.checksum, "checksum", None))


def ordered(image: xr.DataArray) -> xr.DataArray:
    """Return ``image`` with its dims in the order of OME-Zarr.

    Raises
    ------
    ValueError
        A dim that OME-Zarr has not.
    """
    check_image(image, "to_ome_zarr")
    foreign = [dim for dim in image.dims if dim not in OME_ORDER]
    if foreign:
        free = next((dim for dim in OME_ORDER if dim not in (*image.dims, *image.coords)), None)
        ways = [] if free is None else [f"rename it, {spell_rename(image, {foreign[0]: free})}"]
        ways.append(f"choose a position of it, image.isel({{{foreign[0]!r}: 0}})")
        raise ValueError(f"OME-Zarr has the dims t, c, z, y, x; the image has {foreign[0]!r}: {', or '.join(ways)}.")
    return one_level_of_names(image).transpose(*(dim for dim in OME_ORDER if dim in image.dims))


def specify(image: xr.DataArray, options: WriteOptions) -> tuple[list[Shape], list[LevelSpec]]:
    """Return the levels of an image, and what is to be created for them.

    Raises
    ------
    ValueError
        Invalid chunks, shards or factors; coordinates that OME-Zarr cannot express.
    """
    levels = [image] if options.given is None else [ordered(level) for level in options.given.levels]
    for level, dim in product(levels, image.dims):
        spacing_of(level, str(dim))  # refused now, and not when everything is computed
    if options.layout == "flat":
        _check_flat(levels)
    chunk = stored_chunk(image, options.chunks)
    shard = None if options.shards is None else stored_chunk(image, options.shards, chunk, "shards")
    _check_shards(image, chunk, shard)
    if options.given is not None:
        return given_shapes(levels), [_level_spec(level, as_it_is(level), chunk, shard) for level in levels]
    shapes = plan_levels(image, options.scale_factors, chunk)
    return shapes, [_level_spec(image, shape, chunk, shard) for shape in shapes]


def _check_flat(levels: Sequence[xr.DataArray]) -> None:
    for level in levels:
        check_flat(level)
    if lost := lost_in_flat(levels[0]):
        warnings.warn(
            f"layout='flat' has no place for the coordinates {', '.join(map(repr, lost))}: they are not written. "
            "layout='dual' keeps them; drop_vars() says that they are not wanted.",
            stacklevel=2,
        )


def _check_shards(image: xr.DataArray, chunk: Sequence[int], shard: Sequence[int] | None) -> None:
    for dim, c, s in zip(image.dims, chunk, shard or (), strict=False):
        if s % c and s < image.sizes[dim]:
            raise ValueError(
                f"shards must be multiples of the chunks; along {dim!r} they are {s} and {c}. Give both, "
                f"e.g. chunks={{{dim!r}: {c}}}, shards={{{dim!r}: {-(-s // c) * c}}}."
            )


def _level_spec(image: xr.DataArray, level: Shape, chunk: Sequence[int], shard: Sequence[int] | None) -> LevelSpec:
    fitted = tuple(min(c, n) for c, n in zip(chunk, level.shape, strict=True))
    if shard is None:
        return LevelSpec(level.shape, fitted, None, coords_of(image, level))
    whole = tuple(-(-min(s, n) // c) * c for s, n, c in zip(shard, level.shape, fitted, strict=True))
    return LevelSpec(level.shape, fitted, whole, coords_of(image, level))


def check_labels(labels: Any) -> Mapping[str, xr.DataArray]:
    """Return label images by name, none for None.

    Raises
    ------
    ValueError
        A name that no label in a store can have.
    TypeError
        It is no mapping, or one of them no DataArray.
    """
    found = check_mapping(labels, "labels", "{'cells': label_image}")
    for name, label in found.items():
        check_name(name, "labels")
        if not isinstance(label, xr.DataArray):
            raise TypeError(
                f"labels must be DataArrays by name; {name!r} is a {type(label).__name__}. Name its dims: "
                "xr.DataArray(array, dims=('y', 'x'))."
            )
    return found


def specify_label(
    name: str, label: xr.DataArray, image: xr.DataArray, options: WriteOptions
) -> tuple[xr.DataArray, list[Shape], list[LevelSpec]]:
    """Return a label image that lies on its image, its levels, and what is to be created for them.

    Raises
    ------
    ValueError
        Its name is invalid, its size is not the image's, or it does not lie on it (`xprep.dims.alignment`).
    KeyError
        It lacks one of the image's channels.
    TypeError
        It is not of whole numbers.
    """
    check_name(name, "labels")
    if label.dtype.kind not in "ui":
        raise TypeError(f"labels must be whole numbers; {name!r} is of {label.dtype}. Convert them: labels.astype('uint32').")
    label = ordered(label)
    told = {dim for dim in label.dims if dim in label.coords and dim in image.coords}
    sizes = {dim: (n, image.sizes.get(dim)) for dim, n in label.sizes.items() if dim not in told}
    wrong = {str(dim): pair for dim, pair in sizes.items() if pair[0] != pair[1]}
    if wrong:
        single = [dim for dim, (size, _) in wrong.items() if size == 1 and dim not in SPACE]
        out = f" Of labels of all: labels.isel({single[0]}=0, drop=True)." if single else ""
        raise ValueError(f"the labels {name!r} do not fit the image: sizes (labels, image) are {wrong}.{out}")
    label = aligned(label, image, f"the label image {name!r}")
    by_position = [dim for dim in label.dims if dim in label.coords and dim not in image.coords]
    label = label.drop_vars(by_position).rename(name)
    label = label.assign_coords({dim: image.coords[dim] for dim in label.dims if dim in image.coords})
    fitting = replace(
        options,
        scale_factors=_of_dims(label, options.scale_factors),
        chunks=_of_dims(label, options.chunks),
        shards=_of_dims(label, options.shards),
        given=None,
    )
    return label, *specify(label, fitting)


def _of_dims(label: xr.DataArray, given: Any) -> Any:
    """Return what was given by dim for an image without the dims that its labels lack."""
    if isinstance(given, Mapping):
        return {dim: value for dim, value in given.items() if dim in label.dims}
    return [_of_dims(label, one) for one in given] if isinstance(given, list | tuple) else given
