"""The compiled decoders and the clock equal their naive twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import aedat2, aedat31, guard, nmnist

from .. import naive


@pytest.mark.parametrize("name", aedat2.LAYOUTS)
def test_aedat2_words_of_every_layout_decode_as_the_twin_decodes_them(name):
    rng = np.random.default_rng(5)
    layout = aedat2.LAYOUTS[name]
    addresses = rng.integers(0, 1 << 32, 3000, np.uint32) & ~np.uint32(layout.zero_bits)
    addresses[::2] &= np.uint32(0x7FFF_FBFF)  # half of them no frames and not special
    addresses[::7] |= rng.integers(0, 1 << 32, len(addresses[::7]), np.uint32) & np.uint32(layout.zero_bits)
    times = rng.integers(0, 1 << 32, 3000, np.uint32)
    events, skipped = np.empty(3000, EVENT_DTYPE), np.zeros(2, np.int64)
    kept = aedat2.decode(addresses, times, layout.numbers(), events, skipped)
    expected, frames, special = naive.decode_aedat2(addresses, times, layout)
    assert events[:kept].tolist() == expected
    assert skipped.tolist() == [frames, special]


@pytest.mark.parametrize("overflows", [0, 1, 3_000_000])
def test_aedat31_packets_decode_as_the_twin_decodes_them(overflows):
    words = np.random.default_rng(6).integers(0, 1 << 32, (3000, 2), np.uint32).astype("<u4")
    events = np.empty(len(words), EVENT_DTYPE)
    kept = aedat31.decode(words, overflows << 31, events)
    assert events[:kept].tolist() == naive.decode_aedat31(words.tobytes(), overflows)


def test_nmnist_records_decode_as_the_twin_decodes_them_overflow_markers_included():
    records = np.random.default_rng(7).integers(0, 256, (3000, 5), np.uint8)
    records[::50, 1] = 240
    events = np.empty(len(records), EVENT_DTYPE)
    kept = nmnist.decode(records, np.zeros(1, np.int64), events)
    assert events[:kept].tolist() == naive.decode_nmnist(records.tobytes())
    assert kept <= len(records) - 60


def run_guard(times, period, skip, split=None):
    """Delivered times, why it stopped, and the state; `split`: as two packets."""
    state, delivered = guard.new_state(), []
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = times
    for part in (events[:split], events[split:]) if split is not None else (events,):
        kept, _, reason = guard.check(part, 4, 4, period, skip, state)
        delivered += part["t"][:kept].tolist()
        if reason != guard.ALL_GOOD:
            break
    return delivered, reason, state


STEPS = st.one_of(
    st.integers(-30_000, 30_000),
    st.integers(-(1 << 33), 1 << 33),
    st.sampled_from(
        [-10_000, -10_001, 600_000_000, 600_000_001, -(1 << 23), -(1 << 32), 1 << 32, (1 << 32) - 1, 1 << 62]
    ),
)


@settings(deadline=None)  # the kernel may have to be compiled first
@given(
    st.lists(STEPS, min_size=1, max_size=40), st.sampled_from([0, 1 << 23, 1 << 32]), st.booleans(), st.integers(0, 40)
)
def test_the_clock_equals_its_twin_and_never_runs_backwards_wherever_packets_end(steps, period, skip, split):
    times = np.clip(np.cumsum(np.array(steps, object)).astype(float), -(2.0**62), 2.0**62).astype(np.int64)
    delivered, reason, state = run_guard(times, period, skip, min(split, len(times)))
    twin, expected, stopped = naive.Clock(period), [], False
    for raw in times.tolist():
        t = twin.deliver(raw, skip)
        if t is not None:
            expected.append(t)
        elif not skip:
            stopped = True
            break
    assert delivered == expected
    assert (reason == guard.IS_JUMP) == stopped
    assert all(a <= b for a, b in zip(delivered, delivered[1:], strict=False))
    counts = [int(state[place]) for place in (guard.BACKWARDS, guard.RESTARTS, guard.WRAPS, guard.JUMPS)]
    assert counts == [twin.backwards, twin.restarts, twin.wraps, twin.jumps]


def test_the_extremes_of_events_are_those_of_numpy():
    events = naive.random_recorded_events(500, SensorSize(300, 200), 3)
    events["t"][100:] -= 70
    steps = np.diff(events["t"])
    expected = (steps.min(), steps.max(), events["x"].max(), events["y"].max())
    assert guard.extremes(events) == tuple(map(int, expected))
    assert guard.extremes(events[:1]) == (0, 0, events["x"][0], events["y"][0])


def test_a_small_step_back_is_delivered_at_the_time_of_its_predecessor():
    delivered, _, state = run_guard([100, 90, 95, 120], 0, False)
    assert delivered == [100, 100, 100, 120]
    assert state[guard.BACKWARDS] == 2


def test_a_clock_that_is_reset_goes_on_from_where_it_was():
    delivered, _, state = run_guard([5_000_000, 5_000_100, 0, 30], 1 << 32, False)
    assert delivered == [5_000_000, 5_000_100, 5_000_100, 5_000_130]
    assert (state[guard.RESTARTS], state[guard.WRAPS]) == (1, 0)


def test_a_counter_that_wraps_is_unwrapped_with_stragglers_from_before():
    top = 1 << 32
    delivered, _, state = run_guard([top - 10, 5, top - 3, 20], top, False)
    assert delivered == [top - 10, top + 5, top + 5, top + 20]
    assert (state[guard.WRAPS], state[guard.BACKWARDS], state[guard.RESTARTS]) == (1, 1, 0)


def test_a_leap_of_time_is_damage_unless_skipped():
    times = [0, 10, 700_000_000, 700_000_005]
    assert run_guard(times, 0, False)[:2] == ([0, 10], guard.IS_JUMP)
    assert run_guard(times, 0, True)[0] == [0, 10, 10, 15]


def test_times_that_restart_again_and_again_are_no_clock():
    times = [0 if i % 2 else 50_000 for i in range(1000)]
    delivered, reason, _ = run_guard(times, 0, False)
    assert reason == guard.IS_RESTARTING
    assert len(delivered) < 500


def test_an_event_outside_the_sensor_stops_or_is_left_out():
    events = np.array([(0, 1, 1, True), (1, 4, 0, True), (2, 0, 4, False), (3, 3, 3, False)], EVENT_DTYPE)
    assert guard.guard(events.copy(), 4, 4, 0, False, guard.new_state())[:3] == (1, 1, guard.IS_OUTSIDE)
    state = guard.new_state()
    assert guard.guard(events, 4, 4, 0, True, state) == (2, 4, guard.ALL_GOOD)
    assert events[:2].tolist() == [(0, 1, 1, True), (3, 3, 3, False)]
    assert state[guard.OUTSIDE] == 2
