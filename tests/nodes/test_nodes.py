"""Each node by itself: payloads in, payloads out, no socket and no thread."""

import io
import json

import numpy as np
import pytest

from dvs_run.nodes.binner import Binner, BinnerConfig
from dvs_run.nodes.classifier import Classifier, ClassifierConfig
from dvs_run.nodes.encoder import Encoder, EncoderConfig
from dvs_run.nodes.file import File, FileConfig
from dvs_run.nodes.messages import Message
from dvs_run.nodes.printer import Printer, PrinterConfig, line, sureness
from dvs_run.nodes.score import Score, ScoreConfig
from dvs_run.pipeline.errors import NetworkError
from dvs_run.pipeline.events import EventPacket, SensorSize
from dvs_run.pipeline.stream import BinnedSlice, Classification, CurrentSlice, Image, LabelSpan, StreamInfo

from .conftest import SIDE, WINDOW_US, random_events

INFO = StreamInfo("hands", SensorSize(SIDE, SIDE), timestep_us=WINDOW_US)


def run(node, *payloads):
    """Open, begin at every StreamInfo, process, finish: all that comes out."""
    out, running = [], False
    node.open()
    for payload in payloads:
        if isinstance(payload, StreamInfo):
            out += list(node.finish()) if running else []
            out.append(node.begin(payload))
            running = True
        else:
            out += list(node.process(payload))
    return out + list(node.finish())


def decision(label, start=0, index=0, scores=(2.0, 1.0, 0.0), length=WINDOW_US):
    return Classification(start, start + length, index, label, np.array(scores), 10, "hands")


def test_the_binner_emits_every_window_and_says_how_long_they_are():
    events = random_events(np.random.default_rng(1), 400, 40_000)
    info, *pieces = run(Binner(BinnerConfig(10_000)), INFO, EventPacket(events, int(events["t"][-1])))
    assert info.timestep_us == 10_000
    assert all(isinstance(piece, BinnedSlice) for piece in pieces)
    assert len(pieces) == 4
    assert sum(int(piece.counts.sum()) for piece in pieces) == 400


def test_the_binner_starts_its_grid_anew_with_each_recording():
    early, late = (random_events(np.random.default_rng(1), 50, 10_000, first_us=t) for t in (10**9, 5))
    out = run(Binner(), INFO, EventPacket(early, 10**9 + 20_000), INFO, EventPacket(late, 20_000))
    starts = [piece.t_start_us for piece in out if isinstance(piece, BinnedSlice)]
    assert starts[0] == early["t"][0]
    assert min(starts) == late["t"][0]


@pytest.mark.parametrize(("method", "kind"), [("poisson", BinnedSlice), ("current", CurrentSlice)])
def test_the_encoder_gives_each_image_its_timesteps(method, kind):
    image = Image(np.full((1, 3, 3), 0.5, np.float32))
    info, *pieces = run(Encoder(EncoderConfig(method, timesteps=7, timestep_us=500)), INFO, image)
    assert info.timestep_us == 500
    assert [type(piece) for piece in pieces] == [kind] * 7
    assert pieces[-1].t_stop_us == 3500


def test_poisson_spikes_depend_on_the_seed_and_the_number_of_the_image():
    def cells(seed):
        image = Image(np.full((1, 8, 8), 0.5, np.float32))
        pieces = run(Encoder(EncoderConfig("poisson", 3, seed=seed)), INFO, image, INFO, image)
        return [piece.cells.tolist() for piece in pieces if isinstance(piece, BinnedSlice)]

    assert cells(1) == cells(1)
    assert cells(1) != cells(2)
    assert cells(1)[:3] != cells(1)[3:]


def classifier(folder, **settings):
    return Classifier(ClassifierConfig(str(folder / "net.npz"), **settings))


def some_slice(start=0, length=WINDOW_US):
    return BinnedSlice(start, start + length, np.arange(40, dtype=np.int32), np.ones(40, np.int32))


def test_the_classifier_decides_after_every_slice_and_names_the_recording(sample_folder):
    out = run(classifier(sample_folder), INFO, some_slice(), some_slice(WINDOW_US))[1:]
    assert [d.recording for d in out] == ["hands", "hands"]
    assert all(d.label in ("a", "b", "c") for d in out)


def test_the_classifier_forgets_at_the_beginning_of_a_recording(sample_folder):
    out = run(classifier(sample_folder), INFO, some_slice(), INFO, some_slice())
    first, second = (d for d in out if isinstance(d, Classification))
    assert np.array_equal(first.scores, second.scores)


def test_a_network_for_another_sensor_is_refused(sample_folder):
    other = StreamInfo("wide", SensorSize(20, SIDE), timestep_us=WINDOW_US)
    with pytest.raises(NetworkError, match="for 2 channels of 16x16 pixels, wide has 2 of 20x16"):
        run(classifier(sample_folder), other)


def test_slices_of_another_length_run_and_are_told_unless_the_config_refuses_them(sample_folder):
    other = StreamInfo("slow", SensorSize(SIDE, SIDE), timestep_us=10_000)
    with pytest.raises(NetworkError, match="set window_us of the binner to 5000"):
        run(classifier(sample_folder, any_timestep=False), other)
    node = classifier(sample_folder)
    out = run(node, INFO, some_slice(), other, some_slice(0, 10_000))
    assert sum(isinstance(d, Classification) for d in out) == 2
    assert "trained on 5000 µs, ran on 10000 µs" in dict(node.report())["other slices"]


def test_the_classifier_reports_operations_beside_those_of_the_cnn(sample_folder):
    node = classifier(sample_folder)
    assert node.check() == []
    run(node, INFO, some_slice())
    rows = dict(node.report())
    assert "conv" in rows["SynOps a slice"]
    assert "conv" in rows["MACs of the CNN"]
    assert classifier(sample_folder / "nowhere").check()[0].startswith("network: there is no network file")


def test_a_file_holds_one_line_a_decision_and_no_host_times(tmp_path):
    node = File(FileConfig(str(tmp_path / "out.jsonl")))
    run(node, INFO, decision("a"), decision("b", WINDOW_US, 1))
    node.close()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines[1] == {
        "recording": "hands",
        "t_start_us": 5000,
        "t_stop_us": 10000,
        "index": 1,
        "label": "b",
        "synops": 10,
        "scores": [2.0, 1.0, 0.0],
    }


def test_host_times_are_written_when_asked_for(tmp_path):
    node = File(FileConfig(str(tmp_path / "out.jsonl"), scores=False, host_times=True))
    node.message = Message(decision("a"), "classifier", 3, origin_ns=5, sent_ns=9)
    run(node, INFO, decision("a"))
    node.close()
    line = json.loads((tmp_path / "out.jsonl").read_text())
    assert (line["origin_ns"], line["sent_ns"]) == (5, 9)
    assert "scores" not in line


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    assert "there is no folder" in File(FileConfig(str(tmp_path / "no" / "out"))).check()[0]
    with pytest.raises(Exception, match="cannot be written"):
        File(FileConfig(str(tmp_path))).open()


LABELLED = StreamInfo("hands", SensorSize(SIDE, SIDE), labels=(LabelSpan("a", 0, 10**6),))


def printed(capsys, config, *payloads):
    run(Printer(config), *payloads)
    return capsys.readouterr().out.splitlines()


def test_the_printer_tells_changes_and_the_end(capsys):
    decisions = [decision("a", n * 5000, 0) for n in range(3)] + [decision("b", 15_000, 1)]
    lines = printed(capsys, PrinterConfig(), LABELLED, *decisions)
    assert [line.split()[:4] for line in lines[:2]] == [["0.005", "s", "hands", "a"], ["0.020", "s", "hands", "b"]]
    assert lines[2].split()[0] == "end"
    assert lines[2].endswith("WRONG: a")


def test_the_printer_can_wait_until_a_change_lasts(capsys):
    labels = ["a", "b", "a", "a", "a"]
    decisions = [decision(label, n * 5000, "ab".index(label)) for n, label in enumerate(labels)]
    lines = printed(capsys, PrinterConfig(steady_us=10_000, ends=False), LABELLED, *decisions)
    assert [line.split()[0] for line in lines] == ["0.020"]


def test_the_printer_can_tell_every_decision_or_only_the_ends(capsys):
    decisions = [decision("a", n * 5000) for n in range(4)]
    assert len(printed(capsys, PrinterConfig(every_us=0, ends=False), LABELLED, *decisions)) == 4
    assert len(printed(capsys, PrinterConfig(every_us=10_000, ends=False), LABELLED, *decisions)) == 2
    assert len(printed(capsys, PrinterConfig(changes=False), LABELLED, *decisions)) == 1
    assert "no decision" in printed(capsys, PrinterConfig(), LABELLED)[0]


@pytest.mark.parametrize(("scores", "sure"), [([3, 3, 0], 0), ([4, 2, 0], 0.5), ([1, 0, 0], 1), ([0, 0], 0), ([5], 0)])
def test_how_sure_a_decision_is(scores, sure):
    assert sureness(np.array(scores, float)) == sure


def test_the_score_counts_the_last_decision_of_every_label():
    spans = (LabelSpan("a", 0, 10_000), LabelSpan("b", 10_000, 20_000), LabelSpan("c", 50_000, 60_000))
    stream = StreamInfo("hands", SensorSize(4, 4), labels=spans)
    node = Score(ScoreConfig(matrix=True))
    run(node, stream, decision("c", 0), decision("a", 5000), decision("b", 10_000), decision("a", 15_000))
    rows = dict(node.report())
    assert rows["accuracy"].startswith("33.33%  (1 of 3; 95 % interval 6.15% to 79.23%)")
    assert rows["accuracy of decisions"].startswith("50.00%  (2 of 4")
    assert rows["mistaken"] == "b as a 1x, c as undecided 1x"
    assert "confusion" in rows


def test_the_score_says_where_nothing_is_known():
    node = Score()
    run(node, INFO, decision("a"))
    assert node.report() == [("accuracy", "unknown: no labels in 1 recording")]
    unfinished = Score()
    unfinished.open()
    unfinished.begin(LABELLED)
    assert unfinished.report()[0][1] == "unknown: no labelled recording came to its end"


def test_output_that_cannot_show_a_bar_gets_a_question_mark(monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii", errors="replace")
    monkeypatch.setattr("sys.stdout", ascii_only)
    run(Printer(PrinterConfig()), LABELLED, decision("a"))
    ascii_only.flush()
    assert b"?" in ascii_only.buffer.getvalue()


@pytest.mark.parametrize("columns", range(20, 130))
@pytest.mark.parametrize("share", [None, 0.123, 1.0])
def test_a_printed_line_fits_the_terminal(columns, share):
    name, label = "recordings/user07_fluorescent_led.aedat", "left_arm_counter_clockwise"
    printed = line("   0.120 s", name, label, share, "WRONG: right_arm_counter_clockwise", columns)
    assert len(printed) <= columns
    assert printed.startswith("   0.120 s")


def test_a_line_is_shortened_only_where_it_must_be():
    whole = line("   0.120 s", "air_drums.aedat4", "air_drums", 0.12, "  2.35 ms", 0)
    assert whole == f"   0.120 s  {'air_drums':27}  {'air_drums':27} █░░░░░░░░░ 0.12    2.35 ms"
    narrow = line("   0.120 s", "air_drums.aedat4", "air_drums", 0.12, "  2.35 ms", 80)
    assert narrow == f"   0.120 s  {'air_drums':19}  {'air_drums':19} █░░░░░░░░░ 0.12    2.35 ms"
    assert "█" not in line("   0.120 s", "air_drums.aedat4", "air_drums", 0.12, "  2.35 ms", 60)
    assert line("       end", "x.aedat4", "no decision", None, "", 80) == f"       end  {'x':19}  no decision"


def test_the_printer_asks_the_terminal_for_its_width(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "50")
    info = StreamInfo("a_recording_with_a_name_of_some_length.aedat4", SensorSize(SIDE, SIDE))
    run(Printer(PrinterConfig()), info)
    printed = capsys.readouterr().out.splitlines()
    assert [len(text) <= 50 for text in printed] == [True]
