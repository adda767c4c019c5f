"""ROS bags of three kinds, written by the packages of others: every message type and encoding, topics, damage."""

import os
import random

import numpy as np
import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer
from dvs_run.pipeline.formats import ros as ros_module

from ..recordings import SAMPLES, SHARED, needs_shared
from .files import SMALL, events_for_all, read_all
from .ros_files import KINDS, array, header, packet, store_for, write_bag

EVENTS = events_for_all(120)
EVENTS["t"] += 1_600_000_000_000_000
PIECES = np.array_split(EVENTS, 5)
MUTATIONS = int(os.environ.get("DVS_TEST_MUTATIONS", "500"))
BASE = 1_600_000_000_000_000_000  # ns


def arrays(kind, package="dvs_msgs", topic="/dvs/events"):
    store = store_for(kind)
    return [(topic, array(store, kind, piece, SMALL, package)) for piece in PIECES]


def evt3_words(tmp_path, events):
    path = tmp_path / "made.raw"
    with open_writer(path, SMALL) as writer:
        start = path.stat().st_size
        writer.write(events)
    return path.read_bytes()[start:]


def mono(events, base_ns):
    low = (events["t"] * 1000 - base_ns).astype("<u8")
    return (
        low | events["x"].astype("<u8") << 32 | events["y"].astype("<u8") << 48 | events["p"].astype("<u8") << 63
    ).tobytes()


def libcaer(events, base_us):
    words = np.empty((len(events), 2), "<u4")
    words[:, 0] = 1 | events["p"].astype("<u4") << 1 | events["y"].astype("<u4") << 2 | events["x"].astype("<u4") << 17
    words[:, 1] = (events["t"] - base_us) & 0x7FFF_FFFF
    return words.tobytes()


def libcaer_cmp(events, base_us):
    """A word for each part of each event; those of one pixel column and time below each other as a vector."""
    words = []
    for t, x, y, p in events.tolist():
        since = t - base_us
        words += [since >> 12, 1 << 12 | since & 0xFFF, 2 << 12 | x]
        words += [4 << 12 | p << 11 | y, 5 << 12 | 1] if y % 2 else [3 << 12 | p << 11 | y]
    return np.array(words, "<u2").tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_events_with_times_of_their_own_are_read_from_every_kind_of_bag(tmp_path, kind):
    events, recording = read_all(write_bag(tmp_path, kind, arrays(kind)))
    assert np.array_equal(events, EVENTS)
    assert recording.container == {"bag": "rosbag"}.get(kind.split()[0], kind.split()[0])
    assert recording.sensor == SMALL
    assert recording.details == {
        "topics": "/dvs/events", "topic read": "/dvs/events", "messages": "dvs_msgs/EventArray"
    }  # fmt: skip
    assert recording.defects == {}


@pytest.mark.parametrize("kind", ["bag", "mcap", "db3"])
def test_every_encoding_of_camera_words_is_read(tmp_path, kind):
    store = store_for(kind)
    begin_us = int(EVENTS["t"][0])
    for encoding, words in {
        "mono": lambda events: mono(events, begin_us * 1000),
        "libcaer": lambda events: libcaer(events, begin_us),
        "libcaer_cmp": lambda events: libcaer_cmp(events, begin_us),
    }.items():
        folder = tmp_path / encoding
        folder.mkdir()
        messages = [
            ("/camera", packet(store, kind, words(piece), encoding, SMALL, begin_us * 1000)) for piece in PIECES
        ]
        events, recording = read_all(write_bag(folder, kind, messages))
        assert np.array_equal(events, EVENTS), encoding
        assert recording.details["encoding"] == encoding


@pytest.mark.parametrize("kind", ["bag", "mcap", "db3"])
def test_words_of_evt3_are_one_stream_however_they_are_cut_into_messages(tmp_path, kind):
    events = events_for_all(300)
    words = evt3_words(tmp_path, events)
    cuts = sorted({0, 2, 10, 300, 302, len(words)})
    pieces = [words[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    store = store_for(kind)
    messages = [("/camera", packet(store, kind, piece, "evt3", SMALL)) for piece in pieces]
    assert np.array_equal(read_all(write_bag(tmp_path, kind, messages))[0], events)


def test_overflows_of_libcaers_clock_are_undone_within_a_message(tmp_path):
    events = EVENTS[:4].copy()
    events["t"] = [2**31 - 5, 2**31 - 1, 2**31 + 3, 2**31 + 9]
    message = packet(store_for("bag"), "bag", libcaer(events, 0), "libcaer", SMALL)
    assert np.array_equal(read_all(write_bag(tmp_path, "bag", [("/camera", message)]))[0], events)


@pytest.mark.parametrize("kind", ["bag", "mcap", "db3"])
def test_one_of_several_topics_is_read_the_first_unless_another_is_named(tmp_path, kind):
    store = store_for(kind)
    text = ("std_msgs/msg/String", store.types["std_msgs/msg/String"](data="hello"))
    left, right = arrays(kind, topic="/left"), arrays(kind, "prophesee_event_msgs", "/right")
    messages = [("/chat", text), left[0], right[0], left[1], ("/chat", text), right[1]]
    path = write_bag(tmp_path, kind, messages)
    events, recording = read_all(path)
    assert np.array_equal(events, np.concatenate(PIECES[:2]))
    assert recording.details["topics"] == "/left, /right"
    assert recording.defects == {"other_packets": 4}
    events, recording = read_all(path, stream_id="/right")
    assert np.array_equal(events, np.concatenate(PIECES[:2]))
    assert recording.details["messages"] == "prophesee_event_msgs/EventArray"
    with pytest.raises(RecordingError, match="'/up' is no topic with events; those are /left, /right"):
        open_recording(path, stream_id="/up")


def test_a_bag_without_events_says_what_it_has(tmp_path):
    for kind in ("bag", "mcap", "db3"):
        folder = tmp_path / kind
        folder.mkdir()
        text = ("std_msgs/msg/String", store_for(kind).types["std_msgs/msg/String"](data="hello"))
        with pytest.raises(RecordingError, match=r"holds no topic of events, only /chat \(std_msgs/"):
            open_recording(write_bag(folder, kind, [("/chat", text)]))
    plain = tmp_path / "plain.db3"
    import sqlite3

    with sqlite3.connect(plain) as connection:
        connection.execute("CREATE TABLE things (id)")
    connection.close()
    with pytest.raises(RecordingError, match="an SQLite file, but no ROS 2 bag"):
        open_recording(plain)


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (b"123456", {"encoding": "mono"}, "has 6 bytes of mono, want a multiple of 8"),
        (b"12345678", {"encoding": "jpeg"}, "has the encoding 'jpeg', known are evt3, mono, libcaer"),
        (b"12345678", {"encoding": "mono", "big": True}, "is big-endian"),
        (b"12345678", {"encoding": "mono", "time_base": 2**63}, "time base"),
    ],
)
def test_a_message_that_cannot_be_read_is_a_fault_or_is_skipped(tmp_path, words, options, message):
    store = store_for("bag")
    bad = ("/camera", packet(store, "bag", words, sensor=SMALL, **options))
    good = [("/camera", packet(store, "bag", mono(piece, BASE), "mono", SMALL, BASE)) for piece in PIECES]
    path = write_bag(tmp_path, "bag", [*good[:2], bad, *good[2:]])
    recording = open_recording(path, on_error="stop")
    events = np.concatenate([packet.events for packet in recording])
    assert np.array_equal(events, np.concatenate(PIECES[:2]))
    assert message in str(recording.fault)
    assert np.array_equal(read_all(path, on_error="skip")[0], EVENTS)


def read_what_is_good(path, **options):
    """The events before the fault, and the fault."""
    events = []
    try:
        for packet_of in open_recording(path, **options):
            events.append(packet_of.events)  # noqa: PERF401
    except RecordingError as error:
        return np.concatenate([np.empty(0, EVENT_DTYPE), *events]), error
    return np.concatenate([np.empty(0, EVENT_DTYPE), *events]), None


CONTAINER = {"bag": "rosbag", "mcap": "mcap", "db3": "db3"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_cut_at_any_byte_delivers_whole_messages_and_says_so(tmp_path, kind):
    path = write_bag(tmp_path, kind, arrays(kind), 700)
    data, container = path.read_bytes(), CONTAINER[kind.split()[0]]
    delivered = []
    for cut in range(1, len(data), 1 if MUTATIONS >= 10_000 else 131 if container == "db3" else 13):
        path.write_bytes(data[:cut])
        events, fault = read_what_is_good(path, container=container, sensor=SMALL)
        assert np.array_equal(events, EVENTS[: len(events)]), cut
        assert fault is None or str(path) in str(fault)
        assert fault is not None or len(events) == len(EVENTS), cut
        delivered.append(len(events))
    if not kind.startswith("db3"):  # whose pages may lie in any order
        assert delivered == sorted(delivered)
        assert len(set(delivered)) >= (4 if " " in kind else 6)
        assert max(delivered) == len(EVENTS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_no_mutation_does_more_than_raise_a_recording_error(tmp_path, kind, on_error):
    path = write_bag(tmp_path, kind, arrays(kind), 700)
    data, container = path.read_bytes(), CONTAINER[kind.split()[0]]
    rng = random.Random(5)
    for _ in range(MUTATIONS // 10):
        changed = bytearray(data)
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(len(changed))
            if rng.random() < 0.8:
                changed[at] = rng.randrange(256)
            else:
                del changed[at : at + rng.randrange(1, 9)]
        path.write_bytes(changed)
        try:
            for packet_of in open_recording(path, container=container, sensor=SMALL, on_error=on_error):
                assert (np.diff(packet_of.events["t"]) >= 0).all()
                assert (packet_of.events["x"] < SMALL.width).all()
                assert (packet_of.events["y"] < SMALL.height).all()
        except RecordingError as error:
            assert str(path) in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", ["bag lz4", "mcap zstd", "mcap loose", "db3"])
def test_reading_goes_on_from_any_place_as_from_the_beginning(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(ros_module, "_LEAST_HELD", 1)
    store, words = store_for(kind), evt3_words(tmp_path, events_for_all(300))
    messages = [
        ("/camera", packet(store, kind, words[at : at + 100], "evt3", SMALL)) for at in range(0, len(words), 100)
    ]
    recording = open_recording(write_bag(tmp_path, kind, messages, 700))
    source = recording._source
    batches = list(source.decoded(recording._reading))
    places = [(at, place) for at, (_, place) in enumerate(batches) if place is not None]
    assert len(places) > 3
    for at, place in places:
        assert source.holds(place)
        rest = [batch.events for batch, _ in source.decoded(recording._reading, place)]
        expected = [batch.events for batch, _ in batches[at + 1 :]]
        assert np.array_equal(np.concatenate([EVENTS[:0], *rest]), np.concatenate([EVENTS[:0], *expected]))


def test_a_bag_that_was_never_closed_is_read(tmp_path):
    path = write_bag(tmp_path, "bag", arrays("bag"), 700)
    data = path.read_bytes()
    at = data.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    assert np.array_equal(read_all(path)[0], EVENTS)


def test_the_sensor_comes_from_the_messages_or_from_the_events(tmp_path):
    store = store_for("bag")
    message = array(store, "bag", EVENTS, SensorSize(346, 260))
    assert open_recording(write_bag(tmp_path, "bag", [("/e", message)])).sensor == SensorSize(346, 260)
    kind = "dvs_msgs/msg/EventArray"
    made = store.types[kind](header=header(store, "bag"), height=0, width=0, events=message[1].events)
    assert open_recording(write_bag(tmp_path, "bag", [("/e", (kind, made))])).sensor == SMALL


@needs_shared
def test_a_real_bag_holds_the_events_of_the_recording_it_was_made_from():
    sample = next(sample for sample in SAMPLES if sample.file.startswith("evt3/"))
    events, recording = read_all(SHARED / "recordings/rosbag/event_camera_msgs_evt3_640x480.bag")
    assert np.array_equal(events, read_all(sample.path)[0])
    assert recording.defects == sample.defects
