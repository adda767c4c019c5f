"""Films before the simulated camera: their times, their size, the same events every time, and what is no film."""

import contextlib
import struct
import zlib

import numpy as np
import pytest

av = pytest.importorskip("av", reason="needs the extra `video`")

from dvs_run.pipeline.errors import EventError, RecordingError  # noqa: E402
from dvs_run.pipeline.events import SensorSize  # noqa: E402
from dvs_run.pipeline.simulate.film import Film, filmed, fitted, open_frames, pictures_in, read_grey  # noqa: E402
from dvs_run.pipeline.simulate.picture_sets import open_pictures  # noqa: E402
from dvs_run.pipeline.simulate.pixel import WHITE, Camera, PixelSettings  # noqa: E402

from ..datasets.trees import idx  # noqa: E402

SIDE = SensorSize(16, 12)


def bar(k, size=(64, 48)):
    """A bright bar that moves to the right, uint8 grey."""
    picture = np.full((size[1], size[0]), 40, np.uint8)
    picture[10:30, 2 * k : 2 * k + 12] = 220
    return picture


def write_film(path, pictures, rate=30, codec="ffv1", times=None):
    """A film of grey pictures, without loss by default."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape
        stream.pix_fmt = {"ffv1": "gray", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_png(path, picture):
    """A plain grey PNG."""
    height, width = picture.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = b"".join(b"\0" + row.tobytes() for row in picture)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(struct.pack(">I", len(data)) + kind + data + bytes(4) for kind, data in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "bar.mkv", [bar(k) for k in range(12)])


def test_a_film_is_read_frame_by_frame_at_its_own_times(film):
    shown = open_frames(film)
    assert shown.sensor == SensorSize(64, 48)
    for _ in range(2):
        frames = list(shown.frames())
        assert [t for t, _ in frames] == pytest.approx([k * 1e6 / 30 for k in range(12)], abs=1_000)
        assert all(np.array_equal(picture, bar(k)) for k, (_, picture) in enumerate(frames))


def test_uneven_times_are_kept_and_what_is_shown_for_no_time_is_left_out(tmp_path):
    path = write_film(tmp_path / "a.mkv", [bar(k) for k in range(4)], rate=1_000, times=[500, 533, 700, 701])
    assert [t for t, _ in open_frames(path).frames()] == [0, 33_000, 200_000, 201_000]
    again = open_frames(path, frames_per_second=100)
    assert [t for t, _ in again.frames()] == [0, 10_000, 20_000, 30_000]


def test_the_events_are_those_of_the_frames_before_the_camera(film):
    pixels = PixelSettings()
    packets = list(filmed(open_frames(film), pixels, seed=5, gamma=1.0))
    camera = Camera(SensorSize(64, 48), pixels, seed=5)
    for packet, (t_us, picture) in zip(packets, open_frames(film).frames(), strict=True):
        wanted = camera.push(t_us, (picture / 255 * WHITE).astype(np.float32))
        assert np.array_equal(packet.events, wanted)
        assert packet.t_stop_us == t_us
    assert sum(len(packet.events) for packet in packets) > 1_000


def test_a_seed_gives_the_same_events_again_and_another_one_others(film):
    first, again, other = (
        np.concatenate([packet.events for packet in filmed(open_frames(film, SIDE), PixelSettings(), seed)])
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first["x"].max() < 16
    assert first["y"].max() < 12


def test_what_brightens_gives_on_events(tmp_path):
    path = write_film(tmp_path / "a.mkv", [np.full((12, 16), value, np.uint8) for value in (60, 200)])
    events = list(filmed(open_frames(path), PixelSettings.ideal(0.3), 0, gamma=1.0))[1].events
    assert events["p"].all()
    assert len(events) == 12 * 16 * int(np.log(200 / 60) / 0.3)


def test_a_film_is_cropped_in_its_middle_or_stretched(tmp_path):
    picture = np.zeros((20, 40), np.uint8)
    picture[:, 10:30] = 200
    path = write_film(tmp_path / "a.mkv", [picture])
    (_, cropped), *_ = open_frames(path, SensorSize(20, 20)).frames()
    assert (cropped == 200).all()
    (_, stretched), *_ = open_frames(path, SensorSize(20, 20), "stretch").frames()
    assert stretched[:, 0].max() == 0
    assert stretched[:, 10].min() == 200


@pytest.mark.parametrize("shape", [(12, 16), (24, 32), (13, 29), (6, 8)])
def test_a_picture_is_fitted_by_means_of_what_each_pixel_covers(shape):
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    if shape == (24, 32):
        means = picture.reshape(12, 2, 16, 2).mean(axis=(1, 3))
        assert np.abs(fitted(picture, SIDE, "crop") - means).max() <= 0.51
    for fit in ("crop", "stretch"):
        found = fitted(picture, SIDE, fit)
        assert found.shape == (12, 16)
        assert found.dtype == np.uint8
        assert (fitted(np.full(shape, 77, np.uint8), SIDE, fit) == 77).all()


def test_pictures_of_a_folder_are_a_film_in_the_order_of_their_numbers(tmp_path, film):
    for k in range(12):
        write_png(tmp_path / "set" / f"picture_{k}.png", bar(k))
    (tmp_path / "set" / "notes.txt").write_text("no picture")
    assert [path.stem for path in pictures_in(tmp_path / "set")][-3:] == ["picture_9", "picture_10", "picture_11"]
    frames = list(open_frames(tmp_path / "set", frames_per_second=50).frames())
    assert [t for t, _ in frames] == [20_000 * k for k in range(12)]
    assert all(np.array_equal(picture, bar(k)) for k, (_, picture) in enumerate(frames))
    with pytest.raises(RecordingError, match="a folder of pictures has no times; say frames_per_second"):
        open_frames(tmp_path / "set")
    with pytest.raises(RecordingError, match="holds no pictures"):
        open_frames(tmp_path, frames_per_second=30)


def test_pictures_other_than_png_are_read_too(tmp_path):
    write_film(tmp_path / "a.jpg", [np.full((16, 24), 128, np.uint8)], codec="mjpeg")
    picture = read_grey(tmp_path / "a.jpg")
    assert picture.shape == (16, 24)
    assert np.abs(picture.astype(int) - 128).max() <= 12


def test_a_film_that_breaks_off_gives_its_good_part_first(tmp_path, film):
    data = film.read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 2_000)
    found = []
    try:
        for t_us, _ in open_frames(path).frames():
            found.append(t_us)
    except RecordingError as error:
        assert "cannot be read further" in str(error)  # noqa: PT017
    assert 0 < len(found) < 12
    assert found == sorted(found)


@pytest.mark.parametrize("data", [b"", b"no film" * 99, b"\x1aE\xdf\xa3" + bytes(99), bytes(5_000)])
def test_what_is_no_film_is_told(tmp_path, data):
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(RecordingError, match="cannot be opened as a film|holds no picture"):
        list(open_frames(tmp_path / "a.mp4").frames())
    with pytest.raises(RecordingError, match="there is no film"):
        open_frames(tmp_path / "b.mp4")


def test_settings_that_no_film_has_are_told(film):
    with pytest.raises(RecordingError, match="frames_per_second is 0, want 0.001"):
        open_frames(film, frames_per_second=0)
    with pytest.raises(EventError, match="gamma is 0, want"):
        list(filmed(open_frames(film), PixelSettings(), 0, gamma=0))


def test_a_device_is_read_as_a_film_that_never_ends():
    shown = Film("testsrc=size=32x24:rate=50", container="lavfi", live=True)
    assert shown.sensor == SensorSize(32, 24)
    frames = shown.frames()
    assert [next(frames)[0] for _ in range(5)] == [0, 20_000, 40_000, 60_000, 80_000]
    frames.close()


def test_sets_of_pictures_have_labels(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    idx(tmp_path / "x-images-idx3-ubyte", images)
    idx(tmp_path / "x-labels-idx1-ubyte", np.array([3, 1, 4]))
    pictures = open_pictures(tmp_path / "x-images-idx3-ubyte")
    assert [pictures.label(n) for n in range(3)] == ["3", "1", "4"]
    assert np.array_equal(pictures.picture(2), images[2])
    record = np.concatenate([np.array([5], np.uint8), np.arange(3072).astype(np.uint8)])
    (tmp_path / "cifar").mkdir()
    (tmp_path / "cifar" / "test_batch.bin").write_bytes(record.tobytes() * 2)
    pictures = open_pictures(tmp_path / "cifar", "test")
    assert (len(pictures), pictures.label(1), pictures.picture(1).shape) == (2, "dog", (32, 32, 3))
    assert pictures.picture(0)[0, 1].tolist() == [1, 1, 1]
    write_png(tmp_path / "set" / "cat" / "1.png", bar(1))
    write_png(tmp_path / "set" / "ant" / "7.png", bar(2))
    pictures = open_pictures(tmp_path / "set")
    assert [pictures.label(n) for n in range(2)] == ["ant", "cat"]
    assert np.array_equal(pictures.picture(1), bar(1))
    pictures = open_pictures(tmp_path / "set" / "cat")
    assert (len(pictures), pictures.label(0)) == (1, None)
    (tmp_path / "none").mkdir()
    with pytest.raises(RecordingError, match="holds no pictures .*LABEL/IMAGE"):
        open_pictures(tmp_path / "none")
    with pytest.raises(RecordingError, match="want images"):
        open_pictures(tmp_path / "x-labels-idx1-ubyte")


def test_the_command_makes_a_recording_of_a_film(tmp_path, film, capsys):
    from dvs_run.nodes.commands import main
    from dvs_run.pipeline.formats import open_recording

    arguments = ["simulate", "film", "--film", str(film), "--sensor", "32x24", "--seed", "4"]
    assert main([*arguments, "--out", str(tmp_path / "a.npz")]) == 0
    assert "the film bar.mkv; 32x24" in capsys.readouterr().out
    with open_recording(tmp_path / "a.npz") as recording:
        found = np.concatenate([packet.events for packet in recording])
    packets = filmed(open_frames(film, SensorSize(32, 24)), PixelSettings(), 4)
    assert np.array_equal(found, np.concatenate([packet.events for packet in packets]))
    assert main(["simulate", "film", "--out", str(tmp_path / "b.npz")]) == 2
    assert "--film goes with film" in capsys.readouterr().err


def test_a_picture_that_cannot_be_brought_to_size_is_told(tmp_path):
    path = write_film(tmp_path / "a.mkv", [np.zeros((2, 4096), np.uint8)])
    with pytest.raises(RecordingError, match="cannot be brought from 4096x2 pixels to 4194304x2048"):
        next(open_frames(path, SensorSize(2048, 2048)).frames())


def test_pictures_more_than_ten_minutes_apart_are_damage(tmp_path):
    path = write_film(tmp_path / "a.mkv", [bar(k) for k in range(3)], rate=1_000, times=[0, 40, 700_000])
    frames = open_frames(path).frames()
    assert [next(frames)[0], next(frames)[0]] == [0, 40_000]
    with pytest.raises(RecordingError, match="jump from 0 to 700 s, more than ten minutes"):
        next(frames)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "ffv1"), ("a.mp4", "mpeg4"), ("a.avi", "mjpeg")])
def test_mutated_films_end_soon_in_pictures_or_in_one_error(tmp_path, name, codec):
    data = write_film(tmp_path / name, [bar(k) for k in range(6)], codec=codec).read_bytes()
    rng, read = np.random.default_rng(1), 0
    for _ in range(60):
        mutated = bytearray(data)
        for _ in range(int(rng.integers(1, 9))):
            mutated[int(rng.integers(len(mutated)))] = int(rng.integers(256))
        (tmp_path / name).write_bytes(mutated[: int(rng.integers(len(mutated) // 2, 2 * len(mutated)))])
        with contextlib.suppress(RecordingError):
            for t_us, picture in open_frames(tmp_path / name, SIDE).frames():
                assert t_us >= 0
                assert picture.shape == (12, 16)
                read += 1
    assert read > 60
