"""One plot style, colour-blind safe, the course's recurring figures, and one way to show a figure.

A recurring figure takes a table, has its finding as its title, and says in two sentences what one
sees. Colours and markers mean the same everywhere; markers carry what colours alone would not.
Its `marks` are names and places of vertical lines: those whose first word is "truth", "zero" or
"ours" have their own look, any other is a limit.
"""

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers import shown, words

STYLE = Path(__file__).with_name("course.mplstyle")
STYLED = mpl.rc_params_from_file(STYLE, use_default_template=False)
CYCLE = STYLED["axes.prop_cycle"].by_key()["color"]
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = CYCLE
MARKERS = "osD^vPX*"
# A meaning each: the arms, the truth and nothing else, a false alarm or a truth that was missed,
# and what is not significant
CONTROL, TREATMENT, TRUTH = "#767676", BLUE, VERMILION
WRONG, FAINT, INK = "#8B0000", "#A6A6A6", "#222222"
ARMS = {"control": CONTROL, "treatment": TREATMENT}
LINES = {"truth": (TRUTH, "--"), "zero": (INK, "-"), "ours": (BLUE, "-")}
Marks = Mapping[str, float] | None
Cut = float | Mapping[str, float]
Piles = Mapping[str, Any]


def use_style() -> None:
    """Set the course's look for the figures and numbers that follow.

    No table is taken for formulas: $5 is money, and text of a file is shown as it stands.
    """
    plt.style.use(STYLE)
    pd.set_option("display.html.use_mathjax", False, "display.precision", 4)
    pd.set_option("display.max_colwidth", None)  # reasons are told to their end
    shell = get_ipython()
    if shell is not None:
        for kind in (float, np.float64):
            shell.display_formatter.formatters["text/plain"].for_type(kind, print_number)


def print_number(x: float, page: Any, _cycle: bool = False) -> None:
    """IPython's printer of a number that ends a cell: four decimals, four digits where smaller."""
    page.text(f"{x + 0.0:.4f}" if x == 0 or abs(x) >= 0.1 else f"{x:.4g}")


def show(figure: Figure, alt: str, says: str = "") -> None:
    """Display the figure with `alt` as its alternative text, and close it.

    Under it stand what to see, `says`, and the alternative text, folded: JupyterLab gives its
    pictures none.
    """
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    plt.close(figure)
    alt = " ".join(alt.split())
    png = base64.b64encode(picture.getvalue()).decode("ascii")
    display({"image/png": png, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    line = words.as_html(says) + words.details("in words", alt)
    display({"text/html": line, "text/plain": says or "in words"}, raw=True)


def intervals(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    marks: Marks = None,
    behind: pd.DataFrame | None = None,
) -> None:
    """Show dots and their intervals, one a row; grey and hollow where the interval holds zero.

    table: low, estimate and high; a note to write at the right, and the truth of each row, if there
    are any; its index names the rows. behind: low and high of other intervals, drawn pale.
    """
    show(*intervals_drawn(table, title, xlabel, marks, behind))


def intervals_drawn(
    table: pd.DataFrame,
    title: str,
    xlabel: str,
    marks: Marks = None,
    behind: pd.DataFrame | None = None,
) -> tuple[Figure, str]:
    """The figure that `intervals` shows, and its words."""
    figure, (ax,) = _axes(title, 1.3 + 0.36 * len(table), xlabel, marks)
    y = np.arange(len(table))[::-1]
    out = _leaves_out(table["low"], table["high"], 0) & (table["low"] < table["high"]).to_numpy()
    zero = "zero" in (marks or {})
    if behind is not None:
        ax.hlines(y, behind["low"], behind["high"], color=FAINT, alpha=0.5, linewidth=7)
    ax.hlines(y, table["low"], table["high"], color=np.where(out | (not zero), BLUE, FAINT))
    if "truth" in table:
        ax.plot(table["truth"], y - 0.2, "d", color=TRUTH)
    ax.plot(table["estimate"], y, "o", color=BLUE, markerfacecolor="white")
    ax.plot(table["estimate"][out], y[out], "o", color=BLUE)
    ax.set_yticks(y, table.index.astype(str))
    ax.set_ylim(-0.6, len(table) - 0.4)
    for place, note in zip(y, table.get("note", []), strict=False):
        _write(ax, 1, place, f" {note}", transform=ax.get_yaxis_transform(), va="center")
    return figure, f"{title}. {_rows(table, xlabel, out if zero else None)}."


def _rows(table: pd.DataFrame, xlabel: str, out: np.ndarray | None) -> str:
    """What `intervals` shows, in words; out: which of them leave out zero, if that is a question.

    Up to three of those are named.
    """
    if not (table["low"] < table["high"]).any():
        return f"Dots over {xlabel}, one a row ({len(table)}), and no intervals"
    said = f"Intervals over {xlabel}, one a row ({len(table)})"
    if out is None:
        return said
    names = ", ".join(shown(name, 40) for name in table.index[out])
    return f"{said}; {out.sum()} leave out zero{f': {names}' if 0 < out.sum() <= 3 else ''}"


def hundred(runs: pd.DataFrame, truth: float) -> None:
    """Show the intervals of the first hundred experiments, sorted by lift, against the truth.

    runs: lift, ci_low and ci_high, one row an experiment, as from `inference.welch_many`.
    """
    some = runs.dropna().head(100).sort_values("lift")
    out = _leaves_out(some["ci_low"], some["ci_high"], 0)
    missed = _leaves_out(some["ci_low"], some["ci_high"], truth)
    title = f"{(~missed).sum()} of {len(some)} hold the truth; {out.sum()} leave out zero"
    figure, (ax,) = _axes(title, 4.6, "lift, points", {"zero": 0.0, "truth": truth})
    y = np.arange(len(some))
    ax.hlines(y, some["ci_low"], some["ci_high"], color=np.where(out, BLUE, FAINT), linewidth=1.4)
    for chosen, marker, colour in ((~out, ".", FAINT), (out, ".", BLUE), (missed, "x", WRONG)):
        ax.plot(some["lift"][chosen], y[chosen], marker, color=colour)
    ax.set(yticks=[], ylim=(-2, len(some) + 1))
    says = "Blue: the interval leaves out zero. A cross: it misses the truth."
    show(figure, f"{title}. Horizontal lines sorted by lift, one an experiment. {says}", says)


def landing(piles: Piles, title: str, xlabel: str, cut: Cut = np.inf, marks: Marks = None) -> None:
    """Show where many draws land: a histogram a row, one under another, on one axis.

    cut: beyond it, on either side, draws are dark red, and their share is written; one for all
    rows, or one for each.
    """
    piles = {name: np.asarray(values)[np.isfinite(values)] for name, values in piles.items()}
    figure, axes = _axes(title, 1.3 + 0.9 * len(piles), xlabel, marks, rows=len(piles))
    every = np.concatenate([*piles.values(), [] if any(map(len, piles.values())) else [0, 1]])
    ends = np.quantile(every, [0.0005, 0.9995])
    told = []
    for ax, (name, values) in zip(axes, piles.items(), strict=True):
        limit = cut[name] if isinstance(cut, Mapping) else cut
        far, edges = np.abs(values) >= limit, _edges(values, ends, limit)
        parts = [np.clip(values[chosen], edges[0], edges[-1]) for chosen in (~far, far)]
        ax.hist(parts, edges, density=True, stacked=True, color=[FAINT, WRONG])
        if np.isfinite(limit):
            told.append(words.percent(far.mean()))
            _write(ax, 1, 0.6, told[-1], WRONG, transform=ax.transAxes, ha="right")
        ax.set_yticks([])
        ax.set_ylabel(name, rotation=0, ha="right", va="center")
    beyond = f" Coloured beyond the cut: {', '.join(told)}." if told else ""
    show(figure, f"{title}. One histogram a row ({len(piles)}) over {xlabel}.{beyond}")


def _edges(values: np.ndarray, ends: np.ndarray, limit: float) -> np.ndarray:
    """Of some 60 bars: whole steps wide where values come in steps, else one ends at the limit."""
    values = values[(values >= ends[0]) & (values <= ends[1])]
    if not values.size:
        return np.array(ends)
    low, high = values.min(), values.max()
    width, step = (high - low) / 60, np.diff(np.unique(values)).min(initial=high - low)
    if step > width / 8:
        width = step * np.ceil(width / step)
        return np.arange(low - step / 2, high + width, width)
    return np.unique([*np.linspace(low, high, 61), *np.clip([-limit, limit], low, high)])


def strips(worlds: Mapping[str, pd.DataFrame], truth: float, title: str) -> None:
    """Show many estimates as dots, a row each, with the share of significant ones at the right.

    worlds: by the row's name, lift and p_value of each experiment, as from `inference.welch_many`.
    """
    figure, (ax,) = _axes(
        title, 1.3 + 0.6 * len(worlds), "estimated lift, points", {"zero": 0.0, "truth": truth}
    )
    told = []
    for row, runs in enumerate(map(pd.DataFrame.dropna, worlds.values())):
        clear = (runs["p_value"] < 0.05).to_numpy()
        y = row + np.random.default_rng(1).uniform(-0.33, 0.33, len(runs))
        ax.plot(runs["lift"][~clear], y[~clear], ".", color=FAINT, markersize=3)
        ax.plot(runs["lift"][clear], y[clear], "d", color=BLUE, markersize=4)
        told.append(f"{words.percent(clear.mean(), 0)} significant" if len(runs) else "no test")
        _write(ax, 1, row, told[-1], BLUE, transform=ax.get_yaxis_transform(), va="center")
    ax.set_yticks(range(len(worlds)), list(worlds))
    ax.invert_yaxis()
    alt = f"{title}. Dots along the lift, a row each, scattered around the truth"
    show(figure, f"{alt}: {told[0]} in the first row, {told[-1]} in the last.")


def curves(
    table: pd.DataFrame,
    title: str,
    ylabel: str,
    points: Mapping[str, tuple[float, float]] | None = None,
    level: tuple[str, float] | None = None,
    log: bool = False,
) -> None:
    """Show functions as lines, each with its name at its end.

    table: a column a line; its index, with a name, goes along the x axis. points: x and y of what
    is marked, by name. level: name and height of a dotted line. log: equal steps, equal ratios.
    """
    figure, (ax,) = _axes(title, 3.4, str(table.index.name), None)
    falls = table.iloc[-1, 0] < table.iloc[0, 0]  # names stand where no line is
    place, gap = -np.inf, 0.07 * np.ptp(table.to_numpy())
    colours = dict(zip(table, (BLUE, GREEN, ORANGE, INK), strict=False)) | ARMS
    for name, end in table.iloc[-1].sort_values().items():  # names do not overlap
        ax.plot(table.index, table[name], color=colours[name])
        place = max(place + gap, end)
        _write(ax, table.index[-1], place, f" {name}", colours[name], va="center")
    for name, at in (points or {}).items():
        ax.plot(*at, "o", color=INK)
        _write(ax, *at, f"  {name}  ", ha="left" if falls else "right", va="bottom")
    if level is not None:
        ax.axhline(level[1], color=INK, linestyle=":", linewidth=1.2)
        _write(ax, 0, level[1], f" {level[0]}", transform=ax.get_yaxis_transform(), va="bottom")
    ax.set(ylabel=ylabel, xscale="log" if log else "linear")
    ax.margins(x=0.08)
    ax.xaxis.set_major_formatter("{x:,.4g}")
    ax.xaxis.set_minor_formatter("")
    lines = f"Named lines ({len(table.columns)}) over {table.index.name}; up: {ylabel}."
    show(figure, f"{title}. {lines}")


def detectable(planned: pd.DataFrame, worth: float, unit: str) -> None:
    """Show how small a lift all users and each segment can see, against their customers.

    planned: from `planning.plan`, its first row all users. Filled: worth can be seen there; green
    squares: adjusted for the baseline, where the plan says it. The grey line: all users,
    were they fewer. Rows that can see no lift are left out, and that is told.
    """
    show(*detectable_drawn(planned, worth, unit), "Filled: worth is seen. Green, if any: adjusted.")


def detectable_drawn(planned: pd.DataFrame, worth: float, unit: str) -> tuple[Figure, str]:
    """The figure that `detectable` shows, and its words."""
    lifts = planned.filter(like="smallest_detectable").replace(np.inf, np.nan)
    plain, x, least = lifts.iloc[:, 0], planned["customers"], f"worth {words.given(worth)}"
    a, *b = (f"{(y[1:] <= worth).sum()} of {len(x) - 1}" for _, y in lifts.items())
    title = f"Alone: {a} segments; adjusted {b[0]}" if b else f"{a} segments can be tested alone"
    others = " (rows that can see no lift are left out)" * bool(plain.isna().any())
    figure, (ax,) = _axes(title, 3 + 0.2 * len(x), f"customers{others}", None)
    ends, every = np.array([x.min() / 2, 1.6 * x.max()]), np.append(lifts, worth)
    span = np.nanmin(every) / 1.6, np.nanmax(every) * 1.6
    ax.loglog(ends, plain.iloc[0] * np.sqrt(x.iloc[0] / ends), color=FAINT, zorder=1)
    ax.axhline(worth, color=INK, linestyle=":", linewidth=1.2)
    _write(ax, ends[0], worth, f" {least}", va="bottom")
    for (_, y), hue, mark in zip(lifts.items(), (BLUE, GREEN), "os", strict=False):
        ax.scatter(x, y, 40, np.where(y <= worth, hue, "white"), marker=mark, ec=hue, zorder=3)
    names, lead = plain.dropna().sort_values().index, {"arrowstyle": "-", "color": FAINT, "lw": 0.6}
    for name, y in zip(names, np.geomspace(*span, len(names) + 2)[1:], strict=False):  # apart
        at = (x[name], plain[name]), (1.1 * ends[1], y)
        ax.annotate(shown(name, 20), *at, va="center", arrowprops=lead)
    ax.set(xlim=ends, ylim=span, ylabel=f"lift, {unit}")
    for axis in (ax.xaxis, ax.yaxis):
        ticks = mpl.ticker.LogLocator(subs=(1, 2, 5))
        axis.set(major_locator=ticks, major_formatter="{x:,.4g}", minor_formatter="")
    return figure, f"{title}. Dots over customers: the smallest lift that is seen, {unit}."


def _axes(title: str, height: float, xlabel: str, marks: Marks, rows: int = 1) -> Any:
    """A figure with its finding as title, and its rows, with the marks as vertical lines."""
    figure, axes = plt.subplots(rows, sharex=True, squeeze=False, figsize=(6.4, height))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    axes[-1, 0].set_xlabel(xlabel)
    marks, top = marks or {}, axes[0, 0].get_xaxis_transform()
    order = sorted(marks, key=lambda name: marks[name])
    for name, x in marks.items():
        colour, style = LINES.get(name.split()[0], (INK, ":"))
        for ax in axes[:, 0]:
            ax.axvline(x, color=colour, linestyle=style, linewidth=1.2)
        side = {order[0]: "right", order[-1]: "left"}.get(name, "center")
        name += f" {words.given(x, sign=True)}" if name == "truth" else ""
        _write(axes[0, 0], x, 1.01, f" {name} ", colour, transform=top, ha=side, va="bottom")
    return figure, axes[:, 0]


def _leaves_out(low: pd.Series, high: pd.Series, value: float) -> np.ndarray:
    return ((low > value) | (high < value)).to_numpy()


def _write(ax: Axes, x: float, y: float, text: str, colour: str = INK, **how: Any) -> None:
    """A name in the figure, at its line, in a colour that can be read."""
    ax.text(x, y, text, color=readable(colour), fontsize=11, **how)


def readable(colour: str) -> str:
    """The colour, or the first darker one of its hue whose contrast with white is 4.5.

    Contrast as in WCAG 2.2, success criterion 1.4.3 and its definition of relative luminance.
    """
    rgb = np.array(mpl.colors.to_rgb(colour))
    while True:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        if 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5:
            return mpl.colors.to_hex((rgb[0], rgb[1], rgb[2]))
        rgb = np.floor(rgb * 0.97 * 255) / 255
