"""The one door to ZeroMQ: one lossless, two-way connection per edge of the graph. docs/wire.md is the spec.

The consumer binds a ROUTER, the producer connects a DEALER: messages flow down, and the consumer answers up (ready,
received, stop), so that the start barrier and the end need no third party. Tried or considered: PUSH/PULL cannot
answer; PUB/SUB loses at its high-water mark and before the subscription, silently; CONFLATE keeps the last frame of a
message, not the last message. Therefore `drop_oldest` and `latest` are ours, behind the socket, every drop counted.
A socket belongs to the thread that made it; every wait ends within TICK_MS to look at the stop flag.
This file is longer than others because nothing else may import zmq, and its two ends are understood together.
"""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import zmq

from ..pipeline.errors import DvsError
from .graph import Edge
from .inbox import Backlog, Inbox, NeighbourStopped
from .messages import MAX_MESSAGE_BYTES, Failed, Message, MessageError, Status, from_frames, to_frames
from .stage import Stopped, clock_id

TICK_MS = 100  # longest time between two looks at the stop flag
LINGER_MS = 2000  # how long a closing socket tries to deliver what was sent
DROPPING_HWM = 10_000  # where the receiver drops, the socket takes what comes while a node is at work
FAILURES = ("failed", "neighbour failed", "fault")  # news that come with a Failed


class WireError(DvsError):
    """A connection cannot be made, or was lost."""


@dataclass(frozen=True)
class Security:
    """What a connection beyond this host needs."""

    keys: Path | None = None
    insecure: bool = False


@dataclass
class Wire:
    """The sockets of one process. `stop` ends every wait."""

    stop: threading.Event
    security: Security = field(default_factory=Security)
    stop_reason: str = "stopped"  # told to neighbours on other hosts

    def __post_init__(self) -> None:
        self.context = zmq.Context()
        self._authenticator: Any = None
        if self.security.keys is not None:
            self._keys = load_keys(self.security.keys)
            self._start_authenticator(self._keys[0])

    def receiver(self, edge: Edge, address: str, fingerprint: str) -> "Receiver":
        """The consumer's end of an edge, bound. Raises WireError (port in use, not of this host)."""
        router = self._socket(zmq.ROUTER, address)
        dropping = edge.when_full != "wait"
        router.rcvhwm = DROPPING_HWM if dropping else edge.queue
        router.router_mandatory = True
        router.rcvtimeo = TICK_MS
        try:
            router.bind(_bindable(address))
        except (zmq.ZMQError, OSError) as error:
            router.close(0)
            reason = "it is in use by another program" if getattr(error, "errno", 0) == zmq.EADDRINUSE else str(error)
            raise WireError(f"{edge.consumer} cannot listen at {address}: {reason}; choose another `listen:`") from None
        return Receiver(router, edge, address, self.stop, fingerprint)

    def sender(self, edge: Edge, address: str, fingerprint: str) -> "Sender":
        """The producer's end of an edge. The consumer need not be there yet."""
        dealer = self._socket(zmq.DEALER, address)
        dealer.sndhwm = DROPPING_HWM if edge.when_full != "wait" else 1
        dealer.sndtimeo = TICK_MS
        monitor = None
        if address.startswith("tcp:"):
            monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        dealer.connect(address)
        return Sender(dealer, edge, address, self.stop, fingerprint, monitor)

    def news_in(self, address: str) -> "NewsIn":
        """Where the launcher hears what the workers in other processes tell."""
        pull = self._socket(zmq.PULL, address)
        pull.rcvtimeo = TICK_MS
        pull.bind(address)
        return NewsIn(pull)

    def news_out(self, address: str) -> "NewsOut":
        """Where a worker in another process than the launcher tells it how it goes."""
        push = self._socket(zmq.PUSH, address)
        push.sndtimeo = LINGER_MS
        push.connect(address)
        return NewsOut(push)

    def close(self, linger_ms: int = LINGER_MS) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        self.context.destroy(linger_ms)

    def _socket(self, kind: int, address: str) -> zmq.Socket:
        made = self.context.socket(kind)
        made.linger = LINGER_MS
        made.maxmsgsize = MAX_MESSAGE_BYTES
        if address.startswith("tcp:"):
            made.heartbeat_ivl, made.heartbeat_timeout, made.heartbeat_ttl = 1000, 3000, 3000
            self._secure(made, kind == zmq.ROUTER, address)
        return made

    def _secure(self, made: zmq.Socket, binds: bool, address: str) -> None:
        if self.security.keys is None:
            if binds and not self.security.insecure and not is_loopback(address):
                made.close(0)
                raise WireError(
                    f"{address} can be reached from other hosts, and the config names no keys; make some with "
                    "`dvs-run --make-keys FOLDER`, name the folder as `keys:`, or say `insecure: true`"
                )
            return
        made.curve_publickey, made.curve_secretkey = self._keys
        if binds:
            made.curve_server = True
        else:
            made.curve_serverkey = self._keys[0]

    def _start_authenticator(self, public: bytes) -> None:
        """Every host of a run holds the same key pair; nobody else is let in."""
        import zmq.auth.thread

        self._authenticator = zmq.auth.thread.ThreadAuthenticator(self.context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback("*", _OnlyThisKey(public))


class Receiver:
    """The consumer's end: checked messages out, in order; what is refused is counted and survived."""

    def __init__(self, router: zmq.Socket, edge: Edge, address: str, stop: threading.Event, fingerprint: str) -> None:
        self.edge, self.socket, self.address = edge, router, address
        self.inbox = Inbox(edge, fingerprint, self._answer)
        self._stop = stop
        self._backlog = Backlog(1 if edge.when_full == "latest" else edge.queue) if edge.when_full != "wait" else None
        self._asked_ns = time.monotonic_ns()  # when the producer was last asked for a sign of life

    def receive(self, wait: bool = True) -> Message | None:
        """The next message, or None within TICK_MS. Raises Stopped, and an error where something was lost."""
        frames = self._next(wait)
        if frames is None:
            self._ask_for_life()
            return None
        return self.inbox.open(frames, self._backlog.dropped if self._backlog is not None else 0)

    def answer(self, state: str, report: dict[str, Any] | None = None) -> None:
        """Tell the producer something; a producer that is gone is noticed elsewhere."""
        if self.inbox.peer is not None:
            self._answer(self.inbox.peer, state, report or {})

    def close(self) -> None:
        self.socket.close()

    def _next(self, wait: bool) -> Sequence[bytes] | None:
        if self._backlog is None:
            return self._pull(0 if wait else zmq.DONTWAIT)
        for _ in range(DROPPING_HWM):  # bounded, should the producer be faster than this loop
            if (frames := self._pull(zmq.DONTWAIT)) is None:
                break
            self._backlog.put(frames)
        waiting = self._backlog.take()
        return self._pull(0) if waiting is None and wait else waiting

    def _pull(self, flags: int) -> Sequence[bytes] | None:
        """The next frames of the producer; None if there are none (within TICK_MS if it may wait)."""
        while True:
            if self._stop.is_set():
                raise Stopped
            try:
                identity, *frames = self.socket.recv_multipart(flags)
            except zmq.Again:
                return None
            if (sorted_out := self.inbox.sort(identity, frames)) is not None:
                return sorted_out

    def _answer(self, identity: bytes, state: str, report: dict[str, Any]) -> None:
        with contextlib.suppress(zmq.ZMQError):
            self.socket.send_multipart([identity, *_status(self.edge.consumer, state, report)], zmq.DONTWAIT)

    def _ask_for_life(self) -> None:
        """Once a second of silence: an answer that cannot be delivered means that the producer's host is gone."""
        now, peer = time.monotonic_ns(), self.inbox.peer
        if peer is None or now - self._asked_ns < 1_000_000_000:
            return
        self._asked_ns = now
        try:
            self.socket.send_multipart([peer, *_status(self.edge.consumer, "ready", {})], zmq.DONTWAIT)
        except zmq.Again:
            pass
        except zmq.ZMQError:
            if self._stop.is_set():
                raise Stopped from None
            if self.inbox.started:
                raise WireError(f"the connection from {self.edge.producer} was lost before its stream ended") from None


class Sender:
    """The producer's end of one edge."""

    def __init__(
        self,
        dealer: zmq.Socket,
        edge: Edge,
        address: str,
        stop: threading.Event,
        fingerprint: str,
        monitor: zmq.Socket | None,
    ) -> None:
        self.edge, self.socket, self.address = edge, dealer, address
        self.ready = self.received_all = False
        self._stop, self._fingerprint, self._monitor = stop, fingerprint, monitor
        self._sent = False
        self._tended_ns = 0

    def hello(self) -> None:
        """Say that we are there; harmless to repeat."""
        with contextlib.suppress(zmq.Again):
            report = {"graph": self._fingerprint}
            self.socket.send_multipart(_status(self.edge.producer, "hello", report), zmq.DONTWAIT)

    def send(self, frames: Sequence[bytes]) -> None:
        """Hand over one message; waits while the consumer's queue is full. Raises Stopped or WireError."""
        if time.monotonic_ns() - self._tended_ns > TICK_MS * 1_000_000:
            self.tend()
        self._sent = True
        while True:
            try:
                self.socket.send_multipart(frames, copy=len(frames[-1]) < zmq.COPY_THRESHOLD)
                return
            except zmq.Again:
                if self._stop.is_set():
                    raise Stopped from None
                self.tend()

    def tend(self) -> None:
        """Read what the consumer says. Raises NeighbourStopped if it ended the run, WireError if it is gone."""
        self._tended_ns = time.monotonic_ns()
        if self._stop.is_set():
            raise Stopped
        while True:
            try:
                frames = self.socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                break
            try:
                message = from_frames(frames)
            except MessageError as error:
                raise WireError(f"{self.address} does not speak this protocol: {error}") from None
            status = message.payload
            if isinstance(status, Status) and message.source == self.edge.consumer:
                self.ready |= status.state == "ready"
                self.received_all |= status.state == "received"
                if status.state == "stop":
                    node, reason = status.report.get("node", message.source), status.report.get("reason", "stopped")
                    raise NeighbourStopped(Failed(str(node), str(reason)))
        if self._monitor is not None and self._monitor.poll(0):
            self._monitor.recv_multipart()
            if self._sent and not self.received_all:
                raise WireError(f"the connection to {self.edge.consumer} at {self.address} was lost")

    def leave(self, frames: Sequence[bytes]) -> None:
        """Best effort, on the way out: why nothing more will come."""
        with contextlib.suppress(zmq.ZMQError):
            self.socket.send_multipart(frames, zmq.DONTWAIT)

    def close(self) -> None:
        if self._monitor is not None:
            self.socket.disable_monitor()
            self._monitor.close(0)
        self.socket.close()


@dataclass
class NewsOut:
    """News from a worker to the launcher."""

    socket: zmq.Socket

    def tell(self, what: str, node: str, more: Any) -> None:
        plain = vars(more) if isinstance(more, Failed) else more
        with contextlib.suppress(zmq.Again):  # the launcher is gone; the worker will notice by other means
            self.socket.send_multipart(_status(node, "told", {"what": what, "more": plain}))


@dataclass
class NewsIn:
    """The launcher's end of it."""

    socket: zmq.Socket

    def hear(self) -> tuple[str, str, Any] | None:
        """What a worker tells, or None within TICK_MS."""
        try:
            message = from_frames(self.socket.recv_multipart())
        except (zmq.Again, MessageError):
            return None
        if not isinstance(message.payload, Status):
            return None
        what, more = str(message.payload.report.get("what", "")), message.payload.report.get("more")
        return what, message.source, Failed(**more) if what in FAILURES and isinstance(more, dict) else more


def wait_for_answers(senders: Sequence[Sender], timeout_ms: int = TICK_MS) -> None:
    """Until any consumer says something, at most timeout_ms."""
    poller = zmq.Poller()
    for sender in senders:
        poller.register(sender.socket, zmq.POLLIN)
    poller.poll(timeout_ms)


def wait_for_messages(receivers: Sequence[Receiver], timeout_ms: int = TICK_MS) -> None:
    """Until any producer sends something, at most timeout_ms."""
    poller = zmq.Poller()
    for receiver in receivers:
        poller.register(receiver.socket, zmq.POLLIN)
    poller.poll(timeout_ms)


def make_keys(folder: Path) -> Path:
    """A new CURVE key pair for one run of several hosts; every host gets a copy of the folder. Raises WireError."""
    import zmq.auth

    if (folder / "dvs-run.key_secret").exists():
        raise WireError(f"{folder} holds keys already; delete them first if no host uses them")
    secret = folder / "dvs-run.key_secret"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        zmq.auth.create_certificates(folder, "dvs-run")
        secret.chmod(0o600)
    except OSError as error:
        raise WireError(f"no keys could be written to {folder}: {error.strerror}; name a folder of yours") from None
    return secret


def load_keys(folder: Path) -> tuple[bytes, bytes]:
    """Public and secret key. Raises WireError."""
    import zmq.auth

    path = folder / "dvs-run.key_secret"
    try:
        public, secret = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise WireError(f"no keys in {folder} ({error}); make them with `dvs-run --make-keys {folder}`") from None
    if public is None or secret is None:
        raise WireError(f"{path} holds no secret key; make new ones with `dvs-run --make-keys FOLDER`")
    return public, secret


def is_loopback(address: str) -> bool:
    """Whether tcp://HOST:PORT is reachable from this host only."""
    try:
        return ipaddress.ip_address(socket.gethostbyname(urlsplit(address).hostname or "")).is_loopback
    except (OSError, ValueError):
        return False


def _bindable(address: str) -> str:
    """ZeroMQ binds to numbers, people write names."""
    if not address.startswith("tcp:"):
        return address
    parts = urlsplit(address)
    return f"tcp://{socket.gethostbyname(parts.hostname or '')}:{parts.port}"


def _status(source: str, state: Any, report: dict[str, Any]) -> list[bytes]:
    now = time.monotonic_ns()
    return to_frames(Message(Status(state, report), source, 0, 0, now, clock_id(), now, clock_id()))


@dataclass(frozen=True)
class _OnlyThisKey:
    public: bytes

    def callback(self, domain: str, key: bytes) -> bool:
        return key == self.public  # both in Z85, as in the files
