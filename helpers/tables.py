"""Read the tables that people have: CSV with commas, semicolons or tabs, or Parquet.

Where a guess could be wrong the file is refused; what was understood is noted.
"""

import csv
import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import InputError, shown, users

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
OTHER_KINDS = {
    b"PK\x03\x04": "a workbook or an archive",
    b"\xd0\xcf\x11\xe0": "an old workbook",
    b"\x1f\x8b": "compressed",
    b"\xff\xfe": "UTF-16 text, as Excel's 'Unicode text'",
    b"\xfe\xff": "UTF-16 text",
}


class Source(NamedTuple):
    """Where a table comes from, and what was understood of it."""

    path: Path
    separator: str  # "" for Parquet
    notes: list[str]
    by_row: bool = True  # whether the places of faults are known

    @property
    def name(self) -> str:
        """The file as messages call it."""
        return shown(self.path.name)

    def place(self, row: int) -> str:
        """Where a row of the table begins; the first is 0."""
        if not self.by_row:
            return "somewhere"
        if not self.separator:
            return f"row {row + 1}"
        return f"line {_line(self.path, self.separator, row)}"


def read(
    path: str | Path,
    numbers: Sequence[str],
    labels: Sequence[str] = (),
    others: Sequence[str] = (),
) -> tuple[pd.DataFrame, Source]:
    """The table in a file, and its source.

    numbers, labels: the columns that the caller is going to use, which stay as they are written
    (see `as_numbers`, `as_labels`); columns that are called as ids usually are stay so too, where
    there are labels. others: more of them; the kind of these and of any other column is pandas'
    guess. Blanks around names are taken off.
    Raises InputError for a file that is missing, is no table, or has one of the columns twice.
    """
    path = Path(path)
    called = shown(path.name)
    try:
        _check_regular(path)
        table, source = _parsed(path, numbers, labels)
    except pd.errors.ParserWarning:
        raise InputError(
            f"{called} has more values in a row than names in its first line. Add the "
            "name, or take out what stands above the names."
        ) from None
    except InputError:
        raise
    except (OSError, ValueError) as error:  # pandas and unicode errors are ValueErrors
        reason = shown(_why(path, error), most=200)
        raise InputError(
            f"{called} cannot be read as a table ({reason}). Save it as CSV, utf-8."
        ) from None
    found = list(table.columns)  # pandas calls the second Age "Age.1"
    used = dict.fromkeys([*numbers, *labels, *others, *users.id_columns(found)])
    twice = [name for name in used if found.count(name) > 1 or f"{name}.1" in found]
    if twice:
        raise InputError(f"{called} has the column {names(twice)} more than once. Keep one.")
    return table, source


def _check_regular(path: Path) -> None:
    if not path.exists():
        raise InputError(f"There is no file {path}. Check the spelling, or give the whole path.")
    if not path.is_file():
        raise InputError(
            f"{shown(path, most=500)} is no regular file. Copy what it holds into one."
        )


def separator(path: Path, wanted: Iterable[str] = ()) -> str:
    """What stands between the names in the first line: a comma, a semicolon or a tab.

    The one that gives all names that are wanted; else the one that gives most.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
    found = {}
    for sign in SEPARATORS:
        cells = next(csv.reader(io.StringIO(first), delimiter=sign), [])
        found[sign] = {cell.strip() for cell in cells}
    return max(found, key=lambda sign: (found[sign] >= set(wanted), len(found[sign])))


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does."""
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parsed(
    path: Path, numbers: Sequence[str], labels: Sequence[str]
) -> tuple[pd.DataFrame, Source]:
    """The table as pandas reads it, the columns of the caller as text."""
    if is_parquet(path):
        return pd.read_parquet(path).rename(columns=lambda name: str(name).strip()), Source(
            path, "", ["Parquet"]
        )
    refuse_other_kinds(path)
    sign = separator(path, [*numbers, *labels])
    options: dict = {"encoding": "utf-8-sig", "index_col": False, "compression": None, "sep": sign}
    options["low_memory"] = False  # a column is of one kind, however long it is
    if labels:  # a segment may be called NA
        options["keep_default_na"] = False
        options["na_values"] = [""]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        header = pd.read_csv(path, nrows=0, **options)
        # codes and ids keep their zeros, also where blanks stand around the name
        ids = users.id_columns(header.columns.str.strip()) if labels else []
        text = {*numbers, *labels, *ids}
        options["dtype"] = {name: str for name in header if name.strip() in text}
        table = pd.read_csv(path, **options).rename(columns=str.strip)
    return table, Source(path, sign, [] if sign == "," else [SEPARATORS[sign]])


def refuse_other_kinds(path: Path) -> None:
    """Raise ValueError, with the kind, for a file that begins as workbooks and others do."""
    with path.open("rb") as file:
        begins = file.read(4096)
    for magic, kind in OTHER_KINDS.items():
        if begins.startswith(magic):
            raise ValueError(f"it is {kind}")


def _why(path: Path, error: Exception) -> str:
    """Why a file is no table, in words."""
    if not isinstance(error, UnicodeDecodeError):
        said = str(error).strip() or type(error).__name__
        if "Expected" in said:  # pandas counted the values of a line
            said = f"{said.split('C error: ')[-1]}; quotes go around a value with a comma"
        return said
    try:
        path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as whole:
        byte, line = whole.object[whole.start], whole.object.count(b"\n", 0, whole.start) + 1
        sign = bytes([byte]).decode("cp1252", errors="replace")
        return f"line {line} is not utf-8: byte {byte:#04x}, in Windows-1252 a {sign!r}"
    return str(error)


def refuse(bad: pd.Series, source: Source | None, values: pd.Series, fault: str) -> None:
    """Raise InputError at the first bad row: its line in the file, or its index in a table."""
    if not bad.any():
        return
    row, count = int(bad.to_numpy().argmax()), int(bad.sum())
    column = f"column {shown(values.name)}"
    where = f"C{column[1:]}, the row with index {shown(repr(values.index[row]))}"
    if source:
        where = f"{source.name}, {column}, {source.place(row)}"
    known = source is None or source.by_row
    others = f" ({count} such rows in all)" if count > 1 and known else ""
    raise InputError(f"{where}: {fault.format(value=shown(values.iloc[row]))}{others}.")


def _line(path: Path, sign: str, row: int) -> int:
    """The line in the file, as an editor counts, at which a row of the table begins.

    The first row is 0. Names, blank lines and values that go over several lines count as well.
    """
    csv.field_size_limit(2**31 - 1)  # a long value is no reason to say less
    with path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, delimiter=sign)
        begins, seen = 1, -2  # the names are the first record
        for record in records:
            seen += len(record) > 1 or not "".join([*record, " "]).isspace()
            if seen == row:
                break
            begins = records.line_num + 1
    return begins


def names(columns: Iterable[object]) -> str:
    """Columns for a message: a dozen at most, in quotes."""
    quoted = [f"'{shown(name)}'" for name in columns]
    more = [f"and {len(quoted) - 12:,} more"] if len(quoted) > 12 else []
    return ", ".join(quoted[:12] + more)
