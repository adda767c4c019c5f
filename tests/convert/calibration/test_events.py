"""Windows of recordings to calibrate on: several event rates, the frames of the training."""

import numpy as np
import pytest

from dvs_run.pipeline.convert.calibration import (
    read_recordings,
    split,
)
from dvs_run.pipeline.errors import ConversionError, RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_writer, write_labels
from dvs_run.pipeline.stream import LabelSpan

SHAPE = (3, 4, 6)
SENSOR = SensorSize(8, 6)


def record(path, count, duration_us, seed, sensor=SENSOR):
    """`count` events, evenly spread in time, the first at 10 ms."""
    random = np.random.default_rng(seed)
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = 10_000 + np.arange(count) * duration_us // count
    events["x"], events["y"] = random.integers(0, sensor.width, count), random.integers(0, sensor.height, count)
    events["p"] = random.random(count) < 0.5
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path, sensor) as writer:
        writer.write(events)


@pytest.fixture
def recordings(tmp_path):
    """Two classes of two recordings, 100 ms of 40 events per ms each."""
    for index, label in enumerate(("left", "left", "right", "right")):
        record(tmp_path / "set" / label / f"{index}.npz", 4_000, 100_000, index)
    return tmp_path / "set"


def test_windows_are_seen_at_several_event_rates_in_milliseconds(recordings):
    windows = read_recordings(recordings, (2, 6, 8), 1000, window_ms=20, speeds=(0.5, 1, 2), per_recording=3)
    assert len(windows) == 4 * 3 * 3
    assert windows.slices == 20
    rates = windows.events_per_ms()
    for speed in (0.5, 1, 2):
        assert rates[windows.speeds == speed] == pytest.approx(40 * speed, rel=0.06)
    assert windows.labels == ("left", "right")
    assert np.bincount(windows.targets).tolist() == [18, 18]


def test_frames_are_the_mean_of_the_slices(recordings):
    windows = read_recordings(recordings, (2, 6, 8), 2000, window_ms=20)
    counts, frames = windows.counts(), windows.frames()
    assert counts.shape == (24, 10, 2, 6, 8)
    np.testing.assert_allclose(counts.mean(1), frames, rtol=1e-6)
    assert np.array_equal(windows.counts(3, 5), counts[3:5])
    assert counts.sum((1, 2, 3, 4)) == pytest.approx(windows.events_per_ms() * 20)


def test_a_window_holds_what_a_delay_needs_from_before(tmp_path):
    events = np.zeros(60, EVENT_DTYPE)
    events["t"] = np.arange(60) * 1000
    events["x"] = np.arange(60) // 10  # every 10 ms one pixel further
    with open_writer(tmp_path / "a.npz", SENSOR) as writer:
        writer.write(events)
    windows = read_recordings(
        tmp_path / "a.npz", (4, 6, 8), 1000, window_ms=10, delays_us=(0, 20_000), speeds=(1,), per_recording=8
    )
    for frame in windows.frames():
        now, before = np.flatnonzero(frame[0, 0]), np.flatnonzero(frame[2, 0])
        assert now.tolist() == (before + 2).tolist() or now.max() <= 2
    assert np.array_equal(windows.counts().mean(1), windows.frames())
    assert windows.targets is None


def test_a_label_file_gives_stretches_and_a_split_keeps_a_recording_together(tmp_path):
    for index in range(4):
        record(tmp_path / f"{index}.npz", 2_000, 100_000, index)
        write_labels(tmp_path / f"{index}.npz", [LabelSpan("b", 10_000, 60_000), LabelSpan("a", 60_000, 110_000)])
    windows = read_recordings(tmp_path, (2, 6, 8), 1000, window_ms=10, labels=("a", "b", "c"))
    assert windows.labels == ("a", "b", "c")
    assert np.bincount(windows.targets).tolist() == [24, 24]
    calibration, validation = split(windows)
    assert len(calibration) == len(validation) == 24
    assert not set(calibration.groups) & set(validation.groups)
    with pytest.raises(RecordingError, match="'b' is no class of the model, which knows a, c"):
        read_recordings(tmp_path, (2, 6, 8), 1000, window_ms=10, labels=("a", "c"))


def test_a_recording_too_short_for_a_speed_is_left_out_at_that_speed(tmp_path):
    record(tmp_path / "a" / "short.npz", 300, 30_000, 0)
    record(tmp_path / "b" / "long.npz", 900, 90_000, 1)
    windows = read_recordings(tmp_path, (2, 6, 8), 1000, window_ms=20, speeds=(1, 4))
    assert sorted(zip(windows.targets.tolist(), windows.speeds.tolist(), strict=True)) == [
        (0, 1), (0, 1), (1, 1), (1, 1), (1, 4), (1, 4),
    ]  # fmt: skip
    assert windows.notes == ("1 stretch too short for their speed were left out",)
    assert len(read_recordings(tmp_path, (2, 6, 8), 1000, window_ms=20, speeds=(1,), limit=1)) == 2


def test_recordings_that_cannot_be_calibrated_on_are_refused(recordings, tmp_path):
    with pytest.raises(ConversionError, match="recorded with 8x6 pixels and 2 polarities, the CNN takes 9x6 and 2"):
        read_recordings(recordings, (2, 6, 9), 1000, window_ms=20)
    with pytest.raises(ConversionError, match="no window of 500 ms holds events; the longest recording has 99.976 ms"):
        read_recordings(recordings, (2, 6, 8), 1000, window_ms=500)
    with pytest.raises(ConversionError, match="want at least one timestep"):
        read_recordings(recordings, (2, 6, 8), 1000, window_ms=0.1)
    with pytest.raises(RecordingError, match="holds no recordings"):
        read_recordings(tmp_path / "none", (2, 6, 8), 1000, window_ms=20)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RecordingError, match="text"):
        read_recordings(tmp_path / "text", (2, 6, 8), 1000, window_ms=20)
