"""A large log is read by DuckDB, and gives what pandas gives: users, numbers, names, their order.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import numpy as np
import pandas as pd
import pytest

from helpers import data
from tests.guards import caught, guard_message
from tools import analyse, large


def a_table(n=400, seed=1):
    """Rows of users in any order; sums with rounding noise; names with blanks around."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, n // 2, n)
    return pd.DataFrame(
        {
            "user": [f"0{i}" for i in who],
            "group": np.where(who % 3 == 0, "control", np.where(who % 3 == 1, " blue", "green ")),
            "place": np.where(who % 2 == 0, "10", " 9"),
            "age": who % 60 + 18,
            "known": who / 7,
            "spend": rng.choice([0.1, 0.2, 0.7, 12.25], n),
            "bought": rng.choice(["Yes", "no"], n),
            "views": rng.integers(1, 9, n),
        }
    )


def save(table, folder, kind):
    path = folder / f"log.{kind.replace(' ', '.')}"
    if kind == "parquet":
        table.assign(bought=table["bought"] == "Yes").to_parquet(path)
    elif kind == "semicolons":
        table.to_csv(path, sep=";", decimal=",", index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if kind == "tabs" else ",")
    return path


ROLES = {
    "users": data.Roles("spend", "place", user="user", added=("views",), known=("known",)),
    "yes or no": data.Roles("bought", "place", user="user"),
    "bands": data.Roles("spend", "age", user="user", bands=(30.0, 40.5)),
    "rows": data.Roles("spend", "place", user="none"),
    "no segments": data.Roles("spend", user="none", added=("bought", "views")),
}


def guard_same(read, folder, roles):
    for kind in ("csv", "tabs", "semicolons", "parquet"):
        path = save(a_table(), folder, kind)
        wanted, source = data.read_log(path, roles, "control", 5)
        found, other = read(path, roles, "control", 5)
        assert (other.notes, found.attrs["rows"]) == (source.notes, 400)
        for name in roles.names():
            if wanted[name].dtype.kind in "if":
                assert found[name].to_numpy(float).tolist() == wanted[name].tolist(), (kind, name)
            else:
                assert found[name].astype(str).tolist() == wanted[name].astype(str).tolist()
        if roles.segment:
            names = wanted[roles.segment].cat.categories
            assert found[roles.segment].cat.categories.tolist() == names.tolist()


@pytest.mark.parametrize("roles", ROLES)
def test_it_gives_what_pandas_gives(tmp_path, roles):
    guard_same(large.read_large, tmp_path, ROLES[roles])


def another_order(*given):
    table, source = large.read_large(*given)
    attrs = table.attrs
    table = table.iloc[::-1].reset_index(drop=True)
    table.attrs = attrs
    return table, source


def test_another_order_is_caught(tmp_path):
    """Coins are tossed for users in their order: another one gives other shares."""
    caught(lambda read: guard_same(read, tmp_path, ROLES["users"]), another_order)


def test_the_same_decisions_and_the_same_page(tmp_path, monkeypatch, capsys):
    path = save(a_table(2_000), tmp_path, "csv")
    options = ["--outcome", "spend", "--segment", "place", "--user", "user", "--worth", "1"]
    for name, limit in (("small", 10**9), ("large", 0)):
        monkeypatch.setattr(large, "LARGE", limit)
        assert analyse.main([str(path), *options, "--out", str(tmp_path / name)]) == 0
    for file in ("decisions.csv", "report.html"):
        pages = [(tmp_path / name / file).read_bytes() for name in ("small", "large")]
        assert pages[0] == pages[1]
    capsys.readouterr()


def test_large_is_a_matter_of_bytes_or_rows(tmp_path, monkeypatch):
    csv, parquet = (save(a_table(), tmp_path, kind) for kind in ("csv", "parquet"))
    assert not large.is_large(csv) and not large.is_large(parquet)
    monkeypatch.setattr(large, "LARGE", 1_000)
    monkeypatch.setattr(large, "ROWS", 399)
    assert large.is_large(csv) and large.is_large(parquet)


BAD = {
    "text": (lambda t: t.assign(spend=["x", *t["spend"].tolist()[1:]]), "column spend", "x is not"),
    "mixed": (lambda t: t.assign(spend=["1,5", *["2.5"] * 399]), "1,5 has a comma"),
    "thousands": (lambda t: t.assign(spend=["1,234"] * 400), "1,234 may be 1234 or 1.234"),
    "blank": (lambda t: t.assign(spend=[None, *t["spend"][1:]]), "column spend: 1 blank value"),
    "blank name": (lambda t: t.assign(place="  "), "column place", "blank"),
    "infinite": (lambda t: t.assign(spend=["inf", *t["spend"][1:]]), "inf is impossible"),
    "both arms": (lambda t: t.assign(group=["control", "blue"] * 200), "stand in both arms"),
    "moved": (lambda t: t.assign(place=["a", "b"] * 200), "in several segments of place"),
    "changed": (lambda t: t.assign(known=range(400)), "with several values of known"),
    "one arm": (lambda t: t.assign(group="control"), "The arms in column group"),
    "no column": (lambda t: t.drop(columns="views"), "lacks 'views'"),
    "many segments": (lambda t: t.assign(place=t["user"]), "segments can be 2 to 60"),
}


@pytest.mark.parametrize("fault", BAD)
def test_faults_are_told(tmp_path, fault):
    change, *said = BAD[fault]
    path = save(change(a_table()), tmp_path, "csv")
    guard_message(lambda: large.read_large(path, ROLES["users"], "control", 5), "log.csv", *said)


def test_ids_that_repeat_and_files_that_are_none(tmp_path):
    path = save(a_table(), tmp_path, "csv")
    alone = data.Roles("spend", "place")
    guard_message(lambda: large.read_large(path, alone, "control", 5), "user is not given", "400")
    for content in (b"a,b\n1,2\n\xff\xfe,3\n", b"PK\x03\x04", b"spend,place,group\n1,2,3,4\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        guard_message(
            lambda: large.read_large(tmp_path / "bad.csv", alone, "control", 5), "bad.csv"
        )
