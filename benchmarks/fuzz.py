"""Damaged recordings of every container, ten thousand of each: no hang, no crash, no flood of memory, one error type.

    python -m benchmarks.fuzz [--files 10000] [--seed 1] [--only dat evt3 ...]

With --only, the figures of the other containers stay as they are.
Each container's small recording is damaged in ways that a number reproduces (fuzz_mutations.py) and read in a process
of its own (fuzz_reader.py) with a limit of memory and of time. Asked of every file: the reading ends, in order or with
a RecordingError that names the file; events come sorted, within the sensor; and those that stand in the file wholly
before the damage are delivered unchanged, whether faults are raised, end the reading or are skipped. Three times in
four the reader is told the container, and finds it by the file's bytes otherwise.
"""

import argparse
import json
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tests.formats import files, ros_files

from .accuracy import RESULTS, write

SILENCE_S = 120  # wall time without a word from the process: it hangs (fuzz_reader limits the processor's time)
FIGURES = RESULTS / "fuzz.json"
MOST_FAILURES = 20  # of one container; beyond them there is no news


class Sample(NamedTuple):
    """A small recording that is to be damaged."""

    name: str
    path: Path
    header: int  # its first bytes that are a header
    options: dict[str, Any]  # of open_recording
    share: float = 1.0  # of the number of files asked for: less where each of them starts a process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="damaged files of each container and compression")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="containers")
    options = parser.parse_args()
    results = others(options.only)
    with tempfile.TemporaryDirectory() as folder:
        for sample in samples(Path(folder)):
            if not options.only or sample.options["container"] in options.only:
                results[sample.name] = fuzz(sample, round(options.files * sample.share), options.seed)
                print(sample.name, json.dumps(results[sample.name]), flush=True)
                write("fuzz", {"seed": options.seed, **results})
    if any(result["failures"] for result in results.values()):
        raise SystemExit("there are failures: see above")


def others(only: list[str]) -> dict[str, Any]:
    """What earlier runs found of the containers that are not read now."""
    if not only or not FIGURES.is_file():
        return {}
    known = json.loads(FIGURES.read_text())
    return {name: run for name, run in known.items() if isinstance(run, dict) and name.split(",")[0] not in only}


def samples(folder: Path) -> Iterator[Sample]:
    """One recording of every container and compression, of a few dozen events."""
    told = {"sensor": (files.SMALL.width, files.SMALL.height)}
    for container, compression in files.READ:
        name = container if compression == "none" else f"{container}, {compression}"
        path = folder / name.replace(", ", "-")
        made = files.make(path, container, compression, files.events_for_all(60))
        path.write_bytes(made.data)
        header = min(made.marks[0][0], len(made.data)) if len(made.marks) > 1 else 128
        yield Sample(name, path, header, {"container": container, **told})
    yield from _bags(folder, told)
    with h5py.File(folder / "hdf5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = files.events_for_all(60)[name]
    yield Sample("hdf5", folder / "hdf5", 512, {"container": "hdf5", **told}, share=0.01)


def _bags(folder: Path, told: dict[str, Any]) -> Iterator[Sample]:
    for kind in ("bag", "bag lz4", "mcap", "mcap zstd", "db3"):
        store, parts = ros_files.store_for(kind), np.array_split(files.events_for_all(60), 4)
        messages = [("/dvs/events", ros_files.array(store, kind, part, files.SMALL)) for part in parts]
        path = ros_files.write_bag(folder, kind, messages, chunk_bytes=400)
        container = {"bag": "rosbag"}.get(kind.split()[0], kind.split()[0])
        name = container + kind[len(kind.split()[0]) :].replace(" ", ", ")
        yield Sample(name, path.rename(folder / name.replace(", ", "-")), 512, {"container": container, **told})


def fuzz(sample: Sample, count: int, seed: int) -> dict[str, Any]:
    """Read `count` damaged versions of a sample; a process that dies is replaced by one that begins after its file."""
    kinds: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    prefix = number = 0
    slowest = 0.0
    began = time.perf_counter()
    while number < count and len(failures) < MOST_FAILURES:
        command = [sys.executable, "-m", "benchmarks.fuzz_reader", str(sample.path), str(sample.header)]
        command += [str(number), str(count), str(seed), json.dumps(sample.options)]
        for told in listen(command, SILENCE_S):
            if "ended" not in told or number < count:
                kinds[told.get("kind", "ended")] += 1
                prefix += told.get("prefix", 0)
                slowest = max(slowest, told.get("cpu_s", 0))
                if "wrong" in told or "ended" in told:
                    failures.append({"file": number, "what": told.get("wrong") or told["ended"]})
                number += 1
    return {
        "files": number,
        **{kind: kinds[kind] for kind in ("whole", "fault", "refused", "ended") if kinds[kind]},
        "events before the damage, delivered": prefix,
        "slowest_cpu_s": slowest,
        "wall_s": round(time.perf_counter() - began, 1),
        "failures": failures,
    }


def listen(command: list[str], silence_s: float) -> Iterator[dict[str, Any]]:
    """The lines of JSON that a process writes; at last {"ended": why}, which is of no interest if all were written."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115  no pipe: a decoder that complains of every file would fill it
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
    assert process.stdout is not None
    with errors, process, selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        waiting = b""
        while True:
            if not selector.select(silence_s):
                process.kill()
                yield {"ended": f"nothing was heard for {silence_s} s"}
                return
            got = process.stdout.read1(1 << 16)
            if not got:
                break
            *lines, waiting = (waiting + got).split(b"\n")
            yield from map(json.loads, lines)
        process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip().splitlines()
    yield {"ended": f"the process ended with {process.returncode}: {said[-1] if said else 'nothing said'}"}


if __name__ == "__main__":
    main()
