"""Build the web book, the course as pages that need no internet: python -m tools.book

  python -m tools.book [--solutions 0] [--issues ADDRESS]

It lands in book/_build, a folder to open from any disk (index.html) or to put on any web server as
it is. Nothing is executed: the pages show the outputs that the notebooks hold. Every warning of
Sphinx and every link inside the book that leads nowhere is an error; links to elsewhere are listed
in book/_build/external_links.txt, to look at.

--solutions 0: for a class, without the solutions and the instructor's page.
--issues: where readers report an error, a page of the web; the page on errors leads there.
"""

import errno
import html
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

import nbformat
import yaml

from helpers import InputError, shown
from tools import command, files, notebooks, pages

ROOT = notebooks.ROOT
OUT = ROOT / "book/_build"
# Markdown pages; the start page stands at the top of the book, all others where they are here.
PAGES = "README.md CHANGELOG.md data/README.md notebooks/instructor.md book/*.md"
PICTURES = "tools/*.png book/pictures/*.png"
START = "book/index.md"
# What a class should not see, as in class sets: places, and the part of the contents.
FOR_TEACHERS = ("notebooks/solutions/", "notebooks/instructor.md")
PARTS_FOR_TEACHERS = re.compile(
    r"```\{toctree\}\n:caption: (?:For teachers|Solutions)\n.*?```\n", re.DOTALL
)
# A link of Markdown; before it, what holds none: code, formulas.
LINK = re.compile(r"```.*?```|`[^`]*`|\$[^$\n]*\$|(?<![!\\])\[([^\]]*)\]\(([^)\s]+)\)", re.DOTALL)
LEADS = re.compile(r"<(?:a|link|script|img|source)\b[^>]*?\b(?:href|src)=([\"'])(.*?)\1")
IDS = re.compile(r"\bid=([\"'])(.+?)\1")
ADDRESS = re.compile(r"https?://\w[\w-]*(\.\w[\w-]*)*(:\d{1,5})?([/?#][^\s<>()\[\]\"'`\\]*)?")
# What stands in a page for words that are computed.
CITED = "<!-- how to cite -->"
TOLD = "<!-- whom to tell -->"
TELLS = re.compile(r"WARNING|ERROR|CRITICAL|\w(?:Error|Exception): ")  # of what Sphinx says
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

    What a link leads to that the course has and the book has not is named, and no link. A link
    that leads nowhere stays, for Sphinx to find.
    """

    def link(found: re.Match[str]) -> str:
        label, target = found.groups()
        path, _, part = (target or "").partition("#")
        if not path or ":" in path or path.startswith("/"):
            return found[0]
        aim = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
        if moved(aim) not in there:
            return label if (ROOT / aim).exists() else found[0]
        aim = posixpath.relpath(moved(aim), posixpath.dirname(moved(place)) or ".")
        return f"[{label}]({aim}{'#' + part if part else ''})"

    return LINK.sub(link, text)


def text_of(path: Path) -> str:
    """The text of a file. Raises InputError, naming it, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as utf-8 ({error}). Get it anew.") from None


def citation() -> str:
    """How to cite the course, from CITATION.cff: a sentence, and BibTeX.

    Raises InputError where that is not to be read in it.
    """
    path = ROOT / "CITATION.cff"
    text = text_of(path)
    try:
        cff = yaml.safe_load(text)
        title, version = cff["title"], cff["version"]
        who = [str(author.get("name") or names_of(author)) for author in cff["authors"]]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        mend = "It needs a title, a version and authors, each with a name."
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{path} cannot be read ({why}). {mend}") from None
    bibtex = f"""@misc{{segment_aware_ab_testing,
  author = {{{" and ".join(f"{{{name}}}" for name in who)}}},
  title = {{{{{title}}}}},
  note = {{Version {version}}}
}}"""
    return f"> {', '.join(who)}. *{title}*. Version {version}.\n\n```\n{bibtex}\n```"


def names_of(author: dict[str, str]) -> str:
    """The names of a person in CITATION.cff. Raises KeyError without a family name."""
    return f"{author.get('given-names', '')} {author['family-names']}".strip()


def where(issues: str) -> str:
    """Whom readers tell of an error, as Markdown. Raises InputError for what is no web address."""
    if not issues:
        return "Tell those from whom you have the course or this book."
    if len(issues) > 500 or not ADDRESS.fullmatch(issues):
        mend = "give an address such as https://example.org/issues, without spaces and brackets"
        raise InputError(f"is {shown(issues)!r}; {mend}", "issues")
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
            text = relinked(text_of(path), source, by_place)
            if place == "index.md" and not solutions:
                text = PARTS_FOR_TEACHERS.sub("", text)
            for mark, words in filled.items():
                text = text.replace(mark, words)
            target.write_text(text, encoding="utf-8")
        else:
            page = page_of(path, solutions)
            for cell in page.cells:
                if cell.cell_type == "markdown":
                    cell.source = relinked(cell.source, source, by_place)
            nbformat.write(page, target)


def page_of(path: Path, solutions: bool) -> nbformat.NotebookNode:
    """The page of the notebook in a file. Raises InputError, naming it, where none can be made."""
    notebook = notebooks.read(path)
    try:
        return pages.page(notebook, path.name, solutions)
    except InputError as error:
        raise InputError(f"{path.relative_to(ROOT)}: {error}") from None


# The book


def build(source: Path, out: Path) -> None:
    """Let Sphinx make the book of laid out pages.

    Raises InputError after printing each of its warnings, and OSError where there is no room.
    """
    if not (find_spec("sphinx_book_theme") and find_spec("myst_nb")):
        raise InputError(f"{NEEDED}.")
    call = [sys.executable, "-m", "sphinx", "-c", str(ROOT / "book"), "-b", "html", "-q", "-j", "2"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [*call, "-W", "--keep-going", "-d", f"{out}.doctrees", str(source), str(out)],
        capture_output=True,
        env=env | {"TMPDIR": str(source.parent)},  # its reports of what went wrong go with the rest
        text=True,
    )
    if done.returncode:
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        said = done.stderr.replace(f"{source}/", "").splitlines()
        said = [line for line in said if TELLS.search(line)] or said
        print(*dict.fromkeys(said), sep="\n", file=sys.stderr)
        raise InputError("Sphinx is not content with the pages, see above; nothing was written.")


def links(out: Path) -> tuple[list[str], list[str]]:
    """Links of the pages in a folder that lead nowhere in it, and addresses of elsewhere.

    Both are sorted; a link that leads nowhere is told with its page.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(out.rglob("*.html"))}
    ids = {
        path: {html.unescape(found) for _, found in IDS.findall(text)}
        for path, text in texts.items()
    }
    dead, elsewhere = set(), set()
    for path, text in texts.items():
        for _, found in LEADS.findall(text):
            target = html.unescape(found)
            parts = split(target)
            if parts.scheme or parts.netloc:
                elsewhere.add(target)
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = ids.get(aim, {parts.fragment})
            inside = aim.is_relative_to(out.resolve()) and aim.is_file()
            if not inside or (parts.fragment and unquote(parts.fragment) not in known):
                dead.add(f"{path.relative_to(out).as_posix()}: {target}")
    return sorted(dead), sorted(address for address in elsewhere if address[:5] != "data:")


def split(address: str) -> SplitResult:
    """The parts of an address; one that is none, such as http://[, leads nowhere."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", address, "", "")


def check_place(out: Path) -> None:
    """Raise InputError unless a book may be put here: nothing is, or a book that it replaces."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"{out} is a {'link' if out.is_symlink() else 'file'}. Move it away.")
    if out.is_dir() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise InputError(f"{out} holds something else than a book. Move it away.")


def make(out: Path, solutions: bool = True, issues: str = "") -> int:
    """Build the book into a folder, which it replaces, and say so. Raises InputError as above."""
    check_place(out)
    try:
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
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise InputError(f"Cannot write to {out} ({error.strerror}). Mend that.") from None
    kind = "with solutions" if solutions else "without solutions and instructor's page"
    print(f"{len(list(out.rglob('*.html')))} pages, {kind}: open {out / 'index.html'}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when all went well, else as `command.run` says."""
    parser = command.Parser("python -m tools.book", __doc__)
    parser.add_argument("--solutions", choices=["0", "1"], default="1", help="0: for a class")
    parser.add_argument("--issues", default="", help="where readers report an error")

    def work() -> int:
        given = parser.parse_args(arguments)
        return make(OUT, given.solutions == "1", given.issues)

    return command.run("tools.book", work, ("issues",))


if __name__ == "__main__":
    sys.exit(main())
