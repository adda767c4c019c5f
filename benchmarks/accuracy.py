"""What the accuracy benchmarks share: the network as it runs, the same network as a CNN, and the record of a run.

A network can be run as a CNN: a ReLU where it has neurons, mean counts where it has spikes. Normalization scales layers
against each other and leaves that function unchanged, so for a plainly converted network this is the CNN it came from.
"""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dvs_run.pipeline.binning import bin_events
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.network import IF, Conv2d, Delay, Linear, Network, SumPool2d
from dvs_run.pipeline.train.evaluate import Accuracy
from dvs_run.pipeline.train.windows import RecordingSet, WindowPlan, cut, whole_recording

RESULTS = Path(__file__).parent / "results"


def spiking_scores(engine: Engine, data: RecordingSet, index: int) -> tuple[np.ndarray, np.ndarray, int, float]:
    """Scores (timestep, class) and decisions (timestep,) of one recording from a fresh state; SynOps; seconds."""
    step, events = engine.timestep_us or 1, data.recording(index)
    count = -(-int(data.durations_us[index]) // step)
    slices = [bin_events(cut(events, t, t + step), data.sensor, t, t + step) for t in step * np.arange(count)]
    engine.reset()
    began = time.perf_counter()
    made = [engine.step(piece) for piece in slices]
    seconds = time.perf_counter() - began
    decisions = np.array([item.index for item in made])
    return np.stack([item.scores for item in made]), decisions, sum(item.synops for item in made), seconds


def cnn_scores(
    network: Network, data: RecordingSet, index: int, slices: int, model: nn.Sequential | None = None
) -> np.ndarray:
    """Logits (window, class) of `model`, or else of the network as a CNN, on a recording's consecutive windows."""
    first = network.layers[0]
    delays = first.delays_us if isinstance(first, Delay) else (0,)
    assert network.timestep_us is not None
    frames = whole_recording(data, index, WindowPlan(network.timestep_us, slices, slices, delays_us=delays))
    with torch.inference_mode():
        inputs = torch.from_numpy(frames)
        return (as_cnn(network, inputs) if model is None else model(inputs).flatten(1)).numpy()


def as_cnn(network: Network, x: Tensor) -> Tensor:
    """The network's layers on mean counts (n, channel, height, width), with a ReLU for each IF."""
    for layer in network.layers:
        if isinstance(layer, IF):
            x = functional.relu(x)
        elif isinstance(layer, SumPool2d):
            x = functional.avg_pool2d(x, layer.kernel, layer.stride, divisor_override=1)
        elif isinstance(layer, Conv2d | Linear):
            weight = torch.from_numpy(np.array(layer.weight))
            bias = None if layer.bias is None else torch.from_numpy(np.array(layer.bias))
            if isinstance(layer, Linear):
                x = functional.linear(x.flatten(1), weight, bias)
            else:
                x = functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        elif not isinstance(layer, Delay):
            raise NetworkError(f"layer {layer.name!r} is a {type(layer).__name__}, which is not run as a CNN here")
    return x.flatten(1)


def as_json(accuracy: Accuracy) -> dict[str, Any]:
    low, high = accuracy.interval
    return {
        "right": accuracy.right,
        "n": accuracy.n,
        "accuracy": round(accuracy.share, 4),
        "wilson_95": [round(low, 4), round(high, 4)],
    }


def write(name: str, results: dict[str, Any]) -> Path:
    """Write benchmarks/results/NAME.json: the results, and where, when and by which command they were made."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    record = {
        "command": "python -m benchmarks." + " ".join([name, *sys.argv[1:]]),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "torch": str(torch.__version__),
        **results,
    }
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
