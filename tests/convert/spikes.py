"""Spikes to show to networks, and networks whose sums no floating point rounds."""

import dataclasses

import numpy as np

from dvs_run.pipeline.network import IF, Conv2d, Linear
from dvs_run.pipeline.stream import BinnedSlice

from . import nets


def spike_trains(steps, n=2, shape=nets.SHAPE, seed=3):
    """(step, n, channel, height, width) of spikes."""
    return (np.random.default_rng(seed).random((steps, n, *shape)) < 0.3).astype(np.float32)


def whole_numbers(network, engine):
    """The network with the engine's own integers as weights, so that floating point is exact."""

    def rounded(array, unit):
        if array is None:
            return None
        return np.rint(array.astype(float) / unit.reshape(-1, *[1] * (array.ndim - 1))).astype(np.float32)

    layers, unit = [], engine.units[network.layers[-1].name]
    for layer in reversed(network.layers):  # weights are in the units of the neurons behind them
        if isinstance(layer, Conv2d | Linear):
            layer = dataclasses.replace(layer, weight=rounded(layer.weight, unit), bias=rounded(layer.bias, unit))
        elif isinstance(layer, IF):
            unit = engine.units[layer.name]
            threshold, v_init = rounded(layer.threshold, unit), rounded(layer.v_init, unit)
            layer = dataclasses.replace(layer, threshold=threshold, v_init=v_init)
        layers.append(layer)
    return dataclasses.replace(network, layers=tuple(reversed(layers)))


def cells(frame, step):
    flat = np.flatnonzero(frame).astype(np.int32)
    return BinnedSlice(step, step + 1, flat, np.ones(len(flat), np.int32))
