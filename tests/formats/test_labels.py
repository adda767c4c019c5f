"""Label files beside recordings."""

import pytest

from dvs_run.pipeline.errors import RecordingError
from dvs_run.pipeline.formats import GESTURES, labels_path, open_recording, read_labels, write_labels
from dvs_run.pipeline.stream import LabelSpan

from .files import events_for_all, make

SPANS = (LabelSpan("arm_roll", 10, 20), LabelSpan("other", 20, 90))


@pytest.mark.parametrize("numbers", [False, True])
def test_labels_are_read_back_with_the_recording_of_any_container(tmp_path, numbers):
    for name, container in (("a.aedat", "aedat31"), ("b.aedat4", "aedat4"), ("c.npz", "npz")):
        path = tmp_path / name
        make(path, container, "none", events_for_all())
        assert open_recording(path).labels == ()
        assert write_labels(path, SPANS, numbers) == labels_path(path) == tmp_path / f"{path.stem}_labels.csv"
        assert open_recording(path).labels == SPANS
    first_line = "class,startTime_usec,endTime_usec\n"
    assert labels_path(path).read_text() == first_line + (
        "8,10,20\n11,20,90\n" if numbers else "arm_roll,10,20\nother,20,90\n"
    )


def test_labels_are_ordered_by_time_and_numbers_are_those_of_the_gesture_set(tmp_path):
    labels_path(tmp_path / "a.aedat").write_text(
        "class,startTime_usec,endTime_usec\r\n2,50,60\r\n\r\n1,5,9\r\nMy wave,7,8\r\n"
    )
    assert read_labels(tmp_path / "a.aedat") == (
        LabelSpan("hand_clapping", 5, 9),
        LabelSpan("My wave", 7, 8),
        LabelSpan("right_hand_wave", 50, 60),
    )
    assert len(GESTURES) == 11


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line is '', want class,startTime_usec,endTime_usec"),
        ("a,b\n", "the first line is 'a,b'"),
        ("class,startTime_usec,endTime_usec\n12,1,2\n", "line 2 has class 12, want 1 to 11"),
        ("class,startTime_usec,endTime_usec\n1,x,2\n", "line 2 is '1,x,2', want a class and two times"),
        (
            "class,startTime_usec,endTime_usec\n1,1,2\n1,9,2\n",
            "line 3 is '1,9,2', want a class, its start and a later end",
        ),
        ("class,startTime_usec,endTime_usec\n1,2\n", "line 2"),
    ],
)
def test_a_broken_label_file_is_an_error_that_names_the_line(tmp_path, text, message):
    labels_path(tmp_path / "a.aedat4").write_text(text)
    make(tmp_path / "a.aedat4", "aedat4", "none", events_for_all())
    with pytest.raises(RecordingError, match=message):
        open_recording(tmp_path / "a.aedat4")
    labels_path(tmp_path / "a.aedat4").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match="the labels cannot be read"):
        open_recording(tmp_path / "a.aedat4")


def test_labels_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(RecordingError, match="'digit_3' has no number"):
        write_labels(tmp_path / "a.aedat", [LabelSpan("digit_3", 0, 1)], numbers=True)
    with pytest.raises(RecordingError, match="want a name without commas"):
        write_labels(tmp_path / "a.aedat", [LabelSpan("a,b", 0, 1)])
    assert not labels_path(tmp_path / "a.aedat").exists()
