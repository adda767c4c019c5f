"""Whole graphs: the same decisions wherever the nodes work, and what a run tells.

Runs on several hosts: test_hosts.py; runs that end early: test_ends.py.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dvs_run.nodes.launcher import main

from .runs import decisions, launch

pytestmark = pytest.mark.usefixtures("misbehaving")


@pytest.mark.parametrize("pace", ["fastest", "realtime", "3.0"])
@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_placement_and_pace_change_no_decision(plain_config, write, expected, placement, pace):
    settings = ["--set", f"placement={placement}", "--set", f"nodes.recording.pace={pace}"]
    assert main([write(plain_config), "--quiet", *settings]) == 0
    assert decisions(plain_config) == expected


def test_processes_decide_the_same(plain_config, write, expected):
    run = launch(write(plain_config), "--set", "placement=processes", "--set", "nodes.recording.pace=realtime")
    out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, "")
    assert "decisions                 80 by classifier, on 2 recordings" in out
    assert decisions(plain_config) == expected


@pytest.mark.parametrize(
    ("listen", "arguments", "sentence"),
    [
        (
            None,
            ["--node", "classifier"],
            "nodes.classifier.listen: is missing; binner -> classifier connects two hosts",
        ),
        (
            "tcp://0.0.0.0:5555",
            ["--node", "classifier,out"],
            "can be reached from other hosts, and the config names no",
        ),
        ("tcp://*:5555", ["--node", "recording,binner"], "names no host that binner could connect to"),
        (None, ["--node", "classfier"], "there is no node 'classfier'; did you mean 'classifier'?"),
        (None, ["--set", "nodes.recording.path=missing.npz"], "there is no recording"),
        (None, ["--set", "nodes.classifier.network=missing.npz"], "there is no network file"),
        (None, ["--set", "nodes.out.path=nowhere/out"], "there is no folder"),
    ],
)
def test_what_is_wrong_before_the_start_is_exit_code_2(plain_config, write, capsys, listen, arguments, sentence):
    if listen:
        plain_config["nodes"]["classifier"]["listen"] = listen
    assert main([write(plain_config), *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_check_draws_the_graph_and_runs_nothing(plain_config, write, capsys):
    assert main([write(plain_config), "--check"]) == 0
    out = capsys.readouterr().out
    assert "└─ binner" in out
    assert "is right: 4 nodes" in out
    assert not Path(plain_config["nodes"]["out"]["path"]).exists()


def test_processes_run_with_a_closed_output(plain_config, write, expected):
    code = "import os, sys; os.close(1); from dvs_run.nodes.launcher import main; sys.exit(main())"
    command = [sys.executable, "-c", code, write(plain_config), "--set", "placement=processes"]
    run = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    assert decisions(plain_config) == expected


def test_drops_are_counted_and_told(plain_config, write, capsys):
    plain_config["nodes"]["classifier"] |= {"queue": 1, "when_full": "latest"}
    assert main([write(plain_config)]) == 0
    out = capsys.readouterr().out
    lines = decisions(plain_config).count(b"\n")
    told = [line for line in out.splitlines() if line.startswith("drops")]
    dropped = 0 if "none" in told[0] else int(told[0].split("binner -> classifier: ")[1].split()[0])
    assert lines + dropped == 80


@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_a_node_may_listen_to_several(plain_config, write, capsys, placement):
    plain_config["nodes"]["second"] = dict(plain_config["nodes"]["classifier"])
    ports = {"left": "classifier", "right": {"from": "second", "queue": 3}}
    plain_config["nodes"]["merge"] = {"kind": "merge", "inputs": ports}
    assert main([write(plain_config), "--set", f"placement={placement}"]) == 0
    assert "[('left', 80), ('right', 80)]" in capsys.readouterr().out


def test_decisions_for_a_program_come_alone_on_standard_output(plain_config, write, capfd):
    assert main([write(plain_config), "--set", "nodes.out.path=-"]) == 0
    out, err = capfd.readouterr()
    assert [json.loads(line)["t_stop_us"] > 0 for line in out.splitlines()] == [True] * 80
    assert "summary" in err


def test_the_summary_tells_what_was_measured(plain_config, write, capsys):
    plain_config["nodes"]["score"] = {"kind": "score", "input": "classifier"}
    assert main([write(plain_config), "--set", "nodes.recording.pace=realtime"]) == 0
    out = capsys.readouterr().out
    words = "decisions, latency, p50, p95, p99, max, n 80, first decision, window, SynOps a slice, MACs of the CNN"
    for word in [*words.split(", "), "accuracy", "drops", "pace", "time in classifier", "placement threads"]:
        assert word in out, word


def test_the_command_line_is_told_what_is_wrong_with_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--no-such-option"])
    assert stop.value.code == 2
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2
    assert "which config?" in capsys.readouterr().err


def test_a_node_in_a_file_of_its_own_needs_few_lines(tmp_path, plain_config, write, plugins):
    """A third party adds a kind by an entry point; nothing of ours changes."""
    (tmp_path / "site" / "misbehaving.py").write_text(
        textwrap.dedent("""
        from dvs_run.nodes.node import Node
        from dvs_run.pipeline.stream import Classification

        class Echo(Node):
            accepts = Classification

            def process(self, decision):
                print("heard", decision.label)
                return iter(())
        """)
    )
    plain_config["nodes"]["mine"] = {"kind": "echo", "input": "classifier"}
    run = launch(write(plain_config), "--quiet", env=plugins)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (0, "")
    assert out.count("heard") == 80
