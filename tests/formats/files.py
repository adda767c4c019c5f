"""Small recordings of every container, made in a temporary folder."""

import io
import struct
import zipfile
from typing import NamedTuple

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer

from .. import naive

SMALL = SensorSize(128, 128)
WRITTEN = (  # (container, compression) of every writer
    ("aedat4", "none"),
    ("aedat4", "lz4"),
    ("aedat4", "zstd"),
    ("aedat31", "none"),
    ("aedat2", "none"),
    ("nmnist", "none"),
    ("npz", "none"),
    ("npz", "deflate"),
    ("dat", "none"),
    ("evt2", "none"),
    ("evt21", "none"),
    ("evt3", "none"),
    ("es", "none"),
    ("csv", "none"),
)
READ = (*WRITTEN, ("aedat1", "none"), ("npy", "none"))
WORDS = {  # (twin that gives the events of each word, bytes of a word)
    "dat": (lambda data, height: naive.decode_dat(data), 8),
    "evt2": (lambda data, height: naive.decode_evt2(data), 4),
    "evt21": (lambda data, height: naive.decode_evt21(data), 8),
    "evt3": (lambda data, height: naive.decode_evt3(data), 2),
    "es": (naive.decode_es, 5),
}


class Made(NamedTuple):
    """A file as bytes, its events, and how many of them are whole when the file is cut at a byte."""

    data: bytes
    events: np.ndarray
    marks: list[tuple[int, int]]  # (bytes, events), ascending


def make(path, container, compression, events, sensor=SMALL, pieces=4) -> Made:
    """A recording of `events` in several packets."""
    if container == "npy":
        file = io.BytesIO()
        np.save(file, events)
        return Made(file.getvalue(), events, [(len(file.getvalue()), len(events))])
    if container == "aedat1":
        head = b"#!AER-DAT1.0\r\n"
        x, y = 127 - events["x"].astype(int), 127 - events["y"].astype(int)
        words = zip((y << 8 | x << 1 | ~events["p"]).tolist(), events["t"].tolist(), strict=True)
        data = head + b"".join(struct.pack(">HI", address, t) for address, t in words)
        return Made(data, events, [(len(head) + 6 * n, n) for n in range(len(events) + 1)])
    marks = []
    with open_writer(path, sensor, compression, container=container) as writer:
        marks.append((path.stat().st_size, 0))
        for piece in np.array_split(events, pieces):
            writer.write(piece)
            marks.append((path.stat().st_size, writer.events_written))
    data = path.read_bytes()
    if container in ("aedat2", "nmnist"):
        size, start = {"aedat2": 8, "nmnist": 5}[container], marks[0][0]
        marks = [(start + size * n, n) for n in range(len(events) + 1)]
    if container in WORDS:
        decode, size = WORDS[container]
        start, count = marks[0]
        for given in decode(data[start:], sensor.height):
            start += size if container != "es" or given else 1  # a byte of overflow
            count += len(given)
            marks.append((start, count))
    if container == "csv":
        ends = [end for end in range(1, len(data) + 1) if data[end - 1 : end] == b"\n"]  # of lines
        marks = [(end, n) for n, end in enumerate(ends)]
    if container == "npz":
        marks = [(len(data), len(events))]
    return Made(data, events, marks)


def events_for_all(n=120, seed=3):
    """Events that every container can hold: 128x128, under 8 s."""
    return naive.random_recorded_events(n, SMALL, seed, first_us=1000)


def read_all(path, **options):
    """The events of a recording in one array, and the recording."""
    recording = open_recording(path, **options)
    packets = [packet.events for packet in recording]
    return (np.concatenate(packets) if packets else np.empty(0, EVENT_DTYPE)), recording


def npz_bytes(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def zip_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()
