"""Filters `flip`, `rotate` and `transpose`: the eight ways to lay a sensor down. All events pass."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting


class Orientation(Filter):
    """Base of the three: (x, y) are exchanged where `exchanges`, then mirrored left to right and top to bottom."""

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._exchange, self._mirror_x, self._mirror_y = self.steps()
        self._after = SensorSize(sensor.height, sensor.width) if self._exchange else sensor
        return self._after

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        last_x = self._after.width - 1 if self._mirror_x else -1
        last_y = self._after.height - 1 if self._mirror_y else -1
        return lay(events, self._exchange, last_x, last_y, out)

    def steps(self) -> tuple[bool, bool, bool]:
        """(exchange x and y, then mirror x, then mirror y)."""
        raise NotImplementedError(f"{type(self).__name__} must say how it lies")


@dataclass(eq=False)
class Flip(Orientation):
    """Mirror the sensor."""

    axis: Annotated[Literal["horizontal", "vertical", "both"], Setting("horizontal: left becomes right")]

    name: ClassVar[str] = "flip"

    def steps(self) -> tuple[bool, bool, bool]:
        return False, self.axis != "vertical", self.axis != "horizontal"


@dataclass(eq=False)
class Rotate(Orientation):
    """Turn the sensor clockwise, as seen: at 90, the top left pixel becomes the top right one."""

    degrees: Annotated[Literal[90, 180, 270], Setting("clockwise")]

    name: ClassVar[str] = "rotate"

    def steps(self) -> tuple[bool, bool, bool]:
        return self.degrees != 180, self.degrees != 270, self.degrees != 90


@dataclass(eq=False)
class Transpose(Orientation):
    """Exchange x and y: rows become columns."""

    name: ClassVar[str] = "transpose"

    def steps(self) -> tuple[bool, bool, bool]:
        return True, False, False


@kernel
def lay(events, exchange, last_x, last_y, out):
    """(x, y) exchanged or not; then x' = last_x - x where last_x >= 0, and y' = last_y - y where last_y >= 0."""
    for i in range(events.shape[0]):
        x, y = np.int64(events[i]["x"]), np.int64(events[i]["y"])
        if exchange:
            x, y = y, x
        out[i] = events[i]
        out[i]["x"] = x if last_x < 0 else last_x - x
        out[i]["y"] = y if last_y < 0 else last_y - y
    return events.shape[0]
