"""Notebook 12: what it says of plans, lists, pretended experiments and joins holds when counted."""

import hashlib
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from helpers import (
    InputError,
    adjustment,
    assignment,
    experiment,
    planning,
    rehearsal,
    segments,
    shop,
    words,
)
from helpers.exercises import gaps
from helpers.inference import welch_many
from tests.guards import (
    LAST_SEED,
    caught,
    guard_message,
    lies,
    run_in_process,
    share,
    solve,
    unexplained,
)
from tests.test_instructor import COMES_OUT, PAGE, part
from tools import notebooks

PATH = next(path for path in notebooks.find() if path.name.startswith("12"))
FEATURES = ["recency", "frequency", "monetary"]
RUNS = 1_000


def function_of(name, **space):
    """A function that the notebook defines, in a space of its own."""
    cells = [c.source for c in nbformat.read(PATH, 4).cells if f"def {name}(" in c.source]
    source = re.search(rf"^def {name}\(.*?(?=^\S|\Z)", cells[0], re.DOTALL | re.MULTILINE)[0]
    space = {"np": np, "pd": pd, "hashlib": hashlib} | space
    exec(source, space)
    return space[name]


def band(p, runs=RUNS):
    """Four standard errors of a count of so many runs."""
    return 4 * np.sqrt(p * (1 - p) / runs)


# The page, with other knobs and other tables


def table_of(kind, folder):
    """Knobs for a table of one's own, which is written into the folder."""
    rng, path = np.random.default_rng(3), folder / f"{kind}.csv"
    knobs = {"file": str(path), "user": "id", "segment": "", "features": [], "clusters": 2}
    if kind == "one number":
        pd.DataFrame({"id": range(60), "x": rng.normal(0, 1, 60)}).to_csv(path, index=False)
        return knobs | {"baseline": "x", "worth": 1.0, "clusters": 3}
    if kind == "a rate":
        lands = rng.choice(["north", "south", "west"], 3_000, p=[0.6, 0.3, 0.1])
        bought = (rng.random(3_000) < 0.04).astype(int)
        found = pd.DataFrame({"id": [f"u{i}" for i in range(3_000)], "land": lands})
        found.assign(bought=bought).to_csv(path, index=False)
        own = {"baseline": "bought", "segment": "land", "rate": True, "worth": 0.02}
        return knobs | own | {"correlation": 0.3}
    lands = ["a"] * 27 + ["b"] * 2 + ["c"] * 2
    spent = [*rng.normal(5, 1, 27), 3, 3, 4, 4.5]
    pd.DataFrame({"id": range(31), "land": lands, "spent": spent}).to_csv(path, index=False)
    return knobs | {"baseline": "spent", "segment": "land", "worth": 2, "control_share": 0.1}


@pytest.mark.parametrize("kind", ["one number", "a rate", "tiny segments"])
def test_it_runs_on_tables_of_ones_own(kind, tmp_path, monkeypatch):
    texts = run_in_process(PATH, table_of(kind, tmp_path), monkeypatch, drawn=False)
    assert lies("\n".join(texts)) == [] and unexplained(texts) == []
    assert any(text.startswith("Show the answer: The plan gave") for text in texts)


OTHER = {"baseline": "frequency", "worth": 1.0, "segment": "", "features": ["recency"]}


@pytest.mark.parametrize(
    ("knobs", "cut"),
    [
        ({"seed": 0, "control_share": 0.1, "worth": 1e-9, "correlation": 0}, False),
        ({"seed": LAST_SEED, "control_share": 0.9, "worth": 300.0, "segment": ""}, True),
        (OTHER | {"clusters": 8, "correlation": 0.99}, False),
    ],
    ids=str,
)
def test_it_runs_with_odd_knobs(knobs, cut, monkeypatch):
    """And it knows whether the baseline cut the segments."""
    space: dict = {}
    texts = run_in_process(PATH, knobs, monkeypatch, drawn=False, space=space)
    assert lies("\n".join(texts)) == [] and unexplained(texts) == []
    assert space["kind"].cut is cut


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"worth": 0}, "worth is 0"),
        ({"worth": 1_000.0}, "worth is 1000, more than lies between any two customers"),
        ({"correlation": 1}, "correlation is 1; give a number from 0 to 0.99"),
        ({"correlation": "high"}, "correlation is 'high'"),
        ({"control_share": 0.05}, "control_share is 0.05; give a share from 0.1 to 0.9"),
        ({"rate": 1}, "rate is 1; give True or False"),
        ({"rate": True}, "rate means that the outcome is 0 or 1"),
        ({"user": "id"}, "user is 'id'; in the made-up shop it is \"customer\""),
        ({"baseline": "spent"}, "spent"),
        ({"segment": "country"}, "country"),
        ({"features": ["age"]}, "age"),
        ({"clusters": 1}, "clusters is 1; give a whole number from 2 to 8"),
        ({"clusters": 9}, "clusters is 9"),
        ({"file": "no such file.csv"}, "no such file.csv"),
    ],
    ids=str,
)
def test_knobs_that_cannot_be_used(knobs, said):
    """In the cells after the imports, before anything is shown."""
    cells = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]
    space = notebooks.knobs_of(notebooks.read(PATH)) | knobs
    exec(cells[1].source, space)

    def start():
        for cell in cells[2:5]:
            exec(cell.source, space)

    guard_message(start, said)


def test_a_table_that_cannot_be_used_is_told(tmp_path):
    """Ids twice, too few customers, a name of the course, segments that say it all."""
    cells = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]
    knobs = {"user": "id", "segment": "", "features": [], "baseline": "x", "worth": 0.5}
    knobs |= {"clusters": 2, "file": str(tmp_path / "t.csv")}
    until = next(i for i, cell in enumerate(cells) if "says it all" in cell.source) + 1

    def start(table, **more):
        table.to_csv(tmp_path / "t.csv", index=False)
        space = notebooks.knobs_of(notebooks.read(PATH)) | knobs | more
        for cell in cells[1:until]:
            if "plots.landing(" not in cell.source:
                exec(cell.source, space)

    x = np.random.default_rng(1).normal(size=40)
    whole = pd.DataFrame({"id": range(40), "x": x})
    guard_message(lambda: start(whole.assign(id=1)), "id")
    guard_message(lambda: start(whole.head(29)), "has 29 customers; give 30 to 50,000")
    guard_message(lambda: start(whole.rename(columns={"id": "served"}), user="served"), "served")
    twos = whole.assign(x=np.arange(40) % 2)
    guard_message(lambda: start(twos), "baseline says it all")
    guard_message(lambda: start(whole.assign(y=1), features=["y"]), "features are the same")


# Segments


@pytest.mark.parametrize("seed", range(1, 9))
def test_long_tails_make_clusters_of_very_unequal_size(seed):
    customers = shop.customers(seed)
    assert (customers[FEATURES].skew() > 1).all()
    even, how = segments.evened(customers, FEATURES)
    assert (even.skew().abs() < 1).all() and set(how) == {"logarithm"}
    largest = [
        segments.cluster_customers(table, 4, FEATURES, seed)["Cluster"].value_counts().max()
        for table in (customers, even)
    ]
    assert largest[0] > 1_400 and largest[1] < 1_100


# The plan


@pytest.mark.parametrize("control_share", [0.1, 0.5, 0.8])
def test_the_formula_is_that_of_the_helper_and_of_statsmodels(control_share):
    values = shop.customers(5)["monetary"]
    variance_of_one = function_of("variance_of_one", rate=False, control_share=control_share)
    for level, lift in ((0.05, 5.0), (0.0125, 12.0)):
        z = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(0.8)
        by_formula = z**2 * variance_of_one(values, lift) / lift**2
        spread = planning.spread_of(values, False, control_share)
        needed = planning.users_needed(spread, lift, level)
        assert by_formula < needed < by_formula + 6
        effect, ratio = lift / values.std(), (1 - control_share) / control_share
        found = TTestIndPower().power(effect, needed * control_share, level, ratio)
        assert found == pytest.approx(0.8, abs=1e-3)


def test_a_segment_that_differs_as_all_do_needs_as_many_as_all_and_more():
    """Four of them need more than four times as many as all together."""
    customers = shop.customers(9).assign(quarter=np.arange(3_000) % 4)
    planned = planning.plan(customers, "monetary", 7.0, "quarter")
    assert (planned["users_needed"].iloc[1:] > planned["users_needed"].iloc[0] * 0.8).all()
    assert planned["users_needed"].iloc[1:].sum() > 4 * planned["users_needed"].iloc[0]


def test_in_most_shops_no_segment_can_be_tested_alone():
    alone = 0
    for seed in [*range(1, 31), 42]:
        planned = planning.plan(shop.customers(seed), "monetary", 7.0, "channel")
        assert planned["testable"].iloc[0] == "together"
        alone += (planned["testable"] == "alone").sum()
    assert alone < 0.1 * 31 * 4


def test_four_times_the_customers_see_half_the_lift():
    spread = planning.spread_of(shop.customers(1)["monetary"], False, 0.5)
    few, many = (spread._replace(customers=n) for n in (500, 2_000))
    lifts = [planning.smallest_detectable(one, 0.0125) for one in (few, many)]
    assert lifts[0] / lifts[1] == pytest.approx(2, rel=0.01)


def test_the_smallest_lift_is_what_the_page_says():
    said = {
        name: (float(low), float(high)) for name, low, high in COMES_OUT.findall(part(PAGE, "12"))
    }
    low, high = said["12-smallest-lift"]
    z = stats.norm.ppf(1 - 0.0125 / 2) + stats.norm.ppf(0.8)
    for seed in [*range(1, 31), 42]:
        customers = shop.customers(seed)
        largest = customers["channel"].value_counts().idxmax()
        values = customers.loc[customers["channel"] == largest, "monetary"]
        assert low <= z * np.sqrt(4 * values.var() / len(values)) <= high


# The list


def gaps_of(arms_of, runs=400):
    """Of the mean baselines, in their spreads."""
    customers = shop.customers(3)
    before = customers["monetary"].to_numpy()
    strata = assignment.strata(customers["channel"], customers["monetary"])
    codes, rng = pd.factorize(strata)[0], np.random.default_rng(4)
    arms = (arms_of(codes, rng) == 1 for _ in range(runs))
    return np.array([(before[arm].mean() - before[~arm].mean()) / before.std() for arm in arms])


def by_strata(codes, rng):
    return assignment.draw(codes, 0.5, rng)


def by_coin(codes, rng):
    return rng.integers(0, 2, len(codes))


def guard_gap(arms_of):
    """No gap on average, and a smaller one than a coin's."""
    found = gaps_of(arms_of)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))
    assert found.std() < 0.8 * 2 / np.sqrt(3_000)


def test_by_strata_the_gap_is_smaller():
    guard_gap(by_strata)
    caught(guard_gap, by_coin)


def test_the_list_does_not_hang_on_the_order_of_rows():
    customers = shop.customers(2)
    lists = [
        assignment.assign(table, "customer", "channel", "monetary", seed=2)
        for table in (customers, customers.sample(frac=1, random_state=1))
    ]
    checksum = function_of("checksum")
    assert checksum(lists[0]) == checksum(lists[1])


def guard_checksum(of):
    listed = assignment.assign(shop.customers(2), "customer", "channel", "monetary")
    swapped = listed.copy()
    swapped.loc[[0, 1], "group"] = ["treatment", "control"]
    swapped.loc[listed.index[2:], "group"] = listed["group"]
    other = {"control": "treatment", "treatment": "control"}
    moved = listed.copy()
    moved.loc[7, "group"] = other[moved.loc[7, "group"]]
    assert len({of(listed), of(moved), of(listed.iloc[1:])}) == 3 and of(listed) == of(
        listed.copy()
    )


def test_one_customer_moved_changes_the_checksum():
    guard_checksum(function_of("checksum"))
    caught(guard_checksum, len)


def test_a_hash_gives_each_arm_its_share():
    for control_share in (0.1, 0.5):
        arm_of = function_of("arm_of", seed=7, control_share=control_share)
        arms = [arm_of(f"later-{i}") for i in range(10_000)]
        assert share(np.array(arms) == "control") == pytest.approx(control_share, abs=0.02)


def by_ranks(values):
    """The thirds of the page."""
    place = (values.rank() - 0.5) / len(values)
    return (3 * place).astype(int).to_numpy()


def by_values(values):
    return np.searchsorted(values.quantile([1 / 3, 2 / 3]), values)


def guard_thirds(thirds_of):
    """Of a baseline of 0 and 1, too, there are two strata, whatever its rate."""
    for rate in (0.04, 0.2, 0.5, 0.7, 0.97):
        values = pd.Series((np.arange(1_000) < 1_000 * rate).astype(float))
        strata = assignment.strata(pd.Series("a", values.index), values)
        found = thirds_of(values)
        assert len(set(found)) == 2 == strata.nunique()
        assert (pd.Series(found).groupby(strata.to_numpy()).nunique() == 1).all()


def test_thirds_by_ranks_keep_a_rate_in_two():
    source = "".join(cell.source for cell in nbformat.read(PATH, 4).cells)
    assert "place = (own[baseline].rank() - 0.5) / len(own)" in source
    guard_thirds(by_ranks)
    caught(guard_thirds, by_values)


# Pretending


def by_the_page(before, correlation, rng):
    return function_of("pretended", rate=False, correlation=correlation)(before, rng)


def without_the_baseline(before, correlation, rng):
    return rng.permutation(before)


def guard_pretended(pretend):
    """Mean, spread and correlation are what was asked for."""
    before, rng = shop.customers(6)["monetary"].to_numpy(), np.random.default_rng(7)
    for correlation in (0.3, 0.6, 0.9):
        found = np.array([pretend(before, correlation, rng) for _ in range(30)])
        assert found.mean() == pytest.approx(before.mean(), rel=0.01)
        assert found.std() == pytest.approx(before.std(), rel=0.03)
        r = np.mean([np.corrcoef(before, y)[0, 1] for y in found])
        assert r == pytest.approx(correlation, abs=0.02)


def test_pretended_outcomes_are_like_the_baseline():
    guard_pretended(by_the_page)
    caught(guard_pretended, without_the_baseline)


def test_the_page_pretends_as_the_helper_does():
    before = shop.customers(6)["monetary"].to_numpy()
    kind, rng = rehearsal.Kind(correlation=0.6), np.random.default_rng(8)
    y = rehearsal.outcomes(before, kind, np.zeros((40, 3_000)), rng)
    page = np.array([by_the_page(before, 0.6, rng) for _ in range(40)])
    assert y.std() == pytest.approx(page.std(), rel=0.02)
    r = [np.mean([np.corrcoef(before, one)[0, 1] for one in many]) for many in (y, page)]
    assert r[0] == pytest.approx(r[1], abs=0.02)


@pytest.fixture(scope="module")
def worlds():
    """Lists by strata, outcomes without effect and with one, and what is known."""
    customers, rng = shop.customers(11), np.random.default_rng(12)
    strata = assignment.strata(customers["channel"], customers["monetary"])
    codes, before = pd.factorize(strata, sort=True)[0], customers["monetary"].to_numpy()
    lists = np.stack([assignment.draw(codes, 0.5, rng) for _ in range(RUNS)])
    kind = rehearsal.Kind(correlation=0.6)
    planned = planning.plan(customers, "monetary", 7.0, "channel", correlation=0.6)
    lift = planned["smallest_detectable_adjusted"].iloc[0]
    ys = [rehearsal.outcomes(before, kind, effect * lists, rng) for effect in (0.0, lift)]
    return ys, lists, before, adjustment.known_columns(customers["monetary"], strata)


def usual(y, lists, before, known):
    return share(welch_many(y, lists)["p_value"] < 0.05)


def with_baseline(y, lists, before, known):
    return share(adjustment.adjust_many(y, lists, before)["p_value"] < 0.05)


def with_strata(y, lists, before, known):
    return share(adjustment.adjust_many(y, lists, known)["p_value"] < 0.05)


def guard_promise(way, worlds):
    """False alarms and power are as planned."""
    (null, real), *rest = worlds
    assert abs(way(null, *rest) - 0.05) < band(0.05)
    assert abs(way(real, *rest) - 0.8) < band(0.8)


def test_what_the_list_was_made_by_must_be_in_the_analysis(worlds):
    for way in (with_baseline, with_strata):
        guard_promise(way, worlds)
    caught(lambda way: guard_promise(way, worlds), usual)
    (null, real), *rest = worlds
    assert 0.01 < usual(null, *rest) < 0.045 and usual(real, *rest) < 0.7


def power_of_clusters(cut):
    """The lowest power that is rehearsed for clusters that the baseline made."""
    customers = shop.customers(3)
    even, _ = segments.evened(customers, FEATURES)
    made = segments.cluster_customers(even, 4, FEATURES, 3)["Cluster"]
    kind = rehearsal.Kind(correlation=0.6, cut=cut)
    table = customers.assign(segment=made.astype(str))
    return rehearsal.pretend(table, "monetary", "segment", kind, seed=3, runs=200)["power"].min()


def test_the_rehearsal_sees_that_the_baseline_cut_the_segments():
    assert power_of_clusters(cut=True) < 0.5 < 0.7 < power_of_clusters(cut=False)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_clusters_of_alike_customers_differ_more_a_season_later(seed):
    """In the shop itself, and less than the rehearsal lets them."""
    customers = shop.customers(seed)
    even, _ = segments.evened(customers, FEATURES)
    made = segments.cluster_customers(even, 4, FEATURES, seed)["Cluster"].to_numpy()
    nobody = customers[["customer"]].assign(group="control")
    before, kind = customers["monetary"].to_numpy(), rehearsal.Kind(correlation=0.6, cut=True)
    rng, none = np.random.default_rng(seed), np.zeros((1, 3_000))
    after = {"next": shop.next_season(nobody, seed)["spent"].to_numpy()}
    after["pretended"] = rehearsal.outcomes(before, kind, none, rng, before)[0]
    spread = pd.DataFrame({"before": before} | after).groupby(made).std()
    alike = spread[spread["before"] < before.std()]
    assert len(alike) == 3
    assert (alike["before"] < alike["next"]).all() and (alike["next"] < alike["pretended"]).all()


def test_one_even_cloud_is_found_again_too():
    for seed in range(3):
        cloud = pd.DataFrame(np.random.default_rng(seed).random((2_000, 2)), columns=["a", "b"])
        assert segments.found_again(cloud, 4, ["a", "b"], seed, times=10).min() > 0.7


# The join


def by_fisher(missing, there):
    return stats.fisher_exact([missing, there]).pvalue


def by_coins(missing, there):
    return experiment.sample_ratio_p(*there, 0.5)


def guard_lost(p_of):
    """One arm of a list lacks more results: the test rings."""
    assert p_of([60, 20], [1_440, 1_480]) < 0.001
    assert p_of([31, 29], [1_469, 1_471]) > 0.05


def test_lost_results_are_tested_by_arm():
    source = "".join(cell.source for cell in nbformat.read(PATH, 4).cells)
    assert "stats.fisher_exact(came)" in source
    guard_lost(by_fisher)
    caught(guard_lost, by_coins)


def guard_arm(arm_of):
    """Customers who got the catalogue by mistake, the largest spenders: the lift stays honest."""
    rng, lifts = np.random.default_rng(13), []
    for _ in range(300):
        spent, listed = rng.gamma(1.5, 27, 2_000), np.arange(2_000) % 2 == 1
        served = listed | (~listed & (spent > np.quantile(spent, 0.95)))
        y, arm = spent + rng.normal(0, 5, 2_000), arm_of(listed, served)
        lifts.append(y[arm].mean() - y[~arm].mean())
    assert abs(np.mean(lifts)) < 4 * np.std(lifts) / np.sqrt(len(lifts))


def test_everyone_is_counted_in_the_arm_of_the_list():
    guard_arm(lambda listed, served: listed)
    caught(guard_arm, lambda listed, served: served)


def test_what_was_spoiled_is_told(monkeypatch):
    space: dict = {}
    run_in_process(PATH, {"seed": 5}, monkeypatch, drawn=False, space=space)
    told = pd.Series(space["told"]).to_list()
    assert told == [60, 1, 1, 2] and len(space["log"]) == 2_940
    merged = space["log"].merge(space["listed"], on="customer", suffixes=("", "_list"))
    assert (merged["group"] == merged["group_list"]).all()
    truth = space["truth"]
    channels = [name for name in truth.index if name != "all users"]
    assert {name: truth[name] for name in channels} == shop.TRUE_LIFT
    assert set(space["result"]["decision"].str.split(":").str[0]) <= {
        words.SHIP,
        words.HOLD,
        words.COLLECT,
        words.DO_NOT_READ,
    }


# The exercises


@pytest.mark.parametrize("name", ["12-one-fifth", "12-joined", "12-analysed"])
def test_no_mistake_passes_in_the_exercises(name):
    for seed in range(12):
        for knobs in ({}, {"segment": "", "clusters": 3, "control_share": 0.3}):
            if knobs and seed > 2:
                continue
            try:
                exercise = solve(name, {"seed": seed} | knobs)
            except InputError:
                continue
            assert gaps(exercise.also, exercise.right).max() <= exercise.tolerance
            for value, *_ in exercise.wrong.values():
                assert gaps(value, exercise.right).max() > 1.4 * exercise.tolerance
            assert len(exercise.wrong) >= 3
