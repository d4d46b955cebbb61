"""A made-up shop that follows a seed: its customers, and their next season.

Spoiler: `TRUE_LIFT` is the planted truth, which notebook 12 keeps in an envelope.
"""

import numpy as np
import pandas as pd

from helpers import check_seed

CHANNELS = {"store": 0.45, "web": 0.33, "app": 0.15, "phone": 0.07}
SPENT = {"store": 42.0, "web": 38.0, "app": 34.0, "phone": 48.0}  # dollars a season, on average
TRUE_LIFT = {"store": 2.0, "web": 5.0, "app": 12.0, "phone": 0.0}  # dollars a season


def customers(seed: int = 42, n: int = 3_000) -> pd.DataFrame:
    """The customers of the shop, one row each.

    Columns: customer (id), channel, recency (days since the last order), frequency (orders last
    season), monetary (dollars spent last season). They are drawn from NumPy's legacy stream, which
    is frozen (NEP 19).
    Raises InputError for a bad seed.
    """
    check_seed(seed)
    rng = np.random.RandomState(seed)
    cuts = np.cumsum(list(CHANNELS.values()))[:-1]
    channel = np.array(list(CHANNELS))[np.searchsorted(cuts, rng.random_sample(n))]
    loyalty = _loyalty(seed, n)
    days = -60 * np.log(1 - rng.random_sample(n)) / (0.5 + loyalty)
    return pd.DataFrame(
        {
            "customer": [f"S{number:05d}" for number in range(1, n + 1)],
            "channel": channel,
            "recency": (1 + days).astype(int).clip(max=365),
            "frequency": 1 + rng.poisson(5 * loyalty),
            "monetary": _spent(channel, loyalty, rng).round(2),
        }
    )


def next_season(listed: pd.DataFrame, seed: int = 42) -> pd.DataFrame:
    """What these customers spend after the experiment: customer and spent, in dollars.

    listed: an assignment of `customers(seed)`, all of them. Whoever is treated spends `TRUE_LIFT`
    of the channel more.
    """
    people = customers(seed, len(listed))
    rng = np.random.RandomState([seed, 1])
    spent = _spent(people["channel"], _loyalty(seed, len(people)), rng)
    group = people["customer"].map(listed.set_index("customer")["group"])
    spent += people["channel"].map(TRUE_LIFT) * (group == "treatment")
    return pd.DataFrame({"customer": people["customer"], "spent": spent.round(2)})


def _loyalty(seed: int, n: int) -> np.ndarray:
    """What both seasons share: 1 on average."""
    return np.random.RandomState([seed, 2]).gamma(1.5, 1 / 1.5, size=n)


def _spent(
    channel: pd.Series | np.ndarray, loyalty: np.ndarray, rng: np.random.RandomState
) -> pd.Series:
    """Dollars of a season; the factor of luck is 1 on average."""
    luck = np.exp(0.45 * rng.normal(size=len(loyalty)) - 0.45**2 / 2)
    return pd.Series(channel).map(SPENT) * loyalty * luck
