"""Power, sample size and the smallest effect that can be seen: simulated and inverted."""

import math
from itertools import pairwise

import pytest
from scipy import stats

from helpers import inference, power
from tests.guards import caught, guard_message, share, two_arms

# Power and its simulation


def guard_power(formula):
    for n, effect, sd in ((20, 3, 11), (20, -10, 11), (60, 5, 11), (5, 2, 1)):
        runs = inference.welch_many(*two_arms(n, n, sd, sd, lift=effect))
        simulated = share(runs["p_value"] < 0.05)
        # Welch's test gives up a little power in tiny arms: it also estimates its df there
        assert formula(n, effect, sd) == pytest.approx(simulated, abs=0.010 if n >= 20 else 0.035)


def all_customers_taken_for_one_group(n, effect, sd):
    return power.power(2 * n, effect, sd)


def blind_to_a_loss(n, effect, sd):
    return stats.norm.sf(1.96 - effect / sd * math.sqrt(n / 2))


def test_simulated_power_meets_the_formula():
    guard_power(power.power)
    caught(guard_power, all_customers_taken_for_one_group)
    caught(guard_power, blind_to_a_loss)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
def test_power_rises_with_size_and_effect_and_starts_at_alpha(alpha):
    sizes = [power.power(n, 3, 11, alpha) for n in (2, 3, 5, 20, 100, 1_000, 100_000)]
    effects = [power.power(20, effect, 11, alpha) for effect in (0, 0.1, 1, 3, 10, 30)]
    for rising in (sizes, effects):
        assert all(0 <= low < high <= 1 for low, high in pairwise(rising))
    assert effects[0] == pytest.approx(alpha)
    assert [power.power(20, -effect, 11, alpha) for effect in (0, 0.1, 1, 3, 10, 30)] == effects
    assert power.power(20, 6, 22, alpha) == power.power(20, 3, 11, alpha)


# Power turned round


def guard_inverse(sample_size):
    """As many customers as `sample_size` asks for have just the power that was asked for."""
    for effect, target, alpha in (
        (3, 0.8, 0.05),
        (-3, 0.8, 0.05),
        (3, 0.999, 0.05),
        (30, 0.9, 0.01),
        (0.01, 0.5, 0.3),
    ):
        n = sample_size(effect, 11, power=target, alpha=alpha)
        assert power.power(n, effect, 11, alpha) == pytest.approx(target, abs=1e-9)


def by_the_normal(effect, sd, power, alpha):
    return 2 * (sd / effect * (stats.norm.isf(alpha / 2) + stats.norm.ppf(power))) ** 2


def test_sample_size_inverts_power():
    guard_inverse(power.sample_size)
    caught(guard_inverse, by_the_normal)
    assert power.sample_size(0, 11) == math.inf


@pytest.mark.parametrize("n", [2, 3, 20, 20.5, 1_000_000])
@pytest.mark.parametrize("target", [0.06, 0.8, 0.999])
def test_minimum_detectable_effect_inverts_power(n, target):
    effect = power.minimum_detectable_effect(n, 11, power=target)
    assert effect > 0
    assert power.power(n, effect, 11) == pytest.approx(target, abs=1e-7)
    if n > 2:
        assert power.sample_size(effect, 11, power=target) == pytest.approx(n, rel=1e-5)


# The corners


def test_power_in_the_corners():
    """Finite and in range for tiny and huge arms, tiny and huge effects, extreme targets."""
    for n, effect in ((2, 1e9), (2, 1e-9), (1e9, 1e-4), (1e9, 3), (20, 1e6), (2, 0)):
        assert 0.05 - 1e-9 <= power.power(n, effect, 1) <= 1
    assert power.power(2, 1e9, 1) == power.power(1e9, 3, 1) == 1
    assert power.sample_size(1e9, 1) == 2
    assert power.sample_size(1e-6, 1) == pytest.approx(1.5697721e13, rel=1e-6)
    assert 1_000 < power.sample_size(3, 11, power=0.999999) < math.inf
    assert power.minimum_detectable_effect(2, 11, power=0.999999) < math.inf


# Calls that are refused


def sized(**options):
    return lambda: power.sample_size(**{"effect": 3, "sd": 11} | options)


def detectable(**options):
    return lambda: power.minimum_detectable_effect(**{"n_per_group": 20, "sd": 11} | options)


BAD_CALLS = {
    "power: n": (lambda: power.power(1, 3, 11), "n_per_group is 1", "at least 2"),
    "power: n infinite": (lambda: power.power(math.inf, 3, 11), "n_per_group is inf"),
    "power: effect": (lambda: power.power(20, math.nan, 11), "effect is nan", "such as 3.0"),
    "power: sd": (lambda: power.power(20, 3, 0), "sd is 0", "above 0"),
    "power: sd nan": (lambda: power.power(20, 3, math.nan), "sd is nan"),
    "power: alpha": (lambda: power.power(20, 3, 11, 5), "alpha is 5", "such as 0.05"),
    "size: power 1": (sized(power=1), "power is 1", "below 1"),
    "size: per cent": (sized(power=80), "power is 80", "such as 0.8"),
    "size: power at alpha": (sized(power=0.05), "above alpha (0.05)"),
    "size: sd": (sized(sd=-11), "sd is -11"),
    "size: alpha": (sized(alpha=0), "alpha is 0"),
    "size: effect": (sized(effect=math.inf), "effect is inf"),
    "mde: n": (detectable(n_per_group=1), "n_per_group is 1"),
    "mde: power": (detectable(power=0), "power is 0", "such as 0.8"),
    "mde: sd": (detectable(sd=0), "sd is 0"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])
