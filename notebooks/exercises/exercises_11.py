"""The exercises of notebook 11: right answers, known mistakes and hints, for the run that asks."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import optimize, stats

from helpers import InputError, inference, metrics, power, words
from helpers.exercises import Exercise, letter_question

KNOBS = {"users": 4_000, "lift": 0.2, "worth": 0.5, "margin": 0.1, "seed": 42}
PREDICTIONS = {
    "11-row-alarms": "of 100 experiments",
    "11-looks-worse": "of 100 experiments",
    "11-not-significant": "of 100 experiments",
}


def people(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Users as in the notebook, drawn in its order."""
    habit = rng.beta(1, 4, n)
    views = rng.geometric(0.1 + 0.3 * habit)
    clicks, buys = rng.binomial(views, habit), rng.random(n) < 0.2
    revenue = np.zeros(n)
    revenue[buys] = rng.lognormal(2.8, 1.5, buys.sum())
    columns = {"views": views, "clicks": clicks, "revenue": revenue}
    return pd.DataFrame(columns | {"seconds": rng.exponential(2, n)})


def experiment_of(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Last month's users, the log of the experiment, and who was treated in it."""
    rng = np.random.default_rng(run.seed)
    last_month, log = people(rng, 50_000), people(rng, run.users)
    treated = rng.random(run.users) < 0.5
    log["revenue"] *= np.where(treated, 1 + run.lift, 1)
    return last_month, log, treated


def own_arms(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Control and treatment of the learner's own fifth."""
    _, log, treated = experiment_of(run)
    own, arm = log.iloc[run.seed % 5 :: 5], treated[run.seed % 5 :: 5]
    if min(arm.sum(), (~arm).sum()) < 2:
        raise InputError("Your fifth has fewer than two users in an arm. Take more users.")
    return own[~arm], own[arm]


def compared(control: pd.DataFrame, treatment: pd.DataFrame) -> float:
    """t of clicks per view, by users."""
    columns = [arm[name] for arm in (control, treatment) for name in ("clicks", "views")]
    return metrics.compare_ratios(*columns).t


def by_textbook(control: pd.DataFrame, treatment: pd.DataFrame) -> float:
    """The same with variances and the covariance of clicks and views."""
    ratios, errors2 = [], []
    for arm in (control, treatment):
        (var_clicks, cov), (_, var_views) = np.cov(arm["clicks"], arm["views"])
        ratio = arm["clicks"].sum() / arm["views"].sum()
        spread2 = var_clicks - 2 * ratio * cov + ratio**2 * var_views
        ratios.append(ratio)
        errors2.append(spread2 / arm["views"].mean() ** 2 / len(arm))
    return (ratios[1] - ratios[0]) / math.sqrt(sum(errors2))


def own_ratio(run: SimpleNamespace) -> Exercise:
    control, treatment = arms = own_arms(run)
    _, log, treated = experiment_of(run)
    right = compared(control, treatment)
    rates = [arm["clicks"].sum() / arm["views"].sum() for arm in arms]
    lift = rates[1] - rates[0]
    rows = math.sqrt(
        sum(p * (1 - p) / arm["views"].sum() for p, arm in zip(rates, arms, strict=True))
    )
    clicks_alone = math.sqrt(
        sum(arm["clicks"].var() / arm["views"].mean() ** 2 / len(arm) for arm in arms)
    )

    def welch(values: list[pd.Series]) -> float:
        return inference.compare_means(*values).t

    return Exercise(
        right=right,
        also=by_textbook(control, treatment),
        because=f"By rows it would be {words.number(lift / rows)}: that takes "
        f"{words.count(sum(arm['views'].sum() for arm in arms), 'view')} for as many coins. "
        f"There were {words.count(sum(map(len, arms)), 'coin')}.",
        wrong={
            "by rows": (
                lift / rows,
                "That is the t of the rows. The coin was flipped for users: one pull a user.",
            ),
            "the mean of ratios": (
                welch([arm["clicks"] / arm["views"] for arm in arms]),
                "That compares the means of the users' own ratios, which is another question. Here "
                "all clicks are divided by all views.",
            ),
            "clicks per user": (
                welch([arm["clicks"] for arm in arms]),
                "That compares clicks per *user*. Views are luck, too, and belong into the pull.",
            ),
            "the luck of views left out": (
                lift / clicks_alone,
                "The right lift, over an error from the clicks alone. A user with many views is "
                "expected to click more often: take that off first.",
            ),
            "the whole log": (
                compared(log[~treated], log[treated]),
                "That is the whole log. Use `own` and `own_treated`.",
            ),
            "arms swapped": (-right, "The sign is turned round: control minus treatment."),
            "the lift": (lift, "That is the lift. Divide it by its standard error."),
        },
        hints=(
            "Two arms of `own`; in each the pulls, one number a user. Then notebook 03's t.",
            "`metrics.compare_ratios(...)` takes clicks and views of control, then of treatment, "
            "and its result has a `t`.",
        ),
    )


def resampled(arms: tuple, of: Callable, seed: int, draws: int = 2_000) -> np.ndarray:
    """of(treatment) - of(control), sorted, each arm drawn anew many times."""
    rng, found = np.random.default_rng(seed), []
    for arm in map(np.asarray, arms):
        found.append(of(arm[rng.integers(len(arm), size=(draws, len(arm)))], axis=1))
    return np.sort(found[1] - found[0])


def ends(lifts: np.ndarray, outside: float = 0.025) -> np.ndarray:
    """Both ends of the percentile interval that leaves this share outside on each side."""
    return np.quantile(lifts, [outside, 1 - outside])


def median(run: SimpleNamespace) -> Exercise:
    arms = tuple(arm["seconds"].to_numpy() for arm in own_arms(run))
    _, log, treated = experiment_of(run)
    lifts = resampled(arms, np.median, run.seed, draws=8_000)
    right, means = ends(lifts), ends(resampled(arms, np.mean, run.seed))
    luck = 4 * math.sqrt(0.025 * 0.975 / 5_000)  # of the shares outside, in 5,000 draws
    tolerance = max(0.0051, *(abs(ends(lifts, 0.025 + by) - right).max() for by in (-luck, luck)))
    pot = np.concatenate(arms)
    whole = [log["seconds"][chosen].iloc[:4_000] for chosen in (~treated, treated)]
    one_pot = resampled((pot[: len(arms[0])], pot[: len(arms[0])]), np.median, run.seed)
    return Exercise(
        right=right,
        also=ends(resampled(arms, np.median, run.seed + 1, draws=8_000)),
        because=f"The medians are {words.number(np.median(arms[0]))} and "
        f"{words.number(np.median(arms[1]))} seconds. For the means the interval would be "
        f"{words.interval(*means)}: another question, with another error. Where the median is what "
        "you want to know, the bootstrap gives it an interval without any formula.",
        wrong={
            "means": (
                means,
                "That is the interval for the difference of *means*. Asked for are medians.",
                tolerance,
            ),
            "arms swapped": (
                -right[::-1],
                "The signs are turned round: control minus treatment.",
                tolerance,
            ),
            "ends swapped": (
                right[::-1],
                "Both ends are there. Give the lower one first.",
                tolerance,
            ),
            "ninety per cent": (
                ends(lifts, 0.05),
                "That leaves one in twenty outside on each side. A 95 % interval leaves one in "
                "forty.",
                tolerance / 2,
            ),
            "the treated alone": (
                ends(resampled((0 * arms[1], arms[1]), np.median, run.seed)),
                "That is the interval for the median of the treated. Asked for is the difference "
                "between the arms.",
                tolerance,
            ),
            "the whole log": (
                ends(resampled(whole, np.median, run.seed, draws=500)),
                "That is the whole log. Use your fifth, `own`.",
                tolerance,
            ),
            "around zero": (
                ends(one_pot),
                "That interval lies around zero: each arm must be drawn from its own users.",
                tolerance / 2,
            ),
        },
        hints=(
            "Notebook 04's loop, with a median where the mean stood: draw each arm anew, take the "
            "difference, many times.",
            "`x[rng.integers(len(x), size=(5_000, len(x)))]` holds 5,000 resamples of an arm, a "
            "row each; `np.median(..., axis=1)`, subtract, and `np.quantile` at 0.025 and 0.975.",
        ),
        tolerance=tolerance,
    )


def proof(run: SimpleNamespace) -> Exercise:
    last_month, _, _ = experiment_of(run)
    seconds = last_month["seconds"]
    slack, sd = run.margin * seconds.mean(), seconds.std()

    def both_arms(distance: float, alpha: float = 0.05) -> float:
        return 2 * power.sample_size(distance, sd, alpha=alpha)

    def proved(log_n: float) -> float:
        """Power of the test against the margin, its one side alone, less what is wanted."""
        n = math.exp(log_n)
        shift, df = 0.75 * slack / sd * math.sqrt(n / 2), 2 * n - 2
        return float(stats.nct.sf(stats.t.isf(0.025, df), df, shift)) - 0.8

    right = both_arms(0.75 * slack)
    return Exercise(
        right=right,
        also=2 * math.exp(optimize.brentq(proved, math.log(2.5), math.log(right + 100))),
        because="From the true loss to the margin only three quarters of it are left, and users go "
        f"with the square: {words.number((4 / 3) ** 2)} times the "
        f"{words.count(both_arms(slack), 'user')} for a page that loses nothing.",
        wrong={
            "a page that loses nothing": (
                both_arms(slack),
                "That is enough if the page loses nothing. It does lose, so the truth lies nearer "
                "to the margin.",
            ),
            "the loss added": (
                both_arms(1.25 * slack),
                "The loss was added to the margin. It uses some of it up.",
            ),
            "the loss alone": (
                both_arms(0.25 * slack),
                "That many would *find* the loss. Asked for is the proof that it is smaller than "
                "the margin.",
            ),
            "one arm": (right / 2, "That is one arm. Count the users of both."),
            "one side at 0.05": (
                both_arms(0.75 * slack, alpha=0.1),
                "One side at 0.05 belongs to an interval of ninety in a hundred. Ours is the usual "
                "one.",
            ),
            "the margin as a share": (
                both_arms(0.75 * run.margin),
                "`margin` is a share of what is usual. In seconds it is `slack`.",
            ),
        },
        hints=(
            "How far does the truth lie from the margin? That distance stands where the effect "
            "stood in notebook 05.",
            "`power.sample_size(distance, sd)` gives one arm; the distance is what the true loss "
            "leaves of `slack`.",
        ),
        tolerance=2.01,
    )


def reports(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            None,  # the interval lies below the margin
            (
                "not significant",
                "Not significant is what few users show of any harm. Where is the margin?",
            ),
            (
                "the side chosen afterwards",
                "Had the lift gone the other way, which side would have counted?",
            ),
            (
                "the best of four",
                "The correction is for *whether* it gains. What does the best of four report, on "
                "average?",
            ),
        ],
        because="Its margin stood in the plan, and the whole interval lies on the good side of it. "
        "The others take silence for proof, choose the side after looking, or believe the winner's "
        "own number.",
        others={
            "none": ("none", "One of them claims no more than its interval holds."),
            "all": ("all", "Three of them claim what their numbers do not carry."),
        },
        hints=(
            "For each: what was fixed beforehand, and what would have been said had the result "
            "been another?",
            "Two are about guardrails: which of them names a margin? Two are about gains: which "
            "number there was chosen by looking?",
        ),
    )


EXERCISES = {
    "11-own-ratio": own_ratio,
    "11-median": median,
    "11-proof": proof,
    "11-reports": reports,
}
