"""The clocked torch reference equals its slow twin and, on whole numbers, the event-driven engine: spike for spike."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.convert import Clocked, constant_current, convert, fan_out, macs, run
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.network import (
    IF,
    LIF,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Delay,
    Linear,
    MaxPool2d,
    Network,
    Readout,
    SumPool2d,
)
from dvs_run.pipeline.stream import CurrentSlice

from .. import naive
from ..engine.graphs import networks
from . import nets
from .spikes import cells, spike_trains, whole_numbers

NAMES = [
    "conv, average pool, linear",
    "groups",
    "strided conv, overlapping pool before the ReLU",
    "pool first",
    "batch norm",
]


def converted(name, **settings):
    return convert(nets.fitted(nets.SUPPORTED[name]), nets.SHAPE, nets.LABELS, nets.inputs(16), **settings).network


@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("name", NAMES[:3])
def test_it_equals_the_slow_twin(name, reset):
    network = converted(name, reset=reset, max_error=None)
    assert_equals_the_slow_twin(network, spike_trains(6), 1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["membrane", "count"])
def test_on_whole_numbers_it_equals_the_engine(name, kind):
    network = converted(name, readout=Readout(kind), max_error=None)
    engine = Engine(network)
    state = Clocked(whole_numbers(network, engine), 1, torch.float64)
    unit = 1.0 if kind == "count" else engine.units[network.layers[-1].name]
    for step, x in enumerate(spike_trains(20, n=1)):
        decision = engine.step(cells(x[0], step))
        assert state.step(torch.from_numpy(x))[0].numpy() * unit == pytest.approx(decision.scores, rel=1e-9, abs=1e-9)
    for layer in network.layers:
        if isinstance(layer, IF):
            assert state.spikes[layer.name].sum() > 0
    assert state.synops.item() == sum(engine.synops_per_layer.values())


@pytest.mark.parametrize("name", NAMES)
def test_with_the_weights_as_they_are_the_engine_decides_nearly_the_same(name):
    network = converted(name)
    engine = Engine(network)
    image = nets.inputs(1, seed=9)
    *_, scores = run(network, constant_current(image, 64), is_current=True)
    for step in range(64):
        decision = engine.step(CurrentSlice(step, step + 1, image[0].numpy()))
    wanted = scores[0].numpy()
    assert np.abs(decision.scores - wanted).max() < 0.02 * np.abs(wanted).max()


def test_a_delay_hands_the_first_layer_earlier_inputs():
    layers = (
        Delay("delay", ("input",), (0, 20, 30)),
        Linear("fc", ("delay",), np.array([[1, 10, 100]], np.float32)),
    )
    network = Network(layers, (1, 1, 1), ("a",), Readout("membrane"), 10)
    inputs = [torch.full((1, 1, 1, 1), float(x)) for x in (1, 0, 0, 0, 1, 1)]
    totals = [float(scores[0, 0]) for scores in run(network, inputs)]
    assert np.diff(totals, prepend=0).tolist() == [1, 0, 10, 100, 1, 1]


def test_delays_that_do_not_fit_the_timestep_are_refused():
    layers = (Delay("delay", ("input",), (0, 15)), Linear("fc", ("delay",), np.ones((1, 2), np.float32)))
    with pytest.raises(NetworkError, match="no multiples of the timestep"):
        Clocked(Network(layers, (1, 1, 1), ("a",), Readout("membrane"), 10), 1)


def test_an_input_of_another_shape_is_refused():
    with pytest.raises(NetworkError, match=r"input has shape \(1, 3, 8, 8\), want \(2, 3, 16, 16\)"):
        Clocked(converted(NAMES[0]), 2).step(torch.zeros(1, 3, 8, 8))


def test_macs_and_fan_out_are_those_of_the_engine():
    network = converted(NAMES[2])
    assert macs(network) == dict(Engine(network).macs_per_layer)
    image = nets.inputs(1)
    assert fan_out(network)["0"].sum().item() == macs(network)["0"]
    assert image.shape[1:] == fan_out(network)["0"].shape


def test_constant_current_costs_no_synops_in_the_first_layer():
    layers = (
        SumPool2d("pool", ("input",), (2, 2), (2, 2)),
        Linear("fc", ("pool",), np.ones((2, 4), np.float32)),
    )
    network = Network(layers, (1, 4, 4), ("a", "b"), Readout("membrane"))
    state = Clocked(network, 1)
    state.step(torch.ones(1, 1, 4, 4), is_current=True)
    assert state.synops.item() == 0
    state.step(torch.ones(1, 1, 4, 4))
    assert state.synops.item() == 16 * 2


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(0, 2**32 - 1))
def test_every_layer_and_wiring_equals_the_slow_twin(network, seed):
    assert_equals_the_slow_twin(network, spike_trains(6, 2, network.input_shape, seed), 1e-6)


def assert_equals_the_slow_twin(network, trains, tolerance):
    """Scores of every step within the tolerance, all spikes the same; trains (step, 2, channel, height, width)."""
    state = Clocked(network, 2, torch.float64)
    scores = np.stack([state.step(torch.from_numpy(x)).numpy() for x in trains])
    for copy in range(2):
        wanted, spikes = naive.run_float(network, trains[:, copy])
        assert scores[:, copy] == pytest.approx(wanted, abs=tolerance)
        for layer, counts in spikes.items():
            assert np.array_equal(state.spikes[layer][copy].numpy(), counts)


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 2**32 - 1))
def test_synops_count_every_spike_that_arrives_at_weights_even_through_average_pools(network, seed):
    trains = (np.random.default_rng(seed).random((5, 1, *network.input_shape)) < 0.3).astype(np.float32)
    state = Clocked(network, 1, torch.float64)
    for x in trains:
        state.step(torch.from_numpy(x))
    assert state.synops.item() == arrived_at_weights(network, trains[:, 0])


def arrived_at_weights(network, inputs):
    """Spikes times fan-out over all weight layers, spikes counted along every way that leads to the layer."""
    shapes, by_name = network.shapes(), {layer.name: layer for layer in network.layers}
    total = 0
    for spikes in naive.values_float(network, inputs):
        for layer in network.layers:
            if isinstance(layer, Conv2d | Linear):
                for source, route in naive.routes_to(by_name, layer.inputs[0]):
                    arrived = naive.along(np.abs(spikes[source]), route, shapes)
                    total += naive.weigh(layer, arrived, np.ones(layer.weight.shape)).sum()
    return total


def test_a_constant_current_equals_the_slow_twin_along_every_way():
    random = np.random.default_rng(2)
    one = np.ones(2, np.float32)
    layers = (
        AvgPool2d("pool", ("input",), (2, 2), (2, 2)),
        Conv2d("a", ("pool",), random.normal(size=(2, 2, 3, 3)).astype(np.float32), one, padding=(1, 1)),
        Add("sum", ("a", "pool")),
        LIF("lif", ("sum",), one, one * 0, decay=one * np.float32(0.9), max_spikes=3, signed=True),
        Concat("both", ("lif", "pool")),
        Linear("fc", ("both",), random.normal(size=(3, 36)).astype(np.float32)),
    )
    network = Network(layers, (2, 6, 6), ("a", "b", "c"), Readout("membrane"))
    image = torch.from_numpy(random.random((1, 2, 6, 6)))
    state = Clocked(network, 1, torch.float64)
    found = [state.step(image, is_current=True)[0].numpy() for _ in range(6)]
    wanted, spikes = naive.run_float(network, [image[0].numpy()] * 6)
    assert np.array(found) == pytest.approx(wanted, abs=1e-9)
    assert np.array_equal(state.spikes["lif"][0].numpy(), spikes["lif"])
    assert spikes["lif"].any()


def test_what_only_an_engine_runs_is_refused_by_name():
    layers = (Linear("fc", ("input",), np.ones((2, 4), np.float32)),)
    with pytest.raises(NetworkError, match="'softmax_rate' draws its spikes; only an Engine runs it"):
        Clocked(Network(layers, (1, 2, 2), ("a", "b"), Readout("softmax_rate")), 1)
    pooled = (MaxPool2d("pool", ("input",), (2, 2), (2, 2)), Linear("fc", ("pool",), np.ones((2, 1), np.float32)))
    state = Clocked(Network(pooled, (1, 2, 2), ("a", "b"), Readout("membrane")), 1)
    with pytest.raises(NetworkError, match="a max pool of the input is defined for spikes only"):
        state.step(torch.ones(1, 1, 2, 2), is_current=True)
