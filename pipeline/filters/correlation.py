"""Filter `correlation`: drop events that fewer than `witnesses` neighbouring pixels have announced.

Guo and Delbruck 2022, "Low cost and latency event camera background activity denoising" (TPAMI), call it the
spatiotemporal correlation filter: an event passes if at least k of the pixels around it had an event less than tau
before. With one witness it is the filter `background`. Where noise has rate r a pixel, one witness is found by chance
with probability near 8 r tau, k of them with its k-th power over k!: at the same share of noise let through, tau can be
much longer, and edges that are slow or sparse survive. Polarity carries more: an edge tells the same polarity to all
pixels that it crosses, noise does not; so by default a witness must have the event's own polarity.
docs/filters.md has what this gains on real recordings with known noise in them.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import LONG_AGO, Filter
from .setting import Setting


@dataclass(eq=False)
class Correlation(Filter):
    """Events that at least `witnesses` pixels around them have announced less than window_us before."""

    window_us: Annotated[int, Setting("how long an event vouches for its neighbours, µs", low=1, high=3_600_000_000)]
    witnesses: Annotated[int, Setting("pixels that must have had an event", low=1, high=24)] = 2
    radius: Annotated[Literal[1, 2], Setting("how far around: 1 is 8 pixels, 2 is 24")] = 1
    polarity: Annotated[Literal["same", "any"], Setting("same: witnesses must have the event's polarity")] = "same"

    name: ClassVar[str] = "correlation"
    reasons: ClassVar[tuple[str, ...]] = ("too few witnesses",)

    def contradictions(self) -> list[str]:
        around = (2 * self.radius + 1) ** 2 - 1
        return [f"witnesses is {self.witnesses}, but only {around} pixels are around"] * (self.witnesses > around)

    def begin(self, sensor: SensorSize) -> SensorSize:
        channels = 2 if self.polarity == "same" else 1
        self._last = np.full((channels, sensor.height + 2 * self.radius, sensor.width + 2 * self.radius), LONG_AGO)
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return correlation(events, self.window_us, self.witnesses, self.radius, self._last, out)


@kernel
def correlation(events, window, witnesses, radius, last, out):
    """The events with #{pixels around, not the own: last > t - window} >= witnesses.

    last is (1 or 2, height, width) with a border of `radius` pixels that never fire; with 2 channels, one a polarity.
    The 8 pixels of radius 1 are written out: a third faster than the loops.
    """
    k = 0
    apart = last.shape[0] == 2
    for i in range(events.shape[0]):
        t, x, y = events[i]["t"], np.int64(events[i]["x"]) + radius, np.int64(events[i]["y"]) + radius
        c = 1 if apart and events[i]["p"] else 0
        since = t - window
        found = np.int64(0)
        if radius == 1:
            found += np.int64(last[c, y - 1, x - 1] > since) + np.int64(last[c, y - 1, x] > since)
            found += np.int64(last[c, y - 1, x + 1] > since) + np.int64(last[c, y, x - 1] > since)
            found += np.int64(last[c, y, x + 1] > since) + np.int64(last[c, y + 1, x - 1] > since)
            found += np.int64(last[c, y + 1, x] > since) + np.int64(last[c, y + 1, x + 1] > since)
        else:
            found -= np.int64(last[c, y, x] > since)
            for row in range(y - radius, y + radius + 1):
                for column in range(x - radius, x + radius + 1):
                    found += np.int64(last[c, row, column] > since)
        last[c, y, x] = t
        out[k] = events[i]
        k += found >= witnesses
    return k
