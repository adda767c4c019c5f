"""Paired losses with their interval, and the sentences of the verdict."""

from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from dvs_run.pipeline.convert.search import choose
from dvs_run.pipeline.convert.verdict.verdict import Culprit, Verdict, advise
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.interval import paired

from .networks import FOUND, layer


def test_the_interval_of_a_paired_loss_is_tangos():
    low, high = paired(1, 7, 21)  # the airway example of Fagerland, Lydersen and Laake 2014
    assert low == pytest.approx(-0.517, abs=5e-4)
    assert high == pytest.approx(-0.026, abs=5e-4)


@pytest.mark.parametrize("n", [1, 20, 10_000])
def test_where_no_decision_differs_the_interval_still_has_a_width(n):
    low, high = paired(0, 0, n)
    assert high == pytest.approx(1.959964**2 / (n + 1.959964**2), rel=1e-6)  # Tango's interval in closed form
    assert low == pytest.approx(-high)


@pytest.mark.parametrize(("lost", "won", "n"), [(5, 0, 100), (3, 9, 40), (40, 0, 40), (0, 7, 7), (50, 10, 10_000)])
def test_the_interval_holds_the_loss_and_mirrors_when_both_change_places(lost, won, n):
    low, high = paired(lost, won, n)
    assert -1 <= low <= (lost - won) / n <= high <= 1
    assert paired(won, lost, n) == pytest.approx((-high, -low))


def test_a_paired_interval_has_the_coverage_that_it_claims():
    random = np.random.default_rng(5)
    lost, won, n = 0.06, 0.02, 150
    inside = 0
    for counts in random.multinomial(n, [lost, won, 1 - lost - won], size=400).tolist():
        low, high = paired(counts[0], counts[1], n)
        inside += low <= lost - won <= high
    assert 0.92 <= inside / 400 <= 0.98


def test_the_loss_is_that_of_the_same_samples():
    verdict = Verdict(FOUND, 0.5)
    assert verdict.loss == pytest.approx(0.2)
    assert verdict.passed()
    assert verdict.passed(0.2)
    assert not verdict.passed(0.1)
    assert Verdict(FOUND).passed()


@pytest.mark.parametrize("allowed", [-1.0, float("nan"), float("inf")])
def test_a_loss_that_is_no_number_of_points_cannot_be_allowed(allowed):
    with pytest.raises(ConversionError, match=r"allowed is .*, want a number of points of accuracy from 0"):
        Verdict(FOUND, allowed)
    with pytest.raises(ConversionError, match="allowed is"):
        choose(nn.Identity(), None, None, (), "8", allowed=allowed)


def test_the_sentence_has_the_figures_with_their_interval_and_n():
    text = Verdict(FOUND, 1.0).sentence
    assert text.startswith("PASSED: A loss of 0.20 points (95 % interval ")
    for part in ("98.80 % after 5 timesteps", "the CNN 99.00 %", "1,000 samples", "1 allowed"):
        assert part in text
    assert not Verdict(FOUND).sentence.startswith(("PASSED", "FAILED"))


def test_one_timestep_is_one_timestep():
    verdict = Verdict(replace(FOUND, timesteps=1))
    assert "98.80 % after 1 timestep, the CNN" in verdict.finding
    assert "whole spikes in 1 timestep, 0.2 per" in advise(Culprit(layer(active_rate=0.2), "rounding", 0.3), 1)


def test_a_pass_that_chance_could_explain_says_so():
    assert "more samples" in Verdict(FOUND, 0.3).sentence
    assert "more samples" not in Verdict(FOUND, 5.0).sentence


def test_a_failure_that_chance_could_explain_says_so():
    text = Verdict(FOUND, 0.1).sentence
    assert text.startswith("FAILED")
    assert "cannot tell" in text


def test_a_stage_that_loses_more_than_allowed_is_warned_of():
    assert any("event-driven int8" in text for text in Verdict(FOUND, 0.5).warnings)
    assert "a note" in Verdict(FOUND, 0.5).warnings


def test_settled_is_the_timestep_from_which_on_the_error_stays_small():
    assert Verdict(FOUND, 0.5).settled == 5  # 0.012 at timestep 3 does not last
    assert Verdict(FOUND, 1.0).settled == 3
    assert Verdict(FOUND, 0.1).settled is None
    assert "from timestep 3 on, at 0.06 times" in Verdict(FOUND, 1.0).cost  # (10 + 3) / 206


def test_a_loss_of_nothing_has_no_sign():
    stage = replace(FOUND.stages[2], right=990, lost=2, won=2)
    verdict = Verdict(replace(FOUND, stages=(*FOUND.stages[:2], stage)), 0.5)
    assert "A loss of 0.00 points" in verdict.sentence
