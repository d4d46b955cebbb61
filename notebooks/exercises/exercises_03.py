"""The exercises of notebook 03: right answers, known mistakes and hints, for the run that asks."""

import math
from types import SimpleNamespace

import numpy as np
from scipy import stats

from helpers import data, experiment, inference, segments, words
from helpers.exercises import Exercise, letter_question

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "worth": 1.0,
    "seed": 42,
}
PREDICTIONS = {
    "03-p-value": "from 0 to 1",
    "03-false-alarms": "of 100 runs",
    "03-clear-gains": "clusters",
}


def arms_of(run: SimpleNamespace, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Control and treatment of the run's experiment, in the outcome or in the baseline."""
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    trial = experiment.simulate_experiment(clustered, run.target_cluster, run.effect, seed=run.seed)
    return tuple(
        trial.loc[trial["group"] == arm, column].to_numpy(dtype=float) for arm in experiment.ARMS
    )


def welch_se(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run, experiment.OUTCOME)
    n_c, n_t = len(control), len(treatment)
    result = inference.compare_means(control, treatment)
    by_outcome = inference.compare_means(*arms_of(run, "outcome"))
    pooled = ((n_c - 1) * control.var(ddof=1) + (n_t - 1) * treatment.var(ddof=1)) / (n_c + n_t - 2)
    return Exercise(
        right=math.sqrt(control.var(ddof=1) / n_c + treatment.var(ddof=1) / n_t),
        also=result.se,
        because="The squares of two standard errors add up, each variance over its own n. By the "
        "luck of the draw, baselines may differ by this much; here they differ by "
        f"{words.number(result.lift, sign=True)} points.",
        wrong={
            "sd with ddof 0": (
                math.sqrt(control.var() / n_c + treatment.var() / n_t),
                "Very close. A variance estimated from a sample divides by n - 1; NumPy's own "
                "default divides by n.",
            ),
            "standard errors added": (
                stats.sem(control) + stats.sem(treatment),
                "The two standard errors were added. Their squares add up; the root comes last.",
            ),
            "pooled variance": (
                math.sqrt(pooled * (1 / n_c + 1 / n_t)),
                "This is Student's version: one spread for both arms. Welch gives each arm its own "
                "variance over n.",
            ),
            "the outcome instead of the baseline": (
                by_outcome.se,
                "That is the standard error for the outcome. The question is about the scores from "
                "before.",
            ),
            "the root forgotten": (
                control.var(ddof=1) / n_c + treatment.var(ddof=1) / n_t,
                "That is the square of it. The root comes last.",
            ),
            "a spread, not an error": (
                math.sqrt(control.var(ddof=1) + treatment.var(ddof=1)),
                "That is how far single customers lie apart. A mean of n customers varies less: "
                "divide by n.",
            ),
            "one spread for everybody": (
                np.std([*control, *treatment], ddof=1) * math.sqrt(1 / n_c + 1 / n_t),
                "One spread for all customers together. Each arm has its own.",
            ),
            "the error of one mean": (
                stats.sem([*control, *treatment]),
                "That is the standard error of the mean of all customers together. Here two means "
                "are compared.",
            ),
            "the lift itself": (result.lift, "That is the difference. How far could luck move it?"),
        },
        hints=(
            "Steps 1 and 2 above, with another column: take the two arms of `trial` again.",
            "Variance (ddof=1) divided by n in each arm, add the two, take the root.",
        ),
        tolerance=0.00051,
    )


def baseline_p(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run, experiment.OUTCOME)
    result = inference.compare_means(control, treatment)
    by_outcome = inference.compare_means(*arms_of(run, "outcome"))
    return Exercise(
        right=result.p_value,
        also=2 * stats.t.sf(abs(result.lift) / result.se, result.df),
        because="Here we know that a fair coin made the arms, so any difference, small or large, "
        "is luck, and the test has nothing to tell. Where the machinery may be broken (notebook "
        "02), the same p is a check of the coin.",
        wrong={
            "one side only": (
                stats.ttest_ind(treatment, control, equal_var=False, alternative="greater").pvalue,
                "One side only: the share of luck above t. This far from zero *on either side* "
                "needs both.",
            ),
            "one side, the other one": (
                stats.ttest_ind(treatment, control, equal_var=False, alternative="less").pvalue,
                "One side only: the share of luck below t. This far from zero *on either side* "
                "needs both.",
            ),
            "the sign of t": (
                2 - result.p_value,
                "No probability exceeds 1. Which side of zero is t on? Take its size, `abs(...)`, "
                "first.",
            ),
            "the degrees of freedom of the outcome": (
                2 * stats.t.sf(abs(result.t), by_outcome.df),
                "Very close. Those are the degrees of freedom of the outcome, the notebook's `df`. "
                "Do Step 4 with the baselines, too.",
            ),
            "n - 2 degrees of freedom": (
                2 * stats.t.sf(abs(result.t), len(control) + len(treatment) - 2),
                "Very close. Those are n - 2 degrees of freedom, Student's. Step 4 has Welch's.",
            ),
            "normal instead of t": (
                2 * stats.norm.sf(abs(result.t)),
                "The normal curve takes the standard error for known. It is estimated: use t with "
                "its degrees of freedom.",
            ),
            "pooled variance": (
                stats.ttest_ind(treatment, control).pvalue,
                "This is Student's test, one spread for both arms: scipy's default. Welch's needs "
                "`equal_var=False`.",
            ),
            "per cent": (100 * result.p_value, "That is in per cent. A p-value runs from 0 to 1."),
            "the complement": (
                1 - result.p_value,
                "That is 1 - p: how often luck stays *nearer* to zero.",
            ),
            "the outcome instead of the baseline": (
                by_outcome.p_value,
                "That is the p-value of the outcome. The question is about the scores from before.",
            ),
        },
        hints=(
            "Steps 3 to 5 above, or one call of the helper, on the column of the first exercise.",
            "`inference.compare_means(control, treatment)` has a field `p_value`. Which two "
            "columns go in?",
        ),
        tolerance=0.000051,
    )


def relative(run: SimpleNamespace) -> Exercise:
    control, treatment = (arm.mean() for arm in arms_of(run, "outcome"))
    lift = treatment - control
    return Exercise(
        right=100 * (control - treatment) / abs(treatment),
        also=100 * math.copysign(control / treatment - 1, control - treatment),
        because="The same distance in points, but another base: per cent of the treatment mean. "
        "That is why a rise of 25 % is undone by a fall of 20 %. Always say per cent *of what*.",
        wrong={
            "the same per cent backwards": (
                -100 * lift / abs(control),
                "Per cents do not turn round by changing the sign: the base is now the treatment "
                "mean.",
            ),
            "arms not swapped": (
                100 * lift / abs(control),
                "That is the relative lift again, treatment against control.",
            ),
            "right base, wrong sign": (
                100 * lift / abs(treatment),
                "The base is right. Who is now compared with whom? Control minus treatment.",
            ),
            "a share": (
                (control - treatment) / abs(treatment),
                "That is a share. Per cent: times 100.",
            ),
            "points": (
                control - treatment,
                "These are points. Divide by the mean that it is compared with.",
            ),
        },
        hints=(
            "Per cent of what? Name the mean that stands below the line.",
            "From 80 to 100 is a rise of 25 %. By how many per cent of 100 does one fall on the "
            "way back? Then the same with the two means.",
        ),
        tolerance=0.00051,
    )


def three_reports(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            (
                "a share of such experiments",
                "That report is right: a share of experiments without effect, with t so far out.",
            ),
            None,  # the probability that the campaign has no effect
            (
                "lifts not rejected",
                "That report is right: it says which lifts fit the data, not which one is true.",
            ),
        ],
        because="p was computed as if there were no effect. It cannot be the probability of that "
        "very assumption: for this one would need to know how often campaigns work at all.",
        others={
            "all are fine": (
                "none",
                "One of them turns the question round: it speaks about the campaign, not the data.",
            )
        },
        hints=(
            "For each report ask: a share of *what*? Of experiments, or of campaigns?",
            "p takes something for granted. One report makes a probability of just that.",
        ),
    )


EXERCISES = {
    "03-welch-se": welch_se,
    "03-baseline-p": baseline_p,
    "03-relative": relative,
    "03-three-reports": three_reports,
}
