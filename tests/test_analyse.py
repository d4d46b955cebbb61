"""The command that takes a log to decisions and a page: the cases, its options, what it refuses.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import json
import math
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import InputError, coins, words
from tests.guards import caught
from tools import analyse, decided

CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not in reach")
EXPECTED = json.loads((CASES / "expected.json").read_text("utf-8")) if CASES.is_dir() else {}
CONTRACT = [
    *("segment", "arm", "users_control", "users_treatment", "mean_control", "mean_treatment"),
    *("lift", "ci_low", "ci_high", "p_value", "decision", "users_needed", "ratio_p"),
]


@pytest.fixture(autouse=True)
def fewer_coins(monkeypatch):
    monkeypatch.setattr(coins, "RUNS", 200)


@pytest.fixture
def run(tmp_path, capsys):
    """Call the command: its exit code, what it printed, and the two files it wrote."""

    def call(log, options, out="out"):
        code = analyse.main([str(log), *shlex.split(options), "--out", str(tmp_path / out)])
        printed = capsys.readouterr()
        if code:
            assert printed.out == "" and not (tmp_path / out).exists()
            return code, printed.err, None
        made = {path.name for path in (tmp_path / out).iterdir()}
        assert made == {"decisions.csv", "report.html", ".made_by_analyse.json"}
        table = pd.read_csv(tmp_path / out / "decisions.csv", keep_default_na=False, na_values=[""])
        assert list(table) == CONTRACT
        return code, printed.out, table

    return call


# The cases: every value of them

NAMES = {"n_c": "users_control", "n_t": "users_treatment", "low": "ci_low", "high": "ci_high"}
NAMES |= {"lift": "lift", "p": "p_value", "ratio_c": "mean_control", "ratio_t": "mean_treatment"}
RUNS = {  # file and what of it is expected, options: which rows hold it
    "repeats.csv": "--segment region --outcome converted --user customer_id",
    "european.csv": "--segment region --outcome revenue",
    "yes_no.csv": "--segment region --outcome bought",
    "churn.csv": "--segment region --outcome churned --lower-is-better --worth 0.01",
    "coupon.csv": "--segment region --outcome redeemed --worth 0.02",
    "three_arms.csv blue": "--segment region --outcome spend --treatment blue",
    "three_arms.csv green": "--segment region --outcome spend --treatment green",
    "plain.csv": "--outcome spend",
    "clicks.csv": "--segment region --outcome clicks --per views",
    "revenue.csv raw": "--segment region --outcome revenue --control-share 0.9",
    "revenue.csv capped": "--segment region --outcome revenue --control-share 0.9 --cap 0.99",
    "covariate.csv": "--segment region --outcome after --covariate before",
    "guardrail.csv": "--segment region --outcome retained --no-worse-than 0.02",
    "rare_90_10.csv": "--segment region --outcome converted --control-share 0.9 --worth 0.005",
}


def guard_values(table, case):
    """What stands in expected.json for all users, and for each segment, is in the table."""
    file, _, part = case.partition(" ")
    expected = EXPECTED[file]
    wanted = {"all users": expected[part or "all"]} | expected.get("segments", {})
    for segment, values in wanted.items():
        row = table[table["segment"] == segment].iloc[0]
        for name, value in values.items():
            if name == "se":
                seen = (row["ci_high"] - row["ci_low"]) / 2 / 1.959963984540054
            else:
                seen = row[NAMES[name]]
            assert seen == pytest.approx(value, rel=1e-9, abs=1e-13), (case, segment, name)


@needs_cases
@pytest.mark.parametrize("case", RUNS)
def test_cases(run, case):
    code, said, table = run(CASES / case.partition(" ")[0], RUNS[case])
    assert code == 0 and said.startswith("Understood: ")
    guard_values(table, case)
    for name in ("lift", "ci_low", "ci_high", "p_value"):
        if any(NAMES.get(key) == name for key in EXPECTED[case.split(" ")[0]].get("all", {})):
            caught(
                lambda faulty: guard_values(faulty, case),
                table.assign(**{name: table[name] + 1e-6}),
            )
    rule = {"european.csv": "semicolons, decimal commas, 600 rows", "yes_no.csv": "Yes = 1"}
    rule |= {"repeats.csv": "rows of a customer_id added up"}
    rule |= {"revenue.csv capped": "Cut at 49.2605 (quantile 0.99 of all users compared, not"}
    rule |= {"three_arms.csv green": "Left out: the users of blue (818)."}
    assert rule.get(case, "") in said


@needs_cases
def test_decisions_of_the_cases(run):
    def decisions(case):
        table = run(CASES / case.partition(" ")[0], RUNS[case], case.replace(" ", "-"))[2]
        return table["decision"]

    churn = decisions("churn.csv")
    assert churn.iloc[0] == "hold: clear loss" and not churn.str.startswith("ship").any()
    raw = decisions("revenue.csv raw")
    assert raw.str.startswith("do not read: heavy tail, unequal arms").all()
    table = run(CASES / "guardrail.csv", RUNS["guardrail.csv"], "again")[2]
    above = table["ci_low"] > -0.02
    assert (table["decision"].str.startswith("not worse") == above).all() and above.iloc[0]
    assert set(decisions("coupon.csv")) == {"ship"}


@needs_cases
def test_every_other_arm_against_control(run):
    """Without --treatment, intervals are corrected for two arms; both see the same control."""
    _, _, both = run(CASES / "three_arms.csv", "--segment region --outcome spend", "both")
    assert both["arm"].tolist() == ["blue", "green"] * 4
    for arm in ("blue", "green"):
        alone = run(CASES / "three_arms.csv", RUNS[f"three_arms.csv {arm}"], arm)[2]
        rows = both[both["arm"] == arm].reset_index(drop=True)
        for name in ("lift", "p_value", "ratio_p", "users_control", "mean_control"):
            assert rows[name].tolist() == pytest.approx(alone[name].tolist())
        width = (rows["ci_high"] - rows["ci_low"]) / (alone["ci_high"] - alone["ci_low"])
        assert width.between(1.1, 1.2).all()
        assert (rows["users_needed"] > alone["users_needed"]).all()


REFUSED_CASES = {
    "both_arms.csv": ("--segment region --outcome converted", "12 users stand in both arms"),
    "repeats.csv": ("--segment region --outcome converted", "--user is not given", "customer_id"),
    "coupon.csv": ("--segment region --outcome redeemed", "--worth is not given", "is nothing"),
}


@needs_cases
@pytest.mark.parametrize("file", REFUSED_CASES)
def test_cases_that_are_refused(run, file):
    options, *said = REFUSED_CASES[file]
    code, message, _ = run(CASES / file, options)
    assert code == 2 and len(message.splitlines()) <= 2
    assert [part for part in said if part not in message] == []


# A log of our own, options one by one


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Users of three arms with clicks in views, spend before and after, and two things to guard."""
    rng = np.random.default_rng(1)
    n = 1_500
    before, views = rng.normal(20, 5, n), rng.integers(1, 9, n)
    group = rng.choice(["control", "blue", "green"], n)
    table = pd.DataFrame(
        {
            "user": range(n),
            "group": group,
            "age": rng.integers(18, 70, n),
            "town": rng.choice(["A", "B"], n),
            "views": views,
            "clicks": rng.binomial(views, 0.3),
            "before": before.round(3),
            "spend": (before + rng.normal(0, 3, n) + (group == "blue")).round(3),
            "complaints": (rng.random(n) < 0.1).astype(int),
            "seconds": rng.exponential(2, n).round(3),
            "flat": 1,
        }
    )
    path = tmp_path_factory.mktemp("analyse") / "log.csv"
    table.to_csv(path, index=False)
    return path


def test_a_control_share_is_shared_by_the_others(run, log):
    """40 % for control leaves 30 % for each other arm: 4 / 7 of a pair."""
    table = pd.read_csv(log)
    sizes = table["group"].value_counts()
    for options, share in (("", 1 / 2), ("--control-share 0.4", 4 / 7)):
        for more in ("", " --treatment blue"):
            _, _, found = run(log, f"--outcome spend {options}{more}", f"{share}{len(more)}")
            row = found[found["arm"] == "blue"].iloc[0]
            p = pytest.importorskip("scipy.stats").chisquare(
                [sizes["control"], sizes["blue"]],
                np.array([share, 1 - share]) * (sizes["control"] + sizes["blue"]),
            )
            exact = sizes["control"] + sizes["blue"] <= 1_000
            assert row["ratio_p"] == pytest.approx(p.pvalue, abs=0.06 if exact else 1e-9)


def test_bands_and_their_names(run, log):
    _, _, table = run(log, "--outcome spend --segment age --bands 30,40.5 --treatment blue")
    assert table["segment"].tolist() == [
        "all users",
        "under 30",
        "30 to under 40.5",
        "40.5 and over",
    ]
    users = pd.read_csv(log).query("group != 'green'")
    under = (users["age"] < 30).sum()
    assert table.loc[1, ["users_control", "users_treatment"]].sum() == under


def test_guardrails_are_all_needed(run, log):
    base = "--outcome spend --covariate before --treatment blue --worth 0.5"
    _, _, plain = run(log, base, "plain")
    assert plain.loc[0, "decision"] == "ship"
    _, _, kept = run(log, base + " --guardrail seconds:1:lower --guardrail clicks:1", "kept")
    assert kept.loc[0, "decision"] == "ship"
    _, _, open_one = run(
        log, base + " --guardrail seconds:1:lower --guardrail complaints:0.01", "o"
    )
    assert open_one.loc[0, "decision"].startswith("collect more: guardrail complaints may be")
    assert (plain["lift"] == open_one["lift"]).all()


def test_a_cap_that_was_fixed_beforehand(run, log):
    table = pd.read_csv(log).query("group != 'green'")
    cut = table["spend"].clip(upper=25).groupby(table["group"]).mean()
    _, said, found = run(log, "--outcome spend --treatment blue --cap-at 25")
    assert found.loc[0, "lift"] == pytest.approx(cut["blue"] - cut["control"])
    many = int((table["spend"] > 25).sum())
    assert f"Cut at 25 (as given): spend of {many} users." in said


def test_the_same_twice_and_another_seed(run, log, tmp_path):
    for out in ("one", "two"):
        run(log, "--outcome spend --segment town", out)
    for file in ("decisions.csv", "report.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    _, _, seven = run(log, "--outcome spend --segment town --seed 7", "seven")
    one = pd.read_csv(tmp_path / "one/decisions.csv")
    assert seven["ci_low"].tolist() == one["ci_low"].tolist()


def test_confidence_is_of_all_together(run, log):
    _, _, usual = run(log, "--outcome spend --treatment blue --segment town", "usual")
    _, _, wide = run(
        log, "--outcome spend --treatment blue --segment town --confidence 0.9", "wide"
    )
    ratio = (wide["ci_high"] - wide["ci_low"]) / (usual["ci_high"] - usual["ci_low"])
    assert (ratio < 0.9).all() and wide["p_value"].tolist() == usual["p_value"].tolist()


def test_a_row_that_cannot_be_tested_says_so(run, tmp_path):
    rows = [
        f"{i},{'control' if i % 2 else 'test'},{'a' if i < 40 else 'b'},{i % 7}" for i in range(41)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["id,group,s,y", *rows]), "utf-8")
    _, said, table = run(tmp_path / "log.csv", "--outcome y --segment s --worth 1")
    last = table.iloc[-1]
    assert last["segment"] == "b" and last["decision"].startswith(words.DO_NOT_READ)
    assert math.isnan(last["lift"]) and math.isnan(last["users_needed"])
    assert "b: too few users to test, or no variation" in said


def test_an_odd_ratio_leaves_no_decision(run, log, tmp_path):
    table = pd.read_csv(log).query("group != 'green'")
    lost = table[(table["group"] == "blue") & (table["town"] == "A")].index[:120]
    table.drop(lost).to_csv(tmp_path / "odd.csv", index=False)
    _, said, found = run(tmp_path / "odd.csv", "--outcome spend --segment town")
    assert set(found["decision"].str.split(":").str[0]) == {words.CHECK}
    assert "Check the ratio of the arms first" in said and "ship" not in said


REFUSED = {
    "no outcome": ("", "the following arguments are required: --outcome"),
    "no such outcome": ("--outcome revenue", "lacks 'revenue'", "'spend'"),
    "no such segment": ("--outcome spend --segment city", "lacks 'city'"),
    "text": ("--outcome town", "column town", "is not a number"),
    "no such arm": ("--outcome spend --treatment red", "--treatment is 'red'", "'blue', 'green'"),
    "control is no arm": ("--outcome spend --treatment control", "--treatment is 'control'"),
    "no such control": ("--outcome spend --control A", "--control is 'A'", "'blue'"),
    "twice": ("--outcome spend --segment spend", "Give different columns"),
    "outcome is covariate": ("--outcome spend --covariate spend", "Give different columns"),
    "guardrail is outcome": ("--outcome spend --guardrail spend:1", "Give different columns"),
    "guardrail twice": ("--outcome spend --guardrail clicks:1 --guardrail clicks:2", "twice"),
    "guardrail without margin": ("--outcome spend --guardrail clicks", "--guardrail", "invalid"),
    "guardrail of nothing": ("--outcome spend --guardrail clicks:0", "--guardrail is 0.0"),
    "bands alone": ("--outcome spend --bands 30,40", "--bands needs --segment"),
    "bands fall": ("--outcome spend --segment age --bands 40,30", "--bands", "that rise"),
    "bands of text": ("--outcome spend --segment town --bands 30", "is not a number"),
    "ratio and covariate": ("--outcome clicks --per views --covariate before", "--per and --cov"),
    "ratio and cap": ("--outcome clicks --per views --cap 0.9", "--per and --cap do not go"),
    "two caps": ("--outcome spend --cap 0.9 --cap-at 3", "--cap and --cap-at do not go"),
    "margin and worth": ("--outcome spend --no-worse-than 1 --worth 1", "do not go together"),
    "cap a rate": ("--outcome complaints --cap 0.9", "--cap cuts large values", "0 or 1"),
    "cap at nothing": ("--outcome clicks --cap 0.01", "--cap cuts clicks at 0", "Cap higher"),
    "cap below nothing": ("--outcome spend --cap-at -3", "--cap-at cuts spend at -3"),
    "cap beyond one": ("--outcome spend --cap 99", "--cap is 99"),
    "cap them all": ("--outcome seconds --cap-at 1e-9", "--cap-at", "all values are the same"),
    "share": ("--outcome spend --control-share 1", "--control-share is 1"),
    "confidence": ("--outcome spend --confidence 95", "--confidence is 95"),
    "worth": ("--outcome spend --worth 0", "--worth is 0"),
    "margin": ("--outcome spend --no-worse-than -1", "--no-worse-than is -1"),
    "margin of a rate": ("--outcome complaints --no-worse-than 2", "no rate falls by that"),
    "low confidence": ("--outcome spend --confidence 0.15", "--confidence is 0.15; give 0.5"),
    "guardrail of a rate": ("--outcome spend --guardrail complaints:5", "--guardrail complaints:"),
    "a name that is empty": ("--outcome spend --segment ''", "--segment", "empty"),
    "a covariate that is flat": ("--outcome spend --covariate flat", "or flat leaves nothing to"),
    "seed": ("--outcome spend --seed -1", "--seed is -1"),
    "user is a role": ("--outcome spend --user group", "--user is group"),
    "no such user": ("--outcome spend --user who", "lacks 'who'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_used_is_refused(run, log, fault):
    options, *said = REFUSED[fault]
    try:
        code, message, _ = run(log, options)
    except SystemExit as stopped:  # argparse
        assert stopped.code == 2
        return
    assert code == 2 and len(message.splitlines()) <= 2 and message.startswith("tools.analyse: ")
    assert [part for part in said if part not in message] == []


def test_places_that_cannot_be_used(run, log, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert analyse.main([str(log), "--outcome", "spend", "--out", str(tmp_path / "file")]) == 2
    inside = analyse.ROOT / "notebooks" / "x"
    assert analyse.main([str(log), "--outcome", "spend", "--out", str(inside)]) == 2
    assert not inside.exists()
    run(log, "--outcome spend", "mine")
    (tmp_path / "mine/report.html").write_text("changed", encoding="utf-8")
    code = analyse.main([str(log), "--outcome", "spend", "--out", str(tmp_path / "mine")])
    assert code == 2 and (tmp_path / "mine/report.html").read_text("utf-8") == "changed"


def test_nothing_is_left_where_the_page_cannot_be_made(log, tmp_path, monkeypatch):
    def full(*_):
        raise InputError("No page.")

    monkeypatch.setattr(analyse.report, "page", full)
    assert analyse.main([str(log), "--outcome", "spend", "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        analyse.main(["--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    for name in analyse.OPTIONS:
        assert analyse.command.option(name) in said
    assert {name for pair in analyse.APART for name in pair} <= set(analyse.DEFAULTS)


@cache
def printed_columns():
    return list(decided.COLUMNS)


def test_the_columns_are_those_of_the_contract():
    assert printed_columns() == CONTRACT
