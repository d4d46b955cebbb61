"""Sentences from results, right in every case: signs, plurals, unbounded intervals, and verdicts."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from IPython.display import display

from helpers import InputError, is_number

if TYPE_CHECKING:
    from helpers.inference import Comparison

GAIN, LOSS, TOO_SMALL, OPEN = (
    "clear gain",
    "clear loss",
    "no gain worth having",
    "too uncertain to tell",
)
SHIP, HOLD, COLLECT = "ship", "hold", "collect more"


def number(x: float, digits: int = 2, sign: bool = False) -> str:
    """A number for a sentence: thousands separated, no negative zero, a plus on demand, words for inf and nan."""
    if not math.isfinite(x):
        return "undefined" if math.isnan(x) else "unbounded"
    rounded = round(x, digits) + 0.0
    return f"{rounded:{'+' if sign and rounded else ''},.{digits}f}"


def given(x: float) -> str:
    """A number that somebody typed, not rounded onto another: two decimals where they suffice, else four digits."""
    return number(x) if round(x, 2) == x else f"{x:,.4g}"


def percent(share: float, digits: int = 1, sign: bool = False) -> str:
    """A share as per cent: 0.046 gives "4.6 %"."""
    return number(100 * share, digits, sign) + (" %" if math.isfinite(share) else "")


def interval(low: float, high: float, digits: int = 2, as_percent: bool = False) -> str:
    """Both ends with their signs, "-2.90 to +10.33"; "unbounded" when either end is infinite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "unbounded"
    write = percent if as_percent else number
    return f"{write(low, digits, sign=True)} to {write(high, digits, sign=True)}"


def count(n: float, noun: str, plural: str | None = None) -> str:
    """A whole number with its noun: "1 customer", "2,000 customers"."""
    return f"{n:,.0f} {noun if round(n) == 1 else plural or noun + 's'}"


def p_value(p: float) -> str:
    """ "p = 0.2993", or "p < 0.0001" when that is all four digits can say; never rounded onto 0.05."""
    return "p < 0.0001" if p < 0.00005 else f"p = {p:.{digits_apart((p,), (0.05,), least=4)}f}"


def digits_apart(values: tuple[float, ...], borders: tuple[float, ...], least: int = 2) -> int:
    """The fewest digits, `least` or more, at which rounding moves no value onto or across a border."""
    for digits in range(least, 12):
        pairs = [(x, round(x, digits), border) for x in values for border in borders]
        if all((x < border, x > border) == (r < border, r > border) for x, r, border in pairs):
            return digits
    return 12


def verdict_label(low: float, high: float, worth: float = 1.0) -> str:
    """What an interval for the lift says, in one of four labels.

    A gain or a loss is clear when zero lies outside the interval. Otherwise, if even the upper end is below `worth`,
    the smallest lift worth having, there is no gain worth having; else it is too uncertain to tell.
    Raises InputError unless worth is a number above 0.
    """
    check_worth(worth)
    if low > 0:
        return GAIN
    if high < 0:
        return LOSS
    return TOO_SMALL if high < worth else OPEN


def decision(low: float, high: float, worth: float) -> str:
    """What to do with a segment, from the interval for its lift and the smallest lift worth having.

    ship: zero is excluded, and the lift may be worth having; hold: even the upper end is not worth having; collect
    more: the interval holds both zero (or less) and lifts worth having. Blanks (not testable) collect more.
    """
    check_worth(worth)
    if high < worth:
        return HOLD
    return SHIP if low > 0 else COLLECT


def check_worth(worth: float) -> None:
    """Raise InputError unless worth, the smallest lift worth having, is a number above 0."""
    if not (is_number(worth) and worth > 0):
        raise InputError(
            f"is {worth!r}; give the smallest lift worth having, a number above 0.", "worth"
        )


def verdict(
    result: Comparison, worth: float = 1.0, unit: str = "points", scale: float = 1.0
) -> str:
    """The verdict on one experiment: what was seen, what that lets us say, and whether per cent can be given at all.

    worth: the smallest lift worth having, in the unit of the outcome. scale: from there to `unit`, such as 100 from
    a rate to percentage points. Raises InputError unless worth is above 0.
    """
    check_worth(worth)
    low, high, worth = scale * result.ci_low, scale * result.ci_high, scale * worth
    ends = interval(low, high, digits_apart((low, high), (0.0, worth)))
    seen = f"Treatment minus control is {number(scale * result.lift, sign=True)} {unit}"
    least = f"{given(worth)} {unit}"
    label = verdict_label(low, high, worth)
    if label == GAIN and low >= worth:
        said = f"A clear gain, and one worth having: the whole interval is at {least} or more."
    elif label == GAIN and high < worth:
        said = (
            f"A clear gain, but too small to be worth having: the whole interval is below {least}."
        )
    elif label == GAIN:
        said = f"A clear gain; whether it reaches the {least} worth having is still open."
    elif label == LOSS:
        said = "A clear loss: the whole interval is below zero."
    elif label == TOO_SMALL:
        said = f"No gain worth having: zero is inside the interval and even its upper end is below {least}."
    else:
        said = f"Too uncertain to tell: the interval holds zero, and also lifts of {least} or more."
        said += " That is a lack of information, not evidence of no effect."
    if not math.isfinite(result.relative_ci_low):
        said += " In per cent nothing bounded can be said: the control mean itself cannot be told from zero."
    return f"{seen} (interval {ends}, {p_value(result.p_value)}). {said}"


def say(*sentences: str) -> None:
    """Display sentences as text of the page, so that computed words read like typed ones."""
    text = " ".join(filter(None, sentences))
    display(
        {"text/markdown": text.replace("$", r"\$").replace("<", "&lt;"), "text/plain": text},
        raw=True,
    )


def answer(text: str, summary: str = "Show the answer") -> None:
    """Display a computed answer, folded until the reader clicks on it."""
    inside = f"<summary>{escape(summary)}</summary><p>{escape(text).replace('$', '&#36;')}</p>"
    html = f'<details class="mathjax_ignore tex2jax_ignore">{inside}</details>'
    display({"text/html": html, "text/plain": f"{summary}: {text}"}, raw=True)
