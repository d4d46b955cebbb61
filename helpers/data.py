"""Load customers, or an experiment log, and check them: every refusal says which column, which row, and what to do."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import InputError, segments

FOLDER = Path(__file__).resolve().parents[1] / "data"
COLUMNS = ("CustomerID", "Gender", "Age", "Annual Income (k$)", "Spending Score (1-100)")
RANGES = {"Age": (0, 120), "Annual Income (k$)": (0, 10_000), "Spending Score (1-100)": (1, 100)}
ADDED_BY_THE_COURSE = ("Cluster", "group", "outcome")
LARGEST = (-(10**12), 10**12)  # of an outcome: squares of it can still be added up
MOST_SEGMENTS = 60  # more would not be told apart in a picture, nor in a decision


def load_customers(path: str | Path | None = None) -> pd.DataFrame:
    """Read a customer file (CSV, utf-8, a header line) and return it checked, one row per customer.

    path: the file; None reads the course's own `data/customers.csv`. Columns may stand in any order, extra ones are
    kept behind the course's five, and `Genre` is read as `Gender`. The order of rows is kept. Age is in years (0 to
    120), income in thousands of dollars (0 to 10,000), the score in points (1 to 100).
    Raises InputError for a file that cannot be read, columns that are missing or that the course adds itself, and
    blank, repeated or impossible values. Rows are counted from 1, names and empty lines left out.
    """
    path = FOLDER / "customers.csv" if path is None else Path(path)
    table = _read_csv(path, (*COLUMNS, "Genre"))
    table = table if "Gender" in table else table.rename(columns={"Genre": "Gender"})
    _require(COLUMNS, table, path)
    if taken := [name for name in ADDED_BY_THE_COURSE if name in table]:
        raise InputError(
            f"{path.name} has a column {_names(taken)}, a name the course gives itself. Rename yours."
        )
    _refuse_blanks(COLUMNS, table, path)
    again = table["CustomerID"].astype(str).str.strip().duplicated()
    _refuse(
        again, path, table["CustomerID"], "{value} stands there twice: keep one row for a customer"
    )
    for name, limits in RANGES.items():
        table[name] = _numbers(name, table, path, limits)
    return table[[*COLUMNS, *(name for name in table if name not in COLUMNS)]]


def load_log(
    path: str | Path | None = None,
    segment: str = "age_band",
    outcome: str = "converted",
    group: str = "group",
    control: str = "control",
) -> pd.DataFrame:
    """Read an experiment log (CSV, utf-8, a header line) and return it checked, one row per user.

    path: the file; None reads the course's own `data/ab_test_data.csv`. segment, outcome, group: names of columns;
    control: the value of `group` that is not treated. Arms come back as text, segments as an ordered category; the
    segment "age_band" is cut from `age` (years) if the file has no such column.
    Raises InputError for a file that cannot be read, columns that are missing or used twice, blanks, an outcome that
    is no number, more or fewer than two arms, a segment column with one value or a running number, and a `user_id`
    that repeats.
    """
    path = FOLDER / "ab_test_data.csv" if path is None else Path(path)
    roles = (segment, outcome, group)
    table = _read_csv(path, (*roles, "age", "user_id"), as_text=(segment, group))
    cut = segment == "age_band" and "age_band" not in table and "age" in table
    _require(roles[cut:], table, path)
    if cut:
        _refuse_blanks(["age"], table, path)
        table["age_band"] = segments.age_band(_numbers("age", table, path, RANGES["Age"]))
    if len(set(roles)) < 3:
        raise InputError(
            f"Segment, outcome and group are {_names(list(roles))}; give three different columns."
        )
    _refuse_blanks(roles, table, path)
    if "user_id" in table:
        _refuse_blanks(["user_id"], table, path)
        again = table["user_id"].astype(str).str.strip().duplicated()
        _refuse(
            again,
            path,
            table["user_id"],
            "{value} stands there twice: add up a user's rows, so that one is left",
        )
    if table[outcome].dtype == bool:
        table[outcome] = table[outcome].astype(int)
    table[outcome] = _numbers(outcome, table, path, LARGEST)
    table[group] = table[group].astype(str).str.strip()
    if not cut:
        labels = table[segment].astype(str).str.strip()
        names = pd.Series(labels.unique())
        in_order = names[np.lexsort((names, pd.to_numeric(names, errors="coerce")))]  # 2 before 10
        table[segment] = pd.Categorical(labels, in_order, ordered=True)
    _check_arms_and_segments(table, path, segment, group, str(control))
    return table


def _check_arms_and_segments(
    table: pd.DataFrame, path: Path, segment: str, group: str, control: str
) -> None:
    arms = sorted(table[group].unique())
    if len(arms) != 2 or control not in arms:
        arms = _names(arms[:6]) + (" ..." if len(arms) > 6 else "")
        raise InputError(
            f"is {control!r}, but the arms in {path.name}, column {group}, are {arms}. "
            "There must be two, one of them control.",
            "control",
        )
    different = table[segment].nunique()
    if different < 2 or different > MOST_SEGMENTS:
        said = f"{different} different value{'s'[: different != 1]}; segments can be 2 to {MOST_SEGMENTS}"
        advice = (
            f"Please choose another column{', or cut this one into bands' if different > 1 else ''}"
        )
        raise InputError(f"{path.name}, column {segment}: {said}. {advice}.")


def _read_csv(path: Path, columns: Sequence[str], as_text: Sequence[str] = ()) -> pd.DataFrame:
    options = {"encoding": "utf-8-sig", "index_col": False, "compression": None}
    if as_text:  # codes keep their zeros, and a segment may be called NA
        options |= {
            "dtype": dict.fromkeys(as_text, str),
            "keep_default_na": False,
            "na_values": [""],
        }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, **options).rename(columns=str.strip)
    except pd.errors.ParserWarning:
        raise InputError(
            f"{path.name} has more values in a row than names in its first line. Add the name."
        ) from None
    except FileNotFoundError:
        raise InputError(
            f"There is no file {path}. Check the spelling, or give the whole path."
        ) from None
    except (OSError, ValueError) as error:  # pandas and unicode errors are ValueErrors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path.name} cannot be read as a table ({reason}). Save it as CSV, utf-8."
        ) from None
    twice = [
        name for name in columns if list(table.columns).count(name) > 1 or f"{name}.1" in table
    ]
    if twice:  # pandas calls the second Age "Age.1"
        raise InputError(
            f"{path.name} has the column {_names(twice)} more than once. Keep one of them."
        )
    return table


def _require(names: Sequence[str], table: pd.DataFrame, path: Path) -> None:
    if missing := [name for name in dict.fromkeys(names) if name not in table]:
        raise InputError(
            f"{path.name} lacks {_names(missing)}; its columns are {_names(table.columns)}.\n"
            "Rename or add what is missing: the first line holds the names, commas stand between them."
        )
    if table.empty:
        raise InputError(f"{path.name} has names but no customers. Add one line for each customer.")


def _refuse_blanks(names: Sequence[str], table: pd.DataFrame, path: Path) -> None:
    for name in names:
        blank = table[name].isna() | (table[name].astype(str).str.strip() == "")
        _refuse(blank, path, table[name], "the value is blank: fill it in or take the row out")


def _numbers(name: str, table: pd.DataFrame, path: Path, limits: tuple[int, int]) -> pd.Series:
    """The column as numbers, or InputError at the first value that is none or lies outside the limits."""
    numbers = pd.to_numeric(table[name].astype(str), errors="coerce")
    _refuse(numbers.isna(), path, table[name], "{value} is not a number: write digits, such as 42")
    impossible = "{{value}} is impossible: use a number from {:,} to {:,}".format(*limits)
    _refuse(~numbers.between(*limits), path, table[name], impossible)
    return numbers


def _refuse(bad: pd.Series, path: Path, values: pd.Series, fault: str) -> None:
    """Raise InputError naming the first bad row (rows count from 1, the line of names left out)."""
    if bad.any():
        row = int(bad.to_numpy().argmax())
        fault = fault.format(value=values.iloc[row]) + (
            f" ({bad.sum()} such rows in all)" if bad.sum() > 1 else ""
        )
        raise InputError(f"{path.name}, column {values.name}, row {row + 1}: {fault}.")


def _names(columns: Sequence[str] | pd.Index) -> str:
    return ", ".join(f"'{name}'" for name in columns)
