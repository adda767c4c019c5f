"""`dvs export` and `dvs import`: networks to and from NIR files. The work is pipeline/exchange's (extra `nir`)."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...pipeline.errors import DvsError
from ...pipeline.network import Network, Readout

if TYPE_CHECKING:
    from ...pipeline.exchange import Meaning


def export(
    network: Annotated[Path, typer.Argument(help="a network (.npz)")],
    out: Annotated[Path, typer.Option(help="the NIR file to write (.nir)")],
    portable: Annotated[
        bool, typer.Option("--portable", help="refuse what NIR's own equations cannot say, instead of noting it")
    ] = False,
) -> None:
    """Write a network as a NIR file: `dvs import` reads it back exactly; what other programs would miss is printed."""
    from ...pipeline.exchange import write_nir

    _make_folder(out)
    notes = write_nir(Network.load(network), out, portable)
    _say(notes, f"written to {out} ({out.stat().st_size / 1000:,.0f} kB)")


def import_(
    file: Annotated[Path, typer.Argument(help="a NIR file")],
    out: Annotated[Path, typer.Option(help="the network to write (.npz)")],
    origin: Annotated[
        str | None, typer.Option(help="whose: `norse`, `sinabs`, `snntorch`, or `nir` (its equations as they stand)")
    ] = None,
    timestep_us: Annotated[int | None, typer.Option(min=1, help="length of a timestep of the network")] = None,
    input_shape: Annotated[str | None, typer.Option(help="where the file has none: 2x128x128")] = None,
    labels: Annotated[str | None, typer.Option(help="names of the outputs, with commas between them")] = None,
    readout: Annotated[
        str | None, typer.Option(help="`count` spikes of the last neurons, or add up a `membrane`")
    ] = None,
    reset: Annotated[str | None, typer.Option(help="of all neurons: to `zero` (v_reset), or `subtract`")] = None,
    max_spikes: Annotated[int | None, typer.Option(min=1, help="the most spikes of a neuron in a timestep")] = None,
    floor: Annotated[
        float | None, typer.Option(help="no potential below so many thresholds (-1: sinabs from_model)")
    ] = None,
    leak: Annotated[
        str | None, typer.Option(help="a timestep keeps 1 - dt/tau (`euler`) or exp(-dt/tau) (`exponential`)")
    ] = None,
    gain: Annotated[
        str | None, typer.Option(help="input of a LIF counts r (1 - decay) (`leaked`), or r (`whole`)")
    ] = None,
) -> None:
    """Read a NIR file as a network. One of `dvs export` needs no option; of another the file does not say enough."""
    from ...pipeline.exchange import read_nir

    settings = {"reset": reset, "max_spikes": max_spikes, "floor": floor, "leak": leak, "gain": gain}
    reading = read_nir(
        file,
        _meaning(origin, {name: value for name, value in settings.items() if value is not None}),
        timestep_us,
        _shape(input_shape),
        [name.strip() for name in labels.split(",")] if labels is not None else None,
        _readout(readout),
    )
    _make_folder(out)
    reading.network.save(out)
    what = "the network that was exported" if reading.own else f"{len(reading.network.layers)} layers"
    _say(reading.notes, f"written to {out}: {what}")


def _meaning(origin: str | None, settings: dict[str, Any]) -> "Meaning | None":
    from ...pipeline.exchange import MEANINGS

    if origin is None:
        if settings:
            raise typer.BadParameter(
                f"says how neurons are meant; say whose file it is: {', '.join(MEANINGS)}",
                param_hint="--" + next(iter(settings)).replace("_", "-"),
            )
        return None
    if origin not in MEANINGS:
        raise typer.BadParameter(f"{origin!r} is not known, want one of {', '.join(MEANINGS)}", param_hint="--origin")
    for name, choices in (
        ("reset", ("zero", "subtract")),
        ("leak", ("euler", "exponential")),
        ("gain", ("leaked", "whole")),
    ):
        if settings.get(name, choices[0]) not in choices:
            raise typer.BadParameter(f"{settings[name]!r} is not one of {', '.join(choices)}", param_hint=f"--{name}")
    return replace(MEANINGS[origin], **settings)


def _shape(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})[xX×](\d{1,6})[xX×](\d{1,6})", text)
    if match is None or "0" in match.groups():
        raise typer.BadParameter(
            f"{text!r} is no shape, want channel, height, width as in 2x128x128", param_hint="--input-shape"
        )
    return (int(match[1]), int(match[2]), int(match[3]))


def _readout(text: str | None) -> Readout | None:
    if text is None:
        return None
    if text not in ("count", "membrane"):
        raise typer.BadParameter(f"{text!r} is no readout, want 'count' or 'membrane'", param_hint="--readout")
    return Readout("count" if text == "count" else "membrane")


def _make_folder(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DvsError(f"the folder of {out} cannot be made: {error.strerror or error}") from None


def _say(notes: Sequence[str], done: str) -> None:
    for note in notes:
        print(f"note: {note}")
    print(done)
