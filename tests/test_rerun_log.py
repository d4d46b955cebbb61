"""Notebook 06 on the reader's own log: the closing lines are true.

What cannot be used is refused before a kernel starts.
"""

import ast
import json
import re
import shutil
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient.exceptions import CellExecutionError

from helpers import InputError, data, heterogeneity, words
from helpers.decisions import NOT_TESTABLE
from tests.guards import caught, run_in_process, without_kernels
from tests.guards import lies as false_verdicts
from tools import command, notebooks, rerun

NUMBER = r"[+-]?[\d,]*\.?\d+"
LINE = re.compile(
    rf"^(.*): (ship|hold: [a-z ]+|collect more) \(lift ({NUMBER}) (.*), interval ({NUMBER}) to "
    rf"({NUMBER})(?:; 80 % power: [\d,]+ users? in all|; the [\d,]+ users? for 80 % power are "
    r"there)?\)$"
)
UNTESTED = "too few users to test, or no variation"
GAIN, LOSS = "größer, aber ruhig", "日本"


def make(sizes=None, share=0.5, kind="rate", seed=1) -> pd.DataFrame:
    """A log: a huge gain is planted in one segment, a huge loss in another, nothing elsewhere."""
    rng = np.random.default_rng(seed)
    sizes = sizes or {GAIN: 1000, LOSS: 1000, "rest": 1000}
    place = np.repeat(list(sizes), list(sizes.values()))
    treated = rng.random(len(place)) >= share
    effect = treated * ((place == GAIN) * 0.4 - 1.0 * (place == LOSS) * 0.4)
    y = (rng.random(len(place)) < 0.45 + effect).astype(int)
    if kind == "revenue":
        y = (20 + 50 * effect + rng.normal(0, 5, len(place))).round(2)
    return pd.DataFrame(
        {"place": place, "group": np.where(treated, "treatment", "control"), "y": y}
    )


def save(table: pd.DataFrame, path: Path) -> str:
    table.to_csv(path, index=False, encoding="utf-8")
    return str(path)


def said_of(table: pd.DataFrame, folder: Path, **knobs) -> list[str]:
    """The closing lines for a log with the columns place, group and y."""
    usual = {"segment": "place", "outcome": "y", "group": "group", "control": "control"}
    usual |= {"control_share": 0.5, "worth": None}
    return rerun.preview_log(save(table, folder / "log.csv"), **(usual | knobs)).splitlines()


def closing(table: pd.DataFrame, folder: Path, **knobs) -> list[str]:
    """Those of them that are about segments, or the lines about the ratio."""
    rows, *lines = said_of(table, folder, **knobs)
    assert "row" in rows
    if lines[0].startswith("Check the ratio"):
        return lines
    assert lines[0].startswith("Smallest lift worth having: ")
    assert lines[1].startswith("all users: ")
    return lines[2:]


def read(line: str) -> tuple[str, str, float, str, float, float]:
    """Its parts; of the decision the first words, without why."""
    name, decision, lift, unit, low, high = LINE.match(line).groups()
    lift, low, high = (float(x.replace(",", "")) for x in (lift, low, high))
    return name, decision.split(":")[0], lift, unit, low, high


def lies(lines: list[str], worth: float) -> list[str]:
    """Lines that their own numbers contradict; worth is in the unit that is printed."""
    found = []
    for line in lines:
        if not line.endswith(UNTESTED) and words.DO_NOT_READ not in line:
            _, decision, lift, _, low, high = read(line)
            kinds = {"clear loss": high < 0, "gain too small": low > 0}
            kinds["no gain worth having"] = low <= 0 <= high
            true = {
                words.SHIP: low > 0 and high >= worth,
                words.HOLD: high < worth,
                words.COLLECT: low <= 0 and high >= worth,
            }
            if (
                not true[decision]
                or any(f"hold: {kind} (" in line and not fits for kind, fits in kinds.items())
                or not low <= lift <= high
                or re.search(r"-0\.0+\b|nan|inf\b", line)
            ):
                found.append(line)
    return found


@pytest.mark.parametrize(
    "lie",
    [
        "a: ship (lift +1.00 percentage points, interval 0.00 to +2.00)",
        "a: ship (lift +0.50 percentage points, interval +0.10 to +0.90)",
        "a: hold: no gain worth having (lift +0.50 percentage points, interval -0.10 to +1.00)",
        "a: hold: clear loss (lift +0.50 percentage points, interval -0.10 to +0.90)",
        "a: hold: gain too small (lift +0.50 percentage points, interval -0.10 to +0.90)",
        "a: hold: no gain worth having (lift +0.50 percentage points, interval +0.10 to +0.90)",
        "a: collect more (lift +1.00 percentage points, interval +0.10 to +2.00)",
        "a: collect more (lift -1.00 percentage points, interval -3.00 to -0.50)",
        "a: ship (lift +3.00 percentage points, interval +0.10 to +2.00)",
        "a: collect more (lift +1.00 percentage points, interval -0.00 to +2.00)",
    ],
)
def test_lies_are_caught(lie):
    assert lies([lie], worth=1.0) == [lie]
    assert (
        lies(["a: ship (lift +1.00 y, interval +0.10 to +2.00)", f"b: {UNTESTED}"], worth=1.0) == []
    )


# The closing lines


@pytest.mark.parametrize(
    ("kind", "unit"), [("rate", "percentage points"), ("revenue", "units of y")]
)
def test_a_huge_gain_ships_and_a_huge_loss_holds(tmp_path, kind, unit):
    table = make(kind=kind)
    found = {read(line)[0]: read(line) for line in closing(table, tmp_path)}
    assert [found[name][1] for name in (GAIN, LOSS)] == [words.SHIP, words.HOLD]
    assert {row[3] for row in found.values()} == {unit}
    control = table[table["group"] == "control"]["y"]
    assert (
        lies(closing(table, tmp_path), worth=(100 if kind == "rate" else 1) * 0.05 * control.mean())
        == []
    )
    swapped = {
        read(line)[0]: read(line)[1] for line in closing(table, tmp_path, control="treatment")
    }
    assert [swapped[name] for name in (GAIN, LOSS)] == [words.HOLD, words.SHIP]


@pytest.mark.parametrize("kind", ["rate", "revenue"])
def test_printed_numbers_are_those_of_compare_segments(tmp_path, kind):
    """At the level that allows for the segments that can be tested: three of four here."""
    table = make(sizes={GAIN: 500, LOSS: 500, "rest": 400, "tiny": 1}, kind=kind)
    lines = closing(table, tmp_path, worth=0.5)
    assert f"tiny: {UNTESTED}" in lines
    scale = 100 if kind == "rate" else 1
    right = heterogeneity.compare_segments(table, "place", "y", confidence=1 - 0.05 / 3)
    wrong = heterogeneity.compare_segments(table, "place", "y", confidence=1 - 0.05 / 4)
    printed = {read(line)[0]: read(line) for line in lines if not line.startswith("tiny")}
    assert set(printed) == {GAIN, LOSS, "rest"}
    for name, (_, _, lift, _, low, high) in printed.items():
        for reference, same in ((right, True), (wrong, False)):
            expected = scale * reference.loc[name, ["lift", "ci_low", "ci_high"]].astype(float)
            assert np.allclose([lift, low, high], expected, atol=0.005) == same


def test_twelve_segments_in_the_order_of_compare_segments(tmp_path):
    table = make(sizes={f"s{i:02d}": 200 for i in range(12)})
    lines = closing(table, tmp_path)
    assert [read(line)[0] for line in lines] == [f"s{i:02d}" for i in range(12)]
    wide, narrow = read(lines[0]), read(closing(table[table["place"] < "s02"], tmp_path)[0])
    assert wide[5] - wide[4] > 1.2 * (
        narrow[5] - narrow[4]
    )  # twelve intervals must hold together, not two


def test_a_segment_with_three_users_and_one_without_variation(tmp_path):
    three = make(sizes={GAIN: 300, LOSS: 300, "three": 3}).assign(
        y=lambda t: t["y"] + 0.5 * (t.index % 2)
    )
    three.loc[three["place"] == "three", "group"] = ["control", "control", "treatment"]
    flat = pd.DataFrame({"place": "flat", "group": ["control", "treatment"] * 20, "y": 0.0})
    lines = closing(pd.concat([three, flat]), tmp_path)
    assert {line for line in lines if not LINE.match(line)} == {
        f"three: {UNTESTED}",
        f"flat: {UNTESTED}",
    }
    assert len(lines) == 4


def test_true_and_false_are_an_outcome(tmp_path):
    table = make()
    assert closing(table.assign(y=table["y"] == 1), tmp_path) == closing(table, tmp_path)


def test_no_decision_contradicts_its_rounded_numbers(tmp_path):
    """Ends a hair from zero or from what is worth having have as many digits as that takes."""
    table = make(kind="revenue")
    treated = (table["group"] == "treatment") & (table["place"] == "rest")
    careful = heterogeneity.compare_segments(table, "place", "y", confidence=1 - 0.05 / 3)
    low, high = careful.loc["rest", ["ci_low", "ci_high"]]
    seen = set()
    for hair in (0.0004, -0.0004):
        near_zero = table.assign(y=table["y"] + treated * (hair - low))
        near_worth = float(high) - hair
        for log, worth in ((near_zero, 0.5), (table, near_worth)):
            lines = closing(log, tmp_path, worth=worth)
            assert lies(lines, worth) == []
            seen.add(read(next(line for line in lines if line.startswith("rest")))[1])
            plain = [LINE.sub(rounded, line) for line in lines]
            seen |= {"two digits would lie"} if lies(plain, worth) else set()
    assert seen == {words.SHIP, words.HOLD, words.COLLECT, "two digits would lie"}


def test_a_rate_a_hair_from_what_is_worth_having(tmp_path):
    """The same in percentage points.

    Above it the gain ships, below it even a clear gain is held.
    """
    table = make()
    high = heterogeneity.compare_segments(table, "place", "y", confidence=1 - 0.05 / 3).loc[
        GAIN, "ci_high"
    ]
    for hair, decision in ((1e-7, words.HOLD), (-1e-7, words.SHIP)):
        lines = closing(table, tmp_path, worth=high + hair)
        assert lies(lines, 100 * (high + hair)) == []
        assert read(next(line for line in lines if line.startswith(GAIN)))[1] == decision


def rounded(match: re.Match) -> str:
    name, _, lift, unit, low, high = read(match[0])
    decision = LINE.match(match[0])[2]
    return f"{name}: {decision} (lift {lift:+.2f} {unit}, interval {words.interval(low, high)})"


@pytest.mark.parametrize("seed", range(12))
def test_lines_of_small_logs_are_true(tmp_path, seed):
    kind = ("rate", "revenue")[seed % 2]
    table = make(sizes={GAIN: 5 + seed, "b": 12, "c": 40, "d": 3}, kind=kind, seed=seed)
    worth = 0.03 * (seed + 1) * (1 if kind == "rate" else 10)
    lines = closing(table, tmp_path, worth=worth)
    assert len(lines) == (2 if lines[0].startswith("Check the ratio") else 4)
    assert len(lines) == 2 or lies(lines, worth * (100 if kind == "rate" else 1)) == []


def test_worth_decides(tmp_path):
    table = make()
    assert [read(line)[1] for line in closing(table, tmp_path, worth=0.9)] == [words.HOLD] * 3
    rest = next(line for line in closing(table, tmp_path, worth=0.0001) if line.startswith("rest"))
    assert read(rest)[1] == words.COLLECT


def test_a_share_of_a_mean_below_zero_is_worth_having_too(tmp_path):
    """Without --worth it is 5 % of the control mean's size.

    So losses (say, costs as negative numbers) work.
    """
    table = make(kind="revenue").assign(y=lambda t: t["y"] - 100)
    mean = table[table["group"] == "control"]["y"].mean()
    assert closing(table, tmp_path) == closing(table, tmp_path, worth=-0.05 * mean)


def guard_ratio(said) -> None:
    """Where the sizes of the arms are not as planned, that is said, and nothing is decided."""
    table = make(share=0.9)
    assert len(said(table)) == 3
    rows, first, second = said(table)
    assert rows == "3,000 rows, each taken for a user."
    ratio = "Check the ratio of the arms first: a control share of 0.5 does not fit all users; "
    assert first.startswith(ratio) and all(name in first for name in (GAIN, LOSS, "rest"))
    assert second.startswith("Nothing is decided before that") and "--control-share" in second
    assert "ship" not in first + second and "interval" not in first + second
    assert len(said(table, control_share=0.9)) == 6
    lame = make()
    lost = lame[(lame["place"] == "rest") & (lame["group"] == "treatment")].index[:120]
    _, first, _ = said(lame.drop(lost))
    assert "does not fit" in first and "rest." in first and GAIN not in first
    whole = make(sizes={f"s{i:02d}": 60 for i in range(20)}, share=0.57)
    assert said(whole)[1].endswith("does not fit all users.")


def test_a_broken_ratio_is_said_and_nothing_is_decided(tmp_path, monkeypatch):
    def said(table, **knobs):
        return said_of(table, tmp_path, **knobs)

    guard_ratio(said)
    monkeypatch.setattr(rerun, "ratio_lines", lambda ratios, share: [])
    caught(guard_ratio, said)


def test_first_come_the_unit_the_worth_and_all_users(tmp_path):
    table = make(kind="revenue")
    rows, worth, everyone, *segments = said_of(table, tmp_path)
    default = 0.05 * table.loc[table["group"] == "control", "y"].mean()
    assert rows == "3,000 rows, each taken for a user."
    assert worth == (
        f"Smallest lift worth having: {default:.4g} units of y (5 % of control's mean; --worth "
        "sets another)."
    )
    assert read(everyone)[0] == "all users" and len(segments) == 3
    assert "(as given)" in said_of(table, tmp_path, worth=1.0)[1]
    whole = heterogeneity.compare_segments(table.assign(a=1), "a", "y").iloc[0]
    assert read(everyone)[4:] == pytest.approx(tuple(whole[["ci_low", "ci_high"]]), abs=0.0051)


def test_what_is_not_to_be_read_shows_no_interval(tmp_path):
    """A heavy tail in unequal arms: the lines say why, and name no interval."""
    rng = np.random.default_rng(6)
    table = make({GAIN: 2000, LOSS: 2000}, share=0.9)
    table["y"] = rng.lognormal(3, 1.2, len(table)) * (rng.random(len(table)) < 0.03)
    lines = closing(table, tmp_path, control_share=0.9, worth=0.1)
    assert len(lines) == 2
    for line in lines:
        assert f": {words.DO_NOT_READ}: heavy tail, unequal arms, " in line
        assert "(lift " in line and "interval" not in line.split("(lift ")[1]


def test_the_rows_of_users_are_counted(tmp_path):
    table = make()
    twice = pd.concat([table, table]).assign(who=[*table.index, *table.index])
    first = said_of(twice, tmp_path, user="who")[0]
    assert first == "6,000 rows of 3,000 users, added up by who."
    assert said_of(twice, tmp_path, user="none")[0] == "6,000 rows, each taken for a user."


def test_another_unit_is_another_run(tmp_path):
    knobs = {"log_file": "log.csv", "outcome": "y", "segment": "place", "user": None}
    assert rerun.of_what(knobs)[1] == "log.csv, y by place"
    assert rerun.of_what(knobs | {"user": "who"})[1] == "log.csv, y by place, users by who"


def test_where_more_are_to_be_collected_the_number_stands(tmp_path):
    lines = said_of(make(), tmp_path, worth=0.02)
    open_ones = [line for line in lines if ": collect more" in line]
    assert open_ones and all(
        re.search(r"; 80 % power: [\d,]+ users in all\)$", x) for x in open_ones
    )
    assert "; the 900 users for 80 % power are there" in "".join(
        f"; {words.enough(needed, 1_000)}" for needed in (900, 1_001, 1e33)
    )
    assert words.enough(1e33, 5) == "80 % power: 1e+33 users in all"
    assert not any("80 %" in line for line in lines if line not in open_ones)


def test_an_age_is_cut_into_the_three_bands(tmp_path):
    lines = rerun.preview_log(
        data.FOLDER / "ab_test_data.csv",
        segment="age_band",
        outcome="converted",
        group="group",
        control="control",
        control_share=0.5,
        worth=0.01,
    ).splitlines()
    assert lines[0] == "20,000 rows, each taken for a user."
    assert [read(line)[:2] for line in lines[2:]] == [
        ("all users", words.COLLECT),
        ("under 30", words.SHIP),
        ("30 to 39", words.COLLECT),
        ("40 and over", words.HOLD),
    ]


# The command


@pytest.fixture
def course(tmp_path, monkeypatch):
    """The true notebooks in a course of their own, so that runs/ is too.

    Kernels are not started but counted.
    """
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    for path in notebooks.find():
        shutil.copy(path, root / "notebooks" / path.name)
    started = []
    monkeypatch.setattr(notebooks, "ROOT", root)
    without_kernels(monkeypatch, lambda notebook, _folder: started.append(notebook))
    monkeypatch.chdir(tmp_path)
    return started


def parameters(notebook) -> dict[str, object]:
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    return {
        node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell.source).body
    }


def shipped() -> nbformat.NotebookNode:
    return nbformat.read(next(p for p in notebooks.find() if p.name.startswith("06")), as_version=4)


def shipped_parameters() -> dict[str, object]:
    return parameters(shipped())


@pytest.mark.parametrize(("number", "other"), [("06", "segment_columns"), ("13", "segment")])
def test_every_knob_of_the_log_stands_in_the_notebooks(number, other):
    """A knob that the notebook lacks would be ignored without a word."""
    (path,) = (path for path in notebooks.find() if path.name.startswith(number))
    knobs = notebooks.knobs_of(notebooks.read(path))
    assert (set(rerun.LOG_KNOBS) | {"seed"}) - {other} <= set(knobs) and other not in knobs
    for name in ("group", "control", "control_share", "seed"):
        assert knobs[name] == rerun.DEFAULTS[name]


def results_in(folder: Path) -> list[str]:
    """What a run left in a folder, less the note of what it was."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".made_by_rerun.json")


def test_no_log_or_outcome_replaces_the_results_of_another(course, tmp_path, capsys):
    """Not even where two logs have one name; the same run again does replace its own."""
    for folder in ("may", "june"):
        (tmp_path / folder).mkdir()
        table = make(seed=len(folder))
        save(table.assign(z=table["y"] + 1.5), tmp_path / folder / "log.csv")
    runs = notebooks.ROOT / "runs"
    may, june = (["--log", f"{month}/log.csv", "--segment", "place"] for month in ("may", "june"))
    for outcome in ("y", "z", "y"):
        assert rerun.main([*may, "--outcome", outcome]) == 0
    assert sorted(path.name for path in runs.iterdir()) == [
        "log-log-y-by-place",
        "log-log-z-by-place",
    ]
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert rerun.main([*june, "--outcome", "y"]) == 2
    said = capsys.readouterr().err
    assert f"log-log-y-by-place holds results of {tmp_path / 'may/log.csv'}, y by place." in said
    assert "Executing" not in said and "--out" in said
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before
    assert rerun.main([*june, "--outcome", "y", "--out", str(tmp_path / "june/out")]) == 0


def test_only_06_runs_with_the_knobs_given_and_lands_in_runs(course, tmp_path, capsys):
    (tmp_path / "my logs").mkdir()
    save(make().rename(columns={"y": "it's bought"}), tmp_path / "my logs" / "spring sale.csv")
    options = ["--segment", "place", "--outcome", "it's bought", "--worth", "0.02", "--seed", "7"]
    assert (
        rerun.main(["--log", "my logs/spring sale.csv", *options]) == 0
    )  # a relative path, with a blank
    (notebook,) = course
    out = notebooks.ROOT / "runs" / "log-spring-sale-it-s-bought-by-place"
    assert results_in(out) == ["06_segments.ipynb"]
    expected = {
        "log_file": str(tmp_path / "my logs" / "spring sale.csv"),
        "segment": "place",
        "worth": 0.02,
        "seed": 7,
    }
    expected |= {
        "user": None,
        "outcome": "it's bought",
        "group": "group",
        "control": "control",
        "control_share": 0.5,
    }
    assert parameters(notebook) == shipped_parameters() | expected
    head, _, worth, *lines = capsys.readouterr().out.splitlines()
    assert head == f"The results of this run are in {out}"
    assert worth == "Smallest lift worth having: 2.00 percentage points (as given)."
    assert [read(line)[0] for line in lines] == ["all users", GAIN, "rest", LOSS]


def test_worth_is_told_to_the_notebook_even_if_not_given(course, tmp_path):
    """Notebook 06 has a worth for the course's log: on another one None must stand there."""
    assert shipped_parameters()["worth"] is not None
    assert (
        rerun.main(
            ["--log", save(make(), tmp_path / "a.csv"), "--segment", "place", "--outcome", "y"]
        )
        == 0
    )
    assert parameters(course[0])["worth"] is None


def test_the_other_mode_runs_the_series_without_log_knobs(course, capsys):
    assert rerun.main(["--target-cluster", "1", "--effect", "2"]) == 0
    assert len(course) == len(notebooks.find()) > 1
    last = next(n for n in course if "log_file" in parameters(n))
    assert (
        parameters(last)["effect"] == 2
        and parameters(last)["worth"] == shipped_parameters()["worth"]
    )
    assert "Cluster 1 (" in capsys.readouterr().out


LOG = ["--log", "log.csv"]
GOOD = [*LOG, "--segment", "place", "--outcome", "y"]
BAD_COMMANDS = {
    "no such file": (["--log", "no-such.csv", *GOOD[2:]], "no file", "no-such.csv"),
    "not a table": (["--log", "blob.csv", *GOOD[2:]], "blob.csv", "utf-8"),
    "no segment": ([*LOG, "--outcome", "y"], "With --log", "give --segment"),
    "no outcome": ([*LOG, "--segment", "place"], "With --log", "give --outcome"),
    "nothing but a log": (LOG, "give --segment or --segment-columns, give --outcome"),
    "unknown column": ([*LOG, "--segment", "plaza", "--outcome", "y"], "lacks 'plaza'", "'place'"),
    "unknown group": ([*GOOD, "--group", "arm"], "lacks 'arm'"),
    "a column twice": ([*LOG, "--segment", "group", "--outcome", "y"], "Give different columns"),
    "unknown arm": ([*GOOD, "--control", "A"], "--control is 'A'", "'treatment'"),
    "text as outcome": (
        [*LOG, "--segment", "place", "--outcome", "note"],
        "column note, line 2",
        "not a number",
    ),
    "a user twice": (
        ["--log", "twice.csv", *GOOD[2:]],
        "--user is not given, and column user_id of twice.csv repeats",
        'Give user_id, and the rows of a user are added up, or "none"',
    ),
    "a user in both arms": (["--log", "both.csv", *GOOD[2:]], "both.csv", "users stand in both"),
    "no such user column": ([*GOOD, "--user", "who"], "lacks 'who'"),
    "a role as user": ([*GOOD, "--user", "place"], "--user is place"),
    "share in per cent": (
        [*GOOD, "--control-share", "50"],
        "--control-share is 50.0",
        "between 0 and 1",
    ),
    "share 0": ([*GOOD, "--control-share", "0"], "--control-share is 0.0"),
    "share nan": ([*GOOD, "--control-share", "nan"], "--control-share is nan"),
    "worth 0": ([*GOOD, "--worth", "0"], "--worth is 0", "from 1e-9"),
    "worth negative": ([*GOOD, "--worth", "-0.01"], "--worth is -0.01", "from 1e-9"),
    "worth nan": ([*GOOD, "--worth", "nan"], "--worth is nan"),
    "worth in percentage points": (
        [*GOOD, "--worth", "1"],
        "--worth is 1",
        "0.01 is one percentage point",
    ),
    "nobody buys": (
        ["--log", "zero.csv", *GOOD[2:]],
        "--worth is not given",
        "give the smallest lift",
    ),
    "gains and losses cancel": (
        ["--log", "cancel.csv", *GOOD[2:]],
        "--worth is not given",
        "give the smallest lift",
    ),
    "one segment can be tested": (["--log", "one.csv", *GOOD[2:]], "1 segment of 2", "--segment"),
    "none can be tested": (
        ["--log", "none.csv", *GOOD[2:]],
        "y cannot be tested",
        "Choose another",
    ),
    "too many segments": (
        [*LOG, "--segment", "number", "--outcome", "y"],
        "column number",
        "values; segments",
    ),
    "seed": ([*GOOD, "--seed", "-1"], "--seed is -1"),
    "inside the course": ([*GOOD, "--out", "course/notebooks"], "inside the course"),
    "out is a file": ([*GOOD, "--out", "log.csv"], "is a file"),
    "customers": ([*GOOD, "--customers", "a.csv"], "With --log", "leave out --customers"),
    "n_clusters": ([*GOOD, "--n-clusters", "4"], "With --log", "leave out --n-clusters"),
    "effect": ([*GOOD, "--effect", "3"], "With --log", "leave out --effect"),
    "two strangers": ([*GOOD, "--effect", "3", "--n-clusters", "4"], "--n-clusters", "--effect"),
    **{
        f"cluster with {option}": (
            ["--target-cluster", "1", option, value],
            "--target-cluster",
            f"leave out {option}.",
        )
        for option, value in (
            ("--segment", "place"),
            ("--outcome", "y"),
            ("--group", "group"),
            ("--control", "control"),
            ("--control-share", "0.5"),
            ("--worth", "0.01"),
        )
    },
}


def write_logs(folder: Path) -> None:
    table = make(sizes={GAIN: 100, LOSS: 100}).assign(note="x", number=lambda t: t.index)
    save(table, folder / "log.csv")
    save(
        table.assign(user_id=table.index // 2 * 0 + (table["group"] == "control")),
        folder / "twice.csv",
    )
    save(table.assign(user_id=table.index % 100), folder / "both.csv")
    save(table.assign(y=np.where(table["group"] == "control", 0, table["y"])), folder / "zero.csv")
    control = table[table["group"] == "control"].head(60).assign(y=[0.1, 0.2, -0.3] * 20)
    save(pd.concat([control, table[table["group"] == "treatment"]]), folder / "cancel.csv")
    save(pd.concat([table.head(100), table.tail(1)]), folder / "one.csv")
    save(table.iloc[[0, 1, -1, -2]].assign(y=1.5), folder / "none.csv")
    (folder / "blob.csv").write_bytes(b"\xff\xfe\x00\x9c" * 40)


@pytest.mark.parametrize("fault", BAD_COMMANDS)
def test_what_cannot_be_used_is_refused_before_a_kernel_starts(course, tmp_path, capsys, fault):
    write_logs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    arguments, *said = BAD_COMMANDS[fault]
    assert rerun.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("helpers.rerun: ")
    assert len(printed.err.splitlines()) <= 2
    assert [part for part in said if part not in printed.err] == []
    assert course == [] and sorted(tmp_path.rglob("*")) == before


def test_the_good_command_behind_the_bad_ones_runs(course, tmp_path):
    write_logs(tmp_path)
    assert rerun.main(GOOD) == 0
    assert rerun.main(["--log", "zero.csv", *GOOD[2:], "--worth", "0.01"]) == 0
    assert (
        rerun.main(["--log", "cancel.csv", *GOOD[2:], "--worth", "1"]) == 0
    )  # no rate: 1 is one unit
    assert len(course) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "either --target-cluster or --log"),
        (["--seed", "1"], "either --target-cluster or --log"),
        (["--target-cluster", "1", *GOOD], "either --target-cluster or --log"),
        ([*GOOD, "--worth", "much"], "--worth"),
        (["--log", "", *GOOD[2:]], "--log: '' is no path"),
        ([*GOOD, "--control-share", "half"], "--control-share"),
        ([*GOOD, "--colour", "red"], "--colour"),
    ],
)
def test_a_command_that_cannot_be_read(course, capsys, arguments, said):
    with pytest.raises(SystemExit) as stopped:
        rerun.main(arguments)
    assert stopped.value.code == 2 and course == []
    assert said in capsys.readouterr().err


def test_names_that_look_like_options_are_left_as_they_are(course, tmp_path, capsys):
    """Only the helper's own word becomes an option, not a column or a file of that name."""
    table = make(sizes={"a": 50, "b": 50}).rename(columns={"place": "target_cluster", "y": "worth"})
    path = save(table.assign(worth="worth"), tmp_path / "n_clusters.csv")
    assert rerun.main(["--log", path, "--segment", "target_cluster", "--outcome", "worth"]) == 2
    assert "n_clusters.csv, column worth, line 2: worth is not a number" in capsys.readouterr().err
    assert rerun.main(["--log", path, "--segment", "target_cluster", "--outcome", "seed"]) == 2
    assert (
        "n_clusters.csv lacks 'seed'; its columns are 'target_cluster'" in capsys.readouterr().err
    )


def test_a_run_that_stops_midway_leaves_nothing(course, tmp_path, capsys, monkeypatch):
    def stops(_notebook, folder):
        (folder / "half.csv").write_text("1", encoding="utf-8")
        raise CellExecutionError("", "InputError", "Mend row 2.")

    write_logs(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    without_kernels(monkeypatch, stops)
    assert rerun.main(GOOD) == 2
    assert (
        "06_segments.ipynb stopped and nothing was written. InputError: Mend row 2."
        in capsys.readouterr().err
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_preview_refuses_by_itself(tmp_path):
    for knobs in ({"worth": 0}, {"control_share": 1}, {"control": "A"}, {"segment": "y"}):
        with pytest.raises(InputError):
            closing(make(), tmp_path, **knobs)


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as stopped:
        rerun.main(["--help"])
    shown = capsys.readouterr().out
    assert stopped.value.code == 0
    for name in [*rerun.CLUSTER_KNOBS, *rerun.LOG_KNOBS, "seed", "out"]:
        line = re.search(rf"^  {command.option(name)} .*$", shown, flags=re.MULTILINE)
        assert line, name
        default = rerun.DEFAULTS.get(name)
        if default is not None:
            assert (
                f"(default: {default:g})" in line[0]
                if name == "effect"
                else f"(default: {default})" in line[0]
            )
    assert "python -m helpers.rerun --log" in shown
    assert "one row per user" in " ".join(shown.split())
    assert all(column in shown for column in data.COLUMNS)
    assert max(map(len, shown.splitlines())) <= 100


# The true notebook, through true kernels


def shown_texts(notebook) -> list[str]:
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    assert [output for output in outputs if output.output_type == "error"] == []
    return [
        str(text)
        for output in outputs
        for text in (output.get("text"), *output.get("data", {}).values())
        if text
    ]


def agrees(notebook, line: str) -> bool:
    """Whether one row of a table in the notebook says what the line says.

    Its segment, decision and, to two digits, its interval.
    """
    name, decision, _, _, low, high = read(line)
    pieces = (name, decision, *(f"{x:.2f}"[:-1] for x in (low, high)))
    rows = [row for text in shown_texts(notebook) for row in text.split("</tr>")]
    return any(all(piece in row for piece in pieces) for row in rows if "<td>" in row)


def test_the_notebook_says_what_the_command_says(tmp_path, capsys):
    """Revenue without --worth, a tiny segment, other arms and names beyond ASCII, in a kernel.

    A and B, nine in ten in control. Rates and a worth are held to the same on odd logs, below.
    """
    table = make({GAIN: 1000, LOSS: 1000, "rest": 1000, "tiny": 3}, share=0.9, kind="revenue")
    table.loc[table["place"] == "tiny", "group"] = ["control", "control", "treatment"]
    table = table.replace({"group": {"control": "A", "treatment": "B"}})
    table = table.rename(columns={"group": "Gruppe 1"})
    options = ["--segment", "place", "--outcome", "y", "--group", "Gruppe 1"]
    options += ["--control", "A", "--control-share", "0.9"]
    path = save(table, tmp_path / "mein Log.csv")
    assert rerun.main(["--log", path, *options, "--out", str(tmp_path / "out put")]) == 0
    head, _, _, everyone, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("out put") and len(lines) == table["place"].nunique()
    assert everyone.startswith("all users: ")
    assert results_in(tmp_path / "out put") == ["06_segments.ipynb"]
    notebook = nbformat.read(tmp_path / "out put" / "06_segments.ipynb", as_version=4)
    assert parameters(notebook)["log_file"] == path
    tested = [line for line in lines if LINE.match(line)]
    assert len(tested) == 3 and all(agrees(notebook, line) for line in tested)
    gain = next(line for line in tested if line.startswith(GAIN))
    faults = [
        gain.replace(words.SHIP, "hold: gain too small"),
        gain.replace(GAIN, LOSS),
        gain.replace("interval +", "interval -"),
    ]
    assert not any(agrees(notebook, fault) for fault in faults)
    assert f"tiny: {UNTESTED}" in lines


# The true notebook on odd logs, in this process

SHOW_TABLE = """table = monday.assign(segment=monday.index.astype(str), q=q, common=common)
table["truth"] = None if truth is None else truth.reindex(monday.index)
print(table.to_json(orient="records", double_precision=15))"""
ROLES = ("segment", "outcome", "group", "control")
PLACES = {
    "segment": "place",
    "outcome": "y",
    "group": "group",
    "control": "control",
    "control_share": 0.5,
}
PLACES |= {"log_file": "log.csv", "worth": 0.01}
SWAPPED = "the course's, arms swapped"


def forty_segments() -> pd.DataFrame:
    """Five segments have three users each, one no conversion, one a huge gain, one a huge loss."""
    names = [{1: GAIN, 2: LOSS}.get(i, f"s{i:02d}") for i in range(40)]
    log = make(sizes={name: 3 if i % 7 == 6 else 90 for i, name in enumerate(names)})
    return log.assign(y=log["y"] * (log["place"] != "s22"))


def refunds() -> pd.DataFrame:
    """Amounts on both sides of zero; nine in ten users are in arm A, which is control."""
    log = make(
        sizes={GAIN: 900, LOSS: 900, "rest": 900, "small": 90}, share=0.9, kind="revenue", seed=3
    )
    return log.assign(y=(log["y"] - 21).round(2)).replace(
        {"group": {"control": "A", "treatment": "B"}}
    )


ODD_LOGS = {
    "forty segments": (forty_segments, PLACES),
    "refunds": (refunds, PLACES | {"control": "A", "control_share": 0.9, "worth": 1.0}),
    "sixty users": (lambda: make(sizes={GAIN: 25, "rest": 35}, seed=4), PLACES),
    SWAPPED: (None, shipped_parameters() | {"control": "treatment"}),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Run notebook 06 on an odd log, once.

    Its knobs; its texts, its rows for Monday and the command's lines.
    """

    @cache
    def run(name: str) -> tuple[dict, tuple]:
        folder, (make_odd, knobs) = tmp_path_factory.mktemp("odd"), ODD_LOGS[name]
        path = (
            save(make_odd(), folder / "log.csv") if make_odd else data.FOLDER / "ab_test_data.csv"
        )
        knobs = knobs | {"log_file": path} if make_odd else knobs
        notebook = shipped()
        notebook.cells.append(nbformat.v4.new_code_cell(SHOW_TABLE))
        nbformat.write(notebook, folder / "06_segments.ipynb")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            *texts, table = run_in_process(folder / "06_segments.ipynb", knobs, patch)
        given = {knob: knobs[knob] for knob in (*ROLES, "control_share", "worth")}
        return knobs, (texts, json.loads(table), rerun.preview_log(path, **given).splitlines())

    return run


def in_segments(knobs: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The log, and its segments that can be tested."""
    return read_once(knobs["log_file"], *(knobs[name] for name in ROLES))


@cache
def read_once(path: str, *roles: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    named = dict(zip(ROLES, roles, strict=True))
    log = data.load_log(path, **named)
    return log, heterogeneity.compare_segments(log, **named).dropna(subset="lift")


def guard_odd(knobs: dict, said: tuple) -> None:
    """No verdict is false or missing, Q and the common lift are of the plain lifts.

    Each segment has its row, after that of all users, with what the command says.
    """
    texts, rows, lines = said
    log, tested = in_segments(knobs)
    rate = heterogeneity.is_rate(log[knobs["outcome"]])
    scale, unit = (100, "percentage points") if rate else (1, f"units of {knobs['outcome']}")
    assert (
        false_verdicts("\n".join(texts).replace(unit, "points")) == []
    )  # in each log 1 point is worth having
    whole = heterogeneity.compare_segments(
        log.assign(all=1), "all", *(knobs[name] for name in ROLES[1:])
    ).iloc[0]
    assert words.verdict(whole, knobs["worth"], unit, scale) in texts
    pooled = heterogeneity.pool_segments(tested, rate)
    assert [rows[0]["q"], rows[0]["common"]] == pytest.approx([pooled.q, pooled.lift])

    counts = log[knobs["segment"]].value_counts().to_dict()
    users = {row["segment"]: row["n_control"] + row["n_treatment"] for row in rows}
    assert users == {"all users": len(log)} | counts
    assert len(rows) == len(lines[2:])
    assert lies(lines[2:], scale * knobs["worth"]) == []
    for row, line in zip(rows, lines[2:], strict=True):
        if row["segment"] not in {"all users", *tested.index}:
            assert line == f"{row['segment']}: {UNTESTED}"
            assert [row["decision"], row["lift"], row["ci_low"]] == [NOT_TESTABLE, None, None]
        elif row["decision"].startswith(words.DO_NOT_READ):
            assert line.startswith(f"{row['segment']}: {row['decision']} (lift ")
        else:
            name, decision, lift, _, low, high = read(line)
            assert [row["segment"], row["decision"].split(":")[0]] == [name, decision]
            printed = scale * np.array([row["lift"], row["ci_low"], row["ci_high"]])
            assert printed == pytest.approx([lift, low, high], abs=0.0051)


def with_faults(knobs: dict, said: tuple) -> dict[str, tuple]:
    """What was said, each time with one thing wrong."""
    texts, (first, *others), lines = said
    _, tested = in_segments(knobs)
    verdict = next(text for text in texts if text.startswith("Treatment minus control is "))
    of_intervals = heterogeneity.pool(tested["t"] * tested["se"], tested["se"])
    other = words.HOLD if first["decision"] == words.COLLECT else words.COLLECT
    lift = "Treatment minus control is +1.00 points (interval -1.00 to +3.00, p = 0.3173)"
    false = f"{lift}. A clear gain; x"
    return {
        "a false verdict": ([*texts, false], [first, *others], lines),
        "a verdict forgotten": ([t for t in texts if t != verdict], [first, *others], lines),
        "a segment forgotten": (texts, [first, *others[1:]], lines),
        "all users forgotten": (texts, others, lines),
        "a segment forgotten, by the command too": (texts, [first, *others[:-1]], lines[:-1]),
        "another decision": (texts, [first | {"decision": other}, *others], lines),
        "another interval": (texts, [first | {"ci_low": first["ci_low"] + 0.02}, *others], lines),
        "Q of the centres of the intervals": (
            texts,
            [first | {"q": of_intervals.q, "common": of_intervals.lift}, *others],
            lines,
        ),
    }


@pytest.mark.filterwarnings("ignore:Glyph .* missing")  # matplotlib's font has no Japanese
@pytest.mark.parametrize("name", ODD_LOGS)
def test_notebook_06_is_true_on_odd_logs(odd, name):
    knobs, said = odd(name)
    guard_odd(knobs, said)
    faults = with_faults(knobs, said)
    for faulty in faults.values():
        caught(lambda heard: guard_odd(knobs, heard), faulty)


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_odd_logs_are_odd(odd):
    """Every decision is taken somewhere; segments too small are named; outcomes are below zero."""
    decisions = {name: [row["decision"] for row in odd(name)[1][1]] for name in ODD_LOGS}
    assert decisions["forty segments"].count(NOT_TESTABLE) == 5
    assert len(decisions["forty segments"]) == 41
    decisions = {name: [said.split(":")[0] for said in found] for name, found in decisions.items()}
    assert set(decisions["forty segments"] + decisions["refunds"]) >= {
        words.SHIP,
        words.HOLD,
        words.COLLECT,
    }
    assert refunds()["y"].lt(0).mean() > 0.3
    silent = forty_segments().query("place == 's22'")
    assert len(silent) == 90 and not silent["y"].any()


def guard_envelope(rows: list[dict]) -> None:
    """With the arms swapped the true lifts are those that were planted, with the other sign."""
    assert [row["truth"] for row in rows] == [None, -0.03, -0.01, 0.01]


def test_the_envelope_knows_which_arm_is_control(odd):
    rows = odd(SWAPPED)[1][1]
    guard_envelope(rows)
    caught(guard_envelope, [row | {"truth": row["truth"] and -row["truth"]} for row in rows])
    assert {row["truth"] for row in odd("refunds")[1][1]} == {None}
