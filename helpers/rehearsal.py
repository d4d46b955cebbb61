"""The planned experiment, run many times on the very customers: promises, counted."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers import check_seed, doubts, planning
from helpers.adjustment import adjust_many
from helpers.assignment import draw, strata
from helpers.planning import EVERYONE

RUNS, FEWEST = 1_000, 100  # of each row, with an effect and without
IN_ALL = 10_000_000  # customers that are given an arm in all runs: of more customers fewer runs
MOST = 20_000  # customers of a row who take part; of more, a random sample
AT_ONCE = 2_000_000


class Kind(NamedTuple):
    """How the outcomes of a pretended experiment come about, and who is in control."""

    rate: bool = False
    control_share: float = 0.5
    correlation: float | None = None  # of baseline and outcome; None: the plan does not adjust
    cut: bool = False  # whether the baseline cut the segments, which so are more alike than later


def pretend(
    customers: pd.DataFrame,
    baseline: str,
    segment: str,
    kind: Kind,
    confidence: float = 0.95,
    seed: int = 42,
    runs: int | None = None,
    planned: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """What the plan promises for these customers, and how often it came true.

    customers, baseline, segment, confidence: as for `planning.plan`. In each run the customers are
    given arms anew, `outcomes` come about (of segments that the baseline cut: among all customers),
    and the lift is adjusted by baseline and strata. One row
    for all users and each segment: customers who took part, lift (the smallest that is promised to
    be detected in so many, or that of the plan, if given), level, runs, power (promised: 0.8),
    false_alarms (promised: level), and doubt: why `decisions.judge` would not read such a row, or
    "". power is nan where no lift can be seen.
    Raises InputError for a bad seed.
    """
    check_seed(seed)
    parts = {EVERYONE: customers} | dict(iter(customers.groupby(segment, observed=True)))
    sizes = {name: min(len(part), MOST) for name, part in parts.items()}
    runs = runs or int(np.clip(IN_ALL / sum(sizes.values()), FEWEST, RUNS))
    found = {}
    for place, (name, part) in enumerate(parts.items()):
        level = level_of(name, len(parts), confidence)
        some = part.sample(sizes[name], random_state=seed) if len(part) > MOST else part
        if planned is not None and len(some) == len(part):
            adjusted = "_adjusted" if kind.correlation is not None else ""
            lift = float(planned.loc[name, f"smallest_detectable{adjusted}"])
        else:
            lift = _promised(some[baseline], kind, level)
        among = customers[baseline].to_numpy(dtype=float) if kind.cut and name != EVERYONE else None
        trial = Trial(some[baseline], some[segment], kind, among, runs, (seed, place))
        counted = _counted(trial, lift, level)
        found[name] = [len(some), lift, level, runs, *counted]
    columns = ["customers", "lift", "level", "runs", "power", "false_alarms", "doubt"]
    return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("segment")


class Trial(NamedTuple):
    """The customers of a row, and how often they are experimented on."""

    baseline: pd.Series
    segment: pd.Series
    kind: Kind
    among: np.ndarray | None
    runs: int
    seed: tuple[int, ...]


def _counted(trial: Trial, lift: float, level: float) -> tuple[float, float, str]:
    """Power, false alarms, and why such a row would not be read."""
    luck = _experiments(trial, 0.0)
    p, worse = luck["p_value"].to_frame(0), (luck["lift"] < 0).to_frame(0)
    doubt = doubts.doubts(p, pd.Series([1.0]), level, level, worse)[0]
    power = math.nan
    if math.isfinite(lift):
        power = float((_experiments(trial, lift)["p_value"] < level).mean())
    return power, float((p[0] < level).mean()), doubt


def _promised(values: pd.Series, kind: Kind, level: float) -> float:
    """The smallest lift that the formula promises to find in so many."""
    spread = planning.spread_of(values, kind.rate, kind.control_share)
    return planning.smallest_detectable(planning.adjusted(spread, kind.correlation), level)


def level_of(name: object, rows: int, confidence: float) -> float:
    """The level of a row of the plan."""
    return (1 - confidence) / (1 if name == EVERYONE else rows - 1)


def _experiments(trial: Trial, effect: float) -> pd.DataFrame:
    """The lift and p-value of each run, as of `adjustment.adjust_many`."""
    rng, share = np.random.default_rng(trial.seed), trial.kind.control_share
    before, names = trial.baseline.to_numpy(dtype=float), trial.segment.astype(str)
    codes, _ = pd.factorize(strata(names, trial.baseline, share), sort=True)
    known = np.column_stack([before, pd.get_dummies(codes, dtype=float)])
    at_once = max(1, AT_ONCE // len(before))
    found = []
    for first in range(0, trial.runs, at_once):
        size = min(at_once, trial.runs - first)
        treated = np.stack([draw(codes, share, rng) for _ in range(size)])
        y = outcomes(before, trial.kind, treated * effect, rng, trial.among)
        found.append(adjust_many(y, treated, known))
    return pd.concat(found, ignore_index=True)


def outcomes(
    before: np.ndarray,
    kind: Kind,
    effect: np.ndarray,
    rng: np.random.Generator,
    among: np.ndarray | None = None,
) -> np.ndarray:
    """Outcomes with the mean and spread of the baseline, and a correlation with it, in each run.

    before: n values; effect: runs x n, what is added. A customer keeps the correlation's part of
    their own baseline and gets the rest from somebody else's. For rates that is the chance of a 1,
    and a correlation below 0 counts as one above, since only its square matters. among: baselines
    of all customers, if these are some whom the baseline chose: their outcomes fall back towards
    the mean of all, and differ as those do.
    """
    r, pool = kind.correlation or 0.0, before if among is None else among
    mean, spread = pool.mean(), pool.std()
    if kind.rate:
        slope = abs(r) * math.sqrt(mean * (1 - mean)) / spread if spread else 0.0
        return (rng.random(effect.shape) < mean + slope * (before - mean) + effect).astype(float)
    if among is None:
        others = rng.permuted(np.broadcast_to(before, effect.shape), axis=1)
    else:
        others = rng.choice(among, effect.shape)
    return mean + r * (before - mean) + math.sqrt(1 - r**2) * (others - mean) + effect
