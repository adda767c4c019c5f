"""Staged accuracies of a conversion: CNN, CNN as imported, spikes clocked, spikes event-driven in each number format.

Each stage decides on the same samples, so that a loss is told apart from chance and has its place: importing, spiking,
or rounding to the engine's numbers. The data must be labelled, and no choice may have been made on it. The clocked
network sees all of it, the engine an evenly spaced part where all would take long; every figure says its n.

Operations are those of Rueckauer et al. 2017: the CNN takes 2 per MAC and 1 per neuron with a bias; a spike takes one
per synapse it reaches (borders exact); a constant current into the first layer takes its MACs once. Neuron updates are
no SynOps.

`measure_stages` is long for its options, which are told there, and for the figures that it names one by one.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ConversionError
from ...network import Conv2d, Linear, Network, Neurons
from ...stream import BinnedSlice
from ..cnn import Cnn, Weighted
from ..conversion import Conversion
from ..simulate import macs
from .decide import DRAWN, Progress, Run, clocked_run, cnn_run, decide, engine_run, evaluating, evenly
from .fidelity import LayerWatch
from .measured import Curve, Measured, Stage
from .validation import Coding, Images, Recordings, Validation

CNN, IMPORTED, CLOCKED = "CNN", "CNN as imported", "converted, clocked"
NUMBERS = ("float32", "int16", "int8")


def measure_stages(
    model: nn.Module,
    conversion: Conversion,
    inputs: Tensor | Sequence[Sequence[BinnedSlice]],
    labels: Tensor | np.ndarray | Sequence[int],
    timesteps: int,
    *,
    coding: Coding | None = None,
    numbers: Sequence[str] = NUMBERS,
    engine_samples: int = 500,
    layer_samples: int = 256,
    batch: int = 128,
    seed: int = 0,
    progress: Progress = lambda stage, done, n: None,
) -> Measured:
    """Run every stage on labelled validation data, on which nothing was chosen.

    inputs          images (n, channel, height, width) as the CNN wants them; with coding "events" recordings, each a
                    sequence of at least `timesteps` BinnedSlices
    labels          index of the right class of each
    coding          "constant" current or "poisson" spikes for images, "events" for recordings; None: as the method of
                    the conversion says, or "events" where inputs are no tensor
    numbers         of the engine's number formats, those to run
    engine_samples  how many samples the engine sees, evenly spaced; likewise layer_samples for the layers' figures
    batch           samples at once in the clocked network
    seed            of Poisson spikes
    progress        called with the stage, samples done, samples in all

    Raises ConversionError where data and network do not fit.
    """
    network = conversion.network
    if min(timesteps, batch, engine_samples, layer_samples) < 1:
        raise ConversionError(
            f"timesteps, batch, engine_samples and layer_samples are {timesteps}, {batch}, {engine_samples} and "
            f"{layer_samples}; want each at least 1"
        )
    if coding is None:
        coding = conversion.method.input if isinstance(inputs, Tensor) else "events"
    shown = _shown(inputs, network, timesteps, coding, seed)
    targets = _targets(labels, shown.n, len(network.labels))
    with evaluating(model, conversion.cnn.returned) as original:
        wanted = cnn_run(original, shown, batch)
    imported = cnn_run(conversion.cnn.to(torch.float32), shown, batch)
    watch = LayerWatch(conversion.cnn, network, shown, layer_samples)
    clocked = clocked_run(network, shown, batch, watch, progress)
    chosen = evenly(shown.n, engine_samples)
    engines = {name: engine_run(network, shown, chosen, name, progress) for name in numbers}

    verdicts = _Decisions(decide(wanted), targets)
    stages = [verdicts.stage(CNN, decide(wanted)), verdicts.stage(IMPORTED, decide(imported))]
    stages.append(verdicts.stage(CLOCKED, clocked.decisions[-1]))
    stages += [verdicts.stage(f"event-driven {name}", run.decisions[-1], chosen) for name, run in engines.items()]
    work, first = macs(network), first_layers(network)
    current = {name: float(work[name]) for name in first} if coding == "constant" else {}
    in_cnn = _macs_of_cnn(conversion.cnn, work)
    return Measured(
        coding=coding,
        timesteps=timesteps,
        stages=tuple(stages),
        curve=_curve(clocked, verdicts, network, 2.0 * sum(current.values())),
        layers=watch.results(work, {**clocked.per_layer, **current}),
        layer_samples=watch.samples,
        macs=in_cnn,
        cnn_operations=2 * in_cnn + _biased(conversion.cnn),
        neurons=_neurons(network),
        folding_error=float(np.abs(imported - wanted).max() / max(np.abs(wanted).max(), 1e-30)),
        notes=_notes(network, engines),
    )


class _Decisions:
    """The CNN's decisions and the right ones, against which others are counted."""

    def __init__(self, wanted: np.ndarray, targets: np.ndarray) -> None:
        self.wanted, self.targets = wanted, targets

    def stage(self, name: str, decisions: np.ndarray, chosen: np.ndarray | None = None) -> Stage:
        """`decisions` are those of the samples `chosen` (all, if not given)."""
        wanted, targets = (self.wanted, self.targets) if chosen is None else (self.wanted[chosen], self.targets[chosen])
        right, cnn_right = decisions == targets, wanted == targets
        return Stage(
            name=name,
            n=len(targets),
            right=int(right.sum()),
            cnn_right=int(cnn_right.sum()),
            lost=int((cnn_right & ~right).sum()),
            won=int((right & ~cnn_right).sum()),
            agreeing=int((decisions == wanted).sum()),
            undecided=int((decisions < 0).sum()),
        )


def _curve(run: Run, verdicts: _Decisions, network: Network, first_layer: float) -> Curve:
    wanted, targets = verdicts.wanted[run.chosen], verdicts.targets[run.chosen]
    updates = _neurons(network) * np.arange(1, len(run.synops) + 1)
    return Curve(
        stage=CLOCKED,
        n=len(run.chosen),
        error=tuple((run.decisions != targets).mean(1).tolist()),
        agreement=tuple((run.decisions == wanted).mean(1).tolist()),
        synops=tuple(run.synops.tolist()),
        first_layer=first_layer,
        updates=tuple(updates.astype(float).tolist()),
    )


def _notes(network: Network, engines: dict[str, Run]) -> tuple[str, ...]:
    notes = [
        f"{name}: potentials far from their thresholds met the range of the format {run.clamped:,} times and were held "
        "there, which its accuracy above includes"
        for name, run in engines.items()
        if run.clamped
    ]
    kind = network.readout.kind
    if kind in DRAWN:
        notes.append(f"the clocked stage reads the membrane; only the engine draws the spikes of the readout {kind!r}")
    return tuple(notes)


def _shown(
    inputs: Tensor | Sequence[Sequence[BinnedSlice]], network: Network, timesteps: int, coding: Coding, seed: int
) -> Validation:
    if coding not in ("constant", "poisson", "events"):
        raise ConversionError(f"coding is {coding!r}, want 'constant', 'poisson' or 'events'")
    if coding == "events":
        if isinstance(inputs, Tensor):
            raise ConversionError("with coding 'events', inputs are recordings: sequences of BinnedSlice, not a tensor")
        return Recordings(inputs, network, timesteps)
    return Images(torch.as_tensor(inputs), network, timesteps, coding, seed)


def _targets(labels: Tensor | np.ndarray | Sequence[int], n: int, classes: int) -> np.ndarray:
    targets = np.asarray(labels).astype(np.int64).reshape(-1)
    if len(targets) != n or (n and (targets.min() < 0 or targets.max() >= classes)):
        span = f"{targets.min()}..{targets.max()}" if len(targets) else "none"
        raise ConversionError(
            f"there are {len(targets):,} labels ({span}) for {n:,} samples and {classes} classes; want one label a "
            f"sample, each 0..{classes - 1}"
        )
    return targets


def _neurons(network: Network) -> int:
    shapes = network.shapes()
    return sum(int(np.prod(shapes[layer.name])) for layer in network.layers if isinstance(layer, Neurons))


def _macs_of_cnn(cnn: Cnn, work: dict[str, int]) -> int:
    """MACs of the CNN's own layers, without those that stand in for a change of scale, a choice or a border."""
    own = [node.name for node in cnn.nodes if isinstance(node, Weighted) and not node.copies]
    return sum(work[name] for name in own if name in work)


def _biased(cnn: Cnn) -> int:
    """Outputs of the CNN's layers that add a bias."""
    shapes = cnn.shapes()
    biased = [node for node in cnn.nodes if isinstance(node, Weighted) and bool((node.bias != 0).any())]
    return sum(int(np.prod(shapes[node.name])) for node in biased)


def first_layers(network: Network) -> list[str]:
    """The weight layers that the input reaches without passing neurons."""
    reached = {"input"}
    found = []
    for layer in network.layers:
        if isinstance(layer, Neurons) or not reached & set(layer.inputs):
            continue
        reached.add(layer.name)
        if isinstance(layer, Conv2d | Linear):
            found.append(layer.name)
    return found
