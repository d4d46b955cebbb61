"""The series on other knobs and other customers.

It runs through, without a network, and its sentences are true.
"""

import ast
import re
import runpy
import sys

import nbformat
import numpy as np
import pytest

from helpers import data, words
from tests.guards import (
    RUNS,
    STANDARD,
    VERDICTS,
    expected,
    guard_message,
    run_in_process,
    small_file,
    tells_the_truth,
    without_kernels,
)
from tools import notebooks, rerun


@pytest.mark.parametrize("knobs", RUNS, ids=lambda k: " ".join(f"{n}={v}" for n, v in k.items()))
def test_every_rerun_tells_the_truth(knobs, tmp_path, monkeypatch):
    # sentences and figures have most to show, or least, with many clusters and a few customers
    whole = knobs.get("n_clusters") == 6 or "customers_file" in knobs
    tells_the_truth(knobs, tmp_path, monkeypatch, () if whole else VERDICTS)


def test_the_reruns_differ_in_what_there_is_to_say(tmp_path):
    """Every knob has another value than the stored one somewhere, and every verdict is met."""
    met = set()
    for knobs in RUNS:
        knobs = STANDARD | knobs
        if knobs["customers_file"]:
            knobs["customers_file"] = small_file(tmp_path)
        result = expected(knobs)[1][knobs["target_cluster"]]
        said = re.split(r"[:;]", words.verdict(result).split(". ", 1)[1])[0]
        met.add((np.sign(knobs["effect"]), said))
    assert met == {
        (0, "A clear gain"),
        (-1, "A clear loss"),
        (1, "A clear gain, and one worth having"),
        (1, "Too uncertain to tell"),
    }
    for name, stored in STANDARD.items():
        assert {(STANDARD | knobs)[name] for knobs in RUNS} - {stored}


def test_one_cluster_leaves_out_what_compares_clusters(tmp_path, monkeypatch):
    """It says so before anything runs, and the notebook at its door; the others are true."""
    knobs = {"n_clusters": 1, "target_cluster": 0}
    why = rerun.try_out(**STANDARD | knobs)[1]
    assert why == {"01": "it compares clusters, and there is one"}
    first = notebooks.find()[0]
    guard_message(lambda: run_in_process(first, knobs, monkeypatch), "n_clusters is below 2")
    tells_the_truth(knobs, tmp_path, monkeypatch, ("02", "03", "04", "05", "07", "08"))


def shown_texts(output) -> list[str]:
    data = output.get("data", {})
    return [
        output.get("text", ""),
        *(data[kind] for kind in sorted(data) if kind.startswith("text/")),
    ]


def test_a_broken_notebook_is_told(small_course, tmp_path, capsys):
    (small_course / "notebooks/03_t_test.ipynb").write_text("<<<<<<< HEAD\n{", encoding="utf-8")
    assert rerun.main(["--target-cluster", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "notebooks/03_t_test.ipynb is no notebook (NotJSONError" in said
    assert len(said.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_results_that_cannot_be_replaced_leave_the_others(
    small_course, tmp_path, capsys, monkeypatch
):
    """And the home folder may be typed as a wave, which make hands on as it stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    without_kernels(monkeypatch)
    data.load_customers().to_csv(tmp_path / "mine.csv", index=False)
    command = ["--target-cluster", "1", "--customers", "~/mine.csv", "--out", "~/out"]
    assert rerun.main(command) == 0
    stored = (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes()
    (tmp_path / "out/03_t_test.ipynb").unlink()
    (tmp_path / "out/03_t_test.ipynb").mkdir()
    capsys.readouterr()
    assert rerun.main([*command, "--seed", "7"]) == 2
    place = tmp_path / "out/03_t_test.ipynb"
    said = f"helpers.rerun: Cannot write to {place} (a folder has that name). Move it away.\n"
    assert capsys.readouterr().err.endswith(said)
    assert (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes() == stored


def test_an_error_names_the_option_and_what_is_no_option_keeps_its_name(monkeypatch, capsys):
    """A knob that cannot be typed, such as one with a default in the helpers, is no option."""
    for knob, said in {
        "customers_file": "--customers is 9.",
        "control_share": "--control-share is 9.",
        "noise_sd": "noise_sd is 9.",
        "": "is 9.",
    }.items():

        def fails(knob=knob, **_knobs):
            raise words.InputError("is 9.", knob)

        monkeypatch.setattr(rerun, "try_out", fails)
        assert rerun.main(["--target-cluster", "1"]) == 2
        assert capsys.readouterr().err == f"helpers.rerun: {said}\n"


def test_the_command_has_its_old_name_too(tmp_path, monkeypatch, capsys):
    """From another folder: the same refusals and the same exit codes."""
    monkeypatch.chdir(tmp_path)
    for arguments, code, said in (
        (["--target-cluster", "9"], 2, "helpers.rerun: --target-cluster is 9, but"),
        ([], 2, "usage: python -m helpers.rerun"),
        (["--help"], 0, ""),
    ):
        monkeypatch.setattr(sys, "argv", ["rerun.py", *arguments])
        monkeypatch.delitem(sys.modules, "helpers.rerun", raising=False)
        with pytest.raises(SystemExit) as stopped:
            runpy.run_module("helpers.rerun", run_name="__main__")
        printed = capsys.readouterr()
        assert stopped.value.code == code and printed.err.startswith(said), printed.err
        assert bool(printed.out) == (code == 0)


def test_a_rerun_never_writes_into_the_course(capsys):
    """The course and the learner's own copy stay as they are; only runs/ is for runs."""
    for folder in ("notebooks", "my", "data/new", "."):
        assert rerun.main(["--target-cluster", "1", "--out", str(notebooks.ROOT / folder)]) == 2
        assert "inside the course" in capsys.readouterr().err


def test_the_command_writes_the_series_and_the_shipped_file_comes_from_notebook_01(
    tmp_path, capsys, monkeypatch
):
    """A notebook through a real kernel: same name, new knobs in the cell, a verdict.

    And data/ is what notebook 01 makes. The others are left to nbval, which executes them anyway;
    06 goes through the command in test_rerun_log.
    """
    first = notebooks.find()[:1]
    monkeypatch.setattr(notebooks, "find", lambda: first)
    out = tmp_path / "runs" / "standard"
    assert rerun.main(["--target-cluster", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and words.verdict(expected(STANDARD)[1][1]) in printed
    assert {p.name for p in out.iterdir()} == {p.name for p in notebooks.find()} | {
        "customers_with_clusters.csv",
        ".made_by_rerun.json",
    }
    made, shipped = ((f / "customers_with_clusters.csv").read_bytes() for f in (out, data.FOLDER))
    same = (
        made == shipped
    )  # compared first: pytest would explain a difference of long bytes for minutes
    assert same, "data/customers_with_clusters.csv is not what notebook 01 saves: make store"
    for path in notebooks.find():
        stored, again = (nbformat.read(p, as_version=4) for p in (path, out / path.name))
        for old, new in zip(stored.cells, again.cells, strict=True):
            if old.cell_type == "code" and "nbval-ignore-output" not in old.metadata.get(
                "tags", []
            ):
                assert [shown_texts(o) for o in old.outputs] == [
                    shown_texts(o) for o in new.outputs
                ]


def test_every_knob_of_the_command_exists_in_the_notebooks():
    found = set()
    for path in notebooks.find():
        cells = nbformat.read(path, as_version=4).cells
        source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
        found |= {target.id for node in ast.parse(source).body for target in node.targets}
        assert {"customers_file", "n_clusters", "target_cluster", "seed"} <= found
    assert set(STANDARD) <= found
