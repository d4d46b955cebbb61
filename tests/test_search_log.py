"""A search for segments in the reader's own log, by `helpers.rerun --segment-columns`."""

import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from helpers import InputError, columns, data, finder, findings, tables
from tests.guards import caught, guard_message, without_kernels
from tools import notebooks, rerun

ROLES = {"outcome": "y", "group": "group", "control": "control"}


def make(n=1_200, seed=1) -> pd.DataFrame:
    """A log with a number, a text, and a column of Yes and No that are known of each user."""
    rng = np.random.default_rng(seed)
    known = {"age": rng.integers(18, 80, n), "place": rng.choice(["NA", "Rome", "007"], n)}
    known["member"] = rng.choice(["Yes", "No"], n)
    treated = rng.random(n) < 0.5
    y = (rng.random(n) < 0.2 + 0.2 * (treated & (known["age"] > 50))).astype(int)
    arms = np.where(treated, "treatment", "control")
    return pd.DataFrame(known | {"group": arms, "y": y, "who": np.arange(n)})


def save(table: pd.DataFrame, path: Path, **how) -> str:
    table.to_csv(path, index=False, encoding="utf-8", **how)
    return str(path)


# What may be searched


def test_numbers_are_numbers_and_names_are_names(tmp_path):
    log = make()
    log["income"] = [f"{x},5" for x in log["age"]]
    path = save(log, tmp_path / "log.csv", sep=";")
    cuts = ["age", "income", "place", "member"]
    read = data.load_log(path, "", "y", cuts=cuts)
    assert read["age"].tolist() == log["age"].tolist()
    assert np.allclose(read["income"], log["age"] + 0.5)
    assert set(read["place"]) == {"NA", "Rome", "007"} and set(read["member"]) == {"Yes", "No"}
    assert "segment" not in read


def test_a_code_keeps_its_zeros(tmp_path):
    log = make().assign(code=lambda table: np.where(table["age"] > 50, "00501", "90210"))
    read = data.load_log(save(log, tmp_path / "log.csv"), "", "y", cuts=["code"])
    assert set(read["code"]) == {"00501", "90210"}


def test_parquet_and_true_or_false(tmp_path):
    log = make().assign(member=lambda table: table["member"] == "Yes")
    log.to_parquet(tmp_path / "log.parquet")
    read = data.load_log(tmp_path / "log.parquet", "", "y", cuts=["member", "place"])
    assert (read["member"] == log["member"]).all() and set(read["member"]) == {0, 1}


@pytest.mark.parametrize(
    ("table", "cuts", "said"),
    [
        (make(), ["age", "plce"], ("lacks 'plce'", "'place'")),
        (make(), ["age", "age"], ("'age' would have two purposes",)),
        (make(), ["y"], ("'y' would have two purposes",)),
        (make(), ["group"], ("'group' would have two purposes",)),
        (make().replace({"place": {"Rome": None}}), ["place"], ("column place", "is blank")),
        (make().assign(place="Rome"), ["place"], ("column place: 1 value", "2 to 60")),
        (make().assign(place=[f"p{i}" for i in range(1_200)]), ["place"], ("1,200 values",)),
        (make().assign(age=1e15), ["age"], ("column age", "is impossible")),
        (make().assign(age=7), ["age"], ("column age: 1 value",)),
    ],
)
def test_columns_that_cannot_be_searched(tmp_path, table, cuts, said):
    path = save(table, tmp_path / "log.csv")
    guard_message(lambda: data.load_log(path, "", "y", cuts=cuts), *said)


def test_what_is_known_of_a_user_is_one_value(tmp_path):
    log = make()
    twice = pd.concat([log, log.assign(y=0)])
    path = save(twice, tmp_path / "log.csv")
    read = data.load_log(path, "", "y", user="who", cuts=["age", "place"])
    assert len(read) == len(log) and read["age"].tolist() == log["age"].tolist()
    moved = pd.concat([log, log.assign(place="Rome")])
    path = save(moved, tmp_path / "moved.csv")
    guard_message(
        lambda: data.load_log(path, "", "y", user="who", cuts=["age", "place"]),
        "users with several values of place",
    )


def guard_kinds(read):
    source = tables.Source(Path("log.csv"), ";", [])
    kinds = {
        "1": True,
        "1,5": True,
        "0": True,
        "0.5": True,
        "007": False,
        "-2.5": True,
        "1e3": True,
        "": False,
        "x": False,
        "1 2": False,
    }
    for text, number in kinds.items():
        table = pd.DataFrame({"y": ["3", text]}, dtype="str")
        assert pd.api.types.is_numeric_dtype(read("y", table, source, (-1e9, 1e9))) == number, text


def test_a_column_is_of_numbers_where_every_value_is_one():
    guard_kinds(columns.as_numbers_or_labels)
    caught(guard_kinds, lambda name, table, source, limits: table[name].astype(str))


# The command


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Notebooks 06 and 13 in a course of their own; kernels are not started but counted."""
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    for path in notebooks.find():
        if path.name[:2] in ("06", "13"):
            shutil.copy(path, root / "notebooks" / path.name)
    started: list[nbformat.NotebookNode] = []
    monkeypatch.setattr(notebooks, "ROOT", root)
    without_kernels(monkeypatch, lambda notebook, _folder: started.append(notebook))
    monkeypatch.chdir(tmp_path)
    return started


LOG = ["--log", "log.csv", "--outcome", "y"]
SEARCH = ["--segment-columns", "age, place,member"]


def test_a_search_runs_notebook_13_and_says_what_it_found(course, tmp_path, capsys):
    path = save(make(), tmp_path / "log.csv")
    assert rerun.main([*LOG, *SEARCH, "--worth", "0.05", "--seed", "7"]) == 0
    (notebook,) = course
    knobs = notebooks.knobs_of(notebook)
    assert list(knobs["segment_columns"]) == ["age", "place", "member"]
    assert (knobs["log_file"], knobs["worth"], knobs["seed"]) == (path, 0.05, 7)
    head, rows, cost, *lines = capsys.readouterr().out.splitlines()
    out = notebooks.ROOT / "runs" / "log-log-y-by-age-place-member"
    assert head == f"The results of this run are in {out}"
    assert [p.name for p in out.iterdir() if p.suffix == ".ipynb"] == ["13_horoscopes.ipynb"]
    assert rows == "1,200 rows, each taken for a user."
    assert cost == "Treating a user costs 5.00 percentage points (--worth sets another)."
    cuts = ["age", "place", "member"]
    log = data.load_log(path, "", "y", cuts=cuts)
    found = finder.search(log, cuts, "y", 0.05, seed=7)
    assert lines == findings.report(found, cuts, "percentage points", 100)


def test_both_kinds_of_segments_run_both_notebooks(course, tmp_path, capsys):
    save(make(), tmp_path / "log.csv")
    assert rerun.main([*LOG, *SEARCH, "--segment", "place"]) == 0
    assert len(course) == 2
    printed = capsys.readouterr().out
    assert "all users: " in printed and "Searched: age, place, member" in printed
    assert printed.count("each taken for a user") == 1
    first = printed.index("all users: ")
    assert first < printed.index("Searched: ")
    (folder,) = (notebooks.ROOT / "runs").iterdir()
    assert folder.name == "log-log-y-by-place-age-place-member"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "give --segment or --segment-columns"),
        (["--segment-columns", "age,plce"], "lacks 'plce'"),
        (["--segment-columns", "age,y"], "two purposes"),
        (["--segment-columns", "age", "--control", "A"], "--control is 'A'"),
        (["--segment-columns", "age", "--worth", "0"], "--worth is 0"),
        (["--segment-columns", "age", "--n-clusters", "3"], "leave out --n-clusters"),
        (["--segment-columns", "age", "--control-share", "1.5"], "--control-share is 1.5"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_kernel_starts(
    course, tmp_path, capsys, more, said
):
    save(make(), tmp_path / "log.csv")
    before = sorted(tmp_path.rglob("*"))
    assert rerun.main([*LOG, *more]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and printed.out == "" and len(printed.err.splitlines()) <= 2
    assert course == [] and sorted(tmp_path.rglob("*")) == before


def test_a_series_has_no_columns_to_search(capsys):
    assert rerun.main(["--target-cluster", "1", *SEARCH]) == 2
    assert "leave out --segment-columns" in capsys.readouterr().err


def test_an_empty_name_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        rerun.main([*LOG, "--segment-columns", "age,,place"])
    assert stopped.value.code == 2 and "is empty: give a name" in capsys.readouterr().err


def test_too_few_users_are_told(course, tmp_path, capsys):
    save(make(n=160), tmp_path / "log.csv")
    assert rerun.main([*LOG, *SEARCH]) == 2
    assert "The log has 160 users" in capsys.readouterr().err and course == []


def test_another_log_does_not_replace_the_results(course, tmp_path, capsys):
    save(make(), tmp_path / "log.csv")
    (tmp_path / "other").mkdir()
    save(make(seed=2), tmp_path / "other" / "log.csv")
    assert rerun.main([*LOG, *SEARCH]) == 0
    assert rerun.main(["--log", "other/log.csv", *LOG[2:], *SEARCH]) == 2
    assert "log.csv" in capsys.readouterr().err
    with pytest.raises(InputError):
        data.load_log("nowhere.csv", "", "y", cuts=["age"])
