"""Load customers, or an experiment log, and check them.

Every refusal says which column, which line, and what to do.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import InputError, columns, segments, shown, tables, users, words

FOLDER = Path(__file__).resolve().parents[1] / "data"
COLUMNS = ("CustomerID", "Gender", "Age", "Annual Income (k$)", "Spending Score (1-100)")
RANGES = {"Age": (0, 120), "Annual Income (k$)": (0, 10_000), "Spending Score (1-100)": (1, 100)}
ADDED_BY_THE_COURSE = ("Cluster", "group", "outcome")
OUTCOMES = (-(10**12), 10**12)  # squares of them can still be added up
SEGMENT = "segment"  # of customers who are planned for
EVERYONE = "all users"  # what tables call the row of all
PLANNED = (SEGMENT, "stratum", "group")  # what an assignment calls its own columns
FAR = 1e10  # standard deviations from zero: digits end at a millionth of one
MOST_SEGMENTS = 60  # more would not be told apart in a picture, nor in a decision


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
    table, source = tables.read(path, tuple(RANGES), others=(*COLUMNS, "Genre"))
    if "Gender" not in table:
        table = table.rename(columns={"Genre": "Gender"})
    _require_own(table, source)
    taken = [name for name in ADDED_BY_THE_COURSE if name in table]
    if taken:
        raise InputError(
            f"{source.name} has a column {tables.names(taken)}, a name the course gives itself. "
            "Rename yours."
        )
    columns.refuse_blanks(COLUMNS, table, source)
    columns.refuse_repeats("CustomerID", table, source, "keep one row for a customer")
    for name, limits in RANGES.items():
        table[name] = columns.as_numbers(name, table, source, limits)
    others = [name for name in table if name not in COLUMNS]
    return table[[*COLUMNS, *others]].copy()  # in one piece, however many columns there are


def _require_own(table: pd.DataFrame, source: tables.Source) -> None:
    """Raise InputError where one of the course's columns is missing, with what takes any others."""
    try:
        columns.require(COLUMNS, table, source)
    except InputError as error:
        if table.empty:
            raise
        raise InputError(
            f"{error.message} Other columns? python -m tools.plan takes any."
        ) from None


class Roles(NamedTuple):
    """What the columns of a log are for."""

    outcome: str
    segment: str = ""  # "": no segments
    group: str = "group"
    user: str | None = None  # as for `users.one_row_each`
    added: tuple[str, ...] = ()  # more outcomes, added up by user
    known: tuple[str, ...] = ()  # numbers known before treatment, one a user
    bands: tuple[float, ...] = ()  # where the segment, a number, is cut
    cuts: tuple[str, ...] = ()  # numbers or names known before treatment, one a user

    def names(self) -> tuple[str, ...]:
        """All columns but that of users."""
        own = (self.segment, self.outcome, self.group, *self.added, *self.known, *self.cuts)
        return tuple(filter(None, own))


def load_log(
    path: str | Path | None = None,
    segment: str = "age_band",
    outcome: str = "converted",
    group: str = "group",
    control: str = "control",
    user: str | None = None,
    cuts: Sequence[str] = (),
) -> pd.DataFrame:
    """Read an experiment log with two arms and return it checked, one row per user.

    path: the file, as for `read_log`; None reads the course's own `data/ab_test_data.csv`. segment,
    outcome, group: names of columns; control: the value of `group` that is not treated. user: the
    column that names users, whose outcomes are added up; "none" where every row is a user; None
    where no id repeats (see `users.one_row_each`). segment "": none; cuts: columns that a search
    may cut by, numbers where all their values are, else text. attrs["rows"] is the number of rows
    read, and attrs["notes"] what was understood of the file. The segment "age_band" is cut from
    `age` (years) if the file has no such column.
    Raises InputError as `read_log` does.
    """
    path = FOLDER / "ab_test_data.csv" if path is None else Path(path)
    roles = Roles(outcome, segment, group, user, cuts=tuple(cuts))
    return read_log(path, roles, str(control))[0]


def read_log(
    path: str | Path, roles: Roles, control: str, most_arms: int = 2
) -> tuple[pd.DataFrame, tables.Source]:
    """A log (see `tables.read`), checked, one row per user; and its source.

    Arms come back as text, segments as an ordered category, outcomes and what is known before as
    numbers; two words such as Yes and No are 1 and 0.
    Raises InputError for a file that cannot be read, columns that are missing or used twice,
    blanks, an outcome that is no number, arms that `check_arms` refuses, names of arms or segments
    that are too long or have control characters, a segment column with one value or a running
    number, and users that `users.one_row_each` refuses.
    """
    names = roles.names()
    ids = [] if roles.user in (None, users.EVERY_ROW) else [str(roles.user)]
    numbers = [roles.outcome, *roles.added, *roles.known]
    labels = [name for name in (roles.segment, roles.group, *ids, *roles.cuts) if name]
    table, source = tables.read(path, numbers, labels, ["age"])
    by_age = roles.segment == "age_band" and "age_band" not in table and "age" in table
    wanted = ["age" if by_age and name == "age_band" else name for name in (*names, *ids)]
    columns.require(wanted, table, source)
    check_roles(names)
    columns.refuse_blanks(wanted, table, source)
    for name in numbers:
        table[name] = columns.as_numbers(name, table, source, OUTCOMES, yes_or_no=True)
    table[roles.group] = columns.as_labels(roles.group, table, source)
    where = f"column {shown(roles.group)} of {source.name}"
    check_arms(table[roles.group].unique(), control, where, most_arms)
    if roles.segment:
        table[roles.segment] = _segments(table, roles, source, by_age)
        check_segments(table[roles.segment], source)
    for name in roles.cuts:
        table[name] = _cuts(name, table, source)
    triple, known = (roles.segment, roles.outcome, roles.group), (*roles.known, *roles.cuts)
    table = users.one_row_each(table, roles.user, triple, source.name, roles.added, known)
    for name in numbers:
        check_far(table[name], source)
    table.attrs["notes"] = source.notes
    return users.with_numbers(table, names), source


def _cuts(name: str, table: pd.DataFrame, source: tables.Source) -> pd.Series:
    """A column that a search may cut: numbers, or names that are segments."""
    column = columns.as_numbers_or_labels(name, table, source, OUTCOMES)
    if column.nunique() < 2 or not pd.api.types.is_numeric_dtype(column):
        check_segments(column, source)
    return column


def _segments(
    table: pd.DataFrame, roles: Roles, source: tables.Source, by_age: bool
) -> pd.Series | pd.Categorical:
    """The segments of a log, as they are named or cut into bands."""
    if by_age:
        table["age"] = columns.as_numbers("age", table, source, RANGES["Age"])
        return segments.age_band(table["age"])
    if not roles.bands:
        return columns.in_order(columns.as_labels(roles.segment, table, source))
    numbers = columns.as_numbers(roles.segment, table, source, OUTCOMES)
    return segments.bands(numbers, roles.bands)


def check_log(log: pd.DataFrame, segment: str, outcome: str, group: str, control: object) -> None:
    """Refuse a table that is no log of two arms, as `load_log` refuses a file.

    Raises InputError for columns that are missing or used twice, blank segments, arms or outcomes,
    an outcome that is no number, and arms that are not two, one of them control.
    """
    roles = (segment, outcome, group)
    columns.require(roles, log, None)
    check_roles(roles)
    columns.refuse_blanks(roles, log, None)
    if not pd.api.types.is_numeric_dtype(log[outcome]):
        raise InputError(f"Column {outcome} holds text or dates; the outcome must be numbers.")
    infinite = ~pd.Series(np.isfinite(log[outcome].astype(float)), index=log.index)
    tables.refuse(infinite, None, log[outcome], "{value} is no number to compute with: mend it")
    check_arms(log[group].unique(), control, f"column {group}")


def check_arms(arms: Iterable[object], control: object, where: str, most: int = 2) -> None:
    """Raise InputError, naming the arms, unless there are two, or up to `most`, with control."""
    arms = sorted(arms, key=str)
    named = ", ".join(shown(repr(arm)) for arm in arms[:6]) + (" ..." if len(arms) > 6 else "")
    if not 2 <= len(arms) <= most and most > 2:
        raise InputError(f"The arms in {where} are {named}; there can be 2 to {most} of them.")
    if len(arms) != 2 and most == 2:
        raise InputError(
            f"The arms in {where} are {named}. There must be two: keep the rows of control and of "
            "one other."
        )
    if control not in arms:
        raise InputError(
            f"is {shown(repr(control))}, but the arms in {where} are {named}. Give one of them.",
            "control",
        )


def check_roles(roles: Sequence[str]) -> None:
    """Raise InputError where a column has two purposes."""
    twice = [name for name in dict.fromkeys(roles) if list(roles).count(name) > 1]
    if twice:
        raise InputError(
            f"{tables.names(twice)} would have two purposes (outcome, segment, group or another). "
            "Give different columns."
        )


def check_segments(column: pd.Series, source: tables.Source) -> None:
    different = column.nunique()
    if 2 <= different <= MOST_SEGMENTS:
        return
    advice = ", or cut this one into bands" if different > 1 else ""
    raise InputError(
        f"{source.name}, column {shown(column.name)}: {words.count(different, 'value')}; "
        f"segments can be 2 to {MOST_SEGMENTS}. Please choose another column{advice}."
    )


def check_far(numbers: pd.Series, source: tables.Source) -> None:
    """Raise InputError where rounding would show in what is computed."""
    middle, spread = numbers.mean(), numbers.std()
    if abs(middle) > FAR * spread > 0 and numbers.nunique() > 1:
        raise InputError(
            f"{source.name}, column {shown(numbers.name)}: values of about {middle:.6g} that "
            f"differ by some {spread:.2g} cannot be told apart well. Subtract {middle:.0f} from "
            "each."
        )


def read_customers(
    path: str | Path,
    user: str,
    baseline: str,
    segment: str = "",
    features: Sequence[str] = (),
    bands: Sequence[float] = (),
) -> tuple[pd.DataFrame, tables.Source]:
    """A table of customers for a plan (see `tables.read`), checked, one row each; and its source.

    user: the column of ids, which stay text; baseline, features: numbers, of which two words such
    as Yes and No are 1 and 0; segment: a column that cuts the customers, or a number that bands
    cut. It comes back as "segment", an ordered category; other columns are left out.
    Raises InputError for a file that cannot be read, columns that are missing or have two purposes,
    blanks, ids that repeat, values that are no numbers, and segments that `check_segments` refuses
    or that have one customer.
    """
    numbers = list(dict.fromkeys([baseline, *features]))
    labels = [name for name in (user, segment) if name]
    table, source = tables.read(path, numbers, labels)
    columns.require([*labels, *numbers], table, source)
    _check_own(user, numbers, segment, source)
    columns.refuse_blanks([*labels, *numbers], table, source)
    columns.refuse_repeats(user, table, source, "keep one row for a customer")
    found = pd.DataFrame({user: columns.as_labels(user, table, source)})
    for name in numbers:
        found[name] = columns.as_numbers(name, table, source, OUTCOMES, yes_or_no=True)
        check_far(found[name], source)
    if segment:
        roles = Roles("", segment, bands=tuple(bands))
        found[SEGMENT] = pd.Series(_segments(table, roles, source, False), name=segment)
        _refuse_single(found[SEGMENT].rename(segment), source)
    return found, source


def _check_own(user: str, numbers: Sequence[str], segment: str, source: tables.Source) -> None:
    """Raise InputError for ids with another purpose, and names that a plan gives itself."""
    if user in (*numbers, segment):
        raise InputError(f"is {shown(user)}, which has another purpose. Name the ids.", "id")
    taken = [name for name in (user, *numbers) if name in PLANNED]
    taken += [user] if user == "baseline" else []
    if taken:
        raise InputError(
            f"{source.name} has a column {tables.names(taken)}, a name that the plan gives itself. "
            "Rename yours."
        )


def _refuse_single(cut: pd.Series, source: tables.Source) -> None:
    """Raise InputError at a segment of one customer, or a band of none."""
    check_segments(cut, source)
    if EVERYONE in map(str, cut.unique()):
        raise InputError(f"has the value '{EVERYONE}', the name of another row.", "segment")
    sizes = cut.value_counts()
    few = sizes.index[sizes < 2]
    if len(few):
        what = "one customer, who cannot be in both arms" if sizes[few[0]] else "no customer"
        raise InputError(
            f"{source.name}, column {shown(cut.name)}: the segment {shown(few[0])} has {what}. "
            "Join it with another, or take the row out."
        )
