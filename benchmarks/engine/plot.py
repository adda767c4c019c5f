"""One picture: time per slice against event rate, both axes logarithmic, everyone on it, and where real time ends."""

from pathlib import Path
from typing import Any

from .workloads import STEP_US

OURS = {"engine int8": "#c1121f", "engine float32": "#f08a4b", "engine int16": "#7a1022"}
DENSE = {"onnxruntime": "#003049", "torch.compile": "#3a7ca5", "torch eager": "#81b1d0"}
LIBRARIES = {"norse": "#2a9134", "snntorch": "#6a994e", "spikingjelly": "#8f9779", "sinabs": "#a3b18a"}


def draw(configurations: list[dict[str, Any]], machine: str, out: Path) -> None:
    """One panel per size of the gesture network; the density that goes with a rate is written above it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes = sorted({c["name"] for c in configurations if c["name"].startswith("gesture")}, key=lambda n: -int(n[7:]))
    width = 4.6 * len(sizes) + 2.4  # inches; the last 1.7 hold the legend, the first 0.9 the axis
    figure, panels = pyplot.subplots(1, len(sizes), figsize=(width, 5.4), sharey=True, squeeze=False)
    for axes, name in zip(panels[0], sizes, strict=True):
        own = [c for c in configurations if c["name"] == name and c["rate"] and c["density"] < 1]
        _panel(axes, _cheapest(own))
        pixels = name.removeprefix("gesture")
        axes.set_title(f"2 x {pixels} x {pixels}", fontsize=11, pad=24)
        axes.set_xlabel("events per second")
    panels[0][0].annotate("density", (0, 1), xycoords="axes fraction", xytext=(-6, 4), textcoords="offset points",
                          ha="right", fontsize=8, color="#444444")  # fmt: skip
    panels[0][0].set_ylabel(f"µs per slice of {STEP_US / 1000:.0f} ms, one core")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=9)
    figure.text(0.01, 0.01, machine, fontsize=7, color="#666666")
    figure.subplots_adjust(left=0.9 / width, right=1 - 1.7 / width, bottom=0.13, top=0.86, wspace=0.06)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    pyplot.close(figure)


def _panel(axes: Any, configurations: list[dict[str, Any]]) -> None:
    rates = [c["rate"] for c in configurations]
    groups = ((OURS, "-", "o", 2.4), (DENSE, "--", "s", 1.5), (LIBRARIES, ":", "^", 1.2))
    for colours, line, marker, width in groups:
        for name, colour in colours.items():
            points = [(c["rate"], _best(c, name)) for c in configurations if _best(c, name) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), line, marker=marker, ms=4, lw=width, color=colour, label=name)
    axes.axhline(STEP_US, color="#444444", lw=1)
    axes.text(rates[0], STEP_US * 1.08, "real time", fontsize=8, color="#444444", va="bottom")
    axes.set(xscale="log", yscale="log")
    axes.grid(True, which="major", color="#e2e2e2", lw=0.6)
    for c in configurations:
        axes.annotate(
            f"{100 * c['density']:.2g} %", (c["rate"], 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", fontsize=8, color="#444444",
        )  # fmt: skip


def _best(configuration: dict[str, Any], name: str) -> float | None:
    """The median of this competitor, compiled or not, whichever is less."""
    times = configuration["times"]
    found = [times[key]["median"] for key in (name, name + " compiled") if key in times]
    return min(found) if found else None


def _cheapest(configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One per rate, the least dense, by rate: a rate that was run at two densities is one point."""
    by_rate: dict[float, dict[str, Any]] = {}
    for c in sorted(configurations, key=lambda c: (c["rate"], c["density"])):
        by_rate.setdefault(c["rate"], c)
    return list(by_rate.values())
