"""Segments by rule (age bands) and by k-means, with numbers and names that do not depend on luck."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from helpers import InputError, check_seed, is_number

DEFAULT_FEATURES = ("Age", "Annual Income (k$)", "Spending Score (1-100)")
AGE_BANDS = ("under 30", "30 to 39", "40 and over")
LEVELS = {
    "Age": ("younger", "of average age", "older"),
    "Annual Income (k$)": ("lower income", "average income", "higher income"),
    "Spending Score (1-100)": ("low spenders", "average spenders", "high spenders"),
}


def age_band(age: pd.Series) -> pd.Series:
    """The original article's three age bands (years): under 30, 30 to 39, 40 and over, as an ordered category.

    A missing age stays missing; text raises pandas' TypeError.
    """
    return pd.cut(age, [-np.inf, 30, 40, np.inf], right=False, labels=list(AGE_BANDS))


def cluster_customers(
    customers: pd.DataFrame,
    n_clusters: int = 4,
    features: Sequence[str] = DEFAULT_FEATURES,
    seed: int | np.random.Generator = 42,
) -> pd.DataFrame:
    """Standardise the features, run k-means, and return the customers with a column "Cluster" (0 to n_clusters - 1).

    Clusters are numbered by rising mean of the first feature. Rows are sorted before the fit, so neither the order
    of rows in the file nor the release of scikit-learn decides a number. seed: where k-means starts its ten tries
    (a Generator gives it one draw). Source: k-means++ as in scikit-learn.
    Raises InputError for features that are unknown, not numeric or blank, for an empty table, a bad seed, and for
    more clusters than different customers.
    """
    features = [features] if isinstance(features, str) else list(dict.fromkeys(features))
    if unknown := [name for name in features if name not in customers] or not features:
        missing = f"no column {unknown[0]!r}" if features else "no feature"
        raise InputError(
            f"There is {missing} to cluster on. Choose from: {', '.join(map(str, customers))}."
        )
    if isinstance(seed, np.random.Generator):
        seed = int(seed.integers(2**32))
    check_seed(seed)
    table = customers[features].reset_index(drop=True)
    for name in features:
        if not (
            pd.api.types.is_numeric_dtype(table[name])
            and np.isfinite(table[name].astype(float)).all()
        ):
            raise InputError(
                f"Column {name!r} has text, blanks or infinite values. Leave it out or mend it."
            )
    different = len(table.drop_duplicates())
    if different == 0:
        raise InputError("The table has no customers, so there is nothing to cluster.")
    if not (is_number(n_clusters, whole=True) and 1 <= n_clusters <= different):
        allowed = (
            f"from 1 to {different}, as many as there are different customers ({len(table)} rows)"
        )
        raise InputError(f"is {n_clusters!r}; it must be a whole number {allowed}.", "n_clusters")
    ordered = table.sort_values(features)
    scaled = StandardScaler().fit_transform(ordered)
    labels = KMeans(n_clusters=n_clusters, n_init=10, random_state=seed).fit_predict(scaled)
    means = ordered.groupby(labels).mean().sort_values(features)
    number = pd.Series(range(len(means)), index=means.index)
    in_file_order = pd.Series(number.loc[labels].to_numpy(), index=ordered.index).sort_index()
    return customers.assign(Cluster=in_file_order.to_numpy())


def profile_clusters(clustered: pd.DataFrame) -> pd.DataFrame:
    """One row per cluster: customers, the mean of each default feature (its own unit) and a name made from them.

    A mean half a standard deviation (of all customers) or more above or below the mean of all is called high or low.
    """
    features = clustered[list(DEFAULT_FEATURES)]
    means = features.groupby(clustered["Cluster"]).mean()
    z = (means - features.mean()) / features.std(ddof=0).replace(0, 1)
    level = 1 + (z >= 0.5).astype(int) - (z <= -0.5).astype(int)
    names = [
        ", ".join(LEVELS[name][row[name]] for name in DEFAULT_FEATURES)
        for _, row in level.iterrows()
    ]
    sizes = clustered["Cluster"].value_counts().rename("customers")
    return means.assign(name=names).join(sizes)[["customers", *DEFAULT_FEATURES, "name"]]


def select_cluster(clustered: pd.DataFrame, target_cluster: int) -> pd.DataFrame:
    """The rows of one cluster. Raises InputError, naming the clusters that exist, if it is not one of them."""
    if "Cluster" not in clustered:
        raise InputError(
            "This table has no column 'Cluster'. Pass it through segments.cluster_customers first."
        )
    rows = clustered[clustered["Cluster"] == target_cluster]
    if rows.empty:
        numbers = ", ".join(str(number) for number in sorted(clustered["Cluster"].unique()))
        raise InputError(
            f"is {target_cluster!r}, but the clusters are {numbers}. Choose one of them.",
            "target_cluster",
        )
    return rows.copy()
