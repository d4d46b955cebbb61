"""The pages of a plan: what they say is what plan.csv says, and a strange table breaks nothing."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from helpers import data
from tests.test_plan import people
from tools import plan, plan_page

KINDS = {
    "plain": {"segment": "channel"},
    "adjusted": {"segment": "channel", "correlation": 0.6, "assign": True},
    "rate": {
        "segment": "age",
        "bands": (30.0, 50.0),
        "baseline": "bought",
        "rate": True,
        "worth": 0.1,
    },
    "clusters": {"features": ("visits", "monetary"), "n_clusters": 3, "assign": True},
    "no": {"segment": "channel", "worth": 0.01},
    "alone": {"segment": "channel", "worth": 90.0},
    "few in control": {"segment": "channel", "control_share": 0.05, "assign": True},
}
BASE = plan.DEFAULTS | {"id": "customer", "baseline": "monetary", "worth": 5.0}


def planned(folder, options, frame=None):
    """A plan, its options and the path of its table."""
    path = folder / "own.csv"
    (people() if frame is None else frame).to_csv(path, index=False)
    asked = BASE | options
    plan.rehearsal.IN_ALL, kept = 60_000, plan.rehearsal.IN_ALL
    try:
        return plan.plan(path, asked), path, asked
    finally:
        plan.rehearsal.IN_ALL = kept


def pages(found, path, asked):
    """The texts of the pages."""
    made = [plan_page.page(found, path, asked)]
    if found.listed is not None:
        made.append(plan_page.sheet(found, found.listed.to_csv(index=False), path, asked))
    return made


def text_of(page):
    body = re.sub(r'src="data[^"]*"', "", page[page.index("<main>") :])
    return html.unescape(re.sub(r"<[^>]+>", " ", body))


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_page_says_what_the_plan_says(tmp_path, options):
    found, path, asked = planned(tmp_path, options)
    page = pages(found, path, asked)[0]
    text = text_of(page)
    assert "nan" not in text.lower().split() and "None" not in text
    everyone, rest = found.table.iloc[0], found.table.iloc[1:]
    enough = "enough" if everyone["testable"] == "together" else "too few"
    assert f"together are {enough}." in text
    alone = (rest["testable"] == "alone").sum()
    best = " at best" if found.cut and alone > 0 else ""
    assert f"{alone} of {len(rest)} segments alone{best}." in text
    for kind, says in plan_page.SAYS.items():
        assert (f"{says}:" in text.lower()) == (kind in rest["testable"].tolist()), kind
    for name, row in found.table.iterrows():
        assert str(name) in text and f"{row['customers']:,.0f}" in text
        assert plan_page.users(row["users_needed"]) in text
    assert ("adjusted: lift" in re.findall(r"<th[^>]*>([^<]+)", page)) == (
        asked["correlation"] is not None
    )


def test_a_page_needs_nothing_from_outside(tmp_path):
    found, path, asked = planned(tmp_path, KINDS["adjusted"])
    made = pages(found, path, asked)
    for page in made:
        assert "<script" not in page and "//" not in re.sub(r'src="data[^"]*"', "", page)
        assert str(tmp_path) not in page
    assert made == pages(found, path, asked)


def test_what_a_file_holds_is_shown_as_it_stands(tmp_path):
    odd = '<b>"x" & y</b>'
    frame = people().rename(columns={"monetary": odd})
    frame["channel"] = frame["channel"].replace("web", "<i>web</i>")
    found, path, asked = planned(
        tmp_path, {"segment": "channel", "baseline": odd, "assign": True}, frame
    )
    for page in pages(found, path, asked):
        assert "<b>" not in page and "<i>" not in page
        assert odd in text_of(page)


def test_a_border_is_not_rounded_away():
    assert plan_page.apart(5.0004, 5.0) == "5.0004"
    assert plan_page.apart(4.9999, 5.0) == "4.9999"
    assert plan_page.apart(13.62, 5.0) == "13.6"
    assert plan_page.users(0.2) == "1" and plan_page.users(float("inf")) == "none is enough"
    assert plan_page.lift(float("nan")) == "unknown" and plan_page.lift(0.00123) == "0.00123"


def test_many_segments_are_shown_in_part(tmp_path):
    rng = np.random.default_rng(1)
    frame = people(1_200).assign(channel=[f"town {i}" for i in rng.integers(40, size=1_200)])
    found, path, asked = planned(tmp_path, {"segment": "channel", "assign": True}, frame)
    page = pages(found, path, asked)[0]
    assert "Shown are 9; all 41 stand in plan.csv." in text_of(page)
    assert page.count("town") < 120


def test_false_alarms_and_weak_rehearsals_are_told(tmp_path):
    found, _, asked = planned(tmp_path, KINDS["plain"])
    loud = found.pretended.assign(doubt="without effect 30 %")
    said = plan_page.shortfalls(found._replace(pretended=loud), asked)
    assert len(said) == 1 and said[0].endswith(
        "in all users (without effect 30 %), store "
        "(without effect 30 %), web (without effect 30 %)."
    )
    weak = found.pretended.assign(power=0.5)
    said = plan_page.shortfalls(found._replace(pretended=weak), asked)
    assert len(said) == 1 and "in all users (50.0 %), store (50.0 %), web (50.0 %)." in said[0]
    assert (
        plan_page.shortfalls(found._replace(short=pd.DataFrame(columns=found.short.columns)), asked)
        == []
    )


def test_the_shop_of_the_course_has_a_page(monkeypatch):
    monkeypatch.setattr(plan.rehearsal, "IN_ALL", 600_000)
    asked = BASE | {"segment": "channel", "assign": True}
    found = plan.plan(data.FOLDER / "shop_customers.csv", asked)
    text = text_of(pages(found, data.FOLDER / "shop_customers.csv", asked)[1])
    assert "1,500 in control, 1,500 in treatment" in text and "12 strata" in text


def test_arms_of_a_list_in_which_hardly_anybody_buys_are_told(tmp_path):
    rng = np.random.default_rng(3)
    rare = people(600).assign(bought=(rng.random(600) < 0.08) * 1)
    options = {"segment": "channel", "baseline": "bought", "rate": True, "worth": 0.2}
    found, _, asked = planned(tmp_path, options | {"assign": True, "control_share": 0.2}, rare)
    said = " ".join(plan_page.shortfalls(found, asked))
    assert "hardly ten will have another outcome" in said and "store" in said
    often, _, asked = planned(tmp_path, options | {"assign": True}, people(600))
    assert "hardly ten" not in " ".join(plan_page.shortfalls(often, asked))


def test_what_just_misses_is_not_shown_as_what_is_worth_having(tmp_path):
    """On the screen, in the lead, the table and the sheet: worth, and a lift that is just above."""
    found, path, asked = planned(tmp_path, KINDS["adjusted"])
    for column in ("smallest_detectable", "smallest_detectable_adjusted"):
        close = found.table.assign(**{column: 5.0000004})
        just = found._replace(table=close)
        page, sheet = map(text_of, pages(just, path, asked))
        assert "5.0000004" in page and "5.0000004" in "\n".join(plan.lines(just, asked))
        assert ("5.0000004" in sheet) == (column == "smallest_detectable")
