"""Filters `region` and `crop`: events within a rectangle. Only crop moves the origin and changes the sensor's size."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from ..errors import FilterError
from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .setting import Setting

X = Annotated[int, Setting("first column of the rectangle", low=0, high=65_534)]
Y = Annotated[int, Setting("first row of the rectangle", low=0, high=65_534)]
Width = Annotated[int, Setting("columns of the rectangle", low=1, high=65_535)]
Height = Annotated[int, Setting("rows of the rectangle", low=1, high=65_535)]


@dataclass(eq=False)
class Region(Filter):
    """Events within a rectangle [x, x + width) x [y, y + height), or outside; the sensor stays as it is."""

    x: X
    y: Y
    width: Width
    height: Height
    keep: Annotated[Literal["inside", "outside"], Setting("which events pass")] = "inside"

    name: ClassVar[str] = "region"
    reasons: ClassVar[tuple[str, ...]] = ("other region",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        fits(self.name, sensor, self.smallest())
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        right, bottom = self.x + self.width, self.y + self.height
        return region(events, self.x, right, self.y, bottom, self.keep == "inside", out)

    def smallest(self) -> SensorSize:
        return SensorSize(self.x + self.width, self.y + self.height)

    def contradictions(self) -> list[str]:
        return too_large(self.x, self.y, self.width, self.height)


@dataclass(eq=False)
class Crop(Filter):
    """The rectangle [x, x + width) x [y, y + height) as a sensor of its own, with its first pixel at (0, 0)."""

    x: X
    y: Y
    width: Width
    height: Height

    name: ClassVar[str] = "crop"
    reasons: ClassVar[tuple[str, ...]] = ("outside",)

    def begin(self, sensor: SensorSize) -> SensorSize:
        fits(self.name, sensor, self.smallest())
        return SensorSize(self.width, self.height)

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        return crop(events, self.x, self.x + self.width, self.y, self.y + self.height, out)

    def smallest(self) -> SensorSize:
        return SensorSize(self.x + self.width, self.y + self.height)

    def contradictions(self) -> list[str]:
        return too_large(self.x, self.y, self.width, self.height)


def too_large(x: int, y: int, width: int, height: int) -> list[str]:
    """What is wrong with a rectangle that fits no sensor at all."""
    sides = (("x + width", x + width), ("y + height", y + height))
    return [f"{side} is {value}, want at most 65535 pixels" for side, value in sides if value > 65_535]


def fits(name: str, sensor: SensorSize, wanted: SensorSize) -> None:
    """Raises FilterError if the rectangle ends beyond the sensor."""
    if wanted.width > sensor.width or wanted.height > sensor.height:
        raise FilterError(
            f"{name}: the rectangle ends at x={wanted.width}, y={wanted.height}, the sensor is {sensor}; "
            "make it smaller, or is a filter before it changing the size?"
        )


@kernel
def region(events, left, right, top, bottom, inside, out):
    """The events with left <= x < right and top <= y < bottom; all others where not `inside`."""
    k = 0
    for i in range(events.shape[0]):
        x, y = events[i]["x"], events[i]["y"]
        out[k] = events[i]
        k += ((x >= left) & (x < right) & (y >= top) & (y < bottom)) == inside
    return k


@kernel
def crop(events, left, right, top, bottom, out):
    """The events with left <= x < right and top <= y < bottom, moved by (-left, -top)."""
    k = 0
    for i in range(events.shape[0]):
        x, y = np.int64(events[i]["x"]), np.int64(events[i]["y"])
        keep = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        out[k] = events[i]
        out[k]["x"] = (x - left) if keep else 0
        out[k]["y"] = (y - top) if keep else 0
        k += keep
    return k
