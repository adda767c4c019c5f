"""What a part late in a long recording costs: bytes read and time until its first event, with and without an index.

    python -m benchmarks.seek [--events 25000000] [--containers dat evt3 aedat4 npy es]

Each container's file is written by our writer; of each, one part of 10 ms at nine tenths is read: the first time, when
its index is made (AEDAT 4 has a table and needs none), and again in a new process. What comes is compared with the
events that were written. Bytes are those that the process asked the system for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.formats import open_recording, open_writer

from .decode import SENSOR, scene

SUFFIXES = {
    "dat": "dat",
    "evt2": "raw",
    "evt3": "raw",
    "aedat4": "aedat4",
    "es": "es",
    "npy": "npy",
    "aedat31": "aedat",
}
PART_US = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=25_000_000)
    parser.add_argument("--containers", nargs="*", default=["dat", "evt3", "aedat4", "es", "npy"])
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(read_part(Path(options.child[0]), int(options.child[1]))))
        return
    events = scene(options.events)
    start_us = int(events["t"][-1] - events["t"][0]) * 9 // 10
    since = events["t"] - events["t"][0]
    wanted = int(np.searchsorted(since, start_us + PART_US) - np.searchsorted(since, start_us))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for container in options.containers:
            path = Path(folder, f"long.{SUFFIXES[container]}")
            save(path, container, events)
            made = {"file_mb": round(path.stat().st_size / 1e6, 1)}
            for name in ("first", "again"):
                made[name] = found = child(path, start_us)
                if found["events"] != wanted:
                    raise SystemExit(f"{container}: {found['events']} events, want {wanted}")
            index = path.with_name(path.name + ".index")
            made["index_kb"] = round(index.stat().st_size / 1e3, 1) if index.exists() else None
            results[container] = made
            print(container, made, flush=True)
            path.unlink()
    from .accuracy import write

    print(write("seek", {"events": options.events, "part_at_s": start_us / 1e6, **results}))


def save(path: Path, container: str, events: np.ndarray) -> None:
    if container == "npy":
        np.save(path, events)
        return
    with open_writer(path, SENSOR, container=container) as writer:
        for start in range(0, len(events), 1 << 20):
            writer.write(events[start : start + (1 << 20)])


def child(path: Path, start_us: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.seek", "--child", str(path), str(start_us)]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def read_part(path: Path, start_us: int) -> dict[str, Any]:
    """What it costs in this process, whose kernels are loaded by a first, short part."""
    count = sum(len(packet.events) for packet in open_recording(path, sensor=SENSOR, stop_us=1_000))
    began, before, first_s, count = time.perf_counter(), asked_for(), 0.0, 0
    for packet in open_recording(path, sensor=SENSOR, start_us=start_us, stop_us=start_us + PART_US):
        first_s = first_s or time.perf_counter() - began
        count += len(packet.events)
    return {
        "events": count,
        "first_event_ms": round(first_s * 1e3, 2),
        "part_ms": round((time.perf_counter() - began) * 1e3, 2),
        "read_mb": round((asked_for() - before) / 1e6, 3),
    }


def asked_for() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(lines[0].split()[1])


if __name__ == "__main__":
    main()
