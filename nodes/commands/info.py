"""`dvs info FILE`: what a recording is and how sound it is. Reads it once, packet by packet."""

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...pipeline.events import EventPacket, SensorSize
from ...pipeline.extras import CameraFrame, ImuPacket
from ...pipeline.formats import DEFECTS, Recording, open_recording

PEAK_US = 10_000  # the peak rate is that of the fullest stretch of this length
_BARS = " ▁▂▃▄▅▆▇█"
_MOST_LABELS = 20  # lines
_BETWEEN = ("other_packets", "trigger_words", "frame_words", "special_words")  # counted where no events are


def info(
    file: Annotated[Path, typer.Argument(help="A recording of any container (docs/formats.md).")],
    sensor: Annotated[str, typer.Option(help="WxH, where the file does not say it, or says it wrongly.")] = "",
    layout: Annotated[str, typer.Option(help="Address layout of AEDAT 1 and 2, or the order of columns: txyp.")] = "",
    container: Annotated[str, typer.Option(help="Container, where the file has no mark of its own.")] = "",
    stream: Annotated[
        str, typer.Option(help="Which of several event streams: its number, topic (ROS) or group (HDF5).")
    ] = "",
    time_unit: Annotated[str, typer.Option(help="Unit of times of arrays and text: s, ms, us or ns.")] = "",
    skip: Annotated[
        bool, typer.Option("--skip", help="Pass over damage and go on where the container permits.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Say what a recording is: container, sensor, events, duration, rate, polarity, labels, defects.

    Exit code 1 if it is damaged; what the good part holds is printed all the same.
    """
    recording = open_recording(
        file,
        sensor=size_of(sensor),
        layout=layout or None,
        container=container or None,
        stream_id=stream or None,
        time_unit=time_unit or None,
        on_error="skip" if skip else "stop",
    )
    summary = Summary()
    for packet in recording:
        summary.add(packet)
    if as_json:
        print(json.dumps(_facts(recording, summary), indent=2))
    else:
        _show(recording, summary)
    if recording.fault is not None:
        print(f"dvs info: {recording.fault}", file=sys.stderr)
        raise typer.Exit(1)


def _extras(recording: Recording) -> dict[str, int]:
    """How many frames, motion samples and triggers; looked for only where events had something else between them."""
    found = {"frames": 0, "motion samples": 0, "triggers": 0}
    if not any(recording.defects.get(name) for name in _BETWEEN):
        return {}
    for extra in recording.extras():
        if isinstance(extra, CameraFrame):
            found["frames"] += 1
        elif isinstance(extra, ImuPacket):
            found["motion samples"] += len(extra.samples)
        else:
            found["triggers"] += len(extra.triggers)
    return {name: count for name, count in found.items() if count}


@dataclass
class Activity:
    """Events per stretch of time, in at most 64 stretches: they double in length as the recording goes on."""

    stretch_us: int = PEAK_US
    counts: np.ndarray = field(default_factory=lambda: np.zeros(64, np.int64))

    def add(self, since_first_us: np.ndarray) -> None:
        while since_first_us[-1] // self.stretch_us >= len(self.counts):
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([merged, np.zeros_like(merged)])
            self.stretch_us *= 2
        self.counts += np.bincount(since_first_us // self.stretch_us, minlength=len(self.counts))

    def bars(self) -> str:
        used = np.trim_zeros(self.counts, "b")
        heights = np.ceil(used / max(1, used.max(initial=0)) * (len(_BARS) - 1)).astype(int)
        return "".join(_BARS[height] for height in heights)


@dataclass
class Summary:
    """What the events say, gathered packet by packet."""

    events: int = 0
    on: int = 0
    t_first_us: int | None = None
    t_last_us: int | None = None
    low: list[int] = field(default_factory=lambda: [65_535, 65_535])  # smallest x, y
    high: list[int] = field(default_factory=lambda: [0, 0])
    peak: int = 0  # events in the fullest stretch of PEAK_US
    activity: Activity = field(default_factory=Activity)
    _stretch: tuple[int, int] = (-1, 0)  # the latest stretch of PEAK_US, and its events so far

    def add(self, packet: EventPacket) -> None:
        events = packet.events
        if self.t_first_us is None:
            self.t_first_us = int(events["t"][0])
        self.t_last_us = int(events["t"][-1])
        self.events += len(events)
        self.on += int(np.count_nonzero(events["p"]))
        for axis, name in enumerate("xy"):
            self.low[axis] = min(self.low[axis], int(events[name].min()))
            self.high[axis] = max(self.high[axis], int(events[name].max()))
        since_first = events["t"] - self.t_first_us
        self.activity.add(since_first)
        stretches, counts = np.unique(since_first // PEAK_US, return_counts=True)
        if stretches[0] == self._stretch[0]:
            counts[0] += self._stretch[1]
        self.peak = max(self.peak, int(counts.max()))
        self._stretch = (int(stretches[-1]), int(counts[-1]))

    @property
    def duration_us(self) -> int:
        return 0 if self.t_first_us is None or self.t_last_us is None else self.t_last_us - self.t_first_us

    @property
    def rate(self) -> float:
        """Mean events per second."""
        return self.events / self.duration_us * 1e6 if self.duration_us else 0.0


def _facts(recording: Recording, summary: Summary) -> dict[str, Any]:
    fault = recording.fault
    return {
        "path": str(recording.path),
        "container": recording.container,
        "codec": recording.codec,
        "sensor": [recording.sensor.width, recording.sensor.height],
        "details": recording.details,
        "events": summary.events,
        "on": summary.on,
        "off": summary.events - summary.on,
        "t_first_us": summary.t_first_us,
        "t_last_us": summary.t_last_us,
        "duration_us": summary.duration_us,
        "rate_hz": summary.rate,
        "peak_rate_hz": summary.peak * 1e6 / PEAK_US,
        "x_range": [summary.low[0], summary.high[0]] if summary.events else None,
        "y_range": [summary.low[1], summary.high[1]] if summary.events else None,
        "extras": _extras(recording),
        "labels": [[span.label, span.t_start_us, span.t_stop_us] for span in recording.labels],
        "defects": recording.defects,
        "fault": None if fault is None else {"message": str(fault), "byte_offset": fault.byte_offset},
    }


def _show(recording: Recording, summary: Summary) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("recording", escape(str(recording.path)), style="cyan")
    codec = "" if recording.codec == "none" else f", compressed with {recording.codec}"
    table.add_row("container", f"{recording.container}{codec}")
    details = recording.details
    how = f" [dim]{details.pop('sensor')}[/dim]" if "sensor" in details else ""
    table.add_row("sensor", f"{recording.sensor} pixels{how}")
    for name, value in details.items():
        table.add_row(name, escape(value))
    table.add_row("events", f"{summary.events:,}")
    if summary.events:
        _show_events(table, summary)
    extras = _extras(recording)
    if extras:
        table.add_row("besides", ", ".join(f"{count:,} {name}" for name, count in extras.items()))
    for i, span in enumerate(recording.labels[:_MOST_LABELS]):
        where = _where(span.t_start_us, span.t_stop_us, summary)
        table.add_row("" if i else "labels", f"{escape(span.label)}  [dim]{where}[/dim]")
    if len(recording.labels) > _MOST_LABELS:
        table.add_row("", f"and {len(recording.labels) - _MOST_LABELS} more")
    notes = [(name, count) for name, count in recording.defects.items() if name != "faults"]
    for i, (name, count) in enumerate(notes):
        table.add_row("" if i else "noted", f"{count:,} [dim]{name}: {DEFECTS.get(name, '')}[/dim]")
    if recording.fault is not None:
        table.add_row("fault", "damaged; the above is what could be read", style="red")
    elif not notes:
        table.add_row("defects", "none")
    Console(highlight=False, emoji=False).print(table)


def _show_events(table: Table, summary: Summary) -> None:
    on, off = summary.on, summary.events - summary.on
    table.add_row("time", f"{summary.t_first_us} .. {summary.t_last_us} µs")
    table.add_row("duration", f"{summary.duration_us / 1e6:,.6f} s")
    peak = summary.peak * 1e6 / PEAK_US
    table.add_row("rate", f"{_rate(summary.rate)} on average, {_rate(peak)} in the fullest {PEAK_US // 1000} ms")
    table.add_row("activity", summary.activity.bars())
    table.add_row("", f"[dim]one bar is {summary.activity.stretch_us / 1e6:g} s[/dim]")
    share = 100 * on / summary.events
    table.add_row("polarity", f"{on:,} ON, {off:,} OFF ({share:.1f} % ON)")
    table.add_row("x, y", f"{summary.low[0]} .. {summary.high[0]}, {summary.low[1]} .. {summary.high[1]}")


def _rate(events_per_second: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if events_per_second >= limit:
            return f"{events_per_second / limit:.2f} {unit}events/s"
    return f"{events_per_second:.1f} events/s"


def _where(t_start_us: int, t_stop_us: int, summary: Summary) -> str:
    first = summary.t_first_us or 0
    start, stop = (round((t - first) / 1e6, 3) + 0.0 for t in (t_start_us, t_stop_us))  # + 0.0: no "-0.000"
    text = f"{start:.3f} .. {stop:.3f} s after the first event"
    if summary.t_last_us is None or t_start_us > summary.t_last_us or t_stop_us < first:
        text = f"{t_start_us} .. {t_stop_us} µs, where there are no events"
    return text


def size_of(text: str) -> SensorSize | None:
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,5})[xX×](\d{1,5})", text)
    if match is None or not all(1 <= int(side) <= 65_535 for side in match.groups()):
        raise typer.BadParameter(f"{text!r} is no size, want for instance 346x260", param_hint="--sensor")
    return SensorSize(int(match[1]), int(match[2]))
