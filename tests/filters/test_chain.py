"""Chains: order, sensors, the door, and events by the block."""

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError, FilterError
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.filters import FilterChain, filter_events, make_filters
from dvs_run.pipeline.filters.filter import BLOCK_EVENTS

from ..naive import filters as naive

SENSOR = SensorSize(20, 10)


def chain(*entries):
    made = FilterChain(make_filters(entries))
    made.begin(SENSOR)
    return made


def test_filters_work_in_order_each_on_the_sensor_that_the_one_before_left():
    entries = [
        {"kind": "crop", "x": 4, "y": 2, "width": 16, "height": 8},
        {"kind": "transpose"},
        {"kind": "refractory", "period_us": 3_000},
        {"kind": "downsample", "columns": 3, "rows": 4},
    ]
    events = naive.random_events(800, SENSOR, 50_000, seed=1)
    out, sensor = filter_events(events, SENSOR, make_filters(entries))
    step = naive.as_array(naive.crop(events, SENSOR, 4, 2, 16, 8))
    step = naive.as_array(naive.transpose(step, SensorSize(16, 8)))
    step = naive.as_array(naive.refractory(step, SensorSize(8, 16), 3_000))
    assert np.array_equal(out, naive.as_array(naive.downsample(step, SensorSize(8, 16), 3, 4)))
    assert sensor == SensorSize(3, 4)


def test_the_counts_of_a_chain_follow_the_events_through_it():
    made = chain({"kind": "polarity", "keep": "on"}, {"kind": "random_drop", "keep": 0.5})
    out = made.apply(naive.random_events(2_000, SENSOR, 50_000, seed=1))
    first, second = made.counts
    assert (first.taken, first.kept, second.kept) == (2_000, second.taken, len(out))
    assert 0 < second.kept < first.kept < 2_000


def test_more_events_than_a_block_come_out_as_they_would_one_by_one():
    events = naive.random_events(2 * BLOCK_EVENTS + 77, SENSOR, 900_000, seed=2)
    out, _ = filter_events(events, SENSOR, make_filters([{"kind": "background", "window_us": 500}]))
    assert np.array_equal(out, naive.as_array(naive.background(events, SENSOR, 500)))


def test_a_chain_without_filters_hands_on_a_copy():
    events = naive.random_events(100, SENSOR, 1_000, seed=2)
    out, sensor = filter_events(events, SENSOR, [])
    assert np.array_equal(out, events)
    assert not np.shares_memory(out, events)
    assert sensor == SENSOR


def test_a_packet_keeps_its_promise():
    events = naive.random_events(10, SENSOR, 1_000, seed=2)
    packet = chain({"kind": "random_drop", "keep": 0.0}).push(EventPacket(events, 12_345))
    assert (len(packet.events), packet.t_stop_us) == (0, 12_345)


def test_compiling_beforehand_changes_neither_counts_nor_outcome():
    events = naive.random_events(500, SENSOR, 50_000, seed=1)
    cold, warm = chain({"kind": "refractory", "period_us": 900}), chain({"kind": "refractory", "period_us": 900})
    warm.warm_up()
    warm.begin(SENSOR)
    assert np.array_equal(cold.apply(events), warm.apply(events))
    assert warm.counts == cold.counts


@pytest.mark.parametrize("at", [0, 5, BLOCK_EVENTS + 3])
def test_an_event_outside_the_sensor_is_named(at):
    events = naive.random_events(BLOCK_EVENTS + 10, SENSOR, 1_000, seed=2)
    events["x"][at] = 20
    with pytest.raises(EventError, match=rf"event {at} at x=20, y=\d+ lies outside the 20x10 sensor"):
        chain({"kind": "transpose"}).apply(events)


def test_times_that_run_backwards_are_named_within_a_packet_and_between_two():
    events = np.array([(5, 0, 0, True), (9, 0, 0, True), (8, 0, 0, True)], EVENT_DTYPE)
    with pytest.raises(EventError, match="event 2 is at 8 µs, after 9 µs had been reached"):
        chain({"kind": "transpose"}).apply(events)
    made = chain({"kind": "transpose"})
    made.apply(events[:2])
    with pytest.raises(EventError, match="event 2 is at 8 µs, after 9 µs"):
        made.apply(events[2:])


def test_events_of_another_dtype_and_a_chain_that_has_not_begun_are_refused():
    with pytest.raises(EventError, match="want EVENT_DTYPE; use events.as_events first"):
        chain().apply(np.zeros(3))
    with pytest.raises(EventError, match=r"call begin\(sensor\)"):
        FilterChain([]).apply(np.empty(0, EVENT_DTYPE))


@pytest.mark.parametrize("kind", ["crop", "region"])
def test_a_rectangle_beyond_the_sensor_is_refused(kind):
    made = FilterChain(make_filters([{"kind": kind, "x": 15, "y": 0, "width": 6, "height": 10}]))
    with pytest.raises(FilterError, match=rf"{kind}: the rectangle ends at x=21, y=10, the sensor is 20x10"):
        made.begin(SENSOR)
