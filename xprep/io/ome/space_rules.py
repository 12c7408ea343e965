"""What OME-Zarr demands of axes, coordinate systems and the transformations between them; by `find_faults`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from xprep.io.json_nodes import brief
from xprep.io.ome import rules
from xprep.io.ome.rules import Doubt, Rule, find_broken, find_repeated
from xprep.io.ome.transformation_rules import find_broken_transformation
from xprep.io.ome.writing import check_axes
from xprep.io.ome_model import Axis, Version

NEEDED: Final = True
_AXES: Final = (
    Rule("axes", rules.is_objects, "a list of objects", NEEDED),
    Rule("axes[]/name", rules.is_name, "a text that is not empty", NEEDED),
    Rule("axes[]/type", rules.is_text, "a text"),
    Rule("axes[]/unit", rules.is_text, "a text"),
    Rule("axes[]/longName", rules.is_text, "a text", versions=("0.6",)),
    Rule("axes[]/discrete", rules.is_flag, "true or false", versions=("0.6",)),
)
_SYSTEMS: Final = (
    Rule("coordinateSystems", rules.is_objects, "a list of objects"),
    Rule("coordinateSystems[]/name", rules.is_name, "a text that is not empty", NEEDED),
)


def find_broken_space(document: Mapping[str, Any], version: Version) -> Iterator[str]:
    """Yield what is wrong with the axes, coordinate systems and transformations of the images that a group is."""
    multiscales = document.get("multiscales")
    for i, image in enumerate(multiscales if isinstance(multiscales, list) else []):
        if isinstance(image, Mapping):
            yield from (_find_06 if version == "0.6" else _find_04)(image, f"multiscales[{i}]", version)


def find_broken_scene(scene: Any, version: Version) -> Iterator[str]:
    """Yield what is wrong with a scene: coordinate systems of its own, and transformations between those of its images."""
    if version != "0.6":
        return
    if not isinstance(scene, Mapping):
        yield f"scene must be an object; got {brief(scene)}."
        return
    if not rules.is_filled(scene.get("coordinateTransformations")):
        yield "scene.coordinateTransformations must be a list of at least one transformation."
    systems = yield from _find_systems(scene, "scene", version)
    for place, step in _steps(scene, "scene"):
        ends = yield from _find_ends(step, place, systems, {})
        yield from find_broken_transformation(step, place, *ends)


def _find_04(image: Mapping[str, Any], where: str, version: Version) -> Iterator[str]:
    yield from _find_axes(image, where, version)
    axes = image.get("axes")
    count = len(axes) if isinstance(axes, list) else None
    yield from _find_scaling(image, where, count, needed=False)
    for place, dataset in rules.find_values(image, "datasets[]", where):
        yield from _find_scaling(dataset, place, count, needed=True)


def _find_scaling(owner: Any, where: str, count: int | None, *, needed: bool) -> Iterator[str]:
    """Yield what is wrong with the transformations of a level or of an image: one scale, then at most one translation."""
    listed = owner.get("coordinateTransformations") if isinstance(owner, Mapping) else None
    if listed is None and not needed:
        return
    where = f"{where}.coordinateTransformations"
    kinds = [step.get("type") if isinstance(step, Mapping) else None for step in listed] if isinstance(listed, list) else []
    if kinds not in (["scale"], ["scale", "translation"]):
        yield f"{where} must be one scale, and after it at most one translation; got {brief(kinds if kinds else listed)}."
        return
    for i, step in enumerate(listed or []):
        yield from find_broken_transformation(step, f"{where}[{i}]", count, count)


def _find_axes(owner: Mapping[str, Any], where: str, version: Version) -> Iterator[str]:
    """Yield what is wrong with the axes of an image or a coordinate system."""
    faults = list(find_broken(_AXES, owner, where, version))
    yield from faults
    if faults:
        return
    yield from find_repeated(owner, "axes[]/name", where)
    found = [Axis(axis["name"], axis.get("type") or "") for axis in owner["axes"]]
    if version == "0.6" and sum(axis.type == "array" for axis in found) >= 2:
        if len(found) > 5:
            yield f"{where}.axes must be 5 at most; got {len(found)}."
        return
    try:
        check_axes(found)
    except ValueError as error:
        yield f"{where}.axes: {error}"


def _find_06(image: Mapping[str, Any], where: str, version: Version) -> Iterator[str]:
    if not rules.is_filled(image.get("coordinateSystems")):
        yield f"{where}.coordinateSystems must be a list of at least one coordinate system."
    systems = yield from _find_systems(image, where, version)
    outputs: set[str] = set()
    for place, dataset in rules.find_values(image, "datasets[]", where):
        outputs |= yield from _find_level(dataset, place, systems)
    if len(outputs) > 1:
        yield f"{where}.datasets must all lead to one coordinate system; got {sorted(outputs)}."
    edges = []
    for place, step in _steps(image, where):
        ends = yield from _find_ends(step, place, systems, {})
        yield from find_broken_transformation(step, place, *ends)
        names = [_name_of(step, end) for end in ("input", "output")]
        edges.append(names)
        if len(outputs) == 1 and not outputs & set(names) and all(names):
            yield Doubt(f"{place} must begin or end at {min(outputs)!r}, where the levels lead; got {names}.")
    if lost := _unconnected(systems, outputs, edges):
        yield Doubt(f"{where}.coordinateSystems: no transformation connects {lost} with {sorted(outputs)}.")


def _unconnected(systems: Mapping[str, int], outputs: set[str], edges: Sequence[Sequence[str]]) -> list[str]:
    """Return the systems that nothing connects with those that levels lead to."""
    reached = set(outputs)
    for _ in edges:
        reached |= {name for edge in edges if reached & set(edge) for name in edge}
    return sorted(set(systems) - reached) if outputs else []


def _find_systems(owner: Mapping[str, Any], where: str, version: Version) -> Generator[str, None, dict[str, int]]:
    """Yield what is wrong with coordinate systems; return by name how many axes each has."""
    yield from find_broken(_SYSTEMS, owner, where, version)
    yield from find_repeated(owner, "coordinateSystems[]/name", where)
    counts: dict[str, int] = {}
    for place, system in rules.find_values(owner, "coordinateSystems[]", where):
        if isinstance(system, Mapping):
            yield from _find_axes(system, place, version)
            if isinstance(system.get("axes"), list) and isinstance(system.get("name"), str):
                counts[system["name"]] = len(system["axes"])
    return counts


def _find_level(dataset: Any, where: str, systems: Mapping[str, int]) -> Generator[str, None, set[str]]:
    """Yield what is wrong with the one transformation of a level; return the coordinate system that it leads to."""
    listed = dataset.get("coordinateTransformations") if isinstance(dataset, Mapping) else None
    where = f"{where}.coordinateTransformations"
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], Mapping):
        yield f"{where} must be a list of one transformation; got {brief(listed)}."
        return set()
    (step,), where = listed, f"{where}[0]"
    _, count = yield from _find_ends(step, where, systems, {"path": dataset.get("path")})
    parts = step.get("transformations") if step.get("type") == "sequence" else [step]
    kinds = [part.get("type") if isinstance(part, Mapping) else None for part in parts] if isinstance(parts, list) else []
    if kinds not in (["scale"], ["identity"], ["scale", "translation"]):
        yield f"{where} must be a scale, an identity, or a sequence of a scale and a translation; got {brief(kinds)}."
    yield from find_broken_transformation(step, where, count, count)
    name = _name_of(step, "output")
    return {name} if name else set()


def _steps(owner: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for place, step in rules.find_values(owner, "coordinateTransformations[]", where):
        if isinstance(step, Mapping):
            yield place, step


def _name_of(step: Mapping[str, Any], end: str) -> str:
    found = step.get(end)
    name = found.get("name") if isinstance(found, Mapping) else None
    return name if isinstance(name, str) else ""


def _find_ends(
    step: Mapping[str, Any], where: str, systems: Mapping[str, int], level: Mapping[str, Any]
) -> Generator[str, None, tuple[int | None, int | None]]:
    """Yield what is wrong with where a transformation begins and ends; return how many axes there are, None if unknown."""
    counts: list[int | None] = []
    for end in ("input", "output"):
        found = step.get(end)
        if not isinstance(found, Mapping):
            wanted = "a path" if level and end == "input" else "the name of a coordinate system"
            yield f"{where}.{end} must be an object with {wanted}; got {brief(found)}."
            counts.append(None)
        elif level and end == "input":
            if not rules.is_name(found.get("path")):
                yield f"{where}.input.path must be a text, the path of the level; got {brief(found.get('path'))}."
            elif found["path"] != level["path"]:
                yield Doubt(f"{where}.input.path must be {brief(level['path'])}, the level's; got {brief(found['path'])}.")
            counts.append(None)
        else:
            name = found.get("name")
            if not rules.is_name(name):
                yield f"{where}.{end}.name must be that of a coordinate system; got {brief(name)}."
            elif not found.get("path") and name not in systems:
                wrong = f"{where}.{end}.name must be one of the coordinate systems {brief(list(systems))}; got {brief(name)}."
                yield wrong if level else Doubt(wrong)
            counts.append(systems.get(name) if isinstance(name, str) and not found.get("path") else None)
    return counts[0], counts[1]
