"""The unit of analysis: a coin is flipped for a user, so a user is one row."""

import math
import re
from collections.abc import Iterable

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
    table: pd.DataFrame, user: str | None, roles: tuple[str, str, str], where: str
) -> pd.DataFrame:
    """The table with one row per user, the outcomes of a user's rows added up.

    attrs["rows"] of it is the number of rows that were given. user: the column that names users;
    "none": every row is a user; None: a column called as ids usually are must not repeat. roles:
    segment, outcome and group. Of other columns a user's first value is kept. where: what messages
    call the table.
    Raises InputError for users that repeat without being named, that stand in both arms or in two
    segments, and a user column that is a role as well.
    """
    if user in roles:
        raise InputError(
            f"is {shown(user)}, which has another purpose already. Give the column of ids.", "user"
        )
    table.attrs["rows"] = len(table)
    segment, outcome, group = roles
    recognised = [name for name in id_columns(table) if name not in roles]
    for name in recognised if user is None else [user] if user != EVERY_ROW else []:
        ids = table[name].astype("string").str.strip()
        check_blank(int((ids.fillna("") == "").sum()), name, where)
        again = ids.duplicated()
        if not again.any():
            continue
        rows = table.groupby(ids, sort=False, observed=True)
        check_both_arms(int((rows[group].nunique() > 1).sum()), name, where)
        if user is None:
            refuse_repeats(name, len(ids) - int(again.sum()), len(ids), where)
        check_moved(int((rows[segment].nunique() > 1).sum()), segment, name, where)
        kept = table[~again].set_index(ids[~again])
        kept[outcome] = _without_noise(rows[outcome].sum())
        return kept.reset_index(drop=True)
    return table


def with_numbers(table: pd.DataFrame, roles: tuple[str, ...]) -> pd.DataFrame:
    """The ids as whole numbers, where all are written as such."""
    for name in id_columns(table):
        whole = table[name].str.fullmatch("0|[1-9][0-9]{0,17}") if name not in roles else False
        if np.all(whole):
            table[name] = table[name].astype(np.int64)
    return table


def _without_noise(sums: pd.Series) -> pd.Series:
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


def check_moved(count: int, segment: str, name: str, where: str) -> None:
    """Raise InputError where users stand in two segments."""
    if count:
        stand = "user stands" if count == 1 else "users stand"
        raise InputError(
            f"{where}: {count:,} {stand} in several segments of {shown(segment)}, by column "
            f"{shown(name)}.\nGive each the segment from before the experiment."
        )
