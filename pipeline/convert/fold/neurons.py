"""Folding, where neurons stand: activations moved to where they can, and neurons added where two weights would meet."""

from dataclasses import replace

import torch
from torch import Tensor

from ...errors import ConversionError
from ..cnn import Activation, Add, Affine, Concat, Flatten, MaxPool, Pad, SumPool, Upsample, Weighted
from . import merge
from .graph import FoldGraph


class FoldNeurons(FoldGraph):
    def activation(self, layer: Activation, x: str) -> str:
        x = self.flattened_late(x)
        node = self.node(x)
        if layer.kind == "relu" and self.positive[x]:
            self.notes.append(f"{layer.name} was left out: its input is never negative")
            return x
        if isinstance(node, Concat):
            return self.beside(layer, node.name, list(node.inputs))
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
        return self._neurons(layer, x)

    def beside(self, layer: Activation, name: str, parts: list[str]) -> str:
        """Neurons behind a concatenation: behind each part, or one population behind spikes that lie side by side."""
        runs: list[list[str]] = []
        for x in parts:
            node = self.node(x)
            if isinstance(node, Affine) and self.open[x]:  # scaled weights that many read: they get neurons anyway
                x = self.closed(x, f"{node.name} is one of several layers that read it")
            if runs and self.is_plain(x) and self.is_plain(runs[-1][-1]):
                runs[-1].append(x)
            else:
                runs.append([x])
        made = []
        for i, run in enumerate(runs):
            own = layer if len(runs) == 1 else replace(layer, name=f"{layer.name}_{i + 1}")
            idle = layer.kind == "relu" and all(self.positive[x] for x in run)
            joined = run[0] if len(run) == 1 else self.concat(name, run)
            made.append(
                joined if idle else self._neurons(own, joined) if len(run) > 1 else self.activation(own, joined)
            )
        return made[0] if len(made) == 1 else self.concat(name, made)

    def is_plain(self, x: str) -> bool:
        """Whether a value is spikes, at most summed, scaled and shifted."""
        node = self.node(x)
        node = self.node(node.inputs[0]) if isinstance(node, Affine) else node
        return not self.open[x] and (node is None or isinstance(node, Activation | MaxPool | SumPool))

    def _activate_inside(self, layer: Activation, node: Affine) -> str | None:
        """Neurons behind a scaled concat, flatten or up-sampling, moved before it; None behind anything else."""
        inner = self.node(node.inputs[0])
        if isinstance(inner, MaxPool) and self.open[node.inputs[0]] and layer.kind in ("sign", "heaviside"):
            return self._bit_of_maximum(layer, node, inner)
        if isinstance(inner, Concat):
            return self.beside(layer, inner.name, self.affine_parts(node.name, inner, node.scale, node.shift))
        if not isinstance(inner, Flatten | Upsample):
            return None
        by_channel: tuple[Tensor, Tensor] | None = (node.scale, node.shift)
        if isinstance(inner, Flatten):
            by_channel = self.by_channel(inner, node.scale, node.shift)
        if by_channel is None:
            raise ConversionError(
                f"layer {node.name!r} scales {len(node.scale)} values, but {inner.name!r} before it flattens "
                f"{self.shapes[inner.inputs[0]][0]} channels; put it before the flattening"
            )
        return self.spread(inner, self.activation(layer, self.affine(node.name, inner.inputs[0], *by_channel)))

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

    def _bit_of_maximum(self, layer: Activation, affine: Affine, pool: MaxPool) -> str:
        """a max(z) + b, compared with 0, as an OR of |a| z +- b; its opposite in channels where a is negative.

        Where a sum lies at 0 exactly, those channels decide as if it were above.
        """
        flips = torch.where(affine.scale < 0, -1.0, 1.0).double()
        inside = self.affine(affine.name, pool.inputs[0], affine.scale.abs(), affine.shift * flips)
        above = "not_negative" if layer.kind == "sign" else "heaviside"
        spikes = self.max_pool(pool, self._neurons(replace(layer, kind=above), inside))
        if layer.kind == "sign":
            return self.affine(layer.name, spikes, 2 * flips, -flips)
        return self.affine(layer.name, spikes, flips, (flips < 0).double())

    def _neurons(self, layer: Activation, x: str) -> str:
        if layer.kind == "sign":
            return self._sign(layer, x)
        current = self.current(x)
        weights = self.node(current)
        copied = isinstance(weights, Weighted) and weights.copies and self.single_spikes(current)
        relay = copied and layer.kind in ("relu", "linear")
        made = replace(layer, inputs=(current,), relay=relay)
        return self.new(made, is_open=False, positive=not layer.signed)

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
            kind = self.bit_kind(x) or ("relu" if self.positive[x] else "linear")
            layer = Activation(f"{name}_spikes", (x,), kind)
            current = self.current(x)
            made = replace(layer, inputs=(current,), relay=self.single_spikes(current))
            self.carried[x] = self.new(made, is_open=False, positive=not made.signed)
            sign = "" if not made.signed else ", with spikes of both signs"
            self.notes.append(f"{name} got neurons of its own{sign}: {why}")
        return self.carried[x]
