"""The page to pass on: it says what its numbers say, asks for nothing, and obeys no file.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it.
"""

import base64
import re
from functools import cache
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers import coins, decisions, words
from tests.guards import caught
from tools import analyse, decided, printed, report

EMPTY = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The texts of a page by their element, its tags and attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.texts, self.faults = [], [], [], []
        self.feed(html)
        self.faults += self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, *tags):
        return [text for tag, text in self.texts if tag in tags]

    def text(self):
        return " ".join(text for tag, text in self.texts if tag != "style")


def a_log(n=1_200, seed=1, lift=2.0, odd=""):
    rng = np.random.default_rng(seed)
    group = rng.choice(["control", f"blue{odd}"], n)
    treated = group != "control"
    return pd.DataFrame(
        {
            "group": group,
            f"town{odd}": rng.choice(["north", f"south{odd}", "west"], n),
            "spend": rng.normal(20, 5, n) + lift * treated,
            "seconds": rng.exponential(2, n) + 0.5 * treated,
            "tail": rng.lognormal(3, 2.5, n) * (rng.random(n) < 0.05),
            "bought": (rng.random(n) < 0.2 + 0.05 * treated).astype(int),
            "views": rng.integers(1, 9, n),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coins, "RUNS", 200)
        yield tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def page_of(folder):
    """The page on a log, with options as they are typed, and what was found."""

    def make(log, **options):
        path = folder / "log.csv"
        log.to_csv(path, index=False)
        asked = (
            analyse.DEFAULTS | {"segment": next(c for c in log if c.startswith("town"))} | options
        )
        result = analyse.analyse(path, asked)
        return report.page(result, path, asked), result

    return make


@pytest.fixture(scope="module")
def usual(page_of):
    """The page on the usual log, by what is asked; made once."""
    return cache(lambda asked: page_of(a_log(), **ASKED[asked]))


def guarded(*texts):
    return [analyse.guardrail(text) for text in texts]


ASKED = {
    "gain": {"outcome": "spend", "worth": 0.5},
    "a rate": {"outcome": "bought", "worth": 0.01},
    "less is better": {"outcome": "seconds", "worth": 0.1, "lower_is_better": True},
    "a margin": {"outcome": "spend", "no_worse_than": 1.0},
    "a margin, less is better": {
        "outcome": "seconds",
        "no_worse_than": 0.7,
        "lower_is_better": True,
    },
    "a ratio": {"outcome": "spend", "per": "views", "worth": 0.1},
    "adjusted": {"outcome": "spend", "covariate": "views", "worth": 0.5},
    "guarded": {"outcome": "spend", "worth": 0.5, "guardrail": guarded("seconds:0.1:lower")},
    "a tail": {"outcome": "tail", "worth": 1.0, "control_share": 0.5},
    "capped": {"outcome": "tail", "worth": 1.0, "cap_at": 20.0},
    "alarm": {"outcome": "spend", "worth": 0.5, "control_share": 0.6},
    "no segments": {"outcome": "spend", "worth": 0.5, "segment": ""},
}


def guard_page(html):
    """Well formed; no script, no request; one h1; pictures with words, heads with scope."""
    page = Page(html)
    assert page.faults == [] and html.startswith("<!doctype html>")
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == names.count("main") == names.count("title") == 1
    assert not {"script", "link", "iframe", "object", "form", "base"} & set(names)
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "srcset", "action"):
            assert attrs.get(name, "data:").startswith(
                "data:image/svg+xml;base64,"
            ) or not attrs.get(name)
        if tag == "img":
            assert len(attrs["alt"]) > 40
        if tag == "th":
            assert attrs["scope"] in ("col", "row")
    assert (
        "default-src 'none'" in html
        and 'lang="en"' in html
        and not re.search(r"url\(|@import", html)
    )
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and set(levels[1:]) == {2}


@pytest.mark.parametrize("asked", ASKED)
def test_every_page_is_sound(usual, asked):
    html, _ = usual(asked)
    guard_page(html)


@pytest.mark.parametrize(
    "fault",
    [
        lambda html: html.replace("<main>", '<main><script src="https://a.b/c.js"></script>'),
        lambda html: html.replace("data:image/svg+xml;base64,", "https://a.b/"),
        lambda html: re.sub('alt="[^"]*"', 'alt=""', html),
        lambda html: html.replace("</table>", ""),
        lambda html: html.replace(' scope="row"', "", 1),
    ],
)
def test_faulty_pages_are_caught(usual, fault):
    html, _ = usual("gain")
    with pytest.raises((AssertionError, KeyError)):
        guard_page(fault(html))


def guard_says_what_it_found(html, result):
    """Every row's decision and numbers stand in the table; the sentence is that of all users."""
    page = Page(html)
    cells = page.of("td", "th")
    for row in result.table.itertuples():
        assert report.in_short(row.decision) in cells
        assert f"{row.n_control:,} + {row.n_treatment:,}" in cells
    whole = result.table["decision"].iloc[0]
    whole = report.headline(whole)
    strong = [text for text in page.of("strong") if text.lower().startswith(whole)]
    assert strong
    shown = [re.sub("[,+]", "", text) for text in cells]
    scale, near = 100 if result.rate else 1, 0.51 * 10.0 ** -decided.digits(result)
    for row in result.table.itertuples():
        assert any(
            re.fullmatch(r"-?[\d.]+", text) and abs(float(text) - scale * row.lift) <= near
            for text in shown
        )
    intervals = [text for text in cells if re.fullmatch(r"[-+]?[\d.,]+ to [-+]?[\d.,]+", text)]
    silent = (words.DO_NOT_READ, words.CHECK)
    read = ~result.table["decision"].map(decisions.by_goal).str.startswith(silent)
    guards = [table[table["segment"] == "all users"] for _, table in result.guardrails]
    in_guards = sum((~table["decision"].str.startswith(silent)).sum() for table in guards)
    assert len(intervals) == read.sum() + in_guards


@pytest.mark.parametrize("asked", ASKED)
def test_the_page_says_what_was_found(usual, asked):
    html, result = usual(asked)
    guard_says_what_it_found(html, result)
    other = result._replace(table=result.table.assign(decision="hold: something else"))
    caught(lambda page: guard_says_what_it_found(page, other), html)


def test_what_must_be_known_stands_first(page_of, usual):
    alarm = Page(usual("alarm")[0]).text()
    first = alarm[: alarm.index("Who was compared")]
    assert (
        "The arms do not have the planned sizes" in first and "Nothing below is a result" in first
    )
    assert "ship" not in alarm.lower().replace("relationship", "")
    tail = Page(page_of(a_log(seed=3), **ASKED["a tail"])[0]).text()
    if "do not read" in tail.lower():
        assert "Do not read" in tail[: tail.index("Who was compared")]
    capped = Page(usual("capped")[0]).text()
    assert "Cut at 20 (as given)" in capped[: capped.index("Who was compared")]


def test_a_page_says_of_what_it_was_made(page_of, folder):
    html, _ = page_of(a_log(), **ASKED["guarded"])
    text = Page(html).text()
    assert printed.files.checksum(folder / "log.csv") in text
    assert f"segment-aware-ab-testing {metadata.version('segment-aware-ab-testing')}" in text
    call = "python -m tools.analyse log.csv --outcome spend"
    assert call in text or "tools.analyse log.csv" in text
    assert "--guardrail seconds:0.1:lower" in text and "--worth 0.5" in text
    assert str(folder) not in html


ODD = "<img src=x onerror=alert(1)>&\"'$x$`*_["


def guard_odd_names(page_of_names):
    """Whatever a file calls its columns, arms and segments is text, and nothing else."""
    html = page_of_names()
    guard_page(html)
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("img") == 1
    assert f"blue{ODD}" in page.text() and f"south{ODD}" in page.text()


def test_odd_names_are_text(page_of, monkeypatch):
    log = a_log(odd=ODD)

    def made():
        return page_of(log, outcome="spend", worth=0.5, guardrail=guarded("seconds:0.1:lower"))[0]

    guard_odd_names(made)
    monkeypatch.setattr(report, "escape", lambda text: text)
    with pytest.raises((AssertionError, KeyError)):
        guard_odd_names(made)


def test_of_many_rows_the_decided_ones_and_the_largest_are_shown(page_of):
    log = a_log(6_000)
    rng = np.random.default_rng(4)
    log["town"] = rng.choice([f"t{i}" for i in range(40)], len(log), p=np.arange(1, 41) / 820)
    log.loc[log["town"] == "t3", "spend"] += 30 * (log["group"] != "control")
    html, result = page_of(log, outcome="spend", worth=6.0)
    shown = report.chosen(result)
    assert len(shown) == report.MOST_ROWS and shown.index[0] == "all users" and "t3" in shown.index
    text = Page(html).text()
    assert f"all {len(result.table)} stand in decisions.csv" in text
    positions = [name for name in result.table["segment"] if name in set(shown["segment"])]
    assert shown["segment"].tolist() == positions


def test_the_picture_is_the_same_twice_and_holds_no_fonts(page_of, usual):
    first, _ = usual("gain")
    second, _ = page_of(a_log(), **ASKED["gain"])
    assert first == second
    data = re.search(r"base64,([A-Za-z0-9+/=]+)", first)[1]
    drawn = base64.b64decode(data).decode("utf-8")
    assert drawn.lstrip().startswith("<?xml") and "<text" not in drawn and 'href="http' not in drawn


CHANGES = {
    "gain": "it would be hold",
    "a margin": "no loss is in the interval",
    "alarm": "before the sizes of the arms are explained",
    "guarded": "a guardrail decides",
}


@pytest.mark.parametrize("asked", CHANGES)
def test_what_would_change_the_decision(usual, asked):
    text = Page(usual(asked)[0]).text()
    last = text[text.index("What would change the decision") :]
    assert CHANGES[asked].lower() in last.lower() and "promises nothing" in text


def test_names_that_meet_when_joined(page_of):
    """Segment "a" with arm "b, c" and segment "a, b" with arm "c" are two rows of one name."""
    log = a_log()
    rng = np.random.default_rng(2)
    log["group"] = rng.choice(["control", "c", "b, c"], len(log))
    log["town"] = rng.choice(["a", "a, b"], len(log))
    html, result = page_of(log, outcome="spend", worth=0.5)
    guard_page(html)
    assert len(result.table) == 6 and len(set(decided.names(result))) == 5


def test_the_call_at_the_end_gives_the_page_again(page_of):
    log = a_log().assign(age=np.arange(1_200) % 50)
    options = {"outcome": "spend", "segment": "age", "bands": (10.1234567, 40.0), "seed": 0}
    options |= {"guardrail": guarded("seconds:0.123456789:lower"), "worth": 0.5}
    text = Page(page_of(log, **options)[0]).text()
    call = text[text.index("python -m tools.analyse") :].split("\n")[0].split()[3:]
    given = vars(analyse.command_line().parse_args(call))
    assert str(given.pop("log")) == "log.csv" and given.pop("out") is None
    assert analyse.DEFAULTS | given == analyse.DEFAULTS | options


def test_arms_keep_their_letters(page_of):
    log = a_log()
    log["group"] = np.random.default_rng(3).choice(["control", "a", "A"], len(log))
    text = Page(page_of(log, outcome="spend", worth=0.5)[0]).text()
    last = text[text.index("What would change") :]
    assert re.search(r"\ba: ", last) and re.search(r"\bA: ", last)


def test_a_decision_in_short_keeps_who_is_open():
    long = (
        "collect more: the outcome is open; guardrail a may be worse than its margin (the 8 users"
    )
    long += (
        " for 80 % power are there); guardrail b (x) may be worse than its margin (80 % power: 9)"
    )
    assert report.in_short(long) == ("collect more: the outcome is open; guardrails a, b (x) open")
    for decision in ("ship", "hold: clear loss; guardrail a worse than its margin"):
        assert report.in_short(decision) == decision


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_are_no_reason_to_warn(page_of):
    guard_page(page_of(a_log(odd=" 日本"), outcome="spend", worth=0.5)[0])


def test_the_folder_of_the_course_is_not_named():
    assert str(Path(report.__file__).parents[1]) not in printed.STYLE


@pytest.mark.parametrize("lower", [False, True])
def test_a_gain_is_told_apart_from_one_that_is_surely_worth_having(lower):
    goal = analyse.Goal("y", worth=1.0, lower_is_better=lower)
    for near, said in ((1.2, "so is every value of the interval"), (0.2, "is still open")):
        ends = (-9.0, -near) if lower else (near, 9.0)
        row = SimpleNamespace(decision=words.SHIP, ci_low=ends[0], ci_high=ends[1])
        assert report.meaning(row, goal).endswith(f"{said}.")


def test_the_picture_of_a_margin_counts_those_that_keep_it(usual):
    for asked in ("a margin", "a margin, less is better"):
        html, result = usual(asked)
        kept = result.table["decision"].str.startswith(words.NOT_WORSE).sum()
        assert f"{kept} of {len(result.table)} intervals keep the margin" in html
