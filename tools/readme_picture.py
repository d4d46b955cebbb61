"""Draw the README's picture, one true effect in many verdicts: python -m tools.readme_picture"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from helpers import data, experiment, inference, plots, segments

EFFECT = 3.0
PICTURE = Path(__file__).parent / "one_effect_many_verdicts.png"


def worlds() -> dict[int, pd.DataFrame]:
    """Per cluster of the course's customers: Welch's test for each of a thousand seeds."""
    clustered = segments.cluster_customers(data.load_customers())
    found = {}
    for cluster, rows in clustered.groupby("Cluster"):
        outcome, treated = experiment.replay_seeds(rows[experiment.OUTCOME], range(1000), EFFECT)
        found[cluster] = inference.welch_many(outcome, treated)
    return found


def write_labels(ax: Axes) -> None:
    """The truth as a line, and what the axes show."""
    ax.axvline(EFFECT, color=plots.TRUTH, linestyle="--")
    truth = f"the truth: {EFFECT:+g} in every cluster"
    ax.text(EFFECT + 0.2, -0.52, truth, color=plots.TRUTH, fontsize=9)
    ax.set(xlabel="estimated lift (points)", ylabel="cluster", yticks=[0, 1, 2, 3])
    ax.set(xlim=(None, 23.5), ylim=(3.6, -0.75))


def draw() -> None:
    """Draw the picture and store it."""
    plots.use_style()
    fig, ax = plt.subplots(figsize=(8, 3.8))
    jitter = np.random.default_rng(42).uniform(-0.33, 0.33, size=1000)
    for cluster, runs in worlds().items():
        clear = (runs["p_value"] < 0.05).to_numpy()
        ax.plot(runs["lift"][~clear], cluster + jitter[~clear], ".", color="#BBBBBB", ms=3)
        ax.plot(runs["lift"][clear], cluster + jitter[clear], "d", color=plots.BLUE, ms=4)
        share = f"{clear.mean():.0%} significant"
        ax.text(27, cluster, share, ha="right", va="center", color=plots.BLUE, fontsize=9)
    write_labels(ax)
    fig.savefig(PICTURE, metadata={"Software": None}, dpi=110)


if __name__ == "__main__":
    draw()
