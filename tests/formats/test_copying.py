"""dvs convert-recording: the same events in another container, whole or not at all, and nothing lost without a word."""

import re

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.pipeline.errors import EventError, RecordingError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize
from dvs_run.pipeline.formats import open_recording, open_writer, read_labels, write_labels
from dvs_run.pipeline.formats.copying import copy_recording
from dvs_run.pipeline.formats.write import _WholeWrites
from dvs_run.pipeline.stream import LabelSpan

from .files import SMALL, WRITTEN, events_for_all, make, read_all

EPOCH_US = 1_605_537_493_718_345


@pytest.fixture
def recording(tmp_path):
    """Half a second at the Unix epoch, of which an arm roll is the first 10 ms."""
    path = tmp_path / "a.aedat4"
    events = events_for_all(2_000)
    events["t"] += EPOCH_US
    with open_writer(path, SMALL) as writer:
        writer.write(events)
    first_us = int(events["t"][0])
    write_labels(path, [LabelSpan("arm_roll", first_us, first_us + 10_000)])
    return path, events


def others(tmp_path):
    return sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("a"))


@pytest.mark.parametrize(("container", "compression"), WRITTEN)
def test_a_copy_in_any_container_holds_the_same_events(tmp_path, container, compression):
    make(tmp_path / "a.aedat4", "aedat4", "none", events_for_all(700))
    whole = read_all(tmp_path / "a.aedat4")[0]
    with open_recording(tmp_path / "a.aedat4") as opened:
        copied = copy_recording(opened, tmp_path / "b", container=container, compression=compression)
    assert np.array_equal(read_all(tmp_path / "b", sensor=SMALL, container=container)[0], whole)
    assert (copied.events, copied.bytes) == (700, (tmp_path / "b").stat().st_size)
    assert copied.duration_us == whole["t"][-1] - whole["t"][0]


def test_the_command_tells_what_it_wrote_and_takes_labels_along(recording, tmp_path, capsys):
    path, events = recording
    assert main(["convert-recording", str(path), str(tmp_path / "b.raw")]) == 0
    assert "b.raw: 2,000 events in" in capsys.readouterr().out
    assert np.array_equal(read_all(tmp_path / "b.raw")[0], events)
    assert read_labels(tmp_path / "b.raw") == read_labels(path)
    assert others(tmp_path) == ["b.raw", "b_labels.csv"]


def test_a_part_can_count_from_zero_and_its_labels_move_along(recording, tmp_path):
    path, events = recording
    part = [str(path), str(tmp_path / "b.es"), "--start", "0.004", "--stop", "0.05", "--from-zero"]
    assert main(["convert-recording", *part]) == 0
    since = events["t"] - events["t"][0]
    wanted = events[(since >= 4_000) & (since < 50_000)].copy()
    shift_us = int(wanted["t"][0])
    wanted["t"] -= shift_us
    assert np.array_equal(read_all(tmp_path / "b.es")[0], wanted)
    (span,) = read_labels(tmp_path / "b.es")
    assert (span.t_start_us, span.t_stop_us) == (
        int(events["t"][0]) - shift_us,
        int(events["t"][0]) + 10_000 - shift_us,
    )


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("b.es", [], r"steps below 2\^32 µs.*--from-zero"),
        ("b.bin", [], r"count time from 0 to 2\^23 µs.*--from-zero"),
        ("b.mp4", [], "nothing writes the suffix '.mp4'; can be written: aedat4"),
        ("b.raw", ["--format", "nope"], "nothing writes container 'nope'"),
        ("b.aedat4", ["--compression", "gzip"], "compression 'gzip' is not one of this container's"),
        ("b.dat", ["--start", "99"], "no event to write between its start and stop"),
        ("a.aedat4", [], "is the recording itself; name another file"),
        ("b", [], "/b: nothing writes a name without a suffix, unless its container is told; can be written: aedat4"),
        ("no/b.dat", [], "no/b.dat: there is no folder .*/no to write it into; make it first"),
        ("", [], "is a folder, a pipe or a device; name a file"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name_and_leaves_nothing(
    recording, tmp_path, capsys, name, options, sentence
):
    path, _ = recording
    before = path.read_bytes()
    assert main(["convert-recording", str(path), str(tmp_path / name), *options]) == 1

    told = capsys.readouterr().err.replace("\n", " ")
    assert re.search(sentence, told)
    assert ".write" not in told  # the file that is none of the user's
    assert others(tmp_path) == []
    assert path.read_bytes() == before


def test_a_sensor_that_is_too_large_for_the_container_is_refused_and_those_that_hold_it_are_named(tmp_path):
    path = tmp_path / "a.npz"
    with open_writer(path, SensorSize(3000, 260)) as writer:
        writer.write(events_for_all(9))
    for name, what in (("b.bin", r"N-MNIST \.bin counts 240"), ("b.raw", r"Prophesee EVT 3\.0 counts 2048")):
        with (
            open_recording(path) as opened,
            pytest.raises(
                RecordingError,
                match=rf"/{name}: {what} pixels a side, not 3000x260; write .*: AEDAT 4 \(\.aedat4\), .*DAT \(\.dat\)$",
            ),
        ):
            copy_recording(opened, tmp_path / name)
        assert others(tmp_path) == []


@pytest.mark.parametrize("writes", [0, 1])  # before the disk is full: none, or that of the header
def test_a_disk_that_is_full_is_told_by_the_name_that_was_given(recording, tmp_path, monkeypatch, writes):
    left, real = [None] * writes, _WholeWrites.write

    def full(file, data):
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()
        return real(file, data)

    monkeypatch.setattr(_WholeWrites, "write", full)
    with (
        open_recording(recording[0]) as opened,
        pytest.raises(RecordingError, match=r"/b\.csv: cannot be written: No space left") as raised,
    ):
        copy_recording(opened, tmp_path / "b.csv")
    assert raised.value.path == tmp_path / "b.csv"
    assert others(tmp_path) == []


def test_times_that_no_shift_helps_name_a_container_that_holds_them(tmp_path):
    events = np.zeros(2, EVENT_DTYPE)
    events["t"][1] = 1 << 24
    np.save(tmp_path / "a.npy", events)
    with (
        open_recording(tmp_path / "a.npy", sensor=SensorSize(34, 34)) as opened,
        pytest.raises(EventError, match="write AEDAT 4, which holds any"),
    ):
        copy_recording(opened, tmp_path / "b.bin", from_zero=True)


@pytest.mark.parametrize(
    ("on_error", "code", "left"), [("raise", 1, []), ("stop", 0, ["b.npz"]), ("skip", 0, ["b.npz"])]
)
def test_of_a_damaged_recording_only_what_was_asked_for_is_written(tmp_path, capsys, on_error, code, left):
    path = tmp_path / "a.dat"
    path.write_bytes(make(tmp_path / "a.dat", "dat", "none", events_for_all(300)).data[:-3])
    assert main(["convert-recording", str(path), str(tmp_path / "b.npz"), "--on-error", on_error]) == code
    assert "the file ends within an event" in capsys.readouterr().err
    assert others(tmp_path) == left
    if left:
        assert len(read_all(tmp_path / "b.npz")[0]) == 299


def test_a_file_that_was_there_stays_until_the_new_one_is_whole(recording, tmp_path):
    path, events = recording
    (tmp_path / "b.dat").write_bytes(b"old")
    path.write_bytes(path.read_bytes()[:-2000])
    assert main(["convert-recording", str(path), str(tmp_path / "b.dat")]) == 1
    assert (tmp_path / "b.dat").read_bytes() == b"old"
    assert main(["convert-recording", str(path), str(tmp_path / "b.dat"), "--on-error", "stop"]) == 0
    found = read_all(tmp_path / "b.dat")[0]
    assert np.array_equal(found, events[: len(found)])
