"""The network on spike counts is the spiking one where time makes no difference, and only there."""

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.methods.counts import count_form
from dvs_run.pipeline.convert.simulate import Clocked
from dvs_run.pipeline.errors import NetworkError

from .nets import Plain, converted, inputs


def test_counts_are_the_clipped_floor_of_what_arrives():
    network = converted(Plain(), percentile=90).network
    scores, counts = count_form(network, inputs(), 16)
    quick = network.layers[0]
    charge = 16 * nn.functional.conv2d(
        inputs().double(), torch.from_numpy(quick.weight).double(), torch.from_numpy(quick.bias).double(), padding=1
    )
    assert torch.equal(counts["relu"], (charge.relu() + 0.5).floor().clamp(0, 16))
    assert (counts["relu"] == 16).any()
    assert scores.shape == (24, 5)


@pytest.mark.parametrize("most", [1, 3])
def test_where_nothing_is_negative_counts_are_those_of_the_spiking_network(most):
    """No neuron sees both signs and none more than it may fire, so time makes no difference."""
    model = Plain(bias=False)
    for layer in (model.one, model.two, model.last):
        layer.weight.data = layer.weight.data.abs()
    conversion = converted(model, normalization="weights", max_spikes=most)
    x = inputs()
    state = Clocked(conversion.network, len(x), torch.float64)
    for _ in range(32):
        scores = state.step(x.double(), is_current=True)
    form, counts = count_form(conversion.network, x, 32)
    for name, spikes in state.spikes.items():
        assert (spikes - counts[name]).abs().max() <= 1  # a spike that has not come yet
        assert float((spikes == counts[name]).double().mean()) > 0.9
    assert torch.allclose(form, scores, rtol=0.02, atol=2)
    assert torch.equal(state.spikes["relu"], counts["relu"])


def test_time_makes_a_difference_where_inhibition_comes_late():
    """The unevenness error: the count form knows of no time, the spiking network is told by it."""
    network = converted(Plain(), percentile=99).network
    state = Clocked(network, 24)
    for _ in range(16):
        state.step(inputs(), is_current=True)
    counts = count_form(network, inputs(), 16)[1]
    assert torch.equal(state.spikes["relu"].double(), counts["relu"])  # constant current: nothing comes late
    assert not torch.equal(state.spikes["relu_1"].double(), counts["relu_1"])


@pytest.mark.parametrize("settings", [{"reset": "zero"}, {"v_min": -1.0}, {"clamp_steps": 3}])
def test_what_depends_on_time_has_no_count_form(settings):
    with pytest.raises(NetworkError, match="only Clocked or an Engine runs it"):
        count_form(converted(Plain(), **settings).network, inputs(), 8)
