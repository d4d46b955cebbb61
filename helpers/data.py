"""Load customers and check them: every refusal says which column, which row, and what to do."""

import warnings
from pathlib import Path

import pandas as pd

from helpers import InputError

FOLDER = Path(__file__).resolve().parents[1] / "data"
COLUMNS = ("CustomerID", "Gender", "Age", "Annual Income (k$)", "Spending Score (1-100)")
RANGES = {"Age": (0, 120), "Annual Income (k$)": (0, 10_000), "Spending Score (1-100)": (1, 100)}
ADDED_BY_THE_COURSE = ("Cluster", "group", "outcome")


def load_customers(path: str | Path | None = None) -> pd.DataFrame:
    """Read a customer file (CSV, utf-8, a header line) and return it checked, one row per customer.

    path: the file; None reads the course's own `data/customers.csv`. Columns may stand in any order, extra ones are
    kept behind the course's five, and `Genre` is read as `Gender`. The order of rows is kept. Age is in years (0 to
    120), income in thousands of dollars (0 to 10,000), the score in points (1 to 100).
    Raises InputError for a file that cannot be read, columns that are missing or that the course adds itself, and
    blank, repeated or impossible values. Rows are counted from 1, names and empty lines left out.
    """
    path = FOLDER / "customers.csv" if path is None else Path(path)
    table = _read_csv(path)
    if missing := [name for name in COLUMNS if name not in table]:
        raise InputError(
            f"{path.name} lacks {_names(missing)}; its columns are {_names(table.columns)}.\n"
            "Rename or add what is missing: the first line holds the names, commas stand between them."
        )
    if taken := [name for name in ADDED_BY_THE_COURSE if name in table]:
        raise InputError(f"{path.name} has a column {_names(taken)}, a name the course gives itself. Rename yours.")
    if table.empty:
        raise InputError(f"{path.name} has names but no customers. Add one line for each customer.")

    for name in COLUMNS:
        blank = table[name].isna() | (table[name].astype(str).str.strip() == "")
        _refuse(blank, path, table[name], "the value is blank: fill it in or take the row out")
    again = table["CustomerID"].astype(str).str.strip().duplicated()
    _refuse(again, path, table["CustomerID"], "{value} stands there twice: keep one row for a customer")
    for name, (low, high) in RANGES.items():
        numbers = pd.to_numeric(table[name].astype(str), errors="coerce")
        _refuse(numbers.isna(), path, table[name], "{value} is not a number: write digits, such as 42")
        _refuse(
            ~numbers.between(low, high),
            path,
            table[name],
            f"{{value}} is impossible: use a number from {low} to {high:,}",
        )
        table[name] = numbers
    return table[[*COLUMNS, *(name for name in table if name not in COLUMNS)]]


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, encoding="utf-8-sig", index_col=False, compression=None).rename(columns=str.strip)
    except pd.errors.ParserWarning:
        raise InputError(f"{path.name} has more values in a row than names in its first line. Add the name.") from None
    except FileNotFoundError:
        raise InputError(f"There is no file {path}. Check the spelling, or give the whole path.") from None
    except (OSError, ValueError) as error:  # pandas and unicode errors are ValueErrors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{path.name} cannot be read as a table ({reason}). Save it as CSV, utf-8.") from None
    twice = [name for name in COLUMNS if list(table.columns).count(name) > 1 or f"{name}.1" in table]
    if twice:  # pandas calls the second Age "Age.1"
        raise InputError(f"{path.name} has the column {_names(twice)} more than once. Keep one of them.")
    return table if "Gender" in table else table.rename(columns={"Genre": "Gender"})


def _refuse(bad: pd.Series, path: Path, values: pd.Series, fault: str) -> None:
    """Raise InputError naming the first bad row (rows count from 1, the line of names left out)."""
    if bad.any():
        row = int(bad.to_numpy().argmax())
        more = f" ({int(bad.sum())} such rows in all)" if bad.sum() > 1 else ""
        fault = fault.format(value=values.iloc[row])
        raise InputError(f"{path.name}, column {values.name}, row {row + 1}: {fault}{more}.")


def _names(columns: list[str] | pd.Index) -> str:
    return ", ".join(f"'{name}'" for name in columns)
