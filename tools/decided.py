"""Decisions in lines, as the commands print them and a report shows them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from helpers import decisions, power, shown, words
from helpers.goals import Design, Goal

COLUMNS = {  # of decisions.csv, and what `decisions.decide` calls them
    "segment": "segment",
    "arm": "arm",
    "users_control": "n_control",
    "users_treatment": "n_treatment",
    "mean_control": "mean_control",
    "mean_treatment": "mean_treatment",
    "lift": "lift",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
    "p_value": "p_value",
    "decision": "decision",
    "users_needed": "users_needed",
    "ratio_p": "ratio_p",
}


class Result(NamedTuple):
    """What an analysis found, and of what."""

    table: pd.DataFrame  # the first of `decisions.decide`
    goal: Goal
    design: Design
    guardrails: list[tuple[Goal, pd.DataFrame]]
    notes: list[str]  # what was understood, left out, cut: a line each
    kind: str  # the test, as `goals.kind_of` names it
    rate: bool  # lifts are differences of shares
    users: int
    worth_given: bool
    filled: bool = False  # whether users without results were given a value
    planned: pd.DataFrame | None = None  # what the plan said, where a list of it was analysed


def as_csv(result: Result) -> str:
    """The text of decisions.csv."""
    table = result.table.rename(columns={own: name for name, own in COLUMNS.items()})
    return table[list(COLUMNS)].to_csv(index=False, lineterminator="\n")


def lines(result: Result) -> list[str]:
    """What is printed: what was understood, and the decisions."""
    table = result.table.set_axis(names(result))
    listed = bool(result.design.strata)
    odd = ratio_lines(list(table["ratio_p"].items()), result.design.control_share, listed)
    if odd:
        return [*result.notes, *odd]
    (scale, unit), at_least = unit_of(result.goal, result.rate), digits(result)
    said = decision_lines(table, edge(result.goal), scale, unit, at_least)
    return [*result.notes, limit_line(result), *said]


def names(result: Result) -> list[str]:
    """What the rows are called: the segment, and the arm where there are several."""
    table = result.table
    if table["arm"].nunique() == 1:
        return [shown(name) for name in table["segment"]]
    return [f"{shown(row.segment)}, {shown(row.arm)}" for row in table.itertuples()]


def unit_of(goal: Goal, rate: bool) -> tuple[float, str]:
    """How lifts are shown: times what, and in which unit."""
    if rate:
        return 100, "percentage points"
    outcome = shown(goal.outcome)
    return 1, f"{outcome} per {shown(goal.per)}" if goal.per else f"units of {outcome}"


def edge(goal: Goal) -> float:
    """The lift that is just worth having, or just not too bad, with its sign."""
    if goal.margin is not None:
        return goal.margin if goal.lower_is_better else -goal.margin
    assert goal.worth is not None
    return -goal.worth if goal.lower_is_better else goal.worth


def limit_line(result: Result) -> str:
    """What is good enough, in a sentence."""
    goal = result.goal
    (scale, unit), better = unit_of(goal, result.rate), "fall" if goal.lower_is_better else "lift"
    if goal.margin is not None:
        worse = "rise" if goal.lower_is_better else "fall"
        return f"A {worse} of up to {words.given(scale * goal.margin)} {unit} would be accepted."
    how = "as given" if result.worth_given else "5 % of control's mean; --worth sets another"
    worth = words.given(float(f"{scale * goal.worth:.10g}"))
    return f"Smallest {better} worth having: {worth} {unit} ({how})."


def smallest_detectable(row: Any) -> float:
    """The lift that a row of `decisions.judge` finds with 80 % power, by its standard error."""
    n = row.n_control + row.n_treatment
    return power.minimum_detectable_effect(n / 2, row.se * math.sqrt(n) / 2, alpha=row.level)


def digits(result: Result) -> int:
    """How many decimals the narrowest interval asks for."""
    scale, _ = unit_of(result.goal, result.rate)
    widths = scale * (result.table["ci_high"] - result.table["ci_low"]).dropna()
    narrow = widths[widths > 0].min()
    return 2 if math.isnan(narrow) else min(8, max(0, 2 - math.floor(math.log10(narrow))))


def ratio_lines(
    ratios: Sequence[tuple[object, float]], control_share: float, listed: bool = False
) -> list[str]:
    """Two lines where a p-value says that the arms do not have the planned ratio, else none.

    listed: whether a list says who is in which arm, so that the share is known.
    """
    odd = "; ".join(shown(name) for name, p in ratios if p < decisions.RATIO_ALARM)
    if not odd:
        return []
    fits = f"a control share of {control_share:.4g} does not fit {odd}"
    if listed:
        why = "Nothing is decided before that: find out why one arm lacks more results."
        return [f"Check the ratio of the arms first: {fits}.", why]
    return [
        f"Check the ratio of the arms first: {fits}.",
        "Nothing is decided before that: look for the broken pipe, or give the planned share with "
        "--control-share.",
    ]


def decision_lines(
    table: pd.DataFrame, limit: float, scale: float, unit: str, at_least: int = 2
) -> list[str]:
    """A line for each row; the unit is that of what is printed, scale times the outcome's.

    table: lift, ci_low, ci_high, decision, users_needed, n_control and n_treatment; its index names
    the rows. limit: the lift that is worth having, or the one that is just not too bad. at_least:
    decimals.
    """
    lines = []
    for row in table.itertuples():
        if row.decision == decisions.NOT_TESTABLE:
            lines.append(f"{row.Index}: too few users to test, or no variation")
            continue
        lift, low, high = scale * row.lift, scale * row.ci_low, scale * row.ci_high
        digits = words.digits_apart((lift, low, high), (0.0, scale * limit), at_least)
        seen = f"lift {words.number(lift, digits, sign=True)} {unit}"
        own = decisions.by_goal(row.decision)
        if not own.startswith(words.DO_NOT_READ):
            seen += f", interval {words.interval(low, high, digits)}"
        if own == words.COLLECT:
            seen += f"; {words.enough(row.users_needed, row.n_control + row.n_treatment)}"
        lines.append(f"{row.Index}: {row.decision} ({seen})")
    return lines
