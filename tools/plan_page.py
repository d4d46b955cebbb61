"""The pages of a plan: what can be seen, as one page to pass on, and a sheet to sign."""

import hashlib
import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from helpers import assignment, plots, shown, words
from helpers.planning import ALONE, EVERYONE, NO, TOGETHER
from tools import counted, printed

if TYPE_CHECKING:
    from tools.plan import Planned

MOST_ROWS = 14  # of a table; plan.csv has all
MOST_NAMED = 4  # segments in a sentence
SAYS = {
    ALONE: "can be tested alone",
    TOGETHER: "can be tested only together with all others",
    NO: "cannot be tested, nor can all customers together",
}
HOW = (
    "Every number takes the outcome to vary among customers as the baseline does: if it varies "
    "more, as over a longer time it may, more customers are needed. Choose outcome, smallest lift "
    "worth having and segments now; look once, when all results are in."
)


def unit_of(asked: dict[str, Any]) -> tuple[float, str]:
    """How lifts are shown: times what, and in which unit."""
    if asked["rate"]:
        return 100, "percentage points"
    return 1, f"units of {shown(asked['baseline'])}"


def lift(x: float) -> str:
    """A lift for people: three digits; none where none can be seen."""
    if not math.isfinite(x):
        return "none" if math.isinf(x) else "unknown"
    return words.number(x, min(10, max(0, 2 - math.floor(math.log10(x)))) if x > 0 else 2)


def users(x: float) -> str:
    """Users for people, rounded up."""
    if not math.isfinite(x):
        return "none are enough" if math.isinf(x) else "unknown"
    return f"{math.ceil(x):,}" if x < 1e9 else f"{x:.0e}"


def page(planned: "Planned", path: Path, asked: dict[str, Any]) -> str:
    """The plan as HTML. asked: the options, which stand at its end."""
    scale, unit = unit_of(asked)
    worth = words.given(scale * asked["worth"])
    title = f"Which segments can tell whether a change is worth {worth} {unit}?"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _first(planned, asked),
        *(f'<p class="said">{said}</p>' for said in _answer(planned, asked)),
        "<h2>What can be seen</h2>",
        _picture(planned, asked),
        _table(planned, asked),
        "<h2>What is promised, and how often it came true</h2>",
        _pretended(planned, asked),
        _profile(planned),
        _balance(planned, asked),
        "<h2>What this goes by</h2>",
        f"<p>{_basis(planned, asked)}</p><p>{HOW}</p>",
        printed.source([path], _call(path, asked), planned.notes[0]),
    ]
    return printed.page(title, parts)


def _first(planned: "Planned", asked: dict[str, Any]) -> str:
    """What one must know before reading on."""
    said = [*planned.notes[1:], *shortfalls(planned, asked)]
    if not said:
        return ""
    items = "".join(f"<li>{escape(one)}</li>" for one in said)
    return f'<div class="first"><strong>Read this first</strong><ul>{items}</ul></div>'


def shortfalls(planned: "Planned", asked: dict[str, Any]) -> list[str]:
    """Where a formula fell short, or an experiment of this kind would break its promise."""
    scale, _ = unit_of(asked)
    said = []
    for name, row in planned.short.head(MOST_NAMED).iterrows():
        by = f"{lift(scale * row['smallest_detectable'])}, {users(row['users_needed'])} users"
        said.append(
            f"{shown(name)}: by the formula {by}; counted, that has {words.percent(row['power'])} "
            "power instead of 80 %, so the plan shows counted numbers."
        )
    left = len(planned.short) - MOST_NAMED
    said += [f"So it is with {left} more."] if left > 0 else []
    table = planned.pretended
    counting = 3 * (table["level"] * (1 - table["level"]) / table["runs"]) ** 0.5
    loud = table[table["false_alarms"] > 2 * table["level"] + counting]
    for name, row in loud.head(MOST_NAMED).iterrows():
        said.append(
            f"{shown(name)}: without any effect {words.percent(row['false_alarms'])} of "
            f"experiments were significant instead of {words.percent(row['level'])}. Plan arms of "
            "like size, or a cap that is fixed beforehand."
        )
    counting = 3 * (0.16 / table["runs"]) ** 0.5
    weak = table[table["power"] < counted.POWER - 0.02 - counting]
    for name, row in weak.drop(planned.short.index, errors="ignore").head(MOST_NAMED).iterrows():
        said.append(
            f"{shown(name)}: rehearsed, {words.percent(row['power'])} of experiments saw the lift "
            "that 80 % should see. Plan for more users."
        )
    return said


def _answer(planned: "Planned", asked: dict[str, Any]) -> list[str]:
    """Who can see a lift that is worth having, in two sentences."""
    scale, unit = unit_of(asked)
    row, table = planned.table.iloc[0], planned.table.iloc[1:]
    many = words.count(row["customers"], "customer")
    smallest = f"a lift of {lift(scale * row['smallest_detectable'])} {escape(unit)}"
    can = "can" if row["testable"] == TOGETHER else "cannot"
    said = [
        f"<strong>All {many} together {can} tell.</strong> With 80 % power they see {smallest}; "
        f"worth having is {words.given(scale * asked['worth'])}."
    ]
    kinds = []
    for kind in (ALONE, TOGETHER, NO):
        names = [shown(name, 40) for name in table.index[table["testable"] == kind]]
        if names:
            whose = ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} segments"
            kinds.append(f"{SAYS[kind]}: {escape(whose)}")
    alone = int((table["testable"] == ALONE).sum())
    label = f"<strong>Of {words.count(len(table), 'segment')}, {alone} alone.</strong>"
    said.append(f"{label} {'; '.join(kinds)[:1].upper()}{'; '.join(kinds)[1:]}.")
    if asked["correlation"] is not None:
        seen = table["smallest_detectable_adjusted"] <= asked["worth"]
        gained = [shown(name, 40) for name in table.index[seen & (table["testable"] != ALONE)]]
        if gained:
            whose = ", ".join(gained) if len(gained) <= MOST_NAMED else f"{len(gained)} more"
            said[-1] += f" Adjusted, with the correlation as stated, also alone: {escape(whose)}."
    return said


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """All users, and the largest segments in their order."""
    largest = table.iloc[1:]["customers"].nlargest(MOST_ROWS - 1).index
    return table[[name == EVERYONE or name in largest for name in table.index]]


def _picture(planned: "Planned", asked: dict[str, Any]) -> str:
    """The smallest detectable lifts against sizes."""
    scale, unit = unit_of(asked)
    table = _shown(planned.table).copy()
    lifts = [name for name in table if str(name).startswith("smallest_detectable")]
    table[lifts] *= scale
    if not table["smallest_detectable"].map(math.isfinite).any():
        return ""
    return printed.figure(lambda: plots.detectable_drawn(table, scale * asked["worth"], unit))


def _table(planned: "Planned", asked: dict[str, Any]) -> str:
    """The plan."""
    (scale, unit), adjusted = unit_of(asked), asked["correlation"] is not None
    rows: list[printed.Row] = []
    for name, row in _shown(planned.table).iterrows():
        cells = [
            ("text", shown(name)),
            ("number", f"{row['customers']:,.0f}"),
            ("number", f"{lift_or_zero(scale * row['mean'])} ({lift_or_zero(scale * row['sd'])})"),
            ("number", _apart(scale * row["smallest_detectable"], scale * asked["worth"])),
            ("number", users(row["users_needed"])),
            ("text", row["testable"]),
        ]
        if adjusted:
            seen = _apart(scale * row["smallest_detectable_adjusted"], scale * asked["worth"])
            cells.append(("number", f"{seen}; {users(row['users_needed_adjusted'])}"))
        rows.append(cells)
    caption = f"Means, spreads and lifts in {'per cent and ' if asked['rate'] else ''}{unit}. "
    caption += "Smallest detectable: found with 80 % power by all customers of the row. Users "
    caption += "needed: both arms together, for the lift worth having."
    if adjusted:
        caption += f" Adjusted: with a correlation of {asked['correlation']:g} of baseline and "
        caption += "outcome, the same two."
    if len(rows) < len(planned.table):
        caption += f" Shown are {len(rows)}; all {len(planned.table)} stand in plan.csv."
    heads = ["who", "customers", "mean (spread)", "smallest detectable", "users needed", "testable"]
    return printed.table(caption, [*heads, "adjusted"] if adjusted else heads, rows)


def lift_or_zero(x: float) -> str:
    """A mean or a spread for people."""
    return "unknown" if math.isnan(x) else words.number(x, 2) if abs(x) < 1000 else f"{x:,.0f}"


def _apart(x: float, worth: float) -> str:
    """A lift that is not rounded onto the other side of worth."""
    if not math.isfinite(x):
        return lift(x)
    least = max(0, 2 - math.floor(math.log10(x)))
    return words.number(x, words.digits_apart((x,), (worth,), least))


def _pretended(planned: "Planned", asked: dict[str, Any]) -> str:
    """Power and false alarms, promised and counted."""
    scale, unit = unit_of(asked)
    rows: list[printed.Row] = []
    for name, row in planned.pretended.loc[_shown(planned.table).index].iterrows():
        rows.append(
            [
                ("text", shown(name)),
                ("number", f"{row['customers']:,.0f}"),
                ("number", lift(scale * row["lift"])),
                (
                    "number",
                    "not counted" if math.isnan(row["power"]) else words.percent(row["power"]),
                ),
                ("number", words.percent(row["level"], 2)),
                ("number", words.percent(row["false_alarms"], 2)),
            ]
        )
    runs = int(planned.pretended["runs"].iloc[0])
    luck = words.percent(1.96 * (0.16 / runs) ** 0.5)
    caption = f"The experiment, rehearsed {runs:,} times on these customers with a planted lift, "
    caption += f"and {runs:,} times with none: arms dealt anew inside strata, the lift adjusted by "
    caption += f"baseline and strata. Power is promised to be 80 % (counting explains {luck} more "
    caption += f"or less). Lifts in {unit}."
    if (planned.pretended["customers"] < planned.table["customers"]).any():
        caption += " Of more than 20,000 customers a random 20,000 took part, as if they were all."
    heads = ["who", "customers", "planted", "power", "false alarms promised", "counted"]
    return printed.table(caption, heads, rows)


def _profile(planned: "Planned") -> str:
    """The clusters, where k-means made them."""
    if planned.profile is None:
        return ""
    features = [
        name for name in planned.profile if name not in ("customers", "name", "found_again")
    ]
    rows: list[printed.Row] = [
        [
            ("text", str(name)),
            ("text", shown(row["name"], 120)),
            *(("number", lift_or_zero(row[feature])) for feature in features[:4]),
            ("number", f"{row['found_again']:.2f}"),
        ]
        for name, row in planned.profile.head(MOST_ROWS).iterrows()
    ]
    caption = (
        "The clusters: means of features, and how well each is found again in customers drawn "
    )
    caption += "anew (1: always; below 0.6: no segment)."
    heads = [
        "cluster",
        "customers with",
        *(shown(name, 20) for name in features[:4]),
        "found again",
    ]
    return "<h2>What the clusters are</h2>" + printed.table(caption, heads, rows)


def _balance(planned: "Planned", asked: dict[str, Any]) -> str:
    """Both arms of the list, before anything is sent."""
    if planned.listed is None:
        return ""
    scale, unit = unit_of(asked)
    rows: list[printed.Row] = []
    for name, row in assignment.balance(planned.listed).iterrows():
        if name not in _shown(planned.table).index:
            continue
        means = ", ".join(
            lift_or_zero(scale * row[f"mean_{arm}"]) for arm in ("control", "treatment")
        )
        apart = "nothing varies" if math.isnan(row["in_sds"]) else f"{row['in_sds']:+.3f}"
        rows.append(
            [
                ("text", shown(name)),
                ("number", f"{row['control']:,.0f} + {row['treatment']:,.0f}"),
                ("number", means),
                ("number", apart),
            ]
        )
    caption = f"The list, before anything is sent: customers and means of the baseline in {unit}, "
    caption += "control first; their difference in spreads of all customers."
    heads = ["who", "customers", "means", "difference"]
    return "<h2>Who gets what</h2>" + printed.table(caption, heads, rows)


def _basis(planned: "Planned", asked: dict[str, Any]) -> str:
    count = len(planned.table) - 1
    share = asked["control_share"]
    arms = "two arms of equal size" if share == 0.5 else f"{words.percent(share)} in control"
    what = "two rates" if asked["rate"] else "a t-test of two means"
    return escape(
        f"Power of {what} with {arms} (Cohen 1988): all customers at 5 %, each of {count} segments "
        f"at {words.percent(0.05 / count, 2)} (Bonferroni), and 80 % power. The baseline, "
        f"{shown(asked['baseline'])}, stands for the outcome."
    )


def _call(path: Path, asked: dict[str, Any]) -> str:
    """The command that made the plan: what is needed first, then what is not the default."""
    first = {knob: asked[knob] for knob in ("id", "segment", "features", "baseline", "worth")}
    return printed.call("tools.plan", path, first | asked)


# The sheet


def sheet(planned: "Planned", listed: str, path: Path, asked: dict[str, Any]) -> str:
    """A page to sign before the first customer is treated. listed: the text of the list."""
    scale, unit = unit_of(asked)
    worth = words.given(scale * asked["worth"])
    checksum = hashlib.sha256(listed.encode()).hexdigest()
    assert planned.listed is not None
    sizes, strata = planned.listed["group"].value_counts(), planned.listed["stratum"].nunique()
    table = planned.table.iloc[1:]
    by_kind = {
        kind: [shown(name, 40) for name in table.index[table["testable"] == kind]]
        for kind in (ALONE, TOGETHER, NO)
    }
    decides = ", ".join(by_kind[ALONE]) or "none"
    blank = '<span aria-hidden="true">____________________________</span>'
    command = (
        "python -m tools.analyse RESULTS.csv --outcome COLUMN --assignment assignment.csv "
        f"--worth {asked['worth']!r} --seed {asked['seed']}"
    )
    sees = escape(f"{worth} {unit}")
    who = f"{len(planned.customers):,} customers: {sizes['control']:,} in control, "
    who += f"{sizes['treatment']:,} in treatment, by chance inside "
    who += words.count(strata, "stratum", "strata")
    rows = {
        "What is changed": f"{blank} (to be filled in)",
        "Question": f"Does it raise the outcome? Worth having: {sees}.",
        "Outcome": f"Measured as the baseline, {escape(shown(asked['baseline']))}, was: {blank}",
        "From, until": f"{blank} (as long as the baseline was measured)",
        "Who": who,
        "What decides": "All customers together, at 5 %. Segments that may be read alone: "
        f"{escape(shown(decides, 300))}; each at {words.percent(0.05 / len(table), 2)}",
        "Looks": "One, when all results are in. No earlier look, no longer run.",
        "Analysis": f"Regression on arm, baseline and strata (HC2): <code>{escape(command)}</code>",
        "Must not get worse": f"{blank} by more than {blank}",
        "The list": f"assignment.csv. Another list has another SHA-256: <code>{checksum}</code>",
        "Signed, on": f"{blank} {blank}",
    }
    body = "".join(
        f'<tr><th scope="row" class="text">{name}</th><td class="text">{text}</td></tr>\n'
        for name, text in rows.items()
    )
    title = "Plan of an experiment, signed before it begins"
    call = _call(path, asked)
    parts = [
        f"<h1>{title}</h1>",
        f'<div class="wide" tabindex="0" role="region" aria-label="The plan"><table class="sheet">'
        f"<tbody>\n{body}</tbody></table></div>",
        printed.source([path], call, planned.notes[0]),
    ]
    return printed.page(title, parts)
