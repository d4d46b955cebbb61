"""A search for segments: said truly what was found, and measured by users who did not search."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from helpers import InputError, finder, heterogeneity
from tests.guards import caught, guard_message, share

KINDS = {  # of a world: the treated share, and what a user without treatment brings
    "a normal one": (0.5, lambda rng, n: rng.normal(20, 10, n)),
    "one in ten treated": (0.1, lambda rng, n: rng.normal(20, 10, n)),
    "a frequent rate": (0.5, lambda rng, n: (rng.random(n) < 0.4).astype(float)),
    "a rare rate": (0.5, lambda rng, n: (rng.random(n) < 0.03).astype(float)),
    "a tail": (0.5, lambda rng, n: np.where(rng.random(n) < 0.3, rng.lognormal(3, 1, n), 0)),
}


def people(rng, n):
    numbers = {"days": rng.integers(1, 200, n), "score": rng.normal(0, 1, n)}
    names = {"town": rng.choice(["Oslo", "Rome", "Wien"], n), "phone": rng.random(n) < 0.6}
    return pd.DataFrame(numbers | names | {"student": (rng.random(n) < 0.3).astype(int)})


COLUMNS = list(people(np.random.default_rng(1), 2))


def log_of(kind="a normal one", n=2_000, seed=1, planted=0.0):
    """A log in which those with days above 120 gain what is planted."""
    rng = np.random.default_rng(seed)
    treated_share, brings = KINDS[kind]
    log = people(rng, n)
    treated = rng.random(n) < treated_share
    log["y"] = brings(rng, n) + planted * (treated & (log["days"] > 120))
    return log.assign(group=np.where(treated, "treatment", "control"))


# Halves, features, the tree and its words


def test_half_of_the_users_search():
    for users, treated in ((10, 5), (11, 3), (2_000, 201)):
        arm = np.random.default_rng(1).permutation(users) < treated
        chosen = finder.halves(arm, 3)
        assert len(chosen) == users and abs(chosen.sum() - users / 2) <= 1
        assert abs(chosen[arm].sum() - treated / 2) <= 0.5  # of each arm
        assert (finder.halves(arm, 3) == chosen).all()
    assert (finder.halves(arm, 4) != chosen).any()
    guard_message(lambda: finder.halves(arm, -1), "seed is -1")


def test_numbers_stay_and_names_become_columns():
    table = finder.features(log_of(n=50)[COLUMNS])
    towns = [f"town = {name}" for name in ("Oslo", "Rome", "Wien")]
    assert list(table) == ["days", "score", "phone", "student", *towns]
    assert (table[towns].sum(axis=1) == 1).all() and set(table.dtypes) == {np.dtype(float)}


def mean_is_the_lift(moved, treated, y):
    assert moved == pytest.approx(y[treated].mean() - y[~treated].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_tree_that_cannot_cut_holds_the_lift_of_all(kind):
    """The mean of what the tree cuts is the lift, for any share of treated."""
    log = log_of(kind, n=90)
    table, treated, y = finder.features(log[COLUMNS]), log["group"] == "treatment", log["y"]
    tree = finder.grow(table, treated.to_numpy(), y.to_numpy())
    assert finder.rules(tree, table) == {0: finder.ALL}
    share = treated.mean()
    spread = ((y - y.mean()) * (treated - share) / (share * (1 - share))).std(ddof=0)
    mean = spread * tree.tree_.value[0, 0, 0]  # the tree sees numbers with a spread of 1
    mean_is_the_lift(mean, treated, y)
    caught(lambda by: mean_is_the_lift(mean * by, treated, y), 1.01)


def test_no_segment_is_smaller_than_allowed():
    for kind, fewest in (("a normal one", 100), ("one in ten treated", 223)):
        log = log_of(kind, n=2_000)
        treated = (log["group"] == "treatment").to_numpy()
        tree = finder.grow(finder.features(log[COLUMNS]), treated, log["y"].to_numpy())
        sizes = tree.tree_.n_node_samples[tree.tree_.children_left < 0]
        assert 2 <= len(sizes) <= finder.MOST and sizes.min() >= fewest


@pytest.mark.parametrize("seed", range(5))
def test_a_large_effect_is_found_where_it_is(seed):
    log = log_of(seed=seed, n=4_000, planted=12.0)
    found = finder.search(log, COLUMNS, "y", 4.0)
    best = log[found.segment == found.table.index[0]]
    assert (best["days"] > 118).all() and found.q_p < 0.01
    assert found.q_p >= 1 / 1_001  # the log is one more experiment: p is never 0
    assert found.values.loc[finder.TREATED, "measured"] > found.values.loc[finder.ALL, "measured"]


def belongs(rule, table):
    """Who is in a segment, by its words alone."""
    inside = pd.Series(True, table.index)
    for part in rule.split(", "):
        name, over, up_to = re.fullmatch(
            r"(.*?)(?: over (-?[\d.,e+-]+))?(?: up to (-?[\d.,e+-]+))?", part
        ).groups()
        if over or up_to:
            inside &= table[name] > float(over.replace(",", "")) if over else True
            inside &= table[name] <= float(up_to.replace(",", "")) if up_to else True
        elif part != finder.ALL:
            inside &= table[name.removeprefix("not ")] == (not name.startswith("not "))
    return inside


def guard_words(rules_of):
    for seed in range(12):
        log = log_of(seed=seed, n=1_200)
        table, treated = finder.features(log[COLUMNS]), (log["group"] == "treatment").to_numpy()
        tree = finder.grow(table, treated, log["y"].to_numpy())
        leaf = tree.apply(table.to_numpy())
        rough = table.assign(score=table["score"].round(4))
        for number, rule in rules_of(tree, table).items():
            agree = belongs(rule, table) == (leaf == number)
            assert agree.mean() > 0.995 if "score" in rule else agree.all(), (rule, rough)


def test_the_words_of_a_segment_say_who_is_in_it():
    """Numbers that are not whole are rounded; all others are exact."""
    guard_words(finder.rules)

    def exchanged(tree, table):
        rules = finder.rules(tree, table)
        return dict(zip(rules, reversed(rules.values()), strict=True))

    caught(guard_words, exchanged)


def test_what_goes_without_saying_is_not_said():
    """In Rome is not in Oslo; but a column of its own, which others have as well, is said."""
    rng = np.random.default_rng(2)
    town = rng.choice(["Oslo", "Rome", "Wien"], 1_200)
    table = finder.features(pd.DataFrame({"town": town, "member": rng.random(1_200) < 0.5}))
    effect = 9 * table["town = Oslo"] + 5 * table["town = Rome"] + table["member"] * 2
    treated = rng.random(1_200) < 0.5
    y = (treated * effect + rng.normal(0, 0.5, 1_200)).to_numpy()
    rules = finder.rules(finder.grow(table, treated, y), table).values()
    assert any(re.search("(^|, )not town = ", rule) for rule in rules)  # where none is said
    assert not any("not town" in rule for rule in rules if re.search("(^|, )town = ", rule))
    assert any("not member" in rule and "town = " in rule for rule in rules)


def test_whole_numbers_are_said_as_whole_numbers():
    found = [finder.search(log_of(seed=s), COLUMNS, "y", 1.0) for s in range(6)]
    said = " ".join(rule for one in found for rule in one.table.index)
    assert re.search(r"days (over|up to) \d+\b(?!\.\d)", said)
    assert not re.search(r"days over \d+\.", said) and not re.search(r"phone (over|up to)", said)


# The search


def guard_measured(search):
    """Claims come from the half that searched, lifts and intervals from the other one."""
    log = log_of(planted=3.0, n=2_000)
    found = search(log, COLUMNS, "y", 1.0)
    own = log.assign(found=found.segment)
    level = 0.05 / len(found.table)
    by_others = heterogeneity.compare_segments(
        own[~found.searched], "found", "y", confidence=1 - level
    )
    claims = heterogeneity.compare_segments(own[found.searched], "found", "y")["lift"]
    for column in ("lift", "ci_low", "ci_high"):
        expected = by_others.loc[found.table.index, column]
        assert np.allclose(found.table[column].astype(float), expected.astype(float))
    assert np.allclose(found.table["claimed"], claims[found.table.index].astype(float))
    assert found.table["claimed"].is_monotonic_decreasing
    assert found.table["users"].sum() == len(log)
    measured = own["found"][~found.searched].value_counts()[found.table.index]
    assert (found.table["others"] == measured).all()
    assert (found.table["users"] == own["found"].value_counts()[found.table.index]).all()


def by_those_who_searched(log, *given, **more):
    found = finder.search(log, *given, **more)
    return found._replace(searched=~found.searched)


def test_found_by_some_users_measured_by_others():
    guard_measured(finder.search)
    caught(guard_measured, by_those_who_searched)


@pytest.mark.parametrize("kind", KINDS)
def test_the_arms_are_mirrored(kind):
    log = log_of(kind, planted=3.0 if kind == "a normal one" else 0.0)
    share_c = 1 - KINDS[kind][0]
    one = finder.search(log, COLUMNS, "y", 0.5, control_share=share_c)
    other = finder.search(log, COLUMNS, "y", 0.5, control="treatment", control_share=1 - share_c)
    assert (one.segment == other.segment).all()
    back = other.table.loc[one.table.index]
    assert np.allclose(one.table["claimed"], -back["claimed"])
    assert np.allclose(one.table["lift"].astype(float), -back["lift"].astype(float))
    assert np.allclose(one.table["ci_low"].astype(float), -back["ci_high"].astype(float))
    assert one.ratio_p == pytest.approx(other.ratio_p)


def test_other_names_and_another_order_of_columns_change_nothing_that_is_measured():
    log = log_of(planted=3.0)
    one = finder.search(log, COLUMNS, "y", 0.5)
    renamed = log.rename(columns={"y": "segment", "group": "half"})
    renamed["half"] = renamed["half"].replace({"control": "A", "treatment": "B"})
    other = finder.search(renamed, COLUMNS, "segment", 0.5, group="half", control="A")
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one.q_p == other.q_p


def guard_values(values, found, log, worth):
    """By users: each brings the lift of the segment, by the others, less the cost, if treated."""
    others = ~found.searched
    lifts = found.segment[others].map(found.table["lift"].astype(float))
    chosen = found.segment[others].map(found.table["claimed"]) > worth
    gains = lifts - worth
    measured = values["measured"]
    assert measured[finder.NOBODY] == 0
    assert measured[finder.ALL] == pytest.approx(gains.mean())
    assert measured[finder.TREATED] == pytest.approx((gains * chosen).mean())
    assert measured[finder.LESS] == pytest.approx(-(gains * ~chosen).mean())
    claims = found.segment[found.searched].map(found.table["claimed"]) - worth
    assert values.loc[finder.ALL, "claimed"] == pytest.approx(claims.mean())
    assert values.loc[finder.TREATED, "claimed"] == pytest.approx(claims.clip(lower=0).mean())
    assert values.loc[finder.TREATED, "treated"] == pytest.approx(chosen.mean())
    own = log.assign(found=found.segment)[others]
    error = heterogeneity.compare_segments(own, "found", "y")["se"].astype(float)
    part = own["found"].value_counts(normalize=True)
    half = 1.959964 * np.sqrt(((part * error) ** 2).sum())
    ends = values.loc[finder.ALL, finder.ENDS].astype(float)
    assert np.allclose(ends, [gains.mean() - half, gains.mean() + half])


@pytest.mark.parametrize("worth", [0.2, 1.5, 50.0])
def test_what_policies_are_worth(worth):
    log = log_of(planted=3.0)
    found = finder.search(log, COLUMNS, "y", worth)
    guard_values(found.values, found, log, worth)
    if worth == 1.5:
        caught(lambda by: guard_values(found.values * by, found, log, worth), [1, 1, 1.01, 1, 1])
        by_lift = found._replace(table=found.table.assign(claimed=found.table["lift"]))
        caught(lambda other: guard_values(found.values, other, log, worth), by_lift)


def true_values(rng, planted, worth):
    """One world: the measured values and their intervals, and the truth for the same users."""
    log = log_of(seed=int(rng.integers(2**31)), n=1_000, planted=planted)
    found = finder.search(log, COLUMNS, "y", worth)
    truth = planted * (log["days"] > 120) - worth
    chosen = found.segment.map(found.table["claimed"]) > worth
    true = [truth.mean(), truth[chosen].sum() / len(log), -truth[~chosen].sum() / len(log)]
    rows = found.values.loc[[finder.ALL, finder.TREATED, finder.LESS]]
    held = (rows["ci_low"] <= true) & (true <= rows["ci_high"])
    return [*(rows["claimed"] - true), *(rows["measured"] - true), *held]


def test_values_are_right_on_average_and_claims_are_not(monkeypatch):
    monkeypatch.setattr(finder, "_q_p", lambda *_: math.nan)
    monkeypatch.setattr(finder.coins, "RUNS", 100)  # most of the time
    rng = np.random.default_rng(8)
    runs = np.array([true_values(rng, planted=2.0, worth=0.8) for _ in range(80)])
    off, error = runs.mean(axis=0), runs.std(axis=0) / np.sqrt(len(runs))
    assert off[1] > 6 * error[1]  # the claim of the segments found
    assert (np.abs(off[3:6]) < 4 * error[3:6]).all()
    assert (np.abs(runs[:, 6:].mean(axis=0) - 0.95) < 0.075).all()


def intervals_that_hold(kind, measured_by, worlds=100, level=0.9):
    """The share of 90 % intervals of found segments that hold the truth: no effect anywhere."""
    held = []
    for seed in range(worlds):
        log = log_of(kind, n=2_000, seed=seed)
        treated = (log["group"] == "treatment").to_numpy()
        half = finder.halves(treated, seed)
        table, y = finder.features(log[COLUMNS]), log["y"].to_numpy()
        leaf = finder.grow(table[half], treated[half], y[half]).apply(table.to_numpy())
        part = log.assign(leaf=leaf)[measured_by(half)]
        found = heterogeneity.compare_segments(part, "leaf", "y", confidence=level)
        held += list((found["ci_low"] <= 0) & (found["ci_high"] >= 0))
    return share(np.array(held))


def others(half):
    return ~half


def the_same(half):
    return half


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_hold_by_other_users_and_not_by_the_same(kind):
    """Honest near its promise, dishonest far below it, in every kind of world."""
    assert 0.85 < intervals_that_hold(kind, others) < 0.98  # above for rare rates
    assert intervals_that_hold(kind, the_same) < 0.75


def alarms(kind, search, worlds=40):
    found = [
        search(
            log_of(kind, n=1_600, seed=seed), COLUMNS, "y", 0.1, control_share=1 - KINDS[kind][0]
        )
        for seed in range(worlds)
    ]
    return share(np.array([one.q_p < 0.05 for one in found]))


def guard_null(kind, search):
    """Segments are not said to hold more often than promised (by chance up to 17 %)."""
    assert alarms(kind, search) < 0.175


def searched_by_all(log, columns, outcome, worth, **more):
    """A search that measures by the users who found: the plant."""
    twice = pd.concat([log, log], ignore_index=True)
    halves = finder.halves
    finder.halves = lambda arm, _seed: np.arange(len(arm)) < len(arm) // 2
    try:
        return finder.search(twice, columns, outcome, worth, **more)
    finally:
        finder.halves = halves


@pytest.mark.parametrize("kind", ["one in ten treated", "a rare rate", "a tail"])
def test_in_logs_without_a_difference_segments_seldom_hold(kind, monkeypatch):
    monkeypatch.setattr(finder.coins, "RUNS", 200)
    guard_null(kind, finder.search)
    if kind == "a tail":
        caught(lambda search: guard_null(kind, search), searched_by_all)


@pytest.mark.parametrize(("tested", "known"), [(60, True), (40, False)])
def test_where_most_coins_leave_nothing_to_test_there_is_no_p(tested, known, monkeypatch):
    true = finder.coins.new_coins

    def lame(users, segment, outcome, *given):
        luck = true(users, segment, outcome, *given)
        return luck._replace(q=np.where(np.arange(len(luck.q)) % 100 < tested, luck.q, np.nan))

    monkeypatch.setattr(finder.coins, "new_coins", lame)
    q_p = finder._q_p(
        log_of(n=400),
        heterogeneity.compare_segments(log_of(n=400), "phone", "y"),
        finder.decisions.Goal("y", 1.0),
        finder.decisions.Design("phone"),
    )
    assert math.isnan(q_p) != known


# What cannot be done


def test_too_few_users_are_refused():
    for kind, users, needed in (("a normal one", 190, 200), ("one in ten treated", 700, 1_000)):
        log = log_of(kind, n=users)
        with pytest.raises(InputError) as refused:
            finder.search(log, COLUMNS, "y", 1.0, control_share=1 - KINDS[kind][0])
        assert f"has {users} users" in str(refused.value)
        said = int(re.search(r"needs ([\d,]+)", str(refused.value))[1].replace(",", ""))
        assert 0.8 * needed <= said < 1.4 * needed


@pytest.mark.parametrize("seed", range(30))
def test_whether_a_log_is_large_enough_does_not_hang_on_the_seed(seed):
    """One just large enough is searched with any seed."""
    log = log_of(n=212, seed=3)
    finder.search(log, COLUMNS, "y", 1.0, seed=seed)


def test_an_outcome_that_hardly_anybody_has_is_refused():
    log = log_of(n=400)
    few = log.assign(y=np.where(np.arange(400) < 19, log["y"], 0.0))
    guard_message(lambda: finder.search(few, COLUMNS, "y", 1.0), "y is 0", "19 users")


def test_a_column_that_tells_the_arms_apart_is_refused():
    log = log_of(n=800, planted=9.0)
    log["late"] = np.where(log["group"] == "treatment", 5.0, 1.0)
    guard_message(lambda: finder.search(log, ["late"], "y", 1.0), "users of one arm only")


def test_where_nothing_can_be_cut_all_users_are_one_segment():
    log = log_of(n=400).assign(flat=1.0)
    found = finder.search(log, ["flat"], "y", 1.0)
    assert list(found.table.index) == [finder.ALL] and math.isnan(found.q_p)


def test_where_nobody_differs_nothing_is_tested():
    log = log_of(n=400).assign(spent=2.0)
    guard_message(lambda: finder.search(log, COLUMNS, "spent", 1.0), "spent is 2 for all but 0")


def test_a_segment_that_cannot_be_measured_leaves_the_others_measured():
    """Of those that are not to be treated, nothing is needed."""
    names = ["n_control", "n_treatment", "lift", "se"]
    claims = pd.DataFrame([[10, 10, 5.0, 1.0], [10, 10, -5.0, 1.0]], ["a", "b"], names)
    held = claims.assign(lift=[3.0, math.nan], se=[1.0, math.nan])
    values = finder._values(claims, held, 1.0)["measured"]
    assert values[finder.TREATED] == 1.0 and math.isnan(values[finder.ALL])


# Values and names that are easily taken for one another

NEAR = {  # values that are easily taken for one another, by six digits or by a tree
    "days of a calendar": lambda rng, n: 20_240_600 + rng.integers(1, 30, n),
    "seconds": lambda rng, n: 1_700_000_000 + rng.integers(0, 200, n),
    "degrees": lambda rng, n: 47.1234567 + 1e-7 * rng.integers(0, 40, n),
    "tiny": lambda rng, n: 1e-10 * rng.integers(-9, 9, n),
    "near one": lambda rng, n: 1 + 1e-9 * rng.integers(0, 50, n),
    "negative": lambda rng, n: -rng.integers(1, 50, n) / 2,
    "large": lambda rng, n: 1e11 * rng.integers(1, 9, n),
}


def guard_near(name):
    """A planted jump is found, and the words of every segment select just its users."""
    rng = np.random.default_rng(5)
    log = log_of(n=1_600, seed=2).assign(x=NEAR[name](rng, 1_600))
    middle = np.median(log["x"])
    log["y"] += 30 * ((log["x"] > middle) & (log["group"] == "treatment"))
    found = finder.search(log, ["x"], "y", 1.0)
    assert found.segment.nunique() == len(found.table) >= 2
    best = log[found.segment == found.table.index[0]]
    assert (best["x"] > middle).mean() > 0.95
    for rule in found.table.index:
        assert (belongs(rule, log) == (found.segment == rule)).all(), rule


@pytest.mark.parametrize("name", NEAR)
def test_values_that_lie_near_each_other_stay_apart(name, monkeypatch):
    guard_near(name)
    if name in ("days of a calendar", "degrees"):

        def six_digits(values, place):
            return f"{values[place]:.6g}"

        monkeypatch.setattr(finder, "_written", six_digits)
        caught(guard_near, name)


def guard_alike(rules):
    """A column "a = x" beside a column a with the value x, which nobody has together."""
    rng = np.random.default_rng(3)
    text = rng.choice(["x", "z"], 900)
    own = (text == "z") & (rng.random(900) < 0.5)
    table = finder.features(pd.DataFrame({"a = x": own, "a": text})).iloc[:, :2]
    treated = rng.random(900) < 0.5
    y = 9.0 * treated * (table.iloc[:, 0] + 2 * table.iloc[:, 1]) + rng.normal(0, 1, 900)
    tree = finder.grow(table, treated, y.to_numpy())
    found = rules(tree, table)
    assert len(set(found.values())) == len(found) == tree.get_n_leaves() == 3


def test_columns_called_alike_make_no_segment_of_two():
    guard_alike(finder.rules)

    def alike(tree, table):
        return {n: rule.removesuffix(" (2)") for n, rule in finder.rules(tree, table).items()}

    caught(guard_alike, alike)


def test_a_tiny_outcome_is_searched_too():
    log = log_of(n=1_600, planted=30.0)
    tiny = log.assign(y=log["y"] * 1e-9)
    one, other = (finder.search(table, COLUMNS, "y", 1e-9) for table in (log, tiny))
    assert (one.segment == other.segment).all()
