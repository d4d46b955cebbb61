"""One page on a result, for somebody who was not there: no script, no request, one or two sheets.

Everything that depends on the run is computed; what a file calls its columns, arms and segments is
shown as it stands.
"""

import math
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import coins, decisions, plots, shown, words
from helpers.goals import Goal
from tools import decided, printed

MOST_ROWS, MOST_LINES = 14, 30  # of the table (rows of the picture); decisions.csv has all
MOST_PLANNED = 6  # rows of the plan
MOST_ARMS, MOST_GUARDS = 3, 6  # with a sentence each; rows, those that do not hold first
TESTS = {
    "mean": "Welch's t-test (1947)",
    "rate": "two rates by Agresti and Caffo (2000)",
    "ratio": "two ratios of sums by the delta method over users (Deng and others 2018)",
    "adjusted": "regression on arm and covariate, with HC2 errors (MacKinnon and White 1985)",
}
STRATIFIED = "stratified"
TESTS[STRATIFIED] = (
    "regression on arm, baseline and strata, with HC2 errors (MacKinnon and White 1985)"
)
GUARDED = {  # what would change a decision that guardrails alone give
    words.HOLD: "a guardrail decides: only other users, or a margin chosen before them, change it.",
    words.COLLECT: "a guardrail decides. Where the users that its row asks for are there, it lies "
    "near its margin: only more users tell, or somebody who may give the margin up.",
    words.DO_NOT_READ: "a guardrail cannot be read: its row says why.",
}
HELD = {  # what the decisions to hold say
    f"{words.HOLD}: {words.LOSS}": "The whole interval is on the wrong side of zero.",
    f"{words.HOLD}: gain too small": "All of the interval is a gain, and too small a one.",
    f"{words.HOLD}: {words.TOO_SMALL}": "Nothing in the interval is a gain worth having.",
    f"{words.HOLD}: worse than the margin": "All of the interval is worse than the margin.",
}
CHOSEN = (
    "All this holds for what was chosen beforehand. Another outcome, segment, cap, margin or "
    "guardrail, chosen after the numbers were seen, looks the same on paper and promises nothing; "
    "nor does looking again and again while users come in."
)


def page(result: decided.Result, log: Path, asked: dict[str, Any]) -> str:
    """The page as HTML. asked: the options of the analysis, which stand at its end."""
    title = question(result)
    parts = [
        f"<h1>{escape(title)}</h1>",
        first_lines(result),
        "".join(f'<p class="said">{said}</p>' for said in sentences(result)),
        "<h2>Who was compared</h2>",
        who(result),
        "<h2>What was found</h2>",
        picture(result),
        found(result),
        guarded(result),
        planned(result),
        "<h2>What this promises, and what was measured here</h2>",
        promise(result),
        "<h2>What would change the decision</h2>",
        change(result),
        source(result, log, asked),
    ]
    return printed.page(title, parts)


# Its parts


def question(result: decided.Result) -> str:
    """What was asked, as a question."""
    goal, arms = result.goal, [shown(arm, 40) for arm in result.table["arm"].unique()]
    who = arms[0] if len(arms) == 1 else f"{', '.join(arms[:-1])} or {arms[-1]}"
    if len(arms) > MOST_ARMS:
        who = f"one of {len(arms)} arms"
    what = f'"{shown(goal.outcome, 60)}"' + (f' per "{shown(goal.per, 60)}"' if goal.per else "")
    control = shown(result.design.control, 40)
    if goal.margin is not None:
        return f"Is {what} with {who} no worse than with {control}?"
    return f"Does {who} {'lower' if goal.lower_is_better else 'raise'} {what}, against {control}?"


def first_lines(result: decided.Result) -> str:
    """What one must know before reading on."""
    table = result.table.set_axis(decided.names(result))
    said = []
    if table["decision"].str.startswith(words.CHECK).any():
        odd = "; ".join(table.index[table["ratio_p"] < decisions.RATIO_ALARM])
        said.append(
            f"<strong>The arms do not have the planned sizes</strong> ({escape(odd)}). Something "
            "went wrong when users were assigned or counted. Nothing below is a result."
        )
    silent = table["decision"].str.startswith(words.DO_NOT_READ)
    if silent.any():
        whose = _some(table.index[silent])
        said.append(
            f"<strong>Do not read</strong> {escape(whose)}: the table says why, in the column "
            "decision."
        )
    said += [escape(note) for note in result.notes[1:]]
    if not said:
        return ""
    items = "".join(f"<li>{one}</li>" for one in said)
    return f'<div class="first"><strong>Read this first</strong><ul>{items}</ul></div>'


def _some(names: Iterable[str], most: int = 4) -> str:
    """Names in a row, the last of many counted."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def sentences(result: decided.Result) -> list[str]:
    """The decision for all users, a sentence or two for each arm."""
    scale, unit = decided.unit_of(result.goal, result.rate)
    at_least, limit = decided.digits(result), scale * decided.edge(result.goal)
    everyone = result.table[result.table["segment"] == decisions.EVERYONE]
    if len(everyone) > MOST_ARMS:
        return [_counted(everyone.set_axis(everyone["arm"]), "All users"), *_segments(result)]
    said = []
    for row in everyone.itertuples():
        label = f"<strong>{escape(_capital(headline(row.decision)))}.</strong>"
        arms = f"{escape(shown(row.arm))} minus {escape(shown(result.design.control))}"
        lift, low, high = (scale * x for x in (row.lift, row.ci_low, row.ci_high))
        if math.isnan(low):
            said.append(f"{label} For all users, {arms} cannot be computed.")
            continue
        digits = words.digits_apart((lift, low, high), (0.0, limit), at_least)
        seen = f"For all users, {arms} is {words.number(lift, digits, True)} {escape(unit)}"
        if not _unread(row.decision):
            percent = f"{100 * (1 - row.level):.4g}"
            seen += f" ({percent} % interval {words.interval(low, high, digits)}"
            seen += f"; {relative})" if (relative := in_per_cent(row)) else ")"
        said.append(f"{label} {seen}. {escape(meaning(row, result.goal))}")
    return [*said, *_segments(result)]


def headline(decision: str) -> str:
    """A decision without the count that explains it, which follows."""
    return re.split(r",? ?(?:without effect|new coins|an arm has) ", decision)[0].rstrip(":")


def in_per_cent(row: Any) -> str:
    """The lift against the control mean, or "" where that is nothing."""
    if not (math.isfinite(row.relative_lift) and abs(row.relative_lift) < 10):
        return ""
    return f"{words.percent(row.relative_lift, sign=True)} of control's mean"


def _segments(result: decided.Result) -> list[str]:
    """The decisions for the segments, counted; and which of them the plan did not mean to read."""
    table = result.table.set_axis(decided.names(result))
    table = table[table["segment"] != decisions.EVERYONE]
    if not len(table):
        return []
    said = _counted(table, "Segments alone")
    if result.planned is not None:
        large = result.planned["testable"] == "alone"
        if "smallest_detectable_adjusted" in result.planned and result.goal.worth:
            large |= result.planned["smallest_detectable_adjusted"] <= result.goal.worth
        weak = [shown(name, 40) for name in table["segment"] if not large.get(name, False)]
        whose = ", ".join(weak) if len(weak) < 5 else f"{len(weak)} of {len(table)}"
        if weak:
            said += f" By the plan too small to be read alone: {escape(whose)}."
    return [said]


def _counted(table: pd.DataFrame, who: str) -> str:
    """The decisions in a table, and whose they are, where those are few."""
    kinds = table["decision"].str.split(":").str[0]
    said = []
    for kind in kinds.drop_duplicates():
        names = [shown(name, 40) for name in table.index[kinds == kind]]
        whose = ", ".join(names) if len(names) < 5 else f"{len(names)} of {len(table)}"
        open_too = " (too uncertain to tell)" if kind == words.COLLECT else ""
        said.append(f"{kind}{open_too}: {whose}")
    return f"{who}. {escape(_capital('; '.join(said)))}."


def _unread(decision: str) -> bool:
    """Whether the interval of the goal must not be read."""
    return decisions.by_goal(decision).startswith((words.DO_NOT_READ, words.CHECK))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def meaning(row: Any, goal: Goal) -> str:
    """What a decision says, in a sentence or two."""
    own = decisions.by_goal(row.decision)
    if not own:
        return "A guardrail decides: see its row."
    if own == words.SHIP:
        near = -row.ci_high if goal.lower_is_better else row.ci_low
        sure = near >= decided.edge(goal) * (-1 if goal.lower_is_better else 1)
        gain = "fall" if goal.lower_is_better else "gain"
        return (
            f"A {gain}, and one worth having: so is every value of the interval."
            if sure
            else f"A {gain} is clear; whether it is worth having is still open."
        )
    if own.startswith(words.NOT_WORSE):
        return "The whole interval is better than the largest loss that would be accepted."
    if own.startswith(words.CHECK):
        return "Find out why the arms have these sizes, before anything is read."
    if own.startswith(words.DO_NOT_READ):
        why = own.removeprefix(headline(own)).lstrip(",: ")
        return f"There is no answer yet{f': {why}' if why else ''}."
    if own == words.COLLECT:
        what = "zero and lifts worth having" if goal.margin is None else "both sides of the margin"
        return f"The interval holds {what}: this log cannot tell."
    return f"Do not ship. {HELD[own]}"


def who(result: decided.Result) -> str:
    """The arms, their sizes, and the ratio check."""
    everyone = result.table[result.table["segment"] == decisions.EVERYONE]
    control = everyone.iloc[0]
    share = result.design.control_share
    rows = [[("text", shown(result.design.control)), ("", f"{control.n_control:,.0f}"), ("", "")]]
    for row in everyone.itertuples():
        fits = "share as planned" if row.ratio_p >= decisions.RATIO_ALARM else "ALARM"
        p = "by the list" if result.filled else f"{fits} ({words.p_value(row.ratio_p)})"
        rows.append([("text", shown(row.arm)), ("", f"{row.n_treatment:,.0f}"), ("number", p)])
    plan = f"control is {words.percent(share)} of it and any other arm"
    plan = "as many users in control as in each other arm" if share == 0.5 else plan
    said = f"Users in each arm. The plan: {plan}. An alarm is a p below 0.001."
    table = printed.table(said, ["arm", "users", "sizes"], rows)
    segments = result.table["segment"].nunique() - 1
    if not result.design.segment:
        return table
    by = "the list" if result.design.strata else escape(shown(result.design.segment))
    return f"{table}<p>Cut into {words.count(segments, 'segment')} by {by}.</p>"


def chosen(result: decided.Result) -> pd.DataFrame:
    """The rows that are shown: all users, then by decision (ship first), then the largest."""
    table = result.table.set_axis(decided.names(result))
    kinds = [words.SHIP, words.NOT_WORSE, words.DO_NOT_READ, words.CHECK, words.HOLD]
    first = {kind: place for place, kind in enumerate(kinds)}
    rank = pd.DataFrame({"below": table["segment"] != decisions.EVERYONE})
    rank["kind"] = table["decision"].str.split(":").str[0].map(first).fillna(len(first))
    rank["size"] = -(table["n_control"] + table["n_treatment"])
    arms = table["arm"].nunique()  # they and guardrails need room as well
    more = 0 if result.planned is None else min(MOST_PLANNED, len(table))
    more += max(0, arms - MOST_ARMS) + min(MOST_GUARDS, arms * len(result.guardrails))
    order = rank.reset_index(drop=True).sort_values(list(rank)).index[: MOST_ROWS - more]
    texts = (
        table["decision"].map(in_short).iloc[order].str.len() / 20,
        table.index[order].str.len() / 14,
    )
    lines = np.ceil(np.maximum.reduce([*map(np.asarray, texts)])).cumsum()
    return table.iloc[sorted(order[: max(2, int((lines <= MOST_LINES - 2 * more).sum()))])]


def picture(result: decided.Result) -> str:
    """The intervals, and what is worth having, as a picture with its words."""
    table = chosen(result)
    scale, unit = decided.unit_of(result.goal, result.rate)
    ends = {"ci_low": "low", "lift": "estimate", "ci_high": "high"}
    table = table.dropna(subset=list(ends))
    rows = scale * table[list(ends)].rename(columns=ends)
    kinds = table["decision"].str.split(":").str[0]
    unread = table["decision"].map(_unread)
    for end in ("low", "high"):
        rows[end] = np.where(unread, rows["estimate"], rows[end])
    rows["note"] = kinds.to_list()
    rows.index = [shown(name, 26) for name in rows.index]
    clear = ((rows["low"] > 0) | (rows["high"] < 0)) & ~unread.to_numpy()
    limit = "margin" if result.goal.margin is not None else "worth having"
    marks = {"zero": 0.0, limit: scale * decided.edge(result.goal)}
    title = f"{clear.sum()} of {len(rows)} intervals leave out zero"
    if result.goal.margin is not None:
        worst = -rows["high"] if result.goal.lower_is_better else rows["low"]
        kept = (worst > -scale * result.goal.margin) & ~unread.to_numpy()
        title = f"{kept.sum()} of {len(rows)} intervals keep the margin"
    if unread.all():
        title = "Differences, without intervals"
    arms = table["arm"].unique()
    who = shown(arms[0], 20) if len(arms) == 1 else "arm"
    across = f"{who} minus {shown(result.design.control, 20)}, {shown(unit, 24)}"
    return printed.figure(lambda: plots.intervals_drawn(rows, title, across, marks))


def found(result: decided.Result) -> str:
    """The table of all rows, or of the first of many."""
    table = chosen(result)
    scale, unit = decided.unit_of(result.goal, result.rate)
    at_least, limit = decided.digits(result), scale * decided.edge(result.goal)
    rows = []
    for name, row in zip(table.index, table.itertuples(), strict=True):
        lift, low, high = (scale * x for x in (row.lift, row.ci_low, row.ci_high))
        digits = words.digits_apart((lift, low, high), (0.0, limit), at_least)
        means = [words.number(scale * x, at_least) for x in (row.mean_control, row.mean_treatment)]
        blank = math.isnan(low)
        ends = "" if blank else words.interval(low, high, digits)
        unread = _unread(row.decision)
        ends = "not read" if unread else ends
        rows.append(
            [
                ("text", str(name)),
                ("number", f"{row.n_control:,.0f} + {row.n_treatment:,.0f}"),
                ("number", "" if blank else ", ".join(means)),
                ("number", "" if blank else words.number(lift, digits, True)),
                ("number", ends),
                ("number", "" if blank or unread else words.p_value(row.p_value)[2:].lstrip("= ")),
                ("text", in_short(row.decision)),
                ("", _many(row.users_needed) if row.decision.startswith(words.COLLECT) else ""),
            ]
        )
    shares = "per cent and percentage points" if result.rate else unit
    caption = f"Users and means: control, then the arm; means and lifts in {shares}, rounded."
    caption += f" {decided.limit_line(result)} The interval decides, not p. Users needed: control "
    caption += "and arm together, of this row alone, for 80 % power at that, if spreads stay."
    if len(result.table) > len(table):
        caption += f" Shown are {len(table)}, those to ship first, then other decisions, the "
        caption += f"largest of them; all {len(result.table)} stand in decisions.csv."
    heads = ["who", "users", "means", "lift", "interval", "p", "decision", "users needed"]
    return printed.table(caption, heads, rows)


def in_short(decision: str) -> str:
    """A decision for the table: what guardrails need stands in their rows, and in decisions.csv."""
    still = re.compile(
        r"guardrail (.+?) may be worse than its margin \(.*?\)(?:; (?=guardrail )|$)"
    )
    names = still.findall(decision)
    if not names:
        return decision
    first = decision[: decision.index(f"guardrail {names[0]} may be worse")]
    return f"{first}guardrail{'s' if len(names) > 1 else ''} {', '.join(names)} open"


def _many(users: float) -> str:
    return f"{math.ceil(users):,}" if users < 1e9 else f"{users:.0e}"


def guarded(result: decided.Result) -> str:
    """The guardrails, for all users."""
    rows = []
    for goal, table in result.guardrails:
        for row in table[table["segment"] == decisions.EVERYONE].itertuples():
            width = row.ci_high - row.ci_low
            blank = math.isnan(width)
            digits = 4 if blank or width <= 0 else max(0, 2 - math.floor(math.log10(width)))
            ends = "" if blank else words.interval(row.ci_low, row.ci_high, digits)
            rows.append(
                [
                    ("text", shown(goal.outcome)),
                    ("text", shown(row.arm)),
                    ("text", f"{'above' if goal.lower_is_better else 'below'} {_signed(goal)}"),
                    ("number", "" if blank else words.number(row.lift, digits, True)),
                    ("number", "not read" if _unread(row.decision) and not blank else ends),
                    ("text", row.decision),
                    ("", "" if math.isnan(row.users_needed) else _many(row.users_needed)),
                ]
            )
    if not rows:
        return ""
    passed = [row[5][1].startswith(words.NOT_WORSE) for row in rows]
    order = sorted(range(len(rows)), key=lambda place: passed[place])[:MOST_GUARDS]
    left = f" Another {len(rows) - len(order)} are not shown." if len(rows) > len(order) else ""
    rows = [rows[place] for place in sorted(order)]
    heads = [
        "guardrail",
        "arm",
        "too bad",
        "lift",
        "interval",
        "what it says",
        "users needed",
    ]
    caption = "What must not get worse, for all users, in the unit of each column. "
    caption += "All of them must hold before anything ships; each is read at the level of its "
    caption += f"row, not corrected for their number.{left}"
    return printed.table(caption, heads, rows)


def planned(result: decided.Result) -> str:
    """What the plan expected, beside what came: users, spread, and the smallest detectable lift."""
    if result.planned is None:
        missing = "<p>No plan.csv of this list lay beside it, so nothing planned is shown.</p>"
        return missing if result.design.strata else ""
    (scale, _), digits = decided.unit_of(result.goal, result.rate), decided.digits(result)
    adjusted = "smallest_detectable_adjusted" in result.planned
    lifts = result.planned["smallest_detectable" + "_adjusted" * adjusted]
    left = (lifts / result.planned["smallest_detectable"]).fillna(1.0)  # of the spread
    rows: list[printed.Row] = []
    for row in result.table.head(MOST_PLANNED).itertuples():
        if row.segment not in lifts or math.isnan(row.se):
            continue
        values = (left[row.segment] * result.planned["sd"][row.segment], row.sd_control)
        values += (row.sd_treatment, lifts[row.segment], decided.smallest_detectable(row))
        sd, *sds, lift, seen = (words.number(scale * value, digits) for value in values)
        users = f"{result.planned['customers'][row.segment]:,.0f}"
        done = f"{row.n_control + row.n_treatment:,.0f}"
        cells = [f"{users}, {done}", sd, ", ".join(sds), f"{lift}, {seen}"]
        rows.append([("text", shown(row.segment)), *(("number", cell) for cell in cells)])
    if not rows:
        return ""
    how = "once adjusted" if adjusted else "not adjusted, since the plan stated no correlation"
    caption = (
        f"Planned, and done; planned first. Planned spreads and lifts: {how}; those that came: "
    )
    caption += "once adjusted (control, treatment). Smallest lift: with 80 % power."
    heads = ["who", "users", "spread planned", "spreads that came", "smallest lift"]
    return printed.table(caption, heads, rows)


def _signed(goal: Goal) -> str:
    return words.given(decided.edge(goal), sign=True)


def promise(result: decided.Result) -> str:
    """The test, its level, and how often new coins led the intervals astray."""
    table, everyone = result.table, result.table["segment"] == decisions.EVERYONE
    first, parts = table[everyone].iloc[0], table[~everyone]
    kind = STRATIFIED if result.design.strata else result.kind
    said = [f"Test: {TESTS[kind]}. "]
    said.append(
        "Intervals of all users are built to hold the true difference in "
        f"{100 * (1 - first.level):.4g} of 100 experiments"
    )
    if len(parts):
        said.append(
            f", those of the segments in {100 * (1 - parts.iloc[0].level):.4g} of 100 each, and "
            f"all segments together in {100 * result.design.confidence:.4g} of 100 (Bonferroni)"
        )
    said.append(". p is not corrected. ")
    pairs = table[everyone]["n_control"] + table[everyone]["n_treatment"]
    runs, most = coins.runs_for(int(pairs.max()), result.kind == "adjusted")
    on = "these very users"
    if pairs.max() > most:
        each = most // max(1, table["segment"].nunique() - 1)
        on = f"a random {most:,} of these users (of a segment, {each:,} at most)"
    dealt = (
        "arms were dealt anew inside strata"
        if result.design.strata
        else ("a new coin gave the arm")
    )
    said.append(
        f"Tested on {on}: {runs:,} times every outcome was kept and {dealt}, so "
        "that whatever differed was luck. "
    )
    tested = table[everyone]["alarms"].dropna()
    if len(tested):
        shares = " and ".join(words.percent(share) for share in tested[:MOST_ARMS])
        if len(tested) > MOST_ARMS:
            shares = f"{words.percent(tested.min())} to {words.percent(tested.max())}"
        said.append(
            f"The interval of all users then left out zero in {shares} (promised "
            f"{words.percent(first.level)})"
        )
    alarms = parts["alarms"].dropna()
    if len(alarms):
        said.append(
            f"; those of the segments in {words.percent(alarms.min())} to "
            f"{words.percent(alarms.max())} (promised {words.percent(parts.iloc[0].level)} each)"
        )
    said.append(
        ". A row is not read if its interval, or one of its ends, missed clearly more than twice "
        "as often as promised"
    )
    return f"<p>{escape(''.join(said))}.</p><p>{CHOSEN}</p>"


def change(result: decided.Result) -> str:
    """What another number of users, another limit or another look would do."""
    scale, unit = decided.unit_of(result.goal, result.rate)
    everyone = result.table[result.table["segment"] == decisions.EVERYONE]
    said = []
    if len(everyone) > MOST_ARMS:
        said.append("For each arm, the users needed stand in decisions.csv.")
        everyone = everyone.head(0)
    for row in everyone.itertuples():
        text = _changed(row, result, scale, unit)
        said.append(f"{shown(row.arm)}: {text}" if len(everyone) > 1 else _capital(text))
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in said) + "</ul>"


def _changed(row: Any, result: decided.Result, scale: float, unit: str) -> str:
    """For one arm: how far the decision is from another."""
    goal, users = result.goal, row.n_control + row.n_treatment
    if row.decision.startswith(words.CHECK):
        share = "" if result.design.strata else " or their planned share is given"
        return f"nothing, before the sizes of the arms are explained{share}."
    own = decisions.by_goal(row.decision)
    if not own:
        return GUARDED[row.decision.partition(":")[0]]
    if own.startswith(words.DO_NOT_READ):
        return (
            "large values cut at a threshold that was fixed before the data (--cap-at), arms of "
            "like size, or more users may make the intervals hold."
        )
    low, high = (-row.ci_high, -row.ci_low) if goal.lower_is_better else (row.ci_low, row.ci_high)
    digits = decided.digits(result)
    if goal.margin is not None:
        worst = words.number(scale * -low, digits)
        if own.startswith(words.NOT_WORSE):
            held = (
                f"if less than {worst} {unit} were accepted, it would no longer be not worse"
                if low < 0
                else ("nothing: no loss is in the interval")
            )
            return f"{held}."
        if own == words.COLLECT:
            return (
                f"a margin above {worst} {unit} would be kept by these users; {_users(row, users)}."
            )
        return "nothing in these data: all of the interval is worse than the margin."
    best = words.number(scale * high, digits)
    if own == words.SHIP:
        near = words.number(scale * low, digits)
        return (
            f"if {near} {unit} or less is enough, the whole interval is worth having; if more than "
            f"{best} is needed, nothing in it is, and it would be hold."
        )
    if own == words.COLLECT:
        return f"{_users(row, users)}; if only more than {best} {unit} were worth having: hold."
    if high <= 0:
        return "nothing in these data: no gain is in the interval."
    return f"if less than {best} {unit} were worth having, it would no longer be hold."


def _users(row: Any, users: float) -> str:
    needed = _many(row.users_needed)
    if row.users_needed <= users:
        return f"the {needed} users for 80 % power are there, and the difference is near the border"
    return (
        f"with {needed} users in all (here: {users:,.0f}) the power would be 80 %. Fix that number "
        "now, and look once, when it is reached"
    )


def source(result: decided.Result, log: Path, asked: dict[str, Any]) -> str:
    """Where the numbers come from: file, checksum, version, options."""
    asked = {"outcome": asked["outcome"]} | asked
    call = printed.call("tools.analyse", log, asked)
    lists = [asked["assignment"]] if asked["assignment"] else []
    return printed.source([log, *lists], call, result.notes[0])
