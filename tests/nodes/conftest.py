"""A tiny network, two short recordings and a config that runs them; made once."""

import numpy as np
import pytest

from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.network import IF, Conv2d, Linear, Network, Readout, SumPool2d

SIDE = 16
WINDOW_US = 5_000


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
