"""Long silences: cells that nothing touched catch up exactly, with leaks, floors and biases, when something comes.

The potentials are looked at only at the end, because looking at them brings every cell up to date.
"""

import numpy as np
import pytest

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import IF, LIF, Conv2d, Linear, Network, Neurons, Readout

from .. import naive
from .together import NUMBERS, slice_of, weights

SHAPE, CHANNELS = (2, 3, 3), 4
SILENCES = (1, 2, 60, 400)


def leaky(name, source, floor):
    one = np.ones(CHANNELS, np.float32)
    decay = np.array([0.999, 0.97, 0.8, 0.5], np.float32)
    return LIF(name, (source,), one, one / 2, v_min=None if floor is None else floor * one, decay=decay)


def floored(name, source, floor):
    one = np.ones(CHANNELS, np.float32)
    return IF(name, (source,), one, one / 2, v_min=floor * one)


def network(neurons, bias, floor):
    """A convolution of single pixels, so that most cells stay untouched, then a layer that is one cell."""
    random = np.random.default_rng(8)
    layers = (
        Conv2d("conv", ("input",), weights(random, CHANNELS, 2, 1, 1) + 0.5, np.array(bias, np.float32)),
        neurons("first", "conv", floor),
        Linear("mix", ("first",), weights(random, CHANNELS, CHANNELS * 9, scale=2), np.array(bias, np.float32)),
        neurons("second", "mix", floor),
        Linear("out", ("second",), weights(random, 3, CHANNELS)),
    )
    return Network(layers, SHAPE, ("a", "b", "c"), Readout("membrane"), 1000)


def frames(seed):
    """Events here and there, silence, events, a longer silence, and so on."""
    random = np.random.default_rng(seed)
    for silence in SILENCES:
        for _ in range(6):
            yield (random.random(SHAPE) < 0.25).astype(int)
        for _ in range(silence):
            yield np.zeros(SHAPE, int)
    yield np.ones(SHAPE, int)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize(
    ("neurons", "bias", "floor"),
    [
        (leaky, (-0.01, 0.0, -0.2, 0.0), None),  # potentials sink towards where leak and bias meet
        (leaky, (-0.01, 0.0, -0.2, -0.5), -0.75),  # ... or to the floor
        (leaky, (0.02, 0.3, 0.0, -0.2), -0.25),  # the second would rise beyond the threshold, the first to 20 of them
        (floored, (-0.003, 0.0, -0.2, -0.01), -0.5),
        (floored, (0.004, -0.1, 0.0, 0.05), 0.0),
    ],
    ids=["leak", "leak and floor", "leak, floor and driving biases", "floor", "floor and driving biases"],
)
def test_cells_that_were_silent_for_long_are_what_they_would_be_if_looked_at_in_every_step(
    numbers, neurons, bias, floor
):
    engine = Engine(network(neurons, bias, floor), numbers=numbers)
    twin = naive.Clocked(engine.network, engine.units, limit=engine._plan.format.limit)
    names = [layer.name for layer in engine.network.layers if isinstance(layer, Neurons)]
    fired = dict.fromkeys(names, 0)
    for step, frame in enumerate(frames(3)):
        decision, out = engine.step(slice_of(frame, step * 1000, (step + 1) * 1000)), twin.step(frame)
        for name in names:
            assert np.array_equal(engine.spike_counts(name), out[name]), (step, name)
            fired[name] += int(out[name].sum())
    assert np.array_equal(decision.scores, twin.scores())
    for name in names:
        assert fired[name] > 0
        whole = np.rint(engine.state()[name] / engine.units[name][:, None, None])
        assert np.array_equal(whole, twin.v[name]), name
    assert engine.clamped == twin.clamped == 0
