"""The exercises of notebook 04: right answers, known mistakes and hints, for the run that asks."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
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
    "04-width": "per cent of the t interval's width",
    "04-coverage": "of 100 experiments",
}


def clusters_of(run: SimpleNamespace) -> pd.DataFrame:
    return segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)


def arms_of(run: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """Control and treatment of the run's experiment."""
    trial = experiment.simulate_experiment(
        clusters_of(run), run.target_cluster, run.effect, seed=run.seed
    )
    return tuple(trial.loc[trial["group"] == arm, "outcome"].to_numpy() for arm in experiment.ARMS)


def resampled(arm: np.ndarray, rng: np.random.Generator, size: int | None = None) -> np.ndarray:
    """The means of 5,000 resamples of an arm, as many values in each as the arm has, or `size`."""
    return rng.choice(arm, size=(5000, size or len(arm))).mean(axis=1)


def by_places(arm: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same resamples, drawn as places in the list."""
    return np.take(arm, rng.integers(0, len(arm), size=(5000, len(arm)))).mean(axis=1)


def basic(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run)
    lift = treatment.mean() - control.mean()
    rng = np.random.default_rng(run.seed)
    fast = by_places(treatment, rng) - by_places(control, rng)
    low, high = inference.bootstrap_ci(control, treatment, confidence=0.8, seed=run.seed)
    wide_low, wide_high = np.quantile(fast, [0.025, 0.975])
    cut_low, cut_high = np.quantile(fast, [0.2, 0.8])
    return Exercise(
        right=(2 * lift - high, 2 * lift - low),
        also=lift - np.quantile(fast - lift, [0.9, 0.1]),
        because="A tenth of the resampled lifts is left out on either side, and each end jumps to "
        f"the other side of the lift, {words.number(lift, sign=True)}, at the same distance. An "
        "interval that promises less is shorter.",
        wrong={
            "not mirrored": (
                (low, high),
                "The right cut, not yet mirrored: that is the percentile interval.",
            ),
            "the percentile interval of the table": (
                (wide_low, wide_high),
                "That is the percentile interval for 95 %. Cut elsewhere, then mirror.",
            ),
            "ends in the wrong order": (
                (2 * lift - low, 2 * lift - high),
                "The right two numbers, in the wrong order. In a mirror left and right change "
                "places.",
            ),
            "mirrored at zero": (
                (-high, -low),
                "That is mirrored at zero. Where does the mirror of the basic interval stand?",
            ),
            "mirrored at the planted effect": (
                (2 * run.effect - high, 2 * run.effect - low),
                "That is mirrored at the planted effect, which nobody knows outside a simulation. "
                "Which lift do we know?",
            ),
            "mirrored at the middle of the resamples": (
                (2 * fast.mean() - high, 2 * fast.mean() - low),
                "That is mirrored at the mean of the resampled lifts. The mirror stands at the "
                "lift of the experiment itself.",
            ),
            "a fifth cut off on either side": (
                (2 * lift - cut_high, 2 * lift - cut_low),
                "A fifth was left out on either side. How much is then left in the middle?",
            ),
            "the 95 % interval": (
                (2 * lift - wide_high, 2 * lift - wide_low),
                "That is the basic interval for 95 %, as in the table. This one promises less.",
            ),
            "the 95 % interval shortened about its middle": (
                2 * lift
                - (wide_low + wide_high) / 2
                + (wide_high - wide_low) / 2 * np.array([-80, 80]) / 95,
                "The 95 % interval was shortened in proportion. The lifts are not spread evenly: "
                "take other percentiles of them.",
            ),
            "the 95 % interval shortened": (
                (
                    lift - (wide_high - lift) * 80 / 95,
                    lift + (lift - wide_low) * 80 / 95,
                ),
                "The 95 % interval was shortened in proportion. The lifts are not spread evenly: "
                "take other percentiles of them.",
            ),
        },
        hints=(
            'First cut, then mirror. Section "Three ways to read resamples" says where the mirror '
            "stands.",
            "Leave out a tenth of `fast` on either side. A point x mirrored at m lands at 2 * m - "
            "x, with m = `result.lift`. Which end becomes the lower one?",
        ),
    )


def one_arm(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run)
    rng = np.random.default_rng(run.seed)
    means, others = resampled(treatment, rng), resampled(control, rng)
    half = stats.t.ppf(0.975, len(treatment) - 1) * stats.sem(treatment)
    customers = np.quantile(treatment, [0.025, 0.975])
    right = np.quantile(means, [0.025, 0.975])
    return Exercise(
        right=right,
        also=np.quantile(by_places(treatment, np.random.default_rng(run.seed)), [0.025, 0.975]),
        because="This is about the mean: between its two ends lie "
        f"{words.number(float(np.ptp(right)))} points. The middle 95 % of single customers take up "
        f"{words.number(float(np.ptp(customers)))} points, which alone does not say how sure their "
        "mean is: that also takes how many they are.",
        wrong={
            "the spread of customers": (
                customers,
                "Between these two lie most *customers*. The question is how sure their mean is.",
            ),
            "the interval of the lift": (
                np.quantile(means - others, [0.025, 0.975]),
                "That is the interval for the lift. Here only one arm is asked for.",
            ),
            "the other arm": (
                np.quantile(resampled(control, np.random.default_rng(run.seed)), [0.025, 0.975]),
                "That is the mean of the control arm.",
            ),
            "without replacement": (
                (treatment.mean(), treatment.mean()),
                "Both ends are the mean itself: every resample held each customer once. Draw "
                "*with* replacement.",
            ),
            "the t interval": (
                (treatment.mean() - half, treatment.mean() + half),
                "That is the interval by formula. Here it should come from the resamples.",
            ),
            "the normal interval": (
                treatment.mean() + stats.sem(treatment) * np.array([-1.96, 1.96]),
                "That is the interval by formula, with 1.96. Here it should come from the "
                "resamples.",
            ),
            "other draws": (
                right,
                "The right recipe with other draws, or with a slip in it. Start `rng` afresh in "
                "the same cell, draw 5,000, once, and take the 2.5 % and 97.5 % points.",
                0.15 * stats.sem(treatment),
            ),
            "the extremes": (
                (means.min(), means.max()),
                "Those are the smallest and the largest mean. Take the middle 95 % of them.",
            ),
            "one end cut at 5 %": (
                np.quantile(means, [0.05, 0.95]),
                "You left out 5 % on either side. Both sides together may leave out 5 %.",
            ),
        },
        hints=(
            "`resampled_means` above needs only one arm. What do you do with the 5,000 means?",
            "Start `rng` afresh, call `resampled_means(treatment)` and take the 2.5 % and 97.5 % "
            "points with `np.quantile`.",
        ),
    )


def four_changes(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run)
    rng, pot = np.random.default_rng(run.seed), np.concatenate([treatment, control])
    fast = resampled(treatment, rng) - resampled(control, rng)
    mixed = resampled(pot, rng, len(treatment)) - resampled(pot, rng, len(control))
    halves = [resampled(arm, rng, math.ceil(len(arm) / 2)) for arm in (treatment, control)]
    width = {
        name: np.ptp(np.quantile(lifts, [0.025, 0.975]))
        for name, lifts in (("own", fast), ("half", halves[0] - halves[1]))
    }
    return letter_question(
        run.seed,
        texts=[
            (
                "without replacement",
                "Each customer once, all of them: which mean does every such resample have?",
            ),
            (
                "one pot",
                "From one pot, both resamples are alike but for luck. Around which lift do they "
                "lie?",
            ),
            (
                "half as many",
                "A mean of fewer customers moves more by luck than the mean of the arm itself.",
            ),
            None,  # sorted
        ],
        because="A draw does not care about the order of the list. The others fail. Each customer "
        "once: an interval without width. Half as many per resample: in this run "
        f"{words.number(width['half'] / width['own'])} times as wide as it should be. One pot: the "
        "lifts lie around zero, whatever the campaign did (their mean is "
        f"{words.number(mixed.mean(), sign=True)}; the lift of this run is "
        f"{words.number(treatment.mean() - control.mean(), sign=True)}).",
        others={
            "none": (
                "none",
                "One of them is harmless: it changes nothing that a draw can notice.",
            )
        },
        hints=(
            "For each change ask what a mean of such a resample would be, and how far luck moves "
            "it.",
            "A resample should be to the arm what the arm is to all customers: as large, with "
            "repeats, and from its own arm.",
        ),
    )


def new_lifts(run: SimpleNamespace) -> Exercise:
    control, treatment = arms_of(run)
    lift = treatment.mean() - control.mean()
    low, high = inference.bootstrap_ci(control, treatment, seed=run.seed)
    baseline = segments.select_cluster(clusters_of(run), run.target_cluster)[experiment.OUTCOME]
    n_runs = max(100, min(2_000, 100_000 // len(baseline)))
    outcomes, arms = experiment.simulate_many(baseline, n_runs, effect=run.effect, seed=run.seed)
    runs = inference.welch_many(outcomes, arms).dropna()
    n_treated = arms.sum(axis=1)
    usable = np.minimum(n_treated, len(baseline) - n_treated) >= 2
    mean_t, mean_c = (
        np.nanmean(np.where(chosen, outcomes, np.nan)[usable], axis=1) for chosen in (arms, ~arms)
    )
    by_t = inference.compare_means(control, treatment)
    right = 100 * ((runs["lift"] >= low) & (runs["lift"] <= high)).mean()
    return Exercise(
        right=right,
        also=100 * np.mean(np.abs(mean_t - mean_c - (low + high) / 2) <= (high - low) / 2),
        because=f"New lifts lie around the truth, {words.given(run.effect, sign=True)}; the "
        f"interval lies around the lift of this run, {words.number(lift, sign=True)}. The promise "
        "of 95 is about intervals that hold the truth, not about new lifts in one interval.",
        wrong={
            "the promise itself": (
                95,
                "That is what the reading promises, and what the *resamples* do by construction. "
                'Count the new lifts, `runs["lift"]`.',
            ),
            "a share": (right / 100, "That is a share. Of 100: times 100."),
            "outside": (100 - right, "That is how many lie *outside*."),
            "how often an interval holds the truth": (
                100 * runs["ci_low"].le(run.effect).mul(runs["ci_high"].ge(run.effect)).mean(),
                "That is about how often a new interval holds the truth. Here one interval stays, "
                "and new lifts come.",
                2.5,  # the bootstrap's, counted above, lies near the t interval's
            ),
            "a count": (
                len(runs) * right / 100,
                f"That is how many of the {len(runs):,} new lifts. How many of 100?",
            ),
            "the other way round": (
                100 * runs["ci_low"].le(lift).mul(runs["ci_high"].ge(lift)).mean(),
                "That counts new *intervals* that hold our lift. Here our interval stays, and new "
                "*lifts* come.",
            ),
            "the t interval": (
                100 * runs["lift"].between(by_t.ci_low, by_t.ci_high).mean(),
                "That is the t interval of this run. The question is about `fast_low` and "
                "`fast_high`.",
            ),
        },
        hints=(
            "Two numbers stay fixed: the ends of our interval. What is compared with them?",
            '`runs["lift"].between(low, high)` says yes or no for each run. Which two ends, and '
            "how do you get from yes and no to a number of 100?",
        ),
    )


EXERCISES = {
    "04-basic": basic,
    "04-one-arm": one_arm,
    "04-four-changes": four_changes,
    "04-new-lifts": new_lifts,
}
