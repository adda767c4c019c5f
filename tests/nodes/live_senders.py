"""What the tests of live sources share: a source driven by hand, without a run around it, and small senders."""

import socket
import time

import numpy as np

from dvs_run.pipeline.events import EVENT_DTYPE, EventPacket
from dvs_run.pipeline.stream import StreamInfo

PATIENCE_S = 60  # a test that waits in vain ends so


class Driven:
    """A live source that is asked for payloads until a condition holds."""

    def __init__(self, source):
        self.source = source
        self.payloads = []
        source.open()

    def until(self, done):
        """Collect what the source yields until `done()`. Each call begins produce() anew, but for its first word."""
        give_up = time.monotonic() + PATIENCE_S

        def wait_for(ready):
            while not done():
                assert time.monotonic() < give_up, "waited in vain"
                if ready(0.05):
                    return True
            return False

        def wait_until(deadline_ns):
            while time.monotonic_ns() < deadline_ns and not done():
                time.sleep(0.002)
            return not done()

        self.source.wait_for, self.source.wait_until = wait_for, wait_until
        told_again = bool(self.payloads)
        self.payloads += list(self.source.produce())[told_again:]
        return self

    @property
    def infos(self):
        return [payload for payload in self.payloads if isinstance(payload, StreamInfo)]

    @property
    def events(self):
        packets = [payload for payload in self.payloads if isinstance(payload, EventPacket)]
        assert all(packet.t_stop_us >= packet.events["t"][-1] for packet in packets if len(packet.events))
        return np.concatenate([np.empty(0, EVENT_DTYPE), *(packet.events for packet in packets)])

    def rows(self):
        return dict(self.source.report())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.close()


def script(*steps):
    """A condition for `until` that does things on the way: each step is called until it returns True, in order."""
    left = list(steps)

    def done():
        while left and left[0]():
            left.pop(0)
        return not left

    return done


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


def events_at(times, sensor, seed=0):
    """Events at these times, all over the sensor."""
    rng = np.random.default_rng(seed)
    events = np.empty(len(times), EVENT_DTYPE)
    events["t"] = times
    events["x"], events["y"] = rng.integers(0, sensor.width, len(times)), rng.integers(0, sensor.height, len(times))
    events["p"] = rng.random(len(times)) < 0.5
    return events


def sender_to(address):
    """A socket that sends to there, from a port of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(address)
    return made
