"""Five lines on what a search has found: each says what its numbers say, and no more."""

import math
import re

import numpy as np
import pytest

from helpers import finder, findings, words
from tests.guards import caught
from tests.test_finder import COLUMNS, log_of, people

SIGNED = r"[+-][\d,]*\.?\d+"


def guard_report(report):
    seen = set()
    for seed in range(14):
        log = log_of(seed=seed, planted=float(seed % 3) * 4)
        found = finder.search(log, COLUMNS, "y", 1.0)
        lines = report(found, COLUMNS, "points", 1.0)
        assert [line.split(":")[0].split(" ")[0] for line in lines] == [
            *("Searched", "Found", "Measured", "All", "Worth")
        ]
        holds = "the lifts differ" in lines[3]
        assert holds == (found.q_p < 0.05) and holds != ("none found that hold" in lines[3])
        assert words.p_value(found.q_p) in lines[3]
        best, values = found.table.iloc[0], found.values
        claim = re.findall(SIGNED, lines[1])[-1]
        lift, low, high = re.findall(SIGNED, lines[2])
        numbers = [float(x.replace(",", "")) for x in (claim, lift, low, high)]
        expected = best[["claimed", "lift", *finder.ENDS]].astype(float)
        assert np.allclose(numbers, expected, rtol=0.006)
        said = re.findall(SIGNED, lines[4])
        if "segment claims more" in lines[4]:
            assert values.loc[finder.TREATED, "treated"] == float("Every" in lines[4])
            continue
        rows = values.loc[[finder.ALL, finder.TREATED, finder.LESS]]
        expected = rows[["measured", *finder.ENDS]].to_numpy().ravel()
        assert np.allclose([float(x.replace(",", "")) for x in said], expected, rtol=0.006)
        seen.add(holds)
    assert seen == {True, False}


def test_the_five_lines_say_what_was_found():
    guard_report(findings.report)

    def always_holds(found, columns, unit, scale):
        return findings.report(found._replace(q_p=0.01), columns, unit, scale)

    def claims(found, columns, unit, scale):
        table = found.table.assign(lift=found.table["claimed"])
        return findings.report(found._replace(table=table), columns, unit, scale)

    caught(guard_report, always_holds)
    caught(guard_report, claims)


def few_buyers(seed):
    """One in twenty buys, for very unlike amounts, and one in ten is treated."""
    rng = np.random.default_rng(seed)
    log = people(rng, 2_000).assign(group=np.where(rng.random(2_000) < 0.9, "control", "t"))
    return log.assign(y=np.where(rng.random(2_000) < 0.05, rng.lognormal(3, 1.2, 2_000), 0))


def guard_unread(search):
    """Where intervals do not keep their promise none is shown, as notebook 06 decides."""
    for seed in range(6):
        found = search(few_buyers(seed), COLUMNS, "y", 1.0, control_share=0.9)
        said = " ".join(findings.report(found, COLUMNS, "dollars"))
        assert "do not read: heavy tail" in said and "interval +" not in said
        assert "interval -" not in said and "no intervals" in said


def test_intervals_that_new_coins_refute_are_not_shown():
    guard_unread(finder.search)

    def believed(*given, **more):
        found = finder.search(*given, **more)
        return found._replace(table=found.table.assign(doubt=""), doubt="")

    caught(guard_unread, believed)


def test_arms_of_other_sizes_than_planned_end_the_report():
    found = finder.search(log_of("one in ten treated"), COLUMNS, "y", 1.0)
    said = findings.report(found, COLUMNS, "points")
    assert len(said) == 1 and said[0].startswith("Nothing: the arms do not have the planned sizes")
    right = finder.search(log_of("one in ten treated"), COLUMNS, "y", 1.0, control_share=0.9)
    assert len(findings.report(right, COLUMNS, "points")) == 5


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (1234.5, "+1,234"),
        (-0.000456, "-0.000456"),
        (0.0, "0"),
        (math.nan, "unknown"),
        (9.999, "+10.00"),
    ],
)
def test_three_digits_keep_the_sign_and_never_reach_zero(x, said):
    assert findings._three_digits(x) == said


def test_where_nothing_was_cut_everybody_is_measured():
    found = finder.search(log_of(n=400).assign(flat=1.0), ["flat"], "y", 1.0)
    said = findings.report(found, ["flat"], "points")
    assert len(said) == 3 and said[1].startswith("Found: nothing. No cut leaves enough")
    assert "everybody" in said[2] and "segment" not in said[2]


def test_a_segment_without_a_lift_is_no_segment_that_does_not_differ():
    found = finder.search(log_of(), COLUMNS, "y", 1.0)._replace(q_p=math.nan)
    said = findings.report(found, COLUMNS, "points")[3]
    assert said.endswith("whether they differ cannot be tested, because one has no lift.")
    assert "none found" not in said


def guard_scale(report):
    """A rate of 0.01 is one percentage point, in every number of the report."""
    log = log_of("a frequent rate")
    plain = finder.search(log, COLUMNS, "y", 0.001)
    for found in (plain, plain._replace(doubt="do not read: few users; seen in all users")):
        small, large = (report(found, COLUMNS, "points", scale) for scale in (1.0, 100.0))
        for one, other in zip(small[1:], large[1:], strict=True):
            numbers = [
                np.array([float(x.replace(",", "")) for x in re.findall(SIGNED, line)])
                for line in (one, other)
            ]
            assert np.allclose(100 * numbers[0], numbers[1], rtol=0.01)


def test_every_number_is_in_the_unit_of_the_report():
    guard_scale(findings.report)

    def half_scaled(found, columns, unit, scale):
        lines = findings.report(found, columns, unit, scale)
        return [lines[0], findings.report(found, columns, unit)[1], *lines[2:]]

    caught(guard_scale, half_scaled)


@pytest.mark.parametrize(("cost", "said"), [(1e3, "No segment"), (1e-9, "Every segment")])
def test_where_the_claims_part_nobody_it_is_said(cost, said):
    found = finder.search(log_of(), COLUMNS, "y", cost)
    all_gain = found.values.assign(treated=[0.0, 1.0, 1.0, 0.0])
    found = found if cost > 1 else found._replace(values=all_gain)
    assert f"{said} claims more than the cost." in findings.report(found, COLUMNS, "points")[4]


def test_a_doubt_says_where_it_was_seen():
    found = finder.search(few_buyers(1), COLUMNS, "y", 1.0, control_share=0.9)
    assert found.doubt.startswith("do not read: heavy tail")
    assert found.doubt.endswith("; seen in all users")
    assert found.doubt in findings.report(found, COLUMNS, "dollars")[4]
