"""Damaged recordings: a short run of the benchmark's own, and what it would tell of readers that are not right."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz, fuzz_mutations, fuzz_reader
from dvs_run.pipeline.errors import RecordingError
from tests.formats.files import READ, SMALL, events_for_all, make

FILES = 60  # of each container; the benchmark reads 10,000


def damaged(folder, container, compression="none"):
    made = make(folder / "made", container, compression, events_for_all(60))
    options = {"container": container, "sensor": (SMALL.width, SMALL.height)}
    return fuzz_reader.Damaged(made.data, options, max(made.marks[0][0], 1), folder / "damaged")


@pytest.mark.parametrize(("container", "compression"), READ)
def test_damaged_files_of_every_container_deliver_what_stands_before_the_damage(tmp_path, container, compression):
    under_test = damaged(tmp_path, container, compression)
    told = [under_test.try_one(number, seed=4) for number in range(FILES)]
    assert [one for one in told if "wrong" in one] == []
    assert {one["kind"] for one in told} >= {"whole", "refused"} or container == "aedat1"
    assert container == "npz" or sum(one["prefix"] for one in told) > 0


def test_a_number_names_one_damaged_file_and_the_first_byte_that_differs():
    data = bytes(range(256)) * 4
    sizes = set()
    for number in range(300):
        changed, first = fuzz_mutations.mutate(data, number, 100)
        assert (changed, first) == fuzz_mutations.mutate(data, number, 100)
        assert changed[:first] == data[:first]
        assert changed[first : first + 1] != data[first : first + 1] or first == len(data) == len(changed)
        sizes.add(len(changed))
    assert min(sizes) < 100
    assert max(sizes) > 1024


def with_reader(monkeypatch, under_test, damage):
    """What is told of readers that do `damage` to recordings."""
    honest = fuzz_reader.read
    for number in range(40):
        under_test.try_one(number, seed=4)

    def reader(path, on_error, options):
        events, found, error = honest(path, on_error, options)
        return damage(events, found, error)

    monkeypatch.setattr(fuzz_reader, "read", reader)
    return {under_test.try_one(number, seed=4).get("wrong") for number in range(40)} - {None}


@pytest.mark.parametrize(
    ("damage", "wrong"),
    [
        (lambda events, found, error: (events, found, KeyError("x") if error else None), "KeyError: 'x'"),
        (lambda events, found, error: (events, found, RecordingError("x") if error else None), "names no file"),
        (lambda events, found, error: (events[:5], found, error), "of .* good events before the damage"),
        (lambda events, found, error: (np.append(events, events[:1]), found, error), "out of order"),
        (lambda events, found, error: (np.append(events, at_128(events[-1:])), found, error), "outside the sensor"),
    ],
)
def test_readers_that_are_wrong_are_found_out(tmp_path, monkeypatch, damage, wrong):
    told = with_reader(monkeypatch, damaged(tmp_path, "dat"), damage)
    assert any(re.search(wrong, one) for one in told), told


def at_128(events):
    events = events.copy()
    events["x"] = 128
    return events


def test_a_process_that_dies_or_hangs_is_told_as_such():
    dying = 'import os; print(\'{"kind": "whole"}\', flush=True); os.kill(os.getpid(), 11)'
    *lines, last = fuzz.listen([sys.executable, "-c", dying], silence_s=60)
    assert lines == [{"kind": "whole"}]
    assert "ended with -11" in last["ended"]
    (last,) = fuzz.listen([sys.executable, "-c", "import time; time.sleep(600)"], silence_s=0.2)
    assert "nothing was heard" in last["ended"]


def test_a_reader_is_stopped_by_its_limits_and_the_run_goes_on_after_it(tmp_path, monkeypatch):
    script = tmp_path / "reader.py"
    script.write_text(
        "import json, sys\n"
        "for number in range(int(sys.argv[1]), int(sys.argv[2])):\n"
        "    if number == 2: sys.exit('no memory')\n"
        "    print(json.dumps({'kind': 'whole', 'prefix': 3}), flush=True)\n"
    )
    honest = fuzz.listen
    monkeypatch.setattr(
        fuzz, "listen", lambda command, silence_s: honest([sys.executable, str(script), *command[5:7]], silence_s)
    )
    result = fuzz.fuzz(fuzz.Sample("x", Path("x"), 1, {}), 5, seed=1)
    assert (result["files"], result["whole"], result["ended"]) == (5, 4, 1)
    assert result["failures"] == [{"file": 2, "what": "the process ended with 1: no memory"}]


def test_the_figures_of_the_last_run_show_no_failure():
    figures = json.loads(fuzz.FIGURES.read_text())
    runs = {name: run for name, run in figures.items() if isinstance(run, dict)}
    assert {name: run["failures"] for name, run in runs.items() if run["failures"]} == {}


def test_a_flood_of_memory_is_a_failure(tmp_path, monkeypatch):
    held = iter([0, 0, 0, 200 << 20, 200 << 20, 200 << 20])
    monkeypatch.setattr(fuzz_reader, "_most_memory", lambda: next(held))
    monkeypatch.setattr(fuzz_reader.resource, "setrlimit", lambda which, limits: None)
    sample = tmp_path / "sample"
    sample.write_bytes(make(tmp_path / "made", "dat", "none", events_for_all(60)).data)
    lines = []
    monkeypatch.setattr("builtins.print", lambda line, **_: lines.append(json.loads(line)))
    options = json.dumps({"container": "dat", "sensor": [128, 128]})
    monkeypatch.setattr(sys, "argv", ["fuzz_reader", str(sample), "100", "0", "2", "1", options])
    fuzz_reader.main()
    assert [("MiB of memory" in line.get("wrong", "")) for line in lines] == [False, True]
