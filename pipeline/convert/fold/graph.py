"""The graph that rebuild.py builds: its nodes, what is known of each, and questions about them."""

from dataclasses import replace

import torch
from torch import Tensor

from ..cnn import (
    Activation,
    Affine,
    Cnn,
    Concat,
    Flatten,
    MaxPool,
    Node,
    Pad,
    Shape,
    SumPool,
    Upsample,
    Weighted,
    unique,
)


class FoldGraph:
    """The new graph so far. Nodes are known by keys, which are never taken twice; they get their names at the end."""

    def __init__(self, raw: Cnn) -> None:
        self.raw, self.readers = raw, readers(raw)
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {"input": raw.input_shape}
        self.open = {"input": False}  # whether weights lie between it and the neurons before it
        self.positive = {"input": False}  # whether it is never negative
        self.shared = {"input": True}  # whether more than two layers read it
        self.carried: dict[str, str] = {}  # the neurons that were added behind a node
        self.notes = list(raw.notes)

    def node(self, x: str) -> Node | None:
        return self.nodes.get(x)

    def new(self, node: Node, *, is_open: bool, positive: bool) -> str:
        key = f"#{len(self.nodes)}"
        self.nodes[key] = node
        self.shapes[key] = node.output_shape(*(self.shapes[x] for x in node.inputs))
        self.open[key], self.positive[key], self.shared[key] = is_open, positive, False
        return key

    def named(self, output: str) -> Cnn:
        """What leads to the output, in order, under names of its own."""
        alive: set[str] = set()
        todo = [output]
        while todo:
            key = todo.pop()
            if key in self.nodes and key not in alive:
                alive.add(key)
                todo += self.nodes[key].inputs
        names = {"input": "input"}
        nodes = []
        for key, node in self.nodes.items():
            if key in alive:
                names[key] = unique(node.name, names.values())
                nodes.append(replace(node, name=names[key], inputs=tuple(names[x] for x in node.inputs)))
        return Cnn(
            tuple(nodes), self.raw.input_shape, names[output], self.raw.softmax, tuple(dict.fromkeys(self.notes))
        )

    def holds(self, x: str, *kinds: type[Node]) -> bool:
        """Whether x is one of these, or a concatenation that holds one."""
        node = self.node(x)
        return isinstance(node, kinds) or (isinstance(node, Concat) and any(self.holds(y, *kinds) for y in node.inputs))

    def cut_by(self, x: str, per_group: int) -> bool:
        """Whether groups of so many channels would read from two parts of a concatenation at once."""
        node = self.node(x)
        if isinstance(node, Concat):
            return any(self.shapes[y][0] % per_group or self.cut_by(y, per_group) for y in node.inputs)
        return isinstance(node, SumPool | Upsample) and self.cut_by(node.inputs[0], per_group)

    def single_spikes(self, x: str) -> bool:
        """Whether a value is that of neurons, unchanged, at most moved: then neurons can hand it on spike for spike."""
        node = self.node(x)
        if isinstance(node, Activation | MaxPool):
            return True
        moves = isinstance(node, Concat | Flatten | Upsample) or (isinstance(node, Weighted) and node.copies)
        return moves and node is not None and all(self.single_spikes(y) for y in node.inputs)

    def bit_kind(self, x: str) -> str:
        """What hands on a scaled bit: "sign" where it is +1 or -1, "heaviside" where it is 1 or 0; else ""."""
        node = self.node(x)
        if not isinstance(node, Affine) or self.open[x] or not self.is_bit(node.inputs[0]):
            return ""
        low, high = torch.stack([node.shift, node.shift + node.scale]).sort(0).values  # of 0 and of a spike
        for kind, least in (("sign", -1), ("heaviside", 0)):
            if bool((low == least).all() and (high == 1).all()):
                return kind
        return ""

    def is_bit(self, x: str) -> bool:
        node = self.node(x)
        if isinstance(node, Activation):
            return node.kind in ("heaviside", "not_negative")
        moves = isinstance(node, MaxPool | Concat | Flatten | Upsample)
        return moves and node is not None and all(self.is_bit(y) for y in node.inputs)

    def by_channel(self, flatten: Flatten, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor] | None:
        """A scale and shift of flattened features as those of channels; None where they differ within a channel."""
        channels = self.shapes[flatten.inputs[0]][0]
        pair = scale.view(channels, -1), shift.view(channels, -1)
        if any(bool((values != values[:, :1]).any()) for values in pair):
            return None
        return pair[0][:, 0], pair[1][:, 0]

    # --- what the classes behind this one do: each takes what it reads, by key, and gives the key of what it makes ---

    def weighted(self, layer: Weighted, x: str) -> str:
        raise NotImplementedError

    def affine(self, name: str, x: str, scale: Tensor, shift: Tensor) -> str:
        raise NotImplementedError

    def affine_parts(self, name: str, node: Concat, scale: Tensor, shift: Tensor) -> list[str]:
        raise NotImplementedError

    def max_pool(self, pool: MaxPool, x: str) -> str:
        raise NotImplementedError

    def pad(self, pad: Pad, x: str) -> str:
        raise NotImplementedError

    def spread(self, node: Node, x: str) -> str:
        raise NotImplementedError

    def concat(self, name: str, parts: list[str]) -> str:
        raise NotImplementedError

    def flattened_late(self, x: str) -> str:
        raise NotImplementedError

    def closed(self, x: str, why: str) -> str:
        raise NotImplementedError

    def population(self, x: str, why: str) -> str:
        raise NotImplementedError


def readers(raw: Cnn) -> dict[str, int]:
    """How many layers with weights, neurons or scales read each node, directly or through pools and concatenations."""
    counts: dict[str, int] = {"input": 0, **{node.name: 0 for node in raw.nodes}}
    for node in reversed(raw.nodes):
        through = isinstance(node, SumPool | MaxPool | Upsample | Flatten | Concat | Pad)
        for name in node.inputs:
            counts[name] += counts[node.name] if through else 1
    return counts
