"""The web book as people read it, in Chromium: make book-test.

Every page of book/_build is opened once: axe finds nothing (WCAG 2.2 AA and its best practice),
nothing leaves the folder, it weighs little, it is no wider than a phone. Beside each check stands
a fault. Without Chromium it is skipped, with a word; with BOOK_MUST_BE_READ it fails.
"""

import base64
import os
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from playwright.sync_api import sync_playwright

from helpers import InputError
from tools import book, notebooks, slides

OUT = book.OUT
PAGES = [path.relative_to(OUT).as_posix() for path in sorted(OUT.rglob("*.html"))]
SOME = [
    "index.html",
    "notebooks/03_t_test.html",
    "notebooks/05_power.html",
    "book/glossary.html",
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MOST = 1_500_000  # bytes of a page with all that it asks for
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
MEANING = "Show what it means"  # of prose after a result
# WCAG 2.2, success criterion 1.4.12: what a reader may set.
SPACED = """* { letter-spacing: .12em !important; line-height: 1.5 !important;
  word-spacing: .16em !important } p { margin-bottom: 2em !important }"""
each_page = pytest.mark.parametrize("name", PAGES)
each_notebook = pytest.mark.parametrize("path", notebooks.find(), ids=lambda path: path.stem)


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        if os.environ.get("BOOK_MUST_BE_READ"):
            pytest.fail("needs chromium")
        pytest.skip("needs chromium (on Debian: apt-get install chromium)")
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_said):
        pass


@pytest.fixture(scope="session")
def site():
    """The address of the book on a web server of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(OUT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Reader:
    """Somebody with a browser, who notes what pages ask for. The network is blocked."""

    def __init__(self, browser, base, viewport, scheme="light"):
        self.base, self.outside, self.missing, self.bytes = base, [], [], 0
        self.context = browser.new_context(viewport=viewport, color_scheme=scheme)
        self.context.route("**/*", self.asked)
        self.page = self.context.new_page()
        self.page.on("response", self.came)
        self.page.on("requestfailed", lambda request: self.missing.append(request.url))

    def asked(self, route):
        url = route.request.url
        if url.startswith((self.base, "data:")):
            return route.continue_()
        self.outside.append(url)
        return route.abort()

    def came(self, response):
        if response.status >= 400:
            self.missing.append(response.url)
        elif response.url.startswith("http"):
            self.bytes += int(response.headers.get("content-length", 0))

    def open(self, name):
        self.page.goto(self.base + name, wait_until="load")
        self.page.wait_for_load_state("networkidle")
        return self.page

    def violations(self):
        """What axe finds, a line each."""
        options = {"runOnly": RULES, "resultTypes": ["violations"], "preload": False}
        found = Axe().run(self.page, options=options).response["violations"]
        return [f"{hit['id']}: {node['html'][:120]}" for hit in found for node in hit["nodes"]]

    def too_wide(self):
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - innerWidth")


@pytest.fixture
def reader(browser, site, request):
    """A reader at a desk; or what the test asks for: a window, a scheme."""
    viewport, scheme = getattr(request, "param", (DESK, "light"))
    reader = Reader(browser, site, viewport, scheme)
    yield reader
    reader.context.close()


at_a_phone = pytest.mark.parametrize("reader", [(PHONE, "dark")], ids=["phone"], indirect=True)


def open_folds(page):
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")


@each_page
@pytest.mark.parametrize("reader", [(PHONE, "light")], ids=["phone light"], indirect=True)
def test_every_page(reader, name):
    page = reader.open(name)
    assert (reader.outside, reader.missing) == ([], [])
    assert 20_000 < reader.bytes < MOST
    assert page.locator("html").get_attribute("lang") == "en"
    (heading,) = page.locator("h1:visible").all_text_contents()
    assert page.title().startswith(heading.removesuffix("#"))
    open_folds(page)
    assert reader.too_wide() <= 0
    # the colours of code are the same everywhere, and axe is slow with them: see the next test
    page.evaluate("document.querySelectorAll('pre').forEach(pre => pre.textContent += '')")
    assert reader.violations() == []
    page.set_viewport_size({"width": 320, "height": 800})  # 1280 at four times its size
    page.add_style_tag(content=SPACED)
    assert reader.too_wide() <= 0
    ways = page.locator(".prev-next-area *").evaluate_all(
        "all => all.map(way => way.getBoundingClientRect().right)"
    )
    assert max(ways, default=0) <= 320


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(
    "reader",
    [(DESK, "light"), (DESK, "dark"), (PHONE, "dark")],  # a phone in the light: see above
    ids=["desk light", "desk dark", "phone dark"],
    indirect=True,
)
def test_in_light_and_dark(reader, name):
    page = reader.open(name)
    open_folds(page)
    assert reader.violations() == []
    assert reader.too_wide() <= 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ('<img src="_static/icon.svg">', "image-alt"),
        ("<h5>Too deep</h5>", "heading-order"),
        ('<p style="color: #ccc; background: #fff">Faint</p>', "color-contrast"),
        ("<button></button>", "button-name"),
    ],
)
def test_a_fault_on_a_page_is_found(reader, fault, told):
    page = reader.open("book/errata.html")
    page.evaluate("html => document.querySelector('article').innerHTML += html", fault)
    assert told in " ".join(reader.violations())


@at_a_phone
def test_a_wide_page_and_a_request_from_outside_are_found(reader):
    page = reader.open("book/errata.html")
    fault = '<div style="width: 900px">x</div><img alt="x" src="https://example.org/x.png">'
    page.evaluate("html => document.querySelector('article').innerHTML += html", fault)
    page.wait_for_load_state("networkidle")
    assert reader.too_wide() > 0 and reader.outside == ["https://example.org/x.png"]
    with page.expect_response("**/none.png"):
        page.evaluate("document.querySelector('article').innerHTML += '<img alt=x src=none.png>'")
    assert reader.missing[-1].endswith("none.png")


# The words of pictures


def alts_of(notebook):
    """The alternative texts of a notebook's figures, in order."""
    return [
        output.metadata["image/png"]["alt"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def soup_of(name):
    return BeautifulSoup((OUT / name).read_text(encoding="utf-8"), "html.parser")


@each_notebook
def test_every_picture_has_the_words_of_its_notebook(path):
    page = soup_of(f"notebooks/{path.stem}.html")
    found = [picture.get("alt") for picture in page.find("article").find_all("img")]
    assert found == alts_of(notebooks.read(path)) and len(found) > 1


@each_page
def test_no_picture_is_without_words(name):
    """Nor has one its file's name."""
    for picture in soup_of(name).find_all("img"):
        words = picture.get("alt", "")
        assert len(words) > 30 and not words.startswith(("_images", "../")), picture


# Folds


@each_notebook
def test_code_and_results_are_folded(path):
    """Every knob and import is open; each fold says what it holds."""
    page, notebook = soup_of(f"notebooks/{path.stem}.html"), notebooks.read(path)
    folds = page.find_all("details", class_="fold")
    assert {fold.summary.get_text() for fold in folds} - {MEANING} == {
        "Show code",
        "Show the result",
    }
    assert not any(fold.has_attr("open") for fold in folds)
    folded = " ".join(fold.get_text() for fold in folds)
    for cell in notebook.cells:
        if cell.cell_type == "code" and slides.is_setup(cell) and not slides.author_hid(cell):
            assert cell.source.strip().splitlines()[0] not in folded


@pytest.mark.parametrize("scheme", ["screen", "print"])
def test_on_paper_all_is_open_but_code(reader, scheme):
    page = reader.open("notebooks/03_t_test.html")
    page.emulate_media(media=scheme)
    result = page.locator("details.result .cell_output").first
    assert result.is_visible() == (scheme == "print")
    assert page.locator("details.code > summary").first.is_visible() == (scheme == "screen")
    assert not page.locator("details.code .cell_input").first.is_visible()
    assert page.locator("nav.bd-links").first.is_visible() == (scheme == "screen")
    assert page.locator(".on-screen").first.is_visible() == (scheme == "screen")


@pytest.mark.parametrize("reader", [(DESK, "dark")], ids=["dark"], indirect=True)
def test_paper_is_white(reader):
    page = reader.open("notebooks/03_t_test.html")
    theme = "document.documentElement.dataset.theme"
    page.evaluate(f"addEventListener('beforeprint', () => (window.noted = {theme}))")
    page.pdf()
    assert page.evaluate("window.noted") == "light"
    assert page.evaluate(theme) == "dark"


def test_a_fold_opens_with_the_keyboard(reader):
    page = reader.open("notebooks/03_t_test.html")
    page.locator("details.result > summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.result .cell_output").first.is_visible()


def test_results_of_one_question_open_together(reader):
    page = reader.open("notebooks/03_t_test.html")
    last = page.locator("details.result").last
    same = page.locator(f"details[data-question='{last.get_attribute('data-question')}']")
    assert same.count() >= 2 and page.locator("details.result").count() > 3
    for now_open in (same.count(), 0):
        last.locator("summary").first.click()
        page.wait_for_timeout(100)
        assert page.locator("details.result[open]").count() == now_open


# Search, keyboard, phones, disks


@pytest.mark.parametrize("from_disk", [False, True], ids=["server", "disk"])
def test_search_finds_fieller(browser, site, from_disk):
    reader = Reader(browser, OUT.as_uri() + "/" if from_disk else site, DESK)
    page = reader.open("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Fieller")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    found = " ".join(page.locator("#search-results li a").all_text_contents())
    reader.context.close()
    assert "03 Is the difference" in found and "Glossary" in found
    assert reader.outside == []


@pytest.mark.parametrize("word", ["p-value", "knob", "standard error"])
def test_search_puts_the_glossary_before_solutions(reader, word):
    page = reader.open(f"search.html?q={word}")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").all_text_contents()
    assert "Glossary" in found[:3]
    first_solution = next((i for i, name in enumerate(found) if "Solutions" in name), len(found))
    lessons = [i for i, name in enumerate(found) if re.match(r"\d\d (?!Solutions)", name)]
    assert first_solution > max(lessons)
    assert page.locator("#search-results").get_attribute("aria-live") == "polite"


FOCUS = """() => {
  const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
  const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
    && box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight;
  return [at.className + ' ' + (at.textContent || '').trim(), seen];
}"""


def stops(page, most=400):
    """What the Tab key reaches, each with whether one sees where one is; until it comes round."""
    found = []
    for _ in range(most):
        page.keyboard.press("Tab")
        found.append(tuple(page.evaluate(FOCUS)))
        if "next-page" in found[-1][0] or "right-next" in found[-1][0]:
            break
    return found


def test_the_keyboard_alone_reaches_everything(reader):
    """Search, the contents, the next page; and one sees at every stop where one is."""
    page = reader.open("notebooks/03_t_test.html")
    page.add_style_tag(content="* {transition: none !important}")  # the link to skip slides in
    found = stops(page)
    names = [name for name, _ in found]
    assert any("search-button" in name for name in names)
    assert any("04 How sure are we?" in name for name in names[:40])
    assert "right-next" in names[-1]
    assert [name for name, seen in found if not seen] == []
    page.keyboard.press("Enter")
    page.wait_for_url("**/04_bootstrap.html")


def test_a_hidden_focus_is_found(reader):
    page = reader.open("book/errata.html")
    page.add_style_tag(content=":is(#x, *):focus-visible {outline: none !important}")
    assert not any(seen for _, seen in stops(page, most=10))


@at_a_phone
def test_the_contents_open_and_close_on_a_phone(reader):
    page = reader.open("notebooks/03_t_test.html")
    entry = page.locator("dialog a", has_text="04 How sure are we?")
    assert not entry.is_visible()
    for way in ("Escape", "beside"):
        page.locator("button.primary-toggle").click()
        entry.wait_for(state="visible")
        if way == "Escape":
            page.keyboard.press("Escape")
        else:
            page.mouse.click(380, 800)
        entry.wait_for(state="hidden")
        page.wait_for_timeout(100)
        assert "primary-toggle" in page.evaluate("document.activeElement.className")
    page.locator("button.primary-toggle").click()
    entry.click()
    page.wait_for_url("**/04_bootstrap.html")
    assert not entry.is_visible()


@at_a_phone
def test_the_contents_of_a_page_close_on_the_way(reader):
    page = reader.open("notebooks/03_t_test.html")
    page.locator("button.secondary-toggle").click()
    entry = page.locator("dialog a", has_text="What an interval promises")
    entry.click()
    entry.wait_for(state="hidden")
    heading = page.locator("h2", has_text="What an interval promises")
    assert 0 < heading.bounding_box()["y"] < 300


def test_the_focus_returns_to_where_it_was(reader):
    """Also where another button was pressed before."""
    page = reader.open("notebooks/03_t_test.html")
    page.locator("button.theme-switch-button").first.press("Enter")
    page.keyboard.press("Escape")
    fold = page.locator("details.result > summary").last
    fold.focus()
    for pressed in ("Control+k", "Escape"):
        page.keyboard.press(pressed)
    page.wait_for_timeout(100)
    assert fold.evaluate("fold => fold === document.activeElement")


def test_light_and_dark_can_be_chosen(reader):
    page = reader.open("index.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.locator("button.theme-switch-button").first.press("Enter")
    assert "theme-switch" in page.evaluate("document.activeElement.className")
    page.get_by_text("Dark", exact=True).first.press("Enter")
    assert "theme-switch" in page.evaluate("document.activeElement.className")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    reader.open("book/glossary.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


@each_page
def test_every_page_leads_to_errors_and_home(name):
    links = {
        link.get_text().strip(): link["href"] for link in soup_of(name).find_all("a", href=True)
    }
    assert links["Report an error"].rpartition("/")[2] in ("errata.html", "#")
    (first, *_) = soup_of(name).find("nav", class_="bd-links").find_all("a")
    assert first["href"].rpartition("/")[2] in ("index.html", "#")


def test_without_scripts_nothing_is_dead(browser, site):
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}notebooks/03_t_test.html")
    for button in page.locator("button").all():
        assert not button.is_visible(), button.get_attribute("class")
    assert page.locator("article img").first.is_visible()
    page.locator("details.result > summary").first.click()
    assert page.locator("details.result .cell_output").first.is_visible()
    context.close()


@each_page
def test_no_page_asks_for_more_than_its_folder_has(name):
    """From a disk: what it loads are files of this folder."""
    for element in soup_of(name).find_all(["script", "link", "img"]):
        address = element.get("src") or element.get("href") or ""
        assert not re.match(r"\w+:|//", address) or address.startswith("data:"), element


def test_a_page_opens_from_a_disk(browser):
    reader = Reader(browser, OUT.as_uri() + "/", PHONE, "dark")
    page = reader.open("index.html")
    page.get_by_role("link", name="Who are our customers?").first.click()
    page.wait_for_load_state("networkidle")
    assert page.locator("article h1").is_visible()
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert (reader.outside, reader.missing) == ([], [])
    reader.context.close()


# What Sphinx is given


def a_book(folder, **pages):
    """Build a small book of Markdown pages; return its folder."""
    source, out = folder / "pages", folder / "book"
    source.mkdir()
    for name, text in pages.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    book.build(source, out)
    return out


def test_a_formula_needs_no_script(tmp_path):
    out = a_book(tmp_path, index="# Title\n\nHere $\\sqrt{n}$ and\n\n$$\\frac{a}{b}$$\n")
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count("<math") == 2 and "<msqrt>" in page and "<mfrac>" in page
    assert "mathjax@" not in page and "cdn" not in page


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("# Title\n\n[a](none.md)\n", "none.md"),
        ("# Title\n\n#### Too deep\n", "header level"),
        ("# Title\n\n```{image} none.png\n```\n", "none.png"),
        ("# Title\n\n$\\nonsense$\n", "formula"),
    ],
)
def test_a_warning_is_an_error(tmp_path, capfd, page, told):
    with pytest.raises(InputError, match="not content"):
        a_book(tmp_path, index=page)
    said = capfd.readouterr().err
    assert told in said and str(tmp_path) not in said and "Traceback" not in said
    assert "index.md" in said


def test_a_class_gets_a_book_without_solutions(tmp_path):
    """Nor does the search know what stands in them."""
    assert (OUT / "notebooks/solutions/03_t_test.html").exists()
    book.make(tmp_path / "book", solutions=False)
    names = [path.as_posix() for path in (tmp_path / "book").rglob("*")]
    assert len(names) > 50 and not any("solutions" in name for name in names)
    for path in (tmp_path / "book").rglob("*.*"):
        if path.suffix in (".html", ".js"):
            text = path.read_text(encoding="utf-8")
            assert "solutions/0" not in text and "notebooks/instructor" not in text, path
    size = sum(path.stat().st_size for path in (tmp_path / "book").rglob("*") if path.is_file())
    assert size < 10_000_000


def test_pictures_are_those_of_the_notebooks():
    """Byte for byte: nothing was executed."""
    kept = {path.read_bytes() for path in (OUT / "_images").iterdir()}
    for path in notebooks.find():
        for cell in notebooks.read(path).cells:
            for output in cell.get("outputs", []):
                if "image/png" in output.get("data", {}):
                    assert base64.b64decode(output.data["image/png"]) in kept
