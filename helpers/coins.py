"""The same users, the coins flipped anew: what luck alone makes of the segments of a log."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import check_seed, check_share, words

AT_ONCE = 2_000_000  # coins that are held at once
IN_ALL = 20_000_000  # coins that are flipped: fewer runs for a larger log
RUNS = 1_000
FEWEST = 10  # in an arm, of values that are not the usual one, such as buyers
ANY = "make some interval leave out zero, promised 5.0 %"


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


def new_coins(
    log: pd.DataFrame,
    segment: str,
    outcome: str,
    control_share: float = 0.5,
    seed: int | np.random.Generator = 42,
    runs: int | None = None,
) -> Luck:
    """Tests of experiments in which every user keeps the outcome, and a new coin gives the arm.

    log: one row per user; which arm it says is not looked at. control_share: the chance of a coin
    to say control. runs: None makes 1,000, or fewer for a log beyond 20,000 users, at least 100.
    The tests are those of `heterogeneity.compare_segments` and `heterogeneity.pool_segments`.
    Source: Fisher's randomisation test (1935).
    Raises InputError for a control_share outside 0 to 1, or a seed that is none.
    """
    check_share("control_share", control_share, 0.5)
    check_seed(seed)
    runs = runs or max(100, min(RUNS, IN_ALL // len(log)))
    names, y = log[segment], log[outcome].to_numpy(dtype=float)
    codes, order = pd.factorize(names, sort=True)
    rng = np.random.default_rng(seed)
    rate = bool(np.isin(y, [0, 1]).all())
    flip = _flip_rates if rate else _flip_numbers
    sums = flip(codes, y, control_share, rng, runs)
    cells, all_users = _cells(sums), _cells([arm.sum(-1, keepdims=True) for arm in sums])
    table = pd.DataFrame(p_values(cells, rate), columns=order)
    share, q = pooling_shares(cells), cochran_q(cells, rate)
    lift = (share * lifts(cells)).sum(-1)
    z = np.abs(lift) / np.sqrt((share**2 * errors_at(cells, 0.0, rate) ** 2).sum(-1))
    return Luck(table, pd.DataFrame(p_values(all_users, rate)), 2 * stats.norm.sf(z), q)


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
    n_c, n_t, mean_c, mean_t, var_c, var_t = cells
    with np.errstate(divide="ignore", invalid="ignore"):
        if rate:
            mean_c, mean_t = ((m * n + 1) / (n + 2) for m, n in ((mean_c, n_c), (mean_t, n_t)))
            error_c, error_t = mean_c * (1 - mean_c) / (n_c + 2), mean_t * (1 - mean_t) / (n_t + 2)
            df = np.inf
        else:
            error_c, error_t = var_c / n_c, var_t / n_t
            df = (error_c + error_t) ** 2 / (error_c**2 / (n_c - 1) + error_t**2 / (n_t - 1))
        return 2 * stats.t.sf(np.abs(mean_t - mean_c) / np.sqrt(error_c + error_t), df)


def causes(outcome: pd.Series, n_control: int, n_treatment: int) -> list[str]:
    """What may keep an interval from its promise: heavy tail, unequal arms, few users ..."""
    smaller, rate = min(n_control, n_treatment), bool(outcome.isin([0, 1]).all())
    seen = {
        "few conversions": rate and smaller * min(outcome.mean(), 1 - outcome.mean()) < 10,
        "heavy tail": not rate and stats.kurtosis(outcome) > 10,
        "unequal arms": smaller < 0.4 * len(outcome),
        "few users": smaller < 50,
    }
    return [cause for cause, applies in seen.items() if applies]


def doubts(luck: pd.DataFrame, p_value: pd.Series, level: float) -> list[str]:
    """Why an interval of this level should not be read, or "": one for each column of luck.

    luck: p-values of experiments without effect, runs x segments; p_value: those of the log.
    Either new coins lead it, or any of them together, away from zero clearly more than twice as
    often as promised, or cannot be tested in most runs; or, where it leaves out zero, they make one
    of the readable segments look as clear in more than 5 % of the runs (Westfall and Young 1993).
    All this supposes a treatment that does nothing to anybody; one that changes the shape of the
    outcome, and not its mean, can still mislead small arms.
    """
    found = [_broken_promise(luck[name], level) for name in luck]
    readable = luck.loc[:, [not doubt for doubt in found]]
    together = (readable < level).any(axis=1)
    if _too_often(together, 0.05):
        share = words.percent(together.mean())
        return [doubt or f"without effect {share} of new coins {ANY}" for doubt in found]
    for place, p in enumerate(p_value):
        if found[place] == "" and p < level:
            smallest = readable[luck.iloc[:, place].notna()].min(axis=1)
            share = (1 + (smallest <= p).sum()) / (1 + len(smallest))
            if share > 0.05:
                found[place] = f"new coins show as much in {words.percent(share)} of experiments"
    return found


def few_that_differ(outcome: pd.Series, treated: pd.Series) -> str:
    """Where most users have one value, such as 0, and few in an arm have another: a doubt.

    The spread of such an arm is a guess, mostly too low, and 0 if nobody differs. Rates have their
    own interval, so the doubt is about numbers alone.
    """
    usual = outcome.mode().iloc[0]
    differ = outcome != usual
    fewest = int(min(differ[treated].sum(), differ[~treated].sum()))
    if outcome.isin([0, 1]).all() or differ.mean() >= 0.5 or fewest >= FEWEST:
        return ""
    return f"an arm has {words.count(fewest, 'user')} with another value than {usual:g}"


def _broken_promise(luck: pd.Series, level: float) -> str:
    tested = luck.dropna()
    if len(tested) < len(luck) / 2:
        return "new coins seldom leave enough to test"
    if _too_often(tested < level, level):
        share, promised = words.percent((tested < level).mean()), words.percent(level)
        return f"without effect it leaves out zero in {share} of new coins, promised {promised}"
    return ""


def _too_often(alarms: pd.Series, level: float) -> bool:
    """Whether they come more than twice as often as promised, beyond what counting explains."""
    return bool(stats.binom.sf(alarms.sum() - 1, len(alarms), 2 * level) < 0.01)


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
    codes: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator, runs: int
) -> list[np.ndarray]:
    """Of control and treatment: users, sum of outcomes and of their squares, runs x segments."""
    order, ends = np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))
    y = (y - y.mean())[order]
    values = np.split(np.column_stack([np.ones_like(y), y, y**2]), ends[:-1])
    treated = []
    for first in range(0, runs, max(1, AT_ONCE // len(y))):
        size = (min(runs - first, max(1, AT_ONCE // len(y))), len(y))
        heads = (rng.random(size, dtype=np.float32) >= share).astype(float)
        pairs = zip(np.split(heads, ends[:-1], axis=1), values, strict=True)
        treated.append(np.stack([part @ of for part, of in pairs], axis=1))
    found = np.concatenate(treated)  # runs x segments x users, sum, squares
    whole = np.array([of.sum(axis=0) for of in values])
    return [*np.moveaxis(whole - found, 2, 0), *np.moveaxis(found, 2, 0)]


def _cells(sums: list[np.ndarray]) -> Cells:
    """Sizes, means and variances from users, sums and squares; nan for an arm below two users."""
    found = []
    for n, total, squares in (sums[:3], sums[3:]):
        n = np.where(n >= 2, n, np.nan)
        var = (squares - total**2 / n) / (n - 1)
        found.append((n, total / n, np.where(var > 1e-12 * squares / n, var, var * 0)))
    return Cells(*(value for pair in zip(*found, strict=True) for value in pair))
