"""Whole graphs: the same decisions wherever the nodes work, and an end to every run, whatever happens."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import zmq

from dvs_run.nodes import catalogue
from dvs_run.nodes.launcher import main
from dvs_run.nodes.messages import End, Message, Status, from_frames, to_frames

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def misbehaving(monkeypatch):
    for kind in ("Echo", "Faulty", "Liar", "Damaged", "Merge"):
        monkeypatch.setitem(catalogue.KINDS, kind.lower(), f"tests.nodes.misbehaving:{kind}")


@pytest.fixture
def write(tmp_path):
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
    lines = [f"{kind.lower()} = misbehaving:{kind}" for kind in ("Echo", "Faulty", "Liar", "Damaged", "Merge")]
    (info / "entry_points.txt").write_text("[dvs_run.nodes]\n" + "\n".join(lines) + "\n")
    source = ROOT / "tests" / "nodes" / "misbehaving.py"
    (tmp_path / "site" / "misbehaving.py").write_text(source.read_text())
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


def launch(*arguments, env=None):
    """dvs-run in a process of its own."""
    command = [
        sys.executable,
        "-c",
        "import sys; from dvs_run.nodes.launcher import main; sys.exit(main())",
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def decisions(values):
    return Path(values["nodes"]["out"]["path"]).read_bytes()


@pytest.fixture
def expected(plain_config, write):
    assert main([write(plain_config), "--set", "placement=inline", "--quiet"]) == 0
    lines = decisions(plain_config)
    assert lines.count(b"\n") == 80
    return lines


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "with keys"])
def test_two_halves_over_tcp_decide_the_same(plain_config, write, expected, tmp_path, secure, capsys):
    plain_config["nodes"]["classifier"]["listen"] = f"tcp://127.0.0.1:{free_port()}"
    if secure:
        assert main(["--make-keys", str(tmp_path / "keys")]) == 0
        plain_config["keys"] = "keys"
    path = write(plain_config)
    other = launch(path, "--node", "recording,binner")
    assert main([path, "--node", "classifier", "--node", "out"]) == 0
    out, err = other.communicate(timeout=60)
    assert (other.returncode, err) == (0, "")
    assert "slices" in out
    assert "decisions                 80" in capsys.readouterr().out
    assert decisions(plain_config) == expected


def test_strangers_at_the_port_are_refused_counted_and_survived(plain_config, write, expected):
    port = free_port()
    plain_config["nodes"]["classifier"]["listen"] = f"tcp://127.0.0.1:{port}"
    path = write(plain_config)
    other = launch(path, "--node", "classifier,out")
    assert wait_for(lambda: _talks(port))
    with zmq.Context() as context, context.socket(zmq.DEALER) as stranger:
        stranger.linger = 1000
        stranger.connect(f"tcp://127.0.0.1:{port}")
        hello = to_frames(Message(Status("hello", {"graph": "another"}), "binner", 0))
        for frames in (
            [b"x"],
            [b"status", b"", b""],
            [b"", b"\xc1", b"x" * 100],
            hello,
            to_frames(Message(End(), "binner", 0)),
        ):
            stranger.send_multipart(frames)
        assert from_frames(stranger.recv_multipart()).payload.state == "stop"
        assert main([path, "--node", "recording,binner", "--quiet"]) == 0
    out, err = other.communicate(timeout=60)
    assert (other.returncode, err) == (0, "")
    assert "binner -> classifier: 5 refused" in out
    assert decisions(plain_config) == expected


def _talks(port):
    """Whether somebody listens there; says something that is no ZeroMQ, too."""
    with socket.socket() as raw:
        if raw.connect_ex(("127.0.0.1", port)):
            return False
        raw.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return True


def test_halves_that_run_different_graphs_do_not_start(plain_config, write, capfd):
    plain_config["nodes"]["classifier"]["listen"] = f"tcp://127.0.0.1:{free_port()}"
    path = write(plain_config)
    plain_config["nodes"]["printer"] = {"kind": "printer", "input": "classifier"}
    other = launch(write(plain_config, "other.yaml"), "--node", "recording,binner", "--quiet")
    assert main([path, "--node", "classifier,out", "--quiet", "--set", "start_timeout_s=6"]) == 1
    assert "nothing came from binner within 6 s" in capfd.readouterr().err
    _, err = other.communicate(timeout=60)
    assert other.returncode == 1
    assert "the two hosts run different graphs" in err


def test_a_half_alone_gives_up_and_says_what_is_missing(plain_config, write, capsys):
    for name in ("binner", "out"):
        plain_config["nodes"][name]["listen"] = f"tcp://127.0.0.1:{free_port()}"
    path = write(plain_config)
    assert main([path, "--node", "out", "--set", "start_timeout_s=1", "--quiet"]) == 1
    assert "is `dvs-run CONFIG --node classifier` running?" in capsys.readouterr().err
    assert main([path, "--node", "recording", "--set", "start_timeout_s=1", "--quiet"]) == 1
    assert "is `dvs-run CONFIG --node binner` running there?" in capsys.readouterr().err


def test_a_port_in_use_is_told(plain_config, write, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        plain_config["nodes"]["classifier"]["listen"] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert main([write(plain_config), "--node", "classifier,out", "--quiet"]) == 1
    assert "it is in use by another program; choose another `listen:`" in capsys.readouterr().err


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


def with_sink(values, **settings):
    values["nodes"]["bad"] = {"kind": "faulty", "input": "classifier", **settings}
    return values


@pytest.mark.parametrize("where", ["open", "process", "finish", "close"])
@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_a_node_that_raises_ends_the_run_and_is_named(plain_config, write, capsys, placement, where):
    path = write(with_sink(plain_config, where=where))
    assert main([path, "--quiet", "--set", f"placement={placement}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"dvs-run: node bad failed: ValueError: no luck in {where}\nTraceback")
    assert err.count("dvs-run: node") == 1


@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_a_node_that_emits_what_it_does_not_declare_is_named(plain_config, write, capsys, placement):
    plain_config["nodes"]["liar"] = {"kind": "liar", "input": "binner"}
    assert main([write(plain_config), "--quiet", "--set", f"placement={placement}"]) == 1
    assert "node liar failed: it yielded a BinnedSlice, but its class declares" in capsys.readouterr().err


@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_a_recording_that_ends_in_damage_is_decided_up_to_there(plain_config, write, capsys, placement):
    plain_config["nodes"]["binner"] = {"kind": "damaged"}
    del plain_config["nodes"]["recording"]
    assert main([write(plain_config), "--quiet", "--set", f"placement={placement}"]) == 1
    assert "node binner failed: damaged: cut at byte 7" in capsys.readouterr().err
    assert decisions(plain_config).count(b"\n") == 3


def test_a_process_that_is_killed_is_named_and_nothing_hangs(plain_config, write, plugins):
    run = launch(write(with_sink(plain_config, where="kill")), "--quiet", "--set", "placement=processes", env=plugins)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "node bad failed: its process was killed by signal 9" in err


def wait_for(condition):
    """Look until something is so; a test that waits in vain ends by its own assertion."""
    give_up = time.monotonic() + 60
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.02)
    return condition()


def endless(values):
    values["nodes"]["recording"] |= {"loop": True, "pace": "realtime"}
    return values


@pytest.mark.parametrize(("placement", "number"), [("inline", 2), ("threads", 2), ("processes", 2), ("threads", 15)])
def test_ctrl_c_ends_a_run_with_its_summary(plain_config, write, placement, number):
    run = launch(write(endless(plain_config)), "--set", f"placement={placement}")
    out = Path(plain_config["nodes"]["out"]["path"])
    assert wait_for(lambda: out.exists() and out.stat().st_size > 0)
    run.send_signal(number)
    printed, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (128 + number, "")
    assert "summary so far (interrupted)" in printed


@pytest.mark.parametrize("placement", ["threads", "processes"])
def test_ctrl_c_while_a_node_opens_ends_the_run(plain_config, write, plugins, placement):
    path = write(with_sink(plain_config, where="hang"))
    run = launch(path, "--set", f"placement={placement}", env=plugins)
    run.stdout.readline()  # the title: signals are handled from here on
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130


def test_no_child_outlives_a_launcher_that_is_killed(plain_config, write):
    run = launch(write(endless(plain_config)), "--quiet", "--set", "placement=processes")
    out = Path(plain_config["nodes"]["out"]["path"])
    assert wait_for(lambda: out.exists() and out.stat().st_size > 0)
    children = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
    assert len(children) == 4
    run.kill()
    run.communicate(timeout=60)  # the children hold the pipes: this returns when the last one has ended
    assert not [pid for pid in children if Path(f"/proc/{pid}/cmdline").exists() and _is_ours(pid)]


def _is_ours(pid):
    return b"dvs_run" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_output_that_nobody_reads_any_more_ends_the_run(plain_config, write):
    plain_config["nodes"]["printer"] = {"kind": "printer", "input": "classifier", "every_us": 0}
    run = launch(write(endless(plain_config)))
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(timeout=60) == 141
    assert run.stderr.read() == ""
    run.stderr.close()


@pytest.mark.parametrize("placement", ["inline", "threads"])
def test_a_pipe_without_a_reader_is_told_and_one_with_a_reader_is_written(plain_config, write, capsys, placement):
    path = Path(plain_config["nodes"]["out"]["path"])
    os.mkfifo(path)
    arguments = [write(plain_config), "--quiet", "--set", f"placement={placement}"]
    assert main(arguments) == 1
    assert "it is a pipe that nobody reads; start the reader first" in capsys.readouterr().err
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(reader) as lines:
        assert main([*arguments, "--set", "nodes.out.scores=false"]) == 0  # 80 short lines fit into a pipe
        assert sum(1 for _ in lines) == 80


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
