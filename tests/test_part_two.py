"""Part II as behaviour: many segments, rates, effects that differ, adjustment, blocks, early looks, experiment logs.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be caught by it.
"""

import dataclasses
import math
import re
import runpy
from itertools import pairwise, product
from unittest import mock

import nbformat
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from pandas.testing import assert_frame_equal
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from helpers import (
    adjustment,
    data,
    experiment,
    heterogeneity,
    inference,
    segments,
    sequential,
    words,
)
from tests.test_behaviour import caught, mirrored, share
from tools import notebooks

test_proportions_2indep.__test__ = False  # a library's function, no test of ours
RUNS = 4_000
BAND = 3.2 * math.sqrt(
    0.05 * 0.95 / RUNS
)  # how far luck may carry a rate of 5 % in so many runs: 1.1 points


def covers(low, high, truth):
    return share((low <= truth) & (truth <= high))


def fields(result, *names):
    return [getattr(result, name) for name in names]


# Many segments, many tests


def many_p(lifts, n=20, seed=1):
    """p-values of Welch's test, runs x segments; each segment has n and n customers, lifts are in its sd."""
    rng = np.random.default_rng(seed)
    outcome = rng.normal(0, 1, (RUNS, len(lifts), 2 * n))
    outcome[..., n:] += np.asarray(lifts, dtype=float)[:, None]
    treated = np.broadcast_to(np.arange(2 * n) >= n, (RUNS * len(lifts), 2 * n))
    p = inference.welch_many(outcome.reshape(-1, 2 * n), treated)["p_value"]
    return p.to_numpy().reshape(RUNS, len(lifts))


NULL = many_p(np.zeros(20))
SOME_TRUE = np.repeat([0, 1.0], [12, 8])  # 12 segments without effect, 8 with one
MIXED = many_p(SOME_TRUE, seed=2)


def rejected(method):
    """Which tests `multipletests` calls significant, runs x segments; runs with no p below .05 need not ask it."""

    def reject(p):
        found = p < 0.05
        with mock.patch("gc.collect"):  # Holm's branch calls it every time, at 30 ms a call
            for run in np.flatnonzero(found.any(axis=1)):
                found[run] = multipletests(p[run], 0.05, method)[0]
        return found

    return reject


def unadjusted(p):
    return p < 0.05


def guard_family(reject):
    """With 3, 8 or 20 segments, any false alarm at all comes in 5 % of experiments, also beside true effects."""
    for m in (3, 8, 20):
        assert share(reject(NULL[:, :m]).any(axis=1)) <= 0.05 + BAND, m
    assert share(reject(MIXED)[:, SOME_TRUE == 0].any(axis=1)) <= 0.05 + BAND


@pytest.mark.parametrize("method", ["bonferroni", "holm"])
def test_family_of_segments_keeps_its_promise(method):
    guard_family(rejected(method))
    for m in (3, 8, 20):  # and hardly more than it
        assert share(rejected(method)(NULL[:, :m]).any(axis=1)) >= 0.05 - BAND


@pytest.mark.parametrize(
    "faulty",
    [unadjusted, rejected("fdr_bh"), lambda p: p < 2 * 0.05 / p.shape[1]],
    ids=["unadjusted", "false discovery rate", "half the tests"],
)
def test_a_broken_promise_to_the_family_is_caught(faulty):
    caught(guard_family, faulty)


@pytest.mark.parametrize("m", [3, 8, 20])
def test_unadjusted_false_alarms_pile_up(m):
    assert share(unadjusted(NULL[:, :m]).any(axis=1)) == pytest.approx(1 - 0.95**m, abs=0.025)


def guard_discoveries(reject):
    """Of what is called an effect, 5 % at most is none, on average; with nothing but nulls as well."""
    for p, null in (
        (NULL, np.full(20, True)),
        (MIXED, SOME_TRUE == 0),
        (MIXED[:, 6:], SOME_TRUE[6:] == 0),
    ):
        found = reject(p)
        false = found[:, null].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
        assert false.mean() <= 0.05 * null.mean() + BAND


def test_false_discovery_rate():
    guard_discoveries(rejected("fdr_bh"))
    caught(guard_discoveries, unadjusted)
    caught(guard_discoveries, lambda p: rejected("fdr_bh")(p / 2))


def test_what_one_method_finds_the_next_finds_too():
    """Bonferroni, Holm, Benjamini-Hochberg, nothing: each finds all that the one before it finds, and more."""
    found = [rejected(method)(MIXED) for method in ("bonferroni", "holm", "fdr_bh")] + [
        unadjusted(MIXED)
    ]
    for fewer, more in pairwise(found):
        assert (fewer <= more).all()
        assert share(fewer[:, SOME_TRUE == 1]) + 0.005 < share(more[:, SOME_TRUE == 1])


# Conversion rates


def agresti_caffo(x_c, n_c, x_t, n_t, method="agresti-caffo"):
    with np.errstate(all="ignore"):
        return confint_proportions_2indep(x_t, n_t, x_c, n_c, compare="diff", method=method)


def wald(x_c, n_c, x_t, n_t):
    return agresti_caffo(x_c, n_c, x_t, n_t, method="wald")


RATES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SIZES = [(n, n) for n in (20, 50, 100, 200, 500)] + [(20, 100), (20, 500), (500, 20), (50, 200)]


def exact_coverage(interval):
    """The least coverage over the grid, each computed from all outcomes that can happen, so without luck."""
    least = 1.0
    for n_c, n_t in SIZES:
        x_c, x_t = np.arange(n_c + 1), np.arange(n_t + 1)
        low, high = interval(x_c[:, None], n_c, x_t[None, :], n_t)
        for p_c, p_t in product(RATES, RATES):
            holds = (low <= p_t - p_c) & (p_t - p_c <= high)
            least = min(
                least, stats.binom.pmf(x_c, n_c, p_c) @ holds @ stats.binom.pmf(x_t, n_t, p_t)
            )
    return least


def guard_rate_coverage(interval):
    assert exact_coverage(interval) >= 0.93


def test_interval_for_rates_covers_where_the_plain_one_does_not():
    guard_rate_coverage(agresti_caffo)
    caught(guard_rate_coverage, wald)
    assert exact_coverage(wald) < 0.40  # 20 and 500 users at 2 %: often no conversion, so no width


GRIDS = [(12, 12), (5, 30), (40, 7)]
PAIRS = [
    (x_c, n_c, x_t, n_t) for n_c, n_t in GRIDS for x_c in range(n_c + 1) for x_t in range(n_t + 1)
]


def guard_agresti_caffo(compare):
    """Interval and p-value are those of statsmodels, for every outcome of small arms and some of large ones."""
    for four in [*PAIRS, (3, 400, 11, 390), (120, 1_000, 90, 800), (0, 50_000, 17, 50_000)]:
        r, (x_c, n_c, x_t, n_t) = compare(*four), four
        ends = np.clip(agresti_caffo(*four), -1, 1)
        assert [r.ci_low, r.ci_high] == pytest.approx(ends, abs=1e-12)
        with np.errstate(all="ignore"):  # it also divides one rate by the other
            test = test_proportions_2indep(
                x_t, n_t, x_c, n_c, compare="diff", method="agresti-caffo"
            )
        assert [r.t, r.p_value] == pytest.approx([test.statistic, test.pvalue], rel=1e-9, abs=1e-12)
        assert r.lift == pytest.approx(x_t / n_t - x_c / n_c, abs=1e-12)
        assert r.ci_low <= r.lift <= r.ci_high


def guard_rate_swap(compare):
    """With the arms exchanged everything is mirrored, the relative numbers where both are bounded."""
    for x_c, n_c, x_t, n_t in PAIRS:
        there, back = compare(x_c, n_c, x_t, n_t), compare(x_t, n_t, x_c, n_c)
        seen = fields(
            back, "lift", "t", "ci_low", "ci_high", "p_value", "se", "mean_control", "sd_control"
        )
        want = fields(
            there,
            "lift",
            "t",
            "ci_high",
            "ci_low",
            "p_value",
            "se",
            "mean_treatment",
            "sd_treatment",
        )
        assert seen == pytest.approx([-x for x in want[:4]] + want[4:], abs=1e-12)
        if math.isfinite(there.relative_ci_low + back.relative_ci_low) and x_c and x_t:
            seen = fields(back, "relative_lift", "relative_ci_low", "relative_ci_high")
            want = fields(there, "relative_lift", "relative_ci_high", "relative_ci_low")
            assert seen == pytest.approx([mirrored(x) for x in want], rel=1e-9, abs=1e-12)


def guard_rate_agreement(compare):
    """p below .05, zero outside the interval, and zero outside the relative one where that is bounded: all or none.

    It is unbounded just where the control rate (one conversion and one non-conversion added) may be zero.
    """
    for four in PAIRS:
        r, (x_c, n_c, *_) = compare(*four), four
        p = (x_c + 1) / (n_c + 2)
        assert math.isfinite(r.relative_ci_low) == (
            p / math.sqrt(p * (1 - p) / (n_c + 2)) > stats.norm.ppf(0.975)
        )
        assert (r.ci_low > 0 or r.ci_high < 0) == (r.p_value < 0.05)
        if math.isfinite(r.relative_ci_low):
            assert (r.relative_ci_low > 0 or r.relative_ci_high < 0) == (r.p_value < 0.05)
        assert math.isnan(r.relative_lift) == (x_c == 0)
        assert x_c == 0 or r.relative_ci_low <= r.relative_lift <= r.relative_ci_high


def plain_rates(x_c, n_c, x_t, n_t):
    """The plain formula behind an honest relative interval."""
    r, (low, high) = inference.compare_rates(x_c, n_c, x_t, n_t), wald(x_c, n_c, x_t, n_t)
    return dataclasses.replace(r, ci_low=float(low), ci_high=float(high))


def rates_by_control(x_c, n_c, x_t, n_t):
    """Divides the interval by the control rate, as if that were known."""
    r = inference.compare_rates(x_c, n_c, x_t, n_t)
    low, high = (end / r.mean_control if x_c else end * math.inf for end in (r.ci_low, r.ci_high))
    return dataclasses.replace(r, relative_ci_low=low, relative_ci_high=high)


def half_added(x_c, n_c, x_t, n_t):
    """Control's conversions get the extra one, treatment's do not."""
    r = inference.compare_rates(x_c, n_c, x_t, n_t)
    shift = 1 / (n_t + 2)
    return dataclasses.replace(r, ci_low=r.ci_low - shift, ci_high=r.ci_high - shift)


RATE_GUARDS = {
    guard_agresti_caffo: (plain_rates, half_added),
    guard_rate_swap: (rates_by_control, half_added),
    guard_rate_agreement: (plain_rates, rates_by_control),
}


@pytest.mark.parametrize("guard", RATE_GUARDS)
def test_rates(guard):
    guard(inference.compare_rates)
    for faulty in RATE_GUARDS[guard]:
        caught(guard, faulty)


# Segment by segment


@pytest.fixture(scope="module")
def log():
    """Five segments in an order of their own, one of them empty, one too small, one without variation in revenue."""
    rng = np.random.default_rng(2)
    segment = np.concatenate([rng.choice(["b", "a", "c"], 600), ["few"] * 4, ["flat"] * 10])
    n = len(segment)
    log = pd.DataFrame(
        {
            "band": pd.Categorical(segment, categories=["c", "few", "nobody", "b", "flat", "a"]),
            "group": np.where(rng.random(n) < 0.3, "control", "treatment"),
            "revenue": np.where(segment == "flat", 5.0, rng.gamma(2, 10, n)),
            "converted": rng.integers(0, 2, n),
        }
    )
    log.loc[log["band"] == "few", "group"] = ["control", *["treatment"] * 3]
    return log.sample(frac=1, random_state=1)


def guard_segments(compare, log):
    """Every segment, in its order, is the comparison made by hand; one that cannot be tested keeps its counts."""
    for outcome, untestable in (("revenue", ["few", "flat"]), ("converted", ["few"])):
        table = compare(log, "band", outcome, confidence=0.9, control_share=0.3)
        assert table.index.tolist() == ["c", "few", "b", "flat", "a"]
        assert table.index.name == "band"
        assert table[["n_control", "n_treatment"]].to_numpy().sum() == len(log)
        for name, row in table.iterrows():
            part = log[log["band"] == name]
            control, treatment = (
                part.loc[part["group"] == arm, outcome] for arm in experiment.ARMS
            )
            counts = [len(control), len(treatment)]
            assert row[["n_control", "n_treatment"]].tolist() == counts
            assert row["ratio_p"] == pytest.approx(experiment.sample_ratio_p(*counts, 0.3))
            if name in untestable:
                assert row.drop(["n_control", "n_treatment", "ratio_p"]).isna().all()
                continue
            if outcome == "revenue":
                by_hand = inference.compare_means(control, treatment, 0.9)
            else:
                by_hand = inference.compare_rates(
                    int(control.sum()), counts[0], int(treatment.sum()), counts[1], 0.9
                )
            for field, value in dataclasses.asdict(by_hand).items():
                assert row[field] == pytest.approx(value, nan_ok=True), (name, field)


FAULTY_SEGMENTS = {
    "drops what cannot be tested": lambda table: table.dropna(subset="lift"),
    "sorts by name": lambda table: table.sort_index(),
    "forgets the counts": lambda table: table.where(table["lift"].notna()),
    "mirrors the arms": lambda table: table.assign(lift=-table["lift"]),
    "checks for half and half": lambda table: table.assign(
        ratio_p=[
            experiment.sample_ratio_p(*map(int, n))
            for n in table[["n_control", "n_treatment"]].to_numpy()
        ]
    ),
}


def test_segments_one_by_one(log):
    guard_segments(heterogeneity.compare_segments, log)


@pytest.mark.parametrize("fault", FAULTY_SEGMENTS)
def test_faulty_tables_of_segments_are_caught(log, fault):
    def faulty(*arguments, **options):
        return FAULTY_SEGMENTS[fault](heterogeneity.compare_segments(*arguments, **options))

    caught(lambda compare: guard_segments(compare, log), faulty)


@pytest.mark.parametrize("outcome", ["revenue", "converted"])
def test_swapped_arms_in_every_segment(log, outcome):
    there = heterogeneity.compare_segments(log, "band", outcome, control_share=0.3)
    back = heterogeneity.compare_segments(
        log, "band", outcome, control="treatment", control_share=0.7
    )
    sign = pd.DataFrame(
        {"lift": -there["lift"], "ci_low": -there["ci_high"], "ci_high": -there["ci_low"]}
    )
    same = there.rename(columns={"n_control": "n_treatment", "n_treatment": "n_control"})
    same = same[["n_control", "n_treatment", "p_value", "se", "ratio_p"]].join(sign)
    assert_frame_equal(back[list(same)], same)


def test_segments_of_numbers_keep_their_order():
    log = pd.DataFrame(
        {"k": [10, 9, 2, 1] * 4, "group": np.repeat(experiment.ARMS, 8), "y": range(16)}
    )
    assert heterogeneity.compare_segments(log, "k", "y").index.tolist() == [1, 2, 9, 10]


def test_a_rate_is_zeros_and_ones_only():
    rates = [(0, 1), (0.0, 1.0), (True, False), (1, 1)]
    others = [(0, 2), (0, 0.5), (0, math.nan), (-1, 1)]
    assert [heterogeneity.is_rate(pd.Series(pair)) for pair in rates + others] == [True] * 4 + [
        False
    ] * 4


# Do the effects differ?


def pooled_many(lift, se):
    """`heterogeneity.pool` on every row: lift, se and p-value of Cochran's test."""
    weights = 1 / se**2
    mean = (weights * lift).sum(axis=1) / weights.sum(axis=1)
    q = (weights * (lift - mean[:, None]) ** 2).sum(axis=1)
    return mean, 1 / np.sqrt(weights.sum(axis=1)), stats.chi2.sf(q, lift.shape[1] - 1)


def guard_pool(pool):
    """Weights, interval and Q, against the formula written out for many random tables."""
    rng = np.random.default_rng(3)
    for k in (2, 3, 4, 8):
        lift, se = rng.normal(0, 3, (25, k)), rng.uniform(0.2, 3, (25, k))
        for i, (mean, mean_se, p) in enumerate(zip(*pooled_many(lift, se), strict=True)):
            r = pool(lift[i], se[i], confidence=0.9)
            half = stats.norm.ppf(0.95) * mean_se
            seen = fields(r, "lift", "se", "ci_low", "ci_high", "q_p_value", "df")
            assert seen == pytest.approx([mean, mean_se, mean - half, mean + half, p, k - 1])
            assert r.p_value == pytest.approx(2 * stats.norm.sf(abs(mean / mean_se)))
            assert r.q == pytest.approx(stats.chi2.isf(p, k - 1), rel=1e-6)


def plain_average(lift, se, confidence=0.95):
    r = heterogeneity.pool(lift, np.full(len(lift), np.mean(se)), confidence)
    return r._replace(lift=float(np.mean(lift)))


def weights_by_se(lift, se, confidence=0.95):
    return heterogeneity.pool(lift, np.sqrt(se), confidence)


def test_pool():
    guard_pool(heterogeneity.pool)
    for faulty in (plain_average, weights_by_se):
        caught(guard_pool, faulty)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("lift", [0, 0.3, -7])
def test_equal_lifts_are_pooled_in_silence(lift):
    r = heterogeneity.pool([lift] * 3, [1, 2, 3])
    assert fields(r, "lift", "q", "q_p_value") == pytest.approx([lift, 0, 1], abs=1e-12)


def guard_saturated(pool, log):
    """Cochran's Q on Welch's standard errors is the robust Wald test of all interactions with the segment."""
    rows = log[log["band"].isin(["a", "b", "c"])].assign(band=log["band"].astype(str))
    rows["treated"] = (rows["group"] == "treatment").astype(int)
    table = heterogeneity.compare_segments(rows, "band", "revenue")
    fit = smf.ols("revenue ~ C(band) * treated", rows).fit(cov_type="HC2")
    crossed = [name for name in fit.params.index if ":" in name]
    wald_test = fit.wald_test(
        np.eye(len(fit.params))[[list(fit.params.index).index(x) for x in crossed]], scalar=True
    )
    r = pool(table["lift"], table["se"])
    assert wald_test.df_denom == r.df == 2
    assert [r.q, r.q_p_value] == pytest.approx([wald_test.statistic, wald_test.pvalue], rel=1e-9)


def test_q_is_the_wald_test_of_a_saturated_regression(log):
    guard_saturated(heterogeneity.pool, log)
    caught(lambda pool: guard_saturated(pool, log), plain_average)


SPREADS = np.array([1.0, 2.0, 0.5, 3.0])


def simulated_lifts(true, seed=4):
    return np.random.default_rng(seed).normal(true, SPREADS, (5 * RUNS, 4)), np.broadcast_to(
        SPREADS, (5 * RUNS, 4)
    )


def lifts_of_small_clusters(n=40, seed=5):
    """Lifts and Welch's standard errors of four clusters of n customers, without any effect."""
    rng = np.random.default_rng(seed)
    outcome = rng.normal(50, 10, (4 * 2 * RUNS, n))
    runs = inference.welch_many(outcome, np.broadcast_to(np.arange(n) % 2 == 0, outcome.shape))
    return tuple(runs[name].to_numpy().reshape(-1, 4) for name in ("lift", "se"))


def guard_equal_effects(many):
    """With equal true effects Q alarms in 5 % of experiments and the pooled interval holds the effect in 95 %."""
    mean, se, p = many(*simulated_lifts(2.0))
    assert share(p < 0.05) == pytest.approx(0.05, abs=0.006)
    assert covers(mean - 1.96 * se, mean + 1.96 * se, 2.0) == pytest.approx(0.95, abs=0.006)


def test_equal_effects():
    guard_equal_effects(pooled_many)
    caught(guard_equal_effects, lambda lift, se: pooled_many(lift, np.full_like(se, se.mean())))
    caught(guard_equal_effects, lambda lift, se: pooled_many(lift, 1.1 * se))


def test_q_alarms_a_little_too_often_in_clusters_of_40():
    """Its standard errors are estimated, and treated as known: 5 % become 6 or 7."""
    mean, se, p = pooled_many(*lifts_of_small_clusters())
    assert 0.05 < share(p < 0.05) < 0.08
    assert 0.93 < covers(mean - 1.96 * se, mean + 1.96 * se, 0) < 0.95


def test_power_of_q_rises_with_heterogeneity():
    found = [
        share(pooled_many(*simulated_lifts(2 + np.array([-1, 1, 1, -1]) * d))[2] < 0.05)
        for d in (0, 0.5, 1, 2)
    ]
    assert all(low + 0.05 < high for low, high in pairwise(found))
    assert found[-1] > 0.85


def gail_simon_p(lift):
    both = (lift > 0).any(axis=1) & (lift < 0).any(axis=1)
    return np.array(
        [
            heterogeneity.gail_simon(row, np.ones(len(row)))[1] if b else 1
            for row, b in zip(lift, both, strict=True)
        ]
    )


def guard_signs(p_values):
    """Segments whose effects have one sign, or none: at most 5 % alarms, 5 % just where all but one huge are zero."""
    rng, runs = np.random.default_rng(6), 1_500
    band = 3.2 * math.sqrt(0.05 * 0.95 / runs)
    for true, low, high in (
        ([50, 0], 0.05, 0.05),
        ([-50, 0, 0, 0], 0.05, 0.05),
        ([50, 50, 50, 0], 0, 0.05),  # room for one wrong sign only
        ([0, 0, 0, 0], 0, 0.01),
        ([1, 2, 3, 4], 0, 0.01),
    ):
        alarms = share(p_values(rng.normal(true, 1, (runs, len(true)))) < 0.05)
        assert low - band <= alarms <= high + band, true
    for true, least in (([3, -3, 3, -3], 0.8), ([4, 4, 4, -4], 0.8)):
        assert share(p_values(rng.normal(true, 1, (runs, 4))) < 0.05) > least


def any_difference_p(lift):
    """Cochran's test: it alarms when effects differ, of whatever sign."""
    return pooled_many(lift, np.ones_like(lift))[2]


def all_segments_p(lift):
    """Takes the sum over one sign for a chi-square with all segments but one."""
    squares = [np.where(side, lift**2, 0).sum(axis=1) for side in (lift > 0, lift < 0)]
    return stats.chi2.sf(np.minimum(*squares), lift.shape[1] - 1)


def test_test_for_different_signs():
    guard_signs(gail_simon_p)
    for faulty in (any_difference_p, all_segments_p, lambda lift: gail_simon_p(lift) / 2):
        caught(guard_signs, faulty)


def small_cells(lift_of, m, n, rate, sure=None, runs=2_000, seed=20):
    """Lift and se, runs x m segments of n users an arm, without effect; `sure`: control, treatment in the first."""
    every = [[inference.compare_rates(c, n, t, n) for t in range(n + 1)] for c in range(n + 1)]
    lift, se = (
        np.array([[of(r) for r in row] for row in every]) for of in (lift_of, lambda r: r.se)
    )
    rates = np.full((2, m), rate)
    rates[:, 0] = rates[:, 0] if sure is None else sure
    counts = tuple(np.random.default_rng(seed).binomial(n, rates[:, None], (2, runs, m)))
    return lift[counts], se[counts]


def small_cell_alarms(lift_of):
    """How often Q sees a difference, and Gail and Simon's test a change of sign, where there is none.

    For the sign also in its hardest case, beside a segment that gains for sure. One row a design.
    """
    found = []
    for m, n, rate in ((10, 10, 0.3), (20, 10, 0.4)):
        plain, beside = (small_cells(lift_of, m, n, rate, sure) for sure in (None, (0, 1)))
        signs = [
            [heterogeneity.gail_simon(*row)[1] for row in zip(*runs, strict=True)]
            for runs in (plain, beside)
        ]
        found.append([share(np.less(p, 0.05)) for p in (pooled_many(*plain)[2], *signs)])
    return np.array(found)


def guard_small_cells(alarms):
    assert (alarms <= 0.05 + 3.2 * math.sqrt(0.05 * 0.95 / 2_000)).all(), alarms


def centre_of_interval(r):
    return r.t * r.se


def raw_lift(r):
    return r.lift


def test_rates_of_small_segments_are_pooled_by_the_centre_of_their_interval():
    guard_small_cells(small_cell_alarms(centre_of_interval))
    raw = small_cell_alarms(raw_lift)  # not the lift that its standard error belongs to
    caught(guard_small_cells, raw)
    assert (raw[:, [0, 2]] > 0.10).all()


def test_gains_and_losses_are_treated_alike():
    rng = np.random.default_rng(7)
    for k in (2, 3, 6):
        lift, se = rng.normal(0, 2, k), rng.uniform(0.5, 2, k)
        statistic, p = heterogeneity.gail_simon(lift, se)
        assert heterogeneity.gail_simon(-lift, se) == pytest.approx((statistic, p))
        assert heterogeneity.gail_simon(10 * lift[::-1], 10 * se[::-1]) == pytest.approx(
            (statistic, p)
        )
        assert heterogeneity.gail_simon(abs(lift), se) == (0, 1)


# A thousand replays, and the generator itself

TRUE_LIFTS = np.array([0.03, 0.01, -0.01])
CAREFUL, WORTH, LOGS = 1 - 0.05 / 3, 0.01, 60


def by_age(log):
    banded = log.assign(age_band=segments.age_band(log["age"]))
    return heterogeneity.compare_segments(banded, "age_band", "converted", confidence=CAREFUL)


@pytest.fixture(scope="module")
def generated():
    """Lift and interval of every age band in new logs from the generator: three arrays, logs x bands."""
    make_log = runpy.run_path(str(data.FOLDER / "make_data.py"))["make_log"]
    tables = [by_age(make_log(seed)) for seed in range(1_000, 1_000 + LOGS)]
    return [np.array([table[name] for table in tables]) for name in ("lift", "ci_low", "ci_high")]


def replay(se, truth=TRUE_LIFTS, confidence=CAREFUL):
    """Notebook 06's draws: a thousand estimates around the truth, with their intervals."""
    estimates = truth + se * np.random.default_rng(42).normal(size=(2, 10_000, len(se)))[0][:1000]
    half = stats.norm.ppf((1 + confidence) / 2) * se
    return estimates, estimates - half, estimates + half


def decided(low, high):
    """True where the decision is taken, kinds x runs x bands."""
    ends = zip(low.ravel(), high.ravel(), strict=True)
    found = np.reshape([words.decision(*pair, WORTH) for pair in ends], low.shape)
    return np.array([found == kind for kind in (words.SHIP, words.HOLD, words.COLLECT)])


def guard_spread(replayed, generated):
    """The lifts of the logs lie around the truth as those of the replays do."""
    z = (generated[0] - replayed[0].mean(axis=0)) / replayed[0].std(axis=0)
    assert abs(z.mean()) <= 3.2 / math.sqrt(z.size)
    assert abs(z.std() - 1) <= 3.2 / math.sqrt(2 * z.size)


def alike(often, seen):
    """Whether hits (runs x kinds) are as frequent in the logs as in the replays, up to the luck of 60 and of 1,000.

    A share p may be off by 3.2 * sqrt(p * (1 - p) * (1 / 60 + 1 / 1000)), with two hits and two misses added to p.
    """
    p = (often.sum(axis=0) + 2) / (len(often) + 4)
    return (
        np.abs(seen.mean(axis=0) - p)
        <= 3.2 * np.sqrt(p * (1 - p) * (1 / len(seen) + 1 / len(often)))
    ).all()


def guard_decisions(replayed, generated):
    for often, seen in zip(decided(*replayed[1:]), decided(*generated[1:]), strict=True):
        assert alike(often, seen)


def guard_replay_coverage(replayed, generated):
    """Of each interval alone, and of all three together."""
    held = [(low <= TRUE_LIFTS) & (high >= TRUE_LIFTS) for _, low, high in (replayed, generated)]
    assert alike(*(np.column_stack([hit, hit.all(axis=1)]) for hit in held))


REPLAY_GUARDS = {
    guard_spread: {
        "as if with half of the users": lambda se: replay(math.sqrt(2) * se),
        "as if with twice the users": lambda se: replay(se / math.sqrt(2)),
        "around no effect": lambda se: replay(se, 0 * TRUE_LIFTS),
    },
    guard_decisions: {
        "as if with half of the users": lambda se: replay(math.sqrt(2) * se),
        "as if with twice the users": lambda se: replay(se / math.sqrt(2)),
        "arms swapped": lambda se: replay(se, -TRUE_LIFTS),
        "bands in another order": lambda se: replay(se, TRUE_LIFTS[::-1]),
    },
    guard_replay_coverage: {
        "around no effect": lambda se: replay(se, 0 * TRUE_LIFTS),
        "intervals of 68 %": lambda se: replay(se, confidence=0.68),
    },
}


@pytest.fixture(scope="module")
def shipped_se():
    return by_age(data.load_log())["se"].to_numpy()


@pytest.mark.parametrize("guard", REPLAY_GUARDS)
def test_replays_are_what_the_generator_does(generated, shipped_se, guard):
    guard(replay(shipped_se), generated)
    for faulty in REPLAY_GUARDS[guard].values():
        caught(lambda replayed: guard(replayed, generated), faulty(shipped_se))


def guard_replay_table(replay, se):
    """These replays are notebook 06's: its stored table has their false ships and missed wins, to the digit."""
    path = next(path for path in notebooks.find() if path.name.startswith("06"))
    outputs = [
        o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])
    ]
    texts = [o["data"]["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    row = next(text for text in texts if "wins that are missed" in text).rpartition(
        "corrected intervals</th>"
    )[2]
    ships = decided(*replay(se)[1:])[0]
    false, missed = ships[:, TRUE_LIFTS <= 0].any(axis=1), ~ships[:, TRUE_LIFTS >= WORTH]
    assert [f"<td>{share(x):.1%}</td>" for x in (false, missed)] == re.findall(r"<td>.*?</td>", row)


def test_replays_are_those_of_notebook_06(shipped_se):
    guard_replay_table(replay, shipped_se)
    caught(
        lambda replay: guard_replay_table(replay, shipped_se),
        lambda se: replay(se, confidence=0.95),
    )


# Adjustment for a baseline


def experiment_with_baseline(n=60, k=1, seed=8, lift=3.0):
    rng = np.random.default_rng(seed)
    baseline = rng.normal(50, 10, (n, k))
    treated = rng.permuted(np.arange(n) % 3 == 0)
    outcome = 20 + 0.6 * baseline.sum(axis=1) + rng.normal(0, 5, n) * (1 + treated) + lift * treated
    return outcome, treated, baseline[:, 0] if k == 1 else baseline


def guard_regression(compare):
    """Lift, se, t, df, p and interval are statsmodels' HC2 regression's; the ends of the relative interval are the
    ratios that its t-test just does not reject."""
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
    """Neither the zero point nor the unit of the baseline moves anything, the relative interval included."""
    for interacted, k in product((False, True), (1, 3)):
        y, treated, x = experiment_with_baseline(k=k)
        plain = dataclasses.astuple(compare(y, treated, x, interacted=interacted))
        for moved in (x + 1_000, 2.54 * x, -x, 1e5 * (x - 32)):
            assert dataclasses.astuple(
                compare(y, treated, moved, interacted=interacted)
            ) == pytest.approx(plain)


def at_a_baseline_of_zero(y, treated, x, confidence=0.95, interacted=False):
    """Forgets to centre: the means, and so the relative lift, are those of customers whose baseline is 0."""
    r = adjustment.compare_adjusted(y, treated, x, confidence, interacted)
    x = x.reshape(len(y), -1)
    slopes = np.linalg.lstsq(np.column_stack([np.ones(len(y)), treated, x]), y)[0][2:]
    mean = r.mean_control - float(x.mean(axis=0) @ slopes)
    return dataclasses.replace(r, mean_control=mean, relative_lift=r.lift / mean)


def always_one_slope(y, treated, x, confidence=0.95, interacted=False):
    return adjustment.compare_adjusted(y, treated, x, confidence)


def means_as_if_independent(y, treated, x, confidence=0.95, interacted=False):
    """Leaves the covariance of the two adjusted means out of the relative interval."""
    true = inference.fieller_interval
    with (
        mock.patch.object(inference, "fieller_interval", lambda *six: true(*six[:5])) as faulty,
        mock.patch.object(
            adjustment, "fieller_interval", faulty, create=True
        ),  # wherever it is called from
    ):
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


def slope_within(y, x, *arms):
    """The slope of y on x, both measured from their arm's mean, over all the arms given."""
    inside = [[a[arm] - a[arm].mean() for arm in arms] for a in (y, x)]
    dy, dx = (np.concatenate(parts) for parts in inside)
    return float(dx @ dy / (dx @ dx))


def guard_cuped(compare):
    """Adjusting is CUPED: subtract theta * (x - mean of x) and compare the plain means.

    One theta for both arms is the slope pooled inside them; with interaction each arm has a theta of its own.
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
    """Theta from all customers at once, arms mixed: a part of the lift is adjusted away or invented."""
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


def adjusted_runs(n, rho=0.8, lift=0.0, runs=RUNS, seed=10):
    """Outcome (sd 1 in either arm), treated, and the baseline that the customers share in all runs."""
    rng = np.random.default_rng(seed)
    baseline = stats.zscore(rng.normal(0, 1, n))
    treated = rng.permuted(np.tile(np.arange(n) % 2 == 0, (runs, 1)), axis=1)
    noise = rng.normal(0, math.sqrt(1 - rho**2), treated.shape)
    return rho * baseline + noise + lift * treated, treated, baseline


def guard_adjusted_coverage(many):
    """The interval holds the lift in 95 % of runs, so false alarms come in 5 %, however good the baseline is."""
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
    """The relative interval holds the relative lift of these customers in 95 % of runs, a doubling included."""
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
    assert (
        covers(plain["ci_low"], plain["ci_high"], 1.0) > 0.985
    )  # too wide: the blocks are in it as noise
    assert plain["se"].mean() > 1.8 * adjusted["se"].mean()
    np.testing.assert_allclose(
        plain["lift"], adjusted["lift"]
    )  # balanced in every block, so one lift


# Early looks


def paths(times, drift=0.0, runs=10_000, seed=12):
    """z at each look of experiments that never stop, runs x looks."""
    times = np.asarray(times, dtype=float)
    steps = np.random.default_rng(seed).normal(
        0, np.sqrt(np.diff(times, prepend=0)), (runs, len(times))
    )
    return (steps.cumsum(axis=1) + drift * times) / np.sqrt(times)


def first_crossing(z, bounds):
    """The share of paths that reach their bound first at each look."""
    beyond = np.abs(z) >= bounds
    return (beyond & (beyond.cumsum(axis=1) == 1)).mean(axis=0)


def equal(looks):
    return np.arange(1, looks + 1) / looks


LOOK_BAND = 3.2 * math.sqrt(0.05 * 0.95 / 10_000)  # 0.7 points
SCHEDULES = [equal(looks) for looks in (2, 5, 10, 20)]
UNEQUAL = [
    np.array(times) for times in ([0.1, 0.15, 0.5, 0.95, 1], [0.05, 1], [0.5, 0.505, 0.51, 1])
]


def guard_promise(bounds_at, schedules=SCHEDULES, exact=True):
    """Whoever stops at the first crossing has 5 % false alarms in all; not many fewer, if the rule is exact."""
    for times in schedules:
        alarms = first_crossing(paths(times), bounds_at(times)).sum()
        assert alarms <= 0.05 + LOOK_BAND, len(times)
        assert alarms >= (0.05 - LOOK_BAND if exact else 0.01), len(times)


def planned(rule):
    return lambda times: sequential.bounds(len(times), rule)


@pytest.mark.parametrize("rule", sequential.RULES)
def test_planned_looks_keep_the_promise(rule):
    guard_promise(planned(rule), exact=rule != "bonferroni")


def test_spending_keeps_the_promise_at_any_times():
    guard_promise(sequential.spending_bounds, SCHEDULES + UNEQUAL)


def spends_all_each_time(times):
    """Takes what may be spent by each look for what may be spent at it."""
    return np.array([sequential.spending_bounds([time])[0] for time in times])


@pytest.mark.parametrize(
    "faulty",
    [
        lambda times: np.full(len(times), 1.96),
        lambda times: planned("pocock")(times[1:]),
        lambda times: planned("obrien-fleming")(times) * 0.95,
        spends_all_each_time,
    ],
    ids=["peeking", "one look forgotten", "a little lower", "spent twice"],
)
def test_broken_promises_about_looks_are_caught(faulty):
    caught(
        lambda bounds_at: guard_promise(lambda times: np.resize(bounds_at(times), len(times))),
        faulty,
    )


def test_peeking_raises_false_alarms():
    alarms = [first_crossing(paths(times), 1.96).sum() for times in SCHEDULES]
    for seen, times, known in zip(alarms, SCHEDULES, (0.083, 0.142, 0.193, 0.248), strict=True):
        exact = sequential.crossing_probabilities(
            np.full(len(times), stats.norm.ppf(0.975)), times
        ).sum()
        assert [seen, exact] == pytest.approx(
            [known] * 2, abs=0.012
        )  # Armitage, McPherson and Rowe's table
        assert exact == pytest.approx(known, abs=0.0006)


@pytest.mark.parametrize("looks", [1, 2, 3, 7, 20])
def test_alpha_is_spent_to_the_last_drop(looks):
    times = equal(looks)
    for alpha in (0.01, 0.05, 0.2):
        plans = [sequential.bounds(looks, rule, alpha) for rule in sequential.RULES]
        plans.append(sequential.spending_bounds(times, alpha))
        spent = [sequential.crossing_probabilities(bounds, times).sum() for bounds in plans]
        assert spent[1:] == pytest.approx([alpha] * 3, abs=1e-8)
        assert spent[0] <= alpha + 1e-12
        assert (spent[0] == pytest.approx(alpha)) == (looks == 1)


def guard_crossings(crossing):
    """Where, and how often, paths with an effect are stopped: as simulated."""
    for times in (equal(5), UNEQUAL[0], UNEQUAL[2]):
        bounds = sequential.spending_bounds(times)
        for drift in (0, -2, 3.24):
            simulated = first_crossing(paths(times, drift), bounds)
            assert crossing(bounds, times, drift) == pytest.approx(simulated, abs=0.016)


def test_crossing_probabilities_are_the_simulated_ones():
    guard_crossings(sequential.crossing_probabilities)
    caught(
        guard_crossings,
        lambda b, t, drift: sequential.crossing_probabilities(b, equal(len(t)), drift),
    )
    caught(
        guard_crossings, lambda b, t, drift: sequential.crossing_probabilities(b, t, 1.1 * drift)
    )
    caught(
        guard_crossings,
        lambda b, t, drift: np.diff(stats.norm.sf(b - drift * np.sqrt(t)), prepend=0),
    )


def rectangles(bounds, times, drift):
    """First crossings from scipy's multivariate normal: how often |z| stays below the first 1, 2 ... bounds."""
    b, t = np.asarray(bounds), np.asarray(times)
    corr, mean = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)), drift * np.sqrt(t)
    mvn = stats.multivariate_normal
    stays = [
        mvn.cdf(b[:k], mean[:k], corr[:k, :k], lower_limit=-b[:k], rng=1)
        for k in range(1, len(b) + 1)
    ]
    return -np.diff(stays, prepend=1.0)


def guard_near_last_look(crossing):
    """A last look just after the one before follows no path to its end, and is right.

    So it takes no time; `make bench` has the target.
    """
    for bounds, times in (
        ([2.5, 2.2, 1.96], [0.5, 1, 1.001]),
        ([3.0, 2.4, 2.1, 2.0], [0.3, 0.6, 0.999, 1]),
    ):
        for drift in (0, 2):
            with mock.patch.object(sequential, "_go_on", wraps=sequential._go_on) as followed:
                found = crossing(bounds, times, drift)
            assert all(call.args[1] < times[-1] for call in followed.call_args_list)
            assert found == pytest.approx(rectangles(bounds, times, drift), abs=1e-3)


def follows_to_the_end(bounds, times, drift):
    found = sequential.crossing_probabilities(bounds, times, drift)
    sequential._go_on(
        (np.zeros(1), np.ones(1), times[-2]), times[-1], bounds[-1], times[-1] - times[-2], drift
    )
    return found


def last_look_as_if_alone(bounds, times, drift):
    found = sequential.crossing_probabilities(bounds, times, drift)
    alone = sequential.crossing_probabilities(bounds[-1:], times[-1:], drift)
    return np.append(found[:-1], max(0, alone[0] - found[:-1].sum()))


def test_a_last_look_that_is_near():
    guard_near_last_look(sequential.crossing_probabilities)
    for faulty in (follows_to_the_end, last_look_as_if_alone):
        caught(guard_near_last_look, faulty)


def guard_prefix(bounds_at):
    """A bound hangs on the looks so far alone, not on those to come."""
    times = UNEQUAL[0]
    for looks in range(1, len(times)):
        for ending in ([], [1]):
            assert bounds_at([*times[:looks], *ending])[:looks] == pytest.approx(
                bounds_at(times)[:looks], abs=1e-9
            )


def test_spending_does_not_look_ahead():
    guard_prefix(sequential.spending_bounds)
    caught(guard_prefix, planned("pocock"))
    assert sequential.spending_bounds([0.01, 1]) == pytest.approx(
        [30, stats.norm.ppf(0.975)]
    )  # nothing to spend yet


def test_rules_in_order():
    """Pocock's bound is constant and lower than Bonferroni's; O'Brien and Fleming's falls from high to almost 1.96."""
    for times in SCHEDULES:
        bonferroni, pocock, falling = (planned(rule)(times) for rule in sequential.RULES)
        assert np.ptp(pocock) == 0
        assert pocock[0] < bonferroni[0]
        assert falling * np.sqrt(times) == pytest.approx(falling[-1])
        assert 1.96 < falling[-1] < pocock[0]
        assert (np.diff(sequential.spending_bounds(times)) < 0).all()


@pytest.fixture(scope="module")
def monitored():
    """Lift and standard error of 2,000 experiments after every pair of customers, from 20 pairs to 2,000."""
    rng, n = np.random.default_rng(13), np.arange(1, 2_001)
    lift, var = np.zeros((2_000, 2_000)), np.zeros((2_000, 2_000))
    for sign, true in ((-1, 0.0), (1, 0.1)):
        outcome = rng.normal(true, 1, lift.shape)
        mean = outcome.cumsum(axis=1) / n
        lift += sign * mean
        var += (np.square(outcome).cumsum(axis=1) / n - mean**2) / np.maximum(n - 1, 1)
    return lift[:, 19:], np.sqrt(var[:, 19:])


def always_valid(lift, se, tau=0.2):
    return sequential.always_valid_interval(lift, se, tau)


def guard_always(interval, monitored):
    """The true lift (0.1) is inside at all 1,981 moments at once in 95 % of experiments."""
    low, high = interval(*monitored)
    assert share(((low <= 0.1) & (high >= 0.1)).all(axis=1)) >= 0.95 - 3.2 * math.sqrt(
        0.05 * 0.95 / 2_000
    )


def fixed_interval(lift, se):
    return lift - 1.96 * se, lift + 1.96 * se


def test_always_valid_interval_holds_at_all_times_at_once(monitored):
    guard_always(always_valid, monitored)
    caught(lambda interval: guard_always(interval, monitored), fixed_interval)
    caught(
        lambda interval: guard_always(interval, monitored),
        lambda lift, se: always_valid(lift, 0.8 * se),
    )
    low, high = fixed_interval(*monitored)
    assert share(((low <= 0.1) & (high >= 0.1)).all(axis=1)) < 0.7


def guard_narrowest(interval, tau=3.0):
    """Measured in standard errors the interval is narrowest at the moment when half of it is about tau.

    That is when a lift of tau is just being told from zero; the standard error is then tau / 2.9. The price there is
    half again the width of an interval for one look; it rises slowly to both sides of that moment.
    """
    se = tau * np.geomspace(0.01, 10, 4_001)
    low, high = interval(np.zeros_like(se), se, tau)
    in_se, best = high / se, int((high / se).argmin())
    assert low == pytest.approx(-high)
    assert se[best] == pytest.approx(tau / 2.87, rel=0.01)
    assert high[best] == pytest.approx(1.06 * tau, rel=0.01)
    assert in_se[best] / 1.96 == pytest.approx(1.55, abs=0.01)
    assert (np.diff(high) > 0).all()  # in its own unit it only ever narrows while customers come
    assert (in_se > 1.5 * 1.96).all()


def test_always_valid_interval_is_sharpest_for_lifts_of_tau():
    guard_narrowest(sequential.always_valid_interval)
    caught(
        guard_narrowest, lambda lift, se, tau: sequential.always_valid_interval(lift, se, tau**2)
    )


def test_always_valid_interval_follows_unit_lift_and_confidence():
    lift, se = np.array([[0.0, 1], [2, -3]]), np.array([[1, 0.5], [0.3, 2]])
    ends = np.array(sequential.always_valid_interval(lift, se, 0.7))
    assert ends.shape == (2, 2, 2)
    assert np.array(sequential.always_valid_interval(100 * lift, 100 * se, 70)) == pytest.approx(
        100 * ends
    )
    assert -np.array(sequential.always_valid_interval(-lift, se, 0.7))[::-1] == pytest.approx(ends)
    assert (sequential.always_valid_interval(lift, se, 0.7, confidence=0.99)[1] > ends[1]).all()


# Experiment logs

LOG_NAMES = "user_id,age,plan,group,bought,note"
LOG_ROWS = ("7,30,pro,1,True,x", "3,29,free,0,False,y", "9,64,pro,0,True,", "4,18, free,1,False,z")


@pytest.fixture
def own_log(tmp_path):
    """Write a log, then read it back with the loader that is given."""

    def write_and_load(*lines, load=data.load_log, **options):
        path = tmp_path / "log.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return load(path, **{"outcome": "bought", "control": "0"} | options)

    return write_and_load


def test_course_log():
    log = data.load_log()
    assert list(log)[-1] == "age_band"
    assert len(log) == 20_000
    assert log["age_band"].cat.categories.tolist() == list(segments.AGE_BANDS)
    assert log["age_band"].equals(segments.age_band(log["age"]).rename("age_band"))
    assert_frame_equal(log.drop(columns="age_band"), pd.read_csv(data.FOLDER / "ab_test_data.csv"))
    assert heterogeneity.is_rate(log["converted"])


def guard_own_log(load, own_log):
    """A yes-or-no outcome becomes 1 or 0, codes of arms become text, rows and extra columns stay where they are."""
    for control in ("0", 0):
        log = own_log(LOG_NAMES, *LOG_ROWS, load=load, control=control)
        assert list(log) == [*LOG_NAMES.split(","), "age_band"]
        assert log["user_id"].tolist() == [7, 3, 9, 4]
        assert log["group"].tolist() == ["1", "0", "0", "1"]
        assert log["bought"].tolist() == [1, 0, 1, 0]
        assert log["bought"].dtype == int
        assert log["age_band"].tolist() == ["30 to 39", "under 30", "40 and over", "under 30"]
        assert log["note"].isna().tolist() == [False, False, True, False]


FAULTY_LOGS = {
    "sorts": lambda log: log.sort_values("user_id"),
    "drops what it does not need": lambda log: log.drop(columns="note"),
    "drops rows with any blank": lambda log: log.dropna(),
    "leaves true and false": lambda log: log.astype({"bought": bool}),
    "leaves numbers": lambda log: log.astype({"group": int}),
}


def test_log_of_ones_own(own_log):
    guard_own_log(data.load_log, own_log)


@pytest.mark.parametrize("fault", FAULTY_LOGS)
def test_faulty_loaders_are_caught(own_log, fault):
    caught(
        lambda load: guard_own_log(load, own_log),
        lambda *a, **o: FAULTY_LOGS[fault](data.load_log(*a, **o)),
    )


def test_log_with_segments_of_its_own(own_log):
    log = own_log(LOG_NAMES, *LOG_ROWS, segment="plan", outcome="age")
    assert log["plan"].tolist() == ["pro", "free", "pro", "free"]
    assert log["age"].tolist() == [30, 29, 64, 18]
    assert "age_band" not in log
    no_id = [line.partition(",")[2] for line in (LOG_NAMES, *LOG_ROWS)]
    assert own_log(*no_id, segment="plan")["bought"].tolist() == [1, 0, 1, 0]


def test_codes_of_segments_stay_as_written_and_stand_in_order(own_log):
    """Numbers first, 2 before 10, then words; a nought in front belongs to a code, also in an arm's."""
    plans = ["10", "b", "2", "01"] * 4
    rows = [f"{i},30,{plan},0{i // 8},{i},x" for i, plan in enumerate(plans)]
    log = own_log(LOG_NAMES, *rows, segment="plan", control="00")
    assert log["plan"].tolist() == plans
    assert log["group"].unique().tolist() == ["00", "01"]
    table = heterogeneity.compare_segments(log, "plan", "bought", control="00")
    assert table.index.tolist() == ["01", "2", "10", "b"]


def test_age_bands_of_ones_own_are_text_too(own_log):
    lines = [
        line.replace("plan", "age_band").replace(" free", "2").replace("free", "2")
        for line in (LOG_NAMES, *LOG_ROWS)
    ]
    assert own_log(*(line.replace("pro", "1") for line in lines))["age_band"].tolist() == [
        "1",
        "2",
        "1",
        "2",
    ]


def test_sixty_segments_are_the_most(own_log):
    rows = [f"{i},30,p{i % 60},{i % 2},True," for i in range(120)]
    assert own_log(LOG_NAMES, *rows, segment="plan")["plan"].nunique() == data.MOST_SEGMENTS == 60
