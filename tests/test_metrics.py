"""Ratios of sums and capped values: honest over users, equal to a clustered regression, refused."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.regression.linear_model import OLS, WLS

from helpers import metrics
from helpers.inference import compare_means
from tests.guards import caught, covers, fields, guard_message

RUNS = 1_000


def users(rng, n, taste=0.2):
    """Clicks and views of n users; those who click much look at fewer pages."""
    habit = rng.beta(1, 1 / taste - 1, n)
    views = rng.geometric(0.1 + 0.3 * habit)
    return rng.binomial(views, habit).astype(float), views.astype(float)


def alike(rng, n, taste):
    """Users who all click on the same share of their views, and some have many."""
    views = rng.geometric(0.15, n)
    return rng.binomial(views, taste).astype(float), views.astype(float)


# The delta method


def small_arms():
    rng = np.random.default_rng(7)
    return *users(rng, 60), *users(rng, 45)


def test_it_is_the_textbooks_formula():
    """Deng, Knoblich and Lu (2018): variances and the covariance of top and bottom."""
    clicks_c, views_c, clicks_t, views_t = small_arms()
    error2 = 0.0
    for top, bottom in ((clicks_c, views_c), (clicks_t, views_t)):
        (var_top, cov), (_, var_bottom) = np.cov(top, bottom)
        ratio = top.mean() / bottom.mean()
        spread2 = var_top - 2 * ratio * cov + ratio**2 * var_bottom
        error2 += spread2 / bottom.mean() ** 2 / len(top)
    found = metrics.compare_ratios(*small_arms())
    assert found.se == pytest.approx(error2**0.5, rel=1e-12)
    assert found.lift == pytest.approx(
        clicks_t.sum() / views_t.sum() - clicks_c.sum() / views_c.sum(), rel=1e-12
    )
    assert found.df == np.inf and found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.t)))


def clustered(rows: bool):
    """Estimate and squared error of statsmodels: rows clustered by user, or weighted users."""
    clicks_c, views_c, clicks_t, views_t = small_arms()
    clicks, views = np.append(clicks_c, clicks_t), np.append(views_c, views_t)
    arm = np.arange(len(clicks)) >= len(clicks_c)
    if not rows:
        fit = WLS(clicks / views, np.column_stack([np.ones(len(arm)), arm]), weights=views)
        fit = fit.fit(cov_type="HC0")
    else:
        user = np.arange(len(views)).repeat(views.astype(int))
        place = np.concatenate([np.arange(n) for n in views])
        design = np.column_stack([np.ones(len(user)), arm[user]])
        how = {"groups": user, "use_correction": False}
        fit = OLS((place < clicks[user]).astype(float), design).fit("pinv", "cluster", how)
    return fit.params[1], fit.bse[1] ** 2


@pytest.mark.parametrize("rows", [True, False])
def test_it_is_a_regression_clustered_by_user(rows):
    """Which divides by n where we divide by n - 1, in each arm."""
    arms = small_arms()
    pairs = (arms[:2], arms[2:])
    over_n = sum(metrics.pulls(top, bottom).var() / len(top) for top, bottom in pairs)
    lift, error2 = clustered(rows)
    found = metrics.compare_ratios(*arms)
    assert (found.lift, over_n) == pytest.approx((lift, error2), rel=1e-9)
    assert over_n < found.se**2 < over_n * 45 / 44 * 1.000001


def test_over_ones_it_is_welchs_error():
    clicks_c, _, clicks_t, _ = small_arms()
    ours = metrics.compare_ratios(clicks_c, np.ones(60), clicks_t, np.ones(45))
    names = ("lift", "se", "t", "mean_control", "sd_control", "mean_treatment", "sd_treatment")
    assert fields(ours, *names) == pytest.approx(
        fields(compare_means(clicks_c, clicks_t), *names), rel=1e-9
    )


def guard_copies(compare):
    """Five copies of every row change nothing, once a user's rows are added up."""
    whole, copied = compare(*small_arms()), compare(*(5 * a for a in small_arms()))
    assert copied.se == pytest.approx(whole.se) and copied.lift == pytest.approx(whole.lift)


def by_row(clicks_c, views_c, clicks_t, views_t):
    """Each view taken for a coin of its own."""
    rows = [
        np.repeat([1.0, 0.0], [int(clicks.sum()), int(views.sum() - clicks.sum())])
        for clicks, views in ((clicks_c, views_c), (clicks_t, views_t))
    ]
    return compare_means(*rows)


def views_fixed(clicks_c, views_c, clicks_t, views_t):
    """Clicks over the mean of views, as if the views were no luck."""
    return compare_means(clicks_c / views_c.mean(), clicks_t / views_t.mean())


def mean_of_ratios(clicks_c, views_c, clicks_t, views_t):
    return compare_means(clicks_c / views_c, clicks_t / views_t)


def test_five_copies_of_every_row_teach_nothing():
    guard_copies(metrics.compare_ratios)
    caught(guard_copies, by_row)


def guard_level(compare, n_c, n_t, tastes=(0.2, 0.2), draw=users):
    """Of so many intervals as promised hold the truth, in these arms; alarms are the others."""
    rng, truth = np.random.default_rng(n_c + n_t), ratio_of(tastes[1]) - ratio_of(tastes[0])
    arms = ((n_c, tastes[0]), (n_t, tastes[1]))
    found = [compare(*(x for n, taste in arms for x in draw(rng, n, taste))) for _ in range(RUNS)]
    held = covers(*np.array([fields(r, "ci_low", "ci_high") for r in found]).T, truth)
    luck = 4 * np.sqrt(0.05 * 0.95 / RUNS)
    small = 0.6 / min(n_c, n_t)  # few users: the normal quantile is a little short
    assert 0.95 - luck - small <= held <= 0.95 + luck


def ratio_of(taste):
    """The true clicks per view, over an even grid of habits."""
    grid = (np.arange(200_000) + 0.5) / 200_000
    habit = stats.beta.ppf(grid, 1, 1 / taste - 1)
    views = 1 / (0.1 + 0.3 * habit)
    return (habit * views).mean() / views.mean()


@pytest.mark.parametrize(("n_c", "n_t"), [(50, 50), (300, 300), (360, 40), (40, 360)])
def test_the_level_is_kept(n_c, n_t):
    guard_level(metrics.compare_ratios, n_c, n_t)


def test_the_truth_is_held_where_there_is_an_effect():
    guard_level(metrics.compare_ratios, 200, 200, (0.2, 0.3))


@pytest.mark.parametrize(("faulty", "draw"), [(by_row, users), (views_fixed, alike)])
def test_an_error_that_is_not_by_user_is_caught(faulty, draw):
    """Rows of alike users are coins of their own; then the luck of views must be taken off."""
    guard_level(metrics.compare_ratios, 100, 100, draw=draw)
    caught(lambda compare: guard_level(compare, 100, 100, draw=draw), faulty)


def test_the_mean_of_ratios_is_another_question():
    caught(lambda compare: guard_level(compare, 500, 500, (0.2, 0.4)), mean_of_ratios)


def test_swapping_the_arms_mirrors_the_lift():
    arms = small_arms()
    one, other = metrics.compare_ratios(*arms), metrics.compare_ratios(*arms[2:], *arms[:2])
    assert fields(other, "lift", "ci_low", "ci_high", "t") == pytest.approx(
        [-x for x in fields(one, "lift", "ci_high", "ci_low", "t")]
    )
    assert other.p_value == pytest.approx(one.p_value)


def test_other_units_and_another_confidence():
    clicks_c, views_c, clicks_t, views_t = small_arms()
    one = metrics.compare_ratios(*small_arms())
    thousand = metrics.compare_ratios(1000 * clicks_c, views_c, 1000 * clicks_t, views_t, 0.99)
    assert thousand.lift == pytest.approx(1000 * one.lift)
    assert thousand.t == pytest.approx(one.t)
    half = stats.norm.ppf(0.995) * thousand.se
    assert thousand.ci_high - thousand.lift == pytest.approx(half)


def test_pulls_add_up_to_nothing_and_have_the_error_of_the_ratio():
    clicks, views = users(np.random.default_rng(3), 500)
    pulls = metrics.pulls(clicks, views)
    assert pulls.sum() == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(4)
    drawn = rng.integers(500, size=(4_000, 500))
    spread = (clicks[drawn].sum(axis=1) / views[drawn].sum(axis=1)).std()
    assert pulls.std(ddof=1) / np.sqrt(500) == pytest.approx(spread, rel=0.06)


def test_one_arm_may_be_the_same_for_all_its_users():
    found = metrics.compare_ratios([1, 2, 3], [2, 4, 6], [1, 0, 3], [2, 4, 6])
    assert found.sd_control == 0 < found.sd_treatment


FINE = ([1, 2], [2, 3])
BAD_RATIOS = {
    "blank": ([1, np.nan], [2, 3], *FINE, "control arm has blank"),
    "text": (*FINE, ["a", "b"], [2, 3], "treatment arm has values that are not numbers"),
    "one user": ([1], [2], *FINE, "control arm needs two values for each of two or more users"),
    "lengths": (*FINE, [1, 2, 3], [1, 2], "treatment arm needs two values"),
    "a table": ([[1, 2]], [[2, 3]], *FINE, "control arm needs two values"),
    "negative": (*FINE, [1, 2], [-1, 3], "the treatment arm is divided by must be 0 or more"),
    "nothing": ([1, 2], [0, 0], *FINE, "the control arm is divided by", "more than 0"),
    "no variation": ([1, 2], [2, 4], [2, 3], [4, 6], "Neither arm varies"),
}


@pytest.mark.parametrize("fault", BAD_RATIOS)
def test_ratios_that_cannot_be_compared(fault):
    arms, said = BAD_RATIOS[fault][:4], BAD_RATIOS[fault][4:]
    guard_message(lambda: metrics.compare_ratios(*arms), *said)


def test_a_confidence_that_is_none():
    guard_message(lambda: metrics.compare_ratios(*FINE, [2, 1], [2, 3], confidence=1), "confidence")


# Caps


def test_what_is_above_the_limit_becomes_the_limit():
    values = [0, 3, 100, 7.5]
    assert metrics.capped(values, 7).tolist() == [0, 3, 7, 7]
    assert metrics.capped(values, 1_000).tolist() == values
    assert values == [0, 3, 100, 7.5]
    assert metrics.capped([5, 5], 3).tolist() == [3, 3]  # nothing was lost


def test_the_limit_is_a_linear_quantile():
    assert metrics.quantile_of([0, 10, 20, 30], 0.5) == 15
    assert metrics.quantile_of(range(101), 0.99) == pytest.approx(99)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: metrics.capped([1, 2], 1), "limit is 1, and then all values are the same"),
        (lambda: metrics.capped([1, 2], "1"), "limit is '1'"),
        (lambda: metrics.capped([1, 2], np.nan), "limit is nan"),
        (lambda: metrics.capped([1, None], 1.5), "list of values has blank"),
        (lambda: metrics.quantile_of([1, 2], 1), "cap is 1"),
        (lambda: metrics.quantile_of([1, 2], 0), "cap is 0"),
        (lambda: metrics.quantile_of(["a"], 0.9), "not numbers"),
    ],
)
def test_caps_that_cannot_be_used(call, said):
    guard_message(call, said)
