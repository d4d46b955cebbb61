"""Logs larger than memory: an engine's sums give what a table in memory gives; CUPED; Spark.

A guard is a function that takes the implementation: the true one must pass it, a faulty one must be
caught by it. The tests of Spark and of tea-tasting are skipped where those are missing;
SPARK_MUST_RUN=1 makes them fail instead.
"""

import importlib.util
import math
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from scipy import stats

from helpers import adjustment, experiment, heterogeneity, inference, scale
from tests.guards import caught, guard_message, run_in_process, share
from tools import notebooks

# of ibis and Spark, about pandas 4
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
CONNECTION = ibis.duckdb.connect()


def make_log(n=6_000, seed=10):
    """Four segments, each with its own slope of y on before; 60 % of the users are in control."""
    rng = np.random.default_rng(seed)
    segment, treated, before = (
        rng.choice([10, 9, 2, 1], n),
        rng.random(n) < 0.4,
        rng.gamma(4, 10, n),
    )
    y = 0.1 * segment * before + rng.normal(0, 5, n) + treated * rng.normal(1, 3, n)
    group = np.where(treated, "treatment", "control")
    return pd.DataFrame(
        {"user": np.arange(n), "segment": segment, "group": group, "before": before, "y": y}
    )


LOG = make_log()


def table_of(frame):
    return CONNECTION.create_table(ibis.util.gen_name("log"), frame)


def write_parts(frame, folder, order=(0, 1, 2)):
    """Three Parquet files in a new folder; order: which third of the rows goes to which file."""
    folder.mkdir()
    for number, part in enumerate(order):
        frame[frame["user"] % 3 == part].to_parquet(folder / f"part-{number}.parquet", index=False)
    return folder


def compare(log, covariate=None, **options):
    return scale.compare_segments(log, "segment", "y", covariate=covariate, **options)


def in_memory(frame, **options):
    return heterogeneity.compare_segments(frame, "segment", "y", **options)


def same(found, expected, rtol=1e-9):
    assert_frame_equal(found, expected, rtol=rtol, atol=0, check_index_type=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_parts(LOG, tmp_path_factory.mktemp("log") / "parts")


@pytest.fixture(scope="module")
def table(folder):
    return scale.read_log(CONNECTION, folder)


# What memory gives

ARMS = {
    "usual": ("control", "treatment"),
    "before": ("A", "0B"),
    "after": ("A", "b"),
    "0, 1": (0, 1),
    "1, 0": (1, 0),
}
SHARES = {"confidence": 0.9, "control_share": 0.6}


@pytest.mark.parametrize("source", ["frame", "file", "folder"])
@pytest.mark.parametrize("arms", ARMS.values(), ids=ARMS)
def test_the_same_as_in_memory(tmp_path, source, arms):
    """Also where treatment sorts before control, and for segments in words."""
    words = LOG["segment"].map({1: "one", 2: "two", 9: "nine", 10: "ten's"})
    for frame in (LOG, LOG.assign(segment=words)):
        frame = frame.assign(group=LOG["group"].map(dict(zip(experiment.ARMS, arms, strict=True))))
        if source == "frame":
            log = table_of(frame)
        elif source == "folder":
            log = scale.read_log(
                CONNECTION, write_parts(frame, tmp_path / frame["segment"].dtype.name)
            )
        else:
            frame.to_parquet(tmp_path / "log.parquet", index=False)
            log = scale.read_log(CONNECTION, str(tmp_path / "log.parquet"))
        same(compare(log, control=arms[0], **SHARES), in_memory(frame, control=arms[0], **SHARES))


def test_columns_may_have_any_name_and_arms_may_be_true_and_false():
    frame = LOG.rename(columns={"segment": "the plan", "y": "mean", "group": "Arm", "before": "n"})
    frame["Arm"] = frame["Arm"] == "treatment"
    found = scale.compare_segments(
        table_of(frame), "the plan", "mean", "Arm", control=False, covariate="n"
    )
    same(found, compare(table_of(LOG), "before").rename_axis("the plan"))


FAULTY_SUMS = {
    "population variance": lambda t: t.mutate(var=t["var"] * (t["n"] - 1) / t["n"]),
    "arms exchanged": lambda t: t.mutate(
        group=(t["group"] == "control").ifelse("treatment", "control")
    ),
    "rows counted twice": lambda t: t.mutate(n=2 * t["n"]),
    "spread for variance": lambda t: t.mutate(var=t["var"].sqrt()),
    "a segment lost": lambda t: t.filter(t["segment"] != 9),
}


@pytest.mark.parametrize("fault", FAULTY_SUMS)
def test_faulty_sums_are_caught(monkeypatch, table, fault):
    true, expected = scale.sums, in_memory(LOG)
    same(compare(table), expected)
    monkeypatch.setattr(scale, "sums", lambda *arguments: FAULTY_SUMS[fault](true(*arguments)))
    caught(lambda faulty: same(faulty(table), expected), compare)


def test_zeros_and_ones_are_any_number_here():
    """Welch's interval, which for hundreds of conversions is nearly the one for rates."""
    frame = LOG.assign(y=(LOG["y"] > LOG.groupby("segment")["y"].transform("median")).astype(int))
    found, rates = compare(table_of(frame)), in_memory(frame)
    for name, part in frame.groupby("segment"):
        by_hand = inference.compare_means(
            *(part.loc[part["group"] == arm, "y"] for arm in experiment.ARMS)
        )
        assert found.loc[name].drop("ratio_p").tolist() == pytest.approx(
            list(asdict(by_hand).values()), rel=1e-9
        )
    same(found[["lift", "ratio_p"]], rates[["lift", "ratio_p"]])
    gap = (found - rates)[["ci_low", "ci_high"]].div(rates["se"], axis=0)
    assert 0 < gap.abs().max(axis=None) < 0.02


# CUPED


def inside_arms(part):
    """The slope of y on before among the deviations from the mean of the own arm."""
    left = part[["y", "before"]] - part.groupby("group")[["y", "before"]].transform("mean")
    return (left["y"] * left["before"]).sum() / np.square(left["before"]).sum()


def slope_of(part):
    return np.cov(part["before"], part["y"])[0, 1] / part["before"].var()


def adjusted_by_hand(log, slope):
    rows = {}
    for name, part in log.groupby("segment"):
        adjusted = part["y"] - slope(part) * (part["before"] - part["before"].mean())
        arms = [adjusted[part["group"] == arm] for arm in experiment.ARMS]
        rows[name] = asdict(inference.compare_means(*arms)) | {
            "ratio_p": experiment.sample_ratio_p(*map(len, arms))
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("segment")


OTHER_SLOPES = {
    "over all users of the log": lambda part: inside_arms(LOG),
    "over both arms as one": slope_of,
    "of control alone": lambda part: slope_of(part[part["group"] == "control"]),
    "half": lambda part: inside_arms(part) / 2,
    "none": lambda part: 0.0,
}


def test_cuped_is_the_one_made_by_hand(table):
    found = compare(table, "before")
    same(found, adjusted_by_hand(LOG, inside_arms))
    for slope in OTHER_SLOPES.values():
        caught(lambda expected: same(found, expected), adjusted_by_hand(LOG, slope))


def test_cuped_is_regression_adjustment(table):
    """The lift is the regression's coefficient; its HC2 error nearly ours at 1,500 users."""
    found = compare(table, "before")
    for name, part in LOG.groupby("segment"):
        fit = adjustment.compare_adjusted(part["y"], part["group"] == "treatment", part["before"])
        row = found.loc[name]
        assert [row["lift"], row["mean_control"]] == pytest.approx(
            [fit.lift, fit.mean_control], rel=1e-9
        )
        assert [row["se"], row["ci_low"], row["ci_high"]] == pytest.approx(
            [fit.se, fit.ci_low, fit.ci_high], rel=0.01
        )


CHANGES = {"shifted": lambda t: t["before"] + 1_000, "in cents": lambda t: t["before"] * -100}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_unit_of_the_covariate_does_not_matter(table, change):
    expected = compare(table, "before")
    same(compare(table.mutate(before=change(table)), "before"), expected, rtol=1e-8)


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1])
def test_a_covariate_that_does_not_vary_changes_nothing(table, value):
    constant = table.mutate(before=ibis.literal(value))
    same(compare(constant, "before"), compare(table))


@pytest.mark.parametrize("covariate", [None, "before"])
def test_swapped_arms(table, covariate):
    there = compare(table, covariate, control_share=0.6)
    back = compare(table, covariate, control="treatment", control_share=0.4)
    assert there["relative_ci_low"].gt(-1).all()
    mirrored = {
        "lift": -there["lift"],
        "t": -there["t"],
        "ci_low": -there["ci_high"],
        "ci_high": -there["ci_low"],
    }
    for name, other in (("lift", "lift"), ("ci_low", "ci_high"), ("ci_high", "ci_low")):
        mirrored[f"relative_{name}"] = 1 / (1 + there[f"relative_{other}"]) - 1
    pairs = (experiment.ARMS, experiment.ARMS[::-1])
    arms = {f"{of}_{arm}": f"{of}_{other}" for of in ("n", "mean", "sd") for arm, other in pairs}
    same(back, there.rename(columns=arms)[list(there)].assign(**mirrored), rtol=1e-7)


# Error rates, coverage, width: each segment is an experiment of its own

RUNS, USERS, RHO = 500, 100, 0.8
TRUTH = pd.Series(np.repeat([0.0, 0.5], RUNS // 2))  # the first half is A/A


def band(runs):
    """How far luck may carry a rate of 5 % in so many runs: 3.1 points in 500."""
    return 3.2 * math.sqrt(0.05 * 0.95 / runs)


@pytest.fixture(scope="module")
def experiments():
    """The plain and the adjusted table of 500 experiments of 100 users, each from one call."""
    rng = np.random.default_rng(11)
    treated, (before, noise) = rng.random((RUNS, USERS)) < 0.5, rng.normal(size=(2, RUNS, USERS))
    y = RHO * before + math.sqrt(1 - RHO**2) * noise + treated * TRUTH.to_numpy()[:, None]
    group = np.where(treated, "treatment", "control")
    log = {
        "segment": np.arange(RUNS).repeat(USERS),
        "group": group.ravel(),
        "y": y.ravel(),
        "before": before.ravel(),
    }
    log = table_of(pd.DataFrame(log))
    return [compare(log), compare(log, "before")]


def guard_promises(result):
    """5 % false alarms among the A/A experiments, and 95 % of all intervals hold the truth."""
    alarms = (result["ci_low"] > 0) | (result["ci_high"] < 0)
    assert abs(share(alarms[TRUTH == 0]) - 0.05) <= band(RUNS // 2)
    assert abs(share((result["ci_low"] <= TRUTH) & (result["ci_high"] >= TRUTH)) - 0.95) <= band(
        RUNS
    )


def test_promises_of_the_plain_and_the_adjusted_test(experiments):
    for result in experiments:
        guard_promises(result)
        assert (result["p_value"] < 0.05).equals((result["ci_low"] > 0) | (result["ci_high"] < 0))
        assert stats.kstest(result.loc[TRUTH == 0, "p_value"], "uniform").pvalue > 0.001


def test_broken_promises_are_caught(experiments):
    """Half of the adjustment: the lift of one test with the width of the other."""
    for centre, width in (experiments, experiments[::-1]):
        half = (width["ci_high"] - width["ci_low"]) / 2
        caught(
            guard_promises,
            pd.DataFrame({"ci_low": centre["lift"] - half, "ci_high": centre["lift"] + half}),
        )


def test_a_covariate_narrows_the_interval(experiments):
    plain, adjusted = experiments
    assert (adjusted["se"] / plain["se"]).mean() == pytest.approx(math.sqrt(1 - RHO**2), rel=0.02)
    found = [share(result.loc[TRUTH > 0, "p_value"] < 0.05) for result in experiments]
    assert found[1] > found[0] + 0.2  # and so finds more of the true effects


# Numbers far from zero, rows in another order


def naive_sums(log, segment, outcome):
    """The plain sum of squares: right on paper, wrong where the mean is large beside the spread."""
    y = log[outcome]
    t = log.group_by([segment, "group"]).agg(n=log.count(), mean=y.mean(), squares=(y * y).sum())
    return t.mutate(var=(t["squares"] - t["n"] * t["mean"] ** 2) / (t["n"] - 1))


def guard_shift(sums, table, shift=1e9):
    """An outcome 1,000,000,000 higher has the same spread, and a mean that much higher."""
    logs = (table, table.mutate(y=table["y"] + shift))
    there, far = (
        sums(log, "segment", "y").execute().sort_values(["segment", "group"]) for log in logs
    )
    assert far["var"].tolist() == pytest.approx(there["var"].tolist(), rel=1e-6)
    assert (far["mean"] - shift).tolist() == pytest.approx(there["mean"].tolist(), abs=1e-5)


def test_numbers_far_from_zero(table):
    guard_shift(scale.sums, table)
    guard_shift(naive_sums, table, shift=0)
    caught(lambda sums: guard_shift(sums, table), naive_sums)


def test_lifts_far_from_zero(table):
    far = table.mutate(y=table["y"] + 1e9, before=table["before"] + 1e9)
    for covariate in (None, "before"):
        there, shifted = compare(table, covariate), compare(far, covariate)
        assert shifted["lift"].tolist() == pytest.approx(
            there["lift"].tolist(), abs=1e-4 * there["se"].min()
        )
        same(shifted.filter(regex="^s[ed]"), there.filter(regex="^s[ed]"), rtol=1e-6)


def test_the_order_of_the_files_does_not_matter(tmp_path, table):
    expected = compare(table, "before")
    for order in ((2, 1, 0), (1, 2, 0)):
        log = scale.read_log(CONNECTION, write_parts(LOG, tmp_path / f"{order}", order))
        same(compare(log, "before"), expected, rtol=1e-10)


def test_files_of_one_folder_may_write_numbers_differently(tmp_path):
    """Whole numbers in the first file must not round those of the second."""
    frame = LOG.assign(y=LOG["y"].where(LOG["user"] % 3 > 0, LOG["y"].round()))
    folder = write_parts(frame, tmp_path / "parts")
    whole = frame[frame["user"] % 3 == 0].astype({"y": "int64"})
    whole.to_parquet(folder / "part-0.parquet", index=False)
    same(compare(scale.read_log(CONNECTION, folder)), in_memory(frame))


# Nothing is computed before it must be

KINDS = {"int64": 1, "float32": 0.5, "decimal(9, 2)": 0.25, "boolean": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_an_expression_for_every_type_of_number(kind):
    log = ibis.table(
        {"segment": "string", "group": "string", "y": kind, "before": kind}, name="log"
    )
    expression = scale.sums(log, "segment", "y", covariate="before")
    assert expression.columns == (
        "segment",
        "group",
        "n",
        "blanks",
        "mean",
        "var",
        "mean_x",
        "var_x",
        "cov",
    )
    assert scale.sums(log, "segment", "y").columns == (
        "segment",
        "group",
        "n",
        "blanks",
        "mean",
        "var",
    )
    for engine in ("duckdb", "postgres", "trino"):
        sql = str(ibis.to_sql(expression, dialect=engine)).upper()
        assert sql.count("GROUP BY") == sql.count("SELECT") == 1
    frame = LOG.assign(
        y=np.floor(LOG["y"] / KINDS[kind]) % 2 * KINDS[kind], before=LOG["user"] % 2 * KINDS[kind]
    )
    table = table_of(frame)
    found = compare(
        table.mutate(y=table["y"].cast(kind), before=table["before"].cast(kind)), "before"
    )
    same(found, compare(table, "before"))
    assert found["sd_control"].gt(0).all()


@pytest.mark.parametrize("name", ["n", "mean", "var", "blanks", "cov", "segment", "group"])
def test_columns_may_have_any_name(table, name):
    """Also those that the sums give themselves."""
    expected = compare(table, "before").to_numpy()
    for role in ("segment", "group"):
        other = {"segment": "other_1", "group": "other_2"} | {role: name}
        log = table.rename({new: old for old, new in other.items()})
        found = scale.compare_segments(
            log, other["segment"], "y", other["group"], covariate="before"
        )
        np.testing.assert_allclose(found.to_numpy(float), expected.astype(float), rtol=1e-9)


def test_the_log_is_read_once(monkeypatch, table):
    asked, execute = [], ibis.Table.execute
    monkeypatch.setattr(
        ibis.Table, "execute", lambda t, *a, **k: asked.append(t) or execute(t, *a, **k)
    )
    scale.sums(table, "segment", "y")
    assert asked == []
    compare(table, "before", user="none")
    assert len(asked) == 1
    compare(table, "before")  # and once more, because it has a column called user
    assert len(asked) == 3


# Refusals: files

BAD_FILES = {
    "nothing there": (None, "No files found"),
    "text": (b"segment,group,y\n1,control,2\n" * 9, "No magic bytes"),
    "empty file": (b"", "too small"),
    "cut short": (slice(2_000), "No magic bytes"),
    "last byte lost": (slice(-1), "No magic bytes"),
}


@pytest.mark.parametrize("alone", [True, False], ids=["file", "folder"])
@pytest.mark.parametrize("fault", BAD_FILES)
def test_bad_file(tmp_path, folder, fault, alone):
    """The message names the file; folder and connection hold nothing more than before."""
    content, *said = BAD_FILES[fault]
    good, connection = (folder / "part-0.parquet").read_bytes(), ibis.duckdb.connect()
    if content is not None:
        (tmp_path / "bad.parquet").write_bytes(
            content if isinstance(content, bytes) else good[content]
        )
        (tmp_path / "a.parquet").write_bytes(good)
    before, name = (
        sorted(tmp_path.iterdir()),
        "bad.parquet" if alone or content is not None else "*.parquet",
    )
    path = tmp_path / name if alone else tmp_path
    guard_message(lambda: scale.read_log(connection, path), name, *said, "Copy or write it again")
    assert sorted(tmp_path.iterdir()) == before
    assert connection.list_tables() == []


def test_good_file_under_an_odd_name(tmp_path):
    """Quotes, blanks, letters from elsewhere."""
    odd = tmp_path / "Käthe's log, été 日本"
    odd.mkdir()
    LOG.to_parquet(odd / "it's día 1.parquet", index=False)
    for path in (odd, odd / "it's día 1.parquet"):
        same(compare(scale.read_log(CONNECTION, path)), in_memory(LOG))


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_name_is_no_pattern(tmp_path, as_folder):
    """Brackets mean "one of these letters" to an engine; the log beside it must not be read."""
    for name, users in (("day[1]", 900), ("day1", 90)):
        path = tmp_path / (f"{name}/a.parquet" if as_folder else f"{name}.parquet")
        path.parent.mkdir(exist_ok=True)
        LOG.head(users).to_parquet(path, index=False)
    log = scale.read_log(CONNECTION, tmp_path / ("day[1]" if as_folder else "day[1].parquet"))
    assert log.count().execute() == 900


def test_folders_in_the_folder_are_read_as_well(tmp_path):
    """None of their rows is left out in silence."""
    write_parts(LOG, tmp_path / "log")
    write_parts(LOG, tmp_path / "log" / "country=DE")
    assert scale.read_log(CONNECTION, tmp_path / "log").count().execute() == 2 * len(LOG)


def test_a_sum_that_loses_digits_is_refused_before_it_is_wrong(table):
    """Seconds since 1970 are fine; the further from zero the worse, and then there is no answer."""
    plain = compare(table)
    for constant in (1e6, 1.7e9):
        found = compare(table.mutate(y=table["y"] + constant))
        assert ((found["lift"] - plain["lift"]).abs() < 0.001 * plain["se"]).all()
    for constant in (1e15, 3e15):
        with pytest.raises(ValueError, match="too large against its spread"):
            compare(table.mutate(y=table["y"] + constant))


# Refusals: calls


def one_user(name, value):
    """A log in which one user has another value."""
    return lambda t: t.mutate(**{name: (t["user"] == 5).ifelse(value, t[name])})


def left_of(segment, arm, rows):
    """A log in which one arm of one segment has so many rows."""
    mine = LOG.loc[(LOG["segment"] == segment) & (LOG["group"] == arm), "user"].tolist()
    return lambda t: t.filter(t["user"].notin(mine[rows:]))


def same_log(t):
    return t


CUPED = {"covariate": "before"}
BLANK = ("blank or infinite", "segment, group, y", "Mend them")
NONE = ("No segment can be tested", "fewer than two users", "Choose other columns")
BAD_CALLS = {
    "missing column": (
        same_log,
        {"outcome": "shoes"},
        "lacks shoes",
        "user, segment, group, before, y",
    ),
    "missing columns": (same_log, {"segment": "plan", "covariate": "age"}, "lacks plan, age"),
    "same column twice": (
        same_log,
        {"covariate": "y"},
        "segment, group, y, y",
        "a different one for each purpose",
    ),
    "outcome as segment": (same_log, {"segment": "y"}, "y, group, y", "a different one"),
    "text outcome": (
        lambda t: t.mutate(y=t["y"].cast("string")),
        {},
        "Column y holds string",
        "must be numbers",
    ),
    "text covariate": (
        lambda t: t.mutate(before=t["group"]),
        CUPED,
        "Column before holds string",
        "must be numbers",
    ),
    "null outcome": (one_user("y", ibis.null("float64")), {}, *BLANK),
    "null outcome, CUPED": (one_user("y", ibis.null("float64")), CUPED, *BLANK),
    "null covariate": (one_user("before", ibis.null("float64")), CUPED, *BLANK, "before"),
    "null group": (one_user("group", ibis.null("string")), {}, *BLANK),
    "null segment": (one_user("segment", ibis.null("int64")), {}, *BLANK),
    "nan outcome": (one_user("y", math.nan), {}, *BLANK),
    "nan covariate": (one_user("before", math.nan), CUPED, *BLANK, "before"),
    "infinite outcome": (one_user("y", math.inf), {}, *BLANK),
    "infinite outcome, CUPED": (one_user("y", -math.inf), CUPED, *BLANK),
    "infinite covariate": (one_user("before", -math.inf), CUPED, *BLANK, "before"),
    "arm of spaces": (one_user("group", "  "), {}, "blank"),
    "covariate too large": (
        lambda t: t.mutate(before=t["before"] + 1e15),
        CUPED,
        "before is too large against its spread",
        "Subtract",
    ),
    "three arms": (
        one_user("group", "test"),
        {},
        "'control', 'test', 'treatment'",
        "There must be two",
    ),
    "one arm": (
        lambda t: t.filter(t["group"] == "control"),
        {},
        "are 'control'.",
        "There must be two",
    ),
    "control misspelt": (
        same_log,
        {"control": "Control"},
        "'control', 'treatment'",
        "control is 'Control'",
    ),
    "arms are numbers": (
        lambda t: t.mutate(group=t["user"] % 2),
        {"control": "0"},
        "are 0, 1.",
        "control is '0'",
    ),
    "empty log": (
        lambda t: t.filter(t["user"] < 0),
        {},
        "The log has no rows",
        "a row for each user",
    ),
    "microseconds": (
        lambda t: t.mutate(y=t["y"] + 1.7e15),
        {},
        "y is too large",
        "Subtract 1.7e+15 first",
    ),
    "no Ibis table": (lambda t: LOG, {}, "The log is a DataFrame", "give an Ibis table"),
    "no variation": (lambda t: t.mutate(y=ibis.literal(0.1)), {}, *NONE),
    "few for CUPED": (
        lambda t: t.filter(t["user"] < 60),
        CUPED,
        *NONE,
    ),
    "an id that repeats": (
        lambda t: t.mutate(user=t["user"] // 2),
        {},
        "user is not given, and column user of the log repeats",
        "Give user, and the rows of a user are added up",
    ),
    "users in both arms": (
        lambda t: t.mutate(user=t["user"] % 50),
        {"user": "user"},
        "The log: 50 users stand in both arms, by column user.",
    ),
    "users in two segments": (
        lambda t: (
            t.filter(t["group"] == "control")
            .mutate(user=t["user"] // 2)
            .union(t.filter(t["group"] == "treatment").mutate(user=t["user"] + 10**6))
        ),
        {"user": "user"},
        "users stand in several segments of segment, by column user",
    ),
    "no such user": (same_log, {"user": "who"}, "The log lacks who"),
    "a role as user": (same_log, {"user": "segment"}, "a different one for each purpose"),
    "a user with a blank outcome": (
        lambda t: one_user("y", ibis.null("float64"))(t).mutate(user=ibis._["user"] // 2),
        {"user": "user"},
        "has blank or infinite values",
    ),
    "blank ids": (
        lambda t: t.mutate(user=(t["user"] < 3).ifelse("  ", t["user"].cast("string"))),
        {"user": "user"},
        "has blank or infinite values",
    ),
    "null ids that nobody named": (
        lambda t: t.mutate(user=(t["user"] < 3).ifelse(ibis.null("int64"), t["user"])),
        {},
        "The log, column user: 3 ids blank",
    ),
    "blank user": (
        lambda t: t.mutate(user=(t["user"] == 7).ifelse(ibis.null("int64"), t["user"])),
        {"user": "user"},
        "has blank or infinite values",
    ),
    "confidence": (same_log, {"confidence": 2}, "confidence is 2", "such as 0.95"),
    "share": (same_log, {"control_share": 0}, "share is 0", "between 0 and 1"),
}


def guard_call(table, fault):
    change, options, *said = BAD_CALLS[fault]
    options = {"segment": "segment", "outcome": "y"} | options
    guard_message(lambda: scale.compare_segments(change(table), **options), *said)


@pytest.mark.parametrize("fault", BAD_CALLS)
def test_bad_call(table, fault):
    tables = CONNECTION.list_tables()
    guard_call(table, fault)
    assert CONNECTION.list_tables() == tables


def test_a_covariate_that_explains_the_outcome_completely(table):
    """What is left is rounding, and no luck to test against."""
    explained = table.mutate(before=3 * table["y"] + 1)
    guard_message(lambda: compare(explained, "before"), *NONE)
    in_one = table.mutate(before=(table["segment"] == 9).ifelse(3 * table["y"], table["before"]))
    assert compare(in_one, "before")["lift"].isna().tolist() == [False, False, True, False]


# One segment that cannot be tested does not take the others with it

UNTESTABLE = {
    "no control": left_of(9, "control", 0),
    "no treatment": left_of(9, "treatment", 0),
    "control of one": left_of(9, "control", 1),
    "treatment of one": left_of(9, "treatment", 1),
    "no variation": lambda t: t.mutate(y=(t["segment"] == 9).ifelse(0.1, t["y"])),
}


def guard_blank_row(compare, table, change):
    """The row of segment 9 is blank but for its counts; the others are as they were."""
    log = change(table)
    found, before = compare(log), compare(table)
    assert found.index.tolist() == before.index.tolist()
    same(found.drop(index=9), before.drop(index=9))
    row = found.loc[9].drop("ratio_p")
    counts = log.filter(log["segment"] == 9).group.execute().value_counts()
    assert [row["n_control"], row["n_treatment"]] == [
        counts.get(arm, 0) for arm in ("control", "treatment")
    ]
    assert row.drop(["n_control", "n_treatment"]).isna().all()


@pytest.mark.parametrize("fault", UNTESTABLE)
def test_a_segment_that_cannot_be_tested_has_a_blank_row(table, fault):
    guard_blank_row(compare, table, UNTESTABLE[fault])
    caught(
        lambda call: guard_blank_row(call, table, UNTESTABLE[fault]),
        lambda log: compare(log).dropna(subset="lift"),
    )


def test_nineteen_users_are_too_few_for_cuped(table):
    adjusted = compare(left_of(9, "control", 19)(table), "before")
    assert adjusted["lift"].isna().tolist() == [False, False, True, False]
    assert compare(left_of(9, "control", 20)(table), "before")["lift"].notna().all()


# Users with several rows


def visits(seed=3):
    """A log in which users come one to six times; outcome and segment are of whole numbers."""
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(900), rng.integers(1, 7, 900))
    return pd.DataFrame(
        {
            "user": user,
            "segment": (user * 7 % 4),
            "group": np.where(user % 5 < 2, "control", "treatment"),
            "before": user % 13,
            "y": rng.integers(0, 9, len(user)),
        }
    ).sample(frac=1, random_state=1)


def guard_users(call):
    """A user's rows are added up, as in memory; the covariate stays as it is."""
    log = visits()
    whole = log.groupby("user").agg({name: "first" for name in ("segment", "group", "before")})
    whole["y"] = log.groupby("user")["y"].sum()
    same(call(table_of(log), user="user"), in_memory(whole))
    adjusted = call(table_of(log), "before", user="user")
    same(adjusted, compare(table_of(whole.reset_index()), "before"))
    rows = call(table_of(log), user="none")
    same(rows, in_memory(log))


def test_a_users_rows_are_added_up():
    guard_users(compare)
    for faulty in (
        lambda log, covariate=None, user=None: compare(log, covariate, user="none"),
        lambda log, covariate=None, user=None: compare(
            log.mutate(y=log["y"] * 1.0 / 2), covariate, user=user
        ),
    ):
        caught(guard_users, faulty)


def test_blanks_around_a_text_are_no_part_of_it():
    log = visits()
    spaced = log.assign(user=[f"{' ' * (i % 3)}{user} " for i, user in enumerate(log["user"])])
    spaced["group"] += " " * 2
    spaced.loc[::2, "group"] = spaced["group"].str.strip()
    same(compare(table_of(spaced), user="user"), compare(table_of(log), user="user"))


def test_several_values_of_the_covariate_are_refused():
    log = visits().assign(before=lambda t: np.arange(len(t)))
    guard_message(
        lambda: compare(table_of(log), "before", user="user"), "have several values of before"
    )


def test_a_lenient_table_is_caught(monkeypatch, table):
    """Sums without their count of blanks would leave the blank rows out in silence."""
    true = scale.sums
    monkeypatch.setattr(scale, "sums", lambda *arguments: true(*arguments).mutate(blanks=0))
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        guard_call(table, "null outcome")


OTHER_COLUMNS = {
    "column missing": lambda t: t.drop(columns="y"),
    "text": lambda t: t.assign(y="old"),
}


@pytest.mark.parametrize("fault", OTHER_COLUMNS)
def test_a_file_with_other_columns(tmp_path, fault):
    folder = write_parts(LOG, tmp_path / "parts")
    OTHER_COLUMNS[fault](LOG.head(50)).to_parquet(folder / "part-3.parquet", index=False)
    guard_message(lambda: compare(scale.read_log(CONNECTION, folder)), "y")


# What may be missing


def java_version():
    """The main version of the Java that Spark would take (1.8 is 1); 0 where there is none."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=Path(home) / "bin" if home else None)
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr if java else ""
    return int((re.search(r'version "(\d+)', said) or [0, 0])[1])


def need(package, java=17, must_run=None):
    """Skip where something is missing, saying what to install.

    With SPARK_MUST_RUN=1 fail, as a skip goes unseen.
    """
    must_run = os.environ.get("SPARK_MUST_RUN") if must_run is None else must_run
    outcome = pytest.fail if must_run == "1" else pytest.skip
    if importlib.util.find_spec(package) is None:
        outcome(f"needs the package {package}: make scale")
    if java < 17:
        outcome(f"needs Java 17 or newer, found {java or 'none'}: install OpenJDK 17")


@pytest.mark.parametrize(
    ("must_run", "outcome"), [("", pytest.skip), ("0", pytest.skip), ("1", pytest.fail)]
)
def test_a_missing_engine_is_skipped_aloud_or_fails(monkeypatch, must_run, outcome):
    need("ibis", 17, must_run)
    with pytest.raises(outcome.Exception, match="no_such_engine: make scale"):
        need("no_such_engine", 17, must_run)
    for java, found in ((0, "none"), (11, "11")):
        with pytest.raises(outcome.Exception, match=f"Java 17 or newer, found {found}"):
            need("ibis", java, must_run)
    monkeypatch.setenv("SPARK_MUST_RUN", must_run)
    with pytest.raises(outcome.Exception):
        need("no_such_engine")


SAYS = {
    'openjdk version "17.0.15"': 17,
    'java version "1.8.0_392"': 1,
    'openjdk version "25" x': 25,
    "not found": 0,
}


@pytest.mark.parametrize("said", SAYS)
def test_java_version(monkeypatch, said):
    monkeypatch.setattr(shutil, "which", lambda name, path: name)
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0, "", said)
    )
    assert java_version() == SAYS[said]
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert java_version() == 0


# The same expression on Spark


@pytest.fixture(scope="module")
def spark(tmp_path_factory, folder):
    need("pyspark", java_version())
    from pyspark.sql import SparkSession

    place = tmp_path_factory.mktemp("spark")
    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        # starts sooner
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "1",
        # to compile a small query takes longer than to run it
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.warehouse.dir": str(place / "warehouse"),
        "spark.local.dir": str(place / "local"),
    }
    session = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
    yield ibis.pyspark.connect(session).read_parquet(str(folder))
    session.stop()


@pytest.mark.parametrize("covariate", [None, "before"])
def test_spark_gives_what_duckdb_gives(spark, table, covariate):
    same(compare(spark, covariate, **SHARES), compare(table, covariate, **SHARES))


ON_SPARK = (  # where engines differ; the rest is decided on their sums
    "null outcome",
    "null group",
    "nan covariate",
    "infinite outcome",
    "three arms",
    "no variation",
    "an id that repeats",
    "users in both arms",
    "users in two segments",
)


@pytest.mark.parametrize("fault", ON_SPARK)
def test_bad_call_on_spark(spark, fault):
    guard_call(spark, fault)


def test_a_users_rows_are_added_up_on_spark(spark, table):
    """Also where only one segment varies."""
    for log in (spark, table):
        assert len(compare(log.mutate(user=log["user"] // 1), user="user")) == 4
    twice = spark.union(spark)
    same(compare(twice, user="user"), compare(table.mutate(y=2 * table["y"])))
    guard_blank_row(compare, spark, UNTESTABLE["no variation"])


def test_a_covariate_that_does_not_vary_changes_nothing_on_spark(spark, table):
    constant = spark.mutate(before=ibis.literal(0.1))
    same(compare(constant, "before"), compare(table))


def test_spark_leaves_nothing_in_the_folder_of_work(spark):
    left = {"spark-warehouse", "metastore_db", "derby.log", "artifacts"}
    assert left.isdisjoint(path.name for path in Path.cwd().iterdir())


def test_notebook_10_on_spark_and_with_tea_tasting(spark, monkeypatch):
    """Its knob `extras`: another engine and another library find the same numbers, as it asserts.

    It stands here because a Java is at work already. It stops that session, so it comes last.
    """
    need("tea_tasting")
    path = next(path for path in notebooks.find() if path.name.startswith("10"))
    texts = run_in_process(path, {"rows": 20_000, "extras": True}, monkeypatch, offline=False)
    assert "Spark and tea-tasting found the same numbers." in "\n".join(texts)


# A library of the trade


def tea_tasting(table, segment, *columns):
    """tea-tasting's result for one segment: of the outcome, or of outcome and covariate."""
    need("tea_tasting")
    import tea_tasting as tt

    trial = tt.Experiment({"metric": tt.Mean(*columns)}, variant="group")
    return trial.analyze(table.filter(table["segment"] == segment), control="control")["metric"]


NAMES = {
    "mean_control": "control",
    "mean_treatment": "treatment",
    "lift": "effect_size",
    "ci_low": "effect_size_ci_lower",
    "ci_high": "effect_size_ci_upper",
    "t": "statistic",
    "p_value": "pvalue",
    "relative_lift": "rel_effect_size",
}


def test_tea_tasting_gives_the_same(table):
    """All but the relative interval: theirs is by the delta method on the log, ours Fieller's."""
    for segment, row in compare(table).iterrows():
        theirs = tea_tasting(table, segment, "y")
        assert row[list(NAMES)].tolist() == pytest.approx(
            [getattr(theirs, name) for name in NAMES.values()], rel=1e-9
        )
        width = row["relative_ci_high"] - row["relative_ci_low"]
        ends = theirs.rel_effect_size_ci_lower, theirs.rel_effect_size_ci_upper
        assert [row["relative_ci_low"], row["relative_ci_high"]] == pytest.approx(
            ends, abs=0.01 * width
        )


def test_tea_tasting_adjusts_with_another_slope(table):
    """Theirs is over both arms as one, ours inside the arms.

    To 1e-9 by hand, and nearly ours at 1,500 users.
    """
    by_hand = adjusted_by_hand(LOG, slope_of)
    for segment, row in compare(table, "before").iterrows():
        theirs = tea_tasting(table, segment, "y", "before")
        found = [getattr(theirs, name) for name in NAMES.values()]
        assert by_hand.loc[segment, list(NAMES)].tolist() == pytest.approx(found, rel=1e-9)
        assert row[["lift", "ci_low", "ci_high"]].tolist() == pytest.approx(
            found[2:5], abs=0.02 * row["se"]
        )
