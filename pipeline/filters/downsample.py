"""Filter `downsample`: a smaller sensor, each of whose pixels takes the events of a block of pixels. All events pass.

As many events arrive, on fewer pixels; integrate.py is for fewer events too.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting


@dataclass(eq=False)
class Downsample(Filter):
    """x' = floor(x / columns), y' = floor(y / rows); blocks at the right and lower border may be smaller."""

    columns: Annotated[int, Setting("pixels side by side that become one", low=1, high=65_535)]
    rows: Annotated[int, Setting("pixels one above the other that become one", low=1, high=65_535)]

    name: ClassVar[str] = "downsample"

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._columns = (np.arange(sensor.width) // self.columns).astype(np.uint16)
        self._rows = (np.arange(sensor.height) // self.rows).astype(np.uint16)
        return blocks(sensor, self.columns, self.rows)

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return move(events, self._columns, self._rows, out)


def blocks(sensor: SensorSize, columns: int, rows: int) -> SensorSize:
    """How many blocks of columns x rows pixels cover the sensor."""
    return SensorSize(-(-sensor.width // columns), -(-sensor.height // rows))


@kernel
def move(events, columns, rows, out):
    """x' = columns[x], y' = rows[y]: tables, because processors divide slowly."""
    for i in range(events.shape[0]):
        out[i] = events[i]
        out[i]["x"] = columns[events[i]["x"]]
        out[i]["y"] = rows[events[i]["y"]]
    return events.shape[0]
