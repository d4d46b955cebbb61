"""Places on disk: paths as they were typed, and results that appear together or not at all."""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
import unicodedata
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers import CONTROL, InputError, shown
from helpers.predictions import locked
from tools import command

UNFINISHED = ".unfinished-"
LOCK = ".lock"


def typed_path(text: str) -> Path:
    """A path as it was typed; make hands on a ~ as it stands. For argparse, which says --what."""
    if not text or CONTROL.search(text):
        raise ArgumentTypeError(f"'{shown(text)}' is no path: give one, without control characters")
    with suppress(RuntimeError):  # the ~ of a stranger
        return Path(text).expanduser()
    return Path(text)


def as_file_name(text: str) -> str:
    """What of a text may stand in a file name: letters of any alphabet, digits and hyphens.

    60 at most, and a letter keeps its marks.
    """
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in text)
    return re.sub("-+", "-", "".join(kept)).strip("-")[:60].strip("-")


def nearest_folder(place: Path) -> Path:
    """The place itself or the closest folder above it that exists: where its files can be made."""
    return next(folder for folder in (place, *place.parents) if folder.is_dir())


def as_folder(typed: Path, mend: str = "Name another folder with --out.") -> Path:
    """The whole path of a folder that is there or can be made, links followed.

    Raises InputError, with what to do, where a file or a link that leads nowhere is in the way.
    """
    try:
        for place in (typed, *typed.parents):
            if place.is_symlink() and not place.exists():
                raise OSError(None, f"{place} is a link that leads nowhere")
        out = typed.resolve()
        for place in (out, *out.parents):
            if os.path.lexists(place) and not place.is_dir():
                raise InputError(f"{place} is a file. {mend}")
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{typed} is no place for a folder ({why}). {mend}") from None
    return out


# Where results are made


@contextmanager
def workshop(place: Path) -> Iterator[Path]:
    """A folder beside or above a place, on the same disk, in which its files are made.

    It goes away at the end, and so do those whose command was killed. Raises OSError where neither
    it nor the place can be made.
    """
    nearest = nearest_folder(place)
    clear_abandoned(nearest)
    folder = Path(tempfile.mkdtemp(dir=nearest, prefix=UNFINISHED))
    try:
        with locked(folder / LOCK):
            trial = folder / "trial"  # of the names: some are too long, or none for this disk
            (trial / place.relative_to(nearest)).mkdir(parents=True)
            shutil.rmtree(trial)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_abandoned(folder: Path) -> None:
    """Take away the workshops in a folder that no command holds any more."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            made = left.lstat()
            # one that is being made has no lock for a moment
            if stat.S_ISDIR(made.st_mode) and time.time() - made.st_mtime > 1:
                with locked(left / LOCK, seconds=0):
                    pass
                shutil.rmtree(left, ignore_errors=True)


# Where results go


def check_place(out: Path, course: Path) -> None:
    """Raise InputError for a folder of the course that is not for runs."""
    runs = course / "runs"
    if out.is_relative_to(course) and not out.is_relative_to(runs):
        raise InputError(
            f"{out} is inside the course, which stays as it is. Choose one in runs, or outside.",
            "out",
        )


def made_by(name: str) -> str:
    """The file in which a command keeps what it left in a folder, and of what it was made."""
    return f".made_by_{name}.json"


def checksum(path: Path) -> str:
    """A checksum of a file, none for anything else."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def made_earlier(out: Path, name: str) -> tuple[dict[str, str], str]:
    """The checksums of what a command left in a folder, and of what that was made.

    None where it was not here.
    """
    try:
        kept = json.loads((out / made_by(name)).read_text(encoding="utf-8"))
        return dict(kept["files"]), str(kept["of"])
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        return {}, ""


def check_targets(out: Path, files: Iterable[str], name: str, of: str = "") -> None:
    """Raise InputError unless a command may put files of these names into a folder.

    It may where they are new, or just as it left them when it was here for the same data.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"Cannot write to {out} (a file has that name). Move it away.")
    made, earlier = made_earlier(out, name)
    there = [out / file for file in sorted(files) if os.path.lexists(out / file)]
    for target in there:
        if target.is_dir():
            raise InputError(f"Cannot write to {target} (a folder has that name). Move it away.")
    for target in there:
        if target.is_symlink() or checksum(target) != made.get(target.name):
            mend = "Move it away, or choose another folder."
            raise InputError(f"{target} is not as this command left it. {mend}")
    if there and earlier != of:
        raise InputError(f"{out} holds results of {earlier}. Name another folder with --out.")


def put_in_place(made: Path, out: Path, name: str = "", of: str = "") -> None:
    """Move the files that a command made to another folder, which is made where it is missing.

    of: what data they were made of. Without a name it is not noted who made them, and none is ever
    replaced. Raises InputError, before it moves any, where a file stands that may not be replaced.
    """
    files = [path for path in made.iterdir() if path.name != LOCK]
    check_targets(out, [path.name for path in files], name, of)
    if name:
        sums = made_earlier(out, name)[0] | {path.name: checksum(path) for path in files}
        files.append(made / made_by(name))  # the last to be moved
        files[-1].write_text(json.dumps({"of": of, "files": sums}, indent=1), encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    command.undisturbed()
    for path in files:
        path.replace(out / path.name)
