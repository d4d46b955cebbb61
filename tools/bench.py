"""Speed and memory in one table, row by row as they are measured: python -m tools.bench

Contenders take turns in one run, so a ratio holds on other machines too; every peak is that of a process of its own.
Exits with 1 when a target is missed.
"""

import ast
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
from IPython.core.inputtransformer2 import TransformerManager
from scipy import stats

from helpers import InputError, experiment, inference, sequential
from tools import rerun

SIZES, LARGE = (20, 200, 2_000, 20_000), 1_000_000
RESAMPLES, FEWER = 5_000, 500
PART_TWO = "06"  # Part I is held to twice its imports as a whole, each later notebook to three times its own


class Row(NamedTuple):
    """A line of the table; met is None where there is no target."""

    what: str
    ours: str
    other: str = "-"
    ratio: str = "-"
    target: str = "-"
    met: bool | None = None


@cache
def arms(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Treatment and control, n customers each, with about the original's means and spread."""
    rng = np.random.default_rng(42)
    return rng.normal(83, 11, n), rng.normal(80, 11, n)


def ours(n: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    treatment, control = arms(n)
    return inference.bootstrap_ci(control, treatment, resamples)


def original(n: int) -> np.ndarray:
    """The original analysis's loop."""
    a, b = arms(n)
    lifts = []
    for _ in range(RESAMPLES):
        lift = np.mean(np.random.choice(a, size=n, replace=True)) - np.mean(
            np.random.choice(b, size=n, replace=True)
        )
        lifts.append(lift)
    return np.quantile(lifts, [0.025, 0.975])


def by_scipy(n: int, batch: int | None = None) -> object:
    def lift(t: np.ndarray, c: np.ndarray, axis: int) -> np.ndarray:
        return t.mean(axis=axis) - c.mean(axis=axis)

    return stats.bootstrap(
        arms(n), lift, n_resamples=RESAMPLES, batch=batch, method="percentile", rng=42
    )


def by_scipy_in_batches(n: int) -> object:
    return by_scipy(n, batch=max(1, inference.BATCH // n))


def simulated_power(n: int) -> float:
    """The share of significant results among 10,000 experiments with n customers."""
    outcome, treated = experiment.simulate_many(arms(n)[0], 10_000)
    return float((inference.welch_many(outcome, treated)["p_value"] < 0.05).mean())


def watched_tests(looks: int) -> np.ndarray:
    """False-alarm rates of 10,000 tests without effect: at the usual limit, at Pocock's, and always valid."""
    times = np.arange(1, looks + 1) / looks
    z = np.random.default_rng(42).normal(size=(10_000, looks)).cumsum(axis=1) / np.sqrt(
        np.arange(1, looks + 1)
    )
    low, high = sequential.always_valid_interval(z / np.sqrt(times), times**-0.5, tau=2.8)
    limits = [1.96, sequential.bounds(looks, "pocock")]
    return np.array(
        [(np.abs(z) > x).any(axis=1).mean() for x in limits]
        + [((low > 0) | (high < 0)).any(axis=1).mean()]
    )


def imports_only(n: int) -> None:
    """Nothing at all: what remains is the peak of starting Python and importing."""


def race(
    n: int, *contenders: Callable[[int], object], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The best time of each in seconds; they take turns (50 ms or a call) for two seconds, and three turns at least."""
    best, start, rounds = [math.inf] * len(contenders), time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < 2:
        for i, contender in enumerate(contenders):
            turn = time.perf_counter()
            while time.perf_counter() - turn < 0.05:
                before = clock()
                contender(n)
                best[i] = min(best[i], clock() - before)
        rounds += 1
    return best


def peak(work: Callable[..., object], *numbers: int) -> tuple[float, float]:
    """Peak memory in MiB (nan on Windows) and seconds of work(*numbers), run in a new process."""
    command = [sys.executable, "-m", "tools.bench", work.__name__, *map(str, numbers)]
    memory, seconds = subprocess.run(
        command, cwd=rerun.ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    return float(memory), float(seconds)


def report_peak(name: str, *numbers: str) -> None:
    """The other end of `peak`."""
    start = time.perf_counter()
    globals()[name](*map(int, numbers))
    seconds, memory = time.perf_counter() - start, math.nan
    if sys.platform != "win32":
        import resource

        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
    print(memory, seconds)


def memory_rows() -> Iterator[Row]:
    def row(what: str, mine: float, others: float, other: str, *target: str | bool) -> Row:
        if math.isnan(mine):
            return Row(f"peak memory, {what}", "not measured")
        ratio = f"{mine / others:.2f} x as much"
        return Row(
            f"peak memory, {what}", f"{mine:,.0f} MiB", f"{others:,.0f} MiB {other}", ratio, *target
        )

    floor, _ = peak(imports_only, 0)
    yield row(
        "simulated power, 10,000 runs of n = 40",
        peak(simulated_power, 40)[0],
        floor,
        "imports only",
    )
    for n in SIZES:
        yield row(f"bootstrap n = {n:,}", peak(ours, n)[0], peak(by_scipy, n)[0], "scipy")
    _, trial = peak(ours, LARGE, 100)
    resamples = (
        RESAMPLES if trial * RESAMPLES / 100 < 120 else FEWER
    )  # batches are bounded: the peak is the same
    mine, seconds = peak(ours, LARGE, resamples)
    what = f"bootstrap n = {LARGE:,} ({resamples:,} resamples, {seconds:.0f} s)"
    yield row(what, mine, floor, "imports only", "under 1,024 MiB", mine < 1024)


def speed_rows() -> Iterator[Row]:
    for n in SIZES:
        mine, loop, *scipys = race(n, ours, original, by_scipy, by_scipy_in_batches)
        rivals = [
            ("the original's loop", loop, 100 if n == 20 else 0),
            ("scipy, its faster batch", min(scipys), 1),
        ]
        for name, seconds, least in rivals:
            timed = (
                f"{1000 * mine:,.1f} ms",
                f"{1000 * seconds:,.1f} ms {name}",
                f"{seconds / mine:.1f} x faster",
            )
            target = (f"{least} x faster or more", seconds / mine >= least) if least else ()
            yield Row(f"bootstrap n = {n:,}, {RESAMPLES:,} resamples", *timed, *target)
    (cpu,) = race(40, simulated_power, clock=time.process_time)
    target = "under 0.1 s of CPU", cpu < 0.1
    yield Row("simulated power, 10,000 runs of n = 40", f"{cpu:.3f} s of CPU", "-", "-", *target)
    (cpu,) = race(50, watched_tests, clock=time.process_time)
    target = "under 0.5 s of CPU", cpu < 0.5
    yield Row(
        "watched tests, 10,000 paths of 50 looks, three rules",
        f"{cpu:.3f} s of CPU",
        "-",
        "-",
        *target,
    )


def floor_of(*notebooks: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook that has only the import lines of these."""
    cells = [
        cell.source for notebook in notebooks for cell in notebook.cells if cell.cell_type == "code"
    ]
    nodes = [
        node
        for cell in cells
        for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell)))
    ]
    lines = [ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(lines))])


def notebook_rows() -> Iterator[Row]:
    def seconds(notebook: nbformat.NotebookNode) -> float:
        start = time.perf_counter()
        rerun.execute(notebook, Path(folder))
        return time.perf_counter() - start

    def row(what: str, whole: float, floor: float, *target: str | bool) -> Row:
        times = f"{whole:.1f} s", f"{floor:.1f} s imports only", f"{whole / floor:.2f} x as long"
        return Row(f"execute {what}", *times, *target)

    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in rerun.notebook_files()}
    if not notebooks:
        return
    wholes, floors = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        seconds(
            floor_of(*notebooks.values())
        )  # not counted: the first import of a library reads it from the disk
        for name, notebook in notebooks.items():
            floors[name], wholes[name] = seconds(floor_of(notebook)), seconds(notebook)
            target = (
                () if name < PART_TWO else ("3 x as long at most", wholes[name] <= 3 * floors[name])
            )
            yield row(name, wholes[name], floors[name], *target)
    part_one = [name for name in notebooks if name < PART_TWO]
    whole, floor = (sum(times[name] for name in part_one) for times in (wholes, floors))
    yield row(
        f"Part I, {len(part_one)} notebooks",
        whole,
        floor,
        "2 x as long at most",
        whole <= 2 * floor,
    )
    yield row(f"all {len(notebooks)} notebooks", sum(wholes.values()), sum(floors.values()))


def main() -> int:
    """Print the table and return the exit code. Memory comes first: a child's peak begins at that of its parent."""
    try:
        rerun.notebook_files()
    except InputError as error:  # told now, not after minutes
        print(f"tools.bench: {error}", file=sys.stderr)
        return 2
    met = []
    line = "{:<61} {:>12} {:>34} {:>14} {:>20}  {}".format
    print(line("what", "ours", "the other", "ratio", "target", "met"))
    for rows in (memory_rows, speed_rows, notebook_rows):
        for row in rows():
            met.append(row.met)
            print(line(*row[:-1], {True: "yes", False: "NO", None: "-"}[row.met]), flush=True)
    print(f"{met.count(False)} of {len(met) - met.count(None)} targets missed.")
    return int(False in met)


if __name__ == "__main__":
    sys.exit(report_peak(*sys.argv[1:]) if sys.argv[1:] else main())
