"""AEDAT 4 over TCP: what DV sends is received, what it should not send is counted, a lost connection is made again."""

import random
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from dvs_run.nodes.dv_network import DvNetwork, DvNetworkConfig
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import aedat4_layout as layout
from dvs_run.pipeline.formats.aedat4_stream import Aedat4Stream
from dvs_run.pipeline.formats.aedat4_streams import Stream

from .live_senders import Driven, events_at, script
from .runs import free_port

SENSOR = SensorSize(346, 260)
HEADER = layout.header({0: Stream("EVTS", SENSOR)}, 0, "camera")[len(layout.MAGIC) :]


def packet(events, stream=0):
    content = layout.event_packet(events)
    return layout.PACKET_HEADER.pack(stream, len(content)) + content


class Server:
    """DV's end, as steps of a script."""

    def __init__(self, port=0):
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self._connection = None

    def accepts(self):
        try:
            connection = self._listening.accept()[0]
        except BlockingIOError:
            return False
        if self._connection is not None:
            self._connection.close()
        self._connection = connection
        return True

    def sends(self, *parts):
        def step():
            self._connection.sendall(b"".join(parts))
            return True

        return step

    def hangs_up(self):
        self._connection.close()
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listening.close()
        if self._connection is not None:
            self._connection.close()


@pytest.fixture
def server():
    with Server() as made:
        yield made


def connected(server):
    return Driven(DvNetwork(DvNetworkConfig(f"127.0.0.1:{server.port}")))


def parts_of(events, size=500):
    return [packet(events[start : start + size]) for start in range(0, len(events), size)]


def test_packets_become_events_and_the_header_says_the_sensor(server):
    events = events_at(np.arange(10**15, 10**15 + 40_000, 10), SENSOR)
    with connected(server) as driven:
        source = driven.source
        driven.until(script(server.accepts, server.sends(HEADER, *parts_of(events)), lambda: source.arrived == 8))
        assert np.array_equal(driven.events, events)
        assert [info.sensor for info in driven.infos] == [SENSOR]
        assert driven.rows() == {"received": "8 packets, 4,000 events; 4,000 handed on"}


@pytest.mark.parametrize("loss_at", ["between packets", "within a packet", "within the header"])
def test_a_connection_that_is_lost_is_made_again_and_the_gap_is_marked(server, loss_at):
    first, second = events_at(np.arange(0, 900, 9), SENSOR), events_at(np.arange(50, 950, 9), SENSOR, seed=1)
    whole = HEADER + packet(first) + packet(first)
    cut = {"between packets": 0, "within a packet": -9, "within the header": 60}[loss_at]
    with connected(server) as driven:
        source = driven.source
        arrived = 2 if loss_at == "between packets" else 1 if loss_at == "within a packet" else 0
        driven.until(
            script(
                server.accepts,
                server.sends(HEADER + packet(first) + packet(events_at([910], SENSOR)) if not cut else whole[:cut]),
                lambda: source.arrived == arrived,
                server.hangs_up,
                server.accepts,
                server.sends(HEADER, packet(second)),
                lambda: source.arrived == arrived + 1,
            )
        )
        found = driven.events
        assert (np.diff(found["t"]) >= 0).all()
        assert np.array_equal(np.diff(found["t"][-len(second) :]), np.diff(second["t"]))
        assert len(driven.infos) == (1 if loss_at == "within the header" else 2)
        assert driven.rows()["connections"] == "2"


def test_what_is_no_aedat_4_is_refused_counted_and_tried_again(server):
    good = events_at([1, 2, 3], SENSOR)
    frames_only = HEADER.replace(b"EVTS", b"FRME", 1) if b"EVTS" in HEADER else b""
    with connected(server) as driven:
        source = driven.source
        steps = []

        def refused(count):
            return source._refused == count

        for junk in (
            b"HTTP/1.0 400 Bad Request\r\n\r\n",
            b"\xff" * 64,
            HEADER + b"\0\0\0\0" + b"\xff" * 40,
            frames_only,
        ):
            steps += [server.accepts, server.sends(junk), partial(refused, len(steps) // 3 + 1)]
        driven.until(script(*steps, server.accepts, server.sends(HEADER, packet(good)), lambda: source.arrived == 1))
        assert np.array_equal(driven.events, good)
        assert driven.rows()["connections refused"].startswith("4; the first: dv 127.0.0.1")


def test_a_packet_that_cannot_be_decoded_costs_no_other(server):
    rng = random.Random(4)
    good = [events_at(np.arange(n * 100, n * 100 + 50), SENSOR, seed=n) for n in range(6)]
    damaged = [layout.PACKET_HEADER.pack(0, n) + rng.randbytes(n) for n in (0, 3, 90, 5_000)]
    other = layout.PACKET_HEADER.pack(7, 10) + bytes(10)
    mixed = [
        packet(good[0]),
        other,
        *(part for pair in zip(damaged, map(packet, good[1:5]), strict=True) for part in pair),
    ]
    with connected(server) as driven:
        source = driven.source
        driven.until(script(server.accepts, server.sends(HEADER, *mixed, packet(good[5])), lambda: source.arrived >= 6))
        assert np.array_equal(driven.events, np.concatenate(good))
        assert len(driven.infos) == 1
    rows = driven.rows()
    assert rows["packets refused"] == "4 could not be decoded"
    assert rows["other packets"].startswith("1 of")


def test_nobody_there_is_told():
    with Driven(DvNetwork(DvNetworkConfig(f"127.0.0.1:{free_port()}", end_after_s=0.2))) as driven:
        driven.until(lambda: False)
        assert driven.payloads == []
        assert driven.rows()["connections"] == "none: nobody listens there"


def test_any_pieces_of_the_stream_give_the_same_events_with_and_without_the_first_line_of_a_file():
    events = events_at(np.arange(0, 3_000, 3), SENSOR)
    rng = random.Random(9)
    for head in (HEADER, layout.MAGIC + HEADER):
        data, found, stream = head + b"".join(parts_of(events, 100)), [], Aedat4Stream("x")
        while data:
            size = rng.randrange(1, 900)
            found += stream.feed(data[:size])
            data = data[size:]
        stream.close()
        assert np.array_equal(np.concatenate(found), events)


WRITER = """
import sys
import dv_processing as dv
port, compression = int(sys.argv[1]), sys.argv[2]
stream = dv.io.Stream.EventStream(0, "events", "DAVIS346_0", (346, 260))
stream.setCompression(getattr(dv.CompressionType, compression))
store = dv.EventStore()
for i in range(1000):
    store.push_back(10**15 + 3 * i, i % 346, i % 260, i % 3 == 0)
writer = dv.io.NetworkWriter("127.0.0.1", port, stream)
while not writer.getClientCount():
    pass
writer.writeEvents(store)
sys.stdin.read()
"""  # in a process of its own, which is killed: a NetworkWriter that is let go while somebody listens waits for ever


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
def test_what_dv_processing_sends_is_received(compression):
    pytest.importorskip("dv_processing")
    n = np.arange(1000)
    expected = np.empty(1000, EVENT_DTYPE)
    expected["t"], expected["x"], expected["y"], expected["p"] = 10**15 + 3 * n, n % 346, n % 260, n % 3 == 0
    port = free_port()
    command = [sys.executable, "-c", WRITER, str(port), compression]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as writer:
        try:
            with Driven(DvNetwork(DvNetworkConfig(f"127.0.0.1:{port}"))) as driven:
                driven.until(lambda: driven.source.events == 1000)
                assert np.array_equal(driven.events, expected)
                assert driven.infos[0].sensor == SENSOR
        finally:
            writer.kill()
