"""What a conversion lost, stage by stage: CNN -> folded chain -> spiking network, on calibration inputs.

Each comparison says which stage broke something: `folding_error` compares the CNN with the chain of folded layers,
`output_error` and `agreement` the chain with the spikes of the finished Network, the layers' lines where it happened.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..network import Network
from .chain import Chain, Weighted
from .normalize import Scale
from .simulate import Clocked, fan_out


@dataclass(frozen=True)
class LayerReport:
    """One weight layer. The spiking columns are None for a last layer that only integrates."""

    name: str
    outputs: tuple[int, ...]  # (channel, height, width), or (feature,)
    macs: int  # multiply-accumulates per input in the CNN
    scale: float | None  # λ, or the mean of the channels' λ
    maximum: float | None  # largest activation seen in calibration
    clipped: float | None  # share of activations above λ
    dead: float | None  # share of neurons whose activation was never above 0
    rate: float | None  # mean firing rate, spikes per timestep
    correlation: float | None  # Pearson of activation and firing rate over neurons and inputs; None if one is constant
    error: float  # |λ rate - activation| / |activation|; for a last layer that integrates |v / T - output| / |output|


@dataclass(frozen=True)
class ConversionReport:
    """Everything is measured at `timesteps` of constant current on `samples` of the calibration inputs."""

    samples: int
    timesteps: int
    folding_error: float  # largest |chain - CNN| / largest |CNN|
    output_error: float  # |readout / timesteps - chain| / |chain|
    agreement: float  # share of samples on which CNN and spikes name the same winner
    synops: float  # synaptic operations per sample, all timesteps, without the first layer (its input is current)
    layers: tuple[LayerReport, ...]
    notes: tuple[str, ...]  # what was left out or merged, and what deserves a look

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the CNN per input."""
        return sum(layer.macs for layer in self.layers)

    @property
    def verdict(self) -> str:
        """One sentence for a person: how faithful, which layer is worst, and what to try."""
        head = (
            f"after {self.timesteps} timesteps the spikes agree with the CNN on {self.agreement:.1%} of {self.samples} "
            f"inputs, outputs within {self.output_error:.1%}"
        )
        spiking = [layer for layer in self.layers if layer.rate is not None]
        if not spiking:
            return head + "."
        worst = max(spiking, key=lambda layer: layer.error)
        return f"{head}; the worst layer is {worst.name} ({worst.error:.1%}): {_advice(worst)}."


def _advice(layer: LayerReport) -> str:
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
    chain: Chain, network: Network, scales: list[Scale | None], samples: Tensor, timesteps: int, folding_error: float
) -> ConversionReport:
    """Run chain and network (without its delays) on the same samples, as constant current, and compare every layer."""
    state = Clocked(network, len(samples))
    input_scale = float(network.provenance.get("input_scale", 1.0))
    current = samples * input_scale
    scores = torch.zeros(0)
    for _ in range(timesteps):
        scores = state.step(current, is_current=True)
    connections = fan_out(network)
    layers, output = [], samples
    for (stage, output), scale in zip(chain.activations(samples), scales, strict=True):
        if isinstance(stage, Weighted):
            work = int(connections[stage.name].sum())
            layers.append(_layer(stage, output, scale, state, timesteps, work))
    last = scales[-1]
    factor = torch.ones(1) if last is None else torch.from_numpy(last.values).float()
    outputs = output.flatten(1)
    if last is not None:
        outputs = outputs.relu()
    readout = scores / timesteps * factor
    notes = list(chain.notes)
    if float(samples.min()) < 0:
        notes.append("some inputs are negative: only constant current can carry them, spikes cannot")
    return ConversionReport(
        len(samples),
        timesteps,
        folding_error,
        _relative(readout, outputs),
        float((readout.argmax(1) == outputs.argmax(1)).float().mean()),
        float(state.synops.mean()),
        tuple(layers),
        tuple(notes),
    )


def _layer(
    stage: Weighted, activation: Tensor, scale: Scale | None, state: Clocked, timesteps: int, work: int
) -> LayerReport:
    shape = tuple(activation.shape[1:])
    if scale is None:
        error = _relative(state.v[stage.name].flatten(1) / timesteps, activation.flatten(1))
        return LayerReport(stage.name, shape, work, None, None, None, None, None, None, error)
    activation = activation.relu()
    rates = state.spikes[scale.name].reshape(activation.shape) / timesteps
    factors = torch.from_numpy(scale.values).float().view(1, -1, *[1] * (activation.ndim - 2))
    return LayerReport(
        stage.name,
        shape,
        work,
        float(scale.values.mean()),
        scale.maximum,
        scale.clipped,
        scale.dead,
        float(rates.mean()),
        _correlation(activation / factors, rates),
        _relative(rates * factors, activation),
    )


def _relative(found: Tensor, wanted: Tensor) -> float:
    size = float(wanted.norm())
    difference = float((found - wanted).norm())
    return difference / size if size > 0 else (0.0 if difference == 0 else float("inf"))


def _correlation(a: Tensor, b: Tensor) -> float | None:
    if float(a.std()) == 0 or float(b.std()) == 0:
        return None
    return float(np.corrcoef(a.flatten().double().numpy(), b.flatten().double().numpy())[0, 1])
