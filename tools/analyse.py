"""The result of an experiment from its log: decisions.csv, and report.html to pass on.

What is measured:
  LOG                  your log: CSV (commas, semicolons or tabs; utf-8) or Parquet
  --outcome COLUMN     what is measured: 0/1, Yes/No, or any number (needed)
  --per COLUMN         divide by it: a ratio of sums, such as clicks per view
  --covariate COLUMN   a number known before treatment, to adjust by
  --cap Q              cut large values at this quantile of all users compared, such as 0.99
  --cap-at V           cut them at a value that was fixed before the data
  --lower-is-better    a fall is a gain

After a plan (python -m tools.plan --assign):
  --assignment FILE    its list: LOG needs the ids and the outcome; arms, segments, strata and the
                       baseline, by which the lift is adjusted, are those of the list
  --missing V          what users of the list have who have no row in LOG, such as 0 (default: they
                       are left out, and told)

Who was compared:
  --group COLUMN       the column of arms (default: group)
  --control NAME       the arm that is not treated (default: control)
  --treatment NAME     the one arm to compare with it (default: every other arm)
  --control-share S    the share of users planned for control; other arms share the rest (default:
                       all arms alike)
  --segment COLUMN     cuts users into segments (default: all users together)
  --bands 30,40        cuts the segment column, a number, into bands; each begins at such a value
  --user COLUMN        the column that names users, whose rows are added up; none: every row is a
                       user (default: columns that look like an id must not repeat)

What is good enough:
  --worth W            the smallest lift worth having, in the unit of the outcome: for 0/1, 0.01
                       is one percentage point (default: 5 % of the control mean)
  --no-worse-than D    instead: the largest loss that you would accept
  --guardrail COLUMN:D a second outcome that must not be worse than D; may be given several times;
                       COLUMN:D:lower where less of it is better
  --confidence C       of all intervals together, all users or segments, for each outcome
                       (default: 0.95)

  --seed S             seed of the coins that test the intervals (default: 42)
  --out DIR            folder for the results (default: one in runs/, named after log and outcome)
  --help               show this

examples:
  python -m tools.analyse log.csv --outcome converted
  python -m tools.analyse log.csv --outcome revenue --segment country --cap-at 200
  python -m tools.analyse visits.csv --outcome clicks --per views --user customer_id
  python -m tools.analyse log.csv --outcome churned --lower-is-better --guardrail spend:0.5
  python -m tools.analyse log.csv --outcome kept --no-worse-than 0.02 --segment age --bands 30,40
  python -m tools.analyse results.csv --outcome spent --assignment plan/assignment.csv --missing 0

Without --treatment, and with several segments, intervals are corrected for the number of arms and
segments. Whoever wants every step: python -m helpers.rerun --log.
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from helpers import (
    InputError,
    check_seed,
    check_share,
    data,
    decisions,
    goals,
    metrics,
    shown,
    tables,
    users,
    words,
)
from helpers.goals import Design, Goal, is_rate, kind_of, with_limit
from tools import command, decided, files, joined, large, report

NAME = "tools.analyse"  # as it is typed
ROOT = Path(__file__).resolve().parents[1]
MOST_ARMS = 10
DEFAULTS: dict[str, Any] = {
    "assignment": None,
    "missing": None,
    "segment": "",
    "bands": (),
    "user": None,
    "group": "group",
    "control": "control",
    "treatment": None,
    "per": "",
    "covariate": "",
    "cap": None,
    "cap_at": None,
    "lower_is_better": False,
    "no_worse_than": None,
    "guardrail": [],
    "worth": None,
    "control_share": None,
    "confidence": 0.95,
    "seed": 42,
}
# Of each pair the second says nothing beside the first.
APART = (
    ("per", "covariate"),
    ("per", "cap"),
    ("per", "cap_at"),
    ("cap", "cap_at"),
    ("no_worse_than", "worth"),
)


def guardrail(text: str) -> Goal:
    """COLUMN:D, or COLUMN:D:lower. For argparse."""
    parts = text.split(":")
    lower = len(parts) > 2 and parts[-1].strip().lower() == "lower"
    *name, margin = parts[:-1] if lower else parts
    if not name or not ":".join(name).strip():
        raise ValueError
    return Goal(":".join(name).strip(), margin=float(margin), lower_is_better=lower)


# What an assignment says itself, or has no test for.
OF_A_LIST = ("segment", "bands", "control", "treatment", "control_share", "covariate", "per")
KINDS: dict[str, Any] = {
    "assignment": files.typed_path,
    "missing": float,
    "bands": command.numbers,
    "cap": float,
    "cap_at": float,
    "no_worse_than": float,
    "guardrail": guardrail,
    "worth": float,
    "control_share": float,
    "confidence": float,
    "seed": int,
}
OPTIONS = ("outcome", *DEFAULTS, "out")
FILES = ("decisions.csv", "report.html")


def analyse(log: Path, asked: dict[str, Any]) -> decided.Result:
    """What the log says. asked: the options as in `DEFAULTS`, and outcome.

    Raises InputError for whatever cannot be used.
    """
    _check(asked)
    if asked["assignment"]:
        return _of_list(log, asked)
    guards = asked["guardrail"]
    added = [name for name in (asked["per"], *(guard.outcome for guard in guards)) if name]
    known = [asked["covariate"]] if asked["covariate"] else []
    roles = data.Roles(
        asked["outcome"],
        asked["segment"],
        asked["group"],
        asked["user"],
        tuple(added),
        tuple(known),
        asked["bands"],
    )
    table, source = large.read(log, roles, asked["control"], MOST_ARMS)
    said = _said(source, table, roles.user)
    table, left_out, share = _arms(table, asked)
    design = Design(
        asked["segment"],
        asked["group"],
        asked["control"],
        share,
        asked["confidence"],
        asked["seed"],
    )
    return _decided(table, asked, design, [said, left_out])


def _of_list(log: Path, asked: dict[str, Any]) -> decided.Result:
    """What the results say of the users of a list."""
    numbers = [asked["outcome"], *(guard.outcome for guard in asked["guardrail"])]
    found = joined.read(
        log,
        asked["assignment"],
        list(dict.fromkeys(numbers)),
        asked["user"],
        asked["group"],
        asked["missing"],
    )
    rows, people = words.count(found.rows, "row"), words.count(len(found.table), "user")
    by = f"joined by {shown(found.user)} with the list {shown(asked['assignment'].name)}"
    said = f"Understood: {', '.join([*found.source.notes, rows, by])}: {people}."
    segment = "segment" if len(found.sizes) > 2 else ""
    design = Design(
        segment,
        control_share=found.control_share,
        confidence=asked["confidence"],
        seed=asked["seed"],
        strata="stratum",
        listed=found.sizes,
    )
    guards = [guard._replace(covariate="baseline") for guard in asked["guardrail"]]
    asked = asked | {"covariate": "baseline", "guardrail": guards}
    result = _decided(found.table, asked, design, [said, *found.notes])
    return result._replace(planned=found.planned, filled=found.filled)


def _decided(
    table: pd.DataFrame, asked: dict[str, Any], design: Design, notes: list[str]
) -> decided.Result:
    """What a table of users says, one row each."""
    table, cut = _capped(table, asked)
    goal = Goal(
        asked["outcome"],
        asked["worth"],
        asked["no_worse_than"],
        asked["lower_is_better"],
        asked["per"],
        asked["covariate"],
    )
    _check_bottom(table, goal, design)
    goal, guards = with_limit(table, goal, design), asked["guardrail"]
    decision, *others = decisions.decide(table, goal, design, guards)
    return decided.Result(
        table=decision,
        goal=goal,
        design=design,
        guardrails=list(zip(guards, others, strict=True)),
        notes=[*filter(None, (*notes, cut))],
        kind=kind_of(table, goal),
        rate=is_rate(table[goal.outcome]) and not goal.per,
        users=len(table),
        worth_given=asked["worth"] is not None,
    )


def _check(asked: dict[str, Any]) -> None:
    """Raise InputError for options that do not go together, or a number that cannot be used."""
    for first, second in APART:
        if asked[first] not in ("", None) and asked[second] not in ("", None):
            one, other = command.option(first), command.option(second)
            raise InputError(f"{one} and {other} do not go together. Leave one of them out.")
    if asked["assignment"]:
        for knob in OF_A_LIST:
            if asked[knob] != DEFAULTS[knob]:
                raise InputError("does not go with --assignment. Leave it out.", knob)
    elif asked["missing"] is not None:
        raise InputError("needs --assignment, the list of those who may be missing.", "missing")
    if asked["bands"] and not asked["segment"]:
        raise InputError("needs --segment, the column that is to be cut.", "bands")
    check_seed(asked["seed"])
    goals.check_confidence(asked["confidence"])
    if asked["control_share"] is not None:
        check_share("control_share", asked["control_share"], 0.5)
    if asked["cap"] is not None:
        check_share("cap", asked["cap"], 0.99)
    names = [guard.outcome for guard in asked["guardrail"]]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"names {shown(twice[0])} twice. Give one margin.", "guardrail")
    for guard in asked["guardrail"]:
        words.check_worth(guard.margin, "guardrail", "a margin after the colon")


def _arms(table: pd.DataFrame, asked: dict[str, Any]) -> tuple[pd.DataFrame, str, float]:
    """The users who are compared, a line on the others, and control's planned share of a pair."""
    arms = table[asked["group"]]
    others = [arm for arm in arms.unique() if arm != asked["control"]]
    share, treatment = asked["control_share"], asked["treatment"]
    if share is None:
        share = 1 / (len(others) + 1)
    pair = share / (share + (1 - share) / len(others))
    if treatment is None:
        return table, "", pair
    if treatment not in others:
        there = ", ".join(shown(repr(arm)) for arm in sorted(others))
        raise InputError(
            f"is {shown(repr(treatment))}; the arms beside control are {there}.", "treatment"
        )
    chosen = arms.isin([treatment, asked["control"]])
    kept = table[chosen].reset_index(drop=True)
    gone = [f"{shown(arm)} ({n:,})" for arm, n in arms[~chosen].value_counts().items() if n]
    return kept, f"Left out: the users of {', '.join(gone)}." if gone else "", pair


def _capped(table: pd.DataFrame, asked: dict[str, Any]) -> tuple[pd.DataFrame, str]:
    """The table with large outcomes cut, and a line on it."""
    outcome, quantile, limit = asked["outcome"], asked["cap"], asked["cap_at"]
    if quantile is None and limit is None:
        return table, ""
    knob = "cap_at" if quantile is None else "cap"
    values = table[outcome]
    if is_rate(values):
        raise InputError(f"cuts large values, but {shown(outcome)} is 0 or 1.", knob)
    if limit is None:
        limit = metrics.quantile_of(values, quantile)
    if limit <= 0:
        raise InputError(
            f"cuts {shown(outcome)} at {limit:g}, where nothing is left to compare. Cap higher.",
            knob,
        )
    try:
        table[outcome] = metrics.capped(values, limit)
    except InputError as error:
        raise InputError(error.message, knob) from None
    many = words.count(int((values > limit).sum()), "user")
    how = (
        f"quantile {quantile:g} of all users compared, not knowing the arms"
        if quantile
        else "as given"
    )
    return table, f"Cut at {limit:.10g} ({how}): {shown(outcome)} of {many}."


def _check_bottom(table: pd.DataFrame, goal: Goal, design: Design) -> None:
    """Raise InputError where a ratio has nothing to divide by."""
    if not goal.per:
        return
    if (table[goal.per] < 0).any():
        raise InputError(f"divides by {shown(goal.per)}, which is below 0 somewhere.", "per")
    if (table.groupby(design.group, observed=True)[goal.per].sum() == 0).any():
        raise InputError(f"divides by {shown(goal.per)}, whose sum is 0 in an arm.", "per")


def _said(source: tables.Source, table: pd.DataFrame, user: str | None) -> str:
    """What was understood of the log, in a line."""
    rows = words.count(table.attrs["rows"], "row")
    by_user = user not in (None, users.EVERY_ROW)
    who = f"rows of a {shown(user)} added up" if by_user else "each row taken for a user"
    return f"Understood: {', '.join([*source.notes, rows, who])}."


# The command


def command_line() -> command.Parser:
    """What can be typed. An option that is not given has its default."""
    usage = f"python -m {NAME} LOG --outcome COLUMN [...]; --help explains the options"
    parser = command.explained(NAME, str(__doc__), usage, DEFAULTS, KINDS, ("guardrail",))
    parser.add_argument("log", type=files.typed_path)
    parser.add_argument("--outcome", required=True, type=command.name)
    parser.add_argument("--out", type=files.typed_path)
    return parser


def folder_for(log: Path, asked: dict[str, Any]) -> Path:
    """The folder in runs/ for the results."""
    parts = ["analyse", log.stem, asked["outcome"]]
    parts += ["by", asked["segment"]] if asked["segment"] else []
    return ROOT / "runs" / "-".join(filter(None, map(files.as_file_name, parts)))


def work(given: dict[str, Any]) -> int:
    """The command with the options that were given."""
    log, typed = given.pop("log"), given.pop("out")
    asked = DEFAULTS | given
    out = files.as_folder((typed or folder_for(log, asked)).absolute())
    files.check_place(out, ROOT)
    files.check_targets(out, FILES, "analyse", str(log.absolute()))
    result = analyse(log, asked)
    page = report.page(result, log, asked)
    try:
        with files.workshop(out) as folder:
            (folder / "decisions.csv").write_text(decided.as_csv(result), encoding="utf-8")
            (folder / "report.html").write_text(page, encoding="utf-8")
            files.put_in_place(folder, out, "analyse", str(log.absolute()))
    except OSError as error:
        raise InputError(
            f"Cannot write to {out} ({error.strerror}). Choose another folder with --out."
        ) from None
    print("\n".join(decided.lines(result)))
    print(f"The page to pass on is {shown(out / 'report.html', most=1000)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    return command.run(NAME, lambda: work(vars(command_line().parse_args(arguments))), OPTIONS)


if __name__ == "__main__":
    sys.exit(main())
