"""Tables that people have: separators, encodings and kinds of files, and where a fault stands.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import pandas as pd
import pytest

from helpers import data, tables
from tests.guards import caught, guard_message

ROWS = (("user", "group", "place", "y"), ("a", "control", "x", "1"), ("b", "treatment", "x", "2"))
ROLES = {"numbers": ["y"], "labels": ["place", "group"]}


def written(folder, sign=",", rows=ROWS, encoding="utf-8", name="log.csv"):
    path = folder / name
    path.write_bytes("".join(sign.join(row) + "\n" for row in rows).encode(encoding))
    return path


def guard_separators(read, folder):
    """Whatever stands between the values, they are the same; what it was is noted."""
    for sign, notes in ((",", []), (";", ["semicolons"]), ("\t", ["tabs"])):
        for encoding in ("utf-8", "utf-8-sig"):
            table, source = read(written(folder, sign, encoding=encoding), **ROLES)
            assert list(table) == list(ROWS[0]) and source.notes == notes
            assert table["y"].tolist() == ["1", "2"] and table["user"].tolist() == ["a", "b"]


def only_commas(path, **roles):
    table = pd.read_csv(path, dtype=str, encoding="utf-8-sig")
    return table, tables.Source(path, ",", [])


def test_separators(tmp_path):
    guard_separators(tables.read, tmp_path)
    caught(lambda read: guard_separators(read, tmp_path), only_commas)


def test_the_separator_is_the_one_that_gives_the_columns(tmp_path):
    """A name may hold the other sign: more of them do not outvote the columns that are wanted."""
    rows = (("user", "place, town, street", "group", "y"), ("a", "x", "control", "1"))
    path = written(tmp_path, ";", rows)
    assert tables.separator(path, ["group", "y"]) == ";"
    other = written(tmp_path, ",", [["a;b;c;d", "y"], ["1", "2"]], name="other.csv")
    assert tables.separator(other, ["y"]) == ","
    table, _ = tables.read(path, ["y"], ["group"])
    assert list(table) == list(rows[0])


def test_quoted_signs_are_no_separators(tmp_path):
    path = written(tmp_path, ",", [['"a;b;c"', "group", "y"], ["1", "control", '"2,5"']])
    table, _ = tables.read(path, ["y"], ["group"])
    assert table["y"].tolist() == ["2,5"]


KINDS = {
    "xlsx": (b"PK\x03\x04rest", "a workbook or an archive"),
    "xls": (b"\xd0\xcf\x11\xe0rest", "an old workbook"),
    "gz": (b"\x1f\x8brest", "compressed"),
    "utf-16": ("user,y\n1,2\n".encode("utf-16"), "UTF-16 text"),
    "windows": (
        "user,place,group,y\n1,x,c,2\n2,Köln,c,3\n".encode("cp1252"),
        "line 3 is not utf-8",
    ),
    "its letter": (
        "user,place,group,y\n1,Köln,c,2\n".encode("cp1252"),
        "0xf6, in Windows-1252 a 'ö'",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_files_are_named(tmp_path, kind):
    content, said = KINDS[kind]
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    guard_message(lambda: tables.read(path, **ROLES), said, "Save it as CSV, utf-8")


def test_parquet_gives_what_csv_gives(tmp_path):
    path = tmp_path / "log.parquet"
    table = pd.DataFrame({"user": [1, 2, 3], "group": ["c", "t", "t"], "y": [True, False, True]})
    table.assign(place=["10", "b", "2"]).to_parquet(path)
    log, source = data.read_log(path, data.Roles("y", "place", user="user"), "c")
    assert source.notes == ["Parquet", "True = 1"] and log["y"].tolist() == [1, 0, 1]
    assert log["place"].cat.categories.tolist() == ["2", "10", "b"]
    table.assign(place=["x", None, "y"]).to_parquet(path)
    guard_message(
        lambda: data.read_log(path, data.Roles("y", "place"), "c"), "column place, row 2", "blank"
    )


def test_the_line_is_told_with_every_separator(tmp_path):
    """A value of two lines counts, also behind semicolons."""
    rows = [*ROWS[:2], ("b", '"treat\nment"', "x", "2"), ("c", "control", "x", "three")]
    for sign in tables.SEPARATORS:
        source = tables.Source(written(tmp_path, sign, rows), sign, [])
        assert [source.place(row) for row in range(3)] == ["line 2", "line 3", "line 5"]
        wrong = tables.Source(source.path, "|", [])
        assert wrong.place(2) != "line 5"  # the planted fault: another separator
    assert tables.Source(source.path, "", []).place(2) == "row 3"
    assert tables.Source(source.path, ",", [], by_row=False).place(2) == "somewhere"
