"""The networks and inputs of the engine benchmark: whole-number weights, thresholds set so that layers fire as wanted.

    network, slices = make("gesture128", rate=200_000, density=0.01, seed=0)

Weights, biases and thresholds are whole numbers, so that every sum is exact in int8, in float32 and in a dense
baseline, and all must agree on every spike. Density is the share of neurons of a layer that fire in a step, averaged
over the steps that are timed; density 1.0 means that every neuron and every input cell fires in every step.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dvs_run.pipeline.binning import bin_events
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.network import IF, Conv2d, Layer, Linear, Network, Readout, SumPool2d
from dvs_run.pipeline.slicer import TimeSlicer
from dvs_run.pipeline.stream import BinnedSlice, CurrentSlice

STEP_US = 1_000
WEIGHT_MAX = {"int8": 127, "int16": 32_767, "float32": 127}
LEVELS = 16  # of the image that drives VGG-7
BLOBS = 2  # moving things in view, as two arms are
NOISE = 0.1  # share of the events that fall anywhere
Slices = list[BinnedSlice] | list[CurrentSlice]


@dataclass
class Blobs:
    """Textured discs that drift and bounce: ON where they lead, OFF where they trail, and noise."""

    size: int  # pixels along each side
    random: np.random.Generator

    def __post_init__(self) -> None:
        self.centre = self.random.uniform(0.2, 0.8, (BLOBS, 2)) * self.size
        angle = self.random.uniform(0, 2 * np.pi, BLOBS)
        speed = self.random.uniform(0.5, 2.0, BLOBS) * self.size / 1_000  # pixels per ms: half a field to two a second
        self.velocity = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
        self.radius = self.random.uniform(0.05, 0.12, BLOBS) * self.size

    def events(self, n: int) -> np.ndarray:
        """Flat input cells (polarity, y, x) of n events of the next millisecond, in no order, repeats possible."""
        self.centre += self.velocity
        outside = (self.centre < 0) | (self.centre > self.size)
        self.velocity[outside] *= -1
        blob = self.random.integers(0, BLOBS, n)
        offset = self.random.normal(0, 1, (n, 2)) * self.radius[blob, None]
        place = np.floor(self.centre[blob] + offset).astype(np.int64)
        leading = (offset * self.velocity[blob]).sum(1) > 0
        lost = (place < 0).any(1) | (place >= self.size).any(1) | (self.random.random(n) < NOISE)
        place[lost] = self.random.integers(0, self.size, (int(lost.sum()), 2))
        leading[lost] = self.random.random(int(lost.sum())) < 0.5
        return (leading * self.size + place[:, 0]) * self.size + place[:, 1]


def make(
    name: str, rate: float, density: float, numbers: str = "int8", seed: int = 0, steps: int | None = None
) -> tuple[Network, Slices]:
    """A calibrated network and its `steps` slices of 1 ms.

    name: gesture128, gesture64, gesture32 (any size), with events at `rate` per second; vgg7-current and vgg7-poisson,
    where `rate` is not used. numbers: weights reach the largest value of that type (float32: that of int8).
    """
    random = np.random.default_rng([seed, 7])
    if match := re.fullmatch(r"gesture(\d+)", name):
        size = int(match[1])
        steps = steps or 100
        layers, shape, labels = gesture_layers(size, WEIGHT_MAX[numbers], random), (2, size, size), 11
        slices: Slices = blob_slices(size, rate, steps, seed) if density < 1 else full_slices(shape, steps)
    elif name in ("vgg7-current", "vgg7-poisson"):
        steps = steps or 32
        layers, shape, labels = vgg7_layers(WEIGHT_MAX[numbers], random), (3, 32, 32), 10
        image = smooth_image(shape, random)
        if density >= 1:
            slices = full_slices(shape, steps)
        else:
            slices = current_slices(image, steps) if name == "vgg7-current" else poisson_slices(image, steps, random)
    else:
        raise SystemExit(f"there is no workload {name!r}; known are gesture<pixels>, vgg7-current and vgg7-poisson")
    network = Network(
        calibrate(layers, frames(slices, shape), density, random),
        shape,
        tuple(str(i) for i in range(labels)),
        Readout("membrane"),
        timestep_us=STEP_US,
    )
    return network, slices


def without_biases(network: Network) -> Network:
    """The same network, in which nothing fires but for what comes in."""
    plain = (replace(layer, bias=None) if isinstance(layer, Conv2d | Linear) else layer for layer in network.layers)
    return replace(network, layers=tuple(plain))


def recorded(network_path: Path, recording_path: Path, steps: int = 240) -> tuple[Network, Slices]:
    """A trained network and the first slices of a recording, of the length that it was trained for."""
    network = Network.load(network_path)
    assert network.timestep_us is not None
    slices: list[BinnedSlice] = []
    with open_recording(recording_path) as recording:
        slicer = TimeSlicer(network.timestep_us)
        for packet in recording:
            for piece in slicer.push(packet):
                slices.append(bin_events(piece.events, recording.sensor, piece.t_start_us, piece.t_stop_us))
                if len(slices) == steps:
                    return network, slices
    return network, slices


def frames(slices: Slices, shape: tuple[int, int, int]) -> Tensor:
    """The slices as dense float32 frames (step, channel, height, width), for whoever computes densely."""
    dense = np.zeros((len(slices), int(np.prod(shape))), np.float32)
    for frame, piece in zip(dense, slices, strict=True):
        if isinstance(piece, CurrentSlice):
            frame[:] = piece.values.reshape(-1)
        else:
            frame[piece.cells] = piece.counts
    return torch.from_numpy(dense.reshape(len(slices), *shape))


# --- inputs -----------------------------------------------------------------------------------------------------------


def blob_slices(size: int, rate: float, steps: int, seed: int) -> list[BinnedSlice]:
    """Slices of moving blobs; the number of events in each is Poisson about rate * 1 ms."""
    random = np.random.default_rng([seed, 11])
    blobs = Blobs(size, random)
    counts = random.poisson(rate * STEP_US / 1e6, steps)
    return [_binned(step, blobs.events(int(n))) for step, n in enumerate(counts)]


def full_slices(shape: tuple[int, int, int], steps: int) -> list[BinnedSlice]:
    """Every cell, once a step."""
    return [_binned(step, np.arange(int(np.prod(shape)))) for step in range(steps)]


def current_slices(image: np.ndarray, steps: int) -> list[CurrentSlice]:
    return [CurrentSlice(step * STEP_US, (step + 1) * STEP_US, image) for step in range(steps)]


def poisson_slices(image: np.ndarray, steps: int, random: np.random.Generator) -> list[BinnedSlice]:
    """Each cell spikes with probability pixel / LEVELS."""
    chance = image.reshape(-1) / LEVELS
    return [_binned(step, np.flatnonzero(random.random(len(chance)) < chance)) for step in range(steps)]


def smooth_image(shape: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """A picture of soft patches whose pixels are whole numbers below LEVELS, so that its currents are exact."""
    coarse = torch.from_numpy(random.random((1, shape[0], 5, 5)))
    fine = functional.interpolate(coarse, shape[1:], mode="bicubic").clamp(0, 0.999)[0]
    return np.ascontiguousarray(np.floor(fine.numpy() * LEVELS).astype(np.float32))


def _binned(step: int, flat: np.ndarray) -> BinnedSlice:
    cells, counts = np.unique(flat, return_counts=True)
    return BinnedSlice(step * STEP_US, (step + 1) * STEP_US, cells.astype(np.int32), counts.astype(np.int32))


# --- networks ---------------------------------------------------------------------------------------------------------


def gesture_layers(size: int, largest: int, random: np.random.Generator) -> list[Layer]:
    """conv 16, 32, 64 of 3x3, each with neurons and a pool, then 128 neurons and 11 outputs."""
    layers: list[Layer] = []
    channels = 2
    for index, out in enumerate((16, 32, 64), 1):
        _conv(layers, index, channels, out, largest, random)
        _pool(layers, index)
        channels = out
    return _head(layers, channels * (size // 8) ** 2, 128, 11, largest, random)


def vgg7_layers(largest: int, random: np.random.Generator) -> list[Layer]:
    """conv 64 64 pool, 128 128 pool, 256 256 pool, then 256 neurons and 10 outputs, on 3x32x32."""
    layers: list[Layer] = []
    channels = 3
    for index, out in enumerate((64, 64, 128, 128, 256, 256), 1):
        _conv(layers, index, channels, out, largest, random)
        if index % 2 == 0:
            _pool(layers, index // 2)
        channels = out
    return _head(layers, channels * 4 * 4, 256, 10, largest, random)


def _conv(layers: list[Layer], index: int, channels: int, out: int, largest: int, random: np.random.Generator) -> None:
    weight = _weights((out, channels, 3, 3), largest, random)
    layers.append(Conv2d(f"conv{index}", (_last(layers),), weight, padding=(1, 1)))
    layers.append(_neurons(f"if{index}", f"conv{index}", out))


def _pool(layers: list[Layer], index: int) -> None:
    """A sum: the 1/4 of an average pool is part of the next weights, as the converter does it."""
    layers.append(SumPool2d(f"pool{index}", (_last(layers),), (2, 2), (2, 2)))


def _head(
    layers: list[Layer], inputs: int, hidden: int, outputs: int, largest: int, random: np.random.Generator
) -> list[Layer]:
    layers.append(Linear("fc1", (_last(layers),), _weights((hidden, inputs), largest, random)))
    layers.append(_neurons("if_fc1", "fc1", hidden))
    layers.append(Linear("fc2", ("if_fc1",), _weights((outputs, hidden), largest, random)))
    return layers


def _neurons(name: str, behind: str, channels: int) -> IF:
    return IF(name, (behind,), np.ones(channels, np.float32), np.zeros(channels, np.float32))


def _last(layers: list[Layer]) -> str:
    return layers[-1].name if layers else "input"


def _weights(shape: tuple[int, ...], largest: int, random: np.random.Generator) -> np.ndarray:
    """Whole numbers, normal, with the largest once in every output channel: then the engine rounds nothing in int8."""
    weight = np.clip(np.rint(random.normal(0, largest / 3, shape)), -largest, largest)
    flat = weight.reshape(shape[0], -1)
    flat[np.arange(shape[0]), random.integers(0, flat.shape[1], shape[0])] = largest
    return weight.astype(np.float32)


# --- calibration ------------------------------------------------------------------------------------------------------


def calibrate(layers: list[Layer], inputs: Tensor, density: float, random: np.random.Generator) -> tuple[Layer, ...]:
    """The same layers with whole biases, thresholds and initial potentials, so that each fires at `density`.

    Layer by layer, on the spikes that the calibrated layers before it make of `inputs` (step, channel, height, width).
    """
    done: dict[str, Layer] = {layer.name: layer for layer in layers}
    x = inputs
    with torch.inference_mode():
        for layer in layers:
            if isinstance(layer, SumPool2d):
                x = functional.avg_pool2d(x, layer.kernel, layer.stride, divisor_override=1)
            elif isinstance(layer, Conv2d):
                x = functional.conv2d(x, torch.from_numpy(layer.weight), None, 1, layer.padding)
            elif isinstance(layer, Linear):
                x = functional.linear(x.flatten(1), torch.from_numpy(layer.weight))[:, :, None, None]
            elif isinstance(layer, IF):
                neurons, bias, x = _set_neurons(layer, x, density, random)
                weights = done[layer.inputs[0]]
                assert isinstance(weights, Conv2d | Linear)
                done[layer.name] = neurons
                done[weights.name] = type(weights)(**{**vars(weights), "bias": bias})
    return tuple(done.values())


def _set_neurons(
    layer: IF, current: Tensor, density: float, random: np.random.Generator
) -> tuple[IF, np.ndarray, Tensor]:
    """Neurons that fire at `density` on `current` (step, channel, height, width); their biases; their spikes."""
    channels = current.shape[1]
    slope = random.uniform(-density / 2, density / 2, channels)  # bias as a share of the threshold
    phase = random.uniform(0, 0.9, channels)  # likewise of the initial potential
    up = random.random(channels)  # rounds biases up or down, so that small ones are not all 0
    if density >= 1:
        threshold = float(current.abs().max())
        bias = np.array([threshold - float(current[:, c].min()) for c in range(channels)])
        start = np.full(channels, threshold - 1)
    else:
        low, high = 0.0, float(current.clamp(min=0).sum(0).max()) + 2.0
        for _ in range(24):  # the density falls with the threshold
            middle = max(round((low + high) / 2), 1)
            if fire(current, middle, np.floor(slope * middle + up), np.floor(phase * middle)).mean() > density:
                low = middle
            else:
                high = middle
        threshold = max(round(high), 1)
        bias, start = np.floor(slope * threshold + up), np.floor(phase * threshold)
    full = np.full(channels, threshold, np.float32)
    neurons = IF(layer.name, layer.inputs, full, start.astype(np.float32))
    return neurons, bias.astype(np.float32), fire(current, threshold, bias, start)


def fire(current: Tensor, threshold: float, bias: np.ndarray, start: np.ndarray) -> Tensor:
    """Spikes (step, channel, height, width) of IF neurons, reset by subtraction."""
    columns = torch.from_numpy(np.stack([bias, start]).astype(np.float32))[:, :, None, None]
    v = columns[1].expand(current.shape[1:]).clone()
    spikes = torch.empty_like(current)
    for step, arriving in enumerate(current):
        v.add_(arriving).add_(columns[0])
        torch.ge(v, threshold, out=spikes[step])
        v.sub_(spikes[step], alpha=threshold)
    return spikes
