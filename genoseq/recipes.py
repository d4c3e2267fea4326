"""Recipes: YAML files read into frozen dataclasses, strictly.

A recipe is a frozen dataclass whose fields are plain values (``int``, ``float``, ``str``, ``bool``,
``Literal``, optional values, ``tuple`` of those), further recipes, or ``dict[str, Any]`` (plain values that the recipe hands on
to whoever knows their keys). Reading one never guesses: an unknown
key is an error that lists the known ones, a value of the wrong type is an error that says what was expected,
and a key given twice is an error too. Checks on values belong in the dataclass's ``__post_init__`` (raise
``ValueError``); their message comes back with the name of the file and of the section.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class Recipe:
...     steps: int = 10
...     rate: float = 0.02
>>> parse_recipe("steps: 20", Recipe)
Recipe(steps=20, rate=0.02)
>>> print(dump_recipe(Recipe()), end="")
steps: 10
rate: 0.02
>>> parse_recipe("step: 20", Recipe)
Traceback (most recent call last):
    ...
genoseq.recipes.RecipeError: recipe: unknown key 'step' in the recipe (did you mean 'steps'?); known keys: steps, rate
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from genoseq.errors import GenoseqError
from genoseq.outputs import describe_os_error

__all__ = [
    "RecipeError",
    "build_recipe",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_digest",
    "recipe_keys",
    "recipe_values",
]

R = TypeVar("R")


class RecipeError(GenoseqError):
    """A recipe cannot be used: not YAML, an unknown or missing key, or a value of the wrong type or range."""


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, except that a key given twice is an error instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (list, dict)):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper with sections on lines of their own and lists on one line."""

    def represent_list(self, data: list[Any]) -> yaml.SequenceNode:  # type: ignore[override]
        node: yaml.SequenceNode = self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
        return node


_Dumper.add_representer(list, _Dumper.represent_list)


def load_recipe(path: Path | str, kind: type[R]) -> R:
    """The recipe in a YAML file, as an instance of ``kind``.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or does not fit ``kind``.
    """
    return parse_recipe(_text(path), kind, name=str(path))


def recipe_keys(path: Path | str) -> Mapping[str, Any]:
    """The keys and values at the top of a YAML file, not checked further: enough to find out what kind of recipe it is.

    Raises:
        RecipeError: the file cannot be read, is not YAML, or holds something else than keys and values.
    """
    values = _values(_text(path), str(path))
    if not isinstance(values, Mapping):
        raise RecipeError(f"{path}: the recipe is {_described(values)}; expected keys and values")
    return values


def parse_recipe(text: str, kind: type[R], *, name: str = "recipe") -> R:
    """The recipe in a YAML text, as an instance of ``kind``; ``name`` is what error messages call the text.

    Raises:
        RecipeError: the text is not YAML or does not fit ``kind``.
    """
    return build_recipe(_values(text, name), kind, name=name)


def _text(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(describe_os_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: is no recipe: no text in UTF-8 ({error.reason}); is it the right file?") from error


def _values(text: str, name: str) -> Any:
    try:
        # _StrictLoader is a SafeLoader: it builds plain values only.
        values = yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not valid YAML: {error}") from error
    return {} if values is None else values


def build_recipe(values: Mapping[str, Any], kind: type[R], *, name: str = "recipe") -> R:
    """The recipe made of nested mappings of plain values.

    Raises:
        RecipeError: an unknown key, a missing one, or a value of the wrong type or range.
    """
    built = _build(values, kind, name, "")
    assert isinstance(built, kind)  # narrows the type; _build returns nothing else
    return built


def recipe_values(recipe: Any) -> dict[str, Any]:
    """The recipe as nested dicts of plain values, tuples as lists, keys in the order of the fields."""
    return {field.name: _plain(getattr(recipe, field.name)) for field in dataclasses.fields(recipe)}


def dump_recipe(recipe: Any) -> str:
    """The recipe as YAML, every default written out; reading it back gives an equal recipe."""
    values = recipe_values(recipe)
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text


def recipe_digest(recipe: Any) -> str:
    """SHA-256 (hex) of the resolved recipe: equal recipes, equal digests, however the files are written."""
    return hashlib.sha256(json.dumps(recipe_values(recipe), sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return recipe_values(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _build(values: Any, kind: type, name: str, section: str) -> Any:
    where = f"section {section!r}" if section else "the recipe"
    if not isinstance(values, Mapping):
        raise RecipeError(f"{name}: {where} is {_described(values)}; expected keys and values")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in values:
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise RecipeError(f"{name}: unknown key {str(key)!r} in {where}{hint}; known keys: {', '.join(fields)}")
    hints = get_type_hints(kind)
    arguments = {}
    for key, field in fields.items():
        if key in values:
            arguments[key] = _value(values[key], hints[key], name, f"{section}.{key}" if section else key)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeError(f"{name}: {where} lacks the key {key!r}")
    try:
        return kind(**arguments)
    except ValueError as error:
        raise RecipeError(f"{name}: {where}: {error}") from error


def _value(value: Any, hint: Any, name: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(value, hint, name, key)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        choices = get_args(hint)
        if value is None and type(None) in choices:
            return None
        rest = [choice for choice in choices if choice is not type(None)]
        if len(rest) == 1:
            return _value(value, rest[0], name, key)
    elif origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in get_args(hint)):
            return value
    elif origin is tuple:
        kinds = get_args(hint)
        if isinstance(value, (list, tuple)):
            if len(kinds) == 2 and kinds[1] is Ellipsis:
                return tuple(_value(item, kinds[0], name, f"{key}[{i}]") for i, item in enumerate(value))
            if len(value) == len(kinds):
                return tuple(_value(item, kinds[i], name, f"{key}[{i}]") for i, item in enumerate(value))
    elif origin is dict:
        if isinstance(value, Mapping) and all(isinstance(inner, str) for inner in value):
            return dict(value)
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint in (int, str, bool) and type(value) is hint:
        return value
    raise RecipeError(f"{name}: {key} is {_described(value)}; expected {_expected(hint)}{_remedy(value, hint)}")


def _described(value: Any) -> str:
    if value is None:
        return "empty"
    return f"{value!r} ({'a mapping' if isinstance(value, Mapping) else type(value).__name__})"


def _expected(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in parts)
    if origin in (Union, types.UnionType):
        return " or ".join("empty" if part is type(None) else _expected(part) for part in parts)
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return f"a list of {_expected(parts[0])}"
        return f"a list of {len(parts)} values ({', '.join(_expected(part) for part in parts)})"
    if origin is dict:
        return "keys and values"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, str(hint))


def _remedy(value: Any, hint: Any) -> str:
    """A hint for YAML 1.1's trap that ``1e-3`` is text and only ``1.0e-3`` a number."""
    if isinstance(value, str) and hint is float:
        try:
            return f"; write {float(value)!r}"
        except ValueError:
            return ""
    return ""
