"""Do the effects differ between segments? Compare the arms in each, pool, test, and decide."""

import math
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize, stats

from helpers import (
    InputError,
    as_numbers,
    check_share,
    check_spread,
    coins,
    data,
    experiment,
    power,
    words,
)
from helpers.comparison import Comparison
from helpers.inference import compare_means, compare_rates

BLANK = {field.name: math.nan for field in fields(Comparison)}
NOT_TESTABLE = "not testable"
EVERYONE = "all users"
RATIO_ALARM = 0.001


class Pooled(NamedTuple):
    """Lifts of several segments as one, with Cochran's test (q) that they are all equal."""

    lift: float
    se: float
    ci_low: float
    ci_high: float
    p_value: float
    q: float
    df: int
    q_p_value: float


def is_rate(outcome: pd.Series) -> bool:
    """Whether the outcome is a conversion: every value 0 or 1."""
    return bool(outcome.isin([0, 1]).all())


def compare_segments(
    log: pd.DataFrame,
    segment: str,
    outcome: str,
    group: str = "group",
    control: object = "control",
    confidence: float = 0.95,
    control_share: float = 0.5,
) -> pd.DataFrame:
    """One row per segment: the fields of `comparison.Comparison`, and ratio_p (ratio check).

    log: one row per user, as from `data.load_log`. An outcome of 0 and 1 goes to `compare_rates`,
    any other to `compare_means`. A segment that cannot be tested (an arm below two users, or no
    variation) keeps its counts; the rest of its row is nan.
    Raises InputError for a log that `data.check_log` refuses, and a confidence or a control_share
    outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    check_share("control_share", control_share, 0.5)
    data.check_log(log, segment, outcome, group, control)
    rate = is_rate(log[outcome])
    rows = {}
    for name, part in log.groupby(segment, observed=True):
        in_control = part[group] == control
        arms = (part.loc[in_control, outcome], part.loc[~in_control, outcome])
        rows[name] = _compared(arms, rate, confidence)
        counts = len(arms[0]), len(arms[1])
        rows[name]["n_control"], rows[name]["n_treatment"] = counts
        rows[name]["ratio_p"] = experiment.sample_ratio_p(*counts, control_share)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(segment)


def smallest_worth(control_mean: float, rate: bool, worth: float | None) -> float:
    """The smallest lift worth having, in the unit of the outcome; None: 5 % of the control mean.

    That default is rounded to four digits, so that what is shown is what decides. rate: whether the
    outcome is a conversion.
    Raises InputError for a worth not above 0, or one that no rate can rise by.
    """
    if worth is None:
        worth = float(f"{0.05 * abs(float(control_mean)):.4g}")
        if worth < 1e-9:
            raise InputError(
                f"is not given, and 5 % of a control mean of {abs(control_mean):.3g} is nothing: "
                "give the smallest lift worth having.",
                "worth",
            )
    words.check_worth(worth)
    if rate and worth >= 1:
        raise InputError(
            f"is {worth:g}, but no rate rises by that much: 0.01 is one percentage point.", "worth"
        )
    return worth


def decide(
    log: pd.DataFrame,
    segment: str,
    outcome: str,
    group: str = "group",
    control: object = "control",
    control_share: float = 0.5,
    worth: float | None = None,
    seed: int = 42,
) -> pd.DataFrame:
    """What to do with all users (first row) and in each segment, by intervals that were tested.

    `compare_segments`, with the columns decision and users_needed. The interval of all users is at
    95 %, those of the segments hold together: 95 % for all that can be tested (Bonferroni).
    decision is that of `words.decision`, or "not testable". It is "check the ratio" in every row
    where one of the arms' sizes does not fit control_share (p < 0.001), and "do not read" where
    there are `coins.doubts` of the interval, or too few users of an arm differ from the rest; what
    follows says why. worth: see `smallest_worth`.
    users_needed: where more are to be collected, how many in both arms give 80 % power for a lift
    of worth at the level of the row, with the spreads seen and the planned share; else nan.
    Raises InputError as `compare_segments` and `smallest_worth` do, and where fewer than two
    segments can be tested.
    """
    whole, parts = _tested(log, segment, outcome, group, control, control_share)
    rate, alpha = is_rate(log[outcome]), 0.05 / _count_testable(parts)
    worth = smallest_worth(float(whole["mean_control"].iloc[0]), rate, worth)
    careful = compare_segments(log, segment, outcome, group, control, 1 - alpha, control_share)
    table = pd.concat([whole, careful]).rename_axis(segment)
    luck = coins.new_coins(log, segment, outcome, control_share, seed)
    doubts = coins.doubts(luck.everyone, whole["p_value"], 0.05)
    doubts += coins.doubts(luck.p_value, parts["p_value"], alpha)
    seen = pd.DataFrame({"y": log[outcome], "treated": log[group] != control})
    users = [seen, *(part for _, part in seen.groupby(log[segment], observed=True))]
    rows = zip(table.itertuples(), users, doubts, strict=True)
    table["decision"] = [_decision(*row, worth) for row in rows]
    odd = [str(name) for name, p in table["ratio_p"].items() if p < RATIO_ALARM]
    if odd:
        table["decision"] = f"{words.CHECK}: {', '.join(odd)}"
    levels = [0.05, *[alpha] * len(careful)]
    table["users_needed"] = _users_needed(table, worth, levels, control_share, rate)
    return table


def pool_segments(table: pd.DataFrame, rate: bool, confidence: float = 0.95) -> Pooled:
    """The pooled lift of two or more segments of a log, and Cochran's Q.

    table: from `compare_segments`, without segments that cannot be tested; rate: whether the
    outcome is a conversion. Plain lifts, weighted by `coins.pooling_shares`; errors are those of
    `coins.errors_at`, for rates at each end of the interval and at 0 for the test, as score
    intervals have it. q_p_value is the chi-square's; small segments with lumpy outcomes need
    `coins.new_coins`.
    Sources: Mantel and Haenszel (1959), Cochran (1954); held to its level by simulation.
    Raises InputError for fewer than two segments, or a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    if len(table) < 2:
        raise InputError("Pooling needs two or more segments.")
    cells = cells_of(table)
    shares, z = coins.pooling_shares(cells), float(stats.norm.ppf((1 + confidence) / 2))
    lift = float(shares @ coins.lifts(cells))

    def error(at: float) -> float:
        return float(np.linalg.norm(shares * coins.errors_at(cells, at, rate)))

    def end(sign: int) -> float:
        """Where the lift is just z errors away."""
        far = lift + sign * (2 if rate else 2 * z * error(lift))
        return optimize.brentq(lambda at: abs(at - lift) - z * error(at), lift, far)

    q, df = float(coins.cochran_q(cells, rate)), len(table) - 1
    p, q_p = float(2 * stats.norm.sf(abs(lift) / error(0.0))), float(stats.chi2.sf(q, df))
    return Pooled(lift, error(lift), end(-1), end(1), p, q, df, q_p)


def cells_of(table: pd.DataFrame) -> coins.Cells:
    """The arms of a table of `compare_segments`."""
    spreads = table[["sd_control", "sd_treatment"]] ** 2
    counted = table[["n_control", "n_treatment", "mean_control", "mean_treatment"]]
    return coins.Cells(*counted.join(spreads).to_numpy(dtype=float).T)


def pool(lift: ArrayLike, se: ArrayLike, confidence: float = 0.95) -> Pooled:
    """Inverse-variance pooled lift of two or more independent segments, and Cochran's Q.

    lift, se: one value a segment, in one unit. Each lift is weighted by 1 / se^2, so se must not
    depend on the luck of the lift: for the plain lifts of a log see `pool_segments`. df of Q:
    segments - 1. Source: Cochran (1954).
    Raises InputError for fewer than two segments, blanks, or standard errors that are not above 0.
    """
    check_share("confidence", confidence, 0.95)
    lift, se = _checked(lift, se)
    weight = se**-2
    mean = float(np.average(lift, weights=weight))
    mean_se = float(weight.sum() ** -0.5)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * mean_se
    q = float((weight * (lift - mean) ** 2).sum())
    df = len(lift) - 1
    p, q_p = float(2 * stats.norm.sf(abs(mean) / mean_se)), float(stats.chi2.sf(q, df))
    return Pooled(mean, mean_se, mean - half, mean + half, p, q, df, q_p)


def gail_simon(lift: ArrayLike, se: ArrayLike) -> tuple[float, float]:
    """Statistic and p-value of the test that true effects have both signs.

    lift, se: one value a segment, as for `pool`. The statistic is the smaller of the two sums of
    (lift / se)^2, over the gains and over the losses; p is exact for the hardest case without a
    change of sign (a qualitative interaction). Source: Gail and Simon (1985).
    Raises InputError as `pool` does.
    """
    lift, se = _checked(lift, se)
    squares = np.square(lift / se)
    statistic = float(min(squares[lift > 0].sum(), squares[lift < 0].sum()))
    if statistic == 0:
        return 0.0, 1.0
    others = len(lift) - 1
    k = np.arange(1, others + 1)
    chances = stats.binom.pmf(k, others, 0.5) * stats.chi2.sf(statistic, k)
    return statistic, float(chances.sum())


def _compared(arms: tuple[pd.Series, pd.Series], rate: bool, confidence: float) -> dict[str, float]:
    """The fields of a Comparison of control and treatment, nan where they cannot be compared."""
    control, treatment = arms
    if min(len(control), len(treatment)) < 2:
        return dict(BLANK)
    if rate:
        counts = (int(control.sum()), len(control), int(treatment.sum()), len(treatment))
        return asdict(compare_rates(*counts, confidence))
    if np.ptp(control) == np.ptp(treatment) == 0:
        return dict(BLANK)
    return asdict(compare_means(control, treatment, confidence))


def _count_testable(table: pd.DataFrame) -> int:
    testable = int(table["lift"].notna().sum())
    if testable < 2:
        few = f"{words.count(testable, 'segment')} of {len(table)} can be tested"
        raise InputError(
            f"allows no comparison: {few}, and it needs two, with two users in each arm and some "
            "variation.\nChoose another column.",
            "segment",
        )
    return testable


def _decision(row: Any, users: pd.DataFrame, doubt: str, worth: float) -> str:
    if math.isnan(row.ci_low):
        return NOT_TESTABLE
    doubt = doubt or coins.few_that_differ(users["y"], users["treated"])
    if doubt:
        seen = coins.causes(users["y"], row.n_control, row.n_treatment)
        return f"{words.DO_NOT_READ}: {', '.join([*seen, doubt])}"
    return words.decision(row.ci_low, row.ci_high, worth)


def _tested(
    log: pd.DataFrame, segment: str, outcome: str, group: str, control: object, share: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All users as one row, and the segments, with intervals of 95 %."""
    if segment in log and (log[segment].astype(str) == EVERYONE).any():
        raise InputError(f"has the value '{EVERYONE}', the name of another row.", "segment")
    everyone = log.assign(**{EVERYONE: EVERYONE})
    return (
        compare_segments(everyone, EVERYONE, outcome, group, control, control_share=share),
        compare_segments(log, segment, outcome, group, control, control_share=share),
    )


def _users_needed(
    table: pd.DataFrame, worth: float, levels: list[float], control_share: float, rate: bool
) -> list[float]:
    open_ones = table["decision"] == words.COLLECT
    variance = _variance_of_lift(table, control_share, rate)
    return [
        math.ceil(2 * power.sample_size(worth, v**0.5 / 2, alpha=level)) if is_open else math.nan
        for v, level, is_open in zip(variance, levels, open_ones, strict=True)
    ]


def _variance_of_lift(table: pd.DataFrame, control_share: float, rate: bool) -> pd.Series:
    """Of the difference of means, times the users in both arms; rates that are 0 are smoothed."""
    total = pd.Series(0.0, index=table.index)
    for arm, share in (("control", control_share), ("treatment", 1 - control_share)):
        smoothed = 1 / (table[f"n_{arm}"] + 2)
        variance = table[f"sd_{arm}"] ** 2
        if rate:
            variance = variance.where(variance > 0, smoothed * (1 - smoothed))
        total += variance / share
    return total


def _checked(lift: ArrayLike, se: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lift, se = as_numbers(lift, "list of lifts"), as_numbers(se, "list of standard errors")
    if lift.ndim != 1 or lift.shape != se.shape or len(lift) < 2:
        raise InputError("Give one lift and one standard error for each of two or more segments.")
    if not (se > 0).all():
        raise InputError("A standard error is not above 0. Leave that segment out.")
    check_spread(se.min(), "smallest standard error")
    return lift, se
