"""`dvs convert MODEL.pt --out net.npz`: a trained CNN becomes a spiking network. The work is pipeline/convert's."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
import typer

from ...pipeline.errors import ConversionError, DvsError
from ...pipeline.network import Network, Readout

if TYPE_CHECKING:
    from ...pipeline.convert import ConversionReport


def convert(
    model: Annotated[Path, typer.Argument(help="a checkpoint of `dvs train` (.pt)")],
    out: Annotated[Path, typer.Option(help="the network to write (.npz)")],
    calibration: Annotated[
        Path | None,
        typer.Option(help="training inputs (.npy, .npz or IDX); without it, those that the checkpoint carries"),
    ] = None,
    percentile: Annotated[float, typer.Option(help="of each layer's activations becomes firing rate 1")] = 99.9,
    over: Annotated[str, typer.Option(help="percentile of `all` activations, or of the `nonzero` ones")] = "all",
    per: Annotated[str, typer.Option(help="one scale a `layer`, or one a `channel`")] = "layer",
    readout: Annotated[str, typer.Option(help="`membrane` of the last layer, or `count` of its spikes")] = "membrane",
    readout_window_us: Annotated[
        int | None, typer.Option(min=1, help="decide on the last so many µs; without it, on everything since the start")
    ] = None,
    reset: Annotated[str, typer.Option(help="`subtract` the threshold after a spike, or go to `zero`")] = "subtract",
    v_init: Annotated[float, typer.Option(help="membrane potential at the start, as a share of the threshold")] = 0.5,
    input_scale: Annotated[float, typer.Option(help="spikes per timestep that stand for an input value of 1")] = 1.0,
    timesteps: Annotated[int, typer.Option(min=1, help="length of the check against the CNN")] = 128,
    max_error: Annotated[
        float, typer.Option(help="refuse if the output is further off the CNN (0.5: by half); 0: never refuse")
    ] = 0.5,
) -> None:
    """Convert a trained CNN, check it against the CNN layer by layer, print what was lost, write the network."""
    try:
        from ...pipeline import convert as room
        from ...pipeline.train.checkpoint import load_checkpoint
    except ImportError as error:
        raise DvsError(f"converting needs torch ({error}); install the extra: pip install 'dvs-run[train]'") from None
    if readout not in ("membrane", "count"):
        raise ConversionError(f"readout is {readout!r}, want 'membrane' or 'count'")
    cnn, spec, extra = load_checkpoint(model)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DvsError(f"the folder of {out} cannot be made: {error.strerror or error}") from None
    inputs = _calibration(calibration, extra, model)
    conversion = room.convert(
        cnn,
        tuple(spec["input"]),
        _labels(extra, model),
        inputs,
        percentile=percentile,
        over=cast(Literal["all", "nonzero"], over),
        per=cast(Literal["layer", "channel"], per),
        thresholds=extra.get("thresholds"),
        timestep_us=extra.get("timestep_us"),
        state_window_us=extra.get("state_window_us"),
        delays_us=tuple(extra.get("delays_us") or ()),
        readout=Readout(cast(Literal["membrane", "count"], readout), readout_window_us),
        reset=cast(Literal["subtract", "zero"], reset),
        v_init=v_init,
        input_scale=input_scale,
        check_timesteps=timesteps,
        max_error=max_error or None,
        source=f"{model.name}, sha256 {hashlib.sha256(model.read_bytes()).hexdigest()}",
    )
    conversion.network.save(out)
    _print(conversion.report, conversion.network, extra, out)


def _labels(extra: dict[str, Any], model: Path) -> list[str]:
    labels = extra.get("labels")
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise ConversionError(f"{model} does not say the names of its outputs; save it with extra={{'labels': [...]}}")
    return labels


def _calibration(path: Path | None, extra: dict[str, Any], model: Path) -> Any:
    if path is None:
        if extra.get("calibration") is None:
            raise ConversionError(
                f"{model} carries no calibration inputs; give some with --calibration (training inputs in the shape "
                "and scale that the CNN was trained on)"
            )
        return extra["calibration"]
    if not path.is_file():
        raise ConversionError(f"there is no calibration file {path}")
    with open(path, "rb") as file:
        start = file.read(4)
    try:
        if start == b"\x93NUM":
            return np.load(path, allow_pickle=False)
        if start[:2] == b"PK":
            with np.load(path, allow_pickle=False) as archive:
                names = archive.files
                if len(names) != 1:
                    raise ConversionError(f"{path} holds the arrays {', '.join(names)}; want one, the inputs")
                return archive[names[0]]
    except ValueError as error:
        raise ConversionError(f"{path} cannot be read as arrays of numbers: {error}") from error
    from ...pipeline.idx import read_images

    return read_images(path)


def _print(report: "ConversionReport", network: Network, extra: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("layer", "outputs", "MACs", "λ", "largest", "clipped", "dead", "rate", "corr.", "error"):
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=True)
    for layer in report.layers:
        table.add_row(
            layer.name,
            "x".join(map(str, layer.outputs)),
            f"{layer.macs:,}",
            _number(layer.scale, ".3g"),
            _number(layer.maximum, ".3g"),
            _number(layer.clipped, ".2%"),
            _number(layer.dead, ".1%"),
            _number(layer.rate, ".3f"),
            _number(layer.correlation, ".4f"),
            _number(layer.error, ".1%"),
        )
    console = Console()
    console.print(table)
    say = console.print
    say(f"\nfolded layers against the CNN: within {report.folding_error:.1e} of the largest output", highlight=False)
    say(
        f"{report.synops:,.0f} SynOps per input in {report.timesteps} timesteps of constant current, "
        f"{report.macs:,} MACs in the CNN",
        highlight=False,
    )
    say(f"weights in the engine are rounded by up to {_rounding(network)}", highlight=False)
    for note in report.notes:
        say(f"note: {note}", highlight=False, markup=False)
    accuracy = extra.get("accuracy")
    if isinstance(accuracy, dict) and "validation" in accuracy:
        say(f"the CNN: {accuracy['validation']:.2%} of {accuracy.get('n', '?')} validation samples", highlight=False)
    say(report.verdict, highlight=False, markup=False)
    clock = f", slices of {network.timestep_us} µs" if network.timestep_us else ""
    say(f"written to {out} ({out.stat().st_size / 1000:,.0f} kB{clock})", highlight=False, markup=False)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _rounding(network: Network) -> str:
    """Per number format the largest rounding error of a weight, relative to the largest of its layer, and where."""
    from ...pipeline.engine.plan import make_plan
    from ...pipeline.engine.units import FORMATS

    found = []
    for numbers in FORMATS:
        rounding = make_plan(network, numbers).rounding
        worst = max(rounding, key=rounding.__getitem__)
        found.append(f"{rounding[worst]:.2g} of a layer's largest as {numbers} ({worst})")
    return ", ".join(found)
