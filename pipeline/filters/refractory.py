"""Filter `refractory`: a pixel that has spoken is not heard for a while.

Two rules bear this name. `since: kept` is the dead time of a pixel circuit or of a neuron: it begins with an event that
passed, so a pixel that fires without end still passes one event every period_us. `since: any` begins anew with every
event, dropped ones too: a pixel that fires faster than once in period_us falls silent. tonic, jAER and libcaer compute
the second. Both polarities of a pixel share one dead time.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import LONG_AGO, Filter
from .setting import Setting


@dataclass(eq=False)
class Refractory(Filter):
    """Events more than period_us after the one before them at their pixel; the first of a pixel always passes."""

    period_us: Annotated[int, Setting("dead time of a pixel, µs", low=0, high=3_600_000_000)]
    since: Annotated[
        Literal["kept", "any"], Setting("kept: since the last event that passed; any: since the last event")
    ] = "kept"

    name: ClassVar[str] = "refractory"
    reasons: ClassVar[tuple[str, ...]] = ("within the period",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._last = np.full((sensor.height, sensor.width), LONG_AGO)
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return refractory(events, self.period_us, self.since == "any", self._last, out)


@kernel
def refractory(events, period, renews, last, out):
    """The events with t - last[y, x] > period; last[y, x] = t where the event passes, or always where it `renews`."""
    k = 0
    for i in range(events.shape[0]):
        t, x, y = events[i]["t"], events[i]["x"], events[i]["y"]
        before = last[y, x]
        keep = before < t - period
        last[y, x] = t if keep or renews else before
        out[k] = events[i]
        k += keep
    return k
