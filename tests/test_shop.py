"""The made-up shop: the same on every machine, and its planted truth is in its next season."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from helpers import assignment, data, shop
from tests.guards import guard_message


def test_it_follows_the_seed():
    table = shop.customers(42)
    assert list(table) == ["customer", "channel", "recency", "frequency", "monetary"]
    assert len(table) == 3_000 and table["customer"].is_unique
    assert shop.customers(42).equals(table) and not shop.customers(1).equals(table)
    assert table["channel"].value_counts(normalize=True)["store"] == pytest.approx(0.45, abs=0.04)
    assert (table["recency"].between(1, 365) & (table["frequency"] >= 1)).all()
    guard_message(lambda: shop.customers(-1), "seed is -1")


def test_the_file_is_the_shop():
    text = (data.FOLDER / "shop_customers.csv").read_bytes()
    own = shop.customers().to_csv(index=False, lineterminator="\n").encode("utf-8")
    assert hashlib.sha256(text).hexdigest() == hashlib.sha256(own).hexdigest()


def test_the_truth_is_in_the_next_season():
    lifts, links = [], []
    for seed in range(12):
        people = shop.customers(seed)
        listed = assignment.assign(people, "customer", "channel", "monetary", seed=seed)
        after = listed.merge(shop.next_season(listed, seed), on="customer")
        before = after.assign(group="control")
        none = shop.next_season(before[listed.columns], seed)["spent"]
        treated = after["group"] == "treatment"
        gain = (after["spent"] - none.to_numpy()).round(2)
        assert (gain[~treated] == 0).all()
        lifts.append(gain[treated].groupby(after["segment"]).mean())
        links.append(np.corrcoef(after["baseline"], none)[0, 1])
    assert pd.DataFrame(lifts).mean().to_dict() == pytest.approx(shop.TRUE_LIFT, abs=0.01)
    assert np.mean(links) == pytest.approx(0.63, abs=0.05)
