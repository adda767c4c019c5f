"""A rule stops at the first timestep that is sure enough, at the latest at the last."""

import numpy as np
import pytest

from dvs_run.pipeline.early import ExitRule, Recorder, Traces, judge_exits
from dvs_run.pipeline.errors import EventError

from . import naive
from .samples import a_slice, answers, decision, random_traces


def rule(thresholds, kind="margin", scales=None):
    thresholds = np.array(thresholds, float)
    return ExitRule(kind, thresholds, np.ones(len(thresholds)) if scales is None else np.array(scales, float))


def test_it_stops_where_the_margin_exceeds_the_threshold_and_not_where_it_equals_it():
    three = rule([2.0, 2.0, 2.0])
    assert not three.stops(1, decision([3.0, 1.0]))
    assert three.stops(2, decision([3.5, 1.0]))


def test_an_infinite_threshold_never_stops_but_the_last_timestep_always_does():
    three = rule([np.inf] * 3)
    assert not three.stops(2, decision([1e300, 0.0]))
    assert three.stops(3, decision([0.0, 0.0]))
    assert three.stops(4, decision([0.0, 0.0]))


def test_it_does_not_stop_while_the_network_is_undecided():
    assert not rule([0.0, 0.0]).stops(1, decision([5.0, 0.0], index=-1))


@pytest.mark.parametrize("kind", ["margin", "sequential"])
@pytest.mark.parametrize("shortest", [None, 3])
def test_exits_of_whole_samples_are_those_of_the_twin_and_of_one_step_after_the_other(kind, shortest):
    traces = random_traces(60, seed=3, shortest=shortest)
    rng = np.random.default_rng(4)
    traces.decisions[rng.random(traces.decisions.shape) < 0.1] = -1
    chosen = rule(rng.uniform(0, 6, 20), kind, rng.uniform(0.1, 1, 20))
    found = chosen.exit_steps(traces.scores, traces.decisions, traces.lengths)
    for i, step in enumerate(found.tolist()):
        assert step == naive.exit_step(chosen, traces.scores[i], traces.decisions[i], traces.lengths[i])
        steps = range(1, traces.lengths[i] + 1)
        made = [decision(traces.scores[i, s - 1], index=int(traces.decisions[i, s - 1])) for s in steps]
        live = next((s for s, said in zip(steps, made, strict=True) if chosen.stops(s, said)), traces.lengths[i])
        assert step == live


def test_no_exit_is_later_than_the_end_of_the_sample_or_of_the_rule():
    traces = random_traces(200, seed=5, shortest=2)
    for seed in range(5):
        thresholds = np.random.default_rng(seed).uniform(0, 30, 17)
        steps, _ = answers(rule(thresholds), traces)
        assert (steps >= 1).all()
        assert (steps <= np.minimum(traces.lengths, 17)).all()


def test_log_odds_of_certain_evidence_neither_overflow_nor_warn():
    sure = rule([1.0, 1.0], "sequential")
    assert sure.statistic(1, np.array([1e6, 0.0, -1e6])) == 1e6
    assert sure.statistic(1, np.zeros(3)) == pytest.approx(-np.log(2))


@pytest.mark.parametrize(
    ("kind", "thresholds", "scales", "said"),
    [
        ("margins", [1.0], [1.0], "the rule is 'margins', want one of margin, sequential"),
        ("margin", [1.0], [1.0, 1.0], "want one of each a timestep"),
        ("margin", [np.nan], [1.0], "not a number"),
        ("sequential", [1.0], [-1.0], "negative"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(kind, thresholds, scales, said):
    with pytest.raises(EventError, match=said):
        ExitRule(kind, np.array(thresholds), np.array(scales))


def test_the_recorder_keeps_what_was_said_and_pads_a_sample_that_ended_early():
    recorder = Recorder()
    for number, count in ((0, 3), (2, 1)):
        for t in range(count):
            recorder(number, a_slice(t, 0), decision([t, 1.0 + number]))
    traces = recorder.traces([1, 0, 1])
    assert traces.lengths.tolist() == [3, 1]
    assert traces.targets.tolist() == [1, 1]
    assert traces.scores[1].tolist() == [[0.0, 3.0]] * 3
    assert traces.synops.tolist() == [[1, 2, 3], [1, 1, 1]]


def test_a_recorder_that_saw_nothing_says_so():
    with pytest.raises(EventError, match="no sample had a single timestep"):
        Recorder().traces([])


def test_traces_of_unequal_sizes_are_refused():
    good = random_traces(4, seed=0)
    with pytest.raises(EventError, match="want"):
        Traces(good.scores[:3], good.decisions, good.lengths, good.targets, good.synops)
    with pytest.raises(EventError, match="lengths must be 1 to"):
        Traces(good.scores, good.decisions, good.lengths + 1, good.targets, good.synops)


def test_the_report_counts_by_hand():
    scores = np.array([[[1.0, 0], [3, 0]], [[0, 5], [4, 0]], [[0, 1], [0, 2]]])
    traces = Traces(scores, scores.argmax(2), np.full(3, 2), np.array([0, 0, 0]), np.array([[10, 20]] * 3))
    figures = judge_exits(rule([2.0, 0.0]), traces).plain(5_000)
    assert figures["n"] == 3
    assert figures["accuracy"] == pytest.approx(1 / 3)
    assert figures["accuracy_at_full_length"] == pytest.approx(2 / 3)
    assert (figures["lost"], figures["won"], figures["early"], figures["undecided"]) == (1, 0, 1, 0)
    assert figures["mean_timesteps"] == pytest.approx(5 / 3)
    assert figures["median_ms"] == 10.0
    assert figures["reliability_achieved"] == 0.0
    assert figures["synops_saved"] == pytest.approx(1 - 50 / 60)


def test_an_answer_at_the_last_timestep_of_the_rule_is_not_an_early_one():
    traces = random_traces(50, seed=2)
    exits = judge_exits(rule([np.inf] * 10), traces)
    assert exits.steps.tolist() == [10] * 50
    assert exits.plain(1_000)["early"] == 0
    assert exits.plain(1_000)["reliability_achieved"] is None
