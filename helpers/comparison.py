"""What there is to say of two arms, from two means and their standard errors."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from helpers import Pair, check_share


@dataclass(frozen=True)
class Comparison:
    """Two arms compared; means, sds, lift and its interval are in the unit of the outcome.

    lift is mean_treatment - mean_control, se the standard error that interval and t go by (for
    rates see `inference.compare_rates`). relative_lift is lift divided by the size of mean_control
    (0.05 is 5 %), so it has the sign of the lift also where control is
    below zero. It is nan when the control mean is 0, and its interval is -inf, inf where Fieller's
    is unbounded.
    """

    n_control: int
    n_treatment: int
    mean_control: float
    mean_treatment: float
    sd_control: float
    sd_treatment: float
    lift: float
    ci_low: float
    ci_high: float
    t: float
    df: float
    p_value: float
    relative_lift: float
    relative_ci_low: float
    relative_ci_high: float
    se: float


class Arm(NamedTuple):
    """One arm, summed up: its size, mean and standard deviation (ddof 1)."""

    n: int
    mean: float
    sd: float


def described(control: Arm, treatment: Arm, found: dict[str, float]) -> Comparison:
    """The Comparison of two arms, with what `tested` found."""
    lift = treatment.mean - control.mean
    relative_lift = lift / abs(control.mean) if control.mean else math.nan
    return Comparison(
        n_control=control.n,
        n_treatment=treatment.n,
        mean_control=control.mean,
        mean_treatment=treatment.mean,
        sd_control=control.sd,
        sd_treatment=treatment.sd,
        lift=lift,
        relative_lift=relative_lift if math.isfinite(relative_lift) else math.nan,
        **found,
    )


def tested(
    means: tuple[float, float],
    variances: tuple[float, float],
    df: float,
    confidence: float,
    cov: float = 0.0,
) -> dict[str, float]:
    """Intervals and test from two means, control first, their squared standard errors and cov.

    df: of the t distribution, inf for the normal one. cov: the covariance of the two means.
    Raises InputError for a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    lift = means[1] - means[0]
    se = math.sqrt(variances[0] + variances[1] - 2 * cov)
    crit = float(stats.t.ppf((1 + confidence) / 2, df))
    low, high = fieller_interval(means[0], variances[0], means[1], variances[1], crit, cov)
    return {
        "ci_low": lift - crit * se,
        "ci_high": lift + crit * se,
        "t": lift / se,
        "df": float(df),
        "p_value": float(2 * stats.t.sf(abs(lift) / se, df)),
        "relative_ci_low": float(low),
        "relative_ci_high": float(high),
        "se": se,
    }


def fieller_interval(
    mean_c: ArrayLike,
    var_c: ArrayLike,
    mean_t: ArrayLike,
    var_t: ArrayLike,
    crit: ArrayLike,
    cov: ArrayLike = 0.0,
) -> Pair:
    """Interval for the relative lift, (mean_t - mean_c) / |mean_c|; numbers or arrays of one shape.

    var_c, var_t: squared standard errors of the two means, cov: their covariance (0 for separate
    arms); crit: the t quantile, such as 1.96. Where the control mean is not clearly different from
    zero: unbounded, -inf, inf. Source: Fieller (1954).
    """
    mean_c, var_c, mean_t, var_t, crit, cov = (
        np.asarray(number, dtype=float) for number in (mean_c, var_c, mean_t, var_t, crit, cov)
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = mean_t / mean_c
        k = np.square(crit / mean_c)
        g = k * var_c
        middle = ratio - k * cov
        inside = var_t - 2 * ratio * cov + ratio**2 * var_c - k * (var_t * var_c - cov**2)
        half = np.sqrt(k * inside)
        ends = np.stack([(middle - half) / (1 - g) - 1, (middle + half) / (1 - g) - 1])
    ends = np.where(mean_c < 0, -ends[::-1], ends)  # of lift / mean_c, turned round
    bounded = np.isfinite(ratio) & (g < 1)
    return np.where(bounded, ends[0], -np.inf), np.where(bounded, ends[1], np.inf)
