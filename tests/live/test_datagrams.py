"""Datagrams: decoded as their layouts say, whatever is in them; numbers tell what is missing, late or double."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.datagrams import NUMBERS, Sequence, make_layout
from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.live_kernels import unroll
from tests.naive import live as naive
from tests.naive.formats import decode_aedat2, random_recorded_events

SENSOR = SensorSize(128, 128)
NAMES = ["spif", "spif-untimed", "faery", "faery32", "jaer"]


def layout_of(name, sensor=SENSOR):
    return make_layout(name, sensor, "dvs128" if name == "jaer" else None)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_encoded_is_decoded(name):
    events = random_recorded_events(1000, SENSOR, seed=3, first_us=2**31 - 20_000)
    sender, receiver = layout_of(name), layout_of(name)
    found, numbers = [], []
    for data, count in sender.datagrams(events, 1472):
        assert len(data) <= 1472
        decoded, left = receiver.decode(memoryview(data), untimed_us=77)
        assert (len(decoded), left) == (count, 0)
        found.append(decoded)
        numbers.append(receiver.number(memoryview(data)))
    expected = events.copy()
    if name == "spif-untimed":
        expected["t"] = 77
    assert np.array_equal(np.concatenate(found), expected)
    assert numbers == (list(range(1, len(found) + 1)) if name == "jaer" else [None] * len(found))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_as_the_slow_twins_say(data):
    view = memoryview(data)
    for name, twin in (
        ("spif", lambda d: naive.decode_spif(d, 5)),
        ("faery", naive.decode_faery),
        ("faery32", naive.decode_faery32),
    ):
        events, left = layout_of(name).decode(view, 5)
        assert (events.tolist(), left) == twin(data), name


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_as_jaers_words_do(data):
    layout = layout_of("jaer")
    events, left = layout.decode(memoryview(data), 0)
    words = np.frombuffer(data[4:], ">u4", max(0, len(data) - 4) // 8 * 2).astype(np.uint32)
    expected, frames, special = decode_aedat2(words[::2], words[1::2], layout._camera)
    assert events.tolist() == expected
    assert layout.skipped.tolist() == [frames, special]
    assert left == ((len(data) - 4) % 8 if len(data) >= 4 else len(data))


def test_the_words_of_spif_are_those_of_its_documentation():
    event = np.array([(9, 5, 3, True)], EVENT_DTYPE)
    assert layout_of("spif").encode(event).hex() == "0380050009000000"
    assert layout_of("spif-untimed").encode(event).hex() == "03800580"


def test_the_words_of_jaer_begin_with_a_number_and_count_from_the_lower_right_corner():
    event = np.array([(9, 127, 126, False)], EVENT_DTYPE)
    assert layout_of("jaer").encode(event).hex() == "00000001" + "00000101" + "00000009"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30), st.sampled_from([0, 2**32]))
def test_counters_are_unrolled_the_shortest_way(times, period):
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = times
    expected = naive.unroll(times, period)
    latest = [max(expected[: i + 1]) for i in range(len(expected))]
    back = max(late - t for late, t in zip(latest, expected, strict=True))
    assert unroll(events, period) == (min(expected), max(expected), back)
    assert events["t"].tolist() == expected


@pytest.mark.parametrize(
    ("name", "sensor", "camera", "sentence"),
    [
        ("spif", None, None, "sensor is missing"),
        ("jaer", None, None, "camera is missing, and jAER's addresses are a camera's; want one of dvs128"),
        ("jaer", SensorSize(9, 9), "dvs128", "a dvs128 has 128x128 pixels, not 9x9"),
        ("spif", SensorSize(40_000, 9), None, "SPIF has room for 32768x32768 pixels"),
        ("faery32", SensorSize(9, 40_000), None, "has room for 65536x32768"),
        ("faery", SENSOR, "dvs128", "faery has no layouts of cameras"),
    ],
)
def test_settings_that_do_not_fit_are_told(name, sensor, camera, sentence):
    with pytest.raises(EventError, match=sentence):
        make_layout(name, sensor, camera)


def taken(numbers):
    sequence = Sequence()
    return [sequence.take(number % NUMBERS) for number in numbers], sequence


def test_numbers_that_are_left_out_are_missing_and_those_that_come_later_are_not():
    flags, sequence = taken([10, 11, 14, 12, 15])
    assert flags == [True] * 5
    assert (sequence.missing, sequence.late, sequence.doubles, sequence.restarts) == (1, 1, 0, 0)


def test_a_datagram_is_taken_once():
    flags, sequence = taken([1, 2, 2, 3, 1, 4])
    assert flags == [True, True, False, True, False, True]
    assert (sequence.missing, sequence.doubles, sequence.restarts) == (0, 2, 0)


def test_numbers_wrap():
    flags, sequence = taken(range(NUMBERS - 2, NUMBERS + 2))
    assert all(flags)
    assert (sequence.missing, sequence.restarts) == (0, 0)


def test_what_comes_before_the_first_is_late_but_was_never_missing():
    flags, sequence = taken([5, 3, 4, 6])
    assert all(flags)
    assert (sequence.missing, sequence.late) == (0, 2)


@pytest.mark.parametrize("before", [20, 5000])
def test_a_sender_that_begins_anew_is_believed_at_its_second_number(before):
    flags, sequence = taken([*range(1, before), *range(1, 50)])
    assert flags.count(False) == (1 if before == 20 else 0)
    assert (sequence.missing, sequence.restarts) == (0, 1)


def test_one_number_that_leaps_changes_nothing():
    flags, sequence = taken([1, 2, 2**30, 3, 9_999, 4])
    assert all(flags)
    assert (sequence.missing, sequence.late, sequence.restarts) == (0, 0, 0)


def test_a_long_outage_is_counted():
    _, sequence = taken([1, 2, 10_000, 10_001])
    assert (sequence.missing, sequence.restarts) == (9_997, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.randoms(use_true_random=False), st.integers(0, 40))
def test_numbers_add_up_after_loss_doubles_and_shuffling_within_the_window(n, random, share):
    sent = [number for number in range(1, n) if number == 1 or number == n - 1 or random.randrange(100) >= share]
    doubled = [number for number in sent for _ in range(1 + (random.randrange(100) < 5 and 1 < number < n - 1))]
    flags, sequence = taken(doubled)
    assert flags.count(True) + sequence.doubles == len(doubled)
    assert flags.count(True) + sequence.missing == n - 1
    late = sorted(doubled[1:-1], key=lambda number: number + random.randrange(-20, 20))
    flags, sequence = taken([1, *(number for number in dict.fromkeys(late) if number > 1), n - 1])
    assert flags.count(True) + sequence.missing == n - 1
