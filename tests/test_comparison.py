"""What is said of two arms from two means and their errors: relative lift, interval, test."""

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from helpers import comparison, inference
from tests.guards import caught, share, two_arms


def split(outcome, treated):
    n_c = int((~treated[0]).sum())
    return outcome[:, :n_c], outcome[:, n_c:]


# Relative lift


def fieller(outcome, treated):
    runs, arms = inference.welch_many(outcome, treated), split(outcome, treated)
    (mean_c, var_c), (mean_t, var_t) = (
        (arm.mean(axis=1), arm.var(axis=1, ddof=1) / arm.shape[1]) for arm in arms
    )
    return comparison.fieller_interval(mean_c, var_c, mean_t, var_t, stats.t.ppf(0.975, runs["df"]))


def absolute_over_control_mean(outcome, treated):
    """The naive relative interval, which forgets that the control mean is itself uncertain."""
    runs = inference.welch_many(outcome, treated)
    low, high = runs["ci_low"], runs["ci_high"]
    control, _ = split(outcome, treated)
    return low / control.mean(axis=1), high / control.mean(axis=1)


def guard_relative_coverage(interval):
    """At +100 % and at -50 %, with a spread that grows with the mean and with one that does not."""
    for sd_t, relative in ((5, 1.0), (10, 1.0), (5, -0.5)):
        low, high = interval(*two_arms(50, 50, 5, sd_t, lift=10 * relative))
        assert 0.945 <= share((low <= relative) & (relative <= high)) <= 0.955


def test_fieller_covers_where_the_naive_interval_does_not():
    guard_relative_coverage(fieller)
    caught(guard_relative_coverage, absolute_over_control_mean)
    low, high = absolute_over_control_mean(*two_arms(50, 50, 5, 5, lift=10))
    assert share((low <= 1) & (high >= 1)) < 0.85


BELOW_ZERO = {"equal": (20, 20, 1, 1), "unequal": (8, 40, 2, 1), "one clear": (30, 30, 0.1, 0.2)}


def guard_below_zero(compare):
    """Costs written as negative numbers: the relative lift has the sign of the lift.

    Turning the sign of every value turns lift, relative lift and both intervals round.
    """
    for n_c, n_t, sd_c, sd_t in BELOW_ZERO.values():
        outcome, treated = two_arms(n_c, n_t, sd_c, sd_t, lift=1, runs=20)
        for c, t in zip(*split(outcome, treated), strict=True):
            r, turned = compare(c, t), compare(-c, -t)
            assert math.copysign(1, turned.relative_lift) == math.copysign(1, turned.lift)
            assert turned.relative_lift == pytest.approx(-r.relative_lift)
            assert turned.relative_ci_low == pytest.approx(-r.relative_ci_high)
            assert turned.relative_ci_high == pytest.approx(-r.relative_ci_low)
            assert turned.relative_ci_low <= turned.relative_lift <= turned.relative_ci_high


def divided_by_a_negative_mean(control, treatment):
    r = inference.compare_means(control, treatment)
    return dataclasses.replace(r, relative_lift=r.lift / r.mean_control)


def test_relative_lift_below_zero():
    guard_below_zero(inference.compare_means)
    caught(guard_below_zero, divided_by_a_negative_mean)


def test_fieller_covers_below_zero_too():
    outcome, treated = two_arms(50, 50, 5, 10, lift=-10, mean=-10)
    low, high = fieller(outcome, treated)
    assert 0.945 <= share((low <= -1.0) & (high >= -1.0)) <= 0.955


# users, sds, control mean, lift: null and not, small and large, 90/10, below zero
GRID = [
    (12, 40, 3, 5, 10, 0),
    (40, 12, 3, 5, 10, 5),
    (8, 8, 1, 3, 5, 0),
    (100, 10, 2, 2, 4, -2),
    (10, 90, 4, 4, -10, -3),
    (900, 100, 5, 5, 1, 0),
]


def guard_relative_grid(interval):
    for n_c, n_t, sd_c, sd_t, mean, lift in GRID:
        runs = 20_000 if n_c + n_t < 500 else 5_000
        low, high = interval(*two_arms(n_c, n_t, sd_c, sd_t, lift, mean, runs))
        truth = lift / abs(mean)
        assert 0.94 <= share((low <= truth) & (truth <= high)) <= 0.957, (n_c, n_t, mean, lift)


def test_fieller_covers_over_a_grid():
    guard_relative_grid(fieller)
    caught(guard_relative_grid, absolute_over_control_mean)


def test_where_control_is_hardly_told_from_zero_fieller_is_careful():
    """Every unbounded interval holds the truth, so more than 95 % do."""
    for mean in (2, -2):
        low, high = fieller(*two_arms(20, 20, 5, 5, lift=1, mean=mean))
        assert 0.5 <= share(np.isinf(low)) <= 0.65
        assert 0.95 <= share((low <= 0.5) & (high >= 0.5)) <= 0.985


def guard_relative_rates(interval):
    """Exact coverage of the relative interval for rates: a sum over all counts that may come."""
    for n_c, n_t, rate, relative in ((100, 100, 0.1, 0.5), (270, 30, 0.1, 0), (60, 60, 0.5, 0.2)):
        chances = [
            stats.binom.pmf(np.arange(n + 1), n, p)
            for n, p in ((n_c, rate), (n_t, rate * (1 + relative)))
        ]
        covered = 0.0
        for x_c, x_t in product(*(np.flatnonzero(chance > 1e-5) for chance in chances)):
            low, high = interval(int(x_c), n_c, int(x_t), n_t)
            covered += chances[0][x_c] * chances[1][x_t] * (low <= relative <= high)
        assert 0.94 <= covered <= 0.99, (n_c, n_t, rate, relative)


def by_fieller(*counts):
    r = inference.compare_rates(*counts)
    return r.relative_ci_low, r.relative_ci_high


def divided_by_the_control_rate(*counts):
    r = inference.compare_rates(*counts)
    return r.ci_low / max(r.mean_control, 1e-9), r.ci_high / max(r.mean_control, 1e-9)


def test_relative_interval_of_rates_covers():
    guard_relative_rates(by_fieller)
    caught(guard_relative_rates, divided_by_the_control_rate)


@pytest.mark.parametrize("mean_c", [0.0, 1e-300, -1e-300, 0.1, -0.1])
def test_where_control_may_be_zero_nothing_bounded_is_said(mean_c):
    low, high = comparison.fieller_interval(mean_c, 1.0, 5.0, 1.0, 1.96)
    assert (float(low), float(high)) == (-math.inf, math.inf)


def test_fieller_takes_numbers_and_arrays():
    means, errors = np.array([1.0, 2.0, -3.0]), np.array([0.01, 0.02, 0.03])
    low, high = comparison.fieller_interval(means, errors, 2.0, 0.01, 1.96, 0.001)
    for i in range(3):
        one = comparison.fieller_interval(means[i], errors[i], 2.0, 0.01, 1.96, 0.001)
        assert [float(end) for end in one] == [low[i], high[i]]


# The test


def guard_shared_luck(tested):
    """Means that move together differ by less luck: the covariance counts twice."""
    found = tested((1.0, 2.0), (0.04, 0.05), 30, 0.9, cov=0.01)
    assert found["se"] == pytest.approx(math.sqrt(0.04 + 0.05 - 0.02))
    assert found["t"] == pytest.approx(1 / found["se"])
    assert found["p_value"] == pytest.approx(2 * stats.t.sf(found["t"], 30))
    half = stats.t.ppf(0.95, 30) * found["se"]
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((1 - half, 1 + half))


def test_means_that_share_their_luck():
    guard_shared_luck(comparison.tested)
    caught(guard_shared_luck, lambda m, v, df, level, cov: comparison.tested(m, v, df, level))
