"""What is measured, when it is good enough, and who was compared."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd

from helpers import InputError, check_share, words


class Goal(NamedTuple):
    """What is measured, and when it is good enough; worth and margin in its own unit."""

    outcome: str
    worth: float | None = None  # the smallest lift worth having; None: 5 % of the control mean
    margin: float | None = None  # instead of it: no worse than this
    lower_is_better: bool = False
    per: str = ""  # the column that the outcome is divided by: a ratio of sums
    covariate: str = ""  # the column, known before treatment, that the lift is adjusted by


class Design(NamedTuple):
    """Who was compared, and how sure to be."""

    segment: str = ""  # "": no segments
    group: str = "group"
    control: str = "control"
    control_share: float = 0.5  # planned, of the users of control and one other arm
    confidence: float = 0.95
    seed: int = 42
    strata: str = ""  # the column inside whose values arms have fixed sizes; needs a covariate
    listed: Mapping[str, tuple[int, int]] | None = None  # users of both arms of a list, by row


def check_confidence(confidence: float) -> None:
    """Raise InputError unless a half at least is asked for: below, power has no meaning."""
    check_share("confidence", confidence, 0.95)
    if confidence < 0.5:
        raise InputError(f"is {confidence:g}; give 0.5 or more, such as 0.95.", "confidence")


def is_rate(outcome: pd.Series) -> bool:
    """Whether the outcome is a conversion: every value 0 or 1."""
    return bool(outcome.isin([0, 1]).all())


def kind_of(log: pd.DataFrame, goal: Goal) -> str:
    """Which test the goal asks for: "ratio", "adjusted", "rate" or "mean"."""
    if goal.per:
        return "ratio"
    if goal.covariate:
        return "adjusted"
    return "rate" if is_rate(log[goal.outcome]) else "mean"


def smallest_worth(control_mean: float, rate: bool, worth: float | None) -> float:
    """The smallest lift worth having, in the unit of the outcome; None: 5 % of the control mean.

    That default is rounded to four digits, so that what is shown is what decides. rate: whether the
    outcome is a conversion.
    Raises InputError for a worth not above 0, or one that no rate can rise by.
    """
    if worth is None:
        worth = float(f"{0.05 * abs(float(control_mean)):.4g}")
        if worth < 1e-9:
            raise InputError(
                f"is not given, and 5 % of a control mean of {abs(control_mean):.3g} is nothing: "
                "give the smallest lift worth having.",
                "worth",
            )
    words.check_worth(worth)
    if rate and worth >= 1:
        raise InputError(
            f"is {worth:g}, but no rate rises by that much: 0.01 is one percentage point.", "worth"
        )
    return worth


def with_limit(log: pd.DataFrame, goal: Goal, design: Design) -> Goal:
    """The goal with its worth as a number, unless it has a margin.

    Raises InputError as `smallest_worth` and `words.check_worth` do.
    """
    outcome = log[goal.outcome]
    rate = not goal.per and is_rate(outcome) and bool(outcome.any())
    if goal.margin is not None:
        words.check_worth(goal.margin, "no_worse_than", "the largest loss that you would accept")
        if rate and goal.margin >= 1:
            raise InputError(
                f"is {goal.margin:g}, but no rate falls by that: 0.01 is one percentage point.",
                "no_worse_than",
            )
        return goal
    in_control = log[log[design.group] == design.control]
    mean = in_control[goal.outcome].mean()
    if goal.per:
        mean = in_control[goal.outcome].sum() / in_control[goal.per].sum()
    return goal._replace(worth=smallest_worth(float(mean), rate, goal.worth))
