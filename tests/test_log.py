"""Experiment logs: the one that ships, one of one's own, and what is refused.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import warnings
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from helpers import data, heterogeneity, segments
from tests.guards import caught, guard_message

# The log that ships


def test_course_log():
    log = data.load_log()
    assert list(log)[-1] == "age_band"
    assert len(log) == 20_000
    assert log["age_band"].cat.categories.tolist() == list(segments.AGE_BANDS)
    assert log["age_band"].equals(segments.age_band(log["age"]).rename("age_band"))
    assert_frame_equal(log.drop(columns="age_band"), pd.read_csv(data.FOLDER / "ab_test_data.csv"))
    assert heterogeneity.is_rate(log["converted"])


# A log of one's own

OWN_NAMES = "user_id,age,plan,group,bought,note"
OWN_ROWS = ("7,30,pro,1,True,x", "3,29,free,0,False,y", "9,64,pro,0,True,", "4,18, free,1,False,z")


@pytest.fixture
def own_log(tmp_path):
    """Write a log, then read it back with the loader that is given."""

    def write_and_load(*lines, load=data.load_log, **options):
        path = tmp_path / "log.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return load(path, **{"outcome": "bought", "control": "0"} | options)

    return write_and_load


def guard_spaced_names(load, own_log):
    """Blanks around a name change nothing: codes keep their zeros, so 01 and 1 stay apart."""
    rows = ["01,00,1", "1,01,0", "01,01,1", "1,00,0"]
    log = own_log("plan , group, bought", *rows, load=load, segment="plan", control="00")
    assert log["plan"].tolist() == ["01", "1", "01", "1"]
    assert log["group"].tolist() == ["00", "01", "01", "00"]


def codes_as_numbers(path, **roles):
    table = data.load_log(path, **roles)
    return table.assign(plan=table["plan"].astype(str).str.lstrip("0"))


def test_blanks_around_names(own_log):
    guard_spaced_names(data.load_log, own_log)
    with pytest.raises(AssertionError):
        guard_spaced_names(codes_as_numbers, own_log)


def guard_own_log(load, own_log):
    """Yes or no becomes 1 or 0, codes of arms become text; rows and other columns stay in place."""
    for control in ("0", 0):
        log = own_log(OWN_NAMES, *OWN_ROWS, load=load, control=control)
        assert list(log) == [*OWN_NAMES.split(","), "age_band"]
        assert log["user_id"].tolist() == [7, 3, 9, 4]
        assert log["group"].tolist() == ["1", "0", "0", "1"]
        assert log["bought"].tolist() == [1, 0, 1, 0]
        assert log["bought"].dtype == int
        assert log["age_band"].tolist() == ["30 to 39", "under 30", "40 and over", "under 30"]
        assert log["note"].isna().tolist() == [False, False, True, False]


FAULTY_LOGS = {
    "sorts": lambda log: log.sort_values("user_id"),
    "drops what it does not need": lambda log: log.drop(columns="note"),
    "drops rows with any blank": lambda log: log.dropna(),
    "leaves true and false": lambda log: log.astype({"bought": bool}),
    "leaves numbers": lambda log: log.astype({"group": int}),
}


def test_log_of_ones_own(own_log):
    guard_own_log(data.load_log, own_log)


@pytest.mark.parametrize("fault", FAULTY_LOGS)
def test_faulty_loaders_are_caught(own_log, fault):
    caught(
        lambda load: guard_own_log(load, own_log),
        lambda *a, **o: FAULTY_LOGS[fault](data.load_log(*a, **o)),
    )


def test_log_with_segments_of_its_own(own_log):
    log = own_log(OWN_NAMES, *OWN_ROWS, segment="plan", outcome="age")
    assert log["plan"].tolist() == ["pro", "free", "pro", "free"]
    assert log["age"].tolist() == [30, 29, 64, 18]
    assert "age_band" not in log
    no_id = [line.partition(",")[2] for line in (OWN_NAMES, *OWN_ROWS)]
    assert own_log(*no_id, segment="plan")["bought"].tolist() == [1, 0, 1, 0]


def test_codes_of_segments_stay_as_written_and_stand_in_order(own_log):
    """Numbers first, 2 before 10, then words; a nought in front belongs to a code, an arm's too."""
    plans = ["10", "b", "2", "01"] * 4
    rows = [f"{i},30,{plan},0{i // 8},{i},x" for i, plan in enumerate(plans)]
    log = own_log(OWN_NAMES, *rows, segment="plan", control="00")
    assert log["plan"].tolist() == plans
    assert log["group"].unique().tolist() == ["00", "01"]
    table = heterogeneity.compare_segments(log, "plan", "bought", control="00")
    assert table.index.tolist() == ["01", "2", "10", "b"]


def test_age_bands_of_ones_own_are_text_too(own_log):
    lines = [
        line.replace("plan", "age_band").replace(" free", "2").replace("free", "2")
        for line in (OWN_NAMES, *OWN_ROWS)
    ]
    assert own_log(*(line.replace("pro", "1") for line in lines))["age_band"].tolist() == [
        "1",
        "2",
        "1",
        "2",
    ]


def test_sixty_segments_are_the_most(own_log):
    rows = [f"{i},30,p{i % 60},{i % 2},True," for i in range(120)]
    assert own_log(OWN_NAMES, *rows, segment="plan")["plan"].nunique() == data.MOST_SEGMENTS == 60


# A log that is refused

LOG_NAMES = "user_id,age,plan,group,bought"
LOG_ROWS = ("1,20,pro,control,0", "2,35,free,test,1", "3,50,free,control,1", "4,22,pro,test,0")


@pytest.fixture
def load_log(tmp_path):
    """Write a file, then read it back as an experiment log."""

    def write_and_load(*lines, **options):
        path = tmp_path / "log.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return data.load_log(path, **{"outcome": "bought"} | options)

    return write_and_load


GOOD_LOG = [LOG_NAMES, *LOG_ROWS]


def one_more(row):
    return [*GOOD_LOG, row]


def many_users(value):
    return [LOG_NAMES, *(f"{i},30,{value(i)},{('control', 'test')[i % 2]},1" for i in range(61))]


NO_AGE = [",".join(line.split(",")[2:]) for line in GOOD_LOG]
BY_PLAN = {"segment": "plan"}
BAD_LOGS = {
    # lines, options, words of the message
    "empty": ([], {}, "cannot be read as a table", "Save it as CSV, utf-8"),
    "header only": ([LOG_NAMES], {}, "no customers", "Add one line"),
    "no age, no age_band": (
        NO_AGE,
        {},
        "lacks 'age_band'",
        "'plan', 'group', 'bought'",
        "Rename or add",
    ),
    "no such segment": (GOOD_LOG, {"segment": "country"}, "lacks 'country'", "'plan'", "Rename"),
    "no such outcome": (GOOD_LOG, {"outcome": "revenue"}, "lacks 'revenue'", "Rename or add"),
    "no such group": (GOOD_LOG, {"group": "arm"}, "lacks 'arm'", "Rename or add"),
    "nothing there": (NO_AGE, {"outcome": "x", "group": "y"}, "lacks 'age_band', 'x', 'y'"),
    "no names": (
        list(LOG_ROWS),
        {},
        "lacks 'age_band'",
        "its columns are '1', '20'",
        "the first line holds the names",
    ),
    "outcome named twice": (
        [f"{LOG_NAMES},bought", *(f"{row},1" for row in LOG_ROWS)],
        {},
        "'bought' more than once",
        "Keep one",
    ),
    "age named twice": (
        [f"{LOG_NAMES},age", *(f"{row},1" for row in LOG_ROWS)],
        {},
        "'age' more than once",
    ),
    "a value too many": (
        [LOG_NAMES, *(f"{row},9" for row in LOG_ROWS)],
        {},
        "more values in a row than names",
    ),
    "values too many in the first row": (
        [LOG_NAMES, f"{LOG_ROWS[0]},9,9", *LOG_ROWS[1:]],
        {},
        "more values in a row than names",
        "what stands above the names",
    ),
    "segment is the group": (GOOD_LOG, {"segment": "group"}, "Give different columns"),
    "segment is the outcome": (GOOD_LOG, {"segment": "bought"}, "Give different columns"),
    "group is the outcome": (
        GOOD_LOG,
        {"group": "bought"},
        "'bought' would have two purposes",
        "Give different columns",
    ),
    "blank segment": (
        one_more("5,30,,test,1"),
        BY_PLAN,
        "column plan, line 6",
        "blank",
        "fill it in",
    ),
    "spaces for a segment": (one_more("5,30,  ,test,1"), BY_PLAN, "column plan, line 6", "blank"),
    "blank outcome": (
        one_more("5,30,pro,test,"),
        {},
        "column bought, line 6",
        "blank",
        "take the row out",
    ),
    "blank arm": (one_more("5,30,pro,,1"), {}, "column group, line 6", "blank", "fill it in"),
    "blank age": (one_more("5,,pro,test,1"), {}, "column age, line 6", "blank", "fill it in"),
    "text for an outcome": (
        one_more("5,30,pro,test,yes"),
        {},
        "column bought, line 6: yes is not a number",
        "such as",
    ),
    "infinite outcome": (
        one_more("5,30,pro,test,inf"),
        {},
        "column bought, line 6: inf is impossible",
        "use a",
    ),
    "huge outcome": (
        one_more("5,30,pro,test,1e200"),
        {},
        "column bought, line 6: 1e200 is impossible",
        "use a number",
    ),
    "text for an age": (
        one_more("5,old,pro,test,1"),
        {},
        "column age, line 6: old is not a number",
        "such as 42",
    ),
    "impossible age": (
        one_more("5,130,pro,test,1"),
        {},
        "column age, line 6: 130 is impossible",
        "from 0 to 120",
    ),
    "three arms": (
        one_more("5,30,pro,third,1"),
        {},
        "column group",
        "'control', 'test', 'third'",
        "must be two",
    ),
    "an arm each": (
        [LOG_NAMES, *(f"{i},{20 + i},pro,arm {i},1" for i in range(9))],
        {},
        "'arm 5' ...",
        "There must be two",
    ),
    "one arm": (
        [LOG_NAMES, *LOG_ROWS[::2]],
        {},
        "column group",
        "are 'control'",
        "must be two",
    ),
    "another word for control": (GOOD_LOG, {"control": "A"}, "'control', 'test'", "control is 'A'"),
    "arms by number": (
        [line.replace("control", "0").replace("test", "1") for line in GOOD_LOG],
        {},
        "are '0', '1'",
        "control is 'control'",
        "Give one of them",
    ),
    "one segment": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3]],
        BY_PLAN,
        "column plan: 1 value;",
        "2 to 60",
    ),
    "one age band": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3]],
        {},
        "column age_band: 1 value;",
    ),
    "a running number": (
        many_users(lambda i: 1000 + i),
        BY_PLAN,
        "column plan: 61 values",
        "into bands",
    ),
    "a name each": (
        many_users(lambda i: f"u{i}"),
        BY_PLAN,
        "column plan: 61 values",
        "another column",
    ),
    "user twice": (
        one_more("2,30,pro,test,1"),
        {},
        "user is not given, and column user_id of",
        "repeats: 4 values in 5 rows",
        "the rows of a user are added up",
    ),
    "users twice": (
        [*one_more(LOG_ROWS[1]), LOG_ROWS[0]],
        {},
        "column user_id of",
        "repeats: 4 values in 6 rows",
    ),
    "one segment and a space": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3].replace("pro", "pro ")],
        BY_PLAN,
        "column plan: 1",
    ),
    "one user's rows and a space": (
        [*one_more(" A,30,pro,test,1"), "A,30,pro,test,1"],
        {},
        "column user_id of",
        "repeats: 5 values in 6 rows",
    ),
    "blank user": (one_more(",30,pro,test,1"), {}, "column user_id: 1 id blank", '"none"'),
    "blank users": (
        [*one_more(",30,pro,test,1"), ",31,pro,test,1"],
        {},
        "column user_id: 2 ids blank",
        "take the rows out",
    ),
}


@pytest.mark.parametrize("fault", BAD_LOGS)
def test_bad_log(load_log, fault):
    lines, options, *said = BAD_LOGS[fault]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said but the message
        guard_message(lambda: load_log(*lines, **options), *said)


def test_missing_log(tmp_path):
    guard_message(
        lambda: data.load_log(tmp_path / "no.csv"), "no file", "no.csv", "Check the spelling"
    )


def test_the_log_behind_the_faults_is_good(load_log):
    assert load_log(*GOOD_LOG, control="test")["group"].tolist() == ["control", "test"] * 2


@pytest.mark.parametrize(("far", "spread"), [(1e12, 1), (-1e11, 1), (1e3, 1e-8)])
def test_outcomes_too_far_from_zero_for_their_spread_are_told(tmp_path, far, spread):
    """At 1e12 numbers end at a ten-thousandth: what is computed of differences of 1 is unsure."""

    def log(distance: float) -> Path:
        rows = [f"{s},{distance - spread * k},{a}" for s in "AB" for k in (0, 1, 2) for a in "ct"]
        path = tmp_path / "log.csv"
        path.write_text("\n".join(["s,y,group", *rows]), encoding="utf-8")
        return path

    guard_message(lambda: data.load_log(log(far), "s", "y", control="c"), "column y", "Subtract")
    near = data.load_log(log(far / 1000), "s", "y", control="c")
    assert len(near) == 12
