"""How often is a Network right? Run it over labelled images or recordings and keep every decision.

Making the network is convert/'s work, printing the result nodes/commands/evaluate.py's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import datasets
from .binning import bin_events
from .encode import CurrentEncoder, PoissonEncoder
from .engine import Engine
from .errors import NetworkError, RecordingError
from .events import EVENT_DTYPE, EventPacket, SensorSize
from .formats import Recording, open_recording
from .interval import wilson
from .slicer import TimeSlicer
from .stream import BinnedSlice, Classification, CurrentSlice, Image

Slice = BinnedSlice | CurrentSlice
Watch = Callable[[int, Slice, Classification], None]  # number of the sample, the slice, the decision after it

BESIDE = ("_labels.csv", ".index", ".md", ".json", ".yaml", ".txt")  # files that may lie beside recordings
WANTED = "want FOLDER/LABEL/FILE, or files with NAME_labels.csv"


def unwatched(number: int, piece: Slice, decision: Classification) -> None:
    """Nobody looks on."""


@dataclass(frozen=True)
class Outcome:
    """Decisions against targets."""

    targets: np.ndarray  # int64 (n,): index of the right class
    decisions: np.ndarray  # int64 (n,): the last decision on each; -1: undecided, which counts as wrong
    synops: float  # synaptic operations per sample, mean
    timesteps: float  # per sample, mean
    right_after: dict[int, int]  # images only: timesteps: how many were right after so many

    @property
    def right(self) -> int:
        return int((self.decisions == self.targets).sum())

    @property
    def n(self) -> int:
        return len(self.targets)

    def confusion(self, classes: int) -> np.ndarray:
        """int64 (class, decision): how often each was called what; the last column counts the undecided."""
        matrix = np.zeros((classes, classes + 1), np.int64)
        np.add.at(matrix, (self.targets, np.where(self.decisions < 0, classes, self.decisions)), 1)
        return matrix


@dataclass(frozen=True)
class Trial:
    """One labelled stretch of a recording."""

    path: Path
    target: int
    span_us: tuple[int, int] | None  # [start, stop); None: all of it
    sample: datasets.Sample | None = None  # where the recording is of a named data set

    def open(self) -> Recording:
        """The recording that the trial is a part of."""
        return open_recording(self.path) if self.sample is None else self.sample.open()


def judge_images(
    engine: Engine,
    images: np.ndarray,
    targets: np.ndarray,
    encoder: PoissonEncoder | CurrentEncoder,
    checkpoints: Sequence[int] = (),
    progress: Callable[[int], None] = lambda done: None,
    watch: Watch = unwatched,
) -> Outcome:
    """Show every image (n, channel, height, width) from a fresh state; image i is number i for the encoder.

    `checkpoints` are timesteps after which the decisions are counted as well. `watch` sees every slice and decision.
    """
    if images.ndim != 4 or images.shape[1:] != engine.network.input_shape or not len(images):
        raise NetworkError(
            f"images of shape {images.shape} came to a network of input {engine.network.input_shape}; want "
            "(n, channel, height, width) of that shape"
        )
    wanted = {step for step in checkpoints if step <= encoder.timesteps} | {encoder.timesteps}
    right = dict.fromkeys(sorted(wanted), 0)
    decisions = np.full(len(images), -1, np.int64)
    synops = 0
    for index, pixels in enumerate(images):
        engine.reset()
        pieces: Iterator[Slice] = encoder.encode(Image(pixels), index)
        for step, piece in enumerate(pieces, 1):
            decision = engine.step(piece)
            watch(index, piece, decision)
            synops += decision.synops
            if step in right:
                right[step] += int(decision.index == targets[index])
        decisions[index] = decision.index
        progress(index + 1)
    return Outcome(targets, decisions, synops / len(images), float(encoder.timesteps), right)


def judge_recordings(
    engine: Engine,
    trials: Sequence[Trial],
    progress: Callable[[int], None] = lambda done: None,
    watch: Watch = unwatched,
) -> Outcome:
    """Show every trial from a fresh state, slice by slice; what counts is the decision after its last slice.

    `watch` sees every slice and decision.
    """
    decisions = np.full(len(trials), -1, np.int64)
    synops = steps = 0
    for index, trial in enumerate(trials):
        engine.reset()
        for piece in slices_of(trial, engine):
            decision = engine.step(piece)
            watch(index, piece, decision)
            decisions[index] = decision.index
            synops += decision.synops
            steps += 1
        progress(index + 1)
    targets = np.array([trial.target for trial in trials], np.int64)
    return Outcome(targets, decisions, synops / len(trials), steps / len(trials), {})


def find_trials(folder: Path, labels: Sequence[str]) -> list[Trial]:
    """The labelled recordings of a folder: by the label file beside each, else by the name of its subfolder.

    A label file (NAME_labels.csv) gives one trial a line. `folder` may name a data set, NAME:FOLDER:PART. Raises
    RecordingError for a label that the network lacks.
    """
    data = datasets.named(folder)
    if data is not None:
        return _trials_of(data, labels)
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}; {WANTED}, or a data set, NAME:FOLDER:PART", folder)
    trials = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(BESIDE):
            with open_recording(path) as recording:
                spans = recording.labels
            for span in spans:
                target = _target(span.label, labels, path)
                trials.append(Trial(path, target, (span.t_start_us, span.t_stop_us)))
            if not spans:
                trials.append(Trial(path, _target(path.parent.name, labels, path), None))
    if not trials:
        raise RecordingError(f"{folder} holds no recordings; {WANTED}", folder)
    return trials


def _trials_of(data: datasets.DataSet, labels: Sequence[str]) -> list[Trial]:
    """A trial for each labelled span of a data set."""
    trials = [
        Trial(sample.path, _target(label, labels, sample.path), span_us, sample)
        for sample in data
        for label, span_us in sample.spans
    ]
    if not trials:
        raise RecordingError(f"{data} has no classes; it can be replayed, not judged", data.folder)
    return trials


def read_trial(trial: Trial) -> tuple[np.ndarray, int, SensorSize]:
    """All events of one trial, their time counted from its beginning; its duration in µs; the sensor."""
    with trial.open() as recording:
        parts = [_within(packet, trial.span_us).events for packet in recording]
        sensor = recording.sensor
    events = np.concatenate([*parts, np.empty(0, EVENT_DTYPE)])
    if trial.span_us is not None:
        start, duration = trial.span_us[0], trial.span_us[1] - trial.span_us[0]
    else:
        start = int(events["t"][0]) if len(events) else 0
        duration = int(events["t"][-1]) - start + 1 if len(events) else 1
    events["t"] -= start
    return events, duration, sensor


def accuracy_text(right: int, n: int) -> str:
    """98.51 % of 10,000 (95 % interval 98.25 to 98.73 %)."""
    low, high = wilson(right, n)
    return f"{right / n:.2%} of {n:,} (95 % interval {100 * low:.2f} to {100 * high:.2f} %)".replace("%", " %", 1)


def _target(label: str, labels: Sequence[str], path: Path) -> int:
    if label not in labels:
        raise RecordingError(f"{path} is labelled {label!r}, but the network knows only {', '.join(labels)}", path)
    return labels.index(label)


def slices_of(trial: Trial, engine: Engine) -> Iterator[BinnedSlice]:
    """One trial, cut and binned for an engine. Raises NetworkError where it does not fit the engine."""
    if engine.timestep_us is None:
        raise NetworkError(
            "the network was made for images, it has no timestep; say the length of a slice (--window-us)"
        )
    with trial.open() as recording:
        sensor = recording.sensor
        channels, height, width = engine.network.input_shape
        if (channels, height, width) != (2, sensor.height, sensor.width):
            raise NetworkError(
                f"{trial.path} was recorded with {sensor} pixels and 2 polarities, the network wants "
                f"{width}x{height} and {channels}"
            )
        slicer = TimeSlicer(engine.timestep_us, None if trial.span_us is None else trial.span_us[0])
        for packet in recording:
            for piece in slicer.push(_within(packet, trial.span_us)):
                yield bin_events(piece.events, sensor, piece.t_start_us, piece.t_stop_us)
        for piece in slicer.finish():
            yield bin_events(piece.events, sensor, piece.t_start_us, piece.t_stop_us)


def _within(packet: EventPacket, span_us: tuple[int, int] | None) -> EventPacket:
    """The part of a packet that lies within the span; its promise reaches no further than the span's end."""
    if span_us is None:
        return packet
    low, high = np.searchsorted(packet.events["t"], span_us)
    return EventPacket(packet.events[low:high], min(packet.t_stop_us, span_us[1]))
