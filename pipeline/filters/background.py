"""Filter `background`: drop events that no neighbouring pixel has announced. The classic nearest-neighbour filter.

Noise of a pixel knows nothing of its neighbours; edges move across several. Delbruck 2008, "Frame-free dynamic digital
vision": an event passes if one of the 8 pixels around it had an event, of either polarity, less than window_us before.
The pixel's own past does not count, or every hot pixel would vouch for itself. Times of all events are remembered,
dropped ones too. correlation.py asks for more than one witness.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import LONG_AGO, Filter
from .setting import Setting


@dataclass(eq=False)
class Background(Filter):
    """Events with a neighbour's event less than window_us before them; the first of a stream never passes."""

    window_us: Annotated[int, Setting("how long an event vouches for its neighbours, µs", low=1, high=3_600_000_000)]
    neighbours: Annotated[Literal[8, 4], Setting("8: all around; 4: left, right, above and below (as tonic)")] = 8

    name: ClassVar[str] = "background"
    reasons: ClassVar[tuple[str, ...]] = ("alone",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._last = np.full((sensor.height + 2, sensor.width + 2), LONG_AGO)
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return background(events, self.window_us, self.neighbours == 8, self._last, out)


@kernel
def background(events, window, diagonals, last, out):
    """The events with max over neighbours of last > t - window; `last` has a border of one pixel that never fires."""
    k = 0
    for i in range(events.shape[0]):
        t, x, y = events[i]["t"], np.int64(events[i]["x"]) + 1, np.int64(events[i]["y"]) + 1
        newest = max(max(last[y, x - 1], last[y, x + 1]), max(last[y - 1, x], last[y + 1, x]))
        if diagonals:
            above, below = max(last[y - 1, x - 1], last[y - 1, x + 1]), max(last[y + 1, x - 1], last[y + 1, x + 1])
            newest = max(newest, max(above, below))
        last[y, x] = t
        out[k] = events[i]
        k += newest > t - window
    return k
