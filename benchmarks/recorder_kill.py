"""A recorder is killed with SIGKILL at random moments: what is in its file, against what it had been given.

    python -m benchmarks.recorder_kill [--kills 100] [--seed 7]

Each recorder is a process of its own that is given events without a pause, so that a kill may fall into a write. It
counts in shared memory what its `process` has taken; the file must open, hold these events in order and without a gap,
and lack none but those of the last flush_us, the packet that was not yet written.
"""

import argparse
import mmap
import os
import random
import signal
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.nodes.recorder import Recorder, RecorderConfig
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.stream import StreamInfo

SENSOR = SensorSize(346, 260)
EACH = 500  # events of a packet that the recorder is given: one millisecond of them
COMPRESSIONS = ("none", "lz4", "zstd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    taken = mmap.mmap(-1, 8)
    kills = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.kills):
            config = RecorderConfig(
                str(Path(folder, f"{number}.aedat4")),
                compression=COMPRESSIONS[number % 3],
                flush_us=rng.choice((1_000, 10_000, 100_000)),
                rotate_us=rng.choice((None, None, 2_000_000)),
            )
            kills.append(kill_one(config, rng.uniform(0.0, 0.2), taken))
            for path in Path(folder).iterdir():
                path.unlink()
    from .accuracy import write  # imports torch; not before the processes are made

    opened = sum(kill["opened"] for kill in kills)
    complete = sum(kill["complete"] for kill in kills)
    torn = sum(kill["torn_packet"] for kill in kills)
    where = write(
        "recorder_kill",
        {
            "kills": len(kills),
            "files_that_open": opened,
            "files_that_hold_all_but_the_last_unflushed_packet": complete,
            "kills_within_a_write": torn,
            "events_taken": sum(kill["taken"] for kill in kills),
            "most_events_missing": max(kill["missing"] for kill in kills),
            "most_missing_us_over_flush_us": max(kill["missing_us"] / kill["flush_us"] for kill in kills),
            "by_compression": {name: sum(kill["compression"] == name for kill in kills) for name in COMPRESSIONS},
            "incomplete": [kill for kill in kills if not kill["complete"]],
        },
    )
    print(f"{opened} of {len(kills)} files open, {complete} hold all but the last unflushed packet; {where}")
    if complete < len(kills):
        raise SystemExit(1)


def kill_one(config: RecorderConfig, after_s: float, taken: mmap.mmap) -> dict[str, Any]:
    """Kill a recorder so long after its file appeared; what is found then."""
    taken[:8] = bytes(8)
    child = os.fork()
    if child == 0:
        try:
            record(config, taken)
        finally:
            os._exit(1)
    path = Path(config.path)
    while not path.exists():
        time.sleep(0.001)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (count,) = struct.unpack("<q", taken[:8])
    result: dict[str, Any] = {"compression": config.compression, "flush_us": config.flush_us, "taken": count}
    try:
        files = sorted(path.parent.glob("*.aedat4"), key=lambda file: (len(file.name), file.name))
        found = look(files, count)
        complete = found["in_order"] and found["missing_us"] <= config.flush_us
        return result | found | {"opened": True, "complete": complete}
    except Exception as error:  # a file that does not open is what is looked for
        return result | {
            "opened": False, "complete": False, "torn_packet": False, "missing": count, "missing_us": 0,
            "error": str(error),
        }  # fmt: skip


def record(config: RecorderConfig, taken: mmap.mmap) -> None:
    node = Recorder(config)
    node.open()
    node.begin(StreamInfo("kill", SENSOR))
    number = 0
    while True:
        packet = EventPacket(events(number, number + EACH), (number + EACH) * 2)
        for _ in node.process(packet):
            pass
        number += EACH
        taken[:8] = struct.pack("<q", number)


def events(first: int, stop: int) -> np.ndarray:
    """Events that are known by their number: two microseconds apart."""
    numbers = np.arange(first, stop)
    found = np.empty(stop - first, EVENT_DTYPE)
    found["t"], found["x"], found["y"] = 2 * numbers, numbers % SENSOR.width, numbers // 7 % SENSOR.height
    found["p"] = numbers % 3 == 0
    return found


def look(paths: list[Path], taken: int) -> dict[str, Any]:
    """What the files hold, against what was taken."""
    count, right, torn = 0, True, False
    for path in paths:
        with open_recording(path, on_error="stop") as recording:
            for packet in recording:
                right &= bool(np.array_equal(packet.events, events(count, count + len(packet.events))))
                count += len(packet.events)
            torn |= recording.fault is not None
    missing = max(0, taken - count)
    return {
        "in_files": count, "files": len(paths), "torn_packet": torn, "in_order": right,
        "missing": missing, "missing_us": 2 * missing,
    }  # fmt: skip


if __name__ == "__main__":
    main()
