"""Experiments assigned, simulated and replayed; the sample ratio."""

import math
from collections import Counter

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from helpers import data, experiment, segments
from tests.guards import caught, guard_message, share

RUNS = 20_000
CLUSTERED = segments.cluster_customers(data.load_customers())
SCORES = CLUSTERED.loc[CLUSTERED["Cluster"] == 1, experiment.OUTCOME]


# One experiment and many


@pytest.mark.parametrize("seed", [0, 7, 42, 2**32 - 1])
def test_replayed_row_is_the_simulated_experiment(seed):
    outcome, treated = experiment.replay_seeds(SCORES, [5, seed], effect=-2, noise_sd=4)
    one = experiment.simulate_experiment(CLUSTERED, 1, effect=-2, noise_sd=4, seed=seed)
    np.testing.assert_array_equal(outcome[1], one["outcome"])
    np.testing.assert_array_equal(treated[1], one["group"] == "treatment")


def test_simulated_design():
    """Outcome = score + noise + effect for the treated; a fair coin; same seed, same runs."""
    table = experiment.simulate_experiment(CLUSTERED, 1, effect=7, noise_sd=0)
    gained = table["outcome"] - table[experiment.OUTCOME]
    assert (gained == np.where(table["group"] == "treatment", 7, 0)).all()
    assert table.index.equals(SCORES.index)

    outcome, treated = experiment.simulate_many(
        SCORES, 5_000, effect=7, noise_sd=2, seed=np.random.default_rng(8)
    )
    noise = outcome - SCORES.to_numpy() - 7 * treated
    assert noise.mean() == pytest.approx(0, abs=0.03)
    assert noise.std() == pytest.approx(2, abs=0.03)
    assert treated.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_array_equal(
        experiment.simulate_many(SCORES, 5_000, effect=7, noise_sd=2, seed=8)[0], outcome
    )


def test_a_stream_is_drawn_from_where_it_stands():
    for stream in (np.random.RandomState(42), np.random.default_rng(42)):
        first, second = (
            experiment.simulate_experiment(CLUSTERED, 1, seed=stream) for _ in range(2)
        )
        assert not first["outcome"].equals(second["outcome"])
    first = experiment.simulate_experiment(CLUSTERED, 1, seed=np.random.RandomState(42))
    assert first.equals(experiment.simulate_experiment(CLUSTERED, 1, seed=42))


def test_the_readers_table_is_not_changed():
    customers = data.load_customers()
    before = customers.copy()
    clustered = segments.cluster_customers(customers)
    rows = experiment.simulate_experiment(clustered, 1)
    rows["Age"] = 0
    segments.profile_clusters(clustered)
    assert_frame_equal(customers, before)
    assert_frame_equal(clustered[list(before)], before)
    assert list(clustered) == [*before, "Cluster"]


# Sample ratio


def guard_ratio(sample_ratio_p):
    """A fair coin alarms as often as asked; a missing tenth of an arm is seen."""
    heads = Counter(np.random.default_rng(4).binomial(10_000, 0.5, RUNS).tolist())
    p = np.repeat([sample_ratio_p(n, 10_000 - n) for n in heads], list(heads.values()))
    for level in (0.01, 0.05, 0.25, 0.5, 0.75):
        assert share(p < level) == pytest.approx(level, abs=0.015)
    assert sample_ratio_p(10_000, 9_000) < 1e-9


def test_sample_ratio():
    guard_ratio(experiment.sample_ratio_p)
    caught(guard_ratio, lambda c, t: experiment.sample_ratio_p(c, t) / 2)


def guard_small_arms(sample_ratio_p):
    """Up to 1,000 users p is the share of throws at least as unlikely: counted, and never less."""
    rng = np.random.default_rng(5)
    for n, planned in ((5, 0.5), (41, 0.5), (41, 1 / 3), (200, 0.2), (1000, 0.5)):
        throws = rng.binomial(n, planned, RUNS)
        chances = stats.binom.pmf(np.arange(n + 1), n, planned)
        for n_c in {0, n // 3, n // 2, round(planned * n), n}:
            counted = share(chances[throws] <= chances[n_c] * (1 + 1e-7))
            assert sample_ratio_p(n_c, n - n_c, planned) == pytest.approx(counted, abs=0.015)
    assert sample_ratio_p(21, 20, 0.5) == pytest.approx(1)
    assert sample_ratio_p(27, 14, 0.5) == pytest.approx(0.0596, abs=5e-5)
    assert sample_ratio_p(14, 27, 0.5) == pytest.approx(0.0596, abs=5e-5)


def by_squares(n_c, n_t, planned):
    return stats.chisquare([n_c, n_t], [(n_c + n_t) * planned, (n_c + n_t) * (1 - planned)]).pvalue


def test_few_users_are_counted_exactly():
    guard_small_arms(experiment.sample_ratio_p)
    caught(guard_small_arms, by_squares)
    for n_c in (400, 470, 500):  # where exact and approximate meet
        exact = experiment.sample_ratio_p(n_c, 1000 - n_c)
        assert exact == pytest.approx(by_squares(n_c, 1000 - n_c, 0.5), abs=0.03)
        assert exact == pytest.approx(experiment.sample_ratio_p(n_c, 1001 - n_c), abs=0.03)


def guard_share_is_the_controls(sample_ratio_p):
    assert sample_ratio_p(300, 100, expected_share=0.75) == pytest.approx(1)
    assert sample_ratio_p(100, 300, expected_share=0.75) < 1e-9


def test_expected_share_is_that_of_the_control_arm():
    guard_share_is_the_controls(experiment.sample_ratio_p)
    caught(
        guard_share_is_the_controls,
        lambda c, t, expected_share: experiment.sample_ratio_p(t, c, expected_share),
    )
    for n_c, n_t, planned in ((20, 30, 0.5), (310, 98, 0.75), (0, 5, 0.1)):
        swapped = experiment.sample_ratio_p(n_t, n_c, 1 - planned)
        assert experiment.sample_ratio_p(n_c, n_t, planned) == pytest.approx(swapped, rel=1e-9)


# Calls that are refused


def simulate(target_cluster=1, **options):
    return lambda: experiment.simulate_experiment(CLUSTERED, target_cluster, **options)


def ratio(*arguments):
    return lambda: experiment.sample_ratio_p(*arguments)


def one_each():
    """Two customers in a cluster can never be two in each arm."""
    table = CLUSTERED[CLUSTERED["Cluster"] == 1].head(2)
    return lambda: experiment.simulate_experiment(table, 1)


BAD_CALLS = {
    "target: unknown": (simulate(9), "target_cluster is 9, but the clusters are 0, 1, 2, 3"),
    "target: negative": (simulate(-1), "is -1, but", "0, 1, 2, 3"),
    "target: between": (simulate(1.5), "is 1.5, but", "0, 1, 2, 3"),
    "target: none": (simulate(math.nan), "is nan, but", "0, 1, 2, 3"),
    "target: too small": (
        one_each(),
        "target_cluster is 1, too small",
        "1 of 2 fell to",
        "two",
        "another cluster",
    ),
    "effect: nan": (simulate(effect=math.nan), "effect is nan", "such as 3.0 or -2"),
    "effect: infinite": (simulate(effect=math.inf), "effect is inf"),
    "noise: negative": (simulate(noise_sd=-1), "noise_sd is -1", "0 or more"),
    "noise: nan": (simulate(noise_sd=math.nan), "noise_sd is nan"),
    "noise: infinite": (simulate(noise_sd=math.inf), "noise_sd is inf"),
    "ratio: nobody": (ratio(0, 0), "0 and 0 users", "not both zero"),
    "ratio: negative": (ratio(-1, 5), "-1 and 5 users", "two counts"),
    "ratio: nan": (ratio(math.nan, 5), "two counts"),
    "ratio: infinite": (ratio(5, math.inf), "two counts"),
    "share: 0": (ratio(5, 4, 0), "expected_share is 0", "such as 0.5"),
    "share: 1": (ratio(5, 4, 1), "expected_share is 1", "between 0 and 1"),
    "share: per cent": (ratio(5, 4, 50), "expected_share is 50", "between 0 and 1"),
    "simulate: seed": (simulate(seed=-1), "seed is -1"),
    "simulate: half a seed": (simulate(seed=2.5), "seed is 2.5"),
    "many: noise": (lambda: experiment.simulate_many(SCORES, 3, noise_sd=-1), "noise_sd is -1"),
    "replay: noise": (lambda: experiment.replay_seeds(SCORES, [1], noise_sd=-1), "noise_sd is -1"),
    "replay: no seeds": (lambda: experiment.replay_seeds(SCORES, []), "seed"),
    "target: number typed as text": (simulate("1"), "target_cluster is '1', but"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


def test_lost_users_are_counted_by_arm():
    assert experiment.lost_users_p((1_500, 1_500), (1_500, 1_500)) == 1
    assert experiment.lost_users_p((1_500, 1_500), (1_500, 1_440)) < 1e-15
    one, other = ((300, 700), (290, 640)), ((700, 300), (640, 290))
    assert experiment.lost_users_p(*one) == pytest.approx(experiment.lost_users_p(*other))
    rng = np.random.default_rng(3)
    lost = rng.hypergeometric(900, 600, 60, size=2_000)
    p = np.array([experiment.lost_users_p((900, 600), (900 - n, 540 + n)) for n in range(61)])
    assert (p[lost] < 0.05).mean() < 0.055
