"""Predictions: kept in one local file, fixed once the result is known; nobody's file is lost."""

import dis
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import nbformat
import pytest

from helpers import InputError, checks, exercises, predictions, words
from tests import notebook_checks
from tests.guards import caught, run_in_process
from tools import notebooks

FILES = [path for path in notebooks.find() if not notebooks.missing_package(path)]
CALL = re.compile(r'\b(predict|decide|reveal)\("([^"]+)"')


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("AB_PREDICTIONS", str(tmp_path / "deep" / "mine.json"))
    return tmp_path / "deep" / "mine.json"


@pytest.fixture
def shown(monkeypatch):
    texts: list[str] = []
    monkeypatch.setattr(words, "display", lambda bundle, **_: texts.append(bundle["text/plain"]))
    return texts


def predict(name, *answer, **knobs):
    exec(
        "predict(name, *answer)",
        {"predict": checks.predict, "name": name, "answer": answer} | knobs,
    )


def decide(name, decisions, **knobs):
    exec(
        "decide(name, decisions)",
        {"decide": checks.decide, "name": name, "decisions": decisions} | knobs,
    )


def reveal(name, truth, **knobs):
    space = {"reveal": checks.reveal, "name": name, "truth": truth} | knobs
    exec("said = reveal(name, truth)", space)
    return space["said"]


def said(name):
    """What is kept, in the only run there is; None if nothing is."""
    return next((entry["said"] for entry in checks.predictions().get(name, {}).values()), None)


def left(folder: Path) -> list[str]:
    """What stands in a folder, less the empty file that stands for the lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


# In the notebooks


def out_of_order(notebook, number: str) -> list[str]:
    """Predictions of a notebook that have no result, or come too late, or results without one."""
    found, asked, shown = [], [], []
    for cell in notebook_checks.code_cells(notebook):
        for what, name in CALL.findall(cell.source):
            if not name.startswith(number + "-"):
                found.append(f"{name} belongs to another notebook")
            if what == "reveal" and name not in asked:
                found.append(f"{name} is shown before it is asked for")
            if name in (shown if what == "reveal" else asked):
                found.append(f"{name} comes twice")
            (shown if what == "reveal" else asked).append(name)
        if re.search(r"'text/(plain|markdown)': '(Kept|You said)", str(cell.outputs)):
            found.append("somebody's prediction is stored")
    found += [f"{name} is never shown" for name in asked if name not in shown]
    return found + ([] if asked else ["no prediction can be recorded"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:2])
def test_every_prediction_is_asked_for_and_then_shown(path):
    assert out_of_order(notebook_checks.read(path), path.name[:2]) == []


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        (['reveal("03-a", 1)', 'predict("03-a", ..., ...)'], "before it is asked"),
        (['predict("03-a", ..., ...)'], "never shown"),
        (['predict("04-a", ..., ...)', 'reveal("04-a", 1)'], "another notebook"),
        (['predict("03-a", ..., ...)', 'predict("03-a", ..., ...)', 'reveal("03-a", 1)'], "twice"),
        (["x = 1"], "no prediction"),
    ],
)
def test_predictions_out_of_order_are_caught(cells, fault):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    assert fault in " ".join(out_of_order(notebook, "03"))


def test_a_stored_prediction_is_caught():
    said = nbformat.v4.new_output("display_data", {"text/plain": "Kept: 2 to 9."})
    cells = [
        nbformat.v4.new_code_cell('predict("03-a", 2, 9)', outputs=[said]),
        nbformat.v4.new_code_cell('reveal("03-a", 1)'),
    ]
    assert out_of_order(nbformat.v4.new_notebook(cells=cells), "03") == [
        "somebody's prediction is stored"
    ]


def reassigned(notebook) -> set[str]:
    """Knobs that a later cell gives another value.

    `predict`, `reveal` and `check` would see another run.
    """
    first, *others = notebook_checks.code_cells(notebook)
    bound = compile(first.source, "cell", "exec").co_names
    stores = (
        op.argval
        for cell in others
        for op in dis.get_instructions(cell.source)
        if op.opname == "STORE_NAME"
    )
    return set(bound) & set(stores)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:2])
def test_knobs_stay_as_they_were_set(path):
    """06 alone may complete its own: worth where none was given, and the control arm as text."""
    allowed = {"control", "worth"} if path.name.startswith("06") else set()
    assert reassigned(notebook_checks.read(path)) <= allowed


def test_a_knob_that_changes_on_the_way_is_caught():
    cells = [
        "seed = 42\nrows = 3",
        "for seed in range(3):\n    pass",
        "x = [rows for rows in range(3)]",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    assert reassigned(notebook) == {"seed"}


def test_a_learner_meets_her_own_range_in_notebook_03(file, tmp_path, monkeypatch):
    """Two numbers in place of the dots: kept, and set against the result in the same run."""
    notebook = nbformat.read(FILES[2], as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(
            'predict("03-false-alarms", ..., ...)', 'predict("03-false-alarms", 2, 9.5)'
        )
    nbformat.write(notebook, tmp_path / "03_mine.ipynb")
    shown = run_in_process(tmp_path / "03_mine.ipynb", {}, monkeypatch, drawn=False)
    assert "Kept: 2 to 9.5." in shown
    (kept,) = json.loads(file.read_text(encoding="utf-8"))["03-false-alarms"].values()
    rate = kept["truth"]
    where = "inside" if 2 <= rate <= 9.5 else "outside"
    assert f"You said 2 to 9.5. The result, {rate:.4g}, is **{where}**." in shown
    assert f"counted      {rate / 100:.4f}\npromised     0.0500" in " ".join(shown)


def test_without_predictions_nothing_is_written(file, tmp_path, monkeypatch):
    shown = run_in_process(FILES[2], {}, monkeypatch, drawn=False)
    assert not file.parent.exists() and not [
        text for text in shown if text.startswith(("Kept", "You said"))
    ]


def units_out_of_step(number: str, notebook) -> list[str]:
    """Predictions of a table whose name or unit differs from what its notebook asks for."""
    asked = {}
    for cell in notebook_checks.code_cells(notebook):
        for line in cell.source.splitlines():
            if found := re.match(r'(?:predict|decide)\("([^"]+)"[^#]*(?:# (.+))?', line):
                asked[found[1]] = found[2] or ""
    declared = exercises.units(number)
    return [] if list(declared.items()) == list(asked.items()) else [f"{declared}, {asked}"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[:2])
def test_tables_declare_the_predictions_of_their_notebook(path):
    notebook = notebook_checks.read(path)
    assert units_out_of_step(path.name[:2], notebook) == []
    cell = next(c for c in notebook_checks.code_cells(notebook) if c.source.startswith("predict("))
    for old, new in (('predict("', 'predict("x'), ("...)  # ", "...)  # not ")):
        whole, cell.source = cell.source, cell.source.replace(old, new, 1)
        assert units_out_of_step(path.name[:2], notebook)
        cell.source = whole


# The file


@pytest.mark.parametrize("name", ["03-p-valeu", "03-P-value", "03-", "03-power", "04-[x](y)"])
def test_a_misspelt_name_is_told(file, shown, name):
    predict(name, 0.2, 0.6)
    asked = ", ".join(exercises.units(name[:2]))
    assert shown[-1].startswith("Not kept") and shown[-1].endswith(f"is none of {asked}.")
    assert not file.parent.exists()


def test_shares_for_a_number_of_100_are_told(file, shown):
    predict("03-false-alarms", 0.02, 0.08)
    assert shown[-2].startswith("Kept") and "times 100" in shown[-1]
    shown.clear()
    for name, low, high in (("03-false-alarms", 0.5, 8), ("03-p-value", 0.2, 0.4)):
        predict(name, low, high)
    assert len(shown) == 2


def test_kept_then_shown_then_fixed(file, shown):
    predict("03-p-value", 0.2, 0.6)
    predict("03-p-value", 0.1, 0.4)  # thinks again, before the result
    assert (
        reveal("03-p-value", 0.3) is None
    )  # the last line of a cell: nothing but the sentence may be shown
    assert said("03-p-value") == [0.1, 0.4]
    predict("03-p-value", 0.29, 0.31)  # too late
    reveal("03-p-value", 0.9)
    assert (
        shown[1] == "Kept: 0.1 to 0.4."
        and "is **inside**" in shown[2]
        and "What you said before" in shown[3]
    )
    (entry,) = checks.predictions()["03-p-value"].values()
    assert entry == {"said": [0.1, 0.4], "truth": 0.3}
    assert left(file.parent) == [file.name]  # put in place whole, nothing left beside it


AS_WRITTEN = """{
 "10-numbers": {
  "%s": {
   "said": [
    20.0,
    30.0
   ],
   "truth": 24.0
  }
 },
 "03-p-valeur é": {
  "%s": {
   "said": {
    "à": "ship"
   },
   "truth": null
  }
 }
}"""
CLUSTER = "n_clusters = 4, target_cluster = 1, effect = 3.0, worth = 1.0"
LOG = "rows = 20000, folder = None, extras = False"
RUN_10 = f"customers_file = 'mine.csv', {CLUSTER}, {LOG}, seed = 7"
RUN_03 = f"customers_file = None, {CLUSTER}, seed = 42"


def test_the_file_is_written_as_ever(file, shown):
    """To the character: what a learner kept with an earlier state of the course goes on."""
    knobs = {"seed": 7, "rows": 20_000, "customers_file": "mine.csv", "note": 1}
    predict("10-numbers", 20, 30, **knobs)
    reveal("10-numbers", 24, **knobs)
    decide("03-p-valeur é", {"à": "ship", "b": ...})
    assert file.read_text(encoding="utf-8") == AS_WRITTEN % (RUN_10, RUN_03)


def test_each_run_has_its_own(file, shown):
    predict("03-p-value", 0.2, 0.6, seed=1)
    reveal("03-p-value", 0.7, seed=2)
    assert len(shown) == 1
    reveal("03-p-value", 0.7, seed=1)
    assert "You said 0.2 to 0.6" in shown[-1] and "is **outside**" in shown[-1]
    assert len(checks.predictions()["03-p-value"]) == 1 and "seed = 1" in next(
        iter(checks.predictions()["03-p-value"])
    )


def test_the_ends_belong_to_the_range(file, shown):
    predict("03-p-value", 1, 1)
    reveal("03-p-value", 1.0)
    assert "is **inside**" in shown[-1]


def test_dots_and_undefined_results_do_nothing(file, shown):
    predict("03-p-value")
    for truth in (0.5, float("nan"), float("inf"), None, "large"):
        assert reveal("03-p-value", truth) is None
    assert shown == [] and not file.parent.exists()


@pytest.mark.parametrize(
    "answer",
    [
        (3, 2),
        (2,),
        (..., 3),
        ((2, 3),),
        ("2", "3"),
        (None, 1),
        (float("nan"), 1),
        (1, float("inf")),
        (True, 2),
    ],
)
def test_a_range_that_is_none_is_refused_in_words(file, shown, answer):
    predict("03-p-value", *answer)
    assert shown[-1].startswith("Not kept: give two numbers") and not file.exists()


def test_an_envelope(file, shown):
    decide("06-envelope", {"young": ..., "old": ...})
    decide("06-envelope", {"young": "ship", "old": "wait"})
    assert shown == [
        """Not kept: 'wait' for old. The words are "ship", "hold" and "collect more"."""
    ]
    assert not file.exists()
    decide("06-envelope", {"young": "Ship ", "old": "hold", "other": ...})
    assert reveal("06-envelope", {"young": 0.1, "old": 0.0}) == {"young": "ship", "old": "hold"}
    decide("06-envelope", {"young": "hold"})
    assert (
        shown[1] == "Kept: young ship, old hold."
        and "What you said before" in shown[2]
        and "young ship" in shown[2]
    )


FOREIGN = [
    "not json",
    "[1, 2]",
    '{"a": 1}',
    '{"a": {"b": {"c": 1}}}',
    "5",
    '{"03-p-value": [',
    "\x00\x01",
    "null",
    '{"scripts": {}}',
    '{"scripts": {"test": {"said": [1, 2], "truth": null}}}',
    '{"03-a": {}}',
    '{"03-a": {"run": {"said": [1], "truth": null}}}',
    '{"03-a": {"run": {"said": [1, "x"], "truth": null}}}',
    '{"03-a": {"run": {"said": "x", "truth": null}}}',
    '{"03-a": {"run": {"said": {"old": 1}, "truth": null}}}',
    '{"03-a": {"run": {"said": [1, 2], "truth": "x"}}}',
    '{"03-a": {"run": {"said": [1, 2], "truth": {"old": "x"}}}}',
    '{"03-a": {"run": ["said", "truth"]}}',
    '{"03-a": ["run"]}',
    '{"03-p-value": ' + "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    "9" * 5000,
]


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: repr(content[:60]))
def test_a_foreign_or_broken_file_is_told_and_left_as_it_is(file, shown, content):
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    predict("03-p-value", 0.2, 0.6)
    assert reveal("03-p-value", 0.5) is None
    with pytest.raises(InputError):
        checks.predictions()
    assert len(shown) == 2 and all("is no file of predictions" in text for text in shown)
    assert file.read_text(encoding="utf-8") == content and left(file.parent) == [file.name]


def test_bytes_that_are_no_text(file, shown):
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe\x00PNG")
    predict("03-p-value", 0.2, 0.6)
    assert "is no file of predictions" in shown[-1] and file.read_bytes() == b"\xff\xfe\x00PNG"


def test_a_file_that_cannot_be_written(file, shown, monkeypatch):
    file.parent.write_text("a file where a folder should be", encoding="utf-8")
    predict("03-p-value", 0.2, 0.6)
    assert shown[-1].startswith(("Not kept: ", str(file))) and "AB_PREDICTIONS" in shown[-1]


def test_a_file_too_large_for_predictions_is_not_read(file, shown):
    file.parent.mkdir()
    with file.open("wb") as opened:
        opened.truncate(10**12)  # of zeros; the disk has none of them
    predict("03-p-value", 0.2, 0.6)
    assert "is no file of predictions" in shown[-1] and file.stat().st_size == 10**12


def guard_kind(file: Path, kind: str, shown: list[str]) -> None:
    """What is no regular file stays what it is, and nobody is told that anything was kept."""
    before = file.lstat().st_mode, file.lstat().st_ino
    predict("03-p-value", 0.2, 0.6)
    reveal("03-p-value", 0.5)
    assert (file.lstat().st_mode, file.lstat().st_ino) == before, kind
    assert not [text for text in shown if text.startswith(("Kept", "You said"))], kind


def replaced(kept: dict, path: Path) -> None:
    """The fault: whatever stands there is replaced."""
    fresh = path.with_name("new")
    fresh.write_text(json.dumps(kept), encoding="utf-8")
    fresh.replace(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder", "loop"])
def test_what_is_no_regular_file_is_left_as_it_is(file, shown, monkeypatch, kind):
    file.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to(file.name)
    guard_kind(file, kind, shown)
    assert len(shown) == 2 and "AB_PREDICTIONS" in shown[-1]
    monkeypatch.setattr(predictions, "place", lambda: file)
    monkeypatch.setattr(predictions, "predictions", dict)
    monkeypatch.setattr(predictions, "_write", replaced)
    if kind != "folder":  # which cannot be replaced
        caught(lambda made: guard_kind(made, kind, shown), file)


def test_the_null_device_keeps_nothing_and_stays(monkeypatch, shown):
    monkeypatch.setenv("AB_PREDICTIONS", os.devnull)
    before = Path(os.devnull).stat().st_mode
    predict("03-p-value", 0.2, 0.6)
    assert reveal("03-p-value", 0.5) is None and shown == []
    assert Path(os.devnull).stat().st_mode == before and checks.predictions() == {}


def test_a_link_stays_one_and_leads_to_what_was_kept(file, shown, tmp_path):
    file.parent.mkdir()
    (tmp_path / "usb").mkdir()
    file.symlink_to(tmp_path / "usb/mine.json")
    predict("03-p-value", 0.2, 0.6)
    predict("03-false-alarms", 1, 9)
    assert file.is_symlink() and said("03-p-value") == [0.2, 0.6] and said("03-false-alarms")
    assert left(tmp_path / "usb") == ["mine.json"]


@pytest.mark.parametrize("named", ["~nobody-of-this-name/x", "a/\x1b[31m/" + "x" * 300 + "/y"])
def test_a_place_that_is_none_is_told(monkeypatch, shown, named, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AB_PREDICTIONS", named)
    predict("03-p-value", 0.2, 0.6)
    assert "AB_PREDICTIONS" in shown[-1] and "\x1b" not in shown[-1] and len(shown) == 1
    reveal("03-p-value", 0.5)


def guard_at_once(shown: list[str]) -> None:
    """Twelve notebooks keep five predictions each, at the same time: all that is told is true."""
    names = [*exercises.units("03"), *exercises.units("04")]
    calls = [(name, seed) for seed in range(12) for name in names]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda call: predict(call[0], 2, 3, seed=call[1]), calls))
    told = [text for text in shown if text.startswith("Kept")]
    assert len(told) == sum(map(len, checks.predictions().values())) == len(calls) == 60


def test_notebooks_that_keep_at_once_lose_nothing(file, shown, monkeypatch):
    guard_at_once(shown)
    file.unlink()
    shown.clear()
    monkeypatch.setattr(predictions, "locked", lambda _path: nullcontext())
    caught(guard_at_once, shown)


def test_who_waits_too_long_is_told(file, shown, monkeypatch):
    predict("03-p-value", 0.2, 0.6)
    locked = predictions.locked
    monkeypatch.setattr(predictions, "locked", lambda path: locked(path, seconds=0.05))
    with locked(file.with_name(f".{file.name}.lock")):
        predict("03-p-value", 0.1, 0.2)
    assert "Not kept: " in shown[-1] and "database is locked" in shown[-1]
    predict("03-p-value", 0.1, 0.2)
    assert said("03-p-value") == [0.1, 0.2]


def test_a_lock_ends_with_its_process(tmp_path):
    """As after kill -9, or a computer that was switched off."""
    code = f"""
import os, pathlib
from helpers.predictions import locked
with locked(pathlib.Path({str(tmp_path / "lock")!r})):
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=notebooks.ROOT).returncode == 9
    with predictions.locked(tmp_path / "lock", seconds=0):
        assert (tmp_path / "lock").stat().st_size == 0
        with pytest.raises(OSError), predictions.locked(tmp_path / "lock", seconds=0):
            pytest.fail("held twice")


def test_names_from_a_file_are_shown_as_they_are(file, shown):
    decide("06-envelope", {"*a* `b` &lt;": "ship"})
    assert shown[-1] == "Kept: *a* `b` &lt; ship."
    decide("06-envelope", {"*a*": "sell"})
    assert shown[-1].startswith("Not kept: 'sell' for *a*.")


def test_a_full_disk_leaves_the_old_file(file, shown, monkeypatch):
    predict("03-p-value", 0.2, 0.6)
    before = file.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    predict("03-false-alarms", 1, 2)
    assert "No space left on device" in shown[-1] and file.read_bytes() == before


def test_an_empty_file_and_no_file_hold_no_predictions(file):
    assert checks.predictions() == {}
    file.parent.mkdir()
    file.touch()
    assert checks.predictions() == {}
    predict("03-p-value", 0.2, 0.6)
    assert said("03-p-value") == [0.2, 0.6]


def test_set_but_empty_keeps_nothing(monkeypatch, shown, tmp_path):
    monkeypatch.setenv("AB_PREDICTIONS", "")
    monkeypatch.chdir(tmp_path)
    predict("03-p-value", 0.2, 0.6)
    assert reveal("03-p-value", 0.5) is None and shown == [] and list(tmp_path.iterdir()) == []


def test_the_usual_place_is_the_learners_own_folder(monkeypatch):
    monkeypatch.delenv("AB_PREDICTIONS")
    assert predictions.place() == notebooks.ROOT / "my" / "predictions.json"
    monkeypatch.setenv("AB_PREDICTIONS", "~/mine.json")
    assert predictions.place() == Path.home() / "mine.json"
    monkeypatch.setenv("AB_PREDICTIONS", "")
    assert predictions.place() is None
    assert "/my/" in (notebooks.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_suite_and_every_program_keep_away_from_it(tmp_path):
    assert "predictions-" in os.environ["AB_PREDICTIONS"]
    cell = nbformat.v4.new_code_cell("import os\nprint(repr(os.environ['AB_PREDICTIONS']))")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    notebooks.execute(notebook, tmp_path)
    assert notebook.cells[0].outputs[0].text == "''\n"


def test_a_name_without_a_notebook(file, shown):
    predict("99-x", 1, 2)
    assert shown[-1].startswith("There is no notebook '99'")
