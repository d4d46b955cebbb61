"""A notebook of the course as a page of the web book.

Nothing is executed. A page shows what the notebook holds: code that words or draws is folded, and
so is what comes out after a prediction, until the reader opens it. The figures' alternative texts
are put where MyST-NB looks for them.
"""

import re

import nbformat
from nbformat import NotebookNode

from tools import slides

PREDICTED = re.compile(r'^(?:predict|decide)\("([^"]+)"', flags=re.MULTILINE)
REVEALED = re.compile(r'\breveal\("([^"]+)"')
EXERCISES = re.compile(r"^## Exercises$", flags=re.MULTILINE)
ANSWER_FIRST = "*Answer before you scroll on.*"
FOLDED = "*Answer before you scroll on; what comes out is folded until you open it.*"
# {} is the notebook's file name.
WHERE_TO_RUN = (
    "*A page cannot run code. Solve these in your own copy: `make lab` in the folder of the "
    "course, then `my/{}`.*"
)


def page(notebook: NotebookNode, file: str) -> NotebookNode:
    """A copy of a notebook, as the book shows it. file: its name, as the reader finds it in my/.

    Where an output follows a prediction, it has the tag "hide-output"; code that words or draws
    has "hide-input".
    """
    notebook = nbformat.from_dict(notebook)
    answers = after_predictions(notebook)
    folded = set().union(*answers.values())
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = with_hints(cell.source, file, bool(answers.get(position)))
        elif cell.cell_type == "code":
            fold(cell, position in folded)
            name_pictures(cell)
    return notebook


def with_hints(source: str, file: str, something_folded: bool) -> str:
    """Markdown with a word on what a page asks for: to answer first, and where to run exercises."""
    if slides.PREDICT.search(source):
        source += "\n\n" + (FOLDED if something_folded else ANSWER_FIRST)
    return EXERCISES.sub(f"\\g<0>\n\n{WHERE_TO_RUN.format(file)}\n", source)


def fold(cell: NotebookNode, after_prediction: bool) -> None:
    """Tag what of a code cell is folded, and make its outputs ready.

    They lose the words that the picture has anyway, and headers of tables that say nothing.
    """
    tags = set(cell.metadata.get("tags", []))
    if slides.author_hid(cell) or not (slides.is_setup(cell) or slides.shown_code(cell)):
        tags.add("hide-input")
    if after_prediction and cell.outputs:
        tags.add("hide-output")
    cell.metadata["tags"] = sorted(tags)
    cell.outputs = [kept for kept in map(slides.without_words, cell.outputs) if kept]
    for output in cell.outputs:
        if "text/html" in output.get("data", {}):  # the empty corner of a table heads nothing
            output.data["text/html"] = output.data["text/html"].replace("<th></th>", "<td></td>")


def name_pictures(cell: NotebookNode) -> None:
    """Put the alternative text of a cell's figure where MyST-NB looks for it."""
    alts = [
        output.metadata["image/png"]["alt"]
        for output in cell.outputs
        if "alt" in output.get("metadata", {}).get("image/png", {})
    ]
    if alts:
        cell.metadata["mystnb"] = {"image": {"alt": " ".join(alts)}}


def after_predictions(notebook: NotebookNode) -> dict[int, set[int]]:
    """For the position of each question, those of the code cells that show what was asked.

    They go from the question to the cell that reveals the answer, and on as long as no prose comes
    between. Where nothing is revealed, it is the code right below the question. Cells without
    outputs do not count.
    """
    found = {}
    cells = notebook.cells
    for position, cell in enumerate(cells):
        if cell.cell_type != "markdown" or not slides.PREDICT.search(cell.source):
            continue
        first = last = position + 1
        names = asks(cells[first]) if first < len(cells) else set()
        if names:
            first += 1  # the cell that takes the numbers shows nothing of the answer
            told = [place for place, other in enumerate(cells) if names & reveals(other)]
            last = max([first, *told])
        while last < len(cells) and cells[last].cell_type == "code":
            last += 1
        found[position] = {place for place in range(first, last) if cells[place].get("outputs")}
    return found


def asks(cell: NotebookNode) -> set[str]:
    """The names of the predictions that a cell takes."""
    return set(PREDICTED.findall(cell.source))


def reveals(cell: NotebookNode) -> set[str]:
    """The names of the predictions whose answer a cell shows."""
    return set(REVEALED.findall(cell.source))
