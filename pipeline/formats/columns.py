"""Columns of events: what others call them, in which units their times are, how a user says their order; as events."""

from collections.abc import Iterable

import numpy as np

from ..events import EVENT_DTYPE

NAMES = {  # column: the names under which others write it
    "t": ("t", "ts", "time", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "on", "pol", "polarity", "polarities"),
}
SEVERAL = 16  # different times that are whole: so are all
SAMPLE = 256  # rows that are looked at where a file does not say what its columns are
UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "µs": 1.0, "ns": 1e-3}


def find(names: Iterable[str]) -> dict[str, str]:
    """For each of t, x, y, p the first of `names` that others write it under; a column that has none is left out."""
    present = set(names)
    found = {column: next((alias for alias in NAMES[column] if alias in present), "") for column in NAMES}
    return {column: name for column, name in found.items() if name}


def order_of(layout: str) -> str:
    """The order of columns as a user says it ("txyp", "t x y p", "x,y,-,p,t"; -: a column to leave out) as one word.

    Raises ValueError, which says what is wanted, if it is no order.
    """
    word = "".join(letter for letter in layout.lower() if letter not in " ,;\t")
    if sorted(word.replace("-", "")) != sorted(NAMES):
        raise ValueError(
            f"the order of columns is {layout!r}, want each of t, x, y, p once, as in 'txyp' or 't x y - p' "
            "(-: a column to leave out); say it with `layout`"
        )
    return word


def order_of_rows(rows: np.ndarray) -> str:
    """The order of four columns, (n, 4), as their numbers tell: x, y whole, p a polarity, t never falling.

    Raises ValueError if they tell nothing, or fit several orders.
    """
    fitting = []
    for order in ("txyp", "xytp", "xypt"):
        column = {name: rows[:, order.index(name)] for name in NAMES}
        sides = all(((column[name] % 1 == 0) & (column[name] >= 0) & (column[name] < 65_535)).all() for name in "xy")
        times = np.diff(column["t"].astype(np.float64))
        if sides and np.isin(column["p"], (-1, 0, 1)).all() and (times >= 0).all():
            fitting.append(order)
    if len(fitting) != 1 or len(rows) < 2:
        raise ValueError("is a plain array of four columns; say their order with `layout`, for instance 'txyp'")
    return fitting[0]


def to_events(columns: dict[str, np.ndarray], unit_us: float) -> tuple[np.ndarray, str]:
    """Columns t, x, y, p of any numbers as EVENT_DTYPE up to the first impossible row, and what that is ("": none).

    `unit_us`: of t, in µs. Places that no pixel has become 65535, which is outside every sensor.
    """
    polarity = columns["p"]
    times = microseconds(columns["t"], unit_us)
    bad = np.zeros(len(times), bool)
    if times.dtype.kind == "f":
        bad |= ~(np.abs(times) < 2.0**61)
    for name in ("x", "y"):
        if columns[name].dtype.kind == "f":
            bad |= ~(columns[name] == np.rint(columns[name]))
    if polarity.dtype.kind != "b":
        bad |= ~((polarity == 0) | (polarity == 1) | (polarity == -1))
    good = int(np.argmax(bad)) if bad.any() else len(bad)
    events = np.empty(good, EVENT_DTYPE)
    events["t"] = times[:good]
    for name in ("x", "y"):
        column = columns[name][:good]
        if column.dtype != np.uint16:
            column = np.where((column >= 0) & (column < 65_535), column, 65_535)
        events[name] = column
    events["p"] = polarity[:good] > 0
    if good == len(bad):
        return events, ""
    values = ", ".join(f"{name}={columns[name][good]}" for name in "txyp")
    return events, f"row with {values}: want whole numbers, and p of 0 or 1 (or -1 and 1)"


def microseconds(times: np.ndarray, unit_us: float) -> np.ndarray:
    """Times in µs, of whole numbers exactly."""
    if times.dtype.kind == "f":
        with np.errstate(all="ignore"):  # infinite ones are refused by whoever asked
            return np.rint(times.astype(np.float64) * unit_us)
    whole = times.astype(np.int64)
    return whole if unit_us == 1 else (whole + 500) // 1000 if unit_us < 1 else whole * int(unit_us)
