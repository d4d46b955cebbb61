"""The command behind `make bench-scale`.

A whole table on a tiny log, targets judged, refusals, nothing left behind. Spark is not started
here, and of the contenders only the notebook gets a process of its own: the others are quick.
"""

import contextlib
import io
import json
import math
import re
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import pandas as pd
import pytest

from tools import bench_scale as bench
from tools.notebooks import ROOT

ALONE = bench.measure
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ibis, about pandas 4


def measure_here(name, folder, rows, calls):
    if name == bench.NOTEBOOK:
        return ALONE(name, folder, rows, calls)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        bench.work(name, str(folder), str(rows), "1")
    return bench.Measured(*json.loads(said.getvalue()))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the command printed about 20,000 rows, and its exit code.

    Then the log it kept, and what is left in the temp place.
    """
    kept, place = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr(bench, "measure", measure_here)
        patch.setattr(bench, "TURNS", 1)
        patch.setattr(tempfile, "tempdir", str(place))
        patch.setenv("TMPDIR", str(place))
        code = bench.main(["2e4", "--no-spark", "--folder", str(kept)])
    return said.getvalue(), code, kept / "20000", list(place.iterdir())


def test_the_table_is_complete(run):
    text, code, _, left = run
    head, *lines = text.split("\n\n")[0].splitlines()
    assert (code, left) == (0, [])
    assert head.split() == [
        "what",
        "time",
        "million",
        "rows/s",
        "peak",
        "memory",
        "ratio",
        "target",
        "met",
    ]
    assert lines.pop() == "0 of 0 targets missed."
    asked = [name for name in (bench.NOTEBOOK, *bench.CONTENDERS) if name != bench.SPARK]
    assert [re.match(r"20,000 rows: (.*?)  ", line)[1] for line in lines] == asked
    for line in lines:
        time, peak = re.search(r" ([\d,.]+) s .* ([\d,]+) MiB ", line).groups()
        assert float(time) > 0 and int(peak.replace(",", "")) > 10


def test_the_table_for_the_readme_is_complete(run):
    head, dashes, row = (
        line.strip("| ").split(" | ") for line in run[0].split("\n\n")[1].splitlines()
    )
    assert head[:6] == ["rows", "bare scan", "Ibis on DuckDB", "with CUPED", "pandas", "Spark"]
    assert len(head) == len(dashes) == len(row) == 10 and set(dashes) == {"---:"}
    units = ["", " s", " s", " s", " s", None, " MiB", " MiB", " s", " MiB"]
    for cell, unit in zip(row, units, strict=True):
        assert (
            cell == "not asked"
            if unit is None
            else re.fullmatch(rf"[\d,.]*[1-9][\d,.]*{unit}", cell)
        )


def test_contenders_read_the_same_log(run):
    log = pd.read_parquet(run[2])
    assert len(log) == 20_000
    (found,) = bench.CONTENDERS[bench.SCAN_MORE](run[2])()
    assert found == pytest.approx(
        (log.segment.max(), len("treatment"), log.outcome.sum(), log.before.sum())
    )
    ours, theirs = (bench.CONTENDERS[name](run[2])() for name in (bench.IBIS, bench.PANDAS))
    ours = ours.set_index(["segment", "group"]).sort_index()[["n", "mean", "var"]]
    pd.testing.assert_frame_equal(ours, theirs.set_axis(ours.columns, axis=1), check_dtype=False)
    assert len(bench.CONTENDERS[bench.COMPARE](run[2])()) == len(ours) / 2


def test_nothing_large_is_imported_by_the_parent():
    code = "import sys, tools.bench_scale\n"
    code += "large = {'numpy', 'pandas', 'duckdb', 'ibis', 'helpers'}\n"
    code += "print(large & set(sys.modules))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
        ).stdout
        == "set()\n"
    )


# Judging


def made_up(n, **changes):
    """Measurements that meet every target.

    changes: what is measured of a contender, by its constant's name.
    """
    scale = n / 10**7
    seconds = dict(
        NOTEBOOK=30,
        SCAN=0.05,
        SCAN_MORE=0.07,
        IBIS=0.1,
        CUPED=0.15,
        COMPARE=0.2,
        USERS=2,
        ANALYSE=20,
        PANDAS=3,
        SPARK=1,
    )
    found = {
        name: bench.Measured(scale * s, 5.0, 300.0, 1e-12) for name, s in seconds.items()
    } | changes
    return {getattr(bench, name): measured for name, measured in found.items()}


def verdicts(results):
    rows = [
        row
        for n, here in results.items()
        for name in here
        for row in bench.rows_of(results, n, name)
    ]
    return [row for row in rows if row.met is False], [
        row.target for row in rows if row.met is not None
    ]


def test_all_targets_are_judged_at_full_size():
    missed, targets = verdicts({n: made_up(n) for n in bench.SIZES})
    assert missed == []
    assert [targets.count(target) for target in ("3 x at most", "5 x or more", "12 x at most")] == [
        4,
        2,
        2,
    ]
    assert [
        targets.count(target) for target in ("1.5 x at most", "1.5 x or +150 MiB", "1e-9 at most")
    ] == [2, 2, 3]


def test_only_spark_and_the_command_are_judged_below_ten_million_rows():
    slow = made_up(10**6, IBIS=bench.Measured(9, 9, 9e5), NOTEBOOK=bench.Measured(9, 9, 9e5))
    assert verdicts({20_000: made_up(20_000), 10**6: slow}) == (
        [],
        ["1e-9 at most", "10 s at most", "1e-9 at most"],
    )


MISSED = [
    ("IBIS", (1.6, 5, 300), "3.20 x the scan"),
    ("CUPED", (2.2, 5, 300), "3.14 x the scan"),
    ("PANDAS", (4.9, 5, 300), "4.9 x Ibis"),
    ("SPARK", (10, 5, 300, 2e-9), "2e-09 from DuckDB"),
    ("SPARK", (10, 5, 300, math.inf), "inf from DuckDB"),
    ("NOTEBOOK", (300, 5, 451), "1.50 x the peak"),
    ("CUPED", (1.5, 5, 460), "1.53 x the peak"),
]


@pytest.mark.parametrize(("name", "measured", "ratio"), MISSED)
def test_a_missed_target_is_seen(name, measured, ratio):
    results = {10**6: made_up(10**6), 10**8: made_up(10**8, **{name: bench.Measured(*measured)})}
    assert [row.ratio for row in verdicts(results)[0]] == [ratio]


def test_growth_that_is_not_linear_is_seen():
    large = {"IBIS": bench.Measured(1.21, 5, 300), "SCAN": bench.Measured(0.6, 5, 300)}
    missed, _ = verdicts({10**7: made_up(10**7), 10**8: made_up(10**8, **large)})
    assert [(row.what, row.ratio) for row in missed] == [
        ("100,000,000 rows: Ibis on DuckDB, against 10,000,000", "12.1 x the time")
    ]


def test_what_was_not_measured_is_not_judged():
    nothing = {"NOTEBOOK": bench.Measured(30, 5), "PANDAS": bench.Measured(math.nan)}
    results = {10**6: made_up(10**6), 10**8: made_up(10**8, **nothing)}
    missed, targets = verdicts(results)
    assert missed == [] and "5 x or more" not in targets and "1.5 x at most" not in targets
    assert "| out of memory |" in bench.markdown(results, "") and "nan" not in bench.markdown(
        results, ""
    )
    assert "nan" not in str(list(bench.rows_of(results, 10**8, bench.PANDAS)))


@pytest.mark.parametrize(("ibis", "code"), [(0.1, 0), (0.4, 1)])
def test_the_exit_code_tells_of_missed_targets(monkeypatch, capsys, ibis, code):
    found = made_up(10**7, IBIS=bench.Measured(ibis, 5, 300))
    monkeypatch.setattr(bench, "measure", lambda name, *_: found[name])
    assert bench.main(["1e7", "--no-spark"]) == code
    assert f"{code} of 4 targets missed." in capsys.readouterr().out


# Refusals, and what is left behind


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        bench.main(arguments)
    said = capsys.readouterr()
    assert (stop.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    return said.err


@pytest.mark.parametrize(
    "size", ["many", "", "-5", "0", "999", "1.5", "1000.5", "nan", "inf", "1e11", "1,000"]
)
def test_nonsense_sizes_are_refused(size, capsys):
    assert "such as 1e6" in refused(["1e6", size], capsys)


def test_other_nonsense_is_refused(tmp_path, capsys, monkeypatch):
    (tmp_path / "old").write_text("a log")
    assert "unrecognized" in refused(["--sparkle"], capsys)
    assert "is not empty" in refused(["2e4", "--folder", str(tmp_path)], capsys)
    assert "cannot be used" in refused(["2e4", "--folder", str(tmp_path / "old")], capsys)
    monkeypatch.setattr(bench.shutil, "disk_usage", lambda _: SimpleNamespace(free=10**9))
    assert "needs about 1.3 GB" in refused(["1e8"], capsys)


def test_only_pandas_may_run_out_of_memory(tmp_path, monkeypatch):
    killed = SimpleNamespace(returncode=-9, stderr="", stdout="")
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: killed)
    assert math.isnan(bench.measure(bench.PANDAS, tmp_path, 10**8, 1).seconds)
    with pytest.raises(bench.Failed, match=r"No message\."):
        bench.measure(bench.IBIS, tmp_path, 10**8, 1)


def test_spark_that_is_missing_is_said(tmp_path, monkeypatch, capsys):
    found = made_up(20_000)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(bench, "measure", lambda name, *_: found[name])
    assert bench.main(["2e4"]) == 0
    said = capsys.readouterr()
    assert "| not installed |" in said.out and "rows: Spark" not in said.out
    assert said.err.startswith("bench_scale: Spark is left out: it needs ")
    assert said.err.count("\n") == 1


def test_the_command_refuses_too():
    command = [sys.executable, "-m", "tools.bench_scale", "many"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_sizes_as_they_are_typed():
    assert [bench.size(text) for text in ("1e5", "20000", "1_000_000", "2.5e6")] == [
        10**5,
        20_000,
        10**6,
        2_500_000,
    ]


@pytest.mark.parametrize("name", ["SCAN", "IBIS", "COMPARE", "PANDAS", "NOTEBOOK"])
def test_a_contender_that_fails_is_a_row_and_the_table_goes_on(name, monkeypatch, capsys):
    found = {n: made_up(n) for n in bench.SIZES[:2]}
    broken = getattr(bench, name)

    def measure(name, _folder, rows, _calls):
        if name == broken and rows == 10**7:
            raise bench.Failed("MemoryError")
        return found[rows][name]

    monkeypatch.setattr(bench, "measure", measure)
    assert bench.main(["1e6", "1e7", "--no-spark"]) == 1
    said = capsys.readouterr()
    assert said.err == f"bench_scale: {broken} failed at 10,000,000 rows. MemoryError\n"
    (line,) = (line for line in said.out.splitlines() if " failed  " in line)
    assert line.startswith(f"10,000,000 rows: {broken} ") and line.endswith("NO")
    assert "1,000,000 rows: pandas" in said.out
    assert "1 of " in said.out and said.out.splitlines()[-1].startswith("| 10,000,000 |")
    assert "nan" not in said.out


def test_a_failure_says_who_failed_and_leaves_no_log(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(bench, "NOTEBOOK", "notebook 11")  # the child knows no such contender
    assert bench.main(["2e4", "--no-spark"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("bench_scale: notebook 11 failed at 20,000 rows. KeyError")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_no_log(tmp_path, monkeypatch):
    def write_half(name, folder, *_):
        folder.mkdir()
        (folder / "0.parquet").write_text("half a log")
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(bench, "measure", write_half)
    with pytest.raises(KeyboardInterrupt):
        bench.main(["2e4"])
    assert list(tmp_path.iterdir()) == []
