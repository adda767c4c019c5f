"""Whatever cannot be converted is refused with the layer's name and a way out; nothing passes silently."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from dvs_run.pipeline.convert import Readout, convert
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


def forward(scheme, features=2048, **modules):
    return lambda: nets.Forward(scheme, features, **modules)


REFUSED = {  # name: (model, what the message must say)
    "max pooling": (chain(nn.MaxPool2d(2), features=392), r"layer '2' \(MaxPool2d\).*train with nn.AvgPool2d"),
    "max pooling by function": (
        forward(lambda m, x: m.fc(functional.max_pool2d(m.act(m.conv1(x)), 2).flatten(1)), 512),
        r"max_pool2d.*train with nn.AvgPool2d",
    ),
    "adaptive max pooling": (chain(nn.AdaptiveMaxPool2d(7), features=392), r"AdaptiveMaxPool2d.*nn.AvgPool2d"),
    "LeakyReLU": (activation(nn.LeakyReLU()), r"layer '1' \(LeakyReLU\).*negative.*train with nn.ReLU"),
    "leaky_relu": (
        forward(lambda m, x: m.fc(functional.leaky_relu(m.conv1(x)).flatten(1))),
        r"layer 'leaky_relu'.*train with nn.ReLU",
    ),
    "PReLU": (activation(nn.PReLU()), r"'1' \(PReLU\).*nn.ReLU"),
    "ELU": (activation(nn.ELU()), r"'1' \(ELU\).*nn.ReLU"),
    "GELU": (activation(nn.GELU()), r"'1' \(GELU\).*nn.ReLU"),
    "SiLU": (activation(nn.SiLU()), r"'1' \(SiLU\).*nn.ReLU"),
    "ReLU6": (activation(nn.ReLU6()), r"'1' \(ReLU6\).*ceiling.*nn.ReLU"),
    "Sigmoid": (activation(nn.Sigmoid()), r"'1' \(Sigmoid\).*nn.ReLU"),
    "Tanh": (activation(nn.Tanh()), r"'1' \(Tanh\).*nn.ReLU"),
    "clamp to 0..1": (
        forward(lambda m, x: m.fc(m.conv1(x).clamp(0, 1).flatten(1))), r"'clamp'.*within 0..1; only clamp\(min=0\)"
    ),
    "softmax in the middle": (
        chain(nn.Flatten(), nn.Softmax(dim=1)), r"layer '3' is a softmax in the middle.*may only be the end"
    ),
    "softmax over the wrong axis": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softmax(dim=2)), r"'1' \(Softmax\).*axis 2"
    ),
    "residual addition": (
        forward(lambda m, x: (lambda a: m.fc((a + m.act(m.conv2(a))).flatten(1)))(m.act(m.conv1(x)))),
        r"layer 'add'.*joins the branches 'act' and 'act'.*chains only",
    ),
    "concatenation": (
        forward(
            lambda m, x: (lambda a: m.fc(torch.cat([a, m.act(m.conv2(a))], 1).flatten(1)))(m.act(m.conv1(x))), 4096
        ),
        r"layer 'cat'.*joins the branches.*chains only",
    ),
    "a branch that is not joined": (
        forward(lambda m, x: (lambda a: [m.act(m.conv2(a)), m.fc(a.flatten(1))][1])(m.act(m.conv1(x)))),
        r"branches off 'act', which feeds another layer too",
    ),
    "multiplication of branches": (
        forward(lambda m, x: (lambda a: m.fc((a * m.conv2(a)).flatten(1)))(m.act(m.conv1(x)))), r"'mul'.*joins"
    ),
    "an unused in-place result": (
        forward(lambda m, x: (lambda a: [torch.relu(a), m.fc(a.flatten(1))][1])(m.conv1(x))), r"branches off 'conv1'"
    ),
    "two linear layers without a ReLU": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 10), nn.Linear(10, 6)),
        r"layer '2' follows '1' without a ReLU.*merge",
    ),
    "GroupNorm": (chain(nn.GroupNorm(2, 8)), r"'2' \(GroupNorm\).*BatchNorm2d"),
    "InstanceNorm": (chain(nn.InstanceNorm2d(8)), r"'2' \(InstanceNorm2d\).*BatchNorm2d"),
    "LayerNorm": (chain(nn.LayerNorm([8, 14, 14])), r"'2' \(LayerNorm\).*BatchNorm2d"),
    "batch norm without statistics": (
        activation(nn.BatchNorm2d(8, track_running_stats=False)), r"'1' \(BatchNorm2d\).*statistics from each batch"
    ),
    "batch norm before a padded conv": (
        chain(shifting_norm(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()), r"layer '3' pads with zeros.*set padding=0"
    ),
    "batch norm of positions": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.BatchNorm1d(1568), nn.ReLU(), nn.Linear(1568, 6)),
        r"layer '2' scales 1568 values, but '0' before it has 8 channels",
    ),
    "ReLU of the input": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(768, 6)), r"ReLU '0' has no conv"),
    "ReLU behind a batch norm behind a ReLU": (chain(shifting_norm(), nn.ReLU()), r"ReLU '3' has no conv or linear"),
    "transposed convolution": (
        chain(nn.ConvTranspose2d(8, 8, 3), features=2048), r"'2' \(ConvTranspose2d\).*without up-sampling"
    ),
    "up-sampling": (chain(nn.Upsample(scale_factor=2), features=6272), r"'2' \(Upsample\).*without up-sampling"),
    "padded average pooling": (chain(nn.AvgPool2d(2, padding=1), features=512), r"'2' \(AvgPool2d\).*pads by 1"),
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
    "same padding of an even kernel": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 4, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 6)),
        r"'0' \(Conv2d\).*even kernel",
    ),
    "linear over an image": (
        lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Flatten(), nn.Linear(768, 6)),
        r"'0' \(Linear\).*flatten it",
    ),
    "a permutation": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).permute(0, 2, 3, 1).flatten(1))), r"layer 'permute'.*supported are"
    ),
    "a reshape that is no flattening": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).view(-1, 16, 8, 16).flatten(1))), r"layer 'view'.*only flattening"
    ),
    "a mean over channels": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).mean(1).flatten(1)), 256), r"layer 'mean'.*only the mean over"
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
        forward(lambda m, x: functional.linear(m.fc.weight, m.act(m.conv1(x)).flatten(1))), r"input is not its first"
    ),
    "several outputs": (forward(lambda m, x: (m.fc(m.act(m.conv1(x)).flatten(1)), 1)), r"the model returns"),
    "a split": (forward(lambda m, x: m.fc(m.act(m.conv1(x)).chunk(2, 1)[0].flatten(1)), 1024), r"'chunk'.*several"),
    "a loop on the data": (
        forward(lambda m, x: m.fc(m.act(m.conv1(x)).flatten(1)) if x.sum() > 0 else x), r"cannot be traced"
    ),
    "a pool at the end": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        r"ends with the pooling '2'",
    ),
    "no layer at all": (lambda: nn.Flatten(), r"no conv or linear layer|cannot be traced"),
    "a recurrent layer": (
        forward(lambda m, x: m.fc(m.rnn(m.act(m.conv1(x)).flatten(1))[0]), 4, rnn=nn.RNN(2048, 4)),
        r"layer 'rnn' \(RNN\) cannot be converted: it returns several tensors",
    ),
    "a 1-d convolution": (
        forward(lambda m, x: m.fc(m.one(m.act(m.conv1(x)).flatten(2)).flatten(1)), 1524, one=nn.Conv1d(8, 6, 3)),
        r"layer 'flatten'.*only flattening to \(n, features\)",
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


def test_a_relu_at_the_end_cannot_be_read_as_a_membrane():
    make = nets._sequential(nets.conv(3, 8, 3), nets.relu, nets.flat, nets.lin(1568, 6), nets.relu)
    with pytest.raises(ConversionError, match=r"ends with a ReLU.*Readout\('count'\)"):
        convert(nets.fitted(make), nets.SHAPE, nets.LABELS, nets.inputs(8))


def test_a_forward_that_is_not_a_function_of_its_input_is_caught():
    calls = iter(range(1, 10_000))
    model = nets.fitted(nets.SUPPORTED["conv, average pool, linear"])
    model.register_forward_hook(lambda module, arguments, output: output + next(calls))
    with pytest.raises(ConversionError, match="do not compute what the model computes"):
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
