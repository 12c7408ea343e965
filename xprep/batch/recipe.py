"""Recipes: which images, which steps, where the results go; checked before anything is opened."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from string import Formatter
from types import NoneType
from typing import Any, Final, Literal, NoReturn, get_args, get_type_hints

from xprep import ops
from xprep.batch.located import Located, RecipeError, locate
from xprep.batch.variables import expand
from xprep.batch.yaml import read_yaml
from xprep.images import WriteOptions
from xprep.io.urls import check_output
from xprep.options import Options
from xprep.redaction import redact_text, without_secrets
from xprep.types import WrittenName

# What makes an image of an image.
STEPS: Final[Mapping[str, Callable[..., Any]]] = {
    "normalize": ops.normalize,
    "gaussian_filter": ops.gaussian_filter,
    "subtract_background": ops.subtract_background,
    "rescale": ops.rescale,
    "to_isotropic": ops.to_isotropic,
    "project": ops.project,
    "mask": ops.mask,
}
KEYS: Final = ("inputs", "steps", "output", "statistics", "store", "settings", "storage_options")
OF_CHANNELS: Final = ("channels", "sigma", "radius")  # parameters that name channels, in lists or as keys
FIELDS: Final = ("name", "parent", "index")
STORE: Final[Mapping[str, Any]] = {
    "scale_factors": "auto", "method": "mean", "version": "0.5", "layout": "dual", "chunks": None, "shards": None,
    "overwrite": False,
}  # fmt: skip
# Of a text no form; of a number a width, with zeros before it or without: names stay below 256 bytes.
_FORMS: Final = ("", r"0?[0-9]{0,2}d?")

Sharing = Literal["each", "folder", "well", "plate", "all"]


@dataclass(frozen=True, repr=False)
class Step:
    """One operation with its parameters."""

    name: str
    parameters: Mapping[str, Any]
    where: str
    given: Mapping[str, Located] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Step({self.name!r}, {without_secrets(self.parameters)}, {self.where!r})"

    def __call__(self, image: Any) -> Any:
        """Return the result, lazily."""
        return STEPS[self.name](image, **self.parameters)


@dataclass(frozen=True, repr=False)
class Recipe:
    """What is to be done with many images.

    Attributes
    ----------
    inputs : tuple of Located
        URLs, and patterns of such.
    steps : tuple of Step
        In this order.
    output : str
        Where a result goes: a folder, or a URL with ``{name}``, ``{parent}``, ``{index}``; of one plate the new plate's URL.
    statistics : {"each", "folder", "well", "plate", "all"}
        Which images are one experiment and share statistics: every image is its own, those of one folder, all. Of plates those of
        one well, which is a field's folder, or of one plate; images of no plate are then each their own.
    store : WriteOptions
        How results are stored.
    settings : dict
        Of `xprep.set_options`.
    storage_options : dict
        For fsspec; never printed.
    given : mapping of str to Located
        Its keys as they stand in the file: for errors.
    """

    inputs: tuple[Located, ...]
    steps: tuple[Step, ...]
    output: str
    statistics: Sharing = "each"
    store: WriteOptions = field(default_factory=lambda: WriteOptions(**STORE))
    settings: Mapping[str, Any] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    given: Mapping[str, Located] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"Recipe({self.to_json()})"

    @property
    def secrets(self) -> tuple[Any, ...]:
        """What is taken out of messages: options of stores, and what URLs hold."""
        urls = [one.plain() for one in self.inputs]
        scratch = [self.settings.get(key) for key in ("scratch_url", "scratch_options")]
        return self.storage_options, *scratch, *urls, self.output

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as a report tells it: without secrets."""
        plain = {
            "inputs": [one.plain() for one in self.inputs],
            "steps": [{step.name: step.parameters} for step in self.steps],
            "output": self.output,
            "statistics": self.statistics,
            "store": self.given["store"].plain() if "store" in self.given else {},
            "settings": {key: value for key, value in self.settings.items() if key != "scratch_options"},
        }
        found: dict[str, Any] = without_secrets(plain, self.secrets)
        return found

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise a `RecipeError` that names the line of ``key``."""
        self.given.get(key, Located(None, "recipe", key)).refuse(problem)


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


def _check(root: Located) -> Recipe:
    found = {key: expand(one) for key, one in root.mapping(KEYS, ("inputs", "steps", "output")).items()}
    inputs = tuple(found["inputs"].items())
    if not inputs:
        found["inputs"].refuse("there is no input.")
    for one in inputs:
        one.text()
    sharing = found["statistics"].choice(get_args(Sharing)) if "statistics" in found else "each"
    return Recipe(
        inputs=inputs,
        steps=tuple(_step(one) for one in _steps(found["steps"])),
        output=_output(found["output"]),
        statistics=sharing,  # type: ignore[arg-type]
        store=_store(found["store"]) if "store" in found else WriteOptions(**STORE),
        settings=_settings(found["settings"]) if "settings" in found else {},
        storage_options=_options_of(found["storage_options"]) if "storage_options" in found else {},
        given=found,
    )


def _steps(given: Located) -> list[Located]:
    steps = given.items()
    if not steps or given.value is None:
        given.refuse("there is no step.")
    return steps


def _step(given: Located) -> Step:
    """Return ``{normalize: {p: 99}}``, or ``normalize`` alone."""
    if isinstance(given.value, str):
        name, parameters = given, Located({}, given.where, given.path)
    else:
        entries = given.mapping()
        if len(entries) != 1:
            given.refuse(f"a step is one operation; got the keys {', '.join(entries) or 'none'}.")
        ((key, parameters),) = entries.items()
        name = Located(key, parameters.where, given.path)
    operation = STEPS[name.choice(tuple(STEPS))]
    if parameters.value is None:
        parameters = Located({}, parameters.where, parameters.path)
    kinds = _kinds(operation)
    entries = parameters.mapping(tuple(kinds), find_needed(operation))
    for key, one in entries.items():
        _check_kind(one, kinds[key])
    plain = {key: _named(one) if key in OF_CHANNELS else one.plain() for key, one in entries.items()}
    return Step(str(name.value), plain, name.where, entries)


def _named(given: Located) -> Any:
    """Return a value of which keys and entries of ``channels`` are names of channels: as they are spelled.

    ``488``, ``null`` and ``NO`` are names where channels are called so.
    """
    if isinstance(given.value, dict):
        return {WrittenName(key): one.plain() for key, one in given.value.items()}
    if not given.path.endswith(".channels") or given.value is None:
        return given.plain()
    return [_spelled(one) for one in given.value] if isinstance(given.value, list) else _spelled(given)


def _spelled(given: Located) -> Any:
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


def _check_kind(given: Located, kind: Any) -> None:
    """Refuse a text for a switch, which Python would take for true; what else a value may be its operation knows."""
    kinds = get_args(kind) or (kind,)
    if bool in kinds and not isinstance(given.value, bool) and not (given.value is None and NoneType in kinds):
        hint = ": write true or false, without quotes" if isinstance(given.value, str) else ""
        given.refuse(f"must be true or false; got {given.plain()!r}{hint}.")


def _output(given: Located) -> str:
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


def _store(given: Located) -> WriteOptions:
    options = given.mapping(tuple(STORE))
    for key, one in options.items():
        if key == "overwrite":
            _check_kind(one, bool)
        try:
            _check_stored(key, one.plain())
            WriteOptions(**{**STORE, key: one.plain()})
        except (ValueError, TypeError) as error:
            one.refuse(str(error))
    return WriteOptions(**{**STORE, **given.plain()})


def _check_stored(key: str, value: Any) -> None:
    """Refuse what no image could be stored by; what depends on the image is said when it is opened."""
    if key == "scale_factors" and value != "auto" and not isinstance(value, list):
        raise ValueError(f"must be auto or a list with one entry a level, such as [2, 2]; got {value!r}.")
    if key in ("chunks", "shards") and (isinstance(value, bool) or not isinstance(value, int | list | dict | None)):
        raise ValueError(f"must be a number of pixels, or a mapping such as {{y: 512, x: 512}}; got {value!r}.")


def _settings(given: Located) -> dict[str, Any]:
    found = given.mapping(tuple(one.name for one in fields(Options)))
    plain: dict[str, Any] = {}
    for key, one in found.items():
        plain[key] = one.plain()
        if isinstance(getattr(Options, key, None), bool):
            _check_kind(one, bool)
        try:
            Options(**{key: plain[key]})
        except (ValueError, TypeError) as error:
            one.refuse(redact_text(str(error), plain[key]) if key.startswith("scratch") else str(error))
    return plain


def _options_of(given: Located) -> dict[str, Any]:
    return {key: one.plain() for key, one in given.mapping().items()}
