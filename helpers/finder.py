"""Segments that a tree finds on one half of the users, measured on the other half."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.tree import DecisionTreeRegressor

from helpers import (
    InputError,
    check_seed,
    coins,
    decisions,
    experiment,
    heterogeneity,
    shown,
    words,
)
from helpers.decisions import RATIO_ALARM
from helpers.goals import is_rate

MOST = 4  # segments: more are smaller, and the best of more looks better by luck
FEWEST = 50  # users of a segment, in the half that finds it
FEWEST_IN_ARM = 25  # of those, in the smaller arm, as far as planned shares go
NOBODY, ALL, TREATED = "nobody", "everybody", "the segments found"
LESS = "segments found, less everybody"
POLICIES = (ALL, TREATED)
Z = float(stats.norm.ppf(0.975))
SEGMENT, ARM = "found segment", "found arm"  # columns that no log is likely to have
ENDS = ["ci_low", "ci_high"]
UNREAD = (words.DO_NOT_READ, words.CHECK)


class Found(NamedTuple):
    """What a search found, and what the half that did not search says of it."""

    table: pd.DataFrame  # a row a segment, best claim first: users, others, claimed, lift,
    # ci_low, ci_high, doubt (why the interval is not to be read, or "")
    values: pd.DataFrame  # a row a policy: treated (share), claimed, measured, ci_low, ci_high
    q_p: float  # of Cochran's Q of the measured lifts, by new coins; nan: cannot be tested
    ratio_p: float  # whether the arms have the planned sizes, as `experiment.sample_ratio_p`
    doubt: str  # why intervals of policies are not to be read, or ""
    segment: pd.Series  # of each user, in the order of the log
    searched: np.ndarray  # whether the user is of the half that searched


def halves(users: int, seed: int | np.random.Generator) -> np.ndarray:
    """Which users are of the half that searches: every other one, in random order."""
    check_seed(seed)
    return np.random.default_rng(seed).permutation(users) % 2 == 0


def features(table: pd.DataFrame) -> pd.DataFrame:
    """What a tree can cut: numbers as they are, and each value of a text as a column of 0 and 1."""
    return pd.get_dummies(table, prefix_sep=" = ").astype(float)


def grow(
    table: pd.DataFrame, treated: np.ndarray, outcome: np.ndarray, most: int = MOST
) -> DecisionTreeRegressor:
    """A tree whose leaves are segments with unlike lifts, as far as these users show.

    table: from `features`; treated, outcome: one value a user. The tree cuts the transformed
    outcome, (y - mean) (treated - share) / (share (1 - share)), whose mean among users with the
    same features is their lift. Source: Athey and Imbens (2016), who compare it with better ones.
    """
    share, least = treated.mean(), fewest(treated)
    moved = (outcome - outcome.mean()) * (treated - share) / (share * (1 - share))
    tree = DecisionTreeRegressor(max_leaf_nodes=most, min_samples_leaf=least, random_state=0)
    return tree.fit(table.to_numpy(), moved)


def fewest(treated: np.ndarray) -> int:
    """How many users a segment must have: a twentieth, 50, and enough for 25 in an arm."""
    smaller = min(treated.mean(), 1 - treated.mean())
    return max(FEWEST, len(treated) // 20, math.ceil(FEWEST_IN_ARM / smaller))


def rules(tree: DecisionTreeRegressor, table: pd.DataFrame) -> dict[int, str]:
    """Each leaf of the tree, by its number, in words: "days over 120, not phone"."""
    inside, found = tree.tree_, {}

    def walk(node: int, limits: dict[int, tuple[float, float]]) -> None:
        column, at = inside.feature[node], inside.threshold[node]
        if column < 0:
            said = [_said(table.iloc[:, place], *ends) for place, ends in limits.items()]
            found[node] = ", ".join(said) or ALL
            return
        low, high = limits.get(column, (-math.inf, math.inf))
        walk(inside.children_left[node], limits | {column: (low, at)})
        walk(inside.children_right[node], limits | {column: (at, high)})

    walk(0, {})
    return found


def _said(column: pd.Series, low: float, high: float) -> str:
    """Which values lie above low, and up to high; whole numbers as whole numbers."""
    name = shown(column.name, 50)
    if column.isin([0, 1]).all():
        return name if low > -math.inf else f"not {name}"
    if (column % 1 == 0).all():
        low, high = np.floor([low, high])
    over = f" over {low:,.6g}" if low > -math.inf else ""
    return f"{name}{over}" + (f" up to {high:,.6g}" if high < math.inf else "")


def search(
    log: pd.DataFrame,
    columns: Sequence[str],
    outcome: str,
    worth: float,
    group: str = "group",
    control: str = "control",
    control_share: float = 0.5,
    seed: int = 42,
) -> Found:
    """Look for segments on one half of the users, and measure them on the other.

    log: one row per user, as from `data.load_log`; columns: known before treatment, numbers or
    text. worth: what treating a user costs, in the unit of the outcome: a policy is worth the lift
    less that, for each it treats. A segment is to be treated if its claimed lift is above it.
    The half that measures goes by `decisions.judge`: intervals of the segments hold together in
    95 % (Bonferroni), those of policies each, and what new coins refute is not to be read.
    Raises InputError as `decisions.judge` does, and for a log of too few users.
    """
    treated, searched = (log[group] != control).to_numpy(), halves(len(log), seed)
    _check_enough(treated, searched)
    table, y = features(log[list(columns)]), log[outcome].astype(float)
    tree = grow(table[searched], treated[searched], y[searched].to_numpy())
    names = pd.Series(tree.apply(table.to_numpy()), log.index).map(rules(tree, table))
    arms = np.where(treated, "treatment", "control")
    users = pd.DataFrame({SEGMENT: names, outcome: y, ARM: arms})
    claims = heterogeneity.compare_segments(users[searched], SEGMENT, outcome, ARM)
    goal = decisions.Goal(outcome, worth)
    design = decisions.Design(SEGMENT, ARM, control_share=control_share, seed=seed)
    judged = decisions.judge(users[~searched], goal, design).set_index("segment")
    held = judged.reindex(claims.index)
    said = judged["decision"].where(judged["decision"].str.startswith(UNREAD), "")
    found = _both(claims, held, said.reindex(claims.index, fill_value=""))
    q_p = _q_p(users[~searched], held, goal, design)
    ratio_p = experiment.sample_ratio_p(int((~treated).sum()), int(treated.sum()), control_share)
    doubt = next(filter(None, said), "")
    return Found(found, _values(claims, held, worth), q_p, ratio_p, doubt, names, searched)


def _check_enough(treated: np.ndarray, searched: np.ndarray) -> None:
    """Raise InputError where either half has too few users in an arm."""
    cells = [(treated[half] == arm).sum() for half in (searched, ~searched) for arm in (0, 1)]
    if min(cells) < FEWEST_IN_ARM:
        raise InputError(
            f"The log has {len(treated):,} users, and an arm of a half has {min(cells)}; a search "
            f"needs {FEWEST_IN_ARM} there."
        )


def _both(claims: pd.DataFrame, held: pd.DataFrame, doubt: pd.Series) -> pd.DataFrame:
    """The table of a search, from the arms of both halves."""
    searching, others = (part["n_control"] + part["n_treatment"] for part in (claims, held))
    counts = pd.DataFrame({"users": searching + others, "others": others}).fillna(0).astype(int)
    measured = held[["lift", "ci_low", "ci_high"]].astype(float)
    found = counts.assign(claimed=claims["lift"].astype(float)).join(measured)
    return found.assign(doubt=doubt).sort_values("claimed", ascending=False).rename_axis("segment")


def _values(claims: pd.DataFrame, held: pd.DataFrame, worth: float) -> pd.DataFrame:
    """What each policy is worth per user, by the half that searched and by the other one."""
    chosen = (claims["lift"] > worth).to_numpy(dtype=float)
    shares, gains = [], []
    for part in (claims, held):
        users = (part["n_control"] + part["n_treatment"]).to_numpy(dtype=float)
        shares.append(users / np.nansum(users))
        gains.append(shares[-1] * (part["lift"] - worth).to_numpy(dtype=float))
    errors = shares[1] * held["se"].to_numpy(dtype=float)
    rows = {NOBODY: [0.0] * 5}
    for name, weight in ((ALL, chosen * 0 + 1), (TREATED, chosen), (LESS, chosen - 1)):
        used = weight != 0  # a segment that is left out need not be testable
        claimed, measured = (float(weight[used] @ gain[used]) for gain in gains)
        half = Z * float(np.linalg.norm(errors[used]))
        rows[name] = [float(shares[1][used].sum()), claimed, measured]
        rows[name] += [measured - half, measured + half]
    columns = ["treated", "claimed", "measured", "ci_low", "ci_high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _q_p(
    users: pd.DataFrame, held: pd.DataFrame, goal: decisions.Goal, design: decisions.Design
) -> float:
    """How often new coins make the measured lifts differ as much; nan where that is no question."""
    if len(held) < 2 or held["lift"].isna().any():
        return math.nan
    q = heterogeneity.pool_segments(held, is_rate(users[goal.outcome])).q
    share, seed = design.control_share, design.seed
    luck = coins.new_coins(users, design.segment, goal.outcome, share, seed).q
    drawn = luck[np.isfinite(luck)]
    return (1 + (drawn >= q).sum()) / (1 + len(drawn)) if len(drawn) > len(luck) / 2 else math.nan


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
    if len(found.table) < 2:
        return [asked, "Found: nothing that could be cut, so all users are one segment."]
    best, many = found.table.iloc[0], f"{len(found.table)} segments"
    claim = f"{_three_digits(scale * best['claimed'])} {unit}"
    lift = f"{_measured(scale * best[['lift', *ENDS]], best['doubt'], unit)}"
    differ = "nothing can be tested" if math.isnan(found.q_p) else words.p_value(found.q_p)
    holds = "the lifts differ" if found.q_p < 0.05 else "none found that hold"
    return [
        asked,
        f"Found: {best.name} ({best['users']:,} users). The claim there, not to be quoted: "
        f"{claim}, the largest of {many}.",
        f"Measured there, by {best['others']:,} users who did not search: {lift}.",
        f"All {many}, by all who did not search: {holds} ({differ}).",
        f"Worth per user, less the cost, by the same: {_policies(found, unit, scale)}.",
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
