"""The automatic choice: budgets, disjoint parts, rungs, the knee, and the search as a whole on a small network."""

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import Method, import_cnn
from dvs_run.pipeline.convert.calibration import EventWindows, make_inputs
from dvs_run.pipeline.convert.search import Budget, choose, in_parts, knee, pareto, parse_budget
from dvs_run.pipeline.convert.search.budget import said
from dvs_run.pipeline.convert.search.candidates import VARIED, candidates
from dvs_run.pipeline.convert.search.page import choice_section
from dvs_run.pipeline.convert.search.rungs import FINALISTS, LEAST_LAST, plan, survivors
from dvs_run.pipeline.convert.search.tradeoff import Tradeoff, points, standard_error
from dvs_run.pipeline.convert.search.windows_shown import Windows, as_slices
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.events import EVENT_DTYPE, SensorSize

from .sides import SHAPE, Sides, images

LABELS = ["right", "left"]


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


def inputs(n=600, labelled=True, copies=0):
    values, labels = images(n, seed=n)
    if copies:
        values, labels = np.concatenate([values, values[:copies]]), np.concatenate([labels, labels[:copies]])
    return make_inputs(values, SHAPE, labels if labelled else None, LABELS)


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


def windows(n=40, slices=4, delays=(0,), before=0):
    """Windows of 1 ms slices on 8x8 pixels, events more often on one side, at two speeds, two windows a recording."""
    random = np.random.default_rng(3)
    made, targets = [], random.integers(0, 2, n)
    for target in targets:
        events = np.zeros(random.integers(30, 60), EVENT_DTYPE)
        events["t"] = np.sort(random.integers(-before, slices * 1000, len(events)))
        events["x"] = random.integers(0, 8, len(events)) // 2 + 4 * (random.random(len(events)) < (0.2, 0.8)[target])
        events["y"], events["p"] = random.integers(0, 8, len(events)), random.random(len(events)) < 0.5
        made.append(events)
    speeds = np.tile([1.0, 2.0], n // 2)
    return EventWindows(
        tuple(made), speeds, targets, ("a", "b"), np.arange(n) // 2, SensorSize(8, 8), 1000, slices, delays
    )


def test_windows_are_shown_as_their_counts_slice_by_slice():
    data = windows()
    shown, chosen = Windows(data, 3), np.array([5, 0, 7])
    steps = list(shown.steps(chosen))
    assert len(steps) == 3
    counts = data.counts()
    for step, values in enumerate(steps):
        assert np.array_equal(values.numpy(), counts[chosen, step])
    for step, piece in enumerate(shown.pieces(5)):
        grid = np.zeros(2 * 8 * 8, int)
        grid[piece.cells] = piece.counts
        assert np.array_equal(grid.reshape(2, 8, 8), counts[5, step])
    ((weight, frames),) = shown.windows(chosen)
    assert weight == 1
    assert np.array_equal(frames.numpy(), data.frames()[chosen])


def test_slices_for_a_network_with_delays_begin_before_the_window():
    data = windows(delays=(0, 2000), before=2000)
    for events, pieces, counts in zip(data.events, as_slices(data), data.counts(), strict=True):
        assert len(pieces) == 6
        assert sum(int(piece.counts.sum()) for piece in pieces) == len(events)
        for step in range(4):
            for group, at in ((0, step + 2), (1, step)):  # now, and two slices earlier
                grid = np.zeros(2 * 8 * 8)
                grid[pieces[at].cells] = pieces[at].counts
                assert np.array_equal(grid.reshape(2, 8, 8), counts[step, 2 * group : 2 * group + 2])


def test_recordings_are_chosen_on_in_sensor_time_with_those_of_one_recording_together():
    data = windows()
    parts = in_parts(data, choosing=True, least=5)
    groups = [set(part.groups.tolist()) for part in (parts.calibration, parts.choice, parts.verdict)]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(128, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    cnn = import_cnn(model.eval(), (2, 8, 8))
    options = {"timestep_us": 1000, "seconds": None, "fixed": {*VARIED, "correction"}}
    chosen = choose(cnn, parts.calibration, parts.choice, ["a", "b"], "3ms", **options)
    assert chosen.knee.timesteps <= 3
    assert chosen.knee.cost == 1000.0 * chosen.knee.timesteps
    longer = choose(cnn, parts.calibration, parts.choice, ["a", "b"], "9ms", **options)
    assert "windows are 4 ms long" in longer.notes[-1]
    with pytest.raises(ConversionError, match="0.5 ms is shorter than one timestep of 1 ms"):
        choose(cnn, parts.calibration, parts.choice, ["a", "b"], "500us", **options)
