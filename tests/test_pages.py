"""A notebook as a page of the web book: what is folded, what a picture is called, where to run it.

Beside each check stands a fault.
"""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import InputError
from helpers.words import details
from tools import notebooks, pages, slides

NOTEBOOKS = {path.stem: notebooks.read(path) for path in notebooks.find()}
PAGES = {name: pages.page(notebook, f"{name}.ipynb") for name, notebook in NOTEBOOKS.items()}
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def text(words):
    return new_output("display_data", {"text/plain": words})


def code(source, *outputs, **metadata):
    return new_code_cell(source, outputs=list(outputs), execution_count=1, metadata=metadata)


FIGURE = new_output("display_data", {"image/png": "x"}, metadata={"image/png": {"alt": "2 bars"}})
LINE = new_output("display_data", {"text/html": "Look." + details("in words", "2 bars")})
TABLE = new_output("execute_result", {"text/html": "<th></th><th>n</th>"}, execution_count=1)
SMALL = new_notebook(
    cells=[
        new_markdown_cell("# 01 A title?\n**You need:** nothing. **Time:** none."),
        code("effect = 3.0", tags=["parameters"]),
        code("import numpy as np"),
        code("n = 6\nn", text("6")),
        new_markdown_cell("**Predict, then see.** How many?"),
        code('predict("01-n", ..., ...)', text("kept")),
        code("table", TABLE),
        new_markdown_cell("Between."),
        code('reveal("01-n", n)'),
        code("plots.landing(n)", FIGURE, LINE),
        new_markdown_cell("It is six."),
        code("n - 1", text("5")),
        new_markdown_cell("## Next\n**Predict, then see.** Which?"),
        new_markdown_cell("Later."),
        code("n + 1", text("7")),
        new_markdown_cell("**Predict, then see.** And here?"),
        code("n + 2", text("8")),
        new_markdown_cell("## Exercises\nGo on."),
        code('words.answer("Six.")', text("Six.")),
        code("words.say(f'{n}')\nn", text("6"), jupyter={"source_hidden": True}),
        code('answer = ...\ncheck("01-n", answer)', text("**Open.**")),
    ]
)
PAGE = pages.page(SMALL, "01_a.ipynb")


def tagged(page, tag):
    return {i for i, cell in enumerate(page.cells) if tag in cell.metadata.get("tags", [])}


def test_code_that_words_or_draws_is_folded_and_no_other():
    assert tagged(PAGE, "hide-input") == {8, 9, 18, 19}


def test_what_follows_a_prediction_is_folded_until_it_is_revealed():
    """Cells between are, and all up to the next heading; not the cell that takes the numbers."""
    assert tagged(PAGE, "hide-output") == {6, 9, 11, 16}
    assert pages.after_predictions(SMALL) == {4: {6, 9, 10, 11}, 12: set(), 15: {16}}
    assert [PAGE.cells[i].metadata["question"] for i in (6, 9, 11, 16)] == [4, 4, 4, 15]


def test_prose_that_tells_the_answer_is_folded_with_it():
    assert PAGE.cells[10].source.startswith('<details class="fold result" data-question="4">')
    assert "\n\nIt is six.\n\n</details>" in PAGE.cells[10].source
    assert PAGE.cells[7].source == "Between."  # what stands before the answer does not tell it


def test_a_page_asks_to_answer_first():
    assert PAGE.cells[4].source.endswith(pages.FOLDED)
    assert PAGE.cells[12].source.endswith(pages.ANSWER_FIRST)


def test_exercises_say_where_to_run_them():
    """And at the top that a page runs nothing; an open exercise says nothing of its own."""
    assert "`my/01_a.ipynb`.* *[Solutions](solutions/01_a.ipynb)*" in PAGE.cells[17].source
    for_a_class = pages.page(SMALL, "01_a.ipynb", solved=False).cells[17].source
    assert "`my/01_a.ipynb`" in for_a_class and "olutions" not in for_a_class
    assert "runs no code" in PAGE.cells[0].source and "`my/01_a.ipynb`" in PAGE.cells[0].source
    assert sum("`make lab`" in cell.source for cell in PAGE.cells) == 2
    assert PAGE.cells[20].outputs == []


def test_a_picture_has_its_words_once():
    """MyST-NB reads them from the cell; the fold with the same words is gone."""
    assert PAGE.cells[9].metadata["mystnb"] == {"image": {"alt": "2 bars"}}
    assert [output.data.get("text/html") for output in PAGE.cells[9].outputs] == [None, "Look."]


def test_an_empty_corner_heads_nothing():
    assert PAGE.cells[6].outputs[0].data["text/html"] == "<td></td><th>n</th>"


def test_the_notebook_itself_stays_as_it_is():
    before = nbformat.writes(SMALL)
    pages.page(SMALL, "01_a.ipynb")
    assert nbformat.writes(SMALL) == before


def test_a_question_at_the_end_is_no_fault():
    last = new_notebook(cells=[new_markdown_cell("**Predict, then see.** How many?")])
    assert pages.after_predictions(last) == {0: set()}
    ask = code('predict("01-n", ..., ...)', text("kept"))
    never = new_notebook(cells=[*last.cells, ask, new_markdown_cell("Later."), code("1", TABLE)])
    assert pages.after_predictions(never) == {0: {3}}


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (code("a", FIGURE, FIGURE), "two figures"),
        (code("a", new_output("display_data", {"image/png": "x"})), "without words"),
        (code("a", new_output("display_data", {"image/svg+xml": "x"})), "without words"),
        (code("1 / 0", new_output("error", ename="E", evalue="", traceback=[])), "raised an error"),
        (new_code_cell("n"), "was not run"),
    ],
)
def test_what_a_page_cannot_show_is_refused(cell, told):
    """With the cell's id, by which one finds it."""
    with pytest.raises(InputError, match=told) as caught:
        pages.page(new_notebook(cells=[cell]), "01_a.ipynb")
    assert cell.id in str(caught.value)
    assert pages.page(new_notebook(cells=[new_code_cell("")]), "01_a.ipynb")


# The course
DRAWS = re.compile(r"^plots\.(?!use_style)", flags=re.MULTILINE)


@each_notebook
def test_what_a_page_shows_of_the_course(name):
    notebook, page = NOTEBOOKS[name], PAGES[name]
    folded = tagged(page, "hide-input")
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            assert (position in folded) >= slides.author_hid(cell), cell.source
            assert (position in folded) >= bool(DRAWS.search(cell.source)), cell.source
            knobs = "parameters" in cell.metadata.get("tags", [])
            assert not (position in folded and knobs), cell.source
    for hint in (pages.WHERE_TO_RUN, pages.A_PAGE):
        assert sum(hint[:20] in cell.source for cell in page.cells) == 1


def shown_answers(page):
    """Code of cells that reveal what was asked, and show it."""
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    return [
        cell.source
        for cell in cells
        if pages.reveals(cell) and cell.outputs and "hide-output" not in cell.metadata["tags"]
    ]


@each_notebook
def test_no_answer_stands_open(name):
    assert shown_answers(PAGES[name]) == []


def test_an_open_answer_is_caught():
    page = nbformat.from_dict(PAGES["03_t_test"])
    for cell in page.cells:
        cell.metadata["tags"] = []
    assert shown_answers(page)
