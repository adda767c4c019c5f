"""ONNX files written for a test, and what they must compute."""

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")

from dvs_run.pipeline.convert.load.onnx.read import read_onnx  # noqa: E402

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


FLOORED = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
