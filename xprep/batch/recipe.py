"""Recipes: which images, which steps, where the results go; checked before anything is opened."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any, Final, NoReturn, get_args, get_type_hints

from xprep import ops
from xprep.batch.located import LocatedText, RecipeError, locate
from xprep.batch.recipe_store import check_kind, read_options, read_settings, read_store
from xprep.batch.variables import expand
from xprep.batch.yaml import read_yaml
from xprep.images import WriteOptions
from xprep.io.store.urls import check_output
from xprep.redaction import without_secrets
from xprep.rois import in_containers
from xprep.types import WrittenName

# What makes an image of an image.
STEPS: Final[Mapping[str, Callable[..., Any]]] = {
    "normalize": ops.normalize,
    "gaussian_filter": ops.gaussian_filter,
    "subtract_background": ops.subtract_background,
    "rescale": ops.rescale,
    "to_isotropic": ops.to_isotropic,
    "project": ops.project,
    "mask": in_containers.mask,
}
COPY: Final = "convert"  # the only step of a recipe that copies images as they are
KEYS: Final = ("inputs", "steps", "output", "statistics", "fit", "store", "settings", "storage_options")
OF_CHANNELS: Final = ("channels", "sigma", "radius")  # parameters that name channels, in lists or as keys
FIELDS: Final = ("name", "parent", "index")
# Of a text no form; of a number a width, with zeros before it or without: names stay below 256 bytes.
_FORMS: Final = ("", r"0?[0-9]{0,2}d?")

SHARING: Final = ("each", "folder", "well", "plate", "all")


@dataclass(frozen=True, repr=False)
class RecipeStep:
    """One operation with its parameters."""

    name: str
    parameters: Mapping[str, Any]
    where: str
    given: Mapping[str, LocatedText] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"RecipeStep({self.name!r}, {without_secrets(self.parameters)}, {self.where!r})"

    def __call__(self, image: Any) -> Any:
        """Return the result, lazily."""
        return STEPS[self.name](image, **self.parameters)


@dataclass(frozen=True, repr=False)
class Recipe:
    """What is to be done with many images.

    Attributes
    ----------
    inputs : tuple of LocatedText
        URLs, and patterns of such.
    steps : tuple of RecipeStep
        In this order; none are a plain copy, which is compared with what was written.
    output : str
        Where a result goes: a folder, or a URL with ``{name}``, ``{parent}``, ``{index}``; of one plate the new plate's URL.
    statistics : str
        Which images are one experiment and share statistics: every image is its own (``each``), those of one ``folder``, ``all``;
        of plates those of one ``well``, which is a field's folder, or of one ``plate``: images of no plate are each their own.
        Anything else is a file of statistics, that all images are normalised with.
    fit : tuple of LocatedText
        URLs and patterns of those inputs that share statistics, which are then the statistics of all others too.
    store : WriteOptions
        How results are stored.
    settings : dict
        Of `xprep.set_options`.
    storage_options : dict
        For fsspec; never printed.
    given : mapping of str to LocatedText
        Its keys as they stand in the file: for errors.
    """

    inputs: tuple[LocatedText, ...]
    steps: tuple[RecipeStep, ...]
    output: str
    statistics: str = "each"
    fit: tuple[LocatedText, ...] = ()
    store: WriteOptions = field(default_factory=WriteOptions)
    settings: Mapping[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    given: Mapping[str, LocatedText] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Recipe({self.to_json()})"

    @property
    def is_copy(self) -> bool:
        """Whether images are copied as they are."""
        return not self.steps

    @property
    def secrets(self) -> tuple[Any, ...]:
        """What is taken out of messages: options of stores, and what URLs hold."""
        urls = [one.plain() for one in (*self.inputs, *self.fit)]
        scratch = [self.settings.get(key) for key in ("scratch_url", "scratch_options")]
        return self.storage_options, *scratch, *urls, self.output, self.statistics

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as a report tells it: without secrets."""
        plain = {
            "inputs": [one.plain() for one in self.inputs],
            "steps": [{step.name: step.parameters} for step in self.steps] or [COPY],
            "output": self.output,
            "statistics": self.statistics,
            **({"fit": [one.plain() for one in self.fit]} if self.fit else {}),
            "store": self.given["store"].plain() if "store" in self.given else {},
            "settings": {key: value for key, value in self.settings.items() if key != "scratch_options"},
        }
        found: dict[str, Any] = without_secrets(plain, self.secrets)
        return found

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise a `RecipeError` that names the line of ``key``."""
        self.given.get(key, LocatedText(None, "recipe", key)).refuse(problem)


def load_recipe(recipe: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """Return a recipe from a YAML file or a mapping of the same keys.

    Raises
    ------
    RecipeError
        Unknown keys, missing ones, values of the wrong kind: with the line and the key.
    FileNotFoundError
        No such file.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        return _check(locate(recipe))
    if not isinstance(recipe, str | Path):
        raise TypeError(f"recipe must be a file's path, a mapping or a Recipe; got a {type(recipe).__name__}: {recipe!r}.")
    path = Path(recipe)
    if not path.is_file():
        raise FileNotFoundError(f"there is no recipe {path}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{path} is not text in UTF-8.") from None
    return _check(read_yaml(text, path.name))


def _check(root: LocatedText) -> Recipe:
    found = {key: expand(one) for key, one in root.mapping(KEYS, ("inputs", "steps", "output")).items()}
    steps = _steps(found["steps"])
    _check_sharing(found, steps)
    return Recipe(
        inputs=_urls(found["inputs"], "input"),
        steps=steps,
        output=_output(found["output"]),
        statistics=found["statistics"].text() if "statistics" in found else "each",
        fit=_urls(found["fit"], "image to fit to") if "fit" in found else (),
        store=read_store(found["store"]) if "store" in found else WriteOptions(),
        settings=read_settings(found["settings"]) if "settings" in found else {},
        storage_options=read_options(found["storage_options"]) if "storage_options" in found else {},
        given=found,
    )


def _urls(given: LocatedText, what: str) -> tuple[LocatedText, ...]:
    """Return one or several URLs and patterns."""
    urls = tuple(given.items())
    if not urls:
        given.refuse(f"there is no {what}.")
    for one in urls:
        one.text()
    return urls


def _check_sharing(found: Mapping[str, LocatedText], steps: Sequence[RecipeStep]) -> None:
    """Refuse statistics that no step, or more than one, would be given; and two sources of them."""
    key = "fit" if "fit" in found else "statistics"
    if key == "statistics" and (key not in found or found[key].value in SHARING):
        return
    if "fit" in found and "statistics" in found:
        found["fit"].refuse("the inputs that it names share their statistics, and give them to all others: leave out statistics.")
    takers = [step for step in steps if step.name == "normalize"]
    if len(takers) != 1 or "statistics" in takers[0].parameters:
        file = "" if key == "fit" else f" {found[key].shown} is none of {', '.join(SHARING)}, and so a file of statistics:"
        found[key].refuse(f"{file} there must be one step normalize, without statistics of its own, to be given them.".lstrip())


def _steps(given: LocatedText) -> tuple[RecipeStep, ...]:
    """Return the operations, none for a plain copy."""
    entries = given.items()
    if not entries or given.value is None:
        given.refuse(f"there is no step; a plain copy is the step {COPY}.")
    steps = tuple(_step(one) for one in entries)
    if COPY not in [step.name for step in steps]:
        return steps
    if len(steps) > 1:
        given.refuse(f"{COPY} is a plain copy and stands alone; leave it out beside other steps.")
    return ()


def _as_it_is(image: Any) -> Any:
    return image


def _step(given: LocatedText) -> RecipeStep:
    """Return ``{normalize: {p: 99}}``, or ``normalize`` alone."""
    if isinstance(given.value, str):
        name, parameters = given, LocatedText({}, given.where, given.path)
    else:
        entries = given.mapping()
        if len(entries) != 1:
            given.refuse(f"a step is one operation; got the keys {', '.join(entries) or 'none'}.")
        ((key, parameters),) = entries.items()
        name = LocatedText(key, parameters.where, given.path)
    known = {**STEPS, COPY: _as_it_is}
    operation = known[name.choice(tuple(known))]
    if parameters.value is None:
        parameters = LocatedText({}, parameters.where, parameters.path)
    kinds = _kinds(operation)
    entries = parameters.mapping(tuple(kinds), find_needed(operation))
    for key, one in entries.items():
        check_kind(one, kinds[key])
    plain = {key: _named(one) if key in OF_CHANNELS else one.plain() for key, one in entries.items()}
    return RecipeStep(str(name.value), plain, name.where, entries)


def _named(given: LocatedText) -> Any:
    """Return a value of which keys and entries of ``channels`` are names of channels: as they are spelled.

    ``488``, ``null`` and ``NO`` are names where channels are called so.
    """
    if isinstance(given.value, dict):
        return {WrittenName(key): one.plain() for key, one in given.value.items()}
    if not given.path.endswith(".channels") or given.value is None:
        return given.plain()
    return [_spelled(one) for one in given.value] if isinstance(given.value, list) else _spelled(given)


def _spelled(given: LocatedText) -> Any:
    return given.plain() if isinstance(given.value, str) or given.source is None else WrittenName(given.source)


def find_needed(operation: Callable[..., Any]) -> list[str]:
    """Return the parameters of an operation, behind the image, that have no default."""
    rest = list(inspect.signature(operation).parameters.items())[1:]
    return [key for key, one in rest if one.default is one.empty and one.kind is not one.VAR_KEYWORD]


def _kinds(operation: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of an operation's parameters behind the image, those of its further options among them."""
    hints, found = get_type_hints(operation), dict[str, Any]()
    for key, one in list(inspect.signature(operation).parameters.items())[1:]:
        if one.kind is one.VAR_KEYWORD:
            found |= get_type_hints(get_args(hints[key])[0])
        else:
            found[key] = hints[key]
    return found


def _output(given: LocatedText) -> str:
    text = given.text()
    try:
        fields = [one for one in Formatter().parse(text) if one[1] is not None]
    except ValueError as error:
        given.refuse(f"{error} in {text!r}.")
    for _, name, form, conversion in fields:
        if name not in FIELDS:
            given.refuse(f"unknown field {{{name}}}; known are {', '.join(f'{{{one}}}' for one in FIELDS)}.")
        if conversion or not re.fullmatch(_FORMS[name == "index"], form or ""):
            asked = f"{{{name}{'!' if conversion else ''}{conversion or ''}{':' if form else ''}{form or ''}}}"
            given.refuse(f"{asked} is no form of {{{name}}}; write {{name}}, {{parent}}, {{index}}, or with digits {{index:03}}.")
    try:
        check_output(text)
    except ValueError as error:
        given.refuse(str(error))
    return text
