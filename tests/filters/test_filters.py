"""Each filter against its slow twin; the same outcome wherever a stream is cut; counts that add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from dvs_run.pipeline.filters import FILTERS, FilterChain, filter_events, make_filters

from ..naive import filters as naive
from .cases import CASES, SENSOR

EVENTS = naive.random_events(1500, SENSOR, 120_000, seed=3)
ids = [f"{kind}-{n}" for n, (kind, _, _) in enumerate(CASES)]


def one(kind, values):
    return make_filters([{"kind": kind, **values}])


@pytest.mark.parametrize(("kind", "values", "size"), CASES, ids=ids)
def test_a_filter_does_what_its_slow_twin_does(kind, values, size):
    out, sensor = filter_events(EVENTS, SENSOR, one(kind, values))
    wanted = naive.as_array(getattr(naive, kind)(EVENTS, SENSOR, **values))
    assert np.array_equal(out, wanted)
    assert not np.array_equal(out, EVENTS) or values.get("period_us") == 0
    assert sensor == SensorSize(*size)


@pytest.mark.parametrize(("kind", "values", "size"), CASES, ids=ids)
def test_what_a_filter_gives_lies_on_the_sensor_that_it_states(kind, values, size):
    out, sensor = filter_events(EVENTS, SENSOR, one(kind, values))
    assert 0 < len(out) <= len(EVENTS)
    assert out["x"].max() < sensor.width
    assert out["y"].max() < sensor.height


def test_every_filter_of_the_catalogue_is_tried():
    assert {kind for kind, _, _ in CASES} == set(FILTERS)


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(CASES),
    seed=st.integers(0, 2**32),
    n=st.integers(0, 400),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    start_us=st.sampled_from([0, -50_000, 1_700_000_000_000_000]),
)
def test_the_outcome_does_not_depend_on_where_a_stream_is_cut(case, seed, n, cuts, start_us):
    kind, values, _ = case
    events = naive.random_events(n, SENSOR, 60_000, seed)
    events["t"] += start_us
    whole, _ = filter_events(events, SENSOR, one(kind, values))
    chain = FilterChain(one(kind, values))
    chain.begin(SENSOR)
    pieces = [chain.push(EventPacket(part, 0)).events for part in np.split(events, sorted(min(c, n) for c in cuts))]
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize(("kind", "values", "size"), CASES, ids=ids)
def test_a_stream_that_begins_knows_nothing_of_the_one_before(kind, values, size):
    chain = FilterChain(one(kind, values))
    first, second = [(chain.begin(SENSOR), chain.apply(EVENTS))[1] for _ in range(2)]
    assert np.array_equal(first, second)


@pytest.mark.parametrize(("kind", "values", "size"), CASES, ids=ids)
def test_kept_and_dropped_add_up(kind, values, size):
    chain = FilterChain(one(kind, values))
    chain.begin(SENSOR)
    kept = len(chain.apply(EVENTS)) + len(chain.apply(EVENTS[:0]))
    (count,) = chain.counts
    assert (count.name, count.taken, count.kept) == (kind, len(EVENTS), kept)
    assert kept + sum(count.dropped.values()) == len(EVENTS)


@pytest.mark.parametrize("kind", FILTERS)
def test_a_filter_writes_neither_to_what_it_reads_nor_to_what_it_gave(kind):
    values = next(values for name, values, _ in CASES if name == kind)
    chain = FilterChain(one(kind, values))
    chain.begin(SENSOR)
    given = EVENTS.copy()
    given.flags.writeable = False  # as from a socket
    out = chain.apply(given)
    copy = out.copy()
    chain.begin(SENSOR)
    chain.apply(given[100:300])
    assert np.array_equal(given, EVENTS)
    assert np.array_equal(out, copy)
    assert not np.shares_memory(out, given)


def test_events_need_not_lie_one_after_the_other_in_memory():
    (out, _), (wanted, _) = (
        filter_events(part, SENSOR, one("transpose", {})) for part in (EVENTS[::3], EVENTS[::3].copy())
    )
    assert np.array_equal(out, wanted)


def test_no_event_in_no_event_out():
    for kind, values, _ in CASES:
        assert len(filter_events(np.empty(0, EVENT_DTYPE), SENSOR, one(kind, values))[0]) == 0
