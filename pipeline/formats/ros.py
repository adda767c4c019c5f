"""ROS bags: ROS 1 (.bag), ROS 2 (.mcap, .db3), with events of dvs_msgs, prophesee_event_msgs or event_camera_msgs.

One topic is read, the first with events unless `stream_id` names another. Times are the events' own, not those at which
messages were recorded: µs of the Unix epoch, or of the camera's clock where a message holds the camera's words (evt3).
"""

from collections.abc import Iterator
from pathlib import Path

from ..errors import RecordingError
from ..events import SensorSize
from .extent import sensor_of
from .ros_bag1 import Rosbag
from .ros_db3 import Db3
from .ros_mcap import Mcap
from .ros_messages import ARRAYS, PACKETS, Content, Decoder, parse
from .ros_records import Bag, Topic
from .source import Batch, Place, Reading, ReadOptions, Source

_LOOKED_AT = 64 << 20  # bytes walked to find the topics of a bag that does not list them at its end
_LEAST_HELD, _MOST_HELD = 1 << 16, 1 << 20  # bytes of events decoded at once
_MANY = 100  # a camera's messages without a width and height before it is given up


class RosBag(Source):
    """One topic of one bag."""

    def __init__(self, path: Path, options: ReadOptions, container: str, bag: Bag) -> None:
        self._path, self.container, self._bag = path, container, bag
        self._topics: dict[int, Topic] = {}
        self._find_topics()
        of_events = list(dict.fromkeys(topic.name for topic in self._topics.values() if topic.kind in ARRAYS + PACKETS))
        if not of_events:
            others = dict.fromkeys(f"{topic.name} ({topic.kind})" for topic in self._topics.values())
            raise RecordingError(f"{path}: holds no topic of events, only {', '.join(others) or 'nothing'}", path)
        wanted = of_events[0] if options.stream_id is None else str(options.stream_id)
        if wanted not in of_events:
            known = ", ".join(of_events)
            raise RecordingError(f"{path}: {wanted!r} is no topic with events; those are {known}", path)
        self._topic = wanted
        self._numbers = {number for number, topic in self._topics.items() if topic.name == wanted}
        kinds = {topic.kind for topic in self._topics.values() if topic.name == wanted}
        self.details = {"topics": ", ".join(of_events), "topic read": wanted, "messages": ", ".join(sorted(kinds))}
        self.sensor = options.sensor or self._stated() or sensor_of(self, path)

    def batches(self, reading: Reading) -> Iterator[Batch]:
        return (batch for batch, _ in self.decoded(reading))

    def holds(self, place: Place) -> bool:
        return len(place.state) in (0, 6) and place.byte_offset >= self._bag.start

    def decoded(self, reading: Reading, place: Place | None = None) -> Iterator[tuple[Batch, Place | None]]:
        """A place is where a record or chunk begins, and what the decoder of EVT 3.0 knows there."""
        decoder = Decoder(place.state if place else ())
        held: list[Content] = []  # messages whose events are not yet decoded: many at a time are faster
        size = messages = begin = 0
        for found in self._bag.walk(place.byte_offset if place else self._bag.start):
            content, fault, last = None, found.fault, found.is_last
            if found.topic is not None:
                self._learn(found.number, found.topic)
            elif found.message is not None and self._is_ours(found.number):
                topic = self._topics[found.number]
                try:
                    content = parse(topic.kind, found.message, topic.is_cdr)
                except ValueError as error:
                    fault, last = f"a message of {topic.name} {error}", False
                messages += 1
            elif found.message is not None:
                reading.defects["other_packets"] += 1
            if content is not None:
                begin = begin if held else found.byte_offset
                held.append(content)
                size += len(content.events)
            if held and (fault or size > _MOST_HELD or (found.following is not None and size > _LEAST_HELD)):
                following = found.following
                yield from self._batch(decoder, held, begin, following, reading)
                held, size = [], 0
            if fault:
                reading.report(fault, found.byte_offset, last)
        yield from self._batch(decoder, held, begin, None, reading)
        if not messages and place is None:
            reading.report(f"the bag has no message on {self._topic}", self._bag.start)

    def _batch(
        self, decoder: Decoder, held: list[Content], begin: int, following: int | None, reading: Reading
    ) -> Iterator[tuple[Batch, Place | None]]:
        """The events of some messages, if there are any."""
        events = decoder.events(held)
        for name, count in decoder.take_counts().items():
            reading.defects[name] += count
        if len(events):
            yield Batch(events, begin), None if following is None else Place(following, decoder.state)

    def _is_ours(self, number: int) -> bool:
        topic = self._topics.get(number)
        if topic is None or topic.kind not in ARRAYS + PACKETS:
            return False
        return topic.name == self._topic or number in self._numbers

    def _learn(self, number: int, topic: Topic) -> None:
        """What a bag says of a number, which it says twice: what is damaged in one place is good in the other."""
        known = self._topics.get(number)
        if known is None or known.kind not in ARRAYS + PACKETS:
            self._topics[number] = topic

    def _find_topics(self) -> None:
        """As the end of the bag lists them; else as they come, in its first part."""
        summary = self._bag.summary()
        is_there = 0 < summary < self._path.stat().st_size
        for start in (summary, self._bag.start) if is_there else (self._bag.start,):
            for found in self._bag.walk(start):
                if found.topic is not None:
                    self._learn(found.number, found.topic)
                elif found.message is not None and self.container == "db3":
                    return
                if found.byte_offset - start > _LOOKED_AT:
                    return
            if any(topic.kind in ARRAYS + PACKETS for topic in self._topics.values()):
                return

    def _stated(self) -> SensorSize | None:
        """The sensor that the first messages state."""
        looked_at = 0
        for found in self._bag.walk(self._bag.start):
            if found.topic is not None:
                self._learn(found.number, found.topic)
            if found.message is None or not self._is_ours(found.number):
                continue
            topic = self._topics[found.number]
            try:
                content = parse(topic.kind, found.message, topic.is_cdr)
            except ValueError:
                continue
            if 0 < content.width <= 65_535 and 0 < content.height <= 65_535:
                if content.encoding:
                    self.details["encoding"] = content.encoding
                return SensorSize(content.width, content.height)
            looked_at += 1
            if looked_at > _MANY:
                break
        self.details["sensor"] = "not stated; the smallest known one that holds all events"
        return None


def open_rosbag(path: Path, options: ReadOptions) -> Source:
    return RosBag(path, options, "rosbag", Rosbag(path))


def open_mcap(path: Path, options: ReadOptions) -> Source:
    return RosBag(path, options, "mcap", Mcap(path))


def open_db3(path: Path, options: ReadOptions) -> Source:
    return RosBag(path, options, "db3", Db3(path))
