"""What a conversion lost, stage by stage: CNN -> folded CNN -> spiking network, on calibration inputs.

Each comparison says which stage broke something: `folding_error` compares the model with the folded graph,
`output_error` and `agreement` the graph with the spikes of the finished Network, the populations' lines where it
happened.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import counted
from ..network import Network, Neurons
from .cnn import Activation, Cnn
from .method import Method
from .scales import Progress, Scale
from .simulate import Clocked, fan_out
from .spiking.build import Built


@dataclass(frozen=True)
class LayerReport:
    """One population of neurons, or the last layer if it only integrates (its spiking columns are None)."""

    name: str  # of the neurons, which is that of the activation in the CNN
    weights: tuple[str, ...]  # the weight layers right before it; none where spikes come straight from other neurons
    outputs: tuple[int, ...]  # (channel, height, width), or (feature,)
    macs: int  # multiply-accumulates per input in the CNN, of `weights`
    synops: float  # synaptic operations per input in all timesteps that arrive here
    scale: float | None  # λ, or the mean of the channels' λ: the activation that a rate of 1 stands for
    maximum: float | None  # largest magnitude of the activation in calibration
    clipped: float | None  # share of activations above λ
    dead: float | None  # share of neurons whose activation was never other than 0
    rate: float | None  # mean firing rate, spikes per timestep and neuron (negative spikes count as spikes)
    correlation: float | None  # Pearson of activation and firing rate over neurons and inputs; None if one is constant
    residual: float | None  # mean of |v(T) - v(0)| / (T θ): what the membranes hold back, in spikes per timestep
    error: float  # |λ rate - activation| / |activation|; for a last layer that integrates |v / T - output| / |output|
    signed: bool = False  # whether its spikes may be negative


@dataclass(frozen=True)
class ConversionReport:
    """Everything is measured at `timesteps` of the method's input on `samples` of the calibration inputs."""

    samples: int
    timesteps: int
    folding_error: float  # largest |folded - model| / largest |model|
    output_error: float  # |readout / timesteps - folded| / |folded|
    agreement: float  # share of samples on which CNN and spikes name the same winner
    synops: float  # synaptic operations per sample, all timesteps; a first layer that is fed current does none
    layers: tuple[LayerReport, ...]
    notes: tuple[str, ...]  # what was left out, merged or added, and what deserves a look

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the CNN per input."""
        return sum(layer.macs for layer in self.layers)

    @property
    def worst(self) -> LayerReport | None:
        """The population with the largest error; None where nothing spikes."""
        spiking = [layer for layer in self.layers if layer.rate is not None]
        return max(spiking, key=lambda layer: layer.error) if spiking else None

    @property
    def verdict(self) -> str:
        """One sentence for a person: how faithful, which layer is worst, and what to try."""
        head = (
            f"after {counted(self.timesteps, 'timestep')} the spikes agree with the CNN on {self.agreement:.1%} of "
            f"{counted(self.samples, 'input')}, outputs within {self.output_error:.1%}"
        )
        worst = self.worst
        return head + "." if worst is None else f"{head}; the worst layer is {worst.name} ({worst.error:.1%}): " \
            f"{advice(worst)}."  # fmt: skip


def advice(layer: LayerReport) -> str:
    """What to do about one population, in a few words."""
    if layer.dead is not None and layer.dead == 1.0:
        return "it is dead, no calibration input excites it; are the inputs scaled as in training?"
    if layer.error < 0.05:
        return "nothing to do"
    if layer.clipped is not None and layer.clipped > 0.01:
        return f"{layer.clipped:.1%} of its activations are clipped, try a higher percentile"
    if layer.rate is not None and layer.rate < 0.02:
        return "it fires rarely, give it more timesteps, or try a lower percentile or per='channel'"
    return "more timesteps bring it closer"


def measure(
    cnn: Cnn,
    network: Network,
    built: Built,
    scales: Mapping[str, Scale],
    method: Method,
    samples: Tensor,
    timesteps: int,
    folding_error: float,
    progress: Progress | None = None,
) -> ConversionReport:
    """Run CNN and network (without its delays) on the same samples and compare every population."""
    state, scores = _run(network, samples, method, timesteps, progress)
    connections = {name: int(array.sum()) for name, array in fan_out(network).items()}
    summed = timesteps - network.readout.start_step
    layers, output = [], samples
    factors = torch.ones(1)
    for node, value in cnn.to(samples.dtype).activations(samples):
        if node.name == cnn.output:
            output = value
        if node.name not in built.weights:
            continue
        weights = tuple(built.weights[node.name])
        work = sum(connections[name] for name in weights)
        synops = sum(state.synops_of.get(name, 0.0) for name in weights) / len(samples)
        if isinstance(node, Activation):
            scale = built.lambdas[node.name].to(value.dtype)
            layers.append(_population(node, value, scale, scales[node.name], state, timesteps, (weights, work, synops)))
            factors = scale if node.name == cnn.output and network.readout.kind == "count" else factors
        else:
            error = relative(scores / summed, value.flatten(1))
            shape = _shape(value)
            layers.append(LayerReport(node.name, weights, shape, work, synops, *(None,) * 7, error))
    outputs, readout = output.flatten(1), scores / summed * factors
    notes = [*cnn.notes, *built.notes]
    if float(samples.min()) < 0:
        notes.append("some inputs are negative: only constant current can carry them, spikes cannot")
    return ConversionReport(
        len(samples),
        timesteps,
        folding_error,
        relative(readout, outputs),
        float((readout.argmax(1) == outputs.argmax(1)).float().mean()),
        float(state.synops.mean()),
        tuple(layers),
        tuple(notes),
    )


def _run(
    network: Network, samples: Tensor, method: Method, timesteps: int, progress: Progress | None
) -> tuple[Clocked, Tensor]:
    """The clocked network after so many timesteps of the samples, fed as the method says, and its scores."""
    state, scores = Clocked(network, len(samples)), torch.zeros(0)
    current, random = samples * method.input_scale, torch.Generator().manual_seed(0)
    for step in range(timesteps):
        if method.input == "constant":
            scores = state.step(current, is_current=True)
        else:
            scores = state.step(poisson(current, random))
        if progress is not None:
            progress(step + 1, timesteps, "timesteps of the check")
    return state, scores


def poisson(current: Tensor, random: torch.Generator) -> Tensor:
    """Spike counts of one timestep with these means: the whole part, and one more with the rest as probability."""
    whole = current.abs().floor()
    return (whole + (torch.rand(current.shape, generator=random) < current.abs() - whole)) * current.sign()


def _population(
    node: Activation,
    value: Tensor,
    factors: Tensor,
    scale: Scale,
    state: Clocked,
    timesteps: int,
    work: tuple[tuple[str, ...], int, float],
) -> LayerReport:
    layer = next(layer for layer in state.network.layers if layer.name == node.name)
    assert isinstance(layer, Neurons)
    timesteps -= layer.start_step
    rates = state.spikes[node.name].reshape(value.shape) / timesteps
    activation = value / factors[:, None, None]
    start, threshold = (torch.from_numpy(np.array(values)) for values in (layer.v_init, layer.threshold))
    left = (state.v[node.name] - start.view(1, -1, 1, 1)).abs() / threshold.view(1, -1, 1, 1)
    return LayerReport(
        node.name,
        work[0],
        _shape(value),
        work[1],
        work[2],
        float(factors.mean()),
        scale.maximum,
        scale.clipped,
        scale.dead,
        float(rates.abs().mean()),
        _correlation(activation, rates),
        float(left.mean()) / timesteps,
        relative(rates * factors[:, None, None], value),
        node.signed,
    )


def _shape(value: Tensor) -> tuple[int, ...]:
    return tuple(value.shape[1:]) if value.shape[2:] != (1, 1) else (value.shape[1],)


def relative(found: Tensor, wanted: Tensor) -> float:
    """|found - wanted| / |wanted|."""
    size = float(wanted.norm())
    difference = float((found - wanted).norm())
    return difference / size if size > 0 else (0.0 if difference == 0 else float("inf"))


def _correlation(a: Tensor, b: Tensor) -> float | None:
    if float(a.std()) == 0 or float(b.std()) == 0:
        return None
    return float(np.corrcoef(a.flatten().double().numpy(), b.flatten().double().numpy())[0, 1])
