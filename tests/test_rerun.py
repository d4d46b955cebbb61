"""The series on other knobs and other customers.

It runs through, without a network, and its sentences are true.
"""

import ast
import math
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from helpers import (
    adjustment,
    data,
    experiment,
    heterogeneity,
    inference,
    plots,
    power,
    segments,
    words,
)
from tools import notebooks, rerun

STANDARD = {"customers_file": None, "n_clusters": 4, "target_cluster": 1, "effect": 3.0, "seed": 42}
NUMBER = r"[+-]?[\d,]*\.?\d+"


def run_in_process(path: Path, knobs: dict, monkeypatch, offline: bool = True) -> list[str]:
    """Execute a notebook's code cells here, with sockets forbidden.

    Returns every text it displayed or printed.
    """
    shown: list[str] = []
    notebook = nbformat.read(path, as_version=4)
    notebooks.set_knobs(notebook, knobs)

    def no_network(*_args, **_kwargs):
        raise OSError("the course must not use the network")

    if offline:
        monkeypatch.setattr(socket.socket, "connect", no_network)
        monkeypatch.setattr(socket, "getaddrinfo", no_network)
    for module in (words, plots):
        monkeypatch.setattr(
            module, "display", lambda bundle, **_: shown.append(bundle["text/plain"])
        )
    monkeypatch.setattr(plots.plt, "close", figure_is_readable)
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *_, **__: figure.draw_without_rendering()
    )  # nbval looks at them
    space = {"print": lambda *parts: shown.append(" ".join(map(str, parts)))}
    try:
        for cell in notebook.cells:
            if cell.cell_type == "code":
                exec(compile(ast.parse(cell.source), f"{path.name}, {cell.id}", "exec"), space)
    finally:
        close_figure("all")
    return shown


close_figure = plt.close


def figure_is_readable(figure) -> None:
    """Called where `plots.show` closes a drawn figure.

    No raw formula is in it, as a log axis has without a formatter.
    """
    texts = [text.get_text() for text in figure.findobj(Text)]
    close_figure(figure)
    assert not [text for text in texts if "mathdefault" in text]


def test_raw_formulas_in_a_figure_are_caught():
    plots.use_style()
    fig, ax = plt.subplots()
    ax.set(xscale="log", xlim=(1, 1e6))
    fig.canvas.draw()
    with pytest.raises(AssertionError, match="mathdefault"):
        figure_is_readable(fig)


def lies(text: str) -> list[str]:
    """Sentences that their own numbers contradict.

    Every verdict next to an interval, and what never may be shown.
    """
    found = []
    interval = rf"interval ({NUMBER}) to ({NUMBER}), p [=<] ({NUMBER})"
    seen = rf"is ({NUMBER}) (?:percentage )?points \({interval}\)"
    pattern = rf"{seen}\. (.*?)(?:\n|$)"
    for lift, low, high, p, verdict in re.findall(pattern, text):
        lift, low, high, p = (float(x.replace(",", "")) for x in (lift, low, high, p))
        clear = low > 0 or high < 0
        true = {
            "A clear gain": low > 0,
            "A clear loss": high < 0,
            "No gain worth having": low <= 0 <= high < 1,
            "Too uncertain to tell": low <= 0 <= high and high >= 1,
        }
        said = next((key for key in true if verdict.startswith(key)), None)
        if said is None or not true[said] or not low <= lift <= high or (p < 0.05) != clear:
            found.append(f"{lift} ({low} to {high}), p {p}: {verdict}")
    found += re.findall(
        r".*(?:\bnan\b|\binf\b|-0\.0+\b(?!\d)|\b1 (?:customers|points of|clusters|runs)\b).*", text
    )
    return found


def expected(knobs: dict) -> tuple[pd.DataFrame, dict[int, inference.Comparison]]:
    """The clusters and, for each that can be tested, the comparison.

    Computed from scipy-checked helpers alone.
    """
    clustered = segments.cluster_customers(
        data.load_customers(knobs["customers_file"]), knobs["n_clusters"]
    )
    found = {}
    for cluster in sorted(clustered["Cluster"].unique()):
        try:
            trial = experiment.simulate_experiment(
                clustered, cluster, knobs["effect"], seed=knobs["seed"]
            )
        except words.InputError:
            continue
        arms = [trial[trial["group"] == arm]["outcome"] for arm in experiment.ARMS]
        found[cluster] = inference.compare_means(*arms)
    return clustered, found


def small_file(folder: Path) -> str:
    """Fourteen customers in another column order, with an extra column and the spelling Genre."""
    customers = data.load_customers().head(14).rename(columns={"Gender": "Genre"}).assign(Note="x")
    customers[customers.columns[::-1]].to_csv(folder / "small.csv", index=False)
    return str(folder / "small.csv")


RUNS = [
    {"target_cluster": 0},
    {"target_cluster": 2, "seed": 7},
    {"target_cluster": 3},
    {"target_cluster": 3, "effect": 0.0},
    {"target_cluster": 0, "effect": -3.0, "n_clusters": 3, "seed": 2026},
    {"target_cluster": 4, "effect": 40.0, "n_clusters": 6},
    {"target_cluster": 0, "n_clusters": 2, "customers_file": "small"},
]


@pytest.mark.parametrize("knobs", RUNS, ids=lambda k: " ".join(f"{n}={v}" for n, v in k.items()))
def test_every_rerun_tells_the_truth(knobs, tmp_path, monkeypatch):
    tells_the_truth(knobs, tmp_path, monkeypatch)


def tells_the_truth(knobs: dict, tmp_path: Path, monkeypatch) -> None:
    """All notebooks run on these knobs and name the right cluster.

    They say nothing that their numbers contradict.
    """
    monkeypatch.chdir(tmp_path)
    knobs = STANDARD | knobs
    if knobs["customers_file"] == "small":
        knobs["customers_file"] = small_file(tmp_path)
    clustered, results = expected(knobs)
    target = knobs["target_cluster"]
    files = [
        path for path in notebooks.find() if path.name[:2] != "09"
    ]  # on its own knobs in test_part_three
    texts = {
        path.name[:2]: run_in_process(path, knobs | {"rows": 20_000}, monkeypatch) for path in files
    }
    everything = "\n".join("\n".join(shown) for shown in texts.values())
    assert lies(everything) == []

    own = words.verdict(results[target])
    assert own in texts["03"] and own in texts["04"]
    assert rerun.preview(**knobs).endswith(own)
    published = inference.compare_means_from_stats(
        80.055095, 11.030143, 20, 83.737255, 11.09962, 20
    )
    others = {words.verdict(r) for j, r in results.items() if j != target} - {
        own,
        words.verdict(published),
    }
    assert not others & set(texts["03"] + texts["04"])
    named = set(re.findall(r"\b[Cc]luster (\d+) \(", everything)) | set(
        re.findall(r"is cluster (\d+):", everything)
    )
    listed = {str(j) for j in results}
    assert str(target) in named and named <= listed | {str(target)}
    table = next(t for t in texts["03"] if t.startswith("Lift with interval"))
    for cluster, r in results.items():
        assert f"cluster {cluster} {r.lift:+.2f} ({words.interval(r.ci_low, r.ci_high)})" in table
    part_two_is_true(texts, knobs, clustered, target)
    saved = pd.read_csv(tmp_path / "customers_with_clusters.csv")
    assert (saved["Cluster"].to_numpy() == clustered["Cluster"].to_numpy()).all()


def part_two_is_true(
    texts: dict[str, list[str]], knobs: dict, clustered: pd.DataFrame, target: int
) -> None:
    """What 06 to 08 say of this run, against helpers that have tests of their own."""
    rows = segments.select_cluster(clustered, target)
    if f"Experiment in cluster {target}, " in "\n".join(texts["07"]):
        trial = experiment.simulate_experiment(
            clustered, target, knobs["effect"], seed=knobs["seed"]
        )
        arms = trial["group"] == "treatment"
        adjusted = adjustment.compare_adjusted(trial["outcome"], arms, trial[experiment.OUTCOME])
        assert f"Adjusted: {words.verdict(adjusted)}" in texts["07"]
    else:
        assert any("cannot be adjusted" in text for text in texts["07"])
    aim = abs(knobs["effect"]) or 1.0
    sd = (rows[experiment.OUTCOME].var() + 25) ** 0.5
    needed = words.count(math.ceil(2 * power.sample_size(aim, sd)), "customer")
    assert any(
        text.endswith(f"spread {words.number(sd)}: {needed} with one look.") for text in texts["08"]
    )
    table = heterogeneity.compare_segments(data.load_log(), "age_band", "converted")
    for row in table.itertuples():
        assert f"- {row.Index}: {words.verdict(row, 0.01, 'percentage points', 100)}" in texts["06"]


def shown_texts(output) -> list[str]:
    data = output.get("data", {})
    return [
        output.get("text", ""),
        *(data[kind] for kind in sorted(data) if kind.startswith("text/")),
    ]


def test_a_broken_notebook_is_told(small_course, tmp_path, capsys):
    (small_course / "notebooks/03_t_test.ipynb").write_text("<<<<<<< HEAD\n{", encoding="utf-8")
    assert rerun.main(["--target-cluster", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "notebooks/03_t_test.ipynb is no notebook (NotJSONError" in said
    assert len(said.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_results_that_cannot_be_replaced_leave_the_others(
    small_course, tmp_path, capsys, monkeypatch
):
    """And the home folder may be typed as a wave, which make hands on as it stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(notebooks, "execute", lambda *_given, **_more: None)
    data.load_customers().to_csv(tmp_path / "mine.csv", index=False)
    command = ["--target-cluster", "1", "--customers", "~/mine.csv", "--out", "~/out"]
    assert rerun.main(command) == 0
    stored = (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes()
    (tmp_path / "out/03_t_test.ipynb").unlink()
    (tmp_path / "out/03_t_test.ipynb").mkdir()
    capsys.readouterr()
    assert rerun.main([*command, "--seed", "7"]) == 2
    place = tmp_path / "out/03_t_test.ipynb"
    said = f"helpers.rerun: Cannot write to {place} (a folder has that name). Move it away.\n"
    assert capsys.readouterr().err.endswith(said)
    assert (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes() == stored


def test_an_error_names_the_option_and_what_is_no_option_keeps_its_name(monkeypatch, capsys):
    """A knob that cannot be typed, such as one with a default in the helpers, is no option."""
    for knob, said in {
        "customers_file": "--customers is 9.",
        "control_share": "--control-share is 9.",
        "noise_sd": "noise_sd is 9.",
        "": "is 9.",
    }.items():

        def fails(knob=knob, **_knobs):
            raise words.InputError("is 9.", knob)

        monkeypatch.setattr(rerun, "preview", fails)
        assert rerun.main(["--target-cluster", "1"]) == 2
        assert capsys.readouterr().err == f"helpers.rerun: {said}\n"


def test_the_command_has_its_old_name_too(tmp_path):
    """From another folder: the same refusals and the same exit codes."""
    env = os.environ | {"PYTHONPATH": str(notebooks.ROOT)}
    for arguments, code, said in (
        (["--target-cluster", "9"], 2, "helpers.rerun: --target-cluster is 9, but"),
        ([], 2, "usage: python -m helpers.rerun"),
        (["--help"], 0, ""),
    ):
        command = [sys.executable, "-m", "helpers.rerun", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == code and done.stderr.startswith(said), done.stderr
        assert bool(done.stdout) == (code == 0)


def test_a_rerun_never_writes_into_the_course(capsys):
    """The course and the learner's own copy stay as they are; only runs/ is for runs."""
    for folder in ("notebooks", "my", "data/new", "."):
        assert rerun.main(["--target-cluster", "1", "--out", str(notebooks.ROOT / folder)]) == 2
        assert "inside the course" in capsys.readouterr().err


def test_the_command_writes_the_series_and_the_shipped_file_comes_from_notebook_01(
    tmp_path, capsys, monkeypatch
):
    """Part I through real kernels: same names, new knobs in the cell, a verdict.

    And data/ is what notebook 01 makes. Part II is left to nbval, which executes it anyway; 06 goes
    through the command in test_rerun_log.
    """
    part_one = [path for path in notebooks.find() if path.name < "06"]
    monkeypatch.setattr(notebooks, "find", lambda: part_one)
    out = tmp_path / "runs" / "standard"
    assert rerun.main(["--target-cluster", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and words.verdict(expected(STANDARD)[1][1]) in printed
    assert {p.name for p in out.iterdir()} == {p.name for p in notebooks.find()} | {
        "customers_with_clusters.csv"
    }
    made, shipped = ((f / "customers_with_clusters.csv").read_bytes() for f in (out, data.FOLDER))
    same = (
        made == shipped
    )  # compared first: pytest would explain a difference of long bytes for minutes
    assert same, "data/customers_with_clusters.csv is not what notebook 01 saves: make store"
    for path in notebooks.find():
        stored, again = (nbformat.read(p, as_version=4) for p in (path, out / path.name))
        for old, new in zip(stored.cells, again.cells, strict=True):
            if old.cell_type == "code" and "nbval-ignore-output" not in old.metadata.get(
                "tags", []
            ):
                assert [shown_texts(o) for o in old.outputs] == [
                    shown_texts(o) for o in new.outputs
                ]


def test_every_knob_of_the_command_exists_in_the_notebooks():
    found = set()
    for path in notebooks.find():
        cells = nbformat.read(path, as_version=4).cells
        source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
        found |= {target.id for node in ast.parse(source).body for target in node.targets}
        assert {"customers_file", "n_clusters", "target_cluster", "seed"} <= found
    assert set(STANDARD) <= found


LIFT = "Treatment minus control"


@pytest.mark.parametrize(
    "lie",
    [
        f"{LIFT} is +3.68 points (interval -3.40 to +10.77, p = 0.2993). A clear gain, yes.",
        f"{LIFT} is +3.68 points (interval -3.40 to +10.77, p = 0.0193). Too uncertain to tell: x",
        f"{LIFT} is +0.10 points (interval -0.40 to +0.60, p = 0.7000). Too uncertain to tell: x",
        f"{LIFT} is -2.00 points (interval +0.40 to +4.60, p = 0.0200). A clear gain; x",
        f"{LIFT} is +2.87 percentage points (interval -1.36 to +4.38, p = 0.0002). A clear gain: x",
        f"- a: {LIFT} is +2.87 percentage points (interval +1.36 to +4.38, p = 0.1). A clear gain",
        "The mean is nan points.",
        "Lift: -0.00 points.",
    ],
)
def test_lies_are_caught(lie):
    assert lies(lie)


def test_a_notebook_that_calls_home_is_caught(tmp_path, monkeypatch):
    cell = nbformat.v4.new_code_cell(
        "import urllib.request\nurllib.request.urlopen('http://example.org')"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "01_home.ipynb")
    with pytest.raises(OSError, match="must not use the network"):
        run_in_process(tmp_path / "01_home.ipynb", {}, monkeypatch)
