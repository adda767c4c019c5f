"""An engine beside its slow twin, and the networks and inputs that several test files use."""

import numpy as np

from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import (
    IF,
    LIF,
    Add,
    Concat,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    Neurons,
    Readout,
    SumPool2d,
)
from dvs_run.pipeline.stream import BinnedSlice, CurrentSlice

from .. import naive

NUMBERS = ("int8", "int16", "float32")


class Together:
    """An engine and its twin, given the same input; they are compared after every step."""

    def __init__(self, network, numbers="int16", timestep_us=None):
        self.network = network
        self.engine = Engine(network, timestep_us, numbers)
        self.length = self.engine.timestep_us
        scale = self.length / network.timestep_us
        limit = self.engine._plan.format.limit
        self.twin = naive.Clocked(network, self.engine.units, bias_scale=scale, limit=limit)
        self.steps = 0

    def step(self, frame, current=False):
        """One step of spike counts, or of constant current; the engine's decision."""
        span = (self.steps * self.length, (self.steps + 1) * self.length)
        piece = CurrentSlice(*span, frame) if current else slice_of(frame, *span)
        decision, out = self.engine.step(piece), self.twin.step(frame, current=current)
        self.steps += 1
        potentials = self.engine.state()
        for layer in self.network.layers:
            if isinstance(layer, Neurons | MaxPool2d):
                where = f"{layer.name}, step {self.steps}"
                assert np.array_equal(self.engine.spike_counts(layer.name), out[layer.name]), where
                assert np.array_equal(self.engine.spikes(layer.name), np.flatnonzero(out[layer.name])), where
            if isinstance(layer, Neurons):
                whole = np.rint(potentials[layer.name] / self.engine.units[layer.name][:, None, None])
                assert np.array_equal(whole.astype(np.int64), self.twin.v[layer.name]), where
        assert np.array_equal(decision.scores, self.twin.scores())
        return decision

    def same_counters(self):
        """SynOps and clamped potentials are counted alike."""
        counted = {name: count for name, count in self.engine.synops_per_layer.items() if count}
        assert counted == {name: count for name, count in self.twin.synops.items() if count}
        assert self.engine.clamped == self.twin.clamped


def slice_of(frame, t_start_us, t_stop_us):
    cells = np.flatnonzero(frame).astype(np.int32)
    return BinnedSlice(t_start_us, t_stop_us, cells, frame.reshape(-1)[cells].astype(np.int32))


def random_frame(random, shape, density, most=2):
    return (random.random(shape) < density) * random.integers(1, most + 1, shape)


def slices_of(seed, n, density=0.2, shape=(2, 8, 8), length=1000):
    random = np.random.default_rng(seed)
    for step in range(n):
        yield slice_of(random_frame(random, shape, density), step * length, (step + 1) * length)


def neurons(name, source, channels, reset="subtract", threshold=1.0, **options):
    whole = np.full(channels, threshold, np.float32)
    return IF(name, (source,), whole, whole / 2, reset, **options)


def weights(random, *shape, scale=0.4):
    return (random.normal(size=shape) * scale).astype(np.float32)


def small_network(bias=None, readout=None, state_window_us=None, timestep_us=1000):
    random = np.random.default_rng(5)
    layers = (
        Conv2d("conv", ("input",), weights(random, 4, 2, 3, 3), bias, (1, 1), (1, 1)),
        neurons("if1", "conv", 4),
        SumPool2d("pool", ("if1",), (2, 2), (2, 2)),
        Linear("fc", ("pool",), weights(random, 3, 4 * 16)),
    )
    return Network(
        layers, (2, 8, 8), ("a", "b", "c"), readout or Readout("membrane"), timestep_us, state_window_us=state_window_us
    )


def network_of_everything(readout="membrane", rule="fir", state_window_us=None):
    """Both kinds of stages, several sources, groups, more channels than a vector has, max pools, signed spikes."""
    random = np.random.default_rng(11)
    decay = random.uniform(0.6, 0.95, 20).astype(np.float32)
    one, half = np.ones(20, np.float32), np.full(20, 0.5, np.float32)
    layers = [
        Conv2d("conv1", ("input",), weights(random, 4, 2, 3, 3), weights(random, 4, scale=0.1), (1, 1), (1, 1)),
        neurons("if1", "conv1", 4, max_spikes=2),
        MaxPool2d("gate1", ("input",), (2, 2), (2, 2), (0, 0), rule),
        SumPool2d("pool1", ("if1",), (2, 2), (2, 2)),
        Conv2d("conv2", ("pool1",), weights(random, 20, 4, 3, 3), weights(random, 20, scale=0.05), (1, 1), (1, 1)),
        Conv2d("conv3", ("gate1",), weights(random, 20, 2, 1, 1)),
        Add("sum", ("conv2", "conv3")),
        neurons("if2", "sum", 20, "zero"),
        Conv2d("conv4", ("if2",), weights(random, 20, 10, 3, 3), None, (2, 2), (1, 1), (1, 1), 2),
        LIF("lif", ("conv4",), one, half, "subtract", 3, True, -one, decay=decay),
        MaxPool2d("gate2", ("lif",), (2, 2), (1, 1), (1, 1), "exact"),
        Flatten("flat1", ("gate2",)),
        Flatten("flat2", ("pool1",)),
        Concat("both", ("flat1", "flat2")),
        Linear("fc", ("both",), weights(random, 3, 20 * 9 + 4 * 16), weights(random, 3)),
    ]
    if readout == "count":
        layers.append(neurons("if3", "fc", 3))
    return Network(tuple(layers), (2, 8, 8), ("a", "b", "c"), Readout(readout), 1000, state_window_us=state_window_us)
