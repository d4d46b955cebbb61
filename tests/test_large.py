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
    "mixed": (
        lambda t: t.assign(spend=["1,5", *["2.5"] * 399]),
        "is not written like other values",
    ),
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


SILENT = {
    # what pandas refuses or reads otherwise, beyond the values that are looked at one by one
    "underscores": lambda t: t.assign(spend=["1_000", *t["spend"].astype(str)[1:]]),
    "a late word": lambda t: t.assign(spend=[*[f"{i},5" for i in range(399)], "x"]),
    "a late dot": lambda t: t.assign(spend=[*[f"{i},5" for i in range(399)], "1.5"]),
    "a third word": lambda t: t.assign(spend=[*["Yes"] * 399, "1"]),
}


@pytest.mark.parametrize("fault", SILENT)
def test_no_value_is_guessed(tmp_path, fault, monkeypatch):
    monkeypatch.setattr(large, "MANY", 20)
    path = save(SILENT[fault](a_table()), tmp_path, "csv")
    for read in (large.read_large, data.read_log):
        guard_message(lambda r=read: r(path, ROLES["rows"], "control", 5), "column spend")
    by_user = data.Roles("spend", "place", user="user")  # a sum would pass over what is none
    guard_message(lambda: large.read_large(path, by_user, "control", 5), "column spend")


def test_tabs_around_ids_are_no_part_of_them(tmp_path):
    table = a_table()
    table["user"] = table["user"] + np.where(np.arange(400) % 2 == 0, "\t", "\u00a0")
    guard_same_file(save(table, tmp_path, "csv"), ROLES["users"])


def guard_same_file(path, roles):
    wanted, found = (r(path, roles, "control", 5)[0] for r in (data.read_log, large.read_large))
    assert len(found) == len(wanted)
    assert found["spend"].tolist() == wanted["spend"].tolist()
    assert found["place"].astype(str).tolist() == wanted["place"].astype(str).tolist()


@pytest.mark.parametrize("codes", [[0, 1], [7, 10]])
def test_arms_and_segments_may_be_numbers(tmp_path, codes):
    table = a_table().assign(place=lambda t: np.where(t["place"] == "10", *codes))
    table["group"] = (table["user"].str[1:].astype(int) % 2).map(dict(enumerate(codes)))
    path = save(table, tmp_path, "parquet")
    roles = ROLES["users"]
    wanted, found = (r(path, roles, str(codes[0]), 2)[0] for r in (data.read_log, large.read_large))
    assert found["place"].astype(str).tolist() == wanted["place"].astype(str).tolist()


def test_what_duckdb_does_not_read_pandas_does(tmp_path, monkeypatch):
    """Columns without a name, dates as arms, a segment of blanks: no other answer for size."""
    monkeypatch.setattr(large, "LARGE", 0)
    monkeypatch.setattr(large, "ROWS", 0)
    table = a_table().drop_duplicates("user")
    path = tmp_path / "log.csv"
    path.write_text(table.to_csv(index=False).replace("\n", ",\n"), encoding="utf-8")
    log, source = large.read(path, data.Roles("spend", "place"), "control", 5)
    assert len(log) == len(table) and source.by_row
    table.assign(group=pd.to_datetime("2020-01-01")).to_parquet(tmp_path / "log.parquet")
    guard_message(
        lambda: large.read(tmp_path / "log.parquet", data.Roles("spend", "place"), "a", 5),
        "'2020-01-01'",
    )
    path.write_text("", encoding="utf-8")
    guard_message(
        lambda: large.read(path, ROLES["rows"], "control", 5), "cannot be read as a table"
    )


def test_a_folder_of_parquet_is_one_log(tmp_path):
    table, folder = a_table(), tmp_path / "log"
    folder.mkdir()
    table.head(150).to_parquet(folder / "a.parquet")
    table.tail(250).to_parquet(folder / "b.parquet")
    roles = ROLES["rows"]
    found, source = large.read(folder, roles, "control", 5)
    assert source.notes == ["a folder of Parquet"] and len(found) == 400
    assert sorted(found["spend"]) == sorted(table["spend"])
    (tmp_path / "empty").mkdir()
    guard_message(lambda: large.read(tmp_path / "empty", roles, "control", 5), "cannot be read")


def test_ids_that_repeat_and_files_that_are_none(tmp_path):
    path = save(a_table(), tmp_path, "csv")
    alone = data.Roles("spend", "place")
    guard_message(lambda: large.read_large(path, alone, "control", 5), "user is not given", "400")
    for content in (b"a,b\n1,2\n\xff\xfe,3\n", b"PK\x03\x04", b"spend,place,group\n1,2,3,4\n"):
        (tmp_path / "bad.csv").write_bytes(content)
        guard_message(
            lambda: large.read_large(tmp_path / "bad.csv", alone, "control", 5), "bad.csv"
        )
