"""Do the effects differ between segments? Compare the arms in each, pool, test, and decide."""

import math
from dataclasses import asdict, fields
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import (
    InputError,
    as_numbers,
    check_share,
    check_spread,
    data,
    experiment,
    power,
    words,
)
from helpers.comparison import Comparison
from helpers.inference import compare_means, compare_rates

BLANK = {field.name: math.nan for field in fields(Comparison)}
NOT_TESTABLE = "not testable"


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

    rate: whether the outcome is a conversion.
    Raises InputError for a worth not above 0, or one that no rate can rise by.
    """
    if worth is None:
        worth = round(0.05 * abs(float(control_mean)), 12)
        if worth == 0:
            raise InputError(
                "is not given, and 5 % of a control mean of 0 is nothing: give the smallest lift "
                "worth having.",
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
) -> pd.DataFrame:
    """What to do in each segment: `compare_segments`, with the columns decision and users_needed.

    The intervals hold together: 95 % for all segments that can be tested (Bonferroni). decision is
    that of `words.decision`, or "not testable". worth: see `smallest_worth`. users_needed: where
    more users are to be collected, how many the segment needs in both arms for 80 % power at a
    lift of worth and at the corrected level, with the planned share of control; else nan.
    Raises InputError as `compare_segments` and `smallest_worth` do, and where fewer than two
    segments can be tested.
    """

    def compared(confidence: float) -> pd.DataFrame:
        return compare_segments(log, segment, outcome, group, control, confidence, control_share)

    testable = _count_testable(compared(0.95))
    rate = is_rate(log[outcome])
    worth = smallest_worth(float(log.loc[log[group] == control, outcome].mean()), rate, worth)
    alpha = 0.05 / testable
    table = compared(1 - alpha)
    table["decision"] = [
        _decision(*ends, worth) for ends in zip(table["ci_low"], table["ci_high"], strict=True)
    ]
    open_ones = table["decision"] == words.COLLECT
    spread = _spread_of_rates(table) if rate else table["sd_control"].replace(0, np.nan)
    spread = spread.fillna(table["sd_treatment"])
    equal_arms = [power.sample_size(worth, sd, alpha=alpha) for sd in spread[open_ones]]
    unequal = 2 * control_share * (1 - control_share)
    table["users_needed"] = math.nan
    table.loc[open_ones, "users_needed"] = np.ceil(np.array(equal_arms) / unequal)
    return table


def pool(lift: ArrayLike, se: ArrayLike, confidence: float = 0.95) -> Pooled:
    """Inverse-variance pooled lift of two or more independent segments, and Cochran's Q.

    lift, se: one value a segment, in one unit; for rates take t * se as lift, the centre that
    belongs to se. Each lift is weighted by 1 / se^2; df of Q: segments - 1. Source: Cochran (1954).
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


def _decision(low: float, high: float, worth: float) -> str:
    return NOT_TESTABLE if math.isnan(low) else words.decision(low, high, worth)


def _spread_of_rates(table: pd.DataFrame) -> pd.Series:
    """The standard deviation of the outcome, 0 or 1, in control; never 0, as in Agresti-Caffo."""
    share = (table["mean_control"] * table["n_control"] + 1) / (table["n_control"] + 2)
    return (share * (1 - share)) ** 0.5


def _checked(lift: ArrayLike, se: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lift, se = as_numbers(lift, "list of lifts"), as_numbers(se, "list of standard errors")
    if lift.ndim != 1 or lift.shape != se.shape or len(lift) < 2:
        raise InputError("Give one lift and one standard error for each of two or more segments.")
    if not (se > 0).all():
        raise InputError("A standard error is not above 0. Leave that segment out.")
    check_spread(se.min(), "smallest standard error")
    return lift, se
