"""A Network as a NIR graph, from which nir_own.py makes the same Network again.

NIR's neurons are equations in continuous time, with a reset to `v_reset` and nothing said of timesteps, of what is read
out, or of a start potential. Where its words suffice they are used, so that other readers see the same weights, wiring
and thresholds. The graph's `metadata/dvs_run` (JSON) has the rest, and `metadata/dvs_run_arrays` the arrays that no
node holds; nodes have no metadata, because nir 1.0.4 refuses those of a Conv2d. Layers that NIR has no node for become
nodes of type "dvs_run.MaxPool2d" and the like, which others must refuse instead of passing by; `portable=True` refuses
them here.

An Add has no node either: in NIR the edges that enter a node add up.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np

from ..errors import NetworkError
from ..layers import Add, AvgPool2d, Concat, Conv2d, Flatten, Layer, Linear, Shape, SumPool2d
from ..network import Network
from ..neurons import LIF, Neurons
from .hdf5 import Tree, write_tree

NIR_VERSION = "1.0.8"  # of the package whose files ours look like
KEY = "dvs_run"  # of our metadata
ARRAYS = "dvs_run_arrays"
FORMAT = 1
OWN = "dvs_run."  # begins the types that are no NIR
NO_CLOCK_US = 1000  # timestep that time constants are given for where a network has none
NATIVE = ("weight", "bias", "threshold")  # arrays that lie in the node as they are; the others in the metadata


def write_nir(network: Network, path: str | Path, portable: bool = False) -> list[str]:
    """Write `network` as a NIR file. Returns what another program would read differently, a sentence each.

    `portable` refuses, with NetworkError, what NIR's own equations cannot say. Raises NetworkError also where the file
    cannot be written.
    """
    tree = to_tree(network)
    notes = differences(network, tree)
    if portable and notes[:-1]:
        raise NetworkError(
            f"{notes[0]}; export without --portable for a file that this program reads back, or convert with what NIR "
            "can say (--reset zero --v-init 0)"
        )
    write_tree(path, tree)
    return notes


def to_tree(network: Network) -> Tree:
    """The file's content as nested dicts; the same for the same network."""
    graph = _Graph(network)
    for layer in network.layers:
        graph.add(layer)
    graph.finish()
    document = {"format": FORMAT, **network.document(), "layers": graph.order}
    return {
        "version": NIR_VERSION,
        "node": {
            "type": "NIRGraph",
            "nodes": graph.nodes,
            "edges": graph.edges,
            "metadata": {KEY: json.dumps(document, ensure_ascii=False), ARRAYS: graph.arrays},
        },
    }


def differences(network: Network, tree: Tree) -> list[str]:
    """What NIR cannot say of this network, so that others will not run it as we do; last what is true of every one."""
    found = [
        f"layer {name!r} ({node['type'].removeprefix(OWN)}) has no node in NIR, so others refuse the file"
        for name, node in tree["node"]["nodes"].items()
        if node["type"].startswith(OWN)
    ]
    for layer in network.layers:
        own = ", ".join(_beyond_nir(layer)) if isinstance(layer, Neurons) else ""
        if own:
            found.append(f"layer {layer.name!r} {own}, which NIR cannot say, so others pass it by")
    return [*found, "neurons fire at v >= threshold; NIR says v > threshold, as norse and snntorch do (sinabs: >=)"]


def _beyond_nir(layer: Neurons) -> list[str]:
    own = []
    if layer.reset != "zero":
        own.append("is reset by subtraction" if layer.reset == "subtract" else "is never reset")
    if layer.v_init.any():
        own.append("starts at a potential other than 0")
    if layer.max_spikes > 1:
        own.append(f"fires up to {layer.max_spikes} spikes a timestep")
    if layer.signed:
        own.append("fires negative spikes")
    if layer.v_min is not None:
        own.append("has a floor")
    return own


@dataclass
class _Graph:
    """The NIR nodes and edges of the layers so far."""

    network: Network
    nodes: dict[str, Tree] = field(default_factory=dict)
    edges: list[list[str]] = field(default_factory=list)
    order: list[Tree] = field(default_factory=list)  # our layers, and which node each is
    arrays: Tree = field(default_factory=dict)  # those that no node holds

    def __post_init__(self) -> None:
        self._shapes = self.network.shapes()
        self._flat = {"input": False}  # NIR's shapes have one axis behind a Flatten or a Linear, ours (n, 1, 1)
        self._sources = {"input": ["input"]}  # the nodes that together are the output of a layer
        self._joined = {name for layer in self.network.layers if isinstance(layer, Concat) for name in layer.inputs}
        self.nodes["input"] = {"type": "Input", "shape": np.array(self.network.input_shape)}

    def add(self, layer: Layer) -> None:
        sources = [node for name in layer.inputs for node in self._sources[name]]
        flat = [self._flat[name] for name in layer.inputs]
        self._flat[layer.name] = isinstance(layer, Linear | Flatten) or (
            isinstance(layer, Neurons | Add | Concat) and all(flat)
        )
        if isinstance(layer, Add) and len(set(sources)) == len(sources) and layer.name not in self._joined:
            self._sources[layer.name] = sources
            self._describe(layer, None)
            return
        if isinstance(layer, Linear) and not flat[0]:
            sources = [self._flatten(f"{key_of(layer.name)}.flatten", sources, self._shapes[layer.inputs[0]])]
        key = self._put(key_of(layer.name), _nir_fields(layer, self), sources)
        self._sources[layer.name] = [key]
        self._describe(layer, key)

    def finish(self) -> None:
        last = self.network.layers[-1].name
        shape = self._shapes[last]
        self._put("output", {"type": "Output", "shape": np.array(self.nir_shape(last, shape))}, self._sources[last])

    def nir_shape(self, name: str, shape: Shape) -> tuple[int, ...]:
        return (shape[0],) if self._flat[name] else shape

    def shape_before(self, layer: Layer) -> Shape:
        return self._shapes[layer.inputs[0]]

    def shape_of(self, layer: Layer) -> tuple[int, ...]:
        return self.nir_shape(layer.name, self._shapes[layer.name])

    def _flatten(self, key: str, sources: list[str], shape: Shape) -> str:
        return self._put(key, _flatten_node(shape), sources)

    def _describe(self, layer: Layer, node: str | None) -> None:
        """Note all fields of a layer; where a field is an array, where it lies."""
        described: Tree = {"type": type(layer).__name__, "node": node}
        for entry in fields(layer):
            value = getattr(layer, entry.name)
            if isinstance(value, np.ndarray):
                place = entry.name
                if place not in NATIVE or isinstance(layer, LIF):
                    place = f"{len(self.order):03d}.{entry.name}"
                    self.arrays[place] = value
                value = {"array": place}
            described[entry.name] = value
        self.order.append(described)

    def _put(self, key: str, node: Tree, sources: list[str]) -> str:
        while key in self.nodes:
            key += "_"  # a layer may be called as a node of ours
        self.nodes[key] = node
        self.edges += [[source, key] for source in dict.fromkeys(sources)]
        return key


def _nir_fields(layer: Layer, graph: _Graph) -> Tree:
    """What NIR's own node says. `v_reset` is left out: it is 0, and readers before nir 1.0.5 do not know it."""
    if isinstance(layer, Conv2d):
        return {
            "type": "Conv2d",
            "input_shape": np.array(graph.shape_before(layer)[1:]),
            "weight": layer.weight,
            "bias": np.zeros(len(layer.weight), np.float32) if layer.bias is None else layer.bias,
            "stride": np.array(layer.stride),
            "padding": np.array(layer.padding),
            "dilation": np.array(layer.dilation),
            "groups": np.array(layer.groups),
        }
    if isinstance(layer, Linear):
        return {"type": "Linear", "weight": layer.weight} | (
            {} if layer.bias is None else {"type": "Affine", "bias": layer.bias}
        )
    if isinstance(layer, SumPool2d | AvgPool2d):
        pairs = {"kernel_size": layer.kernel, "stride": layer.stride, "padding": layer.padding}
        return {"type": type(layer).__name__} | {name: np.array(pair) for name, pair in pairs.items()}
    if isinstance(layer, Flatten):
        return _flatten_node(graph.shape_before(layer))
    if isinstance(layer, Neurons):
        return _neurons(layer, graph)
    return {"type": OWN + type(layer).__name__}


def _flatten_node(shape: Shape) -> Tree:
    return {"type": "Flatten", "start_dim": np.array(0), "end_dim": np.array(-1), "input_type": np.array(shape)}


def _neurons(layer: Neurons, graph: _Graph) -> Tree:
    """An IF as it is; a LIF with tau = dt / (1 - decay), so that a step of forward Euler gives

        v <- v * decay + (1 - decay) * r * input

    which with v_threshold = (1 - decay) * threshold and r = 1 fires as ours does. (r = 1 / (1 - decay) would say the
    same, but norse and sinabs pass r by.)
    """
    shape = graph.shape_of(layer)

    def spread(values: np.ndarray) -> np.ndarray:
        whole = values.reshape(-1, *[1] * (len(shape) - 1)).astype(np.float32)
        return np.ascontiguousarray(np.broadcast_to(whole, shape))

    if not isinstance(layer, LIF):
        return {"type": "IF", "r": np.ones(shape, np.float32), "v_threshold": spread(layer.threshold)}
    step = (graph.network.timestep_us or NO_CLOCK_US) / 1e6
    lost = 1 - layer.decay.astype(np.float64)
    return {
        "type": "LIF",
        "tau": spread(step / lost),
        "r": np.ones(shape, np.float32),
        "v_leak": np.zeros(shape, np.float32),
        "v_threshold": spread(lost * layer.threshold),
    }


def key_of(name: str) -> str:
    """The name as HDF5 takes it: no "/", not empty, not "."."""
    key = name.replace("%", "%25").replace("/", "%2F").replace("\x00", "%00")
    return key if key.strip(".") else "%" + key
