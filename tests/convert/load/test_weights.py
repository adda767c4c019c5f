"""Weights of every kind of file fill an architecture, and nothing that a file says is executed."""

import json
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert.load import load_model
from dvs_run.pipeline.errors import ConversionError, DvsError, NetworkError
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model

from .models import HERE, SHAPE, STATE_FILES, Trap, assert_same, net, state_files


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
