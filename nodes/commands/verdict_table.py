"""A conversion's verdict on the terminal: two tables and the sentences; looks right from 80 columns on.

What the figures are is told in pipeline/convert/verdict; pipeline/convert/page makes the HTML page.
"""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...pipeline.errors import counted

if TYPE_CHECKING:
    from ...pipeline.convert.verdict import Verdict
    from ...pipeline.convert.verdict.measured import LayerFidelity, Stage

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def print_verdict(verdict: "Verdict", console: Console | None = None) -> None:
    """Stages, layers, and what they mean. Names are printed as they are, less what would steer the terminal."""
    console = console or Console(highlight=False)
    measured = verdict.measured
    console.print(_stages(measured.stages))
    console.print("intervals of 95 %; points lost to the CNN on the same samples\n", style="dim")
    if measured.layers:
        console.print(_layers(measured.layers))
        console.print(
            f"{counted(measured.timesteps, 'timestep')}, {counted(measured.layer_samples, 'sample')}; "
            "dead: never active; left: |v(T) - v(0)| / θ\n",
            style="dim",
        )
    judged = verdict.allowed is not None
    style = "" if not judged else "bold green" if verdict.passed() else "bold red"
    _say(console, verdict.sentence, style)
    for text in (verdict.cost, verdict.worst):
        _say(console, text)
    for text in verdict.warnings:
        _say(console, f"note: {text}", "yellow")


def _stages(stages: "tuple[Stage, ...]") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("stage", overflow="fold")
    for name in ("accuracy", "interval", "as CNN", "points lost", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for index, stage in enumerate(stages):
        low, high = stage.interval
        table.add_row(
            _name(stage.name),
            f"{100 * stage.accuracy:.2f} %",
            f"{100 * low:.2f}-{100 * high:.2f}",
            f"{100 * stage.agreement:.2f} %" if index else "",
            _loss(stage) if index else "",
            f"{stage.n:,}",
        )
    return table


def _layers(layers: "tuple[LayerFidelity, ...]") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    for name in ("corr.", "rate", "clipped", "dead", "left", "SynOps", "MACs", "error"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers:
        table.add_row(
            _name(layer.name),
            _number(layer.correlation, ".4f"),
            _number(layer.rate, ".4f"),
            _percent(layer.clipped, 2),
            _percent(layer.dead, 1),
            _number(layer.residual, ".2f"),
            "" if layer.synops is None else _short(layer.synops),
            _short(layer.macs),
            _percent(layer.error, 1),
        )
    return table


def _loss(stage: "Stage") -> str:
    """0.02 (-0.05 to 0.09), with one digit where it is large."""
    low, high = stage.loss_interval
    digits = 1 if max(abs(low), abs(high)) >= 10 else 2
    return f"{round(stage.loss, digits) + 0.0:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _say(console: Console, text: str, style: str = "") -> None:
    if text:
        console.print(_name(text), style=style)


def _name(text: str) -> Text:
    """No markup, no control characters."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _percent(value: float | None, digits: int) -> str:
    return "" if value is None else f"{100 * value:.{digits}f} %"


def _short(value: float) -> str:
    for size, unit in UNITS:
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"
