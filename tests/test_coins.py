"""New coins: what luck alone makes of the segments of a log.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers import coins, data, heterogeneity
from tests.guards import caught, guard_message, share

# Logs without effect, many at once: cells, runs x segments


def rates(runs, m, n, control_share, rate, lift=0.0, seed=1):
    """Conversions of runs x m segments of n users, with a coin each."""
    rng = np.random.default_rng(seed)
    n_c = rng.binomial(n, control_share, (runs, m)).clip(2, n - 2)
    x_c, x_t = rng.binomial(n_c, rate), rng.binomial(n - n_c, rate + lift)
    return coins._cells([n_c, x_c, x_c, n - n_c, x_t, x_t])


def numbers(runs, m, n, control_share, draw, seed=1):
    """Outcomes of runs x m segments of n users, of whom a planned share is in control."""
    y = draw(np.random.default_rng(seed), (runs, m, n))
    arms = np.split(y, [round(n * control_share)], axis=2)
    return coins._cells([(arm**power).sum(axis=2) for arm in arms for power in (0, 1, 2)])


def exponential(rng, size):
    return rng.exponential(1, size)


def lognormal(rng, size):
    return rng.lognormal(0, 1, size)


def normal(rng, size):
    return rng.normal(10, 5, size)


RUNS = 2_000
BAND = 3.2 * math.sqrt(0.05 * 0.95 / RUNS)
RATES = [
    (m, n, control_share, rate)
    for m, n in ((2, 2_000), (20, 500), (50, 1_000))
    for control_share in (0.5, 0.8, 0.9)
    for rate in (0.01, 0.1, 0.2)
]
NUMBERS = [
    (m, n, control_share, draw)
    for m, n in ((2, 1_000), (8, 200))
    for control_share in (0.5, 0.8)
    for draw in (normal, exponential)
]


@cache
def simulated():
    """Each design with its cells, whether it is of rates, and its true lift; a lift in some."""
    found = [(rates(RUNS, *design), True, 0.0) for design in RATES]
    found += [(rates(RUNS, 20, 500, s, 0.1, 0.03), True, 0.03) for s in (0.5, 0.9)]
    found += [(numbers(RUNS, *design), False, 0.0) for design in NUMBERS]
    return found


def pooled_lift(cells, rate):
    """Lift and standard error of it, at the true lift of 0: runs."""
    shares = coins.pooling_shares(cells)
    return (shares * coins.lifts(cells)).sum(-1), shares


def by_inverse_variance(cells, rate):
    """What was done before: the centres of the intervals, the precise ones weighing more."""
    if not rate:
        lift, error = coins.lifts(cells), coins.errors_at(cells, 0.0, False)
    else:
        q_c, q_t = ((m * n + 1) / (n + 2) for m, n in zip(cells[2:4], cells[:2], strict=True))
        error = np.sqrt(q_c * (1 - q_c) / (cells[0] + 2) + q_t * (1 - q_t) / (cells[1] + 2))
        lift = q_t - q_c
    weight = error**-2.0
    return (weight * lift).sum(-1) / weight.sum(-1), weight / weight.sum(-1, keepdims=True)


def guard_no_invented_lift(pool):
    """The pooled lift of many logs has the true one as its mean, and holds it as often as said."""
    for cells, rate, truth in simulated():
        lift, shares = pool(cells, rate)
        error = np.sqrt((shares**2 * coins.errors_at(cells, truth, rate) ** 2).sum(-1))
        assert abs(lift.mean() - truth) < 4 * lift.std() / math.sqrt(RUNS)
        assert share(np.abs(lift - truth) > 1.96 * error) < 0.05 + BAND + 0.012


def test_pooling_invents_no_lift():
    guard_no_invented_lift(pooled_lift)
    caught(guard_no_invented_lift, by_inverse_variance)
    cells, rate, _ = simulated()[RATES.index((20, 500, 0.9, 0.01))]
    assert 0.011 < by_inverse_variance(cells, rate)[0].mean() < 0.014  # from no effect at all


def q_alarms(q_of, cells, rate):
    return share(stats.chi2.sf(q_of(cells, rate), cells[0].shape[1] - 1) < 0.05)


def guard_q(q_of):
    """Q is in its band for equal and unequal arms; a little wide where a few conversions decide."""
    for cells, rate, _ in simulated():
        alarms = q_alarms(q_of, cells, rate)
        treated = cells.n_treatment.mean() * cells.mean_treatment.mean()
        usual = not rate or treated > 2
        assert alarms < (0.05 + BAND + 0.03 if usual else 0.11), (alarms, treated)
        if rate and treated > 4:
            assert alarms > 0.05 - BAND - 0.01  # it is alive


def q_by_interval(cells, rate):
    """Q of the centres of the intervals, which is dead where conversions are rare."""
    if not rate:
        return coins.cochran_q(cells, rate)
    q_c, q_t = ((m * n + 1) / (n + 2) for m, n in zip(cells[2:4], cells[:2], strict=True))
    weight = 1 / (q_c * (1 - q_c) / (cells[0] + 2) + q_t * (1 - q_t) / (cells[1] + 2))
    lift = q_t - q_c
    middle = (weight * lift).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
    return (weight * (lift - middle) ** 2).sum(-1)


def q_without_a_common_lift(cells, rate):
    """Errors as if there were no effect: wrong where all segments share a large one."""
    weight = coins.errors_at(cells, 0.0, rate) ** -2.0
    lift = coins.lifts(cells)
    middle = (weight * lift).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
    return (weight * (lift - middle) ** 2).sum(-1)


def test_q_keeps_its_level():
    guard_q(coins.cochran_q)
    for faulty in (q_by_interval, q_without_a_common_lift):
        caught(guard_q, faulty)


def guard_q_by_coins(luck_of):
    """Set against new coins, Q alarms in 5 % of logs, also where its formula fails."""
    found = []
    for number, draw in enumerate((normal, exponential)):
        rng = np.random.default_rng(number)
        for _ in range(120):
            log = a_log(rng, 8, 40, 0.8, draw)
            luck, q = luck_of(log), float(coins.cochran_q(cells_of(log), rate=False))
            if np.isfinite(q):  # where a segment cannot be tested, there is no Q
                found.append((1 + (luck >= q).sum()) / (1 + len(luck)))
    assert abs(share(np.less(found, 0.05)) - 0.05) < 3.2 * math.sqrt(0.05 * 0.95 / len(found))


def a_log(rng, m, n, control_share, draw):
    size = m * n
    return pd.DataFrame(
        {
            "s": np.repeat(np.arange(m), n),
            "group": np.where(rng.random(size) < control_share, "control", "treatment"),
            "y": draw(rng, size),
        }
    )


def cells_of(log):
    treated = (log["group"] != "control").to_numpy()
    return coins._cells(
        [
            np.bincount(log["s"][arm], log["y"][arm] ** power, minlength=log["s"].nunique())
            for arm in (~treated, treated)
            for power in (0, 1, 2)
        ]
    )


def test_q_against_new_coins():
    guard_q_by_coins(lambda log: q_seen(coins.new_coins(log, "s", "y", 0.8, runs=200)))
    caught(
        guard_q_by_coins,
        lambda log: stats.chi2.ppf((np.arange(999) + 0.5) / 999, log["s"].nunique() - 1),
    )


def q_seen(luck):
    return luck.q[np.isfinite(luck.q)]


# The tests of many runs are those of one

LOG = data.load_log()


@pytest.mark.parametrize("outcome", ["converted", "revenue"])
def test_p_values_are_those_of_compare_segments(outcome):
    table = heterogeneity.compare_segments(LOG, "age_band", outcome)
    rate = outcome == "converted"
    p = coins.p_values(heterogeneity.cells_of(table), rate)
    assert p == pytest.approx(table["p_value"].to_numpy(), rel=1e-9)


@pytest.mark.parametrize("outcome", ["converted", "revenue"])
def test_a_run_is_an_experiment_with_new_coins(outcome):
    """One run, its coins known: what compare_segments and pool_segments say of it."""
    luck = coins.new_coins(LOG, "age_band", outcome, 0.4, seed=5, runs=300)
    assert list(luck.p_value) == ["under 30", "30 to 39", "40 and over"]
    assert luck.p_value.shape == (300, 3) and len(luck.q) == len(luck.everyone) == 300
    for p in (*luck.p_value.to_numpy().T, luck.everyone[0], luck.pooled):
        assert stats.kstest(p, "uniform").pvalue > 1e-4
    assert stats.kstest(luck.q, stats.chi2(2).cdf).pvalue > 1e-4
    again = coins.new_coins(LOG, "age_band", outcome, 0.4, seed=5, runs=300)
    pd.testing.assert_frame_equal(again.p_value, luck.p_value)


def flipped(flip, control_share=0.7, runs=4_000):
    """Users and sum of outcomes in treatment, runs x segments, of a small log of 0 and 1."""
    codes = np.repeat([1, 0, 2], [30, 50, 8])
    y = (np.arange(88) % 3 == 0).astype(float)
    sums = flip(codes, y, control_share, np.random.default_rng(3), runs)
    control, treated, in_treatment = sums[0], *sums[3:5]
    n = np.bincount(codes)
    assert (control + treated == n).all()
    if flip is coins._flip_numbers:  # of outcomes less their mean
        in_treatment = in_treatment + treated * y.mean()
    return treated, in_treatment


def guard_same_law(flip):
    """Drawn user by user or at once: users and conversions have the means and spreads they must."""
    treated, converted = flipped(flip)
    n, x = np.array([50, 30, 8]), np.array([17, 10, 3])
    assert converted[:, 0].max() <= 17
    for values, size in ((treated, n), (converted, x)):
        z = (values.mean(axis=0) - 0.3 * size) / np.sqrt(0.21 * size / len(values))
        assert (np.abs(z) < 4).all()
        assert values.var(axis=0) == pytest.approx(0.21 * size, rel=0.15)
    both = np.cov(treated[:, 0], converted[:, 0])[0, 1]
    assert both == pytest.approx(0.21 * 17, rel=0.15)


def test_coins_for_rates_and_for_numbers_have_one_law():
    guard_same_law(coins._flip_rates)
    guard_same_law(coins._flip_numbers)
    for faulty in (coins._flip_rates, coins._flip_numbers):
        caught(guard_same_law, lambda c, y, s, rng, runs, f=faulty: f(c, y, 0.5, rng, runs))


def test_segments_may_stand_in_any_order_and_batches_do_not_show(monkeypatch):
    log = LOG.sample(frac=1, random_state=1)
    before = coins.new_coins(LOG, "age_band", "revenue", seed=2, runs=40)
    assert list(coins.new_coins(log, "age_band", "revenue", runs=1).p_value) == list(before.p_value)
    monkeypatch.setattr(coins, "AT_ONCE", 7 * len(LOG))
    small = coins.new_coins(LOG, "age_band", "revenue", seed=2, runs=40)
    pd.testing.assert_frame_equal(small.p_value, before.p_value)


def test_swapped_arms_mirror():
    for cells, rate, _ in simulated()[::5]:
        swapped = coins.Cells(*(cells[i] for i in (1, 0, 3, 2, 5, 4)))
        assert coins.lifts(swapped) == pytest.approx(-coins.lifts(cells))
        assert coins.p_values(swapped, rate) == pytest.approx(coins.p_values(cells, rate))
        assert coins.cochran_q(swapped, rate) == pytest.approx(coins.cochran_q(cells, rate))


def test_what_cannot_be_tested_is_nan_and_flat_is_flat():
    tiny = pd.DataFrame({"s": ["a"] * 40 + ["b"] * 4 + ["c"] * 40, "y": [*range(44), *[0.1] * 40]})
    luck = coins.new_coins(tiny, "s", "y", runs=200).p_value
    assert luck["a"].notna().all() and luck["c"].isna().all()
    assert 0.2 < luck["b"].isna().mean() < 0.9  # an arm of one user, or none


@pytest.mark.parametrize("kind", [float, int])
def test_the_coins_have_the_planned_share(kind):
    """At nineteen in twenty, a segment of thirty often has fewer than two treated users."""
    small = pd.DataFrame({"s": ["a"] * 30, "y": (np.arange(30) % 2 == 0).astype(int)})
    small["y"] = small["y"] * (1.5 if kind is float else 1)  # a number, or a rate
    lost = [
        coins.new_coins(small, "s", "y", planned, runs=2_000).p_value["a"].isna().mean()
        for planned in (0.5, 0.95, 0.05)
    ]
    few = stats.binom.cdf(1, 30, 0.05)
    assert lost == pytest.approx([0, few, few], abs=0.035)


def test_fewer_runs_for_a_larger_log(monkeypatch):
    monkeypatch.setattr(coins, "IN_ALL", 3_000_000)
    assert len(coins.new_coins(LOG, "age_band", "converted").q) == 150
    monkeypatch.setattr(coins, "IN_ALL", 1)
    assert len(coins.new_coins(LOG, "age_band", "converted").q) == 100


def test_bad_calls():
    for options, said in (({"control_share": 1.0}, "control_share is 1"), ({"seed": -1}, "seed")):
        guard_message(lambda o=options: coins.new_coins(LOG, "age_band", "converted", **o), said)


# Arms that were dealt inside strata


def strata_log(n=300, seed=3):
    """Users whose stratum says nearly everything of the outcome."""
    rng = np.random.default_rng(seed)
    stratum = rng.integers(6, size=n)
    y = 10.0 * stratum + rng.normal(0, 1, n)
    names = np.array(list("abcdef"))[stratum]
    return pd.DataFrame({"segment": stratum % 2, "y": y, "before": stratum * 1.0, "part": names})


def guard_strata(new_coins):
    """Arms dealt inside strata, and a test that knows them: as many false alarms as promised."""
    luck = new_coins(strata_log(), "segment", "y", 0.4, runs=2_000, before="before", stratum="part")
    for p in (luck.everyone[0], luck.p_value[0], luck.p_value[1]):
        assert share(p < 0.05) == pytest.approx(0.05, abs=0.02)
        assert share(p < 0.5) == pytest.approx(0.5, abs=0.05)


def test_strata_are_dealt_and_adjusted_by():
    guard_strata(coins.new_coins)

    def dealt_only(log, *given, stratum, **options):
        """Arms are dealt inside strata, and the test knows nothing of it."""
        with mock.patch.object(
            coins, "known_columns", lambda before, part: np.empty((len(part), 0))
        ):
            return coins.new_coins(log.assign(before=1.0), *given, stratum=stratum, **options)

    caught(guard_strata, dealt_only)
