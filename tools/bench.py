"""Speed and memory in one table, row by row as they are measured: python -m tools.bench

Contenders take turns in one run, so a ratio holds on other machines too; every peak is that of a
process of its own. What cannot be measured has a row that says why. Exits with 1 when a target is
missed or something fails. All targets on time stand here: the tests are to pass on a slow machine
too. It all takes some twelve minutes.
"""

import ast
import contextlib
import io
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pandas as pd
from IPython.core.inputtransformer2 import TransformerManager
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from scipy import stats

from helpers import InputError, data, experiment, inference, segments, sequential
from tools import bench_scale, command, notebooks

SIZES = (20, 200, 2_000, 20_000)
LARGE = 1_000_000
CUSTOMERS = (2_000, 20_000, 200_000)
MOST_MEMORY = 2048  # MiB, of a kernel, however many customers
TURNS = 2.0  # seconds in which contenders take turns, at least
RESAMPLES, FEWER = 5_000, 500
LAST_LOOKS = (  # bounds, times: the last look comes just after the one before
    ([2.5, 2.2, 1.96], [0.5, 1, 1.001]),
    ([3.0, 2.4, 2.1, 2.0], [0.3, 0.6, 0.999, 1]),
)
# Part I is held to twice its imports as a whole, each later notebook to three times its own.
PART_TWO = "06"
AT_ONCE = 0.6  # of the time that notebooks take in turn, where two or more run at once


class Row(NamedTuple):
    """A line of the table; met is None where there is no target."""

    what: str
    ours: str
    other: str = "-"
    ratio: str = "-"
    target: str = "-"
    met: bool | None = None


# What is measured; n is the number of customers in an arm, where nothing else is said


@cache
def arms(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Treatment and control, n customers each, with about the original's means and spread."""
    rng = np.random.default_rng(42)
    return rng.normal(83, 11, n), rng.normal(80, 11, n)


def ours(n: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The interval of `bootstrap_ci`."""
    treatment, control = arms(n)
    return inference.bootstrap_ci(control, treatment, resamples)


def original(n: int) -> np.ndarray:
    """The original analysis's loop."""
    treatment, control = arms(n)
    lifts = []
    for _ in range(RESAMPLES):
        treated = np.random.choice(treatment, size=n, replace=True)
        untreated = np.random.choice(control, size=n, replace=True)
        lifts.append(np.mean(treated) - np.mean(untreated))
    return np.quantile(lifts, [0.025, 0.975])


def lift(treatment: np.ndarray, control: np.ndarray, axis: int) -> np.ndarray:
    """The difference of means, as scipy asks for it."""
    return treatment.mean(axis=axis) - control.mean(axis=axis)


def by_scipy(n: int, batch: int | None = None) -> object:
    """The same interval by scipy, all resamples at once or some of them at a time."""
    return stats.bootstrap(
        arms(n), lift, n_resamples=RESAMPLES, batch=batch, method="percentile", rng=42
    )


def by_scipy_in_batches(n: int) -> object:
    """The same interval by scipy, in batches as large as ours."""
    return by_scipy(n, batch=max(1, inference.BATCH // n))


def simulated_power(n: int) -> float:
    """The share of significant results among 10,000 experiments with n customers."""
    outcome, treated = experiment.simulate_many(arms(n)[0], 10_000)
    return float((inference.welch_many(outcome, treated)["p_value"] < 0.05).mean())


def watched_tests(looks: int) -> np.ndarray:
    """False-alarm rates of 10,000 tests without effect, each looked at so many times.

    At the usual limit, at Pocock's, and with an always valid interval.
    """
    counts = np.arange(1, looks + 1)
    steps = np.random.default_rng(42).normal(size=(10_000, looks))
    z = steps.cumsum(axis=1) / np.sqrt(counts)
    times = counts / looks
    rates = []
    for limit in (1.96, sequential.bounds(looks, "pocock")):
        rates.append((np.abs(z) > limit).any(axis=1).mean())
    low, high = sequential.always_valid_interval(z / np.sqrt(times), times**-0.5, tau=2.8)
    rates.append(((low > 0) | (high < 0)).any(axis=1).mean())
    return np.array(rates)


def near_last_look(drift: float) -> None:
    """Crossing probabilities where the last look comes just after the one before."""
    for bounds, times in LAST_LOOKS:
        sequential.crossing_probabilities(bounds, times, drift)


def imports_only(n: int) -> None:
    """Nothing at all: what remains is the peak of starting Python and importing."""


def many_customers(n: int) -> pd.DataFrame:
    """n customers like the course's own: drawn from them, each a little moved, ids from 1."""
    rng = np.random.default_rng(42)
    table = data.load_customers().sample(n, replace=True, random_state=42, ignore_index=True)
    table["CustomerID"] = np.arange(1, n + 1)
    for name, least, most in zip(
        segments.DEFAULT_FEATURES, (18, 1, 1), (90, 200, 100), strict=True
    ):
        table[name] = (table[name] + rng.integers(-3, 4, n)).clip(least, most)
    return table


def notebook_with_customers(number: int, n: int) -> None:
    """The code cells of a notebook, in this process and on n customers; what they show is lost."""
    book = notebooks.read(next(p for p in notebooks.find() if int(p.name[:2]) == number))
    with tempfile.TemporaryDirectory() as workshop, contextlib.redirect_stdout(io.StringIO()):
        many_customers(n).to_csv(Path(workshop) / "customers.csv", index=False)
        notebooks.set_knobs(book, {"customers_file": str(Path(workshop) / "customers.csv")})
        names: dict[str, object] = {"__name__": "__main__"}
        with contextlib.chdir(workshop):
            for cell in book.cells:
                if cell.cell_type == "code":
                    exec(compile(cell.source, f"notebook {number}", "exec"), names)


# The clocks


def race(
    n: int, *contenders: Callable[[int], object], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The best time of each contender in seconds.

    They take turns (50 ms or a call) for some seconds, and three turns at least.
    """
    best = [math.inf] * len(contenders)
    start = time.perf_counter()
    rounds = 0
    while rounds < 3 or time.perf_counter() - start < TURNS:
        for i, contender in enumerate(contenders):
            turn = time.perf_counter()
            while time.perf_counter() - turn < 0.05:
                before = clock()
                contender(n)
                best[i] = min(best[i], clock() - before)
        rounds += 1
    return best


OTHER_END = "measure-in-a-process"  # the first argument where `peak` calls this file again


def peak(work: Callable[..., object], *numbers: int) -> tuple[float, float]:
    """Peak memory in MiB (nan on Windows) and seconds of work(*numbers), run in a new process."""
    call = [sys.executable, "-m", "tools.bench", OTHER_END, work.__name__]
    call += map(str, numbers)
    env = notebooks.environment() | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        call, cwd=notebooks.ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    memory, seconds = done.stdout.split()
    return float(memory), float(seconds)


def report_peak(name: str, *numbers: str) -> None:
    """The other end of `peak`."""
    start = time.perf_counter()
    globals()[name](*map(int, numbers))
    seconds = time.perf_counter() - start
    print(bench_scale.peak(), seconds)


def seconds_of(notebook: nbformat.NotebookNode, folder: Path) -> float:
    """How long it takes to execute a notebook in that folder."""
    start = time.perf_counter()
    notebooks.execute(notebook, folder)
    return time.perf_counter() - start


def seconds_at_once(series: dict[str, nbformat.NotebookNode]) -> float:
    """How long it takes to execute notebooks side by side."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as workshop:
        notebooks.execute_all(series, Path(workshop), lambda *_given, **_more: None)
    return time.perf_counter() - start


# The rows of the table


def memory_row(
    what: str, mine: float, others: float, other: str, limit: float | None = None
) -> Row:
    """Our peak in MiB beside another; the limit, where there is one, is in MiB too."""
    if math.isnan(mine):
        return Row(f"peak memory, {what}", "not measured")
    row = Row(
        f"peak memory, {what}",
        f"{mine:,.0f} MiB",
        f"{others:,.0f} MiB {other}",
        f"{mine / others:.2f} x as much",
    )
    if limit is None:
        return row
    return row._replace(target=f"under {limit:,.0f} MiB", met=mine < limit)


def faster_row(
    what: str, mine: float, others: float, other: str, least: float | None = None
) -> Row:
    """Our seconds beside others'; least says how many times faster we are to be, if that counts."""
    faster = others / mine
    row = Row(
        what, f"{1000 * mine:,.1f} ms", f"{1000 * others:,.1f} ms {other}", f"{faster:.1f} x faster"
    )
    if least is None:
        return row
    return row._replace(target=f"{least:g} x faster or more", met=faster >= least)


def cpu_row(what: str, seconds: float, limit: float) -> Row:
    """Seconds of the processor, which other programs do not change much, below a limit."""
    return Row(
        what, f"{seconds:.3f} s of CPU", target=f"under {limit:g} s of CPU", met=seconds < limit
    )


def notebook_row(what: str, whole: float, floor: float, most: float | None = None) -> Row:
    """Seconds of notebooks beside those of their imports; most is the largest ratio allowed."""
    row = Row(
        f"execute {what}",
        f"{whole:.1f} s",
        f"{floor:.1f} s imports only",
        f"{whole / floor:.2f} x as long",
    )
    if most is None:
        return row
    return row._replace(target=f"{most:g} x as long at most", met=whole <= most * floor)


def memory_rows() -> Iterator[Row]:
    """Peaks of simulated power and of the bootstrap."""
    floor, _ = peak(imports_only, 0)
    mine, _ = peak(simulated_power, 40)
    yield memory_row("simulated power, 10,000 runs of n = 40", mine, floor, "imports only")
    for n in SIZES:
        mine, _ = peak(ours, n)
        others, _ = peak(by_scipy, n)
        yield memory_row(f"bootstrap n = {n:,}", mine, others, "scipy")
    _, trial = peak(ours, LARGE, 100)
    slow = trial * RESAMPLES / 100 >= 120
    resamples = FEWER if slow else RESAMPLES  # batches are bounded: the peak is the same
    mine, seconds = peak(ours, LARGE, resamples)
    what = f"bootstrap n = {LARGE:,} ({resamples:,} resamples, {seconds:.0f} s)"
    yield memory_row(what, mine, floor, "imports only", limit=1024)


def speed_rows() -> Iterator[Row]:
    """Our bootstrap against the original's loop and scipy's, and what must take next to no time."""
    for n in SIZES:
        mine, loop, *scipys = race(n, ours, original, by_scipy, by_scipy_in_batches)
        what = f"bootstrap n = {n:,}, {RESAMPLES:,} resamples"
        least = 100 if n == SIZES[0] else None
        yield faster_row(what, mine, loop, "the original's loop", least)
        yield faster_row(what, mine, min(scipys), "scipy, its faster batch", 1)
    (cpu,) = race(40, simulated_power, clock=time.process_time)
    yield cpu_row("simulated power, 10,000 runs of n = 40", cpu, 0.1)
    (cpu,) = race(50, watched_tests, clock=time.process_time)
    yield cpu_row("watched tests, 10,000 paths of 50 looks, three rules", cpu, 0.5)
    for drift in (0, 2):
        (cpu,) = race(drift, near_last_look, clock=time.process_time)
        yield cpu_row(f"a last look just after the one before, drift {drift}", cpu, 0.3)


def floor_of(books: Iterable[nbformat.NotebookNode]) -> nbformat.NotebookNode:
    """A notebook that has only the import lines of these that are always executed."""
    lines = []
    cells = [cell for book in books for cell in book.cells if cell.cell_type == "code"]
    for cell in cells:
        source = TransformerManager().transform_cell(cell.source)
        for statement in ast.parse(source).body:
            for node in statement.body if isinstance(statement, ast.Try) else [statement]:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    lines.append(ast.unparse(node))
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("\n".join(lines))])


def failed_row(what: str, error: Exception) -> Row:
    """What could not be measured because something stopped."""
    return Row(what, "stopped", getattr(error, "ename", type(error).__name__), met=False)


def books_to_execute() -> dict[str, nbformat.NotebookNode | str]:
    """Each notebook by its name, or the package that it lacks."""
    return {p.stem: notebooks.missing_package(p) or notebooks.read(p) for p in notebooks.find()}


def notebook_rows() -> Iterator[Row]:
    """Each notebook beside its imports, Part I and all as a whole, and all of them side by side."""
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as workshop:
        folder = Path(workshop)
        for name, book in books_to_execute().items():
            if isinstance(book, str):
                yield Row(f"execute {name}", "left out", f"needs {book} (pip install)")
                continue
            try:
                imports = floor_of([book])
                seconds_of(imports, folder)  # not counted: it reads libraries from the disk
                floor = seconds_of(imports, folder)
                found[name] = seconds_of(book, folder), floor
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                yield failed_row(f"execute {name}", error)
                continue
            yield notebook_row(name, *found[name], None if name < PART_TWO else 3)
    part_one = [found[name] for name in found if name < PART_TWO]
    for what, measured, most in (("Part I", part_one, 2), ("all", list(found.values()), None)):
        if measured:
            whole, floor = map(sum, zip(*measured, strict=True))
            yield notebook_row(f"{what}, {len(measured)} notebooks", whole, floor, most)
    if len(found) > 1:
        yield from side_by_side_rows(list(found), sum(whole for whole, _ in found.values()))


def side_by_side_rows(names: list[str], one_by_one: float) -> Iterator[Row]:
    """The same notebooks as a re-run executes them; one_by_one: their seconds in turn."""
    cores = notebooks.cores()
    what = f"re-run of {len(names)} notebooks, {cores} at once"
    series = {path.name: notebooks.read(path) for path in notebooks.find() if path.stem in names}
    try:
        seconds = seconds_at_once(series)
    except InputError as error:
        yield failed_row(what, error)
        return
    row = Row(what, f"{seconds:.1f} s", f"{one_by_one:.1f} s one after the other")
    row = row._replace(ratio=f"{seconds / one_by_one:.2f} x as long")
    if cores > 1:
        met = seconds <= AT_ONCE * one_by_one
        row = row._replace(target=f"{AT_ONCE:g} x as long at most", met=met)
    yield row


def customers_rows() -> Iterator[Row]:
    """Each size: all notebooks with a file of customers, each in a process of its own."""
    numbers = []
    for name, book in books_to_execute().items():
        if not isinstance(book, str) and "customers_file" in notebooks.knobs_of(book):
            numbers.append(int(name[:2]))
    for n in CUSTOMERS:
        peaks: dict[int, float] = {}
        seconds = 0.0
        for number in numbers:
            most = min(limit.get(f"{number:02d}", n) for limit in notebooks.MOST)
            if n / 4 > most:  # there are four clusters
                what = f"notebook {number:02d}, {n:,} customers"
                yield Row(what, "left out", f"at most {most:,} in a cluster")
                continue
            try:
                memory, time_taken = peak(notebook_with_customers, number, n)
            except subprocess.CalledProcessError as error:
                yield failed_row(f"notebook {number:02d}, {n:,} customers", error)
                continue
            peaks[number], seconds = memory, seconds + time_taken
        if peaks:
            yield customers_row(n, seconds, peaks)


def customers_row(n: int, seconds: float, peaks: dict[int, float]) -> Row:
    """Seconds of all notebooks on n customers, and the largest of their peaks in MiB."""
    row = Row(f"{n:,} customers, {len(peaks)} notebooks", f"{seconds:,.0f} s")
    number, memory = max(peaks.items(), key=lambda item: item[1])
    if math.isnan(memory):
        return row
    largest = f"{memory:,.0f} MiB at most ({number:02d})"
    target, met = f"under {MOST_MEMORY:,} MiB", memory < MOST_MEMORY
    return row._replace(other=largest, target=target, met=met)


def measured_or_failed(rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows, and one that says so where a process of their own stopped."""
    try:
        yield from rows()
    except subprocess.CalledProcessError as error:
        yield failed_row(rows.__name__.replace("_", " "), error)


def work() -> int:
    """Print the table, and return 1 for a missed target."""
    notebooks.find()  # what is wrong with them is told now, not after minutes
    met = []
    said = {True: "yes", False: "NO", None: "-"}
    line = "{:<61} {:>12} {:>34} {:>14} {:>20}  {}".format
    print(line("what", "ours", "the other", "ratio", "target", "met"))
    # memory comes first: but for Linux, a child's peak begins at that of its parent
    for rows in (memory_rows, speed_rows, notebook_rows, customers_rows):
        for row in measured_or_failed(rows):
            met.append(row.met)
            print(line(*row[:-1], said[row.met]), flush=True)
    print(f"{met.count(False)} of {len(met) - met.count(None)} targets missed.")
    return int(False in met)


def main(arguments: list[str] | None = None) -> int:
    """The command line: 1 when a target is missed, else as `command.run` says."""
    command.Parser("python -m tools.bench", __doc__).parse_args(arguments)
    return command.run("tools.bench", work, when_stopped="what stands above was measured")


if __name__ == "__main__":
    if sys.argv[1:2] == [OTHER_END]:
        report_peak(*sys.argv[2:])
    else:
        sys.exit(main())
