"""What costs when little happens: a slice without an event, and one event at a time in asynchronous mode."""

import dataclasses
import importlib.util
import time
from typing import Any

import numpy as np

from dvs_run.pipeline.network import Network
from dvs_run.pipeline.stream import BinnedSlice

from . import ours, workloads

SLICES = 2_000


def empty_slices(network: Network, numbers: str) -> dict[str, float]:
    """Median µs of a step without events: of a silent network (no biases), and of one that its biases keep firing."""
    silent = dataclasses.replace(
        network,
        layers=tuple(
            dataclasses.replace(layer, bias=None) if hasattr(layer, "bias") else layer for layer in network.layers
        ),
    )
    return {"silent": _empty(silent, numbers), "driven_by_biases": _empty(network, numbers)}


def _empty(network: Network, numbers: str) -> float:
    engine = ours.make_engine(network, numbers)
    none, step = np.zeros(0, np.int32), workloads.STEP_US
    slices = [BinnedSlice(i * step, (i + 1) * step, none, none) for i in range(SLICES)]
    took = np.empty(SLICES)
    for i, piece in enumerate(slices):
        began = time.perf_counter()
        engine.step(piece)
        took[i] = time.perf_counter() - began
    return round(float(np.median(took)) * 1e6, 2)


def single_events(seed: int) -> dict[str, Any] | str:
    """Asynchronous mode on the 128x128 network at about 1 %."""
    if importlib.util.find_spec("dvs_run.pipeline.engine.asynchronous") is None:
        return "this engine has no asynchronous mode"
    return "not measured"
