"""The dims of an image, t, c, z, y, x, and what other tools call them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import xarray as xr

PLANE = ("y", "x")
SPACE = ("z", "y", "x")
CHANNEL = "c"
DIMS = ("t", "c", "z", "y", "x")

OTHER_NAMES: Final[Mapping[str, Sequence[str]]] = {
    "t": ("time", "times", "timepoint", "timepoints", "time_point", "frame", "frames"),
    "c": ("channel", "channels", "ch", "chan"),
    "z": ("depth", "plane", "planes", "slice", "slices"),
    "y": ("row", "rows", "height"),
    "x": ("col", "cols", "column", "columns", "width"),
}
_MEANT: Final = {name: dim for dim, names in OTHER_NAMES.items() for name in (dim, *names)}
_UNNAMED: Final = re.compile(r"dim_\d+")  # xarray's names for axes that were given none
_BY_NUMBER: Final = {2: ("y", "x"), 3: ("c", "y", "x"), 4: ("c", "z", "y", "x"), 5: DIMS}


def other_names(dims: Sequence[Any]) -> dict[Any, str]:
    """Return the dims that have another tool's name, and what they are called here.

    Capital letters and the usual words count (``T``, ``channel``, ``rows``), where the dim itself is missing and no other means
    the same; of a letter and a word it is the letter. Axes without names are the last dims.

    >>> other_names(("channel", "Y", "X")), other_names(("row", "col", "y", "x")), other_names(("dim_0", "dim_1"))
    ({'channel': 'c', 'Y': 'y', 'X': 'x'}, {}, {'dim_0': 'y', 'dim_1': 'x'})
    """
    if all(_UNNAMED.fullmatch(str(dim)) for dim in dims):
        return dict(zip(dims, _BY_NUMBER.get(len(dims), ()), strict=False))
    claims: dict[str, list[Any]] = {}
    for dim in dims:
        meant = _MEANT.get(str(dim).lower())
        if dim not in DIMS and meant is not None and meant not in dims:
            claims.setdefault(meant, []).append(dim)
    best = {meant: [dim for dim in found if len(str(dim)) == 1] or found for meant, found in claims.items()}
    return {found[0]: meant for meant, found in best.items() if len(found) == 1}


def check_named(image: xr.DataArray, operation: str, needed: Sequence[str]) -> None:
    """Refuse an image without its ``needed`` dims, and one with a dim that has another tool's name.

    Where y and x are not needed (tables are projected too), names count of what would be an image with others only.

    Raises
    ------
    ValueError
        It says how to rename the dims.
    """
    others = other_names(image.dims)
    missing = [dim for dim in needed if dim not in image.dims]
    if missing:
        renames = others if set(missing) <= set(others.values()) else _guess(image.dims, missing)
        way = f"Rename: {spell_rename(image, renames)}." if renames else "Was a position selected, or is a dim to be renamed?"
        raise ValueError(
            f"{operation} needs the dim{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))}, but the image has "
            f"{tuple(image.dims)}. {way}"
        )
    if others and {*PLANE} <= {others.get(dim, dim) for dim in image.dims}:
        raise ValueError(
            f"{operation} knows the dims t, c, z, y and x, but the image has {tuple(image.dims)}. "
            f"Rename: {spell_rename(image, others)}."
        )


def _guess(dims: Sequence[Any], missing: Sequence[str]) -> dict[Any, str]:
    """Return the last dims of which nothing is known, as those that are missing."""
    foreign = [dim for dim in dims if str(dim).lower() not in _MEANT]
    return dict(zip(foreign[len(foreign) - len(missing) :], missing, strict=True)) if len(foreign) >= len(missing) else {}


def spell_rename(image: xr.DataArray, renames: Mapping[Any, str]) -> str:
    """Return the call that renames dims of ``image``; a coordinate that has the new name already is in the way."""
    swapped = {dim: new for dim, new in renames.items() if new in image.coords and image.coords[new].dims == (dim,)}
    dropped = [new for dim, new in renames.items() if new in image.coords and dim not in swapped]
    renamed = {dim: new for dim, new in renames.items() if dim not in swapped}
    steps = [
        f".drop_vars({dropped})" if dropped else "",
        f".swap_dims({swapped})" if swapped else "",
        f".rename({renamed})" if renamed else "",
    ]
    return f"image{''.join(steps)}"


def check_no_other_dims(image: xr.DataArray, operation: str) -> None:
    """Refuse dims that an operation would have to take for pixels: those besides t, c, z, y and x.

    Raises
    ------
    ValueError
        It names the dim, and how to take its positions apart.
    """
    foreign = [dim for dim in image.dims if dim not in DIMS]
    if foreign:
        dim = foreign[0]
        apart = f'{{str(i): image.isel({{{dim!r}: i}}).to_dataset(name="image") for i in range({image.sizes[dim]})}}'
        raise ValueError(
            f"{operation} knows the dims t, z, y, x and c; it cannot know what {dim!r} is: the image has "
            f"{tuple(image.dims)}. Choose a position, image.isel({{{dim!r}: 0}}); or make images of them: "
            f"xarray.DataTree.from_dict({apart})."
        )
