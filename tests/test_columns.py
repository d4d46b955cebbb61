"""Columns as numbers and names: what may mean two things is refused, all else is noted.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

from pathlib import Path

import pandas as pd
import pytest

from helpers import InputError, columns, tables
from tests.guards import caught, guard_message

ANY = (-(10**12), 10**12)


def numbers(values, sign=",", as_numbers=columns.as_numbers, **how):
    """The values as numbers, and what was noted."""
    source = tables.Source(Path("log.csv"), sign, [])
    table = pd.DataFrame({"y": pd.Series(values, dtype=None if how.pop("raw", 0) else "str")})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_line", lambda path, sign, row: row + 2)
        return as_numbers("y", table, source, ANY, **how).tolist(), source.notes


READ = {
    "whole": (["1", " 2", "-3 ", "+4"], ",", [1, 2, -3, 4], []),
    "dots": (["1.5", ".5", "2.", "1e3"], ",", [1.5, 0.5, 2, 1000], []),
    "three decimals behind a dot": (["1.234", "2.345"], ",", [1.234, 2.345], []),
    "decimal commas": (["29,99", "0,5", "7"], ";", [29.99, 0.5, 7], ["decimal commas"]),
    "quoted decimal commas": (["29,99", "-1,5"], ",", [29.99, -1.5], ["decimal commas"]),
    "below one": (["0,123", "0,500"], ";", [0.123, 0.5], ["decimal commas"]),
    "dots in a file of semicolons": (["1.5", "2.345"], ";", [1.5, 2.345], []),
    "four decimals": (["1,2345", "1,234"], ";", [1.2345, 1.234], ["decimal commas"]),
}


def guard_numbers(as_numbers):
    for values, sign, wanted, notes in READ.values():
        assert numbers(values, sign, as_numbers) == (wanted, notes)


def commas_dropped(name, table, source, limits):
    """Takes every comma for a sign of thousands."""
    return pd.to_numeric(table[name].str.replace(",", ""))


def test_numbers_as_people_write_them():
    guard_numbers(columns.as_numbers)
    caught(guard_numbers, commas_dropped)


WORDS = {
    "yes": (["Yes", "no", "YES "], [1, 0, 1], ["Yes = 1"]),
    "true": (["True", "FALSE"], [1, 0], ["True = 1"]),
    "letters": (["y", "N"], [1, 0], ["y = 1"]),
    "German": (["ja", "nein", "ja"], [1, 0, 1], ["ja = 1"]),
    "only no": (["No", "No"], [0, 0], ["No = 0"]),
}


@pytest.mark.parametrize("kind", WORDS)
def test_two_words_are_one_and_nought(kind):
    values, wanted, notes = WORDS[kind]
    found, said = numbers(values, yes_or_no=True)
    assert found == wanted and said[0].split(" ")[0].lower() == notes[0].split(" ")[0].lower()
    assert said[0].endswith(notes[0][-3:])
    with pytest.raises(InputError):  # of a column that is no outcome they are not expected
        numbers(values)


def test_true_and_false_of_parquet():
    assert numbers([True, False], raw=True, yes_or_no=True) == ([1, 0], ["True = 1"])


REFUSED = {
    "thousands or decimals, comma": (
        ["1,234", "2,500", "7"],
        ",",
        "line 2: 1,234 may be 1234 or 1.234",
    ),
    "thousands or decimals, semicolons": (
        ["5", "1,234"],
        ";",
        "line 3: 1,234 may be 1234 or 1.234",
    ),
    "thousands or decimals, dot": (["1.234", "12"], ";", "line 2: 1.234 may be 1234 or 1.234"),
    "both signs": (["1.234,56", "7,00"], ";", "line 2: 1.234,56 is not written like other"),
    "signs mixed": (["1,5", "1.5"], ";", "line 3: 1.5 is not written like other values"),
    "one of thousands": (["2,5", "7,25", "1.234,56"], ";", "line 4: 1.234,56 is not written like"),
    "one dot more": (["2.5", "7.25", "1,5"], ";", "line 4: 1,5 is not written like other values"),
    "one word": (["48,06", "2,5", "k.A."], ";", "line 4: k.A. is not a number"),
    "a blank for thousands": (["1,5", "2,5", "1 234,56"], ";", "line 4: 1 234,56 is not a number"),
    "another alphabet": (["1.5", "\u0663\u0664"], ",", "is not a number"),
    "underscores": (["1", "2_000"], ",", "line 3: 2_000 is not a number"),
    "yes and one": (["Yes", "1"], ",", "line 2: Yes is not a number"),
    "two languages": (["Yes", "nein"], ",", "line 2: Yes is not a number"),
    "three words": (["yes", "no", "maybe"], ",", "yes is not a number"),
    "money": (["€5", "€7"], ",", "€5 is not a number"),
    "per cent": (["5 %", "7 %"], ",", "5 % is not a number"),
    "nan": (["nan", "1"], ",", "line 2: nan is not a number"),
    "infinite": (["1", "inf"], ",", "line 3: inf is impossible"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_may_mean_two_things_is_refused(kind):
    values, sign, said = REFUSED[kind]
    guard_message(lambda: numbers(values, sign, yes_or_no=True), "log.csv, column y", said)


def test_labels_keep_their_order_and_lose_their_blanks():
    source = tables.Source(Path("log.csv"), ",", [])
    table = pd.DataFrame({"s": [" b", "10", "2 ", "b"]})
    labels = columns.as_labels("s", table, source)
    assert labels.tolist() == ["b", "10", "2", "b"]
    assert columns.in_order(labels).categories.tolist() == ["2", "10", "b"]
