"""Staged accuracies and operations are those of a plain count, on images and on recordings."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from dvs_run.pipeline.convert import Method, Readout, convert
from dvs_run.pipeline.convert.verdict.decide import decide, evenly
from dvs_run.pipeline.encode import CurrentEncoder, PoissonEncoder
from dvs_run.pipeline.engine import Engine
from dvs_run.pipeline.errors import ConversionError
from dvs_run.pipeline.evaluate import judge_images
from dvs_run.pipeline.stream import BinnedSlice

from .. import nets
from .networks import TIMESTEPS, converted, in_whole_numbers, measured, pictures, small


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
