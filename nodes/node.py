"""What a node is: settings in, payload objects in, payload objects out. It sees no socket, no thread and no other node.

Life of a node, wherever it works (worker.py and inline.py are the only callers):
    __init__(config)   stores checked settings, nothing else: it may run on another host than the work
    check()            what can be known to be wrong before anything starts (a missing file), as sentences
    open()             where it will work: load, compile, warm up. Every node is open before any source starts
    begin(stream)      a recording or an image begins; state of the one before is gone
    process(payload)   one payload in, any number out
    finish()           the recording is over (the next one begins, or the stream ends): hand out what is left
    close()            once, also after an error
    report()           rows for the closing summary
A source has produce() in place of the middle three: it yields a StreamInfo before anything of a recording.
`begin` is apart from `open` because the start barrier comes before the first StreamInfo can be known.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ..pipeline.stream import StreamInfo
from .messages import Message, Payload

Row = tuple[str, str]  # a line of the closing summary: what, and its figures


@dataclass(frozen=True)
class NoConfig:
    """A node without settings."""


class Node:
    """Base of all nodes. A subclass declares its settings and what it takes and gives; every method is optional."""

    Config: ClassVar[type] = NoConfig  # a frozen dataclass; constraints and one sentence a field by pydantic.Field
    accepts: ClassVar[type | tuple[type, ...]] = ()  # payload classes it takes; StreamInfo comes by itself
    emits: ClassVar[type | tuple[type, ...]] = ()  # payload classes it gives; empty: a sink
    passes: ClassVar[bool] = False  # it hands on what it is given: of `emits`, only what its producer gives comes out
    many_inputs: ClassVar[bool] = False  # may it listen to several nodes? Then `port` says from which a payload came
    paths: ClassVar[tuple[str, ...]] = ()  # settings that are paths: relative ones begin at the config file

    message: Message | None = None  # the one being processed: its stamps and counters, for nodes that show them
    port: str = ""  # name of the input it came through

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    @classmethod
    def emits_with(cls, config: Any) -> tuple[type, ...]:
        """Payload classes that it gives with these settings: of `emits`, where not all of them always come."""
        return classes(cls.emits)

    def check(self) -> list[str]:
        return []

    def open(self) -> None:
        pass

    def begin(self, stream: StreamInfo) -> StreamInfo:
        """Returns the StreamInfo of what this node will emit."""
        return stream

    def process(self, payload: Any) -> Iterator[Payload]:
        return iter(())

    def finish(self) -> Iterator[Payload]:
        return iter(())

    def close(self) -> None:
        pass

    def report(self) -> list[Row]:
        return []


class Source(Node):
    """A node without input. It waits with `wait_until` and `wait_for`, which also end the wait when the run stops."""

    live: ClassVar[bool] = False  # a camera: cannot wait, so the queues behind it drop the oldest unless told otherwise
    origin_ns: int | None = None  # set before a yield: host time at which its data was complete; None: the yield itself
    dropped: int = 0  # messages, datagrams or camera packets lost before this node, so far: goes into every header

    def produce(self) -> Iterator[Payload]:
        raise NotImplementedError(f"{type(self).__name__} must say what it produces")

    @staticmethod
    def wait_until(deadline_ns: int) -> bool:
        """Sleep until this time of the host's monotonic clock; False: the run stops, give up. Replaced by the host."""
        time.sleep(max(0, deadline_ns - time.monotonic_ns()) / 1e9)
        return True

    @staticmethod
    def wait_for(ready: Callable[[float], bool]) -> bool:
        """Call `ready(seconds)`, which waits so long at most, until it is True; False: the run stops, give up."""
        while not ready(0.1):
            pass
        return True


def classes(declared: type | tuple[type, ...]) -> tuple[type, ...]:
    """`accepts` and `emits` may name one class or several."""
    return declared if isinstance(declared, tuple) else (declared,)
