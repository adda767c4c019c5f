"""Cameras of iniVation behind the real dv-processing: a made-up camera that gives real EventStores."""

import numpy as np
import pytest

from dvs_run.nodes.inivation import Inivation, InivationConfig
from dvs_run.nodes.live import LiveError
from dvs_run.pipeline.events import SensorSize

from .live_senders import Driven, Plug, events_at

DVS = SensorSize(128, 128)


class DvCamera:
    """A DVS128 whose events are real EventStores."""

    def __init__(self, plug, packets, dv):
        self._plug, self._packets, self._dv = plug, packets, dv

    def getCameraName(self):
        return "DVS128_00042"

    def getSerialNumber(self):
        return "00042"

    def getEventResolution(self):
        return (128, 128)

    def isRunning(self):
        return bool(self._packets)

    def getNextEventBatch(self):
        if not self._packets or self._packets[0] is None:
            del self._packets[:1]
            return None
        store = self._dv.EventStore()
        for t, x, y, p in self._packets.pop(0).tolist():
            store.push_back(t, x, y, p)
        return store

    def setTimeInterval(self, interval):
        self._plug.calls.append(("setTimeInterval", interval.total_seconds()))

    def setCropArea(self, area):
        self._plug.calls.append(("setCropArea", area))

    def setFlipHorizontal(self, on):
        self._plug.calls.append(("setFlipHorizontal", on))

    def setBias(self, bias, value):
        self._plug.calls.append(("setBias", bias.name, value))


@pytest.fixture
def dv(monkeypatch):
    """Plugs a camera into the real dv_processing."""
    package = pytest.importorskip("dv_processing")

    def plug_in(plug, camera=DvCamera):
        monkeypatch.setattr(package.io.camera, "open", lambda serial=None: camera(plug, plug.connect(serial), package))
        return plug

    plug_in.package = package
    return plug_in


def first_and_second():
    return events_at(np.arange(5_000, 8_000, 3), DVS), events_at(np.arange(40, 3_040, 3), DVS, seed=1)


def test_the_made_up_camera_has_only_what_a_real_one_has(dv):
    made_up = {name for name in vars(DvCamera) if not name.startswith("_")}
    assert made_up <= set(dir(dv.package.io.camera.DVS128))


def test_events_of_a_camera_come_with_its_name_and_size(dv):
    first, second = first_and_second()
    plug = dv(Plug([second, None, first[:500], None, first[500:], None]))
    with Driven(Inivation(InivationConfig())) as driven:
        driven.until(lambda: driven.source.arrived == 2)
        assert np.array_equal(driven.events, first)
        assert [(info.name, info.sensor) for info in driven.infos] == [("DVS128_00042", DVS)]
        assert plug.calls == [("setTimeInterval", 0.001)]
        assert driven.rows() == {"received": "2 packets, 1,000 events; 1,000 handed on"}


def test_a_camera_that_is_unplugged_and_plugged_in_again_goes_on_with_its_settings_and_a_later_time(dv):
    first, second = first_and_second()
    plug = dv(Plug([None, first], [second, None], absent=2))
    plug.attempts = 2  # it is there at first
    with Driven(Inivation(InivationConfig(biases={"PR": 7}))) as driven:
        driven.until(lambda: plug.is_empty and driven.source.arrived == 2)
        found = driven.events
        assert len(found) == len(first) + len(second)
        assert (np.diff(found["t"]) >= 0).all()
        assert np.array_equal(np.diff(found["t"][len(first) :]), np.diff(second["t"]))
        assert len(driven.infos) == 2
        assert plug.asked == [None, "00042", "00042", "00042"]
        assert plug.calls.count(("setBias", "PR", 7)) == 2
        assert driven.rows()["camera lost"] == "1 time; the last: it does not run any more"
        assert "1; each began a new stretch" in driven.rows()["gaps"]


def test_a_camera_that_does_not_come_back_ends_the_stream_where_that_is_asked_for(dv):
    dv(Plug([None, first_and_second()[0]]))
    with Driven(Inivation(InivationConfig(end_after_s=0.3))) as driven:
        driven.until(lambda: False)
        assert len(driven.events) == 1000


def test_settings_are_handed_to_the_driver(dv):
    plug = dv(Plug([None]))
    config = InivationConfig(region=[1, 2, 30, 40], flip=["horizontal"], biases={"DIFF_ON": 3}, packet_us=500)
    Inivation(config).open()
    assert plug.calls == [
        ("setTimeInterval", 0.0005),
        ("setCropArea", (1, 2, 30, 40)),
        ("setFlipHorizontal", True),
        ("setBias", "DIFF_ON", 3),
    ]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"contrast": [5, 5]}, "DVS128_00042 has no contrast; leave it out"),
        ({"refractory_us": 500}, "DVS128_00042 has no refractory_us; leave it out"),
        ({"skip_every": 3}, "DVS128_00042 has no skip_every"),
        ({"readout": "CONSTANT_100"}, "DVS128_00042 has no readout"),
        ({"biases": {"PX": 3}}, "biases has 'PX', which dv-processing does not know; known are CAS, .*PR"),
        ({"biases": {"PR": [1, 2]}}, r"biases.PR is \[1, 2\], want a whole number"),
    ],
)
def test_settings_that_the_camera_does_not_have_are_told(dv, settings, sentence):
    dv(Plug([None]))
    with pytest.raises(LiveError, match=sentence):
        Inivation(InivationConfig(**settings)).open()


class Davis(DvCamera):
    def getCameraName(self):
        return "DAVIS346_1"

    def getEventResolution(self):
        return (346, 260)

    setBias = property()  # a DAVIS has none

    def setFramesRunning(self, on):
        self._plug.calls.append(("setFramesRunning", on))

    def setRefractoryPeriodFilter(self, time_in_250us):
        self._plug.calls.append(("setRefractoryPeriodFilter", time_in_250us))

    def setDavis346BiasCoarseFine(self, bias, coarse, fine):
        self._plug.calls.append(("setDavis346BiasCoarseFine", bias.name, coarse, fine))


def test_a_davis_has_filters_and_biases_of_two_numbers_and_sends_no_frames(dv):
    made_up = {name for name in vars(Davis) if not name.startswith("_")} - {"setBias"}
    assert made_up <= set(dir(dv.package.io.camera.DAVIS))
    plug = dv(Plug([None], [None]), Davis)
    Inivation(InivationConfig(refractory_us=1_000, biases={"Photoreceptor": [5, 100]})).open()
    assert plug.calls[1:] == [
        ("setFramesRunning", False),
        ("setRefractoryPeriodFilter", 4),
        ("setDavis346BiasCoarseFine", "Photoreceptor", 5, 100),
    ]
    with pytest.raises(LiveError, match=r"biases.Off is 3, want \[coarse, fine\] for DAVIS346_1"):
        Inivation(InivationConfig(biases={"Off": 3})).open()


def test_a_word_that_is_no_direction_is_told():
    with pytest.raises(LiveError, match="flip has 'up', want horizontal"):
        InivationConfig(flip=["up"])


def test_no_camera_at_all_is_told():
    pytest.importorskip("dv_processing")
    with pytest.raises(LiveError, match=r"no camera can be opened by dv_processing \(.+\); is it plugged in"):
        Inivation(InivationConfig()).open()
