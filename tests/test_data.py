"""The data that ship with the course: made by the script beside them, shaped as the notebooks expect."""

import hashlib
import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import data, experiment, inference, segments

FOLDER = data.FOLDER
MAKE = runpy.run_path(str(FOLDER / "make_data.py"))
MADE = {"customers.csv": MAKE["make_customers"], "ab_test_data.csv": MAKE["make_log"]}


@pytest.fixture(scope="module")
def customers():
    return data.load_customers()


@pytest.fixture(scope="module")
def log():
    return pd.read_csv(FOLDER / "ab_test_data.csv")


# Where the files come from


def guard_bytes(name, make):
    made, shipped = (
        MAKE["to_csv_bytes"](make()).split(b"\n"),
        (FOLDER / name).read_bytes().split(b"\n"),
    )
    different = next(
        (row for row, pair in enumerate(zip(made, shipped, strict=False)) if pair[0] != pair[1]),
        None,
    )
    assert different is None, (
        f"line {different + 1}: {made[different]} made, {shipped[different]} shipped"
    )
    assert len(made) == len(shipped)


@pytest.mark.parametrize("name", MADE)
def test_file_comes_out_of_the_script_byte_for_byte(name):
    guard_bytes(name, MADE[name])
    with pytest.raises(AssertionError):
        guard_bytes(name, lambda: MADE[name](seed=43))


def test_clustered_file_is_what_notebook_01_saves(customers):
    guard_bytes("customers_with_clusters.csv", lambda: segments.cluster_customers(customers))


def guard_checksums(folder):
    """Every CSV stands in a table row of the data card with its sha256."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    rows = [line for line in card.splitlines() if line.startswith("|")]
    for path in sorted(folder.glob("*.csv")):
        listed = [re.findall(r"\b[0-9a-f]{64}\b", row) for row in rows if f"`{path.name}`" in row]
        assert listed == [[hashlib.sha256(path.read_bytes()).hexdigest()]], path.name


def test_data_card_has_the_checksum_of_every_file():
    guard_checksums(FOLDER)


def test_a_changed_byte_and_an_unlisted_file_are_caught(tmp_path):
    table = tmp_path / "ages.csv"
    table.write_bytes(b"age\n42\n")
    checksum = hashlib.sha256(table.read_bytes()).hexdigest()
    card = f"# Data\n\n| file | sha256 |\n|---|---|\n| `ages.csv` | {checksum} |\n"
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    guard_checksums(tmp_path)

    table.write_bytes(b"age\n43\n")
    with pytest.raises(AssertionError, match=r"ages\.csv"):
        guard_checksums(tmp_path)
    table.write_bytes(b"age\n42\n")
    (tmp_path / "more.csv").write_bytes(b"age\n1\n")
    with pytest.raises(AssertionError, match=r"more\.csv"):
        guard_checksums(tmp_path)


# Customers


def test_customers_are_two_hundred_with_whole_numbers_in_range(customers):
    assert list(customers) == list(data.COLUMNS)
    assert customers["CustomerID"].tolist() == list(range(1, 201))
    assert set(customers["Gender"]) == {"Female", "Male"}
    assert 0.4 < (customers["Gender"] == "Female").mean() < 0.7
    for name, (low, high) in zip(
        segments.DEFAULT_FEATURES, ((18, 75), (12, 140), (1, 100)), strict=True
    ):
        assert customers[name].dtype == np.int64
        assert customers[name].between(low, high).all()


def test_the_target_cluster_is_a_group_of_big_spenders(customers):
    """Four groups; cluster 1 has about 40 customers with scores about 80, sd about 10, well above the rest."""
    clustered = segments.cluster_customers(customers)
    scores = clustered.groupby("Cluster")[experiment.OUTCOME].agg(["size", "mean", "std"])
    assert scores.index.tolist() == [0, 1, 2, 3]
    assert scores["size"].min() >= 30
    target = scores.loc[1]
    assert target["size"] == pytest.approx(40, abs=4)
    assert target["mean"] == pytest.approx(80, abs=4)
    assert target["std"] == pytest.approx(10, abs=2)
    assert scores["mean"].drop(1).max() < target["mean"] - 10
    assert (
        clustered.loc[clustered["Cluster"] == 1, "Annual Income (k$)"].mean()
        > clustered["Annual Income (k$)"].mean()
    )


@pytest.mark.parametrize("cluster", range(4))
def test_every_cluster_can_be_tested_at_seed_42(customers, cluster):
    table = experiment.simulate_experiment(segments.cluster_customers(customers), cluster)
    assert table["group"].value_counts().min() >= 10


# The experiment log


def test_log_columns_and_ranges(log):
    names = [
        "user_id",
        "age",
        "country",
        "past_purchases",
        "device",
        "group",
        "converted",
        "revenue",
    ]
    assert list(log) == names
    assert not log.isna().any(axis=None)
    assert log["user_id"].tolist() == list(range(100_001, 120_001))
    assert log["age"].between(18, 73).all()
    assert log["past_purchases"].between(0, 100).all()
    assert set(log["country"]) == {"US", "DE", "BR", "JP", "NZ"}
    assert set(log["device"]) == {"mobile", "desktop", "tablet"}
    assert set(log["group"]) == set(experiment.ARMS)
    assert set(log["converted"]) == {0, 1}
    assert ((log["revenue"] > 0) == (log["converted"] == 1)).all()
    assert all(
        log[name].dtype == np.int64 for name in ("user_id", "age", "past_purchases", "converted")
    )


def test_log_is_fairly_assigned(log):
    """The arms have the planned ratio, over all and in every age band, country and device."""
    cuts = [
        pd.Series("all", index=log.index),
        segments.age_band(log["age"]),
        log["country"],
        log["device"],
    ]
    for cut in cuts:
        sizes = log.groupby([cut, "group"], observed=True).size().unstack()
        for counts in sizes[list(experiment.ARMS)].itertuples(index=False):
            assert experiment.sample_ratio_p(*counts) > 0.001


def guard_planted_effects(log, planted):
    """In each age band the difference in conversion lies within four standard errors of the planted effect."""
    band = segments.age_band(log["age"])
    for name, effect in zip(segments.AGE_BANDS, planted, strict=True):
        rows = log[band == name]
        control, treatment = (
            rows.loc[rows["group"] == arm, "converted"] for arm in experiment.ARMS
        )
        found = inference.compare_means(control, treatment)
        assert abs(found.lift - effect) < 4 * found.lift / found.t, name


def test_planted_effects_can_be_found_again(log):
    planted = MAKE["EFFECT_BY_AGE"]
    guard_planted_effects(log, planted)
    assert planted[0] > 0 > planted[-1]
    with pytest.raises(AssertionError, match="under 30"):
        guard_planted_effects(log, -planted)


def test_no_file_is_larger_than_a_megabyte():
    assert all(path.stat().st_size < 1_000_000 for path in Path(FOLDER).iterdir() if path.is_file())
