"""Messages as samna publishes them: decoded, what is not theirs passed over, a publisher that comes back is heard."""

import random

import numpy as np
import pytest
import zmq

from dvs_run.nodes.live import LiveError
from dvs_run.nodes.samna import DVS_EVENT, Samna, SamnaConfig
from dvs_run.pipeline.events import SensorSize

from .live_senders import Driven, events_at

SENSOR = SensorSize(128, 128)


def message_of(events):
    raw = np.zeros(len(events), DVS_EVENT)
    for name in ("p", "y", "x"):
        raw[name] = events[name]
    raw["t"] = events["t"] & 0xFFFF_FFFF
    return [b"V", raw.tobytes()]


class Publisher:
    """samna's end: a PUB socket that knows when somebody has subscribed."""

    def __init__(self, address="tcp://127.0.0.1:*"):
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.linger = 0
        self._socket.bind(address)
        self.address = self._socket.last_endpoint.decode()

    def wait_for_subscriber(self, driven):
        driven.until(lambda: self._socket.poll(0))
        assert self._socket.recv() == b"\x01"

    def send(self, driven, *messages):
        for frames in messages:
            self._socket.send_multipart(frames)
        self._socket.send_multipart([b"V", b""])  # the last one: when it has come, all have
        source = driven.source
        before = source.arrived
        wanted = before + 1 + sum(len(frames) == 2 and frames[0] == b"V" for frames in messages)
        driven.until(lambda: source.arrived >= wanted)

    def close(self):
        self._context.destroy(0)


@pytest.fixture
def publisher():
    made = Publisher()
    yield made
    made.close()


def test_messages_become_events(publisher):
    events = events_at(np.arange(2**32 - 5_000, 2**32 + 5_000, 10), SENSOR)
    with Driven(Samna(SamnaConfig(publisher.address))) as driven:
        publisher.wait_for_subscriber(driven)
        publisher.send(driven, *(message_of(part) for part in np.array_split(events, 7)))
        assert np.array_equal(driven.events, events)
        assert driven.infos[0].sensor == SENSOR
        assert driven.rows() == {"received": "8 messages, 1,000 events; 1,000 handed on"}


def test_what_is_no_message_of_this_kind_is_passed_over_and_ends_nothing(publisher):
    rng = random.Random(2)
    good = events_at([5, 6, 7], SENSOR)
    strange = [[b"V"], [b"V", b"", b"x"], [b"W", b"x" * 8], [b""], [rng.randbytes(9), rng.randbytes(80)]]
    with Driven(Samna(SamnaConfig(publisher.address))) as driven:
        publisher.wait_for_subscriber(driven)
        publisher.send(driven, message_of(good), *strange, *([b"V", rng.randbytes(n)] for n in (4, 77, 800, 20_003)))
        later = events_at([8, 9], SENSOR)
        publisher.send(driven, message_of(later))
        source = driven.source
        assert source.events == source.clock.delivered + source.clock.counts.total() + source.clock.held
        assert driven.events.tolist()[:3] == good.tolist()
        assert driven.events.tolist()[-2:] == later.tolist()
        assert driven.rows()["messages passed over"] == "5 not of this kind; 3 that ended within an event"


def test_a_publisher_that_comes_back_is_heard_and_the_gap_is_marked(tmp_path):
    address = f"ipc://{tmp_path}/samna"
    first = Publisher(address)
    with Driven(Samna(SamnaConfig(address))) as driven:
        first.wait_for_subscriber(driven)
        first.send(driven, message_of(events_at([10**6, 10**6 + 1], SENSOR)))
        first.close()
        driven.until(lambda: driven.source._monitor.poll(0))
        second = Publisher(address)
        second.wait_for_subscriber(driven)
        second.send(driven, message_of(events_at([3, 4], SENSOR)))
        second.close()
        times = driven.events["t"].tolist()
        assert times == sorted(times)
        assert times[3] - times[2] == 1
        assert len(driven.infos) == 2
        assert driven.rows()["connection lost"] == "1 times"


def test_an_address_that_is_none_is_told():
    source = Samna(SamnaConfig(f"ipc:///tmp/{'x' * 200}"))
    with pytest.raises(LiveError, match="cannot be reached at ipc:///tmp/x.*; correct the address"):
        source.open()
