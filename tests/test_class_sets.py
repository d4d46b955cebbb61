"""Class sets: complete, no solutions, each with its seed; the key is right; faults are told."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path

import nbformat
import pytest

from helpers import InputError, exercises
from tests import guards
from tests.guards import solve
from tests.test_exercises import EXERCISES, NOTEBOOKS
from tests.test_house import committed_files
from tools import class_sets, files, notebooks

NAMES = ["Ada Lovelace", "Анна Каренина", "Бэла / Bela"]
clusters_kept = guards.clusters_kept
FIRST = 7
FEW = {"03-welch-se": "1. Did they start alike?", "03-three-reports": "4. Which is lying?"}


def files_in(archive: Path | io.BytesIO) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def key_rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "key.csv").read_text(encoding="utf-8-sig"))))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The folder for a class of three, with all exercises there are."""
    folder = tmp_path_factory.mktemp("school")
    (folder / "list.txt").write_text("\n".join(NAMES), encoding="utf-8")
    arguments = [
        "--names",
        str(folder / "list.txt"),
        "--first",
        str(FIRST),
        "--out",
        str(folder / "class"),
    ]
    assert class_sets.main(arguments) == 0
    return folder / "class"


@pytest.fixture
def few(monkeypatch):
    """Two files, one notebook and two exercises are enough where no more is asked."""
    monkeypatch.setattr(class_sets, "FILES", "README.md LICENSE")
    monkeypatch.setattr(notebooks, "find", lambda: [class_sets.ROOT / "notebooks/03_t_test.ipynb"])
    monkeypatch.setattr(class_sets, "titles", lambda _notebooks: dict(FEW))


@pytest.fixture
def make():
    """Call make as from a fresh shell: under `make test` its flags and knobs would be inherited."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    left_out = r"MAKE.*|MFLAGS|PYTHONPATH|AB_PREDICTIONS|SEEDS?|NAMES|FIRST|OUT"
    env = {name: value for name, value in os.environ.items() if not re.fullmatch(left_out, name)}

    def call(*arguments: str, cwd: Path, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["make", *arguments], cwd=cwd, env=env, capture_output=True, text=True, **options
        )

    return call


# What a set holds


def leaks(files: dict[str, bytes], seed: int) -> list[str]:
    """What a set should not hold, or should and does not."""
    found = [name for name in files if re.search(r"solution|instructor|/tests/|conftest|/\.", name)]
    found += [
        f"outside the folder: {name}" for name in files if not name.startswith(f"{class_sets.TOP}/")
    ]
    for name, content in files.items():
        text = content.decode("utf-8", errors="ignore")
        if re.search(r"^ *right=|^EXERCISES = ", text, flags=re.MULTILINE):
            found.append(f"{name} says what is right")
        if name.endswith(".ipynb"):
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            sources = ["".join(cell["source"]) for cell in cells]
            if any(cell["outputs"] or cell["execution_count"] for cell in cells):
                found.append(f"{name} has outputs")
            if not re.search(rf"^seed = {seed}(  #|$)", sources[0], flags=re.MULTILINE):
                found.append(f"{name} has another seed")
            if sum("check(" in source for source in sources) != sum(
                "answer = ..." in source for source in sources
            ):
                found.append(f"{name} has answers")
    return found


def test_sets_hold_no_solutions_and_carry_the_seed(made):
    for k, name in enumerate(["001-Ada-Lovelace", "002-Анна-Каренина", "003-Бэла-Bela"]):
        assert leaks(files_in(made / f"{name}.zip"), FIRST + k) == []
        assert (made / f"{name}.zip").stat().st_size < 900_000
    names = {path.name for path in made.iterdir()} - {class_sets.MADE, "key.csv", "key.html"}
    assert len(names) == 3 and all(name.endswith(".zip") for name in names)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("notebooks/solutions/03_t_test.ipynb", None, "solutions"),
        ("notebooks/exercises/exercises_03.py", b"EXERCISES = {}\n", "what is right"),
        ("notebooks/help.py", b"f(\n    right=1.0,\n)\n", "what is right"),
        ("notebooks/instructor.md", b"# Minutes\n", "instructor"),
        ("tests/test_words.py", b"", "tests"),
        ("notebooks/03_t_test.ipynb", (b'"outputs": []', b'"outputs": [1]'), "has outputs"),
        (
            "notebooks/03_t_test.ipynb",
            (b'execution_count": null', b'execution_count": 1'),
            "has outputs",
        ),
        ("notebooks/03_t_test.ipynb", (b"seed = 7 ", b"seed = 77 "), "another seed"),
        ("notebooks/03_t_test.ipynb", (b"answer = ...", b"answer = 2.5"), "has answers"),
        ("../helpers/words.py", b"", "outside"),
    ],
)
def test_a_leak_is_caught(made, name, content, fault):
    files = files_in(made / "001-Ada-Lovelace.zip")
    place = f"{class_sets.TOP}/{name}".replace(f"{class_sets.TOP}/../", "")
    if content is None:
        content = notebooks.find_solutions()[0].read_bytes()
    elif isinstance(content, tuple):
        assert content[0] in files[place]
        content = files[place].replace(*content)
    assert fault in " ".join(leaks(files | {place: content}, FIRST))


def test_a_set_is_the_course_without_outputs(made):
    """Everything that is committed for learners is in it, but for outputs and seed unchanged.

    The tables are packed.
    """
    files = {
        name.split("/", 1)[1]: content
        for name, content in files_in(made / "001-Ada-Lovelace.zip").items()
    }
    for path in notebooks.find():
        ours = nbformat.read(path, as_version=4)
        theirs = nbformat.reads(files.pop(f"notebooks/{path.name}").decode(), as_version=4)
        notebooks.set_knobs(ours, {"seed": FIRST})
        assert [(c.source, c.metadata) for c in ours.cells] == [
            (c.source, c.metadata) for c in theirs.cells
        ]
    tables = files_in(io.BytesIO(files.pop("notebooks/exercises.zip")))
    ours = (class_sets.ROOT / "notebooks/exercises").glob("exercises_??.py")
    assert tables == {path.name: path.read_bytes() for path in ours}
    assert sorted(tables) == [f"exercises_{number}.py" for number in NOTEBOOKS]
    names = {*files, *(f"notebooks/{path.name}" for path in notebooks.find())}
    readme, whole = (
        files.pop("README.md").decode(),
        (class_sets.ROOT / "README.md").read_text(encoding="utf-8"),
    )
    headings = set(re.findall(r"^## .+", whole, flags=re.MULTILINE))
    left_out = {"## Teaching", "## The web book", "## Citing, and errors"}
    assert headings - set(re.findall(r"^## .+", readme, flags=re.MULTILINE)) == left_out
    kept = [part for part in re.split(r"\n(?=## )", whole) if part.split("\n")[0] not in left_out]
    assert len(readme) > 0.9 * len("\n".join(kept))
    gone = {link for link in re.findall(r"\]\(([^):]+)\)", readme) if link not in names}
    assert gone == set()
    assert all((class_sets.ROOT / name).read_bytes() == content for name, content in files.items())


# What the web book has beyond pages for learners.
WEB_BOOK = [
    "_static/book.css",
    "_static/book.js",
    "_static/icon.svg",
    "cite.md",
    "class_sets.md",
    "conf.py",
    "errata.md",
    "index.md",
    "scorer.js",
]


def test_what_is_new_in_the_course_reaches_the_sets():
    """Whoever adds a file for learners to data/ or at the top adds it to FILES."""
    committed = {path.relative_to(class_sets.ROOT).as_posix() for path in committed_files()}
    pattern = r"(data|helpers|book)/|[^/.]+(\.\w+)?$"
    for_learners = {name for name in committed if re.match(pattern, name)}
    for_others = {"conftest.py", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff"}
    for_others |= {f"book/{name}" for name in WEB_BOOK}
    assert for_learners - for_others - set(class_sets.common_files()) == set()


@pytest.fixture
def copied(tmp_path, monkeypatch) -> Path:
    """The course in another folder, without git."""
    course = tmp_path / "course"
    for name in ("helpers", "data", "notebooks"):
        shutil.copytree(class_sets.ROOT / name, course / name)
    for name in class_sets.FILES.split():
        (course / name).parent.mkdir(exist_ok=True)
        shutil.copy(class_sets.ROOT / name, course / name)
    for module in (class_sets, notebooks):
        monkeypatch.setattr(module, "ROOT", course)
    monkeypatch.setattr(exercises, "TABLES", [str(course / "notebooks/exercises")])
    return course


def test_a_teachers_own_files_stay_where_they_are(copied):
    before = set(class_sets.common_files()), set(class_sets.open_notebooks())
    strays = "data/mine.csv my/03_t_test.ipynb runs/x.ipynb class/key.csv notebooks/backup_03.ipynb"
    strays += " notebooks/customers_with_clusters.csv helpers/.ipynb_checkpoints/a.py"
    strays += " notebooks/exercises/exercise.py notebooks/exercises/exercises_03-Copy1.py"
    for stray in strays.split():
        (copied / stray).parent.mkdir(parents=True, exist_ok=True)
        (copied / stray).write_text("mine", encoding="utf-8")
    assert (set(class_sets.common_files()), set(class_sets.open_notebooks())) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (
            "03_t_test",
            "answer = ...",
            "answer = 2.5",
            "03-welch-se has an answer in notebooks/03_t_test.ipynb. Put",
        ),
        (
            "03_t_test",
            'p-value\\", ..., ...)',
            'p-value\\", 0.2, 0.4)',
            "03-p-value has an answer in notebooks/03",
        ),
        (
            "03_t_test",
            'p-value\\", ..., ...)',
            'p-value\\", ..., 0.4)',
            "03-p-value has an answer in notebooks/03",
        ),
        (
            "02_simulated_assignment",
            's-imbalance\\", ..., ...)',
            's-imbalance\\", 2, 4)',
            "02-serious-imbalance has",
        ),
        (
            "06_segments",
            "my_words = [..., ",
            'my_words = [\\"hold\\", ',
            "06-envelope has an answer in notebooks/06",
        ),
        (
            "06_segments",
            "testable.index), my_words",
            'testable.index), [\\"hold\\"]',
            "06-envelope has an answer",
        ),
        (
            "03_t_test",
            "{",
            "<<<<<<< HEAD\n{",
            "notebooks/03_t_test.ipynb is no notebook (NotJSONError",
        ),
        (
            "03_t_test",
            "seed = 42 ",
            "seed = 42 + ",
            "first code cell of notebooks/03_t_test.ipynb cannot be set",
        ),
        (
            "03_t_test",
            "seed = 42 ",
            "seed=42 ",
            "first code cell of notebooks/03_t_test.ipynb cannot be set. Each",
        ),
        (
            "03_t_test",
            '"parameters"',
            '"knobs"',
            "first code cell of notebooks/03_t_test.ipynb cannot be set",
        ),
        (
            "03_t_test",
            "effect = 3.0 ",
            "effect = 2 * 1.5 ",
            "first code cell of notebooks/03_t_test.ipynb cannot be set. Each",
        ),
        (
            "exercises/exercises_03",
            "import",
            "import import",
            "Mend notebooks/exercises/exercises_03.py",
        ),
        (
            "exercises/exercises_03",
            "EXERCISES =",
            "TABLE =",
            "Mend notebooks/exercises/exercises_03.py",
        ),
        (
            "exercises/exercises_03",
            "KNOBS =",
            "TABLE =",
            "Mend notebooks/exercises/exercises_03.py",
        ),
        (
            "exercises/exercises_03",
            "EXERCISES = {",
            "EXERCISES = {} and {",
            "There is no exercise '03-welch-se'",
        ),
    ],
)
def test_what_cannot_be_handed_out_is_told(
    copied, tmp_path, capsys, monkeypatch, file, old, new, said
):
    titles = class_sets.titles
    monkeypatch.setattr(
        class_sets,
        "titles",
        lambda books: {k: v for k, v in titles(books).items() if k[:2] == "03"},
    )
    path = next((copied / "notebooks").glob(f"{file}.*"))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    refused(["--out", str(tmp_path / "class")], capsys, said)
    assert [path.name for path in tmp_path.iterdir()] == ["course"]


def test_an_empty_notebook_and_a_missing_file_are_told(copied, tmp_path, capsys):
    (copied / "notebooks/03_t_test.ipynb").write_text("{}", encoding="utf-8")
    refused(
        ["--out", str(tmp_path / "class")],
        capsys,
        "notebooks/03_t_test.ipynb is no notebook",
        "Get it anew",
    )
    (copied / "data/customers.csv").unlink()
    refused(
        ["--out", str(tmp_path / "class")],
        capsys,
        "data/customers.csv is missing. Get the course anew",
    )
    assert not (tmp_path / "class").exists()


def test_check_works_in_an_unpacked_set_and_tells_neighbours_apart(made, tmp_path):
    with zipfile.ZipFile(made / "002-Анна-Каренина.zip") as archive:
        archive.extractall(tmp_path)
    course = tmp_path / class_sets.TOP
    answers = [row["03-welch-se"] for row in key_rows(made)]
    notebook = nbformat.read(course / "notebooks/03_t_test.ipynb", as_version=4)
    code = "import json, sys; from helpers import checks; print(checks.__file__)\n"
    code += next(cell.source for cell in notebook.cells if cell.cell_type == "code") + "\n"
    code += "said = [checks.judge('03-welch-se', a, globals())[0] for a in [..., *sys.argv[1:]]]\n"
    code += "print(json.dumps(said))"
    env = os.environ | {"PYTHONPATH": str(course), "AB_PREDICTIONS": ""}
    run = subprocess.run(
        [sys.executable, "-c", code, *answers], cwd=course, env=env, capture_output=True, text=True
    )
    place, judged = run.stdout.splitlines()
    assert Path(place).is_relative_to(course), run.stderr
    assert json.loads(judged) == [None, False, True, False]


def test_make_in_an_unpacked_set(made, make, tmp_path):
    """`make lab` would build the environment and open the learner's copy.

    What a set lacks is told in a line.
    """
    with zipfile.ZipFile(made / "001-Ada-Lovelace.zip") as archive:
        archive.extractall(tmp_path)
    lab = make("-n", "lab", cwd=tmp_path / class_sets.TOP)
    assert lab.returncode == 0 and "my/01_segmentation.ipynb" in lab.stdout
    for target in ("test", "class", "store"):
        refused = make(target, cwd=tmp_path / class_sets.TOP)
        assert (
            refused.returncode == 2
            and refused.stderr.startswith("This is a class set")
            and refused.stdout == ""
        )


@pytest.mark.parametrize("own", [True, False])
def test_a_set_that_borrows_an_environment_uses_its_own_files(made, make, tmp_path, own):
    """As in a computer room: this Python was installed for another copy.

    That is what it uses without the Makefile's line.
    """
    with zipfile.ZipFile(made / "001-Ada-Lovelace.zip") as archive:
        archive.extractall(tmp_path)
    course = tmp_path / class_sets.TOP
    line = "export PYTHONPATH := $(CURDIR)\n"
    makefile = (course / "Makefile").read_text(encoding="utf-8")
    assert makefile.count(line) == 1
    (course / "Makefile").write_text(
        makefile if own else makefile.replace(line, ""), encoding="utf-8"
    )
    code = "from helpers import predictions; print(predictions.place())"
    call = f"cd notebooks && '{sys.executable}' -c '{code}'"  # a kernel starts in there
    rule = f"include Makefile\nwhere:\n\t@{call}\n"
    place = make("-s", "-f", "-", "where", cwd=course, input=rule).stdout.strip()
    assert (place == str(course / "my/predictions.json")) is own, place


def test_a_borrowed_environment_is_used_or_left_as_it_is(made, make, tmp_path):
    """A link to the environment of another set is never emptied.

    Newer dates are no reason to, nor is an unfinished one.
    """
    with zipfile.ZipFile(made / "001-Ada-Lovelace.zip") as archive:
        archive.extractall(tmp_path)
    course, shared = tmp_path / class_sets.TOP, tmp_path / "shared"
    shared.mkdir()
    (shared / "python").touch()
    (course / ".venv").symlink_to(shared)
    ready = make(
        "-s", "-f", "-", "where", cwd=course, input="include Makefile\nwhere:\n\t@echo $(READY)\n"
    ).stdout.strip()
    unfinished = make(".venv", cwd=course)
    assert unfinished.returncode == 2 and unfinished.stderr.startswith("This .venv is a link")
    (course / ready).touch()
    os.utime(course / ready, (0, 0))
    assert make(".venv", cwd=course).returncode == 0
    assert {path.name for path in shared.iterdir()} == {"python", Path(ready).name}
    with (course / "tools/locks/requirements.txt").open("a", encoding="utf-8") as file:
        file.write("\n")  # another content, though, is
    assert make(".venv", cwd=course).returncode == 2 and (shared / "python").exists()


def test_seed_for_seeds_is_told(make):
    refused = make(
        "-o", ".venv", "class", "SEED=30", cwd=class_sets.ROOT
    )  # -o: no environment is built
    assert (
        refused.returncode == 2 and refused.stderr.startswith("Say SEEDS=30") and not refused.stdout
    )


# The key


def test_the_printed_key_lists_mistakes_only_where_they_are_wrong(made):
    """For each student of the class; and every page of a long table has its heads."""
    page = (made / "key.html").read_text(encoding="utf-8")
    assert (
        page.count("<thead>") == page.count("<table>") == len(EXERCISES)
        and "<th>other draws</th>" not in page
    )
    assert "<th>both arms rounded up</th>" in page
    exercise = solve("04-one-arm", {"seed": FIRST})
    cells = {"close": (exercise.right, ""), "far": ((1.0, 2.0), "")}
    key = [[exercise._replace(wrong=cells)], [exercise._replace(wrong={"close": ((3.0, 4.0), "")})]]
    rows = class_sets.key_pages(
        [class_sets.Student(n, 1, "") for n in "ab"], {"04-one-arm": "x"}, key
    ).splitlines()
    assert [row.split("<td>")[-2:] for row in rows if row.startswith("<tr><td>")] == [
        ["</td>", "1.000 and 2.000</td></tr>"],
        ["3.000 and 4.000</td>", "</td></tr>"],
    ]


def test_the_key_has_a_row_a_student_and_a_column_an_exercise(made):
    rows = key_rows(made)
    assert [(row["student"], row["seed"]) for row in rows] == [
        (name, str(FIRST + k)) for k, name in enumerate(NAMES)
    ]
    assert set(rows[0]) == {"student", "seed", *EXERCISES}
    assert (made / "key.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    page = (made / "key.html").read_text(encoding="utf-8")
    for exercise in EXERCISES:
        section = page[page.index(f"<h2>{exercise}: ") :].split("</section>")[0]
        assert section.count("<tr>") == 1 + len(NAMES)
        for row in rows:
            assert (
                f"<td>{row['student']}</td><td>{row['seed']}</td><td>{row[exercise]}</td>"
                in section
            )
        assert re.match(rf"<h2>{exercise}: \d\. \w", section)
        assert ("The same answer for everybody" in section) == (
            len({row[exercise] for row in rows}) == 1
        )
    assert "<th>sd with ddof 0</th>" in page and "Did the two arms start alike?" in page


def judged(exercise: str, spelled: str, seed: int) -> bool | None:
    """What check says to an entry of the key."""
    answer = spelled.split(" and ") if " and " in spelled else spelled
    return exercises.judge(exercise, answer, {"seed": seed})[0]


@pytest.mark.parametrize("name", EXERCISES)
def test_an_entry_of_the_key_is_right_for_that_student(made, name):
    """That the solutions' code gives the same, on other seeds and knobs, is for test_exercises."""
    student = int(name[:2]) % len(NAMES)  # another one in each notebook
    seed, entry = FIRST + student, key_rows(made)[student][name]
    found = class_sets.solve(name, {"seed": seed})
    if found is None:
        assert entry == "no answer"
    else:
        assert entry == class_sets.spell(found.right, found.tolerance)
        assert judged(name, entry, seed)


def test_a_wrong_key_is_caught(made):
    """The entries of neighbours, changed digits and swapped columns are not right."""
    rows = key_rows(made)
    assert judged("03-welch-se", rows[0]["03-welch-se"], FIRST)
    assert not judged("03-welch-se", rows[1]["03-welch-se"], FIRST)
    assert not judged("03-welch-se", rows[0]["03-relative"], FIRST)
    assert not judged("03-welch-se", str(float(rows[0]["03-welch-se"]) + 0.01), FIRST)


def exercise(right, tolerance=0.0051):
    mistakes = {"a mistake": (float("nan"), "")}
    return exercises.Exercise(right, right, "", mistakes, ("", ""), tolerance)


def set_in_key(copied: Path, tmp_path: Path, file: str, old: str, new: str) -> dict[str, str]:
    """The row of a key for a course in which a knob was changed; the seed is 7."""
    path = copied / f"notebooks/{file}.ipynb"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert class_sets.main(["--first", str(FIRST), "--out", str(tmp_path / "class")]) == 0
    (row,) = key_rows(tmp_path / "class")
    return row


def test_a_knob_that_the_teacher_changed_is_in_the_key(copied, few, tmp_path):
    """For that notebook alone, and the seed is the student's as ever."""
    row = set_in_key(copied, tmp_path, "03_t_test", "target_cluster = 1 ", "target_cluster = 3 ")
    as_stored = solve("03-welch-se", {"seed": FIRST})
    changed = solve("03-welch-se", {"seed": FIRST, "target_cluster": 3})
    assert class_sets.passes(row["03-welch-se"], changed)
    assert not class_sets.passes(row["03-welch-se"], as_stored)
    books = {"03_t_test.ipynb": notebooks.read(copied / "notebooks/03_t_test.ipynb")}
    books["04_bootstrap.ipynb"] = notebooks.read(copied / "notebooks/04_bootstrap.ipynb")
    students = class_sets.class_list("2", None, "5")
    tasks = class_sets.tasks_of(students, ["03-relative", "04-basic"], books)
    assert [(name, knobs["target_cluster"], knobs["seed"]) for name, knobs in tasks] == [
        ("03-relative", 3, 5),
        ("04-basic", 1, 5),
        ("03-relative", 3, 6),
        ("04-basic", 1, 6),
    ]


def test_knobs_without_an_answer_are_told_apart_from_an_exercise_that_does_not_exist():
    assert class_sets.solve("03-welch-se", {"seed": 1, "target_cluster": 17}) is None
    for name in ("03-welch", "99-x"):
        with pytest.raises(InputError, match=f"There is no exercise '{name}'"):
            class_sets.solve(name, {"seed": 1, "target_cluster": 17})


def test_no_two_of_fifty_share_all_answers(monkeypatch):
    """Two exercises tell them apart; computed on all cores, in the order asked for."""
    if "forkserver" in get_all_start_methods():  # nothing is imported anew; below, it is
        monkeypatch.setattr(class_sets, "get_context", lambda _: get_context("forkserver"))
    students = class_sets.class_list("50", None, None)
    names = ["03-relative", "03-three-reports"]  # quick ones: there must be a hundred tasks
    tasks = [(name, {"seed": student.seed}) for student in students for name in names]
    assert len(tasks) >= 100
    bar = type("Bar", (), {"update": lambda self: None})()
    found = list(class_sets.solve_all(tasks, bar))
    assert [f.right for f in found[-4:]] == [solve(*task).right for task in tasks[-4:]]
    key = [found[k : k + len(names)] for k in range(0, len(found), len(names))]
    class_sets.refuse_twins(students, key)
    key[20] = key[4]
    with pytest.raises(
        InputError, match=r"student-005 and student-021 \(seeds 5 and 21\) have the same answers"
    ):
        class_sets.refuse_twins(students, key)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A", "A", True),
        ("A", "B", False),
        ("A", 1.0, False),
        (1.0, 1.004, True),
        (1.0, 1.006, False),
        ((1.0, 2.0), (1.0, 2.0), True),
        ((1.0, 2.0), (1.0, 2.1), False),
        ((1.0, 2.0), 1.0, False),
        (None, None, True),
        (None, "A", False),
    ],
)
def test_same_answers_are_what_check_takes_for_the_same(one, other, same):
    pair = [exercise(right) if right is not None else None for right in (one, other)]
    assert class_sets.same_answer(*pair) == class_sets.same_answer(*reversed(pair)) == same


@pytest.mark.parametrize(
    ("value", "tolerance", "spelled"),
    [
        ("B", 0.0051, "B"),
        (3.37309, 0.0051, "3.373"),
        (-0.00001, 0.0051, "0.000"),
        (3.37309, 0.00051, "3.3731"),
        (12345.678, 0.51, "12345.7"),
        (430, 0.0051, "430"),
        (430.0, 5.1, "430"),
        ((-2.9, 10.33333), 0.0051, "-2.900 and 10.333"),
        (7, 0.0, "7"),
        (float("nan"), 0.0051, "undefined"),
    ],
)
def test_numbers_of_the_key(value, tolerance, spelled):
    assert class_sets.spell(value, tolerance) == spelled


def test_no_name_is_a_formula(few, tmp_path):
    """A spreadsheet would compute it; on the printed page it stands as in the list."""
    names = ["=1+1", "+Ada", "-Bob", "@Eve", "Zoé =1"]
    (tmp_path / "list.txt").write_text("\n".join(names), encoding="utf-8")
    assert (
        class_sets.main(["--names", str(tmp_path / "list.txt"), "--out", str(tmp_path / "class")])
        == 0
    )
    shown = [row["student"] for row in key_rows(tmp_path / "class")]
    assert shown == ["'=1+1", "'+Ada", "'-Bob", "'@Eve", "Zoé =1"]
    page = (tmp_path / "class/key.html").read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in names)


def test_a_run_without_an_answer_has_none_in_the_key(few, tmp_path, monkeypatch):
    def solve(name, knobs):
        if (name, knobs["seed"]) == ("03-welch-se", 2):
            return None
        return exercise("A" if knobs["seed"] == 1 else "B")

    monkeypatch.setattr(class_sets, "solve", solve)
    assert class_sets.main(["--seeds", "2", "--out", str(tmp_path / "class")]) == 0
    assert [row["03-welch-se"] for row in key_rows(tmp_path / "class")] == ["A", "no answer"]
    assert "<td>2</td><td>no answer</td>" in (tmp_path / "class/key.html").read_text(
        encoding="utf-8"
    )


# Seeds and names


def test_seeds_count_up_from_the_first(few):
    assert [s.seed for s in class_sets.class_list("3", None, None)] == [1, 2, 3]
    assert [s.seed for s in class_sets.class_list("3", None, "1000")] == [1000, 1001, 1002]
    assert [s.file for s in class_sets.class_list("2", None, "1000")] == [
        "student-001.zip",
        "student-002.zip",
    ]
    assert class_sets.class_list(None, None, "0")[0].seed == 0


def test_without_options_one_set_with_the_seed_of_the_course(few, tmp_path, capsys):
    assert class_sets.main(["--out", str(tmp_path / "class")]) == 0
    (archive,) = (tmp_path / "class").glob("*.zip")
    assert archive.name == "segment-aware-ab-testing.zip"
    notebook = nbformat.reads(
        files_in(archive)[f"{class_sets.TOP}/notebooks/03_t_test.ipynb"].decode(), as_version=4
    )
    stored = nbformat.read(class_sets.ROOT / "notebooks/03_t_test.ipynb", as_version=4)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in stored.cells]
    assert [row["student"] for row in key_rows(tmp_path / "class")] == ["everybody"]
    said = capsys.readouterr()
    assert said.out.startswith("1 set (") and "seed 42:" in said.out and said.err == ""


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Ada  Lovelace ", "Ada-Lovelace"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", ""),
        ("Анна К.", "Анна-К"),
        ("Зоё́", "Зоё́"),  # a letter with a mark of its own
        ("हिन्दी", "हिन्दी"),
        ("王小明", "王小明"),
        ('O\'Neil, Jr.: "Bo" <b>|?*\\', "O-Neil-Jr-Bo-b"),
        ("con", "con"),  # a number stands before it, so Windows takes it for a file
        ("x" * 300, "x" * 60),
        ("王" * 300, "王" * 60),
        ("-rf", "rf"),
        ("=1+1", "1-1"),
        ("Q0\x00\x1b", "Q0"),
    ],
)
def test_any_name_makes_a_safe_file_name(name, file, tmp_path):
    assert files.as_file_name(name) == file
    if file:
        (tmp_path / f"001-{file}.zip").write_bytes(b"")


def test_names_are_read_as_people_write_them(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffAda\r\n  Zoe\u0301 \r\n\r\n \n".encode())
    assert class_sets.read_names(path) == ["Ada", "Zoé"]


# What cannot be used


BAD_LISTS = {
    "empty": (b"", "has 0 names", "one a line"),
    "blank": (b" \n\n", "has 0 names"),
    "blank line": (b"Ada\n\nBob\n", "no name in line 2", "fill it in"),
    "no letters": (b"Ada\n***\n", "no name in line 2"),
    "twice": (b"Ada\nBob\nAda\n", "Ada twice, in lines 1 and 3", "add an initial"),
    "twice, almost": (b"Ada L\nada  l\n", "twice, in lines 1 and 2"),
    "too many": ("\n".join(map(str, range(1001))).encode(), "has 1001 names", "1 to 1000"),
    "latin-1": (
        "Zoé".encode("latin-1"),
        "cannot be read (it is not utf-8 text;",
        "one name a line",
    ),
    "utf-16": ("Ada".encode("utf-16"), "not utf-8"),
    "a picture": (bytes(range(128, 256)), "not utf-8"),
    "not there": (None, "cannot be read (No such file or directory)", "one name a line"),
}


def refused(arguments: list[str], capsys, *said: str) -> None:
    """The command ends with 2 and a line or two that hold every word of `said`."""
    assert class_sets.main(arguments) == 2
    printed = capsys.readouterr()
    assert (
        printed.out == ""
        and printed.err.startswith("tools.class_sets: ")
        and len(printed.err.splitlines()) <= 2
    )
    assert printed.err.endswith(".\n")
    assert [words_said for words_said in said if words_said not in printed.err] == []


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_a_bad_list_is_told_and_nothing_is_written(fault, tmp_path, capsys):
    content, *said = BAD_LISTS[fault]
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    refused(
        ["--names", str(tmp_path / "list.txt"), "--out", str(tmp_path / "class")],
        capsys,
        "list.txt",
        *said,
    )
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_is_no_list(tmp_path, capsys):
    refused(
        ["--names", str(tmp_path), "--out", str(tmp_path / "class")],
        capsys,
        "cannot be read (Is a directory)",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seeds", "0"], ("--seeds is '0'", "from 1 to 1000", "such as 30")),
        (["--seeds=-3"], ("--seeds is '-3'",)),
        (["--seeds", "thirty"], ("--seeds is 'thirty'",)),
        (["--seeds", "2.5"], ("--seeds is '2.5'",)),
        (["--seeds", ""], ("--seeds is ''",)),
        (["--seeds", "٣"], ("--seeds is '٣'",)),
        (["--seeds", "9" * 5000], ("from 1 to 1000",)),
        (["--seeds", "1001"], ("from 1 to 1000",)),
        (["--first", "x"], ("--first is 'x'", "from 0 to 4294967295", "such as 1000")),
        (["--seeds", "2", "--first", "4294967295"], ("--first is '4294967295'", "to 4294967294")),
        (["--seeds", "2", "--first="], ("--first is ''",)),
        (["--seeds", "2", "--names", "list.txt"], ("either --seeds or --names",)),
    ],
)
def test_a_bad_number_is_told(arguments, said, tmp_path, capsys):
    refused([*arguments, "--out", str(tmp_path / "class")], capsys, *said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["30"], ["--seed", "30"], ["--seeds"], ["--class", "3"]])
def test_a_command_line_that_cannot_be_read(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        class_sets.main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m tools.class_sets" in capsys.readouterr().err


def test_twins_are_refused(few, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(class_sets, "solve", lambda name, knobs: exercise(min(knobs["seed"], 2)))
    twins = "student-002 and student-003 (seeds 2 and 3)"
    refused(
        ["--seeds", "3", "--out", str(tmp_path / "class")], capsys, twins, "Choose another --first"
    )
    assert list(tmp_path.iterdir()) == []


# Nothing half-written, nothing lost


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_what_a_zip_says_of_its_files_does_not_change():
    """Neither the clock nor the order in which a folder is listed is in it."""
    one = class_sets.packed({"b": b"1", "a": b"2"})
    both = class_sets.packed({"d": b"3", "c": b"4"}, onto=one)
    with zipfile.ZipFile(io.BytesIO(both)) as archive:
        assert archive.namelist() == ["a", "b", "c", "d"]
        assert {entry.date_time for entry in archive.infolist()} == {(2000, 1, 1, 0, 0, 0)}


def test_the_same_command_writes_the_same_bytes(few, tmp_path):
    for name in ("one", "two"):
        assert class_sets.main(["--seeds", "2", "--out", str(tmp_path / name)]) == 0
    same = contents(tmp_path / "one") == contents(
        tmp_path / "two"
    )  # compared first: pytest explains long bytes slowly
    assert same
    assert class_sets.main(["--seeds", "2", "--first", "2", "--out", str(tmp_path / "three")]) == 0
    neighbours = [
        (tmp_path / place).read_bytes()
        for place in ("one/student-002.zip", "three/student-001.zip")
    ]
    other = (tmp_path / "one/student-001.zip").read_bytes()
    assert (neighbours[0] == neighbours[1], other == neighbours[1]) == (
        True,
        False,
    )  # a set belongs to its seed


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), KeyboardInterrupt()], ids=["full", "stopped"]
)
@pytest.mark.parametrize("earlier", [False, True], ids=["new", "again"])
def test_a_failure_in_the_middle_leaves_everything_as_it_was(
    few, tmp_path, monkeypatch, capsys, error, earlier
):
    out = tmp_path / "class"
    if earlier:
        assert class_sets.main(["--seeds", "1", "--out", str(out)]) == 0
        capsys.readouterr()
    before, done, packed = contents(tmp_path), [], class_sets.packed

    def packed_or_not(files, onto=b""):
        done.append(len(onto))
        if len([size for size in done if size]) == 2:
            raise error
        return packed(files, onto)

    monkeypatch.setattr(class_sets, "packed", packed_or_not)
    if isinstance(error, OSError):
        refused(
            ["--seeds", "3", "--out", str(out)], capsys, "Cannot write to", "No space left", "--out"
        )
    else:
        assert class_sets.main(["--seeds", "3", "--out", str(out)]) == 130
        assert capsys.readouterr().err == "tools.class_sets: stopped; nothing was written.\n"
    assert contents(tmp_path) == before and out.exists() == earlier
    assert [path.name for path in tmp_path.iterdir()] == ["class"] * earlier


def test_its_own_folder_is_replaced_and_nobody_elses(few, tmp_path, capsys):
    out = tmp_path / "class"
    out.mkdir()
    assert class_sets.main(["--seeds", "2", "--out", str(out)]) == 0  # an empty folder will do
    for left in (".DS_Store", "._key.csv", ".~lock.key.csv#", "Thumbs.db", "desktop.ini"):
        (out / left).write_bytes(b"x")
    (out / "key.html").unlink()  # nothing of theirs is lost
    assert class_sets.main(["--seeds", "1", "--out", str(out)]) == 0
    assert [path.name for path in out.glob("*.zip")] == ["student-001.zip"]
    for change, named in (
        (lambda: (out / "key.csv").write_text("with grades", encoding="utf-8"), "key.csv"),
        (lambda: (out / "notes.txt").write_text("mine", encoding="utf-8"), "notes.txt"),
        (lambda: (out / "graded").mkdir(), "graded"),
        (lambda: (out / ".git").mkdir(), ".git"),
        (lambda: (out / ".mynotes").write_text("keep"), ".mynotes"),
        (lambda: (out / class_sets.MADE).unlink(), "key.csv"),
        (lambda: (out / class_sets.MADE).write_text("[", encoding="utf-8"), "key.csv"),
        (lambda: (out / class_sets.MADE).write_text("[1]", encoding="utf-8"), "key.csv"),
    ):
        capsys.readouterr()
        change()
        before = contents(tmp_path)
        said = f"class holds files of yours: {named}. Move them away, or name another folder"
        refused(["--seeds", "2", "--out", str(out)], capsys, said, "with --out")
        assert contents(tmp_path) == before
        shutil.rmtree(out)
        assert class_sets.main(["--seeds", "1", "--out", str(out)]) == 0


def test_out_that_is_a_file_is_left_alone(few, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    for out in ("mine.txt", "mine.txt/new"):
        refused(["--out", str(tmp_path / out)], capsys, "mine.txt", "--out")
    assert contents(tmp_path) == {"mine.txt": b"keep"}
    assert class_sets.main(["--out", str(tmp_path / "a/b")]) == 0
    assert (tmp_path / "a/b/key.csv").exists()


@pytest.mark.parametrize("earlier", [False, True], ids=["new", "again"])
def test_a_file_put_there_meanwhile_is_not_lost(few, tmp_path, monkeypatch, capsys, earlier):
    out = tmp_path / "class"
    if earlier:
        assert class_sets.main(["--seeds", "1", "--out", str(out)]) == 0
        capsys.readouterr()
    key_pages = class_sets.key_pages

    def slow(*given):
        out.mkdir(exist_ok=True)
        (out / "grades.ods").write_bytes(b"mine")
        return key_pages(*given)

    monkeypatch.setattr(class_sets, "key_pages", slow)
    before = contents(tmp_path)
    refused(["--seeds", "2", "--out", str(out)], capsys, "class holds files of yours: grades.ods")
    assert contents(tmp_path) == before | {"class/grades.ods": b"mine"}


@pytest.mark.parametrize(
    "error", [OSError(16, "Device or resource busy"), KeyboardInterrupt()], ids=["busy", "stopped"]
)
def test_when_the_new_folder_cannot_be_put_there_the_old_one_stays(
    few, tmp_path, monkeypatch, capsys, error
):
    out = tmp_path / "class"
    assert class_sets.main(["--seeds", "1", "--out", str(out)]) == 0
    capsys.readouterr()
    before, rename = contents(tmp_path), Path.rename

    def rename_or_not(path, target):
        if path.name == "fresh":
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_or_not)
    if isinstance(error, OSError):
        refused(["--seeds", "2", "--out", str(out)], capsys, "Cannot write to", "busy")
    else:
        assert class_sets.main(["--seeds", "2", "--out", str(out)]) == 130
    assert contents(tmp_path) == before and [path.name for path in tmp_path.iterdir()] == ["class"]


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    """The root of the file system is a mount point on every machine.

    Root may write anywhere, hence the patches.
    """
    monkeypatch.setattr(class_sets, "common_files", lambda: pytest.fail("it has begun to work"))
    refused(["--out", "/"], capsys, "/ is a drive", "Name a new folder in it, such as /class.")
    (tmp_path / "c").mkdir()
    for locked, out in (
        (tmp_path, tmp_path / "a/b"),
        (tmp_path, tmp_path / "c"),
        (tmp_path / "c", tmp_path / "c"),
    ):
        monkeypatch.setattr(
            os, "access", lambda folder, _mode, locked=locked: Path(folder) != locked
        )
        refused(
            ["--out", str(out)],
            capsys,
            f"Cannot write to {locked} (no permission).",
            "another folder with --out",
        )
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "c")
    refused(["--out", str(tmp_path / "c")], capsys, f"such as {tmp_path / 'c/class'}.")


def test_the_home_folder_may_be_typed_as_a_wave(few, tmp_path, monkeypatch):
    """make hands it on as it stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("Ada\nBob", encoding="utf-8")
    assert class_sets.main(["--names", "~/list.txt", "--out", "~/class"]) == 0
    assert [row["student"] for row in key_rows(tmp_path / "class")] == ["Ada", "Bob"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class", "list.txt"]


# In a shell's background Ctrl-C is ignored, hence the first lines.
STOPPED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tools import class_sets
sys.exit(class_sets.main(["--seeds", "30", "--out", sys.argv[1]]))
"""


def test_ctrl_c_is_one_line(tmp_path):
    """As a terminal sends it: to the command and to the processes that compute for it."""
    run = subprocess.Popen(
        [sys.executable, "-c", STOPPED, str(tmp_path / "class")],
        cwd=class_sets.ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while run.poll() is None and not list(tmp_path.iterdir()):
            time.sleep(0.1)
        time.sleep(0.7)  # the processes import what they need
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=100)[1]
    finally:
        run.kill()
    assert (run.returncode, said) == (130, "tools.class_sets: stopped; nothing was written.\n")
    assert list(tmp_path.iterdir()) == []
