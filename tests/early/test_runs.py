"""Whole graphs with a decider: the same bytes in every placement, for single answers and for streams; and the page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.launcher import main

from .test_stream import network, random_stream

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "early-decisions.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    network().save(folder / "net.npz")
    for seed in (1, 2):
        np.savez(folder / f"{seed}.npz", events=random_stream(seed))
    return folder


def lines(folder, tmp_path, placement, packet_us, **settings):
    """What a run with these settings of the decider writes."""
    nodes = {
        "recording": {
            "kind": "recording", "path": [str(folder / "1.npz"), str(folder / "2.npz")], "sensor": [8, 8],
            "pace": 40.0, "packet_us": packet_us,
        },
        "binner": {"kind": "binner", "input": "recording", "window_us": 5_000},
        "decider": {"kind": "decider", "input": "binner", "network": str(folder / "net.npz"), **settings},
        "out": {"kind": "file", "input": "decider", "path": str(tmp_path / "out.jsonl")},
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(json.dumps({"placement": placement, "nodes": nodes}))
    assert main([str(tmp_path / "run.yaml"), "--quiet"]) == 0
    return (tmp_path / "out.jsonl").read_text()


def test_a_stream_is_decided_the_same_wherever_the_nodes_work_and_packets_are_cut(folder, tmp_path):
    settings = {"margin": 3.0, "leak_us": 40_000, "steady_us": 10_000, "least_rate_hz": 2_000.0}
    whole = lines(folder, tmp_path, "inline", 5_000, **settings)
    assert lines(folder, tmp_path, "threads", 1_300, **settings) == whole
    labels = {json.loads(line)["label"] for line in whole.splitlines()}
    assert "" in labels
    assert len(labels) > 1


def test_a_recording_gets_one_line_in_every_placement(folder, tmp_path):
    from .test_decider import by_hand

    by_hand(folder, "rule.json", network(), "net.npz", "events", [np.inf] * 3 + [0.5] * 20 + [0.0])
    settings = {"thresholds": str(folder / "rule.json")}
    whole = lines(folder, tmp_path, "inline", 5_000, **settings)
    assert lines(folder, tmp_path, "threads", 1_300, **settings) == whole
    assert len(whole.splitlines()) == 2


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.S))
def test_the_example_of_the_page_runs(code, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(code, "docs/early-decisions.md", "exec"), {})
    assert re.fullmatch(r"7 after \d+ timesteps\n", capsys.readouterr().out)
