"""Any settings beside any others give a consistent network, or are refused in a sentence."""

import numpy as np
import pytest
from torch import nn

from dvs_run.pipeline.convert import convert
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import Network

from .nets import LABELS, SHAPE, Plain, Residual, inputs


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"v_init": "half"}, "v_init is 'half', want a share"),
        ({"v_init": 1.0}, "v_init is 1.0, want a share"),
        ({"normalization": "max"}, "normalization is 'max', want 'percentile' or 'weights' or 'spikes' or 'none'"),
        ({"clamp_steps": -1}, "clamp_steps is -1, want a whole number from 0"),
        ({"correction_timesteps": 0}, "correction_timesteps is 0, want a whole number above 0"),
        ({"average_pools": "after"}, "average_pools is 'after', want 'behind' or 'neurons' or 'before'"),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ConversionError, match=message):
        Method(**settings)


EVERY = {
    "normalization": ("percentile", "weights", "spikes", "none"),
    "per": ("layer", "channel"),
    "form": ("weights", "thresholds"),
    "residual": ("own", "shared"),
    "reset": ("subtract", "zero"),
    "v_init": (0.0, 0.5, "uniform", "-bias"),
    "clamp_steps": (0, 2),
    "v_min": (None, -1.0),
    "max_spikes": (1, 4),
    "input": ("constant", "poisson"),
    "pool_rule": ("exact", "fir"),
    "max_pools": ("max", "average"),
    "average_pools": ("behind", "neurons", "before"),
    "correction": ("none", "bias", "start", "both"),
    "readout": ("membrane", "count", "softmax_rate"),
    "readout_delay": (0, 3),
    "threshold_scale": (1.0, 0.5),
}


@pytest.mark.parametrize("seed", range(12))
def test_settings_compose(seed):
    """Any of them beside any other gives a network that is consistent, runs, and says how it was made."""
    random = np.random.default_rng(seed)
    chosen = {name: values[random.integers(len(values))] for name, values in EVERY.items()}
    for make in (Plain, Residual, lambda: Plain(nn.MaxPool2d)):
        method = Method(**chosen, correction_timesteps=8, balance_timesteps=4)
        conversion = convert(make(), SHAPE, LABELS, inputs(6), method=method, max_error=None, check_timesteps=16)
        assert np.isfinite(conversion.report.output_error)
        assert all(conversion.network.provenance[name] == chosen[name] for name in ("reset", "v_init", "per"))
        assert Network.shapes_of(conversion.network.input_shape, conversion.network.layers)
