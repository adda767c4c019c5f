"""How fast the filters are, beside tonic's and beside copying memory; and what the correlation filter gains.

    python -m benchmarks.filters                  # prints tables, writes benchmarks/results/filters.json
    python -m benchmarks.filters --recordings ../shared/data/recordings

All competitors run in turn over the same events; the clock is the thread's own, which stands still while others have
the core (wall time stands beside it in the JSON), and the median of the rounds counts. tonic's filters are loops in
Python and run over fewer events; their rate does not depend on the number.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.filters import FilterChain, filter_events, make_filters
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.representations import DecayedSurface, TimeSurface, polarity_frame, voxel_grid

from .accuracy import write

LENS = {"fx": 250.0, "fy": 252.0, "cx": 170.0, "cy": 128.0, "distortion": [-0.35, 0.12, 0.001, -0.0008]}
SPEED = [  # kind and settings: everyday ones
    {"kind": "polarity", "keep": "on"},
    {"kind": "region", "x": 20, "y": 20, "width": 80, "height": 60},
    {"kind": "crop", "x": 20, "y": 20, "width": 80, "height": 60},
    {"kind": "flip", "axis": "horizontal"},
    {"kind": "rotate", "degrees": 90},
    {"kind": "transpose"},
    {"kind": "downsample", "columns": 2, "rows": 2},
    {"kind": "random_drop", "keep": 0.5},
    {"kind": "rate_limit", "events_per_s": 100_000},
    {"kind": "undistort", **LENS},
    {"kind": "hot_pixel"},
    {"kind": "refractory", "period_us": 1_000},
    {"kind": "background", "window_us": 10_000},
    {"kind": "correlation", "window_us": 10_000},
    {"kind": "integrate", "columns": 2, "rows": 2},
    {"kind": "integrate", "columns": 2, "rows": 2, "leak_hz": 50},
]
STUDIED = {
    "background (one witness, any polarity)": {"kind": "background"},
    "one witness, same polarity": {"kind": "correlation", "witnesses": 1},
    "two witnesses, any polarity": {"kind": "correlation", "polarity": "any"},
    "correlation (two witnesses, same polarity)": {"kind": "correlation"},
    "three witnesses, same polarity": {"kind": "correlation", "witnesses": 3},
    "three witnesses, same polarity, radius 2": {"kind": "correlation", "witnesses": 3, "radius": 2},
    "five witnesses, same polarity, radius 2": {"kind": "correlation", "witnesses": 5, "radius": 2},
}
WINDOWS_US = [round(200 * 2 ** (n / 2)) for n in range(26)]  # 0.2 ms to 1.2 s
NOISE_HZ = 2.0  # of a pixel: a dim scene
PASSED = 0.05  # share of the noise let through, at which filters are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=Path, default=Path("../shared/data/recordings"))
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    events, sensor = crowd(options.events)
    found: dict[str, Any] = {"seed": 1, "events": len(events)}
    found["speed"] = speed(events, sensor, options.rounds)
    found["tonic"] = beside_tonic(options.recordings, options.rounds)
    found["noise"] = {path.name: noise(path) for path in studied_files(options.recordings)}
    write("filters", found)
    tell(found)


def crowd(n: int) -> tuple[np.ndarray, SensorSize]:
    """n events of a DAVIS346 at 2 M events/s: 30 blobs that wander, and one event in five anywhere."""
    rng, sensor = np.random.default_rng(1), SensorSize(346, 260)
    blob = rng.integers(0, 30, n)
    centre = [np.cumsum(rng.normal(0, 2, (1_000, 30)), 0) + rng.uniform(30, 200, 30) for _ in range(2)]
    step = (np.arange(n) * 1_000) // n
    stray = rng.random(n) < 0.2
    events = np.empty(n, EVENT_DTYPE)
    events["t"], events["p"] = np.sort(rng.integers(0, n // 2, n)), rng.random(n) < 0.5
    for name, side, path in (("x", sensor.width, centre[0]), ("y", sensor.height, centre[1])):
        near = np.rint(path[step, blob] + rng.normal(0, 5, n)) % side
        events[name] = np.where(stray, rng.integers(0, side, n), near)
    return events, sensor


def in_turn(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of each job, by the thread's clock and by the wall's; every job once a round."""
    cpu: dict[str, list[float]] = {name: [] for name in jobs}
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # compiles, and touches the memory
    for _ in range(rounds):
        for name, job in jobs.items():
            began, began_cpu = time.perf_counter(), time.thread_time()
            job()
            cpu[name].append(time.thread_time() - began_cpu)
            wall[name].append(time.perf_counter() - began)
    return {
        name: {
            "cpu_s": statistics.median(cpu[name]),
            "wall_s": statistics.median(wall[name]),
            "least_s": min(cpu[name]),
        }
        for name in jobs
    }


def speed(events: np.ndarray, sensor: SensorSize, rounds: int) -> dict[str, dict[str, float]]:
    """M events/s of every filter, as packets of 8,192 and of 1,000 events come; and of copying their bytes."""
    whole, out = events.view(np.uint8), np.empty(events.nbytes, np.uint8)
    jobs: dict[str, Callable[[], object]] = {"copy of memory, to an array there": lambda: np.copyto(out, whole)}
    jobs["copy of memory, to a new array"] = whole.copy
    for entry in [None, *SPEED]:
        name = "no filter: check and copy" if entry is None else " ".join(str(value) for value in entry.values())
        for packet in (8_192, 1_000):
            chain = FilterChain(make_filters([entry] if entry else []))
            jobs[f"{name if 'undistort' not in name else 'undistort'}|{packet}"] = packets(
                chain, sensor, events, packet
            )
    start, stop = int(events["t"][0]), int(events["t"][-1]) + 1
    jobs["polarity_frame"] = lambda: polarity_frame(events, sensor)
    jobs["voxel_grid of 10 bins"] = lambda: voxel_grid(events, sensor, 10, start, stop)
    jobs["TimeSurface.push"] = lambda: TimeSurface(sensor).push(events)
    jobs["DecayedSurface.push"] = lambda: DecayedSurface(sensor, 30_000).push(events)
    return {
        name: {"M_events_per_s": round(len(events) / took["cpu_s"] / 1e6, 1), **rounded(took)}
        for name, took in in_turn(jobs, rounds).items()
    }


def packets(chain: FilterChain, sensor: SensorSize, events: np.ndarray, size: int) -> Callable[[], None]:
    parts = [events[first : first + size] for first in range(0, len(events), size)]

    def run() -> None:
        chain.begin(sensor)
        for part in parts:
            chain.apply(part)

    return run


def beside_tonic(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Ours and tonic's RefractoryPeriod and Denoise on the same events: rates, and whether the outcomes are equal."""
    try:
        from tonic.transforms import Denoise, RefractoryPeriod
    except ImportError:
        print("tonic is not installed: it is left out")
        return []
    pairs = {
        "RefractoryPeriod": (RefractoryPeriod(1_000), {"kind": "refractory", "period_us": 1_000, "since": "any"}),
        "Denoise": (Denoise(10_000), {"kind": "background", "window_us": 10_000, "neighbours": 4}),
    }
    return [
        {"file": path.name, "filter": name, **compare(path, theirs, make_filters([entry]), max(rounds // 2, 3))}
        for path in studied_files(folder)
        for name, (theirs, entry) in pairs.items()
    ]


def compare(path: Path, theirs: Callable, ours: list[Any], rounds: int) -> dict[str, Any]:
    """Whether both leave the same events of a recording, and how fast."""
    events, sensor = read(path, 200_000)
    events["t"] += 20_000 - events["t"][0]  # what tonic does with a stream's beginning is told in docs/filters.md
    equal = bool(np.array_equal(filter_events(events, sensor, ours)[0], theirs(events)))
    jobs = {"ours": lambda: filter_events(events, sensor, ours), "tonic": lambda: theirs(events)}
    took = in_turn(jobs, rounds)
    rates = {f"{side}_M_events_per_s": round(len(events) / one["cpu_s"] / 1e6, 3) for side, one in took.items()}
    return {
        "events": len(events),
        "equal": equal,
        "ratio": round(took["tonic"]["cpu_s"] / took["ours"]["cpu_s"], 1),
    } | rates


def noise(path: Path) -> dict[str, Any]:
    """What share of the recorded events each filter keeps when it lets PASSED of the added noise through."""
    events, sensor = read(path, 400_000)
    mixed, added = with_noise(events, sensor)
    rows = {}
    for name, entry in STUDIED.items():
        kept, passed = zip(*(shares(mixed, added, sensor, entry | {"window_us": w}) for w in WINDOWS_US), strict=True)
        window = float(np.interp(PASSED, passed, WINDOWS_US))
        rows[name] = {"recorded_kept": round(float(np.interp(PASSED, passed, kept)), 4), "window_us": round(window)}
    rate = len(events) / ((events["t"][-1] - events["t"][0]) / 1e6)
    return {
        "sensor": str(sensor),
        "recorded": len(events),
        "recorded_per_s": round(rate),
        "added": int(added.sum()),
    } | {"filters": rows}


def with_noise(events: np.ndarray, sensor: SensorSize) -> tuple[np.ndarray, np.ndarray]:
    """The events among Poisson noise of NOISE_HZ a pixel; and which are noise."""
    rng = np.random.default_rng(7)
    first, last = int(events["t"][0]), int(events["t"][-1])
    n = rng.poisson(NOISE_HZ * sensor.width * sensor.height * (last - first) / 1e6)
    extra = np.empty(n, EVENT_DTYPE)
    extra["t"], extra["p"] = rng.integers(first, last + 1, n), rng.random(n) < 0.5
    extra["x"], extra["y"] = rng.integers(0, sensor.width, n), rng.integers(0, sensor.height, n)
    mixed = np.concatenate([events, extra])
    order = np.argsort(mixed["t"], kind="stable")
    return mixed[order], (np.arange(len(mixed)) >= len(events))[order]


def shares(mixed: np.ndarray, added: np.ndarray, sensor: SensorSize, entry: dict[str, Any]) -> tuple[float, float]:
    """Shares of the recorded and of the added events that pass. Each event's number travels in its time's low bits."""
    numbered = mixed.copy()
    scale = 1 << 24
    numbered["t"] = (mixed["t"] - mixed["t"][0]) * scale + np.arange(len(mixed))
    out, _ = filter_events(numbered, sensor, scaled(entry, scale))
    passed = np.zeros(len(mixed), bool)
    passed[out["t"] % scale] = True
    return float(passed[~added].mean()), float(passed[added].mean())


def scaled(entry: dict[str, Any], scale: int) -> list[Any]:
    """The filter with its window in the units of numbered times, which no config could ask for."""
    (made,) = make_filters([entry])
    made.window_us = entry["window_us"] * scale  # type: ignore[attr-defined]
    return [made]


def studied_files(folder: Path) -> list[Path]:
    names = (
        "dvs128_people/walking.aedat",
        "aedat2/dvs128_moving_dark_box.aedat",
        "aedat4/dvxplorer_320x240_lz4.aedat4",
    )
    files = [folder / name for name in names if (folder / name).exists()]
    if not files:
        print(f"no recordings in {folder}: tonic and noise are left out (--recordings FOLDER)")
    return files


def read(path: Path, most: int) -> tuple[np.ndarray, SensorSize]:
    with open_recording(path) as recording:
        pieces: list[np.ndarray] = []
        for packet in recording:
            pieces.append(packet.events)
            if sum(map(len, pieces)) >= most:
                break
        return np.concatenate(pieces)[:most].copy(), recording.sensor


def rounded(took: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in took.items()}


def tell(found: dict[str, Any]) -> None:
    print(
        f"{found['events']:,} events of 346x260; M events/s, median, by the thread's clock; packets of 8192 and of 1000"
    )
    plain = {name: row["M_events_per_s"] for name, row in found["speed"].items()}
    for name, rate in plain.items():
        title, _, packet = name.partition("|")
        if packet != "1000":
            print(f"  {title:44} {rate:8.1f}" + (f" {plain[f'{title}|1000']:8.1f}" if packet else ""))
    for row in found["tonic"]:
        print("  ".join(f"{value}" for value in row.values()))
    for name, study in found["noise"].items():
        print(f"{name} {study['sensor']}, {study['recorded_per_s']:,} events/s + {NOISE_HZ} Hz of noise a pixel")
        for title, row in study["filters"].items():
            print(f"  {title:44} keeps {row['recorded_kept']:.1%} at {PASSED:.0%} of noise, {row['window_us']:,} µs")


if __name__ == "__main__":
    main()
