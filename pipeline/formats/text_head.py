"""What the first lines of a text file say or show: the columns and their order, the unit of time, the sensor.

A line of names ("timestamp_us,x,y,polarity"), comments that begin with # or %, and a line of two numbers (the sensor's
width and height, as in the first files of the Event Camera Dataset) are understood. Without names, the numbers tell
whether the order is "t x y p" or "x y p t"; anything else must be said.
"""

import itertools
import re
from typing import NamedTuple

from ..events import SensorSize
from .columns import NAMES, SAMPLE, UNITS_US, order_of

_ORDERS = ("txyp", "xypt")  # those that the numbers can tell apart
_NAMED = re.compile(r"([a-zµ]+?)(?:[\s_(\[]+(s|sec|ms|us|usec|µs|ns)[)\]]?)?")
_SAID_UNITS = {"sec": "s", "usec": "us"}
_COMMENTED_SIZE = re.compile(r"\b(?:sensor|size|geometry|resolution)\W+(\d{1,5})\s*[x×,]\s*(\d{1,5})")
_COMMENTED_SIDES = re.compile(r"\bwidth\W+(\d{1,5})\W+height\W+(\d{1,5})")
_COMMENTED_UNIT = re.compile(r"\bt (?:is )?in (s|ms|us|µs|ns)\b")


class Head(NamedTuple):
    """How to read the lines that follow it."""

    start: int  # first byte of the first line that is no header
    lines: int  # lines before it
    order: str  # what the columns are: t, x, y, p or -, one letter each
    unit: str  # of time, one of UNITS_US
    how: dict[str, str]  # how order and unit are known, for people
    sensor: SensorSize | None


def read_head(data: bytes, layout: str | None, time_unit: str | None) -> Head:
    """The head of a file that begins with `data`. Raises ValueError, which says what is missing."""
    data = data[: data.rfind(b"\n") + 1] or data  # whole lines, unless there is only one
    order = order_of(layout) if layout else ""
    unit = time_unit or ""
    said = {"order": "as told" if order else "", "unit": "as told" if unit else ""}
    sensor, start, lines, count = None, 0, 0, _columns_of_events(data)
    for line in data.splitlines(keepends=True):
        text = line.decode("utf-8", "replace").strip().lstrip("\ufeff").lower()
        fields = fields_of(text)
        if text and text[0] not in "#%" and _is_event(fields, order):
            break
        mark = re.search("[#%]", text)
        comment = text[mark.start() :] if mark else ""
        size = fields if len(fields) == 2 and all(map(str.isdecimal, fields)) else _commented_size(comment)
        if size and sensor is None and all(0 < int(side) <= 65_535 for side in size):
            sensor = SensorSize(*map(int, size))
        named = re.search(_COMMENTED_UNIT, comment)
        if named and not unit:
            unit, said["unit"] = named[1], "as the file says"
        names, named_unit = _columns(text.lstrip("#% ").partition("#")[0], count)
        if names and not order:
            order, said["order"] = names, "as the file says"
        if names and named_unit and not unit:
            unit, said["unit"] = named_unit, "as the file says"
        start, lines = start + len(line), lines + 1
    if not order or not unit:
        rows = _sample(data[start:], order)
        order = order or _order_of_numbers(rows)
        said["order"] = said["order"] or "from the numbers"
        unit = unit or _unit_of_numbers([row[order.index("t")] for row in rows if len(row) == len(order)])
        said["unit"] = said["unit"] or ("assumed: times have a fraction" if unit == "s" else "assumed")
    how = {"columns": f"{' '.join(order)}, {said['order']}", "time unit": f"{unit}, {said['unit']}"}
    return Head(start, lines, order, unit, how, sensor)


def is_text_of_events(data: bytes) -> bool:
    """Whether these first bytes of a file are text with a line of at least four numbers after at most a head."""
    data = data[: data.rfind(b"\n") + 1]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    strange = 0
    for line in text.lstrip("\ufeff").splitlines():
        if not all(mark.isprintable() or mark == "\t" for mark in line):
            return False
        fields = fields_of(line)
        if not line.strip() or line.lstrip()[0] in "#%" or (len(fields) == 2 and all(map(str.isdecimal, fields))):
            continue
        if len(fields) >= 4 and sum(map(_is_number, fields)) >= 4:
            return True
        strange += 1
        if strange > 1:  # names stand in one line
            return False
    return False


def fields_of(line: str) -> list[str]:
    """The columns of a line."""
    return [field.strip('"') for field in re.split(r"\s*[,;]\s*|\s+", line.strip()) if field]


def _is_event(fields: list[str], order: str) -> bool:
    """Whether the columns that count are numbers; all of them, as long as nobody has said which do."""
    if len(fields) == len(order):
        fields = [field for field, column in zip(fields, order, strict=True) if column != "-"]
    return len(fields) >= 4 and all(map(_is_number, fields))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false")
    return True


def _commented_size(text: str) -> tuple[str, ...]:
    found = _COMMENTED_SIZE.search(text) or _COMMENTED_SIDES.search(text)
    return found.groups() if found else ()


def _columns_of_events(data: bytes) -> int:
    """How many columns the first line of events has; 0: there is no such line."""
    for line in data.splitlines():
        fields = fields_of(line.decode("utf-8", "replace"))
        if fields and fields[0][:1] not in ("#", "%") and sum(map(_is_number, fields)) >= 4:
            return len(fields)
    return 0


def _columns(text: str, count: int) -> tuple[str, str]:
    """The order and the unit of time that a line of names says; ("", ""): it does not name `count` columns."""
    order, unit = "", ""
    text = re.sub(r"\s+(?=[(\[])", "", text.rpartition(":")[2])  # "columns: t [s] x y p" has four
    parts = [part.strip("\"' ") for part in re.split(r"[,;\t]", text)]
    names = parts if len(parts) >= 4 else text.split()
    if len(names) != count:
        return "", ""
    for name in names:
        match = _NAMED.fullmatch(name)
        base = match[1] if match else name
        column = next((key for key, aliases in NAMES.items() if base in aliases and key not in order), "-")
        if column == "t" and match and match[2]:
            unit = _SAID_UNITS.get(match[2], match[2])
        order += column
    return (order, unit) if all(key in order for key in NAMES) else ("", "")


def _sample(data: bytes, order: str) -> list[list[str]]:
    rows = (fields_of(line) for line in data.decode("utf-8", "replace").splitlines()[:SAMPLE])
    return [row for row in rows if _is_event(row, order)]


def _order_of_numbers(rows: list[list[str]]) -> str:
    fitting = [order for order in _ORDERS if rows and all(_fits(row, order) for row in rows)]
    if not fitting:
        example = "txyp".ljust(len(rows[0]) if rows else 4, "-")
        raise ValueError(
            "has lines of numbers, but not which column is what; say their order with `layout`, for instance "
            f"{example!r} (-: a column to leave out)"
        )
    return next((order for order in fitting if _is_rising([row[order.index("t")] for row in rows])), fitting[0])


def _is_rising(times: list[str]) -> bool:
    return all(float(earlier) <= float(later) for earlier, later in itertools.pairwise(times))


def _fits(row: list[str], order: str) -> bool:
    if len(row) != len(order):
        return False
    values = dict(zip(order, row, strict=True))
    if values["p"].lower() in ("true", "false"):
        values["p"] = "0"
    if any(field.lower() in ("true", "false") for field in values.values()):
        return False
    x, y, p = (float(values[name]) for name in "xyp")
    return p in (-1, 0, 1) and all(side == side // 1 and 0 <= side < 65_535 for side in (x, y))


def _unit_of_numbers(times: list[str]) -> str:
    """Seconds where times have a fraction, as in the Event Camera Dataset; else µs, as in Prophesee's files.

    A fraction of zeros ("0.000000") counts where all times are the same: whole numbers of µs differ soon.
    """
    fraction = any(float(time) % 1 for time in times)
    return "s" if fraction or (len(set(times)) == 1 and "." in times[0] and "e" not in times[0].lower()) else "us"


def shift_of(unit: str) -> int:
    """By how many powers of ten a time in `unit` is larger in µs."""
    return {1e6: 6, 1e3: 3, 1.0: 0, 1e-3: -3}[UNITS_US[unit]]
