"""Levels as firing rates: exact in the count form, told apart from bursts, refused where neither carries them."""

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Clocked, Method, convert
from dvs_run.pipeline.convert.cnn import Activation
from dvs_run.pipeline.convert.methods.counts import count_form
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import IF, Conv2d
from dvs_run.pipeline.train.quantized import FloorReLU

from .discrete_nets import LABELS, SHAPE, Sign, conv, images, model_of, qcfs


def converted(model, **settings):
    return convert(model, SHAPE, LABELS, images(), method=Method(**settings), check_timesteps=2, max_error=None)


@pytest.mark.parametrize("levels", [4, 8])
def test_as_rates_levels_are_exact_in_the_count_form_and_not_in_time(levels):
    torch.manual_seed(0)
    model = nn.Sequential(
        conv(2),
        qcfs(levels, 0.5),
        conv(),
        qcfs(levels, 0.4),
        conv(),
        qcfs(levels, 0.4),
        nn.Flatten(),
        nn.Linear(600, 5),
    ).eval()
    conversion, x = converted(model, stepped="rate"), images(seed=8).double()
    first = next(layer for layer in conversion.network.layers if layer.name == "1")
    assert (first.max_spikes, first.v_init[0], first.threshold[0]) == (1, 0.5, 1.0)
    scores, counts = count_form(conversion.network, x, levels)
    state = Clocked(conversion.network, len(x), torch.float64)
    for _ in range(levels):
        state.step(x, is_current=True)
    wrong = {}
    for node, value in conversion.cnn.activations(x):
        if isinstance(node, Activation):
            wanted = (value / node.step).round()
            assert torch.equal(counts[node.name], wanted)
            wrong[node.name] = float((state.spikes[node.name] != wanted).double().mean())
    assert wrong["1"] == 0, "constant current is even"
    assert wrong["5"] > 0.005, "spikes are not: the count form says nothing about time"
    assert torch.allclose(scores / levels, conversion.cnn.logits(x), rtol=0, atol=1e-6)


def test_neurons_without_a_highest_level_have_room_for_twice_what_calibration_showed():
    model = model_of("whole spikes without a ceiling")
    conversion = converted(model)
    layers = {layer.name: layer for layer in conversion.network.layers}
    largest = {layer.name: layer.maximum for layer in conversion.report.layers}
    assert layers["1"].max_spikes == max(16, 2 * round(largest["1"] / 0.1))
    assert layers["3"].max_spikes == max(16, 2 * round(largest["3"] / 0.05))


def mixed(*first):
    torch.manual_seed(0)
    return nn.Sequential(conv(2), *first, conv(), qcfs(), nn.Flatten(), nn.Linear(600, 5)).eval()


def test_levels_behind_rates_are_rates_themselves():
    conversion = converted(mixed(nn.ReLU()))
    assert conversion.method.stepped == "rate"
    assert converted(mixed(Sign())).method.stepped == "burst"
    assert all(isinstance(layer, IF | Conv2d) or layer.name in ("4", "5") for layer in conversion.network.layers)


def test_a_network_without_levels_says_nothing_of_them():
    torch.manual_seed(0)
    model = nn.Sequential(conv(2), nn.ReLU(), nn.Flatten(), nn.Linear(600, 5)).eval()
    assert "stepped" not in converted(model).network.provenance


def test_of_streams_levels_are_rates_unless_told_otherwise():
    model = model_of("QCFS, pools behind it")
    for stepped, kept in (("auto", "rate"), ("burst", "burst")):
        made = convert(
            model,
            SHAPE,
            LABELS,
            images(),
            method=Method(stepped=stepped),
            timestep_us=1000,
            check_timesteps=2,
            max_error=None,
        )
        assert made.network.provenance["stepped"] == kept


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (
            lambda: mixed(nn.ReLU()),
            {"stepped": "burst"},
            "layer '3' cannot count in bursts: '1' .relu. before it has no",
        ),
        (lambda: mixed(FloorReLU(0.1)), {"stepped": "rate"}, "layer '1' is quantized without a highest level"),
        (lambda: mixed(nn.ReLU(), conv(), FloorReLU(0.1)), {}, "layer '3' is quantized without a highest level"),
        (lambda: mixed(qcfs()), {"lambdas": {"1": 0.5}}, "lambdas name '1', whose steps are its own"),
    ],
)
def test_what_neither_bursts_nor_rates_can_carry_is_refused_by_name(make, settings, message):
    with pytest.raises(ConversionError, match=message):
        converted(make(), **settings)
