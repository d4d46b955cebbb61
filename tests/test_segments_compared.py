"""Notebook 06: the sealed envelope of own decisions, and its replays beside the log's generator.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import json
import math
import re
import runpy
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy import stats

from helpers import coins, data, heterogeneity, segments, words
from tests.guards import caught, run_in_process, share
from tests.test_rerun_log import PLACES, make, save, shipped
from tools import notebooks

# The envelope: decisions are kept, marked by the truth, and stay once it is open

DOTS = "my_words = [..., ..., ...]"
NEXT = "def mistakes("  # the cell after the one that marks; from there it is not needed
SHIP, HOLD, COLLECT = words.SHIP, words.HOLD, words.COLLECT
NAMES = ["under 30", "30 to 39", "40 and over"]  # true lifts in points: 3, 1, -1; worth having: 1


@pytest.fixture(scope="module")
def before_it(tmp_path_factory):
    """What there is before anybody decides, from these knobs; the same for all who do."""

    @cache
    def begun(*knobs: tuple) -> dict:
        space: dict = {}
        path = tmp_path_factory.mktemp("before") / "06_segments.ipynb"
        with pytest.MonkeyPatch.context() as patch:
            cut(path, end=DOTS)
            run_in_process(path, dict(knobs), patch, drawn=False, space=space)
        return space

    return begun


def cut(path: Path, start: str = "", end: str = "", said: str = DOTS) -> None:
    """Write notebook 06 from the cell with the one text up to before that with the other."""
    notebook = shipped()
    first, last = (
        next(i for i, cell in enumerate(notebook.cells) if text in cell.source)
        for text in (start, end)
    )
    notebook.cells = notebook.cells[first:last]
    for cell in notebook.cells:
        cell.source = cell.source.replace(DOTS, said)
    nbformat.write(notebook, path)


@pytest.fixture
def decide(tmp_path, monkeypatch, before_it):
    """Go on with notebook 06 to the opened envelope, with these words in it; what it then shows."""
    monkeypatch.setenv("AB_PREDICTIONS", str(tmp_path / "kept.json"))
    monkeypatch.chdir(tmp_path)

    def run(said: list, knobs: dict | None = None) -> list[str]:
        path = tmp_path / "06_segments.ipynb"
        written = ", ".join("..." if word is ... else repr(word) for word in said)
        cut(path, start=DOTS, end=NEXT, said=f"my_words = [{written}]")
        space = dict(before_it(*(knobs or {}).items()))
        texts = run_in_process(path, {}, monkeypatch, drawn=False, space=space)
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
    """What the notebook says of learner and rule is what the kept decisions and truth give."""
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
    again = decide([SHIP, SHIP, HOLD, HOLD], knobs)  # not opened, so it may still change
    assert again[0].endswith("s3 hold.")


# A thousand replays, and the generator itself

TRUE_LIFTS = np.array([0.03, 0.01, -0.01])
CAREFUL, WORTH, LOGS = 1 - 0.05 / 3, 0.01, 60


def by_age(log):
    banded = log.assign(age_band=segments.age_band(log["age"]))
    return heterogeneity.compare_segments(banded, "age_band", "converted", confidence=CAREFUL)


@pytest.fixture(scope="module")
def generated():
    """Lift and interval of every age band in new logs from the generator, logs x bands."""
    make_log = runpy.run_path(str(data.FOLDER / "make_data.py"))["make_log"]
    tables = [by_age(make_log(seed)) for seed in range(1_000, 1_000 + LOGS)]
    return [np.array([table[name] for table in tables]) for name in ("lift", "ci_low", "ci_high")]


def replay(se, truth=TRUE_LIFTS, confidence=CAREFUL):
    """Notebook 06's draws: a thousand estimates around the truth, with their intervals."""
    estimates = truth + se * np.random.default_rng(42).normal(size=(2, 10_000, len(se)))[0][:1000]
    half = stats.norm.ppf((1 + confidence) / 2) * se
    return estimates, estimates - half, estimates + half


def decided(low, high):
    """True where the decision is taken, kinds x runs x bands."""
    ends = zip(low.ravel(), high.ravel(), strict=True)
    found = np.reshape([words.decision(*pair, WORTH) for pair in ends], low.shape)
    kinds = np.vectorize(lambda decision: decision.split(":")[0])(found)
    return np.array([kinds == kind for kind in (SHIP, HOLD, COLLECT)])


def guard_spread(replayed, generated):
    """The lifts of the logs lie around the truth as those of the replays do."""
    z = (generated[0] - replayed[0].mean(axis=0)) / replayed[0].std(axis=0)
    assert abs(z.mean()) <= 3.2 / math.sqrt(z.size)
    assert abs(z.std() - 1) <= 3.2 / math.sqrt(2 * z.size)


def alike(often, seen):
    """Whether hits (runs x kinds) are as frequent in the logs as in the replays, up to luck.

    A share p may be off by 3.2 * sqrt(p * (1 - p) * (1 / 60 + 1 / 1000)), with two hits and two
    misses added to p.
    """
    p = (often.sum(axis=0) + 2) / (len(often) + 4)
    band = 3.2 * np.sqrt(p * (1 - p) * (1 / len(seen) + 1 / len(often)))
    return (np.abs(seen.mean(axis=0) - p) <= band).all()


def guard_decisions(replayed, generated):
    for often, seen in zip(decided(*replayed[1:]), decided(*generated[1:]), strict=True):
        assert alike(often, seen)


def guard_replay_coverage(replayed, generated):
    """Of each interval alone, and of all three together."""
    held = [(low <= TRUE_LIFTS) & (high >= TRUE_LIFTS) for _, low, high in (replayed, generated)]
    assert alike(*(np.column_stack([hit, hit.all(axis=1)]) for hit in held))


REPLAY_GUARDS = {
    guard_spread: {
        "as if with half of the users": lambda se: replay(math.sqrt(2) * se),
        "as if with twice the users": lambda se: replay(se / math.sqrt(2)),
        "around no effect": lambda se: replay(se, 0 * TRUE_LIFTS),
    },
    guard_decisions: {
        "as if with half of the users": lambda se: replay(math.sqrt(2) * se),
        "as if with twice the users": lambda se: replay(se / math.sqrt(2)),
        "arms swapped": lambda se: replay(se, -TRUE_LIFTS),
        "bands in another order": lambda se: replay(se, TRUE_LIFTS[::-1]),
    },
    guard_replay_coverage: {
        "around no effect": lambda se: replay(se, 0 * TRUE_LIFTS),
        "intervals of 68 %": lambda se: replay(se, confidence=0.68),
    },
}


@pytest.fixture(scope="module")
def shipped_se():
    """The errors of notebook 06: those of its lifts, if the pooled one were true everywhere."""
    cells = heterogeneity.cells_of(by_age(data.load_log()))
    return coins.errors_at(cells, coins.pooling_shares(cells) @ coins.lifts(cells), rate=True)


@pytest.mark.parametrize("guard", REPLAY_GUARDS)
def test_replays_are_what_the_generator_does(generated, shipped_se, guard):
    guard(replay(shipped_se), generated)
    for faulty in REPLAY_GUARDS[guard].values():
        caught(lambda replayed: guard(replayed, generated), faulty(shipped_se))


def guard_replay_table(replay, se):
    """These replays are notebook 06's: its stored table has their errors, to the digit."""
    path = next(path for path in notebooks.find() if path.name.startswith("06"))
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [o["data"]["text/html"] for o in outputs if "text/html" in o.get("data", {})]
    table = next(text for text in texts if "missed wins" in text)
    row = table.rpartition("corrected</th>")[2]
    ships = decided(*replay(se)[1:])[0]
    false, missed = ships[:, TRUE_LIFTS <= 0].any(axis=1), ~ships[:, TRUE_LIFTS >= WORTH]
    assert [share(x) for x in (false, missed)] == [
        pytest.approx(float(x), abs=5e-5) for x in re.findall(r"<td>(.*?)</td>", row)
    ]


def test_replays_are_those_of_notebook_06(shipped_se):
    guard_replay_table(replay, shipped_se)
    caught(
        lambda replay: guard_replay_table(replay, shipped_se),
        lambda se: replay(se, confidence=0.95),
    )
