"""The rehearsed experiment keeps the promises of the plan, and shows those that are not kept."""

import numpy as np
import pandas as pd
import pytest

from helpers import planning, rehearsal
from helpers.rehearsal import Kind
from tests.guards import guard_message

DRAWS = {
    "normal": lambda rng, n: rng.normal(50, 10, n),
    "skewed": lambda rng, n: rng.exponential(20, n),
    "rate": lambda rng, n: (rng.random(n) < 0.3).astype(float),
}


def customers_of(draw, sizes=(240, 160), seed=3):
    rng = np.random.default_rng(seed)
    names = np.repeat(["a", "b"], sizes)
    return pd.DataFrame({"segment": names, "before": DRAWS[draw](rng, len(names))})


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("share", [0.5, 0.3])
@pytest.mark.parametrize("correlation", [None, 0.6])
def test_promises_come_true(draw, share, correlation):
    kind = Kind(draw == "rate", share, correlation)
    table = rehearsal.pretend(customers_of(draw), "before", "segment", kind, runs=800)
    assert list(table.index) == ["all users", "a", "b"]
    assert table["level"].tolist() == pytest.approx([0.05, 0.025, 0.025])
    assert (table["power"] - 0.8).abs().max() < 0.07, table
    counting = 4 * (table["level"] * (1 - table["level"]) / 800) ** 0.5
    assert ((table["false_alarms"] - table["level"]).abs() < counting + 0.005).all(), table


def test_a_lift_that_is_too_small_is_not_seen():
    customers, kind = customers_of("normal"), Kind()
    planned = planning.plan(customers, "before", 2.0, "segment")
    planned["smallest_detectable"] *= 0.7
    table = rehearsal.pretend(customers, "before", "segment", kind, planned=planned)
    assert (table["power"] < 0.65).all()


def test_a_wrong_correlation_breaks_the_promise(monkeypatch):
    customers = customers_of("normal")
    hoped = planning.plan(customers, "before", 2.0, "segment", correlation=0.8)
    hoped = hoped.assign(smallest_detectable=hoped["smallest_detectable_adjusted"])
    table = rehearsal.pretend(customers, "before", "segment", Kind(), planned=hoped)
    assert (table["power"] < 0.6).all()


@pytest.mark.parametrize("correlation", [0.0, 0.5, -0.7])
@pytest.mark.parametrize("draw", DRAWS)
def test_outcomes_look_like_the_baseline(draw, correlation):
    before = customers_of(draw, (4_000, 0))["before"].to_numpy()
    rng = np.random.default_rng(2)
    kind = Kind(draw == "rate", 0.5, correlation)
    y = rehearsal.outcomes(before, kind, np.zeros((50, len(before))), rng)
    assert y.shape == (50, 4_000)
    assert y.mean() == pytest.approx(before.mean(), rel=0.02)
    assert y.std(axis=1).mean() == pytest.approx(before.std(), rel=0.05)
    found = np.mean([np.corrcoef(before, row)[0, 1] for row in y])
    want = abs(correlation) if draw == "rate" else correlation
    assert found == pytest.approx(want, abs=0.05)
    moved = rehearsal.outcomes(before, kind, np.full((50, len(before)), 0.1), rng)
    assert moved.mean() - y.mean() == pytest.approx(0.1, abs=0.02)


def test_many_customers_are_sampled_and_fewer_runs_made(monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST", 150)
    monkeypatch.setattr(rehearsal, "IN_ALL", 100_000)
    table = rehearsal.pretend(customers_of("normal"), "before", "segment", Kind())
    assert table["customers"].tolist() == [150, 150, 150]
    assert (table["runs"] == 222).all() and (table["power"] - 0.8).abs().max() < 0.15


def test_what_cannot_be_seen_is_not_counted():
    few = customers_of("normal", (300, 3))
    table = rehearsal.pretend(few, "before", "segment", Kind(), runs=50)
    assert np.isnan(table.loc["b", "power"])
    guard_message(lambda: rehearsal.pretend(few, "before", "segment", Kind(), seed=-1), "seed")


def test_shares_have_the_correlation_that_is_asked():
    """Also where the baseline is no outcome of 0 and 1, but a share that differs less."""
    rng = np.random.default_rng(4)
    before = rng.beta(2, 3, 20_000)
    kind = Kind(True, 0.5, 0.3)
    y = rehearsal.outcomes(before, kind, np.zeros((20, len(before))), rng)
    assert np.mean([np.corrcoef(before, row)[0, 1] for row in y]) == pytest.approx(0.3, abs=0.02)
