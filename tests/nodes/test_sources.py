"""Sources: packets are cut so that time passes also in silence, and no pace changes what is decided."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dvs_run.nodes.images import Images, ImagesConfig
from dvs_run.nodes.launcher import main
from dvs_run.nodes.packets import cut_packets
from dvs_run.nodes.recording import Recording, RecordingConfig
from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket
from dvs_run.pipeline.slicer import TimeSlicer
from dvs_run.pipeline.stream import Image, LabelSpan, StreamInfo

from .conftest import SIDE
from .runs import decisions


def packets_of(times, sizes):
    events = np.zeros(len(times), EVENT_DTYPE)
    events["t"] = np.sort(times)
    events["x"] = np.arange(len(times)) % 7
    start = 0
    for size in sizes:
        part = events[start : start + size]
        start += size
        if len(part):
            yield EventPacket(part, int(part["t"][-1]))
    if start < len(events):
        yield EventPacket(events[start:], int(events["t"][-1]))


def slices_of(packets, window_us):
    slicer = TimeSlicer(window_us)
    pieces = [piece for packet in packets for piece in slicer.push(packet)]
    return [(p.t_start_us, p.t_stop_us, p.events.tobytes()) for p in [*pieces, *slicer.finish()]]


times = st.lists(st.integers(0, 50_000), min_size=1, max_size=60)
sizes = st.lists(st.integers(1, 20), max_size=5)


@settings(max_examples=200, deadline=None)
@given(times, sizes, st.integers(100, 30_000), st.integers(100, 12_000))
def test_cutting_packets_changes_no_slice(times, sizes, packet_us, window_us):
    whole = list(packets_of(times, sizes))
    begin_us = int(whole[0].events["t"][0])
    cut = list(cut_packets(iter(whole), begin_us, packet_us))
    assert slices_of(cut, window_us) == slices_of(whole, window_us)
    assert cut[-1].t_stop_us == whole[-1].t_stop_us


@settings(deadline=None)
@given(times, sizes, st.integers(500, 30_000))
def test_every_cut_packet_ends_on_the_grid_and_none_is_left_out(times, sizes, packet_us):
    whole = list(packets_of(times, sizes))
    begin_us = int(whole[0].events["t"][0])
    cut = list(cut_packets(iter(whole), begin_us, packet_us))
    assert [p.t_stop_us for p in cut[:-1]] == [begin_us + (n + 1) * packet_us for n in range(len(cut) - 1)]
    assert all((p.events["t"] < p.t_stop_us).all() for p in cut[:-1])
    assert np.array_equal(np.concatenate([p.events for p in cut]), np.concatenate([p.events for p in whole]))


def test_the_good_part_comes_before_the_error_of_a_reader():
    def damaged():
        yield from packets_of([0, 10, 20], [])
        raise RecordingError("cut")

    cut = cut_packets(damaged(), 0, 1_000)
    assert len(next(cut).events) == 3
    with pytest.raises(RecordingError, match="cut"):
        next(cut)


def produce(node):
    """All that a source yields, with the deadlines it waited for; no time passes."""
    deadlines = []
    node.wait_until = lambda deadline: deadlines.append(deadline) or True
    node.open()
    return list(node.produce()), deadlines


def recording(path, **settings):
    return Recording(RecordingConfig(path, sensor=[SIDE, SIDE], **settings))


def test_recordings_in_a_row_begin_with_an_info_each(sample_folder):
    payloads, _ = produce(recording(str(sample_folder / "*.npz").replace("*", "[ab]"), pace="fastest"))
    infos = [payload for payload in payloads if isinstance(payload, StreamInfo)]
    assert [(info.name, info.labels) for info in infos] == [
        ("a.npz", (LabelSpan("a", 0, 200_000),)),
        ("b.npz", (LabelSpan("b", 0, 200_000),)),
    ]
    assert sum(len(payload.events) for payload in payloads if isinstance(payload, EventPacket)) == 6_000


@pytest.mark.parametrize(("pace", "speed"), [("realtime", 1.0), (2.0, 2.0), (0.5, 0.5)])
def test_deadlines_lie_on_a_grid_that_begins_with_the_first_event(sample_folder, pace, speed):
    node = recording(str(sample_folder / "a.npz"), pace=pace, packet_us=10_000)
    packets = []
    node.wait_until = lambda deadline: True
    node.open()
    due = []
    for payload in node.produce():
        if isinstance(payload, EventPacket):
            packets.append(payload)
            due.append(node.origin_ns)
    steps = np.diff(due[:-1])
    assert len(packets) == 20
    assert np.all(steps == round(10_000_000 / speed))


def test_the_fastest_pace_waits_for_nothing(sample_folder):
    payloads, deadlines = produce(recording(str(sample_folder / "a.npz"), pace="fastest"))
    assert not deadlines
    assert len(payloads) == 2


def test_a_folder_can_be_the_label(sample_folder):
    node = recording(str(sample_folder / "a.npz"), pace="fastest", labels="folder")
    info = produce(node)[0][0]
    assert [span.label for span in info.labels] == [sample_folder.name]


def test_a_loop_begins_again(sample_folder):
    node = recording(str(sample_folder / "a.npz"), pace="fastest", loop=True)
    node.open()
    payloads = node.produce()
    names = [type(next(payloads)).__name__ for _ in range(6)]
    assert names == ["StreamInfo", "EventPacket"] * 3


def test_a_loop_of_so_many_passes_ends_and_its_times_go_on(sample_folder):
    node = recording(str(sample_folder / "a.npz"), pace="fastest", loop=3, start_us=50_000, stop_us=150_000)
    payloads, _ = produce(node)
    infos = [payload for payload in payloads if isinstance(payload, StreamInfo)]
    packets = [payload for payload in payloads if isinstance(payload, EventPacket)]
    times = np.concatenate([packet.events["t"] for packet in packets])
    once = len(times) // 3
    assert len(infos) == 3
    assert (np.diff(times) >= 0).all()
    assert all(b.t_stop_us >= a.t_stop_us for a, b in zip(packets, packets[1:], strict=False))
    for number in range(3):
        part = times[number * once : (number + 1) * once]
        assert np.array_equal(part - part[0], times[:once] - times[0])
        shown = infos[number].labels[0]
        assert part[0] - shown.t_start_us == times[0] - infos[0].labels[0].t_start_us


@pytest.mark.parametrize("pace", [0.5, 1.0, 10.0, "realtime"])
def test_every_pace_gives_the_same_slices_as_the_fastest(sample_folder, pace):
    def slices(pace):
        settings = {"pace": pace, "start_us": 20_000, "stop_us": 170_000}
        payloads, _ = produce(recording(str(sample_folder / "a.npz"), **settings))
        return slices_of([payload for payload in payloads if isinstance(payload, EventPacket)], 5_000)

    wanted = slices("fastest")
    assert len(wanted) == 30
    assert slices(pace) == wanted


class FakeTime:
    """A clock that goes on by what is slept only."""

    def __init__(self):
        self.now_ns = 10**9

    def monotonic_ns(self):
        return self.now_ns

    def sleep(self, seconds):
        self.now_ns += round(seconds * 1e9)


@pytest.mark.parametrize("pace", [0.5, 1.0, 10.0])
def test_every_pace_decides_the_same(plain_config, write, expected, monkeypatch, pace):
    clock = FakeTime()
    monkeypatch.setattr("dvs_run.nodes.pace.time", clock)
    monkeypatch.setattr("dvs_run.nodes.inline.time", clock)
    plain_config["nodes"]["recording"]["pace"] = pace
    began_ns = clock.now_ns
    assert main([write(plain_config), "--set", "placement=inline", "--quiet"]) == 0
    assert decisions(plain_config) == expected
    assert clock.now_ns - began_ns == pytest.approx(0.4e9 / pace, rel=0.01)


def test_lateness_is_told_and_never_adds_up(sample_folder, monkeypatch):
    clock = FakeTime()
    monkeypatch.setattr("dvs_run.nodes.pace.time", clock)
    node = recording(str(sample_folder / "a.npz"), pace=1.0, packet_us=10_000)
    node.wait_until = lambda deadline_ns: clock.sleep((deadline_ns - clock.now_ns) / 1e9) is None
    node.open()
    for number, payload in enumerate(node.produce()):
        if isinstance(payload, EventPacket):
            clock.sleep(0.035 if number == 5 else 0.004)  # whoever takes the fifth packet is slow
    assert node._pace.lateness.n == 20
    assert node._pace.lateness.max_ns == 25_000_000
    assert node._pace.lateness.percentile(75) == 100  # the least that counts: on time
    assert "max 25.0 ms" in dict(node.report())["pace"]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("missing.npz", "there is no recording"), ("*.aedat4", "no file matches"), (["a.npz", "nope"], "no recording")],
)
def test_a_missing_recording_is_told_before_anything_starts(sample_folder, path, sentence, monkeypatch):
    monkeypatch.chdir(sample_folder)
    assert sentence in recording(path).check()[0]


def test_an_empty_recording_yields_its_info_only(tmp_path):
    np.savez(tmp_path / "empty.npz", events=np.empty(0, EVENT_DTYPE))
    payloads, _ = produce(recording(str(tmp_path / "empty.npz")))
    assert [type(payload) for payload in payloads] == [StreamInfo]


@pytest.fixture
def image_file(tmp_path):
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (5, 4, 6), np.uint8)
    (tmp_path / "x-images-idx3-ubyte").write_bytes(
        bytes([0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 4, 0, 0, 0, 6]) + images.tobytes()
    )
    (tmp_path / "x-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 5, 3, 1, 4, 1, 5]))
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(["cat"] * 5))
    return tmp_path / "x-images-idx3-ubyte"


def test_images_come_with_the_labels_beside_them(image_file):
    payloads, _ = produce(Images(ImagesConfig(str(image_file), first=1, count=3)))
    infos, images = payloads[::2], payloads[1::2]
    assert [info.name for info in infos] == [f"{image_file.name}[{n}]" for n in (1, 2, 3)]
    assert [info.labels[0].label for info in infos] == ["1", "4", "1"]
    assert all(isinstance(image, Image) and image.pixels.shape == (1, 4, 6) for image in images)
    assert infos[0].channels == 1


def test_images_come_in_an_order_that_a_seed_draws(image_file):
    names = [p.name for p in produce(Images(ImagesConfig(str(image_file), shuffle_seed=1)))[0][::2]]
    again = [p.name for p in produce(Images(ImagesConfig(str(image_file), shuffle_seed=1)))[0][::2]]
    assert names == again
    assert sorted(names) == [f"{image_file.name}[{n}]" for n in range(5)]


def test_images_of_an_archive_equal_those_of_the_idx_file(image_file):
    from_idx = produce(Images(ImagesConfig(str(image_file), labels="none")))[0]
    from_npz = produce(Images(ImagesConfig(str(image_file.with_name("x.npz")))))[0]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(from_idx[1::2], from_npz[1::2], strict=True))
    assert from_idx[0].labels == ()
    assert from_npz[0].labels[0].label == "cat"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"first": 9}, "has 5 images, `first` is 9"), ({"labels": "x.npz"}, "not an IDX file")],
)
def test_wrong_images_are_told(image_file, settings, sentence, monkeypatch):
    monkeypatch.chdir(image_file.parent)
    with pytest.raises(RecordingError, match=sentence):
        Images(ImagesConfig(str(image_file), **settings)).open()


def test_an_archive_without_images_is_told(tmp_path):
    np.savez(tmp_path / "x.npz", pictures=np.zeros(3))
    with pytest.raises(RecordingError, match="no archive with `images`"):
        Images(ImagesConfig(str(tmp_path / "x.npz"))).open()
    assert "there is no file" in Images(ImagesConfig(str(tmp_path / "y.npz"))).check()[0]
