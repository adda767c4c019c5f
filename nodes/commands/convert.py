"""`dvs convert MODEL`: a trained CNN becomes a spiking network, with a verdict. The work is pipeline/convert's.

Here are the options only, which are many: a function of their number is long. convert_run.py does what they say.
"""

from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.errors import DvsError

MODEL, DATA, METHOD, CHOICE, VERDICT, EVENTS = (
    "The model",
    "Data",
    "The method (defaults are good ones)",
    "Automatic choice",
    "The verdict",
    "Event cameras",
)


def convert(
    model: Annotated[
        Path,
        typer.Argument(help="checkpoint of `dvs train`, .onnx, .pt2, list of layers (.json), or weights (.pt, ...)"),
    ],
    out: Annotated[Path | None, typer.Option(help="the network to write; without it MODEL-snn.npz, here")] = None,
    architecture: Annotated[
        str | None, typer.Option(help="for weights: your code that makes the module, net.py:Net", rich_help_panel=MODEL)
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option(help="CHANNEL,HEIGHT,WIDTH, where the file does not say it", rich_help_panel=MODEL),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="which of several outputs: its number or name", rich_help_panel=MODEL)
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="names of the outputs: cat,dog or a file, one a line", rich_help_panel=MODEL)
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="training inputs: .npy, .npz, IDX, a folder LABEL/IMAGE, or of recordings; without it those that the "
            "checkpoint carries",
            rich_help_panel=DATA,
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="their labels (IDX, .npy), if not in or beside the file", rich_help_panel=DATA)
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="inputs for the verdict; without it a part of the calibration data is kept for it",
            rich_help_panel=DATA,
        ),
    ] = None,
    validation_labels: Annotated[Path | None, typer.Option(help="their labels", rich_help_panel=DATA)] = None,
    scale: Annotated[
        str | None, typer.Option(help="inputs are multiplied by it, as in training: 1/255", rich_help_panel=DATA)
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="then subtracted: one number, or one a channel", rich_help_panel=DATA)
    ] = None,
    std: Annotated[str | None, typer.Option(help="then divided by: likewise", rich_help_panel=DATA)] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="scale and cut images of another size", rich_help_panel=DATA)
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="inputs drawn (3000 of --calibration)", rich_help_panel=DATA)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn and how it is divided", rich_help_panel=DATA)] = 0,
    timestep_us: Annotated[
        int | None,
        typer.Option(min=1, help="length of a time slice, if the model does not say it", rich_help_panel=EVENTS),
    ] = None,
    window_ms: Annotated[
        float | None,
        typer.Option(min=0, help="how long the CNN looks at a recording, likewise", rich_help_panel=EVENTS),
    ] = None,
    readout_window_us: Annotated[
        int | None,
        typer.Option(min=1, help="decide on the last so many µs, not on all since the start", rich_help_panel=EVENTS),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="a preset: `single` spikes, the most exact `fine`, a published system (ecc2022, ...); what is given "
            "below changes it [standard]",
            rich_help_panel=METHOD,
        ),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(help="of each layer's activations becomes firing rate 1 [99.9]", rich_help_panel=METHOD),
    ] = None,
    over: Annotated[
        str | None, typer.Option(help="percentile of `all` activations, or the `nonzero`", rich_help_panel=METHOD)
    ] = None,
    per: Annotated[
        str | None, typer.Option(help="one scale a `layer`, or one a `channel` [channel]", rich_help_panel=METHOD)
    ] = None,
    reset: Annotated[
        str | None, typer.Option(help="`subtract` the threshold after a spike, or `zero`", rich_help_panel=METHOD)
    ] = None,
    v_init: Annotated[
        float | None, typer.Option(help="membrane at the start, in thresholds [0.5]", rich_help_panel=METHOD)
    ] = None,
    max_spikes: Annotated[
        int | None,
        typer.Option(
            help="of a neuron in one timestep; with it, they stand for the whole scale", rich_help_panel=METHOD
        ),
    ] = None,
    correction: Annotated[
        str | None, typer.Option(help="of mean rates: `none`, `bias`, `start`, `both`", rich_help_panel=METHOD)
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="of images: `constant` current or `poisson`", rich_help_panel=METHOD)
    ] = None,
    input_scale: Annotated[
        float | None, typer.Option(help="spikes a timestep for an input of 1 [1]", rich_help_panel=METHOD)
    ] = None,
    readout: Annotated[
        str | None,
        typer.Option(help="`membrane` of the last layer, or `count` of its spikes", rich_help_panel=METHOD),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="any other of docs/conversion.md: clamp_steps=10; may be repeated",
            rich_help_panel=METHOD,
        ),
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="search the methods for the best within: 32 (timesteps), 20ms, 2M synops; what you set above is kept",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    search_seconds: Annotated[
        float, typer.Option(min=1, help="about how long the search may take", rich_help_panel=CHOICE)
    ] = 300.0,
    max_loss: Annotated[
        float | None,
        typer.Option(help="points of accuracy that may be lost; exit code 1 if more are", rich_help_panel=VERDICT),
    ] = None,
    timesteps: Annotated[
        int | None, typer.Option(min=1, help="at which it is judged [128, or as chosen]", rich_help_panel=VERDICT)
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="most inputs of the verdict, however long", rich_help_panel=VERDICT)
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="the HTML page; without it, beside the network", rich_help_panel=VERDICT)
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="write no page", rich_help_panel=VERDICT)] = False,
    no_verdict: Annotated[
        bool, typer.Option("--no-verdict", help="convert and check only", rich_help_panel=VERDICT)
    ] = False,
    max_error: Annotated[
        float,
        typer.Option(help="refuse if outputs are further off the CNN than that; 0: never", rich_help_panel=VERDICT),
    ] = 0.5,
) -> None:
    """Convert a trained CNN into a spiking network, and prove it: accuracy lost, layer by layer.

    dvs convert runs/mnist.pt --out mnist.npz

    dvs convert net.onnx --calibration data/train --budget 32 --max-loss 0.5

    Exit code 0: done; 1: refused, or more was lost than --max-loss allows; 2: the command line is wrong.
    """
    try:
        from .convert_run import Order, Settings, more_settings, run
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DvsError(f"converting needs torch ({error}); install the extra: pip install 'dvs-run[train]'") from None
    chosen = Settings(
        method,
        {
            "percentile": percentile,
            "over": over,
            "per": per,
            "reset": reset,
            "v_init": v_init,
            "max_spikes": max_spikes,
            "correction": correction,
            "input": encoding,
            "input_scale": input_scale,
            "readout": readout,
            **more_settings(settings or []),
        },
        readout_window_us,
    )
    order = Order(
        model=model,
        out=out,
        page=page,
        write_page=not no_page,
        architecture=architecture,
        input_shape=input_shape,
        output=output,
        classes=classes,
        calibration=calibration,
        labels=labels,
        validation=validation,
        validation_labels=validation_labels,
        scale=scale,
        mean=mean,
        std=std,
        fit=fit,
        limit=limit,
        seed=seed,
        timestep_us=timestep_us,
        window_ms=window_ms,
        settings=chosen,
        budget=budget,
        search_seconds=search_seconds,
        max_loss=max_loss,
        timesteps=timesteps,
        samples=samples,
        verdict=not no_verdict,
        max_error=max_error,
    )
    if code := run(order):
        raise typer.Exit(code)
