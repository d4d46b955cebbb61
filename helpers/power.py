"""Power, sample size and minimum detectable effect of a two-sided t-test with two equal arms.

Exact for normal outcomes, both tails counted: noncentral t (Cohen 1988, chapter 2). Straight from scipy, because
statsmodels 0.15 returns nan or its search limit in the corners (a target of 0.999, or a very large effect).
"""

import math

import numpy as np
from scipy import optimize, stats

from helpers import InputError, check_share, is_number


def power(n_per_group: float, effect: float, sd: float, alpha: float = 0.05) -> float:
    """Probability that the test comes out significant at level alpha if the true lift is `effect`.

    effect and sd are in the unit of the outcome, sd being the spread inside an arm. Any effect is allowed: at 0 the
    power is alpha, and a loss is found as often as a gain of the same size.
    Raises InputError for fewer than two customers per group, sd not above 0, or alpha outside 0 to 1.
    """
    _check(sd, alpha, n_per_group=n_per_group, effect=effect)
    df, shift = 2 * n_per_group - 2, abs(effect) / sd * math.sqrt(n_per_group / 2)
    crit = stats.t.isf(alpha / 2, df)
    far_tail = np.nan_to_num(
        stats.nct.cdf(-crit, df, shift)
    )  # scipy gives nan where it is smaller than 1e-30
    return float(stats.nct.sf(crit, df, shift) + far_tail)


def sample_size(effect: float, sd: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Customers needed in each of the two groups, not rounded: at least 2, and inf ("none") when the effect is 0.

    Raises InputError as `power` does, and for a target power that does not lie between alpha and 1.
    """
    _check(sd, alpha, target=power, effect=effect)
    return (
        _smallest(lambda n: _power(n, effect, sd, alpha), power, start=2.0) if effect else math.inf
    )


def minimum_detectable_effect(
    n_per_group: float, sd: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true lift (above 0, in the unit of the outcome) that is found with the given power.

    Raises InputError as `sample_size` does.
    """
    _check(sd, alpha, target=power, n_per_group=n_per_group)
    return sd * _smallest(lambda d: _power(n_per_group, d, 1.0, alpha), power, start=1e-9)


_power = power  # the two functions above call their target "power", as every textbook does


def _smallest(rising, target: float, start: float) -> float:
    """Where the rising function first reaches the target, looking upward from `start`."""
    if rising(start) >= target:
        return start
    end = 2 * start
    while rising(end) < target:
        end *= 2
        if end > 1e100:
            return math.inf
    return float(
        optimize.brentq(lambda x: rising(x) - target, end / 2, end, xtol=1e-12, rtol=1e-12)
    )


def _check(
    sd: float, alpha: float, target: float = 0.8, n_per_group: float = 2, effect: float = 0.0
) -> None:
    if not (is_number(sd) and sd > 0):
        raise InputError(
            f"is {sd}; give the standard deviation inside an arm, a number above 0.", "sd"
        )
    check_share("alpha", alpha, 0.05)
    if not (is_number(target) and alpha < target < 1):
        raise InputError(
            f"is {target}; it must lie above alpha ({alpha}) and below 1, such as 0.8.", "power"
        )
    if not (is_number(n_per_group) and n_per_group >= 2):
        raise InputError(
            f"is {n_per_group}; a t-test needs at least 2 customers in each group.", "n_per_group"
        )
    if not is_number(effect):
        raise InputError(
            f"is {effect}; give a number in the unit of the outcome, such as 3.0.", "effect"
        )
