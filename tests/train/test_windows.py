"""Windows of recordings become frames of mean counts per timestep."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.pipeline.binning import bin_events, to_frame
from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.train.augment import Augmentation, draw
from dvs_run.pipeline.train.windows import (
    WindowPlan,
    cut,
    mean_count_frame,
    pack,
    random_batch,
    random_windows,
    slice_counts,
    whole_recording,
)

from .. import naive

SENSOR = SensorSize(13, 9)
PLAN = WindowPlan(timestep_us=500, slices=8, min_slices=8)


def small_set(count=4, duration_us=20_000):
    recordings = [naive.random_training_events(300, SENSOR, duration_us, seed) for seed in range(count)]
    return pack(recordings, [duration_us] * count, [i % 2 for i in range(count)], ("a", "b"), SENSOR)


def test_a_frame_is_the_mean_of_the_slices_that_the_spiking_network_will_receive():
    events = naive.random_training_events(400, SENSOR, PLAN.window_us, seed=1)
    slices = [
        to_frame(bin_events(cut(events, t, t + 500), SENSOR, t, t + 500), (2, 9, 13))
        for t in range(0, PLAN.window_us, 500)
    ]
    frame = mean_count_frame(events, SENSOR, PLAN.slices)
    assert frame.dtype == np.float32
    assert np.allclose(frame, np.mean(slices, axis=0), rtol=1e-6, atol=0)
    assert np.array_equal(frame, naive.mean_count_frame(events, SENSOR, PLAN.slices))


def test_pooling_while_counting_is_an_average_pool():
    sensor = SensorSize(12, 8)
    events = naive.random_training_events(500, sensor, 8_000, seed=3)
    pool = torch.nn.AvgPool2d(2)
    frame, slices = mean_count_frame(events, sensor, 8), slice_counts(events, sensor, 1_000, 8)
    assert np.allclose(mean_count_frame(events, sensor, 8, pool=2), pool(torch.from_numpy(frame)[None])[0])
    assert np.allclose(slice_counts(events, sensor, 1_000, 8, pool=2), pool(torch.from_numpy(slices)))


def test_the_slices_of_a_batch_are_those_of_its_frames():
    data = small_set()
    plan = replace(PLAN, delays_us=(0, 2_000), per_recording=2)
    how = Augmentation(shift=2, drop=0.3, stretch=0.2, noise_hz=20)
    frames, _ = random_batch(data, np.arange(4), plan, how, np.random.default_rng(1))
    slices, _ = random_batch(data, np.arange(4), plan, how, np.random.default_rng(1), sliced=True)
    assert slices.shape == (4, 2, PLAN.slices, 4, SENSOR.height, SENSOR.width)
    assert np.allclose(slices.mean(2), frames, atol=1e-6)
    whole = whole_recording(data, 1, plan, sliced=True)
    assert np.allclose(whole.mean(1), whole_recording(data, 1, plan), atol=1e-6)


def test_a_delayed_group_is_the_window_that_came_before():
    data = small_set()
    frames = whole_recording(data, 0, replace(PLAN, delays_us=(0, PLAN.window_us)))
    assert np.array_equal(frames[1:, 2:], frames[:-1, :2])
    assert not frames[0, 2:].any()  # before its beginning a recording is silent


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    duration_us=st.integers(1, 100_000),
    slices=st.integers(1, 20),
    fewer=st.integers(0, 19),
)
def test_random_windows_lie_within_the_recording(seed, duration_us, slices, fewer):
    rng = np.random.default_rng(seed)
    plan = WindowPlan(500, slices, max(slices - fewer, 1), per_recording=3)
    transform = draw(Augmentation(stretch=0.3), SENSOR, rng)
    windows = list(random_windows(np.empty(0, EVENT_DTYPE), duration_us, transform, plan, rng))
    assert len(windows) == 3
    for start, stop, count in windows:
        assert plan.min_slices <= count <= plan.slices
        assert stop - start == pytest.approx(count * 500 * transform.speed)
        assert start >= 0
        assert stop <= duration_us + 1e-6 or start == 0  # too short: taken whole


def test_consecutive_windows_hold_every_event_of_the_recording_once():
    data = small_set()
    frames = whole_recording(data, 2, PLAN)
    assert frames.shape == (5, 2, SENSOR.height, SENSOR.width)
    assert frames.sum() * PLAN.slices == pytest.approx(300)
    later = whole_recording(data, 2, PLAN, t_start_us=4_000)
    assert np.array_equal(later, frames[1:])


def test_a_recording_shorter_than_a_window_gives_one_frame():
    data = pack([naive.random_training_events(50, SENSOR, 1_000, 0)], [1_000], [0], ("a", "b"), SENSOR)
    assert whole_recording(data, 0, PLAN).shape[0] == 1
    assert whole_recording(data, 0, PLAN).sum() * PLAN.slices == pytest.approx(50)


def test_a_batch_gives_mirrored_recordings_their_mirrored_label():
    data = small_set()
    flipped = Augmentation(flip=1.0, flip_labels={"a": "b"})
    frames, targets = random_batch(data, np.array([0, 3]), PLAN, flipped, np.random.default_rng(0))
    plain, same = random_batch(
        data, np.array([0, 3]), PLAN, Augmentation(flip_labels={"a": "b"}), np.random.default_rng(0)
    )
    assert frames.shape == (2, 1, 2, SENSOR.height, SENSOR.width)
    assert same.tolist() == [0, 1]
    assert targets.tolist() == [1, 0]
    assert plain.sum() > 0


def test_the_same_seed_gives_the_same_batch():
    data, how = small_set(), Augmentation(shift=2, rotation=20, drop=0.3, noise_hz=20, flip=0.5, stretch=0.2)
    one, two = (random_batch(data, np.arange(4), PLAN, how, np.random.default_rng(9))[0] for _ in range(2))
    assert np.array_equal(one, two)


def test_a_subset_is_the_chosen_recordings():
    data = small_set()
    chosen = data.subset([3, 1])
    assert len(chosen) == 2
    assert np.array_equal(chosen.recording(0), data.recording(3))
    assert chosen.targets.tolist() == [1, 1]


def test_recordings_that_leave_the_sensor_or_run_backwards_are_refused():
    events = naive.random_training_events(10, SENSOR, 1_000, seed=1)
    events["t"][-1] = 0
    with pytest.raises(EventError, match="recording 0 has events out of order or outside the 13x9 sensor"):
        pack([events], [1_000], [0], ("a",), SENSOR)
