"""Which of several coordinate systems an image is shown in: transformations to different systems are alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from xprep.io.json_nodes import Node
from xprep.io.ome.transformations import Matrix, NotAlongAxesError, along_axes, compose
from xprep.io.ome_model import Axis

# What is shown unless another system is asked for, if there is one of this name; SpatialData's default.
USUAL: Final = "global"


@dataclass(frozen=True)
class Systems:
    """The coordinate systems of an image.

    Parameters
    ----------
    own : str
        That of its levels; ``""`` where it has no name.
    axes : mapping of str to tuple of Axis
        By system, in their order.
    steps : tuple of Node
        Transformations from one to another.
    where : Node
        For errors: the entry that lists them.
    """

    own: str
    axes: Mapping[str, tuple[Axis, ...]]
    steps: tuple[Node, ...]
    where: Node

    def paths(self) -> dict[str, list[Node]]:
        """Return by system, in their order, the transformations that lead there from the levels."""
        found: dict[str, list[Node]] = {self.own: []}
        while more := {
            end: [*found[start], step]
            for step in self.steps
            for start, end in [self._ends(step)]
            if start in found and end not in found
        }:
            found |= more
        return {name: found[name] for name in self.axes if name in found}

    def _ends(self, step: Node) -> tuple[str, str]:
        start, end = system_of(step.at("input")), system_of(step.at("output"))
        return start if start in self.axes else self.own, end

    def check_single(self, steps: Sequence[Node]) -> None:
        """Refuse a way that another transformation leads too: one of them would be a guess."""
        taken = [self._ends(step) for step in steps]
        for ends in taken:
            if [self._ends(step) for step in self.steps].count(ends) > 1:
                self.where.refuse(f"several transformations lead to the coordinate system {ends[1]!r}: nobody knows which is it.")


@dataclass(frozen=True)
class Shown:
    """The system that an image is shown in: its name, its axes, what leads there, all there are, and what could not be said."""

    name: str
    axes: tuple[Axis, ...]
    onward: Matrix
    names: tuple[str, ...] = ()
    unsaid: str = ""

    @property
    def is_moved(self) -> bool:
        """Whether coordinates differ from those of the levels."""
        return not np.array_equal(self.onward, np.eye(len(self.onward)))


def system_of(node: Node) -> str:
    """Return the name of the system that an end of a transformation gives, as text or object; ``""`` of one without."""
    if isinstance(node.value, str):
        return node.value
    return node.at("name").text("") if isinstance(node.value, Mapping) else ""


def choose_system(systems: Systems, own: tuple[Axis, ...], wanted: str | None) -> Shown:
    """Return the system ``wanted``; without, that called ``global``, else the first one that the levels are led to.

    Where the way leads along no axes, the levels' own coordinates are shown, and what they do not say is told; what was
    asked for by name is refused then.

    Raises
    ------
    KeyError
        There is no such system.
    StoreFormatError
        The way to it is malformed, or cannot be said by coordinates along axes.
    """
    paths = systems.paths()
    if wanted is not None and not isinstance(wanted, str):
        raise TypeError(f"coordinate_system must be a name or None; got {wanted!r}.")
    if wanted is not None and wanted not in paths:
        raise KeyError(f"{systems.where.where} has no coordinate system {wanted!r}; it has {list(paths)}.")
    name = wanted if wanted is not None else USUAL if USUAL in paths else next(iter(paths), systems.own)
    still = np.eye(len(own) + 1)
    if not paths.get(name):
        return Shown(name, systems.axes.get(name, own), still, tuple(paths))
    systems.check_single(paths[name])
    try:
        return replace(_shown(systems, paths[name], own, name), names=tuple(paths))
    except NotAlongAxesError as error:
        unsaid = f"{error} leads to the coordinate system {name!r}, which coordinates along axes cannot say"
        if wanted is None:
            return Shown(systems.own, own, still, tuple(paths), unsaid)
    return systems.where.refuse(f"{unsaid}. Open another one of {list(paths)}, or transform the image with another tool.")


def _shown(systems: Systems, steps: Sequence[Node], own: tuple[Axis, ...], name: str) -> Shown:
    target = systems.axes[name]
    onward = compose(steps, [axis.name for axis in own], [axis.name for axis in target])
    order, _, _ = along_axes(onward)
    axes = tuple(target[i] for i in order)
    if np.array_equal(onward, np.eye(len(onward))):
        axes = tuple(replace(axis, unit=axis.unit or before.unit) for axis, before in zip(axes, own, strict=True))
    return Shown(name, axes, onward)
