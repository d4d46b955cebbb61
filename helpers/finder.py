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
from helpers.goals import is_rate

MOST = 4  # segments: more are smaller, and the best of more looks better by luck
FEWEST = 50  # users of a segment, in the half that finds it
FEWEST_TO_DIFFER = 20  # users of the log with another outcome than most have
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


def halves(treated: np.ndarray, seed: int | np.random.Generator) -> np.ndarray:
    """Which users are of the half that searches: every other one of each arm, in random order.

    treated: True or False, one a user. Raises InputError for a seed that is none.
    """
    check_seed(seed)
    order = np.random.default_rng(seed).permutation(len(treated))
    searched = np.zeros(len(treated), dtype=bool)
    for arm in (False, True):
        searched[order[treated[order] == arm][::2]] = True
    return searched


def features(table: pd.DataFrame) -> pd.DataFrame:
    """What a tree can cut: numbers as they are, and each value of a text as a column of 0 and 1."""
    return pd.get_dummies(table, prefix_sep=" = ").astype(float)


def grow(table: pd.DataFrame, treated: np.ndarray, outcome: np.ndarray) -> DecisionTreeRegressor:
    """A tree whose leaves are segments with unlike lifts, as far as these users show.

    table: from `features`; treated, outcome: one value a user. The tree cuts the transformed
    outcome, (y - mean) (treated - share) / (share (1 - share)), whose mean among users with the
    same features is their lift. Source: Athey and Imbens (2016), who compare it with better ones.
    """
    share, least = treated.mean(), fewest(treated)
    moved = (outcome - outcome.mean()) * (treated - share) / (share * (1 - share))
    tree = DecisionTreeRegressor(max_leaf_nodes=MOST, min_samples_leaf=least, random_state=0)
    return tree.fit(table.to_numpy(), moved / (moved.std() or 1.0))  # no number is too small


def fewest(treated: np.ndarray) -> int:
    """How many users a segment must have: a twentieth, 50, and enough for 25 in an arm."""
    smaller = min(treated.mean(), 1 - treated.mean())
    return max(FEWEST, len(treated) // 20, math.ceil(FEWEST_IN_ARM / smaller))


def rules(
    tree: DecisionTreeRegressor, table: pd.DataFrame, values: pd.DataFrame | None = None
) -> dict[int, str]:
    """Each leaf of the tree, by its number, in words: "days over 120, not phone".

    table: what the tree was grown on; values: what its columns mean, in the same order, where the
    tree has seen ranks.
    """
    inside, found = tree.tree_, {}
    values = table if values is None else values
    seen, meant = ([np.unique(x) for x in part.to_numpy().T] for part in (table, values))

    def walk(node: int, limits: dict[int, tuple[int, int]]) -> None:
        """limits: of each column the last place that is left out, and the last that is not."""
        column, at = inside.feature[node], inside.threshold[node]
        if column < 0:
            parts = {i: _said(table.columns[i], meant[i], *limits[i]) for i in limits}
            found[node] = ", ".join(_needed(parts, values)) or ALL
            return
        place = int(np.searchsorted(seen[column], at, side="right")) - 1
        low, high = limits.get(column, (-1, len(seen[column]) - 1))
        walk(inside.children_left[node], limits | {column: (low, place)})
        walk(inside.children_right[node], limits | {column: (place, high)})

    walk(0, {})
    said = pd.Series(found)
    again = said.groupby(said).cumcount()  # columns may be called so that words are the same
    return (said + again.map(lambda times: f" ({times + 1})" if times else "")).to_dict()


def _needed(parts: dict[int, str], values: pd.DataFrame) -> list[str]:
    """The words of each column by its place, less what goes without saying.

    Whoever is in the west is not in the south: where a value is said, those that nobody has
    together with it are not.
    """
    has = [i for i, said in parts.items() if said == values.columns[i]]
    return [
        said
        for i, said in parts.items()
        if not said.startswith("not ")
        or all((values.iloc[:, [i, j]] == 1).all(axis=1).any() for j in has)
    ]


def _said(name: object, values: np.ndarray, low: int, high: int) -> str:
    """Which of the sorted values are meant: those behind place low, up to place high."""
    called = shown(name, 200)
    if set(values) <= {0, 1}:
        return called if low >= 0 else f"not {called}"
    over = f" over {_written(values, low)}" if low >= 0 else ""
    return f"{called}{over}" + (
        f" up to {_written(values, high)}" if high < len(values) - 1 else ""
    )


def _written(values: np.ndarray, place: int) -> str:
    """A number with as many digits as set this value apart from the next."""
    here, after = values[place], values[place + 1]
    if here == int(here):
        return f"{here:,.0f}"
    texts = (f"{here:.{digits}g}" for digits in range(3, 18))
    return next(text for text in texts if here <= float(text) < after)


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
    treated, y = (log[group] != control).to_numpy(), log[outcome].astype(float)
    _check_enough(treated, y)
    searched = halves(treated, seed)
    names = _found(features(log[list(columns)]), treated, y.to_numpy(), searched)
    arms = np.where(treated, "treatment", "control")
    users = pd.DataFrame({SEGMENT: names, outcome: y, ARM: arms})
    _check_both_arms(users)
    claims = heterogeneity.compare_segments(users[searched], SEGMENT, outcome, ARM)
    goal = decisions.Goal(outcome, worth)
    design = decisions.Design(SEGMENT, ARM, control_share=control_share, seed=seed)
    judged = decisions.judge(users[~searched], goal, design).set_index("segment")
    held = judged.reindex(claims.index)
    said = judged["decision"].where(judged["decision"].str.startswith(UNREAD), "")
    found = _both(claims, held, said.reindex(claims.index, fill_value=""))
    q_p = _q_p(users[~searched], held, goal, design)
    ratio_p = experiment.sample_ratio_p(int((~treated).sum()), int(treated.sum()), control_share)
    doubt = next((f"{text}; seen in {name}" for name, text in said.items() if text), "")
    return Found(found, _values(claims, held, worth), q_p, ratio_p, doubt, names, searched)


def _found(
    table: pd.DataFrame, treated: np.ndarray, y: np.ndarray, searched: np.ndarray
) -> pd.Series:
    """The segment of each user, in words; the tree sees ranks, so that no value is too large."""
    ranks = table.rank(method="dense")
    tree = grow(ranks[searched], treated[searched], y[searched])
    return pd.Series(tree.apply(ranks.to_numpy()), table.index).map(rules(tree, ranks, table))


def _check_enough(treated: np.ndarray, y: pd.Series) -> None:
    """Raise InputError where halves could not be cut, or nearly all users have one outcome."""
    smaller = min(treated.mean(), 1 - treated.mean())
    needed = 4 * max(FEWEST, math.ceil(FEWEST_IN_ARM / max(smaller, 1e-9)))
    if len(y) < needed:
        raise InputError(
            f"The log has {len(y):,} users; a search needs {needed:,}, two segments in each half, "
            f"with arms like these. Collect more, or take notebook 06."
        )
    usual = y.mode().iloc[0]
    differ = int((y != usual).sum())
    if differ < FEWEST_TO_DIFFER:
        raise InputError(
            f"{shown(y.name)} is {usual:g} for all but {words.count(differ, 'user')}; a search "
            f"needs {FEWEST_TO_DIFFER} of others. Choose another outcome."
        )


def _check_both_arms(users: pd.DataFrame) -> None:
    """Raise InputError at a segment that has users of one arm only."""
    arms = users.groupby(SEGMENT)[ARM].nunique()
    if (arms < 2).any():
        raise InputError(
            f"The segment {shown(arms.idxmin(), 200)} has users of one arm only: a column tells "
            "the arms apart. Leave it out."
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
