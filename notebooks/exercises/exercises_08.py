"""The exercises of notebook 08: right answers, known mistakes and hints, for the run that asks."""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
from scipy import optimize, stats

from helpers import InputError, data, experiment, power, segments, sequential, words
from helpers.exercises import Exercise, letter_question

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "worth": 1.0,
    "looks": 5,
    "customers_per_week": 10,
    "seed": 42,
}
PREDICTIONS = {
    "08-fifty-looks": "of 100 tests",
    "08-planned-customers": "O'Brien-Fleming, for every 100 with one look",
    "08-always-customers": "always valid, for every 100 with one look",
    "08-twice-as-often": "per cent",
}
USUAL = stats.norm.ppf(0.975)
nodes_of = cache(np.polynomial.legendre.leggauss)


def scores_of(run: SimpleNamespace) -> np.ndarray:
    clustered = segments.cluster_customers(data.load_customers(run.customers_file), run.n_clusters)
    return segments.select_cluster(clustered, run.target_cluster)[experiment.OUTCOME].to_numpy(
        float
    )


def aim_of(run: SimpleNamespace) -> float:
    return abs(run.effect) if run.effect else run.worth


def stopped_somewhere(limits: np.ndarray, drift: float = 0.0) -> float:
    """Share of tests beyond a limit at some evenly spaced look: the recursion once more."""
    nodes, weights = nodes_of(160)
    places, mass = np.zeros(1), np.ones(1)
    for look, limit in enumerate(limits, start=1):
        edge = limit * math.sqrt(look)
        steps = edge * nodes[:, None] - places - drift / math.sqrt(len(limits))
        arrived = np.exp(-(steps**2) / 2) @ mass / math.sqrt(2 * math.pi)
        places, mass = edge * nodes, edge * weights * arrived
    return float(1 - mass.sum())


def other_level(run: SimpleNamespace) -> Exercise:
    _ = sequential.bounds(run.looks, "bonferroni")  # refuses impossible looks
    level = (0.1, 0.2, 0.02)[run.seed % 3]  # as in the notebook
    times, limit = np.arange(1, run.looks + 1) / run.looks, stats.norm.isf(level / 2)

    def at_each(z: float) -> np.ndarray:
        return 100 * sequential.crossing_probabilities(np.full(run.looks, z), times)

    right, independent = at_each(limit).sum(), 1 - (1 - level) ** run.looks
    return Exercise(
        right=right,
        also=100 * stopped_somewhere(np.full(run.looks, limit)),
        because=f"With {words.count(run.looks, 'look')} the promised "
        f"{words.given(100 * level)} in a hundred are {words.number(right)}. "
        + (
            "One look alone keeps any promise."
            if run.looks == 1
            else f"Independent looks would make it {words.number(100 * independent)}; but looks at "
            "one test share their customers."
        ),
        wrong={
            "independent looks": (
                100 * independent,
                "That formula is for independent tests. The looks at one test share their "
                "customers.",
            ),
            "levels added up": (
                100 * level * run.looks,
                "Added up, false alarms are counted twice: a path far out now was mostly far out "
                "before.",
            ),
            "no inflation": (
                100 * level,
                "That is the promise for a single look. (Or did you raise the limit, as Pocock "
                "does? This company keeps the limit of a single look.)",
            ),
            "the usual limit": (
                at_each(USUAL).sum(),
                "That is the limit for p below 0.05. Which z leaves this company's share outside, "
                "both sides together?",
            ),
            "a limit for one side": (
                at_each(stats.norm.isf(level)).sum(),
                "This z leaves the whole share beyond it on *each* side. |z| counts both sides: "
                "half of it on each.",
            ),
            "one side counted": (
                right / 2,
                "That is half of it: false alarms on one side alone. |z| counts both.",
            ),
            "the last look alone": (
                at_each(limit)[-1],
                "That is the share of tests that stop at the *last* look. Add up all looks.",
            ),
            "a share": (right / 100, "That is a share. Per cent: times 100."),
            "a level divided by the looks": (
                at_each(stats.norm.isf(level / 2 / run.looks)).sum(),
                "Here the level was divided by the looks. That is Bonferroni's cure; they do "
                "nothing of it.",
            ),
            "counted in simulated tests": (
                right,
                "Near, but not exact. Counted in simulated tests? Here it should be computed.",
                0.3 + 0.03 * right,
            ),
        },
        tolerance=0.08,  # one decimal, and the grid of the notebook's own calculation
        hints=(
            "One list of limits and one list of times, as where the helper was checked "
            '("Exactly, without simulation").',
            "`stats.norm.isf(...)` gives the limit above which half of the level lies. Repeat it "
            "for each look; what `sequential.crossing_probabilities` returns is to be added up.",
        ),
    )


def watched_tests(run: SimpleNamespace) -> tuple[np.ndarray, np.ndarray]:
    """Arms and outcomes of the thousand tests, by the same stream as in the notebook."""
    scores, rng, shape = scores_of(run), np.random.default_rng(run.seed), (1_000, 50 * 20)
    arms = rng.random(shape) < 0.5
    return arms, rng.choice(scores, shape) - scores.mean() + rng.normal(0, 5, shape)


def lifts_and_errors(arms: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    means, errors2 = [], []
    for arm in (~arms, arms):
        n, total, squares = (np.cumsum(a, axis=1)[:, 19::20] for a in (arm, y * arm, y**2 * arm))
        means.append(total / np.maximum(n, 1))
        variance = (squares - n * means[-1] ** 2) / np.maximum(n - 1, 1)
        errors2.append(variance / np.maximum(n, 1))
    return means[1] - means[0], np.sqrt(errors2[0] + errors2[1])


def by_winnings(lift: float, se: float, tau: float) -> list[float]:
    """Both ends: where a bet on lifts of typical size tau has won twenty times its stake."""

    def winnings_left(distance: float) -> float:
        ahead = stats.norm.logpdf(distance, 0, math.hypot(se, tau)) - stats.norm.logpdf(
            distance, 0, se
        )
        return ahead - math.log(20)

    end = se
    while winnings_left(end) < 0:
        end *= 2
    half = optimize.brentq(winnings_left, 0, end, xtol=1e-12)
    return [lift - half, lift + half]


def first_alarm(run: SimpleNamespace) -> Exercise:
    words.check_worth(run.worth)
    arms, y = watched_tests(run)
    critical = stats.t.ppf(0.975, 20 * np.arange(1, 51) - 2)
    lifts, errors = lifts_and_errors(arms, y)
    beyond = np.abs(lifts / errors) > critical
    if not beyond.any():
        raise InputError("None of its thousand tests raised a false alarm.")
    first = np.where(beyond.any(axis=1), beyond.argmax(axis=1), 50)  # 50: never
    one, earliest = int(beyond.any(axis=1).argmax()), int(first.argmin())
    late = int(((first >= 10) & (first < 50)).argmax())  # the test in the notebook's picture
    lift, se, look = lifts[one], errors[one], int(first[one])
    best, customers = int(np.abs(lift / se).argmax()), 20 * (look + 1)

    def interval(at: int, tau: float = run.worth, test: int = one) -> list[float]:
        ends = sequential.always_valid_interval(lifts[test, at], errors[test, at], tau)
        return [float(end) for end in ends]

    right = interval(look)
    treated, seen = arms[one, :customers], y[one, :customers]
    parts = [seen[~treated], seen[treated]]
    errors2 = [part.var(ddof=1) / len(part) for part in parts]
    zero = "holds" if right[0] <= 0 <= right[1] else "leaves out"
    return Exercise(
        right=right,
        also=by_winnings(parts[1].mean() - parts[0].mean(), math.sqrt(sum(errors2)), run.worth),
        because=f"The naive reader stopped after {words.count(customers, 'customer')}, because "
        "zero was outside the usual interval. This one allows for stopping at any moment. It "
        f"{zero} zero, and is {words.number(np.ptp(right) / (2 * critical[look] * se[look]), 1)} "
        "times as wide. Compared with the usual one it is tightest where the standard error is "
        f"about a third of tau; here the error is {words.number(se[look] / run.worth)} times tau.",
        wrong={
            "the usual interval": (
                [lift[look] - critical[look] * se[look], lift[look] + critical[look] * se[look]],
                "That is the usual interval. It promises something for one look that was fixed "
                "beforehand.",
            ),
            "tau is the planted effect": (
                interval(look, aim_of(run)),
                "Right test and look, another tau: that of the notebook. Here the plan said "
                "`worth`.",
            ),
            "at the last look": (
                interval(-1),
                "That is the interval at the end. Where would the naive reader have stopped?",
            ),
            "at the best look": (
                interval(best),
                "That is the look where t was farthest out. Nobody knows beforehand which it will "
                "be: the naive reader stops at the *first* one beyond the limit.",
            ),
            "the test with the earliest alarm": (
                interval(int(first[earliest]), test=earliest),
                "That is the test whose alarm came earliest. Meant is the first row that raised "
                "any.",
            ),
            "the test in the picture": (
                interval(int(first[late]) % 50, test=late),
                "That is the test of the picture, drawn there because its alarm came *late*. Take "
                "the first row that raised any.",
            ),
            "the squared error": (
                [
                    float(end)
                    for end in sequential.always_valid_interval(
                        lift[look], se[look] ** 2, run.worth
                    )
                ],
                "The squared standard error went in. The helper squares it itself.",
            ),
            "t instead of the lift": (
                [
                    float(end)
                    for end in sequential.always_valid_interval(
                        lift[look] / se[look], 1.0, run.worth
                    )
                ],
                "That is in standard errors. tau is in points, so the lift and its error must be, "
                "too.",
            ),
            "arms swapped": (
                [-right[1], -right[0]],
                "The signs are turned round: control minus treatment, or a lift without its sign.",
            ),
            "ends swapped": (
                [right[1], right[0]],
                "Both ends are there. Give the lower one first.",
            ),
            "around zero": (
                (right[1] - right[0]) / 2 * np.array([-1.0, 1.0]),
                "That interval lies around zero. It belongs around the lift that was seen.",
            ),
        },
        hints=(
            "Two numbers say where to look: which test, and which of its fifty looks. `argmax` on "
            "a list of True and False finds the first True.",
            "`ever.argmax()` is the test, `beyond[...].argmax()` its look. Then `lift` and `se` of "
            "that test and look go into `sequential.always_valid_interval`.",
        ),
    )


def own_plan(run: SimpleNamespace) -> Exercise:
    words.check_worth(run.worth)
    scores, k = scores_of(run), 2 + run.seed % 3
    sd = math.sqrt(scores.var(ddof=1) + 25) if len(scores) > 1 else 5.0
    drift = USUAL + stats.norm.ppf(0.8)
    fixed = 2 * power.sample_size(run.worth, sd)

    def found(limits: np.ndarray, room: float) -> np.ndarray:
        times = np.arange(1, len(limits) + 1) / len(limits)
        return sequential.crossing_probabilities(limits, times, drift * math.sqrt(room))

    def room_of(limits: np.ndarray, aim: float = 0.8) -> float:
        return optimize.brentq(lambda room: found(limits, room).sum() - aim, 0.05, 10)

    limits = sequential.bounds(k, "obrien-fleming")
    room = room_of(limits)
    stops, times = found(limits, room), np.arange(1, k + 1) / k
    shape = np.sqrt(k / np.arange(1, k + 1))
    constant = optimize.brentq(lambda c: stopped_somewhere(c * shape) - 0.05, 1, 5)
    own_room = optimize.brentq(
        lambda r: stopped_somewhere(constant * shape, drift * math.sqrt(r)) - 0.8, 0.05, 10
    )
    weeks = room * fixed / run.customers_per_week
    return Exercise(
        right=room * fixed,
        also=own_room * fixed,
        because=f"{words.count(k, 'look')} with |z| above "
        f"{', '.join(words.number(z) for z in limits)}: at most "
        f"{words.count(math.ceil(room * fixed), 'customer')}, {words.percent(room - 1)} more than "
        f"one look at the end takes, and {words.count(math.ceil(weeks), 'week')} if the test runs "
        "to its end."
        + (
            f" That is about {words.count(round(weeks / 52), 'year')}: is so small a lift worth it?"
            if weeks >= 78
            else ""
        ),
        wrong={
            "planned for the planted effect": (
                room * 2 * power.sample_size(aim_of(run), sd),
                "That plan is made for the planned effect of the notebook. Here it is the smallest "
                "lift worth having.",
            ),
            "one arm only": (
                room * fixed / 2,
                "That is one arm. The plan counts the customers of both.",
            ),
            "no room": (
                fixed,
                "That is enough for one look at the end. Limits for more looks lose some power; it "
                "must be bought back.",
            ),
            "Pocock's limits": (
                room_of(sequential.bounds(k, "pocock")) * fixed,
                "That is the room that Pocock's limit needs. O'Brien-Fleming's are strict early, "
                "and mild at the end.",
            ),
            "Bonferroni's limits": (
                room_of(sequential.bounds(k, "bonferroni")) * fixed,
                "That is the room that Bonferroni's limit needs. It ignores that the looks "
                "overlap.",
            ),
            "the notebook's number of looks": (
                room_of(sequential.bounds(run.looks, "obrien-fleming")) * fixed,
                "That is for the number of looks in the notebook's plan. Yours is another.",
            ),
            "the average": (
                room * fixed * (times @ stops + 1 - stops.sum()),
                "That many are needed on average if the effect is there. How many must the plan "
                "allow for?",
            ),
            "drift in proportion to the customers": (
                math.sqrt(room) * fixed,
                "Twice the customers do not double the mean of z: it grows with their *root*.",
            ),
            "the usual limit": (
                room_of(np.full(k, USUAL)) * fixed,
                "With the usual limit at each look the plan needs fewer customers, and breaks its "
                "promise.",
            ),
        },
        hints=(
            "Two factors: the customers of a fixed test for a lift of `worth`, and the room that "
            "the stricter limits need, as in `at_equal_power`.",
            "The first is `2 * power.sample_size(worth, sd)`. For the second put your limits and "
            "*your* times (the notebook's are for `looks` looks) into `crossing_probabilities`, "
            "with the drift times the root of the room, and let `optimize.brentq` find the room "
            "where the sum is 0.8.",
        ),
        tolerance=min(max(2.0, room * fixed / 1000), (room - 1) * fixed / 3),
    )


def three_stories(run: SimpleNamespace) -> Exercise:
    twice = sequential.crossing_probabilities([USUAL, USUAL], [0.5, 1.0]).sum()
    return letter_question(
        run.seed,
        texts=[
            None,  # the always-valid interval
            (
                "a look held earlier",
                "Spending lets the calendar choose the next look. Who chose it here?",
            ),
            (
                "as many added again",
                "Two looks at the usual limit. The second does not become free by not being "
                "planned.",
            ),
        ],
        because="Its promise covers every moment at once, so any way of stopping is allowed, if "
        "tau was fixed beforehand. The team with the spending limits let the results choose the "
        "time of a look: no guarantee covers that, even where it does little harm. And whoever "
        f"adds as many again after each near miss goes toward {words.percent(twice)}, the price of "
        "two looks at the usual limit.",
        others={
            "none": (
                "none",
                "One of them used a tool that allows stopping at any moment, and used it as "
                "promised.",
            ),
            "all": (
                "all",
                "For two of them, ask what they would have done had the results been different.",
            ),
        },
        hints=(
            "For each story ask: what was fixed before the first customer, and what was decided "
            "after a look at the results?",
            "Deciding by the results when to *stop* is what these tools are made for. Deciding by "
            "the results when to *look*, or to go on past the end, is another matter, for all but "
            "one of them.",
        ),
    )


EXERCISES = {
    "08-other-level": other_level,
    "08-first-alarm": first_alarm,
    "08-own-plan": own_plan,
    "08-three-stories": three_stories,
}
