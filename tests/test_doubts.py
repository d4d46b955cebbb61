"""Doubts: which decisions the luck of new coins forbids.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

from helpers import coins, doubts, heterogeneity, words
from tests.guards import caught, share
from tests.test_coins import a_log, exponential, lognormal

# Doubts


def uniform_luck(m=4, runs=1_000, seed=1):
    return pd.DataFrame(np.random.default_rng(seed).random((runs, m)))


def test_an_interval_that_keeps_its_promise_is_not_doubted():
    for seed in range(20):
        assert doubts.doubts(uniform_luck(seed=seed), pd.Series([0.5] * 4), 0.0125) == [""] * 4


def test_one_that_leaves_out_zero_too_often_is():
    luck = uniform_luck()
    luck[2] = luck[2] ** 2  # 11 % instead of 1.25 %
    share_of = words.percent((luck[2] < 0.0125).mean())
    said = f"without effect it leaves out zero in {share_of} of new coins, promised 1.2 %"
    assert doubts.doubts(luck, pd.Series([0.5] * 4), 0.0125) == ["", "", said, ""]
    luck[2] = luck[2].where(np.arange(1_000) < 300)
    said = "new coins seldom leave enough to test"
    luck[2] = luck[2].mask(np.arange(1_000) >= 100)
    assert doubts.doubts(luck, pd.Series([0.5] * 4), 0.0125)[2] == said


def test_many_that_leave_out_zero_a_little_too_often_are_doubted_together():
    """Of most of them counting cannot tell alone; together they come in 13 % of the runs."""
    luck, p = uniform_luck(m=40, runs=4_000), pd.Series([0.5] * 40)
    found = doubts.doubts(0.36 * luck, p, 0.05 / 40)
    assert sum("make some interval leave out zero, promised 5.0 %" in x for x in found) > 25
    assert "" not in found
    assert doubts.doubts(luck, p, 0.05 / 40) == [""] * 40


def test_few_who_differ_from_the_rest():
    treated = pd.Series(np.arange(400) % 2 == 1)
    buyers = pd.Series(np.where(np.arange(400) < 40, 7.5, 0.0))
    assert doubts.few_that_differ(buyers, treated) == ""
    fewer = buyers.where(np.arange(400) < 19, 0.0)
    said = "an arm has 9 users with another value than 0"
    assert doubts.few_that_differ(fewer, treated) == said
    assert doubts.few_that_differ(fewer + 3, ~treated) == said.replace(" 0", " 3")
    assert doubts.few_that_differ(pd.Series(range(6)), treated.head(6)) == ""


def test_a_result_that_new_coins_show_as_clear_is_doubted():
    """Where p-values hold, 0.0124 in one of four is hardly shown by luck; 1.5 times as often is."""
    p = pd.Series([0.011, 0.5, 0.6, 0.7])
    assert doubts.doubts(uniform_luck(), p, 0.0125) == [""] * 4
    lumpy = uniform_luck() * 0.6
    assert doubts.doubts(lumpy, p, 0.0125)[0].startswith("new coins show as much in ")
    assert doubts.doubts(lumpy, p * 0.01, 0.0125) == [""] * 4


def test_causes_are_named_where_they_are_seen():
    rng = np.random.default_rng(1)
    plain = pd.Series(rng.normal(0, 1, 1_000))
    tail = pd.Series(rng.lognormal(0, 2, 1_000))
    rare = pd.Series((np.arange(1_000) % 200 == 0).astype(int))
    assert doubts.causes(plain, 500, 500) == []
    assert doubts.causes(plain, 900, 100) == doubts.causes(plain, 100, 900) == ["unequal arms"]
    assert doubts.causes(plain.head(60), 30, 30) == ["few users"]
    assert doubts.causes(tail, 500, 500) == ["heavy tail"]
    assert doubts.causes(tail, 960, 40) == ["heavy tail", "unequal arms", "few users"]
    assert doubts.causes(rare, 500, 500) == ["few conversions"]
    assert doubts.causes(1 - rare, 500, 500) == ["few conversions"]


# The promise: a log without effect seldom gets a decision that claims one, or is not to be read


def buyers(rng, size):
    """Three in a hundred buy, for amounts with a heavy tail."""
    return rng.lognormal(3, 1.2, size) * (rng.random(size) < 0.03)


def converted(rng, size):
    return (rng.random(size) < 0.02).astype(int)


DESIGNS = [
    (8, 500, 0.9, buyers, 40),  # the last number: how many logs
    (4, 100, 0.8, lognormal, 25),
    (4, 300, 0.5, exponential, 20),
    (6, 400, 0.9, converted, 20),
    (10, 16, 0.5, exponential, 20),
]


@cache
def null_tables():
    """The decisions of each design, by two hundred new coins a log."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coins, "RUNS", 200)
        for m, n, control_share, draw, logs in DESIGNS:
            rng, tables = np.random.default_rng(m * n), []
            for seed in range(logs):
                log = a_log(rng, m, n, control_share, draw)
                # so much is worth having that no number of users has to be looked for
                options = {
                    "control_share": control_share,
                    "worth": 0.9 if draw is converted else 9 * log["y"].std(),
                }
                tables.append(heterogeneity.decide(log, "s", "y", seed=seed, **options))
            found.append(tables)
    return found


def guard_null(claims):
    """In 5 % of logs without effect some segment, or all users, seems to have one."""
    for rows in (slice(1, None), slice(0, 1)):
        found = [claims(table.iloc[rows]).any() for design in null_tables() for table in design]
        assert share(found) < 0.05 + 3.2 * math.sqrt(0.05 * 0.95 / len(found)), share(found)


def out_of_zero(table):
    return (table["ci_low"] > 0) | (table["ci_high"] < 0)


def read(table):
    silent = (words.DO_NOT_READ, words.CHECK, heterogeneity.NOT_TESTABLE)
    return ~table["decision"].str.startswith(silent)


def test_no_effect_no_claim():
    guard_null(lambda table: out_of_zero(table) & read(table))
    caught(guard_null, out_of_zero)  # what the intervals alone would say


def test_an_arm_with_few_buyers_is_not_held_for_want_of_a_gain(monkeypatch):
    """Every buyer spends a third more; nobody is told that no gain worth having is there."""
    monkeypatch.setattr(coins, "RUNS", 100)
    rng, false = np.random.default_rng(9), {True: [], False: []}
    for seed in range(30):
        log = a_log(rng, 6, 800, 0.9, buyers)
        log["y"] *= np.where(log["group"] == "control", 1, 4 / 3)
        worth = 0.1 * float(log["y"].mean())
        table = heterogeneity.decide(log, "s", "y", control_share=0.9, worth=worth, seed=seed)
        held = table["decision"].str.startswith(words.HOLD)
        false[True].append((held & read(table)).iloc[1:].any())
        false[False].append((table["ci_high"].iloc[1:] < worth).any())  # by the intervals alone
    assert share(false[True]) < 0.05 < 0.3 < share(false[False])


def test_where_the_intervals_do_not_hold_it_says_why():
    heavy = pd.concat(null_tables()[0])["decision"]
    doubted = heavy[heavy.str.startswith(words.DO_NOT_READ)]
    assert len(doubted) > len(heavy) / 4
    assert doubted.str.contains("heavy tail, unequal arms").mean() > 0.9
    quiet = pd.concat(null_tables()[2])["decision"]
    assert share(quiet.str.startswith(words.DO_NOT_READ)) < 0.02


def test_an_effect_is_still_seen():
    """Of a true lift of half a standard deviation nearly all is read, and ships."""
    rng, shipped = np.random.default_rng(4), []
    for seed in range(20):
        log = a_log(rng, 4, 600, 0.5, exponential)
        log["y"] += 0.5 * (log["group"] == "treatment")
        table = heterogeneity.decide(log, "s", "y", worth=0.1, seed=seed)
        shipped += list(table["decision"] == words.SHIP)
    assert share(shipped) > 0.95


@pytest.mark.parametrize("runs", [100, 1_000])
def test_few_coins_are_no_reason_to_doubt_what_is_clear(runs):
    """Of a hundred coins, none or one may be as clear; six in a hundred are too many of one."""
    luck = pd.DataFrame({0: np.linspace(0.5 / runs, 1 - 0.5 / runs, runs)})
    for total in (0.05, 0.0125, 0.001):
        assert doubts.doubts(luck, pd.Series([1e-9]), total, total) == [""]
    assert doubts.doubts(luck, pd.Series([0.049]), 0.05, 0.05) == [""]
    assert doubts.doubts(0.7 * luck, pd.Series([0.049]), 0.05, 0.05)[0] != "" or runs == 100


def test_an_end_that_errs_too_often_is_doubted_where_both_together_are_not():
    """Eight and a half in a hundred, all of them below zero: the promise of one end is 2.5."""
    p = np.linspace(0.0005, 0.9995, 1_000)
    luck = pd.DataFrame({0: np.where(p < 0.085, 0.01, 0.5)})
    below = pd.DataFrame({0: [True] * 1_000})
    both = pd.DataFrame({0: np.arange(1_000) % 2 == 0})
    calm = pd.Series([0.5])
    assert doubts.doubts(luck, calm, 0.05) == [""] == doubts.doubts(luck, calm, 0.05, worse=both)
    for worse, where in ((below, "below"), (~below, "above")):
        said = f"without effect 8.5 % of new coins put it {where} zero, promised 2.5 %"
        assert doubts.doubts(luck, calm, 0.05, worse=worse) == [said]
