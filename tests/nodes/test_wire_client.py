"""The program on the page about the wire joins a live graph, with no line of ours in it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.config import load_config
from dvs_run.nodes.launcher import main
from dvs_run.pipeline.formats import open_recording

from .conftest import SIDE
from .runs import decisions, free_port, launch

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "docs" / "wire_client.py"


@pytest.fixture
def outside(plain_config, tmp_path, sample_folder):
    """The graph whose ends are other programs, and the client with the addresses of this test."""
    ports = free_port(), free_port()
    nodes = plain_config["nodes"]
    values = {
        "nodes": {
            "camera": {"kind": "outside_source"},
            "binner": nodes["binner"] | {"input": "camera", "listen": f"tcp://127.0.0.1:{ports[0]}"},
            "classifier": nodes["classifier"],
            "decisions": {"kind": "outside_sink", "input": "classifier", "listen": f"tcp://127.0.0.1:{ports[1]}"},
        }
    }
    text = CLIENT.read_text().replace(":7801", f":{ports[0]}").replace(":7802", f":{ports[1]}")
    (tmp_path / "client.py").write_text(text)
    events = np.concatenate([packet.events for packet in open_recording(sample_folder / "a.npz")])
    (tmp_path / "events.bin").write_bytes(events.tobytes())
    return values, [sys.executable, str(tmp_path / "client.py"), str(SIDE), str(SIDE), str(tmp_path / "events.bin")]


def test_another_program_of_few_lines_sends_events_and_receives_the_decisions(
    outside, plain_config, write, sample_folder
):
    plain_config["nodes"]["recording"]["path"] = str(sample_folder / "a.npz")
    assert main([write(plain_config), "--set", "placement=inline", "--quiet"]) == 0
    expected = [json.loads(line) for line in decisions(plain_config).splitlines()]
    values, command = outside
    graph = launch(write(values, "outside.yaml"), "--node", "binner,classifier")
    client = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    out, err = graph.communicate(timeout=60)
    assert (graph.returncode, err, client.returncode, client.stderr) == (0, "", 0, "")
    found = [line.split(" ") for line in client.stdout.splitlines()]
    assert found == [[str(line["t_stop_us"]), str(line["index"]), line["label"]] for line in expected]
    assert len(found) == 40
    assert "decisions                 40" in out


def test_the_client_uses_nothing_of_ours_and_little_else():
    tree = ast.parse(CLIENT.read_text())
    imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"msgpack", "pathlib", "sys", "time", "zmq"}


def test_the_client_has_forty_lines_of_code():
    tree = ast.parse(CLIENT.read_text())
    lines = {line for statement in tree.body[1:] for line in range(statement.lineno, statement.end_lineno + 1)}
    assert len([line for line in lines if CLIENT.read_text().splitlines()[line - 1].strip()]) <= 40


def test_a_node_that_is_another_program_does_not_run_here(outside, write, capsys):
    values, _ = outside
    assert main([write(values), "--quiet"]) == 1
    assert "this node is a program of its own; start the others with --node" in capsys.readouterr().err


def test_the_shipped_config_is_the_one_the_client_speaks_to():
    graph = load_config(str(ROOT / "configs" / "outside.yaml")).graph
    addresses = [edge.listen for spec in graph.nodes.values() for edge in spec.inputs if edge.listen]
    assert all(f'"{address}"' in CLIENT.read_text() for address in addresses)
    assert len(addresses) == 2
