"""A set of labelled recordings: what a sample is called, what it shows, and how it is opened.

Which files make up which set is told in folders.py, gesture.py and through_tonic.py. A sample opens as a Recording of
pipeline/formats, so that order, bounds and faults are settled there, for files and for arrays alike.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordingError, counted
from ..events import EVENT_DTYPE, SensorSize
from ..formats import OnError, Recording, open_recording
from ..formats.recording import Batch, Reading, ReadOptions, Source
from ..stream import LabelSpan

ALWAYS = (-(2**62), 2**62)  # the span of a label that holds for a whole recording
TIMES_BELOW = 2**61  # µs; what lies beyond is no time of an event


@dataclass(frozen=True)
class FileReader:
    """Opens a recording that is a file."""

    sensor: SensorSize | None = None  # None: as the file says
    container: str | None = None
    layout: str | None = None

    def __call__(self, path: Path, options: ReadOptions) -> Recording:
        return open_recording(
            path,
            sensor=self.sensor,
            container=self.container,
            layout=self.layout,
            packet_events=options.packet_events,
            packet_us=options.packet_us,
            on_error=options.on_error,
            start_us=options.start_us,
            stop_us=options.stop_us,
        )


@dataclass(frozen=True)
class ArrayReader:
    """Opens a recording that somebody else reads, as one array."""

    load: Callable[[], Any]  # an array with the fields t (µs), x, perhaps y and p, in any order and type
    sensor: SensorSize
    container: str

    def __call__(self, path: Path, options: ReadOptions) -> Recording:
        return Recording(path, _ArraySource(path, self), options, ())


@dataclass(frozen=True)
class Sample:
    """One recording of a data set; it can be opened as often as wanted."""

    path: Path  # its file; for sets without one file a sample, FILE[number]
    labels: tuple[LabelSpan, ...]  # what is shown when; empty: the set has no classes
    reader: Callable[[Path, ReadOptions], Recording]
    person: str = ""  # who is recorded, where the set says so

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def spans(self) -> list[tuple[str, tuple[int, int] | None]]:
        """Each label, and [start, stop) in µs of the recording's clock; None: it holds for all of it."""
        spans = [(span.label, (span.t_start_us, span.t_stop_us)) for span in self.labels]
        return [(label, None if span == ALWAYS else span) for label, span in spans]

    def open(
        self,
        *,
        packet_events: int = 8192,
        packet_us: int | None = None,
        on_error: OnError = "raise",
        start_us: int = 0,
        stop_us: int | None = None,
    ) -> Recording:
        """The recording with its labels. RecordingError if its file is missing or none."""
        options = ReadOptions(
            packet_events=packet_events,
            packet_us=packet_us,
            on_error=on_error,
            start_us=start_us,
            stop_us=stop_us,
        )
        recording = self.reader(self.path, options)
        recording.labels = self.labels
        return recording


@dataclass(frozen=True)
class DataSet:
    """One part of a data set. Its samples are in the order of the names of their files."""

    name: str
    part: str
    folder: Path
    labels: tuple[str, ...]  # the classes in the order of the set's own numbers; empty: it has none
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def apart(self, share: float, seed: int = 0) -> "tuple[DataSet, DataSet] | None":
        """The set without about a share of its people, and those; None where it names fewer than two people."""
        people = sorted({sample.person for sample in self if sample.person})
        if len(people) < 2:
            return None
        count = min(max(round(share * len(people)), 1), len(people) - 1)
        kept = set(np.random.default_rng(seed).permutation(people)[:count].tolist())
        rest, theirs = ([s for s in self if (s.person in kept) is is_kept] for is_kept in (False, True))
        return replace(self, samples=tuple(rest)), replace(self, samples=tuple(theirs))

    def __str__(self) -> str:
        return f"{self.name} ({self.part}, {counted(len(self), 'recording')}) in {self.folder}"


def samples_of(
    files: Iterable[tuple[Path, str]], reader: Callable[[Path, ReadOptions], Recording]
) -> tuple[Sample, ...]:
    """Samples of files (path, label), each of which shows its label all the time."""
    return tuple(Sample(path, (LabelSpan(label, *ALWAYS),), reader) for path, label in files)


def missing(folder: Path, name: str, wanted: str, fetch: str) -> RecordingError:
    """The error of a data set that is not there: what was looked for, what to fetch by hand, where to put it."""
    found = "there is no such folder" if not folder.is_dir() else "it is not in there"
    return RecordingError(f"{name} is wanted in {folder}, but {found} (looked for {wanted}); {fetch}", folder)


def as_event_array(array: np.ndarray, what: str) -> np.ndarray:
    """A copy as EVENT_DTYPE, sorted by time, of any structured array with the fields t, x and perhaps y and p.

    t       µs, whole or real (rounded down)
    y       0 where there is none: the sensor is a row of channels
    p       bool, 0 and 1, or -1 and 1; brighter where there is none

    Raises RecordingError for another dtype, for values that are no numbers, and for addresses and polarities that do
    not exist.
    """
    array = np.asarray(array).ravel()
    names = array.dtype.names or ()
    if "t" not in names or "x" not in names:
        raise RecordingError(f"{what}: its events have dtype {array.dtype}, want fields t, x, y, p")
    events = np.empty(len(array), EVENT_DTYPE)
    for name, least, largest in (("t", -TIMES_BELOW, TIMES_BELOW), ("x", 0, 65_535), ("y", 0, 65_535)):
        column = array[name] if name in names else np.zeros(len(array), np.int64)
        if len(column) and not (column.min() >= least and column.max() <= largest):  # NaN fails both
            raise RecordingError(
                f"{what}: {name} runs from {column.min()} to {column.max()}, want {least} to {largest}"
            )
        events[name] = np.floor(column) if column.dtype.kind == "f" else column
    polarity = array["p"] if "p" in names else np.ones(len(array), bool)
    if len(polarity) and polarity.dtype.kind != "b" and not np.isin(polarity, (-1, 0, 1)).all():
        raise RecordingError(
            f"{what}: its polarities run from {polarity.min()} to {polarity.max()}, want 0 and 1, or -1 and 1"
        )
    events["p"] = polarity > 0
    if (events["t"][1:] < events["t"][:-1]).any():
        events = events[np.argsort(events["t"], kind="stable")]
    return events


class _ArraySource(Source):
    """A recording that is read as one array, anew in each iteration."""

    def __init__(self, path: Path, reader: ArrayReader) -> None:
        self._path, self._load = path, reader.load
        self.container, self.sensor, self.details = reader.container, reader.sensor, {}

    def batches(self, reading: Reading) -> Iterator[Batch]:
        try:
            array = self._load()
        except RecordingError:
            raise
        except Exception as error:  # another library's: whatever it is
            reading.report(f"{self.container} cannot read it: {type(error).__name__}: {error}", 0)
            return
        events = as_event_array(array, str(self._path))
        for start in range(0, len(events), reading.options.packet_events):
            yield Batch(events[start : start + reading.options.packet_events], start * EVENT_DTYPE.itemsize)
