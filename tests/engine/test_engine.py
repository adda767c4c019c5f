"""The engine equals its clocked twin exactly: spikes, potentials, scores and synaptic operations."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline import BinnedSlice, CurrentSlice, NetworkError
from dvs_run.pipeline.engine import Engine, ends, kernels
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout, SumPool2d

from .. import naive


def neurons(name, source, channels, reset="subtract", threshold=1.0):
    return IF(
        name, (source,), np.full(channels, threshold, np.float32), np.full(channels, threshold / 2, np.float32), reset
    )


def weights(random, *shape, scale=0.4):
    return (random.normal(size=shape) * scale).astype(np.float32)


@st.composite
def networks(draw):
    """Two stages and a readout, of random shapes, strides, paddings, dilations, groups, pools, biases and resets."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, hidden = 2 * groups, 4
    pair = lambda low, high: tuple(draw(st.tuples(st.integers(low, high), st.integers(low, high))))  # noqa: E731
    layers, source = [], "input"
    if draw(st.booleans()):
        kernel = pair(1, 2)
        layers.append(SumPool2d("pool0", ("input",), kernel, draw(st.sampled_from([kernel, (1, 1), (2, 1)]))))
        source = "pool0"
    bias = weights(random, hidden, scale=0.05) if draw(st.booleans()) else None
    layers.append(
        Conv2d(
            "conv", (source,), weights(random, hidden, channels // groups, *pair(1, 3)), bias, pair(1, 2), pair(0, 2),
            pair(1, 2), groups,
        )
    )  # fmt: skip
    source = "conv"
    if draw(st.booleans()):
        layers.append(SumPool2d("behind", ("conv",), (2, 1), (2, 1)))
        source = "behind"
    layers.append(neurons("if1", source, hidden, draw(st.sampled_from(["subtract", "zero"]))))
    layers.append(SumPool2d("pool1", ("if1",), (1, 1), (1, 1)))
    shape = (channels, draw(st.integers(11, 12)), draw(st.integers(11, 12)))
    flat = int(np.prod(Network.shapes_of(shape, layers)["pool1"]))
    bias = weights(random, 3, scale=0.1) if draw(st.booleans()) else None
    layers.append(Linear("fc", ("pool1",), weights(random, 3, flat), bias))
    kind = draw(st.sampled_from(["membrane", "count"]))
    if kind == "count":
        layers.append(neurons("if2", "fc", 3))
    return Network(tuple(layers), shape, ("a", "b", "c"), Readout(kind), 1000)


def random_input(random, shape, density, most=2):
    frame = (random.random(shape) < density) * random.integers(1, most + 1, shape)
    cells = np.flatnonzero(frame).astype(np.int32)
    return frame, cells, frame.reshape(-1)[cells].astype(np.int32)


def assert_equal_after_step(engine, twin, decision, out):
    for layer in engine.network.layers:
        if isinstance(layer, IF):
            name = twin.weights_before(layer.name).name
            assert np.array_equal(engine.spikes(name), np.flatnonzero(out[layer.name]))
            assert np.array_equal(np.rint(engine.state()[name] / twin.units[name]).astype(int), twin.v[layer.inputs[0]])
    unit = 1.0 if engine.network.readout.kind == "count" else twin.units["fc"]
    assert np.array_equal(decision.scores, sum(twin.evidence).reshape(-1) * unit)


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 2**32 - 1), st.booleans())
def test_the_engine_equals_the_clocked_twin_in_every_step(network, seed, current):
    random = np.random.default_rng(seed)
    engine = Engine(network)
    twin = naive.Clocked(network, engine.units)
    values = random.random(network.input_shape).astype(np.float32)
    for step in range(8):
        span = (step * 1000, step * 1000 + 1000)
        if current:
            decision, out = engine.step(CurrentSlice(*span, values)), twin.step(values, current=True)
        else:
            density = 0.0 if step in (3, 4, 5) else random.choice([0.02, 0.3])
            frame, cells, counts = random_input(random, network.input_shape, density)
            decision, out = engine.step(BinnedSlice(*span, cells, counts)), twin.step(frame)
        assert_equal_after_step(engine, twin, decision, out)
    if not current and not any(layer.name == "behind" for layer in network.layers):
        assert engine.synops_per_layer == twin.synops


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


def slices_of(seed, n, density=0.2, shape=(2, 8, 8), length=1000):
    random = np.random.default_rng(seed)
    for step in range(n):
        _, cells, counts = random_input(random, shape, density)
        yield BinnedSlice(step * length, (step + 1) * length, cells, counts)


def test_biases_alone_make_neurons_fire_exactly_when_the_twin_says():
    bias = np.array([0.003, -0.2, 0.35, 0.0], np.float32)
    network = small_network(bias)
    engine = Engine(network)
    twin = naive.Clocked(network, engine.units)
    for step in range(400):
        busy = step % 97 == 50
        frame = np.zeros((2, 8, 8), int)
        frame[0, 3, 3] = busy
        cells = np.flatnonzero(frame).astype(np.int32)
        decision = engine.step(BinnedSlice(step * 1000, step * 1000 + 1000, cells, np.ones_like(cells)))
        assert_equal_after_step(engine, twin, decision, twin.step(frame))


def test_a_second_run_after_a_reset_gives_the_same_bits():
    engine = Engine(small_network(np.full(4, 0.01, np.float32)))
    first = [engine.step(piece) for piece in slices_of(1, 30)]
    engine.reset()
    second = [engine.step(piece) for piece in slices_of(1, 30)]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.scores, b.scores)
        assert (a.index, a.synops) == (b.index, b.synops)


def test_warming_up_leaves_no_trace():
    cold, warm = Engine(small_network()), Engine(small_network())
    warm.warm_up()
    for piece in slices_of(2, 10):
        assert np.array_equal(cold.step(piece).scores, warm.step(piece).scores)
    assert cold.synops_per_layer == warm.synops_per_layer


def test_hidden_layers_start_afresh_with_every_state_window_and_the_evidence_stays():
    network = small_network(np.full(4, 0.02, np.float32), state_window_us=5000)
    engine = Engine(network)
    twin = naive.Clocked(network, engine.units)
    for step, piece in enumerate(slices_of(3, 23)):
        if step % 5 == 0:
            twin.start_hidden()
        frame = np.zeros((2, 8, 8), int)
        frame.reshape(-1)[piece.cells] = piece.counts
        assert_equal_after_step(engine, twin, engine.step(piece), twin.step(frame))


def test_a_windowed_readout_counts_only_the_evidence_of_its_window():
    engine = Engine(small_network(readout=Readout("membrane", window_us=4000)))
    twin = naive.Clocked(engine.network, engine.units)
    for piece in slices_of(4, 20):
        frame = np.zeros((2, 8, 8), int)
        frame.reshape(-1)[piece.cells] = piece.counts
        decision = engine.step(piece)
        twin.step(frame)
        assert np.array_equal(decision.scores, sum(twin.evidence[-4:]).reshape(-1) * engine.units["fc"])


def test_evidence_goes_by_time_when_slices_were_dropped():
    engine = Engine(small_network(readout=Readout("membrane", window_us=4000)))
    pieces = list(slices_of(4, 20))
    for piece in pieces[:10]:
        engine.step(piece)
    late = engine.step(pieces[19])
    alone = Engine(small_network(readout=Readout("membrane", window_us=1000)))
    for piece in pieces[:10]:
        alone.step(piece)
    assert np.array_equal(late.scores, alone.step(pieces[19]).scores)


def test_biases_scale_with_the_timestep_of_the_run():
    network = small_network(np.full(4, 0.1, np.float32))
    engine = Engine(network, timestep_us=500)
    twin = naive.Clocked(network, engine.units, bias_scale=0.5)
    for piece in slices_of(6, 40, 0.05, length=500):
        frame = np.zeros((2, 8, 8), int)
        frame.reshape(-1)[piece.cells] = piece.counts
        assert_equal_after_step(engine, twin, engine.step(piece), twin.step(frame))


def test_slices_so_long_that_biases_outgrow_all_weights_are_refused():
    with pytest.raises(NetworkError, match=r"in slices 1e\+06 times as long as trained for; use shorter slices"):
        Engine(small_network(np.full(4, 0.05, np.float32)), timestep_us=1_000_000_000)


def test_nothing_seen_is_no_decision():
    engine = Engine(small_network())
    decision = engine.step(BinnedSlice(0, 1000, np.zeros(0, np.int32), np.zeros(0, np.int32)))
    assert (decision.index, decision.label, decision.synops) == (-1, "", 0)


def test_macs_of_a_layer_count_its_borders_exactly():
    engine = Engine(small_network())
    conv = sum(
        naive.convolve(np.ones((2, 8, 8), int), np.ones((4, 2, 3, 3), int), (1, 1), (1, 1), (1, 1), 1)[o].sum()
        for o in range(4)
    )
    assert engine.macs_per_layer == {"conv": conv, "fc": 3 * 64}


def test_rounding_of_the_weights_is_small_and_told():
    engine = Engine(small_network())
    assert set(engine.rounding) == {"conv", "fc"}
    assert 0 < max(engine.rounding.values()) <= 0.5 / 32_767 * 1.001


@pytest.mark.parametrize(
    ("cells", "counts", "message"),
    [
        ([128], [1], "index 128 and count 1; want 0 <= index < 128"),
        ([-1], [1], "index -1"),
        ([3], [0], "count 0"),
        ([3], [2_000_000_000], "count 2000000000"),
        ([1, 2], [1], "lists 2 cells and 1 counts"),
    ],
)
def test_an_unfit_slice_is_refused_and_the_engine_lives_on(cells, counts, message):
    engine = Engine(small_network())
    with pytest.raises(NetworkError, match=message):
        engine.step(BinnedSlice(0, 1000, np.array(cells, np.int32), np.array(counts, np.int32)))
    assert engine.step(next(slices_of(1, 1))).synops > 0


def test_time_that_runs_backwards_or_slices_of_another_length_are_refused():
    engine = Engine(small_network())
    pieces = list(slices_of(1, 2))
    engine.step(pieces[1])
    with pytest.raises(NetworkError, match="begins at 0 µs, but 2000 µs were reached"):
        engine.step(pieces[0])
    with pytest.raises(NetworkError, match="a slice of 500 µs came to an engine of 1000 µs"):
        engine.step(BinnedSlice(2000, 2500, pieces[0].cells, pieces[0].counts))


def test_a_current_of_the_wrong_shape_or_not_finite_is_refused():
    engine = Engine(small_network())
    for values in (np.zeros((1, 8, 8), np.float32), np.full((2, 8, 8), np.nan, np.float32)):
        with pytest.raises(NetworkError, match="a current of shape"):
            engine.step(CurrentSlice(0, 1000, values))


def test_layers_that_the_engine_cannot_run_are_refused_by_name():
    random = np.random.default_rng(0)
    twice = (
        Linear("a", ("input",), weights(random, 4, 8)),
        Linear("b", ("a",), weights(random, 2, 4)),
    )
    with pytest.raises(NetworkError, match="'b' follows 'a' without an IF"):
        Engine(Network(twice, (2, 2, 2), ("x", "y"), Readout("membrane")))


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled with NUMBA_DISABLE_JIT")
def test_received_arrays_do_not_make_the_kernels_compile_again():
    engine = Engine(small_network())
    engine.warm_up()
    compiled = (kernels.run_step, ends.load_input, ends.read_out)
    known = [len(kernel.signatures) for kernel in compiled]
    piece = next(slices_of(1, 1))
    received = BinnedSlice(
        0, 1000, np.frombuffer(piece.cells.tobytes(), np.int32), np.frombuffer(piece.counts.tobytes(), np.int32)
    )
    engine.step(received)
    assert known == [len(kernel.signatures) for kernel in compiled]
