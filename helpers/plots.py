"""One plot style, colour-blind safe, and one way to show a figure: with a text that says it."""

import base64
from io import BytesIO

import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from IPython.display import display
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart with every common form of colour vision, and in grey.
CYCLE = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#8A8A8A"]
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW, GREY = CYCLE
CONTROL, TREATMENT, TRUTH, INK = GREY, BLUE, VERMILION, "#222222"
MARKERS = "osD^vPX*"


def use_style() -> None:
    """Set the course's look for every figure that follows, and let no table be taken for formulas.

    $5 is money, and text of a file is shown as it stands.
    """
    pd.set_option("display.html.use_mathjax", False)
    plt.rcParams.update(
        {
            "figure.figsize": (7.5, 3.8),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.prop_cycle": cycler(color=CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "axes.edgecolor": INK,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "grid.color": "#DDDDDD",
            "text.parse_math": False,
        }
    )


def show(figure: Figure, alt: str) -> None:
    """Display the figure with `alt` as its alternative text, print that below it, and close it."""
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    plt.close(figure)
    alt = " ".join(alt.split())
    png = base64.b64encode(picture.getvalue()).decode("ascii")
    display({"image/png": png, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
    print(f"Figure: {alt}")
