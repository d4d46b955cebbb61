"""Looking early without breaking the promise.

Bounds for planned looks, spending for others, always-valid intervals. Bounds are z values of a
two-sided test. `times` are shares of the planned information, such as 0.2, 0.4 ... 1.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from helpers import InputError, Pair, as_numbers, check_share, check_spread, is_number

RULES = ("bonferroni", "pocock", "obrien-fleming")
BEYOND = 30.0  # a z value that no path reaches


class Running(NamedTuple):
    """The paths that have not crossed a bound: where they are (z times root of time), and when."""

    places: np.ndarray
    mass: np.ndarray  # the probability at each place
    time: float


START = Running(np.zeros(1), np.ones(1), 0.0)


def crossing_probabilities(bounds: ArrayLike, times: ArrayLike, drift: float = 0.0) -> np.ndarray:
    """Probability, for each look, that |z| first reaches its bound there.

    bounds: one z value a look; times: the looks, rising; drift: the mean of z at time 1 (0 without
    an effect). Source: the recursion of Armitage, McPherson and Rowe (1969), by Gauss-Legendre
    quadrature.
    Raises InputError for times that do not rise from above 0, or bounds that do not match them.
    """
    times, bounds = _looks(times), as_numbers(bounds, "list of bounds")
    if not is_number(drift):
        raise InputError(f"is {drift!r}; give the mean of z at time 1, such as 2.8.", "drift")
    if bounds.shape != times.shape or not (bounds > 0).all():
        raise InputError(f"{len(times)} looks need as many bounds, each a z value above 0.")
    paths, finest, found = START, _finest(times), []
    for time, bound in zip(times, bounds, strict=True):
        found.append(_crossing(paths, time, bound, drift))
        if time < times[-1]:
            paths = _go_on(paths, time, bound, finest, drift)
    return np.array(found)


def bounds(looks: int, rule: str, alpha: float = 0.05) -> np.ndarray:
    """z bounds for equally spaced, planned looks: |z| ever reaches one with probability alpha.

    rule: "bonferroni" (alpha / looks at each), "pocock" (1977, one constant) or "obrien-fleming"
    (1979, falling with the root of time). Bonferroni's probability is alpha at most.
    Raises InputError for an unknown rule, or looks that are no whole number from 1 to 100.
    """
    check_share("alpha", alpha, 0.05)
    if not (is_number(looks, whole=True) and 1 <= looks <= 100):
        raise InputError(f"is {looks!r}; give a whole number from 1 to 100.", "looks")
    if rule not in RULES:
        raise InputError(f"is {rule!r}; choose one of {', '.join(RULES)}.", "rule")
    if rule == "bonferroni":
        return np.full(looks, stats.norm.isf(alpha / looks / 2))
    times = np.arange(1, looks + 1) / looks
    shape = np.ones(looks) if rule == "pocock" else times**-0.5
    return shape * _solve(lambda c: crossing_probabilities(c * shape, times).sum(), alpha)


def spending_bounds(times: Sequence[float], alpha: float = 0.05) -> np.ndarray:
    """z bounds for looks at any times up to 1, each fixed by the looks so far alone.

    The spending function is the one like O'Brien and Fleming's: by time t, 4 - 4 * Phi(z(alpha / 4)
    / sqrt(t)). Source: Lan and DeMets (1983).
    Raises InputError for times that do not rise from above 0 to at most 1.
    """
    check_share("alpha", alpha, 0.05)
    looks = _looks(times)
    if looks[-1] > 1 + 1e-12:
        raise InputError(
            f"A look at time {looks[-1]:g} is later than planned; times are shares, up to 1."
        )
    spent = 4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(looks))
    paths, finest, found = START, _finest(looks), []
    for time, increment in zip(looks, np.diff(spent, prepend=0.0), strict=True):
        bound = _bound_that_spends(increment, paths, time)
        found.append(bound)
        paths = _go_on(paths, time, bound, finest)
    return np.array(found)


def always_valid_interval(
    lift: ArrayLike, se: ArrayLike, tau: float, confidence: float = 0.95
) -> Pair:
    """Interval that may be read after every customer: it holds the true lift at all times at once.

    lift, se: at any moments, arrays of one shape; tau: standard deviation of the lifts that are
    betted on, in the unit of the outcome, chosen beforehand. The interval is tightest, 3.03
    standard errors to each side, when se is about tau / 2.9, so tau is best the size of lift that
    one hopes to tell from zero.
    Sources: the mixture of Robbins (1970), as the mixture sequential probability ratio test of
    Johari and others (2022); with an estimated se it holds asymptotically (Waudby-Smith and others
    2024).
    Raises InputError for blanks, and for a tau or standard errors not above 0.
    """
    check_share("confidence", confidence, 0.95)
    if not (is_number(tau) and tau > 0):
        raise InputError(
            f"is {tau!r}; give a size of lift above 0, such as the smallest one worth having.",
            "tau",
        )
    lift, se = as_numbers(lift, "list of lifts"), as_numbers(se, "list of standard errors")
    if not (se > 0).all():
        raise InputError("A standard error is not above 0. Leave that moment out.")
    check_spread(se.min(initial=1.0), "smallest standard error")
    ratio = np.square(se / tau)
    half = se * np.sqrt((1 + ratio) * (np.log1p(1 / ratio) - 2 * np.log(1 - confidence)))
    return lift - half, lift + half


_nodes = cache(np.polynomial.legendre.leggauss)


def _crossing(paths: Running, time: float, bound: float, drift: float = 0.0) -> float:
    """Probability that a path still running is beyond the bound at the next look."""
    passed = time - paths.time
    step, edge = passed**0.5, bound * time**0.5
    ahead = paths.places + drift * passed
    beyond = special.ndtr((ahead - edge) / step) + special.ndtr((-edge - ahead) / step)
    return float(paths.mass @ beyond)


def _go_on(paths: Running, time: float, bound: float, finest: float, drift: float = 0.0) -> Running:
    """The paths that still run after the next look; finest: the smallest time between two looks."""
    passed = time - paths.time
    step = passed**0.5
    ahead = paths.places + drift * passed
    reach = min(bound, abs(drift) * time**0.5 + 9) * time**0.5
    nodes, weights = _nodes(32 + 4 * int(reach / finest**0.5))
    moved = (reach * nodes[:, None] - ahead) / step
    arrived = np.exp(-0.5 * moved**2) / (step * np.sqrt(2 * np.pi))
    return Running(reach * nodes, reach * weights * (arrived @ paths.mass), time)


def _bound_that_spends(alpha: float, paths: Running, time: float) -> float:
    """The bound that the paths still running reach at the next look with probability alpha."""
    return _solve(lambda bound: _crossing(paths, time, bound), alpha)


def _solve(falling: Callable[[float], float], target: float) -> float:
    """The z value at which the falling function reaches the target; BEYOND where that is 0."""
    if target < 1e-15:
        return BEYOND
    return float(optimize.brentq(lambda c: falling(c) - target, 1e-6, BEYOND, xtol=1e-10))


def _finest(times: np.ndarray) -> float:
    return float(np.diff(times, prepend=0.0).min())


def _looks(times: ArrayLike) -> np.ndarray:
    looks = np.atleast_1d(as_numbers(times, "list of times"))
    steps = np.diff(looks, prepend=0.0)
    if looks.ndim != 1 or not looks.size or not (steps > 9.99e-4 * looks[-1]).all():
        raise InputError(
            "times must rise from above 0, each by a thousandth or more, such as 0.25, 0.5, 1."
        )
    return looks
