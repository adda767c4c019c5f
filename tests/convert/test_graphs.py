"""Random CNNs with branches, sums, concatenations, slices: they fold exactly, run on the engine, compute the same."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Clocked, convert, import_cnn
from dvs_run.pipeline.convert.cnn import Activation, MaxPool, Weighted
from dvs_run.pipeline.convert.method import Method
from dvs_run.pipeline.engine import Engine

from ..engine.together import Together
from .dags import SHAPE, random_graph
from .test_clocked import cells

LABELS = "abc"


def pictures(n, seed):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(40))
def test_a_random_graph_folds_to_the_last_digits(seed):
    model = random_graph(seed, steps=6 + seed % 9).double()
    x = pictures(16, seed).double()
    with torch.inference_mode():
        wanted = model(x)
    found = import_cnn(model, SHAPE)(x)
    assert float((found - wanted).abs().max()) <= 1e-12 * float(wanted.abs().max())


@pytest.mark.parametrize("seed", range(40))
def test_no_two_weight_layers_follow_each_other_without_neurons(seed):
    cnn = import_cnn(random_graph(seed), SHAPE)
    nodes = {node.name: node for node in cnn.nodes}

    def weights(name):
        """The most weight layers on a way back to the neurons."""
        node = nodes.get(name)
        if node is None or isinstance(node, Activation | MaxPool):
            return 0
        return isinstance(node, Weighted) + max(weights(before) for before in node.inputs)

    assert max(weights(before) for node in cnn.nodes for before in node.inputs) <= 1
    for node in cnn.nodes:
        if isinstance(node, MaxPool):
            assert isinstance(nodes[node.inputs[0]], Activation | MaxPool)


@pytest.mark.parametrize("seed", range(0, 24, 2))
def test_spikes_compute_what_a_random_graph_computes(seed):
    method = Method(
        percentile=100, per="channel" if seed % 4 else "layer", form="thresholds" if seed % 3 else "weights"
    )
    x = pictures(12, seed)
    conversion = convert(random_graph(seed), SHAPE, LABELS, x, method=method, check_timesteps=96, max_error=None)
    assert conversion.report.folding_error < 1e-5
    assert conversion.report.output_error < 0.05


@pytest.mark.parametrize("seed", range(1, 21, 2))
@pytest.mark.parametrize("numbers", ["int16", "float32"])
def test_the_engine_runs_every_random_graph_and_equals_its_slow_twin(seed, numbers):
    method = Method(per="channel" if seed % 4 == 1 else "layer", form="thresholds" if seed % 3 else "weights")
    conversion = convert(
        random_graph(seed), SHAPE, LABELS, pictures(8, seed), method=method, timestep_us=1000, check_timesteps=4,
        max_error=None,
    )  # fmt: skip
    together = Together(conversion.network, numbers)
    random = np.random.default_rng(seed)
    for _ in range(4):
        together.step((random.random(SHAPE) < 0.4).astype(int))
    together.same_counters()


@pytest.mark.parametrize("seed", range(1, 13, 3))
def test_engine_and_clocked_reference_decide_nearly_the_same_on_random_graphs(seed):
    conversion = convert(random_graph(seed), SHAPE, LABELS, pictures(8, seed), check_timesteps=4, max_error=None)
    engine, state = Engine(conversion.network), Clocked(conversion.network, 1)
    frame = (pictures(1, seed + 1) > 0.5).float()
    for step in range(24):
        decision, scores = engine.step(cells(frame[0].numpy(), step)), state.step(frame)
    assert np.abs(decision.scores - scores[0].numpy()).max() < 0.1 * float(scores.abs().max())


def test_a_batch_norm_folds_with_its_epsilon_and_not_without():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=1e-3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    ).eval()  # fmt: skip
    nn.init.uniform_(model[1].running_var, 0.01, 0.05)
    x = pictures(8, 0)
    with torch.inference_mode():
        wanted = model(x)
    assert float((import_cnn(model, SHAPE)(x) - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())
    model[1].eps = 0.0
    assert float((import_cnn(model, SHAPE)(x) - wanted).abs().max()) > 1e-3 * float(wanted.abs().max())
