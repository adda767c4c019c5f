"""The layers of the spiking Network, made of a folded CNN and the scales of its populations.

    W <- W λ_before / λ,   b <- b / λ,   threshold 1,          v(0) = v_init         form "weights"
    W as it is,            b / λ_before, threshold λ/λ_before, v(0) = v_init * that  form "thresholds"

(Diehl et al. 2015; Rueckauer et al. 2016, 2017.) λ_before has one value for each channel that arrives, so that every
branch of a concatenation and every summand of a sum keeps its own. Where spikes reach neurons without weights between
and the scales differ, a depthwise 1x1 convolution of λ_before / λ stands in. What the last layer integrates has λ 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from ...network import Add, Concat, Conv2d, Flatten, Layer, Linear, MaxPool2d, SumPool2d, Upsample
from .. import cnn as folded
from ..activation import BITS
from ..cnn import Activation, Cnn, Weighted, unique
from ..fold.merge import one_bit
from ..method import Method
from ..scales import Scale
from .discrete import NEXT_TO_NOTHING, bit_current, scaled
from .neuron import bits, neurons, plan

Rates = tuple[str, Tensor]  # the layer whose spikes these are, and what a spike of each channel stands for, float64


@dataclass(frozen=True)
class Built:
    layers: tuple[Layer, ...]
    lambdas: dict[str, Tensor]  # what a rate of 1 stands for, by population; float64 (channel,)
    weights: dict[str, list[str]] = field(default_factory=dict)  # the weight layers right before each population
    notes: tuple[str, ...] = ()


def build_layers(cnn: Cnn, scales: Mapping[str, Scale], method: Method, readout: str) -> Built:
    """The layers, the last of them the one to be read out. readout: "count" wants neurons last, all others none."""
    return _Build(cnn, scales, method).result(readout)


class _Build:
    def __init__(self, cnn: Cnn, scales: Mapping[str, Scale], method: Method) -> None:
        self.cnn, self.scales, self.method = cnn, scales, method
        self.nodes = {node.name: node for node in cnn.nodes}
        self.shapes = cnn.shapes()
        self.layers: dict[str, Layer] = {}
        start = torch.full((cnn.input_shape[0],), 1.0 / method.input_scale, dtype=torch.float64)
        self.rates: dict[str, Rates] = {"input": ("input", start)}
        self.lambdas: dict[str, Tensor] = {}
        self.most: dict[str, int] = {}  # spikes of one neuron in one timestep, by population
        self.weights: dict[str, list[str]] = {}
        self.notes: list[str] = []
        self.below: list[str] = []  # weight layers of the current that is being made

    def result(self, readout: str) -> Built:
        for node in self.cnn.nodes:
            if isinstance(node, Activation) and node.kind in BITS:
                self.bits(node)
            elif isinstance(node, Activation):
                self.population(node)
            elif isinstance(node, folded.MaxPool):
                self.max_pool(node)
        output = self.nodes[self.cnn.output]
        if readout != "count":
            ones = torch.ones(self.shapes[output.name][0], dtype=torch.float64)
            self.below = []
            self.current(output.name, ones, as_layer=True)
            self.weights.setdefault(output.name, self.below)
        elif not isinstance(output, Activation):
            raise ValueError("a counted readout wants neurons last")  # conversion.py put them there
        return Built(tuple(self.layers.values()), self.lambdas, self.weights, tuple(self.notes))

    # --- populations -----------------------------------------------------------------------------------------------

    def population(self, node: Activation) -> None:
        how = plan(node, self.scales[node.name], self.method)
        if node.relay:
            most = max(self.method.signed_parts, how.most) * self.method.max_spikes
            how = replace(how, own=self.relayed(node), most=max([most, *self.most.values()]))
        gain = self.gain(node, how.own)
        self.below = []
        source = self.current(node.inputs[0], how.own / gain, gain * how.shift if how.shift else None)
        self.weights[node.name] = self.below
        self.layers[node.name] = neurons(node, source, how, gain, self.method)
        self.lambdas[node.name], self.most[node.name] = how.own, how.most
        self.rates[node.name] = (node.name, how.own)

    def bits(self, node: Activation) -> None:
        """Neurons that tell the sign of what arrives, in a unit of their own: see discrete.py."""
        ones = torch.ones(self.shapes[node.name][0], dtype=torch.float64)
        self.below, weights, threshold = [], self.nodes.get(node.inputs[0]), NEXT_TO_NOTHING
        if node.kind == "sign":  # fold/rebuild.py puts it behind what is +1 or -1 already
            source, threshold = self.current(node.inputs[0], ones), 0.5
        elif isinstance(weights, Weighted):
            spikes, before = self.spikes(weights.inputs[0])
            most = self.most_of(weights.inputs[0]) if self.is_whole(weights.inputs[0]) else None
            layer, unit, threshold = bit_current(node, weights, before, most)
            source = self.append(_weights(layer, spikes, before, unit, None))
            self.below.append(source)
        else:
            source = self.current(node.inputs[0], self.largest(node.inputs[0]))
        self.weights[node.name] = self.below
        self.layers[node.name] = bits(node, source, threshold, len(ones))
        self.lambdas[node.name], self.most[node.name], self.rates[node.name] = ones, 1, (node.name, ones)

    def is_whole(self, name: str) -> bool:
        """Whether the spikes of a value are, in every timestep, those that the CNN's activation stands for."""
        node = self.nodes.get(name)
        if isinstance(node, Activation):
            bursts = node.kind == "quantized" and self.method.stepped == "burst"
            return node.kind in BITS or bursts or (node.relay and self.is_whole(node.inputs[0]))
        return node is not None and all(self.is_whole(source) for source in node.inputs)

    def most_of(self, name: str) -> int:
        """The most spikes of one place of a value in a timestep."""
        node = self.nodes[name]
        if isinstance(node, Activation):
            return self.most[name]
        area = node.kernel[0] * node.kernel[1] if isinstance(node, folded.SumPool) else 1
        return area * max(self.most_of(source) for source in node.inputs)

    def largest(self, name: str) -> Tensor:
        """A bound of the current of each channel, where every source sends its largest value."""
        node = self.nodes.get(name)
        if isinstance(node, Weighted):
            before = self.spikes(node.inputs[0])[1]
            times = float(max(self.most.values(), default=1))
            bound = scaled(node, before).abs().flatten(1).sum(1) * times + node.bias.abs()
        elif node is None or self.is_spikes(name):
            bound = self.spikes(name)[1]
        elif isinstance(node, folded.SumPool):
            bound = self.largest(node.inputs[0]) * (node.kernel[0] * node.kernel[1])
        else:
            bound = torch.stack([self.largest(source) for source in node.inputs]).sum(0)
        return torch.where(bound > 0, bound, torch.ones_like(bound))

    def gain(self, node: Activation, own: Tensor) -> Tensor:
        """The threshold: 1, or so that the weights before it stay as they are."""
        if self.method.form == "weights":
            return torch.ones_like(own)
        weights = self.nodes.get(node.inputs[0])
        while isinstance(weights, folded.SumPool):
            weights = self.nodes.get(weights.inputs[0])
        if isinstance(weights, Weighted):
            magnitude = one_bit(scaled(weights, self.spikes(weights.inputs[0])[1]))
            if magnitude is not None:  # weights of +1 and -1: their scale goes into the threshold too
                return own / magnitude
        before = torch.cat([self.spikes(name)[1] for name in self.feeding(node.inputs[0])])
        if bool((before != before[0]).any()):
            self.notes.append(f"{node.name} keeps the threshold 1: what feeds it has several scales")
            return torch.ones_like(own)
        return own / before[0]

    def feeding(self, name: str) -> list[str]:
        """The values whose spikes reach a current."""
        node = self.nodes.get(name)
        if node is None or isinstance(node, Activation | folded.MaxPool):
            return [name]
        return [source for before in node.inputs for source in self.feeding(before)]

    def relayed(self, node: Activation) -> Tensor:
        """The scale of what a population only hands on."""
        weights = self.nodes.get(node.inputs[0])
        if not isinstance(weights, Weighted):
            return self.spikes(node.inputs[0])[1]
        taken = scaled(weights, self.spikes(weights.inputs[0])[1]).abs().flatten(1).sum(1)
        return torch.where(taken > 0, taken, torch.ones_like(taken))

    def max_pool(self, node: folded.MaxPool) -> None:
        source, rates = self.spikes(node.inputs[0])
        rule = self.method.pool_rule
        if self.is_whole(node.inputs[0]):
            rule = "or"  # the largest of each timestep, which is the CNN's
        if rule != "exact" and self.may_be_negative(node.inputs[0]):
            self.notes.append(f"{node.name} is of rule 'exact': its spikes may be negative")
            rule = "exact"
        self.layers[node.name] = MaxPool2d(node.name, (source,), node.kernel, node.stride, node.padding, rule)
        self.rates[node.name] = (node.name, rates)

    def may_be_negative(self, name: str) -> bool:
        node = self.nodes.get(name)
        return (
            node.signed if isinstance(node, Activation) else node is not None and self.may_be_negative(node.inputs[0])
        )

    # --- what lies between them ------------------------------------------------------------------------------------

    def spikes(self, name: str) -> Rates:
        """The layer that hands on the spikes of a value without weights; made if it is not there yet."""
        if name in self.rates:
            return self.rates[name]
        node = self.nodes[name]
        before = [self.spikes(source) for source in node.inputs]
        sources, rates = tuple(source for source, _ in before), torch.cat([rate for _, rate in before])
        layer = _weightless(node, sources)
        if isinstance(node, folded.Flatten):
            height, width = self.shapes[node.inputs[0]][1:]
            rates = rates.repeat_interleave(height * width)
        self.layers[name] = layer
        self.rates[name] = (name, rates)
        return self.rates[name]

    def current(self, name: str, own: Tensor, shift: Tensor | None = None, as_layer: bool = False) -> str:
        """The layer that gives a value in units of `own` per channel, as neurons of that scale take it.

        shift: is added, float64 (channel,). as_layer: even spikes of the right scale get a layer of their own.
        """
        if self.is_spikes(name):
            source, before = self.spikes(name)
            if torch.equal(before, own) and shift is None and not as_layer:
                return source
            return self.append(_identity(f"{source}_scaled", source, before / own, shift))
        node = self.nodes[name]
        if isinstance(node, Weighted):
            source, before = self.spikes(node.inputs[0])
            made = self.append(_weights(node, source, before, own, shift))
            self.below.append(made)
            return made
        if isinstance(node, folded.Concat):
            sizes = [self.shapes[source][0] for source in node.inputs]
            shifts = [None] * len(sizes) if shift is None else shift.split(sizes)
            parts = zip(node.inputs, own.split(sizes), shifts, strict=True)
            return self.append(Concat(name, tuple(self.current(*part) for part in parts)))
        if isinstance(node, folded.Flatten):
            size = self.shapes[node.inputs[0]][1] * self.shapes[node.inputs[0]][2]
            return self.append(Flatten(name, (self.current(node.inputs[0], own[::size]),)))
        if isinstance(node, folded.SumPool) and shift is not None:
            shift = shift / (node.kernel[0] * node.kernel[1])
        first, *others = node.inputs
        sources = (self.current(first, own, shift), *(self.current(source, own) for source in others))
        return self.append(Add(name, sources) if isinstance(node, folded.Add) else _weightless(node, sources))

    def is_spikes(self, name: str) -> bool:
        """Whether no weights lie between a value and the populations before it."""
        node = self.nodes.get(name)
        if node is None or isinstance(node, Activation | folded.MaxPool):
            return True
        return not isinstance(node, Weighted | folded.Add) and all(self.is_spikes(source) for source in node.inputs)

    def append(self, layer: Layer) -> str:
        """Its name; under a name of its own where the same value is needed in several scales."""
        same = next((old for old in self.layers.values() if _alike(old, layer)), None)
        if same is not None:
            return same.name
        taken = (set(self.nodes) - {layer.name}) | set(self.layers)
        name = unique(layer.name, taken)
        object.__setattr__(layer, "name", name)  # made in the line that called us
        self.layers[name] = layer
        return name


def _alike(a: Layer, b: Layer) -> bool:
    """Whether two layers compute the same, whatever their names."""
    if type(a) is not type(b) or a.inputs != b.inputs:
        return False
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
            if not (isinstance(value, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(value, other)):
                return False
        elif name != "name" and value != other:
            return False
    return True


def _weightless(node: folded.Node, sources: tuple[str, ...]) -> Layer:
    if isinstance(node, folded.SumPool):
        return SumPool2d(node.name, sources, node.kernel, node.stride, node.padding)
    if isinstance(node, folded.Upsample):
        return Upsample(node.name, sources, node.factor)
    if isinstance(node, folded.Flatten):
        return Flatten(node.name, sources)
    if isinstance(node, folded.Concat):
        return Concat(node.name, sources)
    raise TypeError(f"{node.name} is a {type(node).__name__}; fold/rebuild.py should have left none here")


def _identity(name: str, source: str, factors: Tensor, shift: Tensor | None) -> Conv2d:
    bias = None if shift is None else shift.float().numpy()
    return Conv2d(name, (source,), factors.float().numpy().reshape(-1, 1, 1, 1), bias, groups=len(factors))


def _weights(node: Weighted, source: str, before: Tensor, own: Tensor, shift: Tensor | None) -> Layer:
    """One weight layer between the scales before and behind it."""
    weight = scaled(node, before) / own.view(-1, *[1] * (node.weight.ndim - 1))
    kernel = weight.float().numpy()
    offset = (node.bias / own + (0.0 if shift is None else shift)).float().numpy()
    bias = offset if offset.any() else None
    if node.weight.ndim == 2:
        return Linear(node.name, (source,), kernel, bias)
    return Conv2d(node.name, (source,), kernel, bias, node.stride, node.padding, node.dilation, node.groups)
