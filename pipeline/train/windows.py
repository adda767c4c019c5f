"""Labelled recordings in memory, and the frames that a CNN learns from: random windows, or the windows of a whole one.

Convention (the joint between CNN and spiking network): a frame holds the events of a window divided by its number of
slices, that is the MEAN COUNT PER TIMESTEP, float32 (polarity, height, width). The spiking network receives the raw
counts of each slice with the same first weights; whatever gain is needed is learnt by them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import EventError
from ..events import EVENT_DTYPE, SensorSize
from .augment import Augmentation, Transform, draw, mirrored_labels


@dataclass(frozen=True)
class RecordingSet:
    """Many short labelled recordings, end to end in one array."""

    events: np.ndarray  # EVENT_DTYPE; recording i is events[offsets[i]:offsets[i + 1]], its time counts from 0
    offsets: np.ndarray  # int64 (recordings + 1,)
    durations_us: np.ndarray  # int64 (recordings,): how long the camera looked, which may be after the last event
    targets: np.ndarray  # int64 (recordings,): index into labels
    labels: tuple[str, ...]
    sensor: SensorSize

    def __len__(self) -> int:
        return len(self.targets)

    def recording(self, index: int) -> np.ndarray:
        """The events of one recording, in order of time from 0."""
        return self.events[self.offsets[index] : self.offsets[index + 1]]

    def subset(self, indices: Sequence[int] | np.ndarray) -> "RecordingSet":
        """The chosen recordings, copied, in the order given."""
        return pack(
            [self.recording(i) for i in indices],
            [int(self.durations_us[i]) for i in indices],
            [int(self.targets[i]) for i in indices],
            self.labels,
            self.sensor,
        )


def pack(
    recordings: Sequence[np.ndarray],
    durations_us: Sequence[int],
    targets: Sequence[int],
    labels: Sequence[str],
    sensor: SensorSize,
) -> RecordingSet:
    """Put recordings end to end. Raises EventError for one that is unsorted or leaves the sensor."""
    for index, events in enumerate(recordings):
        if len(events) and (
            events["x"].max() >= sensor.width or events["y"].max() >= sensor.height or (np.diff(events["t"]) < 0).any()
        ):
            raise EventError(
                f"recording {index} has events out of order or outside the {sensor} sensor; is `sensor` right?"
            )
    counts = [len(events) for events in recordings]
    return RecordingSet(
        events=np.concatenate([*recordings, np.empty(0, EVENT_DTYPE)]),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        durations_us=np.array(durations_us, np.int64),
        targets=np.array(targets, np.int64),
        labels=tuple(labels),
        sensor=sensor,
    )


def join(parts: Sequence[RecordingSet]) -> RecordingSet:
    """Sets of the same labels and sensor, one behind the other."""
    starts = np.cumsum([0, *(len(part.events) for part in parts)])
    return RecordingSet(
        events=np.concatenate([part.events for part in parts]),
        offsets=np.concatenate([[0], *(part.offsets[1:] + start for part, start in zip(parts, starts, strict=False))]),
        durations_us=np.concatenate([part.durations_us for part in parts]),
        targets=np.concatenate([part.targets for part in parts]),
        labels=parts[0].labels,
        sensor=parts[0].sensor,
    )


def mean_count_frame(events: np.ndarray, sensor: SensorSize, slices: int, pool: int = 1) -> np.ndarray:
    """Mean count per timestep of a window of `slices` timesteps: float32 (polarity, height, width).

    With `pool` the mean over pool x pool pixels, which is what an average pool would make of it, for less work.
    """
    height, width = sensor.height // pool, sensor.width // pool
    counts = np.bincount(_cells(events, height, width, pool), minlength=2 * height * width)
    return (counts / (slices * pool * pool)).astype(np.float32).reshape(2, height, width)


def slice_counts(events: np.ndarray, sensor: SensorSize, timestep_us: int, slices: int, pool: int = 1) -> np.ndarray:
    """Counts of each slice of a window that begins at time 0: float32 (timestep, polarity, height, width)."""
    height, width = sensor.height // pool, sensor.width // pool
    cells = _cells(events, height, width, pool) + events["t"] // timestep_us * (2 * height * width)
    counts = np.bincount(cells, minlength=slices * 2 * height * width).astype(np.float32)
    counts /= pool * pool
    return counts.reshape(slices, 2, height, width)


def _cells(events: np.ndarray, height: int, width: int, pool: int) -> np.ndarray:
    x, y = (events["x"], events["y"]) if pool == 1 else (events["x"] // pool, events["y"] // pool)
    return (events["p"].astype(np.int64) * height + y) * width + x


def cut(events: np.ndarray, t_start_us: float, t_stop_us: float) -> np.ndarray:
    """The events within [t_start_us, t_stop_us), not copied."""
    low, high = np.searchsorted(events["t"], (np.ceil(t_start_us), np.ceil(t_stop_us)))
    return events[low:high]


@dataclass(frozen=True)
class WindowPlan:
    """Which windows of a recording are shown to the CNN."""

    timestep_us: int  # length of one slice
    slices: int  # timesteps of a full window
    min_slices: int  # random windows have min_slices to slices timesteps
    per_recording: int = 1  # windows of one recording whose logits are averaged before the loss
    delays_us: tuple[int, ...] = (0,)  # the CNN sees each window beside the windows so much earlier (network.Delay)
    pool: int = 1  # pixels each way that are averaged while counting

    @property
    def window_us(self) -> int:
        return self.slices * self.timestep_us


def random_windows(
    recording: np.ndarray, duration_us: int, transform: Transform, plan: WindowPlan, rng: np.random.Generator
) -> Iterator[tuple[float, float, int]]:
    """plan.per_recording windows (start µs, stop µs in the recording's time, slices) that lie within the recording.

    At speed s a window of n timesteps takes s * n timesteps of the recording; a recording that is too short is taken
    whole, from its beginning.
    """
    for _ in range(plan.per_recording):
        slices = int(rng.integers(plan.min_slices, plan.slices + 1))
        length = slices * plan.timestep_us * transform.speed
        start = rng.uniform(0, max(duration_us - length, 0))
        yield start, start + length, slices


def random_batch(
    data: RecordingSet,
    indices: np.ndarray,
    plan: WindowPlan,
    augmentation: Augmentation,
    rng: np.random.Generator,
    sliced: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Frames float32 (recording, window, channel, height, width) of random windows, and targets int64 (recording,).

    The channels are the polarities, once for each delay; before its beginning a recording is silent. `sliced`: the
    counts of each slice instead, (recording, window, timestep, channel, height, width); the plan's windows must then
    all have the same length.
    """
    swapped = mirrored_labels(data.labels, augmentation.flip_labels)
    sensor, groups = data.sensor, len(plan.delays_us)
    height, width = sensor.height // plan.pool, sensor.width // plan.pool
    inner = (plan.slices, groups, 2) if sliced else (groups, 2)
    frames = np.empty((len(indices), plan.per_recording, *inner, height, width), np.float32)
    targets = data.targets[indices].copy()
    for row, index in enumerate(indices):
        transform = draw(augmentation, sensor, rng)
        recording = data.recording(index)
        if transform.mirrored:
            targets[row] = swapped[targets[row]]
        windows = random_windows(recording, int(data.durations_us[index]), transform, plan, rng)
        for column, (start, _, slices) in enumerate(windows):
            for group, delay in enumerate(plan.delays_us):
                begin = start - delay * transform.speed
                events = _changed(recording, begin, slices * plan.timestep_us, transform, sensor, rng)
                if sliced:
                    frames[row, column, :, group] = slice_counts(events, sensor, plan.timestep_us, slices, plan.pool)
                else:
                    frames[row, column, group] = mean_count_frame(events, sensor, slices, plan.pool)
    return frames.reshape(*frames.shape[:-4], 2 * groups, height, width), targets


def _changed(
    recording: np.ndarray,
    start: float,
    duration_us: int,
    transform: Transform,
    sensor: SensorSize,
    rng: np.random.Generator,
) -> np.ndarray:
    """The transformed events of the window that begins at `start`; their times count from 0 to duration_us."""
    events = cut(recording, start, start + duration_us * transform.speed).copy()
    events["t"] = np.clip((events["t"] - start) / transform.speed, 0, duration_us - 1)
    return transform.apply(events, sensor, duration_us, rng)


def whole_recording(
    data: RecordingSet, index: int, plan: WindowPlan, t_start_us: int = 0, sliced: bool = False
) -> np.ndarray:
    """The consecutive full windows of one recording from t_start_us on, float32 (window, channel, height, width).

    Nothing before t_start_us is seen. A recording shorter than one window gives one: what there is, over the full
    number of slices. `sliced`: the counts of each slice instead, (window, timestep, channel, height, width).
    """
    recording = data.recording(index)
    recording = recording[np.searchsorted(recording["t"], t_start_us) :]
    count = max(int(data.durations_us[index] - t_start_us) // plan.window_us, 1)
    frames = []
    for start in range(t_start_us, t_start_us + count * plan.window_us, plan.window_us):
        for delay in plan.delays_us:
            events = cut(recording, start - delay, start - delay + plan.window_us)
            if sliced:
                events = events.copy()
                events["t"] -= start - delay
                frames.append(slice_counts(events, data.sensor, plan.timestep_us, plan.slices, plan.pool))
            else:
                frames.append(mean_count_frame(events, data.sensor, plan.slices, plan.pool))
    groups, height, width = len(plan.delays_us), data.sensor.height // plan.pool, data.sensor.width // plan.pool
    if not sliced:
        return np.stack(frames).reshape(count, 2 * groups, height, width)
    stacked = np.stack(frames).reshape(count, groups, plan.slices, 2, height, width)
    return stacked.swapaxes(1, 2).reshape(count, plan.slices, 2 * groups, height, width)
