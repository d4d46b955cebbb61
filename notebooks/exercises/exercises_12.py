"""The exercises of notebook 12: right answers, known mistakes and hints, for the run that asks."""

import math
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats

from helpers import InputError, assignment, data, planning, segments, shop, words
from helpers.exercises import Exercise, gaps, letter_question

KNOBS = {
    "file": None,
    "user": "customer",
    "segment": "channel",
    "features": ["recency", "frequency", "monetary"],
    "clusters": 4,
    "baseline": "monetary",
    "worth": 7.0,
    "rate": False,
    "correlation": 0.6,
    "control_share": 0.5,
    "seed": 42,
}
PREDICTIONS = {
    "12-smallest-lift": "in the unit of the baseline",
    "12-plain-alarms": "of 100 experiments",
}


def customers_of(run: SimpleNamespace) -> pd.DataFrame:
    """The customers with their segments, as in the notebook."""
    features = [run.features] if isinstance(run.features, str) else list(run.features)
    features = features or [run.baseline]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "the made-up shop" if run.file is None else run.file
        if run.file is None:
            shop.customers(run.seed).to_csv(path, index=False)
        customers, _ = data.read_customers(path, run.user, run.baseline, run.segment, features)
    if not run.segment:
        even, _ = segments.evened(customers, features)
        made = segments.cluster_customers(even, run.clusters, features, run.seed)["Cluster"]
        customers["segment"] = "cluster " + made.astype(str)
    return customers.assign(segment=customers["segment"].astype(str))


def told_apart(exercise: Exercise) -> Exercise:
    """The exercise, if in this run every mistake leads to another answer than the right way.

    Raises InputError otherwise.
    """
    for value, *_ in exercise.wrong.values():
        if gaps(exercise.right, value).max() <= 1.5 * exercise.tolerance:
            raise InputError("A known mistake leads to the same answer, by luck. Change a knob.")
    return exercise


def variance_of_one(values: pd.Series, lift: float, share: float, rate: bool) -> float:
    """Of the lift, times the customers in both arms, by hand."""
    p, q = values.mean(), min(values.mean() + lift, 1)
    arms = [p * (1 - p), q * (1 - q)] if rate else [values.var()] * 2
    return arms[0] / share + arms[1] / (1 - share)


def by_t(variance: float, lift: float, level: float) -> float:
    """Users in both arms by the formula with z, and then with t until it stays."""
    n = 10.0
    for _ in range(200):
        df = max(2.0, n - 2)
        # the noncentral t has 80 % beyond its limit where its centre lies so far out
        limit = stats.t.isf(level / 2, df)
        far = limit + stats.norm.ppf(0.8) * math.sqrt(1 + limit**2 / (2 * df))
        n = (n + far**2 * variance / lift**2) / 2
    return n


def one_fifth(run: SimpleNamespace) -> Exercise:
    customers = customers_of(run)
    names = sorted(customers["segment"].unique())
    own = names[run.seed % len(names)]
    values = customers.loc[customers["segment"] == own, run.baseline].astype(float)
    level = 0.05 / len(names)

    def needed(share: float, alpha: float = level, rows: pd.Series = values) -> float:
        return planning.users_needed(planning.spread_of(rows, run.rate, share), run.worth, alpha)

    right = needed(0.2)
    if not math.isfinite(right):
        raise InputError("In your segment nothing varies.")
    everyone = customers[run.baseline].astype(float)
    mistakes = {
        "equal arms": (needed(0.5), "That is for equal arms. A fifth is to be in control."),
        "control alone": (right / 5, "That is the control arm alone. Count both arms."),
        "uncorrected": (
            needed(0.2, 0.05),
            "That takes the whole 5 %. A segment has its part of it: `level`.",
        ),
        "everybody's spread": (
            needed(0.2, rows=everyone),
            "That is the spread of all customers. Take those of `own_segment`.",
        ),
        "a fifth of equal arms": (
            needed(0.5) / 0.2,
            "Equal arms were divided by a fifth. The variance is sd² / share + sd² / (1 - share).",
        ),
    }
    if run.control_share != 0.5:
        says = "That has the shares of the plan. A fifth is to be in control."
        mistakes["the plan's share"] = needed(run.control_share), says
    return Exercise(
        right=right,
        also=by_t(variance_of_one(values, run.worth, 0.2, run.rate), run.worth, level),
        because="With equal arms it would be "
        f"{words.count(math.ceil(needed(0.5)), 'customer')}. The small arm decides: its mean is "
        "the noisier one, and the many in the other arm cannot mend that.",
        wrong={
            name: found
            for name, found in mistakes.items()
            if abs(found[0] - right) > 1.5 * tolerance_of(right)
        },
        hints=(
            "The formula of the plan, with the share of control changed to a fifth.",
            "`planning.users_needed(planning.spread_of(values, rate, 0.2), worth, level)`, where "
            "`values` are the baselines of your segment.",
        ),
        tolerance=tolerance_of(right),
    )


def tolerance_of(users: float) -> float:
    """Rounding up or down passes, and z for t."""
    return max(12.0, 0.002 * users)


def joined(run: SimpleNamespace) -> Exercise:
    customers = customers_of(run)
    counts = customers["segment"].value_counts()
    counts = counts.reindex(customers_order(run, customers))
    two = counts.sort_values(kind="stable").index[:2]
    chosen = customers["segment"].isin(two)
    left = max(1, len(counts) - 1)

    def smallest(rows: pd.Series, parts: int) -> float:
        spread = planning.spread_of(rows.astype(float), run.rate, run.control_share)
        return planning.smallest_detectable(spread, 0.05 / parts)

    values = customers.loc[chosen, run.baseline]
    right = smallest(values, left)
    if not math.isfinite(right):
        raise InputError("In these two no lift can be seen.")
    merged = customers.assign(segment=customers["segment"].mask(chosen, "joined"))
    again = planning.plan(
        merged, run.baseline, run.worth, "segment", run.rate, run.control_share
    ).loc["joined", "smallest_detectable"]
    alone = [
        smallest(customers.loc[customers["segment"] == name, run.baseline], len(counts))
        for name in two
    ]
    tolerance = 0.006 * right
    mistakes = {
        "as many segments as before": (
            smallest(values, len(counts)),
            "That is the level of the old plan. One segment less shares the 5 %.",
        ),
        "uncorrected": (
            smallest(values, 1),
            "That takes the whole 5 %. The segments share it.",
        ),
        "the mean of the two": (
            float(np.mean(alone)),
            "That is the mean of what the two see apart. Their customers are put together: one "
            "spread, and one number.",
        ),
        "the smaller of the two": (
            float(np.min(alone)),
            "That is what one of the two sees alone. Join them.",
        ),
    }
    return Exercise(
        right=right,
        also=float(again),
        because=f"Apart they see {alone[0]:.3g} and {alone[1]:.3g}. More customers help, and so "
        "does the level; but the joined segment has one spread, so that one of the two may have "
        "seen more alone. And joining costs the question whether they differ: join those in which "
        "the same would be done.",
        wrong={
            name: (value, says, min(tolerance, abs(value - right) / 3))
            for name, (value, says) in mistakes.items()
            if math.isfinite(value) and abs(value - right) > 1.5 * tolerance
        },
        hints=(
            "`joined_segment` holds the baselines. Which level has each segment, now that there is "
            "one less?",
            "`planning.smallest_detectable(planning.spread_of(joined_segment.astype(float), rate, "
            "control_share), 0.05 / parts)`, where `parts` is the number of segments left.",
        ),
        tolerance=tolerance,
    )


def customers_order(run: SimpleNamespace, customers: pd.DataFrame) -> list[str]:
    """Segments by size, as the notebook counts them."""
    return list(customers["segment"].value_counts().index)


def files_of(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The list, and the results of another season, as in the notebook."""
    listed = assignment.assign(
        customers_of(run), run.user, "segment", run.baseline, run.control_share, run.seed
    )
    rng = np.random.default_rng([run.seed, 13])
    came = rng.choice(len(listed), size=len(listed) * 9 // 10, replace=False)
    results = listed[[run.user, "group"]].iloc[came].rename(columns={"group": "served"})
    in_control = results.index[results["served"] == "control"]
    twice = results[results["served"] == "treatment"].head(3)
    results.loc[in_control[:2], "served"] = "treatment"
    names = [f"nobody-{i}" for i in range(4)]
    strangers = pd.DataFrame({run.user: names, "served": "treatment"})
    return listed, pd.concat([results, twice, strangers], ignore_index=True)


def analysed(run: SimpleNamespace) -> Exercise:
    listed, results = files_of(run)
    served = results["served"] == "treatment"
    once = results.drop_duplicates(run.user)
    in_list = listed[listed["group"] == "treatment"]
    by_arm = once[run.user].map(listed.set_index(run.user)["group"])
    right = float((by_arm == "treatment").sum())
    known = once[once[run.user].isin(listed[run.user])]
    return told_apart(
        Exercise(
            right=right,
            also=float(in_list[run.user].isin(set(results[run.user])).sum()),
            because=f"Of the {len(in_list):,} on the list, {int(right):,} have a result. The file "
            f"has {int(served.sum()):,} rows of treatment: doubled ones, strangers, and customers "
            "of control among them.",
            wrong={
                "the rows of the file": (
                    float(served.sum()),
                    "Those are the rows that say treatment. Some stand there twice, some are on no "
                    "list, and some were moved.",
                ),
                "the arm that was served": (
                    float((known["served"] == "treatment").sum()),
                    "That counts by the arm that was served. The arm is that of the list.",
                ),
                "doubled rows counted": (
                    float(results[run.user].isin(in_list[run.user]).sum()),
                    "Customers who stand there twice are counted twice.",
                ),
                "strangers counted": (
                    float((once["served"] == "treatment").sum()),
                    "Strangers are among them: ids that are on no list.",
                ),
                "the whole list": (
                    float(len(in_list)),
                    "That is everybody on the list. For some there is no result.",
                ),
                "both arms": (float(len(known)), "Those are both arms together."),
            },
            hints=(
                "Three steps: doubled rows once, joined with `listed` by id, and then the column "
                "`group` of the list.",
                "`listed.merge(own_results.drop_duplicates(user), on=user)` keeps what is in both; "
                "count its `group`.",
            ),
            tolerance=0.1,
        )
    )


def reports(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            None,  # ship to all; whether it works alike is not known
            (
                "silence of a small segment",
                "What could have been found there? The plan had said it.",
            ),
            (
                "moved to the arm that was served",
                "Did chance decide who got a catalogue by mistake?",
            ),
            (
                "the strata left out",
                "The list was made by strata. What does the usual test believe of the lift's "
                "spread?",
            ),
        ],
        because="It says what the plan could answer, and no more. The others take the silence of a "
        "small segment for an answer, compare arms that chance has not made, or leave out what the "
        "list was made by.",
        others={"none": ("none", "One of them may stand.")},
        hints=(
            "Which of them keeps to what was possible, and to the arms of the list?",
            "Three of them repeat a mistake of this notebook: silence, moved customers, strata.",
        ),
    )


EXERCISES = {
    "12-one-fifth": one_fifth,
    "12-joined": joined,
    "12-analysed": analysed,
    "12-reports": reports,
}
