"""The figures of a run as the tables of docs/performance.md, between its two marks."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- figures: written by python -m benchmarks.engine --tables -->", "<!-- end of figures -->"
NAMES = {"vgg7-current": "VGG-7, constant current", "vgg7-poisson": "VGG-7, Poisson"}


def write(record: dict[str, Any], page: Path) -> None:
    """Put the tables of this run where those of the last one stand. Raises SystemExit if the page has no place."""
    text = page.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{page} has no place for the figures: want the lines {BEGIN!r} and {END!r}")
    head, rest = text.split(BEGIN, 1)
    page.write_text(f"{head}{BEGIN}\n\n{tables(record)}\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def tables(record: dict[str, Any]) -> str:
    configurations = record["configurations"]
    parts = [_where(record), _times(configurations), _convolutions(configurations), _work(configurations)]
    parts += [_ceilings(record["ceilings"]), _alone(record.get("alone")), _missing(record)]
    return "\n".join(part for part in parts if part)


def _where(record: dict[str, Any]) -> str:
    machine, versions = record["machine"], record["versions"]
    with_versions = ", ".join(f"{name} {version}" for name, version in versions.items() if version != "not installed")
    marked = [t["marked"] / t["measurements"] for c in record["configurations"] for t in c["times"].values()]
    share = f"{100 * sum(marked) / max(len(marked), 1):.0f} %"
    return (
        f"{machine['processor']}, core {machine['ran_on_core']} of {machine['cores']}; commit "
        f"{record['commit'][:10]}, seed {record['seed']}, {record['date']}; `{record['command']}`. {with_versions}. "
        f"Of all measurements {share} were marked.\n"
    )


def _times(configurations: list[dict[str, Any]]) -> str:
    ours = _formats(configurations)
    lines = []
    for c in configurations:
        times, ratios = c["times"], c["ratios"].get(ours[0], {})
        dense, library = ratios.get("dense"), ratios.get("library")
        lines.append(
            [
                _name(c),
                _rate(c),
                _density(c),
                *(f"{times[name]['median']:.1f}" for name in ours),
                _best(times, dense),
                " / ".join(_ratio(c, name, "dense") for name in ours),
                _best(times, library),
                _ratio(c, ours[0], "library"),
            ]
        )
    heads = ["network", "events/s", "density", *(f"{n.removeprefix('engine ')} µs" for n in ours)]
    heads += ["best dense, µs", "ratio " + " / ".join(n.removeprefix("engine ") for n in ours)]
    return "### Time per slice\n\n" + _table([*heads, "best library, µs", "ratio"], lines)


def _convolutions(configurations: list[dict[str, Any]]) -> str:
    first = _formats(configurations)[0]
    lines = []
    for c in configurations:
        ratios = c["ratios"].get(first, {})
        found = [ratios.get(kind) for kind in ("convolutions only", "one CNN pass", "library as it comes")]
        cells = [f"{_best(c['times'], item)}: {item['ratio']:g}x" if item else "" for item in found]
        lines.append([_name(c), _rate(c), _density(c), *cells])
    heads = ["network", "events/s", "density", "best convolutions alone", "best CNN pass", "best library, uncompiled"]
    return f"### What else it can be held against ({first.removeprefix('engine ')})\n\n" + _table(heads, lines)


def _work(configurations: list[dict[str, Any]]) -> str:
    first = _formats(configurations)[0]
    lines = []
    for c in configurations:
        group, density = c["activity"]["group"], c["activity"]["density"]
        speed = c["synops_per_step"] / c["times"][first]["median"] / 1e3
        lines.append(
            [
                _name(c),
                _rate(c),
                " ".join(f"{100 * value:.2g}" for value in density.values()),
                " ".join(f"{value:.1f}" for value in group.values()),
                f"{c['synops_per_step'] / 1e6:.3g}",
                f"{c['macs_per_step'] / 1e6:.3g}",
                f"{speed:.1f}",
            ]
        )
    heads = ["network", "events/s", "density in %, input first", "spikes per pooled pixel"]
    heads += ["SynOps, 10^6", "MACs of the CNN, 10^6", "10^9 SynOps/s"]
    return f"### What was to be done ({first.removeprefix('engine ')})\n\n" + _table(heads, lines)


def _ceilings(ceilings: dict[str, Any]) -> str:
    levels = ("L1", "L2", "L3", "any")
    lines = [
        [name, *(str(values.get(level, "")) for level in levels)]
        for name, values in ceilings.items()
        if isinstance(values, dict)
    ]
    heads = ["10^9 a second", "in L1", "in L2", "in L3", "blocked"]
    return "### What this core can do at most\n\n" + _table(heads, lines)


def _alone(alone: dict[str, Any] | None) -> str:
    if alone is None:
        return ""
    lines = []
    for numbers, found in alone.items():
        if numbers == "pipeline_memory":
            continue
        empty, start, single = found["empty_slice_us"], found["second_start"], found["asynchronous"]
        lines += [
            [f"step of an empty slice, {numbers}", f"{empty['silent']} µs without biases, "
             f"{empty['driven_by_biases']} µs where biases keep neurons firing"],
            [f"second start, {numbers}", f"{start['import_to_decision_s']} s from import to decision, "
             f"{start['process_to_decision_s']} s from the birth of the process ({start['first_start_s']} s when "
             "nothing was compiled yet)"],
            [f"asynchronous mode, 128x128, {numbers}", f"{single['events_per_second'] / 1e6:.2f} M events/s; service "
             f"time p50 {single['service_us_p50']} µs, p99 {single['service_us_p99']} µs; a `push` of one event from "
             f"Python p50 {single['push_of_one_us_p50']} µs, p99 {single['push_of_one_us_p99']} µs; density "
             f"{100 * single['density_per_ms_least']:.2g} to {100 * single['density_per_ms_most']:.2g} % a ms"],
        ]  # fmt: skip
    memory = alone["pipeline_memory"]
    resident = f"{memory['median_mib']} MiB, at most {memory['highest_mib']} MiB"
    lines.append([f"resident memory of `dvs-run configs/{memory['config']}`", resident])
    return "### Alone\n\n" + _table(["what", "measured"], lines)


def _missing(record: dict[str, Any]) -> str:
    if not record["missing"]:
        return ""
    return "Missing from this run: " + "; ".join(f"{n} ({why})" for n, why in record["missing"].items()) + ".\n"


def _formats(configurations: list[dict[str, Any]]) -> list[str]:
    return [name for name in configurations[0]["times"] if name.startswith("engine")]


def _name(c: dict[str, Any]) -> str:
    if c["name"].startswith("gesture"):
        size = c["name"].removeprefix("gesture")
        return f"gesture 2x{size}x{size}"
    return NAMES.get(c["name"], c["name"].replace("trained-", "trained: "))


def _rate(c: dict[str, Any]) -> str:
    rate = c["activity"]["events_per_step"] / c["step_us"] * 1e6
    return "" if c["name"] == "vgg7-current" else f"{rate / 1e6:.2g} M" if rate >= 1e6 else f"{rate / 1e3:.3g} k"


def _density(c: dict[str, Any]) -> str:
    layers = [value for name, value in c["activity"]["density"].items() if name != "input"]
    return f"{100 * c['density']:g} %" if c["density"] else f"{100 * min(layers):.2g} to {100 * max(layers):.2g} %"


def _best(times: dict[str, Any], found: dict[str, Any] | None) -> str:
    if not found:
        return ""
    return f"{found['best'].split(',')[0]} {times[found['best']]['median']:.0f}"


def _ratio(c: dict[str, Any], ours: str, kind: str) -> str:
    found = c["ratios"].get(ours, {}).get(kind)
    return f"{found['ratio']:.1f}x" if found else ""


def _table(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    rows = [list(heads)]
    rows += [["---"] * len(rows[0]), *map(list, lines)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
