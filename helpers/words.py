"""Sentences from results, right in every case: signs, plurals, unbounded intervals, verdicts."""

from __future__ import annotations

import math
import re
from html import escape, unescape
from typing import TYPE_CHECKING

from IPython.display import display

from helpers import InputError, is_number, shown

if TYPE_CHECKING:
    from helpers.comparison import Comparison

GAIN, LOSS = "clear gain", "clear loss"
TOO_SMALL, OPEN = "no gain worth having", "too uncertain to tell"
FEW = "too few customers"
SHIP, HOLD, COLLECT, NOT_WORSE = "ship", "hold", "collect more", "not worse"
DO_NOT_READ, CHECK = "do not read", "check the ratio"
# What `say` takes as it stands, and what Markdown (or MathJax, for $) would otherwise obey.
CODE = re.compile(r'((?<!`)`[\w ().,"=-]+`(?!`))')
LIVE = re.compile(
    r"[\\$<\[~@]|://|www\.|(?<![^\W_])_|_(?![^\W_])|^ *[#>+=]", flags=re.MULTILINE | re.IGNORECASE
)


def number(x: float, digits: int = 2, sign: bool = False) -> str:
    """A number for a sentence: thousands separated, no negative zero, a plus sign on demand.

    nan and the infinite are words.
    """
    if math.isnan(x):
        return "undefined"
    if math.isinf(x):
        return "unbounded"
    rounded = round(x, digits) + 0.0
    plus = "+" if sign and rounded else ""
    return f"{rounded:{plus},.{digits}f}"


def given(x: float, sign: bool = False) -> str:
    """A number that somebody typed, not rounded onto another; a plus sign on demand.

    Two decimals where they suffice, else up to ten digits.
    """
    if round(x, 2) == x:
        return number(x, sign=sign)
    return f"{x:{'+' if sign else ''},.10g}"


def percent(share: float, digits: int = 1, sign: bool = False) -> str:
    """A share as per cent: 0.046 gives "4.6 %"."""
    unit = " %" if math.isfinite(share) else ""
    return number(100 * share, digits, sign) + unit


def interval(low: float, high: float, digits: int = 2, as_percent: bool = False) -> str:
    """Both ends with their signs, "-2.90 to +10.33"; "unbounded" when either end is infinite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "unbounded"
    write = percent if as_percent else number
    return f"{write(low, digits, sign=True)} to {write(high, digits, sign=True)}"


def count(n: float, noun: str, plural: str | None = None) -> str:
    """A whole number with its noun: "1 customer", "2,000 customers"."""
    many = plural or f"{noun}s"
    return f"{n:,.0f} {noun if round(n) == 1 else many}"


def p_value(p: float) -> str:
    """The p-value with four digits, "p = 0.2993" or "p < 0.0001"; never rounded onto a limit."""
    if p < 0.00005:
        return "p < 0.0001"
    return f"p = {number(p, digits_apart((p,), (0.001, 0.05), least=4))}"


def digits_apart(values: tuple[float, ...], borders: tuple[float, ...], least: int = 2) -> int:
    """The fewest digits, `least` or more, at which no value is rounded onto or across a border."""

    def side(x: float, border: float) -> tuple[bool, bool]:
        return x < border, x > border

    for digits in range(least, 12):
        pairs = [(x, border) for x in values for border in borders]
        if all(side(x, border) == side(round(x, digits), border) for x, border in pairs):
            return digits
    return 12


def verdict_label(low: float, high: float, worth: float = 1.0) -> str:
    """What an interval for the lift says, in one of five labels.

    A gain or a loss is clear when zero lies outside the interval. Otherwise, if even the upper end
    is below `worth`, the smallest lift worth having, there is no gain worth having; else it is too
    uncertain to tell. Where there is no interval (nan), there are too few customers.
    Raises InputError as `check_worth` does.
    """
    check_worth(worth)
    if math.isnan(low):
        return FEW
    if low > 0:
        return GAIN
    if high < 0:
        return LOSS
    return TOO_SMALL if high < worth else OPEN


def decision(low: float, high: float, worth: float, lower_is_better: bool = False) -> str:
    """What to do with a segment, from the interval for its lift and the smallest one worth having.

    ship: zero is excluded, and the lift may be worth having; hold: even the upper end is not worth
    having, and why: a clear loss, a gain too small, or no gain worth having; collect more: the
    interval holds both zero (or less) and lifts worth having. Blanks (not testable) collect more.
    lower_is_better: a fall is a gain, and worth is the smallest fall worth having.
    Raises InputError as `check_worth` does.
    """
    check_worth(worth)
    if lower_is_better:
        low, high = -high, -low
    if high < worth:
        kind = LOSS if high < 0 else "gain too small" if low > 0 else TOO_SMALL
        return f"{HOLD}: {kind}"
    return SHIP if low > 0 else COLLECT


def margin_decision(low: float, high: float, margin: float, lower_is_better: bool = False) -> str:
    """Whether something may be no worse than a margin allows, from the interval for its lift.

    not worse: the whole interval lies above -margin (below margin, if lower_is_better), and what is
    known of the sign; hold: the whole interval is worse than that; else, and for blanks, collect
    more.
    Raises InputError unless the margin is from 1e-9 to 1e15.
    """
    check_worth(margin, "margin", "the largest loss that you would accept")
    if lower_is_better:
        low, high = -high, -low
    if low > -margin:
        kind = GAIN if low > 0 else f"{LOSS}, smaller than the margin" if high < 0 else ""
        return f"{NOT_WORSE}: {kind}" if kind else NOT_WORSE
    return f"{HOLD}: worse than the margin" if high < -margin else COLLECT


def check_worth(
    worth: float, knob: str = "worth", what: str = "the smallest lift worth having"
) -> None:
    """Raise InputError unless worth, or what the knob is about, is from 1e-9 to 1e15."""
    if not (is_number(worth) and 1e-9 <= worth <= 1e15):
        raise InputError(f"is {worth!r}; give {what}, from 1e-9 to 1e15.", knob)


class Verdict(str):
    """A verdict, which shows itself as text of the page where it is the last value of a cell."""

    def _repr_markdown_(self) -> str:
        return as_markdown(self)

    __repr__ = str.__str__


def verdict(
    result: Comparison, worth: float = 1.0, unit: str = "points", scale: float = 1.0
) -> Verdict:
    """The verdict on one experiment: what was seen, and what that lets us say.

    It adds where nothing can be said in per cent. worth: the smallest lift worth having, in the
    unit of the outcome. scale: from there to `unit`, such as 100 from a rate to percentage points.
    Raises InputError as `check_worth` does.
    """
    check_worth(worth)
    low, high, worth = scale * result.ci_low, scale * result.ci_high, scale * worth
    digits = digits_apart((low, high), (0.0, worth))
    lift = number(
        scale * result.lift, max(2, digits_apart((scale * result.lift,), (low, high))), True
    )
    ends = interval(low, high, digits)
    seen = f"Treatment minus control is {lift} {unit} (interval {ends}, {p_value(result.p_value)})."
    said = _said(low, high, worth, f"{given(worth)} {unit}")
    if not math.isfinite(result.relative_ci_low):
        said += (
            " In per cent nothing bounded can be said: the control mean itself cannot be told "
            "from zero."
        )
    return Verdict(f"{seen} {said}")


def _said(low: float, high: float, worth: float, least: str) -> str:
    """The verdict of an interval in a sentence or two; least: what is worth having, in words."""
    label = verdict_label(low, high, worth)
    if label == LOSS:
        return "A clear loss: the whole interval is below zero."
    if label == TOO_SMALL:
        return (
            "No gain worth having: zero is inside the interval and even its upper end is below "
            f"{least}."
        )
    if label == OPEN:
        return (
            f"Too uncertain to tell: the interval holds zero, and also lifts of {least} or more. "
            "That is a lack of information, not evidence of no effect."
        )
    if low >= worth:
        return f"A clear gain, and one worth having: the whole interval is at {least} or more."
    if high < worth:
        return (
            f"A clear gain, but too small to be worth having: the whole interval is below {least}."
        )
    return f"A clear gain; whether it reaches the {least} worth having is still open."


def name(value: object, most: int = 200) -> str:
    """A value of a file or a knob for a sentence that `say` displays: shown as it is, not obeyed.

    What has more than `most` characters is shortened. What is printed, or folded by `answer`, does
    not need it.
    """
    live = r"[*`&]|^[-+#>=]|^\d(?=\d*[.)])"
    return re.sub(live, lambda sign: f"&#{ord(sign[0])};", shown(value, most))


def say(*sentences: str) -> None:
    """Display sentences as text of the page, so that computed words read like typed ones.

    Of Markdown they may have **strong** and *emphasised* words, `code` without brackets, and a
    hyphen that starts a line of a list; all else is shown as it is.
    """
    text = " ".join(filter(None, sentences))
    display({"text/markdown": as_markdown(text), "text/plain": unescape(text)}, raw=True)


def as_markdown(text: str) -> str:
    """A text for Markdown, which obeys no more of it than `say` says."""
    parts = CODE.split(text)
    parts[::2] = [LIVE.sub(_as_text, part) for part in parts[::2]]
    return "".join(parts)


def _as_text(live: re.Match) -> str:
    """What Markdown would obey, spelled so that it does not."""
    usual = {"$": r"\$", "<": "&lt;"}
    return usual.get(live[0]) or "".join(f"&#{ord(sign)};" for sign in live[0])


def answer(text: str, summary: str = "Show the answer") -> None:
    """Display a computed answer, folded until the reader clicks on it."""
    display({"text/html": details(summary, text), "text/plain": f"{summary}: {text}"}, raw=True)


def details(summary: str, text: str) -> str:
    """HTML that shows the summary, and the text under it once the reader clicks."""
    inside = f"<summary>{as_html(summary)}</summary><p>{as_html(text)}</p>"
    return f'<details class="mathjax_ignore tex2jax_ignore">{inside}</details>'


def as_html(text: str) -> str:
    """A text for HTML that shows every letter of it, where formulas are read, too."""
    return escape(text).replace("$", "&#36;")


def enough(needed: float, users: float) -> str:
    """How many users in all give the power of 80 %, and whether they are there already."""
    many = count(math.ceil(needed), "user") if needed < 1e12 else f"{needed:.0e} users"
    return (
        f"the {many} for 80 % power are there" if users >= needed else f"80 % power: {many} in all"
    )
