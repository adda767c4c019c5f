"""The files of a recorder: their names, and what is written into one. recorder.py says when one ends."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..pipeline.errors import DvsError
from ..pipeline.events import SensorSize
from ..pipeline.stream import LabelSpan


class FileNameError(DvsError):
    """There is no free name, or nothing can be written there."""


def file_name(path: Path, number: int, when_exists: Literal["number", "refuse", "replace"], mine: list[Path]) -> Path:
    """The name of the n-th file: NAME.aedat4, NAME-0002.aedat4, and so on; never one that this recorder has written.

    Where files of an earlier run are there, the first number from n on that is free.
    """
    while number < 1_000_000:
        name = path if number == 1 else path.with_name(f"{path.stem}-{number:04d}{path.suffix}")
        if name not in mine and (when_exists == "replace" or not name.exists()):
            return name
        if when_exists == "refuse":
            raise FileNameError(f"{name} is there already; name another, or set when_exists: number")
        number += 1
    raise FileNameError(f"{path}: all numbers up to {number} are taken; name another")


class EventsFile:
    """A recording in the making."""

    def __init__(
        self, path: Path, sensor: SensorSize, compression: str | None, container: str | None, first_us: int
    ) -> None:
        from ..pipeline.formats import open_writer  # Numba: only where the work is done

        self.path = path
        self.first_us = self.last_us = first_us
        self._writer: Any = open_writer(path, sensor, compression, container=container)

    def write(self, events: np.ndarray) -> None:
        self._writer.write(events)
        self.last_us = int(events["t"][-1])

    def size(self) -> int:
        """Bytes so far."""
        return os.stat(self.path).st_size

    def sync(self) -> None:
        self._writer.sync()

    def close(self, labels: tuple[LabelSpan, ...]) -> None:
        from ..pipeline.formats import write_labels

        self._writer.close()
        if labels:
            write_labels(self.path, labels)


class LinesFile:
    """Lines of JSON."""

    def __init__(self, path: Path, first_us: int) -> None:
        self.path = path
        self.flushed_us = first_us
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise FileNameError(f"{path}: cannot be created: {error.strerror or error}") from None

    def write(self, line: str) -> None:
        self._file.write(line + "\n")

    def flush(self, t_us: int) -> None:
        self._file.flush()
        self.flushed_us = t_us

    def size(self) -> int:
        return os.stat(self.path).st_size

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self, labels: tuple[LabelSpan, ...]) -> None:
        self._file.close()
