"""Read damaged versions of one recording and say of each, in a line of JSON, what came of it. fuzz.py starts this.

    python -m benchmarks.fuzz_reader SAMPLE HEADER FIRST LAST SEED '{"container": "dat", "sensor": [128, 128]}'

It lives under a limit of memory and, for each file, of the processor's time: a reader that breaks one of them ends this
process, and fuzz.py knows by the number of lines which file did it.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording

from .fuzz_mutations import mutate

MOST_CPU_S = 10  # of one file; the longest take milliseconds
MOST_BYTES = 64 << 20  # that one file may add to the process
ADDRESS_SPACE = 512 << 20  # that may be asked for beyond what the process has when it begins
HOW = ("raise", "stop", "skip")
MIB = 1 << 20


class Damaged:
    """Reads damaged versions of one recording, and knows what must come out."""

    def __init__(self, data: bytes, options: dict[str, Any], header: int, path: Path) -> None:
        self.data, self.header, self.path = data, header, path
        self._blocks: list[int] | None = None  # where parts begin that are delivered whole or not at all
        if options.get("container") == "mcap":
            self._blocks = chunks_of_mcap(data)
        if options.get("container") == "csv":  # a line that is cut at its very end is whole
            self._blocks = [at + 1 for at, byte in enumerate(data) if byte == 10]
        if options.get("container") == "npz":  # what it holds stands at its end: damaged there, none of it is read
            self._blocks = [0]
        sensor = options.get("sensor")
        self.options = {**options, "sensor": SensorSize(*sensor) if sensor else None}
        self.container = options.get("container")
        path.write_bytes(data)
        self.events, _, _ = read(path, "raise", self.options)
        self._whole: dict[int, int] = {}

    def whole_before(self, position: int) -> int:
        """How many events the undamaged file delivers if it ends at `position`: these no later damage may touch."""
        if self._blocks is not None:
            position = max((begin for begin in self._blocks if begin <= position), default=0)
        if position not in self._whole:
            self.path.write_bytes(self.data[:position])
            events, _, _ = read(self.path, "raise", self.options)
            assert np.array_equal(events, self.events[: len(events)]), f"cut at byte {position}: other events"
            self._whole[position] = len(events)
        return self._whole[position]

    def try_one(self, number: int, seed: int) -> dict[str, Any]:
        """What came of version `number`: `kind` is whole, fault or refused; `wrong` says what must not have been."""
        data, first = mutate(self.data, seed << 32 | number, self.header)
        whole = self.whole_before(first)
        self.path.write_bytes(data)
        options = dict(self.options)
        if number % 4 == 3:
            options["container"] = None  # told by its bytes
        options["packet_events"] = 16 if number % 2 else 8192
        on_error = HOW[number % 3]
        events, found, error = read(self.path, on_error, options)
        expected = self.events[:whole] if found in (self.container, None) and options["container"] else self.events[:0]
        wrong = _wrong(events, expected, self.options["sensor"], error, self.path)
        kind = "whole" if error is None else "fault" if found else "refused"
        return {"kind": kind, "events": len(events), "prefix": len(expected), **({"wrong": wrong} if wrong else {})}


def chunks_of_mcap(data: bytes) -> list[int]:
    """Where the records of a bag begin. One has a checksum: damage anywhere in it makes all of it suspect."""
    begins, at = [], 8
    while at + 9 <= len(data):
        begins.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    return begins


def read(path: Path, on_error: Any, options: dict[str, Any]) -> tuple[np.ndarray, str | None, Exception | None]:
    """The events, the container (None: not opened), and what ended the reading (None: the file's end)."""
    parts, recording, fault = [], None, None
    try:
        recording = open_recording(path, on_error=on_error, **options)
        parts.extend(packet.events for packet in recording)
        fault = recording.fault
    except RecordingError as error:
        fault = error
    except Exception as error:  # none may come: _wrong says so
        fault = error
    events = np.concatenate(parts) if parts else np.empty(0, EVENT_DTYPE)
    return events, recording and recording.container, fault


def _wrong(
    events: np.ndarray, expected: np.ndarray, sensor: SensorSize | None, error: Exception | None, path: Path
) -> str:
    """What must not have been; "" if all is well."""
    if error is not None and not isinstance(error, RecordingError):
        return f"{type(error).__name__}: {error}"[:300]
    if error is not None and str(path) not in str(error):
        return f"the message names no file: {error}"[:300]
    if not np.array_equal(events[: len(expected)], expected):
        return f"of {len(expected)} good events before the damage, others or fewer were delivered ({len(events)})"
    if (np.diff(events["t"]) < 0).any():
        return "events out of order"
    if sensor and ((events["x"] >= sensor.width).any() or (events["y"] >= sensor.height).any()):
        return "events outside the sensor"
    if (events["p"].view(np.uint8) > 1).any() if len(events) else False:
        return "a polarity that is no truth value"
    return ""


def main() -> None:
    sample, header, first, last, seed, options = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        damaged = Damaged(Path(sample).read_bytes(), json.loads(options), int(header), Path(folder, "damaged"))
        for number in range(20):  # compiles what is to be compiled, and loads what is loaded late
            damaged.try_one(number, -1 & 0xFFFF)
        limit = _address_space() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        most = _most_memory()
        for number in range(int(first), int(last)):
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            began = _cpu_s()
            resource.setrlimit(resource.RLIMIT_CPU, (int(began) + MOST_CPU_S + 1, hard))
            told = damaged.try_one(number, int(seed))
            grown, most = _most_memory() - most, _most_memory()
            if grown > MOST_BYTES:
                told["wrong"] = f"{grown // MIB} MiB of memory for a file of {damaged.path.stat().st_size} bytes"
            print(json.dumps({**told, "cpu_s": round(_cpu_s() - began, 4), "grown": grown}), flush=True)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _most_memory() -> int:
    """The most that this process has held. Not ru_maxrss, which begins with what the starting process held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


if __name__ == "__main__":
    main()
