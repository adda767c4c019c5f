"""Percentiles mean what they say, dead layers keep their own scale, and a conversion repeats to the bit."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.scales import measure_scales
from dvs_run.pipeline.convert.trace.graph import import_cnn
from dvs_run.pipeline.network import Conv2d, Delay, Linear, Network

from . import nets

MODEL = "conv, average pool, linear"


def scales(model, calibration, percentile=99.9, over="all", per="layer", shape=nets.SHAPE):
    found, _ = measure_scales(import_cnn(model, shape), calibration, Method(percentile=percentile, over=over, per=per))
    return list(found.values())


def identity(channels=1, places=1):
    """ReLU of the input itself, then a linear layer."""
    model = nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False, groups=channels),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * places, 2),
    )
    nn.init.ones_(model[0].weight)
    return model.eval()


@pytest.mark.parametrize("percentile", [80.0, 99.0, 99.9, 100.0])
def test_the_scale_is_the_percentile_of_all_activations(percentile):
    model, calibration = nets.fitted(nets.SUPPORTED[MODEL]), nets.inputs()
    with torch.inference_mode():
        activations = model[1](model[0](calibration)).numpy()
    found = scales(model, calibration, percentile)[0].values
    assert found == pytest.approx(np.full(8, np.percentile(activations, percentile)), rel=1e-5)


def test_the_percentile_may_count_only_what_is_above_zero():
    calibration = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.4, 0.6, 0.8]).view(-1, 1, 1, 1)
    assert scales(identity(), calibration, 50, "all", shape=(1, 1, 1))[0].values == pytest.approx([0.8])  # 0: see below
    assert scales(identity(), calibration, 90, "all", shape=(1, 1, 1))[0].values == pytest.approx([0.62])
    assert scales(identity(), calibration, 50, "nonzero", shape=(1, 1, 1))[0].values == pytest.approx([0.5])


def test_a_layer_that_is_nearly_always_silent_is_scaled_by_its_largest_activation():
    calibration = torch.zeros(1000, 1, 1, 1)
    calibration[3] = 0.7
    found = scales(identity(), calibration, 99, shape=(1, 1, 1))[0]
    assert found.values == pytest.approx([0.7])
    assert found.clipped == 0


def test_a_dead_layer_keeps_a_scale_of_one_and_is_called_dead():
    model = nets.fitted(nets.SUPPORTED[MODEL])
    nn.init.constant_(model[0].bias, -100.0)
    conversion = convert(model, nets.SHAPE, nets.LABELS, nets.inputs())
    assert conversion.network.provenance["lambdas"] == {"1": 1.0}
    first = conversion.report.layers[0]
    assert (first.dead, first.rate, first.correlation) == (1.0, 0.0, None)
    assert conversion.report.output_error < 1e-5  # the last bias is all that is left, and it arrives
    assert "dead" in conversion.report.verdict


def test_shares_of_dead_neurons_and_clipped_activations_are_counted():
    calibration = torch.tensor([[0.0, 0.1], [0.0, 0.2], [0.0, 0.3], [0.0, 0.8]]).view(4, 2, 1, 1)
    found = scales(identity(2), calibration, 80, shape=(2, 1, 1))[0]
    assert (found.dead, found.maximum) == (0.5, pytest.approx(0.8))
    assert found.clipped == pytest.approx((calibration > found.values[0]).float().mean().item())


def test_every_channel_of_a_map_can_have_a_scale_of_its_own():
    calibration = torch.tensor([[0.1, 10.0, 0.0], [0.2, 20.0, 0.0]]).view(2, 3, 1, 1).expand(2, 3, 1, 2)
    found = scales(identity(3, 2), calibration, 100, per="channel", shape=(3, 1, 2))[0].values
    assert found == pytest.approx([0.2, 20, 20])  # of the one that is never active: the largest, in case it ever is


def test_a_vector_has_one_scale_since_few_inputs_do_not_tell_those_of_single_neurons():
    calibration = torch.tensor([[0.1, 10.0], [0.2, 20.0]]).view(2, 2, 1, 1)
    assert scales(identity(2), calibration, 100, per="channel", shape=(2, 1, 1))[0].values == pytest.approx([20, 20])


@pytest.mark.parametrize("name", ["groups", "batch norm", "depthwise, pointwise", "conv, average pool, linear"])
def test_scales_per_channel_compute_the_same(name):
    model = nets.fitted(nets.SUPPORTED[name])
    report = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), percentile=100, per="channel").report
    assert report.output_error < 0.02


def test_weights_and_biases_are_scaled_between_layers():
    model = nets.fitted(nets.SUPPORTED[MODEL])
    network = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), method=Method(), input_scale=0.25).network
    scale = network.provenance["lambdas"]["1"]
    first, _, _, last = network.layers
    assert isinstance(first, Conv2d)
    assert isinstance(last, Linear)
    assert first.weight == pytest.approx(model[0].weight.detach().numpy() / 0.25 / scale, rel=1e-5)
    assert first.bias == pytest.approx(model[0].bias.detach().numpy() / scale, rel=1e-5)
    assert last.weight == pytest.approx(model[4].weight.detach().numpy() / 4 * scale, rel=1e-5)  # 1/k² of the pool
    assert last.bias == pytest.approx(model[4].bias.detach().numpy(), rel=1e-5)


def test_membranes_start_at_the_share_of_the_threshold_that_is_asked_for():
    network = convert(nets.fitted(nets.SUPPORTED[MODEL]), nets.SHAPE, nets.LABELS, nets.inputs(), v_init=0.25).network
    assert (network.layers[1].threshold == 1).all()
    assert (network.layers[1].v_init == 0.25).all()


def test_starting_half_way_halves_the_error_of_few_timesteps():
    model = nets.fitted(nets.SUPPORTED["six convolutions"])
    errors = [
        convert(
            model, nets.SHAPE, nets.LABELS, nets.inputs(), v_init=v_init, check_timesteps=16, max_error=None
        ).report.output_error
        for v_init in (0.0, 0.5)
    ]
    assert errors[1] < errors[0] / 2


def test_a_reset_to_zero_loses_what_subtraction_keeps():
    model = nets.fitted(nets.SUPPORTED[MODEL])
    errors = [
        convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), reset=reset, max_error=None).report.output_error
        for reset in ("zero", "subtract")
    ]
    assert errors[1] < errors[0] / 4


def test_the_same_conversion_gives_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        model = nets.fitted(nets.SUPPORTED["batch norm"])
        convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), timestep_us=1000).network.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert Network.load(tmp_path / "a.npz").provenance["percentile"] == 99.9


def test_calibration_may_come_as_an_array_or_in_batches():
    model, calibration = nets.fitted(nets.SUPPORTED[MODEL]), nets.inputs(12)
    lambdas = [
        convert(model, nets.SHAPE, nets.LABELS, form).network.provenance["lambdas"]
        for form in (calibration, calibration.numpy(), iter(calibration.split(5)))
    ]
    assert lambdas[0] == lambdas[1] == lambdas[2]


def test_delays_become_a_layer_of_the_network():
    model = nets.fitted(nets.SUPPORTED[MODEL], shape=nets.SHAPE)
    network = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), timestep_us=10, delays_us=(0, 20, 50)).network
    assert network.input_shape == (1, 16, 16)
    assert isinstance(network.layers[0], Delay)
    assert network.shapes()["delay"] == nets.SHAPE
    assert network.readout.start_step == 5  # what is decided before was seen without the delayed input
    assert convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), delays_us=(0,)).network.input_shape == nets.SHAPE


def test_the_verdict_names_the_worst_layer_and_what_to_try():
    model = nets.fitted(nets.SUPPORTED["six convolutions"])
    single = Method(percentile=90)
    report = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(), method=single, max_error=None).report
    worst = max((layer for layer in report.layers if layer.rate is not None), key=lambda layer: layer.error)
    assert f"the worst layer is {worst.name}" in report.verdict
    assert "try a higher percentile" in report.verdict


def ceiling(c, weight=3.0):
    """min(max(weight * x, 0), c) of one pixel, then a linear layer that hands it on."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.Hardtanh(0.0, c), nn.Flatten(), nn.Linear(1, 2))
    nn.init.constant_(model[0].weight, weight)
    return model.eval()


@pytest.mark.parametrize("parts", [1, 4, 16])
def test_bursts_end_exactly_at_a_ceiling_and_are_finer_below_it(parts):
    pixels = torch.linspace(-1, 1, 21).view(-1, 1, 1, 1)
    method = Method(threshold_scale=1 / parts, max_spikes=64)
    conversion = convert(ceiling(1.5), (1, 1, 1), ["a", "b"], pixels, method=method)
    neurons = next(layer for layer in conversion.network.layers if layer.name == "1")
    assert neurons.max_spikes == parts
    (report, _) = conversion.report.layers
    assert report.scale == pytest.approx(1.5 / parts)
    assert report.clipped == 0
    assert report.error < 0.01 / parts


def test_finer_spikes_than_bursts_allow_still_reach_the_ceiling():
    pixels = torch.linspace(-1, 1, 21).view(-1, 1, 1, 1)
    conversion = convert(
        ceiling(1.5), (1, 1, 1), ["a", "b"], pixels, method=Method(threshold_scale=1 / 16, max_spikes=6)
    )
    assert conversion.report.layers[0].scale == pytest.approx(1.5 / 6)
    assert conversion.report.layers[0].error < 0.01
    assert any("1/6 of its ceiling" in note for note in conversion.network.provenance["notes"])


def test_a_part_that_does_not_divide_a_ceiling_is_rounded_and_told():
    pixels = torch.linspace(-1, 1, 21).view(-1, 1, 1, 1)
    method = Method(threshold_scale=0.3, max_spikes=8)
    conversion = convert(ceiling(1.5), (1, 1, 1), ["a", "b"], pixels, method=method)
    assert conversion.report.layers[0].scale == pytest.approx(0.5)
    assert any("1/3 of its ceiling, not for 0.3" in note for note in conversion.network.provenance["notes"])


def test_a_ceiling_that_calibration_never_saw_still_cuts_off_what_comes_later():
    pixels = torch.linspace(-1, 1, 21).view(-1, 1, 1, 1)
    method = Method(threshold_scale=1 / 4, max_spikes=64)
    conversion = convert(ceiling(6.0), (1, 1, 1), ["a", "b"], pixels, method=method)
    neurons = next(layer for layer in conversion.network.layers if layer.name == "1")
    assert neurons.max_spikes * conversion.report.layers[0].scale == pytest.approx(6.0)
    assert conversion.report.layers[0].scale <= 3.0 / 4
