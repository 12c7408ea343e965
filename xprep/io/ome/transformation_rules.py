"""What OME-Zarr demands of a coordinate transformation: its parameters, by its kind, and how many axes they are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from xprep.io.json_nodes import brief
from xprep.io.ome import rules
from xprep.io.ome.rules import Rule, find_broken

NEEDED: Final = True
MAX_DEPTH: Final = 8
_NO_PATH: Final = Rule("path", lambda value: False, "left out: parameters of this kind are not kept in an array")
_PATH: Final = Rule("path", rules.is_name, "a text, the path of an array")
_FIELD: Final = (
    Rule("path", rules.is_name, "a text, the path of an array", NEEDED),
    Rule("interpolation", rules.one_of("nearest", "linear", "cubic"), "'nearest', 'linear' or 'cubic'"),
)
# By the kind of a transformation: its parameters, and where those lie that it is made of.
_PARAMETERS: Final[Mapping[str, tuple[Rule, ...]]] = {
    "identity": (),
    "scale": (Rule("scale", rules.is_positive_numbers, "a list of numbers above 0", NEEDED), _NO_PATH),
    "translation": (Rule("translation", rules.is_numbers, "a list of numbers", NEEDED), _NO_PATH),
    "affine": (Rule("affine", rules.is_matrix, "rows of numbers"), _PATH),
    "rotation": (Rule("rotation", rules.is_matrix, "rows of numbers"), _PATH),
    "mapAxis": (Rule("mapAxis", rules.is_indices, "the indices of the input's axes, each once", NEEDED),),
    "projectAxis": (
        Rule("droppedInputs", rules.is_indices, "the indices of axes, each once"),
        Rule("createdOutputs", rules.is_indices, "the indices of axes, each once"),
    ),
    "sequence": (Rule("transformations", rules.is_objects, "a list of transformations", NEEDED),),
    "bijection": (
        Rule("forward", rules.is_object, "a transformation", NEEDED),
        Rule("inverse", rules.is_object, "a transformation", NEEDED),
    ),
    "byDimension": (
        Rule("transformations", rules.is_objects, "a list of objects", NEEDED),
        Rule("transformations[]/transformation", rules.is_object, "a transformation", NEEDED),
        Rule("transformations[]/inputAxes", rules.is_indices, "the indices of axes, each once", NEEDED),
        Rule("transformations[]/outputAxes", rules.is_indices, "the indices of axes, each once", NEEDED),
    ),
    "displacements": _FIELD,
    "coordinates": _FIELD,
}
# One of these must be there.
_EITHER: Final[Mapping[str, tuple[str, str]]] = {
    "affine": ("affine", "path"),
    "rotation": ("rotation", "path"),
    "projectAxis": ("droppedInputs", "createdOutputs"),
}
_ONE: Final = ("affine", "rotation")


def find_broken_transformation(step: Any, where: str, before: int | None, after: int | None, depth: int = 0) -> Iterator[str]:
    """Yield what is wrong with a transformation from ``before`` axes to ``after``, where these are known."""
    kind = step.get("type") if isinstance(step, Mapping) else None
    if not isinstance(kind, str) or kind not in _PARAMETERS:
        yield f"{where}.type must be one of {', '.join(_PARAMETERS)}; got {brief(kind)}."
        return
    if depth > MAX_DEPTH:
        yield f"{where} is nested too deeply."
        return
    step = _as_released(step) if kind == "byDimension" else step
    faults = list(find_broken(_PARAMETERS[kind], step, where, "0.6"))
    yield from faults
    if kind in _EITHER and all(step.get(name) is None for name in _EITHER[kind]):
        yield f"{where} must have {' or '.join(_EITHER[kind])}; it has neither."
    elif kind in _ONE and all(step.get(name) is not None for name in _EITHER[kind]):
        yield f"{where} must have {' or '.join(_EITHER[kind])}; it has both."
    elif not faults and (wrong := _wrong_size(kind, step, before, after)):
        yield f"{where}: {wrong}."
    yield from _find_parts(kind, step, where, before, after, depth)


def _find_parts(
    kind: str, step: Mapping[str, Any], where: str, before: int | None, after: int | None, depth: int
) -> Iterator[str]:
    """Yield what is wrong with the transformations that one is made of."""
    parts: list[tuple[str, Any, int | None, int | None]] = []
    if kind == "sequence":
        listed = step.get("transformations")
        for i, part in enumerate(listed if isinstance(listed, list) else []):
            parts.append((f"{where}.transformations[{i}]", part, before, None))
            before = _count_after(part, before)
    elif kind == "bijection":
        ways = {"forward": (before, after), "inverse": (after, before)}
        parts = [(f"{where}.{way}", step[way], *ends) for way, ends in ways.items() if isinstance(step.get(way), Mapping)]
    elif kind == "byDimension":
        for place, part in rules.find_values(step, "transformations[]", where):
            if isinstance(part, Mapping) and isinstance(part.get("transformation"), Mapping):
                ends = (len(axes) if isinstance(axes := part.get(key), list) else None for key in ("inputAxes", "outputAxes"))
                parts.append((f"{place}.transformation", part["transformation"], *ends))
    for place, part, first, last in parts:
        yield from find_broken_transformation(part, place, first, last, depth + 1)


def _count_after(step: Any, before: int | None) -> int | None:
    """Return how many axes a transformation leaves."""
    kind = step.get("type") if isinstance(step, Mapping) else None
    if kind in ("identity", "scale", "translation", "rotation", "mapAxis"):
        return before
    return len(step["affine"]) if kind == "affine" and isinstance(step.get("affine"), list) else None


def _wrong_size(kind: str, step: Mapping[str, Any], before: int | None, after: int | None) -> str:
    """Return what does not fit the number of axes, in an empty text if all does."""
    given = step.get(kind)
    if kind == "projectAxis":
        return _wrong_projection(step, before, after)
    if kind in ("scale", "translation", "mapAxis", "rotation") and given is not None:
        wanted = before if before is not None else len(given)
        if len(given) != wanted or (after is not None and after != wanted):
            return f"{kind!r} of {len(given)} entries leads from {wanted} axes to {after if after is not None else wanted}"
        if kind == "mapAxis" and max(given) >= wanted:
            return f"'mapAxis' {given} names axes that are not there; there are {wanted}"
        if kind == "rotation" and not _is_rotation(given):
            return f"'rotation' {brief(given)} is not a rotation: rows must be of length 1, at right angles, and keep orientation"
    if kind == "affine" and given is not None:
        columns, rows = (before if before is not None else len(given[0]) - 1) + 1, after if after is not None else len(given)
        if len(given[0]) != columns or len(given) != rows:
            return f"'affine' must have {rows} rows of {columns} numbers; got {len(given)} of {len(given[0])}"
    if kind == "identity" and before is not None and after is not None and before != after:
        return f"'identity' leads from {before} axes to {after}"
    return ""


def _wrong_projection(step: Mapping[str, Any], before: int | None, after: int | None) -> str:
    dropped, created = step.get("droppedInputs") or [], step.get("createdOutputs") or []
    if before is not None and any(i >= before for i in dropped):
        return f"'projectAxis' drops {dropped} of {before} axes"
    if after is not None and any(i >= after for i in created):
        return f"'projectAxis' creates {created} of {after} axes"
    if before is not None and after is not None and before - len(dropped) + len(created) != after:
        return f"'projectAxis' leaves {before - len(dropped) + len(created)} axes, and there are {after}"
    if max(len(dropped), len(created)) > 3 or max([*dropped, *created], default=0) > 4:
        return "'projectAxis' may drop and create 3 of 5 axes at most"
    return ""


def _is_rotation(rows: list[list[float]]) -> bool:
    matrix = np.array(rows, dtype=np.float64)
    square = matrix.shape[0] == matrix.shape[1]
    return square and np.allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-3) and bool(np.linalg.det(matrix) > 0)


def _as_released(step: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a byDimension with its axes under the names of 0.6; its drafts up to 0.6.dev4 had others."""
    listed = step.get("transformations")
    if not isinstance(listed, list):
        return step
    drafts = {"input_axes": "inputAxes", "output_axes": "outputAxes"}
    named = [{drafts.get(k, k): v for k, v in part.items()} if isinstance(part, Mapping) else part for part in listed]
    return {**step, "transformations": named}
