"""Exercises: tables, notebooks and solutions agree; right passes, known mistakes are named."""

import re
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy import stats

from helpers import InputError, checks, exercises, words
from tests import guards, notebook_checks
from tests.guards import RUNS, STANDARD, run_in_process, small_file, solve
from tools import notebooks

NOTEBOOKS = {path.name[:2]: path for path in notebooks.find()}
SOLUTIONS = {path.name[:2]: path for path in notebooks.find_solutions()}
NUMBERS = [number for number, path in NOTEBOOKS.items() if not notebooks.missing_package(path)]
HOW_MANY = dict.fromkeys(NOTEBOOKS, range(2, 5)) | {"09": range(1, 2), "10": range(1, 2)}
clusters_kept = guards.clusters_kept
CHECKED = re.compile(r'^check\("([^"]+)", answer\)', flags=re.MULTILINE)


EXERCISES = [name for number in NUMBERS for name in exercises.names(number)]


@cache
def stored(name: str) -> exercises.Exercise:
    """An exercise in the run as stored, solved once for all tests that only look at it."""
    return solve(name, {})


def source(notebook) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def headings(notebook) -> list[str]:
    """The numbered headings of the exercises."""
    return re.findall(
        r"^###? (\d\. .+)$",
        notebook_checks.prose(notebook).split("\n## Exercises\n")[-1],
        re.MULTILINE,
    )


# Notebook, table and solutions hold the same exercises


def out_of_step(names: list[str], notebook, solutions, how_many: range) -> list[str]:
    """What differs between a table's ids, the notebook's exercises and their solutions."""
    found, asked, answered = (
        [],
        CHECKED.findall(source(notebook)),
        CHECKED.findall(source(solutions)),
    )
    if not asked == answered == names:
        found.append(f"ids: notebook {asked}, solutions {answered}, table {names}")
    if headings(notebook) != headings(solutions):
        found.append(f"headings: notebook {headings(notebook)}, solutions {headings(solutions)}")
    if [title[0] for title in headings(notebook)] != [str(i + 1) for i in range(len(asked))]:
        found.append("the exercises are not numbered 1, 2, 3 ...")
    if len(names) not in how_many:
        found.append(f"{len(names)} exercises")
    knobs = [notebook_checks.code_cells(book)[0].source for book in (notebook, solutions)]
    if knobs[0] != knobs[1]:
        found.append("the knobs differ")
    if source(notebook).count("answer = ...\n") != len(asked):
        found.append("an exercise is not open")
    return found


@pytest.mark.parametrize("number", NUMBERS)
def test_notebook_table_and_solutions_agree(number):
    books = [notebook_checks.read(files[number]) for files in (NOTEBOOKS, SOLUTIONS)]
    assert out_of_step(exercises.names(number), *books, HOW_MANY[number]) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('check("03-relative", answer)', 'check("03-relativ", answer)', "ids"),
        ("### 2. ", "### 3. ", "not numbered"),
        ("### 1. Did", "### 1. Do", "headings"),
        ("answer = ...", "answer = 3", "not open"),
        ("effect = 3.0", "effect = 4.0", "knobs"),
    ],
)
def test_a_notebook_out_of_step_is_caught(old, new, fault):
    books = [notebook_checks.read(files["03"]) for files in (NOTEBOOKS, SOLUTIONS)]
    cell = next(cell for cell in books[0].cells if old in cell.source)
    cell.source = cell.source.replace(old, new)
    assert fault in " ".join(out_of_step(exercises.names("03"), *books, HOW_MANY["03"]))
    assert "4 exercises" in out_of_step(exercises.names("03"), *books, range(1, 2))


def knobs_out_of_step(number: str, notebook) -> list[str]:
    """How the knobs that a table declares differ from those of the notebook's parameters cell."""
    declared = [f"{name} = {value!r}" for name, value in vars(exercises.run_of(number, {})).items()]
    found = [f"{name} = {value!r}" for name, value in notebooks.knobs_of(notebook).items()]
    return [] if declared == found else [f"the table declares {declared}, the notebook {found}"]


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_tables_declare_the_knobs_of_their_notebook(number):
    assert knobs_out_of_step(number, notebooks.read(NOTEBOOKS[number])) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("effect = 3.0", "effect = 4.0"),
        ("effect = 3.0", "effect = 3"),
        ("effect = 3.0", "lift = 3.0"),
        ("effect = 3.0", "noise = 5.0\neffect = 3.0"),
        ("seed = 42", ""),
        ("target_cluster = 1", "worth = 1.0\ntarget_cluster = 1"),
    ],
    ids=["value", "type", "name", "one more", "one less", "order"],
)
def test_knobs_out_of_step_are_caught(old, new):
    notebook = notebooks.read(NOTEBOOKS["03"])
    cell = notebook_checks.code_cells(notebook)[0]
    assert old in cell.source
    cell.source = cell.source.replace(old, new)
    assert knobs_out_of_step("03", notebook)


# Letters go round with the seed; what tells the text that is asked for from the others

ASKED_FOR = {
    "01-which-segment": "before the coin was flipped",
    "02-which-check": "adds two points to each customer",
    "03-three-reports": "The probability that the campaign has no effect",
    "04-four-changes": "I sort each arm",
    "06-conclusions": "are built to hold, all of them",
    "07-reports": "visits in the week of the mailing",
    "08-three-stories": "always-valid interval whenever we liked",
    "11-reports": "The whole interval lies below that",
    "12-reports": "All customers together show a clear gain",
    "13-reports": "We searched four columns on half of the users",
}


def misplaced(name: str, notebook) -> list[str]:
    """Letters of which table and notebook tell different things, in the run as stored."""
    cells = notebook_checks.code_cells(notebook)
    at = next(i for i, cell in enumerate(cells) if f'check("{name}"' in cell.source)
    shown = dict(out.data["text/plain"].split(": ", 1) for out in cells[at - 1].outputs)
    exercise = stored(name)
    mistaken = [answer for answer, _ in exercise.wrong.values() if answer in shown]
    found = [] if sorted([exercise.right, *mistaken]) == list(shown) else ["not each letter once"]
    if f"[(place + seed) % {len(shown)}]" not in cells[at - 1].source:
        found.append("the texts do not go round")
    asked_for = [letter for letter, text in shown.items() if ASKED_FOR[name] in text]
    return found if asked_for == [exercise.right] else [*found, f"{asked_for} is asked for"]


def test_each_question_with_letters_is_known():
    letters = [n for n in EXERCISES if isinstance(stored(n).right, str)]
    assert letters == list(ASKED_FOR)


@pytest.mark.parametrize("name", ASKED_FOR)
def test_the_letter_is_that_of_the_text_in_the_notebook(name):
    assert misplaced(name, notebook_checks.read(NOTEBOOKS[name[:2]])) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "fault"),
    [
        ("03-three-reports", "The probability that", "A share, where", "is asked for"),
        ("03-three-reports", "C: ", "D: ", "not each letter once"),
        ("03-three-reports", "(place + seed) % 3", "(place - seed) % 3", "do not go round"),
        ("04-four-changes", "I sort each arm", "I never sort each arm", "is asked for"),
    ],
)
def test_a_misplaced_letter_is_caught(name, old, new, fault):
    notebook = notebook_checks.read(NOTEBOOKS[name[:2]])
    for cell in notebook_checks.code_cells(notebook):
        cell.source = cell.source.replace(old, new)
        for out in cell.outputs:
            if "data" in out:
                out.data["text/plain"] = out.data["text/plain"].replace(old, new)
    assert fault in " ".join(misplaced(name, notebook))


@pytest.mark.parametrize("right", range(4))
def test_letters_go_round_with_the_seed(right):
    """As the notebook shows them: at each place the text of place + seed."""
    texts = [(f"mistake {k}", f"says {k}") for k in range(4)]
    texts[right] = None
    for seed in range(9):
        found = exercises.letter_question(seed, texts, "", {"none": ("none", "one is")}, ("", ""))
        answers = {answer: says for answer, says in found.wrong.values()}
        for place, letter in enumerate("ABCD"):
            number = (place + seed) % 4
            assert (letter == found.right == found.also) == (number == right)
            assert answers.get(letter) == (None if number == right else f"says {number}")
        assert answers["none"] == "one is" and len(answers) == 4


@pytest.mark.parametrize("number", NUMBERS)
def test_solutions_are_kept_as_notebooks_are(number):
    solutions = notebook_checks.read(SOLUTIONS[number])
    stored = (
        notebook_checks.outputs_complete,
        notebook_checks.clean_outputs,
        notebook_checks.no_global_random_state,
    )
    assert [fault for stored_check in stored for fault in stored_check(solutions)] == []
    assert notebook_checks.typed_results(notebook_checks.prose(solutions)) == []
    assert (
        max(len(cell.source.splitlines()) for cell in notebook_checks.code_cells(solutions)) <= 15
    )
    shown = [
        cell.outputs[-1].data["text/plain"]
        for cell in solutions.cells
        if CHECKED.search(cell.source)
    ]
    assert len(shown) == len(exercises.names(number)) and all(
        text.startswith("**Right.**") for text in shown
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_exercises_are_stored_open(number):
    notebook = notebook_checks.read(NOTEBOOKS[number])
    shown = [
        cell.outputs[-1].data["text/plain"]
        for cell in notebook.cells
        if CHECKED.search(cell.source)
    ]
    assert all(text.startswith("**Open.**") for text in shown)


# The wrong-answer gallery


def faults(name: str, exercise: exercises.Exercise, least: int) -> list[str]:
    """What is amiss with an exercise: wrong judgements, or fewer than `least` mistakes told."""
    found, seen = [], set()
    with pytest.MonkeyPatch.context() as patch:  # judged as ever, but solved only once
        patch.setattr(exercises, "find", lambda name: lambda run: exercise)
        for answer in (exercise.right, exercise.also):
            if exercises.judge(name, answer, {}) != (True, f"**Right.** {exercise.because}"):
                found.append(f"right, and refused: {answer}")
        for mistake, (answer, says, *_) in exercise.wrong.items():
            undefined = (
                not isinstance(answer, str)
                and not np.isfinite(np.asarray(answer, dtype=float)).all()
            )
            if undefined or exercises.gaps(answer, exercise.right).max() <= exercise.tolerance:
                continue  # in this run the mistake makes no difference
            right, said = exercises.judge(name, answer, {})
            if right is not False:
                found.append(f"{mistake} is accepted: {answer}")
            elif said != f"**Not yet.** {says}":
                found.append(f"{mistake} gets the words of another: {said}")
            else:
                seen.add(says)
    return found if len(seen) >= least else [*found, f"only {len(seen)} mistakes are told apart"]


def knobs_of(number: str, knobs: dict, folder: Path) -> dict:
    """The knobs that the notebook has, with the small file written where it is asked for."""
    names = vars(exercises.run_of(number, {}))
    knobs = {name: value for name, value in knobs.items() if name in names}
    if knobs.get("customers_file") == "small":
        knobs["customers_file"] = small_file(folder)
    return knobs


@pytest.mark.parametrize("name", EXERCISES)
def test_three_mistakes_are_named_in_the_run_as_stored(name):
    exercise = stored(name)
    assert faults(name, exercise, least=3) == []
    assert len(exercise.wrong) >= 3 and len(exercise.hints) == 2


@pytest.mark.parametrize("knobs", RUNS, ids=lambda k: " ".join(f"{n}={v}" for n, v in k.items()))
def test_right_answers_follow_the_knobs(knobs, tmp_path):
    """On other clusters, effects, seeds and files: right is right; mistakes are named, or right."""
    for name in EXERCISES:
        own = knobs_of(name[:2], STANDARD | knobs | {"rows": 20_000}, tmp_path)
        try:
            exercise = solve(name, own)
        except InputError:
            assert exercises.judge(name, 1, own)[0] is None
            continue
        remaining = [
            fault for fault in faults(name, exercise, least=1) if "words of another" not in fault
        ]
        assert remaining == [], name


def test_answers_differ_from_seed_to_seed():
    """Each notebook has an exercise whose answer belongs to the seed.

    So neighbours cannot share all answers.
    """

    def differs(name: str) -> bool:
        one, other = (solve(name, {"seed": s, "rows": 20_000}).right for s in (1, 2))
        return (
            one != other if isinstance(one, str) else not np.allclose(one, other, rtol=0, atol=1e-6)
        )

    for number in NUMBERS:  # and no more is computed than that takes
        assert any(differs(name) for name in exercises.names(number)), number


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"right": 1.0}, "right, and refused"),
        ({"also": 0.0}, "right, and refused"),
        ({"tolerance": 100.0}, "mistakes are told apart"),
        ({"wrong": {}}, "only 0"),
    ],
)
def test_a_faulty_exercise_is_caught(change, fault):
    exercise = stored("03-welch-se")
    assert fault in " ".join(faults("03-welch-se", exercise._replace(**change), least=3))


@pytest.mark.parametrize("name", EXERCISES)
def test_hints_and_mistakes_do_not_give_the_answer_away(name):
    exercise = stored(name)
    if isinstance(exercise.right, str):
        return
    digits = {words.number(float(x), d) for x in np.ravel(exercise.right) for d in (2, 3)}
    texts = [*exercise.hints, *(says for _, says, *_ in exercise.wrong.values())]
    assert not [text for text in texts for number in digits if len(number) > 3 and number in text]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("knobs", [RUNS[0], RUNS[1], RUNS[3]], ids=str)
def test_solutions_are_right_on_other_knobs(number, knobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    knobs = knobs_of(number, STANDARD | knobs | {"rows": 20_000}, tmp_path)
    shown = run_in_process(SOLUTIONS[number], knobs, monkeypatch)
    verdicts = [text for text in shown if re.match(r"\*\*|In this run", text)]
    assert len(verdicts) == len(exercises.names(number))
    assert all(
        text.startswith(("**Right.**", "In this run the question has no answer"))
        for text in verdicts
    )


@pytest.mark.parametrize("looks", [1, 2, 5, 12])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_notebooks_own_calculation_is_near_enough(looks, seed):
    """08 builds the false-alarm rate by hand, on a grid; with one decimal, as asked, it passes."""
    cells = notebook_checks.code_cells(notebook_checks.read(NOTEBOOKS["08"]))
    space = {"np": np, "stats": stats}
    exec(next(cell.source for cell in cells if "def stopped_at_each_look" in cell.source), space)
    level = (0.1, 0.2, 0.02)[seed]
    by_hand = 100 * space["stopped_at_each_look"]([stats.norm.isf(level / 2)] * looks).sum()
    assert (
        exercises.judge("08-other-level", round(by_hand, 1), {"looks": looks, "seed": seed})[0]
        is True
    )


@pytest.mark.parametrize("seed", [1, 2, 3, 42])
def test_only_the_total_may_be_rounded(seed):
    """05 asks for whole customers: down or up passes, one farther off does not.

    Nor do arms rounded one by one.
    """
    exercise = solve("05-unequal", {"seed": seed})
    down = int(np.floor(exercise.right))
    passes = [
        exercises.judge("05-unequal", n, {"seed": seed})[0]
        for n in (down - 1, down, down + 1, down + 2)
    ]
    assert passes == [False, True, True, False]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_right_story_is_praised_without_naming_a_place(seed):
    """The stories go round with the seed, so no message may say 'the third'."""
    for name in ASKED_FOR:  # all questions with letters, as another test holds
        exercise = solve(name, {"seed": seed, "rows": 20_000})
        says = (says for _, says, *_ in exercise.wrong.values())
        assert not re.findall(
            r"\b(?:first|second|third|fourth|last) (?:story|report|one of)|[Ii]n the third",
            " ".join([exercise.because, *exercise.hints, *says]),
        )


# What check and hint say


def said(texts: list[str]) -> str:
    return texts[-1]


@pytest.fixture
def shown(monkeypatch):
    texts: list[str] = []
    monkeypatch.setattr(words, "display", lambda bundle, **_: texts.append(bundle["text/plain"]))
    return texts


def test_an_open_exercise_computes_nothing(shown, monkeypatch):
    monkeypatch.setattr(exercises, "find", lambda name: lambda run: 1 / 0)
    checks.check("03-welch-se", ...)
    checks.check("03-welch-se", None)
    checks.check("03-welch-se")
    assert (
        all(text.startswith("**Open.**") and 'hint("03-welch-se")' in text for text in shown)
        and len(shown) == 3
    )


HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize(
    "answer", ["about three", [1, 2], {"a": 1}, object(), "3,75", [], np.eye(2), HUGE, "B"]
)
def test_what_cannot_be_read_is_said_and_does_not_stop(answer, shown):
    checks.check("03-welch-se", answer)
    assert said(shown) == "**Not yet.** That cannot be read. Give one number, such as 2.75."
    checks.check("07-pool-two", answer if np.size(answer) == 1 else 3)
    assert said(shown) == "**Not yet.** That cannot be read. Give two numbers: (2.75, 8)."


@pytest.mark.parametrize("answer", ["E", "2", 2, "three reports", ["A", "B"], ""])
def test_a_letter_is_asked_for_where_one_is_due(answer, shown):
    checks.check("03-three-reports", answer)
    assert said(shown) == '**Not yet.** Give one letter in quotes, such as "A".'


def test_answers_may_come_in_many_shapes(shown):
    right = solve("03-welch-se", {}).right
    for answer in (right, np.float64(right), f"{right}", [right], np.array(right), round(right, 3)):
        assert exercises.judge("03-welch-se", answer, {})[0] is True
    letter = solve("03-three-reports", {}).right
    for answer in (letter, f" {letter.lower()} ", f"{letter}.", f"'{letter}'"):
        assert exercises.judge("03-three-reports", answer, {})[0] is True


@pytest.mark.parametrize("answer", [float("nan"), float("inf"), -1e300, 0])
def test_an_unknown_mistake_is_sent_to_the_hint(answer, shown):
    checks.check("03-welch-se", answer, {"seed": 7})
    assert said(shown).startswith(
        "**Not yet.** I do not see how"
    ) and 'hint("03-welch-se")' in said(shown)


COARSE = (
    "**Not yet.** Perhaps the right way, rounded too coarsely: give more decimals, or the result "
    "itself."
)
MADE_UP = exercises.Exercise(
    right=3.374,
    also=3.374,
    because="",
    hints=("", ""),
    tolerance=0.0051,
    wrong={
        "far": (9.002, "far"),
        "near": (9.0, "near"),
        "tiny": (2e-5, "tiny"),
        "draws": (3.374, "other draws", 0.1),
    },
)


def judged(monkeypatch, answer, **changes) -> tuple[bool | None, str]:
    exercise = MADE_UP._replace(**changes)
    monkeypatch.setattr(exercises, "find", lambda name: lambda run: exercise)
    return exercises.judge("03-made-up", answer, {})


@pytest.mark.parametrize("digits", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "name", ["03-welch-se", "03-baseline-p", "01-own-shop", "08-other-level", "06-difference"]
)
def test_a_right_answer_with_too_few_decimals_is_told_so(name, digits):
    """Rounded by more than is asked for: not right, but perhaps the way was.

    Unless little of the number is left.
    """
    exercise = solve(name, {})
    rounded = np.round(exercise.right, digits)
    off = np.abs(rounded - exercise.right).max()
    right, says = exercises.judge(name, rounded, {})
    if off <= exercise.tolerance:
        assert right is True
    elif off <= np.abs(exercise.right).max() / 4:
        assert (right, says) == (False, COARSE)
    else:
        assert right is False and says != COARSE


def test_a_rounding_goes_before_a_mistake_nearby_but_not_before_the_mistake_itself(monkeypatch):
    assert judged(monkeypatch, 3.4, wrong={"other": (3.401, "other")}) == (False, COARSE)
    assert judged(monkeypatch, 3.4, wrong={"other": (3.4, "other")}) == (
        False,
        "**Not yet.** other",
    )
    assert judged(monkeypatch, 3.41, wrong={"other": (3.411, "other")}) == (
        False,
        "**Not yet.** other",
    )
    assert (
        "I do not see" in judged(monkeypatch, 1, right=0.7, wrong={})[1]
    )  # little of it would be left


def test_the_nearest_of_two_mistakes_is_named(monkeypatch):
    assert judged(monkeypatch, 9.0005) == (False, "**Not yet.** near")
    assert judged(monkeypatch, 9.0016) == (False, "**Not yet.** far")


def test_a_small_mistake_does_not_stand_for_everything_smaller_than_the_tolerance(monkeypatch):
    assert judged(monkeypatch, 1.9e-5) == (False, "**Not yet.** tiny")
    assert judged(monkeypatch, 1e-12, wrong={"none": (0.0, "none")}) == (False, "**Not yet.** none")
    for answer in (0, 0.001, -2e-5):
        assert "I do not see" in judged(monkeypatch, answer)[1]


def test_the_right_way_with_other_draws_is_told_so(monkeypatch):
    assert judged(monkeypatch, 3.41) == (False, "**Not yet.** other draws")
    both = {"other": (3.412, "other"), "draws": (3.374, "other draws", 0.1)}
    assert judged(monkeypatch, 3.41, wrong=both) == (False, "**Not yet.** other")
    assert "I do not see" in judged(monkeypatch, 3.51)[1]


def test_one_of_two_numbers_is_right(monkeypatch):
    pair = {"right": (3.374, 8.0), "wrong": {"swapped": ((8.0, 3.374), "swapped")}}
    assert "Your first number is right." in judged(monkeypatch, (3.374, 7.1), **pair)[1]
    assert "Your second number is right." in judged(monkeypatch, (2, 8), **pair)[1]
    assert judged(monkeypatch, (8, 3.374), **pair) == (False, "**Not yet.** swapped")
    assert "I do not see" in judged(monkeypatch, (2, 7.1), **pair)[1]
    assert judged(monkeypatch, (3.37, 8.0), **pair)[0] is True


@pytest.mark.parametrize("name", ["03-welch", "3", "", "99-x", None, 3])
def test_an_exercise_that_does_not_exist(name):
    for call in (checks.check, checks.hint):
        with pytest.raises(InputError, match="There is no exercise"):
            call(name)


def test_knobs_come_from_the_notebook_that_calls(shown):
    """The same answer is right in one run and wrong in another; without a knob, it is as stored."""
    answer = solve("03-welch-se", {"target_cluster": 3, "seed": 7}).right
    space = {"check": checks.check, "answer": answer, "target_cluster": 3, "seed": 7}
    exec('check("03-welch-se", answer)', space)
    assert said(shown).startswith("**Right.**")
    exec('check("03-welch-se", answer)', space | {"seed": 8})
    assert said(shown).startswith("**Not yet.**")
    exec(
        'check("03-welch-se", answer)',
        {"check": checks.check, "answer": solve("03-welch-se", {}).right},
    )
    assert said(shown).startswith("**Right.**")


def test_knobs_of_the_table_alone_make_a_run():
    """In its order; what else the notebook has is left out, and what is missing is as stored."""
    space = {"lift": 1, "seed": 7, "target_cluster": 3, "effect": None}
    expected = {
        "customers_file": None,
        "n_clusters": 4,
        "target_cluster": 3,
        "effect": None,
        "worth": 1.0,
        "seed": 7,
    }
    assert list(vars(exercises.run_of("03", space)).items()) == list(expected.items())
    with pytest.raises(InputError, match="There is no notebook '99'"):
        exercises.run_of("99", space)


def test_tables_need_no_notebook(tmp_path, monkeypatch):
    """A table and the helpers are enough to judge: no cell of a notebook is read, let alone run."""
    table = Path(exercises.TABLES[0]) / "exercises_03.py"
    (tmp_path / table.name).write_bytes(table.read_bytes())
    monkeypatch.setattr(exercises, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(exercises, "TABLES", [str(tmp_path)])
    monkeypatch.setattr(nbformat, "read", None)
    (tmp_path / "03_t_test.ipynb").write_text("no notebook", encoding="utf-8")
    exercise = solve("03-relative", {"seed": 8})
    assert exercises.judge("03-relative", exercise.right, {"seed": 8})[0] is True
    assert exercises.names("02") == []


def test_what_lies_within_the_tolerance_is_right():
    exercise = solve("07-pool-two", {})
    for answer in (exercise.right, exercise.also, np.add(exercise.right, 0.0005)):
        assert exercises.judge("07-pool-two", answer, {})[0] is True
    for answer in (3, "A", None, np.add(exercise.right, 0.0006), (10**400, 1), {}, np.nan):
        assert exercises.judge("07-pool-two", answer, {})[0] is not True


def test_a_small_p_is_not_met_by_nothing():
    """02-other-plan: zero passes for no p, however small; three digits after the zeros do."""
    small = 0
    for seed in range(1, 31):
        right = solve("02-other-plan", {"seed": seed}).right
        small += right < 0.00051
        assert exercises.judge("02-other-plan", 0, {"seed": seed})[0] is not True
        rounded = float(f"{right:.3g}")
        assert exercises.judge("02-other-plan", rounded, {"seed": seed})[0] is True
    assert small


def test_a_run_without_an_answer_is_told(shown):
    checks.check("03-welch-se", 1.0, {"target_cluster": 17})
    assert said(shown).startswith(
        "In this run the question has no answer. target_cluster is 17, but the clusters are "
    )


def test_hints_come_in_two_steps(shown):
    exercises.hints_given.clear()
    for _ in range(3):
        checks.hint("03-welch-se")
    nudge, bigger = solve("03-welch-se", {}).hints
    assert shown == [f"Hint 1 of 2: {nudge}", f"Hint 2 of 2: {bigger}", f"Hint 2 of 2: {bigger}"]
