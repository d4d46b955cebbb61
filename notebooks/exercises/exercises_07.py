"""The exercises of notebook 07: right answers, known mistakes and hints, for the run that asks."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize

from helpers import (
    InputError,
    adjustment,
    data,
    experiment,
    heterogeneity,
    inference,
    power,
    segments,
    words,
)
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
    "07-shrink": "1: as wide as before, 2: half as wide",
    "07-clear-gains": "clusters",
    "07-agree-plain": "of 100 worlds",
    "07-agree-adjusted": "of 100 worlds",
    "07-blocked": "per cent; 100: as wide as by block",
}
SCORE = experiment.OUTCOME


def clusters_of(run: SimpleNamespace) -> pd.DataFrame:
    return segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)


def trial_in(clustered: pd.DataFrame, cluster: int, run: SimpleNamespace) -> pd.DataFrame | None:
    """The cluster's experiment, or None if it has too few customers to be adjusted."""
    try:
        trial = experiment.simulate_experiment(clustered, cluster, run.effect, seed=run.seed)
        adjust(trial, interacted=True)
    except InputError:
        return None
    return trial


def trial_of(run: SimpleNamespace) -> pd.DataFrame:
    """The experiment that the notebook works on: the target cluster's, or that of all customers."""
    clustered = clusters_of(run)
    segments.select_cluster(clustered, run.target_cluster)  # stops if there is no such cluster
    trial = trial_in(clustered, run.target_cluster, run)
    if trial is None:
        everyone = clustered.assign(Cluster=0)
        trial = experiment.simulate_experiment(everyone, 0, run.effect, seed=run.seed)
    return trial


def adjust(trial: pd.DataFrame, **options):
    treated = trial["group"] == "treatment"
    return adjustment.compare_adjusted(trial["outcome"], treated, trial[SCORE], **options)


def inside_arms(trial: pd.DataFrame, column: str) -> np.ndarray:
    values = trial[column].astype(float)
    return (values - values.groupby(trial["group"]).transform("mean")).to_numpy()


def age_theta(run: SimpleNamespace) -> Exercise:
    trial = trial_of(run)
    age, y = inside_arms(trial, "Age"), inside_arms(trial, "outcome")
    if not np.abs(age).max() > 1e-9:
        raise InputError("Inside the arms all customers are of one age, so no line can be drawn.")
    raw_age, raw_y = trial["Age"].to_numpy(dtype=float), trial["outcome"].to_numpy()
    score, treated = inside_arms(trial, SCORE), trial["group"] == "treatment"
    design = np.column_stack([np.ones(len(trial)), treated, raw_age])
    arms = treated.to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = [age[arm] @ y[arm] / (age[arm] @ age[arm]) for arm in (~arms, arms)]
    cov, share = np.cov(raw_age, raw_y)[0, 1], np.corrcoef(age, y)[0, 1] ** 2
    return Exercise(
        right=age @ y / (age @ age),
        also=sm.OLS(raw_y, design).fit().params[2],
        because="It is the slope of age in a regression with treatment. Inside the arms, age "
        f"explains {words.percent(share)} of the outcome's variance, the score "
        f"{words.percent(np.corrcoef(score, y)[0, 1] ** 2)}. A slope does not say how much is "
        "explained: that takes the correlation.",
        wrong={
            "all in one pot": (
                cov / raw_age.var(ddof=1),
                "That is theta from all customers in one pot. Inside the arms: take each arm's own "
                "means out, of both columns.",
            ),
            "n and n - 1 mixed": (
                cov / raw_age.var(),
                "One pot, and n mixed with n - 1. Sums of products inside the arms need neither.",
            ),
            "turned round": (
                age @ y / (y @ y),
                "Divided by the outcome's variance: the line of age on outcome. Turn it round.",
            ),
            "the correlation": (
                np.corrcoef(age, y)[0, 1],
                "That is the correlation, without unit. Theta is in points per year.",
            ),
            "one arm alone": (
                slopes[0],
                "That is theta of the control arm alone. One theta for both: add up the products "
                "of both arms before you divide.",
            ),
            "the treated alone": (
                slopes[1],
                "That is theta of the treated alone. One theta for both: add up the products of "
                "both arms before you divide.",
            ),
            "the thetas of both arms averaged": (
                sum(slopes) / 2,
                "One theta for each arm, averaged. Add up the products of both arms first, then "
                "divide once.",
            ),
            "the score": (score @ y / (score @ score), "That is theta of the score. Take age."),
            "score and age confused": (
                age @ score / (age @ age),
                "That is the line of the score on age. The outcome belongs on the left.",
            ),
        },
        hints=(
            "The cell with `inside_arms` does it for the score. Which line changes?",
            "`inside_arms(ages)` and `inside_arms(y)`: products over squares of age, summed.",
        ),
        tolerance=0.00051,
    )


def plain_lifts(trials: list[pd.DataFrame]) -> tuple[list[float], list[float]]:
    """Lift and standard error of the first and the last experiment, not adjusted."""
    arms = [t.groupby("group")["outcome"] for t in (trials[0], trials[-1])]
    found = [
        inference.compare_means(a.get_group("control"), a.get_group("treatment")) for a in arms
    ]
    return [r.lift for r in found], [r.se for r in found]


def pool_two(run: SimpleNamespace) -> Exercise:
    clustered = clusters_of(run)
    trials = [trial_in(clustered, cluster, run) for cluster in np.unique(clustered["Cluster"])]
    trials = [trial for trial in trials if trial is not None]
    if len(trials) < 2:
        raise InputError("Fewer than two clusters can be adjusted, so there is nothing to pool.")
    every = [adjust(trial) for trial in trials]
    lift, se = (np.array([getattr(r, name) for r in every]) for name in ("lift", "se"))
    whole = heterogeneity.pool(lift, se)
    lift, se, plain = lift[[0, -1]], se[[0, -1]], plain_lifts(trials)
    sizes = [len(trials[0]), len(trials[-1])]
    pooled, squares = heterogeneity.pool(lift, se), se**2
    right = (lift[0] * squares[1] + lift[1] * squares[0]) / squares.sum()
    right_se = np.sqrt(squares.prod() / squares.sum())
    return Exercise(
        right=(pooled.lift, pooled.se),
        also=(right, right_se),
        because="Weights 1 / se^2 give the first cluster "
        f"{words.percent(right_se**2 / squares[0], 0)} of the say. The pooled standard error is "
        "below both: the second cluster adds information to the first.",
        wrong={
            "unweighted": (
                (lift.mean(), np.sqrt(squares.sum()) / 2),
                "That is the plain mean of the two. The more precise one should weigh more.",
            ),
            "weights 1 / se": (
                (np.average(lift, weights=1 / se), pooled.se),
                "The weights of the lift are 1 / se. Square the standard errors: variances count.",
            ),
            "weights 1 / se throughout": (
                (np.average(lift, weights=1 / se), np.sqrt(2) / (1 / se).sum()),
                "The weights are 1 / se. Square the standard errors: variances count.",
            ),
            "weights 1 / se, root of their sum": (
                (np.average(lift, weights=1 / se), 1 / np.sqrt((1 / se).sum())),
                "The weights are 1 / se. Square the standard errors: variances count.",
            ),
            "plain lifts averaged": (
                (np.mean(plain[0]), np.sqrt(np.square(plain[1]).sum()) / 2),
                "These are plain lifts, and their plain mean. Take the adjusted ones, in `after`, "
                "and let the more precise one weigh more.",
            ),
            "weights turned round": (
                (np.average(lift, weights=squares), pooled.se),
                "Here the noisier cluster weighs more. Turn the weights round.",
            ),
            "weights by size": (
                (np.average(lift, weights=sizes), pooled.se),
                "Weighted by customers. How precise a lift is also depends on how they scatter.",
            ),
            "standard errors averaged": (
                (pooled.lift, se.mean()),
                "The lift is right. Two measurements together are more precise than their average.",
            ),
            "standard error of the difference": (
                (pooled.lift, np.sqrt(squares.sum())),
                "The lift is right. That standard error belongs to the difference of the two.",
            ),
            "weights not squared in the error": (
                (pooled.lift, 1 / np.sqrt((1 / se).sum())),
                "The lift is right. In the error, too, the weights are 1 / se^2.",
            ),
            "root forgotten": (
                (pooled.lift, right_se**2),
                "The lift is right. 1 / (sum of weights) is a variance: one step is missing.",
            ),
            "plain lifts": (
                tuple(heterogeneity.pool(*plain)[:2]),
                "These are the plain lifts. The question is about the adjusted ones, in `after`.",
            ),
            "in the wrong order": (
                (pooled.se, pooled.lift),
                "Both numbers are there. The lift comes first, then its standard error.",
            ),
            "all clusters": (
                (whole.lift, whole.se),
                "That is the pool of all clusters. Take the first and the last row only.",
            ),
        },
        hints=(
            "`after` holds each cluster's result: its `.lift` and its `.se`.",
            "Weights `1 / se**2`; their weighted mean; and 1 / root of the sum of the weights.",
        ),
        tolerance=0.00051,
    )


def enough(run: SimpleNamespace) -> Exercise:
    trial = trial_of(run)
    y, score, n = inside_arms(trial, "outcome"), inside_arms(trial, SCORE), len(trial)
    sd = np.sqrt(y @ y / (n - 2))
    aim = min(abs(run.effect) if run.effect else run.worth, sd)
    needed = 2 * power.sample_size(aim, sd)
    if n >= needed:
        raise InputError("These customers are enough for that lift without any baseline.")
    own, share = np.corrcoef(score, y)[0, 1], 1 - n / needed
    one_pot = np.corrcoef(trial[SCORE].astype(float), trial["outcome"])[0, 1]

    def power_with(share: float) -> float:
        return power.power(n / 2, aim, sd * np.sqrt(1 - share)) - 0.8

    exact = (
        optimize.brentq(power_with, 0, 1 - 1e-9)
        if power_with(0) < 0 < power_with(1 - 1e-9)
        else np.nan
    )
    return Exercise(
        right=np.sqrt(share),
        also=np.exp(0.5 * np.log((needed - n) / needed)),
        because=f"The baseline has to explain {words.percent(share)} of the variance, and a "
        f"correlation is the root of that. The score has {words.number(own)} inside the arms, "
        + ("which is enough." if own**2 >= share else "which is not enough."),
        wrong={
            "the share": (
                share,
                "That is the share of the variance to be explained. The correlation is not the "
                "share itself.",
            ),
            "what is left": (np.sqrt(n / needed), "That is the root of what may be *left* over."),
            "one arm against both": (
                np.sqrt(max(0.0, 1 - 2 * n / needed)),
                "All customers were compared with the need of one arm. Both arms, both times.",
            ),
            "the other arm forgotten": (
                np.sqrt(1 - n / (2 * needed)),
                "One arm's customers were compared with the need of both.",
            ),
            "the share squared": (
                share**2,
                "Squared once more. From correlation to share one squares; how back?",
            ),
            "sd instead of variance": (
                np.sqrt(1 - (n / needed) ** 2),
                "The number of customers goes with the variance, not with the standard deviation.",
            ),
            "the formula instead of the rule": (
                np.sqrt(exact),
                "That is what the power formula says; the t distribution of a few customers asks "
                "for a little more. Use the simpler rule of the section.",
            ),
            "the score's own, in one pot": (
                one_pot,
                "That is the correlation that the score has, all customers in one pot. How large "
                "must one be, inside the arms?",
            ),
            "the score's own": (
                own,
                "That is the correlation that the score has. How large must one be?",
            ),
        },
        hints=(
            "How many of the customers needed would have to be saved, as a share of them?",
            "The share saved is the share explained, and that is the correlation squared. `needed` "
            "is for one arm.",
        ),
        tolerance=0.00051,
    )


def reports(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            None,  # visits in the week of the mailing
            (
                "the score before the coin",
                "That report is right: it names a baseline from before the coin, and an interval.",
            ),
            (
                "theta times the head start",
                "That report is right: adjusted is plain minus theta times the head start.",
            ),
            (
                "a number by lot",
                "That report is right: a lot knows nothing of the arms. It is useless, not "
                "harmful.",
            ),
        ],
        because="What is read after treatment began already holds the effect, so adjusting for it "
        "takes effect away. Precision does not help: the interval is narrow, round a wrong number.",
        others={
            "all are fine": ("none", "One adjusts for something that the treatment could move.")
        },
        hints=(
            "For each report ask when its baseline was read: before the coin, or after?",
            "The coin must not know the baseline, and the treatment must not move it.",
        ),
    )


EXERCISES = {
    "07-age-theta": age_theta,
    "07-pool-two": pool_two,
    "07-enough": enough,
    "07-reports": reports,
}
