"""The same users, the coins flipped anew: what luck alone makes of the segments of a log."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import Pair, check_seed, check_share
from helpers.adjustment import adjust_many, known_columns
from helpers.assignment import draw

AT_ONCE = 2_000_000  # coins that are held at once
IN_ALL = 20_000_000  # coins that are flipped: fewer runs for a larger log
ADJUSTED = 5_000_000  # the same, where each run is a regression
MOST = 200_000  # users whose coins are flipped; of a larger log a random sample
RUNS = 1_000


class Cells(NamedTuple):
    """The arms of segments: arrays of one shape, whose last axis goes over the segments."""

    n_control: np.ndarray
    n_treatment: np.ndarray
    mean_control: np.ndarray
    mean_treatment: np.ndarray
    var_control: np.ndarray  # ddof 1
    var_treatment: np.ndarray


class Luck(NamedTuple):
    """What experiments without any effect show, one row or number a run; nan: cannot be tested."""

    p_value: pd.DataFrame  # of each segment, runs x segments
    everyone: pd.DataFrame  # of all users together, one column
    pooled: np.ndarray  # p-value of the pooled lift
    q: np.ndarray  # Cochran's Q of the segments
    worse: pd.DataFrame  # as p_value: whether the treatment looks worse
    everyone_worse: pd.DataFrame


def new_coins(
    log: pd.DataFrame,
    segment: str,
    outcome: str,
    control_share: float = 0.5,
    seed: int | np.random.Generator = 42,
    runs: int | None = None,
    bottom: str = "",
    before: str = "",
    stratum: str = "",
) -> Luck:
    """Tests of experiments in which every user keeps the outcome, and a new coin gives the arm.

    log: one row per user; which arm it says is not looked at. control_share: the chance of a coin
    to say control. runs: None makes 1,000, or fewer for a log beyond 20,000 users, at least 100; of
    more than `MOST` users a random sample takes part (and for the segments, up to an equal share of
    so many in each).
    The tests are those of `heterogeneity.compare_segments` and `heterogeneity.pool_segments`; with
    bottom, a column to divide by, those of `metrics.compare_ratios`, and with before, a column
    known before treatment, those of `adjustment.compare_adjusted` (pooled and q are then empty).
    stratum, with before: a column inside whose values arms keep their sizes, up to rounding; it is
    adjusted by as well.
    Source: Fisher's randomisation test (1935).
    Raises InputError for a control_share outside 0 to 1, or a seed that is none.
    """
    check_share("control_share", control_share, 0.5)
    check_seed(seed)
    rng = np.random.default_rng([seed, 1] if stratum and isinstance(seed, int) else seed)
    usual, most = runs_for(len(log), bool(before))
    runs = runs or usual
    codes, order = pd.factorize(log[segment], sort=True)
    values = log[[outcome, *filter(None, (bottom, before))]].to_numpy(dtype=float)
    if stratum:
        values = np.column_stack([values, pd.factorize(log[stratum], sort=True)[0]])
    kind = _kind(values, bottom, before)
    flip = partial(_flipped, kind=kind, share=control_share, rng=rng, runs=runs)
    if len(log) > most:
        signed, everyone, cells = _of_samples(codes, values, most, rng, flip)
    else:
        signed, everyone, cells = flip(codes, values)
    pooled, q = (np.array([]), np.array([])) if cells is None else _pooled(cells, kind == "rate")
    p, everyone = pd.DataFrame(signed, columns=order), pd.DataFrame(everyone)
    return Luck(p.abs(), everyone.abs(), pooled, q, p < 0, everyone < 0)


def _kind(values: np.ndarray, bottom: str, before: str) -> str:
    """Which test these values ask for, in the words of `goals.kind_of`."""
    if before:
        return "adjusted"
    if bottom:
        return "ratio"
    return "rate" if np.isin(values, [0, 1]).all() else "mean"


def runs_for(users: int, adjusted: bool) -> tuple[int, int]:
    """How many experiments `new_coins` makes of so many users, and how many may take part."""
    most, in_all = (MOST // 4, ADJUSTED) if adjusted else (MOST, IN_ALL)
    return max(100, min(RUNS, in_all // min(users, most))), most


def _pooled(cells: Cells, rate: bool) -> Pair:
    """p-value of the pooled lift, and Cochran's Q, of each run."""
    shares, q = pooling_shares(cells), cochran_q(cells, rate)
    lift = (shares * lifts(cells)).sum(-1)
    z = np.abs(lift) / np.sqrt((shares**2 * errors_at(cells, 0.0, rate) ** 2).sum(-1))
    return 2 * stats.norm.sf(z), q


def _of_samples(
    codes: np.ndarray, values: np.ndarray, most: int, rng: np.random.Generator, flip: Callable
) -> tuple[np.ndarray, np.ndarray, Cells | None]:
    """What `_flipped` gives for some users of each segment, and for some of all."""
    chosen = values[rng.choice(len(values), most, replace=False)]
    signed, _, cells = flip(*_some_of_each(codes, values, most, rng))
    return signed, flip(np.zeros(most, dtype=int), chosen)[1], cells


def _some_of_each(
    codes: np.ndarray, values: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Of each segment at most its equal share of so many users, chosen at random."""
    mixed = rng.permutation(len(codes))
    place = pd.Series(codes[mixed]).groupby(codes[mixed]).cumcount().to_numpy()
    kept = mixed[place < most // (codes.max() + 1)]
    return codes[kept], values[kept]


def _flipped(
    codes: np.ndarray,
    values: np.ndarray,
    kind: str,
    share: float,
    rng: np.random.Generator,
    runs: int,
) -> tuple[np.ndarray, np.ndarray, Cells | None]:
    """p-values, runs x segments, and runs x 1 for all; and the arms, where they can be pooled.

    A p-value is below zero where the treatment looks worse.
    """
    if kind == "adjusted":
        return *_flip_adjusted(codes, values, share, rng, runs), None
    if kind == "rate":
        sums = _flip_rates(codes, values[:, 0], share, rng, runs)
    elif kind == "mean":
        sums = _flip_numbers(codes, values[:, 0], share, rng, runs)
    else:
        sums = _flip_numbers(codes, values[:, 0], share, rng, runs, values[:, 1])
    both = [sums, [arm.sum(-1, keepdims=True) for arm in sums]]
    if kind == "ratio":
        return _p_of_ratios(both[0]), _p_of_ratios(both[1]), None
    cells, all_users = (_cells(found) for found in both)
    return _signed(cells, kind == "rate"), _signed(all_users, kind == "rate"), cells


def lifts(cells: Cells) -> np.ndarray:
    """The plain lift of each segment: mean in treatment minus mean in control."""
    return cells.mean_treatment - cells.mean_control


def pooling_shares(cells: Cells) -> np.ndarray:
    """Weights that add up to 1 and know nothing of the outcomes: n_c n_t / (n_c + n_t).

    Source: Mantel and Haenszel (1959).
    """
    weight = 1 / (1 / cells.n_control + 1 / cells.n_treatment)
    return weight / weight.sum(-1, keepdims=True)


def errors_at(cells: Cells, lift: ArrayLike, rate: bool) -> np.ndarray:
    """Standard errors of the plain lifts, if the true lift of each segment were `lift`.

    Of numbers, Welch's. Of rates, those of two rates that differ by just so much and keep the mean
    of the segment, which two users with the mean of all segments join; so the error does not follow
    the luck of the lift, which pooling would add up. Source: the restricted variances of Miettinen
    and Nurminen (1985), simplified.
    """
    n_c, n_t = cells.n_control, cells.n_treatment
    if not rate:
        return np.sqrt(cells.var_control / n_c + cells.var_treatment / n_t)
    n, converted = n_c + n_t, cells.mean_control * n_c + cells.mean_treatment * n_t
    everywhere = (converted.sum(-1, keepdims=True) + 1) / (n.sum(-1, keepdims=True) + 2)
    middle = (converted + 2 * everywhere) / (n + 2)
    control = np.clip(middle - lift * n_t / n, 0, 1)
    treatment = np.clip(middle + lift * n_c / n, 0, 1)
    variance = control * (1 - control) / n_c + treatment * (1 - treatment) / n_t
    return np.sqrt(variance * n / (n - 1))


def cochran_q(cells: Cells, rate: bool) -> np.ndarray:
    """Cochran's Q (1954) of the plain lifts, with their errors at the pooled lift."""
    lift = lifts(cells)
    pooled = (pooling_shares(cells) * lift).sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = errors_at(cells, pooled, rate) ** -2.0
        middle = (weight * lift).sum(-1, keepdims=True) / weight.sum(-1, keepdims=True)
        return (weight * (lift - middle) ** 2).sum(-1)


def p_values(cells: Cells, rate: bool) -> np.ndarray:
    """p-value of each segment, as `inference.compare_rates` or `inference.compare_means` has it."""
    return np.abs(_signed(cells, rate))


def _signed(cells: Cells, rate: bool) -> np.ndarray:
    """The p-values, below zero where the treatment looks worse."""
    n_c, n_t, mean_c, mean_t, var_c, var_t = cells
    with np.errstate(divide="ignore", invalid="ignore"):
        if rate:
            mean_c, mean_t = ((m * n + 1) / (n + 2) for m, n in ((mean_c, n_c), (mean_t, n_t)))
            error_c, error_t = mean_c * (1 - mean_c) / (n_c + 2), mean_t * (1 - mean_t) / (n_t + 2)
            df = np.inf
        else:
            error_c, error_t = var_c / n_c, var_t / n_t
            df = (error_c + error_t) ** 2 / (error_c**2 / (n_c - 1) + error_t**2 / (n_t - 1))
        t = (mean_t - mean_c) / np.sqrt(error_c + error_t)
        return np.copysign(2 * stats.t.sf(np.abs(t), df), t)


def _flip_rates(
    codes: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator, runs: int
) -> list[np.ndarray]:
    """Of control and treatment: users, conversions, and again, runs x segments.

    How many conversions fall to the treated is drawn at once: a hypergeometric number.
    """
    users, converted = np.bincount(codes), np.bincount(codes, y).astype(int)
    treated = rng.binomial(users, 1 - share, size=(runs, len(users)))
    with_us = rng.hypergeometric(converted, users - converted, treated)
    rest = converted - with_us
    return [users - treated, rest, rest, treated, with_us, with_us]


def _flip_numbers(
    codes: np.ndarray,
    y: np.ndarray,
    share: float,
    rng: np.random.Generator,
    runs: int,
    bottom: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Of control and treatment: users, sum of outcomes and of their squares, runs x segments.

    With bottom, to divide by: users, sums of y and of bottom, of y^2, of y bottom, of bottom^2.
    """
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))
    if bottom is None:
        y = y - y.mean()
        columns = [np.ones_like(y), y, y**2]
    else:
        columns = [np.ones_like(y), y, bottom, y**2, y * bottom, bottom**2]
    values = np.split(np.column_stack(columns)[order], ends[:-1])
    treated = []
    for first in range(0, runs, max(1, AT_ONCE // len(y))):
        size = (min(runs - first, max(1, AT_ONCE // len(y))), len(y))
        heads = (rng.random(size, dtype=np.float32) >= share).astype(float)
        pairs = zip(np.split(heads, ends[:-1], axis=1), values, strict=True)
        treated.append(np.stack([part @ of for part, of in pairs], axis=1))
    found = np.concatenate(treated)  # runs x segments x columns
    whole = np.array([of.sum(axis=0) for of in values])
    return [*np.moveaxis(whole - found, 2, 0), *np.moveaxis(found, 2, 0)]


def _p_of_ratios(sums: list[np.ndarray]) -> np.ndarray:
    """Signed p-values as `metrics.compare_ratios` has them, from the sums of `_flip_numbers`."""
    ratios, variances = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for n, y, x, yy, xy, xx in (sums[:6], sums[6:]):
            ratio = y / x
            pulls = (yy - 2 * ratio * xy + ratio**2 * xx) / (n - 1) / (x / n) ** 2
            ratios.append(ratio)
            variances.append(np.where((n >= 2) & (pulls > 0), pulls, np.nan) / n)
        z = (ratios[1] - ratios[0]) / np.sqrt(sum(variances))
        return np.copysign(2 * stats.norm.sf(np.abs(z)), z)


def _flip_adjusted(
    codes: np.ndarray, values: np.ndarray, share: float, rng: np.random.Generator, runs: int
) -> Pair:
    """Signed p-values of regressions on new coins and what was known before.

    values: y, that, and the code of the stratum, if there are any.
    """
    if values.shape[1] > 2:
        strata = pd.factorize(values[:, 2], sort=True)[0]
        heads = np.stack([draw(strata, share, rng) for _ in range(runs)]).astype(bool)
    else:
        heads = rng.random((runs, len(codes)), dtype=np.float32) >= share

    def of(chosen: np.ndarray) -> np.ndarray:
        y = np.broadcast_to(values[chosen, 0], (runs, int(chosen.sum())))
        known = known_columns(*map(pd.Series, values[chosen, 1:].T))
        found = adjust_many(y, heads[:, chosen], known if known.size else values[chosen, 1])
        return np.copysign(found["p_value"], found["lift"]).to_numpy()

    p = [of(codes == code) for code in range(codes.max() + 1)]
    return np.column_stack(p), of(np.ones(len(codes), dtype=bool))[:, None]


def _cells(sums: list[np.ndarray]) -> Cells:
    """Sizes, means and variances from users, sums and squares; nan for an arm below two users."""
    found = []
    for n, total, squares in (sums[:3], sums[3:]):
        n = np.where(n >= 2, n, np.nan)
        var = (squares - total**2 / n) / (n - 1)
        found.append((n, total / n, np.where(var > 1e-12 * squares / n, var, var * 0)))
    return Cells(*(value for pair in zip(*found, strict=True) for value in pair))
