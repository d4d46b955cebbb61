"""The unit of analysis: a coin is flipped for a user, so a user is one row."""

import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from helpers import InputError, shown, words

EVERY_ROW = "none"  # of the knob user: every row is a user, whatever a column is called
# What ids are usually called, in small letters and without blanks and underscores.
USUAL = {"user", "customer", "client", "visitor", "id", "uuid", "uid", "guid", "custid"}
USUAL |= {"userid", "customerid", "clientid", "visitorid", "memberid", "accountid", "cookieid"}
OTHERWISE = 'If {} does not name users, name the column that does (user, --user), or say "none".'


def id_columns(columns: Iterable[object]) -> list[str]:
    """Those of the columns that are called as ids usually are: user, Customer ID, client-id ..."""
    return [name for name in map(str, columns) if re.sub(r"[\W_]", "", name).lower() in USUAL]


def one_row_each(
    table: pd.DataFrame,
    user: str | None,
    roles: Sequence[str],
    where: str,
    added: Sequence[str] = (),
    known: Sequence[str] = (),
) -> pd.DataFrame:
    """The table with one row per user, the outcomes of a user's rows added up.

    attrs["rows"] of it is the number of rows that were given. user: the column that names users;
    "none": every row is a user; None: a column called as ids usually are must not repeat. roles:
    segment ("" for none), outcome and group. added: more columns that are added up; known: more
    that must be one per user, as the segment must. Of other columns a user's first value is kept.
    where: what messages call the table.
    Raises InputError for users that repeat without being named, that stand in both arms or in two
    segments, and a user column that is a role as well.
    """
    taken = [*roles, *added, *known]
    if user in taken:
        raise InputError(
            f"is {shown(user)}, which has another purpose already. Give the column of ids.", "user"
        )
    table.attrs["rows"] = len(table)
    segment, outcome, group = roles
    recognised = [name for name in id_columns(table) if name not in taken]
    for name in recognised if user is None else [user] if user != EVERY_ROW else []:
        ids = table[name].astype("string").str.strip()
        check_blank(int((ids.fillna("") == "").sum()), name, where)
        codes, different = pd.factorize(ids)  # users in the order in which they come
        if len(different) == len(ids):
            continue
        check_both_arms(_varies(table[group], codes), name, where)
        if user is None:
            refuse_repeats(name, len(different), len(ids), where)
        for column in filter(None, (segment, *known)):
            check_moved(_varies(table[column], codes), column, name, where, column == segment)
        return _added_up(table, ids, codes, (outcome, *added))
    return table


def _added_up(
    table: pd.DataFrame, ids: pd.Series, codes: np.ndarray, added: Sequence[str]
) -> pd.DataFrame:
    """The first row of each user, with the sums of some columns."""
    kept = table[~ids.duplicated()].reset_index(drop=True)
    for column in added:
        kept[column] = without_noise(table[column].groupby(codes).sum())
    return kept


def _varies(column: pd.Series, codes: np.ndarray) -> int:
    """How many users have several values; codes: the user of each row, counted from 0."""
    values, _ = pd.factorize(column)
    first = np.zeros(codes.max() + 1, dtype=values.dtype)
    first[codes[::-1]] = values[::-1]
    return len(np.unique(codes[values != first[codes]]))


def with_numbers(table: pd.DataFrame, roles: Sequence[str]) -> pd.DataFrame:
    """The ids as whole numbers, where all are written as such."""
    for name in id_columns(table):
        if name in roles or pd.api.types.is_numeric_dtype(table[name]):
            continue
        if table[name].astype(str).str.fullmatch("0|[1-9][0-9]{0,17}").all():
            table[name] = table[name].astype(np.int64)
    return table


def without_noise(sums: pd.Series) -> pd.Series:
    """The sums, rounded to twelve digits of the largest: 0.1 + 0.2 + 0.7 is 1 in any order."""
    largest = sums.abs().max()
    return sums if largest == 0 else sums.round(12 - math.ceil(math.log10(largest)))


def check_blank(count: int, name: str, where: str) -> None:
    """Raise InputError where an id is blank."""
    if count:
        raise InputError(
            f"{where}, column {shown(name)}: {words.count(count, 'id')} blank. Fill them in, or "
            f"take the rows out.\n{OTHERWISE.format(shown(name))}"
        )


def refuse_repeats(name: str, users: int, rows: int, where: str) -> None:
    """Raise InputError: the id column repeats, and nobody said what a user is."""
    raise InputError(
        f"is not given, and column {shown(name)} of {where} repeats: "
        f"{words.count(users, 'value')} in {words.count(rows, 'row')}.\n"
        f'Give {shown(name)}, and the rows of a user are added up, or "none" if every row is a '
        "user.",
        "user",
    )


def check_both_arms(count: int, name: str, where: str) -> None:
    """Raise InputError where users stand in both arms."""
    if count:
        stand = "user stands" if count == 1 else "users stand"
        raise InputError(
            f"{where}: {count:,} {stand} in both arms, by column {shown(name)}. Find out why, and "
            f"take those out.\n{OTHERWISE.format(shown(name))}"
        )


def check_moved(count: int, column: str, name: str, where: str, is_segment: bool = True) -> None:
    """Raise InputError where users have several values of the segment, or of another column."""
    if count and not is_segment:
        raise InputError(
            f"{where}: {words.count(count, 'user')} with several values of {shown(column)}, by "
            f"column {shown(name)}.\nGive each the value from before the experiment."
        )
    if count:
        stand = "user stands" if count == 1 else "users stand"
        raise InputError(
            f"{where}: {count:,} {stand} in several segments of {shown(column)}, by column "
            f"{shown(name)}.\nGive each the segment from before the experiment."
        )
