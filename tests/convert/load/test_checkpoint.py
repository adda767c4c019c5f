"""A spec builds the CNN that it says, and a checkpoint brings it back: never by running what a file says."""

import pickle

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.train.checkpoint import load_checkpoint, save_checkpoint
from dvs_run.pipeline.train.models import build_model

SPEC = {
    "input": [2, 20, 20],
    "layers": [
        {"conv": 8, "kernel": 5, "stride": 2, "batch_norm": True},
        {"pool": 2},
        {"dropout": 0.2},
        {"conv": 8, "groups": 2},
        {"pool": "global"},
        {"linear": 12, "batch_norm": True},
        {"linear": 5},
    ],
}


def test_a_spec_builds_its_layers_with_names():
    model = build_model(SPEC)
    assert list(dict(model.named_children())) == [
        "conv1", "bn1", "relu1", "pool1", "dropout1", "conv2", "relu2", "pool2", "flatten1", "linear1", "bn2", "relu3",
        "linear2",
    ]  # fmt: skip
    assert model(torch.rand(3, 2, 20, 20)).shape == (3, 5)
    assert model.conv1.bias is None
    assert (model.conv1.padding, model.conv2.padding) == ((2, 2), (1, 1))


def test_a_conv_may_be_the_last_layer():
    model = build_model({"input": [1, 8, 8], "layers": [{"conv": 4}, {"conv": 3}, {"pool": "global"}]})
    assert [type(module) for module in model] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.AdaptiveAvgPool2d]


def test_everything_that_a_spec_can_say_can_be_converted():
    torch.manual_seed(0)
    model = build_model(SPEC)
    calibration = torch.rand(16, 2, 20, 20)
    model(calibration)
    assert convert(model, (2, 20, 20), "abcde", calibration, percentile=100).report.folding_error < 1e-5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"layers": [{"conv": 3}]}, r"`input` is None, want \[channel, height, width\]"),
        ({"input": [1, 8], "layers": [{"conv": 3}]}, r"`input` is \[1, 8\]"),
        ({"input": [1, 8, 0], "layers": [{"conv": 3}]}, "`input` is 0, want a whole number of at least 1"),
        ({"input": [1, 8, 8]}, "no `layers`"),
        ({"input": [1, 8, 8], "layers": [{"pool": 2}]}, "neither a conv nor a linear layer"),
        ({"input": [1, 8, 8], "layers": ["conv", {"conv": 3}]}, "layer 0 is 'conv', want a mapping"),
        ({"input": [1, 8, 8], "layers": [{"conv": 3, "pool": 2}]}, "layer 0 is .*, want exactly one of"),
        (
            {"input": [1, 8, 8], "layers": [{"conv": 3, "kernal": 3}]},
            r"layer 0 \(conv\) has an unknown option 'kernal'",
        ),
        ({"input": [1, 8, 8], "layers": [{"conv": 3.5}]}, "layer 0: conv is 3.5, want a whole number"),
        ({"input": [1, 8, 8], "layers": [{"conv": True}]}, "layer 0: conv is True"),
        ({"input": [1, 8, 8], "layers": [{"conv": 4, "groups": 3}]}, "3 groups do not divide 1 inputs and 4 outputs"),
        (
            {"input": [1, 8, 8], "layers": [{"conv": 4, "kernel": 9, "padding": 0}]},
            "kernel of 9 does not fit its input",
        ),
        ({"input": [1, 8, 8], "layers": [{"pool": 9}, {"conv": 4}]}, "pool of 9 does not fit its input of 8x8"),
        ({"input": [1, 8, 8], "layers": [{"linear": 4}, {"conv": 4}]}, "layer 1 .* follows a linear layer"),
        ({"input": [1, 8, 8], "layers": [{"linear": 4}, {"pool": 2}]}, "layer 1 .* follows a linear layer"),
        ({"input": [1, 8, 8], "layers": [{"dropout": 1.0}, {"conv": 4}]}, "layer 0: dropout is 1.0"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_number_of_the_layer(spec, message):
    with pytest.raises(NetworkError, match=message):
        build_model(spec)


def test_a_checkpoint_brings_model_spec_and_extra_back(tmp_path):
    torch.manual_seed(1)
    model = build_model(SPEC)
    model(torch.rand(8, 2, 20, 20))
    extra = {"labels": ("a", "b", "c", "d", "e"), "torch": torch.__version__, "calibration": torch.rand(2, 2, 20, 20)}
    save_checkpoint(tmp_path / "m.pt", SPEC, model, extra)
    loaded, spec, found = load_checkpoint(tmp_path / "m.pt")
    x = torch.rand(4, 2, 20, 20)
    assert torch.equal(loaded(x), model.eval()(x))
    assert not loaded.training
    assert spec == SPEC
    assert found["labels"] == ["a", "b", "c", "d", "e"]
    assert type(found["torch"]) is str
    assert torch.equal(found["calibration"], extra["calibration"])
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt"]


def test_a_checkpoint_holds_data_only(tmp_path):
    with pytest.raises(NetworkError, match="a checkpoint cannot hold a object"):
        save_checkpoint(tmp_path / "m.pt", SPEC, build_model(SPEC), {"labels": [], "thing": object()})


class Malice:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Malice()))
    torch.save({"format": "dvs_run checkpoint", "extra": Malice()}, tmp_path / "torch.pt")
    for name in ("pickle.pt", "torch.pt"):
        with pytest.raises(NetworkError, match="is not a checkpoint of `dvs train`"):
            load_checkpoint(tmp_path / name)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(NetworkError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(NetworkError, match="is a folder"):
        load_checkpoint(tmp_path)
    for name, content in (("empty.pt", b""), ("text.pt", b"hello"), ("zip.pt", b"PK\x03\x04" + bytes(50))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(NetworkError, match="is not a checkpoint"):
            load_checkpoint(tmp_path / name)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(NetworkError, match="is a torch file, but not a checkpoint"):
        load_checkpoint(tmp_path / "other.pt")


def test_a_damaged_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path / "m.pt", SPEC, build_model(SPEC), {"labels": []})
    whole = (tmp_path / "m.pt").read_bytes()
    for size in range(0, len(whole), len(whole) // 23):
        (tmp_path / "cut.pt").write_bytes(whole[:size])
        with pytest.raises(NetworkError):
            load_checkpoint(tmp_path / "cut.pt")


def test_weights_that_do_not_fit_their_spec_are_refused(tmp_path):
    other = {**SPEC, "layers": [{"linear": 5}]}
    save_checkpoint(tmp_path / "m.pt", other, build_model(SPEC), {"labels": []})
    with pytest.raises(NetworkError, match="do not fit its own layer list"):
        load_checkpoint(tmp_path / "m.pt")


def test_a_checkpoint_of_another_version_is_refused(tmp_path):
    torch.save({"format": "dvs_run checkpoint", "version": 1}, tmp_path / "m.pt")
    with pytest.raises(NetworkError, match="a checkpoint without 'spec'"):
        load_checkpoint(tmp_path / "m.pt")
    torch.save({"format": "dvs_run checkpoint", "version": 99}, tmp_path / "m.pt")
    with pytest.raises(NetworkError, match="version 99, this program reads 1"):
        load_checkpoint(tmp_path / "m.pt")
