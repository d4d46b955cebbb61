"""The web book before Sphinx: which pages, their links, how to cite, and what is never replaced.

Beside each check stands a fault. What Sphinx makes of it is read by audit_book.py.
"""

import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from helpers import InputError
from tools import book, notebooks

ROOT = notebooks.ROOT


@pytest.fixture(scope="module", params=[True, False], ids=["whole", "without solutions"])
def laid_out(request, tmp_path_factory):
    """The pages as Sphinx gets them, and whether with solutions."""
    folder = tmp_path_factory.mktemp("pages")
    book.lay_out(folder, request.param)
    return folder, request.param


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_all_notebooks_and_pages_are_in_the_book(laid_out):
    folder, solutions = laid_out
    there = names(folder)
    series = {f"notebooks/{path.name}" for path in notebooks.find()}
    solved = {f"notebooks/solutions/{path.name}" for path in notebooks.find_solutions()}
    teachers = {*solved, "notebooks/instructor.md"}
    assert series <= there and {"index.md", "CHANGELOG.md", "data/README.md"} <= there
    assert there & teachers == (teachers if solutions else set())


def contents(folder):
    """What the contents of the start page lead to, as patterns."""
    parts = re.findall(r"```\{toctree\}\n(?::.*\n)*\n((?:/.*\n)*)```", index(folder))
    return [entry.removeprefix("/") for part in parts for entry in part.split()]


def index(folder):
    return (folder / "index.md").read_text(encoding="utf-8")


def test_every_page_is_in_the_contents_once(laid_out):
    folder, _ = laid_out
    entries = contents(folder)
    for name in sorted(names(folder)):
        if name.endswith((".md", ".ipynb")) and name not in ("index.md", "README.md"):
            page = Path(name).with_suffix("")
            assert (
                sum(
                    page.full_match(entry)
                    if hasattr(page, "full_match")
                    else (folder / page).match(f"{folder}/{entry}")
                    for entry in entries
                )
                == 1
            ), name


def test_a_class_sees_no_door_to_what_it_does_not_have(laid_out):
    folder, solutions = laid_out
    found = [name for name in names(folder) if name.endswith((".md", ".ipynb"))]
    hits = [
        name
        for name in found
        for target in re.findall(r"\]\(([^)]*)\)", (folder / name).read_text(encoding="utf-8"))
        if "solutions/" in target or "instructor" in target
    ]
    assert bool(hits) == solutions
    exercises = (folder / "notebooks/03_t_test.ipynb").read_text(encoding="utf-8")
    assert ("olutions" in exercises) == solutions  # no word without its link
    assert ("For teachers" in index(folder)) == solutions


def test_links_move_with_their_page():
    there = {"notebooks/01_a.ipynb", "book/glossary.md", "index.md"}
    start = book.relinked("[a](../notebooks/01_a.ipynb) [g](glossary.md#t)", book.START, there)
    assert start == "[a](notebooks/01_a.ipynb) [g](book/glossary.md#t)"
    page = "[s](../book/index.md) [x](../helpers/words.py) [w](https://example.org) [h](#here)"
    assert book.relinked(page, "notebooks/01_a.ipynb", there) == (
        "[s](../index.md) x [w](https://example.org) [h](#here)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "`[a](../notebooks/01_a.ipynb)`",
        "```\n[a](../notebooks/01_a.ipynb)\n```",
        "$E[Y](t)$",
        "\\[a](../notebooks/01_a.ipynb)",
        "[misspelt](glosary.md)",
        "[gone](../notebooks/99_gone.ipynb)",
        "[mail](mailto:a@b.c)",
        "[broken](http://[::1)",
    ],
)
def test_what_is_no_link_or_leads_nowhere_stays(text):
    """Sphinx finds the latter."""
    assert book.relinked(text, "book/index.md", {"notebooks/01_a.ipynb"}) == text


def test_pictures_are_no_links():
    assert book.relinked("![a](none.png)", "book/a.md", set()) == "![a](none.png)"


# Links of what is built


def a_page(folder, name, body):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "dead"),
    [
        ('<a href="b/c.html#part">x</a> <a id="here" href="#here">x</a>', []),
        ('<a class="x" href="b/none.html">x</a>', ["a.html: b/none.html"]),
        ('<a href="b/c.html#none">x</a>', ["a.html: b/c.html#none"]),
        ('<a href="#none">x</a>', ["a.html: #none"]),
        ('<img alt="x" src="none.png">', ["a.html: none.png"]),
        ('<script defer src="none.js?v=1"></script>', ["a.html: none.js?v=1"]),
        ('<a href="../elsewhere.html">x</a>', ["a.html: ../elsewhere.html"]),
        ("<a href='none.html'>x</a>", ["a.html: none.html"]),
        ('<a href="http://[x">x</a>', ["a.html: http://[x"]),
    ],
)
def test_a_dead_link_is_seen(tmp_path, body, dead):
    out = tmp_path / "book"
    a_page(out, "b/c.html", '<p id="part">&quot;</p>')
    a_page(tmp_path, "elsewhere.html", "")
    a_page(out, "a.html", body)
    assert book.links(out) == (dead, [])


def test_addresses_of_elsewhere_are_listed(tmp_path):
    a_page(tmp_path, "a.html", '<a href="https://example.org/?a=1&amp;b=2">x</a>')
    a_page(tmp_path, "b.html", '<img src="data:image/png;base64,x"> <a href="mailto:a@b.c">x</a>')
    assert book.links(tmp_path) == ([], ["https://example.org/?a=1&b=2", "mailto:a@b.c"])


# The folder


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """A book that takes no time: the place for it, and what the next call builds."""
    pages = {"index.html": "new"}

    def build(_source, out):
        for name, text in pages.items():
            a_page(out, name, text)

    monkeypatch.setattr(book, "lay_out", lambda folder, solutions, issues: None)
    monkeypatch.setattr(book, "build", build)
    return tmp_path / "book/_build", pages


def test_a_book_replaces_the_one_before(quick, capsys):
    out, _ = quick
    a_page(out, "old.html", "old")
    a_page(out, "searchindex.js", "")
    assert book.make(out) == 0
    assert names(out) == {"index.html", "external_links.txt"}
    assert [path.name for path in out.parent.iterdir()] == ["_build"]
    assert str(out / "index.html") in capsys.readouterr().out


def test_a_book_with_a_dead_link_replaces_nothing(quick, capsys):
    out, pages = quick
    a_page(out, "old.html", "old")
    a_page(out, "searchindex.js", "")
    pages["index.html"] = '<a href="none.html">x</a>'
    with pytest.raises(InputError, match="lead nowhere"):
        book.make(out)
    assert names(out) == {"old.html", "searchindex.js"} and "none.html" in capsys.readouterr().err
    assert [path.name for path in out.parent.iterdir()] == ["_build"]


@pytest.mark.parametrize("what", ["file", "link", "folder of something else"])
def test_what_is_no_book_is_not_replaced(quick, tmp_path, what):
    out, _ = quick
    out.parent.mkdir()
    if what == "file":
        out.write_text("mine", encoding="utf-8")
    elif what == "link":
        (tmp_path / "mine").mkdir()
        out.symlink_to(tmp_path / "mine")
    else:
        a_page(out, "mine.html", "mine")
    with pytest.raises(InputError, match=what.split()[-1]):
        book.make(out)
    assert out.is_symlink() == (what == "link") and out.exists()
    assert not list(tmp_path.glob("mine/*"))


def test_a_folder_that_cannot_be_written_is_told(quick, monkeypatch):
    out, _ = quick
    out.mkdir(parents=True)

    def busy(_path, _target):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.raises(InputError, match=r"_build.*busy"):
        book.make(out)
    assert [path.name for path in out.parent.iterdir()] == ["_build"]


def test_no_room_is_told_as_such(tmp_path, monkeypatch):
    said = "SphinxParallelError: OSError: [Errno 28] No space left on device"
    failed = subprocess.CompletedProcess([], 2, stderr=said)
    monkeypatch.setattr(book, "find_spec", lambda name: True)
    monkeypatch.setattr(subprocess, "run", lambda *_call, **_how: failed)
    with pytest.raises(OSError, match="No space left"):
        book.build(tmp_path, tmp_path / "out")


def test_what_sphinx_is_called_with(tmp_path, monkeypatch):
    """Warnings are errors; those of Python are not; what it notes goes with the pages."""
    calls = []

    def run(call, **how):
        calls.append((call, how["env"]))
        return subprocess.CompletedProcess(call, 0)

    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setattr(book, "find_spec", lambda name: True)
    monkeypatch.setattr(subprocess, "run", run)
    book.build(tmp_path / "pages", tmp_path / "out")
    ((call, env),) = calls
    assert "-W" in call and "PYTHONWARNINGS" not in env and env["TMPDIR"] == str(tmp_path)


@pytest.mark.parametrize("name", ["CITATION.cff", "book/errata.md"])
def test_a_page_that_is_no_text_is_named(tmp_path, monkeypatch, name):
    bad = tmp_path / name
    bad.parent.mkdir(exist_ok=True)
    bad.write_bytes(b"title: caf\xe9")
    with pytest.raises(InputError, match=bad.name):
        book.text_of(bad)
    with pytest.raises(InputError, match=r"none\.md"):
        book.text_of(tmp_path / "none.md")


@pytest.mark.parametrize("value", ["no", "2", "00", "0 1"])
def test_solutions_are_in_or_out(value, capsys):
    with pytest.raises(SystemExit, match="2"):
        book.main(["--solutions", value])
    assert "choose from" in capsys.readouterr().err


def test_a_reader_is_told_whom_to_tell(tmp_path):
    for issues in ("", "https://example.org/issues"):
        folder = tmp_path / str(len(issues))
        book.lay_out(folder, True, issues)
        page = (folder / "book/errata.md").read_text(encoding="utf-8")
        assert book.where(issues) in page and book.TOLD not in page
        assert (f"<{issues}>" in page) == bool(issues)


@pytest.mark.parametrize(
    "address",
    [
        "example.org",
        "file:///x",
        "https://a b",
        "javascript:x",
        "https://",
        "http://a/<b>",
        "https://...",
        "x" * 600,
    ],
)
def test_a_strange_address_is_refused(address, capsys):
    assert book.main(["--issues", address]) == 2
    said = capsys.readouterr().err
    assert "--issues" in said and "https://" in said and said.count("\n") <= 2


def test_without_sphinx_one_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(book, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="make book"):
        book.build(tmp_path, tmp_path / "out")


# How to cite

# https://github.com/citation-file-format: what version 1.2.0 asks for, and what it admits.
ASKED = {"cff-version", "message", "title", "authors"}
ADMITTED = ASKED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords"),
    *("license", "license-url", "preferred-citation", "references", "repository"),
    *("repository-artifact", "repository-code", "type", "url", "version"),
}


def citation_faults(text):
    """What is wrong with a CITATION.cff, in words."""
    cff = yaml.safe_load(text)
    if not isinstance(cff, dict):
        return ["no keys"]
    faults = [f"no {key}" for key in sorted(ASKED - cff.keys())]
    faults += [f"no such key: {key}" for key in sorted(cff.keys() - ADMITTED)]
    if cff.get("cff-version") != "1.2.0":
        faults.append("cff-version is not 1.2.0")
    if cff.get("type", "software") not in ("software", "dataset"):
        faults.append("type is neither software nor dataset")
    people = {"name"}, {"family-names"}, {"family-names", "given-names"}
    if not cff.get("authors") or any(author.keys() not in people for author in cff["authors"]):
        faults.append("an author is not named")
    for key in ("title", "message", "version", "license"):
        if not isinstance(cff.get(key, ""), str):
            faults.append(f"{key} is no text")
    if len(set(cff.get("keywords", ["x"]))) != len(cff.get("keywords", ["x"])):
        faults.append("keywords repeat")
    return faults


CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_citation_is_valid():
    assert citation_faults(CITATION) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("message:", "massage:", "no message"),
        ("message:", "massage:", "no such key: massage"),
        ("cff-version: 1.2.0", "cff-version: 1.2", "cff-version"),
        ("type: software", "type: course", "type"),
        ("  - name:", "  - nickname:", "an author"),
        ("\nversion: 0.", "\nversion: 0. #", "version is no text"),
        ("  - teaching", "  - A/B testing", "keywords repeat"),
    ],
)
def test_a_faulty_citation_is_caught(old, new, fault):
    assert old in CITATION
    assert fault in "\n".join(citation_faults(CITATION.replace(old, new)))


@pytest.mark.parametrize(
    ("authors", "said"),
    [
        ("[{name: A}, {name: B}]", "> A, B. *T*"),
        ("[{family-names: Doe, given-names: Ann}]", "> Ann Doe. *T*"),
        ("[{family-names: Doe}]", "> Doe. *T*"),
        ("[{name: 5}]", "> 5. *T*"),
    ],
)
def test_authors_are_cited(tmp_path, monkeypatch, authors, said):
    monkeypatch.setattr(book, "ROOT", tmp_path)
    text = f"title: T\nversion: 1.0.0\nauthors: {authors}"
    (tmp_path / "CITATION.cff").write_text(text, encoding="utf-8")
    assert book.citation().startswith(said)


@pytest.mark.parametrize(
    "text", ["", "title: [", "title: T", "title: T\nversion: 1\nauthors: [{}]"]
)
def test_a_citation_that_cannot_be_read_is_told(tmp_path, monkeypatch, text):
    monkeypatch.setattr(book, "ROOT", tmp_path)
    (tmp_path / "CITATION.cff").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"CITATION\.cff.*needs a title"):
        book.citation()


def test_versions_and_licences_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    cff = yaml.safe_load(CITATION)
    assert (cff["version"], cff["license"]) == (project["version"], project["license"])


def test_the_page_cites_the_file(laid_out):
    folder, _ = laid_out
    page = (folder / "book/cite.md").read_text(encoding="utf-8")
    cff = yaml.safe_load(CITATION)
    assert book.CITED not in page
    for part in (cff["title"], cff["version"], cff["authors"][0]["name"]):
        assert page.count(part) == 2, part  # in words, and for BibTeX


def test_laid_out_notebooks_are_notebooks(laid_out):
    folder, _ = laid_out
    for path in (folder / "notebooks").rglob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))
