"""The exercises of notebook 01: right answers, mistakes and hints, computed for the run asking."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler
from statsmodels.stats.proportion import proportion_confint

from helpers import InputError, data, segments, words
from helpers.exercises import Exercise, letter_question

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "seed": 42,
}
PREDICTIONS = {
    "01-random-groups": "percentage points",
    "01-noise": "per cent of the real silhouette",
}


def own_shop(run: SimpleNamespace) -> Exercise:
    log = pd.read_csv(data.FOLDER / "ab_test_data.csv", usecols=["user_id", "converted"])
    inside = log["user_id"] % 50 == run.seed % 50
    own, everybody = log.loc[inside, "converted"], log["converted"]
    n, rate, z = len(own), own.mean(), 1.959964
    own_rows = everybody.iloc[run.seed % 50 :: 50]
    middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    low, high = 100 * (middle - reach), 100 * (middle + reach)
    holds = "holds" if low <= 100 * everybody.mean() <= high else "does not hold"

    def limits(buyers: float, users: int, method: str = "wilson", alpha: float = 0.05) -> tuple:
        return tuple(100 * x for x in proportion_confint(buyers, users, alpha, method))

    return Exercise(
        right=(low, high),
        also=limits(own.sum(), n),
        because=f"{own.sum()} of {words.count(n, 'user')} bought, {words.percent(rate, 2)}. "
        f"Wilson's interval reaches farther up than down from such a low rate. It {holds} the rate "
        f"of everybody, {words.percent(everybody.mean(), 2)}; no shop here was made to differ.",
        wrong={
            "plain interval": (
                limits(own.sum(), n, "normal"),
                "That is the plain interval, as far up as down. The question asks for Wilson's.",
            ),
            "a share": (
                (low / 100, high / 100),
                "These are shares, from 0 to 1. Per cent: times 100.",
            ),
            "everybody": (
                limits(everybody.sum(), len(log)),
                "That is the interval for all users of the log. Keep the rows of your own shop.",
            ),
            "size of the shop": (
                limits(inside.sum(), len(log)),
                "Here the users of the shop were counted among all users. Count the buyers among "
                "the users of the shop.",
            ),
            "a spread, not an error": (
                tuple(100 * (rate + side * 1.96 * own.std()) for side in (-1, 1)),
                "That is how far single users lie from the rate. A mean of n users varies less, "
                "and Wilson's interval is not the rate plus and minus something either.",
            ),
            "ends swapped": ((high, low), "Both numbers are there. Give the lower end first."),
            "one standard error": (
                tuple(100 * (rate + side * own.sem()) for side in (-1, 1)),
                "That is the rate plus and minus *one* standard error. The question asks for "
                "Wilson's 95 % interval.",
            ),
            "those who did not buy": (
                limits(n - own.sum(), n),
                "That is the interval for those who did *not* buy.",
            ),
            "by row instead of user_id": (
                limits(own_rows.sum(), len(own_rows)),
                "The remainder was taken of the row number. Take that of `user_id`.",
            ),
            "too little confidence": (
                limits(own.sum(), n, alpha=0.1),
                "This interval leaves out 5 % at *each* end. A 95 % interval leaves out 5 % in "
                "all.",
            ),
            "exact interval": (
                limits(own.sum(), n, "beta"),
                "That is the interval of Clopper and Pearson, which is wider. The question asks "
                "for Wilson's.",
            ),
        },
        hints=(
            "Two steps: keep the rows of your shop, then do with them what the little function "
            "`rates` does with each group.",
            '`log["user_id"] % 50 == seed % 50` marks the rows. `proportion_confint` wants the '
            'buyers, the users and `method="wilson"`, and gives shares.',
        ),
    )


def silhouette(run: SimpleNamespace) -> Exercise:
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    rows = segments.select_cluster(clustered, run.target_cluster)
    if run.n_clusters < 2 or len(rows) < 2:
        raise InputError("A silhouette compares two clusters, the own one with more than one row.")
    raw = clustered[list(segments.DEFAULT_FEATURES)].to_numpy(dtype=float)
    scaled, number = StandardScaler().fit_transform(raw), clustered["Cluster"].to_numpy()
    place = np.flatnonzero(number == run.target_cluster)[run.seed % len(rows)]
    others = [j for j in np.unique(number) if j != run.target_cluster]

    def near_and_far(points: np.ndarray, metric: str = "euclidean") -> tuple[float, dict]:
        gaps = cdist(points[[place]], points, metric)[0]
        own = gaps[number == run.target_cluster].sum() / (len(rows) - 1)
        return own, {j: gaps[number == j].mean() for j in others}

    def score(own: float, other: float) -> float:
        return (other - own) / max(own, other)

    def score_of(points: np.ndarray, metric: str = "euclidean") -> float:
        own, far = near_and_far(points, metric)
        return score(own, min(far.values()))

    def silhouette_of(row: int) -> float:
        gaps, same = cdist(scaled[[row]], scaled)[0], number == number[row]
        if same.sum() < 2:
            return math.nan
        others = min(gaps[number == j].mean() for j in np.unique(number[~same]))
        return score(gaps[same].sum() / (same.sum() - 1), others)

    in_order = np.lexsort(raw.T[::-1])[place]  # the row that stands there in the sorted `points`
    own, far = near_and_far(scaled)
    rest = sum(far[j] * (number == j).sum() for j in others) / (number != run.target_cluster).sum()
    centres = {j: math.dist(scaled[place], scaled[number == j].mean(axis=0)) for j in others}
    to_own_centre = math.dist(scaled[place], scaled[number == run.target_cluster].mean(axis=0))
    nearest = min(far, key=far.get)
    verdict = (
        "Above 0: on average its own cluster is the nearer one."
        if own < far[nearest]
        else "Not above 0: on average its own cluster is not the nearer one. k-means asks for the "
        "nearest *centre*, which is another question."
    )
    return Exercise(
        right=score(own, far[nearest]),
        also=_by_hand(scaled.tolist(), number.tolist(), place),
        because=f"This customer is {words.number(own)} away from its own cluster on average and "
        f"{words.number(far[nearest])} from cluster {nearest}, the next one. {verdict}",
        wrong={
            "itself included": (
                score(own * (len(rows) - 1) / len(rows), far[nearest]),
                "Very close. The customer itself is among the customers of its cluster, at "
                "distance 0, and pulls the mean down. Leave it out.",
            ),
            "sign": (
                -score(own, far[nearest]),
                "The size is right, the sign is not: a customer near its own cluster should get a "
                "positive number.",
            ),
            "farthest cluster": (
                score(own, max(far.values())),
                "That compares with the farthest cluster. Which other one is the *next*?",
            ),
            "all others as one": (
                score(own, rest),
                "All customers outside the cluster were thrown together. Take one mean for each "
                "other cluster, then the smallest.",
            ),
            "not scaled": (
                score_of(raw),
                "These distances add up years, thousands of dollars and points. Use `scaled`.",
            ),
            "squared distances": (
                score_of(scaled, "sqeuclidean"),
                "These are *squared* distances, as k-means uses them. Here the root is taken for "
                "each pair of customers, before the mean.",
            ),
            "distances to centres": (
                score(to_own_centre, min(centres.values())),
                "These are distances to the centres. The silhouette takes the mean of the "
                "distances to the customers.",
            ),
            "divided by the smaller": (
                (far[nearest] - own) / min(own, far[nearest]) if own else math.inf,
                "The difference is right. Divide it by the *larger* of the two means.",
            ),
            "not yet divided": (
                far[nearest] - own,
                "The difference is right. Divide it by the larger of the two means.",
            ),
            "the row of another customer": (
                silhouette_of(in_order),
                "That is another customer: the notebook's `points` are sorted, so row numbers "
                "there are not the labels of `clustered`.",
            ),
            "mean of all customers": (
                silhouette_score(scaled, number, sample_size=min(len(raw), 2000), random_state=42),
                "That is the mean over all customers, as in the picture. Here it is one customer.",
            ),
        },
        hints=(
            "First the distances from this customer to everybody: `scaled - scaled.loc[customer]`, "
            "squared, added up over the features, root. Then means, cluster by cluster.",
            "If `gaps` is the column of these distances, "
            '`gaps.groupby(clustered["Cluster"])` gives `.mean()`, `.sum()` and `.size()` for each '
            "cluster. In its own one, divide the sum by one customer fewer.",
        ),
        tolerance=0.00051,
    )


def _by_hand(points: list[list[float]], number: list[int], place: int) -> float:
    gaps: dict[int, list[float]] = {}
    for i, (point, cluster) in enumerate(zip(points, number, strict=True)):
        if i != place:
            gaps.setdefault(cluster, []).append(math.dist(point, points[place]))
    own = np.mean(gaps.pop(number[place]))
    ratio = own / min(np.mean(values) for values in gaps.values())
    return 1 - ratio if ratio < 1 else 1 / ratio - 1


def which_segment(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            (
                "the mail opened",
                "Only the treated got a mail, so nobody in control can have opened it. And who "
                "opens it is already reacting to the treatment.",
            ),
            (
                "six or more orders",
                "It sounds like the past. But *when* were these orders counted? The voucher may "
                "have brought a customer the last one.",
            ),
            None,  # purchases before the coin
            (
                "clusters of today",
                "Age and income are fine. Look at the third trait: what may have moved it by the "
                "time it was written down?",
            ),
        ],
        because="Buying may be something the voucher changes, but these purchases lie before the "
        "coin. What counts is *when* a trait was fixed, not whether it is about buying.",
        others={
            "none of them": (
                "none",
                "One of them was settled for every customer, in both arms, before the coin fell.",
            )
        },
        hints=(
            "For each proposal ask: on which day could the list of its customers be written down?",
            "A list that exists before the coin falls cannot be changed by the voucher. Only one "
            "of the four lists does.",
        ),
    )


EXERCISES = {
    "01-own-shop": own_shop,
    "01-silhouette": silhouette,
    "01-which-segment": which_segment,
}
