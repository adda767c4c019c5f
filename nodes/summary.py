"""The closing summary: what was decided, how fast, what was lost, and what it cost."""

import os
import platform
from collections.abc import Iterable, Iterator
from typing import Any

from ..pipeline.errors import counted
from .config import RunConfig
from .host import Outcome
from .measure import Histogram, milliseconds, percentiles
from .node import Row

_WIDTH = 24


def summary(config: RunConfig, outcome: Outcome) -> str:
    """All of it as text."""
    reports = [outcome.reports[name] for name in config.graph.nodes if "out" in outcome.reports.get(name, {})]
    rows = [*_decisions(reports), *_node_rows(reports), *_drops(reports), *_stages(reports), *_where(config)]
    title = "summary" if not outcome.interrupted else "summary so far (interrupted)"
    return "\n".join([f"--- {title} ---", *(f"{what:{_WIDTH}}  {text}" for what, text in rows)])


def _decisions(reports: list[dict[str, Any]]) -> Iterator[Row]:
    """Decisions and their latency, the window apart: no software can shorten the wait for a slice to be over."""
    for report in reports:
        count = report["out"].get("classification", 0)
        if not count:
            continue
        inputs = counted(report["out"].get("info", 0), "recording or image", "recordings or images")
        yield "decisions", f"{count:,} by {report['name']}, on {inputs}"
        if report["foreign_clock"]:
            yield "latency", "not known: slices were stamped by the clock of another host"
            continue
        latency = Histogram.from_plain(report["age_out"])
        yield "latency", percentiles(latency)
        paced = all(other["paced"] for other in reports)
        note = "" if paced else "; nothing sets the pace, so this is mostly the wait in full queues"
        yield "", f"from data complete at the source to decision out{note}"
        yield "first decision", f"{milliseconds(latency.first_ns)} after its data was complete"
        if report["timestep_us"]:
            yield "window", f"{report['timestep_us'] / 1000:g} ms of sensor time a slice, not part of the latency"


def _node_rows(reports: list[dict[str, Any]]) -> Iterator[Row]:
    """What the nodes themselves tell; with the node's name where two of a kind would be confused."""
    kinds = [report["kind"] for report in reports]
    for report in reports:
        several = kinds.count(report["kind"]) > 1
        for what, text in report["rows"]:
            yield f"{what} ({report['name']})" if several else what, text


def _drops(reports: list[dict[str, Any]]) -> Iterator[Row]:
    edges = [(edge, counters) for report in reports for edge, counters in report["inputs"].items()]
    lossy = [(edge, c) for edge, c in edges if c["dropped"] or c["refused"] or c["missing"]]
    if not lossy:
        yield "drops", f"none, on {counted(len(edges), 'edge')}"
    for edge, c in lossy:
        parts = [f"{c[key]:,} {key}" for key in ("dropped", "refused", "missing") if c[key]]
        fault = f" (the first because {c['first_fault']})" if c["first_fault"] else ""
        yield (
            "drops",
            f"{edge}: {', '.join(parts)} of {c['received'] + sum(c[k] for k in ('dropped', 'missing')):,}{fault}",
        )


def _stages(reports: list[dict[str, Any]]) -> Iterator[Row]:
    """Time per stage: the node's own work for one message, waits and transport left out."""
    for report in reports:
        busy = Histogram.from_plain(report["busy"])
        if busy.n:
            text = f"p50 {milliseconds(busy.percentile(50))}  p99 {milliseconds(busy.percentile(99))}  "
            text += f"all {busy.sum_ns / 1e9:.3f} s  n {busy.n:,}"
            yield f"time in {report['name']}", text


def _where(config: RunConfig) -> Iterable[Row]:
    """A figure without its machine means little."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = f"{_cpu_name()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"
    return [("on", f"{machine}, placement {config.settings.placement}")]


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
