"""Layers and readouts that start late: what reaches them before is lost, after a reset and after a state window."""

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import Clocked
from dvs_run.pipeline.engine import AsyncEngine, Engine
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.network import IF, LIF, Conv2d, Linear, Network, Readout

from .together import NUMBERS, Together, slice_of


def late(first, second, readout=0, leak=False, state_window_us=None, kind="membrane"):
    random = np.random.default_rng(3)
    one = np.ones(4, np.float32)
    decay = {"decay": one * np.float32(0.8)} if leak else {}
    layers = [
        Conv2d("conv", ("input",), random.normal(0, 0.5, (4, 2, 3, 3)).astype(np.float32), one * 0.05, padding=(1, 1)),
        (LIF if leak else IF)("if1", ("conv",), one, one * 0.5, start_step=first, **decay),
        Conv2d("conv2", ("if1",), random.normal(0.1, 0.4, (4, 4, 3, 3)).astype(np.float32), one * 0.02),
        IF("if2", ("conv2",), one, one * 0.25, start_step=second),
        Linear("out", ("if2",), random.normal(0, 1, (3, 36)).astype(np.float32)),
    ]
    if kind == "count":
        layers.append(IF("counted", ("out",), np.ones(3, np.float32), np.zeros(3, np.float32)))
    return Network(tuple(layers), (2, 5, 5), ("a", "b", "c"), Readout(kind, start_step=readout), 1000, state_window_us)


def at(frame, step):
    return slice_of(frame, step * 1000, (step + 1) * 1000)


def slices(n):
    random = np.random.default_rng(5)
    return [random.integers(0, 3, (2, 5, 5)) * (random.random((2, 5, 5)) < 0.3) for _ in range(n)]


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize(("first", "second", "readout", "leak"), [(0, 0, 0, False), (3, 7, 11, False), (4, 2, 0, True)])
def test_an_engine_with_late_layers_equals_its_twin(numbers, first, second, readout, leak):
    together = Together(late(first, second, readout, leak), numbers)
    fired = []
    for frame in slices(30):
        together.step(frame)
        fired.append([int(together.engine.spike_counts(name).sum()) for name in ("if1", "if2")])
    together.same_counters()
    fired = np.array(fired)
    assert not fired[:first, 0].any()
    assert not fired[:second, 1].any()
    assert (fired[12:] > 0).any(0).all()


def test_potentials_stay_where_they_began_until_a_layer_starts():
    network = late(4, 8)
    engine = Engine(network)
    for step, frame in enumerate(slices(9)):
        engine.step(at(frame, step))
        state = engine.state()
        for name, start, begins in (("if1", 0.5, 4), ("if2", 0.25, 8)):
            assert np.allclose(state[name], start, atol=1e-3) == (step < begins)


def test_a_new_state_window_makes_layers_wait_again():
    network = late(3, 3, state_window_us=10_000)
    engine, fresh = Engine(network), Engine(network)
    frames = slices(20)
    for step in range(10):
        engine.step(at(frames[step], step))
    for step in range(10, 20):
        engine.step(at(frames[step], step))
        fresh.step(at(frames[step], step - 10))
        assert np.array_equal(engine.spike_counts("if1"), fresh.spike_counts("if1"))
        assert engine.spike_counts("if1").any() <= (step >= 13)


@pytest.mark.parametrize("kind", ["membrane", "count"])
def test_the_clocked_reference_knows_late_layers_and_late_readouts(kind):
    network = late(2, 5, 7, kind=kind)
    engine, clocked = Engine(network, numbers="int16"), Clocked(network, 1, torch.float64)
    for step, frame in enumerate(slices(40)):
        decision = engine.step(at(frame, step))
        scores = clocked.step(torch.from_numpy(frame[None].astype(np.float64)))
        assert np.allclose(decision.scores, scores[0].numpy(), atol=0.05 if kind == "membrane" else 0)
    assert sum(engine.synops_per_layer.values()) == int(clocked.synops[0])


def test_a_start_that_is_no_step_is_refused():
    with pytest.raises(NetworkError, match="'if1' has start_step -1, want a whole number from 0"):
        late(-1, 0)
    with pytest.raises(NetworkError, match="readout.start_step is -2"):
        late(0, 0, -2)
    with pytest.raises(NetworkError, match="layer 'if2' starts after 5 timesteps"):
        AsyncEngine(late(0, 5))
    with pytest.raises(NetworkError, match="readout starts after 3 timesteps"):
        AsyncEngine(late(0, 0, 3))


def test_a_late_network_comes_back_from_its_file(tmp_path):
    network = late(2, 5, 7)
    network.save(tmp_path / "net.npz")
    again = Network.load(tmp_path / "net.npz")
    assert again.readout == network.readout
    assert [getattr(layer, "start_step", None) for layer in again.layers] == [None, 2, None, 5, None]
