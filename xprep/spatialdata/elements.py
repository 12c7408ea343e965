"""Images of a SpatialData object: taken out together, and put back, lazily in memory or written into its store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xprep.dims.axes import SPACE
from xprep.engine.filling.identity import identity_of
from xprep.errors import StoreExistsError
from xprep.images.writing.outputs import Output, outputs_of
from xprep.images.writing.specification import WriteOptions
from xprep.images.writing.to_ome_zarr import write_outputs
from xprep.io.arrays.consolidated import write_group
from xprep.io.ome.groups import read_group
from xprep.io.ome_model import Element
from xprep.io.store.places import Place, open_store
from xprep.spatialdata import library

IMAGE = "image"  # the variable of a level


@dataclass(frozen=True)
class ElementRequest:
    """Which images of an object are read, and what their results are called.

    Attributes
    ----------
    sdata
        The object.
    inputs, outputs
        Names of elements, pairwise.
    overwrite
        Whether elements that are there may be replaced.
    """

    sdata: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    overwrite: bool

    @property
    def elements(self) -> list[Any]:
        """The images."""
        return [self.sdata.images[name] for name in self.inputs]


def check_request(sdata: Any, image_name: Any, output_image_name: Any, overwrite: bool) -> ElementRequest:
    """Return what is asked for, checked before anything is computed.

    Raises
    ------
    KeyError
        There is no such element.
    ValueError
        One that is no image; names that are not as many, not different, taken, or none of elements; an output that is an input.
    TypeError
        ``sdata`` is no SpatialData object.
    """
    library.check_object(sdata)
    inputs, outputs = _names(image_name, "image_name"), _names(output_image_name, "output_image_name")
    if len(inputs) != len(outputs):
        raise ValueError(f"output_image_name must have a name for each of image_name: {len(inputs)}; got {len(outputs)}.")
    for what, names in (("image_name", inputs), ("output_image_name", outputs)):
        if twice := [name for n, name in enumerate(names) if name in names[:n]]:
            raise ValueError(f"{what} has {twice[0]!r} twice.")
    kinds = {name: kind for kind, name, _ in sdata.gen_elements()}
    for name in inputs:
        _check_input(name, kinds)
    for name in outputs:
        _check_output(name, inputs, kinds, overwrite)
    library.check_names(sdata, outputs, sdata.images[inputs[0]])
    return ElementRequest(sdata, inputs, outputs, overwrite)


def _names(given: str | Iterable[str], what: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} must be the name of an element, or a list of names; got {given!r}.")
    return names


def _check_input(name: str, kinds: Mapping[str, str]) -> None:
    if name not in kinds:
        images = [one for one, kind in kinds.items() if kind == "images"]
        raise KeyError(f"there is no image {name!r}; the object has {', '.join(map(repr, images)) or 'none'}.")
    if kinds[name] != "images":
        raise ValueError(f"{name!r} is no image: it is one of the object's {kinds[name]}.")


def _check_output(name: str, inputs: Sequence[str], kinds: Mapping[str, str], overwrite: bool) -> None:
    if name in inputs:
        raise ValueError(f"output_image_name has {name!r}, which is read: the image would be lost. Give another name.")
    if kinds.get(name, "images") != "images":
        raise ValueError(f"{name!r} is the name of one of the object's {kinds[name]}; give another.")
    if name in kinds and not overwrite:
        raise StoreExistsError(f"the object has an image {name!r}: overwrite=True replaces it; or give another name.")


def together(request: ElementRequest) -> xr.DataTree:
    """Return the images as the fields of view of one experiment, each below its name."""
    nodes: dict[str, xr.Dataset] = {}
    for name, element in zip(request.inputs, request.elements, strict=True):
        if isinstance(element, xr.DataArray):
            nodes[f"/{name}"] = element.to_dataset(name=IMAGE)
        else:
            nodes |= {f"/{name}/{scale}": level.to_dataset() for scale, level in element.children.items()}
    return xr.DataTree.from_dict(nodes)


def apart(request: ElementRequest, results: xr.DataTree, scale_factors: Sequence[Any] | None) -> list[Any]:
    """Return the results as elements, one for each image: in levels as it was, or in those that ``scale_factors`` say."""
    elements = []
    for name, before in zip(request.inputs, request.elements, strict=True):
        node = results.children[name]
        finest = node.children.get("scale0", node).to_dataset()[IMAGE]
        result, axes = _in_pixels(finest)
        if scale_factors is not None:
            made: Any = result.prep.pyramid(scale_factors) if len(scale_factors) else result
        elif "scale0" in node.children:
            steps = [_factors(node, n) for n in range(1, len(node.children))]
            made = result.prep.pyramid(steps, method=node.attrs.get("method", "mean"))
        else:
            made = result
        elements.append(library.with_transformations(made, library.moved(library.transformations_of(before), axes)))
    return elements


def _factors(node: xr.DataTree, n: int) -> dict[str, int]:
    """Return how many pixels of the level before became one of level ``n``."""
    fine, coarse = (node.children[f"scale{one}"].to_dataset()[IMAGE].sizes for one in (n - 1, n))
    return {str(dim): max(1, round(fine[dim] / coarse[dim])) for dim in fine if dim in SPACE}


def _in_pixels(image: xr.DataArray) -> tuple[xr.DataArray, dict[str, tuple[float, float]]]:
    """Return an image with coordinates of pixels (0.5, 1.5 …), and where its pixels' edges lie in those that it had."""
    axes, coords = {}, {}
    for dim in (dim for dim in image.dims if dim in SPACE):
        axes[str(dim)] = _line(image, dim)
        coords[dim] = np.arange(image.sizes[dim]) + 0.5
    return image.drop_attrs(deep=False).assign_attrs(_kept(image)).assign_coords(coords).rename(IMAGE), axes


def _kept(image: xr.DataArray) -> dict[str, Any]:
    return {key: value for key, value in image.attrs.items() if key != library.TRANSFORM}


def _line(image: xr.DataArray, dim: Any) -> tuple[float, float]:
    """Return distance and first edge of pixels along a dim of space, in pixels of the image that it was made of."""
    if dim not in image.coords:
        return 1.0, 0.0
    values = image.coords[dim].values
    step = float(values[1] - values[0]) if len(values) > 1 else float(image.coords[dim].attrs.get("spacing", 1.0))
    first = float(values[0]) - step / 2
    return (1.0, 0.0) if abs(step - 1) < 1e-9 and abs(first) < 1e-9 else (step, 0.0 if abs(first) < 1e-9 else first)


def put_back(request: ElementRequest, elements: Sequence[Any], chunks: Any = None) -> Any:
    """Add elements to the object: lazily where it is in memory, written into its store where it has one; return the object."""
    if request.sdata.is_backed():
        elements = _written(request, elements, chunks)
    for name, element in zip(request.outputs, elements, strict=True):
        if name in request.sdata.images:
            del request.sdata.images[name]
        request.sdata.images[name] = element
    return request.sdata


def _written(request: ElementRequest, elements: Sequence[Any], chunks: Any) -> list[Any]:
    """Write elements into the object's store, together, and return them as they are read from there."""
    sdata, root = request.sdata, open_store(request.sdata.path, mode="r+")
    zarr_format = 3 if (group := read_group(root)) is None else group.zarr_format
    images = root.child("images")
    if read_group(images) is None:
        write_group(images, {}, zarr_format)
    named = list(zip(request.outputs, elements, strict=True))
    write_outputs([_output(images.child(name), one, request.overwrite, zarr_format, chunks) for name, one in named])
    if sdata.has_consolidated_metadata():
        sdata.write_consolidated_metadata()
    return [_named_as(library.read_image(sdata.path, name), one) for name, one in named]


def _output(place: Place, element: Any, overwrite: bool, zarr_format: int, chunks: Any) -> Output:
    version, raster = library.FORMATS[zarr_format]
    finest = element if isinstance(element, xr.DataArray) else element["scale0"].to_dataset()[IMAGE]
    said = library.to_json(library.transformations_of(element), [str(dim) for dim in finest.dims])
    options = WriteOptions(
        scale_factors=() if isinstance(element, xr.DataArray) else "auto",
        version=version,
        layout="flat",
        chunks=chunks,
        overwrite=overwrite,
        resume=identity_of(finest.data) is not None,
        element=Element(said, {library.ATTRIBUTE: {"version": raster}}, f"{version}-dev-spatialdata"),
    )
    (output,) = outputs_of(_plain(element), place, options, {})
    return output


def _plain(element: Any) -> Any:
    """Return an element without what spatialdata keeps in attributes, and without coordinates in space: those of pixels."""
    if isinstance(element, xr.DataTree):
        return element.map_over_datasets(lambda level: level.map(_plain, keep_attrs=True) if level.data_vars else level)
    plain = element.drop_vars([dim for dim in element.coords if dim in SPACE])
    return plain.drop_attrs(deep=False).assign_attrs(_kept(element))


def _named_as(element: Any, before: Any) -> Any:
    """Return an element whose channels are called as before: numbers are texts in a store."""
    names = (before if isinstance(before, xr.DataArray) else before["scale0"]).coords["c"].values
    if isinstance(element, xr.DataArray):
        return element.assign_coords(c=names)
    return element.map_over_datasets(lambda level: level.assign_coords(c=names) if level.data_vars else level)
