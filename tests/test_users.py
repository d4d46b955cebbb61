"""A coin is flipped for a user: rows of one user are added up, and what is taken for users is said.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import data, experiment, heterogeneity, inference, users
from tests.guards import caught, guard_message, share

ROLES = ("place", "y", "group")
CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"


def a_log(seed=1, customers=60, column="customer_id"):
    """Customers with one to five rows each, in any order; a remark that no role has."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), rng.integers(1, 6, customers))
    table = pd.DataFrame({column: who, "y": rng.integers(0, 4, len(who)), "note": range(len(who))})
    table["place"] = np.where(who % 3 == 0, "north", "south")
    table["group"] = np.where(who * 7 % 10 < 5, "control", "treatment")
    return table.sample(frac=1, random_state=seed, ignore_index=True)


def one_row_each(table, user=None):
    return users.one_row_each(table, user, ROLES, "log.csv")


def guard_sums(one_row_each):
    """One row a user, in the order in which users come; outcomes added up, first values kept."""
    table = a_log()
    found = one_row_each(table, "customer_id")
    first = table.drop_duplicates("customer_id")
    assert found["customer_id"].tolist() == first["customer_id"].tolist()
    for name in ("place", "group", "note"):
        assert found[name].tolist() == first[name].tolist()
    totals = table.groupby("customer_id")["y"].sum()
    assert found["y"].tolist() == totals[first["customer_id"]].tolist()
    assert found.index.tolist() == list(range(60)) and found.attrs["rows"] == len(table)


def test_a_users_rows_are_added_up():
    guard_sums(one_row_each)
    caught(guard_sums, lambda table, user: table.drop_duplicates(user, ignore_index=True))
    caught(guard_sums, lambda table, user: one_row_each(table, user).iloc[::-1])


def test_a_column_that_does_not_repeat_changes_nothing():
    table = a_log().drop_duplicates("customer_id")
    for user in (None, "customer_id", "none"):
        pd.testing.assert_frame_equal(one_row_each(table.copy(), user), table)
    assert one_row_each(a_log(), "none")["y"].sum() == a_log()["y"].sum()


IDS = "user userid user_id User-ID customer Customer_ID customerId client CLIENT id ID uuid visitor"
NO_IDS = "users order_id session age place ids userX"
IDS += " uid guid member_id cookieId"


def test_ids_are_known_by_their_usual_names():
    names = [*IDS.split(), "Customer ID", "visitor id"]
    assert users.id_columns([*names, *NO_IDS.split()]) == names


@pytest.mark.parametrize("name", [*IDS.split(), "Customer ID"])
def test_an_id_that_repeats_stops_the_run(name):
    table = a_log(column=name)
    counts = f"60 values in {len(table)} rows"
    guard_message(lambda: one_row_each(table), "user is not given", name, counts, '"none"')
    assert len(one_row_each(table, "none")) == len(table)


def test_a_second_id_is_looked_at_too_and_a_role_is_none():
    table = a_log().assign(id=range(len(a_log())))
    guard_message(lambda: one_row_each(table), "column customer_id of log.csv repeats")
    ios = table.drop(columns="customer_id").rename(columns={"place": "client"})
    assert len(users.one_row_each(ios, None, ("client", "y", "group"), "log.csv")) == len(ios)


def both(table, count):
    """The log in which so many users have a row in the other arm too."""
    again = table.drop_duplicates("customer_id").head(count)
    other = again["group"].map({"control": "treatment", "treatment": "control"})
    return pd.concat([table, again.assign(group=other)], ignore_index=True)


@pytest.mark.parametrize("user", [None, "customer_id"])
def test_users_in_both_arms_are_told_apart_from_repeats(user):
    for count, said in ((1, "1 user stands in both arms"), (12, "12 users stand in both arms")):
        guard_message(lambda n=count: one_row_each(both(a_log(), n), user), said, "customer_id")
    assert len(one_row_each(both(a_log(), 3), "none")) == len(a_log()) + 3


def test_users_in_two_segments():
    moved = a_log()
    twice = moved["customer_id"].duplicated(keep=False)
    moved.loc[moved[twice].index[0], "place"] = "elsewhere"
    said = ("1 user stands in several segments of place", "from before the experiment")
    guard_message(lambda: one_row_each(moved, "customer_id"), *said)


def test_a_role_is_no_user():
    guard_message(lambda: one_row_each(a_log(), "place"), "user is place", "another purpose")


def test_codes_keep_their_zeros(tmp_path):
    """7 and 007 are two users."""
    codes = [("7", "a0"), ("007", "a1")]
    rows = "".join(f"{code},{s},{arm},1\n" for code, s in codes for arm in ("control", "treatment"))
    (tmp_path / "log.csv").write_text(f"who,s,group,y\n{rows}", encoding="utf-8")
    log = data.load_log(tmp_path / "log.csv", "s", "y", user="none")
    assert len(log) == 4
    guard_message(
        lambda: data.load_log(tmp_path / "log.csv", "s", "y", user="who"), "2 users stand in both"
    )


# Why it matters: rows of one user resemble each other

LOGS, CUSTOMERS, ROWS = 1_500, 150, 4


def without_effect(alike, seed=2):
    """Visits of customers who differ, runs x customers x rows, and a coin for each customer."""
    rng = np.random.default_rng(seed)
    habits = rng.normal(0, alike, (LOGS, CUSTOMERS, 1))
    visits = habits + rng.normal(0, 1, (LOGS, CUSTOMERS, ROWS))
    return visits, rng.random((LOGS, CUSTOMERS)) < 0.5


def guard_level(p_values):
    """5 % false alarms, however much the rows of a user resemble each other."""
    for alike in (0, 0.5, 2):
        alarms = share(p_values(*without_effect(alike)) < 0.05)
        assert abs(alarms - 0.05) < 3.2 * math.sqrt(0.05 * 0.95 / LOGS), alike


def by_user(visits, coins):
    return inference.welch_many(visits.sum(axis=2), coins)["p_value"]


def by_row(visits, coins):
    rows = visits.reshape(LOGS, -1)
    return inference.welch_many(rows, coins.repeat(ROWS, axis=1))["p_value"]


def test_users_keep_the_level_and_rows_do_not():
    guard_level(by_user)
    caught(guard_level, by_row)
    assert share(by_row(*without_effect(2)) < 0.05) > 0.25


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not in reach")
def test_the_log_with_four_rows_a_customer():
    log = data.load_log(CASES / "repeats.csv", "region", "converted", user="customer_id")
    table = heterogeneity.decide(log, "region", "converted")
    whole, west = table.loc["all users"], table.loc["west"]
    assert [whole["lift"], whole["p_value"]] == pytest.approx([0.195488721805, 0.073919465904])
    assert [west["ci_low"], west["ci_high"]] == pytest.approx([0.025316561713, 0.931205177417])
    assert experiment.sample_ratio_p(210, 190) == pytest.approx(whole["ratio_p"])


def test_ids_keep_their_zeros_also_where_nobody_names_them(tmp_path):
    """7 and 007 are two users; plain whole numbers come back as such."""
    for ids, kind in ((("7", "007", "07"), "string"), (("7", "70", "700"), "int64")):
        rows = "".join(
            f"{code},{s},{arm},1\n"
            for code, s, arm in zip(ids, "aab", ("control", "treatment", "control"), strict=True)
        )
        (tmp_path / "log.csv").write_text(f"user_id,s,group,y\n{rows}", encoding="utf-8")
        log = data.load_log(tmp_path / "log.csv", "s", "y")
        assert len(log) == 3 and (log["user_id"].dtype == kind or kind == "string")


def test_an_id_column_that_stands_there_twice_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,s,group,y,user_id\n1,a,b,1,2\n", encoding="utf-8")
    guard_message(
        lambda: data.load_log(tmp_path / "log.csv", "s", "y"),
        "'user_id' more than once",
        "Keep one",
    )


def test_sums_have_no_rounding_noise():
    table = pd.DataFrame({"customer_id": [1, 1, 1, 2, 2, 2], "y": [0.1, 0.2, 0.7, 0.7, 0.2, 0.1]})
    table = table.assign(place=["north"] * 3 + ["south"] * 3, group="control")
    assert one_row_each(table, "customer_id")["y"].tolist() == [1, 1]
    tiny = one_row_each(table.assign(y=table["y"] * 1e-9), "customer_id")["y"]
    assert tiny.tolist() == pytest.approx([1e-9, 1e-9], rel=1e-9) and tiny.nunique() == 1
