"""Sources before the simulated camera: any clip, webcam or picture can play the camera."""

import numpy as np
import pytest

from dvs_run.nodes.film import Film, FilmConfig
from dvs_run.nodes.pictures import Pictures, PicturesConfig
from dvs_run.nodes.webcam import Webcam, WebcamConfig
from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.events import EventPacket, SensorSize
from dvs_run.pipeline.simulate.cifar_loop import simulate_cifar_loop
from dvs_run.pipeline.simulate.saccade import simulate_saccade
from dvs_run.pipeline.stream import LabelSpan, StreamInfo

from ..datasets.trees import idx


def produce(node):
    """All that a source yields; no time passes."""
    node.wait_until = lambda deadline: True
    node.open()
    payloads = list(node.produce())
    node.close()
    return payloads


def events_of(payloads):
    return np.concatenate([payload.events for payload in payloads if isinstance(payload, EventPacket)])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Half a second of a bar that moves, with its labels."""
    pytest.importorskip("av", reason="needs the extra `video`")
    from ..simulate.test_film import bar, write_film

    path = write_film(tmp_path_factory.mktemp("clip") / "bar.mkv", [bar(k) for k in range(15)])
    path.with_name("bar_labels.csv").write_text("class,startTime_usec,endTime_usec\nbar,0,400000\n")
    return path


def test_a_clip_plays_the_camera(clip):
    payloads = produce(Film(FilmConfig(path=str(clip), pace="fastest", seed=3)))
    assert payloads[0] == StreamInfo("bar.mkv", SensorSize(64, 48), labels=(LabelSpan("bar", 0, 400_000),))
    events = events_of(payloads)
    assert len(events) > 1_000
    assert len(payloads) == 1 + 15
    assert np.array_equal(events, events_of(produce(Film(FilmConfig(path=str(clip), pace="fastest", seed=3)))))
    assert not np.array_equal(events, events_of(produce(Film(FilmConfig(path=str(clip), pace="fastest", seed=4)))))


def test_no_pace_changes_what_the_camera_sees_and_time_passes_evenly(clip):
    fastest = produce(Film(FilmConfig(path=str(clip), pace="fastest")))
    paced = produce(Film(FilmConfig(path=str(clip), pace=2.0, packet_us=5_000)))
    assert np.array_equal(events_of(fastest), events_of(paced))
    assert [packet.t_stop_us for packet in paced[1:-1]] == [5_000 * (n + 1) for n in range(len(paced) - 2)]


def test_settings_of_the_pixels_reach_them(clip):
    few, many = (
        len(events_of(produce(Film(FilmConfig(path=str(clip), pace="fastest", sensor=[32, 24], threshold_on=theta)))))
        for theta in (0.6, 0.2)
    )
    assert few < many
    still = {"hot_pixels": 0.0, "leak_hz": 0.0, "shot_noise_hz": 0.0, "threshold_on": 50.0, "threshold_off": 50.0}
    assert len(events_of(produce(Film(FilmConfig(path=str(clip), pace="fastest", **still))))) == 0


def test_a_film_begins_again_and_its_time_goes_on(clip):
    node = Film(FilmConfig(path=str(clip), pace="fastest", loop=True))
    node.wait_until = lambda deadline: True
    node.open()
    payloads, source = [], node.produce()
    while sum(isinstance(payload, StreamInfo) for payload in payloads) < 3:
        payloads.append(next(source))
    source.close()
    node.close()
    infos = [payload for payload in payloads if isinstance(payload, StreamInfo)]
    stops = [payload.t_stop_us for payload in payloads if isinstance(payload, EventPacket)]
    assert stops == sorted(stops)
    assert infos[1].labels[0].t_start_us == stops[14]
    assert len(stops) == 30


def test_a_missing_film_and_a_folder_without_times_are_told_before_anything_starts(tmp_path):
    assert "there is no film" in Film(FilmConfig(path=str(tmp_path / "a.mp4"))).check()[0]
    assert "say how many a second" in Film(FilmConfig(path=str(tmp_path))).check()[0]
    with pytest.raises(EventError, match="sensor width"):
        FilmConfig(path="a.mp4", sensor=[0, 5])


def webcam(**settings):
    return Webcam(WebcamConfig(device="testsrc=size=32x24:rate=20", driver="lavfi", **settings))


def test_a_webcam_is_a_live_source_until_the_run_stops():
    pytest.importorskip("av", reason="needs the extra `video`")
    node, left = webcam(sensor=[16, 12]), iter([True] * 8)
    node.wait_until = lambda deadline: next(left, False)
    node.open()
    payloads = list(node.produce())
    node.close()
    assert node.live
    assert payloads[0].sensor == SensorSize(16, 12)
    assert [payload.t_stop_us for payload in payloads[1:]] == [50_000 * n for n in range(9)]
    assert node.report()[0][1].startswith("9 pictures")


def test_a_webcam_that_was_unplugged_is_another_stream_when_it_is_back(monkeypatch):
    pytest.importorskip("av", reason="needs the extra `video`")
    from dvs_run.pipeline.simulate import film

    real, opened = film.Film.frames, []

    def frames(self):
        opened.append(self)
        for number, frame in enumerate(real(self)):
            if number == 3 and len(opened) == 1:
                raise RecordingError("unplugged")
            yield frame

    tried = iter([False, False, True])
    plugged = Webcam._plugged
    monkeypatch.setattr(film.Film, "frames", frames)
    node, left = webcam(), iter([True] * 12)
    node.wait_until = lambda deadline: next(left, False)
    node.open()

    def again(self):
        if not next(tried):
            raise RecordingError("still gone")
        return plugged(self)

    monkeypatch.setattr(Webcam, "_plugged", again)
    payloads = list(node.produce())
    node.close()
    infos = [number for number, payload in enumerate(payloads) if isinstance(payload, StreamInfo)]
    assert infos == [0, 4]
    assert len(payloads) > 6
    assert node.report()[1] == ("lost", "1 time")
    stops = [payload.t_stop_us for payload in payloads if isinstance(payload, EventPacket)]
    assert all(stop >= 0 for stop in stops)


def test_a_webcam_that_is_not_there_is_told():
    pytest.importorskip("av", reason="needs the extra `video`")
    with pytest.raises(RecordingError, match="/dev/none: cannot be opened as a webcam"):
        Webcam(WebcamConfig(device="/dev/none", driver="v4l2")).open()


@pytest.fixture
def digits(tmp_path):
    images = np.zeros((4, 28, 28), np.uint8)
    for n in range(4):
        images[n, 5 + n : 20, 6:22] = 255
    idx(tmp_path / "x-labels-idx1-ubyte", np.array([3, 1, 4, 1]))
    return idx(tmp_path / "x-images-idx3-ubyte", images), images


def test_digits_are_moved_as_those_of_n_mnist_each_with_its_own_seed(digits):
    path, images = digits
    payloads = produce(Pictures(PicturesConfig(path=str(path), pace="fastest", seed=10, first=1, count=2)))
    assert [(info.name, info.labels[0].label) for info in payloads[::2]] == [
        ("x-images-idx3-ubyte[1]", "1"), ("x-images-idx3-ubyte[2]", "4"),
    ]  # fmt: skip
    for number, packet in zip((1, 2), payloads[1::2], strict=True):
        assert np.array_equal(packet.events, simulate_saccade(images[number], 10 + number))
        assert packet.t_stop_us == 310_000


def test_an_order_that_a_seed_draws_changes_no_recording(digits):
    path, _ = digits
    in_order = produce(Pictures(PicturesConfig(path=str(path), pace="fastest")))
    drawn = produce(Pictures(PicturesConfig(path=str(path), pace="fastest", shuffle_seed=2)))
    pairs = [{info.name: packet.events.tobytes() for info, packet in zip(made[::2], made[1::2], strict=True)}
             for made in (in_order, drawn)]  # fmt: skip
    assert pairs[0] == pairs[1]
    assert [info.name for info in in_order[::2]] != [info.name for info in drawn[::2]]


def test_larger_pictures_run_round_the_loop_of_cifar10_dvs(tmp_path):
    record = np.concatenate([np.array([3], np.uint8), np.random.default_rng(1).integers(0, 256, 3072).astype(np.uint8)])
    (tmp_path / "test_batch.bin").write_bytes(record.tobytes())
    info, packet = produce(Pictures(PicturesConfig(path=str(tmp_path), pace="fastest", threshold_on=0.5)))
    assert (info.sensor, info.labels[0].label) == (SensorSize(128, 128), "cat")
    assert 0 < len(packet.events) < len(simulate_cifar_loop(record[1:].reshape(3, 32, 32).transpose(1, 2, 0), 0))


def test_pictures_that_are_not_there_are_told(digits, tmp_path):
    path, _ = digits
    assert "there is no" in Pictures(PicturesConfig(path=str(tmp_path / "none"))).check()[0]
    with pytest.raises(RecordingError, match="has 4 pictures, `first` is 9"):
        Pictures(PicturesConfig(path=str(path), first=9)).open()
