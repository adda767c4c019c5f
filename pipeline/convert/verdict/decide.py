"""Every decision in every timestep, of the CNN, of the clocked network and of the engine, on the same samples.

A decision is the largest output, -1 (undecided) where all are alike, as in the engine; stages.py counts them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ...engine import Engine
from ...errors import ConversionError, counted
from ...network import MaxPool2d, Network, Neurons, Readout
from ..returned import one_result
from ..simulate import Clocked
from .validation import Validation

DRAWN = ("softmax_rate", "softmax_poisson")  # readouts that only an Engine has
Progress = Callable[[str, int, int], None]  # stage, samples done, samples in all
Watch = Callable[[np.ndarray, Clocked, Tensor], None]  # samples, their network after the last timestep, its scores


@dataclass(frozen=True)
class Run:
    """Decisions (timestep, sample) int64 of the samples `chosen`, and their operations."""

    chosen: np.ndarray  # int64 (samples,): which of the validation data
    decisions: np.ndarray
    synops: np.ndarray  # float64 (timesteps,): cumulative SynOps per sample, without those of a constant current
    per_layer: dict[str, float]  # SynOps per sample of all timesteps, by weight layer
    clamped: int = 0  # potentials that met the range of the number format


def cnn_run(model: Callable[[Tensor], Tensor], shown: Validation, batch: int) -> np.ndarray:
    """Outputs (n, class) of a CNN: the mean over the windows that each sample is seen in; float64."""
    parts = []
    for part in _batches(shown.n, batch):
        with torch.inference_mode():
            outputs = [weight * model(inputs).double().flatten(1).cpu() for weight, inputs in shown.windows(part)]
        parts.append(torch.stack(outputs).sum(0))
    return torch.cat(parts).numpy()


def clocked_run(network: Network, shown: Validation, batch: int, watch: Watch, progress: Progress) -> Run:
    """All samples, a batch at a time. `watch` is called after the last timestep of each batch."""
    if network.readout.kind in DRAWN:
        network = replace(network, readout=Readout("membrane", network.readout.window_us))
    decisions = np.empty((shown.timesteps, shown.n), np.int64)
    synops, per_layer = np.zeros(shown.timesteps), dict[str, float]()
    for part in _batches(shown.n, batch):
        state = Clocked(network, len(part))
        scores = torch.zeros(0)
        for step, scores in enumerate(_stepped(state, shown, part)):
            decisions[step, part] = decide(scores.numpy())
            synops[step] += float(state.synops.sum())
        for name, count in state.synops_of.items():
            per_layer[name] = per_layer.get(name, 0.0) + count / shown.n
        watch(part, state, scores)
        progress("clocked", int(part[-1]) + 1, shown.n)
    return Run(np.arange(shown.n), decisions, synops / shown.n, per_layer)


def engine_run(network: Network, shown: Validation, chosen: np.ndarray, numbers: str, progress: Progress) -> Run:
    """Some samples, one after the other, from a fresh state."""
    engine = Engine(network, numbers=numbers)
    decisions = np.empty((shown.timesteps, len(chosen)), np.int64)
    synops = np.zeros(shown.timesteps)
    for column, index in enumerate(chosen.tolist()):
        engine.reset()
        for step, piece in enumerate(shown.pieces(index)):
            decision = engine.step(piece)
            decisions[step, column] = decision.index
            synops[step] += decision.synops
        progress(numbers, column + 1, len(chosen))
    per_layer = {name: count / len(chosen) for name, count in engine.synops_per_layer.items()}
    return Run(chosen, decisions, synops.cumsum() / len(chosen), per_layer, engine.clamped)


def decide(scores: np.ndarray) -> np.ndarray:
    """Index of the largest of each row, the first of equals; -1 where all are equal."""
    return np.where(scores.max(1) > scores.min(1), scores.argmax(1), -1)


def evenly(n: int, wanted: int) -> np.ndarray:
    """Indexes of at most so many of n samples, evenly spaced: validation data is often sorted by class."""
    return np.arange(n) if wanted >= n else np.arange(wanted) * n // wanted


@contextmanager
def evaluating(model: nn.Module, key: int | str | None = None) -> Iterator[Callable[[Tensor], Tensor]]:
    """The model in eval mode, fed on its own device and in its own type; afterwards it is as it was.

    `key` is that of the result which counts, Cnn.returned, where the model returns several.
    """
    modes = {module: module.training for module in model.modules()}
    parameter = next(model.parameters(), torch.zeros(0))
    try:
        model.eval()
        yield lambda x: one_result(model(x.to(parameter.device, parameter.dtype)), key)
    finally:
        for module, mode in modes.items():
            module.training = mode


def _batches(n: int, batch: int) -> Iterator[np.ndarray]:
    for start in range(0, n, batch):
        yield np.arange(start, min(start + batch, n))


def _stepped(state: Clocked, shown: Validation, part: np.ndarray) -> Iterator[Tensor]:
    """Scores after each timestep, with the network's windows: hidden neurons start afresh, old evidence is dropped."""
    network = state.network
    step_us = network.timestep_us or 0
    fresh = {name: v.clone() for name, v in state.v.items()}
    hidden = [layer.name for layer in network.layers[:-1] if isinstance(layer, Neurons)]
    restart = network.state_window_us // step_us if network.state_window_us and step_us else 0
    window = network.readout.window_us // step_us if network.readout.window_us and step_us else 0
    if restart and restart < shown.timesteps and any(isinstance(layer, MaxPool2d) for layer in network.layers):
        raise ConversionError(
            "the clocked network cannot start max pools afresh within a stream; validate on at most "
            f"{counted(restart, 'timestep')}, the state window"
        )
    past: list[Tensor] = []  # evidence of the last timesteps, as many as the window needs
    for step, inputs in enumerate(shown.steps(part)):
        if restart and step % restart == 0:
            for name in hidden:
                state.v[name].copy_(fresh[name])
        scores = state.step(inputs, is_current=shown.coding == "constant")
        past = [*past, scores][-window - 1 :] if window else []
        yield scores - past[0] if len(past) > window > 0 else scores
