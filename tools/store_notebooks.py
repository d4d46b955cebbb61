"""Execute notebooks and their solutions and store the outputs.

  python -m tools.store_notebooks [01_segmentation ...]

Stored files hold no clock times, paths or Python patch release. Notebook 01's table goes to data/.
"""

import math
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError

from helpers import InputError
from tools import command, notebooks, slides

CLUSTERED = notebooks.WRITES["01"]


def reading_minutes(notebook: nbformat.NotebookNode) -> tuple[int, int]:
    """Minutes for a careful reader, rounded up to the next five, and for the exercises.

    130 words a minute, half a minute a code cell; closer looks and exercises are left out of the
    first. Five minutes an exercise.
    """
    cells, skipped = notebook.cells, notebooks.closer_looks(notebook)
    asked = [cell for cell in cells if cell.source.startswith("answer = ...")]
    end = next((i for i, cell in enumerate(cells) if "## Exercises\n" in cell.source), len(cells))
    read = [cell for i, cell in enumerate(cells[:end]) if i not in skipped]
    prose = [cell.source for cell in read if cell.cell_type == "markdown"]
    words = sum(len(re.findall(r"\w+", text)) for text in prose)
    code = sum(cell.cell_type == "code" for cell in read)
    return 5 * math.ceil((words / 130 + code / 2) / 5), 5 * len(asked)


def minutes_said(notebook: nbformat.NotebookNode) -> str:
    """The minutes as the first cell of a notebook gives them."""
    main, exercises = reading_minutes(notebook)
    return f"**Time:** about {main} minutes, and {exercises} for the exercises."


def store(path: Path) -> None:
    """Execute the notebook in a file and write it back with what its cells show.

    Raises InputError for a file that is no notebook, and nbclient's errors; then the file stays as
    it is.
    """
    notebook = notebooks.read(path)
    notebooks.clear_outputs(notebook)
    start = time.perf_counter()
    notebooks.execute(notebook, path.parent)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    slides.tag(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    table = path.parent / CLUSTERED
    if table.exists():
        table.replace(notebooks.ROOT / "data" / CLUSTERED)
    minutes, _ = reading_minutes(notebook)
    seconds = time.perf_counter() - start
    print(f"{path.parent.name}/{path.name}: {minutes} minutes to read, {seconds:.1f} s to run")


def work(names: list[str]) -> int:
    """Store the notebooks of these names, or all."""
    paths = [*notebooks.find(), *notebooks.find_solutions()]
    known = list(dict.fromkeys(path.stem for path in paths))
    for name in names:
        if name not in known:
            some = f"Give some of {', '.join(known)}, or none for all."
            raise InputError(f"There is no notebook {name!r}. {some}")
    for path in paths:
        if path.stem in (names or known):
            try:
                store(path)
            except CellExecutionError as error:
                why = f"{error.ename}: {error.evalue}. Mend it; it stays as it was."
                raise InputError(f"{path.parent.name}/{path.name} stopped. {why}") from None
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    parser = command.Parser("python -m tools.store_notebooks", __doc__)
    parser.add_argument("names", nargs="*", help="such as 03_t_test (default: all)")
    left = "a notebook that is not named above stays as it was"
    return command.run(
        "tools.store_notebooks", lambda: work(parser.parse_args(arguments).names), when_stopped=left
    )


if __name__ == "__main__":
    sys.exit(main())
