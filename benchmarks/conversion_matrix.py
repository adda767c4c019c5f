"""The matrix of small networks, all of it: errors by method, what is refused and how, and the engine beside its twin.

    python -m benchmarks.conversion_matrix --out benchmarks/results/conversion-matrix.json     # 10 minutes of one core
    python -m benchmarks.conversion_matrix --table benchmarks/results/conversion-matrix.json   # its tables as Markdown
    python -m benchmarks.conversion_matrix --share 1/2 --out a.json    # every second network; 2/2: the others
    python -m benchmarks.conversion_matrix --join a.json b.json --out benchmarks/results/conversion-matrix.json

What the error is, and why, is told in tests/convert/matrix.py. A network that is to convert and does not, or that is to
be refused and converts, ends the run with exit code 1; so does one of which the engine fires other spikes than its
clocked twin. An error above a bar is told, not hidden: the table of methods counts them.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dvs_run.pipeline.errors import ConversionError, NetworkError
from tests.convert import matrix
from tests.engine.together import Together

from .engine.origin import origin, write

PICTURES = 16
ENGINE_STEPS = 6


def measured(case: matrix.Case) -> dict[str, Any]:
    """Errors and SynOps by method, and whether the engine equals its twin in each number format."""
    model, x = matrix.network_of(case), matrix.unseen_of(case, PICTURES)
    wanted = matrix.wanted_of(model, x)
    line: dict[str, Any] = {"network": case.name, "methods": {}, "engine": {}}
    for name, method in matrix.METHODS.items():
        conversion = matrix.converted(case, model, method)
        found, synops = matrix.readouts(conversion, x)
        line["methods"][name] = {
            "error": round(matrix.error(found, wanted), 6),
            "flat_error": round(matrix.flat_error(found, wanted), 6),
            "agreement": float((found.argmax(1) == wanted.argmax(1)).float().mean()),
            "synops_per_mac_and_timestep": round(synops / conversion.report.macs / matrix.TIMESTEPS, 4),
        }
        if name == "standard":
            line["engine"] = {numbers: engine_verdict(case, conversion, numbers) for numbers in ("int16", "float32")}
    return line


def engine_verdict(case: matrix.Case, conversion, numbers: str) -> str:
    """ "equal" if engine and slow twin fire the same spikes, step by step, and hold the same potentials."""
    picture = matrix.unseen_of(case, 2)[1].numpy()
    try:
        together = Together(replace(conversion.network, timestep_us=1000), numbers)
        for _ in range(ENGINE_STEPS):
            together.step(picture, current=True)
    except AssertionError as difference:
        return f"different: {difference}"
    except NetworkError as refusal:
        return f"refused: {refusal}"
    return "equal"


def refused(case: matrix.Case) -> dict[str, Any]:
    try:
        matrix.converted(case, matrix.network_of(case), matrix.METHODS["standard"])
    except ConversionError as refusal:
        return {"network": case.name, "refused": str(refusal)}
    return {"network": case.name, "refused": None}


def run(only: str, share: str) -> tuple[dict[str, Any], bool]:
    torch.set_num_threads(1)
    record: dict[str, Any] = {
        **origin(None, 0, "benchmarks.conversion_matrix"),
        "error": "||r - y|| / ||y - mean y|| over pictures that neither training nor calibration saw",
        "pictures": PICTURES,
        "timesteps": matrix.TIMESTEPS,
        "converted": [],
        "refused": [],
    }
    failed = False
    number, shares = map(int, share.split("/"))
    for case in [case for case in matrix.cases() if only in case.name][number - 1 :: shares]:
        try:
            line = measured(case)
            failed |= any(verdict.startswith("different") for verdict in line["engine"].values())
        except ConversionError as refusal:
            line, failed = {"network": case.name, "failed": str(refusal)}, True
        record["converted"].append(line)
        print(json.dumps(line), flush=True)
    for case in [case for case in matrix.refused_cases() if only in case.name][number - 1 :: shares]:
        record["refused"].append(refused(case))
        failed |= record["refused"][-1]["refused"] is None
    return record, failed


def joined(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Shares of one run as one record, in the order of the matrix."""
    order = [case.name for case in (*matrix.cases(), *matrix.refused_cases())]
    lines = {
        part: sorted(
            (line for record in records for line in record[part]), key=lambda line: order.index(line["network"])
        )
        for part in ("converted", "refused")
    }
    return {**records[0], "command": "; ".join(record["command"] for record in records), **lines}


def table(record: dict[str, Any]) -> Iterator[str]:
    """The record as Markdown: a line a network, and a summary by method."""
    names = list(matrix.METHODS)
    yield "| network | " + " | ".join(names) + " | engine |"
    yield "|---|" + "---:|" * len(names) + "---|"
    lines = [line for line in record["converted"] if "methods" in line]
    for line in lines:
        errors = " | ".join(f"{100 * line['methods'][name]['error']:.2f} %" for name in names)
        verdicts = set(line["engine"].values())
        engine = "equal" if verdicts == {"equal"} else ", ".join(sorted(v.split(":")[0] for v in verdicts))
        yield f"| {line['network']} | {errors} | {engine} |"
    yield ""
    yield "| method | median | largest | above 2 % | above 0.5 % | SynOps a MAC and timestep, median |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name in names:
        errors = sorted(line["methods"][name]["error"] for line in lines)
        work = sorted(line["methods"][name]["synops_per_mac_and_timestep"] for line in lines)
        yield (
            f"| {name} | {100 * errors[len(errors) // 2]:.2f} % | {100 * errors[-1]:.2f} % | "
            f"{sum(error > 0.02 for error in errors)} of {len(errors)} | "
            f"{sum(error > 0.005 for error in errors)} of {len(errors)} | {work[len(work) // 2]:.2f} |"
        )
    yield ""
    yield "| refused | what it says |"
    yield "|---|---|"
    for line in record["refused"]:
        said = (line["refused"] or "NOT REFUSED").split(";")[0].replace("|", "\\|")
        yield f"| {line['network']} | {said} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    parser.add_argument("--only", default="", help="networks whose name holds this")
    parser.add_argument("--table", type=Path, help="print the tables of such a file instead of running")
    parser.add_argument("--share", default="1/1", help="1/2: every second network; 2/2: the others")
    parser.add_argument("--join", type=Path, nargs="+", help="shares to be written as one, to --out")
    arguments = parser.parse_args()
    if arguments.table is not None:
        print("\n".join(table(json.loads(arguments.table.read_text()))))
        return 0
    if arguments.join is not None:
        write(joined([json.loads(path.read_text()) for path in arguments.join]), arguments.out)
        return 0
    record, failed = run(arguments.only, arguments.share)
    write(record, arguments.out)
    print("\n".join(table(record)))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
