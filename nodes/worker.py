"""One node in one thread, its neighbours at the other ends of the wire."""

import threading
import time
from collections.abc import Callable
from typing import Any

from .graph import Graph
from .inbox import NeighbourStopped
from .messages import End, Failed, Message, to_frames
from .stage import Stage, Stopped, failure
from .wire import Receiver, Sender, Wire, WireError, wait_for_answers, wait_for_messages

HELLO_AGAIN_NS = 500_000_000

# (what, node, more): open; ready; failed and neighbour failed with a Failed; fault with a
# Failed: a source ended early, the others finish what they have; output closed; at last left with a report
Tell = Callable[[str, str, Any], None]


class Worker(threading.Thread):
    """Opens its node, waits until all consumers are ready, works until the end, tells the host how it went.

    addresses: of every edge of this node, by str(edge). Other hosts learn of a failure through their edges.
    """

    def __init__(
        self, name: str, graph: Graph, wire: Wire, addresses: dict[str, str], start_timeout_s: float, tell: Tell
    ) -> None:
        super().__init__(name=name, daemon=True)  # daemon: a node that never returns must not keep the process
        self.graph, self.wire, self.addresses = graph, wire, addresses
        self._timeout_ns = int(start_timeout_s * 1e9)
        self._tell = tell
        self._spec = graph.nodes[name]
        self._receivers: list[Receiver] = []
        self._senders: list[Sender] = []
        self._stage: Stage | None = None

    def run(self) -> None:
        ended: Failed | None = None  # why it ends early, for neighbours in other processes
        try:
            self._work()
        except Stopped:
            ended = Failed(self.name, f"it was stopped on its host: {self.wire.stop_reason}")
        except NeighbourStopped as error:
            ended = error.failed
            self._tell("neighbour failed", self.name, ended)
        except BrokenPipeError:
            ended = Failed(self.name, "whoever read the output has gone")
            self._tell("output closed", self.name, None)
        except BaseException as error:  # a node may raise anything, Rust's PanicException included
            ended = failure(self.name, error)
            self._tell("failed", self.name, ended)
        self._tell("left", self.name, self._leave(ended))

    def _work(self) -> None:
        fingerprint = self.graph.fingerprint
        for edge in self._spec.inputs:
            self._receivers.append(self.wire.receiver(edge, self.addresses[str(edge)], fingerprint))
        for edge in self.graph.outputs(self.name):
            self._senders.append(self.wire.sender(edge, self.addresses[str(edge)], fingerprint))
        self._stage = stage = Stage(self._spec, self._emit, self._wait_until)
        for sender in self._senders:
            sender.hello()
        stage.open()
        self._tell("open", self.name, None)
        self._wait_for_consumers()
        self._tell("ready", self.name, None)
        if self._receivers:
            self._consume(stage)
        elif fault := stage.produce():
            self._tell("fault", self.name, fault)
        self._wait_for_receipt()

    def _wait_for_consumers(self) -> None:
        """The start barrier: a node is ready when it is open and all its consumers are ready."""
        deadline, again = time.monotonic_ns() + self._timeout_ns, 0
        while waiting := [sender for sender in self._senders if not sender.ready]:
            now = time.monotonic_ns()
            if now > deadline and (far := [sender for sender in waiting if sender.address.startswith("tcp:")]):
                names = ", ".join(f"{sender.edge.consumer} at {sender.address}" for sender in far)
                raise WireError(
                    f"no answer from {names} after {self._timeout_ns / 1e9:g} s; "
                    f"is `dvs-run CONFIG --node {far[0].edge.consumer}` running there?"
                )
            if now > again:
                again = now + HELLO_AGAIN_NS
                for sender in waiting:
                    sender.hello()
            wait_for_answers(waiting)
            for sender in waiting:
                sender.tend()

    def _consume(self, stage: Stage) -> None:
        deadline = time.monotonic_ns() + self._timeout_ns
        connected = False
        while not stage.ended:
            if len(self._receivers) > 1:
                wait_for_messages(self._receivers)
            for receiver in self._receivers:
                message = receiver.receive(wait=len(self._receivers) == 1)
                if message is not None:
                    self._take(stage, receiver, message)
                    continue
                connected = connected or self._check_connected(deadline)
                for sender in self._senders:
                    sender.tend()

    def _take(self, stage: Stage, receiver: Receiver, message: Message) -> None:
        stage.dropped_upstream = max(
            stage.dropped_upstream, message.dropped + sum(other.inbox.counters.dropped for other in self._receivers)
        )
        stage.take(message, receiver.edge.port)
        if isinstance(message.payload, End):
            receiver.answer("received")

    def _check_connected(self, deadline: int) -> bool:
        silent = [receiver for receiver in self._receivers if receiver.inbox.peer is None]
        if time.monotonic_ns() > deadline and any(receiver.address.startswith("tcp:") for receiver in silent):
            fault = next((r.inbox.counters.first_fault for r in silent if r.inbox.counters.first_fault), "")
            raise WireError(
                f"nothing came from {', '.join(r.edge.producer for r in silent)} within {self._timeout_ns / 1e9:g} s; "
                f"is `dvs-run CONFIG --node {silent[0].edge.producer}` running?"
                + (f" (what came was refused: {fault})" if fault else "")
            )
        return not silent

    def _emit(self, message: Message) -> None:
        if not self._senders:
            return
        frames = to_frames(message)
        for sender in self._senders:
            sender.send(frames)

    def _wait_until(self, deadline_ns: int) -> bool:
        for sender in self._senders:
            sender.tend()
        return not self.wire.stop.wait(max(0, deadline_ns - time.monotonic_ns()) / 1e9)

    def _wait_for_receipt(self) -> None:
        """Before a process may end, its neighbours must have everything. Threads share their memory."""
        while waiting := [sender for sender in _apart(self._senders) if not sender.received_all]:
            wait_for_answers(waiting)
            for sender in waiting:
                sender.tend()

    def _leave(self, ended: Failed | None) -> dict[str, Any]:
        """Close everything, whatever happened; returns the report for the summary."""
        if ended is not None:
            for sender in _apart(self._senders):
                sender.leave(to_frames(Message(ended, self.name, 0)))
            for receiver in _apart(self._receivers):
                receiver.answer("stop", {"node": ended.node, "reason": ended.error})
        report: dict[str, Any] = {"name": self.name, "kind": self._spec.kind}
        try:
            if self._stage is not None:
                report = self._stage.report()
                self._stage.close()
        except Exception as error:  # what it did before is worth telling still
            self._tell("failed", self.name, failure(self.name, error))
        for sender in self._senders:
            sender.close()
        for receiver in self._receivers:
            receiver.close()
        return report | {"inputs": {str(receiver.edge): vars(receiver.inbox.counters) for receiver in self._receivers}}


def _apart(ends: list[Any]) -> list[Any]:
    """Ends whose other side is in another process; within this one the stop flag tells all."""
    return [end for end in ends if not end.address.startswith("inproc:")]
