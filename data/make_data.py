"""Make the simulated files of the course: python data/make_data.py

The numbers come from NumPy's legacy stream, which is frozen (NEP 19), and only uniform and normal
draws, gamma and Poisson variates and shuffles are used: the files come out byte for byte the same
on every platform and NumPy version.
Spoiler: `EFFECT_BY_AGE` is the planted truth that the later notebooks try to find.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from helpers import shop

HERE = Path(__file__).parent
SEED = 42

# Four overlapping groups: (customers, age, income in k$, score) as (mean, sd), then two
# correlations inside the group.
GROUPS = [
    # n, age, income, score, corr(age, income), corr(age, score)
    (55, (25, 6.0), (41, 18), (58, 22), 0.40, -0.35),
    (40, (33, 4.5), (86, 16), (81, 9), 0.30, -0.20),
    (40, (40, 11.0), (85, 17), (22, 13), -0.20, 0.30),
    (65, (52, 12.0), (48, 16), (42, 20), -0.35, -0.30),
]
AGE_EDGES = [30, 40]
# Change in conversion rate: under 30, 30 to 39, 40 and over.
EFFECT_BY_AGE = np.array([0.030, 0.010, -0.010])


def make_customers(seed: int = SEED) -> pd.DataFrame:
    """200 customers, one row each, with the five columns of the original analysis."""
    rng = np.random.RandomState(seed)
    blocks = []
    for n, (age, age_sd), (income, income_sd), (score, score_sd), r_income, r_score in GROUPS:
        z = rng.normal(size=(3, n))
        older = z[0]
        earns = r_income * z[0] + np.sqrt(1 - r_income**2) * z[1]
        spends = r_score * z[0] + np.sqrt(1 - r_score**2) * z[2]
        blocks.append([age + age_sd * older, income + income_sd * earns, score + score_sd * spends])
    table = (
        np.rint(np.hstack(blocks)).astype(int).T[rng.permutation(sum(group[0] for group in GROUPS))]
    )
    return pd.DataFrame(
        {
            "CustomerID": np.arange(1, len(table) + 1),
            "Gender": np.where(rng.random_sample(len(table)) < 0.56, "Female", "Male"),
            "Age": table[:, 0].clip(18, 75),
            "Annual Income (k$)": table[:, 1].clip(12, 140),
            "Spending Score (1-100)": table[:, 2].clip(1, 100),
        }
    )


def pick(rng: np.random.RandomState, options: dict[str, float], size: int) -> np.ndarray:
    """Draw `size` names with the given shares."""
    return np.array(list(options))[
        np.searchsorted(np.cumsum(list(options.values()))[:-1], rng.random_sample(size))
    ]


def make_log(seed: int = SEED, n: int = 20_000) -> pd.DataFrame:
    """An experiment log of `n` users in two arms; the effect on conversion depends on the age."""
    rng = np.random.RandomState(seed)
    age = 18 + np.floor(55 * rng.gamma(2.2, 1 / 6.0, size=n).clip(0, 1)).astype(int)
    country = pick(rng, {"US": 0.46, "DE": 0.26, "BR": 0.17, "JP": 0.09, "NZ": 0.02}, n)
    loyalty = rng.gamma(1.2, 1.0, size=n)
    past_purchases = rng.poisson(1.7 * loyalty)
    mobile = rng.random_sample(n) < np.where(age < 35, 0.75, 0.50)
    device = np.where(mobile, "mobile", pick(rng, {"desktop": 0.82, "tablet": 0.18}, n))
    treated = rng.random_sample(n) < 0.5

    by_country = (
        pd.Series(country)
        .map({"US": 0.010, "DE": 0.0, "BR": -0.015, "JP": 0.005, "NZ": 0.0})
        .to_numpy()
    )
    by_device = np.where(device == "desktop", 0.015, 0.0)
    rate = 0.045 + 0.035 * loyalty.clip(0, 6) + by_country + by_device
    rate = rate + treated * EFFECT_BY_AGE[np.digitize(age, AGE_EDGES)]
    converted = rng.random_sample(n) < rate
    basket = np.exp(3.3 + 0.08 * loyalty.clip(0, 6) + rng.normal(0, 0.6, size=n))
    return pd.DataFrame(
        {
            "user_id": np.arange(100_001, 100_001 + n),
            "age": age,
            "country": country,
            "past_purchases": past_purchases,
            "device": device,
            "group": np.where(treated, "treatment", "control"),
            "converted": converted.astype(int),
            "revenue": np.where(converted, basket, 0.0).round(2),
        }
    )


def to_csv_bytes(table: pd.DataFrame) -> bytes:
    """The table as the file holds it: utf-8, comma, one line feed per row."""
    return table.to_csv(index=False, lineterminator="\n").encode("utf-8")


if __name__ == "__main__":
    made = {"customers.csv": make_customers(), "ab_test_data.csv": make_log()}
    for name, table in (made | {"shop_customers.csv": shop.customers(SEED)}).items():
        (HERE / name).write_bytes(to_csv_bytes(table))
        print(f"data/{name}: {len(table):,} rows")
