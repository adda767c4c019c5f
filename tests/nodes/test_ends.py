"""An end to every run, whatever happens: a node that fails, a process that is killed, Ctrl-C, a reader that goes."""

import os
import signal
from pathlib import Path

import pytest

from dvs_run.nodes.launcher import main

from .runs import decisions, endless, launch, wait_for, with_sink

pytestmark = pytest.mark.usefixtures("misbehaving")


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
