"""Published systems are settings by name; every readout but the counted one decides where all outputs are negative."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.methods.presets import NAMES, PRESETS
from dvs_run.pipeline.encode import CurrentEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import Network, Readout
from dvs_run.pipeline.stream import Image

from .nets import LABELS, SHAPE, Plain, Residual, inputs


@pytest.mark.parametrize("preset", PRESETS, ids=NAMES)
def test_every_preset_converts_and_is_named_in_the_file(preset, tmp_path):
    method = replace(preset.method, correction_timesteps=8, balance_timesteps=8)
    for name, model in (("residual", Residual()), ("pools", Plain(torch.nn.MaxPool2d))):
        network = convert(model, SHAPE, LABELS, inputs(6), method=method, max_error=None, check_timesteps=4).network
        network.save(tmp_path / f"{name}.npz")
        stored = Network.load(tmp_path / f"{name}.npz").provenance
        for setting in ("percentile", "reset", "v_init"):
            assert stored[setting] == getattr(preset.method, setting)
    assert preset.paper
    assert preset.note


def test_a_preset_that_was_changed_is_not_named():
    named, changed = (
        convert(Plain(), SHAPE, LABELS, inputs(), method=method, max_error=None, check_timesteps=4).network.provenance
        for method in (Method.preset("han2020"), replace(Method.preset("han2020"), percentile=99.0))
    )
    assert named["preset"] == "han2020"
    assert "preset" not in changed


def test_an_unknown_preset_is_refused_with_those_that_are_known():
    with pytest.raises(ConversionError, match="no preset 'ecc'; known are .*ecc2022"):
        Method.preset("ecc")


def test_presets_have_names_and_settings_of_their_own():
    assert len(set(NAMES)) == len(NAMES)
    assert all(a.method != b.method for i, a in enumerate(PRESETS) for b in PRESETS[:i])


def test_uncertain_settings_are_marked():
    assert {preset.name for preset in PRESETS if "[mem]" in preset.note} >= {"cao2015", "sengupta2019", "han2020"}


class Negative(Plain):
    """All outputs are far below 0; the order of the first two is clear."""

    def forward(self, x):
        return super().forward(x) + torch.tensor([-9.0, -6.0, -12.0, -12.0, -12.0])


def decisions(kind, timesteps=40):
    conversion = convert(Negative(), SHAPE, LABELS, inputs(), method=Method(readout=kind), max_error=None)
    assert conversion.network.readout == Readout(kind)
    engine, found = Engine(conversion.network), []
    encoder = CurrentEncoder(timesteps)
    for index, pixels in enumerate(inputs(6).numpy()):
        engine.reset()
        for piece in encoder.encode(Image(pixels), index):
            decision = engine.step(piece)
        found.append((decision.index, np.array(decision.scores)))
    return found


@pytest.mark.parametrize("kind", ["membrane", "softmax_rate", "softmax_poisson"])
def test_readouts_of_the_membrane_decide_where_all_outputs_are_negative(kind):
    with torch.inference_mode():
        wanted = Negative().eval()(inputs(6))
    assert (wanted < 0).all()
    assert [index for index, _ in decisions(kind)] == wanted.argmax(1).tolist()


def test_a_counted_readout_has_nothing_to_count_where_all_outputs_are_negative():
    assert all(not scores.any() for _, scores in decisions("count"))
