"""The search as a whole on a small network: it keeps its budget, repeats itself and says what it did."""

import numpy as np
import pytest

from dvs_run.pipeline.convert.search import choose, in_parts
from dvs_run.pipeline.convert.search.candidates import VARIED
from dvs_run.pipeline.convert.search.page import choice_section
from dvs_run.pipeline.convert.search.rungs import FINALISTS, LEAST_LAST
from dvs_run.pipeline.convert.search.tradeoff import Tradeoff
from dvs_run.pipeline.errors import ConversionError

from ..sides import Sides
from .data import LABELS, inputs


@pytest.fixture(scope="module")
def parts():
    return in_parts(inputs(300), choosing=True)


def searched(parts, budget, **options):
    options = {"seconds": None, "fixed": {"max_spikes", "threshold_scale", "v_init"}, **options}
    return choose(Sides().eval(), parts.calibration, parts.choice, LABELS, budget, **options)


def test_a_search_stays_within_timesteps_and_repeats_itself(parts):
    first, second = (searched(parts, "6", allowed=1.0) for _ in range(2))
    assert first.knee == second.knee
    assert first.method == second.method
    assert first.knee.timesteps <= 6
    assert first.knee.share >= min(first.cnn_right / first.knee.n - 0.01, max(point.share for point in first.front))
    assert first.judged == "accuracy"
    assert all(len(curve.right) == 6 for curve in first.curves)
    assert len(first.curves) > len(first.finalists) >= FINALISTS
    assert any("corrected at" in name for name in first.finalists)
    assert set(first.described()) >= {"budget", "timesteps", "candidate", "accuracy", "samples", "operations"}


def test_a_budget_of_operations_is_kept_with_those_of_a_constant_current(parts):
    chosen = searched(parts, "4k synops", most_timesteps=8)
    assert chosen.knee.cost == chosen.knee.operations <= 4000
    current = 2 * 22 * 22 * 2  # 3x3 on 8x8 with padding: 22 x 22 products an output channel; 2 operations each
    assert min(curve.operations[0] for curve in chosen.curves) >= current
    with pytest.raises(ConversionError, match="no network decides within 500 SynOps: the first timestep costs 1.9"):
        searched(parts, "500 synops", most_timesteps=4)


def test_a_budget_of_time_is_kept_by_the_engines_time_on_this_machine(parts):
    chosen = searched(parts, "5s", most_timesteps=4, fixed={*VARIED, "correction"})
    assert 0 < chosen.knee.cost <= 5e6
    assert "the engine in int16 on this machine" in chosen.notes[-1]
    with pytest.raises(ConversionError, match="one timestep of this network takes .* more than the budget of 0.001 ms"):
        searched(parts, "1us", most_timesteps=4)


def test_without_labels_the_measure_is_agreement_with_the_cnn():
    data = in_parts(inputs(200, labelled=False), choosing=True)
    chosen = searched(data, "6", fixed={*VARIED, "correction"})
    assert chosen.judged == "agreement"
    assert chosen.cnn_right == chosen.knee.n


def test_little_time_is_said(parts):
    chosen = searched(parts, "4", seconds=1e-3, fixed=())
    assert "--search-seconds gives more" in chosen.notes[0]
    assert chosen.knee.n >= min(LEAST_LAST, len(parts.choice))


def test_the_section_of_the_page_names_what_was_chosen_and_escapes_it(parts):
    chosen = searched(parts, "4", fixed={*VARIED, "correction"})
    hostile = Tradeoff("<b>&", 10, np.array([3]), np.array([1.0]), np.array([1.0]))
    section = choice_section(type(chosen)(**{**vars(chosen), "curves": (*chosen.curves, hostile)}))
    assert f"<td class='name'>{chosen.knee.candidate}</td>".replace(" %", "\N{NO-BREAK SPACE}%") in section
    assert "&lt;b&gt;&amp;" in section
    assert "<b>&" not in section
