"""Notebook 10 at a million rows and more, in one table, row by row: python -m tools.bench_scale [1e6 1e7 1e8]

The notebook itself writes each log; then the contenders take turns on it, every one in processes of its own and with
two threads. Exits with 1 when a target is missed or a contender fails, and with 2 when something given cannot be used.
"""

import argparse
import contextlib
import io
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, NoReturn

# A child's peak begins at that of its parent: the contenders import their libraries themselves.

ROOT = Path(__file__).resolve().parents[1]
SIZES, JUDGED = [10**6, 10**7, 10**8], 10**7  # rows; targets are judged from JUDGED on
LARGE = 10**8  # from here on pandas has one turn of two calls; Spark always has one, of four
TURNS, CALLS, THREADS = 5, 5, 2
BYTES_A_ROW = 13  # of disk, with something to spare

NOTEBOOK, SCAN, SCAN_MORE, IBIS = (
    "notebook 10",
    "bare scan",
    "bare scan with before",
    "Ibis on DuckDB",
)
CUPED, COMPARE, PANDAS, SPARK = (
    "Ibis on DuckDB with before",
    "compare_segments with before",
    "pandas",
    "Spark",
)
FLOORS = {IBIS: SCAN, CUPED: SCAN_MORE, COMPARE: SCAN_MORE}
Call = Callable[[], object]


class Measured(NamedTuple):
    """Seconds of the best call and of the first (nan: out of memory), peak in MiB (nan: not measured)."""

    seconds: float
    first: float = math.nan
    peak: float = math.nan
    apart: float = math.nan  # the largest relative difference between Spark's numbers and DuckDB's


class Row(NamedTuple):
    """A line of the table; met is None where there is no target."""

    what: str
    time: str = "-"
    speed: str = "-"
    peak: str = "-"
    ratio: str = "-"
    target: str = "-"
    met: bool | None = None


Results = dict[int, dict[str, Measured]]


def notebook(folder: Path, rows: int) -> None:
    """Run the code cells of notebook 10, one after the other in this process; what they show goes nowhere."""
    import nbformat

    from tools import rerun

    book = nbformat.read(next((ROOT / "notebooks").glob("10_*.ipynb")), as_version=4)
    rerun.set_knobs(book, {"rows": rows, "folder": str(folder)})
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in book.cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, NOTEBOOK, "exec"), names)


def scan(folder: Path, more: str = "") -> Call:
    """Every value is decoded, none is grouped. strlen: to compare the texts would take longer than to read them."""
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS})
    query = f'SELECT max(segment), max(strlen("group")), sum(outcome){more} FROM read_parquet(?)'
    return lambda: connection.execute(query, [str(folder / "*.parquet")]).fetchall()


def by_ibis(folder: Path, covariate: str | None = None, whole: bool = False) -> Call:
    import ibis

    from helpers import scale

    log = scale.read_log(ibis.duckdb.connect(threads=THREADS), folder)
    if whole:
        return lambda: scale.compare_segments(log, "segment", "outcome", covariate=covariate)
    return lambda: scale.sums(log, "segment", "outcome", covariate=covariate).execute()


def by_pandas(folder: Path) -> Call:
    import pandas as pd
    import pyarrow as pa

    pa.set_cpu_count(THREADS)
    columns = ["segment", "group", "outcome"]
    return lambda: (
        pd.read_parquet(folder, columns=columns)
        .groupby(columns[:2])
        .outcome.agg(["count", "mean", "var"])
    )


def by_spark(folder: Path, covariate: str | None = None) -> Call:
    import ibis
    from pyspark.sql import SparkSession

    from helpers import scale

    options = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
    }
    session = SparkSession.builder.master(f"local[{THREADS}]").config(map=options).getOrCreate()
    log = ibis.pyspark.connect(session).read_parquet(str(folder))
    return lambda: scale.sums(log, "segment", "outcome", covariate=covariate).execute()


# Each prepares itself for the log in a folder and returns the call that is timed.
CONTENDERS: dict[str, Callable[[Path], Call]] = {
    SCAN: scan,
    SCAN_MORE: lambda folder: scan(folder, ", sum(before)"),
    IBIS: by_ibis,
    CUPED: lambda folder: by_ibis(folder, "before"),
    COMPARE: lambda folder: by_ibis(folder, "before", whole=True),
    PANDAS: by_pandas,
    SPARK: by_spark,
}


def peak() -> float:
    """Peak memory of this process in MiB."""
    if sys.platform == "win32":
        return math.nan
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def peak_of_java() -> float:
    """The same of the Java process that Spark started, where Linux tells."""
    from pyspark import SparkContext

    status = Path(f"/proc/{SparkContext._gateway.proc.pid}/status")
    text = status.read_text() if status.exists() else ""
    kib = re.search(r"^Name:\s+java$.*^VmHWM:\s+(\d+) kB$", text, flags=re.MULTILINE | re.DOTALL)
    return int(kib[1]) / 2**10 if kib else math.nan


def apart(folder: Path) -> float:
    """The largest relative difference between Spark's numbers and DuckDB's, with the covariate and without."""
    largest = 0.0
    for covariate in (None, "before"):
        calls = by_spark(folder, covariate), by_ibis(folder, covariate)
        theirs, ours = (
            call().set_index(["segment", "group"]).sort_index().astype(float) for call in calls
        )
        differences = (theirs - ours).abs() / ours.abs().where(ours != 0, 1)
        largest = max(largest, float(differences.fillna(math.inf).to_numpy().max()))
    return largest


def work(name: str, folder: str, rows: str, calls: str) -> None:
    """The other end of `measure`: call once, or several times and for a second, the first of them to warm up."""
    log = Path(folder)
    call = partial(notebook, log, int(rows)) if name == NOTEBOOK else CONTENDERS[name](log)
    times: list[float] = []
    while len(times) < int(calls) or (len(times) > 1 and sum(times) < 1):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    found = Measured(min(times[1:] or times), times[0], peak())
    if name == SPARK:
        found = found._replace(peak=peak_of_java(), apart=apart(log))
    print(json.dumps(found))


def measure(name: str, folder: Path, rows: int, calls: int) -> Measured:
    """Run a contender in a new process."""
    command = [
        sys.executable,
        "-m",
        "tools.bench_scale",
        "--work",
        name,
        str(folder),
        str(rows),
        str(calls),
    ]
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder.parent
    )
    if name == PANDAS and (done.returncode == -9 or "MemoryError" in done.stderr):
        return Measured(math.nan)
    if done.returncode:
        sys.exit(
            f"bench_scale: {name} failed at {rows:,} rows. {(done.stderr.splitlines() or ['No message.'])[-1]}"
        )
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def measurements(folder: Path, rows: int, with_spark: bool) -> Iterator[tuple[str, Measured]]:
    """The notebook, which writes the log; then everybody else on that log, in turns."""
    yield NOTEBOOK, measure(NOTEBOOK, folder, rows, 1)
    found: dict[str, Measured] = {}
    for turn in range(TURNS):
        for name in CONTENDERS:
            slow = name == SPARK or (name == PANDAS and rows >= LARGE)
            if (turn == 0 or not slow) and (name != SPARK or with_spark):
                new = measure(name, folder, rows, 4 if name == SPARK else 2 if slow else CALLS)
                old = found.get(name, new)
                found[name] = new._replace(
                    seconds=min(old.seconds, new.seconds), peak=max(old.peak, new.peak)
                )
    yield from found.items()


def three(number: float) -> str:
    """The number with three digits, or with all those before the point."""
    return f"{number:#.3g}".rstrip(".") if number < 999.5 else f"{number:,.0f}"


def duration(seconds: float) -> str:
    return "out of memory" if math.isnan(seconds) else f"{three(seconds)} s"


def mib(number: float) -> str:
    return "not measured" if math.isnan(number) else f"{number:,.0f} MiB"


def peak_of_ibis(here: dict[str, Measured]) -> float:
    return max(here[name].peak for name in FLOORS)


def rows_of(results: Results, n: int, name: str) -> Iterator[Row]:
    """The lines for one contender at n rows, with its targets."""
    here, mine = results[n], results[n][name]

    def judged(number: float, ratio: str, target: str, met: bool, least: float = JUDGED) -> tuple:
        if math.isnan(number):
            return "-", "-", None
        return (
            (ratio.format(number), target, met) if n >= least else (ratio.format(number), "-", None)
        )

    what, verdict = f"{n:,} rows: {name}", ()
    if name in FLOORS:
        x = mine.seconds / here[FLOORS[name]].seconds
        least = math.inf if name == COMPARE else JUDGED
        verdict = judged(x, "{:.2f} x the scan", "3 x at most", x <= 3, least)
    elif name == PANDAS:
        x = mine.seconds / here[IBIS].seconds
        verdict = judged(x, "{:.1f} x Ibis", "5 x or more", x >= 5)
    elif name == SPARK:
        what += f" (first call {mine.first:.1f} s; peak of Java)"
        verdict = judged(mine.apart, "{:.0e} from DuckDB", "1e-9 at most", mine.apart <= 1e-9, 0)
    speed = "-" if math.isnan(mine.seconds) else three(n / mine.seconds / 1e6)
    yield Row(what, duration(mine.seconds), speed, mib(mine.peak), *verdict)

    if name in (IBIS, CUPED) and n // 10 >= JUDGED and n // 10 in results:
        x = mine.seconds / results[n // 10][name].seconds
        growth = judged(x, "{:.1f} x the time", "12 x at most", x <= 12)
        yield Row(f"{what}, against {n // 10:,}", "-", "-", "-", *growth)
    least = min((size for size in results if size >= SIZES[0]), default=n)
    if name in (NOTEBOOK, COMPARE) and n >= JUDGED and n > least:
        ibis = name == COMPARE
        new, old = (
            peak_of_ibis(found) if ibis else found[name].peak for found in (here, results[least])
        )
        flat = judged(new / old, "{:.2f} x the peak", "1.5 x at most", new <= 1.5 * old)
        if ibis:
            flat = judged(
                new / old,
                "{:.2f} x the peak",
                "1.5 x or +150 MiB",
                new <= max(1.5 * old, old + 150),
            )
        yield Row(
            f"{n:,} rows: {IBIS if ibis else name}, against {least:,}", "-", "-", mib(new), *flat
        )


def markdown(results: Results, no_spark: str) -> str:
    """The table for the README; no_spark: what is said where Spark was not asked."""
    titles = ["rows", SCAN, IBIS, "with CUPED", PANDAS, SPARK, f"peak of {IBIS}", "peak of pandas"]
    lines = [[*titles, f"{NOTEBOOK}, all of it", "its peak"], ["---:"] * 10]
    for n, here in results.items():
        names = (SCAN, IBIS, CUPED, PANDAS, SPARK)
        times = [duration(here[name].seconds) if name in here else no_spark for name in names]
        peaks = [mib(peak_of_ibis(here)), mib(here[PANDAS].peak)]
        lines.append(
            [f"{n:,}", *times, *peaks, duration(here[NOTEBOOK].seconds), mib(here[NOTEBOOK].peak)]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench_scale: {message}\n")


def size(text: str) -> int:
    with contextlib.suppress(ValueError):
        if (number := float(text)).is_integer() and 20_000 <= number <= 10**10:
            return int(number)
    raise argparse.ArgumentTypeError(
        f"{text} cannot be used; give whole numbers from 2e4 to 1e10, such as 1e6"
    )


def options(arguments: list[str] | None) -> argparse.Namespace:
    """What was typed; exits with 2 and one line where it cannot be used."""
    parser = Parser(
        prog="bench_scale.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "rows", nargs="*", type=size, default=SIZES, help="sizes of the log (default: 1e6 1e7 1e8)"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the logs here (default: a temporary folder each)"
    )
    parser.add_argument("--no-spark", action="store_true", help="do not ask Spark")
    given = parser.parse_args(arguments)
    given.rows = sorted(set(given.rows))
    where, need = Path(tempfile.gettempdir()), BYTES_A_ROW * max(given.rows)
    if given.folder:
        where, need = given.folder.resolve(), BYTES_A_ROW * sum(given.rows)
        try:
            where.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--folder {where} cannot be used ({error.strerror})")
        if any(where.iterdir()):
            parser.error(f"--folder {where} is not empty; name a new one")
    if (free := shutil.disk_usage(where).free) < need:
        parser.error(
            f"the log needs about {need / 1e9:.2g} GB, {where} has {free / 1e9:.2g} GB free; see --folder"
        )
    return given


def spark_is_there() -> bool:
    java = (
        str(Path(os.environ["JAVA_HOME"]) / "bin" / "java") if "JAVA_HOME" in os.environ else "java"
    )
    with contextlib.suppress(OSError):
        return (
            bool(find_spec("pyspark"))
            and not subprocess.run([java, "-version"], capture_output=True).returncode
        )
    return False


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and return the exit code."""
    given = options(arguments)
    no_spark = "not asked" if given.no_spark else "" if spark_is_there() else "not installed"
    results: Results = {}
    met = []
    line = "{:<65} {:>13} {:>14} {:>12} {:>18} {:>17}  {}".format
    print(
        line("what", "time", "million rows/s", "peak memory", "ratio", "target", "met"), flush=True
    )
    for n in given.rows:
        with tempfile.TemporaryDirectory(prefix="bench_scale_") as workshop:
            folder = (given.folder or Path(workshop)).resolve() / str(n)
            for name, found in measurements(folder, n, not no_spark):
                results.setdefault(n, {})[name] = found
                for row in rows_of(results, n, name):
                    met.append(row.met)
                    print(
                        line(*row[:-1], {True: "yes", False: "NO", None: "-"}[row.met]), flush=True
                    )
    print(
        f"{met.count(False)} of {len(met) - met.count(None)} targets missed.\n\n{markdown(results, no_spark)}"
    )
    return int(False in met)


if __name__ == "__main__":
    sys.exit(work(*sys.argv[2:]) if sys.argv[1:2] == ["--work"] else main())
