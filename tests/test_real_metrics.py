"""Notebook 11: what it says of ratios, tails, margins and several arms holds when it is counted."""

import itertools

import nbformat
import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests

from helpers import InputError, metrics, power, words
from helpers.exercises import Exercise, find, gaps
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
from tests.test_published import largest_t
from tools import notebooks

PATH = next(path for path in notebooks.find() if path.name.startswith("11"))
RUNS = 2_000


def function_of(name, **space):
    """A function that the notebook defines, in a space of its own."""
    cells = [c.source for c in nbformat.read(PATH, 4).cells if f"def {name}(" in c.source]
    space = {"np": np, "stats": stats} | space
    exec(cells[0], space)
    return space[name]


visits, spend = function_of("visits"), function_of("spend")


def band(p, runs=RUNS):
    """Four standard errors of a count of so many runs."""
    return 4 * np.sqrt(p * (1 - p) / runs)


# The page, with other knobs


@pytest.mark.parametrize(
    "knobs",
    [
        {"users": 201, "planted": -0.9, "margin": 0.5, "worth": 1e-9, "seed": LAST_SEED},
        {"users": 20_000, "planted": 0, "margin": 0.05, "worth": 1e15, "seed": 0},
    ],
    ids=str,
)
def test_it_runs_with_odd_knobs(knobs, monkeypatch):
    texts = run_in_process(PATH, knobs, monkeypatch, drawn=False)
    assert lies("\n".join(texts)) == [] and unexplained(texts) == []
    assert any(text.startswith("Show the answer: That by user") for text in texts)


@pytest.mark.parametrize(
    ("knob", "value", "said"),
    [
        ("users", 199, "users is 199; give a whole number from 200"),
        ("users", 100.5, "users is 100.5"),
        ("users", 20_001, "to 20,000"),
        ("planted", -1, "planted is -1; give a share from -0.9"),
        ("planted", "20 %", "planted is '20 %'"),
        ("margin", 0.04, "margin is 0.04; give a share from 0.05"),
        ("margin", float("nan"), "margin is nan"),
        ("worth", 0, "worth is 0"),
        ("seed", -1, "seed is -1"),
    ],
)
def test_knobs_that_cannot_be_used(knob, value, said):
    """In the cell after the imports, before anything is drawn."""
    cells = [cell for cell in nbformat.read(PATH, 4).cells if cell.cell_type == "code"]
    space = notebooks.knobs_of(notebooks.read(PATH)) | {"words": words, knob: value}
    assert "raise InputError" in cells[2].source
    guard_message(lambda: exec(cells[2].source, space), said)


# Clicks per view


def z_by_row(views, clicks):
    totals = [(clicks[:, i::2].sum(axis=1), views[:, i::2].sum(axis=1)) for i in (0, 1)]
    rates = [top / bottom for top, bottom in totals]
    error2 = sum(p * (1 - p) / bottom for p, (_, bottom) in zip(rates, totals, strict=True))
    return (rates[1] - rates[0]) / np.sqrt(error2)


def z_by_user(views, clicks):
    runs = zip(views, clicks, strict=True)
    arms = ((c[::2], v[::2], c[1::2], v[1::2]) for v, c in runs)
    return np.array([metrics.compare_ratios(*arm).t for arm in arms])


def guard_false_alarms(z_of):
    found = z_of(*visits(np.random.default_rng(5), (RUNS, 300)))
    assert abs(share(np.abs(found) > 1.96) - 0.05) < band(0.05) + 0.004


def test_views_of_a_user_are_weak_copies():
    """By row four times as many false alarms as promised, by user as promised."""
    guard_false_alarms(z_by_user)
    caught(guard_false_alarms, z_by_row)
    found = z_by_row(*visits(np.random.default_rng(6), (RUNS, 1_000)))
    assert 0.17 < share(np.abs(found) > 1.96) < 0.26


def test_by_user_it_is_good_from_about_fifty_users_in_an_arm():
    """With fewer it cries wolf a little too often, by row far too often."""
    rng = np.random.default_rng(7)
    found = [share(np.abs(z_by_user(*visits(rng, (RUNS, 2 * n)))) > 1.96) for n in (20, 50, 100)]
    assert found[0] > 0.06 and all(abs(alarms - 0.05) < band(0.05) for alarms in found[1:])


@pytest.mark.parametrize(
    ("name", "users", "runs"),
    [
        ("11-own-ratio", 200, 60),
        ("11-own-ratio", 4_000, 60),
        ("11-own-ratio", 20_000, 60),
        ("11-median", 200, 60),
        ("11-median", 4_000, 12),
        ("11-median", 20_000, 3),
    ],
)
def test_no_mistake_passes_in_the_exercises(name, users, runs):
    """Where one could not be told from the right way, there is no answer."""
    silent = 0
    for seed in range(runs):
        try:
            exercise = solve(name, {"users": users, "seed": seed})
        except InputError:
            silent += 1
            continue
        for value, *_ in exercise.wrong.values():
            assert gaps(value, exercise.right).max() > 1.4 * exercise.tolerance
        assert gaps(exercise.also, exercise.right).max() <= exercise.tolerance
    few = users == 200
    assert silent == runs * few if name == "11-median" else silent <= 10 * few


def test_a_mistake_that_cannot_be_told_leaves_no_answer():
    right = Exercise(1.0, 1.0, "", {"near": (1.006, "near")}, ("", ""))
    told_apart = find("11-own-ratio").__globals__["told_apart"]
    with pytest.raises(InputError, match="by luck"):
        told_apart(right)
    apart = right._replace(wrong={"far": (1.1, "far")})
    assert told_apart(apart) is apart


# Revenue


def sides(y, arm):
    runs = welch_many(y, np.broadcast_to(arm, y.shape))
    alarm = runs["p_value"] < 0.05
    return share(alarm & (runs["lift"] < 0)), share(alarm & (runs["lift"] > 0))


@pytest.fixture(scope="module")
def spent():
    return spend(np.random.default_rng(8), (RUNS, 2_000))


HALF, TENTH = np.arange(2_000) % 2 == 0, np.arange(2_000) % 10 == 0


def test_without_large_spenders_mean_and_spread_are_both_low(spent):
    """So t leans to the left."""
    some = spent[:, :160]
    means, sds = some.mean(axis=1), some.std(axis=1, ddof=1)
    assert stats.spearmanr(means, sds).statistic > 0.8
    t = (means - 0.2 * np.exp(2.8 + 1.125)) / sds * np.sqrt(160)
    assert share(t < -1.96) > 0.15 and share(t > 1.96) < 0.01


def test_equal_arms_bend_alike_and_unequal_ones_do_not(spent):
    worse, better = sides(spent, HALF)
    assert max(worse, better) < 0.025 + band(0.025) and abs(worse - better) < 0.014
    worse, better = sides(spent, TENTH)
    assert worse > 0.09 and better < 0.006
    better, worse = sides(spent, ~TENTH)  # swapped, it is the other side
    assert worse > 0.09 and better < 0.006


def test_more_users_help_slowly():
    rng = np.random.default_rng(9)
    alarms = [
        sides(spend(rng, (1_000, n)), np.arange(n) % 10 == 0)[0] for n in (100, 1_000, 10_000)
    ]
    assert alarms[0] > alarms[1] + 0.02 > alarms[2] + 0.04 > 0.08


def fixed(spent, arm, q=0.99):
    return np.quantile(spend(np.random.default_rng(10), 50_000), q)


def blind(spent, arm, q=0.99):
    return np.quantile(spent, q, axis=1, keepdims=True)


def own(spent, arm, q=0.99):
    ends = [np.quantile(spent[:, chosen], q, axis=1, keepdims=True) for chosen in (~arm, arm)]
    return np.where(arm, ends[1], ends[0])


def the_best_look(spent, arm):
    """The limit, of three, at which the arms differ most."""
    limits = [fixed(spent, arm, q) for q in (0.9, 0.95, 0.99)]
    arms = np.broadcast_to(arm, spent.shape)
    p = [welch_many(np.minimum(spent, limit), arms)["p_value"] for limit in limits]
    return np.array(limits)[np.argmin(p, axis=0)][:, None]


def guard_cap(limit_of, spent):
    """A limit that does not know the arms keeps the level where arms are equal."""
    alarms = sum(sides(np.minimum(spent, limit_of(spent, HALF)), HALF))
    assert abs(alarms - 0.05) < band(0.05)


def test_a_limit_may_not_know_the_arms(spent):
    for honest in (fixed, blind):
        guard_cap(honest, spent)
    for faulty in (own, the_best_look):
        caught(lambda limit_of: guard_cap(limit_of, spent), faulty)


def test_a_blind_limit_is_as_good_as_a_fixed_one(spent):
    for arm in (HALF, TENTH):
        found = [sum(sides(np.minimum(spent, way(spent, arm)), arm)) for way in (fixed, blind)]
        assert abs(found[0] - found[1]) < 0.01


def test_with_a_tenth_treated_a_lower_cap_helps(spent):
    plain = sum(sides(spent, TENTH))
    high, low = (sum(sides(np.minimum(spent, fixed(spent, TENTH, q)), TENTH)) for q in (0.99, 0.9))
    assert plain > high + 0.03 and 0.05 + band(0.05) > low < high


def test_the_standard_error_does_not_know_an_arms_own_limit(spent):
    runs = welch_many(np.minimum(spent, own(spent, HALF)), np.broadcast_to(HALF, spent.shape))
    assert runs["lift"].std() > 1.25 * runs["se"].mean()
    runs = welch_many(np.minimum(spent, blind(spent, HALF)), np.broadcast_to(HALF, spent.shape))
    assert runs["lift"].std() == pytest.approx(runs["se"].mean(), rel=0.07)


def test_a_capped_lift_is_smaller_and_its_error_too():
    revenue = spend(np.random.default_rng(11), 200_000)
    cap = metrics.quantile_of(revenue, 0.99)
    for lift in (0.2, -0.3):
        more = metrics.capped(revenue * (1 + lift), cap)
        capped_lift = more.mean() - metrics.capped(revenue, cap).mean()
        assert 0 < capped_lift / (lift * revenue.mean()) < 0.8
    assert metrics.capped(revenue, cap).std() < 0.7 * revenue.std()
    dearest = np.where(revenue > cap, 2 * revenue, revenue)  # what works on those alone is lost
    assert metrics.capped(dearest, cap).mean() == metrics.capped(revenue, cap).mean()


GRID = list(itertools.product((-0.9, -0.5, -0.2, 0.01, 0.1, 0.2, 0.5, 1, 3, 10), range(20)))


def guard_ratio(error_of):
    """A lift under a cap is nearer to zero and yet more of its standard errors, in every run."""
    for planted, seed in GRID:
        before = spend(np.random.default_rng(seed), 50_000)
        after, cap = before * (1 + planted), np.quantile(before, 0.99)
        lifts, errors = [], []
        for limit in (np.inf, cap):
            a, b = np.minimum(before, limit), np.minimum(after, limit)
            lifts.append(abs(b.mean() - a.mean()))
            errors.append(error_of(a, b, np.random.default_rng(seed)))
        assert lifts[1] < lifts[0] and lifts[1] / errors[1] > lifts[0] / errors[0]


def last_months(a, b, rng):
    return np.sqrt((a.var() + b.var()) / 1_000)


def this_runs(a, b, rng):
    """As the page once had it: from the users of one small experiment."""
    return np.sqrt((rng.choice(a, 100).var() + rng.choice(b, 100).var()) / 100)


def test_a_capped_lift_is_more_of_its_standard_errors():
    guard_ratio(last_months)
    caught(guard_ratio, this_runs)


@pytest.mark.parametrize("n", [200, 2_000])
def test_what_is_more_of_its_standard_errors_is_found_more_often(n, spent):
    """Or as often, where all are found or hardly any: counted on the same experiments."""
    half, cap = HALF[:n], fixed(spent, HALF)
    for planted in (-0.9, -0.5, -0.2, 0.2, 0.5, 1, 3, 10):
        y = spent[:, :n] * np.where(half, 1 + planted, 1)
        plain, capped = (sum(sides(np.minimum(y, limit), half)) for limit in (np.inf, cap))
        assert capped > plain or plain > 0.99


# No worse than


def judged(loss, n, seed, lower_is_better=True):
    """Of experiments with a loss of so many margins, how they come out; two seconds are usual."""
    rng, arm, margin = np.random.default_rng(seed), np.arange(n) % 2 == 1, 0.2
    y = rng.exponential(2, (RUNS, n)) + np.where(arm, loss * margin, 0)
    runs = welch_many(y if lower_is_better else -y, np.broadcast_to(arm, y.shape))
    return runs, margin


def by_interval(runs, margin, lower_is_better):
    return [
        words.margin_decision(low, high, margin, lower_is_better).startswith(words.NOT_WORSE)
        for low, high in zip(runs["ci_low"], runs["ci_high"], strict=True)
    ]


def by_silence(runs, margin, lower_is_better):
    return runs["p_value"] >= 0.05


def by_the_estimate(runs, margin, lower_is_better):
    return (runs["lift"] < margin) if lower_is_better else (runs["lift"] > -margin)


def guard_margin(passes):
    """Harm of a margin or more gets past in one of forty at most, whatever the number of users."""
    for n, loss, lower in itertools.product((50, 400), (1, 1.5), (True, False)):
        runs, margin = judged(loss, n, n, lower)
        assert share(passes(runs, margin, lower)) < 0.025 + band(0.025)


def test_not_worse_is_claimed_falsely_once_in_forty_at_most():
    guard_margin(by_interval)
    for faulty in (by_silence, by_the_estimate):
        caught(guard_margin, faulty)


def test_the_fewer_the_users_the_more_surely_harm_is_not_significant():
    silent = [share(judged(1, n, 12)[0]["p_value"] >= 0.05) for n in (50, 200, 800, 3_200)]
    assert silent == sorted(silent, reverse=True) and silent[0] > 0.9 and silent[-1] < 0.3


@pytest.mark.parametrize("loss", [0, 0.25, -0.5])
def test_power_of_the_proof_is_that_of_the_distance_to_the_margin(loss):
    n = 2 * round(power.sample_size(0.2 * (1 - loss), 2))
    runs, margin = judged(loss, n, 13)
    assert abs(share(by_interval(runs, margin, True)) - 0.8) < band(0.8) + 0.005


def test_of_two_guardrails_the_harm_in_one_decides():
    """Harm passes both no more often than the one; of the harmless, fewer pass two than one."""
    rng = np.random.default_rng(19)
    harmed, harmless = (rng.normal(shift, 1, 100_000) for shift in (0, 2.8))
    other = rng.normal(2.8, 1, 100_000)
    assert share((harmed > 1.96) & (other > 1.96)) <= share(harmed > 1.96) < 0.027
    both = share((harmless > 1.96) & (other > 1.96))
    assert both == pytest.approx(0.64, abs=0.01)  # each was planned for 80 %


def test_a_side_chosen_after_looking_errs_twice():
    z = np.random.default_rng(14).normal(size=200_000)
    limit = stats.norm.ppf(0.95)
    assert share(z > limit) == pytest.approx(0.05, abs=0.002)
    assert share(np.abs(z) > limit) == pytest.approx(0.1, abs=0.003)


# Several arms


def limit_by_integral(arms, df, alpha=0.05):
    """Two-sided: as `largest_t`, with both tails."""
    control = stats.norm.ppf((np.arange(400) + 0.5) / 400)
    spread = np.sqrt(stats.chi2.ppf((np.arange(400) + 0.5) / 400, df) / df)[:, None]

    def none_beyond(c):
        room = np.sqrt(2) * c * spread
        inside = stats.norm.cdf(control + room) - stats.norm.cdf(control - room)
        return (inside**arms).mean()

    return optimize.brentq(lambda c: none_beyond(c) - 1 + alpha, 0, 9)


def family(arms, m, lifts=0.0, runs=6_000):
    """t of each arm against one control, and df."""
    y = np.random.default_rng(15).gamma(4, 2, (runs, arms + 1, m))
    y[:, 1:] += np.broadcast_to(lifts, arms)[:, None]
    return function_of("t_against_control")(y), (arms + 1) * (m - 1)


def dunnett(t, df):
    return np.abs(t) > limit_by_integral(t.shape[1], df)


def bonferroni(t, df):
    return 2 * stats.t.sf(np.abs(t), df) < 0.05 / t.shape[1]


def holm(t, df):
    p = 2 * stats.t.sf(np.abs(t), df)
    order = p.argsort(axis=1)
    steps = np.take_along_axis(p, order, axis=1) * np.arange(t.shape[1], 0, -1) < 0.05
    return np.take_along_axis(
        np.logical_and.accumulate(steps, axis=1), order.argsort(axis=1), axis=1
    )


def each_alone(t, df):
    return 2 * stats.t.sf(np.abs(t), df) < 0.05


def guard_family(rule):
    """At least one false alarm in one of twenty at most: with no effect, and beside a true one."""
    for arms, m in ((2, 50), (3, 100), (5, 40)):
        for lifts in (0.0, np.r_[np.zeros(arms - 1), 3.0]):
            t, df = family(arms, m, lifts, 4_000)
            without = np.broadcast_to(np.asarray(lifts) == 0, arms)
            assert share(rule(t, df)[:, without].any(axis=1)) < 0.05 + band(0.05, 4_000)


@pytest.mark.parametrize("rule", [bonferroni, holm, dunnett])
def test_all_arms_together_keep_one_promise(rule):
    guard_family(rule)
    caught(guard_family, each_alone)


def test_rules_find_what_the_page_says():
    """Three alike: Dunnett more than Bonferroni, Holm more than both; fewer alarms than apart."""
    t, df = family(3, 100, 1.2)
    found = [rule(t, df).sum() for rule in (bonferroni, dunnett, holm, each_alone)]
    assert found == sorted(found)
    null, _ = family(3, 100)
    alarms = [share(rule(null, df).any(axis=1)) for rule in (bonferroni, holm)]
    assert alarms[0] == alarms[1]
    assert 0.11 < share(each_alone(null, df).any(axis=1)) < 1 - 0.95**3


def test_where_one_page_works_dunnett_finds_it_more_often():
    t, df = family(3, 100, np.r_[1.2, 0, 0], 30_000)
    by_dunnett, by_holm = (share(rule(t, df)[:, 0]) for rule in (dunnett, holm))
    assert by_holm + 0.005 < by_dunnett < by_holm + 0.04


def by_the_page(t, df=None):
    """Of the rules that the page counts with: z for t, and Dunnett's limit drawn."""
    luck = np.random.default_rng(20).normal(size=(4, 100_000))
    largest = np.abs((luck[1:] - luck[0]) / np.sqrt(2)).max(axis=0)
    return function_of("found_by", dunnett=np.quantile(largest, 0.95))(t)


def test_the_rules_as_the_page_counts_them():
    """Three keep the promise where no page works, up to luck; Holm's steps are the library's."""
    null, _ = family(3, 100)
    alarms = {way: share(hits.any(axis=1)) for way, hits in by_the_page(null).items()}
    assert alarms.pop("three tests") > 0.1
    assert all(alarm < 0.05 + band(0.05, 6_000) for alarm in alarms.values())
    t, _ = family(3, 100, 1.2, 12)
    steps = by_the_page(t)["Holm"]
    for row, hits in zip(2 * stats.norm.sf(np.abs(t)), steps, strict=True):
        assert multipletests(row, method="holm")[0].sum() == hits.sum()


def test_intervals_by_dunnetts_limit_hold_together():
    t, df = family(3, 100)
    assert share((dunnett(t, df)).any(axis=1)) == pytest.approx(0.05, abs=band(0.05, 6_000))


def test_holm_is_statsmodels():
    t, df = family(4, 30, 0.8, 8)
    for row, hits in zip(2 * stats.t.sf(np.abs(t), df), holm(t, df), strict=True):
        assert multipletests(row, method="holm")[0].tolist() == hits.tolist()


@pytest.mark.parametrize(("arms", "df"), [(2, 30), (3, 396), (5, 20)])
def test_the_largest_by_luck_is_the_integral_and_scipys(arms, df):
    luck = function_of("t_by_luck", rng=np.random.default_rng(16))(arms, df)
    exact = limit_by_integral(arms, df)
    assert np.quantile(np.abs(luck).max(axis=0), 0.95) == pytest.approx(exact, abs=0.03)
    one_side = optimize.brentq(lambda c: largest_t(c, arms, df) - 0.95, 0, 9)
    assert np.quantile(luck.max(axis=0), 0.95) == pytest.approx(one_side, abs=0.03)


def test_the_best_of_three_exaggerates_and_a_second_experiment_does_not():
    rng = np.random.default_rng(17)
    first, again = (rng.normal([0, 1, 1, 1], 0.5, (50_000, 4)) for _ in (1, 2))
    lifts, seen = first[:, 1:] - first[:, :1], again[:, 1:] - again[:, :1]
    best = lifts.argmax(axis=1)
    assert lifts[:, 0].mean() == pytest.approx(1, abs=0.02)
    assert lifts.max(axis=1).mean() == pytest.approx(1 + 0.5 * 0.8463, abs=0.02)
    assert np.take_along_axis(seen, best[:, None], axis=1).mean() == pytest.approx(1, abs=0.02)


# The probability that it works


def guard_prior(tau):
    """Of effects spread like one, what is given so much probability works as often."""
    works = function_of("probability_it_works")
    rng = np.random.default_rng(18)
    effects = rng.normal(0, 1, 200_000)
    said = works(rng.normal(effects, 1), 1.0, tau)
    for low, high in ((0.5, 0.7), (0.9, 0.95), (0.95, 1)):
        chosen = (said > low) & (said <= high)
        assert said[chosen].mean() == pytest.approx(share(effects[chosen] > 0), abs=0.012)


def test_an_honest_prior_keeps_its_word_and_a_flat_one_does_not():
    guard_prior(1.0)
    caught(guard_prior, 1e6)


def test_the_noisier_the_test_the_more_a_flat_prior_promises_too_much():
    works, rng = function_of("probability_it_works"), np.random.default_rng(21)
    too_much = []
    for se in (0.2, 0.5, 1, 2):
        effects = rng.normal(0, 1, 400_000)
        said = works(rng.normal(effects, se), se, 1e6)
        too_much.append(said[said > 0.9].mean() - share(effects[said > 0.9] > 0))
    assert too_much == sorted(too_much) and too_much[-1] > 0.1
