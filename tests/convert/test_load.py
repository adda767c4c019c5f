"""One door for models: whatever kind of file, the same CNN comes out, and nothing that a file says is executed."""

import hashlib
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.errors import ConversionError, DvsError, NetworkError
from dvs_run.pipeline.network import Linear, Network, Readout
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model

SHARED = Path(os.environ.get("DVS_SHARED", Path(__file__).parents[3] / "shared/data"))
SHAPE = (3, 12, 12)
HERE = __name__  # this module is the user's own code: HERE:Net


class Net(nn.Module):
    """conv, batch norm, pool, a join and a linear layer."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(6, eps=1e-2)
        self.side, self.fc = nn.Conv2d(6, 2, 1), nn.Linear(8 * 9, classes)

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        x = torch.cat([x, functional.leaky_relu(self.side(x), 0.1)], 1)
        return self.fc(functional.avg_pool2d(x, 2).reshape(x.size(0), -1) * 0.5 + 0.1)


def net(classes=5):
    torch.manual_seed(0)
    model = Net(classes)
    for _ in range(3):
        model(torch.randn(16, *SHAPE))
    return model.eval()


def images(shape=SHAPE):
    return torch.rand(4, *shape, generator=torch.Generator().manual_seed(1))


def assert_same(loaded, model, shape=SHAPE):
    with torch.inference_mode():
        found, wanted = loaded.model(images(shape)), model.eval()(images(shape))
    assert float((found - wanted).abs().max()) <= 1e-6 * float(wanted.abs().max())
    assert loaded.input_shape == shape
    assert not loaded.model.training


def safetensors(tensors):
    """The bytes of a safetensors file, by its specification."""
    names = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}
    header, body = {}, b""
    for name, tensor in tensors.items():
        data = tensor.contiguous().numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + body


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


def state_files(folder, state):
    """The same state dict in every kind of file."""
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "state_dict": state, "labels": list("abcde"), "lr": 0.1}, folder / "nested.ckpt")
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, folder / "parallel.pt")
    (folder / "m.safetensors").write_bytes(safetensors(state))
    np.savez(folder / "m.npz", **{name: tensor.numpy() for name, tensor in state.items()})
    np.savez_compressed(folder / "packed.npz", **{name: tensor.numpy() for name, tensor in state.items()})


STATE_FILES = ["zip.pt", "legacy.pth", "nested.ckpt", "parallel.pt", "m.safetensors", "m.npz", "packed.npz"]


@pytest.mark.parametrize("name", STATE_FILES)
def test_weights_of_any_kind_fill_the_architecture_that_the_user_names(tmp_path, name):
    model = net()
    state_files(tmp_path, model.state_dict())
    loaded = load_model(tmp_path / name, architecture=f"{HERE}:Net", input_shape=SHAPE)
    assert_same(loaded, model)
    assert loaded.labels == (list("abcde") if name == "nested.ckpt" else None)
    assert bool(loaded.notes) == (name in ("nested.ckpt", "parallel.pt"))
    with pytest.raises(ConversionError, match="10 tensors without the network.*--architecture package.module:factory"):
        load_model(tmp_path / name, input_shape=SHAPE)
    with pytest.raises(ConversionError, match="weights do not say what goes in; give --input-shape"):
        load_model(tmp_path / name, architecture=f"{HERE}:Net")


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


def needs_more(classes):
    return Net(classes)


def seven_classes():
    return Net(7)


def test_weights_that_do_not_fit_are_listed(tmp_path):
    state = net().state_dict()
    del state["side.bias"]
    state["head.weight"] = torch.zeros(2)
    torch.save(state, tmp_path / "w.pt")
    message = (
        r"w.pt do not fit .*:seven_classes: 1 missing \(side.bias\), 1 unexpected \(head.weight\), 2 of another shape "
        r"\(fc.weight \(5, 72\) for \(7, 72\), fc.bias \(5,\) for \(7,\)\)"
    )
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / "w.pt", architecture=f"{HERE}:seven_classes", input_shape=SHAPE)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", STATE_FILES)
def test_undefined_weights_are_refused_by_the_name_of_the_tensor(tmp_path, name, bad):
    state = net().state_dict()
    state["side.weight"][1, 2] = bad
    state_files(tmp_path, state)
    with pytest.raises(ConversionError, match=r"'(module\.)?side.weight' holds 1 infinite or undefined values of 12"):
        load_model(tmp_path / name, architecture=f"{HERE}:Net", input_shape=SHAPE)


def test_undefined_weights_of_a_checkpoint_are_refused_too(tmp_path):
    spec = {"input": [1, 4, 4], "layers": [{"conv": 4, "batch_norm": True}, {"linear": 2}]}
    model = build_model(spec)
    model.bn1.running_var[2] = -1
    save_checkpoint(tmp_path / "m.pt", spec, model, {"labels": ["a", "b"]})
    with pytest.raises(ConversionError, match="the variance 'bn1.running_var' is negative"):
        load_model(tmp_path / "m.pt")


class Trap:
    """Unpickled, it touches a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def trap_files(folder, trap):
    """A stranger's files, each of which would touch `trap` if it were unpickled."""
    (folder / "pickle.pt").write_bytes(pickle.dumps(trap))
    (folder / "pickle4.pt").write_bytes(pickle.dumps(OrderedDict(weight=trap), protocol=4))
    torch.save({"format": "dvs_run checkpoint", "version": 1, "extra": trap}, folder / "checkpoint.pt")
    torch.save(trap, folder / "zip.pt")
    torch.save(trap, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": net().state_dict(), "args": trap}, folder / "nested.pt")
    np.savez(folder / "objects.npz", weight=np.array([trap], object))


@pytest.mark.parametrize(
    "name", ["pickle.pt", "pickle4.pt", "checkpoint.pt", "zip.pt", "legacy.pth", "nested.pt", "objects.npz"]
)
@pytest.mark.parametrize("architecture", [None, f"{HERE}:Net"])
def test_a_strangers_pickle_is_never_executed(tmp_path, name, architecture):
    touched = tmp_path / "touched"
    trap_files(tmp_path, Trap(touched))
    with pytest.raises(DvsError) as caught:
        load_model(tmp_path / name, architecture=architecture, input_shape=SHAPE)
    assert not touched.exists()
    assert name in str(caught.value)
    pickle.loads(pickle.dumps(Trap(touched)))
    assert touched.exists()  # the trap works


def test_a_module_pickled_whole_is_refused_with_a_way_to_save_its_weights(tmp_path):
    torch.save(net(), tmp_path / "whole.pt")
    message = r"holds an object of the class .*Net; .*would run code.*torch.save\(model.state_dict\(\)"
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / "whole.pt")


def test_torchscript_is_refused_as_a_program(tmp_path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "code/__torch__.py", "constants.pkl", "version"):
            archive.writestr(f"script/{name}", b"x")
    with pytest.raises(ConversionError, match="is TorchScript, a program .* save it as ONNX"):
        load_model(tmp_path / "script.pt")


@pytest.mark.parametrize("open_batch", [False, True])
def test_an_export_archive_is_read_without_unpickling(tmp_path, open_batch):
    model = net()
    shapes = ({0: torch.export.Dim("n")},) if open_batch else None
    program = torch.export.export(model, (torch.rand(2, *SHAPE),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "m.pt2")
    loaded = load_model(tmp_path / "m.pt2")
    assert_same(loaded, model)
    assert {"conv", "bn", "side", "fc"} <= {item.name for item in loaded.model.graph.nodes}
    assert type(loaded.model.bn) is nn.BatchNorm2d
    assert loaded.model.bn.eps == 1e-2


def rewritten(source, target, change):
    """A copy of an archive, each member as `change(name, data)` gives it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "m.pt2"
    torch.export.save(torch.export.export(net(), (torch.rand(2, *SHAPE),)), path)
    return path


def test_the_pickles_of_an_export_archive_are_not_opened(tmp_path, exported):
    touched = tmp_path / "touched"
    trap = pickle.dumps(Trap(touched))

    def poison(name, data):
        if name.endswith("weights_config.json"):
            return data.replace(b'"use_pickle": false', b'"use_pickle": true')
        return trap if "/weights/" in name or "sample_inputs" in name else data

    rewritten(exported, tmp_path / "bad.pt2", poison)
    with pytest.raises(ConversionError, match="holds 'conv.weight' as a pickle, which is not opened here"):
        load_model(tmp_path / "bad.pt2")
    only_samples = tmp_path / "samples.pt2"
    rewritten(exported, only_samples, lambda name, data: trap if "sample_inputs" in name else data)
    assert_same(load_model(only_samples), net())
    assert not touched.exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"torch.ops.aten.cat.default",
            b"torch.ops.aten.eig.default",
            r"node 'cat' \(aten.eig.default\): there is no such",
        ),
        (b'"major": 8', b'"major": 9', "has a graph of version 9, this program reads 8; save it as ONNX"),
        (
            b'"sizes": [{"as_int": 2}, {"as_int": 3}',
            b'"sizes": [{"as_int": 2}, {"as_int": 9}',
            "does not fit what it is fed",
        ),
        (b'"name": "linear"}}]', b'"name": "nowhere"}}]', "is a damaged archive"),
        (b'{"graph_module"', b'["graph_module"', "is a damaged archive"),
    ],
)
def test_a_foreign_or_damaged_export_archive_is_answered_with_a_sentence(tmp_path, exported, old, new, message):
    rewritten(exported, tmp_path / "bad.pt2", lambda name, data: data.replace(old, new) if "models/" in name else data)
    with pytest.raises(ConversionError, match=message):
        load_model(tmp_path / "bad.pt2")


def test_weights_of_an_export_archive_that_are_too_short_are_refused(tmp_path, exported):
    rewritten(exported, tmp_path / "bad.pt2", lambda name, data: data[:-4] if name.endswith("weight_0") else data)
    with pytest.raises(ConversionError, match=r"damaged archive.*tensor 'conv.weight' of shape \[6, 3, 3, 3\] has 644"):
        load_model(tmp_path / "bad.pt2")


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


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [1 << 40]},
        {"shape": [-4]},
        {"data_offsets": [0, 1 << 40]},
        {"data_offsets": [16, 0]},
        {"dtype": "F8_E4M3"},
        {"shape": None},
    ],
)
def test_a_safetensors_file_that_claims_too_much_is_refused(tmp_path, change):
    item = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **change}
    text = json.dumps({"weight": item}).encode()
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(ConversionError, match="is a damaged safetensors file"):
        load_model(tmp_path / "w.safetensors", architecture=f"{HERE}:Net", input_shape=SHAPE)


def test_a_tensor_that_says_it_is_larger_than_its_data_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1).expand(1 << 40)}, tmp_path / "w.pt")
    with pytest.raises(ConversionError, match="tensor 'weight' says it is larger than its data"):
        load_model(tmp_path / "w.pt", architecture=f"{HERE}:Net", input_shape=SHAPE)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "m.safetensors", "m.npz"])
def test_a_file_cut_short_is_answered_with_a_sentence(tmp_path, name):
    state_files(tmp_path, net().state_dict())
    whole = (tmp_path / name).read_bytes()
    for size in range(0, len(whole), len(whole) // 17):
        (tmp_path / f"cut-{name}").write_bytes(whole[:size])
        with pytest.raises((ConversionError, NetworkError)):
            load_model(tmp_path / f"cut-{name}", architecture=f"{HERE}:Net", input_shape=SHAPE)
