"""What an engine remembers: snapshots, engines beside each other, potentials at their limit, and no memory a step."""

import gc
import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numba.core.runtime import _nrt_python, rtsys

from dvs_run.pipeline import NetworkError
from dvs_run.pipeline.engine import Engine, advance, plan
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket
from dvs_run.pipeline.network import Delay, Linear, Network, Readout
from dvs_run.pipeline.stream import CurrentSlice

from .graphs import networks
from .together import NUMBERS, Together, network_of_everything, neurons, random_frame, slices_of, small_network


def bits(engine, pieces):
    """All that can be seen of an engine while it takes `pieces`."""
    seen = []
    for piece in pieces:
        decision = engine.step(piece)
        seen.append((decision.scores.tobytes(), decision.index, decision.synops))
        seen += [(name, values.tobytes()) for name, values in engine.state().items()]
    return seen


@pytest.mark.parametrize("readout", ["membrane", "count", "softmax_rate", "softmax_poisson"])
def test_what_follows_a_restored_snapshot_has_the_same_bits(readout):
    network = network_of_everything(readout, rule="exponential", state_window_us=9000)
    engine, other = Engine(network), Engine(network)
    pieces = list(slices_of(7, 30))
    bits(engine, pieces[:12])
    kept = engine.snapshot()
    first = bits(engine, pieces[12:])
    engine.restore(kept)
    assert bits(engine, pieces[12:]) == first
    other.restore(kept)
    assert bits(other, pieces[12:]) == first


def test_a_snapshot_holds_windowed_evidence_and_delayed_input():
    layers = (Delay("delay", ("input",), (0, 2000)), Linear("fc", ("delay",), np.eye(3, 8, dtype=np.float32)))
    engine = Engine(Network(layers, (1, 2, 2), ("a", "b", "c"), Readout("membrane", window_us=3000), 1000))
    pieces = list(slices_of(9, 20, 0.5, (1, 2, 2)))
    bits(engine, pieces[:8])
    kept = engine.snapshot()
    first = bits(engine, pieces[8:])
    engine.restore(kept)
    assert bits(engine, pieces[8:]) == first


def test_a_snapshot_holds_the_image_of_a_constant_current():
    random = np.random.default_rng(13)
    first, second = random.random((2, 2, 8, 8)).astype(np.float32)
    pieces = [
        CurrentSlice(step * 1000, (step + 1) * 1000, first if step < 6 else second) for step in range(8)
    ]  # one image, then another
    engine, other = Engine(small_network()), Engine(small_network())
    bits(engine, pieces[:3])
    kept = engine.snapshot()
    wanted = bits(engine, pieces[3:])
    engine.restore(kept)
    assert bits(engine, pieces[3:]) == wanted  # with the operations of the first image counted once
    other.restore(kept)
    assert bits(other, pieces[3:]) == wanted


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (network_of_everything(), {}),
        (small_network(), {"numbers": "int8"}),
        (small_network(), {"timestep_us": 500}),
        (small_network(np.full(4, 0.01, np.float32)), {}),
    ],
    ids=["network", "numbers", "timestep", "bias"],
)
def test_the_snapshot_of_another_engine_is_refused(network, options):
    with pytest.raises(NetworkError, match="the snapshot is of another network, timestep or number format"):
        Engine(small_network()).restore(Engine(network, **options).snapshot())


def test_a_snapshot_holds_the_events_of_the_slice_that_is_open():
    random = np.random.default_rng(4)
    events = np.zeros(400, EVENT_DTYPE)
    events["t"] = np.sort(random.integers(0, 20_000, 400))
    events["x"], events["y"], events["p"] = *random.integers(0, 8, (2, 400)), random.random(400) < 0.5
    packets = [EventPacket(events[i : i + 37], int(events[i : i + 37]["t"][-1])) for i in range(0, 400, 37)]

    def rest(engine):
        return [decision.scores.tobytes() for packet in packets[5:] for decision in engine.push(packet)]

    engine = Engine(small_network())
    for packet in packets[:5]:
        list(engine.push(packet))
    kept = engine.snapshot()
    first = rest(engine)
    engine.restore(kept)
    assert rest(engine) == first


def test_engines_in_two_threads_do_what_each_does_alone():
    made = [network_of_everything(), small_network(np.full(4, 0.02, np.float32)), network_of_everything("count")]
    streams = [list(slices_of(seed, 120)) for seed in range(3)]
    alone = [bits(Engine(network), pieces) for network, pieces in zip(made, streams, strict=True)]
    together = [None] * 3
    start = threading.Barrier(3)

    def work(i):
        engine = Engine(made[i])
        start.wait()
        together[i] = bits(engine, streams[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def narrow(monkeypatch, numbers):
    """A format in which potentials meet their limit soon."""
    small = replace(plan.FORMATS[numbers], weight_max=100, threshold_max=200, limit=2000, input_limit=900, counts=1)
    monkeypatch.setitem(plan.FORMATS, numbers, small)


@pytest.mark.parametrize("numbers", NUMBERS)
def test_potentials_beyond_the_limit_are_clamped_and_counted_as_the_twin_says(monkeypatch, numbers):
    narrow(monkeypatch, numbers)
    weight = np.array([[-1.0, -1.0], [1.0, 1.0], [1.0, -0.5], [-0.2, -0.1]], np.float32)
    bias = np.array([0.3, -0.1, 0.0, 0.02], np.float32)
    layers = (
        Linear("a", ("input",), weight, bias),
        neurons("if", "a", 4, threshold=2.0),
        Linear("fc", ("if",), np.eye(3, 4, dtype=np.float32)),
    )
    both = Together(Network(layers, (2, 1, 1), ("a", "b", "c"), Readout("membrane"), 1000), numbers)
    random = np.random.default_rng(1)
    for step in range(400):
        busy = step % 100 < 60
        both.step(random_frame(random, (2, 1, 1), 0.9 * busy, most=2))
    both.same_counters()
    assert both.engine.clamped > 10


@settings(max_examples=30, deadline=None)
@given(network=networks(), seed=st.integers(0, 2**32 - 1))
def test_any_network_meets_its_limits_as_the_twin_says(network, seed):
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        narrow(patch, "int16")
        try:
            both = Together(network, "int16")
        except NetworkError:  # a bias that is too large for so small a format
            reject()
        most = both.engine._plan.max_count
        for density in (0.9, 0.9, 0.3, 0.0, 0.9):
            both.step(random_frame(random, network.input_shape, density, most=min(most, 3)))
        both.same_counters()


@pytest.mark.skipif(not advance.PACKED, reason="arrays are handed over as such")
def test_a_step_allocates_nothing_but_its_decision():
    engine = Engine(network_of_everything())
    engine.warm_up()
    pieces = list(slices_of(3, 1100))
    for piece in pieces[:100]:
        engine.step(piece)
    gc.collect()
    _nrt_python.memsys_enable_stats()
    kernels = rtsys.get_allocation_stats()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for piece in pieces[100:]:
            engine.step(piece)
        after, _ = tracemalloc.get_traced_memory()
        now = rtsys.get_allocation_stats()
    finally:
        tracemalloc.stop()
        _nrt_python.memsys_disable_stats()
    # Numba wraps every array that it is handed, and lets go of it on return; the kernels allocate nothing.
    wrapped = 1000 * (1 + sum(isinstance(value, np.ndarray) for value in engine._arguments))
    assert (now.alloc - kernels.alloc, now.free - kernels.free) == (wrapped, wrapped)
    assert after - before < 4096
