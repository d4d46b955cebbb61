"""The exercises of notebook 11: right answers, known mistakes and hints, for the run that asks."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import optimize, stats

from helpers import InputError, inference, metrics, power, words
from helpers.comparison import Comparison
from helpers.exercises import Exercise, gaps, letter_question

KNOBS = {"users": 4_000, "planted": 0.2, "worth": 0.5, "margin": 0.1, "seed": 42}
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
    log["revenue"] *= np.where(treated, 1 + run.planted, 1)
    return last_month, log, treated


def own_arms(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Control and treatment of the learner's own fifth."""
    _, log, treated = experiment_of(run)
    own, arm = log.iloc[run.seed % 5 :: 5], treated[run.seed % 5 :: 5]
    if min(arm.sum(), (~arm).sum()) < 2:
        raise InputError("Your fifth has fewer than two users in an arm. Take more users.")
    return own[~arm], own[arm]


def told_apart(exercise: Exercise) -> Exercise:
    """The exercise, if in this run every mistake leads to another answer than the right way.

    Raises InputError otherwise.
    """
    for value, *_ in exercise.wrong.values():
        if gaps(exercise.right, value).max() <= 1.5 * exercise.tolerance:
            raise InputError(
                "In your fifth a known mistake leads to the same answer, by luck. Take another "
                "seed, or more users."
            )
    return exercise


def errors_of(control: pd.DataFrame, treatment: pd.DataFrame) -> Comparison:
    """Idle views per view, compared by users."""
    columns = []
    for arm in (control, treatment):
        columns += [arm["views"] - arm["clicks"], arm["views"]]
    return metrics.compare_ratios(*columns)


def by_textbook(control: pd.DataFrame, treatment: pd.DataFrame) -> float:
    """The standard error with variances and the covariance of clicks and views."""
    errors2 = []
    for arm in (control, treatment):
        (var_clicks, cov), (_, var_views) = np.cov(arm["clicks"], arm["views"])
        ratio = arm["clicks"].sum() / arm["views"].sum()
        spread2 = var_clicks - 2 * ratio * cov + ratio**2 * var_views
        errors2.append(spread2 / arm["views"].mean() ** 2 / len(arm))
    return math.sqrt(sum(errors2))


def own_ratio(run: SimpleNamespace) -> Exercise:
    arms = own_arms(run)
    _, log, treated = experiment_of(run)
    result = errors_of(*arms)
    right, t = 100 * result.se, result.t
    idle = [arm["views"] - arm["clicks"] for arm in arms]
    rates = [gone.sum() / arm["views"].sum() for gone, arm in zip(idle, arms, strict=True)]
    rows = math.sqrt(
        sum(p * (1 - p) / arm["views"].sum() for p, arm in zip(rates, arms, strict=True))
    )
    alone = math.sqrt(
        sum(
            gone.var() / arm["views"].mean() ** 2 / len(arm)
            for gone, arm in zip(idle, arms, strict=True)
        )
    )
    apart = [
        metrics.pulls(gone.to_numpy(), arm["views"].to_numpy()).std(ddof=1) / math.sqrt(len(arm))
        for gone, arm in zip(idle, arms, strict=True)
    ]
    least = min(map(len, arms))

    def welch(values: list[pd.Series]) -> float:
        return 100 * inference.compare_means(*values).se

    return told_apart(
        Exercise(
            right=right,
            also=100 * by_textbook(*arms),
            because=f"By rows it would be {words.number(100 * rows)}: that takes "
            f"{words.count(sum(arm['views'].sum() for arm in arms), 'view')} for as many coins. "
            f"There were {words.count(sum(map(len, arms)), 'coin')}. (For clicks per 100 views it "
            "is the same: whatever is not idle is a click.)",
            wrong={
                "by rows": (
                    100 * rows,
                    "That is the error of the rows. The coin was flipped for users: one pull a "
                    "user.",
                ),
                "the mean of ratios": (
                    welch([gone / arm["views"] for gone, arm in zip(idle, arms, strict=True)]),
                    "That is for the means of the users' own ratios, which is another question. "
                    "Here all idle views are divided by all views.",
                ),
                "idle views per user": (
                    welch(idle),
                    "That is for idle views per *user*. Views are luck, too, and belong into the "
                    "pull.",
                ),
                "the luck of views left out": (
                    100 * alone,
                    "That counts the idle views alone. From a user with many views one expects "
                    "many idle ones: take those off first.",
                ),
                "the whole log": (
                    100 * errors_of(log[~treated], log[treated]).se,
                    "That is the whole log. Use `own` and `own_treated`.",
                ),
                "errors added": (
                    100 * sum(apart),
                    "The errors of the arms were added. Add their squares, then take the root.",
                ),
                "squared": (
                    100 * result.se**2,
                    "That is the error squared, the variance. Take the root.",
                ),
                "a share": (result.se, "That is per view. Asked for is per 100 views."),
                "t": (t, "That is the t. Asked for is the error it is divided by."),
            },
            hints=(
                "Two arms of `own`; in each the pulls, one number a user, with idle views where "
                "the clicks stood. Then the error of a difference, as in notebook 03.",
                "`metrics.compare_ratios(...)` takes idle views and views of control, then of "
                "treatment, and its result has an `se`. It is per view.",
            ),
            tolerance=max(0.0051, right * (1 - math.sqrt(1 - 1 / least)) * 1.01),  # n or n - 1
        )
    )


def resampled(arms: tuple, of: Callable, seed: int, draws: int = 2_000) -> np.ndarray:
    """of(treatment) - of(control), sorted, each arm drawn anew many times."""
    rng, found = np.random.default_rng(seed), []
    for arm in map(np.asarray, arms):
        found.append(of(arm[rng.integers(len(arm), size=(draws, len(arm)))], axis=1))
    return np.sort(found[1] - found[0])


def medians_drawn(arms: tuple, seed: int, draws: int = 200_000) -> np.ndarray:
    """Differences of resampled medians, sorted, drawn without drawing the users.

    The place of the k-th of n drawn users follows from the k-th of n even numbers between 0 and 1,
    which has a beta distribution; for an even n the next one is the least of those that are left.
    """
    rng, found = np.random.default_rng(seed), []
    for arm in map(np.sort, arms):
        n = len(arm)
        low = rng.beta((n + 1) // 2, n // 2 + 1, draws)
        middle = [low] if n % 2 else [low, 1 - (1 - low) * rng.random(draws) ** (2 / n)]
        found.append(np.mean([arm[(n * u).astype(int)] for u in middle], axis=0))
    return np.sort(found[1] - found[0])


def ends(lifts: np.ndarray, outside: float = 0.025) -> np.ndarray:
    """Both ends of the percentile interval that leaves this share outside on each side."""
    return np.quantile(lifts, [outside, 1 - outside])


FEWEST = 40  # users in an arm, for a bootstrap of medians


def median(run: SimpleNamespace) -> Exercise:
    arms = tuple(
        times * arm["seconds"].to_numpy() for times, arm in zip((1, 2), own_arms(run), strict=True)
    )
    if min(map(len, arms)) < FEWEST:
        raise InputError(
            f"Your fifth has fewer than {FEWEST} users in an arm, too few to resample medians. "
            "Take more users."
        )
    _, log, treated = experiment_of(run)
    lifts = medians_drawn(arms, run.seed)
    right, means = ends(lifts), ends(resampled(arms, np.mean, run.seed))
    luck = 4 * math.sqrt(0.025 * 0.975 / 10_000)  # of the shares outside, in 10,000 draws
    tolerance = max(0.0051, *(abs(ends(lifts, 0.025 + by) - right).max() for by in (-luck, luck)))
    pot = np.concatenate(arms)
    whole = log["seconds"][~treated], 2 * log["seconds"][treated]
    as_logged = arms[0], arms[1] / 2
    mistakes = {
        "means": (
            means,
            "That is the interval for the difference of *means*. Asked for are medians.",
        ),
        "arms swapped": (-right[::-1], "The signs are turned round: control minus treatment."),
        "ends swapped": (right[::-1], "Both ends are there. Give the lower one first."),
        "ninety per cent": (
            ends(lifts, 0.05),
            "That leaves one in twenty outside on each side. A 95 % interval leaves one in forty.",
        ),
        "the treated alone": (
            ends(medians_drawn((0 * arms[1], arms[1]), run.seed)),
            "That is the interval for the median of the treated. Asked for is the difference "
            "between the arms.",
        ),
        "the whole log": (
            ends(medians_drawn(whole, run.seed)),
            "That is the whole log. Use your fifth, `own_seconds`.",
        ),
        "as logged": (
            ends(medians_drawn(as_logged, run.seed)),
            "That is for the seconds of the log. Use `own_seconds`, those of the slow page.",
        ),
        "around zero": (
            ends(medians_drawn((pot, pot), run.seed)),
            "That interval lies around zero: each arm must be drawn from its own users.",
        ),
    }
    nearest = min(gaps(right, value).max() for value, _ in mistakes.values())
    return told_apart(
        Exercise(
            right=right,
            also=ends(resampled(arms, np.median, run.seed + 1, draws=10_000)),
            because=f"The medians are {words.number(np.median(arms[0]))} and "
            f"{words.number(np.median(arms[1]))} seconds. For the means the interval would be "
            f"{words.interval(*means)}: another question, with another error. Where the median is "
            "what you want to know, the bootstrap gives it an interval without any formula.",
            wrong={
                name: (value, says, min(tolerance, nearest / 2))
                for name, (value, says) in mistakes.items()
            },
            hints=(
                "Notebook 04's loop, with a median where the mean stood: draw each arm anew, take "
                "the difference, many times.",
                "`x[rng.integers(len(x), size=(10_000, len(x)))]` holds 10,000 resamples of an "
                "arm, a row each; `np.median(..., axis=1)`, subtract, and `np.quantile` at 0.025 "
                "and 0.975.",
            ),
            tolerance=tolerance,
        )
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
