"""NIR nodes one by one: what each becomes here, against its own equation, and what is refused by name."""

from dataclasses import replace

import numpy as np
import pytest

from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.exchange import MEANINGS
from dvs_run.pipeline.network import IF, LIF, Add, Conv2d, Delay, Linear, Network, Readout
from tests.exchange.nets import conv_node, graph, if_node, lif_node, read, spikes

NIR = MEANINGS["nir"]


def by_its_equation(node, currents, meaning, dt):
    """Spikes of NIR neurons in their own units, one step of forward Euler at a time; currents: (timestep, neurons)."""
    leaky = node["type"] == "LIF"
    tau, r, rest = node.get("tau", np.inf), node["r"].astype(float), node.get("v_leak", 0.0) + np.zeros(1)
    reset, threshold = node.get("v_reset", 0.0), node["v_threshold"].astype(float)
    v, count = np.array(rest + np.zeros(currents.shape[1])), 0
    for current in currents:
        v = v + dt / tau * ((rest - v) + r * current) if leaky else v + r * current
        fired = v > threshold if meaning.fires == "above" else v >= threshold
        v = np.where(fired, reset, v)
        count = count + fired
    return count


@pytest.mark.parametrize("fires", ["above", "at"])
@pytest.mark.parametrize("kind", ["IF", "LIF"])
def test_neurons_with_rest_reset_and_resistance_follow_their_equation(kind, fires, tmp_path):
    rng = np.random.default_rng(11)
    n = 24
    node = {
        "type": kind,
        "r": rng.uniform(0.25, 4, n),
        "v_threshold": rng.uniform(1, 2, n),
        "v_reset": rng.uniform(-1, 0.5, n),
    }
    if kind == "LIF":
        node |= {"tau": rng.uniform(0.004, 0.05, n), "v_leak": rng.uniform(-0.5, 0.9, n)}
    weight = rng.normal(0, 3, (n, 6)).astype("f4")
    bias = rng.normal(0, 1, n).astype("f4")
    inputs = rng.integers(0, 3, (60, 6, 1, 1))
    tree = graph({"w": {"type": "Affine", "weight": weight, "bias": bias}, "n": node}, shape=(6,))
    meaning = replace(NIR, fires=fires)
    network = read(tree, tmp_path, meaning, 1000).network
    assert [type(layer) for layer in network.layers] == [Linear, IF if kind == "IF" else LIF]
    expected = by_its_equation(node, inputs[:, :, 0, 0] @ weight.astype(float).T + bias, meaning, 0.001)
    assert expected.sum() > 100
    assert np.array_equal(spikes(network, inputs)[0].reshape(-1), expected)


def test_without_weights_before_them_neurons_that_rest_elsewhere_get_a_bias_of_their_own(tmp_path):
    node = lif_node(2, 4, 4, v_leak=np.full((2, 4, 4), 0.1, "f4"))
    network = read(graph({"n": node}), tmp_path, NIR, 1000).network
    assert [type(layer) for layer in network.layers] == [Conv2d, LIF]
    inputs = np.random.default_rng(2).integers(0, 2, (50, 2, 4, 4))
    flat = {name: value if isinstance(value, str) else value.reshape(-1) for name, value in node.items()}
    expected = by_its_equation(flat, inputs.reshape(50, -1), NIR, 0.001)
    assert expected.any()
    assert np.array_equal(spikes(network, inputs)[0].reshape(-1), expected)


def test_exactly_on_the_threshold_a_neuron_fires_only_if_at_is_meant(tmp_path):
    tree = graph({"n": if_node(1, v_threshold=np.full(1, 3, "f4"))}, shape=(1,))
    three = np.ones((3, 1, 1, 1))
    assert spikes(read(tree, tmp_path, NIR).network, three)[0].sum() == 0
    assert spikes(read(tree, tmp_path, replace(NIR, fires="at")).network, three)[0].sum() == 1


def test_a_leaky_neuron_of_snntorch_with_beta_1_is_an_if(tmp_path):
    endless = np.full(1, np.inf, "f4")
    tree = graph({"n": lif_node(1, tau=endless, r=endless)}, shape=(1,))
    assert isinstance(read(tree, tmp_path, MEANINGS["snntorch"]).network.layers[0], IF)


SCALED = {"type": "Scale", "scale": np.array([2.0, 0.5, 4.0]).reshape(3, 1, 1)}


@pytest.mark.parametrize(
    ("nodes", "kinds"),
    [
        ({"a": conv_node(), "s": SCALED, "n": if_node(3, 4, 4)}, [Conv2d, IF]),
        ({"a": conv_node(), "n": if_node(3, 4, 4), "s": SCALED, "b": conv_node(4, 3)}, [Conv2d, IF, Conv2d]),
        (
            {
                "a": conv_node(),
                "n": if_node(3, 4, 4),
                "s": SCALED,
                "p": {"type": "SumPool2d", "kernel_size": np.array(2), "stride": np.array(2), "padding": np.array(0)},
            },
            [Conv2d, IF, Conv2d],
        ),
    ],
)
def test_a_scale_goes_into_the_weights_beside_it(nodes, kinds, tmp_path):
    plain = {name: node if name != "s" else {**node, "scale": np.ones((3, 1, 1))} for name, node in nodes.items()}
    scaled, unscaled = (read(graph(each), tmp_path, NIR).network for each in (nodes, plain))
    assert [type(layer) for layer in scaled.layers][:3] == kinds
    changed = [
        layer.name
        for layer, other in zip(scaled.layers, unscaled.layers, strict=True)
        if isinstance(layer, Conv2d) and not np.array_equal(layer.weight, other.weight)
    ]
    assert len(changed) == 1
    found, plain_weight = (
        next(layer for layer in network.layers if layer.name == changed[0]).weight for network in (scaled, unscaled)
    )
    factors = SCALED["scale"].reshape((1, 3, 1, 1) if changed[0] == "b" else (3, 1, 1, 1))
    assert np.array_equal(found, plain_weight * factors)


def test_edges_into_one_node_add_up(tmp_path):
    nodes = {"a": conv_node(), "b": conv_node(), "n": if_node(3, 4, 4)}
    edges = [["input", "a"], ["input", "b"], ["a", "n"], ["b", "n"], ["n", "output"]]
    network = read(graph(nodes, edges), tmp_path, NIR).network
    assert [type(layer) for layer in network.layers] == [Conv2d, Conv2d, Add, IF]
    assert set(network.layers[2].inputs) == {"a", "b"}


def test_graphs_within_graphs_are_taken_apart(tmp_path):
    inner = graph({"w": conv_node(), "n": if_node(3, 4, 4)})["node"]
    outer = graph({"first": inner, "second": graph({"inner": graph({"v": conv_node(4, 3)})["node"]})["node"]})
    network = read(outer, tmp_path, NIR).network
    assert [layer.name for layer in network.layers] == ["first.w", "first.n", "second.inner.v"]
    assert network.layers[2].inputs == ("first.n",)


@pytest.mark.parametrize(
    ("padding", "dilation", "expected"),
    [("same", (1, 1), (1, 1)), ("same", (2, 1), (2, 1)), ("valid", (1, 1), (0, 0)), (np.array(2), (1, 1), (2, 2))],
)
def test_padding_in_words_is_pytorchs(padding, dilation, expected, tmp_path):
    node = conv_node(padding=padding, dilation=np.array(dilation))
    assert read(graph({"a": node}, shape=(2, 7, 7)), tmp_path, NIR).network.layers[0].padding == expected


def test_an_integrator_at_the_end_is_the_membrane_readout(tmp_path):
    tree = graph({"a": conv_node(), "end": {"type": "I", "r": np.ones((3, 4, 4))}})
    reading = read(tree, tmp_path, NIR)
    assert reading.network.readout == Readout("membrane")
    assert "'end' (I) is the membrane readout" in reading.notes[-1]


def leaky_end():
    node = lif_node(3, 4, 4)
    return graph({"a": conv_node(), "end": {name: node[name] for name in ("tau", "r", "v_leak")} | {"type": "LI"}})


def test_a_leaky_readout_loses_its_leak_only_where_that_is_asked_for(tmp_path):
    with pytest.raises(NetworkError, match="'end' is a leaky integrator.*with --readout membrane it is left out"):
        read(leaky_end(), tmp_path, NIR, 1000)
    reading = read(leaky_end(), tmp_path, NIR, 1000, readout=Readout("membrane"))
    assert [type(layer) for layer in reading.network.layers] == [Conv2d]
    assert "'end' (LI) is left out" in reading.notes[-1]


def test_a_delay_right_behind_the_input_stays_one(tmp_path):
    tree = graph({"d": {"type": "Delay", "delay": np.full((2, 4, 4), 0.003)}, "a": conv_node()})
    assert read(tree, tmp_path, NIR, 1000).network.layers[0] == Delay("d", ("input",), (3000,))


def test_labels_shape_and_a_batch_axis(tmp_path):
    tree = graph({"a": {"type": "Linear", "weight": np.ones((2, 32), "f4")}}, shape=(1, 2, 4, 4))
    reading = read(tree, tmp_path, NIR, labels=["left", "right"])
    assert reading.network.labels == ("left", "right")
    assert reading.network.input_shape == (2, 4, 4)
    assert any("batch axis" in note for note in reading.notes)


@pytest.mark.parametrize("shape", [(32,), (2, 16), ()])
def test_an_input_shape_may_be_given(shape, tmp_path):
    tree = graph({"a": {"type": "Linear", "weight": np.ones((2, 32), "f4")}}, shape=np.array(shape, int))
    assert read(tree, tmp_path, NIR, input_shape=(2, 4, 4)).network.input_shape == (2, 4, 4)


def wired(*edges, **nodes):
    return graph(nodes, [list(edge.split(">")) for edge in edges])


REFUSED = [
    (graph({"c": {"type": "Conv1d"}}), "node 'c' is a Conv1d, which does not run here: layers here are two-dim"),
    (graph({"t": {"type": "Threshold"}}), "node 't' is a Threshold, which does not run here"),
    (graph({"q": {"type": "Quantum"}}), "node 'q' is a Quantum, which does not run here: known are Affine"),
    (graph({"i": {"type": "I", "r": np.ones(1)}, "a": conv_node()}), "'i' is a I, .*only at the end"),
    (
        graph({"a": conv_node(), "n": if_node(3, 4)}),
        r"'n' has 'v_threshold' of shape \(3, 4\) for neurons of shape \(3, 4, 4\)",
    ),
    (
        graph({"n": if_node(2, 4, 4, r=np.arange(32.0).reshape(2, 4, 4))}),
        "neurons of one channel of node 'n' differ in",
    ),
    (graph({"n": if_node(2, 4, 4, r=np.zeros(1))}), "'n' has a gain of 0"),
    (graph({"n": if_node(2, 4, 4, v_threshold=np.full(1, np.nan))}), "'v_threshold' that are no finite numbers"),
    (graph({"n": if_node(2, 4, 4, v_threshold=np.zeros(1))}), "'n' has a threshold of 0 and a reset potential of 0"),
    (graph({"n": lif_node(2, 4, 4)}), "nothing says how long a timestep is; give --timestep-us"),
    (graph({"a": conv_node(padding="same", weight=np.ones((3, 2, 2, 2), "f4"))}), "more on one side than on the other"),
    (graph({"a": conv_node(padding="reflect")}), "'a' has padding 'reflect'"),
    (graph({"a": conv_node(input_shape=np.array([4, 5]))}), r"'a' wants maps of \(4, 5\), \(4, 4\) arrive"),
    (graph({"a": conv_node(stride=np.array([1.5, 1]))}), "'a' has 'stride' .1.5, 1.0., want one or two whole numbers"),
    (graph({"a": conv_node(weight=np.full((3, 2, 3, 3), np.inf, "f4"))}), "'a': weights of shape"),
    (graph({"a": conv_node(3, 5)}), "'a' has weights"),
    (graph({"f": {"type": "Flatten", "start_dim": np.array(0), "end_dim": np.array(1)}}), "flattens axes 0 to 1"),
    (graph({"a": conv_node(), "d": {"type": "Delay", "delay": np.full((3, 4, 4), 0.1)}}), "'d' delays by 0.1"),
    (graph({"a": conv_node()}, shape=(0, 4, 4)), "give .channel, height, width. with --input-shape"),
    (graph({"a": conv_node()}, shape=(2, 4)), "give .channel, height, width. with --input-shape"),
    (wired("input>a", "a>output", "a>ghost", a=conv_node()), "an edge names 'ghost', and there is no such node"),
    (wired("input>a", "input>a", "a>output", a=conv_node()), "the edge input -> a is listed 2 times"),
    (wired("input>a", "a>output", "a>b", a=conv_node(), b=conv_node(3, 3)), "feeds no other layer|leads to nothing"),
    (wired("input>a", "a>output", "b>a", a=conv_node(), b=conv_node()), "nothing feeds node 'b'"),
    (wired("input>a", "a>a", "a>output", a=conv_node()), "nodes a -> a form a loop"),
    (wired("input>a", "a>output", "input>output", a=conv_node()), "2 nodes lead to the Output"),
    (wired("input>output"), "nothing"),
    (wired("input>a", "a>output", a=conv_node(), other={"type": "Input"}), "has 2 nodes of type Input"),
    ({"node": {"type": "LIF"}}, "without a NIRGraph in 'node'; is it a NIR file"),
    ({"data": np.zeros(3)}, "without a NIRGraph in 'node'; is it a NIR file"),
]


@pytest.mark.parametrize(("tree", "what"), REFUSED, ids=[str(what)[:50] for _, what in REFUSED])
def test_what_cannot_be_read_is_refused_by_name(tree, what, tmp_path):
    with pytest.raises(NetworkError, match=what):
        read(tree, tmp_path, NIR)


def test_reset_by_subtraction_and_a_reset_potential_exclude_each_other(tmp_path):
    tree = graph({"n": if_node(2, 4, 4, v_reset=np.full((2, 4, 4), -1.0))})
    assert isinstance(read(tree, tmp_path, NIR).network, Network)
    with pytest.raises(NetworkError, match="v_reset -1, which reset by subtraction does not know"):
        read(tree, tmp_path, replace(NIR, reset="subtract"))
