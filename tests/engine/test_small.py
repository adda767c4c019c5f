"""What must hold however the kernels are built; test_builds.py runs this file once for each way."""

import os

import numpy as np
import pytest

from dvs_run.pipeline.network import Linear, Network, Readout

from .together import NUMBERS, Together, network_of_everything, neurons, random_frame

RULES = ("fir", "average", "exponential", "or", "exact")
HERE = os.environ.get("TEST_NUMBERS", " ".join(NUMBERS)).split()


@pytest.mark.parametrize("numbers", HERE)
@pytest.mark.parametrize("density", [0.02, 0.3, 0.9])
def test_a_network_of_everything_equals_its_twin_in_every_step(numbers, density):
    random = np.random.default_rng(3)
    both = Together(network_of_everything("count" if density == 0.3 else "membrane"), numbers)
    for step in range(6):
        silent = step in (2, 3)
        both.step(random_frame(random, (2, 8, 8), 0.0 if silent else density))
    both.same_counters()


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_of_a_max_pool_equals_its_twin(rule):
    random = np.random.default_rng(RULES.index(rule))
    both = Together(network_of_everything(rule=rule), HERE[-1])
    for density in (0.5, 0.1, 0.0, 0.1, 0.1, 0.5):
        both.step(random_frame(random, (2, 8, 8), density))


@pytest.mark.parametrize("numbers", HERE)
def test_hundreds_of_spikes_and_counts_at_one_place_overflow_no_sum(numbers):
    """All weights are as large as they can be: 300 rows of int8 are beyond what int16 holds."""
    first = np.ones((300, 2), np.float32)
    second = np.where(np.arange(300) < 290, 1.0, -1.0).astype(np.float32) * np.ones((20, 1), np.float32)
    layers = (
        Linear("a", ("input",), first),
        neurons("many", "a", 300, max_spikes=2),
        Linear("b", ("many",), second),
        neurons("few", "b", 20, threshold=3.0, max_spikes=1000),
        Linear("out", ("few",), np.eye(3, 20, dtype=np.float32)),
    )
    both = Together(Network(layers, (2, 1, 1), ("a", "b", "c"), Readout("membrane"), 1000), numbers)
    for counts in ([1, 0], [1, 1], [0, 0], [500, 0], [3, 300]):
        both.step(np.array(counts).reshape(2, 1, 1))
    both.same_counters()
