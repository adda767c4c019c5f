"""The description of a network and its file."""

import io
import json
import os
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from dvs_run.pipeline import NetworkError
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import (
    IF,
    LIF,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Linear,
    MaxPool2d,
    Network,
    Readout,
    SumPool2d,
    Upsample,
)

from ..engine.graphs import networks


def ones(*shape):
    return np.ones(shape, np.float32)


def network(**changes):
    layers = (
        Conv2d("conv", ("input",), ones(4, 2, 3, 3), ones(4), (2, 1), (1, 0)),
        IF("if", ("conv",), ones(4), ones(4) / 2, "zero"),
        SumPool2d("pool", ("if",), (2, 2), (2, 2)),
        Linear("fc", ("pool",), ones(2, 4 * 2 * 3)),
    )
    values = {
        "layers": layers,
        "input_shape": (2, 8, 8),
        "labels": ("yes", "no"),
        "readout": Readout("membrane", 4000),
        "timestep_us": 1000,
        "state_window_us": 2000,
        "provenance": {"method": "by hand"},
    }
    return Network(**{**values, **changes})


def test_a_saved_network_is_the_same_network_and_the_same_bytes(tmp_path):
    network().save(tmp_path / "a.npz")
    loaded = Network.load(tmp_path / "a.npz")
    loaded.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (loaded.readout, loaded.labels, loaded.state_window_us) == (Readout("membrane", 4000), ("yes", "no"), 2000)
    assert loaded.layers[0].stride == (2, 1)
    assert loaded.layers[1].reset == "zero"
    assert np.array_equal(loaded.layers[3].weight, ones(2, 24))
    Engine(loaded).warm_up()


def test_shapes_follow_strides_and_pads():
    assert network().shapes() == {
        "input": (2, 8, 8),
        "conv": (4, 4, 6),
        "if": (4, 4, 6),
        "pool": (4, 2, 3),
        "fc": (2, 1, 1),
    }


LAYERS = network().layers


@settings(max_examples=50, deadline=None)
@given(networks(kinds=("membrane", "count", "softmax_rate", "softmax_poisson")))
def test_every_field_of_every_layer_survives_its_file(network):
    with tempfile.TemporaryDirectory() as folder:
        network.save(Path(folder) / "n.npz")
        loaded = Network.load(Path(folder) / "n.npz")
    assert len(loaded.layers) == len(network.layers)
    for one, other in zip(network.layers, loaded.layers, strict=True):
        assert type(one) is type(other)
        for name, value in vars(one).items():
            found = getattr(other, name)
            assert type(found) is type(value)
            assert np.array_equal(found, value)
            assert not isinstance(value, np.ndarray) or (found.dtype == value.dtype and not found.flags.writeable)
    assert (loaded.readout, loaded.shapes()) == (network.readout, network.shapes())


def test_a_file_from_before_graphs_loads_with_what_was_meant_then(tmp_path):
    path = tmp_path / "n.npz"
    network().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    document = json.loads(members["network.json"])
    document["readout"] = {"kind": "membrane", "window_us": 4000}
    old = {
        "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
        "IF": ("threshold", "v_init", "reset"),
        "SumPool2d": ("kernel", "stride"),
        "Linear": ("weight", "bias"),
    }
    document["layers"] = [
        {key: item[key] for key in ("type", "name", "inputs", *old[item["type"]])} for item in document["layers"]
    ]
    members["network.json"] = json.dumps(document).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    loaded = Network.load(path)
    neurons = loaded.layers[1]
    assert (neurons.reset, neurons.max_spikes, neurons.signed, neurons.v_min) == ("zero", 1, False, None)
    assert loaded.layers[2].padding == (0, 0)
    assert loaded.readout == Readout("membrane", 4000)


def test_shapes_follow_branches_pads_and_repetitions():
    layers = (
        Conv2d("conv", ("input",), ones(3, 2, 3, 3), padding=(1, 1)),
        IF("if", ("conv",), ones(3), ones(3) / 2),
        AvgPool2d("avg", ("if",), (3, 3), (2, 2), (1, 1)),
        MaxPool2d("max", ("if",), (2, 2), (2, 2), (1, 1)),
        Upsample("up", ("avg",), (2, 3)),
        Flatten("flat", ("up",)),
        Flatten("wide", ("max",)),
        Concat("both", ("flat", "wide")),
        Add("twice", ("both", "both")),
        Linear("fc", ("twice",), ones(2, 288 + 75)),
    )
    shapes = network(layers=layers).shapes()
    assert shapes["avg"] == (3, 4, 4)
    assert shapes["max"] == (3, 5, 5)
    assert shapes["up"] == (3, 8, 12)
    assert shapes["both"] == shapes["twice"] == (288 + 75, 1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ()}, "has no layers"),
        ({"labels": ("one",)}, "'fc' has 2 outputs for 1 label$"),
        ({"readout": Readout("count")}, "'count' does not fit the last layer 'fc' \\(Linear\\)"),
        ({"timestep_us": 0}, "timestep_us is 0"),
        ({"layers": (replace(LAYERS[0], name="fc"), replace(LAYERS[3], inputs=("fc",)))}, "two layers are called 'fc'"),
        ({"layers": (LAYERS[1],)}, "'if' is fed by 'conv', which does not come before it"),
        ({"layers": (replace(LAYERS[0], groups=2),)}, "in 2 groups, which do not fit its input of 2 channels"),
        ({"layers": (replace(LAYERS[0], weight=ones(4, 2, 20, 3)),)}, "its kernel is larger than its input 8x8"),
        ({"layers": (replace(LAYERS[0], weight=ones(4, 2, 3, 3) * np.nan),)}, "all finite"),
        ({"layers": (replace(LAYERS[0], bias=ones(3)),)}, "bias of shape \\(3,\\), want \\(4,\\)"),
        ({"layers": (LAYERS[0], replace(LAYERS[1], threshold=-ones(4)))}, "threshold of -1.0, want all above 0"),
        ({"layers": (LAYERS[0], replace(LAYERS[1], v_init=ones(4)))}, "v_init at or above its threshold"),
        ({"layers": (LAYERS[0], replace(LAYERS[1], threshold=ones(3)))}, "want an array of 4 finite values"),
        ({"readout": Readout("mean")}, "the readout is 'mean', want one of membrane, count, softmax_rate, softmax_"),
        ({"readout": Readout("softmax_poisson", rate=0.0)}, "readout.rate is 0.0"),
        ({"readout": Readout("softmax_rate", seed=-1)}, "readout.seed is -1"),
        ({"layers": (replace(LAYERS[3], inputs=("input",)),)}, "wants 24 inputs, its input \\(2, 8, 8\\) has 128"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused_by_name(changes, message):
    with pytest.raises(NetworkError, match=message):
        network(**changes)


CONV, IF_, POOL, FC = LAYERS


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((CONV, replace(IF_, threshold=None)), "threshold has type NoneType"),
        ((CONV, replace(IF_, reset="soft")), "reset 'soft', want one of subtract, zero, none"),
        ((CONV, replace(IF_, max_spikes=0)), "max_spikes 0, want a whole number above 0"),
        ((CONV, replace(IF_, max_spikes=1.5)), "max_spikes 1.5"),
        ((CONV, replace(IF_, signed=1)), "signed 1, want True or False"),
        ((CONV, replace(IF_, v_min=ones(4))), "starts with v_init below its v_min"),
        ((CONV, replace(IF_, v_min=ones(4) * -np.inf)), "v_min has shape \\(4,\\), want an array of 4 finite"),
        ((CONV, LIF("lif", ("conv",), ones(4), -ones(4), decay=ones(4))), "without a leak it is an IF"),
        ((CONV, LIF("lif", ("conv",), ones(4), -ones(4), decay=ones(3))), "decay has shape \\(3,\\)"),
        ((replace(CONV, stride=(1, 0)),), "has stride \\(1, 0\\), want two whole numbers"),
        ((replace(CONV, dilation=(1.0, 1.0)),), "has dilation \\(1.0, 1.0\\), want two whole"),
        ((SumPool2d("p", ("input",), (9, 9), (1, 1)),), "a pool of \\(9, 9\\) does not fit its input 8x8"),
        ((AvgPool2d("p", ("input",), (3, 2), (1, 1), (1, 2)),), "want at most half of the kernel"),
        ((AvgPool2d("p", ("input",), (3, 2, 1), (1, 1)),), "kernel \\(3, 2, 1\\), want two whole numbers"),
        ((MaxPool2d("p", ("input",), (2, 2), (1, 1), rule="max"),), "rule 'max', want one of fir, average,"),
        ((Upsample("u", ("input",), (2, 0)),), "has factor \\(2, 0\\)"),
        ((CONV, IF_, POOL, Add("add", ("pool", "input"))), "shapes \\(4, 2, 3\\), \\(2, 8, 8\\); want two or more"),
        ((CONV, IF_, POOL, Add("add", ("pool",))), "want two or more of the same shape"),
        ((CONV, IF_, POOL, Concat("cat", ("pool", "if"))), "want two or more of the same height and width"),
        ((CONV, IF_, POOL, replace(FC, inputs=("pool", "if"))), "has 2 inputs, want one; Concat and Add"),
        ((Delay("delay", ("input",), (0, 9)), CONV, IF_, POOL), "layer 'delay' feeds no other layer"),
        ((Delay("d", ("input",), (0, 9)), CONV, Flatten("f", ("d",)), Flatten("g", ("conv",)), Concat("h", ("f", "g"))),
         "'conv' stands beside the Delay 'd'"),
        ((CONV, IF_, POOL, replace(FC, name="x"), FC), "layer 'x' feeds no other layer"),
        ((CONV, MaxPool2d("p", ("conv",), (1, 1), (1, 1))), "is fed by 'conv' \\(Conv2d\\), which sends no spikes"),
        ((CONV, SumPool2d("s", ("conv",), (1, 1), (1, 1)), MaxPool2d("p", ("s",), (1, 1), (1, 1))), "is fed by 'conv'"),
        ((CONV, replace(IF_, signed=True), MaxPool2d("p", ("if",), (1, 1), (1, 1), rule="or")),
         "'p' of rule 'or' is fed negative spikes of 'if'; want rule 'exact'"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_refused_by_name(layers, message):
    with pytest.raises(NetworkError, match=message):
        network(layers=layers)


def test_whatever_the_file_holds_loading_gives_a_network_or_a_network_error(tmp_path):
    path = tmp_path / "n.npz"
    network().save(path)
    good = path.read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good[: random.integers(0, len(good) + 1)])
        for at in random.integers(0, max(1, len(data)), 3 if len(data) else 0):
            data[at] = random.integers(0, 256)
        path.write_bytes(data)
        try:
            Network.load(path)
        except NetworkError as error:
            assert str(path) in str(error)  # noqa: PT017  (loading may also succeed)


def test_what_cannot_be_written_is_told(tmp_path):
    with pytest.raises(NetworkError, match="cannot be written: No such file"):
        network().save(tmp_path / "nowhere" / "n.npz")
    (tmp_path / "n.npz").mkdir()
    with pytest.raises(NetworkError, match="n.npz cannot be written: Is a directory"):
        network().save(tmp_path / "n.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["n.npz"]


def test_a_missing_file_a_folder_and_another_npz_are_told_apart(tmp_path):
    with pytest.raises(NetworkError, match="there is no network file"):
        Network.load(tmp_path / "none.npz")
    with pytest.raises(NetworkError, match="is a folder"):
        Network.load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetworkError, match="is a pipe or a device"):  # and does not wait for a writer
        Network.load(tmp_path / "pipe")
    np.savez(tmp_path / "other.npz", a=np.arange(3))
    with pytest.raises(NetworkError, match="is not a network file"):
        Network.load(tmp_path / "other.npz")


def test_pickled_arrays_are_not_loaded(tmp_path):
    path = tmp_path / "n.npz"
    network().save(path)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], object), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["000.weight.npy"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(NetworkError, match="not a network file"):
        Network.load(path)
