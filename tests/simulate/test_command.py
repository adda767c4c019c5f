"""`dvs simulate`, and the samples that are shipped."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.commands import main
from dvs_run.pipeline.events import EVENT_DTYPE
from dvs_run.pipeline.formats import open_recording
from dvs_run.pipeline.simulate.digits import draw_digit
from dvs_run.pipeline.simulate.gesture import CLASSES, simulate_gesture
from dvs_run.pipeline.simulate.saccade import simulate_saccade

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings"


def events_of(path):
    with open_recording(path) as recording:
        return np.concatenate([np.empty(0, EVENT_DTYPE), *(packet.events for packet in recording)])


def labels_of(path):
    with open_recording(path) as recording:
        return [(span.label, span.t_start_us, span.t_stop_us) for span in recording.labels]


@pytest.mark.parametrize("suffix", [".aedat4", ".npz", ".aedat"])
def test_a_gesture_is_written_as_it_is_simulated_with_its_label(tmp_path, capsys, suffix):
    out = tmp_path / f"x{suffix}"
    arguments = ["--class", "right_hand_wave", "--seed", "7", "--person", "3", "--duration", "0.2", "--out", str(out)]
    assert main(["simulate", "gesture", *arguments]) == 0
    wanted = simulate_gesture(1, seed=7, person=3, lighting=0, duration_us=200_000)
    assert np.array_equal(events_of(out), wanted)
    assert labels_of(out) == [("right_hand_wave", 0, 200_000)]
    assert f"{len(wanted):,} events" in capsys.readouterr().out


def test_several_classes_make_one_recording_with_a_label_each(tmp_path):
    out = tmp_path / "x.npz"
    names = "arm_roll, air_drums"
    assert main(["simulate", "gesture", "--class", names, "--duration", "0.1", "--out", str(out)]) == 0
    assert labels_of(out) == [("arm_roll", 500_000, 600_000), ("air_drums", 1_600_000, 1_700_000)]


def test_a_picture_is_moved_by_saccades_or_round_the_loop(tmp_path):
    image = tmp_path / "three.npy"
    np.save(image, draw_digit(3, 0))
    for scene, size in (("saccade", 34), ("cifar-loop", 128)):
        out = tmp_path / f"{scene}.aedat4"
        assert main(["simulate", scene, "--image", str(image), "--seed", "2", "--out", str(out)]) == 0
        with open_recording(out) as recording:
            assert (recording.sensor.width, recording.sensor.height) == (size, size)
    assert np.array_equal(events_of(tmp_path / "saccade.aedat4"), simulate_saccade(draw_digit(3, 0), 2))


def test_a_contact_sheet_is_drawn(tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main(["simulate", "gesture", "--class", "hand_clapping", "--sheet", str(sheet)]) == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gesture"], 2, "give --out FILE"),
        (["gesture", "--class", "dancing", "--out", "x.npz"], 1, "there is no gesture 'dancing'; known are hand_"),
        (["gesture", "--out", "x.npz", "--image", "x.png"], 2, "--image goes with"),
        (["saccade", "--out", "x.npz"], 2, "--image goes with"),
        (["saccade", "--out", "x.npz", "--image", "absent.png"], 1, "absent.png: there is no such file"),
        (["gesture", "--class", "other", "--duration", "0.1", "--out", "x.mp4"], 1, "nothing writes the suffix '.mp4'"),
        (["gesture", "--class", "other", "--duration", "0.1", "--sheet", "x.foo"], 1, "the sheet cannot be written"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_gets_a_sentence(tmp_path, capsys, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["simulate", *arguments]) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.glob("x.*"))


def test_the_shipped_samples_are_what_their_script_makes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make.py", "--check"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(RECORDINGS / "make.py"), run_name="__main__")
    assert stop.value.code == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", CLASSES)
def test_the_shipped_gestures_are_labelled_from_beginning_to_end(name):
    path = RECORDINGS / "gesture" / f"{name}.aedat4"
    events = events_of(path)
    assert labels_of(path) == [(name, 0, 1_600_000)]
    assert 0 <= events["t"][0] < 1_000
    assert 1_595_000 < events["t"][-1] <= 1_600_000


def test_the_samples_stay_small():
    folders = [RECORDINGS / name for name in ("gesture", "nmnist", "digits")]
    assert sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()) < 6_000_000
