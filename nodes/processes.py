"""Every node in a process of its own: the placement `processes`.

Children are fresh interpreters (never forks: threads and sockets do not survive one). A child is given its work on its
standard input, and that pipe stays open: when it closes, because the launcher says so or because the launcher is dead,
SIGKILL included, the child lets go and ends. So no child is ever left behind.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .config import RunConfig
from .host import GRACE_S, Opening, Outcome, StopRequest
from .messages import Failed
from .wire import Wire


def run_in_processes(config: RunConfig, request: StopRequest) -> Outcome:
    """Run every node to its end, each in its own process."""
    outcome, opening = Outcome(), Opening(config.graph.nodes, config.settings.start_timeout_s)
    folder = _short_folder()
    wire = Wire(threading.Event())
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        control = f"ipc://{folder}/control"
        news = wire.news_in(control)
        edges = [edge for spec in config.graph.nodes.values() for edge in spec.inputs]
        addresses = {str(edge): f"ipc://{folder}/{number}" for number, edge in enumerate(edges)}
        for name in config.graph.nodes:
            if request:
                break
            children[name] = _start(config, name, addresses, control)
        opening.waiting = set(children)
        _listen(news, outcome, opening, children, request)
        outcome.interrupted = bool(request)
    finally:
        killed = [name for name, child in children.items() if not _end(child)]
        outcome.stuck = [name for name in killed if name not in outcome.reports and name not in opening.waiting]
        wire.close(0)
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _start(config: RunConfig, name: str, addresses: dict[str, str], control: str) -> "subprocess.Popen[bytes]":
    work = {
        "path": str(config.path),
        "values": config.plain,
        "node": name,
        "addresses": addresses,
        "control": control,
    }
    child = subprocess.Popen(  # its own session: a Ctrl-C in the terminal is the launcher's to handle
        [sys.executable, "-P", "-m", "dvs_run.nodes.child"], stdin=subprocess.PIPE, start_new_session=True
    )
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died already; _listen says so
        child.stdin.write(json.dumps(work).encode() + b"\n")
        child.stdin.flush()
    return child


def _listen(
    news: Any, outcome: Outcome, opening: Opening, children: "dict[str, subprocess.Popen[bytes]]", request: StopRequest
) -> None:
    """Until every child has left or has had its grace."""
    give_up = float("inf")
    stopping = False
    while len(outcome.reports) < len(children) and time.monotonic() < give_up:
        heard = news.hear()
        if stopping and heard is not None and heard[0] == "neighbour failed":
            continue  # the echo of what we know
        stops = False
        if heard is not None:
            opening.hear(*heard[:2])
            stops = outcome.hear(*heard)
        elif not stopping:
            stops = _look_for_dead(outcome, children)
        for late in opening.overdue() if not stopping else ():
            stops = outcome.hear("failed", late.node, late)
        if request and not stopping:
            outcome.interrupted = stops = True
        if stops and not stopping:
            stopping = True
            give_up = time.monotonic() + GRACE_S + 1
            for name, child in children.items():
                _close_stdin(child)
                if name in opening.waiting:  # nothing to lose yet, and loading can take long
                    child.terminate()
        if stopping and all(child.poll() is not None for child in children.values()) and heard is None:
            return


def _look_for_dead(outcome: Outcome, children: "dict[str, subprocess.Popen[bytes]]") -> bool:
    for name, child in children.items():
        code = child.poll()
        if code is not None and name not in outcome.reports:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            return outcome.hear("failed", name, Failed(name, f"its process {how} without a word"))
    return False


def _close_stdin(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone
        child.stdin.close()


def _end(child: "subprocess.Popen[bytes]") -> bool:
    """A child that was told to end has a moment for it. Returns whether it took it; else it was killed."""
    _close_stdin(child)
    try:
        child.wait(2)
    except subprocess.TimeoutExpired:
        os.kill(child.pid, 9)
        child.wait()
        return False
    return True


def _short_folder() -> Path:
    """For the sockets, whose paths have at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="dvs-run-"))
    if len(os.fsencode(folder)) > 80:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="dvs-run-", dir="/tmp"))
    return folder
