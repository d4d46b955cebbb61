"""Power, sample size and minimum detectable effect of a two-sided t-test with two equal arms.

Exact for normal outcomes, both tails counted: noncentral t (Cohen 1988, chapter 2). Straight from
scipy, because statsmodels 0.15 returns nan or its search limit in the corners (a target of 0.999,
or a very large effect).
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from helpers import InputError, check_share, is_number

CERTAIN = 1e6  # a shift of the t statistic that every test sees
APART = 1e100  # how far effect and sd may lie apart, as a ratio


def power(n_per_group: float, effect: float, sd: float, alpha: float = 0.05) -> float:
    """Probability that the test comes out significant at level alpha if the true lift is `effect`.

    effect and sd are in the unit of the outcome, sd being the spread inside an arm. Any effect is
    allowed: at 0 the power is alpha, and a loss is found as often as a gain of the same size.
    Raises InputError for fewer than two customers per group, sd not above 0, alpha outside 0 to 1,
    or an effect and a sd more than a hundred digits apart.
    """
    _check_size(n_per_group)
    check_share("alpha", alpha, 0.05)
    return _power_of(float(n_per_group), _in_sds(effect, sd), alpha)


def sample_size(effect: float, sd: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """Customers needed in each of the two groups, not rounded: at least 2, and inf if effect is 0.

    Raises InputError as `power` does, and for a target power that does not lie between alpha and 1.
    """
    _check_target(power, alpha)
    size = _in_sds(effect, sd)
    if size == 0:
        return math.inf
    return _first_to_reach(power, lambda n: _power_of(n, size, alpha), start=2.0)


def minimum_detectable_effect(
    n_per_group: float, sd: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true lift (above 0, unit of the outcome) that is found with the given power.

    Raises InputError as `sample_size` does.
    """
    _check_target(power, alpha)
    _check_size(n_per_group)
    _in_sds(0.0, sd)
    n_per_group, sd = float(n_per_group), float(sd)
    start = 1e-6 / math.sqrt(n_per_group)  # hardly more power than alpha
    return sd * _first_to_reach(power, lambda d: _power_of(n_per_group, d, alpha), start)


def _power_of(n_per_group: float, effect_in_sds: float, alpha: float) -> float:
    df = 2 * n_per_group - 2
    shift = min(effect_in_sds * math.sqrt(n_per_group / 2), CERTAIN)
    crit = stats.t.isf(alpha / 2, df)
    far_tail = np.nan_to_num(stats.nct.cdf(-crit, df, shift))  # scipy: nan if smaller than 1e-30
    return float(stats.nct.sf(crit, df, shift) + far_tail)


def _first_to_reach(target: float, rising: Callable[[float], float], start: float) -> float:
    """Where the rising function first reaches the target, looking upward from `start`."""
    if rising(start) >= target:
        return start
    before = start
    while rising(2 * before) < target:
        before *= 2
    times = optimize.brentq(lambda f: rising(f * before) - target, 1.0, 2.0, xtol=1e-14)
    return before * float(times)


def _in_sds(effect: float, sd: float) -> float:
    """The size of the effect in standard deviations."""
    if not (is_number(sd) and sd > 0):
        raise InputError(f"is {sd}; give the spread inside an arm, a number above 0.", "sd")
    if not is_number(effect):
        raise InputError(f"is {effect}; give a number, such as 3.0.", "effect")
    size = abs(float(effect)) / float(sd)
    if size and not 1 / APART < size < APART:
        raise InputError(f"is {effect} and sd is {sd}; check their units.", "effect")
    return size


def _check_size(n_per_group: float) -> None:
    if not (is_number(n_per_group) and n_per_group >= 2):
        raise InputError(
            f"is {n_per_group}; a t-test needs at least 2 customers in each group.", "n_per_group"
        )


def _check_target(power: float, alpha: float) -> None:
    check_share("alpha", alpha, 0.05)
    if not (is_number(power) and alpha < power < 1):
        raise InputError(
            f"is {power}; it must lie above alpha ({alpha}) and below 1, such as 0.8.", "power"
        )
