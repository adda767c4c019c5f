"""The verdict's page and its terminal tables: whole, self-contained, the same every time, safe with hostile names."""

import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from dvs_run.nodes.commands.verdict_table import print_verdict
from dvs_run.pipeline.convert.page import verdict_page, write_page
from dvs_run.pipeline.convert.page.plots import Axis, density_plot, error_axis, plain, short
from dvs_run.pipeline.convert.verdict import Verdict
from dvs_run.pipeline.convert.verdict.fidelity import COLUMNS, rate_bins
from dvs_run.pipeline.convert.verdict.measured import Curve, LayerFidelity, Measured, Stage
from dvs_run.pipeline.errors import ConversionError

TIMESTEPS = 64
HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>&\x1b[31m\u202e\x00' + "long" * 500


def spiking(name, seed=0, error=0.1):
    random = np.random.default_rng(seed)
    rows = rate_bins(TIMESTEPS)[1]
    return LayerFidelity(
        name, ("conv",), (), False, 12_544, 1_234_567, 7_654_321.0, error, "subtract", 0.0426, 0.09, 0.99391,
        0.0011, 0.144, 0.27, 0.08, 0.02, 0.01, 0.003, 0.06,
        random.integers(0, 10**6, (rows, COLUMNS)) * (random.random((rows, COLUMNS)) < 0.6), 0.53,
        random.integers(0, 9999, rows),
    )  # fmt: skip


def verdict(layers=None, allowed=0.5, name="relu", stages=None, timesteps=TIMESTEPS, **settings):
    error = tuple(0.012 + 0.9 * 0.8**step for step in range(timesteps))
    curve = Curve(
        "converted, clocked", 5000, error, (0.99,) * timesteps, tuple(2e5 * t for t in range(1, timesteps + 1)), 1.4e5,
        tuple(1.2e4 * t for t in range(1, timesteps + 1)),
    )  # fmt: skip
    last = LayerFidelity("fc", ("fc",), (name,), False, 10, 5760, 1.3e5, 0.0881)
    measured = Measured(
        "constant", timesteps,
        stages or (
            Stage("CNN", 5000, 4950, 4950, 0, 0, 5000),
            Stage("CNN as imported", 5000, 4950, 4950, 0, 0, 5000),
            Stage("converted, clocked", 5000, 4940, 4950, 14, 4, 4980, 3),
            Stage("event-driven float32", 500, 494, 495, 2, 1, 497),
            Stage("event-driven int8", 500, 400, 495, 97, 2, 401),
        ),
        curve, tuple(layers or (spiking(name), last)), 256, 1_640_000, 3_280_000, 12_544, 3e-7, ("a <note>",),
    )  # fmt: skip
    provenance = {
        "method": "percentile normalization", "lambdas": {name: [0.1 * k for k in range(1, 9)]}, "v_init": 0.5,
        "notes": [f"{name} was left out", "b"], "calibration": {"inputs": 512}, "source": "x", "empty": None,
    }  # fmt: skip
    return Verdict(measured, allowed, provenance, settings.get("title", f"net of {name}"))


class Checker(HTMLParser):
    """Notes tags that are not closed, and whatever could fetch or run something."""

    def __init__(self):
        super().__init__()
        self.open, self.bad, self.tags = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.bad += [f"{tag} {key}={value}" for key, value in attributes if key in ("src", "href") or key[:2] == "on"]
        if tag in ("script", "link", "img", "iframe", "object", "base", "foreignobject"):
            self.bad.append(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append(f"/{tag}")


def checked(page):
    checker = Checker()
    checker.feed(page)
    return checker


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_whole_and_needs_nothing_from_elsewhere():
    page = verdict_page(verdict())
    checker = checked(page)
    assert checker.bad == []
    assert checker.open == []
    assert not re.search(r"https?:|url\(|@import|javascript:", page)
    assert checker.tags.count("svg") == 5 + 2 + 1 + 2  # stages, curves, what the layer added, density and rates


def test_every_plot_is_well_formed():
    plots = re.findall(r"<svg.*?</svg>", verdict_page(verdict()), re.DOTALL)
    for plot in plots:
        drawn = ElementTree.fromstring(plot)
        assert drawn.find("title").text
        assert "nan" not in plot
        assert "inf" not in plot


def test_the_same_conversion_gives_the_same_bytes(tmp_path):
    for name in ("a.html", "b.html"):
        write_page(verdict(), tmp_path / name)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


@pytest.mark.parametrize("coding", ["constant", "poisson", "events"])
def test_figures_stand_on_the_page_with_n_and_interval(coding):
    shown = verdict()
    shown = replace(shown, measured=replace(shown.measured, coding=coding))
    text = re.sub(r"<[^>]*>", " ", verdict_page(shown)).replace("\N{NO-BREAK SPACE}", " ")
    for part in ("98.80 %", "98.46 to 99.07", "99.60 %", "0.20 (0.04 to 0.40)", "5,000", "0.9939", "7.65 M / 1.23 M"):
        assert part in text, part
    assert "8 values, 0.1 to 0.8" in text
    assert "empty" not in text


def test_passed_and_failed_are_told_apart():
    assert ">PASSED<" in verdict_page(verdict(allowed=0.5))
    assert ">FAILED<" in verdict_page(verdict(allowed=0.1))
    assert 'class="chip' not in verdict_page(verdict(allowed=None))


def test_the_worst_layer_is_named_and_its_row_tinted():
    page = verdict_page(verdict((spiking("relu1"), replace(spiking("relu2"), rounding=0.4))))
    assert "The worst layer is relu2" in page
    assert re.findall(r'<tr class=worst><td class="name">([^<]*)', page) == ["relu2"]


def test_hostile_names_are_text():
    page = verdict_page(verdict(name=HOSTILE, title=HOSTILE))
    assert checked(page).bad == []
    assert "<script" not in page
    assert not {"\x1b", "\x00", "\u202e"} & set(page)
    assert "long" * 100 not in page


def test_a_name_without_meaning_in_utf_8_can_be_written(tmp_path):
    write_page(verdict(name="lone \ud800 surrogate"), tmp_path / "page.html")
    assert "lone" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("layers", [60, 400])
def test_deep_networks_stay_small(layers):
    page = verdict_page(verdict([spiking(f"relu{k}", k, error=1 / (k + 1)) for k in range(layers)]))
    assert len(page.encode()) < 500_000
    assert "Only the 24 layers" in page
    assert checked(page).bad == []


@pytest.mark.parametrize("timesteps", [1, 2, 2000])
def test_any_number_of_timesteps_is_drawn(timesteps):
    rows = rate_bins(timesteps)[1]
    layer = replace(spiking("relu"), density=np.ones((rows, COLUMNS), int), rates=np.ones(rows, int))
    page = verdict_page(verdict([layer], timesteps=timesteps))
    assert checked(page).bad == []
    assert len(page.encode()) < 100_000


def test_a_conversion_without_any_error_is_drawn():
    shown = verdict()
    perfect = [replace(stage, right=stage.n, cnn_right=stage.n, lost=0, won=0) for stage in shown.measured.stages]
    curve = replace(shown.measured.curve, error=(0.0,) * TIMESTEPS)
    page = verdict_page(replace(shown, measured=replace(shown.measured, stages=tuple(perfect), curve=curve)))
    assert "A loss of 0.00 points" in page
    assert "nan" not in page


def test_a_network_without_spiking_layers_is_drawn():
    page = verdict_page(verdict([LayerFidelity("fc", ("fc",), (), False, 10, 5760, None, 0.0)]))
    assert checked(page).bad == []
    assert "Activation against firing rate" not in page


def test_a_page_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(ConversionError, match="cannot be written"):
        write_page(verdict(), tmp_path / "no" / "folder.html")


# --- its plots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "axis", [Axis(0.0, 3.7, 10, 200), Axis(3e4, 2e7, 10, 200, True), Axis(0.01, 0.9, 200, 10, True)]
)
def test_an_axis_keeps_order_and_its_ticks_lie_on_it(axis):
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    places = [axis(value) for value in ticks]
    assert places == sorted(places, reverse=axis.stop < axis.start)
    assert all(min(axis.start, axis.stop) - 0.5 <= place <= max(axis.start, axis.stop) + 0.5 for place in places)


def test_errors_that_span_much_get_a_logarithmic_axis_with_a_place_for_0():
    axis = error_axis([0.9, 0.1, 0.001, 0.0], 262, 14)
    assert axis.log
    assert axis.ticks()[0] == 0.0
    assert axis(0.0) == 262
    assert axis(0.001) < 262
    assert not error_axis([0.02, 0.019], 262, 14).log


def test_every_bin_of_a_density_is_drawn_where_it_lies():
    counts = np.zeros((rate_bins(TIMESTEPS)[1], COLUMNS), int)
    counts[3, 5] = counts[3, 6] = 7
    counts[10, 31] = 7
    plot = density_plot(replace(spiking("x"), density=counts), TIMESTEPS)
    (path,) = re.findall(r'class="cell"[^>]* d="([^"]*)"', plot)
    rows = len(counts)
    assert set(path.replace("z", "z ").split()) == {
        part for text in (f"M5 {rows - 4}h2v1h-2z", f"M31 {rows - 11}h1v1h-1z") for part in text.split()
    }


def test_numbers_are_shortened_by_thousands():
    assert [short(v) for v in (0, 5.76, 999.4, 999.9, 12_345, 1.23e9)] == [
        "0",
        "5.76",
        "999",
        "1 k",
        "12.3 k",
        "1.23 G",
    ]


def test_text_is_cut_and_its_steering_characters_replaced():
    assert plain("a" * 100, 10) == "a" * 9 + "…"
    assert plain("a\x1b[2Jb\u202e<&>") == "a\ufffd[2Jb\ufffd&lt;&amp;&gt;"


# --- the terminal -----------------------------------------------------------------------------------------------------


def printed(shown, width=80):
    file = io.StringIO()
    print_verdict(shown, Console(file=file, width=width, highlight=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_tables_fit_the_terminal(width):
    text = printed(verdict([spiking("features.denseblock1.denselayer1.relu1"), spiking("relu2")]), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    for part in ("98.80 %", "98.46-99.07", "0.20 (0.04 to 0.40)", "5,000", "0.9939", "7.65 M", "PASSED"):
        assert part in text, part
    assert sum("int8" in line for line in lines) >= 1


def test_a_wide_terminal_has_a_line_for_each_stage():
    stages = [line for line in printed(verdict(), 100).splitlines() if line.startswith(("CNN", "conv", "event-driven"))]
    assert len(stages) >= 5
    assert all(line.rstrip().endswith(("5,000", "500")) for line in stages[:5])


def test_the_terminal_is_not_steered_by_names():
    text = printed(verdict([spiking("a\x1b[31m[bold]b[/bold]")]))
    assert "\x1b" not in text
    assert "[bold]b" in text.replace("\n", "")
