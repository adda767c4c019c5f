"""The search of `dvs convert --budget` on the terminal: a progress bar, then the trade-off as a table."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

if TYPE_CHECKING:
    from ...pipeline.convert.search import Choice, Point

MOST_ROWS = 12


class Progress:
    """A bar that says what is being done; nothing where the output goes elsewhere."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}/{task.total:,}"))
        self._bars = Bars(*columns, TimeElapsedColumn(), console=self._console, transient=True)
        self._task = self._bars.add_task("", total=1)

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def __call__(self, what: str, done: int, of: int) -> None:
        room = max(12, self._console.width - 60)
        shown = what if len(what) <= room else what[: room - 1] + "…"
        self._bars.update(self._task, description=shown, completed=done, total=max(of, 1))

    def behind(self, done: int, of: int, what: str) -> None:
        """The same as pipeline/convert's progress calls it."""
        self(what, done, of)


def print_choice(choice: "Choice", console: Console) -> None:
    """The points that no other beats, the knee marked."""
    n, judged = choice.knee.n, choice.judged
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("method", overflow="fold")
    timed = choice.budget.unit == "us"
    for name in ("timesteps", judged, *(["time"] if timed else []), "operations"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in _rows(choice):
        table.add_row(*_row(point, choice), style="bold" if point == choice.knee else "")
    console.print(f"trade-off within {choice.budget}, on {n:,} inputs ({judged} of the CNN: {_of_cnn(choice)})")
    console.print(table)
    console.print(
        f"> the cheapest within one standard error of the best; {len(choice.curves)} methods were tried, "
        f"{len(choice.finalists)} on all of these inputs",
        style="dim",
    )
    for note in choice.notes:
        console.print(f"note: {note}", markup=False)
    console.print()


def _rows(choice: "Choice") -> "list[Point]":
    """The front, thinned where it is long, with the knee."""
    front = list(choice.front)
    if len(front) > MOST_ROWS:
        step = (len(front) - 1) / (MOST_ROWS - 1)
        front = [front[round(number * step)] for number in range(MOST_ROWS)]
    if choice.knee not in front:
        front.append(choice.knee)
    return sorted(front, key=lambda point: (point.cost, point.share))


def _row(point: "Point", choice: "Choice") -> tuple[str, ...]:
    from ...pipeline.convert.search.budget import said

    return (
        ">" if point == choice.knee else "",
        point.candidate,
        str(point.timesteps),
        f"{100 * point.share:.2f} %",
        *([said(point.cost, "us")] if choice.budget.unit == "us" else []),
        said(point.operations, "synops").replace(" SynOps", ""),
    )


def _of_cnn(choice: Any) -> str:
    return f"{100 * choice.cnn_right / choice.knee.n:.2f} %"
