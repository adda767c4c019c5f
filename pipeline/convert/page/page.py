"""The verdict as one self-contained HTML page: text, tables and inline SVG, nothing fetched, no scripts, no date.

The same conversion gives the same bytes. Every name in it is hostile until it went through `plain`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ...files import written_whole
from ..verdict.verdict import Verdict, percent, points, signed
from .plots import density_plot, error_plot, plain, rate_plot, short
from .style import STYLE
from .tables import layers_section, stages_section, table

DRAWN_LAYERS = 24  # more are not drawn, those with the largest error are
COARSE_FROM = 13  # layers from which on the densities have a quarter of the bins


def write_page(verdict: Verdict, path: str | Path, sections: Sequence[str] = ()) -> None:
    """Write the page, all or nothing. Raises ConversionError where it cannot be written."""
    try:
        with written_whole(path) as partial:
            partial.write_bytes(verdict_page(verdict, sections).encode("utf-8", "replace"))
    except OSError as error:
        raise ConversionError(f"{path} cannot be written: {error.strerror or error}") from error


def verdict_page(verdict: Verdict, sections: Sequence[str] = ()) -> str:
    """The page as text. `sections` are more of it, as HTML in which every name is escaped, behind the trade-off."""
    title = plain(verdict.title or "Conversion of a CNN into a spiking network", 120)
    body = (_head(verdict, title), stages_section(verdict), _tradeoff(verdict), *sections, layers_section(verdict))
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>Verdict: {title}</title><style>{STYLE}</style></head><body><main>",
            *body,
            _gallery(verdict),
            _provenance(verdict),
            "</main></body></html>\n",
        )
    )


def _head(verdict: Verdict, title: str) -> str:
    measured, stage = verdict.measured, verdict.converted
    low, high = stage.loss_interval
    spent = measured.curve.operations[-1] / max(measured.cnn_operations, 1)
    settled = verdict.settled
    figures = (
        (points(verdict.loss), f"lost, 95 % interval {signed(low)} to {signed(high)}"),
        (percent(stage.agreement), f"of {stage.n:,} decisions are the CNN's"),
        (
            f"{settled} of {measured.timesteps}" if settled else "not yet",
            f"timesteps until within {verdict.margin:g} points",
        ),
        (f"{spent:.2f} ×", "the CNN's operations in all timesteps"),
    )
    boxes = "".join(f"<div><b>{big}</b><span>{small}</span></div>" for big, small in figures)
    worst = f'<p class="advice">{plain(verdict.worst, 600)}</p>' if verdict.worst else ""
    warnings = "".join(f'<p class="advice warn">{plain(text, 600)}</p>' for text in verdict.warnings)
    return (
        f'<h1>{title}</h1><p class="sentence">{_chip(verdict)}{plain(verdict.finding, 600)}</p>'
        f'<p class="soft">{plain(verdict.cost, 600)}</p><div class="figures">{boxes}</div>{worst}{warnings}'
    )


def _chip(verdict: Verdict) -> str:
    if verdict.allowed is None:
        return ""
    kind, word = ("good", "PASSED") if verdict.passed() else ("bad", "FAILED")
    return f'<span class="chip {kind}">{word}</span>'


def _tradeoff(verdict: Verdict) -> str:
    measured, stage, settled = verdict.measured, verdict.converted, verdict.settled
    curve, cnn_error = measured.curve, 1 - stage.cnn_right / stage.n
    time = error_plot(curve, cnn_error, None, settled)
    work = error_plot(curve, cnn_error, (float(measured.cnn_operations), float(measured.macs)), settled)
    ours = f'<i class="snn"></i>converted, with 95 % interval (n = {curve.n:,})'
    reached = f'<i class="open snn round"></i>within {verdict.margin:g} points from timestep {settled} on'
    in_time = [ours, f'<i class="cnn"></i>CNN, {percent(cnn_error)} wrong', *([reached] if settled else [])]
    in_work = [
        ours,
        '<i class="cnn round"></i>CNN, a MAC being 2 operations',
        '<i class="open round"></i>the same, a MAC being 1',
    ]
    current = f", and {short(curve.first_layer)} for the constant current into the first layer, computed once"
    return (
        "<h2>Error against time and against operations</h2>"
        f'<div class="plots">{_figure(in_time, time)}{_figure(in_work, work)}</div>'
        f'<p class="soft small">A sample costs the CNN {short(measured.cnn_operations)} operations '
        f"({short(measured.macs)} MACs, each a multiplication and an addition; one for each bias) and the spiking "
        f"network, after all timesteps, {short(curve.operations[-1])}: {short(curve.synops[-1])} SynOps, each the "
        f"addition of one weight for one spike{current if curve.first_layer else ''}. A clocked machine also updates "
        f"{short(measured.neurons)} neurons in every timestep, {short(curve.updates[-1])} updates in all, which are in "
        "neither count.</p>"
    )


def _figure(legend: Iterable[str], plot: str) -> str:
    entries = "".join(f"<span>{entry}</span>" for entry in legend)
    return f'<figure><div class="legend">{entries}</div>{plot}</figure>'


def _gallery(verdict: Verdict) -> str:
    measured = verdict.measured
    spiking = [layer for layer in measured.layers if layer.density is not None]
    drawn = {layer.name for layer in sorted(spiking, key=lambda layer: -layer.error)[:DRAWN_LAYERS]}
    figures = [
        f"<figure><h3>{plain(layer.name)}</h3>"
        f"{density_plot(layer, measured.timesteps, coarse=len(spiking) >= COARSE_FROM)}"
        f'{rate_plot(layer, measured.timesteps)}<p class="soft small">{percent(layer.silent or 0.0, 0)} of all pairs '
        "are 0 in both and not drawn</p></figure>"
        for layer in spiking
        if layer.name in drawn
    ]
    if not figures:
        return ""
    left_out = f" Only the {DRAWN_LAYERS} layers of the largest error are drawn." if len(drawn) < len(spiking) else ""
    return (
        "<h2>Activation against firing rate</h2><p class='soft'>Every pair of a neuron and a sample. On the dashed "
        "line the rate is the activation; what lies right of the dotted line exceeds λ and is clipped where a neuron "
        f"fires at most once a timestep. The last bins hold all that lies beyond.{left_out}</p>"
        f"<div class='gallery'>{''.join(figures)}</div>"
    )


def _provenance(verdict: Verdict) -> str:
    rows = [
        f'<td class="name">{plain(key)}</td><td class="text">{plain(value, 300)}</td>'
        for key, value in _flat(verdict.provenance)
    ]
    made = f"<h2>How it was made</h2>{table(('setting', '^'), rows)}" if rows else ""
    return f"{made}<h2>What the figures mean</h2><p class='soft small'>{MEANING}</p>"


def _flat(provenance: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    """Settings as pairs of text; long lists as their number and range."""
    for key, value in provenance.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, list | tuple):
            numbers = [item for item in value if isinstance(item, int | float)]
            if len(value) > 4 and len(numbers) == len(value):
                yield name, f"{len(value)} values, {min(numbers):.4g} to {max(numbers):.4g}"
            elif value:
                yield name, "; ".join(map(str, value))
        elif value is not None and value != "":
            yield name, f"{value:.6g}" if isinstance(value, float) else str(value)


MEANING = (
    "Accuracies: 95 % intervals after Wilson. Points lost: accuracy of the CNN minus that of the stage, decided on the "
    "same samples, with the score interval for paired proportions (Tango 1998). An undecided sample, all outputs "
    "alike, counts as wrong. Correlation: Pearson, of activation and firing rate. Dead: neurons whose activation is 0 "
    "on every sample. Membrane left: the mean of |v(T) − v(0)| in thresholds, where activation or rate are not 0. With "
    "reset by subtraction, rate + (v(T) − v(0)) / (T θ) is exactly what arrived per timestep; its difference to the "
    "activation is what arrived wrong, the rest this layer added (Rueckauer et al. 2017). Operations count borders "
    "exactly; pooling is not counted. The samples are those that the caller gave as validation data, on which no "
    "setting may have been chosen."
)
