"""Budgets, disjoint parts, rungs, candidates and the knee."""

import numpy as np
import pytest

from dvs_run.pipeline.convert import Method
from dvs_run.pipeline.convert.search import Budget, in_parts, knee, pareto, parse_budget
from dvs_run.pipeline.convert.search.budget import said
from dvs_run.pipeline.convert.search.candidates import VARIED, candidates
from dvs_run.pipeline.convert.search.rungs import FINALISTS, LEAST_LAST, plan, survivors
from dvs_run.pipeline.convert.search.tradeoff import Tradeoff, points, standard_error
from dvs_run.pipeline.errors import ConversionError

from .data import inputs


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("32", 32, "timesteps"),
        (" 1 timestep ", 1, "timesteps"),
        ("20ms", 20_000, "us"),
        ("1.5 s", 1_500_000, "us"),
        ("500us", 500, "us"),
        ("500 \u03bcs", 500, "us"),
        ("2M synops", 2_000_000, "synops"),
        ("1.5 k SynOps", 1500, "synops"),
        ("3e6synops", 3_000_000, "synops"),
    ],
)
def test_a_budget_is_timesteps_a_time_or_operations(text, amount, unit):
    assert parse_budget(text) == Budget(amount, unit)


@pytest.mark.parametrize(
    "text", ["", "fast", "-3", "0", "2.5", "2M", "20 minutes", "0ms", "2m synops", "1e400 s", "20ms 3"]
)
def test_what_is_no_budget_is_refused_with_examples(text):
    with pytest.raises(ConversionError, match="2M synops"):
        parse_budget(text)


def test_costs_are_said_in_the_units_of_people():
    assert [said(1, "timesteps"), said(12, "timesteps")] == ["1 timestep", "12 timesteps"]
    assert [said(18_400, "us"), said(1_500_000, "us")] == ["18.4 ms", "1.5 s"]
    assert [said(1_930_000, "synops"), said(12, "synops")] == ["1.93 M SynOps", "12 SynOps"]


def curves(seed, n=200):
    """Candidates whose accuracy rises, unevenly, at different speeds, and whose operations differ."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(random.integers(1, 9)):
        steps = np.arange(1, random.integers(2, 40) + 1)
        share = random.uniform(0.5, 1) * (1 - np.exp(-steps / random.uniform(1, 20)))
        right = np.clip(random.binomial(n, share), 0, n)
        operations = steps * random.uniform(100, 1000)
        cost = operations if seed % 2 else steps.astype(float)
        found.append(Tradeoff(f"method {number}", n, right, operations, cost))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_the_knee_is_within_budget_near_the_best_and_beaten_by_no_other_point(seed):
    every = curves(seed)
    budget = float(np.quantile([value for curve in every for value in curve.cost], 0.6))
    found = points(every, budget)
    chosen = knee(found)
    best = max(found, key=lambda point: point.share)
    assert chosen.cost <= budget * (1 + 1e-9)
    assert chosen.share >= best.share - standard_error(best.right, best.n) - 1e-12
    cheaper = [point for point in found if point.cost < chosen.cost]
    assert all(point.share < best.share - standard_error(best.right, best.n) for point in cheaper)
    assert not [
        point
        for point in found
        if (point.cost <= chosen.cost and point.share > chosen.share)
        or (point.cost < chosen.cost and point.share >= chosen.share)
    ]
    front = pareto(found)
    assert chosen.share in [point.share for point in front if point.cost == chosen.cost]
    for point in front:
        assert not [o for o in found if o.cost <= point.cost and o.share > point.share]
    assert [p.cost for p in front] == sorted({p.cost for p in front})


def test_the_knee_keeps_to_the_loss_that_the_user_allows_where_any_point_does():
    right = np.array([900, 950, 960, 962])
    curve = Tradeoff("a", 1000, right, np.arange(4.0), np.arange(1.0, 5.0))
    found = points([curve], 4)
    assert knee(found).timesteps == 3  # 0.960 is within one standard error, 0.6 points, of 0.962
    assert knee(found, wanted=0.961).timesteps == 4
    assert knee(found, wanted=0.99).timesteps == 4  # nothing keeps to it: as near as it gets
    assert knee(found, wanted=0.5).timesteps == 3  # what is allowed does not make it worse than the rule


def test_of_points_of_equal_cost_the_more_accurate_is_taken_then_the_one_of_fewer_operations():
    def curve(name, right, operations):
        return Tradeoff(name, 100, np.array([right]), np.array([operations]), np.array([1.0]))

    found = points([curve("a", 90, 5.0), curve("b", 91, 9.0), curve("c", 91, 7.0)], 1)
    assert knee(found).candidate == "c"


def test_a_standard_error_is_never_nothing():
    assert 0 < standard_error(100, 100) < standard_error(50, 100)
    assert standard_error(5000, 10_000) == pytest.approx(0.005, rel=1e-3)


def test_rungs_try_all_candidates_and_end_on_all_samples_where_there_is_time():
    rungs = plan(48, 500, float("inf"))
    assert [rung.candidates for rung in rungs] == [48, 16, FINALISTS]
    assert [rung.samples for rung in rungs] == [56, 167, 500]


@pytest.mark.parametrize("affordable", [0, 100, 1000, 3000])
def test_little_time_takes_fewer_candidates_and_never_so_few_samples_that_they_say_nothing(affordable):
    rungs = plan(48, 500, affordable)
    assert rungs[0].candidates < 48
    assert rungs[-1].samples >= LEAST_LAST
    assert sum(rung.candidates * rung.samples for rung in rungs) <= max(1.5 * affordable, 5 * LEAST_LAST)
    assert plan(2, 30, affordable)[-1].samples == 30


def test_the_quick_and_the_accurate_share_the_places():
    quick = [(1.0,), (2.0,), (3.0,), (4.0,)]
    right = [(4.0,), (3.0,), (2.0,), (1.0,)]
    assert survivors(2, quick, right) == [0, 3]
    assert survivors(3, quick, right) == [0, 1, 3]


def test_candidates_are_distinct_and_keep_what_the_user_set():
    found = candidates(Method())
    assert len({candidate.name for candidate in found}) == len(found)
    assert len(found) >= 48
    assert {candidate.method.percentile for candidate in candidates(Method(percentile=97.5), {"percentile"})} == {97.5}
    (only,) = candidates(Method(percentile=98.0, v_init=0.25), VARIED)
    assert only.method == Method(percentile=98.0, v_init=0.25)
    poisson = candidates(Method(input="poisson"))
    assert {candidate.method.input for candidate in poisson} == {"poisson"}


def test_thresholds_of_a_fine_tuning_are_not_searched():
    found = candidates(Method(lambdas={"relu1": 2.0}))
    assert all(candidate.method.lambdas == {"relu1": 2.0} for candidate in found)
    assert len({candidate.method.percentile for candidate in found}) == 1


def test_the_parts_are_disjoint_and_equal_images_stay_together():
    data = inputs(600, copies=200)
    parts = in_parts(data, choosing=True)
    seen = [{image.tobytes() for image in part.values} for part in (parts.calibration, parts.choice, parts.verdict)]
    assert not seen[0] & seen[1]
    assert not (seen[0] | seen[1]) & seen[2]
    assert sum(map(len, seen)) == 600
    assert not parts.notes


def test_too_little_data_is_used_twice_and_a_note_says_so():
    parts = in_parts(inputs(60), choosing=True)
    assert parts.verdict is parts.choice
    assert "too few to keep some for the verdict" in parts.notes[0]
    plain = in_parts(inputs(60), choosing=False)
    assert plain.verdict is plain.calibration
    assert "--validation" in plain.notes[0]
    others = inputs(61)
    assert in_parts(inputs(60), choosing=True, validation=others).verdict is others
    with pytest.raises(ConversionError, match="cannot be divided to choose a method on"):
        in_parts(inputs(1), choosing=True)
