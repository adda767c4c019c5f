"""Messages survive the way to frames and back; frames that are none are refused with a sentence, whatever they hold."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.nodes.messages import (
    DATA_KINDS,
    KINDS,
    End,
    Failed,
    Message,
    MessageError,
    Status,
    from_frames,
    to_frames,
)
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.extras import (
    IMU_DTYPE,
    TRIGGER_DTYPE,
    TRIGGER_KINDS,
    CameraFrame,
    ImuPacket,
    TriggerPacket,
)
from dvs_run.pipeline.stream import BinnedSlice, Classification, CurrentSlice, Image, LabelSpan, StreamInfo

SENSOR = SensorSize(7, 5)
INFO = StreamInfo("hands", SENSOR, 2, (LabelSpan("wave", -3, 2**62),), 5000)
CELLS = 2 * 5 * 7
times = st.integers(-(2**40), 2**40)
values = st.floats(-100, 100, width=32)


@st.composite
def events(draw):
    n = draw(st.integers(0, 30))
    array = np.zeros(n, EVENT_DTYPE)
    array["t"] = np.sort(draw(st.lists(times, min_size=n, max_size=n)))
    array["x"] = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n))
    array["y"] = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    array["p"] = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    stop = (int(array["t"][-1]) if n else 0) + draw(st.integers(0, 1000))
    return EventPacket(array, stop)


@st.composite
def slices(draw):
    cells = np.array(sorted(draw(st.sets(st.integers(0, CELLS - 1)))), np.int32)
    counts = np.array([draw(st.integers(1, 99)) for _ in cells], np.int32)
    start = draw(times)
    return BinnedSlice(start, start + draw(st.integers(1, 10**6)), cells, counts)


dense = st.lists(values, min_size=CELLS, max_size=CELLS).map(lambda v: np.array(v, np.float32).reshape(2, 5, 7))
scores = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=12).map(np.array)
others = st.one_of(
    st.builds(Image, dense),
    st.builds(lambda start, array: CurrentSlice(start, start + 7, array), times, dense),
    st.builds(
        lambda start, label, array: Classification(start, start + 1, len(array) - 1, label, array, 12345, "räuber.bin"),
        times,
        st.text(max_size=20),
        scores,
    ),
    st.builds(StreamInfo, st.text(max_size=30), st.just(SENSOR), st.just(1)),
    st.sampled_from([INFO, Status("ready", {"n": 3, "names": ["a", "b"]}), End(), Failed("binner", "no", "Traceback")]),
)


def records(dtype, n, seed):
    """Any records of a dtype, its whole numbers small."""
    rng = np.random.default_rng(seed)
    array = np.zeros(n, dtype)
    for name in dtype.names:
        array[name] = rng.integers(0, len(TRIGGER_KINDS), n) if dtype[name].kind in "iu" else rng.normal(0, 9, n)
    return array


pixels = st.builds(
    lambda depth, shape, seed: np.random.default_rng(seed).integers(0, 1 << depth, shape).astype(f"u{depth // 8}"),
    st.sampled_from([8, 16]),
    st.sampled_from([(5, 7), (2, 3, 3), (1, 1, 4)]),
    st.integers(0, 99),
)
extras = st.one_of(
    st.builds(lambda t, array: CameraFrame(t, (t - 9, t), array, 1, 2), times, pixels),
    st.builds(lambda n, seed: ImuPacket(records(IMU_DTYPE, n, seed)), st.integers(1, 9), st.integers(0, 99)),
    st.builds(lambda n, seed: TriggerPacket(records(TRIGGER_DTYPE, n, seed)), st.integers(1, 9), st.integers(0, 99)),
)
payloads = st.one_of(events(), slices(), extras, others)


def same(a, b):
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, f), getattr(b, f)) for f in a.__dataclass_fields__)
    return a == b


@settings(deadline=None)  # the machine may be busy
@given(payloads, st.integers(0, 2**62), st.integers(0, 2**62))
def test_a_message_survives_the_wire(payload, sequence, stamp):
    sent = Message(payload, "camera", sequence, 4, stamp, "host/boot", stamp, "host/boot")
    assert same(from_frames(to_frames(sent), INFO), sent)


@settings(deadline=None)  # the machine may be busy
@given(payloads)
def test_received_arrays_are_read_only(payload):
    received = from_frames(to_frames(Message(payload, "camera", 0)), INFO).payload
    arrays = [value for value in vars(received).values() if isinstance(value, np.ndarray)]
    assert not any(array.flags.writeable for array in arrays)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_random_frames_are_refused(frames):
    with pytest.raises(MessageError):
        from_frames(frames, INFO)


@settings(deadline=None)  # the machine may be busy
@given(payloads, st.data())
def test_frames_with_a_changed_byte_are_read_or_refused_but_never_crash(payload, data):
    frames = to_frames(Message(payload, "camera", 3))
    place = data.draw(st.integers(0, 2))
    if not frames[place]:
        return
    changed = bytearray(frames[place])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    frames[place] = bytes(changed)
    try:
        received = from_frames(frames, INFO).payload
    except MessageError:
        return
    if isinstance(received, EventPacket) and len(received.events):
        assert received.events["x"].max() < 7
        assert received.events["y"].max() < 5
    if isinstance(received, BinnedSlice) and len(received.cells):
        assert received.cells.min() >= 0
        assert received.cells.max() < CELLS


@settings(deadline=None)  # the machine may be busy
@given(payloads, st.integers(0, 2), st.integers(0, 400))
def test_truncated_frames_are_refused(payload, place, length):
    frames = to_frames(Message(payload, "camera", 3))
    if length >= len(frames[place]) or (isinstance(payload, Failed) and place == 2):
        return
    frames[place] = frames[place][:length]
    with pytest.raises(MessageError):
        from_frames(frames, INFO)


def header(**changes):
    """Frames of a good slice with some header fields changed."""
    topic, head, payload = to_frames(Message(BinnedSlice(0, 5, np.array([3, 4], "i4"), np.ones(2, "i4")), "binner", 0))
    fields = msgspec.msgpack.decode(head)
    about = fields["about"] | changes.pop("about", {})
    return [topic, msgspec.msgpack.encode(fields | {"about": about} | changes), changes.pop("payload", payload)]


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        (header(version=2), "protocol version 2, this program speaks 1"),
        (header(version=9, source=7), "protocol version 9"),
        (header(kind="events"), "topic b'slice' does not match the kind 'events'"),
        (header(sequence=-1), "sequence"),
        (header(source=""), "source"),
        (header(about={"count": 3}), "16 bytes, want 24"),
        (header(about={"count": -2}), "count"),
        (header(about={"t_stop_us": 0}), "want a stop after the start"),
        (header(about={"t_start_us": 2**63}), "t_start_us"),
        ([b"slice", b"", b""], "not one of this protocol"),
        ([b"slice", b""], "3 frames"),
    ],
)
def test_the_fault_of_a_header_is_named(frames, sentence):
    with pytest.raises(MessageError, match=sentence):
        from_frames(frames, INFO)


def packet(t=(1, 2), x=(0, 1), y=(0, 1), stop=9):
    array = np.zeros(len(t), EVENT_DTYPE)
    array["t"], array["x"], array["y"] = t, x, y
    return EventPacket(array, stop)


def cells(*indices, counts=None):
    return BinnedSlice(0, 5, np.array(indices, "i4"), np.array(counts or [1] * len(indices), "i4"))


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (packet(x=(0, 7)), "x=7, y=1, outside the 7x5 sensor"),
        (packet(t=(5, 4)), "times run backwards"),
        (packet(stop=1), "stops at 1"),
        (cells(3, 3), "not ascending within 0..69"),
        (cells(-1, 3), "not ascending"),
        (cells(3, 70), "not ascending"),
        (cells(3, 4, counts=[1, 0]), "a count is 0"),
        (Image(np.zeros((1, 5, 7), "f4")), r"its shape is \(1, 5, 7\), the stream's is \(2, 5, 7\)"),
        (Image(np.full((2, 5, 7), np.nan, "f4")), "not finite"),
        (Classification(0, 5, 2, "c", np.zeros(2), 0), "class 2 of 2"),
        (Classification(0, 5, 1, "c", np.array([0, np.inf]), 0), "a score is not finite"),
    ],
)
def test_data_that_contradicts_its_stream_is_refused(payload, sentence):
    with pytest.raises(MessageError, match=sentence):
        from_frames(to_frames(Message(payload, "camera", 0)), INFO)


def test_a_polarity_is_0_or_1():
    topic, head, payload = to_frames(Message(packet(), "camera", 0))
    with pytest.raises(MessageError, match="polarity byte is 2"):
        from_frames([topic, head, payload[:12] + b"\x02" + payload[13:]], INFO)


def test_data_before_any_info_is_refused():
    with pytest.raises(MessageError, match="before any info"):
        from_frames(to_frames(Message(packet(), "camera", 0)))


def test_what_cannot_be_sent_is_refused_at_the_sender():
    with pytest.raises(MessageError, match="a int cannot be sent"):
        to_frames(Message(7, "camera", 0))


def test_every_kind_has_a_name_and_data_is_what_queues_may_drop():
    assert set(KINDS) - DATA_KINDS == {"info", "status", "end", "failed"}
