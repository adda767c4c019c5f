"""The asynchronous engine equals its recursive twin exactly, event by event: spikes, potentials, scores and SynOps."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dvs_run.pipeline import EventError, NetworkError
from dvs_run.pipeline.engine import AsyncEngine
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import IF, LIF, Conv2d, Linear, MaxPool2d, Network, Neurons, Readout, SumPool2d

from .. import naive
from .graphs import networks

EVENTS = 30


def events_for(shape, n, seed, mean_step_us=150):
    """n events of an input of this shape; several may share a microsecond."""
    random = np.random.default_rng(seed)
    events = np.empty(n, EVENT_DTYPE)
    events["t"] = 5_000 + np.cumsum(random.integers(0, 2 * mean_step_us, n) * (random.random(n) < 0.8))
    events["x"], events["y"] = random.integers(0, shape[2], n), random.integers(0, shape[1], n)
    events["p"] = random.random(n) < 0.5
    return events


def event_by_event(network, **changes):
    """The same network, its neurons and pools of the kinds that have a meaning event by event."""
    layers = []
    for layer in network.layers:
        if isinstance(layer, Neurons):
            reset = "subtract" if layer.reset == "none" else layer.reset
            layer = IF(layer.name, layer.inputs, layer.threshold, layer.v_init, reset)
        elif isinstance(layer, MaxPool2d):
            layer = SumPool2d(layer.name, layer.inputs, layer.kernel, layer.stride, layer.padding)
        layers.append(layer)
    return Network(tuple(layers), network.input_shape, network.labels, network.readout, 1000, **changes)


def assert_same(engine, twin):
    assert engine.spikes_per_layer == twin.spikes
    assert {name: n for name, n in engine.synops_per_layer.items() if n} == {n: k for n, k in twin.synops.items() if k}
    for name, potential in engine.state().items():
        unit = engine.units[name][:, None, None]
        assert np.array_equal(np.rint(potential / unit), twin.potential(name)), name
    pixels = len(twin.evidence()) // len(engine.units[twin.last])
    unit = np.ones(1) if twin.last in twin.v else np.repeat(engine.units[twin.last], pixels)
    assert np.array_equal(engine.decision().scores, twin.evidence() * unit)


def run_both(network, seed, numbers="int16", n=EVENTS, mean_step_us=150):
    """The engine and its twin after the same events, compared on the way; the engine gets them one by one."""
    engine = AsyncEngine(network, numbers)
    twin = naive.DepthFirst(network, engine.units)
    events = events_for(network.input_shape, n, seed, mean_step_us)
    for i, event in enumerate(events.tolist()):
        engine.push(events[i : i + 1])
        twin.push(*event)
        if i % 5 == 0:
            assert_same(engine, twin)
    assert_same(engine, twin)
    return engine, twin, events


def assert_any_network_is_the_same(network, seed, numbers):
    assume(network.input_shape[0] <= 2)
    try:
        network = event_by_event(network)
        AsyncEngine(network, numbers)
    except NetworkError:
        assume(False)  # a pool that took the place of a max pool may stand where no engine runs it
    run_both(network, seed, numbers)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(networks(), st.integers(0, 2**32 - 1))
def test_it_equals_the_twin_after_every_event(network, seed):
    assert_any_network_is_the_same(network, seed, "int16")


@pytest.mark.parametrize("numbers", ["int8", "float32"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_it_equals_the_twin_after_every_event_in_the_other_number_formats(numbers, network, seed):
    assert_any_network_is_the_same(network, seed, numbers)


def small_network(bias=0.1, readout=None, reset="subtract", stride=(2, 2), state_window_us=None, timestep_us=1000):
    """Conv, neurons, pool, linear; with biases of about this size, of both signs, unless it is 0."""
    random = np.random.default_rng(5)
    draw = lambda *shape: (random.normal(size=shape) * 0.4).astype(np.float32)  # noqa: E731
    ones = np.ones(4, np.float32)
    layers = [
        Conv2d("conv", ("input",), draw(4, 2, 3, 3), draw(4) * bias * 2 if bias else None, (1, 1), (1, 1)),
        IF("if1", ("conv",), ones, ones / 2, reset),
        SumPool2d("pool", ("if1",), (2, 2), stride),
        Linear("fc", ("pool",), draw(3, 4 * (16 if stride == (2, 2) else 49)), draw(3) * bias if bias else None),
    ]
    readout = readout or Readout("membrane")
    if readout.kind == "count":
        layers.append(IF("if2", ("fc",), ones[:3], ones[:3] / 2))
    return Network(tuple(layers), (2, 8, 8), ("a", "b", "c"), readout, timestep_us, state_window_us=state_window_us)


@pytest.mark.parametrize("numbers", ["int8", "float32"])
def test_overlapping_pools_equal_the_twin_in_the_other_number_formats(numbers):
    run_both(small_network(stride=(1, 1)), 1, numbers)


@pytest.mark.parametrize("kind", ["membrane", "count"])
@pytest.mark.parametrize("window_us", [1000, 2500])
def test_windows_of_readout_and_state_forget_as_the_twin_does(kind, window_us):
    run_both(small_network(readout=Readout(kind, window_us), state_window_us=3000), 2, mean_step_us=400)


def test_biases_fire_neurons_that_no_event_reaches():
    engine, _, _ = run_both(small_network(bias=0.5), 3, n=3, mean_step_us=9_000)
    assert engine.spikes_per_layer["if1"] > 100


def test_packets_do_not_matter_and_a_class_follows_every_event():
    network = small_network()
    events = events_for(network.input_shape, 60, 4)
    one_by_one, at_once = AsyncEngine(network), AsyncEngine(network)
    single = [one_by_one.push(events[i : i + 1]) for i in range(len(events))]
    classes = np.full(len(events), -7, np.int32)
    assert at_once.push(events, classes) == single[-1]
    assert classes.tolist() == single
    assert len(set(single)) > 1
    assert np.array_equal(one_by_one.state()["if1"], at_once.state()["if1"])
    assert np.array_equal(one_by_one.decision().scores, at_once.decision().scores)


def test_a_decision_tells_what_came_since_the_one_before():
    engine = AsyncEngine(small_network())
    assert engine.decision().index == -1
    events = events_for((2, 8, 8), 20, 5)
    engine.push(events[:10])
    first = engine.decision()
    engine.push(events[10:])
    second = engine.decision()
    assert first.t_stop_us == events["t"][9] + 1 == second.t_start_us
    assert second.t_stop_us == events["t"][-1] + 1
    assert first.synops + second.synops == sum(engine.synops_per_layer.values())
    assert second.label == engine.network.labels[second.index]


def test_a_reset_makes_it_new():
    network = small_network()
    used, events = AsyncEngine(network), events_for(network.input_shape, 40, 6)
    used.push(events)
    before = used.state()["if1"], used.spikes_per_layer
    used.reset()
    assert used.spikes_per_layer == {"input": 0, "if1": 0}
    used.push(events)
    assert np.array_equal(used.state()["if1"], before[0])
    assert used.spikes_per_layer == before[1]


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ((9_000, 8, 0, True), "x=8, y=0 lies outside the 8x8 input"),
        ((9_000, 0, 65_535, True), "x=0, y=65535 lies outside the 8x8 input"),
        ((-1, 0, 0, True), "at -1 µs, before what was reached"),
    ],
)
def test_a_bad_event_is_refused_with_its_packet_and_the_engine_goes_on(event, message):
    network = small_network()
    engine, events = AsyncEngine(network), events_for(network.input_shape, 20, 7)
    engine.push(events[:10])
    before = engine.spikes_per_layer, engine.state()["if1"]
    with pytest.raises(EventError, match=message):
        engine.push(np.concatenate([events[10:12], np.array([event], EVENT_DTYPE)]))
    assert engine.spikes_per_layer == before[0]
    assert np.array_equal(engine.state()["if1"], before[1])
    engine.push(events[10:])
    twin = naive.DepthFirst(network, engine.units)
    for each in events.tolist():
        twin.push(*each)
    assert engine.spikes_per_layer == twin.spikes


def test_potentials_that_leave_the_number_format_are_clamped_and_counted():
    weight = np.full((1, 1, 1, 1), -1.0, np.float32)
    layers = (
        Conv2d("conv", ("input",), weight),
        IF("if1", ("conv",), np.ones(1, np.float32), np.zeros(1, np.float32)),
        Linear("fc", ("if1",), np.ones((1, 1), np.float32)),
    )
    engine = AsyncEngine(Network(layers, (1, 1, 1), ("a",), Readout("membrane")), "float32")
    engine.push(np.zeros(4_000, EVENT_DTYPE))
    assert engine.clamped > 0
    lowest = np.rint(engine.state()["if1"] / engine.units["if1"])
    assert -(1 << 22) <= lowest <= -(1 << 20)


def neurons(**options):
    return IF("odd", ("conv",), np.ones(2, np.float32), np.zeros(2, np.float32), **options)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (neurons(signed=True), "'odd' sends negative spikes"),
        (neurons(max_spikes=3), "'odd' sends up to 3 spikes"),
        (neurons(reset="none"), "'odd' is never reset"),
        (neurons(v_min=np.full(2, -1, np.float32)), "'odd' has a floor"),
        (
            LIF("odd", ("conv",), np.ones(2, np.float32), np.zeros(2, np.float32), decay=np.full(2, 0.5, np.float32)),
            "'odd' leaks",
        ),
    ],
)
def test_neurons_that_need_a_timestep_are_refused_by_name_with_a_way_out(layer, message):
    weight = np.ones((2, 2, 1, 1), np.float32)
    layers = (Conv2d("conv", ("input",), weight), layer, Linear("fc", ("odd",), np.ones((3, 32), np.float32)))
    network = Network(layers, (2, 4, 4), ("a", "b", "c"), Readout("membrane"), 1000)
    with pytest.raises(NetworkError, match=f"{message}.*use the clocked Engine"):
        AsyncEngine(network)


def test_what_else_it_cannot_do_is_refused_with_a_way_out():
    with pytest.raises(NetworkError, match="draws in every timestep"):
        AsyncEngine(small_network(readout=Readout("softmax_rate")))
    with pytest.raises(NetworkError, match="pass timestep_us"):
        AsyncEngine(small_network(timestep_us=None))
    with pytest.raises(NetworkError, match="not a multiple of the timestep"):
        AsyncEngine(small_network(state_window_us=2500))
    with pytest.raises(EventError, match="want EVENT_DTYPE"):
        AsyncEngine(small_network()).push(np.zeros(3))
