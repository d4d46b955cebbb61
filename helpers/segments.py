"""Segments by rule (age bands) and by k-means; numbers and names do not depend on luck."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from helpers import LARGEST, InputError, check_seed, is_number

DEFAULT_FEATURES = ("Age", "Annual Income (k$)", "Spending Score (1-100)")
AGE_BANDS = ("under 30", "30 to 39", "40 and over")
MOST_DRAWN = 1_000  # customers in whom clusters are looked for again
LEVELS = {
    "Age": ("younger", "of average age", "older"),
    "Annual Income (k$)": ("lower income", "average income", "higher income"),
    "Spending Score (1-100)": ("low spenders", "average spenders", "high spenders"),
}


def age_band(age: pd.Series) -> pd.Series:
    """The original article's three age bands, as an ordered category; age is in years.

    Under 30, 30 to 39, 40 and over. A missing age stays missing; text raises pandas' TypeError.
    """
    return pd.cut(age, [-np.inf, 30, 40, np.inf], right=False, labels=list(AGE_BANDS))


def bands(numbers: pd.Series, cuts: Sequence[float]) -> pd.Series:
    """Numbers cut into bands, as an ordered category: under 30, 30 to under 40, 40 and over.

    cuts: where a band begins, rising; each belongs to the band that begins there.
    Raises InputError for cuts that are no numbers or do not rise.
    """
    if not (cuts and all(map(is_number, cuts)) and all(a < b for a, b in pairwise(cuts))):
        raise InputError("are numbers that rise, such as 30,40.", "bands")
    said = [f"{cut:.10g}" for cut in cuts]
    between = [f"{low} to under {high}" for low, high in pairwise(said)]
    labels = [f"under {said[0]}", *between, f"{said[-1]} and over"]
    return pd.cut(numbers, [-np.inf, *cuts, np.inf], right=False, labels=labels)


def cluster_customers(
    customers: pd.DataFrame,
    n_clusters: int = 4,
    features: Sequence[str] = DEFAULT_FEATURES,
    seed: int | np.random.Generator = 42,
) -> pd.DataFrame:
    """Standardise the features, run k-means, and return the customers with a column "Cluster".

    Clusters are numbered from 0 to n_clusters - 1 by rising mean of the first feature. Rows are
    sorted before the fit, so neither the order of rows in the file nor the release of scikit-learn
    decides a number. seed: where k-means starts its ten tries (a Generator gives it one draw).
    Source: k-means++ as in scikit-learn.
    Raises InputError for features that are unknown, not numeric or blank, for an empty table, a
    bad seed, for customers who are all the same, and for more clusters than different ones.
    """
    names = [features] if isinstance(features, str) else list(dict.fromkeys(features))
    _check_features(customers, names)
    if isinstance(seed, np.random.Generator):
        seed = int(seed.integers(2**32))
    check_seed(seed)
    table = customers[names].reset_index(drop=True)
    _check_n_clusters(n_clusters, table)
    ordered = table.sort_values(names)
    scaled = StandardScaler().fit_transform(ordered)
    labels = KMeans(n_clusters=n_clusters, n_init=10, random_state=seed).fit_predict(scaled)
    means = ordered.groupby(labels).mean().sort_values(names)
    if len(means) < n_clusters:
        raise InputError(
            f"is {n_clusters}, but the customers differ too little: k-means finds {len(means)}.",
            "n_clusters",
        )
    number = pd.Series(range(len(means)), index=means.index)
    in_file_order = pd.Series(number.loc[labels].to_numpy(), index=ordered.index).sort_index()
    return customers.assign(Cluster=in_file_order.to_numpy())


def evened(customers: pd.DataFrame, features: Sequence[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Features that are less lopsided, so that k-means does not chase a few large customers.

    Returns the features, one row a customer, and how each came about: "as it is" where the skewness
    is within -1 and 1; "logarithm" of 1 + value, where that is within and nothing is below 0; else
    "ranks" from 0 to 1, equal values sharing one.
    Raises InputError for features that are unknown, not numeric or blank.
    """
    names = list(dict.fromkeys(features))
    _check_features(customers, names)
    found, how = {}, {}
    for name in names:
        values = customers[name].astype(float)
        tries = {"as it is": values}
        if values.min() >= 0:
            tries["logarithm"] = np.log1p(values)
        even = (said for said, tried in tries.items() if abs(tried.skew()) <= 1)
        how[name] = next(even, "ranks") if values.nunique() > 1 else "as it is"
        ranks = (values.rank() - 1) / max(1, len(values) - 1)
        found[name] = tries.get(how[name], ranks)
    return pd.DataFrame(found), pd.Series(how, name="how")


def found_again(
    customers: pd.DataFrame,
    n_clusters: int,
    features: Sequence[str],
    seed: int = 42,
    times: int = 20,
) -> pd.Series:
    """How well each cluster is found again in customers drawn anew: 1 is always, below 0.6 is not.

    Customers (at most 1,000, chosen at random) are drawn with replacement and clustered, and each
    cluster of all is compared with the one most like it: customers in both, over customers in
    either (Jaccard's index), on average. Source: Hennig (2007), with his limit of 0.6.
    Raises InputError as `cluster_customers` does.
    """
    rng = np.random.default_rng(seed)
    clusters = cluster_customers(customers, n_clusters, features, seed)["Cluster"].to_numpy()
    some = rng.permutation(len(customers))[:MOST_DRAWN]
    best = []
    for _ in range(times):
        drawn = rng.choice(some, size=len(some))
        sample = customers.iloc[drawn]
        most = min(n_clusters, len(sample[list(features)].drop_duplicates()))
        again = cluster_customers(sample, most, features, seed)["Cluster"]
        both = pd.crosstab(clusters[drawn], again.to_numpy())
        sizes = np.add.outer(both.sum(axis=1).to_numpy(), both.sum(axis=0).to_numpy())
        best.append((both / (sizes - both)).max(axis=1))
    return pd.DataFrame(best).mean().reindex(range(n_clusters), fill_value=0.0)


def profile_clusters(
    clustered: pd.DataFrame, features: Sequence[str] = DEFAULT_FEATURES
) -> pd.DataFrame:
    """One row per cluster: customers, the mean of each feature (its own unit), and a name.

    The name says for each feature where the cluster's mean lies: half a standard deviation (of all
    customers) or more above or below the mean of all is called high or low.
    Raises InputError for a table without clusters, and for features that are unknown, not numeric
    or blank.
    """
    _check_clustered(clustered)
    names = [features] if isinstance(features, str) else list(dict.fromkeys(features))
    _check_features(clustered, names)
    taken = [name for name in names if name in ("customers", "name")]
    if taken:
        raise InputError(f"The profile has a column {taken[0]!r} of its own. Rename yours.")
    values = clustered[names].astype(float)
    means = values.groupby(clustered["Cluster"]).mean()
    z = (means - values.mean()) / values.std(ddof=0).replace(0, 1)
    level = 1 + (z >= 0.5).astype(int) - (z <= -0.5).astype(int)
    called = [", ".join(_spoken(name)[row[name]] for name in names) for _, row in level.iterrows()]
    sizes = clustered["Cluster"].value_counts().rename("customers")
    return means.assign(name=called).join(sizes)[["customers", *names, "name"]]


def select_cluster(clustered: pd.DataFrame, target_cluster: int) -> pd.DataFrame:
    """The rows of one cluster. Raises InputError, naming the clusters that exist, if it is none."""
    _check_clustered(clustered)
    rows = clustered[clustered["Cluster"] == target_cluster]
    if rows.empty:
        numbers = ", ".join(str(number) for number in sorted(clustered["Cluster"].unique()))
        raise InputError(
            f"is {target_cluster!r}, but the clusters are {numbers}. Choose one of them.",
            "target_cluster",
        )
    return rows.copy()


def _spoken(feature: str) -> tuple[str, str, str]:
    """Words for a low, a middling and a high mean of the feature."""
    return LEVELS.get(feature, (f"low {feature}", f"average {feature}", f"high {feature}"))


def _check_clustered(table: pd.DataFrame) -> None:
    if "Cluster" not in table:
        raise InputError(
            "The table has no column 'Cluster'. Call segments.cluster_customers first."
        )
    blank = int(table["Cluster"].isna().sum())
    if blank:
        raise InputError(f"Column 'Cluster' is blank in {blank} rows. Mend them, or cluster anew.")


def _check_features(customers: pd.DataFrame, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in customers]
    if unknown or not names:
        missing = f"no column {unknown[0]!r}" if unknown else "no feature"
        columns = ", ".join(map(str, customers))
        raise InputError(f"There is {missing} to cluster on. Choose from: {columns}.")
    for name in names:
        column = customers[name]
        if not pd.api.types.is_numeric_dtype(column):
            raise InputError(
                f"Column {name!r} has text or dates. Leave it out, or make it numbers."
            )
        usable = (column.astype(float).abs() <= LARGEST).to_numpy()
        if not usable.all():
            rows = f"{(~usable).sum()} of {len(column)} rows"
            raise InputError(
                f"Column {name!r} is blank, infinite or huge in {rows}, "
                f"the first with index {column.index[~usable][0]!r}. Leave it out or mend it."
            )


def _check_n_clusters(n_clusters: int, table: pd.DataFrame) -> None:
    different = len(table.drop_duplicates())
    if different == 0:
        raise InputError("The table has no customers, so there is nothing to cluster.")
    if different == 1 < len(table):
        raise InputError(f"All {len(table)} customers are the same: there is nothing to cluster.")
    if not (is_number(n_clusters, whole=True) and 1 <= n_clusters <= different):
        raise InputError(
            f"is {n_clusters!r}; it must be a whole number from 1 to {different}, as many as "
            f"there are different customers ({len(table)} rows).",
            "n_clusters",
        )
