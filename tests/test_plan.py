"""The command that plans: its files, what it promises, whom it refuses, and lists that stay."""

import hashlib
import json
import math
import re
import shlex
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from helpers import data, planning, shop
from tests.test_analyse import CASES, EXPECTED, needs_cases
from tools import analyse, plan

SHOP = data.FOLDER / "shop_customers.csv"
CALL = "--id customer --segment channel --baseline monetary --worth 5"
CONTRACT = [
    *("segment", "customers", "mean", "sd", "smallest_detectable", "users_needed", "testable"),
]
ADJUSTED = ["smallest_detectable_adjusted", "users_needed_adjusted"]


@pytest.fixture(autouse=True)
def fewer_runs(monkeypatch):
    monkeypatch.setattr(plan.rehearsal, "IN_ALL", 100_000)


@pytest.fixture
def run(tmp_path, capsys):
    """Call the command: its exit code, what it printed, and its folder."""

    def call(customers, options, out="out"):
        code = plan.main([str(customers), *shlex.split(options), "--out", str(tmp_path / out)])
        printed = capsys.readouterr()
        if code:
            assert printed.out == "" and 1 <= len(printed.err.strip().splitlines()) <= 2
            return code, printed.err, None
        return code, printed.out, tmp_path / out

    return call


@pytest.fixture
def table(tmp_path):
    """Write a table, and give its path."""

    def write(frame, name="own.csv", **options):
        frame.to_csv(tmp_path / name, index=False, **options)
        return tmp_path / name

    return write


def people(n=300, seed=2):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer": [f"{number:05d}" for number in rng.permutation(n)],
            "channel": rng.choice(["web", "store"], n, p=[0.7, 0.3]),
            "age": rng.integers(18, 80, n),
            "monetary": rng.exponential(40, n).round(2),
            "visits": rng.poisson(3, n),
            "bought": rng.choice(["Yes", "No"], n, p=[0.3, 0.7]),
        }
    )


def csv_of(folder, name="plan.csv"):
    return pd.read_csv(folder / name, dtype={"segment": str, "customer": str})


# What it writes


@needs_cases
def test_the_case_of_the_shop(run):
    _, said, out = run(CASES / "customers_rfm.csv", CALL)
    found = csv_of(out)
    assert list(found) == CONTRACT and found["segment"].tolist()[0] == "all users"
    rows = found.set_index("segment")
    for name, want in EXPECTED["customers_rfm.csv"]["segments"].items():
        for column, value in want.items():
            assert rows.loc[name, column] == pytest.approx(value, rel=1e-8)
            assert rows.loc[name, column] != pytest.approx(value * 1.001, rel=1e-8)
    assert {path.name for path in out.iterdir()} == {"plan.csv", "plan.html", ".made_by_plan.json"}
    assert (
        "app: together (1,011 customers; smallest detectable lift: 8.99; users needed: 3,260)"
        in said
    )

    by = "--features recency,frequency,monetary --n-clusters 3 --id customer --baseline monetary"
    _, said, out = run(CASES / "customers_rfm.csv", f"{by} --worth 5 --assign", "clusters")
    rows = csv_of(out).set_index("segment")
    assert list(rows.index) == ["all users", "cluster 0", "cluster 1", "cluster 2"]
    assert rows["customers"].iloc[1:].sum() == rows["customers"].iloc[0] == 3_000
    assert rows["customers"].min() > 300 and "logarithm" in said
    sizes = csv_of(out, "assignment.csv")["segment"].value_counts()
    assert sizes.to_dict() == rows["customers"].iloc[1:].to_dict()


def test_a_list_and_its_sheet(run):
    options = f"{CALL} --assign --correlation 0.6 --control-share 0.3 --seed 7"
    _, said, out = run(SHOP, options)
    assert list(csv_of(out)) == CONTRACT + ADJUSTED
    listed = csv_of(out, "assignment.csv")
    assert list(listed) == ["customer", "segment", "stratum", "baseline", "group"]
    customers = pd.read_csv(SHOP).set_index("customer").loc[listed["customer"]]
    assert len(listed) == 3_000 and listed["customer"].is_unique
    assert (customers["channel"].to_numpy() == listed["segment"]).all()
    assert (customers["monetary"].to_numpy() == listed["baseline"]).all()
    for part in ("stratum", "segment"):
        arms = (listed["group"] == "control").groupby(listed[part])
        assert ((arms.sum() - 0.3 * arms.size()).abs() < 1).all()
    checksum = hashlib.sha256((out / "assignment.csv").read_bytes()).hexdigest()
    sheet = (out / "sheet.html").read_text(encoding="utf-8")
    made = json.loads((out / ".made_by_plan.json").read_text(encoding="utf-8"))
    assert checksum in sheet and made["files"]["assignment.csv"] == checksum
    assert "sheet.html" in said
    for word in ("Question", "Outcome", "Looks", "Analysis", "Signed", "tools.analyse"):
        assert word in sheet


def test_the_order_of_rows_changes_no_list(run, table):
    frame = people()
    lists = []
    for place, mixed in enumerate((frame, frame.sample(frac=1, random_state=1), frame[::-1])):
        _, _, out = run(table(mixed, f"own{place}.csv"), f"{CALL} --assign", f"out{place}")
        lists.append((out / "assignment.csv").read_bytes())
    assert lists[0] == lists[1] == lists[2]
    _, _, out = run(table(frame), f"{CALL} --assign --seed 1", "seed1")
    assert (out / "assignment.csv").read_bytes() != lists[0]


def test_called_twice_it_writes_the_same(run, table):
    path = table(people())
    _, one, out = run(path, f"{CALL} --assign")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    _, two, out = run(path, f"{CALL} --assign")
    assert one == two and before == {file.name: file.read_bytes() for file in out.iterdir()}


def test_a_list_is_not_replaced(run, table):
    path = table(people())
    _, _, out = run(path, f"{CALL} --assign")
    listed = (out / "assignment.csv").read_bytes()
    code, said, _ = run(path, f"{CALL} --assign --seed 1")
    assert code == 2 and "is another one, and may have been used, or signed" in said
    code, said, _ = run(path, f"{CALL} --assign".replace("--worth 5", "--worth 9"))
    assert code == 2 and "sheet.html is another one" in said
    code, said, _ = run(path, CALL)
    assert code == 2 and "Give --assign, or another folder" in said
    assert (out / "assignment.csv").read_bytes() == listed
    (out / "assignment.csv").write_text("mine", encoding="utf-8")
    code, said, _ = run(path, f"{CALL} --assign")
    assert code == 2 and "not as this command left it" in said


# What people have


def test_tables_as_people_have_them(run, table, tmp_path):
    frame = people()
    _, _, out = run(table(frame), CALL, "comma")
    want = (out / "plan.csv").read_bytes()
    _, said, out = run(table(frame, "semi.csv", sep=";", decimal=","), CALL, "semi")
    assert (out / "plan.csv").read_bytes() == want and "semicolons, decimal commas" in said
    frame.to_parquet(tmp_path / "own.parquet")
    _, said, out = run(tmp_path / "own.parquet", CALL, "parquet")
    assert (out / "plan.csv").read_bytes() == want and "Parquet" in said
    _, _, out = run(table(frame), f"{CALL} --assign", "ids")
    assert csv_of(out, "assignment.csv")["customer"].tolist() == sorted(frame["customer"])


def test_rates_bands_and_one_number(run, table):
    path = table(people())
    _, said, out = run(
        path,
        "--id customer --segment age --bands 30,50 --baseline bought --rate "
        "--worth 0.1 --control-share 0.4",
        "rate",
    )
    rows = csv_of(out).set_index("segment")
    assert list(rows.index) == ["all users", "under 30", "30 to under 50", "50 and over"]
    assert rows["mean"].iloc[0] == pytest.approx((people()["bought"] == "Yes").mean())
    assert "Yes = 1" in said and "Worth having: 10.00 percentage points." in said
    spread = planning.Spread(300, rows["mean"].iloc[0], rows["sd"].iloc[0], True, 0.4)
    assert rows["users_needed"].iloc[0] == pytest.approx(planning.users_needed(spread, 0.1, 0.05))
    one = table(people()[["customer", "monetary"]], "one.csv")
    by = "--id customer --features monetary --n-clusters 2 --baseline monetary --worth 5 --assign"
    _, said, out = run(one, by, "one")
    assert len(csv_of(out, "assignment.csv")) == 300 and "cut by the baseline" in said


def test_segments_cut_by_the_baseline_are_said_to_be_at_their_best(run, table):
    path = table(people(900))
    cut = "--id customer --segment monetary --bands 20,60 --baseline monetary --worth 6"
    _, said, out = run(path, cut)
    rows = csv_of(out).set_index("segment")
    assert rows.loc["under 20", "testable"] == "alone"
    assert "regression to the mean" in said and "Do not count on them alone" in said
    assert "regression to the mean" in (out / "plan.html").read_text(encoding="utf-8")
    _, said, _ = run(path, CALL, "other")
    assert "regression to the mean" not in said


def test_what_comes_after_varies_more_in_such_segments():
    """The claim of that warning, on outcomes whose correlation with the baseline is known."""
    rng = np.random.default_rng(3)
    before = rng.normal(50, 10, 100_000)
    for r in (0.3, 0.6, 0.9):
        after = 50 + r * (before - 50) + np.sqrt(1 - r**2) * rng.normal(0, 10, 100_000)
        for part in (before < 45, (before >= 45) & (before < 55), before >= 55):
            assert after[part].std() > 1.05 * before[part].std()
            assert after[part].std() < 10.1


def test_clusters_that_are_not_found_again_are_told(run, table):
    rng = np.random.default_rng(1)
    frame = people(900).assign(x=rng.normal(size=900), y=rng.normal(size=900))
    by = "--id customer --features x,y --n-clusters 7 --baseline monetary --worth 5"
    _, said, out = run(table(frame), by)
    assert "Not found again" in said and "found again" in (out / "plan.html").read_text("utf-8")


def test_where_the_formula_falls_short_it_is_said(run, table):
    rng = np.random.default_rng(1)
    rare = pd.DataFrame(
        {"id": range(2_000), "part": ["a", "b"] * 1_000, "y": (rng.random(2_000) < 0.01) * 1}
    )
    options = "--id id --segment part --baseline y --rate --worth 0.012 --control-share 0.1"
    _, said, out = run(table(rare), options)
    assert "the formula promises 80 % power where" in said and "shown: " in said
    assert "the formula promises" in (out / "plan.html").read_text(encoding="utf-8")
    found = csv_of(out)
    formula = planning.plan(rare, "y", 0.012, "part", True, 0.1)
    assert (found["users_needed"].to_numpy() > formula["users_needed"].to_numpy()).any()


# What is refused


ALL = "--id customer --segment channel --baseline monetary --worth 5"
REFUSED = {
    "no id": ("--id shoes --segment channel --baseline monetary --worth 5", "lacks 'shoes'"),
    "ids that repeat": (ALL.replace("--id customer", "--id visits"), "stands there twice"),
    "id used twice": (ALL.replace("--id customer", "--id channel"), "has another purpose"),
    "text for numbers": (ALL.replace("monetary", "channel"), "is not a number"),
    "features of text": (
        "--id customer --features channel,age --baseline monetary --worth 5",
        "column channel, line 2",
    ),
    "no segments": ("--id customer --baseline monetary --worth 5", "Give --segment"),
    "two kinds": (f"{ALL} --features age", "do not go together"),
    "bands alone": (
        "--id customer --features age --bands 3 --baseline monetary --worth 5",
        "--bands needs --segment",
    ),
    "clusters alone": (f"{ALL} --n-clusters 3", "--n-clusters needs --features"),
    "one cluster": (
        "--id customer --features age --n-clusters 1 --baseline monetary --worth 5",
        "--n-clusters is 1; give 2 or more",
    ),
    "too many clusters": (
        "--id customer --features visits --n-clusters 90 --baseline monetary --worth 5",
        "--n-clusters is 90",
    ),
    "empty band": (ALL.replace("channel", "age --bands 5,30"), "under 5 has no customer"),
    "bands that fall": (
        ALL.replace("channel", "age --bands 30,5"),
        "--bands are numbers that rise",
    ),
    "too many segments": (ALL.replace("channel", "monetary"), "segments can be 2 to 60"),
    "worth above all": (ALL.replace("--worth 5", "--worth 9000"), "--worth is 9000, more than"),
    "worth 0": (ALL.replace("--worth 5", "--worth 0"), "--worth"),
    "worth in words": (ALL.replace("--worth 5", "--worth much"), "--worth"),
    "no rate": (f"{ALL} --rate", "--rate means that the outcome is 0 or 1"),
    "share of nobody": (f"{ALL} --control-share 0.999", "leaves nobody"),
    "share 1": (f"{ALL} --control-share 1", "--control-share is 1"),
    "correlation 1": (f"{ALL} --correlation 1", "--correlation is 1"),
    "seed": (f"{ALL} --seed -1", "--seed is -1"),
    "an empty name": (ALL.replace("channel", "''"), "is empty"),
}


@pytest.mark.parametrize("options, said", REFUSED.values(), ids=REFUSED)
def test_refused(run, table, tmp_path, options, said):
    try:
        code, error, _ = run(table(people()), options)
    except SystemExit as stopped:
        code, error = stopped.code, said
    assert code == 2 and said in error
    assert not (tmp_path / "out").exists()


SPOILED = {
    "all users": (
        lambda t: t.assign(channel=t["channel"].replace("web", "all users")),
        "--segment has the value 'all users'",
    ),
    "a blank": (lambda t: t.assign(monetary=t["monetary"].mask(t.index == 4)), "line 6"),
    "a blank id": (lambda t: t.assign(customer=t["customer"].mask(t.index == 4)), "line 6"),
    "one segment": (lambda t: t.assign(channel="web"), "1 value; segments can be 2 to 60"),
    "one customer": (
        lambda t: t.assign(channel=["x"] + ["a", "b"] * 149 + ["a"]),
        "has one customer",
    ),
    "constant": (lambda t: t.assign(monetary=3), "is 3 for everybody"),
    "no rows": (lambda t: t.head(0), "no customers"),
    "own names": (lambda t: t.rename(columns={"monetary": "group"}), "'monetary'"),
    "an infinite number": (
        lambda t: t.assign(monetary=t["monetary"].mask(t.index == 4, np.inf)),
        "line 6",
    ),
}


@pytest.mark.parametrize("spoil, said", SPOILED.values(), ids=SPOILED)
def test_refused_tables(run, table, tmp_path, spoil, said):
    code, error, _ = run(table(spoil(people())), ALL)
    assert code == 2 and said in error and not (tmp_path / "out").exists()


def test_a_name_of_the_plan_is_refused(run, table):
    frame = people().rename(columns={"monetary": "stratum"})
    code, error, _ = run(table(frame), ALL.replace("monetary", "stratum"))
    assert code == 2 and "a name that the plan gives itself" in error


def test_ids_are_not_called_as_the_list_calls_its_own(run, table):
    path = table(people().rename(columns={"customer": "baseline"}))
    code, error, _ = run(path, ALL.replace("customer", "baseline"))
    assert code == 2 and "a name that the plan gives itself" in error


@pytest.mark.parametrize(
    "write",
    [lambda i: str(10**20 + i), lambda i: f"{i % 150}" + "." * (i < 150), lambda i: f"1e{i + 400}"],
)
def test_ids_that_are_one_number_are_told_apart(run, table, write):
    """As numbers they would tie, and the order of rows would decide."""
    frame = people().assign(customer=[write(i) for i in range(300)])
    lists = []
    for place, mixed in enumerate((frame, frame.sample(frac=1, random_state=1))):
        _, _, out = run(table(mixed, f"own{place}.csv"), f"{CALL} --assign", f"out{place}")
        lists.append((out / "assignment.csv").read_bytes())
    assert lists[0] == lists[1]


def test_the_share_that_is_advised_is_taken(run, table):
    few = people().assign(channel=["x"] * 7 + ["web"] * 293)
    code, error, _ = run(table(few), f"{ALL} --control-share 0.1")
    advised = re.search(r"share from ([0-9.]+) to ([0-9.]+)\.", error)
    assert code == 2 and advised
    for place, share in enumerate(advised.groups()):
        assert run(table(few), f"{ALL} --control-share {share}", f"out{place}")[0] == 0


def test_what_a_segment_cannot_say_is_told(run, table):
    flat = people().assign(monetary=lambda t: t["monetary"].where(t["channel"] == "web", 3))
    _, said, out = run(table(flat), ALL)
    assert (
        "The baseline does not vary, so nothing is known, in store." in said and "unknown" in said
    )
    high = people(600).assign(rate=lambda t: (t["channel"] == "web") * 0.9 + 0.05)
    options = ALL.replace("monetary", "rate").replace("--worth 5", "--rate --worth 0.2")
    _, said, out = run(table(high), options, "high")
    assert "No rate rises by so much from where it is in web." in said
    assert csv_of(out).set_index("segment").loc["web", "users_needed"] == math.inf


def test_columns_that_parquet_has(run, tmp_path):
    frame = people().assign(flag=pd.array([True, False] * 150, dtype="boolean"))
    frame["half"] = frame["monetary"].astype("float16")
    frame.to_parquet(tmp_path / "own.parquet")
    options = ALL.replace("monetary", "flag").replace("--worth 5", "--rate --worth 0.1")
    assert run(tmp_path / "own.parquet", options, "flag")[0] == 0
    assert run(tmp_path / "own.parquet", ALL.replace("monetary", "half"), "half")[0] == 0


def test_constant_features_are_not_called_lopsided(run, table):
    frame = people().assign(x=0.3)
    by = "--id customer --features x,age --n-clusters 2 --baseline monetary --worth 5"
    _, said, _ = run(table(frame), by)
    assert "Clustered by" not in said


def test_help_says_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        plan.main(["--help"])
    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert set(re.findall(r"^  (--[a-z-]+)", said, flags=re.M)) == {
        *(plan.command.option(name) for name in plan.OPTIONS),
        "--help",
    }


# The whole way


def test_from_a_table_to_a_decision(run, table, tmp_path, capsys):
    path = table(people(600))
    _, _, out = run(path, f"{CALL} --assign --control-share 0.4")
    listed = csv_of(out, "assignment.csv")
    rng = np.random.default_rng(5)
    treated = listed["group"] == "treatment"
    results = listed[["customer"]].assign(
        spent=0.7 * listed["baseline"] + rng.exponential(10, 600) + 9 * treated
    )
    results = table(results.sample(frac=1, random_state=1), "results.csv")
    call = f"--outcome spent --worth 5 --assignment {out / 'assignment.csv'}"
    code = analyse.main([str(results), *shlex.split(call), "--out", str(tmp_path / "done")])
    assert (
        code == 0 and "joined by customer with the list assignment.csv" in capsys.readouterr().out
    )
    table_ = pd.read_csv(tmp_path / "done" / "decisions.csv")
    row = table_.iloc[0]
    assert row["decision"].startswith("ship") and row["ci_low"] < 9 < row["ci_high"]
    assert row["users_control"] == (listed["group"] == "control").sum()
    page = (tmp_path / "done" / "report.html").read_text(encoding="utf-8")
    assert "Planned, and done" in page and math.isfinite(row["users_needed"])


MEASURED = """
import resource, sys
from tools import bench_scale, plan
code = plan.main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(code, used.ru_utime + used.ru_stime, bench_scale.high_water())
"""


def test_two_hundred_thousand_customers(tmp_path):
    """Plan and list in 20 seconds of a processor, and 1 GiB."""
    shop.customers(1, 200_000).to_csv(tmp_path / "many.csv", index=False)
    options = "--id customer --features recency,frequency,monetary --baseline monetary --worth 1"
    call = [str(tmp_path / "many.csv"), *options.split(), "--assign", "--out", str(tmp_path / "o")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *call], capture_output=True, text=True, check=True
    )
    code, seconds, mib = map(float, done.stdout.splitlines()[-1].split())
    assert (code, seconds < 20, not mib > 1024) == (0, True, True), (seconds, mib)
    assert len(pd.read_csv(tmp_path / "o" / "assignment.csv")) == 200_000
