"""Pictures before the moving camera: reading them, the saccade and loop scenes, drawn digits."""

import os
import struct
import zlib

import numpy as np
import pytest

from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.simulate.cifar_loop import LOOP_US, cifar_loop_frames, simulate_cifar_loop
from dvs_run.pipeline.simulate.digits import draw_digit
from dvs_run.pipeline.simulate.pictures import read_picture, undo_filters
from dvs_run.pipeline.simulate.saccade import DURATION_US, saccade_frames, simulate_saccade

from .. import naive


def png(image, filters=(0,), colour=None, palette=b""):
    """A PNG file's bytes, with these line filters in turn."""
    image = image if image.ndim == 3 else image[:, :, None]
    height, width, channels = image.shape
    colour = {1: 0, 3: 2, 2: 4, 4: 6}[channels] if colour is None else colour
    above, lines = np.zeros(width * channels, int), b""
    for y, row in enumerate(image.reshape(height, -1).astype(int)):
        left = np.concatenate([np.zeros(channels, int), row[:-channels]])
        corner = np.concatenate([np.zeros(channels, int), above[:-channels]])
        paeth = [min((left[i], above[i], corner[i]), key=lambda v, i=i: abs(left[i] + above[i] - corner[i] - v))
                 for i in range(len(row))]  # fmt: skip
        guess = [0 * row, left, above, (left + above) // 2, np.array(paeth)][filters[y % len(filters)]]
        lines += bytes([filters[y % len(filters)]]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        above = row
    body = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    for kind, data in ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        body += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return body


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_is_read_whatever_its_filters(tmp_path, channels):
    image = np.random.default_rng(channels).integers(0, 256, (11, 9, channels), np.uint8)
    (tmp_path / "x.png").write_bytes(png(image, filters=(4, 3, 2, 1, 0, 4)))
    wanted = image[:, :, 0] if channels < 3 else image[:, :, :3]
    assert np.array_equal(read_picture(tmp_path / "x.png"), wanted)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_filters_are_undone_as_the_specification_says(step):
    lines = np.random.default_rng(step).integers(0, 256, (40, 1 + 7 * step), np.uint8)
    lines[:, 0] %= 5
    out = np.zeros((41, 8 * step), np.uint8)
    undo_filters(lines, step, out)
    assert np.array_equal(out[1:, step:], naive.undo_png_filters(lines, step))


def test_a_line_with_an_unknown_filter_is_refused(tmp_path):
    damaged = png(np.zeros((3, 4), np.uint8), filters=(0, 0, 0))
    body = zlib.compress(b"\0abcd\x07abcd\0abcd")
    start, stop = damaged.index(b"IDAT") - 4, damaged.index(b"IEND") - 4
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    (tmp_path / "x.png").write_bytes(damaged[:start] + chunk + damaged[stop:])
    with pytest.raises(RecordingError, match="line 1 has filter 7; want 0 to 4"):
        read_picture(tmp_path / "x.png")


@pytest.mark.parametrize("device", ["/dev/zero", "pipe"])
def test_what_may_never_end_is_no_picture(tmp_path, device):
    if device == "pipe":
        device = tmp_path / "pipe"
        os.mkfifo(device)
    with pytest.raises(RecordingError, match="is a pipe or a device, want a file"):
        read_picture(device)


def test_a_png_with_a_palette_is_read(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (5, 3), np.uint8)
    image = np.random.default_rng(1).integers(0, 5, (6, 7), np.uint8)
    (tmp_path / "x.png").write_bytes(png(image, colour=3, palette=colours.tobytes()))
    assert np.array_equal(read_picture(tmp_path / "x.png"), colours[image])


def test_arrays_and_idx_files_are_read_by_index(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
    np.save(tmp_path / "x.npy", images)
    (tmp_path / "x-idx3-ubyte").write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 4, 28, 28) + images.tobytes())
    assert np.array_equal(read_picture(tmp_path / "x.npy", 2), images[2])
    assert np.allclose(read_picture(tmp_path / "x-idx3-ubyte", 2), images[2], atol=1e-4)
    with pytest.raises(RecordingError, match="has 4 images, there is no index 4"):
        read_picture(tmp_path / "x.npy", 4)


def test_damaged_pictures_are_refused_with_a_sentence(tmp_path):
    whole = png(np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8), filters=(4, 2))
    pixels_end = whole.index(b"IEND") - 4
    for length in range(pixels_end - 10):
        (tmp_path / "x.png").write_bytes(whole[:length])
        with pytest.raises(RecordingError, match="x.png"):
            read_picture(tmp_path / "x.png")
    with pytest.raises(RecordingError, match="there is no such file"):
        read_picture(tmp_path / "absent.png")


def test_saccades_show_the_picture_for_310_ms():
    image = draw_digit(5, 1)
    times, frames = saccade_frames(image, 1)
    assert times[0] == 0
    assert DURATION_US - 5_000 <= times[-1] <= DURATION_US
    assert frames.shape == (len(times), 34, 34)
    light = frames - frames.min()
    assert light.sum((1, 2)) == pytest.approx(np.full(len(times), light[0].sum()), rel=1e-3)  # never out of view


def test_saccades_go_round_a_triangle():
    _, frames = saccade_frames(draw_digit(0, 1), 1)
    light = frames - frames.min()
    y, x = np.mgrid[0:34, 0:34]
    path = np.stack([(light * x).sum((1, 2)), (light * y).sum((1, 2))], -1) / light.sum((1, 2))[:, None]
    third = len(path) // 3
    first, second, last = path[third] - path[0], path[2 * third] - path[third], path[-1] - path[2 * third]
    assert first[1] > 4  # down and a little to the right
    assert 0 < first[0] < first[1]
    assert second[0] > 2  # up and to the right
    assert second[1] < -3
    assert last[0] < -3  # back to the left
    assert abs(last[1]) < 1.5


def test_saccade_events_depend_on_the_image_and_the_seed_only():
    image = draw_digit(3, 2)
    events = simulate_saccade(image, 8)
    assert np.array_equal(simulate_saccade(image, 8), events)
    assert not np.array_equal(simulate_saccade(image, 9), events)
    assert np.array_equal(simulate_saccade(image.astype(float), 8), events)
    assert np.all(np.diff(events["t"]) >= 0)
    assert events["t"][-1] <= DURATION_US


def test_saccades_look_like_the_real_recordings_in_number_rate_and_balance():
    """Figures of 200 of the real training recordings (docs/simulator.md), for digits drawn by ourselves."""
    recordings = [simulate_saccade(draw_digit(n % 10, n), n) for n in range(40)]
    counts = [len(events) for events in recordings]
    assert 3_000 < np.mean(counts) < 5_000
    assert min(counts) > 1_000
    assert max(counts) < 8_000
    events = np.concatenate(recordings)
    assert np.mean(events["p"]) == pytest.approx(0.5, abs=0.03)
    rate = np.bincount(events["t"] // 10_000, minlength=31)
    for quiet in (0, 9, 18, 22, 30):
        assert rate[quiet] < 0.35 * rate.max()
    for busy in (4, 14, 25):
        assert rate[busy] > 0.6 * rate.max()


def test_pictures_that_do_not_fit_the_saccade_scene_are_refused():
    with pytest.raises(EventError, match=r"shape \(34, 34\), want \(height, width\) of at most 28x28"):
        simulate_saccade(np.zeros((34, 34)), 0)
    with pytest.raises(EventError, match="values from 0.0 to 256.0"):
        simulate_saccade(np.full((28, 28), 256.0) * np.eye(28), 0)


def test_the_loop_closes_and_repeats():
    rng = np.random.default_rng(0)
    times, frames = cifar_loop_frames(rng.uniform(0, 255, (32, 32, 3)), seed=1, loops=2)
    per_loop = LOOP_US // int(times[1] - times[0])
    assert frames.shape == (2 * per_loop + 1, 128, 128)
    assert np.allclose(frames[0], frames[per_loop], atol=1e-3)
    assert np.allclose(frames[:per_loop], frames[per_loop:-1], atol=1e-3)
    assert not np.allclose(frames[0], frames[per_loop // 2], atol=10)


def test_loop_events_are_many_and_reproducible():
    image = np.kron(np.indices((8, 8)).sum(0) % 2 * 255.0, np.ones((4, 4)))
    events = simulate_cifar_loop(image, 1, loops=1)
    assert np.array_equal(simulate_cifar_loop(image, 1, loops=1), events)
    assert len(events) > 10_000
    assert np.mean(events["p"]) == pytest.approx(0.5, abs=0.05)
    with pytest.raises(EventError, match="loops is 0"):
        simulate_cifar_loop(image, 1, loops=0)
    with pytest.raises(EventError, match=r"shape \(32,\)"):
        simulate_cifar_loop(np.zeros(32), 1)


@pytest.mark.parametrize("digit", range(10))
def test_drawn_digits_lie_as_mnist_digits_do(digit):
    for seed in range(5):
        image = draw_digit(digit, seed).astype(float)
        rows, columns = np.flatnonzero(image.sum(1)), np.flatnonzero(image.sum(0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(20, abs=2)
        y, x = np.mgrid[0:28, 0:28]
        assert (image * x).sum() / image.sum() == pytest.approx(13.5, abs=0.6)
        assert (image * y).sum() / image.sum() == pytest.approx(13.5, abs=0.6)
        assert image.max() == 255
    assert not np.array_equal(draw_digit(digit, 0), draw_digit(digit, 1))


def test_there_are_ten_digits():
    with pytest.raises(EventError, match="digit 10 cannot be drawn"):
        draw_digit(10, 0)
