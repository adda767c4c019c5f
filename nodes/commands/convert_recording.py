"""`dvs convert-recording A B`: a recording in another container. The copying itself is formats/copying.py's."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.errors import counted
from ...pipeline.formats import open_recording
from ...pipeline.formats.copying import Copied, copy_recording
from .info import size_of

_PACKET_EVENTS = 1 << 16


class OnDamage(StrEnum):
    """What to do with a recording that is damaged."""

    RAISE = "raise"
    STOP = "stop"
    SKIP = "skip"


def convert_recording(
    source: Annotated[Path, typer.Argument(metavar="A", help="The recording to read, of any container.")],
    target: Annotated[
        Path, typer.Argument(metavar="B", help="The file to write; its suffix says the container. Replaced when whole.")
    ],
    start: Annotated[float, typer.Option(min=0, help="Begin so long after the first event, s.")] = 0.0,
    stop: Annotated[float | None, typer.Option(min=1e-6, help="End so long after the first event, s.")] = None,
    from_zero: Annotated[
        bool, typer.Option("--from-zero", help="Let times count from the first event that is written.")
    ] = False,
    format_: Annotated[str, typer.Option("--format", help="Container of B, where its suffix does not say it.")] = "",
    compression: Annotated[str, typer.Option(help="Of B: none, lz4, zstd or deflate, as its container has it.")] = "",
    on_error: Annotated[
        OnDamage, typer.Option(help="A is damaged: raise writes nothing, stop writes what is before, skip goes on.")
    ] = OnDamage.RAISE,
    sensor: Annotated[str, typer.Option(help="WxH of A, where the file does not say it, or says it wrongly.")] = "",
    layout: Annotated[str, typer.Option(help="Address layout of A (AEDAT 1 and 2), column order of .npy.")] = "",
    container: Annotated[str, typer.Option(help="Container of A, where the file has no mark of its own.")] = "",
    stream: Annotated[str, typer.Option(help="Which event stream of A, if there are several.")] = "",
    time_unit: Annotated[str, typer.Option(help="Unit of times in A, where it does not say: s, ms, us or ns.")] = "",
) -> None:
    """Write a recording, or a part of it, in another container, with its labels.

    Reads and writes as a stream; B appears when it is whole. Exit code 1, and no B, if A is damaged or too much for B.
    """
    began = time.monotonic()
    recording = open_recording(
        source,
        sensor=size_of(sensor),
        layout=layout or None,
        container=container or None,
        stream_id=stream or None,
        time_unit=time_unit or None,
        packet_events=_PACKET_EVENTS,
        on_error=on_error.value,
        start_us=round(start * 1e6),
        stop_us=None if stop is None else round(stop * 1e6),
    )
    with recording:
        copied = copy_recording(
            recording, target, container=format_ or None, compression=compression or None, from_zero=from_zero
        )
    _tell(target, copied, time.monotonic() - began)
    notes = [f"{count:,} {name}" for name, count in recording.defects.items()]
    if notes:
        print(f"dvs convert-recording: of {source}: {', '.join(notes)}", file=sys.stderr)
    if recording.fault is not None:
        print(f"dvs convert-recording: {recording.fault}", file=sys.stderr)


def _tell(target: Path, copied: Copied, seconds: float) -> None:
    labels = f", {counted(copied.labels, 'label')}" if copied.labels else ""
    rate = copied.events / max(seconds, 1e-9) / 1e6
    typer.echo(
        f"{target}: {counted(copied.events, 'event')} in {copied.duration_us / 1e6:,.3f} s{labels}; "
        f"{copied.bytes / 1e6:,.1f} MB, {rate:.1f} M events/s"
    )
