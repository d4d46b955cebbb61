"""Statistics as behaviour: error rates, coverage, power, symmetry.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be caught by it.
"""

import dataclasses
import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from helpers import data, experiment, inference, power, segments

RUNS = 20_000
STEADY = settings(
    deadline=None, derandomize=True, database=None, max_examples=60, phases=[Phase.generate]
)


def caught(guard, faulty):
    """The planted fault must fail the guard."""
    with pytest.raises(AssertionError):
        guard(faulty)


def two_arms(n_c, n_t, sd_c=1.0, sd_t=1.0, lift=0.0, mean=10.0, runs=RUNS, seed=1):
    """Outcome and treated, one row per run; the control arm stands in the first n_c columns."""
    rng = np.random.default_rng(seed)
    outcome = np.hstack(
        [rng.normal(mean, sd_c, (runs, n_c)), rng.normal(mean + lift, sd_t, (runs, n_t))]
    )
    return outcome, np.broadcast_to(np.arange(n_c + n_t) >= n_c, outcome.shape)


def split(outcome, treated):
    n_c = int((~treated[0]).sum())
    return outcome[:, :n_c], outcome[:, n_c:]


def share(hits):
    return float(np.mean(hits))


# Error rates, coverage, power

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
    """With no effect at all, 5 % of the tests come out below .05, whatever the sizes and spreads of the arms."""
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


def fieller(outcome, treated):
    runs, arms = inference.welch_many(outcome, treated), split(outcome, treated)
    (mean_c, var_c), (mean_t, var_t) = (
        (arm.mean(axis=1), arm.var(axis=1, ddof=1) / arm.shape[1]) for arm in arms
    )
    return inference.fieller_interval(mean_c, var_c, mean_t, var_t, stats.t.ppf(0.975, runs["df"]))


def absolute_over_control_mean(outcome, treated):
    """The naive relative interval, which forgets that the control mean is itself uncertain."""
    low, high = welch_interval(outcome, treated)
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


def guard_power(formula):
    for n, effect, sd in ((20, 3, 11), (20, -10, 11), (60, 5, 11), (5, 2, 1)):
        simulated = share(welch_p(*two_arms(n, n, sd, sd, lift=effect)) < 0.05)
        # Welch's test gives up a little power in tiny arms, where it also estimates its degrees of freedom
        assert formula(n, effect, sd) == pytest.approx(simulated, abs=0.010 if n >= 20 else 0.035)


def test_simulated_power_meets_the_formula():
    guard_power(power.power)
    caught(
        guard_power, lambda n, effect, sd: power.power(2 * n, effect, sd)
    )  # all customers taken for one group
    caught(
        guard_power, lambda n, effect, sd: stats.norm.sf(1.96 - effect / sd * math.sqrt(n / 2))
    )  # blind to a loss


# One experiment and many

CLUSTERED = segments.cluster_customers(data.load_customers())
SCORES = CLUSTERED.loc[CLUSTERED["Cluster"] == 1, experiment.OUTCOME]


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


def test_welch_many_says_nan_where_an_arm_is_too_small():
    outcome, treated = (
        np.arange(8.0).reshape(2, 4),
        np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool),
    )
    blank = inference.welch_many(outcome, treated).isna().all(axis=1)
    assert blank.tolist() == [True, False]


@pytest.mark.parametrize("seed", [0, 7, 42, 2**32 - 1])
def test_replayed_row_is_the_simulated_experiment(seed):
    outcome, treated = experiment.replay_seeds(SCORES, [5, seed], effect=-2, noise_sd=4)
    one = experiment.simulate_experiment(CLUSTERED, 1, effect=-2, noise_sd=4, seed=seed)
    np.testing.assert_array_equal(outcome[1], one["outcome"])
    np.testing.assert_array_equal(treated[1], one["group"] == "treatment")


def test_simulated_design():
    """Outcome = score + noise + effect for the treated; a fair coin; the same seed gives the same runs."""
    table = experiment.simulate_experiment(CLUSTERED, 1, effect=7, noise_sd=0)
    gained = table["outcome"] - table[experiment.OUTCOME]
    assert (gained == np.where(table["group"] == "treatment", 7, 0)).all()
    assert table.index.equals(SCORES.index)

    outcome, treated = experiment.simulate_many(
        SCORES, 5_000, effect=7, noise_sd=2, seed=np.random.default_rng(8)
    )
    noise = outcome - SCORES.to_numpy() - 7 * treated
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert noise.std() == pytest.approx(2, abs=0.03)
    assert treated.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(
        experiment.simulate_many(SCORES, 5_000, effect=7, noise_sd=2, seed=8)[0], outcome
    )


def test_a_stream_is_drawn_from_where_it_stands():
    for stream in (np.random.RandomState(42), np.random.default_rng(42)):
        first, second = (
            experiment.simulate_experiment(CLUSTERED, 1, seed=stream) for _ in range(2)
        )
        assert not first["outcome"].equals(second["outcome"])
    first = experiment.simulate_experiment(CLUSTERED, 1, seed=np.random.RandomState(42))
    assert first.equals(experiment.simulate_experiment(CLUSTERED, 1, seed=42))


# Symmetry

ARMS = st.lists(st.integers(-500, 500).map(lambda tenths: tenths / 10), min_size=2, max_size=20)


def mirrored(x):
    return 1 / (1 + x) - 1


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
    """p below .05, zero outside the absolute interval and zero outside the relative one: all three or none."""
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
    """Another zero point moves nothing but the means; another unit scales lift and interval, and leaves t and p."""

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
        assert (
            wide.relative_ci_low
            < narrow.relative_ci_low
            < narrow.relative_ci_high
            < wide.relative_ci_high
        )
        assert wide.p_value == narrow.p_value


@pytest.mark.parametrize("mean_c", [0.0, 0.3, -0.3])
def test_relative_interval_is_unbounded_when_the_control_mean_may_be_zero(mean_c):
    r = inference.compare_means_from_stats(mean_c, 1, 10, 2, 1, 10)
    assert (r.relative_ci_low, r.relative_ci_high) == (-math.inf, math.inf)
    assert math.isnan(r.relative_lift) == (mean_c == 0)


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


# Segments


def raw_kmeans(customers, n_clusters=4, seed=42):
    """Clusters as they come: rows in file order, numbers by luck."""
    scaled = StandardScaler().fit_transform(customers[list(segments.DEFAULT_FEATURES)])
    labels = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(scaled)
    return customers.assign(Cluster=labels)


def guard_row_order(cluster):
    """Neither the order of the rows nor columns that are not features decide anybody's cluster."""
    customers = data.load_customers()
    for k in (2, 4, 7):
        by_id = cluster(customers, k).set_index("CustomerID")["Cluster"]
        for seed in range(2):
            shuffled = customers.sample(frac=1, random_state=seed).assign(shoes=seed, note="x")[
                ::-1
            ]
            again = cluster(shuffled, k)
            assert again.drop(columns="Cluster").equals(shuffled)
            assert again.set_index("CustomerID")["Cluster"].reindex(by_id.index).equals(by_id)


def guard_numbers(cluster):
    """Clusters are numbered 0 to k - 1, the youngest first, for any seed."""
    customers = data.load_customers()
    for k in (1, 4, 7):
        for seed in range(2):
            clustered = cluster(customers, k, seed=seed)
            ages = clustered.groupby("Cluster")["Age"].mean()
            assert list(ages.index) == list(range(k))
            assert ages.is_monotonic_increasing


@pytest.mark.parametrize("guard", [guard_row_order, guard_numbers])
def test_clusters_do_not_hang_on_luck(guard):
    guard(segments.cluster_customers)
    caught(guard, raw_kmeans)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_customers_who_are_alike_share_a_cluster_in_any_order(seed):
    table = pd.DataFrame(
        {"Age": [20, 20, 21, 50, 51, 52, 30, 31, 30, 70, 71, 70], "Score": [5, 5, 6, 90, 91, 5] * 2}
    )
    plain = segments.cluster_customers(table, 4, ["Age", "Score"])["Cluster"]
    mixed = segments.cluster_customers(
        table.sample(frac=1, random_state=seed), 4, ["Age", "Score"]
    )["Cluster"]
    assert mixed.sort_index().equals(plain)
    assert plain[0] == plain[1]


def test_pure_noise_clusters_just_as_happily():
    noise = np.random.default_rng(9).uniform(1, 99, (200, 3))
    clustered = segments.cluster_customers(
        pd.DataFrame(noise, columns=list(segments.DEFAULT_FEATURES))
    )
    profile = segments.profile_clusters(clustered)
    assert len(profile) == 4
    assert profile["customers"].min() >= 20
    assert profile["customers"].sum() == 200


def test_age_bands_start_at_their_first_year():
    bands = segments.age_band(pd.Series([18, 29, 29.9, 30, 39, 40, 75]))
    assert [segments.AGE_BANDS.index(band) for band in bands] == [0, 0, 0, 1, 1, 2, 2]


def test_profile_names_follow_the_means():
    table = pd.DataFrame(
        {
            "Age": [20, 50, 80],
            "Annual Income (k$)": [90, 50, 10],
            "Spending Score (1-100)": [50] * 3,
            "Cluster": [0, 1, 2],
        }
    )
    profile = segments.profile_clusters(table)
    assert profile["name"].tolist() == [
        "younger, higher income, average spenders",
        "of average age, average income, average spenders",
        "older, lower income, average spenders",
    ]
    assert profile["customers"].tolist() == [1, 1, 1]


# Power


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
def test_power_rises_with_size_and_effect_and_starts_at_alpha(alpha):
    sizes = [power.power(n, 3, 11, alpha) for n in (2, 3, 5, 20, 100, 1_000, 100_000)]
    effects = [power.power(20, effect, 11, alpha) for effect in (0, 0.1, 1, 3, 10, 30)]
    for rising in (sizes, effects):
        assert all(0 <= low < high <= 1 for low, high in pairwise(rising))
    assert effects[0] == pytest.approx(alpha)
    assert [power.power(20, -effect, 11, alpha) for effect in (0, 0.1, 1, 3, 10, 30)] == effects
    assert power.power(20, 6, 22, alpha) == power.power(20, 3, 11, alpha)


def guard_inverse(sample_size):
    """As many customers as `sample_size` asks for have just the power that was asked for."""
    for effect, target, alpha in (
        (3, 0.8, 0.05),
        (-3, 0.8, 0.05),
        (3, 0.999, 0.05),
        (30, 0.9, 0.01),
        (0.01, 0.5, 0.3),
    ):
        n = sample_size(effect, 11, power=target, alpha=alpha)
        assert power.power(n, effect, 11, alpha) == pytest.approx(target, abs=1e-9)


def by_the_normal(effect, sd, power, alpha):
    return 2 * (sd / effect * (stats.norm.isf(alpha / 2) + stats.norm.ppf(power))) ** 2


def test_sample_size_inverts_power():
    guard_inverse(power.sample_size)
    caught(guard_inverse, by_the_normal)
    assert power.sample_size(0, 11) == math.inf


@pytest.mark.parametrize("n", [2, 3, 20, 20.5, 1_000_000])
@pytest.mark.parametrize("target", [0.06, 0.8, 0.999])
def test_minimum_detectable_effect_inverts_power(n, target):
    effect = power.minimum_detectable_effect(n, 11, power=target)
    assert effect > 0
    assert power.power(n, effect, 11) == pytest.approx(target, abs=1e-7)
    if n > 2:
        assert power.sample_size(effect, 11, power=target) == pytest.approx(n, rel=1e-5)


def test_power_in_the_corners():
    """Finite and in range for the smallest arms, huge arms, huge and tiny effects, and extreme targets."""
    for n, effect in ((2, 1e9), (2, 1e-9), (1e9, 1e-4), (1e9, 3), (20, 1e6), (2, 0)):
        assert 0.05 - 1e-9 <= power.power(n, effect, 1) <= 1
    assert power.power(2, 1e9, 1) == power.power(1e9, 3, 1) == 1
    assert power.sample_size(1e9, 1) == 2
    assert power.sample_size(1e-6, 1) == pytest.approx(1.5697721e13, rel=1e-6)
    assert 1_000 < power.sample_size(3, 11, power=0.999999) < math.inf
    assert power.minimum_detectable_effect(2, 11, power=0.999999) < math.inf


# Sample ratio


def guard_ratio(sample_ratio_p):
    """A fair coin alarms as often as asked; a missing tenth of an arm is seen."""
    heads = Counter(np.random.default_rng(4).binomial(10_000, 0.5, RUNS).tolist())
    p = np.repeat([sample_ratio_p(n, 10_000 - n) for n in heads], list(heads.values()))
    for level in (0.01, 0.05, 0.25, 0.5, 0.75):
        assert share(p < level) == pytest.approx(level, abs=0.015)
    assert sample_ratio_p(10_000, 9_000) < 1e-9


def test_sample_ratio():
    guard_ratio(experiment.sample_ratio_p)
    caught(guard_ratio, lambda c, t: experiment.sample_ratio_p(c, t) / 2)


def guard_share_is_the_controls(sample_ratio_p):
    assert sample_ratio_p(300, 100, expected_share=0.75) == pytest.approx(1)
    assert sample_ratio_p(100, 300, expected_share=0.75) < 1e-9


def test_expected_share_is_that_of_the_control_arm():
    guard_share_is_the_controls(experiment.sample_ratio_p)
    caught(
        guard_share_is_the_controls,
        lambda c, t, expected_share: experiment.sample_ratio_p(t, c, expected_share),
    )
    for n_c, n_t, planned in ((20, 30, 0.5), (310, 98, 0.75), (0, 5, 0.1)):
        swapped = experiment.sample_ratio_p(n_t, n_c, 1 - planned)
        assert experiment.sample_ratio_p(n_c, n_t, planned) == pytest.approx(swapped, rel=1e-9)
