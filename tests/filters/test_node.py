"""The node `filter`, in a graph and by itself; and a filter from outside the package."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dvs_run.nodes.config import ConfigError, load_config
from dvs_run.nodes.filter import Filter, FilterConfig
from dvs_run.pipeline.errors import EventError
from dvs_run.pipeline.events import EventPacket, SensorSize
from dvs_run.pipeline.filters import filter_events, known_filters, make_filters
from dvs_run.pipeline.stream import LabelSpan, StreamInfo

from ..naive import filters as naive

SENSOR = SensorSize(12, 9)
INFO = StreamInfo("hands", SENSOR, labels=(LabelSpan("wave", 0, 10),))
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
CHAIN = [{"kind": "refractory", "period_us": 900}, {"kind": "crop", "x": 2, "y": 1, "width": 8, "height": 5}]


def write_config(folder, filters):
    path = folder / "run.yaml"
    path.write_text(
        "nodes:\n  recording: {kind: recording, path: x.npz}\n"
        f"  clean:\n    kind: filter\n    input: recording\n    filters:\n{filters}"
        "  binner: {kind: binner, input: clean}\n"
    )
    return path


def test_packets_pass_filtered_and_the_stream_says_the_new_size():
    node = Filter(FilterConfig(CHAIN))
    node.open()
    info = node.begin(INFO)
    assert info.sensor == SensorSize(8, 5)
    assert (info.name, info.labels) == (INFO.name, INFO.labels)
    events = naive.random_events(900, SENSOR, 60_000, seed=1)
    packets = [packet for part in np.split(events, [100, 100, 650]) for packet in node.process(EventPacket(part, 7))]
    wanted, _ = filter_events(events, SENSOR, make_filters(CHAIN))
    assert np.array_equal(np.concatenate([packet.events for packet in packets]), wanted)
    assert [packet.t_stop_us for packet in packets] == [7] * 4  # empty ones too: time must advance


def test_the_summary_says_what_each_filter_kept_and_why_it_dropped():
    node = Filter(FilterConfig(CHAIN))
    node.open()
    for _ in range(2):  # counts go on over recordings
        node.begin(INFO)
        list(node.process(EventPacket(naive.random_events(400, SENSOR, 60_000, seed=1), 60_000)))
    (first, one), (second, two) = node.report()
    assert (first, second) == ("refractory", "crop")
    kept = re.fullmatch(r"(\d+) of 800 events kept \([\d.]+%\), (\d+) within the period", one)
    assert int(kept[1]) + int(kept[2]) == 800
    assert re.fullmatch(rf"\d+ of {kept[1]} events kept \([\d.]+%\), \d+ outside", two)


def test_an_event_outside_the_stated_sensor_ends_the_run_with_a_sentence():
    node = Filter(FilterConfig(CHAIN))
    node.open()
    node.begin(StreamInfo("hands", SensorSize(11, 9)))
    with pytest.raises(EventError, match="lies outside the 11x9 sensor"):
        list(node.process(EventPacket(naive.random_events(900, SENSOR, 60_000, seed=1), 7)))


def test_a_config_is_told_every_fault_with_its_line(tmp_path):
    text = "      - {kind: refractory, period_us: -5}\n      - kind: crop\n        x: 1\n        y: no\n"
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(tmp_path, text))
    told = str(caught.value)
    assert "line 7, nodes.clean.filters[0].period_us: found -5, want a whole number (at least 0" in told
    assert "line 10, nodes.clean.filters[1].y: found 'no', want a whole number" in told
    assert "line 8, nodes.clean.filters[1].width: is missing" in told


def test_paths_of_filters_begin_at_the_config_file(tmp_path):
    config = load_config(write_config(tmp_path, "      - {kind: hot_pixel, path: lists/hot.txt}\n"))
    node = config.graph.nodes["clean"].make()
    assert node.config.filters[0]["path"] == str(tmp_path / "lists" / "hot.txt")
    assert node.check() == [
        f"filters: there is no list of pixels {tmp_path / 'lists' / 'hot.txt'}; "
        "want a text file with a line x, y for each"
    ]


@pytest.mark.parametrize("filters", ["      []\n", "      - {}\n", "      - 3\n"])
def test_a_list_without_filters_is_refused(tmp_path, filters):
    with pytest.raises(ConfigError, match="filters"):
        load_config(write_config(tmp_path, filters))


@pytest.fixture
def package(tmp_path):
    """The filter of the page, in an installed package of somebody else."""
    folder = tmp_path / "site"
    (folder / "my_package").mkdir(parents=True)
    (folder / "my_package" / "__init__.py").touch()
    source = next(code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "class Odd" in code)
    (folder / "my_package" / "odd.py").write_text(source, encoding="utf-8")
    info = folder / "my_package-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
    entry = re.search(r'\[project\.entry-points\."(dvs_run\.filters)"\]\n(.*?)```', PAGE, re.S)
    (info / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2].replace(chr(34), '')}")
    return folder


def test_a_filter_of_another_package_is_one_file_and_one_row(package, monkeypatch):
    monkeypatch.syspath_prepend(str(package))
    assert "odd" in known_filters()
    events = naive.random_events(300, SENSOR, 60_000, seed=2)
    out, sensor = filter_events(events, SENSOR, make_filters([{"kind": "odd", "every": 3}, {"kind": "transpose"}]))
    odd = events[events["x"] % 3 == 1]
    assert (out["y"].tolist(), out["x"].tolist(), sensor) == (odd["x"].tolist(), odd["y"].tolist(), SensorSize(9, 12))


def test_filters_are_not_imported_by_runs_that_have_none():
    code = "import dvs_run.nodes.launcher, dvs_run.nodes.filter, sys; print('numba' in sys.modules)"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "False"
