"""Operations of ONNX files that join, move, name and prepare values compute in torch what they say."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")

from dvs_run.pipeline.convert.load.onnx.read import read_onnx  # noqa: E402

from .files import FLOAT, FLOORED, SHAPE, W, assert_computes, make, node, tensor, values, write  # noqa: E402

RESIZES = [
    (node("Upsample", "x", mode="nearest", scales=[1.0, 1.0, 2.0, 3.0]), 7),
    (node("Upsample", "x", "s", mode="nearest"), 9),
    (node("Resize", "x", "s", mode="nearest"), 10),
    (node("Resize", "x", "", "s", **FLOORED), 13),
    (node("Resize", "x", "", "s", mode="nearest"), 13),
    (node("Resize", "x", "", "", "z", mode="nearest", coordinate_transformation_mode="half_pixel"), 19),
]


@pytest.mark.parametrize(("item", "opset"), RESIZES)
def test_nearest_resizing_by_whole_numbers_repeats_pixels(tmp_path, item, opset):
    constants = {"s": np.array([1, 1, 2, 3], np.float32), "z": np.array([1, 3, 16, 24])}
    used = {name: value for name, value in constants.items() if name in item.input}
    assert_computes(
        write(tmp_path / "m.onnx", [item], opset, **used), lambda x: x.repeat_interleave(2, 2).repeat_interleave(3, 3)
    )


SUMS = [
    ([node("Add", "x", "c")], {"c": values(3, 1, 1)}, lambda x: x + tensor(values(3, 1, 1))),
    ([node("Sub", "c", "x")], {"c": np.float32(1)}, lambda x: 1 - x),
    ([node("Mul", "x", "c"), node("Div", "y", "c", to="z")], {"c": np.float32(4)}, lambda x: x),
    ([node("Relu", "x", to="a"), node("Add", "x", "a", name="join")], {}, lambda x: x + x.relu()),
    ([node("Relu", "x", to="a"), node("Sum", "x", "a", "x")], {}, lambda x: 2 * x + x.relu()),
    ([node("Relu", "x", to="a"), node("Concat", "a", "x", axis=1)], {}, lambda x: torch.cat([x.relu(), x], 1)),
    (
        [node("Split", "x", "s", to=["a", "b"], axis=1), node("Concat", "b", "a", axis=-3)],
        {"s": np.array([1, 2])},
        lambda x: torch.cat([x[:, 1:], x[:, :1]], 1),
    ),
    (
        [node("Slice", "x", "a", "b", "c", "d")],
        {"a": np.array([1, 0]), "b": np.array([9, -2]), "c": np.array([1, 3]), "d": np.array([1, 2])},
        lambda x: x[:, 1:, :, 0:6:2],
    ),
    (
        [node("Identity", "x", to="a"), node("Dropout", "a", to="b"), make.make_node("Cast", ["b"], ["y"], to=FLOAT)],
        {},
        lambda x: x,
    ),
    ([node("Flatten", "x", to="f"), node("Softmax", "f")], {}, lambda x: x.flatten(1).softmax(1)),
    ([node("Flatten", "x", to="f"), node("LogSoftmax", "f", axis=1)], {}, lambda x: x.flatten(1).log_softmax(1)),
    (
        [node("GlobalAveragePool", "x", to="p"), node("Squeeze", "p", "a", to="s"), node("Unsqueeze", "s", "a")],
        {"a": np.array([2, 3])},
        lambda x: x.mean((2, 3), keepdim=True),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "constants", "wanted"), SUMS)
def test_sums_joins_and_what_changes_nothing(tmp_path, nodes, constants, wanted):
    output = nodes[-1].output[0]
    path = write(tmp_path / "m.onnx", nodes, output=output, **constants)
    if output == "z":  # x * 4 / 4
        assert_computes(path, lambda x: x)
    else:
        assert_computes(path, wanted)


def test_shape_arithmetic_is_computed_while_reading(tmp_path):
    nodes = [
        node("Shape", "x", to="shape"),
        node("Gather", "shape", "zero", to="first"),
        node("Unsqueeze", "first", "axes", to="batch"),
        make.make_node("Constant", [], ["rest"], value=onnx.numpy_helper.from_array(np.array([-1]))),
        node("Concat", "batch", "rest", to="wanted", axis=0),
        node("Reshape", "x", "wanted"),
    ]
    constants = {"zero": np.array(0), "axes": np.array([0])}
    read = assert_computes(write(tmp_path / "m.onnx", nodes, **constants), lambda x: x.flatten(1))
    assert [type(module) for module in read.module.children()] == [nn.Flatten]
    assert_computes(write(tmp_path / "m.onnx", nodes, shape=(1, *SHAPE), **constants), lambda x: x.flatten(1))


def test_a_fixed_batch_in_a_reshape_is_the_batch(tmp_path):
    path = write(tmp_path / "m.onnx", [node("Reshape", "x", "s")], shape=(2, *SHAPE), s=np.array([2, 192]))
    assert_computes(path, lambda x: x.flatten(1))


def test_prepared_weights_are_computed_while_reading(tmp_path):
    weight = values(192, 5)
    nodes = [
        node("Transpose", "W", to="turned", perm=[1, 0]),
        node("Mul", "turned", "two", to="doubled"),
        node("Flatten", "x", to="f"),
        node("Gemm", "f", "doubled", transB=1),
    ]
    path = write(tmp_path / "m.onnx", nodes, W=weight, two=np.float32(2))
    assert_computes(path, lambda x: 2 * x.flatten(1) @ tensor(weight))


def test_channels_last_as_keras_exports_it_is_undone(tmp_path):
    """Input (n, height, width, channel), and features flattened in that order: paid for in the weights."""
    weight = values(4 * 6 * 6, 5)
    nodes = [
        node("Transpose", "x", to="t", perm=[0, 3, 1, 2]),
        node("Conv", "t", "W", to="c"),
        node("Transpose", "c", to="u", perm=[0, 2, 3, 1]),
        node("Relu", "u", to="r"),
        node("Reshape", "r", "s", to="f"),
        node("MatMul", "f", "F"),
    ]
    path = write(tmp_path / "m.onnx", nodes, shape=("n", 8, 8, 3), W=W, F=weight, s=np.array([-1, 144]))
    read = assert_computes(
        path,
        lambda x: functional.conv2d(x, tensor(W)).relu().permute(0, 2, 3, 1).flatten(1) @ tensor(weight),
    )
    assert read.input_shape == SHAPE
    assert "(n, height, width, channel)" in read.notes[0]
    assert [type(module).__name__ for module in read.module.children()] == ["Conv2d", "ReLU", "Flatten", "Linear"]


def test_a_mean_over_channels_last_is_a_mean_over_height_and_width(tmp_path):
    nodes = [
        node("Transpose", "x", to="t", perm=[0, 2, 3, 1]),
        node("ReduceMean", "t", axes=[1, 2], keepdims=0),
    ]
    assert_computes(write(tmp_path / "m.onnx", nodes), lambda x: x.mean((2, 3)))


def test_any_other_transposition_stays_one_that_the_converter_can_refuse(tmp_path):
    read = assert_computes(
        write(tmp_path / "m.onnx", [node("Transpose", "x", perm=[0, 2, 1, 3])]), lambda x: x.permute(0, 2, 1, 3)
    )
    assert any(item.target is torch.permute for item in read.module.graph.nodes)


def test_layers_are_called_after_the_nodes(tmp_path):
    names = ["/features/features.0/Conv", "/features/features.1/Relu", "class", "forward", "0", ""]
    nodes = [node("Conv", "x", "W", to="a0", name=names[0])]
    nodes += [node("Relu", f"a{i}", to=f"a{i + 1}", name=name) for i, name in enumerate(names[1:])]
    read = read_onnx(write(tmp_path / "m.onnx", nodes, output="a5", W=W))
    assert [item.target for item in read.module.graph.nodes if item.op == "call_module"] == [
        "features_features_0_Conv", "features_features_1_Relu", "node_class", "node_forward", "node_0", "Relu_5",
    ]  # fmt: skip


def test_a_name_that_is_a_program_stays_a_name(tmp_path):
    """torch.fx writes names into Python source that is executed."""
    trap = tmp_path / "ran"
    name = f'x")(input); open({str(trap)!r}, "w"); y = getattr(self, "'
    read = assert_computes(write(tmp_path / "m.onnx", [node("Relu", "x", name=name)]), torch.relu)
    torch.fx.symbolic_trace(read.module)
    assert not trap.exists()


class Residual(nn.Module):
    """Most of what small CNNs are made of."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=1e-3)
        self.conv2, self.conv3 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.Conv2d(8, 16, 1, stride=2)
        self.act, self.fc = nn.LeakyReLU(0.1), nn.Linear(24, 5)

    def forward(self, x):
        x = functional.relu6(self.bn1(self.conv1(x)))
        x = self.act(self.conv2(x)) + x
        x = torch.cat([self.conv3(x), functional.max_pool2d(x, 3, 2, 1)], 1)
        x = functional.avg_pool2d(functional.interpolate(x, scale_factor=2), 4).mean((2, 3))
        return functional.log_softmax(self.fc(functional.dropout(x, training=self.training)), 1)


@pytest.mark.parametrize(("opset", "open_batch"), [(9, False), (13, True), (17, True)])
def test_what_torch_exports_computes_the_same(tmp_path, opset, open_batch):
    torch.manual_seed(0)
    model = Residual()
    for _ in range(3):
        model(torch.randn(8, *SHAPE))
    model.eval()
    options = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}} if open_batch else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, *SHAPE),), str(tmp_path / "m.onnx"), opset_version=opset, dynamo=False, **options
        )
    assert_computes(tmp_path / "m.onnx", model)
