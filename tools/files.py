"""Places on disk: a path as it was typed, and results that appear together or not at all."""

from contextlib import suppress
from pathlib import Path

from helpers import InputError


def typed_path(text: str) -> Path:
    """A path as it was typed; make hands on a ~ as it stands."""
    with suppress(RuntimeError):  # the ~ of a stranger
        return Path(text).expanduser()
    return Path(text)


def nearest_folder(place: Path) -> Path:
    """The place itself or the closest folder above it that exists: where its files can be made."""
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def put_in_place(workshop: Path, out: Path) -> None:
    """Move the files of one folder to another, which is made where it is missing.

    Raises InputError, before it moves any, where something else stands.
    """
    targets = {path: out / path.name for path in workshop.iterdir()}
    if out.exists() and not out.is_dir():
        raise InputError(f"Cannot write to {out} (a file has that name). Move it away.")
    for target in targets.values():
        if target.is_dir():
            raise InputError(f"Cannot write to {target} (a folder has that name). Move it away.")
    out.mkdir(parents=True, exist_ok=True)
    for path, target in targets.items():
        path.replace(target)
