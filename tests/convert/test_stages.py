"""Staged accuracies, paired losses, operations, and what the layers' figures say about what went wrong."""

import copy
import functools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dvs_run.pipeline.convert import Method, Readout, convert
from dvs_run.pipeline.convert.verdict import measure_stages
from dvs_run.pipeline.convert.verdict.decide import decide, evenly
from dvs_run.pipeline.convert.verdict.measured import Curve, LayerFidelity, Measured, Stage
from dvs_run.pipeline.convert.verdict.verdict import Verdict, find_culprit
from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.evaluate import judge_images
from dvs_run.pipeline.interval import paired
from dvs_run.pipeline.stream import BinnedSlice, Image

from . import nets
from .test_clocked import whole_numbers

TIMESTEPS = 24


@functools.cache
def small(channels=3, size=16):
    """conv, ReLU, average pool, conv, ReLU, linear; seeded."""
    return nets.fitted(
        lambda: nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 8, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(8 * (size // 2 - 2) ** 2, 6),
        ),
        shape=(channels, size, size),
    )


@functools.cache
def converted(exact=False, **settings):
    """`small` as a network; exact: with whole numbers for weights, so that neither network rounds anything."""
    conversion = convert(
        small(), nets.SHAPE, nets.LABELS, nets.inputs(32), max_error=None, check_timesteps=4, **settings
    )
    return in_whole_numbers(conversion) if exact else conversion


def in_whole_numbers(conversion):
    return replace(conversion, network=whole_numbers(conversion.network, Engine(conversion.network, numbers="float32")))


def pictures(n, coding="constant"):
    """Black and white for constant current, whose sums the engine rounds to whole numbers; else grey."""
    images = nets.inputs(n, seed=9)
    return images.round() if coding == "constant" else images


def measured(conversion, model=None, n=40, timesteps=TIMESTEPS, inputs=None, **settings):
    inputs = pictures(n, settings.get("coding", "constant")) if inputs is None else inputs
    labels = np.arange(n) % len(nets.LABELS)
    settings.setdefault("numbers", ())
    return measure_stages(model or small(), conversion, inputs, labels, timesteps, batch=16, **settings)


# --- intervals of a paired loss ---------------------------------------------------------------------------------------


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


# --- stages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["constant", "poisson"])
def test_the_stages_count_what_evaluation_counts(coding):
    conversion = converted(exact=True)
    found = measured(conversion, coding=coding, numbers=("float32",), engine_samples=40)
    images, labels = pictures(40, coding).numpy(), np.arange(40) % 6
    encoder = CurrentEncoder(TIMESTEPS) if coding == "constant" else PoissonEncoder(TIMESTEPS, seed=0)
    engine = Engine(conversion.network, numbers="float32")
    outcome = judge_images(engine, images, labels, encoder, (3, 9))
    stage = found.stage("event-driven float32")
    assert (stage.right, stage.n) == (outcome.right, 40)
    counted = [count for name, count in engine.synops_per_layer.items() if coding == "poisson" or name != "0"]
    assert found.curve.synops[-1] == pytest.approx(sum(counted) / 40)
    with torch.inference_mode():
        wanted = small()(torch.from_numpy(images)).argmax(1).numpy()
    assert found.stages[0].right == (wanted == labels).sum()
    assert stage.agreeing == (outcome.decisions == wanted).sum()
    assert stage.lost - stage.won == found.stages[0].right - outcome.right
    for step, right in outcome.right_after.items():
        assert found.curve.error[step - 1] == pytest.approx(1 - right / 40)


@pytest.mark.parametrize("coding", ["constant", "poisson"])
def test_clocked_and_event_driven_decide_alike(coding):
    found = measured(converted(exact=True), coding=coding, numbers=("float32",), engine_samples=40)
    clocked, engine = found.stage("converted, clocked"), found.stage("event-driven float32")
    assert replace(clocked, name=engine.name) == engine


def test_a_conversion_is_measured_as_its_method_feeds_it():
    found = measured(replace(converted(), method=Method(input="poisson")), n=8)
    assert found.coding == "poisson"
    assert found.curve.first_layer == 0


def test_the_operations_of_the_cnn_are_two_per_mac_and_one_per_bias():
    found = measured(converted(), timesteps=3)
    first, second, last = 3 * 6 * (16 * 3 - 2) ** 2, 6 * 8 * 9 * 36, 8 * 36 * 6  # a padded border has fewer products
    assert found.macs == first + second + last
    assert found.cnn_operations == 2 * found.macs + 6 * 256 + 8 * 36 + 6
    assert found.curve.first_layer == 2 * first
    assert found.neurons == 6 * 256 + 8 * 36
    assert found.curve.updates == tuple(found.neurons * step for step in (1, 2, 3))
    assert [layer.macs for layer in found.layers] == [first, second, last]


def test_the_layers_synops_add_up_to_the_curves():
    found = measured(converted(), coding="poisson")
    assert sum(layer.synops for layer in found.layers) == pytest.approx(found.curve.synops[-1])


def test_the_model_is_left_as_it_was():
    model = copy.deepcopy(small()).train()
    measured(converted(), model, 4, 2)
    assert all(module.training for module in model.modules())


def test_a_subset_is_spread_over_data_that_is_sorted_by_class():
    assert evenly(10, 20).tolist() == list(range(10))
    assert evenly(1000, 4).tolist() == [0, 250, 500, 750]


def test_a_decision_among_equals_is_none():
    assert decide(np.array([[0.0, 0, 0], [0, 2, 2], [-3, -1, -2]])).tolist() == [-1, 1, 1]


# --- events -----------------------------------------------------------------------------------------------------------


def recordings(n, slices, shape, seed=3):
    """Random sparse slices of 1 ms."""
    random, cells = np.random.default_rng(seed), int(np.prod(shape))
    found = []
    for _ in range(n):
        pieces = []
        for step in range(slices):
            chosen = np.flatnonzero(random.random(cells) < 0.1).astype(np.int32)
            counts = random.integers(1, 3, len(chosen)).astype(np.int32)
            pieces.append(BinnedSlice(step * 1000, (step + 1) * 1000, chosen, counts))
        found.append(pieces)
    return found


@pytest.mark.parametrize(
    ("delays_us", "state_window_us", "readout_window_us"),
    [((), None, None), ((0, 3000), None, None), ((0, 2000), 4000, 8000), ((), 5000, 7000)],
)
def test_events_go_through_delays_and_windows_alike_in_both_networks(delays_us, state_window_us, readout_window_us):
    channels = 2 * max(len(delays_us), 1)
    model = small(channels, 12)
    calibration = nets.inputs(32, (channels, 12, 12)) / 5
    conversion = convert(
        model, (channels, 12, 12), nets.LABELS, calibration, timestep_us=1000, state_window_us=state_window_us,
        delays_us=delays_us, readout=Readout("membrane", readout_window_us), check_timesteps=4, max_error=None,
    )  # fmt: skip
    data = recordings(12, 14, (2, 12, 12))
    conversion = in_whole_numbers(conversion)
    found = measured(conversion, model, 12, 12, data, numbers=("float32",), engine_samples=12)
    assert found.coding == "events"
    clocked, engine = found.stage("converted, clocked"), found.stage("event-driven float32")
    assert replace(clocked, name=engine.name) == engine
    run = Engine(conversion.network, numbers="float32")
    decisions = []
    for pieces in data:
        run.reset()
        decisions.append([run.step(piece).index for piece in pieces[:12]])
    wrong = np.array(decisions) != (np.arange(12) % 6)[:, None]
    assert found.curve.error == pytest.approx(tuple(wrong.mean(0)))


def test_what_the_cnn_sees_of_events_is_the_mean_count_of_each_window():
    model = small(4, 12)
    conversion = convert(
        model, (4, 12, 12), nets.LABELS, nets.inputs(32, (4, 12, 12)), timestep_us=1000, state_window_us=6000,
        delays_us=(0, 2000), check_timesteps=4, max_error=None,
    )  # fmt: skip
    data = recordings(6, 12, (2, 12, 12))
    grids = np.zeros((6, 12, 2, 12, 12), np.float32)
    for sample, pieces in enumerate(data):
        for step, piece in enumerate(pieces):
            grids[sample, step].reshape(-1)[piece.cells] = piece.counts
    outputs = 0.0
    for start in (0, 6):
        late = np.concatenate([np.zeros((6, 2, 2, 12, 12), np.float32), grids], 1)[:, start : start + 6]
        window = np.concatenate([grids[:, start : start + 6].mean(1), late.mean(1)], 1)
        with torch.inference_mode():
            outputs = outputs + model(torch.from_numpy(window))
    found = measured(conversion, model, 6, 12, data)
    assert found.stages[0].right == int((outputs.argmax(1).numpy() == np.arange(6)).sum())


# --- what a layer's figures say ---------------------------------------------------------------------------------------


def test_constant_current_arrives_as_it_was_meant_and_every_rate_is_within_one_spike():
    first = measured(converted(percentile=100), inputs=nets.inputs(40, seed=9)).layers[0]
    assert first.arrived < 1e-5
    assert first.clipping < 0.02
    assert (first.early, first.late) == (0, 0)
    assert first.error == pytest.approx(np.hypot(first.rounding, first.clipping), rel=1e-3)
    assert first.correlation > 0.99
    assert first.sources == ()


def test_the_figures_of_a_layer_are_those_of_a_plain_recount():
    conversion = converted(exact=True, percentile=97)
    found = measured(conversion, n=16).layers[1]
    images = pictures(16)
    with torch.inference_mode():
        wanted = small()[:5](images).double()
    run = Engine(conversion.network, numbers="float32")
    spikes = np.zeros(wanted.shape)
    for sample, pixels in enumerate(images.numpy()):
        run.reset()
        for piece in CurrentEncoder(TIMESTEPS).encode(Image(pixels)):
            run.step(piece)
            spikes[sample] += run.spike_counts(found.name)
    rate, activation = spikes / TIMESTEPS, wanted.numpy() / conversion.network.provenance["lambdas"][found.name]
    assert found.rate == pytest.approx(rate.mean())
    assert found.correlation == pytest.approx(np.corrcoef(rate.ravel(), activation.ravel())[0, 1], abs=1e-6)
    assert found.error == pytest.approx(np.linalg.norm(rate - activation) / np.linalg.norm(activation), rel=1e-5)
    assert found.clipped == pytest.approx((activation > 1).mean(), abs=1e-9)
    assert found.dead == pytest.approx((activation.max(0) == 0).mean())
    both_zero = (rate == 0) & (activation == 0)
    assert found.silent == pytest.approx(both_zero.mean())
    assert found.density.sum() == (~both_zero).sum()
    assert found.rates.sum() == (rate > 0).sum()


def test_a_ceiling_of_the_cnn_itself_is_no_clipping():
    model = copy.deepcopy(small())
    model[1] = nn.Hardtanh(0.0, 0.2)
    conversion = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(32), max_error=None, check_timesteps=4)
    first = measured(conversion, model, inputs=nets.inputs(40, seed=9)).layers[0]
    assert (first.clipping, first.clipped) == (0, 0)
    assert first.arrived < 1e-5
    assert first.rates[-1] == 0
    assert first.error < 0.05


def test_a_percentile_far_too_low_is_named_as_clipping():
    culprit = find_culprit(measured(converted(percentile=90)).layers)
    assert culprit.cause == "clipping"
    assert culprit.layer.clipped > 0.1


def test_too_few_timesteps_are_named_as_rounding():
    culprit = find_culprit(measured(converted(percentile=100), timesteps=4).layers)
    assert culprit.cause == "rounding"


def test_random_input_spikes_are_named():
    culprit = find_culprit(measured(converted(percentile=100), coding="poisson", timesteps=24).layers)
    assert culprit.cause == "input"
    assert culprit.layer.sources == ()


def test_a_reset_to_zero_is_named():
    assert find_culprit(measured(converted(reset="zero")).layers).cause == "reset"


def test_a_population_that_nothing_excites_is_named_before_all_others():
    model = copy.deepcopy(small())
    with torch.no_grad():
        model[3].bias.fill_(-100.0)
    conversion = convert(model, nets.SHAPE, nets.LABELS, nets.inputs(32), max_error=None, check_timesteps=4)
    found = measured(conversion, model)
    culprit = find_culprit(found.layers)
    assert culprit.cause == "dead"
    assert culprit.layer.name in Verdict(found).worst
    assert "scaled as in training" in Verdict(found).worst


def layer(name="relu1", **figures):
    plain = {
        "weights": ("conv1",), "sources": (), "behind_max_pool": False, "neurons": 10, "macs": 100, "synops": 50.0,
        "error": 0.01, "reset": "subtract", "rate": 0.1, "active_rate": 0.2, "clipped": 0.001, "dead": 0.0,
        "arrived": 0.0, "clipping": 0.0, "early": 0.0, "late": 0.0, "rounding": 0.01,
    }  # fmt: skip
    return LayerFidelity(name=name, **{**plain, **figures})


@pytest.mark.parametrize(
    ("figures", "says"),
    [
        ({"clipping": 0.2, "clipped": 0.03}, r"relu1 \(20.0 % .*3.00 % .* clipped.*higher percentile"),
        ({"early": 0.3}, r"before the inhibition.*more timesteps"),
        ({"late": 0.3}, r"one spike a timestep.*more than once a timestep"),
        ({"rounding": 0.3, "active_rate": 0.04}, r"4.0 per active neuron.*one scale per channel"),
        ({"rounding": 0.3, "active_rate": 0.2}, r"20.0 per active neuron.*more timesteps bring it closer"),
        ({"arrived": 0.4}, r"from the input.*constant current"),
        ({"arrived": 0.4, "sources": ("relu0",), "behind_max_pool": True}, r"the max pool.*'exact'"),
        ({"arrived": None, "reset": "zero", "error": 0.5}, r"reset to zero.*reset by subtraction"),
        ({"arrived": None, "error": 0.5}, r"cannot be split"),
        ({"dead": 1.0}, r"no sample excites"),
        ({}, r"No layer stands out; .* 1.0 % in relu1"),
    ],
)
def test_the_advice_follows_from_the_figures(figures, says):
    verdict = Verdict(replace(FOUND, timesteps=100, layers=(layer(**figures), layer("relu9", rounding=0.001))))
    assert verdict.culprit.layer.name == "relu1"
    assert re.search(says, verdict.worst)


def test_what_arrives_wrong_from_a_layer_before_is_not_blamed_on_the_next():
    layers = (layer("relu1", rounding=0.2, error=0.2), layer("relu2", sources=("relu1",), arrived=0.5, error=0.5))
    assert find_culprit(layers).layer.name == "relu1"


# --- the verdict ------------------------------------------------------------------------------------------------------

CURVE = Curve(
    "converted, clocked", 1000, (0.5, 0.03, 0.012, 0.02, 0.012), (1.0,) * 5, (1.0, 2, 3, 4, 5), 10.0, (7.0,) * 5
)
FOUND = Measured(
    "constant", 5,
    (
        Stage("CNN", 1000, 990, 990, 0, 0, 1000),
        Stage("CNN as imported", 1000, 990, 990, 0, 0, 1000),
        Stage("converted, clocked", 1000, 988, 990, 4, 2, 992, 1),
        Stage("event-driven int8", 100, 80, 99, 20, 1, 79),
    ),
    CURVE, (layer(),), 10, 100, 206, 10, 1e-7, ("a note",),
)  # fmt: skip


def test_the_loss_is_that_of_the_same_samples():
    verdict = Verdict(FOUND, 0.5)
    assert verdict.loss == pytest.approx(0.2)
    assert verdict.passed()
    assert verdict.passed(0.2)
    assert not verdict.passed(0.1)
    assert Verdict(FOUND).passed()


def test_the_sentence_has_the_figures_with_their_interval_and_n():
    text = Verdict(FOUND, 1.0).sentence
    assert text.startswith("PASSED: A loss of 0.20 points (95 % interval ")
    for part in ("98.80 % after 5 timesteps", "the CNN 99.00 %", "1,000 samples", "1 allowed"):
        assert part in text
    assert not Verdict(FOUND).sentence.startswith(("PASSED", "FAILED"))


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


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": nets.inputs(40, (3, 8, 8))}, r"shape \(40, 3, 8, 8\), the network wants \(n, 3, 16, 16\)"),
        ({"inputs": nets.inputs(39)}, r"40 labels .* for 39 samples"),
        ({"inputs": nets.inputs(40) * float("nan")}, "infinite or undefined"),
        ({"inputs": nets.inputs(40) - 0.5, "coding": "poisson"}, "no spike probability.*constant current"),
        ({"coding": "analog"}, "coding is 'analog'"),
        ({"coding": "events"}, "inputs are recordings"),
        ({"inputs": [[]] * 40}, "made for images"),
        ({"timesteps": 0}, "want each at least 1"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_a_sentence(change, message):
    with pytest.raises(ConversionError, match=message):
        measured(converted(), **change)


def test_a_recording_that_is_too_short_is_refused():
    model = small(2, 12)
    conversion = convert(
        model,
        (2, 12, 12),
        nets.LABELS,
        nets.inputs(8, (2, 12, 12)),
        timestep_us=1000,
        check_timesteps=2,
        max_error=None,
    )
    with pytest.raises(ConversionError, match="recording 0 has 5 slices, want at least 6"):
        measured(conversion, model, 2, 6, recordings(2, 5, (2, 12, 12)))
