"""Make your own copy of the notebooks, in my/: python -m tools.my

The copies have no outputs, so that no result stands there before you ask for it. What is in my/
already stays as it is: to start a notebook afresh, delete your copy and call this again.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import nbformat

from helpers import InputError
from tools import notebooks
from tools.files import nearest_folder, put_in_place


def cleared(path: Path) -> nbformat.NotebookNode:
    """The notebook in a file without its outputs. Raises InputError where there is none."""
    notebook = notebooks.read(path)
    notebooks.clear_outputs(notebook)
    return notebook


def stands(place: Path) -> bool:
    """Whether something has that name, be it a link that leads nowhere."""
    return place.is_symlink() or place.exists()


def make(folder: Path) -> list[str]:
    """Copy the notebooks that are missing in the folder; the names of those made.

    Each file appears whole or not at all. Raises InputError, and leaves the folder as it is, where
    a notebook cannot be read or the folder cannot be written to.
    """
    missing = [path for path in notebooks.numbered() if not stands(folder / path.name)]
    if not missing:
        return []
    copies = {path.name: cleared(path) for path in missing}
    try:
        with tempfile.TemporaryDirectory(
            dir=nearest_folder(folder), prefix=".unfinished-"
        ) as workshop:
            for name, notebook in copies.items():
                nbformat.write(notebook, Path(workshop) / name)
            put_in_place(Path(workshop), folder)
    except OSError as error:
        raise InputError(
            f"Cannot write to {folder} ({error.strerror}). Mend that, and try again."
        ) from None
    return list(copies)


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all is there, 2 with a message on stderr when it cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m tools.my", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(arguments)
    folder = notebooks.ROOT / "my"
    try:
        made = make(folder)
    except InputError as error:
        print(f"tools.my: {error}", file=sys.stderr)
        return 2
    if made:
        what = made[0] if len(made) == 1 else f"{len(made)} notebooks"
        print(f"Copied {what} to {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
