"""Where the formula of a plan falls short, the plan says so and gives numbers that hold."""

import numpy as np
import pandas as pd
import pytest

from helpers import planning
from helpers.rehearsal import Kind
from tests.test_planning import power_of
from tools import counted


def both(values, worth, rate=False, share=0.5, sizes=None):
    """The plan by its formula, with counted numbers, and where it fell short."""
    sizes = sizes or (len(values) // 2, len(values) - len(values) // 2)
    customers = pd.DataFrame({"segment": np.repeat(["a", "b"], sizes), "before": values})
    planned = planning.plan(customers, "before", worth, "segment", rate, share)
    return planned, *counted.counted(
        planned, customers, "before", worth, "segment", Kind(rate, share)
    )


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_a_formula_that_holds_stays(share):
    rng = np.random.default_rng(1)
    for values, worth, rate in (
        (rng.normal(50, 10, 900), 3.0, False),
        (rng.exponential(20, 900), 6.0, False),
        ((rng.random(900) < 0.3).astype(float), 0.1, True),
    ):
        planned, table, short = both(values, worth, rate, share)
        assert short.empty
        pd.testing.assert_frame_equal(table, planned)


SHORT = {
    "rare, few in control": (
        lambda rng: (rng.random(3_000) < 0.01).astype(float),
        0.012,
        True,
        0.1,
    ),
    "lopsided, few in control": (lambda rng: rng.lognormal(3, 1, 400), 40.0, False, 0.1),
}


@pytest.mark.parametrize("draw, worth, rate, share", SHORT.values(), ids=SHORT)
def test_a_formula_that_falls_short_is_replaced(draw, worth, rate, share):
    values = draw(np.random.default_rng(1))
    planned, table, short = both(values, worth, rate, share)
    assert len(short) and (short[["power_of_lift", "power_of_users"]].min(axis=1) < 0.77).all()
    levels = {"all users": 0.05, "a": 0.025, "b": 0.025}
    parts = {"all users": values, "a": values[: len(values) // 2], "b": values[len(values) // 2 :]}
    for name in short.index:
        old, new = planned.loc[name], table.loc[name]
        assert short.loc[name, "users_needed"] == old["users_needed"]
        assert new["users_needed"] >= old["users_needed"]
        assert new["smallest_detectable"] >= old["smallest_detectable"]

        def own(rng, n, values=parts[name], rate=rate):
            return rng.random(n) < values.mean() if rate else rng.choice(values, n)

        power = power_of(own, new["users_needed"], worth, levels[name], share, rate)
        assert power > 0.75, (name, power)
    enough = table["users_needed"] <= table["customers"]
    assert ((table["smallest_detectable"] <= worth) == enough).all()


def test_columns_for_adjusting_change_alike():
    values = SHORT["lopsided, few in control"][0](np.random.default_rng(1))
    customers = pd.DataFrame({"segment": ["a", "b"] * 200, "before": values})
    planned = planning.plan(
        customers, "before", 40.0, "segment", control_share=0.1, correlation=0.6
    )
    table, short = counted.counted(
        planned, customers, "before", 40.0, "segment", Kind(False, 0.1, 0.6)
    )
    assert len(short)
    for name in ("smallest_detectable", "users_needed"):
        times = table[name] / planned[name]
        assert (table[f"{name}_adjusted"] / planned[f"{name}_adjusted"]).tolist() == pytest.approx(
            times.tolist()
        )


def test_nothing_is_counted_where_nothing_varies():
    values = np.r_[np.random.default_rng(1).normal(50, 10, 300), np.full(5, 7.0)]
    _, table, short = both(values, 3.0, sizes=(300, 5))
    assert "b" not in short.index and np.isnan(table.loc["b", "users_needed"])
