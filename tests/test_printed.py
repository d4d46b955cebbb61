"""What the pages that are passed on share: tables, commands as typed, checksums."""

from pathlib import Path

import matplotlib.pyplot as plt

from helpers.goals import Goal
from tools import files, printed


def test_cells_are_shown_as_they_stand():
    table = printed.table("Who. What", ["who", "n"], [[("text", "<b>"), ("", "1 & 2")]])
    assert "&lt;b&gt;" in table and "1 &amp; 2" in table and "<b>" not in table
    assert 'aria-label="Who"' in table and table.count("<th scope") == 3


def test_a_command_as_it_would_be_typed():
    asked = {
        "segment": "my town",
        "bands": (30.0, 40.5),
        "rate": True,
        "assign": False,
        "worth": None,
        "features": ("a", "b c"),
        "assignment": Path("/secret/place/assignment.csv"),
        "guardrail": [Goal("spend", margin=0.5), Goal("late", margin=1.0, lower_is_better=True)],
    }
    call = printed.call("tools.plan", Path("/secret/place/own.csv"), asked)
    assert call == (
        "python -m tools.plan own.csv --segment 'my town' --bands 30.0,40.5 --rate "
        "--features 'a,b c' --assignment assignment.csv --guardrail spend:0.5 "
        "--guardrail late:1.0:lower"
    )


def test_where_numbers_come_from(tmp_path):
    (tmp_path / "own.csv").write_text("a", encoding="utf-8")
    said = printed.source(
        [tmp_path / "own.csv", tmp_path], "python -m x <y>", "Understood: 3 rows."
    )
    assert files.checksum(tmp_path / "own.csv") in said and "a folder" in said
    assert "&lt;y&gt;" in said and str(tmp_path) not in said


def test_figures_are_the_same_in_every_run():
    def draw():
        figure, ax = plt.subplots()
        ax.plot([1, 2], [3, 1])
        return figure, 'A "line" falls.'

    one = printed.figure(draw)
    assert one == printed.figure(draw) and 'alt="A &quot;line&quot; falls."' in one


def test_a_page_asks_for_nothing():
    page = printed.page("A & B", ["<p>x</p>", "", "<p>y</p>"])
    assert "<title>A &amp; B</title>" in page and "default-src 'none'" in page
    assert "<script" not in page and page.index("<p>x</p>") < page.index("<p>y</p>")
