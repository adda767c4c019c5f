"""Spiking max pools pass what MaxPool2d says, in the form in which a step touches only what spiked."""

import numpy as np
import pytest

from dvs_run.pipeline.network import MaxPool2d

from .. import naive

SHAPE = (2, 6, 7)


def trains(steps, seed, most=1, density=0.25):
    random = np.random.default_rng(seed)
    return (random.random((steps, *SHAPE)) < density) * random.integers(1, most + 1, (steps, *SHAPE))


def pool(rule, kernel=(2, 2), stride=(2, 2), padding=(0, 0)):
    return MaxPool2d("pool", ("input",), kernel, stride, padding, rule)


def passed_by(layer, x, score):
    """The spikes of each window's first place with the highest score; padding never wins."""
    (py, px), out = layer.padding, np.zeros(layer.output_shape((SHAPE,)), int)
    padded = np.pad(score, ((0, 0), (py, py), (px, px)), constant_values=-1)
    spikes = np.pad(x, ((0, 0), (py, py), (px, px)))
    for c, row, column in np.ndindex(*out.shape):
        top, left = row * layer.stride[0], column * layer.stride[1]
        here = np.s_[c, top : top + layer.kernel[0], left : left + layer.kernel[1]]
        out[c, row, column] = spikes[here].ravel()[padded[here].argmax()]
    return out


def rates(rule):
    """The estimate R of every input after every step, updated in every step."""
    estimate, t = np.zeros(SHAPE), 0
    while True:
        x = yield estimate
        t += 1
        if rule == "fir":
            estimate = estimate + x / t
        elif rule == "average":
            estimate = estimate + (x - estimate) / t
        else:
            estimate = 1.005 * estimate + 0.995 * x


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("window", [((2, 2), (2, 2), (0, 0)), ((3, 3), (1, 1), (1, 1)), ((3, 2), (2, 1), (1, 0))])
@pytest.mark.parametrize("rule", ["fir", "exponential"])
def test_the_leader_of_a_window_is_that_of_the_rates_updated_in_every_step(rule, window, most):
    layer = pool(rule, *window)
    gates, estimates = naive.Gates(layer, SHAPE), rates(rule)
    next(estimates)
    for x in trains(60, seed=1, most=most):
        assert np.array_equal(gates.step(x), passed_by(layer, x, estimates.send(x)))


def test_the_leader_by_counts_is_the_leader_by_mean_rates():
    """Compared before the rounding of a mean can part what is equal."""
    layer, total = pool("average", (3, 3), (1, 1), (1, 1)), np.zeros(SHAPE, int)
    gates, estimates = naive.Gates(layer, SHAPE), rates("average")
    next(estimates)
    for t, x in enumerate(trains(40, seed=2), 1):
        total += x
        assert estimates.send(x) * t == pytest.approx(total)
        assert np.array_equal(gates.step(x), passed_by(layer, x, total))


def test_the_exact_rule_has_always_sent_the_count_of_the_busiest_input():
    layer, total = pool("exact", (3, 3), (2, 2), (1, 1)), np.zeros(SHAPE, int)
    gates, sent = naive.Gates(layer, SHAPE), 0
    for x in trains(50, seed=3, most=2):
        total += x
        sent = sent + gates.step(x)
        padded = np.pad(total, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
        assert np.array_equal(sent, windows.max(axis=(3, 4)))


def test_the_exact_rule_takes_back_what_negative_spikes_undo():
    gates = naive.Gates(pool("exact"), SHAPE)
    one = np.zeros(SHAPE, int)
    one[0, 0, 0] = 1
    assert gates.step(one)[0, 0, 0] == 1
    assert gates.step(-one)[0, 0, 0] == -1


@pytest.mark.parametrize("rule", ["fir", "average", "exponential", "or", "exact"])
def test_a_window_in_which_nothing_spikes_sends_nothing(rule):
    gates = naive.Gates(pool(rule), SHAPE)
    for x in trains(20, seed=4, density=0.1):
        windows = x[:, :, :6].reshape(2, 3, 2, 3, 2).sum(axis=(2, 4))
        assert not gates.step(x)[windows == 0].any()


def test_spikes_that_come_very_late_still_have_a_leader():
    """The weight of a late spike would otherwise fall below the smallest number after 142,000 steps."""
    gates = naive.Gates(pool("exponential"), SHAPE)
    gates.g = 1e-150
    one = np.zeros(SHAPE, int)
    one[0, 1, 1] = 1
    assert gates.step(one)[0, 0, 0] == 1
