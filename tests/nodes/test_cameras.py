"""Live cameras behind the drivers' real packages: a made-up device at the lowest place where they take one."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dvs_run.nodes.inivation import Inivation, InivationConfig
from dvs_run.nodes.live import LiveError
from dvs_run.nodes.prophesee import Prophesee, PropheseeConfig
from dvs_run.pipeline.events import EventPacket, SensorSize

from .live_senders import Driven, events_at

DVS = SensorSize(128, 128)
EVK4 = SensorSize(1280, 720)


class Plug:
    """A cable: what the camera at its end gives, pulled when that is used up. One list of packets a plugging in.

    None among them: nothing comes for a while. What an iniVation camera gives before the first of these is forgotten.
    """

    def __init__(self, *pluggings, absent=0):
        self.pluggings = [list(packets) for packets in pluggings]
        self.absent = absent  # attempts that find nothing, each time
        self.attempts, self.asked, self.calls = absent, [], []

    def connect(self, serial):
        self.asked.append(serial)
        if self.attempts < self.absent or not self.pluggings:
            self.attempts += 1
            raise RuntimeError("device not found")
        self.attempts = 0
        return self.pluggings.pop(0)

    @property
    def is_empty(self):
        return not self.pluggings


# --- dv-processing ---


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


# --- neuromorphic-drivers ---


class NdDevice:
    """An EVK4 in place of the class that the package's own `open` makes: it is given what the real one is given."""

    plug, package = None, None

    def __new__(cls, raw, most_raw_packets, model, configuration, serial, address, ring, timeout):
        assert (raw, timeout) == (False, 0.1)
        made = super().__new__(cls)
        made._packets = cls.plug.connect(serial)
        cls.plug.calls.append((model, configuration))
        return made

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.plug.calls.append("closed")

    def name(self):
        return self.package.Name.PROPHESEE_EVK4

    def serial(self):
        return "ABC"

    def properties(self):
        return self.package.name_to_properties(self.name())

    def clear_backlog(self, until):
        self.plug.calls.append(("clear_backlog", until))

    def __next__(self):
        if not self._packets:
            raise RuntimeError("Error(Usb(NoDevice))\nstack")
        found = self._packets.pop(0)
        status = self.package.status
        if found is None:
            return status.Status(1.0, None), None
        return status.Status(1.0, status.RingStatus(1.0, found.backlog, 1, True, found.current_t, found.dropped)), found


def evk4_packet(events=None, current_t=0, backlog=0, dropped=0, gaps=None):
    if events is not None:
        events = events.view([("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")])
        current_t = current_t or int(events["t"][-1])
    return SimpleNamespace(
        polarity_events=events,
        polarity_events_overflow_indices=gaps,
        current_t=current_t,
        backlog=backlog,
        dropped=dropped,
    )


@pytest.fixture
def nd(monkeypatch):
    package = pytest.importorskip("neuromorphic_drivers")

    def plug_in(plug):
        monkeypatch.setattr(NdDevice, "plug", plug)
        monkeypatch.setattr(NdDevice, "package", package)
        monkeypatch.setattr(package.device, "Device", NdDevice)
        return plug

    plug_in.package = package
    return plug_in


def test_the_made_up_device_has_only_what_a_real_one_has(nd):
    assert {name for name in vars(NdDevice) if not name.startswith("_")} - {"plug", "package"} <= set(
        dir(nd.package.device.Device)
    )


def test_events_of_an_evk4_come_with_its_name_and_size_and_what_the_driver_says_of_losses(nd):
    events = events_at(np.arange(0, 9_000, 3), EVK4)
    plug = nd(
        Plug(
            [
                evk4_packet(events[:1000].copy(), backlog=3),
                None,
                evk4_packet(events[1000:].copy(), backlog=9, dropped=4, gaps=np.array([5])),
                None,
                None,
            ]
        )
    )
    with Driven(Prophesee(PropheseeConfig(most_backlog=8))) as driven:
        driven.until(lambda: driven.source.arrived == 2)
        assert np.array_equal(driven.events, events)
        assert [(info.name, info.sensor) for info in driven.infos] == [("Prophesee EVK4 ABC", EVK4)]
        assert plug.calls == [(None, None), ("clear_backlog", 1), ("clear_backlog", 8)]
        assert driven.source.dropped == 5
        rows = driven.rows()
        assert rows["driver's backlog"] == "9 packets at most"
        assert rows["driver's drops"].startswith("4 packets dropped by the driver, its ring was full; 1 places")
    assert plug.calls[-1] == "closed"


def test_time_passes_in_silence_as_the_camera_says(nd):
    nd(Plug([evk4_packet(events_at([100], EVK4)), evk4_packet(current_t=5_000), evk4_packet(current_t=4_000), None]))
    with Driven(Prophesee(PropheseeConfig())) as driven:
        driven.until(lambda: driven.source.arrived == 3)
        packets = [payload for payload in driven.payloads if isinstance(payload, EventPacket)]
        assert [(len(packet.events), packet.t_stop_us) for packet in packets] == [(1, 100), (0, 5_000)]


def test_an_evk4_that_is_unplugged_and_plugged_in_again_goes_on_at_a_later_time(nd):
    first, second = events_at(np.arange(9_000, 12_000), EVK4), events_at(np.arange(10, 510), EVK4, seed=2)
    plug = nd(Plug([evk4_packet(first.copy())], [evk4_packet(second.copy()), None, None], absent=1))
    plug.attempts = 1
    with Driven(Prophesee(PropheseeConfig(model="prophesee_evk4", biases={"diff_on": 5}))) as driven:
        driven.until(lambda: driven.source.arrived == 2)
        found = driven.events
        assert (np.diff(found["t"]) >= 0).all()
        assert np.array_equal(found[["x", "y", "p"]], np.concatenate([first, second])[["x", "y", "p"]])
        assert len(driven.infos) == 2
        assert plug.asked == [None, "ABC", "ABC"]
        assert len({call for call in plug.calls if call[0] == "prophesee_evk4"}) == 1  # set as before
        assert driven.rows()["camera lost"] == "1 time; the last: Error(Usb(NoDevice))"


def test_settings_are_the_drivers_own(nd):
    plug = nd(Plug([None]))
    evk4 = nd.package.prophesee_evk4
    config = PropheseeConfig(
        model="prophesee_evk4", region=[576, 20, 100, 50], biases={"fo": -3}, rate_limit=[200, 1_000]
    )
    Prophesee(config).open()
    mask = evk4.RowColumnMask(set=True)
    mask.clear_rectangle(x=576, y=720 - 20 - 50, width=100, height=50)
    expected = evk4.Configuration(
        biases=evk4.Biases(fo=-3),
        x_mask=mask.x_mask(),
        y_mask=mask.y_mask(),
        rate_limiter=evk4.RateLimiter(200, 1_000),
    )
    assert plug.calls == [("prophesee_evk4", expected.serialize())]
    ys, xs = np.nonzero(mask.pixels())  # what the package draws, from the top
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (576, 675, 20, 69)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"biases": {"px": 3}}, "biases has 'px', which prophesee_evk4 does not; known are pr, fo, "),
        ({"biases": {"fo": 10**6}}, "a bias or limit of prophesee_evk4 is out of range"),
        ({"region": [1200, 0, 100, 10]}, r"region \[1200, 0, 100, 10\] does not lie within 1280x720; want"),
        ({"model": "inivation_dvxplorer", "rate_limit": [1, 1]}, "inivation_dvxplorer has no rate_limit; leave it out"),
        ({"model": "lucid_triton", "region": [0, 0, 9, 9]}, "lucid_triton has no region; use the node filter"),
    ],
)
def test_settings_that_the_model_does_not_have_are_told(nd, settings, sentence):
    nd(Plug([None]))
    with pytest.raises(LiveError, match=sentence):
        Prophesee(PropheseeConfig(**{"model": "prophesee_evk4", **settings})).open()


def test_settings_of_a_model_need_its_name():
    with pytest.raises(LiveError, match="model is missing"):
        PropheseeConfig(biases={"fo": 1})


# --- without a camera, without a driver ---

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
