"""Node `webcam`: an ordinary camera, its pictures before the simulated event camera.

It is live: what is slow behind it loses packets, which are counted. A packet is what happened between two pictures, so
it is a picture's time late. A webcam that was unplugged is waited for, and is another stream when it is back.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..pipeline.errors import RecordingError, counted
from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.stream import StreamInfo
from .node import Row, Source
from .packets import moved
from .simulated import ShownConfig

if TYPE_CHECKING:
    from ..pipeline.simulate.film import Film

AGAIN_NS = 1_000_000_000  # between two attempts to open it again


@dataclass(frozen=True, kw_only=True)
class WebcamConfig(ShownConfig):
    device: Annotated[str, Field(min_length=1, description="as the driver names it")] = "/dev/video0"
    driver: Annotated[
        str, Field(min_length=1, description="FFmpeg's: v4l2 (Linux), avfoundation (macOS), dshow (Windows)")
    ] = "v4l2"
    size: Annotated[
        list[int] | None, Field(min_length=2, max_length=2, description="[width, height] that is asked of the webcam")
    ] = None
    frames_per_second: Annotated[float | None, Field(gt=0, le=10_000, description="asked of the webcam")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None:
            SensorSize(*self.size)


class Webcam(Source):
    """A StreamInfo for each time that the webcam is there, then what the event camera sees."""

    Config, emits, live = WebcamConfig, EventPacket, True

    def open(self) -> None:
        self._events = self._pictures = self._lost = 0
        self._shown = self._plugged()

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        from ..pipeline.simulate.film import filmed
        from ..pipeline.simulate.pixel import PixelSettings

        pixels, begun_ns = self.config.pixels(PixelSettings()), time.monotonic_ns()
        while True:
            by_us = (time.monotonic_ns() - begun_ns) // 1000 if self._lost else 0
            yield StreamInfo(self.config.device, self._shown.sensor)
            try:
                packets = filmed(self._shown, pixels, self.config.seed, self.config.gamma)
                for packet in moved(packets, by_us):
                    self._events += len(packet.events)
                    self._pictures += 1
                    yield packet
                    if not self.wait_until(0):  # has the run been stopped?
                        return
            except RecordingError:
                pass
            self._lost += 1
            if not self._found_again():
                return

    def close(self) -> None:
        if hasattr(self, "_shown"):
            self._shown.close()

    def report(self) -> list[Row]:
        rows = [("webcam", f"{counted(self._pictures, 'picture')}, {counted(self._events, 'event')}")]
        return rows + ([("lost", counted(self._lost, "time"))] if self._lost else [])

    def _plugged(self) -> "Film":
        from ..pipeline.simulate.film import Film

        config, options = self.config, {}
        if config.size is not None:
            options["video_size"] = f"{config.size[0]}x{config.size[1]}"
        if config.frames_per_second is not None:
            options["framerate"] = f"{config.frames_per_second:g}"
        sensor = SensorSize(*config.sensor) if config.sensor else SensorSize(1, 1)
        return Film(config.device, sensor, config.fit, container=config.driver, options=options, live=True)

    def _found_again(self) -> bool:
        """Wait until the webcam is there again; False: the run was stopped."""
        sensor = self._shown.sensor
        while self.wait_until(time.monotonic_ns() + AGAIN_NS):
            try:
                self._shown = self._plugged()
            except RecordingError:
                continue
            if self._shown.sensor != sensor:
                raise RecordingError(f"{self.config.device} came back with {self._shown.sensor} pixels, not {sensor}")
            return True
        return False
