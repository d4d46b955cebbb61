"""The sealed envelope of notebook 06: own decisions are kept, marked by the truth, and stay once it is open."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from helpers import words
from tests.test_behaviour import caught
from tests.test_rerun import run_in_process
from tests.test_rerun_log import PLACES, make, save, shipped

DOTS = "my_words = [..., ..., ...]"
LAST = "mine = None if truth is None"  # the cell that marks; what follows is not needed here
SHIP, HOLD, COLLECT = words.SHIP, words.HOLD, words.COLLECT
NAMES = ["under 30", "30 to 39", "40 and over"]  # true lifts in points: 3, 1, -1; worth having: 1


@pytest.fixture
def decide(tmp_path, monkeypatch):
    """Run notebook 06 up to the opened envelope, with these words in it; what it then showed of the envelope."""
    monkeypatch.setenv("AB_PREDICTIONS", str(tmp_path / "kept.json"))
    monkeypatch.chdir(tmp_path)

    def run(said: list, knobs: dict | None = None) -> list[str]:
        notebook = shipped()
        last = next(i for i, cell in enumerate(notebook.cells) if cell.source.startswith(LAST))
        notebook.cells = notebook.cells[: last + 1]
        cell = next(cell for cell in notebook.cells if DOTS in cell.source)
        written = ", ".join("..." if word is ... else repr(word) for word in said)
        cell.source = cell.source.replace(DOTS, f"my_words = [{written}]")
        nbformat.write(notebook, tmp_path / "06_segments.ipynb")
        texts = run_in_process(tmp_path / "06_segments.ipynb", knobs or {}, monkeypatch)
        return [
            text
            for text in texts
            if re.match(r"Kept|Not kept|You\b|The rule, |Your envelope", text)
        ]

    return run


def kept(folder: Path) -> dict:
    path = folder / "kept.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["06-envelope"] if path.exists() else {}
    assert len(runs) <= 1
    return next(iter(runs.values()), {"said": None, "truth": None})


def marks(said: dict[str, str], truth: dict[str, float], worth: float) -> str:
    """The mistakes of these decisions, counted one by one."""
    shipped = [truth[name] for name, word in said.items() if word == SHIP]
    wins = [name for name in said if truth[name] >= worth]
    missed = sum(said[name] != SHIP for name in wins)
    false = sum(lift <= 0 for lift in shipped)
    return f"false ships {false} of {len(shipped)} shipped, missed wins {missed} of {len(wins)}."


def guard_marks(said: dict[str, str], shown: list[str], folder: Path) -> None:
    """What the notebook says of the learner and of the rule is what the kept decisions and truth give."""
    entry = kept(folder)
    assert entry["said"] == said
    assert entry["truth"] == pytest.approx(dict(zip(NAMES, (0.03, 0.01, -0.01), strict=True)))
    rule = {
        name: word for name, word in zip(NAMES, (SHIP, COLLECT, HOLD), strict=True) if name in said
    }
    segments = words.count(len(said), "segment")
    assert shown[-2:] == [
        f"You, in {segments}: {marks(said, entry['truth'], 0.01)}",
        f"The rule, in the same: {marks(rule, entry['truth'], 0.01)}",
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([SHIP, SHIP, SHIP], "false ships 1 of 3 shipped, missed wins 0 of 2."),
        ([HOLD, COLLECT, ...], "false ships 0 of 0 shipped, missed wins 2 of 2."),
    ],
    ids=["all shipped", "one left open"],
)
def test_own_decisions_are_kept_and_marked(decide, tmp_path, said, expected):
    shown = decide(said)
    own = {name: word for name, word in zip(NAMES, said, strict=True) if word is not ...}
    guard_marks(own, shown, tmp_path)
    assert shown[0] == f"Kept: {', '.join(f'{name} {word}' for name, word in own.items())}."
    assert shown[-2].endswith(expected)
    swapped = [shown[-1].replace("The rule, in the same", "You"), shown[-2]]
    caught(lambda texts: guard_marks(own, texts, tmp_path), swapped)


def test_an_open_envelope_cannot_be_changed(decide, tmp_path):
    first = decide([HOLD, HOLD, SHIP])
    sealed = kept(tmp_path)
    second = decide([SHIP, SHIP, HOLD])
    assert kept(tmp_path) == sealed and sealed["truth"]
    assert "What you said before" in second[0] and "What you said before" not in first[0]
    assert second[-2:] == first[-2:]
    guard_marks(dict(zip(NAMES, (HOLD, HOLD, SHIP), strict=True)), second, tmp_path)


def test_nobody_has_to_decide(decide, tmp_path):
    assert decide([..., ..., ...]) == [] and not (tmp_path / "kept.json").exists()


def test_a_word_that_is_no_decision_is_told(decide, tmp_path):
    assert [text.split(":")[0] for text in decide([SHIP, "yes", HOLD])] == ["Not kept"]
    assert not (tmp_path / "kept.json").exists()


@pytest.mark.filterwarnings("ignore:Glyph .* missing")
def test_on_an_own_log_the_envelope_stays_closed_and_says_so_only_to_whoever_sealed_it(
    decide, tmp_path
):
    path = save(make(sizes={f"s{i}": 200 for i in range(4)}), tmp_path / "log.csv")
    knobs = PLACES | {"log_file": path, "seed": 3}
    assert decide([..., ..., ...], knobs) == []
    shown = decide([COLLECT, SHIP, HOLD], knobs)  # the fourth segment is left open
    assert shown == [
        "Kept: s0 collect more, s1 ship, s2 hold.",
        "Your envelope stays closed: nobody knows the true lifts of this log.",
    ]
    assert kept(tmp_path) == {"said": {"s0": COLLECT, "s1": SHIP, "s2": HOLD}, "truth": None}
    assert decide([SHIP, SHIP, HOLD, HOLD], knobs)[0].endswith(
        "s3 hold."
    )  # not opened, so it may still change
