"""Whatever cannot be converted is refused with the layer's name and a way out; nothing passes silently."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from dvs_run.pipeline.convert import Method, Readout, convert
from dvs_run.pipeline.errors import ConversionError

from . import nets


def chain(*middle, features=1568):
    """conv, ReLU, `middle`, linear; the middle begins with layer 2."""
    return lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *middle, nn.Flatten(), nn.Linear(features, 6))


def activation(module):
    return lambda: nn.Sequential(nn.Conv2d(3, 8, 3), module, nn.Flatten(), nn.Linear(1568, 6))


def shifting_norm():
    norm = nn.BatchNorm2d(8)
    nn.init.constant_(norm.bias, 0.3)
    return norm


def infinite(layer):
    nn.init.constant_(layer.weight, float("nan"))
    return layer


def forward(scheme, features=2048, **modules):
    return lambda: nets.Forward(scheme, features, **modules)


REFUSED = {  # name: (model, what the message must say)
    "ELU": (activation(nn.ELU()), r"'1' \(ELU\).*nn.ReLU"),
    "GELU": (activation(nn.GELU()), r"'1' \(GELU\).*nn.ReLU"),
    "SiLU": (activation(nn.SiLU()), r"'1' \(SiLU\).*nn.ReLU"),
    "Sigmoid": (activation(nn.Sigmoid()), r"'1' \(Sigmoid\).*nn.ReLU"),
    "Tanh": (activation(nn.Tanh()), r"'1' \(Tanh\).*nn.ReLU"),
    "softmax in the middle": (
        chain(nn.Flatten(), nn.Softmax(dim=1)), r"layer '3' is a softmax in the middle.*may only be the end"
    ),
    "softmax over the wrong axis": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softmax(dim=2)), r"'1' \(Softmax\).*axis 2"
    ),
    "multiplication of branches": (
        forward(lambda m, x: (lambda a: m.fc((a * m.conv2(a)).flatten(1)))(m.act(m.conv1(x)))),
        r"'mul'.*multiplies 'act' with 'conv2'.*without the gate"
    ),
    "GroupNorm": (chain(nn.GroupNorm(2, 8)), r"'2' \(GroupNorm\).*BatchNorm2d"),
    "InstanceNorm": (chain(nn.InstanceNorm2d(8)), r"'2' \(InstanceNorm2d\).*BatchNorm2d"),
    "LayerNorm": (chain(nn.LayerNorm([8, 14, 14])), r"'2' \(LayerNorm\).*BatchNorm2d"),
    "batch norm without statistics": (
        activation(nn.BatchNorm2d(8, track_running_stats=False)), r"'1' \(BatchNorm2d\).*statistics from each batch"
    ),
    "transposed convolution": (
        chain(nn.ConvTranspose2d(8, 8, 3), features=2048), r"'2' \(ConvTranspose2d\).*nn.Upsample"
    ),
    "average pooling with ceil_mode": (
        chain(nn.AvgPool2d(3, ceil_mode=True), features=200), r"'2' \(AvgPool2d\).*ceil_mode"
    ),
    "adaptive pooling to unequal windows": (
        chain(nn.AdaptiveAvgPool2d(4), features=128), r"'2' \(AdaptiveAvgPool2d\).*from 14x14 to 4x4 differ"
    ),
    "reflecting padding": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 6)
        ),
        r"'0' \(Conv2d\).*padding_mode is 'reflect'",
    ),
    "linear over an image": (
        lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Flatten(), nn.Linear(768, 6)),
        r"'0' \(Linear\).*flatten it",
    ),
    "a mean over channels": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).mean(1).flatten(1)), 256), r"layer 'mean'.*only the axes 2 and 3"
    ),
    "dropout that never rests": (
        forward(lambda m, x: m.fc(functional.dropout(m.act(m.conv1(x))).flatten(1))), r"'dropout'.*active in eval mode"
    ),
    "division by the data": (
        forward(lambda m, x: m.fc((1 / (m.act(m.conv1(x)) + 1)).flatten(1))), r"divides by the data"
    ),
    "a constant a pixel": (
        forward(lambda m, x: m.fc((m.act(m.conv1(x)) * torch.rand(16, 16)).flatten(1))), r"its constant has shape"
    ),
    "weights that are data": (
        forward(lambda m, x: functional.linear(m.fc.weight, m.act(m.conv1(x)).flatten(1))),
        r"weights are made from the data"
    ),
    "a loop on the data": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).flatten(1)) if x.sum() > 0 else x), r"cannot be traced"
    ),
    "no layer at all": (lambda: nn.Flatten(), r"no layer that computes|cannot be traced"),
    "a recurrent layer": (
        forward(lambda m, x: m.fc(m.rnn(m.act(m.conv1(x)).flatten(1))[0]), 4, rnn=nn.RNN(2048, 4)),
        r"layer 'rnn' \(RNN\) cannot be converted: it returns several tensors",
    ),
    "a 1-d convolution": (
        forward(lambda m, x: m.fc(m.one(m.act(m.conv1(x)).flatten(2)).flatten(1)), 1524, one=nn.Conv1d(8, 6, 3)),
        r"layer 'one' \(Conv1d\).*supported are",
    ),
    "SiLU by function": (
        forward(lambda m, x: m.fc(functional.silu(m.conv1(x)).flatten(1))), r"layer 'silu'.*straight pieces.*ReLU6"
    ),
    "Hardswish": (activation(nn.Hardswish()), r"'1' \(Hardswish\).*multiplies.*nn.ReLU"),
    "Softplus": (activation(nn.Softplus()), r"'1' \(Softplus\).*straight pieces"),
    "squeeze and excitation": (
        forward(
            lambda m, x: (lambda a: m.fc((a * m.gate(a.mean((2, 3), keepdim=True)).sigmoid()).flatten(1)))(
                m.act(m.conv1(x))
            ),
            gate=nn.Conv2d(8, 8, 1),
        ),
        r"layer 'sigmoid'.*straight pieces",
    ),
    "a gate of straight pieces": (
        forward(
            lambda m, x: (lambda a: m.fc((a * functional.hardsigmoid(m.conv2(a))).flatten(1)))(m.act(m.conv1(x))),
        ),
        r"layer 'mul'.*a gate, squeeze-and-excitation, attention.*without the gate",
    ),
    "attention": (
        forward(
            lambda m, x: (lambda a: m.fc(torch.matmul(a, a.transpose(2, 3)).flatten(1)))(m.act(m.conv1(x))),
        ),
        r"layer 'matmul'.*do not multiply.*without attention",
    ),
    "a threshold that jumps": (activation(nn.Threshold(0.5, 0.0)), r"'1' \(Threshold\).*jumps from 0.0 to 0.5"),
    "a maximum of branches": (
        forward(lambda m, x: (lambda a: m.fc(torch.maximum(a, m.conv2(a)).flatten(1)))(m.act(m.conv1(x)))),
        r"layer 'maximum'.*compares two branches",
    ),
    "max pooling with indices": (
        forward(lambda m, x: m.fc(functional.max_pool2d(m.act(m.conv1(x)), 2, return_indices=True)[0].flatten(1)), 512),
        r"max_pool2d.*(places of the largest|several tensors)",
    ),
    "dilated max pooling": (chain(nn.MaxPool2d(2, 2, dilation=3), features=288), r"'2' \(MaxPool2d\).*dilation is 3"),
    "max pooling over the border of signed values": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.MaxPool2d(3, ceil_mode=True), nn.ReLU(), nn.Flatten(), nn.Linear(200, 6)
        ),
        r"'1' \(MaxPool2d\).*behind the ReLU, or use ceil_mode=False",
    ),
    "padded averages that do not count the padding": (
        chain(nn.AvgPool2d(2, padding=1, count_include_pad=False), features=512), r"'2' \(AvgPool2d\).*at the border"
    ),
    "smooth up-sampling": (
        chain(nn.Upsample(scale_factor=2, mode="bilinear"), features=6272), r"'2' \(Upsample\).*mode='nearest'"
    ),
    "up-sampling by one and a half": (
        chain(nn.Upsample(scale_factor=1.5), features=3528), r"'2' \(Upsample\).*by a whole factor"
    ),
    "padding with ones": (chain(nn.ConstantPad2d(1, 1.0), features=2048), r"'2' \(ConstantPad2d\).*pad with zeros"),
    "cropping": (chain(nn.ZeroPad2d(-1), features=1152), r"'2' \(ZeroPad2d\).*cuts off"),
    "a crop by slices": (
        forward(lambda m, x: m.fc(m.act(m.conv2(m.act(m.conv1(x))[:, :, 2:-2, 2:-2])).flatten(1)), 1152),
        r"layer 'conv2'.*values moved from those of 'act'",
    ),
    "joining along the rows": (
        forward(lambda m, x: (lambda a: m.fc(torch.cat([a, a], 2).flatten(1)))(m.act(m.conv1(x))), 4096),
        r"layer 'cat'.*joins along axis 2.*along the channels",
    ),
    "joining with constants": (
        forward(lambda m, x: m.fc(torch.cat([m.act(m.conv1(x)), torch.ones(2, 1, 16, 16)], 1).flatten(1)), 2304),
        r"layer 'cat'.*with constants",
    ),
    "sums that are spread": (
        forward(lambda m, x: (lambda a: m.fc((a + a.mean((2, 3), keepdim=True)).flatten(1)))(m.act(m.conv1(x)))),
        r"layer 'add'.*shapes \(8, 16, 16\) and \(8, 1, 1\)",
    ),
    "two results": (
        forward(lambda m, x: (lambda a: (m.fc(a.flatten(1)), a))(m.act(m.conv1(x)))),
        r"returns 2 results \(0, 1\).*output=NUMBER",
    ),
    "weights that are no numbers": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), infinite(nn.Linear(1568, 6))),
        r"layer '3' has weights or biases that are infinite",
    ),
    "a place in the weights that is data": (
        forward(lambda m, x: m.fc(m.act(functional.conv2d(x, m.conv1(x)[:2, :3, :3, :3])).flatten(1)), 392),
        r"weights are made from the data",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_refused_by_name(name):
    make, message = REFUSED[name]
    torch.manual_seed(0)
    with pytest.raises(ConversionError, match=message):
        convert(make().eval(), nets.SHAPE, nets.LABELS, nets.inputs(8))


def test_an_input_of_another_shape_is_refused_with_the_layer_s_name():
    model = nets.fitted(nets.SUPPORTED["conv, average pool, linear"])
    with pytest.raises(ConversionError, match=r"does not take an input of shape \(3, 18, 18\).*at layer '4'"):
        convert(model, (3, 18, 18), nets.LABELS, nets.inputs(8, (3, 18, 18)))


def test_a_torchscript_module_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is giving it up
        scripted = torch.jit.trace(nets.fitted(nets.SUPPORTED["linear layers only"]), nets.inputs(1))
    with pytest.raises(ConversionError, match="pass the nn.Module that it was made of"):
        convert(scripted, nets.SHAPE, nets.LABELS, nets.inputs(8))


def test_a_second_input_is_refused():
    class Two(nn.Module):
        def forward(self, x, y):
            return x + y

    with pytest.raises(ConversionError, match="at layer 'y'|second input 'y'"):
        convert(Two(), nets.SHAPE, nets.LABELS, nets.inputs(8))


def test_a_forward_that_is_not_a_function_of_its_input_is_caught():
    calls = iter(range(1, 10_000))
    model = nets.fitted(nets.SUPPORTED["conv, average pool, linear"])
    model.register_forward_hook(lambda module, arguments, output: output + next(calls))
    with pytest.raises(ConversionError, match="another result for the same input the second time"):
        convert(model, nets.SHAPE, nets.LABELS, nets.inputs(8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"percentile": 0.0}, "percentile is 0.0, want above 0"),
        ({"percentile": 100.1}, "percentile is 100.1"),
        ({"over": "some"}, "over is 'some', want 'all' or 'nonzero'"),
        ({"per": "neuron"}, "per is 'neuron', want 'layer' or 'channel'"),
        ({"reset": "modulo"}, "reset is 'modulo', want 'subtract' or 'zero'"),
        ({"v_init": 1.0}, "v_init is 1.0, want a share"),
        ({"input_scale": 0.0}, "input_scale is 0.0, want above 0"),
        ({"check_timesteps": 0}, "check_timesteps is 0"),
        ({"method": Method(threshold_scale=0.5), "v_init": 2.0}, "v_init is 2.0"),
        ({"delays_us": (0, 1000)}, "2 delays cannot divide the CNN's 3 input channels"),
        ({"readout": Readout("count"), "max_error": 1e-6}, "off the CNN after 128 timesteps"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ConversionError, match=message):
        convert(
            nets.fitted(nets.SUPPORTED["conv, average pool, linear"]),
            nets.SHAPE,
            nets.LABELS,
            nets.inputs(8),
            **settings,
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"normalization": "max"}, "normalization is 'max', want 'percentile' or"),
        ({"form": "both"}, "form is 'both', want 'weights' or 'thresholds'"),
        ({"input": "rate"}, "input is 'rate', want 'constant' or 'poisson'"),
        ({"pool_rule": "last"}, "pool_rule is 'last', want 'fir'"),
        ({"threshold_scale": 0.0}, "threshold_scale is 0.0, want above 0"),
        ({"threshold_scale": {"1": -1.0}}, "threshold_scale of '1' is -1.0"),
        ({"v_min": 0.5}, "v_min is 0.5, want a share of the threshold of at most 0"),
        ({"max_spikes": 0}, "max_spikes is 0, want a whole number"),
        ({"lambdas": {"nobody": 1.0}}, "lambdas name nobody, which are no populations"),
    ],
)
def test_a_method_without_meaning_is_refused(settings, message):
    model = nets.fitted(nets.SUPPORTED["conv, average pool, linear"])
    with pytest.raises(ConversionError, match=message):
        convert(model, nets.SHAPE, nets.LABELS, nets.inputs(8), method=Method(**settings))


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (torch.rand(0, 3, 16, 16), r"have shape \(0, 3, 16, 16\)"),
        (torch.rand(4, 3, 8, 8), r"have shape \(4, 3, 8, 8\), want \(n, 3, 16, 16\)"),
        ([], r"have shape \(0, 3, 16, 16\)"),
        (torch.full((2, 3, 16, 16), float("nan")), "infinite or undefined"),
        (torch.zeros(2, 3, 16, 16), "all 0"),
    ],
)
def test_calibration_inputs_that_say_nothing_are_refused(calibration, message):
    with pytest.raises(ConversionError, match=message):
        convert(nets.fitted(nets.SUPPORTED["conv, average pool, linear"]), nets.SHAPE, nets.LABELS, calibration)
