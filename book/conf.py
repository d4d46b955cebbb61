"""How Sphinx makes the web book; tools/book.py hands it the pages and calls it.

Everything that a page asks for lies in the book's own folder: formulas are MathML, which browsers
draw themselves, and the theme's icons are drawn by book.css, not by a script of 1.5 MB.
"""

import re
import shutil
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.util.logging import getLogger
from sphinx.writers.html5 import HTML5Translator

LOGGER = getLogger(__name__)
ROOT = Path(__file__).resolve().parents[1]

project = "Segment-aware A/B testing"
author = "the authors of this course"
copyright = "the authors of this course. Code MIT, prose and pictures CC BY 4.0, data CC0 1.0"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
language = "en"

extensions = ["myst_nb"]
exclude_patterns = ["README.md"]  # parts of it are in the start page
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 3
highlight_language = "none"

html_theme = "sphinx_book_theme"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_search_scorer = str(ROOT / "book/scorer.js")
html_favicon = "_static/icon.svg"
html_copy_source = False  # a notebook alone does not run: it needs the course around it
html_show_sphinx = False
html_use_index = False
html_permalinks_icon = "#"
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # one search button is enough
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

# Parts of the theme's pages, and what stands there instead.
MENDS = {
    r'\s*<script defer src="[^"]*fontawesome\.js[^>]*></script>': "",
    r'<div class="sidebar-primary-item">(?=\s*<a class="navbar-brand)': (
        '<div class="sidebar-primary-item" role="navigation" aria-label="Start page">'
    ),
    r'<dialog id="pst-search-dialog"': r'\g<0> aria-label="Search"',
    r'<dialog id="pst-primary-sidebar-modal"': r'\g<0> aria-label="Contents of the course"',
    r"\.pst-js-only(?= {)": r"\g<0>, .primary-toggle, .secondary-toggle",  # dead without scripts
}
# What the theme brings and no page asks for.
UNUSED = [
    "_static/**/*.map",
    "_static/scripts/fontawesome*",
    "_static/vendor",
    "_static/locales",
    "_static/*macros.html",
    "_static/images/logo_*",
    ".buildinfo",
    "objects.inv",
    "_sources",
]


def visit_folded(self: HTML5Translator, node: nodes.Element) -> None:
    """Open a fold of a code cell, in our words; book.js opens those of one question together."""
    if "above-input" in node["classes"]:
        opening = '<details class="fold code"><summary>Show code</summary>\n'
    else:
        question = node.parent["cell_metadata"]["question"]
        opening = f'<details class="fold result" data-question="{question}">'
        opening += "<summary>Show the result</summary>\n"
    self.body.append(opening)


def depart_folded(self: HTML5Translator, _node: nodes.Element) -> None:
    self.body.append("</details>\n")


def visit_formula(self: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula as MathML."""
    try:
        self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    except MathError as error:
        LOGGER.warning("a formula cannot be MathML: %s", error, location=node)
    raise nodes.SkipNode


def add_footer(_app: Sphinx, _name: str, _template: str, context: dict, _tree: object) -> None:
    """Lead from every page to the one on errors."""
    address = context["pathto"]("book/errata")
    context["theme_extra_footer"] = f'<a href="{address}">Report an error</a>'


def mend_pages(app: Sphinx, error: Exception | None) -> None:
    """Mend in each page what the theme puts there, and take away what no page needs.

    Raises ValueError where a part is not found: the theme has changed, so look anew.
    """
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for path in out.rglob("*.html"):
        if out / "_static" in path.parents:
            continue
        page = path.read_text(encoding="utf-8")
        for part, better in MENDS.items():
            page, found = re.subn(part, better, page)
            if not found:
                raise ValueError(f"{path.name} has no {part}")
        path.write_text(page, encoding="utf-8")
    for pattern in UNUSED:
        for path in out.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def setup(app: Sphinx) -> None:
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded, depart_folded))
    app.add_html_math_renderer("mathml", (visit_formula, None), (visit_formula, None))
    app.connect("html-page-context", add_footer)
    app.connect("build-finished", mend_pages)
