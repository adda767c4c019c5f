"""What the nodes of live cameras share: open, read, and survive that somebody pulls the plug.

A driver's own file (inivation.py, prophesee.py) opens the camera with the settings of the config and reads packets. A
camera that is gone is looked for again, by its serial number, after 0.1 s, then twice as long each time up to 5 s; when
it is back it is set as before, the gap is marked, and time goes on. At the start a missing camera is told at once.
"""

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..pipeline.errors import DvsError, counted
from ..pipeline.events import EVENT_DTYPE, EventPacket, SensorSize
from ..pipeline.live import LiveClock, warm_up
from ..pipeline.stream import StreamInfo
from .live import LiveError, LiveSource, Patience
from .node import Row

NO_EVENTS = np.empty(0, EVENT_DTYPE)


class CameraPacket(NamedTuple):
    """What a driver gives at once."""

    events: np.ndarray  # EVENT_DTYPE, owned by whoever receives it
    reached_us: int | None = None  # the camera's clock, where it tells that


class CameraSource(LiveSource):
    """Base: a driver's file has `find`, `read`, `let_go` and the names of its package and extra."""

    package: ClassVar[str]  # that is imported
    extra: ClassVar[str]  # of ours, that installs it

    def find(self, driver: Any, serial: str | None) -> tuple[Any, str, SensorSize]:
        """The camera, opened and set; its name with its serial number; its size. LiveError: settings that do not fit.

        Any other exception: it is not there, or cannot be opened; the message says why.
        """
        raise NotImplementedError

    def read(self, camera: Any, seconds: float) -> CameraPacket | None:
        """The next packet, or None if there is none within so long. Any exception: the camera is gone."""
        raise NotImplementedError

    def serial_of(self, camera: Any) -> str:
        raise NotImplementedError

    def forget_backlog(self, camera: Any) -> None:
        """Throw away what has come since the camera was opened: the others took their time to get ready."""
        raise NotImplementedError

    def let_go(self, camera: Any) -> None:
        raise NotImplementedError

    def open(self) -> None:
        try:
            self._driver = importlib.import_module(self.package)
        except ImportError as error:
            raise LiveError(
                f"{self.package} cannot be loaded ({error}); install it with `pip install dvs-run[{self.extra}]`"
            ) from None
        warm_up(LiveClock(SensorSize(1, 1)))  # before anything comes
        self._camera: Any = None
        self._packet_read: CameraPacket | None = None
        self._serial: str | None = self.config.serial
        self._losses, self._last_loss, self._is_lost = 0, "", False
        try:
            name, sensor = self._connect()
        except LiveError:
            raise
        except Exception as error:  # drivers raise what they like, IndexError for "no camera" among it
            which = f"camera {self._serial}" if self._serial else "camera"
            raise LiveError(
                f"no {which} can be opened by {self.package} ({first_line(error)}); is it plugged in, free, and may "
                "this user use USB devices (docs/cameras.md)?"
            ) from None
        self.begin_live(name, sensor)

    def produce(self) -> Iterator[StreamInfo | EventPacket]:
        yield self.info
        assert self.clock is not None
        self.heard_ns = time.monotonic_ns()
        self._guarded(self.forget_backlog)
        while True:
            if self._camera is None and not self._find_again():
                return
            if not self.wait_for(self._ready) or self.is_over():
                return
            if self._is_lost:
                self._lose()
                continue
            packet, self._packet_read = self._packet_read, None
            if packet is None:
                continue
            now_ns = self.heard_ns = time.monotonic_ns()
            self.arrived += 1
            yield from self.hand_on(self.place(packet.events, now_ns), now_ns)
            yield from self._silence(packet, now_ns)

    def close(self) -> None:
        camera, self._camera = getattr(self, "_camera", None), None
        if camera is not None:
            self.let_go(camera)

    def report(self) -> list[Row]:
        rows = super().report()
        if rows and self._losses:
            rows.append(("camera lost", f"{counted(self._losses, 'time')}; the last: {self._last_loss}"))
        return rows

    def _silence(self, packet: CameraPacket, now_ns: int) -> Iterator[EventPacket]:
        """Time passes where nothing moves, if the camera says so: slices can be closed."""
        assert self.clock is not None
        if packet.reached_us is None or len(packet.events):
            return
        before_us = self.clock.reached_us
        reached_us = self.clock.promise(packet.reached_us)
        if reached_us > before_us:
            self.origin_ns = now_ns
            yield EventPacket(NO_EVENTS, reached_us)

    def _connect(self) -> tuple[str, SensorSize]:
        camera, name, sensor = self.find(self._driver, self._serial)
        self._camera, self._serial = camera, self.serial_of(camera)
        return name, sensor

    def _ready(self, seconds: float) -> bool:
        self._packet_read = None if self._is_lost else self._guarded(self.read, seconds)
        return self._is_lost or self._packet_read is not None or self.is_over()

    def _guarded(self, ask: Callable[..., Any], *more: Any) -> Any:
        """What the camera answers; None, and it is lost, if it does not."""
        try:
            return ask(self._camera, *more)
        except DvsError:  # its events are not those that we know
            raise
        except Exception as error:  # whatever the driver raises
            self._is_lost, self._last_loss = True, first_line(error)
            return None

    def _lose(self) -> None:
        assert self.clock is not None
        self._losses += 1
        self._is_lost = False
        self.clock.gap()
        camera, self._camera = self._camera, None
        try:
            self.let_go(camera)
        except Exception as error:  # it is gone; what its driver says about that changes nothing
            self._last_loss += f" ({first_line(error)})"

    def _find_again(self) -> bool:
        """Whether it is back; False: the run stops, or has waited long enough."""
        patience = Patience()
        while self.wait_until(patience.next_ns()):
            if self.is_over():
                return False
            try:
                _, sensor = self._connect()
            except Exception:  # not yet
                continue
            if sensor != self.info.sensor:
                raise LiveError(f"a camera of {sensor} pixels is back, it had {self.info.sensor}; begin a new run")
            return True
        return False


def first_line(error: BaseException) -> str:
    """What a driver has to say, without its stack."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    wanted = next((line for line in lines if line.startswith("RuntimeError:")), lines[0])
    return wanted.removeprefix("RuntimeError:").strip()[:200]


def want(camera: Any, method: str, setting: str, name: str) -> Any:
    """The method of a camera that applies a setting. Raises LiveError if this camera has none."""
    found = getattr(camera, method, None)
    if found is None:
        raise LiveError(f"{name} has no {setting}; leave it out")
    return found
