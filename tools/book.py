"""Build the web book, the course as pages that need no internet: python -m tools.book

  python -m tools.book [--without-solutions] [--issues ADDRESS]

It lands in book/_build, a folder to open from any disk (index.html) or to put on any web server as
it is. Nothing is executed: the pages show the outputs that the notebooks hold. Every warning of
Sphinx and every link inside the book that leads nowhere is an error; links to elsewhere are listed
in book/_build/external_links.txt, to look at.

--issues: where readers report an error, a page of the web; the page on errors leads there.
"""

import html
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import yaml

from helpers import InputError
from tools import command, files, notebooks, pages

ROOT = notebooks.ROOT
OUT = ROOT / "book/_build"
# Markdown pages; the start page stands at the top of the book, all others where they are here.
PAGES = "README.md CHANGELOG.md data/README.md notebooks/instructor.md book/*.md"
PICTURES = "tools/*.png book/pictures/*.png"
START = "book/index.md"
# What a class should not see, as in class sets: places, and the part of the contents.
FOR_TEACHERS = ("notebooks/solutions/", "notebooks/instructor.md")
PARTS_FOR_TEACHERS = re.compile(r"```\{toctree\}\n:caption: For teachers\n.*?```\n", re.DOTALL)
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")
LEADS = re.compile(r'<(?:a|link|script|img|source)\b[^>]*?\b(?:href|src)="([^"]*)"')
IDS = re.compile(r'\bid="([^"]+)"')
# What stands in a page for words that are computed.
CITED = "<!-- how to cite -->"
TOLD = "<!-- whom to tell -->"
NEEDED = "The book needs Sphinx, MyST-NB and a theme: call make book, which adds them"


# The pages


def places(solutions: bool) -> dict[str, Path]:
    """Where each page and picture stands in the book, and the file that it comes from."""
    found = [path for part in (PAGES + " " + PICTURES).split() for path in sorted(ROOT.glob(part))]
    found += [*notebooks.find(), *notebooks.find_solutions()]
    by_place = {path.relative_to(ROOT).as_posix(): path for path in found}
    if not solutions:
        hidden = [place for place in by_place if place.startswith(FOR_TEACHERS)]
        for place in hidden:
            del by_place[place]
    return {moved(place): path for place, path in by_place.items()}


def moved(place: str) -> str:
    """Where in the book a file of the course stands."""
    return "index.md" if place == START else place


def relinked(text: str, place: str, there: Iterable[str]) -> str:
    """Markdown of a file of the course with links as they are in the book.

    What a link leads to that the book does not have is named, and no link.
    """

    def link(found: re.Match[str]) -> str:
        label, target = found.groups()
        path, _, part = target.partition("#")
        if not path or urlsplit(target).scheme:
            return found[0]
        aim = moved(posixpath.normpath(posixpath.join(posixpath.dirname(place), path)))
        if aim not in there:
            return label
        aim = posixpath.relpath(aim, posixpath.dirname(moved(place)) or ".")
        return f"[{label}]({aim}{'#' + part if part else ''})"

    return LINK.sub(link, text)


def citation() -> str:
    """How to cite the course, from CITATION.cff: a sentence, and BibTeX."""
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (who,) = (author["name"] for author in cff["authors"])
    title, version = cff["title"], cff["version"]
    sentence = f"{who}. *{title}*. Version {version}."
    bibtex = "\n".join(
        [
            "@misc{segment_aware_ab_testing,",
            f"  author = {{{{{who}}}}},",
            f"  title = {{{{{title}}}}},",
            f"  note = {{Version {version}}}",
            "}",
        ]
    )
    return f"> {sentence}\n\n```\n{bibtex}\n```"


def where(issues: str) -> str:
    """Whom readers tell of an error, as Markdown. Raises InputError for what is no web address."""
    if not issues:
        return "Tell those from whom you have the course or this book."
    if not re.fullmatch(r"https?://[\w.-]+(:\d+)?(/[^\s<>()\[\]\"]*)?", issues):
        raise InputError(
            f"is {issues!r}; give an address such as https://example.org/issues", "issues"
        )
    return f"Tell us at <{issues}>."


def lay_out(folder: Path, solutions: bool, issues: str = "") -> None:
    """Put the pages of the book, ready for Sphinx, into a folder. Raises InputError as `where`."""
    filled = {CITED: citation(), TOLD: where(issues)}
    by_place = places(solutions)
    for place, path in by_place.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        source = path.relative_to(ROOT).as_posix()
        if path.suffix == ".png":
            shutil.copyfile(path, target)
        elif path.suffix == ".md":
            text = relinked(path.read_text(encoding="utf-8"), source, by_place)
            if place == "index.md" and not solutions:
                text = PARTS_FOR_TEACHERS.sub("", text)
            for mark, words in filled.items():
                text = text.replace(mark, words)
            target.write_text(text, encoding="utf-8")
        else:
            page = pages.page(notebooks.read(path), path.name)
            for cell in page.cells:
                if cell.cell_type == "markdown":
                    cell.source = relinked(cell.source, source, by_place)
            nbformat.write(page, target)


# The book


def build(source: Path, out: Path) -> None:
    """Let Sphinx make the book of laid out pages. Raises InputError with each of its warnings."""
    if not (find_spec("sphinx_book_theme") and find_spec("myst_nb")):
        raise InputError(f"{NEEDED}.")
    call = [sys.executable, "-m", "sphinx", "-c", str(ROOT / "book"), "-b", "html", "-q", "-j", "2"]
    done = subprocess.run(
        [*call, "-W", "--keep-going", "-d", f"{out}.doctrees", str(source), str(out)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = done.stderr.replace(f"{source}/", "").splitlines()
        print(*dict.fromkeys(said), sep="\n", file=sys.stderr)
        raise InputError("Sphinx is not content with the pages, see above; nothing was written.")


def links(out: Path) -> tuple[list[str], list[str]]:
    """Links of the pages in a folder that lead nowhere in it, and addresses of elsewhere.

    Both are sorted; a link that leads nowhere is told with its page.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}
    ids = {path: set(map(html.unescape, IDS.findall(text))) for path, text in texts.items()}
    dead, elsewhere = set(), set()
    for path, text in texts.items():
        for target in map(html.unescape, LEADS.findall(text)):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                elsewhere.add(target)
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = ids.get(aim, {parts.fragment})
            inside = aim.is_relative_to(out.resolve()) and aim.is_file()
            if not inside or (parts.fragment and unquote(parts.fragment) not in known):
                dead.add(f"{path.relative_to(out).as_posix()}: {target}")
    return sorted(dead), sorted(address for address in elsewhere if address[:5] != "data:")


def make(out: Path, solutions: bool = True, issues: str = "") -> int:
    """Build the book into a folder, which it replaces, and say so. Raises InputError as above."""
    with files.workshop(out.parent) as workshop:
        lay_out(workshop / "pages", solutions, issues)
        made = workshop / "book"
        build(workshop / "pages", made)
        dead, elsewhere = links(made)
        if dead:
            print(*dead, sep="\n", file=sys.stderr)
            raise InputError("These links lead nowhere; nothing was written.")
        (made / "external_links.txt").write_text("\n".join([*elsewhere, ""]), encoding="utf-8")
        command.undisturbed()
        if out.exists():
            out.rename(workshop / "old")
        made.rename(out)
    count = len(list(out.rglob("*.html")))
    print(f"{count} pages: open {out / 'index.html'}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    parser = command.Parser("python -m tools.book", __doc__)
    parser.add_argument("--without-solutions", action="store_true", help="for a class")
    parser.add_argument("--issues", default="", help="where readers report an error")

    def work() -> int:
        given = parser.parse_args(arguments)
        return make(OUT, not given.without_solutions, given.issues)

    return command.run("tools.book", work, ("issues",))


if __name__ == "__main__":
    sys.exit(main())
