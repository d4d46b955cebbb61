"""Render stored notebooks as slides, one HTML file each: python -m tools.slides [03 | 03_t_test | FILE.ipynb ...]

Nothing is executed: a deck shows the outputs that the notebook holds. It needs no network, no server and no other file.
Without a name all notebooks of the course are rendered, into slides/. A notebook from elsewhere (a re-run, your own
copy) gives a deck named after its folder and itself, such as slides/cluster-3-03_t_test.html.

What a class sees: a heading starts a slide, "Predict, then see." has one to itself, and what would run off a slide goes
to the next. Left out are set-up, input checks, code that only words or draws, cells that wait for an answer, and the
line below a figure (it is the figure's alternative text). Tags from the slide menu of JupyterLab win, where every cell
has one.

tools/deck holds the template, the style, and two files of the npm package reveal.js 4.6.1 (MIT), unchanged.
"""

import ast
import base64
import re
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from math import ceil
from pathlib import Path

import nbformat
from mistune import create_markdown
from nbconvert.exporters import SlidesExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer
from nbformat import NotebookNode
from traitlets.config import Config

from helpers import InputError
from tools import rerun

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1280, 720  # a slide, in pixels; the browser scales it to the screen
# Heights in pixels, at the sizes in deck.css: what a slide holds, the tallest picture, a line of prose, a line of code,
# a row of a table, the space below each; and how many letters a line of prose holds.
ROOM, PICTURE, PROSE, CODE, ROW, GAP, LETTERS = 650, 480, 38, 26, 34, 14, 80
STRENGTH = ("skip", "-", "subslide", "slide")
PREDICT = re.compile(r"\*\*(?:Predict|Decide), then see\.\*\*")
ASIDE = re.compile(r"(words\.say|plots\.show|plots\.use_style|reveal|(\w+\.)?check_\w+)\(")
ASKS = re.compile(r"^(?:predict|decide)\(", flags=re.MULTILINE)
WAITS = re.compile(r"^answer = \.\.\.$", flags=re.MULTILINE)


# What of a cell is shown


def parse(source: str) -> ast.Module:
    """The statements of a cell; none where it is not plain Python, as with magics."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def author_hid(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("jupyter", {}).get("source_hidden"))


def is_aside(statement: ast.stmt) -> bool:
    """Whether all that a statement does is to word a result, to show a figure, or to refuse bad input."""
    if isinstance(statement, ast.If | ast.For):
        return all(map(is_aside, statement.body + statement.orelse))
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Tuple | ast.List):
        kinds = {type(part) for part in statement.value.elts}
        return ast.JoinedStr in kinds and kinds <= {ast.JoinedStr, ast.Constant}  # sentences
    said = isinstance(statement, ast.Expr) and ASIDE.match(ast.unparse(statement))
    return bool(said) or isinstance(statement, ast.Raise)


def shown_code(cell: NotebookNode) -> str:
    """The code for the class: no asides, nothing of folded answers, nothing that the author hid."""
    if author_hid(cell) or "words.answer(" in cell.source:
        return ""
    tree, left_out = parse(cell.source), set()
    for node in ast.walk(tree):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            asides = [s for s in block if is_aside(s)] if isinstance(block, list) else []
            if asides and (node is tree or len(asides) < len(block)):
                left_out |= {number for s in asides for number in range(s.lineno, s.end_lineno + 1)}
    code = "\n".join(
        line for number, line in enumerate(cell.source.splitlines(), 1) if number not in left_out
    )
    return re.sub(r"\n{3,}", "\n\n", code).strip()


def sections(source: str) -> list[str]:
    """Markdown cut before each heading, so that a heading inside a cell can start a slide too."""
    parts, fenced = [""], False
    for line in source.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if re.match("#{1,3} ", line) and not fenced:
            parts.append("")
        parts[-1] += line
    return [part for part in parts if part.strip()]


def is_setup(cell: NotebookNode) -> bool:
    """Whether a code cell holds knobs, or imports without any output."""
    statements = [
        s
        for top in parse(cell.source).body
        for s in (top.body if isinstance(top, ast.Try) else [top])
    ]
    imports = any(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements)
    return "parameters" in cell.metadata.get("tags", []) or (imports and not cell.outputs)


def figure_dressing(notebook: NotebookNode) -> set[int]:
    """Positions of cells right above a figure that only make texts and colours for it: no other code reads them."""
    found, read, above_figure = set(), set(), False
    for position, cell in reversed(list(enumerate(notebook.cells))):
        if cell.cell_type != "code" or author_hid(cell):
            above_figure = cell.cell_type == "code"
            continue
        tree = parse(cell.source)
        nodes = list(ast.walk(tree))
        names = [
            n
            for s in tree.body
            if isinstance(s, ast.Assign)
            for target in s.targets
            for n in ast.walk(target)
        ]
        made = {n.id for n in names if isinstance(n, ast.Name)} | {
            s.name for s in tree.body if isinstance(s, ast.FunctionDef)
        }
        dresses = any(
            isinstance(n, ast.JoinedStr) or (isinstance(n, ast.Name) and n.id == "plots")
            for n in nodes
        )
        above_figure = above_figure and dresses and not cell.outputs and not made & read
        if above_figure:
            found.add(position)
        else:
            read = (read - made) | {
                n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
            }
    return found


def pieces(notebook: NotebookNode) -> Iterator[tuple[int, bool, NotebookNode]]:
    """What there is to show: the position of a cell, whether to leave it out, and a copy of it made for a slide."""
    dressing = figure_dressing(notebook)
    for position, cell in enumerate(notebook.cells):
        parts, out = [nbformat.from_dict(cell)], cell.cell_type == "raw"
        if cell.cell_type == "markdown":
            parts = [
                nbformat.from_dict({**cell, "source": source}) for source in sections(cell.source)
            ]
        elif cell.cell_type == "code":
            [piece] = parts
            piece.source = cell.source if is_setup(cell) else shown_code(cell)
            piece.outputs = [
                output
                for output in cell.outputs
                if not output.get("text", "").startswith("Figure: ")
            ]
            out = is_setup(cell) or position in dressing or bool(WAITS.search(cell.source))
            out = out or not (piece.source or piece.outputs)
            if (
                piece.source and piece.outputs and height(piece) > ROOM
            ):  # the code on one slide, the result on the next
                parts = [
                    nbformat.from_dict({**piece, **half})
                    for half in ({"outputs": []}, {"source": ""})
                ]
        for number, piece in enumerate(parts):
            piece.id = f"cell-{position}-{number}"
            yield position, out, piece


# Where a slide starts


def prose_height(text: str) -> int:
    """About how high a text stands on a slide, folded parts folded."""
    text = re.sub(r"</summary>.*?</details>|<[^>]*>|(?<=\])\([^)]*\)", "", text, flags=re.DOTALL)
    paragraphs = [line for line in text.splitlines() if line.strip()]
    headings = sum(line.startswith("#") for line in paragraphs)
    return sum(PROSE * ceil(len(line) / LETTERS) + GAP for line in paragraphs) + 20 * headings


def output_height(output: NotebookNode) -> int:
    """About how high an output stands on a slide."""
    data = output.get("data", {})
    if "image/png" in data:
        header = base64.b64decode(data["image/png"][:44])  # a PNG says its size in bytes 16 to 23
        if not header.startswith(b"\x89PNG"):
            raise InputError("a stored picture is no PNG; run all cells and save.")
        width, high = int.from_bytes(header[16:20]), int.from_bytes(header[20:24])
        return min(PICTURE, WIDTH * high // width) + GAP
    if rows := data.get("text/html", "").count("<tr"):
        return ROW * rows + GAP
    if text := data.get("text/markdown") or data.get("text/html"):
        return prose_height(text)
    return CODE * len(output.get("text", data.get("text/plain", "")).splitlines()) + GAP


def height(piece: NotebookNode) -> int:
    """About how high a piece stands on a slide."""
    if piece.cell_type != "code":
        return prose_height(piece.source)
    lines = len(piece.source.splitlines())
    return (lines and CODE * lines + 2 * GAP) + sum(map(output_height, piece.outputs))


def asks(piece: NotebookNode) -> bool:
    """Whether a piece asks for a prediction: the question, or the code that takes the class's numbers."""
    return bool((ASKS if piece.cell_type == "code" else PREDICT).search(piece.source))


def slide_types(shown: list[NotebookNode]) -> list[str]:
    """For each piece in turn: "slide", "subslide", or "-", which goes on with the slide before it.

    # and ## start a slide, ### a subslide (not when nothing but a heading stands above it). So does a prediction, and
    what follows it: the answer waits until the teacher goes on. Text stays with the code below it, and what would not
    fit on a slide starts the next.
    """
    types, used, asked, bare = [], 0, False, False
    for position, piece in enumerate(shown):
        prose, block = piece.cell_type == "markdown", height(piece)
        for later in shown[position + 1 :]:
            if not prose or later.cell_type != "code":
                break
            block += height(later)
        heading = re.match("#{1,3} ", piece.source) if prose else None
        if not position or (heading and heading[0] != "### "):
            types.append("slide")
        elif (heading and not bare) or asked != asks(piece) or used + block > ROOM:
            types.append("subslide")
        else:
            types.append("-")
        used = height(piece) + (used if types[-1] == "-" else 0)
        asked, bare = asks(piece), bool(heading) and "\n" not in piece.source.strip()
    return types


def tag(notebook: NotebookNode) -> None:
    """Give each cell the slide_type that follows from the notebook; the same again on the next call.

    A cell in which several slides start has the type of the strongest start, so that other programs cut there too.
    """
    kept = [(position, piece) for position, out, piece in pieces(notebook) if not out]
    found = dict.fromkeys(range(len(notebook.cells)), "skip")
    for (position, _), kind in zip(kept, slide_types([piece for _, piece in kept]), strict=True):
        found[position] = max(found[position], kind, key=STRENGTH.index)
    for position, cell in enumerate(notebook.cells):
        cell.metadata["slideshow"] = {
            **cell.metadata.get("slideshow", {}),
            "slide_type": found[position],
        }


# The deck


def own_types(notebook: NotebookNode) -> list[str | None]:
    return [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]


def plan(notebook: NotebookNode) -> NotebookNode:
    """The notebook as the class sees it, in the pieces that make the slides; its own tags win, where it has them."""
    tagged = nbformat.from_dict(notebook)
    tag(tagged)
    derived = own_types(tagged)
    own = own_types(notebook) if all(own_types(notebook)) else derived
    kept = [
        (position, piece)
        for position, _, piece in pieces(notebook)
        if own[position] not in ("skip", "notes")
    ]
    seen = set()
    for (position, piece), kind in zip(
        kept, slide_types([piece for _, piece in kept]), strict=True
    ):
        changed = position not in seen and own[position] != derived[position]
        piece.metadata["slideshow"] = {"slide_type": own[position] if changed else kind}
        piece.metadata["transient"] = {"remove_source": not piece.source}
        if piece.cell_type == "markdown":  # in slides/ a link leads from deck to deck
            piece.source = re.sub(r"(\]\(\d\d_\w+)\.ipynb\)", r"\1.html)", piece.source)
        seen.add(position)
    return nbformat.from_dict({**notebook, "cells": [piece for _, piece in kept]})


@cache
def exporter() -> SlidesExporter:
    """nbconvert's slides with the template of tools/deck."""
    # nbconvert's own reading of Markdown, less its rules for formulas: there are none, and a $ stays a dollar
    markdown = create_markdown(
        renderer=IPythonRenderer(escape=False, exclude_anchor_links=True),
        plugins=["table", "strikethrough"],
    )
    return SlidesExporter(
        template_name="deck",
        extra_template_basedirs=[str(Path(__file__).parent)],
        reveal_width=str(WIDTH),
        reveal_height=str(HEIGHT),
        reveal_number="c/t",
        reveal_transition="none",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"markdown2html": markdown},
        config=Config({"CSSHTMLHeaderPreprocessor": {"style": "default"}}),
    )


def render(notebook: NotebookNode) -> str:
    """The deck of a notebook, one HTML text that asks for nothing else. Raises InputError where outputs are missing."""
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        if cell.execution_count is None and cell.source.strip():
            raise InputError(
                f"code cell {number} was not run; slides show stored outputs, so run all cells and save."
            )
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)", prose, flags=re.MULTILINE)
    resources = {"metadata": {"name": title[1] if title else "Slides"}}
    return exporter().from_notebook_node(plan(notebook), resources)[0]


def find(name: str) -> tuple[Path, str]:
    """The notebook that a name on the command line means, and the name of its deck."""
    course = rerun.notebook_files()
    for path in course:
        if name.removesuffix(".ipynb").zfill(2) in (path.name[:2], path.stem):
            return path, f"{path.stem}.html"
    path = rerun.typed_path(name).resolve()
    if path.suffix != ".ipynb" or not path.is_file():
        numbers = f"a number from 01 to {course[-1].name[:2]}"
        raise InputError(
            f"{name}: there is no such notebook. Give {numbers}, or the path of an .ipynb file."
        )
    return path, f"{path.stem}.html" if path in course else f"{path.parent.name}-{path.stem}.html"


def deck(path: Path) -> str:
    """The deck of the notebook in a file. Raises InputError where none can be made of it."""
    notebook = rerun.read(path)
    try:
        return render(notebook)
    except Exception as error:  # whatever nbconvert stumbles over
        why = (
            error if isinstance(error, InputError) else f"it cannot be shown as slides ({error!r})."
        )
        raise InputError(f"{path}: {why}") from None


def main(names: list[str], out: Path = ROOT / "slides") -> int:
    """Write the decks, all or none: 0 when all went well, 2 with a message on stderr when something cannot be used."""
    if {"-h", "--help"} & set(names):
        print(__doc__)
        return 0
    found: dict[str, Path] = {}
    try:
        for name in names or [path.stem for path in rerun.notebook_files()]:
            path, file = find(name)
            if (earlier := found.setdefault(file, path)) != path:
                raise InputError(
                    f"{earlier} and {path} would both be {file}. Rename the folder of one."
                )
        decks = {file: deck(path) for file, path in found.items()}
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=".unfinished-") as workshop:
            for file, html in decks.items():
                (Path(workshop) / file).write_text(html, encoding="utf-8")
            rerun.put_in_place(Path(workshop), out)
    except InputError as error:
        print(f"tools.slides: {error} Nothing was written.", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"tools.slides: Cannot write to {out} ({error.strerror}). Mend that, and try again.",
            file=sys.stderr,
        )
        return 2
    print("\n".join(str(out / file) for file in decks))
    print(
        "Open one in a browser. Space goes on, F fills the screen, Esc shows all slides, ? lists more keys."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
