"""Which level of a pyramid is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xprep.arguments import check_text
from xprep.dims.axes import check_chunks
from xprep.dims.lengths import Length, metres, parse_length
from xprep.dims.voxel_sizes import is_positive
from xprep.errors import StoreFormatError
from xprep.io.ome_model import Multiscale
from xprep.io.store.files.images import ORDER


def choose_level(image: Multiscale, level: int | Mapping[str, Length], where: str) -> int:
    """Return the position of a level: itself, or the coarsest one whose pixels are no larger than the sizes wanted.

    Raises
    ------
    StoreFormatError
        There is no such level.
    ValueError
        A size is of an unknown dim, not positive, or its unit cannot be compared with the store's.
    """
    count = len(image.levels)
    if isinstance(level, Mapping):
        wanted = {image.dims.index(dim): size for dim, size in _sizes(image, level, where).items()}
        fine = [n for n in range(count) if all(image.levels[n].scale[i] <= size for i, size in wanted.items())]
        return max(fine, default=0)
    if not -count <= level < count:
        raise StoreFormatError(f"{where} has the levels 0 … {count - 1}; got level={level}.")
    return int(level) % count


def check_asked(level: Any, label: Any, coordinate_system: Any, chunks: Any, series: Any, dims: Any) -> None:
    """Refuse what no store can be asked for, before one is looked for.

    Raises
    ------
    TypeError, ValueError
        It names the argument and the value.
    """
    if not isinstance(level, Mapping) and (isinstance(level, bool) or not hasattr(level, "__index__")):
        raise ValueError(f"level must be a whole number, or pixel sizes such as {{'x': 2.0}}; got {level!r}.")
    sizes = level.values() if isinstance(level, Mapping) else ()
    if wrong := [one for one in sizes if not (isinstance(one, str) or is_positive(one))]:
        raise ValueError(f"the pixel sizes of level must be numbers above 0, or lengths such as '2 um'; got {wrong[0]!r}.")
    for value, name in ((label, "label"), (coordinate_system, "coordinate_system")):
        if value is not None:
            check_text(value, name, ", or None")
    check_chunks(chunks)
    if isinstance(series, bool) or not isinstance(series, int | str | None):
        raise TypeError(f"series must be a number or a name, or None; got {series!r}.")
    if dims is not None:
        check_text(dims, "dims", ", or None")
        if len(set(dims)) != len(dims) or not set("yx") <= set(dims) <= set(ORDER):
            raise ValueError(f"dims must be letters of t, c, z, y, x, each once, y and x among them; got {dims!r}.")


def _sizes(image: Multiscale, wanted: Mapping[str, Length], where: str) -> dict[str, float]:
    units = {axis.name: axis.unit for axis in image.axes}
    if not wanted or not set(wanted) <= set(units):
        raise ValueError(f"level must name dims of {where}, {list(units)}; got {dict(wanted)}.")
    found = {dim: _in_unit(size, units[dim], dim) for dim, size in wanted.items()}
    if wrong := {dim: size for dim, size in wanted.items() if not found[dim] > 0}:
        raise ValueError(f"the pixel sizes of level must be positive; got {wrong}.")
    # A pixel of 0.30000000000000004 is one of 0.3.
    return {dim: size * (1 + 1e-9) for dim, size in found.items()}


def _in_unit(size: Any, unit: str, dim: str) -> float:
    if not isinstance(size, str):
        return float(size)
    number, given = parse_length(size, "level")
    if (there := metres(unit)) is None:
        raise ValueError(f"level={{{dim!r}: {size!r}}} has a unit, but the store gives none for {dim!r}; give a number.")
    return number * (metres(given) or 1.0) / there
