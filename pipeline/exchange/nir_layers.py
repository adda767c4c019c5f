"""The nodes of somebody else's NIR graph as layers of a Network. What neurons mean is nir_neurons.py's.

What has no equal here is refused by name. Several edges into one node add up. A Scale goes into the weights beside it.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import NetworkError
from ..layers import Add, AvgPool2d, Conv2d, Delay, Flatten, Layer, Linear, Pair, Shape, SumPool2d
from ..network import Network
from ..neurons import IF, LIF
from .nir_graph import Graph, Node
from .nir_neurons import Meaning, dynamics, per_channel

REFUSED = {
    "CubaLIF": "its synaptic current is a second state, and neurons here have one; use LIF neurons without synapses",
    "CubaLI": "its synaptic current is a second state; use a readout without synapses",
    "Conv1d": "layers here are two-dimensional; use a Conv2d with a kernel of height 1",
    "Threshold": "neurons here are IF or LIF; put one in the place of the threshold and what comes before it",
    "LI": "only at the end can it be left out (--readout membrane); in the middle it hands on values, not spikes",
    "I": "only at the end it is a readout; in the middle it hands on values, not spikes",
}


@dataclass
class Layers:
    """The layers so far."""

    graph: Graph
    input_shape: Shape
    meaning: Meaning
    timestep_us: int | None
    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.names = {self.graph.entry: "input"}  # of the layer that is a node's output
        self.scales: dict[str, tuple[str, np.ndarray]] = {}  # nodes that wait for weights: what they scale, factors
        self.taken = {"input"}
        self.consumers = dict.fromkeys([self.graph.entry, *(node.name for node in self.graph.nodes)], 0)
        for node in self.graph.nodes:
            for source in node.sources:
                self.consumers[source] += 1
        self.consumers[self.graph.last] += 1

    def add(self, node: Node) -> None:
        """Make layers of a node. Raises NetworkError, naming it, if it has no equal here."""
        make = RULES.get(node.type)
        if make is None:
            why = REFUSED.get(node.type, f"known are {', '.join(RULES)}")
            raise NetworkError(f"node {node.name!r} is a {node.type}, which does not run here: {why}")
        make(self, node)

    def put(self, node: Node, layer: Layer) -> None:
        """Append the layer that is a node's output."""
        self.layers.append(layer)
        self.names[node.name] = layer.name

    def name(self, wanted: str) -> str:
        while wanted in self.taken or not wanted:
            wanted += "_"
        self.taken.add(wanted)
        return wanted

    def shape(self, name: str) -> Shape:
        """Output shape of one of our layers."""
        return Network.shapes_of(self.input_shape, self.layers)[name] if name != "input" else self.input_shape

    def source(self, node: Node) -> str:
        """The one layer that feeds a node: of several, their sum."""
        found = [self.output(name) for name in node.sources]
        if len(found) > 1:
            self.layers.append(Add(self.name(f"{node.name}.add"), tuple(found)))
            return self.layers[-1].name
        return found[0]

    def output(self, name: str) -> str:
        """The layer that is a node's output; a Scale that found no weights to go into becomes a layer."""
        if name in self.scales:
            source, factors = self.scales.pop(name)
            self.layers.append(_pointwise(self.name(name), source, factors, None))
            self.names[name] = self.layers[-1].name
        return self.names[name]

    def feeds_only(self, node: Node) -> Conv2d | Linear | None:
        """The weight layer right before a node, if it feeds nothing else."""
        if len(node.sources) != 1 or self.consumers[node.sources[0]] != 1 or node.sources[0] in self.scales:
            return None
        name = self.names[node.sources[0]]
        layer = next((layer for layer in self.layers if layer.name == name), None)
        return layer if isinstance(layer, Conv2d | Linear) else None

    def replace(self, old: Layer, new: Layer) -> None:
        self.layers = [new if layer is old else layer for layer in self.layers]


def _weights(layers: Layers, node: Node) -> None:
    factors = None
    if len(node.sources) == 1 and node.sources[0] in layers.scales and layers.consumers[node.sources[0]] == 1:
        source, factors = layers.scales.pop(node.sources[0])
    else:
        source = layers.source(node)
    weight = numbers(node, "weight").astype(np.float64)
    shape = layers.shape(source)
    if factors is not None:
        weight = _into_inputs(node, weight, factors, shape)
    bias = numbers(node, "bias") if node.type != "Linear" and "bias" in node.values else None
    arrays: dict[str, Any] = {
        "weight": frozen(weight),
        "bias": None if bias is None or not bias.any() else frozen(bias.reshape(-1)),
    }
    name = layers.name(node.name)
    if node.type != "Conv2d":
        layers.put(node, Linear(name, (source,), **arrays))
        return
    said = node.values.get("input_shape")
    if isinstance(said, np.ndarray) and said.size == 2 and tuple(said.reshape(-1)) != shape[1:]:
        raise NetworkError(f"node {node.name!r} wants maps of {tuple(said.reshape(-1).tolist())}, {shape[1:]} arrive")
    stride, dilation = pair(node, "stride"), pair(node, "dilation")
    padding = _padding(node, stride, dilation, weight.shape[2:])
    groups = int(numbers(node, "groups").reshape(-1)[0])
    layers.put(
        node, Conv2d(name, (source,), **arrays, stride=stride, padding=padding, dilation=dilation, groups=groups)
    )


def _into_inputs(node: Node, weight: np.ndarray, factors: np.ndarray, shape: Shape) -> np.ndarray:
    """The weights with a factor for each channel of what arrives taken in."""
    if node.type != "Conv2d":
        return weight * np.repeat(factors, shape[1] * shape[2])
    groups = int(numbers(node, "groups").reshape(-1)[0])
    per_out = np.repeat(factors.reshape(groups, -1), len(weight) // groups, axis=0)
    return weight * per_out[:, :, None, None]


def _padding(node: Node, stride: Pair, dilation: Pair, kernel: tuple[int, ...]) -> Pair:
    """In pixels; "same" as PyTorch means it."""
    said = node.values.get("padding")
    if not isinstance(said, str):
        return pair(node, "padding")
    if said == "valid":
        return (0, 0)
    if said != "same":
        raise NetworkError(f"node {node.name!r} has padding {said!r}, want numbers, 'same' or 'valid'")
    whole = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    if stride != (1, 1) or any(pad % 2 for pad in whole):
        raise NetworkError(
            f"node {node.name!r} pads to the 'same' size with kernel {kernel} and stride {stride}, more on one side "
            "than on the other; here both sides are the same, so use an odd kernel and stride 1"
        )
    return (whole[0] // 2, whole[1] // 2)


def _pool(layers: Layers, node: Node) -> None:
    kind = SumPool2d if node.type == "SumPool2d" else AvgPool2d
    pairs = [pair(node, name) for name in ("kernel_size", "stride", "padding")]
    layers.put(node, kind(layers.name(node.name), (layers.source(node),), *pairs))


def _flatten(layers: Layers, node: Node) -> None:
    source = layers.source(node)
    shape = layers.shape(source)
    start = int(numbers(node, "start_dim").reshape(-1)[0]) if "start_dim" in node.values else 1
    end = int(numbers(node, "end_dim").reshape(-1)[0]) if "end_dim" in node.values else -1
    if end not in (-1, 2) and shape[1:] != (1, 1):
        raise NetworkError(f"node {node.name!r} flattens axes {start} to {end}, want all of them (0 to -1)")
    if start != 0 and shape[1:] != (1, 1):
        layers.notes.append(f"node {node.name!r} flattens from axis {start}: taken for counted from a batch axis")
    layers.put(node, Flatten(layers.name(node.name), (source,)))


def _scale(layers: Layers, node: Node) -> None:
    before = layers.feeds_only(node)
    if before is None:
        source = layers.source(node)
        layers.scales[node.name] = (source, per_channel(node, "scale", layers.shape(source)))
        return
    factors = per_channel(node, "scale", layers.shape(before.name))
    weight = before.weight * factors.reshape(-1, *[1] * (before.weight.ndim - 1))
    bias = None if before.bias is None else frozen(before.bias * factors)
    layers.replace(before, replace(before, weight=frozen(weight), bias=bias))
    layers.names[node.name] = before.name


def _neurons(layers: Layers, node: Node) -> None:
    before = layers.feeds_only(node)
    source = layers.source(node) if before is None else before.name
    shape = layers.shape(source)
    found = dynamics(node, shape, layers.meaning, layers.timestep_us)
    if found.bias.any() and before is not None:
        total = found.bias if before.bias is None else found.bias + before.bias
        layers.replace(before, replace(before, bias=frozen(total)))
    elif found.bias.any():
        layers.layers.append(_pointwise(layers.name(f"{node.name}.rest"), source, np.ones(shape[0]), found.bias))
        source = layers.layers[-1].name
    settings: dict[str, Any] = {
        "threshold": frozen(found.threshold),
        "v_init": frozen(found.v_init),
        "reset": layers.meaning.reset,
        "max_spikes": layers.meaning.max_spikes,
        "v_min": None if found.floor is None else frozen(found.floor),
    }
    name = layers.name(node.name)
    if found.decay is None:
        layers.put(node, IF(name, (source,), **settings))
    else:
        layers.put(node, LIF(name, (source,), **settings, decay=frozen(found.decay)))


def _delay(layers: Layers, node: Node) -> None:
    source = layers.source(node)
    delays = np.unique(numbers(node, "delay"))
    micros = np.rint(delays * 1e6)
    if not delays.any():
        layers.names[node.name] = source
        return
    if len(delays) != 1 or source != "input" or micros[0] < 1:
        raise NetworkError(
            f"node {node.name!r} delays by {delays.min():g} .. {delays.max():g} s; here a delay stands right behind "
            "the input and is the same for all of it"
        )
    layers.put(node, Delay(layers.name(node.name), (source,), (int(micros[0]),)))


def _pointwise(name: str, source: str, factors: np.ndarray, bias: np.ndarray | None) -> Conv2d:
    """A weight for each channel by itself."""
    weight = frozen(factors.reshape(-1, 1, 1, 1))
    return Conv2d(name, (source,), weight, None if bias is None else frozen(bias), groups=len(weight))


def numbers(node: Node, name: str) -> np.ndarray:
    values = node.values.get(name)
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or not values.size:
        raise NetworkError(f"node {node.name!r} ({node.type}) has no numbers {name!r}")
    return values


def pair(node: Node, name: str) -> Pair:
    """Two whole numbers (y, x); one stands for both."""
    values = numbers(node, name).reshape(-1)
    if values.size not in (1, 2) or not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise NetworkError(f"node {node.name!r} has {name!r} {values.tolist()[:4]}, want one or two whole numbers")
    return (int(values[0]), int(values[-1]))


def frozen(values: np.ndarray) -> np.ndarray:
    array = np.array(values, np.float32, order="C")
    array.flags.writeable = False
    return array


RULES = {
    "Affine": _weights,
    "Linear": _weights,
    "Conv2d": _weights,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Scale": _scale,
    "IF": _neurons,
    "LIF": _neurons,
    "Delay": _delay,
}
