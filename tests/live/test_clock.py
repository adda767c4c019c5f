"""The clock of a live sender: order always, one stray batch changes nothing, a restart costs nothing."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.datagrams import make_layout
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.live import LiveClock
from tests.naive.formats import random_recorded_events

SENSOR = SensorSize(16, 16)
MS, S = 1_000, 1_000_000


def at(*times, x=1):
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"], events["x"] = times, x
    return events


def played(clock, *batches):
    """Each batch is (its times, host time in ms). Returns the times delivered and where stretches begin."""
    times, begins = [], []
    for batch, now_ms in batches:
        for piece in clock.push(at(*batch), now_ms * 1_000_000):
            begins += [len(times)] if piece.begins else []
            times += piece.events["t"].tolist()
    return times, begins


def test_times_are_those_of_the_sender():
    times, begins = played(LiveClock(SENSOR), ([70, 80], 0), ([90], 1))
    assert (times, begins) == ([70, 80, 90], [0])


def test_a_batch_that_comes_a_little_late_is_given_the_time_it_came_behind():
    clock = LiveClock(SENSOR)
    assert played(clock, ([0, 9 * MS], 0), ([2 * MS, 3 * MS], 1), ([10 * MS], 2))[0] == [0, 9000, 9000, 9000, 10_000]
    assert clock.late == 2


@pytest.mark.parametrize(
    "stray", [[0], [60 * S], [22 * S], [20 * S + 1, 29 * S], [2**62], [-(2**62)], [500 * S, 500 * S]]
)
def test_one_stray_batch_changes_nothing(stray):
    clock = LiveClock(SENSOR)
    times, begins = played(clock, ([20 * S], 0), (stray, 1), ([20 * S + 5], 2), ([20 * S + 9], 3))
    assert (times, begins) == ([20 * S, 20 * S + 5, 20 * S + 9], [0])
    assert sum(clock.counts.values()) == len(stray)


def test_a_sender_that_begins_anew_loses_nothing_and_time_goes_on_as_the_hosts_did():
    clock = LiveClock(SENSOR)
    times, begins = played(clock, ([50 * S], 0), ([100], 2_000), ([300], 2_001))
    assert (times, begins) == ([50 * S, 52_001 * MS, 52_001 * MS + 200], [0, 1])
    assert clock.gaps == 1
    assert not clock.counts.total()


def test_silence_is_no_gap_when_the_host_waited_as_long():
    clock = LiveClock(SENSOR)
    assert played(clock, ([0], 0), ([30 * S], 29_500))[1] == [0]
    assert played(clock, ([75 * S], 29_501), ([75 * S + 1], 29_502))[1] == [0]
    assert clock.gaps == 1


def test_a_sender_without_a_pace_leaps_and_is_believed_with_the_next_batch():
    clock = LiveClock(SENSOR)
    times, begins = played(clock, ([0], 0), ([5 * S], 1), ([10 * S], 2), ([15 * S], 3), ([15 * S + 1], 4))
    assert times == [0, 5 * S, 10 * S, 15 * S, 15 * S + 1]
    assert begins == [0]
    assert not clock.counts.total()


def test_a_lost_connection_is_a_gap_whatever_the_times_say():
    clock = LiveClock(SENSOR)
    played(clock, ([5], 0))
    clock.gap()
    assert played(clock, ([6, 7], 3)) == ([5 + 3 * MS, 6 + 3 * MS], [0])
    assert clock.gaps == 1


def test_a_lost_connection_before_anything_came_is_no_gap():
    clock = LiveClock(SENSOR)
    clock.gap()
    assert played(clock, ([6], 3)) == ([6], [0])
    assert clock.gaps == 0


@pytest.mark.parametrize("batch", [[0, 70 * S], [50 * MS, 0], [0, 2**62, 0], [2**63 - 1, -(2**63)]])
def test_times_that_no_batch_can_have_refuse_it(batch):
    clock = LiveClock(SENSOR)
    assert played(clock, ([3], 0), (batch, 1), ([4], 2))[0] == [3, 4]
    assert clock.counts["impossible"] == len(batch)


def test_counters_of_32_bits_wrap_within_a_batch_and_between_batches():
    clock = LiveClock(SENSOR, period_us=2**32)
    end = 2**32
    batches = ([end - 3, end - 1, 1], 0), ([4], 1), ([9 * S], 9_000), ([end - 1], 9_001), ([9 * S + 1], 9_002)
    times, begins = played(clock, *batches)
    assert times == [end - 3, end - 1, end + 1, end + 4, end + 9 * S, end + 9 * S + 1]
    assert begins == [0]
    assert clock.counts["stray"] == 1


def test_events_outside_the_sensor_are_left_out_and_counted():
    clock = LiveClock(SENSOR)
    events = at(1, 2, 3)
    events["x"] = [3, 16, 65_535]
    assert clock.push(events, 0)[0].events.tolist() == [(1, 3, 0, False)]
    assert (clock.delivered, clock.counts["outside"]) == (1, 2)


def test_a_stretch_whose_first_batch_lies_outside_begins_with_the_next():
    clock = LiveClock(SENSOR)
    clock.push(at(5), 0)
    clock.gap()
    assert clock.push(at(1, x=99), 1) == []
    assert [piece.begins for piece in clock.push(at(2), 2)] == [True]


def test_a_promise_lets_time_pass_in_silence():
    clock = LiveClock(SENSOR)
    assert clock.promise(70) == 0
    clock.push(at(50), 0)
    assert [clock.promise(raw) for raw in (70, 20, 10**12)] == [70, 70, 70]
    assert played(clock, ([60], 1))[0] == [70]


def mutated(data, random):
    """A datagram with some bits turned, cut, or with bytes at its end; one in four is as it was."""
    found, kind = bytearray(data), random.randrange(4)
    if kind == 1:
        for _ in range(random.randrange(1, 6)):
            found[random.randrange(len(found))] ^= 1 << random.randrange(8)
    elif kind == 2:
        del found[random.randrange(len(found)) :]
    elif kind == 3:
        found += random.randbytes(random.randrange(50))
    return memoryview(bytes(found))


@pytest.mark.parametrize("name", ["spif", "faery", "faery32", "jaer"])
def test_thousands_of_mutated_datagrams_neither_stop_the_stream_nor_carry_its_clock_away(name):
    random, sensor = Random(name), SensorSize(128, 128)
    layout = make_layout(name, sensor, "dvs128" if name == "jaer" else None)
    clock, events = LiveClock(sensor, layout.period_us), random_recorded_events(50_000, sensor, seed=8, mean_step_us=5)
    received, found = 0, []
    for n, (data, _) in enumerate(layout.datagrams(events, 20 * layout.event_bytes + layout.head_bytes)):
        decoded, _ = layout.decode(mutated(data, random), 100 * n)
        received += len(decoded)
        found += [piece.events for piece in clock.push(decoded, 100_000 * n)]
    kept = np.concatenate(found)
    assert received == len(kept) + clock.counts.total() + clock.held
    assert len(kept) > 20_000
    assert (np.diff(kept["t"]) >= 0).all()
    assert kept["x"].max() < 128 > kept["y"].max()
    assert kept["t"][-1] < 20 * events["t"][-1]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 10**8), max_size=4), st.integers(0, 10**6)
        ),
        max_size=12,
    ),
    st.sampled_from([0, 2**32]),
)
def test_whatever_comes_time_never_runs_backwards_and_the_counts_add_up(batches, period_us):
    clock = LiveClock(SENSOR, period_us)
    now, sent, times = 0, 0, []
    for batch, wait_ms in batches:
        now += wait_ms * 1_000_000
        sent += len(batch)
        for piece in clock.push(at(*batch, x=sent % 20), now):
            assert len(piece.events)
            assert (piece.events["x"] < 16).all()
            times += piece.events["t"].tolist()
    assert times == sorted(times)
    assert sent == len(times) + clock.counts.total() + clock.held
    assert clock.delivered == len(times)
