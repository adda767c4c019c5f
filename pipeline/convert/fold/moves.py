"""Folding of what has no weights: pools, borders of zeros, up-sampling, flattening, concatenations and sums."""

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch

from ..cnn import Activation, Add, Affine, Concat, Flatten, MaxPool, Node, Pad, SumPool, Weighted
from . import merge
from .graph import FoldGraph


class FoldMoves(FoldGraph):
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
        inside = self.inside(x, lambda y: self.sum_pool(pool, y))
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
        inside = self.inside(x, lambda y: self.pad(pad, y))
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
        inside = self.inside(x, lambda y: self.spread(node, y))
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
        chosen = [node for node in nodes if isinstance(node, Weighted) and merge.is_choice(node)]
        joint = merge.side_by_side(chosen) if len(chosen) == len(parts) else None
        if joint is not None:
            return self.new(joint, is_open=True, positive=all(self.positive[x] for x in parts))
        open_ = any(self.open[x] for x in parts)
        return self.new(Concat(name, tuple(parts)), is_open=open_, positive=all(self.positive[x] for x in parts))

    def add(self, name: str, terms: list[str]) -> str:
        flat: list[str] = []
        for x in terms:
            node = self.node(x)
            flat += node.inputs if isinstance(node, Add) and not self.shared[x] else [x]
        flat = [self.closed(x, f"{name} adds it") if self.holds(x, MaxPool, Pad) and self.open[x] else x for x in flat]
        if len(set(flat)) < len(flat):
            channels, counts = self.shapes[flat[0]][0], {x: flat.count(x) for x in flat}
            none = torch.zeros(channels, dtype=torch.float64)
            flat = [self.affine(name, x, torch.full_like(none, n), none) if n > 1 else x for x, n in counts.items()]
        if len(flat) == 1:
            return flat[0]
        open_ = any(self.open[x] for x in flat)
        made = self.new(Add(name, tuple(flat)), is_open=open_, positive=all(self.positive[x] for x in flat))
        return self.flattened_late(made) if open_ else made

    def flattened_late(self, x: str) -> str:
        """A sum of flattened images as the flattened sum, which neurons can follow; anything else as it is."""
        node = self.node(x)
        terms = [self.node(y) for y in node.inputs] if isinstance(node, Add) else []
        inner = [term.inputs[0] for term in terms if isinstance(term, Flatten)]
        if not inner or len(inner) < len(terms) or len({self.shapes[y] for y in inner}) > 1:
            return x
        added = self.new(replace(cast(Add, node), inputs=tuple(inner)), is_open=self.open[x], positive=self.positive[x])
        return self.new(replace(cast(Flatten, terms[0]), inputs=(added,)), is_open=self.open[x],
                        positive=self.positive[x])  # fmt: skip

    def inside(self, x: str, f: Callable[[str], str]) -> str | None:
        """f of a sum of spikes as a sum of f, so that the next weights can go to each term; None: not needed."""
        node = self.node(x)
        if isinstance(node, Add) and not self.open[x]:
            return self.add(node.name, [f(y) for y in node.inputs])
        if isinstance(node, Concat) and self.holds(x, Add, Pad):
            return self.concat(node.name, [f(y) for y in node.inputs])
        return None
