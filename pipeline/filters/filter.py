"""What a filter is: settings in the constructor, state from `begin` on, events in, events out.

A filter writes what passes into an array that the caller owns, never into the events that it reads, and carries its
state from call to call, so that the outcome does not depend on where a stream is cut. chain.py calls it with events
that have been checked: sorted by time, within the sensor, at most BLOCK_EVENTS of them, contiguous and writable.
"""

import dataclasses
from typing import ClassVar

import numpy as np

from ..events import SensorSize
from .setting import check_values, raise_faults

LONG_AGO = -(2**63)  # the time of an event that never was: before every other, and subtracted from nothing
BLOCK_EVENTS = 8192  # two blocks of events, 213 kB, stay in the second cache of a core


class Filter:
    """Base of all filters. A subclass is a dataclass (eq=False): its fields are its settings."""

    name: ClassVar[str]  # as a config calls it
    reasons: ClassVar[tuple[str, ...]] = ()  # why an event may be dropped; the first, unless apply() counts others
    path_settings: ClassVar[tuple[str, ...]] = ()  # which settings are paths: relative ones begin at the config file

    dropped: dict[str, int]  # events dropped since the filter was made, by reason; chain.py counts for the first

    def __post_init__(self) -> None:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]  # of the subclass
        faults = check_values(type(self), {field.name: getattr(self, field.name) for field in fields})
        faults = faults or [("", text) for text in self.contradictions()]
        raise_faults([(f"{self.name}.{where}".rstrip("."), text) for where, text in faults])
        self.dropped = dict.fromkeys(self.reasons, 0)

    def contradictions(self) -> list[str]:
        """What is wrong with the settings together, as sentences; each by itself has been found right."""
        return []

    def check(self) -> list[str]:
        """What can be known to be wrong before anything starts, as sentences: a missing file."""
        return []

    def begin(self, sensor: SensorSize) -> SensorSize:
        """A stream begins: forget the one before. Returns the size of the sensor on which the outcome lies.

        Raises FilterError where the settings do not fit the sensor.
        """
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        """Write what passes to out[:k], and return k. Both are EVENT_DTYPE; `out` is at least as long as `events`."""
        raise NotImplementedError(f"{type(self).__name__} must say what passes")

    def smallest(self) -> SensorSize:
        """A sensor on which the settings make sense, for compiling before a stream begins."""
        return SensorSize(1, 1)

    def facts(self) -> list[str]:
        """What is worth telling at the end of a run besides the counts."""
        return []
