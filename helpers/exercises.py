"""Exercises that answer back. Nothing is required, and nothing leaves this computer.

How to compute an answer, the known mistakes and the hints stand in notebooks/exercises/, one table
a notebook: exercises_03.py holds EXERCISES, which maps names such as "03-welch-se" to functions of
a run, and KNOBS, the names, order and stored values of the knobs that make a run of notebook 03.
"""

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from helpers import InputError, words

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
TABLES = [str(NOTEBOOKS / "exercises"), str(NOTEBOOKS / "exercises.zip")]  # a class set has a zip
OPEN = '**Open.** Put your answer in place of the dots. Stuck? Type `hint("{}")` in a new cell.'
UNKNOWN = (
    'I do not see how you got there. Check unit and column, or `hint("{}")`. '
    "Numbers typed from the\npage are rounded: use the variables. "
    "A knob changed? Run all cells again."
)
COARSE = "Perhaps the right way, rounded too coarsely: give more decimals, or the result itself."
FORMS = (
    'Give one letter in quotes, such as "A".',
    "Give one number, such as 2.75.",
    "Give two numbers: (2.75, 8).",
)
LETTERS = "ABCD"
hints_given: dict[str, int] = {}  # how many hints each exercise has given


class Exercise(NamedTuple):
    """One exercise in one run. An answer is a number, several numbers, or a word.

    wrong maps the name of a mistake to the answer it leads to and what to say; a third entry, in
    the unit of the answer, says how near another answer may be to get the same words.
    """

    right: Any
    also: Any  # the same by another road, for the tests
    because: str
    wrong: dict[str, tuple]
    hints: tuple[str, str]  # a nudge, and a bigger one
    tolerance: float = 0.0051  # in the unit of the answer: two decimals are enough


def letter_question(
    seed: int,
    texts: list[tuple[str, str] | None],
    because: str,
    others: dict[str, tuple[str, str]],
    hints: tuple[str, str],
) -> Exercise:
    """An exercise that asks for a letter; up to four texts go round with the seed.

    texts: in the order of the notebook's list, of which it shows text (place + seed) % len(texts)
    at each place; None for the right one, the name of a mistake and what to say for the others.
    others: mistakes that are no letter of a text, such as "none", as in `Exercise.wrong`.
    """

    def letter(number: int) -> str:
        return LETTERS[(number - seed) % len(texts)]

    wrong = {}
    for number, mistake in enumerate(texts):
        if mistake is not None:
            name, says = mistake
            wrong[name] = (letter(number), says)
    right = letter(texts.index(None))
    shown = [texts[(place + seed) % len(texts)] for place in range(len(texts))]
    also = LETTERS[shown.index(None)]
    return Exercise(right, also, because, wrong | others, hints)


def check(exercise: str, answer: Any = ..., knobs: dict[str, object] | None = None) -> None:
    """Say whether the answer is right in this run, and why, or what the likely mistake is.

    The notebook runs on, whatever the answer. knobs: None takes them from the notebook that calls,
    and what is missing there as it is stored. Raises InputError for an exercise that does not
    exist.
    """
    space = sys._getframe(1).f_globals if knobs is None else knobs
    _, says = judge(exercise, answer, space)
    words.say(says)


def judge(exercise: str, answer: Any, knobs: dict[str, object]) -> tuple[bool | None, str]:
    """What `check` shows, after True or False.

    None stands there where nothing can be judged: no answer yet, or none in this run. Raises
    InputError for an exercise that does not exist.
    """
    compute = find(exercise)
    if answer is None or answer is ...:
        return None, OPEN.format(exercise)
    try:
        found = compute(run_of(exercise[:2], knobs))
    except InputError as error:
        return None, f"In this run the question has no answer. {error}"
    try:
        off = gaps(answer, found.right)
        if off.max() <= found.tolerance:
            return True, f"**Right.** {found.because}"
        says = _likely_mistake(answer, found, off) or UNKNOWN.format(exercise)
    except (TypeError, ValueError, OverflowError):
        says = f"That cannot be read. {FORMS[np.size(found.right)]}"
    return False, f"**Not yet.** {says}"


def hint(exercise: str) -> None:
    """Show a nudge; called again, a bigger one.

    Raises InputError for an exercise that does not exist, or has no answer in this run.
    """
    compute = find(exercise)
    step = min(hints_given.get(exercise, 0) + 1, 2)
    hints_given[exercise] = step
    found = compute(run_of(exercise[:2], sys._getframe(1).f_globals))
    words.say(f"Hint {step} of 2: {found.hints[step - 1]}")


def names(number: str) -> list[str]:
    """The exercises of a notebook, such as "03", in its order; none where it has no table."""
    table = _table(number)
    return list(table.EXERCISES) if table else []


def units(number: str) -> dict[str, str]:
    """What a notebook asks to be predicted, by its name, and in which unit."""
    return getattr(_table(number), "PREDICTIONS", {})


def find(exercise: str) -> Callable[[SimpleNamespace], Exercise]:
    """The function that computes an exercise for a run; it is not called yet.

    It raises InputError for a run in which the question has no answer, while this raises
    InputError for an exercise that does not exist.
    """
    number = str(exercise)[:2]
    table = _table(number)
    known = table.EXERCISES if table else {}
    if exercise not in known:
        listed = ", ".join(known) or "none"
        raise InputError(f"There is no exercise {exercise!r}. Notebook {number} has: {listed}.")
    return known[exercise]


def run_of(number: str, space: dict[str, object]) -> SimpleNamespace:
    """The knobs of a notebook, such as "03", in its order: as they are in `space`, else as stored.

    Raises InputError where no notebook of that number has a table.
    """
    table = _table(number)
    if table is None:
        such_as = "Names begin with its two digits, such as 03-p-value."
        raise InputError(f"There is no notebook {number!r}. {such_as}")
    return SimpleNamespace(**{name: space.get(name, value) for name, value in table.KNOBS.items()})


def gaps(answer: Any, value: Any) -> np.ndarray:
    """How far the numbers of an answer are from a value's, in its unit: one gap a number.

    A letter is the same (0) or infinitely far. Raises TypeError, ValueError or OverflowError for
    an answer that cannot be read as so many numbers.
    """
    if isinstance(value, str):
        same = str(answer).strip(" .'\"").lower() == value.lower()
        return np.array([0.0 if same else np.inf])
    given = np.asarray(answer, dtype=float).ravel()
    wanted = np.asarray(value, dtype=float).ravel()
    if given.size != wanted.size:
        raise ValueError(f"{given.size} numbers instead of {wanted.size}")
    return np.abs(given - wanted)


def _table(number: str) -> ModuleType | None:
    spec = PathFinder.find_spec(f"exercises_{number}", TABLES)
    if spec is None or spec.loader is None:
        return None
    table = module_from_spec(spec)
    spec.loader.exec_module(table)
    return table


def _nearest_mistake(answer: Any, found: Exercise) -> tuple[float, str]:
    """How far the nearest of the known mistakes is, and what to say; infinity and "" for none.

    A mistake is near within the tolerance and a quarter of its own size, unless it says how near.
    """
    near = [(np.inf, "")]
    for value, says, *within in found.wrong.values():
        usual = 0.0
        if not isinstance(value, str):
            usual = min(found.tolerance, np.abs(value).max() / 4) + 1e-9
        gap = gaps(answer, value).max()
        if gap <= max([usual, *within]):
            near.append((gap, says))
    return min(near)


def _likely_mistake(answer: Any, found: Exercise, off: np.ndarray) -> str:
    """What to say to a wrong answer that is `off` from the right one; "" where nothing fits.

    It may be too coarse, which takes away no more than a quarter of the right one, or the nearest
    mistake, or half right.
    """
    gap, says = _nearest_mistake(answer, found)
    if isinstance(found.right, str):
        return says or FORMS[0]
    rounded = [gaps(answer, np.round(found.right, digits)).max() for digits in range(4)]
    little_lost = off.max() <= np.abs(found.right).max() / 4
    if min(rounded) < 1e-9 and little_lost and gap > 1e-9:
        return COARSE
    good = off <= found.tolerance
    if not says and 0 < good.sum() < off.size:
        which = "first" if good[0] else "second"
        return f"Your {which} number is right. Look at the other one again."
    return says
