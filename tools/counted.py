"""Where the formula of a plan falls short: power is counted, and the numbers that have it."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import Pair, coins, planning, rehearsal
from helpers.planning import EVERYONE
from helpers.rehearsal import AT_ONCE, MOST, Kind

POWER, RUNS = 0.8, 1_000  # promised; how often it is counted
# Counted power from here on is as promised: two points less, and three errors of counting.
ENOUGH = POWER - 0.02 - 3 * math.sqrt(POWER * (1 - POWER) / RUNS)


def counted(
    planned: pd.DataFrame,
    customers: pd.DataFrame,
    baseline: str,
    worth: float,
    segment: str,
    kind: Kind,
    confidence: float = 0.95,
    seed: int = 42,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The plan, with counted numbers where its formula falls short; and those of the formula.

    planned: from `planning.plan`. Power is counted with Welch's test, or that of two rates, on
    outcomes drawn from the baselines of a row: for the smallest detectable lift and as many users
    as there are, and for worth and the users needed (of numbers, up to `MOST`). Where it is clearly
    below 80 %, the least lift and users are looked for that have it, and columns for adjusting
    change alike. The second table has a row for each such case: smallest_detectable and
    users_needed of the formula, power_of_lift and power_of_users.
    """
    table, short = planned.copy(), {}
    parts = {EVERYONE: customers} | dict(iter(customers.groupby(segment, observed=True)))
    for place, (name, part) in enumerate(parts.items()):
        users, lift, needed = planned.loc[
            name, ["customers", "smallest_detectable", "users_needed"]
        ]
        level = rehearsal.level_of(name, len(parts), confidence)
        trial = Trial(part[baseline].to_numpy(dtype=float), kind, level, (seed, place))
        powers = [trial.power(users, lift), trial.power(needed, worth)]
        if any(power < ENOUGH for power in powers):  # nan where it is not counted
            formula = {"smallest_detectable": lift, "users_needed": needed}
            short[name] = formula | {"power_of_lift": powers[0], "power_of_users": powers[1]}
            _mend(table, name, trial, worth)
    table["testable"] = planning.testable(table["smallest_detectable"], worth)
    return table, pd.DataFrame.from_dict(short, orient="index").rename_axis("segment")


def _mend(table: pd.DataFrame, name: object, trial: "Trial", worth: float) -> None:
    """Put counted numbers into a row of the plan, so that they agree on what can be tested."""
    users, lift, needed = table.loc[name, ["customers", "smallest_detectable", "users_needed"]]
    times, more = trial.more_lift(users, lift), needed * trial.more_users(needed, worth)
    more = min(more, users) if lift * times <= worth else max(more, users + 1)
    for column, by in (("smallest_detectable", times), ("users_needed", more / needed)):
        for one in table.columns.intersection([column, f"{column}_adjusted"]):
            table.loc[name, one] *= by


class Trial(NamedTuple):
    """The plain test on outcomes that are drawn from the baselines of some customers."""

    values: np.ndarray
    kind: Kind
    level: float
    seed: tuple[int, ...]

    def power(self, users: float, lift: float, most: int = MOST) -> float:
        """The share of significant tests; nan where it is not counted: too many users."""
        if not (math.isfinite(users) and math.isfinite(lift)):
            return math.nan
        if users > most and not self.kind.rate:
            return math.nan
        n_control = round(self.kind.control_share * math.ceil(users))
        sizes = n_control, math.ceil(users) - n_control
        if min(sizes) < 2:
            return 0.0
        rng = np.random.default_rng(self.seed)
        of = [self._arm(n, plus, rng) for n, plus in zip(sizes, (0.0, lift), strict=True)]
        means, variances = zip(*of, strict=True)
        cells = coins.Cells(*map(np.asarray, (*sizes, *means, *variances)))
        return float((coins.p_values(cells, self.kind.rate) < self.level).mean())

    def _arm(self, n: int, plus: float, rng: np.random.Generator) -> Pair:
        """Mean and variance of an arm, in each run."""
        if self.kind.rate:
            mean = rng.binomial(n, min(1.0, self.values.mean() + plus), size=RUNS) / n
            return mean, mean * (1 - mean)
        at_once = max(1, AT_ONCE // n)
        rows = [min(at_once, RUNS - first) for first in range(0, RUNS, at_once)]
        drawn = (rng.choice(self.values, size=(row, n)) for row in rows)
        found = [(y.mean(axis=1), y.var(axis=1, ddof=1)) for y in drawn]
        mean, var = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return mean + plus, var

    def more_lift(self, users: float, lift: float) -> float:
        """How many times the lift it takes for the power that was promised."""
        return _first(lambda times: self.power(users, lift * times, 10 * MOST))

    def more_users(self, users: float, lift: float) -> float:
        """How many times the users it takes for the power that was promised."""
        return _first(lambda times: self.power(users * times, lift, 10 * MOST))


def _first(power: Callable[[float], float]) -> float:
    """The first number of times, from 1 up, at which the power is as promised; else inf."""
    if not power(1.0) < ENOUGH:
        return 1.0
    low, high = 1.0, 1.4
    while power(high) < POWER:  # false, too, where it is not counted
        low, high = high, 1.4 * high
        if high > 100:
            return math.inf
    for _ in range(5):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high
