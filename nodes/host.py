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

GRACE_S = 3.0  # how long a node may take to let go once the run stops
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


class Opening:
    """Which nodes are not open yet; the last one may take start_timeout_s."""

    def __init__(self, names: Iterable[str], timeout_s: float) -> None:
        self.waiting = set(names)
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def hear(self, what: str, name: str) -> None:
        if what in ("open", "left"):
            self.waiting.discard(name)

    def overdue(self) -> list[Failed]:
        if not self.waiting or time.monotonic() < self._deadline:
            return []
        text = f"it was not open within {self._timeout_s:g} s; raise start_timeout_s if it only needs longer"
        return [Failed(name, text) for name in sorted(self.waiting)]


class StopRequest:
    """Set by a signal handler, which may not touch locks; looked at by whoever waits."""

    def __init__(self) -> None:
        self.reason = ""
        self.signal = 0

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
        opening = Opening(names, config.settings.start_timeout_s)
        _listen(heard, outcome, opening, len(workers), request, wire, tell)
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
    opening: Opening,
    workers: int,
    request: StopRequest,
    wire: Wire,
    tell: Callable[[str, str, Any], None] | None,
) -> None:
    """Until every worker has left, or has had its grace."""
    give_up, opened = float("inf"), False
    while len(outcome.reports) < workers and time.monotonic() < give_up:
        stops = False
        try:
            what, name, more = heard.get(timeout=0.1)
        except queue.Empty:
            pass
        else:
            if tell is not None:
                tell(what, name, more)
            opening.hear(what, name)
            stops = outcome.hear(what, name, more)
        if wire.stop.is_set():
            continue
        if stops:
            failed = outcome.failures[-1].node if outcome.failures else ""
            wire.stop_reason = f"{failed} failed" if failed else "whoever read the output has gone"
        for late in opening.overdue():
            stops = outcome.hear("failed", late.node, late)
            wire.stop_reason = f"{late.node} did not open"
        if request:
            outcome.interrupted = stops = True
            wire.stop_reason = request.reason
        if not opening.waiting and not opened:
            opened = True
            gc.collect()  # what was loaded stays: later collections need not look at it
            gc.freeze()
        if stops:
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
