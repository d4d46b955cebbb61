"""When the log does not fit in memory: an engine adds it up, and a row per segment and arm is enough for the tests."""

import glob
from dataclasses import asdict
from pathlib import Path

import duckdb
import ibis
import numpy as np
import pandas as pd

from helpers import InputError, check_share, experiment, inference

FLAT = 1e-30  # times the squared mean: a variance below that is rounding error, the column does not vary


def read_log(connection: ibis.BaseBackend, path: str | Path) -> ibis.Table:
    """The Parquet log at `path`, a file or a folder (with all below it), as a DuckDB table; no row is loaded.

    Raises InputError where there is no such file, or one that is no Parquet or was cut short.
    """
    files = glob.escape(str(path)) + ("/**/*.parquet" if Path(path).is_dir() else "")
    try:
        connection.con.execute(
            "SELECT count(*) FROM parquet_file_metadata(?)", [files]
        ).fetchall()  # reads every end
        return connection.read_parquet(files, union_by_name=True)
    except duckdb.Error as error:
        raise InputError(
            f"This is no Parquet log: {str(error).splitlines()[0]}. Copy or write it again."
        ) from None


def sums(
    log: ibis.Table, segment: str, outcome: str, group: str = "group", covariate: str | None = None
) -> ibis.Table:
    """One expression, for any engine: what the tests need of each segment and arm, a row each, nothing executed yet.

    Columns: segment, group, n, blanks, mean and var (ddof 1) of the outcome; with a covariate also mean_x, var_x, cov.
    Raises InputError for columns that are missing, named twice, or hold no numbers where numbers are needed.
    """
    if not isinstance(log, ibis.Table):
        raise InputError(
            f"The log is a {type(log).__name__}; give an Ibis table, such as scale.read_log(...) makes."
        )
    names = [segment, group, outcome] + ([covariate] if covariate else [])
    if missing := [name for name in names if name not in log.columns]:
        raise InputError(
            f"The log lacks {', '.join(map(str, missing))}; its columns are {', '.join(log.columns)}."
        )
    if len(set(names)) < len(names):
        raise InputError(
            f"The columns are {', '.join(names)}; give a different one for each purpose."
        )
    for name in names[2:]:
        if not (log[name].type().is_numeric() or log[name].type().is_boolean()):
            raise InputError(
                f"Column {name} holds {log[name].type()}; outcome and covariate must be numbers."
            )
    y, *xs = (log[name].cast("float64") for name in names[2:])
    found = {
        "n": log.count(),
        "blanks": log.count() - y.count(),
        "mean": y.mean(),
        "var": y.var(how="sample"),
    }
    for x in xs:
        found |= {"mean_x": x.mean(), "var_x": x.var(how="sample"), "cov": y.cov(x, how="sample")}
        found["blanks"] += log.count() - x.count()
    return log.group_by(segment=log[segment], group=log[group]).agg(**found)


def compare_segments(
    log: ibis.Table,
    segment: str,
    outcome: str,
    group: str = "group",
    control: str = "control",
    covariate: str | None = None,
    confidence: float = 0.95,
    control_share: float = 0.5,
) -> pd.DataFrame:
    """One row per segment, with the columns of `heterogeneity.compare_segments`, from `sums` alone: Welch's test.

    The log has one row per user. covariate: a number known before treatment; outcomes are then adjusted by CUPED (Deng
    and others 2013), with the slope pooled inside the arms of each segment (20 rows or more in each). An outcome of 0
    and 1 is treated as any number, which is right for arms of some hundred conversions. confidence and control_share:
    between 0 and 1.
    Raises InputError as `sums` does, for blanks, more or fewer than two arms, a segment in which an arm has fewer than
    two rows or nothing varies, and numbers so large that their sum loses the lift. There is no partial table.
    """
    check_share("confidence", confidence, 0.95)
    check_share("control_share", control_share, 0.5)
    try:
        table = sums(log, segment, outcome, group, covariate).execute()
    except duckdb.OutOfRangeException:  # the variance of an infinite value
        table = pd.DataFrame({"blanks": [1]})
    finite = np.isfinite(table.filter(regex="^mean")).all(axis=None)
    if table["blanks"].any() or not finite or table[["segment", "group"]].isna().any(axis=None):
        used = ", ".join(filter(None, (segment, group, outcome, covariate)))
        raise InputError(
            f"One of the columns {used} has blank or infinite values. Mend them, or filter the log."
        )
    if control not in (arms := sorted(table["group"].unique().tolist())) or len(arms) != 2:
        raise InputError(
            f"The arms in {group} are {arms[:6]}, control is {control!r}; there must be two, one control."
        )
    table = _adjusted(table) if covariate else table
    table["sd"] = table["var"].where(table["var"] > FLAT * table["mean"] ** 2, 0.0) ** 0.5
    rows = {}
    for name, part in table.groupby("segment"):
        part = part.sort_values("group", key=lambda arm: arm != control)
        if len(part) < 2:
            raise InputError(
                f"Segment {name} has no row in one of the arms. Leave it out, or take wider segments."
            )
        if covariate and part["n"].min() < 20:
            raise InputError(
                f"Segment {name} has an arm below 20 rows, too few to adjust. Leave {covariate} out."
            )
        six = part[["mean", "sd", "n"]].astype({"n": object}).to_numpy().ravel()
        try:
            rows[name] = asdict(inference.compare_means_from_stats(*six, confidence))
        except InputError as error:
            raise InputError(f"Segment {name}: {error}") from None
        if (
            part["mean"].abs().max() * np.sqrt(part["n"].max()) > 2**53 * rows[name]["se"]
        ):  # what adding up may lose
            raise InputError(
                f"{outcome} is too large against its spread. Subtract {part['mean'].iloc[0]:.6g} first."
            )
        rows[name]["ratio_p"] = experiment.sample_ratio_p(*part["n"], control_share)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(segment)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with mean and var of y - slope * (x - mean of x in the segment)."""
    n, segment = table["n"], table["segment"]
    var_x = table["var_x"].where(table["var_x"] > FLAT * table["mean_x"] ** 2, 0.0)
    spread, shared = (
        ((n - 1) * part).groupby(segment).transform("sum") for part in (var_x, table["cov"])
    )
    slope = (shared / spread).where(spread > 0, 0.0)
    centre = (n * table["mean_x"]).groupby(segment).transform("sum") / n.groupby(segment).transform(
        "sum"
    )
    var = table["var"] - 2 * slope * table["cov"] + slope**2 * var_x
    mean = table["mean"] - slope * (table["mean_x"] - centre)
    return table.assign(mean=mean, var=var.where(var > 1e-12 * table["var"], 0.0))
