"""Filters on streams of events: noise out, sensors cut, turned and made smaller. One file a filter, one row a filter.

    chain = FilterChain(make_filters([{"kind": "background", "window_us": 5000}, {"kind": "transpose"}]))
    sensor = chain.begin(recording.sensor)
    for packet in recording:
        cleaned = chain.push(packet)

A filter may also be made by its class (`refractory.Refractory(period_us=1000)`) and applied to one array
(`filter_events`). Other packages add filters through the entry point group `dvs_run.filters`: each entry names a
subclass of Filter.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import FilterError
from ..events import SensorSize
from .chain import FilterChain, FilterCount
from .filter import Filter
from .setting import Fault, Setting, check_values, describe_settings, raise_faults, suggest

__all__ = [
    "FILTERS", "Filter", "FilterChain", "FilterCount", "Setting", "describe_settings", "filter_events",
    "known_filters", "load_filter", "make_filters",
]  # fmt: skip

GROUP = "dvs_run.filters"
FILTERS = {  # name: where its class is, imported when asked for
    "polarity": ".polarity:Polarity",
    "region": ".region:Region",
    "crop": ".region:Crop",
    "flip": ".orientation:Flip",
    "rotate": ".orientation:Rotate",
    "transpose": ".orientation:Transpose",
    "downsample": ".downsample:Downsample",
    "integrate": ".integrate:Integrate",
    "refractory": ".refractory:Refractory",
    "background": ".background:Background",
    "correlation": ".correlation:Correlation",
    "hot_pixel": ".hot_pixel:HotPixel",
    "rate_limit": ".rate_limit:RateLimit",
    "random_drop": ".random_drop:RandomDrop",
    "undistort": ".undistort:Undistort",
}


def filter_events(events: np.ndarray, sensor: SensorSize, filters: Sequence[Filter]) -> tuple[np.ndarray, SensorSize]:
    """What is left of the events of one whole stream, and the sensor on which it lies. `events` is never written."""
    chain = FilterChain(filters)
    after = chain.begin(sensor)
    return chain.apply(events), after


def make_filters(entries: Sequence[Mapping[str, Any]]) -> list[Filter]:
    """Filters of plain values, as a config has them: [{"kind": "crop", "x": 10, ...}, ...].

    Raises FilterError that lists every fault of every entry.
    """
    made: list[Filter] = []
    faults: list[Fault] = []
    for number, entry in enumerate(entries):
        try:
            made.append(_make(entry))
        except FilterError as error:
            faults += [(f"[{number}].{where}".rstrip("."), text) for where, text in error.faults]
    raise_faults([(f"filters{where}", text) for where, text in faults])
    return made


def known_filters() -> list[str]:
    """Our own and those of installed packages."""
    return sorted({*FILTERS, *(entry.name for entry in importlib.metadata.entry_points(group=GROUP))})


def load_filter(kind: object) -> type[Filter]:
    """The class of one kind. Raises FilterError; an error inside a module is told as what it is, not as "unknown"."""
    where = None
    if isinstance(kind, str):
        added = importlib.metadata.entry_points(group=GROUP, name=kind)
        where = FILTERS.get(kind) or next((entry.value for entry in added), None)
    if where is None:
        raise FilterError(f"there is no filter {kind!r}{suggest(str(kind), known_filters())}")
    module, _, name = where.partition(":")
    try:
        found = getattr(importlib.import_module(module, __package__), name)
    except (ImportError, AttributeError) as error:
        raise FilterError(f"filter {kind!r} ({where}) cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Filter)):
        raise FilterError(f"filter {kind!r} ({where}) is not a Filter")
    return found


def _make(entry: object) -> Filter:
    if not isinstance(entry, Mapping) or "kind" not in entry:
        raise FilterError(f"found {entry!r}, want kind: one of {', '.join(known_filters())}, and its settings")
    values = {str(name): value for name, value in entry.items() if name != "kind"}
    try:
        cls = load_filter(entry["kind"])
    except FilterError as error:
        raise FilterError(str(error), (("kind", str(error)),)) from None
    raise_faults(check_values(cls, values))
    return cls(**values)
