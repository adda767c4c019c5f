"""Small folder trees in the layouts in which data sets are published, with events that can be told from each other."""

import gzip
from pathlib import Path

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_writer, write_labels
from dvs_run.pipeline.stream import LabelSpan


def events_of(seed, sensor, count=60, start_us=0, step_us=50):
    """Events of one recording: no two seeds give the same."""
    rng = np.random.default_rng(seed)
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = start_us + np.cumsum(rng.integers(1, step_us, count))
    events["x"], events["y"] = rng.integers(0, sensor.width, count), rng.integers(0, sensor.height, count)
    events["p"] = rng.integers(0, 2, count)
    return events


def write(path, events, sensor, container):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path, sensor, container=container) as writer:
        writer.write(events)


def nmnist(root, each=2):
    """ROOT/Train/3/00006.bin; returns the events by (part, file name)."""
    sensor, made = SensorSize(34, 34), {}
    for seed in range(20 * each):
        part, digit = ("Train", "Test")[seed % 2], str(seed // 2 % 10)
        made[part, f"{seed:05}.bin"] = events = events_of(seed, sensor)
        write(root / part / digit / f"{seed:05}.bin", events, sensor, "nmnist")
    return made


def ncaltech101(root, labels=("accordion", "BACKGROUND_Google", "wrench"), each=10):
    sensor, made = SensorSize(240, 180), {}
    for number, label in enumerate(labels):
        for index in range(1, each + 1):
            made[label, index] = events = events_of(100 * number + index, sensor)
            write(root / "Caltech101" / label / f"image_{index:04}.bin", events, sensor, "nmnist")
    return made


def cifar10_dvs(root, names, each=10):
    """The events are those that a camera on its side saw: x and y are exchanged in what is read."""
    sensor, made = SensorSize(128, 128), {}
    for number, name in enumerate(names):
        for index in range(each):
            made[name, index] = events = events_of(100 * number + index, sensor)
            write(root / name / f"cifar10_{name}_{index}.aedat", events, sensor, "aedat2")
    return made


def gesture(root, users=3):
    """The original layout; users 1 ... train, the last one tests."""
    sensor, made, names = SensorSize(128, 128), {}, []
    for user in range(1, users + 1):
        name = f"user{user:02}_fluorescent"
        made[name] = events = events_of(user, sensor, 600, start_us=1_000_000 * user)
        write(root / f"{name}.aedat", events, sensor, "aedat31")
        start = int(events["t"][100])
        middle, stop = int(events["t"][300]), int(events["t"][500])
        spans = (LabelSpan("arm_roll", start, middle), LabelSpan("other", middle, stop))
        write_labels(root / f"{name}.aedat", spans, numbers=True)
        names.append(f"{name}.aedat")
    (root / "trials_to_train.txt").write_text("\r\n".join(names[:-1]) + "\r\n")
    (root / "trials_to_test.txt").write_text(names[-1] + "\n\n")
    (root / "gesture_mapping.csv").write_text("action, label\nhand_clapping, 1\n")
    return made


def tonic_gesture(root, part="Test"):
    """tonic's DVSGesture: real numbers (x, y, p, t in ms), class = file name."""
    sensor, made = SensorSize(128, 128), {}
    for user in (24, 25):
        folder = root / "DVSGesture" / f"ibmGesture{part}" / f"user{user}_led"
        folder.mkdir(parents=True)
        for target in (0, 7, 10):
            made[user, target] = events = events_of(user + target, sensor)
            events["t"] = events["t"] // 1000 * 1000
            columns = [events["x"], events["y"], events["p"], events["t"] / 1000]
            np.save(folder / f"{target}.npy", np.stack(columns, 1).astype(np.float64))
    return made


def idx(path, array):
    kinds = {1: 1, 3: 3}
    head = bytes([0, 0, 8, kinds[array.ndim]]) + b"".join(int(side).to_bytes(4, "big") for side in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return Path(path)
