"""Do the effects differ between segments? Compare the arms inside each, pool, and test for a difference."""

from collections import namedtuple
from dataclasses import asdict

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

from helpers import InputError, as_numbers, check_share, experiment, inference

BLANK = dict.fromkeys(inference.Comparison.__dataclass_fields__, np.nan)


class Pooled(namedtuple("Pooled", "lift se ci_low ci_high p_value q df q_p_value")):
    """Lifts of several segments as one: weighted by 1 / se^2, with Cochran's test (q) that they are all equal."""


def is_rate(outcome: pd.Series) -> bool:
    """Whether the outcome is a conversion: every value 0 or 1."""
    return bool(outcome.isin([0, 1]).all())


def compare_segments(
    log: pd.DataFrame,
    segment: str,
    outcome: str,
    group: str = "group",
    control: str = "control",
    confidence: float = 0.95,
    control_share: float = 0.5,
) -> pd.DataFrame:
    """One row per segment: `inference.Comparison`'s fields for its two arms, and ratio_p (sample ratio check).

    log: one row per user, as from `data.load_log`. An outcome of 0 and 1 goes to `compare_rates`, any other to
    `compare_means`. A segment that cannot be tested (an arm below two users, or no variation) keeps its counts; the
    rest of its row is nan. Raises InputError for a confidence or a control_share outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    check_share("control_share", control_share, 0.5)
    rate, rows = is_rate(log[outcome]), {}
    for name, part in log.groupby(segment, observed=True):
        arms = [part.loc[(part[group] == control) == chosen, outcome] for chosen in (True, False)]
        n = [len(arm) for arm in arms]
        row = {
            "n_control": n[0],
            "n_treatment": n[1],
            "ratio_p": experiment.sample_ratio_p(*n, control_share),
        }
        try:
            summary = (
                [number for arm in arms for number in (int(arm.sum()), len(arm))] if rate else arms
            )
            result = asdict(
                (inference.compare_rates if rate else inference.compare_means)(*summary, confidence)
            )
        except InputError:  # too few users, or no variation
            result = BLANK
        rows[name] = result | row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(segment)


def pool(lift: ArrayLike, se: ArrayLike, confidence: float = 0.95) -> Pooled:
    """Inverse-variance pooled lift of two or more independent segments, and Cochran's Q (df: segments - 1).

    lift, se: one value a segment, in one unit; for rates take t * se as lift, the centre that belongs to se.
    Source: Cochran (1954).
    Raises InputError for fewer than two segments, blanks, or standard errors that are not above 0.
    """
    lift, se = _checked(lift, se)
    check_share("confidence", confidence, 0.95)
    weight, df = se**-2, len(lift) - 1
    mean, mean_se = float(np.average(lift, weights=weight)), float(weight.sum() ** -0.5)
    q = float((weight * (lift - mean) ** 2).sum())
    half = float(stats.norm.ppf((1 + confidence) / 2)) * mean_se
    p_value, q_p_value = float(2 * stats.norm.sf(abs(mean) / mean_se)), float(stats.chi2.sf(q, df))
    return Pooled(mean, mean_se, mean - half, mean + half, p_value, q, df, q_p_value)


def gail_simon(lift: ArrayLike, se: ArrayLike) -> tuple[float, float]:
    """Statistic and p-value of the test that true effects have both signs (a qualitative interaction).

    lift, se: one value a segment, as for `pool`. The statistic is the smaller of the two sums of (lift / se)^2, over
    the gains and over the losses; p is exact for the hardest case without a change of sign.
    Source: Gail and Simon (1985). Raises InputError as `pool` does.
    """
    lift, se = _checked(lift, se)
    squares, others = np.square(lift / se), len(lift) - 1
    statistic = min(squares[lift > 0].sum(), squares[lift < 0].sum())
    k = np.arange(1, others + 1)
    chances = special.comb(others, k) / 2.0**others * stats.chi2.sf(statistic, k)
    return float(statistic), 1.0 if statistic == 0 else float(chances.sum())


def _checked(lift: ArrayLike, se: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lift, se = as_numbers(lift, "list of lifts"), as_numbers(se, "list of standard errors")
    if lift.ndim != 1 or lift.shape != se.shape or len(lift) < 2:
        raise InputError("Give one lift and one standard error for each of two or more segments.")
    if not (se > 0).all():
        raise InputError("A standard error is not above 0. Leave that segment out.")
    return lift, se
