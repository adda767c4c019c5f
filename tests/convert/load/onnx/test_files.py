"""An ONNX file that is open, foreign, damaged or out for more is asked about or refused in a sentence."""

import numpy as np
import pytest
import torch
from torch.nn import functional

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")

from dvs_run.pipeline.convert.load.onnx.read import read_onnx  # noqa: E402
from dvs_run.pipeline.errors import ConversionError  # noqa: E402

from .files import FLOAT, FLOORED, SHAPE, B, W, assert_computes, images, make, node, tensor, values, write  # noqa: E402


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


@pytest.mark.parametrize("output", ["y", 0, "0"])
def test_one_of_several_outputs_is_read_without_what_only_the_others_need(tmp_path, output):
    nodes = [node("Det", "x", to="d"), node("Relu", "x"), node("Sum", "d", to="other")]
    model = onnx.load(write(tmp_path / "m.onnx", nodes))
    model.graph.output.append(make.make_tensor_value_info("other", FLOAT, None))
    onnx.save(model, tmp_path / "two.onnx")
    assert_computes(tmp_path / "two.onnx", torch.relu, output=output)
    with pytest.raises(ConversionError, match="Det"):
        read_onnx(tmp_path / "two.onnx", output="other")


def test_two_inputs_or_outputs_are_refused_by_name(tmp_path):
    model = onnx.load(write(tmp_path / "m.onnx", [node("Relu", "x")]))
    model.graph.output.append(make.make_tensor_value_info("x", FLOAT, None))
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ConversionError, match=r"has 2 outputs \('y', 'x'\), want one"):
        read_onnx(tmp_path / "two.onnx")
    with pytest.raises(ConversionError, match=r"has 2 outputs \('y', 'x'\), and 'z' is none of them"):
        read_onnx(tmp_path / "two.onnx", output="z")
    model.graph.input.append(make.make_tensor_value_info("z", FLOAT, None))
    model.graph.output.pop()
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ConversionError, match=r"has 2 inputs \('x', 'z'\), want one"):
        read_onnx(tmp_path / "two.onnx")
