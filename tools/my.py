"""Make your own copy of the notebooks, in my/: python -m tools.my

The copies have no outputs, so that no result stands there before you ask for it. What is in my/
already stays as it is: to start a notebook afresh, delete your copy and call this again.
"""

import sys
from pathlib import Path

import nbformat

from helpers import InputError, shown
from tools import command, files, notebooks


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
        with files.workshop(folder) as workshop:
            for name, notebook in copies.items():
                nbformat.write(notebook, workshop / name)
            files.put_in_place(workshop, folder)
    except OSError as error:
        raise InputError(
            f"Cannot write to {folder} ({error.strerror}). Mend that, and try again."
        ) from None
    return list(copies)


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all is there, else as `command.run` says."""

    def work() -> int:
        command.Parser("python -m tools.my", __doc__).parse_args(arguments)
        folder = files.as_folder(notebooks.ROOT / "my", "Move it away.")
        made = make(folder)
        if made:
            what = made[0] if len(made) == 1 else f"{len(made)} notebooks"
            print(f"Copied {what} to {shown(folder, most=1000)}")
        return 0

    return command.run("tools.my", work)


if __name__ == "__main__":
    sys.exit(main())
