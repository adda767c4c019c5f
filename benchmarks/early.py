"""Early decisions: what the rules promise, what they keep on test data, and what they save.

    python -m benchmarks.early --mnist data/mnist --nmnist data/nmnist [--cache runs/cache] [--only mnist ...]

Rules are chosen on samples that the weights never saw: MNIST's last 5,000 training images, people of the simulator that
are neither in the training of the gesture network nor in its test. They are judged on test samples, shown to their end,
so that the answer at the full length is known for each. "trained" are rules chosen on samples that the weights did see.
Scores over time are kept in the cache folder; the figures go to benchmarks/results/early-*.json.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dvs_run.pipeline.binning import bin_events
from dvs_run.pipeline.early import Recorder, Traces, choose_exit
from dvs_run.pipeline.early.file import network_digest
from dvs_run.pipeline.early.report import judge_exits
from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.evaluate import judge_images
from dvs_run.pipeline.idx import read_images, read_labels
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.sources import gesture_set, load_folder
from dvs_run.pipeline.train.windows import RecordingSet, cut

from . import early_stream
from .accuracy import write
from .gesture import CUT_SEED, RECORDED_US, TEST_PEOPLE, cut_at_random

NETWORKS = Path(__file__).resolve().parent.parent / "recordings/networks"
VALIDATION = 5_000  # the last images of MNIST's training part, as in configs/train-mnist.yaml
CHOICE_PEOPLE, CHOICE_SEED = (1_000, 1_200), 8  # of the validation: no weights were trained on them
CUT_US = 1_200_000  # as long as the readout of the gesture network looks back
RELIABILITIES = (0.95, 0.99)


def main() -> None:
    options, command = _arguments(), " ".join(["python -m benchmarks.early", *sys.argv[1:]])
    for name, wanted, tables in (
        ("mnist", options.mnist, _mnist), ("nmnist", options.nmnist, _nmnist), ("gesture", True, _gesture),
    ):  # fmt: skip
        if wanted and (not options.only or name in options.only):
            write(f"early-{name}", {"command": command, "runs": list(tables(options))})


def _mnist(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    engine = Engine(Network.load(NETWORKS / "mnist.npz"))
    engine.warm_up()
    for encoder in (PoissonEncoder(64), CurrentEncoder(64)):
        kind = type(encoder).__name__.removesuffix("Encoder").lower()
        sets = {
            "trained": _image_traces(options, engine, encoder, "train", slice(0, VALIDATION)),
            "validation": _image_traces(options, engine, encoder, "train", slice(-VALIDATION, None)),
            "test": _image_traces(options, engine, encoder, "t10k", slice(None)),
        }
        yield _table(f"mnist.npz, {kind}", sets, 1_000)


def _nmnist(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    engine = Engine(Network.load(NETWORKS / "nmnist.npz"))
    engine.warm_up()
    sets = {}
    for name, part in (("trained", "Train"), ("test", "Test")):
        data = load_folder(options.nmnist / part, (34, 34))
        sets[name] = _recording_traces(options, engine, data, f"nmnist {part}")
    yield _table("nmnist.npz, real recordings", sets, 5_000)


def _gesture(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    engine = Engine(Network.load(NETWORKS / "gesture.npz"))
    engine.warm_up()
    sets, recordings = {}, {}
    for name, per_class, people, seed in (
        ("validation", options.per_class, CHOICE_PEOPLE, CHOICE_SEED), ("test", 30, TEST_PEOPLE, CUT_SEED),
    ):  # fmt: skip
        recorded = gesture_set(per_class, RECORDED_US, people, options.cache)
        data = recordings[name] = cut_at_random(recorded, CUT_US, seed)
        sets[name] = _recording_traces(options, engine, data, f"gesture {per_class} {people} {seed} {CUT_US}")
    yield _table("gesture.npz, simulated people", sets, 5_000)
    streams = [early_stream.traces_of(engine.network, sets[name], recordings[name]) for name in ("validation", "test")]
    rows = early_stream.tables(engine.network, *streams, recordings["test"])
    yield {
        "on": "gesture.npz, streams",
        "samples": {name: len(data) for name, data in recordings.items()},
        "rules": rows,
    }


def _table(name: str, sets: dict[str, Traces], timestep_us: int) -> dict[str, Any]:
    """Every rule on the test set."""
    test = sets["test"]
    rows = []
    for chosen_on in [part for part in ("trained", "validation") if part in sets]:
        for kind in ("margin", "sequential"):
            for proof in ("none", "exact"):
                for promise in ("right", "final") if chosen_on == "validation" else ("right",):
                    rows += [
                        {
                            "kind": kind, "proof": proof, "promise": promise, "reliability": reliability,
                            "chosen_on": chosen_on,
                            **_row(sets[chosen_on], test, kind, proof, promise, reliability, timestep_us),
                        }
                        for reliability in RELIABILITIES
                    ]  # fmt: skip
    for row in rows:
        print(name, {key: value for key, value in row.items() if key != "promised"}, flush=True)
    sizes = {part: len(traces) for part, traces in sets.items()}
    return {"on": name, "samples": sizes, "timesteps": test.timesteps, "timestep_us": timestep_us, "rules": rows}


def _row(
    chosen_on: Traces, test: Traces, kind: str, proof: str, promise: str, reliability: float, timestep_us: int
) -> dict[str, Any]:
    try:
        rule = choose_exit(chosen_on, reliability, kind, promise, proof)
    except EventError as error:
        return {"refused": str(error)}
    return {"promised": dict(rule.promise), **judge_exits(rule, test).plain(timestep_us)}


def _image_traces(
    options: argparse.Namespace, engine: Engine, encoder: PoissonEncoder | CurrentEncoder, part: str, which: slice
) -> Traces:
    def make() -> Traces:
        images = read_images(options.mnist / f"{part}-images-idx3-ubyte")
        targets = read_labels(options.mnist / f"{part}-labels-idx1-ubyte", len(images))[which]
        recorder = Recorder()
        judge_images(engine, images[which], targets, encoder, watch=recorder)
        return recorder.traces(targets)

    return _kept(options, engine, f"{part} {which} {type(encoder).__name__} {encoder.timesteps}", make)


def _recording_traces(options: argparse.Namespace, engine: Engine, data: RecordingSet, name: str) -> Traces:
    return _kept(options, engine, name, lambda: _run(engine, data))


def _run(engine: Engine, data: RecordingSet) -> Traces:
    step, recorder = engine.timestep_us or 1, Recorder()
    for index in range(len(data)):
        events = data.recording(index)
        engine.reset()
        for t in range(0, int(data.durations_us[index]), step):
            piece = bin_events(cut(events, t, t + step), data.sensor, t, t + step)
            recorder(index, piece, engine.step(piece))
    return recorder.traces(data.targets)


def _kept(options: argparse.Namespace, engine: Engine, name: str, make: Callable[[], Traces]) -> Traces:
    """From the cache folder, if the same network was run on the same before."""
    digest = hashlib.sha256(f"{name} {network_digest(engine.network)} {engine.numbers}".encode()).hexdigest()
    path = options.cache / f"early-{digest[:12]}.npz"
    fields = ("scores", "decisions", "lengths", "targets", "synops")
    if path.exists():
        with np.load(path, allow_pickle=False) as archive:
            return Traces(*(archive[field] for field in fields))
    print(f"running {name}", flush=True)
    traces = make()
    options.cache.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{field: getattr(traces, field) for field in fields})
    return traces


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--nmnist", type=Path, help="folder with N-MNIST's Train and Test")
    parser.add_argument("--per-class", type=int, default=40, help="simulated gestures to choose on")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--only", nargs="*", choices=("mnist", "nmnist", "gesture"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
