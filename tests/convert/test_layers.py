"""Every supported layer folds exactly, and its spikes compute what the CNN computes."""

import copy

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Readout, convert
from dvs_run.pipeline.network import SumPool2d

from . import nets

TIMESTEPS = 128


@pytest.mark.parametrize("name", nets.SUPPORTED)
def test_spikes_compute_what_the_cnn_computes(name):
    model = nets.fitted(nets.SUPPORTED[name])
    inputs = nets.inputs(12)
    report = convert(model, nets.SHAPE, nets.LABELS, inputs, percentile=100, check_timesteps=TIMESTEPS).report
    assert report.folding_error < 1e-5
    assert report.output_error < 0.02


def test_the_model_is_left_as_it_was():
    model = nets.fitted(nets.SUPPORTED["batch norm"]).train()
    before = copy.deepcopy(model.state_dict())
    convert(model, nets.SHAPE, nets.LABELS, nets.inputs())
    assert all(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_epsilon_of_a_batch_norm_is_its_own():
    model = nn.Sequential(
        nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1, eps=0.75), nn.ReLU(), nn.Flatten(), nn.Linear(1, 2)
    )
    nn.init.ones_(model[0].weight)
    model[1].running_var.fill_(0.25)  # scale is 1 / sqrt(0.25 + 0.75) = 1; without the epsilon it would be 2
    model.eval()
    calibration = torch.rand(8, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    network = convert(model, (1, 1, 1), "ab", calibration, percentile=100, max_error=None).network
    scale = network.provenance["lambdas"]["2"]
    assert network.layers[0].weight.item() * scale == pytest.approx(1.0, rel=1e-5)


def test_a_shared_relu_becomes_neurons_of_their_own():
    network = convert(
        nets.fitted(nets.SUPPORTED["one ReLU used twice"]), nets.SHAPE, nets.LABELS, nets.inputs()
    ).network
    assert [layer.name for layer in network.layers] == ["conv1", "act", "conv2", "act_1", "fc"]


def test_a_pool_behind_a_relu_sums_spikes_and_one_before_it_is_merged():
    behind = convert(
        nets.fitted(nets.SUPPORTED["conv, average pool, linear"]), nets.SHAPE, nets.LABELS, nets.inputs()
    ).network
    before = convert(
        nets.fitted(nets.SUPPORTED["average pool before the ReLU"]), nets.SHAPE, nets.LABELS, nets.inputs()
    )
    assert [type(layer).__name__ for layer in behind.layers] == ["Conv2d", "IF", "SumPool2d", "Linear"]
    assert not any(isinstance(layer, SumPool2d) for layer in before.network.layers)
    assert before.network.layers[0].weight.shape == (8, 3, 4, 4)
    assert before.network.layers[0].stride == (2, 2)
    assert "merged" in before.report.notes[0]


def test_a_relu_that_never_clips_is_left_out_and_said():
    report = convert(
        nets.fitted(nets.SUPPORTED["a ReLU twice in a row"]), nets.SHAPE, nets.LABELS, nets.inputs()
    ).report
    assert sum("never negative" in note for note in report.notes) == 2


def test_the_softmax_at_the_end_is_left_out_and_said():
    report = convert(nets.fitted(nets.SUPPORTED["softmax at the end"]), nets.SHAPE, nets.LABELS, nets.inputs()).report
    assert any("softmax" in note for note in report.notes)


def test_a_counted_readout_gives_the_last_layer_neurons():
    model = nets.fitted(nets.SUPPORTED["conv, average pool, linear"])
    with torch.no_grad():
        model[-1].bias += 1.0  # counting cannot tell negative outputs apart
    conversion = convert(
        model,
        nets.SHAPE,
        nets.LABELS,
        nets.inputs(),
        readout=Readout("count"),
        percentile=100,
        check_timesteps=TIMESTEPS,
    )
    assert [layer.name for layer in conversion.network.layers][-2:] == ["4", "4_if"]
    assert conversion.report.output_error < 0.02


def test_a_model_that_ends_with_a_relu_is_counted():
    make = nets._sequential(nets.conv(3, 8, 3), nets.relu, nets.flat, nets.lin(1568, 6), nets.relu)
    conversion = convert(
        nets.fitted(make), nets.SHAPE, nets.LABELS, nets.inputs(), readout=Readout("count"), percentile=100
    )
    assert conversion.network.layers[-1].name == "4"
    assert conversion.report.output_error < 0.02
