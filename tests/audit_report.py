"""The pages of tools.analyse and tools.plan as people read them, in Chromium: make book-test.

axe finds nothing (WCAG 2.2 AA and its best practice), nothing is asked for, it is no wider than a
phone, and it prints on two sheets of A4 at most. Beside each check stands a fault.
"""

import re

import numpy as np
import pytest

from helpers import coins
from tests import audit_book, test_plan_page
from tests.audit_book import DESK, PHONE, Reader
from tests.test_plan import people
from tests.test_plan_page import pages, planned
from tests.test_report import ASKED, ODD, a_log, guarded
from tools import analyse, report

browser = audit_book.browser  # a fixture
KINDS = {name: (a_log(), options) for name, options in ASKED.items()}


def many_segments():
    log = a_log(6_000)
    return log.assign(town=np.random.default_rng(4).choice([f"town {i}" for i in range(60)], 6_000))


def many_arms():
    arms = ["control", *(f"the arm of number {i}, at length" for i in range(9))]
    return a_log(3_000).assign(group=np.random.default_rng(4).choice(arms, 3_000))


OPEN = guarded("seconds:0.5:lower", "views:0.2", "spend:0.1", "tail:5")
GUARDS = guarded("seconds:0.1:lower", "views:0.1", "bought:0.01")
KINDS |= {
    "guarded and open": (a_log(700), {"outcome": "bought", "worth": 0.1, "guardrail": OPEN}),
    "odd names": (a_log(odd=ODD), {"outcome": "spend", "worth": 0.5, "guardrail": GUARDS}),
    "sixty segments": (many_segments(), {"outcome": "spend", "worth": 0.5, "guardrail": GUARDS}),
    "nine arms": (many_arms(), {"outcome": "spend", "worth": 0.5, "guardrail": GUARDS[:1]}),
}


@pytest.fixture(params=KINDS)
def address(request, tmp_path, monkeypatch):
    """A report, as a file."""
    monkeypatch.setattr(coins, "RUNS", 200)
    log, options = KINDS[request.param]
    log.to_csv(tmp_path / "log.csv", index=False)
    segment = next(name for name in log if name.startswith("town"))
    asked = analyse.DEFAULTS | {"segment": segment} | options
    result = analyse.analyse(tmp_path / "log.csv", asked)
    path = tmp_path / "report.html"
    path.write_text(report.page(result, tmp_path / "log.csv", asked), encoding="utf-8")
    return path.as_uri()


def many_towns():
    towns = [f"the town of number {i}, at length" for i in range(40)]
    return people(1_600).assign(channel=np.random.default_rng(4).choice(towns, 1_600))


def short_of(seed=1):
    rng = np.random.default_rng(seed)
    return people(1_200).assign(bought=(rng.random(1_200) < 0.01) * 1)


PLANS = {name: (people(), options) for name, options in test_plan_page.KINDS.items()}
RARE = {"segment": "channel", "baseline": "bought", "rate": True, "worth": 0.02}
ALL = {"segment": "channel", "correlation": 0.5, "assign": True}
PLANS |= {
    "forty towns": (many_towns(), ALL),
    "formula falls short": (short_of(), RARE | {"control_share": 0.1, "assign": True}),
    "odd names": (people().assign(channel=lambda t: t["channel"] + ' <b>&"x"' + "y" * 60), ALL),
    "eight clusters": (people(), {"features": ("visits", "monetary", "age"), "n_clusters": 8}),
}


@pytest.mark.parametrize("kind", PLANS)
def test_a_plan_and_its_sheet_are_read_by_everybody(browser, tmp_path, kind):
    frame, options = PLANS[kind]
    for place, text in enumerate(pages(*planned(tmp_path, options, frame))):
        path = tmp_path / f"page{place}.html"
        path.write_text(text, encoding="utf-8")
        for viewport in (DESK, PHONE):
            reader = Reader(browser, "file:", viewport)
            page = reader.open(path.as_uri().removeprefix("file:"))
            assert (reader.outside, reader.missing) == ([], [])
            assert reader.violations() == [] and reader.too_wide() <= 0
            assert sheets(page) == 1 if place else 1 <= sheets(page) <= 2
            reader.context.close()


def sheets(page):
    """How many sheets of A4 the page prints on."""
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(prefer_css_page_size=True)))


def test_a_report_is_read_by_everybody(browser, address):
    for viewport in (DESK, PHONE):
        reader = Reader(browser, "file:", viewport)
        page = reader.open(address.removeprefix("file:"))
        assert (reader.outside, reader.missing) == ([], [])
        assert reader.violations() == [] and reader.too_wide() <= 0
        assert 1 <= sheets(page) <= 2
        reader.context.close()


def test_faults_are_seen(browser, tmp_path):
    path = tmp_path / "bad.html"
    body = '<img src="https://a.b/c.png"><p style="width: 900px; color: #ccc">x</p>'
    path.write_text(f"<html>{body}{'<p>y</p>' * 200}</html>", encoding="utf-8")
    reader = Reader(browser, "file:", PHONE)
    page = reader.open(path.as_uri().removeprefix("file:"))
    found = " ".join(reader.violations())
    assert "image-alt" in found and "html-has-lang" in found
    assert reader.outside == ["https://a.b/c.png"] and reader.too_wide() > 0 and sheets(page) > 2
    reader.context.close()
