"""What arrives at one input, before a node sees it: who may send, what is refused, what is dropped, what is missing.

Knows frames and identities, but no sockets: those are wire.py's. Every frame may be hostile; none may end the node.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..pipeline.errors import DvsError
from ..pipeline.stream import StreamInfo
from .graph import Edge
from .messages import DATA_KINDS, Failed, Message, MessageError, Status, from_frames

Answer = Callable[[bytes, str, dict[str, Any]], None]  # (identity, state, report)
_DATA_TOPICS = frozenset(kind.encode() for kind in DATA_KINDS)


class LostError(DvsError):
    """Messages are missing at an input that may not lose any."""


class NeighbourStopped(Exception):
    """Another node ended the run and said so; its own host reports it."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.error)
        self.failed = failed


@dataclass
class Counters:
    """What happened at one input: received + dropped + missing = data, info and end messages sent."""

    received: int = 0
    dropped: int = 0  # by the policy of the queue
    refused: int = 0  # not messages of this protocol, or from somebody else
    missing: int = 0  # sent, but neither received nor dropped
    first_fault: str = ""  # why the first one was refused


class Backlog:
    """What waits at an input that may drop: whole messages, the newest kept, beginnings and ends never dropped."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.dropped = 0
        self._frames: deque[Sequence[bytes]] = deque()
        self._data = 0

    def put(self, frames: Sequence[bytes]) -> None:
        if frames[0] in _DATA_TOPICS:
            if self._data == self.limit:
                oldest = next(i for i, waiting in enumerate(self._frames) if waiting[0] in _DATA_TOPICS)
                del self._frames[oldest]
                self.dropped += 1
            else:
                self._data += 1
        self._frames.append(frames)

    def take(self) -> Sequence[bytes] | None:
        if not self._frames:
            return None
        frames = self._frames.popleft()
        self._data -= frames[0] in _DATA_TOPICS
        return frames


class Inbox:
    """The rules of one input. `answer` sends a status back to an identity."""

    def __init__(self, edge: Edge, fingerprint: str, answer: Answer) -> None:
        self.edge = edge
        self.counters = Counters()
        self.peer: bytes | None = None  # identity of the producer, once it has said hello
        self.started = False  # a message of the stream has come
        self._fingerprint, self._answer = fingerprint, answer
        self._stream: StreamInfo | None = None
        self._expected = 0  # next sequence number
        self._refused_of_peer = 0  # the producer's own messages that were refused: accounted for, not missing

    def sort(self, identity: bytes, frames: Sequence[bytes]) -> Sequence[bytes] | None:
        """The frames, if they are a message of the producer's stream; a status is dealt with, strangers are refused."""
        if len(frames) == 3 and frames[0] == b"status":
            self._on_status(identity, frames)
        elif identity == self.peer and frames:
            return frames
        else:
            self._refuse("it came from a connection that had not said hello")
        return None

    def open(self, frames: Sequence[bytes], dropped: int = 0) -> Message | None:
        """The checked message, or None if it was refused. `dropped`: by the backlog so far.

        Raises NeighbourStopped if it says that another node failed, LostError where nothing may be missing but is.
        """
        self.counters.dropped = dropped
        try:
            message = from_frames(frames, self._stream)
        except MessageError as error:
            self._refuse(str(error), by_peer=True)
            return None
        if message.source != self.edge.producer:
            self._refuse(f"it came from {message.source!r}, expected {self.edge.producer!r}", by_peer=True)
            return None
        if isinstance(message.payload, Failed):
            raise NeighbourStopped(message.payload)
        if message.sequence < self._expected:
            self._refuse(f"sequence number {message.sequence} came after {self._expected - 1}")
            return None
        self._count(message)
        if isinstance(message.payload, StreamInfo):
            self._stream = message.payload
        return message

    def _count(self, message: Message) -> None:
        counters, self.started = self.counters, True
        self._expected = message.sequence + 1
        counters.received += 1
        known = counters.received + counters.dropped + self._refused_of_peer
        counters.missing = max(0, self._expected - known)
        if counters.missing and self.edge.when_full == "wait":
            refused = f"; the first refused one: {counters.first_fault}" if counters.refused else ""
            raise LostError(
                f"{counters.missing} messages from {self.edge.producer} are missing before number "
                f"{message.sequence}{refused}; was the connection cut?"
            )

    def _on_status(self, identity: bytes, frames: Sequence[bytes]) -> None:
        try:
            message = from_frames(frames)
        except MessageError as error:
            self._refuse(str(error))
            return
        status = message.payload
        if not isinstance(status, Status) or message.source != self.edge.producer:
            self._refuse(f"a status of {message.source!r}, expected {self.edge.producer!r}")
        elif status.state == "hello" and status.report.get("graph") != self._fingerprint:
            self._refuse(f"{message.source} runs another graph")
            reason = "the two hosts run different graphs; give both the same config"
            self._answer(identity, "stop", {"node": self.edge.consumer, "reason": reason})
        elif status.state == "hello" and (identity == self.peer or not self.started):
            self.peer = identity
            self._answer(identity, "ready", {})
        else:
            self._refuse(f"a status {status.state!r} out of place")

    def _refuse(self, fault: str, by_peer: bool = False) -> None:
        self._refused_of_peer += by_peer
        self.counters.refused += 1
        self.counters.first_fault = self.counters.first_fault or fault
