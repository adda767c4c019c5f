"""How fast recordings are read: ours beside other readers, the same file, in turns; first, whether events are right.

    python -m benchmarks.decode --peers OTHER/bin/python [--events 10000000] [--rounds 7] [--containers dat evt3 ...]

OTHER is an environment with faery, expelliarmus, evlib, event_stream and aestream, as far as they are to be compared.
Each container is written by our writer and, where they have one, by faery's and expelliarmus'. Every file is read by
all; a reader counts only if it finds the events that were written. Real files of ../shared/data follow, where a reader
counts if it finds what ours finds, which tests hold against their README. Time is the processor's (of all threads of a
reader), so that other work on the machine changes little.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer

from .accuracy import write
from .decode_peers import digest

SENSOR = SensorSize(640, 480)
READERS = {
    "dat": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "aestream"),
    "evt2": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "evlib"),
    "evt21": ("evlib",),
    "evt3": ("faery", "faery_packets", "expelliarmus", "expelliarmus_chunks", "evlib"),
    "es": ("faery", "faery_packets", "event_stream"),
}
WRITERS = {"dat": ("faery", "expelliarmus"), "evt2": ("faery", "expelliarmus"), "evt3": ("faery",), "es": ("faery",)}
SUFFIXES = {"dat": "dat", "evt2": "raw", "evt21": "raw", "evt3": "raw", "es": "es"}
REAL = {"dat": "dat/cd_v2_reencoded.dat", "evt2": "evt2/gen3_640x480.raw", "es": "es/dvs_320x240.es"}
REAL["evt3"] = "evt3/gen3_640x480_triggers.raw"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="the Python that has the other readers")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--containers", nargs="*", default=list(READERS))
    parser.add_argument("--shared", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    events = scene(options.events)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, Peers(options.peers) as peers:
        source = Path(folder, "events.npy")
        np.save(source, events)
        for container in options.containers:
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


def scene(count: int) -> np.ndarray:
    """Events as a moving edge makes them: near each other for a while, then elsewhere; 20 million a second."""
    rng = np.random.default_rng(5)
    events = np.empty(count, EVENT_DTYPE)
    events["t"] = np.cumsum(rng.random(count) < 0.05)
    along = np.arange(count) // 40
    events["x"] = (along * 7 + rng.integers(0, 24, count)) % SENSOR.width
    events["y"] = (along * 3 + rng.integers(0, 3, count)) % SENSOR.height
    events["p"] = (along & 1).astype(bool)
    return events


class Peers:
    """The process with the other readers."""

    def __init__(self, python: str) -> None:
        self._child = subprocess.Popen(
            [python, str(Path(__file__).with_name("decode_peers.py"))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def ask(self, **task: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps(task) + "\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        reply: dict[str, Any] = json.loads(line) if line else {"error": "the process ended"}
        return reply

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()


def files(container: str, events: np.ndarray, source: Path, folder: Path, peers: Peers) -> Any:
    """Who wrote it, and the file."""
    path = folder / f"ours.{SUFFIXES[container]}"
    with open_writer(path, SENSOR, container=container) as writer:
        for start in range(0, len(events), 1 << 20):
            writer.write(events[start : start + (1 << 20)])
    yield "ours", path
    for name in WRITERS.get(container, ()):
        path = folder / f"{name}.{SUFFIXES[container]}"
        form = {"evt2": {"version": "evt2"}, "evt3": {"version": "evt3"}, "dat": {"version": "dat2"}}
        task = {"writer": name, "container": container, "source": str(source), "path": str(path)}
        reply = peers.ask(**task, sensor=(SENSOR.width, SENSOR.height), options=form.get(container, {}))
        if "error" in reply:
            print(f"{container} by {name}: {reply['error']}")
        else:
            yield name, path


def packets(path: Path) -> int:
    with open_recording(path) as recording:
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
    for name in READERS[container]:
        reply = peers.ask(reader=name, **task, check=True)
        if reply.get("digest") != wanted:
            wrong[name] = reply.get("error", f"other events ({reply.get('events')} of {count})")
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name in READERS[container]:
            if name not in wrong:
                seconds.setdefault(name, []).append(peers.ask(reader=name, **task)["seconds"])
        for name, read in (("ours, packets", packets), ("ours, one array", array)):
            began = time.process_time()
            read(path)
            seconds.setdefault(name, []).append(time.process_time() - began)
    rates = {name: round(count / min(times) / 1e6, 1) for name, times in seconds.items()}
    best = max((rate for name, rate in rates.items() if not name.startswith("ours")), default=None)
    if best:
        result["ratio to the best"] = round(rates["ours, packets"] / best, 2)
        result["ratio to the best, one array"] = round(rates["ours, one array"] / best, 2)
    print(path.name, rates, wrong, flush=True)
    return {**result, **rates, **({"wrong": wrong} if wrong else {})}


if __name__ == "__main__":
    main()
