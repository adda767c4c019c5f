"""Filter `undistort`: move each event to where it would be if the lens were ideal, by a table made once (lens.py).

Pixels are moved to the nearest pixel: several may meet in one, and where the image is spread some receive none. The
sensor keeps its size; what would lie outside it is dropped.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .lens import Lens, undistortion_table
from .setting import Setting


@dataclass(eq=False)
class Undistort(Filter):
    """The calibration is OpenCV's; its pixels are those of the stream as it reaches this filter."""

    fx: Annotated[float, Setting("focal length, in columns", above=0, high=1e6)]
    fy: Annotated[float, Setting("focal length, in rows", above=0, high=1e6)]
    cx: Annotated[float, Setting("column that the optical axis meets", low=-1e6, high=1e6)]
    cy: Annotated[float, Setting("row that the optical axis meets", low=-1e6, high=1e6)]
    distortion: Annotated[
        list[float], Setting("pinhole: k1 k2 p1 p2, then k3, then k4 k5 k6; fisheye: k1 k2 k3 k4", low=-1e6, high=1e6)
    ]
    model: Annotated[Literal["pinhole", "fisheye"], Setting("OpenCV's model of the lens")] = "pinhole"

    name: ClassVar[str] = "undistort"
    reasons: ClassVar[tuple[str, ...]] = ("outside",)

    def contradictions(self) -> list[str]:
        n, wanted = len(self.distortion), (4,) if self.model == "fisheye" else (4, 5, 8)
        numbers = " or ".join(map(str, wanted))
        return [f"distortion has {n} coefficients, want {numbers} for {self.model}"] * (n not in wanted)

    def begin(self, sensor: SensorSize) -> SensorSize:
        lens = Lens(self.fx, self.fy, self.cx, self.cy, tuple(map(float, self.distortion)), self.model)
        self._table = undistortion_table(lens, sensor)
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return undistort(events, self._table, out)


@kernel
def undistort(events, table, out):
    """(x, y) <- table[y, x]; events whose entry is negative are dropped."""
    k = 0
    for i in range(events.shape[0]):
        x, y = events[i]["x"], events[i]["y"]
        to_x, to_y = table[y, x, 0], table[y, x, 1]
        keep = to_x >= 0
        out[k] = events[i]
        out[k]["x"] = to_x if keep else 0
        out[k]["y"] = to_y if keep else 0
        k += keep
    return k
