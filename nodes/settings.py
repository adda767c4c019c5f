"""Check plain values (from YAML, JSON or a command line) against a frozen dataclass of settings.

Every fault is collected: where, what was found, what is wanted, and the nearest key or word that exists. Types are
taken as they are: "5" is text, not a number; nothing is converted except a whole number to a real one.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ..pipeline.errors import DvsError


@dataclass(frozen=True)
class Problem:
    """One fault of a config. `where` is its path, as in nodes.binner.window_us."""

    where: str
    text: str


def check_settings(cls: type, values: Any, where: str, problems: list[Problem], known: tuple[str, ...] = ()) -> Any:
    """An instance of the dataclass `cls`, or None after adding to `problems`. `known`: keys that others will check."""
    before = len(problems)
    if not isinstance(values, Mapping):
        problems.append(Problem(where, f"found {show(values)}, want keys with values (key: value)"))
        return None
    fields = {field.name: field for field in dataclasses.fields(cls)}
    problems += [
        Problem(_join(where, key), f"unknown key{suggest(str(key), [*fields, *known])}")
        for key in values
        if key not in fields and key not in known
    ]
    checked = {}
    for name, field in fields.items():
        if name not in values:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                wanted = describe(field_schema(cls, name))
                problems.append(Problem(where, f"{name} is missing, want {name}: {wanted}"))
            continue
        try:
            checked[name] = _adapters(cls)[name].validate_python(values[name], strict=True)
        except ValidationError:
            schema = field_schema(cls, name)
            found = show(values[name])
            hint = suggest(values[name], _choices(schema)) if isinstance(values[name], str) else ""
            problems.append(Problem(_join(where, name), f"found {found}, want {describe(schema)}{hint}"))
    if len(problems) > before:
        return None
    try:
        return cls(**checked)
    except (DvsError, ValueError) as error:  # __post_init__: settings that contradict each other
        faults = getattr(error, "faults", (("", str(error)),))  # of a FilterError: several, each with its place
        problems += [Problem(_join(where, place) if place else where, text) for place, text in faults]
        return None


def field_schema(cls: type, name: str) -> dict[str, Any]:
    """JSON schema of one field, its description and default included."""
    return dict(_adapters(cls)[name].json_schema())


def settings_schema(cls: type) -> dict[str, Any]:
    """JSON schema of the whole dataclass as an object."""
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        properties[field.name] = field_schema(cls, field.name)
        if field.default is not dataclasses.MISSING:
            properties[field.name]["default"] = field.default
        elif field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    return {"properties": properties, "required": required}


def show(value: Any) -> str:
    """A value as the user may have written it, with its type where that could be the fault."""
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    names = {str: "text", bool: "yes/no", int: "a whole number", float: "a real number", list: "a list", type(None): ""}
    kind = "keys with values" if isinstance(value, Mapping) else names.get(type(value), type(value).__name__)
    return "nothing" if value is None else f"{text} ({kind})"


def suggest(word: str, choices: list[str]) -> str:
    """'; did you mean x?' where one comes close, else what there is."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(choices)}" if choices else ""


def describe(schema: Mapping[str, Any]) -> str:
    """What a JSON schema of one field asks for, in words."""
    if "examples" in schema:
        return f"text like {schema['examples'][0]}"
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return " or ".join(repr(choice) for choice in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(describe(part) for part in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items") or {}
        if schema.get("minItems") and schema.get("minItems") == schema.get("maxItems"):
            return f"a list of {schema['minItems']} values, each {describe(items)}"
        return f"a list of {describe(items) if items else 'values'}" + _bounds(
            schema, "minItems", "maxItems", "entries"
        )
    words = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
    return words.get(str(kind), "keys with values" if kind == "object" else "nothing") + _bounds(schema)


def _bounds(schema: Mapping[str, Any], low: str = "minimum", high: str = "maximum", unit: str = "") -> str:
    parts = []
    if "exclusiveMinimum" in schema:
        parts.append(f"above {schema['exclusiveMinimum']}")
    if low in schema:
        parts.append(f"at least {schema[low]} {unit}".strip())
    if high in schema:
        parts.append(f"at most {schema[high]} {unit}".strip())
    if "pattern" in schema:
        parts.append(f"like {schema['pattern']}")
    return f" ({', '.join(parts)})" if parts else ""


def _choices(schema: Mapping[str, Any]) -> list[str]:
    parts = schema.get("anyOf", [schema])
    words = [choice for part in parts for choice in part.get("enum", [part.get("const")])]
    return [word for word in words if isinstance(word, str)]


@cache
def _adapters(cls: type) -> dict[str, TypeAdapter]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(cls)}


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)
