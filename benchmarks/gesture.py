"""Accuracy of the gesture network on simulated people and lightings that were never trained on.

    python -m benchmarks.gesture [--network FILE] [--per-class 30] [--cache FOLDER] [--plot docs/gesture-confusion.png]

Each test recording is 2.4 s long; a window of 1.8 s is cut from it at random, and the decision is what the network says
at the end of it. `--cnn` is the CNN that the network was fine-tuned from (a checkpoint of `dvs train`); its logits are
summed over the same windows. Without it, the network itself is run as a CNN.
"""

import argparse
from pathlib import Path

import numpy as np
from torch import nn

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.checkpoint import load_checkpoint
from dvs_run.pipeline.train.evaluate import Accuracy, confusion
from dvs_run.pipeline.train.sources import gesture_set
from dvs_run.pipeline.train.windows import RecordingSet, cut, pack

from .accuracy import as_json, cnn_scores, spiking_scores, write

TEST_PEOPLE = (2_000, 3_000)  # seeds of people and lightings; training has 0 to 999, validation 1000 to 1199
RECORDED_US, CUT_US = 2_400_000, 1_800_000
CUT_SEED = 7
TIMES_US = (60_000, 120_000, 240_000, 360_000, 600_000, 900_000, 1_200_000, 1_500_000, 1_800_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, default=Path("recordings/networks/gesture.npz"))
    parser.add_argument("--cnn", type=Path)
    parser.add_argument("--per-class", type=int, default=30)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="simulated recordings are kept here")
    parser.add_argument("--plot", type=Path, help="write the confusion matrix as a picture")
    options = parser.parse_args()
    network = Network.load(options.network)
    data = cut_at_random(gesture_set(options.per_class, RECORDED_US, TEST_PEOPLE, options.cache), CUT_US, CUT_SEED)
    results, matrix = measure(network, data, load_checkpoint(options.cnn)[0] if options.cnn else None)
    path = write("gesture", {"network": str(options.network), "test_people": TEST_PEOPLE, "seed": CUT_SEED, **results})
    if options.plot:
        plot_confusion(matrix, network.labels, options.plot)
    print(f"SNN {results['snn']}\nCNN {results['cnn']}\n{matrix}\nwritten to {path}")


def cut_at_random(data: RecordingSet, length_us: int, seed: int) -> RecordingSet:
    """A random stretch of each recording, as if the camera had been opened and closed then."""
    rng = np.random.default_rng(seed)
    pieces = []
    for index in range(len(data)):
        start = int(rng.integers(0, data.durations_us[index] - length_us + 1))
        events = cut(data.recording(index), start, start + length_us).copy()
        events["t"] -= start
        pieces.append(events)
    return pack(pieces, [length_us] * len(data), data.targets.tolist(), data.labels, data.sensor)


def measure(
    network: Network, data: RecordingSet, cnn_model: nn.Sequential | None
) -> tuple[dict[str, object], np.ndarray]:
    engine = Engine(network)
    engine.warm_up()
    step, window = engine.timestep_us, network.state_window_us
    if step is None or window is None:
        raise SystemExit("this benchmark wants a network with timestep_us and state_window_us")
    kept = None if network.readout.window_us is None else network.readout.window_us // window
    snn, cnn, per_time, synops, seconds = [], [], [], 0, 0.0
    for index in range(len(data)):
        _, decided, ops, took = spiking_scores(engine, data, index)
        logits = cnn_scores(network, data, index, window // step, cnn_model)
        snn.append(decided[-1])
        per_time.append([decided[min(t // step, len(decided)) - 1] for t in TIMES_US])
        cnn.append(logits[-kept:].sum(0).argmax() if kept else logits.sum(0).argmax())
        synops, seconds = synops + ops, seconds + took
    right = np.array(snn) == data.targets
    total_us = int(data.durations_us.sum())
    matrix = confusion(np.array(snn), data.targets, len(network.labels))
    over_time = (np.array(per_time) == data.targets[:, None]).mean(0)
    return {
        "snn": as_json(Accuracy(int(right.sum()), len(data))),
        "cnn": as_json(Accuracy(int((np.array(cnn) == data.targets).sum()), len(data))),
        "snn_and_cnn_agree": round(float((np.array(snn) == np.array(cnn)).mean()), 4),
        "snn_accuracy_after_us": {str(t): round(float(a), 4) for t, a in zip(TIMES_US, over_time, strict=True)},
        "synops_per_second_of_recording": round(synops / (total_us * 1e-6)),
        "macs_of_the_cnn_per_window": sum(engine.macs_per_layer.values()),
        "events_per_second": round(len(data.events) / (total_us * 1e-6)),
        "engine_seconds_per_second_of_recording": round(seconds / (total_us * 1e-6), 4),
        "clamped": engine.clamped,
        "labels": list(network.labels),
        "confusion": matrix.tolist(),
    }, matrix


def plot_confusion(matrix: np.ndarray, labels: tuple[str, ...], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [label.replace("_", " ") for label in labels]
    figure, axes = plt.subplots(figsize=(7.5, 6.5))
    axes.imshow(matrix[:, : len(labels)], cmap="Blues")
    axes.set_xticks(range(len(labels)), names, rotation=50, ha="right")
    axes.set_yticks(range(len(labels)), names)
    axes.set_xlabel("decided")
    axes.set_ylabel("shown")
    for row, column in np.argwhere(matrix[:, : len(labels)] > 0):
        dark = matrix[row, column] > matrix.max() / 2
        axes.text(column, row, matrix[row, column], ha="center", va="center", color="white" if dark else "black")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
