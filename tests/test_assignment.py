"""Who gets what: exact in every stratum, by chance, and the same list whatever the order of rows.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import numpy as np
import pandas as pd
import pytest

from helpers import assignment
from tests.guards import caught, guard_message


def customers_of(n=400, seed=5, draw=None):
    rng = np.random.default_rng(seed)
    values = (draw or (lambda rng, n: rng.lognormal(3, 1, n)))(rng, n)
    names = rng.choice(["web", "store", "phone"], n, p=[0.6, 0.35, 0.05])
    ids = [f"C{number:05d}" for number in rng.permutation(n)]
    return pd.DataFrame({"customer": ids, "channel": names, "spent": values})


def assign_of(customers, assign=assignment.assign, **options):
    return assign(customers, "customer", "channel", "spent", **options)


def by_coin(customers, user, segment, baseline, control_share=0.5, seed=42):
    """A coin a customer."""
    listed = assignment.assign(customers, user, segment, baseline, control_share, seed)
    heads = np.random.default_rng(seed).random(len(listed)) < control_share
    return listed.assign(group=np.where(heads, "control", "treatment"))


def as_they_come(customers, user, segment, baseline, control_share=0.5, seed=42):
    """The luck goes by the place in the file."""
    listed = assignment.assign(customers, user, segment, baseline, control_share, seed)
    arms = listed.set_index(user)["group"].to_numpy()
    return listed.assign(group=pd.Series(arms, customers[user]).reindex(listed[user]).to_numpy())


def guard_exact(assign):
    """In each stratum, each segment and in all, control has its share, rounded up or down."""
    for n, share, seed in [(400, 0.5, 1), (401, 0.5, 2), (997, 0.9, 3), (300, 1 / 3, 4)]:
        listed = assign_of(customers_of(n, seed), assign, control_share=share, seed=seed)
        whole = listed.assign(everyone="")
        for part in ("stratum", "segment", "everyone"):
            arms = (whole["group"] == "control").groupby(whole[part])
            assert ((arms.sum() - share * arms.size()).abs() < 1).all(), (n, share, part)


def guard_order(assign):
    """The order of rows, and columns that are not used, change nothing."""
    customers = customers_of()
    listed = assign_of(customers, assign)
    for seed in range(3):
        mixed = customers.sample(frac=1, random_state=seed).assign(shoes=seed)
        pd.testing.assert_frame_equal(assign_of(mixed, assign), listed)


@pytest.mark.parametrize("guard, faulty", [(guard_exact, by_coin), (guard_order, as_they_come)])
def test_lists(guard, faulty):
    guard(assignment.assign)
    caught(guard, faulty)


def test_columns():
    customers = customers_of()
    listed = assign_of(customers)
    assert list(listed) == ["customer", "segment", "stratum", "baseline", "group"]
    assert listed["customer"].is_monotonic_increasing and listed["customer"].is_unique
    own = customers.set_index("customer").loc[listed["customer"]]
    assert (own["spent"].to_numpy() == listed["baseline"]).all()
    assert (own["channel"].to_numpy() == listed["segment"]).all()
    numbers = assign_of(customers.assign(customer=[str(i) for i in range(400)]))
    assert numbers["customer"].tolist() == [str(i) for i in range(400)]


def test_seeds_know_nothing_of_each_other():
    customers = customers_of()
    same = pd.DataFrame({s: assign_of(customers, seed=s)["group"] == "control" for s in range(60)})
    alike = [(same[a] == same[a + 1]).mean() for a in range(59)]
    assert np.mean(alike) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(59 * 400))
    assert same[0].equals(assign_of(customers, seed=0)["group"] == "control")


@pytest.mark.parametrize("share", [0.5, 0.9, 0.3])
def test_everybody_has_the_same_chance(share):
    strata = np.repeat([0, 1, 2, 3], [7, 10, 4, 1])
    rng = np.random.default_rng(2)
    arms = np.stack([assignment.draw(strata, share, rng) for _ in range(8_000)])
    spread = np.sqrt(share * (1 - share) / 8_000)
    assert np.abs((arms == 0).mean(axis=0) - share).max() < 4.5 * spread
    both = np.corrcoef(arms[:, 0], arms[:, 12])[0, 1]  # of different strata: hardly linked
    assert abs(both) < 0.1


def test_strata_are_thirds_inside_segments():
    customers = customers_of(2_000)
    part = assignment.strata(customers["channel"], customers["spent"])
    sizes = part.value_counts()
    assert (
        len(sizes) == 9 and sizes.groupby(sizes.index.str.split(",").str[0]).agg(np.ptp).max() <= 1
    )
    for _, inside in customers.assign(part=part).groupby("channel"):
        ends = inside.groupby("part")["spent"].agg(["min", "max"]).sort_values("min")
        assert (ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all()
        assert [name.split(", ")[1] for name in ends.index] == ["low", "middle", "high"]


def zeros(rng, n):
    return np.where(rng.random(n) < 0.7, 0.0, rng.exponential(9, n))


def rates(rng, n):
    return (rng.random(n) < 0.1).astype(float)


def nothing(rng, n):
    return np.full(n, 3.0)


@pytest.mark.parametrize("draw", [zeros, rates, nothing])
@pytest.mark.parametrize("n", [9, 60, 900])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_equal_baselines_stay_together_and_no_stratum_is_too_small(draw, n, share):
    customers = customers_of(n, draw=draw).assign(channel="web")
    part = assignment.strata(customers["channel"], customers["spent"], share)
    assert customers["spent"].groupby(customers["spent"]).size().sum() == n
    assert (part.groupby(customers["spent"]).nunique() == 1).all()
    least = part.value_counts().min() * min(share, 1 - share)
    assert least >= 2 or part.nunique() == 1


def test_balance_is_seen_before_anything_is_sent():
    customers = customers_of(3_000)
    table = assignment.balance(assign_of(customers, control_share=0.4))
    assert list(table.index) == ["all users", "phone", "store", "web"]
    listed = assign_of(customers, control_share=0.4)
    means = listed.groupby("group")["baseline"].mean()
    row = table.loc["all users"]
    assert row["difference"] == pytest.approx(means["treatment"] - means["control"])
    assert row["in_sds"] == pytest.approx(row["difference"] / listed["baseline"].std())
    assert row["control"] + row["treatment"] == 3_000

    customers = customers_of(3_000, draw=lambda rng, n: rng.normal(50, 10, n))
    coins = [by_coin(customers, "customer", "channel", "spent", seed=s) for s in range(40)]
    lists = [assign_of(customers, seed=s) for s in range(40)]
    apart = [
        np.std([assignment.balance(one)["in_sds"].iloc[0] for one in some])
        for some in (coins, lists)
    ]
    assert apart[1] < 0.65 * apart[0]


def test_bad_numbers():
    guard_message(lambda: assign_of(customers_of(), control_share=0), "control_share is 0")
    guard_message(lambda: assign_of(customers_of(), seed=-1), "seed is -1")
