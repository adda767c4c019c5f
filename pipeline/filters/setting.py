"""Settings of a filter: what each may be, and every fault of a set of them at once, one sentence each.

A filter is a dataclass whose fields are its settings: `period_us: Annotated[int, Setting("dead time, µs", low=0)]`.
They are checked here and not by pydantic, which is the config's: a library's user makes filters without one.
"""

import dataclasses
import difflib
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import FilterError

Fault = tuple[str, str]  # where, as in filters[1].period_us; and a sentence

_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", NoneType: "nothing"}


@dataclass(frozen=True)
class Setting:
    """What one setting means, and its range; for a list, the range of each value."""

    description: str
    low: float = -math.inf  # the least value
    high: float = math.inf  # the greatest
    above: float = -math.inf  # it must be more than this


def check_values(cls: type, values: Mapping[str, Any]) -> list[Fault]:
    """Every fault of settings given by name: unknown, missing, of another type, out of range."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    faults = [(str(name), f"unknown setting{suggest(str(name), fields)}") for name in values if name not in fields]
    for name, field in fields.items():
        if name in values:
            wanted = wrong(values[name], *_hint(cls, name))
            if wanted:
                faults.append((name, f"found {_show(values[name])}, want {wanted}"))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            faults.append((name, f"is missing, want {describe(*_hint(cls, name))}"))
    return faults


def describe_settings(cls: type) -> list[tuple[str, str, str, Any]]:
    """(name, what it may be, what it means, default) of every setting; for pages and editors."""
    rows = []
    for field in dataclasses.fields(cls):
        kind, setting = _hint(cls, field.name)
        rows.append((field.name, describe(kind, setting), setting.description, field.default))
    return rows


def wrong(value: Any, kind: Any, setting: Setting) -> str:
    """What is wanted instead of this value; "" where nothing is wrong."""
    if get_origin(kind) in (Union, UnionType):
        fits = any(not wrong(value, part, setting) for part in get_args(kind))
    elif get_origin(kind) is Literal:
        fits = value in get_args(kind) and not isinstance(value, bool)
    elif get_origin(kind) is list:
        fits = isinstance(value, (list, tuple)) and not any(wrong(one, get_args(kind)[0], setting) for one in value)
    elif kind in (int, float):
        fits = isinstance(value, (int, kind)) and not isinstance(value, bool)
        fits = fits and math.isfinite(value) and setting.low <= value <= setting.high and value > setting.above
    else:
        fits = isinstance(value, kind)
    return "" if fits else describe(kind, setting)


def describe(kind: Any, setting: Setting) -> str:
    """A type and a range in words."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(describe(part, setting) for part in get_args(kind))
    if get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in get_args(kind))
    if get_origin(kind) is list:
        return f"a list, each {describe(get_args(kind)[0], setting)}"
    bounds = []
    if kind in (int, float):
        bounds = [f"above {setting.above:,.12g}"] * math.isfinite(setting.above)
        bounds += [f"at least {setting.low:,.12g}"] * math.isfinite(setting.low)
        bounds += [f"at most {setting.high:,.12g}"] * math.isfinite(setting.high)
    return _WORDS[kind] + (f" ({', '.join(bounds)})" if bounds else "")


def suggest(word: str, choices: Iterable[str]) -> str:
    """'; did you mean x?' where one comes close, else what there is."""
    choices = list(choices)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(choices)}" if choices else "; it has no settings"


def raise_faults(faults: list[Fault]) -> None:
    """FilterError with all of them, if there are any."""
    if faults:
        raise FilterError("; ".join(f"{where}: {text}" for where, text in faults), tuple(faults))


def _show(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return "nothing" if value is None else text if len(text) <= 60 else text[:57] + "..."


def _hint(cls: type, name: str) -> tuple[Any, Setting]:
    annotated = _hints(cls)[name]
    return annotated.__origin__, next(part for part in annotated.__metadata__ if isinstance(part, Setting))


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)
