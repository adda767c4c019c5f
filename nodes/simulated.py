"""What the sources before the simulated camera share (film, webcam, pictures): how its pixels are, and the pace."""

from dataclasses import dataclass, fields, replace
from typing import Annotated, Literal

from pydantic import Field

from ..pipeline.errors import counted
from ..pipeline.events import SensorSize
from ..pipeline.simulate.pixel import PixelSettings
from .node import Row
from .paced import DEFAULT_PACKET_US, PacedSource


@dataclass(frozen=True, kw_only=True)
class SimulatedConfig:
    """Pixels as docs/simulator.md defines them; what is not said is as the scene has it."""

    seed: Annotated[int, Field(ge=0, description="of thresholds, leaks and noise")] = 0
    threshold_on: Annotated[float | None, Field(ge=0.01, description="rise of log intensity of an ON event")] = None
    threshold_off: Annotated[float | None, Field(ge=0.01, description="fall of log intensity of an OFF event")] = None
    threshold_mismatch: Annotated[float | None, Field(ge=0, description="its spread over the pixels, a share")] = None
    refractory_us: Annotated[float | None, Field(ge=0, description="blind time after an event, µs")] = None
    cutoff_hz: Annotated[float | None, Field(ge=0, description="corner frequency at white; 0: unlimited")] = None
    leak_hz: Annotated[float | None, Field(ge=0, description="leak events of a pixel, a second")] = None
    shot_noise_hz: Annotated[float | None, Field(ge=0, description="noise events of a pixel in the dark, a second")] = (
        None
    )
    hot_pixels: Annotated[float | None, Field(ge=0, le=1, description="share of pixels that fire all the time")] = None

    def pixels(self, scene: PixelSettings) -> PixelSettings:
        """The scene's pixels with what this config says of them."""
        told = {item.name: getattr(self, item.name, None) for item in fields(PixelSettings)}
        return replace(scene, **{name: value for name, value in told.items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class ShownConfig(SimulatedConfig):
    """Of what has pictures of a size of its own."""

    sensor: Annotated[
        list[int] | None,
        Field(min_length=2, max_length=2, description="[width, height]; default: that of the pictures"),
    ] = None
    fit: Annotated[
        Literal["crop", "stretch"], Field(description="to the sensor: cut what stands out, or change the proportions")
    ] = "crop"
    gamma: Annotated[
        float, Field(ge=0.1, le=10, description="light is (value / 255) ** gamma; 1: the values are light")
    ] = 2.2

    def __post_init__(self) -> None:
        if self.sensor is not None:
            SensorSize(*self.sensor)  # refuses sides that no camera has


@dataclass(frozen=True, kw_only=True)
class PacedConfig(SimulatedConfig):
    pace: Annotated[
        Literal["realtime", "fastest"] | Annotated[float, Field(gt=0, le=1000)],
        Field(description="realtime, fastest, or a factor: 2.0 is twice as fast as realtime"),
    ] = "realtime"
    packet_us: Annotated[
        int, Field(ge=1, le=1_000_000, description="sensor time of a packet, µs, when paced; else one a frame")
    ] = DEFAULT_PACKET_US


class SimulatedSource(PacedSource):
    """What a simulated camera sees, handed on when it is due."""

    def report(self) -> list[Row]:
        what = f"{counted(self._events, 'event')} in {self._span_us / 1e6:,.3f} s"
        return [("simulated", what), ("pace", str(self._pace))]
