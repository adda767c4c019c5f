"""A node at work, wherever it works: numbering, stamps, the beginning and end of recordings, and the figures.

worker.py (a thread with sockets) and inline.py (direct calls) put messages in by `take` and get messages out by `emit`;
so both run the same code around the same node, and decide the same.
"""

import functools
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..pipeline.errors import DvsError
from ..pipeline.events import EventPacket
from ..pipeline.extras import CameraFrame, ImuPacket, TriggerPacket
from ..pipeline.stream import StreamInfo
from .graph import NodeSpec
from .measure import Histogram
from .messages import KIND_OF, End, Failed, Message, Payload
from .node import Source, classes
from .terminal import UNWRITABLE

OF_A_CAMERA = (EventPacket, CameraFrame, ImuPacket, TriggerPacket)  # who takes one of them lets the others pass by
TICK_S = 0.1  # longest time that a source waits before it looks whether the run stops


class Stopped(Exception):
    """The run ends early; whoever sees this lets go at once."""


class NodeError(DvsError):
    """A node did what its class does not declare."""


class Stage:
    """One node with everything that is the same for all nodes."""

    def __init__(self, spec: NodeSpec, emit: Callable[[Message], None], wait_until: Callable[[int], bool]) -> None:
        self.spec = spec
        self.node = spec.make()
        self.ended = self._opened = False
        self.dropped_upstream = 0  # data messages lost before this node's outputs, all inputs and what came before them
        self._emit_message = emit
        self._wait_until = wait_until
        self._running: dict[str, StreamInfo] = {}  # by port: the recording that has begun and is not finished
        self._open_ports = {edge.port for edge in spec.inputs}
        self._sequence = 0
        self._accepts, self._emits = classes(spec.cls.accepts), classes(spec.cls.emits)
        self._waited_ns, self._told_to_stop = 0, False
        self.out: dict[str, int] = {}  # kind: how many
        self.busy, self.age_in, self.age_out = Histogram(), Histogram(), Histogram()
        self.paced = True  # False: a source without a clock, whose queues are always full
        self.foreign_clock = False  # ages cannot be told: the data was stamped by another host's clock
        self.timestep_us: int | None = None

    def open(self) -> None:
        self.node.open()
        self._opened = True

    def produce(self) -> Failed | None:
        """Run a source to its end. A recording that cannot be read further ends the stream; what was good counts."""
        source, fault = self.node, None
        if not isinstance(source, Source):
            raise NodeError(f"{type(source).__name__} has no input and is no Source")
        source.wait_until = self._timed_wait  # type: ignore[method-assign]
        source.wait_for = self._wait_for  # type: ignore[method-assign]
        payloads, began = source.produce(), False
        while True:
            started, self._waited_ns = time.monotonic_ns(), 0
            try:
                payload = next(payloads, None)
            except DvsError as error:
                payload, fault = None, failure(self.spec.name, error)
            if self._told_to_stop:
                raise Stopped
            if payload is None:
                break
            self.busy.add(time.monotonic_ns() - started - self._waited_ns)
            began = began or isinstance(payload, StreamInfo)
            if not began:
                raise NodeError(f"it yielded a {type(payload).__name__} before any StreamInfo")
            self._send(payload, None)
        self._send(End(), None)
        self.ended = True
        return fault

    def take(self, message: Message, port: str) -> None:
        """One message in; everything that follows from it goes out by `emit`."""
        payload, node = message.payload, self.node
        node.message, node.port = message, port
        if isinstance(payload, StreamInfo):
            self._finish(port, message)
            self._running[port] = payload
            out = node.begin(payload)
            self.timestep_us = out.timestep_us or self.timestep_us
            self._send(out, message)
        elif isinstance(payload, End):
            self._finish(port, message)
            self._open_ports.discard(port)
            if not self._open_ports:
                self._send(payload, message)
                self.ended = True
        elif isinstance(payload, self._accepts):
            if message.origin_clock == clock_id():
                self.age_in.add(time.monotonic_ns() - message.origin_ns)
            else:
                self.foreign_clock = True
            self._pass_on(partial(node.process, payload), message)
        elif not (isinstance(payload, OF_A_CAMERA) and any(issubclass(cls, OF_A_CAMERA) for cls in self._accepts)):
            wanted = " or ".join(cls.__name__ for cls in self._accepts)
            raise NodeError(f"{message.source} sent a {type(payload).__name__}, but {self.spec.name} takes {wanted}")

    def close(self) -> None:
        self.node.close()

    def report(self) -> dict[str, Any]:
        """Figures for the summary, as plain values."""
        return {
            "name": self.spec.name,
            "kind": self.spec.kind,
            "out": self.out,
            "busy": self.busy.to_plain(),
            "age_in": self.age_in.to_plain(),
            "age_out": self.age_out.to_plain(),
            "paced": self.paced,
            "foreign_clock": self.foreign_clock,
            "timestep_us": self.timestep_us,
            "rows": [list(row) for row in self.node.report()] if self._opened else [],
        }

    def _finish(self, port: str, message: Message) -> None:
        if self._running.pop(port, None) is not None:
            self._pass_on(self.node.finish, message)

    def _pass_on(self, work: Callable[[], Iterator[Payload]], message: Message) -> None:
        """Send what a node yields; only the node's own time counts as busy."""
        busy, started = 0, time.monotonic_ns()
        for payload in work():
            busy += time.monotonic_ns() - started
            self._send(payload, message)
            started = time.monotonic_ns()
        self.busy.add(busy + time.monotonic_ns() - started)

    def _send(self, payload: Payload, message: Message | None) -> None:
        kind = KIND_OF.get(type(payload), "")
        if kind not in ("info", "end") and not isinstance(payload, self._emits):
            declared = " or ".join(cls.__name__ for cls in self._emits) or "nothing"
            raise NodeError(f"it yielded a {type(payload).__name__}, but its class declares that it emits {declared}")
        now = time.monotonic_ns()
        origin_ns, origin_clock = now, clock_id()
        if message is not None:
            origin_ns, origin_clock = message.origin_ns, message.origin_clock
            dropped = max(self.dropped_upstream, message.dropped)
        else:
            dropped = max(self.dropped_upstream, getattr(self.node, "dropped", 0))
            due_ns = getattr(self.node, "origin_ns", None)
            origin_ns = due_ns or now
            self.paced &= kind in ("info", "end") or due_ns is not None
            if kind == "info":
                self.timestep_us = payload.timestep_us or self.timestep_us  # type: ignore[union-attr]
        self.out[kind] = self.out.get(kind, 0) + 1
        if kind not in ("info", "end") and origin_clock == clock_id():
            self.age_out.add(now - origin_ns)
        self._emit_message(
            Message(payload, self.spec.name, self._sequence, dropped, origin_ns, origin_clock, now, clock_id())
        )
        self._sequence += 1

    def _timed_wait(self, deadline_ns: int) -> bool:
        started = time.monotonic_ns()
        goes_on = self._wait_until(deadline_ns)
        self._waited_ns += time.monotonic_ns() - started
        self._told_to_stop |= not goes_on
        return goes_on

    def _wait_for(self, ready: Callable[[float], bool]) -> bool:
        """Looks at the stop flag at least so often, and once however soon `ready` is."""
        while True:
            started = time.monotonic_ns()
            is_ready = ready(TICK_S)
            self._waited_ns += time.monotonic_ns() - started
            if not self._timed_wait(started):
                return False
            if is_ready:
                return True


def failure(name: str, error: BaseException) -> Failed:
    """What to tell about a node that raised; a DvsError's sentence needs no traceback."""
    if isinstance(error, DvsError):
        return Failed(name, str(error))
    if isinstance(error, OSError) and error.errno in UNWRITABLE:
        return Failed(name, f"cannot write {error.filename or 'its output'}: {error.strerror}; is the disk full?")
    return Failed(name, f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


@functools.cache
def clock_id() -> str:
    """Whose monotonic clock this is: all processes since one boot of one host share it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown boot"
    return f"{platform.node()}/{boot}"
