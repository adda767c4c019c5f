"""The two tables of the verdict's page: stages, and layers."""

import math
from collections.abc import Iterable

from ...errors import counted
from ..verdict.measured import LayerFidelity, Stage
from ..verdict.verdict import Verdict, percent, signed
from .plots import PARTS, added_bar, interval_bar, plain, short

CODINGS = {
    "constant": "as constant current",
    "poisson": "as Poisson spikes, the same to the clocked network and to the engine",
    "events": "as the events of their time slices; the CNN sees the mean count per slice",
}
KINDS = (
    ("arrived", "arrived wrong from before"),
    ("clipping", "clipped: more than the highest rate"),
    ("early", "fired before the inhibition came"),
    ("late", "arrived too late to be fired"),
    ("rounding", "whole spikes"),
)


def table(head: Iterable[str], rows: Iterable[str], marks: Iterable[bool] = ()) -> str:
    """Rows are cells, ready made; a head that begins with ^ stands at the left; marked rows are tinted."""
    cells = "".join(f"<th{' class=left' if cell.startswith('^') else ''}>{cell.lstrip('^')}</th>" for cell in head)
    marked = [*marks]
    body = "".join(
        f"<tr{' class=worst' if index < len(marked) and marked[index] else ''}>{row}</tr>"
        for index, row in enumerate(rows)
    )
    return f"<div class='wide'><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"


def stages_section(verdict: Verdict) -> str:
    """Accuracies of all stages on one axis."""
    measured = verdict.measured
    lowest = min(stage.interval[0] for stage in measured.stages)
    step = 0.1 if lowest < 0.8 else 0.05 if lowest < 0.94 else 0.01
    low = max(0.0, math.floor(lowest / step + 1e-9) * step)
    rows = [_stage_row(stage, index, low) for index, stage in enumerate(measured.stages)]
    head = (
        "stage",
        f"^accuracy with 95 % interval,<br>{percent(low, 0)} to 100 %",
        "accuracy",
        "95 % interval",
        "same decision<br>as the CNN",
        "points lost (interval),<br>same samples",
        "samples",
        "undecided",
    )
    folding = measured.folding_error
    alike = f"outputs within {folding:.0e} of the largest" if folding else "the very same outputs"
    return (
        "<h2>Stage by stage</h2><p class='soft'>Where decisions are lost: on importing the CNN, on turning activations "
        "into spikes, or on rounding to the engine's numbers. Samples are shown "
        f"{CODINGS[measured.coding]}, for {counted(measured.timesteps, 'timestep')}. As imported, the CNN gives "
        f"{alike}.</p>"
        f"{table(head, rows)}"
    )


def layers_section(verdict: Verdict) -> str:
    """Figures of every layer; the row of the worst is tinted."""
    measured, culprit = verdict.measured, verdict.culprit
    if not measured.layers:
        return ""
    largest = max(max(layer.arrived or 0.0, _added(layer)) for layer in measured.layers)
    head = (
        "layer",
        "neurons",
        "correlation",
        "spikes per<br>timestep",
        "clipped",
        "dead",
        "membrane<br>left, in θ",
        "SynOps / MACs",
        "error",
        f"^arrived wrong (above), added<br>here (below); 0 to {percent(largest, 1)}",
    )
    rows = [_layer_row(layer, largest) for layer in measured.layers]
    marks = [culprit is not None and culprit.layer.name == layer.name for layer in measured.layers]
    legend = "".join(f'<span><i class="{kind}"></i>{text}</span>' for kind, text in KINDS)
    return (
        f"<h2>Layer by layer</h2><p class='soft'>Firing rates against the CNN's activations, over "
        f"{measured.layer_samples:,} samples; SynOps over all {measured.curve.n:,}. Errors are the norm of the "
        "difference as a share of the norm of the activation.</p>"
        f"{table(head, rows, marks)}<div class='legend'>{legend}</div>"
    )


def _stage_row(stage: Stage, index: int, low: float) -> str:
    bar = interval_bar(stage.accuracy, stage.interval, low, 1.0, "cnn" if index < 2 else "snn")
    least, most = stage.loss_interval
    loss = f"{signed(stage.loss)} ({signed(least)} to {signed(most)})"
    return _cells(
        f'<td class="name stage">{plain(stage.name)}</td><td class="bar">{bar}</td>',
        percent(stage.accuracy),
        f"{100 * stage.interval[0]:.2f} to {100 * stage.interval[1]:.2f}",
        percent(stage.agreement) if index else "",
        loss if index else "",
        f"{stage.n:,}",
        f"{stage.undecided:,}",
    )


def _layer_row(layer: LayerFidelity, largest: float) -> str:
    bar = "" if layer.arrived is None else added_bar(layer, largest)
    return (
        _cells(
            f'<td class="name">{plain(layer.name)}</td>',
            f"{layer.neurons:,}",
            _number(layer.correlation, ".4f"),
            _number(layer.rate, ".4f"),
            _share(layer.clipped, 2),
            _share(layer.dead, 1),
            _number(layer.residual, ".2f"),
            f"{'–' if layer.synops is None else short(layer.synops)} / {short(layer.macs)}",
            percent(layer.error),
        )
        + f'<td class="added">{bar}</td>'
    )


def _cells(first: str, *others: str) -> str:
    return first + "".join(f"<td>{cell}</td>" for cell in others)


def _added(layer: LayerFidelity) -> float:
    return math.hypot(*(getattr(layer, part) or 0.0 for part in PARTS))


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _share(value: float | None, digits: int) -> str:
    return "–" if value is None else percent(value, digits)
