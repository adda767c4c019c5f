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

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from ..errors import ConversionError
from . import merge
from .cnn import Activation, Add, Affine, Cnn, Concat, Flatten, MaxPool, Node, Pad, Shape, SumPool, Upsample, Weighted

MOST_TERMS = 4  # of a sum whose next weights are copied to each term; longer sums get neurons of their own


def fold(raw: Cnn) -> Cnn:
    """The folded graph of one that CnnBuilder took down. Raises ConversionError naming a layer."""
    return _Fold(raw).result()


class _Fold:
    """The new graph so far. Nodes are known by keys, which are never taken twice; they get their names at the end."""

    def __init__(self, raw: Cnn) -> None:
        self.raw, self.readers = raw, _readers(raw)
        self.nodes: dict[str, Node] = {}
        self.shapes: dict[str, Shape] = {"input": raw.input_shape}
        self.open = {"input": False}  # whether weights lie between it and the neurons before it
        self.positive = {"input": False}  # whether it is never negative
        self.shared = {"input": True}
        self.carried: dict[str, str] = {}  # the neurons that were added behind a node
        self.notes = list(raw.notes)

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
        return self._named(output)

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

    # --- one operation each ----------------------------------------------------------------------------------------

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
        if layer.groups > 1 and self._cut_by(x, layer.weight.shape[1]):
            return self.weighted(layer, self.population(x, f"{layer.name} has groups that cut across its parts"))
        if isinstance(node, Concat) and self._holds(x, Add, Affine, Pad):
            return self._weigh_parts(layer, node)
        return self.new(replace(layer, inputs=(x,)), is_open=True, positive=self.positive[x] and _never_lowers(layer))

    def _weigh_parts(self, layer: Weighted, node: Concat) -> str:
        """Weights behind a concatenation of sums: the columns of each part apart."""
        if layer.groups > 1:
            why = f"{layer.name} weighs it in groups"
            parts = [self.population(y, why) if self._holds(y, Add, Affine, Pad) else y for y in node.inputs]
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
            moved = self.concat(node.name, self._affine_parts(name, node, scale, shift))
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
            inner = self._by_channel(node, scale, shift)
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

    def _affine_parts(self, name: str, node: Concat, scale: Tensor, shift: Tensor) -> list[str]:
        sizes = [self.shapes[y][0] for y in node.inputs]
        parts = zip(node.inputs, scale.split(sizes), shift.split(sizes), strict=True)
        return [self.affine(name, y, s, t) for y, s, t in parts]

    def activation(self, layer: Activation, x: str) -> str:
        x = self._flattened_late(x)
        node = self.node(x)
        if layer.kind == "relu" and self.positive[x]:
            self.notes.append(f"{layer.name} was left out: its input is never negative")
            return x
        if isinstance(node, Concat):
            names = (f"{layer.name}_{i + 1}" for i in range(len(node.inputs)))
            return self.concat(
                node.name, [self.activation(replace(layer, name=n), y) for n, y in zip(names, node.inputs, strict=True)]
            )
        if isinstance(node, Flatten | Upsample):
            return self.spread(node, self.activation(layer, node.inputs[0]))
        if isinstance(node, Pad) and layer.keeps_zero:
            return self.pad(node, self.activation(layer, node.inputs[0]))
        if isinstance(node, MaxPool):
            return self.max_pool(node, self.activation(layer, node.inputs[0]))
        if isinstance(node, Activation) and node.kind == "relu" and not layer.signed:
            return self.activation(layer, node.inputs[0])
        if isinstance(node, Affine) and (moved := self._activate_inside(layer, node)) is not None:
            return moved
        return self._sign(layer, x) if layer.kind == "sign" else self._neurons(layer, x)

    def _sign(self, layer: Activation, x: str) -> str:
        """2 [x >= 0] - 1, of spikes 0 and 1; or 1 - 2 [-x > 0] where no offset keeps sums from being 0.

        Neurons fire above 0 and not at 0, where all sums lie to which nothing arrives.
        """
        ones, node = torch.ones(self.shapes[x][0], dtype=torch.float64), self.node(x)
        if isinstance(node, Weighted) and bool((node.bias != 0).all()):
            steps = self._neurons(replace(layer, kind="not_negative"), x)
            return self.affine(layer.name, steps, 2 * ones, -ones)
        if isinstance(node, Weighted):
            less = self.new(merge.before_affine(node, -ones, 0 * ones), is_open=True, positive=False)
        else:
            less = self.affine(layer.name, x, -ones, 0 * ones)
        if self.open[x] and isinstance(self.node(less), Affine):
            raise ConversionError(
                f"layer {layer.name!r} takes the sign of what several layers read; put a BatchNorm or weights before it"
            )
        steps = self._neurons(replace(layer, kind="heaviside"), less)
        return self.affine(layer.name, steps, -2 * ones, ones)

    def _neurons(self, layer: Activation, x: str) -> str:
        current = self.current(x)
        weights = self.node(current)
        copied = isinstance(weights, Weighted) and weights.copies and self._single_spikes(current)
        relay = copied and layer.kind in ("relu", "linear")
        made = replace(layer, inputs=(current,), relay=relay)
        return self.new(made, is_open=False, positive=not layer.signed)

    def _activate_inside(self, layer: Activation, node: Affine) -> str | None:
        """Neurons behind a scaled concat, flatten or up-sampling, moved before it; None behind anything else."""
        inner = self.node(node.inputs[0])
        if isinstance(inner, Concat):
            parts = self._affine_parts(node.name, inner, node.scale, node.shift)
            named = [replace(layer, name=f"{layer.name}_{i + 1}") for i in range(len(parts))]
            return self.concat(inner.name, [self.activation(n, y) for n, y in zip(named, parts, strict=True)])
        if not isinstance(inner, Flatten | Upsample):
            return None
        by_channel: tuple[Tensor, Tensor] | None = (node.scale, node.shift)
        if isinstance(inner, Flatten):
            by_channel = self._by_channel(inner, node.scale, node.shift)
        if by_channel is None:
            raise ConversionError(
                f"layer {node.name!r} scales {len(node.scale)} values, but {inner.name!r} before it flattens "
                f"{self.shapes[inner.inputs[0]][0]} channels; put it before the flattening"
            )
        return self.spread(inner, self.activation(layer, self.affine(node.name, inner.inputs[0], *by_channel)))

    def _by_channel(self, flatten: Flatten, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor] | None:
        """A scale and shift of flattened features as those of channels; None where they differ within a channel."""
        channels = self.shapes[flatten.inputs[0]][0]
        pair = scale.view(channels, -1), shift.view(channels, -1)
        if any(bool((values != values[:, :1]).any()) for values in pair):
            return None
        return pair[0][:, 0], pair[1][:, 0]

    def sum_pool(self, pool: SumPool, x: str) -> str:
        node, pads = self.node(x), any(pool.padding)
        if isinstance(node, MaxPool) and self.open[x]:
            return self.sum_pool(pool, self.closed(x, f"{pool.name} follows it"))
        if isinstance(node, Pad):
            padding = merge.even_padding(node, pool.kernel, pool.padding)
            if padding is None:
                return self.sum_pool(pool, self.population(x, f"{pool.name} sums over zeros at one side"))
            return self.sum_pool(replace(pool, padding=padding), node.inputs[0])
        if isinstance(node, Affine):
            if pads and bool((node.shift != 0).any()):
                return self.sum_pool(pool, self.population(x, f"{pool.name} pads with zeros what {node.name} shifts"))
            area = pool.kernel[0] * pool.kernel[1]
            return self.affine(node.name, self.sum_pool(pool, node.inputs[0]), node.scale, node.shift * area)
        if self.open[x] and pads:
            return self.sum_pool(pool, self.population(x, f"{pool.name} pads it with zeros"))
        if isinstance(node, Weighted) and not self.shared[x] and merge.is_poolable(node, pool):
            self.notes.append(f"{pool.name} was merged into {node.name}: one larger, strided convolution, exactly")
            return self.new(merge.pooled(node, pool), is_open=True, positive=self.positive[x])
        inside = self._inside(x, lambda y: self.sum_pool(pool, y))
        return inside or self.new(replace(pool, inputs=(x,)), is_open=self.open[x], positive=self.positive[x])

    def max_pool(self, pool: MaxPool, x: str) -> str:
        node = self.node(x)
        if isinstance(node, Concat):
            return self.concat(node.name, [self.max_pool(pool, y) for y in node.inputs])
        if isinstance(node, Affine) and bool((node.scale > 0).all()):
            return self.affine(node.name, self.max_pool(pool, node.inputs[0]), node.scale, node.shift)
        if isinstance(node, Pad) and self.positive[x]:
            padding = merge.even_padding(node, pool.kernel, pool.padding)
            if padding is not None:
                return self.max_pool(replace(pool, padding=padding), node.inputs[0])
        if not self.open[x] and not isinstance(node, Activation | MaxPool):
            x = self.population(x, f"{pool.name} compares its spikes")
        return self.new(replace(pool, inputs=(x,)), is_open=self.open[x], positive=self.positive[x])

    def pad(self, pad: Pad, x: str) -> str:
        node = self.node(x)
        if isinstance(node, Affine):
            if bool((node.shift != 0).any()):
                return self.pad(pad, self.population(x, f"{pad.name} surrounds with zeros what {node.name} shifts"))
            return self.affine(node.name, self.pad(pad, node.inputs[0]), node.scale, node.shift)
        if isinstance(node, Pad):
            whole = replace(pad, top=pad.top + node.top, bottom=pad.bottom + node.bottom, left=pad.left + node.left,
                            right=pad.right + node.right)  # fmt: skip
            return self.pad(whole, node.inputs[0])
        inside = self._inside(x, lambda y: self.pad(pad, y))
        return inside or self.new(replace(pad, inputs=(x,)), is_open=self.open[x], positive=self.positive[x])

    def spread(self, node: Node, x: str) -> str:
        """Upsample or Flatten: the same values, elsewhere or more often."""
        before = self.node(x)
        if isinstance(before, MaxPool) and self.open[x]:
            return self.spread(node, self.closed(x, f"{node.name} follows it"))
        if isinstance(before, Affine):
            here = self.shapes[before.inputs[0]]
            times = here[1] * here[2] if isinstance(node, Flatten) else 1
            scale, shift = (v.repeat_interleave(times) for v in (before.scale, before.shift))
            return self.affine(before.name, self.spread(node, before.inputs[0]), scale, shift)
        if isinstance(node, Flatten) and self.shapes[x][1:] == (1, 1):
            return x
        if isinstance(before, Pad):
            return self.spread(node, self.population(x, f"{node.name} takes in its zeros"))
        inside = self._inside(x, lambda y: self.spread(node, y))
        return inside or self.new(replace(node, inputs=(x,)), is_open=self.open[x], positive=self.positive[x])

    def concat(self, name: str, parts: list[str]) -> str:
        nodes = [self.node(x) for x in parts]
        if any(isinstance(node, Affine) and not self.open[x] for node, x in zip(nodes, parts, strict=True)):
            inner, scales, shifts = [], [], []
            for x, node in zip(parts, nodes, strict=True):
                channels, owed = self.shapes[x][0], isinstance(node, Affine) and not self.open[x]
                inner.append(node.inputs[0] if owed and node else x)
                scales.append(cast(Affine, node).scale if owed else torch.ones(channels, dtype=torch.float64))
                shifts.append(cast(Affine, node).shift if owed else torch.zeros(channels, dtype=torch.float64))
            joined = self.concat(name, inner)
            if not self.open[joined]:
                owing = next(n for n, x in zip(nodes, parts, strict=True) if isinstance(n, Affine) and not self.open[x])
                return self.affine(owing.name, joined, torch.cat(scales), torch.cat(shifts))
        open_ = any(self.open[x] for x in parts)
        return self.new(Concat(name, tuple(parts)), is_open=open_, positive=all(self.positive[x] for x in parts))

    def add(self, name: str, terms: list[str]) -> str:
        flat: list[str] = []
        for x in terms:
            node = self.node(x)
            flat += node.inputs if isinstance(node, Add) and not self.shared[x] else [x]
        flat = [self.closed(x, f"{name} adds it") if self._holds(x, MaxPool, Pad) and self.open[x] else x for x in flat]
        if len(set(flat)) < len(flat):
            channels, counts = self.shapes[flat[0]][0], {x: flat.count(x) for x in flat}
            none = torch.zeros(channels, dtype=torch.float64)
            flat = [self.affine(name, x, torch.full_like(none, n), none) if n > 1 else x for x, n in counts.items()]
        if len(flat) == 1:
            return flat[0]
        open_ = any(self.open[x] for x in flat)
        made = self.new(Add(name, tuple(flat)), is_open=open_, positive=all(self.positive[x] for x in flat))
        return self._flattened_late(made) if open_ else made

    def _flattened_late(self, x: str) -> str:
        """A sum of flattened images as the flattened sum, which neurons can follow; anything else as it is."""
        node = self.node(x)
        terms = [self.node(y) for y in node.inputs] if isinstance(node, Add) else []
        inner = [term.inputs[0] for term in terms if isinstance(term, Flatten)]
        if not inner or len(inner) < len(terms) or len({self.shapes[y] for y in inner}) > 1:
            return x
        added = self.new(replace(cast(Add, node), inputs=tuple(inner)), is_open=self.open[x], positive=self.positive[x])
        return self.new(replace(cast(Flatten, terms[0]), inputs=(added,)), is_open=self.open[x],
                        positive=self.positive[x])  # fmt: skip

    # --- what a value must be for its reader -----------------------------------------------------------------------

    def current(self, x: str) -> str:
        """The value as neurons or a readout take it: without Affine, Pad or open maximum on the way to the weights."""
        node = self.node(x)
        if isinstance(node, Affine):
            return self.weighted(merge.identity(node.name, self.shapes[x][0]), x)
        if isinstance(node, Pad):
            return self.weighted(merge.identity(node.name, self.shapes[node.inputs[0]][0]), x)
        if isinstance(node, MaxPool) and self.open[x]:
            return self.closed(x, f"{node.name} compares its spikes")
        if isinstance(node, Add | Concat | SumPool | Upsample | Flatten):
            parts = [self.current(y) for y in node.inputs]
            if tuple(parts) == node.inputs:
                return x
            return self.new(replace(node, inputs=tuple(parts)), is_open=any(self.open[y] for y in parts),
                            positive=self.positive[x])  # fmt: skip
        return x

    def closed(self, x: str, why: str) -> str:
        """The same value without weights behind the last neurons: neurons are added where there are some."""
        node = self.node(x)
        if node is None or not self.open[x]:
            return x
        if isinstance(node, Affine):
            return self.affine(node.name, self.closed(node.inputs[0], why), node.scale, node.shift)
        if isinstance(node, MaxPool):
            return self.max_pool(node, self.closed(node.inputs[0], why))
        if isinstance(node, Pad):
            return self.pad(node, self.closed(node.inputs[0], why))
        if isinstance(node, Upsample | Flatten):
            return self.spread(node, self.closed(node.inputs[0], why))
        if isinstance(node, Concat):
            return self.concat(node.name, [self.closed(y, why) for y in node.inputs])
        return self.population(x, why)

    def population(self, x: str, why: str) -> str:
        """Neurons that carry a value as it is: signed ones where it may be negative."""
        if x not in self.carried:
            node = self.node(x)
            name = "input" if node is None else node.name
            kind = "relu" if self.positive[x] else "sign" if self._is_sign(x) else "linear"
            layer = Activation(f"{name}_spikes", (x,), kind)
            current = self.current(x)
            made = replace(layer, inputs=(current,), relay=self._single_spikes(current))
            self.carried[x] = self.new(made, is_open=False, positive=self.positive[x])
            sign = "" if self.positive[x] else ", with spikes of both signs"
            self.notes.append(f"{name} got neurons of its own{sign}: {why}")
        return self.carried[x]

    def _is_sign(self, x: str) -> bool:
        """Whether a value is +1 or -1: that of `_sign`, wherever its parts lie by now."""
        node = self.node(x)
        if not isinstance(node, Affine) or self.open[x]:
            return False
        ends = torch.stack([node.shift, node.shift + node.scale]).sort(0).values  # of 0 and of a spike
        return bool((ends[0] == -1).all() and (ends[1] == 1).all()) and self._is_bit(node.inputs[0])

    def _is_bit(self, x: str) -> bool:
        node = self.node(x)
        if isinstance(node, Activation):
            return node.kind in ("heaviside", "not_negative")
        moves = isinstance(node, MaxPool | Concat | Flatten | Upsample)
        return moves and node is not None and all(self._is_bit(y) for y in node.inputs)

    def _single_spikes(self, x: str) -> bool:
        """Whether a value is that of neurons, unchanged, at most moved: then neurons can hand it on spike for spike."""
        node = self.node(x)
        if isinstance(node, Activation | MaxPool):
            return True
        moves = isinstance(node, Concat | Flatten | Upsample) or (isinstance(node, Weighted) and node.copies)
        return moves and node is not None and all(self._single_spikes(y) for y in node.inputs)

    def _inside(self, x: str, f: Callable[[str], str]) -> str | None:
        """f of a sum of spikes as a sum of f, so that the next weights can go to each term; None: not needed."""
        node = self.node(x)
        if isinstance(node, Add) and not self.open[x]:
            return self.add(node.name, [f(y) for y in node.inputs])
        if isinstance(node, Concat) and self._holds(x, Add, Pad):
            return self.concat(node.name, [f(y) for y in node.inputs])
        return None

    def _cut_by(self, x: str, per_group: int) -> bool:
        """Whether groups of so many channels would read from two parts of a concatenation at once."""
        node = self.node(x)
        if isinstance(node, Concat):
            return any(self.shapes[y][0] % per_group or self._cut_by(y, per_group) for y in node.inputs)
        return isinstance(node, SumPool | Upsample) and self._cut_by(node.inputs[0], per_group)

    def _holds(self, x: str, *kinds: type[Node]) -> bool:
        """Whether x is one of these, or a concatenation that holds one."""
        node = self.node(x)
        return isinstance(node, kinds) or (
            isinstance(node, Concat) and any(self._holds(y, *kinds) for y in node.inputs)
        )

    # --- the graph -------------------------------------------------------------------------------------------------

    def node(self, x: str) -> Node | None:
        return self.nodes.get(x)

    def new(self, node: Node, *, is_open: bool, positive: bool) -> str:
        key = f"#{len(self.nodes)}"
        self.nodes[key] = node
        self.shapes[key] = node.output_shape(*(self.shapes[x] for x in node.inputs))
        self.open[key], self.positive[key], self.shared[key] = is_open, positive, False
        return key

    def _named(self, output: str) -> Cnn:
        """What leads to the output, in order, under names of its own."""
        from .builder import unique

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


def _readers(raw: Cnn) -> dict[str, int]:
    """How many layers with weights, neurons or scales read each node, directly or through pools and concatenations."""
    counts: dict[str, int] = {"input": 0, **{node.name: 0 for node in raw.nodes}}
    for node in reversed(raw.nodes):
        through = isinstance(node, SumPool | MaxPool | Upsample | Flatten | Concat | Pad)
        for name in node.inputs:
            counts[name] += counts[node.name] if through else 1
    return counts


def _never_lowers(layer: Weighted) -> bool:
    return layer.copies or (bool((layer.weight >= 0).all()) and bool((layer.bias >= 0).all()))
