"""Filter `integrate`: a smaller sensor whose pixels are integrate-and-fire neurons; fewer events on fewer pixels.

Each event adds 1 to the potential of its block of pixels (or takes 1 away, darker from brighter, where the polarities
share a potential); between events the potential leaks towards zero at a constant rate; at the threshold an event of
its sign goes out, at the time of the event that caused it, and the threshold is subtracted. So nothing is delayed,
and a pixel that is alone with its noise is forgotten.

Integers throughout: the outcome is the same on every machine. An exponential leak was left out for that reason; a
constant one also forgets entirely.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .downsample import blocks
from .filter import LONG_AGO, Filter
from .setting import Setting

UNIT = 1_000_000  # potential that one event adds: the leak, in events a second, takes `leak` of it a µs
LONGEST_US = 20_000_000_000  # the least leak empties any potential within it; times the largest leak, it fits int64


@dataclass(eq=False)
class Integrate(Filter):
    """One event out for about `threshold` events of a block of columns x rows pixels."""

    columns: Annotated[int, Setting("pixels side by side that become one", low=1, high=65_535)]
    rows: Annotated[int, Setting("pixels one above the other that become one", low=1, high=65_535)]
    threshold: Annotated[int | None, Setting("events for one; nothing: columns x rows", low=1, high=10_000)] = None
    leak_hz: Annotated[int, Setting("events that a block forgets a second", low=0, high=100_000_000)] = 0
    polarities: Annotated[
        Literal["together", "apart"],
        Setting("together: darker events cancel brighter ones; apart: each polarity has a potential of its own"),
    ] = "together"

    name: ClassVar[str] = "integrate"
    reasons: ClassVar[tuple[str, ...]] = ("integrated",)

    def contradictions(self) -> list[str]:
        area = self.columns * self.rows
        return [f"columns x rows is {area:,}, want a threshold (at most 10000)"] * (
            not self.threshold and area > 10_000
        )

    def begin(self, sensor: SensorSize) -> SensorSize:
        after = blocks(sensor, self.columns, self.rows)
        self._columns = (np.arange(sensor.width) // self.columns).astype(np.uint16)
        self._rows = (np.arange(sensor.height) // self.rows).astype(np.uint16)
        channels = 2 if self.polarities == "apart" else 1
        self._potential = np.zeros((channels, after.height, after.width), np.int64)
        self._last = np.full((channels, after.height, after.width), LONG_AGO)
        return after

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        threshold = (self.threshold or self.columns * self.rows) * UNIT
        state = (self._potential, self._last)
        return integrate(events, self._columns, self._rows, threshold, self.leak_hz, *state, out)


@kernel
def integrate(events, columns, rows, threshold, leak, potential, last, out):
    """v <- sign(v) max(0, |v| - leak (t - t_last)) + (+-1); where |v| >= threshold an event, and v <- v -+ threshold.

    potential and last are (1 or 2, height, width); with 2 channels each polarity has its own, which is never negative.
    """
    k = 0
    apart = potential.shape[0] == 2
    for i in range(events.shape[0]):
        t, p = events[i]["t"], events[i]["p"]
        x, y = columns[events[i]["x"]], rows[events[i]["y"]]
        channel = 1 if apart and p else 0
        v = potential[channel, y, x]
        if leak > 0 and v != 0:
            loss = leak * min(t - last[channel, y, x], LONGEST_US)
            v = max(v - loss, 0) if v > 0 else min(v + loss, 0)
        last[channel, y, x] = t
        v += UNIT if p or apart else -UNIT
        fires = v >= threshold or v <= -threshold
        out[k] = events[i]
        out[k]["x"] = x
        out[k]["y"] = y
        if fires:
            v -= threshold if v > 0 else -threshold
            k += 1
        potential[channel, y, x] = v
    return k
