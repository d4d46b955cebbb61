"""The exercises of notebook 06: right answers, known mistakes and hints, for the run that asks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.multitest import multipletests

from helpers import InputError, coins, data, heterogeneity, words
from helpers.exercises import Exercise, letter_question

KNOBS = {
    "log_file": None,
    "segment": "age_band",
    "outcome": "converted",
    "group": "group",
    "control": "control",
    "control_share": 0.5,
    "worth": 0.01,
    "user": None,
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "seed": 42,
}
PREDICTIONS = {
    "06-any-alarm": "of 100 experiments",
    "06-difference-p": "from 0 to 1",
    "06-winner": "percentage points above the truth, or units of your outcome",
    "06-envelope": "",
}


def log_of(run: SimpleNamespace) -> pd.DataFrame:
    """The run's log (it may be the reader's own) with plain names: segment, y, treated."""
    control = str(run.control)
    log = data.load_log(run.log_file, run.segment, run.outcome, run.group, control, run.user)
    columns = {
        "segment": log[run.segment],
        "y": log[run.outcome],
        "treated": log[run.group] != control,
    }
    return pd.DataFrame(columns)


def own_lift(run: SimpleNamespace) -> Exercise:
    log = log_of(run)
    own = log.iloc[run.seed % 20 :: 20]
    treated, untreated = own.loc[own["treated"], "y"], own.loc[~own["treated"], "y"]
    if not (len(treated) and len(untreated)):
        raise InputError(
            "Your twentieth of this log has users in one arm only. Take another seed, or a larger "
            "log."
        )
    rate = heterogeneity.is_rate(log["y"])
    scale = 100 if rate else 1
    lift, whole = treated.mean() - untreated.mean(), log.groupby("treated")["y"].mean()
    mean_c, error = (
        untreated.mean(),
        np.sqrt(treated.var() / len(treated) + untreated.var() / len(untreated)),
    )
    spread = float(log["y"].std())
    return Exercise(
        right=scale * lift,
        also=scale * np.polyfit(own["treated"].astype(float), own["y"], 1)[0],
        because=f"Treatment minus control, among {words.count(len(own), 'user')}. The whole log "
        f"gives {words.number(scale * (whole[True] - whole[False]), sign=True)}. A segment, too, "
        "is a piece of the log, and luck moves its lift, the more so the smaller it is; by twice "
        f"the standard error, here {words.number(2 * scale * error)}, is nothing special.",
        wrong={
            "arms swapped": (
                -scale * lift,
                "Control minus treatment. Which arm is compared with which?",
            ),
            "a share": (
                lift,
                "That is a difference of shares. In percentage points it is a hundred times as "
                "large.",
            ),
            "relative lift": (
                100 * lift / mean_c if mean_c else np.nan,
                "That is per cent of the control mean. Asked for is the plain difference.",
            ),
            "the whole log": (
                scale * (whole[True] - whole[False]),
                "That is the lift in the whole log. Use `own`.",
            ),
            "treated against everybody": (
                scale * (treated.mean() - own["y"].mean()),
                "The treated were compared with everybody, themselves included. Compare with "
                "control.",
            ),
            "a difference of sums": (
                treated.sum() - untreated.sum(),
                "That is a difference of sums. Arms of different sizes need means.",
            ),
        },
        hints=(
            "One mean for each arm of `own`, as the table with `groupby` did in each segment.",
            "`own.groupby(group)[outcome].mean()` gives both means. Subtract, then look at the "
            "unit.",
        ),
        tolerance=0.0051 if rate else min(0.0051, spread / 100 or 0.0051),
    )


def difference(run: SimpleNamespace) -> Exercise:
    log = log_of(run)
    table = heterogeneity.compare_segments(log, "segment", "y", "treated", False).dropna(
        subset=["lift"]
    )
    if len(table) < 2:
        raise InputError(
            "A comparison needs two segments with two users in each arm and some variation."
        )
    cells, rate = heterogeneity.cells_of(table), heterogeneity.is_rate(log["y"])
    lift = coins.lifts(cells)
    errors = coins.errors_at(cells, coins.pooling_shares(cells) @ lift, rate)
    se = errors[:2]
    gap, gap_se, (p_a, p_b) = lift[0] - lift[1], np.hypot(*se), table["p_value"].iloc[:2]
    p = 2 * stats.norm.sf(abs(gap) / gap_se)
    by_p = table["p_value"].to_numpy().argsort(kind="stable")
    own_se = table["se"].to_numpy()

    def gap_p(i: int, k: int, lift: np.ndarray = lift, errors: np.ndarray = errors) -> float:
        if max(i, k) >= len(table):
            return np.nan
        return 2 * stats.norm.sf(abs(lift[i] - lift[k]) / np.hypot(errors[i], errors[k]))

    others = (
        "That compares two other segments. The question is about the first two rows of `testable`, "
        f"{words.name(table.index[0])} and {words.name(table.index[1])}."
    )
    return Exercise(
        right=p,
        also=heterogeneity.pool(lift[:2], se).q_p_value,  # Q of two is the square of z
        because=f"One by one the two have {words.p_value(p_a)} and {words.p_value(p_b)}; their "
        f"difference has {words.p_value(p)}. Three questions, three answers. (Q of these two "
        "segments alone gives the same p: with two, Q is z squared.)",
        wrong={
            "difference of p-values": (
                abs(p_a - p_b),
                "The p-values were subtracted. Subtract the lifts, and test that difference.",
            ),
            "standard errors added": (
                2 * stats.norm.sf(abs(gap) / se.sum()),
                "The standard errors were added. For independent segments their squares add up.",
            ),
            "one side only": (
                stats.norm.sf(abs(gap) / gap_se),
                "One side only. Two-sided counts both tails.",
            ),
            "the smaller p": (
                min(p_a, p_b),
                "That is the p of one segment against zero. Compare the two.",
            ),
            "standard error of a mean": (
                2 * stats.norm.sf(abs(gap) / (gap_se / 2)),
                "That standard error belongs to the mean of the two lifts. Their difference varies "
                "twice as much.",
            ),
            "each with its own error": (
                gap_p(0, 1, errors=own_se),
                "Very close. The table's `se` belongs to the interval of one segment alone: use "
                "`se` of the section on Q.",
            ),
            "the centres of the intervals": (
                gap_p(0, 1, table["t"].to_numpy() * own_se, own_se),
                "Very close. For rates `t * se` is the centre of an interval, moved by the users "
                "it adds: use `lift` and `se` of the section on Q.",
            ),
            "Q of all segments": (
                stats.chi2.sf(coins.cochran_q(cells, rate), len(table) - 1),
                "That is Q over all segments. The question is about the first two rows.",
            ),
            "first and third": (gap_p(0, 2), others),
            "second and third": (gap_p(1, 2), others),
            "the two smallest p": (gap_p(by_p[0], by_p[1]), others),
            "the complement": (1 - p, "That is 1 - p: how often luck stays *nearer* to zero."),
        },
        hints=(
            "The invented segments A and B show how: here `lift.iloc[0]` and `lift.iloc[1]` are "
            "the lifts.",
            "The gap's standard error is the root of `se[0]**2 + se[1]**2`. Then `2 * "
            "stats.norm.sf(...)`.",
        ),
        tolerance=0.000051,
    )


def holm(run: SimpleNamespace) -> Exercise:
    smallest = round(0.0102 + 0.0001 * (run.seed % 18), 4)
    second = round(smallest + 0.0004, 4)
    p = np.array([0.31, second, 0.2, smallest, 0.045])  # as in the notebook
    return Exercise(
        right=(5 * smallest, 5 * smallest),
        also=multipletests(p, method="holm")[1][[3, 1]],
        because=f"The smallest counts five times. 4 times {words.number(second, 4)} would be "
        f"{words.number(4 * second, 4)}, which is less, and none may fall below an earlier one: so "
        "both get the same. A p-value cannot overtake one that is more convincing.",
        wrong={
            "no running maximum": (
                (5 * smallest, 4 * second),
                "Sorted and multiplied. One thing is missing: compare with the one before it in "
                "the order.",
            ),
            "Bonferroni": (
                (5 * smallest, 5 * second),
                "Both multiplied by the number of all p-values: that is Bonferroni.",
            ),
            "counted from the wrong end": (
                (smallest, 2 * second),
                "Multiplied by its place in the order. Holm's factors begin large and fall.",
            ),
            "Benjamini-Hochberg": (
                (2.5 * second, 2.5 * second),
                "Those are Benjamini-Hochberg's values, another promise.",
            ),
            "not sorted": (
                (1.0, 1.0),
                "Was the list sorted? Holm begins with the smallest, not with the first.",
            ),
            "not corrected": ((smallest, second), "These are the p-values before any correction."),
        },
        hints=(
            "Sort the five. What is the smallest multiplied by, what the next one?",
            "After multiplying, go through the sorted list: none may be below the one before it.",
        ),
        tolerance=0.000051,
    )


def conclusions(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            None,  # corrected intervals
            (
                "the largest lift",
                "It was picked as the largest of all. Is its luck then as often bad as good?",
            ),
            (
                "two p-values compared",
                "Two p-values, each against zero. Which test asks whether two effects differ?",
            ),
            (
                "those who came back",
                "Who comes back may depend on the treatment. Then no coin made these arms.",
            ),
        ],
        because="It says no more than what corrected intervals promise. The others pick a winner, "
        "compare p-values, or cut on what happened after the coin was flipped.",
        others={
            "none": ("none", "One of them claims no more than its method promises."),
            "all": ("all", "Three of them make a step that their numbers do not carry."),
        },
        hints=(
            "For each: how was the group found, and which question does the number answer?",
            "One picks a winner, one compares p-values, one cuts on what came after the coin.",
        ),
    )


EXERCISES = {
    "06-own-lift": own_lift,
    "06-difference": difference,
    "06-holm": holm,
    "06-conclusions": conclusions,
}
