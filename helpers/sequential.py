"""Looking early without breaking the promise: bounds for planned looks, spending for others, always-valid intervals.

Everything is in z values of a two-sided test. `times` are shares of the planned information, such as 0.2, 0.4 ... 1.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from helpers import InputError, Pair, as_numbers, check_share, is_number

State = tuple[
    np.ndarray, np.ndarray, float
]  # paths still running: their places (z times root of time), mass, time
START: State = (np.zeros(1), np.ones(1), 0.0)
_nodes = cache(np.polynomial.legendre.leggauss)
RULES = ("bonferroni", "pocock", "obrien-fleming")


def crossing_probabilities(bounds: ArrayLike, times: ArrayLike, drift: float = 0.0) -> np.ndarray:
    """Probability, for each look, that |z| first reaches its bound there.

    bounds: one z value a look; times: the looks, rising; drift: the mean of z at time 1 (0 without an effect).
    Source: the recursion of Armitage, McPherson and Rowe (1969), by Gauss-Legendre quadrature.
    Raises InputError for times that do not rise from above 0, or bounds that do not match them.
    """
    times, bounds = _looks(times), as_numbers(bounds, "list of bounds")
    if bounds.shape != times.shape or not (bounds > 0).all():
        raise InputError(f"{len(times)} looks need as many bounds, each a z value above 0.")
    found = [_crossing(START, times[0], bounds[0], drift)]
    state, finest = START, np.diff(times, prepend=0.0).min()
    for last, time in enumerate(times[1:]):
        state = _go_on(state, times[last], bounds[last], finest, drift)
        found.append(_crossing(state, time, bounds[last + 1], drift))
    return np.array(found)


def bounds(looks: int, rule: str, alpha: float = 0.05) -> np.ndarray:
    """z bounds for equally spaced, planned looks, so that |z| ever reaches one with probability alpha at most.

    rule: "bonferroni" (alpha / looks at each), "pocock" (1977, one constant) or "obrien-fleming" (1979, falling with
    the root of time). Raises InputError for an unknown rule, or looks that are no whole number from 1 to 100.
    """
    check_share("alpha", alpha, 0.05)
    if not (is_number(looks, whole=True) and 1 <= looks <= 100):
        raise InputError(f"is {looks!r}; give a whole number from 1 to 100.", "looks")
    if rule not in RULES:
        raise InputError(f"is {rule!r}; choose one of {', '.join(RULES)}.", "rule")
    times = np.arange(1, looks + 1) / looks
    if rule == "bonferroni":
        return np.full(looks, stats.norm.isf(alpha / looks / 2))
    shape = np.ones(looks) if rule == "pocock" else times**-0.5
    return _solve(lambda c: crossing_probabilities(c * shape, times).sum(), alpha) * shape


def spending_bounds(times: Sequence[float], alpha: float = 0.05) -> np.ndarray:
    """z bounds for looks at any times up to 1, each fixed by the looks so far alone (Lan and DeMets 1983).

    The spending function is the one like O'Brien and Fleming's: by time t, 4 - 4 * Phi(z(alpha / 4) / sqrt(t)).
    Raises InputError for times that do not rise from above 0 to at most 1.
    """
    check_share("alpha", alpha, 0.05)
    times, found = _looks(times), []
    if times[-1] > 1 + 1e-12:
        raise InputError(
            f"A look at time {times[-1]:g} is later than planned; times are shares, up to 1."
        )
    spent = 4 * stats.norm.sf(stats.norm.isf(alpha / 4) / np.sqrt(times))
    state, finest = START, np.diff(times, prepend=0.0).min()
    for time, increment in zip(times, np.diff(spent, prepend=0.0), strict=True):
        found.append(_solve(lambda c, s=state, t=time: _crossing(s, t, c), increment))
        state = _go_on(state, time, found[-1], finest)
    return np.array(found)


def always_valid_interval(
    lift: ArrayLike, se: ArrayLike, tau: float, confidence: float = 0.95
) -> Pair:
    """Interval that may be read after every customer: it holds the true lift at all times at once.

    lift, se: at any moments, arrays of one shape; tau: standard deviation of the lifts that are betted on, in the unit
    of the outcome, chosen beforehand. The interval is tightest, 3.03 standard errors to each side, when se is about
    tau / 2.9, so tau is best the size of lift that one hopes to tell from zero.
    Sources: the mixture of Robbins (1970), as the mixture sequential probability ratio test of Johari and others
    (2022); with an estimated se it holds asymptotically (Waudby-Smith and others 2024).
    Raises InputError for a tau not above 0.
    """
    check_share("confidence", confidence, 0.95)
    if not (is_number(tau) and tau > 0):
        raise InputError(
            f"is {tau!r}; give a size of lift above 0, such as the smallest one worth having.",
            "tau",
        )
    lift, var = np.asarray(lift, dtype=float), np.square(np.asarray(se, dtype=float))
    half = np.sqrt(
        var * (var + tau**2) / tau**2 * (np.log1p(tau**2 / var) - 2 * np.log(1 - confidence))
    )
    return lift - half, lift + half


def _crossing(state: State, time: float, bound: float, drift: float = 0.0) -> float:
    """Probability that a path still running is beyond the bound at the next look."""
    points, mass, before = state
    step, edge, ahead = (time - before) ** 0.5, bound * time**0.5, points + drift * (time - before)
    return float(
        mass @ (special.ndtr((ahead - edge) / step) + special.ndtr((-edge - ahead) / step))
    )


def _go_on(state: State, time: float, bound: float, finest: float, drift: float = 0.0) -> State:
    """The paths that are still running after the next look; finest: the smallest time between two looks."""
    points, mass, before = state
    step, ahead = (time - before) ** 0.5, points + drift * (time - before)
    reach = min(bound, abs(drift) * time**0.5 + 9) * time**0.5
    nodes, weights = _nodes(32 + 4 * int(reach / finest**0.5))
    arrived = np.exp(-0.5 * ((reach * nodes[:, None] - ahead) / step) ** 2) / (
        step * np.sqrt(2 * np.pi)
    )
    return reach * nodes, reach * weights * (arrived @ mass), time


def _solve(falling: Callable[[float], float], target: float) -> float:
    """The z value at which the falling function reaches the target; 30, beyond all z, where the target is 0."""
    return (
        30.0
        if target < 1e-15
        else float(optimize.brentq(lambda c: falling(c) - target, 1e-6, 30.0, xtol=1e-10))
    )


def _looks(times: ArrayLike) -> np.ndarray:
    times = np.atleast_1d(as_numbers(times, "list of times"))
    if (
        times.ndim != 1
        or not times.size
        or not (np.diff(times, prepend=0.0) > 9.99e-4 * times[-1]).all()
    ):
        raise InputError(
            "times must rise from above 0, each by a thousandth or more, such as 0.25, 0.5, 1."
        )
    return times
