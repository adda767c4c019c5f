"""Weights and activations of one bit: values and gradients by hand, shadows, the plain layer of the same function."""

import pytest
import torch
from torch import nn

from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.train.binary import (
    SCHEMES,
    HeavisideActivation,
    SignActivation,
    binarize,
    clip_shadow_weights,
    make_binary,
    shadow_weight,
)
from dvs_run.pipeline.train.models import build_model
from dvs_run.pipeline.train.quantized import start_weights

WEIGHT = [[0.5, -0.25, 0.0, 1.25], [-2.0, 1.0, -1.0, 0.0]]
UPSTREAM = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])


def gradient(scheme):
    weight = torch.tensor(WEIGHT, requires_grad=True)
    (binarize(weight, scheme) * UPSTREAM).sum().backward()
    return weight.grad


def test_binary_connect_takes_signs_and_zero_is_positive():
    assert binarize(torch.tensor(WEIGHT), "connect").tolist() == [[1, -1, 1, 1], [-1, 1, -1, 1]]


def test_binary_connect_passes_gradients_straight_through_within_one():
    assert gradient("connect").tolist() == [[1, 2, 3, 0], [0, 6, 7, 8]]


def test_xnor_scales_each_output_by_its_mean_magnitude():
    # α = (0.5 + 0.25 + 0 + 1.25) / 4 and (2 + 1 + 1 + 0) / 4
    assert binarize(torch.tensor(WEIGHT), "xnor").tolist() == [[0.5, -0.5, 0.5, 0.5], [-1, 1, -1, 1]]


def test_xnor_gradients_pass_through_the_sign_and_through_the_scale():
    # Through the scale: Σ g·sign = 1 - 2 + 3 + 4 = 6 and -5 + 6 - 7 + 8 = 2, a quarter of it times the slope of |w|,
    # which is 0 at w = 0. Through the sign: α·g where |w| <= 1.
    wanted = [[0.5 * 1 + 1.5, 0.5 * 2 - 1.5, 0.5 * 3 + 0, 0 + 1.5], [0 - 0.5, 6 + 0.5, 7 - 0.5, 8 + 0]]
    assert gradient("xnor").tolist() == wanted


def test_stochastic_signs_are_drawn_by_the_hard_sigmoid_in_training_alone():
    torch.manual_seed(0)
    layer = make_binary(nn.Linear(40_000, 2, bias=False), "connect-stochastic")
    shadow = shadow_weight(layer)
    shadow.data[0], shadow.data[1] = 0.4, 1.0
    drawn = layer.weight
    assert (drawn[0] > 0).float().mean().item() == pytest.approx(0.7, abs=0.01)  # (0.4 + 1) / 2
    assert (drawn[1] == 1).all()
    drawn.sum().backward()
    assert (shadow.grad == 1).all()
    assert (layer.eval().weight == 1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_weight_of_a_binary_layer_is_the_one_it_computes_with(scheme):
    torch.manual_seed(1)
    conv = make_binary(nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), groups=2), scheme).eval()
    plain = nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), groups=2)
    with torch.no_grad():
        plain.weight.copy_(binarize(shadow_weight(conv), scheme))
        plain.bias.copy_(conv.bias)
    x = torch.rand(2, 4, 7, 8)
    assert torch.equal(plain(x), conv(x))
    assert torch.equal(plain.weight, conv.weight)
    assert all(len(torch.unique(row.abs())) == 1 for row in conv.weight)


def test_shadow_weights_are_clipped_and_others_are_not():
    model = nn.Sequential(
        make_binary(nn.Linear(2, 2), "connect"), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    )
    shadow_weight(model[0]).data.fill_(-3.0)
    model[0].bias.data.fill_(5.0)
    model[1].weight = torch.full((2, 2), -3.0)
    clip_shadow_weights(model)
    assert (shadow_weight(model[0]) == -1).all()
    assert (model[0].bias == 5).all()
    assert torch.allclose(model[1].weight, torch.tensor(-3.0))
    assert shadow_weight(model[1]) is None
    assert shadow_weight(nn.Linear(2, 2)) is None


def test_sign_activation_and_its_gradient():
    x = torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.2, 1.0, 3.0], requires_grad=True)
    values = SignActivation()(x)
    values.sum().backward()
    assert values.tolist() == [-1, -1, -1, 1, 1, 1, 1]
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_heaviside_activation_is_silent_at_zero_and_has_half_the_slope():
    x = torch.tensor([-3.0, -1.0, -0.2, 0.0, 0.2, 1.0, 3.0], requires_grad=True)
    values = HeavisideActivation()(x)
    values.sum().backward()
    assert values.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert x.grad.tolist() == [0, 0.5, 0.5, 0.5, 0.5, 0.5, 0]


def test_a_binary_layer_learns_through_its_shadows():
    torch.manual_seed(3)
    layer, teacher = make_binary(nn.Linear(20, 4, bias=False), "xnor"), torch.randn(4, 20).sign() * 0.3
    optimizer = torch.optim.Adam(layer.parameters(), 0.02)
    for _ in range(150):
        x = torch.randn(64, 20)
        loss = (layer(x) - x @ teacher.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clip_shadow_weights(layer)
    assert torch.allclose(layer.weight, teacher, atol=0.03)


def spec(**options):
    layers = [{"conv": 4, "batch_norm": True}, {"conv": 4, "batch_norm": True, **options}, {"linear": 3, **options}]
    return {"input": [1, 6, 6], "layers": layers}


def test_a_layer_list_may_ask_for_binary_weights_and_start_from_real_ones():
    real, binary = build_model(spec()), build_model(spec(binary="xnor"))
    start_weights(binary, real, torch.rand(4, 1, 6, 6), "real.pt")
    assert torch.equal(shadow_weight(binary.conv2), real.conv2.weight)
    assert torch.equal(shadow_weight(binary.linear1), real.linear1.weight)
    assert shadow_weight(binary.conv1) is None
    again = build_model(spec(binary="connect"))
    start_weights(again, binary, torch.rand(4, 1, 6, 6), "binary.pt")
    assert torch.equal(shadow_weight(again.conv2), real.conv2.weight)
    start_weights(real, binary, torch.rand(4, 1, 6, 6), "binary.pt")  # and back
    with pytest.raises(NetworkError, match=r"layer 1 \(conv\): binary is 'ternary', want one of xnor, connect"):
        build_model(spec(binary="ternary"))
