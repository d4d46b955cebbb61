"""Before an experiment: which segments can tell, and who gets what: plan.csv, plan.html.

What is known:
  CUSTOMERS            your table, one row a customer: CSV (commas, semicolons or tabs; utf-8) or
                       Parquet
  --id COLUMN          the column that names customers (needed)
  --baseline COLUMN    a number known before, that stands for the outcome: the same thing, measured
                       as long as the experiment will last, such as last month's revenue (needed)
  --rate               the outcome will be 0 or 1, and the baseline is its rate so far

The segments (one of the two is needed):
  --segment COLUMN     cuts customers into segments
  --bands 30,40        cuts the segment column, a number, into bands; each begins at such a value
  --features A,B,C     or: numbers by which k-means finds segments; lopsided ones become logarithms
                       or ranks
  --n-clusters K       how many segments it finds (default: 4)

What is planned:
  --worth W            the smallest lift worth having, in the unit of the baseline; for 0/1, 0.01 is
                       one percentage point (needed)
  --control-share S    the share of customers in control (default: 0.5)
  --correlation R      of baseline and outcome, as you expect it: what adjusting would save
                       (default: the plan does not count on it)
  --assign             also say who gets what: assignment.csv, and sheet.html, a page to sign

  --seed S             seed of arms, k-means and everything that is counted (default: 42)
  --out DIR            folder for the results (default: one in runs/, named after the table)
  --help               show this

examples:
  python -m tools.plan customers.csv --id customer --segment channel --baseline spent --worth 5
  python -m tools.plan customers.csv --id customer --features recency,frequency,spent \\
      --n-clusters 3 --baseline spent --worth 5 --correlation 0.6 --assign --out plan
  python -m tools.plan customers.csv --id customer --segment age --bands 30,40 --baseline bought \\
      --rate --worth 0.02 --control-share 0.2

Power is 80 %; all customers are tested at 5 %, S segments at 5 % / S. When results are in:
  python -m tools.analyse results.csv --outcome COLUMN --assignment plan/assignment.csv
"""

import math
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from threadpoolctl import threadpool_limits  # scikit-learn brings it

from helpers import (
    InputError,
    assignment,
    check_seed,
    check_share,
    data,
    planning,
    rehearsal,
    segments,
    shown,
    tables,
    words,
)
from tools import command, counted, files, plan_page

NAME = "tools.plan"  # as it is typed
ROOT = Path(__file__).resolve().parents[1]
NEEDED = {"id": command.name, "baseline": command.name, "worth": float}
DEFAULTS: dict[str, Any] = {
    "segment": "",
    "bands": (),
    "features": (),
    "n_clusters": None,
    "rate": False,
    "correlation": None,
    "control_share": 0.5,
    "assign": False,
    "seed": 42,
}
KINDS: dict[str, Any] = {
    "bands": command.numbers,
    "features": command.names,
    "n_clusters": int,
    "correlation": float,
    "control_share": float,
    "seed": int,
}
OPTIONS = (*NEEDED, *DEFAULTS, "out")
FILES = ("plan.csv", "plan.html", "assignment.csv", "sheet.html")
N_CLUSTERS = 4
AGAIN = 0.6  # a cluster that is found again less well is none


class Planned(NamedTuple):
    """A plan, and what it is of."""

    customers: pd.DataFrame  # the ids, numbers, and data.SEGMENT
    table: pd.DataFrame  # from `planning.plan`, with counted numbers where its formula falls short
    short: pd.DataFrame  # where that was so: the second of `counted.counted`
    pretended: pd.DataFrame  # from `rehearsal.pretend`
    notes: list[str]  # what was understood; what to know before reading on
    profile: pd.DataFrame | None  # of clusters: customers, means of features, name
    listed: pd.DataFrame | None  # who gets what
    cut: bool  # whether segments were cut by the baseline itself


def plan(path: Path, asked: dict[str, Any]) -> Planned:
    """What an experiment on the customers in a file could see. asked: NEEDED, and as in DEFAULTS.

    Raises InputError for whatever cannot be used.
    """
    _check(asked)
    user, baseline, share = asked["id"], asked["baseline"], asked["control_share"]
    customers, source = data.read_customers(
        path, user, baseline, asked["segment"], asked["features"], asked["bands"]
    )
    profile, notes = None, []
    if asked["features"]:
        customers[data.SEGMENT], profile, notes = _clusters(customers, asked)
    _check_share(customers, share)
    planned = planning.plan(
        customers,
        baseline,
        asked["worth"],
        data.SEGMENT,
        asked["rate"],
        share,
        asked["correlation"],
    )
    cut = baseline in (asked["segment"], *asked["features"])
    kind = rehearsal.Kind(asked["rate"], share, asked["correlation"], cut)
    table, short = counted.counted(
        planned, customers, baseline, asked["worth"], data.SEGMENT, kind, seed=asked["seed"]
    )
    if cut:
        notes.append(_cut_by_baseline(table, customers, asked))
    listed = None
    if asked["assign"]:
        listed = assignment.assign(customers, user, data.SEGMENT, baseline, share, asked["seed"])
    return Planned(
        customers,
        table,
        short,
        rehearsal.pretend(
            customers, baseline, data.SEGMENT, kind, seed=asked["seed"], planned=table
        ),
        [_understood(source, customers, asked), *notes],
        profile,
        listed,
        cut,
    )


def _check(asked: dict[str, Any]) -> None:
    """Raise InputError for options that do not go together, or a number that cannot be used."""
    if asked["segment"] and asked["features"]:
        raise InputError("--segment and --features do not go together. Leave one of them out.")
    if not (asked["segment"] or asked["features"]):
        raise InputError(
            "Give --segment, a column that cuts customers, or --features, numbers for k-means."
        )
    if asked["bands"] and not asked["segment"]:
        raise InputError("needs --segment, the column that is to be cut.", "bands")
    if asked["n_clusters"] is not None and not asked["features"]:
        raise InputError("needs --features, by which clusters are found.", "n_clusters")
    if asked["n_clusters"] is not None and asked["n_clusters"] < 2:
        raise InputError(f"is {asked['n_clusters']}; give 2 or more.", "n_clusters")
    words.check_worth(asked["worth"])
    check_share("control_share", asked["control_share"], 0.5)
    planning.check_correlation(asked["correlation"])
    check_seed(asked["seed"])


def _check_share(customers: pd.DataFrame, share: float) -> None:
    """Raise InputError where an arm would have nobody of a segment."""
    sizes = customers[data.SEGMENT].value_counts()
    name, least = sizes.index[-1], int(sizes.iloc[-1])
    arms = {"control": share, "treatment": 1 - share}
    arm = min(arms, key=lambda one: arms[one])
    if least * arms[arm] < 1:
        nearest = math.ceil(1000 / least) / 1000
        raise InputError(
            f"is {share:g}, which leaves nobody of the {least:,} customers in segment "
            f"{shown(name)} to {arm}. Join small segments, or give a share from {nearest:g} to "
            f"{1 - nearest:g}.",
            "control_share",
        )


def _clusters(
    customers: pd.DataFrame, asked: dict[str, Any]
) -> tuple[pd.Series, pd.DataFrame, list[str]]:
    """The cluster of each customer, the profile of all, and what is to be told of them."""
    features, count = list(asked["features"]), asked["n_clusters"] or N_CLUSTERS
    even, how = segments.evened(customers, features)
    clustered = segments.cluster_customers(even, count, features, asked["seed"])
    again = segments.found_again(even, count, features, asked["seed"])
    profile = segments.profile_clusters(
        customers[features].assign(Cluster=clustered["Cluster"]), features
    )
    single = profile.index[profile["customers"] < 2]
    if len(single):
        raise InputError(
            f"finds a cluster of one customer, who cannot be in both arms. Give fewer than "
            f"{count}, or other features.",
            "n_clusters",
        )
    profile["found_again"] = again
    notes = []
    lost = [f"cluster {number} ({value:.2f})" for number, value in again.items() if value < AGAIN]
    if lost:
        notes.append(
            f"Not found again in customers drawn anew: {', '.join(lost)}. Such a cluster is no "
            "segment; try another --n-clusters."
        )
    changed = [f"{name} ({way})" for name, way in how.items() if way != "as it is"]
    if changed:
        notes.append(
            f"Clustered by {', '.join(changed)} instead of raw values, which are lopsided."
        )
    named = "cluster " + clustered["Cluster"].astype(str)
    order = [f"cluster {number}" for number in profile.index]
    return pd.Series(pd.Categorical(named, order, ordered=True)), profile.set_axis(order), notes


def _cut_by_baseline(table: pd.DataFrame, customers: pd.DataFrame, asked: dict[str, Any]) -> str:
    """What to know of segments that were cut by the baseline: there it varies less than later."""
    baseline = shown(asked["baseline"])
    said = (
        f"Segments were cut by the baseline, {baseline}, itself. Where customers differ little in "
        "it, they will differ more next time (regression to the mean), so such a segment looks "
        "better than it is; the rehearsal deals outcomes among all customers, to be careful."
    )
    everyone = planning.spread_of(
        customers[asked["baseline"]], asked["rate"], asked["control_share"]
    )
    level, alone = 0.05 / (len(table) - 1), table[table["testable"] == planning.ALONE]
    needed = planning.users_needed(everyone, asked["worth"], level)
    fewer = [shown(name, 40) for name in alone.index[alone["customers"] < needed]]
    if fewer:
        many = ", ".join(fewer) if len(fewer) <= 4 else f"{len(fewer)} of them"
        said += f" If they differ as much as all customers do, each needs {math.ceil(needed):,}, "
        said += f"which these do not have: {many}. Do not count on them alone."
    return f"{said} Make segments from data older than the baseline."


def _understood(source: tables.Source, customers: pd.DataFrame, asked: dict[str, Any]) -> str:
    """What was understood of the table, in a line."""
    many = words.count(len(customers), "customer")
    parts = words.count(customers[data.SEGMENT].nunique(), "segment")
    by = shown(asked["segment"]) if asked["segment"] else "k-means"
    return f"Understood: {', '.join([*source.notes, many, f'{parts} by {by}'])}."


# The command


def as_csv(planned: Planned) -> str:
    """The text of plan.csv."""
    return planned.table.to_csv(lineterminator="\n")


def lines(planned: Planned, asked: dict[str, Any]) -> list[str]:
    """What is printed: what was understood, and what each row can see."""
    scale, unit = plan_page.unit_of(asked)
    worth = scale * asked["worth"]
    said = [*planned.notes, f"Worth having: {words.given(worth)} {unit}."]
    for name, row in planned.table.iterrows():
        seen = plan_page.apart(scale * row["smallest_detectable"], worth)
        needed = plan_page.users(row["users_needed"])
        line = f"{shown(name)}: {row['testable']} ({words.count(int(row['customers']), 'customer')}"
        line += f"; smallest detectable lift: {seen}; users needed: {needed}"
        if asked["correlation"] is not None:
            seen = plan_page.apart(scale * row["smallest_detectable_adjusted"], worth)
            line += f"; adjusted: {seen}"
            line += f" and {plan_page.users(row['users_needed_adjusted'])}"
        said.append(f"{line})")
    return [*said, *plan_page.shortfalls(planned, asked)]


def command_line() -> command.Parser:
    """What can be typed. An option that is not given has its default."""
    usage = (
        f"python -m {NAME} CUSTOMERS --id COLUMN (--segment COLUMN | --features A,B) --baseline "
        "COLUMN --worth W [...]; --help explains the options"
    )
    parser = command.explained(NAME, str(__doc__), usage, DEFAULTS, KINDS)
    parser.add_argument("customers", type=files.typed_path)
    for knob, kind in NEEDED.items():
        parser.add_argument(command.option(knob), required=True, type=kind)
    parser.add_argument("--out", type=files.typed_path)
    return parser


def _check_list(out: Path, assign: bool, texts: dict[str, str] | None = None) -> None:
    """Raise InputError where the folder holds a list, or a sheet, that is another."""
    listed = out / "assignment.csv"
    if not os.path.lexists(listed):
        return
    if not assign:
        raise InputError(
            f"{out} holds a list, which this plan would no longer fit. Give --assign, or another "
            "folder with --out."
        )
    for name in ("assignment.csv", "sheet.html") if texts else ():
        there = out / name
        if there.is_file() and there.read_text(encoding="utf-8") != (texts or {})[name]:
            raise InputError(
                f"{there} is another one, and may have been used, or signed. Name another folder "
                "with --out, or move it away."
            )


def work(given: dict[str, Any]) -> int:
    """The command with the options that were given."""
    path, typed = given.pop("customers"), given.pop("out")
    asked = DEFAULTS | given
    default = ROOT / "runs" / f"plan-{files.as_file_name(path.stem)}"
    out = files.as_folder((typed or default).absolute())
    files.check_place(out, ROOT)
    made = FILES if asked["assign"] else FILES[:2]
    files.check_targets(out, made, "plan", str(path.absolute()))
    _check_list(out, asked["assign"])
    with threadpool_limits(1):  # of so small tasks threads would wait for each other
        planned = plan(path, asked)
    texts = {"plan.csv": as_csv(planned), "plan.html": plan_page.page(planned, path, asked)}
    if planned.listed is not None:
        texts["assignment.csv"] = planned.listed.to_csv(index=False, lineterminator="\n")
        texts["sheet.html"] = plan_page.sheet(planned, texts["assignment.csv"], path, asked)
        _check_list(out, True, texts)
    try:
        with files.workshop(out) as folder:
            for name, text in texts.items():
                (folder / name).write_text(text, encoding="utf-8")
            files.put_in_place(folder, out, "plan", str(path.absolute()))
    except OSError as error:
        raise InputError(
            f"Cannot write to {out} ({error.strerror}). Choose another folder with --out."
        ) from None
    print("\n".join(lines(planned, asked)))
    print(f"The page to pass on is {shown(out / 'plan.html', most=1000)}")
    if asked["assign"]:
        print("The list is assignment.csv, and the page to sign sheet.html, beside it.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    return command.run(NAME, lambda: work(vars(command_line().parse_args(arguments))), OPTIONS)


if __name__ == "__main__":
    sys.exit(main())
