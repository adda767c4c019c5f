"""How faithfully each population's firing rates carry the activations of the CNN: sums over samples, then figures.

Everything is in units of λ, so that an activation of 1 wants a rate of 1. What the columns mean is told in measured.py
(LayerFidelity), and the identity that splits the error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...network import IF, Conv2d, Layer, Linear, MaxPool2d, Network, Neurons
from ..cnn import Activation, Cnn
from ..simulate import Clocked
from .decide import evenly
from .measured import LayerFidelity
from .validation import Validation

EXTENT = 1.5  # activations and rates above it share the last bin of the pictures
COLUMNS = 32  # bins of the activation
AT_ONCE = 32  # samples whose activations of all layers are held at once


def rate_bins(timesteps: float, wanted: int = COLUMNS) -> tuple[int, int]:
    """Rates are multiples of 1 / T: how many of them share a bin, and the number of bins up to EXTENT.

    Where several spikes stand for the scale of a calibration, T is that many times the timesteps.
    """
    group = max(1, round(EXTENT * timesteps / wanted))
    return group, max(1, -(-int(EXTENT * timesteps) // group))


@dataclass(frozen=True)
class Wiring:
    """What feeds a population, or the last layer."""

    weights: tuple[str, ...]
    sources: tuple[str, ...]
    behind_max_pool: bool


def wiring(network: Network, name: str) -> Wiring:
    """Walk back from a layer to the populations (or the input) before it."""
    by_name = {layer.name: layer for layer in network.layers}
    weights: list[str] = []
    sources: list[str] = []
    pooled, waiting, seen = False, [name], {name}
    while waiting:
        layer: Layer | None = by_name.get(waiting.pop(0))
        if isinstance(layer, Neurons) and layer.name != name:
            sources.append(layer.name)
            continue
        if isinstance(layer, Conv2d | Linear):
            weights.append(layer.name)
        pooled = pooled or isinstance(layer, MaxPool2d)
        fresh = [source for source in (() if layer is None else layer.inputs) if source not in seen]
        seen.update(fresh)
        waiting += fresh
    return Wiring(tuple(weights), tuple(sources), pooled)


class Tally:
    """Sums over the samples of one population."""

    def __init__(
        self, neurons: Neurons, timesteps: int, activate: Callable[[Tensor], Tensor] | None, parts: float = 1.0
    ) -> None:
        """`activate`: what the CNN makes of what arrived, in units of λ; None: what arrived cannot be told.

        parts: spikes that stand for the scale of the calibration
        """
        self.layer, self._timesteps, self._activate, self._parts = neurons, timesteps, activate, parts
        self._ceiling = float(min(neurons.max_spikes, 1 << 20))
        self._group, rows = rate_bins(timesteps * parts)
        self._density = np.zeros((rows, COLUMNS), np.int64)
        self._rates = np.zeros(rows, np.int64)
        self._sums: dict[str, float] = {}
        self._active: Tensor | None = None
        self._pairs = self._samples = 0

    def add(self, wanted: Tensor, spikes: Tensor, moved: Tensor) -> None:
        """Of some samples, each (n, channel, height, width): activation / λ, spikes, (v(T) - v(0)) / θ."""
        wanted, rate = wanted.double(), spikes.double() / self._timesteps
        active = (wanted != 0).flatten(1).any(0)
        self._active = active if self._active is None else self._active | active
        self._pairs += wanted.numel()
        self._samples += len(wanted)
        error = rate - wanted
        self._sum(
            error=error.square(), a=wanted, aa=wanted.square(), r=rate, rr=rate.square(), ar=wanted * rate,
            clipped=wanted.abs() > self._ceiling * (1 + 1e-6), fired=rate != 0, alive=(rate != 0) | (wanted != 0),
            residual=moved.double().abs() * ((rate != 0) | (wanted != 0)),
        )  # fmt: skip
        if self._activate is not None:
            self._split(wanted, rate, rate + moved.double() / self._timesteps)
        self._draw(wanted.abs().flatten().numpy(), spikes.abs().flatten().numpy())

    @property
    def seen(self) -> bool:
        return self._samples > 0

    def result(self, where: Wiring, macs: int, synops: float | None) -> LayerFidelity:
        sums, n = self._sums, self._pairs
        covariance = n * sums["ar"] - sums["a"] * sums["r"]
        spread = (n * sums["aa"] - sums["a"] ** 2) * (n * sums["rr"] - sums["r"] ** 2)
        assert self._active is not None
        return LayerFidelity(
            name=self.layer.name,
            weights=where.weights,
            sources=where.sources,
            behind_max_pool=where.behind_max_pool,
            neurons=n // self._samples,
            macs=macs,
            synops=synops,
            error=self._relative("error") or 0.0,
            reset=self.layer.reset,
            rate=sums["r"] / n,
            active_rate=sums["r"] / sums["fired"] if sums["fired"] else 0.0,
            correlation=float(np.clip(covariance / spread**0.5, -1, 1)) if spread > 1e-12 * n * n else None,
            clipped=sums["clipped"] / n,
            dead=1.0 - float(self._active.double().mean()),
            residual=sums["residual"] / sums["alive"] if sums["alive"] else 0.0,
            arrived=self._relative("arrived"),
            clipping=self._relative("clipping"),
            early=self._relative("early"),
            late=self._relative("late"),
            rounding=self._relative("rounding"),
            density=self._density,
            silent=1.0 - float(self._density.sum()) / n,
            rates=self._rates,
            parts=self._parts,
        )

    def _sum(self, **terms: Tensor) -> None:
        for name, term in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(term.sum())

    def _split(self, wanted: Tensor, rate: Tensor, arrived: Tensor) -> None:
        """What arrived -> what a neuron without time and memory would fire -> what it fired."""
        assert self._activate is not None
        passed = self._activate(arrived)
        limited = passed.clamp(-self._ceiling, self._ceiling)
        beyond, least = rate.abs() - limited.abs(), 1.001 / self._timesteps  # v lies in [0, θ) unless time plays a part
        missed = (rate - limited).square()
        self._sum(
            arrived=(passed - wanted).square(),
            clipping=(passed - limited).square(),
            early=missed * (beyond > least),
            late=missed * (beyond < -least),
            rounding=missed * (beyond.abs() <= least),
        )

    def _draw(self, wanted: np.ndarray, spikes: np.ndarray) -> None:
        """Bin the pairs of which at least one is not 0, and the rates above 0."""
        rows, columns = self._density.shape
        seen = (wanted > 0) | (spikes > 0)
        column = np.minimum(wanted[seen] * (columns / EXTENT / self._parts), columns - 1).astype(np.int64)
        row = np.minimum(spikes[seen].astype(np.int64) // self._group, rows - 1)
        self._density += np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
        fired = spikes[spikes > 0].astype(np.int64)
        self._rates += np.bincount(np.minimum((fired - 1) // self._group, rows - 1), minlength=rows)

    def _relative(self, name: str) -> float | None:
        """Norm of an error relative to that of the activation."""
        if name not in self._sums:
            return None
        found, size = self._sums[name], self._sums["aa"]
        return (found / size) ** 0.5 if size > 0 else (0.0 if found == 0 else float("inf"))


class LayerWatch:
    """Looks at the clocked network after the last timestep of each batch, beside the CNN's activations."""

    def __init__(self, cnn: Cnn, network: Network, shown: Validation, samples: int) -> None:
        self._cnn, self._network, self._shown = cnn.to(torch.float32), network, shown
        self._chosen = evenly(shown.n, samples)
        self.samples = len(self._chosen)
        self._neurons = {layer.name: layer for layer in network.layers if isinstance(layer, Neurons)}
        self._tallies = {
            name: Tally(layer, shown.timesteps, self._activate(layer), self._parts(name))
            for name, layer in self._neurons.items()
        }
        self._missed = self._size = 0.0  # of a last layer that only integrates: squared norms

    def __call__(self, part: np.ndarray, state: Clocked, scores: Tensor) -> None:
        chosen = np.intersect1d(part, self._chosen)
        for start in range(0, len(chosen), AT_ONCE):
            self._look(chosen[start : start + AT_ONCE], int(part[0]), state, scores)

    def _look(self, rows: np.ndarray, first: int, state: Clocked, scores: Tensor) -> None:
        activations = self._activations(rows)
        picked = torch.from_numpy(rows - first)
        for name, tally in self._tallies.items():
            if name in activations:
                layer, spikes = self._neurons[name], state.spikes[name][picked]
                moved = (state.v[name][picked] - _per_channel(layer.v_init)) / _per_channel(layer.threshold)
                wanted = activations[name].reshape(spikes.shape) / self._lambda(name)
                tally.add(wanted, spikes, moved)
        if not isinstance(self._network.layers[-1], Neurons):
            wanted = activations[self._cnn.output].flatten(1).double()
            window_us, step_us = self._network.readout.window_us, self._network.timestep_us
            steps = min(self._shown.timesteps, window_us // step_us) if window_us and step_us else self._shown.timesteps
            self._missed += float((scores[picked].double() / steps - wanted).square().sum())
            self._size += float(wanted.square().sum())

    def results(self, macs: Mapping[str, int], synops: Mapping[str, float]) -> tuple[LayerFidelity, ...]:
        """Every population that has a counterpart in the CNN, in order, and a last layer that only integrates."""
        found = []
        for layer in self._network.layers:
            where = wiring(self._network, layer.name)
            work = sum(macs[name] for name in where.weights)
            spent = sum(synops.get(name, 0.0) for name in where.weights) if synops else None
            if layer.name in self._tallies and self._tallies[layer.name].seen:
                found.append(self._tallies[layer.name].result(where, work, spent))
            elif layer is self._network.layers[-1] and self._size:
                error = (self._missed / self._size) ** 0.5
                outputs = int(np.prod(self._network.shapes()[layer.name]))
                found.append(
                    LayerFidelity(
                        layer.name, where.weights, where.sources, where.behind_max_pool, outputs, work, spent, error
                    )
                )
        return tuple(found)

    def _activate(self, neurons: Neurons) -> Callable[[Tensor], Tensor] | None:
        """The CNN's activation in units of λ, where nothing but spikes takes potential away from the neurons."""
        plain = isinstance(neurons, IF) and neurons.reset == "subtract" and neurons.v_min is None
        node = next((node for node in self._cnn.nodes if node.name == neurons.name), None)
        if not plain or node is None or self._network.state_window_us is not None:
            return None
        return lambda arrived: node(arrived * self._lambda(node.name)) / self._lambda(node.name)

    def _parts(self, name: str) -> float:
        """Spikes that stand for the scale of the calibration: a quarter of it each, four of them."""
        scale = self._network.provenance.get("threshold_scale", 1.0)
        return 1.0 / min(1.0, scale.get(name, 1.0) if isinstance(scale, Mapping) else scale)

    def _lambda(self, name: str) -> Tensor:
        """The activation that a rate of 1 stands for, float64 (1, channel or 1, 1, 1)."""
        return _per_channel(np.atleast_1d(self._network.provenance.get("lambdas", {}).get(name, 1.0)))

    def _activations(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Of the CNN on these samples: its populations, by name, and its output."""
        found: dict[str, Tensor] = {}
        for weight, inputs in self._shown.windows(rows):
            for node, value in self._cnn.activations(inputs):
                if isinstance(node, Activation) or node.name == self._cnn.output:
                    found[node.name] = found.get(node.name, torch.zeros(())) + weight * value
        return found


def _per_channel(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, np.float64)).view(1, -1, 1, 1)
