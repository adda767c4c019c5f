"""`dvs convert` as a user types it: every kind of model and of data, the verdict, exit codes, and sentences."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.nodes.commands import main
from dvs_run.pipeline.network import Network
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model

from .sides import SHAPE, Sides, images

ARCHITECTURE = ["--architecture", "tests.convert.sides:model", "--input-shape", "1,8,8"]
QUICK = ["--timesteps", "8", "--samples", "40", "--max-error", "0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Labelled inputs, others without labels, and the CNN as weights."""
    folder = tmp_path_factory.mktemp("sides")
    values, labels = images(160)
    np.savez(folder / "data.npz", inputs=values, labels=labels)
    np.save(folder / "bare.npy", values)
    np.save(folder / "labels.npy", labels)
    torch.save(Sides().state_dict(), folder / "weights.pt")
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def as_checkpoint(path):
    spec = {"input": list(SHAPE), "layers": [{"conv": 2}, {"pool": 4}, {"linear": 2}]}
    model, quarter = build_model(spec), torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    with torch.no_grad():
        model[0].weight.copy_(Sides()[0].weight)
        model[0].bias.zero_()
        model[-1].weight.copy_(torch.stack([-quarter, quarter]))
        model[-1].bias.zero_()
    extra = {"labels": ["right", "left"], "calibration": torch.from_numpy(images(80)[0])}
    save_checkpoint(path, spec, model, extra)


def as_layers(path):
    state = {name: value.numpy() for name, value in Sides().state_dict().items()}
    names = {"0": "conv1", "4": "fc1", "6": "fc2"}
    arrays = {f"{names[key.split('.')[0]]}.{key.split('.')[1]}": value for key, value in state.items()}
    np.savez(path.with_suffix(".npz"), **arrays)
    layers = [
        {"op": "conv2d", "name": "conv1", "padding": 1}, {"op": "relu"}, {"op": "avg_pool2d", "kernel": 4},
        {"op": "flatten"}, {"op": "linear", "name": "fc1"}, {"op": "relu"}, {"op": "linear", "name": "fc2"},
    ]  # fmt: skip
    path.write_text(json.dumps({"input_shape": list(SHAPE), "labels": ["right", "left"], "layers": layers}))


def as_onnx(path):
    onnx = pytest.importorskip("onnx", reason="reading ONNX files needs the extra onnx")
    make, model = onnx.helper, Sides()
    constants = [
        onnx.numpy_helper.from_array(value.numpy(), name.replace(".", "_"))
        for name, value in model.state_dict().items()
    ]
    nodes = [
        make.make_node("Conv", ["x", "0_weight", "0_bias"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make.make_node("Relu", ["a"], ["b"]),
        make.make_node("AveragePool", ["b"], ["c"], kernel_shape=[4, 4], strides=[4, 4]),
        make.make_node("Flatten", ["c"], ["d"]),
        make.make_node("Gemm", ["d", "4_weight", "4_bias"], ["e"], transB=1),
        make.make_node("Relu", ["e"], ["f"]),
        make.make_node("Gemm", ["f", "6_weight", "6_bias"], ["y"], transB=1),
    ]
    kind = onnx.TensorProto.FLOAT
    sides = [make.make_tensor_value_info("x", kind, ("n", *SHAPE))], [make.make_tensor_value_info("y", kind, None)]
    graph = make.make_graph(nodes, "net", *sides, constants)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("name", "write", "more"),
    [
        ("cnn.pt", as_checkpoint, []),
        ("layers.json", as_layers, ["--calibration", "data.npz"]),
        ("cnn.onnx", as_onnx, ["--calibration", "data.npz", "--classes", "right,left"]),
        ("weights.pt", None, ["--calibration", "data.npz", *ARCHITECTURE]),
    ],
)
def test_every_kind_of_model_ends_as_a_network_with_a_verdict_and_a_page(here, capsys, name, write, more):
    if write is not None:
        write(here / name)
    assert main(["convert", name, "--out", "out/net.npz", *more, *QUICK]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the spikes agree with the CNN on" in said
    assert "A loss of " in said
    assert "event-driven int8" in said
    assert "written to out/net.npz" in said
    network = Network.load(here / "out/net.npz")
    assert network.input_shape == SHAPE
    assert len(network.labels) == 2
    assert network.provenance["source"].startswith(f"{name}, sha256 ")
    page = (here / "out/net.html").read_text()
    assert name in page
    assert "converted, clocked" in page


def test_the_carried_inputs_alone_are_judged_with_a_note(here, capsys):
    as_checkpoint(here / "cnn.pt")
    assert main(["convert", "cnn.pt", "--out", "n.npz", "--no-page", *QUICK]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the verdict is on the calibration inputs that the checkpoint carries" in said
    assert "accuracy means agreement with it" in said
    assert not (here / "n.html").exists()


def test_without_torch_it_says_what_to_install():
    code = (
        "import sys; sys.modules['torch'] = None; from dvs_run.nodes.commands import main; sys.exit(main(sys.argv[1:]))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "convert", "any.pt"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert found.stderr.startswith("dvs convert: converting needs torch")
    assert "pip install 'dvs-run[train]'" in found.stderr


def test_without_a_name_the_network_is_called_after_the_model_and_lies_here(here, capsys):
    assert main(["convert", "weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--no-verdict"]) == 0
    said = capsys.readouterr().out
    assert (here / "weights-snn.npz").is_file()
    assert "160 inputs to calibrate on" in said
    assert "rounded by up to" in said
    assert not (here / "weights-snn.html").exists()


def test_a_budget_chooses_and_the_choice_is_kept_with_the_network(here, capsys):
    arguments = [
        "--calibration",
        "data.npz",
        "--budget",
        "5",
        "--percentile",
        "99",
        "--v-init",
        "0.5",
        "--max-spikes",
        "1",
    ]
    assert main(["convert", "weights.pt", *ARCHITECTURE, *arguments, "--out", "b.npz", "--search-seconds", "5"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "trade-off within 5 timesteps" in said
    chosen = Network.load(here / "b.npz").provenance["chosen"]
    assert 1 <= chosen["timesteps"] <= 5
    assert chosen["budget"] == "5 timesteps"
    assert f"after {chosen['timesteps']} timestep" in said
    assert "How the method was chosen" in (here / "b.html").read_text()


@pytest.mark.parametrize(
    ("settings", "code", "word"),
    [(["--max-loss", "100"], 0, "PASSED"), (["--max-loss", "0", "--method", "single", "--v-init", "0"], 1, "FAILED")],
)
def test_the_exit_code_tells_whether_more_was_lost_than_allowed(here, capsys, settings, code, word):
    arguments = ["--calibration", "data.npz", "--no-page", "--out", "x.npz", *settings, *QUICK, "--timesteps", "1"]
    assert main(["convert", "weights.pt", *ARCHITECTURE, *arguments]) == code
    said = " ".join(capsys.readouterr().out.split())
    assert f"{word}: A loss of" in said
    assert "95 % interval" in said
    assert (here / "x.npz").is_file()


def test_labels_and_validation_may_come_from_files_of_their_own(here, capsys):
    data = ["--calibration", "bare.npy", "--labels", "labels.npy", "--validation", "data.npz"]
    assert main(["convert", "weights.pt", *ARCHITECTURE, *data, "--out", "x.npz", "--no-page", *QUICK]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "160 inputs to calibrate on, 160 to judge on" in said
    assert "there are no labels" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weights.pt"], "say the code of yours that makes it, --architecture"),
        (["weights.pt", *ARCHITECTURE], "carries no calibration inputs; give some with --calibration"),
        (["none.onnx"], "none.onnx: there is no such file"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "none.npy"], "there is no calibration file none.npy"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "wrong.npy"], "want (n, 1, 8, 8)"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "empty.npy"], "holds no inputs"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "nan.npy"], "infinite or undefined"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "five.npz", "--no-verdict"],
         "the labels of five.npz lie in 5..6, want 0 to 1: the model has 2 outputs"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--validation", "five.npz"], "of five.npz lie in"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "bare.npy", "--labels", "five.npy"], "of five.npy lie in"),
        (["nan.pt", *ARCHITECTURE, "--calibration", "data.npz"], "0.weight"),
        (["elu.pt", "--architecture", "tests.convert.test_convert_command:elu", "--input-shape", "1,8,8",
          "--calibration", "data.npz"], "ELU"),
        (["stranger.pt"], "stranger.pt"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--classes", "a,b,c"], "there are 3 class names"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--method", "best"], "known are standard, single"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--readout", "vote"], "readout is 'vote'"),
        (["weights.pt", *ARCHITECTURE, "--calibration", "data.npz", "--out", "weights.pt"], "is the model itself"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_one_sentence(here, capsys, arguments, message):
    bad_files(here)
    assert main(["convert", *arguments, *([] if "--out" in arguments else ["--out", "refused.npz"])]) == 1
    error = capsys.readouterr().err
    assert not (here / "refused.npz").exists()
    assert error.startswith("dvs convert: ")
    assert message in error
    assert error.count("\n") == 1


def elu():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ELU(), nn.Linear(4, 2))


class Stranger:
    """A pickled module of a stranger: whoever unpickles it runs what it says."""

    def __reduce__(self):
        return (print, ("you ran me",))


def bad_files(folder):
    np.save(folder / "wrong.npy", np.zeros((4, 3, 8, 8), np.float32))
    np.save(folder / "empty.npy", np.zeros((0, 1, 8, 8), np.float32))
    np.save(folder / "nan.npy", np.full((4, 1, 8, 8), np.nan, np.float32))
    values, labels = images(160)
    np.savez(folder / "five.npz", inputs=values, labels=labels + 5)
    np.save(folder / "five.npy", labels + 5)
    state = Sides().state_dict()
    torch.save({**state, "0.weight": state["0.weight"] * np.nan}, folder / "nan.pt")
    torch.save(elu().state_dict(), folder / "elu.pt")
    torch.save(Stranger(), folder / "stranger.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "fast"], "the budget 'fast' is not understood"),
        (["--budget", "8", "--timesteps", "8"], "leave --timesteps out"),
        (["--max-loss", "1", "--no-verdict"], "leave --no-verdict out"),
        (["--max-loss", "nan"], "--max-loss is nan, want a number of points of accuracy from 0"),
        (["--max-loss", "-1"], "--max-loss is -1, want a number of points"),
        (["--window-ms", "inf"], "--window-ms is infinite"),
        (["--max-error", "nan"], "--max-error is nan, want a share"),
        (["--page", "x.html", "--no-page"], "leave --no-page"),
        (["--labels", "labels.npy"], "give that, too"),
        (["--validation-labels", "labels.npy"], "give that, too"),
        (["--input-shape", "8x8"], "want CHANNEL,HEIGHT,WIDTH"),
        (["--set", "speed=3"], "want NAME=VALUE with one of normalization"),
        (["--percentile", "many"], "unable to parse string as a number"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(here, capsys, arguments, message):
    assert main(["convert", "weights.pt", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_help_says_how_to_begin(capsys):
    assert main(["convert", "--help"]) == 0
    said = capsys.readouterr().out
    assert "dvs convert runs/mnist.pt --out mnist.npz" in said
    assert "--budget" in said
