"""What to do with all users and in each segment, by intervals that were tested on the log itself.

Notebook 06 and `tools.analyse` go by these rules.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from helpers import InputError, check_share, coins, doubts, experiment, power, words
from helpers.adjustment import compare_adjusted, known_columns
from helpers.comparison import Comparison
from helpers.data import EVERYONE
from helpers.goals import Design, Goal, check_confidence, kind_of, with_limit
from helpers.inference import compare_means, compare_rates
from helpers.metrics import compare_ratios

BLANK = {field.name: math.nan for field in fields(Comparison)}
NOT_TESTABLE = f"{words.DO_NOT_READ}: too few users to test, or nothing varies"
RATIO_ALARM = 0.001
OUTCOME_OPEN = "the outcome is open"  # as guardrails are, too
__all__ = ["EVERYONE", "Design", "Goal"]


def decide(
    log: pd.DataFrame, goal: Goal, design: Design, guardrails: Sequence[Goal] = ()
) -> list[pd.DataFrame]:
    """What to do, by the goal and all guardrails; and what `judge` says of each guardrail alone.

    The first table is that of `judge` for the goal. A guardrail is a goal with a margin: one that
    is worse than it holds the row, and one that is open or cannot be read lets nothing pass.
    Raises InputError as `judge` does.
    """
    table = judge(log, goal, design)
    others = [_judged(log, guard, design, int(table.attrs["testable"])) for guard in guardrails]
    seen = [other[["decision", "users_needed", "n_control", "n_treatment"]] for other in others]
    for place, found in enumerate(table["decision"]):
        said = [
            (guard.outcome, *other.iloc[place])
            for guard, other in zip(guardrails, seen, strict=True)
        ]
        table.loc[place, "decision"] = _guarded(found, said)
    return [table, *others]


def _judged(log: pd.DataFrame, guard: Goal, design: Design, testable: int) -> pd.DataFrame:
    """`judge` of a guardrail; its refusals name it."""
    try:
        return judge(log, guard, design, testable)
    except InputError as error:
        if error.knob not in ("no_worse_than", ""):
            raise
        raise InputError(f"{guard.outcome}: {error.message}", "guardrail") from None


def judge(
    log: pd.DataFrame, goal: Goal, design: Design, testable: int | None = None
) -> pd.DataFrame:
    """What one goal says of all users and each segment, for every arm against control.

    log: one row per user, as from `data.read_log`. Rows: all users for each arm, then each segment
    and arm; columns segment, arm, the fields of `comparison.Comparison`, ratio_p, level, alarms,
    decision, users_needed. alarms: the share of experiments with new coins in which the row's
    interval leaves out zero, promised level. attrs["testable"] is the number of segments that can
    be tested in some arm.
    With A arms against control, S such segments (or as many as `testable` says) and
    a = 1 - confidence, intervals of all users have the level a / A, those of segments a / (A S)
    (Bonferroni); p is not corrected. decision: that of `words.decision` or `words.margin_decision`,
    or what keeps the row from being read (too few users, `doubts.doubts`, few users who differ). It
    is "check the ratio" in every row where the arms' sizes do not fit the planned share somewhere
    (p < 0.001), or, of a list, where one arm lacks more users (Fisher's exact test); S is then the
    number of its segments. users_needed: in both arms, for 80 % power at the level of the row with
    the spreads seen and the planned share, for a lift of worth (of a margin: 0).
    Raises InputError for a limit, share or confidence that cannot be used, a segment called "all
    users", and where nothing can be tested.
    """
    check_confidence(design.confidence)
    check_share("control_share", design.control_share, 0.5)
    goal, kind = with_limit(log, goal, design), kind_of(log, goal)
    pairs = _pairs(log, goal, design)
    tables = {arm: _compared(pair, kind, design) for arm, pair in pairs.items()}
    tested = pd.DataFrame({arm: table["lift"].notna() for arm, table in tables.items()})
    if not tested.any(axis=None):
        raise InputError(_untestable(goal))
    count = int(tested.iloc[1:].any(axis=1).sum()) if not design.listed else len(tested) - 1
    total = (1 - design.confidence) / len(tables)
    for arm, table in tables.items():
        table["level"] = [total] + [total / max(1, testable or count)] * (len(table) - 1)
        _set_intervals(table, kind)
        table["decision"] = _decisions(pairs[arm], table, kind, goal, design, total)
        table["users_needed"] = _users_needed(table, kind, goal, design.control_share)
        table.insert(0, "arm", arm)
    rows = np.arange(tested.size).reshape(tested.shape[::-1]).T.ravel()  # an arm after another
    found = pd.concat(tables.values()).rename_axis("segment").reset_index().iloc[rows]
    found = found.reset_index(drop=True)
    odd = found[found["ratio_p"] < RATIO_ALARM]
    if len(odd):
        found["decision"] = f"{words.CHECK}: {', '.join(dict.fromkeys(map(str, odd['segment'])))}"
    found.attrs["testable"] = count
    return found


def _untestable(goal: Goal) -> str:
    """Why nothing can be tested, and what to do."""
    more = f", or {goal.covariate} leaves nothing to test" if goal.covariate else ""
    more += f", or every user has the same {goal.outcome} per {goal.per}" if goal.per else ""
    few = f"{goal.outcome} cannot be tested: arms have too few users, or nothing varies"
    return f"{few}{more}. Choose another column."


def _pairs(log: pd.DataFrame, goal: Goal, design: Design) -> dict[str, pd.DataFrame]:
    """For each arm: segment, y, bottom or before, and treated of its users and of control's."""
    columns = {"y": goal.outcome, "bottom": goal.per, "before": goal.covariate}
    columns["stratum"] = design.strata
    table = pd.DataFrame({name: log[column] for name, column in columns.items() if column})
    table["segment"] = EVERYONE
    if design.segment:
        table["segment"] = log[design.segment].astype("category")
        if not design.listed:
            table["segment"] = table["segment"].cat.remove_unused_categories()
    if design.segment and EVERYONE in map(str, table["segment"].unique()):
        raise InputError(f"has the value '{EVERYONE}', the name of another row.", "segment")
    arm = log[design.group]
    return {
        name: table[(arm == name) | (arm == design.control)].assign(treated=arm == name)
        for name in sorted(arm.unique())
        if name != design.control
    }


def _compared(pair: pd.DataFrame, kind: str, design: Design) -> pd.DataFrame:
    """All users, then each segment: the fields of a Comparison at 95 %, and ratio_p."""
    parts = {EVERYONE: pair}
    if pair["segment"].dtype == "category":
        parts |= dict(iter(pair.groupby("segment", observed=False)))
    rows = {}
    for name, part in parts.items():
        n_t = int(part["treated"].sum())
        counts = {"n_control": len(part) - n_t, "n_treatment": n_t}
        sizes = len(part) - n_t, n_t
        ratio_p = experiment.sample_ratio_p(*sizes, design.control_share) if len(part) else 1.0
        if design.listed:
            ratio_p = experiment.lost_users_p(design.listed[str(name)], sizes)
        rows[name] = compare(part, kind) | counts | {"ratio_p": ratio_p}
    return pd.DataFrame.from_dict(rows, orient="index")


def compare(part: pd.DataFrame, kind: str, confidence: float = 0.95) -> dict[str, float]:
    """The fields of a Comparison of treated and untreated, nan where they cannot be compared."""
    treated = part["treated"].to_numpy()
    if min(treated.sum(), (~treated).sum()) < 2:
        return dict(BLANK)
    if kind == "adjusted":
        known = known_columns(part["before"], part.get("stratum"))
        if known.shape[1] or "stratum" not in part:
            return _or_blank(compare_adjusted, part["y"], treated, known, confidence)
    control, treatment = (part["y"].to_numpy()[chosen] for chosen in (~treated, treated))
    if kind == "rate":
        counts = int(control.sum()), len(control), int(treatment.sum()), len(treatment)
        return asdict(compare_rates(*counts, confidence))
    if kind == "ratio":
        views = [part["bottom"].to_numpy()[chosen] for chosen in (~treated, treated)]
        return _or_blank(compare_ratios, control, views[0], treatment, views[1], confidence)
    if np.ptp(control) == np.ptp(treatment) == 0:
        return dict(BLANK)
    return asdict(compare_means(control, treatment, confidence))


def _or_blank(call: Callable[..., Comparison], *given: Any) -> dict[str, float]:
    """The fields of a Comparison, nan where the call refuses its arms."""
    try:
        return asdict(call(*given))
    except InputError:
        return dict(BLANK)


def _set_intervals(table: pd.DataFrame, kind: str) -> None:
    """Set the intervals to the level of each row; they lie around t standard errors."""
    half = stats.t.isf(table["level"] / 2, table["df"]) * table["se"]
    middle = table["t"] * table["se"]
    ends = (-1, 1) if kind == "rate" else (-np.inf, np.inf)  # no rate moves by more
    table["ci_low"], table["ci_high"] = (middle - half).clip(*ends), (middle + half).clip(*ends)


def _decisions(
    pair: pd.DataFrame, table: pd.DataFrame, kind: str, goal: Goal, design: Design, total: float
) -> list[str]:
    """What to do in each row of a table: all users, then segments."""
    bottom, before, stratum = (n if n in pair else "" for n in ("bottom", "before", "stratum"))
    share, seed = design.control_share, design.seed
    luck = coins.new_coins(pair, "segment", "y", share, seed, None, bottom, before, stratum)
    claim, segments = _p_of_claim(table, goal), luck.p_value.reindex(columns=table.index[1:])
    columns = [luck.everyone[0], *(segments[name] for name in segments)]
    pairs = zip(columns, table["level"], strict=True)
    table["alarms"] = [(p.dropna() < level).mean() for p, level in pairs]
    found = doubts.doubts(luck.everyone, claim.iloc[:1], total, total, luck.everyone_worse)
    if len(table) > 1:
        level, worse = table["level"].iloc[1], luck.worse.reindex(columns=table.index[1:])
        found += doubts.doubts(segments, claim.iloc[1:], level, total, worse)
    parts = [pair["y"]] + [part for _, part in pair.groupby("segment", observed=False)["y"]]
    return [
        _decision(row, pair.loc[y.index], doubt, kind, goal)
        for row, y, doubt in zip(table.itertuples(), parts, found, strict=False)
    ]


def _decision(row: Any, users: pd.DataFrame, doubt: str, kind: str, goal: Goal) -> str:
    if math.isnan(row.ci_low):
        return NOT_TESTABLE
    doubt = doubt or (
        "" if kind == "rate" else doubts.few_that_differ(users["y"], users["treated"])
    )
    if doubt:
        seen = doubts.causes(users["y"], row.n_control, row.n_treatment)
        return f"{words.DO_NOT_READ}: {', '.join([*seen, doubt])}"
    if goal.margin is not None:
        return words.margin_decision(row.ci_low, row.ci_high, goal.margin, goal.lower_is_better)
    assert goal.worth is not None
    return words.decision(row.ci_low, row.ci_high, goal.worth, goal.lower_is_better)


def _p_of_claim(table: pd.DataFrame, goal: Goal) -> pd.Series:
    """How clear each row is: its p-value, or that of a true lift which is just the margin."""
    if goal.margin is None:
        return table["p_value"]
    edge = goal.margin if goal.lower_is_better else -goal.margin
    distance = (table["t"] * table["se"] - edge).abs() / table["se"]
    return pd.Series(2 * stats.t.sf(distance, table["df"]), index=table.index)


def _users_needed(table: pd.DataFrame, kind: str, goal: Goal, control_share: float) -> list[float]:
    """In both arms together, for 80 % power at the level of each row."""
    effect = float(goal.worth or 0) if goal.margin is None else goal.margin
    rows = zip(_variance_of_lift(table, control_share, kind == "rate"), table["level"], strict=True)
    return [
        2 * power.sample_size(effect, v**0.5 / 2, alpha=level) if v > 0 else math.nan
        for v, level in rows
    ]


def _variance_of_lift(table: pd.DataFrame, control_share: float, rate: bool) -> pd.Series:
    """Of the difference of means, times the users in both arms; rates that are 0 are smoothed."""
    total = pd.Series(0.0, index=table.index)
    for arm, share in (("control", control_share), ("treatment", 1 - control_share)):
        smoothed = 1 / (table[f"n_{arm}"] + 2)
        variance = table[f"sd_{arm}"] ** 2
        if rate:
            variance = variance.where(variance > 0, smoothed * (1 - smoothed))
        total += variance / share
    return total


def _guarded(found: str, said: Sequence[tuple[str, str, float, int, int]]) -> str:
    """The decision, once the guardrails have been heard.

    found: the decision by the goal alone; said: of each guardrail its name, what is said of it,
    users needed, and the sizes of the arms.
    """
    if found.startswith(words.CHECK):
        return found
    broken = [name for name, decision, *_ in said if decision.startswith(words.HOLD)]
    if broken:
        worse = f"guardrail {broken[0]} worse than its margin"
        if len(broken) > 1:
            worse = f"guardrails {' and '.join(broken)} worse than their margins"
        return f"{found}; {worse}" if found.startswith(words.HOLD) else f"{words.HOLD}: {worse}"
    if found.startswith((words.HOLD, words.DO_NOT_READ)):
        return found
    unread = [
        f"guardrail {name}, {decision.partition(': ')[2]}"
        for name, decision, *_ in said
        if decision.startswith(words.DO_NOT_READ)
    ]
    if unread and found != words.COLLECT:
        return f"{words.DO_NOT_READ}: {'; '.join(unread)}"
    still = [f"{text.partition(',')[0]} cannot be read" for text in unread]
    still += [
        f"guardrail {name} may be worse than its margin ({words.enough(needed, n_c + n_t)})"
        for name, decision, needed, n_c, n_t in said
        if decision.startswith(words.COLLECT)
    ]
    if not still:
        return found
    first = [OUTCOME_OPEN] if found == words.COLLECT else []
    return f"{words.COLLECT}: {'; '.join([*first, *still])}"


def by_goal(decision: str) -> str:
    """The part of a decision that the goal alone gives; "" where guardrails alone decide."""
    own = decision.partition("; guardrail")[0]
    if own == f"{words.COLLECT}: {OUTCOME_OPEN}":
        return words.COLLECT
    return "" if own.partition(": ")[2].startswith("guardrail") else own
