"""Averages in the place of maxima, before the neurons, or as neurons of their own."""

import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert.cnn import Activation, Add, Cnn, MaxPool, Weighted
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.convert.methods.pools import with_pools
from dvs_run.pipeline.convert.trace.graph import import_cnn
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.network import IF

from .nets import SHAPE, Plain, PoolFirst, Residual, converted, inputs


def logits(cnn, x):
    return cnn.logits(x.double())


def test_averages_take_the_place_of_maxima_and_the_provenance_says_what_that_costs():
    cnn = with_pools(import_cnn(Plain(nn.MaxPool2d), SHAPE), Method(max_pools="average"), inputs())
    wanted = import_cnn(Plain(nn.AvgPool2d), SHAPE)
    assert torch.allclose(logits(cnn, inputs()), logits(wanted, inputs()), atol=1e-12)
    assert "the CNN itself decides as before on" in cnn.notes[-1]
    note = converted(Plain(nn.MaxPool2d), max_pools="average").network.provenance["notes"][-1]
    assert "the CNN itself decides as before on" in note


def test_averages_may_stand_before_the_neurons():
    cnn = with_pools(import_cnn(Plain(), SHAPE), Method(average_pools="before"), inputs())
    assert torch.allclose(logits(cnn, inputs()), logits(import_cnn(PoolFirst(), SHAPE), inputs()), atol=1e-12)
    conversion = converted(Plain(), average_pools="before")
    assert conversion.network.shapes()["relu"] == (6, 4, 4)
    assert conversion.report.output_error < 0.1


def test_averages_may_spike_with_a_scale_of_their_own():
    conversion = converted(Plain(), average_pools="neurons", percentile=100)
    names = [layer.name for layer in conversion.network.layers if isinstance(layer, IF)]
    assert names == ["relu", "avg_pool2d_if", "relu_1", "avg_pool2d_1_if"] or len(names) == 4
    lambdas = conversion.network.provenance["lambdas"]
    assert lambdas[names[1]] < 4 * lambdas["relu"]  # a sum of 4, as the division is in the next weights
    assert conversion.report.output_error < 0.1


def test_without_maxima_or_averages_nothing_changes():
    cnn = import_cnn(Residual(), SHAPE)
    for settings in ({"max_pools": "average"}, {"average_pools": "before"}):
        assert with_pools(cnn, Method(**settings), inputs()) is cnn


def test_a_maximum_that_is_added_to_something_else_cannot_become_an_average():
    kernel = torch.ones(2, 2, 1, 1, dtype=torch.float64)
    nodes = (
        Weighted("w", ("input",), kernel, torch.zeros(2, dtype=torch.float64)),
        Activation("relu", ("w",)),
        MaxPool("pool", ("relu",), (3, 3), (1, 1), (1, 1)),
        Add("sum", ("pool", "relu")),
        Activation("relu_1", ("sum",)),
    )
    with pytest.raises(
        ConversionError, match="'sum' behind one has no weights to take up the division; keep max_pools"
    ):
        with_pools(Cnn(nodes, SHAPE, "relu_1"), Method(max_pools="average"), inputs())
