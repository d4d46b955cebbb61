"""Checks on stored notebooks for what nbval lets pass; each returns a list of complaints."""

import ast
import re
from pathlib import Path

import nbformat

TYPED_RESULTS = {
    "a p-value": r"\bp\s*(?:=|<|>|is)\s*0?\.\d",
    "a decimal number": r"(?<![\w.])[+-]?\d+\.\d+(?!\w*/)",
    "a percentage": r"(?<![\w.])(?!(?:5|80|95)\s?%)\d+\s?%",
    "a cluster's number": r"\b[Cc]luster\s+\d",
    "a verdict": r"\b(?:[Tt]he|[Oo]ur|[Tt]his) (?:result|lift|difference|effect|estimate) "
    r"(?:is|was|turns out) (?:not )?(?:statistically )?(?:significant|positive|negative|clear)",
    "a number of customers": r"\b(?:the|our|this) (?:segment|cluster|arm) (?:has|holds|of) \d",
}
# Fixed by the design or published, so true in every run:
# Wilson's and balance's customs, the quantile, tick marks.
ALLOWED = {"1.96", "0.05", "0.1", "0.25", "0.001"}
SHOWS = re.compile(r"\b(words\.(say|answer)|plots\.show|print)\(")
MACHINE = re.compile(
    r"/(?:home|root|tmp|work|Users)/|[A-Z]:\\\\|Warning\b|\b20\d\d-\d\d-\d\d\b|\d\d:\d\d:\d\d"
)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs_complete(notebook: nbformat.NotebookNode) -> list[str]:
    """Every cell was run, in one go, and those that show something have kept it."""
    found = []
    for position, cell in enumerate(code_cells(notebook), 1):
        if cell.execution_count != position:
            found.append(f"code cell {position} has execution count {cell.execution_count}")
        statements = ast.parse(cell.source).body
        shows = [s for s in statements if isinstance(s, ast.Expr) and SHOWS.search(ast.unparse(s))]
        silent = re.compile(r"^predict\(|\.(use_style|to_csv|set|set_title|legend|invert_yaxis)\(")
        ends_in_value = isinstance(statements[-1], ast.Expr) and not silent.search(
            ast.unparse(statements[-1])
        )
        if (shows or ends_in_value) and not cell.outputs:
            found.append(f"code cell {position} shows something but has no output")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"code cell {position} holds an error")
    return found


def figures_have_text(notebook: nbformat.NotebookNode) -> list[str]:
    """Each picture came through plots.show: its alternative text has numbers and is printed too."""
    found = []
    for position, cell in enumerate(code_cells(notebook), 1):
        images = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        printed = "".join(
            o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout"
        )
        if len(images) != cell.source.count("plots.show("):
            found.append(
                f"code cell {position}: {len(images)} pictures, not all through plots.show"
            )
        for image in images:
            alt = image.metadata.get("image/png", {}).get("alt", "")
            if (
                not re.search(r"\d", alt)
                or f"Figure: {alt}\n" not in printed
                or image.data.get("text/plain") != alt
            ):
                found.append(f"code cell {position}: a picture without its computed text")
    return found


def typed_results(text: str) -> list[str]:
    """Numbers and verdicts typed into prose, where only what holds in every run may stand."""
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)  # code and link targets
    found = []
    for what, pattern in TYPED_RESULTS.items():
        hits = [m.group() for m in re.finditer(pattern, text)]
        found += [
            f"{what} typed into prose: {hit!r}"
            for hit in hits
            if re.sub(r"[^\d.]", "", hit) not in ALLOWED
        ]
    return found


def clean_outputs(notebook: nbformat.NotebookNode) -> list[str]:
    """No paths, dates, warnings or error streams in what is stored."""
    found = []
    for position, cell in enumerate(code_cells(notebook), 1):
        if cell.metadata.get("execution"):
            found.append(f"code cell {position} stores clock times")
        for output in cell.outputs:
            texts = [
                output.get("text", ""),
                *(v for k, v in output.get("data", {}).items() if k.startswith("text/")),
            ]
            if output.get("name") == "stderr":
                found.append(f"code cell {position} writes to stderr")
            found += [
                f"code cell {position}: {hit.group()!r}"
                for text in texts
                for hit in MACHINE.finditer(text)
            ]
    return found


def real_assertions(notebook: nbformat.NotebookNode) -> list[str]:
    """A notebook asserts its hand-made numbers against library and helper; none is a dummy."""
    asserts = re.findall(
        r"^\s*assert\b.*", "\n".join(c.source for c in code_cells(notebook)), flags=re.MULTILINE
    )
    found = [
        f"empty assertion: {a.strip()}"
        for a in asserts
        if re.search(r"assert\s*\(?(True|1|not False)\)?\s*$", a)
    ]
    return found + ([f"only {len(asserts)} assertions"] if len(asserts) < 2 else [])


def no_global_random_state(notebook: nbformat.NotebookNode) -> list[str]:
    source = "\n".join(cell.source for cell in code_cells(notebook))
    calls = re.findall(r"np\.random\.(?!RandomState|default_rng|Generator)\w+", source)
    return [f"global random state: {call}" for call in calls]


def anatomy(notebook: nbformat.NotebookNode, name: str) -> list[str]:
    """The parts every notebook has, in their places."""
    text, first = prose(notebook), code_cells(notebook)[0]
    wanted = {
        "a title that asks": rf"\A# {name[:2]} .*\?\n",
        "objectives": r"\*\*After this notebook you can\*\*\n- ",
        "what you need": r"\*\*You need:\*\*",
        "minutes": r"\*\*Time:\*\* about \d+ minutes",
        "a prediction": r"\*\*Predict, then see\.\*\*",
        "two questions": r"## Two questions",
        "exercises": r"## Exercises\n",
        "doubt": r"## What would change your mind\?",
        "a recap": r"## Recap\n- ",
        "a pointer onward": r"\*\*Next:\*\*.*\[[^\]]+\]\([^)]+\)",
    }
    found = [f"no {what}" for what, pattern in wanted.items() if not re.search(pattern, text)]
    if "parameters" not in first.metadata.get("tags", []):
        found.append("the first code cell is not tagged parameters")
    answers = sum(cell.source.count("words.answer(") for cell in code_cells(notebook))
    if answers != 2:
        found.append(f"{answers} folded answers instead of 2")
    long = [i for i, c in enumerate(code_cells(notebook), 1) if len(c.source.splitlines()) > 15]
    return found + [f"code cell {i} is longer than 15 lines" for i in long]
