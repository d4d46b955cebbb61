"""Run the series again with other knobs, or notebooks 06 and 13 on your own experiment's log.

The course stays as it is.

The whole series, in the clusters of the course's customers or of yours:
  --target-cluster N   the cluster to experiment in, 0 is the youngest (needed)
  --customers FILE     your customers as CSV or Parquet (default: the course's own)
  --n-clusters K       how many clusters k-means makes (default: 4)
  --effect E           the planted effect in score points (default: 3)
  --only NUMBERS       some of the notebooks: 06, or 01-05, or 01,03,06-08 (default: all)

Notebook 06 on your log, what to do in each segment; 13, a search for segments, put to the test:
  --log FILE           your log as CSV or Parquet (needed)
  --segment COLUMN     its column of segments (06; this or the next is needed)
  --segment-columns A,B,C   columns known before treatment, to search for segments in (13)
  --outcome COLUMN     its column of outcomes (needed)
  --group COLUMN       its column of arms (default: group)
  --control NAME       the arm that is not treated (default: control)
  --control-share S    the share of users planned for it, between 0 and 1 (default: 0.5)
  --worth W            the smallest lift worth having, in the unit of the outcome: for 0/1, 0.01
                       is one percentage point (default: 5 % of the control mean); in 13 it is
                       what treating a user costs
  --user COLUMN        the column that names users, whose rows are added up; none: every row is a
                       user (default: columns that look like an id must not repeat)

Both:
  --seed S             seed of coin flips and noise (default: 42)
  --out DIR            folder for the results (default: one in runs/, named after the cluster, or
                       after the log, its outcome and its segments)
  --help               show this

examples:
  python -m helpers.rerun --target-cluster 3
  python -m helpers.rerun --target-cluster 0 --effect 0 --seed 7     an A/A run: nothing is planted
  python -m helpers.rerun --target-cluster 1 --customers mine.csv    your own customers
  python -m helpers.rerun --target-cluster 2 --only 03-05            a part of the series
  python -m helpers.rerun --log log.csv --segment country --outcome converted --worth 0.01
  python -m helpers.rerun --log visits.csv --segment country --outcome spent --user customer_id
  python -m helpers.rerun --log log.csv --segment-columns age,country,device --outcome converted

Notebooks 09 and 11 and those after it have experiments or tables of their own: they are executed
with the seed alone. For a table of customers with other columns: python -m tools.plan --help

A customer file has the columns CustomerID, Gender, Age, Annual Income (k$), Spending Score (1-100).
A log has one row per user (or give --user), columns of segments, a column with two arms, and an
outcome of 0/1, Yes/No or any number. Both are CSV (commas, semicolons or tabs; utf-8) or Parquet.
The result of a log alone, on a page to pass on: python -m tools.analyse --help
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from tqdm import tqdm

from helpers import (
    InputError,
    adjustment,
    check_seed,
    data,
    experiment,
    finder,
    findings,
    heterogeneity,
    inference,
    segments,
    shown,
    users,
    words,
)
from tools import command, files, notebooks
from tools.decided import decision_lines, ratio_lines

NAME = "helpers.rerun"  # as it is typed
CLUSTER_KNOBS = {
    "target_cluster": int,
    "customers_file": files.typed_path,
    "n_clusters": int,
    "effect": float,
}
LOG_KNOBS = {
    "log_file": files.typed_path,
    "segment": str,
    "segment_columns": command.names,
    "outcome": str,
    "group": str,
    "control": str,
    "control_share": float,
    "worth": float,
    "user": str,
}
PART = {"only": str}
OPTIONS = CLUSTER_KNOBS | PART | LOG_KNOBS | {"seed": int, "out": files.typed_path}
DEFAULTS = {
    "customers_file": None,
    "n_clusters": 4,
    "effect": 3.0,
    "seed": 42,
    "segment": None,
    "segment_columns": None,
    "group": "group",
    "control": "control",
    "control_share": 0.5,
    "worth": None,
    "user": None,
}


# The result in a line or two, without notebooks


def try_out(
    customers_file: str | None, n_clusters: int, target_cluster: int, effect: float, seed: int
) -> tuple[str, dict[str, str]]:
    """The verdict of the run in a line, computed without notebooks.

    And which notebooks, by their number, cannot be executed with these customers, and why.

    Raises the InputError that the run would meet.
    """
    clustered = segments.cluster_customers(data.load_customers(customers_file), n_clusters)
    if clustered[experiment.OUTCOME].nunique() == 1:  # 07 has nothing to adjust by
        raise InputError("All customers have the same spending score. Use another file.")
    trial = experiment.simulate_experiment(clustered, target_cluster, effect, seed=seed)
    arms = trial.groupby("group")["outcome"]
    result = inference.compare_means(arms.get_group("control"), arms.get_group("treatment"))
    row = segments.profile_clusters(clustered).loc[target_cluster]
    who = f"Cluster {target_cluster} ({row['name']}; {words.count(row.customers, 'customer')})"
    why = too_many(len(trial), int(clustered["Cluster"].value_counts().max()))
    if n_clusters < 2:
        why["01"] = "it compares clusters, and there is one"
    if not can_be_adjusted(clustered, effect, seed):
        why["07"] = "neither a cluster nor all customers together can be adjusted"
    return f"{who}: {words.verdict(result)}", why


def too_many(in_target: int, in_largest: int) -> dict[str, str]:
    """The notebooks that cannot hold clusters of these sizes in memory."""
    return {
        number: f"it holds {most:,} customers of a cluster at most, not {size:,}"
        for size, limits in zip((in_target, in_largest), notebooks.MOST, strict=True)
        for number, most in limits.items()
        if size > most
    }


def can_be_adjusted(clustered: pd.DataFrame, effect: float, seed: int) -> bool:
    """Whether 07 has an experiment: in any cluster, or in all customers as one."""
    for cluster in [*sorted(clustered["Cluster"].unique()), None]:
        table = clustered.assign(Cluster=0) if cluster is None else clustered
        try:
            trial = experiment.simulate_experiment(table, cluster or 0, effect, seed=seed)
            arms, before = trial["group"] == "treatment", trial[experiment.OUTCOME]
            adjustment.compare_adjusted(trial["outcome"], arms, before, interacted=True)
            return True
        except InputError:
            continue
    return False


def preview(**knobs: Any) -> str:
    """The verdict of the run with these knobs in a line, as for `try_out`."""
    return try_out(**knobs)[0]


def preview_log(
    log_file: str,
    control_share: float,
    worth: float | None,
    user: str | None = None,
    seed: int = 42,
    **roles: str,
) -> str:
    """What to do with all users and in each segment of a log, a line each, as notebook 06 decides.

    roles: segment, outcome, group and control, as for `data.load_log`, and so is user; worth as for
    `heterogeneity.smallest_worth`. Raises the InputError that the run would meet.
    """
    check_seed(seed)
    log = data.load_log(log_file, **roles, user=user)
    outcome, in_control = log[roles["outcome"]], log[roles["group"]] == roles["control"]
    rate = heterogeneity.is_rate(outcome)
    least = heterogeneity.smallest_worth(float(outcome[in_control].mean()), rate, worth)
    table = heterogeneity.decide(log, **roles, control_share=control_share, worth=least, seed=seed)
    unit = "percentage points" if rate else f"units of {shown(roles['outcome'])}"
    unit_line = users_line(log, user)
    odd = ratio_lines(list(table["ratio_p"].items()), control_share)
    if odd:
        return "\n".join([unit_line, *odd])
    scale = 100 if rate else 1
    given = "as given" if worth is not None else "5 % of control's mean; --worth sets another"
    smallest = f"Smallest lift worth having: {words.given(scale * least)} {unit} ({given})."
    return "\n".join([unit_line, smallest, *decision_lines(table, least, scale, unit)])


def preview_search(
    log_file: str,
    segment_columns: Sequence[str],
    control_share: float,
    worth: float | None,
    user: str | None = None,
    seed: int = 42,
    **roles: str,
) -> str:
    """What a search for segments in these columns finds, a line each, as notebook 13 says it.

    roles: outcome, group and control; the rest as for `preview_log`. Raises the InputError that the
    run would meet.
    """
    log = data.load_log(log_file, "", **roles, user=user, cuts=segment_columns)
    outcome, in_control = log[roles["outcome"]], log[roles["group"]] == roles["control"]
    rate = heterogeneity.is_rate(outcome)
    least = heterogeneity.smallest_worth(float(outcome[in_control].mean()), rate, worth)
    share = {"control_share": control_share, "seed": seed}
    found = finder.search(log, segment_columns, worth=least, **roles, **share)
    scale, unit = (100, "percentage points") if rate else (1, f"units of {shown(roles['outcome'])}")
    said = findings.report(found, segment_columns, unit, scale)
    cost = f"Treating a user costs {words.given(scale * least)} {unit} (--worth sets another)."
    return "\n".join([users_line(log, user), cost, *said])


def try_log(
    segment: str | None, segment_columns: Sequence[str] | None, **knobs: Any
) -> tuple[str, set[str]]:
    """The closing lines of a log, and which notebooks are executed on it, by their number."""
    said, numbers = [], set()
    if segment:
        said, numbers = [preview_log(segment=segment, **knobs)], {"06"}
    if segment_columns:
        found = preview_search(segment_columns=segment_columns, **knobs)
        said.append(found.partition("\n")[2] if segment else found)  # the users were told
        numbers.add("13")
    return "\n".join(said), numbers


def users_line(log: pd.DataFrame, user: str | None) -> str:
    """What was understood of this log, and what a user is in it, in a line."""
    rows = ", ".join([*log.attrs["notes"], words.count(log.attrs["rows"], "row")])
    if user not in (None, users.EVERY_ROW):
        return f"{rows} of {words.count(len(log), 'user')}, added up by {shown(user)}."
    return f"{rows}, each taken for a user."


# The run itself


def numbers_of(only: str) -> set[str]:
    """The numbers of notebooks that are typed as 06, or 01-05, or 01,03,06-08.

    Raises InputError for anything else, and for numbers of which there is no notebook.
    """
    known = [path.name[:2] for path in notebooks.find()]
    wanted: set[str] = set()
    for part in only.split(","):
        typed = re.fullmatch(r" *([0-9]{1,2})(?: *- *([0-9]{1,2}))? *", part)
        first, last = (typed[1], typed[2] or typed[1]) if typed else ("1", "0")
        numbers = {f"{number:02d}" for number in range(int(first), int(last) + 1)}
        if not numbers or not numbers <= set(known):
            there = f"Give numbers from {known[0]} to {known[-1]}, such as 06, 01-05 or 01,03."
            raise InputError(f"is {shown(repr(only))}. {there}", "only")
        wanted |= numbers
    return wanted


def read_series(
    only: set[str] | None = None, left_out: Mapping[str, str] | None = None
) -> dict[str, nbformat.NotebookNode]:
    """The notebooks of these numbers, or all, by file name.

    Those that need a package which is not installed, or are to be left out (number and reason), are
    so, with a word. Raises InputError where none is left.
    """
    found, left_out = {}, left_out or {}
    for path in notebooks.find():
        if only is not None and path.name[:2] not in only:
            continue
        package = notebooks.missing_package(path)
        if package:
            why = f"it needs {package} (pip install)"
        elif path.name[:2] in left_out:
            why = left_out[path.name[:2]]
        else:
            found[path.name] = notebooks.read(path)
            continue
        print(f"{path.name} is left out: {why}.", file=sys.stderr)
    if not found:
        raise InputError("No notebook is left to execute. Choose others.", "only")
    return found


def execute_series(
    series: dict[str, nbformat.NotebookNode], knobs: dict[str, object], folder: Path
) -> None:
    """Execute the notebooks with these knobs into a folder, behind a bar that counts cells.

    Raises InputError where one stops or does not finish.
    """
    for notebook in series.values():
        notebooks.set_knobs(notebook, knobs)
    cells = [cell for notebook in series.values() for cell in notebook.cells]
    total = sum(cell.cell_type == "code" for cell in cells)
    many = words.count(len(series), "notebook")
    at_once = min(len(series), notebooks.cores())
    told = f"Executing {many}, {', '.join(name[:2] for name in series)}"
    print(f"{told}, {at_once} at once." if at_once > 1 else f"{told}.", file=sys.stderr)
    with tqdm(total=total, unit="cell", file=sys.stderr, leave=False) as bar:

        def at_work(running: list[str], cells: int = 0) -> None:
            bar.set_description(", ".join(name[:2] for name in running), refresh=False)
            bar.update(cells)

        notebooks.execute_all(series, folder, at_work)
    for name, notebook in series.items():
        nbformat.write(notebook, folder / name)


def rerun(
    out: Path,
    knobs: dict[str, object],
    only: set[str] | None = None,
    of: str = "",
    left_out: Mapping[str, str] | None = None,
) -> None:
    """Execute the notebooks of these numbers, or all, into `out`.

    The files appear together at the end, or none. of: the data they are made of, which keeps a
    second log from replacing the results of the first. left_out: as for `read_series`.
    Raises InputError for a place that cannot be used, a notebook that cannot be read, and one that
    stops.
    """
    out = files.as_folder(out)
    files.check_place(out, notebooks.ROOT)
    series = read_series(only, left_out)
    writes = [
        file
        for number, file in notebooks.WRITES.items()
        if any(s.startswith(number) for s in series)
    ]
    try:
        files.check_targets(out, [*series, *writes], "rerun", of)
        with files.workshop(out) as folder:
            execute_series(series, knobs, folder)
            files.put_in_place(folder, out, "rerun", of)
    except OSError as error:
        raise InputError(
            f"Cannot write to {out} ({error.strerror}). Choose another folder with --out."
        ) from None


# The command


def which_knobs() -> str:
    """A line for each notebook of the series: the options that change it."""
    lines = ["The notebooks of the series, and the options that change them:"]
    for path in notebooks.find():
        knobs = notebooks.knobs_of(notebooks.read(path))
        own = " ".join(command.option(name) for name in knobs if name in (*CLUSTER_KNOBS, "seed"))
        lines.append(f"  {path.stem:<24} {own}")
    return "\n".join(lines)


class Help(argparse.Action):
    """Print what stands above, and which notebook has which knobs."""

    def __call__(self, parser: argparse.ArgumentParser, *_given: object) -> None:
        print(__doc__)
        with suppress(InputError):  # a notebook that cannot be read is told when it is executed
            print(which_knobs())
        parser.exit()


def command_line() -> command.Parser:
    """What can be typed. An option that is not given is not in the result."""
    parser = command.Parser(
        f"python -m {NAME}",
        __doc__,
        usage=f"python -m {NAME} --target-cluster N [...], or --log FILE --segment C --outcome C",
        argument_default=argparse.SUPPRESS,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action=Help, nargs=0)
    for name, kind in OPTIONS.items():
        parser.add_argument(command.option(name), dest=name, type=kind)
    return parser


def all_knobs(given: dict[str, object], log: bool) -> dict[str, object]:
    """The knobs of a run: those given, or their defaults. Files have whole paths, as text.

    Raises InputError where an option is missing, or has nothing to do with this kind of run.
    """
    own, foreign = (LOG_KNOBS, CLUSTER_KNOBS | PART) if log else (CLUSTER_KNOBS, LOG_KNOBS)
    known = DEFAULTS | given
    mend = [f"give {command.option(name)}" for name in own if name not in known]
    if log and not (known["segment"] or known["segment_columns"]):
        mend.insert(0, "give --segment or --segment-columns")
    mend += [f"leave out {command.option(name)}" for name in foreign if name in given]
    if mend:
        kind = "--log" if log else "--target-cluster"
        raise InputError(f"With {kind}, please {', '.join(mend)}. See --help.")
    knobs = {name: value for name, value in known.items() if name in own or name == "seed"}
    for name, value in knobs.items():
        if isinstance(value, Path):
            knobs[name] = str(value.absolute())
    return knobs


def of_what(knobs: dict[str, object]) -> tuple[str, str]:
    """The folder in runs/ for the results with these knobs, and the data they are made of."""
    if "log_file" in knobs:
        log, outcome = str(knobs["log_file"]), str(knobs["outcome"])
        columns = knobs.get("segment_columns") or ()
        by = [str(name) for name in (knobs["segment"], "-".join(columns)) if name]
        parts = ["log", Path(log).stem, outcome, "by", *by]
        data_used = f"{log}, {outcome} by {' and '.join(by)}"
        data_used += f", users by {knobs['user']}" if knobs.get("user") else ""
    else:
        own = knobs["customers_file"]
        parts = ["cluster", str(knobs["target_cluster"])]
        parts += ["of", Path(str(own)).stem] if own else []
        data_used = str(own or "the course's customers")
    return "-".join(filter(None, map(files.as_file_name, parts))), data_used


def work(given: dict[str, object]) -> int:
    """The command with the options that were given."""
    log = "log_file" in given
    typed, only = given.pop("out", None), given.get("only")
    numbers = None if only is None else numbers_of(only)
    knobs = all_knobs(given, log)
    folder, data_used = of_what(knobs)
    if log:
        closing, numbers, left_out = *try_log(**knobs), {}
    else:
        closing, left_out = try_out(**knobs)
    out = (typed or notebooks.ROOT / "runs" / folder).absolute()
    rerun(out, knobs, numbers, data_used, left_out)
    print(f"The results of this run are in {shown(out, most=1000)}\n{closing}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    parser = command_line()

    def with_options() -> int:
        given = vars(parser.parse_args(arguments))
        if ("log_file" in given) == ("target_cluster" in given):
            parser.error("give either --target-cluster or --log; --help explains them")
        return work(given)

    return command.run(NAME, with_options, OPTIONS)


if __name__ == "__main__":
    sys.exit(main())
