"""`dvs simulate SCENE`: make a recording with the simulated camera. The scenes are pipeline/simulate's."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...pipeline.errors import DvsError, counted
from ...pipeline.events import SensorSize
from ...pipeline.stream import LabelSpan
from .info import size_of


class Scene(StrEnum):
    """What stands before the camera."""

    GESTURE = "gesture"
    SACCADE = "saccade"
    CIFAR_LOOP = "cifar-loop"
    FILM = "film"


def simulate(
    scene: Annotated[
        Scene,
        typer.Argument(
            help="gesture: a person, 128x128; saccade: as N-MNIST; cifar-loop: as CIFAR10-DVS; film: any clip"
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="the recording to write; its suffix says the container")] = None,
    class_: Annotated[str, typer.Option("--class", help="gesture: one, several with commas between, or all")] = "all",
    seed: Annotated[int, typer.Option(min=0, help="of pace, phase and noise")] = 0,
    person: Annotated[int, typer.Option(min=0, help="gesture: who performs (a seed)")] = 0,
    lighting: Annotated[int, typer.Option(min=0, help="gesture: background, light and pixels (a seed)")] = 0,
    duration: Annotated[float, typer.Option(min=0.01, max=3600, help="gesture: seconds of each class")] = 2.0,
    image: Annotated[Path | None, typer.Option(help="saccade, cifar-loop: PNG, .npy or IDX file")] = None,
    index: Annotated[int, typer.Option(min=0, help="which image of an IDX or stacked .npy file")] = 0,
    film: Annotated[Path | None, typer.Option(help="film: a video file, or a folder of pictures")] = None,
    sensor: Annotated[str, typer.Option(help="film: WxH of the camera; default: the film's own size")] = "",
    frames_per_second: Annotated[float | None, typer.Option(help="film: other times; a folder needs it")] = None,
    compression: Annotated[str | None, typer.Option(help="of the container: none, lz4, zstd, ...")] = None,
    sheet: Annotated[Path | None, typer.Option(help="gesture: draw a contact sheet of the classes too (.png)")] = None,
) -> None:
    """Make a recording with the simulated event camera: the same options give the same events.

    dvs simulate gesture --class right_hand_wave --seed 7 --out x.aedat4
    """
    if out is None and sheet is None:
        raise typer.BadParameter("give --out FILE, e.g. --out x.aedat4")
    if (scene in (Scene.SACCADE, Scene.CIFAR_LOOP)) != (image is not None):
        raise typer.BadParameter("--image goes with saccade and cifar-loop, and they need it")
    if (scene is Scene.FILM) != (film is not None):
        raise typer.BadParameter("--film goes with film, which needs it")
    if scene is Scene.GESTURE:
        _gesture(out, sheet, class_, round(duration * 1e6), (seed, person, lighting), compression)
    elif sheet is not None or out is None:
        raise typer.BadParameter("--sheet goes with gesture only")
    elif film is not None:
        _film(out, film, size_of(sensor), frames_per_second, seed, compression)
    elif image is not None:
        _picture(scene, out, image, index, seed, compression)


def _gesture(
    out: Path | None,
    sheet: Path | None,
    class_: str,
    each_us: int,
    seeds: tuple[int, int, int],
    compression: str | None,
) -> None:
    from ...pipeline.simulate.gesture import CLASSES, SENSOR, film, gesture_frames
    from ...pipeline.simulate.session import simulate_session, spans
    from ...pipeline.simulate.sheet import write_sheet

    labels = list(CLASSES) if class_ == "all" else [name.strip() for name in class_.split(",")]
    shown = spans(labels, each_us)
    seed, person, lighting = seeds
    if len(labels) == 1:
        shown = (LabelSpan(labels[0], 0, each_us),)
        events = film(gesture_frames(CLASSES.index(labels[0]), seed, person, lighting, each_us), seed, lighting)
    else:
        events = simulate_session(shown, seed, person, lighting)
    what = f"{', '.join(labels)} by person {person} in lighting {lighting}"
    if out is not None:
        _write(out, SENSOR, events, shown, compression, what)
    if sheet is not None:
        write_sheet(sheet, labels, seed, person, lighting)
        typer.echo(f"{sheet}: contact sheet of {what}")


def _film(
    out: Path, film: Path, size: SensorSize | None, frames_per_second: float | None, seed: int, compression: str | None
) -> None:
    from ...pipeline.formats import read_labels
    from ...pipeline.simulate.film import filmed, open_frames
    from ...pipeline.simulate.pixel import PixelSettings

    shown = open_frames(film, size, frames_per_second=frames_per_second)
    arrays = (packet.events for packet in filmed(shown, PixelSettings(), seed))
    _write(out, shown.sensor, arrays, read_labels(film), compression, f"the film {film.name}")


def _picture(scene: Scene, out: Path, image: Path, index: int, seed: int, compression: str | None) -> None:
    from ...pipeline.simulate.pictures import read_picture

    picture = read_picture(image, index)
    if scene is Scene.SACCADE:
        from ...pipeline.simulate import saccade

        events, sensor = saccade.simulate_saccade(picture, seed), saccade.SENSOR
    else:
        from ...pipeline.simulate import cifar_loop

        events, sensor = cifar_loop.simulate_cifar_loop(picture, seed), cifar_loop.SENSOR
    _write(out, sensor, [events], (), compression, f"a {picture.shape[1]}x{picture.shape[0]} picture, {scene.value}")


def _write(
    out: Path,
    sensor: SensorSize,
    arrays: Iterable[np.ndarray],
    shown: tuple[LabelSpan, ...],
    compression: str | None,
    what: str,
) -> None:
    """Write events as they come and the labels beside them, and say what was made."""
    from ...pipeline.formats import open_writer
    from ...pipeline.formats.labels import write_labels

    count, bright, last_us = 0, 0, 0
    with open_writer(out, sensor, compression) as writer:
        for events in arrays:
            writer.write(events)
            count, bright = count + len(events), bright + int(np.count_nonzero(events["p"]))
            last_us = int(events["t"][-1]) if len(events) else last_us
    if not count:
        raise DvsError(f"{out}: the simulated camera saw nothing change, so the recording is empty")
    seconds = max(last_us, 1) * 1e-6
    labels = f"; labels in {write_labels(out, shown).name}" if shown else ""
    typer.echo(
        f"{out}: {what}; {sensor}, {counted(count, 'event')} in {seconds:.2f} s ({count / seconds / 1000:.1f} k/s, "
        f"{100 * bright / count:.0f} % ON){labels}"
    )
