"""Node `prophesee`: an EVK3 HD, EVK4, SilkyEvCam VGA or Triton2, through neuromorphic-drivers (extra `prophesee`).

That package also drives DAVIS346 and DVXplorer, without iniVation's own. It reads USB in a thread of its own into a
ring of packets, and says of each read how many wait, how many were dropped, and where the camera's clock is.
"""

import contextlib
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from ..pipeline.errors import counted
from ..pipeline.events import SensorSize, as_events
from .camera import NO_EVENTS, CameraPacket, CameraSource
from .live import EndAfter, LiveError
from .node import Row

_TICK_S = 0.1  # how long a read waits for a packet
Model = Literal[
    "prophesee_evk4",
    "prophesee_evk3_hd",
    "centuryarks_vga",
    "lucid_triton",
    "inivation_davis346",
    "inivation_dvxplorer",
]


@dataclass(frozen=True)
class PropheseeConfig:
    serial: Annotated[str | None, Field(description="serial number; default: the first camera that is found")] = None
    model: Annotated[
        Model | None, Field(description="which camera it is; needed with region, biases and rate_limit")
    ] = None
    region: Annotated[
        list[int] | None, Field(min_length=4, max_length=4, description="[x, y, width, height] that sends events")
    ] = None
    biases: Annotated[dict[str, int], Field(description="NAME: value; names as in neuromorphic-drivers")] = field(
        default_factory=dict
    )
    rate_limit: Annotated[
        list[int] | None,
        Field(min_length=2, max_length=2, description="[period in µs, events]: the camera sends no more in a period"),
    ] = None
    most_backlog: Annotated[
        int | None, Field(ge=1, description="USB packets that may wait in the driver; older ones are dropped, counted")
    ] = None
    end_after_s: EndAfter = None

    def __post_init__(self) -> None:
        if self.model is None and (self.region or self.biases or self.rate_limit):
            raise LiveError("model is missing, and region, biases and rate_limit are a model's; say which it is")


class Prophesee(CameraSource):
    """Event packets of one camera."""

    Config, package, extra = PropheseeConfig, "neuromorphic_drivers", "prophesee"

    def open(self) -> None:
        self._most_backlog = self._overflows = self._cleared = self._driver_dropped = 0
        super().open()

    def find(self, driver: Any, serial: str | None) -> tuple[Any, str, SensorSize]:
        camera = driver.open(configuration=self._settings(driver), iterator_timeout=_TICK_S, serial=serial)
        camera = camera.__enter__()
        properties = camera.properties()
        name = f"{camera.name().value} {camera.serial()}"
        return camera, name, SensorSize(properties.width, properties.height)

    def serial_of(self, camera: Any) -> str:
        return str(camera.serial())

    def read(self, camera: Any, seconds: float) -> CameraPacket | None:
        status, packet = next(camera)
        if status.ring is None or packet is None:
            return None
        ring = status.ring
        self._most_backlog = max(self._most_backlog, ring.backlog)
        self._driver_dropped += ring.dropped_packets
        if packet.polarity_events_overflow_indices is not None:
            self._overflows += len(packet.polarity_events_overflow_indices)
        if self.config.most_backlog is not None and ring.backlog > self.config.most_backlog:
            self._cleared += ring.backlog - self.config.most_backlog
            camera.clear_backlog(until=self.config.most_backlog)
        self.dropped = max(self._driver_dropped, self._overflows) + self._cleared
        events = packet.polarity_events
        return CameraPacket(NO_EVENTS if events is None else as_events(events).copy(), ring.current_t)

    def forget_backlog(self, camera: Any) -> None:
        camera.clear_backlog(until=1)

    def let_go(self, camera: Any) -> None:
        with contextlib.suppress(RuntimeError):
            camera.__exit__(None, None, None)

    def report(self) -> list[Row]:
        rows = super().report()
        if rows:
            lost = [
                (self._driver_dropped, "packets dropped by the driver, its ring was full"),
                (self._overflows, "places where the driver lost packets"),
                (self._cleared, "packets dropped because more than most_backlog waited"),
            ]
            rows.append(("driver's backlog", f"{counted(self._most_backlog, 'packet')} at most"))
            if texts := [f"{n:,} {what}" for n, what in lost if n]:
                rows.append(("driver's drops", "; ".join(texts)))
        return rows

    def _settings(self, driver: Any) -> Any:
        """The configuration of this model, or None: as the driver sets it. Raises LiveError."""
        config = self.config
        if config.model is None:
            return None
        module = getattr(driver, config.model)
        settings = module.Configuration()
        for name, value in config.biases.items():
            if not hasattr(settings.biases, name):
                known = ", ".join(vars(settings.biases))
                raise LiveError(f"biases has {name!r}, which {config.model} does not; known are {known}")
            setattr(settings.biases, name, value)
        if config.rate_limit is not None:
            if not hasattr(settings, "rate_limiter"):
                raise LiveError(f"{config.model} has no rate_limit; leave it out")
            settings.rate_limiter = module.RateLimiter(*config.rate_limit)
        if config.region is not None:
            self._set_region(module, settings, config.region)
        try:
            settings.serialize()
        except (OverflowError, ValueError) as error:
            raise LiveError(f"a bias or limit of {config.model} is out of range: {error}") from None
        return settings

    def _set_region(self, module: Any, settings: Any, region: list[int]) -> None:
        x, y, width, height = region
        size = module.Properties()
        if min(x, y) < 0 or min(width, height) < 1 or x + width > size.width or y + height > size.height:
            raise LiveError(
                f"region {region} does not lie within {size.width}x{size.height}; want [x, y, width, height]"
            )
        if hasattr(settings, "region_of_interest"):
            settings.region_of_interest = module.RegionOfInterest(x, y, width, height)
        elif hasattr(module, "RowColumnMask"):
            mask = module.RowColumnMask(set=True)  # the sensor counts rows from below
            mask.clear_rectangle(x=x, y=size.height - y - height, width=width, height=height)
            settings.x_mask, settings.y_mask = mask.x_mask(), mask.y_mask()
        else:
            raise LiveError(f"{self.config.model} has no region; use the node filter, kind region")
