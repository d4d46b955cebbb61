"""The series on other knobs and other customers: it runs through, without a network, and its sentences are true."""

import ast
import math
import re
import socket
from base64 import b64encode
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from conftest import GROSS, picture_difference
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
from tools import bench, class_sets, readme_picture, rerun, slides, store_notebooks

STANDARD = {"customers_file": None, "n_clusters": 4, "target_cluster": 1, "effect": 3.0, "seed": 42}
NUMBER = r"[+-]?[\d,]*\.?\d+"


def run_in_process(path: Path, knobs: dict, monkeypatch, offline: bool = True) -> list[str]:
    """Execute a notebook's code cells here, with sockets forbidden, and return every text it displayed or printed."""
    shown: list[str] = []
    notebook = nbformat.read(path, as_version=4)
    rerun.set_knobs(notebook, knobs)

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
    """Called where `plots.show` closes a drawn figure: no raw formula in it, as a log axis has without a formatter."""
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
    """Sentences that their own numbers contradict: every verdict next to an interval, and what never may be shown."""
    found = []
    seen = rf"is ({NUMBER}) (?:percentage )?points \(interval ({NUMBER}) to ({NUMBER}), p [=<] ({NUMBER})\)"
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
    """The clusters and, for each that can be tested, the comparison; computed from scipy-checked helpers alone."""
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
    """All notebooks run on these knobs, name the right cluster, and say nothing their numbers contradict."""
    monkeypatch.chdir(tmp_path)
    knobs = STANDARD | knobs
    if knobs["customers_file"] == "small":
        knobs["customers_file"] = small_file(tmp_path)
    clustered, results = expected(knobs)
    target = knobs["target_cluster"]
    files = [
        path for path in rerun.notebook_files() if path.name[:2] != "09"
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


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course of two notebooks, 02 and 03, that can be changed."""
    for name in ("notebooks/02_simulated_assignment.ipynb", "notebooks/03_t_test.ipynb"):
        (tmp_path / "course" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "course" / name).write_bytes((rerun.ROOT / name).read_bytes())
    monkeypatch.setattr(rerun, "ROOT", tmp_path / "course")
    return tmp_path / "course"


COMMANDS = {
    "rerun": lambda: rerun.main(["--target-cluster", "1"]),
    "class_sets": lambda: class_sets.main([]),
    "slides": lambda: slides.main(["3"]),
    "store_notebooks": lambda: store_notebooks.main([]),
    "bench": bench.main,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_two_notebooks_with_one_number_are_told(course, capsys, command, monkeypatch):
    """As JupyterLab's Duplicate makes them, or a person. A file of another name is nobody's business."""
    monkeypatch.setattr(class_sets, "common_files", dict)
    (course / "notebooks/3_t_test.ipynb").write_text("mine", encoding="utf-8")
    (course / "notebooks/old_03.ipynb").write_text("mine", encoding="utf-8")
    files = rerun.notebook_files()
    assert [path.name for path in files] == ["02_simulated_assignment.ipynb", "03_t_test.ipynb"]
    for pair in (
        ("03_t_test", "03_t_test-Copy1"),
        ("03_t_test", "03_t_test_old"),
        ("03_backup", "03_t_test"),
    ):
        (copy,) = (course / f"notebooks/{name}.ipynb" for name in pair if name != "03_t_test")
        copy.write_bytes(files[1].read_bytes())
        assert COMMANDS[command]() == 2
        printed = capsys.readouterr()
        said = f"There are two notebooks 03: {pair[0]}.ipynb, {pair[1]}.ipynb. Move one of them out of notebooks/."
        assert said in printed.err and len(printed.err.splitlines()) == 1 and printed.out == ""
        copy.unlink()


def test_two_solutions_with_one_number_are_told(course):
    (course / "notebooks/solutions").mkdir()
    for name in ("03_a.ipynb", "03_b.ipynb"):
        (course / "notebooks/solutions" / name).touch()
    with pytest.raises(words.InputError, match=r"03_b.* out of notebooks/solutions/"):
        rerun.solution_files()


@pytest.mark.parametrize("name", ["3", "nonsense", "--help", "03_t_test.ipynb"])
def test_store_tells_a_name_that_it_does_not_know(course, capsys, monkeypatch, name):
    stored = []
    monkeypatch.setattr(store_notebooks, "store", stored.append)
    assert store_notebooks.main(["03_t_test", name]) == 2 and stored == []
    said = f"There is no notebook {name!r}. Give some of 02_simulated_assignment, 03_t_test, or none for all.\n"
    assert capsys.readouterr().err == f"tools.store_notebooks: {said}"
    assert store_notebooks.main(["03_t_test"]) == 0 and [path.name for path in stored] == [
        "03_t_test.ipynb"
    ]
    assert store_notebooks.main([]) == 0 and len(stored) == 3


def test_a_broken_notebook_is_told(course, tmp_path, capsys):
    (course / "notebooks/03_t_test.ipynb").write_text("<<<<<<< HEAD\n{", encoding="utf-8")
    assert rerun.main(["--target-cluster", "1", "--out", str(tmp_path / "out")]) == 2
    assert "notebooks/03_t_test.ipynb is no notebook (NotJSONError" in (
        said := capsys.readouterr().err
    )
    assert len(said.splitlines()) == 1 and not (tmp_path / "out").exists()


def test_results_that_cannot_be_replaced_leave_the_others(course, tmp_path, capsys, monkeypatch):
    """And the home folder may be typed as a wave, which make hands on as it stands."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(rerun, "execute", lambda *_given, **_more: None)
    data.load_customers().to_csv(tmp_path / "mine.csv", index=False)
    command = ["--target-cluster", "1", "--customers", "~/mine.csv", "--out", "~/out"]
    assert rerun.main(command) == 0
    stored = (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes()
    (tmp_path / "out/03_t_test.ipynb").unlink()
    (tmp_path / "out/03_t_test.ipynb").mkdir()
    capsys.readouterr()
    assert rerun.main([*command, "--seed", "7"]) == 2
    said = f"Cannot write to {tmp_path / 'out/03_t_test.ipynb'} (a folder has that name). Move it away.\n"
    assert capsys.readouterr().err.endswith(f"helpers.rerun: {said}")
    assert (tmp_path / "out/02_simulated_assignment.ipynb").read_bytes() == stored


def test_the_wave_of_a_stranger_stands_for_itself():
    assert rerun.typed_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_a_rerun_never_writes_into_the_course(capsys):
    """The course and the learner's own copy stay as they are; only runs/ is for runs."""
    for folder in ("notebooks", "my", "data/new", "."):
        assert rerun.main(["--target-cluster", "1", "--out", str(rerun.ROOT / folder)]) == 2
        assert "inside the course" in capsys.readouterr().err


def test_the_command_writes_the_series_and_the_shipped_file_comes_from_notebook_01(
    tmp_path, capsys, monkeypatch
):
    """Part I through real kernels: same names, new knobs in the cell, a verdict, and data/ is what notebook 01 makes.

    Part II is left to nbval, which executes it anyway; 06 goes through the command in test_rerun_log.
    """
    part_one = [path for path in rerun.notebook_files() if path.name < "06"]
    monkeypatch.setattr(rerun, "notebook_files", lambda: part_one)
    out = tmp_path / "runs" / "standard"
    assert rerun.main(["--target-cluster", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert str(out) in printed and words.verdict(expected(STANDARD)[1][1]) in printed
    assert {p.name for p in out.iterdir()} == {p.name for p in rerun.notebook_files()} | {
        "customers_with_clusters.csv"
    }
    made, shipped = ((f / "customers_with_clusters.csv").read_bytes() for f in (out, data.FOLDER))
    same = (
        made == shipped
    )  # compared first: pytest would explain a difference of long bytes for minutes
    assert same, "data/customers_with_clusters.csv is not what notebook 01 saves: make store"
    for path in rerun.notebook_files():
        stored, again = (nbformat.read(p, as_version=4) for p in (path, out / path.name))
        for old, new in zip(stored.cells, again.cells, strict=True):
            if old.cell_type == "code" and "nbval-ignore-output" not in old.metadata.get(
                "tags", []
            ):
                assert [shown_texts(o) for o in old.outputs] == [
                    shown_texts(o) for o in new.outputs
                ]


def test_knobs_are_set_and_comments_stay():
    notebook = nbformat.read(rerun.notebook_files()[1], as_version=4)
    before = next(c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    rerun.set_knobs(notebook, {"target_cluster": 3, "effect": -1.5, "customers_file": "a # b.csv"})
    after = next(c.source for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    space: dict = {}
    exec(after, space)
    assert (space["target_cluster"], space["effect"], space["customers_file"]) == (
        3,
        -1.5,
        "a # b.csv",
    )
    assert [line.split("  # ")[1] for line in before.splitlines()] == [
        line.split("  # ")[1] for line in after.splitlines()
    ]


def test_every_knob_of_the_command_exists_in_the_notebooks():
    found = set()
    for path in rerun.notebook_files():
        cells = nbformat.read(path, as_version=4).cells
        source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
        found |= {target.id for node in ast.parse(source).body for target in node.targets}
        assert {"customers_file", "n_clusters", "target_cluster", "seed"} <= found
    assert set(STANDARD) <= found


@pytest.mark.parametrize(
    "lie",
    [
        "Treatment minus control is +3.68 points (interval -3.40 to +10.77, p = 0.2993). A clear gain, yes.",
        "Treatment minus control is +3.68 points (interval -3.40 to +10.77, p = 0.0193). Too uncertain to tell: x",
        "Treatment minus control is +0.10 points (interval -0.40 to +0.60, p = 0.7000). Too uncertain to tell: x",
        "Treatment minus control is -2.00 points (interval +0.40 to +4.60, p = 0.0200). A clear gain; x",
        "Treatment minus control is +2.87 percentage points (interval -1.36 to +4.38, p = 0.0002). A clear gain: x",
        "- old: Treatment minus control is +2.87 percentage points (interval +1.36 to +4.38, p = 0.1). A clear gain: x",
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


@pytest.mark.parametrize("effect", [3.0, 0.0])
def test_readme_picture_is_what_the_project_draws(tmp_path, monkeypatch, effect):
    """Drawn anew it is the same picture; with another effect planted it is seen to differ."""
    stored = b64encode(readme_picture.PICTURE.read_bytes()).decode()
    monkeypatch.setattr(readme_picture, "PICTURE", tmp_path / "fresh.png")
    monkeypatch.setattr(readme_picture, "EFFECT", effect)
    readme_picture.draw()
    fresh = b64encode((tmp_path / "fresh.png").read_bytes()).decode()
    assert (picture_difference(stored, fresh) < GROSS) == (effect == 3.0)
