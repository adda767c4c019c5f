"""The proof at full size, at a small one: its spikes add what the twin's do, and a difference ends it."""

import numpy as np
import pytest

from benchmarks.engine import asynchronous_exact
from dvs_run.pipeline.engine import AsyncEngine


@pytest.fixture(scope="module")
def workload():
    return asynchronous_exact.workload(16, 60, "int8", seed=1)


def test_what_a_spike_adds_is_found_from_its_coordinates_as_by_dense_convolution(workload):
    network, _ = workload
    units = AsyncEngine(network, "int8").units
    assert asynchronous_exact.check_impulses(network, units, np.random.default_rng(2), n=6) == 5 * (4 + 6)


def test_a_spike_that_adds_something_else_is_told(workload, monkeypatch):
    network, _ = workload
    wrong = asynchronous_exact.pooled

    def off_by_one(layer, place):
        channel, row, column = wrong(layer, place)
        return channel, row, max(column - 1, 0)

    monkeypatch.setattr(asynchronous_exact, "pooled", off_by_one)
    units = AsyncEngine(network, "int8").units
    with pytest.raises(SystemExit, match="does not add to if2 what it should"):
        asynchronous_exact.check_impulses(network, units, np.random.default_rng(2), n=0)


def test_engine_and_twin_are_compared_to_the_end(workload):
    network, events = workload
    found = asynchronous_exact.compare(network, events, "int8", checked=20)
    assert (found["events"], found["differences"]) == (60, 0)
    neurons = sum(np.prod(network.shapes()[name]) for name in found["spikes"] if name != "input")
    assert found["potentials_compared"] == 3 * neurons
    assert found["ticks_of_bias"] >= 64 * asynchronous_exact.SILENCE_US // 1000


def test_a_difference_ends_the_comparison(workload, monkeypatch):
    network, events = workload
    other, _ = asynchronous_exact.workload(16, 1, "int8", seed=2)
    twin_of_other = asynchronous_exact.DepthFirst(other, AsyncEngine(other, "int8").units)
    monkeypatch.setattr(asynchronous_exact, "Local", lambda *_: twin_of_other)
    with pytest.raises(SystemExit, match="int8, event"):
        asynchronous_exact.compare(network, events, "int8", checked=20)
