"""Whole runs in a process of their own, and what the tests of runs ask about them."""

import socket
import subprocess
import sys
import time
from pathlib import Path


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition):
    """Look until something is so; a test that waits in vain ends by its own assertion."""
    give_up = time.monotonic() + 60
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.02)
    return condition()


def endless(values):
    values["nodes"]["recording"] |= {"loop": True, "pace": "realtime"}
    return values


def with_sink(values, **settings):
    values["nodes"]["bad"] = {"kind": "faulty", "input": "classifier", **settings}
    return values
