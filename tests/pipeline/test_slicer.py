"""Slices depend on the events' times and on nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline import EVENT_DTYPE, EventError, EventPacket
from dvs_run.pipeline.slicer import TimeSlicer

from .. import naive


def events_at(times):
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = times
    events["x"] = np.arange(len(times)) % 7  # so that two events at one time are told apart
    return events


def run(slicer, events, cuts, early=0):
    """Push `events` cut at `cuts`; each packet promises as much as it can, less `early`."""
    out = []
    edges = [0, *sorted(cuts), len(events)]
    for first, last in zip(edges[:-1], edges[1:], strict=True):
        piece = events[first:last]
        promise = int(events["t"][last]) if last < len(events) else int(events["t"][-1])
        out += slicer.push(EventPacket(piece, promise - early))
    out += slicer.finish()
    return [(s.t_start_us, s.t_stop_us, s.events) for s in out]


def assert_same_slices(found, wanted):
    assert [s[:2] for s in found] == [s[:2] for s in wanted]
    for (_, _, a), (_, _, b) in zip(found, wanted, strict=True):
        assert np.array_equal(a, b)


times = st.lists(st.integers(0, 400), min_size=1, max_size=80).map(sorted)


@settings(deadline=None)
@given(times, st.integers(1, 60), st.lists(st.integers(0, 80), max_size=6), st.integers(0, 50), st.booleans())
def test_slices_do_not_depend_on_where_packets_are_cut(times, window_us, cuts, early, given_origin):
    events = events_at(times)
    origin = 0 if given_origin else None
    found = run(TimeSlicer(window_us, origin), events, [min(c, len(events)) for c in cuts], early)
    assert_same_slices(found, naive.slice_by_time(events, window_us, origin))


def test_a_promise_closes_slices_before_the_next_event_comes():
    slicer = TimeSlicer(10)
    assert [s.t_stop_us for s in slicer.push(EventPacket(events_at([100, 105]), 105))] == []
    assert [s.t_stop_us for s in slicer.push(EventPacket(events_at([]), 109))] == []
    assert [s.t_stop_us for s in slicer.push(EventPacket(events_at([]), 135))] == [110, 120, 130]


@settings(deadline=None)
@given(times, times, st.integers(1, 40), st.lists(st.integers(0, 160), max_size=6))
def test_a_long_silence_is_cut_short_counted_and_keeps_the_raster(before, after, window_us, cuts):
    events = events_at([*before, *(t + 1_000_000 for t in after)])
    slicer = TimeSlicer(window_us, origin_us=0, max_gap_us=500)
    found = run(slicer, events, [min(c, len(events)) for c in cuts])
    whole = run(TimeSlicer(window_us, origin_us=0, max_gap_us=500), events, [])
    assert_same_slices(found, whole)
    assert slicer.gaps == 1
    assert sum(len(s[2]) for s in found) == len(events)
    assert all(start % window_us == 0 for start, _, _ in found)
    assert len(found) < (400 + 500 + 400) // window_us + 4


def test_times_that_run_backwards_are_refused():
    slicer = TimeSlicer(10)
    list(slicer.push(EventPacket(events_at([100, 120]), 120)))
    with pytest.raises(EventError, match="event 0 of a packet is at 90 µs, after 120 µs"):
        list(slicer.push(EventPacket(events_at([90]), 90)))
    with pytest.raises(EventError, match="event 2 of a packet is at 5 µs, after 7 µs"):
        list(TimeSlicer(10).push(EventPacket(events_at([1, 7, 5]), 8)))


def test_a_stream_without_events_has_no_slices():
    slicer = TimeSlicer(10)
    assert list(slicer.push(EventPacket(events_at([]), 1000))) == []
    assert list(slicer.finish()) == []


def test_a_window_of_nothing_is_refused():
    with pytest.raises(EventError, match="window_us is 0, want at least 1"):
        TimeSlicer(0)
