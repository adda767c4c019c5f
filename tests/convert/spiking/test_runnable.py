"""What the engine could not hold is found at conversion; a model with a state is refused and stays as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.given import calibration_inputs
from dvs_run.pipeline.engine.plan import make_plan
from dvs_run.pipeline.errors import ConversionError

SHAPE, LABELS = (1, 6, 6), ["a", "b", "c"]


def two_convolutions():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(144, 3),
    ).eval()


def images(n=16):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(1))


def test_neurons_that_can_never_fire_get_a_bias_that_the_engine_can_hold():
    model = two_convolutions()
    model[2].bias.data[1] = -1e6
    conversion = convert(model, SHAPE, LABELS, images(), per="channel")
    assert any("1 of the 4 channels of 3 can never fire" in n for n in conversion.network.provenance["notes"])
    for numbers in ("int16", "float32"):
        make_plan(conversion.network, numbers)
    model[2].bias.data[1] = -100.0  # silent all the same, and borne as it is
    silent = convert(model, SHAPE, LABELS, images(), per="channel")
    assert conversion.report.output_error == silent.report.output_error
    assert conversion.report.synops == silent.report.synops


def test_a_bias_that_dwarfs_the_weights_of_neurons_that_may_fire_is_refused_by_name():
    model = two_convolutions()
    model[0].bias.data[2] = -1e9  # behind the input, which may bring anything
    with pytest.raises(ConversionError, match="layer '1' has a bias .* dwarfs its weights.*smaller bias"):
        convert(model, SHAPE, LABELS, images())


class Remembers(nn.Module):
    """Adds how often it was called before."""

    def __init__(self):
        super().__init__()
        self.inner = two_convolutions()
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        y = self.inner(x) + self.seen
        self.seen += 1.0
        return y


class Counts(Remembers):
    """Keeps a buffer of which its result knows nothing."""

    def forward(self, x):
        self.seen += 1.0
        return self.inner(x)


def test_a_model_with_a_state_is_refused_and_keeps_the_state_it_had():
    model = Remembers().eval()
    with pytest.raises(ConversionError, match="state|depend on"):
        convert(model, SHAPE, LABELS, images())
    assert model.seen == 0


def test_buffers_that_a_forward_writes_are_as_before():
    model = Counts().train()
    convert(model, SHAPE, LABELS, images())
    assert model.seen == 0
    assert model.training


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        ("images.npz", "calibration is a str"),
        (Path("images.npz"), "calibration is a PosixPath|WindowsPath"),
        (7, "calibration is a int"),
        (None, "calibration is a NoneType"),
        ({"x": images()}, "calibration is a dict"),
        ([None, None], "calibration is a list that is no numbers"),
        ([images(2), torch.zeros(2, 3)], "calibration is a list that is no numbers of one shape"),
        (np.array(["a", "b"]), "calibration is a ndarray that is no numbers"),
    ],
    ids=str,
)
def test_calibration_of_another_type_is_refused_in_a_sentence(calibration, said):
    with pytest.raises(ConversionError, match=said) as refusal:
        calibration_inputs(calibration, SHAPE)
    assert "(n, 1, 6, 6)" in str(refusal.value)
