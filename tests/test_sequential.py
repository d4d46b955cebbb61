"""Early looks: bounds that keep their promise, spending, intervals that hold at all times.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import math
from unittest import mock

import numpy as np
import pytest
from scipy import stats

from helpers import sequential
from tests.guards import caught, guard_message, share

# Simulated looks


def paths(times, drift=0.0, runs=10_000, seed=12):
    """z at each look of experiments that never stop, runs x looks."""
    times = np.asarray(times, dtype=float)
    steps = np.random.default_rng(seed).normal(
        0, np.sqrt(np.diff(times, prepend=0)), (runs, len(times))
    )
    return (steps.cumsum(axis=1) + drift * times) / np.sqrt(times)


def first_crossing(z, bounds):
    """The share of paths that reach their bound first at each look."""
    beyond = np.abs(z) >= bounds
    return (beyond & (beyond.cumsum(axis=1) == 1)).mean(axis=0)


def equal(looks):
    return np.arange(1, looks + 1) / looks


LOOK_BAND = 3.2 * math.sqrt(0.05 * 0.95 / 10_000)  # 0.7 points
SCHEDULES = [equal(looks) for looks in (2, 5, 10, 20)]
UNEQUAL = [
    np.array(times) for times in ([0.1, 0.15, 0.5, 0.95, 1], [0.05, 1], [0.5, 0.505, 0.51, 1])
]


# The promise


def guard_promise(bounds_at, schedules=SCHEDULES, exact=True):
    """Whoever stops at the first crossing has 5 % false alarms; not many fewer, if `exact`."""
    for times in schedules:
        alarms = first_crossing(paths(times), bounds_at(times)).sum()
        assert alarms <= 0.05 + LOOK_BAND, len(times)
        assert alarms >= (0.05 - LOOK_BAND if exact else 0.01), len(times)


def planned(rule):
    return lambda times: sequential.bounds(len(times), rule)


@pytest.mark.parametrize("rule", sequential.RULES)
def test_planned_looks_keep_the_promise(rule):
    guard_promise(planned(rule), exact=rule != "bonferroni")


def test_spending_keeps_the_promise_at_any_times():
    guard_promise(sequential.spending_bounds, SCHEDULES + UNEQUAL)


def spends_all_each_time(times):
    """Takes what may be spent by each look for what may be spent at it."""
    return np.array([sequential.spending_bounds([time])[0] for time in times])


@pytest.mark.parametrize(
    "faulty",
    [
        lambda times: np.full(len(times), 1.96),
        lambda times: planned("pocock")(times[1:]),
        lambda times: planned("obrien-fleming")(times) * 0.95,
        spends_all_each_time,
    ],
    ids=["peeking", "one look forgotten", "a little lower", "spent twice"],
)
def test_broken_promises_about_looks_are_caught(faulty):
    caught(
        lambda bounds_at: guard_promise(lambda times: np.resize(bounds_at(times), len(times))),
        faulty,
    )


def test_peeking_raises_false_alarms():
    alarms = [first_crossing(paths(times), 1.96).sum() for times in SCHEDULES]
    for seen, times, known in zip(alarms, SCHEDULES, (0.083, 0.142, 0.193, 0.248), strict=True):
        bounds_of_one_look = np.full(len(times), stats.norm.ppf(0.975))
        exact = sequential.crossing_probabilities(bounds_of_one_look, times).sum()
        # Armitage, McPherson and Rowe's table
        assert [seen, exact] == pytest.approx([known] * 2, abs=0.012)
        assert exact == pytest.approx(known, abs=0.0006)


@pytest.mark.parametrize("looks", [1, 2, 3, 7, 20])
def test_alpha_is_spent_to_the_last_drop(looks):
    times = equal(looks)
    for alpha in (0.01, 0.05, 0.2):
        plans = [sequential.bounds(looks, rule, alpha) for rule in sequential.RULES]
        plans.append(sequential.spending_bounds(times, alpha))
        spent = [sequential.crossing_probabilities(bounds, times).sum() for bounds in plans]
        assert spent[1:] == pytest.approx([alpha] * 3, abs=1e-8)
        assert spent[0] <= alpha + 1e-12
        assert (spent[0] == pytest.approx(alpha)) == (looks == 1)


# Crossing probabilities


def guard_crossings(crossing):
    """Where, and how often, paths with an effect are stopped: as simulated."""
    for times in (equal(5), UNEQUAL[0], UNEQUAL[2]):
        bounds = sequential.spending_bounds(times)
        for drift in (0, -2, 3.24):
            simulated = first_crossing(paths(times, drift), bounds)
            assert crossing(bounds, times, drift) == pytest.approx(simulated, abs=0.016)


def test_crossing_probabilities_are_the_simulated_ones():
    guard_crossings(sequential.crossing_probabilities)
    caught(
        guard_crossings,
        lambda b, t, drift: sequential.crossing_probabilities(b, equal(len(t)), drift),
    )
    caught(
        guard_crossings, lambda b, t, drift: sequential.crossing_probabilities(b, t, 1.1 * drift)
    )
    caught(
        guard_crossings,
        lambda b, t, drift: np.diff(stats.norm.sf(b - drift * np.sqrt(t)), prepend=0),
    )


def rectangles(bounds, times, drift):
    """First crossings from scipy's multivariate normal: |z| stays below the first k bounds."""
    b, t = np.asarray(bounds), np.asarray(times)
    corr, mean = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)), drift * np.sqrt(t)
    mvn = stats.multivariate_normal
    stays = [
        mvn.cdf(b[:k], mean[:k], corr[:k, :k], lower_limit=-b[:k], rng=1)
        for k in range(1, len(b) + 1)
    ]
    return -np.diff(stays, prepend=1.0)


def guard_near_last_look(crossing):
    """A last look just after the one before is right, and no path is followed to its end.

    That would take as many nodes as the step is small.
    """
    for bounds, times in (
        ([2.5, 2.2, 1.96], [0.5, 1, 1.001]),
        ([3.0, 2.4, 2.1, 2.0], [0.3, 0.6, 0.999, 1]),
    ):
        for drift in (0, 2):
            with mock.patch.object(sequential, "_go_on", wraps=sequential._go_on) as followed:
                found = crossing(bounds, times, drift)
            assert all(call.args[1] < times[-1] for call in followed.call_args_list)
            assert found == pytest.approx(rectangles(bounds, times, drift), abs=1e-3)


def follows_to_the_end(bounds, times, drift):
    found = sequential.crossing_probabilities(bounds, times, drift)
    running = sequential.Running(np.zeros(1), np.ones(1), times[-2])
    sequential._go_on(running, times[-1], bounds[-1], times[-1] - times[-2], drift)
    return found


def last_look_as_if_alone(bounds, times, drift):
    found = sequential.crossing_probabilities(bounds, times, drift)
    alone = sequential.crossing_probabilities(bounds[-1:], times[-1:], drift)
    return np.append(found[:-1], max(0, alone[0] - found[:-1].sum()))


def test_a_last_look_that_is_near():
    guard_near_last_look(sequential.crossing_probabilities)
    for faulty in (follows_to_the_end, last_look_as_if_alone):
        caught(guard_near_last_look, faulty)


# Rules and spending


def guard_prefix(bounds_at):
    """A bound hangs on the looks so far alone, not on those to come."""
    times = UNEQUAL[0]
    for looks in range(1, len(times)):
        for ending in ([], [1]):
            assert bounds_at([*times[:looks], *ending])[:looks] == pytest.approx(
                bounds_at(times)[:looks], abs=1e-9
            )


def test_spending_does_not_look_ahead():
    guard_prefix(sequential.spending_bounds)
    caught(guard_prefix, planned("pocock"))
    nothing_to_spend_yet = sequential.spending_bounds([0.01, 1])
    assert nothing_to_spend_yet == pytest.approx([30, stats.norm.ppf(0.975)])


def test_rules_in_order():
    """Pocock's bound is constant, below Bonferroni's; O'Brien-Fleming's falls to almost 1.96."""
    for times in SCHEDULES:
        bonferroni, pocock, falling = (planned(rule)(times) for rule in sequential.RULES)
        assert np.ptp(pocock) == 0
        assert pocock[0] < bonferroni[0]
        assert falling * np.sqrt(times) == pytest.approx(falling[-1])
        assert 1.96 < falling[-1] < pocock[0]
        assert (np.diff(sequential.spending_bounds(times)) < 0).all()


# Always-valid intervals


@pytest.fixture(scope="module")
def monitored():
    """Lift and standard error of 2,000 experiments after every pair, from 20 pairs to 2,000."""
    rng, n = np.random.default_rng(13), np.arange(1, 2_001)
    lift, var = np.zeros((2_000, 2_000)), np.zeros((2_000, 2_000))
    for sign, true in ((-1, 0.0), (1, 0.1)):
        outcome = rng.normal(true, 1, lift.shape)
        mean = outcome.cumsum(axis=1) / n
        lift += sign * mean
        var += (np.square(outcome).cumsum(axis=1) / n - mean**2) / np.maximum(n - 1, 1)
    return lift[:, 19:], np.sqrt(var[:, 19:])


def always_valid(lift, se, tau=0.2):
    return sequential.always_valid_interval(lift, se, tau)


def guard_always(interval, monitored):
    """The true lift (0.1) is inside at all 1,981 moments at once in 95 % of experiments."""
    low, high = interval(*monitored)
    assert share(((low <= 0.1) & (high >= 0.1)).all(axis=1)) >= 0.95 - 3.2 * math.sqrt(
        0.05 * 0.95 / 2_000
    )


def fixed_interval(lift, se):
    return lift - 1.96 * se, lift + 1.96 * se


def test_always_valid_interval_holds_at_all_times_at_once(monitored):
    guard_always(always_valid, monitored)
    caught(lambda interval: guard_always(interval, monitored), fixed_interval)
    caught(
        lambda interval: guard_always(interval, monitored),
        lambda lift, se: always_valid(lift, 0.8 * se),
    )
    low, high = fixed_interval(*monitored)
    assert share(((low <= 0.1) & (high >= 0.1)).all(axis=1)) < 0.7


def guard_narrowest(interval, tau=3.0):
    """In standard errors the interval is narrowest at the moment when half of it is about tau.

    That is when a lift of tau is just being told from zero; the standard error is then tau / 2.9.
    The price there is half again the width of an interval for one look; it rises slowly to both
    sides of that moment.
    """
    se = tau * np.geomspace(0.01, 10, 4_001)
    low, high = interval(np.zeros_like(se), se, tau)
    in_se, best = high / se, int((high / se).argmin())
    assert low == pytest.approx(-high)
    assert se[best] == pytest.approx(tau / 2.87, rel=0.01)
    assert high[best] == pytest.approx(1.06 * tau, rel=0.01)
    assert in_se[best] / 1.96 == pytest.approx(1.55, abs=0.01)
    assert (np.diff(high) > 0).all()  # in its own unit it only ever narrows while customers come
    assert (in_se > 1.5 * 1.96).all()


def test_always_valid_interval_is_sharpest_for_lifts_of_tau():
    guard_narrowest(sequential.always_valid_interval)
    caught(
        guard_narrowest, lambda lift, se, tau: sequential.always_valid_interval(lift, se, tau**2)
    )


def test_always_valid_interval_follows_unit_lift_and_confidence():
    lift, se = np.array([[0.0, 1], [2, -3]]), np.array([[1, 0.5], [0.3, 2]])
    ends = np.array(sequential.always_valid_interval(lift, se, 0.7))
    assert ends.shape == (2, 2, 2)
    assert np.array(sequential.always_valid_interval(100 * lift, 100 * se, 70)) == pytest.approx(
        100 * ends
    )
    assert -np.array(sequential.always_valid_interval(-lift, se, 0.7))[::-1] == pytest.approx(ends)
    assert (sequential.always_valid_interval(lift, se, 0.7, confidence=0.99)[1] > ends[1]).all()


# Calls that are refused


def bounds(looks=5, rule="pocock", **options):
    return lambda: sequential.bounds(looks, rule, **options)


def spending(times=(0.5, 1), **options):
    return lambda: sequential.spending_bounds(times, **options)


def crossing(z=(2, 2), times=(0.5, 1)):
    return lambda: sequential.crossing_probabilities(z, times)


def always(tau=1.0, **options):
    return lambda: sequential.always_valid_interval(0, 1, tau, **options)


TOO_NEAR = ("times must rise", "each by a thousandth or more", "such as 0.25, 0.5, 1")
BAD_CALLS = {
    "bounds: none": (bounds(0), "looks is 0", "from 1 to 100"),
    "bounds: many": (bounds(101), "looks is 101", "from 1 to 100"),
    "bounds: broken": (bounds(2.5), "looks is 2.5", "whole number"),
    "bounds: text": (bounds("5"), "looks is '5'", "whole number"),
    "bounds: rule": (
        bounds(rule="Pocock"),
        "rule is 'Pocock'",
        "bonferroni, pocock, obrien-fleming",
    ),
    "bounds: alpha": (bounds(alpha=5), "alpha is 5", "such as 0.05"),
    "spending: late": (spending([0.5, 1.2]), "time 1.2 is later than planned", "shares, up to 1"),
    "spending: falling": (spending([0.5, 0.4]), "times must rise", "such as 0.25, 0.5, 1"),
    "spending: twice": (spending([0.5, 0.5, 1]), "times must rise"),
    "spending: 0": (spending([0, 1]), "rise from above 0"),
    "spending: nan": (
        spending([math.nan, 1]),
        "times has blank or infinite values: 1,",
        "position 0",
    ),
    "spending: table": (spending([[0.5, 1]]), "times must rise"),
    "spending: too near": (spending([0.5, 0.50005, 1]), *TOO_NEAR),
    "spending: too early": (spending([0.00005, 1]), *TOO_NEAR),
    "spending: alpha": (spending(alpha=0), "alpha is 0", "between 0 and 1"),
    "crossing: lengths": (crossing([2, 2, 2]), "2 looks need as many bounds", "z value above 0"),
    "crossing: bound 0": (crossing([2, 0]), "each a z value above 0"),
    "crossing: bound nan": (
        crossing([2, math.nan]),
        "bounds has blank or infinite values: 1,",
        "position 1",
    ),
    "crossing: falling": (crossing(times=(1, 0.5)), "times must rise", "such as 0.25"),
    "crossing: too near": (crossing(times=(0.99999, 1)), *TOO_NEAR),
    "crossing: too near, in users": (crossing(times=(50_000, 50_004)), *TOO_NEAR),
    "always: tau 0": (always(0), "tau is 0", "smallest one worth having"),
    "always: tau nan": (always(math.nan), "tau is nan", "above 0"),
    "always: tau negative": (always(-2), "tau is -2", "above 0"),
    "always: tau text": (always("big"), "tau is 'big'", "above 0"),
    "always: confidence": (always(confidence=95), "confidence is 95", "such as 0.95"),
    "always: confidence text": (always(confidence="95 %"), "confidence is 95 %"),
    "spending: no looks": (spending([]), "times"),
    "spending: text": (spending(["first", "last"]), "times"),
    "crossing: text": (crossing(["high", "low"]), "bounds has values that are not numbers"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])


def test_looks_a_little_farther_apart_are_served(monkeypatch):
    """And a helper that takes looks as they come is caught."""
    assert len(spending([0.001, 0.5, 0.501, 1])()) == 4
    assert len(crossing(times=(50_000, 50_060))()) == 2
    monkeypatch.setattr(sequential, "_looks", np.asarray)
    for fault in ("crossing: too near", "crossing: too near, in users"):
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            guard_message(*BAD_CALLS[fault])
