"""What real metrics ask for: ratios of sums, large values capped."""

import math

import numpy as np
from numpy.typing import ArrayLike

from helpers import InputError, as_numbers, check_share, check_spread, is_number
from helpers.comparison import Arm, Comparison, described, tested


def compare_ratios(
    top_c: ArrayLike,
    bottom_c: ArrayLike,
    top_t: ArrayLike,
    bottom_t: ArrayLike,
    confidence: float = 0.95,
) -> Comparison:
    """Two ratios of sums, such as clicks per view, compared by the delta method over users.

    top, bottom: one value a user of control (c) and of treatment (t), such as clicks and views.
    mean in the result is sum(top) / sum(bottom), sd that of a user's pull on it (see `pulls`), and
    df is inf. Swapping the arms mirrors the lift.
    Source: Deng, Knoblich and Lu (2018), section 3; the variance has n - 1.
    Raises InputError for users without a value, arms below two users, a bottom that is negative or
    adds up to nothing, two arms without variation, and a confidence outside 0 to 1.
    """
    control, treatment = _ratio(top_c, bottom_c, "control"), _ratio(top_t, bottom_t, "treatment")
    return compare_ratio_arms(control, treatment, confidence)


def compare_ratio_arms(control: Arm, treatment: Arm, confidence: float = 0.95) -> Comparison:
    """`compare_ratios` of two arms that are summed up: users, ratio, and sd of their pulls."""
    if control.sd == treatment.sd == 0:
        raise InputError("Neither arm varies: every user has the same ratio.")
    variances = control.sd**2 / control.n, treatment.sd**2 / treatment.n
    means = control.mean, treatment.mean
    return described(control, treatment, tested(means, variances, math.inf, confidence))


def pulls(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """How far each user pulls the ratio of sums from where it is: (top - ratio bottom) / mean.

    They add up to nothing; their standard error is that of the ratio.
    """
    return (top - top.sum() / bottom.sum() * bottom) / bottom.mean()


def capped(values: ArrayLike, limit: float) -> np.ndarray:
    """The values, those above the limit set to it.

    Raises InputError for a limit that is no number, or so low that all values become the same.
    """
    values = as_numbers(values, "list of values")
    if not is_number(limit):
        raise InputError(f"is {limit!r}; give a number, such as 100.", "limit")
    cut = np.minimum(values, limit)
    if np.ptp(cut) == 0 < np.ptp(values):
        raise InputError(f"is {limit:g}, and then all values are the same. Cap higher.", "limit")
    return cut


def quantile_of(values: ArrayLike, share: float) -> float:
    """The value below which a share of the values lies, between two of them linearly.

    To cap there, take it of all users together, not knowing the arms.
    Raises InputError for a share outside 0 to 1.
    """
    check_share("cap", share, 0.99)
    return float(np.quantile(as_numbers(values, "list of values"), share))


def _ratio(top: ArrayLike, bottom: ArrayLike, name: str) -> Arm:
    """One arm of `compare_ratios`."""
    top, bottom = as_numbers(top, f"{name} arm"), as_numbers(bottom, f"{name} arm")
    if top.ndim != 1 or top.shape != bottom.shape or len(top) < 2:
        raise InputError(f"The {name} arm needs two values for each of two or more users.")
    if bottom.min() < 0 or bottom.sum() == 0:
        raise InputError(
            f"What the {name} arm is divided by must be 0 or more, and in all more than 0."
        )
    check_spread(np.ptp(top), "range of an arm")
    spread = pulls(top, bottom).std(ddof=1)
    varies = spread > 1e-9 * abs(top).max() / bottom.mean()  # else it is a rounding error
    return Arm(len(top), float(top.sum() / bottom.sum()), float(spread) if varies else 0.0)
