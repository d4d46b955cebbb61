"""Do the effects differ between segments? Compare the arms in each, pool, test, and decide."""

from typing import NamedTuple

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
    decisions,
    experiment,
    words,
)
from helpers.decisions import BLANK, NOT_TESTABLE, RATIO_ALARM
from helpers.goals import is_rate, smallest_worth

__all__ = ["BLANK", "NOT_TESTABLE", "RATIO_ALARM", "is_rate", "smallest_worth"]


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
    kind = "rate" if is_rate(log[outcome]) else "mean"
    pair = pd.DataFrame({"y": log[outcome], "treated": log[group] != control})
    rows = {}
    for name, part in pair.groupby(log[segment], observed=True):
        n_t = int(part["treated"].sum())
        counts = {"n_control": len(part) - n_t, "n_treatment": n_t}
        ratio_p = experiment.sample_ratio_p(len(part) - n_t, n_t, control_share)
        rows[name] = decisions.compare(part, kind, confidence) | counts | {"ratio_p": ratio_p}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(segment)


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
    decision and worth: see `decisions.judge`, which does it.
    users_needed: where more are to be collected, how many in both arms give 80 % power for a lift
    of worth at the level of the row, with the spreads seen and the planned share; else nan.
    Raises InputError as `decisions.judge` does, and where fewer than two
    segments can be tested.
    """
    data.check_log(log, segment, outcome, group, control)
    design = decisions.Design(segment, group, control_share=control_share, seed=seed)
    arms = np.where(log[group] == control, design.control, "treatment")
    goal = decisions.Goal(outcome, worth)
    found = decisions.judge(log.assign(**{group: arms}), goal, design)
    _check_testable(int(found["lift"].iloc[1:].notna().sum()), len(found) - 1)
    is_open = found["decision"] == words.COLLECT
    found["users_needed"] = np.ceil(found["users_needed"].where(is_open))
    return found.drop(columns=["arm", "level", "alarms"]).set_index("segment").rename_axis(segment)


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


def _check_testable(testable: int, segments: int) -> None:
    if testable < 2:
        few = f"{words.count(testable, 'segment')} of {segments} can be tested"
        raise InputError(
            f"allows no comparison: {few}, and it needs two, with two users in each arm and some "
            "variation.\nChoose another column.",
            "segment",
        )


def _checked(lift: ArrayLike, se: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lift, se = as_numbers(lift, "list of lifts"), as_numbers(se, "list of standard errors")
    if lift.ndim != 1 or lift.shape != se.shape or len(lift) < 2:
        raise InputError("Give one lift and one standard error for each of two or more segments.")
    if not (se > 0).all():
        raise InputError("A standard error is not above 0. Leave that segment out.")
    check_spread(se.min(), "smallest standard error")
    return lift, se
