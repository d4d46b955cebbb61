"""Exercises that answer back, and predictions that are kept. Nothing is required, nothing leaves this computer.

How to compute an answer, the known mistakes and the hints stand in notebooks/solutions/exercises_NN.py, one file a
notebook. Everything belongs to a run: the knobs come from the notebook that calls.
"""

import json
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from helpers import InputError, is_number, words

COURSE = Path(__file__).resolve().parents[1]
TABLES = [
    str(COURSE / "notebooks/solutions"),
    str(COURSE / "notebooks/exercises.zip"),
]  # a class set has the second
UNKNOWN = """I do not see how you got there. Check unit and column, or `hint("{}")`. Numbers typed from the
page are rounded: use the variables. A knob changed? Run all cells again."""
FORMS = (
    'Give one letter in quotes, such as "A".',
    "Give one number, such as 2.75.",
    "Give two numbers: (2.75, 8).",
)
_hints_given: dict[str, int] = {}


class Exercise(NamedTuple):
    """One exercise in one run. An answer is a number, several numbers, or a word."""

    right: object
    also: object  # the same by another road, for the tests
    because: str
    wrong: dict[
        str, tuple
    ]  # the name of a mistake: the answer it leads to, what to say; maybe how near is near
    hints: tuple[str, str]  # a nudge, and a bigger one
    tolerance: float = 0.0051  # in the unit of the answer: two decimals are enough


def check(exercise: str, answer: object = ..., knobs: dict[str, object] | None = None) -> None:
    """Say whether the answer is right in this run, and why, or what the likely mistake is; the notebook runs on.

    knobs: None takes them from the notebook that calls, and what is missing there from the stored notebook.
    Raises InputError for an exercise that does not exist.
    """
    words.say(judge(exercise, answer, sys._getframe(1).f_globals if knobs is None else knobs)[1])


def judge(exercise: str, answer: object, knobs: dict[str, object]) -> tuple[bool | None, str]:
    """What `check` shows, after True or False; None where nothing can be judged: no answer yet, or none in this run.

    Raises InputError for an exercise that does not exist.
    """
    solve, run = _look_up(exercise, knobs)
    if answer is None or answer is ...:
        return (
            None,
            f'**Open.** Put your answer in place of the dots. Stuck? Type `hint("{exercise}")` in a new cell.',
        )
    try:
        found: Exercise = solve(run)
    except InputError as error:
        return None, f"In this run the question has no answer. {error}"
    try:
        if (off := _gaps(answer, found.right)).max() <= found.tolerance:
            return True, f"**Right.** {found.because}"
        return (
            False,
            f"**Not yet.** {_likely_mistake(answer, found, off) or UNKNOWN.format(exercise)}",
        )
    except (TypeError, ValueError, OverflowError):
        return False, f"**Not yet.** That cannot be read. {FORMS[np.size(found.right)]}"


def hint(exercise: str) -> None:
    """Show a nudge; called again, a bigger one. Raises InputError for an exercise that does not exist."""
    solve, run = _look_up(exercise, sys._getframe(1).f_globals)
    _hints_given[exercise] = step = min(_hints_given.get(exercise, 0) + 1, 2)
    words.say(f"Hint {step} of 2: {solve(run).hints[step - 1]}")


def predict(name: str, low: float = ..., high: float = ...) -> None:
    """Keep your 90 % range for a result that comes later in the notebook; with both dots left in, nothing happens.

    Kept in the file that AB_PREDICTIONS names, else in my/predictions.json; set but empty, it keeps nothing. Once
    `reveal` has shown the result, the range of that run stays.
    """
    if low is ... and high is ...:
        return
    if not (is_number(low) and is_number(high) and low <= high):
        return words.say(
            f'Not kept: give two numbers, the lower one first, such as predict("{name}", 2, 8).'
        )
    _keep(name, sys._getframe(1).f_globals, [float(low), float(high)])


def decide(name: str, decisions: dict[str, str]) -> None:
    """Seal ship, hold or collect more for each segment, until `reveal` opens the envelope; kept as by `predict`."""
    said = {
        str(segment): str(word).strip().lower()
        for segment, word in decisions.items()
        if word is not ...
    }
    if bad := [
        f"{word!r} for {s}"
        for s, word in said.items()
        if word not in (words.SHIP, words.HOLD, words.COLLECT)
    ]:
        return words.say(
            f'Not kept: {", ".join(bad)}. The words are "ship", "hold" and "collect more".'
        )
    if said:
        _keep(name, sys._getframe(1).f_globals, said)


def reveal(name: str, truth: float | dict[str, float]) -> dict[str, str] | None:
    """Show the range that was kept against the truth; of an envelope, given a dict of truths, return the decisions."""
    if not isinstance(truth, dict) and not is_number(truth):
        return None
    truth = (
        {str(k): float(v) for k, v in truth.items()} if isinstance(truth, dict) else float(truth)
    )
    said = _record(name, sys._getframe(1).f_globals, truth=truth)
    if isinstance(said, list):
        where = "inside" if said[0] <= truth <= said[1] else "outside"
        return words.say(f"You said {_spell(said)}. The result, {truth:.4g}, is **{where}**.")
    return said


def predictions() -> dict[str, dict[str, dict]]:
    """Every prediction kept so far: its name, then its run, then said ([low, high] or decisions) and truth (or None).

    Raises InputError for a file that holds something else; it is left as it is.
    """
    path = _file()
    try:
        kept = json.loads(
            (path.read_text(encoding="utf-8") if path and path.exists() else "").strip() or "{}"
        )
        if any(
            set(entry) != {"said", "truth"} for runs in kept.values() for entry in runs.values()
        ):
            raise ValueError
        return kept
    except (OSError, ValueError, AttributeError, TypeError):
        raise InputError(
            f"{path} is no file of predictions. It was left as it is: move it away."
        ) from None


def _file() -> Path | None:
    named = os.environ.get("AB_PREDICTIONS", COURSE / "my/predictions.json")
    return Path(named).expanduser() if named else None


def _record(name: str, space: dict, said: object = None, truth: object = None) -> object:
    """Keep what was said, or the truth; returns what was said. A fault is told, and the notebook runs on."""
    try:
        kept, path = predictions(), _file()
        run = ", ".join(
            f"{knob} = {value!r}" for knob, value in vars(_run(name[:2], space)).items()
        )
        entry = kept.setdefault(name, {}).setdefault(run, {"said": said, "truth": None})
        if path and entry["said"] is not None and entry["truth"] is None:
            entry.update({"said": said or entry["said"], "truth": truth})
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f"{path.name}.new")
            fresh.write_text(json.dumps(kept, indent=1, ensure_ascii=False), encoding="utf-8")
            fresh.replace(path)
        return entry["said"] if path else None
    except InputError as error:
        words.say(str(error))
    except OSError as error:
        words.say(
            f"Not kept: {path} cannot be written ({error.strerror}). Name another file in AB_PREDICTIONS."
        )


def _keep(name: str, space: dict, said: list | dict) -> None:
    if kept := _record(name, space, said):
        words.say(
            f"Kept: {_spell(kept)}.",
            "" if kept == said else "(What you said before you saw the result stays.)",
        )


def _spell(said: list | dict) -> str:
    return (
        ", ".join(map(" ".join, said.items()))
        if isinstance(said, dict)
        else f"{said[0]:g} to {said[1]:g}"
    )


def _look_up(exercise: str, space: dict) -> tuple:
    number, table = str(exercise)[:2], {}
    if spec := PathFinder.find_spec(f"exercises_{number}", TABLES):
        spec.loader.exec_module(module := module_from_spec(spec))
        table = module.EXERCISES
    if exercise not in table:
        raise InputError(
            f"There is no exercise {exercise!r}. Notebook {number} has: {', '.join(table) or 'none'}."
        )
    return table[exercise], _run(number, space)


def _run(number: str, space: dict) -> SimpleNamespace:
    """The knobs of notebook `number`, each with its value in `space`, else as stored."""
    files = (COURSE / "notebooks").glob(f"{number}_*.ipynb")
    if not (found := sorted(files, key=lambda path: len(path.name))):  # a copy has the longer name
        raise InputError(
            f"There is no notebook {number!r}. Names begin with its two digits, such as 03-p-value."
        )
    cells = json.loads(found[0].read_text(encoding="utf-8"))["cells"]
    first = next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    exec(first, {}, knobs := {})
    return SimpleNamespace(**{name: space.get(name, value) for name, value in knobs.items()})


def _gaps(answer: object, value: object) -> np.ndarray:
    """How far the numbers of an answer are from a value's, in its unit; a letter is the same (0) or infinitely far."""
    if isinstance(value, str):
        return np.array([0.0 if str(answer).strip(" .'\"").lower() == value.lower() else np.inf])
    answer, value = np.asarray(answer, dtype=float).ravel(), np.asarray(value, dtype=float).ravel()
    if answer.size != value.size:
        raise ValueError
    return np.abs(answer - value)


def _likely_mistake(answer: object, found: Exercise, off: np.ndarray) -> str:
    """What to say to a wrong answer that is `off` from the right one: too coarse, or the nearest mistake, or "".

    A mistake is near within the tolerance and a quarter of its own size, unless it says how near; a rounding takes
    away no more than a quarter, either.
    """
    near = [(np.inf, "")]
    for value, says, *within in found.wrong.values():
        usual = (
            0.0 if isinstance(value, str) else min(found.tolerance, np.abs(value).max() / 4) + 1e-9
        )
        near += (
            [(gap, says)] if (gap := _gaps(answer, value).max()) <= max([usual, *within]) else []
        )
    gap, says = min(near)
    if isinstance(found.right, str):
        return says or FORMS[0]
    coarse = any(_gaps(answer, np.round(found.right, digits)).max() < 1e-9 for digits in range(4))
    if coarse and gap > 1e-9 and off.max() <= np.abs(found.right).max() / 4:
        return (
            "Perhaps the right way, rounded too coarsely: give more decimals, or the result itself."
        )
    if not says and 0 < (good := off <= found.tolerance).sum() < off.size:
        return (
            f"Your {'first' if good[0] else 'second'} number is right. Look at the other one again."
        )
    return says
