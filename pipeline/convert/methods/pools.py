"""Pools other than the CNN's own. Two of these make another CNN of it; they happen only when asked for, and the
provenance says how often the CNN then still decides alike.

    max_pools "average"       averages in the place of maxima: what systems without a spiking max pool did
    average_pools "before"    ReLU, then average -> average, then ReLU (Lu & Sengupta 2020 train so): the population is
                              of the pooled size. A CNN that has the pool before the ReLU already needs none of this
    average_pools "neurons"   neurons behind every average, with a λ of their own (Wu et al. 2022). Exact, but one more
                              rounding; "behind", the default, adds up the spikes in the next weights
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...errors import ConversionError
from ..cnn import Activation, Add, Cnn, Concat, Flatten, MaxPool, Node, SumPool, Weighted, per_input
from ..method import Method


def with_pools(cnn: Cnn, method: Method, samples: Tensor) -> Cnn:
    """The CNN with the pools that the method asks for, and notes. Raises ConversionError where one cannot be had."""
    changed = cnn
    if method.max_pools == "average":
        changed = averages_for_maxima(changed)
    if method.average_pools == "before":
        changed = averages_before(changed)
    if changed is not cnn:
        alike = (cnn.logits(samples).argmax(1) == changed.logits(samples).argmax(1)).double().mean()
        note = f"other pools: the CNN itself decides as before on {float(alike):.1%} of {len(samples)} inputs"
        changed = replace(changed, notes=(*changed.notes, note))
    return averages_as_neurons(changed) if method.average_pools == "neurons" else changed


def averages_for_maxima(cnn: Cnn) -> Cnn:
    """Sums in the place of maxima; the division is handed on to the next weights through all that lies between."""
    if not any(isinstance(node, MaxPool) for node in cnn.nodes):
        return cnn
    shapes, nodes = cnn.shapes(), []
    pending = {"input": torch.ones(cnn.input_shape[0], dtype=torch.float64)}  # how many times too large each value is
    for node in cnn.nodes:
        before = [pending[name] for name in node.inputs]
        own: Node = node
        factor = before[0]
        if isinstance(node, MaxPool):
            own = SumPool(node.name, node.inputs, node.kernel, node.stride, node.padding)
            factor = before[0] * (node.kernel[0] * node.kernel[1])
        elif isinstance(node, Weighted):
            own = replace(node, weight=_divided(node, before[0], shapes[node.inputs[0]]))
            factor = torch.ones(shapes[node.name][0], dtype=torch.float64)
        elif isinstance(node, Concat):
            factor = torch.cat(before)
        elif isinstance(node, Flatten):
            factor = before[0].repeat_interleave(shapes[node.inputs[0]][1] * shapes[node.inputs[0]][2])
        fixed = isinstance(node, Activation) and node.ceiling is not None and bool((factor != 1).any())
        if fixed or (isinstance(node, Add) and any(not torch.equal(one, factor) for one in before)):
            raise ConversionError(
                f"max pools cannot become averages: {node.name!r} behind one has no weights to take up the division; "
                "keep max_pools='max', which is exact"
            )
        nodes.append(own)
        pending[node.name] = factor
    return replace(cnn, nodes=tuple(nodes))


def _divided(node: Weighted, factor: Tensor, shape: tuple[int, int, int]) -> Tensor:
    if node.weight.ndim == 4:
        return node.weight / per_input(factor, node)[:, :, None, None]
    return node.weight / factor.repeat_interleave(shape[1] * shape[2])[None]


def averages_before(cnn: Cnn) -> Cnn:
    """Every average pool that alone reads a ReLU changes places with it. Others are left where they are."""
    readers = cnn.consumers()
    nodes = {node.name: node for node in cnn.nodes}
    order, moved = [node.name for node in cnn.nodes], False
    for pool in [node for node in cnn.nodes if isinstance(node, SumPool)]:
        neurons = nodes.get(pool.inputs[0])
        shared = pool.name == cnn.output or (isinstance(neurons, Activation) and len(readers[neurons.name]) != 1)
        if not isinstance(neurons, Activation) or neurons.kind != "relu" or shared:
            continue
        if isinstance(nodes.get(neurons.inputs[0]), MaxPool | SumPool | None):
            continue  # nothing with weights before it: spikes would be pooled twice
        nodes[pool.name] = replace(pool, inputs=neurons.inputs)
        nodes[neurons.name] = replace(neurons, inputs=(pool.name,))
        for reader in readers[pool.name]:
            present = nodes[reader.name]
            renamed = tuple(neurons.name if name == pool.name else name for name in present.inputs)
            nodes[reader.name] = replace(present, inputs=renamed)
        here, there = order.index(neurons.name), order.index(pool.name)
        order.insert(here, order.pop(there))
        moved = True
    return replace(cnn, nodes=tuple(nodes[name] for name in order)) if moved else cnn


def averages_as_neurons(cnn: Cnn) -> Cnn:
    """Neurons behind every average pool of values that are never negative; what they round is the only change."""
    nodes: list[Node] = []
    renamed: dict[str, str] = {}
    positive = set()
    for node in cnn.nodes:
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        nodes.append(node)
        kept = isinstance(node, MaxPool) and node.inputs[0] in positive
        if kept or (isinstance(node, Activation) and not node.signed):
            positive.add(node.name)
        elif isinstance(node, SumPool) and node.inputs[0] in positive and node.name != cnn.output:
            neurons = Activation(f"{node.name}_if", (node.name,))
            nodes.append(neurons)
            renamed[node.name] = neurons.name
            positive.add(neurons.name)
    return replace(cnn, nodes=tuple(nodes))
