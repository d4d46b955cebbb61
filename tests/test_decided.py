"""Decisions in words and lines: units, limits, digits, and the file that holds them."""

import io

import numpy as np
import pandas as pd
import pytest

from helpers import decisions
from helpers.goals import Design, Goal
from tools import decided

GAIN = Goal("spend", worth=1.0)


def a_result(goal=GAIN, arms=("blue",), scale=1.0, seed=1, **more):
    rng = np.random.default_rng(seed)
    log = pd.DataFrame({"group": rng.choice(["control", *arms], 600)})
    log["place"] = rng.choice(["a", "b"], 600)
    log["spend"] = rng.normal(20 * scale, 5 * scale, 600)
    log["bought"] = rng.integers(0, 2, 600)
    log["views"] = 1.0
    design = Design("place", control_share=0.5)
    return decided.Result(
        table=decisions.judge(log, goal, design),
        goal=goal,
        design=design,
        guardrails=[],
        notes=["Understood: 600 rows."],
        kind="mean",
        rate=goal.outcome == "bought",
        users=600,
        worth_given=True,
        **more,
    )


LIMITS = {
    "worth": (Goal("spend", worth=1.0), 1.0, "Smallest lift worth having: 1.00 units of spend (as"),
    "fall": (Goal("spend", worth=1.0, lower_is_better=True), -1.0, "Smallest fall worth having"),
    "margin": (Goal("spend", margin=2.0), -2.0, "A fall of up to 2.00 units of spend would be"),
    "rise": (Goal("spend", margin=2.0, lower_is_better=True), 2.0, "A rise of up to 2.00 units"),
    "rate": (Goal("bought", worth=0.01), 0.01, "worth having: 1.00 percentage points"),
    "ratio": (Goal("spend", worth=0.1, per="views"), 0.1, "having: 0.10 spend per views"),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_what_is_good_enough(kind):
    goal, edge, said = LIMITS[kind]
    result = a_result(goal)
    assert decided.edge(goal) == edge and said in decided.limit_line(result)


def test_rows_are_named_by_arm_where_there_are_several():
    assert decided.names(a_result()) == ["all users", "a", "b"]
    names = decided.names(a_result(arms=("blue", "green")))
    assert names[:3] == ["all users, blue", "all users, green", "a, blue"]


def test_digits_follow_the_narrowest_interval():
    """Three digits of half a width: thousandths of a cent are seen, and cents of a million not."""
    for scale in (1e-4, 1e-2, 1.0, 1e2, 1e5):
        result = a_result(scale=scale)
        widths = result.table["ci_high"] - result.table["ci_low"]
        shown = 10.0 ** -decided.digits(result)
        assert shown <= 1 or scale >= 1e2
        assert 1e-8 <= shown <= max(1, widths.min() / 10)


def test_the_file_holds_every_row_unrounded():
    result = a_result(arms=("blue", "green"))
    table = pd.read_csv(io.StringIO(decided.as_csv(result)))
    assert table["lift"].tolist() == result.table["lift"].tolist()
    assert table["users_control"].tolist() == result.table["n_control"].tolist()
    assert (table["mean_treatment"] - table["mean_control"]).to_numpy() == pytest.approx(
        table["lift"]
    )


def test_lines_say_every_row_once():
    result = a_result()
    lines = decided.lines(result)
    assert lines[0] == "Understood: 600 rows." and len(lines) == 5
    for name, row, line in zip(
        ("all users", "a", "b"), result.table.itertuples(), lines[2:], strict=True
    ):
        assert line.startswith(f"{name}: {row.decision} (lift ")
