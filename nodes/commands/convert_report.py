"""What `dvs convert` says of a conversion itself: the model, the check against the CNN, and the layers' scales."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ...pipeline.errors import counted
from ...pipeline.network import Network

if TYPE_CHECKING:
    from ...pipeline.convert import ConversionReport


def print_layers(report: "ConversionReport", network: Network, console: Console) -> None:
    """The scale and the error of each population, on calibration inputs; how the engine rounds."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("layer", "outputs", "MACs", "λ", "largest", "clipped", "dead", "rate", "corr.", "error"):
        table.add_column(name, justify="left" if name == "layer" else "right", no_wrap=name != "layer")
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
    console.print(table)
    console.print(f"\nweights in the engine are rounded by up to {_rounding(network)}", markup=False)


def print_check(report: "ConversionReport", console: Console) -> None:
    """Sentences: how exact, at how many operations, and what was left out or merged."""
    sentences = [
        f"folded layers against the CNN: within {report.folding_error:.1e} of the largest output",
        f"{report.synops:,.0f} SynOps per input in {counted(report.timesteps, 'timestep')}, {report.macs:,} MACs in "
        "the CNN",
        *(f"note: {note}" for note in report.notes),
        report.verdict,
    ]
    for sentence in sentences:
        console.print(sentence, markup=False)
    console.print()


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
