"""Sentences follow the numbers: every verdict, every boundary, every way of writing a number."""

import dataclasses
import math
import re
from html import unescape
from types import SimpleNamespace

import mistune
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from IPython.core.formatters import PlainTextFormatter

from helpers import inference, words
from helpers.inference import compare_means_from_stats, compare_rates
from helpers.words import (
    COLLECT,
    GAIN,
    HOLD,
    LOSS,
    NOT_WORSE,
    OPEN,
    SHIP,
    TOO_SMALL,
    decision,
    margin_decision,
    verdict,
    verdict_label,
)
from tests.guards import guard_message

STEADY = settings(
    deadline=None, derandomize=True, database=None, max_examples=300, phases=[Phase.generate]
)
TINY = 1e-9


def result(low, high, p_value=0.2):
    """A comparison with this interval for the lift."""
    base = compare_means_from_stats(10, 1, 20, 11, 1, 20)
    return dataclasses.replace(
        base, lift=(low + high) / 2, ci_low=low, ci_high=high, p_value=p_value
    )


# Verdicts

VERDICTS = [
    # low, high, worth, label, words of the sentence
    (1.5, 4, 1, GAIN, "worth having: the whole interval is at 1.00 points or more"),
    (1, 4, 1, GAIN, "worth having: the whole interval is at 1.00 points or more"),
    (0.2, 4, 1, GAIN, "whether it reaches the 1.00 points worth having is still open"),
    (0.2, 1, 1, GAIN, "whether it reaches the 1.00 points worth having is still open"),
    (0.2, 0.8, 1, GAIN, "too small to be worth having: the whole interval is below 1.00 points"),
    (-4, -0.2, 1, LOSS, "A clear loss: the whole interval is below zero"),
    (
        -4,
        4,
        1,
        OPEN,
        "Too uncertain to tell: the interval holds zero, and also lifts of 1.00 points or more",
    ),
    (-4, 1, 1, OPEN, "not evidence of no effect"),
    (-4, 0.8, 1, TOO_SMALL, "No gain worth having: zero is inside the interval"),
    (-4, 0, 1, TOO_SMALL, "even its upper end is below 1.00 points"),
    (0, 4, 1, OPEN, "Too uncertain to tell"),
    (0, 0.8, 1, TOO_SMALL, "No gain worth having"),
    (0, 0, 1, TOO_SMALL, "No gain worth having"),
    (-4, 4, 5, TOO_SMALL, "below 5.00 points"),
    (-math.inf, math.inf, 1, OPEN, "Too uncertain to tell"),
    (-math.inf, -1, 1, LOSS, "A clear loss"),
]


@pytest.mark.parametrize(("low", "high", "worth", "label", "said"), VERDICTS)
def test_verdict(low, high, worth, label, said):
    assert verdict_label(low, high, worth) == label
    comparison = (
        result(low, high)
        if math.isfinite(low)
        else dataclasses.replace(result(-1, 1), ci_low=low, ci_high=high)
    )
    sentence = verdict(comparison, worth)
    assert said in sentence
    assert sentence.endswith(".")
    assert ". ." not in sentence
    assert ".." not in sentence


def test_a_verdict_shows_itself():
    """As text of the page where it ends a cell; what a file called a unit is not obeyed."""
    result = inference.compare_means([1, 2, 3], [2, 3, 5])
    said = words.verdict(result, 1.0, "points of $x$ <b>")
    assert PlainTextFormatter()(said) == said and isinstance(said, str)
    shown = said._repr_markdown_()
    assert r"\$x\$" in shown and "&lt;b>" in shown and shown.startswith("Treatment minus control")


def test_where_there_is_no_interval_there_were_too_few():
    assert words.verdict_label(math.nan, math.nan) == words.FEW == "too few customers"
    assert words.p_value(math.nan) == "p = undefined"


@pytest.mark.parametrize("limit", [0.05, 0.001])
def test_a_p_value_is_not_rounded_onto_a_limit(limit):
    """The pages compare p with both, the ratio check with 0.001."""
    for p in (limit - 4e-5, limit + 4e-5, limit - 3e-7, limit + 3e-7):
        shown = float(words.p_value(p).removeprefix("p = "))
        assert (shown < limit, shown > limit) == (p < limit, p > limit)
    assert float(words.p_value(limit).removeprefix("p = ")) == limit


def test_verdict_states_what_was_seen():
    sentence = verdict(result(-2.9, 10.33, p_value=0.29934), unit="k$")
    assert sentence.startswith(
        "Treatment minus control is +3.71 k$ (interval -2.90 to +10.33, p = 0.2993). Too unc"
    )
    assert "(interval unbounded, p < 0.0001)" in verdict(
        dataclasses.replace(result(-1, 1), ci_low=-math.inf, ci_high=math.inf, p_value=1e-9)
    )


def test_label_steps_over_at_zero_and_at_worth():
    assert [verdict_label(low, 5, 1) for low in (-TINY, 0, TINY)] == [OPEN, OPEN, GAIN]
    assert [verdict_label(-5, high, 1) for high in (-TINY, 0, TINY)] == [LOSS, TOO_SMALL, TOO_SMALL]
    assert [verdict_label(-5, high, 1) for high in (1 - TINY, 1, 1 + TINY)] == [
        TOO_SMALL,
        OPEN,
        OPEN,
    ]


ENDS = st.tuples(st.floats(-20, 20) | st.just(0.0), st.floats(-20, 20) | st.just(0.0)).map(sorted)
WORTHS = st.sampled_from([TINY, 0.5, 1, 10])


def guard_label(label_of):
    """A label may say only what the interval says: its sign, zero, and the lift worth having."""

    @STEADY
    @given(ENDS, WORTHS)
    def check(ends, worth):
        low, high = ends
        label = label_of(low, high, worth)
        assert (label == GAIN) == (low > 0)
        assert (label == LOSS) == (high < 0)
        assert (label == OPEN) == (low <= 0 and high >= worth)
        assert label in (GAIN, LOSS, OPEN, TOO_SMALL)

    check()


def by_p_alone(low, high, worth):
    """Not significant, so no effect: absence of evidence sold as evidence of absence."""
    return GAIN if low > 0 or high < 0 else TOO_SMALL


def by_point_alone(low, high, worth):
    middle = (low + high) / 2
    return LOSS if middle < 0 else GAIN if middle >= worth else TOO_SMALL


def zero_counts_as_outside(low, high, worth):
    return GAIN if low >= 0 else verdict_label(low, high, worth)


def test_label_never_contradicts_the_interval():
    guard_label(verdict_label)


@pytest.mark.parametrize("faulty", [by_p_alone, by_point_alone, zero_counts_as_outside])
def test_hasty_labels_are_caught(faulty):
    with pytest.raises(AssertionError):
        guard_label(faulty)


def guard_printed_interval(verdict_of, low, high, worth=1.0):
    """The interval as it stands in the sentence must lead its reader to the same label."""
    printed = re.search(r"interval (\S+) to ([^\s,]+)", verdict_of(result(low, high), worth))
    shown_low, shown_high = (float(end) for end in printed.groups())
    assert verdict_label(shown_low, shown_high, worth) == verdict_label(low, high, worth)
    assert (shown_low >= worth) == (low >= worth)


@pytest.mark.parametrize(
    "ends", [(-2.9, 10.33), (0.5, 1.5), (-3, -0.01), (-3, 0.5), (1, 2), (0.01, 0.99)]
)
def test_printed_interval_says_what_the_verdict_says(ends):
    guard_printed_interval(verdict, *ends)


def test_an_interval_printed_too_coarsely_is_caught():
    with pytest.raises(AssertionError):
        guard_printed_interval(
            lambda r, worth: f"interval {r.ci_low:.0f} to {r.ci_high:.0f}", 0.3, 7
        )


@pytest.mark.parametrize("ends", [(0.004, 7), (-7, -0.004), (-0.3, 0.996), (0.996, 7)])
def test_rounding_does_not_move_the_interval_across_a_boundary(ends):
    guard_printed_interval(verdict, *ends)


# A verdict in another unit

POINTS = {"unit": "percentage points", "scale": 100}


def guard_scale(verdict_of):
    """A rate told in percentage points: as if all its numbers had been multiplied by 100 first."""

    @STEADY
    @given(
        st.tuples(
            st.floats(-1, 1) | st.sampled_from([0.0, 0.01, 0.07]), st.floats(-1, 1) | st.just(0.0)
        ).map(sorted),
        st.sampled_from([0.01, 0.005, 0.07]),
    )
    def check(ends, worth):
        rate, in_points = result(*ends), result(*(100 * end for end in ends))
        in_points = dataclasses.replace(in_points, lift=100 * rate.lift)
        assert verdict_of(rate, worth, **POINTS) == verdict(
            in_points, 100 * worth, "percentage points"
        )

    check()


def worth_left_as_it_is(comparison, worth, unit, scale):
    names = ("lift", "ci_low", "ci_high")
    scaled = {name: scale * getattr(comparison, name) for name in names}
    return verdict(dataclasses.replace(comparison, **scaled), worth, unit)


def rounded_first(comparison, worth, unit, scale):
    ends = {name: round(getattr(comparison, name), 2) for name in ("ci_low", "ci_high")}
    return verdict(dataclasses.replace(comparison, **ends), worth, unit, scale)


def test_verdict_in_percentage_points():
    guard_scale(verdict)
    for faulty in (worth_left_as_it_is, rounded_first):
        with pytest.raises(AssertionError):
            guard_scale(faulty)


def test_verdict_on_two_rates():
    sentence = verdict(compare_rates(100, 1_000, 150, 1_000), 0.01, **POINTS)
    assert sentence.startswith(
        "Treatment minus control is +5.00 percentage points (interval +2.09 to +7.89, p = 0.0007)"
    )
    assert sentence.endswith(
        "A clear gain, and one worth having: "
        "the whole interval is at 1.00 percentage points or more."
    )
    assert "In per cent nothing bounded can be said" in verdict(
        compare_rates(0, 100, 30, 100), 0.01, **POINTS
    )


# Decisions

NOT_TESTABLE = (math.nan, math.nan)
DECISIONS = [
    # low, high, worth, decision
    (1.5, 4, 1, SHIP),
    (1, 4, 1, SHIP),
    (0.2, 4, 1, SHIP),
    (0.2, 1, 1, SHIP),
    (0.2, 0.8, 1, f"{HOLD}: gain too small"),
    (-4, -0.2, 1, f"{HOLD}: clear loss"),
    (-4, 0.8, 1, f"{HOLD}: no gain worth having"),
    (-4, 0, 1, f"{HOLD}: no gain worth having"),
    (0, 0, 1, f"{HOLD}: no gain worth having"),
    (0, 4, 1, COLLECT),
    (-4, 4, 1, COLLECT),
    (-4, 1, 1, COLLECT),
    (*NOT_TESTABLE, 1, COLLECT),
    (-math.inf, math.inf, 1, COLLECT),
    (-math.inf, 0.5, 1, f"{HOLD}: no gain worth having"),
    (0.5, math.inf, 1, SHIP),
]


@pytest.mark.parametrize(("low", "high", "worth", "decided"), DECISIONS)
def test_decision(low, high, worth, decided):
    assert decision(low, high, worth) == decided


def test_what_was_typed_is_not_rounded_onto_a_border():
    """1252.361 is not 1,252, and 1,252.15 not above it."""
    assert words.given(1252.361) == "1,252.361" and words.given(0.0006153) == "0.0006153"


def test_a_small_lift_lies_inside_its_interval():
    result = SimpleNamespace(
        lift=0.00007, ci_low=0.000024, ci_high=0.000117, p_value=0.003, relative_ci_low=0.1
    )
    said = str(verdict(result, worth=0.001))
    lift, low, high = (float(x) for x in re.findall(r"[+-]\d\.\d+", said)[:3])
    assert low < lift < high


def kind(low, high, worth):
    return decision(low, high, worth).split(":")[0]


def test_decision_steps_over_at_zero_and_at_worth():
    assert [decision(low, 5, 1) for low in (-TINY, 0, TINY)] == [COLLECT, COLLECT, SHIP]
    assert [kind(-5, high, 1) for high in (1 - TINY, 1, 1 + TINY)] == [HOLD, COLLECT, COLLECT]
    assert [kind(0.5, high, 1) for high in (1 - TINY, 1, 1 + TINY)] == [HOLD, SHIP, SHIP]


def guard_decision(decide):
    """What is done follows from what may be said.

    Nothing ships that is not a clear gain which may be worth having.
    """

    @STEADY
    @given(ENDS, WORTHS)
    def check(ends, worth):
        label, decided = verdict_label(*ends, worth), decide(*ends, worth)
        assert (decided == SHIP) == (label == GAIN and ends[1] >= worth)
        assert (decided == COLLECT) == (label == OPEN)
        why = {LOSS: LOSS, GAIN: "gain too small", TOO_SMALL: TOO_SMALL}.get(label)
        assert decided in (SHIP, COLLECT, f"{HOLD}: {why}")

    assert decide(*NOT_TESTABLE, 1) == COLLECT
    check()


def ships_what_is_clear(low, high, worth):
    return SHIP if low > 0 else decision(low, high, worth)


def ships_by_point(low, high, worth):
    return SHIP if (low + high) / 2 >= worth else decision(low, high, worth)


def holds_without_a_clear_gain(low, high, worth):
    """Open, so no: absence of evidence again."""
    return SHIP if low > 0 and high >= worth else HOLD


def test_decision_never_contradicts_the_interval():
    guard_decision(decision)


@pytest.mark.parametrize(
    "faulty", [ships_what_is_clear, ships_by_point, holds_without_a_clear_gain]
)
def test_hasty_decisions_are_caught(faulty):
    with pytest.raises(AssertionError):
        guard_decision(faulty)


def test_where_less_is_better_the_rule_is_turned_round():
    @STEADY
    @given(ENDS, WORTHS)
    def check(ends, worth):
        low, high = ends
        turned = (-high, -low, worth)
        for decide in (decision, margin_decision):
            assert decide(*turned, lower_is_better=True) == decide(low, high, worth)

    check()
    assert decision(*NOT_TESTABLE, 1, lower_is_better=True) == COLLECT


MARGINS = [
    # low, high, margin, decision
    (-0.5, 0.5, 1, NOT_WORSE),
    (-0.5, 0, 1, NOT_WORSE),
    (0, 4, 1, NOT_WORSE),
    (0.2, 4, 1, f"{NOT_WORSE}: clear gain"),
    (-0.5, -0.2, 1, f"{NOT_WORSE}: clear loss, smaller than the margin"),
    (-1, 4, 1, COLLECT),
    (-4, 4, 1, COLLECT),
    (-4, -0.5, 1, COLLECT),
    (-4, -1, 1, COLLECT),
    (-4, -1.5, 1, f"{HOLD}: worse than the margin"),
    (*NOT_TESTABLE, 1, COLLECT),
    (-math.inf, math.inf, 1, COLLECT),
    (-0.5, math.inf, 1, NOT_WORSE),
]


@pytest.mark.parametrize(("low", "high", "margin", "decided"), MARGINS)
def test_margin_decision(low, high, margin, decided):
    assert margin_decision(low, high, margin) == decided
    assert margin_decision(-high, -low, margin, lower_is_better=True) == decided


def guard_margin(decide):
    """Not worse is said of whole intervals alone, and harm beyond the margin never passes."""

    @STEADY
    @given(ENDS, WORTHS)
    def check(ends, margin):
        decided = decide(*ends, margin).split(":")[0]
        assert (decided == NOT_WORSE) == (ends[0] > -margin)
        assert (decided == HOLD) == (ends[1] < -margin)
        assert decided in (NOT_WORSE, HOLD, COLLECT)

    check()


def not_significant_is_not_worse(low, high, margin):
    return NOT_WORSE if low <= 0 <= high else margin_decision(low, high, margin)


def not_worse_by_point(low, high, margin):
    return NOT_WORSE if (low + high) / 2 > -margin else margin_decision(low, high, margin)


def test_a_margin_asks_for_the_whole_interval():
    guard_margin(margin_decision)
    for faulty in (not_significant_is_not_worse, not_worse_by_point):
        with pytest.raises(AssertionError):
            guard_margin(faulty)


# Numbers


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (words.number(3.14159), "3.14"),
        (words.number(-0.001), "0.00"),
        (words.number(-0.0), "0.00"),
        (words.number(-0.001, sign=True), "0.00"),
        (words.number(0, sign=True), "0.00"),
        (words.number(-0.4, 0), "0"),
        (words.number(3, sign=True), "+3.00"),
        (words.number(-3, sign=True), "-3.00"),
        (words.number(1234567.891, 1), "1,234,567.9"),
        (words.number(-1234.5, 1), "-1,234.5"),
        (words.number(np.float64(2.5), 1), "2.5"),
        (words.number(math.inf), "unbounded"),
        (words.number(-math.inf, sign=True), "unbounded"),
        (words.number(math.nan), "undefined"),
        (words.percent(0.046), "4.6 %"),
        (words.percent(0.046, sign=True), "+4.6 %"),
        (words.percent(-0.046, 2), "-4.60 %"),
        (words.percent(-0.0001), "0.0 %"),
        (words.percent(1), "100.0 %"),
        (words.percent(12.5, 0), "1,250 %"),
        (words.percent(math.inf), "unbounded"),
        (words.percent(math.nan), "undefined"),
        (words.interval(-2.9, 10.33), "-2.90 to +10.33"),
        (words.interval(-0.001, 0.0), "0.00 to 0.00"),
        (words.interval(-0.041, 0.1409, 1, as_percent=True), "-4.1 % to +14.1 %"),
        (words.interval(-math.inf, math.inf), "unbounded"),
        (words.interval(-math.inf, 3), "unbounded"),
        (words.interval(-1, math.inf, as_percent=True), "unbounded"),
        (words.count(1, "customer"), "1 customer"),
        (words.count(0, "customer"), "0 customers"),
        (words.count(2000, "customer"), "2,000 customers"),
        (words.count(1.2, "customer"), "1 customer"),
        (words.count(429.4, "customer"), "429 customers"),
        (words.count(np.int64(3), "look"), "3 looks"),
        (words.count(1, "study", "studies"), "1 study"),
        (words.count(2, "study", "studies"), "2 studies"),
        (words.p_value(0.29934), "p = 0.2993"),
        (words.p_value(1), "p = 1.0000"),
        (words.p_value(0.00005), "p = 0.0001"),
        (words.p_value(0.000049), "p < 0.0001"),
        (words.p_value(0), "p < 0.0001"),
    ],
)
def test_written_number(written, wanted):
    assert written == wanted


@STEADY
@given(st.floats(-1e6, 1e6), st.integers(0, 4), st.booleans())
def test_no_negative_zero_and_no_plus_before_zero(x, digits, sign):
    text = words.number(x, digits, sign)
    assert float(text.replace(",", "")) == pytest.approx(x, abs=0.5 * 10**-digits + 1e-9)
    if float(text.replace(",", "")) == 0:
        assert text[0] == "0"
    elif sign:
        assert text[0] in "+-"


# Display


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(
        words, "display", lambda bundle, raw: bundles.append(bundle) if raw else None
    )
    return bundles


def test_say_shows_markdown_and_the_same_words_as_text(shown):
    words.say("Income is 5 k$.", "Spending is 7 k$.")
    assert shown == [
        {
            "text/plain": "Income is 5 k$. Spending is 7 k$.",
            "text/markdown": r"Income is 5 k\$. Spending is 7 k\$.",
        }
    ]


def test_answer_is_folded_escaped_and_also_plain_text(shown):
    words.answer("p < .05 & <b>more</b>", summary="Why <?")
    (bundle,) = shown
    assert bundle["text/plain"] == "Why <?: p < .05 & <b>more</b>"
    assert bundle["text/html"].startswith("<details class=")
    assert "><summary>Why &lt;?</summary>" in bundle["text/html"]
    assert "p &lt; .05 &amp; &lt;b&gt;more&lt;/b&gt;" in bundle["text/html"]
    assert "open" not in bundle["text/html"]


def test_dollar_signs_are_not_read_as_mathematics_in_an_answer(shown):
    words.answer("Income rose from 5 k$ to 7 k$.")
    assert "k$ to 7 k$" not in shown[0]["text/html"]


@pytest.mark.parametrize(
    ("x", "said"),
    [(1, "1.00"), (0.5, "0.50"), (1234.5, "1,234.50"), (0.4748, "0.4748"), (1e-6, "1e-06")],
)
def test_a_typed_number_is_not_rounded_onto_another(x, said):
    assert words.given(x) == said and float(said.replace(",", "")) == x


def test_a_verdict_shows_worth_as_finely_as_it_compares_with_it():
    """Two decimals would print 'even its upper end, +0.47, is below 0.47'."""
    control, treatment = (0.0, 1.0, 8000), (0.0021, 1.0, 8000)
    result = compare_means_from_stats(*control, *treatment)
    worth = result.ci_high + 0.00005
    said = words.verdict(result, worth, "percentage points", scale=100)
    high = re.search(r"to ([+-][\d.]+),", said)[1]
    least = re.search(r"below ([\d.]+) percentage", said)[1]
    assert float(high) < float(least)
    # to two decimals they look the same
    assert float(f"{float(high):.2f}") == float(f"{float(least):.2f}")


def test_signs_that_mean_something_to_a_page_are_shown_as_they_are(monkeypatch):
    shown = []
    monkeypatch.setattr(words, "display", lambda bundle, **_: shown.append(bundle))
    words.say("p < 0.0001 for <b> and $5")
    assert shown == [
        {
            "text/markdown": r"p &lt; 0.0001 for &lt;b> and \$5",
            "text/plain": "p < 0.0001 for <b> and $5",
        }
    ]


# Names that come from a file

NASTY = [
    "[click](javascript:alert(1))",
    "![i](http://example.org/t.png)",
    "[x]: http://example.org/t.png",
    "<img src=http://example.org/t.png>",
    "<script>alert(1)</script>",
    "<http://example.org>",
    "http://example.org/t",
    "HTTPS://example.org",
    "see www.example.org/x, or WWW.example.org",
    "me@example.org",
    "mailto:me@example.org",
    "`code`",
    "`` ` [x](javascript:alert(1)) ` ``",
    "```[x](javascript:alert(1))`",
    "`[x](javascript:alert(1))`",
    "**strong**",
    "*a*b*",
    "__init__",
    "_x_ and age_band and a__b__c",
    "~~gone~~",
    "# big",
    "> said",
    "- one",
    "+ two",
    "1. first",
    "23) second",
    "===",
    "---",
    "&lt;b&gt; &amp; &#42; &copy",
    r"\*a\* \[b\] \(x\) \\",
    "$x^2$ and $5 to $10",
    "a|b",
    "[^1]",
    "- [ ] done",
    ":) {a} %x% 100% (b) 'c' \"d\"",
    "größer, 日本, é",
]


def rendered(markdown: str) -> str:
    """As pages do that read the most: bare addresses are links, | makes tables."""
    plugins = ["url", "table", "strikethrough", "task_lists", "footnotes", "math"]
    return mistune.create_markdown(escape=False, plugins=plugins)(markdown)


def guard_name(bundle: dict, sentence: str) -> None:
    """A page shows the sentence to the letter, with no other markup than the paragraph's."""
    html = rendered(bundle["text/markdown"])
    inside = html.strip().removeprefix("<p>").removesuffix("</p>")
    assert "<" not in inside, html
    assert unescape(inside) == sentence == bundle["text/plain"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("sentence", ["{}", "The mean of {}: 3."])
def test_a_name_is_shown_as_it_is(shown, value, sentence):
    words.say(sentence.format(words.name(value)))
    guard_name(shown[0], sentence.format(value))


def test_names_that_are_obeyed_are_caught(shown):
    """Without `name` and `say`, nearly all of them are something else on a page."""
    live = []
    for value in NASTY:
        try:
            guard_name({"text/markdown": value, "text/plain": value}, value)
        except AssertionError:
            live.append(value)
    assert len(live) > 25 and "a|b" not in live


@pytest.mark.parametrize("value", NASTY)
def test_a_forgotten_name_can_neither_link_nor_fetch(shown, value):
    """Only emphasis is left to a value that enters a sentence without `name`."""
    words.say(f"{value}", f"and {value}.", f"\n- {value}: 3")
    html = rendered(shown[0]["text/markdown"])
    tags = set(re.findall(r"<(\w+)", html))
    assert tags.isdisjoint({"a", "img", "script", "table", "input", "del", "sup"}), html


def test_a_list_keeps_its_names(shown):
    words.say(f"- {words.name('- one')}: *3* and `a = 2`.\n- {words.name('1. two')}: **4**.")
    html = rendered(shown[0]["text/markdown"])
    assert html.count("<li>") == 2 and html.count("<ul>") == 1 and "<ol>" not in html
    assert "- one: <em>3</em> and <code>a = 2</code>." in html
    assert shown[0]["text/plain"] == "- - one: *3* and `a = 2`.\n- 1. two: **4**."


def test_a_name_is_short_and_has_no_controls(shown):
    words.say(words.name("\x1b[31m" + "x" * 100_000 + "\u202e"))
    text = shown[0]["text/plain"]
    assert len(text) < 230 and "\x1b" not in text and r"\x1b[31mxxx" in text and r"\u202e" in text


# Calls that are refused

BAD_CALLS = {
    "worth: 0": (lambda: words.verdict_label(-1, 1, worth=0), "worth is 0", "1e-9 to 1e15"),
    "worth: nan": (lambda: words.verdict_label(-1, 1, worth=math.nan), "worth is nan"),
    "decision: worth 0": (lambda: words.decision(-1, 1, 0), "worth is 0", "1e-9 to 1e15"),
    "decision: worth nan": (
        lambda: words.decision(-1, 1, math.nan),
        "worth is nan",
        "from 1e-9 to 1e15",
    ),
    "margin: 0": (
        lambda: margin_decision(-1, 1, 0),
        "margin is 0",
        "the largest loss that you would accept",
    ),
    "margin: nan": (lambda: margin_decision(-1, 1, math.nan), "margin is nan"),
    "decision: worth text": (
        lambda: words.decision(-1, 1, "1"),
        "worth is '1'",
        "from 1e-9 to 1e15",
    ),
}


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(fault):
    guard_message(*BAD_CALLS[fault])
