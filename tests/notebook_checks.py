"""Checks on stored notebooks for what nbval lets pass; each returns a list of complaints."""

import ast
import re
import symtable
from pathlib import Path

import nbformat

from helpers import words
from tools.notebooks import closer_looks

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
FIGURE = re.compile(r"\bplots\.(show|intervals|hundred|landing|strips|curves|detectable)\(")
SHOWS = re.compile(rf"\b(words\.(say|answer)|print)\(|{FIGURE.pattern}")
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
        silent = re.compile(
            r"^(predict|reveal)\(|\.(use_style|to_csv|set|set_title|legend|invert_yaxis)\("
        )
        ends_in_value = isinstance(statements[-1], ast.Expr) and not silent.search(
            ast.unparse(statements[-1])
        )
        if (shows or ends_in_value) and not cell.outputs:
            found.append(f"code cell {position} shows something but has no output")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"code cell {position} holds an error")
    return found


def figures_have_text(notebook: nbformat.NotebookNode) -> list[str]:
    """Each picture came through plots: its alternative text is computed, and folded under it."""
    found = []
    for position, cell in enumerate(code_cells(notebook), 1):
        images = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        folded = " ".join(o.get("data", {}).get("text/html", "") for o in cell.outputs)
        if len(images) != len(FIGURE.findall(cell.source)):
            found.append(f"code cell {position}: {len(images)} pictures, not all through plots")
        for image in images:
            alt = image.metadata.get("image/png", {}).get("alt", "")
            if (
                not re.search(r"\d", alt)
                or words.details("in words", alt) not in folded
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


def hidden(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def answers_hidden(notebook: nbformat.NotebookNode) -> list[str]:
    """The code of a folded answer is hidden, and a list of choices stands there once."""
    gives_away = re.compile(r"words\.answer\(|\(place \+ seed\)")
    return [
        f"code cell {position} shows an answer, or choices twice"
        for position, cell in enumerate(code_cells(notebook), 1)
        if gives_away.search(cell.source) and not hidden(cell)
    ]


def names_of(source: str) -> tuple[set[str], set[str]]:
    """What a cell makes at its top level, and what it needs of the cells before it."""
    made, needed = set(), set()
    for statement in ast.parse(source).body:
        scopes = [symtable.symtable(ast.unparse(statement), "cell", "exec")]
        here = set()
        while scopes:
            scope = scopes.pop()
            top = scope.get_type() == "module"
            for symbol in scope.get_symbols():
                if top and (symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()):
                    here.add(symbol.get_name())
                if symbol.is_referenced() and (top or symbol.is_global()):
                    needed |= {symbol.get_name()} - made
            scopes += scope.get_children()
        made |= here
    return made, needed


def main_line_stands(notebook: nbformat.NotebookNode) -> list[str]:
    """No cell of the main line uses a name that a closer look made, or made anew."""
    found, made_in = [], {}
    closer = closer_looks(notebook)
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        made, needed = names_of(cell.source)
        if position not in closer:
            skipped = sorted(name for name in needed if made_in.get(name) in closer)
            found += [f"{cell.id} uses {name}, made in a closer look" for name in skipped]
        made_in |= dict.fromkeys(made, position)
    return found


def long_cells(notebook: nbformat.NotebookNode, most: int = 10) -> list[str]:
    """Code cells that a reader sees and that have more than `most` lines, blank ones apart."""
    return [
        f"{cell.id} has {len(lines)} lines"
        for cell in code_cells(notebook)
        if not hidden(cell)
        and "parameters" not in cell.metadata.get("tags", [])
        and len(lines := [line for line in cell.source.splitlines() if line.strip()]) > most
    ]


# Measures of a page: printed, not judged

SAID = re.compile(r"\bwords\.(?!verdict\(|p_value\()\w+\(|^print\(")
DRAWN = re.compile(r"\b(ax|axes|fig|figure|plt|sns|left|right)\b\s*[.\[(=,]|\bplots\.")
ASKED = re.compile(r"\b(check|predict|reveal|decide|hint)\(")
ONE_CALL = re.compile(r"plots\.(?!show)\w+\(.*\)$")


def kinds_of_lines(notebook: nbformat.NotebookNode) -> dict[str, int]:
    """How many visible lines of code carry the idea, word it, or draw.

    Knobs, imports, and lines that ask or check the learner do not count; a figure drawn by one call
    on one line is an idea.
    """
    counts = {"idea": 0, "say": 0, "draw": 0}
    for cell in code_cells(notebook):
        if hidden(cell) or "parameters" in cell.metadata.get("tags", []):
            continue
        for statement in ast.parse(cell.source).body:
            text = ast.get_source_segment(cell.source, statement) or ""
            if isinstance(statement, ast.Import | ast.ImportFrom) or ASKED.search(text):
                continue
            kind = "say" if SAID.search(text) else "draw" if DRAWN.search(text) else "idea"
            kind = "idea" if ONE_CALL.match(text) else kind
            counts[kind] += statement.end_lineno - statement.lineno + 1
    return counts


def page_measures(notebook: nbformat.NotebookNode) -> str:
    """The measures of a page in a line."""
    counts, cells = kinds_of_lines(notebook), code_cells(notebook)
    lines = sum(counts.values())
    says = sum(bool(re.search(r"\bwords\.(say|answer)\(", cell.source)) for cell in cells)
    return (
        f"idea {counts['idea'] / max(lines, 1):4.0%} of {lines:3} visible lines, "
        f"{says} of {len(cells):3} cells put into words, {len(long_cells(notebook))} over ten lines"
    )
