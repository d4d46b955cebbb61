"""Decisions: every kind of metric, several arms, margins and guardrails, by simulation.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from helpers import coins, decisions, inference, metrics, words
from helpers.adjustment import compare_adjusted
from helpers.decisions import Design, Goal
from tests.guards import caught, guard_message, share

LOGS = 50


@pytest.fixture(autouse=True)
def fewer_coins(monkeypatch):
    monkeypatch.setattr(coins, "RUNS", 200)


def a_log(rng, n=240, arms=("control", "treatment"), share_c=0.5, lift=0.0, segments=3):
    """Users with clicks in views, a number that was known before, spend and conversions."""
    others = [(1 - share_c) / (len(arms) - 1)] * (len(arms) - 1)
    group = rng.choice(arms, n, p=[share_c, *others])
    before, views = rng.normal(20, 5, n), rng.integers(1, 9, n)
    treated = group != "control"
    return pd.DataFrame(
        {
            "group": group,
            "place": rng.choice([f"s{i}" for i in range(segments)], n),
            "before": before,
            "views": views,
            "clicks": rng.binomial(views, np.clip(rng.beta(2, 6, n) + lift * treated, 0, 1)),
            "spend": before + rng.normal(0, 3, n) + lift * treated,
            "bought": (rng.random(n) < np.clip(0.3 + lift * treated, 0, 1)).astype(int),
        }
    )


GOALS = {
    "ratio": Goal("clicks", worth=0.05, per="views"),
    "adjusted": Goal("spend", worth=1.0, covariate="before"),
    "mean": Goal("spend", worth=1.0),
    "rate": Goal("bought", worth=0.1),
}

# Each row is what the test of its kind says, at the level of the row


def by_hand(part, kind, level):
    """lift, interval and p of one segment and arm, without `decisions`."""
    control, treated = (part[(part["group"] == "control") == is_c] for is_c in (True, False))
    if kind == "ratio":
        pairs = [arm[name] for arm in (control, treated) for name in ("clicks", "views")]
        found = metrics.compare_ratios(*pairs, 1 - level)
    elif kind == "adjusted":
        arms = part["group"] != "control"
        found = compare_adjusted(part["spend"], arms, part["before"], 1 - level)
    elif kind == "mean":
        found = inference.compare_means(control["spend"], treated["spend"], 1 - level)
    else:
        counts = [f(arm["bought"]) for arm in (control, treated) for f in (sum, len)]
        found = inference.compare_rates(*counts, 1 - level)
    return [found.lift, found.ci_low, found.ci_high, found.p_value]


def guard_rows(judge):
    """All users at a / A, segments at a / (A S); rows in order, p not corrected."""
    arms = ("control", "blue", "green")
    log = a_log(np.random.default_rng(3), 900, arms, 1 / 3)
    for kind, goal in GOALS.items():
        table = judge(log, goal, Design("place", confidence=0.9))
        where = [("all users", 2), ("s0", 6), ("s1", 6), ("s2", 6)]
        wanted = [(name, arm) for name, _ in where for arm in ("blue", "green")]
        assert list(zip(table["segment"], table["arm"], strict=True)) == wanted
        levels = [0.1 / tests for _, tests in where for _ in range(2)]
        assert table["level"].tolist() == pytest.approx(levels)
        for row in table.itertuples():
            part = log[log["group"].isin(["control", row.arm])]
            part = part if row.segment == "all users" else part[part["place"] == row.segment]
            seen = [row.lift, row.ci_low, row.ci_high, row.p_value]
            assert seen == pytest.approx(by_hand(part, kind, row.level), rel=1e-9)
            assert row.decision == words.decision(row.ci_low, row.ci_high, goal.worth)


def not_corrected_for_arms(log, goal, design):
    table = decisions.judge(log, goal, design)
    return table.assign(level=table["level"] * 2)


def arm_by_arm(log, goal, design):
    return decisions.judge(log, goal, design).sort_values("arm", kind="stable")


def test_rows_levels_and_intervals():
    guard_rows(decisions.judge)
    for faulty in (not_corrected_for_arms, arm_by_arm):
        caught(guard_rows, faulty)


@pytest.mark.parametrize("kind", GOALS)
def test_swapped_arms_mirror(kind):
    log = a_log(np.random.default_rng(4), lift=0.02)
    turned = log.assign(group=log["group"].map({"control": "treatment", "treatment": "control"}))
    goal = GOALS[kind]
    one, other = (decisions.judge(table, goal, Design("place")) for table in (log, turned))
    assert one["lift"].to_numpy() == pytest.approx(-other["lift"].to_numpy())
    assert one["ci_low"].to_numpy() == pytest.approx(-other["ci_high"].to_numpy())
    assert one["p_value"].to_numpy() == pytest.approx(other["p_value"].to_numpy())
    less = decisions.judge(turned, goal._replace(lower_is_better=True), Design("place"))
    assert less["decision"].tolist() == one["decision"].tolist()


# What luck makes of them


def claims(table):
    """Some row claims an effect: its interval leaves out zero, and it is to be read."""
    out = (table["ci_low"] > 0) | (table["ci_high"] < 0)
    return bool((out & ~table["decision"].str.startswith(words.DO_NOT_READ)).any())


@pytest.fixture
def users_need_not_be_counted(monkeypatch):
    monkeypatch.setattr(decisions.power, "sample_size", lambda *_, **__: 1.0)


def guard_null(judge, kind, arms, logs=LOGS):
    """Without effect all users claim one in 5 % of logs at most, and so do the segments."""
    rng, found = np.random.default_rng(5), []
    for seed in range(logs):
        log = a_log(rng, 160, arms, 1 / len(arms), segments=2)
        table = judge(log, GOALS[kind], Design("place", seed=seed))
        everyone = table["segment"] == "all users"
        found.append([claims(table[everyone]), claims(table[~everyone])])
    for kind_of_row in np.array(found).T:
        assert share(kind_of_row) < 0.05 + 3.2 * math.sqrt(0.05 * 0.95 / logs)


def wide_open(log, goal, design):
    """At 95 % for every arm and segment alone."""
    return decisions.judge(log, goal, design._replace(confidence=1 - 0.05 * 9))


THREE = ("control", "a", "b", "c")


@pytest.mark.usefixtures("users_need_not_be_counted")
@pytest.mark.parametrize(
    ("kind", "arms"), [("ratio", THREE[:2]), ("adjusted", THREE[:3]), ("rate", THREE)]
)
def test_no_effect_no_claim(kind, arms):
    guard_null(decisions.judge, kind, arms)


@pytest.mark.usefixtures("users_need_not_be_counted")
def test_intervals_without_correction_claim_too_much():
    caught(lambda judge: guard_null(judge, "rate", THREE, 20), wide_open)


def guard_margin(judge):
    """At a true lift that is just the margin, "not worse" is said of it in 2.5 % at most."""
    for lower in (False, True):
        rng, said = np.random.default_rng(6), []
        for seed in range(LOGS):
            log = a_log(rng, lift=1.0 if lower else -1.0)
            goal = Goal("spend", margin=1.0, lower_is_better=lower, covariate="before")
            decision = judge(log, goal, Design(seed=seed))["decision"].iloc[0]
            said.append(decision.startswith(words.NOT_WORSE))
        assert share(said) < 0.025 + 3.2 * math.sqrt(0.025 * 0.975 / LOGS)
    sure = judge(a_log(rng, 2_000), Goal("spend", margin=1.0, covariate="before"), Design())
    assert sure["decision"].iloc[0].startswith(words.NOT_WORSE)


def not_significant_is_not_worse(log, goal, design):
    table = decisions.judge(log, goal, design)
    return table.assign(decision=np.where(table["p_value"] > 0.01, words.NOT_WORSE, words.HOLD))


@pytest.mark.usefixtures("users_need_not_be_counted")
def test_not_worse_is_seldom_said_falsely():
    guard_margin(decisions.judge)
    caught(guard_margin, not_significant_is_not_worse)


def test_coins_know_the_ratio_and_the_covariate():
    """Their p-values are uniform where the test is right, and are those of the test itself."""
    log = a_log(np.random.default_rng(7), 600)
    for more in ({"bottom": "views"}, {"before": "before"}):
        outcome = "clicks" if "bottom" in more else "spend"
        luck = coins.new_coins(log, "place", outcome, 0.4, 3, runs=400, **more)
        assert luck.q.size == luck.pooled.size == 0 and luck.p_value.shape == (400, 3)
        for p in (*luck.p_value.to_numpy().T, luck.everyone[0]):
            assert stats.kstest(p, "uniform").pvalue > 1e-4
    y, x = log["clicks"].to_numpy(float), log["views"].to_numpy(float)
    codes = np.zeros(600, dtype=int)
    sums = coins._flip_numbers(codes, y, 0.5, np.random.default_rng(1), 1, x)
    heads = np.random.default_rng(1).random((1, 600), dtype=np.float32)[0] >= 0.5
    found = metrics.compare_ratios(y[~heads], x[~heads], y[heads], x[heads])
    assert coins._p_of_ratios(sums)[0, 0] == pytest.approx(found.p_value)


def test_coins_of_a_large_log_are_tossed_for_a_sample(monkeypatch):
    monkeypatch.setattr(coins, "MOST", 300)
    log = a_log(np.random.default_rng(8), 2_000)
    log.loc[:1_500, "place"] = "s0"  # a large segment leaves room for the small ones
    luck = coins.new_coins(log, "place", "spend", seed=1, runs=50)
    assert luck.p_value.notna().all(axis=None) and luck.everyone.notna().all(axis=None)
    codes = pd.factorize(log["place"], sort=True)[0]
    kept, _ = coins._some_of_each(codes, codes[:, None], 300, np.random.default_rng(1))
    assert np.bincount(kept).max() == 100 and np.bincount(kept).min() > 60
    assert coins.runs_for(2_000, False) == (200, 300)


# Guardrails

OPEN, WORSE = "collect more", "hold: worse than the margin"
NEEDS = "guardrail x may be worse than its margin (80 % power: 1,001 users in all)"
ASKED = {
    # decision by the goal, what one guardrail says: what is done
    ("ship", "not worse"): "ship",
    ("ship", "not worse: clear gain"): "ship",
    ("ship", OPEN): f"collect more: {NEEDS}",
    ("ship", WORSE): "hold: guardrail x worse than its margin",
    ("ship", "do not read: heavy tail"): "do not read: guardrail x, heavy tail",
    ("hold: clear loss", OPEN): "hold: clear loss",
    ("hold: clear loss", WORSE): "hold: clear loss; guardrail x worse than its margin",
    ("collect more", "not worse"): "collect more",
    ("collect more", OPEN): f"collect more: the outcome is open; {NEEDS}",
    ("collect more", "do not read: heavy tail"): "collect more: the outcome is open; guardrail x "
    "cannot be read",
    ("collect more", WORSE): "hold: guardrail x worse than its margin",
    ("not worse", OPEN): f"collect more: {NEEDS}",
    ("do not read: few users", OPEN): "do not read: few users",
    ("do not read: few users", WORSE): "hold: guardrail x worse than its margin",
    ("check the ratio: s1", WORSE): "check the ratio: s1",
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_guardrail_lets_pass_or_holds(asked):
    found, said = asked
    assert decisions._guarded(found, [("x", said, 1000.2, 300, 300)]) == ASKED[asked]
    assert decisions.by_goal(ASKED[asked]) in (found, "")


def test_all_guardrails_that_decide_are_named():
    several = [("x", WORSE, 9, 5, 5), ("y", OPEN, 9, 5, 5), ("z", WORSE, 9, 5, 5)]
    assert (
        decisions._guarded("ship", several) == "hold: guardrails x and z worse than their margins"
    )
    still = [("x", OPEN, 7.2, 300, 300), ("y", OPEN, 1e13, 300, 300)]
    assert decisions._guarded("ship", still) == (
        "collect more: guardrail x may be worse than its margin (the 8 users for 80 % power are "
        "there); guardrail y may be worse than its margin (80 % power: 1e+13 users in all)"
    )


def guard_all_of_them(decide):
    """It ships where the goal gains and no guardrail is broken, and only there."""
    rng = np.random.default_rng(9)
    log = a_log(rng, 3_000, lift=1.0)
    treated = log["group"] == "treatment"
    log["fine"] = rng.normal(0, 1, 3_000)
    log["broken"] = rng.normal(0, 1, 3_000) - 2 * treated
    goal = Goal("spend", worth=0.5, covariate="before")
    fine, broken = Goal("fine", margin=0.3), Goal("broken", margin=0.3)
    for guardrails, wanted in (
        ([], "ship"),
        ([fine], "ship"),
        ([broken], "hold: guardrail broken worse than its margin"),
        ([fine, broken], "hold: guardrail broken worse than its margin"),
        ([broken._replace(lower_is_better=True)], "ship"),
    ):
        table, *others = decide(log, goal, Design(), guardrails)
        assert table["decision"].tolist() == [wanted] and len(others) == len(guardrails)


def only_the_first(log, goal, design, guardrails):
    found = decisions.decide(log, goal, design, guardrails[:1])
    return found + found[1:] if len(guardrails) > 1 else found


def test_all_guardrails_decide():
    guard_all_of_them(decisions.decide)
    caught(guard_all_of_them, only_the_first)


# What cannot be used


def test_what_cannot_be_judged():
    log = a_log(np.random.default_rng(1), 60)
    goal = Goal("spend", worth=1.0)
    guard_message(
        lambda: decisions.judge(log.assign(place="all users"), goal, Design("place")),
        "segment has the value 'all users'",
    )
    guard_message(lambda: decisions.judge(log, goal, Design(confidence=1.0)), "confidence is 1.0")
    guard_message(lambda: decisions.judge(log, goal, Design(confidence=0.15)), "give 0.5 or more")
    guard_message(lambda: decisions.judge(log, goal, Design(control_share=0)), "control_share is 0")
    flat = log.assign(spend=2.0)
    guard_message(lambda: decisions.judge(flat, goal, Design()), "spend cannot be tested")


def test_an_arm_that_a_segment_lacks_leaves_a_blank_row():
    log = a_log(np.random.default_rng(2), 300, ("control", "a", "b"), 1 / 3)
    log = log[~((log["place"] == "s1") & (log["group"] == "b"))]
    log.loc[log["place"] == "s2", "before"] = 7.0  # nothing to adjust by
    table = decisions.judge(log, Goal("spend", worth=1.0, covariate="before"), Design("place"))
    rows = table.set_index(["segment", "arm"])
    assert rows.loc[("s1", "b"), "decision"].startswith(words.CHECK)  # its ratio is odd, too
    assert math.isnan(rows.loc[("s1", "b"), "lift"]) and rows.loc[("s1", "b"), "n_treatment"] == 0
    assert rows.loc["s2", "lift"].isna().all() and table.attrs["testable"] == 2
    assert len(table) == 8


@pytest.mark.parametrize("lower", [False, True])
def test_a_margin_is_claimed_against_its_own_edge(lower):
    """At a lift of three errors beyond the edge, on the good side, p is that of three errors."""
    goal = Goal("y", margin=2.0, lower_is_better=lower)
    lift = 2.0 - 3 * 0.5 if lower else -2.0 + 3 * 0.5
    table = pd.DataFrame({"t": [lift / 0.5], "se": [0.5], "df": [math.inf], "p_value": [0.3]})
    found = decisions._p_of_claim(table, goal)
    assert found.tolist() == pytest.approx([2 * stats.norm.sf(3)])


def test_the_sample_of_a_large_log_is_not_its_beginning(monkeypatch):
    monkeypatch.setattr(coins, "MOST", 300)
    log = a_log(np.random.default_rng(8), 2_000)
    log.loc[:999, "spend"] = 7.0  # of the first users alone nothing could be tested
    luck = coins.new_coins(log, "place", "spend", seed=1, runs=20)
    assert luck.everyone.notna().all(axis=None) and luck.p_value.notna().all(axis=None)
