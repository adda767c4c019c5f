"""Convolutions, linear layers, norms, activations and pools of ONNX files compute in torch what they say."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")

from .files import B, W, assert_computes, node, tensor, values, write  # noqa: E402

GROUPED = values(6, 1, 3, 3)


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({}, {}),
        ({"pads": [1, 1, 1, 1]}, {"padding": 1}),
        (
            {"pads": [2, 1, 2, 1], "strides": [2, 1], "dilations": [1, 2]},
            {"padding": (2, 1), "stride": (2, 1), "dilation": (1, 2)},
        ),
        ({"auto_pad": "VALID", "strides": [3, 3]}, {"stride": 3}),
        ({"auto_pad": "SAME_UPPER"}, {"padding": "same"}),
    ],
)  # fmt: skip
def test_a_convolution_keeps_its_geometry(tmp_path, attributes, wanted):
    path = write(tmp_path / "m.onnx", [node("Conv", "x", "W", "B", name="first", **attributes)], W=W, B=B)
    read = assert_computes(path, lambda x: functional.conv2d(x, tensor(W), tensor(B), **wanted))
    assert [type(module) for module in read.module.children()] == [nn.Conv2d]
    assert dict(read.module.named_children())["first"].in_channels == 3


def test_a_convolution_in_groups_keeps_its_groups(tmp_path):
    path = write(tmp_path / "m.onnx", [node("Conv", "x", "W", group=3)], W=GROUPED)
    assert_computes(path, lambda x: functional.conv2d(x, tensor(GROUPED), groups=3))


@pytest.mark.parametrize(
    ("attributes", "pads"),
    [
        ({"pads": [0, 0, 1, 1], "strides": [2, 2]}, (0, 1, 0, 1)),
        ({"pads": [2, 0, 0, 1]}, (0, 1, 2, 0)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (0, 1, 0, 1)),
        ({"auto_pad": "SAME_LOWER", "strides": [2, 2]}, (1, 0, 1, 0)),
    ],
)
def test_more_padding_on_one_side_becomes_a_larger_kernel_that_computes_the_same(tmp_path, attributes, pads):
    path = write(tmp_path / "m.onnx", [node("Conv", "x", "W", "B", name="c", **attributes)], W=W, B=B)
    stride = attributes.get("strides", [1, 1])
    read = assert_computes(
        path, lambda x: functional.conv2d(functional.pad(x, pads), tensor(W), tensor(B), stride=stride)
    )
    assert "c pads one side more than the other" in read.notes[0]
    assert [type(module) for module in read.module.children()] == [nn.Conv2d]


def test_a_pad_before_a_convolution_becomes_its_padding(tmp_path):
    nodes = [node("Pad", "x", "p", to="padded"), node("Conv", "padded", "W", pads=[0, 1, 0, 1])]
    path = write(tmp_path / "m.onnx", nodes, W=W, p=np.array([0, 0, 1, 0, 0, 0, 1, 0]))
    read = assert_computes(path, lambda x: functional.conv2d(x, tensor(W), padding=1))
    assert len(list(read.module.graph.nodes)) == 3


def test_a_pad_before_anything_else_is_carried_out(tmp_path):
    nodes = [
        node("Pad", "x", to="padded", pads=[0, 0, 1, 0, 0, 0, 0, 2], mode="constant", value=0.0),
        node("Relu", "padded"),
    ]
    assert_computes(write(tmp_path / "m.onnx", nodes, opset=9), lambda x: functional.pad(x, (0, 2, 1, 0)).relu())


@pytest.mark.parametrize(("trans", "alpha", "beta"), [(0, 1.0, 1.0), (1, 0.5, 2.0)])
def test_gemm_keeps_alpha_beta_and_the_side_of_its_weights(tmp_path, trans, alpha, beta):
    weight, bias = values(5, 192), values(5)
    nodes = [node("Flatten", "x", to="f"), node("Gemm", "f", "W", "b", transB=trans, alpha=alpha, beta=beta)]
    path = write(tmp_path / "m.onnx", nodes, W=weight if trans else weight.T.copy(), b=bias)
    assert_computes(path, lambda x: alpha * (x.flatten(1) @ tensor(weight).T) + beta * tensor(bias))


def test_a_product_with_a_constant_is_a_linear_layer(tmp_path):
    weight, bias = values(192, 5), values(5)
    nodes = [node("Reshape", "x", "s", to="f"), node("MatMul", "f", "W", to="m", name="fc"), node("Add", "m", "b")]
    path = write(tmp_path / "m.onnx", nodes, W=weight, b=bias, s=np.array([-1, 192]))
    read = assert_computes(path, lambda x: x.flatten(1) @ tensor(weight) + tensor(bias))
    assert isinstance(read.module.fc, nn.Linear)


@pytest.mark.parametrize("epsilon", [1e-5, 0.3])
def test_batch_norm_keeps_its_own_epsilon(tmp_path, epsilon):
    s, b, m, v = values(3), values(3, seed=1), values(3, seed=2), values(3, seed=3, low=0.1)
    path = write(
        tmp_path / "m.onnx", [node("BatchNormalization", "x", "s", "b", "m", "v", epsilon=epsilon)], s=s, b=b, m=m, v=v
    )
    read = assert_computes(
        path, lambda x: functional.batch_norm(x, tensor(m), tensor(v), tensor(s), tensor(b), False, 0, epsilon)
    )
    assert next(read.module.children()).eps == pytest.approx(epsilon)


ACTIVATIONS = [  # node, opset, constants, function, module that it becomes (None: a function of torch)
    (node("Relu", "x"), 7, {}, torch.relu, nn.ReLU),
    (node("LeakyRelu", "x", alpha=0.2), 17, {}, lambda x: functional.leaky_relu(x, 0.2), nn.LeakyReLU),
    (node("PRelu", "x", "s"), 17, {"s": values(3, 1, 1)}, lambda x: functional.prelu(x, tensor(values(3))), nn.PReLU),
    (node("Clip", "x", min=0.0, max=6.0), 7, {}, functional.relu6, nn.ReLU6),
    (node("Clip", "x", "a", "b"), 17, {"a": np.float32(0), "b": np.float32(6)}, functional.relu6, nn.ReLU6),
    (node("Clip", "x", "a"), 17, {"a": np.float32(0)}, torch.relu, nn.ReLU),
    (node("Clip", "x", min=-0.5), 7, {}, lambda x: x.clamp(min=-0.5), None),
    (node("Clip", "x", "", "b"), 11, {"b": np.float32(0.5)}, lambda x: x.clamp(max=0.5), None),
    (node("HardSigmoid", "x", alpha=0.5, beta=0.1), 17, {}, lambda x: (0.5 * x + 0.1).clamp(0, 1), None),
    (node("HardSigmoid", "x"), 17, {}, lambda x: (0.2 * x + 0.5).clamp(0, 1), None),
    (node("Sigmoid", "x"), 17, {}, torch.sigmoid, nn.Sigmoid),
    (node("Tanh", "x"), 17, {}, torch.tanh, nn.Tanh),
    (node("Elu", "x", alpha=0.7), 17, {}, lambda x: functional.elu(x, 0.7), nn.ELU),
    (node("HardSwish", "x"), 17, {}, functional.hardswish, nn.Hardswish),
    (node("Softplus", "x"), 17, {}, functional.softplus, nn.Softplus),
    (node("Gelu", "x", approximate="tanh"), 20, {}, lambda x: functional.gelu(x, approximate="tanh"), nn.GELU),
    (node("Floor", "x"), 17, {}, torch.floor, None),
    (node("Sign", "x"), 17, {}, torch.sign, None),
]


@pytest.mark.parametrize(("item", "opset", "constants", "wanted", "kind"), ACTIVATIONS)
def test_an_activation_is_what_torch_calls_so(tmp_path, item, opset, constants, wanted, kind):
    read = assert_computes(write(tmp_path / "m.onnx", [item], opset=opset, **constants), wanted)
    assert [type(module) for module in read.module.children()] == ([] if kind is None else [kind])


POOLS = [
    (node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2]), lambda x: functional.avg_pool2d(x, 2)),
    (
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
    ),
    (
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
        lambda x: functional.avg_pool2d(x, 3, 1, 1),
    ),
    (
        node("AveragePool", "x", kernel_shape=[2, 2], pads=[0, 0, 1, 1], count_include_pad=1),
        lambda x: functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, 1),
    ),
    (node("MaxPool", "x", kernel_shape=[3, 2], strides=[2, 2]), lambda x: functional.max_pool2d(x, (3, 2), 2)),
    (
        node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], dilations=[1, 1]),
        lambda x: functional.max_pool2d(x, 3, 2, 1),
    ),
    (
        node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        lambda x: functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-math.inf), 3, 2),
    ),
    (
        node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True),
    ),
    (node("GlobalAveragePool", "x"), lambda x: x.mean((2, 3), keepdim=True)),
    (node("GlobalMaxPool", "x"), lambda x: x.amax((2, 3), keepdim=True)),
    (node("ReduceMean", "x", axes=[2, 3]), lambda x: x.mean((2, 3), keepdim=True)),
    (node("ReduceMean", "x", axes=[-1, -2], keepdims=0), lambda x: x.mean((2, 3))),
    (node("ReduceMax", "x", axes=[2, 3], keepdims=0), lambda x: x.amax((2, 3))),
]


@pytest.mark.parametrize(("item", "wanted"), POOLS)
def test_a_pool_keeps_its_windows_and_its_divisor(tmp_path, item, wanted):
    assert_computes(write(tmp_path / "m.onnx", [item]), wanted)


def test_axes_may_be_an_input_or_an_attribute(tmp_path):
    new = write(tmp_path / "new.onnx", [node("ReduceSum", "x", "a", keepdims=0)], 13, a=np.array([2, 3]))
    old = write(tmp_path / "old.onnx", [node("ReduceSum", "x", axes=[2, 3], keepdims=0)], 11)
    for path in (new, old):
        assert_computes(path, lambda x: x.sum((2, 3)))
