"""Some or all nodes of a graph at work in this process, each in a thread: the placement `threads`, one half of a graph
on this host (`--node`), and the inside of every child of `processes`.
"""

import gc
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import RunConfig
from .graph import Edge
from .messages import Failed
from .wire import FAILURES, Security, Wire
from .worker import Worker

GRACE_S = 5.0  # how long a node may take to let go once the run stops
SWITCH_S = 0.0005  # how long a thread may hold the interpreter while another waits; Python's 5 ms is our whole budget


@dataclass
class Outcome:
    """How a run went."""

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)  # by node
    failures: list[Failed] = field(default_factory=list)
    output_closed: bool = False
    interrupted: bool = False
    stuck: list[str] = field(default_factory=list)  # nodes that did not let go

    def hear(self, what: str, name: str, more: Any) -> bool:
        """Take what a worker tells; True: the run must stop."""
        if what == "left":
            self.reports[name] = more
        elif what in FAILURES:
            if what == "failed":  # its own word has the traceback, and replaces what a neighbour said of it
                self.failures = [known for known in self.failures if known.node != more.node]
            if more.node not in (known.node for known in self.failures):
                self.failures.append(more)
            return what != "fault"
        elif what == "output closed":
            self.output_closed = True
            return True
        return False


class StopRequest:
    """Set by a signal handler, which may not touch locks; looked at by whoever waits."""

    def __init__(self) -> None:
        self.reason = ""

    def __bool__(self) -> bool:
        return bool(self.reason)


def run_in_threads(
    config: RunConfig,
    names: Iterable[str],
    request: StopRequest,
    address_of: Callable[[Edge, bool], str] | None = None,
    tell: Callable[[str, str, Any], None] | None = None,
) -> Outcome:
    """Run these nodes to their end. `address_of(edge, here_is_the_consumer)` names edges that leave this process.

    `tell` hears what the workers tell, as it comes.
    """
    names = list(names)
    stop = threading.Event()
    keys = config.settings.keys
    security = Security(Path(keys) if keys else None, config.settings.insecure)
    wire = Wire(stop, security)
    heard: queue.SimpleQueue[tuple[str, str, Any]] = queue.SimpleQueue()
    workers = []
    for name in names:
        addresses = _addresses(config, name, names, address_of)
        report_to = lambda *what: heard.put(what)  # noqa: E731
        workers.append(Worker(name, config.graph, wire, addresses, config.settings.start_timeout_s, report_to))
    before, outcome = sys.getswitchinterval(), Outcome()
    sys.setswitchinterval(SWITCH_S)
    try:
        for worker in workers:
            worker.start()
        _listen(heard, outcome, len(workers), request, wire, tell)
    finally:
        stop.set()
        sys.setswitchinterval(before)
        gc.unfreeze()
    outcome.stuck = [worker.name for worker in workers if worker.name not in outcome.reports]
    if not outcome.stuck:
        for worker in workers:
            worker.join()
        wire.close()
    return outcome


def _listen(
    heard: "queue.SimpleQueue[tuple[str, str, Any]]",
    outcome: Outcome,
    workers: int,
    request: StopRequest,
    wire: Wire,
    tell: Callable[[str, str, Any], None] | None,
) -> None:
    """Until every worker has left, or has had its grace."""
    give_up = float("inf")
    not_open = workers
    while len(outcome.reports) < workers and time.monotonic() < give_up:
        try:
            what, name, more = heard.get(timeout=0.1)
        except queue.Empty:
            what = ""
        if what:
            if tell is not None:
                tell(what, name, more)
            stops = outcome.hear(what, name, more)
            if stops and not wire.stop.is_set():
                wire.stop_reason = f"{name} failed" if outcome.failures else "whoever read the output has gone"
            not_open -= what == "open"
            if what == "open" and not not_open:
                gc.collect()  # what was loaded stays: later collections need not look at it
                gc.freeze()
        else:
            stops = False
        if request and not wire.stop.is_set():
            outcome.interrupted = stops = True
            wire.stop_reason = request.reason
        if stops and not wire.stop.is_set():
            wire.stop.set()
            give_up = time.monotonic() + GRACE_S


def _addresses(
    config: RunConfig, name: str, here: list[str], address_of: Callable[[Edge, bool], str] | None
) -> dict[str, str]:
    """Of every edge of one node: inproc where both ends are here."""
    addresses = {}
    for edge in (*config.graph.nodes[name].inputs, *config.graph.outputs(name)):
        if edge.producer in here and edge.consumer in here:
            addresses[str(edge)] = f"inproc://{edge.producer}/{edge.consumer}/{edge.port}"
        elif address_of is not None:
            addresses[str(edge)] = address_of(edge, edge.consumer == name)
    return addresses
