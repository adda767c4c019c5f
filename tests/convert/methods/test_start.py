"""Membranes start where the method says, and deep neurons wait."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.methods.start import layer_of, started
from dvs_run.pipeline.convert.simulate import Clocked
from dvs_run.pipeline.convert.trace.graph import import_cnn
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import IF, Linear, Network, Neurons, Readout

from .nets import SHAPE, Plain, converted


def test_uniform_starts_lie_within_a_threshold_and_repeat():
    networks = [converted(Plain(), v_init="uniform", seed=seed).network for seed in (1, 1, 2)]
    starts = [np.concatenate([layer.v_init for layer in net.layers if isinstance(layer, IF)]) for net in networks]
    assert np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    assert (starts[0] >= -1).all()
    assert (starts[0] < 1).all()
    assert starts[0].min() < 0 < starts[0].max()
    assert networks[0].provenance["v_init"] == "uniform"


def test_a_start_at_minus_the_bias_takes_the_first_kick_back():
    network = converted(Plain(), v_init="-bias").network
    state = Clocked(network, 1, torch.float64)
    state.step(torch.zeros(1, *SHAPE, dtype=torch.float64))
    assert (layer_of(network, "two").bias != 0).all()
    for layer in network.layers:
        if isinstance(layer, Neurons):
            assert float(state.v[layer.name].abs().max()) < 1e-6
            assert not state.spikes[layer.name].any()


def test_a_bias_below_minus_the_threshold_starts_right_below_it():
    model = Plain()
    nn.init.constant_(model.two.bias, -50.0)
    network = converted(model, v_init="-bias").network
    assert (layer_of(network, "relu_1").v_init < 1).all()
    assert (layer_of(network, "relu_1").v_init > 0.99).all()


def test_deep_neurons_wait_in_proportion_to_their_depth():
    conversion = converted(Plain(), clamp_steps=7, readout_delay=9)
    starts = {layer.name: layer.start_step for layer in conversion.network.layers if isinstance(layer, Neurons)}
    assert starts == {"relu": 0, "relu_1": 7}
    assert conversion.network.readout == Readout("membrane", start_step=9)
    assert conversion.report.output_error < 0.15  # rates are of the timesteps that count
    assert conversion.network.provenance["clamp_steps"] == 7


def test_a_check_that_ends_before_the_last_start_is_refused():
    with pytest.raises(
        ConversionError, match="32 timesteps ends before everything has started: the last begins after 40"
    ):
        converted(Plain(), readout_delay=40)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_firing_early_is_a_start_above_zero(share):
    """TRE (Wu et al. 2022): fire at (1 - β) θ from 0, or at θ from β θ: the same spikes, whatever arrives."""
    random = np.random.default_rng(5)
    for _ in range(200):
        currents = random.integers(-64, 96, 24) / 64  # no rounding
        early, late, spikes = 0.0, share, []
        for current in currents:
            early, late = early + current, late + current
            fired = (early >= 1 - share, late >= 1)
            early, late = early - fired[0], late - fired[1]
            spikes.append(fired)
        assert all(a == b for a, b in spikes)


def test_starts_of_quantized_and_signed_populations_are_their_own():
    layers = (
        Linear("a", ("input",), np.ones((2, 2), np.float32), np.ones(2, np.float32)),
        IF("n", ("a",), np.ones(2, np.float32), np.zeros(2, np.float32), signed=True),
    )
    network = Network(layers, (2, 1, 1), ("x", "y"), Readout("count"))
    cnn = import_cnn(nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.LeakyReLU(0.1), nn.Linear(2, 2)), (2, 1, 1))
    assert started(network, cnn, Method(v_init="-bias")).layers[1].v_init.tolist() == [0, 0]
