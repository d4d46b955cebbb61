"""What nbval cannot see in the stored notebooks.

Beside each check stands a fault that it must catch.
"""

import os
import re
import subprocess
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import conftest
from helpers import plots
from tests import notebook_checks as checks
from tools.notebooks import ROOT, execute, find
from tools.store_notebooks import minutes_said, reading_minutes

FILES = find()
NAMES = [path.stem for path in FILES]
STORED = [
    checks.outputs_complete,
    checks.figures_have_text,
    checks.clean_outputs,
    checks.real_assertions,
    checks.no_global_random_state,
    checks.answers_hidden,
    checks.main_line_stands,
]


@pytest.fixture(params=FILES, ids=NAMES)
def path(request):
    return request.param


def test_the_series_is_numbered_without_gaps():
    assert [name[:2] for name in NAMES] == [f"{i:02d}" for i in range(1, len(NAMES) + 1)]


@pytest.mark.parametrize("check", STORED, ids=lambda check: check.__name__)
def test_stored_notebooks(path, check):
    assert check(checks.read(path)) == []


def test_prose_states_only_what_always_holds(path):
    assert checks.typed_results(checks.prose(checks.read(path))) == []


def test_anatomy(path):
    assert checks.anatomy(checks.read(path), path.stem) == []


def test_links_lead_somewhere(path):
    targets = re.findall(r"\]\(([^)#]+)\)", checks.prose(checks.read(path)))
    assert targets and all((path.parent / target).exists() for target in targets)


def test_minutes_are_derived_and_the_same_in_readme(path):
    """The minutes are computed from words and code; title cell and README repeat that number."""
    notebook = checks.read(path)
    assert minutes_said(notebook) in checks.prose(notebook)
    minutes, exercises = reading_minutes(notebook)
    row = next(
        line
        for line in (ROOT / "README.md").read_text("utf-8").splitlines()
        if f"{path.name})" in line
    )
    assert f"| {minutes} + {exercises} |" in row


def notebook_with(source: str, *outputs, count: int | None = 1):
    return new_notebook(cells=[new_code_cell(source, outputs=list(outputs), execution_count=count)])


def skipped(after: str):
    """A closer look that makes a and f, and b anew; and a cell of the main line after it."""
    cells = [new_code_cell("b = 1"), new_markdown_cell("### A closer look: a")]
    cells += [
        new_code_cell("a = 1\nb = a"),
        new_code_cell("def f():\n    c = a"),
        new_markdown_cell("## B"),
    ]
    return new_notebook(cells=[*cells, new_code_cell(after)])


PNG = new_output("display_data", {"image/png": "AAAA", "text/plain": "<Figure>"})
PLANTED = [
    (checks.outputs_complete, notebook_with("words.say('x')", count=None), "execution count None"),
    (checks.outputs_complete, notebook_with("words.say('x')"), "no output"),
    (checks.outputs_complete, notebook_with("table.round(3)"), "no output"),
    (checks.outputs_complete, notebook_with("profile"), "no output"),
    (checks.outputs_complete, notebook_with("x = 1\nprint(6 * 7)"), "no output"),
    (checks.outputs_complete, notebook_with("if x:\n    y = 1\nwords.say('x')"), "no output"),
    (
        checks.outputs_complete,
        notebook_with("1 / 0", new_output("error", ename="E", evalue="")),
        "holds an error",
    ),
    (checks.figures_have_text, notebook_with("plt.plot(x)", PNG), "not all through plots"),
    (
        checks.figures_have_text,
        notebook_with("plots.show(fig, alt)", PNG),
        "without its computed text",
    ),
    (
        checks.clean_outputs,
        notebook_with("x", new_output("stream", name="stderr", text="oh")),
        "stderr",
    ),
    (
        checks.clean_outputs,
        notebook_with("x", new_output("stream", name="stdout", text="see /" + "home/me/f")),
        "/" + "home/",
    ),
    (
        checks.clean_outputs,
        notebook_with("x", new_output("stream", name="stdout", text="UserWarning: x")),
        "Warning",
    ),
    (checks.answers_hidden, notebook_with("words.answer('No.')"), "shows an answer"),
    (checks.answers_hidden, notebook_with("print(texts[(place + seed) % 3])"), "choices twice"),
    (checks.main_line_stands, skipped("b + a"), "uses a, made in a closer look"),
    (checks.main_line_stands, skipped("f = b\nf"), "uses b, made in a closer look"),
    (checks.main_line_stands, skipped("f()"), "uses f, made in a closer look"),
    (checks.real_assertions, notebook_with("assert True\nassert a == b"), "empty assertion"),
    (checks.real_assertions, notebook_with("x = 1"), "only 0 assertions"),
    (checks.no_global_random_state, notebook_with("np.random.seed(1)"), "np.random.seed"),
]


@pytest.mark.parametrize(("check", "notebook", "complaint"), PLANTED)
def test_planted_faults_are_caught(check, notebook, complaint):
    assert complaint in " ".join(check(notebook))


def test_a_main_line_of_its_own_is_let_pass():
    for after in ("c = b = 2\nb", "c = 3", "a = 2\nb = a\nb", "import a\na"):
        assert checks.main_line_stands(skipped(after)) == []
    assert checks.main_line_stands(skipped("x = [c for c in 'ab']\nc")) == []


def test_pages_are_measured():
    cells = [
        new_code_cell("seed = 1", metadata={"tags": ["parameters"]}),
        new_code_cell("import a\nx = 1\nx"),
        new_code_cell("fig, ax = plt.subplots()\nplots.landing(x)\nplots.landing(\n    x\n)"),
        new_code_cell("words.say(\n    'a'\n)\nwords.verdict(x)\ncheck('a', answer)"),
        new_code_cell("x = 1", metadata={"jupyter": {"source_hidden": True}}),
        new_code_cell("a = 1\n\n" * 11),
    ]
    page = new_notebook(cells=cells)
    assert checks.kinds_of_lines(page) == {"idea": 15, "say": 3, "draw": 4}
    said = "idea  68% of  22 visible lines, 1 of   6 cells put into words, 1 over ten lines"
    assert checks.page_measures(page) == said


@pytest.mark.parametrize(
    "lie",
    [
        "The p-value is large: p = 0.2993.",
        "Treatment gains 3.68 points.",
        "That is 13 % power.",
        "Cluster 1 spends most.",
        "As we see, the result is not significant.",
        "So the lift was positive.",
        "Remember that this segment has 41 customers.",
        "The lift grew to 20.05.",
        "Here p = 0.1993.",
        "The difference was not statistically significant.",
    ],
)
def test_typed_results_are_caught(lie):
    assert checks.typed_results(lie)


def test_anatomy_misses_a_missing_part():
    notebook = checks.read(FILES[0])
    notebook.cells = [c for c in notebook.cells if "## Recap" not in c.source]
    assert "no a recap" in checks.anatomy(notebook, FILES[0].stem)


def run_nbval(folder: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "conftest", "-n", "0"]
    command += ["-p", "no:cacheprovider", str(folder)]
    env = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True).stdout


def test_nbval_and_our_hook_see_changed_text_and_changed_pictures(tmp_path):
    """Cells as stored, one with a stale number, one with another picture.

    The picture shows other values (same alt text). What was changed fails, and nothing else.
    """
    setup = "import numpy as np\nimport matplotlib.pyplot as plt\n"
    setup += "from helpers import plots\nplots.use_style()"
    draw = "fig, ax = plt.subplots()\nax.plot(range(8), {})\nplots.show(fig, 'Eight points.')"
    heights = "np.arange(8)"
    cells = [
        new_markdown_cell("# A"),
        new_code_cell(setup),
        new_code_cell("print(6 * 7)"),
        new_code_cell(draw.format(heights)),
        new_code_cell("print(6 * 7)"),
        new_code_cell(draw.format(heights)),
    ]
    notebook = new_notebook(cells=cells)
    execute(notebook, tmp_path)
    notebook.cells[4].outputs[0].text = "43\n"
    notebook.cells[5].source = draw.format("np.arange(8)[::-1]")
    nbformat.write(notebook, tmp_path / "stored.ipynb")
    report = run_nbval(tmp_path)
    assert "2 failed, 3 passed" in report, report
    failed = re.findall(r"^FAILED \S+::Cell (\d)", report, flags=re.MULTILINE)
    assert failed == ["3", "4"] and "the picture has changed" in report


def drawn(draw) -> str:
    """A figure in the course's style, drawn by `draw(ax)`, as the base64 PNG a notebook stores."""
    plots.use_style()
    fig, ax = plt.subplots()
    draw(ax)
    ax.set(xlim=(-10, 30), ylim=(-2, 5))
    picture = BytesIO()
    fig.savefig(picture, format="png")
    plt.close(fig)
    return b64encode(picture.getvalue()).decode()


def error_bars(ax, moved: float = 0.0):
    ax.hlines([0, 1, 2, 3], np.array([-5, -3, -8, -1]) + moved, np.array([5, 8, 3, 12]) + moved)


@pytest.mark.parametrize(
    "change",
    [
        lambda ax: error_bars(ax, moved=9),
        lambda ax: None,
        lambda ax: ax.hist(np.arange(50) % 7),
        lambda ax: ax.plot(*np.random.default_rng(2).normal(size=(2, 300)), "."),
    ],
    ids=["error bars moved", "nothing drawn", "another kind", "unseeded points"],
)
def test_a_grossly_changed_picture_is_seen(change):
    assert conftest.picture_difference(drawn(error_bars), drawn(error_bars)) == 0
    assert conftest.picture_difference(drawn(error_bars), drawn(change)) > conftest.GROSS


def test_a_picture_moved_by_a_pixel_is_not_a_changed_one():
    stored = drawn(error_bars)
    image = conftest.Image.open(BytesIO(b64decode(stored))).convert("L")
    moved = conftest.Image.new("L", image.size, 255)
    moved.paste(image, (1, 1))
    buffer = BytesIO()
    moved.save(buffer, format="PNG")
    assert (
        0
        < conftest.picture_difference(stored, b64encode(buffer.getvalue()).decode())
        < conftest.GROSS
    )
