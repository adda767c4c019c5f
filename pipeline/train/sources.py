"""The recordings that a train config asks for, split into training and validation: from a folder, or simulated.

Simulated sets are made once and kept in the cache folder, under a name that holds every setting that matters.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..datasets import DataSet, open_dataset
from ..errors import RecordingError, counted
from ..events import EVENT_DTYPE, EventPacket, SensorSize
from ..idx import read_images, read_labels
from .config import Data, NamedDataSet, Recordings, Saccades, SimulatedGestures
from .windows import RecordingSet, join, pack

SET_VERSION = 3  # raise it when the simulator changes what the same settings give

PART, SACCADES_PART = 5, 1_000  # recordings (a class) that are simulated and kept together

Say = Callable[[str], None]
Made = tuple[np.ndarray, int, int]  # events (time from 0), duration in µs, target


def load_sets(data: Data, say: Say = print) -> tuple[RecordingSet, RecordingSet]:
    """The training set and the validation set of a config; simulated ones are made now or come from the cache."""
    if isinstance(data, Recordings):
        return _split(load_folder(data.folder, data.sensor, data.duration_us), data.validation)
    if isinstance(data, NamedDataSet):
        return _of_dataset(data)
    if isinstance(data, Saccades):
        return _saccades(data, "training", say), _saccades(data, "validation", say)
    return _gestures(data, "training", say), _gestures(data, "validation", say)


def load_folder(folder: Path, sensor: tuple[int, int] | None = None, duration_us: int | None = None) -> RecordingSet:
    """Every recording of FOLDER/LABEL/*, labels and files in the order of their names; times from the first event."""
    from ..formats import open_recording

    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}; want one subfolder a label, with recordings in it", folder)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    paths = [(path, target) for target, name in enumerate(names) for path in sorted((folder / name).iterdir())]
    paths = [(path, target) for path, target in paths if path.suffix != ".index"]  # places in the one beside it
    if not paths:
        raise RecordingError(f"{folder} has no recordings; want {folder}/LABEL/FILE", folder)
    recordings, durations, size = [], [], SensorSize(*sensor) if sensor else None
    for path, _ in paths:
        recording = open_recording(path, sensor=size)
        size = recording.sensor
        events, duration = _stretch(_events(recording), None, duration_us)
        recordings.append(events)
        durations.append(duration)
    assert size is not None
    return pack(recordings, durations, [target for _, target in paths], names, size)


def _of_dataset(settings: NamedDataSet) -> tuple[RecordingSet, RecordingSet]:
    """Nobody is both trained and validated on, where the set says who is recorded."""
    data = open_dataset(settings.name, settings.folder, settings.part)
    apart = data.apart(settings.validation)
    if apart is None:
        return _split(load_dataset(data, settings.duration_us, settings.limit), settings.validation)
    training, validation = apart
    few = None if settings.limit is None else max(round(settings.limit * settings.validation), 1)
    return (
        load_dataset(training, settings.duration_us, settings.limit),
        load_dataset(validation, settings.duration_us, few),
    )


def load_dataset(data: DataSet, duration_us: int | None = None, limit: int | None = None) -> RecordingSet:
    """A recording for each labelled span of a data set, times from the span's beginning, labels as the set's.

    `limit` draws so many spans by a fixed seed. RecordingError: its recordings are not of one sensor, or it has no
    classes.
    """
    spans = [(sample, *span) for sample in data for span in sample.spans]
    if not spans:
        raise RecordingError(f"{data} has no classes to learn", data.folder)
    if limit is not None and limit < len(spans):
        spans = [spans[i] for i in sorted(np.random.default_rng(0).choice(len(spans), limit, replace=False).tolist())]
    stretches, targets, sensors = [], [], set()
    opened, events = None, np.empty(0, EVENT_DTYPE)
    for sample, label, span_us in spans:
        if sample is not opened:  # of a recording with several spans, once
            recording = sample.open()
            opened, events = sample, _events(recording)
            sensors.add(recording.sensor)
        stretches.append(_stretch(events, span_us, duration_us))
        targets.append(data.labels.index(label))
    if len(sensors) != 1:
        raise RecordingError(
            f"{data} is of several sensors ({', '.join(sorted(map(str, sensors)))}), want one", data.folder
        )
    return pack([found for found, _ in stretches], [length for _, length in stretches], targets, data.labels, *sensors)


def _events(recording: Iterable[EventPacket]) -> np.ndarray:
    return np.concatenate([*(packet.events for packet in recording), np.empty(0, EVENT_DTYPE)])


def _stretch(events: np.ndarray, span_us: tuple[int, int] | None, duration_us: int | None) -> tuple[np.ndarray, int]:
    """The events of a span, or all, their times counted from its beginning (the first event); its duration."""
    if span_us is None:
        start = int(events["t"][0]) if len(events) else 0
        span_us = start, int(events["t"][-1]) + 1 if len(events) else 1
    start, stop = span_us if duration_us is None else (span_us[0], span_us[0] + duration_us)
    low, high = np.searchsorted(events["t"], (start, min(stop, span_us[1])))
    events = events[low:high].copy()
    events["t"] -= start
    return events, stop - start


def _split(data: RecordingSet, share: float) -> tuple[RecordingSet, RecordingSet]:
    """The same share of each label is kept apart, drawn by a fixed seed."""
    rng = np.random.default_rng(0)
    kept = []
    for target in range(len(data.labels)):
        of_label = rng.permutation(np.flatnonzero(data.targets == target))
        kept.append(of_label[: max(round(share * len(of_label)), 1)])
    validation = np.sort(np.concatenate(kept))
    training = np.setdiff1d(np.arange(len(data)), validation)
    if not len(training):
        raise RecordingError("no recording is left to train on; lower data.validation or add recordings")
    return data.subset(training), data.subset(validation)


def _saccades(data: Saccades, part: str, say: Say) -> RecordingSet:
    from ..simulate.saccade import DURATION_US, SENSOR, simulate_saccade

    images, targets = read_images(data.images), read_labels(data.labels)
    start = data.first if part == "training" else data.first + data.count
    stop = start + (data.count if part == "training" else data.validation)
    if stop > len(images):
        raise RecordingError(
            f"{data.images} holds {counted(len(images), 'image')}, the config asks for {stop}", data.images
        )

    def make(first: int, stop: int) -> Iterator[Made]:
        for index in range(first, stop):
            yield simulate_saccade(255 * images[index, 0], data.seed + index), DURATION_US, int(targets[index])

    names = [str(digit) for digit in range(int(targets.max()) + 1)]
    parts = []
    for first in range(start, stop, SACCADES_PART):
        numbers = (first, min(first + SACCADES_PART, stop))
        recipe = {"kind": "saccades", "images": data.images.name, "numbers": numbers, "seed": data.seed}
        parts.append(_cached(data.cache, recipe, partial(make, *numbers), names, SENSOR, say))
    return join(parts)


def _gestures(data: SimulatedGestures, part: str, say: Say) -> RecordingSet:
    if part == "training":
        return gesture_set(data.per_class, data.duration_us, data.people, data.cache, say)
    return gesture_set(data.validation_per_class, data.validation_duration_us, data.validation_people, data.cache, say)


def gesture_set(
    per_class: int, duration_us: int, people: tuple[int, int], cache: Path | None, say: Say = print
) -> RecordingSet:
    """`per_class` recordings of each gesture; person, lighting and pace of each depend on its number only.

    Made in parts of PART recordings a class, each kept on its own, so that a longer set begins with a shorter one.
    """
    from ..simulate.gesture import CLASSES, SENSOR, simulate_gesture

    def make(first: int, stop: int) -> Iterator[Made]:
        for number in range(first, stop):
            for target in range(len(CLASSES)):
                draw = np.random.default_rng([people[0], target, number])
                person, lighting = draw.integers(*people, size=2).tolist()
                events = simulate_gesture(target, int(draw.integers(1 << 31)), person, lighting, duration_us)
                yield events, duration_us, target

    parts = []
    for first in range(0, per_class, PART):
        stop = min(first + PART, per_class)
        recipe = {"kind": "gesture", "numbers": [first, stop], "people": people, "duration_us": duration_us}
        parts.append(_cached(cache, recipe, partial(make, first, stop), CLASSES, SENSOR, say))
    return join(parts)


def _cached(
    folder: Path | None,
    recipe: dict[str, object],
    make: Callable[[], Iterator[Made]],
    labels: Sequence[str],
    sensor: SensorSize,
    say: Say,
) -> RecordingSet:
    """What `make` gives, from the cache folder if it was made before (None: make it every time)."""
    text = json.dumps({**recipe, "version": SET_VERSION}, sort_keys=True)
    path = (folder or Path()) / f"{recipe['kind']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
    if folder and path.exists():
        with np.load(path, allow_pickle=False) as archive:
            events, offsets, durations_us, targets = (
                archive[name] for name in ("events", "offsets", "durations_us", "targets")
            )
        return RecordingSet(events, offsets, durations_us, targets, tuple(labels), sensor)
    say(f"simulating {text}")
    made = list(make())
    data = pack([item[0] for item in made], [item[1] for item in made], [item[2] for item in made], labels, sensor)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(f"{path.stem}.{os.getpid()}.write.npz")
        np.savez(
            partial_path, events=data.events, offsets=data.offsets, durations_us=data.durations_us,
            targets=data.targets, recipe=text,
        )  # fmt: skip
        partial_path.replace(path)
    return data
