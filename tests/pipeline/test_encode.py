"""Frame images as spikes and as current."""

import numpy as np
import pytest

from dvs_run.pipeline import EventError, Image
from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder


def gray_ramp():
    return Image(np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8))


def spike_counts(encoder, index=0):
    counts = np.zeros(64, int)
    for piece in encoder.encode(gray_ramp(), index):
        counts[piece.cells] += piece.counts
    return counts


def test_the_same_seed_and_image_give_the_same_spikes_and_others_do_not():
    assert np.array_equal(spike_counts(PoissonEncoder(20, seed=3)), spike_counts(PoissonEncoder(20, seed=3)))
    assert not np.array_equal(spike_counts(PoissonEncoder(20, seed=3)), spike_counts(PoissonEncoder(20, seed=4)))
    assert not np.array_equal(spike_counts(PoissonEncoder(20), 0), spike_counts(PoissonEncoder(20), 1))


@pytest.mark.parametrize("rate", [1.0, 0.25])
def test_a_cell_fires_at_its_pixel_times_the_rate_of_white(rate):
    steps = 4000
    expected = gray_ramp().pixels.reshape(-1) * rate
    found = spike_counts(PoissonEncoder(steps, rate_per_step=rate, seed=1)) / steps
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / steps)  # 5 standard deviations of the worst cell
    assert found[0] == 0
    assert found[-1] == rate or rate < 1


def test_time_advances_by_one_timestep_a_slice():
    for encoder in (PoissonEncoder(3, 500), CurrentEncoder(3, 500)):
        spans = [(s.t_start_us, s.t_stop_us) for s in encoder.encode(gray_ramp())]
        assert spans == [(0, 500), (500, 1000), (1000, 1500)]


def test_constant_current_is_the_image_itself_in_every_step():
    pieces = list(CurrentEncoder(4).encode(gray_ramp()))
    assert len(pieces) == 4
    assert all(np.array_equal(piece.values, gray_ramp().pixels) for piece in pieces)


@pytest.mark.parametrize("encoder", [PoissonEncoder(1), CurrentEncoder(1)])
@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((1, 2, 2), 255.0, np.float32), "want 0..1; divide 8-bit images by 255"),
        (np.full((1, 2, 2), np.nan, np.float32), "want 0..1"),
        (np.zeros((2, 2), np.float32), "want float32"),
        (np.zeros((1, 2, 2)), "want float32"),
    ],
)
def test_pixels_that_are_not_0_to_1_are_refused(encoder, pixels, message):
    with pytest.raises(EventError, match=message):
        list(encoder.encode(Image(pixels)))


@pytest.mark.parametrize("settings", [{"timesteps": 0}, {"timesteps": 1, "rate_per_step": 1.5}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(EventError, match="want"):
        PoissonEncoder(**settings)
