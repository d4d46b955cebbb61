"""The series on the original's mall customers, by cluster; the file is not ours to ship."""

import os
import re

import pytest

from tests.guards import VERDICTS, tells_the_truth

MALL = os.environ.get("MALL_CUSTOMERS_CSV")
pytestmark = pytest.mark.skipif(
    not MALL, reason="set MALL_CUSTOMERS_CSV to the path of Mall_Customers.csv to run this"
)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """What the series says in the original's cluster, once that has proved to be true.

    What it says in another cluster is for test_rerun: there the file is another one, too.
    """
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("mall")
        return tells_the_truth({"customers_file": MALL}, folder, patch, VERDICTS)


def test_the_original_interval_is_shown_on_the_mall_file(texts):
    """Notebook 04 replays the original's loop on the continued stream: its interval appears."""
    shown = re.search(r"bootstrap\s+(\S+)\s+(\S+)", "\n".join(texts["04"]))
    assert [round(float(end), 2) for end in shown.groups()] == [-2.90, 10.33]


def test_adjusted_and_pooled_lifts_of_the_thread(texts):
    """Notebook 07 shows the adjusted lifts of the house plan, their pool, and what was gained."""
    shown = texts["07"]
    adjusted = [text for text in shown if "verdict" in text and "estimate" in text][1]
    rows = re.findall(r"^\d +\S+ +(\S+) +\S+ ", adjusted, flags=re.MULTILINE)
    assert [round(float(x), 2) for x in rows] == [5.48, 2.74, 0.52, 2.28]
    pooled = next(text for text in shown if text.startswith("pooled "))
    lift, low, high = (float(line.split()[-1]) for line in pooled.splitlines()[:3])
    assert [round(lift, 2), round((high - low) / 2 / 1.96, 2)] == [3.04, 0.71]
    times = next(text for text in shown if re.fullmatch(r"cluster\n(\d +\S+\n){4}dtype.*", text))
    gained = [float(line.split()[-1]) for line in times.splitlines()[1:5]]
    low, high = min(gained), max(gained)
    assert 2 <= low <= 2.5 and 4 <= high <= 4.5  # the plan: two to four and a half times
