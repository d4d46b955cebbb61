"""Notebook 10: a log that is never loaded says what its rows say."""

import gc
import math
import re
import sys

import nbformat
import pandas as pd
import pytest
from scipy import stats

from helpers import InputError, data, experiment, inference, segments, words
from tests.guards import functions_of, lies, run_in_process
from tools import notebooks

NOTEBOOK = next(path for path in notebooks.find() if path.name.startswith("10"))


# On other knobs


def run_10(monkeypatch, offline=True, **knobs) -> str:
    return "\n".join(run_in_process(NOTEBOOK, {"rows": 20_000} | knobs, monkeypatch, offline))


@pytest.mark.parametrize(
    "knobs",
    [
        {"target_cluster": 2, "effect": 0.0, "seed": 3},
        {"target_cluster": 5, "n_clusters": 6, "effect": -2.5, "rows": 30_001},
        {"target_cluster": 3, "rows": 250_000, "seed": 2026},
    ],
    ids=str,
)
def test_notebook_10_says_what_the_rows_say(knobs, tmp_path, monkeypatch):
    """The log left behind, read with pandas and compared in memory, gives the sentences shown."""
    everything = run_10(monkeypatch, folder=str(tmp_path / "log"), **knobs)
    assert lies(everything) == []
    log = pd.read_parquet(tmp_path / "log")
    effect, target = knobs.get("effect", 3.0), knobs["target_cluster"]
    assert sorted(log["user_id"]) == list(range(knobs.get("rows", 20_000)))
    assert len(list((tmp_path / "log").iterdir())) == 4
    part = log[log["segment"] == target]
    result = inference.compare_means(
        *(part.loc[part["group"] == arm, "outcome"] for arm in experiment.ARMS)
    )
    assert words.verdict(result, knobs.get("worth", 1.0)) in everything
    labels = []
    for _, piece in log.groupby("segment"):
        r = inference.compare_means(
            *(piece.loc[piece["group"] == arm, "outcome"] for arm in experiment.ARMS)
        )
        labels.append((r.ci_low, r.ci_high))
    held = sum(low <= effect <= high for low, high in labels)
    assert f"{held} of {len(labels)} hold the planted effect" in everything
    ways = re.search(r"rows taken for users.*\nusers, added up.*\nbuckets.*", everything)[0]
    rows, users, buckets = ([float(x) for x in line.split()[-3:]] for line in ways.splitlines())
    assert rows[2] == pytest.approx(users[2] / 2, rel=1e-3)
    assert buckets[2] == pytest.approx(users[2], rel=0.25)


def test_the_log_is_what_it_says_it_is(tmp_path, monkeypatch):
    """Arms by hash, segments and scores of the customers, noise of sd 5, the effect planted.

    And it is the same log each time.
    """
    notebook = notebooks.read(NOTEBOOK)
    written = next(i for i, cell in enumerate(notebook.cells) if "scale.read_log" in cell.source)
    notebook.cells = notebook.cells[:written]  # what is asked of the log is for the test above
    nbformat.write(notebook, tmp_path / NOTEBOOK.name)
    for name in ("one", "two"):
        knobs = {"rows": 20_000, "folder": str(tmp_path / name)}
        run_in_process(tmp_path / NOTEBOOK.name, knobs, monkeypatch)
    log, again = (
        pd.read_parquet(tmp_path / name).sort_values("user_id", ignore_index=True)
        for name in ("one", "two")
    )
    pd.testing.assert_frame_equal(log, again)
    (place,) = functions_of(NOTEBOOK, "place")
    by_hash = ["treatment" if place(user, "spring-42") >= 500 else "control" for user in range(500)]
    assert log["group"].head(500).tolist() == by_hash
    assert log["bucket"].head(500).tolist() == [place(user, "bucket") for user in range(500)]
    clustered = segments.cluster_customers(data.load_customers())
    known = set(zip(clustered["Cluster"], clustered[experiment.OUTCOME], strict=True))
    assert set(zip(log["segment"], log["before"], strict=True)) == known
    noise = log["outcome"] - log["before"] - 3.0 * (log["group"] == "treatment")
    assert abs(noise.mean()) < 5 * 5 / math.sqrt(len(log)) and 4.87 < noise.std() < 5.13
    sizes = log["group"].value_counts().loc[list(experiment.ARMS)].tolist()
    assert experiment.sample_ratio_p(*sizes) > 1e-4
    in_bucket = log["bucket"].value_counts().reindex(range(1000), fill_value=0)
    assert stats.chisquare(in_bucket).pvalue > 1e-4
    assert stats.chi2_contingency(pd.crosstab(log["bucket"] < 500, log["group"])).pvalue > 1e-4


# What is refused, and what is left behind


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"rows": 1_000}, "a whole number from 20,000 up"),
        ({"rows": 5e4}, "rows is 50000.0"),
        ({"effect": "3"}, "effect is '3'"),
        ({"effect": 1e9}, "from 1e-9 to 1,000"),
        ({"worth": -1}, "worth is -1"),
        ({"target_cluster": 9}, "target_cluster is 9, but the clusters are 0"),
    ],
)
def test_notebook_10_refuses_bad_knobs(knobs, said, monkeypatch):
    with pytest.raises(InputError, match=said):
        run_10(monkeypatch, **knobs)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "log"):
        with pytest.raises(InputError, match="cannot be made"):
            run_10(monkeypatch, folder=str(folder))


def test_two_logs_never_mix(tmp_path, monkeypatch):
    (tmp_path / "old.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="not empty"):
        run_10(monkeypatch, folder=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["old.parquet"]


def test_the_temporary_log_is_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run_10(monkeypatch)
    gc.collect()
    assert [path.name for path in tmp_path.rglob("*.parquet")] == []


# Another engine, another library: with Spark in test_scale, where a Java is at work already


def test_without_spark_the_extras_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(InputError, match="Java 17 or newer and `make scale`"):
        run_10(monkeypatch, extras=True)
