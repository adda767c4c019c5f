"""Accuracy of the N-MNIST network on real recordings that were never trained on, nor chosen by.

    python -m benchmarks.nmnist --folder data/nmnist/Test [--network FILE] [--without FILE] [--cnn FILE]

The folder is N-MNIST's: one subfolder a digit, .bin files in it. Each recording is run from a fresh state to its end.
`--cnn` is the CNN as it was before the spiking fine-tuning, `--without` the CNN that never saw a simulated saccade
(both checkpoints of `dvs train`).
"""

import argparse
from pathlib import Path

import numpy as np

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.evaluate import Accuracy, accuracy, confusion, recording_scores
from dvs_run.pipeline.train.sources import load_folder
from dvs_run.pipeline.train.windows import RecordingSet, WindowPlan

from .accuracy import as_json, spiking_scores, write

SENSOR, WINDOW_US = (34, 34), 300_000
TIMES_US = (50_000, 100_000, 150_000, 200_000, 250_000, 300_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--network", type=Path, default=Path("recordings/networks/nmnist.npz"))
    parser.add_argument("--cnn", type=Path)
    parser.add_argument("--without", type=Path)
    options = parser.parse_args()
    data = load_folder(options.folder, SENSOR)
    results = measure(Network.load(options.network), data)
    for name, path in (("cnn", options.cnn), ("cnn_without_simulated_saccades", options.without)):
        if path:
            results[name] = as_json(judge(path, data))
    path = write("nmnist", {"network": str(options.network), "recordings": "N-MNIST, real", **results})
    print({key: value for key, value in results.items() if key != "confusion"}, f"\nwritten to {path}")


def judge(checkpoint: Path, data: RecordingSet) -> Accuracy:
    """The CNN of a checkpoint on the mean count of the first 300 ms of each recording."""
    model, _, extra = load_checkpoint(checkpoint)
    slices = WINDOW_US // extra["timestep_us"]
    scores = recording_scores(model, data, WindowPlan(extra["timestep_us"], slices, slices), whole=False)
    return accuracy(scores, data.targets)


def measure(network: Network, data: RecordingSet) -> dict[str, object]:
    engine = Engine(network)
    engine.warm_up()
    step = engine.timestep_us or 1
    decided, over_time, synops, seconds = [], [], 0, 0.0
    for index in range(len(data)):
        _, decisions, ops, took = spiking_scores(engine, data, index)
        decided.append(decisions[-1])
        over_time.append([decisions[min(t // step, len(decisions)) - 1] for t in TIMES_US])
        synops, seconds = synops + ops, seconds + took
    right = np.array(decided) == data.targets
    shares = (np.array(over_time) == data.targets[:, None]).mean(0)
    return {
        "snn": as_json(Accuracy(int(right.sum()), len(data))),
        "snn_accuracy_after_us": {str(t): round(float(share), 4) for t, share in zip(TIMES_US, shares, strict=True)},
        "synops_per_recording": round(synops / len(data)),
        "macs_of_the_cnn": sum(engine.macs_per_layer.values()),
        "events_per_recording": round(len(data.events) / len(data)),
        "engine_seconds_per_second_of_recording": round(seconds / (int(data.durations_us.sum()) * 1e-6), 4),
        "clamped": engine.clamped,
        "confusion": confusion(np.array(decided), data.targets, len(network.labels)).tolist(),
    }


if __name__ == "__main__":
    main()
