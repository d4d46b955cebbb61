"""Render stored notebooks as slides, one HTML file each.

  python -m tools.slides [03 | 03_t_test | FILE.ipynb ...]

Nothing is executed: a deck shows the outputs that the notebook holds. It needs no network, no
server and no other file. Without a name all notebooks of the course are rendered, into slides/.
A notebook from elsewhere (a re-run, your own copy) gives a deck named after its folder and itself,
such as slides/cluster-3-03_t_test.html.

What a class sees: a heading starts a slide, "Predict, then see." has one to itself, and what would
run off a slide goes to the next. Left out are set-up, input checks, code that only words or draws,
cells that wait for an answer, and the line below a figure (it is the figure's alternative text).
Tags from the slide menu of JupyterLab win, where every cell has one.

Names in the data of a stranger may be HTML or Markdown. Of those a deck keeps what Markdown and
pandas make, images that the notebook holds, and links; no script of a notebook runs, and its
Content-Security-Policy admits the deck's own two alone.

tools/deck holds the template, the style, and two files of the npm package reveal.js 4.6.1 (MIT),
unchanged.
"""

import ast
import base64
import hashlib
import html
import re
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import takewhile
from math import ceil
from pathlib import Path

import nbformat
from bleach.css_sanitizer import CSSSanitizer
from bleach.sanitizer import ALLOWED_TAGS, Cleaner
from mistune import create_markdown
from nbconvert.exporters import SlidesExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer
from nbformat import NotebookNode
from traitlets.config import Config

from helpers import InputError, shown
from tools import command, files, notebooks

WIDTH, HEIGHT = 1280, 720  # a slide, in pixels; the browser scales it to the screen
# Heights in pixels, at the sizes in deck.css.
ROOM = 650  # what a slide holds
PICTURE = 480  # the tallest picture
PROSE = 38  # a line of prose
CODE = 26  # a line of code
ROW = 34  # a row of a table
GAP = 14  # the space below each
LETTERS = 80  # how many letters a line of prose holds
STRENGTH = ("skip", "-", "subslide", "slide")
PREDICT = re.compile(r"\*\*(?:Predict|Decide), then see\.\*\*")
FIGURE = re.compile(r"^ *plots\.(?!use_style)[a-z]+\(", flags=re.MULTILINE)
WORDS = re.compile(r"<details[^>]*><summary>in words</summary>.*</details>", flags=re.DOTALL)
ASIDE = re.compile(r"(words\.say|plots\.\w+|reveal|(\w+\.)?check_\w+)\(")
ASKS = re.compile(r"^(?:predict|decide)\(", flags=re.MULTILINE)
WAITS = re.compile(r"^answer = \.\.\.$", flags=re.MULTILINE)
# Of the HTML in a notebook: what Markdown and pandas make. Other tags are shown as text, other
# attributes are dropped, and some stay for certain values: no other protocol, server or style.
MORE_TAGS = """br caption del details div h1 h2 h3 h4 h5 h6 hr img p pre span sub summary sup table
tbody td tfoot th thead tr"""
TAGS = ALLOWED_TAGS | set(MORE_TAGS.split())
ATTRIBUTES = "alt border class colspan data-mime-type halign rowspan scope start title valign"
VALUES = {
    "href": re.compile(r"(?is)https?:|mailto:|(?![/\\])[^:\\?#]*(?:[?#].*)?$"),
    "src": re.compile(r"data:image/"),
    "style": re.compile(r"text-align: ?(?:left|center|right);?$"),
}
# What is shown of an output, the first that it has: no JavaScript, no widgets.
KINDS = ["text/html", "text/markdown", "image/svg+xml", "text/latex", "image/png", "image/jpeg"]


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
    """Whether a statement does no more than word a result, show a figure, or refuse bad input."""
    if isinstance(statement, ast.If | ast.For):
        return all(map(is_aside, statement.body + statement.orelse))
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Tuple | ast.List):
        kinds = {type(part) for part in statement.value.elts}
        return ast.JoinedStr in kinds and kinds <= {ast.JoinedStr, ast.Constant}  # sentences
    said = isinstance(statement, ast.Expr) and ASIDE.match(ast.unparse(statement))
    return bool(said) or isinstance(statement, ast.Raise)


def shown_code(cell: NotebookNode) -> str:
    """The code for the class: no asides, nothing of folded answers, nothing that the author hid.

    Of a cell that draws a recurring figure, the figure is enough.
    """
    if author_hid(cell) or "words.answer(" in cell.source or FIGURE.search(cell.source):
        return ""
    tree = parse(cell.source)
    left_out: set[int] = set()
    for node in ast.walk(tree):
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(block, list):
                continue
            asides = [statement for statement in block if is_aside(statement)]
            if node is tree or len(asides) < len(block):  # an inner block may not become empty
                for statement in asides:
                    left_out.update(range(statement.lineno, statement.end_lineno + 1))
    lines = enumerate(cell.source.splitlines(), start=1)
    code = "\n".join(line for number, line in lines if number not in left_out)
    return re.sub(r"\n{3,}", "\n\n", code).strip()


def sections(source: str) -> list[str]:
    """Markdown cut before each heading, so that a heading inside a cell can start a slide too."""
    parts = [""]
    fenced = False
    for line in source.splitlines(keepends=True):
        fenced ^= line.startswith("```")
        if re.match("#{1,3} ", line) and not fenced:
            parts.append("")
        parts[-1] += line
    return [part for part in parts if part.strip()]


def is_setup(cell: NotebookNode) -> bool:
    """Whether a code cell holds knobs, or imports without any output."""
    if "parameters" in cell.metadata.get("tags", []):
        return True
    statements: list[ast.stmt] = []
    for statement in parse(cell.source).body:
        statements += statement.body if isinstance(statement, ast.Try) else [statement]
    imports = any(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements)
    return imports and not cell.outputs


def names_made(tree: ast.Module) -> set[str]:
    """The names that the statements of a cell assign or define."""
    found = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Assign):
            parts = [part for target in statement.targets for part in ast.walk(target)]
            found |= {part.id for part in parts if isinstance(part, ast.Name)}
    return found


def dresses(node: ast.AST) -> bool:
    """Whether a part of the code makes a text, or has to do with plots."""
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Name) and node.id == "plots")


def figure_dressing(notebook: NotebookNode) -> set[int]:
    """Positions of cells right above a figure that only make texts and colours for it.

    No other code reads what they make.
    """
    found: set[int] = set()
    read: set[str] = set()  # by the cells below
    above_figure = False
    for position, cell in reversed(list(enumerate(notebook.cells))):
        if cell.cell_type != "code" or author_hid(cell):
            above_figure = cell.cell_type == "code"
            continue
        tree = parse(cell.source)
        nodes = list(ast.walk(tree))
        made = names_made(tree)
        dressing = any(map(dresses, nodes)) and not cell.outputs and not made & read
        above_figure = above_figure and dressing
        if above_figure:
            found.add(position)
            continue
        names = [node for node in nodes if isinstance(node, ast.Name)]
        read = (read - made) | {name.id for name in names if isinstance(name.ctx, ast.Load)}
    return found


def changed(cell: NotebookNode, **parts: object) -> NotebookNode:
    """A copy of a cell with some parts of it replaced."""
    return nbformat.from_dict({**cell, **parts})


def without_words(output: NotebookNode) -> NotebookNode | None:
    """An output without the folded words of a figure, which has them as its alternative text."""
    html = output.get("data", {}).get("text/html", "")
    says = WORDS.sub("", html)
    if says == html:
        return output
    return nbformat.from_dict({**output, "data": {"text/html": says}}) if says else None


def code_pieces(cell: NotebookNode) -> list[NotebookNode]:
    """A code cell as it is shown.

    Where it is too high, its code is on one slide, its result on the next.
    """
    source = cell.source if is_setup(cell) else shown_code(cell)
    outputs = [output for output in map(without_words, cell.outputs) if output is not None]
    piece = changed(cell, source=source, outputs=outputs)
    if source and outputs and height(piece) > ROOM:
        return [changed(piece, outputs=[]), changed(piece, source="")]
    return [piece]


def pieces(notebook: NotebookNode) -> Iterator[tuple[int, bool, NotebookNode]]:
    """What there is to show.

    The position of a cell, whether to leave it out, and a copy of it made for a slide.
    """
    dressing = figure_dressing(notebook)
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            out = False
            parts = [changed(cell, source=source) for source in sections(cell.source)]
        elif cell.cell_type == "code":
            parts = code_pieces(cell)
            empty = not (parts[0].source or parts[0].outputs)
            waits = bool(WAITS.search(cell.source))
            out = empty or waits or is_setup(cell) or position in dressing
        else:
            out = True
            parts = [changed(cell)]
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
    rows = data.get("text/html", "").count("<tr")
    if rows:
        return ROW * rows + GAP
    text = data.get("text/markdown") or data.get("text/html")
    if text:
        return prose_height(text)
    return CODE * len(output.get("text", data.get("text/plain", "")).splitlines()) + GAP


def height(piece: NotebookNode) -> int:
    """About how high a piece stands on a slide."""
    if piece.cell_type != "code":
        return prose_height(piece.source)
    below = sum(map(output_height, piece.outputs))
    lines = len(piece.source.splitlines())
    if not lines:
        return below
    return CODE * lines + 2 * GAP + below


def asks(piece: NotebookNode) -> bool:
    """Whether a piece asks for a prediction: the question, or the code that takes the numbers."""
    pattern = ASKS if piece.cell_type == "code" else PREDICT
    return bool(pattern.search(piece.source))


def block_height(shown: list[NotebookNode], position: int) -> int:
    """About how high a piece stands with what must not be parted from it.

    Text is not parted from the code below it.
    """
    block = height(shown[position])
    if shown[position].cell_type != "markdown":
        return block
    below = takewhile(lambda piece: piece.cell_type == "code", shown[position + 1 :])
    return block + sum(map(height, below))


def slide_types(shown: list[NotebookNode]) -> list[str]:
    """For each piece in turn: "slide", "subslide", or "-", which goes on with the slide before it.

    # and ## start a slide, ### a subslide (not when nothing but a heading stands above it). So does
    a prediction, and what follows it: the answer waits until the teacher goes on. Text stays with
    the code below it, and what would not fit on a slide starts the next.
    """
    types: list[str] = []
    used = 0  # of the height of the slide before
    asked = False  # by the piece before
    bare = False  # whether nothing but a heading stands there
    for position, piece in enumerate(shown):
        prose = piece.cell_type == "markdown"
        heading = re.match("#{1,3} ", piece.source) if prose else None
        full = used + block_height(shown, position) > ROOM
        if not position or (heading and heading[0] != "### "):
            types.append("slide")
        elif (heading and not bare) or asked != asks(piece) or full:
            types.append("subslide")
        else:
            types.append("-")
        if types[-1] != "-":
            used = 0
        used += height(piece)
        asked = asks(piece)
        bare = bool(heading) and "\n" not in piece.source.strip()
    return types


def tag(notebook: NotebookNode) -> None:
    """Give each cell the slide_type that follows from the notebook; the next call gives the same.

    A cell in which several slides start has the type of the strongest start, so that other programs
    cut there too.
    """
    kept = [(position, piece) for position, out, piece in pieces(notebook) if not out]
    types = slide_types([piece for _, piece in kept])
    found = dict.fromkeys(range(len(notebook.cells)), "skip")
    for (position, _), kind in zip(kept, types, strict=True):
        found[position] = max(found[position], kind, key=STRENGTH.index)
    for position, cell in enumerate(notebook.cells):
        own = cell.metadata.get("slideshow", {})
        cell.metadata["slideshow"] = {**own, "slide_type": found[position]}


# The deck


def own_types(notebook: NotebookNode) -> list[str | None]:
    return [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]


def plan(notebook: NotebookNode) -> NotebookNode:
    """The notebook as the class sees it, in the pieces that make the slides.

    Its own tags win, where every cell has one.
    """
    tagged = nbformat.from_dict(notebook)
    tag(tagged)
    derived = own_types(tagged)
    own = own_types(notebook)
    if not all(own):
        own = derived
    kept = [
        (position, piece)
        for position, _, piece in pieces(notebook)
        if own[position] not in ("skip", "notes")
    ]
    types = slide_types([piece for _, piece in kept])
    seen: set[int] = set()
    for (position, piece), kind in zip(kept, types, strict=True):
        if position not in seen and own[position] != derived[position]:
            kind = own[position]
        piece.metadata["slideshow"] = {"slide_type": kind}
        piece.metadata["transient"] = {"remove_source": not piece.source}
        if piece.cell_type == "markdown":  # in slides/ a link leads from deck to deck
            piece.source = re.sub(r"(\]\(\d\d_\w+)\.ipynb\)", r"\1.html)", piece.source)
        seen.add(position)
    return nbformat.from_dict({**notebook, "cells": [piece for _, piece in kept]})


def is_kept(_tag: str, name: str, value: str) -> bool:
    """Whether an attribute of a notebook's HTML stays in the deck."""
    if name in VALUES:
        return bool(VALUES[name].match(html.unescape(value)))
    return name in ATTRIBUTES.split()


@cache
def cleaner() -> Cleaner:
    """bleach with the lists above."""
    protocols = {"http", "https", "mailto", "data"}  # of any attribute; is_kept knows which
    css = CSSSanitizer(allowed_css_properties=["text-align"])
    return Cleaner(tags=TAGS, attributes=is_kept, protocols=protocols, css_sanitizer=css)


def clean(part: str) -> str:
    """The HTML of a cell without what could ask for something, or run; deck.css styles tables."""
    return cleaner().clean(re.sub(r"(?is)<style\b.*?</style>", "", part))


def fingerprint(script: str) -> str:
    """What a Content-Security-Policy calls an element with an inline script."""
    content = script[script.index(">") + 1 : script.rindex("</")]
    digest = hashlib.sha256(content.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


@cache
def exporter() -> SlidesExporter:
    """nbconvert's slides with the template of tools/deck."""
    # nbconvert's own reading of Markdown, less its rules for formulas: there are none, and a $
    # stays a dollar
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
        filters={"markdown2html": markdown, "clean": clean, "fingerprint": fingerprint},
        config=Config(
            {
                "CSSHTMLHeaderPreprocessor": {"style": "default"},
                "NbConvertBase": {"display_data_priority": [*KINDS, "text/plain"]},
            }
        ),
    )


def render(notebook: NotebookNode) -> str:
    """The deck of a notebook, one HTML text that asks for nothing else.

    Raises InputError where outputs are missing.
    """
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(cells, start=1):
        if cell.execution_count is None and cell.source.strip():
            mend = "slides show stored outputs, so run all cells and save"
            raise InputError(f"code cell {number} was not run; {mend}.")
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title = re.search(r"^# (.+)", prose, flags=re.MULTILINE)
    resources = {"metadata": {"name": title[1] if title else "Slides"}}
    return exporter().from_notebook_node(plan(notebook), resources)[0]


def find(name: str) -> tuple[Path, str]:
    """The notebook that a name on the command line means, and the name of its deck."""
    course = notebooks.find()
    for path in course:
        if name.removesuffix(".ipynb").zfill(2) in (path.name[:2], path.stem):
            return path, f"{path.stem}.html"
    there = False
    with suppress(OSError, RuntimeError):  # too long a name, a link to itself, a closed folder
        try:
            path = files.typed_path(name).resolve()
        except ArgumentTypeError as error:
            raise InputError(f"{error}.") from None
        there = path.suffix == ".ipynb" and path.is_file()
    if not there:
        numbers = f"a number from 01 to {course[-1].name[:2]}"
        mend = f"Give {numbers}, or the path of an .ipynb file."
        raise InputError(f"{shown(name)}: there is no such notebook. {mend}")
    if path in course:
        return path, f"{path.stem}.html"
    return path, f"{path.parent.name}-{path.stem}.html"


def deck(path: Path) -> str:
    """The deck of the notebook in a file. Raises InputError where none can be made of it."""
    notebook = notebooks.read(path)
    try:
        return render(notebook)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # whatever nbconvert stumbles over
        raise InputError(f"{path}: it cannot be shown as slides ({error!r}).") from None


def find_all(names: list[str]) -> dict[str, Path]:
    """The notebooks that the names mean, or all of the course, each by the name of its deck.

    Raises InputError for a name that means none, and where two would have one deck.
    """
    found: dict[str, Path] = {}
    for name in names or [path.stem for path in notebooks.find()]:
        path, file = find(name)
        earlier = found.setdefault(file, path)
        if earlier != path:
            raise InputError(
                f"{earlier} and {path} would both be {file}. Rename the folder of one."
            )
    return found


def write(decks: dict[str, str], typed: Path) -> Path:
    """Write the decks into a folder, all or none; return it.

    Raises InputError where it cannot, or where a file stands that this command did not write.
    """
    out = files.as_folder(typed, "Move it away.")
    try:
        with files.workshop(out) as workshop:
            for file, html in decks.items():
                (workshop / file).write_text(html, encoding="utf-8")
            files.put_in_place(workshop, out, "slides")
    except OSError as error:
        why = f"Cannot write to {out} ({error.strerror}). Mend that, and try again."
        raise InputError(why) from None
    return out


def main(names: list[str], typed: Path = notebooks.ROOT / "slides") -> int:
    """Write the decks: 0 when all went well, else as `command.run` says."""

    def work() -> int:
        parser = command.Parser("python -m tools.slides", __doc__)
        parser.add_argument("names", nargs="*", help="numbers, or paths (default: all)")
        found = find_all(parser.parse_args(names).names)
        out = write({file: deck(path) for file, path in found.items()}, typed)
        print("\n".join(shown(out / file, most=1000) for file in found))
        keys = "Space goes on, F fills the screen, Esc shows all slides, ? lists more keys."
        print(f"Open one in a browser. {keys}")
        return 0

    return command.run("tools.slides", work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
