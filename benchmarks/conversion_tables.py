"""Print tables of docs/conversion.md from benchmarks/results: python -m benchmarks.conversion_tables NAME PART [T ...]

NAME is a file there, such as conversion-cifar10; PART one of its parts; T the timesteps that become columns. "grid" for
PART is the part "ablation" at T timesteps, a row for each reset and percentile.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .accuracy import RESULTS


def lines(part: Mapping[str, Any], marks: Sequence[str], form: str = "spikes") -> Iterator[str]:
    first = next(iter(part.values()))
    n, cnn = first["n"], first["cnn"]
    yield f"{n:,} images ({first['images']}); the CNN: {cnn:.2%}"
    yield ""
    yield "| method | " + " | ".join(f"T = {mark}" for mark in marks) + f" | SynOps at {marks[-1]} |"
    yield "|---" * (len(marks) + 2) + "|"
    for name, row in part.items():
        if form not in row:
            continue
        found = [row[form].get(mark) for mark in marks]
        cells = [_cell(value, n) if value else "" for value in found]
        synops = next(
            (f"{value['synops'] / 1e6:,.1f} million" for value in found[::-1] if value and "synops" in value), ""
        )
        yield f"| {name} | {' | '.join(cells)} | {synops} |"


def grid(part: Mapping[str, Any], mark: str) -> Iterator[str]:
    """The ablation, whose rows are called "reset, percentile, input, v(0)=start"."""
    cells: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, row in part.items():
        reset, percentile, coding, start = name.split(", ")
        cells.setdefault(f"reset: {reset}, {percentile} %", {})[f"{coding}, {start}"] = row["spikes"][mark]
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    yield f"| {mark} timesteps | " + " | ".join(columns) + " |"
    yield "|---|" + "---:|" * len(columns)
    for name, values in cells.items():
        yield f"| {name} | " + " | ".join(f"{values[column]['accuracy']:.1%}" for column in columns) + " |"


def _cell(value: Mapping[str, Any], n: int) -> str:
    """Of thousands of images also the points below the CNN, with their interval."""
    accuracy = f"{value['accuracy']:.2%}" if n >= 1000 else f"{value['accuracy']:.1%}"
    if n < 1000:
        return accuracy
    low, high = value["paired_95"]
    return f"{accuracy} ({-value['points_below_cnn']:+.2f}; {-high:+.2f} to {-low:+.2f})"


def main() -> None:
    name, part, *marks = sys.argv[1:]
    document = json.loads((RESULTS / f"{name}.json").read_text())
    if part == "grid":
        print("\n".join(line for mark in marks for line in (*grid(document["parts"]["ablation"], mark), "")))
        return
    for form in ("spikes", "counts"):
        if any(form in row for row in document["parts"][part].values()):
            print(f"\n{form}: ", end="")
            print("\n".join(lines(document["parts"][part], marks or ["8", "16", "32", "64"], form)))


if __name__ == "__main__":
    main()
