"""Compare two arms: Welch's t-test with absolute and relative lift, and the bootstrap."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import (
    InputError,
    Pair,
    as_arms,
    as_numbers,
    check_seed,
    check_share,
    check_spread,
    is_count,
    is_number,
)
from helpers.comparison import Arm, Comparison, described, tested

AT_ONCE = 4_000_000  # outcomes of many runs tested at once: some 32 MB an array
BATCH = 50_000  # draws held at once by the bootstrap: they fit a processor's cache


def compare_means(control: ArrayLike, treatment: ArrayLike, confidence: float = 0.95) -> Comparison:
    """Welch's t-test of treatment against control (two-sided), with absolute and relative lift.

    control, treatment: one value per customer, any lengths of two or more. confidence: of both
    intervals, 0 to 1.
    Sources: Welch (1947) for test and lift, Fieller (1954) for the relative lift.
    Raises InputError for arms with blanks, text or fewer than two values, or with no variation at
    all, and for a confidence outside 0 to 1.
    """
    arms = [_summary(_checked(control, "control")), _summary(_checked(treatment, "treatment"))]
    return _welch(arms[0], arms[1], confidence)


def compare_means_from_stats(
    mean_c: float,
    sd_c: float,
    n_c: int,
    mean_t: float,
    sd_t: float,
    n_t: int,
    confidence: float = 0.95,
) -> Comparison:
    """`compare_means` from six numbers: mean, sample sd (ddof 1) and size of each arm.

    Welch (1947) with the Welch-Satterthwaite degrees of freedom; relative interval by Fieller
    (1954).
    Raises InputError for sizes below two, negative or missing numbers, two standard deviations of
    zero, and numbers too large or too small to compute with.
    """
    for name, mean, sd, n in (("control", mean_c, sd_c, n_c), ("treatment", mean_t, sd_t, n_t)):
        if not (is_count(n) and n >= 2):
            raise InputError(f"The {name} arm has n = {n}; each arm needs at least two customers.")
        if not (is_number(mean) and is_number(sd) and sd >= 0):
            raise InputError(
                f"The {name} arm has mean {mean} and sd {sd}; give two finite "
                "numbers, the sd 0 or more."
            )
    sums = as_numbers([mean_c, sd_c, mean_t, sd_t], "list of means and sds").tolist()
    return _welch(Arm(int(n_c), *sums[:2]), Arm(int(n_t), *sums[2:]), confidence)


def compare_rates(x_c: int, n_c: int, x_t: int, n_t: int, confidence: float = 0.95) -> Comparison:
    """Two conversion rates compared; lift as a share (0.01 is one percentage point).

    x_c of n_c users converted in control, x_t of n_t in treatment.
    Interval, se and p-value are Agresti and Caffo's (2000): one conversion and one non-conversion
    are added to each arm, then the normal formula is used (df is inf). That holds its level at
    small counts, where the plain formula does not; t is centred on those numbers, lift is the
    plain difference. The relative interval is Fieller's on the same numbers: it never excludes 0
    unless the interval does, and is unbounded when control has few conversions.
    Raises InputError for sizes below two, counts that do not fit them, and a confidence outside 0
    to 1.
    """
    for name, x, n in (("control", x_c, n_c), ("treatment", x_t, n_t)):
        if not (is_count(x) and is_count(n) and n >= 2 and x <= n):
            raise InputError(
                f"The {name} arm has {x} conversions of {n} users; give two counts, 2 "
                "users or more."
            )
    x_c, n_c, x_t, n_t = int(x_c), int(n_c), int(x_t), int(n_t)
    p_c, p_t = (x_c + 1) / (n_c + 2), (x_t + 1) / (n_t + 2)
    variances = p_c * (1 - p_c) / (n_c + 2), p_t * (1 - p_t) / (n_t + 2)
    found = tested((p_c, p_t), variances, math.inf, confidence)
    found["ci_low"] = max(-1.0, found["ci_low"])  # no rate moves by more than everybody
    found["ci_high"] = min(1.0, found["ci_high"])
    if math.isfinite(found["relative_ci_low"]):
        found["relative_ci_low"] = max(-1.0, found["relative_ci_low"])
    return described(_rate(x_c, n_c), _rate(x_t, n_t), found)


def welch_many(outcome: ArrayLike, treated: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Welch's test on every row of `outcome` (runs x customers).

    treated: of the same shape, True where the customer was treated. Returns one row per run: lift,
    se, df, p_value, ci_low, ci_high (unit of the outcome), all nan where an arm has fewer than two.
    Source: Welch (1947).
    Raises InputError as `checked_runs` does, and for a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    return by_rows(
        lambda y, arms: _welch_rows(y, arms, confidence), *checked_runs(outcome, treated)
    )


def by_rows(
    call: Callable[..., pd.DataFrame], outcome: np.ndarray, arms: np.ndarray
) -> pd.DataFrame:
    """call(outcome, arms), a table of a row each, for some rows at a time: memory is bounded."""
    step = max(1, AT_ONCE // max(1, outcome.shape[1]))
    starts = range(0, max(1, len(outcome)), step)
    parts = [call(outcome[i : i + step], arms[i : i + step]) for i in starts]
    return pd.concat(parts, ignore_index=True)


def _welch_rows(outcome: np.ndarray, treated: np.ndarray, confidence: float) -> pd.DataFrame:
    """`welch_many` on checked runs."""
    n_t, mean_t, var_t = _row_summaries(outcome, treated)
    n_c, mean_c, var_c = _row_summaries(outcome, ~treated)
    lift, se = mean_t - mean_c, np.sqrt(var_t + var_c)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (var_t + var_c) ** 2 / (var_t**2 / (n_t - 1) + var_c**2 / (n_c - 1))
        p_value = 2 * stats.t.sf(np.abs(lift) / se, df)
        half = stats.t.ppf((1 + confidence) / 2, df) * se
    found = {"lift": lift, "se": se, "df": df, "p_value": p_value}
    return pd.DataFrame(found | {"ci_low": lift - half, "ci_high": lift + half})


def checked_runs(outcome: ArrayLike, treated: ArrayLike) -> Pair:
    """Outcome as floats and arms as True and False, both runs x customers.

    Raises InputError for outcomes that are not finite numbers, arms that are not two, and other
    shapes.
    """
    outcome, treated = as_numbers(outcome, "outcome"), as_arms(treated)
    if outcome.ndim != 2 or outcome.shape != treated.shape:
        raise InputError(
            f"Outcome and arms have the shapes {outcome.shape} and {treated.shape}; give both as "
            "runs x customers."
        )
    check_spread(np.ptp(outcome), "range of the outcome")
    return outcome, treated


def bootstrap_ci(
    control: ArrayLike,
    treatment: ArrayLike,
    n_resamples: int = 5000,
    confidence: float = 0.95,
    seed: int | np.random.Generator = 42,
    method: str = "percentile",
) -> tuple[float, float]:
    """Bootstrap interval (low, high) for the lift in means, in the unit of the outcome.

    control, treatment: one value per customer. method: "percentile", "basic" or "BCa". Source:
    Efron and Tibshirani (1993), chapters 13 and 14.

    "percentile" is the vectorised form built in notebook 04, in batches of bounded memory; the
    other two are `scipy.stats.bootstrap`; BCa leaves out each value in turn, so its time grows
    with the square of n.
    Raises InputError as `compare_means` does, and for an unknown method or fewer than 100
    resamples.
    """
    control, treatment = _checked(control, "control"), _checked(treatment, "treatment")
    _check_bootstrap(control, treatment, n_resamples, confidence, method)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    if method == "percentile":
        lifts = _resampled_means(treatment, n_resamples, rng)
        lifts -= _resampled_means(control, n_resamples, rng)
        low, high = np.quantile(lifts, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)
    found = stats.bootstrap(
        (treatment, control),
        lambda t, c, axis: t.mean(axis) - c.mean(axis),
        n_resamples=n_resamples,
        confidence_level=confidence,
        method=method,
        rng=rng,
        batch=max(1, 20 * BATCH // max(len(control), len(treatment))),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _checked(values: ArrayLike, name: str) -> np.ndarray:
    """The values of one arm as floats. Raises InputError unless they are one row of two or more."""
    arm = as_numbers(values, f"{name} arm")
    if arm.ndim != 1:
        raise InputError(
            f"The {name} arm has {arm.ndim} dimensions. Pass one row of numbers, one per customer."
        )
    if len(arm) < 2:
        customers = "1 customer" if len(arm) == 1 else f"{len(arm)} customers"
        raise InputError(f"The {name} arm has {customers}; each arm needs at least two.")
    return arm


def _summary(arm: np.ndarray) -> Arm:
    check_spread(np.ptp(arm), "range of an arm")
    varies = np.ptp(arm) > 0  # else the sd of equal values may be a rounding error
    return Arm(len(arm), float(arm.mean()), float(arm.std(ddof=1)) if varies else 0.0)


def _rate(x: int, n: int) -> Arm:
    share = x / n
    return Arm(n, share, math.sqrt(share * (1 - share) * n / (n - 1)))


def _welch(control: Arm, treatment: Arm, confidence: float) -> Comparison:
    spread = max(control.sd, treatment.sd)
    if spread == 0:
        raise InputError("Neither arm varies (both sds are 0): there is no luck to test against.")
    check_spread(spread, "standard deviation")
    var_c, var_t = control.sd**2 / control.n, treatment.sd**2 / treatment.n
    df = (var_c + var_t) ** 2 / (var_c**2 / (control.n - 1) + var_t**2 / (treatment.n - 1))
    means = (control.mean, treatment.mean)
    return described(control, treatment, tested(means, (var_c, var_t), df, confidence))


def _row_summaries(outcome: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
    """Of the chosen values in each row: how many, their mean, and its squared standard error."""
    n = chosen.sum(axis=1).astype(float)
    n[n < 2] = np.nan
    mean = (outcome * chosen).sum(axis=1) / n
    spread = np.square((outcome - mean[:, None]) * chosen).sum(axis=1) / (n - 1)
    return n, mean, spread / n


def _resampled_means(arm: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The mean of each of `n_resamples` resamples, drawn in batches."""
    n = len(arm)
    rows = max(1, BATCH // n)
    weights = np.full(n, 1 / n)  # the product with 1 / n is a fast mean of every row
    means = []
    for start in range(0, n_resamples, rows):
        resamples = rng.choice(arm, size=(min(rows, n_resamples - start), n))
        means.append(resamples @ weights)
    return np.concatenate(means)


def _check_bootstrap(
    control: np.ndarray, treatment: np.ndarray, n_resamples: int, confidence: float, method: str
) -> None:
    check_share("confidence", confidence, 0.95)
    if method not in ("percentile", "basic", "BCa"):
        raise InputError(f"is {method!r}; choose 'percentile', 'basic' or 'BCa'.", "method")
    if not (is_number(n_resamples, whole=True) and n_resamples >= 100):
        raise InputError(
            f"is {n_resamples!r}; give a whole number from 100 up, 5000 is usual.", "n_resamples"
        )
    spread = max(np.ptp(control), np.ptp(treatment))
    check_spread(spread, "range of the arms")
    if spread == 0:
        raise InputError("Neither arm varies, so every resample would be the same.")
