"""Filter `hot_pixel`: drop the events of pixels that fire whatever they see: learned from the stream, listed, or both.

The stream is counted in windows of learn_us after its first event. After each, those pixels are hot that fired at more
than above_hz and more than `times` as often as the second busiest pixel around them: a moving edge or a flickering lamp
makes several neighbours fire, a defect none, two defects that touch each one. (The median around was tried: it takes
corners and thin lines for defects.) The pixels learned in one window are dropped during the next; during the first all
pass. A silent stream teaches nothing: windows without an event leave what is known. Pixels listed in a file (`x, y` a
line) are dropped always; larger clusters of defects are to be listed.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from ..errors import FilterError
from ..events import SensorSize
from ..kernel_cache import kernel
from .filter import Filter
from .pixel_list import Pixel, read_pixels
from .setting import Setting

LISTED, LEARNED = 1, 2


@dataclass(eq=False)
class HotPixel(Filter):
    """Events of pixels that are neither listed nor found to be hot."""

    learn_us: Annotated[
        int | None, Setting("how long pixels are watched, µs; nothing: only the list", low=1_000, high=86_400_000_000)
    ] = 1_000_000
    above_hz: Annotated[float, Setting("a hot pixel fires more often than this, Hz", above=0, high=1e6)] = 50.0
    times: Annotated[
        float, Setting("and so many times as often as the second busiest pixel around it", low=1, high=1e6)
    ] = 5.0
    again: Annotated[bool, Setting("true: learn anew in every learn_us; false: only in the first")] = True
    path: Annotated[str | None, Setting("a list of pixels: a text file, a line x, y for each")] = None

    name: ClassVar[str] = "hot_pixel"
    reasons: ClassVar[tuple[str, ...]] = ("listed", "learned")
    path_settings: ClassVar[tuple[str, ...]] = ("path",)

    def contradictions(self) -> list[str]:
        return ["neither learns nor has a list; set learn_us or path"] * (self.learn_us is None and not self.path)

    def check(self) -> list[str]:
        try:
            self._listed()
        except FilterError as error:
            return [str(error)]
        return []

    def begin(self, sensor: SensorSize) -> SensorSize:
        self._state = np.zeros((sensor.height, sensor.width), np.uint8)
        self._counts = np.zeros((sensor.height, sensor.width), np.int32)
        self._learns = self.learn_us is not None
        self._stop_us: int | None = None  # end of the window being counted
        for x, y in self._listed():
            if x >= sensor.width or y >= sensor.height:
                raise FilterError(f"{self.name}: pixel {x}, {y} of {self.path} lies outside the {sensor} sensor")
            self._state[y, x] = LISTED
        find_hot(self._counts, 0.0, float(self.times), self._state)  # finds none: compiles it before events come
        return sensor

    def apply(self, events: np.ndarray, out: np.ndarray) -> int:
        by_state = np.zeros(3, np.int64)
        if self._learns and self._stop_us is None and len(events):
            self._stop_us = int(events["t"][0]) + (self.learn_us or 0)
        begin = kept = 0
        while True:
            end = len(events) if self._stop_us is None else int(np.searchsorted(events["t"], self._stop_us))
            kept += hot_pixel(events[begin:end], self._state, self._counts, by_state, out[kept:])
            if end == len(events):
                break
            self._learn(int(events["t"][end]))
            begin = end
        self.dropped["listed"] += int(by_state[LISTED])
        self.dropped["learned"] += int(by_state[LEARNED])
        return kept

    def smallest(self) -> SensorSize:
        listed = self._listed()
        return SensorSize(1 + max((x for x, _ in listed), default=0), 1 + max((y for _, y in listed), default=0))

    def facts(self) -> list[str]:
        found = self.learned
        shown = ", ".join(f"{x} {y}" for x, y in found[:8]) + (", ..." if len(found) > 8 else "")
        return [f"{len(found):,} hot pixels at the end (x y): {shown}"] if found else []

    @property
    def learned(self) -> list[Pixel]:
        """The pixels that are being dropped because of what they did, as (x, y); pixel_list.write_pixels keeps them."""
        rows, columns = np.nonzero(self._state == LEARNED)
        return list(zip(columns.tolist(), rows.tolist(), strict=True))

    def _listed(self) -> list[Pixel]:
        return read_pixels(self.path) if self.path else []

    def _learn(self, t_us: int) -> None:
        """The window is over; the next is that of t_us, on the same raster."""
        window_us = self.learn_us or 0
        find_hot(self._counts, self.above_hz * window_us / 1e6, float(self.times), self._state)
        self._counts[:] = 0
        self._learns = self.again
        self._stop_us = t_us + window_us - (t_us - (self._stop_us or 0)) % window_us if self.again else None


@kernel
def hot_pixel(events, state, counts, by_state, out):
    """The events whose pixel has state 0; every event is counted, by pixel and by state."""
    k = 0
    for i in range(events.shape[0]):
        x, y = events[i]["x"], events[i]["y"]
        counts[y, x] += 1
        found = state[y, x]
        by_state[found] += 1
        out[k] = events[i]
        k += found == 0
    return k


@kernel
def find_hot(counts, least, times, state):
    """state = LEARNED where count > least and count > times * the second greatest count around; LISTED stays."""
    height, width = counts.shape
    for y in range(height):
        for x in range(width):
            if state[y, x] == LISTED:
                continue
            state[y, x] = 0
            if counts[y, x] <= least:
                continue
            first = second = 0
            for row in range(max(y - 1, 0), min(y + 2, height)):
                for column in range(max(x - 1, 0), min(x + 2, width)):
                    if row != y or column != x:
                        count = counts[row, column]
                        second = max(second, min(first, count))
                        first = max(first, count)
            if counts[y, x] > times * second:
                state[y, x] = LEARNED
