"""The pictures of README and summary are those of the stored notebooks; the summary is a page."""

import re
import shutil
import subprocess

import mistune
import pytest

from helpers import InputError
from tools import notebooks, pictures

SUMMARY = notebooks.ROOT / "book/part_one.md"


@pytest.mark.parametrize("place", pictures.PICTURES)
def test_a_picture_is_that_of_its_notebook(place):
    """`make picture` copies them anew."""
    assert (notebooks.ROOT / place).read_bytes() == pictures.stored(*pictures.PICTURES[place])


def test_another_picture_and_none_are_told(small_course):
    """A stale copy differs; a cell without a picture is named."""
    (small_course / "tools").mkdir()
    with pytest.raises(InputError, match=r"03_t_test\.ipynb has no picture in cell nb03-001"):
        pictures.stored("03", "nb03-001")
    first, other = (pictures.stored("03", cell) for cell in ("nb03-057", "nb03-6e70c2ab"))
    assert first != other


def test_pictures_have_words_and_belong_to_a_page():
    pages = "".join((notebooks.ROOT / page).read_text("utf-8") for page in ("README.md",))
    pages += SUMMARY.read_text("utf-8")
    for place in pictures.PICTURES:
        name = place.removeprefix("book/")
        alt = re.search(rf'!\[([^\]]+)\]\({name}\)|src="{name}"[^>]* alt="([^"]+)"', pages)
        assert alt and len(alt[1] or alt[2]) > 40, place


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium, which .ci/run installs")
@pytest.mark.parametrize("rows", [1, 2])
def test_the_summary_prints_on_one_sheet(tmp_path, rows):
    """And twice as much does not."""
    shutil.copytree(SUMMARY.parent / "pictures", tmp_path / "pictures")
    markdown = mistune.create_markdown(escape=False, plugins=["table"])
    html = markdown(SUMMARY.read_text("utf-8")) * rows
    style = "<style>@page { size: A4; margin: 15mm } body { font: 10pt sans-serif }</style>"
    (tmp_path / "page.html").write_text(f"<meta charset='utf-8'>{style}{html}", encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--print-to-pdf={tmp_path / 'page.pdf'}",
    ]
    command += [(tmp_path / "page.html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    pages = re.findall(rb"/Type\s*/Page\b", (tmp_path / "page.pdf").read_bytes())
    assert len(pages) == rows
