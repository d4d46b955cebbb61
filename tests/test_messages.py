"""Bad input: a message of one or two lines that says what is wrong, where, and what to type instead."""

import math

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook
from pandas.testing import assert_frame_equal

from helpers import (
    InputError,
    adjustment,
    data,
    experiment,
    heterogeneity,
    inference,
    power,
    segments,
    sequential,
    words,
)
from tools import notebooks, rerun

NAMES = "CustomerID,Gender,Age,Annual Income (k$),Spending Score (1-100)"
ROWS = ("1,Male,20,15,39", "2,Female,21,16,81", "3,Male,22,17,6")
CLUSTERED = segments.cluster_customers(data.load_customers())


def guard_message(call, *said):
    """`call` must refuse its input with an InputError of one or two lines that hold every word of `said`."""
    with pytest.raises(InputError) as refused:
        call()
    message = str(refused.value)
    assert 1 <= len(message.splitlines()) <= 2
    assert message.endswith(".")
    assert "None" not in message
    for words_said in said:
        assert words_said in message


def test_a_mute_refusal_and_a_traceback_are_caught():
    def fails(error):
        def call():
            raise error

        return call

    guard_message(
        fails(InputError("Age is blank in row 2: fill it in.")), "Age", "row 2", "fill it in"
    )
    for faulty in (
        InputError("Bad value."),
        InputError("Age:\nrow 2\nfill it in."),
        InputError("Age row 2 fill it in"),
    ):
        with pytest.raises(AssertionError):
            guard_message(fails(faulty), "Age", "row 2", "fill it in")
    with pytest.raises(KeyError):
        guard_message(fails(KeyError("Age")))


def test_input_error_is_a_value_error_shown_without_traceback():
    error = InputError("Mend row 2.")
    assert isinstance(error, ValueError)
    assert error._render_traceback_() == ["InputError: Mend row 2."]


# Customer files


@pytest.fixture
def load(tmp_path):
    """Write a file, then read it back as customers."""

    def write_and_load(*lines, encoding="utf-8"):
        path = tmp_path / "mine.csv"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))
        return data.load_customers(path)

    return write_and_load


def each(change):
    return [change(line) for line in (NAMES, *ROWS)]


def with_column(name, value):
    return [f"{NAMES},{name}", *(f"{row},{value}" for row in ROWS)]


BAD_FILES = {
    "header only": ([NAMES], "no customers", "Add one line"),
    "missing column": (
        each(lambda line: line[: line.rfind(",")]),
        "lacks",
        "'Spending Score (1-100)'",
        "Rename",
    ),
    "semicolons": (
        each(lambda line: line.replace(",", ";")),
        "'CustomerID;Gender;Age",
        "commas stand between",
    ),
    "tabs": (each(lambda line: line.replace(",", "\t")), "lacks", "commas stand between"),
    "no names": (
        list(ROWS),
        "lacks",
        "'CustomerID'",
        "its columns are '1', 'Male'",
        "the first line holds the names",
    ),
    "repeated name": (
        each(lambda line: line.replace("Gender", "Age")),
        "'Age' more than once",
        "Keep one",
    ),
    "column Cluster": (with_column("Cluster", 1), "'Cluster'", "Rename yours"),
    "column group": (with_column("group", "a"), "'group'", "Rename yours"),
    "column outcome": (with_column("outcome", 1), "'outcome'", "Rename yours"),
    "duplicate id": (
        [NAMES, *ROWS, ROWS[0]],
        "column CustomerID, row 4: 1 ",
        "twice",
        "keep one row for a customer",
    ),
    "blank age": ([NAMES, ROWS[0], "2,Female,,16,81"], "column Age, row 2", "blank", "fill it in"),
    "spaces for a gender": ([NAMES, "1,  ,20,15,39"], "column Gender, row 1", "blank"),
    "blank id": ([NAMES, ROWS[0], ",Female,21,16,81"], "column CustomerID, row 2", "blank"),
    "many blanks": (
        [NAMES, *ROWS, "4,Male,,1,1", "5,Male,,1,1"],
        "column Age, row 4",
        "2 such rows in all",
    ),
    "only commas": ([NAMES, ROWS[0], ",,,,"], "row 2", "blank"),
    "too few values": (
        [NAMES, ROWS[0], "2,Female,21,16"],
        "column Spending Score (1-100), row 2",
        "blank",
    ),
    "too many values in one row": (
        [NAMES, ROWS[0], f"{ROWS[1]},9"],
        "Expected 5 fields in line 3, saw 6",
    ),
    "too many values in every row": (
        [NAMES, *(f"A-{row},9" for row in ROWS)],
        "more values in a row than names",
    ),
    "text for a number": (
        [NAMES, ROWS[0], "2,Female,old,16,81"],
        "column Age, row 2: old is not",
        "such as 42",
    ),
    "thousands comma": (
        [NAMES, '1,Male,20,"1,500",39'],
        "column Annual Income (k$), row 1: 1,500 is not a number",
    ),
    "per cent": (
        [NAMES, "1,Male,20,15,39%"],
        "column Spending Score (1-100), row 1: 39% is not a number",
    ),
    "true": ([NAMES, "1,Male,True,15,39"], "column Age, row 1: True is not a number"),
    "infinite": (
        [NAMES, "1,Male,20,inf,39"],
        "column Annual Income (k$), row 1: inf",
        "from 0 to 10,000",
    ),
    "negative age": (
        [NAMES, ROWS[0], "2,Female,-3,16,81"],
        "column Age, row 2: -3 is impossible",
        "from 0 to 120",
    ),
    "score of zero": (
        [NAMES, "1,Male,20,15,0"],
        "column Spending Score (1-100), row 1: 0",
        "from 1 to 100",
    ),
    "income in dollars": (
        [NAMES, "1,Male,20,15000,39"],
        "Annual Income (k$), row 1: 15000",
        "from 0 to 10,000",
    ),
    "open quote": (
        [NAMES, '1,"Male,20,15,39'],
        "cannot be read as a table",
        "Save it as CSV, utf-8",
    ),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_customer_file(load, fault):
    lines, *said = BAD_FILES[fault]
    guard_message(lambda: load(*lines), "mine.csv", *said)


NO_TABLES = {
    "empty": b"",
    "blank lines": b"\n\n",
    "latin-1": "Âge\n".encode("latin-1"),
    "utf-16": NAMES.encode("utf-16"),
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("content", NO_TABLES.values(), ids=NO_TABLES)
def test_file_that_is_no_table(tmp_path, content):
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    guard_message(
        lambda: data.load_customers(path),
        "mine.csv",
        "cannot be read as a table",
        "Save it as CSV, utf-8",
    )


def test_missing_file_and_folder(tmp_path):
    guard_message(
        lambda: data.load_customers(tmp_path / "no.csv"), "no file", "no.csv", "Check the spelling"
    )
    guard_message(
        lambda: data.load_customers(str(tmp_path)), tmp_path.name, "cannot be read as a table"
    )


GOOD_FILES = {
    "as it is": [NAMES, *ROWS],
    "Genre for Gender": each(lambda line: line.replace("Gender", "Genre")),
    "spaces around names": [NAMES.replace(",", " , "), *ROWS],
    "byte order mark": ["\ufeff" + NAMES, *ROWS],
    "columns in another order": each(lambda line: ",".join(reversed(line.split(",")))),
    "carriage returns": each(lambda line: f"{line}\r"),
    "blank lines": [NAMES, "", ROWS[0], ROWS[1], "", ROWS[2]],
}


@pytest.mark.parametrize("kind", GOOD_FILES)
def test_good_customer_file(load, kind):
    expected = pd.DataFrame([row.split(",") for row in ROWS], columns=NAMES.split(","))
    numbers = {name: "int64" for name in expected if name != "Gender"}
    assert_frame_equal(load(*GOOD_FILES[kind]), expected.astype(numbers).astype({"Gender": "str"}))


def test_rows_keep_their_order_and_extra_columns_stand_behind(load):
    table = load(
        *(f"{note},{line}" for note, line in zip("nABC", (NAMES, *reversed(ROWS)), strict=True))
    )
    assert table["CustomerID"].tolist() == [3, 2, 1]
    assert list(table) == [*NAMES.split(","), "n"]
    assert table["n"].tolist() == ["A", "B", "C"]


def test_broken_years_and_text_ids_are_welcome(load):
    table = load(NAMES, "A-1,Male,20.5,15,39", "A-2,Male,21,15.25,39")
    assert table["Age"].tolist() == [20.5, 21]
    assert table["CustomerID"].tolist() == ["A-1", "A-2"]


def test_the_readers_table_is_not_changed():
    customers = data.load_customers()
    before = customers.copy()
    clustered = segments.cluster_customers(customers)
    rows = experiment.simulate_experiment(clustered, 1)
    rows["Age"] = 0
    segments.profile_clusters(clustered)
    assert_frame_equal(customers, before)
    assert_frame_equal(clustered[list(before)], before)
    assert list(clustered) == [*before, "Cluster"]


# Everything else that can be typed


def compare(control, treatment=(1, 2, 3), **options):
    return lambda: inference.compare_means(control, treatment, **options)


def from_stats(*six):
    return lambda: inference.compare_means_from_stats(*six)


def bootstrap(control=(1, 2, 4), treatment=(1, 2, 3), **options):
    return lambda: inference.bootstrap_ci(control, treatment, **options)


def simulate(target_cluster=1, **options):
    return lambda: experiment.simulate_experiment(CLUSTERED, target_cluster, **options)


def cluster(table=CLUSTERED, *arguments, **options):
    return lambda: segments.cluster_customers(table, *arguments, **options)


def sized(**options):
    return lambda: power.sample_size(**{"effect": 3, "sd": 11} | options)


def detectable(**options):
    return lambda: power.minimum_detectable_effect(**{"n_per_group": 20, "sd": 11} | options)


def ratio(*arguments):
    return lambda: experiment.sample_ratio_p(*arguments)


def one_each():
    """Two customers in a cluster can never be two in each arm."""
    table = CLUSTERED[CLUSTERED["Cluster"] == 1].head(2)
    return lambda: experiment.simulate_experiment(table, 1)


def with_age(value):
    return CLUSTERED.assign(Age=CLUSTERED["Age"].astype(object).where(CLUSTERED.index != 3, value))


TWINS = pd.concat([CLUSTERED.head(3)] * 2, ignore_index=True)
FEW_RUNS = experiment.simulate_many([1, 2, 3, 4], 2)
BAD_CALLS = {
    "cluster: none": (cluster(n_clusters=0), "n_clusters is 0", "whole number from 1 to 200"),
    "cluster: half": (cluster(n_clusters=2.5), "n_clusters is 2.5", "whole number"),
    "cluster: negative": (cluster(n_clusters=-1), "n_clusters is -1"),
    "cluster: true": (cluster(n_clusters=True), "n_clusters is True", "whole number"),
    "cluster: too many": (
        cluster(n_clusters=201),
        "n_clusters is 201",
        "from 1 to 200",
        "200 rows",
    ),
    "cluster: twins": (cluster(TWINS, 4), "from 1 to 3", "different", "6 rows"),
    "cluster: unknown column": (
        cluster(features=["Age", "Shoes"]),
        "'Shoes'",
        "Choose from: CustomerID, Gender",
    ),
    "cluster: text": (cluster(features=["Gender"]), "'Gender'", "text", "Leave it out"),
    "cluster: text in numbers": (cluster(with_age("old")), "'Age'", "text"),
    "cluster: blank": (cluster(with_age(np.nan).astype({"Age": float})), "'Age'", "blanks"),
    "target: unknown": (simulate(9), "target_cluster is 9, but the clusters are 0, 1, 2, 3"),
    "target: negative": (simulate(-1), "is -1, but", "0, 1, 2, 3"),
    "target: between": (simulate(1.5), "is 1.5, but", "0, 1, 2, 3"),
    "target: none": (simulate(math.nan), "is nan, but", "0, 1, 2, 3"),
    "target: not clustered": (
        lambda: segments.select_cluster(TWINS[["Age"]], 1),
        "'Cluster'",
        "cluster_customers",
    ),
    "target: too small": (
        one_each(),
        "target_cluster is 1, a cluster too small",
        "1 of its 2 customers",
        "two",
        "another cluster",
    ),
    "effect: nan": (simulate(effect=math.nan), "effect is nan", "such as 3.0, 0 or -2"),
    "effect: infinite": (simulate(effect=math.inf), "effect is inf"),
    "noise: negative": (simulate(noise_sd=-1), "noise_sd is -1", "0 or more"),
    "noise: nan": (simulate(noise_sd=math.nan), "noise_sd is nan"),
    "noise: infinite": (simulate(noise_sd=math.inf), "noise_sd is inf"),
    "ratio: nobody": (ratio(0, 0), "0 and 0 users", "not both zero"),
    "ratio: negative": (ratio(-1, 5), "-1 and 5 users", "two counts"),
    "ratio: nan": (ratio(math.nan, 5), "two counts"),
    "ratio: infinite": (ratio(5, math.inf), "two counts"),
    "share: 0": (ratio(5, 4, 0), "expected_share is 0", "such as 0.5"),
    "share: 1": (ratio(5, 4, 1), "expected_share is 1", "between 0 and 1"),
    "share: per cent": (ratio(5, 4, 50), "expected_share is 50", "between 0 and 1"),
    "arm: one": (compare([1]), "control arm has 1 customer", "at least two"),
    "arm: empty": (compare([]), "control arm has 0 customers", "at least two"),
    "arm: blank": (compare([1, 2, math.nan]), "control arm", "blank or infinite", "position 2"),
    "arm: missing": (compare([1, None, 3]), "control arm", "position 1"),
    "arm: infinite": (compare([1, 2], [-math.inf, 1]), "treatment arm", "position 0"),
    "arm: text": (compare(["a", "b"]), "control arm", "not numbers", "one number per customer"),
    "arm: 2-D": (compare([1, 2], [[1, 2], [3, 4]]), "treatment arm has 2 dimensions", "one row"),
    "arm: table": (compare(CLUSTERED[["Age"]]), "control arm has 2 dimensions"),
    "arm: number": (compare(5), "control arm has 0 dimensions"),
    "arms: constant": (compare([1, 1, 1], [2, 2, 2]), "Neither arm varies"),
    "confidence: per cent": (compare([1, 2], confidence=95), "confidence is 95", "such as 0.95"),
    "confidence: 0": (compare([1, 2], confidence=0), "confidence is 0", "between 0 and 1"),
    "confidence: nan": (compare([1, 2], confidence=math.nan), "confidence is nan"),
    "confidence: many": (lambda: inference.welch_many(*FEW_RUNS, confidence=1), "confidence is 1"),
    "six numbers: n": (from_stats(1, 1, 1, 2, 1, 5), "control arm has n = 1", "at least two"),
    "six numbers: n nan": (from_stats(1, 1, 5, 2, 1, math.nan), "treatment arm has n = nan"),
    "six numbers: sd": (
        from_stats(1, 1, 5, 2, -1, 5),
        "treatment arm has mean 2 and sd -1",
        "0 or more",
    ),
    "six numbers: mean": (
        from_stats(math.nan, 1, 5, 2, 1, 5),
        "control arm has mean nan",
        "finite",
    ),
    "six numbers: constant": (from_stats(1, 0, 5, 2, 0, 5), "Neither arm varies"),
    "bootstrap: method": (bootstrap(method="bca"), "'bca'", "'percentile', 'basic' or 'BCa'"),
    "bootstrap: few": (bootstrap(n_resamples=99), "n_resamples is 99", "5000 is usual"),
    "bootstrap: arm": (bootstrap([1]), "control arm", "at least two"),
    "bootstrap: confidence": (bootstrap(confidence=1), "confidence is 1"),
    "bootstrap: constant, basic": (bootstrap([1, 1], [2, 2], method="basic"), "Neither arm varies"),
    "bootstrap: constant, BCa": (bootstrap([1, 1], [2, 2], method="BCa"), "Neither arm varies"),
    "power: n": (lambda: power.power(1, 3, 11), "n_per_group is 1", "at least 2"),
    "power: n infinite": (lambda: power.power(math.inf, 3, 11), "n_per_group is inf"),
    "power: effect": (lambda: power.power(20, math.nan, 11), "effect is nan", "such as 3.0"),
    "power: sd": (lambda: power.power(20, 3, 0), "sd is 0", "above 0"),
    "power: sd nan": (lambda: power.power(20, 3, math.nan), "sd is nan"),
    "power: alpha": (lambda: power.power(20, 3, 11, 5), "alpha is 5", "such as 0.05"),
    "size: power 1": (sized(power=1), "power is 1", "below 1"),
    "size: per cent": (sized(power=80), "power is 80", "such as 0.8"),
    "size: power at alpha": (sized(power=0.05), "above alpha (0.05)"),
    "size: sd": (sized(sd=-11), "sd is -11"),
    "size: alpha": (sized(alpha=0), "alpha is 0"),
    "size: effect": (sized(effect=math.inf), "effect is inf"),
    "mde: n": (detectable(n_per_group=1), "n_per_group is 1"),
    "mde: power": (detectable(power=0), "power is 0", "such as 0.8"),
    "mde: sd": (detectable(sd=0), "sd is 0"),
    "worth: 0": (lambda: words.verdict_label(-1, 1, worth=0), "worth is 0", "above 0"),
    "worth: nan": (lambda: words.verdict_label(-1, 1, worth=math.nan), "worth is nan"),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    call, *said = BAD_CALLS[fault]
    guard_message(call, *said)


# Re-runs


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
    monkeypatch.setattr(notebooks, "execute", lambda notebook, folder, on_cell=None: None)
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
    (series / "mine.csv").write_text(f"{NAMES}\n1,Male,old,15,39\n", encoding="utf-8")
    arguments = [
        "--target-cluster",
        "0",
        "--customers",
        str(series / "mine.csv"),
        "--out",
        str(series / "new"),
    ]
    assert rerun.main(arguments) == 2
    assert "mine.csv, column Age, row 1" in capsys.readouterr().err
    assert not (series / "new").exists()


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
    """An `execute` that fails in the second notebook."""
    done = []

    def execute(notebook, folder, on_cell=None):
        done.append(notebook)
        (folder / "half.csv").write_text("1", encoding="utf-8")
        if len(done) == 2:
            raise error

    return execute


def test_run_that_stops_midway_leaves_nothing(series, capsys, monkeypatch):
    monkeypatch.setattr(
        notebooks,
        "execute",
        stops_at_the_second(CellExecutionError("", "InputError", "Mend row 2.")),
    )
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    assert (
        "02_second.ipynb stopped and nothing was written. InputError: Mend row 2."
        in capsys.readouterr().err
    )
    assert list(series.iterdir()) == []


def test_interrupted_run_leaves_nothing(series, monkeypatch):
    monkeypatch.setattr(notebooks, "execute", stops_at_the_second(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        rerun.main(["--target-cluster", "1", "--out", str(series / "new")])
    assert list(series.iterdir()) == []


def test_earlier_results_survive_a_run_that_stops(series, monkeypatch):
    (series / "new").mkdir()
    (series / "new" / "01_first.ipynb").write_text("earlier", encoding="utf-8")
    monkeypatch.setattr(
        notebooks, "execute", stops_at_the_second(CellExecutionError("", "ValueError", "no"))
    )
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    assert (series / "new" / "01_first.ipynb").read_text(encoding="utf-8") == "earlier"
    assert [path.name for path in series.rglob("*")] == ["new", "01_first.ipynb"]


@pytest.mark.parametrize(
    "error", [CellTimeoutError("too slow"), DeadKernelError("died")], ids=["timeout", "dead kernel"]
)
def test_kernel_that_hangs_or_dies_is_told_from_a_full_disk(series, capsys, monkeypatch, error):
    monkeypatch.setattr(notebooks, "execute", stops_at_the_second(error))
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "new")]) == 2
    message = capsys.readouterr().err
    assert "02_second.ipynb" in message
    assert "Cannot write" not in message
    assert list(series.iterdir()) == []


def test_run_that_stops_midway_leaves_no_new_folders(series, monkeypatch):
    monkeypatch.setattr(
        notebooks, "execute", stops_at_the_second(CellExecutionError("", "ValueError", "no"))
    )
    assert rerun.main(["--target-cluster", "1", "--out", str(series / "far" / "away" / "new")]) == 2
    assert list(series.iterdir()) == []


# Files and calls that must be refused with a message of their own, and not by a library's traceback


SHIFTED_FILES = {
    "a value more than names in every row": (
        [NAMES, *(f"{row},9" for row in ROWS)],
        "more values in a row than names",
    ),
    "name repeated with a space": ([f"{NAMES}, Age", *(f"{row},9" for row in ROWS)], "Age"),
}


@pytest.mark.parametrize("fault", SHIFTED_FILES)
def test_shifted_or_repeated_columns(load, fault):
    lines, *said = SHIFTED_FILES[fault]
    guard_message(lambda: load(*lines), "mine.csv", *said)


SCORES = [39.0, 81, 6, 77]
REFUSED_CALLS = {
    "cluster: word": (cluster(n_clusters="four"), "n_clusters is", "whole number"),
    "cluster: nan": (cluster(n_clusters=math.nan), "n_clusters is nan", "whole number"),
    "cluster: infinite": (cluster(n_clusters=math.inf), "n_clusters is inf", "whole number"),
    "cluster: no features": (cluster(features=[]), "feature"),
    "cluster: infinite age": (cluster(CLUSTERED.assign(Age=math.inf)), "'Age'"),
    "cluster: nobody": (cluster(CLUSTERED.head(0)), "no customers"),
    "cluster: seed": (cluster(seed=-1), "seed is -1"),
    "simulate: seed": (simulate(seed=-1), "seed is -1"),
    "simulate: half a seed": (simulate(seed=2.5), "seed is 2.5"),
    "bootstrap: seed": (bootstrap(seed=-1), "seed is -1"),
    "bootstrap: broken n_resamples": (bootstrap(n_resamples=150.5), "n_resamples is 150.5"),
    "bootstrap: constant, percentile": (bootstrap([1, 1], [2, 2]), "Neither arm varies"),
    "arms: constant, not binary": (compare([0.1] * 3, [0.3] * 3), "Neither arm varies"),
    "many: noise": (lambda: experiment.simulate_many(SCORES, 3, noise_sd=-1), "noise_sd is -1"),
    "replay: noise": (lambda: experiment.replay_seeds(SCORES, [1], noise_sd=-1), "noise_sd is -1"),
    "replay: no seeds": (lambda: experiment.replay_seeds(SCORES, []), "seed"),
}


@pytest.mark.parametrize("fault", REFUSED_CALLS)
def test_call_that_a_library_refuses(fault):
    call, *said = REFUSED_CALLS[fault]
    guard_message(call, *said)


@pytest.mark.parametrize(
    ("call", "said"),
    [(simulate("1"), "target_cluster is '1', but"), (cluster(n_clusters="4"), "n_clusters is '4'")],
    ids=["target_cluster", "n_clusters"],
)
def test_a_number_typed_as_text_is_quoted(call, said):
    guard_message(call, said)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (compare([1]), "1 customer;"),
        (compare([1, 2, math.nan]), "blank or infinite values: 1, the first at position 2"),
    ],
    ids=["customer", "value"],
)
def test_one_is_not_a_plural(call, said):
    guard_message(call, said)


def test_customers_stacked_from_two_tables_can_be_clustered():
    """Row labels that repeat, as pd.concat leaves them, do no harm."""
    twice = pd.concat([CLUSTERED, CLUSTERED])
    assert (
        segments.cluster_customers(twice)["Cluster"].tolist() == CLUSTERED["Cluster"].tolist() * 2
    )


def test_a_comma_at_the_end_of_every_row_loses_nothing(load):
    """Some programs end each row so; the columns must not slip to the left."""
    assert (
        load(NAMES, *(f"{row}," for row in ROWS))["Age"].tolist()
        == load(NAMES, *ROWS)["Age"].tolist()
    )


# Experiment logs

LOG_NAMES = "user_id,age,plan,group,bought"
LOG_ROWS = ("1,20,pro,control,0", "2,35,free,test,1", "3,50,free,control,1", "4,22,pro,test,0")


@pytest.fixture
def load_log(tmp_path):
    """Write a file, then read it back as an experiment log."""

    def write_and_load(*lines, **options):
        path = tmp_path / "log.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return data.load_log(path, **{"outcome": "bought"} | options)

    return write_and_load


GOOD_LOG = [LOG_NAMES, *LOG_ROWS]


def one_more(row):
    return [*GOOD_LOG, row]


def many_users(value):
    return [LOG_NAMES, *(f"{i},30,{value(i)},{('control', 'test')[i % 2]},1" for i in range(61))]


NO_AGE = [",".join(line.split(",")[2:]) for line in GOOD_LOG]
BY_PLAN = {"segment": "plan"}
BAD_LOGS = {
    # lines, options, words of the message
    "empty": ([], {}, "cannot be read as a table", "Save it as CSV, utf-8"),
    "header only": ([LOG_NAMES], {}, "no customers", "Add one line"),
    "no age, no age_band": (
        NO_AGE,
        {},
        "lacks 'age_band'",
        "'plan', 'group', 'bought'",
        "Rename or add",
    ),
    "no such segment": (GOOD_LOG, {"segment": "country"}, "lacks 'country'", "'plan'", "Rename"),
    "no such outcome": (GOOD_LOG, {"outcome": "revenue"}, "lacks 'revenue'", "Rename or add"),
    "no such group": (GOOD_LOG, {"group": "arm"}, "lacks 'arm'", "Rename or add"),
    "nothing there": (NO_AGE, {"outcome": "x", "group": "y"}, "lacks 'age_band', 'x', 'y'"),
    "no names": (
        list(LOG_ROWS),
        {},
        "lacks 'age_band'",
        "its columns are '1', '20'",
        "the first line holds the names",
    ),
    "outcome named twice": (
        [f"{LOG_NAMES},bought", *(f"{row},1" for row in LOG_ROWS)],
        {},
        "'bought' more than once",
        "Keep one",
    ),
    "age named twice": (
        [f"{LOG_NAMES},age", *(f"{row},1" for row in LOG_ROWS)],
        {},
        "'age' more than once",
    ),
    "a value too many": (
        [LOG_NAMES, *(f"{row},9" for row in LOG_ROWS)],
        {},
        "more values in a row than names",
    ),
    "segment is the group": (GOOD_LOG, {"segment": "group"}, "three different columns"),
    "segment is the outcome": (GOOD_LOG, {"segment": "bought"}, "three different columns"),
    "group is the outcome": (
        GOOD_LOG,
        {"group": "bought"},
        "'bought', 'bought'",
        "three different",
    ),
    "blank segment": (
        one_more("5,30,,test,1"),
        BY_PLAN,
        "column plan, row 5",
        "blank",
        "fill it in",
    ),
    "spaces for a segment": (one_more("5,30,  ,test,1"), BY_PLAN, "column plan, row 5", "blank"),
    "blank outcome": (
        one_more("5,30,pro,test,"),
        {},
        "column bought, row 5",
        "blank",
        "take the row out",
    ),
    "blank arm": (one_more("5,30,pro,,1"), {}, "column group, row 5", "blank", "fill it in"),
    "blank age": (one_more("5,,pro,test,1"), {}, "column age, row 5", "blank", "fill it in"),
    "text for an outcome": (
        one_more("5,30,pro,test,yes"),
        {},
        "column bought, row 5: yes is not a number",
        "such as",
    ),
    "infinite outcome": (
        one_more("5,30,pro,test,inf"),
        {},
        "column bought, row 5: inf is impossible",
        "use a",
    ),
    "huge outcome": (
        one_more("5,30,pro,test,1e200"),
        {},
        "column bought, row 5: 1e+200 is impossible",
        "use a number",
    ),
    "text for an age": (
        one_more("5,old,pro,test,1"),
        {},
        "column age, row 5: old is not a number",
        "such as 42",
    ),
    "impossible age": (
        one_more("5,130,pro,test,1"),
        {},
        "column age, row 5: 130 is impossible",
        "from 0 to 120",
    ),
    "three arms": (
        one_more("5,30,pro,third,1"),
        {},
        "column group",
        "'control', 'test', 'third'",
        "must be two",
    ),
    "an arm each": (
        [LOG_NAMES, *(f"{i},{20 + i},pro,arm {i},1" for i in range(9))],
        {},
        "'arm 5' ...",
        "There must be two",
    ),
    "one arm": (
        [LOG_NAMES, *LOG_ROWS[::2]],
        {},
        "column group",
        "are 'control'",
        "must be two",
    ),
    "another word for control": (GOOD_LOG, {"control": "A"}, "'control', 'test'", "control is 'A'"),
    "arms by number": (
        [line.replace("control", "0").replace("test", "1") for line in GOOD_LOG],
        {},
        "are '0', '1'",
        "control is 'control'",
        "one of them control",
    ),
    "one segment": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3]],
        BY_PLAN,
        "column plan: 1 different value;",
        "2 to 60",
    ),
    "one age band": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3]],
        {},
        "column age_band: 1 different value;",
    ),
    "a running number": (
        many_users(lambda i: 1000 + i),
        BY_PLAN,
        "column plan: 61 different values",
        "into bands",
    ),
    "a name each": (
        many_users(lambda i: f"u{i}"),
        BY_PLAN,
        "column plan: 61 different values",
        "another column",
    ),
    "user twice": (
        one_more("2,30,pro,test,1"),
        {},
        "column user_id, row 5: 2 ",
        "twice",
        "add up a user's rows",
    ),
    "users twice": (
        [*one_more(LOG_ROWS[1]), LOG_ROWS[0]],
        {},
        "column user_id, row 5: 2",
        "2 such rows in all",
    ),
}


@pytest.mark.parametrize("fault", BAD_LOGS)
def test_bad_log(load_log, fault):
    lines, options, *said = BAD_LOGS[fault]
    guard_message(lambda: load_log(*lines, **options), *said)


def test_missing_log(tmp_path):
    guard_message(
        lambda: data.load_log(tmp_path / "no.csv"), "no file", "no.csv", "Check the spelling"
    )


def test_the_log_behind_the_faults_is_good(load_log):
    assert load_log(*GOOD_LOG, control="test")["group"].tolist() == ["control", "test"] * 2


# Calls of Part II

BASELINE = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
OUTCOME = np.array([2.0, 7, 1, 8, 2, 8, 1, 9])
TREATED = np.arange(8) % 2 == 0
SMALL_LOG = pd.DataFrame(
    {"s": ["a", "b"] * 4, "group": ["control"] * 4 + ["test"] * 4, "y": range(8)}
)


def rates(*four, **options):
    return lambda: inference.compare_rates(*four, **options)


def adjusted(outcome=OUTCOME, treated=TREATED, baseline=BASELINE, **options):
    return lambda: adjustment.compare_adjusted(outcome, treated, baseline, **options)


def adjusted_rows(**options):
    return lambda: adjustment.adjust_many(OUTCOME[None], TREATED[None], BASELINE, **options)


def by_segment(**options):
    return lambda: heterogeneity.compare_segments(SMALL_LOG, "s", "y", **options)


def pooled(lift=(1, 2), se=(1, 1), **options):
    return lambda: heterogeneity.pool(lift, se, **options)


def signs(lift, se):
    return lambda: heterogeneity.gail_simon(lift, se)


def bounds(looks=5, rule="pocock", **options):
    return lambda: sequential.bounds(looks, rule, **options)


def spending(times=(0.5, 1), **options):
    return lambda: sequential.spending_bounds(times, **options)


def crossing(z=(2, 2), times=(0.5, 1)):
    return lambda: sequential.crossing_probabilities(z, times)


def always(tau=1.0, **options):
    return lambda: sequential.always_valid_interval(0, 1, tau, **options)


def decide(worth):
    return lambda: words.decision(-1, 1, worth)


def swapped(values, position, value):
    return [value if i == position else x for i, x in enumerate(values)]


TOO_NEAR = ("times must rise", "each by a thousandth or more", "such as 0.25, 0.5, 1")
PART_TWO_CALLS = {
    "rates: n": (rates(0, 1, 5, 9), "control arm has 0 conversions of 1 users", "2 users or more"),
    "rates: too many": (rates(1, 5, 10, 9), "treatment arm has 10 conversions of 9", "two counts"),
    "rates: negative": (rates(-1, 5, 1, 9), "control arm has -1 conversions"),
    "rates: share": (rates(0.2, 50, 9, 50), "control arm has 0.2 conversions", "two counts"),
    "rates: nan": (rates(1, 50, math.nan, 50), "treatment arm has nan conversions"),
    "rates: half a user": (rates(1, 50, 1, 9.5), "treatment arm has 1 conversions of 9.5"),
    "rates: confidence": (rates(1, 5, 1, 9, confidence=95), "confidence is 95", "such as 0.95"),
    "adjusted: outcome blank": (
        adjusted(swapped(OUTCOME, 2, math.nan)),
        "outcome has blank",
        "position 2",
    ),
    "adjusted: baseline blank": (
        adjusted(baseline=swapped(BASELINE, 2, math.inf)),
        "baseline has blank or infinite",
    ),
    "adjusted: outcome text": (
        adjusted(swapped(OUTCOME, 2, "x")),
        "outcome has values that are not numbers",
    ),
    "adjusted: baseline text": (
        adjusted(baseline=["x"] * 8),
        "baseline has values that are not numbers",
        "one number",
    ),
    "adjusted: flat baseline": (
        adjusted(baseline=np.ones(8)),
        "8 customers and 3 coefficients",
        "does not vary",
    ),
    "adjusted: baseline is the arm": (adjusted(baseline=TREATED), "told apart", "plain means"),
    "adjusted: flat in one arm": (
        adjusted(baseline=BASELINE * TREATED, interacted=True),
        "does not vary",
    ),
    "adjusted: all treated": (
        adjusted(treated=np.full(8, True)),
        "some arm is too small",
        "plain means",
    ),
    "adjusted: one treated": (
        adjusted(treated=BASELINE == 9),
        "single customer decides",
        "Use more customers",
    ),
    "adjusted: three customers": (
        adjusted(OUTCOME[:3], TREATED[:3], BASELINE[:3]),
        "3 customers and 3 coefficients",
    ),
    "adjusted: explains all": (
        adjusted(3 * BASELINE + TREATED),
        "explains the outcome completely",
        "no luck",
    ),
    "adjusted: confidence": (adjusted(confidence=1), "confidence is 1", "between 0 and 1"),
    "adjusted rows: confidence": (adjusted_rows(confidence=0), "confidence is 0", "such as 0.95"),
    "by segment: confidence": (by_segment(confidence=95), "confidence is 95", "such as 0.95"),
    "by segment: share": (
        by_segment(control_share=1.5),
        "_share is 1.5",
        "between 0 and 1, such as 0.5",
    ),
    "pool: one segment": (
        pooled([1], [1]),
        "one lift and one standard error",
        "two or more segments",
    ),
    "pool: lengths": (pooled([1, 2], [1]), "one lift and one standard error"),
    "pool: number": (pooled(1, 1), "two or more segments"),
    "pool: table": (pooled([[1, 2]], [[1, 2]]), "two or more segments"),
    "pool: blank": (
        pooled([1, math.nan], [1, 1]),
        "lifts has blank or infinite values: 1,",
        "position 1",
        "Mend it",
    ),
    "pool: se blank": (
        pooled([1, 2], [1, math.nan]),
        "standard errors has blank or infinite values: 1,",
        "position 1",
    ),
    "pool: se 0": (
        pooled([1, 2], [1, 0]),
        "standard error is not above 0",
        "Leave that segment out",
    ),
    "pool: se negative": (pooled([1, 2], [1, -1]), "Leave that segment out"),
    "pool: confidence": (pooled(confidence=95), "confidence is 95", "such as 0.95"),
    "signs: one segment": (signs([1], [1]), "two or more segments"),
    "signs: lengths": (signs([1, 2], [1, 1, 1]), "one lift and one standard error"),
    "signs: blank": (
        signs([1, math.nan], [1, 1]),
        "lifts has blank or infinite values: 1,",
        "position 1",
        "Mend it",
    ),
    "signs: se 0": (
        signs([1, -1], [0, 1]),
        "standard error is not above 0",
        "Leave that segment out",
    ),
    "bounds: none": (bounds(0), "looks is 0", "from 1 to 100"),
    "bounds: many": (bounds(101), "looks is 101", "from 1 to 100"),
    "bounds: broken": (bounds(2.5), "looks is 2.5", "whole number"),
    "bounds: text": (bounds("5"), "looks is '5'", "whole number"),
    "bounds: rule": (
        bounds(rule="Pocock"),
        "rule is 'Pocock'",
        "bonferroni, pocock, obrien-fleming",
    ),
    "bounds: alpha": (bounds(alpha=5), "alpha is 5", "such as 0.05"),
    "spending: late": (spending([0.5, 1.2]), "time 1.2 is later than planned", "shares, up to 1"),
    "spending: falling": (spending([0.5, 0.4]), "times must rise", "such as 0.25, 0.5, 1"),
    "spending: twice": (spending([0.5, 0.5, 1]), "times must rise"),
    "spending: 0": (spending([0, 1]), "rise from above 0"),
    "spending: nan": (
        spending([math.nan, 1]),
        "times has blank or infinite values: 1,",
        "position 0",
    ),
    "spending: table": (spending([[0.5, 1]]), "times must rise"),
    "spending: too near": (spending([0.5, 0.50005, 1]), *TOO_NEAR),
    "spending: too early": (spending([0.00005, 1]), *TOO_NEAR),
    "spending: alpha": (spending(alpha=0), "alpha is 0", "between 0 and 1"),
    "crossing: lengths": (crossing([2, 2, 2]), "2 looks need as many bounds", "z value above 0"),
    "crossing: bound 0": (crossing([2, 0]), "each a z value above 0"),
    "crossing: bound nan": (
        crossing([2, math.nan]),
        "bounds has blank or infinite values: 1,",
        "position 1",
    ),
    "crossing: falling": (crossing(times=(1, 0.5)), "times must rise", "such as 0.25"),
    "crossing: too near": (crossing(times=(0.99999, 1)), *TOO_NEAR),
    "crossing: too near, in users": (crossing(times=(50_000, 50_004)), *TOO_NEAR),
    "always: tau 0": (always(0), "tau is 0", "smallest one worth having"),
    "always: tau nan": (always(math.nan), "tau is nan", "above 0"),
    "always: tau negative": (always(-2), "tau is -2", "above 0"),
    "always: tau text": (always("big"), "tau is 'big'", "above 0"),
    "decision: worth 0": (decide(0), "worth is 0", "above 0"),
    "decision: worth nan": (decide(math.nan), "worth is nan", "above 0"),
    "decision: worth text": (decide("1"), "worth is '1'", "above 0"),
    "always: confidence": (always(confidence=95), "confidence is 95", "such as 0.95"),
    "always: confidence text": (always(confidence="95 %"), "confidence is 95 %"),
}


@pytest.mark.parametrize("fault", PART_TWO_CALLS)
def test_bad_call_of_part_two(fault):
    call, *said = PART_TWO_CALLS[fault]
    guard_message(call, *said)


def test_looks_a_little_farther_apart_are_served(monkeypatch):
    """And a helper that takes looks as they come is caught."""
    assert len(spending([0.001, 0.5, 0.501, 1])()) == 4
    assert len(crossing(times=(50_000, 50_060))()) == 2
    monkeypatch.setattr(sequential, "_looks", np.asarray)
    for fault in ("crossing: too near", "crossing: too near, in users"):
        call, *said = PART_TWO_CALLS[fault]
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            guard_message(call, *said)


# Input that must be refused by the helper itself: a library's words, or a wrong answer, would be no help

BEFORE_A_LIBRARY = {
    "adjusted: baseline too short": (adjusted(baseline=BASELINE[:5]), "baseline", "5", "8"),
    "adjusted: arms too short": (adjusted(treated=TREATED[:5]), "5", "8"),
    "adjusted: baseline lies on its side": (
        adjusted(baseline=np.random.default_rng(1).random((2, 8))),
        "baseline",
    ),
    "adjusted: arm blank": (adjusted(treated=swapped(1.0 * TREATED, 2, math.nan)), "blank"),
    "adjusted: arms in words": (adjusted(treated=["test", "control"] * 4), "not numbers"),
    "adjusted: nobody": (adjusted([], [], []), "[0, 0, 0] rows", "each customer"),
    "pool: text": (pooled(["a", "b"]), "number"),
    "signs: text": (signs(["a", "b"], [1, 1]), "number"),
    "spending: no looks": (spending([]), "times"),
    "spending: text": (spending(["first", "last"]), "times"),
    "crossing: text": (crossing(["high", "low"]), "bounds has values that are not numbers"),
}


@pytest.mark.parametrize("fault", BEFORE_A_LIBRARY)
def test_call_that_must_not_reach_a_library(fault):
    call, *said = BEFORE_A_LIBRARY[fault]
    guard_message(call, *said)


ALMOST_GOOD_LOGS = {
    "one segment and a space": (
        [LOG_NAMES, LOG_ROWS[0], LOG_ROWS[3].replace("pro", "pro ")],
        BY_PLAN,
        "column plan: 1",
    ),
    "one user's rows and a space": (
        [*one_more(" A,30,pro,test,1"), "A,30,pro,test,1"],
        {},
        "user_id, row 6",
        "twice",
    ),
    "blank user": (one_more(",30,pro,test,1"), {}, "column user_id, row 5", "blank"),
    "blank users": (
        [*one_more(",30,pro,test,1"), ",31,pro,test,1"],
        {},
        "column user_id, row 5",
        "blank",
    ),
}


@pytest.mark.parametrize("fault", ALMOST_GOOD_LOGS)
def test_log_that_must_not_be_read(load_log, fault):
    lines, options, *said = ALMOST_GOOD_LOGS[fault]
    guard_message(lambda: load_log(*lines, **options), *said)
