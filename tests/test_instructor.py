"""The instructor's page agrees with the notebooks: sections, minutes, predictions, exercises."""

import re

import pytest

from helpers import checks
from tests import notebook_checks
from tests.test_predictions import CALL
from tools import rerun

PAGE = (rerun.ROOT / "notebooks" / "instructor.md").read_text(encoding="utf-8")
FILES = {path.name[:2]: path for path in rerun.notebook_files()}
ROW = re.compile(r"^\| (.+?) \| (\d+|–) \| (\d+|–) \| ?(.*?) ?\|$", re.MULTILINE)
ID = re.compile(r"`(\d\d-[a-z0-9-]+)`")


def part(page: str, number: str) -> str:
    """What the page says of a notebook."""
    return re.split(r"^## ", page.split(f"\n## {number} ")[1], flags=re.MULTILINE)[0]


def faults(page: str, number: str, notebook) -> list[str]:
    """Where the plan of a notebook does not fit the notebook, or is not complete."""
    text, prose, found = part(page, number), notebook_checks.prose(notebook), []
    if not text.startswith(re.match(r"# \d\d (.+\?)\n", prose)[1] + "\n"):
        found.append("another title")
    rows = [row for row in ROW.findall(text) if row[0] != "section"]
    sections = set(re.findall(r"^##+ (.+)$", prose, re.MULTILINE))
    found += [f"no section {row[0]!r}" for row in rows if row[0] not in sections]
    order = [prose.find(f"# {row[0]}\n") for row in rows]
    if order != sorted(order):
        found.append("sections out of order")
    for column, minutes in ((1, 50), (2, 90)):
        if (total := sum(int(row[column]) for row in rows if row[column] != "–")) != minutes:
            found.append(f"{total} minutes instead of {minutes}")
    calls = [call for cell in notebook_checks.code_cells(notebook) for call in CALL.findall(cell.source)]
    predictions = [name for what, name in calls if what != "reveal"]
    stops = [name for row in rows if "**Stop:**" in row[3] for name in ID.findall(row[3])]
    if sorted(stops) != sorted(predictions):
        found.append(f"stops {stops}, predictions {predictions}")
    exercises = re.findall(r'^check\("([^"]+)"', "\n".join(cell.source for cell in notebook.cells), re.MULTILINE)
    found += [f"no exercise {name}" for name in set(ID.findall(text)) - set(predictions) - set(exercises)]
    if len(re.findall(r'^- \*".+"\* Ask: .+[?.)]$', text, re.MULTILINE)) != 3:
        found.append("not three misconceptions with a question")
    found += [f"no {what}" for what in ("**Board:** ", "**Short of time:** ", "| Recap |") if text.count(what) != 1]
    return found


@pytest.mark.parametrize("number", FILES)
def test_the_plan_fits_the_notebook(number):
    assert faults(PAGE, number, notebook_checks.read(FILES[number])) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("| A published result | 6 |", "| A published result | 7 |", "51 minutes"),
        ("| A published result |", "| The published result |", "no section"),
        ("`03-p-value`", "`03-p-values`", "stops"),
        ("`03-three-reports`", "`03-reports`", "no exercise"),
        ("## 03 Is the difference", "## 03 Was the difference", "another title"),
        ('- *"Not significant means', '- "Not significant means', "misconceptions"),
        ("**Board:** a vertical", "a vertical", "no **Board:**"),
    ],
)
def test_a_plan_that_does_not_fit_is_caught(old, new, fault):
    assert old in PAGE
    assert fault in " ".join(faults(PAGE.replace(old, new), "03", notebook_checks.read(FILES["03"])))


def test_every_notebook_has_its_time():
    """Seconds for all cells, in the table that the plans are made from."""
    seconds = dict(re.findall(r"^\| (\d\d) \| (\d+) s \|", PAGE, re.MULTILINE))
    assert list(seconds) == list(FILES) and all(1 <= int(s) <= 60 for s in seconds.values())


def test_links_and_files_of_the_page_exist():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all((rerun.ROOT / "notebooks" / link).exists() for link in links)
    targets = re.findall(r"^([a-z.-]+):.*##", (rerun.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z.-]+)", PAGE)) <= set(targets)


@pytest.mark.parametrize("right", [True, False])
def test_the_graders_cell_passes_right_answers_alone(right):
    cell = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL)[1]
    solve, run = checks._look_up("03-welch-se", {})
    space = {"answer": solve(run).right + (0 if right else 1)}
    if right:
        exec(cell, space)
    else:
        with pytest.raises(AssertionError):
            exec(cell, space)
