"""Copy the pictures of pages from the stored notebooks: python -m tools.pictures

The README and book/part_one.md show what the notebooks show, to the pixel.
"""

import sys
from base64 import b64decode

from helpers import InputError
from tools import command, notebooks

# Where a picture goes, and the notebook and cell that it comes from.
PICTURES = {
    "tools/one_effect_many_verdicts.png": ("03", "nb03-057"),
    "book/pictures/01.png": ("01", "nb01-b1d6084c"),
    "book/pictures/02.png": ("02", "nb02-70c4d8ae"),
    "book/pictures/03.png": ("03", "nb03-6e70c2ab"),
    "book/pictures/04.png": ("04", "nb04-012"),
    "book/pictures/05.png": ("05", "nb05-015"),
}


def stored(number: str, cell_id: str) -> bytes:
    """The picture of a cell, as PNG. Raises InputError where there is none."""
    (path,) = (path for path in notebooks.find() if path.name.startswith(number))
    for cell in notebooks.read(path).cells:
        for output in cell.get("outputs", []) if cell.id == cell_id else []:
            if "image/png" in output.get("data", {}):
                return b64decode(output.data["image/png"])
    raise InputError(f"{path.name} has no picture in cell {cell_id}. Store it, or name another.")


def copy() -> int:
    """Write each picture to its place."""
    for place, source in PICTURES.items():
        path = notebooks.ROOT / place
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(stored(*source))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    parser = command.Parser("python -m tools.pictures", __doc__)

    def work() -> int:
        parser.parse_args(arguments)
        return copy()

    return command.run("tools.pictures", work, when_stopped="some pictures may be new")


if __name__ == "__main__":
    sys.exit(main())
