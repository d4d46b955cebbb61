"""The glossary is in order, and its terms are explained before, or where, a page first uses them.

The pages are those of Part I, and the others that the glossary names.
"""

import re

import pytest

from tools import notebooks

GLOSSARY = (notebooks.ROOT / "book/glossary.md").read_text(encoding="utf-8")
ENTRY = re.compile(r"^- \*\*(.+?)\*\*: (.+)\. \((.+)\)$", re.MULTILINE)
# As a page introduces a term, where that is not its name in the glossary.
SHORT = {
    "A/A run": "A/A",
    "BCa interval": "BCa",
    "Fieller's interval": "Fieller's",
    "interval": "95 % interval",
    "sample ratio check": "sample ratio check",
    "minimum detectable effect": "minimum detectable effect",
    "lot": "lots",
    "segment": "segments",
    "cluster": "clusters",
    "false alarm": "false alarms",
    "knob": "knobs",
}
# Said in passing before they are terms, as everybody says them.
EVERYDAY = {"effect", "worth", "t", "interval", "cluster", "control", "treatment", "seed", "lift"}
EVERYDAY |= {"heavy tail"}


def terms(page: str) -> dict[str, str]:
    """Each term of the glossary, and the notebook that builds it."""
    found = {}
    for names, _, where in ENTRY.findall(page):
        for name in re.sub(r" \(.*?\)", "", names).split(", "):
            found[name] = re.search(r"\[(\d\d)\]", where)[1]
    return found


def prose_of_pages() -> list[tuple[str, str]]:
    """Number and text of each cell of prose, in reading order, less titles, aims and steps."""
    cells, homes = [], set(terms(GLOSSARY).values())
    for path in (path for path in notebooks.find() if path.name[:2] in homes):
        for cell in notebooks.read(path).cells:
            if cell.cell_type == "markdown" and "| question |" not in cell.source:
                text = cell.source.split("**After this notebook you can**")[0]
                cells.append((path.name[:2], re.sub(r"^# .*", "", text)))
    return cells


def unexplained_terms(page: str, cells: list[tuple[str, str]]) -> list[str]:
    """Terms that no page introduces (in *italics* or **bold**), or another one, or too late."""
    found = []
    for name, home in terms(page).items():
        said = re.compile(rf"(?<![\w-]){re.escape(name)}s?(?![\w-])", re.IGNORECASE)
        short = re.escape(SHORT.get(name, name))
        introduced = re.compile(rf"\*[^*\n]*(?<![\w'-]){short}(?!\w)[^*\n]*\*", re.IGNORECASE)
        places = [i for i, (_, text) in enumerate(cells) if introduced.search(text)]
        if not places or cells[places[0]][0] != home:
            where = cells[places[0]][0] if places else "nowhere"
            found.append(f"{name} is introduced in {where}, not {home}")
        elif name not in EVERYDAY and any(said.search(text) for _, text in cells[: places[0]]):
            early = next(number for number, text in cells if said.search(text))
            found.append(f"{name} is used in {early} before it is introduced")
    return found


def test_each_term_is_explained_where_it_first_appears():
    assert unexplained_terms(GLOSSARY, prose_of_pages()) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("*standard error*", "standard error", "standard error is introduced in nowhere"),
        (
            "*degrees of freedom*",
            "degrees of freedom",
            "degrees of freedom is introduced in nowhere",
        ),
    ],
)
def test_a_term_without_its_explanation_is_caught(old, new, fault):
    cells = [(number, text.replace(old, new)) for number, text in prose_of_pages()]
    assert fault in " ".join(unexplained_terms(GLOSSARY, cells))


def test_a_term_used_too_early_is_caught():
    cells = [("01", "The coverage is high."), *prose_of_pages()]
    assert unexplained_terms(GLOSSARY, cells) == ["coverage is used in 01 before it is introduced"]
    page = GLOSSARY.replace(
        "([05](../notebooks/05_power.ipynb))", "([04](../notebooks/04_bootstrap.ipynb))"
    )
    assert "type M is introduced in 05, not 04" in unexplained_terms(page, prose_of_pages())


def faults(page: str) -> list[str]:
    """Entries out of order, twice, of more than a sentence, or with a link that leads nowhere."""
    entries = ENTRY.findall(page)
    names = [names.casefold() for names, _, _ in entries]
    found = [] if names == sorted(set(names)) else ["not in order, or twice"]
    if len(entries) != page.count("\n- "):
        found.append("an entry of another form")
    found += [f"{name} has two sentences" for name, said, _ in entries if ". " in said]
    links = re.findall(r"\]\(([^)#]+)\)", page)
    return found + [link for link in links if not (notebooks.ROOT / "book" / link).exists()]


def test_the_glossary_is_in_order():
    assert faults(GLOSSARY) == []
    for old, new in (
        ("- **arm**", "- **zarm**"),
        ("- **arm**: ", "- **arm** "),
        ("- **arm**: one", "- **arm**: One. One"),
        ("04_bootstrap.ipynb", "04_boot.ipynb"),
    ):
        assert faults(GLOSSARY.replace(old, new, 1))
