"""The description of a network and its file."""

import io
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from dvs_run.pipeline import NetworkError
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout, SumPool2d


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ()}, "has no layers"),
        ({"labels": ("one",)}, "'fc' has 2 outputs but there are 1 labels"),
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
        ({"layers": (replace(LAYERS[3], inputs=("input",)),)}, "wants 24 inputs, its input \\(2, 8, 8\\) has 128"),
    ],
)
def test_a_network_that_does_not_fit_together_is_refused_by_name(changes, message):
    with pytest.raises(NetworkError, match=message):
        network(**changes)


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
