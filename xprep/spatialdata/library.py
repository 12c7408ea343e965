"""The library spatialdata: all that is asked of it, its private parts too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from xprep.extras import load
from xprep.io.ome_model import Version
from xprep.private_api import part_of, uses

ATTRIBUTE: Final = "spatialdata_attrs"
TRANSFORM: Final = "transform"
# By the format of Zarr that a stored object has: the versions of OME-Zarr and of raster elements that belong to it.
FORMATS: Final[Mapping[int, tuple[Version, str]]] = {2: ("0.4", "0.2"), 3: ("0.5", "0.3")}

Transformations = Mapping[str, Any]


def library() -> Any:
    """Return the module.

    Raises
    ------
    ImportError
        It is not installed.
    """
    return load("spatialdata", "spatialdata", "xprep.spatialdata")


def check_object(sdata: Any) -> None:
    """Refuse what is no SpatialData object.

    Raises
    ------
    TypeError
        It names its type.
    """
    if not isinstance(sdata, library().SpatialData):
        raise TypeError(f"sdata must be a SpatialData object (spatialdata.read_zarr(path)); got a {type(sdata).__name__}.")


def transformations_of(element: Any) -> dict[str, Any]:
    """Return the transformations of an element, by coordinate system."""
    found: dict[str, Any] = import_module("spatialdata.transformations").get_transformation(element, get_all=True)
    return dict(found)


def with_transformations(element: Any, transformations: Transformations) -> Any:
    """Return an element, of one level or several, to which all ``transformations`` are given."""
    import_module("spatialdata.transformations").set_transformation(element, dict(transformations), set_all=True)
    return element


def moved(transformations: Transformations, axes: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Return the transformations of an image whose pixel edges lie at ``scale * k + shift`` of those that it was made of."""
    if all(one == (1.0, 0.0) for one in axes.values()):
        return dict(transformations)
    module = import_module("spatialdata.transformations")
    names = tuple(axes)
    steps = [module.Scale([scale for scale, _ in axes.values()], axes=names)]
    if any(shift for _, shift in axes.values()):
        steps.append(module.Translation([shift for _, shift in axes.values()], axes=names))
    return {system: module.Sequence([*steps, one]) for system, one in transformations.items()}


@uses(
    "spatialdata.transformations.transformations._get_current_output_axes",
    since="spatialdata 0.0.9",
    loss="refused",
    without="no element can be written into a stored object: its transformations have no output axes",
)
def to_json(transformations: Transformations, dims: Sequence[str]) -> tuple[Mapping[str, Any], ...]:
    """Return transformations as they stand in the metadata of an element with these ``dims``."""
    axes = part_of("spatialdata.transformations.transformations", "_get_current_output_axes", None)
    if axes is None:
        raise RuntimeError("this version of spatialdata does not tell a transformation's axes. Use an older one.")
    found = []
    for system, one in transformations.items():
        ends = {"input_axes": tuple(dims), "output_axes": tuple(axes(one, tuple(dims)))}
        found.append(one.to_ngff(**ends, output_coordinate_system_name=system).to_dict())
    return tuple(found)


def check_names(sdata: Any, names: Sequence[str], element: Any) -> None:
    """Refuse names of elements that spatialdata does not take: signs, or names that differ by case only.

    Raises
    ------
    ValueError
        As spatialdata says it.
    """
    taken = [name for _, name, _ in sdata.gen_elements() if name not in names]
    try:
        library().SpatialData(images=dict.fromkeys([*taken, *names], element))
    except ValueError as error:
        said = str(error).splitlines()[-1].strip()
        raise ValueError(f"output_image_name has a name that no element can have: {said}") from error


def read_image(path: Path | str, name: str) -> Any:
    """Return the element ``name`` as a stored object has it."""
    return library().read_zarr(path, selection=("images",)).images[name]
