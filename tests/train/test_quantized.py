"""Quantized activations: values and gradients by hand, and the spikes that they stand for."""

import math

import pytest
import torch
from torch import fx, nn

from dvs_run.pipeline.convert import constant_current, convert, run
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.train.models import ACTIVATIONS, build_model
from dvs_run.pipeline.train.quantized import FloorReLU, PactReLU, QuantizedReLU, calibrate_ceilings, start_weights

X = torch.tensor([-1.0, 0.0, 0.2, 0.25, 0.6, 1.9, 2.0, 5.0])


def gradients(module, x=X):
    """dy/dx, each element alone, and dy/dceiling of each element."""
    x = x.clone().requires_grad_()
    module(x).sum().backward()
    by_ceiling = []
    for value in x.detach():
        module.zero_grad()
        module(value[None]).sum().backward()
        by_ceiling.append(module.ceiling.grad.item())
    return x.grad.tolist(), by_ceiling


def spikes(current, threshold, v_init, timesteps, several=False):
    """Spikes of an integrate-and-fire neuron with reset by subtraction, under constant current."""
    v, count = v_init, 0
    for _ in range(timesteps):
        v += current
        while v >= threshold:
            v, count = v - threshold, count + 1
            if not several:
                break
    return count


def test_qcfs_has_levels_from_zero_to_its_ceiling_and_rounds_half_up():
    assert QuantizedReLU(4, ceiling=2.0)(X).tolist() == [0, 0, 0, 0.5, 0.5, 2, 2, 2]


def test_qcfs_passes_gradients_as_in_its_equation():
    by_x, by_ceiling = gradients(QuantizedReLU(4, ceiling=2.0))
    assert by_x == [0, 0, 1, 1, 1, 1, 0, 0]
    assert by_ceiling == pytest.approx([0, 0, (0 - 0.2) / 2, (0.5 - 0.25) / 2, (0.5 - 0.6) / 2, (2 - 1.9) / 2, 1, 1])


@pytest.mark.parametrize("levels", [1, 4, 8])
def test_qcfs_counts_the_spikes_of_a_neuron_that_starts_at_half_its_threshold(levels):
    module = QuantizedReLU(levels, ceiling=1.7)
    x = torch.rand(200, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 4 - 1
    counts = [spikes(value, 1.7, 1.7 / 2, levels) for value in x.tolist()]
    assert (module.double()(x) * levels / 1.7).tolist() == pytest.approx(counts)


def test_pact_rounds_to_bits_below_its_ceiling():
    values = PactReLU(2, ceiling=2.0)(X)  # levels of 2/3; 0.2 and 0.25 lie below half a level
    assert values.tolist() == pytest.approx([0, 0, 0, 0, 2 / 3, 2, 2, 2])
    assert PactReLU(3).levels == 7


def test_pact_teaches_its_ceiling_by_what_is_clipped_alone():
    by_x, by_ceiling = gradients(PactReLU(2, ceiling=2.0))
    assert by_x == [0, 1, 1, 1, 1, 1, 0, 0]
    assert by_ceiling == [0, 0, 0, 0, 0, 0, 1, 1]


def test_pact_and_qcfs_of_as_many_levels_are_one_function():
    x = torch.randn(500, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(PactReLU(3, ceiling=1.3)(x), QuantizedReLU(7, ceiling=1.3)(x))


def test_floor_relu_gives_whole_units_and_the_gradient_of_relu():
    module, x = FloorReLU(), torch.tensor([-0.5, 0.0, 0.99, 1.0, 7.3], requires_grad=True)
    values = module(x)
    values.sum().backward()
    assert values.tolist() == [0, 0, 0, 1, 7]
    assert x.grad.tolist() == [0, 0, 1, 1, 1]
    assert FloorReLU(unit=0.25)(x).tolist() == [0, 0, 0.75, 1, 7.25]


def test_floor_relu_counts_the_spikes_of_a_window_whatever_their_order():
    parts = torch.rand(50, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for total, currents in zip(FloorReLU()(parts.sum(1)).tolist(), parts.tolist(), strict=True):
        v, count = 0.0, 0
        for current in currents:
            v += current
            fired = math.floor(v)
            v, count = v - fired, count + fired
        assert count == total


def test_stochastic_rounding_is_right_on_average_and_rounds_half_up_in_evaluation():
    torch.manual_seed(0)
    module = FloorReLU(unit=0.5, stochastic=True)
    drawn = module(torch.full((20_000,), 0.9))
    assert set(drawn.tolist()) == {0.5, 1.0}
    assert drawn.mean().item() == pytest.approx(0.9, abs=0.01)
    assert module(torch.zeros(1000) - 0.2).abs().sum() == 0
    assert module.eval()(torch.tensor([0.24, 0.25, 0.9])).tolist() == [0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QuantizedReLU(0), "levels is 0, want a whole number of at least 1"),
        (lambda: QuantizedReLU(2.5), "levels is 2.5"),
        (lambda: QuantizedReLU(4, ceiling=0.0), "ceiling is 0.0, want a number above 0"),
        (lambda: PactReLU(17), "bits is 17, want a whole number from 1 to 16"),
        (lambda: FloorReLU(unit=-1), "unit is -1, want a number above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(NetworkError, match=message):
        make()


@pytest.mark.parametrize("module", [QuantizedReLU(4), PactReLU(4)])
def test_a_ceiling_that_was_driven_below_zero_is_refused(module):
    module.ceiling.data.fill_(-0.1)
    with pytest.raises(NetworkError, match="a learned ceiling has become -0.1, want above 0; lower the learning rate"):
        module(X)


def spec(**activation):
    layers = [{"conv": 4, "batch_norm": True, **activation}, {"pool": 2, **activation}, {"linear": 3}]
    return {"input": [1, 6, 6], "layers": layers}


def test_a_layer_list_may_ask_for_any_activation():
    for kind, (made, defaults) in ACTIVATIONS.items():
        model = build_model(spec(activation=kind, **defaults))
        names = ["conv1", "bn1", f"{kind}1", "pool1", f"{kind}2", "flatten1", "linear1"]
        assert [name for name, _ in model.named_children()] == names
        assert isinstance(model.get_submodule(f"{kind}2"), made)
        assert model(torch.rand(2, 1, 6, 6)).shape == (2, 3)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"activation": "gelu"}, r"layer 0 \(conv\): activation is 'gelu', want one of relu, qcfs"),
        ({"activation": "qcfs", "bits": 4}, "`bits` is no option of activation qcfs; `activation: pact` has it"),
        ({"levels": 4}, "`levels` is no option of activation relu; `activation: qcfs` has it"),
        ({"activation": "qcfs", "levels": 0}, r"layer 0 \(conv\): levels is 0"),
        ({"activation": "qcfs", "relu": False}, "exclude each other; remove one"),
    ],
)
def test_a_layer_list_with_a_wrong_activation_is_refused_by_place(layer, message):
    with pytest.raises(NetworkError, match=message):
        build_model({"input": [1, 6, 6], "layers": [{"conv": 4, **layer}, {"linear": 3}]})


def test_ceilings_are_calibrated_as_if_every_activation_were_a_relu():
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(5, 8), QuantizedReLU(2, 0.1), nn.Linear(8, 4), PactReLU(2, 0.1)).train()
    x = torch.randn(300, 5)
    calibrate_ceilings(model, x, percentile=90)
    first = torch.relu(model[0](x))
    second = model[2](first)
    for layer, reached in ((1, first), (3, second)):
        positive = reached[reached > 0]
        assert (positive <= model[layer].ceiling).float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert model.training
    assert len(torch.unique(model[1](model[0](x)))) <= 3  # quantized again


def test_an_activation_that_gets_nothing_positive_is_refused_by_name():
    model = nn.Sequential(nn.Linear(2, 2), QuantizedReLU(2))
    model[0].weight.data.zero_()
    model[0].bias.data.fill_(-1)
    with pytest.raises(NetworkError, match="activation '1' got no positive value"):
        calibrate_ceilings(model, torch.rand(4, 2))


def test_a_quantized_cnn_starts_from_a_cnn_of_relus_with_calibrated_ceilings():
    torch.manual_seed(4)
    plain, images = build_model(spec()).eval(), torch.rand(40, 1, 6, 6)
    quantized = build_model(spec(activation="qcfs", levels=256)).eval()
    with pytest.raises(NetworkError, match="only one of the two has"):
        start_weights(quantized, build_model({"input": [1, 6, 6], "layers": [{"linear": 3}]}), images, "other.pt")
    start_weights(quantized, plain, images, "plain.pt")
    assert torch.allclose(quantized(images), plain(images), atol=0.03)
    again = build_model(spec(activation="qcfs", levels=4)).eval()
    start_weights(again, quantized, images[:1], "quantized.pt")
    assert again.qcfs1.ceiling == quantized.qcfs1.ceiling


class LeafTracer(fx.Tracer):
    def is_leaf_module(self, module, name):
        ours = isinstance(module, tuple(made for made, _ in ACTIVATIONS.values()))
        return ours or super().is_leaf_module(module, name)


def test_activations_stay_whole_in_a_traced_graph():
    for kind, (_, defaults) in ACTIVATIONS.items():
        model = build_model(spec(activation=kind, **defaults)).eval()
        graph = LeafTracer().trace(model)
        assert [node.target for node in graph.nodes if node.op == "call_module"] == list(dict(model.named_children()))
        x = torch.rand(2, 1, 6, 6)
        assert torch.equal(fx.GraphModule(model, graph)(x), model(x))


@pytest.mark.parametrize(
    ("activation", "timesteps"),
    [
        ({"activation": "qcfs", "levels": 4}, 4),
        ({"activation": "pact", "bits": 2}, 3),
    ],
)
def test_as_many_timesteps_as_levels_give_the_logits_of_the_cnn(activation, timesteps):
    torch.manual_seed(0)
    images = torch.rand(64, 1, 6, 6)
    layers = [{"conv": 4, "batch_norm": True, **activation}, {"linear": 3}]
    model = build_model({"input": [1, 6, 6], "layers": layers})
    with torch.no_grad():
        for _ in range(30):
            model(images)
    calibrate_ceilings(model, images)
    conversion = convert(model.eval(), (1, 6, 6), "abc", images, max_error=None)
    *_, scores = run(conversion.network, constant_current(images, timesteps), is_current=True)
    assert torch.allclose(scores / timesteps, model(images), atol=1e-4)
