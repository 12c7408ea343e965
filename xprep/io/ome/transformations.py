"""Coordinate transformations of OME-Zarr as matrices, and what of them coordinates along axes can say."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xprep.errors import StoreFormatWarning
from xprep.io.json_nodes import Node, brief

# Homogeneous: a row per output axis and one of (0 … 0 1), a column per input axis and one of the translation.
Matrix: TypeAlias = NDArray[np.float64]
Names: TypeAlias = Sequence[str]
MAX_DEPTH: Final = 8
# Beside an entry that is so many times larger, an entry is what rounding left of 0.
_DUST: Final = 1e-12


class NotAlongAxesError(Exception):
    """A transformation that coordinates along axes cannot say; the text names it: "a rotation or shear"."""


def compose(steps: Sequence[Node], inputs: Names, outputs: Names) -> Matrix:
    """Return the matrix of transformations that are applied one after the other.

    Raises
    ------
    NotAlongAxesError
        One of them is no matrix.
    StoreFormatError
        One of them is malformed.
    """
    return _composed(steps, inputs, outputs, 0)


def product(after: Matrix, before: Matrix) -> Matrix:
    """Return one matrix for two; what goes beyond floating-point numbers is for the caller to refuse by name."""
    with np.errstate(all="ignore"):
        return after @ before


def along_axes(matrix: Matrix) -> tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Return for every input axis the output axis that it becomes, its scale and its translation.

    Raises
    ------
    NotAlongAxesError
        An axis becomes several (rotation, shear), none, or runs backwards.

    Examples
    --------
    >>> along_axes(np.array([[0.0, 3.0, 5.0], [2.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    ((1, 0), (2.0, 3.0), (0.0, 5.0))
    """
    linear, shift = matrix[:-1, :-1], matrix[:-1, -1]
    large = np.abs(linear) > _DUST * np.abs(linear).max(initial=0.0, axis=1, keepdims=True)
    if not ((large.sum(axis=0) == 1).all() and (large.sum(axis=1) == 1).all()):
        raise NotAlongAxesError("a rotation or shear")
    order = np.abs(linear).argmax(axis=0)
    scale = linear[order, np.arange(len(order))]
    if (scale < 0).any():
        raise NotAlongAxesError("a flip")
    return tuple(order.tolist()), tuple(scale.tolist()), tuple(shift[order].tolist())


def _composed(steps: Sequence[Node], inputs: Names, outputs: Names, depth: int) -> Matrix:
    matrix = np.eye(len(inputs) + 1)
    for i, step in enumerate(steps):
        matrix = product(_matrix(step, inputs, outputs if i == len(steps) - 1 else inputs, depth), matrix)
    return matrix


def _matrix(step: Node, inputs: Names, outputs: Names, depth: int) -> Matrix:
    kind = step.at("type").text()
    if kind not in _KINDS:
        raise NotAlongAxesError(brief(kind))
    if kind != "identity" and step.at("path").value is not None:
        raise NotAlongAxesError(f"{kind!r} that is kept in an array")
    if len(inputs) != len(outputs):
        raise NotAlongAxesError(f"{kind!r} from {len(inputs)} to {len(outputs)} axes")
    if depth > MAX_DEPTH:
        step.refuse("is nested too deeply.")
    return _KINDS[kind](step, inputs, outputs, depth)


def _identity(_step: Node, inputs: Names, _outputs: Names, _depth: int) -> Matrix:
    return np.eye(len(inputs) + 1)


def _scale(step: Node, inputs: Names, _outputs: Names, _depth: int) -> Matrix:
    said = step.at("scale")
    by = [1.0 if by == 0 and name == "t" else by for by, name in zip(said.numbers(len(inputs)), inputs, strict=True)]
    if min(by) <= 0:
        said.refuse(f"must be positive; got {said.value}.")
    if 0 in said.numbers(len(inputs)):
        text = f"{said.where}: time goes on by 0, as some writers say of an unknown interval; 1 is taken. Set coordinates of t."
        warnings.warn(text, StoreFormatWarning, stacklevel=2)
    return np.diag([*by, 1.0])


def _translation(step: Node, inputs: Names, _outputs: Names, _depth: int) -> Matrix:
    matrix = np.eye(len(inputs) + 1)
    matrix[:-1, -1] = step.at("translation").numbers(len(inputs))
    return matrix


def _affine(step: Node, inputs: Names, _outputs: Names, _depth: int) -> Matrix:
    rows = _rows(step, "affine", len(inputs) + 1)
    # Some writers add the last row, (0 … 0 1).
    return _homogeneous(rows if len(rows) != len(inputs) + 1 or any(rows[-1][:-1]) else rows[:-1], len(inputs), "affine")


def _rotation(step: Node, inputs: Names, _outputs: Names, _depth: int) -> Matrix:
    return _homogeneous([(*row, 0.0) for row in _rows(step, "rotation", len(inputs))], len(inputs), "rotation")


def _rows(step: Node, kind: str, length: int) -> list[tuple[float, ...]]:
    listed = step.at(kind)
    if not isinstance(listed.value, list) or not all(isinstance(row, list) for row in listed.value):
        raise NotAlongAxesError(f"{kind!r} that is no list of rows")
    return [row.numbers(length) for row in listed.items()]


def _homogeneous(rows: Sequence[Sequence[float]], count: int, kind: str) -> Matrix:
    if len(rows) != count:
        raise NotAlongAxesError(f"{kind!r} from {count} to {len(rows)} axes")
    return np.array([*rows, (*(0.0,) * count, 1.0)], dtype=np.float64)


def _map_axis(step: Node, inputs: Names, outputs: Names, _depth: int) -> Matrix:
    given = step.at("mapAxis").value
    order = _order(given, inputs, outputs)
    if order is None:
        raise NotAlongAxesError(f"'mapAxis' {brief(given)}")
    matrix = np.zeros((len(inputs) + 1,) * 2)
    matrix[[*range(len(order)), -1], [*order, -1]] = 1.0
    return matrix


def _order(given: Any, inputs: Names, outputs: Names) -> list[int] | None:
    """Return which input every output is; by names only where none moves, for drafts do not agree on the direction."""
    if isinstance(given, Mapping) and list(inputs) == list(outputs) and all(given.get(name) == name for name in inputs):
        return list(range(len(inputs)))
    whole = isinstance(given, list) and all(type(i) is int for i in given)
    return given if whole and sorted(given) == list(range(len(inputs))) else None


def _sequence(step: Node, inputs: Names, outputs: Names, depth: int) -> Matrix:
    return _composed(step.at("transformations").items(1, 100), inputs, outputs, depth + 1)


def _bijection(step: Node, inputs: Names, outputs: Names, depth: int) -> Matrix:
    return _matrix(step.at("forward"), inputs, outputs, depth + 1)


def _by_dimension(step: Node, inputs: Names, outputs: Names, depth: int) -> Matrix:
    """Put the matrices of some axes each together; axes that nobody names stay as they are."""
    matrix = np.eye(len(inputs) + 1)
    named: set[int] = set()
    for part in step.at("transformations").items(1, 100):
        sources, targets = _axes_of(part, "input", inputs), _axes_of(part, "output", outputs)
        if named & set(targets):
            part.refuse("gives an axis that another one gives too.")
        named |= set(targets)
        inner = part if part.at("transformation").value is None else part.at("transformation")
        made = _matrix(inner, [inputs[i] for i in sources], [outputs[i] for i in targets], depth + 1)
        matrix[targets] = 0.0
        matrix[np.ix_(targets, [*sources, -1])] = made[:-1]
    return matrix


def _axes_of(part: Node, end: str, names: Names) -> list[int]:
    """Return axes that are listed by name or by number, under any of the names that drafts gave the list."""
    keys = [key for key in (f"{end}_axes", f"{end}Axes", end) if part.at(key).value is not None]
    listed = part.at(keys[0] if keys else f"{end}_axes")
    known: dict[str | int, int] = {name: i for i, name in enumerate(names)}
    known |= {i: i for i in range(len(names))}
    found = [None if isinstance(one.value, bool | float | list | dict) else known.get(one.value) for one in listed.items(1, 100)]
    axes = [i for i in found if i is not None]
    if len(axes) != len(found) or len(set(axes)) != len(axes):
        listed.refuse(f"must name axes of {list(names)}, each once; got {brief(listed.value)}.")
    return axes


_KINDS: Final[Mapping[str, Callable[[Node, Names, Names, int], Matrix]]] = {
    "identity": _identity,
    "scale": _scale,
    "translation": _translation,
    "affine": _affine,
    "rotation": _rotation,
    "mapAxis": _map_axis,
    "sequence": _sequence,
    "bijection": _bijection,
    "byDimension": _by_dimension,
}
