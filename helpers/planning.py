"""What an experiment on these customers could see, before the first of them is treated."""

import math
from typing import NamedTuple

import pandas as pd
from scipy import optimize

from helpers import InputError, check_share, goals, is_number, power, words
from helpers.data import EVERYONE

ALONE, TOGETHER, NO = "alone", "together", "no"


class Spread(NamedTuple):
    """The customers of one row of a plan, summed up; mean and sd in the unit of the baseline."""

    customers: int
    mean: float
    sd: float  # ddof 1
    rate: bool
    control_share: float
    left: float = 1.0  # the share of the variance that adjusting leaves


def plan(
    customers: pd.DataFrame,
    baseline: str,
    worth: float,
    segment: str = "",
    rate: bool = False,
    control_share: float = 0.5,
    correlation: float | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What can be seen in all customers, and in each segment, if each joins one of two arms.

    customers: one row each; baseline: the column, known before, that stands for the outcome by its
    mean and spread. worth: the smallest lift worth having, in its unit. rate: the outcome will be
    0 or 1, and the baseline is its rate so far, from 0 to 1. One row for all users, then one per
    segment, which the index names: customers, mean, sd (ddof 1), smallest_detectable (the lift that
    is found with 80 % power), users_needed (for worth, in both arms, not rounded), testable:
    "alone"; "together", where only all users can see worth; "no". All users are tested at level
    1 - confidence, S segments at 1 / S of that (Bonferroni). With a correlation of baseline and
    outcome there are two more columns, for a lift that is adjusted by the baseline, which leaves
    1 - correlation^2 of the variance. nan: nothing varies; inf: no lift can be seen.
    Sources: power as in `power.power`, with the variance sd^2 / share of each arm, for rates that
    of the rate in this arm; adjusting as in Deng and others (2013).
    Raises InputError for numbers that cannot be used, and a baseline that does not vary.
    """
    check_share("control_share", control_share, 0.5)
    goals.check_confidence(confidence)
    check_correlation(correlation)
    values = customers[baseline].astype(float)
    check_worth(worth, values, rate)
    check_reach(correlation, values, rate)
    parts = {EVERYONE: values}
    if segment:
        parts |= dict(iter(values.groupby(customers[segment], observed=True)))
    total, count = 1 - confidence, max(1, len(parts) - 1)
    rows = {}
    for name, part in parts.items():
        level = total if name == EVERYONE else total / count
        rows[name] = _row(spread_of(part, rate, control_share), worth, level, correlation)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("segment")
    table.insert(5, "testable", testable(table["smallest_detectable"], worth))
    return table


def testable(smallest_detectable: pd.Series, worth: float) -> list[str]:
    """Whether each row can see a lift of worth: alone, together, or not; the first is all users."""
    seen = (smallest_detectable <= worth).to_numpy()
    otherwise = TOGETHER if seen[0] else NO
    return [otherwise, *(ALONE if one else otherwise for one in seen[1:])]


def spread_of(values: pd.Series, rate: bool, control_share: float) -> Spread:
    """The mean and spread of the baseline of some customers."""
    n, mean, sd = len(values), float(values.mean()), float(values.std(ddof=1))
    if rate and n > 1:  # of an outcome of 0 and 1, whatever the baseline is
        sd = math.sqrt(mean * (1 - mean) * n / (n - 1))
    return Spread(n, mean, sd, rate, control_share)


def adjusted(spread: Spread, correlation: float | None) -> Spread:
    """What a baseline of this correlation with the outcome leaves; None: it is not adjusted by."""
    return spread._replace(left=1 - (correlation or 0.0) ** 2)


def users_needed(spread: Spread, lift: float, level: float) -> float:
    """Users in both arms for 80 % power, not rounded; nan where nothing varies.

    inf: no rate rises by so much from here.
    """
    if spread.rate and spread.mean + lift > 1:
        return math.inf
    sd = _equal_arms_sd(spread, lift)
    return 2 * power.sample_size(lift, sd, alpha=level) if sd > 0 else math.nan


def smallest_detectable(spread: Spread, level: float) -> float:
    """The smallest lift that is found with 80 % power; nan where nothing varies, inf if none is."""
    if not _equal_arms_sd(spread, 0.0) > 0:
        return math.nan
    if spread.customers < 4:
        return math.inf
    if not spread.rate:
        return power.minimum_detectable_effect(
            spread.customers / 2, _equal_arms_sd(spread, 0.0), alpha=level
        )
    most = 1 - spread.mean
    if most <= 0 or users_needed(spread, most, level) > spread.customers:
        return math.inf
    return float(
        optimize.brentq(
            lambda lift: users_needed(spread, lift, level) - spread.customers, 1e-9, most
        )
    )


def standard_error(spread: Spread, lift: float) -> float:
    """Of the lift, if the true one is such."""
    return 2 * _equal_arms_sd(spread, lift) / math.sqrt(spread.customers)


def chance(spread: Spread, lift: float, level: float) -> float:
    """The power to find this lift with all customers; nan where nothing varies, or who are few."""
    sd = _equal_arms_sd(spread, lift)
    if spread.customers < 4 or not sd > 0:
        return math.nan
    return power.power(spread.customers / 2, lift, sd, alpha=level)


def _equal_arms_sd(spread: Spread, lift: float) -> float:
    """The spread that two arms of equal size would need, for the lift to vary as it does here."""
    share, variances = spread.control_share, [spread.sd**2] * 2
    if spread.rate:
        smoothed = 1 / (spread.customers + 2)  # a rate of 0 is none that cannot move
        rates = [min(max(p, smoothed), 1 - smoothed) for p in (spread.mean, spread.mean + lift)]
        variances = [p * (1 - p) for p in rates]
    return math.sqrt(spread.left * (variances[0] / share + variances[1] / (1 - share))) / 2


def _row(spread: Spread, worth: float, level: float, correlation: float | None) -> dict[str, float]:
    """One row of a plan, but for what can be tested."""
    found = {"customers": spread.customers, "mean": spread.mean, "sd": spread.sd}
    found["smallest_detectable"] = smallest_detectable(spread, level)
    found["users_needed"] = users_needed(spread, worth, level)
    if correlation is not None:
        spread = adjusted(spread, correlation)
        found["smallest_detectable_adjusted"] = smallest_detectable(spread, level)
        found["users_needed_adjusted"] = users_needed(spread, worth, level)
    return found


def check_correlation(correlation: float | None) -> None:
    """Raise InputError unless it is None, or lies above -1 and below 1."""
    if correlation is not None and not (is_number(correlation) and abs(correlation) <= 0.999):
        raise InputError(
            f"is {correlation}; give a number from -0.999 to 0.999, such as 0.5.", "correlation"
        )


def check_reach(correlation: float | None, values: pd.Series, rate: bool) -> None:
    """Raise InputError for a correlation that shares cannot have with an outcome of 0 and 1."""
    p = float(values.mean())
    most = float(values.std(ddof=0)) / math.sqrt(p * (1 - p)) if rate and 0 < p < 1 else 1.0
    if correlation is not None and abs(correlation) > most + 1e-9:
        raise InputError(
            f"is {correlation:g}, but shares that differ as little as {values.name} does are "
            f"correlated with an outcome of 0 and 1 by {math.floor(1000 * most) / 1000:g} at most.",
            "correlation",
        )


def check_worth(worth: float, values: pd.Series, rate: bool) -> None:
    """Raise InputError for a worth that cannot be, and for a baseline that does not vary or fit."""
    words.check_worth(worth)
    low, high, mean = float(values.min()), float(values.max()), float(values.mean())
    what = f"baseline {values.name}"
    if rate and (low < 0 or high > 1):
        raise InputError(
            f"means that the outcome is 0 or 1, but {what} goes from {low:g} to {high:g}: leave "
            "--rate out, or name a column of 0 and 1.",
            "rate",
        )
    if low == high and not (rate and 0 < low < 1):
        raise InputError(
            f"is {values.name}, which is {low:g} for everybody: it says nothing of how customers "
            "differ. Name another column.",
            "baseline",
        )
    if rate and mean + worth > 1:
        raise InputError(
            f"is {worth:g}, but no rate rises by that from {mean:.4g}: 0.01 is one percentage "
            "point.",
            "worth",
        )
    if not rate and worth > high - low:
        raise InputError(
            f"is {worth:g}, more than lies between any two customers: {what} goes from {low:g} to "
            f"{high:g}. Give the smallest lift worth having, in its unit.",
            "worth",
        )
