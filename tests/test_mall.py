"""The series on the mall customers of the original analysis, cluster by cluster; the file is not ours to ship."""

import os

import pytest

from helpers import rerun
from tests.test_rerun import STANDARD, run_in_process, tells_the_truth

MALL = os.environ.get("MALL_CUSTOMERS_CSV")
pytestmark = pytest.mark.skipif(not MALL, reason="set MALL_CUSTOMERS_CSV to the path of Mall_Customers.csv to run this")


@pytest.mark.parametrize("cluster", range(4))
def test_every_rerun_tells_the_truth(cluster, tmp_path, monkeypatch):
    tells_the_truth({"target_cluster": cluster, "customers_file": MALL}, tmp_path, monkeypatch)


def test_the_original_interval_is_shown_on_the_mall_file(tmp_path, monkeypatch):
    """Notebook 04 replays the original's loop on the continued stream: its published interval appears."""
    monkeypatch.chdir(tmp_path)
    path = next(p for p in rerun.notebook_files() if p.name.startswith("04"))
    shown = run_in_process(path, STANDARD | {"customers_file": MALL}, monkeypatch)
    assert "Bootstrap interval (95 %): -2.90 to +10.33 points." in shown
