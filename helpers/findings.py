"""What to write when a search has found segments: five lines that follow its numbers."""

import math
from collections.abc import Sequence

import pandas as pd

from helpers import shown, words
from helpers.decisions import RATIO_ALARM
from helpers.finder import ALL, ENDS, LESS, POLICIES, TREATED, Found


def report(found: Found, columns: Sequence[str], unit: str, scale: float = 1.0) -> list[str]:
    """What to write when a segment has been found, in five lines, or why nothing can be said.

    columns: those that were searched; scale: from the unit of the outcome to `unit`.
    """
    if found.ratio_p < RATIO_ALARM:
        p = words.p_value(found.ratio_p)
        return [f"Nothing: the arms do not have the planned sizes ({p}). Find out why first."]
    users, searching = len(found.segment), int(found.searched.sum())
    where = ", ".join(shown(name, 40) for name in columns)
    asked = f"Searched: {where}, on {searching:,} of {users:,} users, drawn by chance."
    policies = _policies(found, unit, scale)
    worth = f"Worth per user, less the cost, by all who did not search: {policies}."
    if len(found.table) < 2:
        return [asked, "Found: nothing. No cut leaves enough users on both sides.", worth]
    best, many = found.table.iloc[0], f"{len(found.table)} segments"
    claim = f"{_three_digits(scale * best['claimed'])} {unit}"
    lift = f"{_measured(scale * best[['lift', *ENDS]], best['doubt'], unit)}"
    holds = "the lifts differ" if found.q_p < 0.05 else "none found that hold"
    holds += f" ({words.p_value(found.q_p)})"
    if math.isnan(found.q_p):
        holds = "whether they differ cannot be tested, because one has no lift"
    return [
        asked,
        f"Found: {best.name} ({best['users']:,} users). The claim there, not to be quoted: "
        f"{claim}, the largest of {many}.",
        f"Measured there, by {best['others']:,} users who did not search: {lift}.",
        f"All {many}, by all who did not search: {holds}.",
        worth,
    ]


def _policies(found: Found, unit: str, scale: float) -> str:
    """What everybody and the segments found are worth, and what sets them apart."""
    rows = (scale * found.values)[["measured", *ENDS]]
    if found.doubt:
        three = ", ".join(
            f"{name} {_three_digits(rows.loc[name, 'measured'])}" for name in POLICIES
        )
        return f"nobody 0, {three} {unit}; no intervals ({found.doubt})"
    everybody = f"nobody 0, everybody {_measured(rows.loc[ALL], '', unit)}"
    treated = found.values.loc[TREATED, "treated"]
    if len(found.table) < 2:
        return everybody
    if treated == 0 or found.values.loc[LESS, "treated"] == 0:
        who = "No segment" if treated == 0 else "Every segment"
        return f"{everybody}. {who} claims more than the cost"
    chosen, less = (_measured(rows.loc[name], "", unit) for name in (TREATED, LESS))
    return f"{everybody}, the segments found {chosen}; less everybody {less}"


def _measured(row: pd.Series, doubt: str, unit: str) -> str:
    """A lift or a value, and its interval, or why that is not to be read."""
    middle, low, high = map(_three_digits, row)
    return f"{middle} {unit} ({doubt or f'interval {low} to {high}'})"


def _three_digits(x: float) -> str:
    """With its sign, and three digits or all before the point."""
    if not math.isfinite(x) or x == 0:
        return "unknown" if math.isnan(x) else f"{x:g}"
    return f"{x:+,.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"
