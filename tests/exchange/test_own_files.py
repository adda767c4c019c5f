"""What we write comes back as the same network, bit for bit; what others would miss is said or refused."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.exchange import MEANINGS, read_nir, write_nir
from dvs_run.pipeline.exchange.hdf5 import walk, write_tree
from dvs_run.pipeline.exchange.nir_own import restore
from dvs_run.pipeline.exchange.nir_write import to_tree
from dvs_run.pipeline.network import IF, LAYER_TYPES, LIF, Add, Conv2d, Linear, Network, Readout
from tests.engine.graphs import networks
from tests.exchange.nets import every_layer, f4, saved


def through_a_file(network, folder):
    write_nir(network, folder / "net.nir")
    return read_nir(folder / "net.nir")


def test_a_network_with_every_layer_comes_back_bit_for_bit(tmp_path):
    network = every_layer()
    assert {type(layer) for layer in network.layers} == set(LAYER_TYPES.values())
    reading = through_a_file(network, tmp_path)
    assert reading.own
    assert not reading.notes
    assert saved(reading.network, tmp_path) == saved(network, tmp_path)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(network=networks())
def test_random_graphs_come_back_bit_for_bit(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nir")
    assert saved(restore(to_tree(network), "x"), folder) == saved(network, folder)


def test_the_same_network_gives_the_same_file(tmp_path):
    write_nir(every_layer(), tmp_path / "a.nir")
    write_nir(every_layer(), tmp_path / "b.nir")
    assert (tmp_path / "a.nir").read_bytes() == (tmp_path / "b.nir").read_bytes()


def one_layer_named(*names):
    layers = [Conv2d(names[0], ("input",), np.ones((2, 2, 1, 1), "f4"))]
    layers += [
        IF(name, (before,), np.ones(2, "f4"), np.zeros(2, "f4")) for before, name in zip(names, names[1:], strict=False)
    ]
    layers.append(Linear("end", (names[-1],), np.ones((1, 18), "f4")))
    return Network(tuple(layers), (2, 3, 3), ("x",), Readout("membrane"))


@pytest.mark.parametrize(
    "names",
    [("a/b", "a%2Fb"), ("output", "output_"), (".", ".."), ("", "nul\x00"), ("end.flatten", "größer"), ("%.", ".")],
)
def test_layers_may_have_names_that_hdf5_or_nir_use_otherwise(names, tmp_path):
    network = one_layer_named(*names)
    assert saved(through_a_file(network, tmp_path).network, tmp_path) == saved(network, tmp_path)


def test_adding_a_layer_to_itself_comes_back(tmp_path):
    one = np.ones((2, 2, 1, 1), "f4")
    layers = (Conv2d("a", ("input",), one), Add("twice", ("a", "a")), Add("more", ("twice", "a")))
    network = Network(layers, (2, 1, 1), ("x", "y"), Readout("membrane"))
    assert saved(through_a_file(network, tmp_path).network, tmp_path) == saved(network, tmp_path)


def simple(reset="zero", v_init=0.0, **options):
    rng = np.random.default_rng(0)
    one = np.ones(3, "f4")
    return Network(
        (
            Conv2d("a", ("input",), rng.standard_normal((3, 2, 3, 3)).astype("f4"), one / 8, padding=(1, 1)),
            IF("b", ("a",), one, v_init * one, reset, **options),
            Linear("c", ("b",), rng.standard_normal((2, 48)).astype("f4")),
            LIF("d", ("c",), f4(1, 1), f4(0, 0), "zero", decay=f4(0.875, 0.5)),
        ),
        (2, 4, 4),
        ("x", "y"),
        Readout("count"),
        1000,
    )


def test_weights_that_another_program_changed_come_back_changed(tmp_path):
    tree = to_tree(simple())
    tree["node"]["nodes"]["a"]["weight"] = tree["node"]["nodes"]["a"]["weight"] * np.float32(2)
    write_tree(tmp_path / "net.nir", tree)
    assert np.array_equal(read_nir(tmp_path / "net.nir").network.layers[0].weight, 2 * simple().layers[0].weight)


def change_threshold(node):
    node["nodes"]["b"]["v_threshold"] = np.arange(1, 49, dtype="f4").reshape(3, 4, 4)


def change_leak(node):
    node["nodes"]["d"]["tau"] = node["nodes"]["d"]["tau"] * 2


def drop_edge(node):
    del node["edges"][0]


def drop_node(node):
    del node["nodes"]["c.flatten"]


def reset_to_one(node):
    node["nodes"]["b"]["v_reset"] = np.ones((3, 4, 4), "f4")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (change_threshold, "'v_threshold' of node 'b'"),
        (change_leak, "'tau' of node 'd'"),
        (drop_edge, "the wiring"),
        (drop_node, "the list of nodes"),
        (reset_to_one, "'v_reset' of node 'b'"),
    ],
)
def test_a_node_that_our_metadata_no_longer_fit_is_named(change, what, tmp_path):
    tree = to_tree(simple())
    change(tree["node"])
    write_tree(tmp_path / "net.nir", tree)
    with pytest.raises(NetworkError, match=f"{what} is not what the metadata 'dvs_run' belong to.*--origin"):
        read_nir(tmp_path / "net.nir")


def test_a_file_that_the_package_nir_read_and_wrote_again_is_still_ours(tmp_path):
    nir = pytest.importorskip("nir", reason="holds our files against the package nir, where it is installed")
    network = simple("subtract", 0.5)
    write_nir(network, tmp_path / "net.nir")
    found = nir.read(tmp_path / "net.nir")
    assert {type(node).__name__ for node in found.nodes.values()} >= {"Conv2d", "IF", "Linear", "LIF", "Flatten"}
    nir.write(tmp_path / "again.nir", found)
    assert saved(read_nir(tmp_path / "again.nir").network, tmp_path) == saved(network, tmp_path)


def test_what_others_would_miss_is_said(tmp_path):
    notes = "\n".join(write_nir(every_layer(), tmp_path / "net.nir"))
    for part in (
        "'delay' (Delay) has no node in NIR",
        "'max' (MaxPool2d) has no node",
        "'up' (Upsample) has no node",
        "'both' (Concat) has no node",
        "'a/if' is reset by subtraction, starts at a potential other than 0, fires up to 3 spikes a timestep, fires "
        "negative spikes, has a floor",
        "'output' is never reset",
        "v >= threshold",
    ):
        assert part in notes
    assert "'b if'" not in notes


def test_a_portable_file_holds_only_nodes_of_nir(tmp_path):
    notes = write_nir(simple(), tmp_path / "net.nir", portable=True)
    assert len(notes) == 1
    kinds = {node["type"] for node in walk(tmp_path / "net.nir")["node"]["nodes"].values()}
    assert kinds == {"Input", "Conv2d", "IF", "Flatten", "Linear", "LIF", "Output"}


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (every_layer(), r"'delay' \(Delay\) has no node in NIR"),
        (simple("subtract"), "'b' is reset by subtraction, which NIR cannot say"),
        (simple("none"), "'b' is never reset"),
        (simple(v_init=0.5), "'b' starts at a potential other than 0"),
        (simple(max_spikes=2), "'b' fires up to 2 spikes a timestep"),
        (simple(signed=True), "'b' fires negative spikes"),
        (simple(v_min=-np.ones(3, "f4")), "'b' has a floor"),
    ],
)
def test_portable_refuses_what_nir_cannot_say_by_name(network, what, tmp_path):
    with pytest.raises(NetworkError, match=what):
        write_nir(network, tmp_path / "net.nir", portable=True)
    assert not list(tmp_path.iterdir())


def test_our_own_file_read_as_nir_means_it_is_the_same_network_but_for_ties(tmp_path):
    write_nir(simple(), tmp_path / "net.nir", portable=True)
    reading = read_nir(tmp_path / "net.nir", MEANINGS["nir"], 1000)
    ours = {layer.name: layer for layer in simple().layers}
    for layer in reading.network.layers:
        if isinstance(layer, IF | LIF):
            expected = np.nextafter(ours[layer.name].threshold, np.float32(np.inf))
            assert np.array_equal(layer.threshold, expected)
            assert layer.reset == "zero"
    assert np.array_equal(reading.network.layers[-1].decay, ours["d"].decay)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("format", 2, "of format 2, this program reads 1"),
        ("layers", [{"type": "Quantum", "name": "q", "node": None}], "layer 'q' is of a type that is not known"),
        ("readout", {"kind": "guess"}, "readout is 'guess'"),
        ("layers", 3, "not as this program writes them"),
    ],
)
def test_metadata_of_another_shape_are_refused(name, value, what, tmp_path):
    tree = to_tree(simple())
    document = json.loads(tree["node"]["metadata"]["dvs_run"])
    tree["node"]["metadata"]["dvs_run"] = json.dumps(document | {name: value})
    write_tree(tmp_path / "net.nir", tree)
    with pytest.raises(NetworkError, match=what):
        read_nir(tmp_path / "net.nir")


def test_a_file_of_ours_takes_no_settings_without_an_origin(tmp_path):
    write_nir(simple(), tmp_path / "net.nir")
    with pytest.raises(NetworkError, match="says everything itself"):
        read_nir(tmp_path / "net.nir", timestep_us=5000)


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path):
    with pytest.raises(NetworkError, match="cannot be written"):
        write_nir(simple(), tmp_path / "nowhere" / "net.nir")
