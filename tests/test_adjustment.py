"""Adjustment for a baseline and for blocks: regression, CUPED, coverage, width.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import dataclasses
import math
from itertools import product
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from pandas.testing import assert_frame_equal
from scipy import stats
from statsmodels.regression.linear_model import OLS

from helpers import adjustment, comparison, inference
from tests.guards import caught, covers, fields, guard_message, mirrored, share

RUNS = 4_000


# One comparison


def experiment_with_baseline(n=60, k=1, seed=8, lift=3.0):
    rng = np.random.default_rng(seed)
    baseline = rng.normal(50, 10, (n, k))
    treated = rng.permuted(np.arange(n) % 3 == 0)
    outcome = 20 + 0.6 * baseline.sum(axis=1) + rng.normal(0, 5, n) * (1 + treated) + lift * treated
    return outcome, treated, baseline[:, 0] if k == 1 else baseline


def guard_regression(compare):
    """Lift, se, t, df, p and interval are those of statsmodels' HC2 regression.

    The ends of the relative interval are the ratios that its t-test just does not reject.
    """
    for interacted, k in product((False, True), (1, 3)):
        y, treated, x = experiment_with_baseline(k=k)
        r = compare(y, treated, x, confidence=0.9, interacted=interacted)
        table = pd.DataFrame(
            x.reshape(len(y), -1) - x.mean(axis=0), columns=[f"x{i}" for i in range(k)]
        )
        slopes = " + ".join(table)
        formula = f"y ~ t * ({slopes})" if interacted else f"y ~ t + {slopes}"
        fit = smf.ols(formula, table.assign(y=y, t=treated.astype(int))).fit(
            cov_type="HC2", use_t=True
        )
        want = [fit.params["t"], fit.bse["t"], fit.tvalues["t"], fit.df_resid, fit.pvalues["t"]]
        want += fit.conf_int(0.1).loc["t"].tolist()
        assert fields(r, "lift", "se", "t", "df", "p_value", "ci_low", "ci_high") == pytest.approx(
            want, rel=1e-9
        )
        assert fields(r, "mean_control", "n_control") == pytest.approx(
            [fit.params["Intercept"], (~treated).sum()]
        )
        assert r.mean_treatment - r.mean_control == pytest.approx(r.lift)
        for end in (r.relative_ci_low, r.relative_ci_high):
            contrast = (fit.params.index == "t") - end * (fit.params.index == "Intercept")
            assert fit.t_test(contrast).pvalue == pytest.approx(0.1, rel=1e-6)


def guard_adjusted_swap(compare):
    """With the arms exchanged lift and both intervals are mirrored; se and p-value stay."""
    for interacted in (False, True):
        y, treated, x = experiment_with_baseline()
        there, back = (compare(y, arm, x, interacted=interacted) for arm in (treated, ~treated))
        seen = fields(back, "lift", "ci_low", "ci_high", "se", "p_value", "n_control", "sd_control")
        want = fields(
            there, "lift", "ci_high", "ci_low", "se", "p_value", "n_treatment", "sd_treatment"
        )
        assert seen == pytest.approx([-x for x in want[:3]] + want[3:], rel=1e-9)
        seen = fields(back, "relative_lift", "relative_ci_low", "relative_ci_high")
        want = fields(there, "relative_lift", "relative_ci_high", "relative_ci_low")
        assert seen == pytest.approx([mirrored(x) for x in want], rel=1e-9)


def guard_baseline_units(compare):
    """Zero point and unit of the baseline move nothing, the relative interval included."""
    for interacted, k in product((False, True), (1, 3)):
        y, treated, x = experiment_with_baseline(k=k)
        plain = dataclasses.astuple(compare(y, treated, x, interacted=interacted))
        for moved in (x + 1_000, 2.54 * x, -x, 1e5 * (x - 32)):
            found = compare(y, treated, moved, interacted=interacted)
            assert dataclasses.astuple(found) == pytest.approx(plain)


def at_a_baseline_of_zero(y, treated, x, confidence=0.95, interacted=False):
    """Forgets to centre: means and relative lift are those of customers whose baseline is 0."""
    r = adjustment.compare_adjusted(y, treated, x, confidence, interacted)
    x = x.reshape(len(y), -1)
    slopes = np.linalg.lstsq(np.column_stack([np.ones(len(y)), treated, x]), y)[0][2:]
    mean = r.mean_control - float(x.mean(axis=0) @ slopes)
    return dataclasses.replace(r, mean_control=mean, relative_lift=r.lift / mean)


def always_one_slope(y, treated, x, confidence=0.95, interacted=False):
    return adjustment.compare_adjusted(y, treated, x, confidence)


def means_as_if_independent(y, treated, x, confidence=0.95, interacted=False):
    """Leaves the covariance of the two adjusted means out of the relative interval."""
    true = comparison.fieller_interval
    with mock.patch.object(comparison, "fieller_interval", lambda *six: true(*six[:5])):
        return adjustment.compare_adjusted(y, treated, x, confidence, interacted)


def spread_of_control(y, treated, x, confidence=0.95, interacted=False):
    """Means and relative lift without the baseline, beside an adjusted lift."""
    r = adjustment.compare_adjusted(y, treated, x, confidence, interacted)
    return dataclasses.replace(
        r, relative_lift=r.lift / y[~treated].mean(), sd_treatment=r.sd_control
    )


ADJUSTED_GUARDS = {
    guard_regression: (always_one_slope, means_as_if_independent, at_a_baseline_of_zero),
    guard_adjusted_swap: (spread_of_control,),
    guard_baseline_units: (at_a_baseline_of_zero,),
}


@pytest.mark.parametrize("guard", ADJUSTED_GUARDS)
def test_adjusted_comparison(guard):
    guard(adjustment.compare_adjusted)
    for faulty in ADJUSTED_GUARDS[guard]:
        caught(guard, faulty)


# Many comparisons


def guard_rows(many):
    """`adjust_many` is `compare_adjusted` row by row; columns that add nothing change nothing."""
    rng = np.random.default_rng(9)
    treated = rng.permuted(np.tile(np.arange(36) % 2 == 0, (20, 1)), axis=1)
    blocks = np.eye(6)[np.arange(36) % 6]
    score = rng.normal(50, 10, 36)
    outcome = score + rng.normal(0, 5, treated.shape) + 3 * treated
    for baseline, needed in (
        (score, score),
        (blocks, blocks[:, 1:]),  # as many dummies as blocks: one too many
        (np.column_stack([score, blocks, 3 - 2 * score]), np.column_stack([score, blocks[:, 1:]])),
        (np.column_stack([score, np.ones(36)]), score),
    ):
        table = many(outcome, treated, baseline, confidence=0.9)
        for i, row in table.iterrows():
            one = adjustment.compare_adjusted(outcome[i], treated[i], needed, confidence=0.9)
            assert row.tolist() == pytest.approx(fields(one, *table.columns), rel=1e-8), i


def columns_counted_twice(outcome, treated, baseline, confidence=0.95):
    """Degrees of freedom from the columns as they come, also those that add nothing."""
    table = adjustment.adjust_many(outcome, treated, baseline, confidence)
    df = outcome.shape[1] - 2 - np.asarray(baseline).reshape(outcome.shape[1], -1).shape[1]
    return table.assign(p_value=2 * stats.t.sf(abs(table["lift"] / table["se"]), df))


def test_many_adjusted_comparisons_are_one_by_one():
    guard_rows(adjustment.adjust_many)
    caught(guard_rows, columns_counted_twice)
    caught(
        guard_rows,
        lambda outcome, treated, baseline, confidence: adjustment.adjust_many(
            outcome, treated, baseline
        ),
    )


MOVES = {
    "another zero point": lambda x: x + 1_000,
    "another unit": lambda x: 0.0254 * x,
    "turned round": lambda x: -x,
    "a date in seconds": lambda x: 1.7e9 + 1e5 * x,
}


@pytest.mark.parametrize("move", MOVES)
def test_adjust_many_does_not_mind_the_units_of_the_baseline(move):
    outcome, treated, baseline = adjusted_runs(40, runs=20)
    assert_frame_equal(
        adjustment.adjust_many(outcome, treated, MOVES[move](baseline)),
        adjustment.adjust_many(outcome, treated, baseline),
    )


def test_adjust_many_says_nan_where_arms_cannot_be_compared():
    x = np.arange(8.0)
    arms = {
        "good": x % 2 == 0,
        "all treated": x > -1,
        "nobody": x > 9,
        "one alone": x == 3,
        "the baseline": x > 3,
    }
    treated = np.array(list(arms.values()))
    outcome = np.random.default_rng(1).normal(0, 1, treated.shape)
    blank = adjustment.adjust_many(outcome, treated, np.column_stack([x, x > 3])).isna()
    assert blank.all(axis=1).equals(blank.any(axis=1))
    assert dict(zip(arms, blank["se"], strict=True)) == dict.fromkeys(arms, True) | {"good": False}


# CUPED


def slope_within(y, x, *arms):
    """The slope of y on x, both measured from their arm's mean, over all the arms given."""
    inside = [[a[arm] - a[arm].mean() for arm in arms] for a in (y, x)]
    dy, dx = (np.concatenate(parts) for parts in inside)
    return float(dx @ dy / (dx @ dx))


def guard_cuped(compare):
    """Adjusting is CUPED: subtract theta * (x - mean of x) and compare the plain means.

    One theta for both arms is the slope pooled inside them; with interaction each arm has its own.
    """
    for seed in range(3):
        y, treated, x = experiment_with_baseline(seed=seed)
        common, own = (
            slope_within(y, x, treated, ~treated),
            [slope_within(y, x, arm) for arm in (~treated, treated)],
        )
        for interacted, thetas in ((False, [common, common]), (True, own)):
            r = compare(y, treated, x, interacted=interacted)
            left = [
                (y - theta * (x - x.mean()))[arm]
                for theta, arm in zip(thetas, (~treated, treated), strict=True)
            ]
            seen = fields(r, "mean_control", "mean_treatment", "lift", "sd_control", "sd_treatment")
            means, sds = [arm.mean() for arm in left], [arm.std(ddof=1) for arm in left]
            assert seen == pytest.approx([*means, means[1] - means[0], *sds], rel=1e-9)


def theta_across(y, treated, x, interacted=False):
    """Theta from all customers, arms mixed: part of the lift is adjusted away or invented."""
    theta = slope_within(y, x, np.full(len(y), True))
    left = y - theta * (x - x.mean())
    return inference.compare_means(left[~treated], left[treated])


def test_adjustment_is_cuped():
    guard_cuped(adjustment.compare_adjusted)
    caught(guard_cuped, theta_across)
    caught(guard_cuped, always_one_slope)


@pytest.mark.parametrize("seed", range(3))
def test_cuped_leaves_one_minus_rho_squared_of_the_variance(seed):
    y, _, x = experiment_with_baseline(seed=seed)
    theta, rho = np.cov(x, y)[0, 1] / x.var(ddof=1), np.corrcoef(x, y)[0, 1]
    left = {factor: (y - factor * theta * (x - x.mean())).var(ddof=1) for factor in (0.9, 1, 1.1)}
    assert left[1] == pytest.approx((1 - rho**2) * y.var(ddof=1), rel=1e-12)
    assert left[1] < min(left[0.9], left[1.1])
    assert (y - theta * (x - x.mean())).mean() == pytest.approx(y.mean())


# Coverage and width


def adjusted_runs(n, rho=0.8, lift=0.0, runs=RUNS, seed=10):
    """Outcome (sd 1 in either arm), treated, and the baseline that all runs share."""
    rng = np.random.default_rng(seed)
    baseline = stats.zscore(rng.normal(0, 1, n))
    treated = rng.permuted(np.tile(np.arange(n) % 2 == 0, (runs, 1)), axis=1)
    noise = rng.normal(0, math.sqrt(1 - rho**2), treated.shape)
    return rho * baseline + noise + lift * treated, treated, baseline


def guard_adjusted_coverage(many):
    """The interval covers in 95 % of runs, so false alarms come in 5 %, for any baseline."""
    for n, rho, lift in ((40, 0.8, 0.7), (40, 0, 0), (200, 0.8, 0), (200, 0.3, -1)):
        table = many(*adjusted_runs(n, rho, lift))
        assert 0.935 <= covers(table["ci_low"], table["ci_high"], lift) <= 0.965
        if lift == 0:
            assert 0.035 <= share(table["p_value"] < 0.05) <= 0.065


def plain_width(outcome, treated, baseline):
    """Keeps the standard error of the plain comparison beside the adjusted lift."""
    table, plain = (
        adjustment.adjust_many(outcome, treated, baseline),
        inference.welch_many(outcome, treated),
    )
    half = plain["ci_high"] - plain["lift"]
    return table.assign(ci_low=table["lift"] - half, ci_high=table["lift"] + half)


def narrow_by_a_tenth(outcome, treated, baseline):
    """Standard errors too small by a tenth."""
    table = adjustment.adjust_many(outcome, treated, baseline)
    return table.assign(
        ci_low=table["lift"] - 1.8 * table["se"], ci_high=table["lift"] + 1.8 * table["se"]
    )


def test_adjusted_interval_covers():
    guard_adjusted_coverage(adjustment.adjust_many)
    for faulty in (plain_width, narrow_by_a_tenth):
        caught(guard_adjusted_coverage, faulty)


@pytest.mark.parametrize("n", [40, 200])
def test_a_good_baseline_narrows_and_a_useless_one_costs_little(n):
    ratio = {}
    for rho in (0, 0.5, 0.8):
        runs = adjusted_runs(n, rho, runs=1_000)
        ratio[rho] = (
            adjustment.adjust_many(*runs)["se"].mean()
            / inference.welch_many(*runs[:2])["se"].mean()
        )
        assert ratio[rho] == pytest.approx(math.sqrt(1 - rho**2), rel=0.04)
    assert 1 < ratio[0] < 1 + 1 / n


def guard_adjusted_relative(compare):
    """The relative interval covers these customers' lift in 95 % of runs, a doubling included."""
    outcome, treated, baseline = adjusted_runs(40, 0.9, runs=400)
    mean = 4.0  # of the control arm, in sd of the outcome
    for relative in (1, 0.1):
        runs = [
            compare(y + mean + mean * relative * t, t, baseline)
            for y, t in zip(outcome, treated, strict=True)
        ]
        ends = np.array([fields(r, "relative_ci_low", "relative_ci_high") for r in runs])
        assert 0.92 <= covers(*ends.T, relative) <= 0.98


def adjusted_by_control(y, treated, x):
    """Divides the interval by the control mean, as if that were known."""
    r = adjustment.compare_adjusted(y, treated, x)
    return dataclasses.replace(
        r, relative_ci_low=r.ci_low / r.mean_control, relative_ci_high=r.ci_high / r.mean_control
    )


def test_adjusted_relative_interval_covers():
    guard_adjusted_relative(adjustment.compare_adjusted)
    caught(guard_adjusted_relative, adjusted_by_control)


# Blocks


def blocked_runs(lift=1.0, blocks=10, size=4, seed=11):
    """Half of every block is treated; the blocks differ more than their customers do."""
    rng = np.random.default_rng(seed)
    treated = rng.permuted(np.tile(np.arange(size) % 2 == 0, (RUNS * blocks, 1)), axis=1).reshape(
        RUNS, -1
    )
    block = np.repeat(np.arange(blocks), size)
    level = 2 * stats.zscore(np.arange(blocks))[block]
    return level + rng.normal(0, 1, treated.shape) + lift * treated, treated, np.eye(blocks)[block]


def guard_blocks(many):
    table = many(*blocked_runs())
    assert 0.935 <= covers(table["ci_low"], table["ci_high"], 1.0) <= 0.965


def blocks_ignored(outcome, treated, blocks):
    return inference.welch_many(outcome, treated)


def test_blocks_in_the_design_belong_in_the_analysis():
    guard_blocks(adjustment.adjust_many)
    caught(guard_blocks, blocks_ignored)
    plain, adjusted = blocks_ignored(*blocked_runs()), adjustment.adjust_many(*blocked_runs())
    # too wide: the blocks are in it as noise
    assert covers(plain["ci_low"], plain["ci_high"], 1.0) > 0.985
    assert plain["se"].mean() > 1.8 * adjusted["se"].mean()
    # balanced in every block, so one lift
    np.testing.assert_allclose(plain["lift"], adjusted["lift"])


# Calls that are refused

BASELINE = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
OUTCOME = np.array([2.0, 7, 1, 8, 2, 8, 1, 9])
TREATED = np.arange(8) % 2 == 0


def adjusted(outcome=OUTCOME, treated=TREATED, baseline=BASELINE, **options):
    return lambda: adjustment.compare_adjusted(outcome, treated, baseline, **options)


def adjusted_rows(**options):
    return lambda: adjustment.adjust_many(OUTCOME[None], TREATED[None], BASELINE, **options)


def swapped(values, position, value):
    return [value if i == position else x for i, x in enumerate(values)]


def guard_far_from_zero(compare):
    """Seconds since 1970, say: the lift and its error are those of the plain numbers."""
    y, treated, x = experiment_with_baseline()
    want = fields(compare(y, treated, x), "lift", "se", "p_value")
    for far, near in ((1e6, 1e-5), (-1e9, 1e-5), (1e15, 1e-2)):  # at 1e15 digits end at 0.1
        found = fields(compare(y + far, treated, x), "lift", "se", "p_value")
        assert found == pytest.approx(want, rel=near)
    for far in (1e6, 1e12):
        found = fields(compare(y, treated, x + far), "lift", "se", "p_value")
        assert found == pytest.approx(want, rel=1e-3)


def not_centred(y, treated, x):
    design = np.column_stack([np.ones(len(y)), treated, x])
    fit = OLS(y, design).fit(cov_type="HC2", use_t=True)
    return SimpleNamespace(lift=fit.params[1], se=fit.bse[1], p_value=fit.pvalues[1])


@pytest.mark.filterwarnings("ignore:The design matrix is rank-deficient")  # of the fault
def test_numbers_far_from_zero():
    guard_far_from_zero(adjustment.compare_adjusted)
    caught(guard_far_from_zero, not_centred)


BAD_CALLS = {
    "adjusted: flat outcome": (adjusted(outcome=np.full(8, 0.1)), "outcome does not vary"),
    "many: two values a customer": (
        lambda: adjustment.adjust_many([[1.0, 2, 3, 4]], [[0, 1, 0, 1]], range(8)),
        "baseline has the shape (8,)",
        "each of 4 customers",
    ),
    "many: baseline turned": (
        lambda: adjustment.adjust_many([[1.0, 2, 3, 4]], [[0, 1, 0, 1]], [[1, 2, 3, 5]] * 2),
        "shape (2, 4)",
    ),
    "many: arms are doses": (
        lambda: adjustment.adjust_many([[1.0, 2, 3, 4]], [[-1, 1, -1, 1]], [1, 2, 3, 5]),
        "values -1, 1",
    ),
    "adjusted: outcome blank": (
        adjusted(swapped(OUTCOME, 2, math.nan)),
        "outcome has blank",
        "position 2",
    ),
    "adjusted: baseline blank": (
        adjusted(baseline=swapped(BASELINE, 2, math.inf)),
        "baseline has blank or infinite",
    ),
    "adjusted: outcome text": (
        adjusted(swapped(OUTCOME, 2, "x")),
        "outcome has values that are not numbers",
    ),
    "adjusted: baseline text": (
        adjusted(baseline=["x"] * 8),
        "baseline has values that are not numbers",
        "one number",
    ),
    "adjusted: flat baseline": (
        adjusted(baseline=np.ones(8)),
        "8 customers and 3 coefficients",
        "does not vary",
    ),
    "adjusted: baseline is the arm": (adjusted(baseline=TREATED), "told apart", "plain means"),
    "adjusted: flat in one arm": (
        adjusted(baseline=BASELINE * TREATED, interacted=True),
        "does not vary",
    ),
    "adjusted: all treated": (
        adjusted(treated=np.full(8, True)),
        "arm column has the values True",
        "both of them",
    ),
    "adjusted: one treated": (
        adjusted(treated=BASELINE == 9),
        "single customer decides",
        "Use more customers",
    ),
    "adjusted: three customers": (
        adjusted(OUTCOME[:3], TREATED[:3], BASELINE[:3]),
        "3 customers and 3 coefficients",
    ),
    "adjusted: explains all": (
        adjusted(3 * BASELINE + TREATED),
        "explains the outcome completely",
        "no luck",
    ),
    "adjusted: confidence": (adjusted(confidence=1), "confidence is 1", "between 0 and 1"),
    "adjusted rows: confidence": (adjusted_rows(confidence=0), "confidence is 0", "such as 0.95"),
    "adjusted: baseline too short": (adjusted(baseline=BASELINE[:5]), "baseline", "5", "8"),
    "adjusted: arms too short": (adjusted(treated=TREATED[:5]), "5", "8"),
    "adjusted: baseline lies on its side": (
        adjusted(baseline=np.random.default_rng(1).random((2, 8))),
        "baseline",
    ),
    "adjusted: arm blank": (adjusted(treated=swapped(1.0 * TREATED, 2, math.nan)), "blank"),
    "adjusted: arms in words": (
        adjusted(treated=["test", "control"] * 4),
        "'test', 'control'",
        "True",
    ),
    "adjusted: arms 1 and 2": (adjusted(treated=1 + TREATED), "values 2, 1;", "False (or 0)"),
    "adjusted: three arms": (adjusted(treated=[0, 1, 2, 0, 1, 2, 0, 1]), "values 0, 1, 2"),
    "adjusted: arm masked": (
        adjusted(treated=np.ma.array(1 * TREATED, mask=np.arange(8) == 3)),
        "blank",
        "True (or 1)",
    ),
    "adjusted: baseline masked": (
        adjusted(baseline=np.ma.array(BASELINE, mask=np.arange(8) == 3)),
        "baseline has blank",
        "position 3",
    ),
    "adjusted: outcome too large": (adjusted(outcome=1e100 * BASELINE**2), "larger unit"),
    "adjusted: outcome too small": (adjusted(outcome=1e-90 * BASELINE**2), "smaller unit"),
    "adjusted: nobody": (adjusted([], [], []), "[0, 0, 0] rows", "each customer"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


# What to adjust by, where arms were dealt inside strata


def test_columns_that_say_something():
    before = pd.Series([1.0, 2.0, 3.0, 4.0] * 6)
    strata = pd.Series(["a"] * 10 + ["b"] * 14)
    both = adjustment.known_columns(before, strata)
    assert both[:, 0].tolist() == [0.0] * 10 + [1.0] * 14 and (both[:, 1] == before).all()
    assert adjustment.known_columns(before).tolist() == before.to_frame().to_numpy().tolist()
    of_strata = strata.eq("b") * 7.5
    assert adjustment.known_columns(of_strata, strata).shape == (24, 1)
    assert adjustment.known_columns(before * 0, strata.str[:0]).shape == (24, 0)


@pytest.mark.parametrize(
    "sizes, columns", [((10, 10, 3), 2), ((10, 10, 3, 2), 3), ((10, 3), 1), ((3, 2), 1), ((2,), 1)]
)
def test_small_strata_are_taken_together(sizes, columns):
    strata = pd.Series(np.repeat(list("abcd")[: len(sizes)], sizes))
    before = pd.Series(np.random.default_rng(1).normal(size=len(strata)))
    assert adjustment.known_columns(before, strata).shape[1] == columns
