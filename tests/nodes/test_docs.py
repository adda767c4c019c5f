"""The node on the page about nodes works."""

import inspect
import re
from pathlib import Path

import numpy as np

from dvs_run.nodes.node import Node
from dvs_run.pipeline.events import SensorSize
from dvs_run.pipeline.stream import Classification, StreamInfo

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "nodes.md").read_text(encoding="utf-8")


def test_the_example_of_a_node_rings_when_a_label_has_lasted(capsys):
    names = {}
    exec(compile(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], "docs/nodes.md", "exec"), names)
    alarm = names["Alarm"](names["AlarmConfig"]("wave", after_us=20_000))
    alarm.open()
    alarm.begin(StreamInfo("hands", SensorSize(2, 2)))
    for n, label in enumerate(["wave", "clap", "wave", "wave", "wave", "wave"]):
        decision = Classification(n * 5000, (n + 1) * 5000, 0, label, np.zeros(2), 0, "hands")
        assert list(alarm.process(decision)) == []
    assert capsys.readouterr().out == "hands: wave at 30000 µs\n"
    assert alarm.report() == [("alarms", "1")]


def test_the_page_names_every_method_of_a_node():
    methods = [name for name, value in vars(Node).items() if not name.startswith("_") and inspect.isfunction(value)]
    assert all(f"| `{name}(" in PAGE for name in methods)
