"""Node `pictures`: labelled pictures, moved one after the other before the simulated camera; each is a recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ..pipeline.errors import RecordingError, counted
from ..pipeline.events import EventPacket
from ..pipeline.stream import LabelSpan, StreamInfo
from .images import FOREVER_US
from .messages import Payload
from .node import Row
from .simulated import PacedConfig, SimulatedSource


@dataclass(frozen=True, kw_only=True)
class PicturesConfig(PacedConfig):
    path: Annotated[
        str,
        Field(min_length=1, description="an IDX file, CIFAR-10's folder, or a folder with LABEL/IMAGE or images in it"),
    ]
    labels: Annotated[str | None, Field(description="an IDX file of labels; default: the one beside the images")] = None
    part: Annotated[Literal["train", "test"], Field(description="which images of CIFAR-10's folder")] = "test"
    motion: Annotated[
        Literal["saccade", "loop"] | None,
        Field(
            description="saccade: as N-MNIST, 34x34, images to 28x28; loop: as CIFAR10-DVS, 128x128; default by size"
        ),
    ] = None
    first: Annotated[int, Field(ge=0, description="number of the first picture")] = 0
    count: Annotated[int | None, Field(ge=1, description="how many pictures; default all")] = None
    shuffle_seed: Annotated[int | None, Field(ge=0, description="in an order drawn with this seed")] = None


class Pictures(SimulatedSource):
    """For each picture a StreamInfo with its label, then the events of its motion, seeded by `seed` + its number."""

    Config, emits, paths = PicturesConfig, EventPacket, ("path", "labels")
    config: PicturesConfig

    def check(self) -> list[str]:
        named = (("path", self.config.path), ("labels", self.config.labels))
        return [f"{key}: there is no {path}; a relative path begins at the config file"
                for key, path in named if path and not Path(path).exists()]  # fmt: skip

    def open(self) -> None:
        from ..pipeline.simulate.picture_sets import open_pictures

        self.start()
        self._shown = 0
        self._pictures = open_pictures(self.config.path, self.config.part, self.config.labels)
        if self.config.first >= len(self._pictures):
            found = counted(len(self._pictures), "picture")
            raise RecordingError(f"{self.config.path} has {found}, `first` is {self.config.first}; want a smaller one")

    def produce(self) -> Iterator[Payload]:
        from ..pipeline.simulate import cifar_loop, saccade

        first, count, name = self.config.first, self.config.count, Path(self.config.path).name
        numbers = np.arange(first, len(self._pictures) if count is None else min(len(self._pictures), first + count))
        if self.config.shuffle_seed is not None:
            numbers = np.random.default_rng(self.config.shuffle_seed).permutation(numbers)
        for number in numbers.tolist():
            picture, label = self._pictures.picture(number), self._pictures.label(number)
            seed = self.config.seed + number
            if (self.config.motion or ("saccade" if picture.shape == (28, 28) else "loop")) == "saccade":
                sensor, stop_us = saccade.SENSOR, saccade.DURATION_US
                events = saccade.simulate_saccade(picture, seed, self.config.pixels(saccade.PIXELS))
            else:
                sensor, stop_us = cifar_loop.SENSOR, cifar_loop.LOOPS * cifar_loop.LOOP_US
                events = cifar_loop.simulate_cifar_loop(picture, seed, pixels=self.config.pixels(cifar_loop.PIXELS))
            spans = () if label is None else (LabelSpan(label, 0, FOREVER_US),)
            yield StreamInfo(f"{name}[{number}]", sensor, labels=spans)
            self._shown += 1
            yield from self.paced(iter([EventPacket(events, stop_us)]), 0)

    def report(self) -> list[Row]:
        return [("pictures", f"{self._shown:,} of {len(self._pictures):,}"), *super().report()]
