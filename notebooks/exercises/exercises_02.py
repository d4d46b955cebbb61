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
PREDICTIONS = {
    "02-imbalance": "of 100 assignments, beyond 0.1",
    "02-serious-imbalance": "of 100 assignments, beyond 0.25",
    "02-a-a-range": "points from end to end",
}
INCOME, GAIN = "Annual Income (k$)", 0.5  # points for a year


def trial_of(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All customers with their clusters, and the run's experiment."""
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    trial = experiment.simulate_experiment(clustered, run.target_cluster, run.effect, seed=run.seed)
    return clustered, trial


def as_unlikely(seen: int, n: int, share: float) -> float:
    """How often chance gives a number of controls that is as unlikely as the one seen, or more."""
    chances = stats.binom.pmf(np.arange(n + 1), n, share)
    return chances[chances <= chances[seen] * (1 + 1e-7)].sum()


def other_plan(run: SimpleNamespace) -> Exercise:
    group = trial_of(run)[1]["group"]
    n_c, n_t = (int((group == arm).sum()) for arm in experiment.ARMS)
    n = n_c + n_t
    p = experiment.sample_ratio_p(n_c, n_t, 1 / 3)
    by_squares = stats.chisquare([n_c, n_t], [n / 3, 2 * n / 3]).pvalue
    many, few = stats.binom.sf(n_c - 1, n, 1 / 3), stats.binom.cdf(n_c, n, 1 / 3)
    lesson = (
        "No alarm at the limit of 0.001, although a fair coin made these arms, not that plan: a "
        "small experiment hides such a fault."
        if p >= 0.001
        else "An alarm at the limit of 0.001, and rightly: a fair coin made these arms, not that "
        "plan."
    )
    return Exercise(
        right=p,
        also=as_unlikely(n_c, n, 1 / 3) if n <= 1000 else by_squares,
        because=f"The plan expects {words.number(n / 3, 1)} in control, and there are {n_c:,}: "
        f"{words.p_value(p)}. {lesson}",
        wrong={
            "half and half": (
                experiment.sample_ratio_p(n_c, n_t),
                "That is the check against half and half, which the helper takes when nothing "
                "else is said. Give it the share that was planned for control.",
            ),
            "the plan turned round": (
                experiment.sample_ratio_p(n_t, n_c, 1 / 3),
                "Here a third was planned for *treatment*. In the question it is control.",
            ),
            "the approximation": (
                by_squares if n <= 1000 else math.nan,
                "Close. That is chi-square, an approximation for many users. With so few, count "
                "exactly.",
            ),
            "one side only": (
                min(many, few),
                "That counts one side only. Too many and too few customers in control both count "
                "against the plan.",
            ),
            "the smaller side doubled": (
                min(1.0, 2 * min(many, few)),
                "Close. That doubles the smaller side, another custom. The helper adds up all "
                "numbers that are as unlikely as the one seen, or more.",
            ),
            "the complement": (
                1 - p,
                "That is 1 - p: how often the arms come out *nearer* to the plan.",
            ),
            "halved": (
                p / 2,
                "This p was halved. Too many and too few customers in control both count against "
                "the plan.",
            ),
            "a third rounded": (
                experiment.sample_ratio_p(n_c, n_t, 0.33),
                "Close. The third was rounded to two digits; leave the division to the computer.",
            ),
            "the share seen": (
                n_c / n,
                "That is the share of customers in control. How often does the plan give one as "
                "odd as that?",
            ),
            "per cent": (100 * p, "That is in per cent. A p-value runs from 0 to 1."),
        },
        hints=(
            "The helper of the section on the ratio does it, with one more argument.",
            "`experiment.sample_ratio_p(n_control, n_treatment, expected_share=...)`: the share "
            "planned for control.",
        ),
        tolerance=min(0.00051, p / 50),
    )


def pooled_sd(run: SimpleNamespace) -> Exercise:
    trial = trial_of(run)[1]
    c, t = (trial.loc[trial["group"] == arm, INCOME] for arm in experiment.ARMS)
    gap, n_c, n_t, whole = t.mean() - c.mean(), len(c), len(t), trial[INCOME].std()

    def pooled(column: str) -> float:
        variances = trial.groupby("group")[column].var()
        weights = trial.groupby("group")[column].count() - 1
        return math.sqrt(np.average(variances, weights=weights))

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
            "the outcome instead of income": (
                pooled("outcome"),
                "That is the spread of the *outcome*. The question is about income.",
            ),
            "the score instead of income": (
                pooled(experiment.OUTCOME),
                "That is the spread of the spending score. The question is about income.",
            ),
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
    n, n_t = len(age), treated.sum()

    def gains(border: float) -> np.ndarray:
        """The effect on each customer, in points."""
        return GAIN * np.maximum(age - border, 0)

    def averages(gain: np.ndarray) -> tuple[float, float]:
        return gain.mean(), gain[treated].mean()

    gain = gains(float(np.median(age)))
    react = gain > 0
    everybody, of_treated = averages(gain)
    of_their_own = gains(float(np.median(age[treated])))[treated].mean()
    seen = trial["outcome"].to_numpy() + (gain - run.effect) * treated
    middle = statistics.median(age.tolist())
    years = [(max(a - middle, 0.0), arm) for a, arm in zip(age.tolist(), treated, strict=True)]
    return Exercise(
        right=(everybody, of_treated),
        also=(
            GAIN * sum(extra for extra, _ in years) / len(years),
            GAIN * sum(extra for extra, arm in years if arm) / sum(arm for _, arm in years),
        ),
        because=f"{react.sum():,} of {words.count(n, 'customer')} react, and "
        f"{react[treated].sum():,} of the {n_t:,} treated. The experiment asks about the "
        "mean over all; a fair coin makes the mean over the treated equal to it on average, not in "
        "each single draw.",
        wrong={
            "swapped": (
                (of_treated, everybody),
                "Both numbers are there. First the whole cluster, then the treated.",
            ),
            "only those who react": (
                (gain[react].mean(), gain[react & treated].mean())
                if (react & treated).any()
                else (math.nan, math.nan),
                "That is the effect on those who react. The others are customers, too: their "
                "effect of 0 counts in the mean.",
            ),
            "the median of the treated": (
                (everybody, of_their_own),
                "For the second number the median age was taken among the treated only. Who reacts "
                "does not depend on the coin: take the median of the cluster.",
            ),
            "half a point, whatever the years": (
                averages(GAIN * react),
                "Here everybody who reacts gains half a point. It is half a point for each *year* "
                "above the median.",
            ),
            "years below count as gains": (
                averages(GAIN * np.abs(age - np.median(age))),
                "Here younger customers gain, too. They have no effect: 0.",
            ),
            "years below count as losses": (
                averages(GAIN * (age - np.median(age))),
                "Here younger customers lose. They have no effect: 0, not less.",
            ),
            "mean for median": (
                averages(gains(age.mean())),
                "These years were counted from the mean age. Take the median.",
            ),
            "years, not points": (
                averages(2 * gain),
                "These are years. Each of them is worth half a point.",
            ),
            "median of all customers": (
                averages(gains(clustered["Age"].median())),
                "This is the median age of all customers. Take that of the cluster.",
            ),
            "controls for treated": (
                (everybody, gain[~treated].mean()),
                "The second number is about the controls.",
            ),
            "wrong number below the line": (
                (everybody, gain[treated].sum() / n),
                "The second sum is right. It is a mean over the treated: divide by *their* number.",
            ),
            "what the experiment shows": (
                (everybody, seen[treated].mean() - seen[~treated].mean()),
                "The second number is what the experiment shows, with the luck of the draw in it. "
                "The true effect compares two futures of the same customers.",
            ),
            "a share": (
                (react.mean(), react[treated].mean()),
                "These are the shares that react. How many points do they make on average?",
            ),
        },
        hints=(
            "Give each customer an effect first: half of the years above the median age, or 0. An "
            "average effect is the mean of that column, over the customers in question.",
            '`0.5 * (target["Age"] - target["Age"].median()).clip(lower=0)` is that column. '
            "`treated` picks the treated out of it.",
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
