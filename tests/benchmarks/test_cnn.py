"""The benchmark of CNNs counts multiply-adds by hand's rule, and judges a checkpoint on the set of its input."""

import json

import numpy as np
import pytest

from benchmarks import accuracy, cnn
from dvs_run.pipeline.train.checkpoint import save_checkpoint
from dvs_run.pipeline.train.models import build_model


def test_multiply_adds_are_counted_for_each_output_place():
    layers = [
        {"conv": 4, "batch_norm": True},
        {"conv": 6, "stride": 2, "groups": 2, "binary": "xnor"},
        {"pool": 4},
        {"linear": 5, "binary": "connect"},
    ]
    spec = {"input": [3, 8, 8], "layers": layers}
    assert cnn.macs(build_model(spec), (3, 8, 8)) == 3 * 9 * 4 * 64 + 2 * 9 * 6 * 16 + 6 * 5


def test_a_checkpoint_is_judged_on_cifar10_if_it_sees_colours(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    records = np.zeros((8, 3073), np.uint8)
    records[:6, 0] = 7  # six of class 7, two of class 0
    (folder / "test_batch.bin").write_bytes(records.tobytes())
    spec = {"input": [3, 32, 32], "layers": [{"linear": 10}]}
    model = build_model(spec)
    model.linear1.weight.data.zero_()
    model.linear1.bias.data.copy_(model.linear1.bias.new_tensor([float(index == 7) for index in range(10)]))
    extra = {"labels": list("0123456789"), "accuracy": {"validation": 0.5, "n": 2}, "config": {"seed": 1}}
    save_checkpoint(tmp_path / "seven.pt", spec, model, extra)
    monkeypatch.setattr(accuracy, "RESULTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["cnn", "--data", str(tmp_path), str(tmp_path / "seven.pt")])
    cnn.main()
    assert "75.00% of 8" in capsys.readouterr().out
    (run,) = json.loads((tmp_path / "cnn.json").read_text())["runs"]
    assert run["accuracy"] == pytest.approx(0.75)
    assert run["macs"] == 30_720
