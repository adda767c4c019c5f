"""The verdict's plots as inline SVG: no scripts, colours from the page's style sheet, which follow dark and light.

Coordinates are rounded to a tenth of a pixel and nothing random is drawn: the same figures give the same bytes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ...interval import wilson
from ..verdict.fidelity import EXTENT, rate_bins
from ..verdict.measured import Curve, LayerFidelity
from ..verdict.verdict import percent

POINTS = 140  # of a curve, at most
LEVELS = 6  # of a density
PARTS = ("clipping", "early", "late", "rounding")  # of the error that a layer adds, in the order of the bars


def plain(text: str, limit: int = 60) -> str:
    """A text as HTML: escaped, at most `limit` characters, without those that steer a terminal or turn the writing.

    A space before % does not break.
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    shown = shown if len(shown) <= limit else shown[: limit - 1] + "…"
    return escape(shown, quote=True).replace(" %", "\N{NO-BREAK SPACE}%")


def short(value: float) -> str:
    """3 digits and a unit: 12.3 k, 4.56 M."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class Axis:
    """From values to pixels, linear or logarithmic. A logarithmic one may have 0 at its lower end."""

    low: float
    high: float
    start: float  # pixel of `low`
    stop: float
    log: bool = False
    zero: bool = False  # whatever lies at or below `low` is 0, and the end of the axis says so

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self, wanted: int = 5) -> list[float]:
        """Round values within the axis."""
        if not self.log:
            step = _nice((self.high - self.low) / wanted)
            first = math.ceil(self.low / step - 1e-9)
            return [step * k for k in range(first, math.floor(self.high / step + 1e-9) + 1)]
        low = self.low * (1.5 if self.zero else 0.999)
        decades = range(math.floor(math.log10(self.low)) - 1, math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [f * 10.0**k for k in decades for f in factors]
            found = [value for value in found if low <= value <= self.high * 1.001]
            if len(found) <= wanted + 2:
                break
        return [*([0.0] if self.zero else []), *found[:: max(1, -(-len(found) // (wanted + 2)))]]


def error_axis(errors: Sequence[float], start: float, stop: float) -> Axis:
    """For shares of wrong decisions: logarithmic where they span much, else from 0."""
    above = [error for error in errors if error > 0]
    if above and max(errors) > 8 * min(above):
        zero = min(errors) == 0
        return Axis(min(above) / (2.2 if zero else 1.4), min(1.0, max(errors) * 1.15), start, stop, True, zero)
    return Axis(0.0, min(1.0, max(max(errors, default=0.0) * 1.25, 0.01)), start, stop)


def error_plot(curve: Curve, cnn_error: float, cnn_operations: tuple[float, float] | None, settled: int | None) -> str:
    """Top-1 error of the converted network with its 95 % interval, against timesteps, or against operations.

    `cnn_operations` (with a MAC as two operations, as one) makes it the latter; the CNN is then a point, else a line.
    """
    steps = thinned(len(curve.error))
    across = [curve.operations[s - 1] if cnn_operations else float(s) for s in steps]
    errors = [curve.error[s - 1] for s in steps]
    bands = [wilson(round(error * curve.n), curve.n) for error in errors]
    cnn_band = wilson(round(cnn_error * curve.n), curve.n)
    y = error_axis([*errors, cnn_error], 262, 14)
    every = [*across, *(cnn_operations or ())]
    low, high = max(min(every), 1e-9), max(every)
    x = Axis(
        low / 1.15 if cnn_operations else low, high * 1.15 if cnn_operations else max(high, low + 1), 56, 508, True
    )
    body = [frame(x, y, "operations per sample" if cnn_operations else "timesteps", "wrong decisions", short)]
    if cnn_operations is None:
        top, bottom = y(cnn_band[1]), y(cnn_band[0])
        body.append(f'<rect class="cnn band" x="56" y="{top:.1f}" width="452" height="{bottom - top:.1f}"/>')
        body.append(f'<path class="cnn dash" d="M56 {y(cnn_error):.1f}H508"/>')
    body.append(_band(x, y, across, bands))
    body.append(f'<path class="snn line" d="{line(x, y, across, errors)}"/>')
    if settled is not None:
        at = curve.operations[settled - 1] if cnn_operations else float(settled)
        body.append(
            f'<circle class="snn mark" cx="{x(at):.1f}" cy="{y(curve.error[settled - 1]):.1f}" r="4">'
            f"<title>timestep {settled}: {percent(curve.error[settled - 1])} wrong</title></circle>"
        )
    if cnn_operations is not None:
        two, one = cnn_operations
        body.append(
            f'<path class="cnn line" d="M{x(two):.1f} {y(cnn_band[0]):.1f}V{y(cnn_band[1]):.1f}"/>'
            f'<circle class="cnn hollow" cx="{x(one):.1f}" cy="{y(cnn_error):.1f}" r="5">'
            f"<title>a MAC as one operation: {short(one)}</title></circle>"
            f'<circle class="cnn dot" cx="{x(two):.1f}" cy="{y(cnn_error):.1f}" r="5.5"><title>the CNN: {short(two)} '
            f"operations, {percent(cnn_error)} wrong</title></circle>"
        )
    return svg(520, 308, body, "error against " + ("operations" if cnn_operations else "timesteps"))


def interval_bar(value: float, interval: tuple[float, float], low: float, high: float, kind: str) -> str:
    """An accuracy within its 95 % interval, on an axis that all rows of the table share."""
    x = Axis(low, high, 4, 216)
    left, right, at = x(interval[0]), x(interval[1]), x(value)
    body = [
        '<path class="rail" d="M4 10H216"/>',
        f'<rect class="{kind} fill" x="4" y="6" width="{at - 4:.1f}" height="8"/>',
        f'<path class="{kind} whisker" d="M{left:.1f} 10H{right:.1f}M{left:.1f} 5V15M{right:.1f} 5V15"/>',
    ]
    return svg(220, 20, body, f"{percent(value)}, 95 % interval {percent(interval[0])} to {percent(interval[1])}")


def added_bar(layer: LayerFidelity, largest: float) -> str:
    """Above: what arrived wrong. Below: what the layer added, its parts by their share of the square."""
    x = Axis(0.0, max(largest, 1e-9), 0, 150)
    body = [f'<rect class="arrived" x="0" y="3" width="{x(layer.arrived or 0.0):.1f}" height="5"/>']
    parts = [getattr(layer, name) or 0.0 for name in PARTS]
    squares = sum(part * part for part in parts)
    at, whole = 0.0, x(math.sqrt(squares))
    for name, part in zip(PARTS, parts, strict=True):
        width = whole * part * part / squares if squares else 0.0
        if width >= 0.05:
            body.append(f'<rect class="{name}" x="{at:.1f}" y="10" width="{width:.1f}" height="7"/>')
        at += width
    spoken = ", ".join(f"{name} {percent(part)}" for name, part in zip(PARTS, parts, strict=True))
    return svg(150, 20, body, f"arrived wrong {percent(layer.arrived or 0.0)}; added: {spoken}")


def density_plot(layer: LayerFidelity, timesteps: int, coarse: bool = False) -> str:
    """Activation across, rate up, in units of the calibration's scale; the darker, the more pairs (logarithmic)."""
    assert layer.density is not None
    counts, steps = layer.density, timesteps * layer.parts
    top = max(counts.shape[0] * rate_bins(steps)[0] / steps, 1e-9)
    if coarse:
        counts = _halved(counts)
    x, y = Axis(0.0, EXTENT, 30, 222), Axis(0.0, max(top, EXTENT), 170, 8)
    unit = "λ" if layer.parts == 1 else f"{layer.parts:g} λ"
    body = [_small_frame(x, y, f"activation / {unit}", _rate_name(layer))]
    body += _cells(counts, x(EXTENT) - x(0), y(0) - y(top), x(0), y(0))
    body.append(f'<path class="ideal" d="M{x(0):.1f} {y(0):.1f}L{x(1):.1f} {y(1):.1f}"/>')
    body.append(f'<path class="limit" d="M{x(1):.1f} {y(0):.1f}V{y(top):.1f}"/>')
    return svg(230, 204, body, f"{layer.name}: activation against firing rate")


def rate_plot(layer: LayerFidelity, timesteps: int) -> str:
    """How often which rate above 0 occurs; heights are logarithmic."""
    assert layer.rates is not None
    counts, steps = layer.rates.astype(float), timesteps * layer.parts
    group = rate_bins(steps)[0]
    x = Axis(0.0, max(len(counts) * group / steps, EXTENT), 30, 222)
    most = max(float(counts.max()), 1.0)
    body = [_small_frame(x, Axis(0.0, 1.0, 62, 6), f"{_rate_name(layer)} (count: log)", "", ())]
    path = []
    for index, count in enumerate(counts.tolist()):
        if count:
            height = 4 + 52 * math.log(count) / math.log(most) if most > 1 else 56.0
            left, right = x(index * group / steps), x((index + 1) * group / steps)
            path.append(f"M{left:.1f} 62V{62 - height:.1f}H{max(right - 0.6, left + 0.4):.1f}V62z")
    body.append(f'<path class="bars" d="{"".join(path)}"/>')
    return svg(230, 96, body, f"{layer.name}: histogram of firing rates")


def _rate_name(layer: LayerFidelity) -> str:
    return "spikes per timestep" if layer.parts == 1 else f"spikes per timestep / {layer.parts:g}"


def _cells(counts: np.ndarray, width: float, height: float, left: float, bottom: float) -> list[str]:
    """One path for each level of darkness, runs of equal cells as one rectangle."""
    rows, columns = counts.shape
    most = max(int(counts.max()), 1)
    level = np.minimum(np.ceil(LEVELS * np.log1p(counts) / math.log1p(most)), LEVELS).astype(int)
    paths: list[list[str]] = [[] for _ in range(LEVELS + 1)]
    for row in range(rows):
        starts = np.flatnonzero(np.diff(level[row], prepend=-1))
        for start, stop in zip(starts, [*starts[1:], columns], strict=True):
            if level[row, start]:
                paths[level[row, start]].append(f"M{start} {rows - 1 - row}h{stop - start}v1h{start - stop}z")
    scaled = f'transform="translate({left:.1f} {bottom - height:.1f}) scale({width / columns:.4f} {height / rows:.4f})"'
    return [
        f'<path class="cell" fill-opacity="{index / LEVELS:.2f}" {scaled} d="{"".join(path)}"/>'
        for index, path in enumerate(paths)
        if path
    ]


def _halved(counts: np.ndarray) -> np.ndarray:
    """Four bins become one."""
    even = np.pad(counts, [(0, size % 2) for size in counts.shape])
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).sum((1, 3))


def frame(x: Axis, y: Axis, across: str, up: str, form: Callable[[float], str]) -> str:
    """Grid, ticks and titles of a large plot."""
    parts = []
    for value in x.ticks(5):
        parts.append(f'<path class="grid" d="M{x(value):.1f} {y.start:.1f}V{y.stop:.1f}"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{y.start + 15:.1f}" text-anchor="middle">{form(value)}</text>')
    for value in y.ticks(6):
        parts.append(f'<path class="grid" d="M{x.start:.1f} {y(value):.1f}H{x.stop:.1f}"/>')
        parts.append(f'<text x="{x.start - 6:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{100 * value:.3g} %</text>')
    middle = (y.start + y.stop) / 2
    parts.append(f'<text class="title" x="{(x.start + x.stop) / 2:.1f}" y="300" text-anchor="middle">{across}</text>')
    parts.append(
        f'<text class="title" transform="translate(11 {middle:.1f}) rotate(-90)" text-anchor="middle">{up}</text>'
    )
    return "".join(parts)


def _small_frame(x: Axis, y: Axis, across: str, up: str, levels: Sequence[float] = (0, 0.5, 1)) -> str:
    parts = [f'<path class="axis" d="M{x.start:.1f} {y.stop:.1f}V{y.start:.1f}H{x.stop:.1f}"/>']
    parts += [f'<text x="{x(v):.1f}" y="{y.start + 13:.1f}" text-anchor="middle">{v:g}</text>' for v in (0, 0.5, 1)]
    parts += [f'<text x="{x.start - 4:.1f}" y="{y(v) + 4:.1f}" text-anchor="end">{v:g}</text>' for v in levels]
    centre = (x.start + x.stop) / 2
    parts.append(f'<text class="title" x="{centre:.1f}" y="{y.start + 27:.1f}" text-anchor="middle">{across}</text>')
    if up:
        middle = (y.start + y.stop) / 2
        parts.append(
            f'<text class="title" transform="translate(7 {middle:.1f}) rotate(-90)" text-anchor="middle">{up}</text>'
        )
    return "".join(parts)


def line(x: Axis, y: Axis, across: Sequence[float], up: Sequence[float]) -> str:
    return "M" + "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in zip(across, up, strict=True))


def _band(x: Axis, y: Axis, across: Sequence[float], bands: Sequence[tuple[float, float]]) -> str:
    upper = line(x, y, across, [band[1] for band in bands])
    lower = line(x, y, list(reversed(across)), [band[0] for band in reversed(bands)])
    return f'<path class="snn band" d="{upper}L{lower[1:]}z"/>'


def thinned(timesteps: int) -> list[int]:
    """Timesteps 1 .. T, all or evenly spaced on a logarithmic axis."""
    if timesteps <= POINTS:
        return list(range(1, timesteps + 1))
    return sorted({round(value) for value in np.geomspace(1, timesteps, POINTS).tolist()})


def _nice(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= step * 0.999)


def svg(width: int, height: int, body: Sequence[str], label: str) -> str:
    spoken = plain(label, 300)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{spoken}"><title>{spoken}</title>'
        f"{''.join(body)}</svg>"
    )
