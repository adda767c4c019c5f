"""The binomial bounds are exact."""

import pytest

from dvs_run.pipeline.early.bounds import least_samples, lower_bound, tail

from . import naive


@pytest.mark.parametrize(("wrong", "n", "share"), [(0, 1, 0.5), (3, 20, 0.1), (19, 20, 0.9), (7, 500, 0.03), (0, 9, 1)])
def test_the_tail_is_that_of_exact_fractions(wrong, n, share):
    assert tail(wrong, n, share) == pytest.approx(naive.binomial_tail(wrong, n, share), rel=1e-11)


def test_nothing_is_refuted_by_nothing_nor_by_errors_only():
    assert tail(0, 0, 0.1) == tail(5, 5, 0.1) == tail(0, 5, 0.0) == 1.0


def test_the_tail_of_many_samples_neither_overflows_nor_vanishes():
    assert tail(30_000, 100_000, 0.3) == pytest.approx(0.5, abs=0.01)
    assert 0.0 < tail(100, 60_000, 0.01) < 1e-60


@pytest.mark.parametrize(("right", "n"), [(1, 1), (50, 50), (93, 100), (495, 500)])
def test_the_lower_bound_is_where_the_tail_meets_the_confidence(right, n):
    bound = lower_bound(right, n, 0.95)
    assert naive.binomial_tail(n - right, n, 1 - bound) == pytest.approx(0.05, rel=1e-9)
    assert bound < right / n


def test_no_answers_prove_nothing():
    assert lower_bound(0, 0, 0.95) == lower_bound(0, 10, 0.95) == 0.0


def test_the_least_samples_are_the_fewest_that_refute_without_an_error():
    n = least_samples(0.01, 0.05)
    assert tail(0, n, 0.01) <= 0.05 < tail(0, n - 1, 0.01)
