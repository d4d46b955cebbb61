"""A notebook of the course as a page of the web book.

Nothing is executed. A page shows what the notebook holds: code that words or draws is folded, and
so is what comes out after a prediction, until the reader opens it. The figures' alternative texts
are put where MyST-NB looks for them.
"""

import re

import nbformat
from nbformat import NotebookNode

from helpers import InputError
from tools import notebooks, slides

PREDICTED = re.compile(r'^(?:predict|decide)\("([^"]+)"', flags=re.MULTILINE)
REVEALED = re.compile(r'\breveal\("([^"]+)"')
EXERCISES = re.compile(r"^## Exercises$", flags=re.MULTILINE)
OPENING = re.compile(r"^\*\*You need:\*\*.*$", flags=re.MULTILINE)
IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}
ANSWER_FIRST = "*Answer before you scroll on.*"
# Paper cannot fold.
FOLDED = (
    "*Answer before you scroll on"
    '<span class="on-screen">; what comes out is folded until you open it</span>.*'
)
MEANING = """<details class="fold result" data-question="{}"><summary>Show what it means</summary>

{}

</details>"""
# {} is the notebook's file name.
A_PAGE = (
    "*This is a page: it shows one run, and runs no code. Say a prediction to yourself, then open "
    "the result. To run it all, with a prediction that is kept and exercises that answer, call "
    "`make lab` in the folder of the course and open `my/{}`.*"
)
WHERE_TO_RUN = "*Solve these in your own copy: `make lab`, then `my/{0}`.*"
SOLVED = " *[Solutions](solutions/{0})*"


def page(notebook: NotebookNode, file: str, solved: bool = True) -> NotebookNode:
    """A copy of a notebook, as the book shows it. file: its name, as the reader finds it in my/.

    solved: whether the book has its solutions.
    Where an output follows a prediction, it has the tag "hide-output"; code that words or draws
    has "hide-input". Raises InputError, without the file's name, for what a page cannot show.
    """
    check_run(notebook)
    notebook = nbformat.from_dict(notebook)
    answers = after_predictions(notebook)
    question = {cell: asked for asked, cells in answers.items() for cell in cells}
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and position in question:
            cell.source = MEANING.format(question[position], cell.source)
        elif cell.cell_type == "markdown":
            cell.source = with_hints(cell.source, file, bool(answers.get(position)), solved)
        elif cell.cell_type == "code":
            fold(cell, question.get(position))
            name_pictures(cell)
    return notebook


def with_hints(source: str, file: str, something_folded: bool, solved: bool) -> str:
    """Markdown with what a page must say: that it runs no code, to answer first, where to run."""
    if slides.PREDICT.search(source):
        source += "\n\n" + (FOLDED if something_folded else ANSWER_FIRST)
    source = OPENING.sub(f"\\g<0>\n\n{A_PAGE.format(file)}", source)
    where = (WHERE_TO_RUN + (SOLVED if solved else "")).format(file)
    return EXERCISES.sub(f"\\g<0>\n\n{where}\n", source)


def fold(cell: NotebookNode, question: int | None) -> None:
    """Tag what of a code cell is folded, and make its outputs ready.

    question: the position of the prediction that they answer. They lose the words that the picture
    has anyway, headers of tables that say nothing, and what `check` says of an open exercise.
    """
    tags = set(cell.metadata.get("tags", []))
    if slides.author_hid(cell) or not (slides.is_setup(cell) or slides.shown_code(cell)):
        tags.add("hide-input")
    if slides.WAITS.search(cell.source):
        cell.outputs = []
    cell.outputs = [kept for kept in map(slides.without_words, cell.outputs) if kept]
    if question is not None and cell.outputs:
        tags.add("hide-output")
        cell.metadata["question"] = question
    cell.metadata["tags"] = sorted(tags)
    for output in cell.outputs:
        if "text/html" in output.get("data", {}):  # the empty corner of a table heads nothing
            output.data["text/html"] = output.data["text/html"].replace("<th></th>", "<td></td>")


def name_pictures(cell: NotebookNode) -> None:
    """Put the alternative text of a cell's figure where MyST-NB looks for it.

    Raises InputError where a figure has none, or a cell has two, which would share it.
    """
    pictures = [output for output in cell.outputs if IMAGES & output.get("data", {}).keys()]
    alts = [output.get("metadata", {}).get("image/png", {}).get("alt") for output in pictures]
    if len(alts) > 1 or not all(alts):
        mend = "Show each in a cell of its own, with plots.show, which gives it words."
        raise InputError(f"cell {cell.id} has two figures, or one without words. {mend}")
    if alts:
        cell.metadata["mystnb"] = {"image": {"alt": alts[0]}}


def check_run(notebook: NotebookNode) -> None:
    """Raise InputError for a cell that was not run, or that raised something."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip():
            raised = any(output.output_type == "error" for output in cell.outputs)
            if raised or cell.execution_count is None:
                what = "raised an error" if raised else "was not run"
                raise InputError(f"cell {cell.id} {what}. Pages show stored outputs: make store.")


def after_predictions(notebook: NotebookNode) -> dict[int, set[int]]:
    """For the position of each question, those of the cells that show, or tell, what was asked.

    They go from the question to the cell that reveals the answer, and on through one piece of prose
    on it and the code below that, but not into the next section or question. Where nothing is
    revealed, it is the code right below the question. Cells without outputs do not count.
    """
    found = {}
    cells = notebook.cells
    for position, cell in enumerate(cells):
        if not is_question(cell):
            continue
        first = told = end = position + 1
        names = asks(cells[first]) if first < len(cells) else set()
        if names:
            first += 1  # the cell that takes the numbers shows nothing of the answer
            told = max([first, *(i for i, other in enumerate(cells) if names & reveals(other))])
            end = after_code(cells, told + 1)
            if end < len(cells) and not ends_section(cells[end]):
                end += 1
        end = after_code(cells, end)
        prose = {place for place in range(told + 1, end) if cells[place].cell_type == "markdown"}
        found[position] = prose | {i for i in range(first, end) if cells[i].get("outputs")}
    return found


def after_code(cells: list[NotebookNode], start: int) -> int:
    """The position of the first cell from `start` on that is not code, or the end."""
    rest = (place for place in range(start, len(cells)) if cells[place].cell_type != "code")
    return next(rest, len(cells))


def is_question(cell: NotebookNode) -> bool:
    """Whether a cell asks for a prediction."""
    return cell.cell_type == "markdown" and bool(slides.PREDICT.search(cell.source))


def ends_section(cell: NotebookNode) -> bool:
    """Whether a cell has a heading, or asks for the next prediction."""
    heading = cell.cell_type == "markdown" and notebooks.HEADING.search(cell.source)
    return bool(heading) or is_question(cell)


def asks(cell: NotebookNode) -> set[str]:
    """The names of the predictions that a cell takes."""
    return set(PREDICTED.findall(cell.source))


def reveals(cell: NotebookNode) -> set[str]:
    """The names of the predictions whose answer a cell shows."""
    return set(REVEALED.findall(cell.source))
