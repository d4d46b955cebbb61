"""The pages of a plan: what can be seen, as one page to pass on, and a sheet to sign."""

import hashlib
import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.figure import Figure

from helpers import assignment, data, doubts, planning, plots, shown, words
from helpers.planning import ALONE, EVERYONE, NO, TOGETHER
from tools import counted, printed

if TYPE_CHECKING:
    from tools.plan import Planned

MOST_ROWS, MOST_COUNTED = 9, 4  # of tables; plan.csv has all
MOST_NAMED = 4  # segments in a sentence
MOST_SAID = 3  # remarks
FAR_APART = 0.25  # of two baselines, in spreads
SAYS = {
    ALONE: "large enough alone",
    TOGETHER: "only together with all others",
    NO: "too small, and so are all customers together",
}
HOW = (
    "Every number supposes that the outcome varies among customers as the baseline does, and that "
    "everybody gains alike. If it varies more, as over a longer time it may, more customers are "
    "needed. Choose outcome, smallest lift worth having and segments now; look once, when all "
    "results are in."
)
PICTURE = (
    "Lower is better; both axes are logarithmic. Filled: what is worth having can be found. Line: "
    "all customers, were they fewer; segments lie above it mostly since each has a part of the 5 %."
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
        return "none is enough" if math.isinf(x) else "unknown"
    return f"{math.ceil(x):,}" if x < 1e9 else f"{x:.0e}"


def page(planned: "Planned", path: Path, asked: dict[str, Any]) -> str:
    """The plan as HTML. asked: the options, which stand at its end."""
    scale, unit = unit_of(asked)
    worth = words.given(scale * asked["worth"])
    title = f"Who is large enough to find a lift of {worth} {unit}?"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _first(planned, asked),
        *(f'<p class="said">{said}</p>' for said in _answer(planned, asked)),
        "<h2>What can be found</h2>",
        _picture(planned, asked),
        _table(planned, asked),
        "<h2>The experiment, rehearsed</h2>",
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
    table, plan = planned.pretended, planned.table
    said = [_short(name, row, planned, asked) for name, row in planned.short.iterrows()]
    if len(said) > MOST_SAID:
        said = [*said[:MOST_SAID], f"So it is in {len(said) - MOST_SAID} more segments."]
    doubted = table["doubt"][table["doubt"] != ""]
    counting = 3 * (0.16 / table["runs"]) ** 0.5
    weak = table["power"][table["power"] < counted.POWER - 0.02 - counting]
    weak = weak.drop(planned.short.index, errors="ignore").map(words.percent)
    gaps = pd.Series(dtype=float)
    if planned.listed is not None:
        gaps = assignment.balance(planned.listed)["in_sds"].abs()
    groups = {
        "The baseline does not vary, so nothing is known, in": plan["users_needed"].isna(),
        "No rate rises by so much from where it is in": plan["users_needed"] == math.inf,
        "As rehearsed, the result would be: do not read (plan arms of like size, more customers, "
        "or a cap that is fixed beforehand), in": doubted,
        "Rehearsed, fewer experiments found the lift than the 80 % that should (plan for more "
        "customers), in": weak,
        f"The arms' baselines are more than {FAR_APART} spreads apart (the analysis takes that "
        "out, as far as it can; another seed may be nearer), in": gaps[gaps > FAR_APART].round(2),
    }
    few = _few_that_differ(planned, asked)
    groups[
        "In the smaller arm hardly ten will have another outcome than the usual one, which "
        "cannot be read with a list, in"
    ] = few
    for text, found in groups.items():
        found = found[found] if found.dtype == bool else found
        if len(found):
            said.append(f"{text} {_named(found)}.")
    return said


def _few_that_differ(planned: "Planned", asked: dict[str, Any]) -> pd.Series:
    """For each row of a list whether `doubts.few_that_differ` may keep it from being read."""
    baseline, share = asked["baseline"], asked["control_share"]
    parts = {EVERYONE: planned.customers} | dict(
        iter(planned.customers.groupby(data.SEGMENT, observed=True))
    )
    found = {}
    for name, part in parts.items():
        differ = part[baseline] != part[baseline].mode().iloc[0]
        expected = differ.sum() * min(share, 1 - share)
        found[name] = bool(asked["assign"] and differ.mean() < 0.5 and expected < doubts.FEWEST + 2)
    return pd.Series(found)


def _named(found: pd.Series) -> str:
    """Rows by name, with what was found, if that is more than a yes."""
    bare = found.dtype == bool
    names = [shown(n, 30) if bare else f"{shown(n, 30)} ({x})" for n, x in found.items()]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def _short(name: object, row: pd.Series, planned: "Planned", asked: dict[str, Any]) -> str:
    """What a formula said of a row, and what was counted."""
    scale, new, said = unit_of(asked)[0], planned.table.loc[name], []
    if row["power_of_lift"] < counted.ENOUGH:
        old, now = (
            apart(scale * one["smallest_detectable"], scale * asked["worth"]) for one in (row, new)
        )
        said.append(f"a lift of {old} ({words.percent(row['power_of_lift'])}; shown: {now})")
    if row["power_of_users"] < counted.ENOUGH:
        old, now = (users(one["users_needed"]) for one in (row, new))
        said.append(f"{old} users ({words.percent(row['power_of_users'])}; shown: {now})")
    return (
        f"{shown(name)}: the formula promises 80 % power where the plain comparison of two means "
        f"or rates has less when it is counted: for {', for '.join(said)}."
    )


def _answer(planned: "Planned", asked: dict[str, Any]) -> list[str]:
    """Who can see a lift that is worth having, in two sentences."""
    scale, unit = unit_of(asked)
    row, table = planned.table.iloc[0], planned.table.iloc[1:]
    many = words.count(row["customers"], "customer")
    enough = "enough" if row["testable"] == TOGETHER else "too few"
    smallest = apart(scale * row["smallest_detectable"], scale * asked["worth"])
    smallest = f"{smallest} {escape(unit)}"
    found = f"If the true lift is {smallest}, 80 of 100 such experiments find it"
    if not math.isfinite(row["smallest_detectable"]):
        found = "No lift is found in 80 of 100 such experiments"
    said = [f"<strong>All {many} together are {enough}.</strong> {found}{_chance(planned, asked)}."]
    kinds = []
    for kind in (ALONE, TOGETHER, NO):
        names = [shown(name, 40) for name in table.index[table["testable"] == kind]]
        if names:
            whose = ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} segments"
            kinds.append(f"{_capital(SAYS[kind])}: {escape(whose)}")
    alone = int((table["testable"] == ALONE).sum())
    best = " at best" if alone and planned.cut else ""
    label = f"<strong>{alone} of {words.count(len(table), 'segment')} alone{best}.</strong>"
    said.append(f"{label} {'. '.join(kinds)}.")
    if asked["correlation"] is not None:
        seen = planned.table["smallest_detectable_adjusted"] <= asked["worth"]
        plain = planned.table["smallest_detectable"] <= asked["worth"]
        gained = [shown(name, 40) for name in planned.table.index[seen & ~plain]]
        if gained:
            whose = ", ".join(gained) if len(gained) <= MOST_NAMED else f"{len(gained)} rows"
            said.append(
                "<strong>Adjusted by the baseline</strong>, as the analysis does, and with the "
                f"correlation as stated, large enough, too: {escape(whose)}."
            )
    return said


def _chance(planned: "Planned", asked: dict[str, Any]) -> str:
    """For all customers: the chance to find what is worth having, and how sure one is then."""
    scale, row = unit_of(asked)[0], planned.table.iloc[0]
    values = planned.customers[asked["baseline"]]
    spread = planning.spread_of(values, asked["rate"], asked["control_share"])
    if EVERYONE in planned.short.index or not math.isfinite(row["smallest_detectable"]):
        return ""
    found = words.percent(planning.chance(spread, asked["worth"], 0.05), 0)
    about = lift(scale * 1.96 * planning.standard_error(spread, asked["worth"]))
    worth = words.given(scale * asked["worth"])
    return f"; if it is {worth}, {found} do. It is then known to about plus or minus {about}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """All users, and the largest segments in their order."""
    largest = table.iloc[1:]["customers"].nlargest(MOST_ROWS - 1).index
    return table[[name == EVERYONE or name in largest for name in table.index]]


def _picture(planned: "Planned", asked: dict[str, Any]) -> str:
    """The smallest detectable lifts against sizes."""
    scale, unit = unit_of(asked)
    table = _shown(planned.table).copy()
    names = pd.Series([shown(name, 26) for name in table.index])
    again = names.groupby(names).cumcount()  # names that are long may begin and end alike
    table.index = names.where(again == 0, names + " " + (again + 1).astype(str))
    lifts = [name for name in table if str(name).startswith("smallest_detectable")]
    table[lifts] *= scale
    if not table["smallest_detectable"].map(math.isfinite).any():
        return ""

    def draw() -> tuple[Figure, str]:
        figure, alt = plots.detectable_drawn(table, scale * asked["worth"], unit)
        if len(table) < len(planned.table):
            title = f"The {len(table) - 1} largest of {len(planned.table) - 1} segments"
            figure.suptitle(title, x=0.01, ha="left", fontsize=12)
            alt = f"{title}.{alt.partition('.')[2]}"
        return figure, alt

    return f'<div class="small">{printed.figure(draw)}</div><p>{PICTURE}</p>'


def _table(planned: "Planned", asked: dict[str, Any]) -> str:
    """The plan."""
    (scale, unit), adjusted = unit_of(asked), asked["correlation"] is not None
    rows: list[printed.Row] = []
    for name, row in _shown(planned.table).iterrows():
        cells = [
            ("text", shown(name, 26)),
            ("number", f"{row['customers']:,.0f}"),
            ("number", f"{lift_or_zero(scale * row['mean'])} ({lift_or_zero(scale * row['sd'])})"),
            ("number", apart(scale * row["smallest_detectable"], scale * asked["worth"])),
            ("number", users(row["users_needed"])),
            ("text", _testable(name, row["testable"])),
        ]
        if adjusted:
            seen = apart(scale * row["smallest_detectable_adjusted"], scale * asked["worth"])
            cells += [("number", seen), ("number", users(row["users_needed_adjusted"]))]
        rows.append(cells)
    caption = f"Means, spreads and lifts in {'per cent and ' if asked['rate'] else ''}{unit}. "
    caption += "Smallest lift: found by all customers of the row in 80 of 100 experiments. Users "
    caption += "needed: both arms together, to find what is worth having as often."
    if adjusted:
        caption += " The last two: if the lift is adjusted by the baseline, and its correlation "
        caption += (
            f"with the outcome is {asked['correlation']:g}; if that is lower, more is needed."
        )
    if len(rows) < len(planned.table):
        caption += f" Shown are {len(rows)}; all {len(planned.table)} stand in plan.csv."
    heads = ["who", "customers", "mean (spread)", "smallest lift", "users needed", "alone?"]
    more = ["adjusted: lift", "users"] if adjusted else []
    return printed.table(caption, [*heads, *more], rows)


def _testable(name: object, kind: str) -> str:
    """Whether a row can be tested, for people."""
    if name == EVERYONE:
        return "yes" if kind == TOGETHER else "no"
    return {ALONE: "yes", TOGETHER: "only together", NO: "no"}[kind]


def lift_or_zero(x: float) -> str:
    """A mean or a spread for people."""
    return "unknown" if math.isnan(x) else words.number(x, 2) if abs(x) < 1000 else f"{x:,.0f}"


def apart(x: float, worth: float) -> str:
    """A lift that is not rounded onto the other side of worth."""
    if not math.isfinite(x):
        return lift(x)
    least = max(0, 2 - math.floor(math.log10(x)))
    return words.number(x, words.digits_apart((x,), (worth,), least))


def _pretended(planned: "Planned", asked: dict[str, Any]) -> str:
    """Power and false alarms, promised and counted."""
    scale, unit = unit_of(asked)
    rows: list[printed.Row] = []
    some = _shown(planned.table).index[:MOST_COUNTED]
    for name, row in planned.pretended.loc[some].iterrows():
        power = "not counted" if math.isnan(row["power"]) else words.percent(row["power"])
        rows.append(
            [
                ("text", shown(name)),
                ("number", f"{row['customers']:,.0f}"),
                ("number", lift(scale * row["lift"])),
                ("number", power),
                ("number", words.percent(row["false_alarms"], 2)),
                ("number", words.percent(row["level"], 2)),
            ]
        )
    runs, r = int(planned.pretended["runs"].iloc[0]), asked["correlation"]
    luck = words.number(196 * (0.16 / runs) ** 0.5, 1)
    caption = (
        f"{runs:,} experiments on these customers with a planted lift, and {runs:,} with none. "
    )
    caption += (
        "Each deals the arms anew and analyses as planned (adjusted by baseline and strata); "
    )
    caption += "outcomes look like the baseline, "
    caption += f"correlated with it by {r:g}. " if r else "and are not correlated with it. "
    caption += f"Found: promised are 80 %, give or take {luck} percentage points by the luck of "
    caption += f"counting. Lifts in {unit}."
    if (planned.pretended["customers"] < planned.table["customers"]).any():
        caption += " Of more than 20,000 customers a random 20,000 took part, as if they were all."
    if len(some) < len(planned.pretended):
        caption += f" Shown are {len(some)}; whatever fell short stands at the top."
    heads = ["who", "customers", "planted", "found", "false alarms", "promised"]
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
            ("text", shown(row["name"], 70)),
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
    scale = unit_of(asked)[0]
    rows: list[printed.Row] = []
    some = _shown(planned.table).index[:MOST_COUNTED]
    for name, row in assignment.balance(planned.listed).loc[some].iterrows():
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
    caption = "The list, before anything is sent: customers, and means of the baseline, control "
    caption += "first. Difference: treatment minus control, in spreads of all customers; 0.1 is "
    caption += "little."
    heads = ["who", "customers", "means", "difference"]
    return "<h2>Who gets what</h2>" + printed.table(caption, heads, rows)


def _basis(planned: "Planned", asked: dict[str, Any]) -> str:
    count = len(planned.table) - 1
    share = asked["control_share"]
    arms = "two arms of equal size" if share == 0.5 else f"{words.percent(share)} in control"
    what = "a test of two rates" if asked["rate"] else "a t-test of two means"
    return escape(
        f"The power of {what} with {arms}. Level: of 100 experiments without any effect, 5 would "
        f"show a gain or loss of all customers, and 5 of some segment; so each of {count} segments "
        f"is tested at {words.percent(0.05 / count, 2)} (Bonferroni). The baseline, "
        f"{shown(asked['baseline'])}, stands for the outcome, which is not known yet."
    )


# The sheet


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
    level = words.percent(0.05 / len(table), 2)
    names = ", ".join(by_kind[ALONE])
    decides = f"{escape(shown(names, 300))}; each at {level}." if names else "none."
    enough = planned.table["testable"].iloc[0] == TOGETHER
    smallest = apart(scale * planned.table["smallest_detectable"].iloc[0], scale * asked["worth"])
    can = f"All customers together: {'yes' if enough else '<strong>no</strong>'} (smallest lift "
    can += f"with 80 % power: {smallest})."
    if asked["correlation"] is not None:
        seen = planned.table["smallest_detectable_adjusted"] <= asked["worth"]
        can += f" Adjusted, with the correlation as stated: {'yes' if seen.iloc[0] else 'no'}."
        also = [shown(n, 40) for n in table.index[seen.iloc[1:] & (table["testable"] != ALONE)]]
        more = escape(shown(", ".join(also), 300))
        decides += f" With the correlation as stated, also: {more}." if also else ""
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
        "Question": f"Does it raise the outcome? Worth having: {sees} (a unit is {blank}).",
        "Outcome": f"What the baseline, {escape(shown(asked['baseline']))}, was; column {blank}",
        "From, until": f"{blank} (as long as the baseline was measured)",
        "Who gets it": f"{who}. It goes to the rows of the list whose group is treatment.",
        "Can find it": can,
        "What decides": f"All customers together, at 5 %. Segments that are read alone: {decides}",
        "Rule": f"Ship where the interval is above zero and reaches {worth}; hold where it ends "
        "below that; else it stays open.",
        "Looks": "One, when all results are in. No earlier look, no longer run.",
        "Without results": "Customers on the list who have none: counted as 0 (--missing 0), or "
        "left out? Strike out one now.",
        "Must not get worse": f"{blank} by more than {blank}",
        "Analysis": f"In the folder of the list: <code>{escape(command)}</code> (with --guardrail "
        "COLUMN:MARGIN for what must not get worse): regression on arm, baseline and strata.",
        "The list": "assignment.csv. Its SHA-256, which changes with every letter of it: "
        f"<code>{checksum}</code>",
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
        _first(planned, asked),
        f'<div class="wide" tabindex="0" role="region" aria-label="The plan"><table class="sheet">'
        f"<tbody>\n{body}</tbody></table></div>",
        printed.source([path], call, planned.notes[0]),
    ]
    return printed.page(title, parts)
