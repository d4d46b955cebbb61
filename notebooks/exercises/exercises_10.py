"""The exercise of notebook 10: right answers, known mistakes and hints, for the run that asks."""

import hashlib
from types import SimpleNamespace

from helpers import words
from helpers.exercises import Exercise

KNOBS = {
    "customers_file": None,
    "n_clusters": 4,
    "target_cluster": 1,
    "effect": 3.0,
    "worth": 1.0,
    "rows": 200_000,
    "folder": None,
    "extras": False,
    "seed": 42,
}
PREDICTIONS = {
    "10-same-salt": "of 100 treated in spring, when summer forgot to change the salt",
    "10-own-salts": "of 100 treated in spring, when each has its own",
    "10-numbers": "numbers, for all arms of all segments together",
}
USERS = range(30_000)


def places(salt: str) -> list[int]:
    """The place of each of the users, from the first four bytes of the hash."""
    texts = (f"{user}:{salt}".encode() for user in USERS)
    return [int.from_bytes(hashlib.md5(text).digest()[:4], "big") % 1000 for text in texts]


def autumn(run: SimpleNamespace) -> Exercise:
    salt = {season: f"{season}-{run.seed}" for season in ("spring", "autumn")}
    spring, fall = places(salt["spring"]), places(salt["autumn"])
    treated = {user for user in USERS if spring[user] >= 500}
    reached = {user for user in USERS if fall[user] >= 800}
    digits = [hashlib.md5(f"{user}:{salt['autumn']}".encode()).hexdigest() for user in USERS]
    right = len(treated & reached)

    def both(lower: float, chosen: list[int], low: float = 800, high: float = 1000) -> int:
        return sum(a >= lower and low <= b < high for a, b in zip(spring, chosen, strict=True))

    close = "That is what one would expect. Count them, one user after the other."
    boundary = "Very close. Mind the boundary: with which place do the upper 200 of 0 to 999 begin?"
    return Exercise(
        right=right,
        also=sum(int(digits[user][:8], 16) % 1000 >= 800 for user in USERS if spring[user] > 499),
        because=f"Of the {words.count(len(reached), 'user')} that autumn reaches, "
        f"{words.percent(right / len(reached), 0)} were treated in spring, against "
        f"{words.percent(len(treated) / len(USERS), 0)} of all. With a salt of its own the new "
        "coin knows nothing of the old one; with that of spring it would have been every one of "
        "them.",
        wrong={
            "spring's salt again": (
                sum(place >= 800 for place in spring),
                "Here both seasons have the salt of spring, so autumn reaches none but spring's "
                "treated.",
            ),
            "the lower end": (
                both(500, fall, 0, 200),
                "These are the lowest places of autumn. Which end does the plan name?",
            ),
            "autumn alone": (
                len(reached),
                "That is everybody whom autumn reaches. Who of them was treated in spring as well?",
            ),
            "half of autumn's places": (
                both(500, fall, 500),
                "That would be right if autumn treated half of the users. It treats a fifth.",
            ),
            "control in spring": (
                len(reached - treated),
                "These were control in spring. The upper half of the places is treatment.",
            ),
            "the upper fifth of spring": (
                sum(a >= 800 and b >= 800 for a, b in zip(spring, fall, strict=True)),
                "Spring treated half of the users, from place 500 on, not a fifth.",
            ),
            "either of them": (
                len(treated | reached),
                "These are the users treated in spring *or* in autumn. The question asks for both.",
            ),
            "a share": (
                right / len(USERS),
                "That is a share of the users. The question asks for a number of users.",
            ),
            "by the plan, not counted": (len(USERS) / 10, close),
            "the boundary place": (both(500, fall, 801), boundary),
            "one place too many": (both(500, fall, 799), boundary),
            "both boundaries": (both(501, fall, 801), boundary),
            "the other boundary": (
                both(501, fall),
                "Very close: a place on the boundary is missing. Where does the upper half of 0 to "
                "999 begin?",
            ),
            "the seed not in the salt": (
                both(500, places("autumn-{seed}")),
                "Is the seed in the salt of autumn? Without the f in front of the quotes it is "
                f"not: in this run it should read {salt['autumn']}.",
            ),
            "a salt without the seed": (
                both(500, places("autumn")),
                f"Is the seed in the salt of autumn? In this run it should read {salt['autumn']}.",
            ),
            "the first thousand alone": (
                sum(user in reached for user in treated if user < 1000),
                "That is for the first thousand users. The question asks for thirty thousand.",
            ),
        },
        hints=(
            "`place(user, ...)` gives one user's place. Which salt for which season, and from "
            "which place on is a user treated?",
            "Go through `range(30_000)` and count the users for whom two things are true: the "
            "place in spring is in the upper half, the place in autumn among the upper 200 of the "
            "places 0 to 999.",
        ),
        tolerance=0.01,
    )


EXERCISES = {"10-autumn": autumn}
