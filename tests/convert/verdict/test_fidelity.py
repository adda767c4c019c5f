"""A layer's figures are those of a plain recount, and name what went wrong."""

import copy
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Method, convert
from dvs_run.pipeline.convert.verdict.verdict import Verdict, find_culprit
from dvs_run.pipeline.encode import CurrentEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.stream import Image

from .. import nets
from .networks import FOUND, TIMESTEPS, converted, layer, measured, pictures, small


def test_constant_current_arrives_as_it_was_meant_and_every_rate_is_within_one_spike():
    first = measured(converted(percentile=100), inputs=nets.inputs(40, seed=9)).layers[0]
    assert first.arrived < 1e-5
    assert first.clipping < 0.02
    assert (first.early, first.late) == (0, 0)
    assert first.error == pytest.approx(np.hypot(first.rounding, first.clipping), rel=1e-3)
    assert first.correlation > 0.99
    assert first.sources == ()


def test_the_figures_of_a_layer_are_those_of_a_plain_recount():
    conversion = converted(exact=True, percentile=97)
    found = measured(conversion, n=16).layers[1]
    images = pictures(16)
    with torch.inference_mode():
        wanted = small()[:5](images).double()
    run = Engine(conversion.network, numbers="float32")
    spikes = np.zeros(wanted.shape)
    for sample, pixels in enumerate(images.numpy()):
        run.reset()
        for piece in CurrentEncoder(TIMESTEPS).encode(Image(pixels)):
            run.step(piece)
            spikes[sample] += run.spike_counts(found.name)
    rate, activation = spikes / TIMESTEPS, wanted.numpy() / conversion.network.provenance["lambdas"][found.name]
    assert found.rate == pytest.approx(rate.mean())
    assert found.correlation == pytest.approx(np.corrcoef(rate.ravel(), activation.ravel())[0, 1], abs=1e-6)
    assert found.error == pytest.approx(np.linalg.norm(rate - activation) / np.linalg.norm(activation), rel=1e-5)
    assert found.clipped == pytest.approx((activation > 1).mean(), abs=1e-9)
    assert found.dead == pytest.approx((activation.max(0) == 0).mean())
    both_zero = (rate == 0) & (activation == 0)
    assert found.silent == pytest.approx(both_zero.mean())
    assert found.density.sum() == (~both_zero).sum()
    assert found.rates.sum() == (rate > 0).sum()


def test_a_ceiling_of_the_cnn_itself_is_no_clipping():
    model = copy.deepcopy(small())
    model[1] = nn.Hardtanh(0.0, 0.2)
    conversion = convert(
        model, nets.SHAPE, nets.LABELS, nets.inputs(32), method=Method(), max_error=None, check_timesteps=4
    )
    first = measured(conversion, model, inputs=nets.inputs(40, seed=9)).layers[0]
    assert (first.clipping, first.clipped) == (0, 0)
    assert first.arrived < 1e-5
    assert first.rates[-1] == 0
    assert first.error < 0.05


def test_a_percentile_far_too_low_is_named_as_clipping():
    culprit = find_culprit(measured(converted(percentile=90)).layers)
    assert culprit.cause == "clipping"
    assert culprit.layer.clipped > 0.1


def test_too_few_timesteps_are_named_as_rounding():
    culprit = find_culprit(measured(converted(percentile=100), timesteps=4).layers)
    assert culprit.cause == "rounding"


def test_random_input_spikes_are_named():
    culprit = find_culprit(measured(converted(percentile=100), coding="poisson", timesteps=24).layers)
    assert culprit.cause == "input"
    assert culprit.layer.sources == ()


def test_a_reset_to_zero_is_named():
    assert find_culprit(measured(converted(reset="zero")).layers).cause == "reset"


def test_a_population_that_nothing_excites_is_named_before_all_others():
    model = copy.deepcopy(small())
    with torch.no_grad():
        model[3].bias.fill_(-100.0)
    conversion = convert(
        model, nets.SHAPE, nets.LABELS, nets.inputs(32), method=Method(), max_error=None, check_timesteps=4
    )
    found = measured(conversion, model)
    culprit = find_culprit(found.layers)
    assert culprit.cause == "dead"
    assert culprit.layer.name in Verdict(found).worst
    assert "scaled as in training" in Verdict(found).worst


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"clipping": 0.2, "clipped": 0.03}, r"relu1 \(20.0 % .*3.00 % .* clipped.*higher percentile"),
        ({"early": 0.3}, r"before the inhibition.*more timesteps"),
        ({"late": 0.3}, r"one spike a timestep.*more than once a timestep"),
        ({"rounding": 0.3, "active_rate": 0.04}, r"4.0 per active neuron.*one scale per channel"),
        ({"rounding": 0.3, "active_rate": 0.2}, r"20.0 per active neuron.*more timesteps bring it closer"),
        ({"arrived": 0.4}, r"from the input.*constant current"),
        ({"arrived": 0.4, "sources": ("relu0",), "behind_max_pool": True}, r"the max pool.*'exact'"),
        ({"arrived": None, "reset": "zero", "error": 0.5}, r"reset to zero.*reset by subtraction"),
        ({"arrived": None, "error": 0.5}, r"cannot be split"),
        ({"dead": 1.0}, r"no sample excites"),
        ({}, r"No layer stands out; .* 1.0 % in relu1"),
    ],
)
def test_the_advice_follows_from_the_figures(figures, says):
    verdict = Verdict(replace(FOUND, timesteps=100, layers=(layer(**figures), layer("relu9", rounding=0.001))))
    assert verdict.culprit.layer.name == "relu1"
    assert re.search(says, verdict.worst)


def test_what_arrives_wrong_from_a_layer_before_is_not_blamed_on_the_next():
    layers = (layer("relu1", rounding=0.2, error=0.2), layer("relu2", sources=("relu1",), arrived=0.5, error=0.5))
    assert find_culprit(layers).layer.name == "relu1"
