"""Load customers, or an experiment log, and check them.

Every refusal says which column, which line, and what to do.
"""

import csv
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import CONTROL, InputError, segments, shown, users, words

FOLDER = Path(__file__).resolve().parents[1] / "data"
COLUMNS = ("CustomerID", "Gender", "Age", "Annual Income (k$)", "Spending Score (1-100)")
RANGES = {"Age": (0, 120), "Annual Income (k$)": (0, 10_000), "Spending Score (1-100)": (1, 100)}
ADDED_BY_THE_COURSE = ("Cluster", "group", "outcome")
OUTCOMES = (-(10**12), 10**12)  # squares of them can still be added up
FAR = 1e10  # standard deviations from zero: digits end at a millionth of one
MOST_SEGMENTS = 60  # more would not be told apart in a picture, nor in a decision
LONGEST_NAME = 100  # of a segment or an arm, in characters


def load_customers(path: str | Path | None = None) -> pd.DataFrame:
    """Read a customer file (CSV, utf-8, a header line) and return it checked, a row per customer.

    path: the file; None reads the course's own `data/customers.csv`. Columns may stand in any
    order, extra ones are kept behind the course's five, and `Genre` is read as `Gender`. The order
    of rows is kept. Age is in years (0 to 120), income in thousands of dollars (0 to 10,000), the
    score in points (1 to 100).
    Raises InputError for a file that cannot be read, columns that are missing or that the course
    adds itself, and blank, repeated or impossible values.
    """
    path = FOLDER / "customers.csv" if path is None else Path(path)
    table = _read_csv(path, (*COLUMNS, "Genre"))
    if "Gender" not in table:
        table = table.rename(columns={"Genre": "Gender"})
    _require(COLUMNS, table, path)
    taken = [name for name in ADDED_BY_THE_COURSE if name in table]
    if taken:
        raise InputError(
            f"{shown(path.name)} has a column {_names(taken)}, a name the course gives itself. "
            "Rename yours."
        )
    _refuse_blanks(COLUMNS, table, path)
    _refuse_repeats("CustomerID", table, path, "keep one row for a customer")
    for name, limits in RANGES.items():
        table[name] = _numbers(name, table, path, limits)
    others = [name for name in table if name not in COLUMNS]
    return table[[*COLUMNS, *others]].copy()  # in one piece, however many columns there are


def load_log(
    path: str | Path | None = None,
    segment: str = "age_band",
    outcome: str = "converted",
    group: str = "group",
    control: str = "control",
    user: str | None = None,
) -> pd.DataFrame:
    """Read an experiment log (CSV, utf-8, a header line) and return it checked, one row per user.

    path: the file; None reads the course's own `data/ab_test_data.csv`. segment, outcome, group:
    names of columns; control: the value of `group` that is not treated. user: the column that names
    users, whose outcomes are added up; "none" where every row is a user; None where no id repeats
    (see `users.one_row_each`). attrs["rows"] is the number of rows read. Arms come back as text,
    segments as an ordered category; the segment "age_band" is cut from `age` (years) if the file
    has no such column.
    Raises InputError for a file that cannot be read, columns that are missing or used twice,
    blanks, an outcome that is no number, more or fewer than two arms, names of arms or segments
    that are too long or have control characters, a segment column with one value or a running
    number, and users that `users.one_row_each` refuses.
    """
    path = FOLDER / "ab_test_data.csv" if path is None else Path(path)
    roles = (segment, outcome, group)
    ids = [] if user in (None, users.EVERY_ROW) else [str(user)]
    table = _read_csv(path, [*roles, "age", *ids], (segment, group, *ids))
    cut_by_age = segment == "age_band" and "age_band" not in table and "age" in table
    _require([*(roles[1:] if cut_by_age else roles), *ids], table, path)
    if cut_by_age:
        _refuse_blanks(["age"], table, path)
        table["age_band"] = segments.age_band(_numbers("age", table, path, RANGES["Age"]))
    _check_roles(roles)
    _refuse_blanks([*roles, *ids], table, path)
    table[outcome] = _outcomes(outcome, table, path)
    table[group] = _labels(group, table, path)
    check_arms(table[group].unique(), str(control), f"column {shown(group)} of {shown(path.name)}")
    if not cut_by_age:
        table[segment] = _in_order(_labels(segment, table, path))
    _check_segments(table[segment], path)
    table = users.one_row_each(table, user, roles, shown(path.name))
    _check_far(table[outcome], path)
    return users.with_numbers(table, roles)


def check_log(log: pd.DataFrame, segment: str, outcome: str, group: str, control: object) -> None:
    """Refuse a table that is no log of two arms, as `load_log` refuses a file.

    Raises InputError for columns that are missing or used twice, blank segments, arms or outcomes,
    an outcome that is no number, and arms that are not two, one of them control.
    """
    roles = (segment, outcome, group)
    _require(roles, log, None)
    _check_roles(roles)
    _refuse_blanks(roles, log, None)
    if not pd.api.types.is_numeric_dtype(log[outcome]):
        raise InputError(f"Column {outcome} holds text or dates; the outcome must be numbers.")
    infinite = ~pd.Series(np.isfinite(log[outcome].astype(float)), index=log.index)
    _refuse(infinite, None, log[outcome], "{value} is no number to compute with: mend it")
    check_arms(log[group].unique(), control, f"column {group}")


def check_arms(arms: Iterable[object], control: object, where: str) -> None:
    """Raise InputError, naming the arms, unless there are two and control is one of them."""
    arms = sorted(arms, key=str)
    named = ", ".join(shown(repr(arm)) for arm in arms[:6]) + (" ..." if len(arms) > 6 else "")
    if len(arms) != 2:
        raise InputError(
            f"The arms in {where} are {named}. There must be two: keep the rows of control and of "
            "one other."
        )
    if control not in arms:
        raise InputError(
            f"is {shown(repr(control))}, but the arms in {where} are {named}. Give one of them.",
            "control",
        )


def _check_roles(roles: Sequence[str]) -> None:
    if len(set(roles)) < len(roles):
        raise InputError(
            f"Segment, outcome and group are {_names(roles)}; give three different columns."
        )


def _in_order(labels: pd.Series) -> pd.Categorical:
    """The labels as an ordered category: numbers by size, 2 before 10, then text."""
    names = pd.Series(labels.unique())
    order = np.lexsort((names, pd.to_numeric(names, errors="coerce")))
    return pd.Categorical(labels, names[order], ordered=True)


def _check_segments(column: pd.Series, path: Path) -> None:
    different = column.nunique()
    if 2 <= different <= MOST_SEGMENTS:
        return
    advice = ", or cut this one into bands" if different > 1 else ""
    raise InputError(
        f"{shown(path.name)}, column {shown(column.name)}: {words.count(different, 'value')}; "
        f"segments can be 2 to {MOST_SEGMENTS}. Please choose another column{advice}."
    )


def _read_csv(path: Path, columns: Sequence[str], as_text: Sequence[str] = ()) -> pd.DataFrame:
    """The table in a file; columns: those the caller is going to use."""
    called = shown(path.name)
    try:
        table = _parsed(path, as_text)
    except pd.errors.ParserWarning:
        raise InputError(
            f"{called} has more values in a row than names in its first line. Add the "
            "name, or take out what stands above the names."
        ) from None
    except FileNotFoundError:
        raise InputError(
            f"There is no file {path}. Check the spelling, or give the whole path."
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # pandas and unicode errors are ValueErrors
        reason = shown(str(error).strip() or type(error).__name__, most=200)
        raise InputError(
            f"{called} cannot be read as a table ({reason}). Save it as CSV, utf-8."
        ) from None
    found = list(table.columns)  # pandas calls the second Age "Age.1"
    used = dict.fromkeys([*columns, *users.id_columns(found)])
    twice = [name for name in used if found.count(name) > 1 or f"{name}.1" in found]
    if twice:
        raise InputError(f"{called} has the column {_names(twice)} more than once. Keep one.")
    return table


def _parsed(path: Path, as_text: Sequence[str]) -> pd.DataFrame:
    """The table in a file as pandas reads it, blanks around names taken off."""
    if path.exists() and not path.is_file():
        raise InputError(
            f"{shown(path, most=500)} is no regular file. Copy what it holds into one."
        )
    options: dict = {"encoding": "utf-8-sig", "index_col": False, "compression": None}
    options["low_memory"] = False  # a column is of one kind, however long it is
    if as_text:  # a segment may be called NA
        options["keep_default_na"] = False
        options["na_values"] = [""]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        header = pd.read_csv(path, nrows=0, **options)
        # codes and ids keep their zeros, also where blanks stand around the name
        text = {*as_text, *(users.id_columns(header.columns.str.strip()) if as_text else [])}
        options["dtype"] = {name: str for name in header if name.strip() in text}
        return pd.read_csv(path, **options).rename(columns=str.strip)


def _require(names: Sequence[str], table: pd.DataFrame, path: Path | None) -> None:
    called = shown(path.name) if path else "The table"
    missing = [name for name in dict.fromkeys(names) if name not in table]
    if missing:
        in_file = ": the first line holds the names, commas stand between them" if path else ""
        raise InputError(
            f"{called} lacks {_names(missing)}; its columns are {_names(table.columns)}.\n"
            f"Rename or add what is missing{in_file}."
        )
    if table.empty:
        raise InputError(f"{called} has names but no customers or users. Add one line for each.")


def _refuse_blanks(names: Sequence[str], table: pd.DataFrame, path: Path | None) -> None:
    for name in names:
        blank = table[name].isna()
        if not pd.api.types.is_numeric_dtype(table[name]):
            blank |= table[name].astype(str).str.strip() == ""
        _refuse(blank, path, table[name], "the value is blank: fill it in or take the row out")


def _labels(name: str, table: pd.DataFrame, path: Path) -> pd.Series:
    """The column as text; InputError at the first value that could not be shown as a name."""
    labels = table[name].astype(str).str.strip()
    odd = [text for text in labels.unique() if len(text) > LONGEST_NAME or CONTROL.search(text)]
    fault = f"{{value}} is no name: use up to {LONGEST_NAME} letters and signs, on one line"
    _refuse(labels.isin(odd), path, labels, fault)
    return labels


def _refuse_repeats(name: str, table: pd.DataFrame, path: Path, advice: str) -> None:
    again = table[name].astype(str).str.strip().duplicated()
    _refuse(again, path, table[name], f"{{value}} stands there twice: {advice}")


def _numbers(name: str, table: pd.DataFrame, path: Path, limits: tuple[int, int]) -> pd.Series:
    """The column as numbers; InputError at the first value that is none or beyond the limits."""
    numbers = pd.to_numeric(table[name].astype(str), errors="coerce")
    fault = "{value} is not a number: write digits, such as 42"
    _refuse(numbers.isna(), path, table[name], fault)
    low, high = limits
    fault = f"{{value}} is impossible: use a number from {low:,} to {high:,}"
    _refuse(~numbers.between(low, high), path, table[name], fault)
    return numbers


def _outcomes(name: str, table: pd.DataFrame, path: Path) -> pd.Series:
    """The column as numbers."""
    if table[name].dtype == bool:
        return table[name].astype(int)
    return _numbers(name, table, path, OUTCOMES)


def _check_far(numbers: pd.Series, path: Path) -> None:
    """Raise InputError where rounding would show in what is computed."""
    middle, spread = numbers.mean(), numbers.std()
    if abs(middle) > FAR * spread > 0:
        raise InputError(
            f"{shown(path.name)}, column {shown(numbers.name)}: values of about {middle:.6g} that "
            f"differ by some {spread:.2g} cannot be told apart well. Subtract {middle:.0f} from "
            "each."
        )


def _refuse(bad: pd.Series, path: Path | None, values: pd.Series, fault: str) -> None:
    """Raise InputError at the first bad row: its line in the file, or its index in a table."""
    if not bad.any():
        return
    row, count = int(bad.to_numpy().argmax()), int(bad.sum())
    column = f"column {shown(values.name)}"
    where = f"C{column[1:]}, the row with index {shown(repr(values.index[row]))}"
    if path:
        where = f"{shown(path.name)}, {column}, line {_line(path, row)}"
    others = f" ({count} such rows in all)" if count > 1 else ""
    raise InputError(f"{where}: {fault.format(value=shown(values.iloc[row]))}{others}.")


def _line(path: Path, row: int) -> int:
    """The line in the file, as an editor counts, at which a row of the table begins.

    The first row is 0. Names, blank lines and values that go over several lines count as well.
    """
    csv.field_size_limit(2**31 - 1)  # a long value is no reason to say less
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file)
        begins, seen = 1, -2  # the names are the first record
        for record in records:
            seen += len(record) > 1 or not "".join([*record, " "]).isspace()
            if seen == row:
                break
            begins = records.line_num + 1
    return begins


def _names(columns: Iterable[object]) -> str:
    names = [f"'{shown(name)}'" for name in columns]
    more = [f"and {len(names) - 12:,} more"] if len(names) > 12 else []
    return ", ".join(names[:12] + more)
