"""Who gets what: complete randomisation inside strata, the same list whatever the order of rows."""

import numpy as np
import pandas as pd

from helpers import check_seed, check_share
from helpers.data import EVERYONE
from helpers.experiment import ARMS

COLUMNS = ("segment", "stratum", "baseline", "group")
THIRDS = {1: ("all",), 2: ("low", "high"), 3: ("low", "middle", "high")}
FEWEST = 2  # customers of a stratum in its smaller arm


def assign(
    customers: pd.DataFrame,
    user: str,
    segment: str,
    baseline: str,
    control_share: float = 0.5,
    seed: int | np.random.Generator = 42,
) -> pd.DataFrame:
    """Give every customer an arm by chance, inside segments and thirds of the baseline.

    customers: one row each; user: the column of ids, each once. Returns the ids, segment, stratum
    (as `strata` says), baseline, and group ("control" or "treatment"), sorted by id: as numbers,
    where all are, else as text. In each stratum, each segment and in all, control gets its share
    of the customers, rounded up or down. The seed and the ids decide, not the order of rows.
    Source: stratified randomisation with fixed sizes; which strata are rounded up is drawn as in
    systematic sampling (Madow and Madow 1944), so that every customer has the same chance.
    Raises InputError for a share outside 0 to 1, or a seed that is none.
    """
    check_share("control_share", control_share, 0.5)
    check_seed(seed)
    names = customers[segment].astype(str)
    listed = pd.DataFrame(
        {
            user: customers[user],
            "segment": names,
            "stratum": strata(names, customers[baseline], control_share),
            "baseline": customers[baseline],
        }
    )
    listed = listed.sort_values(user, key=_in_order, ignore_index=True)
    codes = listed.groupby(["segment", "stratum"]).ngroup().to_numpy()
    listed["group"] = np.array(ARMS)[draw(codes, control_share, np.random.default_rng(seed))]
    return listed


def strata(segment: pd.Series, baseline: pd.Series, control_share: float = 0.5) -> pd.Series:
    """The segment and the third of the baseline inside it, such as "web, low".

    Customers with one baseline stay together. There are halves, or the whole segment, where
    smaller parts would leave fewer than two customers to an arm.
    """
    fewest = FEWEST / min(control_share, 1 - control_share)
    part = baseline.groupby(segment, group_keys=False).apply(_thirds, fewest=fewest)
    return segment.str.cat(part.reindex(segment.index), sep=", ")


def _thirds(values: pd.Series, fewest: float) -> pd.Series:
    """For each value the name of its part; equal values have the mean of their ranks."""
    place = (values.rank().to_numpy() - 0.5) / len(values)
    for parts in (3, 2):
        _, codes = np.unique((parts * place).astype(int), return_inverse=True)
        if np.bincount(codes).min() >= fewest:
            break
    else:
        codes = np.zeros(len(values), dtype=int)
    return pd.Series(np.array(THIRDS[codes.max() + 1])[codes], index=values.index)


def draw(strata: np.ndarray, control_share: float, rng: np.random.Generator) -> np.ndarray:
    """0 for control and 1 for treatment, in each stratum (codes from 0) as many as its share."""
    strata = strata.astype(np.int16 if strata.max(initial=0) < 2**15 else np.int64)  # sorted faster
    sizes = np.bincount(strata)
    ends = np.cumsum(sizes)
    in_control = np.diff(np.floor(control_share * ends + rng.random()), prepend=0)
    mixed = rng.permutation(len(strata))
    order = mixed[np.argsort(strata[mixed], kind="stable")]  # by stratum, in each mixed
    place = np.arange(len(strata)) - np.repeat(ends - sizes, sizes)
    arms = np.empty(len(strata), dtype=int)
    arms[order] = place >= np.repeat(in_control, sizes)
    return arms


def balance(listed: pd.DataFrame) -> pd.DataFrame:
    """For all users and each segment: customers of both arms, and how far their baselines differ.

    difference is in the unit of the baseline, treatment minus control; in_sds is it divided by the
    spread of all (ddof 1), nan where nothing varies.
    """
    spread = listed["baseline"].std(ddof=1)
    parts = {EVERYONE: listed} | dict(iter(listed.groupby("segment")))
    rows = {}
    for name, part in parts.items():
        arms = part.groupby("group")["baseline"].agg(["size", "mean"]).reindex(ARMS)
        sizes, means = arms["size"].fillna(0).astype(int), arms["mean"]
        gap = means["treatment"] - means["control"]
        rows[name] = [*sizes, *means, gap, gap / spread if spread > 0 else np.nan]
    names = ["control", "treatment", "mean_control", "mean_treatment", "difference", "in_sds"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("segment")


def _in_order(ids: pd.Series) -> pd.Series:
    """The ids, as numbers where all of them are, and no two are the same one; else as text."""
    numbers = pd.to_numeric(ids, errors="coerce")
    apart = numbers.nunique() == len(ids) and np.isfinite(numbers).all()
    return numbers if apart else ids.astype(str)
