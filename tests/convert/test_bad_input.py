"""What a user hands over that is no model, no data or no good is answered by a sentence: what, found, wanted, way out.

Files, damaged ones and those that would run code, are test_load.py's and test_checkpoint.py's; here is what reaches
`convert` and the command line.
"""

import os
import pickle

import pytest
import torch
from torch import nn

from dvs_run.nodes.commands import main
from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.errors import ConversionError

SHAPE, LABELS = (3, 12, 12), tuple("abcdef")


def network(*middle):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), *middle, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(288, 6)
    )


def inputs(n=8):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def refused(model, calibration=None, shape=SHAPE, labels=LABELS, **options):
    with pytest.raises(Exception) as refusal:  # noqa: PT011  whatever it raises, it must be one of ours
        convert(model, shape, labels, inputs() if calibration is None else calibration, check_timesteps=4, **options)
    assert isinstance(refusal.value, ConversionError), repr(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("shape", [(3, 10, 10), (1, 12, 12), (3, 2, 2)])
def test_a_model_for_data_of_another_shape_says_where_it_stops(shape):
    said = refused(network(), torch.rand(4, *shape), shape)
    assert f"does not take an input of shape {shape} (channel, height, width) at layer" in said


@pytest.mark.parametrize(("value", "layer"), [(float("nan"), "0"), (float("inf"), "4")])
def test_weights_that_are_no_numbers_are_refused(value, layer):
    model = network()
    next(module for name, module in model.named_modules() if name == layer).weight.data.view(-1)[7] = value
    said = refused(model)
    assert "undefined" in said
    assert repr(layer) in said or f"'{layer}.weight'" in said


def test_a_batch_norm_whose_statistics_are_no_numbers_is_refused():
    norm = nn.BatchNorm2d(8)
    norm.running_var[3] = float("nan")
    assert "undefined" in refused(network(norm))


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (torch.zeros(0, *SHAPE), r"shape (0, 3, 12, 12), want (n, 3, 12, 12) with n of a few hundred"),
        ([], r"want (n, 3, 12, 12) with n of a few hundred"),
        (torch.rand(4, 3, 10, 10), r"shape (4, 3, 10, 10), want (n, 3, 12, 12)"),
        (torch.rand(3, 12, 12), r"shape (3, 12, 12), want (n, 3, 12, 12)"),
        (torch.full((4, *SHAPE), float("nan")), "infinite or undefined values"),
        (torch.zeros(4, *SHAPE), "are all 0"),
    ],
    ids=["none", "no batches", "other size", "one image", "undefined", "all 0"],
)
def test_calibration_inputs_that_say_nothing_are_refused(calibration, message):
    assert message in refused(network(), calibration)


def test_an_operation_without_a_rule_is_refused_by_name_with_what_there_is():
    said = refused(network(nn.GroupNorm(2, 8)))
    assert "layer '2' (GroupNorm) cannot be converted" in said
    assert "BatchNorm2d" in said


@pytest.mark.parametrize("model", [None, 5, "net.pt", nn.Sequential, {"weight": torch.zeros(3)}])
def test_what_is_no_model_is_refused(model):
    assert "want a torch.nn.Module" in refused(model)


def test_a_model_that_computes_nothing_is_refused():
    assert "at least one conv or linear layer" in refused(nn.Sequential(nn.Flatten()), labels=tuple("a" * 432))


def test_labels_that_do_not_fit_the_outputs_are_refused():
    with pytest.raises(Exception, match="6 outputs for 2 labels"):
        convert(network(), SHAPE, ("a", "b"), inputs(), check_timesteps=4)


def test_a_layer_that_no_input_excites_is_told_in_the_report():
    """An activation that is never reached: the network is what the CNN is, and the verdict says that it is dead."""
    model = network(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    model[2].bias.data -= 30.0
    report = convert(model, SHAPE, LABELS, inputs(), check_timesteps=16).report
    dead = {layer.name: layer.dead for layer in report.layers}
    assert dead["3"] == 1.0
    assert dead["1"] < 0.5
    assert report.output_error < 1e-5


def test_an_activation_that_forward_never_calls_stands_in_nobodys_way():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.spare = network(), nn.Tanh()

        def forward(self, x):
            return self.net(x)

    assert convert(Spare(), SHAPE, LABELS, inputs(), check_timesteps=4).report.folding_error < 1e-5


class Stranger:
    """A pickle that makes a folder when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["pickle", "torch.save", "inside a state dict", "inside a checkpoint"])
def test_a_pickle_from_a_stranger_is_refused_in_a_sentence_and_not_run(tmp_path, capsys, how):
    trace, path = tmp_path / "was-run", tmp_path / "model.pt"
    stranger = Stranger(trace)
    if how == "pickle":
        path.write_bytes(pickle.dumps(stranger))
    else:
        document = {
            "torch.save": stranger,
            "inside a state dict": {"0.weight": torch.zeros(3), "spy": stranger},
            "inside a checkpoint": {"format": "dvs_run checkpoint", "version": 1, "extra": stranger},
        }[how]
        torch.save(document, path)
    assert main(["convert", str(path), "--out", str(tmp_path / "net.npz")]) == 1
    said = capsys.readouterr().err
    assert str(path) in said.replace("\n", "")
    assert "Traceback" not in said
    assert not trace.exists()
    pickle.loads(pickle.dumps(stranger))
    assert trace.exists()  # it would have been, had anyone opened it
