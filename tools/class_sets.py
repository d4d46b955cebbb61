"""Write sets for a class: the course without solutions and outputs, one zip a student, and a key.

Without options: one set for everybody, with the seed of the course. With --seeds or --names every
student has a seed of their own, counted up from --first; somebody who comes later goes to the end
of the list, so that the others keep theirs. Each set holds what a learner needs: `make lab` and
`check` work in it. The teacher's key is computed from the knobs of the notebooks and the seeds.
"""

import argparse
import copy
import csv
import html
import io
import json
import math
import os
import re
import sys
import unicodedata
import zipfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import numpy as np
from tqdm import tqdm

from helpers import InputError, exercises, is_number, shown, words
from tools import command, files, notebooks

ROOT = Path(__file__).resolve().parents[1]
TOP = "segment-aware-ab-testing"  # the folder inside each zip
FILES = """README.md LICENSE Makefile pyproject.toml environment.yml
data/README.md data/ab_test_data.csv data/customers.csv data/customers_with_clusters.csv
data/make_data.py data/shop_customers.csv data/published_experiments.json
tools/__init__.py tools/command.py tools/files.py tools/my.py tools/notebooks.py tools/rerun.py
tools/decided.py tools/analyse.py tools/large.py tools/report.py
tools/printed.py tools/joined.py tools/plan.py tools/plan_page.py tools/counted.py
tools/locks/requirements.txt tools/locks/scale.txt tools/one_effect_many_verdicts.png
helpers/course.mplstyle
book/glossary.md book/part_one.md book/pictures/01.png book/pictures/02.png
book/pictures/03.png book/pictures/04.png book/pictures/05.png
book/conda_and_windows.md book/own_customers.md book/own_log.md book/analyse.md
book/plan.md book/large_logs.md"""
NOT_IN_SETS = re.compile(
    rb"\n## (?:Teaching|The web book|Citing, and errors)\n.+?(?=\n## )", flags=re.DOTALL
)
SERIES = re.compile(r"notebooks/\d\d_\w+\.ipynb$")
# What asks a learner for something, and what stands in such a cell until somebody answers;
# {} is its name.
ASKED = re.compile(r'^(check|predict|decide)\(\s*"([^"]+)"', flags=re.MULTILINE)
OPEN = {
    "check": r"^answer = \.\.\.$",
    "predict": r'^predict\("{}", \.\.\., \.\.\.\)',
    "decide": r'^my_words = \[\.\.\.(, \.\.\.)*\].*\ndecide\("{}", .*\bmy_words\b',
}
MOST = 1000
COURSE_SEED = 42
MADE = files.made_by("class_sets")
NOTE = b"""> **This is a class set.** Call `make lab` in this folder; your notebooks are then in
> `my/`. The seed in their first cell is yours: leave it. Solutions, tests and the commands for
> teachers are in the whole course, not here.

"""
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Answer key</title><style>
body {font: 9pt sans-serif; margin: 1.5em}
tr {break-inside: avoid} td {white-space: nowrap} section {break-after: page}
table {border-collapse: collapse}
th, td {border: 1px solid #bbb; padding: .2em .5em; text-align: left; vertical-align: bottom}
th {font-weight: normal} td:nth-child(3) {font-weight: bold}
@page {size: landscape}</style><h1>Answer key</h1>
<p>For the knobs as handed out; with other knobs <code>check</code> still judges rightly. Right
answer first, then what the known mistakes lead to, so that a wrong answer tells its reason
(nothing where that is right for this student, too). All are rounded to one digit more than
asked.</p>
"""


class Student(NamedTuple):
    name: str
    seed: int
    file: str


def whole(option: str, text: str, low: int, high: int, such_as: int) -> int:
    """The number that was typed. Raises InputError unless it is a whole one from low to high."""
    plain = text.isascii() and text.isdigit() and len(text) < 20
    if not plain or not low <= int(text) <= high:
        wanted = f"a whole number from {low} to {high}, such as {such_as}"
        raise InputError(f"--{option} is {text!r}; give {wanted}.")
    return int(text)


def read_names(path: Path) -> list[str]:
    """The names of a class list, one a line.

    Raises InputError for a list that cannot be used as it stands.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        no_text = "it is not utf-8 text; a spreadsheet can save it as CSV UTF-8"
        why = f"cannot be read ({getattr(error, 'strerror', no_text)})"
        mend = "Give a file with one name a line."
        raise InputError(f"The class list {path} {why}. {mend}") from None
    names = [" ".join(unicodedata.normalize("NFC", line).split()) for line in lines]
    if not 1 <= len(names) <= MOST:
        mend = f"Give 1 to {MOST}, one a line."
        raise InputError(f"The class list {path} has {len(names)} names. {mend}")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not files.as_file_name(name):
            mend = "Take the line out, or fill it in."
            raise InputError(f"The class list {path} has no name in line {number}. {mend}")
        before = seen.setdefault(name.casefold(), number)
        if before != number:
            where = f"twice, in lines {before} and {number}"
            mend = "Take one out, or add an initial."
            raise InputError(f"The class list {path} has {name} {where}. {mend}")
    return names


def class_list(seeds: str | None, names: Path | None, first: str | None) -> list[Student]:
    """Who gets which seed and which file. Raises InputError when that cannot be said."""
    if seeds is not None and names is not None:
        raise InputError("Give either --seeds or --names: a class list says how many there are.")
    if names is not None:
        called = read_names(names)
        zips = [f"{k:03d}-{files.as_file_name(name)}" for k, name in enumerate(called, start=1)]
    elif seeds is not None:
        many = whole("seeds", seeds, 1, MOST, 30)
        called = zips = [f"student-{k:03d}" for k in range(1, many + 1)]
    else:
        called, zips = ["everybody"], [TOP]
    usual = COURSE_SEED if zips == [TOP] else 1
    start = usual if first is None else whole("first", first, 0, 2**32 - len(called), 1000)
    return [
        Student(name, start + k, f"{file}.zip")
        for k, (name, file) in enumerate(zip(called, zips, strict=True))
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
    """What all sets hold alike, by its place in the course.

    Listed, not collected: a teacher's own files stay where they are. Raises InputError where a
    file of the course is missing.
    """
    paths = [*map(ROOT.joinpath, FILES.split()), *ROOT.glob("helpers/*.py")]
    for path in paths:
        if not path.is_file():
            missing = path.relative_to(ROOT).as_posix()
            raise InputError(f"{missing} is missing. Get the course anew, and try again.")
    common = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    common["README.md"] = NOTE + readme_for_students(common)
    tables = ROOT.glob("notebooks/exercises/exercises_[0-9][0-9].py")
    common["notebooks/exercises.zip"] = packed({path.name: path.read_bytes() for path in tables})
    return common


def readme_for_students(common: dict[str, bytes]) -> bytes:
    """The README without parts for others, and without rows that lead to what a set lacks."""
    text = NOT_IN_SETS.sub(b"", common["README.md"])
    lines = []
    for line in text.splitlines(keepends=True):
        leads_to = [target.decode() for target in re.findall(rb"\]\(([^):]+)\)", line)]
        there = all(name in common or SERIES.match(name) for name in leads_to)
        if there or not line.startswith(b"|"):
            lines.append(line)
    return b"".join(lines)


def answered(source: str) -> list[str]:
    """The exercises and predictions of a cell that somebody has answered."""
    found = []
    for call, name in ASKED.findall(source):
        still_open = OPEN[call].replace("{}", re.escape(name))
        if not re.search(still_open, source, flags=re.MULTILINE):
            found.append(name)
    return found


def settable(notebook: nbformat.NotebookNode) -> bool:
    """Whether the first code cell holds plain knobs, and one is a seed that can be set."""
    tried = copy.deepcopy(notebook)
    first = next((cell for cell in tried.cells if cell.cell_type == "code"), None)
    if first is None or "parameters" not in first.metadata.get("tags", []):
        return False
    try:
        notebooks.knobs_of(tried)
        notebooks.set_knobs(tried, {"seed": -1})
        return notebooks.knobs_of(tried).get("seed") == -1
    except (SyntaxError, ValueError):  # InputError is one of the latter
        return False


def open_notebooks() -> dict[str, nbformat.NotebookNode]:
    """The notebooks without outputs, by file name.

    Raises InputError for one that cannot be handed out.
    """
    found = {}
    for path in notebooks.find():
        notebook, where = notebooks.read(path), f"notebooks/{path.name}"
        notebooks.clear_outputs(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                for name in answered(cell.source):
                    mend = "Put the dots back (...), then try again."
                    raise InputError(f"{name} has an answer in {where}. {mend}")
        if not settable(notebook):
            knobs = f"Each line there must be a knob and its value, such as seed = {COURSE_SEED}."
            raise InputError(f"The seed in the first code cell of {where} cannot be set. {knobs}")
        found[path.name] = notebook
    return found


def titles(books: dict[str, nbformat.NotebookNode]) -> dict[str, str]:
    """The exercises in the order of the course, each with its heading."""
    found, heading = {}, ""
    for file, notebook in books.items():
        package = notebooks.missing_package(Path(file))
        if package:
            told = f"{file} is left out of the key: it needs {package} (pip install)."
            print(told, file=sys.stderr)
            continue
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                heads = re.findall(r"^### (.+)$", cell.source, flags=re.MULTILINE)
                heading = heads[-1] if heads else heading
            else:
                for call, name in ASKED.findall(cell.source):
                    if call == "check":
                        found[name] = heading
    return found


def tasks_of(
    students: list[Student],
    asked: Iterable[str],
    books: dict[str, nbformat.NotebookNode],
) -> list[tuple[str, dict[str, object]]]:
    """What is to be solved, student by student: an exercise, and the knobs as handed out."""
    handed_out = {file[:2]: notebooks.knobs_of(notebook) for file, notebook in books.items()}
    return [
        (exercise, handed_out.get(exercise[:2], {}) | {"seed": student.seed})
        for student in students
        for exercise in asked
    ]


def solve(exercise: str, knobs: dict[str, object]) -> exercises.Exercise | None:
    """The exercise in the run with these knobs, the seed among them; None if no answer is there.

    Raises InputError for an exercise that does not exist, or whose table is broken.
    """
    try:
        compute = exercises.find(exercise)
        try:
            return compute(exercises.run_of(exercise[:2], knobs))
        except InputError:  # the table's word for a run in which the question has no answer
            return None
    except InputError:
        raise
    except Exception as error:  # whatever the table does
        mend = f"Mend notebooks/exercises/exercises_{exercise[:2]}.py."
        told = f"{exercise} has no key with seed {knobs['seed']}: {error!r}. {mend}"
        raise InputError(told) from None


def passes(answer: Any, exercise: exercises.Exercise) -> bool:
    """Whether `check` takes an answer for right; one that cannot be read is not."""
    try:
        return bool(exercises.gaps(answer, exercise.right).max() <= exercise.tolerance)
    except (TypeError, ValueError, OverflowError):
        return False


def solve_all(
    tasks: list[tuple[str, dict[str, object]]], bar: tqdm
) -> Iterable[exercises.Exercise | None]:
    """Solve all, in their order, on all cores when there are many."""
    if len(tasks) < 100:
        for task in tasks:
            yield solve(*task)
            bar.update()
        return
    # the workers share the cores, so each computes in one thread
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, 8), mp_context=get_context("spawn"))
    try:
        with command.unheard():
            answers = pool.map(solve, *zip(*tasks, strict=True), chunksize=4)
        for found in answers:
            yield found
            bar.update()
    except BaseException:  # what they compute is of no use any more
        for worker in active_children():
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def same_answer(one: exercises.Exercise | None, other: exercises.Exercise | None) -> bool:
    """Whether the right answer to the one would pass for the other."""
    if one is None or other is None:
        return one is other
    return passes(one.right, other)


def refuse_twins(students: list[Student], key: list[list[exercises.Exercise | None]]) -> None:
    """Raise InputError where two students could hand in the same sheet."""
    for (one, answers), (other, others) in combinations(zip(students, key, strict=True), 2):
        if all(map(same_answer, answers, others)):
            who = f"{one.name} and {other.name} (seeds {one.seed} and {other.seed})"
            mend = "Choose another --first, such as 1000."
            raise InputError(f"{who} have the same answers everywhere. {mend}")


def spell(value: object, tolerance: float) -> str:
    """An answer for the key: a word, or numbers with one digit more than the tolerance asks for."""
    if isinstance(value, str):
        return value
    digits = max(0, 1 + math.ceil(-math.log10(2 * max(tolerance, 1e-9))))
    spelled = []
    for x in np.ravel(value):
        number = str(x) if is_number(x, whole=True) else words.number(float(x), digits)
        spelled.append(number.replace(",", ""))
    return " and ".join(spelled)


def key_table(
    students: list[Student], asked: dict[str, str], key: list[list[exercises.Exercise | None]]
) -> str:
    """The key for a spreadsheet: a row a student, a column an exercise.

    A spreadsheet would compute what begins with one of = + - @; an apostrophe makes it text.
    """
    page = io.StringIO(newline="")
    rows = csv.writer(page)
    rows.writerow(["student", "seed", *asked])
    for student, answers in zip(students, key, strict=True):
        mark = "'" if student.name.startswith(("=", "+", "-", "@")) else ""
        cells = [spell(found.right, found.tolerance) if found else "no answer" for found in answers]
        rows.writerow([mark + student.name, student.seed, *cells])
    return page.getvalue()


def key_pages(
    students: list[Student], asked: dict[str, str], key: list[list[exercises.Exercise | None]]
) -> str:
    """The key for printing: a table an exercise."""
    columns = zip(*key, strict=True)
    pages = [
        key_section(f"{exercise}: {heading}", students, column)
        for (exercise, heading), column in zip(asked.items(), columns, strict=True)
    ]
    return "".join([HEAD, *pages])


def key_section(
    title: str, students: list[Student], column: tuple[exercises.Exercise | None, ...]
) -> str:
    """A table: what is right for each student, and what each known mistake leads to.

    A mistake has no entry where it is right for a student, too, and no column where it always is.
    """
    told = [misleading(found) if found else {} for found in column]
    known = dict.fromkeys(name for found in column if found for name in found.wrong)
    mistakes = [name for name in known if any(name in values for values in told)]
    alike = len(students) > 1 and all(same_answer(column[0], found) for found in column)
    note = "The same answer for everybody: it does not depend on the seed."
    lines = [
        f"<section><h2>{html.escape(title)}</h2>",
        f"<p>{note}</p>" if alike else "",
        "<table><thead>\n",
        page_row("th", ["student", "seed", "right answer", *mistakes]),
        "</thead><tbody>\n",
    ]
    for student, found, wrong in zip(students, column, told, strict=True):
        spelled = ["no answer"]
        if found:
            values = [found.right, *(wrong.get(name, "") for name in mistakes)]
            spelled = [spell(value, found.tolerance) for value in values]
        lines.append(page_row("td", [student.name, student.seed, *spelled]))
    return "".join([*lines, "</tbody></table></section>\n"])


def misleading(exercise: exercises.Exercise) -> dict[str, object]:
    """The answers that the known mistakes lead to, where they are wrong in this run."""
    answers = {name: value for name, (value, *_) in exercise.wrong.items()}
    return {name: v for name, v in answers.items() if not passes(v, exercise)}


def page_row(tag: str, cells: Iterable[object]) -> str:
    """A row of a table in HTML."""
    inside = "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
    return f"<tr>{inside}</tr>\n"


def sums(folder: Path) -> dict[str, str]:
    """A checksum for each file there, none for a folder.

    What file managers and offices leave there does not count.
    """
    left = re.compile(
        r"\._.*|\.~lock\..*#|\.ds_store|\.directory|thumbs\.db|desktop\.ini|" + re.escape(MADE)
    )
    return {
        path.name: files.checksum(path)
        for path in sorted(folder.iterdir())
        if path.is_dir() or not left.fullmatch(path.name.lower())
    }


def check_place(out: Path) -> None:
    """Raise InputError unless the folder can be put there.

    It can where it is new, or empty, or just as this command left it.
    """
    nearest = next(folder for folder in (out, *out.parents) if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest} is a file. Name a folder with --out.")
    if out.is_mount():
        such_as = f"Name a new folder in it, such as {out / 'class'}."
        raise InputError(f"{out} is a drive, not a folder. {such_as}")
    for folder in (nearest, out.parent):
        if folder.exists() and not os.access(folder, os.W_OK):
            mend = "Name another folder with --out."
            raise InputError(f"Cannot write to {folder} (no permission). {mend}")
    if nearest == out:
        made, _ = files.made_earlier(out, "class_sets")
        for name, checksum in sums(out).items():
            if made.get(name) != checksum:
                mend = "Move them away, or name another folder with --out."
                raise InputError(f"{out} holds files of yours: {name}. {mend}")


def write_sets(students: list[Student], out: Path) -> None:
    """Write all sets and the key into `out`: everything appears together at the end, or nothing."""
    check_place(out)
    common, books = common_files(), open_notebooks()
    shared = packed({f"{TOP}/{name}": content for name, content in common.items()})
    asked = titles(books)
    tasks = tasks_of(students, asked, books)
    steps = {"total": len(tasks) + len(students), "desc": "key and sets", "leave": False}
    with (
        files.workshop(out.parent) as workshop,
        tqdm(**steps, file=sys.stderr, disable=None) as bar,
    ):
        found = list(solve_all(tasks, bar))
        key = [found[k * len(asked) : (k + 1) * len(asked)] for k in range(len(students))]
        refuse_twins(students, key)
        fresh = workshop / "fresh"
        fresh.mkdir()
        for student in students:
            (fresh / student.file).write_bytes(set_of(student, books, shared))
            bar.update()
        write_key(fresh, students, asked, key)
        made = {"of": "", "files": sums(fresh)}
        (fresh / MADE).write_text(json.dumps(made), encoding="utf-8")
        check_place(out)  # again: it has taken a while
        exchange(fresh, out, aside=workshop / "old")


def set_of(student: Student, books: dict[str, nbformat.NotebookNode], shared: bytes) -> bytes:
    """The zip of a student: the notebooks with the seed, put onto the zip that all share."""
    own = {}
    for name, notebook in books.items():
        notebooks.set_knobs(notebook, {"seed": student.seed})
        own[f"{TOP}/notebooks/{name}"] = nbformat.writes(notebook).encode()
    return packed(own, onto=shared)


def write_key(
    folder: Path,
    students: list[Student],
    asked: dict[str, str],
    key: list[list[exercises.Exercise | None]],
) -> None:
    """Write the key into a folder, for the spreadsheet and for printing."""
    # a spreadsheet knows by the mark at the beginning that this is utf-8
    table, pages = key_table(students, asked, key), key_pages(students, asked, key)
    (folder / "key.csv").write_text(table, encoding="utf-8-sig", newline="")
    (folder / "key.html").write_text(pages, encoding="utf-8", newline="\n")


def exchange(fresh: Path, out: Path, aside: Path) -> None:
    """Put the fresh folder in the place of the old one, which stays if that fails."""
    command.undisturbed()
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        if out.exists():
            out.rename(aside)
        fresh.rename(out)
    finally:
        if aside.exists() and not out.exists():
            aside.rename(out)


def parser() -> command.Parser:
    """The options of the command."""
    made = command.Parser("python -m tools.class_sets", __doc__)
    made.add_argument("--seeds", metavar="N", help="how many sets, such as 30")
    listed = "a class list in utf-8, one name a line"
    made.add_argument("--names", metavar="FILE", type=files.typed_path, help=listed)
    first = "the first seed (default: 1), such as 1000 for the next class"
    made.add_argument("--first", metavar="S", help=first)
    made.add_argument(
        "--out",
        metavar="DIR",
        type=files.typed_path,
        default=ROOT / "class",
        help="the folder (default: class)",
    )
    return made


def work(given: argparse.Namespace) -> int:
    """The command with the options that were given."""
    out = files.as_folder(given.out)
    try:
        students = class_list(given.seeds, given.names, given.first)
        write_sets(students, out)
        size = sum(path.stat().st_size for path in out.glob("*.zip")) / len(students) / 1000
    except OSError as error:
        full = f"Cannot write to {out} ({error.strerror}). Name another folder with --out."
        raise InputError(full) from None
    seeds = f"seed {students[0].seed}"
    if len(students) > 1:
        seeds = f"seeds {students[0].seed} to {students[-1].seed}"
    place = shown(out, most=1000)
    print(f"{words.count(len(students), 'set')} ({size:.0f} kB each), {seeds}: {place}")
    print("For you alone: key.csv for the spreadsheet, key.html to print.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    return command.run("tools.class_sets", lambda: work(parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
