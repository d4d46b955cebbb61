"""Execute notebooks and their solutions and store the outputs: python -m tools.store_notebooks [01_segmentation ...]

Stored files hold no clock times, paths or Python patch release. Notebook 01's table goes to data/.
"""

import math
import re
import sys
import time
from pathlib import Path

import nbformat

from helpers import InputError
from tools import rerun, slides

CLUSTERED = "customers_with_clusters.csv"


def reading_minutes(notebook: nbformat.NotebookNode) -> int:
    """Minutes for a careful reader: 130 words a minute, half a minute a code cell, rounded up to the next five."""
    prose = sum(
        len(re.findall(r"\w+", cell.source))
        for cell in notebook.cells
        if cell.cell_type == "markdown"
    )
    code = sum(cell.cell_type == "code" for cell in notebook.cells)
    return 5 * math.ceil((prose / 130 + code / 2) / 5)


def store(path: Path) -> None:
    notebook = rerun.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    start = time.perf_counter()
    rerun.execute(notebook, path.parent)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    slides.tag(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, path)
    if (path.parent / CLUSTERED).exists():
        (path.parent / CLUSTERED).replace(rerun.ROOT / "data" / CLUSTERED)
    minutes, seconds = reading_minutes(notebook), time.perf_counter() - start
    print(f"{path.parent.name}/{path.name}: {minutes} minutes to read, {seconds:.1f} s to run")


def main(names: list[str]) -> int:
    """Store the notebooks of these names, or all: 0 when all went well, 2 with a message where a name means none."""
    try:
        files = [*rerun.notebook_files(), *rerun.solution_files()]
        known = list(dict.fromkeys(path.stem for path in files))
        for name in names:
            if name not in known:
                raise InputError(
                    f"There is no notebook {name!r}. Give some of {', '.join(known)}, or none for all."
                )
        for path in files:
            if path.stem in (names or known):
                store(path)
    except InputError as error:
        print(f"tools.store_notebooks: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
