"""Run the series again with other knobs, or notebook 06 on the log of your own experiment.

The course stays as it is.

The whole series, in the clusters of the course's customers or of yours:
  --target-cluster N   the cluster to experiment in, 0 is the youngest (needed)
  --customers FILE     your customers as CSV (default: the course's own)
  --n-clusters K       how many clusters k-means makes (default: 4)
  --effect E           the planted effect in score points (default: 3)

Notebook 06 on your log, what to do in each segment:
  --log FILE           your log as CSV (needed)
  --segment COLUMN     its column of segments (needed)
  --outcome COLUMN     its column of outcomes (needed)
  --group COLUMN       its column of arms (default: group)
  --control NAME       the arm that is not treated (default: control)
  --control-share S    the share of users planned for it, between 0 and 1 (default: 0.5)
  --worth W            the smallest lift worth having, in the unit of the outcome: for 0/1, 0.01
                       is one percentage point (default: 5 % of the control mean)

Both:
  --seed S             seed of coin flips and noise (default: 42)
  --out DIR            folder for the results (default: runs/cluster-N, or runs/log- and the name
                       of the log)
  --help               show this

examples:
  python -m helpers.rerun --target-cluster 3
  python -m helpers.rerun --target-cluster 0 --effect 0 --seed 7     an A/A run: nothing is planted
  python -m helpers.rerun --target-cluster 1 --customers mine.csv    your own customers
  python -m helpers.rerun --log log.csv --segment country --outcome converted --worth 0.01

A customer file has the columns CustomerID, Gender, Age, Annual Income (k$), Spending Score (1-100).
A log has one row per user, a column of segments, a column with two arms, and an outcome of 0/1 or
any number. Both are CSV, in utf-8.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import nbformat
import pandas as pd
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from helpers import (
    InputError,
    check_seed,
    data,
    experiment,
    heterogeneity,
    inference,
    segments,
    words,
)
from tools import notebooks
from tools.files import nearest_folder, put_in_place, typed_path

CLUSTER_KNOBS = {
    "target_cluster": int,
    "customers_file": typed_path,
    "n_clusters": int,
    "effect": float,
}
LOG_KNOBS = {
    "log_file": typed_path,
    "segment": str,
    "outcome": str,
    "group": str,
    "control": str,
    "control_share": float,
    "worth": float,
}
OPTIONS = CLUSTER_KNOBS | LOG_KNOBS | {"seed": int, "out": typed_path}
DEFAULTS = {
    "customers_file": None,
    "n_clusters": 4,
    "effect": 3.0,
    "seed": 42,
    "group": "group",
    "control": "control",
    "control_share": 0.5,
    "worth": None,
}


def option(name: str) -> str:
    """A knob as it is typed on the command line; what is no option keeps its name."""
    if name not in OPTIONS:
        return name
    return "--" + name.removesuffix("_file").replace("_", "-")


# The result in a line or two, without notebooks


def preview(
    customers_file: str | None, n_clusters: int, target_cluster: int, effect: float, seed: int
) -> str:
    """The verdict of the run in a line, computed without notebooks.

    Raises the InputError that the run would meet.
    """
    clustered = segments.cluster_customers(data.load_customers(customers_file), n_clusters)
    trial = experiment.simulate_experiment(clustered, target_cluster, effect, seed=seed)
    arms = trial.groupby("group")["outcome"]
    result = inference.compare_means(arms.get_group("control"), arms.get_group("treatment"))
    row = segments.profile_clusters(clustered).loc[target_cluster]
    who = f"Cluster {target_cluster} ({row['name']}; {words.count(row.customers, 'customer')})"
    return f"{who}: {words.verdict(result)}"


def preview_log(
    log_file: str, control_share: float, worth: float | None, seed: int = 42, **roles: str
) -> str:
    """What to do in each segment of a log, a line each, as notebook 06 decides.

    roles: segment, outcome, group and control, as for `data.load_log`; worth as for
    `heterogeneity.smallest_worth`. Raises the InputError that the run would meet.
    """
    check_seed(seed)
    log = data.load_log(log_file, **roles)
    outcome, in_control = log[roles["outcome"]], log[roles["group"]] == roles["control"]
    rate = heterogeneity.is_rate(outcome)
    worth = heterogeneity.smallest_worth(float(outcome[in_control].mean()), rate, worth)
    table = heterogeneity.decide(log, **roles, control_share=control_share, worth=worth)
    overall = experiment.sample_ratio_p(in_control.sum(), (~in_control).sum(), control_share)
    ratios = [("all users", overall), *table["ratio_p"].items()]
    unit = "percentage points" if rate else f"units of {roles['outcome']}"
    decided = decision_lines(table, worth, 100 if rate else 1, unit)
    return "\n".join(ratio_lines(ratios, control_share) + decided)


def ratio_lines(ratios: list[tuple[object, float]], control_share: float) -> list[str]:
    """A line of advice where a p-value says that the arms do not have the planned ratio."""
    odd = ", ".join(str(name) for name, p in ratios if p < 0.001)
    if not odd:
        return []
    fits = f"a control share of {control_share:g} does not fit {odd}"
    return [f"Check the ratio of the arms first: {fits}."]


def decision_lines(table: pd.DataFrame, worth: float, scale: float, unit: str) -> list[str]:
    """A line for each segment; the unit is that of what is printed, scale times the outcome's."""
    lines = []
    numbers = table[["lift", "ci_low", "ci_high"]].mul(scale)
    for (name, lift, low, high), decision in zip(
        numbers.itertuples(), table["decision"], strict=True
    ):
        if decision == heterogeneity.NOT_TESTABLE:
            lines.append(f"{name}: too few users to test, or no variation")
            continue
        digits = words.digits_apart((low, high), (0.0, scale * worth))
        seen = f"lift {words.number(lift, digits, sign=True)} {unit}"
        interval = words.interval(low, high, digits)
        lines.append(f"{name}: {decision} ({seen}, interval {interval})")
    return lines


# The run itself


def check_place(out: Path) -> None:
    """Raise InputError for a file, and for a folder of the course that is not for runs."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give the name of a folder.", "out")
    runs = notebooks.ROOT / "runs"
    if out.is_relative_to(notebooks.ROOT) and not out.is_relative_to(runs):
        raise InputError(
            f"{out} is inside the course, which stays as it is. Choose one in runs, or outside.",
            "out",
        )


def read_series(only: str) -> dict[str, nbformat.NotebookNode]:
    """The notebooks whose names start with `only`, by file name.

    Those that need a package which is not installed are left out, with a word.
    """
    found = {}
    for path in notebooks.find():
        if not path.name.startswith(only):
            continue
        package = notebooks.missing_package(path)
        if package:
            print(f"{path.name} is left out: it needs {package} (pip install).", file=sys.stderr)
        else:
            found[path.name] = notebooks.read(path)
    return found


def execute_series(
    series: dict[str, nbformat.NotebookNode], knobs: dict[str, object], folder: Path
) -> None:
    """Execute the notebooks with these knobs into a folder, behind a bar that counts cells.

    Raises InputError where one stops or does not finish.
    """
    cells = [cell for notebook in series.values() for cell in notebook.cells]
    total = sum(cell.cell_type == "code" for cell in cells)
    with tqdm(total=total, unit="cell", file=sys.stderr) as bar:
        for name, notebook in series.items():
            bar.set_description(name.removesuffix(".ipynb"))
            notebooks.set_knobs(notebook, knobs)
            try:
                notebooks.execute(notebook, folder, on_cell=lambda **_: bar.update())
            except CellExecutionError as error:
                why = f"{error.ename}: {error.evalue}"
                raise InputError(f"{name} stopped and nothing was written. {why}") from None
            except (CellTimeoutError, DeadKernelError) as error:
                why = f"({type(error).__name__}); nothing was written. Try again."
                raise InputError(f"{name} did not finish {why}") from None
            nbformat.write(notebook, folder / name)


def rerun(out: Path, knobs: dict[str, object], only: str = "") -> None:
    """Execute the notebooks whose names start with `only` into `out`.

    The files appear together at the end, or none. Raises InputError for a place that cannot be
    used, a notebook that cannot be read, and one that stops.
    """
    out = out.resolve()
    check_place(out)
    series = read_series(only)
    try:
        with tempfile.TemporaryDirectory(
            dir=nearest_folder(out), prefix=".unfinished-"
        ) as workshop:
            execute_series(series, knobs, Path(workshop))
            put_in_place(Path(workshop), out)
    except OSError as error:
        raise InputError(
            f"Cannot write to {out} ({error.strerror}). Choose another folder with --out."
        ) from None


# The command


def command_line() -> argparse.ArgumentParser:
    """What can be typed. An option that is not given is not in the result."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.rerun",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    for name, kind in OPTIONS.items():
        parser.add_argument(option(name), dest=name, type=kind, help=argparse.SUPPRESS)
    return parser


def all_knobs(given: dict[str, object], log: bool) -> dict[str, object]:
    """The knobs of a run: those given, or their defaults. Files have whole paths, as text.

    Raises InputError where an option is missing, or has nothing to do with this kind of run.
    """
    own, foreign = (LOG_KNOBS, CLUSTER_KNOBS) if log else (CLUSTER_KNOBS, LOG_KNOBS)
    known = DEFAULTS | given
    mend = [f"give {option(name)}" for name in own if name not in known]
    mend += [f"leave out {option(name)}" for name in foreign if name in given]
    if mend:
        kind = "--log" if log else "--target-cluster"
        raise InputError(f"With {kind}, please {', '.join(mend)}. See --help.")
    knobs = {name: value for name, value in known.items() if name in own or name == "seed"}
    for name, value in knobs.items():
        if isinstance(value, Path):
            knobs[name] = str(value.absolute())
    return knobs


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, 2 with a message on stderr when it cannot be."""
    parser = command_line()
    given = vars(parser.parse_args(arguments))
    log = "log_file" in given
    if log == ("target_cluster" in given):
        parser.error("give either --target-cluster or --log; --help explains them")
    folder = f"log-{given['log_file'].stem}" if log else f"cluster-{given['target_cluster']}"
    out = given.pop("out", notebooks.ROOT / "runs" / folder).absolute()
    try:
        knobs = all_knobs(given, log)
        closing = preview_log(**knobs) if log else preview(**knobs)
        rerun(out, knobs, only="06" if log else "")
    except InputError as error:
        print(f"helpers.rerun: {error.named(option(error.knob))}", file=sys.stderr)
        return 2
    print(f"The results of this run are in {out}\n{closing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
