"""The guards themselves: each sees the fault it is there for."""

import matplotlib.pyplot as plt
import nbformat
import pytest

from helpers import InputError, plots
from tests.guards import figure_is_readable, guard_message, lies, run_in_process, unexplained


def test_a_mute_refusal_and_a_traceback_are_caught():
    def fails(error):
        def call():
            raise error

        return call

    guard_message(
        fails(InputError("Age is blank in row 2: fill it in.")), "Age", "row 2", "fill it in"
    )
    for faulty in (
        InputError("Bad value."),
        InputError("Age row 2 fill it in"),
    ):
        with pytest.raises(AssertionError):
            guard_message(fails(faulty), "Age", "row 2", "fill it in")
    with pytest.raises(KeyError):
        guard_message(fails(KeyError("Age")))


def test_raw_formulas_in_a_figure_are_caught():
    plots.use_style()
    fig, ax = plt.subplots()
    ax.set(xscale="log", xlim=(1, 1e6))
    fig.canvas.draw()
    with pytest.raises(AssertionError, match="mathdefault"):
        figure_is_readable(fig)


GAP = "Treatment minus control is"


@pytest.mark.parametrize(
    "lie",
    [
        f"{GAP} +3.68 points (interval -3.40 to +10.77, p = 0.2993). A clear gain, yes.",
        f"{GAP} +3.68 points (interval -3.40 to +10.77, p = 0.0193). Too uncertain to tell: x",
        f"{GAP} +0.10 points (interval -0.40 to +0.60, p = 0.7000). Too uncertain to tell: x",
        f"{GAP} -2.00 points (interval +0.40 to +4.60, p = 0.0200). A clear gain; x",
        f"{GAP} +2.87 percentage points (interval -1.36 to +4.38, p = 0.0002). A clear gain: x",
        f"- old: {GAP} +2.87 percentage points (interval +1.36 to +4.38, p = 0.1). A clear gain: x",
        "Lift: -0.00 points.",
    ],
)
def test_lies_are_caught(lie):
    assert lies(lie)


@pytest.mark.parametrize("odd", ["nan", "inf"])
def test_what_is_undefined_needs_a_label(odd):
    other = {"nan": "inf", "inf": "nan"}[odd]
    for text in (f"The mean is {odd}.", f"a   {odd.upper()}\nb  0.5", f"(-{odd}, 3)"):
        assert unexplained(["p  0.5", text]) == [text]
        assert unexplained([f"{text} {odd} where nothing varies"]) == []
        assert unexplained([f"{text} {other} where x"]) == [f"{text} {other} where x"]
    assert unexplained(["nan where there is nothing", "information", "finance"]) == []


def test_a_notebook_that_calls_home_is_caught(tmp_path, monkeypatch):
    cell = nbformat.v4.new_code_cell(
        "import urllib.request\nurllib.request.urlopen('http://example.org')"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "01_home.ipynb")
    with pytest.raises(OSError, match="must not use the network"):
        run_in_process(tmp_path / "01_home.ipynb", {}, monkeypatch)
