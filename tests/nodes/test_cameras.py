"""Live cameras where there is no camera, or no driver: a sentence that says what to do."""

import sys

import pytest

from dvs_run.nodes.config import load_config
from dvs_run.nodes.inivation import Inivation, InivationConfig
from dvs_run.nodes.live import LiveError
from dvs_run.nodes.prophesee import Prophesee, PropheseeConfig

KINDS = [
    (Inivation, InivationConfig, "dv_processing", "inivation"),
    (Prophesee, PropheseeConfig, "neuromorphic_drivers", "prophesee"),
]


@pytest.mark.parametrize(("cls", "config", "package", "extra"), KINDS)
def test_no_camera_is_told_in_a_sentence(cls, config, package, extra):
    pytest.importorskip(package)
    source = cls(config(serial="no such camera"))
    with pytest.raises(
        LiveError, match=rf"no camera no such camera can be opened by {package} \(.+\); is it plugged in"
    ):
        source.open()
    source.close()


@pytest.mark.parametrize(("cls", "config", "package", "extra"), KINDS)
def test_a_missing_driver_is_told_with_the_extra_that_has_it(cls, config, package, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LiveError, match=rf"{package} cannot be loaded .*`pip install dvs-run\[{extra}\]`"):
        cls(config()).open()


@pytest.mark.parametrize(
    "camera",
    [
        {"kind": "inivation"},
        {"kind": "prophesee"},
        {"kind": "samna"},
        {"kind": "dv_network"},
        {"kind": "udp_in", "address": "127.0.0.1:9", "layout": "faery", "sensor": [9, 9]},
    ],
    ids=lambda camera: camera["kind"],
)
def test_a_queue_behind_a_live_source_drops_the_oldest_unless_told_otherwise(camera, write):
    nodes = {"camera": camera, "binner": {"kind": "binner", "input": "camera"}}
    edges = load_config(write({"nodes": nodes})).graph.outputs("camera")
    assert [edge.when_full for edge in edges] == ["drop_oldest"]
