"""Write sets for a class: the course without solutions and outputs, one zip a student, and the teacher's answer key.

Without options: one set for everybody, with the seed of the course. With --seeds or --names every student has a seed
of their own, counted up from --first; somebody who comes later goes to the end of the list, so that the others keep
theirs. Each set holds what a learner needs: `make lab` and `check` work in it. The key is computed from the seeds.
"""

import argparse
import csv
import hashlib
import html
import io
import json
import math
import os
import re
import signal
import sys
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
from tqdm import tqdm

from helpers import InputError, checks, is_number, words
from tools import notebooks
from tools.files import typed_path

ROOT = Path(__file__).resolve().parents[1]
TOP = "segment-aware-ab-testing"  # the folder inside each zip
FILES = """README.md LICENSE Makefile pyproject.toml environment.yml
data/README.md data/ab_test_data.csv data/customers.csv data/customers_with_clusters.csv data/make_data.py
data/published_experiments.json tools/__init__.py tools/files.py tools/my.py tools/notebooks.py
tools/rerun.py tools/locks/requirements.txt tools/locks/scale.txt
tools/one_effect_many_verdicts.png"""
# What asks a learner for something, and what stands in such a cell until somebody answers; {} is its name.
ASKED = re.compile(r'^(check|predict|decide)\(\s*"([^"]+)"', flags=re.MULTILINE)
OPEN = {
    "check": r"^answer = \.\.\.$",
    "predict": r'^predict\("{}", \.\.\., \.\.\.\)',
    "decide": r'^my_words = \[\.\.\.(, \.\.\.)*\].*\ndecide\("{}", .*\bmy_words\b',
}
MOST, COURSE_SEED, MADE = 1000, 42, ".made_by_class_sets.json"
NOTE = b"""> **This is a class set.** Call `make lab` in this folder; your notebooks are then in `my/`. The seed in
> their first cell is yours: leave it. Solutions, tests and the commands for teachers are in the whole course, not here.

"""
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Answer key</title><style>
body {font: 9pt sans-serif; margin: 1.5em}
tr {break-inside: avoid} td {white-space: nowrap} section {break-after: page}
table {border-collapse: collapse}
th, td {border: 1px solid #bbb; padding: .2em .5em; text-align: left; vertical-align: bottom}
th {font-weight: normal} td:nth-child(3) {font-weight: bold} @page {size: landscape}</style><h1>Answer key</h1>
<p>For the knobs as handed out; with other knobs <code>check</code> still judges rightly. Right answer first, then what
the known mistakes lead to, so that a wrong answer tells its reason (nothing where that is right for this student, too).
All are rounded to one digit more than asked.</p>
"""


class Student(NamedTuple):
    name: str
    seed: int
    file: str


def whole(option: str, text: str, low: int, high: int, such_as: int) -> int:
    """The number that was typed. Raises InputError unless it is a whole one from low to high."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise InputError(
            f"--{option} is {text!r}; give a whole number from {low} to {high}, such as {such_as}."
        )
    return int(text)


def file_name(name: str) -> str:
    """What of a name may stand in a file name: letters of any alphabet, digits and hyphens, 60 at most."""
    kept = (c if c.isalnum() or unicodedata.category(c).startswith("M") else "-" for c in name)
    return re.sub("-+", "-", "".join(kept)).strip("-")[:60].strip("-")


def read_names(path: Path) -> list[str]:
    """The names of a class list, one a line. Raises InputError for a list that cannot be used as it stands."""
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        why = getattr(
            error, "strerror", "it is not utf-8 text; a spreadsheet can save it as CSV UTF-8"
        )
        raise InputError(
            f"The class list {path} cannot be read ({why}). Give a file with one name a line."
        ) from None
    names = [" ".join(unicodedata.normalize("NFC", line).split()) for line in lines]
    if not 1 <= len(names) <= MOST:
        raise InputError(
            f"The class list {path} has {len(names)} names. Give 1 to {MOST}, one a line."
        )
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not file_name(name):
            raise InputError(
                f"The class list {path} has no name in line {number}. Take the line out, or fill it in."
            )
        if (before := seen.setdefault(name.casefold(), number)) != number:
            where = f"twice, in lines {before} and {number}"
            raise InputError(
                f"The class list {path} has {name} {where}. Take one out, or add an initial."
            )
    return names


def class_list(seeds: str | None, names: Path | None, first: str | None) -> list[Student]:
    """Who gets which seed and which file. Raises InputError when that cannot be said."""
    if seeds is not None and names is not None:
        raise InputError("Give either --seeds or --names: a class list says how many there are.")
    if names is not None:
        called = read_names(names)
        files = [f"{k:03d}-{file_name(name)}" for k, name in enumerate(called, start=1)]
    elif seeds is not None:
        called = files = [
            f"student-{k:03d}" for k in range(1, 1 + whole("seeds", seeds, 1, MOST, 30))
        ]
    else:
        called, files = ["everybody"], [TOP]
    usual = COURSE_SEED if files == [TOP] else 1
    start = usual if first is None else whole("first", first, 0, 2**32 - len(called), 1000)
    return [
        Student(name, start + k, f"{file}.zip")
        for k, (name, file) in enumerate(zip(called, files, strict=True))
    ]


def packed(files: dict[str, bytes], onto: bytes = b"") -> bytes:
    """A zip of the files, put onto another one; the same files always make the same bytes."""
    buffer = io.BytesIO(onto)
    with zipfile.ZipFile(buffer, "a") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()


def common_files() -> dict[str, bytes]:
    """What all sets hold alike. Listed, not collected: a teacher's own files stay where they are."""
    paths = [*map(ROOT.joinpath, FILES.split()), *ROOT.glob("helpers/*.py")]
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(
            f"{missing[0].relative_to(ROOT).as_posix()} is missing. Get the course anew, and try again."
        )
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    files["README.md"] = re.sub(
        rb"\n## Teaching\n.+?(?=\n## )", b"", files["README.md"], flags=re.DOTALL
    )
    files["README.md"] = NOTE + files["README.md"]
    tables = {
        path.name: path.read_bytes()
        for path in ROOT.glob("notebooks/solutions/exercises_[0-9][0-9].py")
    }
    return files | {"notebooks/exercises.zip": packed(tables)}


def answered(source: str) -> list[str]:
    """The exercises and predictions of a cell that somebody has answered."""
    patterns = [
        (name, OPEN[call].replace("{}", re.escape(name))) for call, name in ASKED.findall(source)
    ]
    return [
        name for name, pattern in patterns if not re.search(pattern, source, flags=re.MULTILINE)
    ]


def settable(path: Path, notebook: nbformat.NotebookNode) -> bool:
    """Whether the first code cell holds knobs as `check` reads them, and one is a seed that can be set."""
    try:
        checks._run(path.name[:2], {})
        notebooks.set_knobs(notebook, {"seed": -1})
        first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
        return bool(re.search(r"^seed = -1( |$)", first, flags=re.MULTILINE))
    except Exception:  # whatever it is that stands there
        return False


def open_notebooks() -> dict[str, nbformat.NotebookNode]:
    """The notebooks without outputs, by file name. Raises InputError for one that cannot be handed out."""
    found = {}
    for path in notebooks.find():
        notebook, where = notebooks.read(path), f"notebooks/{path.name}"
        notebooks.clear_outputs(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code" and (names := answered(cell.source)):
                raise InputError(
                    f"{names[0]} has an answer in {where}. Put the dots back (...), then try again."
                )
        if not settable(path, notebook):
            knobs = f"Each line there must be a knob and its value, such as seed = {COURSE_SEED}."
            raise InputError(f"The seed in the first code cell of {where} cannot be set. {knobs}")
        found[path.name] = notebook
    return found


def titles(books: dict[str, nbformat.NotebookNode]) -> dict[str, str]:
    """The exercises in the order of the course, each with its heading."""
    found, heading = {}, ""
    for file, notebook in books.items():
        if package := notebooks.missing_package(Path(file)):
            print(
                f"{file} is left out of the key: it needs {package} (pip install).", file=sys.stderr
            )
            continue
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                heading = [heading, *re.findall(r"^### (.+)$", cell.source, flags=re.MULTILINE)][-1]
            else:
                found |= {
                    name: heading for call, name in ASKED.findall(cell.source) if call == "check"
                }
    return found


def solve(exercise: str, seed: int) -> checks.Exercise | None:
    """The exercise in the run with that seed and all other knobs as stored; None where it has no answer there."""
    compute = None
    try:
        compute, run = checks._look_up(exercise, {"seed": seed})
        return compute(run)
    except InputError:
        if compute:
            return None
        raise
    except Exception as error:  # whatever the table does
        table = f"notebooks/solutions/exercises_{exercise[:2]}.py"
        raise InputError(
            f"{exercise} has no key with seed {seed}: {error!r}. Mend {table}."
        ) from None


def solve_all(tasks: list[tuple[str, int]], bar: tqdm) -> Iterable[checks.Exercise | None]:
    """Solve all, on all cores when there are many."""
    if len(tasks) < 100:
        for task in tasks:
            yield solve(*task)
            bar.update()
        return
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # the workers share the cores, so each computes in one thread
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn"))
    try:
        before = signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # inherited: the workers leave Ctrl-C to this process
        answers = pool.map(solve, *zip(*tasks, strict=True), chunksize=4)
        signal.signal(signal.SIGINT, before)
        for found in answers:
            yield found
            bar.update()
    except BaseException:  # what they compute is of no use any more
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def passes(answer: object, exercise: checks.Exercise) -> bool:
    """Whether an answer would pass."""
    try:
        return bool(checks._gaps(answer, exercise.right).max() <= exercise.tolerance)
    except (TypeError, ValueError):
        return False


def same_answer(one: checks.Exercise | None, other: checks.Exercise | None) -> bool:
    """Whether the right answer to the one would pass for the other."""
    return one is other if one is None or other is None else passes(one.right, other)


def refuse_twins(students: list[Student], key: list[list[checks.Exercise | None]]) -> None:
    """Raise InputError where two students could hand in the same sheet."""
    for (one, answers), (other, others) in combinations(zip(students, key, strict=True), 2):
        if all(map(same_answer, answers, others)):
            who = f"{one.name} and {other.name} (seeds {one.seed} and {other.seed})"
            raise InputError(
                f"{who} have the same answers everywhere. Choose another --first, such as 1000."
            )


def spell(value: object, tolerance: float) -> str:
    """An answer for the key: a word, or numbers with one digit more than the tolerance asks for."""
    if isinstance(value, str):
        return value
    digits = max(0, 1 + math.ceil(-math.log10(2 * max(tolerance, 1e-9))))
    numbers = (
        str(x) if is_number(x, whole=True) else words.number(float(x), digits)
        for x in np.ravel(value)
    )
    return " and ".join(number.replace(",", "") for number in numbers)


def key_table(
    students: list[Student], asked: dict[str, str], key: list[list[checks.Exercise | None]]
) -> str:
    """The key for a spreadsheet: a row a student, a column an exercise.

    A spreadsheet would compute what begins with one of = + - @; an apostrophe makes it text.
    """
    page = io.StringIO(newline="")
    rows = csv.writer(page)
    rows.writerow(["student", "seed", *asked])
    for student, answers in zip(students, key, strict=True):
        spelled = (
            spell(found.right, found.tolerance) if found else "no answer" for found in answers
        )
        rows.writerow(
            [
                "'" * student.name.startswith(("=", "+", "-", "@")) + student.name,
                student.seed,
                *spelled,
            ]
        )
    return page.getvalue()


def key_pages(
    students: list[Student], asked: dict[str, str], key: list[list[checks.Exercise | None]]
) -> str:
    """The key for printing: a table an exercise, with what each known mistake leads to where that is not right."""

    def row(tag: str, cells: Iterable[object]) -> str:
        return (
            "<tr>"
            + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
            + "</tr>\n"
        )

    pages = [HEAD]
    for (exercise, heading), column in zip(asked.items(), zip(*key, strict=True), strict=True):
        told = [
            {name: value for name, (value, *_) in found.wrong.items() if not passes(value, found)}
            if found
            else {}
            for found in column
        ]
        known = dict.fromkeys(name for found in column if found for name in found.wrong)
        mistakes = [name for name in known if any(name in values for values in told)]
        alike = len(students) > 1 and all(same_answer(column[0], found) for found in column)
        note = (
            "<p>The same answer for everybody: it does not depend on the seed.</p>" if alike else ""
        )
        pages.append(
            f"<section><h2>{html.escape(f'{exercise}: {heading}')}</h2>{note}<table><thead>\n"
        )
        pages.append(
            row("th", ["student", "seed", "right answer", *mistakes]) + "</thead><tbody>\n"
        )
        for student, found, wrong in zip(students, column, told, strict=True):
            values = [found.right, *(wrong.get(name, "") for name in mistakes)] if found else []
            spelled = [spell(value, found.tolerance) for value in values] or ["no answer"]
            pages.append(row("td", [student.name, student.seed, *spelled]))
        pages.append("</tbody></table></section>\n")
    return "".join(pages)


def sums(folder: Path) -> dict[str, str]:
    """A checksum for each file there, none for a folder; what file managers and offices leave does not count."""
    left = re.compile(
        r"\._.*|\.~lock\..*#|\.ds_store|\.directory|thumbs\.db|desktop\.ini|" + re.escape(MADE)
    )
    seen = [
        path for path in folder.iterdir() if path.is_dir() or not left.fullmatch(path.name.lower())
    ]
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in sorted(seen)
    }


def check_place(out: Path) -> None:
    """Raise InputError unless the folder can be put there: it is new, empty, or just as this command left it."""
    nearest = next(folder for folder in (out, *out.parents) if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest} is a file. Name a folder with --out.")
    if out.is_mount():
        raise InputError(
            f"{out} is a drive, not a folder. Name a new folder in it, such as {out / 'class'}."
        )
    for folder in (nearest, out.parent):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise InputError(
                f"Cannot write to {folder} (no permission). Name another folder with --out."
            )
    if nearest == out:
        try:
            made = dict(json.loads((out / MADE).read_text(encoding="utf-8")))
        except (OSError, TypeError, ValueError):
            made = {}
        if yours := [name for name, checksum in sums(out).items() if made.get(name) != checksum]:
            said = f"{out} holds files of yours: {yours[0]}."
            raise InputError(f"{said} Move them away, or name another folder with --out.")


def write_sets(students: list[Student], out: Path) -> None:
    """Write all sets and the key into `out`: everything appears together at the end, or nothing."""
    check_place(out)
    common, books = common_files(), open_notebooks()
    shared = packed({f"{TOP}/{name}": content for name, content in common.items()})
    asked = titles(books)
    tasks = [(exercise, student.seed) for student in students for exercise in asked]
    nearest = next(folder for folder in out.parents if folder.is_dir())
    with (
        tempfile.TemporaryDirectory(dir=nearest, prefix=".unfinished-") as workshop,
        tqdm(
            total=len(tasks) + len(students),
            file=sys.stderr,
            desc="key and sets",
            leave=False,
            disable=None,
        ) as bar,
    ):
        found = list(solve_all(tasks, bar))
        key = [found[k * len(asked) : (k + 1) * len(asked)] for k in range(len(students))]
        refuse_twins(students, key)
        fresh = Path(workshop) / "fresh"
        fresh.mkdir()
        for student in students:
            for notebook in books.values():
                notebooks.set_knobs(notebook, {"seed": student.seed})
            own = {
                f"{TOP}/notebooks/{name}": nbformat.writes(book).encode()
                for name, book in books.items()
            }
            (fresh / student.file).write_bytes(packed(own, onto=shared))
            bar.update()
        # a spreadsheet knows by the mark at the beginning that this is utf-8
        (fresh / "key.csv").write_text(
            key_table(students, asked, key), encoding="utf-8-sig", newline=""
        )
        (fresh / "key.html").write_text(
            key_pages(students, asked, key), encoding="utf-8", newline="\n"
        )
        (fresh / MADE).write_text(json.dumps(sums(fresh)), encoding="utf-8")
        check_place(out)  # again: it has taken a while
        out.parent.mkdir(parents=True, exist_ok=True)
        old = Path(workshop) / "old"
        try:
            if out.exists():
                out.rename(old)
            fresh.rename(out)
        finally:
            if old.exists() and not out.exists():
                old.rename(out)


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, with a message 2 for what cannot be used and 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.class_sets", description=__doc__, allow_abbrev=False
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", metavar="N", help="how many sets, such as 30")
    parser.add_argument(
        "--names", metavar="FILE", type=typed_path, help="a class list in utf-8, one name a line"
    )
    parser.add_argument(
        "--first", metavar="S", help="the first seed (default: 1), such as 1000 for the next class"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=typed_path,
        default=ROOT / "class",
        help="the folder (default: class)",
    )
    given = parser.parse_args(arguments)
    out = given.out.resolve()
    try:
        students = class_list(given.seeds, given.names, given.first)
        write_sets(students, out)
        size = sum(path.stat().st_size for path in out.glob("*.zip")) / len(students) / 1000
    except (InputError, OSError) as error:
        full = f"Cannot write to {out} ({getattr(error, 'strerror', '')}). Name another folder with --out."
        print(
            f"tools.class_sets: {error if isinstance(error, InputError) else full}", file=sys.stderr
        )
        return 2
    except KeyboardInterrupt:
        print("tools.class_sets: stopped; nothing was written.", file=sys.stderr)
        return 130
    seeds = (
        f"seeds {students[0].seed} to {students[-1].seed}"
        if len(students) > 1
        else f"seed {students[0].seed}"
    )
    made = f"{words.count(len(students), 'set')} ({size:.0f} kB each), {seeds}"
    print(f"{made}: {out}\nFor you alone: key.csv for the spreadsheet, key.html to print.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
