"""Filter `rate_limit`: never more than so many events a second, for a consumer that must keep up.

A bucket of credit: it fills by events_per_s, holds `burst` events at most, and an event passes that finds one in it.
So in any span of T seconds at most burst + T * events_per_s events pass, whatever comes; which ones depends on the
events' times alone, not on the host's load. It is fair over time, not over the sensor: of events with one time stamp
the first pass. Where a camera sends its rows in order, put `random_drop` before it.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting

EVENT = 1_000_000  # credit that one event takes: the rate, in events a second, is what a µs brings


@dataclass(eq=False)
class RateLimit(Filter):
    """Events as they come while the rate allows; the rest is dropped."""

    events_per_s: Annotated[int, Setting("events that may pass a second, on average", low=1, high=1_000_000_000)]
    burst: Annotated[int, Setting("events that may pass at once after a silence", low=1, high=1_000_000_000)] = 1_000

    name: ClassVar[str] = "rate_limit"
    reasons: ClassVar[tuple[str, ...]] = ("over the limit",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._credit = self.burst * EVENT
        self._last_us: int | None = None
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        if not len(events) and self._last_us is not None:
            return 0
        first = int(events["t"][0]) if len(events) else 0
        last = first if self._last_us is None else self._last_us
        kept, self._credit = rate_limit(events, self.events_per_s, self.burst * EVENT, self._credit, last, out)
        self._last_us = int(events["t"][-1]) if len(events) else None
        return kept


@kernel
def rate_limit(events, rate, full, credit, last, out):
    """credit <- min(full, credit + rate (t - last)); an event passes where credit >= EVENT, and takes it."""
    k = 0
    longest = full // rate + 1  # µs after which the bucket is full, whatever was in it
    for i in range(events.shape[0]):
        t = events[i]["t"]
        credit = min(full, credit + rate * min(t - last, longest))
        last = t
        out[k] = events[i]
        keep = credit >= EVENT
        credit -= EVENT if keep else 0
        k += keep
    return k, credit
