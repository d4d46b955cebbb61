"""The series on the original's mall customers, by cluster; the file is not ours to ship."""

import os
import re

import pytest

from tests.guards import STANDARD, run_in_process, tells_the_truth
from tools import notebooks

MALL = os.environ.get("MALL_CUSTOMERS_CSV")
pytestmark = pytest.mark.skipif(
    not MALL, reason="set MALL_CUSTOMERS_CSV to the path of Mall_Customers.csv to run this"
)


@pytest.mark.parametrize("cluster", range(4))
def test_every_rerun_tells_the_truth(cluster, tmp_path, monkeypatch):
    tells_the_truth({"target_cluster": cluster, "customers_file": MALL}, tmp_path, monkeypatch)


def test_the_original_interval_is_shown_on_the_mall_file(tmp_path, monkeypatch):
    """Notebook 04 replays the original's loop on the continued stream: its interval appears."""
    monkeypatch.chdir(tmp_path)
    path = next(p for p in notebooks.find() if p.name.startswith("04"))
    shown = run_in_process(path, STANDARD | {"customers_file": MALL}, monkeypatch)
    assert "Bootstrap interval (95 %): -2.90 to +10.33 points." in shown


def test_adjusted_and_pooled_lifts_of_the_thread(tmp_path, monkeypatch):
    """Notebook 07 shows the adjusted lifts of the house plan, their pool, and what was gained."""
    monkeypatch.chdir(tmp_path)
    path = next(p for p in notebooks.find() if p.name.startswith("07"))
    shown = run_in_process(path, STANDARD | {"customers_file": MALL}, monkeypatch)
    picture = next(text for text in shown if text.startswith("Lift with 95 % interval"))
    assert re.findall(r"adjusted (\S+) ", picture) == ["+5.48", "+2.74", "+0.52", "+2.28"]
    assert any(text.startswith("Pooled lift +3.04, standard error 0.71 (") for text in shown)
    low, high = map(
        float, re.findall(r"adjusted: (\S+) to (\S+)\.$", "\n".join(shown), flags=re.MULTILINE)[0]
    )
    assert 2 <= low <= 2.5 and 4 <= high <= 4.5  # the plan: two to four and a half times
