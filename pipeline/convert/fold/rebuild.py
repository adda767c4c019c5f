"""Fold a CNN exactly into the graph that neurons carry (cnn.py says which), by rebuilding it node by node.

Everything here is an identity of real numbers, in float64:
    a scale or shift behind weights         W <- s W,  b <- s b + t       (a batch norm's eps is its own)
    the same in front of weights            W <- W s,  b <- b + W t       (with zero padding only if t = 0)
    the same where neither is               a depthwise 1x1 convolution with a bias
    pool of a convolution                   one convolution with a larger kernel and stride
    a ReLU behind a concat, flatten, max    moved before it: it works on each value alone, and is monotone
    weights behind a sum                    the sum of weights
    weights behind weights                  neurons between them, for negative values signed ones
Sharing is seen to: what more than two layers read is not copied into each, but carried by neurons of its own.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ...errors import ConversionError
from ..cnn import Activation, Add, Affine, Cnn, Concat, Flatten, MaxPool, Node, Pad, SumPool, Upsample, Weighted
from . import merge
from .moves import FoldMoves
from .neurons import FoldNeurons

MOST_TERMS = 4  # of a sum whose next weights are copied to each term; longer sums get neurons of their own


def fold(raw: Cnn) -> Cnn:
    """The folded graph of one that CnnBuilder took down. Raises ConversionError naming a layer."""
    return _Fold(raw).result()


class _Fold(FoldNeurons, FoldMoves):
    def result(self) -> Cnn:
        made = {"input": "input"}
        for node in self.raw.nodes:
            before = len(self.nodes)
            made[node.name] = self._rebuild(node, [made[name] for name in node.inputs])
            many = self.readers[node.name] > 2
            for key in list(self.nodes)[before:]:
                self.shared[key] = many
        output = made[self.raw.output]
        while isinstance(self.nodes.get(output), Flatten):
            output = self.nodes[output].inputs[0]
        output = self.current(output)
        if output == "input":
            raise ConversionError(
                "the model has no layer that computes anything; want at least one conv or linear layer"
            )
        return self.named(output)

    def _rebuild(self, node: Node, x: list[str]) -> str:
        if isinstance(node, Weighted):
            return self.weighted(node, x[0])
        if isinstance(node, Affine):
            return self.affine(node.name, x[0], node.scale, node.shift)
        if isinstance(node, Activation):
            return self.activation(node, x[0])
        if isinstance(node, SumPool):
            return self.sum_pool(node, x[0])
        if isinstance(node, MaxPool):
            return self.max_pool(node, x[0])
        if isinstance(node, Concat):
            return self.concat(node.name, x)
        if isinstance(node, Add):
            return self.add(node.name, x)
        if isinstance(node, Pad):
            return self.pad(node, x[0])
        return self.spread(node, x[0])

    def weighted(self, layer: Weighted, x: str) -> str:
        before = self.node(x)
        if isinstance(before, Weighted) and merge.takes_choice(layer, before):
            return self.weighted(merge.behind_choice(layer, before, self.shapes[x]), before.inputs[0])
        x = self.closed(x, f"{layer.name} follows it without a ReLU between")
        node = self.node(x)
        if isinstance(node, Pad) and layer.weight.ndim == 4:
            return self.weighted(merge.padded(layer, node), node.inputs[0])
        if isinstance(node, Pad):
            return self.weighted(layer, self.population(x, f"{layer.name} takes in its zeros"))
        if isinstance(node, Affine):
            pads = layer.weight.ndim == 4 and any(layer.padding)
            if pads and bool((node.shift != 0).any()):
                why = f"{layer.name} pads with zeros what {node.name} shifts"
                return self.weighted(layer, self.population(x, why))
            return self.weighted(merge.behind_affine(layer, node), node.inputs[0])
        if isinstance(node, Add):
            if len(node.inputs) > MOST_TERMS:
                return self.weighted(layer, self.population(x, f"{layer.name} weighs a sum of many"))
            none = replace(layer, bias=torch.zeros_like(layer.bias))
            return self.add(layer.name, [self.weighted(none if i else layer, y) for i, y in enumerate(node.inputs)])
        if layer.groups > 1 and self.cut_by(x, layer.weight.shape[1]):
            return self.weighted(layer, self.population(x, f"{layer.name} has groups that cut across its parts"))
        if isinstance(node, Concat) and self.holds(x, Add, Affine, Pad):
            return self._weigh_parts(layer, node)
        return self.new(replace(layer, inputs=(x,)), is_open=True, positive=self.positive[x] and _never_lowers(layer))

    def _weigh_parts(self, layer: Weighted, node: Concat) -> str:
        """Weights behind a concatenation of sums: the columns of each part apart."""
        if layer.groups > 1:
            why = f"{layer.name} weighs it in groups"
            parts = [self.population(y, why) if self.holds(y, Add, Affine, Pad) else y for y in node.inputs]
            return self.weighted(layer, self.concat(node.name, parts))
        sizes = [self.shapes[y][0] * (self.shapes[y][1] * self.shapes[y][2] if layer.weight.ndim == 2 else 1)
                 for y in node.inputs]  # fmt: skip
        terms = []
        for i, (weight, y) in enumerate(zip(layer.weight.split(sizes, 1), node.inputs, strict=True)):
            bias = torch.zeros_like(layer.bias) if i else layer.bias
            terms.append(self.weighted(replace(layer, weight=weight.clone(), bias=bias), y))
        return self.add(layer.name, terms)

    def affine(self, name: str, x: str, scale: Tensor, shift: Tensor) -> str:
        if bool((scale == 1).all()) and not bool((shift != 0).any()):
            return x
        node = self.node(x)
        if isinstance(node, Affine):
            return self.affine(node.name, node.inputs[0], scale * node.scale, shift + scale * node.shift)
        moved = self._affine_before(name, x, scale, shift) if self.open[x] and not self.shared[x] else None
        if moved is None and isinstance(node, Concat) and self.open[x]:
            moved = self.concat(node.name, self.affine_parts(name, node, scale, shift))
        if moved is not None:
            return moved
        positive = self.positive[x] and bool((scale >= 0).all()) and bool((shift >= 0).all())
        return self.new(Affine(name, (x,), scale, shift), is_open=self.open[x], positive=positive)

    def _affine_before(self, name: str, x: str, scale: Tensor, shift: Tensor) -> str | None:
        """The same value with the scale and shift moved towards the weights; None where they cannot be."""
        node = self.node(x)
        if isinstance(node, Weighted):
            return self.new(merge.before_affine(node, scale, shift), is_open=True, positive=False)
        inner: tuple[Tensor, Tensor] | None = None
        if isinstance(node, SumPool) and (node.padding == (0, 0) or not bool((shift != 0).any())):
            inner = scale, shift / (node.kernel[0] * node.kernel[1])
        elif isinstance(node, Flatten):
            inner = self.by_channel(node, scale, shift)
        elif isinstance(node, Upsample) or (isinstance(node, MaxPool) and bool((scale > 0).all())):
            inner = scale, shift
        if node is not None and inner is not None:
            moved = self.affine(name, node.inputs[0], *inner)
            return None if isinstance(self.node(moved), Affine) else self._rebuild(node, [moved])
        if isinstance(node, Add):
            takes = next(i for i, y in enumerate(node.inputs) if self.open[y])
            none = torch.zeros_like(shift)
            return self.add(
                node.name,
                [self.affine(name, y, scale, shift if i == takes else none) for i, y in enumerate(node.inputs)],
            )
        return None

    def affine_parts(self, name: str, node: Concat, scale: Tensor, shift: Tensor) -> list[str]:
        sizes = [self.shapes[y][0] for y in node.inputs]
        parts = zip(node.inputs, scale.split(sizes), shift.split(sizes), strict=True)
        return [self.affine(name, y, s, t) for y, s, t in parts]


def _never_lowers(layer: Weighted) -> bool:
    return layer.copies or (bool((layer.weight >= 0).all()) and bool((layer.bias >= 0).all()))
