"""The exercises of notebook 02: right answers, mistakes and hints, computed for the run asking."""

import math
import statistics
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats

from helpers import InputError, data, experiment, segments, words
from helpers.exercises import Exercise, letter_question

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "seed": 42,
}
INCOME, GAIN = "Annual Income (k$)", 10


def trial_of(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All customers with their clusters, and the run's experiment."""
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    trial = experiment.simulate_experiment(clustered, run.target_cluster, run.effect, seed=run.seed)
    return clustered, trial


def other_plan(run: SimpleNamespace) -> Exercise:
    group = trial_of(run)[1]["group"]
    n_c, n_t = ((group == arm).sum() for arm in experiment.ARMS)
    n = n_c + n_t
    terms = [(n_c - n / 3) ** 2 / (n / 3), (n_t - 2 * n / 3) ** 2 / (2 * n / 3)]
    p = stats.chi2.sf(sum(terms), df=1)
    by_seen = (n_c - n / 3) ** 2 / n_c + (n_t - 2 * n / 3) ** 2 / n_t
    lesson = (
        "No alarm at the limit of 0.001, although a fair coin made these arms, not that plan: a "
        "small experiment hides such a fault."
        if p >= 0.001
        else "An alarm at the limit of 0.001, and rightly: a fair coin made these arms, not that "
        "plan."
    )
    return Exercise(
        right=p,
        also=experiment.sample_ratio_p(int(n_c), int(n_t), 1 / 3),
        because=f"The plan expects {words.number(n / 3, 1)} in control, and there are {n_c:,}: "
        f"{words.p_value(p)}. {lesson}",
        wrong={
            "half and half": (
                stats.chisquare([n_c, n_t]).pvalue,
                "That is the check against half and half, the library's default. Both expected "
                "numbers change with the plan.",
            ),
            "the plan turned round": (
                stats.chisquare([n_t, n_c], [n / 3, 2 * n / 3]).pvalue,
                "Here a third was planned for *treatment*. In the question it is control.",
            ),
            "one arm only": (
                stats.chi2.sf(terms[0], df=1),
                "Only control's part of the sum was used. The treatment arm adds its own.",
            ),
            "divided by what was seen": (
                stats.chi2.sf(by_seen, df=1),
                "The squares were divided by the numbers seen. Divide by the numbers *expected*.",
            ),
            "two degrees of freedom": (
                stats.chi2.sf(sum(terms), df=2),
                "Two arms, but one freedom: once control's size is known, so is treatment's. Use "
                "`df=1`.",
            ),
            "the sum itself": (sum(terms), "That is the sum, not yet p. How often is it exceeded?"),
            "the complement": (
                stats.chi2.cdf(sum(terms), df=1),
                "That is 1 - p: how often the sum comes out *smaller*.",
            ),
            "halved": (
                p / 2,
                "This p was halved. Too many and too few customers in control both count against "
                "the plan, and the squares hold both.",
            ),
            "a third rounded": (
                stats.chisquare([n_c, n_t], [0.33 * n, 0.67 * n]).pvalue,
                "Close. The third was rounded to two digits; leave the division to the computer.",
            ),
        },
        hints=(
            "Same sum as above. What changes are the two expected numbers, which now differ.",
            "Expected: `n / 3` and `2 * n / 3`. The helper `experiment.sample_ratio_p` also takes "
            "`expected_share`, the share planned for control.",
        ),
        tolerance=0.00051,
    )


def pooled_sd(run: SimpleNamespace) -> Exercise:
    trial = trial_of(run)[1]
    c, t = (trial.loc[trial["group"] == arm, INCOME] for arm in experiment.ARMS)
    gap, n_c, n_t, whole = t.mean() - c.mean(), len(c), len(t), trial[INCOME].std()
    variance = ((n_c - 1) * c.var() + (n_t - 1) * t.var()) / (n_c + n_t - 2)
    if variance == 0:
        raise InputError("Inside each arm all incomes are equal, so there is no spread to pool.")
    right = math.sqrt(variance)
    return Exercise(
        right=right,
        also=abs(gap / stats.ttest_ind(t, c).statistic) / math.sqrt(1 / n_c + 1 / n_t)
        if gap
        else math.sqrt(np.average([c.var(), t.var()], weights=[n_c - 1, n_t - 1])),
        because=f"The whole cluster has {words.number(whole, 3)}. Pooling leaves out the gap "
        "between the arms, which makes the spread smaller, and divides by n - 2 instead of n - 1, "
        f"which makes it larger; here it comes out {'larger' if right > whole else 'smaller'}. The "
        f"standardised difference goes from {words.number(gap / whole, 3, sign=True)} to "
        f"{words.number(gap / right, 3, sign=True)}.",
        wrong={
            "the whole cluster's spread": (
                whole,
                "That is the spread of the whole cluster. Take the spread inside each arm, then "
                "pool the two.",
            ),
            "standard deviations averaged": (
                (c.std() + t.std()) / 2,
                "Here the standard deviations were averaged. Pool the *variances*; the root comes "
                "last.",
            ),
            "standard deviations averaged with weights": (
                ((n_c - 1) * c.std() + (n_t - 1) * t.std()) / (n_c + n_t - 2),
                "The weights are right, but the standard deviations were averaged. Pool the "
                "*variances*; the root comes last.",
            ),
            "variances without their weights": (
                math.sqrt((c.var() + t.var()) / 2),
                "Both variances count the same here. The question weights each by its n - 1.",
            ),
            "weighted by n": (
                math.sqrt((n_c * c.var() + n_t * t.var()) / (n_c + n_t)),
                "Close. The weights here are n; the question weights each variance by its n - 1.",
            ),
            "sd with ddof 0": (
                math.sqrt((n_c * c.var(ddof=0) + n_t * t.var(ddof=0)) / (n_c + n_t)),
                "Close. These variances divide by n, NumPy's default; the question divides by n - "
                "1.",
            ),
            "no root": (variance, "That is the pooled variance. Its root is the spread."),
            "already divided": (
                gap / right,
                "That is the standardised difference with this spread. Asked for is the spread "
                "itself.",
            ),
            "a standard error": (
                math.sqrt(variance * (1 / n_c + 1 / n_t)),
                "That is the standard error of the difference, which shrinks with the number of "
                "customers. Here the spread of single customers is asked for.",
            ),
            "control's spread alone": (
                c.std(),
                "That is the spread of the control arm alone. Pool both.",
            ),
            "treatment's spread alone": (
                t.std(),
                "That is the spread of the treatment arm alone. Pool both.",
            ),
        },
        hints=(
            f'Take the two arms of `trial`, column "{INCOME}". You need each arm\'s `.var()` and '
            "number of customers.",
            "Multiply each variance by its n - 1, add the two, divide by the sum of both n - 1, "
            "take the root.",
        ),
        tolerance=0.00051,
    )


def some_react(run: SimpleNamespace) -> Exercise:
    clustered, trial = trial_of(run)
    treated = (trial["group"] == "treatment").to_numpy()
    age = trial["Age"].to_numpy(dtype=float)
    react = age > np.median(age)
    n, n_t = len(age), treated.sum()

    def averages(reacting: np.ndarray, points: float = GAIN) -> tuple[float, float]:
        return points * reacting.mean(), points * reacting[treated].mean()

    def averages_among(these: np.ndarray) -> tuple[float, float]:
        chosen = these & treated
        return tuple(GAIN * react[who].mean() if who.any() else np.nan for who in (these, chosen))

    everybody, of_treated = averages(react)
    seen = trial["outcome"].to_numpy() + (GAIN * react - run.effect) * treated
    border = (
        "Other customers react here. Either those of just the median age were counted (they are "
        "not older), or the mean was taken for the median."
    )
    middle = statistics.median(age.tolist())
    older = [(years > middle, arm) for years, arm in zip(age, treated, strict=True)]
    return Exercise(
        right=(everybody, of_treated),
        also=(
            GAIN * sum(reacts for reacts, _ in older) / len(older),
            GAIN * sum(reacts and arm for reacts, arm in older) / sum(arm for _, arm in older),
        ),
        because=f"{react.sum():,} of {words.count(n, 'customer')} react, and "
        f"{react[treated].sum():,} of the {n_t:,} treated. The experiment asks about the first "
        "number; a fair coin makes the second equal to it on average, not in each single draw.",
        wrong={
            "swapped": (
                (of_treated, everybody),
                "Both numbers are there. First the whole cluster, then the treated.",
            ),
            "only those who react": (
                (GAIN, GAIN),
                "That is the effect on those who react. The others are customers, too: their "
                "effect of 0 counts in the mean.",
            ),
            "half of everybody": (
                (GAIN / 2, GAIN / 2),
                "Half of the points, as if exactly half reacted, in the cluster and among the "
                "treated. The customers of just the median age do not react, and the coin need not "
                "split the others evenly.",
            ),
            "median age included": (averages(age >= np.median(age)), border),
            "mean for median": (averages(age > age.mean()), border),
            "those of median age left out altogether": (
                averages_among(age != np.median(age)),
                "The customers of just the median age were left out. They are in the cluster, with "
                "an effect of 0.",
            ),
            "median of all customers": (
                averages(age > clustered["Age"].median()),
                "This is the median age of all customers. Take that of the cluster.",
            ),
            "controls for treated": (
                (everybody, GAIN * react[~treated].mean()),
                "The second number is about the controls.",
            ),
            "wrong number below the line": (
                (everybody, GAIN * react[treated].sum() / n),
                "The second sum is right. It is a mean over the treated: divide by *their* number.",
            ),
            "what the experiment shows": (
                (everybody, seen[treated].mean() - seen[~treated].mean()),
                "The second number is what the experiment shows, with the luck of the draw in it. "
                "The true effect compares two futures of the same customers.",
            ),
            "the planted effect": (
                averages(react, run.effect),
                "This uses the effect that the run plants. In the question it is 10 points.",
            ),
            "a share": (
                (react.mean(), react[treated].mean()),
                "These are the shares that react. How many points do they make on average?",
            ),
        },
        hints=(
            "Give each customer an effect first, 10 or 0. An average effect is the mean of that "
            "column, over the customers in question.",
            '`10 * (target["Age"] > target["Age"].median())` is that column. `treated` picks the '
            "treated out of it.",
        ),
    )


def which_check(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            (
                "the treated missing",
                "Treated customers are missing from the count, so the arms have the wrong sizes. "
                "Which check looks at sizes?",
            ),
            None,  # another program records the treatment arm
            (
                "chosen by the staff",
                "An A/A run may well show this. But so does another check, before any outcome is "
                "known: those chosen had bought more already.",
            ),
            (
                "never sent",
                "Both arms were treated alike, so this *is* an A/A run: sizes and baselines are "
                "fine, and the difference is luck. None of the three checks sees it.",
            ),
        ],
        because="Sizes and baselines are as they should be; only the measuring differs by arm. "
        "With nobody treated, the same machinery shows points that no campaign has made.",
        others={
            "none of them": (
                "none",
                "One of them needs no campaign to make a difference, and leaves who is in which "
                "arm alone.",
            )
        },
        hints=(
            "Go through the four with three questions: Are the sizes wrong? Did the customers "
            "differ before? Would the arms differ with nobody treated?",
            "You look for no, no, yes.",
        ),
    )


EXERCISES = {
    "02-other-plan": other_plan,
    "02-pooled-sd": pooled_sd,
    "02-some-react": some_react,
    "02-which-check": which_check,
}
