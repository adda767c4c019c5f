"""Windows of labelled recordings to calibrate an event network on, at several event rates, in milliseconds.

An image says how large an activation is; a stream also says how fast events come. The same scene seen faster gives
more events per timestep and larger activations: scales measured at one rate clip at twice that rate. So each recording
is shown at several speeds, in windows of equal milliseconds.

What the CNN sees of a window is the mean count per timestep, as in training (train/windows.py); what the spiking
network sees are the counts of each slice. `read_recordings` is long for its options, which are told there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ... import datasets
from ...errors import ConversionError, RecordingError, counted
from ...events import EVENT_DTYPE, SensorSize
from ...formats import read_labels
from ...stream import LabelSpan
from ...train.windows import cut, mean_count_frame, slice_counts

BESIDE = ("_labels.csv", ".index", ".md", ".json", ".yaml", ".txt")  # files that may lie beside recordings
MAX_EVENTS = 200_000_000  # of all windows together: 2.6 GB


@dataclass(frozen=True)
class EventWindows:
    """Windows of recordings, kept as events; dense counts are made when asked for."""

    events: tuple[np.ndarray, ...]  # EVENT_DTYPE per window; t in µs from its beginning, below 0 what came before it
    speeds: np.ndarray  # float64 (n,): how much faster than recorded the scene is seen
    targets: np.ndarray | None  # int64 (n,): index into labels; None: not known
    labels: tuple[str, ...] | None
    groups: np.ndarray  # int64 (n,): number of the recording, so that a split does not tear it apart
    sensor: SensorSize
    timestep_us: int
    slices: int  # timesteps of each window
    delays_us: tuple[int, ...] = (0,)  # the CNN sees each window beside the windows so much earlier (network.Delay)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.events)

    def subset(self, indices: np.ndarray) -> "EventWindows":
        """The chosen windows, in the order given."""
        return replace(
            self,
            events=tuple(self.events[index] for index in indices),
            speeds=self.speeds[indices],
            targets=None if self.targets is None else self.targets[indices],
            groups=self.groups[indices],
        )

    def frames(self) -> np.ndarray:
        """What the CNN sees: mean count per timestep, float32 (n, 2 per delay, height, width)."""
        height, width = self.sensor.height, self.sensor.width
        frames = np.empty((len(self), len(self.delays_us), 2, height, width), np.float32)
        for index, events in enumerate(self.events):
            for group, delay in enumerate(self.delays_us):
                frames[index, group] = mean_count_frame(self._delayed(events, delay), self.sensor, self.slices)
        return frames.reshape(len(self), -1, height, width)

    def counts(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """What the network sees: float32 (n, timestep, 2 per delay, height, width) of the windows start to stop.

        Large: 50 timesteps of 128x128 are 6.5 MB a window and delay, so ask for a few at a time.
        """
        height, width = self.sensor.height, self.sensor.width
        parts = []
        for events in self.events[start:stop]:
            groups = [
                slice_counts(self._delayed(events, delay), self.sensor, self.timestep_us, self.slices)
                for delay in self.delays_us
            ]
            parts.append(np.stack(groups, 1).reshape(self.slices, -1, height, width))
        return np.stack(parts)

    def events_per_ms(self) -> np.ndarray:
        """Events per millisecond of each window, both polarities, all pixels; float64 (n,)."""
        now = [len(self._delayed(events, 0)) for events in self.events]
        return np.array(now, np.float64) * 1000 / (self.slices * self.timestep_us)

    def _delayed(self, events: np.ndarray, delay_us: int) -> np.ndarray:
        """The window as it was so much earlier; times from 0."""
        part = cut(events, -delay_us, self.slices * self.timestep_us - delay_us).copy()
        part["t"] += delay_us
        return part


def read_recordings(
    path: str | Path,
    shape: tuple[int, int, int],
    timestep_us: int,
    *,
    window_ms: float,
    labels: Sequence[str] | None = None,
    speeds: Sequence[float] = (0.5, 1.0, 2.0),
    per_recording: int = 2,
    delays_us: Sequence[int] = (0,),
    sensor: SensorSize | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> EventWindows:
    """Windows of a recording, of a folder of them (LABEL/FILE, or files with NAME_labels.csv, or files alone), or of a
    data set, NAME:FOLDER:PART.

    shape          of the CNN's input: (2 per delay, height, width)
    window_ms      sensor time of a window, rounded to whole timesteps
    labels         the model's class names; without them those found, in the order of their names
    speeds         each stretch of a recording is shown at each of these, so its event rate is multiplied by them; a
                   stretch that is too short for a speed is left out at that speed
    per_recording  windows of each stretch and speed, at random places drawn by `seed`
    limit          draw so many stretches at random; of a data set only so many recordings are read

    Raises ConversionError or RecordingError with a sentence: no recordings, another sensor, an unknown label, all too
    short, no events.
    """
    slices = round(window_ms * 1000 / timestep_us) if timestep_us > 0 else 0
    if slices < 1 or not speeds or min(speeds) <= 0 or per_recording < 1 or min(delays_us, default=0) < 0:
        raise ConversionError(
            f"windows of {window_ms} ms in timesteps of {timestep_us} µs, speeds {tuple(speeds)}, {per_recording} a "
            "recording: want at least one timestep, speeds above 0, and at least one window"
        )
    samples = _samples(Path(path), sensor)
    if datasets.is_named(path) and limit is not None and limit < len(samples):  # large: not all are read to draw some
        of_samples = np.random.default_rng([seed, 1])
        samples = [samples[index] for index in np.sort(of_samples.choice(len(samples), limit, replace=False))]
    stretches = list(_stretches(samples, shape, len(delays_us)))
    random = np.random.default_rng(seed)
    if limit is not None and limit < len(stretches):
        stretches = [stretches[index] for index in np.sort(random.choice(len(stretches), limit, replace=False))]
    names, targets = _targets(stretches, labels, Path(path))
    window_us, before_us = slices * timestep_us, max(delays_us, default=0)
    made, left_out = _windows(path, stretches, speeds, per_recording, window_us, before_us, random)
    if not any(len(events) for events, _, _ in made):
        longest = max((stretch.duration_us for stretch in stretches), default=0) / 1000
        raise ConversionError(
            f"{path}: no window of {window_ms:g} ms holds events; the longest recording has {longest:g} ms: shorten "
            "the window, or give longer recordings"
        )
    of_stretch = np.array([number for _, _, number in made], np.int64)
    recordings = np.array([stretch.recording for stretch in stretches], np.int64)
    return EventWindows(
        events=tuple(events for events, _, _ in made),
        speeds=np.array([speed for _, speed, _ in made]),
        targets=None if targets is None else targets[of_stretch],
        labels=names,
        groups=recordings[of_stretch],
        sensor=stretches[0].sensor,
        timestep_us=timestep_us,
        slices=slices,
        delays_us=tuple(delays_us),
        notes=(f"{counted(left_out, 'stretch', 'stretches')} too short for their speed were left out",)
        if left_out
        else (),
    )


@dataclass(frozen=True)
class _Stretch:
    """One labelled stretch of a recording."""

    events: np.ndarray  # time from its beginning
    duration_us: int
    label: str | None
    recording: int
    sensor: SensorSize


def _samples(path: Path, sensor: SensorSize | None) -> Sequence[datasets.Sample]:
    """The recordings that a path stands for. RecordingError if there are none."""
    data = datasets.named(path)
    if data is not None:
        return data.samples
    paths = [path]
    if path.is_dir():
        paths = [item for item in sorted(path.rglob("*")) if item.is_file() and not item.name.startswith(".")]
        paths = [item for item in paths if not item.name.endswith(BESIDE)]
    if not paths or not path.exists():
        raise RecordingError(f"{path} holds no recordings; want FOLDER/LABEL/FILE, or files with NAME_labels.csv", path)
    samples = []
    for item in paths:
        labels = read_labels(item)
        if not labels and item.parent != path and item != path:
            labels = (LabelSpan(item.parent.name, *datasets.ALWAYS),)
        samples.append(datasets.Sample(item, labels, datasets.FileReader(sensor)))
    return samples


def _stretches(samples: Sequence[datasets.Sample], shape: tuple[int, int, int], delays: int) -> Iterator[_Stretch]:
    for number, sample in enumerate(samples):
        with sample.open() as recording:
            size = recording.sensor
            events = np.concatenate([*(packet.events for packet in recording), np.empty(0, EVENT_DTYPE)])
        if shape != (2 * delays, size.height, size.width):
            raise ConversionError(
                f"{sample.path} was recorded with {size} pixels and 2 polarities, the CNN takes {shape[2]}x{shape[1]} "
                f"and {shape[0]} channels ({counted(delays, 'delay')})"
            )
        whole = (int(events["t"][0]), int(events["t"][-1]) + 1) if len(events) else (0, 0)
        spans: Sequence[tuple[str | None, tuple[int, int] | None]] = sample.spans or [(None, None)]
        for label, span_us in spans:
            start, stop = span_us or whole
            part = cut(events, start, stop).copy()
            part["t"] -= start
            yield _Stretch(part, stop - start, label, number, size)


def _targets(
    stretches: Sequence[_Stretch], labels: Sequence[str] | None, path: Path
) -> tuple[tuple[str, ...] | None, np.ndarray | None]:
    """Names of the classes, and the class of each stretch; None where some stretch has no label."""
    found = [stretch.label for stretch in stretches]
    if None in found:
        return (None if labels is None else tuple(labels)), None
    names = tuple(sorted({str(name) for name in found}) if labels is None else labels)
    unknown = sorted({str(name) for name in found} - set(names))
    if unknown:
        raise RecordingError(f"{path}: {unknown[0]!r} is no class of the model, which knows {', '.join(names)}", path)
    return names, np.array([names.index(str(name)) for name in found], np.int64)


def _windows(
    path: str | Path,
    stretches: Sequence[_Stretch],
    speeds: Sequence[float],
    per_recording: int,
    window_us: int,
    before_us: int,
    random: np.random.Generator,
) -> tuple[list[tuple[np.ndarray, float, int]], int]:
    """Every window as its events, its speed and the number of its stretch; and how many were too short for a speed."""
    made, left_out, held = [], 0, 0
    for number, stretch in enumerate(stretches):
        for speed in speeds:
            room = stretch.duration_us - window_us * speed
            left_out += room < 0
            for _ in range(per_recording if room >= 0 else 0):
                events = _window(stretch.events, random.uniform(0, room), speed, window_us, before_us)
                held += len(events)
                made.append((events, speed, number))
        if held > MAX_EVENTS:
            raise ConversionError(f"{path}: more than {MAX_EVENTS:,} events in all windows; lower the limit")
    return made, left_out


def _window(events: np.ndarray, start_us: float, speed: float, window_us: int, before_us: int) -> np.ndarray:
    """The events of one window seen at a speed, with what came so long before it; times from its beginning."""
    part = cut(events, start_us - before_us * speed, start_us + window_us * speed).copy()
    times = np.floor((part["t"] - start_us) / speed)
    part["t"] = np.clip(times, -before_us, window_us - 1).astype(np.int64)
    return part
