"""Predictions that are kept, and set against the result. Nothing is required, nothing is sent.

The file maps the name of a prediction to its runs, and a run to what was said, [low, high] or
decisions, and to the truth (null until `reveal` has shown it). A run is spelled from the knobs of
the notebook, in its order, so that each has predictions of its own.
"""

import json
import os
import re
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from helpers import LONGEST, InputError, exercises, is_number, words

USUAL_FILE = Path(__file__).resolve().parents[1] / "my/predictions.json"
LARGEST_FILE = 10_000_000  # bytes


def predict(name: str, low: Any = ..., high: Any = ...) -> None:
    """Keep your 90 % range, two numbers, for a result that comes later in the notebook.

    With both dots left in, nothing happens. Kept in the file that AB_PREDICTIONS names, else in
    my/predictions.json; set but empty, it keeps nothing. Once `reveal` has shown the result, the
    range of that run stays. A range that looks like shares where the unit is "of 100" is kept, and
    told; a name that nobody asks for is told, and not kept.
    """
    if low is ... and high is ...:
        return
    asked = exercises.units(name[:2])
    if asked and name not in asked:
        words.say(f"Not kept: {words.name(name)} is none of {', '.join(asked)}.")
    elif is_number(low) and is_number(high) and low <= high:
        _keep(name, sys._getframe(1).f_globals, [float(low), float(high)])
        if asked.get(name, "").startswith(("of 100", "per cent")) and max(abs(low), abs(high)) <= 1:
            words.say("You are asked for a number of 100. If you meant shares, times 100.")
    else:
        such_as = f'such as predict("{name}", 2, 8)'
        words.say(f"Not kept: give two numbers, the lower one first, {such_as}.")


def decide(name: str, decisions: dict[str, Any]) -> None:
    """Seal ship, hold or collect more for each segment; kept as by `predict`.

    decisions: segment to word, and dots for a segment that is left open. They may be changed until
    `reveal` opens the envelope.
    """
    said = {}
    for segment, word in decisions.items():
        if word is not ...:
            said[str(segment)] = str(word).strip().lower()
    allowed = (words.SHIP, words.HOLD, words.COLLECT)
    bad = [
        words.name(f"{word!r} for {segment}")
        for segment, word in said.items()
        if word not in allowed
    ]
    if bad:
        listed = ", ".join(bad)
        words.say(f'Not kept: {listed}. The words are "ship", "hold" and "collect more".')
    elif said:
        _keep(name, sys._getframe(1).f_globals, said)


def reveal(name: str, truth: float | dict[str, float]) -> dict[str, str] | None:
    """Show the range that was kept against the truth, in the unit of both.

    Of an envelope, given a dict of truths, return the decisions: segment to word, or None where
    none were sealed.
    """
    if isinstance(truth, dict):
        truth = {str(segment): float(value) for segment, value in truth.items()}
    elif is_number(truth):
        truth = float(truth)
    else:
        return None
    said = _record(name, sys._getframe(1).f_globals, truth=truth)
    if not isinstance(said, list):
        return said
    where = "inside" if said[0] <= truth <= said[1] else "outside"
    words.say(f"You said {_spell(said)}. The result, {truth:.4g}, is **{where}**.")
    return None


def predictions() -> dict[str, dict[str, dict]]:
    """Every prediction kept so far: its name, then its run, then said and truth.

    said is [low, high] or decisions; truth is None as long as it was not shown. Raises InputError
    for a file that holds something else; it is left as it is.
    """
    path = place()
    if path is None:
        return {}
    try:
        if not path.exists():
            return {}
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise ValueError
        kept = json.loads(path.read_text(encoding="utf-8").strip() or "{}")
        if not all(map(_is_ours, kept, kept.values())):
            raise ValueError
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        mend = "It was left as it is: move it away, or name another one in AB_PREDICTIONS."
        raise InputError(f"{path} is no file of predictions. {mend}") from None
    return kept


def place() -> Path | None:
    """The file that AB_PREDICTIONS names, else my/predictions.json; None where it keeps nothing.

    It keeps nothing where it is empty, or the system's null device. Links are followed. Raises
    InputError for a name that cannot be one of a file.
    """
    named = os.environ.get("AB_PREDICTIONS", str(USUAL_FILE))
    if named in ("", os.devnull):
        return None
    try:
        return Path(named).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, the home folder of nobody
        mend = "Name another file in AB_PREDICTIONS."
        raise InputError(
            f"AB_PREDICTIONS is {named}, no place for a file ({error}). {mend}"
        ) from None


@contextmanager
def locked(path: Path, seconds: float = 10) -> Iterator[None]:
    """Hold what the file `path` stands for, so that no other process holds it meanwhile.

    A lock ends with its process, however that ends. It is SQLite's, which works on every system;
    the file itself stays empty. Raises OSError where it is not to be had within `seconds`.
    """
    try:
        with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as holder:
            holder.execute("PRAGMA journal_mode = OFF")  # nothing is written, so nothing to undo
            holder.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.Error as error:
        raise OSError(None, str(error)) from None


def _is_ours(name: Any, runs: Any) -> bool:
    """Whether this part of a file is what `predict`, `decide` and `reveal` write."""
    return bool(re.match(r"\d\d-", name) and runs) and all(
        set(entry) == {"said", "truth"}
        and (_is_range(entry["said"]) or _is_said(entry["said"], str))
        and (
            entry["truth"] is None
            or is_number(entry["truth"])
            or _is_said(entry["truth"], (int, float))
        )
        for entry in runs.values()
    )


def _is_range(said: Any) -> bool:
    return isinstance(said, list) and len(said) == 2 and all(map(is_number, said))


def _is_said(said: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(said, dict) and all(isinstance(word, kind) for word in said.values())


def _record(name: str, space: dict, said: Any = None, truth: Any = None) -> Any:
    """Keep what was said, or the truth; return what was said.

    A fault is told, and the notebook runs on.
    """
    try:
        knobs = vars(exercises.run_of(name[:2], space))
        run = ", ".join(f"{knob} = {value!r}" for knob, value in knobs.items())
        path = place()
        if path is None or (said is None and not path.exists()):
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            kept = predictions()
            entry = kept.setdefault(name, {}).setdefault(run, {"said": said, "truth": None})
            if entry["said"] is not None and entry["truth"] is None:
                entry["said"] = said or entry["said"]
                entry["truth"] = truth
                _write(kept, path)
        return entry["said"]
    except InputError as error:
        words.say(words.name(error, most=LONGEST))
    except OSError as error:
        why = words.name(f"{path} cannot be written ({error.strerror})", most=LONGEST)
        words.say(f"Not kept: {why}. Name another file in AB_PREDICTIONS.")
    return None


def _write(kept: dict, path: Path) -> None:
    """Put the file in place whole, or leave the old one."""
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".predictions-") as folder:
        fresh = Path(folder) / path.name
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


def _keep(name: str, space: dict, said: list | dict) -> None:
    kept = _record(name, space, said)
    if kept:
        stays = "" if kept == said else "(What you said before you saw the result stays.)"
        words.say(f"Kept: {_spell(kept)}.", stays)


def _spell(said: list | dict) -> str:
    if isinstance(said, dict):
        return ", ".join(f"{words.name(segment)} {word}" for segment, word in said.items())
    return f"{said[0]:g} to {said[1]:g}"
