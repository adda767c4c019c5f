"""How fast recordings are read: ours beside other readers, the same file, in turns; first, whether events are right.

    python -m benchmarks.decode --peers OTHER/bin/python [--events 10000000] [--rounds 7] [--containers dat evt3 ...]

OTHER is an environment with faery, expelliarmus, evlib, event_stream, aestream and dv_processing, as far as they are to
be compared; tonic, aedat and NumPy are asked in this one.
Each container is written by our writer and, where they have one, by faery's and expelliarmus'. Every file is read by
all; a reader counts only if it finds the events that were written. Real files of ../shared/data follow, where a reader
counts if it finds what ours finds, which tests hold against their README. Time is the processor's (of all threads of a
reader), so that other work on the machine changes little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer

from .accuracy import write
from .decode_peers import digest

SENSOR, SMALL = SensorSize(640, 480), SensorSize(128, 128)
READERS = {
    "aedat4": ("aedat", "faery", "faery_packets", "dv_processing"),
    "aedat31": ("tonic",),
    "aedat2": ("tonic",),
    "dat": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "aestream"),
    "evt2": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "evlib"),
    "evt21": ("evlib",),
    "evt3": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "evlib"),
    "es": ("faery", "faery_packets", "event_stream"),
    "nmnist": ("tonic",),
    "npz": ("numpy",),
}
HERE = ("tonic", "aedat", "numpy")
WRITERS = {  # container: (who else writes it, with which options)
    "dat": (("faery", {"version": "dat2"}), ("expelliarmus", {})),
    "evt2": (("faery", {"version": "evt2"}), ("expelliarmus", {})),
    "evt3": (("faery", {"version": "evt3"}),),
    "es": (("faery", {}),),
    "aedat4": (("faery", {}), ("dv_processing", {}), ("dv_processing", {"compression": "NONE"})),
}
CODECS = {"aedat4": ("none", "zstd")}
SUFFIXES = {"evt2": "raw", "evt21": "raw", "evt3": "raw", "aedat31": "aedat", "aedat2": "aedat", "nmnist": "bin"}
REAL = {"aedat4": "aedat4/dvxplorer_320x240_lz4.aedat4", "aedat2": "aedat2/davis240c_rotating_disk_aps_imu.aedat"}
REAL |= {"dat": "dat/cd_v2_reencoded.dat", "evt2": "evt2/gen3_640x480.raw", "es": "es/dvs_320x240.es"}
REAL["evt3"] = "evt3/gen3_640x480_triggers.raw"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python that has the other readers")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--containers", nargs="*", default=list(READERS))
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, Peers(options.peers) as peers:
        for container in options.containers:
            events = scene(options.events, sensor_of(container))
            source = Path(folder, "events.npy")
            np.save(source, events)
            for writer, path in files(container, events, source, Path(folder), peers):
                results[f"{container} by {writer}"] = compare(container, path, digest(events), peers, options.rounds)
                path.unlink()
            real = options.shared / "recordings" / REAL.get(container, "")
            if real.is_file():
                results[f"{container} real"] = compare(container, real, digest(array(real)), peers, options.rounds)
    where = write(
        "decode",
        {"events": options.events, "unit": "million events a second of the processor's time, best round", **results},
    )
    print(f"written to {where}")


def sensor_of(container: str) -> SensorSize:
    return SMALL if container == "nmnist" else SENSOR


def scene(count: int, sensor: SensorSize = SENSOR) -> np.ndarray:
    """Events as a moving edge makes them: near each other for a while, then elsewhere; 20 million a second."""
    rng = np.random.default_rng(5)
    events = np.empty(count, EVENT_DTYPE)
    events["t"] = np.cumsum(rng.random(count) < 0.05)
    along = np.arange(count) // 40
    events["x"] = (along * 7 + rng.integers(0, 24, count)) % sensor.width
    events["y"] = (along * 3 + rng.integers(0, 3, count)) % sensor.height
    events["p"] = (along & 1).astype(bool)
    return events


class Peers:
    """The processes with the other readers: of the environment that is theirs, and of this one."""

    def __init__(self, python: str) -> None:
        script = str(Path(__file__).with_name("decode_peers.py"))
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self._there = subprocess.Popen([python, script], text=True, **pipes)
        self._here = subprocess.Popen([sys.executable, script], text=True, **pipes)

    def ask(self, **task: Any) -> dict[str, Any]:
        child = self._here if task.get("reader") in HERE else self._there
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(task) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        return reply

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *_: object) -> None:
        for child in (self._there, self._here):
            child.kill()
            child.wait()


def files(container: str, events: np.ndarray, source: Path, folder: Path, peers: Peers) -> Any:
    """Who wrote it, and the file."""
    sensor, suffix = sensor_of(container), SUFFIXES.get(container, container)
    for codec in CODECS.get(container, ("none",)):
        path = folder / f"ours_{codec}.{suffix}"
        with open_writer(path, sensor, codec, container=container) as writer:
            step = 10_000 if container in ("aedat4", "aedat31") else 1 << 20  # where each call makes a packet
            for start in range(0, len(events), step):
                writer.write(events[start : start + step])
        yield "ours" if codec == "none" else f"ours, {codec}", path
    for name, options in WRITERS.get(container, ()):
        path = folder / f"{name}.{suffix}"
        task = {"writer": name, "container": container, "source": str(source), "path": str(path)}
        reply = peers.ask(**task, sensor=(sensor.width, sensor.height), options=options)
        if "error" in reply:
            print(f"{container} by {name}: {reply['error']}")
        else:
            yield ", ".join([name, *options.values()]), path


def packets(path: Path, **options: Any) -> int:
    with open_recording(path, **options) as recording:
        return sum(len(packet.events) for packet in recording)


def array(path: Path) -> np.ndarray:
    with open_recording(path) as recording:
        parts = [packet.events.view(np.uint8) for packet in recording]  # records are copied ten times as slowly
    return np.concatenate(parts).view(EVENT_DTYPE)


def compare(container: str, path: Path, wanted: str, peers: Peers, rounds: int) -> dict[str, Any]:
    """Million events a second of each reader, best of the rounds; what is wrong with those that are."""
    found = array(path)
    result: dict[str, Any] = {"bytes": path.stat().st_size, "ours exact": digest(found) == wanted}
    count, sensor = len(found), open_recording(path).sensor
    del found
    task = {"container": container, "path": str(path), "sensor": (sensor.width, sensor.height)}
    wrong = {}
    ours: dict[str, Callable[[], object]] = {"ours, packets": lambda: packets(path)}
    if "sensor" in open_recording(path).details:  # not stated: the file is looked through before it is read
        ours["ours, sensor told"] = lambda: packets(path, sensor=sensor)
    ours["ours, one array"] = lambda: array(path)
    for name in READERS[container]:
        reply = peers.ask(reader=name, **task, check=True)
        if reply.get("digest") != wanted:
            wrong[name] = reply.get("error", f"other events ({reply.get('events')} of {count})")
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in READERS[container]:
            if name not in wrong:
                seconds.setdefault(name, []).append(peers.ask(reader=name, **task)["seconds"])
        for name, read in ours.items():
            began = time.process_time()
            read()
            seconds.setdefault(name, []).append(time.process_time() - began)
    rates = {name: round(count / min(times) / 1e6, 1) for name, times in seconds.items()}
    best = max((rate for name, rate in rates.items() if not name.startswith("ours")), default=None)
    if best:
        result["ratio to the best"] = round(rates["ours, packets"] / best, 2)
        for name in ("ours, sensor told", "ours, one array"):
            if name in rates:
                result[f"ratio to the best, {name[6:]}"] = round(rates[name] / best, 2)
    print(path.name, rates, wrong, flush=True)
    return {**result, **rates, **({"wrong": wrong} if wrong else {})}


if __name__ == "__main__":
    main()
