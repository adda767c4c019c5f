"""The engine equals its slow twin exactly: spikes, potentials, scores, SynOps; and what its door refuses."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline import BinnedSlice, CurrentSlice, NetworkError
from dvs_run.pipeline.engine import Engine, advance
from dvs_run.pipeline.network import Flatten, Linear, MaxPool2d, Network, Readout, SumPool2d, Upsample

from .. import naive
from .graphs import networks
from .together import (
    NUMBERS,
    Together,
    network_of_everything,
    neurons,
    random_frame,
    slice_of,
    slices_of,
    small_network,
    weights,
)


@pytest.mark.parametrize("numbers", NUMBERS)
@settings(max_examples=30, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1), current=st.booleans())
def test_any_network_equals_its_twin_in_every_step(numbers, network, seed, current):
    random = np.random.default_rng(seed)
    both = Together(network, numbers)
    pools_input = any(isinstance(layer, MaxPool2d) and layer.inputs == ("input",) for layer in network.layers)
    if current and not pools_input:
        values = random.random(network.input_shape).astype(np.float32)
        for _ in range(6):
            both.step(values, current=True)
        return
    for step in range(7):
        density = 0.0 if step in (3, 4) else random.choice([0.02, 0.3, 0.9])
        both.step(random_frame(random, network.input_shape, density, most=min(3, both.engine._plan.max_count)))
    both.same_counters()


@settings(max_examples=20, deadline=None)
@given(network=networks(kinds=("softmax_rate", "softmax_poisson")), seed=st.integers(0, 2**32 - 1))
def test_a_spiking_softmax_draws_what_its_twin_draws(network, seed):
    random = np.random.default_rng(seed)
    both = Together(network)
    for _ in range(6):
        both.step(random_frame(random, network.input_shape, 0.3))


@pytest.mark.parametrize("numbers", NUMBERS)
def test_biases_alone_make_neurons_fire_exactly_when_the_twin_says(numbers):
    both = Together(small_network(np.array([0.003, -0.2, 0.35, 0.0], np.float32)), numbers)
    for step in range(400):
        frame = np.zeros((2, 8, 8), int)
        frame[0, 3, 3] = step % 97 == 50
        both.step(frame)
    both.same_counters()


def test_hidden_layers_start_afresh_with_every_state_window_and_the_evidence_stays():
    """Neurons with and without a leak, and the scores of max pools."""
    both = Together(network_of_everything(state_window_us=5000))
    random = np.random.default_rng(3)
    for step in range(18):
        if step % 5 == 0:
            both.twin.start_hidden()
        both.step(random_frame(random, (2, 8, 8), 0.3))


def test_biases_and_leaks_scale_with_the_timestep_of_the_run():
    both = Together(network_of_everything(), timestep_us=500)
    random = np.random.default_rng(6)
    for _ in range(12):
        both.step(random_frame(random, (2, 8, 8), 0.1))


@pytest.mark.parametrize("kind", ["membrane", "softmax_rate", "softmax_poisson"])
@pytest.mark.parametrize("window_us", [1000, 2500, 4000])
def test_a_readout_with_a_window_forgets_as_its_twin_does(kind, window_us):
    """What a spiking softmax drew too."""
    both = Together(small_network(readout=Readout(kind, window_us, rate=1.5)))
    random = np.random.default_rng(window_us)
    for step in range(25):
        decision = both.step(random_frame(random, (2, 8, 8), 0.3 if step < 15 else 0.0))
        if kind == "softmax_poisson":
            assert decision.scores.sum() <= -(-window_us // 1000)


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


def test_a_second_run_after_a_reset_gives_the_same_bits():
    engine = Engine(network_of_everything())
    first = [engine.step(piece) for piece in slices_of(1, 30)]
    engine.reset()
    second = [engine.step(piece) for piece in slices_of(1, 30)]
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.scores, b.scores)
        assert (a.index, a.synops) == (b.index, b.synops)


def test_warming_up_leaves_no_trace():
    cold, warm = Engine(network_of_everything()), Engine(network_of_everything())
    warm.warm_up()
    for piece in slices_of(2, 10):
        assert np.array_equal(cold.step(piece).scores, warm.step(piece).scores)
    assert cold.synops_per_layer == warm.synops_per_layer


def test_slices_so_long_that_biases_outgrow_all_weights_are_refused():
    with pytest.raises(NetworkError, match=r"in slices 1e\+06 times as long as trained for; use shorter slices"):
        Engine(small_network(np.full(4, 0.05, np.float32)), timestep_us=1_000_000_000)


def test_nothing_seen_is_no_decision():
    engine = Engine(small_network())
    decision = engine.step(slice_of(np.zeros((2, 8, 8)), 0, 1000))
    assert (decision.index, decision.label, decision.synops) == (-1, "", 0)


def test_macs_of_a_layer_count_its_borders_exactly():
    engine = Engine(small_network())
    ones = naive.convolve(np.ones((2, 8, 8), int), np.ones((4, 2, 3, 3), int), (1, 1), (1, 1), (1, 1), 1)
    assert engine.macs_per_layer == {"conv": ones.sum(), "fc": 3 * 64}


@pytest.mark.parametrize(("numbers", "most"), [("int8", 127), ("int16", 32_767), ("float32", 4_096)])
def test_rounding_of_the_weights_is_small_and_told(numbers, most):
    engine = Engine(small_network(), numbers=numbers)
    assert set(engine.rounding) == {"conv", "fc"}
    assert 0 < max(engine.rounding.values()) <= 0.5 / most * 1.001


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


def test_a_current_into_a_max_pool_is_refused():
    with pytest.raises(NetworkError, match="max-pools its input, which is defined for spikes only"):
        Engine(network_of_everything()).step(CurrentSlice(0, 1000, np.zeros((2, 8, 8), np.float32)))


@pytest.mark.parametrize("numbers", NUMBERS)
def test_counts_that_could_overflow_behind_a_max_pool_of_the_input_are_refused(numbers):
    pooled = (
        MaxPool2d("gate", ("input",), (1, 1), (1, 1)),
        Linear("fc", ("gate",), np.ones((2, 4), np.float32)),
    )
    engine = Engine(Network(pooled, (4, 1, 1), ("a", "b"), Readout("membrane"), 1000), numbers=numbers)
    most = engine._plan.max_count
    weight = round(float(1 / engine.units["fc"][0]))
    assert 4 * most * weight <= engine._plan.format.input_limit
    frame = np.full((4, 1, 1), most)
    assert np.array_equal(
        engine.step(slice_of(frame, 0, 1000)).scores, [4.0 * most * weight * engine.units["fc"][0]] * 2
    )
    with pytest.raises(NetworkError, match=f"1 <= count <= {most}"):
        engine.step(slice_of(frame + 1, 1000, 2000))


def test_layers_that_the_engine_cannot_run_are_refused_by_name():
    random = np.random.default_rng(0)
    twice = (
        Linear("a", ("input",), weights(random, 4, 8)),
        Linear("b", ("a",), weights(random, 2, 4)),
    )
    with pytest.raises(NetworkError, match="'b' follows 'a' without neurons between them"):
        Engine(Network(twice, (2, 2, 2), ("x", "y"), Readout("membrane")))


@pytest.mark.parametrize(
    "between",
    [Flatten("odd", ("if",)), Upsample("odd", ("if",), (1, 2)), SumPool2d("odd", ("if",), (2, 1), (2, 1))],
    ids=["flattened", "stretched", "summed"],
)
def test_a_max_pool_that_is_not_right_behind_spikes_is_refused(between):
    layers = (
        neurons("if", "input", 2),
        between,
        MaxPool2d("gate", ("odd",), (1, 1), (1, 1)),
        Flatten("flat", ("gate",)),
    )
    size = Network.shapes_of((2, 4, 4), layers)["flat"][0]
    network = Network(
        (*layers, Linear("fc", ("flat",), np.ones((2, size), np.float32))), (2, 4, 4), ("a", "b"), Readout("membrane")
    )
    with pytest.raises(NetworkError, match="max pool 'gate' is not right behind neurons or the input"):
        Engine(network)


def test_unknown_numbers_are_refused():
    with pytest.raises(NetworkError, match="numbers is 'float64', want one of int8, int16, float32"):
        Engine(small_network(), numbers="float64")


@pytest.mark.skipif(not advance.PACKED, reason="nothing is compiled, or bounds are checked")
def test_received_arrays_do_not_make_the_kernels_compile_again():
    engine = Engine(small_network())
    engine.warm_up()
    known = len(advance.advance_packed.signatures)
    piece = next(slices_of(1, 1))
    received = BinnedSlice(
        0, 1000, np.frombuffer(piece.cells.tobytes(), np.int32), np.frombuffer(piece.counts.tobytes(), np.int32)
    )
    engine.step(received)
    assert known == len(advance.advance_packed.signatures)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled with NUMBA_DISABLE_JIT")
def test_the_lock_of_the_interpreter_is_released_during_a_step():
    assert advance.advance_packed.targetoptions["nogil"]
    assert advance.advance.targetoptions["nogil"]


def test_neurons_that_are_fed_without_weights_take_spikes_as_they_are():
    layers = (neurons("if", "input", 2), Linear("fc", ("if",), np.ones((2, 8), np.float32)))
    both = Together(Network(layers, (2, 2, 2), ("a", "b"), Readout("membrane"), 1000))
    random = np.random.default_rng(2)
    for _ in range(5):
        both.step(random_frame(random, (2, 2, 2), 0.5))
    both.same_counters()


@pytest.mark.parametrize("numbers", NUMBERS)
def test_a_readout_of_tiny_weights_beside_a_large_bias_keeps_both(numbers):
    """As behind a global mean of fine spikes. What the bias needs is taken from the bits of the weights."""
    weight, bias = np.array([[1e-5, -3e-6], [7e-6, 1e-5]], np.float32), np.array([-0.25, 0.25], np.float32)
    layers = (
        Linear("a", ("input",), np.eye(2, dtype=np.float32)),
        neurons("spikes", "a", 2),
        Linear("out", ("spikes",), weight, bias),
    )
    both = Together(Network(layers, (2, 1, 1), ("a", "b"), Readout("membrane"), 1000), numbers)
    for step in range(300):
        scores = both.step(np.array([1, step % 2]).reshape(2, 1, 1)).scores
    wanted = weight.astype(float) @ np.array([300, 150])
    assert np.allclose(scores, wanted + 300 * bias.astype(float), rtol=0, atol=0.01 * np.abs(wanted).max())
