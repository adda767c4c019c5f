"""One door for models: whatever kind of file, the same CNN comes out."""

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import Linear, Network, Readout
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model

from .models import HERE, SHAPE, assert_same, net

SHARED = Path(os.environ.get("DVS_SHARED", Path(__file__).parents[4] / "shared/data"))


def test_a_checkpoint_of_our_own_brings_everything(tmp_path):
    spec = {"input": list(SHAPE), "layers": [{"conv": 4, "batch_norm": True}, {"pool": "global"}, {"linear": 2}]}
    model = build_model(spec)
    save_checkpoint(tmp_path / "m.pt", spec, model, {"labels": ["a", "b"], "timestep_us": 5000})
    loaded = load_model(tmp_path / "m.pt")
    assert_same(loaded, model)
    assert (loaded.labels, loaded.extra["timestep_us"]) == (["a", "b"], 5000)
    assert loaded.sha256 == hashlib.sha256((tmp_path / "m.pt").read_bytes()).hexdigest()
    with pytest.raises(ConversionError, match=r"brings its own layers; leave --architecture x:y out"):
        load_model(tmp_path / "m.pt", architecture="x:y")
    with pytest.raises(ConversionError, match="takes inputs of 3,12,12 .* but --input-shape says 3,13,12"):
        load_model(tmp_path / "m.pt", input_shape=(3, 13, 12))


def test_an_architecture_may_lie_in_a_file_beside_others(tmp_path, monkeypatch):
    (tmp_path / "blocks_of_mine.py").write_text("from torch import nn\nWIDTH = 4\n")
    (tmp_path / "small.py").write_text(
        "from blocks_of_mine import WIDTH, nn\ninput_shape = 1\n\n"
        "def make():\n    model = nn.Sequential(nn.Flatten(), nn.Linear(12, WIDTH))\n"
        "    model.input_shape = (3, 2, 2)\n    return model\n"
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = load_model(tmp_path / "w.pt", architecture=f"{tmp_path / 'small.py'}:make")
    assert_same(loaded, model, (3, 2, 2))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConversionError, match=r"importing small raised .*; is it the file small.py:"):
        load_model("w.pt", architecture="small:make")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Net", "architecture is 'Net', want package.module:factory"),
        ("none.at.all:Net", "importing none.at.all raised ModuleNotFoundError"),
        ("none.py:Net", "there is no file none.py"),
        (f"{HERE}:Nothing", "has no 'Nothing'; it has .*Net"),
        (f"{HERE}:needs_more", "raised TypeError: .*a factory is called without arguments"),
        (f"{HERE}:images", "gave a Tensor, want a torch.nn.Module"),
    ],
)
def test_an_architecture_that_is_not_there_is_answered_with_a_sentence(tmp_path, name, message):
    torch.save(net().state_dict(), tmp_path / "w.pt")
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / "w.pt", architecture=name, input_shape=SHAPE)


def test_an_onnx_file_is_opened_by_the_same_door(tmp_path):
    onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("Relu", ["x"], ["y"], name="act")],
        "net",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ("n", *SHAPE))],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    assert_same(load_model(tmp_path / "m.onnx"), nn.ReLU())


def layer_list(folder, layers, **arrays):
    (folder / "m.json").write_text(json.dumps({"input_shape": list(SHAPE), "layers": layers}))
    np.savez(folder / "m.npz", **arrays)
    return folder / "m.json"


def test_a_list_of_layers_is_opened_with_its_arrays(tmp_path):
    torch.manual_seed(0)
    conv, norm, fc = nn.Conv2d(3, 4, 3, padding=1, groups=1), nn.BatchNorm2d(4, eps=0.1), nn.Linear(4 * 36, 3)
    norm.running_mean.uniform_()
    arrays = {f"{name}.{key}": value.detach().numpy()
              for name, module in (("conv", conv), ("norm", norm), ("fc", fc))
              for key, value in module.state_dict().items() if key != "num_batches_tracked"}  # fmt: skip
    layers = [
        {"op": "conv2d", "name": "conv", "padding": 1}, {"op": "batch_norm2d", "name": "norm", "eps": 0.1},
        {"op": "relu"}, {"op": "max_pool2d", "kernel": 2}, {"op": "flatten"}, {"op": "linear", "name": "fc"},
    ]  # fmt: skip
    path = layer_list(tmp_path, layers, **arrays)
    wanted = nn.Sequential(conv, norm, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), fc)
    assert_same(load_model(path), wanted)
    with pytest.raises(ConversionError, match="m.npz holds weights; open the list of its layers, m.json"):
        load_model(tmp_path / "m.npz")
    with pytest.raises(ConversionError, match="'conv.bias', which no layer uses|conv.weight"):
        load_model(layer_list(tmp_path, layers[1:], **arrays))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "lists no layers"),
        ([{"op": "gru"}], "layer 0 is .*known are conv2d, linear"),
        ([{"op": "relu", "slope": 0.1}], r"layer 0 \(relu\) has an unknown option 'slope'; known are: none"),
        ([{"op": "linear", "name": "fc"}], r"layer 0 \(linear\): its array fc.weight is missing"),
        ([{"op": "relu", "name": "a b"}], "layer 0 is called 'a b'"),
        ([{"op": "relu", "name": "a"}, {"op": "relu", "name": "a"}], "layer 1 is called 'a', as one before it"),
        ([{"op": "avg_pool2d"}], "layer 0"),
    ],
)
def test_a_wrong_list_of_layers_is_refused_with_the_number_of_the_layer(tmp_path, layers, message):
    with pytest.raises(ConversionError, match=message):
        load_model(layer_list(tmp_path, layers))


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason=f"no {SHARED / 'models'}; say where it is with DVS_SHARED")
@pytest.mark.parametrize(
    ("name", "shape"), [("cifar10_4conv_avgpool", (3, 32, 32)), ("mnist_lenet5_maxpool", (1, 28, 28))]
)
def test_networks_of_other_people_are_opened(name, shape):
    loaded = load_model(SHARED / "models" / f"{name}.json")
    assert loaded.input_shape == shape
    assert loaded.model(torch.rand(2, *shape)).shape == (2, 10)
    arrays = np.load(SHARED / "models" / f"{name}.npz")
    assert sum(parameter.numel() for parameter in loaded.model.parameters()) == sum(arrays[key].size for key in arrays)
    assert "divided by 255" in loaded.notes[0]


FOREIGN = {
    "text.pt": (b"hello world, this is no model", "is no model that is known here"),
    "empty.pt": (b"", r"begins with nothing"),
    "keras.h5": (b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras writes them; export it as ONNX: python -m tf2onnx"),
    "net.tflite": (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    "cut.pt": (b"PK\x03\x04" + bytes(60), "is a damaged archive"),
    "cut.safetensors": (struct.pack("<Q", 500) + b'{"a": 1', "is a damaged safetensors file: its header"),
    "cut.json": (b'{"layers": [', "cannot be read as JSON"),
    "pickle.pt": (pickle.dumps({"a": 1, "b": [2]}), r"pickle.pt is no torch file|pickle.pt holds"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_model_is_refused_with_what_it_is(tmp_path, name):
    content, message = FOREIGN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / name)


def test_a_folder_a_missing_file_and_a_spiking_network_are_refused(tmp_path):
    with pytest.raises(ConversionError, match="is a folder; want one file"):
        load_model(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(ConversionError, match="is a TensorFlow SavedModel; export it as ONNX"):
        load_model(tmp_path)
    with pytest.raises(ConversionError, match="there is no such file; want a model"):
        load_model(tmp_path / "none.pt")
    layer = Linear("fc", ("input",), np.ones((2, 4), np.float32))
    Network((layer,), (1, 2, 2), ("a", "b"), Readout("membrane")).save(tmp_path / "net.npz")
    with pytest.raises(ConversionError, match="is a spiking network already; run it"):
        load_model(tmp_path / "net.npz")
