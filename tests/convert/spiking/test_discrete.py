"""Quantized and binary networks: as spikes they give the CNN's own levels, bits and decisions."""

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Clocked, Method, convert, import_cnn
from dvs_run.pipeline.convert.activation import BITS
from dvs_run.pipeline.convert.cnn import Activation, MaxPool
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import MaxPool2d, SumPool2d
from dvs_run.pipeline.stream import CurrentSlice
from dvs_run.pipeline.train.binary import HeavisideActivation, SignActivation

from ...engine.together import NUMBERS, Together
from .discrete_nets import LABELS, MODELS, SHAPE, Mean, conv, images, model_of, one_bit


def converted(model, **settings):
    return convert(model, SHAPE, LABELS, images(), method=Method(**settings), check_timesteps=2, max_error=None)


def folded(model):
    """The CNN in float64, so that no rounding takes a value to the next level."""
    return import_cnn(model, SHAPE)


@pytest.mark.parametrize("form", ["weights", "thresholds"])
@pytest.mark.parametrize("name", MODELS)
def test_every_timestep_of_bursts_and_bits_is_a_pass_of_the_cnn(name, form):
    conversion, x = converted(model_of(name), form=form), images(seed=3)
    cnn = folded(model_of(name))
    wanted, state = cnn.logits(x.double()), Clocked(conversion.network, len(x), torch.float64)
    for timestep in range(1, 4):
        scores = state.step(x.double(), is_current=True) / timestep
        assert (scores - wanted).abs().max() < 1e-6 * wanted.abs().max()
        assert torch.equal(scores.argmax(1), wanted.argmax(1))
    assert len(set(wanted.argmax(1).tolist())) > 1, "the CNN tells nothing apart"
    assert conversion.report.folding_error < 1e-12
    assert conversion.report.output_error < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_spikes_are_the_levels_of_the_cnn_neuron_by_neuron(name):
    conversion, x = converted(model_of(name)), images(seed=4).double()
    state = Clocked(conversion.network, len(x), torch.float64)
    state.step(x, is_current=True)
    compared = 0
    for node, value in conversion.cnn.activations(x):
        if isinstance(node, Activation):
            step = (node.step or 1.0) if node.kind == "quantized" else 1.0
            if not node.relay:
                assert torch.equal(state.spikes[node.name], (value / step).round()), node.name
                compared += bool(value.any())
    assert compared


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("form", ["weights", "thresholds"])
@pytest.mark.parametrize("name", ["one-bit weights, QCFS", "signs, borders of zeros", "a residual of bits and levels"])
def test_the_engine_fires_the_spikes_of_its_twin(name, form, numbers):
    network = convert(
        model_of(name),
        SHAPE,
        LABELS,
        images(),
        method=Method(form=form, stepped="burst"),
        timestep_us=1000,
        check_timesteps=1,
    ).network
    together = Together(network, numbers)
    for x in images(2, seed=5):
        together.step(x.numpy(), current=True)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize(
    "name",
    [
        "signs, borders of zeros",
        "steps, max pools before and behind",
        "signs behind levels",
        "signs, no borders",
        "max pools between weights and signs",
    ],
)
def test_behind_whole_spikes_engines_of_few_bits_decide_exactly_as_the_cnn(name, numbers):
    """Given the spikes of the first layer, all further bits are the CNN's own: weights are ±1, offsets between sums."""
    conversion, x = converted(model_of(name)), images(4, seed=6)
    engine, bits = Engine(conversion.network, numbers=numbers), 0
    for image in x:
        engine.reset()
        engine.step(CurrentSlice(0, 1000, image.numpy()))
        values = {}
        for node in conversion.cnn.nodes:
            if isinstance(node, Activation | MaxPool):
                spikes = torch.from_numpy(engine.spike_counts(node.name))[None].double()
                if isinstance(node, Activation) and node.kind in BITS and "input" not in sources(conversion.cnn, node):
                    assert torch.equal(node(*(values[i] for i in node.inputs)), spikes), node.name
                    bits += int(spikes.abs().sum())
                values[node.name] = spikes * (node.step or 1.0 if isinstance(node, Activation) else 1.0)
            elif not set(node.inputs) - set(values):
                values[node.name] = node(*(values[i] for i in node.inputs))
    assert bits


def sources(cnn, node):
    """The populations, pools and the input that a population reads."""
    found = set()
    for name in node.inputs:
        before = None if name == "input" else cnn.node(name)
        found |= {name} if before is None or isinstance(before, Activation | MaxPool) else sources(cnn, before)
    return found


def test_weights_of_one_bit_run_as_plus_and_minus_one_with_their_scale_in_the_threshold():
    torch.manual_seed(0)
    model = nn.Sequential(conv(2), nn.ReLU(), one_bit(bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(600, 5)).eval()
    x = images()
    wide, narrow = (converted(model, form=form).network for form in ("weights", "thresholds"))
    layers = {layer.name: layer for layer in narrow.layers}
    assert set(np.unique(layers["2"].weight)) == {-1, 1}
    lambdas, scale = narrow.provenance["lambdas"], model[2].weight.detach().abs().flatten(1).mean(1).numpy()
    assert layers["3"].threshold == pytest.approx(lambdas["3"] / (lambdas["1"] * scale), rel=1e-6)
    for numbers in ("int8", "int16"):
        assert Engine(narrow, numbers=numbers).rounding["2"] == 0
    states = [Clocked(network, len(x), torch.float64) for network in (wide, narrow)]
    engines = [Engine(network, numbers="int8") for network in (wide, narrow)]
    for step in range(12):
        for state in states:
            state.step(x.double(), is_current=True)
        scores = [engine.step(CurrentSlice(step, step + 1, x[0].numpy())).scores for engine in engines]
        assert np.allclose(*scores, rtol=1e-6)
        for name in ("1", "3"):
            assert np.array_equal(*(engine.spike_counts(name) for engine in engines))
    assert all(torch.equal(states[0].spikes[name], states[1].spikes[name]) for name in ("1", "3"))


def test_one_bit_weights_before_an_average_pool_stay_one_bit():
    torch.manual_seed(0)
    model = nn.Sequential(conv(2), nn.ReLU(), one_bit(), Mean(2), nn.ReLU(), nn.Flatten(), nn.Linear(150, 5)).eval()
    network = converted(model, form="thresholds").network
    kinds = {layer.name: type(layer) for layer in network.layers}
    assert kinds["3"] is SumPool2d
    assert set(np.unique(next(layer.weight for layer in network.layers if layer.name == "2"))) == {-1, 1}
    Engine(network)


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize(("activation", "of_zero"), [(SignActivation, 1.0), (HeavisideActivation, 0.0)])
def test_a_sum_of_exactly_zero_is_decided_as_the_cnn_does(activation, of_zero, numbers):
    torch.manual_seed(0)
    last = nn.Linear(600, 5, bias=False)
    model = nn.Sequential(conv(2, bias=False), activation(), nn.Flatten(), last).eval()
    network = converted(model).network
    black = np.zeros(SHAPE, np.float32)
    scores = Engine(network, numbers=numbers).step(CurrentSlice(0, 1000, black)).scores
    weight = last.weight.detach().double().numpy()
    assert np.abs(scores - of_zero * weight.sum(1)).max() < 0.005 * np.abs(weight).sum(1).max()
    assert (np.abs(scores).max() > 0.1) == (of_zero != 0)


def test_a_pool_behind_bits_or_bursts_passes_the_largest_of_each_timestep():
    for name, pools in (("steps, max pools before and behind", 2), ("QCFS, pools behind it", 1)):
        layers = converted(model_of(name)).network.layers
        assert [layer.rule for layer in layers if isinstance(layer, MaxPool2d)] == ["or"] * pools


def test_bits_tell_the_sign_of_all_that_has_arrived_and_so_settle_on_poisson_spikes():
    conversion, x = converted(model_of("steps, max pools before and behind")), images(16, seed=7)
    random = torch.Generator().manual_seed(0)
    bits = {node.name: value for node, value in conversion.cnn.activations(x.double()) if node.name in ("2", "6")}
    state, right, before = Clocked(conversion.network, len(x)), [], dict.fromkeys(bits, 0.0)
    for _ in range(128):
        state.step((torch.rand(x.shape, generator=random) < x).float())
        sent = {name: state.spikes[name] - before[name] for name in bits}
        before = {name: state.spikes[name].clone() for name in bits}
        right.append({name: float((sent[name] == bits[name]).float().mean()) for name in bits})
    for name, final in (("2", 0.95), ("6", 0.9)):
        assert right[0][name] < right[15][name] < right[127][name]
        assert right[127][name] >= final


def test_a_channel_whose_bit_never_changes_needs_no_large_bias():
    """A batch norm of nearly no gain lets the offset of one-bit sums grow without end."""
    model = model_of("signs, no borders")
    with torch.no_grad():
        model[4].weight[:2] = torch.tensor([1e-6, -1e-6])
        model[4].bias[:2] = torch.tensor([-1.0, 1.0])
    network, x = converted(model).network, images(4, seed=9)
    layer = next(layer for layer in network.layers if layer.name == "3")
    assert np.abs(layer.bias).max() <= 54.5
    wanted = folded(model).logits(x.double())
    for numbers in NUMBERS:
        Engine(network, numbers=numbers)
    state = Clocked(network, len(x), torch.float64)
    assert torch.allclose(state.step(x.double(), is_current=True), wanted, atol=1e-6)


def test_the_model_is_left_as_it_was():
    model = model_of("one-bit weights, QCFS")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = images(4)
    with torch.no_grad():
        wanted = model(x)
        converted(model)
        assert torch.equal(model(x), wanted)
    after = model.state_dict()
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
