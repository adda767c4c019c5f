"""Memory while a recording of a gigabyte is streamed, of every container that we write: flat, and little of it.

    python -m benchmarks.stream_memory [--bytes 1000000000] [--only dat evt3 ...]

With --only, the figures of the other containers stay as they are.
Each file is written by our writer in pieces and read by a process of its own, which looks at its memory (VmRSS) after
every tenth of the events, and at the most that it ever held (VmHWM). Both are told above what a bare interpreter holds.
Kernels are compiled before. Flat means: the most that was held grows by less than 8 MiB after the first tenth. The
writing process is watched likewise.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import CONTAINERS, open_recording, open_writer

SENSORS = {"nmnist": SensorSize(128, 128), "aedat2": SensorSize(346, 260)}
SENSOR = SensorSize(640, 480)
TIMES = {"nmnist": 1 << 23, "aedat2": 1 << 32}  # µs that the container can count
BLOCK = 1 << 20  # events written at once
MIB = 1 << 20
FLAT_BYTES, BAR_BYTES = 8 * MIB, 150 * MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=1_000_000_000)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--child", nargs=3, metavar=("VERB", "CONTAINER", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        verb, container, path = options.child
        told = written(container, Path(path), options.bytes) if verb == "write" else streamed(container, Path(path))
        print(json.dumps(told))
        return
    from .accuracy import RESULTS, write

    figures = RESULTS / "stream_memory.json"
    known = json.loads(figures.read_text()) if options.only and figures.is_file() else {}
    results = {name: found for name, found in known.items() if isinstance(found, dict)}
    for row in CONTAINERS:
        if row.writer and (not options.only or row.name in options.only):
            results[row.name] = both(row.name, options.bytes)
            print(row.name, json.dumps(results[row.name]), flush=True)
            write("stream_memory", {"bytes wanted": options.bytes, **results})


def both(container: str, size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < 3 * size:
            raise SystemExit(f"{folder} has too little room for a file of {size} bytes (set TMPDIR)")
        path = Path(folder, container)
        child("write", container, path, 1 << 20)
        child("read", container, path, 1 << 20)  # compiles what is to be compiled, which happens once on a machine
        writing = child("write", container, path, size)
        reading = child("read", container, path, size)
    bare = int(subprocess.run([sys.executable, "-c", _BARE], capture_output=True, text=True, check=True).stdout)
    above = reading["most"] - bare
    return {
        "bytes": writing["bytes"],
        "events": reading["events"],
        "interpreter_mib": round(bare / MIB, 1),
        "most_above_interpreter_mib": round(above / MIB, 1),
        "after_each_tenth_mib": [round((held - bare) / MIB, 1) for held in reading["held"]],
        "grown_after_first_tenth_mib": round((reading["most"] - reading["most_at_first_tenth"]) / MIB, 1),
        "flat": reading["most"] - reading["most_at_first_tenth"] <= FLAT_BYTES,
        "met": above < BAR_BYTES and reading["most"] - reading["most_at_first_tenth"] <= FLAT_BYTES,
        "writer_most_above_interpreter_mib": round((writing["most"] - bare) / MIB, 1),
    }


def child(verb: str, container: str, path: Path, size: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.stream_memory", "--bytes", str(size), "--child", verb, container]
    done = subprocess.run([*command, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def written(container: str, path: Path, size: int) -> dict[str, Any]:
    """Write blocks of events until the file has the size. Compressed containers hold more events than bytes say."""
    sensor = SENSORS.get(container, SENSOR)
    rng = np.random.default_rng(7)
    events = np.empty(BLOCK, EVENT_DTYPE)
    events["x"], events["y"] = rng.integers(0, sensor.width, BLOCK), rng.integers(0, sensor.height, BLOCK)
    events["p"] = rng.random(BLOCK) < 0.5
    steps = np.cumsum(rng.random(BLOCK) < 0.02)
    start, period = 0, TIMES.get(container)
    compression = "none" if container == "npz" else None
    with open_writer(path, sensor, compression, container=container) as writer:
        while max(path.stat().st_size, 13 * writer.events_written if container == "npz" else 0) < size:
            events["t"] = start + steps
            start = int(events["t"][-1])
            if period and start >= period:
                raise SystemExit(f"{container} cannot count the times of {size} bytes")
            writer.write(events)
    return {"most": memory("VmHWM"), "bytes": path.stat().st_size}


def streamed(container: str, path: Path) -> dict[str, Any]:
    """Read all packets, keep none, and look at the memory after every hundredth; told are ten of these looks."""
    looks: list[tuple[int, int]] = []
    events = 0
    with open_recording(path, container=container, sensor=SENSORS.get(container, SENSOR)) as recording:
        for number, packet in enumerate(recording):
            events += len(packet.events)
            if number % 100 == 0:
                looks.append((memory("VmRSS"), memory("VmHWM")))
    tenths = [looks[(len(looks) - 1) * tenth // 10] for tenth in range(1, 11)]
    return {
        "events": events,
        "held": [held for held, _ in tenths],
        "most_at_first_tenth": tenths[0][1],
        "most": memory("VmHWM"),
    }


def memory(name: str) -> int:
    """VmRSS, what this process holds now, or VmHWM, the most it ever did. (ru_maxrss begins with the parent's.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


_BARE = "print(int(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]) * 1024)"

if __name__ == "__main__":
    main()
