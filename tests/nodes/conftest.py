"""A tiny network, two short recordings and a config that runs them, made once; and what runs of it need."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes import catalogue
from dvs_run.nodes.launcher import main
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout, SumPool2d

from .runs import decisions

SIDE = 16
WINDOW_US = 5_000
MISBEHAVING = ("Echo", "Faulty", "Liar", "Damaged", "Merge")


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory):
    """net.npz, a.npz and b.npz (0.2 s of random events each, labelled)."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(5)

    def weights(*shape):
        return rng.normal(0, 0.3, shape).astype(np.float32)

    one = np.ones(4, np.float32)
    layers = (
        Conv2d("conv", ("input",), weights(4, 2, 3, 3), weights(4) * np.float32(0.01)),
        IF("if", ("conv",), one, one / 2),
        SumPool2d("pool", ("if",), (2, 2), (2, 2)),
        Linear("out", ("pool",), weights(3, 4 * 7 * 7)),
    )
    Network(layers, (2, SIDE, SIDE), ("a", "b", "c"), Readout("membrane"), WINDOW_US).save(folder / "net.npz")
    for name in ("a", "b"):
        np.savez(folder / f"{name}.npz", events=random_events(rng, 3_000, 200_000))
        (folder / f"{name}_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{name},0,200000\n")
    return folder


def random_events(rng, n, duration_us, first_us=137):
    events = np.zeros(n, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(first_us, first_us + duration_us, n))
    events["x"], events["y"] = rng.integers(0, SIDE, (2, n))
    events["p"] = rng.integers(0, 2, n).astype(bool)
    return events


@pytest.fixture
def plain_config(sample_folder, tmp_path):
    """The values of a config: recording -> binner -> classifier -> file."""
    return {
        "nodes": {
            "recording": {
                "kind": "recording",
                "path": [str(sample_folder / "a.npz"), str(sample_folder / "b.npz")],
                "sensor": [SIDE, SIDE],
                "pace": "fastest",
            },
            "binner": {"kind": "binner", "input": "recording", "window_us": WINDOW_US},
            "classifier": {"kind": "classifier", "input": "binner", "network": str(sample_folder / "net.npz")},
            "out": {"kind": "file", "input": "classifier", "path": str(tmp_path / "out.jsonl")},
        }
    }


@pytest.fixture
def misbehaving(monkeypatch):
    """The kinds of misbehaving.py, in the catalogue of this process."""
    for kind in MISBEHAVING:
        monkeypatch.setitem(catalogue.KINDS, kind.lower(), f"tests.nodes.misbehaving:{kind}")


@pytest.fixture
def write(tmp_path):
    """Makes a config file of values, and tells its path."""

    def write(values, name="run.yaml"):
        path = tmp_path / name
        path.write_text(json.dumps(values))  # JSON is YAML
        return str(path)

    return write


@pytest.fixture
def plugins(tmp_path):
    """An installed package with the misbehaving kinds, for runs in other processes."""
    info = tmp_path / "site" / "misbehaving-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    lines = [f"{kind.lower()} = misbehaving:{kind}" for kind in MISBEHAVING]
    (info / "entry_points.txt").write_text("[dvs_run.nodes]\n" + "\n".join(lines) + "\n")
    source = Path(__file__).with_name("misbehaving.py")
    (tmp_path / "site" / "misbehaving.py").write_text(source.read_text())
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


@pytest.fixture
def expected(plain_config, write):
    """What every run of the plain config must decide."""
    assert main([write(plain_config), "--set", "placement=inline", "--quiet"]) == 0
    lines = decisions(plain_config)
    assert lines.count(b"\n") == 80
    return lines
