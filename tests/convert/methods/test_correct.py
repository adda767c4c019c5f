"""Corrected biases and starts make mean rates those of the CNN, and change nothing else."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.simulate import Clocked

from .nets import Plain, PoolFirst, Residual, converted, inputs


def mean_error(conversion, timesteps):
    """Of each population's channels: |mean rate * λ - mean activation|, summed."""
    state, total = Clocked(conversion.network, 24), 0.0
    for _ in range(timesteps):
        state.step(inputs(), is_current=True)
    for node, value in conversion.cnn.activations(inputs()):
        if node.name in state.spikes:
            rate = state.spikes[node.name].mean((0, 2, 3)) / timesteps
            scale = conversion.network.provenance["lambdas"][node.name]
            total += float((rate * scale - value.mean((0, 2, 3))).abs().sum())
    return total


@pytest.mark.parametrize("correction", ["bias", "start", "both"])
@pytest.mark.parametrize("make", [Plain, Residual, lambda: Plain(nn.MaxPool2d), PoolFirst])
def test_correction_brings_mean_rates_to_the_activations(correction, make):
    settings = {"percentile": 99.0, "v_init": 0.0}
    before = converted(make(), **settings)
    after = converted(make(), correction=correction, correction_timesteps=12, **settings)
    assert mean_error(after, 12) < 0.7 * mean_error(before, 12)
    assert [type(layer) for layer in after.network.layers] == [type(layer) for layer in before.network.layers]


def test_correction_changes_biases_and_starts_alone():
    before, after = (converted(Plain(), correction=how).network for how in ("none", "both"))
    changed = set()
    for a, b in zip(before.layers, after.layers, strict=True):
        for name, value in vars(a).items():
            same = (
                np.array_equal(value, getattr(b, name)) if isinstance(value, np.ndarray) else value == getattr(b, name)
            )
            changed |= set() if same else {name}
    assert changed == {"bias", "v_init"}
    assert after.provenance["correction"] == "both"


def test_correction_of_the_last_layer_makes_mean_outputs_right():
    conversion = converted(Plain(), correction="bias", correction_timesteps=16, readout_delay=4)
    state = Clocked(conversion.network, 24)
    for _ in range(16):
        scores = state.step(inputs(), is_current=True)
    wanted = Plain().eval()(inputs()).detach().mean(0)
    assert torch.allclose(scores.mean(0) / 12, wanted, atol=1e-4)
