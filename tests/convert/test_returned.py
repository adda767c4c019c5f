"""A model that returns several results, or one in a tuple or dict: one of them is converted, checked and judged."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.nodes.commands import main
from dvs_run.pipeline.convert import convert, import_cnn
from dvs_run.pipeline.convert.verdict import measure_stages
from dvs_run.pipeline.errors import ConversionError

from .sides import SHAPE, Sides, images

RETURNED = {
    "a dict": (lambda y, other: {"logits": y, "features": other}, "logits"),
    "a dict of one": (lambda y, other: {"logits": y}, None),
    "a tuple": (lambda y, other: (other, y), 1),
    "a tuple with None": (lambda y, other: (y, None), None),
    "a number as text": (lambda y, other: [other, y], "1"),
}


class Several(nn.Module):
    """`Sides`, and beside its scores what the forward makes of the image."""

    def __init__(self, form):
        super().__init__()
        self.sides, self.form = Sides(), form

    def forward(self, x):
        return self.form(self.sides(x), x.flatten(1))


def with_features():
    """The architecture of the command line."""
    return Several(RETURNED["a dict"][0])


@pytest.mark.parametrize("name", RETURNED)
def test_the_chosen_result_is_what_the_stages_judge(name):
    form, output = RETURNED[name]
    model = Several(form).eval()
    values, labels = images(40)
    conversion = convert(model, SHAPE, ("right", "left"), values[:20], output=output, check_timesteps=8, max_error=None)
    found = measure_stages(model, conversion, torch.from_numpy(values), labels, 8, numbers=())
    alone = measure_stages(model.sides, conversion, torch.from_numpy(values), labels, 8, numbers=())
    assert found.stages == alone.stages
    assert found.folding_error < 1e-5


def test_a_result_that_is_not_returned_is_refused_with_those_that_are():
    with pytest.raises(ConversionError, match=r"returns 2 results \('logits', 'features'\), and 'aux' is none"):
        import_cnn(with_features(), SHAPE, "aux")


@pytest.mark.parametrize("labelled", [True, False])
def test_the_command_converts_and_judges_the_output_that_was_named(tmp_path, capsys, labelled):
    values, labels = images(120)
    np.savez(tmp_path / "data.npz", inputs=values, **({"labels": labels} if labelled else {}))
    torch.save(with_features().state_dict(), tmp_path / "weights.pt")
    code = main([
        "convert", str(tmp_path / "weights.pt"), "--architecture", "tests.convert.test_returned:with_features",
        "--input-shape", "1,8,8", "--output", "logits", "--calibration", str(tmp_path / "data.npz"), "--max-error", "0",
        "--out", str(tmp_path / "net.npz"), "--timesteps", "8", "--samples", "20", "--no-page", "--max-loss", "100",
    ])  # fmt: skip
    assert code == 0, capsys.readouterr().err
    assert "PASSED" in capsys.readouterr().out
