"""One look for all figures, and one way to show them: with a text that says what they hold."""

import base64
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from helpers import plots
from tests.guards import caught


@pytest.fixture
def shown(monkeypatch):
    """Draw a figure, show it, and return what was displayed and how many figures are left open."""
    displayed = []
    monkeypatch.setattr(
        plots, "display", lambda bundle, raw, metadata: displayed.append((bundle, metadata))
    )

    def draw_and_show(show, alt):
        displayed.clear()
        plt.close("all")
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        show(figure, alt)
        ((bundle, metadata),) = displayed
        return bundle, metadata, plt.get_fignums()

    yield draw_and_show
    plt.close("all")


# Showing a figure


def guard_show(show, shown, capsys):
    """A picture with its text in three places, the same on one line; no figure is left open."""
    bundle, metadata, left_open = shown(show, "Two points:\n  1  and 2.")
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["text/plain"] == "Two points: 1 and 2."
    assert metadata == {"image/png": {"alt": "Two points: 1 and 2."}}
    assert capsys.readouterr().out == "Figure: Two points: 1 and 2.\n"
    assert left_open == []


def test_a_figure_is_shown_with_its_text(shown, capsys):
    guard_show(plots.show, shown, capsys)


def leaves_it_open(figure, alt):
    plots.show(figure, alt)
    plt.figure()


def prints_nothing(figure, alt):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "print", lambda *_: None, raising=False)
        plots.show(figure, alt)


def another_text(figure, alt):
    plots.show(figure, "A figure.")


@pytest.mark.parametrize("faulty", [leaves_it_open, prints_nothing, another_text])
def test_a_figure_shown_badly_is_caught(shown, capsys, faulty):
    caught(lambda show: guard_show(show, shown, capsys), faulty)


def test_the_same_figure_is_the_same_picture(shown):
    """No date and no version in it, so that a stored picture changes only when the drawing does."""
    first, second = (shown(plots.show, "Two points.")[0]["image/png"] for _ in range(2))
    assert first == second
    assert b"Software" not in base64.b64decode(first)


# The look


def grey(colour):
    """How light a colour is without its hue (Rec. 709)."""
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def guard_colours(control, treatment, truth):
    """The arms and the truth, which stand in one figure, differ from each other and the page."""
    colours = (control, treatment, truth, "white")
    for one, other in combinations(colours, 2):
        distance = np.abs(np.subtract(to_rgb(one), to_rgb(other))).sum()
        assert distance > 0.5, (one, other)
    assert abs(grey(control) - grey(treatment)) > 0.1  # told apart in grey as well


def test_colours_of_the_arms_can_be_told_apart():
    guard_colours(plots.CONTROL, plots.TREATMENT, plots.TRUTH)
    with pytest.raises(AssertionError):
        guard_colours(plots.GREY, plots.GREY, plots.TRUTH)
    with pytest.raises(AssertionError):
        guard_colours(plots.VERMILION, plots.BLUE, plots.TRUTH)
    assert len(set(plots.CYCLE)) == len(plots.CYCLE) == len(set(plots.MARKERS))


def test_the_look_is_set_for_figures_that_follow():
    with mpl.rc_context():
        plots.use_style()
        figure, ax = plt.subplots()
        first, second = (ax.plot([1, 2])[0].get_color() for _ in range(2))
        assert [first, second] == plots.CYCLE[:2]
        assert not ax.spines["top"].get_visible()
        label = ax.text(0, 0, "5 k$ to 7 k$")
        figure.canvas.draw()
        assert not label.get_parse_math()  # dollar signs are money here
        table = pd.DataFrame({"band": ["$5 to $9"]}).to_html()
        assert "mathjax_ignore" in table and "tex2jax_ignore" in table
        plt.close(figure)
