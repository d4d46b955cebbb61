"""Re-run the whole series on another cluster, another effect or your own customers.

python -m helpers.rerun --target-cluster 3
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm
from traitlets.config import Config

from helpers import InputError, data, experiment, inference, segments, words

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = """examples:
  python -m helpers.rerun --target-cluster 3
  python -m helpers.rerun --target-cluster 0 --effect 0 --seed 7      an A/A run: no effect is planted
  python -m helpers.rerun --target-cluster 1 --customers mine.csv     your own customers

A customer file is a CSV with the columns """ + ", ".join(data.COLUMNS)


def notebook_files() -> list[Path]:
    """The notebooks of the series, in reading order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))


def set_knobs(notebook: nbformat.NotebookNode, knobs: dict[str, object]) -> None:
    """Give new values to those knobs that the cell tagged "parameters" has; its comments stay."""
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for name, value in knobs.items():
                line = re.compile(rf"^{name} = [^#\n]*?(?=\s*(#|$))", flags=re.MULTILINE)
                cell.source = line.sub(lambda _, n=name, v=value: f"{n} = {v!r}", cell.source)


def execute(notebook: nbformat.NotebookNode, folder: Path, on_cell: Callable[..., None] | None = None) -> None:
    """Run every cell in place, in `folder`; no clock times are stored. Raises nbclient's CellExecutionError."""
    # a kernel that may not write bytecode compiles all its imports again
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    config = Config({"AsyncKernelManager": {"transport_encryption": "auto"}})
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 600, "record_timing": False, "store_widget_state": False, "kernel_name": "python3"}
    NotebookClient(notebook, config=config, resources=resources, on_cell_executed=on_cell, **options).execute(env=env)


def preview(customers_file: str | None, n_clusters: int, target_cluster: int, effect: float, seed: int) -> str:
    """Do the run's arithmetic without notebooks: its verdict in a line, or the InputError that the run would meet."""
    clustered = segments.cluster_customers(data.load_customers(customers_file), n_clusters)
    arms = experiment.simulate_experiment(clustered, target_cluster, effect, seed=seed).groupby("group")["outcome"]
    result = inference.compare_means(arms.get_group("control"), arms.get_group("treatment"))
    row = segments.profile_clusters(clustered).loc[target_cluster]
    return (
        f"Cluster {target_cluster} ({row['name']}; {words.count(row.customers, 'customer')}): {words.verdict(result)}"
    )


def rerun(out: Path, knobs: dict[str, object]) -> None:
    """Execute the series into `out`. The files appear there together at the end, or not at all."""
    out = out.resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file; give the name of a folder.")
    if out.is_relative_to(ROOT) and not out.is_relative_to(ROOT / "runs"):
        raise InputError(
            f"--out {out} is inside the course, which stays as it is. Choose a folder in runs, or outside."
        )
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in notebook_files()}
    cells = sum(cell.cell_type == "code" for notebook in notebooks.values() for cell in notebook.cells)
    nearest = next(folder for folder in (out, *out.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryDirectory(dir=nearest, prefix=".unfinished-") as workshop:
            with tqdm(total=cells, unit="cell", file=sys.stderr) as bar:
                for name, notebook in notebooks.items():
                    bar.set_description(name.removesuffix(".ipynb"))
                    set_knobs(notebook, knobs)
                    execute(notebook, Path(workshop), on_cell=lambda **_: bar.update())
                    nbformat.write(notebook, Path(workshop) / name)
            out.mkdir(parents=True, exist_ok=True)
            for path in Path(workshop).iterdir():
                path.replace(out / path.name)
    except CellExecutionError as error:
        raise InputError(f"{name} stopped and nothing was written. {error.ename}: {error.evalue}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise InputError(f"{name} did not finish ({type(error).__name__}); nothing was written. Try again.") from None
    except OSError as error:
        raise InputError(f"Cannot write to {out} ({error.strerror}). Choose another folder with --out.") from None


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, 2 with a message on stderr when something given cannot be used."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.rerun",
        description="Run the whole series again with other knobs. The notebooks of the course stay as they are.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--target-cluster", type=int, required=True, metavar="N", help="the segment to experiment in, 0 is the youngest"
    )
    add("--customers", metavar="FILE", help="your customers as CSV (default: the course's own)")
    add("--n-clusters", type=int, default=4, metavar="K", help="how many clusters k-means makes (default: 4)")
    add("--effect", type=float, default=3.0, metavar="E", help="the planted effect in score points (default: 3)")
    add("--seed", type=int, default=42, metavar="S", help="seed of coin flips and noise (default: 42)")
    add("--out", type=Path, metavar="DIR", help="folder for the results (default: runs/cluster-N)")
    chosen = parser.parse_args(arguments)
    out = (chosen.out or ROOT / "runs" / f"cluster-{chosen.target_cluster}").absolute()
    customers = str(Path(chosen.customers).absolute()) if chosen.customers else None
    knobs = {name: getattr(chosen, name) for name in ("n_clusters", "target_cluster", "effect", "seed")}
    try:
        line = preview(customers, **knobs)
        rerun(out, knobs | {"customers_file": customers})
    except InputError as error:
        message = re.sub(r"\b(target|n)_cluster", r"--\1-cluster", str(error))  # as it is typed here
        print(f"helpers.rerun: {message}", file=sys.stderr)
        return 2
    print(f"The notebooks of this run are in {out}\n{line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
