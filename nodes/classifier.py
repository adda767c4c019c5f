"""Node `classifier`: a spiking network that keeps its state from slice to slice and decides after each."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..pipeline.errors import NetworkError, counted
from ..pipeline.network import Network
from ..pipeline.stream import BinnedSlice, Classification, CurrentSlice, StreamInfo
from .node import Node, Row


@dataclass(frozen=True)
class ClassifierConfig:
    network: Annotated[str, Field(min_length=1, description="a network file (.npz), made by `dvs convert`")]
    any_timestep: Annotated[
        bool, Field(description="false: refuse slices of another length than the network was trained for")
    ] = True
    numbers: Annotated[
        Literal["int8", "int16", "float32"],
        Field(description="number format of the engine: int8 is the fastest, int16 rounds the least"),
    ] = "int16"


class Classifier(Node):
    """Slices in, one Classification out after each. Every recording or image begins with a network at rest."""

    Config: ClassVar[type] = ClassifierConfig
    accepts, emits = (BinnedSlice, CurrentSlice), Classification
    paths: ClassVar[tuple[str, ...]] = ("network",)

    def check(self) -> list[str]:
        try:
            Network.load(self.config.network)
        except NetworkError as error:
            return [f"network: {error}"]
        return []

    def open(self) -> None:
        self._steps = 0
        self._synops: dict[str, int] = {}
        self._start(Network.load(self.config.network), None)

    def begin(self, stream: StreamInfo) -> StreamInfo:
        network = self._engine.network
        shape = (stream.channels, stream.sensor.height, stream.sensor.width)
        if shape != network.input_shape:
            channels, height, width = network.input_shape
            raise NetworkError(
                f"the network {self.config.network} is for {counted(channels, 'channel')} of {width}x{height} pixels, "
                f"{stream.name} has {stream.channels} of {stream.sensor}; use a network trained for that sensor"
            )
        self._fit_timestep(stream)
        self._engine.reset()
        self._recording = stream.name
        return stream

    def process(self, piece: BinnedSlice | CurrentSlice) -> Iterator[Classification]:
        decision = self._engine.step(piece)
        self._steps += 1
        yield dataclasses.replace(decision, recording=self._recording)

    def report(self) -> list[Row]:
        if not self._steps:
            return []
        macs = self._engine.macs_per_layer
        synops = self._all_synops()
        per_layer = "  ".join(f"{name} {count / self._steps:,.0f}" for name, count in synops.items())
        per_slice, per_pass = sum(synops.values()) / self._steps, sum(macs.values())
        rows = [
            ("SynOps a slice", f"{per_slice:,.0f}  =  {per_layer}"),
            ("MACs of the CNN", f"{per_pass:,}  =  " + "  ".join(f"{name} {count:,}" for name, count in macs.items())),
            ("SynOps a slice / MACs", f"{per_slice / per_pass:.4f}"),
        ]
        trained, given = self._engine.network.timestep_us, self._engine.timestep_us
        if trained is not None and given != trained:
            effect = "longer slices cost accuracy" if given is not None and given > trained else "and costs more SynOps"
            rows.append(
                ("other slices", f"the network was trained on {trained} µs, ran on {given} µs: biases scaled; {effect}")
            )
        if self.config.numbers != "int16":
            worst = max(self._engine.rounding, key=self._engine.rounding.__getitem__)
            error = self._engine.rounding[worst]
            rows.append(
                ("numbers", f"{self.config.numbers}: weights rounded by up to {error:.2%} of the largest, in {worst}")
            )
        if self._engine.clamped:
            rows.append(
                (
                    "clamped",
                    f"{self._engine.clamped:,} potentials met the range of {self.config.numbers}; scores may be off",
                )
            )
        return rows

    def _fit_timestep(self, stream: StreamInfo) -> None:
        """Biases are currents per timestep and scale with it; the summary says so. Or refused, if so configured."""
        wanted, given = self._engine.network.timestep_us, stream.timestep_us
        if given == self._engine.timestep_us:
            return
        if wanted is not None and given != wanted and not self.config.any_timestep:
            raise NetworkError(
                f"the network {self.config.network} was trained on slices of {wanted} µs, {stream.name} comes in "
                f"slices of {given} µs; set window_us of the binner to {wanted}, or leave out `any_timestep: false`"
            )
        self._synops = self._all_synops()
        self._start(self._engine.network, given)

    def _start(self, network: Network, timestep_us: int | None) -> None:
        from ..pipeline.engine import Engine  # Numba: only where the work is done

        self._engine: Engine = Engine(network, timestep_us, self.config.numbers)
        self._engine.warm_up()

    def _all_synops(self) -> dict[str, int]:
        """Since the beginning, also of engines for other timesteps."""
        return {name: count + self._synops.get(name, 0) for name, count in self._engine.synops_per_layer.items()}
