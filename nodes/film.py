"""Node `film`: a film, or a folder of pictures, before the simulated camera; NAME_labels.csv beside it has labels."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from ..pipeline.events import EventPacket, SensorSize
from ..pipeline.stream import LabelSpan, StreamInfo
from .messages import Payload
from .packets import moved
from .simulated import PacedConfig, ShownConfig, SimulatedSource


@dataclass(frozen=True, kw_only=True)
class FilmConfig(ShownConfig, PacedConfig):
    path: Annotated[str, Field(min_length=1, description="a film, or a folder of pictures in the order of their names")]
    frames_per_second: Annotated[
        float | None, Field(gt=0, le=1_000_000, description="instead of the film's own times; a folder needs it")
    ] = None
    loop: Annotated[bool, Field(description="true: begin again at the end, until stopped")] = False


class Film(SimulatedSource):
    """A StreamInfo, then what the camera sees of the film."""

    Config, emits, paths = FilmConfig, EventPacket, ("path",)
    config: FilmConfig

    def check(self) -> list[str]:
        path = Path(self.config.path)
        if not path.exists():
            return [f"path: there is no film {path}; a relative path begins at the config file"]
        if path.is_dir() and self.config.frames_per_second is None:
            return [f"frames_per_second: {path} is a folder of pictures, which have no times; say how many a second"]
        return []

    def open(self) -> None:
        from ..pipeline.simulate.film import open_frames

        self.start()
        sensor = SensorSize(*self.config.sensor) if self.config.sensor else None
        self._shown = open_frames(self.config.path, sensor, self.config.fit, self.config.frames_per_second)

    def produce(self) -> Iterator[Payload]:
        from ..pipeline.formats import read_labels
        from ..pipeline.simulate.film import filmed
        from ..pipeline.simulate.pixel import PixelSettings

        pixels, path = self.config.pixels(PixelSettings()), Path(self.config.path)
        labels = read_labels(path)
        for number in itertools.count() if self.config.loop else range(1):
            by_us = self._reached_us if number else 0  # time goes on where the pass before ended
            spans = (LabelSpan(span.label, span.t_start_us + by_us, span.t_stop_us + by_us) for span in labels)
            yield StreamInfo(path.name, self._shown.sensor, labels=tuple(spans))
            packets = filmed(self._shown, pixels, self.config.seed, self.config.gamma)
            yield from self.paced(moved(packets, by_us) if by_us else packets, by_us)

    def close(self) -> None:
        if hasattr(self, "_shown"):
            self._shown.close()
