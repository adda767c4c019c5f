"""Replay at several paces: are slices and decisions the same, how late are packets, how exactly are deadlines met?

    python -m benchmarks.replay [--paces 0.5 1 10 fastest] [--files right_hand_wave air_drums] [--rounds 3]

The graph of configs/gesture.yaml, in threads, with decisions into a file. A packet's deadline is the end of its time
slice; the error is how long after it the packet left the source. Every pace runs as often as `--rounds` says, in turns;
the quietest round stands beside all together. `bare_sleep` is the error of a thread that does nothing but wait for such
deadlines, before each run: what the machine itself added at that time. At ten times real time the classifier is as busy
as a core can be, and packets wait for it; how late they are without one is told, too. In one run more of each pace a
recorder between binner and classifier writes the slices; these and all decisions must be the same at every pace, byte
for byte.
"""

import argparse
import hashlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from dvs_run.nodes.config import check_config, read_yaml
from dvs_run.nodes.host import StopRequest, run_in_threads
from dvs_run.nodes.measure import Histogram

from .accuracy import write

ROOT = Path(__file__).resolve().parent.parent
BAR_MS = 1.0  # of the 99th percentile, on an idle core
QUEUE = 1_000  # messages: a classifier slower than ten times real time then holds nobody back who keeps deadlines
POINTS = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paces", nargs="+", default=["0.5", "1", "10", "fastest"])
    parser.add_argument("--files", nargs="+", default=["right_hand_wave", "air_drums"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    files = [str(ROOT / "recordings" / "gesture" / f"{name}.aedat4") for name in options.files]
    made: dict[str, list[dict[str, Any]]] = {pace: [] for pace in options.paces}
    run("fastest", files)  # compiles and warms up
    bare: list[Histogram | None] = []
    for _ in range(options.rounds):
        for pace in options.paces:
            bare.append(bare_sleep())
            made[pace].append(run(pace if pace == "fastest" else float(pace), files))
            print(pace, made[pace][-1]["text"], flush=True)
    alone = [run(10.0, files, alone=True)["error"] for _ in range(options.rounds)]
    recorded = [run(pace if pace == "fastest" else float(pace), files, record=True) for pace in options.paces]
    slices = {found["slices"] for found in recorded}
    decisions = {found["decisions"] for found in (*recorded, *(one for rounds in made.values() for one in rounds))}
    identical = len(slices) == len(decisions) == 1
    result = {
        "recordings": options.files,
        "rounds": options.rounds,
        "bar_p99_ms": BAR_MS,
        "load_average": os.getloadavg()[0],
        "slices_and_decisions_identical": identical,
        "slices": recorded[0]["count"],
        "bare_sleep": figures(bare),
        "without a classifier, 10": figures(alone),
        "paces": {pace: figures([found["error"] for found in rounds]) for pace, rounds in made.items()},
    }
    print(f"identical at every pace: {identical}; {write('replay', result)}")
    if not identical:
        raise SystemExit(1)


def run(pace: str | float, files: list[str], record: bool = False, alone: bool = False) -> dict[str, Any]:
    """One run: what came out, and how late packets left the source. `alone`: without the classifier."""
    with tempfile.TemporaryDirectory() as folder:
        document = read_yaml(ROOT / "configs" / "gesture.yaml")
        nodes = document.values["nodes"]
        nodes["recording"] |= {"path": files, "pace": pace, "packet_us": 5_000}
        nodes["binner"] |= {"queue": QUEUE}
        nodes["classifier"] |= {"queue": QUEUE}
        if record:
            nodes["slices"] = {"kind": "recorder", "input": "binner", "path": f"{folder}/slices.jsonl"}
            nodes["classifier"]["input"] = "slices"
        nodes["decisions"] = {"kind": "file", "input": "classifier", "path": f"{folder}/decisions.jsonl"}
        left_out = ("printer", "score", "classifier", "decisions") if alone else ("printer", "score")
        document.values["nodes"] = {name: nodes[name] for name in nodes if name not in left_out}
        config = check_config(document)
        outcome = run_in_threads(config, config.graph.nodes, StopRequest())
        if outcome.failures:
            raise SystemExit(f"the run failed: {outcome.failures}")
        error = Histogram.from_plain(outcome.reports["recording"]["age_out"])
        if alone:
            return {"error": error}
        slices = b"".join(path.read_bytes() for path in sorted(Path(folder).glob("slices*")))
        return {
            "slices": hashlib.sha256(slices).hexdigest(),
            "decisions": hashlib.sha256(Path(folder, "decisions.jsonl").read_bytes()).hexdigest(),
            "count": slices.count(b"\n"),
            "error": error if pace != "fastest" else None,
            "text": dict(outcome.reports["recording"]["rows"])["pace"],
        }


def bare_sleep(seconds: float = 0.5) -> Histogram:
    """How late a thread wakes up that waits for a deadline every 5 ms."""
    error, event, deadline_ns = Histogram(), threading.Event(), time.monotonic_ns()
    for _ in range(round(seconds / 0.005)):
        deadline_ns += 5_000_000
        event.wait(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
        error.add(max(0, time.monotonic_ns() - deadline_ns))
    return error


def figures(errors: list[Histogram | None]) -> dict[str, Any]:
    """Of all rounds together, and of the one with the smallest 99th percentile."""
    measured = [error for error in errors if error is not None]
    if not measured:
        return {"deadlines": "none: as fast as the consumers take it"}
    together = Histogram()
    for error in measured:
        for bucket, count in error.buckets.items():
            together.buckets[bucket] = together.buckets.get(bucket, 0) + count
        together.n += error.n
        together.max_ns = max(together.max_ns, error.max_ns)
    best = min(measured, key=lambda error: error.percentile(99))
    return {"all_rounds": plain(together), "quietest_round": plain(best)}


def plain(error: Histogram) -> dict[str, Any]:
    found: dict[str, Any] = {name: round(error.percentile(point) / 1e6, 4) for name, point in POINTS.items()}
    return found | {"max_ms": round(error.max_ns / 1e6, 3), "packets": error.n, "meets_bar": found["p99_ms"] < BAR_MS}


if __name__ == "__main__":
    main()
