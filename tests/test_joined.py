"""Results joined with a list: nobody is lost, doubled or moved without a word."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf

from helpers import InputError, assignment, coins, planning
from helpers.experiment import sample_ratio_p
from tools import analyse, joined, plan


@pytest.fixture(autouse=True)
def fewer_coins(monkeypatch):
    monkeypatch.setattr(coins, "RUNS", 200)


@pytest.fixture
def experiment(tmp_path):
    """A list of 240 customers in a folder, and their results."""
    rng = np.random.default_rng(6)
    people = pd.DataFrame(
        {
            "customer": [f"{number:04d}" for number in range(240)],
            "channel": rng.choice(["web", "store"], 240, p=[0.7, 0.3]),
            "spent": rng.exponential(30, 240).round(2),
        }
    )
    listed = assignment.assign(people, "customer", "channel", "spent", 0.4, seed=3)
    listed.to_csv(tmp_path / "assignment.csv", index=False)
    after = 0.6 * listed["baseline"] + rng.exponential(12, 240) + 4 * (listed["group"] != "control")
    results = pd.DataFrame({"customer": listed["customer"], "after": after.round(2)})
    return tmp_path, listed, results.sample(frac=1, random_state=1)


def read(folder, results, **options):
    results.to_csv(folder / "results.csv", index=False)
    return joined.read(folder / "results.csv", folder / "assignment.csv", ["after"], **options)


def test_everybody_is_there(experiment):
    folder, listed, results = experiment
    found = read(folder, results)
    assert found.notes == [] and found.user == "customer" and found.planned is None
    assert found.control_share == pytest.approx(0.4)
    assert found.table["customer"].tolist() == listed["customer"].tolist()
    want = results.set_index("customer")["after"].loc[listed["customer"]]
    assert found.table["after"].to_numpy() == pytest.approx(want)
    assert found.table["group"].tolist() == listed["group"].tolist()


def test_missing_unknown_and_moved_are_told(experiment):
    folder, listed, results = experiment
    arm = listed.set_index("customer")["group"].reindex(results["customer"]).to_numpy()
    results = results.assign(group=arm)
    gone, moved = results["customer"].iloc[:7], results["customer"].iloc[10:14]
    spoiled = results[~results["customer"].isin(gone)].copy()
    here = spoiled["customer"].isin(moved)
    spoiled.loc[here, "group"] = spoiled.loc[here, "group"].map(
        {"control": "treatment", "treatment": "control"}
    )
    spoiled = pd.concat([spoiled, pd.DataFrame({"customer": ["x1"], "after": [3.0]})])
    found = read(folder, spoiled)
    assert len(found.table) == 233 and len(found.notes) == 3
    counts = [listed.set_index("customer")["group"].loc[gone].eq(a).sum() for a in assignment.ARMS]
    sizes = listed["group"].value_counts()
    unknown, told, missing = found.notes
    assert unknown == "Left out: 1 id not on the list (x1)."
    assert told.startswith("Moved: 4 users in another arm by column group than by the list (")
    assert f"{counts[0]} of {sizes['control']} in control" in missing and "left out" in missing
    as_listed = listed.set_index("customer")["group"].loc[found.table["customer"]]
    assert (found.table["group"].to_numpy() == as_listed.to_numpy()).all()

    counted = read(folder, spoiled, missing=0.0)
    assert len(counted.table) == 240 and "counted as 0" in counted.notes[-1]
    assert (counted.table.set_index("customer")["after"].loc[gone] == 0).all()
    assert counted.filled and not found.filled and "unlike" not in counted.notes[-1]


def test_results_that_one_arm_lacks_are_told_loudly(experiment):
    folder, listed, results = experiment
    lost = listed["customer"][listed["group"] == "control"].head(40)
    fewer = results[~results["customer"].isin(lost)]
    filled = read(folder, fewer, missing=0.0)
    assert "lack results far more unlike than chance (p" in filled.notes[-1]
    odd = analysed(folder, fewer)
    assert odd.table["decision"].str.startswith("check the ratio").all()
    said = "\n".join(analyse.decided.lines(odd))
    assert "find out why one arm lacks more results" in said and "--control-share" not in said


def test_a_segment_without_results_keeps_its_row_and_the_level(experiment):
    folder, listed, results = experiment
    web = listed["customer"][listed["segment"] == "web"]
    table = analysed(folder, results[results["customer"].isin(web)]).table.set_index("segment")
    assert table.loc["store", "decision"].startswith("do not read: too few users")
    assert table["level"].tolist() == pytest.approx([0.05, 0.025, 0.025])


def test_losses_of_one_arm_ring_where_a_test_of_sizes_would_not(experiment):
    """A coin a user would explain such sizes; the sizes of a list are exact."""
    folder, listed, results = experiment
    lost = listed["customer"][listed["group"] == "treatment"].sort_values().head(16)
    table = analysed(folder, results[~results["customer"].isin(lost)]).table
    sizes = table.loc[0, ["n_control", "n_treatment"]]
    assert lost.size == 16 and sample_ratio_p(*sizes, 0.4) > 0.1
    assert table.loc[0, "ratio_p"] < 0.001
    assert table["decision"].str.startswith("check the ratio").all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e13])
def test_a_value_that_nobody_has_is_refused(experiment, value):
    folder, _, results = experiment
    with pytest.raises(InputError, match="missing is"):
        read(folder, results, missing=value)
    ones = results.assign(after=(results["after"] > 20) * 1)
    with pytest.raises(InputError, match="missing is 2, but after is 0 or 1"):
        read(folder, ones, missing=2.0)


def test_a_column_that_was_typed_must_be_there(experiment):
    folder, _, results = experiment
    with pytest.raises(InputError, match="lacks 'arm'"):
        read(folder, results, group="arm")


def test_a_list_with_a_column_in_front_and_long_names(experiment):
    folder, listed, results = experiment
    want = read(folder, results).table
    listed.insert(0, "note", "x")
    listed.to_csv(folder / "assignment.csv", index=False)
    pd.testing.assert_frame_equal(read(folder, results).table, want)
    long = listed.assign(segment="A" * 100, stratum="A" * 100 + ", middle")
    long.to_csv(folder / "assignment.csv", index=False)
    assert len(read(folder, results).table) == 240


def test_another_column_called_group_is_told(experiment):
    folder, _, results = experiment
    found = read(folder, results.assign(group="silver"))
    assert found.notes == ["Not compared with the list: column group, which says silver."]
    blank = read(folder, results.assign(group=""))
    assert blank.notes == []


def test_rows_of_a_user_are_added_up_if_asked(experiment):
    folder, _, results = experiment
    twice = pd.concat([results, results.head(9)])
    with pytest.raises(InputError, match="user is not given, and column customer"):
        read(folder, twice)
    found = read(folder, twice, user="customer").table.set_index("customer")["after"]
    want = twice.groupby("customer")["after"].sum()
    assert found.to_numpy() == pytest.approx(want.loc[found.index].to_numpy())
    with pytest.raises(InputError, match="the list names users by customer"):
        read(folder, results, user="none")


def test_a_list_that_was_changed_is_told(tmp_path):
    call = "--id customer --segment channel --baseline spent --worth 9 --assign --out"
    people = pd.DataFrame({"customer": range(60), "channel": ["a", "b"] * 30, "spent": range(60)})
    people.to_csv(tmp_path / "people.csv", index=False)
    out = tmp_path / "plan"
    assert plan.main([str(tmp_path / "people.csv"), *call.split(), str(out)]) == 0
    listed = pd.read_csv(out / "assignment.csv")
    results = listed[["customer"]].assign(after=listed["baseline"] * 1.1)
    results.to_csv(tmp_path / "results.csv", index=False)
    read = joined.read(tmp_path / "results.csv", out / "assignment.csv", ["after"])
    assert read.notes == [] and list(read.planned.index) == ["all users", "a", "b"]
    swapped = listed.assign(group=listed["group"].iloc[::-1].to_numpy())
    swapped.to_csv(out / "assignment.csv", index=False)
    read = joined.read(tmp_path / "results.csv", out / "assignment.csv", ["after"])
    assert len(read.notes) == 1 and "not as tools.plan wrote it" in read.notes[0]
    (out / "plan.csv").write_text("nonsense", encoding="utf-8")
    assert joined.read(tmp_path / "results.csv", out / "assignment.csv", ["after"]).planned is None


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda r: r.rename(columns={"customer": "id"}), "results.csv lacks 'customer'"),
        (lambda r: r.drop(columns="after"), "results.csv lacks 'after'"),
        (lambda r: r.assign(customer="z" + r["customer"]), "No customer of results.csv is on the"),
        (lambda r: r.assign(after=r["after"].mask(r["after"].index == 5)), "the value is blank"),
        (lambda r: r.assign(after="much"), "much is not a number"),
    ],
)
def test_results_that_cannot_be_used(experiment, spoil, said):
    folder, _, results = experiment
    with pytest.raises(InputError) as refused:
        read(folder, spoil(results))
    assert said in str(refused.value) and len(str(refused.value).splitlines()) <= 2


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda t: t.drop(columns="stratum"), "assignment.csv lacks 'stratum'"),
        (lambda t: t[["segment", "stratum", "baseline", "group"]], "has no column of ids"),
        (lambda t: t.assign(group=t["group"].replace("control", "A")), "neither control nor"),
        (lambda t: t.assign(group="control"), "arms in the list assignment.csv are 'control'"),
        (lambda t: pd.concat([t, t.head(1)]), "a list has each user once"),
        (lambda t: t.assign(baseline="x"), "x is not a number"),
    ],
)
def test_lists_that_cannot_be_used(experiment, spoil, said):
    folder, listed, results = experiment
    spoil(listed).to_csv(folder / "assignment.csv", index=False)
    with pytest.raises(InputError) as refused:
        read(folder, results)
    assert said in str(refused.value)


def test_a_list_that_a_spreadsheet_saved(experiment):
    folder, listed, results = experiment
    want = read(folder, results).table
    listed.to_csv(folder / "assignment.csv", sep=";", decimal=",", index=False)
    pd.testing.assert_frame_equal(read(folder, results).table, want)


# The analysis of it


def analysed(folder, results, **options):
    results.to_csv(folder / "results.csv", index=False)
    asked = analyse.DEFAULTS | {
        "outcome": "after",
        "worth": 3.0,
        "assignment": folder / "assignment.csv",
    }
    return analyse.analyse(folder / "results.csv", asked | options)


def test_it_is_analysed_as_it_was_dealt(experiment):
    """Lift, p and interval are those of statsmodels with strata and baseline, HC2."""
    folder, listed, results = experiment
    table = analysed(folder, results).table.set_index("segment")
    log = listed.merge(results, on="customer").assign(t=lambda x: (x["group"] != "control") * 1)
    parts = {"all users": log} | dict(iter(log.groupby("segment")))
    for name, part in parts.items():
        fit = smf.ols("after ~ t + baseline + C(stratum)", part).fit(cov_type="HC2", use_t=True)
        low, high = fit.conf_int(0.05 if name == "all users" else 0.025).loc["t"]
        got = table.loc[name, ["lift", "p_value", "ci_low", "ci_high"]].astype(float)
        assert got.tolist() == pytest.approx([fit.params["t"], fit.pvalues["t"], low, high])
    assert table.loc["all users", "ratio_p"] > 0.9


def test_the_baseline_of_a_rate_may_be_its_strata(experiment):
    """Where strata say all that the baseline says, they alone are adjusted by."""
    folder, listed, results = experiment
    rng = np.random.default_rng(3)
    people = listed[["customer", "segment"]].assign(bought=(rng.random(240) < 0.4) * 1)
    again = assignment.assign(people, "customer", "segment", "bought", 0.4, seed=3)
    again.to_csv(folder / "assignment.csv", index=False)
    results = results.assign(after=(rng.random(240) < 0.5) * 1)
    result = analysed(folder, results, worth=0.05)
    log = again.merge(results, on="customer").assign(t=lambda x: (x["group"] != "control") * 1)
    fit = smf.ols("after ~ t + C(stratum)", log).fit(cov_type="HC2", use_t=True)
    assert result.rate and result.table["lift"].iloc[0] == pytest.approx(fit.params["t"])
    assert result.table["p_value"].iloc[0] == pytest.approx(fit.pvalues["t"])

    flat = again.assign(baseline=1.0, stratum=again["segment"] + ", all")
    flat.to_csv(folder / "assignment.csv", index=False)
    plain = analysed(folder, results, worth=0.05).table.set_index("segment")["lift"]
    web = log[log["segment"] == "web"]
    means = web.groupby("t")["after"].mean()
    assert plain["web"] == pytest.approx(means[1] - means[0])


@pytest.mark.parametrize(
    "options, said",
    [
        ({"segment": "channel"}, "segment does not go with --assignment"),
        ({"covariate": "x"}, "covariate does not go"),
        ({"per": "x"}, "per does not go"),
        ({"control_share": 0.4}, "control_share does not go"),
        ({"treatment": "b"}, "treatment does not go"),
        ({"control": "b"}, "control does not go"),
        ({"assignment": None, "missing": 0.0}, "missing needs --assignment"),
    ],
)
def test_options_that_a_list_answers_itself(experiment, options, said):
    folder, _, results = experiment
    with pytest.raises(InputError, match=said):
        analysed(folder, results, **options)


def test_planned_and_done_stand_side_by_side(experiment):
    folder, listed, results = experiment
    people = listed.rename(columns={"baseline": "spent"})
    planning.plan(people, "spent", 3.0, "segment", control_share=0.4).to_csv(folder / "plan.csv")
    result = analysed(folder, results)
    page = analyse.report.page(
        result,
        folder / "results.csv",
        analyse.DEFAULTS | {"outcome": "after", "assignment": folder / "assignment.csv"},
    )
    assert "Planned, and done" in page
    assert analyse.files.checksum(folder / "assignment.csv") in page
    assert "strata" in page and "Cut into 2 segments by the list" in page


def page_of(folder, results, **options):
    asked = analyse.DEFAULTS | {"outcome": "after", "assignment": folder / "assignment.csv"}
    result = analysed(folder, results, **options)
    return analyse.report.page(result, folder / "results.csv", asked | options)


def test_segments_that_the_plan_did_not_mean_to_read_are_named(experiment):
    folder, listed, results = experiment
    people = listed.rename(columns={"baseline": "spent"})
    for worth, weak in ((3.0, True), (60.0, False)):
        plan_ = planning.plan(people, "spent", worth, "segment", control_share=0.4)
        plan_.to_csv(folder / "plan.csv")
        said = "By the plan too small to be read alone: store, web." in page_of(folder, results)
        assert said is weak


def test_sizes_of_a_list_that_was_filled_are_those_of_the_list(experiment):
    folder, _, results = experiment
    assert "by the list</td>" not in page_of(folder, results)
    filled = page_of(folder, results.iloc[5:], missing=0.0)
    assert "by the list</td>" in filled and "share as planned" not in filled
