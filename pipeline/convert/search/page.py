"""The search on the verdict's page: every method that was tried, the points that no other beats, and the knee."""

import math
from collections.abc import Callable, Sequence

from ..page.plots import Axis, error_axis, frame, line, plain, short, svg
from ..page.tables import table
from ..verdict.verdict import percent
from .budget import said
from .choose import Choice
from .tradeoff import Point, Tradeoff

ACROSS = {"timesteps": "timesteps", "us": "ms until the decision", "synops": "operations per sample"}
MOST_ROWS = 16
Measure = Callable[[Tradeoff], Sequence[float]]


def choice_section(choice: Choice) -> str:
    """HTML for page.verdict_page; every name in it is escaped."""
    plots = [
        _figure(choice, ACROSS[choice.budget.unit], lambda curve: _unit(choice, curve.cost.tolist()), choice.knee.cost)
    ]
    if choice.budget.unit != "synops":
        plots.append(_figure(choice, "operations per sample", lambda curve: curve.operations.tolist(), None))
    shown = _shown(choice)
    rows, marks = [_row(point, choice) for point in shown], [point == choice.knee for point in shown]
    head = ("method", "timesteps", choice.judged, "standard error", f"cost ({choice.budget} allowed)", "operations")
    wrong = "wrong decisions" if choice.judged == "accuracy" else "decisions that are not the CNN's"
    notes = "".join(f"<p class='soft small'>{plain(note, 400)}</p>" for note in choice.notes)
    return (
        "<h2>How the method was chosen</h2><p class='soft'>"
        f"{len(choice.curves)} methods were tried, {len(choice.finalists)} of them on all of {choice.knee.n:,} samples "
        f"(blue), the others on fewer (grey). The plots show {wrong} after every timestep. Chosen is the cheapest "
        "point within one standard error of the best in budget. The verdict is on other samples: the best of many "
        f"figures is flattered by chance.</p><div class='plots'>{''.join(plots)}</div>"
        f"<p class='soft'>Points that no other beats in {choice.judged} and cost; the chosen one is tinted.</p>"
        f"{table(('^' + head[0], *head[1:]), rows, marks)}{notes}"
    )


def _figure(choice: Choice, across: str, measure: Measure, knee_at: float | None) -> str:
    curves = [(curve, [float(value) for value in measure(curve)]) for curve in choice.curves if len(curve.right)]
    cnn = 1 - choice.cnn_right / choice.knee.n
    finalists = set(choice.finalists)
    if across == ACROSS["us"]:  # only theirs was measured, the others' was estimated
        curves = [(curve, values) for curve, values in curves if curve.candidate in finalists]
    errors = [1 - share for curve, _ in curves if curve.candidate in finalists for share in curve.share.tolist()]
    y = error_axis([*errors, cnn], 262, 14)
    every = [value for _, values in curves for value in values]
    low = max(min(every), 1e-9)
    x = Axis(low, max(max(every), low * 2), 56, 508, True)
    body = [frame(x, y, across, "wrong decisions", short), f'<path class="cnn dash" d="M56 {y(cnn):.1f}H508"/>']
    for curve, values in sorted(curves, key=lambda pair: pair[0].candidate in finalists):
        wrong = [1 - share for share in curve.share.tolist()]
        style = 'class="snn line" stroke-opacity=".55"' if curve.candidate in finalists else 'class="grid"'
        name = plain(curve.candidate)
        body.append(f'<path {style} d="{line(x, y, values, wrong)}"><title>{name}, n = {curve.n:,}</title></path>')
    at = choice.knee.operations if knee_at is None else _unit(choice, [knee_at])[0]
    title = f"{plain(choice.knee.candidate)}, timestep {choice.knee.timesteps}"
    place = f'cx="{x(at):.1f}" cy="{y(1 - choice.knee.share):.1f}"'
    body.append(f'<circle class="snn mark" {place} r="5"><title>{title}</title></circle>')
    legend = (
        '<i class="snn"></i>methods of the last round',
        f'<i class="cnn"></i>CNN, {percent(cnn)} wrong',
        '<i class="open snn round"></i>chosen',
    )
    entries = "".join(f"<span>{entry}</span>" for entry in legend)
    plot = svg(520, 308, body, f"every method: error against {across}")
    return f'<figure><div class="legend">{entries}</div>{plot}</figure>'


def _unit(choice: Choice, costs: Sequence[float]) -> list[float]:
    """As the axis has it: ms where the budget is of time."""
    factor = 1e-3 if choice.budget.unit == "us" else 1.0
    return [float(cost) * factor for cost in costs]


def _shown(choice: Choice) -> list[Point]:
    """The front, thinned where it is long, with the knee."""
    front = list(choice.front)
    step = max(1, math.ceil(len(front) / MOST_ROWS))
    chosen = {*front[::step], front[-1], choice.knee}
    return sorted(chosen, key=lambda point: (point.cost, point.share))


def _row(point: Point, choice: Choice) -> str:
    cells = (
        f"{point.timesteps}",
        percent(point.share),
        f"{100 * point.standard_error:.2f} points",
        said(point.cost, choice.budget.unit),
        said(point.operations, "synops").removesuffix("SynOps").strip(),
    )
    return f"<td class='name'>{plain(point.candidate)}</td>" + "".join(f"<td>{plain(cell)}</td>" for cell in cells)
