"""Knobs and customers at the ends of what is legal run through the notebooks, or are refused.

What stopped a notebook once stands here for all of them.
"""

import ast

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.metrics import silhouette_score

from helpers import adjustment, data, experiment, inference, segments, words
from tests.guards import STANDARD, caught, guard_message, run_in_process
from tools import notebooks

NOTEBOOKS = {path.name[:2]: path for path in notebooks.find()}


def guard_effects(check):
    """Every effect that a plan may have passes, whatever its sign."""
    for size in (0, 1e-9, 0.005, 3, 1000):
        check(size)
        check(-size)
    for size in (1e-10, 1000.1, 1e12, 1e60, -1e12):
        guard_message(lambda size=size: check(size), f"effect is {size}", "from 1e-9 to 1,000")


def test_effects_are_refused_in_one_place():
    guard_effects(experiment.check_effect)
    with pytest.raises(pytest.fail.Exception):
        guard_effects(lambda effect: None)
    for call in (
        lambda: experiment.simulate_many([1.0, 2.0, 3.0, 4.0], 5, effect=1e12),
        lambda: experiment.replay_seeds([1.0, 2.0, 3.0, 4.0], [1], effect=1e12),
    ):
        guard_message(call, "effect is 1000000000000.0")


@pytest.mark.parametrize("number", ["07", "08", "10"])
def test_a_notebook_refuses_a_huge_effect_at_once(number, monkeypatch):
    knobs = STANDARD | {"effect": 1e12}
    guard_message(lambda: run_in_process(NOTEBOOKS[number], knobs, monkeypatch), "effect is 1")


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        (3.0, "+3.00"),
        (0, "0.00"),
        (-0.0, "0.00"),
        (-2, "-2.00"),
        (0.005, "+0.005"),
        (1e-9, "+1e-09"),
    ],
)
def test_an_effect_is_said_as_it_was_typed(effect, said):
    assert words.given(effect, sign=True) == said


# A sample for the silhouette


def silhouettes():
    space = {"pd": pd, "metrics": metrics}
    for cell in notebooks.read(NOTEBOOKS["01"]).cells:
        if "def mean_silhouette(" in cell.source:
            (made,) = (node for node in ast.parse(cell.source).body if hasattr(node, "args"))
            exec(ast.unparse(made), space)
    return space["mean_silhouette"]


def by_sample(table, labels):
    """As it was once: a sample may miss a cluster."""
    return silhouette_score(table, labels, sample_size=min(len(table), 2_000), random_state=42)


def guard_a_lone_cluster(mean_silhouette):
    """One customer far away, or two in each cluster, among more than a sample holds."""
    points = np.random.default_rng(1).normal(size=(20_000, 3))
    for alone in (0, 9_999, 19_999):
        labels = np.arange(20_000) == alone
        try:
            assert np.isfinite(mean_silhouette(points, labels.astype(int)))
        except ValueError as error:
            raise AssertionError(str(error)) from None
    labels = np.arange(4_100) // 2
    assert mean_silhouette(np.column_stack([labels, labels]), labels) == pytest.approx(1)


def guard_the_silhouette_of_all(mean_silhouette):
    """Up to 2,000 customers each counts; beyond, the sample is near enough."""
    rng = np.random.default_rng(2)
    for n, near in ((200, 1e-12), (2_000, 1e-12), (9_000, 0.01)):
        labels = rng.choice(3, n, p=[0.1, 0.3, 0.6])
        points = rng.normal(size=(n, 3)) + 2 * labels[:, None]
        found = mean_silhouette(points, labels)
        assert found == pytest.approx(silhouette_score(points, labels), abs=near)


def test_every_cluster_is_in_the_sample():
    guard_a_lone_cluster(silhouettes())
    caught(guard_a_lone_cluster, by_sample)
    guard_the_silhouette_of_all(silhouettes())
    caught(
        guard_the_silhouette_of_all, lambda points, labels: by_sample(points[:150], labels[:150])
    )


def test_customers_who_are_all_the_same_are_refused():
    """k-means has one label for them, and no silhouette; the preview of a run says so at once."""
    same = data.load_customers().assign(**dict.fromkeys(segments.DEFAULT_FEATURES, 30))
    guard_message(lambda: segments.cluster_customers(same, 1), "All 200 customers are the same")
    same.loc[0, "Age"] = 31
    assert set(segments.cluster_customers(same, 2)["Cluster"]) == {0, 1}


# Memory is bounded: parts of the work give what the whole gives


@pytest.mark.parametrize("at_once", [1, 30, 1000])
def test_many_runs_tested_in_parts_are_the_same(at_once, monkeypatch):
    scores = data.load_customers()[experiment.OUTCOME]
    made = experiment.simulate_many(scores, 7)
    whole = inference.welch_many(*made), adjustment.adjust_many(*made, scores)
    monkeypatch.setattr(inference, "AT_ONCE", at_once)
    pd.testing.assert_frame_equal(inference.welch_many(*made), whole[0], check_exact=True)
    pd.testing.assert_frame_equal(adjustment.adjust_many(*made, scores), whole[1], rtol=1e-9)


def test_no_more_runs_at_once_than_allowed(monkeypatch):
    seen = []
    outcome, arms = np.zeros((10, 30)), np.ones((10, 30), dtype=bool)
    monkeypatch.setattr(inference, "AT_ONCE", 100)
    table = inference.by_rows(
        lambda y, _: seen.append(y.size) or pd.DataFrame({"n": y.sum(axis=1)}), outcome, arms
    )
    assert max(seen) <= 100 and sum(seen) == 300 and table.index.tolist() == list(range(10))
