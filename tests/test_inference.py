"""Two arms compared, by means, rates and bootstrap: error rates, coverage, symmetry.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import dataclasses
import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, test_proportions_2indep

from helpers import InputError, data, experiment, inference, power, segments
from tests.guards import caught, fields, guard_message, mirrored, share, two_arms

test_proportions_2indep.__test__ = False  # a library's function, no test of ours
RUNS = 20_000
STEADY = settings(
    deadline=None, derandomize=True, database=None, max_examples=60, phases=[Phase.generate]
)
CLUSTERED = segments.cluster_customers(data.load_customers())
SCORES = CLUSTERED.loc[CLUSTERED["Cluster"] == 1, experiment.OUTCOME]


# Error rates and coverage of means


def split(outcome, treated):
    n_c = int((~treated[0]).sum())
    return outcome[:, :n_c], outcome[:, n_c:]


FAIR_COIN = experiment.simulate_many(np.random.default_rng(3).normal(80, 10, 40), RUNS, effect=0)
DESIGNS = {
    "coin flips, equal sd": FAIR_COIN,
    "20 and 20, equal sd": two_arms(20, 20),
    "10 and 30, the small arm wild": two_arms(10, 30, 4, 1),
    "30 and 10, the large arm wild": two_arms(30, 10, 4, 1),
    "8 and 8, unequal sd": two_arms(8, 8, 1, 3),
}


def welch_p(outcome, treated):
    return inference.welch_many(outcome, treated)["p_value"]


def guard_false_alarms(p_values, designs=tuple(DESIGNS)):
    """With no effect 5 % of the tests come out below .05, whatever the arms' sizes and spreads."""
    for name in designs:
        assert 0.045 <= share(p_values(*DESIGNS[name]) < 0.05) <= 0.055, name


def pooled_variance_p(outcome, treated):
    control, treatment = split(outcome, treated)
    return stats.ttest_ind(treatment, control, axis=1).pvalue


def divided_by_n_p(outcome, treated):
    """Variances with ddof=0."""
    runs, (control, treatment) = inference.welch_many(outcome, treated), split(outcome, treated)
    se = np.sqrt(
        control.var(axis=1) / control.shape[1] + treatment.var(axis=1) / treatment.shape[1]
    )
    return 2 * stats.t.sf(runs["lift"].abs() / se, runs["df"])


def normal_p(outcome, treated):
    """The normal in place of the t distribution."""
    runs = inference.welch_many(outcome, treated)
    return 2 * stats.norm.sf(runs["lift"].abs() / runs["se"])


def test_false_alarms_of_welch():
    guard_false_alarms(welch_p)


@pytest.mark.parametrize("design", list(DESIGNS)[2:4])
def test_false_alarms_of_the_pooled_test_are_caught_in_either_direction(design):
    caught(lambda p_values: guard_false_alarms(p_values, [design]), pooled_variance_p)


@pytest.mark.parametrize(
    "faulty", [divided_by_n_p, normal_p, lambda o, t: welch_p(o, t) / 2], ids=["ddof", "z", "tail"]
)
def test_other_false_alarms_are_caught(faulty):
    caught(lambda p_values: guard_false_alarms(p_values, list(DESIGNS)[1:]), faulty)


def welch_interval(outcome, treated):
    runs = inference.welch_many(outcome, treated)
    return runs["ci_low"], runs["ci_high"]


def normal_interval(outcome, treated):
    runs = inference.welch_many(outcome, treated)
    return runs["lift"] - 1.96 * runs["se"], runs["lift"] + 1.96 * runs["se"]


def guard_coverage(interval):
    for n_c, n_t, sd_c, sd_t, lift in ((20, 20, 11, 11, 3), (10, 30, 4, 1, -2), (8, 8, 1, 3, 0)):
        low, high = interval(*two_arms(n_c, n_t, sd_c, sd_t, lift))
        assert 0.945 <= share((low <= lift) & (lift <= high)) <= 0.955


def test_t_interval_covers():
    guard_coverage(welch_interval)
    caught(guard_coverage, normal_interval)


# One comparison and many


def test_welch_many_is_compare_means_row_by_row():
    outcome, treated = experiment.replay_seeds(SCORES, range(30))
    many = inference.welch_many(outcome, treated, confidence=0.9)
    for i, row in many.iterrows():
        one = inference.compare_means(
            outcome[i][~treated[i]], outcome[i][treated[i]], confidence=0.9
        )
        for name in ("lift", "df", "p_value", "ci_low", "ci_high"):
            assert row[name] == pytest.approx(getattr(one, name), rel=1e-12)
        assert row["se"] == pytest.approx(one.lift / one.t, rel=1e-9)


SCALES = [1e-100, 1e-90, 1e-60, 1e-9, 1, 1e9, 1e60, 1e100, 1e200]


def guard_scales(compare):
    """Another unit gives the same test and the same interval in that unit, or is refused."""
    rng = np.random.default_rng(6)
    control, treatment = rng.normal(5, 2, 12), rng.normal(6, 3, 30)
    want = compare(control, treatment)
    answered = []
    for scale in SCALES:
        with np.errstate(all="raise"):
            try:
                found = compare(scale * control, scale * treatment)
            except InputError as error:
                assert "unit" in str(error)
                continue
        answered.append(scale)
        names = ("t", "df", "p_value", "relative_lift", "relative_ci_low", "relative_ci_high")
        assert fields(found, *names) == pytest.approx(fields(want, *names), rel=1e-9)
        names = ("lift", "ci_low", "ci_high", "se", "sd_control")
        assert fields(found, *names) == pytest.approx(
            [scale * value for value in fields(want, *names)], rel=1e-9
        )
    assert answered == [1e-60, 1e-9, 1, 1e9, 1e60]


def from_six_numbers(control, treatment):
    six = []
    for arm in (control, treatment):
        size = np.abs(arm).max()
        six += [arm.mean(), size * (arm / size).std(ddof=1), len(arm)]
    return inference.compare_means_from_stats(*six)


def squared_without_a_limit(control, treatment):
    var_c, var_t = control.var(ddof=1) / len(control), treatment.var(ddof=1) / len(treatment)
    df = (var_c + var_t) ** 2 / (var_c**2 / 11 + var_t**2 / 29)
    return dataclasses.replace(inference.compare_means(control, treatment), df=df)


def test_any_unit_gives_an_answer_or_a_message():
    guard_scales(inference.compare_means)
    guard_scales(from_six_numbers)
    with pytest.raises(FloatingPointError):
        guard_scales(squared_without_a_limit)


@pytest.mark.parametrize(
    "six",
    [(1, 1e-100, 20, 2, 1e-100, 20), (1, 1e200, 20, 2, 1, 20), (1e200, 1, 20, 2, 1, 20)],
    ids=["tiny sds", "a huge sd", "a huge mean"],
)
def test_six_numbers_that_cannot_be_computed_with(six):
    guard_message(from_stats(*six), "unit")


def test_narrow_numbers_of_numpy_do_not_overflow():
    """As columns of int8 or float32 hold them."""
    narrow = [np.int8(n) for n in (100, 127, 90, 127)]
    assert inference.compare_rates(*narrow) == inference.compare_rates(100, 127, 90, 127)
    six = (np.int8(-100), np.int8(20), np.uint8(200), np.int8(100), np.int8(20), np.uint8(200))
    want = inference.compare_means_from_stats(-100, 20, 200, 100, 20, 200)
    assert inference.compare_means_from_stats(*six) == want
    assert experiment.sample_ratio_p(np.uint8(200), np.uint8(56)) < 1e-10
    assert power.power(np.uint8(200), np.int8(1), 5) == power.power(200, 1, 5)


def test_whole_numbers_may_be_written_as_floats():
    """As a table with blanks elsewhere holds them."""
    means = inference.compare_means_from_stats(1, 2, 20.0, 2, 3, np.float64(30))
    assert means == inference.compare_means_from_stats(1, 2, 20, 2, 3, 30)
    assert isinstance(means.n_control, int)
    assert inference.compare_rates(2.0, 20.0, 3.0, 30) == inference.compare_rates(2, 20, 3, 30)


def test_welch_many_says_nan_where_an_arm_is_too_small():
    outcome, treated = (
        np.arange(8.0).reshape(2, 4),
        np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool),
    )
    blank = inference.welch_many(outcome, treated).isna().all(axis=1)
    assert blank.tolist() == [True, False]


# Symmetry

ARMS = st.lists(st.integers(-500, 500).map(lambda tenths: tenths / 10), min_size=2, max_size=20)


def lower_tailed(control, treatment):
    """A p-value of the lower tail beside a two-sided interval."""
    result = inference.compare_means(control, treatment)
    return dataclasses.replace(result, p_value=float(stats.t.cdf(result.t, result.df)))


def relative_by_control_mean(control, treatment):
    r = inference.compare_means(control, treatment)
    low, high = r.ci_low / r.mean_control, r.ci_high / r.mean_control
    return dataclasses.replace(r, relative_ci_low=low, relative_ci_high=high)


def standardised_by_control(control, treatment):
    """Glass's way: the standard deviation of the control arm alone."""
    r = inference.compare_means(control, treatment)
    se = r.sd_control * math.sqrt(1 / r.n_control + 1 / r.n_treatment)
    return dataclasses.replace(r, t=r.lift / se, ci_low=r.lift - 2 * se, ci_high=r.lift + 2 * se)


def guard_swap(compare):
    """With the arms exchanged lift, t and both intervals are mirrored, and the p-value stays."""
    rng = np.random.default_rng(11)
    for n_c, n_t, sd_c, sd_t, lift in ((20, 20, 10, 10, 3), (5, 30, 1, 9, -4), (200, 40, 7, 2, 25)):
        control, treatment = rng.normal(50, sd_c, n_c), rng.normal(50 + lift, sd_t, n_t)
        there, back = compare(control, treatment), compare(treatment, control)
        seen = [
            back.lift,
            back.t,
            back.df,
            back.p_value,
            back.ci_low,
            back.ci_high,
            back.relative_lift,
        ]
        seen += [back.relative_ci_low, back.relative_ci_high, back.n_control, back.sd_control]
        want = [-there.lift, -there.t, there.df, there.p_value, -there.ci_high, -there.ci_low]
        want += [
            mirrored(x)
            for x in (there.relative_lift, there.relative_ci_high, there.relative_ci_low)
        ]
        assert seen == pytest.approx([*want, there.n_treatment, there.sd_treatment], rel=1e-9)


def guard_agreement(compare):
    """p below .05, zero outside the absolute and outside the relative interval: all or none."""
    rng = np.random.default_rng(12)
    for lift in np.linspace(-25, 25, 101):
        r = compare(rng.normal(50, 10, 12), rng.normal(50 + lift, 20, 9))
        outside = [
            not low <= 0 <= high
            for low, high in ((r.ci_low, r.ci_high), (r.relative_ci_low, r.relative_ci_high))
        ]
        assert outside == [r.p_value < 0.05] * 2


@pytest.mark.parametrize("guard", [guard_swap, guard_agreement])
def test_arms_swap_and_verdicts_agree(guard):
    guard(inference.compare_means)
    caught(guard, lower_tailed)


def test_other_unfair_comparisons_fail_the_swap():
    caught(guard_swap, relative_by_control_mean)
    caught(guard_swap, standardised_by_control)


def guard_units(compare):
    """Another zero point moves nothing but the means; another unit scales lift and interval.

    Neither moves t and p.
    """

    @STEADY
    @given(ARMS, ARMS, st.integers(-1000, 1000), st.sampled_from([-40, -1, 0.01, 2.54, 1000]))
    def check(control, treatment, shift, scale):
        control, treatment = np.array(control), np.array(treatment)
        assume(control.std() + treatment.std() > 0.01)
        r = compare(control, treatment)
        moved = compare(control + shift, treatment + shift)
        for name in (
            "lift",
            "ci_low",
            "ci_high",
            "t",
            "df",
            "p_value",
            "sd_control",
            "sd_treatment",
        ):
            assert getattr(moved, name) == pytest.approx(getattr(r, name), rel=1e-6, abs=1e-6)
        scaled = compare(scale * control, scale * treatment)
        ends = sorted([scale * r.ci_low, scale * r.ci_high])
        assert [scaled.lift, scaled.ci_low, scaled.ci_high] == pytest.approx(
            [scale * r.lift, *ends], rel=1e-6, abs=1e-6
        )
        assert [abs(scaled.t), scaled.df, scaled.p_value] == pytest.approx(
            [abs(r.t), r.df, r.p_value], rel=1e-6, abs=1e-6
        )

    check()


def with_a_floor(control, treatment):
    """A test that is not allowed to meet a standard error below 1, in whatever unit."""
    r = inference.compare_means(control, treatment)
    return dataclasses.replace(r, t=r.lift / max(1, r.lift / r.t if r.t else 1))


def test_zero_point_and_unit_do_not_matter():
    guard_units(inference.compare_means)
    caught(guard_units, with_a_floor)


def test_wider_confidence_wider_intervals():
    arms = np.random.default_rng(0).normal(50, 10, (2, 30))
    results = [inference.compare_means(*arms, confidence=c) for c in (0.5, 0.8, 0.95, 0.999)]
    for narrow, wide in pairwise(results):
        assert wide.ci_low < narrow.ci_low < narrow.ci_high < wide.ci_high
        assert wide.relative_ci_low < narrow.relative_ci_low
        assert narrow.relative_ci_low < narrow.relative_ci_high
        assert narrow.relative_ci_high < wide.relative_ci_high
        assert wide.p_value == narrow.p_value


@pytest.mark.parametrize("mean_c", [0.0, 0.3, -0.3])
def test_relative_interval_is_unbounded_when_the_control_mean_may_be_zero(mean_c):
    r = inference.compare_means_from_stats(mean_c, 1, 10, 2, 1, 10)
    assert (r.relative_ci_low, r.relative_ci_high) == (-math.inf, math.inf)
    assert math.isnan(r.relative_lift) == (mean_c == 0)


# Conversion rates


def agresti_caffo(x_c, n_c, x_t, n_t, method="agresti-caffo"):
    with np.errstate(all="ignore"):
        return confint_proportions_2indep(x_t, n_t, x_c, n_c, compare="diff", method=method)


def wald(x_c, n_c, x_t, n_t):
    return agresti_caffo(x_c, n_c, x_t, n_t, method="wald")


RATES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
SIZES = [(n, n) for n in (20, 50, 100, 200, 500)] + [(20, 100), (20, 500), (500, 20), (50, 200)]


def exact_coverage(interval):
    """The least coverage over the grid, from all outcomes that can happen, so without luck."""
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
    """Interval and p are statsmodels', for every outcome of small arms and some of large ones."""
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
    """With the arms exchanged all is mirrored, relative numbers where both are bounded."""
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
    """p below .05, zero outside the interval, and outside a bounded relative one: all or none.

    It is unbounded just where the control rate may be zero, with one conversion and one
    non-conversion added.
    """
    for four in PAIRS:
        r, (x_c, n_c, *_) = compare(*four), four
        p = (x_c + 1) / (n_c + 2)
        above_zero = p / math.sqrt(p * (1 - p) / (n_c + 2)) > stats.norm.ppf(0.975)
        assert math.isfinite(r.relative_ci_low) == above_zero
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


# The bootstrap


def guard_scipy(bootstrap):
    """The vectorised percentile bootstrap is scipy's, up to the luck of resampling."""
    rng = np.random.default_rng(21)
    for n_c, n_t in ((20, 20), (7, 40), (300, 100)):
        control, treatment = rng.gamma(2, 10, n_c), rng.gamma(3, 10, n_t)
        scipys = stats.bootstrap(
            (treatment, control),
            lambda t, c, axis: t.mean(axis=axis) - c.mean(axis=axis),
            n_resamples=20_000,
            method="percentile",
            rng=rng,
        ).confidence_interval
        ends = bootstrap(control, treatment, n_resamples=20_000)
        assert ends == pytest.approx(tuple(scipys), abs=0.03 * (scipys.high - scipys.low))


def arms_stirred_together(control, treatment, **options):
    """Resamples both arms from one pot, as a permutation test would."""
    pot = np.concatenate([control, treatment])
    return inference.bootstrap_ci(pot, pot, **options)


def test_percentile_bootstrap_is_scipys():
    guard_scipy(inference.bootstrap_ci)
    caught(
        guard_scipy, lambda c, t, **options: inference.bootstrap_ci(c, t, confidence=0.9, **options)
    )
    caught(guard_scipy, arms_stirred_together)


def test_bootstrap_is_close_to_the_t_interval_in_large_arms():
    control, treatment = np.random.default_rng(5).normal(80, 10, (2, 400))
    r = inference.compare_means(control, treatment)
    for method in ("percentile", "basic", "BCa"):
        ends = inference.bootstrap_ci(control, treatment, method=method)
        assert ends == pytest.approx((r.ci_low, r.ci_high), abs=0.05 * (r.ci_high - r.ci_low))


def test_bootstrap_covers_less_than_it_says_in_small_arms():
    rng, runs = np.random.default_rng(6), 2_000
    arms = rng.normal(0, 1, (runs, 2, 20))
    ends = np.array([inference.bootstrap_ci(c, t, n_resamples=400, seed=rng) for c, t in arms])
    assert 0.90 < share((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) < 0.95


@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_bootstrap_seed(method):
    """The same seed gives the same answer; a Generator is drawn from where it stands."""
    arms = np.random.default_rng(5).normal(80, 10, (2, 15))
    rng = np.random.default_rng(42)
    first, second = (
        inference.bootstrap_ci(*arms, n_resamples=500, seed=rng, method=method) for _ in range(2)
    )
    assert first != second
    assert first == inference.bootstrap_ci(*arms, n_resamples=500, seed=42, method=method)
    assert all(type(end) is float for end in first)


@pytest.mark.parametrize("n", [2, 255, 256, 257, 65_536, 65_537])
def test_every_value_can_be_resampled(n):
    """The batches reach the last value, also where n is a power of two or just above."""
    means = inference._resampled_means(np.arange(n, dtype=float), 300, np.random.default_rng(1))
    spread = math.sqrt((n**2 - 1) / 12 / n)
    assert means.mean() == pytest.approx((n - 1) / 2, abs=4 * spread / math.sqrt(300))
    assert means.std() == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize("n_resamples", [100, 101, 4_999])
@pytest.mark.parametrize("batch", [1, 40, 1_000, 2_000_000])
def test_batches_change_memory_not_the_answer(monkeypatch, batch, n_resamples):
    arm = np.random.default_rng(5).normal(80, 10, 20)
    monkeypatch.setattr(inference, "BATCH", batch)
    means = inference._resampled_means(arm, n_resamples, np.random.default_rng(1))
    assert means.shape == (n_resamples,)
    assert means.std() == pytest.approx(arm.std() / math.sqrt(20), rel=0.3)


def test_no_batch_is_larger_than_its_bound(monkeypatch):
    sizes = []

    class Counting(np.random.Generator):
        def integers(self, *args, size, **options):
            sizes.append(math.prod(size))
            return super().integers(*args, size=size, **options)

    monkeypatch.setattr(inference, "BATCH", 50_000)
    inference._resampled_means(np.arange(20_000.0), 100, Counting(np.random.PCG64(1)))
    assert sum(sizes) == 2_000_000
    assert max(sizes) <= 50_000


# Calls that are refused


def compared(control, treatment=(1, 2, 3), **options):
    return lambda: inference.compare_means(control, treatment, **options)


def from_stats(*six):
    return lambda: inference.compare_means_from_stats(*six)


def bootstrapped(control=(1, 2, 4), treatment=(1, 2, 3), **options):
    return lambda: inference.bootstrap_ci(control, treatment, **options)


def rates(*four, **options):
    return lambda: inference.compare_rates(*four, **options)


FEW_RUNS = experiment.simulate_many([1, 2, 3, 4], 2)
BAD_CALLS = {
    "arm: varies too little": (compared([1e-200, 2e-200], [1e-200, 3e-200]), "smaller unit"),
    "many: one run as a row": (
        lambda: inference.welch_many([1.0, 2, 3, 4], [0, 1, 0, 1]),
        "shapes (4,) and (4,)",
        "runs x customers",
    ),
    "many: other shapes": (
        lambda: inference.welch_many([[1.0, 2, 3, 4]], [[0, 1]]),
        "shapes (1, 4) and (1, 2)",
    ),
    "many: three arms": (
        lambda: inference.welch_many([[1.0, 2, 3, 4]], [[0, 1, 2, 1]]),
        "arm column has the values 0, 1, 2",
    ),
    "bootstrap: varies too little": (
        bootstrapped([1e-200, 2e-200], [1e-200, 3e-200], method="BCa"),
        "smaller unit",
    ),
    "confidence: next to 1": (compared([1, 2], confidence=1 - 1e-16), "confidence is 0.99999"),
    "arm: one": (compared([1]), "control arm has 1 customer", "at least two"),
    "arm: masked": (compared(np.ma.array([1, 2, 3], mask=[0, 1, 0])), "blank", "position 1"),
    "six numbers: half a customer": (from_stats(1, 1, 20.5, 1, 1, 20), "n = 20.5"),
    "arm: empty": (compared([]), "control arm has 0 customers", "at least two"),
    "arm: blank": (compared([1, 2, math.nan]), "control arm", "blank or infinite", "position 2"),
    "arm: missing": (compared([1, None, 3]), "control arm", "position 1"),
    "arm: infinite": (compared([1, 2], [-math.inf, 1]), "treatment arm", "position 0"),
    "arm: text": (compared(["a", "b"]), "control arm", "not numbers", "one number per customer"),
    "arm: 2-D": (compared([1, 2], [[1, 2], [3, 4]]), "treatment arm has 2 dimensions", "one row"),
    "arm: table": (compared(CLUSTERED[["Age"]]), "control arm has 2 dimensions"),
    "arm: number": (compared(5), "control arm has 0 dimensions"),
    "arms: constant": (compared([1, 1, 1], [2, 2, 2]), "Neither arm varies"),
    "confidence: per cent": (compared([1, 2], confidence=95), "confidence is 95", "such as 0.95"),
    "confidence: 0": (compared([1, 2], confidence=0), "confidence is 0", "between 0 and 1"),
    "confidence: nan": (compared([1, 2], confidence=math.nan), "confidence is nan"),
    "confidence: many": (lambda: inference.welch_many(*FEW_RUNS, confidence=1), "confidence is 1"),
    "six numbers: n": (from_stats(1, 1, 1, 2, 1, 5), "control arm has n = 1", "at least two"),
    "six numbers: n nan": (from_stats(1, 1, 5, 2, 1, math.nan), "treatment arm has n = nan"),
    "six numbers: sd": (
        from_stats(1, 1, 5, 2, -1, 5),
        "treatment arm has mean 2 and sd -1",
        "0 or more",
    ),
    "six numbers: mean": (
        from_stats(math.nan, 1, 5, 2, 1, 5),
        "control arm has mean nan",
        "finite",
    ),
    "six numbers: constant": (from_stats(1, 0, 5, 2, 0, 5), "Neither arm varies"),
    "bootstrap: method": (bootstrapped(method="bca"), "'bca'", "'percentile', 'basic' or 'BCa'"),
    "bootstrap: few": (bootstrapped(n_resamples=99), "n_resamples is 99", "5000 is usual"),
    "bootstrap: arm": (bootstrapped([1]), "control arm", "at least two"),
    "bootstrap: confidence": (bootstrapped(confidence=1), "confidence is 1"),
    "bootstrap: constant, basic": (
        bootstrapped([1, 1], [2, 2], method="basic"),
        "Neither arm varies",
    ),
    "bootstrap: constant, BCa": (bootstrapped([1, 1], [2, 2], method="BCa"), "Neither arm varies"),
    "bootstrap: seed": (bootstrapped(seed=-1), "seed is -1"),
    "bootstrap: broken n_resamples": (bootstrapped(n_resamples=150.5), "n_resamples is 150.5"),
    "bootstrap: constant, percentile": (bootstrapped([1, 1], [2, 2]), "Neither arm varies"),
    "arms: constant, not binary": (compared([0.1] * 3, [0.3] * 3), "Neither arm varies"),
    "rates: n": (rates(0, 1, 5, 9), "control arm has 0 conversions of 1 users", "2 users or more"),
    "rates: too many": (rates(1, 5, 10, 9), "treatment arm has 10 conversions of 9", "two counts"),
    "rates: negative": (rates(-1, 5, 1, 9), "control arm has -1 conversions"),
    "rates: share": (rates(0.2, 50, 9, 50), "control arm has 0.2 conversions", "two counts"),
    "rates: nan": (rates(1, 50, math.nan, 50), "treatment arm has nan conversions"),
    "rates: half a user": (rates(1, 50, 1, 9.5), "treatment arm has 1 conversions of 9.5"),
    "rates: confidence": (rates(1, 5, 1, 9, confidence=95), "confidence is 95", "such as 0.95"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (compared([1]), "1 customer;"),
        (compared([1, 2, math.nan]), "blank or infinite values: 1, the first at position 2"),
    ],
    ids=["customer", "value"],
)
def test_one_is_not_a_plural(call, said):
    guard_message(call, said)
