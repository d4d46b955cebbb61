"""The exercises of notebook 13: right answers, known mistakes and hints, for the run that asks."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
from scipy import stats

from helpers import InputError, data, finder, words
from helpers.exercises import Exercise, gaps, letter_question

KNOBS = {
    "users": 4_000,
    "planted": 4.0,
    "cost": 1.0,
    "log_file": None,
    "segment_columns": ["age", "country", "device", "past_purchases"],
    "outcome": "converted",
    "group": "group",
    "control": "control",
    "control_share": 0.5,
    "worth": 0.01,
    "user": None,
    "seed": 42,
}
PREDICTIONS = {
    "13-harmed": "of 100 trials",
    "13-nearer": "of 18 batters",
    "13-same-users": "of 100 intervals",
}
PUBLISHED = json.loads((data.FOLDER / "published_experiments.json").read_text(encoding="utf-8"))
TRIALS = 20_000


def told_apart(exercise: Exercise, what: str) -> Exercise:
    """The exercise, if in this run every mistake leads to another answer than the right way.

    Raises InputError otherwise.
    """
    for value, *_ in exercise.wrong.values():
        if gaps(exercise.right, value).max() <= 1.5 * exercise.tolerance:
            raise InputError(
                f"In {what} a known mistake leads to the same answer, by luck. Take another seed."
            )
    return exercise


def log_odds_ratio(counts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Log odds ratio and its variance from deaths and patients of treatment, then of control."""
    dead_t, n_t, dead_c, n_c = counts
    parts = dead_t, n_t - dead_t, dead_c, n_c - dead_c
    return np.log(parts[0] * parts[3] / (parts[1] * parts[2])), sum(1 / part for part in parts)


def trials(signs: int, picked: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Trials without a difference: the effect in the worst signs, and z against the others."""
    totals = np.array(list(PUBLISHED["isis_2"]["rows"].values()))[:, :4].sum(axis=0)
    dead_t, n_t, dead_c, n_c = map(int, totals)
    even, counts = np.full(signs, 1 / signs), []
    for dead, n in ((dead_t, n_t), (dead_c, n_c)):
        patients = rng.multinomial(n, even, TRIALS)
        counts += [rng.binomial(patients, dead / n), patients]
    order = log_odds_ratio(counts)[0].argsort(axis=1)
    two = []
    for chosen in (order[:, -picked:], order[:, :-picked]):
        two.append(log_odds_ratio([np.take_along_axis(x, chosen, 1).sum(1) for x in counts]))
    (worst, worst_error2), (others, others_error2) = two
    return worst, (worst - others) / np.sqrt(worst_error2 + others_error2)


def own_stars(run: SimpleNamespace) -> Exercise:
    signs = (4, 5, 6, 9, 10, 11)[run.seed % 6]
    rng = np.random.default_rng([run.seed, 21])
    worst, z = trials(signs, 1, rng)
    _, z_two = trials(signs, 2, rng)
    right = 100 * float((np.abs(z) > 1.96).mean())
    picked = f"the worst of {words.count(signs, 'sign')}"
    return told_apart(
        Exercise(
            right=right,
            also=100 * (1 - (1 - stats.norm.sf(1.96)) ** signs),
            because=f"Each sign looks significantly worse in one trial of forty; {picked} does so "
            "if any of them does: 1 - 0.975^signs is near to it. Named beforehand it would be 5 of "
            "100, both sides together.",
            wrong={
                "named beforehand": (
                    5.0,
                    "That is the promise for a sign that was named beforehand. This one was picked "
                    "by looking.",
                    0.3,
                ),
                "any sign, both sides": (
                    100 * (1 - 0.95**signs),
                    "That counts a sign that looks too good, too. Only the worst was picked: one "
                    "side of each test.",
                ),
                "looks harmed": (
                    100 * float((worst > 0).mean()),
                    "That is how often it looks harmful, an odds ratio above 1. Asked for is how "
                    "often its difference from the others has a p below 0.05.",
                ),
                "two signs": (
                    100 * float((np.abs(z_two) > 1.96).mean()),
                    "That is for the two worst. Here only the one that looks worst is picked.",
                ),
                "as on the page": (
                    100 * float((np.abs(trials(12, 2, rng)[1]) > 1.96).mean()),
                    "That is for the two worst of twelve signs. Yours are `own_signs`, and one is "
                    "picked.",
                ),
                "a share": (
                    right / 100,
                    "That is a share. Asked for is how many of 100.",
                    0.02,
                ),
            },
            hints=(
                "The machine of the first section, with `own_signs` where twelve stood, and one "
                "sign picked where two were.",
                "Draw with `np.full(own_signs, 1 / own_signs)`; the worst is `order[:, -1:]`, the "
                "others `order[:, :-1]`; then count `np.abs(z) > 1.96`.",
            ),
            tolerance=2.1,
        ),
        f"a zodiac of {words.count(signs, 'sign')}",
    )


def later(run: SimpleNamespace) -> Exercise:
    hits = np.array(list(PUBLISHED["batters"]["rows"].values()))[:, 0]
    rates, bats = hits / 45, 60 + 10 * (run.seed % 10)
    p, k = float(rates.mean()), len(rates)
    luck, squares = p * (1 - p) / bats, float(((rates - p) ** 2).sum())
    right = 1 - luck / (squares / (k - 3))
    early = 1 - p * (1 - p) / 45 / (squares / (k - 3))
    own = Exercise(
        right=right,
        also=(squares - (k - 3) * luck) / squares,
        because=f"Luck has become smaller, {luck:.5f}, and the scatter is the same, "
        f"{squares / (k - 3):.5f}. The more is known of each, the less is taken away; after 45 it "
        f"was {words.number(early)}.",
        wrong={
            "45": (early, "That is after 45 times at bat. Luck is smaller after `own_bats`."),
            "taken away": (
                1 - right,
                "That is the share that is taken away. Asked for is what is kept.",
            ),
            "k - 1": (
                1 - luck / (squares / (k - 1)),
                "That divides the scatter by k - 1. This recipe divides it by k - 3.",
            ),
            "roots": (
                1 - math.sqrt(luck / (squares / (k - 3))),
                "Spreads were divided. The share is one of variances.",
            ),
            "in proportion": (
                early * bats / 45,
                "What is *taken away* falls in proportion to the times at bat; what is kept does "
                "not rise so.",
            ),
        },
        hints=(
            "Only one line of the cell above changes: the one of luck.",
            "kept = 1 - luck / scatter, with luck = m(1 - m)/own_bats.",
        ),
    )
    return told_apart(own, "these times at bat")


def one_shop(run: SimpleNamespace, rng: np.random.Generator) -> tuple:
    """Users as in the notebook, drawn in its order: what is known, arms, what they bring."""
    n = run.users
    known = {"days": rng.integers(1, 200, n), "orders": rng.geometric(0.2, n)}
    known |= {"age": rng.integers(18, 75, n)}
    shares = {"phone": 0.6, "newsletter": 0.4, "north": 0.3, "student": 0.2}
    table = pd.DataFrame(known | {name: rng.random(n) < p for name, p in shares.items()})
    treated = rng.random(n) < 0.5
    true = run.planted * ((table["days"] > 120) + np.where(table["phone"], 0.25, -0.25))
    brings = 10 + rng.gamma(1.2, 13, n) + treated * true
    return table.astype(float), treated, brings.to_numpy()


def own_found(run: SimpleNamespace) -> pd.DataFrame:
    """What the tree finds in the learner's own shop: share, lift, and lift_anew of each segment.

    Of fifty shops the first in which both lifts would choose other segments; else the first of all.
    """
    shops = (shop_of(run, np.random.default_rng([run.seed, 13, i])) for i in range(50))
    odd = (
        one for one in shops if ((one["lift"] > run.cost) != (one["lift_anew"] > run.cost)).any()
    )
    return next(odd, shop_of(run, np.random.default_rng([run.seed, 13, 0])))


def shop_of(run: SimpleNamespace, rng: np.random.Generator) -> pd.DataFrame:
    """Share, lift and lift_anew of each segment that is found in one shop."""
    known, treated, brings = one_shop(run, rng)
    half = rng.permutation(run.users) % 2 == 0
    leaf = finder.grow(known[half], treated[half], brings[half]).apply(known.to_numpy())
    columns = {"share": pd.Series(leaf).value_counts(normalize=True)}
    for name, part in (("lift", half), ("lift_anew", ~half)):
        means = pd.Series(brings[part]).groupby([leaf[part], treated[part]]).mean().unstack()
        columns[name] = means[True] - means[False]
    return pd.DataFrame(columns)


def own_shop(run: SimpleNamespace) -> Exercise:
    found = own_found(run)
    share, claimed, anew = (found[name].to_numpy() for name in found)
    chosen = claimed > run.cost
    if not chosen.any():
        raise InputError(
            "In your shop no segment claims more than a coupon costs. Take another seed, or a "
            "smaller cost."
        )
    right = float(share[chosen] @ (anew[chosen] - run.cost))
    by_anew = anew > run.cost
    wrong = {
        "claimed": (
            float(share[chosen] @ (claimed[chosen] - run.cost)),
            "That is what the users who found the segments claim. It is no number to report.",
        ),
        "no cost": (
            float(share[chosen] @ anew[chosen]),
            "The coupons have not been paid for: take off `cost` for each user who gets one.",
        ),
        "per coupon": (
            right / float(share[chosen].sum()),
            "That is per *treated* user. Asked for is per user of the shop.",
        ),
        "everybody": (
            float(share @ (anew - run.cost)),
            "That treats everybody. The policy treats the segments that claim more than the cost.",
        ),
        "chosen anew": (
            float(share[by_anew] @ (anew[by_anew] - run.cost)),
            "There the users who measure also choose. Then they have searched, too, and what they "
            "measure is a claim. Choose by the claimed lift.",
        ),
    }
    return told_apart(
        Exercise(
            right=right,
            also=float((share * chosen * anew).sum() - run.cost * (share * chosen).sum()),
            because=f"The claim was {words.number(wrong['claimed'][0])}. Who is treated was chosen "
            "by the users who searched, and what it is worth was said by the others.",
            wrong={
                name: value
                for name, value in wrong.items()
                if name == "claimed" or gaps(value[0], right).max() > 0.02
            },
            hints=(
                "Which segments are treated is decided by one column, and what that is worth by "
                "another. The others add nothing and cost nothing.",
                "`chosen = own_shop['lift'] > cost`; then add up share times (lift_anew - cost) "
                "over the chosen.",
            ),
        ),
        "your shop",
    )


def reports(run: SimpleNamespace) -> Exercise:
    return letter_question(
        run.seed,
        texts=[
            None,  # measured on users who did not search, all segments compared, asked again
            (
                "the finder's own p",
                "Who searched, and who measured? That p counts as if the segment had been named "
                "beforehand.",
            ),
            (
                "halves until it holds",
                "How many halves does it take until a horoscope holds? That is a search, too.",
            ),
            (
                "not significant, so alike",
                "Not significant is what few users show of any difference. How far apart could the "
                "segments be?",
            ),
        ],
        because="It says where was searched, quotes the users who did not, compares all segments "
        "among those, and asks again. The others let the search measure itself, search the halves "
        "as well, or take silence for proof.",
        others={
            "none": ("none", "One of them claims no more than its users show."),
            "all": ("all", "Three of them claim what their users do not show."),
        },
        hints=(
            "For each: who found, who measured, and how often was looked?",
            "One says nothing about who measured; one looks again and again; one concludes from "
            "silence.",
        ),
    )


EXERCISES = {
    "13-own-stars": own_stars,
    "13-later": later,
    "13-own-shop": own_shop,
    "13-reports": reports,
}
