"""ONNX files become torch modules that compute the same, or are refused by the name of a node."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")

from dvs_run.pipeline.convert.load.onnx.read import read_onnx  # noqa: E402
from dvs_run.pipeline.errors import ConversionError  # noqa: E402

make, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
SHAPE = (3, 8, 8)


def values(*shape, seed=0, low=-1.0):
    return np.random.default_rng(seed).uniform(low, 1, shape).astype(np.float32)


def write(path, nodes, opset=17, shape=("n", *SHAPE), output="y", **constants):
    """A file of these nodes from `x` to `output`; constants by name."""
    graph = make.make_graph(
        nodes,
        "net",
        [make.make_tensor_value_info("x", FLOAT, shape)],
        [make.make_tensor_value_info(output, FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", opset)], ir_version=8), path)
    return path


def node(op, *inputs, to="y", name="", **attributes):
    return make.make_node(op, list(inputs), [to] if isinstance(to, str) else to, name=name, **attributes)


def images(n=3, shape=SHAPE, seed=1):
    return torch.from_numpy(values(n, *shape, seed=seed))


def assert_computes(path, wanted, x=None, **options):
    """The imported module gives what `wanted` gives, to 1e-6 of the largest value, on three images at once."""
    read = read_onnx(path, **options)
    x = images(shape=read.input_shape) if x is None else x
    with torch.inference_mode():
        found, wanted = read.module(x), torch.as_tensor(wanted(x) if callable(wanted) else wanted)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) <= 1e-6 * max(float(wanted.abs().max()), 1e-3)
    return read


def tensor(array):
    return torch.from_numpy(array)


W, B = values(4, 3, 3, 3), values(4)
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


FLOORED = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
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


def test_height_and_width_that_the_file_leaves_open_are_asked_for(tmp_path):
    path = write(tmp_path / "m.onnx", [node("Relu", "x")], shape=("n", 3, "h", "w"))
    with pytest.raises(ConversionError, match=r"its input 'x' is 3,\?,\? .*--input-shape"):
        read_onnx(path)
    assert read_onnx(path, (3, 5, 7)).input_shape == (3, 5, 7)
    with pytest.raises(ConversionError, match="--input-shape 1,5,7 does not fit"):
        read_onnx(path, (1, 5, 7))


def test_a_flat_input_is_flattened_from_the_shape_that_the_user_says(tmp_path):
    weight = values(192, 5)
    path = write(tmp_path / "m.onnx", [node("MatMul", "x", "W")], shape=("n", 192), W=weight)
    assert_computes(path, lambda x: x.flatten(1) @ tensor(weight), images(), input_shape=SHAPE)
    for shape in (None, (1, 8, 8)):
        with pytest.raises(ConversionError, match=r"is flat \(192 features\); say .* --input-shape"):
            read_onnx(path, shape)


def test_weights_in_a_file_beside_are_read(tmp_path):
    path = write(tmp_path / "m.onnx", [node("Conv", "x", "W")], W=W)
    onnx.save(onnx.load(path), tmp_path / "big.onnx", save_as_external_data=True, location="big.bin", size_threshold=0)
    assert_computes(tmp_path / "big.onnx", lambda x: functional.conv2d(x, tensor(W)))
    whole = (tmp_path / "big.bin").read_bytes()
    (tmp_path / "big.bin").write_bytes(whole[:-4])
    with pytest.raises(ConversionError, match="big.bin has .* bytes, but tensor 'W' is said to end at"):
        read_onnx(tmp_path / "big.onnx")
    (tmp_path / "big.bin").unlink()
    with pytest.raises(ConversionError, match="there is no such file; copy the file beside the model"):
        read_onnx(tmp_path / "big.onnx")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "", "link.bin"])
def test_weights_outside_the_folder_are_not_read(tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(W.tobytes())
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = write(folder / "m.onnx", [node("Conv", "x", "W")], W=W)
    model = onnx.load(path)
    tensor_proto = model.graph.initializer[0]
    tensor_proto.ClearField("raw_data")
    tensor_proto.data_location = onnx.TensorProto.EXTERNAL
    tensor_proto.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match="want a file within the model's own folder"):
        read_onnx(path)


REFUSED = {  # nodes, constants, opset, what the message must say
    "an unknown operation": ([node("Einsum", "x", name="mix", equation="nchw->nchw")], {}, 17,
                             r"node 'mix' \(Einsum, opset 17\): there is no such layer here; .*docs/models.md"),
    "a domain of its own": ([make.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")], {}, 17,
                            "'FusedConv_0' .*is of the domain 'com.microsoft'"),
    "control flow": ([node("Loop", "x")], {}, 17, r"Loop.* decides while running.*one input shape"),
    "an old opset": ([node("Relu", "x")], {}, 6, "its opset is 6, want 7 to 24; export it with opset_version=17"),
    "a new opset": ([node("Relu", "x")], {}, 27, "its opset is 27"),
    "weights from the image": ([node("Flatten", "x", to="f"), node("MatMul", "f", "f")], {}, 17,
                               "'MatMul_1' .*its input 'f' is computed from the image"),
    "weights of another shape": ([node("Conv", "x", "W", name="c")], {"W": values(4, 2, 3, 3)}, 17,
                                 r"node 'c' \(Conv, opset 17\) does not fit what it is fed"),
    "a 1-d convolution": ([node("Conv", "x", "W")], {"W": values(4, 3, 3)}, 17, "only two-dimensional"),
    "linear resizing": ([node("Resize", "x", "", "s", mode="linear")], {"s": np.array([1, 1, 2, 2], np.float32)}, 17,
                        r"it interpolates \(linear\)"),
    "resizing by a half": ([node("Resize", "x", "", "s")], {"s": np.array([1, 1, 0.5, 0.5], np.float32)}, 17,
                           "whole numbers"),
    "uneven nearest": ([node("Resize", "x", "", "s", **{**FLOORED, "nearest_mode": "ceil"})],
                       {"s": np.array([1, 1, 2, 2], np.float32)}, 17, "does not repeat every pixel alike"),
    "reflected padding": ([node("Pad", "x", "p", mode="reflect")], {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, 17,
                          "only zeros around height and width"),
    "padding in front of a max pool": ([node("MaxPool", "x", kernel_shape=[2, 2], pads=[1, 1, 0, 0])], {}, 17,
                                       r"it pads by \(1, 1, 0, 0\)"),
    "a batch that is mixed": ([node("Reshape", "x", "s")], {"s": np.array([3, -1])}, 17, "mixes the inputs of a batch"),
    "a shape that does not fit": ([node("Reshape", "x", "s")], {"s": np.array([1, 7])}, 17, r"into \(1, 7\)"),
    "a cut through the batch": ([node("Slice", "x", "a", "b", "c")],
                                {"a": np.array([0]), "b": np.array([0]), "c": np.array([0])}, 17, "it cuts the batch"),
    "quantization": ([node("Cast", "x", to="y0"), node("Relu", "y0")], {}, 17, "rounds to another kind of number"),
    "a missing input": ([node("Add", "x", "nowhere")], {}, 17, "uses 'nowhere', which no node before it makes"),
    "a batch norm in training": ([node("BatchNormalization", "x", "s", "s", "s", "s", training_mode=1)],
                                 {"s": values(3)}, 17, "training mode"),
    "indices of a max pool": ([node("MaxPool", "x", to=["m", "y"], kernel_shape=[2, 2])], {}, 17,
                              "output 'y' is used too"),
    "a constant alone": ([node("Relu", "c")], {"c": values(3)}, 17, "its output 'y' is a constant"),
    "a softmax over all": ([node("Softmax", "x")], {}, 11, "before opset 13 it runs over all axes from 1 on"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_known_is_refused_by_the_name_of_the_node(tmp_path, case):
    nodes, constants, opset, message = REFUSED[case]
    if case == "quantization":
        nodes = [make.make_node("Cast", ["x"], ["y"], to=onnx.TensorProto.INT8)]
    with pytest.raises(ConversionError, match=message):
        read_onnx(write(tmp_path / "m.onnx", nodes, opset=opset, **constants))


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([node("ConstantOfShape", "s", to="c"), node("Add", "x", "c")], {"s": np.array([1 << 20, 1 << 20])}),
        ([node("Expand", "one", "s", to="c"), node("Add", "x", "c")], {"s": np.array([1 << 40]), "one": values(1)}),
        ([node("Range", "a", "b", "d", to="c"), node("Add", "x", "c")],
         {"a": np.float32(0), "b": np.float32(1e12), "d": np.float32(1)}),
        ([node("Resize", "x", "", "s")], {"s": np.array([1, 1, 65536, 65536], np.float32)}),
        ([node("Add", "a", "b", to="c"), node("Add", "x", "c")], {"a": values(1 << 15, 1), "b": values(1, 1 << 15)}),
    ],
)  # fmt: skip
def test_a_size_that_a_file_only_claims_is_not_allocated(tmp_path, nodes, constants):
    with pytest.raises(ConversionError, match="does not fit what it is fed: .* has more than 268,435,456 values"):
        read_onnx(write(tmp_path / "m.onnx", nodes, **constants))


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = write(tmp_path / "m.onnx", [node("Conv", "x", "W")], W=W)
    for dims in ([1 << 40, 3, 3, 3], [-4, 3, 3, 3], [4, 3, 3]):
        model = onnx.load(path)
        model.graph.initializer[0].dims[:] = dims
        (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ConversionError, match="tensor 'W'"):
            read_onnx(tmp_path / "bad.onnx")


def test_a_damaged_file_is_answered_with_a_sentence(tmp_path):
    nodes = [node("Conv", "x", "W", "B", name="c", pads=[1, 1, 1, 1]), node("Flatten", "y", to="z")]
    whole = write(tmp_path / "m.onnx", nodes, output="z", W=W, B=B).read_bytes()
    random, refused = np.random.default_rng(0), 0
    for trial in range(300):
        damaged = bytearray(whole[: random.integers(1, len(whole))] if trial % 2 else whole)
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(0, 256)
        (tmp_path / "bad.onnx").write_bytes(damaged)
        try:
            read_onnx(tmp_path / "bad.onnx")
        except ConversionError:
            refused += 1
    assert refused > 100


def test_what_is_no_onnx_file_is_refused(tmp_path):
    for content in (b"", b"hello", b"\x08\x07", bytes(100)):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(ConversionError, match="is not an ONNX file"):
            read_onnx(tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="there is no such file"):
        read_onnx(tmp_path / "none.onnx")
    with pytest.raises(ConversionError, match="is a folder"):
        read_onnx(tmp_path)


def test_two_inputs_or_outputs_are_refused_by_name(tmp_path):
    model = onnx.load(write(tmp_path / "m.onnx", [node("Relu", "x")]))
    model.graph.output.append(make.make_tensor_value_info("x", FLOAT, None))
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ConversionError, match=r"has 2 outputs \('y', 'x'\), want one"):
        read_onnx(tmp_path / "two.onnx")
    model.graph.input.append(make.make_tensor_value_info("z", FLOAT, None))
    model.graph.output.pop()
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ConversionError, match=r"has 2 inputs \('x', 'z'\), want one"):
        read_onnx(tmp_path / "two.onnx")


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
