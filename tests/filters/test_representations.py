"""Frames, voxel grids and surfaces against their slow twins, and what must hold of them whatever the events."""

import math

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.representations import (
    DecayedSurface,
    TimeSurface,
    count_frame,
    picture,
    polarity_frame,
    signed_frame,
    voxel_grid,
)

from ..naive import filters as naive

SENSOR = SensorSize(6, 4)
EVENTS = naive.random_events(300, SENSOR, 10_000, seed=9)
EVENTS["t"] += 1_000_000
START, STOP = 1_000_000, 1_010_000


def test_frames_count_each_event_once():
    frame = naive.polarity_frame(EVENTS, SENSOR)
    assert np.array_equal(polarity_frame(EVENTS, SENSOR), frame)
    assert np.array_equal(count_frame(EVENTS, SENSOR), frame[0] + frame[1])
    assert np.array_equal(signed_frame(EVENTS, SENSOR), frame[1] - frame[0])
    assert count_frame(EVENTS, SENSOR).dtype == signed_frame(EVENTS, SENSOR).dtype == np.int32


@pytest.mark.parametrize("bins", [1, 2, 5, 10])
def test_a_voxel_grid_shares_each_event_between_the_bins_nearest_in_time(bins):
    wanted = naive.voxel_grid(EVENTS, SENSOR, bins, START, STOP)
    apart = voxel_grid(EVENTS, SENSOR, bins, START, STOP, "apart")
    signed = voxel_grid(EVENTS, SENSOR, bins, START, STOP)
    assert apart.shape == (2, bins, 4, 6)
    assert apart.dtype == signed.dtype == np.float32
    np.testing.assert_allclose(apart, wanted.astype(float), atol=1e-5)
    np.testing.assert_allclose(signed, (wanted[1] - wanted[0]).astype(float), atol=1e-5)
    assert apart.sum(dtype=float) == pytest.approx(len(EVENTS), abs=1e-3)


def test_an_event_at_a_bin_is_in_that_bin_alone():
    events = np.array([(0, 0, 0, True), (25, 1, 0, True), (50, 2, 0, False), (99, 3, 0, True)], EVENT_DTYPE)
    grid = voxel_grid(events, SENSOR, 5, 0, 100)[:, 0, :4]
    assert grid.T[:3].tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, -1, 0, 0]]
    assert grid.T[3].tolist() == pytest.approx([0, 0, 0, 0.04, 0.96])


@pytest.mark.parametrize(("start", "stop"), [(START + 5_000, STOP), (START, START + 5_000)])
def test_a_voxel_grid_refuses_events_of_another_slice(start, stop):
    with pytest.raises(EventError, match=rf"want it within \[{start}, {stop}\) µs; give the events of one slice"):
        voxel_grid(EVENTS, SENSOR, 4, start, stop)


def test_a_voxel_grid_of_no_bins_or_no_time_is_refused():
    for bins, start, stop in ((0, START, STOP), (3, START, START)):
        with pytest.raises(EventError, match="want at least 1, and a stop after the start"):
            voxel_grid(EVENTS, SENSOR, bins, start, stop)


def test_a_time_surface_shows_how_long_ago_each_pixel_spoke():
    surface = TimeSurface(SENSOR)
    surface.push(EVENTS)
    exponential = naive.time_surface(EVENTS, SENSOR, STOP, lambda age: math.exp(-age / 2_000))
    linear = naive.time_surface(EVENTS, SENSOR, STOP, lambda age: max(0, 1 - age / 3_000))
    np.testing.assert_allclose(surface.exponential(STOP, 2_000), exponential, rtol=1e-6)
    np.testing.assert_allclose(surface.linear(STOP, 3_000), linear, rtol=1e-5, atol=1e-7)


def test_a_decayed_surface_adds_what_is_left_of_every_event():
    surface = DecayedSurface(SENSOR, tau_us=2_500)
    surface.push(EVENTS)
    np.testing.assert_allclose(surface.at(STOP), naive.decayed_surface(EVENTS, SENSOR, STOP, 2_500), rtol=1e-6)


@pytest.mark.parametrize("make", [TimeSurface, lambda sensor: DecayedSurface(sensor, 2_500)])
def test_a_surface_does_not_depend_on_where_the_stream_is_cut(make):
    whole, pieces = make(SENSOR), make(SENSOR)
    whole.push(EVENTS)
    for part in np.split(EVENTS, [0, 1, 1, 77, 250]):
        pieces.push(part)
    see = (lambda one: one.at(STOP)) if hasattr(whole, "at") else (lambda one: one.exponential(STOP, 700))
    assert np.array_equal(see(whole), see(pieces))


def test_pixels_without_an_event_are_zero_however_old_the_stream():
    time, decayed = TimeSurface(SENSOR), DecayedSurface(SENSOR, 1_000)
    for t_us in (-(10**15), 0, 10**15):
        assert not time.exponential(t_us, 1e12).any()
        assert not time.linear(t_us, 1e18).any()
        assert not decayed.at(t_us).any()


def test_a_surface_has_no_past_and_takes_no_late_events():
    for surface, see in (
        (TimeSurface(SENSOR), lambda one, t: one.linear(t, 5)),
        (DecayedSurface(SENSOR, 5), DecayedSurface.at),
    ):
        surface.push(EVENTS)
        last = int(EVENTS["t"][-1])
        with pytest.raises(EventError, match=f"but events until {last} µs are in it"):
            see(surface, last - 1)
        with pytest.raises(EventError, match=f"event 0 is at {EVENTS['t'][0]} µs, want it after {last} µs"):
            surface.push(EVENTS[:1])


def test_an_event_outside_the_sensor_is_refused_everywhere():
    stray = np.array([(5, 1, 4, True)], EVENT_DTYPE)
    for call in (
        lambda: polarity_frame(stray, SENSOR),
        lambda: voxel_grid(stray, SENSOR, 2, 0, 10),
        lambda: TimeSurface(SENSOR).push(stray),
        lambda: DecayedSurface(SENSOR, 5).push(stray),
    ):
        with pytest.raises(EventError, match="event 0 at x=1, y=4 lies outside the 6x4 sensor"):
            call()
    with pytest.raises(EventError, match="want EVENT_DTYPE"):
        count_frame(np.zeros(3), SENSOR)


def test_a_picture_is_white_where_nothing_was_blue_for_brighter_and_red_for_darker():
    signed = np.array([[0, 2, -2, 1]])
    wanted = [[[255, 255, 255], [0, 0, 255], [255, 0, 0], [128, 128, 255]]]
    assert picture(signed).tolist() == wanted
    assert picture(np.stack([np.maximum(-signed, 0), np.maximum(signed, 0)])).tolist() == wanted
    assert picture(signed, most=1.0)[0, 3].tolist() == [0, 0, 255]
    assert picture(np.zeros((2, 3, 4))).tolist() == np.full((3, 4, 3), 255).tolist()
    with pytest.raises(EventError, match=r"shape \(3, 4, 5\) has no picture"):
        picture(np.zeros((3, 4, 5)))
