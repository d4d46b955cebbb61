"""Results joined with the list of who gets what: nobody is lost, or moved, without a word."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers import InputError, columns, data, decisions, experiment, shown, tables, users, words
from helpers.assignment import COLUMNS
from helpers.experiment import ARMS
from tools import files

MOST_NAMED = 3  # ids in a note
GROUP = "group"  # looked for in results, and not missed


class Joined(NamedTuple):
    """The users of a list with their results, one row each, and what is to be told of it."""

    table: pd.DataFrame  # the id, COLUMNS of the list, and the results
    source: tables.Source  # of the results
    rows: int  # of the results
    notes: list[str]  # whom the list or the results lack, who was moved
    user: str
    control_share: float
    sizes: dict[str, tuple[int, int]]  # users of the list in both arms: of all, and each segment
    filled: bool  # whether users without results were given a value
    planned: pd.DataFrame | None  # plan.csv, where it lies beside the list and has its segments


def read(
    results: Path,
    assignment: Path,
    numbers: list[str],
    user: str | None = None,
    group: str = GROUP,
    missing: float | None = None,
) -> Joined:
    """The users of the list in `assignment`, each with the sums of the numbers in `results`.

    user: the column of ids, where a user may have several rows. group: the column of results that
    says in which arm users were, if there is one: whoever was moved is told, and stays in the arm
    of the list. missing: what users have who are on the list and have no row; None leaves them out.
    Raises InputError for a list that is none, results that lack a column, blanks, values that are
    no numbers, ids that repeat without `user`, and results of nobody on the list.
    """
    listed, name = _listed(assignment, results)
    table, source = _results(results, name, numbers, user, group)
    sums = table[numbers].groupby(table[name]).sum()
    if user is not None:
        sums = sums.apply(users.without_noise)
    known = sums.index.isin(listed[name])
    if not known.any():
        raise InputError(
            f"No {shown(name)} of {source.name} is on the list {shown(assignment.name)}: "
            f"{shown(sums.index[0])} here, {shown(listed[name].iloc[0])} there. Write them alike."
        )
    notes = _changed(assignment)
    if not known.all():
        many = words.count(int((~known).sum()), "id")
        alike = " Are they written as there, such as 007 and 7?" if known.mean() < 0.9 else ""
        notes.append(f"Left out: {many} not on the list ({_some(sums.index[~known])}).{alike}")
    if group in table:
        notes += _moved(table, name, group, listed)
    log = listed.merge(sums, how="left", left_on=name, right_index=True)
    absent = log[numbers[0]].isna()
    _check_missing(missing, sums, numbers)
    if absent.any():
        notes.append(_absent(log, absent, name, missing))
        log[numbers] = log[numbers].fillna(log[numbers] if missing is None else missing)
        log = log.dropna(subset=numbers).reset_index(drop=True)
    share = float((listed["group"] == ARMS[0]).mean())
    filled = bool(absent.any()) and missing is not None
    planned = _plan(assignment, listed)
    sizes = _sizes(listed)
    return Joined(log, source, len(table), notes, name, share, sizes, filled, planned)


def _listed(assignment: Path, results: Path) -> tuple[pd.DataFrame, str]:
    """The list, checked, and what its ids are called: as in the results, if that can be."""
    there = set(tables.read(results, ())[0])
    own = [column for column in tables.read(assignment, ())[0] if column not in COLUMNS]
    if not own:
        raise InputError(f"{shown(assignment.name)} has no column of ids. Give the list of a plan.")
    name = next((column for column in own if column in there), own[0])
    labels = ("segment", "stratum", "group")
    listed, source = tables.read(assignment, ["baseline"], [name, *labels])
    columns.require([name, *COLUMNS], listed, source)
    columns.refuse_blanks([name, *COLUMNS], listed, source)
    columns.refuse_repeats(name, listed, source, "a list has each user once")
    for column in (name, "segment", "group"):
        listed[column] = columns.as_labels(column, listed, source)
    listed["stratum"] = listed["stratum"].astype(str)  # longer than the name of a segment
    listed["baseline"] = columns.as_numbers("baseline", listed, source, data.OUTCOMES)
    fault = "{value} is neither control nor treatment"
    tables.refuse(~listed["group"].isin(ARMS), source, listed["group"], fault)
    data.check_arms(listed["group"].unique(), ARMS[0], f"the list {source.name}")
    listed["segment"] = columns.in_order(listed["segment"])
    return listed[[name, *COLUMNS]], name


def _sizes(listed: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Users of control and treatment, for all users and each segment of the list."""
    arms = pd.crosstab(listed["segment"].astype(str), listed["group"])
    rows = {data.EVERYONE: arms.sum(), **dict(arms.iterrows())}
    return {str(name): (int(row[ARMS[0]]), int(row[ARMS[1]])) for name, row in rows.items()}


def _results(
    results: Path, name: str, numbers: list[str], user: str | None, group: str
) -> tuple[pd.DataFrame, tables.Source]:
    """The results, checked, as they stand."""
    for column in numbers:
        if column in (name, *COLUMNS):
            knob = "outcome" if column == numbers[0] else "guardrail"
            raise InputError(f"is {shown(column)}, a column of the list. Rename yours.", knob)
    if user not in (None, name):
        raise InputError(f"is {shown(user)}, but the list names users by {shown(name)}.", "user")
    table, source = tables.read(results, numbers, [name, group])
    typed = [group] if group != GROUP else []
    columns.require([name, *numbers, *typed], table, source)
    columns.refuse_blanks([name, *numbers], table, source)
    table[name] = columns.as_labels(name, table, source)
    for column in numbers:
        table[column] = columns.as_numbers(column, table, source, data.OUTCOMES, yes_or_no=True)
        data.check_far(table[column], source)
    if user is None and table[name].duplicated().any():
        raise InputError(
            f"is not given, and column {shown(name)} of {source.name} repeats: "
            f"{table[name].nunique():,} values in {words.count(len(table), 'row')}.\n"
            f"Give {shown(name)}, and the rows of a user are added up; else take rows out.",
            "user",
        )
    return table, source


# What is told


def _changed(assignment: Path) -> list[str]:
    """A note where the list is not as the plan left it, if that can be known."""
    made, _ = files.made_earlier(assignment.parent, "plan")
    if made.get(assignment.name) in (None, files.checksum(assignment)):
        return []
    return [
        f"Changed: the list {shown(assignment.name)} is not as tools.plan wrote it. Compare its "
        "checksum with the signed sheet."
    ]


def _moved(table: pd.DataFrame, name: str, group: str, listed: pd.DataFrame) -> list[str]:
    """A note on users who were in another arm than the list says."""
    said = table[group].astype("string").str.strip().fillna("")
    if not said.isin([*ARMS, ""]).all():
        other = said[~said.isin([*ARMS, ""])].iloc[0]
        return [f"Not compared with the list: column {shown(group)}, which says {shown(other)}."]
    as_listed = table[name].map(listed.set_index(name)["group"])
    moved = table[name][(said != as_listed) & (said != "") & as_listed.notna()].drop_duplicates()
    if moved.empty:
        return []
    return [
        f"Moved: {words.count(len(moved), 'user')} in another arm by column {shown(group)} than by "
        f"the list ({_some(moved)}). Each is compared in the arm of the list."
    ]


def _check_missing(missing: float | None, sums: pd.DataFrame, numbers: list[str]) -> None:
    """Raise InputError for a value that nobody can have."""
    if missing is None:
        return
    low, high = data.OUTCOMES
    if not low <= missing <= high:  # nan as well
        raise InputError(f"is {missing:g}; give a number, such as 0.", "missing")
    if missing not in (0, 1) and all(sums[column].isin([0, 1]).all() for column in numbers):
        raise InputError(f"is {missing:g}, but {shown(numbers[0])} is 0 or 1.", "missing")


def _absent(log: pd.DataFrame, absent: pd.Series, name: str, missing: float | None) -> str:
    """The note on users of the list who have no results, and whether one arm lacks more of them."""
    sizes = log["group"].value_counts()
    counts = log["group"][absent].value_counts().reindex(ARMS, fill_value=0)
    many = ", ".join(f"{counts[arm]:,} of {sizes[arm]:,} in {arm}" for arm in ARMS)
    said = f"Without results: {many} ({_some(log[name][absent])}); "
    if missing is None:
        return f"{said}left out."
    share = sizes[ARMS[0]] / len(log)
    p = experiment.sample_ratio_p(counts[ARMS[0]], counts[ARMS[1]], share)
    said += f"counted as {missing:g}."
    if p < decisions.RATIO_ALARM:
        said += (
            f" The arms lack results far more unlike than chance ({words.p_value(p)}): that is "
            f"right only if having no row means {missing:g} in both arms alike; else the lift is "
            "made by the loss."
        )
    return said


def _some(ids: pd.Series | pd.Index) -> str:
    more = ", ..." if len(ids) > MOST_NAMED else ""
    return ", ".join(shown(one, 30) for one in ids[:MOST_NAMED]) + more


def _plan(assignment: Path, listed: pd.DataFrame) -> pd.DataFrame | None:
    """The plan beside the list, if it has the same segments of the same sizes."""
    try:
        planned = pd.read_csv(assignment.parent / "plan.csv", dtype={"segment": str}, index_col=0)
        sizes = listed["segment"].astype(str).value_counts().sort_index()
        rows = planned["customers"].iloc[1:].sort_index()
        return planned if rows.to_dict() == sizes.to_dict() else None
    except (OSError, ValueError, KeyError):
        return None
