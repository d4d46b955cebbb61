"""Notebook 10 at a million rows and more, in one table, row by row as they are measured.

  python -m tools.bench_scale [1e6 1e7 1e8]

The notebook itself writes each log; then the contenders take turns on it, every one in processes of
its own and with two threads. A contender that fails is a row that says so, and the table goes on;
without Spark or Java, Spark is left out with a word. Exits with 1 when a target is missed or a
contender fails, and with 2 when something given cannot be used.
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

# What is measured should not hold what only this file needs: contenders import their libraries.

ROOT = Path(__file__).resolve().parents[1]
SIZES = [10**6, 10**7, 10**8]  # rows
JUDGED = 10**7  # targets are judged from here on
LARGE = 10**8  # from here on pandas has one turn of two calls; Spark always has one, of four
TURNS, CALLS, THREADS = 5, 5, 2
BYTES_A_ROW = 13  # of disk, with something to spare
MEMORY = "2GB"  # that DuckDB may take to add up users

NOTEBOOK = "notebook 10"
SCAN = "bare scan"
SCAN_MORE = "bare scan with before"
IBIS = "Ibis on DuckDB"
CUPED = "Ibis on DuckDB with before"
COMPARE = "compare_segments with before"
USERS = "users added up, of four rows each"
ANALYSE = "tools.analyse, to the page"
IN_TIME = {10**6: 10, 10**7: 30}  # seconds that the command may take
PANDAS = "pandas"
SPARK = "Spark"
FLOORS = {IBIS: SCAN, CUPED: SCAN_MORE, COMPARE: SCAN_MORE}
Call = Callable[[], object]


class Measured(NamedTuple):
    """What was measured of a contender."""

    seconds: float  # of the best call; nan: out of memory
    first: float = math.nan  # seconds of the first call
    peak: float = math.nan  # in MiB; nan: not measured
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


class Failed(Exception):
    """A contender stopped; the message is the last line that it said."""


Results = dict[int, dict[str, Measured]]


def notebook(folder: Path, rows: int) -> None:
    """Run the code cells of notebook 10, one after the other in this process.

    What they show goes nowhere.
    """
    from tools import notebooks

    (path,) = (path for path in notebooks.find() if path.name.startswith("10"))
    book = notebooks.read(path)
    notebooks.set_knobs(book, {"rows": rows, "folder": str(folder)})
    names = {"__name__": "__main__"}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in book.cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, NOTEBOOK, "exec"), names)


def scan(folder: Path, more: str = "") -> Call:
    """Every value is decoded, none is grouped.

    strlen: to compare the texts would take longer than to read them.
    """
    import duckdb

    connection = duckdb.connect(config={"threads": THREADS})
    query = f'SELECT max(segment), max(strlen("group")), sum(outcome){more} FROM read_parquet(?)'
    return lambda: connection.execute(query, [str(folder / "*.parquet")]).fetchall()


def by_ibis(folder: Path, covariate: str | None = None, whole: bool = False) -> Call:
    """The sums of helpers.scale on DuckDB, or (whole) the table of segments made of them."""
    import ibis

    from helpers import scale

    log = scale.read_log(ibis.duckdb.connect(threads=THREADS), folder)
    if whole:
        options = {"covariate": covariate, "user": "none"}
        return lambda: scale.compare_segments(log, "segment", "outcome", **options)
    return lambda: scale.sums(log, "segment", "outcome", covariate=covariate).execute()


def by_users(folder: Path) -> Call:
    """The sums of users with four rows each, in little memory: what does not fit goes to disk."""
    import ibis

    from helpers import scale

    connection = ibis.duckdb.connect(threads=THREADS, memory_limit=MEMORY)
    log = scale.read_log(connection, folder)
    log = log.mutate(user=log.user_id // 4)
    return lambda: scale.sums(log, "segment", "outcome", user="user").execute()


def by_command(folder: Path) -> Call:
    """The whole command: read, decide, toss coins, write the page."""

    def call() -> None:
        with tempfile.TemporaryDirectory() as out:
            given = ["--segment", "segment", "--outcome", "outcome", "--user", "none", "--out", out]
            command = [sys.executable, "-m", "tools.analyse", str(folder), *given]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)

    return call


def by_pandas(folder: Path) -> Call:
    """The log read into memory, then counts, means and variances by segment and arm."""
    import pandas as pd
    import pyarrow as pa

    pa.set_cpu_count(THREADS)
    columns = ["segment", "group", "outcome"]

    def call() -> pd.DataFrame:
        log = pd.read_parquet(folder, columns=columns)
        return log.groupby(columns[:2]).outcome.agg(["count", "mean", "var"])

    return call


def by_spark(folder: Path, covariate: str | None = None) -> Call:
    """The sums of helpers.scale on Spark."""
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
    USERS: by_users,
    ANALYSE: by_command,
    PANDAS: by_pandas,
    SPARK: by_spark,
}


def high_water(process: object = "self", name: str = "") -> float:
    """Peak memory in MiB of a process (of that name, if any), where Linux tells, else nan."""
    status = Path(f"/proc/{process}/status")
    text = status.read_text() if status.exists() else ""
    kib = re.search(rf"^Name:\s+{name}.*^VmHWM:\s+(\d+) kB$", text, re.MULTILINE | re.DOTALL)
    return int(kib[1]) / 2**10 if kib else math.nan


def peak() -> float:
    """Peak memory of this process in MiB."""
    memory = high_water()
    if sys.platform == "win32" or memory == memory:
        return memory
    import resource  # what it tells on Linux begins at the peak of the process that started this

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def peak_of_children() -> float:
    """Peak memory of the processes that this one started, in MiB, where the system tells."""
    if sys.platform == "win32":
        return math.nan
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit


def peak_of_java() -> float:
    """The same of the Java process that Spark started, where Linux tells."""
    from pyspark import SparkContext

    return high_water(SparkContext._gateway.proc.pid, "java$")


def apart(folder: Path) -> float:
    """The largest relative difference between Spark's numbers and DuckDB's.

    With the covariate and without.
    """
    keys = ["segment", "group"]
    largest = 0.0
    for covariate in (None, "before"):
        theirs = by_spark(folder, covariate)().set_index(keys).sort_index().astype(float)
        ours = by_ibis(folder, covariate)().set_index(keys).sort_index().astype(float)
        differences = (theirs - ours).abs() / ours.abs().where(ours != 0, 1)
        largest = max(largest, float(differences.fillna(math.inf).to_numpy().max()))
    return largest


def work(name: str, folder: str, rows: str, calls: str) -> None:
    """The other end of `measure`: call once, or several times and for a second.

    The first of several calls is to warm up.
    """
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
    if name == ANALYSE:
        found = found._replace(peak=peak_of_children())
    print(json.dumps(found))


def measure(name: str, folder: Path, rows: int, calls: int) -> Measured:
    """Run a contender in a new process; only pandas may run out of memory.

    Raises Failed where another does, or stops in another way.
    """
    command = [sys.executable, "-m", "tools.bench_scale", "--work", name]
    command += [str(folder), str(rows), str(calls)]
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder.parent
    )
    if name == PANDAS and (done.returncode == -9 or "MemoryError" in done.stderr):
        return Measured(math.nan)
    if done.returncode:
        said = done.stderr.splitlines() or ["No message."]
        raise Failed(said[-1])
    return Measured(*json.loads(done.stdout.splitlines()[-1]))


def measurements(
    folder: Path, rows: int, with_spark: bool
) -> Iterator[tuple[str, Measured | Failed]]:
    """The notebook, which writes the log; then everybody else on that log, in turns.

    Without a log there is nobody else.
    """
    try:
        yield NOTEBOOK, measure(NOTEBOOK, folder, rows, 1)
    except Failed as error:
        yield NOTEBOOK, error
        return
    turns = dict.fromkeys(CONTENDERS, TURNS)
    calls = dict.fromkeys(CONTENDERS, CALLS)
    turns[SPARK], calls[SPARK] = (1 if with_spark else 0), 4
    turns[ANALYSE], calls[ANALYSE] = (1 if rows < LARGE else 0), 1
    if rows >= LARGE:
        turns[PANDAS], calls[PANDAS] = 1, 2
    found: dict[str, Measured] = {}
    failed: dict[str, Failed] = {}
    for turn in range(TURNS):
        for name in CONTENDERS:
            if turn < turns[name] and name not in failed:
                try:
                    new = measure(name, folder, rows, calls[name])
                except Failed as error:
                    failed[name] = error
                    continue
                old = found.get(name, new)
                seconds = min(old.seconds, new.seconds)
                found[name] = new._replace(seconds=seconds, peak=max(old.peak, new.peak))
    for name in CONTENDERS:
        if name in failed:
            yield name, failed[name]
        elif name in found:
            yield name, found[name]


def three(number: float) -> str:
    """The number with three digits, or with all those before the point."""
    return f"{number:#.3g}".rstrip(".") if number < 999.5 else f"{number:,.0f}"


def duration(seconds: float) -> str:
    """Seconds as they are printed."""
    return "out of memory" if math.isnan(seconds) else f"{three(seconds)} s"


def mib(number: float) -> str:
    """MiB as they are printed."""
    return "not measured" if math.isnan(number) else f"{number:,.0f} MiB"


def peak_of_ibis(here: dict[str, Measured]) -> float:
    """The largest peak of all that Ibis is asked for, in MiB."""
    return max((here[name].peak for name in FLOORS if name in here), default=math.nan)


class Verdict(NamedTuple):
    """What follows the measurements in a line of the table; met is None where nothing is judged."""

    ratio: str = "-"
    target: str = "-"
    met: bool | None = None


def judged(number: float, text: str, target: str, met: bool, judge: bool) -> Verdict:
    """The verdict on a number (nan: not measured), or without `judge` the number alone."""
    if math.isnan(number):
        return Verdict()
    if not judge:
        return Verdict(text.format(number))
    return Verdict(text.format(number), target, met)


def verdict_of(here: dict[str, Measured], name: str, n: int) -> Verdict:
    """A contender against what it must be compared with, among the measurements of one size."""
    mine, large = here[name], n >= JUDGED
    if FLOORS.get(name, IBIS if name == PANDAS else name) not in here:
        return Verdict()  # that one failed
    if name in FLOORS:
        ratio = mine.seconds / here[FLOORS[name]].seconds
        judge = large and name != COMPARE
        return judged(ratio, "{:.2f} x the scan", "3 x at most", ratio <= 3, judge)
    if name == PANDAS:
        ratio = mine.seconds / here[IBIS].seconds
        return judged(ratio, "{:.1f} x Ibis", "5 x or more", ratio >= 5, large)
    if name == ANALYSE:
        most = IN_TIME.get(n, math.inf)
        met = mine.seconds <= most
        return judged(mine.seconds, "{:.1f} s", f"{most} s at most", met, n in IN_TIME)
    if name == SPARK:
        met = mine.apart <= 1e-9
        return judged(mine.apart, "{:.0e} from DuckDB", "1e-9 at most", met, True)
    return Verdict()


def growth_of_time(results: Results, n: int, name: str) -> Iterator[Row]:
    """A line for the time at n rows against a tenth of them."""
    tenth = n // 10
    if name in (IBIS, CUPED) and tenth >= JUDGED and name in results.get(tenth, {}):
        ratio = results[n][name].seconds / results[tenth][name].seconds
        verdict = judged(ratio, "{:.1f} x the time", "12 x at most", ratio <= 12, True)
        yield Row(f"{n:,} rows: {name}, against {tenth:,}", "-", "-", "-", *verdict)


def growth_of_peak(results: Results, n: int, name: str) -> Iterator[Row]:
    """A line for the peak at n rows against the smallest log: it is to stay flat."""
    complete = [size for size, here in results.items() if NOTEBOOK in here and size >= SIZES[0]]
    least = min(complete, default=n)
    if n < JUDGED or n <= least:
        return
    if name == NOTEBOOK:
        what, target = NOTEBOOK, "1.5 x at most"
        new, old = results[n][NOTEBOOK].peak, results[least][NOTEBOOK].peak
        met = new <= 1.5 * old
    elif name == COMPARE:  # the last of those on Ibis
        what, target = IBIS, "1.5 x or +150 MiB"
        new, old = peak_of_ibis(results[n]), peak_of_ibis(results[least])
        met = new <= max(1.5 * old, old + 150)
    else:
        return
    verdict = judged(new / old, "{:.2f} x the peak", target, met, True)
    yield Row(f"{n:,} rows: {what}, against {least:,}", "-", "-", mib(new), *verdict)


def rows_of(results: Results, n: int, name: str) -> Iterator[Row]:
    """The lines for one contender at n rows, with its targets."""
    mine = results[n][name]
    what = f"{n:,} rows: {name}"
    if name == SPARK:
        what += f" (first call {mine.first:.1f} s; peak of Java)"
    speed = "-" if math.isnan(mine.seconds) else three(n / mine.seconds / 1e6)
    verdict = verdict_of(results[n], name, n)
    yield Row(what, duration(mine.seconds), speed, mib(mine.peak), *verdict)
    yield from growth_of_time(results, n, name)
    yield from growth_of_peak(results, n, name)


def markdown(results: Results, no_spark: str) -> str:
    """The table for book/large_logs.md; no_spark: what is said where Spark was not asked."""
    titles = ["rows", SCAN, IBIS, "with CUPED", PANDAS, SPARK, f"peak of {IBIS}", "peak of pandas"]
    lines = [[*titles, f"{NOTEBOOK}, all of it", "its peak"], ["---:"] * 10]
    nothing = Measured(math.nan)
    for n, here in results.items():
        spark = no_spark or "failed"
        times = [
            duration(here[name].seconds) if name in here else spark if name == SPARK else "failed"
            for name in (SCAN, IBIS, CUPED, PANDAS, SPARK)
        ]
        peaks = [mib(peak_of_ibis(here)), mib(here.get(PANDAS, nothing).peak)]
        whole = [duration(here[NOTEBOOK].seconds) if NOTEBOOK in here else "failed"]
        whole.append(mib(here.get(NOTEBOOK, nothing).peak))
        lines.append([f"{n:,}", *times, *peaks, *whole])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class Parser(argparse.ArgumentParser):
    """One that refuses in a line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bench_scale: {message}\n")


def size(text: str) -> int:
    """A number of rows as it was typed, such as 1e6."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if number.is_integer() and 20_000 <= number <= 10**10:
            return int(number)
    raise argparse.ArgumentTypeError(
        f"{text} cannot be used; give whole numbers from 2e4 to 1e10, such as 1e6"
    )


def new_folder(parser: Parser, folder: Path) -> Path:
    """The folder for the logs, made; exits where it cannot be used or holds something."""
    where = folder.resolve()
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--folder {where} cannot be used ({error.strerror})")
    if any(where.iterdir()):
        parser.error(f"--folder {where} is not empty; name a new one")
    return where


def options(arguments: list[str] | None) -> argparse.Namespace:
    """What was typed; exits with 2 and one line where it cannot be used."""
    parser = Parser(prog="python -m tools.bench_scale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    sizes = "sizes of the log (default: 1e6 1e7 1e8)"
    parser.add_argument("rows", nargs="*", type=size, default=SIZES, help=sizes)
    keep = "keep the logs here (default: a temporary folder each)"
    parser.add_argument("--folder", type=Path, help=keep)
    parser.add_argument("--no-spark", action="store_true", help="do not ask Spark")
    given = parser.parse_args(arguments)
    given.rows = sorted(set(given.rows))
    if given.folder:
        where = new_folder(parser, given.folder)
        need = BYTES_A_ROW * sum(given.rows)
    else:
        where = Path(tempfile.gettempdir())
        need = BYTES_A_ROW * max(given.rows)
    free = shutil.disk_usage(where).free
    if free < need:
        there = f"{where} has {free / 1e9:.2g} GB free"
        parser.error(f"the log needs about {need / 1e9:.2g} GB, {there}; see --folder")
    return given


def missing_for_spark() -> str:
    """What Spark lacks here, pyspark or a Java that answers; "" when all is there."""
    if not find_spec("pyspark"):
        return "pyspark (make scale)"
    java = "java"
    if "JAVA_HOME" in os.environ:
        java = str(Path(os.environ["JAVA_HOME"]) / "bin" / "java")
    with contextlib.suppress(OSError):
        if subprocess.run([java, "-version"], capture_output=True).returncode == 0:
            return ""
    return "Java 17 or newer"


def without_spark(asked: bool) -> str:
    """What is said in Spark's place in the table; "" when it has one."""
    if not asked:
        return "not asked"
    missing = missing_for_spark()
    if not missing:
        return ""
    print(f"bench_scale: Spark is left out: it needs {missing}.", file=sys.stderr)
    return "not installed"


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and return the exit code."""
    given = options(arguments)
    no_spark = without_spark(asked=not given.no_spark)
    results: Results = {}
    met = []
    said = {True: "yes", False: "NO", None: "-"}
    line = "{:<65} {:>13} {:>14} {:>12} {:>18} {:>17}  {}".format
    titles = ("what", "time", "million rows/s", "peak memory", "ratio", "target", "met")
    print(line(*titles), flush=True)
    for n in given.rows:
        with tempfile.TemporaryDirectory(prefix="bench_scale_") as workshop:
            folder = (given.folder or Path(workshop)).resolve() / str(n)
            for name, found in measurements(folder, n, not no_spark):
                here = results.setdefault(n, {})
                if isinstance(found, Failed):
                    rows = [Row(f"{n:,} rows: {name}", "failed", met=False)]
                    print(f"bench_scale: {name} failed at {n:,} rows. {found}", file=sys.stderr)
                else:
                    here[name] = found
                    rows = list(rows_of(results, n, name))
                for row in rows:
                    met.append(row.met)
                    print(line(*row[:-1], said[row.met]), flush=True)
    print(f"{met.count(False)} of {len(met) - met.count(None)} targets missed.")
    print(f"\n{markdown(results, no_spark)}")
    return int(False in met)


if __name__ == "__main__":
    try:
        sys.exit(work(*sys.argv[2:]) if sys.argv[1:2] == ["--work"] else main())
    except KeyboardInterrupt:  # tools.command would import what is measured here
        print("tools.bench_scale: stopped; what stands above was measured.", file=sys.stderr)
        sys.exit(130)
