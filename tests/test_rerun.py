"""The series on other knobs and other customers: it runs through, without a network, and its sentences are true."""

import ast
from base64 import b64encode
from pathlib import Path

import nbformat
import pytest

from conftest import GROSS, picture_difference
from helpers import data, words
from tests.guards import RUNS, STANDARD, expected, tells_the_truth
from tools import bench, class_sets, readme_picture, rerun, slides, store_notebooks


@pytest.mark.parametrize("knobs", RUNS, ids=lambda k: " ".join(f"{n}={v}" for n, v in k.items()))
def test_every_rerun_tells_the_truth(knobs, tmp_path, monkeypatch):
    tells_the_truth(knobs, tmp_path, monkeypatch)


def shown_texts(output) -> list[str]:
    data = output.get("data", {})
    return [
        output.get("text", ""),
        *(data[kind] for kind in sorted(data) if kind.startswith("text/")),
    ]


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course of two notebooks, 02 and 03, that can be changed."""
    for name in ("notebooks/02_simulated_assignment.ipynb", "notebooks/03_t_test.ipynb"):
        (tmp_path / "course" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "course" / name).write_bytes((rerun.ROOT / name).read_bytes())
    monkeypatch.setattr(rerun, "ROOT", tmp_path / "course")
    return tmp_path / "course"


COMMANDS = {
    "rerun": lambda: rerun.main(["--target-cluster", "1"]),
    "class_sets": lambda: class_sets.main([]),
    "slides": lambda: slides.main(["3"]),
    "store_notebooks": lambda: store_notebooks.main([]),
    "bench": bench.main,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_two_notebooks_with_one_number_are_told(course, capsys, command, monkeypatch):
    """As JupyterLab's Duplicate makes them, or a person. A file of another name is nobody's business."""
    monkeypatch.setattr(class_sets, "common_files", dict)
    (course / "notebooks/3_t_test.ipynb").write_text("mine", encoding="utf-8")
    (course / "notebooks/old_03.ipynb").write_text("mine", encoding="utf-8")
    files = rerun.notebook_files()
    assert [path.name for path in files] == ["02_simulated_assignment.ipynb", "03_t_test.ipynb"]
    for pair in (
        ("03_t_test", "03_t_test-Copy1"),
        ("03_t_test", "03_t_test_old"),
        ("03_backup", "03_t_test"),
    ):
        (copy,) = (course / f"notebooks/{name}.ipynb" for name in pair if name != "03_t_test")
        copy.write_bytes(files[1].read_bytes())
        assert COMMANDS[command]() == 2
        printed = capsys.readouterr()
        said = f"There are two notebooks 03: {pair[0]}.ipynb, {pair[1]}.ipynb. Move one of them out of notebooks/."
        assert said in printed.err and len(printed.err.splitlines()) == 1 and printed.out == ""
        copy.unlink()


def test_two_solutions_with_one_number_are_told(course):
    (course / "notebooks/solutions").mkdir()
    for name in ("03_a.ipynb", "03_b.ipynb"):
        (course / "notebooks/solutions" / name).touch()
    with pytest.raises(words.InputError, match=r"03_b.* out of notebooks/solutions/"):
        rerun.solution_files()


@pytest.mark.parametrize("name", ["3", "nonsense", "--help", "03_t_test.ipynb"])
def test_store_tells_a_name_that_it_does_not_know(course, capsys, monkeypatch, name):
    stored = []
    monkeypatch.setattr(store_notebooks, "store", stored.append)
    assert store_notebooks.main(["03_t_test", name]) == 2 and stored == []
    said = f"There is no notebook {name!r}. Give some of 02_simulated_assignment, 03_t_test, or none for all.\n"
    assert capsys.readouterr().err == f"tools.store_notebooks: {said}"
    assert store_notebooks.main(["03_t_test"]) == 0 and [path.name for path in stored] == [
        "03_t_test.ipynb"
    ]
    assert store_notebooks.main([]) == 0 and len(stored) == 3


def test_a_broken_notebook_is_told(course, tmp_path, capsys):
    (course / "notebooks/03_t_test.ipynb").write_text("<<<<<<< HEAD\n{", encoding="utf-8")
    assert rerun.main(["--target-cluster", "1", "--out", str(tmp_path / "out")]) == 2
    assert "notebooks/03_t_test.ipynb is no notebook (NotJSONError" in (
        said := capsys.readouterr().err
    )
    assert len(said.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_results_that_cannot_be_replaced_leave_the_others(course, tmp_path, capsys, monkeypatch):
    """And the home folder may be typed as a wave, which make hands on as it stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(rerun, "execute", lambda *_given, **_more: None)
    data.load_customers().to_csv(tmp_path / "mine.csv", index=False)
    command = ["--target-cluster", "1", "--customers", "~/mine.csv", "--out", "~/out"]
    assert rerun.main(command) == 0
    stored = (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes()
    (tmp_path / "out/03_t_test.ipynb").unlink()
    (tmp_path / "out/03_t_test.ipynb").mkdir()
    capsys.readouterr()
    assert rerun.main([*command, "--seed", "7"]) == 2
    said = f"Cannot write to {tmp_path / 'out/03_t_test.ipynb'} (a folder has that name). Move it away.\n"
    assert capsys.readouterr().err.endswith(f"helpers.rerun: {said}")
    assert (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes() == stored


def test_the_wave_of_a_stranger_stands_for_itself():
    assert rerun.typed_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_a_rerun_never_writes_into_the_course(capsys):
    """The course and the learner's own copy stay as they are; only runs/ is for runs."""
    for folder in ("notebooks", "my", "data/new", "."):
        assert rerun.main(["--target-cluster", "1", "--out", str(rerun.ROOT / folder)]) == 2
        assert "inside the course" in capsys.readouterr().err


def test_the_command_writes_the_series_and_the_shipped_file_comes_from_notebook_01(
    tmp_path, capsys, monkeypatch
):
    """Part I through real kernels: same names, new knobs in the cell, a verdict, and data/ is what notebook 01 makes.

    Part II is left to nbval, which executes it anyway; 06 goes through the command in test_rerun_log.
    """
    part_one = [path for path in rerun.notebook_files() if path.name < "06"]
    monkeypatch.setattr(rerun, "notebook_files", lambda: part_one)
    out = tmp_path / "runs" / "standard"
    assert rerun.main(["--target-cluster", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and words.verdict(expected(STANDARD)[1][1]) in printed
    assert {p.name for p in out.iterdir()} == {p.name for p in rerun.notebook_files()} | {
        "customers_with_clusters.csv"
    }
    made, shipped = ((f / "customers_with_clusters.csv").read_bytes() for f in (out, data.FOLDER))
    same = (
        made == shipped
    )  # compared first: pytest would explain a difference of long bytes for minutes
    assert same, "data/customers_with_clusters.csv is not what notebook 01 saves: make store"
    for path in rerun.notebook_files():
        stored, again = (nbformat.read(p, as_version=4) for p in (path, out / path.name))
        for old, new in zip(stored.cells, again.cells, strict=True):
            if old.cell_type == "code" and "nbval-ignore-output" not in old.metadata.get(
                "tags", []
            ):
                assert [shown_texts(o) for o in old.outputs] == [
                    shown_texts(o) for o in new.outputs
                ]


def test_knobs_are_set_and_comments_stay():
    notebook = nbformat.read(rerun.notebook_files()[1], as_version=4)
    before = next(c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    rerun.set_knobs(notebook, {"target_cluster": 3, "effect": -1.5, "customers_file": "a # b.csv"})
    after = next(c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    space: dict = {}
    exec(after, space)
    assert (space["target_cluster"], space["effect"], space["customers_file"]) == (
        3,
        -1.5,
        "a # b.csv",
    )
    assert [line.split("  # ")[1] for line in before.splitlines()] == [
        line.split("  # ")[1] for line in after.splitlines()
    ]


def test_every_knob_of_the_command_exists_in_the_notebooks():
    found = set()
    for path in rerun.notebook_files():
        cells = nbformat.read(path, as_version=4).cells
        source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
        found |= {target.id for node in ast.parse(source).body for target in node.targets}
        assert {"customers_file", "n_clusters", "target_cluster", "seed"} <= found
    assert set(STANDARD) <= found


@pytest.mark.parametrize("effect", [3.0, 0.0])
def test_readme_picture_is_what_the_project_draws(tmp_path, monkeypatch, effect):
    """Drawn anew it is the same picture; with another effect planted it is seen to differ."""
    stored = b64encode(readme_picture.PICTURE.read_bytes()).decode()
    monkeypatch.setattr(readme_picture, "PICTURE", tmp_path / "fresh.png")
    monkeypatch.setattr(readme_picture, "EFFECT", effect)
    readme_picture.draw()
    fresh = b64encode((tmp_path / "fresh.png").read_bytes()).decode()
    assert (picture_difference(stored, fresh) < GROSS) == (effect == 3.0)
