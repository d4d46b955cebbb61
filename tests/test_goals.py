"""What is measured, and when it is good enough."""

import pandas as pd
import pytest

from helpers import goals
from helpers.goals import Design, Goal
from tests.guards import guard_message

LOG = pd.DataFrame(
    {
        "group": ["control"] * 4 + ["treatment"] * 4,
        "rate": [0, 1, 0, 0, 1, 1, 0, 1],
        "spend": [0.0, 10, 20, 10, 0, 30, 40, 10],
        "views": [1, 2, 3, 4, 5, 6, 7, 8],
    }
)


def test_the_test_follows_the_goal():
    kinds = {"rate": Goal("rate"), "mean": Goal("spend")}
    kinds |= {"ratio": Goal("rate", per="views"), "adjusted": Goal("rate", covariate="views")}
    for kind, goal in kinds.items():
        assert goals.kind_of(LOG, goal) == kind


@pytest.mark.parametrize(
    ("goal", "worth"),
    [
        (Goal("rate"), 0.0125),
        (Goal("spend"), 0.5),
        (Goal("spend", per="views"), 0.2),
        (Goal("spend", worth=3.0), 3.0),
        (Goal("rate", margin=0.02), None),
    ],
)
def test_a_worth_that_is_not_given_is_five_per_cent_of_control(goal, worth):
    assert goals.with_limit(LOG, goal, Design()).worth == worth


BAD = {
    "a rate that rises by all": (Goal("rate", worth=1.0), "worth is 1", "no rate rises"),
    "a rate that falls by all": (Goal("rate", margin=2.0), "no_worse_than is 2", "no rate falls"),
    "no margin": (Goal("rate", margin=0.0), "no_worse_than is 0.0", "that you would accept"),
    "nothing in control": (Goal("none"), "worth is not given", "give the smallest lift"),
}


@pytest.mark.parametrize("fault", BAD)
def test_limits_that_cannot_be_used(fault):
    goal, *said = BAD[fault]
    log = LOG.assign(none=[0, 0, 0, 0, 1, 0, 1, 0])
    guard_message(lambda: goals.with_limit(log, goal, Design()), *said)
