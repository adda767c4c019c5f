"""The pixel model: against its twin, and against what the equations promise."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.simulate.pixel import Camera, PixelSettings
from dvs_run.pipeline.simulate.seeded import hash64, normal, uniform

from .. import naive

SENSOR = SensorSize(9, 7)
NOISY = PixelSettings(
    cutoff_hz=80, refractory_us=700, leak_hz=40, shot_noise_hz=200, hot_pixels=0.2, hot_pixel_hz=300, linear_below=15
)
TWINS = {
    "defaults": PixelSettings(),
    "noisy": NOISY,
    "ideal": PixelSettings.ideal(0.15),
    "unlimited bandwidth": PixelSettings(cutoff_hz=0, refractory_us=0, shot_noise_hz=50),
    "long refractory": PixelSettings(refractory_us=9_000, shot_noise_hz=100, leak_hz=20),
}


def moving(n, sensor=SENSOR, seed=0, step_us=1_500):
    """Frames whose intensities wander over the whole range, zero included; times not evenly spaced."""
    rng = np.random.default_rng(seed)
    shape = (n, sensor.height, sensor.width)
    frames = np.clip(rng.uniform(-10, 120, shape[1:]) * np.exp(0.2 * rng.normal(size=shape).cumsum(0)), 0, 400)
    return np.cumsum(rng.integers(1, 2 * step_us, n)), frames.astype(np.float32)


def constants(camera):
    pixels = camera._pixels
    return pixels.on, pixels.off, pixels.leak, pixels.difference, pixels.noise_us, pixels.generator


def steps(*levels, every_us=1_000):
    """One pixel that sees these log intensities, one after the other."""
    frames = np.exp(np.array(levels, float)).reshape(-1, 1, 1)
    return np.arange(len(levels)) * every_us, frames


@pytest.mark.parametrize("pixels", TWINS.values(), ids=TWINS.keys())
def test_the_kernel_equals_its_twin(pixels):
    times, frames = moving(40)
    camera = Camera(SENSOR, pixels, seed=3)
    camera.push(times[0], frames[0])
    wanted = naive.film(times, frames, pixels, [array.copy() for array in constants(camera)])
    events = camera.push(times[1:], frames[1:])
    assert len(wanted) > 100
    assert events.tolist() == wanted


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 29), max_size=6), st.integers(0, 5))
def test_events_do_not_depend_on_how_frames_are_grouped(cuts, seed):
    times, frames = moving(30, seed=seed)
    whole = Camera(SENSOR, NOISY, seed).push(times, frames)
    camera, bounds = Camera(SENSOR, NOISY, seed), [0, *sorted(set(cuts)), 30]
    parts = [camera.push(times[a:b], frames[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_a_full_buffer_changes_nothing():
    times, frames = moving(60)
    small, large = Camera(SENSOR, NOISY, 1), Camera(SENSOR, NOISY, 1)
    small._buffer = np.empty(1, EVENT_DTYPE)
    assert np.array_equal(small.push(times, frames), large.push(times, frames))


def test_the_same_seed_gives_the_same_events_and_another_seed_others():
    times, frames = moving(30)
    camera = Camera(SENSOR, NOISY, seed=5)
    first = camera.push(times, frames)
    camera.reset()
    assert np.array_equal(camera.push(times, frames), first)
    assert not np.array_equal(Camera(SENSOR, NOISY, seed=6).push(times, frames), first)


def test_events_are_sorted_and_within_the_pushed_interval():
    times, frames = moving(50)
    camera = Camera(SENSOR, NOISY, seed=2)
    for t_us, frame in zip(times, frames, strict=True):
        before = camera._last_us
        events = camera.push(int(t_us), frame)
        assert events.dtype == EVENT_DTYPE
        assert np.all(np.diff(events["t"]) >= 0)
        assert not len(events) or (before <= events["t"][0] and events["t"][-1] <= t_us)
        assert np.all(events["x"] < SENSOR.width)
        assert np.all(events["y"] < SENSOR.height)


def test_a_static_scene_without_noise_gives_no_events():
    frame = np.random.default_rng(0).uniform(0, 300, (SENSOR.height, SENSOR.width))
    quiet = PixelSettings(leak_hz=0, shot_noise_hz=0, hot_pixels=0)
    assert len(Camera(SENSOR, quiet).push(np.arange(100) * 10_000, np.tile(frame, (100, 1, 1)))) == 0


@pytest.mark.parametrize("polarity", [True, False])
def test_a_step_of_n_thresholds_gives_n_events_spread_over_the_frame_interval(polarity):
    step = 5.01 * 0.2 * (1 if polarity else -1)
    events = Camera(SensorSize(1, 1), PixelSettings.ideal(0.2)).push(*steps(4.5, 4.5 + step))
    assert events["p"].tolist() == [polarity] * 5
    assert events["t"].tolist() == [199, 399, 598, 798, 998]


def test_what_is_left_of_a_step_counts_towards_the_next():
    camera = Camera(SensorSize(1, 1), PixelSettings.ideal(0.2))
    assert len(camera.push(*steps(4.0, 4.15))) == 0  # three quarters of a threshold
    events = camera.push(2_000, np.exp([[4.25]]))
    assert events["t"].tolist() == [1_499]  # at 1500, less the logarithm's error
    assert events["p"].tolist() == [True]


def test_contrast_counts_and_not_brightness():
    camera = Camera(SensorSize(2, 1), PixelSettings.ideal(0.2))
    camera.push(0, np.array([[30.0, 240.0]]))
    events = camera.push(1_000, np.array([[60.0, 480.0]]))
    assert np.count_nonzero(events["x"] == 0) == np.count_nonzero(events["x"] == 1) == 3  # ln 2 / 0.2


def test_the_photoreceptor_is_linear_in_the_dark_and_joins_smoothly():
    camera = Camera(SensorSize(5, 1), PixelSettings.ideal())
    camera.push(0, np.array([[0.0, 10.0, 20.0, 20.01, 200.0]]))
    voltage = camera._pixels.voltage
    assert voltage[:3] == pytest.approx([math.log(20) - 1, math.log(20) - 0.5, math.log(20)], abs=1e-6)
    assert voltage[3:] == pytest.approx([math.log(20.01), math.log(200)], abs=1e-6)


def test_the_own_logarithm_errs_by_less_than_a_millionth():
    intensities = np.geomspace(20, 5_000, 4_000).astype(np.float32).reshape(1, -1)
    camera = Camera(SensorSize(4_000, 1), PixelSettings.ideal())
    camera.push(0, intensities)
    assert np.abs(camera._pixels.voltage - np.log(intensities[0].astype(float))).max() < 1.3e-6  # float32 included


def test_a_pixel_is_blind_during_its_refractory_period():
    pixels = PixelSettings.ideal(0.1, refractory_us=300)
    events = Camera(SensorSize(1, 1), pixels).push(
        np.arange(20) * 1_000, np.exp(3 + 0.8 * np.arange(20)).reshape(-1, 1, 1)
    )
    gaps = np.diff(events["t"])
    assert gaps.min() >= 300
    assert np.all(
        np.abs(gaps - (300 + 1_000 * 0.1 / 0.8)) <= 2
    )  # after it, the pixel starts anew from what it sees then


def test_a_refractory_period_may_outlast_frames():
    pixels = PixelSettings.ideal(0.1, refractory_us=4_500)
    events = Camera(SensorSize(1, 1), pixels).push(*steps(3, *(3 + 0.5 * np.arange(1, 13))))
    assert np.diff(events["t"]).tolist() == [4_700, 4_700]


def test_a_slow_pixel_sees_a_step_late_and_a_dark_one_later_still():
    pixels = PixelSettings(0.2, 0.2, 0, 20, 20, 0, 0, 0, 0, 0, 0, 0, 0)
    camera = Camera(SensorSize(2, 1), pixels)
    camera.push(0, np.array([[200.0, 25.0]]))
    events = camera.push(np.arange(1, 100) * 1_000, np.tile([[200 * math.e, 25 * math.e]], (99, 1, 1)))
    bright, dark = (events["t"][events["x"] == x] for x in (0, 1))
    assert len(bright) == len(dark) == 4
    assert bright[-1] > 2_000
    assert dark[0] > bright[0]
    assert dark[-1] > 2 * bright[-1]


def test_mismatch_spreads_the_thresholds_as_asked():
    camera = Camera(SensorSize(100, 100), PixelSettings(threshold_on=0.3, threshold_off=0.2, threshold_mismatch=0.1))
    on, off = camera._pixels.on, camera._pixels.off
    assert on.mean() == pytest.approx(0.3, abs=0.002)
    assert on.std() == pytest.approx(0.03, rel=0.05)
    assert off.mean() == pytest.approx(0.2, abs=0.002)
    assert off.std() == pytest.approx(0.02, rel=0.05)
    assert abs(np.corrcoef(on, off)[0, 1]) < 0.04


def test_leak_events_are_on_and_come_at_the_leak_rate():
    pixels = PixelSettings(leak_hz=2.0, shot_noise_hz=0, hot_pixels=0, refractory_us=0)
    events = Camera(SensorSize(50, 50), pixels).push(np.arange(11) * 1_000_000, np.full((11, 50, 50), 100.0))
    assert events["p"].all()
    assert len(events) / 2_500 / 10 == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize(("intensity", "rate_hz"), [(0.0, 3.0), (255.0, 0.75), (1_000.0, 0.75)])
def test_shot_noise_falls_with_intensity(intensity, rate_hz):
    pixels = PixelSettings(leak_hz=0, hot_pixels=0, shot_noise_hz=3.0, refractory_us=0)
    events = Camera(SensorSize(50, 50), pixels, 4).push(np.arange(11) * 1_000_000, np.full((11, 50, 50), intensity))
    count = rate_hz * 2_500 * 10
    assert abs(len(events) - count) < 4 * math.sqrt(count)
    assert abs(np.count_nonzero(events["p"]) - len(events) / 2) < 4 * math.sqrt(len(events) / 4)


def test_noise_does_not_depend_on_the_frame_rate():
    pixels = PixelSettings(leak_hz=1, shot_noise_hz=5, hot_pixels=0.01)
    few = Camera(SENSOR, pixels, 9).push([0, 3_000_000], np.full((2, 7, 9), 90.0))
    many = Camera(SENSOR, pixels, 9).push(np.arange(301) * 10_000, np.full((301, 7, 9), 90.0))
    shared = set(zip(few["t"].tolist(), few["x"].tolist(), few["y"].tolist(), strict=True)) & set(
        zip(many["t"].tolist(), many["x"].tolist(), many["y"].tolist(), strict=True)
    )
    assert len(few) > 500
    assert len(shared) > 0.95 * len(few)


def test_hot_pixels_are_as_many_and_as_hot_as_asked():
    pixels = PixelSettings(leak_hz=0, shot_noise_hz=0, hot_pixels=0.02, hot_pixel_hz=50.0, refractory_us=0)
    events = Camera(SensorSize(100, 100), pixels, 1).push([0, 5_000_000], np.full((2, 100, 100), 50.0))
    cells, counts = np.unique(events["y"].astype(int) * 100 + events["x"], return_counts=True)
    assert len(cells) == pytest.approx(200, abs=45)
    assert counts.mean() / 5 == pytest.approx(50, rel=0.25)


def test_the_seeded_numbers_are_what_they_were():
    assert hash64(1, 2, 3).tolist() == [18107481136802472779, 11077559855115999748, 17216727147867277280]
    assert abs(uniform(0, 0, 100_000).mean() - 0.5) < 0.005
    values = normal(0, 0, 100_000)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert abs(np.corrcoef(uniform(0, 1, 10_000), uniform(1, 1, 10_000))[0, 1]) < 0.04


@pytest.mark.parametrize(
    ("t_us", "frame", "message"),
    [
        (0, np.zeros((7, 8)), r"shape \(7, 8\), want \(7, 9\)"),
        (0, np.zeros(9), r"shape \(9,\)"),
        ([0, 1], np.zeros((3, 7, 9)), "3 frames come with 2 times"),
        ([5, 5], np.zeros((2, 7, 9)), "frame at 5 µs follows one at 5 µs"),
        (0, np.full((7, 9), -1.0), "negative or not finite"),
        (0, np.full((7, 9), np.nan), "negative or not finite"),
        (0, np.full((7, 9), np.inf), "negative or not finite"),
    ],
)
def test_frames_that_do_not_fit_are_refused(t_us, frame, message):
    with pytest.raises(EventError, match=message):
        Camera(SENSOR).push(t_us, frame)


def test_a_frame_from_the_past_is_refused_and_nothing_is_lost():
    times, frames = moving(10)
    camera = Camera(SENSOR, NOISY)
    camera.push(times[:5], frames[:5])
    with pytest.raises(EventError, match="frame times must rise"):
        camera.push(times[3], frames[3])
    whole = Camera(SENSOR, NOISY).push(times, frames)
    assert np.array_equal(camera.push(times[5:], frames[5:]), whole[whole["t"] > times[4]])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"threshold_on": 0.001}, "threshold_on is 0.001, want at least 0.01"),
        ({"leak_hz": -1.0}, "leak_hz is -1.0"),
        ({"cutoff_hz": math.nan}, "cutoff_hz is nan"),
        ({"hot_pixels": 1.5}, "hot_pixels is a share"),
        ({"linear_below": 0.0}, "linear_below is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(EventError, match=message):
        PixelSettings(**setting)
