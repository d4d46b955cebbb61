"""What a plan promises holds when it is simulated; and it is the plan's own rule, to the digit.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from helpers import planning
from tests.guards import caught, guard_message

RUNS = 4_000


def table_of(draw, sizes=(600, 300, 80), seed=3):
    """Customers of segments a, b, c, whose baselines are drawn."""
    names = np.repeat(list("abc")[: len(sizes)], sizes)
    values = draw(np.random.default_rng(seed), len(names)).astype(float)
    return pd.DataFrame({"segment": names, "before": values})


def plan_of(customers, worth, **options):
    return planning.plan(customers, "before", worth, "segment", **options)


def normal(rng, n):
    return rng.normal(50, 10, n)


def skewed(rng, n):
    return rng.exponential(20, n)


def lopsided(rng, n):
    return rng.lognormal(3, 0.8, n)


def often(rng, n):
    return rng.random(n) < 0.3


def seldom(rng, n):
    return rng.random(n) < 0.05


# The rule


def guard_rule(plan):
    """Mean, sd, users and detectable lift are those of statsmodels at the level of each row."""
    for sizes in ((600, 300, 80), (50, 40)):
        customers = table_of(normal, sizes)
        table = plan(customers, "before", 4.0, "segment")
        levels = [0.05] + [0.05 / len(sizes)] * len(sizes)
        parts = [customers, *(part for _, part in customers.groupby("segment"))]
        for (_, row), part, level in zip(table.iterrows(), parts, levels, strict=True):
            assert row["customers"] == len(part)
            assert row["mean"] == pytest.approx(part["before"].mean())
            assert row["sd"] == pytest.approx(part["before"].std())
            theirs = TTestIndPower().solve_power(4.0 / row["sd"], alpha=level, power=0.8)
            assert row["users_needed"] == pytest.approx(2 * theirs, rel=1e-6)
            smallest = TTestIndPower().solve_power(nobs1=len(part) / 2, alpha=level, power=0.8)
            assert row["smallest_detectable"] == pytest.approx(row["sd"] * smallest, rel=1e-6)


def test_a_plan_is_that_of_statsmodels():
    guard_rule(planning.plan)

    def uncorrected(customers, baseline, worth, segment):
        """Each segment at 5 %."""
        parts = [planning.plan(customers, baseline, worth)]
        for name, part in customers.groupby(segment):
            parts.append(planning.plan(part, baseline, worth).set_axis([name]))
        return pd.concat(parts)

    caught(guard_rule, uncorrected)


def test_columns_and_rows():
    table = plan_of(table_of(normal), 4.0)
    assert list(table.index) == ["all users", "a", "b", "c"] and table.index.name == "segment"
    own = ["customers", "mean", "sd", "smallest_detectable", "users_needed", "testable"]
    assert list(table) == own
    more = plan_of(table_of(normal), 4.0, correlation=0.6)
    assert list(more) == [*own, "smallest_detectable_adjusted", "users_needed_adjusted"]
    pd.testing.assert_frame_equal(more[own], table)
    ratio = more["smallest_detectable_adjusted"] / more["smallest_detectable"]
    assert ratio.to_numpy() == pytest.approx(0.8)
    smaller = plan_of(table_of(normal), 5.0)["users_needed"]
    assert more["users_needed_adjusted"].to_numpy() == pytest.approx(smaller, rel=0.05)


def test_who_can_be_tested():
    customers = table_of(normal)
    for worth in (0.5, 1.9, 2.5, 4, 8):
        table = plan_of(customers, worth)
        enough = table["users_needed"] <= table["customers"]
        assert ((table["smallest_detectable"] <= worth) == enough).all()
        everyone = "together" if enough.iloc[0] else "no"
        want = ["alone" if one else everyone for one in enough.iloc[1:]]
        assert table["testable"].tolist() == [everyone, *want]
    lone = pd.DataFrame({"segment": list("aabb") * 50, "before": [1.0, 2.0, 90.0, 9.0] * 50})
    assert plan_of(lone, 1.0)["testable"].tolist() == ["no", "alone", "no"]


# Its promises, simulated


def power_of(draw, users, lift, level, share, rate, runs=RUNS):
    """How often the plain test sees the lift among so many, drawn anew in each run."""
    rng = np.random.default_rng(7)
    n_c = round(share * math.ceil(users))
    n_t = math.ceil(users) - n_c
    if rate:
        p = draw(rng, 10**6).mean()
        x_c, x_t = rng.binomial(n_c, p, runs), rng.binomial(n_t, p + lift, runs)
        c, t = (x_c + 1) / (n_c + 2), (x_t + 1) / (n_t + 2)
        z = (t - c) / np.sqrt(c * (1 - c) / (n_c + 2) + t * (1 - t) / (n_t + 2))
        return float((2 * stats.norm.sf(abs(z)) < level).mean())
    found = []
    for _ in range(runs // 200):
        c, t = draw(rng, 200 * n_c).reshape(200, -1), draw(rng, 200 * n_t).reshape(200, -1)
        found.append(stats.ttest_ind(t + lift, c, axis=1, equal_var=False).pvalue < level)
    return float(np.concatenate(found).mean())


CASES = [
    (normal, 4.0, 0.5, False),
    (normal, 4.0, 0.2, False),
    (skewed, 6.0, 0.5, False),
    (skewed, 6.0, 0.35, False),
    (lopsided, 6.0, 0.5, False),
    (often, 0.08, 0.5, True),
    (often, 0.08, 0.2, True),
    (often, 0.08, 0.8, True),
    (seldom, 0.03, 0.5, True),
    (seldom, 0.03, 0.7, True),
]


def guard_power(needed):
    """About 80 % of experiments see worth with the users that the plan asks for."""
    for draw, worth, share, rate in CASES:
        values = pd.Series(draw(np.random.default_rng(1), 20_000).astype(float))
        for level in (0.05, 0.05 / 4):
            users = needed(planning.spread_of(values, rate, share), worth, level)
            power = power_of(draw, users, worth, level, share, rate)
            assert 0.77 < power < 0.84, (draw, share, level, power)


def test_users_needed_have_the_power():
    guard_power(planning.users_needed)

    def blind_to_share(spread, worth, level):
        return planning.users_needed(spread._replace(control_share=0.5), worth, level)

    def of_the_control_rate(spread, worth, level):
        return planning.users_needed(spread._replace(rate=False), worth, level)

    for faulty in (blind_to_share, of_the_control_rate):
        caught(guard_power, faulty)


def test_detectable_lifts_have_the_power():
    for draw, _, share, rate in CASES:
        values = pd.Series(draw(np.random.default_rng(1), 400).astype(float))
        lift = planning.smallest_detectable(planning.spread_of(values, rate, share), 0.05)
        p = values.mean()

        def own(rng, n, p=p, values=values, rate=rate):
            return rng.random(n) < p if rate else rng.choice(values, n)

        power = power_of(own, 400, lift, 0.05, share, rate)
        assert 0.76 < power < 0.88, (draw, share, power)


def test_swapped_arms_need_the_same():
    for draw in (normal, lopsided):
        one, other = (
            plan_of(table_of(draw), 5.0, control_share=share)["users_needed"].to_numpy()
            for share in (0.2, 0.8)
        )
        assert one == pytest.approx(other, rel=1e-9)
    values = pd.Series(table_of(often)["before"])
    up = planning.users_needed(planning.spread_of(values, True, 0.2), 0.1, 0.05)
    higher = pd.Series(1 - values)  # the same, seen from its end: a fall, arms swapped
    rest = planning.spread_of(higher, True, 0.8)._replace(mean=1 - values.mean() - 0.1)
    assert up == pytest.approx(planning.users_needed(rest, 0.1, 0.05), rel=1e-6)


# Odd tables


def test_what_does_not_vary_promises_nothing():
    customers = table_of(normal).assign(before=lambda t: t["before"].mask(t["segment"] == "b", 7.0))
    row = plan_of(customers, 4.0).loc["b"]
    assert math.isnan(row["smallest_detectable"]) and math.isnan(row["users_needed"])
    assert row["testable"] == "together"


def test_few_customers_see_nothing():
    customers = table_of(normal, (600, 3))
    assert plan_of(customers, 4.0).loc["b", "smallest_detectable"] == math.inf
    rare = table_of(seldom, (600, 8)).assign(
        before=lambda t: t["before"].mask(t["segment"] == "b", 0)
    )
    row = plan_of(rare, 0.02, rate=True).loc["b"]
    assert row["smallest_detectable"] > 0.5 and row["testable"] == "no"
    assert math.isfinite(row["users_needed"])


def test_a_rate_of_shares_varies_as_its_outcome():
    shares = pd.DataFrame({"segment": ["a", "b"] * 200, "before": [0.3] * 400})
    table = plan_of(shares, 0.1, rate=True)
    ones = pd.DataFrame({"segment": ["a", "b"] * 200, "before": [1.0] * 120 + [0.0] * 280})
    assert table["sd"].iloc[0] == pytest.approx(ones["before"].std())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"worth": 0}, "worth"),
        ({"worth": math.nan}, "worth"),
        ({"worth": 900}, "worth is 900, more than lies between any two customers"),
        ({"worth": 4, "rate": True}, "leave --rate out"),
        ({"worth": 4, "control_share": 1}, "control_share"),
        ({"worth": 4, "control_share": 0}, "control_share"),
        ({"worth": 4, "correlation": 1.0}, "correlation is 1.0"),
        ({"worth": 4, "correlation": "x"}, "correlation"),
        ({"worth": 4, "confidence": 0.3}, "confidence"),
    ],
)
def test_numbers_that_cannot_be_used(options, said):
    guard_message(lambda: plan_of(table_of(normal), **options), said)


def test_a_baseline_must_say_something():
    constant = table_of(normal).assign(before=7.0)
    guard_message(lambda: plan_of(constant, 4.0), "baseline is before, which is 7 for everybody")
    high = table_of(often).assign(before=lambda t: (t["before"] + 9) // 9.5)
    guard_message(lambda: plan_of(high, 0.99, rate=True), "no rate rises by that")


def test_shares_cannot_be_correlated_beyond_their_spread():
    shares = table_of(lambda rng, n: rng.beta(2, 8, n))
    values = shares["before"]
    most = values.std(ddof=0) / math.sqrt(values.mean() * (1 - values.mean()))
    plan_of(shares, 0.1, rate=True, correlation=0.99 * most)
    refused = "correlation is 0.8, but shares that differ as little as before does are"
    guard_message(lambda: plan_of(shares, 0.1, rate=True, correlation=0.8), refused)
    plan_of(table_of(often), 0.1, rate=True, correlation=0.9)  # 0 and 1 may be
