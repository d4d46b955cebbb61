"""The exercises of notebook 05: right answers, known mistakes and hints, for the run that asks."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import optimize, stats

from helpers import InputError, data, experiment, inference, power, segments, words
from helpers.exercises import Exercise

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "worth": 1.0,
    "customers_per_week": 10,
    "seed": 42,
}
PREDICTIONS = {
    "05-power": "of 100 experiments",
    "05-exaggeration": "times the true effect",
}
NOISE = 5.0


def segment_of(run: SimpleNamespace) -> tuple[pd.Series, float]:
    """The baseline scores of the run's cluster, and the spread of outcomes inside an arm."""
    words.check_worth(run.worth)
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    baseline = segments.select_cluster(clustered, run.target_cluster)[experiment.OUTCOME]
    if len(baseline) < 4:
        raise InputError(
            f"Cluster {run.target_cluster} has {words.count(len(baseline), 'customer')}, and two "
            "arms of two need four. Choose another target_cluster, or fewer clusters."
        )
    return baseline, math.sqrt(baseline.var() + NOISE**2)


def power_by_f(n: float, effect: float, sd: float) -> float:
    """Power of two equal arms of n by another road: t squared is F."""
    df, shift2 = 2 * n - 2, (effect / sd) ** 2 * n / 2
    return stats.ncf.sf(stats.f.isf(0.05, 1, df), 1, df, shift2)


def size_by_f(target: float, effect: float, sd: float) -> float:
    """Customers in each arm, at least two, that give the target power."""
    if power_by_f(2, effect, sd) >= target:
        return 2.0
    end = 4.0
    while power_by_f(end, effect, sd) < target:
        end *= 2
    return optimize.brentq(lambda n: power_by_f(n, effect, sd) - target, end / 2, end)


def ninety(run: SimpleNamespace) -> Exercise:
    baseline, sd = segment_of(run)
    customers = baseline.std() or math.nan

    def total(effect: float = run.worth, spread: float = sd, **options: float) -> float:
        if math.isnan(spread):
            return math.nan
        return 2 * power.sample_size(effect, spread, **{"power": 0.9} | options)

    right, usual = total(), total(power=0.8)
    return Exercise(
        right=right,
        also=2 * size_by_f(0.9, run.worth, sd),
        because=f"With the customary 80 % it would be {2 * math.ceil(usual / 2):,}: a better "
        f"chance costs {words.percent(right / usual - 1, 0)} more customers. The effect that you "
        "plant or hope for does not enter, only the smallest one worth having.",
        wrong={
            "one arm only": (right / 2, "That is one arm. There are two."),
            "the notebook's own plan": (
                2 * np.ceil(power.sample_size(run.effect, sd)) if run.effect else math.nan,
                "That is the notebook's plan, for the planted effect and 80 %. This one is for the "
                "smallest lift worth having, and nine in ten.",
            ),
            "80 % and one arm": (
                usual / 2,
                "That is for the usual 80 %, and one arm of it. This test is to miss less often.",
            ),
            "counted twice": (2 * right, "Both arms were already in it, and then doubled again."),
            "80 % instead": (usual, "That is for the usual 80 %. This test is to miss less often."),
            "one-sided": (
                total(alpha=0.1),
                "That is a one-sided test, or a limit of 0.1. The course's tests look at both "
                "sides, with 0.05 in all.",
            ),
            "the planted effect": (
                total(run.effect),
                "That is for the planted effect. A plan is made for the smallest lift worth "
                "having.",
            ),
            "the smallest effect that can be found": (
                total(power.minimum_detectable_effect(len(baseline) / 2, sd)),
                "That is the plan for the smallest effect that today's customers can find. This "
                "one is for the smallest lift *worth having*.",
            ),
            "the noise left out": (
                total(spread=customers),
                "That is the spread of the baseline scores alone. Outcomes have noise as well: "
                "`sd`.",
            ),
            "the baseline subtracted": (
                total(spread=NOISE),
                "That is the plan with the baseline subtracted. This one takes outcomes as they "
                "are: `sd`.",
            ),
            "variance for spread": (
                total(spread=sd**2),
                "A variance went in where the spread belongs. The formula squares it itself.",
            ),
        },
        hints=(
            "One call of the helper for one arm. What does `power=` stand for in it?",
            "`power.sample_size(effect, sd, power=...)` gives one arm. Which effect is the plan "
            "for, and how many arms are there?",
        ),
        tolerance=min(2.001, 0.45 * right),
    )


def unequal(run: SimpleNamespace) -> Exercise:
    baseline, sd = segment_of(run)
    n, k = len(baseline), 3 + run.seed % 4
    price = k**2 / (4 * (k - 1))
    wanted = sd * math.sqrt(4 / n)
    return Exercise(
        right=n * price,
        also=(sd * math.sqrt(k + k / (k - 1)) / wanted) ** 2,
        because="The variance of the lift is that of a customer times 1/n of one arm plus 1/n of "
        "the other, and the small arm has the large share of it. The price of the uneven split: "
        f"{words.percent(price - 1, 0)} more customers.",
        wrong={
            "no price": (
                n,
                "As many as before: the mean size of an arm has not changed. But the small arm "
                "loses more than the large one gains.",
            ),
            "the small arm as large as before": (
                n * k / 2,
                "That makes the treated arm as large as before. The other arm is now larger, and "
                "helps too.",
            ),
            "the root forgotten": (
                n * math.sqrt(price),
                "That is the ratio of the standard errors, times n. Precision grows with the "
                "*root* of n.",
            ),
            "upside down": (
                n / price,
                "Fewer than before? Uneven arms cost precision; the ratio stands upside down.",
            ),
            "the treated alone": (
                n * price / k,
                "That is the treated arm alone. How many in all?",
            ),
            "each arm rounded up": (
                math.ceil(n * price / k) + math.ceil(n * price * (k - 1) / k),
                "There the arms were rounded up, each for itself. That is sensible in practice; "
                "here round only the total.",
            ),
            "doubled": (
                2 * n * price,
                "Both arms were in it already, and then doubled again.",
            ),
            "per arm": (
                n * price / 2,
                "That is half of them. How many in all, both arms together?",
            ),
            "one for k": (
                n * (k + 1) ** 2 / (4 * k),
                "That is one treated for k controls. One in k leaves k - 1 controls for each.",
            ),
            "both arms rounded up": (
                k * math.ceil(n * price / k),
                "There the arms were rounded up, each for itself. That is sensible in practice; "
                "here round only the total.",
            ),
        },
        hints=(
            "The squares of two standard errors add up: sd² / n of one arm plus sd² / n of the "
            "other.",
            "With N customers and one in k treated: 1/n of the treated arm is k/N, of the control "
            "arm k/((k-1) N). Their sum should be what it is now, 2/n + 2/n. The spread cancels.",
        ),
        tolerance=min(0.999, n * (price - 1) / 3),
    )


def runs_of(baseline: pd.Series, effect: float, seed: int) -> tuple[pd.DataFrame, tuple]:
    """The notebook's runs with this effect, and what they were made from."""
    n_runs = max(200, min(4_000, 4_000_000 // len(baseline)))
    made = experiment.simulate_many(baseline, n_runs, effect=effect, seed=seed)
    return inference.welch_many(*made).dropna(), made


def significant_lifts(run: SimpleNamespace) -> tuple[pd.DataFrame, pd.Series, tuple]:
    """All runs with a true lift worth having, the lifts of the significant ones, and their data."""
    runs, made = runs_of(segment_of(run)[0], run.worth, run.seed)
    found = runs.loc[runs["p_value"] < 0.05, "lift"]
    if found.empty:
        raise InputError("Of these runs not one is significant. Choose a larger segment or worth.")
    return runs, found, made


def significant_mean(run: SimpleNamespace) -> float:
    """The mean size of the significant lifts in the notebook's own runs, of the planted effect."""
    runs = runs_of(segment_of(run)[0], run.effect, run.seed)[0]
    return runs.loc[runs["p_value"] < 0.05, "lift"].abs().mean()


def lifts_by_scipy(outcomes: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """The significant lifts once more: scipy's test on means, spreads and sizes."""
    sizes = [chosen.sum(axis=1) for chosen in (treated, ~treated)]
    usable = np.minimum(*sizes) >= 2
    masked = [np.ma.array(outcomes[usable], mask=~arm[usable]) for arm in (treated, ~treated)]
    means = [arm.mean(axis=1).data for arm in masked]
    spreads = [arm.std(axis=1, ddof=1).data for arm in masked]
    numbers = zip(means, spreads, (n[usable] for n in sizes), strict=True)
    test = stats.ttest_ind_from_stats(*(x for arm in numbers for x in arm), equal_var=False)
    return (means[0] - means[1])[test.pvalue < 0.05]


def type_m(run: SimpleNamespace) -> Exercise:
    runs, found, made = significant_lifts(run)
    planted = significant_mean(run)
    right = found.abs().mean() / run.worth
    return Exercise(
        right=right,
        also=np.abs(lifts_by_scipy(*made)).mean() / run.worth,
        because=f"{words.count(len(found), 'run')} of {len(runs):,} passed the test, and the "
        f"smallest lift among them has a size of {words.number(found.abs().min())} points; nothing "
        f"smaller was let through. The truth is {words.given(run.worth)}.",
        wrong={
            "all runs": (
                runs["lift"].abs().mean() / run.worth,
                "That is the mean size over *all* runs. Only the significant ones get reported.",
            ),
            "all runs, with their signs": (
                runs["lift"].mean() / run.worth,
                "That is the mean over *all* runs, which is honest. Keep only the significant "
                "ones.",
            ),
            "with their signs": (
                found.mean() / run.worth,
                "Here losses and gains cancel each other. Type M compares *sizes*, without sign.",
            ),
            "the planted effect": (
                planted / abs(run.effect) if run.effect else math.nan,
                "That is the factor for the planted effect. Simulate anew, with `effect=worth`.",
            ),
            "worth without a new simulation": (
                planted / run.worth,
                "These are the runs of the planted effect. If the truth is another, the runs are "
                "others too: simulate anew.",
            ),
            "wrong signs": (
                (found < 0).mean(),
                "That is type S: the share of significant runs with the wrong sign.",
            ),
            "divided by the planted effect": (
                found.abs().mean() / abs(run.effect) if run.effect else math.nan,
                "The right runs, divided by the planted effect. In these runs the truth is "
                "`worth`.",
            ),
            "other runs": (
                right,
                "The right recipe, other runs. Take the same `n_runs` and the same `seed`.",
                0.03 * right,
            ),
            "how much too large": (
                right - 1,
                "That is by how many times the truth they are *too large*. How many times the "
                "truth do they report?",
            ),
            "the share of significant runs": (
                len(found) / len(runs),
                "That is the power. Now look at the lifts of those runs.",
            ),
        },
        hints=(
            'The cells under "Power by simulation" and on type M, with another true effect.',
            "`simulate_many` with `effect=worth`, `welch_many`, keep p below 0.05; then the mean "
            "of `lift.abs()` over the truth of *these* runs.",
        ),
    )


def follow_up(run: SimpleNamespace) -> Exercise:
    _, found, made = significant_lifts(run)
    baseline, sd = segment_of(run)
    reported, planted = found.abs().mean(), significant_mean(run)
    size, wanted = power.sample_size(reported, sd), power.sample_size(run.worth, sd)
    right = 100 * power.power(size, run.worth, sd)
    exaggerates = reported > 1.05 * run.worth
    lesson = "Plan with a lift that you state, not with one that was measured."
    if exaggerates:
        lesson = "Plan with a lift that you state, not with one that had to be large to be seen."
    size_again = size_by_f(0.8, np.abs(lifts_by_scipy(*made)).mean(), sd)
    return Exercise(
        right=right,
        also=100 * power_by_f(size_again, run.worth, sd),
        because=f"Planned for {words.number(reported)} points, it gets {words.number(size, 1)} "
        f"customers an arm. A lift of {words.given(run.worth)} would take "
        f"{words.number(wanted, 1)}. {lesson}",
        wrong={
            "the power that was planned": (
                80,
                "That is the power if the report were true. The truth is `worth`.",
            ),
            "a share": (right / 100, "That is a share. Per cent: times 100."),
            "the present design": (
                100 * power.power(len(baseline) / 2, run.worth, sd),
                "That is the power of the design that we have. The next test has arms of another "
                "size.",
            ),
            "both arms in each": (
                100 * power.power(2 * size, run.worth, sd),
                "Twice the customers: `sample_size` gives one arm, and `power` wants one arm.",
            ),
            "half an arm": (
                100 * power.power(max(2.0, size / 2), run.worth, sd),
                "Half the customers: `sample_size` gives one arm already.",
            ),
            "the arm rounded up": (
                100 * power.power(math.ceil(size), run.worth, sd),
                "The size of an arm was rounded. Leave it as it comes.",
            ),
            "the arm rounded": (
                100 * power.power(max(2, round(size)), run.worth, sd),
                "The size of an arm was rounded. Leave it as it comes.",
            ),
            "planned from the runs of the planted effect": (
                100 * power.power(power.sample_size(planted, sd), run.worth, sd)
                if planted > 0
                else math.nan,
                "This plan starts from the runs of the planted effect. Take those of exercise 3.",
            ),
            "the planted effect": (
                100 * power.power(size, run.effect, sd),
                "That is the power for the planted effect. Here the truth is `worth`.",
            ),
            "the chance to miss it": (100 - right, "That is the chance to *miss* it."),
        },
        hints=(
            "Two steps, two different lifts: the size of an arm comes from the lift that was "
            "*reported*, the power from the lift that is *true*.",
            "`power.sample_size(reported, sd)` with the mean size of the significant lifts of "
            "exercise 3; then `power.power(size, worth, sd)`.",
        ),
    )


EXERCISES = {
    "05-ninety": ninety,
    "05-unequal": unequal,
    "05-type-m": type_m,
    "05-follow-up": follow_up,
}
