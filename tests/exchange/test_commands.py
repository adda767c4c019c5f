"""`dvs export` and `dvs import` as typed."""

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.pipeline.network import LIF, Network
from tests.exchange.nets import every_layer, sample


def test_what_is_exported_is_imported_again_without_a_word_more(tmp_path, capsys):
    every_layer().save(tmp_path / "a.npz")
    assert main(["export", str(tmp_path / "a.npz"), "--out", str(tmp_path / "made" / "a.nir")]) == 0
    assert "note: layer 'max' (MaxPool2d) has no node in NIR" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "made" / "a.nir"), "--out", str(tmp_path / "b.npz")]) == 0
    assert "the network that was exported" in capsys.readouterr().out
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_portable_export_names_what_stands_in_its_way(tmp_path, capsys):
    every_layer().save(tmp_path / "a.npz")
    assert main(["export", str(tmp_path / "a.npz"), "--out", str(tmp_path / "a.nir"), "--portable"]) == 1
    assert "'delay' (Delay) has no node in NIR" in capsys.readouterr().err
    assert not (tmp_path / "a.nir").exists()


def test_a_file_of_others_is_imported_with_an_origin_and_settings(tmp_path, capsys):
    path, *_ = sample("sinabs_lif", tmp_path)
    out = tmp_path / "net.npz"
    settings = ["--origin", "sinabs", "--max-spikes", "2", "--floor", "-1", "--leak", "euler", "--gain", "whole"]
    labels = ["--labels", "a, b,c,d,e", "--timestep-us", "500"]
    assert main(["import", str(path), "--out", str(out), *settings, *labels]) == 0
    assert "note: read as sinabs means it" in capsys.readouterr().out
    network = Network.load(out)
    assert network.labels == ("a", "b", "c", "d", "e")
    assert network.timestep_us == 500
    neurons = [layer for layer in network.layers if isinstance(layer, LIF)]
    assert {layer.max_spikes for layer in neurons} == {2}
    for layer in neurons:
        assert np.array_equal(layer.v_min, -layer.threshold)
        assert np.allclose(layer.decay, 1 - 1 / 8)
        assert np.allclose(layer.threshold, 0.125)


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        ([], 1, "give --origin nir, norse, sinabs, snntorch"),
        (["--origin", "brian"], 2, "'brian' is not known"),
        (["--reset", "zero"], 2, "say whose file it is"),
        (["--origin", "nir", "--reset", "none"], 2, "'none' is not one of zero, subtract"),
        (["--origin", "nir", "--leak", "none"], 2, "'none' is not one of euler, exponential"),
        (["--origin", "norse", "--readout", "guess"], 2, "'guess' is no readout"),
        (["--origin", "norse", "--readout", "membrane"], 1, "does not fit the last layer"),
        (["--origin", "norse", "--input-shape", "2x8"], 2, "'2x8' is no shape"),
        (["--origin", "norse", "--input-shape", "2x9x9"], 1, "of another size than --input-shape"),
        (["--origin", "norse", "--labels", "a,b"], 1, "5 outputs for 2 labels"),
    ],
)
def test_what_is_typed_wrongly_is_a_sentence_and_an_exit_code(arguments, code, what, tmp_path, capsys):
    path, *_ = sample("norse_iaf", tmp_path)
    assert main(["import", str(path), "--out", str(tmp_path / "net.npz"), *arguments]) == code
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert what in said
    assert not (tmp_path / "net.npz").exists()
