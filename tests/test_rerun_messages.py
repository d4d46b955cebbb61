"""The re-run command on bad input, or stopped: it says why and leaves nothing behind."""

import re

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from helpers import data, segments
from tests.guards import without_kernels
from tools import notebooks, rerun


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A series of two small notebooks, a place for results, and kernels that are never started."""
    folder = tmp_path / "course"
    folder.mkdir()
    for name in ("01_first.ipynb", "02_second.ipynb"):
        source = "customers_file = None\ntarget_cluster = 1  # which one\neffect = 3.0\n"
        knobs = new_code_cell(source, metadata={"tags": ["parameters"]})
        nbformat.write(
            new_notebook(cells=[knobs, new_code_cell("target_cluster = 1")]), folder / name
        )
    place = tmp_path / "results"
    place.mkdir()
    monkeypatch.setattr(notebooks, "find", lambda: sorted(folder.glob("*.ipynb")))
    without_kernels(monkeypatch)
    return place


BAD_COMMANDS = {
    "cluster": (["--target-cluster", "9"], "--target-cluster is 9, but", "0, 1, 2, 3"),
    "negative cluster": (["--target-cluster", "-1"], "--target-cluster is -1, but"),
    "no clusters": (
        ["--target-cluster", "1", "--n-clusters", "0"],
        "--n-clusters is 0",
        "whole number",
    ),
    "too many clusters": (["--target-cluster", "1", "--n-clusters", "500"], "--n-clusters is 500"),
    "small cluster": (
        ["--target-cluster", "0", "--n-clusters", "195"],
        "too small",
        "fewer clusters",
    ),
    "effect": (["--target-cluster", "1", "--effect", "nan"], "effect is nan"),
    "seed": (["--target-cluster", "1", "--seed", "-1"], "seed is -1", "from 0 to 4294967295"),
    "large seed": (["--target-cluster", "1", "--seed", str(2**32)], "seed is 4294967296"),
    "no file": (["--target-cluster", "1", "--customers", "no-such.csv"], "no file", "no-such.csv"),
}


@pytest.mark.parametrize("fault", BAD_COMMANDS)
def test_bad_command_says_why_and_writes_nothing(series, capsys, fault):
    arguments, *said = BAD_COMMANDS[fault]
    assert rerun.main([*arguments, "--out", str(series / "new")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("helpers.rerun: ")
    assert len(printed.err.splitlines()) <= 2
    assert all(words_said in printed.err for words_said in said)
    assert list(series.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--target-cluster", "one"],
        ["--target-cluster", "1", "--effect", "big"],
        ["--target-cluster", "1", "--cluster", "2"],
    ],
)
def test_command_line_that_cannot_be_read(series, capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        rerun.main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m helpers.rerun" in capsys.readouterr().err


def test_out_that_is_a_file_is_left_alone(series, capsys):
    (series / "mine.txt").write_text("keep", encoding="utf-8")
    for out in ("mine.txt", "mine.txt/new"):
        assert rerun.main(["--target-cluster", "1", "--out", str(series / out)]) == 2
        assert "mine.txt" in capsys.readouterr().err
    assert (series / "mine.txt").read_text(encoding="utf-8") == "keep"
    assert len(list(series.iterdir())) == 1


def test_own_file_with_a_fault_is_named(series, capsys):
    (series / "mine.csv").write_text(
        f"{','.join(data.COLUMNS)}\n1,Male,old,15,39\n", encoding="utf-8"
    )
    arguments = [
        "--target-cluster",
        "0",
        "--customers",
        str(series / "mine.csv"),
        "--out",
        str(series / "new"),
    ]
    assert rerun.main(arguments) == 2
    assert "mine.csv, column Age, line 2" in capsys.readouterr().err
    assert not (series / "new").exists()


@pytest.mark.parametrize(
    ("only", "numbers"),
    [("06", "06"), ("6", "06"), ("01-03", "01 02 03"), ("10, 01-02,02", "01 02 10")],
)
def test_a_part_of_the_series_is_typed_in_numbers(only, numbers):
    assert sorted(rerun.numbers_of(only)) == numbers.split()


@pytest.mark.parametrize("only", ["", "99", "0", "05-03", "09-99", "x", "1-", "-1", "1,,2", "006"])
def test_numbers_of_no_notebook_are_told(only, capsys):
    assert rerun.main(["--target-cluster", "1", "--only", only]) == 2
    last = notebooks.find()[-1].name[:2]
    said = f"helpers.rerun: --only is {only!r}. Give numbers from 01 to {last}, such as 06,"
    assert capsys.readouterr().err.startswith(said)


def test_a_part_of_the_series_is_executed_and_the_rest_stays(series, capsys):
    """What an earlier run left of the others is not touched."""
    command = ["--target-cluster", "1", "--out", str(series / "new")]
    assert rerun.main(command) == 0
    before = (series / "new/01_first.ipynb").read_bytes()
    capsys.readouterr()
    assert rerun.main([*command, "--only", "02", "--seed", "7", "--effect", "-1"]) == 0
    assert "Executing 1 notebook, 02.\n" in capsys.readouterr().err
    assert (series / "new/01_first.ipynb").read_bytes() == before
    assert "effect = -1.0" in (series / "new/02_second.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("limits", "size"), [(({"02": 40}, {}), 41), (({}, {"02": 60}), 61)], ids=["target", "any"]
)
def test_a_notebook_that_cannot_hold_so_many_customers_is_left_out(
    series, capsys, monkeypatch, limits, size
):
    """There are 41 in the target cluster, and 61 in the largest."""
    monkeypatch.setattr(notebooks, "MOST", limits)
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 0
    said = f"is left out: it holds {size - 1} customers of a cluster at most, not {size}.\n"
    assert f"02_second.ipynb {said}" in capsys.readouterr().err
    assert [path.name for path in (series / "new").glob("*.ipynb")] == ["01_first.ipynb"]
    assert rerun.main(["--target-cluster", "1", "--only", "2", "--out", str(series / "x")]) == 2
    assert "No notebook is left to execute" in capsys.readouterr().err
    monkeypatch.setattr(notebooks, "MOST", ({"02": 41}, {"02": 61}))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 0
    assert (series / "new/02_second.ipynb").exists()


def test_where_nothing_can_be_adjusted_07_is_left_out(tmp_path):
    """One customer far from 59 others, who are all alike: no regression holds there."""
    alike = data.load_customers().head(60).assign(**dict.fromkeys(segments.DEFAULT_FEATURES, 30))
    lonely = alike.copy()
    lonely.loc[0, list(segments.DEFAULT_FEATURES)] = 90
    for table, adjusted in ((lonely, False), (data.load_customers(), True)):
        clustered = segments.cluster_customers(table, 2)
        assert rerun.can_be_adjusted(clustered, 3.0, seed=2) == adjusted
    lonely.to_csv(tmp_path / "lonely.csv", index=False)
    knobs = {"customers_file": str(tmp_path / "lonely.csv"), "n_clusters": 2, "effect": 3.0}
    why = rerun.try_out(**knobs, target_cluster=0, seed=2)[1]
    assert why == {"07": "neither a cluster nor all customers together can be adjusted"}


def test_the_manual_says_what_is_left_out():
    manual = (notebooks.ROOT / "book/own_customers.md").read_text(encoding="utf-8")
    found = re.findall(r"(\d\d) where (the target|any) cluster has more than ([\d,]*\d)", manual)
    said = [
        {n: most for n, of, most in found if of == cluster} for cluster in ("the target", "any")
    ]
    assert said == [{n: f"{most:,}" for n, most in limit.items()} for limit in notebooks.MOST]


def test_help_lists_the_knobs_of_each_notebook(capsys):
    """Each line names what the cell of that notebook has, and nothing else."""
    with pytest.raises(SystemExit):
        rerun.main(["--help"])
    shown = capsys.readouterr().out
    for path in notebooks.find():
        (line,) = (line for line in shown.splitlines() if line.startswith(f"  {path.stem} "))
        knobs = notebooks.knobs_of(notebooks.read(path))
        for option, knob in (("--customers", "customers_file"), ("--effect", "effect")):
            assert (option in line.split()) == (knob in knobs)


def test_customers_of_one_score_are_told_before_notebook_07_stops(series, capsys):
    """Whatever a notebook would stop at, the preview says it."""
    data.load_customers().assign(**{data.COLUMNS[-1]: 50}).to_csv(series / "mine.csv", index=False)
    arguments = ["--target-cluster", "0", "--customers", str(series / "mine.csv")]
    assert rerun.main([*arguments, "--out", str(series / "new")]) == 2
    assert "All customers have the same spending score" in capsys.readouterr().err


def test_good_run_writes_every_notebook_with_its_knobs(series, capsys):
    own = data.FOLDER / "customers.csv"
    arguments = [
        "--target-cluster",
        "3",
        "--effect",
        "-2",
        "--customers",
        str(own),
        "--out",
        str(series / "new"),
    ]
    assert rerun.main(arguments) == 0
    assert sorted(path.name for path in series.rglob("*")) == [
        ".made_by_rerun.json",
        "01_first.ipynb",
        "02_second.ipynb",
        "new",
    ]
    first, second = nbformat.read(series / "new" / "01_first.ipynb", as_version=4).cells
    knobs = [f"customers_file = {str(own)!r}", "target_cluster = 3  # which one", "effect = -2.0"]
    assert first.source.splitlines() == knobs
    assert second.source == "target_cluster = 1"
    printed = capsys.readouterr()
    assert str(series / "new") in printed.out
    assert "Cluster 3 (" in printed.out


def stops_at_the_second(error):
    """Work that fails in the second notebook."""
    done = []

    def execute(notebook, folder):
        done.append(notebook)
        (folder / "half.csv").write_text("1", encoding="utf-8")
        if len(done) == 2:
            raise error

    return execute


def test_run_that_stops_midway_leaves_nothing(series, capsys, monkeypatch):
    without_kernels(
        monkeypatch, stops_at_the_second(CellExecutionError("", "InputError", "Mend row 2."))
    )
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    said = "02_second.ipynb stopped and nothing was written. InputError: Mend row 2."
    assert said in capsys.readouterr().err
    assert list(series.iterdir()) == []


def test_interrupted_run_leaves_nothing(series, monkeypatch):
    without_kernels(monkeypatch, stops_at_the_second(KeyboardInterrupt()))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 130
    assert list(series.iterdir()) == []


def test_earlier_results_survive_a_run_that_stops(series, monkeypatch):
    (series / "new").mkdir()
    (series / "new" / "01_first.ipynb").write_text("earlier", encoding="utf-8")
    without_kernels(monkeypatch, stops_at_the_second(CellExecutionError("", "ValueError", "no")))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    assert (series / "new" / "01_first.ipynb").read_text(encoding="utf-8") == "earlier"
    assert [path.name for path in series.rglob("*")] == ["new", "01_first.ipynb"]


@pytest.mark.parametrize(
    "error", [CellTimeoutError("too slow"), DeadKernelError("died")], ids=["timeout", "dead kernel"]
)
def test_kernel_that_hangs_or_dies_is_told_from_a_full_disk(series, capsys, monkeypatch, error):
    without_kernels(monkeypatch, stops_at_the_second(error))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    message = capsys.readouterr().err
    assert "02_second.ipynb" in message
    assert "Cannot write" not in message
    assert list(series.iterdir()) == []


def test_run_that_stops_midway_leaves_no_new_folders(series, monkeypatch):
    without_kernels(monkeypatch, stops_at_the_second(CellExecutionError("", "ValueError", "no")))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "far" / "away" / "new")]) == 2
    assert list(series.iterdir()) == []
