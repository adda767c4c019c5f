"""What exact means: the network in float64, every neuron in every step, in the whole-number units of an engine.

An engine's weights, biases and thresholds are whole multiples of its units, so every sum here is exact, and whatever
the engine does differently shows. It knows chains of Conv2d, Linear, pools, Delay and IF, which is what is timed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import IF, Conv2d, Delay, Linear, Network, SumPool2d
from dvs_run.pipeline.stream import CurrentSlice

from .workloads import Slices, frames

CURRENT_SCALE = 1 << 16  # constant current enters as a multiple of 1 / this, and what it makes is rounded to a whole


class MismatchError(Exception):
    """An engine's spikes or membranes are not those of the twin: nothing is timed then."""


@dataclass(frozen=True)
class Activity:
    """What a run did, from the twin's spikes."""

    density: dict[str, float]  # per population ("input" and each IF): share of cells that fire in a step
    group: dict[str, float]  # spikes of one step that share a pooled pixel of what they feed, mean over such pixels
    events_per_step: float  # input events (or spikes), repeats counted


class Twin:
    """State of one network. `step` returns the spikes of each IF, by name."""

    def __init__(self, network: Network, units: Mapping[str, float | np.ndarray], bias_scale: float = 1.0) -> None:
        self.network, self.bias_scale = network, bias_scale
        self.weights: dict[str, Tensor] = {}
        self.bias: dict[str, Tensor] = {}
        self.threshold: dict[str, Tensor] = {}
        self.v_init: dict[str, Tensor] = {}
        self.v: dict[str, Tensor] = {}
        pooled, weights = 1.0, None
        for layer in network.layers:
            if isinstance(layer, Conv2d | Linear):
                weights = layer
                unit = _unit(units, layer.name, _neurons_behind(network, layer.name), len(layer.weight))
                scaled = layer.weight.astype(float) * pooled / unit.reshape(-1, *[1] * (layer.weight.ndim - 1))
                bias = np.zeros(len(unit)) if layer.bias is None else layer.bias.astype(float) * bias_scale / unit
                self.weights[layer.name], self.bias[layer.name] = torch.from_numpy(np.rint(scaled)), _column(bias)
                pooled = 1.0
            elif isinstance(layer, IF):
                assert weights is not None
                threshold = np.maximum(np.rint(layer.threshold.astype(float) / unit), 1)
                self.threshold[layer.name] = _column(threshold)
                self.v_init[layer.name] = _column(np.minimum(np.rint(layer.v_init.astype(float) / unit), threshold - 1))
            elif type(layer).__name__ == "AvgPool2d":
                pooled /= layer.kernel[0] * layer.kernel[1]
            elif not isinstance(layer, SumPool2d | Delay) and type(layer).__name__ != "Flatten":
                raise SystemExit(f"the float64 twin does not know layer {layer.name!r} ({type(layer).__name__})")
        self.reset_hidden()
        self.total: Tensor | float = 0.0  # of a membrane readout

    def reset_hidden(self) -> None:
        """Every IF at its initial potential, as at the beginning and at the end of each state window."""
        for name, start in self.v_init.items():
            self.v[name] = start.expand(1, *self.network.shapes()[name]).clone()

    def step(self, frame: Tensor, current: bool = False) -> dict[str, Tensor]:
        """frame (channel, height, width): counts, behind a Delay if there is one; or a constant current."""
        x, spikes = frame[None].double(), {}
        if current:
            x = torch.round(x * CURRENT_SCALE)
        for layer in self.network.layers:
            if isinstance(layer, Conv2d):
                x = functional.conv2d(
                    x, self.weights[layer.name], None, layer.stride, layer.padding, layer.dilation, layer.groups
                )
            elif isinstance(layer, Linear):
                x = functional.linear(x.flatten(1), self.weights[layer.name])[:, :, None, None]
            elif isinstance(layer, IF):
                x = spikes[layer.name] = self._fire(layer, x)
            elif hasattr(layer, "kernel"):
                x = functional.avg_pool2d(x, layer.kernel, layer.stride, divisor_override=1)
            if layer.name in self.weights:
                if current:
                    x, current = torch.floor(x / CURRENT_SCALE + 0.5), False
                x = x + self.bias[layer.name]
        self.total = self.total + x
        return spikes

    def _fire(self, layer: IF, arriving: Tensor) -> Tensor:
        v, threshold = self.v[layer.name].add_(arriving), self.threshold[layer.name]
        fired = (v >= threshold).double()
        if layer.reset == "subtract":
            v.addcmul_(fired, threshold, value=-1)
        else:
            v.masked_fill_(fired > 0, 0.0)
        return fired


def check(engine: Engine, slices: Slices, limit: int | None = None) -> Activity:
    """Run engine and twin side by side over the first `limit` slices. Raises MismatchError at the first difference.

    Compared are, in every step, the spikes of every neuron and the membranes that are read out.
    """
    network = engine.network
    scale = 1.0
    if engine.timestep_us is not None and network.timestep_us is not None:
        scale = engine.timestep_us / network.timestep_us
    twin = Twin(network, engine.units, scale)
    tally = Tally(network)
    engine.reset()
    with torch.inference_mode():
        for step, (piece, frame) in enumerate(_inputs(network, slices[:limit])):
            if network.state_window_us is not None and _window(network, slices, step) != _window(
                network, slices, step - 1
            ):
                twin.reset_hidden()
            scores = engine.step(piece).scores
            spikes = twin.step(frame, isinstance(piece, CurrentSlice))
            tally.add(frame, spikes)
            for name, fired in spikes.items():
                wanted = torch.nonzero(fired.flatten()).flatten().numpy()
                found = np.asarray(_spikes_of(engine, name))
                if not np.array_equal(found, wanted):
                    raise MismatchError(
                        f"step {step}, layer {name!r}: the engine has {len(found)} spikes, the float64 twin "
                        f"{len(wanted)}; {len(np.setxor1d(found, wanted))} differ"
                    )
            window = network.readout.window_us
            if window is None or piece.t_stop_us - slices[0].t_start_us <= window:
                _compare_readout(step, scores, engine, twin)
    return tally.activity()


class Tally:
    """Adds up what fires, and how many spikes share a pooled pixel."""

    def __init__(self, network: Network) -> None:
        self.network, self.steps, self.events = network, 0, 0.0
        self.fired: dict[str, float] = {}
        self.pixels: dict[str, float] = {}
        self.size: dict[str, int] = {}
        readers = {layer.inputs[0]: layer for layer in network.layers}
        self.pools = {name: readers[name] for name in readers if hasattr(readers[name], "kernel")}

    def add(self, frame: Tensor, spikes: Mapping[str, Tensor]) -> None:
        self.steps += 1
        self.events += float(frame.sum())
        for name, fired in {"input": frame[None].clamp(max=1).double(), **spikes}.items():
            active = fired.amax(1, keepdim=True)
            if name in self.pools:
                pool = self.pools[name]
                active = functional.max_pool2d(active, pool.kernel, pool.stride)
            self.fired[name] = self.fired.get(name, 0.0) + float(fired.sum())
            self.pixels[name] = self.pixels.get(name, 0.0) + float(active.sum())
            self.size[name] = fired.numel()

    def activity(self) -> Activity:
        return Activity(
            {name: total / (self.steps * self.size[name]) for name, total in self.fired.items()},
            {name: total / max(self.pixels[name], 1.0) for name, total in self.fired.items()},
            self.events / max(self.steps, 1),
        )


def delayed_frames(network: Network, slices: Slices) -> Tensor:
    """Dense frames of every slice as the first layer behind a Delay sees them."""
    dense = frames(slices, network.input_shape)
    first = network.layers[0]
    if not isinstance(first, Delay):
        return dense
    assert network.timestep_us is not None
    parts = []
    for delay in first.delays_us:
        late = delay // network.timestep_us
        parts.append(torch.cat([torch.zeros_like(dense[:late]), dense[: len(dense) - late]]))
    return torch.cat(parts, 1)


def _inputs(network: Network, slices: Slices) -> Iterator[tuple]:
    return zip(slices, delayed_frames(network, slices), strict=True)


def _window(network: Network, slices: Slices, step: int) -> int:
    assert network.state_window_us is not None
    return (slices[max(step, 0)].t_start_us - slices[0].t_start_us) // network.state_window_us


def _neurons_behind(network: Network, weights: str) -> str:
    """The IF that reads this weight layer, or the layer itself."""
    for layer in network.layers:
        if isinstance(layer, IF) and layer.inputs == (weights,):
            return layer.name
    return weights


def _unit(units: Mapping[str, float | np.ndarray], weights: str, neurons: str, channels: int) -> np.ndarray:
    found = units[neurons] if neurons in units else units[weights]
    return np.broadcast_to(np.asarray(found, np.float64), (channels,))


def _spikes_of(engine: Engine, neurons: str) -> np.ndarray:
    """Engines name populations by their neurons; those before 0.2 by their weights."""
    try:
        return engine.spikes(neurons)
    except (KeyError, ValueError):
        by_name = {layer.name: layer for layer in engine.network.layers}
        return engine.spikes(by_name[neurons].inputs[0])


def _compare_readout(step: int, scores: np.ndarray, engine: Engine, twin: Twin) -> None:
    last = engine.network.layers[-1]
    if isinstance(last, IF) or isinstance(twin.total, float):
        return
    unit = _unit(engine.units, last.name, last.name, twin.total.shape[1])
    found = np.rint(scores.reshape(len(unit), -1) / unit[:, None])
    wanted = twin.total[0].reshape(len(unit), -1).numpy()
    if not np.array_equal(found, wanted):
        raise MismatchError(
            f"step {step}, layer {last.name!r}: the membranes differ by up to {np.abs(found - wanted).max():.0f} units"
        )


def _column(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.rint(np.asarray(values, np.float64))).view(1, -1, 1, 1)
