"""The decks of `make slides`: one file each, no network, answers behind questions.

Beside each check stands a fault.
"""

import hashlib
import json
import re
import shutil
import subprocess
import threading
from collections import defaultdict
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import (
    new_code_cell,
    new_markdown_cell,
    new_notebook,
    new_output,
    new_raw_cell,
)

from helpers.words import details
from tools import notebooks, slides

NAMES = [path.stem for path in notebooks.find()]
each_notebook = pytest.mark.parametrize("name", NAMES)


@cache
def stored(name):
    return nbformat.read(notebooks.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


@cache
def deck(name):
    return slides.render(stored(name))


@cache
def soup(html):
    return BeautifulSoup(html, "html.parser")


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
    "DwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def code(source, *said, **more):
    return new_code_cell(source, outputs=list(said), execution_count=1, **more)


def text(words):
    return new_output("display_data", {"text/markdown": words, "text/plain": words})


WORDS = "<summary>in words</summary>"
FIGURE = new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": '2 "b"'}})
FOLDED = new_output(
    "display_data",
    {"text/html": "<details><summary>Show the answer</summary><p>Six.</p></details>"},
)
SMALL = new_notebook(
    cells=[
        new_markdown_cell("# 01 A title?\nIt costs $5, *not* $3. See [02](02_other.ipynb)."),
        code("effect = 3.0", metadata={"tags": ["parameters"]}),
        code("import numpy as np\n\nplots.use_style()"),
        new_markdown_cell("Before.\n\n## A section\n**Predict, then see.** How many?"),
        code('predict("01-n", ..., ...)  # from 0 to 9'),
        code(
            'check_seed(seed)\nn = 6\nwords.say(f"It is {n}.")\nreveal("01-n", n)', text("It is 6.")
        ),
        new_markdown_cell("### A part\n| one | more |\n|---|---|\n| 1 | 2 |"),
        code('label = f"{n} of them"'),
        code(
            "plt.subplots()\nplots.show(figure, label)",
            FIGURE,
            new_output("display_data", {"text/html": f"{details('in words', '2 b')}"}),
            metadata={"jupyter": {"source_hidden": True}},
        ),
        new_markdown_cell(
            "## Questions\n1. How many?\n\n<details><summary>Hint</summary>\n\nCount.\n\n</details>"
        ),
        code('right = 6\nwords.answer("Six.")', FOLDED),
        code('answer = ...\ncheck("01-n", answer)', text("**Open.**")),
    ]
)


def small(**changes):
    """The small notebook with other sources or outputs, by position: cell_5={"outputs": []}."""
    notebook = nbformat.from_dict(SMALL)
    for name, change in changes.items():
        notebook.cells[int(name.removeprefix("cell_"))].update(nbformat.from_dict(change))
    return notebook


SMALL_DECK = slides.render(SMALL)


def test_what_to_see_stays_and_the_words_of_a_figure_go():
    """On a slide a figure has its alternative text, and one line under it if there is one."""
    line = details("in words", "Two bars.")
    for says, kept in (("", None), ("Look &lt; here.", "Look &lt; here.")):
        output = new_output("display_data", {"text/html": says + line})
        found = slides.without_words(output)
        assert (found and found["data"]["text/html"]) == kept
    assert slides.without_words(FOLDED) == FOLDED and slides.without_words(FIGURE) == FIGURE


# Nothing is asked for from outside

ASKS = {"src", "srcset", "href", "xlink:href", "data", "poster", "action", "background", "content"}
REMOTE = {
    "style": re.compile(r"url\(\s*[\"']?(?!data:|#)|@import"),
    "script": re.compile(r"[\"'`](?:https?:)?//\w|\bfetch\(|XMLHttpRequest|\bimport[ (]"),
}


def requests(html):
    """All that would make a browser ask for something beyond the file.

    A link that one must click does not.
    """
    page, found = soup(html), []
    for element in page.find_all(True):
        for name in ASKS & element.attrs.keys():
            value = element[name]
            inside = value.startswith(("data:", "#")) or element.name in ("a", "meta")
            if not inside or element.get("http-equiv") == "refresh":
                found.append(f"<{element.name} {name}={value[:40]}>")
        found += [f"style: {hit}" for hit in REMOTE["style"].findall(element.get("style", ""))]
    for block in page.find_all(["style", "script"]):
        bare = re.sub(r"/\*.*?\*/", "", block.get_text(), flags=re.DOTALL)
        found += [f"<{block.name}>: {hit}" for hit in REMOTE[block.name].findall(bare)]
    return found


@each_notebook
def test_a_deck_asks_for_nothing(name):
    assert requests(deck(name)) == []


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://example.org/a.js"></script>',
        '<script src="a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img alt="" src="a.png">',
        '<img alt="" srcset="a.png 2x">',
        '<iframe src="b.html"></iframe>',
        '<meta http-equiv="refresh" content="1; url=b.html">',
        "<style>@import 'a.css';</style>",
        "<style>p { background: url(a.png) }</style>",
        '<p style="background: url(a.png)"></p>',
        '<script>load("https://example.org/a.js")</script>',
        '<script>fetch("a.json")</script>',
        '<script type="module">import a from "a.js";</script>',
    ],
)
def test_a_request_is_caught(planted):
    assert requests(SMALL_DECK) == []
    assert requests(SMALL_DECK.replace("</body>", f"{planted}</body>")) != []


def test_a_link_to_click_is_no_request():
    assert (
        requests('<a href="https://example.org">there</a><style>/* https://example.org */</style>')
        == []
    )


# Nothing of a stranger's runs

POLICY = re.compile(r"<meta[^>]*Content-Security-Policy[^>]*>")
HARMLESS = re.compile("http|https|mailto")
ATTACKS = """
[a](javascript:RUN)
[b](JaVa&#10;ScRiPt:RUN)
[c](<java	script:RUN>)
[d](data:text/html,<script>RUN</script>)
[e](vbscript:RUN)
<javascript:RUN>
[f]

[f]: javascript&colon;RUN
![g](URL/markdown.png "h")
![i](javascript:RUN)

<a href="javascript:RUN">j</a>
<a href="&#x01;java&#x0A;script&colon;RUN">k</a>
<a href=" &#106;avascript:RUN" autofocus onfocus="RUN" ping="URL/ping">l</a>
<a href="data&colon;text/html;base64,PHNjcmlwdD4=">m</a>
<a href="&#9;data:text/html,x">n</a>
<a href="//HOST/other">o</a>
<img src="URL/a.png" onerror="RUN" alt="">
<img srcset="URL/b.png 2x" data-src="URL/lazy.png" alt="">
<img src="data&colon;text/html,x" onload=RUN alt="">
<img src=x onerror=RUN//
<script>RUN</script>
<script src="URL/script.js"></script>
<svg onload="RUN"><image href="URL/svg.png"></image><a xlink:href="javascript:RUN">p</a></svg>
<math><mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=RUN&gt;"><!-- -->
<noscript><p title="</noscript><img src=x onerror=RUN>">q</p></noscript>
<iframe src="URL/frame"></iframe>
<iframe srcdoc="<script>parent.document.title='taken'</script><img src='URL/inner.png'>"></iframe>
<meta http-equiv="refresh" content="1; url=URL/refresh">
<base href="URL/base/"><img src="relative.png" alt="">
<form action="URL/form"><input type="image" src="URL/button.png"></form>
<object data="URL/object"></object><embed src="URL/embed">
<link rel="stylesheet" href="URL/style.css">
<style>@import "URL/import.css"; body { background: url(URL/style.png) }</style>
<p style="background: url(URL/attribute.png); text-align: url(URL/align.png)">r</p>
<table background="URL/table.png"><tr><td>s</td></tr></table>
<video poster="URL/poster.png" src="URL/film"></video><audio src="URL/sound" autoplay></audio>
<details open ontoggle="RUN"><summary onclick="RUN">t</summary>u</details>
<section data-background-image="URL/slide.png" data-background-iframe="URL/slide"></section>
"""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" onload="RUN" width="9" height="9">
<script>RUN</script><image href="URL/image.png" width="9" height="9"/>
<foreignObject><iframe xmlns="http://www.w3.org/1999/xhtml" src="URL/foreign"/></foreignObject>
</svg>"""


VIEW = "application_vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"


def output(**data):
    return new_output(
        "display_data", {kind.replace("_", "/"): value for kind, value in data.items()}
    )


def hostile(host):
    """A notebook with attacks in all places where a deck shows something of it.

    RUN changes the title of the page, and tells a server that should never be asked.
    """

    def aimed(words):
        run = "void(((new(Image)).src='URL/ran')+(document.title='taken'))"
        return words.replace("RUN", run).replace("URL", f"http://{host}").replace("HOST", host)

    attacks, svg = aimed(ATTACKS), aimed(SVG)
    breakout = f'"><b>{attacks}</b><p title="'
    figure = output(**{"image_png": PIXEL + breakout})
    figure.metadata = {"image/png": {"alt": breakout}}
    jpeg = output(image_jpeg=PIXEL)
    jpeg.metadata = {"image/jpeg": {"width": aimed("1 onload=RUN"), "height": breakout}}
    lines = [line for line in attacks.splitlines() if line]
    streams = [new_output("stream", name=f"std{name}", text=attacks) for name in ("out", "err")]
    error = new_output("error", ename="E", evalue=attacks, traceback=lines)
    script = output(application_javascript=aimed("RUN"), text_plain="script")
    widget = output(**{VIEW: {"model_id": "m"}, "text_plain": "widget"})
    mermaid = output(**{"text_vnd.mermaid": attacks, "text_plain": "mermaid"})
    cells = [
        new_markdown_cell(f"# </title>{aimed('<script>RUN</script>')}\nThe title."),
        new_markdown_cell(attacks),
        *map(new_markdown_cell, lines),
        new_markdown_cell("| a |\n|--:|\n" + "".join(f"| {line} |\n" for line in lines)),
        code("x  # " + " ".join(lines), metadata={"tags": [aimed('"><script>RUN</script>')]}),
        code("x", text(attacks), *map(text, lines)),
        code("x", output(text_html=attacks), *(output(text_html=line) for line in lines)),
        code("x", output(text_html=f"<table><tr><td>{attacks}</td></tr></table>")),
        code("x", output(text_plain=attacks), output(text_latex=attacks), *streams, error),
        code("x", output(**{"image_svg+xml": svg}), figure, jpeg, script, widget, mermaid),
        new_raw_cell(attacks, metadata={"raw_mimetype": ""}),
        new_markdown_cell("The end. [Home](https://example.org), [02](02_other.ipynb)"),
    ]
    for position, cell in enumerate(cells):
        kind = "-" if position % 16 else "slide"
        cell.metadata["slideshow"] = {"slide_type": kind, "data": {breakout: breakout}}
    state = {STATE: {"state": {"m": {"a": breakout}}}}
    return new_notebook(cells=cells, metadata={"title": breakout, "widgets": state})


def harm(html):
    """All that would run, or lead away, if the policy of the deck were not there.

    And the policy, where it is another.
    """
    page = soup(html)
    scripts = [str(script) for script in page.find_all("script")]
    policy = page.head.find("meta", {"http-equiv": "Content-Security-Policy"})
    own = " ".join(map(slides.fingerprint, scripts))
    strict = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {own}; "
    strict += "base-uri 'none'; form-action 'none'"
    found = [] if policy and policy["content"] == strict else ["another policy"]
    for element in page.main.find_all(True):
        if not re.fullmatch(r"\w+", element.name) or element.name not in slides.TAGS | {"section"}:
            found.append(f"<{element.name}>")
        found += [f"{name}=" for name in element.attrs if name.startswith("on")]
        target = re.sub(r"[\0-\x20]", "", element.get("href", ""))
        protocol, colon, _ = re.split("[/?#]", target)[0].partition(":")
        if target.startswith("//") or (colon and not HARMLESS.fullmatch(protocol.lower())):
            found.append(f"href={target[:20]}")
    return found


@each_notebook
def test_a_deck_is_harmless(name):
    assert harm(deck(name)) == []


@cache
def attacked(host, cleaned=True):
    with pytest.MonkeyPatch.context() as patch:
        if not cleaned:
            patch.setitem(slides.exporter().environment.filters, "clean", str)
        return slides.render(hostile(host))


def test_a_hostile_notebook_gives_a_harmless_deck():
    html = attacked("both.test")
    assert requests(html) == [] and harm(html) == []
    assert soup(html).title.get_text().startswith("</title><script>void(")
    assert "var element" not in html  # the text of a script or a widget is shown, not its code
    last = [link["href"] for link in soup(html).select("main a")[-2:]]
    assert last == ["https://example.org", "02_other.html"]


def test_harm_is_caught():
    assert harm(SMALL_DECK) == []
    found = "\n".join(harm(attacked("policy.test", cleaned=False)))
    for fault in (
        "<script>",
        "<iframe>",
        "<meta>",
        "<base>",
        "onerror=",
        "href=javascript",
        "href=//",
    ):
        assert fault in found
    for old, new in [("script-src", "script-src 'unsafe-inline'"), ("data:;", "data: http:;")]:
        assert harm(SMALL_DECK.replace(old, new, 1)) == ["another policy"]
    assert harm(POLICY.sub("", SMALL_DECK)) == ["another policy"]
    assert harm(SMALL_DECK.replace("</body>", "<script>1</script></body>")) == ["another policy"]


def formulas(notebook):
    """Formulas in prose or in what is shown as prose.

    Decks come without MathJax, which is larger than all of them.
    """
    shown = [
        output.data["text/markdown"]
        for output in outputs(notebook)
        if "text/markdown" in output.get("data", {})
    ]
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    plain = [re.sub(r"`[^`]*`", "", words) for words in prose + shown]
    formula = re.compile(r"\$\$|\\[([]|\\begin\{|(?<![\\$])\$(?=\S)[^$\n]*[\\^_=][^$\n]*\$")
    return [words for words in plain if formula.search(words)]


@each_notebook
def test_no_notebook_has_formulas(name):
    assert formulas(stored(name)) == []
    assert "mathjax" not in re.sub("(mathjax|tex2jax)_ignore", "", deck(name)).lower()


@pytest.mark.parametrize(
    "formula", ["so $x_1$ is", "$$a + b$$", r"\(a\)", r"\begin{align}", r"$\bar y$"]
)
def test_a_formula_is_caught(formula):
    assert formulas(SMALL) == []
    assert formulas(small(cell_0={"source": formula})) == [formula]
    assert formulas(small(cell_5={"outputs": [text(formula)]})) == [formula]


def test_a_dollar_stays_a_dollar():
    first = soup(SMALL_DECK).section
    assert "It costs $5, not $3." in first.get_text() and first.em.get_text() == "not"
    assert (
        "costs $5"
        in soup(slides.render(small(cell_5={"outputs": [text(r"It costs \$5.")]}))).get_text()
    )


def test_reveal_is_the_published_one():
    """The sums of dist/reveal.js and dist/reveal.css in the npm package 4.6.1.

    Inside they say 4.6.0 and 4.5.0.
    """
    sums = {
        "reveal.js": "73d4b64d59eded6de6a49500e7b709eb8d92c0d1d88d911319ce551c31341e9f",
        "reveal.css": "fa4713396db8274bc0f1def50767464b6d98e61f4f83d17f4de6417210b25901",
    }
    files = {name: (notebooks.ROOT / "tools/deck" / name).read_bytes() for name in sums}
    assert {name: hashlib.sha256(content).hexdigest() for name, content in files.items()} == sums
    assert "Permission is hereby granted" in (
        notebooks.ROOT / "tools/deck/LICENSE.reveal"
    ).read_text("utf-8")


# What is in a deck


def plain(words):
    return re.sub(r"[*`_]", "", words).strip()


def missing(notebook, html):
    """What the notebook shows and the deck does not.

    Headings in their order, figures with their texts, and tables.
    """
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = [plain(title) for title in re.findall(r"^#{1,3} (.+)", prose, flags=re.MULTILINE)]
    there = [plain(heading.get_text()) for heading in soup(html).find_all(["h1", "h2", "h3"])]
    found = [] if headings == there else [f"headings {there}"]
    images = {
        (image["src"].partition(",")[2], image["alt"]) for image in soup(html).find_all("img")
    }
    for output in outputs(notebook):
        png = output.get("data", {}).get("image/png")
        if png:
            alt = output.metadata["image/png"]["alt"]
            found += [] if alt and (png.replace("\n", ""), alt) in images else [f"figure {alt}"]
    tables = sum(
        "<table" in output.get("data", {}).get("text/html", "") for output in outputs(notebook)
    )
    tables += len(re.findall(r"^\|[ |:-]+\|$", prose, flags=re.MULTILINE))
    return found + ([] if len(soup(html).find_all("table")) == tables else ["a table"])


@each_notebook
def test_headings_figures_and_tables_are_there(name):
    assert missing(stored(name), deck(name)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<h2>A section</h2>", "", "headings"),
        ("<h3>A part</h3>", "<p>A part</p>", "headings"),
        (PIXEL, PIXEL[:-8], "figure"),
        ("alt='2 \"b\"'", 'alt=""', "figure"),
        ("<table>", "", "a table"),
    ],
)
def test_a_missing_part_is_caught(old, new, fault):
    assert missing(SMALL, SMALL_DECK) == []
    assert old in SMALL_DECK
    assert fault in "".join(missing(SMALL, SMALL_DECK.replace(old, new)))


def noise(html):
    """Set-up, and code that words, draws or checks input: nothing for a class."""
    shown = soup(html).main.get_text()
    calls = r"plots\.(?:use_style|show)\(|plt\.subplots\(|words\.answer\(|reveal\("
    calls += r"|^import \w+$|^in words$|^answer = \.\.\."
    return re.findall(calls, shown, flags=re.MULTILINE)


@each_notebook
def test_only_what_a_class_needs(name):
    assert noise(deck(name)) == []


@pytest.mark.parametrize(
    "words",
    [
        "plots.use_style()",
        "import numpy",
        "fig, ax = plt.subplots()",
        "in words",
        'words.answer("no")',
        "answer = ...",
    ],
)
def test_noise_is_caught(words):
    assert noise(SMALL_DECK) == []
    assert noise(SMALL_DECK.replace("</main>", f"<pre>\n{words}\n</pre></main>")) != []


def test_code_is_shown_without_its_asides():
    assert [pre.get_text().strip() for pre in soup(SMALL_DECK).find_all("pre")] == [
        'predict("01-n", ..., ...)  # from 0 to 9',
        "n = 6",
    ]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("x = 1\nwords.say(\n    'a',\n    'b',\n)\ny = 2", "x = 1\ny = 2"),
        ("if x:\n    words.say('a')\nelse:\n    words.say('b')", ""),
        ("if x:\n    y = 1\n    words.say('a')", "if x:\n    y = 1"),
        (
            "if x:\n    y = 1\nelse:\n    words.say('a')",
            "if x:\n    y = 1\nelse:\n    words.say('a')",
        ),
        ("for k in ks:\n    words.say(k)\nks", "ks"),
        ("if n < 2:\n    raise InputError('few')\nn", "n"),
        ("both = (f'{n} a', 'b')\nwords.say(*both)", ""),
        ("names = ['a', 'b']", "names = ['a', 'b']"),
        ("def f():\n    words.say('a')", "def f():\n    words.say('a')"),
        ("%matplotlib inline\nwords.say('a')", "%matplotlib inline\nwords.say('a')"),
    ],
)
def test_asides(source, shown):
    assert slides.shown_code(code(source)) == shown


def test_code_that_others_need_stays():
    dressing = 'label = f"{n} of them"'
    assert dressing not in soup(SMALL_DECK).get_text()
    needed = nbformat.from_dict(SMALL)
    needed.cells.append(code("label"))
    assert dressing in soup(slides.render(needed)).get_text()


def test_a_cell_too_high_for_a_slide_is_shown_on_two():
    table = new_output(
        "execute_result", {"text/html": "<table>" + "<tr><td>1</td></tr>" * 12 + "</table>"}
    )
    long = small(cell_5={"source": "x = 1\n" * 14 + "x", "outputs": [table]})
    sections = soup(slides.render(long)).select("section > section")
    [first] = [i for i, section in enumerate(sections) if "x = 1" in section.get_text()]
    assert sections[first].table is None and sections[first + 1].table


def test_links_lead_from_deck_to_deck():
    assert soup(SMALL_DECK).select_one("main a")["href"] == "02_other.html"


# Questions before answers


def early_answers(notebook, html):
    """Predictions that do not stand alone.

    No cell may stand beside them but the one that takes the numbers; the rest comes later.
    """
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    asked = sum(len(slides.PREDICT.findall(source)) for source in prose)
    sections = soup(html).select("section > section")
    asking = [i for i, section in enumerate(sections) if ", then see." in section.get_text()]
    found = [] if len(asking) == asked else [f"{len(asking)} of {asked} predictions have a slide"]
    for i in asking:
        cells = [cell.get_text() for cell in sections[i].select(".jp-CodeCell")]
        if not all(slides.ASKS.search(cell) for cell in cells):
            found.append(f"slide {i + 1} shows more than its question")
        if sections[i + 1 :] == []:
            found.append(f"nothing follows slide {i + 1}")
    return found


@each_notebook
def test_predictions_stand_before_their_answers(name):
    assert early_answers(stored(name), deck(name)) == []


def retagged(notebook, kind, *positions):
    """The notebook with tags of its own in some cells."""
    notebook = nbformat.from_dict(notebook)
    slides.tag(notebook)
    for position in positions:
        notebook.cells[position].metadata.slideshow.slide_type = kind
    return notebook


def test_an_early_answer_is_caught():
    assert early_answers(SMALL, SMALL_DECK) == []
    with_answer = retagged(SMALL, "-", 5)
    assert "more than its question" in early_answers(with_answer, slides.render(with_answer))[0]
    after_all = retagged(SMALL, "skip", *range(5, 12))
    assert "nothing follows" in early_answers(after_all, slides.render(after_all))[0]
    unasked = retagged(SMALL, "skip", 3)
    assert early_answers(unasked, slides.render(unasked)) == ["0 of 1 predictions have a slide"]


def unfolded(notebook, html):
    """Folded parts that are missing or open, and answers that stand anywhere else."""
    page = soup(html)
    folded = page.find_all("details")
    stored_parts = [output.get("data", {}).get("text/html", "") for output in outputs(notebook)]
    stored_parts += [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    wanted = sum(part.count("<details") - part.count(WORDS) for part in stored_parts)
    found = [] if len(folded) == wanted else [f"{len(folded)} of {wanted} folded parts"]
    found += ["an open answer" for part in folded if part.has_attr("open") or not part.summary]
    answers = [
        part.get_text().removeprefix(part.summary.get_text()).strip()
        for part in folded
        if part.summary
    ]
    inside = {id(words) for part in folded for words in part.strings}
    rest = "".join(words for words in page.main.strings if id(words) not in inside)
    return found + [
        f"in the open: {answer[:40]}" for answer in answers if answer and answer in rest
    ]


@each_notebook
def test_answers_are_folded(name):
    assert unfolded(stored(name), deck(name)) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("<details", "<details open", "an open answer"),
        ("<details><summary>Show", "<p><summary>Show", "1 of 2"),
        ("</main>", "<pre>right('Six.')</pre></main>", "in the open: Six."),
    ],
)
def test_an_open_answer_is_caught(old, new, fault):
    assert unfolded(SMALL, SMALL_DECK) == []
    assert fault in "\n".join(unfolded(SMALL, SMALL_DECK.replace(old, new)))


# Tags


def tag_faults(tag, notebook):
    """A tag for every cell, the first cell a slide, and the same tags again the next time.

    Whether the notebook has stored ones or none.
    """
    once = nbformat.from_dict(notebook)
    tag(once)
    twice = nbformat.from_dict(once)
    tag(twice)
    nbformat.validate(twice)
    kinds = slides.own_types(once)
    found = (
        []
        if kinds[0] == "slide" and set(kinds) <= {"slide", "subslide", "-", "skip"}
        else [f"tags {kinds}"]
    )
    found += [] if once == twice else ["other tags the second time"]
    stored_kinds = slides.own_types(notebook)
    return found + (
        [] if stored_kinds == kinds or not any(stored_kinds) else ["stored tags are others"]
    )


@each_notebook
def test_tags_are_the_same_again(name):
    assert tag_faults(slides.tag, stored(name)) == []


def test_the_rule():
    assert slides.own_types(retagged(SMALL, None)) == [
        *("slide", "skip", "skip", "slide", "-", "subslide"),
        *("subslide", "skip", "subslide", "slide", "-", "skip"),
    ]


def test_strange_tags_are_caught():
    def alternating(notebook):
        was_slide = slides.own_types(notebook)[0] == "slide"
        slides.tag(notebook)
        notebook.cells[0].metadata.slideshow.slide_type = "subslide" if was_slide else "slide"

    def too_few(notebook):
        slides.tag(notebook)
        del notebook.cells[-1].metadata["slideshow"]

    assert tag_faults(slides.tag, SMALL) == []
    assert "other tags the second time" in tag_faults(alternating, SMALL)
    assert "tags [" in tag_faults(too_few, SMALL)[0]
    assert "stored tags are others" in tag_faults(slides.tag, retagged(SMALL, "notes", 6))


def test_a_long_text_goes_on_to_the_next_slide():
    long = new_notebook(
        cells=[
            new_markdown_cell("# 01 Long?"),
            *(new_markdown_cell("word " * 150) for _ in range(3)),
        ]
    )
    assert slides.own_types(retagged(long, None)) == ["slide", "-", "subslide", "subslide"]


def test_tags_of_a_teacher_win():
    shown = retagged(SMALL, "slide", 1)
    assert "effect = 3.0" in soup(slides.render(shown)).get_text()
    shown = retagged(SMALL, "notes", 0)
    assert "It costs" not in soup(slides.render(shown)).select_one(".slides").get_text()


# The command


def test_one_file_for_each_name(tmp_path, capsys):
    other = tmp_path / "cluster-3" / "01_small.ipynb"
    other.parent.mkdir()
    nbformat.write(SMALL, other)
    assert slides.main(["02", "03_t_test", str(other)], tmp_path / "slides") == 0
    written = sorted(path.name for path in (tmp_path / "slides").glob("*.html"))
    assert written == ["02_simulated_assignment.html", "03_t_test.html", "cluster-3-01_small.html"]
    assert (tmp_path / "slides/03_t_test.html").read_text("utf-8") == deck("03_t_test")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cluster-3", "slides"]
    assert all(name in capsys.readouterr().out for name in written[:1])


def test_without_a_name_it_is_all(tmp_path, monkeypatch):
    monkeypatch.setattr(slides, "render", lambda notebook: "a deck")
    assert slides.main([], tmp_path / "slides") == 0
    assert sorted(path.stem for path in (tmp_path / "slides").glob("*.html")) == NAMES


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "mine.ipynb: there is no such notebook. Give a number from 01 to"),
        ("{", "mine.ipynb is no notebook (NotJSONError"),
        ("[]", "mine.ipynb is no notebook"),
        (
            '{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
            "mine.ipynb is no notebook",
        ),
        (
            nbformat.writes(SMALL).replace('"source"', '"sauce"', 1),
            "mine.ipynb is no notebook (<NotebookValidationError",
        ),
        (
            nbformat.writes(small(cell_5={"execution_count": None, "outputs": []})),
            "code cell 4 was not run",
        ),
        (nbformat.writes(new_notebook()), "mine.ipynb: it cannot be shown as slides (ValueError"),
        (
            nbformat.writes(small(cell_5={"metadata": {"slideshow": 5}})),
            "cannot be shown as slides (TypeError",
        ),
        (nbformat.writes(SMALL).replace(PIXEL, "AAAA"), "mine.ipynb: a stored picture is no PNG"),
        (
            nbformat.writes(SMALL).replace(PIXEL, PIXEL[:20] + "A" * 40),
            "cannot be shown as slides (ZeroDivisionError",
        ),
    ],
)
def test_bad_input_writes_nothing(tmp_path, capsys, content, said):
    good, path = tmp_path / "good.ipynb", tmp_path / "mine.ipynb"
    nbformat.write(SMALL, good)
    if content:
        path.write_text(content, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    assert slides.main([str(good), str(path)], tmp_path / "slides") == 2
    message = capsys.readouterr().err
    assert message.startswith("tools.slides: ") and message.endswith(".\n")
    assert said in message and len(message.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_leads_nowhere(tmp_path, capsys):
    (tmp_path / "loop.ipynb").symlink_to("loop.ipynb")
    (tmp_path / "zero.ipynb").symlink_to("/dev/zero")
    (tmp_path / "folder.ipynb").mkdir()
    for name in ("loop.ipynb", "zero.ipynb", "folder.ipynb", f"{'a' * 300}.ipynb"):
        assert slides.main([str(tmp_path / name)], tmp_path / "slides") == 2
        said = f"{name[-20:]}: there is no such notebook. Give a num"
        assert said in capsys.readouterr().err
    assert not (tmp_path / "slides").exists()


@pytest.fixture
def quick(monkeypatch):
    """What is written does not matter here."""
    monkeypatch.setattr(slides, "render", lambda notebook: "new")


def test_stopped(tmp_path, monkeypatch, capsys):
    def stop(notebook):
        raise KeyboardInterrupt

    monkeypatch.setattr(slides, "render", stop)
    assert slides.main(["02"], tmp_path / "slides") == 130
    assert capsys.readouterr().err == "tools.slides: stopped; nothing was written.\n" and not any(
        tmp_path.iterdir()
    )


def test_a_folder_that_cannot_be_made(quick, tmp_path, capsys):
    (tmp_path / "slides").write_text("a file", encoding="utf-8")
    assert slides.main(["02"], tmp_path / "slides") == 2
    said = f"tools.slides: {tmp_path / 'slides'} is a file. Move it away.\n"
    for place in ("slides", "slides/deep"):
        assert slides.main(["02"], tmp_path / place) == 2
        assert capsys.readouterr().err.endswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["slides"]


def test_a_deck_that_somebody_changed_is_not_replaced(quick, tmp_path, capsys):
    """One that this command wrote is."""
    out = tmp_path / "slides"
    for _ in range(2):
        assert slides.main(["02", "03"], out) == 0
    deck = out / "03_t_test.html"
    deck.write_text("mine", encoding="utf-8")
    capsys.readouterr()
    assert slides.main(["02", "03"], out) == 2
    assert f"{deck} is not as this command left it. Move it away" in capsys.readouterr().err
    assert deck.read_text(encoding="utf-8") == "mine"


def test_a_deck_that_cannot_be_replaced_leaves_the_others(quick, tmp_path, capsys):
    out = tmp_path / "slides"
    (out / "03_t_test.html").mkdir(parents=True)
    for name in NAMES:
        if name != "03_t_test":
            (out / f"{name}.html").write_text("old", encoding="utf-8")
    assert slides.main([], out) == 2
    place = out / "03_t_test.html"
    said = f"Cannot write to {place} (a folder has that name). Move it away."
    assert capsys.readouterr().err == f"tools.slides: {said}\n"
    assert {path.read_text("utf-8") for path in out.iterdir() if path.is_file()} == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["slides"]


def test_two_notebooks_with_one_name_are_refused(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))  # of which ~ is short
    for folder in ("autumn/group", "spring/group"):
        (tmp_path / folder).mkdir(parents=True)
        nbformat.write(SMALL, tmp_path / folder / "01_small.ipynb")
    one, other = (
        str(tmp_path / folder / "group/01_small.ipynb") for folder in ("autumn", "spring")
    )
    assert slides.main([one, other], tmp_path / "slides") == 2
    both = f"{one} and {other} would both be group-01_small.html."
    said = f"tools.slides: {both} Rename the folder of one.\n"
    assert capsys.readouterr().err == said and not (tmp_path / "slides").exists()
    again = [
        "3",
        "03_t_test",
        str(notebooks.ROOT / "notebooks/03_t_test.ipynb"),
        one,
        "~/autumn/group/01_small.ipynb",
    ]
    assert slides.main(again, tmp_path / "slides") == 0
    written = sorted(path.name for path in (tmp_path / "slides").glob("*.html"))
    assert written == ["03_t_test.html", "group-01_small.html"]


# In a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
WALK = """<script>
function walk(report) {
  const heading = document.querySelector("section.present h1");
  const box = heading?.getBoundingClientRect();
  const at = box && document.elementFromPoint(box.left + 5, box.top + box.height / 2);
  Object.assign(report, { seen: at && at === heading, slides: Reveal.getTotalSlides() });
  Object.assign(report, { foot: document.querySelector(".where").textContent, high: [], wide: [] });
  for (let number = 1; number <= report.slides; number++, Reveal.next()) {
    const slide = Reveal.getCurrentSlide();
    if (slide.scrollHeight > slide.clientHeight + 1) report.high.push(number);
    const right = [...slide.querySelectorAll("*")].map(part => part.getBoundingClientRect().right);
    if (Math.max(...right) > innerWidth) report.wide.push(number);
  }
  report.last = Reveal.isLastSlide();
}
addEventListener("load", () => setTimeout(() => {
  const report = { ready: window.Reveal?.isReady() };
  report.asked = performance.getEntriesByType("resource").map(entry => entry.name);
  if (report.ready) walk(report);
  const links = [...document.querySelectorAll("main a, main area")];
  const bad = links.filter(link => /^(javascript|vbscript|data):/i.test(link.href));
  report.links = bad.length;
  bad.filter(link => link.protocol === "javascript:").forEach(link => link.click());
  setTimeout(() => {
    report.title = document.title;
    parent.postMessage({ name: NAME, report }, "*");
    [...document.forms].forEach(form => form.submit());
  }, 300);
}, 300));
</script>"""
# all decks at once, since it is the start of a browser that takes time
FRAMES = """<!DOCTYPE html><meta charset="utf-8"><script>
const reports = {};
addEventListener("message", event => {
  if (event.data.name) reports[event.data.name] = event.data.report;
  document.documentElement.dataset.reports = JSON.stringify(reports);
});
</script>
<style>iframe { position: fixed; inset: 0; border: 0; width: 1280px; height: 720px }</style>"""

ASKED = defaultdict(set)  # what the server was asked for, by host


class Server(BaseHTTPRequestHandler):
    """It stands for all hosts of the world."""

    def do_GET(self):
        ASKED[self.headers["Host"]].add(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def browse(decks, folder):
    """What a browser sees of each deck at 1280 by 720, slide by slide."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    frames = FRAMES
    for name, html in decks.items():
        walk = WALK.replace("NAME", json.dumps(name))
        admitted = html.replace("script-src", f"script-src {slides.fingerprint(walk)}", 1)
        page = admitted.replace("</head>", f"{walk}</head>", 1)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
        frames += f'<iframe src="{name}.html"></iframe>'
    (folder / "frames.html").write_text(frames, encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--window-size=1280,720",
    ]
    hosts = f"--host-resolver-rules=MAP * 127.0.0.1:{server.server_port}"
    command += [f"--user-data-dir={folder / 'profile'}", hosts, "--virtual-time-budget=3000"]
    command += ["--dump-dom", (folder / "frames.html").as_uri()]
    page = subprocess.run(
        command, capture_output=True, encoding="utf-8", timeout=100, check=True
    ).stdout
    server.shutdown()
    return json.loads(soup(page).html["data-reports"])


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium (on Debian: apt-get install chromium)")
    planted = '<img src="http://small.test/a.png" alt=""><p class="huge">x</p><h3>'
    planted = POLICY.sub("", SMALL_DECK).replace("<h3>", planted)
    huge = "p.huge { width: 2000px; height: 2000px }</style>"
    decks = {
        "03_t_test": deck("03_t_test"),
        "06_segments": deck("06_segments"),
        "small": planted.replace("</style>", huge, 1),
        "hidden": planted.replace("</style>", "main { display: none }</style>", 1),
        "both": attacked("both.test"),
        "cleaned": POLICY.sub("", attacked("cleaned.test")),
        "policy": attacked("policy.test", cleaned=False),
        "neither": POLICY.sub("", attacked("neither.test", cleaned=False)),
    }
    return browse(decks, tmp_path_factory.mktemp("decks"))


@pytest.mark.parametrize("name", ["03_t_test", "06_segments"])
def test_a_deck_in_a_browser(reports, name):
    report = reports[name]
    title = soup(deck(name)).title.get_text()
    assert report["ready"] and report["seen"] and report["last"]
    assert report["title"] == report["foot"] == title
    assert report["slides"] == len(soup(deck(name)).select("section > section"))
    assert report["asked"] == report["wide"] == []
    assert (
        len(report["high"]) <= 0.05 * report["slides"]
    )  # they scroll; how many depends on the machine's fonts


def test_the_browser_sees_faults(reports):
    assert reports["small"]["seen"] and reports["small"]["asked"] == ["http://small.test/a.png"]
    assert reports["small"]["high"] == reports["small"]["wide"] == [4]
    assert not reports["hidden"]["seen"]


@pytest.mark.parametrize("name", ["both", "cleaned"])
def test_a_hostile_deck_in_a_browser(reports, name):
    report = reports[name]
    assert report["ready"] and report["last"] and report["links"] == 0 and report["asked"] == []
    assert report["title"].startswith("</title>") and not ASKED[f"{name}.test"]


def test_the_policy_alone_lets_nothing_run(reports):
    """Nor does it ask for anything, but it cannot keep a page from leading elsewhere."""
    report = reports["policy"]
    assert report["title"].startswith("</title>") and report["links"] > 9
    assert ASKED["policy.test"] <= {"/refresh"}


def test_the_browser_sees_attacks(reports):
    asked = ASKED["neither.test"]
    assert len(asked) > 20 and {"/ran", "/a.png", "/lazy.png", "/refresh", "/frame"} <= asked


def test_help_is_not_a_notebook(capsys):
    with pytest.raises(SystemExit) as stopped:
        slides.main(["--help"])
    assert stopped.value.code == 0
    assert "python -m tools.slides" in capsys.readouterr().out
