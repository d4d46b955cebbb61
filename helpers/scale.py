"""When the log does not fit in memory: an engine adds it up.

A row per segment and arm is enough for the tests.
"""

import glob
from dataclasses import asdict
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd

from helpers import (
    InputError,
    check_share,
    data,
    experiment,
    heterogeneity,
    inference,
    users,
    words,
)

FLAT = 1e-30  # times the squared mean: a variance below that is rounding error, nothing varies
FLAG = "by user"  # ends the names of columns that no log has
FEWEST = 20  # rows in an arm, for adjusting by a covariate: below, the test alarms too often


def read_log(connection: ibis.BaseBackend, path: str | Path) -> ibis.Table:
    """The Parquet log at `path`, a file or a folder (with all below it); no row is loaded.

    Raises InputError where there is no such file, or one that is no Parquet or was cut short.
    """
    files = glob.escape(str(path)) + ("/**/*.parquet" if Path(path).is_dir() else "")
    try:  # the first call reads the end of every file
        connection.con.execute("SELECT count(*) FROM parquet_file_metadata(?)", [files]).fetchall()
        return connection.read_parquet(files, union_by_name=True)
    except duckdb.Error as error:
        why = str(error).splitlines()[0]
        raise InputError(f"This is no Parquet log: {why}. Copy or write it again.") from None


def sums(
    log: ibis.Table,
    segment: str,
    outcome: str,
    group: str = "group",
    covariate: str | None = None,
    user: str | None = None,
) -> ibis.Table:
    """One expression, for any engine: what the tests need of each segment and arm, a row each.

    Nothing is executed yet. user: the column that names users; their outcomes are added up first,
    which is one more grouping. Columns: segment, group, n, blanks, both and moved (users in both
    arms, in several segments), mean and var (ddof 1) of the outcome; with a covariate also mean_x,
    var_x, cov and varied (users with several values of it).
    Raises InputError for columns that are missing, named twice, or hold no numbers where numbers
    are needed.
    """
    _check_columns(log, segment, outcome, group, covariate, user)
    if user is not None:
        log = _added_up(log, user, segment, group, [outcome], [covariate] if covariate else [])
    y = log[outcome].cast("float64")
    found = {
        "n": log.count(),
        "blanks": log.count() - y.count(),
        "mean": y.mean(),
        "var": y.var(how="sample"),
    }
    for name in ("both", "moved", "varied") if user is not None else ():
        found[name] = log[f"{name} {FLAG}"].sum()
    if covariate:
        x = log[covariate].cast("float64")
        found["blanks"] += log.count() - x.count()
        found["mean_x"] = x.mean()
        found["var_x"] = x.var(how="sample")
        found["cov"] = y.cov(x, how="sample")
    return log.group_by(segment=log[segment], group=log[group]).agg(**found)


def _added_up(
    log: ibis.Table, user: str, segment: str, group: str, outcome: list[str], covariate: list[str]
) -> ibis.Table:
    """A row per user: the outcome added up, else the smallest value; blank where one is blank."""
    found = {}
    texts = [name for name in (user, segment, group) if log[name].type().is_string()]
    log = log.mutate(**{name: log[name].strip().nullif("") for name in texts})
    for name in (segment, group, *outcome, *covariate):
        value = log[name].cast("float64").sum() if name in outcome else log[name].min()
        known = (log[name].count() == log.count()) & (log[user].count() == log.count())
        found[name] = known.ifelse(value, ibis.null(value.type()))
    several = {"both": [group], "moved": [segment], "varied": covariate}
    for flag, names in several.items():
        differ = [log[name].min() != log[name].max() for name in names]
        found[f"{flag} {FLAG}"] = differ[0] if differ else ibis.literal(False)
    return log.group_by(log[user]).agg(**found)


def compare_segments(
    log: ibis.Table,
    segment: str,
    outcome: str,
    group: str = "group",
    control: object = "control",
    covariate: str | None = None,
    confidence: float = 0.95,
    control_share: float = 0.5,
    user: str | None = None,
) -> pd.DataFrame:
    """One row per segment, with the columns of `heterogeneity.compare_segments`: Welch's test.

    The log is read once, by `sums`. user: the column that names users, whose rows are added up;
    "none": every row is a user; None: once more, to see that no id repeats. covariate: a number
    known before treatment; outcomes are then adjusted by CUPED (Deng and others 2013), with the
    slope pooled inside the arms of each segment. An outcome of 0 and 1 is treated as any number,
    which is right for arms of some hundred conversions, and not quite what notebook 06 does with
    fewer. A segment that cannot be tested (an arm below two users, or below 20 with a covariate, or
    no variation) keeps its counts; the rest of its row is nan. confidence and control_share:
    between 0 and 1.
    Raises InputError as `sums` does, for blanks, more or fewer than two arms, users in both arms,
    in several segments or with several values of the covariate, an id that repeats without being
    named, a log in which no segment can be tested, and numbers so large that their sum loses the
    lift.
    """
    check_share("confidence", confidence, 0.95)
    check_share("control_share", control_share, 0.5)
    columns = [name for name in (segment, group, outcome, covariate) if name]
    own = None if user == users.EVERY_ROW else user
    expression = sums(log, segment, outcome, group, covariate, own)
    if user is None:
        _check_repeats(log, columns)
    table = _without_blanks(expression, [*columns, *([own] if own else [])])
    if own:
        _check_users(table, own, segment, covariate)
    data.check_arms(table["group"].unique().tolist(), control, f"column {group}")
    if covariate:
        _check_covariate(table, covariate)
        table = _adjusted(table)
    found = _row_by_row(table, control, confidence, control_share, FEWEST if covariate else 2)
    _check_digits(table, found["se"], outcome)
    return found.rename_axis(segment)


def _check_columns(
    log: ibis.Table,
    segment: str,
    outcome: str,
    group: str,
    covariate: str | None,
    user: str | None,
) -> None:
    if not isinstance(log, ibis.Table):
        raise InputError(f"The log is a {type(log).__name__}; give an Ibis table (scale.read_log).")
    numbers = [outcome, covariate] if covariate else [outcome]
    names = [segment, group, *numbers, *([] if user is None else [user])]
    missing = [str(name) for name in names if name not in log.columns]
    if missing:
        columns = ", ".join(log.columns)
        raise InputError(f"The log lacks {', '.join(missing)}; its columns are {columns}.")
    if len(set(names)) < len(names):
        raise InputError(
            f"The columns are {', '.join(names)}; give a different one for each purpose."
        )
    for name in numbers:
        kind = log[name].type()
        if not (kind.is_numeric() or kind.is_boolean()):
            raise InputError(f"Column {name} holds {kind}; outcome and covariate must be numbers.")


def _without_blanks(expression: ibis.Table, columns: list[str]) -> pd.DataFrame:
    """The executed sums, or InputError where one of the columns of the log has a blank."""
    try:
        table = expression.execute()
    except duckdb.OutOfRangeException:  # the variance of an infinite value
        table = pd.DataFrame({"blanks": [1], "segment": [None], "group": [None]})
    finite = np.isfinite(table.filter(regex="^mean")).all(axis=None)
    labels = table[["segment", "group"]].astype(str).apply(lambda column: column.str.strip())
    labelled = table[["segment", "group"]].notna().all(axis=None) and (labels != "").all(axis=None)
    if table["blanks"].any() or not finite or not labelled:
        raise InputError(
            f"One of the columns {', '.join(columns)} has blank or infinite values. "
            "Mend them, or filter the log."
        )
    if table.empty:
        raise InputError("The log has no rows. Give one with a row for each user.")
    return table


def _check_covariate(table: pd.DataFrame, covariate: str) -> None:
    lost = table["mean_x"].abs() * table["n"] / 2**53  # of the mean, when so many are added up
    var_x = _flat_as_zero(table["var_x"], table["mean_x"])
    if ((lost > var_x**0.5) & (var_x > 0)).any():
        mean = table["mean_x"].iloc[0]
        raise InputError(f"{covariate} is too large against its spread. Subtract {mean:.6g} first.")


def _check_repeats(log: ibis.Table, roles: list[str]) -> None:
    """Raise InputError where a column that is called like an id repeats."""
    for name in users.id_columns(log.columns):
        if name not in roles:
            seen = {"n": log.count(), "known": log[name].count(), "ids": log[name].nunique()}
            n, known, different = map(int, log.agg(**seen).execute().iloc[0])
            users.check_blank(n - known, name, "The log")
            if different < n:
                users.refuse_repeats(name, different, n, "the log")


def _check_users(table: pd.DataFrame, user: str, segment: str, covariate: str | None) -> None:
    users.check_both_arms(int(table["both"].sum()), user, "The log")
    users.check_moved(int(table["moved"].sum()), segment, user, "The log")
    if covariate and table["varied"].any():
        raise InputError(
            f"{words.count(table['varied'].sum(), 'user')} of the log have several values of "
            f"{covariate}. Give each the one from before the experiment."
        )


def _row_by_row(
    table: pd.DataFrame, control: object, confidence: float, control_share: float, fewest: int
) -> pd.DataFrame:
    """A row for each segment; table: the sums. InputError where none can be tested."""
    table = table.assign(sd=_flat_as_zero(table["var"], table["mean"]) ** 0.5)
    rows = {}
    for name, part in table.groupby("segment"):
        rows[name] = _compared(part.set_index("group"), control, confidence, fewest)
        counts = rows[name]["n_control"], rows[name]["n_treatment"]
        rows[name]["ratio_p"] = experiment.sample_ratio_p(*counts, control_share)
    found = pd.DataFrame.from_dict(rows, orient="index")
    if found["lift"].isna().all():
        raise InputError(
            "No segment can be tested: an arm has fewer than two users (20 with a covariate), or "
            "the outcome, once adjusted, does not vary. Choose other columns."
        )
    return found


def _compared(
    arms: pd.DataFrame, control: object, confidence: float, fewest: int
) -> dict[str, float]:
    """The fields of a Comparison for one segment; arms: mean, sd and n of each, by its name.

    nan but for the sizes where an arm has fewer rows than `fewest`, or nothing varies.
    """
    c, t = (arms[(arms.index == control) == is_control] for is_control in (True, False))
    sizes = {"n_control": int(c["n"].sum()), "n_treatment": int(t["n"].sum())}
    if min(sizes.values()) < fewest or not arms["sd"].any():
        return heterogeneity.BLANK | sizes
    c, t = c.iloc[0], t.iloc[0]
    found = inference.compare_means_from_stats(
        c["mean"], c["sd"], c["n"], t["mean"], t["sd"], t["n"], confidence
    )
    return asdict(found)


def _check_digits(table: pd.DataFrame, se: pd.Series, outcome: str) -> None:
    """Raise InputError where adding up so many large numbers may have lost the lift."""
    lost = table["mean"].abs() * np.sqrt(table["n"]) / 2**53
    if (lost > table["segment"].map(se)).any():
        mean = table["mean"].iloc[0]
        raise InputError(f"{outcome} is too large against its spread. Subtract {mean:.6g} first.")


def _flat_as_zero(var: pd.Series, mean: pd.Series) -> pd.Series:
    """The variances, 0 where they are but a rounding error of large numbers."""
    return var.where(var > FLAT * mean**2, 0.0)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with mean and var of y - slope * (x - mean of x in the segment)."""
    segment, n = table["segment"], table["n"]
    var_x = _flat_as_zero(table["var_x"], table["mean_x"])
    spread = ((n - 1) * var_x).groupby(segment).transform("sum")
    shared = ((n - 1) * table["cov"]).groupby(segment).transform("sum")
    slope = (shared / spread).where(spread > 0, 0.0)
    total = (n * table["mean_x"]).groupby(segment).transform("sum")
    centre = total / n.groupby(segment).transform("sum")
    var = table["var"] - 2 * slope * table["cov"] + slope**2 * var_x
    mean = table["mean"] - slope * (table["mean_x"] - centre)
    return table.assign(mean=mean, var=var.where(var > 1e-12 * table["var"], 0.0))
