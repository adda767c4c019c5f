"""Drawing: capsules and sliding images against their twins, and what anti-aliasing promises."""

import numpy as np
import pytest

from dvs_run.pipeline.simulate.raster import ALBEDO, COLUMNS, R0, R1, X0, X1, Y0, Y1, draw_capsule, draw_capsules, slide

from .. import naive

LIGHT = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
FRONTAL = np.array([0.0, 0.0, 1.0])


def capsule(x0, y0, r0, x1, y1, r1, albedo=200.0):
    row = np.zeros(COLUMNS)
    row[[X0, Y0, R0, X1, Y1, R1, ALBEDO]] = x0, y0, r0, x1, y1, r1, albedo
    return row


def test_capsules_equal_their_twin():
    rng = np.random.default_rng(1)
    shapes = rng.uniform(-6, 26, (3, 9, COLUMNS))
    shapes[:, :, [R0, R1]] = rng.uniform(0.3, 6, (3, 9, 2))
    shapes[:, :, 6:] = rng.uniform(0, 1, (3, 9, 4)) * [250, 9, 1, 0.8]
    shapes[:, ::3, 9] = 0  # no stripes
    shapes[:, 1, X1:R1] = shapes[:, 1, X0:R0]  # a disc
    background = rng.uniform(0, 200, (17, 21)).astype(np.float32)
    gain = np.array([1.0, 0.4, 1.2])
    fast, slow = np.empty((3, 17, 21), np.float32), np.empty((3, 17, 21), np.float32)
    draw_capsules(background, shapes, LIGHT, 0.4, gain, fast)
    naive.draw_capsules(background, shapes, LIGHT, 0.4, gain, slow)
    assert np.array_equal(fast, slow)
    assert not np.array_equal(fast[0], background)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sliding_images_equal_their_twin(dtype):
    rng = np.random.default_rng(2)
    image = rng.uniform(0, 255, (5, 7)).astype(dtype)
    left, top = rng.uniform(-9, 12, 30), rng.uniform(-7, 12, 30)
    left[:2], top[:2] = (3.0, -0.0), (2.0, 0.5)
    fast, slow = np.empty((30, 9, 11), np.float32), np.empty((30, 9, 11), np.float32)
    slide(image, left, top, dtype(17), fast)
    naive.slide(image, left, top, dtype(17), slow)
    assert np.array_equal(fast, slow)


def test_a_whole_pixel_slide_moves_and_a_half_one_averages():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    frames = np.empty((2, 5, 6), np.float32)
    slide(image, np.array([1.0, 1.5]), np.array([2.0, 2.0]), np.float32(0), frames)
    assert np.array_equal(frames[0, 2:, 1:5], image)
    assert np.array_equal(frames[1, 2:, 2:5], (image[:, 1:] + image[:, :-1]) / 2)


def test_edges_change_smoothly_as_a_shape_moves():
    """The sum of a frame over which a disc slides by fractions of a pixel stays as it is: nothing flickers."""
    sums = []
    for shift in np.linspace(0, 1, 11):
        frame = np.zeros((20, 20))
        draw_capsule(capsule(9 + shift, 10, 4, 9 + shift, 10, 4), FRONTAL, 1.0, 1.0, frame)
        sums.append(frame.sum() / 200)
    assert sums == pytest.approx([np.pi * 16] * 11, rel=0.015)


def test_a_shape_beyond_the_border_draws_nothing():
    frame = np.full((8, 8), 5.0)
    draw_capsule(capsule(-9, -9, 3, -5, -20, 3), FRONTAL, 1.0, 1.0, frame)
    draw_capsule(capsule(20, 30, 3, 40, 30, 9), FRONTAL, 1.0, 1.0, frame)
    assert np.all(frame == 5.0)


def test_the_side_towards_the_light_is_brighter():
    frame = np.zeros((20, 20))
    draw_capsule(capsule(10, 10, 6, 10, 10, 6), np.array([1.0, 0.0, 0.0]), 0.2, 1.0, frame)
    assert frame[10, 14] > 2 * frame[10, 6] > 0
