"""What people write in a forward: keywords, products with a constant, in-place work on views, half precision.

Each is converted exactly, or refused with the name of what cannot be, never with a mistake of ours.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from dvs_run.pipeline.convert import convert, import_cnn
from dvs_run.pipeline.errors import ConversionError

from . import nets

WEIGHTS = torch.randn(8, 6, generator=torch.Generator().manual_seed(3))


def forward(scheme, features=2048):
    torch.manual_seed(0)
    return nets.Forward(scheme, features).eval()


def activated(m, x):
    return m.act(m.conv1(x))


def in_place_on_a_view(m, x):
    h = m.conv1(x)
    h.view(h.size(0), -1).relu_()
    return m.fc(h.flatten(1))


def in_place_on_what_dropout_returned(m, x):
    h = m.conv1(x)
    functional.dropout(h, training=False).relu_()
    return m.fc((h + m.conv2(h)).flatten(1))


def in_place_on_one_half(m, x):
    a, b = m.conv1(x).chunk(2, 1)
    return m.fc(torch.cat([a.relu_(), b], 1).relu().flatten(1))


def a_shape_read_after_a_part_was_changed(m, x):
    h = m.conv1(x)
    a, b = h.chunk(2, 1)
    a.relu_()
    return m.fc(torch.cat([a, b], 1).relu().view(h.size(0), -1))


def dropout_in_place_on_a_part(m, x):
    h = m.conv1(x)
    functional.dropout(h[:, :4], training=False, inplace=True)
    return m.fc(h.relu().flatten(1))


EXACT = {
    "a shape read after a part was changed": a_shape_read_after_a_part_was_changed,
    "dropout in place on a part": dropout_in_place_on_a_part,
    "a module with a keyword": lambda m, x: m.fc(m.act(input=m.conv1(input=x)).flatten(1)),
    "functions with keywords": lambda m, x: m.fc(
        torch.flatten(
            input=functional.relu(
                input=functional.conv2d(input=x, weight=m.conv1.weight, bias=m.conv1.bias, padding=1)
            ),
            start_dim=1,
        )
    ),
    "other as a keyword": lambda m, x: m.fc(torch.add(m.conv1(x), other=m.conv1(x), alpha=2).relu().flatten(1)),
    "a mean that is expanded": lambda m, x: m.fc(
        (lambda a: a - a.mean((2, 3), keepdim=True).expand_as(a))(activated(m, x)).relu().flatten(1)
    ),
    "the shape of another": lambda m, x: m.fc((lambda a: a.flatten(1).view_as(a) + a)(activated(m, x)).flatten(1)),
    "a product with constants": lambda m, x: activated(m, x).mean((2, 3)) @ WEIGHTS + WEIGHTS[0],
    "torch.mm": lambda m, x: torch.mm(activated(m, x).mean((2, 3)), WEIGHTS),
    "in place on a view": in_place_on_a_view,
    "in place on what dropout returned": in_place_on_what_dropout_returned,
    "in place on one half": in_place_on_one_half,
}


@pytest.mark.parametrize("name", EXACT)
def test_what_a_forward_says_is_converted_exactly(name):
    model = forward(EXACT[name])
    x = nets.inputs(8)
    assert convert(model, nets.SHAPE, nets.LABELS, x, check_timesteps=4, max_error=None).report.folding_error < 1e-5
    cnn = import_cnn(model, nets.SHAPE)
    with torch.inference_mode():
        assert torch.allclose(cnn(x.double()).float(), model(x), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_compared_in_float32_with_a_note(dtype):
    model = forward(lambda m, x: m.fc(activated(m, x).flatten(1))).to(dtype)
    conversion = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(8), check_timesteps=4, max_error=None)
    assert conversion.report.folding_error < 1e-5
    assert f"the model computes in {dtype}; it is converted and checked in float32" in conversion.cnn.notes
    assert next(model.parameters()).dtype == dtype


def test_what_wraps_a_model_for_several_devices_is_taken_off():
    model = forward(EXACT["torch.mm"])
    found, wanted = (import_cnn(given, nets.SHAPE) for given in (nn.DataParallel(model), model))
    assert [node.name for node in found.nodes] == [node.name for node in wanted.nodes]


def a_part_in_place(m, x):
    h = m.conv1(x)
    h[:, :4].relu_()
    return m.fc(h.flatten(1))


def assigned(m, x):
    h = m.conv1(x)
    h[:, 0] = 0
    return m.fc(h.flatten(1))


REFUSED = {
    "a part in place": (a_part_in_place, r"'relu_' .*changes a part of 'conv1' in place, which 'flatten' reads"),
    "an assignment": (assigned, r"does not support item assignment, at test_forwards.py:\d+: h\[:, 0\] = 0\)"),
    "a traced assignment": (
        lambda m, x: (lambda a: (a.__setitem__((slice(None), 0), 0.0), m.fc(a.flatten(1)))[1])(activated(m, x)),
        r"\(setitem\) cannot be converted: it assigns to a part",
    ),
    "whole numbers": (
        lambda m, x: m.fc(activated(m, x).to(torch.int32).float().flatten(1)), r"'to' \(to\).*rounds.*to torch.int32"
    ),
    "a part of a softmax": (
        lambda m, x: m.fc(activated(m, x).flatten(1)).softmax(1)[:, 1:],
        r"layer 'softmax' is a softmax in the middle, 'getitem' comes after it",
    ),
    "a constant in the shape of the data": (
        lambda m, x: (lambda a: m.fc((a + torch.ones(16, 16).expand_as(a)).flatten(1)))(activated(m, x)),
        r"'add' \(add\).*its constant has shape \(2, 8, 16, 16\)",
    ),
    "the constant first": (
        lambda m, x: (WEIGHTS.t() @ activated(m, x).mean((2, 3)).t()).t(), r"'matmul'.*no matrix behind the data"
    ),
    "attention": (
        lambda m, x: (lambda a: a @ a.transpose(2, 3))(activated(m, x)), r"'matmul'.*do not multiply.*without attention"
    ),
    "an unknown keyword": (
        lambda m, x: torch.mean(activated(m, x), (2, 3), out=None),
        r"'mean' \(mean\).*does not know \(got an unexpected keyword argument 'out'\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_named(name):
    scheme, message = REFUSED[name]
    with pytest.raises(ConversionError, match=message):
        convert(forward(scheme), nets.SHAPE, nets.LABELS, nets.inputs(8))


def test_a_hook_that_changes_an_output_is_suspected_by_name():
    model = forward(lambda m, x: m.fc(activated(m, x).flatten(1)))
    model.act.register_forward_hook(lambda module, given, made: made + 1)
    with pytest.raises(ConversionError, match="'act' has a hook, which may change what goes in or out"):
        convert(model, nets.SHAPE, nets.LABELS, nets.inputs(8))
