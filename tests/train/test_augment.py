"""Random changes of events keep their labels honest and their pixels on the sensor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.train.augment import Augmentation, draw, mirrored_labels

from .. import naive

SENSOR = SensorSize(13, 9)
LABELS = ("clap", "left", "right", "left_clockwise", "right_counter_clockwise")
PAIRS = {"left": "right", "left_clockwise": "right_counter_clockwise"}


def test_without_any_limit_the_events_stay_as_recorded():
    events = naive.random_training_events(500, SENSOR, 10_000, seed=1)
    transform = draw(Augmentation(), SENSOR, np.random.default_rng(0))
    assert np.array_equal(transform.apply(events, SENSOR, 10_000, np.random.default_rng(1)), events)
    assert transform.speed == 1.0


def test_the_mirror_image_swaps_columns_and_the_labels_of_left_and_right():
    events = naive.random_training_events(500, SENSOR, 10_000, seed=2)
    transform = draw(Augmentation(flip=1.0), SENSOR, np.random.default_rng(0))
    mirrored = transform.apply(events, SENSOR, 10_000, np.random.default_rng(1))
    assert transform.mirrored
    assert np.array_equal(mirrored["x"], SENSOR.width - 1 - events["x"])
    assert np.array_equal(mirrored["y"], events["y"])
    swapped = [LABELS[index] for index in mirrored_labels(LABELS, PAIRS)]
    assert swapped == ["clap", "right", "left", "right_counter_clockwise", "left_clockwise"]


def test_mirroring_twice_gives_every_label_back():
    once = mirrored_labels(LABELS, PAIRS)
    assert np.array_equal(once[once], np.arange(len(LABELS)))


def test_swapping_polarity_makes_brighter_darker_and_moves_nothing():
    events = naive.random_training_events(300, SENSOR, 10_000, seed=3)
    transform = draw(Augmentation(polarity_flip=1.0), SENSOR, np.random.default_rng(0))
    swapped = transform.apply(events, SENSOR, 10_000, np.random.default_rng(1))
    assert np.array_equal(swapped["p"], ~events["p"])
    assert np.array_equal(swapped["x"], events["x"])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), mirror=st.booleans())
def test_shift_scale_and_rotation_move_each_event_as_the_slow_twin_does(seed, mirror):
    events = naive.random_training_events(60, SENSOR, 5_000, seed)
    limits = Augmentation(shift=4, scale=0.3, rotation=40, flip=float(mirror))
    transform = draw(limits, SENSOR, np.random.default_rng(seed))
    moved = transform.apply(events, SENSOR, 5_000, np.random.default_rng(0))
    assert moved.tolist() == naive.move_events(events, SENSOR, transform.matrix)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_change_puts_an_event_outside_the_sensor_or_the_window(seed):
    limits = Augmentation(
        shift=9, scale=0.5, rotation=90, stretch=0.5, drop=0.5, flip=0.5, polarity_flip=0.5, noise_hz=50, hot_pixels=3
    )
    transform = draw(limits, SENSOR, np.random.default_rng(seed))
    changed = transform.apply(
        naive.random_training_events(60, SENSOR, 5_000, seed), SENSOR, 5_000, np.random.default_rng(seed)
    )
    assert changed.dtype == EVENT_DTYPE
    assert (changed["x"] < SENSOR.width).all()
    assert (changed["y"] < SENSOR.height).all()
    assert ((changed["t"] >= 0) & (changed["t"] < 5_000)).all()


def test_dropped_and_added_events_come_in_the_numbers_asked_for():
    events = naive.random_training_events(20_000, SENSOR, 1_000_000, seed=4)
    transform = draw(Augmentation(drop=0.5), SENSOR, np.random.default_rng(5))
    kept = transform.apply(events, SENSOR, 1_000_000, np.random.default_rng(6))
    assert len(kept) / len(events) == pytest.approx(transform.keep, abs=0.02)

    transform = draw(Augmentation(noise_hz=50, hot_pixels=4), SENSOR, np.random.default_rng(8))
    added = transform.apply(events[:0], SENSOR, 1_000_000, np.random.default_rng(6))
    expected = transform.noise_hz * 13 * 9 + sum(rate for *_, rate in transform.hot)
    assert len(added) == pytest.approx(expected, rel=0.1)
    for x, y, p, rate in transform.hot:
        here = (added["x"] == x) & (added["y"] == y) & (added["p"] == p)
        assert np.count_nonzero(here) >= 0.7 * rate


def test_the_speed_stays_within_the_stretch_both_ways():
    speeds = [draw(Augmentation(stretch=0.25), SENSOR, np.random.default_rng(seed)).speed for seed in range(200)]
    assert 1 / 1.25 <= min(speeds) < 0.85
    assert 1.18 < max(speeds) <= 1.25
