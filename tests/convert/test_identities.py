"""The identities of rate theory (Rueckauer et al. 2017) hold for the neurons that we run.

Time-stepped in float64 on random inputs, to 1e-12; counts, where numbers are dyadic and every sum is exact, exactly.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import Clocked
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout, SumPool2d

from .. import naive

TOLERANCE = 1e-12


def one_neuron(threshold=1.0, v_init=0.0, reset="subtract", **options):
    """A neuron whose current is the input itself."""
    layers = (
        Linear("fc", ("input",), np.ones((1, 1), np.float32)),
        IF("if", ("fc",), array(threshold), array(v_init), reset, **options),
    )
    return Network(layers, (1, 1, 1), ("a",), Readout("count"))


def array(value):
    return np.array([value], np.float32)


def run_constant(network, currents, timesteps):
    """Spike counts and last membrane potentials float64 (n,) of n copies under constant currents (n,)."""
    state = Clocked(network, len(currents), torch.float64)
    x = torch.from_numpy(np.asarray(currents, float)).view(-1, 1, 1, 1)
    for _ in range(timesteps):
        state.step(x, is_current=True)
    return state.spikes["if"].flatten().numpy(), state.v["if"].flatten().numpy()


def run_charges(network, charges):
    """The same for currents (timestep, n) that change."""
    state = Clocked(network, charges.shape[1], torch.float64)
    for charge in charges:
        state.step(torch.from_numpy(charge).view(-1, 1, 1, 1), is_current=True)
    return state.spikes["if"].flatten().numpy(), state.v["if"].flatten().numpy()


@pytest.mark.parametrize("v_init", [0.0, 0.375])
@pytest.mark.parametrize("timesteps", [1, 16, 100])
def test_reset_by_subtraction_rate_is_activation_less_what_remains_in_the_membrane(timesteps, v_init):
    activations = np.random.default_rng(0).random(500)
    threshold = 0.75
    counts, v = run_constant(one_neuron(threshold, v_init), threshold * activations, timesteps)
    wanted = activations - (v - v_init) / (timesteps * threshold)
    assert np.abs(counts / timesteps - wanted).max() <= TOLERANCE


def test_from_zero_the_rate_is_never_above_the_activation_and_from_half_a_threshold_it_is_unbiased():
    activations, timesteps = np.random.default_rng(1).random(4000), 20
    below, _ = run_constant(one_neuron(), activations, timesteps)
    around, _ = run_constant(one_neuron(v_init=0.5), activations, timesteps)
    error_below, error_around = below / timesteps - activations, around / timesteps - activations
    assert error_below.max() <= TOLERANCE
    assert error_below.min() > -1 / timesteps - TOLERANCE
    assert error_below.mean() == pytest.approx(-0.5 / timesteps, abs=0.05 / timesteps)
    assert np.abs(error_around).max() <= 0.5 / timesteps + TOLERANCE
    assert error_around.mean() == pytest.approx(0, abs=0.05 / timesteps)


@pytest.mark.parametrize("timesteps", [1, 16, 100])
def test_reset_to_zero_rate_is_lower_by_a_factor_that_time_does_not_remove(timesteps):
    activations = np.random.default_rng(2).uniform(0.01, 1, 500)
    threshold = 0.75
    counts, v = run_constant(one_neuron(threshold, reset="zero"), threshold * activations, timesteps)
    excess = np.ceil(1 / activations) * threshold * activations - threshold  # ε = n z - θ of n = ceil(θ / z)
    wanted = activations * threshold / (threshold + excess) - v / (timesteps * (threshold + excess))
    assert np.abs(counts / timesteps - wanted).max() <= TOLERANCE


def test_reset_to_zero_makes_99_percent_fire_every_second_step():
    counts, _ = run_constant(one_neuron(reset="zero"), [0.99], 1000)
    assert counts[0] == 500


def test_reset_to_zero_needs_a_start_at_zero_for_its_identity():
    counts, v = run_constant(one_neuron(reset="zero", v_init=0.5), [0.6], 3)
    excess = 0.2
    assert counts[0] / 3 != pytest.approx(0.6 / (1 + excess) - v[0] / (3 * (1 + excess)), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75])
@pytest.mark.parametrize("timesteps", [1, 7, 64])
def test_the_count_of_a_constant_current_has_a_closed_form(timesteps, share):
    """N = clip(floor(T z / θ + β), 0, T); below 0 and above the threshold too, ties included: all numbers dyadic."""
    threshold = 0.5
    currents = np.random.default_rng(3).integers(-64, 128, 800) / 128
    counts, _ = run_constant(one_neuron(threshold, share * threshold), currents, timesteps)
    assert np.array_equal(counts, np.clip(np.floor(timesteps * currents / threshold + share), 0, timesteps))


def test_several_spikes_a_step_lift_the_ceiling_of_the_closed_form():
    threshold, timesteps = 0.5, 30
    currents = np.random.default_rng(4).integers(-64, 512, 800) / 128
    counts, _ = run_constant(one_neuron(threshold, 0.25, max_spikes=100), currents, timesteps)
    assert np.array_equal(counts, np.maximum(np.floor(timesteps * currents / threshold + 0.5), 0))
    assert counts.max() > timesteps


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_to_start_at_a_share_of_the_threshold_is_to_fire_that_much_earlier(share):
    """ECC's thresholding (Wu et al. 2022): fire at v >= (1 - β) θ, subtract θ, start at 0. Same spikes, any input."""
    charges = np.random.default_rng(5).integers(-128, 160, (48, 2000)) / 128
    counts, _ = run_charges(one_neuron(v_init=share), charges)
    v, early = np.zeros(2000), np.zeros(2000)
    for charge in charges:
        v += charge
        fired = v >= 1 - share
        v -= fired
        early += fired
    assert np.array_equal(counts, early)


def test_currents_of_changing_sign_break_the_closed_form_and_not_the_identity():
    """Unevenness: what arrives late cannot take back what was sent."""
    random = np.random.default_rng(6)
    weights, spikes = random.normal(size=(8, 4000)) / 2, random.random((16, 8, 4000)) < 0.5
    charges = (spikes * weights).sum(1)
    counts, v = run_charges(one_neuron(v_init=0.5), charges)
    closed = np.clip(np.floor(charges.sum(0) + 0.5), 0, 16)
    assert 0.2 < (counts != closed).mean() < 0.5
    assert np.abs(counts - (charges.sum(0) - (v - 0.5))).max() <= TOLERANCE * 16


def test_negative_spikes_take_back_what_came_too_early():
    """Signed and with bursts the count is the charge, rounded, whatever the order: no unevenness, no saturation."""
    charges = np.random.default_rng(7).normal(size=(16, 4000))
    counts, _ = run_charges(one_neuron(max_spikes=64, signed=True), charges)
    assert np.abs(counts - charges.sum(0)).max() < 1


def weights(random, *shape, scale=1.0):
    return (random.normal(size=shape) * scale).astype(np.float32)


def deep_network(seed):
    """conv, IF, sum pool, conv, IF, linear, IF with biases, weights of both signs and thresholds of their own."""
    random = np.random.default_rng(seed)
    names = ("if1", "if2", "if3")
    channels = dict(zip(names, (4, 5, 3), strict=True))
    threshold = {name: random.uniform(0.5, 1.5, n).astype(np.float32) for name, n in channels.items()}
    v_init = {name: (threshold[name] * random.random(n)).astype(np.float32) for name, n in channels.items()}

    def neurons(name, source):
        return IF(name, (source,), threshold[name], v_init[name])

    layers = (
        Conv2d("conv1", ("input",), weights(random, 4, 2, 3, 3, scale=0.5), weights(random, 4, scale=0.1)),
        neurons("if1", "conv1"),
        SumPool2d("pool", ("if1",), (2, 2), (2, 2)),
        Conv2d("conv2", ("pool",), weights(random, 5, 4, 2, 2, scale=0.3), weights(random, 5, scale=0.1)),
        neurons("if2", "conv2"),
        Linear("fc", ("if2",), weights(random, 3, 20, scale=0.4), weights(random, 3, scale=0.1) + np.float32(0.5)),
        neurons("if3", "fc"),
    )
    return Network(layers, (2, 8, 8), ("a", "b", "c"), Readout("count"))


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_adds_its_own_residual_weighted_by_all_weights_behind_it(seed):
    """θ r = W r_before + b - (V(T) - V(0)) / T in each layer, and so unrolled to the input through all of them."""
    network, timesteps = deep_network(seed), 50
    state = Clocked(network, 7, torch.float64)
    image = torch.from_numpy(np.random.default_rng(seed + 10).random((7, 2, 8, 8)))
    for _ in range(timesteps):
        state.step(image, is_current=True)
    start = Clocked(network, 7, torch.float64).v
    arrays = {layer.name: layer for layer in network.layers}
    rates = {name: spikes / timesteps for name, spikes in state.spikes.items()}
    unrolled = rate = image
    for source, name in (("conv1", "if1"), ("conv2", "if2"), ("fc", "if3")):
        threshold = torch.from_numpy(arrays[name].threshold).double().view(1, -1, 1, 1)
        residual = (state.v[name] - start[name]) / timesteps
        layered = (linear(arrays[source], rate) - residual) / threshold
        unrolled = (linear(arrays[source], unrolled) - residual) / threshold
        assert float((rates[name] - layered).abs().max()) <= TOLERANCE
        assert float((rates[name] - unrolled).abs().max()) <= TOLERANCE * 10  # of three layers' sums
        rate = rates[name]
        if name == "if1":
            rate, unrolled = (torch.nn.functional.avg_pool2d(x, 2, divisor_override=1) for x in (rate, unrolled))
    assert 0.05 < float(rates["if3"].mean()) < 0.95


def linear(layer, x):
    weight, bias = torch.from_numpy(layer.weight).double(), torch.from_numpy(layer.bias).double()
    if weight.ndim == 2:
        return torch.nn.functional.linear(x.flatten(1), weight, bias)[:, :, None, None]
    return torch.nn.functional.conv2d(x, weight, bias)


def test_the_slow_twin_keeps_the_identity_too():
    network, timesteps = deep_network(4), 20
    image = np.random.default_rng(5).random((2, 8, 8))
    _, spikes = naive.run_float(network, [image] * timesteps)
    state = Clocked(network, 1, torch.float64)
    for _ in range(timesteps):
        state.step(torch.from_numpy(image)[None], is_current=True)
    assert all(np.array_equal(spikes[name], state.spikes[name][0].numpy()) for name in ("if1", "if2", "if3"))


def test_weights_scaled_down_and_thresholds_scaled_up_are_one_network():
    """Weight normalization and threshold balancing: scales of powers of two, so exactly alike."""
    balanced = deep_network(6)
    scale = {"if1": 4.0, "if2": 0.5, "if3": 8.0}
    of = {"conv1": "if1", "conv2": "if2", "fc": "if3"}
    layers = []
    for layer in balanced.layers:
        divisor = scale.get(of.get(layer.name, layer.name), 1.0)
        scaled = {name: value / divisor for name, value in vars(layer).items() if isinstance(value, np.ndarray)}
        layers.append(replace(layer, **scaled))
    normalized = Network(tuple(layers), balanced.input_shape, balanced.labels, balanced.readout)
    image = torch.from_numpy(np.random.default_rng(7).random((4, 2, 8, 8)))
    one, other = Clocked(balanced, 4, torch.float64), Clocked(normalized, 4, torch.float64)
    for _ in range(40):
        assert torch.equal(one.step(image, is_current=True), other.step(image, is_current=True))
    assert all(torch.equal(one.spikes[name], other.spikes[name]) for name in scale)
    assert all(one.spikes[name].any() for name in scale)
