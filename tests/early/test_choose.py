"""Thresholds keep what they promise on samples that they were not chosen on."""

import numpy as np
import pytest

from dvs_run.pipeline.early import choose_exit
from dvs_run.pipeline.early.choose import LADDER, candidate, fit_scales, keeps
from dvs_run.pipeline.errors import EventError

from . import naive
from .samples import answers, random_traces


def achieved(rule, traces, promise="right"):
    """Of the early answers: how many there are, and the share that keeps the promise."""
    steps, said = answers(rule, traces)
    wanted, early = (traces.targets if promise == "right" else traces.last), steps < traces.lengths
    return int(early.sum()), float((said == wanted)[early].mean()) if early.any() else 1.0


@pytest.mark.parametrize("promise", ["right", "final"])
@pytest.mark.parametrize("reliability", [0.8, 0.95])
def test_the_published_thresholds_are_those_of_their_definition(promise, reliability):
    traces = random_traces(80, seed=1, timesteps=12, shortest=4)
    rule = choose_exit(traces, reliability, promise=promise, proof="none")
    wanted = traces.targets if promise == "right" else traces.last
    twin = [naive.threshold(traces, t, reliability, wanted) for t in range(traces.timesteps)]
    assert rule.thresholds == pytest.approx(np.array(twin), rel=1e-12)


def test_an_answer_that_changes_later_does_not_count_as_kept():
    traces = random_traces(1, seed=0, timesteps=4)
    traces.decisions[0] = [2, 1, 2, 2]
    traces.targets[0] = 2
    assert keeps(traces, "right").tolist() == [[False, False, True, True]]
    traces.targets[0] = 1
    assert not keeps(traces, "right").any()
    assert keeps(traces, "final").tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("kind", ["margin", "sequential"])
@pytest.mark.parametrize("promise", ["right", "final"])
def test_the_proof_holds_on_new_samples_as_often_as_it_says(kind, promise):
    """Of 25 choices at confidence 80 %, at most 5 may fail in the mean; 11 or more would happen once in 180 times."""
    judge = random_traces(4_000, seed=99, timesteps=12)
    failed = chosen = 0
    for seed in range(25):
        try:
            rule = choose_exit(random_traces(300, seed, timesteps=12), 0.85, kind, promise, confidence=0.8, seed=seed)
        except EventError:
            continue
        chosen += 1
        failed += achieved(rule, judge, promise)[1] < 0.85
    assert chosen >= 15
    assert failed <= 10


def test_the_published_rule_promises_too_much_and_the_proven_one_does_not():
    """The errors of those that stop at each timestep add up: why `exact` is the default."""
    training, test = random_traces(2_000, seed=1, timesteps=40), random_traces(5_000, seed=2, timesteps=40)
    published = choose_exit(training, 0.97, proof="none")
    proven = choose_exit(training, 0.97, proof="exact")
    assert achieved(published, test)[1] < 0.95
    early, share = achieved(proven, test)
    assert share >= 0.97
    assert early > 2_500


@pytest.mark.parametrize("kind", ["margin", "sequential"])
@pytest.mark.parametrize("proof", ["none", "exact"])
def test_a_higher_reliability_is_never_earlier(kind, proof):
    training, test = random_traces(1_500, seed=6, strength=1.2), random_traces(300, seed=7, strength=1.2)
    before = np.zeros(len(test))
    for reliability in (0.6, 0.8, 0.9, 0.95, 0.97):
        steps, _ = answers(choose_exit(training, reliability, kind, proof=proof), test)
        assert (steps >= before).all()
        before = steps
    assert before.mean() > 2


@pytest.mark.parametrize("kind", ["margin", "sequential"])
def test_the_ladder_goes_from_bold_to_cautious(kind):
    traces, before = random_traces(200, seed=8, timesteps=10), np.zeros(200)
    for inner, factor in LADDER:
        steps, _ = answers(candidate(traces, kind, "right", inner, factor), traces)
        assert (steps >= before).all()
        before = steps


def test_the_same_samples_and_seed_give_the_same_rule():
    traces = random_traces(800, seed=9, strength=1.5)
    one, two = (choose_exit(traces, 0.95, "sequential", seed=3) for _ in range(2))
    assert np.array_equal(one.thresholds, two.thresholds)
    assert np.array_equal(one.scales, two.scales)
    assert one.promise == two.promise


def test_scales_make_the_probabilities_calibrated():
    traces = random_traces(3_000, seed=10, timesteps=10, strength=0.4)
    scales = fit_scales(traces)
    for t in (0, 4, 9):
        weights = np.exp(scales[t] * (traces.scores[:, t] - traces.scores[:, t].max(1, keepdims=True)))
        sure = (weights / weights.sum(1, keepdims=True)).max(1)
        right = traces.decisions[:, t] == traces.targets
        assert abs(sure.mean() - right.mean()) < 0.03


def test_scales_of_evidence_without_an_error_stay_finite_and_of_none_are_zero():
    traces = random_traces(50, seed=11, timesteps=3)
    traces.scores[:] = 0
    traces.scores[np.arange(50), 1:, :][:, :, :] = 0
    traces.scores[np.arange(50), 2, traces.targets] = 1.0
    scales = fit_scales(traces)
    assert scales[0] == scales[1] == 0.0
    assert 1.0 < scales[2] < 100.0


def test_too_few_samples_are_refused_with_the_number_that_it_takes():
    with pytest.raises(EventError, match=r"60 samples give at most 30 early answers .* it takes \d+ without an error"):
        choose_exit(random_traces(60, seed=12, strength=3.0), 0.99)
    with pytest.raises(EventError, match="want at least 2"):
        choose_exit(random_traces(1, seed=12), 0.9)


def test_a_network_that_is_often_wrong_is_refused_a_promise_of_being_right_but_can_promise_what_is_final():
    traces = random_traces(2_000, seed=13, strength=0.05)
    traces.targets[:] = (traces.targets + 1) % 4
    with pytest.raises(EventError, match="no rule can be proven reliable to 95.00%"):
        choose_exit(traces, 0.95)
    assert choose_exit(traces, 0.8, promise="final").promise["proven"] >= 0.8


def test_every_wrong_setting_is_told_at_once():
    with pytest.raises(EventError, match=r"kind is 'gap'.*promise is 'sure'.*proof is 'some'.*reliability is 99.*conf"):
        choose_exit(random_traces(9, seed=0), 99, "gap", "sure", "some", confidence=0)
