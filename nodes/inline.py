"""All nodes in one thread by direct calls: the placement `inline`, for small boards and for tests.

A message is handled to its end before the next is made, so nothing queues and nothing is ever dropped.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .config import RunConfig
from .host import Outcome, StopRequest
from .messages import Message
from .stage import Stage, Stopped, failure


class _Raised(Exception):
    """An error of one node on its way up through the nodes that called it."""

    def __init__(self, name: str, error: BaseException) -> None:
        super().__init__(name)
        self.name, self.error = name, error


def run_inline(config: RunConfig, request: StopRequest) -> Outcome:
    """Run every node to its end in the calling thread; several sources run one after the other."""
    outcome, graph = Outcome(), config.graph
    stages: dict[str, Stage] = {}

    def emit(name: str, message: Message) -> None:
        if request:
            raise Stopped
        for edge in graph.outputs(name):
            stage = stages[edge.consumer]
            received[str(edge)] += 1
            _attributed(edge.consumer, partial(stage.take, message, edge.port))

    def wait_until(deadline_ns: int) -> bool:
        while (left := deadline_ns - time.monotonic_ns()) > 0 and not request:
            time.sleep(min(left / 1e9, 0.05))
        return not request

    received = {str(edge): 0 for spec in graph.nodes.values() for edge in spec.inputs}
    try:
        for name, spec in graph.nodes.items():
            stages[name] = Stage(spec, partial(emit, name), wait_until)
        for name, stage in stages.items():
            if request:
                raise Stopped
            _attributed(name, stage.open)
        for name, stage in stages.items():
            if not graph.nodes[name].inputs:
                fault = _attributed(name, stage.produce)
                if fault is not None:
                    outcome.hear("fault", name, fault)
    except Stopped:
        outcome.interrupted = True
    except _Raised as raised:
        _sort_out(outcome, raised)
    for name, stage in stages.items():
        inputs = {str(edge): _counters(received[str(edge)]) for edge in graph.nodes[name].inputs}
        try:
            outcome.reports[name] = stage.report() | {"inputs": inputs}
            stage.close()
        except Exception as error:  # the others are to be closed still
            outcome.hear("failed", name, failure(name, error))
    return outcome


def _attributed(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (Stopped, _Raised):
        raise
    except BaseException as error:  # a node may raise anything, Rust's PanicException included
        raise _Raised(name, error) from error


def _sort_out(outcome: Outcome, raised: _Raised) -> None:
    if isinstance(raised.error, BrokenPipeError):
        outcome.output_closed = True
    else:
        outcome.failures.append(failure(raised.name, raised.error))


def _counters(received: int) -> dict[str, int | str]:
    return {"received": received, "dropped": 0, "refused": 0, "missing": 0, "first_fault": ""}
