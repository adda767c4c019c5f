"""What columns of events are called by others, in which units their times are, and how a user says their order."""

from collections.abc import Iterable

NAMES = {  # column: the names under which others write it
    "t": ("t", "ts", "time", "timestamp", "timestamps"),
    "x": ("x", "xs"),
    "y": ("y", "ys"),
    "p": ("p", "ps", "on", "pol", "polarity", "polarities"),
}
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
