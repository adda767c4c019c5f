"""Datagrams over the loopback: nothing that arrives ends the run, and the books balance."""

import json
import random
import struct

import numpy as np
import pytest

from dvs_run.nodes.launcher import main
from dvs_run.nodes.live import LiveError
from dvs_run.nodes.udp_in import LayoutName, UdpIn, UdpInConfig, dropped_of
from dvs_run.nodes.udp_out import UdpOut, UdpOutConfig
from dvs_run.pipeline.datagrams import LAYOUTS, make_layout
from dvs_run.pipeline.events import EventPacket, SensorSize
from dvs_run.pipeline.stream import StreamInfo

from .conftest import SIDE
from .live_senders import Driven, events_at, sender_to
from .runs import decisions, free_port

SENSOR = SensorSize(128, 128)
SETTINGS = {name: {"sensor": [128, 128]} for name in LAYOUTS} | {"jaer": {"camera": "dvs128"}}


def listening(layout="faery", **settings):
    settings = SETTINGS[layout] | {"buffer_bytes": 1 << 18} | settings
    return Driven(UdpIn(UdpInConfig("127.0.0.1:0", layout, **settings)))


def send(driven, datagrams):
    """From a port of their own, a few at a time: no more than the smallest buffer of a kernel holds."""
    source = driven.source
    with sender_to(source.address) as sender:
        for start in range(0, len(datagrams), 4):
            expected = source.arrived + len(datagrams[start : start + 4])
            for data in datagrams[start : start + 4]:
                sender.send(data)
            driven.until(lambda expected=expected: source.arrived >= expected)


def datagrams_of(events, layout, most_bytes=1472):
    camera = SETTINGS[layout].get("camera")
    return [data for data, _ in make_layout(layout, SENSOR, camera).datagrams(events, most_bytes)]


def balanced(source):
    return source.events == source.clock.delivered + source.clock.counts.total() + source.clock.held


@pytest.mark.parametrize("layout", ["spif", "faery", "faery32", "jaer"])
def test_what_one_node_sends_another_receives(layout):
    events = events_at(np.arange(0, 90_000, 30), SENSOR)
    with listening(layout) as driven:
        host, port = driven.source.address
        out = UdpOut(UdpOutConfig(f"{host}:{port}", layout, SETTINGS[layout].get("camera")))
        out.open()
        out.begin(StreamInfo("x", SENSOR))
        assert list(out.process(EventPacket(events, 90_000))) == []
        out.close()
        sent = out._sent
        driven.until(lambda: driven.source.arrived == sent)
        assert np.array_equal(driven.events, events)
        assert dict(out.report())["sent"].startswith(f"{sent} datagrams, 3,000 events")
        assert driven.rows() == {"received": f"{sent} datagrams, 3,000 events; 3,000 handed on"}


def test_events_without_times_happen_when_they_arrive():
    with listening("spif-untimed") as driven:
        for _ in range(3):
            send(driven, datagrams_of(events_at([0] * 50, SENSOR), "spif-untimed"))
        assert len(driven.events) == 150
        assert (np.diff(driven.events["t"]) >= 0).all()
        assert len(driven.infos) == 1


def hostile(rng):
    """A datagram that nobody should send."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randbytes(rng.randrange(0, 200))
    if kind == 1:
        return rng.randbytes(60_000)  # oversized
    if kind == 2:
        return b""
    if kind == 3:
        return b"\xff" * rng.randrange(1, 1400)
    if kind == 4:
        return b"\0" * rng.randrange(1, 1400)
    return struct.pack("<qHHB", 10**6, rng.randrange(128, 65_536), 3, 1) * 9 + b"cut"


@pytest.mark.parametrize("layout", ["spif", "faery", "faery32", "jaer"])
def test_hostile_datagrams_in_between_take_no_event_away_and_the_books_balance(layout):
    rng = random.Random(11)
    events = events_at(np.arange(10**6, 10**6 + 40_000, 20), SENSOR)
    good = datagrams_of(events, layout)
    mixed = [data for one in good for data in (one, hostile(rng))]
    with listening(layout) as driven:
        send(driven, mixed)
        assert driven.source.arrived == len(mixed)
        assert balanced(driven.source)
        found = driven.events
        assert (found["x"] < 128).all()
        assert (found["y"] < 128).all()
        assert (np.diff(found["t"]) >= 0).all()
        wanted = {event[1:] + (event[0],) for event in events.tolist()}
        assert wanted <= {event[1:] + (event[0],) for event in found.tolist()}


def test_a_flood_of_random_datagrams_is_survived_and_the_stream_goes_on():
    rng = random.Random(5)
    with listening("jaer") as driven:
        send(driven, datagrams_of(events_at([5, 6], SENSOR), "jaer"))
        send(driven, [hostile(rng) for _ in range(800)])
        before = len(driven.events)
        sender = make_layout("jaer", SENSOR, "dvs128")
        genuine = events_at(np.arange(0, 30_000, 10), SENSOR)
        send(driven, [data for data, _ in sender.datagrams(genuine, 1472)])
        assert len(driven.events) - before == len(genuine)
        assert balanced(driven.source)


def test_a_fifth_lost_and_the_rest_reordered_and_the_counts_add_up():
    rng = random.Random(3)
    events = events_at(np.arange(0, 400_000, 20), SENSOR)
    numbered = datagrams_of(events, "jaer")
    sent = [n for n in range(len(numbered)) if n in (0, len(numbered) - 1) or rng.random() > 0.2]
    shuffled = sorted(sent, key=lambda n: n + 2 * rng.random())  # neighbours change places
    with listening("jaer") as driven:
        send(driven, [numbered[n] for n in shuffled])
        source = driven.source
        assert source._sequence.missing == len(numbered) - len(sent) == source.dropped
        assert source.arrived == len(sent)
        assert balanced(source)
        found = driven.events
        assert len(found) == sum((len(numbered[n]) - 4) // 8 for n in sent)
        assert (np.diff(found["t"]) >= 0).all()
        assert len(driven.infos) == 1
        assert "missing by their numbers" in driven.rows()["datagrams lost"]
        assert "given the time of the one before" in driven.rows()["late"]


@pytest.mark.parametrize("layout", ["spif", "faery", "jaer"])
def test_a_sender_that_is_restarted_is_heard_at_once_and_the_gap_is_marked(layout):
    first = events_at(np.arange(5 * 10**6, 5 * 10**6 + 6_000, 2), SENSOR)
    second = events_at(np.arange(0, 4_000, 2), SENSOR, seed=1)
    with listening(layout) as driven:
        send(driven, datagrams_of(first, layout))
        again = datagrams_of(second, layout)
        send(driven, again)
        lost = (len(again[0]) - 4) // 8 if layout == "jaer" else 0  # its numbers were received before
        found = driven.events[len(first) :]
        assert len(found) == len(second) - lost
        assert np.array_equal(found[["x", "y", "p"]], second[["x", "y", "p"]][lost:])
        assert np.array_equal(np.diff(found["t"]), np.diff(second["t"][lost:]))
        assert found["t"][0] >= first["t"][-1]
        assert len(driven.infos) == 2
        assert "1; each began a new stretch" in driven.rows()["gaps"]


@pytest.mark.parametrize("layout", ["spif", "faery32", "jaer"])
def test_times_of_32_bits_wrap(layout):
    events = events_at(np.arange(2**32 - 30_000, 2**32 + 30_000, 20), SENSOR)
    with listening(layout) as driven:
        send(driven, datagrams_of(events, layout))
        assert np.array_equal(driven.events, events)
        assert not driven.source.clock.gaps


def test_what_the_kernel_drops_is_counted():
    data = datagrams_of(events_at(np.arange(113), SENSOR), "faery")
    with listening("faery", buffer_bytes=4096) as driven, sender_to(driven.source.address) as sender:
        for _ in range(500):
            sender.send(data[0])
        source = driven.source
        driven.until(lambda: source.arrived + dropped_of(source._socket) == 500)
        assert source.arrived < 500
        assert f"{500 - source.arrived:,} dropped by the kernel" in driven.rows()["datagrams lost"]
        sender.send(data[0])
        driven.until(lambda: source.arrived + source._kernel_dropped == 501)
        assert source.dropped == source._kernel_dropped > 0


def test_a_small_buffer_is_told():
    with listening("faery", buffer_bytes=1 << 30) as driven:
        assert "raise net.core.rmem_max" in driven.rows()["kernel buffer"]


def test_strangers_are_left_out_where_only_one_host_may_send():
    with listening("faery", only_from="127.0.0.2") as driven:
        send(driven, datagrams_of(events_at([1, 2], SENSOR), "faery"))
        assert not len(driven.events)
        assert driven.rows()["datagrams refused"] == "1 not from 127.0.0.2"


def test_the_stream_ends_after_silence_where_that_is_asked_for():
    with listening("faery", end_after_s=0.01) as driven:
        driven.until(lambda: False)
        assert len(driven.infos) == 1


def test_a_port_in_use_and_a_host_that_is_none_are_told():
    with listening() as driven:
        host, port = driven.source.address
        with pytest.raises(LiveError, match="cannot listen at 127.0.0.1:.*in use; choose another address"):
            UdpIn(UdpInConfig(f"{host}:{port}", "faery", [9, 9])).open()
    with pytest.raises(LiveError, match=r"host\.invalid:9 is no address of a host"):
        UdpIn(UdpInConfig("host.invalid:9", "faery", [9, 9])).open()
    with pytest.raises(LiveError, match="127.0.0.1:99999 has port 99999"):
        UdpIn(UdpInConfig("127.0.0.1:99999", "faery", [9, 9])).open()


def test_the_config_knows_every_layout():
    assert LayoutName.__args__ == tuple(LAYOUTS)


def test_a_run_fed_by_datagrams_decides_as_one_fed_by_the_file(plain_config, write, tmp_path, sample_folder):
    nodes = plain_config["nodes"]
    nodes["recording"]["path"] = str(sample_folder / "a.npz")
    assert main([write(plain_config), "--quiet"]) == 0
    expected = [json.loads(line) for line in decisions(plain_config).splitlines()]
    address = f"127.0.0.1:{free_port()}"
    nodes["send"] = {"kind": "udp_out", "input": "recording", "address": address, "layout": "faery"}
    nodes["udp"] = {"kind": "udp_in", "address": address, "layout": "faery", "sensor": [SIDE, SIDE], "end_after_s": 3.0}
    nodes["binner"]["input"] = "udp"
    nodes["binner"]["when_full"] = "wait"
    assert main([write(plain_config), "--quiet"]) == 0
    found = [json.loads(line) for line in decisions(plain_config).splitlines()]
    assert [line | {"recording": ""} for line in found] == [line | {"recording": ""} for line in expected]
