"""The recordings that a train config asks for, split into training and validation: from a folder, or simulated.

Simulated sets are made once and kept in the cache folder, under a name that holds every setting that matters.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..errors import RecordingError
from ..events import EVENT_DTYPE, SensorSize
from ..idx import read_images, read_labels
from .config import Data, Recordings, Saccades, SimulatedGestures
from .windows import RecordingSet, pack

SET_VERSION = 1  # raise it when the simulator changes what the same settings give

Say = Callable[[str], None]
Made = tuple[np.ndarray, int, int]  # events (time from 0), duration in µs, target


def load_sets(data: Data, say: Say = print) -> tuple[RecordingSet, RecordingSet]:
    """The training set and the validation set of a config; simulated ones are made now or come from the cache."""
    if isinstance(data, Recordings):
        return _split(load_folder(data.folder, data.sensor, data.duration_us), data.validation)
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
    if not paths:
        raise RecordingError(f"{folder} has no recordings; want {folder}/LABEL/FILE", folder)
    recordings, durations, size = [], [], SensorSize(*sensor) if sensor else None
    for path, _ in paths:
        with open_recording(path) as recording:
            size = size or recording.sensor
            packets = [packet.events for packet in recording.packets()]
        events = np.concatenate([*packets, np.empty(0, EVENT_DTYPE)])
        if len(events):
            events["t"] -= events["t"][0]
        if duration_us is not None:
            events = events[events["t"] < duration_us]
        recordings.append(events)
        durations.append(duration_us or (int(events["t"][-1]) + 1 if len(events) else 1))
    assert size is not None
    return pack(recordings, durations, [target for _, target in paths], names, size)


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
    from ..simulate import simulate_saccade

    images, targets = read_images(data.images), read_labels(data.labels)
    start = data.first if part == "training" else data.first + data.count
    stop = start + (data.count if part == "training" else data.validation)
    if stop > len(images):
        raise RecordingError(f"{data.images} holds {len(images)} images, the config asks for {stop}", data.images)

    def make() -> Iterator[Made]:
        for index in range(start, stop):
            made = simulate_saccade(images[index, 0], data.seed + index)
            yield made, SACCADES_US, int(targets[index])

    names = [str(digit) for digit in range(int(targets.max()) + 1)]
    recipe = {"kind": data.kind, "images": data.images.name, "start": start, "stop": stop, "seed": data.seed}
    return _cached(data.cache, recipe, make, stop - start, names, SensorSize(34, 34), say)


SACCADES_US = 300_000  # three saccades of 100 ms


def _gestures(data: SimulatedGestures, part: str, say: Say) -> RecordingSet:
    from ..simulate import GESTURES, simulate_gesture

    per_class = data.per_class if part == "training" else data.validation_per_class
    people = data.people if part == "training" else data.validation_people
    first = 0 if part == "training" else data.people

    def make() -> Iterator[Made]:
        for number in range(per_class):
            for target in range(len(GESTURES)):
                seed = [data.seed, first, target, number]
                rng = np.random.default_rng(seed)
                person, lighting = first + rng.integers(people, size=2)
                made = simulate_gesture(
                    target,
                    int(rng.integers(1 << 31)),
                    person=int(person),
                    lighting=int(lighting),
                    duration_us=data.duration_us,
                )
                yield made, data.duration_us, target

    recipe = {
        "kind": data.kind, "first": first, "people": people, "per_class": per_class,
        "duration_us": data.duration_us, "seed": data.seed,
    }  # fmt: skip
    return _cached(data.cache, recipe, make, per_class * len(GESTURES), list(GESTURES), SensorSize(128, 128), say)


def _cached(
    folder: Path,
    recipe: dict[str, object],
    make: Callable[[], Iterator[Made]],
    count: int,
    labels: list[str],
    sensor: SensorSize,
    say: Say,
) -> RecordingSet:
    text = json.dumps({**recipe, "version": SET_VERSION}, sort_keys=True)
    path = folder / f"{recipe['kind']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as archive:
            return RecordingSet(
                archive["events"],
                archive["offsets"],
                archive["durations_us"],
                archive["targets"],
                tuple(labels),
                sensor,
            )
    say(f"simulating {count} recordings, once, into {path}")
    made: list[Made] = []
    for item in make():
        made.append(item)
        if len(made) % 100 == 0:
            say(f"  {len(made)}/{count}")
    data = pack([item[0] for item in made], [item[1] for item in made], [item[2] for item in made], labels, sensor)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".write.npz")
    np.savez(
        partial, events=data.events, offsets=data.offsets, durations_us=data.durations_us, targets=data.targets,
        recipe=text,
    )  # fmt: skip
    partial.replace(path)
    return data
