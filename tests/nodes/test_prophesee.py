"""Cameras behind the real neuromorphic-drivers: a made-up device where the package makes its own."""

from types import SimpleNamespace

import numpy as np
import pytest

from dvs_run.nodes.live import LiveError
from dvs_run.nodes.prophesee import Prophesee, PropheseeConfig
from dvs_run.pipeline.events import EventPacket, SensorSize

from .live_senders import Driven, Plug, events_at

EVK4 = SensorSize(1280, 720)


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
