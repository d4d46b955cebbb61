"""The instructor's page fits the notebooks: sections, minutes, results, exercises, the board."""

import re
from itertools import product

import nbformat
import numpy as np
import pytest

from helpers import data, experiment, inference, predictions, segments
from tests import notebook_checks
from tests.guards import run_in_process, solve
from tests.test_predictions import CALL
from tools import notebooks

PAGE = (notebooks.ROOT / "notebooks" / "instructor.md").read_text(encoding="utf-8")
FILES = {path.name[:2]: path for path in notebooks.find()}
ROW = re.compile(r"^\| (.+?) \| (\d+|–) \| (\d+|–) \| ?(.*?) ?\|$", re.MULTILINE)
ID = re.compile(r"`(\d\d-[a-z0-9-]+)`")
COMES_OUT = re.compile(
    ID.pattern + r" \(([\d.]+)(?: to ([\d.]+))?\b"
)  # a range, or what it is when rounded


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
    plan = {row[0]: row[3] for row in rows}
    order = [prose.find(f"# {row[0]}\n") for row in rows]
    if order != sorted(order):
        found.append("sections out of order")
    for column, minutes in ((1, 50), (2, 90)):
        if (total := sum(int(row[column]) for row in rows if row[column] != "–")) != minutes:
            found.append(f"{total} minutes instead of {minutes}")
    calls = [
        call for cell in notebook_checks.code_cells(notebook) for call in CALL.findall(cell.source)
    ]
    predicted = [name for what, name in calls if what != "reveal"]
    stops = [name for row in rows if "**Stop:**" in row[3] for name in ID.findall(row[3])]
    if sorted(stops) != sorted(predicted):
        found.append(f"stops {stops}, predictions {predicted}")
    here = ""
    for cell in notebook.cells:
        heads = [
            line for line in re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE) if line in plan
        ]
        here = heads[-1] if heads and cell.cell_type == "markdown" else here
        for name in re.findall(r'^(?:predict|decide)\("([^"]+)"', cell.source, re.MULTILINE):
            if name not in plan.get(here, ""):
                found.append(f"{name} is asked for under {here!r}")
    sources = "\n".join(cell.source for cell in notebook.cells)
    asked = re.findall(r'^check\("([^"]+)"', sources, re.MULTILINE)
    found += [f"no exercise {name}" for name in set(ID.findall(text)) - {*predicted, *asked}]
    if len(re.findall(r'^- \*".+"\* Ask: .+[?.)]$', text, re.MULTILINE)) != 3:
        found.append("not three misconceptions with a question")
    found += [
        f"no {what}"
        for what in ("**Board:** ", "**Short of time:** ", "| Recap |")
        if text.count(what) != 1
    ]
    return found


@pytest.mark.parametrize("number", FILES)
def test_the_plan_fits_the_notebook(number):
    assert faults(PAGE, number, notebook_checks.read(FILES[number])) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("| A published result | 4 |", "| A published result | 5 |", "51 minutes"),
        ("| A published result |", "| The published result |", "no section"),
        ("`03-p-value`", "`03-p-values`", "stops"),
        (
            "| Step 5: the p-value |",
            "| Step 6: the interval |",
            "03-p-value is asked for under 'Step 4",
        ),
        ("`03-three-reports`", "`03-reports`", "no exercise"),
        ("## 03 Is the difference", "## 03 Was the difference", "another title"),
        ('- *"Not significant means', '- "Not significant means', "misconceptions"),
        ("**Board:** a vertical", "a vertical", "no **Board:**"),
    ],
)
def test_a_plan_that_does_not_fit_is_caught(old, new, fault):
    assert old in PAGE
    assert fault in " ".join(
        faults(PAGE.replace(old, new), "03", notebook_checks.read(FILES["03"]))
    )


def results(path, seed: int, tmp_path, monkeypatch) -> dict[str, float]:
    """What the predictions of a notebook are set against, as a student finds it who said some."""
    monkeypatch.setenv("AB_PREDICTIONS", str(tmp_path / "said.json"))
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.read(path, as_version=4)
    last = max(i for i, cell in enumerate(notebook.cells) if CALL.search(cell.source))
    # nothing is kept afterwards, nor where there is only a figure
    notebook.cells = [c for c in notebook.cells[: last + 1] if "plots.show(" not in c.source]
    for cell in notebook.cells:
        cell.source = re.sub(
            r'^(predict\("[^"]+"), \.\.\., \.\.\.\)', r"\1, 0, 1)", cell.source, flags=re.MULTILINE
        )
    nbformat.write(notebook, tmp_path / path.name)
    run_in_process(tmp_path / path.name, {"seed": seed}, monkeypatch, drawn=False)
    return {
        name: entry["truth"]
        for name, runs in predictions.predictions().items()
        for entry in runs.values()
    }


def surprises(page: str, found: dict[str, float]) -> list[str]:
    """Results that are not what the page says will come out, or of which it says nothing."""
    said = {name: (low, high) for name, low, high in COMES_OUT.findall(page)}
    wrong = []
    for name, result in found.items():
        low, high = said.get(name, ("nan", ""))
        shown = result if high else round(result, len(low.partition(".")[2]))
        if not float(low) <= shown <= float(high or low):
            wrong.append(f"{name}: {result:.4g}")
    return wrong


@pytest.mark.parametrize("seed", [42, 1])
@pytest.mark.parametrize(
    "number", [n for n, path in FILES.items() if not notebooks.missing_package(path)]
)
def test_what_comes_out_is_what_the_page_says(number, seed, tmp_path, monkeypatch):
    """At the stored seed, and for the first student of a class."""
    found = results(FILES[number], seed, tmp_path, monkeypatch)
    asked = [
        n
        for cell in notebook_checks.code_cells(notebook_checks.read(FILES[number]))
        for n in CALL.findall(cell.source)
    ]
    assert set(found) == {name for what, name in asked if what == "predict"}
    assert surprises(part(PAGE, number), found) == []


@pytest.mark.parametrize(
    ("page", "results"),
    [
        ("`03-a` (4 to 6).", {"03-a": 6.1}),
        ("`03-a` (4 to 6).", {"03-a": 3.9}),
        ("`03-a` (0.08).", {"03-a": 0.086}),
        ("`03-a` (some five).", {"03-a": 5}),
        ("`03-a`, `03-b` (5).", {"03-a": 5, "03-b": 5}),
    ],
)
def test_results_that_the_page_does_not_say_are_caught(page, results):
    assert surprises(page, results)
    assert surprises("`03-a` (4 to 6) and `03-b` (0.08)", {"03-a": 4.4, "03-b": 0.0819}) == []


def board_answers() -> dict[str, list[str]]:
    """The numbers in the answers to the board questions, computed anew."""
    clustered = segments.cluster_customers(data.load_customers())
    held = []
    for seed in range(1, 31):
        trial = experiment.simulate_experiment(clustered, 1, seed=seed)
        r = inference.compare_means(
            *(trial[trial["group"] == arm]["outcome"] for arm in experiment.ARMS)
        )
        held.append((r.ci_low <= 3 <= r.ci_high, r.ci_low <= 0 <= r.ci_high))
    truth, zero = np.array(held).T
    words = {1: "one", 10: "Ten", 32: "thirty-two"}
    one_sided = [flips for flips in product("HT", repeat=6) if len(set(flips)) == 1]
    draws = list(product([2, 4, 9], repeat=3))
    unordered = {tuple(sorted(draw)) for draw in draws}
    means = {sum(draw) for draw in draws}
    friday, saturday = ((20_000, 990_000), (230, 10_000)), ((5_000, 500_000), (6_000, 500_000))
    both = [np.add(*arm) for arm in zip(friday, saturday, strict=True)]
    rates = [
        f"{x_c / n_c:.2%} against {x_t / n_t:.2%}".replace("%", " %")
        for (x_c, n_c), (x_t, n_t) in (friday, saturday, both)
    ]
    before, treated = np.array([10.0, 20, 30, 40]), np.array([False, True, False, True])
    after = before + 3 * treated
    plain, head_start = (y[treated].mean() - y[~treated].mean() for y in (after, before))
    theta = np.cov(after, before)[0, 1] / before.var(ddof=1)
    walks = np.random.default_rng(42).choice([-1, 1], (200_000, 20)).cumsum(axis=1)
    beyond = np.abs(walks) > 2 * np.sqrt(np.arange(1, 21))
    at_the_end, at_some_time = 100 * beyond[:, -1].mean(), 100 * beyond.any(axis=1).mean()
    hands = [sum(hand[:2]) - sum(hand[2:]) for hand in product([0, 1], repeat=4)]  # red less black
    worst, harmed = hands.count(-2), sum(hand < 0 for hand in hands)
    in_twelve = [100 * (1 - (1 - ways / len(hands)) ** 12) for ways in (worst, harmed)]
    return {
        "02": [f"About one in {words[2**6 // len(one_sided)]} throws leaves an arm empty"],
        "03": [
            f"{words[(~truth).sum()]} misses the truth, {zero.sum()} hold zero, "
            f"{(truth & zero).sum()} hold both"
        ],
        "04": [
            f"{len(draws)} in order, {len(unordered)} if the order does not count",
            f"{words[len(means)]} different means, from {min(means) / 3:g} to {max(means) / 3:g}; "
            "the largest, 9, is",
            f"once in {len(draws) // [sum(draw) for draw in draws].count(27)}",
        ],
        "06": [f"Friday {rates[0]}, Saturday {rates[1]}, together {rates[2]}"],
        "07": [
            f"Plain {plain:g}, head start {head_start:g}, so {plain - head_start:g} is left",
            f"({theta:.2f}) it would be {plain - theta * head_start:.1f}",
        ],
        "08": [
            f"At the end about {at_the_end:.0f} in 100, "
            f"at some time about {at_some_time:.0f} in 100"
        ],
        "10": [
            f"{np.average([4, 10], weights=[2, 4]):g}: (2 times 4 plus 4 times 10) divided by 6"
        ],
        "13": [
            f"{worst} of the {len(hands)} ways in which four coins fall",
            f"{100 * worst / len(hands):.0f} in 100 for a sign named beforehand, and "
            f"{in_twelve[0]:.0f} in 100 for some sign of twelve",
            f"{harmed} of the {len(hands)} ways, so in {in_twelve[1]:.0f} of 100 classes",
        ],
    }


def false_answers(page: str) -> list[str]:
    """Board answers that were computed and are not on the page.

    (01, 05 and 09 ask for a judgement or a drawing.)
    """
    found = []
    for number, sentences in board_answers().items():
        answer = re.search(r"</summary>(.+)</details>", part(page, number))[1]
        found += [sentence for sentence in sentences if sentence not in answer]
    return found


def test_the_answers_to_the_board_questions_are_right():
    assert false_answers(PAGE) == []


def test_a_false_answer_is_caught():
    page = PAGE.replace("27 hold zero", "28 hold zero").replace("head start 10", "head start 9")
    assert [sentence[:8] for sentence in false_answers(page)] == ["one miss", "Plain 13"]


def test_every_notebook_has_its_time():
    """Seconds for all cells, in the table that the plans are made from."""
    seconds = dict(re.findall(r"^\| (\d\d) \| (\d+) s \|", PAGE, re.MULTILINE))
    assert list(seconds) == list(FILES) and all(1 <= int(s) <= 60 for s in seconds.values())


def test_links_and_files_of_the_page_exist():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all((notebooks.ROOT / "notebooks" / link).exists() for link in links)
    targets = re.findall(
        r"^([a-z.-]+):.*##", (notebooks.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"`make ([a-z.-]+)", PAGE)) <= set(targets)


@pytest.mark.parametrize("right", [True, False])
def test_the_graders_cell_passes_right_answers_alone(right):
    cell = re.search(r"```python\n(.+?)```", PAGE, re.DOTALL)[1]
    space = {"answer": solve("03-welch-se", {}).right + (0 if right else 1)}
    if right:
        exec(cell, space)
    else:
        with pytest.raises(AssertionError):
            exec(cell, space)
