"""Compare two arms: Welch's t-test with absolute and relative lift, and the bootstrap."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import InputError, Pair, as_numbers, check_seed, check_share, is_number

BATCH = 50_000  # draws held at once by the bootstrap: they fit a processor's cache, which halves the time


@dataclass(frozen=True)
class Comparison:
    """Two arms compared; means, sds, lift and its interval are in the unit of the outcome.

    lift is mean_treatment - mean_control and se its standard error. relative_lift is lift / mean_control (0.05 is
    5 %); it is nan when the control mean is 0, and its interval is -inf, inf where Fieller's is unbounded.
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


def compare_means(control: ArrayLike, treatment: ArrayLike, confidence: float = 0.95) -> Comparison:
    """Welch's t-test of treatment against control (two-sided), with intervals for absolute and relative lift.

    control, treatment: one value per customer, any lengths of two or more. confidence: of both intervals, 0 to 1.
    Sources: Welch (1947) for test and lift, Fieller (1954) for the relative lift.
    Raises InputError for arms with blanks, text or fewer than two values, or with no variation at all, and for a
    confidence outside 0 to 1.
    """
    arms = _arm(control, "control"), _arm(treatment, "treatment")
    six = [
        x for arm in arms for x in (arm.mean(), arm.std(ddof=1) if np.ptp(arm) else 0.0, len(arm))
    ]
    return compare_means_from_stats(*six, confidence)


def compare_means_from_stats(
    mean_c: float,
    sd_c: float,
    n_c: int,
    mean_t: float,
    sd_t: float,
    n_t: int,
    confidence: float = 0.95,
) -> Comparison:
    """`compare_means` from six numbers: mean, sample standard deviation (ddof 1) and size of each arm.

    Welch (1947) with the Welch-Satterthwaite degrees of freedom; relative interval by Fieller (1954).
    Raises InputError for sizes below two, negative or missing numbers, or two standard deviations of zero.
    """
    check_share("confidence", confidence, 0.95)
    for arm, mean, sd, n in (("control", mean_c, sd_c, n_c), ("treatment", mean_t, sd_t, n_t)):
        if not (is_number(n, whole=True) and n >= 2):
            raise InputError(
                f"The {arm} arm has n = {n}; a t-test needs at least two customers in each arm."
            )
        if not (is_number(mean) and is_number(sd) and sd >= 0):
            raise InputError(
                f"The {arm} arm has mean {mean} and sd {sd}; give two finite numbers, the sd 0 or more."
            )
    if max(sd_c, sd_t) < 1e-150:
        raise InputError(
            "Neither arm varies (both standard deviations are 0), so there is no luck to test against."
        )
    var_c, var_t = sd_c**2 / n_c, sd_t**2 / n_t
    df = (var_c + var_t) ** 2 / (var_c**2 / (n_c - 1) + var_t**2 / (n_t - 1))
    return comparison((n_c, n_t), (mean_c, mean_t), (sd_c, sd_t), (var_c, var_t), df, confidence)


def compare_rates(x_c: int, n_c: int, x_t: int, n_t: int, confidence: float = 0.95) -> Comparison:
    """Two conversion rates compared: x_c of n_c users in control, x_t of n_t in treatment; lift as a share (0.01).

    Interval, se and p-value are Agresti and Caffo's (2000): one conversion and one non-conversion are added to each
    arm, then the normal formula is used (df is inf). That holds its level at small counts, where the plain formula
    does not; t is centred on those numbers, lift is the plain difference. The relative interval is Fieller's on the
    same numbers: it never excludes 0 unless the interval does, and is unbounded when control has few conversions.
    Raises InputError for sizes below two, counts that do not fit them, and a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    for arm, x, n in (("control", x_c, n_c), ("treatment", x_t, n_t)):
        if not (is_number(x, whole=True) and is_number(n, whole=True) and n >= 2 and 0 <= x <= n):
            raise InputError(
                f"The {arm} arm has {x} conversions of {n} users; give two counts, 2 users or more."
            )
    sizes, rates, shifted = (
        (n_c, n_t),
        (x_c / n_c, x_t / n_t),
        ((x_c + 1) / (n_c + 2), (x_t + 1) / (n_t + 2)),
    )
    sds = [math.sqrt(p * (1 - p) * n / (n - 1)) for p, n in zip(rates, sizes, strict=True)]
    variances = [p * (1 - p) / (n + 2) for p, n in zip(shifted, sizes, strict=True)]
    r = comparison(sizes, shifted, sds, variances, math.inf, confidence)
    return replace(
        r,
        mean_control=rates[0],
        mean_treatment=rates[1],
        lift=rates[1] - rates[0],
        ci_low=max(-1.0, r.ci_low),
        ci_high=min(1.0, r.ci_high),
        relative_lift=rates[1] / rates[0] - 1 if rates[0] else math.nan,
        relative_ci_low=r.relative_ci_low
        if math.isinf(r.relative_ci_low)
        else max(-1.0, r.relative_ci_low),
    )


def comparison(
    sizes: Sequence[int],
    means: Sequence[float],
    sds: Sequence[float],
    variances: Sequence[float],
    df: float,
    confidence: float,
    cov: float = 0.0,
) -> Comparison:
    """The Comparison that follows from two means, control first, their squared standard errors and covariance."""
    (mean_c, mean_t), (var_c, var_t) = map(float, means), map(float, variances)
    lift, se, crit = (
        mean_t - mean_c,
        math.sqrt(var_c + var_t - 2 * cov),
        float(stats.t.ppf((1 + confidence) / 2, df)),
    )
    low, high = fieller_interval(mean_c, var_c, mean_t, var_t, crit, cov)
    return Comparison(
        n_control=sizes[0],
        n_treatment=sizes[1],
        mean_control=mean_c,
        mean_treatment=mean_t,
        sd_control=float(sds[0]),
        sd_treatment=float(sds[1]),
        lift=lift,
        ci_low=lift - crit * se,
        ci_high=lift + crit * se,
        t=lift / se,
        df=float(df),
        p_value=float(2 * stats.t.sf(abs(lift) / se, df)),
        se=se,
        relative_lift=lift / mean_c if mean_c else math.nan,
        relative_ci_low=float(low),
        relative_ci_high=float(high),
    )


def fieller_interval(
    mean_c: ArrayLike,
    var_c: ArrayLike,
    mean_t: ArrayLike,
    var_t: ArrayLike,
    crit: ArrayLike,
    cov: ArrayLike = 0.0,
) -> Pair:
    """Interval for mean_t / mean_c - 1, the relative lift (Fieller 1954); numbers or arrays of one shape.

    var_c, var_t: squared standard errors of the two means, cov: their covariance (0 for separate arms); crit: the t
    quantile, such as 1.96. Where the control mean is not clearly different from zero: unbounded, -inf, inf.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio, k = np.divide(mean_t, mean_c), np.square(np.divide(crit, mean_c))
        g, middle = k * var_c, ratio - k * cov
        half = np.sqrt(
            k * (var_t - 2 * ratio * cov + ratio**2 * var_c - k * (var_t * var_c - np.square(cov)))
        )
        low, high = (middle - half) / (1 - g) - 1, (middle + half) / (1 - g) - 1
    bounded = np.isfinite(ratio) & (g < 1)
    return np.where(bounded, low, -np.inf), np.where(bounded, high, np.inf)


def welch_many(outcome: np.ndarray, treated: np.ndarray, confidence: float = 0.95) -> pd.DataFrame:
    """Welch's test on every row of `outcome` (runs x customers); `treated` is True where the customer was treated.

    Returns one row per run: lift, se, df, p_value, ci_low, ci_high (unit of the outcome), all nan where an arm has
    fewer than two. Source: Welch (1947). Raises InputError for a confidence outside 0 to 1.
    """
    check_share("confidence", confidence, 0.95)
    arms = []
    for chosen in (treated, ~treated):
        n = chosen.sum(axis=1).astype(float)
        n[n < 2] = np.nan
        mean = (outcome * chosen).sum(axis=1) / n
        spread = np.square((outcome - mean[:, None]) * chosen).sum(axis=1) / (n - 1)
        arms.append((n, mean, spread / n))
    (n_t, mean_t, var_t), (n_c, mean_c, var_c) = arms
    lift, se = mean_t - mean_c, np.sqrt(var_t + var_c)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = (var_t + var_c) ** 2 / (var_t**2 / (n_t - 1) + var_c**2 / (n_c - 1))
        p_value = 2 * stats.t.sf(np.abs(lift) / se, df)
        half = stats.t.ppf((1 + confidence) / 2, df) * se
    columns = {
        "lift": lift,
        "se": se,
        "df": df,
        "p_value": p_value,
        "ci_low": lift - half,
        "ci_high": lift + half,
    }
    return pd.DataFrame(columns)


def bootstrap_ci(
    control: ArrayLike,
    treatment: ArrayLike,
    n_resamples: int = 5000,
    confidence: float = 0.95,
    seed: int | np.random.Generator = 42,
    method: str = "percentile",
) -> tuple[float, float]:
    """Bootstrap interval (low, high) for the lift in means, in the unit of the outcome: percentile, basic or BCa.

    control, treatment: one value per customer. Source: Efron and Tibshirani (1993), chapters 13 and 14.

    "percentile" is the vectorised form built in notebook 04, in batches of bounded memory; the other two are
    `scipy.stats.bootstrap`; BCa leaves out each value in turn, so its time grows with the square of n.
    Raises InputError as `compare_means` does, and for an unknown method or fewer than 100 resamples.
    """
    check_share("confidence", confidence, 0.95)
    control, treatment = _arm(control, "control"), _arm(treatment, "treatment")
    if method not in ("percentile", "basic", "BCa"):
        raise InputError(f"is {method!r}; choose 'percentile', 'basic' or 'BCa'.", "method")
    if not (is_number(n_resamples, whole=True) and n_resamples >= 100):
        raise InputError(
            f"is {n_resamples!r}; give a whole number from 100 up, 5000 is usual.", "n_resamples"
        )
    if np.ptp(control) == np.ptp(treatment) == 0:
        raise InputError("Neither arm varies, so every resample would be the same.")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    if method == "percentile":
        lifts = _resampled_means(treatment, n_resamples, rng) - _resampled_means(
            control, n_resamples, rng
        )
        return tuple(np.quantile(lifts, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist())
    options = {
        "n_resamples": n_resamples,
        "confidence_level": confidence,
        "method": method,
        "rng": rng,
    }
    options["batch"] = max(1, 20 * BATCH // max(len(control), len(treatment)))
    ends = stats.bootstrap(
        (treatment, control), lambda t, c, axis: t.mean(axis) - c.mean(axis), **options
    )
    return float(ends.confidence_interval.low), float(ends.confidence_interval.high)


def _resampled_means(arm: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """The mean of each of `n_resamples` resamples, drawn in batches; the product with 1/n is a fast row mean."""
    n, rows = len(arm), max(1, BATCH // len(arm))
    sizes = [min(rows, n_resamples - start) for start in range(0, n_resamples, rows)]
    return np.concatenate([rng.choice(arm, size=(size, n)) @ np.full(n, 1 / n) for size in sizes])


def _arm(values: ArrayLike, name: str) -> np.ndarray:
    arm = as_numbers(values, f"{name} arm")
    if arm.ndim != 1:
        raise InputError(
            f"The {name} arm has {arm.ndim} dimensions. Pass one row of numbers, one per customer."
        )
    if len(arm) < 2:
        raise InputError(
            f"The {name} arm has {len(arm)} customer{'s'[: len(arm) != 1]}; each arm needs at least two."
        )
    return arm
