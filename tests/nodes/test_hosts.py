"""A graph in two halves that talk over TCP: the same decisions; strangers and misfits are refused and told."""

import socket

import pytest
import zmq

from dvs_run.nodes.launcher import main
from dvs_run.nodes.messages import End, Message, Status, from_frames, to_frames

from .runs import decisions, free_port, launch, wait_for


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
