"""One look for all figures, and one way to show them: with a text that says what they hold."""

import base64
import re
from itertools import combinations
from unittest import mock

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

from helpers import plots
from tests.guards import caught


@pytest.fixture
def shown(monkeypatch):
    """Draw a figure, show it, and return what was displayed and how many figures are left open."""
    displayed = []
    monkeypatch.setattr(plots, "display", lambda bundle, **how: displayed.append((bundle, how)))

    def draw_and_show(show, alt, says=""):
        displayed.clear()
        plt.close("all")
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        show(figure, alt, says)
        return [*displayed, plt.get_fignums()]

    yield draw_and_show
    plt.close("all")


# Showing a figure


def guard_show(show, shown):
    """A picture with its text, and under it what to see and that text, folded; none left open."""
    (picture, how), (line, _), left_open = shown(show, "Two points:\n  1  and $2.", "A < B.")
    assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")
    assert picture["text/plain"] == "Two points: 1 and $2."
    assert how["metadata"] == {"image/png": {"alt": "Two points: 1 and $2."}}
    assert line["text/html"].startswith("A &lt; B.<details")
    assert "<summary>in words</summary><p>Two points: 1 and &#36;2.</p>" in line["text/html"]
    assert line["text/plain"] == "A < B."
    assert left_open == []


def test_a_figure_is_shown_with_its_text(shown):
    guard_show(plots.show, shown)
    line = shown(plots.show, "Two points.")[1][0]
    assert line["text/html"].startswith("<details") and line["text/plain"] == "in words"


def leaves_it_open(figure, alt, says):
    plots.show(figure, alt, says)
    plt.figure()


def says_nothing(figure, alt, says):
    plots.show(figure, alt)


def another_text(figure, alt, says):
    plots.show(figure, "A figure.", says)


def obeys_html(figure, alt, says):
    with mock.patch.object(plots.words, "as_html", str):
        plots.show(figure, alt, says)


@pytest.mark.parametrize("faulty", [leaves_it_open, says_nothing, another_text, obeys_html])
def test_a_figure_shown_badly_is_caught(shown, faulty):
    caught(lambda show: guard_show(show, shown), faulty)


def test_the_same_figure_is_the_same_picture(shown):
    """No date and no version in it, so that a stored picture changes only when the drawing does."""
    first, second = (shown(plots.show, "Two points.")[0][0]["image/png"] for _ in range(2))
    assert first == second
    assert b"Software" not in base64.b64decode(first)


# The recurring figures: what is drawn, and what its words say


@pytest.fixture
def drawn(monkeypatch):
    """Call a recurring figure and return it, still open, with its alternative text and its line."""
    kept = []
    monkeypatch.setattr(plots, "show", lambda *shown: kept.append(shown))

    def draw(form, *given, **more):
        kept.clear()
        form(*given, **more)
        ((figure, alt, *says),) = kept
        figure.canvas.draw()
        return figure, alt, "".join(says)

    with mpl.rc_context():
        plots.use_style()
        yield draw
    plt.close("all")


def written(figure) -> list[str]:
    return [text.get_text().strip() for text in figure.findobj(Text) if text.get_text().strip()]


def guard_words(figure, alt):
    """The title is the first sentence; names are large enough, and nothing says nan."""
    assert 0 < len(figure.get_suptitle()) <= 52
    assert alt.startswith(f"{figure.get_suptitle()}.") and alt.endswith(".") and "nan" not in alt
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 11
    assert len(re.findall(r"\d[\d.,]*", alt.removeprefix(figure.get_suptitle()))) <= 4


ROWS = pd.DataFrame(
    {"low": [-1.0, 0.5, -9.0], "estimate": [1.0, 2.0, -6.0], "high": [3.0, 3.5, -3.0]},
    ["a", "b", "$c$"],
)


def test_intervals_are_filled_where_they_leave_out_zero(drawn):
    marks = {"zero": 0, "truth +3": 3, "limit": 5}
    figure, alt, _ = drawn(plots.intervals, ROWS.assign(note=list("xyz")), "Three", "points", marks)
    guard_words(figure, alt)
    (ax,) = figure.axes
    (lines,) = ax.collections
    greys = [to_hex(colour) == plots.FAINT.lower() for colour in lines.get_colors()]
    assert greys == [True, False, False]
    filled = [dots.get_ydata().tolist() for dots in ax.lines if dots.get_marker() == "o"]
    assert filled == [[2, 1, 0], [1, 0]]
    assert "one a row (3)" in alt and alt.endswith("2 leave out zero: b, $c$.")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b", "$c$"]
    assert {"x", "y", "z", "zero", "truth +3", "limit"} <= set(written(figure))
    lines = {line.get_xdata()[0]: line.get_color() for line in ax.lines[:3]}
    assert lines == {0: plots.INK, 3: plots.TRUTH, 5: plots.INK}


def hundred_of(n: int, truth: float) -> pd.DataFrame:
    """Runs of which every third leaves out zero, and every fifth misses the truth."""
    places = np.arange(n)
    low = np.where(places % 3 == 0, 0.1, -1.0)
    high = np.where(places % 5 == 0, truth - 0.1, truth + 1)
    runs = pd.DataFrame({"lift": (low + high) / 2, "ci_low": low, "ci_high": high})
    runs.loc[n] = np.nan
    return runs


@pytest.mark.parametrize("n", [1, 7, 100, 250])
def test_a_hundred_intervals_are_counted(drawn, n):
    runs = hundred_of(n, 2.0)
    figure, alt, says = drawn(plots.hundred, runs, 2.0)
    first = runs.dropna().head(100)
    missed, out = (first["ci_high"] < 2).sum(), (first["ci_low"] > 0).sum()
    title = f"{len(first) - missed} of {len(first)} hold the truth; {out} leave out zero"
    assert figure.get_suptitle() == title
    guard_words(figure, alt)
    assert says in alt
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert sum(len(line.get_xdata()) for line in crosses) == missed
    (lines,) = figure.axes[0].collections
    assert sum(to_hex(colour) == plots.BLUE.lower() for colour in lines.get_colors()) == out


DRAWS = np.random.default_rng(3).normal(0, 1, 10_000)


def guard_tails(landing, drawn):
    """What is coloured is what lies beyond the limit, and its share is written."""
    for cut in (0.05, 1.05, 3.0, 50.0):
        figure, alt, _ = drawn(landing, {"no effect": DRAWS}, "A pile", "t", cut)
        guard_words(figure, alt)
        bars = figure.axes[0].patches
        beyond = [bar for bar in bars if to_hex(bar.get_facecolor()) == plots.WRONG.lower()]
        area = sum(bar.get_width() * bar.get_height() for bar in beyond)
        share = np.mean(np.abs(DRAWS) >= cut)
        assert area == pytest.approx(share, abs=1e-9)
        assert f"{share:.1%}".replace("%", " %") in written(figure)


def test_tails_are_coloured_from_the_limit_on(drawn):
    guard_tails(plots.landing, drawn)
    with pytest.raises(AssertionError):
        guard_tails(lambda d, title, x, cut: plots.landing(d, title, x, cut + 0.02), drawn)


def guard_steps(edges):
    """Values that come in steps have bars of as many steps each: a comb would be of the bars."""
    rng = np.random.default_rng(8)
    for values in (
        rng.binomial(41, 0.5, 5000),
        rng.binomial(385, 0.1, 1000) / 385,
        rng.integers(18, 76, 900),
    ):
        steps = np.diff(np.unique(values)).min()
        some = np.asarray(values, dtype=float)
        widths = np.diff(edges(some, np.quantile(some, [0.01, 0.99]) + 1e-4, 1.0))
        assert np.allclose(widths, widths[0]) and np.isclose(widths[0] / steps % 1, [0, 1]).any()


def test_a_histogram_of_steps_has_no_comb():
    guard_steps(plots._edges)
    caught(guard_steps, lambda values, ends, limit: np.linspace(*ends, 61))


def test_each_row_may_have_its_own_limit(drawn):
    piles = {"one": DRAWS, "other": DRAWS / 2}
    limits = {"one": 1.0, "other": 0.5}
    figure, alt, _ = drawn(plots.landing, piles, "Two piles", "t", limits, {"zero": 0})
    shares = [text for text in written(figure) if text.endswith(" %")]
    assert len(shares) == 2 and len(set(shares)) == 1
    assert "(2)" in alt and all(share in alt for share in shares)
    some = {"list": [0.5, np.nan, 1.0, 2.0, -3.0]}
    figure, alt, _ = drawn(plots.landing, some, "What is not there does not count", "t", 1.0)
    assert "75.0 %" in written(figure)
    figure, alt, _ = drawn(plots.landing, piles, "Two piles", "t")
    assert not [text for text in written(figure) if text.endswith(" %")] and "beyond" not in alt


def test_strips_say_the_share_of_each_row(drawn):
    runs = pd.DataFrame({"lift": [-4.0, 1, 2, 3], "p_value": [0.01, 0.5, 0.5, np.nan]})
    worlds = {"first": runs, "last": runs.assign(p_value=0.05), "none": runs * np.nan}
    figure, alt, _ = drawn(plots.strips, worlds, -3.0, "Two rows")
    guard_words(figure, alt)
    assert {"33 % significant", "0 % significant", "no test"} <= set(written(figure))
    dots = {(line.get_marker(), len(line.get_xdata())) for line in figure.axes[0].lines[2:]}
    assert dots == {(".", 2), ("d", 1), (".", 4), ("d", 0), (".", 0)}
    assert {"zero", "truth -3.00"} <= set(written(figure))


def test_marks_at_one_place_do_not_write_over_each_other(drawn):
    """With an effect of zero the truth is zero; a single dot is no interval."""
    dot = pd.DataFrame(3.0, ["a"], ["low", "estimate", "high"])
    figure, alt, _ = drawn(plots.intervals, dot, "A dot", "points", {"zero": 0.0, "truth": 0.0})
    texts = [text for text in figure.axes[0].texts if text.get_text().strip()]
    left, right = (text.get_window_extent() for text in texts)
    assert left.x1 <= right.x0 + 1
    assert alt == "A dot. Dots over points, one a row (1), and no intervals."


def test_few_rows_are_named_and_not_many(drawn):
    clear = pd.DataFrame({"low": [1.0] * 4, "estimate": [2.0] * 4, "high": [3.0] * 4}, list("abcd"))
    _, alt, _ = drawn(plots.intervals, clear, "Four", "points", {"zero": 0})
    assert alt.endswith("; 4 leave out zero.")
    _, alt, _ = drawn(plots.intervals, clear.rename({"a": "x" * 99})[:1], "One", "y", {"zero": 0})
    assert "leave out zero: xxx" in alt and "x" * 60 not in alt
    _, alt, _ = drawn(plots.intervals, clear[:3], "No zero", "points", {"limit": 0})
    assert alt.endswith("one a row (3).")


@pytest.mark.parametrize("colour", [*plots.CYCLE, plots.FAINT, plots.WRONG, plots.INK, "white"])
def test_names_can_be_read(colour):
    """A colour that is dark enough stays; another keeps its hue."""
    text = plots.readable(colour)
    assert contrast(text) >= 4.5
    assert (text == to_hex(colour)) == (contrast(colour) >= 4.5)
    most = max(range(3), key=to_rgb(colour).__getitem__)
    assert to_rgb(text)[most] == max(to_rgb(text))
    if contrast(colour) < 4.5:
        assert contrast(text) < 5


@pytest.mark.parametrize("log", [True, False])
def test_curves_have_their_names_at_their_ends(drawn, log):
    table = pd.DataFrame({"up": [1.0, 2, 4], "down": [4.0, 2, 1]}, pd.Index([1, 10, 100], name="n"))
    figure, alt, _ = drawn(
        plots.curves, table, "Two lines", "power, %", {"now": (10, 2)}, ("80 %", 3), log
    )
    guard_words(figure, alt)
    (ax,) = figure.axes
    assert {"up", "down", "now", "80 %", "n", "power, %"} <= set(written(figure))
    assert ax.get_xscale() == ("log" if log else "linear")
    assert "mathdefault" not in "".join(written(figure))
    ends = {t.get_text().strip(): t.get_position() for t in ax.texts}
    assert ends["up"] == (100, 4) and ends["down"] == (100, 1)
    assert min(contrast(text.get_color()) for text in ax.texts) >= 4.5  # green and orange are not


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (0.5, "0.5000"),
        (-0.0, "0.0000"),
        (12.34567, "12.3457"),
        (0.04996, "0.04996"),
        (1e-9, "1e-09"),
    ],
)
def test_numbers_that_end_a_cell_are_not_rounded_away(x, said):
    page = mock.Mock()
    plots.print_number(np.float64(x), page)
    page.text.assert_called_once_with(said)


# The look


def contrast(colour):
    """With white, as in WCAG 2.2: 3 and more can be seen as a line or dot."""
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in to_rgb(colour)]
    return 1.05 / (float(np.dot(linear, (0.2126, 0.7152, 0.0722))) + 0.05)


def guard_colours(control, treatment, truth):
    """The arms and the truth, which stand in one figure, differ from each other and the page.

    In grey they do not: markers and dashes carry them.
    """
    colours = (control, treatment, truth, "white")
    for one, other in combinations(colours, 2):
        distance = np.abs(np.subtract(to_rgb(one), to_rgb(other))).sum()
        assert distance > 0.5, (one, other)
    assert min(map(contrast, (control, treatment, truth))) > 3


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


def test_a_pile_of_nothing_is_drawn_too(shown):
    """Where no experiment can be tested, the figure stands empty, and the notebook goes on."""
    plots.landing({"new coins": np.array([])}, "0 of 0", "Q", marks={"ours": 2.0})
    plots.landing({"a": np.array([]), "b": np.array([1.0, 2.0])}, "one pile", "Q")


TWO_ROWS = pd.DataFrame(
    {"low": [-1.0, 2.0], "estimate": [0.0, 3.0], "high": [1.0, 4.0]}, index=["a", "b"]
)


def test_other_intervals_lie_behind(drawn):
    """Pale and broad, from end to end; without them there is nothing behind."""
    ax = drawn(plots.intervals, TWO_ROWS, "t", "x", behind=TWO_ROWS - 5)[0].axes[0]
    ends = [sorted(line[:, 0]) for line in ax.collections[0].get_segments()]
    assert ends == [[-6, -4], [-3, -1]]
    assert len(drawn(plots.intervals, TWO_ROWS, "t", "x")[0].axes[0].collections) == 1


def test_the_truth_of_each_row_is_marked(drawn):
    table = TWO_ROWS.assign(truth=[0.5, 2.5])
    ax = drawn(plots.intervals, table, "t", "x")[0].axes[0]
    marks = [line for line in ax.lines if line.get_marker() == "d"]
    found = [(line.get_color(), list(line.get_xdata())) for line in marks]
    assert found == [(plots.TRUTH, [0.5, 2.5])]


def test_names_at_the_ends_of_lines_do_not_overlap(drawn):
    table = pd.DataFrame(
        {"one": [0, 10.0], "two": [0, 9.9], "control": [0, 1.0]}, index=pd.Index([1, 2], name="x")
    )
    texts = drawn(plots.curves, table, "t", "y")[0].axes[0].texts
    places = {text.get_text().strip(): text.get_position()[1] for text in texts}
    assert places["control"] == 1 and places["two"] == 9.9 and places["one"] >= 10.5
    colours = {text.get_text().strip(): text.get_color() for text in texts}
    assert colours["control"] == plots.CONTROL


def guard_detectable(draw, lifts, worth):
    """A dot for each row that can see a lift, filled where it sees worth; names do not overlap."""
    names = ["all users", *(f"s{i}" for i in range(1, len(lifts)))]
    planned = pd.DataFrame({"customers": 1_000, "smallest_detectable": lifts}, index=names)
    planned["users_needed"] = 1.0
    figure, alt, _ = draw(planned, worth, "dollars")
    (ax,) = figure.axes
    dots = ax.collections[0]
    finite = np.isfinite(lifts)
    assert len(ax.collections) == 1  # no squares where nothing is adjusted
    filled = [mpl.colors.to_hex(face) == plots.BLUE.lower() for face in dots.get_facecolors()]
    assert (np.array(filled)[finite] == (np.array(lifts) <= worth)[finite]).all()
    said = sum(lift <= worth for lift in lifts[1:])
    assert alt.startswith(f"{said} of {len(lifts) - 1} segments can be tested alone.")
    assert {text.get_text() for text in ax.texts} >= {
        n for n, f in zip(names, finite, strict=True) if f
    }
    assert ("left out" in ax.get_xlabel()) == (not finite.all())
    assert min(text.get_fontsize() for text in ax.texts) >= 11
    heights = sorted(
        Text.get_window_extent(text).y0 for text in ax.texts if text.get_text() in names
    )
    assert (np.diff(heights) > 10).all()


@pytest.mark.parametrize("lifts", [[3, 8, 6.9, 20], [3, np.inf, 9, np.nan], [9, *[20.0] * 30]])
def test_what_can_be_seen_is_filled(drawn, lifts):
    guard_detectable(lambda *given: drawn(plots.detectable, *given), lifts, 7.0)


def test_what_can_be_seen_is_told_with_and_without_adjusting(drawn):
    lifts = {"smallest_detectable": [3.0, 8.0, 9.0], "smallest_detectable_adjusted": [2, 6.5, 8]}
    planned = pd.DataFrame({"customers": 1_000} | lifts, index=["all users", "a", "b"])
    figure, alt, _ = drawn(plots.detectable, planned, 7.0, "dollars")
    assert alt.startswith("Alone: 0 of 2 segments; adjusted 1 of 2.")
    assert len(figure.axes[0].collections) == 2


def test_what_can_be_seen_is_told_apart(drawn):
    def faulty(planned, worth, unit):
        return drawn(plots.detectable, planned, 2 * worth, unit)

    caught(lambda draw: guard_detectable(draw, [3, 8, 6.9, 20], 7.0), faulty)
