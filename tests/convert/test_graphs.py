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
from .spikes import cells

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


class Dense(nn.Module):
    """Layers that each read all before them: batch norm, ReLU, convolution."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(2 + 3 * i) for i in range(5))
        self.convs = nn.ModuleList(nn.Conv2d(2 + 3 * i, 3, 3, padding=1) for i in range(5))
        self.head = nn.Linear(17, 3)

    def forward(self, x):
        features = [x]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            features.append(conv(norm(torch.cat(features, 1)).relu()))
        return self.head(torch.cat(features, 1).relu().mean((2, 3)))


def test_what_many_layers_read_is_computed_once_and_carried_by_neurons():
    torch.manual_seed(0)
    conversion = convert(Dense().eval(), SHAPE, LABELS, pictures(16, 0), check_timesteps=96)
    kinds = [
        type(node).__name__ + str(getattr(node, "weight", torch.zeros(0)).shape[2:4]) for node in conversion.cnn.nodes
    ]
    assert sum("[3, 3]" in kind for kind in kinds) <= 6  # of 5; a copy for each reader would make it 15
    assert sum(node.signed for node in conversion.cnn.populations()) >= 3
    assert conversion.report.output_error < 0.05


def test_branches_keep_scales_of_their_own():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.quiet, self.loud, self.after = nn.Conv2d(2, 3, 1), nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(6, 3, 1)

        def forward(self, x):
            both = torch.cat([self.quiet(x).relu(), 50 * self.loud(x).relu()], 1)
            return self.after(both).relu().mean((2, 3))

    torch.manual_seed(1)
    model = Branches().eval()
    conversion = convert(model, SHAPE, LABELS, pictures(16, 0), method=Method(percentile=100))
    quiet, loud, after = conversion.network.provenance["lambdas"].values()
    weights = {layer.name: layer for layer in conversion.network.layers}["after"].weight[:, :, 0, 0]
    wanted = model.after.weight[:, :, 0, 0].detach().numpy() / after
    assert weights[:, :3] == pytest.approx(wanted[:, :3] * quiet, rel=1e-4)
    assert weights[:, 3:] == pytest.approx(wanted[:, 3:] * 50 * loud, rel=1e-4)  # the factor is in the weights
    assert conversion.report.output_error < 0.02


def test_both_ends_of_a_shortcut_are_brought_to_one_scale():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(256, 3)

        def forward(self, x):
            x = self.first(x).relu()
            return self.head((self.second(x) + x).relu().flatten(1))

    torch.manual_seed(0)
    conversion = convert(Residual().eval(), SHAPE, LABELS, pictures(16, 0), method=Method())
    before, behind = conversion.network.provenance["lambdas"].values()
    shortcut = next(layer for layer in conversion.network.layers if layer.name == "relu_scaled")
    assert shortcut.groups == 4
    assert shortcut.weight.flatten() == pytest.approx(np.full(4, before / behind), rel=1e-5)


def test_a_ceiling_that_is_reached_is_the_scale_and_the_neurons_saturate_there():
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU6(), nn.Flatten(), nn.Linear(1, 2)).eval()
    nn.init.ones_(model[0].weight)
    x = torch.tensor([1.0, 3.0, 6.0, 60.0]).view(4, 1, 1, 1)
    conversion = convert(model, (1, 1, 1), "ab", x, method=Method(percentile=90), check_timesteps=60)
    assert conversion.network.provenance["lambdas"] == {"1": 6.0}
    assert conversion.report.layers[0].error < 1e-6
    low = convert(model, (1, 1, 1), "ab", x[:2], method=Method(percentile=100))
    assert low.network.provenance["lambdas"] == {"1": 3.0}  # never reached: as any ReLU


@pytest.mark.parametrize("rule", ["exact", "fir", "average", "exponential", "or"])
def test_the_rule_of_max_pools_can_be_chosen(rule):
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)).eval()
    conversion = convert(
        model, SHAPE, LABELS, pictures(8, 0), method=Method(pool_rule=rule), check_timesteps=256, max_error=None
    )
    assert [layer.rule for layer in conversion.network.layers if hasattr(layer, "rule")] == [rule]
    assert conversion.report.output_error < {"exact": 0.01, "or": 1.0}.get(rule, 0.05)


def test_weights_stay_as_they_are_where_thresholds_carry_the_scales():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    ).eval()
    networks = {
        form: convert(model, SHAPE, LABELS, pictures(16, 0), method=Method(form=form))
        for form in ("weights", "thresholds")
    }
    layers = {layer.name: layer for layer in networks["thresholds"].network.layers}
    assert np.array_equal(layers["0"].weight, model[0].weight.detach().numpy())
    assert layers["2"].weight == pytest.approx(model[2].weight.detach().numpy(), rel=1e-6)
    lambdas = networks["weights"].network.provenance["lambdas"]
    assert layers["3"].threshold == pytest.approx(np.full(4, lambdas["3"] / lambdas["1"]), rel=1e-6)
    assert networks["thresholds"].report.output_error == pytest.approx(networks["weights"].report.output_error, rel=0.2)


def test_given_scales_and_scaled_thresholds_are_taken_as_they_are():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    given = convert(model, SHAPE, LABELS, pictures(8, 0), method=Method(lambdas={"1": [1.0, 2.0, 3.0, 4.0]}))
    assert given.network.provenance["lambdas"]["1"] == [1.0, 2.0, 3.0, 4.0]
    plain = convert(model, SHAPE, LABELS, pictures(8, 0), method=Method()).network.provenance["lambdas"]["1"]
    scaled = convert(model, SHAPE, LABELS, pictures(8, 0), method=Method(threshold_scale={"1": 0.5})).network
    assert scaled.provenance["lambdas"]["1"] == pytest.approx(plain / 2)
    assert scaled.provenance["threshold_scale"] == {"1": 0.5}


def test_several_spikes_a_timestep_remove_the_ceiling_of_one():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    errors = [
        convert(
            model, SHAPE, LABELS, pictures(8, 0), check_timesteps=32, max_error=None,
            method=Method(percentile=100, threshold_scale=0.1, max_spikes=most),
        ).report.output_error
        for most in (1, 16)
    ]  # fmt: skip
    assert errors[0] > 0.2 > 0.01 > errors[1]


def test_poisson_input_is_noisier_than_current():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    reports = [
        convert(model, SHAPE, LABELS, pictures(8, 0), max_error=None, method=Method(input=kind)).report
        for kind in ("constant", "poisson")
    ]
    assert reports[1].output_error > 2 * reports[0].output_error
    assert reports[1].synops > reports[0].synops  # the first layer's work is counted


def test_the_report_tells_what_the_membranes_hold_back_and_which_weights_feed_a_population():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    report = convert(model, SHAPE, LABELS, pictures(8, 0), percentile=100, check_timesteps=64).report
    first, last = report.layers
    assert (first.weights, last.weights) == (("0",), ("3",))
    assert (first.macs, last.macs) == (2 * 9 * 4 * 36, 144 * 3)
    assert first.synops == 0
    assert last.synops == pytest.approx(first.rate * 64 * 144 * 3)
    positive = convert(nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3)).eval(), SHAPE,
                       LABELS, pictures(4, 0), percentile=100, check_timesteps=64).report  # fmt: skip
    assert all(layer.residual >= 0 for layer in (first, positive.layers[0]))


def test_a_dictionary_or_a_second_output_is_chosen_by_name():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(128, 3), nn.Linear(128, 3)

        def forward(self, x):
            x = x.flatten(1)
            return {"main": self.a(x), "side": self.b(x)}

    model, x = Two().eval(), pictures(8, 0)
    found = import_cnn(model, SHAPE, "side")(x)
    assert torch.allclose(found, model(x)["side"], atol=1e-6)
    assert convert(model, SHAPE, LABELS, x, output="main").report.folding_error < 1e-5


def test_progress_is_told():
    seen = []
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    convert(model, SHAPE, LABELS, pictures(8, 0), check_timesteps=4, progress=lambda *step: seen.append(step))
    assert (8, 8, "calibration inputs") in seen
    assert seen[-1][:2] == (4, 4)
