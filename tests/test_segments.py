"""Segments by rule and by k-means: not by luck of rows or numbers, and named after their means."""

import math

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from helpers import data, segments
from tests.guards import caught, guard_message

CLUSTERED = segments.cluster_customers(data.load_customers())


# Clusters


def raw_kmeans(customers, n_clusters=4, seed=42):
    """Clusters as they come: rows in file order, numbers by luck."""
    scaled = StandardScaler().fit_transform(customers[list(segments.DEFAULT_FEATURES)])
    labels = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(scaled)
    return customers.assign(Cluster=labels)


def guard_row_order(cluster):
    """Neither the order of the rows nor columns that are not features decide anybody's cluster."""
    customers = data.load_customers()
    for k in (2, 4, 7):
        by_id = cluster(customers, k).set_index("CustomerID")["Cluster"]
        for seed in range(2):
            shuffled = customers.sample(frac=1, random_state=seed)
            shuffled = shuffled.assign(shoes=seed, note="x")[::-1]
            again = cluster(shuffled, k)
            assert again.drop(columns="Cluster").equals(shuffled)
            assert again.set_index("CustomerID")["Cluster"].reindex(by_id.index).equals(by_id)


def guard_numbers(cluster):
    """Clusters are numbered 0 to k - 1, the youngest first, for any seed."""
    customers = data.load_customers()
    for k in (1, 4, 7):
        for seed in range(2):
            clustered = cluster(customers, k, seed=seed)
            ages = clustered.groupby("Cluster")["Age"].mean()
            assert list(ages.index) == list(range(k))
            assert ages.is_monotonic_increasing


@pytest.mark.parametrize("guard", [guard_row_order, guard_numbers])
def test_clusters_do_not_hang_on_luck(guard):
    guard(segments.cluster_customers)
    caught(guard, raw_kmeans)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_customers_who_are_alike_share_a_cluster_in_any_order(seed):
    table = pd.DataFrame(
        {"Age": [20, 20, 21, 50, 51, 52, 30, 31, 30, 70, 71, 70], "Score": [5, 5, 6, 90, 91, 5] * 2}
    )
    shuffled = table.sample(frac=1, random_state=seed)
    plain, mixed = (
        segments.cluster_customers(customers, 4, ["Age", "Score"])["Cluster"]
        for customers in (table, shuffled)
    )
    assert mixed.sort_index().equals(plain)
    assert plain[0] == plain[1]


def test_customers_stacked_from_two_tables_can_be_clustered():
    """Row labels that repeat, as pd.concat leaves them, do no harm."""
    twice = segments.cluster_customers(pd.concat([CLUSTERED, CLUSTERED]))
    assert twice["Cluster"].tolist() == CLUSTERED["Cluster"].tolist() * 2


def test_pure_noise_clusters_just_as_happily():
    noise = np.random.default_rng(9).uniform(1, 99, (200, 3))
    clustered = segments.cluster_customers(
        pd.DataFrame(noise, columns=list(segments.DEFAULT_FEATURES))
    )
    profile = segments.profile_clusters(clustered)
    assert len(profile) == 4
    assert profile["customers"].min() >= 20
    assert profile["customers"].sum() == 200


# Age bands and names


def test_age_bands_start_at_their_first_year():
    bands = segments.age_band(pd.Series([18, 29, 29.9, 30, 39, 40, 75]))
    assert [segments.AGE_BANDS.index(band) for band in bands] == [0, 0, 0, 1, 1, 2, 2]


def test_profile_names_follow_the_means():
    table = pd.DataFrame(
        {
            "Age": [20, 50, 80],
            "Annual Income (k$)": [90, 50, 10],
            "Spending Score (1-100)": [50] * 3,
            "Cluster": [0, 1, 2],
        }
    )
    profile = segments.profile_clusters(table)
    assert profile["name"].tolist() == [
        "younger, higher income, average spenders",
        "of average age, average income, average spenders",
        "older, lower income, average spenders",
    ]
    assert profile["customers"].tolist() == [1, 1, 1]


# Calls that are refused


def guard_select(select):
    """The rows of that cluster alone, and a table of their own."""
    rows = select(CLUSTERED, 1)
    assert_frame_equal(rows, CLUSTERED[CLUSTERED["Cluster"] == 1])
    rows["Age"] = 0
    assert CLUSTERED["Age"].min() > 0


def from_there_on(table, cluster):
    return table[table["Cluster"] >= cluster].copy()


def test_selected_cluster():
    guard_select(segments.select_cluster)
    caught(guard_select, from_there_on)


def guard_profile(profile):
    """Any features: words of our own where we have some, else low, average, high and the name."""
    table = pd.DataFrame(
        {"visits": [1.0, 5, 9], "Age": [20, 40, 60], "Cluster": [0, 1, 2], "note": ["a", "b", "c"]}
    )
    found = profile(table, ("visits", "Age"))
    assert found.columns.tolist() == ["customers", "visits", "Age", "name"]
    assert found["name"].tolist() == [
        "low visits, younger",
        "average visits, of average age",
        "high visits, older",
    ]
    assert found["visits"].tolist() == [1, 5, 9]


def test_profile_of_any_features():
    guard_profile(segments.profile_clusters)
    caught(guard_profile, lambda table, features: segments.profile_clusters(table, features[::-1]))


def clustering(table=CLUSTERED, *arguments, **options):
    return lambda: segments.cluster_customers(table, *arguments, **options)


def with_age(value):
    return CLUSTERED.assign(Age=CLUSTERED["Age"].astype(object).where(CLUSTERED.index != 3, value))


TWINS = pd.concat([CLUSTERED.head(3)] * 2, ignore_index=True)
BAD_CALLS = {
    "cluster: none": (clustering(n_clusters=0), "n_clusters is 0", "whole number from 1 to 200"),
    "cluster: half": (clustering(n_clusters=2.5), "n_clusters is 2.5", "whole number"),
    "cluster: negative": (clustering(n_clusters=-1), "n_clusters is -1"),
    "cluster: true": (clustering(n_clusters=True), "n_clusters is True", "whole number"),
    "cluster: too many": (
        clustering(n_clusters=201),
        "n_clusters is 201",
        "from 1 to 200",
        "200 rows",
    ),
    "cluster: twins": (clustering(TWINS, 4), "from 1 to 3", "different", "6 rows"),
    "cluster: unknown column": (
        clustering(features=["Age", "Shoes"]),
        "'Shoes'",
        "Choose from: CustomerID, Gender",
    ),
    "cluster: text": (clustering(features=["Gender"]), "'Gender'", "text", "Leave it out"),
    "cluster: text in numbers": (clustering(with_age("old")), "'Age'", "text"),
    "cluster: three blanks": (
        clustering(CLUSTERED.assign(Age=CLUSTERED["Age"].where(CLUSTERED.index % 80 != 7))),
        "'Age' is blank, infinite or huge in 3 of 200 rows",
        "the first with index 7",
    ),
    "profile: blank": (
        lambda: segments.profile_clusters(CLUSTERED.assign(Age=math.nan)),
        "'Age' is blank",
        "200 of 200 rows",
    ),
    "profile: a name of its own": (
        lambda: segments.profile_clusters(CLUSTERED.assign(customers=1), ["customers"]),
        "'customers'",
        "Rename yours",
    ),
    "cluster: huge": (clustering(CLUSTERED.assign(Age=1e200)), "'Age'", "huge"),
    "profile: blank clusters": (
        lambda: segments.profile_clusters(CLUSTERED.assign(Cluster=math.nan)),
        "blank in 200 rows",
    ),
    "profile: text": (lambda: segments.profile_clusters(CLUSTERED, ["Gender"]), "'Gender'", "text"),
    "profile: not clustered": (lambda: segments.profile_clusters(TWINS[["Age"]]), "'Cluster'"),
    "cluster: blank": (clustering(with_age(np.nan).astype({"Age": float})), "'Age'", "blank"),
    "target: not clustered": (
        lambda: segments.select_cluster(TWINS[["Age"]], 1),
        "'Cluster'",
        "cluster_customers",
    ),
    "cluster: word": (clustering(n_clusters="four"), "n_clusters is", "whole number"),
    "cluster: nan": (clustering(n_clusters=math.nan), "n_clusters is nan", "whole number"),
    "cluster: infinite": (clustering(n_clusters=math.inf), "n_clusters is inf", "whole number"),
    "cluster: no features": (clustering(features=[]), "feature"),
    "cluster: infinite age": (clustering(CLUSTERED.assign(Age=math.inf)), "'Age'"),
    "cluster: nobody": (clustering(CLUSTERED.head(0)), "no customers"),
    "cluster: seed": (clustering(seed=-1), "seed is -1"),
    "cluster: number typed as text": (clustering(n_clusters="4"), "n_clusters is '4'"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


# Lopsided features, and clusters that are found again


def shop_like(n=1_200, seed=4):
    rng = np.random.default_rng(seed)
    large = rng.lognormal(3, 1.2, n)
    return pd.DataFrame(
        {
            "even": rng.normal(50, 10, n),
            "large": large,
            "mixed": np.where(rng.random(n) < 0.7, 0, rng.lognormal(3, 2, n)),
            "signed": rng.lognormal(3, 1.5, n) - 5,
        }
    )


def test_lopsided_features_are_evened_and_it_is_said_how():
    table = shop_like()
    even, how = segments.evened(table, ["even", "large", "mixed", "signed"])
    assert how.to_dict() == {
        "even": "as it is",
        "large": "logarithm",
        "mixed": "ranks",
        "signed": "ranks",
    }
    assert even["even"].equals(table["even"])
    assert even["large"].to_numpy() == pytest.approx(np.log1p(table["large"]))
    assert even["mixed"].between(0, 1).all() and (even["mixed"].max() == 1)
    for name in table:  # nobody passes anybody
        assert table[name].corr(even[name], method="spearman") == pytest.approx(1)
    guard_message(lambda: segments.evened(table, ["shoes"]), "no column 'shoes'")


def test_evened_features_make_clusters_that_are_not_a_handful():
    table = shop_like()[["large", "signed"]]
    raw = segments.cluster_customers(table, 3, list(table))["Cluster"].value_counts()
    even = segments.cluster_customers(segments.evened(table, list(table))[0], 3, list(table))
    assert even["Cluster"].value_counts().min() > 5 * raw.min()


def clouds(apart, n=150, seed=2):
    rng = np.random.default_rng(seed)
    middle = rng.integers(3, size=n)[:, None] * np.array([apart, -apart])
    return pd.DataFrame(middle + rng.normal(0, 1, (n, 2)), columns=["x", "y"])


def guard_again(again):
    """Clouds that lie apart are found again; one cloud cut into seven pieces is not."""
    assert again(clouds(9), 3, ["x", "y"], times=5).min() > 0.95
    cut = again(clouds(0), 7, ["x", "y"], times=5)
    assert cut.mean() < 0.7 and list(cut.index) == list(range(7))


def test_clusters_are_looked_for_again():
    guard_again(segments.found_again)
    caught(guard_again, lambda table, k, features, times: pd.Series(1.0, range(k)))  # never looked
    assert segments.found_again(clouds(9), 3, ["x", "y"], seed=1, times=3).between(0, 1).all()
