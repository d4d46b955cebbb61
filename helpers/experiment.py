"""Simulated experiments: assign, plant an effect, check the ratio of the arms, repeat."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from helpers import (
    InputError,
    Pair,
    as_numbers,
    check_seed,
    check_share,
    is_count,
    is_number,
    segments,
)

OUTCOME, ARMS = "Spending Score (1-100)", ("control", "treatment")
Stream = np.random.RandomState | np.random.Generator
Seed = int | Stream


def simulate_experiment(
    clustered: pd.DataFrame,
    target_cluster: int,
    effect: float = 3.0,
    noise_sd: float = 5.0,
    seed: Seed = 42,
) -> pd.DataFrame:
    """Run one experiment in one cluster: its rows with the columns "group" and "outcome".

    group is control or treatment; outcome = spending score + normal noise + effect for the treated,
    in score points, like effect and noise_sd. An integer seed replays NumPy's legacy stream just
    as the original analysis drew it: first every coin flip, then every noise term. A RandomState
    or Generator is drawn from where it stands.
    Raises InputError for an unknown cluster, a table without clusters or scores, fewer than two
    customers in an arm, an effect that `check_effect` refuses, a noise_sd below 0, or a bad seed.
    """
    _check_knobs(effect, noise_sd)
    rows = segments.select_cluster(clustered, target_cluster)
    if OUTCOME not in rows:
        raise InputError(f"The table has no column {OUTCOME!r}, on which the outcome is built.")
    scores = as_numbers(rows[OUTCOME], f"column {OUTCOME}")
    coins, noise = _draw(len(rows), noise_sd, _stream(seed))
    group = np.array(ARMS)[coins]
    counts = {arm: int((group == arm).sum()) for arm in ARMS}
    if min(counts.values()) < 2:
        raise InputError(
            f"is {target_cluster}, too small to test: {counts['control']} of {len(rows)} fell to "
            f"control, {counts['treatment']} to treatment, and each arm needs at least two.\n"
            "Choose another cluster, fewer clusters, or another seed.",
            "target_cluster",
        )
    outcome = scores + noise + effect * (group == "treatment")
    return rows.assign(group=group, outcome=outcome)


def replay_seeds(
    baseline: ArrayLike, seeds: Iterable[int], effect: float = 3.0, noise_sd: float = 5.0
) -> Pair:
    """`simulate_experiment` once for each seed, on a cluster whose scores are `baseline`.

    baseline: n values. Returns outcome (score points) and treated (True for the treatment arm),
    each of shape (number of seeds, n). An empty or tiny arm is left in: `inference.welch_many`
    says nan there.
    Raises InputError for no seed, a bad seed, a baseline with blanks, an effect that `check_effect`
    refuses, or a noise_sd below 0.
    """
    _check_knobs(effect, noise_sd)
    baseline = as_numbers(baseline, "baseline")
    seeds = list(seeds)
    if not seeds:
        raise InputError("There is no seed to replay; give some, such as range(1000).")
    outcome = np.empty((len(seeds), len(baseline)))  # filled row by row, as it may be large
    treated = np.empty(outcome.shape, dtype=bool)
    stream = np.random.RandomState(0)  # one, seeded anew for each run: to make one takes longer
    for row, seed in enumerate(seeds):
        check_seed(seed)
        stream.seed(int(seed))
        coins, noise = _draw(len(baseline), noise_sd, stream)
        treated[row] = coins == 1
        outcome[row] = baseline + noise + effect * treated[row]
    return outcome, treated


def simulate_many(
    baseline: ArrayLike,
    n_runs: int,
    effect: float = 3.0,
    noise_sd: float = 5.0,
    seed: int | np.random.Generator = 42,
) -> Pair:
    """The same experiment `n_runs` times in a few array operations, to count what happens.

    Same design, shapes and errors as `replay_seeds`, drawn from one Generator instead of one
    legacy stream a run.
    """
    _check_knobs(effect, noise_sd)
    baseline = as_numbers(baseline, "baseline")
    check_seed(seed)
    if not (is_number(n_runs, whole=True) and n_runs >= 1):
        raise InputError(f"is {n_runs!r}; give a whole number from 1 up.", "n_runs")
    rng = np.random.default_rng(seed)
    treated = rng.integers(2, size=(n_runs, len(baseline)), dtype=np.uint8).astype(bool)
    outcome = rng.normal(0, noise_sd, size=treated.shape)
    outcome += baseline  # in place, as there may be many
    outcome += effect * treated
    return outcome, treated


def sample_ratio_p(n_control: float, n_treatment: float, expected_share: float = 0.5) -> float:
    """p-value of a test that the arms have the planned sizes.

    It is the exact binomial test up to 1,000 users, Pearson's chi-square test above.
    n_control, n_treatment: whole numbers, 20.0 as well as 20. expected_share: the share of all
    users planned for control, between 0 and 1. Sources: Clopper and Pearson (1934), Pearson
    (1900); as a routine check of experiments (sample ratio mismatch) Fabijan and others (2019).
    Raises InputError for negative counts, no users at all, or a share outside 0 to 1.
    """
    counts = [n_control, n_treatment]
    if not all(map(is_count, counts)) or not any(counts):
        raise InputError(
            f"The arms have {n_control} and {n_treatment} users: give two counts, not both zero."
        )
    check_share("expected_share", expected_share, 0.5)
    total, share = float(n_control) + float(n_treatment), float(expected_share)
    if total <= 1000:
        return float(stats.binomtest(int(n_control), int(total), share).pvalue)
    return float(stats.chisquare(counts, [total * share, total * (1 - share)]).pvalue)


def lost_users_p(listed: tuple[int, int], there: tuple[int, int]) -> float:
    """p-value of a test that both arms of a list, whose sizes were exact, lost users alike.

    listed, there: users of control and treatment on the list, and of them those with results.
    Source: Fisher's exact test (1935).
    """
    lost = [n - m for n, m in zip(listed, there, strict=True)]
    return float(stats.fisher_exact([lost, there]).pvalue)


def _draw(n: int, noise_sd: float, stream: Stream) -> Pair:
    """Coins, 1 for treatment, and noise: `choice` draws the same numbers for 2 as for two names."""
    return stream.choice(2, size=n), stream.normal(0, noise_sd, size=n)


def _stream(seed: Seed) -> Stream:
    if isinstance(seed, np.random.RandomState | np.random.Generator):
        return seed
    check_seed(seed)
    return np.random.RandomState(seed)


def check_effect(effect: float) -> None:
    """Raise InputError unless effect is 0, or from a billionth of a score point to 1,000 points."""
    if not (is_number(effect) and (effect == 0 or 1e-9 <= abs(effect) <= 1000)):
        raise InputError(
            f"is {effect!r}; give 0, or score points from 1e-9 to 1,000, such as 3.0 or -2.",
            "effect",
        )


def _check_knobs(effect: float, noise_sd: float) -> None:
    check_effect(effect)
    if not (is_number(noise_sd) and noise_sd >= 0):
        raise InputError(f"is {noise_sd!r}; give a number of score points, 0 or more.", "noise_sd")
