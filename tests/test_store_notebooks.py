"""The command behind `make store`: names, minutes, and what a stored file holds."""

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import notebooks, slides, store_notebooks


@pytest.mark.parametrize("name", ["3", "nonsense", "03_t_test.ipynb"])
def test_store_tells_a_name_that_it_does_not_know(small_course, capsys, monkeypatch, name):
    stored = []
    monkeypatch.setattr(store_notebooks, "store", stored.append)
    assert store_notebooks.main(["03_t_test", name]) == 2 and stored == []
    some = "Give some of 02_simulated_assignment, 03_t_test, or none for all."
    said = f"tools.store_notebooks: There is no notebook {name!r}. {some}\n"
    assert capsys.readouterr().err == said
    assert store_notebooks.main(["03_t_test"]) == 0
    assert [path.name for path in stored] == ["03_t_test.ipynb"]
    assert store_notebooks.main([]) == 0 and len(stored) == 3


@pytest.mark.parametrize(
    ("words", "code", "minutes"), [(650, 0, 5), (651, 0, 10), (520, 2, 5), (521, 2, 10)]
)
def test_minutes_come_from_words_and_code(words, code, minutes):
    """130 words a minute, half a minute a code cell, whose words do not count."""
    prose = [new_markdown_cell("word " * words)]
    cells = [new_code_cell("a = b + c") for _ in range(code)]
    assert store_notebooks.reading_minutes(new_notebook(cells=prose + cells)) == (minutes, 0)


def test_closer_looks_and_exercises_have_minutes_of_their_own():
    """A closer look ends at the next heading of its level; exercises begin at theirs."""
    long = "word " * 1000
    cells = [new_markdown_cell("word " * 500), new_markdown_cell(f"### A closer look: x\n{long}")]
    cells += [new_markdown_cell(long), new_markdown_cell("#### Part of it"), new_code_cell("a")]
    cells += [new_markdown_cell("### Another\nword"), new_code_cell("b")]
    cells += [new_markdown_cell(f"## Exercises\n{long}"), new_code_cell("answer = ...\ncheck(1)")]
    notebook = new_notebook(cells=cells)
    assert notebooks.closer_looks(notebook) == {1, 2, 3, 4}
    assert store_notebooks.reading_minutes(notebook) == (5, 5)
    said = "**Time:** about 5 minutes, and 5 for the exercises."
    assert store_notebooks.minutes_said(notebook) == said


@pytest.fixture
def path(small_course):
    """A notebook of the course with an old output, traces of a machine, and a tag."""
    old = [new_output("stream", name="stdout", text="old\n")]
    knobs = new_code_cell("seed = 42", metadata={"tags": ["parameters"]}, execution_count=1)
    cells = [new_markdown_cell("# 01 A?"), knobs, new_code_cell("1", execution_count=9)]
    cells[2].outputs = old
    metadata = {"language_info": {"name": "python", "version": "3.12.1"}, "own": "/a/path"}
    path = small_course / "notebooks/01_a.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)
    return path


def test_a_stored_file_holds_what_was_executed_and_no_trace(
    path, small_course, monkeypatch, capsys
):
    """The old output is gone before the cells run; notebook 01's table goes to data/."""
    (small_course / "data").mkdir()
    seen = []

    def execute(notebook, folder):
        seen.extend(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
        notebook.cells[2].outputs = [new_output("stream", name="stdout", text="new\n")]
        (folder / store_notebooks.CLUSTERED).write_text("a,b\n", encoding="utf-8")

    monkeypatch.setattr(notebooks, "execute", execute)
    store_notebooks.store(path)
    assert seen == [[], []]
    stored = nbformat.read(path, as_version=4)
    assert stored.cells[2].outputs[0].text == "new\n"
    assert stored.cells[1].metadata.tags == ["parameters"]
    assert all(slides.own_types(stored))
    assert stored.metadata.language_info == {"name": "python"} and "own" not in stored.metadata
    assert (small_course / "data" / store_notebooks.CLUSTERED).read_text("utf-8") == "a,b\n"
    assert not (path.parent / store_notebooks.CLUSTERED).exists()
    assert capsys.readouterr().out.startswith("notebooks/01_a.ipynb: 5 minutes to read, ")


def test_a_notebook_that_stops_stays_as_it_is(path, monkeypatch):
    before = path.read_bytes()

    def execute(notebook, folder):
        raise CellExecutionError("", "ValueError", "no")

    monkeypatch.setattr(notebooks, "execute", execute)
    with pytest.raises(CellExecutionError):
        store_notebooks.store(path)
    assert path.read_bytes() == before
