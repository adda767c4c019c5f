"""Node `encoder`: turn each frame image into timesteps of spikes or of constant current."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import Field

from ..pipeline.encode import CurrentEncoder, PoissonEncoder
from ..pipeline.errors import counted
from ..pipeline.stream import BinnedSlice, CurrentSlice, Image, StreamInfo
from .node import Node, Row


@dataclass(frozen=True)
class EncoderConfig:
    method: Annotated[Literal["poisson", "current"], Field(description="spikes at random, or the pixel values")]
    timesteps: Annotated[int, Field(ge=1, le=1_000_000, description="timesteps of each image")] = 64
    timestep_us: Annotated[int, Field(ge=1, le=1_000_000_000, description="length of a timestep, µs")] = 1_000
    rate_per_step: Annotated[
        float, Field(gt=0, le=1, description="poisson: spikes per timestep of a white pixel; the network must suit it")
    ] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63, description="poisson: the same seed gives the same spikes")] = 0


class Encoder(Node):
    """Images in, `timesteps` slices out for each."""

    Config, accepts, emits = EncoderConfig, Image, (BinnedSlice, CurrentSlice)

    def open(self) -> None:
        config = self.config
        self._images = 0
        self._encoder: PoissonEncoder | CurrentEncoder = (
            PoissonEncoder(config.timesteps, config.timestep_us, config.rate_per_step, config.seed)
            if config.method == "poisson"
            else CurrentEncoder(config.timesteps, config.timestep_us)
        )

    def begin(self, stream: StreamInfo) -> StreamInfo:
        return replace(stream, timestep_us=self.config.timestep_us)

    def process(self, image: Image) -> Iterator[BinnedSlice | CurrentSlice]:
        yield from self._encoder.encode(image, self._images)
        self._images += 1

    def report(self) -> list[Row]:
        config = self.config
        rate = f", {config.rate_per_step:g} spikes a timestep of white" if config.method == "poisson" else ""
        return [
            ("encoding", f"{config.method}, {counted(config.timesteps, 'timestep')} of {config.timestep_us} µs{rate}")
        ]
